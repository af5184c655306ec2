"""The port against real sockets: golden frames from a hand-written peer, and every fault of a bad one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time

import pytest

from interfaces.drivers.links import Line, RtuOverTcpLink, SerialLink, TcpLink
from interfaces.drivers.modbus import RECONNECT_MAX_S, ModbusPort
from interfaces.drivers.modbus_server import Faults, ModbusServer, crc16
from interfaces.drivers.register_bank import RegisterBank
from interfaces.drivers.replies import Fault, Ok, ReadFailure, Words, WriteFailure

LINE = Line(baud=115200, max_response_s=0.05, turnaround_s=0.0)
TIMEOUT_S = 0.1


def bank():
    held = RegisterBank()
    held.put("holding", 100, [1, 2, 3, 4])
    held.put("input", 12, [0x3EFB, 0])
    held.put("coil", 0, [1, 0, 1, 1, 0, 0, 0, 0, 1])
    return held


@contextlib.asynccontextmanager
async def served(framing="mbap", **more):
    async with ModbusServer({1: bank()}, framing=framing, **more) as server:
        port = port_to(server)
        try:
            yield server, port
        finally:
            await port.aclose()


def port_to(server, clock=time.monotonic):
    tcp = TcpLink("127.0.0.1", server.port, TIMEOUT_S)
    link = tcp if server.framing == "mbap" else RtuOverTcpLink("127.0.0.1", server.port, LINE)
    return ModbusPort(link, clock, random.Random(7))


@contextlib.asynccontextmanager
async def golden_peer(*exchanges):
    """A peer that checks each request byte by byte (transaction id apart) and answers with prepared bytes."""
    seen = []
    gone = asyncio.Event()

    async def serve(reader, writer):
        for request, reply in exchanges:
            got = await reader.readexactly(len(request))
            seen.append(got[2:].hex(" ", 2))
            assert got[2:] == request[2:]
            writer.write(got[:2] + reply)
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()
        gone.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = ModbusPort(TcpLink("127.0.0.1", server.sockets[0].getsockname()[1]), time.monotonic, random.Random(7))
    try:
        yield port
    finally:
        await port.aclose()
        await gone.wait()
        server.close()
        await server.wait_closed()
    assert len(seen) == len(exchanges)


def frame(text):
    return bytes.fromhex(text)


async def test_golden_bytes_of_every_function():
    exchanges = [
        (frame("0000 0000 0006 01 04 000C 0002"), frame("0000 0007 01 04 04 3EFB 0000")),
        (frame("0000 0000 0006 C8 03 00AE 0004"), frame("0000 000B C8 03 08 0000 0000 055E 38C8")),
        (frame("0000 0000 0006 01 01 0000 0009"), frame("0000 0005 01 01 02 0D01")),
        (frame("0000 0000 0006 01 02 0010 0001"), frame("0000 0004 01 02 01 01")),
        (frame("0000 0000 000B 01 10 04BA 0002 04 4180 0000"), frame("0000 0006 01 10 04BA 0002")),
        (frame("0000 0000 0006 FF 06 03E8 0010"), frame("0000 0006 FF 06 03E8 0010")),
        (frame("0000 0000 0006 01 05 0003 FF00"), frame("0000 0006 01 05 0003 FF00")),
        (frame("0000 0000 0009 01 10 1770 0001 02 0001"), frame("0000 0006 01 10 1770 0001")),
    ]
    async with golden_peer(*exchanges) as port:
        assert (await port.read_block("input", 1, 12, 2)).words == (0x3EFB, 0)
        assert (await port.read_block("holding", 200, 174, 4)).words == (0, 0, 0x055E, 0x38C8)
        assert (await port.read_block("coil", 1, 0, 9)).words == (1, 0, 1, 1, 0, 0, 0, 0, 1)
        assert (await port.read_block("discrete", 1, 16, 1)).words == (1,)
        assert isinstance(await port.write("holding", 1, 1210, (0x4180, 0)), Ok)
        assert isinstance(await port.write("holding", 255, 1000, (16,)), Ok)
        assert isinstance(await port.write("coil", 1, 3, (1,)), Ok)
        assert isinstance(await port.write("holding", 1, 6000, (1,), function=16), Ok)


@pytest.mark.parametrize("framing", ["mbap", "rtu"])
async def test_reads_and_writes_reach_the_device(framing):
    async with served(framing) as (server, port):
        assert (await port.read_block("holding", 1, 100, 4)).words == (1, 2, 3, 4)
        assert isinstance(await port.write("holding", 1, 101, (9, 8)), Ok)
        assert server.units[1].get("holding", 100, 4) == (1, 9, 8, 4)
        assert (await port.read_block("coil", 1, 0, 9)).words == (1, 0, 1, 1, 0, 0, 0, 0, 1)


async def test_serial_line_over_a_pseudo_terminal():
    """The serial transport itself: the same frames over a tty."""
    master, slave = os.openpty()
    os.set_blocking(master, False)
    loop = asyncio.get_running_loop()

    def answer():
        request = os.read(master, 256)
        assert request == frame("11 03 006B 0003 7687")
        os.write(master, frame("11 03 06 AE41 5652 4340 49AD"))

    loop.add_reader(master, answer)
    port = ModbusPort(SerialLink(os.ttyname(slave), LINE), time.monotonic, random.Random(7))
    try:
        reply = await port.read_block("holding", 17, 0x6B, 3)
        assert isinstance(reply, Words)
        assert reply.words == (0xAE41, 0x5652, 0x4340)
    finally:
        await port.aclose()
        loop.remove_reader(master)
        os.close(master)
        os.close(slave)


async def test_a_missing_serial_device_is_a_value():
    port = ModbusPort(SerialLink("/dev/no-such-tty", LINE), time.monotonic, random.Random(7))
    outcome = await port.read_block("holding", 1, 0, 1)
    assert isinstance(outcome, ReadFailure)
    assert outcome.reason is Fault.REFUSED


async def test_the_time_of_a_sample_is_taken_on_the_wire():
    ticks = iter(range(1000))
    async with served() as (server, _):
        port = port_to(server, clock=lambda: float(next(ticks)))
        reply = await port.read_block("holding", 1, 100, 1)
        assert isinstance(reply, Words)
        assert reply.at_s < next(ticks) - 1  # before the bookkeeping that followed it
        await port.aclose()


async def test_row_25_connection_refused_backs_off():
    async with served() as (server, port):
        await server.stop()
        assert (await port.read_block("holding", 1, 100, 1)).reason is Fault.REFUSED
        # Within the back-off nothing is tried at all.
        assert (await port.read_block("holding", 1, 100, 1)).reason is Fault.DISCONNECTED
        await server.start()
        await asyncio.sleep(max(0.0, port.retry_at_s - time.monotonic()))
        assert (await port.read_block("holding", 1, 100, 1)).words == (1,)


async def test_the_back_off_doubles_to_its_bound_and_is_reproducible():
    def waits(seed):
        now = [0.0]
        port = ModbusPort(TcpLink("127.0.0.1", 9), lambda: now[0], random.Random(seed))
        found = []
        for _ in range(10):
            port._back_off()
            found.append(port.retry_at_s - now[0])
            now[0] = port.retry_at_s
        return found

    first = waits(1)
    assert first == waits(1)
    assert first != waits(2)
    assert 0.075 <= first[0] <= 0.1
    assert all(0.75 * RECONNECT_MAX_S <= wait_s <= RECONNECT_MAX_S for wait_s in first[6:])


async def test_row_26_charger_silent_costs_one_timeout_each_and_then_a_reconnect(figure):
    async with served() as (server, port):
        await port.read_block("holding", 1, 100, 1)
        server.faults.silent = True
        reasons = [(await port.read_block("holding", 1, 100, 1)).reason for _ in range(3)]
        assert reasons == [Fault.TIMEOUT] * 3
        assert not port.connected
        assert port.counters.timeouts == 3
        figure("time-outs until a new connection", port.counters.timeouts)
        server.faults.silent = False
        await asyncio.sleep(max(0.0, port.retry_at_s - time.monotonic()))
        assert (await port.read_block("holding", 1, 100, 1)).words == (1,)
        assert server.accepted == 2


@pytest.mark.parametrize("framing", ["mbap", "rtu"])
async def test_row_27_charger_drips_its_reply(framing):
    async with served(framing) as (server, port):
        server.faults = Faults(drip_s=0.04, only_next=1)
        assert (await port.read_block("holding", 1, 100, 4)).reason is Fault.TIMEOUT
        # Half a reply is in the buffer: frames can no longer be told apart, so the connection goes.
        assert (await port.read_block("holding", 1, 100, 1)).reason is Fault.DISCONNECTED
        await asyncio.sleep(max(0.0, port.retry_at_s - time.monotonic()))
        assert (await port.read_block("holding", 1, 100, 1)).words == (1,)


async def test_row_28_late_reply_is_discarded(figure):
    async with served() as (server, port):
        server.faults = Faults(delay_s=1.5 * TIMEOUT_S, only_next=1)
        assert (await port.read_block("holding", 1, 100, 1)).reason is Fault.TIMEOUT
        server.faults = Faults(delay_s=0.8 * TIMEOUT_S, only_next=1)
        assert (await port.read_block("holding", 1, 101, 1)).words == (2,)
        assert port.counters.late_replies == 1
        figure("late replies dropped", port.counters.late_replies)


async def test_row_28_late_reply_on_a_line_without_transaction_ids_is_waited_out():
    async with served("rtu") as (server, port):
        server.faults = Faults(delay_s=1.5 * port.link.timeout_s(1), only_next=1)
        assert (await port.read_block("holding", 1, 100, 1)).reason is Fault.TIMEOUT
        # Same function, same length: only waiting keeps the old answer from passing for the new one.
        assert (await port.read_block("holding", 1, 101, 1)).words == (2,)
        assert port.counters.late_replies == 1


@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        ({"wrong_function": True}, Fault.WRONG_FUNCTION),
        ({"stretch": 1}, Fault.WRONG_LENGTH),
        ({"stretch": -1}, Fault.WRONG_LENGTH),
        ({"wrong_unit": True}, Fault.WRONG_UNIT),
        ({"zero_tid": True}, Fault.NO_TRANSACTION),
        ({"garbage": b"\xff" * 20}, Fault.UNDECODABLE),
    ],
)
async def test_row_29_replies_the_library_would_accept(faults, reason, figure):
    async with served() as (server, port):
        server.faults = Faults(**faults, only_next=1)
        outcome = await port.read_block("holding", 1, 100, 2)
        assert isinstance(outcome, ReadFailure)
        assert outcome.reason is reason
        figure("refused as", str(reason.value))
        await asyncio.sleep(max(0.0, port.retry_at_s - time.monotonic()))
        assert (await port.read_block("holding", 1, 100, 2)).words == (1, 2)
        # Lost frame boundaries cost the connection; a reply that is merely wrong does not.
        assert server.accepted == (2 if reason is Fault.UNDECODABLE else 1)


async def test_row_29_a_checksum_error_on_a_line():
    async with served("rtu") as (server, port):
        frame_ = bytes.fromhex("01 03 02 0001")
        server.faults = Faults(garbage=frame_ + bytes(reversed(crc16(frame_))), only_next=1)
        assert (await port.read_block("holding", 1, 100, 1)).reason is Fault.CHECKSUM
        assert (await port.read_block("holding", 1, 100, 1)).words == (1,)


@pytest.mark.parametrize("code", [4, 6, 0x0B])
async def test_row_31_exceptions_are_failures_with_their_code_and_keep_the_connection(code):
    async with served() as (server, port):
        server.faults = Faults(exception=code)
        for _ in range(5):
            read = await port.read_block("holding", 1, 100, 1)
            assert (read.reason, read.exception_code) == (Fault.EXCEPTION, code)
        written = await port.write("holding", 1, 100, (5,))
        assert isinstance(written, WriteFailure)
        assert (written.reason, written.exception_code) == (Fault.EXCEPTION, code)
        assert port.connected
        assert server.accepted == 1


async def test_a_reply_sent_twice_is_taken_once():
    async with served() as (server, port):
        server.faults.repeat = True
        for word in (1, 2, 3):
            assert (await port.read_block("holding", 1, 99 + word, 1)).words == (word,)
        assert port.connected


async def test_a_peer_that_hangs_up_is_noticed_at_once_and_reconnected():
    async with served() as (server, port):
        await port.read_block("holding", 1, 100, 1)
        server.faults.silent = True
        asking = asyncio.create_task(port.read_block("holding", 1, 100, 1))
        await asyncio.sleep(0.01)
        server.hang_up()
        assert (await asking).reason is Fault.DISCONNECTED
        server.faults.silent = False
        await asyncio.sleep(max(0.0, port.retry_at_s - time.monotonic()))
        assert (await port.read_block("holding", 1, 100, 1)).words == (1,)


async def test_after_an_idle_close_the_next_request_reconnects_without_waiting():
    async with served() as (server, port):
        await port.read_block("holding", 1, 100, 1)
        server.hang_up()
        await asyncio.sleep(0.01)
        assert (await port.read_block("holding", 1, 100, 1)).words == (1,)


async def test_a_hang_up_that_comes_while_connecting_is_told_as_one_and_not_as_silence():
    async with served(max_connections=0) as (_, port):
        for _ in range(5):
            port.retry_at_s = float("-inf")
            outcome = await port.read_block("holding", 1, 100, 1)
            assert isinstance(outcome, ReadFailure)
            assert outcome.reason is Fault.DISCONNECTED
            assert not port.connected


@pytest.mark.parametrize("framing", ["mbap", "rtu"])
async def test_fuzzed_replies_never_raise_and_the_port_recovers(framing):
    rng = random.Random(3)
    async with served(framing) as (server, _):
        for _ in range(25):
            port = port_to(server)
            server.faults = Faults(garbage=rng.randbytes(rng.randrange(1, 40)), only_next=1)
            outcome = await port.read_block("holding", 1, 100, 2)
            assert isinstance(outcome, ReadFailure)
            await port.aclose()
        server.faults = Faults()
        port = port_to(server)
        assert (await port.read_block("holding", 1, 100, 2)).words == (1, 2)
        await port.aclose()


def test_timeouts_cover_the_slowest_honest_answer():
    assert TcpLink("h").timeout_s(125) == 0.5
    slow = Line(baud=9600, max_response_s=0.5)
    # 8 bytes out, 9 + 2 x 11 back, 11 bits each at 9600 baud, plus 0.5 s response and 0.1 s reserve.
    assert slow.timeout_s(11) == pytest.approx(0.5 + 39 * 11 / 9600 + 0.1)
