"""Which profiles fit what answers at one unit of one address: the registers of their fingerprints, read and compared.

Only reads. A register is read once however many profiles look at it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from controller.service.device_link import GATEWAY_CODES
from interfaces.drivers.clock import monotonic_s
from interfaces.drivers.fingerprint import passes, suspicions
from interfaces.drivers.modbus import ModbusPort
from interfaces.drivers.profile import Profile, Register, Table
from interfaces.drivers.profile_load import find_profile, profile_ids
from interfaces.drivers.readings import serial_text
from interfaces.drivers.registers import Value, decode
from interfaces.drivers.replies import Words
from interfaces.drivers.roles import registers_of, role_value
from interfaces.drivers.sunspec import FoundModel, NotFound, resolve
from interfaces.drivers.sunspec import discover as find_chain
from interfaces.drivers.sunspec_read import BASES, Measured, read_model

SILENT_MAX: Final = 3
"""Questions in a row without an answer before a unit is left alone."""
PROBES: Final[tuple[tuple[Table, int], ...]] = (("holding", 0), ("input", 0))
SUNSPEC_UNITS: Final = (126, 71)
"""Units of SunSpec devices that are no profile's own: SMA, Kostal (makers' manuals)."""
COMMON_MODEL: Final = 1
IDENTITY_ROLES: Final = ("serial", "model", "firmware")
COMMON_POINTS: Final[Mapping[str, str]] = {"serial": "SN", "model": "Md", "firmware": "Vr", "manufacturer": "Mn"}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A profile that fits. ``proof`` "identity": a register that tells the make says so; "plausible": its values can
    be true and nothing more; ``proofs``: how many registers or models spoke for it; ``problems``: what spoke against.
    """

    profile: str
    proof: str
    proofs: int
    problems: tuple[str, ...] = ()


class Seen:
    """What one unit has shown so far."""

    def __init__(self, port: ModbusPort, unit: int) -> None:
        self.chain: tuple[FoundModel, ...] = ()
        self.common: Mapping[str, Measured] = {}
        self.hung_up = False
        self._port, self._unit = port, unit
        self._known: dict[tuple[int, Table, int, int], tuple[int, ...] | None] = {}
        self._silent = 0

    async def answers(self) -> bool:
        """Whether this unit answers at all, be it with a refusal of its own."""
        for table, addr in PROBES:
            reply = await self._port.read_block(table, self._unit, addr, 1)
            if isinstance(reply, Words) or reply.exception_code is not None:
                return isinstance(reply, Words) or reply.exception_code not in GATEWAY_CODES
            await self._wait()
        return False

    async def value(self, profile: Profile, register: Register) -> Value | None:
        """What a register holds; None where it is missing or says nothing."""
        station = profile.points.station_unit if register.on == "station" else None
        unit = self._unit if station is None else station
        words = await self._words(unit, register.table, register.address, register.words)
        return None if words is None else decode(register, words, profile.word_order)

    async def find_models(self) -> None:
        """Find the chain of SunSpec models and the nameplate in it, where there is one."""
        if self._silent >= SILENT_MAX:
            return
        chain = await find_chain(self._port, self._unit, BASES)
        if isinstance(chain, NotFound):
            return
        self.chain = chain
        nameplate = next((model for model in chain if model.id == COMMON_MODEL), None)
        if nameplate is not None:
            self.common = (await read_model(self._port, self._unit, nameplate)).values

    async def _words(self, unit: int, table: Table, addr: int, count: int) -> tuple[int, ...] | None:
        place = (unit, table, addr, count)
        if place not in self._known and self._silent < SILENT_MAX:
            reply = await self._port.read_block(table, unit, addr, count)
            answered = isinstance(reply, Words) or reply.exception_code is not None
            self._silent = 0 if answered else self._silent + 1
            self._known[place] = reply.words if isinstance(reply, Words) else None
            await self._wait()
        return self._known.get(place)

    async def _wait(self) -> None:
        """A device that hung up is called again when the back-off allows."""
        if not self._port.connected:
            self.hung_up = self.hung_up or self._port.hung_up
            await asyncio.sleep(max(0.0, self._port.retry_at_s - monotonic_s()))


