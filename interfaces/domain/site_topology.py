"""From a checked site file to the arrays of a topology, and what a changed file means for a running controller."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final, Literal, TypeAlias

from interfaces.domain.device_facts import DeviceFacts
from interfaces.domain.site_bus import Line, devices, left_alone, line_cycles_s, line_of
from interfaces.domain.site_limits import current_of
from interfaces.domain.site_types import (
    BatteryEntry,
    ChargerEntry,
    CircuitEntry,
    EvseEntry,
    FailsafeEntry,
    LoadEntry,
    Mcb,
    Phases,
    PvEntry,
    Site,
)
from interfaces.domain.topology import PHASES, Asset, AssetKind, Circuit, Protection, Topology, build_topology
from interfaces.domain.units import MILLI

Difference: TypeAlias = Literal["none", "parameters", "topology"]

DEFAULT_TIMEOUT_S: Final[float] = 60.0
"""Common factory setting of chargers; only for assets without a failsafe of their own, where it decides nothing."""
VERSION_LENGTH: Final[int] = 12
ONLINE: Final[frozenset[str]] = frozenset(
    {
        "name", "location", "policies", "margin_a", "contract_a", "max_import_w", "tier", "spot", "never_pause",
        "min_current_a", "capacity_kwh", "serial_number",
    }
)  # fmt: skip
"""Keys that change online at a scan boundary, wherever they stand. Everything else restarts through failsafe."""
WIRING: Final[frozenset[str]] = frozenset({"modbus", "p1", "network"})
"""Keys that restart the connections but leave columns and rows as they are: plans stay valid."""
NAMES: Final[frozenset[str]] = frozenset({"make"})
"""What is said of a profile for people alone."""


def protection_of(circuit: CircuitEntry) -> Protection | None:
    """The protective device as the core knows it."""
    device = circuit.protection
    if device is None:
        return None
    if isinstance(device, Mcb):
        return Protection("mcb", device.rated_a, device.curve, device.holds_s_at_2_55)
    return Protection("gG", device.rated_a)


def circuits_of(site: Site, facts: Mapping[str, DeviceFacts]) -> tuple[Circuit, ...]:
    """The circuits; a meter's period is its own, its profile's, or its line's where that is slower."""
    cycles_s = line_cycles_s(site, facts)
    periods_s: dict[str, float] = {}
    for meter in site.meters:
        own_s = facts[meter.profile].poll_s if meter.period_ms is None else meter.period_ms / MILLI
        periods_s[meter.id] = max(own_s, cycles_s[line_of(meter.address)])
    return tuple(
        Circuit(
            id=entry.id,
            parent=entry.parent,
            rated_a=entry.rated_a,
            margin_a=entry.margin_a,
            derating=entry.derating,
            contract_a=entry.contract_a,
            max_import_w=entry.max_import_w,
            protection=protection_of(entry),
            meter=entry.meter,
            meter_period_s=1.0 if entry.meter is None else periods_s[entry.meter],
            background_max_a=entry.background_max_a,
            firm_export=entry.firm_export,
        )
        for entry in site.circuits
    )


def _indices(phases: Phases) -> tuple[int, ...]:
    return tuple(PHASES.index(phase) for phase in phases)


def _failsafe_a(entry: ChargerEntry | BatteryEntry, facts: DeviceFacts, nameplate_a: float) -> float:
    """What counts when it does not hear us: nameplate unless the failsafe can be verified or was accepted."""
    believed = facts.failsafe_verifiable or entry.accept_unverified_failsafe is not None
    alone = left_alone(entry)
    return nameplate_a if alone is None or not believed else min(alone.current_a, nameplate_a)


def _timeout_s(failsafe: FailsafeEntry | None, facts: DeviceFacts) -> float:
    if failsafe is not None:
        return failsafe.timeout_s
    return DEFAULT_TIMEOUT_S if facts.default_timeout_s is None else facts.default_timeout_s


def _evse_asset(charger: ChargerEntry, evse: EvseEntry, facts: DeviceFacts, cycle_s: float) -> Asset:
    nameplate_a = min(evse.max_current_a)
    remote = charger.cloud is not None
    failsafe_a = _failsafe_a(charger, facts, max(evse.max_current_a))
    boot_a = max(evse.max_current_a) if facts.boot_current_a is None else facts.boot_current_a
    return Asset(
        id=evse.id,
        kind=AssetKind.EVSE,
        device=charger.id,
        circuit=charger.circuit,
        phases=_indices(evse.phases),
        max_a=nameplate_a,
        min_a=max(facts.min_a, evse.min_current_a or 0.0),
        step_a=facts.step_a,
        tier=evse.tier,
        never_pause=evse.never_pause,
        failsafe_a=failsafe_a,
        failsafe_timeout_s=_timeout_s(left_alone(charger), facts),
        failsafe_verifiable=facts.failsafe_verifiable,
        failsafe_trusted=charger.accept_unverified_failsafe is not None,
        boot_a=failsafe_a if remote else boot_a,
        idle_a=facts.idle_current_a,
        release_s=facts.release_s,
        poll_s=max(facts.poll_s, cycle_s),
        settle_poll_s=max(facts.settle_poll_s, cycle_s),
        measures_phases=facts.measures_phases,
        phase_switching=facts.phase_switching,
        direct_current=facts.direct_current,
        remote=remote,
    )


