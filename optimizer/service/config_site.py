"""What ``optimizer.yaml`` says of chargers and loads of a site, beside the site's own file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Final

from pydantic import ConfigDict, Field

from interfaces.domain.site_file import Site
from interfaces.domain.topology import PHASES, AssetKind, Topology
from interfaces.domain.units import MILLI, kw_from_w
from interfaces.errors import UserError
from optimizer.core.problem_facts import BatteryFacts, BufferFacts, EvseFacts, batteries_of, evses_of
from optimizer.core.problem_state import Priority
from optimizer.core.problem_types import Block, Efficiency, Id, Kw, Kwh, Share
from optimizer.service.record import HeatDemand, HeatHours

_STRICT: Final = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class ChargerEntry:
    """An EVSE of the site file by its ``id``, or all at a parking space by what is painted there.

    ``priority``: 3 is the most urgent. ``efficiency`` from AC meter to car and ``min_power_kw``: of direct current.
    """

    __pydantic_config__ = _STRICT
    id: Id | None = None
    spot: Annotated[str, Field(max_length=40)] | None = None
    priority: Priority | None = None
    efficiency: Efficiency | None = None
    min_power_kw: Kw | None = None


@dataclass(frozen=True, slots=True)
class BatteryEntry:
    """A battery of the site file. ``reserve_share``: below it only an outage may take; ``full_share``: where charging
    ends.
    """

    __pydantic_config__ = _STRICT
    id: Id
    reserve_share: Share | None = None
    full_share: Share | None = None


@dataclass(frozen=True, slots=True)
class HeatEntry:
    """Heat drawn in hours of the week, kW of heat."""

    __pydantic_config__ = _STRICT
    when: Block
    kw: Kw


@dataclass(frozen=True, slots=True)
class BufferEntry:
    """A managed load of the site file that fills a store of heat or cold. ``low_kwh``..``high_kwh``: the comfort band;
    ``cop``: heat per electrical energy; ``demand_kw``: heat that is drawn, outside the hours of ``demand``.
    """

    __pydantic_config__ = _STRICT
    id: Id
    low_kwh: Kwh
    high_kwh: Kwh
    demand_kw: Kw
    demand: Annotated[tuple[HeatEntry, ...], Field(max_length=100)] = ()
    cop: Annotated[float, Field(gt=0, le=20)] = 1.0
    loss_share_per_h: Share = 0.01
    comfort_eur_per_kwh: Annotated[float, Field(ge=0, le=100)] = 1.0


def evses_with(entries: tuple[ChargerEntry, ...], site: Site, topology: Topology) -> dict[str, EvseFacts]:
    """The EVSEs that the entries speak of; a later entry adds to an earlier one.

    Raises:
        UserError: an entry names none, or one that the site has not or does not manage.
    """
    plain = {evse.id: evse for evse in evses_of(topology)}
    painted = {evse.id: evse.spot for charger in site.chargers for evse in charger.evses}
    found: dict[str, EvseFacts] = {}
    for entry in entries:
        if (entry.id is None) == (entry.spot is None):
            raise UserError("each of 'chargers' names an EVSE by 'id' or a parking space by 'spot'")
        meant = [name for name in plain if name == entry.id or (entry.spot is not None and painted[name] == entry.spot)]
        if not meant:
            raise UserError(f"chargers: there is no managed EVSE {_named(entry)}")
        for name in meant:
            evse = found.get(name, plain[name])
            if not evse.direct_current and (entry.efficiency is not None or entry.min_power_kw is not None):
                raise UserError(f"chargers: '{name}' is no direct current: losses are the vehicle's there")
            found[name] = replace(
                evse,
                spot_priority=evse.spot_priority if entry.priority is None else entry.priority,
                efficiency=evse.efficiency if entry.efficiency is None else entry.efficiency,
                min_power_kw=evse.min_power_kw if entry.min_power_kw is None else entry.min_power_kw,
            )
    return found


def _named(entry: ChargerEntry) -> str:
    return f"'{entry.id}'" if entry.id is not None else f"at the parking space '{entry.spot}'"


def batteries_with(entries: tuple[BatteryEntry, ...], site: Site, topology: Topology) -> tuple[BatteryFacts, ...]:
    """The batteries of the site, with what the entries say of them.

    Raises:
        UserError: an entry names none, one that was named before, or a reserve above what counts as full.
    """
    found = {one.id: one for one in batteries_of(topology, {one.id: one.capacity_kwh for one in site.batteries})}
    if len({entry.id for entry in entries}) < len(entries):
        raise UserError("batteries: one of them is given twice")
    for entry in entries:
        if entry.id not in found:
            raise UserError(f"batteries: there is no battery '{entry.id}'")
        one = found[entry.id]
        floor = one.floor_share if entry.reserve_share is None else entry.reserve_share
        ceiling = one.ceiling_share if entry.full_share is None else entry.full_share
        if floor >= ceiling:
            raise UserError(f"batteries: the reserve of '{entry.id}' is not below what counts as full")
        found[entry.id] = replace(one, floor_share=floor, ceiling_share=ceiling)
    return tuple(found.values())


def buffers_with(entries: tuple[BufferEntry, ...], topology: Topology) -> tuple[BufferFacts, ...]:
    """The stores of heat, at the managed loads that fill them.

    Raises:
        UserError: a load that the site has not or does not manage, given twice, or an empty band.
    """
    volts = topology.nominal_mv / MILLI
    found: list[BufferFacts] = []
    for entry in entries:
        i = topology.index.get(entry.id)
        if i is None or topology.assets[i].kind is not AssetKind.LOAD:
            raise UserError(f"buffers: there is no managed load '{entry.id}'")
        if entry.id in {one.id for one in found}:
            raise UserError(f"buffers: '{entry.id}' is given twice")
        if entry.high_kwh <= entry.low_kwh:
            raise UserError(f"buffers: the band of '{entry.id}' is empty: high_kwh is not above low_kwh")
        asset = topology.assets[i]
        found.append(
            BufferFacts(
                id=asset.id,
                circuit=asset.circuit,
                phases=tuple(PHASES[p] for p in asset.phases),  # type: ignore[misc]  # names of phases
                power_kw=kw_from_w(asset.max_a * volts * len(asset.phases)),
                low_kwh=entry.low_kwh,
                high_kwh=entry.high_kwh,
                cop=entry.cop,
                loss_share_per_h=entry.loss_share_per_h,
                comfort_eur_per_kwh=entry.comfort_eur_per_kwh,
                step_a=float(topology.step_ma[i]) / MILLI,
            )
        )
    return tuple(found)


def demands_of(entries: tuple[BufferEntry, ...]) -> Mapping[str, HeatDemand]:
    """The heat that is drawn from each store."""
    return {
        entry.id: HeatDemand(entry.demand_kw, tuple(HeatHours(one.when, one.kw) for one in entry.demand))
        for entry in entries
    }
