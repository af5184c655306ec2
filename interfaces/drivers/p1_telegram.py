"""P1 telegrams of digital meters: bytes of a stream -> telegrams, bytes of a telegram -> typed objects. Pure and total.

A telegram is ``/`` identification, an empty line, one OBIS object a line, ``!`` and a checksum. Whatever arrives
instead (half telegrams, noise, another protocol) is a refusal with its reason; nothing raises, nothing grows.
Sources: DSMR P1 companion standard 4.2.2 and 5.0.2, section 5.2 (framing, CRC16 over everything from ``/`` to ``!``,
x16 + x15 + x2 + 1 reflected, start 0, four hexadecimal digits); Fluvius e-MUCS P1 1.7; Luxembourg P1 1.1.3.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MAX_TELEGRAM_BYTES: Final = 8192
"""The longest honest telegram carries a text of 1024 characters as 2048 hexadecimal digits and some 40 other lines."""
MAX_LINE_CHARACTERS: Final = 2200
MAX_OBJECTS: Final = 200
MAX_PROBLEMS: Final = 8
MAX_STARTS: Final = 8
"""Places in a frame that are tried as the start of the telegram that ends it."""
TEXT_LENGTH: Final = 64
SHORT_TEXT: Final = 4

CRC_POLYNOMIAL: Final = 0xA001
UNITS: Final[Mapping[str, tuple[str, float]]] = {
    **dict.fromkeys(("1-0:1.8.0", "1-0:1.8.1", "1-0:1.8.2", "1-0:2.8.0", "1-0:2.8.1", "1-0:2.8.2"), ("kWh", 1e9)),
    **dict.fromkeys(("1-0:1.7.0", "1-0:2.7.0", "1-0:1.4.0", "1-0:1.6.0"), ("kW", 1e4)),
    **dict.fromkeys([f"1-0:{c}.7.0" for c in (21, 22, 41, 42, 61, 62)], ("kW", 1e4)),
    **dict.fromkeys([f"1-0:{c}.7.0" for c in (3, 4, 23, 24, 43, 44, 63, 64)], ("kvar", 1e4)),
    **dict.fromkeys([f"1-0:{c}.7.0" for c in (32, 52, 72)], ("V", 500.0)),
    **dict.fromkeys([f"1-0:{c}.7.0" for c in (31, 51, 71)], ("A", 2000.0)),
}
"""Objects that are numbers: unit and largest believable value. The smallest is 0: a sign has an object of its own."""
TEXTS: Final = ("0-0:96.1.1", "0-0:96.1.4", "0-0:96.14.0", "1-3:0.2.8")
"""Serial number, version (Belgium), tariff in force, version (Netherlands)."""
STAMP: Final = "0-0:1.0.0"
MONTH_PEAK: Final = "1-0:1.6.0"
"""Its first bracket is the time stamp of that quarter of an hour (e-MUCS)."""

_OBJECT: Final = re.compile(r"(\d{1,3}-\d{1,3}:\d{1,3}\.\d{1,3}\.\d{1,3})((?:\([^()]*\))+)", re.ASCII)
_NUMBER: Final = re.compile(r"(\d{1,10})(?:\.(\d{1,4}))?\*([A-Za-z]{1,4})", re.ASCII)
_STAMP: Final = re.compile(r"\d{12}[SW]", re.ASCII)
_CHECKSUM: Final = re.compile(rb"[0-9A-Fa-f]{4}")
_CIPHERED: Final = b"\xdb\x08"
"""How a ciphered frame starts: general-global-ciphering (IEC 62056-5-3), then a system title of 8 bytes."""


class Reason(StrEnum):
    """Why bytes are no telegram."""

    CHECKSUM = "checksum of the telegram is wrong"
    NO_CHECKSUM = "telegram without checksum (DSMR 2 or 3): such meters cannot protect anything"
    BAD_END = "end of the telegram cannot be read"
    NOT_TEXT = "telegram is no text"
    TOO_LONG = "no end of a telegram where the longest would have ended"
    TOO_MANY = "telegram has too many objects"
    CIPHERED = "meter sends ciphered telegrams: ask the grid operator to open the port"
    REPEATED = "meter or bridge repeats its last telegram"


@dataclass(frozen=True, slots=True)
class Number:
    """A measured value as printed, never negative. ``decimals``: digits behind its point."""

    value: float
    unit: str
    decimals: int

    @property
    def half_step(self) -> float:
        """What rounding to its last digit may hide, in its unit."""
        return 0.5 * 10.0**-self.decimals


@dataclass(frozen=True, slots=True)
class Telegram:
    """What a telegram says. ``numbers`` and ``texts`` by OBIS code, such as ``1-0:1.7.0``.

    ``stamp``: the meter's local time YYMMDDhhmmss and S (summer) or W; None where it has none. ``problems``: objects
    that are there and cannot be used, which are then not in ``numbers``. ``digest``: checksum of all its bytes.
    ``peak_stamp``: when the month's highest quarter of an hour was, in the form of ``stamp``.
    """

    identification: str
    stamp: str | None
    numbers: Mapping[str, Number]
    texts: Mapping[str, str]
    problems: tuple[str, ...]
    digest: int
    peak_stamp: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Bytes that were no telegram."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Arrived:
    """A telegram or a refusal, and when its first byte arrived (monotonic)."""

    content: Telegram | Refused
    at_s: float


def _table_entry(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ CRC_POLYNOMIAL if byte & 1 else byte >> 1
    return byte


_CRC_TABLE: Final = tuple(_table_entry(byte) for byte in range(256))


def crc16(data: bytes) -> int:
    """CRC16 of DSMR: polynomial 0xA001 reflected, start 0, no final change."""
    crc = 0
    for byte in data:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc


class Framer:
    """Cuts a stream into telegrams. It holds at most ``MAX_TELEGRAM_BYTES`` and what the last chunk brought."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._chunks: list[tuple[int, float]] = []
        self._scanned = 0
        self.noise_bytes = 0
        """Bytes outside any telegram so far, line ends not counted."""

    def feed(self, data: bytes, at_s: float) -> list[Arrived]:
        """Take the bytes that arrived at ``at_s``; what they complete, in order."""
        if not data:
            return []
        self._chunks.append((len(self._buffer), at_s))
        self._buffer += data
        found: list[Arrived] = []
        if _CIPHERED in data and not self._buffer.startswith(b"/"):
            found.append(Arrived(Refused(Reason.CIPHERED), at_s))
        while (end := self._buffer.find(b"\n", self._scanned)) >= 0:
            line_start = self._buffer.rfind(b"\n", 0, end) + 1
            self._scanned = end + 1
            if self._buffer.find(b"!", line_start, end) >= 0:
                found.extend(self._ended(end + 1))
        self._scanned = len(self._buffer)
        self._skip_noise()
        if len(self._buffer) > MAX_TELEGRAM_BYTES:
            found.append(Arrived(Refused(Reason.TOO_LONG), self._time_at(0)))
            self._drop(max(self._buffer.rfind(b"/"), len(self._buffer) - MAX_TELEGRAM_BYTES))
            self._skip_noise()
        return found

    def _ended(self, end: int) -> list[Arrived]:
        """What the first ``end`` bytes are; they are consumed."""
        frame = bytes(self._buffer[:end])
        start, content = judge(frame)
        at_s = self._time_at(start)
        self.noise_bytes += _loud(frame if content is None else frame[:start])
        self._drop(end)
        return [] if content is None else [Arrived(content, at_s)]

    def _skip_noise(self) -> None:
        start = self._buffer.find(b"/")
        if start != 0:
            start = len(self._buffer) if start < 0 else start
            self.noise_bytes += _loud(bytes(self._buffer[:start]))
            self._drop(start)

    def _time_at(self, position: int) -> float:
        return max((chunk for chunk in self._chunks if chunk[0] <= position), default=self._chunks[0])[1]

    def _drop(self, count: int) -> None:
        if count <= 0:
            return
        del self._buffer[:count]
        moved = [(max(0, start - count), at_s) for start, at_s in self._chunks]
        # Of the chunks that now start at 0 only the last one still holds bytes.
        first = max((k for k, chunk in enumerate(moved) if chunk[0] == 0), default=0)
        self._chunks = moved[first:] if self._buffer else []
        self._scanned = max(0, self._scanned - count)


