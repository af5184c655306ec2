"""Raw words <-> values: pure, for every register type, both word orders.

Decoding never invents: a raw value that means "not available", a NaN or infinity, an empty string become ``None``.
Encoding checks range and rights and rounds setpoints towards 0, so that what is written never exceeds what was meant.
Modbus application protocol 1.1b3: words are big endian on the wire; the order of words is the maker's choice.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Final

from interfaces.drivers.profile import Register, WordOrder

Value = float | int | str

MAX_SF: Final[int] = 10
"""SunSpec scale factors are -10..10 (SunSpec Information Model Specification, type sunssf)."""

_SIGNED: Final = frozenset({"int16", "int32", "int64", "sunssf"})
_FLOATS: Final = {"float32": ">f", "float64": ">d"}
_BITS_OF_WORD: Final = 16
_ERASED: Final = 0xFFFF
_LETTER_SHIFT: Final = {"low_byte": 0, "high_byte": 8}
_BYTE: Final = 0xFF


@dataclass(frozen=True, slots=True)
class EncodeFailure:
    """Why a value cannot be written."""

    reason: str


def decode(register: Register, words: Sequence[int], word_order: WordOrder, sf: int | None = None) -> Value | None:
    """The engineering value of ``register.words`` raw words, or None where the device says "not available".

    Numbers come out scaled in ``register.unit``; ``sf`` is the decoded scale factor of a SunSpec register (None: 0).
    Integers without scale stay ``int`` (enums, bit fields, counters). ``string`` and ``raw`` give text.
    """
    if len(words) != register.words:
        raise ValueError(f"{register.name} takes {register.words} words, got {len(words)}")
    if register.type in {"string", "raw"}:
        return _text(register, words)
    if register.text in _LETTER_SHIFT:
        return _letter(register, words[0])
    ordered = _msw_first(words, register.word_order or word_order)
    if register.type in _FLOATS:
        number = struct.unpack(_FLOATS[register.type], _bytes_of(ordered))[0]
        return number * register.scale if math.isfinite(number) else None
    raw = _integer(register, ordered)
    if raw in register.nan:
        return None
    return scaled(raw, register.scale, sf)


def encode(
    register: Register, value: Fraction | float | str, word_order: WordOrder, sf: int | None = None
) -> tuple[int, ...] | EncodeFailure:
    """The words that carry ``value`` (in ``register.unit``), rounded towards 0 to the register's resolution.

    It does not ask whether the register may be written (see ``writable_words``): virtual devices encode readings too.
    """
    if isinstance(value, str):
        return _encode_text(register, value)
    if register.type in {"string", "raw"}:
        return EncodeFailure(f"{register.name} takes text")
    if not math.isfinite(value):
        return EncodeFailure(f"{register.name}: {value} is not a number")
    return _encode_number(register, value, register.word_order or word_order, sf)


def _encode_number(
    register: Register, value: Fraction | float, order: WordOrder, sf: int | None
) -> tuple[int, ...] | EncodeFailure:
    raw_exact = exact(value) / (exact(register.scale) * Fraction(10) ** (sf or 0))
    if register.type in _FLOATS:
        return _encode_float(register, float(raw_exact), order)
    raw = math.trunc(raw_exact)
    low, high = _range(register)
    if not low <= raw <= high:
        return EncodeFailure(f"{register.name}: {float(value):g} {register.unit} does not fit ({low}..{high} raw)")
    if raw in register.nan:
        return EncodeFailure(f"{register.name}: {float(value):g} means 'not available' on this device")
    return _msw_first(_words_of(raw, register.words), order)


def writable_words(
    register: Register, value: Fraction | float | str, word_order: WordOrder, sf: int | None = None
) -> tuple[int, ...] | EncodeFailure:
    """As ``encode``, for a write to a device: the register must be writable."""
    if not register.writable:
        return EncodeFailure(f"{register.name} is read-only")
    if register.word_order_write is not None:
        register = replace(register, word_order=register.word_order_write)
    return encode(register, value, word_order, sf)


def not_available(register: Register, word_order: WordOrder) -> tuple[int, ...]:
    """The words a device shows for "not available": its first ``nan``, a float NaN, spaces-free empty text, or 0."""
    if register.type in _FLOATS:
        return (_ERASED,) * register.words
    raw = register.nan[0] if register.nan else 0
    return _msw_first(_words_of(raw, register.words), register.word_order or word_order)


def exact(value: Fraction | float) -> Fraction:
    """The decimal number a person would read: 0.1 is one tenth, not the nearest binary fraction."""
    return Fraction(value) if isinstance(value, Fraction | int) else Fraction(repr(float(value)))


def scaled(raw: int, scale: float, sf: int | None) -> float | int:
    """``raw * scale * 10**sf``, correctly rounded (0.1 steps come out as 230.1, not 230.10000000000002)."""
    if scale == 1 and not sf:
        return raw
    numerator, denominator = _ratio(scale, sf or 0)
    return raw * numerator / denominator


@lru_cache(maxsize=256)
def _ratio(scale: float, sf: int) -> tuple[int, int]:
    return (exact(scale) * Fraction(10) ** sf).as_integer_ratio()


def _msw_first(words: Sequence[int], order: WordOrder) -> tuple[int, ...]:
    """Turn device order into most-significant-first, or back (the operation is its own inverse)."""
    return tuple(words) if order == "msw_first" else tuple(reversed(words))


def _bytes_of(words: Sequence[int]) -> bytes:
    return struct.pack(f">{len(words)}H", *words)


def _words_of(raw: int, count: int) -> tuple[int, ...]:
    data = (raw & ((1 << (_BITS_OF_WORD * count)) - 1)).to_bytes(2 * count, "big")
    return struct.unpack(f">{count}H", data)


def _integer(register: Register, words: Sequence[int]) -> int:
    return int.from_bytes(_bytes_of(words), "big", signed=register.type in _SIGNED)


def _range(register: Register) -> tuple[int, int]:
    if register.type == "sunssf":
        return -MAX_SF, MAX_SF
    if register.type == "bit":
        return 0, 1
    bits = _BITS_OF_WORD * register.words
    return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if register.type in _SIGNED else (0, (1 << bits) - 1)


def _encode_float(register: Register, value: float, order: WordOrder) -> tuple[int, ...] | EncodeFailure:
    try:
        data = struct.pack(_FLOATS[register.type], value)
    except OverflowError:
        return EncodeFailure(f"{register.name}: {value:g} does not fit {register.type}")
    if abs(struct.unpack(_FLOATS[register.type], data)[0]) > abs(value):
        # The nearest float32 lies further from 0 than asked: take its neighbour, whose pattern is one less.
        data = (int.from_bytes(data, "big") - 1).to_bytes(len(data), "big")
    return _msw_first(struct.unpack(f">{register.words}H", data), order)


def _text(register: Register, words: Sequence[int]) -> str | None:
    data = _bytes_of(words)
    if register.type == "raw" and register.text == "hex":
        return data.hex()
    if register.type == "raw" and register.text == "version":
        return ".".join(str(byte) for byte in data[:3])
    if all(word == _ERASED for word in words):
        return None
    if register.text == "swapped":
        data = _swapped(data)
    if register.text == "utf16" and data[0] == 0:
        shown = data.decode("utf-16-be", "replace").split("\0", 1)[0].strip()
    else:
        shown = data.split(b"\0", 1)[0].decode("ascii", "replace").strip()
    return shown if shown.isprintable() and shown else None


def _letter(register: Register, word: int) -> str | None:
    """One ASCII letter in a word, by itself."""
    shown = chr(word >> _LETTER_SHIFT[register.text] & _BYTE)
    return shown if shown.isascii() and shown.isalnum() else None


def _swapped(data: bytes) -> bytes:
    """The bytes of each word the other way round."""
    return b"".join(data[index : index + 2][::-1] for index in range(0, len(data), 2))


def _encode_text(register: Register, text: str) -> tuple[int, ...] | EncodeFailure:
    if register.text in _LETTER_SHIFT and len(text) == 1 and text.isascii():
        return (ord(text) << _LETTER_SHIFT[register.text],)
    if register.type not in ("string", "raw"):
        return EncodeFailure(f"{register.name} takes a number, not {text!r}")
    try:
        data = _text_bytes(register, text)
    except ValueError:
        return EncodeFailure(f"{register.name}: {text!r} is not {register.text} text")
    if len(data) > 2 * register.words:
        return EncodeFailure(f"{register.name} holds {2 * register.words} bytes, {text!r} is longer")
    return struct.unpack(f">{register.words}H", data.ljust(2 * register.words, b"\0"))


def _text_bytes(register: Register, text: str) -> bytes:
    if register.type == "raw" and register.text == "hex":
        return bytes.fromhex(text)
    if register.type == "raw" and register.text == "version":
        return bytes(int(part) for part in text.split("."))
    if register.text == "utf16":
        return text.encode("utf-16-be")
    if register.text == "swapped":
        return _swapped(text.encode("ascii").ljust(2 * register.words, b"\0"))
    return text.encode("ascii")