def _other_asset(entry: BatteryEntry | PvEntry | LoadEntry, facts: DeviceFacts, voltage_v: float) -> Asset:
    """A battery charges and discharges, a PV inverter only feeds in, a load only draws; no smallest current."""
    import_a = export_a = 0.0
    failsafe_a, failsafe, kind = 0.0, None, AssetKind.PV
    if isinstance(entry, BatteryEntry):
        kind, failsafe = AssetKind.BATTERY, entry.failsafe
        import_a = current_of(entry.max_charge_w, entry.phases, voltage_v)
        export_a = current_of(entry.max_discharge_w, entry.phases, voltage_v)
        failsafe_a = _failsafe_a(entry, facts, import_a)
    elif isinstance(entry, PvEntry):
        export_a = current_of(entry.rated_w, entry.phases, voltage_v)
    else:
        kind, import_a = AssetKind.LOAD, entry.max_current_a
        failsafe_a = import_a
    return Asset(
        id=entry.id,
        kind=kind,
        device=entry.id,
        circuit=entry.circuit,
        phases=_indices(entry.phases),
        max_a=import_a,
        min_a=0.0,
        step_a=facts.step_a,
        failsafe_a=failsafe_a,
        failsafe_timeout_s=_timeout_s(failsafe, facts),
        failsafe_verifiable=facts.failsafe_verifiable,
        failsafe_trusted=getattr(entry, "accept_unverified_failsafe", None) is not None,
        boot_a=import_a if facts.boot_current_a is None else facts.boot_current_a,
        release_s=facts.release_s,
        poll_s=facts.poll_s,
        settle_poll_s=facts.settle_poll_s,
        measures_phases=facts.measures_phases,
        max_export_a=export_a,
    )


def assets_of(site: Site, facts: Mapping[str, DeviceFacts]) -> Iterator[Asset]:
    """One asset per managed EVSE, battery, PV inverter and load, in the order of the file. The rest is background."""
    cycles_s: Mapping[Line, float] = line_cycles_s(site, facts)
    for charger in site.chargers:
        if charger.managed:
            cycle_s = cycles_s[line_of(charger.address)]
            for evse in charger.evses:
                yield _evse_asset(charger, evse, facts[charger.profile], cycle_s)
    others: tuple[BatteryEntry | PvEntry | LoadEntry, ...] = (*site.batteries, *site.pv, *site.loads)
    for entry in others:
        if entry.managed:
            yield _other_asset(entry, facts[entry.profile], site.info.nominal_voltage_v)


def topology_of(site: Site, facts: Mapping[str, DeviceFacts]) -> Topology:
    """The topology of a site that passed ``load_site`` with the same facts."""
    return build_topology(
        circuits_of(site, facts),
        tuple(assets_of(site, facts)),
        version=topology_version(site, facts),
        nominal_v=site.info.nominal_voltage_v,
        period_s=site.info.period_ms / MILLI,
    )


def _stripped(value: Any, without: frozenset[str]) -> Any:
    """Plain data without these keys; a written reason counts as given or not, its words do not matter."""
    if isinstance(value, dict):
        return {
            key: item is not None if key == "accept_unverified_failsafe" else _stripped(item, without)
            for key, item in value.items()
            if key not in without
        }
    if isinstance(value, list | tuple):
        return [_stripped(item, without) for item in value]
    return value


def topology_version(site: Site, facts: Mapping[str, DeviceFacts]) -> str:
    """Short digest of everything that fixes columns and rows: not of online parameters, not of addresses."""
    used = sorted({entry.profile for entry in devices(site)})
    content = {
        "site": _stripped(asdict(site), ONLINE | WIRING),
        "facts": {name: _stripped(asdict(facts[name]), NAMES) for name in used},
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:VERSION_LENGTH]


def site_differences(old: Site, new: Site) -> Difference:
    """What a new file changes: nothing, only what may change online, or what restarts the controller by failsafe."""
    if old == new:
        return "none"
    same = _stripped(asdict(old), ONLINE) == _stripped(asdict(new), ONLINE)
    return "parameters" if same else "topology"
