"""One segment of the journal: a file of checked frames that can be replayed on its own.

It begins with ``SegmentHeader``, the site, plan and targets in force, and the whole state; scans follow in blocks of a
few seconds. Within a block an entry is stored as its difference to the one before (most columns do not change), and the
block is compressed. A power cut may leave a torn frame at the end: everything before it is read. Behind a frame that is
damaged in the middle (a worn card, a bad copy) reading goes on at the next whole one.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from controller.service.messages import OUT
from interfaces.domain.codec import CodecError, pack, unpack_any

MAGIC: Final = b"stroomwacht journal 1\n"
FORMAT: Final = 1
FRAME: Final = struct.Struct("<cII")
"""Kind, length and CRC-32 of the payload."""
MESSAGE, BLOCK = b"M", b"B"
ITEM: Final = struct.Struct("<I?")
"""Length of an entry, and whether it is a difference to the one before."""
LEVEL: Final = 1
MAX_FRAME_BYTES: Final = 256 * 1024 * 1024
BLOCK_ENTRIES: Final = 10
BLOCK_BYTES: Final = 512 * 1024
SUFFIX: Final = ".swj"


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """What a segment is: format, program version, site, the start of the field process it came from, when it began."""

    format: int
    software: str
    site: str
    start_id: str
    began_epoch_s: float


@dataclass(frozen=True, slots=True)
class NoJournal:
    """Why a file is not a journal."""

    reason: str


@dataclass(frozen=True, slots=True)
class TornTail:
    """The end of a segment that was being written when the power failed."""

    ignored_bytes: int
    reason: str


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes in the middle of a segment that are no whole record, and where: the first one's offset in the file and its
    number (the header is record 1; ten scans make one). ``size``: bytes until the next whole record.
    """

    offset: int
    record: int
    size: int
    reason: str


