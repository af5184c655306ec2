"""What to do about a sun or a building that is not as forecast: the plan's marginal values decide, asset by asset.

A kWh at the grid connection costs less the less is drawn: the export price while the site feeds in, the import price up
to the plan's calm import, more beyond it (a new peak, a limit). An asset that values energy above that price takes
more, one that values it below gives some back, until the price changes or everybody has had a turn. What the plan
itself expected changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from controller.core.background import row_weights
from controller.core.params import Params
from controller.core.state import ControllerState
from interfaces.domain.image import Image
from interfaces.domain.plan import MOST_MW, Plan
from interfaces.domain.topology import POWER_ROW, AssetKind, Topology
from interfaces.domain.units import MISSING, Bools, Ints

DEVIATION_MW: Final[int] = 500_000
"""Half a kilowatt of forecast error is noise."""
SAME_PPM: Final[int] = 2_000
"""Values and prices closer than 0.2 ct/kWh are equal: the plan's own choice stands."""


@dataclass(frozen=True, slots=True)
class _Prices:
    """Of this step, in 1e-6 EUR/kWh, and the import in mW up to which nothing but the energy is paid."""

    export_ppm: int
    import_ppm: int
    beyond_ppm: int
    calm_mw: int


def share_deviation(
    want: Ints, value: Ints, planned: Bools, plan: Plan, t: int, image: Image, state: ControllerState, params: Params
) -> Ints:
    """(N,) wishes after the deviation of this moment was shared out. ``value`` (N,) ppm; ``planned`` (N,): the plan
    speaks of it.
    """
    topology = params.topology
    background = int(state.background.now[0, POWER_ROW])
    steps = len(plan.planned_import_mw)
    whole = plan.grid_ppm.shape == (steps, 3) and plan.calm_import_mw.shape == (steps,)
    if background == MISSING or not planned.any() or not whole:
        return want
    cost = row_weights(image, topology, state.learning.use)[:, POWER_ROW]
    cars = planned & topology.is_evse & state.sessions.plugged & (want > 0)
    stores = planned & (topology.kind == int(AssetKind.BATTERY))
    flexible = planned & ((topology.is_evse & state.sessions.plugged) | stores)
    drawn_mw = background + int((want * cost)[flexible].sum())
    prices = _prices(plan, t)
    lower, upper = _reach(want, cars, stores, topology)
    order = sorted(np.flatnonzero(cars | stores).tolist(), key=lambda k: (int(value[k]), k))
    out = want.copy()
    cheap_mw = min(prices.calm_mw, MOST_MW)
    if drawn_mw > cheap_mw + DEVIATION_MW:
        dear = prices.import_ppm + prices.beyond_ppm - SAME_PPM
        drawn_mw = _move(out, [k for k in order if value[k] < dear], lower, cost, drawn_mw, cheap_mw)
    if drawn_mw > DEVIATION_MW:
        drawn_mw = _move(
            out, [k for k in order if value[k] < prices.import_ppm - SAME_PPM], lower, cost, drawn_mw, 0
        )  # fmt: skip
        if drawn_mw < cheap_mw - DEVIATION_MW and cheap_mw < MOST_MW:
            # Only the peak or a limit keeps such an asset from taking all it can.
            eager = [k for k in reversed(order) if value[k] > prices.import_ppm + SAME_PPM]
            _move(out, eager, upper, cost, drawn_mw, cheap_mw)
    elif drawn_mw < -DEVIATION_MW:
        eager = [k for k in reversed(order) if value[k] > prices.export_ppm + SAME_PPM]
        _move(out, eager, upper, cost, drawn_mw, 0)
    return out


def _prices(plan: Plan, t: int) -> _Prices:
    export, imported, beyond = (int(x) for x in plan.grid_ppm[t])
    return _Prices(export, imported, beyond, int(plan.calm_import_mw[t]))


def _reach(want: Ints, cars: Bools, stores: Bools, topology: Topology) -> tuple[Ints, Ints]:
    """(N,) each how far a wish may be moved: a car that charges keeps its minimum, a battery may turn round."""
    lower = np.where(stores, -topology.max_export_ma, np.minimum(topology.min_ma, want))
    upper = np.where(cars | stores, topology.max_ma, want)
    return lower, upper


def _move(out: Ints, order: list[int], bound: Ints, cost: Ints, drawn_mw: int, goal_mw: int) -> int:
    """Move wishes in this order towards their bounds until the site draws ``goal_mw``; what it draws then."""
    for i in order:
        per_ma = max(int(cost[i]), 1)
        room = int(bound[i]) - int(out[i])
        missing = goal_mw - drawn_mw
        if (missing > 0) != (room > 0) or room == 0:
            continue
        step = min(abs(missing) // per_ma, abs(room)) * (1 if room > 0 else -1)
        out[i] += step
        drawn_mw += step * per_ma
    return drawn_mw
