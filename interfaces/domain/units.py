"""Units, ids and the only conversion factors of the product.

Decision columns are int64 milliamperes (``_ma``), millivolts (``_mv``) and milliwatts (``_mw``) so that a journal
replays bit-equal on any processor. People's files and messages carry amperes, volts, watts.
A missing number is ``MISSING`` in an integer column and never 0; masks decide before anything is added.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

MISSING: Final[int] = int(np.iinfo(np.int64).min)
"""No value. Far outside every range check, so that a forgotten mask is loud instead of plausible."""

NEVER_S: Final[float] = float("-inf")
"""Time of something that has not happened; ages computed from it are infinite."""

MILLI: Final[int] = 1000
MW_PER_KW: Final[int] = MILLI * MILLI
"""Milliwatts, for columns; single values have their functions below."""
PERMILLE: Final[int] = 1000
SECONDS_PER_MINUTE: Final[int] = 60
SECONDS_PER_QUARTER: Final[int] = 900
SECONDS_PER_HOUR: Final[int] = 3600
SECONDS_PER_DAY: Final[int] = 86_400


def ma_from_a(current_a: float) -> int:
    """Amperes to milliamperes, rounded to the nearest (facts and readings; setpoints are floored by ``quantise``)."""
    return round(current_a * MILLI)


def a_from_ma(current_ma: int) -> float:
    """Milliamperes to amperes."""
    return current_ma / MILLI


def mw_from_w(power_w: float) -> int:
    """Watts to milliwatts."""
    return round(power_w * MILLI)


def w_from_mw(power_mw: int) -> float:
    """Milliwatts to watts."""
    return power_mw / MILLI


def kw_from_w(power_w: float) -> float:
    """Watts to kilowatts."""
    return power_w / MILLI


def kw_from_mw(power_mw: float) -> float:
    """Milliwatts to kilowatts."""
    return power_mw / MW_PER_KW


def w_from_kw(power_kw: float) -> float:
    """Kilowatts (or kvar) to watts (or var), to the milliwatt."""
    return round(power_kw * MILLI, 3)


def mv_from_v(voltage_v: float) -> int:
    """Volts to millivolts."""
    return round(voltage_v * MILLI)


def kwh_from_ws(energy_ws: float) -> float:
    """Watt-seconds to kilowatt-hours."""
    return energy_ws / (MILLI * SECONDS_PER_HOUR)


def kwh_from_wh(energy_wh: float) -> float:
    """Watt-hours to kilowatt-hours."""
    return energy_wh / MILLI


def wh_from_kwh(energy_kwh: float) -> float:
    """Kilowatt-hours to watt-hours."""
    return energy_kwh * MILLI


def eur_per_kwh_from_eur_per_mwh(price_eur_per_mwh: float) -> float:
    """Exchange prices to the product's unit; exact for the decimals that exchanges and hourly means of them have."""
    return round(price_eur_per_mwh / MILLI, 12)


def m_per_s_from_km_per_h(speed_km_per_h: float) -> float:
    """Wind speeds of weather services."""
    return round(speed_km_per_h * MILLI / SECONDS_PER_HOUR, 12)


def w_per_m2_from_kwh_per_m2(energy_kwh_per_m2: float, step_s: int) -> float:
    """Irradiation summed over a step to its mean irradiance."""
    return round(energy_kwh_per_m2 * MILLI * SECONDS_PER_HOUR / step_s, 9)


def frozen_ints(values: npt.ArrayLike) -> Ints:
    """A read-only int64 copy."""
    column = np.array(values, dtype=np.int64)
    column.setflags(write=False)
    return column


def frozen_floats(values: npt.ArrayLike) -> Floats:
    """A read-only float64 copy."""
    column = np.array(values, dtype=np.float64)
    column.setflags(write=False)
    return column


def frozen_bools(values: npt.ArrayLike) -> Bools:
    """A read-only bool copy."""
    column = np.array(values, dtype=np.bool_)
    column.setflags(write=False)
    return column
