"""The devices of a site file as virtual devices, and the plant they hang on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from interfaces.domain.site_file import topology_of
from interfaces.domain.site_types import (
    BatteryEntry,
    ChargerEntry,
    DeviceEntry,
    EvseEntry,
    LoadEntry,
    MeterEntry,
    PvEntry,
    Site,
)
from interfaces.domain.topology import Topology
from interfaces.domain.units import MILLI, wh_from_kwh
from interfaces.drivers.facts import all_facts
from interfaces.drivers.modbus_server import ModbusServer
from interfaces.drivers.p1_reading import PERIOD_S, find_p1
from interfaces.drivers.register_bank import RegisterBank
from simulations.devices.models import ChargerPoint, Device, MeterDevice, OnSetpoint, PowerDevice, RequestCount
from simulations.devices.p1 import Dialect, P1Feed
from simulations.devices.registers import Identity, Served
from simulations.plant.battery import BatterySpec
from simulations.plant.building import BuildingLoad, Motor
from simulations.plant.site import Environment, Plant

NOON_S: Final[float] = 12 * 3600.0
DIALECTS: Final[dict[str, Dialect]] = {"dsmr4_p1": "dsmr4", "fluvius_p1": "emucs"}
METER_SIZE: Final = (1.0e6, 2000.0)
"""W and A a meter's scale factors leave room for."""
_BASE_SHARE: Final[float] = 0.15
_SWING_SHARE: Final[float] = 0.3
_MOTOR_SHARE: Final[float] = 0.05
_NOISE_SHARE: Final[float] = 0.02


@dataclass(slots=True)
class Part:
    """One device of the site file as it is served.

    ``homes``: servers and units it answers on. ``shares_line``: others answer there too. ``parked``: its units while
    they are silent on a shared line; ``closed``: servers that listen no more. ``feed``: of a meter with a P1 port,
    which has nothing of the rest.
    """

    entry: DeviceEntry
    points: list[Device] = field(default_factory=list)
    counts: list[RequestCount] = field(default_factory=list)
    columns: list[int] = field(default_factory=list)
    homes: list[tuple[ModbusServer, int]] = field(default_factory=list)
    parked: dict[int, RegisterBank | None] = field(default_factory=dict)
    shares_line: bool = False
    feed: P1Feed | None = None
    closed: list[ModbusServer] = field(default_factory=list)


def all_managed(site: Site) -> Site:
    """The same site with every asset in the topology, also those the controller may not touch."""
    return replace(
        site,
        chargers=tuple(replace(entry, managed=True) for entry in site.chargers),
        batteries=tuple(replace(entry, managed=True) for entry in site.batteries),
        pv=tuple(replace(entry, managed=True) for entry in site.pv),
        loads=tuple(replace(entry, managed=True) for entry in site.loads),
    )


def plant_topology(site: Site) -> Topology:
    """Every asset of the site file as a column."""
    return topology_of(all_managed(site), all_facts())


def unmanaged_of(site: Site) -> frozenset[str]:
    """Ids of the assets that count as background."""
    ids = {evse.id for charger in site.chargers if not charger.managed for evse in charger.evses}
    others: tuple[BatteryEntry | PvEntry | LoadEntry, ...] = (*site.batteries, *site.pv, *site.loads)
    return frozenset(ids | {entry.id for entry in others if not entry.managed})


def usual_environment(site: Site, *, start_day_s: float = NOON_S, start_epoch_s: float = 0.0) -> Environment:
    """A building that stays well below each circuit's declared worst case, with a motor, and the batteries of the file.

    Declared worst cases hold everything behind a circuit, so what its sub-circuits declare is taken off first.
    """
    loads = []
    for circuit in site.circuits:
        if circuit.background_max_a is None:
            continue
        below = [c.background_max_a for c in site.circuits if c.parent == circuit.id and c.background_max_a]
        own = [max(0.0, a - sum(b[p] for b in below)) for p, a in enumerate(circuit.background_max_a)]
        if max(own) <= 0.0:
            continue
        base, swing, motor = ([share * a for a in own] for share in (_BASE_SHARE, _SWING_SHARE, _MOTOR_SHARE))
        loads.append(
            BuildingLoad(
                circuit.id,
                (base[0], base[1], base[2]),
                (swing[0], swing[1], swing[2]),
                noise_a=_NOISE_SHARE * max(own),
                motors=(Motor((motor[0], motor[1], motor[2])),),
            )
        )
    batteries = tuple(BatterySpec(entry.id, entry.capacity_kwh) for entry in site.batteries)
    return Environment(
        tuple(loads),
        batteries=batteries,
        unmanaged=unmanaged_of(site),
        start_epoch_s=start_epoch_s,
        start_day_s=start_day_s,
    )


def size_of(entry: DeviceEntry, topology: Topology) -> Identity:
    """Name and nameplate of a device, for its identity registers and scale factors."""
    if isinstance(entry, MeterEntry):
        return Identity(entry.id, *METER_SIZE)
    if isinstance(entry, BatteryEntry):
        watts = max(entry.max_charge_w, entry.max_discharge_w, entry.capacity_kwh * 1000.0)
        return Identity(entry.id, watts, watts / 230.0)
    if isinstance(entry, PvEntry):
        return Identity(entry.id, entry.rated_w, entry.rated_w / 230.0)
    assets = [a for a in topology.assets if a.device == entry.id]
    amps = max((a.max_a for a in assets), default=32.0)
    return Identity(entry.id, 3.0 * 230.0 * amps, amps)


def line_watched(site: Site, topology: Topology, entry: MeterEntry) -> int:
    """The circuit a meter shows."""
    watched = next((c.id for c in site.circuits if c.meter == entry.id), entry.monitors)
    return topology.circuit_index[watched or topology.circuits[0].id]


def feed_of(site: Site, plant: Plant, entry: MeterEntry) -> P1Feed:
    """The P1 port of a meter."""
    profile = find_p1(entry.profile)
    if profile is None:
        raise ValueError(f"there is no P1 profile {entry.profile!r}")
    period_s = PERIOD_S[profile.id] if entry.period_ms is None else entry.period_ms / MILLI
    line, dialect = line_watched(site, plant.topology, entry), DIALECTS.get(entry.profile, "dsmr5")
    return P1Feed(line, dialect, period_s, plant.environment.start_epoch_s)


def device_of(
    site: Site, plant: Plant, entry: DeviceEntry, point: Served, number: int, on_setpoint: OnSetpoint
) -> tuple[Device, int | None]:
    """The model behind a device's n-th point, and the plant's column it moves."""
    topology = plant.topology
    if isinstance(entry, MeterEntry):
        return MeterDevice(point, line_watched(site, topology, entry)), None
    if isinstance(entry, ChargerEntry):
        evse: EvseEntry = entry.evses[number]
        column = topology.index[evse.id]
        failsafe = None if entry.failsafe is None else (entry.failsafe.current_a, entry.failsafe.timeout_s)
        return ChargerPoint(point, plant, column, failsafe, on_setpoint), column
    column = topology.index[entry.id]
    if isinstance(entry, LoadEntry):
        if point.profile.setpoint is not None:
            return ChargerPoint(point, plant, column, None, on_setpoint), column
        return MeterDevice(point, column, of_asset=True), column
    capacity_wh = wh_from_kwh(entry.capacity_kwh) if isinstance(entry, BatteryEntry) else 0.0
    return PowerDevice(point, plant, column, capacity_wh, on_setpoint), column
