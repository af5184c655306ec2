"""Which devices share a line, and how long one polling round of a line takes.

Sources: Modbus over serial line 1.02, section 2.5.1 (11 bits per character, 3.5 characters of silence, at least
1.75 ms) and the Modbus application protocol 1.1b3 for the sizes of frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from interfaces.domain.device_facts import DeviceFacts
from interfaces.domain.site_types import (
    Address,
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

BITS_PER_CHARACTER: Final[int] = 11
SILENCE_CHARACTERS: Final[float] = 3.5
MIN_SILENCE_S: Final[float] = 0.00175
READ_BYTES: Final[int] = 8 + 5
"""Request (unit, function, address, count, checksum) and what a reply carries besides its registers."""
BYTES_PER_WORD: Final[int] = 2
WRITE_REQUESTS: Final[int] = 2
WRITE_WORDS: Final[int] = 4
"""A managed device may be written once in each round and read back at once: two words each way."""

CLOUD_TIMEOUT_S: Final[float] = 3600.0
"""No maker says when a charger without internet falls back: its last offer counts for this long besides."""

Line: TypeAlias = tuple[str, str, int]
"""Kind, serial device or host, port: devices with the same line wait for each other."""


@dataclass(frozen=True, slots=True)
class Round:
    """What one device adds to a polling round: requests, registers, and the seconds it may think about each."""

    requests: int
    words: int
    response_s: float
    turnaround_s: float = 0.0


def bus_cycle_s(rounds: Sequence[Round], baud: int | None) -> float:
    """Seconds until every device of a line has been polled once, at the devices' slowest.

    ``baud`` None: no serial line behind it, frames take no time worth counting.
    """
    character_s = 0.0 if baud is None else BITS_PER_CHARACTER / baud
    silence_s = 0.0 if baud is None else max(SILENCE_CHARACTERS * character_s, MIN_SILENCE_S)
    total_s = 0.0
    for one in rounds:
        frames_s = (one.requests * READ_BYTES + one.words * BYTES_PER_WORD) * character_s
        total_s += frames_s + one.requests * (one.response_s + max(silence_s, one.turnaround_s))
    return total_s


def line_of(address: Address) -> Line:
    """The line an address sits on. A P1 port has a line for itself, and so has an installation behind a service."""
    if isinstance(address, MakerCloud):
        return ("cloud", address.installation_id.lower(), 0)
    if isinstance(address, ModbusRtu):
        return ("rtu", address.rtu, 0)
    if isinstance(address, P1Serial):
        return ("p1", address.serial, 0)
    if isinstance(address, ModbusGateway):
        return ("gateway", address.gateway.lower(), address.port)
    return ("p1" if isinstance(address, P1Tcp) else "tcp", address.host.lower(), address.port)


def address_of(entry: DeviceEntry) -> Address:
    """Where an entry is reached."""
    return entry.address if isinstance(entry, MeterEntry | ChargerEntry) else entry.modbus


def left_alone(entry: ChargerEntry | BatteryEntry) -> FailsafeEntry | None:
    """What an entry does when it no longer hears us; one behind a maker's service: what it is set to use there."""
    if isinstance(entry, ChargerEntry) and entry.cloud is not None:
        return FailsafeEntry(entry.cloud.installation_limit_a, CLOUD_TIMEOUT_S)
    return entry.failsafe


def unit_in_file(entry: DeviceEntry) -> int | None:
    """The Modbus unit the file gives an entry; None where it gives none."""
    address = address_of(entry)
    return None if isinstance(address, P1Tcp | P1Serial | MakerCloud) else address.unit


def sections(site: Site) -> Iterator[tuple[str, Sequence[DeviceEntry]]]:
    """The lists of a site file whose entries have a profile and an address."""
    yield "meters", site.meters
    yield "chargers", site.chargers
    yield "batteries", site.batteries
    yield "pv", site.pv
    yield "loads", site.loads


def devices(site: Site) -> Iterator[DeviceEntry]:
    """Every entry with a profile and an address, in the order of the file's sections."""
    for _, entries in sections(site):
        yield from entries


def point_keys(entry: DeviceEntry) -> tuple[str, ...]:
    """Keys of a device's points, in its own order: ids of its EVSEs, or its own."""
    return tuple(evse.id for evse in entry.evses) if isinstance(entry, ChargerEntry) else (entry.id,)


def round_of(entry: DeviceEntry, facts: DeviceFacts) -> Round:
    """What one entry adds to the round of its line."""
    connectors = len(entry.evses) if isinstance(entry, ChargerEntry) else 1
    written = getattr(entry, "managed", False)
    return Round(
        requests=connectors * (facts.cycle_requests + (WRITE_REQUESTS if written else 0)),
        words=connectors * (facts.cycle_words + (WRITE_WORDS if written else 0)),
        response_s=facts.response_s,
        turnaround_s=facts.turnaround_s,
    )


def line_cycles_s(site: Site, facts: Mapping[str, DeviceFacts]) -> dict[Line, float]:
    """Polling round of each line in seconds; entries of unknown profile are left out."""
    rounds: dict[Line, list[Round]] = {}
    bauds: dict[Line, int] = {}
    for entry in devices(site):
        if entry.profile not in facts:
            continue
        address = address_of(entry)
        line = line_of(address)
        rounds.setdefault(line, []).append(round_of(entry, facts[entry.profile]))
        if isinstance(address, ModbusRtu | ModbusGateway):
            bauds[line] = min(address.baud, bauds.get(line, address.baud))
    return {line: bus_cycle_s(shares, bauds.get(line)) for line, shares in rounds.items()}
