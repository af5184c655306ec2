"""PV forecasts: physical bounds, nights, low sun, missing weather, and what the correction may and may not do."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.core import pv
from forecasting.core.calendar import quarters
from forecasting.core.history import Measured
from forecasting.core.pv_chain import PvPlane, PvPlant, ac_power_kw, irradiance_from, sun_over
from forecasting.core.quantiles import Flag

DAY = 86_400
NOON = int(datetime(2025, 6, 20, 11, 30, tzinfo=UTC).timestamp())
MIDNIGHT = int(datetime(2025, 6, 20, tzinfo=UTC).timestamp())
ROOF = PvPlant(51.0, 4.0, (PvPlane(30.0, 180.0, 10.0),), 9.0)
NUMBER = st.one_of(st.none(), st.floats(-500.0, 3000.0), st.just(float("nan")), st.just(float("inf")))


def clear_weather(plant: PvPlant, start: int, steps: int, share: float = 1.0) -> pv.WeatherColumns:
    sun = sun_over(plant, quarters(start, steps))
    return pv.WeatherColumns(start, share * sun.clear_ghi_w_per_m2, temperature_degc=np.full(steps, 18.0))


def fed_in(plant: PvPlant, start: int, steps: int, factor: float, share: float = 1.0) -> Measured:
    """What a plant of ``factor`` times the declared one gave under ``share`` of a clear sky."""
    sun = sun_over(plant, quarters(start, steps))
    weather = clear_weather(plant, start, steps, share)
    sky = irradiance_from(sun, weather.ghi_w_per_m2, None, None)
    nan = np.full(steps, np.nan)
    return Measured(start, factor * ac_power_kw(plant, sun, sky, np.full(steps, 18.0), nan))


@st.composite
def plants(draw: st.DrawFn) -> PvPlant:
    planes = draw(
        st.lists(st.builds(PvPlane, st.floats(0, 90), st.floats(0, 360), st.floats(0.0, 500.0)), min_size=0, max_size=4)
    )
    return PvPlant(
        draw(st.floats(-66, 70)),
        draw(st.floats(-180, 180)),
        tuple(planes),
        draw(st.floats(0.0, 800.0)),
        draw(st.floats(0.0, 40.0)),
        draw(st.floats(0.0, 3000.0)),
    )


@settings(max_examples=60)
@given(plants(), st.integers(0, 2**31), st.lists(NUMBER, min_size=1, max_size=40), st.data())
def test_any_plant_under_any_weather_stays_inside_its_bounds(plant, start, cells, data):
    start = start // 900 * 900
    column = np.array([np.nan if cell is None else cell for cell in cells])
    weather = data.draw(st.sampled_from([None, pv.WeatherColumns(start, column, column, column, column, column)]))
    recent = data.draw(st.sampled_from([None, Measured(start - 900 * len(column), column)]))
    series = pv.forecast(plant, weather, start, 60, recent)
    clear = pv.clear_sky_kw(plant, start, 60)
    assert np.isfinite(series.values).all()
    assert (np.diff(series.values, axis=1) >= 0.0).all()
    assert series.values.min() >= 0.0
    assert series.values.max() <= plant.inverter_kw + 1e-9
    assert (series.values[clear <= 0.0] == 0.0).all()


@pytest.mark.parametrize("latitude", [-66.0, -35.0, 0.0, 51.0, 70.0])
@pytest.mark.parametrize("month", [3, 6, 12])
def test_nights_are_dark_and_low_sun_is_a_small_number(latitude, month):
    planes = tuple(PvPlane(tilt, azimuth, 2.0) for tilt in (10.0, 60.0) for azimuth in (70.0, 180.0, 290.0, 0.0))
    plant = replace(ROOF, latitude_deg=latitude, planes=planes)
    start = int(datetime(2025, month, 21, tzinfo=UTC).timestamp())
    sun = sun_over(plant, quarters(start, 96))
    series = pv.forecast(plant, clear_weather(plant, start, 96), start, 96)
    assert (series.values[sun.zenith_deg > 90.0] == 0.0).all()
    low = (sun.zenith_deg > 86.0) & sun.up
    assert (series.values[low] < 0.12 * plant.kwp).all()


def test_a_rising_sun_does_not_blind_an_east_wall():
    wall = replace(ROOF, planes=(PvPlane(90.0, 55.0, 10.0),))
    power = pv.clear_sky_kw(wall, MIDNIGHT, 96)
    sun = sun_over(wall, quarters(MIDNIGHT, 96))
    rising = np.flatnonzero(sun.up)[:6]
    assert (np.diff(power[rising]) > 0.0).all()
    assert power[rising[0]] < 0.05 * wall.kwp


def test_too_much_global_light_at_sunrise_is_diffuse():
    sun = sun_over(ROOF, quarters(MIDNIGHT, 96))
    sky = irradiance_from(sun, np.full(96, 200.0), None, None)
    early = np.flatnonzero(sun.up)[:6]
    assert (sky.dni_w_per_m2[early] <= 1.15 * sun.clear_dni_w_per_m2[early] + 1e-9).all()
    assert (sky.dhi_w_per_m2[early] > 100.0).all()
    beam = sky.dni_w_per_m2 * np.cos(np.radians(sun.zenith_deg))
    np.testing.assert_allclose((beam + sky.dhi_w_per_m2)[sun.up], 200.0, rtol=1e-6)


def test_clear_sky_noon_is_what_the_data_sheet_suggests():
    kwh = pv.clear_sky_kw(ROOF, MIDNIGHT, 96).sum() / 4.0
    assert 5.5 < kwh / ROOF.kwp < 7.0  # a cloudless midsummer day in Belgium
    assert 0.68 < pv.clear_sky_kw(ROOF, NOON, 1)[0] / ROOF.kwp < 0.82


def test_east_comes_before_west_and_planes_add_up():
    east = replace(ROOF, planes=(PvPlane(30.0, 90.0, 5.0),), inverter_kw=6.0)
    west = replace(ROOF, planes=(PvPlane(30.0, 270.0, 5.0),), inverter_kw=6.0)
    both = replace(ROOF, planes=east.planes + west.planes, inverter_kw=12.0)
    e, w, b = (pv.clear_sky_kw(plant, MIDNIGHT, 96) for plant in (east, west, both))
    assert np.argmax(e) < 47 - 4 < 47 + 4 < np.argmax(w)
    np.testing.assert_allclose(e + w, b, rtol=0.02, atol=0.12)


def test_the_inverter_clips():
    small = replace(ROOF, inverter_kw=4.0)
    assert pv.clear_sky_kw(small, MIDNIGHT, 96).max() == pytest.approx(4.0)
    assert pv.forecast(small, None, MIDNIGHT, 96).values.max() <= 4.0


def test_heat_costs_power_and_direct_light_helps_a_tilted_plane():
    weather = clear_weather(ROOF, NOON, 1)
    cold, hot = (
        pv.forecast(ROOF, replace(weather, temperature_degc=np.array([t])), NOON, 1).median[0] for t in (0.0, 35.0)
    )
    assert 0.80 < hot / cold < 0.92
    ghi = np.array([500.0])
    steep = replace(ROOF, planes=(PvPlane(90.0, 180.0, 10.0),))
    winter = int(datetime(2025, 12, 20, 11, 30, tzinfo=UTC).timestamp())
    faint = np.array([120.0])
    direct = pv.WeatherColumns(winter, faint, np.array([400.0]), np.array([10.0]))
    diffuse = pv.WeatherColumns(winter, faint, np.array([0.0]), faint)
    assert pv.forecast(steep, direct, winter, 1).median[0] > 2.0 * pv.forecast(steep, diffuse, winter, 1).median[0]
    assert pv.forecast(ROOF, pv.WeatherColumns(NOON, ghi), NOON, 1).median[0] > 0.0


def test_spread_is_narrow_under_a_clear_sky_and_wide_between():
    def width(share: float) -> float:
        values = pv.forecast(ROOF, clear_weather(ROOF, NOON, 1, share), NOON, 1).values[0]
        return float(values[9] - values[1])

    assert width(0.6) > 1.3 * width(1.0)
    assert width(0.6) > 1.3 * width(0.1)


# -- missing weather --------------------------------------------------------------------------------------------------


def test_without_weather_the_climate_speaks_and_says_so():
    blind = pv.forecast(ROOF, None, MIDNIGHT, 96)
    assert blind.flags == (Flag.WEATHER_MISSING,)
    noon = blind.values[46] / pv.clear_sky_kw(ROOF, MIDNIGHT, 96)[46]
    assert noon[9] - noon[1] > 0.5
    winter = int(datetime(2025, 12, 20, tzinfo=UTC).timestamp())
    share = pv.forecast(ROOF, None, winter, 96).median[46] / pv.clear_sky_kw(ROOF, winter, 96)[46]
    assert share < 0.4 < noon[5]
    south = replace(ROOF, latitude_deg=-51.0)
    assert pv.forecast(south, None, winter, 96).median[32] / pv.clear_sky_kw(south, winter, 96)[32] > 0.6


def test_a_gap_in_the_weather_is_filled_and_flagged_and_a_gap_at_night_is_none():
    weather = clear_weather(ROOF, MIDNIGHT, 96)
    whole = pv.forecast(ROOF, weather, MIDNIGHT, 96)
    assert whole.flags == ()
    ghi = weather.ghi_w_per_m2.copy()
    ghi[40:50] = np.nan
    partial = pv.forecast(ROOF, replace(weather, ghi_w_per_m2=ghi), MIDNIGHT, 96)
    assert partial.flags == (Flag.WEATHER_PARTIAL,)
    np.testing.assert_array_equal(partial.values[:40], whole.values[:40])
    assert (partial.median[40:50] < whole.median[40:50]).all()
    ghi = weather.ghi_w_per_m2.copy()
    ghi[:4] = np.nan
    assert pv.forecast(ROOF, replace(weather, ghi_w_per_m2=ghi), MIDNIGHT, 96).flags == ()


def test_weather_that_starts_later_or_ends_early_is_missing_there():
    weather = clear_weather(ROOF, MIDNIGHT, 60)
    assert pv.forecast(ROOF, weather, MIDNIGHT, 96).flags == (Flag.WEATHER_PARTIAL,)
    assert pv.forecast(ROOF, weather, MIDNIGHT + 10 * DAY, 96).flags == (Flag.WEATHER_MISSING,)


@given(st.integers(0, 300), st.integers(1, 60))
def test_hours_become_quarters_with_the_same_mean(day, hours):
    start = MIDNIGHT + day * DAY
    ghi = np.linspace(0.0, 700.0, hours)
    fine = pv.quarters_from_hours(ROOF, start, ghi)
    assert len(fine) == 4 * hours
    assert fine.min() >= 0.0
    np.testing.assert_allclose(fine.reshape(hours, 4).mean(axis=1), ghi, atol=1e-9)


# -- online correction ------------------------------------------------------------------------------------------------

DAYS = 10
START = MIDNIGHT - DAYS * DAY
WEATHER = clear_weather(ROOF, START, (DAYS + 2) * 96, 0.8)


def corrected(recent: Measured) -> float:
    """Noon's median over that of the uncorrected chain, at midnight before."""
    series = pv.forecast(ROOF, WEATHER, MIDNIGHT, 96, recent)
    assert Flag.CORRECTED in series.flags
    return float(series.median[46] / pv.forecast(ROOF, WEATHER, MIDNIGHT, 96).median[46])


