"""How good a quantile forecast was. A quarter without a measurement does not count."""

from __future__ import annotations

import numpy as np

from forecasting.core.quantiles import LEVELS, QUANTILES
from interfaces.domain.units import Floats


def pinball(observed: Floats, values: Floats) -> float:
    """Mean pinball loss over levels and rows of ``values`` (T, Q) against ``observed`` (T,), in their unit."""
    seen = np.isfinite(observed)
    gap = observed[seen, None] - values[seen]
    return float(np.mean(np.maximum(LEVELS * gap, (LEVELS - 1.0) * gap)))


def coverage(observed: Floats, values: Floats, width: float = 0.8) -> float:
    """Share of ``observed`` (T,) inside the central band of ``width`` (0.8 or 0.9) of ``values`` (T, Q)."""
    low = QUANTILES.index(round((1.0 - width) / 2.0, 3))
    high = len(QUANTILES) - 1 - low
    seen = np.isfinite(observed)
    inside = (observed[seen] >= values[seen, low]) & (observed[seen] <= values[seen, high])
    return float(np.mean(inside))


def mae(observed: Floats, point: Floats) -> float:
    """Mean absolute error of a point forecast (T,)."""
    seen = np.isfinite(observed)
    return float(np.mean(np.abs(observed[seen] - point[seen])))


def nmae(observed: Floats, point: Floats, scale: float) -> float:
    """MAE over ``scale``: installed kWp for PV, mean load for a building."""
    return mae(observed, point) / scale


def skill(loss: float, reference: float) -> float:
    """1 is perfect, 0 as good as the reference, negative worse."""
    return 1.0 - loss / reference
