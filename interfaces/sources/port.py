"""The port behind which every source of prices or weather stands.

A source is asked in requests that are plain data and its answers are parsed by a pure function; who sends the requests,
keeps the answers and falls back to the next source is `fetching`. Whatever a source answers is a series or a
``SourceError``; a parser never raises.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from interfaces.domain.series import PriceSeries, WeatherSeries

MAX_BODY_BYTES: Final = 8_000_000
"""A year of quarters as ENTSO-E writes them is 3.5 MB; everything else is smaller."""

S = TypeVar("S", PriceSeries, WeatherSeries)


@dataclass(frozen=True, slots=True)
class SourceError:
    """Why there is no series, in words for people. ``source`` is the name shown to them, such as ENTSO-E."""

    source: str
    reason: str

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Request:
    """One GET. ``since_epoch_s`` and ``until_epoch_s``: the time asked for. ``key``: what it is about beside the time,
    so that the same question of another day is known again. ``secret``: parameters that appear in no text and no cache.
    """

    url: str
    params: tuple[tuple[str, str], ...]
    since_epoch_s: int
    until_epoch_s: int
    key: str
    secret: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Source(Generic[S]):
    """One source, set up for one zone or place.

    ``name``: its word on the command line and in files; ``title``: its name for people. ``pause_s``: least time between
    two requests. ``fresh_s``: how long an answer that covers the time asked for need not be asked again. ``requests``:
    what to ask for the values from one epoch to another, in order, at least one. ``parse``: the series in one answer.
    ``join``: the series of several answers together, at least one part.
    """

    name: str
    title: str
    pause_s: float
    fresh_s: float
    requests: Callable[[int, int], tuple[Request, ...]]
    parse: Callable[[bytes], S | SourceError]
    join: Callable[[Sequence[S]], S | SourceError]
