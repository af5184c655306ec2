"""What a reply must look like to be believed: pure, on the bytes of one Modbus PDU.

The library under us accepts a reply with another function code, another length or another register as good. A value
that was never sent for this question is worse than none, so everything is checked before a word is believed.
Source: Modbus application protocol 1.1b3, sections 6.1-6.12 and 7.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from interfaces.drivers.profile import Table

READ_FUNCTION: Final[dict[Table, int]] = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
WRITE_SINGLE: Final[dict[Table, int]] = {"coil": 5, "holding": 6}
WRITE_MULTIPLE: Final[dict[Table, int]] = {"coil": 15, "holding": 16}

EXCEPTION_BIT: Final = 0x80
COIL_ON: Final = 0xFF00
NOT_THE_DEVICE: Final = frozenset({0x0A, 0x0B})
"""Exceptions "gateway path unavailable" and "gateway target device failed to respond": only a gateway spoke."""


_EXCEPTIONS: Final = {
    1: "illegal function", 2: "illegal address", 3: "illegal value", 4: "device failure", 5: "acknowledge",
    6: "device busy", 8: "memory parity error", 0x0A: "gateway has no path to this unit",
    0x0B: "gateway gets no answer from this unit",
}  # fmt: skip


def exception_in_words(code: int) -> str:
    """An exception code with its meaning (Modbus application protocol 1.1b3, section 7)."""
    meaning = _EXCEPTIONS.get(code)
    return f"{code:#04x}" if meaning is None else f"{code:#04x}, {meaning}"


class Fault(StrEnum):
    """Why an exchange gave nothing. The text is what logs, counters and qualities carry."""

    REFUSED = "connection refused"
    NO_INTERFACE = "network interface missing or without an IPv4 address"
    DISCONNECTED = "connection lost"
    HUNG_UP = "the connection is taken and hung up before any answer"
    TIMEOUT = "no reply in time"
    EXCEPTION = "device answered with an exception"
    WRONG_FUNCTION = "reply has another function code"
    WRONG_LENGTH = "reply has another length"
    WRONG_UNIT = "reply from another unit"
    WRONG_ECHO = "reply repeats something else than was written"
    NO_TRANSACTION = "reply without transaction id"
    UNDECODABLE = "reply cannot be decoded"
    CHECKSUM = "reply with wrong checksum"


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a good read (bits as 0/1), and when the reply was complete on the wire (monotonic)."""

    words: tuple[int, ...]
    at_s: float


@dataclass(frozen=True, slots=True)
class Ok:
    """A write the device acknowledged, and when."""

    at_s: float


@dataclass(frozen=True, slots=True)
class ReadFailure:
    """A read that gave nothing. ``exception_code`` is the device's own when it answered with one."""

    reason: Fault
    at_s: float
    detail: str = ""
    exception_code: int | None = None


@dataclass(frozen=True, slots=True)
class WriteFailure:
    """A write that was not acknowledged: the device may or may not have taken it."""

    reason: Fault
    at_s: float
    detail: str = ""
    exception_code: int | None = None


def no_answer_of(failure: ReadFailure | WriteFailure) -> bool:
    """Whether the device itself said nothing; an exception of its own is an answer, one of a gateway is not."""
    return failure.exception_code is None or failure.exception_code in NOT_THE_DEVICE


@dataclass(frozen=True, slots=True)
class Expected:
    """The one reply that answers the outstanding request.

    ``size``: bytes of the whole PDU. ``echo``: bytes that must follow the function code (writes repeat their request's
    address and value or count; reads repeat their byte count).
    """

    unit: int
    function: int
    size: int
    echo: bytes
    count: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why a reply is not believed."""

    reason: Fault
    detail: str = ""
    exception_code: int | None = None


def expect_read(table: Table, unit: int, count: int) -> Expected:
    """The reply to a read of ``count`` registers or bits."""
    data = 2 * count if table in ("holding", "input") else (count + 7) // 8
    return Expected(unit, READ_FUNCTION[table], 2 + data, bytes([data]), count)


def expect_write_single(table: Table, unit: int, addr: int, word: int) -> Expected:
    """The reply to function 5 or 6 repeats address and value."""
    value = (COIL_ON if word else 0) if table == "coil" else word
    return Expected(unit, WRITE_SINGLE[table], 5, struct.pack(">HH", addr, value), 0)


def expect_write_multiple(table: Table, unit: int, addr: int, count: int) -> Expected:
    """The reply to function 15 or 16 repeats address and count."""
    return Expected(unit, WRITE_MULTIPLE[table], 5, struct.pack(">HH", addr, count), 0)


def judge(expected: Expected, unit: int, pdu: bytes) -> tuple[int, ...] | Rejected:
    """The words a reply carries (none for a write), or why it is not believed.

    ``pdu``: function code and data, without unit, transaction or checksum.
    """
    if unit != expected.unit:
        return Rejected(Fault.WRONG_UNIT, f"unit {unit} instead of {expected.unit}")
    if pdu[0] == expected.function | EXCEPTION_BIT:
        return _exception(pdu)
    if pdu[0] != expected.function:
        return Rejected(Fault.WRONG_FUNCTION, f"function {pdu[0]} instead of {expected.function}")
    if len(pdu) != expected.size:
        return Rejected(Fault.WRONG_LENGTH, f"{len(pdu)} bytes instead of {expected.size}")
    echo = pdu[1 : 1 + len(expected.echo)]
    if echo != expected.echo:
        fault = Fault.WRONG_LENGTH if expected.count else Fault.WRONG_ECHO
        return Rejected(fault, f"{echo.hex()} instead of {expected.echo.hex()}")
    return _words(expected, pdu[2:]) if expected.count else ()


def _exception(pdu: bytes) -> Rejected:
    if len(pdu) != 2:
        return Rejected(Fault.WRONG_LENGTH, f"exception of {len(pdu)} bytes")
    return Rejected(Fault.EXCEPTION, f"code {pdu[1]}", pdu[1])


def _words(expected: Expected, data: bytes) -> tuple[int, ...]:
    if expected.function in (READ_FUNCTION["holding"], READ_FUNCTION["input"]):
        return struct.unpack(f">{expected.count}H", data)
    # Bits arrive least significant first within each byte.
    return tuple(data[index // 8] >> (index % 8) & 1 for index in range(expected.count))
