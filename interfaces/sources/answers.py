"""What all parsers share: telling JSON, XML and HTML apart, error answers in words, times, and building series."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, Final, TypeVar

import numpy as np
from pydantic import TypeAdapter, ValidationError

from interfaces.domain.codec import RefusedError
from interfaces.domain.codec_json import parse_json
from interfaces.domain.series import Flag, PriceSeries, gap_count, merged_flags
from interfaces.domain.units import SECONDS_PER_HOUR, SECONDS_PER_QUARTER, frozen_floats, frozen_ints
from interfaces.sources.port import MAX_BODY_BYTES, SourceError

T = TypeVar("T")

MAX_STEPS: Final = 200_000
"""Five years of quarters."""
STEPS_S: Final = (SECONDS_PER_QUARTER, 2 * SECONDS_PER_QUARTER, SECONDS_PER_HOUR)
"""Market time units of Europe: a quarter, half an hour, an hour."""
EARLIEST_EPOCH_S: Final = 946_684_800
LATEST_EPOCH_S: Final = 4_102_444_800
"""2000 and 2100: times outside are no prices or weather of ours."""
MARKET_LIMITS_EUR_PER_KWH: Final = (-0.5, 4.0)
"""Harmonised limits of the single day-ahead coupling (HMMCP methodology)."""
MOST_EUR_PER_KWH: Final = 20.0
"""Beyond it is no market price but another unit."""
MAX_SAID: Final = 160
_MAX_DEPTH: Final = 12


@dataclass(frozen=True, slots=True)
class Step:
    """One price as a source gave it."""

    start_epoch_s: int
    step_s: int
    eur_per_kwh: float


def plain(text: object) -> str:
    """Words of somebody else for one line of ours: printable, short, without a full stop at the end."""
    words = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    return (words if len(words) <= MAX_SAID else words[:MAX_SAID].rstrip() + " ...").rstrip(".")


def unusable(body: bytes, form: str) -> str | None:
    """Why a body cannot even be looked at: empty, too large, or a web page instead of ``form``."""
    if not body.strip():
        return "the answer is empty"
    if len(body) > MAX_BODY_BYTES:
        return f"the answer is larger than {MAX_BODY_BYTES // 1_000_000} MB"
    head = body[:1000].lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    if head.startswith((b"<!doctype html", b"<html")) or (head.startswith(b"<") and b"<html" in head):
        return f"the answer is a web page (HTML) instead of {form}"
    return None


def json_of(body: bytes) -> Any | None:
    """Plain data of a JSON body, None when it is none (``json_problem`` says why)."""
    try:
        return parse_json(body, max_depth=_MAX_DEPTH)
    except (RefusedError, ValueError, RecursionError):
        return None


def json_problem(body: bytes) -> str | None:
    """Why a body is no JSON document, or None."""
    bad = unusable(body, "JSON")
    if bad is not None:
        return bad
    try:
        parse_json(body, max_depth=_MAX_DEPTH)
    except RefusedError as refused:
        reason = refused.reason
        return f"the answer is cut off or no JSON ({reason})" if reason.startswith("not ") else f"the answer: {reason}"
    except (ValueError, RecursionError):
        return "the answer is no JSON"
    return None


def read_json(source: str, body: bytes, adapter: TypeAdapter[T]) -> T | SourceError:
    """A JSON answer in the shape of ``adapter``, or why it is none: the source's own words where it gives an error."""
    bad = json_problem(body)
    if bad is not None:
        return SourceError(source, bad)
    try:
        return adapter.validate_json(body, strict=True)
    except ValidationError as error:
        told = error_words(json_of(body))
        if told is not None:
            return SourceError(source, f"the answer is an error: {told}")
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        return SourceError(source, f"the answer does not have the known shape: {plain(where)}: {plain(first['msg'])}")


def error_words(found: object) -> str | None:
    """The message in an error answer as the known services write them; None where there is none."""
    if isinstance(found, list):
        return error_words(found[0]) if found else None
    if not isinstance(found, dict):
        return None
    for key in ("reason", "message", "detail", "title", "error", "errors", "msg"):
        told = found.get(key)
        if isinstance(told, dict | list):
            deeper = error_words(told)
            if deeper is not None:
                return deeper
        elif isinstance(told, str) and told.strip():
            return plain(told)
    return None


