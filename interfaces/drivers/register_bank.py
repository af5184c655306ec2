"""The far side's registers: what a device holds, and what a request does to it. Pure.

It follows the Modbus application protocol 1.1b3 exactly where the client is strict, and shares no code with the client,
so that a contract test compares two readings of the standard and not one with itself.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from interfaces.drivers.profile import Register, Table, WordOrder
from interfaces.drivers.registers import EncodeFailure, encode, not_available

ILLEGAL_FUNCTION: Final = 1
ILLEGAL_ADDRESS: Final = 2
ILLEGAL_VALUE: Final = 3
MAX_READ_WORDS: Final = 125
MAX_WRITE_WORDS: Final = 123
MAX_BITS: Final = 2000

_READ_TABLES: Final[Mapping[int, Table]] = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}
_WRITE_TABLES: Final[Mapping[int, Table]] = {5: "coil", 6: "holding", 15: "coil", 16: "holding"}

OnWrite = Callable[[Table, int, tuple[int, ...]], int | None]
"""Called with table, address and words before they are stored; an exception code refuses them."""

OnRead = Callable[[Table, int], None]
"""Called with table and first address of every read that is answered with values."""


@dataclass(slots=True)
class RegisterBank:
    """Registers of one unit: table -> address -> word (bits as 0/1).

    ``on_write`` sees every write first, ``on_read`` every read that has values to give. ``writable`` None: every
    existing holding register and coil may be written.
    ``functions``: the only functions it knows; ``writers``: the only functions that write at an address, where not
    all do. ``hang_up``: addresses that make the device close the connection. ``accept_writes`` False acknowledges
    writes and drops them (a device that says yes and does nothing).
    """

    tables: dict[Table, dict[int, int]] = field(default_factory=lambda: {
        "holding": {}, "input": {}, "coil": {}, "discrete": {},
    })  # fmt: skip
    on_write: OnWrite | None = None
    on_read: OnRead | None = None
    writable: frozenset[int] | None = None
    functions: frozenset[int] | None = None
    writers: Mapping[tuple[Table, int], frozenset[int]] = field(default_factory=dict)
    max_read_words: int = MAX_READ_WORDS
    hang_up: frozenset[int] = frozenset()
    accept_writes: bool = True
    requests: int = 0
    writes: int = 0

    def put(self, table: Table, addr: int, words: Sequence[int]) -> None:
        """Store words without asking anybody (the device's own doing)."""
        cells = self.tables[table]
        for index, word in enumerate(words):
            cells[addr + index] = word

    def put_value(self, register: Register, value: float | str | None, order: WordOrder, sf: int | None = None) -> None:
        """Store a reading in engineering units; None shows as "not available". ValueError if it does not fit."""
        words = not_available(register, order) if value is None else encode(register, value, order, sf)
        if isinstance(words, EncodeFailure):
            raise ValueError(words.reason)  # noqa: TRY004  a bad value, not a bad type
        self.put(register.table, register.address, words)

    def get(self, table: Table, addr: int, count: int) -> tuple[int, ...] | None:
        """Words from ``addr`` on, None when one of them does not exist."""
        cells = self.tables[table]
        found = tuple(cells[index] for index in range(addr, addr + count) if index in cells)
        return found if len(found) == count else None


class HangUp(Exception):  # noqa: N818  not an error: the device does this on purpose
    """The device closes the connection instead of answering."""


def answer(bank: RegisterBank, pdu: bytes) -> bytes:
    """The reply PDU to a request PDU (function code and data)."""
    bank.requests += 1
    function = pdu[0]
    if not _knows(bank, function, pdu):
        return _refuse(function, ILLEGAL_FUNCTION)
    try:
        if function in _READ_TABLES:
            return _read(bank, function, *struct.unpack(">HH", pdu[1:5]))
        if function in (5, 6):
            return _write_single(bank, function, *struct.unpack(">HH", pdu[1:5]))
        if function in (15, 16):
            return _write_multiple(bank, function, pdu)
    except struct.error:
        return _refuse(function, ILLEGAL_VALUE)
    return _refuse(function, ILLEGAL_FUNCTION)


def _knows(bank: RegisterBank, function: int, pdu: bytes) -> bool:
    """Whether the device has the function, and takes it at the address of a write."""
    if bank.functions is not None and function not in bank.functions:
        return False
    table = _WRITE_TABLES.get(function)
    if table is None or len(pdu) < 3:
        return True
    return function in bank.writers.get((table, int.from_bytes(pdu[1:3], "big")), (function,))


def _refuse(function: int, code: int) -> bytes:
    return bytes([function | 0x80, code])


def _read(bank: RegisterBank, function: int, addr: int, count: int) -> bytes:
    table = _READ_TABLES[function]
    bits = table in ("coil", "discrete")
    if not 1 <= count <= (MAX_BITS if bits else bank.max_read_words):
        return _refuse(function, ILLEGAL_VALUE)
    if not bank.hang_up.isdisjoint(range(addr, addr + count)):
        raise HangUp
    words = bank.get(table, addr, count)
    if words is None:
        return _refuse(function, ILLEGAL_ADDRESS)
    if bank.on_read is not None:
        bank.on_read(table, addr)
    if bits:
        number = sum(bit << index for index, bit in enumerate(words))
        data = number.to_bytes((count + 7) // 8, "little")
    else:
        data = struct.pack(f">{count}H", *words)
    return bytes([function, len(data)]) + data


def _write_single(bank: RegisterBank, function: int, addr: int, value: int) -> bytes:
    if function == 5 and value not in (0, 0xFF00):
        return _refuse(function, ILLEGAL_VALUE)
    refused = _store(bank, _WRITE_TABLES[function], addr, (int(value != 0) if function == 5 else value,))
    return _refuse(function, refused) if refused else struct.pack(">BHH", function, addr, value)


def _write_multiple(bank: RegisterBank, function: int, pdu: bytes) -> bytes:
    addr, count, size = struct.unpack(">HHB", pdu[1:6])
    data = pdu[6:]
    limit = MAX_WRITE_WORDS if function == 16 else MAX_BITS
    wanted = 2 * count if function == 16 else (count + 7) // 8
    if not 1 <= count <= limit or size != wanted or len(data) != wanted:
        return _refuse(function, ILLEGAL_VALUE)
    if function == 16:
        words = struct.unpack(f">{count}H", data)
    else:
        words = tuple(data[index // 8] >> (index % 8) & 1 for index in range(count))
    refused = _store(bank, _WRITE_TABLES[function], addr, words)
    return _refuse(function, refused) if refused else struct.pack(">BHH", function, addr, count)


def _store(bank: RegisterBank, table: Table, addr: int, words: tuple[int, ...]) -> int | None:
    span = range(addr, addr + len(words))
    if any(index not in bank.tables[table] for index in span):
        return ILLEGAL_ADDRESS
    if bank.writable is not None and not bank.writable.issuperset(span):
        return ILLEGAL_ADDRESS
    bank.writes += 1
    if not bank.accept_writes:
        return None
    refused = bank.on_write(table, addr, words) if bank.on_write else None
    if refused is None:
        bank.put(table, addr, words)
    return refused
