"""A site file -> one link per connection and the points behind it. Pure.

Devices that share a serial line or a gateway share a connection; so do the points of one station, unless its make gives
each its own TCP port. Keys of points are ids of the site file: of meters, EVSEs, batteries, inverters and loads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from interfaces.domain.site_bus import address_of, devices, point_keys, unit_in_file
from interfaces.domain.site_types import (
    BatteryEntry,
    ChargerEntry,
    DeviceEntry,
    FailsafeEntry,
    MakerCloud,
    MeterEntry,
    ModbusGateway,
    ModbusRtu,
    P1Serial,
    P1Tcp,
    Site,
)
from interfaces.domain.units import MILLI
from interfaces.drivers.device import PointSpec
from interfaces.drivers.failsafe import FailsafeWish
from interfaces.drivers.links import (
    AnyLink,
    CloudLink,
    Line,
    P1SerialLink,
    P1TcpLink,
    RtuOverTcpLink,
    SerialLink,
    TcpLink,
    line_of,
)
from interfaces.drivers.p1_reading import find_p1
from interfaces.drivers.profile import Profile, Rtu
from interfaces.drivers.profile_load import find_profile
from interfaces.drivers.zaptec_point import find_cloud


@dataclass(frozen=True, slots=True)
class Wire:
    """One connection of a site. Behind a P1 link or a maker's service there is one point, whose profile has no
    registers.
    """

    link: AnyLink
    points: tuple[PointSpec, ...]


def wires_of(site: Site) -> tuple[Wire, ...]:
    """Every connection a checked site file needs, in the order of the file. ValueError for an unknown profile.

    On a site that is only monitored nothing is managed.
    """
    links: dict[tuple[str, str | int], AnyLink] = {}
    points: dict[tuple[str, str | int], list[PointSpec]] = {}
    for entry in devices(site):
        profile = find_profile(entry.profile) or find_p1(entry.profile) or find_cloud(entry.profile)
        if profile is None:
            raise ValueError(f"{entry.id}: there is no profile {entry.profile}")
        for link, point in _points(entry, profile, watched=site.info.mode == "monitor"):
            place = _place(link)
            links[place] = _slower(links.get(place), link)
            points.setdefault(place, []).append(point)
    return tuple(Wire(links[place], tuple(found)) for place, found in points.items())


def _place(link: AnyLink) -> tuple[str, str | int]:
    """What devices share that share a connection."""
    if isinstance(link, CloudLink):
        return ("cloud", link.installation_id.lower())
    return (link.device, 0) if isinstance(link, SerialLink | P1SerialLink) else (link.host.lower(), link.port)


def _points(entry: DeviceEntry, profile: Profile, *, watched: bool) -> Iterator[tuple[AnyLink, PointSpec]]:
    managed = getattr(entry, "managed", False) and not watched
    failsafe = entry.failsafe if isinstance(entry, ChargerEntry | BatteryEntry) else None
    period_ms = entry.period_ms if isinstance(entry, MeterEntry) else None
    given = unit_in_file(entry)
    for number, key in enumerate(point_keys(entry)):
        place = profile.points
        own = place.units[min(number, len(place.units) - 1)]
        yield (
            _link(entry, profile, number * place.port_step),
            PointSpec(
                key=key,
                profile=profile,
                unit=own if given is None else given,
                point=number,
                station_unit=place.station_unit,
                managed=managed,
                failsafe=_wish(failsafe),
                period_s=None if period_ms is None else period_ms / MILLI,
                device=entry.id,
            ),
        )


def _wish(entry: FailsafeEntry | None) -> FailsafeWish | None:
    return None if entry is None else FailsafeWish(entry.current_a, entry.timeout_s)


def _link(entry: DeviceEntry, profile: Profile, port_shift: int) -> AnyLink:
    modbus = address_of(entry)
    if isinstance(modbus, MakerCloud):
        return CloudLink(modbus.installation_id, modbus.installation_limit_a)
    if isinstance(modbus, P1Serial):
        return P1SerialLink(modbus.serial)
    if isinstance(modbus, P1Tcp):
        return P1TcpLink(modbus.host, modbus.port)
    if isinstance(modbus, ModbusRtu):
        return SerialLink(modbus.rtu, line_of(profile.rtu or Rtu(), modbus.baud, modbus.format))
    if isinstance(modbus, ModbusGateway):
        line = line_of(profile.rtu or Rtu(), modbus.baud, modbus.format)
        return RtuOverTcpLink(modbus.gateway, modbus.port + port_shift, line)
    return TcpLink(modbus.host, modbus.port + port_shift)


def _slower(one: AnyLink | None, other: AnyLink) -> AnyLink:
    """A line shared by several makes waits for the slowest of them."""
    if not isinstance(one, SerialLink | RtuOverTcpLink) or not isinstance(other, SerialLink | RtuOverTcpLink):
        return other if one is None else one
    line = Line(
        one.line.baud,
        one.line.format,
        max(one.line.max_response_s, other.line.max_response_s),
        max(one.line.turnaround_s, other.line.turnaround_s),
    )
    if isinstance(one, SerialLink):
        return SerialLink(one.device, line)
    return RtuOverTcpLink(one.host, one.port, line)
