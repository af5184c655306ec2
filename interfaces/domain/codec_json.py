"""JSON from elsewhere -> frozen facts: the border check of plans and targets that come as text; and the way out.

As strict as ``codec``. Fields go by name. Missing is ``null``: it is read as ``MISSING`` in an integer and ``NEVER_S``
in a time, and written for them. Size and depth are bounded before anything is parsed; duplicate keys, unknown keys,
missing keys, NaN, infinities, fractions in integer columns and ragged columns are refused with the path to the field.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, Final, NoReturn, TypeVar

import numpy as np

from interfaces.domain.codec import INT64, CodecError, RefusedError, refuse
from interfaces.domain.codec_shape import DTYPES, Kind, Shape, shape_of
from interfaces.domain.units import MISSING, NEVER_S

T = TypeVar("T")
Convert = Callable[[Any], Any]

MAX_JSON_BYTES: Final[int] = 256 * 1024
MAX_DEPTH: Final[int] = 8
MAX_DIGITS: Final[int] = len(str(INT64.min))
_TOKEN: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\Z)|[\[{]|[\]}]', re.DOTALL)
"""Strings are swallowed whole (possessive, to the end when unterminated), so that the scan is linear in any text."""
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")


def from_json(data: str | bytes, cls: type[T], *, max_bytes: int = MAX_JSON_BYTES) -> T | CodecError:
    """The object of class ``cls`` in a JSON text, or why it is none."""
    if len(data) > max_bytes:
        return CodecError(f"larger than {max_bytes} bytes")
    try:
        found: T = _reader(shape_of(cls))(parse_json(data))
    except RefusedError as refused:
        return refused.as_value()
    return found


def to_json(value: Any) -> str:
    """One line of JSON that ``from_json`` reads back as the same facts; ``value`` is a dataclass of known shape.

    Raises:
        ValueError: it holds NaN or an infinity, which never leave.
        TypeError: it has a field of a type that cannot travel.
    """
    plain = _writer(shape_of(type(value)))(value)
    return json.dumps(plain, allow_nan=False, separators=(",", ":"), ensure_ascii=False)


def parse_json(data: str | bytes, *, max_depth: int = MAX_DEPTH) -> Any:
    """Plain data of a JSON text that has passed the bounds.

    Raises:
        RefusedError: it is no JSON, too deep, says a key twice, or holds NaN, an infinity, an integer beyond 64 bits
            or half a surrogate pair, which nobody could write again.
    """
    try:
        text = data.decode() if isinstance(data, bytes) else data
    except UnicodeDecodeError:
        refuse("not UTF-8")
    if _depth(text) > max_depth:
        refuse(f"nested deeper than {max_depth}")
    try:
        found = json.loads(text, object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer)
    except json.JSONDecodeError as error:
        refuse(f"not JSON: {error.msg} at line {error.lineno} column {error.colno}")
    if _SURROGATE.search(text):  # as a rule there is none, and nothing is written
        try:
            json.dumps(found, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            refuse("text that is no Unicode")
    return found


def _depth(text: str) -> int:
    deepest = depth = 0
    for token in _TOKEN.finditer(text):
        start = token.group()[0]
        if start in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif start in "]}":
            depth -= 1
    return deepest


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        refuse(f"key {next(key for key in keys if keys.count(key) > 1)!r} is given twice")
    return found


def _constant(text: str) -> NoReturn:
    refuse(f"{text} is not a number")


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS or not INT64.min < (found := int(text)) <= INT64.max:
        refuse("an integer is beyond 64 bits")
    return found


def _within(items: Iterator[tuple[str, Convert, Any]]) -> list[Any]:
    """Convert each named item; a refusal learns where it happened."""
    found: list[Any] = []
    name = ""
    try:
        for name, convert, one in items:  # noqa: B007  names the field that failed
            found.append(convert(one))
    except RefusedError as refused:
        if name:
            refused.path.insert(0, name)
        raise
    return found


_ITEM: Final = {"i": Shape("int", "int"), "f": Shape("float", "float"), "b": Shape("bool", "bool")}


@cache
def _reader(shape: Shape) -> Convert:
    return _READERS[shape.kind](shape)


def _read_int(raw: Any) -> int:
    if type(raw) is not int or not INT64.min < raw <= INT64.max:
        refuse("not a 64-bit integer")
    return raw


def _read_float(raw: Any) -> float:
    if type(raw) not in (int, float) or not math.isfinite(raw):
        refuse("not a finite number")
    return float(raw)


def _read_bool(raw: Any) -> bool:
    if not isinstance(raw, bool):
        refuse("not true or false")
    return raw


def _read_str(raw: Any) -> str:
    if not isinstance(raw, str):
        refuse("not text")
    return raw


def _one_of(raw: Any, choices: tuple[Any, ...]) -> Any:
    if isinstance(raw, bool) or raw not in choices:
        refuse(f"not one of {', '.join(map(str, choices))}")
    return raw


def _member(raw: Any, cls: Any) -> Any:
    if not isinstance(raw, str) or raw not in cls.__members__:
        refuse(f"not one of {', '.join(cls.__members__)}")
    return cls[raw]


def _dict(raw: Any) -> dict[str, Any]:
    if not isinstance(raw, dict):
        refuse("not an object")
    return raw


def _list(raw: Any) -> list[Any]:
    if not isinstance(raw, list):
        refuse("not a list")
    return raw


def _optional_reader(shape: Shape) -> Convert:
    inner = _reader(shape.parts[0])
    return lambda raw: None if raw is None else inner(raw)


def _map_reader(shape: Shape) -> Convert:
    part = _reader(shape.parts[0])
    return lambda raw: dict(zip(_dict(raw), _within((key, part, one) for key, one in raw.items()), strict=True))


def _sequence_reader(shape: Shape) -> Convert:
    parts = [_reader(part) for part in shape.parts]

    def read(raw: Any) -> tuple[Any, ...]:
        count = len(_list(raw))
        items = parts * count if shape.kind == "list" else parts
        if len(items) != count:
            refuse(f"{count} items instead of {len(items)}")
        return tuple(_within((str(k), convert, one) for k, (convert, one) in enumerate(zip(items, raw, strict=True))))

    return read


def _record_reader(shape: Shape) -> Convert:
    cls = shape.cls or object
    parts = dict(zip(shape.names, map(_reader, shape.parts), strict=True))

    def read(raw: Any) -> Any:
        unknown = [key for key in _dict(raw) if key not in parts]
        absent = [name for name in parts if name not in raw]
        if unknown:
            refuse(f"unknown key '{unknown[0]}'")
        if absent:
            refuse(f"key '{absent[0]}' is missing")
        return cls(*_within((name, convert, raw[name]) for name, convert in parts.items()))

    return read


def _read_column(raw: Any, code: str) -> Any:
    """A read-only column; an empty list is an empty column of one dimension."""
    shape = _shape_of_list(_list(raw))
    item = _reader(_ITEM[code])
    flat = _within((str(k), item, one) for k, one in enumerate(_leaves(raw, len(shape))))
    column = np.array(flat, dtype=DTYPES[code]).reshape(shape)
    column.setflags(write=False)
    return column


def _shape_of_list(raw: list[Any]) -> tuple[int, ...]:
    shape: list[int] = []
    level: list[Any] = [raw]
    while level and all(isinstance(one, list) for one in level):
        if len({len(one) for one in level}) != 1:
            refuse("rows of a column differ in length")
        shape.append(len(level[0]))
        level = [item for one in level for item in one]
    if any(isinstance(one, list) for one in level):
        refuse("rows of a column differ in depth")
    return tuple(shape)


def _leaves(raw: Any, depth: int) -> Iterator[Any]:
    if depth == 0:
        yield raw
        return
    for one in raw:
        yield from _leaves(one, depth - 1)


_READERS: Final[Mapping[Kind, Callable[[Shape], Convert]]] = {
    "int": lambda _: lambda raw: MISSING if raw is None else _read_int(raw),
    "float": lambda _: lambda raw: NEVER_S if raw is None else _read_float(raw),
    "bool": lambda _: _read_bool,
    "str": lambda _: _read_str,
    "choice": lambda shape: lambda raw: _one_of(raw, shape.choices),
    "enum": lambda shape: lambda raw: _member(raw, shape.cls),
    "array": lambda shape: lambda raw: _read_column(raw, shape.dtype),
    "optional": _optional_reader,
    "list": _sequence_reader,
    "tuple": _sequence_reader,
    "map": _map_reader,
    "record": _record_reader,
}


@cache
def _writer(shape: Shape) -> Convert:
    make = _WRITERS.get(shape.kind)
    return (lambda value: value) if make is None else make(shape)


def _record_writer(shape: Shape) -> Convert:
    parts = dict(zip(shape.names, map(_writer, shape.parts), strict=True))
    return lambda value: {name: write(getattr(value, name)) for name, write in parts.items()}


def _map_writer(shape: Shape) -> Convert:
    part = _writer(shape.parts[0])
    return lambda value: {key: part(one) for key, one in value.items()}


def _optional_writer(shape: Shape) -> Convert:
    inner = _writer(shape.parts[0])
    return lambda value: None if value is None else inner(value)


def _list_writer(shape: Shape) -> Convert:
    part = _writer(shape.parts[0])
    return lambda value: [part(one) for one in value]


def _tuple_writer(shape: Shape) -> Convert:
    parts = [_writer(part) for part in shape.parts]
    return lambda value: [write(one) for write, one in zip(parts, value, strict=True)]


def _number(value: Any) -> Any:
    return None if value in (MISSING, NEVER_S) else value


def _column(raw: Any) -> Any:
    return [_column(one) for one in raw] if isinstance(raw, list) else _number(raw)


_WRITERS: Final[Mapping[Kind, Callable[[Shape], Convert]]] = {
    "int": lambda _: _number,
    "float": lambda _: _number,
    "enum": lambda _: lambda value: value.name,
    "array": lambda _: lambda value: _column(value.tolist()),
    "optional": _optional_writer,
    "list": _list_writer,
    "tuple": _tuple_writer,
    "map": _map_writer,
    "record": _record_writer,
}
