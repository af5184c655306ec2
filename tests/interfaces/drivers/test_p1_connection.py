"""The task behind a P1 port: what becomes of the readings, over TCP and over a serial device."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import random
import tty
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from controller.service.health_points import point_notes, point_problems
from controller.service.status import points_of
from interfaces.drivers import p1_connection
from interfaces.drivers.clock import monotonic_s
from interfaces.drivers.device import PointSpec
from interfaces.drivers.links import P1Link, P1SerialLink, P1TcpLink
from interfaces.drivers.modbus import RECONNECT_MAX_S
from interfaces.drivers.p1_connection import P1Connection
from interfaces.drivers.p1_currents import NO_VOLTAGE
from interfaces.drivers.p1_once import look
from interfaces.drivers.p1_reading import P1_PROFILES
from interfaces.drivers.p1_telegram import Reason
from interfaces.drivers.readings import GOOD, PointReading, Readings
from interfaces.drivers.replies import Fault
from interfaces.drivers.shown import Shown
from interfaces.drivers.wiring import Wire
from tests.interfaces.drivers.p1_texts import BELGIAN, DUTCH, DUTCH_TEXT, with_checksum

PATIENCE_S = 120.0
NOWHERE = P1TcpLink("127.0.0.1", 9)


class Meter:
    """The connection and its entry; ``now`` is the clock where one is wanted."""

    def __init__(
        self, link: P1Link = NOWHERE, profile: str = "dsmr_p1", period_s: float | None = None, *, real: bool = False
    ) -> None:
        self.now = 100.0
        self.readings = Readings()
        point = PointSpec("grid", P1_PROFILES[profile], 0, managed=False, period_s=period_s)
        clock = monotonic_s if real else (lambda: self.now)
        self.connection = P1Connection(link, point, readings=self.readings, clock=clock, jitter=random.Random(1))

    @property
    def reading(self) -> PointReading:
        return self.readings.points["grid"]

    def take(self, data: bytes, at_s: float) -> PointReading:
        self.connection.take(data, at_s)
        return self.reading


def telegram(second: int) -> bytes:
    return with_checksum(DUTCH_TEXT.replace("(240621123456S)", f"(2406211234{second:02d}S)"))


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not reached():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@asynccontextmanager
async def running(meter: Meter) -> AsyncIterator[None]:
    task = asyncio.create_task(meter.connection.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await meter.connection.aclose()


@asynccontextmanager
async def bridge(
    say: Callable[[asyncio.StreamWriter], Awaitable[None]], heard: list[bytes]
) -> AsyncIterator[P1TcpLink]:
    """A network bridge that does ``say`` with every client and notes what it is sent."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(OSError):
            await say(writer)
            heard.append(await reader.read(100))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield P1TcpLink("127.0.0.1", server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0.01)


def test_a_telegram_becomes_an_entry_with_the_time_of_its_first_byte():
    meter = Meter()
    assert meter.reading.sample_no == 0
    meter.take(DUTCH[:100], 100.0)
    reading = meter.take(DUTCH[100:], 100.07)
    assert (reading.sample_s, reading.reply_s, reading.sample_no, reading.connected) == (100.0, 100.0, 1, True)
    assert (reading.value("current_l1_a"), reading.roles["current_l1_a"].quality) == (-14.739, GOOD)
    assert (reading.problem, reading.notes) == ("", ())
    reading = meter.take(BELGIAN, 101.0)
    assert (reading.value("demand_month_peak_w"), reading.sample_no) == (5980.0, 2)
    assert reading.roles["current_l1_a"].count == 2


def test_a_spoiled_telegram_leaves_the_last_values_to_age():
    meter = Meter()
    meter.take(telegram(1), 100.0)
    reading = meter.take(telegram(2).replace(b"03.390", b"00.390"), 101.0)
    assert reading.problem == Reason.CHECKSUM
    assert (reading.sample_s, reading.sample_no) == (100.0, 1)
    assert reading.roles["current_l1_a"].quality == Reason.CHECKSUM
    assert reading.value("current_l1_a") == -14.739
    reading = meter.take(telegram(3), 102.0)
    assert (reading.problem, reading.roles["current_l1_a"].quality, reading.sample_s) == ("", GOOD, 102.0)
    assert meter.connection.counters.faults[Reason.CHECKSUM] == 1


