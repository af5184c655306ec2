"""Commissioning: what was planned and seen at one charger, step by step, and how much current a step may take. Pure.

The shell in ``controller.service.commission_run`` moves devices and fills these records; ``commission_judge`` and
``commission_meter`` turn them into findings. Currents in A, positive when drawn; phases are 0, 1, 2 for L1, L2, L3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final, Literal

Three = tuple[float | None, float | None, float | None]
"""One value per conductor or grid phase; None where nothing is known."""
Verdict = Literal["ok", "note", "fault", "not_tested"]
Outcome = Literal["done", "refused", "aborted"]
Contest = Literal["", "ignored", "dropped", "fell_back", "set_back", "two_masters"]
"""Why a setpoint is not held: not taken, dropped on the way, lost by itself, set back again and again, or changed by
another master."""
Watchdog = Literal["any_request", "write", "register", "none"]

NOTHING: Final[Three] = (None, None, None)
PHASE_NAMES: Final = ("L1", "L2", "L3")
FLOWS_A: Final[float] = 1.0
"""Above this a car charges; standby of a station stays below it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One result in words. ``code`` names it for machines, ``subject`` is an id of the site file.

    ``says``: what was found; ``do``: what to do about it, empty when there is nothing to do.
    """

    code: str
    subject: str
    verdict: Verdict
    says: str
    do: str = ""


@dataclass(frozen=True, slots=True)
class EvsePlan:
    """What the site file and the profile say of one EVSE.

    ``max_a``: smallest nameplate of its conductors; ``phases``: the grid phase of each conductor. ``failsafe_a``,
    ``timeout_s``: wanted of it when nobody talks to it, None where the file is silent; ``accepted``: somebody vouches
    in writing for a failsafe that cannot be read. ``release_s``: the longest it and the car may take to follow.
    ``meters``: the meters of its circuit and of those above, nearest first, the last one at the grid. ``poll_s``: its
    measurements are this old at most. ``per_conductor`` False: it shows its power, as if spread over all conductors.
    ``switches``: it can be told to use one conductor alone.
    """

    evse: str
    device: str
    make: str
    phases: tuple[int, ...]
    max_a: float
    min_a: float
    failsafe_a: float | None
    timeout_s: float | None
    accepted: bool
    watchdog: Watchdog
    release_s: float
    meters: tuple[str, ...]
    poll_s: float = 1.0
    per_conductor: bool = True
    switches: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """A charger as it was before anything was written. ``suspect``: what speaks against make, map or word order.

    ``stranger``: why this is not the device that belongs here, by its serial number. ``setpoint_a``: what it was told
    last. ``state``: pilot state, "A" without a car, empty when unknown.
    """

    connected: bool
    problem: str = ""
    suspect: tuple[str, ...] = ()
    stranger: str = ""
    serial: str = ""
    model: str = ""
    firmware: str = ""
    state: str = ""
    setpoint_a: float | None = None
    failsafe_a: float | None = None
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class FailsafeSeen:
    """What the device's registers prove after the wanted values were written."""

    verdict: Literal["verified", "unverified", "unsafe"] = "unverified"
    current_a: float | None = None
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class MeterLevels:
    """What a meter shows per grid phase: A, W, var, V. ``signed``: its currents tell their direction.

    ``fresh`` False: it said nothing new for too long; the values are then of no use.
    """

    amps: Three = NOTHING
    watts: Three = NOTHING
    vars: Three = NOTHING
    volts: Three = NOTHING
    signed: bool = True
    fresh: bool = True


@dataclass(frozen=True, slots=True)
class Levels:
    """Everything seen at one moment, or the median of several. ``charger_a``: per conductor of the EVSE under test.

    ``offered_a``: what it says it offers or holds in force; ``readback_a``: what it says it was told.
    ``others_a``: the largest conductor current of every other EVSE, by id.
    """

    at_s: float
    charger_a: Three = NOTHING
    offered_a: float | None = None
    readback_a: float | None = None
    state: str = ""
    meters: Mapping[str, MeterLevels] = field(default_factory=dict)
    others_a: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """One commanded current and what followed. ``why``: of a step that was refused or given up.

    ``offered_s``, ``measured_s``: from the command until the charger said so, and until the car followed.
    ``problem``: of the write, as the driver saw it, and ``contest`` its pattern where read-backs contradict it.
    """

    target_a: float
    outcome: Outcome
    before: Levels
    after: Levels
    why: str = ""
    problem: str = ""
    contest: Contest = ""
    offered_s: float | None = None
    measured_s: float | None = None


@dataclass(frozen=True, slots=True)
class Silence:
    """What the charger did while nobody talked to it. ``held_a``: told before; ``waited_s``: how long it was left.

    ``offered_a``: shown by the charger, ``charging_a``: the largest conductor current then.
    """

    outcome: Outcome
    held_a: float = 0.0
    waited_s: float = 0.0
    offered_a: float | None = None
    charging_a: float | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Restored:
    """What the charger was told at the end. ``confirmed``: it shows it."""

    told_a: float
    confirmed: bool


