"""PV power of the coming quarters: weather through the plant's physics, corrected by what was just measured.

The spread is a table of measured power over clear-sky power by what the chain expected (both as a share of a clear
sky), so it is narrow under a clear or a fully clouded sky and wide between. Where weather is missing, the climate's
own distribution and, as far as known, this plant's recent one take its place, and the forecast says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from forecasting.core.calendar import quarters
from forecasting.core.history import Measured, looked_up
from forecasting.core.pv_chain import (
    PvPlane,
    PvPlant,
    Sun,
    ac_power_kw,
    clear_power_kw,
    irradiance_from,
    sun_over,
)
from forecasting.core.pv_correction import FRESH_SHARE, Correction, corrected_by
from forecasting.core.pv_spread import climate_rows, spread_rows
from forecasting.core.quantiles import MEDIAN, Flag, QuantileSeries, monotone
from interfaces.domain.units import Bools, Floats, Ints, frozen_floats

__all__ = ["Measured", "PvPlane", "PvPlant", "WeatherColumns", "clear_sky_kw", "forecast", "quarters_from_hours"]

OVERSHOOT: Final = 1.3
"""The most a quarter gives over a clear sky: bright cloud edges, air clearer than assumed, an understated kWp."""
NARROWED: Final = 0.15
"""How much narrower the spread is right after a measurement than a day ahead."""
QUARTERS_PER_HOUR: Final = 4
LOW_SUN_W_PER_M2: Final = 5.0
"""Below this clear-sky irradiance a ratio to it means nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class WeatherColumns:
    """Forecast (or measured) weather per quarter from ``start_epoch_s``, (N,) columns, NaN or None where missing.

    Global horizontal, direct normal and diffuse horizontal irradiance W/m2, air temperature degC, wind m/s at 10 m.
    It should reach back over the recent measurements too: the correction compares those with what the chain says.
    """

    start_epoch_s: int
    ghi_w_per_m2: Floats
    dni_w_per_m2: Floats | None = None
    dhi_w_per_m2: Floats | None = None
    temperature_degc: Floats | None = None
    wind_m_per_s: Floats | None = None

    def over(self, name: str, epoch_s: Ints) -> Floats | None:
        """A column on another grid (T,), NaN outside; None where the whole column is."""
        column: Floats | None = getattr(self, name)
        return None if column is None else looked_up(self.start_epoch_s, np.asarray(column, np.float64), epoch_s)


@dataclass(frozen=True, slots=True, eq=False)
class _Chain:
    """The chain over a grid (T,): clear-sky power kW, expected power as a share of it, and where weather was known."""

    clear_kw: Floats
    index: Floats
    known: Bools


def forecast(
    plant: PvPlant, weather: WeatherColumns | None, start_epoch_s: int, steps: int, recent: Measured | None = None
) -> QuantileSeries:
    """PV power (kW, >= 0, mean per quarter) for ``steps`` quarters from ``start_epoch_s``.

    ``recent``: feed-in (kW, positive) up to now with the quarters we curtailed marked; two weeks are enough, more is
    not used. ``weather`` None or NaN: climatology, flagged.
    """
    epoch_s = quarters(start_epoch_s, steps)
    sun = sun_over(plant, epoch_s)
    chain = _chain(plant, weather, sun, epoch_s)
    climate = climate_rows(sun.day_of_year, plant.latitude_deg)
    flags = _weather_flags(chain.known, sun)
    shift = fresh = np.zeros(steps)
    if recent is not None:
        # The first quarter is always among the wanted rows: its usual share is what a blind past is compared with.
        wanted = ~chain.known & sun.up
        wanted[:1] = True
        correction, climate[wanted] = _learned(
            plant, weather, recent.until(start_epoch_s), epoch_s[wanted], climate[wanted]
        )
        if correction.samples:
            flags += (Flag.CORRECTED,)
        chain = _Chain(chain.clear_kw * correction.ratio, chain.index, chain.known)
        if correction.samples:
            fresh = correction.freshness(epoch_s)
        shift = correction.shift * fresh
    values = _quantiles(chain, climate, shift, fresh)
    bound_kw = np.minimum(OVERSHOOT * chain.clear_kw, plant.inverter_kw)
    return QuantileSeries(start_epoch_s, np.clip(values, 0.0, bound_kw[:, None]), flags=flags)


def clear_sky_kw(plant: PvPlant, start_epoch_s: int, steps: int) -> Floats:
    """Power (T,) kW under a cloudless sky at a mild temperature: what a bound on feeding in may assume."""
    sun = sun_over(plant, quarters(start_epoch_s, steps))
    return _clear_kw(plant, None, sun, quarters(start_epoch_s, steps))