def test_a_telegram_that_is_repeated_is_no_new_sample():
    meter = Meter()
    meter.take(telegram(1), 100.0)
    reading = meter.take(telegram(1), 101.0)
    assert (reading.sample_s, reading.problem) == (100.0, Reason.REPEATED)
    assert meter.take(telegram(2), 102.0).sample_s == 102.0
    silent_clock = with_checksum(DUTCH_TEXT.replace("0-0:1.0.0(240621123456S)\n", ""))
    meter.take(silent_clock, 103.0)
    assert meter.take(silent_clock, 104.0).sample_s == 104.0  # without a clock it may say the same twice


def test_values_that_stop_coming_are_missing():
    meter = Meter()
    meter.take(BELGIAN, 100.0)
    reading = meter.take(DUTCH, 101.0)
    assert reading.value("demand_quarter_w") is None
    assert reading.value("current_l1_a") == -14.739


def test_a_meter_that_is_slower_than_the_site_file_says_is_named():
    meter = Meter()
    for k in range(4):
        reading = meter.take(telegram(10 * k), 100.0 + 10 * k)
    assert "telegrams come every 10 s, the site file says 1 s" in reading.problem
    for profile, period_s in (("dsmr4_p1", None), ("dsmr_p1", 10.0)):
        meter = Meter(profile=profile, period_s=period_s)
        for k in range(4):
            reading = meter.take(telegram(10 * k), 100.0 + 10 * k)
        assert reading.problem == ""
    meter = Meter()
    for at_s in (0, 1, 2, 5, 6, 7):  # a lost telegram or two are no other meter
        reading = meter.take(telegram(at_s), 100.0 + at_s)
    assert reading.problem == ""


def test_a_meter_without_phases_says_why_it_gives_no_current():
    text = "/X\n\n1-0:1.7.0(01.000*kW)\n1-0:2.7.0(00.000*kW)\n1-0:52.7.0(230.0*V)\n!"
    reading = Meter().take(with_checksum(text), 100.0)
    assert "cannot protect three phases" in reading.problem
    assert (reading.value("power_w"), reading.value("current_l1_a")) == (1000.0, None)


def told(meter: Meter) -> tuple[str, str]:
    """Problems and notes of the health page."""
    wire = Wire(NOWHERE, (PointSpec("grid", P1_PROFILES["dsmr_p1"], 0, managed=False),))
    points = list(points_of([(wire, meter.connection)], meter.readings, meter.now, phases=3))
    return " | ".join(point_problems(points, ()).values()), " | ".join(point_notes(points).values())


def test_how_currents_were_come_by_is_a_note_for_people():
    meter = Meter()
    meter.take(telegram(1), 100.0)
    assert told(meter) == ("", "")
    lines = [line for line in DUTCH_TEXT.splitlines() if ".7.0(" not in line or "*V)" not in line]
    meter.take(with_checksum("\n".join(lines).replace("123456S", "123457S")), 101.0)
    problems, notes = told(meter)
    assert problems == ""
    assert notes == f"grid: {meter.reading.notes[0]}"
    assert NO_VOLTAGE in notes


def test_a_meter_that_is_too_slow_for_its_profile_is_a_problem_for_people():
    meter = Meter()
    for n in range(6):
        meter.now = 100.0 + 10 * n
        meter.take(telegram(n), meter.now)
    assert "grid at 127.0.0.1:9: telegrams come every 10 s, the site file says 1 s" in told(meter)[0]


async def test_a_stream_is_read_and_never_written_to():
    heard: list[bytes] = []

    async def say(writer: asyncio.StreamWriter) -> None:
        for second in range(5):
            writer.write(telegram(second))
            await asyncio.sleep(0.01)

    async with bridge(say, heard) as link:
        meter = Meter(link, real=True)
        before_s = monotonic_s()
        async with running(meter):
            await until(lambda: meter.reading.sample_no == 5)
            assert before_s <= meter.reading.sample_s <= monotonic_s()
            assert meter.connection.connected
        await until(lambda: len(heard) == 1)
    assert heard == [b""]
    counters = meter.connection.counters
    assert (counters.requests, counters.good, counters.connects) == (5, 5, 1)


async def test_a_bridge_that_hangs_up_is_found_again():
    rounds = iter(range(60))

    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(telegram(next(rounds)))
        await writer.drain()
        writer.close()

    async with bridge(say, []) as link:
        meter = Meter(link, real=True)
        async with running(meter):
            await until(lambda: meter.reading.sample_no >= 3)
            await until(lambda: not meter.reading.connected)
    assert meter.reading.problem == Fault.DISCONNECTED
    assert meter.reading.roles["current_l1_a"].quality == Fault.DISCONNECTED
    assert meter.connection.counters.connects >= 3


