"""Which server stands for which address of a site file, and the site file with those addresses put in.

Devices that share a line share a server: several units of one TCP address, or one serial line. A serial device, on this
machine or behind a gateway, is reached through a transparent gateway: RTU frames in TCP.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from interfaces.domain.site_bus import Line, address_of, devices, line_of, unit_in_file
from interfaces.domain.site_types import (
    ChargerEntry,
    DeviceEntry,
    MeterEntry,
    Modbus,
    ModbusGateway,
    ModbusRtu,
    ModbusTcp,
    P1Tcp,
    Site,
)
from interfaces.drivers.modbus_server import Framing, ModbusServer
from interfaces.drivers.profile import Profile
from interfaces.drivers.register_bank import RegisterBank
from simulations.devices.registers import Served

LOCALHOST: Final[str] = "127.0.0.1"
_PORT_TRIES: Final[int] = 50

Address = tuple[str, int, int]
"""Host (or serial device), port (0 for a serial device) and Modbus unit."""


@dataclass(slots=True)
class Plan:
    """Servers to start for one line: (steps above the line's port) -> units; and how many clients it bears."""

    framing: Framing
    units: dict[int, dict[int, RegisterBank]] = field(default_factory=dict)
    max_connections: int | None = None
    owners: dict[tuple[int, int], str] = field(default_factory=dict)
    """(step, unit) -> device id."""


def add_device(plans: dict[Line, Plan], entry: DeviceEntry, profile: Profile, points: tuple[Served, ...]) -> None:
    """Hang a device's banks on its line."""
    address = address_of(entry)
    line = line_of(address)
    tcp = isinstance(address, ModbusTcp)
    plan = plans.setdefault(line, Plan("mbap" if tcp else "rtu"))
    limit = profile.tcp.max_connections if tcp and profile.tcp is not None else None
    plan.max_connections = limit if plan.max_connections is None else max(limit or 0, plan.max_connections)
    for number, point in enumerate(points):
        step = number * profile.points.port_step
        unit = unit_of(entry, profile, number)
        plan.units.setdefault(step, {})[unit] = point.point
        plan.owners[step, unit] = entry.id
        if point.station is not point.point and profile.points.station_unit is not None:
            plan.units[step][profile.points.station_unit] = point.station
            plan.owners[step, profile.points.station_unit] = entry.id


def unit_of(entry: DeviceEntry, profile: Profile, number: int) -> int:
    """The Modbus unit of a device's n-th point: the file's, else the profile's."""
    given = unit_in_file(entry)
    units = profile.points.units
    return units[min(number, len(units) - 1)] if given is None else given


async def start(plan: Plan) -> dict[int, ModbusServer]:
    """Start a line's servers on free neighbouring ports: step -> server. OSError when none are found."""
    for _ in range(_PORT_TRIES):
        started: dict[int, ModbusServer] = {}
        try:
            for step in sorted(plan.units):
                port = started[0].port + step if started else 0
                server = ModbusServer(
                    plan.units[step], port=port, framing=plan.framing, max_connections=plan.max_connections
                )
                await server.start()
                started[step] = server
        except OSError:
            for server in started.values():
                await server.stop()
            continue
        return started
    raise OSError("no neighbouring free ports were found")


def mapping_of(site: Site, profiles: Mapping[str, Profile], ports: Mapping[Line, int]) -> dict[Address, Address]:
    """Every address of the site file -> where it is served here."""
    found: dict[Address, Address] = {}
    for entry in devices(site):
        line = line_of(address_of(entry))
        if isinstance(entry, MeterEntry) and entry.p1 is not None:
            found[line[1], line[2], 0] = (LOCALHOST, ports[line], 0)
            continue
        profile = profiles[entry.profile]
        for number in range(len(entry.evses) if isinstance(entry, ChargerEntry) else 1):
            step, unit = number * profile.points.port_step, unit_of(entry, profile, number)
            port = line[2] + step if line[0] != "rtu" else 0
            found[line[1], port, unit] = (LOCALHOST, ports[line] + step, unit)
    return found


def mapped_site(site: Site, ports: Mapping[Line, int]) -> Site:
    """The site file with every address replaced by its server here, and nothing else changed."""

    def moved(modbus: Modbus) -> Modbus:
        port = ports[line_of(modbus)]
        if isinstance(modbus, ModbusTcp):
            return replace(modbus, host=LOCALHOST, port=port)
        if isinstance(modbus, ModbusGateway):
            return replace(modbus, gateway=LOCALHOST, port=port)
        assert isinstance(modbus, ModbusRtu)  # noqa: S101  the only other form
        return ModbusGateway(LOCALHOST, modbus.unit, port, modbus.baud, modbus.format)

    def moved_meter(entry: MeterEntry) -> MeterEntry:
        if entry.modbus is not None:
            return replace(entry, modbus=moved(entry.modbus))
        return replace(entry, p1=P1Tcp(LOCALHOST, ports[line_of(entry.address)]))

    def moved_charger(entry: ChargerEntry) -> ChargerEntry:
        return entry if entry.modbus is None else replace(entry, modbus=moved(entry.modbus))

    return replace(
        site,
        meters=tuple(moved_meter(entry) for entry in site.meters),
        chargers=tuple(moved_charger(entry) for entry in site.chargers),
        batteries=tuple(replace(entry, modbus=moved(entry.modbus)) for entry in site.batteries),
        pv=tuple(replace(entry, modbus=moved(entry.modbus)) for entry in site.pv),
        loads=tuple(replace(entry, modbus=moved(entry.modbus)) for entry in site.loads),
    )
