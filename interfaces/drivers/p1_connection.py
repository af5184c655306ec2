"""One task per P1 port: it listens, cuts the stream into telegrams and keeps the meter's entry in the readings.

Nothing is ever written to the meter. A stream that brings no telegram for a while is given up and opened anew, with a
growing pause: a bridge that restarted leaves a half-open connection behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

import serial

from interfaces.drivers.clock import Clock
from interfaces.drivers.device import PointSpec
from interfaces.drivers.interface import ipv4_of
from interfaces.drivers.links import P1Link, P1SerialLink, P1TcpLink
from interfaces.drivers.modbus import RECONNECT_FIRST_S, RECONNECT_MAX_S, Counters
from interfaces.drivers.neighbours import read_mac, rivals, seen
from interfaces.drivers.p1_reading import PERIOD_S, accepted, refused, too_slow
from interfaces.drivers.p1_telegram import Arrived, Framer, Reason, Refused, Telegram
from interfaces.drivers.readings import PointReading, Readings
from interfaces.drivers.replies import Fault
from interfaces.drivers.tasks import being_cancelled

log = logging.getLogger(__name__)

BAUD: Final = 115_200
"""DSMR P1 companion standard 4.2.2, section 5.2.2: 115200 baud, 8 data bits, no parity, 1 stop bit."""
CONNECT_TIMEOUT_S: Final = 2.0
CHUNK_BYTES: Final = 4096
SILENT_PERIODS: Final = 3
SILENT_MIN_S: Final = 12.0
"""A stream is given up after three periods without a telegram, and not before this: a meter that sends every 10 s
shall be heard, and named, also where the site file promises one telegram a second."""
ARRIVALS: Final = 6


class P1Connection:
    """The meter behind one P1 port. ``run`` is the task; ``take`` handles bytes, for tests with their own clock.

    ``readings`` gets the entry of the point's key, written by this object alone. ``jitter`` is a seeded source for the
    back-off. In ``counters`` a request is whatever was sent to us as a telegram.
    """

    def __init__(
        self, link: P1Link, point: PointSpec, *, readings: Readings, clock: Clock, jitter: random.Random
    ) -> None:
        self.link = link
        self.counters = Counters()
        self.telegram: Telegram | None = None
        """The last one that was accepted."""
        self.retry_s = 0.0
        """How long the next pause before a connection is at most."""
        self.period_s = PERIOD_S[point.profile.id] if point.period_s is None else point.period_s
        self._key = point.key
        self._readings = readings
        self._clock = clock
        self._jitter = jitter
        self._framer = Framer()
        self._arrivals: deque[float] = deque(maxlen=ARRIVALS)
        self._heard_s = clock()
        self._close: Callable[[], None] | None = None
        self._told = ""
        self._macs: tuple[str, ...] = ()
        readings.points[self._key] = PointReading()

    @property
    def connected(self) -> bool:
        """Whether the stream is open."""
        return self._close is not None

    @property
    def silent_s(self) -> float:
        """Seconds without a telegram after which the stream is given up."""
        return max(SILENT_MIN_S, SILENT_PERIODS * self.period_s)

    async def run(self) -> None:
        """Listen until cancelled. A bug in here costs this meter a few seconds, never another connection."""
        try:
            while not being_cancelled():
                try:
                    problem = await self._listen()
                except Exception:
                    log.exception("driver failed link=%s", self.link)
                    problem = "driver error"
                self._hang_up()
                self._lost(problem)
                await asyncio.sleep(self._pause_s())
        finally:
            self._hang_up()

    async def aclose(self) -> None:
        """Hang up and let the socket go."""
        self._hang_up()
        await asyncio.sleep(0)

    def take(self, data: bytes, at_s: float) -> None:
        """Bytes that arrived at ``at_s``: every telegram they complete is published, the newest last."""
        for arrived in self._framer.feed(data, at_s):
            self.counters.requests += 1
            self._heard_s = at_s
            self._judge(arrived)

    # ---- the stream

    async def _listen(self) -> str:
        """Open the stream and read it to its end; why it ended."""
        reader = await self._open()
        if isinstance(reader, Fault):
            self.counters.faults[reader] += 1
            return str(reader)
        self.counters.connects += 1
        log.info("connected link=%s", self.link)
        self._framer, self._heard_s = Framer(), self._clock()
        self._arrivals.clear()
        while (rest_s := self._heard_s + self.silent_s - self._clock()) > 0 and not being_cancelled():
            try:
                data = await asyncio.wait_for(reader.read(CHUNK_BYTES), rest_s)
            except TimeoutError:
                break
            except OSError:
                data = b""
            if not data:
                self.counters.faults[Fault.DISCONNECTED] += 1
                return str(Fault.DISCONNECTED)
            self.take(data, self._clock())
        self.counters.faults[Fault.TIMEOUT] += 1
        if self._framer.noise_bytes:
            return "bytes arrive, but no telegram: line not inverted, or another speed"
        return f"no telegram for {self.silent_s:g} s"

    async def _open(self) -> asyncio.StreamReader | Fault:
        try:
            if isinstance(self.link, P1SerialLink):
                return self._open_serial(self.link)
            return await self._open_tcp(self.link)
        except (OSError, serial.SerialException, TimeoutError):
            return Fault.REFUSED

    async def _open_tcp(self, link: P1TcpLink) -> asyncio.StreamReader | Fault:
        source = None
        if link.interface is not None:
            address = ipv4_of(link.interface)
            if address is None:
                return Fault.NO_INTERFACE
            source = (address, 0)
        opening = asyncio.open_connection(link.host, link.port, local_addr=source)
        reader, writer = await asyncio.wait_for(opening, CONNECT_TIMEOUT_S)
        address = writer.get_extra_info("peername")
        self._look_who(str(address[0]) if address else "")
        # The whole writer is kept: the library closes the connection of one that nobody holds.
        self._close = partial(_abort, writer)
        return reader

    def _look_who(self, peer: str) -> None:
        """Whose network card answers: the kernel has just talked to it."""
        self._macs = seen(self._macs, read_mac(peer))
        told = self._macs[-1] if self._macs else ""
        old = self._readings.points[self._key]
        self._readings.points[self._key] = replace(old, mac=told, rival_macs=rivals(self._macs))

    def _open_serial(self, link: P1SerialLink) -> asyncio.StreamReader:
        """The serial port, read by the event loop. It is opened without waiting for a carrier."""
        loop = asyncio.get_running_loop()
        port = serial.Serial(link.device, BAUD, timeout=0, exclusive=True)
        reader, number = asyncio.StreamReader(), port.fileno()

        def ready() -> None:
            try:
                data = os.read(number, CHUNK_BYTES)
            except BlockingIOError:
                return
            except OSError:
                data = b""  # pulled out
            if data:
                reader.feed_data(data)
            else:
                loop.remove_reader(number)
                reader.feed_eof()

        def close() -> None:
            loop.remove_reader(number)
            with contextlib.suppress(OSError):
                port.close()

        loop.add_reader(number, ready)
        self._close = close
        return reader

    def _hang_up(self) -> None:
        close, self._close = self._close, None
        if close is not None:
            close()

    def _pause_s(self) -> float:
        self.retry_s = min(max(2.0 * self.retry_s, RECONNECT_FIRST_S), RECONNECT_MAX_S)
        return self.retry_s * self._jitter.uniform(0.75, 1.0)

    # ---- what it says

    def _judge(self, arrived: Arrived) -> None:
        old, content = self._readings.points[self._key], arrived.content
        if isinstance(content, Telegram) and content.stamp is not None and content.digest == old.digest:
            content = Refused(Reason.REPEATED)
        if isinstance(content, Refused):
            self.counters.faults[content.reason] += 1
            self._readings.points[self._key] = refused(old, str(content.reason))
            return
        self.counters.good += 1
        self.retry_s = 0.0
        self._arrivals.append(arrived.at_s)
        self.telegram = content
        new = accepted(old, content, arrived.at_s, too_slow(self._arrivals, self.period_s))
        self._readings.points[self._key] = new
        if new.notes != old.notes or new.problem != self._told:
            log.info("meter key=%s %s", self._key, "; ".join((*filter(None, (new.problem,)), *new.notes)) or "is well")
        self._told = new.problem

    def _lost(self, problem: str) -> None:
        if problem != self._told:
            log.warning("connection lost link=%s reason=%s", self.link, problem)
            self._told = problem
        self._readings.points[self._key] = refused(self._readings.points[self._key], problem, connected=False)


def _abort(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
