"""From weather to the power of a PV plant: sun, planes, temperature, losses, inverter. Physics by pvlib, on arrays.

Sun -> Erbs decomposition where only global irradiance is known -> Hay-Davies on every plane -> Faiman cell
temperature -> PVWatts modules, losses and inverter. Instants are the middles of the quarters. Everything is finite:
night and a sun below the horizon give 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from pvlib import atmosphere, clearsky, iam, inverter, irradiance, pvsystem, spa, temperature

from forecasting.core.calendar import local_time
from interfaces.domain.units import MILLI, SECONDS_PER_QUARTER, Bools, Floats, Ints

STANDARD_PRESSURE_HPA: Final = 1013.25
"""For refraction; pvlib's solar position wants millibar."""
ANNUAL_TEMPERATURE_DEGC: Final = 12.0
"""For refraction only."""
DELTA_T_S: Final = 69.0
"""Terrestrial minus universal time, 2015 to 2030."""
REFRACTION_DEG: Final = 0.5667
LINKE_TURBIDITY: Final = 3.0
"""Typical of clean mid-latitude air (European cities reach 4 in summer)."""
ALBEDO: Final = 0.2
DIFFUSE_IAM: Final = 0.95
"""Glass passes this much of diffuse light, averaged over the sky."""
GAMMA_PER_DEGC: Final = -0.0037
"""Power coefficient of crystalline modules (data sheets: -0.0030 to -0.0045)."""
INVERTER_EFFICIENCY: Final = 0.96
"""PVWatts nominal."""
NEGLIGIBLE_KW: Final = 1e-6
"""A milliwatt: no inverter, no light."""
MILD_DEGC: Final = 15.0
LIGHT_WIND_M_PER_S: Final = 2.0
"""Stand-ins where temperature or wind are missing; 10 degC more is 4 % less power."""
BRIGHT: Final = 1.15
"""Direct light of the clearest air over that of ordinary clear air."""
LOWEST_SUN_COSINE: Final = 0.087
"""Below 5 degrees the light around the sun is spread like the rest: its projection on a plane would explode."""


@dataclass(frozen=True, slots=True)
class PvPlane:
    """Modules that look the same way: tilt from horizontal, azimuth clockwise from north (180 = south), peak power."""

    tilt_deg: float
    azimuth_deg: float
    kwp: float


@dataclass(frozen=True, slots=True)
class PvPlant:
    """A plant: place, planes, the most its inverters feed in (kW AC), and losses before them (soiling, wires,
    mismatch, age; 14 % is PVWatts' default).
    """

    latitude_deg: float
    longitude_deg: float
    planes: tuple[PvPlane, ...]
    inverter_kw: float
    loss_pct: float = 14.0
    altitude_m: float = 0.0

    @property
    def kwp(self) -> float:
        return sum(plane.kwp for plane in self.planes)


@dataclass(frozen=True, slots=True, eq=False)
class Sun:
    """The sun over a grid (T,): apparent zenith, azimuth (deg), extraterrestrial normal irradiance, day of the year,
    and what a clear sky gives (W/m2).
    """

    zenith_deg: Floats
    azimuth_deg: Floats
    extra_w_per_m2: Floats
    day_of_year: Ints
    clear_ghi_w_per_m2: Floats
    clear_dni_w_per_m2: Floats
    clear_dhi_w_per_m2: Floats

    @property
    def up(self) -> Bools:
        return self.zenith_deg < 90.0


@dataclass(frozen=True, slots=True, eq=False)
class Irradiance:
    """Global horizontal, direct normal and diffuse horizontal irradiance (T,), W/m2, finite and never negative."""

    ghi_w_per_m2: Floats
    dni_w_per_m2: Floats
    dhi_w_per_m2: Floats


def sun_over(plant: PvPlant, epoch_s: Ints) -> Sun:
    """The sun at the middle of the quarters that start at ``epoch_s`` (T,)."""
    middle_s = epoch_s.astype(np.float64) + SECONDS_PER_QUARTER / 2.0
    zenith, _, _, _, azimuth, _ = spa.solar_position(
        middle_s,
        plant.latitude_deg,
        plant.longitude_deg,
        plant.altitude_m,
        STANDARD_PRESSURE_HPA,
        ANNUAL_TEMPERATURE_DEGC,
        DELTA_T_S,
        REFRACTION_DEG,
    )
    day_of_year = local_time(epoch_s, "UTC").day_of_year
    extra = irradiance.get_extra_radiation(day_of_year)
    low = np.minimum(zenith, 90.0)
    pressure_pa = atmosphere.alt2pres(plant.altitude_m)
    airmass = atmosphere.get_absolute_airmass(atmosphere.get_relative_airmass(low), pressure_pa)
    clear = clearsky.ineichen(low, airmass, LINKE_TURBIDITY, altitude=plant.altitude_m, dni_extra=extra)
    up = zenith < 90.0
    ghi, dni, dhi = (np.where(up, np.nan_to_num(clear[name]), 0.0) for name in ("ghi", "dni", "dhi"))
    return Sun(zenith, azimuth, extra, day_of_year, ghi, dni, dhi)


