"""Seeing to a device after connecting: is it the make we take it for, is it prepared, is its own failsafe set?

Done after every connect, after a restart of the device, and once an hour. Registers are written only when they differ,
for some devices keep them in flash.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Final

from interfaces.drivers.device import Device
from interfaces.drivers.failsafe import in_register_unit, timeout_to_write_s
from interfaces.drivers.fingerprint import is_foreign, suspicions
from interfaces.drivers.modbus import ModbusPort
from interfaces.drivers.profile import Register
from interfaces.drivers.readings import FailsafeStatus, PointReading
from interfaces.drivers.register_sets import find_register_set
from interfaces.drivers.registers import EncodeFailure, exact, writable_words
from interfaces.drivers.replies import ReadFailure, WriteFailure, no_answer_of
from interfaces.drivers.setpoints import readback_names

AGAIN_S: Final = 3600.0
RETRY_S: Final = 1.0
FOREIGN_RETRY_S: Final = 60.0
"""A device that is not the make we take it for may be replaced or set right."""
SUSPECT_RETRY_S: Final = 10.0
"""One whose values cannot be true may only have been starting; what it measures is not used until they can be."""
DOES_NOT_EXIST: Final = frozenset({1, 2})
"""Exceptions "illegal function" and "illegal data address" (Modbus application protocol 1.1b3, section 7)."""
WRITE_FUNCTIONS: Final[Mapping[str, tuple[int, ...]]] = {"coil": (5, 15), "holding": (6, 16)}


async def provision(port: ModbusPort, device: Device) -> ReadFailure | WriteFailure | None:
    """One round; the first request that got no answer at all, or None. The verdict is in the device's reading.

    A device that answers with an exception does not have the register or does not let it be written: that is an
    outcome (unverified or unsafe), not a reason to try again at once.
    """
    profile, failsafe, wish = device.profile, device.profile.failsafe, device.spec.failsafe
    active = tuple(test.register for test in failsafe.active_when)
    names = (failsafe.current_read, failsafe.timeout_read, *active)
    held = readback_names(profile) if device.spec.managed else ()
    for group in ((check.register,) for check in profile.fingerprint):
        failure = await read_now(port, device, group)
        if failure is not None:
            return failure
    suspect = suspicions(profile, device.values)
    if profile.register_sets and is_foreign(profile, device.values):
        suspect = (*suspect, (await find_register_set(port, profile, device.spec.unit)).advice)
    foreign = is_foreign(profile, device.values)
    device.reading = replace(device.reading, suspect=suspect, foreign=foreign)
    before = device.reading.failsafe
    device.reading = replace(device.reading, failsafe=FailsafeStatus())  # what cannot be read any more proves nothing
    # What it was told before we came is read too: whoever sets it back to that later can be recognised.
    failure = await read_now(port, device, (*names, *held))
    if failure is not None:
        device.reading = replace(device.reading, failsafe=before)
    if failure is not None or not device.spec.managed or foreign:
        return failure  # nothing is prepared in what may be another make's registers
    wanted = [(write.register, write.register, exact(write.constant or 0.0)) for write in profile.on_connect]
    if wish is not None:
        current, timeout_s = exact(wish.current_a) * exact(failsafe.current_factor), timeout_to_write_s(profile, wish)
        wanted += [(name, failsafe.current_read or "", current) for name in (failsafe.current_write,) if name]
        for name in (failsafe.timeout_write,) if failsafe.timeout_write else ():
            value = in_register_unit(profile.register(name), Fraction(timeout_s))
            wanted.append((name, failsafe.timeout_read or "", value))
        wanted += [
            (test.register, test.register, exact(test.one_of[0]))
            for test in failsafe.active_when
            if test.one_of and isinstance(test.one_of[0], int) and profile.register(test.register).writable
        ]
    return await _write_what_differs(port, device, wanted, names)


def again_s(reading: PointReading) -> float:
    """When to see to a device again: soon, where it is not what was expected."""
    if reading.foreign:
        return FOREIGN_RETRY_S
    return SUSPECT_RETRY_S if reading.suspect else AGAIN_S


async def _write_what_differs(
    port: ModbusPort, device: Device, wanted: Sequence[tuple[str, str, Fraction]], names: tuple[str | None, ...]
) -> ReadFailure | WriteFailure | None:
    """Write (register, where it is read, value) unless the device holds it; then read ``names`` again."""
    readable = tuple(name for name, _, _ in wanted if device.profile.register(name).readable and name not in names)
    failure: ReadFailure | WriteFailure | None = await read_now(port, device, readable)
    if failure is not None:
        return failure
    wrote = False
    for name, read_name, value in wanted:
        if _holds(device, read_name, value):
            continue
        wrote = True
        failure = await write_value(port, device, device.profile.register(name), value)
        if failure is not None and no_answer_of(failure):
            return failure
    return await read_now(port, device, names) if wrote else None


async def read_now(port: ModbusPort, device: Device, names: tuple[str | None, ...]) -> ReadFailure | None:
    """Read these registers now; the failure when the device did not answer at all."""
    for block in device.blocks_of(names):
        reply = await port.read_block(block.table, device.unit_of(block), block.addr, block.count)
        if isinstance(reply, ReadFailure):
            if no_answer_of(reply):
                return reply
            if reply.exception_code in DOES_NOT_EXIST and len(block.registers) == 1:
                device.values[block.registers[0].name] = None
            continue
        device.accept(block, reply.words, reply.at_s)
    return None


async def write_value(port: ModbusPort, device: Device, register: Register, value: Fraction) -> WriteFailure | None:
    """Write one value, rounded towards 0; nothing is sent when it does not fit."""
    words = writable_words(register, value, device.profile.word_order)
    if isinstance(words, EncodeFailure):
        return None
    return await write_words(port, device, register, words)


async def write_words(
    port: ModbusPort, device: Device, register: Register, words: tuple[int, ...]
) -> WriteFailure | None:
    """Write prepared words with the function the device takes; None when it acknowledged."""
    station = device.spec.station_unit
    unit = station if register.on == "station" and station is not None else device.spec.unit
    known = device.profile.limits.functions
    allowed: tuple[int, ...] = register.fc_write
    if not allowed:
        allowed = tuple(code for code in known if code in WRITE_FUNCTIONS.get(register.table, ()))
    function = next((code for code in (5, 6) if code in allowed), max(allowed)) if allowed else None
    if len(words) > 1:
        function = None
    outcome = await port.write(register.table, unit, register.address, words, function=function)
    return outcome if isinstance(outcome, WriteFailure) else None


def _holds(device: Device, read_name: str | None, value: Fraction) -> bool:
    read = device.values.get(read_name or "")
    return isinstance(read, float | int) and Fraction(str(read)) == value
