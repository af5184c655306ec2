"""Do the parts of a site file belong together: ids, the tree, addresses, profiles, buses, who may be written.

Each check takes the draft and adds what is wrong to it: what, where, and what to do about it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

from interfaces.domain.device_facts import DeviceFacts
from interfaces.domain.site_bus import Line, address_of, line_cycles_s, line_of, sections, unit_in_file
from interfaces.domain.site_draft import Draft
from interfaces.domain.site_types import (
    ChargerEntry,
    DeviceEntry,
    MakerCloud,
    MeterEntry,
    ModbusGateway,
    ModbusRtu,
    ModbusTcp,
    P1Serial,
    P1Tcp,
)
from interfaces.domain.site_yaml import Path
from interfaces.domain.units import MILLI

MAX_PROTECTIVE_PERIOD_S: Final[float] = 2.0
"""A meter that protects is polled at least this often (design 4.1: ages are counted from here)."""
GOOD_PERIOD_MS: Final[int] = 1000
KINDS: Final[dict[str, tuple[str, ...]]] = {
    "meters": ("meter",),
    "chargers": ("charger",),
    "batteries": ("battery",),
    "pv": ("inverter",),
    "loads": ("io",),
}
"""What a profile must be for an entry of each section that we may write, or read as a meter."""

SPEAKS: Final[dict[type, str]] = {ModbusTcp: "tcp", P1Tcp: "p1", P1Serial: "p1", MakerCloud: "cloud"}
"""Transport of each form of address; all others carry RTU frames."""
FORMS: Final[dict[str, str]] = {
    "tcp": "{host, port}",
    "rtu": "{rtu} or {gateway}",
    "p1": "p1: {host, port} or {serial}",
    "cloud": "cloud: {installation_id, installation_limit_a}",
}
NAMES_OF_SPEECH: Final[dict[str, str]] = {"p1": "P1", "cloud": "with its maker's service"}
NAMED: Final[dict[str, str]] = {"tcp": "'host'", "gateway": "'gateway'", "rtu": "'rtu'", "p1": "'p1'"}

Place: TypeAlias = tuple[str, str, int, int]


def check_structure(draft: Draft) -> None:
    """All checks of this module."""
    for check in (_ids, _tree, _meters, _places, _profiles, _units, _addresses, _lines, _buses, _writes):
        check(draft)


def _repeated(draft: Draft, what: str, entries: Iterable[tuple[Path, str]], taken: dict[str, Path]) -> None:
    for path, name in entries:
        if name in taken:
            line = draft.document.line_of((*taken[name], "id"))
            draft.say((*path, "id"), f"the {what} id '{name}' is already used in line {line}: give it another one")
        else:
            taken[name] = path


def _ids(draft: Draft) -> None:
    """Circuits have names of their own; devices too; an EVSE may be called like its station, like nothing else."""
    _repeated(draft, "circuit", ((path, circuit.id) for path, circuit in draft.circuits()), {})
    _repeated(draft, "device", ((path, entry.id) for _, path, entry in draft.devices()), {})
    stations = [(path, entry) for _, path, entry in draft.devices() if isinstance(entry, ChargerEntry)]
    others = {entry.id: path for _, path, entry in draft.devices() if not isinstance(entry, ChargerEntry)}
    evses = (((*path, "evses", k), evse.id) for path, charger in stations for k, evse in enumerate(charger.evses))
    _repeated(draft, "EVSE", evses, others)


def _tree(draft: Draft) -> None:
    known = draft.names("circuits")
    roots: list[tuple[Path, str]] = []
    for path, circuit in draft.circuits():
        if circuit.parent is None:
            roots.append((path, circuit.id))
        elif circuit.parent not in known:
            draft.say(
                (*path, "parent"),
                f"circuit '{circuit.id}' hangs under '{circuit.parent}', which is no circuit of this file: "
                f"correct the name or add that circuit",
            )
    if any(path[0] == "circuits" for path in draft.left_out):
        return  # a circuit or its parent could not be read: what follows would accuse the wrong line
    for path, name in roots[1:]:
        draft.say(
            path,
            f"circuit '{name}' has no parent, nor has '{roots[0][1]}': exactly one circuit is the grid connection "
            f"point, give this one a parent",
        )
    ids = [circuit.id for circuit in draft.site.circuits]
    loose = _loose(draft) if len(set(ids)) == len(ids) else []
    if not roots and not loose:
        draft.say(("circuits",), "no circuit is the grid connection point: leave out 'parent' of exactly one")
    for path, name in loose:
        draft.say(
            (*path, "parent"),
            f"circuit '{name}' is its own parent, directly or in a circle: follow 'parent' up and correct it",
        )


def _loose(draft: Draft) -> list[tuple[Path, str]]:
    """Circuits on a circle; what merely hangs below a circle or below an unknown parent is not named."""
    parents = {circuit.id: circuit.parent for circuit in draft.site.circuits}
    found = []
    for path, circuit in draft.circuits():
        here, steps = circuit.parent, 0
        while here is not None and here != circuit.id and steps <= len(parents):
            here, steps = parents.get(here), steps + 1
        if here == circuit.id:
            found.append((path, circuit.id))
    return found


def _meters(draft: Draft) -> None:
    known = draft.names("meters")
    used: dict[str, str] = {}
    for path, circuit in draft.circuits():
        if circuit.meter is None:
            continue
        if circuit.meter not in known:
            draft.say(
                (*path, "meter"),
                f"circuit '{circuit.id}' names the meter '{circuit.meter}', which is not under 'meters': add it",
            )
        elif circuit.meter in used:
            draft.say(
                (*path, "meter"),
                f"the meter '{circuit.meter}' already measures circuit '{used[circuit.meter]}': one meter, one circuit",
            )
        used.setdefault(circuit.meter, circuit.id)
    circuits = draft.names("circuits")
    unsure = any(path[0] == "circuits" for path in draft.left_out)
    for index, meter in enumerate(draft.site.meters):
        path = draft.path("meters", index)
        if meter.monitors is not None and meter.monitors not in circuits:
            draft.say((*path, "monitors"), f"'{meter.monitors}' is no circuit of this file: correct the name")
        elif meter.monitors is None and meter.id not in used and not unsure and not draft.damaged(path, "monitors"):
            draft.warn(
                path, f"no circuit uses the meter '{meter.id}': name it as the 'meter' of a circuit or say 'monitors'"
            )
        if meter.id in used and meter.period_ms is not None and meter.period_ms > GOOD_PERIOD_MS:
            draft.warn(
                (*path, "period_ms"),
                f"the meter '{meter.id}' protects circuit '{used[meter.id]}' and is polled every {meter.period_ms} ms: "
                f"each second above the first costs 0.5 A per phase",
            )
        elif meter.id in used and meter.p1 is not None and meter.period_ms is None:
            _slow_telegrams(draft, path, meter)


def _slow_telegrams(draft: Draft, path: Path, meter: MeterEntry) -> None:
    """How often a P1 port speaks is a matter of its meter; people shall know what a slow one costs."""
    facts = draft.facts.get(meter.profile)
    if facts is not None and facts.poll_s * MILLI > GOOD_PERIOD_MS:
        draft.warn(
            (*path, "profile"),
            f"the meter '{meter.id}' protects a circuit and sends every {facts.poll_s:g} s: each second above the "
            f"first costs 0.5 A per phase",
        )


def _places(draft: Draft) -> None:
    known = draft.names("circuits")
    for _, path, entry in draft.devices():
        if not isinstance(entry, MeterEntry) and entry.circuit not in known:
            draft.say(
                (*path, "circuit"),
                f"'{entry.id}' is on circuit '{entry.circuit}', which is no circuit of this file: correct the name",
            )


def _profiles(draft: Draft) -> None:
    for section, path, entry in draft.devices():
        facts = draft.facts.get(entry.profile)
        wanted = KINDS[section]
        if facts is None:
            names = ", ".join(sorted(name for name, known in draft.facts.items() if known.kind in wanted)) or "none"
            draft.say(
                (*path, "profile"), f"there is no device profile '{entry.profile}': choose one of those for it: {names}"
            )
        elif facts.kind not in wanted and not (section == "loads" and not getattr(entry, "managed", False)):
            draft.say(
                (*path, "profile"),
                f"the profile '{entry.profile}' is for a {facts.kind}, but '{entry.id}' is listed under '{section}': "
                f"choose another profile or move the entry",
            )
        else:
            _transport(draft, path, entry, facts)


def _transport(draft: Draft, path: Path, entry: DeviceEntry, facts: DeviceFacts) -> None:
    wanted = SPEAKS.get(type(address_of(entry)), "rtu")
    if wanted not in facts.transports:
        others = " or ".join(FORMS.get(transport, transport) for transport in facts.transports)
        name = NAMES_OF_SPEECH.get(wanted, f"Modbus {wanted.upper()}")
        draft.say(
            (*path, _key(entry)),
            f"the profile '{entry.profile}' does not speak {name}: write its address as {others}",
        )
    elif wanted == "p1" and draft.site.info.connection == "3ph_delta":
        draft.say(
            (*path, "profile"),
            f"'{entry.id}': the powers of a P1 port are no phase currents in a network without neutral (3ph_delta): "
            f"use a meter with Modbus there",
        )


def _key(entry: DeviceEntry) -> str:
    """The key its address is written under."""
    return {P1Tcp: "p1", P1Serial: "p1", MakerCloud: "cloud"}.get(type(address_of(entry)), "modbus")


def _units(draft: Draft) -> None:
    """A station has as many EVSEs as its make has, and several find their own units."""
    for index, charger in enumerate(draft.site.chargers):
        facts = draft.facts.get(charger.profile)
        path = draft.path("chargers", index)
        if facts is None or facts.kind != "charger":
            continue
        count = len(charger.evses)
        if count > facts.connectors:
            draft.say(
                (*path, "evses"),
                f"'{charger.id}' lists {count} EVSEs, but the profile '{charger.profile}' has at most "
                f"{facts.connectors}: write one charger per address",
            )
        elif count > 1 and unit_in_file(charger) is not None and len(set(facts.unit_ids[:count])) > 1:
            draft.say(
                (*path, "modbus", "unit"),
                f"'{charger.id}' has {count} EVSEs and the profile gives each its own unit: leave 'unit' out",
            )


def _occupied(entry: DeviceEntry, facts: DeviceFacts | None) -> list[Place]:
    """Every address a device answers at: line kind, host or serial device, port, unit."""
    address = address_of(entry)
    kind, place, port = line_of(address)
    if isinstance(address, P1Tcp | P1Serial | MakerCloud):
        return [(kind, place, port, 0)]
    if facts is None or isinstance(address, ModbusRtu | ModbusGateway):
        return [(kind, place, port, address.unit or 0)] if address.unit is not None else []
    count = len(entry.evses) if isinstance(entry, ChargerEntry) else 1
    units = [*facts.unit_ids, *([facts.unit_ids[-1]] * count)] if facts.unit_ids else [1] * count
    given = unit_in_file(entry)
    return [(kind, place, port + k * facts.port_step, units[k] if given is None else given) for k in range(count)]


def _addresses(draft: Draft) -> None:
    first: dict[Place, tuple[Path, str]] = {}
    for _, path, entry in draft.devices():
        if draft.damaged((*path, _key(entry)), "port", "unit"):
            continue
        taken = False
        for address in dict.fromkeys(_occupied(entry, draft.facts.get(entry.profile))):
            if address in first and not taken:
                other, name = first[address]
                kind, place, port, unit = address
                where = f"{place} port {port}" if port else place
                draft.say(
                    (*path, _key(entry)),
                    f"'{entry.id}' and '{name}' (line {draft.document.line_of(other)}) have the same address, {where}"
                    f"{'' if kind in ('p1', 'cloud') else f' unit {unit}'}: one of them is wrong",
                )
                taken = True
            first.setdefault(address, (path, entry.id))


def _lines(draft: Draft) -> None:
    """One serial line has one speed and format; one TCP port speaks either Modbus TCP or RTU frames."""
    settings: dict[Line, tuple[tuple[int, str], str]] = {}
    speaks: dict[tuple[str, int], tuple[str, str]] = {}
    for _, path, entry in draft.devices():
        address = address_of(entry)
        kind, place, port = line_of(address)
        before = speaks.setdefault((place, port), (kind, entry.id))
        if before[0] != kind:
            where = f"{place} port {port}" if port else place
            draft.say(
                (*path, _key(entry)),
                f"'{entry.id}' and '{before[1]}' use {where} once with {NAMED[kind]} and once with "
                f"{NAMED[before[0]]}: one port speaks one of the two",
            )
        if isinstance(address, ModbusRtu | ModbusGateway):
            mine = (address.baud, address.format)
            first, name = settings.setdefault((kind, place, port), (mine, entry.id))
            if first != mine:
                draft.say(
                    (*path, "modbus"),
                    f"'{entry.id}' has {mine[0]} baud {mine[1]}, but '{name}' on its line {first[0]} baud {first[1]}: "
                    f"all devices of one serial line are set alike",
                )


def _buses(draft: Draft) -> None:
    cycles_s = line_cycles_s(draft.site, draft.facts)
    protects = {circuit.meter: circuit.id for circuit in draft.site.circuits if circuit.meter is not None}
    for index, meter in enumerate(draft.site.meters):
        if meter.id not in protects:
            continue
        line = line_of(meter.address)
        cycle_s = cycles_s.get(line, 0.0)
        if cycle_s > MAX_PROTECTIVE_PERIOD_S:
            sharing = sum(line_of(address_of(e)) == line for _, entries in sections(draft.site) for e in entries)
            draft.say(
                draft.path("meters", index, "modbus"),
                f"the line {line[1]} needs {cycle_s:.1f} s for one round of its {sharing} devices, so that the meter "
                f"'{meter.id}' of circuit '{protects[meter.id]}' is polled slower than every "
                f"{MAX_PROTECTIVE_PERIOD_S:g} s: raise the baud rate or move devices to another line",
            )


def _writes(draft: Draft) -> None:
    if draft.site.info.mode != "monitor":
        return
    for section, path, entry in draft.devices():
        if section != "meters" and getattr(entry, "managed", False):
            draft.say(
                (*path, "managed"),
                f"site.mode is 'monitor' and nothing is ever written, but '{entry.id}' is managed: "
                f"remove 'managed: true' or set site.mode to 'control'",
            )
