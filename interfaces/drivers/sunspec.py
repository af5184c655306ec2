"""SunSpec: finding a device's models and placing a profile's registers in them.

A SunSpec device starts its map with "SunS" at one of a few addresses, followed by a chain of models: id, length, body.
Which models exist, and where, differs between devices, so registers are written down by model and offset and get their
addresses at connect. Source: SunSpec Device Information Model Specification 1.1, "Device information model discovery".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from interfaces.drivers.modbus import ModbusPort
from interfaces.drivers.profile import Profile, Register
from interfaces.drivers.registers import not_available
from interfaces.drivers.replies import ReadFailure

MARKER: Final = (0x5375, 0x6E53)
"""The words of "SunS"."""
END_OF_CHAIN: Final = 0xFFFF
HEADER_WORDS: Final = 2
MAX_MODELS: Final = 60
"""A longer chain is taken for a device that never ends it."""


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A model of the chain: its id, the address of its id word, and the words of its body."""

    id: int
    addr: int
    length: int


@dataclass(frozen=True, slots=True)
class NotFound:
    """Why a device gave no usable chain. ``silent``: it did not answer, so asking again makes sense."""

    reason: str
    silent: bool = False


async def discover(port: ModbusPort, unit: int, bases: Sequence[int]) -> tuple[FoundModel, ...] | NotFound:
    """Walk the chain of a device: a handful of two-word reads, once per connection."""
    for base in bases:
        marker = await port.read_block("holding", unit, base, 2)
        if isinstance(marker, ReadFailure):
            if marker.exception_code is None:
                return NotFound(str(marker.reason), silent=True)
            continue
        if marker.words == MARKER:
            return await _walk(port, unit, base + len(MARKER))
    return NotFound(f"no SunSpec marker at any of {', '.join(map(str, bases))}")


async def _walk(port: ModbusPort, unit: int, addr: int) -> tuple[FoundModel, ...] | NotFound:
    found: list[FoundModel] = []
    while len(found) < MAX_MODELS:
        header = await port.read_block("holding", unit, addr, HEADER_WORDS)
        if isinstance(header, ReadFailure):
            if header.exception_code is None:
                return NotFound(str(header.reason), silent=True)
            return tuple(found)  # a device without an end marker refuses what lies behind its last model
        model, length = header.words
        if model == END_OF_CHAIN or (model, length) == (0, 0):
            return tuple(found)
        found.append(FoundModel(model, addr, length))
        addr += HEADER_WORDS + length
        if addr > END_OF_CHAIN - HEADER_WORDS:
            break
    return NotFound("the chain of models does not end")


def resolve(profile: Profile, found: Sequence[FoundModel]) -> Profile | NotFound:
    """The profile with absolute addresses: registers of models this device lacks, or cuts short, are left out."""
    if profile.sunspec is None:
        return profile
    places: dict[str, FoundModel] = {}
    for name, model in profile.sunspec.models.items():
        match = next((one for wanted in model.ids for one in found if one.id == wanted), None)
        if match is not None:
            places[name] = match
        elif model.required:
            wanted_ids = " or ".join(map(str, model.ids))
            return NotFound(f"the device has no SunSpec model {wanted_ids}")
    return _placed(profile, places)


def as_if_found(profile: Profile) -> Profile:
    """The profile as on a device that has every model, in the profile's order; for planning and virtual devices."""
    return resolve_all(profile) if profile.sunspec else profile


def resolve_all(profile: Profile, model_ids: Mapping[str, int] | None = None) -> Profile:
    """As ``as_if_found``; ``model_ids`` chooses among the ids that share a layout (such as 101 for single phase)."""
    layout = chain_of(profile, model_ids)
    resolved = resolve(profile, layout)
    if isinstance(resolved, NotFound):
        raise ValueError(resolved.reason)  # noqa: TRY004  a profile that requires what it does not list
    return resolved


def chain_of(profile: Profile, model_ids: Mapping[str, int] | None = None) -> tuple[FoundModel, ...]:
    """Where a device that has all of the profile's models would keep them: the first base, one after the other.

    Of ids that share a layout the last is taken unless ``model_ids`` says otherwise (103, three phases, of 101-103).
    """
    if profile.sunspec is None:
        return ()
    addr, chain = profile.sunspec.bases[0] + len(MARKER), []
    for name, model in profile.sunspec.models.items():
        chain.append(FoundModel((model_ids or {}).get(name, model.ids[-1]), addr, model.length))
        addr += HEADER_WORDS + model.length
    return tuple(chain)


def chain_words(profile: Profile, model_ids: Mapping[str, int] | None = None) -> dict[int, int]:
    """The holding registers of such a device: marker, headers, end, and every point "not implemented"."""
    if profile.sunspec is None:
        return {}
    base = profile.sunspec.bases[0]
    words = dict(zip(range(base, base + len(MARKER)), MARKER, strict=True))
    chain = chain_of(profile, model_ids)
    for model in chain:
        words |= dict.fromkeys(range(model.addr, model.addr + HEADER_WORDS + model.length), 0)
        words |= {model.addr: model.id, model.addr + 1: model.length}
    end = chain[-1].addr + HEADER_WORDS + chain[-1].length
    words |= {end: END_OF_CHAIN, end + 1: 0}
    for register in resolve_all(profile, model_ids).registers:
        empty = not_available(register, profile.word_order)
        words |= {register.address + index: word for index, word in enumerate(empty)}
    return words


def _placed(profile: Profile, places: Mapping[str, FoundModel]) -> Profile:
    registers = []
    for register in profile.registers:
        placed = _at(register, places)
        if placed is not None:
            registers.append(placed)
    return replace(profile, registers=tuple(registers))


def _at(register: Register, places: Mapping[str, FoundModel]) -> Register | None:
    if register.model is None:
        return register
    place, offset = places.get(register.model), register.offset or 0
    if place is None or offset + register.words > HEADER_WORDS + place.length:
        return None
    return replace(register, addr=place.addr + offset)
