"""Frozen facts <-> bytes: one strict, versioned form for journal, processes and digests.

A packed object is a msgpack list ``[version, name, fingerprint, fields]``. Fields stand in declared order; columns are
raw little-endian bytes behind their type and shape. The fingerprint covers every field name and type below, so that
bytes of another version are refused with that reason and never misread. Reading gives the object or a ``CodecError``;
packing what does not have its declared type is a bug and raises TypeError. JSON from elsewhere is for ``codec_json``.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from operator import attrgetter, index
from typing import Any, Final, NoReturn, TypeVar

import msgpack
import numpy as np

from interfaces.domain.codec_shape import DTYPES, Kind, Shape, shape_of

T = TypeVar("T")

VERSION: Final[int] = 1
MAX_BYTES: Final[int] = 64 * 1024 * 1024
"""Far above a state of 1000 assets; a length that is larger was not written by us."""
MAX_DIMENSIONS: Final[int] = 4
DIGEST_BYTES: Final[int] = 16
INT64: Final = np.iinfo(np.int64)

Convert = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class CodecError:
    """Why data is refused: ``path`` is the field, empty for the whole."""

    reason: str
    path: str = ""

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}" if self.path else self.reason


class RefusedError(Exception):
    """Carries a refusal from the depth of the data to the border; it never leaves the codec."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path: list[str] = []

    def as_value(self) -> CodecError:
        """The refusal as callers see it."""
        return CodecError(self.reason, ".".join(self.path))


def refuse(reason: str) -> NoReturn:
    """Refuse the data at hand.

    Raises:
        RefusedError: always.
    """
    raise RefusedError(reason)


def pack(value: Any) -> bytes:
    """The object as bytes.

    Raises:
        TypeError: a field does not hold what it declares.
    """
    cls = type(value)
    shape = shape_of(cls)
    packed: bytes = msgpack.packb([VERSION, cls.__name__, fingerprint(cls), _packer(shape)(value)])
    return packed


def unpack(data: bytes, cls: type[T], *, max_bytes: int = MAX_BYTES) -> T | CodecError:
    """The object of class ``cls`` in ``data``, or why it is none."""
    found: T | CodecError = unpack_any(data, (cls,), max_bytes=max_bytes)
    return found


def unpack_any(data: bytes, classes: Iterable[type[Any]], *, max_bytes: int = MAX_BYTES) -> Any:
    """The object in ``data`` when it is of one of ``classes``, else a ``CodecError``."""
    if len(data) > max_bytes:
        return CodecError(f"larger than {max_bytes} bytes")
    try:
        raw = msgpack.unpackb(data)
    except (ValueError, msgpack.UnpackException) as error:
        return CodecError(f"not readable: {error or type(error).__name__}")
    try:
        cls = _class_of(raw, {one.__name__: one for one in classes})
        return _unpacker(shape_of(cls))(raw[3])
    except RefusedError as refused:
        return refused.as_value()


def fingerprint(cls: type[Any]) -> str:
    """What must be equal for bytes of a class to be understood: a digest of all names and types in it."""
    shape: Any = shape_of(cls)
    return _print_of(shape)


@cache
def _print_of(shape: Shape) -> str:
    return shape.fingerprint


def digest(value: Any) -> str:
    """A stable digest of all that the object holds."""
    return digest_of(pack(value))


def digest_of(packed: bytes) -> str:
    """The digest of a packed object."""
    return hashlib.blake2b(packed, digest_size=DIGEST_BYTES).hexdigest()


def _class_of(raw: Any, known: Mapping[str, type[Any]]) -> type[Any]:
    if not isinstance(raw, list) or len(raw) != 4:
        refuse("not a packed object")
    version, name, print_, _ = raw
    if version != VERSION:
        refuse(f"codec version {version!r} is not {VERSION}")
    if not isinstance(name, str) or name not in known:
        refuse(f"{name!r} is not expected here, only {', '.join(sorted(known))}")
    if print_ != fingerprint(known[name]):
        refuse(f"{name} was written by another version: its fields differ")
    return known[name]