class SegmentWriter:
    """Appends to one segment. Every call may raise OSError; what was written before stays readable."""

    def __init__(self, path: Path, header: SegmentHeader) -> None:
        self.path = path
        self.size = 0
        self._file: BinaryIO = path.open("xb", buffering=0)
        self._block: list[bytes] = []
        self._block_bytes = 0
        self._write(MAGIC)
        self.message(pack(header))

    def message(self, packed: bytes) -> None:
        """Append one message that is not a scan."""
        self.flush()
        self._frame(MESSAGE, packed)

    def entry(self, packed: bytes) -> None:
        """Append one scan; it reaches the file with its block."""
        self._block.append(packed)
        self._block_bytes += len(packed)
        if len(self._block) >= BLOCK_ENTRIES or self._block_bytes >= BLOCK_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the block that is being gathered."""
        if self._block:
            entries, self._block, self._block_bytes = self._block, [], 0
            self._frame(BLOCK, encode_block(entries))

    def renamed(self, path: Path) -> None:
        """Continue under another name."""
        self.path = self.path.rename(path)

    def close(self) -> None:
        """Write what is left. The file is closed even when that fails."""
        try:
            self.flush()
        finally:
            self._file.close()

    def _frame(self, kind: bytes, payload: bytes) -> None:
        packed = zlib.compress(payload, LEVEL)
        self._write(FRAME.pack(kind, len(packed), zlib.crc32(packed)) + packed)

    def _write(self, data: bytes) -> None:
        written = self._file.write(data)
        self.size += written
        if written != len(data):
            raise OSError(28, "the disk took only a part")


def encode_block(entries: list[bytes]) -> bytes:
    """Entries one behind the other, each as a difference where it is as long as the one before."""
    parts = []
    before = b""
    for entry in entries:
        same = len(entry) == len(before)
        parts += [ITEM.pack(len(entry), same), _difference(entry, before) if same else entry]
        before = entry
    return b"".join(parts)


def decode_block(block: bytes) -> Iterator[bytes]:
    """The entries of a block. ValueError when it is not one."""
    at, before = 0, b""
    while at < len(block):
        if at + ITEM.size > len(block):
            raise ValueError("an entry is cut off")
        size, same = ITEM.unpack_from(block, at)
        at += ITEM.size
        part = block[at : at + size]
        if len(part) != size or (same and size != len(before)):
            raise ValueError("an entry is cut off")
        before = _difference(part, before) if same else part
        at += size
        yield before


def _difference(one: bytes, other: bytes) -> bytes:
    return np.bitwise_xor(np.frombuffer(one, np.uint8), np.frombuffer(other, np.uint8)).tobytes()


def read_segment(path: Path) -> Iterator[Any]:
    """Its header, then every message in order; ``Damage`` where records are damaged and readable ones follow, a
    ``TornTail`` last where the end is.

    A single ``NoJournal`` when the file is something else. OSError when it cannot be read.
    """
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            yield NoJournal("it does not begin like one")
            return
        first = True
        for packed in _payloads(file):
            if isinstance(packed, Damage | TornTail):
                yield NoJournal("its header is damaged") if first else packed
                if first:
                    return
                continue
            message = unpack_any(packed, (SegmentHeader,) if first else OUT)
            if isinstance(message, CodecError):
                yield NoJournal(str(message))
                return
            if isinstance(message, SegmentHeader) and message.format != FORMAT:
                yield NoJournal(f"its format is {message.format}, this version reads {FORMAT}")
                return
            first = False
            yield message
        if first:
            yield NoJournal("it is empty")


def _payloads(file: BinaryIO) -> Iterator[bytes | Damage | TornTail]:
    """The content of every record that can be read, and what stands between them."""
    record = 0
    while True:
        start = file.tell()
        head = file.read(FRAME.size)
        if not head:
            return
        record += 1
        content = _contents(file, head)
        if not isinstance(content, str):
            yield from content
            continue
        next_at = _next_frame(file, start + 1)
        if next_at is None:
            yield TornTail(file.seek(0, 2) - start, content)
            return
        yield Damage(start, record, next_at - start, content)
        file.seek(next_at)


def _contents(file: BinaryIO, head: bytes) -> list[bytes] | str:
    """The messages of the frame behind ``head``, or what is wrong with it."""
    payload = _payload(file, head)
    if isinstance(payload, str):
        return payload
    kind, content = payload
    try:
        return [content] if kind == MESSAGE else list(decode_block(content))
    except ValueError as error:
        return str(error)


def _next_frame(file: BinaryIO, start: int) -> int | None:
    """Where the next whole frame begins. Nothing marks it but its own head and checksum, so every byte may be it."""
    file.seek(start)
    rest = file.read()
    octets = np.frombuffer(rest, np.uint8)
    kinds = np.isin(octets, np.frombuffer(MESSAGE + BLOCK, np.uint8))
    for at in np.flatnonzero(kinds[: max(0, len(rest) - FRAME.size)]).tolist():
        _, size, checksum = FRAME.unpack_from(rest, at)
        body = at + FRAME.size
        if 0 < size <= len(rest) - body and zlib.crc32(rest[body : body + size]) == checksum:
            return start + int(at)
    return None


def _payload(file: BinaryIO, head: bytes) -> tuple[bytes, bytes] | str:
    """Kind and content of the frame behind ``head``, or what is wrong with it."""
    if len(head) < FRAME.size:
        return "a frame is cut off"
    kind, size, checksum = FRAME.unpack(head)
    if kind not in (MESSAGE, BLOCK) or size > MAX_FRAME_BYTES:
        return "a frame is damaged"
    packed = file.read(size)
    if len(packed) != size:
        return "a frame is cut off"
    if zlib.crc32(packed) != checksum:
        return "a checksum is wrong"
    unzip = zlib.decompressobj()
    try:
        content = unzip.decompress(packed, MAX_FRAME_BYTES)
    except zlib.error:
        return "a frame is damaged"
    return (kind, content) if unzip.eof else "a frame is larger than allowed"