@pytest.mark.parametrize(("noise", "told"), [(b"", "no telegram for"), (b"\x9c\x1f\xf0" * 9, "line not inverted")])
async def test_a_stream_without_telegrams_is_given_up(monkeypatch, noise, told):
    monkeypatch.setattr(p1_connection, "SILENT_MIN_S", 0.05)

    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(noise)

    async with bridge(say, []) as link:
        meter = Meter(link, period_s=0.01, real=True)
        async with running(meter):
            await until(lambda: meter.connection.counters.connects >= 2)
    assert told in meter.reading.problem
    assert meter.connection.counters.timeouts >= 1


async def test_nobody_there_is_asked_ever_more_rarely():
    async with bridge(lambda _: asyncio.sleep(0), []) as link:
        pass
    meter = Meter(link, real=True)
    async with running(meter):
        await until(lambda: meter.connection.counters.faults[Fault.REFUSED] >= 2)
    assert meter.reading.problem == Fault.REFUSED
    assert not meter.reading.connected
    for _ in range(20):
        assert meter.connection._pause_s() <= RECONNECT_MAX_S
    assert meter.connection.retry_s == RECONNECT_MAX_S


async def test_an_interface_that_is_missing_is_named():
    meter = Meter(P1TcpLink("127.0.0.1", 9, interface="no-such0"), real=True)
    async with running(meter):
        await until(lambda: meter.reading.problem == Fault.NO_INTERFACE)


async def test_a_bug_costs_the_meter_a_moment_and_not_its_task(monkeypatch):
    broken = iter([True])

    def judge(self, arrived, real=P1Connection._judge):
        if next(broken, False):
            raise RuntimeError("a bug")
        real(self, arrived)

    monkeypatch.setattr(P1Connection, "_judge", judge)
    rounds = iter(range(60))

    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(telegram(next(rounds)))

    async with bridge(say, []) as link:
        meter = Meter(link, real=True)
        async with running(meter):
            await until(lambda: meter.reading.sample_no == 1)


async def test_a_serial_device_is_read():
    far, near = pty.openpty()
    tty.setraw(far)
    meter = Meter(P1SerialLink(os.ttyname(near)), real=True)
    try:
        async with running(meter):
            await until(lambda: meter.connection.connected)
            os.write(far, b"\x00\xff" + DUTCH[300:])
            os.write(far, telegram(1)[:200])
            os.write(far, telegram(1)[200:])
            await until(lambda: meter.reading.sample_no == 1)
            os.set_blocking(far, False)
            with pytest.raises(BlockingIOError):
                os.read(far, 1)
    finally:
        os.close(near)
        os.close(far)
    assert meter.reading.value("current_l3_a") == 5.5


async def test_a_serial_device_that_is_pulled_out_is_lost():
    far, near = pty.openpty()
    meter = Meter(P1SerialLink(os.ttyname(near)), real=True)
    async with running(meter):
        await until(lambda: meter.connection.connected)
        os.close(near)
        os.close(far)
        await until(lambda: meter.reading.problem != "")
    assert meter.reading.problem in (Fault.DISCONNECTED, Fault.REFUSED)


async def test_one_look_at_a_port():
    heard: list[bytes] = []

    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(DUTCH[300:] + BELGIAN)

    async with bridge(say, heard) as link:
        found = await look(link, P1_PROFILES["dsmr_p1"])
        await until(lambda: len(heard) == 1)
    assert heard == [b""]
    assert found.values["1-0:1.6.0"] == Shown(5.98, "kW")
    assert found.values["1-0:31.7.0"] == Shown(10.44, "A")
    assert found.values["0-0:96.14.0"] == Shown("0001", "")
    assert (found.reading.value("current_l1_a"), found.problem) == (10.44, "")
    gone = await look(link, P1_PROFILES["dsmr_p1"], 0.2)
    assert (gone.values, gone.problem) == ({}, Fault.REFUSED)


async def test_one_look_at_a_port_that_says_nothing():
    async with bridge(lambda _: asyncio.sleep(0), []) as link:
        found = await look(link, P1_PROFILES["dsmr_p1"], 0.2)
    assert (found.values, found.problem) == ({}, "no telegram for 0.2 s")
