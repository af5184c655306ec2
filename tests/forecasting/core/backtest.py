"""Rolling backtests on measured series: what was known at an origin, the forecast made there, what came."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from forecasting.core.history import Measured, looked_up
from forecasting.core.quantiles import QuantileSeries
from forecasting.core.score import coverage, mae, pinball
from interfaces.domain.units import Floats

QUARTER_S = 900
STEPS = 192


@dataclass(frozen=True)
class Score:
    pinball: float
    mae: float
    cov80: float
    rows: int

    def __str__(self) -> str:
        return f"pinball {self.pinball:.5f} mae {self.mae:.5f} cov80 {self.cov80:.3f} rows {self.rows}"


def read_rows(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def epoch_of(stamp: str) -> int:
    return int(datetime.fromisoformat(stamp).astimezone(UTC).timestamp())


def number(text: str) -> float:
    return float(text) if text else float("nan")


def backtest(
    truth: Measured,
    origins: range,
    forecast: Callable[[int], QuantileSeries],
    *,
    select: Callable[[Floats], np.ndarray] | None = None,
) -> Score:
    """Scores ``forecast(origin)`` against ``truth`` over all origins; ``select`` may drop rows by their truth."""
    seen, said = [], []
    for origin in origins:
        series = forecast(origin)
        seen.append(looked_up(truth.start_epoch_s, truth.power_kw, series.epoch_s))
        said.append(series.values)
    observed, values = np.concatenate(seen), np.concatenate(said)
    if select is not None:
        keep = select(observed)
        observed, values = observed[keep], values[keep]
    return Score(
        pinball(observed, values),
        mae(observed, values[:, 5]),
        coverage(observed, values),
        int(np.isfinite(observed).sum()),
    )
