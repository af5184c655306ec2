"""The SunSpec information models as data, and where their points lie on a device that has one. Pure but for the load.

A model is a table of points at fixed offsets from its id word, followed by groups that repeat: as often as a point of
the model says, as often as they fit into its length (``derived``), or always. Points of a repeated group are called
``group[k].point``, k from 0; of a single one ``group.point``.
Source: SunSpec Device Information Model Specification 1.1 and the official model definitions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from typing import Final, Literal

import yaml
from pydantic import ConfigDict, TypeAdapter

from interfaces.drivers.profile import WORDS_OF, Access, Profile, Register, RegisterType
from interfaces.drivers.sunspec import HEADER_WORDS, FoundModel, NotFound

NOT_IMPLEMENTED: Final[Mapping[str, int]] = {
    "int16": -0x8000, "uint16": 0xFFFF, "acc16": 0, "enum16": 0xFFFF, "bitfield16": 0xFFFF, "sunssf": -0x8000,
    "int32": -0x8000_0000, "uint32": 0xFFFF_FFFF, "acc32": 0, "enum32": 0xFFFF_FFFF, "bitfield32": 0xFFFF_FFFF,
    "int64": -0x8000_0000_0000_0000, "uint64": 0xFFFF_FFFF_FFFF_FFFF, "acc64": 0,
}  # fmt: skip
"""What a device shows for a point it does not implement; floats show NaN, text shows zeros."""

_STRICT = ConfigDict(extra="forbid")
_DERIVED: Final = "derived"


@dataclass(frozen=True, slots=True)
class Point:
    """One value: ``offset`` words from the start of its model or group; ``sf`` names the point with its power of ten.

    ``words`` of text; ``called``: the name it has in one of several models that share a table.
    """

    __pydantic_config__ = _STRICT
    name: str
    offset: int
    type: RegisterType
    words: int | None = None
    sf: str | None = None
    unit: str = ""
    access: Access = "R"
    symbols: Mapping[int, str] = field(default_factory=dict)
    called: Mapping[int, str] = field(default_factory=dict)

    @property
    def end(self) -> int:
        """The offset behind it."""
        return self.offset + WORDS_OF.get(self.type, self.words or 1)


@dataclass(frozen=True, slots=True)
class Group:
    """Points that repeat: ``count`` times, or as often as the point of that name says, or as often as they fit.

    ``words``: its length without the groups in it. ``offset``: where the first one starts (behind what came
    before, where none is given).
    """

    __pydantic_config__ = _STRICT
    name: str
    count: int | str
    words: int
    points: tuple[Point, ...]
    offset: int | None = None
    groups: tuple[Group, ...] = ()


@dataclass(frozen=True, slots=True)
class Model:
    """One table and the ids of the models that share it. ``words``: id and length words and all fixed points."""

    __pydantic_config__ = _STRICT
    ids: tuple[int, ...]
    name: str
    words: int
    points: tuple[Point, ...]
    groups: tuple[Group, ...] = ()

    @property
    def counts(self) -> tuple[str, ...]:
        """The points that say how often groups repeat."""
        counts = [group.count for group in _all_groups(self.groups)]
        return tuple(dict.fromkeys(count for count in counts if isinstance(count, str) and count != _DERIVED))


@dataclass(frozen=True, slots=True)
class _File:
    __pydantic_config__ = _STRICT
    schema: Literal[1]
    models: tuple[Model, ...]


_adapter: Final = TypeAdapter(_File)


@cache
def models() -> Mapping[int, Model]:
    """Every model we know, by id."""
    folder = resources.files("interfaces.drivers") / "sunspec_data"
    found: dict[int, Model] = {}
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".yaml"):
            document = yaml.safe_load(file.read_text("utf-8"))
            for model in _adapter.validate_json(json.dumps(document), strict=True).models:
                found |= dict.fromkeys(model.ids, model)
    return found


def registers_of(found: FoundModel, counts: Mapping[str, int]) -> tuple[Register, ...] | NotFound:
    """The points of a model found on a device, as registers at their addresses.

    ``counts``: what its counting points say. A length that does not fit the table is refused: whatever lies behind it
    would be read as something it is not.
    """
    model = models().get(found.id)
    if model is None:
        return NotFound(f"SunSpec model {found.id} is not known")
    have, least = found.length + HEADER_WORDS, model.points[-1].end
    if have < least:
        return NotFound(f"SunSpec model {found.id} says {found.length} words, its table has {least - HEADER_WORDS}")
    times = {**counts, _DERIVED: _derived(model, have)}
    needed = model.words + sum(_words(group, times) * _times(group, times) for group in model.groups)
    if model.groups and needed != have:
        return NotFound(f"SunSpec model {found.id} says {found.length} words, its parts take {needed - HEADER_WORDS}")
    return _all_registers(model, found, times)


def with_model_points(profile: Profile) -> Profile:
    """The profile with the points of those models whose table it does not list itself."""
    if profile.sunspec is None:
        return profile
    added: list[Register] = []
    taken = {register.name for register in profile.registers}
    for name, part in profile.sunspec.models.items():
        model = models().get(part.ids[-1])
        if part.points == "all" and model is not None:
            times = dict.fromkeys((*model.counts, _DERIVED), part.repeats)
            at_zero = FoundModel(part.ids[-1], 0, part.length)
            here = _all_registers(model, at_zero, times)
            names = {one.name: f"{name}.{one.name}" if one.name in taken else one.name for one in here}
            taken.update(names.values())
            added += [_in_model(one, name, names) for one in here]
    return replace(profile, registers=(*profile.registers, *added)) if added else profile


def _in_model(register: Register, model: str, names: Mapping[str, str]) -> Register:
    sf = None if register.sf is None else names[register.sf]
    return replace(register, name=names[register.name], sf=sf, addr=None, model=model, offset=register.addr)


def _all_registers(model: Model, found: FoundModel, times: Mapping[str, int]) -> tuple[Register, ...]:
    registers = [_register(point, found, found.addr, "") for point in model.points]
    at = found.addr + model.words
    for group in model.groups:
        registers += _placed(group, found, at, "", times)
        at += _words(group, times) * _times(group, times)
    return tuple(registers)


def _placed(group: Group, found: FoundModel, at: int, prefix: str, times: Mapping[str, int]) -> Iterator[Register]:
    for number in range(_times(group, times)):
        name = f"{prefix}{group.name}." if group.count == 1 else f"{prefix}{group.name}[{number}]."
        yield from (_register(point, found, at, name) for point in group.points)
        inner = at + group.words
        for part in group.groups:
            yield from _placed(part, found, inner, name, times)
            inner += _words(part, times) * _times(part, times)
        at = inner


def _register(point: Point, found: FoundModel, at: int, prefix: str) -> Register:
    missing = NOT_IMPLEMENTED.get(point.type)
    return Register(
        name=prefix + point.called.get(found.id, point.name),
        type=point.type,
        addr=at + point.offset,
        count=point.words,
        unit=point.unit,
        access=point.access,
        nan=() if missing is None else (missing,),
        enum=point.symbols,
        fc_write=(16,) if "W" in point.access else (),
        sf=point.sf,
    )


def _words(group: Group, times: Mapping[str, int]) -> int:
    """Words of one repetition."""
    return group.words + sum(_words(part, times) * _times(part, times) for part in group.groups)


def _times(group: Group, times: Mapping[str, int]) -> int:
    return group.count if isinstance(group.count, int) else times.get(group.count, 0)


def _derived(model: Model, have: int) -> int:
    sizes = [group.words for group in model.groups if group.count == _DERIVED]
    return (have - model.words) // sizes[0] if sizes else 0


def _all_groups(groups: tuple[Group, ...]) -> Iterator[Group]:
    for group in groups:
        yield group
        yield from _all_groups(group.groups)
