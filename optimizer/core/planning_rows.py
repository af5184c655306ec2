"""From a solution to the rows of a plan: whole device steps, towards zero, and never a current that no car takes.

The solver keeps minimum currents in the first steps only. A plan may be followed for hours when the link is lost, so
that later steps get the same form here: currents below the minimum are gathered until they make a whole one, where
there is room for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from interfaces.domain.plan import MOST_PPM, PPM
from interfaces.domain.stores import BATTERY_EFFICIENCY, BATTERY_WEAR_EUR_PER_KWH
from interfaces.domain.topology import PHASES
from interfaces.domain.units import MILLI, Bools, Floats, Ints, frozen_ints
from optimizer.core.compile import Compiled
from optimizer.core.compile_tree import below_of, parents_first
from optimizer.core.instance import FIRM_STEPS, Solution, on_rows
from optimizer.core.problem import Problem
from optimizer.core.problem_facts import BatteryFacts
from optimizer.core.verify import amperes, net_kw, window_share

DUST_A: Final[float] = 1e-4
"""What arithmetic leaves below a whole step; without it a planned 16 A became 15 A."""
NEXT_PLAN_H: Final[float] = 0.25
"""A plan is obeyed for as long as its lease at most."""
LEAST_SHARE: Final[float] = 1e-3
NO_DEARER_EUR_PER_KWH: Final[float] = 0.05
"""A step that costs so much more than the running one is no time to go on for the last watt-hours."""


@dataclass(frozen=True, slots=True)
class Column:
    """One asset of the plan. ``setpoint_ma`` (T,): per conductor, signed; ``counted_ma``: what it adds to the sums,
    which differs for PV, whose free output the background has already; ``share`` (T,): how much of a step it is there.
    """

    asset: str
    circuit: str
    phases: tuple[str, ...]
    kind: str
    setpoint_ma: Ints
    counted_ma: Ints
    share: Floats
    min_ma: int
    step_ma: int
    worth: float
    value_eur_per_kwh: Floats

    @property
    def conductors(self) -> tuple[int, int, int]:
        """How many conductors on L1, L2, L3 carry the setpoint."""
        a, b, c = (sum(phase == name for phase in self.phases) for name in PHASES)
        return a, b, c


def columns_of(problem: Problem, compiled: Compiled, solution: Solution) -> list[Column]:
    """Every asset that the plan speaks of, EVSEs first."""
    return [
        *_evses(problem, compiled, solution),
        *_batteries(problem, compiled, solution),
        *_plants(problem, compiled, solution),
        *_loads(problem, compiled, solution),
    ]


def _whole(amps: Floats, step_a: float, *, up: bool = False) -> Ints:
    """Milliamperes in whole device steps, towards zero."""
    step_ma = max(1, round(step_a * MILLI))
    steps = np.abs(amps) * MILLI / step_ma
    count = np.ceil(steps - DUST_A) if up else np.floor(steps + DUST_A)
    return (np.sign(amps) * count * step_ma).astype(np.int64)


def _evses(problem: Problem, compiled: Compiled, solution: Solution) -> list[Column]:
    fleet, cars, steps = compiled.fleet, compiled.instance.cars, compiled.steps.count
    currents, share = _taken(problem, compiled, solution), window_share(compiled.instance)
    columns = []
    for i, evse in enumerate(fleet.evses):
        if fleet.sessions[i].arrives_epoch_s is not None:
            continue
        net = currents[i] - solution.car_discharge_a[i]
        least = max(float(cars.min_a[i]), evse.step_a)
        setpoint = _whole(np.where(np.abs(net) < least - DUST_A, 0.0, net), evse.step_a)
        setpoint[np.abs(setpoint) < round(evse.min_a * MILLI)] = 0
        inside = np.arange(steps) < int(cars.end[i])
        at_meter = float(cars.efficiency[i]) if cars.discharge_a[i] > 0 else 1.0
        columns.append(
            Column(
                asset=evse.id,
                circuit=evse.circuit,
                phases=tuple(name for k, name in enumerate(PHASES) for _ in range(int(cars.wired[i, k]))),
                kind="evse",
                setpoint_ma=setpoint,
                counted_ma=setpoint,
                share=share[i],
                min_ma=round(least * MILLI),
                step_ma=max(1, round(evse.step_a * MILLI)),
                worth=0.0 if cars.optional[i] else float(cars.short_eur_per_kwh[i, 1]),
                value_eur_per_kwh=np.where(inside, _worth(i, setpoint, share[i], compiled, solution) * at_meter, 0.0),
            )
        )
    known = {column.asset for column in columns}
    rest = {session.evse for session in problem.state.sessions} - known
    idle, nothing = np.zeros(steps, dtype=np.int64), np.zeros(steps)
    columns += [
        Column(one.id, one.circuit, one.phases, "evse", idle, idle, nothing, 0, 1, 0.0, nothing)
        for one in problem.site.evses
        if one.id in rest
    ]
    return columns


def _worth(i: int, setpoint_ma: Ints, share: Floats, compiled: Compiled, solution: Solution) -> float:
    """EUR/kWh of what car i takes. Without slack it is what a shortage costs: what such a car would give up for the
    sake of the peak until the next plan, no later step gives back.
    """
    cars, dt_h = compiled.instance.cars, compiled.steps.dt_h
    value = float(solution.car_value_eur_per_kwh[i])
    window = slice(int(cars.first[i]), int(cars.end[i]))
    taken_a = setpoint_ma[window] / MILLI
    room_ah = (np.maximum(float(cars.max_a[i]) - taken_a, 0.0) * share[window] * dt_h[window]).sum()
    given_ah = max(float(taken_a[0]) - float(cars.min_a[i]), 0.0) * NEXT_PLAN_H
    tight = given_ah > 0.0 and room_ah < given_ah and not cars.optional[i]
    return max(value, float(cars.short_eur_per_kwh[i, 1])) if tight else value


def _taken(problem: Problem, compiled: Compiled, solution: Solution) -> Floats:
    """(N, T) charging currents while plugged in: whole minimums in the first steps, in a step of departure what makes
    up for the rest of it, whole device steps later on. Only where there is room.
    """
    cars = compiled.instance.cars
    out, share = solution.car_a.copy(), window_share(compiled.instance)
    room = Room(problem, compiled, solution)
    for i in np.argsort(-cars.short_eur_per_kwh[:, 1], kind="stable").tolist():
        most = float(cars.max_a[i])
        _hold(i, out[i], room, compiled)
        for t in np.flatnonzero((out[i] > DUST_A) & _odd(i, out[i], share[i], compiled)).tolist():
            wanted = max(float(out[i, t]) / max(float(share[i, t]), LEAST_SHARE), float(cars.min_a[i]))
            out[i, t] = room.raised(i, t, float(out[i, t]), min(wanted, most))
        _gather(i, out[i], room, compiled)
        _linger(i, out[i], room, compiled)
    return out


def _hold(i: int, current: Floats, room: Room, compiled: Compiled) -> None:
    """First steps that differ from the last plan by no more than one device step keep its current; in place.

    The solver works in fractions of a step: without this, rounding would turn its noise into whole amperes.
    """
    cars, step_a = compiled.instance.cars, compiled.fleet.evses[i].step_a
    for t, before in enumerate(cars.previous_a[i].tolist()):
        now = float(current[t])
        if not (before >= cars.min_a[i] and now >= cars.min_a[i]) or now >= cars.max_a[i] - DUST_A:
            continue
        if abs(before - now) > step_a + DUST_A:
            continue
        if before < now:
            room.book(i, t, before - now)
            current[t] = before
        else:
            held = room.raised(i, t, now, before)
            current[t] = held


def _linger(i: int, current: Floats, room: Room, compiled: Compiled) -> None:
    """Who has all it wants by then, but for less than its minimum takes in a step, may go on at its minimum until the
    next plan; in place.

    A battery takes the last of it more slowly than any plan knows. Without this the car is paused at the quarter for
    some watt-hours, and started again by the plan that sees them missing.
    """
    cars, dt_h, rests = compiled.instance.cars, compiled.steps.dt_h, np.flatnonzero(current <= DUST_A)
    if not rests.size or rests[0] == 0 or cars.discharge_a[i] > 0.0 or cars.optional[i]:
        return
    least, price = _up(float(cars.min_a[i]), compiled.fleet.evses[i].step_a), compiled.instance.grid.import_eur_per_kwh
    if float((current * dt_h)[rests[0] :].sum()) > least * float(dt_h[-1]) + DUST_A:
        return
    for t in range(int(rests[0]), min(FIRM_STEPS, int(cars.end[i]))):
        more = least - float(current[t])
        # A new peak is more than those watt-hours are worth, and so is a dearer hour.
        if price[t] > price[0] + NO_DEARER_EUR_PER_KWH or room.free_a(i, t, below_peak=True) < more - DUST_A:
            return
        current[t] = room.raised(i, t, float(current[t]), least)


def _odd(i: int, current: Floats, share: Floats, compiled: Compiled) -> Bools:
    """(T,) steps it is there for a part of, and first steps in which less than a minimum current is still wanted."""
    first = np.arange(len(current)) < FIRM_STEPS
    little: Bools = current < compiled.instance.cars.min_a[i] - DUST_A
    return (share < 1.0) | (first & little)


def _gather(i: int, current: Floats, room: Room, compiled: Compiled) -> None:
    """Whole device steps that no car refuses; in place. What one step loses the next ones make up for, below the peak;
    small currents of later steps wait until they make a whole minimum, to the nearest.

    A peak is no reason to leave a car empty: its minimum alone may be above it.
    """
    cars, dt_h, step_a = compiled.instance.cars, compiled.steps.dt_h, compiled.fleet.evses[i].step_a
    least, most = _up(float(cars.min_a[i]), step_a), float(cars.max_a[i])
    small = bool((current[FIRM_STEPS:][current[FIRM_STEPS:] > DUST_A] < least - DUST_A).any())
    half_ah, carried_ah = (least if small else step_a) * float(dt_h[-1]) / 2, 0.0
    for t in np.flatnonzero(current > DUST_A).tolist():
        planned, late_ah = float(current[t]), half_ah if t >= FIRM_STEPS else 0.0
        whole = planned >= least - DUST_A
        wanted = min(planned + (carried_ah + late_ah) / float(dt_h[t]), most if whole else least)
        more = max(0.0, min(_down(wanted, step_a) - planned, room.free_a(i, t, below_peak=whole)))
        given = _down(planned + more, step_a)
        given = given if given >= least - DUST_A else 0.0
        room.book(i, t, given - planned)
        carried_ah += (planned - given) * float(dt_h[t])
        current[t] = given


def _down(amps: float, step_a: float) -> float:
    """Whole device steps, rounded down."""
    return math.floor(amps / step_a + DUST_A) * step_a


def _up(amps: float, step_a: float) -> float:
    return math.ceil(amps / step_a - DUST_A) * step_a


class Room:
    """What the solution leaves free on every circuit, row and step, below the import limit and the peak."""

    def __init__(self, problem: Problem, compiled: Compiled, solution: Solution) -> None:
        instance, cars = compiled.instance, compiled.instance.cars
        order = parents_first(problem)
        above = below_of(problem)[np.ix_(order, order)][:, cars.circuit] > 0  # (C, N)
        on = on_rows(cars.wired, instance.grid.rows)
        self._rows = [np.ix_(above[:, i], on[i] > 0) for i in range(cars.n)]
        self._wires = [on[i][on[i] > 0] for i in range(cars.n)]
        self._kw_per_a = cars.kw_per_a.tolist()
        self._free_a = instance.grid.headroom_a - amperes(instance, solution)
        net = net_kw(instance, solution)
        self._free_kw = instance.grid.import_limit_kw - net
        self._peak_kw = np.full(len(net), np.inf)
        if instance.grid.peak_eur_per_kw > 0:
            self._peak_kw = solution.peak_kw[instance.grid.period] - net

    def free_a(self, i: int, t: int, *, below_peak: bool = False) -> float:
        """How much more car i may take in step t than is booked for it; never negative."""
        amps = float((self._free_a[:, :, t][self._rows[i]] / self._wires[i]).min(initial=np.inf))
        free_kw = float(min(self._free_kw[t], self._peak_kw[t]) if below_peak else self._free_kw[t])
        return max(0.0, min(amps, free_kw / float(self._kw_per_a[i])))

    def book(self, i: int, t: int, more: float) -> None:
        """Car i takes this much more in step t; less where it is negative."""
        circuits, phases = self._rows[i]
        self._free_a[circuits, phases, t] -= more * self._wires[i]
        self._free_kw[t] -= more * self._kw_per_a[i]
        self._peak_kw[t] -= more * self._kw_per_a[i]

    def raised(self, i: int, t: int, planned: float, wanted: float) -> float:
        """The current nearest to ``wanted`` that there is room for, booked; never below ``planned``."""
        more = max(0.0, min(wanted - planned, self.free_a(i, t)))
        self.book(i, t, more)
        return planned + more


def _power_column(
    problem: Problem,
    asset: str,
    circuit: str,
    phases: tuple[str, ...],
    kind: str,
    kw: Floats,
    step_a: float,
    value: Floats,
) -> Column:
    amps = kw * MILLI / problem.site.nominal_voltage_v / len(phases)
    setpoint = _whole(amps, step_a, up=kind == "run")
    step_ma, steps = max(1, round(step_a * MILLI)), len(kw)
    return Column(asset, circuit, phases, kind, setpoint, setpoint, np.ones(steps), 0, step_ma, 0.0, value)


def _batteries(problem: Problem, compiled: Compiled, solution: Solution) -> list[Column]:
    """Of one whose charge nobody knows it says nothing: what sites do not hear of rests, whatever a kWh is worth."""
    known = compiled.instance.batteries.charge_kw + compiled.instance.batteries.discharge_kw > 0.0
    moved_kw = solution.charge_kw - solution.discharge_kw
    return [
        _power_column(
            problem,
            one.id,
            one.circuit,
            one.phases,
            "battery",
            moved_kw[k],
            one.step_a,
            _told_value(one, moved_kw[k], solution.battery_value_eur_per_kwh[k]),
        )
        for k, one in enumerate(problem.site.batteries)
        if known[k]
    ]


def _told_value(battery: BatteryFacts, moved_kw: Floats, value_eur_per_kwh: Floats) -> Floats:
    """(T,) the value a plan tells: with the losses and the wear that every site reckons with it means at the meter what
    the battery's own make of the true one.
    """
    taken = value_eur_per_kwh * battery.charge_efficiency - battery.wear_eur_per_kwh
    given = value_eur_per_kwh / battery.discharge_efficiency + battery.wear_eur_per_kwh
    filling = (taken + BATTERY_WEAR_EUR_PER_KWH) / BATTERY_EFFICIENCY
    emptying = (given - BATTERY_WEAR_EUR_PER_KWH) * BATTERY_EFFICIENCY
    told: Floats = np.where(moved_kw < -DUST_A, emptying, np.where(moved_kw > DUST_A, filling, value_eur_per_kwh))
    return told


def _plants(problem: Problem, compiled: Compiled, solution: Solution) -> list[Column]:
    """Plants that may be held back: free to feed in all they have unless something is to be curtailed."""
    columns = []
    by_id = {plant.id: plant for plant in problem.site.pv}
    nothing = np.zeros(compiled.steps.count)
    for k, name in enumerate(compiled.solar):
        plant = by_id[name]
        per_kw = MILLI / problem.site.nominal_voltage_v / len(plant.phases)
        held_kw = solution.curtailed_kw[k]
        curtailed = held_kw > DUST_A
        left_kw = np.where(curtailed, compiled.instance.solar.available_kw[k] - held_kw, plant.rated_kw)
        columns.append(
            Column(
                asset=name,
                circuit=plant.circuit,
                phases=plant.phases,
                kind="pv",
                setpoint_ma=-_whole(np.maximum(left_kw, 0.0) * per_kw, plant.step_a),
                counted_ma=_whole(np.where(curtailed, held_kw, 0.0) * per_kw, plant.step_a, up=True),
                share=np.ones(compiled.steps.count),
                min_ma=0,
                step_ma=max(1, round(plant.step_a * MILLI)),
                worth=0.0,
                value_eur_per_kwh=nothing,
            )
        )
    return columns


def _loads(problem: Problem, compiled: Compiled, solution: Solution) -> list[Column]:
    columns = [
        _power_column(
            problem,
            one.id,
            one.circuit,
            one.phases,
            "buffer",
            solution.buffer_kw[k],
            one.step_a,
            solution.buffer_value_eur_per_kwh[k],
        )
        for k, one in enumerate(problem.site.buffers)
    ]
    nothing = np.zeros(compiled.steps.count)
    return columns + [
        _power_column(problem, run.id, run.circuit, run.phases, "run", solution.run_kw[k], 0.1, nothing)
        for k, run in enumerate(compiled.runs)
    ]


def planned_import_kw(problem: Problem, compiled: Compiled, solution: Solution, columns: list[Column]) -> Floats:
    """(T,) what the connection draws by this plan, negative where it feeds in; with the cars that are announced."""
    total: Floats = compiled.background.net_kw.copy()
    for i, session in enumerate(compiled.fleet.sessions):
        if session.arrives_epoch_s is not None:
            total += solution.car_a[i] * float(compiled.instance.cars.kw_per_a[i])
    for column in columns:
        per_ma = sum(column.conductors) * problem.site.nominal_voltage_v / MILLI
        total += column.counted_ma * column.share * per_ma / MILLI
    return total


def ppm(columns: list[Column], steps: int) -> Ints:
    """(T, A) marginal values in 1e-6 EUR/kWh."""
    if not columns:
        return frozen_ints(np.zeros((steps, 0), dtype=np.int64))
    values = np.stack([column.value_eur_per_kwh for column in columns], axis=1)
    return frozen_ints(np.clip(np.rint(values * PPM), -MOST_PPM, MOST_PPM).astype(np.int64))