def _loud(data: bytes) -> int:
    return len(data.strip(b"\r\n\0 "))


def judge(frame: bytes) -> tuple[int, Telegram | Refused | None]:
    """What bytes up to and with the line of a ``!`` are, and where it starts. None: no telegram began in them.

    A telegram that was cut off may stand before the one that ends here, so that each ``/`` may be its start.
    """
    starts = [found.start() for found in re.finditer(b"/", frame)][-MAX_STARTS:]
    mark = frame.rfind(b"!")
    if not starts or starts[0] > mark:
        return 0, None
    told = frame[mark + 1 :].strip(b"\r\n\0 ")
    if not told:
        return starts[0], Refused(Reason.NO_CHECKSUM)
    if not _CHECKSUM.fullmatch(told):
        return starts[0], Refused(Reason.BAD_END)
    wanted = int(told, 16)
    for start in starts:
        if start < mark and crc16(frame[start : mark + 1]) == wanted:
            return start, parse(frame[start : mark + 1])
    return starts[0], Refused(Reason.CHECKSUM)


def parse(content: bytes) -> Telegram | Refused:
    """The objects of a telegram whose checksum is right: from ``/`` to ``!``, both included."""
    try:
        first, *lines = content[:-1].decode("ascii").splitlines()
    except UnicodeDecodeError:
        return Refused(Reason.NOT_TEXT)
    except ValueError:
        return Refused(Reason.BAD_END)
    objects: dict[str, tuple[str, ...]] = {}
    spoiled: dict[str, str] = {}
    for number, line in enumerate(lines, 2):
        if not line.strip():
            continue
        if len(objects) >= MAX_OBJECTS:
            return Refused(Reason.TOO_MANY)
        match = _OBJECT.fullmatch(line.strip()) if len(line) <= MAX_LINE_CHARACTERS else None
        if match is None:
            spoiled[f"line {number}"] = "too long" if len(line) > MAX_LINE_CHARACTERS else "no object"
            continue
        code, values = match[1], tuple(match[2][1:-1].split(")("))
        if objects.setdefault(code, values) != values:
            spoiled[code] = "given twice with different values"
    numbers, texts, stamp = _typed({code: v for code, v in objects.items() if code not in spoiled}, spoiled)
    problems = tuple(f"{where}: {what}" for where, what in spoiled.items())[:MAX_PROBLEMS]
    said = objects.get(MONTH_PEAK, ("",))[0]
    peak_stamp = said if MONTH_PEAK in numbers and _STAMP.fullmatch(said) else None
    return Telegram(first[1:].strip()[:TEXT_LENGTH], stamp, numbers, texts, problems, zlib.crc32(content), peak_stamp)


