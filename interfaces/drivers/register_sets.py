"""Which of its maps a device answers with, for makes whose map is a setting on the device (Webasto Live).

A map is proven when every register of its profile's fingerprint answers and shows what it must. The maps are tried in
the profile's order and the first that is proven counts: some devices hang up when they are asked for what they lack.
"""

from __future__ import annotations

from dataclasses import dataclass

from interfaces.drivers.fingerprint import passes
from interfaces.drivers.modbus import ModbusPort
from interfaces.drivers.profile import Profile
from interfaces.drivers.profile_identity import RegisterSet
from interfaces.drivers.profile_load import find_profile
from interfaces.drivers.registers import Value, decode
from interfaces.drivers.replies import ReadFailure


@dataclass(frozen=True, slots=True)
class Proven:
    """The map that answers. ``advice`` is empty when it is the one the profile describes."""

    register_set: RegisterSet
    advice: str = ""


@dataclass(frozen=True, slots=True)
class NotProven:
    """No known map answers as it must; ``advice`` names the setting to change."""

    advice: str


async def find_register_set(port: ModbusPort, profile: Profile, unit: int) -> Proven | NotProven:
    """Try the maps a device of this profile may be set to: a few reads each, nothing is written."""
    wanted = next((one.setting for one in profile.register_sets if one.profile == profile.id), "")
    settings = " ".join(dict.fromkeys(check.says for check in profile.fingerprint if check.kind == "identity"))
    for candidate in profile.register_sets:
        shape = find_profile(candidate.profile)
        if shape is None or not await _answers(port, shape, unit):
            continue
        if candidate.profile == profile.id:
            return Proven(candidate)
        told = f'It answers with register set "{candidate.setting}" instead of "{wanted}".'
        return Proven(candidate, f"{told} {settings} Or choose profile {candidate.profile}.")
    names = ", ".join(one.setting for one in profile.register_sets)
    return NotProven(f"None of its register sets ({names}) answers at unit {unit}. {settings}")


async def _answers(port: ModbusPort, shape: Profile, unit: int) -> bool:
    """Whether all registers of a fingerprint are there and show what they must."""
    for check in shape.fingerprint:
        register = shape.register(check.register)
        reply = await port.read_block(register.table, unit, register.address, register.words)
        if isinstance(reply, ReadFailure):
            return False
        value: Value | None = decode(register, reply.words, shape.word_order)
        if value is None or not passes(check, {check.register: value}):
            return False
    return bool(shape.fingerprint)
