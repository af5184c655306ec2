"""What people should know of a plan: who will not be ready, by how much, and what stands in the way."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, TypeAlias
from zoneinfo import ZoneInfo

import numpy as np

from interfaces.domain.topology import PHASES
from interfaces.domain.units import SECONDS_PER_HOUR
from optimizer.core.compile import Compiled
from optimizer.core.instance import FIRM_STEPS, Floats, Solution
from optimizer.core.problem import Problem
from optimizer.core.targets import Need
from optimizer.core.verify import amperes, net_kw, window_share

Cause: TypeAlias = Literal["time", "charger", "circuit", "operator", "contract", "price", "battery"]

SHORT_KWH: Final[float] = 0.1
SHORT_SHARE: Final[float] = 0.01
"""Less is not worth a message: a tenth of a kWh is half a kilometre."""
TIGHT: Final[float] = 1e-3
"""A and kW: nearer to its limit than this, a row binds."""
SHORT_STAY_H: Final[float] = 2.0
"""Whoever leaves within two hours lacks time, whoever stays longer has a charger that is too small for the wish."""


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A session that will not be ready. ``shortfall_pct`` and ``shortfall_km`` where its vehicle is known.

    ``limit``: what binds, such as ``garage L1``. ``uncertainty_kwh``: plus or minus, from its state of charge.
    """

    evse: str
    departure_epoch_s: float
    shortfall_kwh: float
    shortfall_pct: float | None
    shortfall_km: float | None
    uncertainty_kwh: float
    cause: Cause
    limit: str
    text: str


def shortfalls(problem: Problem, compiled: Compiled, solution: Solution) -> tuple[Shortfall, ...]:
    """One event per session that misses its target, in the order of the EVSEs."""
    found = []
    for i, need in enumerate(compiled.fleet.needs):
        if compiled.fleet.sessions[i].arrives_epoch_s is not None:
            continue
        missing_kwh = _missing_kwh(i, compiled, solution)
        if missing_kwh > max(SHORT_KWH, SHORT_SHARE * need.energy_kwh):
            found.append(_event(problem, compiled, solution, i, need, missing_kwh))
    return tuple(found)


def _missing_kwh(i: int, compiled: Compiled, solution: Solution) -> float:
    """What is short at departure, at the meter; what can still be charged after the horizon is not missing."""
    cars = compiled.instance.cars
    later_kwh = float(cars.short_kwh[i, 0])
    at_meter = float(cars.efficiency[i]) if cars.discharge_a[i] > 0 else 1.0
    return (float(solution.shortage_kwh[i]) - later_kwh) / at_meter


def _event(
    problem: Problem, compiled: Compiled, solution: Solution, i: int, need: Need, missing_kwh: float
) -> Shortfall:
    cause, limit = _cause(problem, compiled, solution, i, need)
    pct = missing_kwh / need.kwh_per_pct if need.vehicle_known else None
    km = missing_kwh / need.kwh_per_km if need.vehicle_known else None
    zone = ZoneInfo(problem.site.time_zone)
    when = datetime.fromtimestamp(need.departure_epoch_s, zone).strftime("%a %H:%M")
    amount = f"{missing_kwh:.1f} kWh" + (f" ({pct:.0f} %, {km:.0f} km)" if pct is not None and km is not None else "")
    text = (
        f"{need.evse} will not be ready at {when}: {amount} short of {need.asked}, {_WORDS[cause].format(limit=limit)}"
    )
    if need.uncertainty_kwh > 0:
        text += f"; its state of charge is {_SOURCES[need.soc_source]}, ±{need.uncertainty_kwh:.1f} kWh"
    return Shortfall(
        evse=need.evse,
        departure_epoch_s=need.departure_epoch_s,
        shortfall_kwh=missing_kwh,
        shortfall_pct=pct,
        shortfall_km=km,
        uncertainty_kwh=need.uncertainty_kwh,
        cause=cause,
        limit=limit,
        text=text,
    )


_WORDS: Final[dict[Cause, str]] = {
    "time": "because there is too little time: {limit}",
    "charger": "because more than that cannot be charged here: {limit}",
    "circuit": "because circuit {limit} is full",
    "operator": "because the grid operator limits {limit}",
    "contract": "because of the {limit}",
    "price": "because no hour until then is cheap enough",
    "battery": "because its battery is full by then",
}
_SOURCES: Final[dict[str, str]] = {
    "charger": "told by the charger",
    "entered": "what was entered at arrival",
    "last_known": "the last known one less its use",
    "none": "unknown",
}


def _cause(problem: Problem, compiled: Compiled, solution: Solution, i: int, need: Need) -> tuple[Cause, str]:
    """What binds in most of the steps in which this car could still take more."""
    cars, steps = compiled.instance.cars, compiled.steps
    most = window_share(compiled.instance)[i] * cars.max_a[i]
    spare = most - solution.car_a[i]
    cells = np.flatnonzero(spare > max(TIGHT, 0.01 * float(cars.max_a[i])))
    stay_h = (min(need.departure_epoch_s, float(steps.end_epoch_s[-1])) - steps.now_epoch_s) / SECONDS_PER_HOUR
    if not len(cells):
        kw = float(cars.max_a[i] * cars.kw_per_a[i])
        words = f"{kw:.1f} kW for {stay_h:.1f} h is all there is"
        return ("time", words) if stay_h <= SHORT_STAY_H else ("charger", words)
    votes: Counter[tuple[Cause, str]] = Counter()
    room_a = compiled.instance.grid.headroom_a - amperes(compiled.instance, solution)
    limit_kw = compiled.instance.grid.import_limit_kw
    idle = solution.car_a[i] < TIGHT
    tight_kw = net_kw(compiled.instance, solution) >= limit_kw - TIGHT
    for t in cells.tolist():
        votes[_binding(problem, compiled, i, t, room_a, bool(idle[t]), bool(tight_kw[t]))] += 1
    return max(votes, key=lambda vote: (votes[vote], vote))


def _binding(
    problem: Problem, compiled: Compiled, i: int, t: int, room: Floats, idle: bool, import_tight: bool
) -> tuple[Cause, str]:
    """What keeps car i from taking more in step t. The circuit nearest to it counts first."""
    cars, parent = compiled.instance.cars, compiled.instance.grid.parent
    k, needed = int(cars.circuit[i]), float(cars.min_a[i]) if idle and t < FIRM_STEPS else TIGHT
    while k >= 0:
        for phase, name in enumerate(PHASES):
            if cars.wired[i, phase] and room[k, phase, t] < needed:
                circuit = compiled.circuits[k]
                at = next(n for n, one in enumerate(problem.site.circuits) if one.id == circuit)
                operator = bool(compiled.limits.operator_circuit[at, t])
                return ("operator", f"circuit {circuit}") if operator else ("circuit", f"{circuit} {name}")
        if room.shape[1] > len(PHASES) and room[k, -1, t] < needed * float(cars.wired[i].sum()):
            return ("circuit", f"{compiled.circuits[k]}, by its power limit,")
        k = int(parent[k])
    if import_tight:
        return ("operator", "the connection") if compiled.limits.operator_import[t] else ("contract", "import limit")
    if cars.discharge_a[i] > 0:
        return ("battery", "")
    return ("price", "")