@pytest.mark.parametrize(("factor", "expected"), [(0.8, 0.8), (1.0, 1.0), (1.1, 1.1)])
def test_a_plant_of_another_size_than_declared_is_learned(factor, expected):
    assert corrected(fed_in(ROOF, START, DAYS * 96, factor, 0.8)) == pytest.approx(expected, abs=0.06)


def test_the_ratio_is_bounded():
    assert corrected(fed_in(ROOF, START, DAYS * 96, 0.02, 0.8)) > 0.4
    assert corrected(fed_in(ROOF, START, DAYS * 96, 9.0, 0.8)) < 1.35


def test_quarters_we_curtailed_teach_nothing():
    free = fed_in(ROOF, START, DAYS * 96, 0.9, 0.8)
    held = np.zeros(DAYS * 96, dtype=np.bool_)
    held[-5 * 96 :] = True
    curtailed = np.where(held, 0.0, free.power_kw)
    masked = pv.forecast(ROOF, WEATHER, MIDNIGHT, 96, Measured(START, curtailed, held))
    absent = pv.forecast(ROOF, WEATHER, MIDNIGHT, 96, Measured(START, np.where(held, np.nan, free.power_kw)))
    np.testing.assert_array_equal(masked.values, absent.values)
    assert corrected(Measured(START, curtailed, held)) == pytest.approx(0.9, abs=0.06)