def _typed(
    objects: Mapping[str, tuple[str, ...]], spoiled: dict[str, str]
) -> tuple[dict[str, Number], dict[str, str], str | None]:
    """Numbers, texts and the time stamp; what cannot be read is noted in ``spoiled``. The last bracket is the value."""
    numbers: dict[str, Number] = {}
    texts: dict[str, str] = {}
    stamp = None
    for code, values in objects.items():
        if code in UNITS:
            number = _number(values[-1], *UNITS[code])
            if isinstance(number, Number):
                numbers[code] = number
            else:
                spoiled[code] = number
        elif code in TEXTS:
            texts[code] = _text(values[-1])
        elif code == STAMP:
            stamp = values[-1] if _STAMP.fullmatch(values[-1]) else None
            if stamp is None:
                spoiled[code] = "no time stamp"
    return numbers, texts, stamp


def _number(text: str, unit: str, most: float) -> Number | str:
    """The number, or why it is none."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return "no number with a unit"
    whole, decimals, told = match[1], match[2] or "", match[3]
    if told != unit:
        return f"in {told} instead of {unit}"
    value = float(f"{whole}.{decimals or '0'}")
    return Number(value, unit, len(decimals)) if value <= most else "larger than anything real"


def _text(text: str) -> str:
    """A text object: hexadecimal digits of ASCII characters where that gives printable ones, else as it stands.

    Short ones (versions, tariffs: ``50``, ``0002``) are what they look like.
    """
    try:
        plain = bytes.fromhex(text).decode("ascii")
    except ValueError:
        plain = ""
    return (plain if len(text) > SHORT_TEXT and plain.isprintable() and plain else text)[:TEXT_LENGTH]
