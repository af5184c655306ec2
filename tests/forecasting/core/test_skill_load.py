"""Load forecasts on measured series: better than last week with its own error quantiles, on held-out weeks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from forecasting.core import load
from forecasting.core.baseline import persistence, persistence_with_spread
from forecasting.core.history import Measured
from forecasting.core.load import Building, BuildingUse, Temperature
from forecasting.core.score import skill
from tests.forecasting.core.backtest import QUARTER_S, STEPS, backtest, epoch_of, number, read_rows

DAY = 86_400


@dataclass(frozen=True)
class Series:
    file: str
    column: str
    stamp: str
    factor: float
    building: Building
    mae_ratio: float
    """At most this share of week-naive's MAE: measured, with a few per cent to spare."""


def net(use: BuildingUse) -> Building:
    return Building(use, 1.0, "Europe/Amsterdam", "NL", lowest_kw=None)


SERIES = [
    Series("openstef_pid_287_15min", "load_mw", "start_utc", 1000.0, net(BuildingUse.HOUSEHOLD), 0.80),
    Series("openstef_pid_307_15min", "load_mw", "start_utc", 1000.0, net(BuildingUse.HOUSEHOLD), 0.84),
    Series(
        "steel_industry_2018_01_to_08_15min",
        "energy_kwh",
        "end_utc",
        4.0,
        Building(BuildingUse.INDUSTRY, 1.0, "Asia/Seoul", "KR"),
        0.78,
    ),
]


def read(folder: Path, series: Series) -> tuple[Measured, Temperature | None]:
    rows = list(read_rows(folder / "load" / f"{series.file}.csv.gz"))
    start = epoch_of(rows[0][series.stamp]) - (QUARTER_S if series.stamp == "end_utc" else 0)
    power = np.array([number(row[series.column]) * series.factor for row in rows])
    if "temperature_degc" not in rows[0]:
        return Measured(start, power), None
    return Measured(start, power), Temperature(start, np.array([number(row["temperature_degc"]) for row in rows]))


@pytest.mark.parametrize("series", SERIES, ids=lambda series: series.file)
def test_last_quarter_of_the_record(reference_data, series):
    truth, temperature = read(reference_data, series)
    count = len(truth.power_kw)
    first = (truth.start_epoch_s + int(0.75 * count) * QUARTER_S) // DAY * DAY
    origins = range(first, truth.end_epoch_s - STEPS * QUARTER_S, 5 * DAY // 4)  # every hour has its turn
    mean = float(np.nanmean(np.abs(truth.power_kw)))
    scores = {
        "analogue": backtest(truth, origins, lambda o: load.forecast(series.building, o, STEPS, truth)),
        "week-naive": backtest(truth, origins, lambda o: persistence(truth, o, STEPS, lag_days=7)),
        "week + residuals": backtest(
            truth, origins, lambda o: persistence_with_spread(truth, o, STEPS, lag_days=7, memory_days=56)
        ),
    }
    if temperature is not None:
        scores["analogue + temperature"] = backtest(
            truth, origins, lambda o: load.forecast(series.building, o, STEPS, truth, temperature)
        )
    for name, score in scores.items():
        print(f"{series.file} {name}: nMAE {score.mae / mean:.4f} pinball {score.pinball / mean:.4f} {score}")
    ours = scores["analogue"]
    assert ours.mae < series.mae_ratio * scores["week-naive"].mae
    assert skill(ours.pinball, scores["week + residuals"].pinball) > 0.15
    assert 0.68 < ours.cov80 < 0.92


def test_a_site_of_few_days_beats_the_bare_shape_more_each_day(reference_data):
    series = SERIES[0]
    truth, _ = read(reference_data, series)
    building = Building(
        BuildingUse.HOUSEHOLD, float(np.nanmean(truth.power_kw)) * 8766.0, "Europe/Amsterdam", "NL", lowest_kw=None
    )
    first = (truth.start_epoch_s + 30 * DAY) // DAY * DAY
    origins = range(first, truth.end_epoch_s - STEPS * QUARTER_S, 5 * DAY)
    losses = []
    for days in (0, 2, 7, 28):

        def short(origin: int, days: int = days) -> Measured:
            begin = origin - days * DAY
            return Measured(begin, truth.power_kw[(begin - truth.start_epoch_s) // QUARTER_S :]).until(origin)

        losses.append(backtest(truth, origins, lambda o: load.forecast(building, o, STEPS, short(o))).pinball)
        print(f"{series.file} {days} days of history: pinball {losses[-1]:.1f} kW")
    assert losses[0] > losses[1] > losses[2] > losses[3]
