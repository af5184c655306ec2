"""Our port to Modbus: one connection, one outstanding request, and no exception for anything a peer does.

Answers are checked or refused; a failure is a value with its reason.
It stands on pymodbus 3.16.1 for transports and request encoding. Replies are judged byte by byte in ``replies``;
retries, the library's own reconnect and its logging are switched off: what to do after a fault is decided above.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ConnectionException, ModbusException
from pymodbus.framer import FramerType

from interfaces.drivers.clock import Clock
from interfaces.drivers.framers import Judged, StrictRtu, StrictSocket
from interfaces.drivers.interface import ipv4_of
from interfaces.drivers.links import Line, Link, RtuOverTcpLink, SerialLink, TcpLink
from interfaces.drivers.profile import Table
from interfaces.drivers.replies import (
    WRITE_MULTIPLE,
    WRITE_SINGLE,
    Expected,
    Fault,
    Ok,
    ReadFailure,
    Rejected,
    Words,
    WriteFailure,
    expect_read,
    expect_write_multiple,
    expect_write_single,
)

# A silent device would fill the journal: every time-out is an error there. We count faults and report conditions once.
logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)

CONNECT_TIMEOUT_S: Final = 0.5
RECONNECT_FIRST_S: Final = 0.1
RECONNECT_MAX_S: Final = 5.0
SILENT_MAX: Final = 3
"""Requests in a row without any believable reply before the connection is given up: it may be half open."""
QUIET_S: Final = 0.05
"""A serial line counts as drained when nothing came for this long."""
DRAIN_MAX_S: Final = 2.0
FIRST_TID_MAX: Final = 60_000

_FRAMING_LOST: Final = frozenset({Fault.UNDECODABLE, Fault.DISCONNECTED})

Client = AsyncModbusTcpClient | AsyncModbusSerialClient


@dataclass(slots=True)
class Counters:
    """What happened on a connection since it was made. ``faults`` by reason text."""

    requests: int = 0
    good: int = 0
    connects: int = 0
    late_replies: int = 0
    faults: Counter[str] = field(default_factory=Counter)

    @property
    def timeouts(self) -> int:
        return self.faults[Fault.TIMEOUT]


class ModbusPort:
    """One connection to one address; it connects by itself when asked something, within its back-off.

    ``jitter`` is a seeded source, so that a site's devices do not reconnect in step and a run can be repeated.
    Only one task may use a port (there is one task per connection).
    """

    def __init__(self, link: Link, clock: Clock, jitter: random.Random) -> None:
        self.link = link
        self.counters = Counters()
        self.retry_at_s = float("-inf")
        """Before this (monotonic) no connection is tried; requests fail at once."""
        self.hung_up = False
        """The last connection was taken and ended by the other side before it answered anything."""
        self._answered = False
        self._clock = clock
        self._jitter = jitter
        self._client: Client | None = None
        self._framer: StrictSocket | StrictRtu = StrictSocket(clock)
        self._attempts = 0
        self._silent = 0
        self._drain_s = 0.0
        self._last_activity_s = float("-inf")

    @property
    def connected(self) -> bool:
        """The library misses a hang-up that comes while its connecting is not over: the socket itself is asked too."""
        if self._client is None or not self._client.connected:
            return False
        return isinstance(self.link, SerialLink) or not self._client.ctx.transport.is_closing()

    @property
    def peer(self) -> str:
        """The IP address of who is connected; empty on a serial port, or when nobody is."""
        if not self.connected or self._client is None or isinstance(self.link, SerialLink):
            return ""
        address = self._client.ctx.transport.get_extra_info("peername")
        return str(address[0]) if address else ""

    async def read_block(self, table: Table, unit: int, addr: int, count: int) -> Words | ReadFailure:
        """Read ``count`` registers (or bits) of ``unit`` from ``addr``; its words, or the reason why not."""
        outcome = await self._ask(expect_read(table, unit, count), table, addr, count=count)
        if isinstance(outcome, Rejected):
            return ReadFailure(outcome.reason, self._clock(), outcome.detail, outcome.exception_code)
        return Words(outcome[0], outcome[1])

    async def write(
        self, table: Table, unit: int, addr: int, words: Sequence[int], *, function: int | None = None
    ) -> Ok | WriteFailure:
        """Write ``words`` from ``addr`` on; with one word ``function`` chooses single (5, 6) or multiple (15, 16)."""
        function = function or (WRITE_SINGLE if len(words) == 1 else WRITE_MULTIPLE)[table]
        if function == WRITE_SINGLE[table]:
            expected = expect_write_single(table, unit, addr, words[0])
        else:
            expected = expect_write_multiple(table, unit, addr, len(words))
        outcome = await self._ask(expected, table, addr, words=words)
        if isinstance(outcome, Rejected):
            return WriteFailure(outcome.reason, self._clock(), outcome.detail, outcome.exception_code)
        return Ok(outcome[1])

    async def connect(self) -> Fault | None:
        """Connect unless connected; the reason when that failed or must wait. The wait grows until a reply is good."""
        if self.connected:
            return None
        if self._clock() < self.retry_at_s:
            return Fault.DISCONNECTED
        if self._client is not None and not self._answered:
            # Hung up at once: whoever has only one connection to give, and gave it away, shall not be flooded.
            self.hung_up = True
            self._give_up()
            return Fault.DISCONNECTED
        self._discard()
        source = self._source()
        if isinstance(source, Fault):
            self._back_off()
            return source
        client = self._new_client(source)
        if not await _quietly(client.connect()):
            self.hung_up = False
            self._back_off()
            return Fault.REFUSED
        client.ctx.next_tid = self._jitter.randrange(FIRST_TID_MAX)
        self._client, self._silent, self._answered = client, 0, False
        self.counters.connects += 1
        return None

    def close(self) -> None:
        """Hang up at once; the next request may reconnect."""
        self._discard()
        self.retry_at_s = float("-inf")
        self._attempts = 0

    async def aclose(self) -> None:
        """Hang up and let the socket go (an aborted transport closes it in the next round of the loop)."""
        self.close()
        await asyncio.sleep(0)

    async def _ask(
        self, expected: Expected, table: Table, addr: int, *, count: int = 0, words: Sequence[int] = ()
    ) -> tuple[tuple[int, ...], float] | Rejected:
        fault = await self.connect()
        if fault is None and (self._is_stained() or not self.connected):
            self.hung_up = not self._answered
            self._give_up()
            fault = Fault.DISCONNECTED
        if fault is not None or self._client is None:
            self.counters.faults[fault or Fault.DISCONNECTED] += 1
            return Rejected(fault or Fault.DISCONNECTED)
        await self._wait_for_line()
        self.counters.requests += 1
        timeout_s = self.link.timeout_s(max(count, len(words)))
        self._client.ctx.comm_params.timeout_connect = timeout_s
        self._framer.expected = expected
        try:
            reply = await _request(self._client, expected, table, addr, count=count, words=words)
            judged: Judged | Rejected = reply if isinstance(reply, Judged) else Rejected(Fault.UNDECODABLE)
        except ConnectionException:
            judged = Rejected(Fault.DISCONNECTED)
        except (ModbusException, OSError):
            judged = Rejected(Fault.TIMEOUT)
        finally:
            self._framer.expected = None
            self._last_activity_s = self._clock()
            self.counters.late_replies = self._framer.late_replies
        return self._settle(judged, timeout_s)

    def _settle(self, judged: Judged | Rejected, timeout_s: float) -> tuple[tuple[int, ...], float] | Rejected:
        """Draw the consequences of an outcome: back-off, drain, hang up."""
        outcome = judged.outcome if isinstance(judged, Judged) else judged
        if isinstance(judged, Judged) and not isinstance(outcome, Rejected):
            self._attempts = self._silent = 0
            self._answered, self.hung_up = True, False
            self.counters.good += 1
            return outcome, judged.at_s
        rejected = outcome if isinstance(outcome, Rejected) else Rejected(Fault.UNDECODABLE)
        self.counters.faults[rejected.reason] += 1
        if rejected.reason is Fault.EXCEPTION:
            self._attempts = self._silent = 0
            self._answered, self.hung_up = True, False
            return rejected
        self.hung_up = rejected.reason is Fault.DISCONNECTED and not self._answered
        self._silent += 1
        self._drain_s = timeout_s
        if rejected.reason in _FRAMING_LOST or self._silent >= SILENT_MAX or not self.connected:
            self._give_up()
        return rejected

    def _is_stained(self) -> bool:
        """Part of an old reply is still in the buffer: what follows could not be cut into frames."""
        return self._client is not None and (self._framer.broken or bool(self._client.ctx.recv_buffer))

    async def _wait_for_line(self) -> None:
        """Silence before a request on a serial line; after a fault, until nothing old can arrive any more."""
        if isinstance(self.link, TcpLink):
            return
        silence_s = self._last_activity_s + self.link.line.silence_s - self._clock()
        if silence_s > 0:
            await asyncio.sleep(silence_s)
        drain_s, self._drain_s = self._drain_s, 0.0
        waited_s = 0.0
        while waited_s < min(drain_s, DRAIN_MAX_S):
            seen = self._framer.late_replies
            await asyncio.sleep(QUIET_S)
            waited_s += QUIET_S
            if self._framer.late_replies != seen:
                drain_s = max(drain_s, waited_s + QUIET_S)

    def _source(self) -> tuple[str, int] | Fault | None:
        """The local address to connect from; asked for each time, since an interface may come up late or move."""
        if isinstance(self.link, SerialLink) or self.link.interface is None:
            return None
        address = ipv4_of(self.link.interface)
        return Fault.NO_INTERFACE if address is None else (address, 0)

    def _new_client(self, source: tuple[str, int] | None) -> Client:
        link = self.link
        client: Client
        if isinstance(link, SerialLink):
            client = _serial_client(link.device, link.line)
        else:
            framer = FramerType.RTU if isinstance(link, RtuOverTcpLink) else FramerType.SOCKET
            client = AsyncModbusTcpClient(
                link.host, port=link.port, framer=framer, timeout=CONNECT_TIMEOUT_S, retries=0, reconnect_delay=0,
                source_address=source,
            )  # fmt: skip
        late = self._framer.late_replies
        self._framer = StrictSocket(self._clock) if isinstance(link, TcpLink) else StrictRtu(self._clock)
        self._framer.late_replies = late
        client.ctx.framer = self._framer
        client.ctx.trace_connect = lambda up: None if up else _fail_pending(client)
        # The library would hang up by its own count; ours (SILENT_MAX) is the only one.
        client.set_max_no_responses(1 << 30)
        return client

    def _give_up(self) -> None:
        self._discard()
        self._back_off()

    def _back_off(self) -> None:
        delay_s = min(RECONNECT_FIRST_S * 2.0**self._attempts, RECONNECT_MAX_S)
        self._attempts = min(self._attempts + 1, 16)
        self.retry_at_s = self._clock() + delay_s * self._jitter.uniform(0.75, 1.0)

    def _discard(self) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        transport = client.ctx.transport
        client.close()
        if isinstance(transport, asyncio.WriteTransport):
            transport.abort()


async def _request(
    client: Client, expected: Expected, table: Table, addr: int, *, count: int, words: Sequence[int]
) -> object:
    """Send the request that ``expected`` answers."""
    unit = expected.unit
    if count:
        reads = {
            "coil": client.read_coils,
            "discrete": client.read_discrete_inputs,
            "holding": client.read_holding_registers,
            "input": client.read_input_registers,
        }
        return await reads[table](addr, count=count, device_id=unit)
    values = list(words)
    match expected.function:
        case 5:
            return await client.write_coil(addr, bool(values[0]), device_id=unit)
        case 6:
            return await client.write_register(addr, values[0], device_id=unit)
        case 15:
            return await client.write_coils(addr, [bool(value) for value in values], device_id=unit)
        case _:
            return await client.write_registers(addr, values, device_id=unit)


def _serial_client(device: str, line: Line) -> AsyncModbusSerialClient:
    data, parity, stop = line.format[0], line.format[1], line.format[2]
    return AsyncModbusSerialClient(
        device, framer=FramerType.RTU, baudrate=line.baud, bytesize=int(data), parity=parity, stopbits=int(stop),
        timeout=CONNECT_TIMEOUT_S, retries=0, reconnect_delay=0,
    )  # fmt: skip


def _fail_pending(client: Client) -> None:
    """The connection is gone: the waiting request learns it now and not at its time-out."""
    future: asyncio.Future[Any] = client.ctx.response_future
    if not future.done() and client.ctx._lock.locked():  # noqa: SLF001  only a request in flight is told
        future.set_exception(ConnectionException("connection lost"))


async def _quietly(connecting: Awaitable[bool]) -> bool:
    """Whether a connection came about; what the operating system says against it is one and the same to us."""
    try:
        return await connecting
    except (ModbusException, OSError):
        return False
