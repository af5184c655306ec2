"""Every register of every profile, over a real Modbus TCP socket, from the profile's own virtual device.

The device is filled with raw values by arithmetic of this file, and what comes back must be raw x scale: the same bytes
through the server, the planner of requests, the client and the codec. Whether the table itself is right is for the
vectors written by hand.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

import pytest

from interfaces.drivers.links import TcpLink
from interfaces.drivers.modbus import ModbusPort
from interfaces.drivers.modbus_server import ModbusServer
from interfaces.drivers.polling import plan_blocks, slice_of, with_factors
from interfaces.drivers.profile import Profile, Register
from interfaces.drivers.profile_check import touches
from interfaces.drivers.profile_load import profile_ids
from interfaces.drivers.registers import MAX_SF, Value, decode
from interfaces.drivers.replies import Words
from simulations.devices.registers import Identity, Served, station
from tests.interfaces.drivers.far_side import Now, profile_of

INTEGERS = {
    "uint16": (1, False), "int16": (1, True), "bitfield16": (1, False), "enum16": (1, False), "acc16": (1, False),
    "uint32": (2, False), "int32": (2, True), "bitfield32": (2, False), "enum32": (2, False), "acc32": (2, False),
    "uint64": (4, False), "int64": (4, True), "acc64": (4, False),
}  # fmt: skip
FLOAT32_OF_HALVES = {1: (0x3F80, 0), 2: (0x4000, 0), 3: (0x4040, 0), 4: (0x4080, 0), 5: (0x40A0, 0)}
FLOAT64_OF_HALVES = {1: (0x3FF0, 0, 0, 0), 2: (0x4000, 0, 0, 0), 3: (0x4008, 0, 0, 0), 4: (0x4010, 0, 0, 0),
                     5: (0x4014, 0, 0, 0)}  # fmt: skip


def raw_of(register: Register, number: int) -> tuple[tuple[int, ...], int] | None:
    """Words, most significant first, and the raw number they mean; neighbours differ, signed ones are negative too."""
    if register.type == "bit":
        return (number % 2,), number % 2
    if register.type in ("float32", "float64"):
        table = FLOAT32_OF_HALVES if register.type == "float32" else FLOAT64_OF_HALVES
        return table[1 + number % 5], 1 + number % 5
    if register.type not in INTEGERS or register.text != "ascii":
        return None
    words, signed = INTEGERS[register.type]
    raw = 1 + number % 997 + (70_000 if words > 1 else 0)
    if signed and number % 2:
        raw = -raw
    if raw in register.nan:
        raw += 2
    bits = raw & ((1 << 16 * words) - 1)
    return tuple(bits >> 16 * (words - 1 - n) & 0xFFFF for n in range(words)), raw


def fill(device: Served) -> Iterator[tuple[str, Fraction]]:
    """Put numbers into a device; names and the values they must come back as."""
    profile, taken = device.profile, set[tuple[int, str, int]]()
    factors = {register.sf for register in profile.registers}
    for number, register in enumerate(profile.registers):
        found = raw_of(register, number)
        bank = device.bank_of(register)
        cells = {(id(bank), register.table, register.address + n) for n in range(register.words)}
        if found is None or not may_be_read(profile, register) or register.name in factors or cells & taken:
            continue
        taken |= cells
        words, raw = found
        order = register.word_order or profile.word_order
        bank.put(register.table, register.address, words if order == "msw_first" else words[::-1])
        sf = device.factors.get(register.sf or "", 0)
        yield register.name, Fraction(raw) * Fraction(repr(register.scale)) * Fraction(10) ** sf


def may_be_read(profile: Profile, register: Register) -> bool:
    """Some registers are declared and lie where the device hangs up."""
    return register.readable and not touches(profile.limits.forbidden, register)


async def read_all(port: ModbusPort, profile: Profile, unit: int) -> Mapping[str, Value | None]:
    """Every readable register as the drivers read it."""
    known = {register.name: register for register in profile.registers}
    values: dict[str, Value | None] = {}
    readable = with_factors([register for register in profile.registers if may_be_read(profile, register)], known)
    for block in plan_blocks(readable, profile.limits):
        station_unit = profile.points.station_unit
        asked = station_unit if block.on == "station" and station_unit is not None else unit
        reply = await port.read_block(block.table, asked, block.addr, block.count)
        assert isinstance(reply, Words), (block, reply)
        values |= decoded(profile, block.registers, {r.name: slice_of(block, r, reply.words) for r in block.registers})
    return values


def decoded(
    profile: Profile, registers: Sequence[Register], words: Mapping[str, Sequence[int]]
) -> Iterator[tuple[str, Value | None]]:
    known = {register.name: register for register in registers}
    for register in registers:
        sf = None
        if register.sf is not None:
            factor = decode(known[register.sf], words[register.sf], profile.word_order)
            assert factor is None or (isinstance(factor, int) and abs(factor) <= MAX_SF)
            sf = factor if isinstance(factor, int) else None
        yield register.name, decode(register, words[register.name], profile.word_order, sf)


@pytest.mark.parametrize("name", profile_ids())
async def test_every_register_comes_back_as_it_stands_in_the_device(name):
    device = station(profile_of(name), Identity("a device", 22_000.0, 32.0))[0]
    expected = dict(fill(device))
    unit = device.profile.points.units[0]
    units = {unit: device.point}
    if device.profile.points.station_unit is not None:
        units[device.profile.points.station_unit] = device.station
    async with ModbusServer(units) as server:
        port = ModbusPort(TcpLink("127.0.0.1", server.port, 2.0), Now(), random.Random(1))
        values = await read_all(port, device.profile, unit)
        await port.aclose()
    assert set(values) == {r.name for r in device.profile.registers if may_be_read(device.profile, r)}
    for register, value in expected.items():
        assert values[register] == pytest.approx(float(value), rel=1e-9), register
    assert expected or not device.profile.registers


@pytest.mark.parametrize("name", profile_ids())
def test_not_available_never_becomes_a_number(name):
    for register in profile_of(name).registers:
        for raw in register.nan:
            words, _ = INTEGERS.get(register.type, (1, False))
            bits = raw & ((1 << 16 * words) - 1)
            shown = tuple(bits >> 16 * (words - 1 - n) & 0xFFFF for n in range(words))
            order = register.word_order or profile_of(name).word_order
            raw_words = shown if order == "msw_first" else shown[::-1]
            assert decode(register, raw_words, profile_of(name).word_order) is None, register.name
        if register.type in ("float32", "float64"):
            nan = (0xFFFF,) * register.words
            quiet = (0x7FC0, *[0] * (register.words - 1)) if register.type == "float32" else (0x7FF8, 0, 0, 0)
            order = register.word_order or profile_of(name).word_order
            assert decode(register, nan, order) is None
            assert decode(register, quiet if order == "msw_first" else quiet[::-1], order) is None, register.name
