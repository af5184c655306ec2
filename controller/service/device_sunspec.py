"""`device read` and the names of points for devices that tell their own map: SunSpec.

The chain of models is found first. Points have the names of their model; where an earlier model of the profile has the
same name, `model.NAME`; of a second model of one kind `model[1].NAME`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from controller.service.device_link import NoAnswerError, Talk, Target, no_answer
from controller.service.device_read import DeviceReading, Item, impossible
from interfaces.drivers.fingerprint import suspicions
from interfaces.drivers.profile import Profile, Register
from interfaces.drivers.replies import Fault
from interfaces.drivers.sunspec import NotFound, resolve
from interfaces.drivers.sunspec_models import models, registers_of
from interfaces.drivers.sunspec_read import ModelReading, read_device


@dataclass(frozen=True, slots=True)
class NamedPoint:
    """A point of one model found on the device, and the name it is shown by."""

    name: str
    point: str
    model: ModelReading


async def read_models(talk: Talk, target: Target) -> tuple[ModelReading, ...] | NotFound:
    """Every model of the device; NoAnswerError when nobody answers, NotFound where there is no SunSpec map."""
    profile, unit = target.profile, target.first_unit
    bases = profile.sunspec.bases if profile.sunspec is not None else ()
    await talk.read("holding", unit, bases[0], 2)  # whether anybody is there at all
    found = await read_device(talk.port, unit, bases)
    if isinstance(found, NotFound) and found.silent:
        raise NoAnswerError(no_answer(talk.port.link, profile, unit, Fault.TIMEOUT, answered=True))
    return found


async def read_sunspec(talk: Talk, target: Target) -> DeviceReading:
    """Read all points of all models a device has."""
    profile = target.profile
    found = await read_models(talk, target)
    if isinstance(found, NotFound):
        return DeviceReading(profile, {}, (), (f"this is no SunSpec device: {found.reason}",), suspect=True)
    named = tuple(named_points(profile, found))
    items = {one.name: _item(one) for one in named}
    against = [_told(one) for one in found if one.problem and one.found.id in models()]
    unknown = [_told(one) for one in found if one.found.id not in models()]  # a maker's own models are no fault
    known = resolve(profile, [one.found for one in found])
    if isinstance(known, NotFound):
        against.append(f"this is not what profile {profile.id} describes: {known.reason}")
    values = {name: item.value for name, item in items.items()}
    against += suspicions(profile, values)
    against += impossible(profile, values, {name: item.unit for name, item in items.items()})
    figures = tuple(_figures(one) for one in found)
    return DeviceReading(profile, items, (), (*against, *unknown), bool(against), figures)


def _told(one: ModelReading) -> str:
    return f"model {one.found.id} at {one.found.addr}: {one.problem}"


def named_points(profile: Profile, found: Sequence[ModelReading]) -> Iterator[NamedPoint]:
    """Every point with the name it is shown by: the profile's models first, in its order, then what else there is."""
    labels = _labels(profile)
    order = list(dict.fromkeys(labels.values()))
    taken: set[str] = set()
    seen: dict[str, int] = {}
    for one in sorted(found, key=lambda each: _place(order, labels.get(each.found.id))):
        label = labels.get(one.found.id, one.name or str(one.found.id))
        number = seen[label] = seen.get(label, -1) + 1
        lead = label if not number else f"{label}[{number}]"
        for point in one.values:
            name = point if point not in taken else f"{lead}.{point}"
            taken.add(name)
            yield NamedPoint(name, point, one)


def layout(model: ModelReading) -> Mapping[str, Register]:
    """The points of a model that was read, at their addresses on the device."""
    table = models().get(model.found.id)
    counts = {} if table is None else {name: _whole(model, name) for name in table.counts}
    registers = registers_of(model.found, counts)
    return {} if isinstance(registers, NotFound) else {register.name: register for register in registers}


def _whole(model: ModelReading, name: str) -> int:
    measured = model.values.get(name)
    return measured.value if measured is not None and isinstance(measured.value, int) else 0


def _labels(profile: Profile) -> dict[int, str]:
    """What the profile calls each model id it knows."""
    parts = {} if profile.sunspec is None else profile.sunspec.models
    return {number: name for name, part in parts.items() for number in part.ids}


def _place(order: Sequence[str], label: str | None) -> int:
    return order.index(label) if label is not None else len(order)


def _item(one: NamedPoint) -> Item:
    measured = one.model.values[one.point]
    return Item(measured.value, measured.unit)


def _figures(one: ModelReading) -> dict[str, object]:
    values = {name: {"value": measured.value, "unit": measured.unit} for name, measured in one.values.items()}
    return {"id": one.found.id, "name": one.name, "addr": one.found.addr, "values": values, "problem": one.problem}
