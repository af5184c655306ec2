"""What to do about a sun or a building that is not as forecast: the plan's marginal values decide, asset by asset.

A kWh at the grid connection costs less the less is drawn: the export price while the site feeds in, the import price up
to the plan's calm import, more beyond it (a new peak, a limit). An asset that values energy above that price takes
more, one that values it below gives some back, until the price changes or everybody has had a turn. What the plan
itself expected changes nothing. A battery loses on the way in and on the way out: between the two it rests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from controller.core.background import row_weights, seen_mw
from controller.core.lending import leaves_much
from controller.core.params import LEND_AFTER_S, LEND_RETURN_MA, Params
from controller.core.state import ControllerState
from interfaces.domain.image import Image
from interfaces.domain.measured import busiest_ma
from interfaces.domain.plan import MOST_MW, PPM, Plan
from interfaces.domain.stores import BATTERY_EFFICIENCY, BATTERY_WEAR_EUR_PER_KWH
from interfaces.domain.topology import POWER_ROW, AssetKind, Topology
from interfaces.domain.units import MISSING, Bools, Ints

DEVIATION_MW: Final[int] = 500_000
"""Half a kilowatt of forecast error is noise."""
SAME_PPM: Final[int] = 2_000
"""Values and prices closer than 0.2 ct/kWh are equal: the plan's own choice stands."""
WEAR_PPM: Final[int] = round(BATTERY_WEAR_EUR_PER_KWH * PPM)


@dataclass(frozen=True, slots=True)
class _Prices:
    """Of this step, in 1e-6 EUR/kWh, and the import in mW up to which nothing but the energy is paid."""

    export_ppm: int
    import_ppm: int
    beyond_ppm: int
    calm_mw: int


@dataclass(frozen=True, slots=True)
class _Turn:
    """One way to move an asset's wish, in mA per conductor, and what a kWh is worth to it there. ``now_ma``: how far up
    it may go now; what is missing to ``upper_ma`` stays free for it.
    """

    asset: int
    value_ppm: int
    lower_ma: int
    upper_ma: int
    now_ma: int


def share_deviation(
    want: Ints,
    value: Ints,
    planned: Bools,
    plan: Plan,
    t: int,
    image: Image,
    state: ControllerState,
    params: Params,
    now_s: float,
) -> Ints:
    """(N,) wishes after the deviation of this moment was shared out. ``value`` (N,) ppm, of a battery per kWh stored;
    ``planned`` (N,): the plan speaks of it.
    """
    topology = params.topology
    background = MISSING if state.background.lost[0] else int(state.background.mean_mw[0])
    steps = len(plan.planned_import_mw)
    whole = plan.grid_ppm.shape == (steps, 3) and plan.calm_import_mw.shape == (steps,)
    if background == MISSING or not planned.any() or not whole:
        return want
    cost = row_weights(image, topology, state.learning.use)[:, POWER_ROW]
    cars = planned & topology.is_evse & state.sessions.plugged & (want > 0)
    stores = planned & (topology.kind == int(AssetKind.BATTERY))
    flexible = planned & ((topology.is_evse & state.sessions.plugged) | stores)
    drawn, upper, now = _expected(want, cars, image, state, topology, now_s)
    drawn_mw = background + int(np.where(flexible, drawn * cost, seen_mw(state.background)).sum())
    turns = _turns(value, want, (upper, now), cars, stores, topology)
    moved = _shared(drawn, turns, cost, drawn_mw, _prices(plan, t))
    return np.where(moved == drawn, want, moved)


def _shared(drawn: Ints, turns: list[_Turn], cost: Ints, drawn_mw: int, prices: _Prices) -> Ints:
    """(N,) ``drawn`` after everybody had a turn: least worth gives first, most worth takes first."""
    out = drawn.copy()
    cheap_mw = min(prices.calm_mw, MOST_MW)
    if drawn_mw > cheap_mw + DEVIATION_MW:
        dear = prices.import_ppm + prices.beyond_ppm - SAME_PPM
        drawn_mw = _give(out, [turn for turn in turns if turn.value_ppm < dear], cost, drawn_mw, cheap_mw)
    if drawn_mw > DEVIATION_MW:
        idle = [turn for turn in turns if turn.value_ppm < prices.import_ppm - SAME_PPM]
        drawn_mw = _give(out, idle, cost, drawn_mw, 0)
        if drawn_mw < cheap_mw - DEVIATION_MW and cheap_mw < MOST_MW:
            # Only the peak or a limit keeps such an asset from taking all it can.
            eager = [turn for turn in reversed(turns) if turn.value_ppm > prices.import_ppm + SAME_PPM]
            _take(out, eager, cost, drawn_mw, cheap_mw)
    elif drawn_mw < -DEVIATION_MW:
        eager = [turn for turn in reversed(turns) if turn.value_ppm > prices.export_ppm + SAME_PPM]
        _take(out, eager, cost, drawn_mw, 0)
    return out


