"""The meter check: what a meter shows of a step that a charger makes, and which phase each conductor is on. Pure.

Only changes count, never absolute values: a site that exports while the charger steps shows less export, and the step
is as plain as on import. Active and reactive power add up linearly, so the change of apparent power is that of the
charger alone whatever else flows (the building's own changes are told apart by several steps and their scatter).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Final

from controller.core.commission import PHASE_NAMES, EvsePlan, Finding, Levels, MeterLevels, Step, Three

NOMINAL_V: Final[float] = 230.0
SILENT: Final[float] = 0.25
"""Below this share of the charger's step a phase did not move; meters and chargers are each within some per cent."""
MOVED: Final[float] = 0.4
"""From here on it did; between the two it is neither."""
RATIO_LEAST: Final[float] = 0.8
RATIO_MOST: Final[float] = 1.25
IN_PHASE: Final[float] = 0.75
"""Active share of the step's current. A charging car is above 0.9; on another phase's voltage it is cos 120 = 0.5."""
SCATTER_A: Final[float] = 2.0
"""A phase whose changes miss the common slope by more was moved by something else meanwhile."""
ENOUGH_STEPS: Final = 3
"""With so many, one that disagrees may be left out."""
SMALLEST_STEP_A: Final[float] = 3.0
ALIKE: Final[float] = 0.15
"""Squared misfit within which two ways of wiring explain the same readings."""


@dataclass(frozen=True, slots=True)
class Response:
    """Change per ampere of the charger's step. ``conductors``: of the charger's own; per grid phase of the meter:
    ``size`` without direction, ``active``: the part in phase with its voltage, negative against the expected direction.

    None where it is not known. ``unsteady``: phases that something else moved.
    """

    conductors: tuple[float, ...]
    size: Three
    active: Three
    unsteady: tuple[int, ...]


def response_of(plan: EvsePlan, steps: Sequence[Step], meter: str) -> Response | None:
    """How a meter followed the charger over the steps made; None when no step moved the charger or no reading.

    One step in which something else moved is left out where the others agree.
    """
    made = [step for step in steps if all(_is_fresh(look, meter) for look in (step.before, step.after))]
    whole = _response(plan, made, meter)
    if whole is None or not whole.unsteady or len(made) < ENOUGH_STEPS:
        return whole
    fewer = (_response(plan, [step for step in made if step is not odd], meter) for odd in made)
    return next((one for one in fewer if one is not None and not one.unsteady), whole)


def _is_fresh(look: Levels, meter: str) -> bool:
    return meter in look.meters and look.meters[meter].fresh


def _response(plan: EvsePlan, made: Sequence[Step], meter: str) -> Response | None:
    n = len(plan.phases)
    moves = [_changes(step.before.charger_a, step.after.charger_a)[:n] for step in made]
    sizes = [max((abs(move) for move in one if move is not None), default=0.0) for one in moves]
    steps_a = [math.copysign(size, sum(m or 0.0 for m in one)) for size, one in zip(sizes, moves, strict=True)]
    if max(sizes, default=0.0) < SMALLEST_STEP_A:
        return None
    conductors = tuple(_slope(steps_a, [one[c] if c < len(one) else None for one in moves]) or 0.0 for c in range(n))
    size: list[float | None] = []
    active: list[float | None] = []
    unsteady: list[int] = []
    for phase in range(3):
        pairs = [(step.before.meters[meter], step.after.meters[meter]) for step in made]
        one_size, one_active, steady = _phase(steps_a, pairs, phase)
        size.append(one_size)
        active.append(one_active)
        unsteady += [] if steady else [phase]
    return Response(conductors, (size[0], size[1], size[2]), (active[0], active[1], active[2]), tuple(unsteady))


def _phase(
    steps_a: Sequence[float], pairs: Sequence[tuple[MeterLevels, MeterLevels]], phase: int
) -> tuple[float | None, float | None, bool]:
    """Size and active part of one phase's response, and whether the steps agree."""
    amps = _changes([before.amps[phase] for before, _ in pairs], [after.amps[phase] for _, after in pairs])
    active = [_power_change(before.watts, after.watts, before, phase) for before, after in pairs]
    reactive = [_power_change(_vars(before), _vars(after), before, phase) for before, after in pairs]
    by_amps, by_watts, by_vars = (_slope(steps_a, one) for one in (amps, active, reactive))
    used = active if by_watts is not None else amps
    slope = by_watts if by_watts is not None else by_amps
    if slope is None:
        return None, None, True
    steady = all(
        change is not None and abs(change - slope * step) <= max(SCATTER_A, SILENT * abs(step))
        for step, change in zip(steps_a, used, strict=True)
    )
    if by_watts is None:
        told = all(before.signed for before, _ in pairs)
        return abs(slope), (slope if told else None), steady
    return math.hypot(by_watts, by_vars or 0.0), by_watts, steady


