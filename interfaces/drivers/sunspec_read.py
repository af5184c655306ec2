"""Reading and writing whatever SunSpec models a device has: named values with units.

A value and its scale factor belong together and a device may change the factor at any time: both come in one request,
or, of a model longer than a request, the factors are read again after the values and must be the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

from interfaces.drivers.modbus import ModbusPort
from interfaces.drivers.polling import Block, plan_blocks, slice_of
from interfaces.drivers.profile import Limits, Register
from interfaces.drivers.registers import MAX_SF, EncodeFailure, Value, decode, writable_words
from interfaces.drivers.replies import Ok, ReadFailure, WriteFailure
from interfaces.drivers.sunspec import HEADER_WORDS, FoundModel, NotFound, discover
from interfaces.drivers.sunspec_models import models, registers_of

BASES: Final = (40000, 50000, 0)
"""Where "SunS" may stand (SunSpec Device Information Model Specification 1.1)."""
ORDER: Final = "msw_first"
WRITE_MULTIPLE: Final = 16
ATTEMPTS: Final = 3
"""Readings of a long model until its scale factors stand still."""

_WHOLE_MODEL: Final = Limits(gap_words=125)
"""Every word of a model may be read."""

Words = Mapping[str, Sequence[int]]
"""Raw words by name of the point."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A value in its unit; None where the device does not implement the point."""

    value: Value | None
    unit: str


@dataclass(frozen=True, slots=True)
class ModelReading:
    """One model of a device: where it is, its name, its values by name, and why it has none (empty: it has)."""

    found: FoundModel
    name: str
    values: Mapping[str, Measured]
    problem: str = ""


async def read_device(port: ModbusPort, unit: int, bases: Sequence[int] = BASES) -> tuple[ModelReading, ...] | NotFound:
    """All models of a device in the order of its chain; those that cannot be read say why."""
    chain = await discover(port, unit, bases)
    if isinstance(chain, NotFound):
        return chain
    return tuple([await read_model(port, unit, found) for found in chain])


async def read_model(port: ModbusPort, unit: int, found: FoundModel) -> ModelReading:
    """One model with all its repetitions."""
    model = models().get(found.id)
    name = "" if model is None else model.name
    registers = await _layout(port, unit, found)
    if isinstance(registers, NotFound):
        return ModelReading(found, name, {}, registers.reason)
    words = await _read(port, unit, registers)
    if isinstance(words, NotFound):
        return ModelReading(found, name, {}, words.reason)
    return ModelReading(found, name, decoded(registers, words))


def decoded(registers: Sequence[Register], words: Words) -> dict[str, Measured]:
    """The values of one model from its raw words. A scale factor the device does not implement counts as 0."""
    known = {register.name: register for register in registers}
    factors = {name: _plain(known[name], words) for name in {r.sf for r in registers if r.sf is not None}}
    found = {}
    for register in registers:
        factor = factors.get(register.sf) if register.sf is not None else None
        usable = not isinstance(factor, int) or abs(factor) <= MAX_SF
        value = decode(register, words[register.name], ORDER, factor if isinstance(factor, int) else None)
        found[register.name] = Measured(value if usable else None, register.unit)
    return found


async def write_point(
    port: ModbusPort, unit: int, found: FoundModel, name: str, value: Fraction | float
) -> Ok | WriteFailure | NotFound:
    """Write one point in its unit, with the scale factor the device has now; rounded towards 0."""
    registers = await _layout(port, unit, found)
    if isinstance(registers, NotFound):
        return registers
    register = next((one for one in registers if one.name == name), None)
    if register is None:
        return NotFound(f"SunSpec model {found.id} has no point {name}")
    factor = None
    if register.sf is not None:
        words = await _read(port, unit, [one for one in registers if one.name == register.sf])
        if isinstance(words, NotFound):
            return words
        factor = _plain(next(one for one in registers if one.name == register.sf), words)
    raw = writable_words(register, value, ORDER, factor if isinstance(factor, int) else None)
    if isinstance(raw, EncodeFailure):
        return NotFound(raw.reason)
    return await port.write("holding", unit, register.address, raw, function=WRITE_MULTIPLE)


async def _layout(port: ModbusPort, unit: int, found: FoundModel) -> tuple[Register, ...] | NotFound:
    """The registers of a model, which may first have to be asked how often its groups repeat."""
    model = models().get(found.id)
    counts: dict[str, int] = {}
    for name in () if model is None else model.counts:
        point = next(point for point in model.points if point.name == name) if model is not None else None
        if point is None or point.end > found.length + HEADER_WORDS:
            continue
        reply = await port.read_block("holding", unit, found.addr + point.offset, 1)
        if isinstance(reply, ReadFailure):
            return NotFound(f"{name}: {reply.reason}")
        counts[name] = reply.words[0]
    return registers_of(found, counts)


async def _read(port: ModbusPort, unit: int, registers: Sequence[Register]) -> Words | NotFound:
    factors = [register for register in registers if register.type == "sunssf"]
    for _ in range(ATTEMPTS):
        words = await _once(port, unit, registers)
        if isinstance(words, NotFound) or len(_blocks(registers)) == 1:
            return words
        again = await _once(port, unit, factors)
        if isinstance(again, NotFound):
            return again
        if all(tuple(words[name]) == tuple(raw) for name, raw in again.items()):
            return words
    return NotFound("the scale factors changed with every reading")


async def _once(port: ModbusPort, unit: int, registers: Sequence[Register]) -> Words | NotFound:
    words: dict[str, Sequence[int]] = {}
    for block in _blocks(registers):
        reply = await port.read_block(block.table, unit, block.addr, block.count)
        if isinstance(reply, ReadFailure):
            return NotFound(f"{reply.reason}: {reply.detail}" if reply.detail else str(reply.reason))
        words |= {register.name: slice_of(block, register, reply.words) for register in block.registers}
    return words


def _blocks(registers: Sequence[Register]) -> tuple[Block, ...]:
    return plan_blocks([replace(register, sf=None) for register in registers], _WHOLE_MODEL)


def _plain(register: Register, words: Words) -> Value | None:
    return decode(register, words[register.name], ORDER)