def _prices(plan: Plan, t: int) -> _Prices:
    export, imported, beyond = (int(x) for x in plan.grid_ppm[t])
    return _Prices(export, imported, beyond, int(plan.calm_import_mw[t]))


def _expected(
    want: Ints, cars: Bools, image: Image, state: ControllerState, topology: Topology, now_s: float
) -> tuple[Ints, Ints, Ints]:
    """(N,) what a wish will draw, (N,) how far it may be raised in the end, (N,) and now.

    A car that has had an offer for a while and leaves much of it unused draws no more for a wish; one that has not
    followed yet keeps what it is offered, else it would never see the higher current long enough.
    """
    offer, reading, known = state.ledger.offer_ma, busiest_ma(image), ~(image.asset_ma == MISSING).all(axis=1)
    stood_s = now_s - state.ledger.change_s - topology.poll_s
    content = cars & known & leaves_much(offer, reading) & (stood_s >= LEND_AFTER_S)
    lent = np.where(cars, np.minimum(want, state.lending.ceiling_ma), want)
    drawn = np.where(content, np.minimum(want, reading), lent)
    held = np.maximum(drawn, np.minimum(offer, topology.max_ma))
    upper = np.where(content, drawn, topology.max_ma)
    return drawn, upper, np.where(offer - reading <= LEND_RETURN_MA, upper, np.minimum(upper, held))


def _turns(
    value: Ints, want: Ints, reach: tuple[Ints, Ints], cars: Bools, stores: Bools, topology: Topology
) -> list[_Turn]:
    """Least worth first. ``reach``: (N,) of a car, in the end and now; it keeps its minimum. A battery may turn round:
    a stored kWh is worth less on the way in than it must earn on the way out, by its losses and wear.
    """
    turns = []
    for i in np.flatnonzero(cars | stores).tolist():
        worth = int(value[i])
        if cars[i]:
            least_ma = min(int(topology.min_ma[i]), int(want[i]))
            turns.append(_Turn(i, worth, least_ma, int(reach[0][i]), int(reach[1][i])))
            continue
        most_ma, least_ma = int(topology.max_ma[i]), -int(topology.max_export_ma[i])
        turns.append(_Turn(i, round(worth * BATTERY_EFFICIENCY) - WEAR_PPM, 0, most_ma, most_ma))
        turns.append(_Turn(i, round(worth / BATTERY_EFFICIENCY) + WEAR_PPM, least_ma, 0, 0))
    return sorted(turns, key=lambda turn: (turn.value_ppm, turn.asset))


def _give(out: Ints, turns: list[_Turn], cost: Ints, drawn_mw: int, goal_mw: int) -> int:
    """Lower wishes in this order until the site draws ``goal_mw``; what it draws then."""
    for turn in turns:
        per_ma = max(int(cost[turn.asset]), 1)
        step = min((drawn_mw - goal_mw) // per_ma, int(out[turn.asset]) - turn.lower_ma)
        if step > 0:
            out[turn.asset] -= step
            drawn_mw -= step * per_ma
    return drawn_mw


def _take(out: Ints, turns: list[_Turn], cost: Ints, drawn_mw: int, goal_mw: int) -> int:
    """Raise wishes in this order until the site draws ``goal_mw``; what it will draw then."""
    for turn in turns:
        per_ma, before_ma = max(int(cost[turn.asset]), 1), int(out[turn.asset])
        step = min((goal_mw - drawn_mw) // per_ma, turn.upper_ma - before_ma)
        if step > 0:
            out[turn.asset] = max(before_ma, min(before_ma + step, turn.now_ma))
            drawn_mw += step * per_ma
    return drawn_mw
