"""Which device belongs to which place: serial numbers, bound by the site file or at the first answer. Pure.

Two chargers that swapped addresses, a new DHCP address and a replaced unit look alike: another serial number answers.
Nobody but a person can tell what is right, so that the device is held at failsafe until the site file names its serial.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from controller.service.messages import PointStatus
from interfaces.domain.image import Identity
from interfaces.domain.site_bus import devices, point_keys
from interfaces.domain.site_file import Site
from interfaces.drivers.readings import GOOD, PointReading


@dataclass(frozen=True, slots=True)
class Bindings:
    """Serial by device, and device by serial."""

    by_device: Mapping[str, str]
    by_serial: Mapping[str, str]

    @staticmethod
    def of(by_device: Mapping[str, str]) -> Bindings:
        """The bindings with their reverse."""
        return Bindings(by_device, {serial: device for device, serial in by_device.items()})


NOBODY_BOUND: Final = Bindings({}, {})


def identity_of(device: str, bindings: Bindings, reading: PointReading) -> int:
    """Code of ``Identity``. A new device, or one that never told a serial, has nothing held against it."""
    told, expected = reading.serial, bindings.by_device.get(device)
    if told is None:
        return int(Identity.KNOWN if expected is None else Identity.UNPROVEN)
    if expected is None:
        return int(Identity.KNOWN if bindings.by_serial.get(told, device) == device else Identity.OTHER)
    if told != expected:
        return int(Identity.OTHER)
    return int(Identity.KNOWN if reading.roles["serial"].quality == GOOD else Identity.UNPROVEN)


def serials_of(site: Site) -> dict[str, str]:
    """Serials the site file names, by device."""
    return {entry.id: entry.serial_number for entry in devices(site) if entry.serial_number is not None}


def told_by(site: Site, points: tuple[PointStatus, ...]) -> dict[str, str]:
    """Serials told now, by device: that of its first point that is connected and tells one."""
    owner = {key: entry.id for entry in devices(site) for key in point_keys(entry)}
    told: dict[str, str] = {}
    for point in points:
        if point.connected and point.serial and point.key in owner:
            told.setdefault(owner[point.key], point.serial)
    return told


def newcomers(bound: Mapping[str, str], told: Mapping[str, str]) -> dict[str, str]:
    """Devices that are not bound yet, with the serials they tell; without those that are bound elsewhere, or that two
    tell at once.
    """
    taken, times = set(bound.values()), Counter(told.values())
    return {
        device: serial
        for device, serial in told.items()
        if device not in bound and serial not in taken and times[serial] == 1
    }


def findings(bound: Mapping[str, str], told: Mapping[str, str]) -> dict[str, str]:
    """Device -> what is wrong with who answers there and what to do, for people."""
    owner = Bindings.of(bound).by_serial
    found: dict[str, str] = {}
    for device, serial in told.items():
        home = owner.get(serial, device)
        twins = ", ".join(sorted(name for name, other in told.items() if other == serial and name != device))
        if home != device:
            why = f"this is {home}: were their addresses or cables swapped?"
        elif bound.get(device, serial) != serial:
            why = f"it was {bound[device]}; if it was replaced, write `serial_number: {serial}` into the site file"
        elif twins and device not in bound:
            why = f"so does {twins}: one device in two entries?"
        else:
            continue
        found[device] = f"another device answers for {device}, serial {serial}: {why}"
    return found
