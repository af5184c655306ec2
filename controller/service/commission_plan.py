"""From a site file to what commissioning must know: the EVSEs to test, the circuits above them, who else is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from controller.core.commission import EvsePlan, Row
from controller.service.commission_bench import Bench, charger_a, max_a
from controller.service.identity import CARD, card_of, findings
from interfaces.domain.site_file import Site, topology_of
from interfaces.domain.site_types import ChargerEntry
from interfaces.domain.topology import Topology
from interfaces.domain.units import MILLI
from interfaces.drivers.facts import all_facts
from interfaces.drivers.profile import Profile
from interfaces.errors import UserError


@dataclass(frozen=True, slots=True)
class Plan:
    """A site ready for commissioning. ``bound``: serial number by device, as far as known. ``evses``: by device."""

    site: Site
    topology: Topology
    bound: Mapping[str, str]
    evses: Mapping[str, tuple[EvsePlan, ...]]

    @property
    def keys(self) -> frozenset[str]:
        """Every point that is looked at: the managed EVSEs and the meters of the circuits."""
        evses = {asset.id for asset in self.topology.assets if asset.device in self.chargers}
        return frozenset(evses | {c.meter for c in self.topology.circuits if c.meter is not None})

    @property
    def volts(self) -> dict[str, float]:
        """Nominal volts times conductors of every asset."""
        nominal_v = self.topology.nominal_mv / MILLI
        return {asset.id: nominal_v * max(1, len(asset.phases)) for asset in self.topology.assets}

    @property
    def period_s(self) -> dict[str, float]:
        """How often every EVSE and every meter is read anew."""
        meters = {c.meter: c.meter_period_s for c in self.topology.circuits if c.meter is not None}
        return {**meters, **{asset.id: asset.poll_s for asset in self.topology.assets}}

    @property
    def chargers(self) -> frozenset[str]:
        """Ids of all managed chargers."""
        return frozenset(charger.id for charger in self.site.chargers if charger.managed)


def plan_of(site: Site, profiles: Mapping[str, Profile], bound: Mapping[str, str], charger: str | None) -> Plan:
    """The plan for every managed charger, or for the one named.

    Raises:
        UserError: there is no such charger, or it must not be written to.
    """
    if site.info.mode == "monitor":
        raise UserError(f"{site.id} is only monitored (`mode: monitor`): nothing may be commanded there")
    topology = topology_of(site, all_facts())
    named_ones = [entry for entry in site.chargers if entry.managed and charger in {None, entry.id}]
    chosen = [entry for entry in named_ones if entry.cloud is None]
    if named_ones and not chosen:
        raise UserError(
            f"{', '.join(entry.id for entry in named_ones)}: driven through the maker's service, which obeys too late "
            f"for these steps; look at its limit and currents with 'stroomwacht controller doctor'"
        )
    if not chosen:
        known = ", ".join(entry.id for entry in site.chargers if entry.managed) or "none"
        named = "no managed charger" if charger is None else f"no managed charger '{charger}'"
        raise UserError(f"{site.id} has {named} (managed: {known})")
    evses = {entry.id: tuple(_evse(entry, evse.id, topology, profiles) for evse in entry.evses) for entry in chosen}
    return Plan(site, topology, bound, evses)


def _evse(entry: ChargerEntry, key: str, topology: Topology, profiles: Mapping[str, Profile]) -> EvsePlan:
    i = topology.index[key]
    asset, profile = topology.assets[i], profiles[key]
    meters = [topology.circuits[c].meter for c in topology.chain[i]]
    return EvsePlan(
        evse=key,
        device=entry.id,
        make=f"{profile.vendor} ({profile.id})",
        phases=asset.phases,
        max_a=asset.max_a,
        min_a=int(topology.min_ma[i]) / MILLI,
        failsafe_a=None if entry.failsafe is None else entry.failsafe.current_a,
        timeout_s=None if entry.failsafe is None else entry.failsafe.timeout_s,
        accepted=entry.accept_unverified_failsafe is not None,
        watchdog=profile.keepalive.kind,
        release_s=asset.release_s,
        meters=tuple(dict.fromkeys(meter for meter in meters if meter is not None)),
        poll_s=asset.poll_s,
        per_conductor=_per_conductor(profile),
        switches=bool(topology.can_switch[i]) and profile.phase_switch is not None,
    )


def _per_conductor(profile: Profile) -> bool:
    """Whether each conductor has a register; a DC charger draws alike on all, so that its power tells as much."""
    first, second = (profile.roles.get(f"current_l{n}_a") for n in (1, 2))
    return first is None or first != second or profile.behaviour.direct_current


def stranger_at(plan: Plan, bench: Bench, device: str) -> str:
    """Why who answers there is not the device that belongs there, by its serial number; empty when nothing says so."""
    told: dict[str, str] = {}
    for asset in plan.topology.assets:
        reading = bench.reading(asset.id)
        by_card = plan.bound.get(asset.device, "").startswith(CARD)
        name = (card_of(reading.mac) if reading.mac else None) if by_card else reading.serial
        if name is not None and reading.connected:
            told.setdefault(asset.device, name)
    return findings(plan.bound, told).get(device, "")


def rows_of(plan: Plan, bench: Bench, evse: EvsePlan) -> tuple[Row, ...]:
    """The circuits above an EVSE as they are now."""
    topology = plan.topology
    chain = topology.chain[topology.index[evse.evse]]
    rows = []
    for line in chain:
        circuit = topology.circuits[line]
        shown = None if circuit.meter is None else bench.meter(circuit.meter)
        growth_a, draw_a = _others(plan, bench, evse.evse, np.flatnonzero(topology.ancestry[line]).tolist())
        rows.append(
            Row(
                circuit=circuit.id,
                limit_a=_phases([int(ma) / MILLI for ma in topology.limit_ma[line]]),
                background_a=shown.amps if shown is not None and shown.fresh else (None, None, None),
                background_max_a=circuit.background_max_a,
                growth_a=growth_a,
                draw_max_a=draw_a,
            )
        )
    return tuple(rows)


def _others(
    plan: Plan, bench: Bench, evse: str, members: Sequence[int]
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Per phase: what the other chargers on a row may add by themselves to what they draw, and may draw in all."""
    growth, draw = [0.0] * 3, [0.0] * 3
    for i in members:
        asset = plan.topology.assets[i]
        if asset.id == evse or asset.device not in plan.chargers:
            continue
        most_a = bound_a(plan, bench, asset.id)
        now_a = max_a(charger_a(bench.reading(asset.id))) or 0.0
        for phase in asset.phases:
            growth[phase] += max(0.0, most_a - now_a)
            draw[phase] += most_a
    return _phases(growth), _phases(draw)


def bound_a(plan: Plan, bench: Bench, key: str) -> float:
    """The most a charger that nobody commands may take: its failsafe or what it was told last; else its nameplate."""
    reading = bench.reading(key)
    asset = plan.topology.assets[plan.topology.index[key]]
    told_a, failsafe_a = bench.readback_a(key), reading.failsafe.current_a
    if failsafe_a is None and asset.failsafe_trusted:
        failsafe_a = asset.failsafe_a
    if not reading.connected or told_a is None or failsafe_a is None:
        return asset.max_a
    return min(asset.max_a, max(told_a, failsafe_a))


def _phases(values: Sequence[float]) -> tuple[float, float, float]:
    a, b, c = values
    return a, b, c
