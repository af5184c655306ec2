"""The far side of the tests must itself keep to the standard: hand-written requests, hand-written replies."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interfaces.drivers.modbus_server import ModbusServer
from interfaces.drivers.profile_bank import at_point, banks_of
from interfaces.drivers.register_bank import RegisterBank, answer
from tests.interfaces.drivers.far_side import profile_of


def bank(**more):
    held = RegisterBank(**more)
    held.put("holding", 0x6B, (0xAE41, 0x5652, 0x4340))
    held.put("coil", 20, (1, 0, 1, 1, 0, 0, 1, 1, 1, 1, 0))
    held.put("discrete", 0, (1,))
    held.put("input", 8, (10,))
    return held


@pytest.mark.parametrize(
    ("request_pdu", "reply"),
    [
        ("03 006B 0003", "03 06 AE41 5652 4340"),
        ("04 0008 0001", "04 02 000A"),
        ("01 0014 000B", "01 02 CD03"),
        ("02 0000 0001", "02 01 01"),
        ("06 006C 0001", "06 006C 0001"),
        ("10 006B 0002 04 0001 0002", "10 006B 0002"),
        ("05 0014 0000", "05 0014 0000"),
        ("05 0014 FF00", "05 0014 FF00"),
        ("0F 0014 0009 02 CD01", "0F 0014 0009"),
        ("03 006A 0003", "83 02"),
        ("03 006B 0000", "83 03"),
        ("03 006B 007E", "83 03"),
        ("04 006B 0001", "84 02"),
        ("05 0014 1234", "85 03"),
        ("06 1000 0001", "86 02"),
        ("10 006B 0002 02 0001", "90 03"),
        ("10 006B", "90 03"),
        ("2B 0E 01", "AB 01"),
    ],
)
def test_requests_of_the_standard(request_pdu, reply):
    assert answer(bank(), bytes.fromhex(request_pdu)) == bytes.fromhex(reply)


def test_limits_rights_and_refusals_of_a_device():
    narrow = bank(max_read_words=2, writable=frozenset({0x6B}))
    assert answer(narrow, bytes.fromhex("03 006B 0003")) == bytes.fromhex("83 03")
    assert answer(narrow, bytes.fromhex("06 006C 0001")) == bytes.fromhex("86 02")
    assert answer(narrow, bytes.fromhex("06 006B 0001")) == bytes.fromhex("06 006B 0001")
    refusing = bank(on_write=lambda table, addr, words: 3)
    assert answer(refusing, bytes.fromhex("06 006B 0001")) == bytes.fromhex("86 03")
    assert refusing.get("holding", 0x6B, 1) == (0xAE41,)
    deaf = bank(accept_writes=False)
    assert answer(deaf, bytes.fromhex("06 006B 0001")) == bytes.fromhex("06 006B 0001")
    assert deaf.get("holding", 0x6B, 1) == (0xAE41,)


@given(pdu=st.binary(min_size=1, max_size=260))
def test_any_request_is_answered_and_none_is_believed_blindly(pdu):
    reply = answer(bank(), pdu)
    assert reply[0] & 0x7F == pdu[0] & 0x7F
    assert len(reply) <= 253


async def exchange(server, *frames):
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    for frame in frames:
        writer.write(bytes.fromhex(frame))
    await asyncio.sleep(0.02)
    writer.write_eof()
    data = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    await writer.wait_closed()
    return data


async def test_frames_may_come_in_pieces_and_in_a_row():
    async with ModbusServer({17: bank()}) as server:
        data = await exchange(server, "0007 0000", "0006 11 03 006B 0001 0008 0000 0006 11 04 0008 0001")
        assert data == bytes.fromhex("0007 0000 0005 11 03 02 AE41 0008 0000 0005 11 04 02 000A")


async def test_an_unknown_unit_is_silent_on_a_bus_and_refused_by_a_gateway():
    async with ModbusServer({17: bank()}) as server:
        assert await exchange(server, "0007 0000 0006 12 03 006B 0001") == bytes.fromhex("0007 0000 0003 12 83 0B")
    async with ModbusServer({17: bank()}, framing="rtu") as server:
        assert await exchange(server, "12 03 006B 0003 76B4") == b""
        # Noise before a frame is skipped.
        assert await exchange(server, "FF 00 11 03 006B 0003 7687") == bytes.fromhex("11 03 06 AE41 5652 4340 49AD")
    async with ModbusServer({}, any_unit=bank()) as server:
        assert await exchange(server, "0007 0000 0006 63 04 0008 0001") == bytes.fromhex("0007 0000 0005 63 04 02 000A")


async def test_more_clients_than_allowed_are_cut_off():
    async with ModbusServer({1: bank()}, max_connections=1) as server:
        _, first = await asyncio.open_connection("127.0.0.1", server.port)
        await asyncio.sleep(0.01)
        reader, second = await asyncio.open_connection("127.0.0.1", server.port)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        assert len(server.connections) == 1
        for writer in (first, second):
            writer.close()


async def test_a_closed_port_refuses_and_opens_again_on_the_same_port():
    server = ModbusServer({1: bank()})
    await server.start()
    port = server.port
    await server.stop()
    with pytest.raises(ConnectionError):
        await asyncio.open_connection("127.0.0.1", port)
    await server.start()
    assert server.port == port
    await server.stop()


def test_the_bank_of_a_profile_shows_every_register_as_not_available():
    profile, banks = banks_of(profile_of("alfen_eve_ng9xx"), points=2)
    assert set(banks) == {1, 2, 200}
    assert banks[1].get("holding", 320, 2) == (0xFFFF, 0xFFFF)
    assert set(banks[1].writable or ()) == {1210, 1211, 1215, *range(1417, 1423)}
    banks[1].put_value(profile.register("current_l1"), 16.0, "msw_first")
    assert banks[1].get("holding", 320, 2) == (0x4180, 0)
    banks[1].put_value(profile.register("current_l1"), None, "msw_first")
    assert banks[1].get("holding", 320, 2) == (0xFFFF, 0xFFFF)
    with pytest.raises(ValueError, match="does not fit"):
        banks[1].put_value(profile.register("phases"), 70_000, "msw_first")
    assert at_point(profile, 1) is profile


def test_the_bank_of_a_sunspec_profile_is_a_chain():
    _, banks = banks_of(profile_of("sunspec_battery"))
    assert banks[1].get("holding", 40000, 4) == (0x5375, 0x6E53, 1, 66)
    assert banks[1].get("holding", 40070, 2) == (802, 62)
    assert banks[1].get("holding", 40134, 2) == (124, 24)
    assert banks[1].get("holding", 40160, 2) == (0xFFFF, 0)
