"""How cars usually stay, charge and arrive at a kind of site that has no sessions of its own yet.

Rounded from public session records: workplace from ACN-Data (Caltech, 2019-2020), home from Norwegian apartment blocks
(2018-2021), public from ElaadNL (2018). Those cars had smaller batteries than today's, so energies are on the low side
until a site's own sessions outweigh them. Depots are an assumption (vans back in the afternoon, out again at six):
no public record of one was found.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from forecasting.core.calendar import DayClass
from interfaces.domain.units import SECONDS_PER_HOUR, Floats, frozen_floats


class SiteClass(StrEnum):
    """Why cars stand there."""

    WORKPLACE = "workplace"
    DEPOT = "depot"
    HOME = "home"
    PUBLIC = "public"


BLOCK_STARTS_H: Final = (5, 9, 13, 17, 21)
"""Local hours at which another kind of arrival begins; the last block runs over midnight to the first."""


@dataclass(frozen=True, slots=True)
class ClassPrior:
    """Quantiles by block of the arrival hour, (5, Q): ``stay_h`` plug-in to plug-out, ``energy_kwh``. ``hourly``
    (2, 24): percent of a workday's (row 0) and a free day's (row 1) arrivals per local hour. ``per_charger`` (2,):
    arrivals per charger and day, likewise.
    """

    stay_h: Floats
    energy_kwh: Floats
    hourly: Floats
    per_charger: tuple[float, float]


def _table(*rows: tuple[float, ...]) -> Floats:
    return frozen_floats(rows)


PRIORS: Final[dict[SiteClass, ClassPrior]] = {
    SiteClass.WORKPLACE: ClassPrior(
        _table(
            (1.3, 1.8, 3.7, 5.4, 7.1, 8.2, 8.7, 9.0, 9.5, 10.2, 11.1),
            (1.1, 1.6, 3.0, 4.6, 5.9, 6.7, 7.4, 8.0, 8.7, 9.6, 10.5),
            (0.6, 0.8, 1.2, 1.6, 2.0, 2.5, 3.1, 3.8, 4.6, 5.6, 6.7),
            (0.6, 0.8, 1.1, 1.4, 1.5, 1.8, 2.1, 2.7, 3.8, 12.0, 16.0),
            (0.5, 0.6, 1.2, 2.5, 6.4, 8.8, 10.5, 12.7, 15.4, 20.6, 26.9),
        ),
        _table(
            (0.8, 0.9, 2.2, 4.0, 4.7, 5.8, 7.9, 11.0, 14.1, 18.8, 25.6),
            (0.9, 0.9, 1.9, 3.4, 4.5, 6.1, 7.9, 10.8, 12.7, 17.4, 24.9),
            (0.8, 0.9, 0.9, 1.7, 2.6, 4.0, 5.4, 6.7, 9.3, 14.4, 18.5),
            (0.9, 0.9, 1.9, 3.6, 4.9, 6.3, 7.9, 10.0, 13.2, 16.2, 32.3),
            (0.8, 0.9, 2.1, 4.4, 6.3, 11.3, 12.4, 15.6, 26.3, 43.2, 47.3),
        ),
        _table(
            (0, 0, 0, 0, 0, 0, 2, 8, 21, 23, 14, 7, 7, 6, 4, 2, 2, 2, 1, 1, 0, 0, 0, 0),
            (1, 0, 1, 0, 0, 0, 1, 2, 7, 8, 11, 9, 9, 6, 7, 9, 7, 6, 5, 4, 3, 2, 1, 1),
        ),
        (0.7, 0.15),
    ),
    SiteClass.DEPOT: ClassPrior(
        _table(
            (1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 14.0, 20.0, 22.0, 23.0, 24.0),
            (0.5, 0.8, 1.5, 3.0, 8.0, 16.0, 18.0, 19.0, 20.0, 21.0, 22.0),
            (1.0, 4.0, 11.0, 13.0, 13.8, 14.5, 15.0, 15.5, 16.0, 17.0, 20.0),
            (4.0, 8.0, 9.5, 10.3, 10.8, 11.3, 11.8, 12.3, 13.0, 14.0, 16.0),
            (3.0, 4.0, 5.5, 6.5, 7.2, 7.8, 8.3, 8.8, 9.5, 10.5, 12.0),
        ),
        _table(*[(6.0, 9.0, 14.0, 19.0, 23.0, 27.0, 32.0, 37.0, 43.0, 52.0, 62.0)] * 5),
        _table(
            (0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 3, 4, 5, 9, 17, 22, 17, 9, 4, 2, 1, 1, 0),
            (0, 0, 0, 0, 0, 0, 2, 4, 5, 5, 6, 8, 9, 9, 10, 11, 11, 8, 5, 3, 2, 1, 1, 0),
        ),
        (0.9, 0.2),
    ),
    SiteClass.HOME: ClassPrior(
        _table(
            (0.6, 1.3, 2.1, 3.1, 4.4, 5.9, 7.2, 8.8, 10.9, 14.9, 24.1),
            (0.5, 0.8, 1.4, 2.0, 2.6, 3.3, 4.3, 5.4, 8.1, 22.0, 27.1),
            (0.6, 1.1, 1.9, 2.9, 4.4, 13.9, 14.9, 16.0, 18.9, 23.6, 40.4),
            (0.7, 1.3, 3.0, 10.4, 11.7, 12.8, 13.8, 15.1, 17.0, 20.7, 26.9),
            (1.9, 5.9, 8.1, 9.0, 9.6, 10.4, 11.5, 13.0, 14.7, 17.9, 21.6),
        ),
        _table(
            (1.2, 2.6, 4.4, 5.9, 8.9, 10.9, 13.4, 15.6, 20.8, 27.2, 33.7),
            (1.4, 2.1, 3.0, 4.0, 5.1, 6.2, 7.6, 9.7, 13.0, 19.6, 28.7),
            (1.6, 2.5, 3.8, 4.7, 5.8, 6.9, 8.4, 10.6, 14.4, 21.7, 29.3),
            (1.6, 2.6, 4.2, 5.6, 6.9, 8.3, 10.3, 12.8, 16.3, 25.0, 36.0),
            (2.2, 3.9, 6.5, 8.4, 10.6, 12.7, 14.9, 17.9, 23.2, 31.0, 38.8),
        ),
        _table(
            (2, 1, 1, 0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 6, 9, 12, 10, 9, 9, 9, 8, 7, 4),
            (3, 2, 1, 1, 1, 1, 1, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 8, 8, 8, 7, 6, 5, 2),
        ),
        (0.5, 0.45),
    ),
    SiteClass.PUBLIC: ClassPrior(
        _table(
            (0.7, 1.3, 2.3, 3.2, 4.1, 5.2, 6.8, 8.1, 8.8, 9.4, 10.5),
            (0.3, 0.5, 1.1, 1.6, 2.2, 2.8, 3.5, 4.2, 5.2, 7.1, 16.6),
            (0.3, 0.6, 1.2, 1.8, 2.4, 3.2, 4.5, 10.8, 14.8, 17.0, 19.1),
            (0.8, 1.3, 2.0, 2.7, 4.1, 10.6, 11.6, 12.5, 13.4, 15.5, 18.1),
            (1.7, 2.4, 7.4, 8.7, 9.5, 10.7, 11.9, 12.7, 12.9, 14.1, 17.5),
        ),
        _table(
            (1.2, 2.4, 5.0, 6.3, 6.9, 7.5, 8.3, 9.4, 11.5, 12.4, 15.9),
            (0.8, 1.4, 2.6, 4.0, 5.6, 6.8, 7.5, 8.8, 10.0, 14.4, 21.3),
            (0.8, 1.4, 2.5, 3.1, 4.7, 6.1, 7.3, 8.9, 9.8, 15.2, 40.3),
            (1.8, 2.8, 4.3, 5.9, 7.1, 8.5, 9.4, 10.9, 12.1, 29.2, 50.2),
            (3.1, 4.2, 5.1, 5.7, 6.4, 7.2, 8.9, 9.9, 12.2, 30.5, 55.3),
        ),
        _table(
            (0, 0, 0, 1, 1, 2, 7, 9, 8, 7, 6, 6, 7, 6, 6, 7, 8, 7, 5, 3, 2, 1, 1, 0),
            (0, 0, 0, 1, 1, 2, 5, 7, 8, 7, 7, 7, 8, 7, 7, 7, 8, 6, 5, 3, 2, 1, 1, 0),
        ),
        (0.8, 0.8),
    ),
}


def arrival_block(second_of_day: int) -> int:
    """Which row of the tables an arrival at this local second belongs to."""
    hour = second_of_day // SECONDS_PER_HOUR
    later = sum(hour >= start for start in BLOCK_STARTS_H)
    return (later - 1) % len(BLOCK_STARTS_H)


def daily_rates(site_class: SiteClass, day_class: int) -> Floats:
    """Expected arrivals per charger in each quarter of a local day (96,)."""
    prior = PRIORS[site_class]
    row = 0 if day_class == int(DayClass.WORKDAY) else 1
    share = np.repeat(prior.hourly[row] / prior.hourly[row].sum(), 4) / 4.0
    rates: Floats = share * prior.per_charger[row]
    return rates
