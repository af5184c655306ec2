"""How far PV power strays: shares of clear-sky power, by what was expected and by season. Constants, with origin."""

from __future__ import annotations

from typing import Final

import numpy as np

from interfaces.domain.units import Floats, Ints, frozen_floats

# Day-ahead ECMWF weather through this chain, three Australian plants, mostly June to December 2012 (GEFCom2014 solar
# track): quantiles of measured over clear-sky power (after the slow ratio), weighted by the latter, per bin of the
# expected share; rounded.
EXPECTED_NODES: Final[Floats] = frozen_floats(
    [0.0, 0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95, 1.03, 1.15]
)
SPREAD_NODES: Final[Floats] = frozen_floats(
    [
        [0.00, 0.00, 0.01, 0.01, 0.02, 0.03, 0.04, 0.06, 0.10, 0.15, 0.20],
        [0.02, 0.02, 0.04, 0.05, 0.06, 0.07, 0.09, 0.11, 0.15, 0.21, 0.29],
        [0.05, 0.06, 0.08, 0.11, 0.14, 0.17, 0.20, 0.25, 0.32, 0.43, 0.58],
        [0.08, 0.10, 0.15, 0.19, 0.24, 0.29, 0.35, 0.44, 0.57, 0.80, 0.93],
        [0.11, 0.15, 0.21, 0.27, 0.34, 0.41, 0.50, 0.60, 0.75, 0.92, 1.01],
        [0.14, 0.20, 0.28, 0.36, 0.44, 0.53, 0.63, 0.74, 0.86, 0.98, 1.04],
        [0.17, 0.24, 0.35, 0.45, 0.54, 0.63, 0.73, 0.83, 0.93, 1.01, 1.05],
        [0.20, 0.29, 0.42, 0.53, 0.63, 0.73, 0.82, 0.90, 0.97, 1.03, 1.07],
        [0.25, 0.35, 0.52, 0.63, 0.73, 0.82, 0.89, 0.95, 0.99, 1.04, 1.08],
        [0.31, 0.43, 0.62, 0.73, 0.83, 0.90, 0.95, 0.98, 1.02, 1.06, 1.10],
        [0.40, 0.54, 0.74, 0.85, 0.93, 0.97, 0.99, 1.01, 1.04, 1.08, 1.12],
        [0.58, 0.77, 0.94, 0.98, 1.00, 1.02, 1.04, 1.06, 1.08, 1.12, 1.18],
        [0.60, 0.79, 0.97, 1.03, 1.07, 1.10, 1.12, 1.15, 1.19, 1.24, 1.28],
    ]
)
# The same share without any forecast, through the weather of one Belgian year (Open-Meteo archive, 2025).
MIDSUMMER: Final[Floats] = frozen_floats([0.25, 0.34, 0.47, 0.58, 0.68, 0.77, 0.84, 0.90, 0.95, 0.98, 1.00])
MIDWINTER: Final[Floats] = frozen_floats([0.05, 0.09, 0.14, 0.19, 0.25, 0.31, 0.40, 0.52, 0.72, 0.93, 1.00])
MIDSUMMER_DAY: Final = 197
"""The warmest third of the northern year is around mid-July."""
DAYS_PER_YEAR: Final = 365.25


def spread_rows(expected: Floats) -> Floats:
    """Quantiles (T, Q) of the share of clear-sky power, given the expected share (T,)."""
    return np.stack([np.interp(expected, EXPECTED_NODES, column) for column in SPREAD_NODES.T], axis=1)


def climate_rows(day_of_year: Ints, latitude_deg: float) -> Floats:
    """Quantiles (T, Q) of the share of clear-sky power where no weather is known, by season."""
    opposite = 0.0 if latitude_deg >= 0.0 else DAYS_PER_YEAR / 2.0
    phase = 2.0 * np.pi * (day_of_year - MIDSUMMER_DAY - opposite) / DAYS_PER_YEAR
    summer = ((1.0 + np.cos(phase)) / 2.0)[:, None]
    rows: Floats = summer * MIDSUMMER + (1.0 - summer) * MIDWINTER
    return rows
