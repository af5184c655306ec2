"""A site file -> one link per connection and the points behind it. Pure.

Devices that share a serial line or a gateway share a connection; so do the points of one station, unless its make gives
each its own TCP port. Keys of points are ids of the site file: of meters, EVSEs, batteries, inverters and loads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from interfaces.domain.site_bus import devices, point_keys
from interfaces.domain.site_types import (
    BatteryEntry,
    ChargerEntry,
    DeviceEntry,
    FailsafeEntry,
    MeterEntry,
    ModbusGateway,
    ModbusRtu,
    Site,
)
from interfaces.domain.units import MILLI
from interfaces.drivers.device import PointSpec
from interfaces.drivers.failsafe import FailsafeWish
from interfaces.drivers.links import Line, Link, RtuOverTcpLink, SerialLink, TcpLink, line_of
from interfaces.drivers.profile import Profile, Rtu
from interfaces.drivers.profile_load import find_profile


@dataclass(frozen=True, slots=True)
class Wire:
    """One connection of a site."""

    link: Link
    points: tuple[PointSpec, ...]


def wires_of(site: Site) -> tuple[Wire, ...]:
    """Every connection a checked site file needs, in the order of the file. ValueError for an unknown profile.

    On a site that is only monitored nothing is managed.
    """
    links: dict[tuple[str, str | int], Link] = {}
    points: dict[tuple[str, str | int], list[PointSpec]] = {}
    for entry in devices(site):
        profile = find_profile(entry.profile)
        if profile is None:
            raise ValueError(f"{entry.id}: there is no profile {entry.profile}")
        for link, point in _points(entry, profile, watched=site.info.mode == "monitor"):
            place = (link.device, 0) if isinstance(link, SerialLink) else (link.host.lower(), link.port)
            links[place] = _slower(links.get(place), link)
            points.setdefault(place, []).append(point)
    return tuple(Wire(links[place], tuple(found)) for place, found in points.items())


def _points(entry: DeviceEntry, profile: Profile, *, watched: bool) -> Iterator[tuple[Link, PointSpec]]:
    managed = getattr(entry, "managed", False) and not watched
    failsafe = entry.failsafe if isinstance(entry, ChargerEntry | BatteryEntry) else None
    period_ms = entry.period_ms if isinstance(entry, MeterEntry) else None
    for number, key in enumerate(point_keys(entry)):
        place = profile.points
        own = place.units[min(number, len(place.units) - 1)]
        yield (
            _link(entry, profile, number * place.port_step),
            PointSpec(
                key=key,
                profile=profile,
                unit=own if entry.modbus.unit is None else entry.modbus.unit,
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


def _link(entry: DeviceEntry, profile: Profile, port_shift: int) -> Link:
    modbus = entry.modbus
    if isinstance(modbus, ModbusRtu):
        return SerialLink(modbus.rtu, line_of(profile.rtu or Rtu(), modbus.baud, modbus.format))
    if isinstance(modbus, ModbusGateway):
        line = line_of(profile.rtu or Rtu(), modbus.baud, modbus.format)
        return RtuOverTcpLink(modbus.gateway, modbus.port + port_shift, line)
    return TcpLink(modbus.host, modbus.port + port_shift)


def _slower(one: Link | None, other: Link) -> Link:
    """A line shared by several makes waits for the slowest of them."""
    if one is None or isinstance(one, TcpLink) or isinstance(other, TcpLink):
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
