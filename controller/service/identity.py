"""Which device belongs to which place: serial numbers, bound by the site file or at the first answer. Pure.

A device without a serial number is known by its network card instead ("MAC 02:00:5e:10:00:01"), where that is to be
seen: where it is a neighbour, and no other device of the site answers with the same card, as behind a gateway.

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
CARD: Final = "MAC "
"""What stands before the address of a network card where others have a serial number."""


def identity_of(device: str, bindings: Bindings, reading: PointReading, *, tells_serial: bool = True) -> int:
    """Code of ``Identity``. A new device, or one that never told a serial, has nothing held against it.

    ``tells_serial``: its make has a register for it. Another make or map than expected is another device.
    """
    expected = bindings.by_device.get(device)
    if reading.foreign:
        return int(Identity.OTHER)
    if not tells_serial or (expected is not None and expected.startswith(CARD)):
        by_card = expected is not None and expected.startswith(CARD) and bool(reading.mac)
        return int(Identity.OTHER if by_card and card_of(reading.mac) != expected else Identity.KNOWN)
    return _by_serial(device, bindings, reading)


def _by_serial(device: str, bindings: Bindings, reading: PointReading) -> int:
    told, expected = reading.serial, bindings.by_device.get(device)
    if told is None:
        return int(Identity.KNOWN if expected is None else Identity.UNPROVEN)
    if expected is None:
        return int(Identity.KNOWN if bindings.by_serial.get(told, device) == device else Identity.OTHER)
    if told != expected:
        return int(Identity.OTHER)
    return int(Identity.KNOWN if reading.roles["serial"].quality == GOOD else Identity.UNPROVEN)


def card_of(mac: str) -> str:
    """A network card as it stands where others have a serial number."""
    return f"{CARD}{mac.lower()}"


def serials_of(site: Site) -> dict[str, str]:
    """Serials the site file names, by device."""
    given = {entry.id: entry.serial_number for entry in devices(site) if entry.serial_number is not None}
    return {device: card_of(serial[len(CARD) :]) if _is_card(serial) else serial for device, serial in given.items()}


def told_by(site: Site, points: tuple[PointStatus, ...], bound: Mapping[str, str]) -> dict[str, str]:
    """Serials told now, by device: that of its first point that is connected and tells one. Of a device that has none,
    or was ``bound`` by its network card: the card.
    """
    owner = {key: entry.id for entry in devices(site) for key in point_keys(entry)}
    behind: dict[str, set[str]] = {}
    for point in points:
        behind.setdefault(point.mac, set()).add(owner.get(point.key, point.key))
    told: dict[str, str] = {}
    for point in points:
        device = owner.get(point.key)
        if not point.connected or device is None:
            continue
        stranger = not point.serial and point.nameless and device not in bound and len(behind[point.mac]) == 1
        by_card = stranger or _is_card(bound.get(device, ""))
        name = (card_of(point.mac) if point.mac else "") if by_card else point.serial
        if name:
            told.setdefault(device, name)
    return told


def _is_card(name: str) -> bool:
    return name.upper().startswith(CARD)


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
        if _is_card(serial) and device not in bound:
            continue  # behind one gateway all have its card
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
        name = serial if _is_card(serial) else f"serial {serial}"
        found[device] = f"another device answers for {device}, {name}: {why}"
    return found
