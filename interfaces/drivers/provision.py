"""Seeing to a device's own failsafe: read it, set it where that is possible and needed, read it again.

Done after every connect, after a restart of the device, and once an hour. Registers are written only when they differ,
for some devices keep them in flash.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from interfaces.drivers.device import Device
from interfaces.drivers.failsafe import timeout_to_write_s
from interfaces.drivers.modbus import ModbusPort
from interfaces.drivers.profile import Register
from interfaces.drivers.registers import EncodeFailure, writable_words
from interfaces.drivers.replies import ReadFailure, WriteFailure

AGAIN_S: Final = 3600.0
RETRY_S: Final = 1.0


async def provision(port: ModbusPort, device: Device) -> ReadFailure | WriteFailure | None:
    """One round; the first request that got no answer at all, or None. The verdict is in the device's reading.

    A device that answers with an exception does not have the register or does not let it be written: that is an
    outcome (unverified or unsafe), not a reason to try again at once.
    """
    failsafe = device.profile.failsafe
    names = (failsafe.current_read, failsafe.timeout_read)
    failure = await read_now(port, device, names)
    if failure is not None or device.spec.failsafe is None or not device.spec.managed:
        return failure
    wish = device.spec.failsafe
    wanted = (
        (failsafe.current_write, failsafe.current_read, Fraction(str(wish.current_a))),
        (failsafe.timeout_write, failsafe.timeout_read, Fraction(timeout_to_write_s(device.profile, wish))),
    )
    wrote = False
    for name, read_name, value in wanted:
        if name is None or _holds(device, read_name, value):
            continue
        wrote = True
        written = await write_value(port, device, device.profile.register(name), value)
        if isinstance(written, WriteFailure) and written.exception_code is None:
            return written
    return await read_now(port, device, names) if wrote else None


async def read_now(port: ModbusPort, device: Device, names: tuple[str | None, ...]) -> ReadFailure | None:
    """Read these registers now; the failure when the device did not answer at all."""
    for block in device.blocks_of(names):
        reply = await port.read_block(block.table, device.unit_of(block), block.addr, block.count)
        if isinstance(reply, ReadFailure):
            if reply.exception_code is None:
                return reply
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
    allowed = register.fc_write
    function = next((code for code in (5, 6) if code in allowed), max(allowed)) if allowed else None
    if len(words) > 1:
        function = None
    outcome = await port.write(register.table, unit, register.address, words, function=function)
    return outcome if isinstance(outcome, WriteFailure) else None


def _holds(device: Device, read_name: str | None, value: Fraction) -> bool:
    read = device.values.get(read_name or "")
    return isinstance(read, float | int) and Fraction(str(read)) == value
