"""Figures as benchmarks print them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def percentile(values: npt.ArrayLike, percent: float) -> float | None:
    """A percentile rounded to microseconds (of values in ms); None when there is nothing to rank."""
    ranked = np.asarray(values, dtype=np.float64)
    return round(float(np.percentile(ranked, percent)), 3) if ranked.size else None