def _vars(levels: MeterLevels) -> Three:
    """Reactive power; of a meter without it the size that current and active power leave (its direction is lost)."""
    a, b, c = (
        one if one is not None else _left_over(levels.amps[phase], levels.watts[phase], levels.volts[phase])
        for phase, one in enumerate(levels.vars)
    )
    return a, b, c


def _left_over(amps: float | None, watts: float | None, volts: float | None) -> float | None:
    if amps is None or watts is None:
        return None
    return math.sqrt(max(0.0, (amps * (volts or NOMINAL_V)) ** 2 - watts * watts))


def _power_change(first: Three, last: Three, levels: MeterLevels, phase: int) -> float | None:
    """Change of a power, as amperes at the phase's voltage."""
    before, after = first[phase], last[phase]
    return None if before is None or after is None else (after - before) / (levels.volts[phase] or NOMINAL_V)


def _changes(before: Sequence[float | None], after: Sequence[float | None]) -> list[float | None]:
    return [None if a is None or b is None else b - a for a, b in zip(before, after, strict=True)]


def _slope(steps_a: Sequence[float], changes: Sequence[float | None]) -> float | None:
    """Change per ampere of step, the large steps counting most; None when a step has no reading."""
    if not steps_a or any(change is None for change in changes):
        return None
    square = sum(step * step for step in steps_a)
    return sum(step * (change or 0.0) for step, change in zip(steps_a, changes, strict=True)) / square


def wirings_of(response: Response) -> tuple[tuple[int, ...], ...]:
    """Every way to put the conductors on grid phases that explains the meter about as well as the best one does."""
    number = len(response.conductors)
    costs = {way: _misfit(response, way) for way in permutations(range(3), number)}
    best = min(costs.values())
    return tuple(way for way, cost in costs.items() if cost <= best + ALIKE)


def _misfit(response: Response, way: tuple[int, ...]) -> float:
    expected = [0.0, 0.0, 0.0]
    for conductor, phase in enumerate(way):
        expected[phase] += abs(response.conductors[conductor])
    return sum((size - e) ** 2 for size, e in zip(response.size, expected, strict=True) if size is not None)


def judge_wiring(plan: EvsePlan, response: Response, meter: str) -> list[Finding]:
    """Which grid phase each conductor in use is on, against the site file."""
    if not any((size or 0.0) > MOVED for size in response.size) or response.unsteady:
        why = "something else changed at the same time" if response.unsteady else f"{meter} did not follow the charger"
        return [Finding("phases", plan.evse, "not_tested", f"phase rotation: {why}", _REPEAT)]
    if not plan.per_conductor:
        says = "phase rotation: this make does not measure its conductors one by one"
        return [Finding("phases", plan.evse, "not_tested", says)]
    ways = wirings_of(response)
    used = [c for c, share in enumerate(response.conductors) if share > MOVED]
    places = {c: sorted({way[c] for way in ways}) for c in used}
    wrong = [c for c in used if plan.phases[c] not in places[c]]
    if wrong:
        return [_rotated(plan, meter, places, wrong)]
    proven = [c for c in used if len(places[c]) == 1]
    if proven:
        shown = ", ".join(f"conductor {c + 1} on {PHASE_NAMES[places[c][0]]}" for c in proven)
        found = [Finding("phases", plan.evse, "ok", f"{shown}, as in the site file (seen at {meter})")]
    else:
        found = []
    rest = [str(c + 1) for c in range(len(plan.phases)) if c not in proven]
    if rest and len(plan.phases) > 1:
        alike = len(used) > 1 and not proven
        why = "they drew alike, so that they cannot be told apart" if alike else "the car did not use them"
        do = "repeat with a one-phase car" if alike else "it matters to two-phase cars alone: repeat with one of those"
        says = f"phase rotation of conductor {', '.join(rest)}: {why}"
        found.append(Finding("phases_rest", plan.evse, "not_tested" if not proven else "note", says, do))
    return found


_REPEAT: Final = "repeat when the building is quiet and a car charges"


def _rotated(plan: EvsePlan, meter: str, places: dict[int, list[int]], wrong: Sequence[int]) -> Finding:
    parts = []
    for c in wrong:
        seen = " or ".join(PHASE_NAMES[phase] for phase in places[c])
        parts.append(f"conductor {c + 1} moves {seen} of {meter}, the site file says {PHASE_NAMES[plan.phases[c]]}")
    return Finding(
        "phases_rotated",
        plan.evse,
        "fault",
        f"phases are rotated: {'; '.join(parts)}",
        f"write the true order into `phases` of {plan.evse}, or put the conductors right; if every charger is off in "
        f"the same way, the phases at {meter} are",
    )