@dataclass(frozen=True, slots=True)
class EvseRecord:
    """Everything that was seen at one EVSE, in the order in which it was done.

    ``single``: steps on one conductor alone, where a three-phase car could not tell its conductors apart;
    ``single_why``: why there are none although the charger can switch; ``switched_back`` False: it stayed on one.
    """

    plan: EvsePlan
    found: Found
    failsafe: FailsafeSeen = field(default_factory=FailsafeSeen)
    steps: tuple[Step, ...] = ()
    single: tuple[Step, ...] = ()
    single_why: str = ""
    switched_back: bool = True
    silence: Silence | None = None
    restored: Restored | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One circuit above the charger at one moment, A per phase.

    ``background_a``: what the meter shows, None without a fresh one; ``background_max_a``: the declared worst case.
    ``growth_a``: what other chargers on it may add on their own to what they draw now (metered), or may draw at all.
    """

    circuit: str
    limit_a: tuple[float, float, float]
    background_a: Three
    background_max_a: tuple[float, float, float] | None
    growth_a: tuple[float, float, float] = (0.0, 0.0, 0.0)
    draw_max_a: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Room:
    """How much more current per conductor fits, and the circuit and phase that say so."""

    current_a: float
    says: str


def room_of(rows: Iterable[Row], *, proven: bool) -> Room:
    """The current that surely fits on every phase of every row: which phase a conductor is on is not known yet.

    ``proven`` False: nobody knows yet which way round the current transformers sit, so that what looks like export
    may be load. Export never makes room. Without a fresh meter the declared worst case counts; without one, nothing.
    """
    least = Room(float("inf"), "no circuit limits it")
    for row in rows:
        for phase, limit_a in enumerate(row.limit_a):
            left_a, how = _left(row, phase, limit_a, proven=proven)
            if left_a < least.current_a:
                least = Room(left_a, f"circuit {row.circuit} {PHASE_NAMES[phase]}: {how}")
    return Room(max(0.0, least.current_a), least.says)


def _left(row: Row, phase: int, limit_a: float, *, proven: bool) -> tuple[float, str]:
    shown_a, worst = row.background_a[phase], row.background_max_a
    if shown_a is not None:
        background_a = max(0.0, shown_a) if proven else abs(shown_a)
        others_a = row.growth_a[phase]
        how = f"{background_a:.1f} A measured"
    elif worst is not None:
        background_a, others_a = worst[phase], row.draw_max_a[phase]
        how = f"no meter reading, {background_a:.1f} A declared"
    else:
        return 0.0, "neither a meter reading nor background_max_a"
    more = f" and {others_a:.1f} A kept free for other chargers" if others_a else ""
    return limit_a - background_a - others_a, f"{how}{more} of {limit_a:.1f} A"


def is_over(rows: Iterable[Row], *, proven: bool) -> str:
    """Which row is above its limit now, in words; empty when none is."""
    for row in rows:
        for phase, (shown_a, limit_a) in enumerate(zip(row.background_a, row.limit_a, strict=True)):
            if shown_a is not None and (shown_a if proven else abs(shown_a)) > limit_a:
                return f"circuit {row.circuit} {PHASE_NAMES[phase]} shows {shown_a:.1f} A of {limit_a:.1f} A"
    return ""


def middle(looks: Sequence[Levels]) -> Levels:
    """The median of several looks, value by value: a single odd reading changes nothing. Raises for no look at all."""
    last = looks[-1]
    meters = {
        name: MeterLevels(
            amps=_three([look.meters[name].amps for look in looks if name in look.meters]),
            watts=_three([look.meters[name].watts for look in looks if name in look.meters]),
            vars=_three([look.meters[name].vars for look in looks if name in look.meters]),
            volts=_three([look.meters[name].volts for look in looks if name in look.meters]),
            signed=last.meters[name].signed,
            fresh=all(look.meters[name].fresh for look in looks if name in look.meters),
        )
        for name in last.meters
    }
    return Levels(
        at_s=last.at_s,
        charger_a=_three([look.charger_a for look in looks]),
        offered_a=last.offered_a,
        readback_a=last.readback_a,
        state=last.state,
        meters=meters,
        others_a={name: _median([look.others_a.get(name) for look in looks]) for name in last.others_a},
    )


def _three(values: Sequence[Three]) -> Three:
    return (
        _median([value[0] for value in values]),
        _median([value[1] for value in values]),
        _median([value[2] for value in values]),
    )


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def largest(values: Iterable[float | None]) -> float | None:
    """The largest known value; None when nothing is known."""
    return max((value for value in values if value is not None), default=None)


def car_charged(steps: Sequence[Step]) -> bool:
    """Whether a car took current in any step."""
    return any((largest(step.after.charger_a) or 0.0) > FLOWS_A for step in steps)