def clear_irradiance(sun: Sun) -> Irradiance:
    """What a cloudless sky gives."""
    return Irradiance(sun.clear_ghi_w_per_m2, sun.clear_dni_w_per_m2, sun.clear_dhi_w_per_m2)


def irradiance_from(sun: Sun, ghi: Floats, dni: Floats | None, dhi: Floats | None) -> Irradiance:
    """Complete irradiance from finite ``ghi`` (T,) W/m2; where direct or diffuse are absent or NaN, by Erbs."""
    ghi = np.where(sun.up, np.clip(ghi, 0.0, sun.extra_w_per_m2), 0.0)
    split = irradiance.erbs(ghi, sun.zenith_deg, sun.day_of_year)
    # A low sun turns a small error of the global into a huge direct irradiance: never above a bright clear sky.
    split_dni = np.minimum(np.nan_to_num(split["dni"]), BRIGHT * sun.clear_dni_w_per_m2)
    split_dhi = np.maximum(ghi - split_dni * np.cos(np.radians(np.minimum(sun.zenith_deg, 90.0))), 0.0)
    if dni is None or dhi is None:
        return Irradiance(ghi, split_dni, split_dhi)
    given = np.isfinite(dni) & np.isfinite(dhi) & sun.up
    return Irradiance(
        ghi,
        np.where(given, np.clip(dni, 0.0, sun.extra_w_per_m2), split_dni),
        np.where(given, np.clip(dhi, 0.0, sun.extra_w_per_m2), split_dhi),
    )


def ac_power_kw(plant: PvPlant, sun: Sun, sky: Irradiance, air_degc: Floats, wind_m_per_s: Floats) -> Floats:
    """AC power (T,) kW of all planes behind the inverters, 0 .. ``inverter_kw``; NaN air or wind get stand-ins."""
    air_degc = np.where(np.isfinite(air_degc), np.clip(air_degc, -50.0, 60.0), MILD_DEGC)
    wind_m_per_s = np.where(np.isfinite(wind_m_per_s), np.clip(wind_m_per_s, 0.0, 60.0), LIGHT_WIND_M_PER_S)
    kept = 1.0 - plant.loss_pct / 100.0
    dc_kw = np.zeros(len(sun.zenith_deg))
    for plane in plant.planes:
        absorbed = _absorbed_w_per_m2(plane, sun, sky)
        cell_degc = temperature.faiman(absorbed, air_degc, wind_m_per_s)
        dc_kw += kept * pvsystem.pvwatts_dc(absorbed, cell_degc, plane.kwp, GAMMA_PER_DEGC)
    dc_kw = np.where(sun.up & (dc_kw > NEGLIGIBLE_KW), np.nan_to_num(dc_kw), 0.0)
    if plant.inverter_kw <= NEGLIGIBLE_KW:
        return np.zeros(len(dc_kw))
    ac_kw: Floats = inverter.pvwatts(dc_kw, plant.inverter_kw / INVERTER_EFFICIENCY, INVERTER_EFFICIENCY)
    return ac_kw


def clear_power_kw(plant: PvPlant, sun: Sun, air_degc: Floats, wind_m_per_s: Floats) -> Floats:
    """AC power (T,) kW under a cloudless sky."""
    return ac_power_kw(plant, sun, clear_irradiance(sun), air_degc, wind_m_per_s)


def _absorbed_w_per_m2(plane: PvPlane, sun: Sun, sky: Irradiance) -> Floats:
    """Light that gets through the glass of one plane (T,), W/m2."""
    zenith = np.minimum(sun.zenith_deg, 90.0)
    angle = irradiance.aoi(plane.tilt_deg, plane.azimuth_deg, zenith, sun.azimuth_deg)
    facing = np.maximum(np.cos(np.radians(angle)), 0.0)
    beam = sky.dni_w_per_m2 * facing * np.nan_to_num(iam.physical(angle))
    diffuse = irradiance.haydavies(
        plane.tilt_deg,
        plane.azimuth_deg,
        sky.dhi_w_per_m2,
        sky.dni_w_per_m2,
        sun.extra_w_per_m2,
        projection_ratio=facing / np.maximum(np.cos(np.radians(zenith)), LOWEST_SUN_COSINE),
    )
    ground = irradiance.get_ground_diffuse(plane.tilt_deg, sky.ghi_w_per_m2, ALBEDO)
    absorbed: Floats = np.clip(beam + DIFFUSE_IAM * (diffuse + ground), 0.0, 1.5 * MILLI)
    return absorbed