def judge_meter(plan: EvsePlan, response: Response, meter: str) -> list[Finding]:
    """Whether a meter above the charger shows its steps as they are: every phase, the right way, the right size."""
    moved = [phase for phase, size in enumerate(response.size) if (size or 0.0) > MOVED]
    if response.unsteady:
        names = _names(response.unsteady)
        says = f"{meter}: {names} changed by more than the charger's step, other loads moved meanwhile"
        return [Finding("meter_unsteady", meter, "not_tested", says, _REPEAT)]
    if not moved:
        return [_blind(plan, meter)]
    found = list(_turned(response, meter, moved))
    if plan.per_conductor:
        found += [*_open(plan, response, meter), *_sized(response, meter, moved)]
    if found:
        return found
    if any(response.active[phase] is None for phase in moved):
        says = f"{meter} gives currents without direction: which way round its transformers sit cannot be seen"
        return [Finding("meter_direction", meter, "not_tested", says)]
    return [Finding("meter", meter, "ok", f"{meter} follows {plan.evse} on {_names(moved)}, in size and direction")]


def _blind(plan: EvsePlan, meter: str) -> Finding:
    return Finding(
        "meter_elsewhere",
        meter,
        "fault",
        f"{meter} does not move while {plan.evse} charges: it is not in the line that feeds this charger, or its "
        "transformers are open or of quite another ratio",
        f"look where {meter} is mounted (it must be ahead of everything its circuit feeds) and at its transformers",
    )


def _open(plan: EvsePlan, response: Response, meter: str) -> Iterator[Finding]:
    """Phases that stand still although every fitting way of wiring has a conductor in use there."""
    used = [c for c, share in enumerate(response.conductors) if share > MOVED]
    ways = wirings_of(response)
    still = [phase for phase, size in enumerate(response.size) if size is not None and size < SILENT]
    loaded = [{way[c] for c in used} for way in ways]
    if plan.phases in ways:
        loaded = [{plan.phases[c] for c in used}]
    for phase in still:
        if all(phase in phases for phases in loaded):
            yield Finding(
                "ct_open",
                meter,
                "fault",
                f"{meter} shows no change on {PHASE_NAMES[phase]} while {plan.evse} charges on {len(used)} phases: "
                "its transformer is open, not connected or not around the conductor",
                f"look at the current transformer of {PHASE_NAMES[phase]} and its terminals at {meter}",
            )


def _turned(response: Response, meter: str, moved: Sequence[int]) -> Iterator[Finding]:
    """Transformers the wrong way round, or beside another phase's voltage."""
    known = [(phase, response.active[phase], response.size[phase]) for phase in moved]
    shares = {phase: a / s for phase, a, s in known if a is not None and s}
    crossed = [phase for phase, share in shares.items() if abs(share) < IN_PHASE]
    turned = [phase for phase, share in shares.items() if share <= -IN_PHASE]
    if crossed:
        yield Finding(
            "ct_crossed",
            meter,
            "fault",
            f"{meter}: current and power of {_names(crossed)} do not agree (a power factor of "
            f"{', '.join(f'{shares[phase]:.1f}' for phase in crossed)}): the transformer sits on another phase than "
            "the voltage beside it",
            f"exchange the transformers, or the voltage leads, of {_names(crossed)} at {meter}",
        )
    if turned:
        all_of = "all transformers are" if len(turned) == len(moved) > 1 else "the transformer is"
        yield Finding(
            "ct_reversed",
            meter,
            "fault",
            f"{meter} shows less on {_names(turned)} when {_names(turned)} carries more: {all_of} the wrong way round",
            f"turn the current transformer of {_names(turned)} (or exchange its two wires) at {meter}",
        )


def _sized(response: Response, meter: str, moved: Sequence[int]) -> Iterator[Finding]:
    """A wrong transformer ratio makes every phase wrong by the same factor."""
    used = [share for share in response.conductors if share > MOVED]
    sizes = [response.size[phase] or 0.0 for phase in moved]
    if len(moved) != len(used) or not sizes:
        return
    factor = sum(sizes) / sum(used)
    if not RATIO_LEAST <= factor <= RATIO_MOST:
        yield Finding(
            "ct_ratio",
            meter,
            "fault",
            f"{meter} shows {factor:.2f} times what the charger measures",
            f"set the transformer ratio in {meter} to the one printed on the transformers",
        )


def _names(phases: Sequence[int]) -> str:
    return " and ".join(PHASE_NAMES[phase] for phase in phases)
