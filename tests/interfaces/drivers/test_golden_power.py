"""Meters, batteries, inverters and I/O modules against words worked out by hand, over a socket."""

from __future__ import annotations

import random

import pytest

from interfaces.drivers.links import TcpLink
from interfaces.drivers.modbus import ModbusPort
from interfaces.drivers.modbus_server import ModbusServer
from interfaces.drivers.registers import Value, decode
from interfaces.drivers.replies import Words
from tests.interfaces.drivers.far_side import Now, bench, device, profile_of, spec
from tests.interfaces.drivers.golden_power import GOLDEN, Golden


def banks(name: str):
    golden = GOLDEN[name]
    return device(name, {(golden.unit, *place): words for place, words in golden.cells.items()})


async def read(name: str, golden: Golden, registers: list[str]) -> dict[str, Value | None]:
    profile, found = profile_of(name), {}
    async with ModbusServer(banks(name)) as server:
        port = ModbusPort(TcpLink("127.0.0.1", server.port, 2.0), Now(), random.Random(1))
        for register in (profile.register(wanted) for wanted in registers):
            reply = await port.read_block(register.table, golden.unit, register.address, register.words)
            assert isinstance(reply, Words), reply
            found[register.name] = decode(register, reply.words, profile.word_order)
        await port.aclose()
    return found


@pytest.mark.parametrize("name", GOLDEN)
async def test_golden_words_become_registers(name):
    golden = GOLDEN[name]
    assert await read(name, golden, list(golden.registers)) == golden.registers


@pytest.mark.parametrize("name", [name for name in GOLDEN if GOLDEN[name].roles])
async def test_golden_words_become_roles(name):
    async with bench(banks(name), [spec(name)]) as found:
        await found.until_idle()
        reading = found.reading()
        roles = GOLDEN[name].roles
        assert {role: reading.roles[role].value for role in roles} == pytest.approx(roles)
        assert reading.problem == ""


@pytest.mark.parametrize("name", GOLDEN)
def test_every_vector_covers_what_matters_of_its_kind(name):
    profile, golden = profile_of(name), GOLDEN[name]
    wide = {r.type for r in profile.registers if r.words > 1 and r.type not in ("string", "raw")}
    tried = {profile.register(register).type for register in golden.registers}
    assert wide & {"int32", "float32", "uint32"} <= tried or profile.kind == "io"
    if profile.kind == "meter":
        assert {"current_l1_a", "power_w"} <= set(golden.roles)
    assert len(golden.registers) >= min(2, len(profile.registers))


@pytest.mark.parametrize("name", [name for name in GOLDEN if not GOLDEN[name].roles])
async def test_modules_are_polled_like_any_device(name):
    async with bench(banks(name), [spec(name)]) as found:
        await found.until_idle()
        reading, (member,) = found.reading(), found.connection._members
        assert reading.connected
        assert reading.problem == ""
        polled = {register for poll in profile_of(name).polls for register in poll.registers}
        expected = {register: value for register, value in GOLDEN[name].registers.items() if register in polled}
        assert len(expected) >= 2
        assert {register: member.device.values[register] for register in expected} == expected