def test_a_curtailed_day_that_nobody_marked_hardly_moves_it():
    free = fed_in(ROOF, START, DAYS * 96, 1.0, 0.8).power_kw.copy()
    free[-4 * 96 : -3 * 96] = 0.0
    assert corrected(Measured(START, free)) == pytest.approx(1.0, abs=0.05)


def test_a_cloud_now_lowers_the_next_hour_and_hardly_tomorrow():
    now = NOON
    steps = (now - START) // 900
    power = fed_in(ROOF, START, steps, 1.0, 0.8).power_kw.copy()
    power[-4:] *= 0.3
    plain = pv.forecast(ROOF, WEATHER, now, 140).median
    cloudy = pv.forecast(ROOF, WEATHER, now, 140, Measured(START, power)).median
    assert cloudy[0] < 0.75 * plain[0]
    assert cloudy[0] / plain[0] < cloudy[8] / plain[8] < 1.02
    assert cloudy[96] == pytest.approx(plain[96], rel=0.05)


def test_the_correction_fades_while_the_meter_is_silent():
    now = NOON
    steps = (now - START) // 900
    power = fed_in(ROOF, START, steps, 1.0, 0.8).power_kw.copy()
    power[-4:] *= 0.3
    plain = pv.forecast(ROOF, WEATHER, now + 7200, 1).median[0]
    fresh = pv.forecast(ROOF, WEATHER, now, 1, Measured(START, power)).median[0]
    stale = pv.forecast(ROOF, WEATHER, now + 7200, 1, Measured(START, power)).median[0]
    assert fresh / pv.forecast(ROOF, WEATHER, now, 1).median[0] < 0.75
    assert stale / plain > 0.75


