"""What a missing kWh is worth: prices of the shortage that put people's priorities above money and in their order.

Order: guaranteed minimums first, then classes by (tier of the EVSE, priority of its parking space, priority of the
person), urgent ones first. Inside a class the price rises with the share that is missing, so that a shortage is spread
over its cars instead of hitting one. A kWh that can still be charged after the horizon costs what it will cost then.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from interfaces.domain.units import Bools, Floats
from optimizer.core.compile_grid import FULL_H, Prices
from optimizer.core.compile_steps import Steps
from optimizer.core.problem import Problem
from optimizer.core.problem_facts import EvseFacts
from optimizer.core.targets import Need

ABOVE_PRICES: Final[float] = 10.0
"""Shortage against the highest price: below that, losses and wear could make it pay to leave a car empty."""
LEAST_EUR_PER_KWH: Final[float] = 2.0
"""Floor of it, for days on which prices are about 0."""
ABOVE_PEAK: Final[float] = 1.2
"""A kWh in one quarter raises the peak by 4 kW; even that is paid before a car stays empty."""
CLASS_FACTOR: Final[float] = 2.0
MOST_SPREAD: Final[float] = 16.0
"""From the least to the most urgent class: the solver's tolerances stand for no more."""
SHARES: Final[int] = 3
"""Steps of the convex price inside a class."""
SLACK_FACTOR: Final[float] = 10.0
"""Breaking a limit against the dearest shortage: a three-phase car that overloads one conductor counts three times."""
EARLY_EUR_PER_KWH_STEP: Final[float] = 2e-5
"""Of equal hours the earlier one: 0.4 ct/kWh over 48 h, above the solver's tolerance, below any real difference."""
TURN_SPREAD: Final[float] = 0.5
"""How much more the first to leave prefers earlier hours than the last."""
HURRY_SHARE: Final[float] = 0.5
"""A session that does not defer pays for waiting, over its whole stay, at most this share of what a shortage costs."""


RUNNING_EUR_PER_KWH_STEP: Final[float] = 0.02
"""What a quarter of waiting costs a car that charges already: some cars never wake up again, so that a dip of the price
is no reason to pause one; a new peak is."""
MOST_EUR_PER_KWH_STEP: Final[float] = 0.1
"""Below that, a few kWh that hurry raise no peak."""
PAUSE_EUR: Final[float] = 0.4
"""What a pause must save in cheaper hours, however little is left to charge: a driver who looks sees an idle car."""
SLEEPS_SHARE: Final[float] = 0.02
"""Of fifty cars one does not wake up from a pause, and lacks all that was still to come."""
REGRET: Final[float] = 2.5
"""What cheaper hours save is money, what a pause risks is somebody's journey: it must save so much more."""
PAUSED_EUR_PER_KWH_STEP: Final[float] = 0.004
"""What a quarter of waiting costs it then: a few hours are no matter, quarters that differ by a cent are no reason."""
BEYOND_SHARE: Final[float] = 0.99
"""Of the mean price, which what nobody asked for would cost on another day: a price that never changes is not cheap."""
LATER_PREMIUM: Final[float] = 1.1
"""What is charged after the horizon costs the mean price of this one and a tenth more: at equal prices now is surer."""


@dataclass(frozen=True, slots=True)
class Worth:
    """``short_kwh``, ``short_eur_per_kwh`` (N, 2 + shares): later or beyond, then the shares of the class, then what
    is guaranteed; ``early_eur_per_kwh_step`` (N,); ``pause_eur`` (N,): what it is worth to go on at the minimum;
    ``slack_eur_per_kwh``: above all of them.
    """

    short_kwh: Floats
    short_eur_per_kwh: Floats
    early_eur_per_kwh_step: Floats
    pause_eur: Floats
    slack_eur_per_kwh: float


def base_eur_per_kwh(problem: Problem, prices: Prices) -> float:
    """The lowest price of a real shortage: above all that energy could cost or earn."""
    capacity = problem.tariff.capacity
    peak = 0.0 if capacity is None else ABOVE_PEAK * capacity.eur_per_kw / FULL_H
    return max(_missed_eur_per_kwh(prices), ABOVE_PRICES * float(np.abs(prices.export_eur_per_kwh).max()), peak)


def _missed_eur_per_kwh(prices: Prices) -> float:
    """What a missing kWh costs where nothing but buying it has to be outbid."""
    return max(LEAST_EUR_PER_KWH, ABOVE_PRICES * float(np.abs(prices.import_eur_per_kwh).max()))