# -- packing: closures made once per type -----------------------------------------------------------------------------


@cache
def _packer(shape: Shape) -> Convert:
    """A function from a value to what msgpack takes."""
    return _PACKERS[shape.kind](shape)


def _real(value: Any) -> float:
    if type(value) is float:
        return value
    if not isinstance(value, int | np.number) or isinstance(value, bool):
        raise TypeError(f"{value!r} is not a number")
    return float(value)


def _plain(value: Any) -> Any:
    if not isinstance(value, str | bool | int):
        raise TypeError(f"{value!r} is neither text, number nor truth value")
    return value


def _optional_packer(shape: Shape) -> Convert:
    inner = _packer(shape.parts[0])
    return lambda value: None if value is None else inner(value)


def _list_packer(shape: Shape) -> Convert:
    item = _packer(shape.parts[0])
    return lambda value: [item(one) for one in value]


def _tuple_packer(shape: Shape) -> Convert:
    items = tuple(map(_packer, shape.parts))
    return lambda value: [item(one) for item, one in zip(items, value, strict=True)]


def _map_packer(shape: Shape) -> Convert:
    part = _packer(shape.parts[0])
    return lambda value: [[str(key), part(one)] for key, one in value.items()]


def _record_packer(shape: Shape) -> Convert:
    cls, packers = shape.cls, tuple(map(_packer, shape.parts))
    single = len(shape.names) == 1
    get = attrgetter(*shape.names) if shape.names else lambda _: ()

    def packed(value: Any) -> Any:
        if type(value) is not cls:
            raise TypeError(f"{type(value).__name__} where {shape.text[:40]} is declared")
        values = (get(value),) if single else get(value)
        return [convert(one) for convert, one in zip(packers, values, strict=True)]

    return packed


def _column_packer(shape: Shape) -> Convert:
    code, dtype = shape.dtype, DTYPES[shape.dtype]
    heads: dict[tuple[int, ...], bytes] = {}

    def packed(value: Any) -> bytes:
        if value.dtype != dtype:
            raise TypeError(f"a column of {value.dtype} where {dtype} is declared")
        head = heads.get(value.shape)
        if head is None:
            head = heads[value.shape] = _head(code, value.shape)
        return head + bytes(value.tobytes())

    return packed


def _head(code: str, shape: tuple[int, ...]) -> bytes:
    return struct.pack(f"<cB{len(shape)}I", code.encode(), len(shape), *shape)


_PACKERS: Final[Mapping[Kind, Callable[[Shape], Convert]]] = {
    "int": lambda _: index,
    "float": lambda _: _real,
    "bool": lambda _: _plain,
    "str": lambda _: _plain,
    "choice": lambda _: _plain,
    "enum": lambda _: attrgetter("value"),
    "array": _column_packer,
    "optional": _optional_packer,
    "list": _list_packer,
    "tuple": _tuple_packer,
    "map": _map_packer,
    "record": _record_packer,
}


# -- unpacking --------------------------------------------------------------------------------------------------------


@cache
def _unpacker(shape: Shape) -> Convert:
    """A function from what msgpack gave to the value; it refuses everything that is not exactly the declared type."""
    return _UNPACKERS[shape.kind](shape)


def _int(raw: Any) -> int:
    if type(raw) is not int or not INT64.min <= raw <= INT64.max:
        refuse(f"{_shown(raw)} is not a 64-bit integer")
    return raw


def _float(raw: Any) -> float:
    if type(raw) is not float or math.isnan(raw):
        refuse(f"{_shown(raw)} is not a number with a fraction")
    return raw


def _bool(raw: Any) -> bool:
    if not isinstance(raw, bool):
        refuse(f"{_shown(raw)} is not true or false")
    return raw


def _str(raw: Any) -> str:
    if not isinstance(raw, str):
        refuse(f"{_shown(raw)} is not text")
    return raw


def _list(raw: Any) -> list[Any]:
    if not isinstance(raw, list):
        refuse(f"{_shown(raw)} is not a list")
    return raw


