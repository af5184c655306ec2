"""Framers that hand over whole replies undecoded, so that ``replies.judge`` is the only one to believe anything.

They replace the library's framers on the receiving side. A framer knows the one outstanding question: everything
else that arrives (late answers, noise, chatter of a gateway) is dropped and counted. Nothing here raises on bad bytes:
the library would lose the connection with a traceback.
Source: Modbus messaging on TCP/IP 1.0b section 3.1.3; Modbus over serial line 1.02 section 2.5.1.
"""

from __future__ import annotations

from typing import Final

from pymodbus.framer import FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU, ModbusPDU

from interfaces.drivers.clock import Clock
from interfaces.drivers.replies import EXCEPTION_BIT, Expected, Fault, Rejected, judge

MBAP_BYTES: Final = 7
MIN_LENGTH: Final = 3
"""Unit, function code and one byte: no shorter PDU exists among the functions used."""
MAX_LENGTH: Final = 254
"""Unit plus the largest PDU of 253 bytes."""


class Judged(ModbusPDU):
    """A reply that has been judged: what the request's future resolves to."""

    def __init__(self, outcome: tuple[int, ...] | Rejected, at_s: float, unit: int, tid: int) -> None:
        super().__init__(dev_id=unit, transaction_id=tid)
        self.outcome = outcome
        self.at_s = at_s


class StrictSocket(FramerSocket):
    """Modbus TCP. A reply counts only with our transaction id, our unit and protocol id 0."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(DecodePDU(False))
        self._clock = clock
        self.expected: Expected | None = None
        self.late_replies = 0
        self.broken = False
        """Frame boundaries are lost: the connection is of no further use."""

    def handleFrame(self, data: bytes, exp_devid: int, exp_tid: int) -> tuple[int, ModbusPDU | None]:  # noqa: N802
        """Consume every whole frame in ``data``; return the outcome of the outstanding request once it is known."""
        used, found = 0, None
        while len(data) - used >= MBAP_BYTES:
            header = data[used : used + MBAP_BYTES]
            length = int.from_bytes(header[4:6], "big")
            if header[2:4] != b"\0\0" or not MIN_LENGTH <= length <= MAX_LENGTH:
                self.broken = True
                return len(data), found or self._outcome(Rejected(Fault.UNDECODABLE, header.hex()), exp_devid, exp_tid)
            end = used + 6 + length
            if len(data) < end:
                break
            found = self._offer(data[used:end], exp_devid, exp_tid) or found
            used = end
        return used, found

    def _offer(self, frame: bytes, unit: int, tid: int) -> Judged | None:
        frame_tid = int.from_bytes(frame[:2], "big")
        if self.expected is None or frame_tid not in (0, tid):
            self.late_replies += 1
            return None
        if frame_tid == 0:
            return self._outcome(Rejected(Fault.NO_TRANSACTION), unit, tid)
        return self._outcome(judge(self.expected, frame[6], frame[7:]), unit, tid)

    def _outcome(self, outcome: tuple[int, ...] | Rejected, unit: int, tid: int) -> Judged | None:
        if self.expected is None:
            return None
        self.expected = None
        return Judged(outcome, self._clock(), unit, tid)


class StrictRtu(FramerRTU):
    """Modbus RTU, on a serial line or carried in TCP.

    Without transaction ids a stray byte can only be waited out: after anything but a clean reply the line must be
    drained before the next request.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(DecodePDU(False))
        self._clock = clock
        self.expected: Expected | None = None
        self.late_replies = 0
        self.broken = False

    def handleFrame(self, data: bytes, exp_devid: int, exp_tid: int) -> tuple[int, ModbusPDU | None]:  # noqa: N802
        """Wait for the reply's exact length, then judge it; anything longer is two replies in one and not believed."""
        if self.expected is None:
            self.late_replies += 1
            return len(data), None
        if len(data) < 2:
            return 0, None
        outcome = _judge_rtu(self.expected, data)
        if outcome is None:
            return 0, None
        self.expected = None
        return len(data), Judged(outcome, self._clock(), exp_devid, exp_tid)


def _judge_rtu(expected: Expected, data: bytes) -> tuple[int, ...] | Rejected | None:
    """None while more bytes must come."""
    is_exception = bool(data[1] & EXCEPTION_BIT)
    size = 5 if is_exception else 1 + expected.size + 2
    rejected = None
    if data[0] != expected.unit:
        rejected = Rejected(Fault.WRONG_UNIT, f"unit {data[0]} instead of {expected.unit}")
    elif data[1] & ~EXCEPTION_BIT != expected.function:
        rejected = Rejected(Fault.WRONG_FUNCTION, f"function {data[1]} instead of {expected.function}")
    elif expected.count and not is_exception and len(data) > 2 and data[2] != expected.echo[0]:
        rejected = Rejected(Fault.WRONG_LENGTH, f"{data[2]} data bytes instead of {expected.echo[0]}")
    elif len(data) > size:
        rejected = Rejected(Fault.WRONG_LENGTH, f"{len(data)} bytes instead of {size}")
    if rejected is not None or len(data) < size:
        return rejected
    if not FramerRTU.check_CRC(data[:-2], int.from_bytes(data[-2:], "big")):
        return Rejected(Fault.CHECKSUM, data.hex())
    return judge(expected, data[0], data[1:-2])
