"""Weather quantities: the names and units of the services -> ours, and columns by the begin of a step.

Services stamp an hour's mean or sum with its END (radiation, precipitation, sunshine; Bright Sky: wind as well) and
give other quantities at the stamp. Here a mean or sum belongs to the step it was taken over and everything is named by
that step's begin: at the stamp of a moment the value of that moment, beside it the mean of the step that begins there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from interfaces.domain.series import Flag, WeatherSeries, gap_count, merged_flags
from interfaces.domain.units import (
    SECONDS_PER_QUARTER,
    Floats,
    Ints,
    frozen_floats,
    frozen_ints,
)
from interfaces.sources.answers import EARLIEST_EPOCH_S, LATEST_EPOCH_S, MAX_STEPS, STEPS_S, steps_between
from interfaces.sources.port import SourceError

Values = Sequence[float | None]
Convert = Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Quantity:
    """One of our quantities. ``low`` and ``high``: what can be; a value outside is missing."""

    name: str
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Column:
    """Values of one quantity by stamp, in our unit. ``preceding``: of the step that ends at the stamp."""

    quantity: Quantity
    values: Values
    preceding: bool


_QUANTITIES: Final = (
    Quantity("ghi_w_per_m2", 0.0, 1600.0),
    Quantity("direct_horizontal_w_per_m2", 0.0, 1400.0),
    Quantity("dhi_w_per_m2", 0.0, 1000.0),
    Quantity("dni_w_per_m2", 0.0, 1400.0),
    Quantity("temperature_c", -60.0, 60.0),
    Quantity("apparent_temperature_c", -90.0, 80.0),
    Quantity("dew_point_c", -80.0, 50.0),
    Quantity("relative_humidity_pct", 0.0, 100.0),
    Quantity("cloud_cover_pct", 0.0, 100.0),
    Quantity("wind_speed_m_per_s", 0.0, 110.0),
    Quantity("wind_gust_m_per_s", 0.0, 130.0),
    Quantity("wind_direction_deg", 0.0, 360.0),
    Quantity("precipitation_mm", 0.0, 500.0),
    Quantity("precipitation_probability_pct", 0.0, 100.0),
    Quantity("snowfall_cm", 0.0, 500.0),
    Quantity("snow_depth_m", 0.0, 30.0),
    Quantity("pressure_msl_hpa", 850.0, 1100.0),
    Quantity("surface_pressure_hpa", 450.0, 1100.0),
    Quantity("sunshine_s", 0.0, 3600.0),
    Quantity("visibility_m", 0.0, 500_000.0),
)
"""Bounds: irradiance up to the short enhancement at cloud edges; the rest beyond what Europe has seen."""
QUANTITIES: Final[Mapping[str, Quantity]] = {one.name: one for one in _QUANTITIES}


def weather_series(
    source: str, title: str, stamps: Sequence[int], columns: Iterable[Column], flags: Iterable[Flag] = ()
) -> WeatherSeries | SourceError:
    """The series of these columns, all (T,) by the stamps (T,) in ascending order, or why they are none."""
    problem = _stamp_problem(stamps)
    if problem is not None:
        return SourceError(title, problem)
    start = frozen_ints(list(stamps))
    length = frozen_ints(steps_between(stamps))
    found: dict[str, Floats] = {}
    for column in columns:
        values = _bounded(column.quantity, column.values)
        found[column.quantity.name] = frozen_floats(_by_begin(start, length, values) if column.preceding else values)
    if not found:
        return SourceError(title, "the answer holds no quantity that is known")
    # The mean of the last step ends behind the last stamp, so that every answer lacks it.
    whole = all(np.isfinite(values[:-1]).all() for values in found.values())
    marks = ((gap_count(start, length) > 0, Flag.GAPS), (not whole, Flag.MISSING))
    return WeatherSeries(
        source, start, length, found, merged_flags(tuple(flags), tuple(flag for there, flag in marks if there))
    )


def _stamp_problem(stamps: Sequence[int]) -> str | None:
    if not stamps:
        return "the answer holds no weather"
    if len(stamps) > MAX_STEPS:
        return f"the answer has more than {MAX_STEPS} steps"
    if any(not EARLIEST_EPOCH_S <= stamp < LATEST_EPOCH_S or stamp % SECONDS_PER_QUARTER for stamp in stamps):
        return "a time is no quarter of an hour of this century"
    if any(later <= earlier for earlier, later in pairwise(stamps)):
        return "the times are not in order or are given twice"
    if not any(later - earlier in STEPS_S for earlier, later in pairwise(stamps)):
        return "the steps are neither hours nor quarters"
    return None


def _bounded(quantity: Quantity, values: Values) -> Floats:
    column = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    column[(column < quantity.low) | (column > quantity.high)] = np.nan
    return column


def _by_begin(start: Ints, length: Ints, values: Floats) -> Floats:
    """A mean moved from the stamp at its end to the step it was taken over."""
    moved = np.full(values.shape, np.nan)
    follows = start[1:] == start[:-1] + length[:-1]
    moved[:-1][follows] = values[1:][follows]
    return moved
