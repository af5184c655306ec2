"""The steps of a plan on the clock, columns laid onto them, and hours of the week on the site's own clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from interfaces.domain.units import SECONDS_PER_HOUR, Bools, Floats, Ints
from optimizer.core.problem_types import DAYS, STEP_S, Block

MINUTES_PER_STEP: Final[int] = STEP_S // 60
LEAST_S: Final[float] = 1.0
"""A first step is never shorter: coefficients below the solver's own zero would vanish."""
DAY_STEPS: Final[int] = 24 * 4
WEEK_DAYS: Final[int] = 7


@dataclass(frozen=True, slots=True)
class Steps:
    """T steps. ``quarter_epoch_s`` (T,): the clock quarters; the first step is what is left of its own from now on.

    ``minute`` (T,): of the day, ``weekday`` (T,): 0 is Monday, both on the site's clock at the quarter's beginning.
    Clocks change on full quarters everywhere, so that a quarter never spans two days or two offsets.
    """

    now_epoch_s: float
    quarter_epoch_s: Ints
    dt_h: Floats
    minute: Ints
    weekday: Ints
    month: tuple[str, ...]

    @property
    def count(self) -> int:
        """T."""
        return len(self.dt_h)

    @property
    def begin_epoch_s(self) -> Floats:
        """(T,) beginning of each step; the first one begins now."""
        begin = self.quarter_epoch_s.astype(np.float64)
        begin[0] = self.now_epoch_s
        return begin

    @property
    def end_epoch_s(self) -> Ints:
        """(T,) end of each step."""
        return self.quarter_epoch_s + STEP_S


def steps_of(now_epoch_s: float, count: int, time_zone: str) -> Steps:
    """The quarter that holds ``now_epoch_s`` and the following ones."""
    first = int(now_epoch_s // STEP_S) * STEP_S
    quarters = first + STEP_S * np.arange(count, dtype=np.int64)
    dt_h = np.full(count, STEP_S / SECONDS_PER_HOUR)
    dt_h[0] = max(first + STEP_S - now_epoch_s, LEAST_S) / SECONDS_PER_HOUR
    zone = ZoneInfo(time_zone)
    local = [datetime.fromtimestamp(int(epoch_s), zone) for epoch_s in quarters]
    return Steps(
        now_epoch_s=now_epoch_s,
        quarter_epoch_s=quarters,
        dt_h=dt_h,
        minute=np.array([t.hour * 60 + t.minute for t in local], dtype=np.int64),
        weekday=np.array([t.weekday() for t in local], dtype=np.int64),
        month=tuple(f"{t.year:04d}-{t.month:02d}" for t in local),
    )


def holds(steps: Steps, block: Block, *, any_part: bool) -> Bools:
    """(T,) steps that begin inside a block of the week; ``any_part``: that share any minute with it."""
    begin, end = _minutes(block.begin), _minutes(block.end)
    named = np.zeros(WEEK_DAYS, dtype=np.bool_)
    named[[DAYS.index(day) for day in block.days]] = True
    today, yesterday = named[steps.weekday], named[(steps.weekday - 1) % WEEK_DAYS]
    last = steps.minute + (MINUTES_PER_STEP - 1 if any_part else 0)
    after_begin, before_end = last >= begin, steps.minute < end
    if begin < end:
        return today & after_begin & before_end
    return (today & after_begin) | (yesterday & before_end)


def _minutes(local: str) -> int:
    hour, minute = local.split(":")
    return int(hour) * 60 + int(minute)


def touched(steps: Steps, start_epoch_s: float, end_epoch_s: float | None) -> Bools:
    """(T,) steps that share any time with an interval; None: it does not end."""
    inside = steps.end_epoch_s > start_epoch_s
    return inside if end_epoch_s is None else inside & (steps.begin_epoch_s < end_epoch_s)


def laid(values: tuple[float | None, ...], start_epoch_s: float, step_s: int, steps: Steps) -> Floats:
    """(T,) a column of any whole step on the plan's quarters, NaN where nothing is known."""
    known = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    where = ((steps.quarter_epoch_s - start_epoch_s) // step_s).astype(np.int64)
    inside = (where >= 0) & (where < len(known))
    column = np.full(steps.count, np.nan)
    column[inside] = known[where[inside]]
    return column


def filled(column: Floats, highest: bool | None) -> Floats:
    """(T,) without gaps: from the same hour of the day before or after, else from the nearest known steps.

    ``highest``: of two such steps the higher one counts (True, load), the lower one (False, PV), or their mean (None).
    A column that knows nothing stays NaN.
    """
    known = np.isfinite(column)
    if known.all() or not known.any():
        return column
    out = column.copy()
    for t in np.flatnonzero(~known).tolist():
        day = [s for s in (t - DAY_STEPS, t + DAY_STEPS) if 0 <= s < len(column) and known[s]]
        out[t] = _of([column[s] for s in day] or _beside(column, known, t), highest)
    return out


def _beside(column: Floats, known: Bools, t: int) -> list[float]:
    where = np.flatnonzero(known)
    k = int(np.searchsorted(where, t))
    return [float(column[where[j]]) for j in (k - 1, k) if 0 <= j < len(where)]


def _of(values: list[float], highest: bool | None) -> float:
    if highest is None:
        return float(np.mean(values))
    return float(max(values) if highest else min(values))
