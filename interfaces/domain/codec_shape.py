"""What a type looks like on the wire: a tree of shapes read once from the annotations of frozen dataclasses.

Known are int, float, bool, str, enums, literals, optionals, tuples, mappings with text keys, numpy columns of int64,
float64 and bool, and dataclasses of these. Anything else is a bug of the one who declared it, not of the data.
"""

from __future__ import annotations

import dataclasses
import hashlib
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any, Final, Literal

import numpy as np

Kind = Literal["int", "float", "bool", "str", "enum", "choice", "array", "optional", "list", "tuple", "map", "record"]

DTYPES: Final[Mapping[str, np.dtype[Any]]] = {"i": np.dtype("<i8"), "f": np.dtype("<f8"), "b": np.dtype("?")}
"""Code of a column on the wire -> its type; always little endian."""
_SCALARS: Final[Mapping[type, Kind]] = {int: "int", float: "float", bool: "bool", str: "str"}
FINGERPRINT_BYTES: Final[int] = 6


@dataclass(frozen=True, slots=True)
class Shape:
    """One node. ``text`` spells the whole sub-tree: two versions understand each other when it is the same.

    ``cls``: the dataclass or enum; ``names`` and ``parts``: fields of a record; ``parts``: of an optional, list, tuple
    or map the items; ``dtype``: code of a column; ``choices``: of a literal.
    """

    kind: Kind
    text: str
    cls: type[Any] | None = None
    names: tuple[str, ...] = ()
    parts: tuple[Shape, ...] = ()
    dtype: str = ""
    choices: tuple[Any, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Short digest of ``text``."""
        return hashlib.blake2b(self.text.encode(), digest_size=FINGERPRINT_BYTES).hexdigest()


def shape_of(cls: type[Any]) -> Shape:
    """The shape of a dataclass. TypeError when one of its fields has a type that cannot travel."""
    known: Any = cls
    return _shape_of(known)


@cache
def _shape_of(cls: Any) -> Shape:
    if not isinstance(cls, type) or not dataclasses.is_dataclass(cls):
        raise TypeError(f"{cls!r} is not a dataclass")
    hints = typing.get_type_hints(cls)
    names = tuple(field.name for field in dataclasses.fields(cls))
    parts = tuple(_shape(hints[name]) for name in names)
    fields = ",".join(f"{name}:{part.text}" for name, part in zip(names, parts, strict=True))
    return Shape("record", f"{cls.__name__}({fields})", cls, names, parts)


def _shape(hint: Any) -> Shape:
    make = _GENERICS.get(typing.get_origin(hint))
    if make is not None:
        return make(typing.get_args(hint))
    if not isinstance(hint, type):
        raise TypeError(f"{hint!r} cannot travel")
    if hint in _SCALARS:
        return Shape(_SCALARS[hint], hint.__name__)
    if issubclass(hint, Enum):
        return Shape("enum", f"{hint.__name__}{[(m.name, m.value) for m in hint]}", hint)
    return shape_of(hint)


def _choice(arguments: tuple[Any, ...]) -> Shape:
    return Shape("choice", f"one of {sorted(map(repr, arguments))}", choices=arguments)


def _map(arguments: tuple[Any, ...]) -> Shape:
    if arguments[0] is not str:
        raise TypeError(f"a mapping with keys of {arguments[0]!r} cannot travel")
    part = _shape(arguments[1])
    return Shape("map", f"map[{part.text}]", parts=(part,))


def _column(arguments: tuple[Any, ...]) -> Shape:
    scalar = typing.get_args(arguments[1])[0]
    for code, dtype in DTYPES.items():
        if dtype.type is scalar:
            return Shape("array", f"column {code}", dtype=code)
    raise TypeError(f"a column of {scalar!r} cannot travel")


def _optional(arguments: tuple[Any, ...]) -> Shape:
    inner = [argument for argument in arguments if argument is not type(None)]
    if len(inner) != 1 or len(arguments) != 2:
        raise TypeError(f"a union of {arguments!r} cannot travel")
    part = _shape(inner[0])
    return Shape("optional", f"{part.text}?", parts=(part,))


def _tuple(arguments: tuple[Any, ...]) -> Shape:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        part = _shape(arguments[0])
        return Shape("list", f"[{part.text}...]", parts=(part,))
    parts = tuple(_shape(argument) for argument in arguments)
    return Shape("tuple", f"[{','.join(part.text for part in parts)}]", parts=parts)


_GENERICS: Final[Mapping[Any, Callable[[tuple[Any, ...]], Shape]]] = {
    np.ndarray: _column,
    Literal: _choice,
    typing.Union: _optional,
    types.UnionType: _optional,
    tuple: _tuple,
    Mapping: _map,
}