def _chosen(raw: Any, choices: tuple[Any, ...]) -> Any:
    if raw not in choices or isinstance(raw, bool):
        refuse(f"{_shown(raw)} is not one of {', '.join(map(str, choices))}")
    return raw


def _member(raw: Any, cls: Any) -> Any:
    try:
        return cls(raw)
    except ValueError:
        refuse(f"{_shown(raw)} is no {cls.__name__}")


def _each(items: list[Convert], raw: list[Any]) -> list[Any]:
    if len(items) != len(raw):
        refuse(f"{len(raw)} items instead of {len(items)}")
    found: list[Any] = []
    try:
        found.extend(convert(one) for convert, one in zip(items, raw, strict=True))
    except RefusedError as refused:
        refused.path.insert(0, str(len(found)))
        raise
    return found


def _optional_unpacker(shape: Shape) -> Convert:
    inner = _unpacker(shape.parts[0])
    return lambda raw: None if raw is None else inner(raw)


def _list_unpacker(shape: Shape) -> Convert:
    item = _unpacker(shape.parts[0])
    return lambda raw: tuple(_each([item] * len(_list(raw)), raw))


def _tuple_unpacker(shape: Shape) -> Convert:
    items = [_unpacker(part) for part in shape.parts]
    return lambda raw: tuple(_each(items, _list(raw)))


def _map_unpacker(shape: Shape) -> Convert:
    part = _unpacker(shape.parts[0])

    def unpacked(raw: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for entry in _list(raw):
            key, one = entry if isinstance(entry, list) and len(entry) == 2 else refuse("a map entry is damaged")
            if not isinstance(key, str) or key in found:
                refuse(f"key {_shown(key)} is no text or is given twice")
            found[key] = part(one)
        return found

    return unpacked


def _record_unpacker(shape: Shape) -> Convert:
    cls = shape.cls or object
    fields = tuple(zip(shape.names, map(_unpacker, shape.parts), strict=True))

    def unpacked(raw: Any) -> Any:
        if not isinstance(raw, list) or len(raw) != len(fields):
            refuse(f"{_shown(raw)} is not a {cls.__name__} of {len(fields)} fields")
        values, name = [], ""
        try:
            for (name, convert), one in zip(fields, raw, strict=True):  # noqa: B007  names the field that failed
                values.append(convert(one))
        except RefusedError as refused:
            refused.path.insert(0, name)
            raise
        return cls(*values)

    return unpacked


def _column(raw: Any, code: str) -> Any:
    dtype = DTYPES[code]
    if not isinstance(raw, bytes) or len(raw) < 2 or raw[1] > MAX_DIMENSIONS:
        refuse("not a column")
    start = 2 + 4 * raw[1]
    if raw[:1] != code.encode():
        refuse(f"a column of type {raw[:1]!r} instead of {code!r}")
    if len(raw) < start:
        refuse("a column is cut off")
    shape = struct.unpack_from(f"<{raw[1]}I", raw, 2)
    if math.prod(shape) * dtype.itemsize != len(raw) - start:
        refuse(f"a column of shape {shape} with {len(raw) - start} bytes")
    column = np.frombuffer(raw, dtype=dtype, offset=start).reshape(shape)
    if code == "f" and np.isnan(column).any():
        refuse("NaN in a column")
    if code == "b" and (column.view(np.uint8) > 1).any():
        refuse("a truth value that is neither 0 nor 1")
    return column


_UNPACKERS: Final[Mapping[Kind, Callable[[Shape], Convert]]] = {
    "int": lambda _: _int,
    "float": lambda _: _float,
    "bool": lambda _: _bool,
    "str": lambda _: _str,
    "choice": lambda shape: lambda raw: _chosen(raw, shape.choices),
    "enum": lambda shape: lambda raw: _member(raw, shape.cls),
    "array": lambda shape: lambda raw: _column(raw, shape.dtype),
    "optional": _optional_unpacker,
    "list": _list_unpacker,
    "tuple": _tuple_unpacker,
    "map": _map_unpacker,
    "record": _record_unpacker,
}


def _shown(raw: Any) -> str:
    text = repr(raw)
    return text if len(text) <= 40 else f"{text[:37]}..."