def worth_of(
    problem: Problem,
    needs: tuple[Need, ...],
    evses: tuple[EvseFacts, ...],
    later_kwh: Floats,
    windows: Floats,
    running: Bools,
    fastest_h: Floats,
    prices: Prices,
    steps: Steps,
) -> Worth:
    """Prices for each car. ``later_kwh`` (N,): what can wait until after the horizon; ``windows`` (N,): steps to go;
    ``running`` (N,): charges now; ``fastest_h`` (N,): what its energy takes at full current.
    """
    base = base_eur_per_kwh(problem, prices)
    widths, costs, guaranteed_eur = _shortages(needs, evses, later_kwh, base, prices, steps)
    spread = float(prices.import_eur_per_kwh.max() - prices.export_eur_per_kwh.min())
    most = HURRY_SHARE * base / np.maximum(windows, 1.0)
    hurry = np.maximum(np.minimum(spread, most), EARLY_EUR_PER_KWH_STEP)
    patient = np.array([need.deferrable for need in needs], dtype=np.bool_)
    waits = _waits(needs, windows, fastest_h, prices)
    stays = np.where(running, np.minimum(_staying(waits), most), 0.0)
    left_kwh = np.array([need.energy_kwh for need in needs])
    return Worth(
        short_kwh=widths,
        short_eur_per_kwh=costs,
        early_eur_per_kwh_step=_in_turn(needs) * np.maximum(np.where(patient, EARLY_EUR_PER_KWH_STEP, hurry), stays),
        pause_eur=np.where(running & ~waits.worth, SLEEPS_SHARE * _missed_eur_per_kwh(prices) * left_kwh, 0.0),
        slack_eur_per_kwh=SLACK_FACTOR * guaranteed_eur,
    )


def _shortages(
    needs: tuple[Need, ...],
    evses: tuple[EvseFacts, ...],
    later_kwh: Floats,
    base_eur: float,
    prices: Prices,
    steps: Steps,
) -> tuple[Floats, Floats, float]:
    """(N, 2 + shares) widths in kWh and prices of a shortage, and the price of what is guaranteed."""
    ranks, classes = _ranks(needs, evses)
    factor = min(CLASS_FACTOR, MOST_SPREAD ** (1 / max(1, classes - 1)))
    inside = factor ** (np.arange(SHARES) / SHARES)
    guaranteed_eur = base_eur * factor**classes
    mean_eur = max(float(np.average(prices.import_eur_per_kwh, weights=steps.dt_h)), 0.0)
    later_eur, beyond_eur = (min(share * mean_eur, base_eur) for share in (LATER_PREMIUM, BEYOND_SHARE))
    widths, costs = np.zeros((len(needs), SHARES + 2)), np.zeros((len(needs), SHARES + 2))
    for i, need in enumerate(needs):
        first_kwh = min(need.guaranteed_kwh, need.energy_kwh)
        wait_kwh = min(float(later_kwh[i]), need.energy_kwh - first_kwh)
        rest_kwh = max(0.0, need.energy_kwh - first_kwh - wait_kwh)
        widths[i] = [wait_kwh + need.beyond_kwh, *([rest_kwh / SHARES] * SHARES), first_kwh]
        waiting_eur = beyond_eur if need.beyond_kwh > 0.0 else later_eur
        costs[i] = [waiting_eur, *(base_eur * factor ** float(ranks[i]) * inside), guaranteed_eur]
    return widths, costs, guaranteed_eur


@dataclass(frozen=True, slots=True)
class _Waits:
    """(N,) each: ``drop_eur_per_kwh`` from now to the cheapest hours before it leaves that are enough for all it still
    wants; ``worth``: so much that a car that charges is paused for it.
    """

    drop_eur_per_kwh: Floats
    worth: Bools


def _waits(needs: tuple[Need, ...], windows: Floats, fastest_h: Floats, prices: Prices) -> _Waits:
    price, missing_eur = prices.import_eur_per_kwh, _missed_eur_per_kwh(prices)
    drop, worth = np.zeros(len(needs)), np.zeros(len(needs), dtype=np.bool_)
    for i, need in enumerate(needs):
        needed = max(1, math.ceil(float(fastest_h[i]) / FULL_H))
        drop[i] = float(price[0]) - float(np.sort(price[: int(windows[i])])[:needed].mean())
        risk_eur = max(PAUSE_EUR, REGRET * SLEEPS_SHARE * missing_eur * need.energy_kwh)
        worth[i] = drop[i] * need.energy_kwh > risk_eur
    return _Waits(drop, worth)


def _staying(waits: _Waits) -> Floats:
    """(N,) EUR/kWh for a quarter of waiting of a car that charges: little where a pause is worth it, else enough to
    outweigh what a kWh would save.
    """
    slopes = np.clip(waits.drop_eur_per_kwh, RUNNING_EUR_PER_KWH_STEP, MOST_EUR_PER_KWH_STEP)
    return np.where(waits.worth, PAUSED_EUR_PER_KWH_STEP, slopes)


def _in_turn(needs: tuple[Need, ...]) -> Floats:
    """(N,) from 1 for who leaves last to nearly ``1 + TURN_SPREAD``: where equal cars are too many for a circuit or a
    peak, one after the other charges without a break. With the same preference for all they alternate by the quarter.
    """
    order = sorted(range(len(needs)), key=lambda i: (-needs[i].departure_epoch_s, i))
    factor = np.ones(len(needs))
    factor[order] += TURN_SPREAD * np.arange(len(needs)) / max(1, len(needs))
    return factor


def _ranks(needs: tuple[Need, ...], evses: tuple[EvseFacts, ...]) -> tuple[Floats, int]:
    """(N,) 0 for the least urgent class, and how many there are."""
    keys = [(evse.tier, -evse.spot_priority, -need.priority) for need, evse in zip(needs, evses, strict=True)]
    order = sorted(set(keys), reverse=True)
    return np.array([order.index(key) for key in keys], dtype=np.float64), max(1, len(order))
