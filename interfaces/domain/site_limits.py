"""Do the currents of a site file fit: fuses, contracts, phase maps, and what happens when nobody is in control.

The question behind the sums: every controlled asset has lost us and does what it does on its own, everything else
draws its worst. Is every protective device still happy? Currents in A per grid phase.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from interfaces.domain.device_facts import DeviceFacts
from interfaces.domain.site_bus import left_alone
from interfaces.domain.site_draft import Draft
from interfaces.domain.site_types import (
    ALL_PHASES,
    BatteryEntry,
    ChargerEntry,
    CircuitEntry,
    EvseEntry,
    GridPhase,
    LoadEntry,
    MeterEntry,
    PvEntry,
)
from interfaces.domain.site_yaml import Path

EPSILON_A: Final[float] = 1e-6
ONE_PHASE: Final[tuple[GridPhase, ...]] = ("L1",)

Amps: TypeAlias = tuple[float, float, float]
NOTHING: Final[Amps] = (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Share:
    """One asset in the sums. Per grid phase: ``nameplate_a`` either way, ``draws_a`` the most it may take from the
    circuit, ``alone_a`` the most it may take when left alone, and ``why`` that is so.
    """

    path: Path
    id: str
    circuit: str
    managed: bool
    nameplate_a: Amps
    draws_a: Amps
    alone_a: Amps
    why: str


def check_limits(draft: Draft) -> None:
    """All checks of this module."""
    for path, circuit in draft.circuits():
        _circuit(draft, path, circuit)
    for index, charger in enumerate(draft.site.chargers):
        path = draft.path("chargers", index)
        for k, evse in enumerate(charger.evses):
            _evse(draft, (*path, "evses", k), charger, evse)
    for _, path, entry in draft.devices():
        if isinstance(entry, BatteryEntry | PvEntry | LoadEntry):
            _phases(draft, path, entry.id, entry.phases)
        if isinstance(entry, ChargerEntry | BatteryEntry):
            _failsafe(draft, path, entry)
    shares = tuple(_shares(draft))
    _too_large(draft, shares)
    _sums(draft, shares)


def _named(phases: list[int]) -> str:
    return ", ".join(ALL_PHASES[p] for p in phases)


def _above(values: Amps, bounds: Amps) -> list[int]:
    return [p for p in range(3) if values[p] > bounds[p] + EPSILON_A]


def _circuit(draft: Draft, path: Path, circuit: CircuitEntry) -> None:
    """One circuit by itself: fuse, contract, margin, connection, blind spots."""
    fuse = circuit.protection
    if fuse is not None and _above(circuit.rated_a, (fuse.rated_a,) * 3):
        draft.say(
            (*path, "rated_a"),
            f"circuit '{circuit.id}' is rated {max(circuit.rated_a):g} A, above its protective device of "
            f"{fuse.rated_a:g} A: lower rated_a to at most the device's rating",
        )
    over = [] if circuit.contract_a is None else _above(circuit.contract_a, circuit.rated_a)
    if over:
        draft.say(
            (*path, "contract_a"),
            f"circuit '{circuit.id}': contract_a is above rated_a on {_named(over)}: a contract cannot make a cable "
            f"carry more, lower it or leave it out",
        )
    if draft.site.info.connection == "1ph" and any(circuit.rated_a[1:]):
        draft.say((*path, "rated_a"), f"circuit '{circuit.id}': site.connection is 1ph, so L2 and L3 must be 0")
    if max(circuit.rated_a) <= 0:
        draft.say((*path, "rated_a"), f"circuit '{circuit.id}' carries nothing on any phase: write its rated current")
    if circuit.parent is None and fuse is None and not draft.damaged(path, "protection", "parent"):
        draft.warn(
            path, f"circuit '{circuit.id}' names no protective device: overloads are judged as for an unknown breaker"
        )
    _background(draft, path, circuit)


def _background(draft: Draft, path: Path, circuit: CircuitEntry) -> None:
    if circuit.background_max_a is not None or draft.damaged(path, "background_max_a", "meter"):
        return
    if draft.site.info.mode == "monitor":
        return
    if circuit.meter is None:
        draft.say(
            path,
            f"circuit '{circuit.id}' has no meter and no background_max_a: say what everything not controlled behind "
            f"it draws at most, per phase (0 is allowed)",
        )
    else:
        draft.warn(
            path,
            f"circuit '{circuit.id}' has no background_max_a: while its meter is lost, the worst its history knows is "
            f"assumed, and nothing is known at first",
        )


def _phases(draft: Draft, path: Path, name: str, phases: tuple[GridPhase, ...]) -> None:
    if len(set(phases)) != len(phases):
        draft.say((*path, "phases"), f"'{name}' has two conductors on one phase: name each of L1, L2, L3 at most once")
    connection = draft.site.info.connection
    if connection == "1ph" and phases != ONE_PHASE:
        draft.say((*path, "phases"), f"'{name}': site.connection is 1ph, so its phases are [L1]")
    if connection == "3ph_delta" and len(phases) == 1:
        draft.say(
            (*path, "phases"),
            f"'{name}': site.connection is 3ph_delta, where one phase sits between two lines: name both",
        )


def _evse(draft: Draft, path: Path, charger: ChargerEntry, evse: EvseEntry) -> None:
    """One EVSE by itself and against its make."""
    _phases(draft, path, evse.id, evse.phases)
    if len(evse.phases) != len(evse.max_current_a):
        draft.say(
            (*path, "phases"),
            f"EVSE '{evse.id}' names {len(evse.phases)} phases for {len(evse.max_current_a)} conductors: "
            f"phases and max_current_a need one value per conductor",
        )
    smallest = min(evse.max_current_a)
    if evse.min_current_a is not None and evse.min_current_a > smallest + EPSILON_A:
        draft.say(
            (*path, "min_current_a"),
            f"EVSE '{evse.id}': min_current_a {evse.min_current_a:g} A is above its max_current_a {smallest:g} A",
        )
    facts = draft.facts.get(charger.profile)
    if facts is None or facts.kind != "charger":
        return
    if max(evse.max_current_a) > facts.max_a + EPSILON_A:
        draft.say(
            (*path, "max_current_a"),
            f"EVSE '{evse.id}': {max(evse.max_current_a):g} A is more than a '{charger.profile}' can deliver "
            f"({facts.max_a:g} A): write its nameplate",
        )
    if smallest + EPSILON_A < facts.min_a:
        draft.say(
            (*path, "max_current_a"),
            f"EVSE '{evse.id}': {smallest:g} A is below {facts.min_a:g} A, the least a '{charger.profile}' can offer",
        )
    if evse.min_current_a is not None and evse.min_current_a + EPSILON_A < facts.min_a:
        draft.say(
            (*path, "min_current_a"),
            f"EVSE '{evse.id}': {evse.min_current_a:g} A is below {facts.min_a:g} A, the least a '{charger.profile}' "
            f"can offer: raise it or leave it out",
        )
    if evse.kind is not None and (evse.kind == "dc") != facts.direct_current:
        is_kind = "dc" if facts.direct_current else "ac"
        draft.say(
            (*path, "kind"), f"EVSE '{evse.id}' is written as {evse.kind}, but a '{charger.profile}' is {is_kind}"
        )


def _failsafe(draft: Draft, path: Path, entry: ChargerEntry | BatteryEntry) -> None:
    facts = draft.facts.get(entry.profile)
    if not entry.managed or facts is None or draft.damaged(path, "failsafe", "managed"):
        return
    if isinstance(entry, ChargerEntry) and entry.cloud is not None:
        return  # judged by ``site_cloud``
    if entry.failsafe is None:
        draft.say(
            path,
            f"'{entry.id}' is managed and has no failsafe: write the current it falls back to when it hears nothing, "
            f"and after which time-out",
        )
        return
    _failsafe_current(draft, path, entry, entry.failsafe.current_a, facts)
    bounds_s = facts.timeout_range_s
    if bounds_s is not None and not bounds_s[0] <= entry.failsafe.timeout_s <= bounds_s[1]:
        draft.say(
            (*path, "failsafe", "timeout_s"),
            f"'{entry.id}': a '{entry.profile}' takes a time-out of {bounds_s[0]:g} to {bounds_s[1]:g} s",
        )
    if entry.accept_unverified_failsafe is None:
        return
    if facts.failsafe_verifiable:
        draft.warn(
            (*path, "accept_unverified_failsafe"),
            f"'{entry.id}': the failsafe of a '{entry.profile}' is read back and proven: remove this line",
        )
    else:
        draft.warn(
            (*path, "accept_unverified_failsafe"),
            f"'{entry.id}' cannot prove its failsafe; {entry.failsafe.current_a:g} A is believed because: "
            f"{entry.accept_unverified_failsafe}",
        )


def _failsafe_current(
    draft: Draft, path: Path, entry: ChargerEntry | BatteryEntry, current_a: float, facts: DeviceFacts
) -> None:
    where = (*path, "failsafe", "current_a")
    if not isinstance(entry, ChargerEntry):
        return
    most = min(min(evse.max_current_a) for evse in entry.evses)
    if current_a > most + EPSILON_A:
        draft.say(
            where, f"'{entry.id}': a failsafe of {current_a:g} A is above its max_current_a of {most:g} A: lower it"
        )
    elif 0 < current_a < facts.min_a - EPSILON_A:
        draft.say(
            where,
            f"'{entry.id}': a failsafe of {current_a:g} A cannot be signalled: write 0 or at least {facts.min_a:g} A",
        )


def _spread(phases: tuple[GridPhase, ...], currents: tuple[float, ...]) -> Amps:
    """Conductor currents turned onto the grid phases."""
    found = dict.fromkeys(ALL_PHASES, 0.0)
    for phase, current in zip(phases, currents, strict=False):
        found[phase] += current
    return found["L1"], found["L2"], found["L3"]


def _alone(draft: Draft, path: Path, entry: ChargerEntry | BatteryEntry) -> tuple[float | None, str]:
    """Current per conductor when left alone, and why; None is the nameplate."""
    facts = draft.facts.get(entry.profile)
    unread = draft.damaged(path, "failsafe", "accept_unverified_failsafe", "managed")
    found = left_alone(entry)
    if facts is None or facts.kind not in ("charger", "battery") or found is None or unread:
        return 0.0, "a problem of its own"
    if facts.failsafe_verifiable:
        return found.current_a, "failsafe" if entry.failsafe is not None else "installation limit"
    if entry.accept_unverified_failsafe is not None:
        return found.current_a, "accepted failsafe"
    return None, "failsafe cannot be verified"


def current_of(power_w: float, phases: tuple[GridPhase, ...], nominal_voltage_v: float) -> float:
    """Current per conductor of a power spread evenly."""
    return power_w / (len(phases) * nominal_voltage_v)


def _shares(draft: Draft) -> Iterator[Share]:
    for _, path, entry in draft.devices():
        if isinstance(entry, ChargerEntry):
            yield from _charger_shares(draft, path, entry)
        elif not isinstance(entry, MeterEntry):
            yield _other_share(draft, path, entry)


def _charger_shares(draft: Draft, path: Path, entry: ChargerEntry) -> Iterator[Share]:
    alone, why = _alone(draft, path, entry)
    for k, evse in enumerate(entry.evses):
        plate = _spread(evse.phases, evse.max_current_a)
        own = evse.max_current_a if alone is None else tuple(min(alone, a) for a in evse.max_current_a)
        where = (*path, "evses", k)
        yield Share(where, evse.id, entry.circuit, entry.managed, plate, plate, _spread(evse.phases, own), why)


def _other_share(draft: Draft, path: Path, entry: BatteryEntry | PvEntry | LoadEntry) -> Share:
    voltage_v = draft.site.info.nominal_voltage_v
    alone: float | None = None
    why = ""
    if isinstance(entry, LoadEntry):
        draws = largest = entry.max_current_a
    elif isinstance(entry, PvEntry):
        draws, largest = 0.0, current_of(entry.rated_w, entry.phases, voltage_v)
    else:
        draws = current_of(entry.max_charge_w, entry.phases, voltage_v)
        largest = max(draws, current_of(entry.max_discharge_w, entry.phases, voltage_v))
        alone, why = _alone(draft, path, entry)
    own = draws if alone is None else min(alone, draws)
    plate, draw, left = (_spread(entry.phases, (a,) * len(entry.phases)) for a in (largest, draws, own))
    return Share(path, entry.id, entry.circuit, entry.managed, plate, draw, left, why)


def _too_large(draft: Draft, shares: tuple[Share, ...]) -> None:
    """An asset whose nameplate its own circuit, or one above it, can never carry."""
    circuits = {circuit.id: circuit for circuit in draft.site.circuits}
    chains = draft.chains()
    for share in shares:
        for name in chains.get(share.circuit, ()):
            circuit = circuits[name]
            bound = tuple(a * circuit.derating for a in circuit.rated_a)
            over = _above(share.nameplate_a, (bound[0], bound[1], bound[2]))
            if draft.site.info.connection == "1ph":
                over = [p for p in over if p == 0]  # conductors on L2 and L3 are refused by themselves
            if over and max(bound) > 0:
                draft.say(
                    share.path,
                    f"'{share.id}' is rated {max(share.nameplate_a[p] for p in over):g} A on {_named(over)}, more than "
                    f"circuit '{name}' can ever carry there ({min(bound[p] for p in over):g} A): set a lower current "
                    f"on the device and here, or move it",
                )
                break


def _plus(one: Amps, two: Amps) -> Amps:
    return one[0] + two[0], one[1] + two[1], one[2] + two[2]


def _sums(draft: Draft, shares: tuple[Share, ...]) -> None:
    """Per circuit and phase over its sub-tree: currents when left alone + worst background <= rated x derating."""
    chains = draft.chains()
    paths = {circuit.id: path for path, circuit in draft.circuits()}
    below: dict[str, list[Share]] = {name: [] for name in chains}
    for share in shares:
        for name in chains.get(share.circuit, ()):
            below[name].append(share)
    for circuit in draft.site.circuits:
        if circuit.id in chains and draft.site.info.mode == "control":
            _blind_spot(draft, paths[circuit.id], circuit, below[circuit.id])
            _failsafe_sum(draft, paths[circuit.id], circuit, below[circuit.id])
    if draft.site.info.mode == "control":
        _parents(draft, paths, {circuit.id: circuit for circuit in draft.site.circuits if circuit.id in chains})


def _blind_spot(draft: Draft, path: Path, circuit: CircuitEntry, below: list[Share]) -> None:
    """Chargers and loads that nobody controls are background; the worst case must hold them."""
    if circuit.background_max_a is None:
        return
    total: Amps = NOTHING
    for share in below:
        if not share.managed:
            total = _plus(total, share.draws_a)
    over = _above(total, circuit.background_max_a)
    if over:
        draft.say(
            (*path, "background_max_a"),
            f"circuit '{circuit.id}': what is not managed behind it may draw {max(total[p] for p in over):g} A on "
            f"{_named(over)}, more than background_max_a: raise it, or manage those devices",
        )


def _failsafe_sum(draft: Draft, path: Path, circuit: CircuitEntry, below: list[Share]) -> None:
    managed = [share for share in below if share.managed]
    background = circuit.background_max_a or NOTHING
    total: Amps = NOTHING
    for share in managed:
        total = _plus(total, share.alone_a)
    bound = tuple(a * circuit.derating for a in circuit.rated_a)
    over = _above(_plus(total, background), (bound[0], bound[1], bound[2]))
    if not over or max(bound) <= 0:
        return
    worst = max(over, key=lambda p: total[p] + background[p] - bound[p])
    blamed = [share.id for share in managed if share.alone_a[worst] > 0 and share.why == "failsafe cannot be verified"]
    advice = "lower the failsafe currents or background_max_a"
    if blamed:
        names = ", ".join(blamed[:5]) + (" ..." if len(blamed) > 5 else "")
        advice += f"; the failsafe of {names} cannot be verified and counts at nameplate"
    draft.say(
        path,
        f"circuit '{circuit.id}': failsafe currents {total[worst]:g} A + worst-case background {background[worst]:g} A "
        f"on {ALL_PHASES[worst]} are above {bound[worst]:g} A (rated x derating): {advice}",
    )


def _parents(draft: Draft, paths: Mapping[str, Path], circuits: Mapping[str, CircuitEntry]) -> None:
    """Backgrounds of sub-circuits belong to the background of the circuit above."""
    sums: dict[str, Amps] = {}
    for circuit in circuits.values():
        if circuit.parent is not None and circuit.parent in circuits and circuit.background_max_a is not None:
            sums[circuit.parent] = _plus(sums.get(circuit.parent, NOTHING), circuit.background_max_a)
    for name, total in sums.items():
        circuit = circuits[name]
        if circuit.background_max_a is None or not _above(total, circuit.background_max_a):
            continue
        text = (
            f"circuit '{name}': its sub-circuits have more background_max_a "
            f"({math.ceil(max(total)):g} A) than it has itself"
        )
        where = (*paths[name], "background_max_a")
        if circuit.meter is None:
            draft.say(where, f"{text}, and no meter would notice: raise it to at least their sum")
        else:
            draft.warn(where, f"{text}: right only if they never peak together")
