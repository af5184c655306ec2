"""`device discover`: which Modbus devices answer in a range of addresses, told by the fingerprints of the profiles.

It runs when a person asks for it, reads only, and is bounded: so many addresses, ports and units, one question at a
time per device, and a device that falls silent is left alone. A port that takes a connection and answers no unit in
Modbus TCP is asked once more in RTU frames: it may be a gateway that only passes them on.
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Final, Literal

from controller.service.device_match import (
    Candidate,
    Seen,
    candidates_of,
    default_line_units,
    default_units,
    shown_identity,
)
from interfaces.drivers.clock import monotonic_s
from interfaces.drivers.links import Line, RtuOverTcpLink, TcpLink
from interfaces.drivers.modbus import ModbusPort
from interfaces.errors import UserError

MAX_ADDRESSES: Final = 256
MAX_PORTS: Final = 8
MAX_UNITS: Final = 32
HOSTS_AT_ONCE: Final = 16
REPLY_TIMEOUT_S: Final = 0.5
MAX_TEXT: Final = 100
UNKNOWN: Final = "answers Modbus, and no fingerprint fits"
SILENT: Final = "takes a connection and answers none of the unit ids asked, neither in Modbus TCP nor in RTU frames"
TAKEN: Final = "takes a connection and hangs up: another program may hold its only one"

RTU_NOTE: Final = "answers in RTU frames: a gateway to a serial line (`gateway` in the site file, `--rtu` by hand)"
LINE: Final = Line(max_response_s=0.5)
"""The slowest of all makes, at the usual 9600 baud; the speed behind a gateway is the gateway's own setting."""

Address = ipaddress.IPv4Address
Framing = Literal["tcp", "rtu"]


@dataclass(frozen=True, slots=True)
class Discovered:
    """A unit that answers, or a port that takes a connection and no question (``units`` empty).

    ``units``: all that show this same device. ``identity``: serial number, model and firmware where they can be read.
    ``framing``: how it was asked when it answered.
    """

    host: str
    port: int
    units: tuple[int, ...]
    candidates: tuple[Candidate, ...] = ()
    identity: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    framing: Framing = "tcp"


