"""Sessions as columns of numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from interfaces.domain.topology import PHASES
from interfaces.domain.units import MILLI, SECONDS_PER_HOUR, Floats
from optimizer.core.compile_grid import Prices
from optimizer.core.compile_steps import Steps
from optimizer.core.compile_worth import SHARES, Worth, worth_of
from optimizer.core.instance import FIRM_STEPS, Cars
from optimizer.core.problem import Problem
from optimizer.core.problem_facts import VEHICLE_WEAR_EUR_PER_KWH, EvseFacts
from optimizer.core.problem_state import Session
from optimizer.core.problem_types import STEP_S
from optimizer.core.targets import Need, gain_of

TINY_KWH: Final[float] = 1e-3
"""Below a watt-hour nothing is wanted any more."""
FLOOR_SHARE: Final[float] = 0.2
"""No car is discharged below a fifth: what its driver needs for an unplanned way."""
READY_SHARE: Final[float] = 0.15
"""Of the time that is left: who is late already uses nearly all of it."""
TAIL_SHARE: Final[float] = 0.18
"""A battery takes the last tenth of what fits into it at a falling current, which lasts nearly three times as long: of
the time that all of it takes at full current, so much comes on top."""
TAIL_MOST: Final[float] = 0.5
"""Of the time that is left: whoever is in the tail already goes on."""
LATER_SHARE: Final[float] = 0.5
"""Of its full power, what a session is trusted to get after the horizon."""
CHURN_EUR_PER_KWH: Final[float] = 0.005
"""Price of moving away from the last plan: above the noise of forecasts, below any saving worth telling."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """The cars of an instance and the sessions behind them, line by line; needs with what really can be wanted."""

    cars: Cars
    sessions: tuple[Session, ...]
    needs: tuple[Need, ...]
    evses: tuple[EvseFacts, ...]
    slack_eur_per_kwh: float
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Car:
    """One session in numbers, before prices."""

    wired: tuple[int, ...]
    kw_per_a: float
    min_a: float
    max_a: float
    first: int
    first_share: float
    end: int
    end_share: float
    discharge_a: float
    gain: float


def fleet_of(problem: Problem, needs: tuple[Need, ...], place: dict[str, int], steps: Steps, prices: Prices) -> Fleet:
    """Cars that still want something or can feed back, in the order of their EVSEs on the site."""
    evse_of = {evse.id: evse for evse in problem.site.evses}
    order = {evse.id: k for k, evse in enumerate(problem.site.evses)}
    known = (*problem.state.sessions, *problem.state.announced)
    pairs = sorted(zip(known, needs, strict=True), key=lambda pair: order[pair[0].evse])
    notes: list[str] = []
    kept: list[tuple[Session, Need, EvseFacts, _Car]] = []
    for session, need in pairs:
        evse = evse_of[session.evse]
        car = _car(problem, session, need, evse, steps, notes)
        if need.energy_kwh + need.beyond_kwh > TINY_KWH or car.discharge_a > 0:
            calm = need.deferrable and not (session.never_pause or evse.never_pause or need.vehicle.never_pause)
            kept.append((session, replace(need, deferrable=calm), evse, car))
    sessions, wants = tuple(row[0] for row in kept), tuple(row[1] for row in kept)
    evses, cars = tuple(row[2] for row in kept), [row[3] for row in kept]
    later_kwh = np.array([_later(need, car, steps) for need, car in zip(wants, cars, strict=True)])
    windows = np.array([float(car.end) for car in cars])
    running = np.array([_goes_on(*row) for row in zip(sessions, wants, cars, strict=True)], dtype=np.bool_)
    fastest_h = np.array([
        need.energy_kwh / max(car.kw_per_a * car.max_a, TINY_KWH) for need, car in zip(wants, cars, strict=True)
    ])  # fmt: skip
    worth = worth_of(problem, wants, evses, later_kwh, windows, running, fastest_h, prices, steps)
    columns = _columns(wants, evses, cars, place, steps, worth, prices, _previous(problem, sessions, steps))
    return Fleet(columns, sessions, wants, evses, worth.slack_eur_per_kwh, tuple(notes))


def _car(problem: Problem, session: Session, need: Need, evse: EvseFacts, steps: Steps, notes: list[str]) -> _Car:
    phases = evse.phases
    if session.phases_used is not None and not evse.direct_current:
        phases = tuple(phase for phase in evse.phases if phase in session.phases_used) or evse.phases
    elif need.vehicle_known and need.vehicle.phases is not None and not evse.direct_current:
        phases = evse.phases[: need.vehicle.phases]
    kw_per_a = len(phases) * problem.site.nominal_voltage_v / MILLI
    most = [evse.max_a, session.max_a, None if need.vehicle.max_kw is None else need.vehicle.max_kw / kw_per_a]
    least = [evse.min_a, session.min_a, need.vehicle.min_a, evse.min_power_kw / kw_per_a]
    max_a, min_a = min(a for a in most if a is not None), max(a for a in least if a is not None)
    if max_a < min_a:
        notes.append(f"{evse.id}: it needs {min_a:g} A to charge and may have {max_a:g} A at most: it gets nothing")
        max_a = 0.0
    arrives_epoch_s = steps.now_epoch_s if session.arrives_epoch_s is None else session.arrives_epoch_s
    first = min(int((steps.end_epoch_s <= arrives_epoch_s).sum()), steps.count - 1)
    missed_s = max(0.0, arrives_epoch_s - float(steps.begin_epoch_s[first]))
    tail_h = TAIL_SHARE * (session.delivered_kwh + need.energy_kwh) / max(kw_per_a * max_a, TINY_KWH)
    ready_epoch_s = _ready_by(problem, need.departure_epoch_s, max(arrives_epoch_s, steps.now_epoch_s), tail_h)
    end = max(int((steps.begin_epoch_s < ready_epoch_s).sum()), first + 1)
    last = end - 1
    inside_s = ready_epoch_s - float(steps.begin_epoch_s[last])
    share = min(1.0, max(0.0, inside_s) / (float(steps.dt_h[last]) * SECONDS_PER_HOUR))
    feeds = need.soc_pct is not None and need.vehicle_known and max_a > 0
    return _Car(
        wired=tuple(sum(phase == name for phase in phases) for name in PHASES),
        kw_per_a=kw_per_a,
        min_a=min_a,
        max_a=max_a,
        first=first,
        first_share=max(0.0, 1.0 - missed_s / (float(steps.dt_h[first]) * SECONDS_PER_HOUR)),
        end=end,
        end_share=share,
        discharge_a=evse.discharge_a if feeds else 0.0,
        gain=gain_of(problem, session, need.vehicle),
    )


def _goes_on(session: Session, need: Need, car: _Car) -> bool:
    """A car that charges, or one that stopped just before it had all: its rest is no matter of cheaper hours."""
    rest_kwh = car.min_a * car.kw_per_a * STEP_S / SECONDS_PER_HOUR
    return session.charging or (session.delivered_kwh > 0.0 and TINY_KWH < need.energy_kwh <= rest_kwh)


def _ready_by(problem: Problem, departure_epoch_s: float, from_epoch_s: float, tail_h: float) -> float:
    """A while before it leaves, where the site wants that. ``tail_h``: what its falling current takes longer."""
    stays_s, most_s = max(0.0, departure_epoch_s - from_epoch_s), problem.settings.ready_ahead_s
    tail_s = min(most_s, tail_h * SECONDS_PER_HOUR, TAIL_MOST * stays_s)
    return departure_epoch_s - max(min(most_s, READY_SHARE * stays_s), tail_s)


def _later(need: Need, car: _Car, steps: Steps) -> float:
    """What of the need can wait until after the horizon."""
    beyond_h = (need.departure_epoch_s - float(steps.end_epoch_s[-1])) / SECONDS_PER_HOUR
    return max(0.0, beyond_h) * car.kw_per_a * car.max_a * LATER_SHARE


def _columns(
    needs: tuple[Need, ...],
    evses: tuple[EvseFacts, ...],
    cars: list[_Car],
    place: dict[str, int],
    steps: Steps,
    worth: Worth,
    prices: Prices,
    previous_a: Floats,
) -> Cars:
    n, column = len(cars), _column
    gain, discharge = column([car.gain for car in cars]), column([car.discharge_a for car in cars])
    # A car that can feed back is reckoned at its battery, all others at the charger's meter.
    at = np.where(discharge > 0, gain, 1.0)
    capacity = column([need.vehicle.capacity_kwh for need in needs])
    soc_kwh = capacity * column([(need.soc_pct or 0.0) / 100 for need in needs])
    room_kwh = np.where(discharge > 0, capacity - soc_kwh, np.inf)
    wanted = np.minimum(column([need.energy_kwh + need.beyond_kwh for need in needs]) * at, room_kwh)
    stays = column([float(car.end) for car in cars]) >= steps.count
    optional = column([need.beyond_kwh for need in needs]) > 0.0
    mean_eur = max(0.0, float(np.average(prices.import_eur_per_kwh, weights=steps.dt_h)))
    return Cars(
        circuit=np.array([place[evse.circuit] for evse in evses], dtype=np.int64),
        wired=np.array([car.wired for car in cars], dtype=np.int64).reshape(n, len(PHASES)),
        kw_per_a=column([car.kw_per_a for car in cars]),
        min_a=column([car.min_a for car in cars]),
        max_a=column([car.max_a for car in cars]),
        first=np.array([car.first for car in cars], dtype=np.int64),
        end=np.array([car.end for car in cars], dtype=np.int64),
        first_share=column([car.first_share for car in cars]),
        end_share=column([car.end_share for car in cars]),
        energy_kwh=wanted,
        short_kwh=_widths(worth, wanted),
        short_eur_per_kwh=worth.short_eur_per_kwh.reshape(n, SHARES + 2) / at[:, None],
        early_eur_per_kwh_step=worth.early_eur_per_kwh_step.reshape(n),
        discharge_a=discharge,
        soc_kwh=soc_kwh,
        floor_kwh=np.minimum(FLOOR_SHARE * capacity, soc_kwh),
        capacity_kwh=capacity,
        efficiency=gain,
        wear_eur_per_kwh=np.full(n, VEHICLE_WEAR_EUR_PER_KWH),
        terminal_eur_per_kwh=np.where(stays, mean_eur * gain, 0.0),
        pause_eur=worth.pause_eur.reshape(n),
        optional=optional,
        # A flat price is not cheap because the last plan charged.
        previous_a=np.where(optional[:, None], np.nan, previous_a),
        churn_eur_per_kwh=CHURN_EUR_PER_KWH,
    )


def _column(values: list[float]) -> Floats:
    return np.array(values, dtype=np.float64)


def _widths(worth: Worth, wanted_kwh: Floats) -> Floats:
    """(N, S) widths of the shortage, which add up to what is wanted."""
    widths = worth.short_kwh.reshape(len(wanted_kwh), SHARES + 2)
    sums = widths.sum(axis=1)
    scaled: Floats = widths * np.divide(wanted_kwh, sums, out=np.ones(len(sums)), where=sums > 0)[:, None]
    return scaled


def _previous(problem: Problem, sessions: tuple[Session, ...], steps: Steps) -> Floats:
    """(N, K) the last plan's first steps for sessions it knew; NaN elsewhere."""
    k = min(FIRM_STEPS, steps.count)
    out = np.full((len(sessions), k), np.nan)
    plan = problem.previous
    if plan is None:
        return out
    rows = ((steps.quarter_epoch_s[:k] - plan.start_epoch_s) // STEP_S).astype(np.int64).tolist()
    column = {name: j for j, name in enumerate(plan.assets)}
    for i, session in enumerate(sessions):
        j = column.get(session.evse)
        if j is None or session.plugged_in_epoch_s > plan.issued_epoch_s:
            continue
        for t, row in enumerate(rows):
            told = plan.setpoint_a[row][j] if 0 <= row < len(plan.setpoint_a) else None
            out[i, t] = np.nan if told is None else told
    return out
