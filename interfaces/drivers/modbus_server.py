"""A small Modbus server for virtual devices: several units on one port, MBAP or RTU frames, and faults on request.

Why not the library's simulator: a virtual plant changes registers many times a second from outside, faults must be
injected into single frames (wrong function, half a frame, no transaction id), and a server that shares no code with
the client keeps the contract tests honest. It is one ``asyncio.Protocol``, so 120 of them cost little.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from interfaces.drivers.register_bank import HangUp, RegisterBank, answer

GATEWAY_TARGET_SILENT: Final = 0x0B
MAX_BUFFER: Final = 1024
MBAP_HEADER: Final = 7
RTU_FIXED_REQUEST: Final = 8

Framing = Literal["mbap", "rtu"]


@dataclass(slots=True)
class Faults:
    """What goes wrong, read anew for every reply; change the fields while it runs.

    ``silent``: requests are read and not answered. ``delay_s``: replies come that late. ``drip_s``: one byte at a time
    with this pause. ``exception``: every request is answered with this code. ``wrong_function``, ``wrong_unit``,
    ``zero_tid``: that field is wrong. ``stretch``: words added to (or cut from) the data of a read. ``garbage``: bytes
    sent instead of a reply. ``xor``: (byte index in the reply's data, mask) flipped. ``repeat``: replies sent twice.
    ``only_next``: how many replies the faults still apply to (None: all).
    """

    silent: bool = False
    delay_s: float = 0.0
    drip_s: float = 0.0
    exception: int | None = None
    wrong_function: bool = False
    wrong_unit: bool = False
    zero_tid: bool = False
    stretch: int = 0
    garbage: bytes | None = None
    xor: tuple[int, int] | None = None
    repeat: bool = False
    only_next: int | None = None

    def take(self) -> Faults:
        """The faults that apply to the reply at hand."""
        if self.only_next is None:
            return self
        if self.only_next <= 0:
            return _HEALTHY
        self.only_next -= 1
        return self


_HEALTHY: Final = Faults()


class ModbusServer:
    """Serves ``units`` (unit id -> registers) on ``host:port``; port 0 lets the system choose (see ``port``).

    ``framing`` "rtu": RTU frames in TCP, as a transparent gateway gives; requests to unknown units stay unanswered, as
    on a bus. With "mbap" unknown units are answered with exception 0x0B. ``any_unit`` answers to every unit id.
    """

    def __init__(
        self,
        units: Mapping[int, RegisterBank],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        framing: Framing = "mbap",
        any_unit: RegisterBank | None = None,
        max_connections: int | None = None,
    ) -> None:
        self.units = dict(units)
        self.faults = Faults()
        self.host = host
        self.port = port
        self.framing = framing
        self.any_unit = any_unit
        self.max_connections = max_connections
        self.connections: set[_Session] = set()
        self.accepted = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen; OSError when the port is taken. Starting again after ``stop`` keeps the port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Session(self), self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and hang up every client (a device without power, or a closed port)."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        self.hang_up()
        if server is not None:
            await server.wait_closed()
        await asyncio.sleep(0)  # an aborted transport closes its socket in the next round of the loop

    def hang_up(self) -> None:
        """Cut every client off; they may reconnect."""
        for session in list(self.connections):
            session.abort()

    async def __aenter__(self) -> ModbusServer:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def bank_of(self, unit: int) -> RegisterBank | None:
        """The registers that answer for a unit id."""
        return self.units.get(unit, self.any_unit)


class _Session(asyncio.Protocol):
    """One client."""

    def __init__(self, server: ModbusServer) -> None:
        self._server = server
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  what create_server hands out
        self._transport = transport
        limit = self._server.max_connections
        if limit is not None and len(self._server.connections) >= limit:
            transport.abort()
            return
        self._server.connections.add(self)
        self._server.accepted += 1

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's signature
        self._server.connections.discard(self)
        for task in self._tasks:
            task.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        take = _take_mbap if self._server.framing == "mbap" else _take_rtu
        while (taken := take(self._buffer)) is not None:
            request, self._buffer = taken
            try:
                self._serve(request)
            except HangUp:
                self.abort()
                return
        if len(self._buffer) > MAX_BUFFER:
            self.abort()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _serve(self, request: _Request) -> None:
        bank = self._server.bank_of(request.unit)
        faults = self._server.faults.take()
        if bank is None and self._server.framing == "rtu":
            return
        if faults.exception is not None:
            reply = bytes([request.pdu[0] | 0x80, faults.exception])
        elif bank is None:
            reply = bytes([request.pdu[0] | 0x80, GATEWAY_TARGET_SILENT])
        else:
            reply = answer(bank, request.pdu)
        if faults.silent:
            return
        frame = _frame(self._server.framing, request, _spoiled(reply, faults), faults)
        self._send(frame * 2 if faults.repeat else frame, faults)

    def _send(self, frame: bytes, faults: Faults) -> None:
        if not faults.delay_s and not faults.drip_s:
            self._write(frame)
            return
        task = asyncio.get_running_loop().create_task(self._send_slowly(frame, faults.delay_s, faults.drip_s))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send_slowly(self, frame: bytes, delay_s: float, drip_s: float) -> None:
        await asyncio.sleep(delay_s)
        if not drip_s:
            self._write(frame)
            return
        for index in range(len(frame)):
            self._write(frame[index : index + 1])
            await asyncio.sleep(drip_s)

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)


@dataclass(frozen=True, slots=True)
class _Request:
    unit: int
    pdu: bytes
    tid: bytes = b""


def _take_mbap(buffer: bytes) -> tuple[_Request, bytes] | None:
    if len(buffer) < MBAP_HEADER:
        return None
    end = 6 + int.from_bytes(buffer[4:6], "big")
    if len(buffer) < end or end <= MBAP_HEADER:
        return None
    return _Request(buffer[6], buffer[MBAP_HEADER:end], buffer[:2]), buffer[end:]


def _take_rtu(buffer: bytes) -> tuple[_Request, bytes] | None:
    """One request; bytes that do not start a sound frame are skipped one by one, as after noise on a bus."""
    while len(buffer) >= RTU_FIXED_REQUEST:
        size = RTU_FIXED_REQUEST if buffer[1] not in (15, 16) else 9 + buffer[6]
        if len(buffer) < size:
            return None
        if crc16(buffer[: size - 2]) == buffer[size - 2 : size]:
            return _Request(buffer[0], buffer[1 : size - 2]), buffer[size:]
        buffer = buffer[1:]
    return None


def crc16(data: bytes) -> bytes:
    """Checksum as it goes on the wire, low byte first (Modbus over serial line 1.02, section 6.2.2)."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc.to_bytes(2, "little")


def _spoiled(reply: bytes, faults: Faults) -> bytes:
    if faults.stretch and reply[0] in (1, 2, 3, 4):
        data = reply[2:] + b"\0\0" * faults.stretch if faults.stretch > 0 else reply[2 : 2 * faults.stretch]
        reply = bytes([reply[0], len(data)]) + data
    if faults.wrong_function:
        reply = bytes([7 - reply[0] if reply[0] in (3, 4) else reply[0] ^ 1]) + reply[1:]
    if faults.xor is not None and reply[0] < 0x80:
        index, mask = faults.xor
        spot = 2 + index
        reply = reply[:spot] + bytes([reply[spot] ^ mask]) + reply[spot + 1 :]
    return reply


def _frame(framing: Framing, request: _Request, reply: bytes, faults: Faults) -> bytes:
    if faults.garbage is not None:
        return faults.garbage
    unit = bytes([request.unit ^ 1 if faults.wrong_unit else request.unit])
    if framing == "rtu":
        return unit + reply + crc16(unit + reply)
    tid = b"\0\0" if faults.zero_tid else request.tid
    return tid + b"\0\0" + (len(reply) + 1).to_bytes(2, "big") + unit + reply