def epoch_of(text: str) -> int | None:
    """Epoch seconds of an ISO 8601 time that says its offset; None where it does not, or is no whole second."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    if found.tzinfo is None or found.utcoffset() is None or found.microsecond:
        return None
    return round(found.timestamp())


def steps_between(starts: Sequence[int]) -> list[int]:
    """Length of each step of which only the begins are known, in order.

    It reaches to the next begin. A distance that no market has, that does not begin at a whole one of its kind (an
    hour at the hour), or that alone is longer than those around it, is a hole: the step is as long as the one before
    it (the first: as the next that is known).
    """
    distances = [later - earlier for earlier, later in pairwise(starts)]
    known = [one for one in distances if one in STEPS_S]
    last = known[0] if known else SECONDS_PER_HOUR
    found: list[int] = []
    for k, distance in enumerate(distances):
        after = distances[k + 1] if k + 1 < len(distances) else distance
        alone = k > 0 and distance > last and after < distance
        if distance in STEPS_S and starts[k] % distance == 0 and not alone:
            last = distance
        found.append(last)
    return [*found, last] if starts else []


def price_series(
    source: str, title: str, zone: str, steps: Iterable[Step], flags: Iterable[Flag] = ()
) -> PriceSeries | SourceError:
    """The series of these steps in any order, or why they are none.

    A step given twice with one value is dropped with a flag; with two values nobody can tell which is right.
    """
    ordered = sorted(steps, key=lambda step: (step.start_epoch_s, step.step_s))
    if not ordered:
        return SourceError(title, "the answer holds no prices")
    if len(ordered) > MAX_STEPS:
        return SourceError(title, f"the answer has more than {MAX_STEPS} steps")
    kept: list[Step] = []
    for step in ordered:
        problem = _problem(step)
        if problem is not None:
            return SourceError(title, problem)
        if kept and step == kept[-1]:
            continue
        if kept and step.start_epoch_s < kept[-1].start_epoch_s + kept[-1].step_s:
            return SourceError(title, f"the time from {_clock(step.start_epoch_s)} is given twice, differently")
        kept.append(step)
    start = frozen_ints([step.start_epoch_s for step in kept])
    length = frozen_ints([step.step_s for step in kept])
    price = frozen_floats([step.eur_per_kwh for step in kept])
    marks = (
        (len(kept) < len(ordered), Flag.DUPLICATES),
        (gap_count(start, length) > 0, Flag.GAPS),
        (bool(((price <= MARKET_LIMITS_EUR_PER_KWH[0]) | (price >= MARKET_LIMITS_EUR_PER_KWH[1])).any()), Flag.EXTREME),
    )
    found = tuple(flag for there, flag in marks if there)
    return PriceSeries(source, zone, start, length, price, merged_flags(tuple(flags), found))


def joined_prices(title: str, parts: Sequence[PriceSeries]) -> PriceSeries | SourceError:
    """Several answers of one source as one series."""
    if len(parts) == 1:
        return parts[0]
    flags = merged_flags(*(part.flags for part in parts))
    known = tuple(flag for flag in flags if flag not in (Flag.GAPS, Flag.EXTREME))
    return price_series(parts[0].source, title, parts[0].zone, (step for part in parts for step in _steps(part)), known)


def _steps(series: PriceSeries) -> Iterator[Step]:
    columns = zip(series.start_epoch_s, series.step_s, series.eur_per_kwh, strict=True)
    return (Step(int(start), int(length), float(price)) for start, length, price in columns)


def _problem(step: Step) -> str | None:
    """What is wrong with one step by itself."""
    if not EARLIEST_EPOCH_S <= step.start_epoch_s < LATEST_EPOCH_S:
        return "a time lies outside this century"
    when = _clock(step.start_epoch_s)
    if step.step_s not in STEPS_S:
        return f"the step from {when} is {step.step_s} s long, known are 15, 30 and 60 min"
    if step.start_epoch_s % SECONDS_PER_QUARTER:
        return f"the step from {when} does not begin at a quarter of an hour"
    if not math.isfinite(step.eur_per_kwh) or abs(step.eur_per_kwh) > MOST_EUR_PER_KWH:
        return f"the price from {when} is no market price"
    return None


def _clock(epoch_s: int) -> str:
    """A time in a sentence; numbers out of any calendar as they are."""
    if not EARLIEST_EPOCH_S <= epoch_s < LATEST_EPOCH_S:
        return str(epoch_s)
    return str(np.datetime64(epoch_s, "s")).replace("T", " ")[:16] + " UTC"
