"""PV forecasts on measured plants: two Dutch solar parks with weather, one American roof without any."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from forecasting.core import pv
from forecasting.core.baseline import climatology, persistence_with_spread
from forecasting.core.history import Measured
from forecasting.core.pv_chain import PvPlane, PvPlant, sun_over
from forecasting.core.score import skill
from tests.forecasting.core.backtest import QUARTER_S, STEPS, backtest, epoch_of, number, read_rows

DAY = 86_400
ORIGIN_STEP_S = 5 * DAY // 4  # every hour of the day has its turn

# In these files the solar part is stamped in local summer time although called UTC, and radiation an hour early: its
# centroid over a day lies 2 h after, that of the radiation 1 h before the true solar noon of the place.
SOLAR_SHIFT_S = -7200
RADIATION_SHIFT_S = 3600
J_PER_M2_H = 3600.0

# Size and orientation of the parks are not published: south at 15 degrees and a round size are guesses, which is what
# the slow ratio is for.
PARKS = {
    "hfdp": PvPlant(52.31, 4.69, (PvPlane(15.0, 180.0, 36.0),), 36.0),
    "owd": PvPlant(53.0, 6.29, (PvPlane(15.0, 180.0, 48.0),), 48.0),
}


def park(folder: Path, name: str) -> tuple[Measured, pv.WeatherColumns]:
    rows = list(read_rows(folder / "load" / f"substation_nl_{name}_2021_15min.csv.gz"))
    start = epoch_of(rows[0]["start_utc"])
    solar = np.maximum(-np.array([number(row["solar_part_mw"]) for row in rows]), 0.0)
    ghi = np.array([number(row["radiation_j_per_m2_h"]) for row in rows]) / J_PER_M2_H
    return Measured(start + SOLAR_SHIFT_S, solar), pv.WeatherColumns(start + RADIATION_SHIFT_S, ghi)


@pytest.mark.parametrize("name", sorted(PARKS))
def test_with_weather_it_beats_persistence_and_climatology(reference_data, name):
    truth, weather = park(reference_data, name)
    plant = PARKS[name]
    origins = range(truth.start_epoch_s + 15 * DAY, truth.end_epoch_s - STEPS * QUARTER_S, ORIGIN_STEP_S)
    scores = {
        "corrected": backtest(truth, origins, lambda o: pv.forecast(plant, weather, o, STEPS, truth.until(o))),
        "chain alone": backtest(truth, origins, lambda o: pv.forecast(plant, weather, o, STEPS)),
        "no weather": backtest(truth, origins, lambda o: pv.forecast(plant, None, o, STEPS, truth.until(o))),
        "persistence": backtest(truth, origins, lambda o: persistence_with_spread(truth, o, STEPS)),
        "climatology": backtest(truth, origins, lambda o: climatology(truth, o, STEPS)),
        "corrected, 1 h": backtest(truth, origins, lambda o: pv.forecast(plant, weather, o, 4, truth.until(o))),
        "chain alone, 1 h": backtest(truth, origins, lambda o: pv.forecast(plant, weather, o, 4)),
    }
    for what, score in scores.items():
        print(
            f"{name} {what}: nMAE {score.mae / plant.kwp:.4f} pinball {score.pinball / plant.kwp:.4f} {score.cov80:.2f}"
        )
    assert skill(scores["corrected"].mae, scores["persistence"].mae) > 0.2
    assert skill(scores["corrected"].pinball, scores["persistence"].pinball) > 0.33
    assert scores["corrected"].pinball < scores["climatology"].pinball
    assert scores["no weather"].pinball < scores["persistence"].pinball
    assert scores["corrected, 1 h"].pinball < 0.95 * scores["chain alone, 1 h"].pinball
    assert 0.68 < scores["corrected"].cov80 < 0.92


def test_a_wrongly_declared_plant_is_put_right(reference_data):
    truth, weather = park(reference_data, "hfdp")
    plant = PvPlant(52.31, 4.69, (PvPlane(15.0, 180.0, 48.0),), 48.0)
    origins = range(truth.start_epoch_s + 15 * DAY, truth.end_epoch_s - STEPS * QUARTER_S, 3 * ORIGIN_STEP_S)
    plain = backtest(truth, origins, lambda o: pv.forecast(plant, weather, o, STEPS))
    right = backtest(truth, origins, lambda o: pv.forecast(plant, weather, o, STEPS, truth.until(o)))
    print(f"declared a third too large: pinball {plain.pinball:.3f} -> {right.pinball:.3f}")
    assert skill(right.pinball, plain.pinball) > 0.1


def test_without_any_weather_it_still_beats_persistence(reference_data):
    rows = list(read_rows(reference_data / "pv" / "nrel_serf_east_15min_a.csv.gz"))
    power = np.maximum(np.array([number(row["ac_power_w"]) for row in rows]) / 1000.0, 0.0)
    truth = Measured(epoch_of(rows[0]["start_utc"]), power)
    plant = PvPlant(39.742, -105.173, (PvPlane(45.0, 158.0, 6.0),), 6.0, altitude_m=1800.0)
    origins = range(truth.start_epoch_s + 15 * DAY, truth.end_epoch_s - STEPS * QUARTER_S, ORIGIN_STEP_S)
    scores = {
        "own days": backtest(truth, origins, lambda o: pv.forecast(plant, None, o, STEPS, truth.until(o))),
        "climate alone": backtest(truth, origins, lambda o: pv.forecast(plant, None, o, STEPS)),
        "persistence": backtest(truth, origins, lambda o: persistence_with_spread(truth, o, STEPS)),
        "climatology": backtest(truth, origins, lambda o: climatology(truth, o, STEPS)),
    }
    for what, score in scores.items():
        print(f"serf {what}: nMAE {score.mae / 6.0:.4f} pinball {score.pinball / 6.0:.4f} {score.cov80:.2f}")
    assert skill(scores["own days"].pinball, scores["persistence"].pinball) > 0.25
    assert scores["own days"].pinball < scores["climate alone"].pinball
    assert 0.68 < scores["own days"].cov80 < 0.92


def test_module_temperature_and_inverter_agree_with_a_measured_roof(reference_data):
    """Irradiance in the plane was measured here: seen as the global irradiance of a flat plane, only glass, modules and
    inverter remain to be judged.
    """
    rows = list(read_rows(reference_data / "pv" / "nrel_rsf2_2022_01_15min.csv.gz"))
    start = epoch_of(rows[0]["start_local_mst"])
    column = {name: np.array([number(row[name]) for row in rows]) for name in rows[0] if name != "start_local_mst"}
    flat = PvPlant(39.74, -105.17, (PvPlane(0.0, 180.0, 408.0),), 408.0)
    poa = np.maximum(column["poa_irradiance_w_per_m2"], 0.0)
    zero = np.zeros(len(poa))
    weather = pv.WeatherColumns(start, poa, zero, poa, column["ambient_temperature_degc"])
    said = pv._chain(flat, weather, sun_over(flat, weather_grid(start, len(poa))), weather_grid(start, len(poa)))
    power, expected = column["ac_power_kw"], said.index * said.clear_kw
    bright = (said.index > 0.0) & (said.index < pv.OVERSHOOT) & (poa > 200.0) & (power > 5.0)
    ratio = float(np.nansum(power[bright]) / np.nansum(expected[bright]))
    print(f"rsf2: measured over chain {ratio:.3f}, {int(bright.sum())} quarters")
    assert bright.sum() > 20
    assert 0.75 < ratio < 1.25


def weather_grid(start: int, steps: int) -> np.ndarray:
    return start + QUARTER_S * np.arange(steps, dtype=np.int64)