@dataclass(frozen=True, slots=True)
class Duplicate:
    """One identity that is seen in several places."""

    serial: str
    places: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What one way of asking a port brought; ``taken``: it took the connection, ``hung_up``: and ended it itself."""

    found: tuple[Discovered, ...] = ()
    taken: bool = True
    hung_up: bool = False


@dataclass(frozen=True, slots=True)
class Sweep:
    """What was asked and what was found."""

    addresses: int
    ports: tuple[int, ...]
    units: tuple[int, ...]
    found: tuple[Discovered, ...]
    duplicates: tuple[Duplicate, ...]


def addresses_of(text: str) -> tuple[Address, ...]:
    """The addresses of `192.168.1.10`, `192.168.1.10-40`, `192.168.1.10-192.168.1.40` or `192.168.1.0/24`.

    Raises:
        UserError: it is none of these, or more than 256.
    """
    wrong = UserError(f"--range takes 192.168.1.10-40, 192.168.1.0/24 or one address, not '{text[:MAX_TEXT]}'")
    try:
        if "/" in text:
            network = ipaddress.IPv4Network(text, strict=False)
            if network.num_addresses > MAX_ADDRESSES:
                raise _too_many(network.num_addresses)
            return tuple(network.hosts())
        first, dash, last = (part.strip() for part in text.partition("-"))
        start = Address(first)
        if not dash:
            return (start,)
        end = Address(last) if "." in last else Address(f"{first.rpartition('.')[0]}.{last}")
    except ValueError:
        raise wrong from None
    count = int(end) - int(start) + 1
    if count < 1:
        raise UserError(f"--range runs backwards: {start} lies behind {end}")
    if count > MAX_ADDRESSES:
        raise _too_many(count)
    return tuple(start + index for index in range(count))


def numbers_of(texts: Iterable[str], name: str, low: int, high: int, most: int) -> tuple[int, ...]:
    """The numbers of `1`, `1,255` or `1-10`, each given one or several times; UserError when they cannot be meant."""
    found: list[int] = []
    for part in (part.strip() for text in texts for part in text.split(",")):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or max(len(first), len(last)) > len(str(high)):
            raise UserError(f"{name} takes numbers such as {low} or {low}-{low + 9}, not '{part[:MAX_TEXT]}'")
        start, end = int(first), int(last or first)
        if not low <= start <= end <= high:
            raise UserError(f"{name} takes numbers from {low} to {high}, not '{part}'")
        found += range(start, min(end, start + most) + 1)
    chosen = tuple(dict.fromkeys(found))
    if len(chosen) > most:
        raise UserError(f"{name} names more than the {most} that one search asks")
    return chosen


async def discover(addresses: Sequence[Address], ports: Sequence[int], units: Sequence[int]) -> Sweep:
    """Ask every address; ``units`` empty: those the profiles leave the factory with."""
    asked = tuple(units) or default_units()
    on_lines = tuple(units) or default_line_units()
    turn = asyncio.Semaphore(HOSTS_AT_ONCE)

    async def one(address: Address) -> list[Discovered]:
        async with turn:
            return [found for port in ports for found in await _at(str(address), port, asked, on_lines)]

    found = tuple(each for places in await asyncio.gather(*map(one, addresses)) for each in places)
    return Sweep(len(addresses), tuple(ports), asked, found, duplicates_of(found))


def duplicates_of(found: Sequence[Discovered]) -> tuple[Duplicate, ...]:
    """Serial numbers that answer in several places: one device with two addresses, or a copied configuration."""
    told = [(one.identity["serial"], place_of(one)) for one in found if "serial" in one.identity]
    told.sort(key=lambda each: each[0])
    groups = [(serial, tuple(place for _, place in each)) for serial, each in groupby(told, key=lambda each: each[0])]
    return tuple(Duplicate(serial, places) for serial, places in groups if len(places) > 1)


def place_of(one: Discovered) -> str:
    """Where it answers, in words."""
    return f"{one.host}:{one.port} unit {'/'.join(map(str, one.units))}"


def _too_many(count: int) -> UserError:
    return UserError(f"--range holds {count} addresses; one search asks at most {MAX_ADDRESSES}, so take it in parts")


async def _at(host: str, port: int, units: Sequence[int], on_lines: Sequence[int]) -> list[Discovered]:
    """Every unit of one port in Modbus TCP; where none answers and nobody hangs up, in RTU frames."""
    asked = await _asked(TcpLink(host, port, REPLY_TIMEOUT_S), units)
    if not asked.taken:
        return []
    if not asked.found and not asked.hung_up:
        asked = await _asked(RtuOverTcpLink(host, port, LINE), on_lines)
    return _merged(asked.found) or [Discovered(host, port, (), (), {}, TAKEN if asked.hung_up else SILENT)]


async def _asked(link: TcpLink | RtuOverTcpLink, units: Sequence[int]) -> _Asked:
    """Every unit, one after the other over one connection."""
    port = ModbusPort(link, monotonic_s, random.Random())  # noqa: S311  no secret
    framing: Framing = "tcp" if isinstance(link, TcpLink) else "rtu"
    found: list[Discovered] = []
    hung_up = False
    try:
        if await port.connect() is not None:
            return _Asked(taken=False)
        for unit in units:
            seen = Seen(port, unit)
            if not await seen.answers():
                hung_up = hung_up or seen.hung_up
                continue
            candidates = await candidates_of(seen)
            identity = await shown_identity(seen, candidates)
            notes = [] if candidates else [UNKNOWN]
            notes += [RTU_NOTE] if framing == "rtu" else []
            found.append(Discovered(link.host, link.port, (unit,), candidates, identity, "; ".join(notes), framing))
    finally:
        await port.aclose()
    return _Asked(tuple(found), hung_up=hung_up)


def _merged(found: Sequence[Discovered]) -> list[Discovered]:
    """Units of one port that show the same serial number are one device that does not look at the unit."""
    merged: list[Discovered] = []
    for one in found:
        twin = next((each for each in merged if _same(each, one)), None)
        if twin is None:
            merged.append(one)
        else:
            merged[merged.index(twin)] = replace(twin, units=(*twin.units, *one.units))
    return merged


def _same(one: Discovered, other: Discovered) -> bool:
    serial = one.identity.get("serial")
    return serial is not None and serial == other.identity.get("serial")