@cache
def default_units() -> tuple[int, ...]:
    """The units that devices leave the factory with, the most usual first."""
    profiles = [profile for name in profile_ids() if (profile := find_profile(name)) is not None]
    told = [unit for profile in profiles for unit in dict.fromkeys(profile.points.units)]
    told += [profile.points.station_unit for profile in profiles if profile.points.station_unit is not None]
    return (*sorted(set(told), key=lambda unit: (-told.count(unit), unit)), *SUNSPEC_UNITS)


@cache
def default_line_units() -> tuple[int, ...]:
    """The units that devices on a serial line leave the factory with."""
    profiles = [profile for name in profile_ids() if (profile := find_profile(name)) is not None]
    lines = [profile for profile in profiles if profile.rtu is not None]
    told = [p.points.units[0] if p.rtu is None or p.rtu.unit_id is None else p.rtu.unit_id for p in lines]
    return tuple(sorted(set(told), key=lambda unit: (-told.count(unit), unit)))


async def candidates_of(seen: Seen) -> tuple[Candidate, ...]:
    """Profiles that fit, the best proven first; those that are merely plausible only where none is proven."""
    await seen.find_models()
    found = []
    for name in profile_ids():
        profile = find_profile(name)
        if profile is None:
            continue
        candidate = _by_models(seen, profile) if profile.sunspec is not None else await _by_registers(seen, profile)
        if candidate is not None:
            found.append(candidate)
    proven = [one for one in found if one.proof == "identity"]
    return tuple(sorted(proven or found, key=lambda one: (len(one.problems), -one.proofs, one.profile)))


async def shown_identity(seen: Seen, candidates: tuple[Candidate, ...]) -> dict[str, str]:
    """Serial number, model and firmware by the first candidate that has a serial number to show."""
    if seen.common:
        shown = {name: seen.common[point].value for name, point in COMMON_POINTS.items() if point in seen.common}
        return _told(shown)
    best: dict[str, str] = {}
    for candidate in candidates:
        profile = find_profile(candidate.profile)
        if profile is None:
            continue
        told = await _identity(seen, profile)
        if "serial" in told:
            return told
        best = best or told
    return best


async def _identity(seen: Seen, profile: Profile) -> dict[str, str]:
    found: dict[str, Value | None] = {}
    for role in IDENTITY_ROLES:
        expression = profile.roles.get(role)
        if expression is None:
            continue
        registers = [profile.register(name) for name in registers_of(expression)]
        values = {one.name: await seen.value(profile, one) for one in registers}
        found[role] = role_value(role, expression, values, {one.name: one.unit for one in registers})
    return _told(found)


def _told(shown: Mapping[str, Value | None]) -> dict[str, str]:
    """What a device really says of itself: a serial number that nobody gave is none."""
    texts = {name: serial_text(value) for name, value in shown.items()}
    return {name: text for name, text in texts.items() if text is not None}


def _by_models(seen: Seen, profile: Profile) -> Candidate | None:
    if not seen.chain or isinstance(resolve(profile, seen.chain), NotFound) or profile.sunspec is None:
        return None
    there = {model.id for model in seen.chain}
    shared = sum(not there.isdisjoint(part.ids) for part in profile.sunspec.models.values())
    return Candidate(profile.id, "identity", shared)


async def _by_registers(seen: Seen, profile: Profile) -> Candidate | None:
    """Every register that tells the make must fit; one that holds 0 is no proof, for so does much that is empty."""
    values: dict[str, Value | None] = {}
    proofs = {"identity": 0, "plausible": 0}
    for check in sorted(profile.fingerprint, key=lambda one: one.kind):
        value = values[check.register] = await seen.value(profile, profile.register(check.register))
        fits = passes(check, values)
        if check.kind == "identity" and not fits:
            return None
        proofs[check.kind] += bool(fits and value and value not in check.ignore)
    proof = "identity" if proofs["identity"] else "plausible"
    told = suspicions(profile, values) if proofs["identity"] else ()
    return Candidate(profile.id, proof, sum(proofs.values()), told) if proofs[proof] else None
