"""What a building that nobody has measured yet is likely to draw: shapes of our own for a handful of uses.

Each shape is a base plus smooth plateaus over the local day, per class of day, with a season. Shapes were drawn by
hand to resemble what standard load profiles of their kind show (night base, morning and evening peak of homes; the
working day of an office; a shop's opening hours); they are scaled, so only their form matters.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from forecasting.core.calendar import DayClass, LocalTime
from interfaces.domain.units import SECONDS_PER_HOUR, Floats, Ints, frozen_floats

HOURS_PER_YEAR: Final = 8766.0
COLDEST_DAY: Final = 20
DAYS_PER_YEAR: Final = 365.25
DAYS_PER_WEEK: Final = {DayClass.WORKDAY: 5.0, DayClass.SATURDAY: 1.0, DayClass.SUNDAY: 1.0}
EDGE_H: Final = 0.6
"""How softly a plateau begins and ends."""


class BuildingUse(StrEnum):
    """What a building is for."""

    HOUSEHOLD = "household"
    OFFICE = "office"
    RETAIL = "retail"
    INDUSTRY = "industry"


@dataclass(frozen=True, slots=True)
class Plateau:
    """``height`` more than the base between two local hours."""

    from_h: float
    to_h: float
    height: float


@dataclass(frozen=True, slots=True)
class Shape:
    """Relative power over the local day per class of day; ``season``: how far midwinter lies above the mean;
    ``spread``: what to multiply the expectation by at each of the quantile levels.
    """

    base: float
    days: dict[DayClass, tuple[Plateau, ...]]
    season: float
    spread: Floats


def _spread(log_width: float) -> Floats:
    """Log-normal factors around the median at the quantile levels (the normal quantiles of 5, 10, 20 ... 95 %)."""
    normal = np.array([-1.645, -1.282, -0.842, -0.524, -0.253, 0.0, 0.253, 0.524, 0.842, 1.282, 1.645])
    return frozen_floats(np.exp(log_width * normal - log_width**2 / 2.0))


SHAPES: Final[dict[BuildingUse, Shape]] = {
    BuildingUse.HOUSEHOLD: Shape(
        0.45,
        {
            DayClass.WORKDAY: (Plateau(6.5, 9.0, 0.5), Plateau(9.0, 16.5, 0.3), Plateau(16.5, 22.5, 1.0)),
            DayClass.SATURDAY: (Plateau(8.0, 16.5, 0.7), Plateau(16.5, 22.5, 0.9)),
            DayClass.SUNDAY: (Plateau(8.5, 16.5, 0.8), Plateau(16.5, 22.5, 0.9)),
        },
        0.18,
        _spread(0.7),
    ),
    BuildingUse.OFFICE: Shape(
        0.45,
        {
            DayClass.WORKDAY: (Plateau(7.0, 18.0, 1.6),),
            DayClass.SATURDAY: (Plateau(9.0, 15.0, 0.15),),
            DayClass.SUNDAY: (),
        },
        0.08,
        _spread(0.4),
    ),
    BuildingUse.RETAIL: Shape(
        0.5,
        {
            DayClass.WORKDAY: (Plateau(8.0, 19.0, 1.2),),
            DayClass.SATURDAY: (Plateau(8.0, 18.5, 1.2),),
            DayClass.SUNDAY: (Plateau(10.0, 17.0, 0.3),),
        },
        0.06,
        _spread(0.4),
    ),
    BuildingUse.INDUSTRY: Shape(
        0.6,
        {
            DayClass.WORKDAY: (Plateau(6.0, 22.0, 0.9),),
            DayClass.SATURDAY: (Plateau(6.0, 14.0, 0.3),),
            DayClass.SUNDAY: (),
        },
        0.04,
        _spread(0.5),
    ),
}


def relative_profile(use: BuildingUse, local: LocalTime, *, south: bool = False) -> Floats:
    """Power (T,) as a multiple of the year's mean power."""
    shape = SHAPES[use]
    hour = local.second_of_day / SECONDS_PER_HOUR
    power = np.choose(local.day_class, [_day(shape, DayClass(kind), hour) for kind in DayClass])
    return power / _mean(shape) * _season(shape, local.day_of_year, south=south)


def relative_quantiles(use: BuildingUse, local: LocalTime, *, south: bool = False) -> Floats:
    """Quantiles (T, Q) of power as multiples of the year's mean power."""
    quantiles: Floats = relative_profile(use, local, south=south)[:, None] * SHAPES[use].spread
    return quantiles


def mean_power_kw(annual_kwh: float) -> float:
    """The power that makes this energy in a year."""
    return annual_kwh / HOURS_PER_YEAR


def _day(shape: Shape, kind: DayClass, hour: Floats) -> Floats:
    power = np.full(hour.shape, shape.base)
    for plateau in shape.days[kind]:
        power += plateau.height * (_step(hour - plateau.from_h) - _step(hour - plateau.to_h))
    return power


def _step(hours_after: Floats) -> Floats:
    """0 before, 1 after, a smooth edge between."""
    edge: Floats = 0.5 * (1.0 + np.tanh(hours_after / EDGE_H))
    return edge


def _mean(shape: Shape) -> float:
    """Mean of the relative power over an ordinary week."""
    hours = np.arange(0.125, 24.0, 0.25)
    return sum(days * float(_day(shape, kind, hours).mean()) for kind, days in DAYS_PER_WEEK.items()) / 7.0


def _season(shape: Shape, day_of_year: Ints, *, south: bool) -> Floats:
    coldest = COLDEST_DAY + (DAYS_PER_YEAR / 2.0 if south else 0.0)
    season: Floats = 1.0 + shape.season * np.cos(2.0 * np.pi * (day_of_year - coldest) / DAYS_PER_YEAR)
    return season