def test_nothing_after_the_start_is_used():
    later = fed_in(ROOF, START, (DAYS + 1) * 96, 0.8, 0.8)
    now = pv.forecast(ROOF, WEATHER, MIDNIGHT, 96, later)
    np.testing.assert_array_equal(now.values, pv.forecast(ROOF, WEATHER, MIDNIGHT, 96, later.until(MIDNIGHT)).values)


def test_snow_on_the_modules_is_zero_measured_and_no_trouble():
    winter = int(datetime(2025, 1, 20, tzinfo=UTC).timestamp())
    weather = clear_weather(ROOF, winter - 5 * DAY, 7 * 96, 0.9)
    series = pv.forecast(ROOF, weather, winter, 192, Measured(winter - 5 * DAY, np.zeros(5 * 96)))
    assert np.isfinite(series.values).all()
    assert series.median[48] < 0.7 * pv.forecast(ROOF, weather, winter, 192).median[48]


def test_without_weather_the_plants_own_days_replace_the_climate():
    dull = fed_in(ROOF, START, DAYS * 96, 1.0, 0.3)
    blind = pv.forecast(ROOF, None, MIDNIGHT, 96)
    learned = pv.forecast(ROOF, None, MIDNIGHT, 96, dull)
    assert learned.flags == (Flag.WEATHER_MISSING, Flag.CORRECTED)
    assert learned.median[46] < 0.6 * blind.median[46]


def test_without_weather_too_a_cloud_now_lowers_the_next_hour():
    steps = (NOON - START) // 900
    power = fed_in(ROOF, START, steps, 1.0, 0.8).power_kw.copy()
    bright = pv.forecast(ROOF, None, NOON, 8, Measured(START, power)).median
    power[-4:] *= 0.3
    dark = pv.forecast(ROOF, None, NOON, 8, Measured(START, power)).median
    assert dark[0] < 0.75 * bright[0]
    assert dark[0] / bright[0] < dark[7] / bright[7]


def test_a_ratio_learned_long_ago_lets_go():
    seen = fed_in(ROOF, START, DAYS * 96, 0.7, 0.8)
    ratios = []
    for days_later in (0, 14, 60):
        start = MIDNIGHT + days_later * DAY
        weather = clear_weather(ROOF, START, (DAYS + days_later + 1) * 96, 0.8)
        plain = pv.forecast(ROOF, weather, start, 96).median[46]
        ratios.append(float(pv.forecast(ROOF, weather, start, 96, seen).median[46] / plain))
    assert ratios[0] == pytest.approx(0.7, abs=0.06)
    assert ratios[0] + 0.1 < ratios[1] < ratios[2]
    assert ratios[2] > 0.95
