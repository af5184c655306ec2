"""Fetching a series: cache, retries with back-off, rate limits, and the next source when one fails.

Order: an answer in the cache that is young enough; the source itself; then the other sources in their order; and only
when none of them answers, what the caches still hold, marked as stale. A source that lacks a part (tomorrow, at noon)
is second to one that has all. A source that failed or asked to be left alone is left alone for a while, so that a plan
every few minutes does not hammer a service that is down.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic

import requests

from interfaces.domain.series import Flag, end_epoch_s
from interfaces.sources.answers import plain
from interfaces.sources.cache import Cache, Kept
from interfaces.sources.port import Request, S, Source, SourceError
from interfaces.sources.transport import Clocks, Failure, get

log = logging.getLogger(__name__)

ATTEMPTS: Final = 4
BACK_OFF_S: Final = 1.0
"""Before the second attempt; doubled before each further one; each 0.5 to 1.5 times that."""
LONGEST_WAIT_S: Final = 30.0
"""A server that wants to be left alone for longer is."""
REST_S: Final = 120.0
"""How long a source that failed is not asked again."""
PARTIAL_FRESH_S: Final = 900.0
"""An answer that lacks the end of the time asked for (tomorrow's prices) is asked again after this."""
STALE_S: Final = 7 * 86_400.0
"""Older answers say nothing about the time asked for."""


@dataclass(frozen=True, slots=True)
class Fetched(Generic[S]):
    """A series. ``fetched_epoch_s``: age of its oldest part; ``problems``: what failed before, one sentence each."""

    series: S
    fetched_epoch_s: float
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Part(Generic[S]):
    series: S
    fetched_epoch_s: float


class Fetcher:
    """Fetches from any source; one per process, so that the pauses of a source hold for all its zones.

    ``jitter``: a number from 0 to 1, another one each time.
    """

    def __init__(
        self, session: requests.Session, clocks: Clocks, jitter: Callable[[], float], cache: Cache | None = None
    ) -> None:
        self._session = session
        self._clocks = clocks
        self._jitter = jitter
        self._cache = cache
        self._next_s: dict[str, float] = {}
        self._rests_until_s: dict[str, float] = {}

    def first_good(
        self, sources: Sequence[Source[S]], start_epoch_s: int, until_epoch_s: int
    ) -> Fetched[S] | SourceError:
        """The series of the first source that has all of the time, else of the first that has some of it; marked when
        it is not the first or not new.
        """
        problems: list[str] = []
        partial: list[Fetched[S]] = []
        for source in sources:
            found = self.fetch(source, start_epoch_s, until_epoch_s)
            if isinstance(found, Fetched):
                marked = _after(found, tuple(problems))
                if Flag.INCOMPLETE not in marked.series.flags:
                    return marked
                partial.append(marked)
                problems.append(f"{source.title}: it does not have all of the time asked for")
            else:
                problems.append(str(found))
        return partial[0] if partial else self._newest_kept(sources, start_epoch_s, until_epoch_s, problems)

    def _newest_kept(
        self, sources: Sequence[Source[S]], start_epoch_s: int, until_epoch_s: int, problems: Sequence[str]
    ) -> Fetched[S] | SourceError:
        """What the caches still hold when all sources failed with these problems."""
        for place, source in enumerate(sources):
            kept = self._stale(source, source.requests(start_epoch_s, until_epoch_s))
            if kept is not None and end_epoch_s(kept.series) > start_epoch_s:
                marks = (
                    (True, Flag.STALE),
                    (place > 0, Flag.FALLBACK),
                    (end_epoch_s(kept.series) < until_epoch_s, Flag.INCOMPLETE),
                )
                flags = tuple(flag for there, flag in marks if there)
                return Fetched(kept.series.flagged(*flags), kept.fetched_epoch_s, tuple(problems))
        return SourceError(
            sources[0].title, "; ".join([problems[0].removeprefix(f"{sources[0].title}: "), *problems[1:]])
        )

    def fetch(self, source: Source[S], start_epoch_s: int, until_epoch_s: int) -> Fetched[S] | SourceError:
        """The series of one source: new, or from the cache where that is young enough."""
        parts: list[_Part[S]] = []
        problems: list[SourceError] = []
        for request in source.requests(start_epoch_s, until_epoch_s):
            part = self._young(source, request) or self._ask(source, request)
            if isinstance(part, SourceError):
                problems.append(part)
            else:
                parts.append(part)
        if not parts:
            return problems[0]
        joined = self._joined(source, parts)
        if isinstance(joined, SourceError):
            return joined
        series = joined.series
        if problems or end_epoch_s(series) < until_epoch_s:
            series = series.flagged(Flag.INCOMPLETE)
        return Fetched(series, joined.fetched_epoch_s, tuple(str(one) for one in problems))

    def _joined(self, source: Source[S], parts: Sequence[_Part[S]]) -> _Part[S] | SourceError:
        series = source.join([part.series for part in parts])
        if isinstance(series, SourceError):
            return series
        return _Part(series, min(part.fetched_epoch_s for part in parts))

    def _young(self, source: Source[S], request: Request) -> _Part[S] | None:
        kept = None if self._cache is None else self._cache.find(source.name, request)
        if kept is None or kept.since_epoch_s > request.since_epoch_s or kept.until_epoch_s < request.until_epoch_s:
            return None
        part = self._read(source, kept)
        if part is None:
            return None
        whole = end_epoch_s(part.series) >= request.until_epoch_s
        age_s = self._clocks.epoch_s() - part.fetched_epoch_s
        # A negative age is a clock that was set back: ask again.
        return part if 0 <= age_s < (source.fresh_s if whole else min(source.fresh_s, PARTIAL_FRESH_S)) else None

    def _stale(self, source: Source[S], asked: Sequence[Request]) -> _Part[S] | None:
        oldest = self._clocks.epoch_s() - STALE_S
        found = [] if self._cache is None else [self._cache.find(source.name, request) for request in asked]
        read = [self._read(source, kept) for kept in found if kept is not None and kept.fetched_epoch_s >= oldest]
        parts = [part for part in read if part is not None]
        joined = self._joined(source, parts) if parts else None
        return None if isinstance(joined, SourceError) else joined

    def _read(self, source: Source[S], kept: Kept) -> _Part[S] | None:
        series = source.parse(kept.body)
        return None if isinstance(series, SourceError) else _Part(series, kept.fetched_epoch_s)

    def _ask(self, source: Source[S], request: Request) -> _Part[S] | SourceError:
        """Ask until there is an answer or no use in asking. Only answers that can be read are kept."""
        rest_s = self._rests_until_s.get(source.name, 0.0) - self._clocks.now_s()
        if rest_s > 0:
            return SourceError(source.title, f"it failed a moment ago and is asked again in {rest_s:.0f} s")
        body = self._body(source, request)
        if isinstance(body, Failure):
            log.warning("source_failed source=%s reason=%r", source.name, body.reason)
            return SourceError(source.title, body.reason)
        series = source.parse(body)
        if isinstance(series, SourceError):
            log.warning("source_unusable source=%s reason=%r", source.name, series.reason)
            return series
        fetched_epoch_s = self._clocks.epoch_s()
        if self._cache is not None:
            kept = Kept(body, fetched_epoch_s, request.since_epoch_s, request.until_epoch_s)
            self._cache.keep(source.name, request, kept)
        return _Part(series, fetched_epoch_s)

    def _body(self, source: Source[S], request: Request) -> bytes | Failure:
        back_off_s = BACK_OFF_S
        for attempt in range(1, ATTEMPTS + 1):
            self._pause(source)
            found = get(self._session, request, self._clocks)
            if isinstance(found, bytes):
                return found
            asked_s = found.wait_s or 0.0
            if not found.again:
                return _explained(source, found)
            if attempt == ATTEMPTS or asked_s > LONGEST_WAIT_S:
                self._rests_until_s[source.name] = self._clocks.now_s() + max(REST_S, asked_s)
                return _explained(source, found)
            self._clocks.sleep(max(asked_s, back_off_s * (0.5 + self._jitter())))
            back_off_s *= 2
        raise AssertionError("the last attempt returns")

    def _pause(self, source: Source[S]) -> None:
        wait_s = self._next_s.get(source.name, 0.0) - self._clocks.now_s()
        if wait_s > 0:
            self._clocks.sleep(wait_s)
        self._next_s[source.name] = self._clocks.now_s() + source.pause_s


def _after(found: Fetched[S], problems: tuple[str, ...]) -> Fetched[S]:
    """A series that was found when the sources before it had failed with these problems."""
    series = found.series.flagged(Flag.FALLBACK) if problems else found.series
    return Fetched(series, found.fetched_epoch_s, (*problems, *found.problems))


def _explained(source: Source[S], failure: Failure) -> Failure:
    """A refusal with the source's own words, where its body has some."""
    told = source.parse(failure.body) if failure.body else None
    if not isinstance(told, SourceError):
        return failure
    return Failure(f"{failure.reason}, {plain(told.reason)}", failure.again, failure.wait_s)