def quarters_from_hours(plant: PvPlant, start_epoch_s: int, ghi_w_per_m2: Floats) -> Floats:
    """Hourly mean global irradiance (H,), hours from ``start_epoch_s``, as quarters (4 H,): the clearness of the hour
    is kept and the sun moves within it, so that the hour's mean stays what it was.
    """
    hours = len(ghi_w_per_m2)
    sun = sun_over(plant, quarters(start_epoch_s, hours * QUARTERS_PER_HOUR))
    clear = sun.clear_ghi_w_per_m2.reshape(hours, QUARTERS_PER_HOUR)
    mean = clear.mean(axis=1)
    lit = mean > LOW_SUN_W_PER_M2
    shape = np.where(lit[:, None], clear / np.where(lit, mean, 1.0)[:, None], 1.0)
    return (shape * np.asarray(ghi_w_per_m2, np.float64)[:, None]).ravel()


def _clear_kw(plant: PvPlant, weather: WeatherColumns | None, sun: Sun, epoch_s: Ints) -> Floats:
    air, wind = _air(weather, epoch_s)
    return clear_power_kw(plant, sun, air, wind)


def _air(weather: WeatherColumns | None, epoch_s: Ints) -> tuple[Floats, Floats]:
    """Temperature degC and wind m/s (T,), NaN where missing."""
    missing = frozen_floats(np.full(len(epoch_s), np.nan))
    columns = [None if weather is None else weather.over(n, epoch_s) for n in ("temperature_degc", "wind_m_per_s")]
    air, wind = (missing if column is None else column for column in columns)
    return air, wind


def _chain(plant: PvPlant, weather: WeatherColumns | None, sun: Sun, epoch_s: Ints) -> _Chain:
    clear_kw = _clear_kw(plant, weather, sun, epoch_s)
    ghi = None if weather is None else weather.over("ghi_w_per_m2", epoch_s)
    if weather is None or ghi is None:
        return _Chain(clear_kw, np.zeros(len(epoch_s)), np.zeros(len(epoch_s), dtype=np.bool_))
    known = np.isfinite(ghi)
    sky = irradiance_from(
        sun,
        np.where(known, ghi, 0.0),
        weather.over("dni_w_per_m2", epoch_s),
        weather.over("dhi_w_per_m2", epoch_s),
    )
    expected_kw = ac_power_kw(plant, sun, sky, *_air(weather, epoch_s))
    index = np.where(clear_kw > 0.0, expected_kw / np.where(clear_kw > 0.0, clear_kw, 1.0), 0.0)
    return _Chain(clear_kw, np.clip(index, 0.0, OVERSHOOT), known)


def _weather_flags(known: Bools, sun: Sun) -> tuple[Flag, ...]:
    """Nights need no weather."""
    if (known | ~sun.up).all():
        return ()
    return (Flag.WEATHER_PARTIAL,) if (known & sun.up).any() else (Flag.WEATHER_MISSING,)


def _learned(
    plant: PvPlant, weather: WeatherColumns | None, recent: Measured, epoch_s: Ints, climate: Floats
) -> tuple[Correction, Floats]:
    """What the measurements say about the chain, and the climate's rows (T, Q) moved towards this plant's own."""
    past_s = recent.epoch_s
    free_kw = recent.free_kw()
    recently = (past_s >= recent.end_epoch_s - Correction.MEMORY_S) & np.isfinite(free_kw)
    past_s, free_kw = past_s[recently], free_kw[recently]
    sun = sun_over(plant, past_s)
    chain = _chain(plant, weather, sun, past_s)
    bright = chain.clear_kw > FRESH_SHARE * min(plant.kwp, plant.inverter_kw)
    chain = _Chain(chain.clear_kw[bright], chain.index[bright], chain.known[bright])
    measured = np.clip(free_kw[bright] / chain.clear_kw, 0.0, 2.0 * OVERSHOOT)
    return corrected_by(past_s[bright], measured, chain.index, chain.known, chain.clear_kw, epoch_s, climate)


def _quantiles(chain: _Chain, climate: Floats, shift: Floats, fresh: Floats) -> Floats:
    """KW (T, Q): around the chain where weather is known, the climate's rows elsewhere, both moved by ``shift`` and
    the narrower the fresher it is.
    """
    moved = np.clip(chain.index + shift, 0.0, OVERSHOOT)
    rows = np.where(chain.known[:, None], spread_rows(moved), climate + shift[:, None])
    centre = rows[:, [MEDIAN]]
    rows = centre + (rows - centre) * (1.0 - NARROWED * fresh)[:, None]
    return monotone(np.clip(rows, 0.0, OVERSHOOT)) * chain.clear_kw[:, None]
