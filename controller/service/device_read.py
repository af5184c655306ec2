"""`device read`: what the registers of one device hold, by the names of the maker's table, and what speaks against it.

Registers a device refuses are named and the rest is read. A failed fingerprint, an impossible value or an unknown state
makes the whole suspect and hides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from controller.service.device_link import GATEWAY_CODES, NoAnswerError, Talk, Target, where
from interfaces.drivers.fingerprint import is_foreign, suspicions
from interfaces.drivers.maker_names import masked_value, named_registers
from interfaces.drivers.plausibility import RANGES
from interfaces.drivers.polling import Block, plan_blocks, slice_of, split
from interfaces.drivers.profile import ROLE_UNITS, Profile, Register
from interfaces.drivers.register_sets import find_register_set
from interfaces.drivers.registers import Value, decode
from interfaces.drivers.replies import Fault, ReadFailure, Words
from interfaces.drivers.roles import ChargerState, charger_state, role_value
from interfaces.drivers.shown import shown_values

WHOLE_TABLE: Final = 1
"""Exception "illegal function": the device has none of these registers (Modbus application protocol 1.1b3)."""
EXCEPTIONS: Final[Mapping[int, str]] = {
    1: "illegal function", 2: "illegal address", 3: "illegal value", 4: "device failure", 5: "acknowledge", 6: "busy",
    0x0A: "gateway path unavailable", 0x0B: "gateway target does not answer",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Item:
    """A value in its unit (None: the device says "not available") and what a code means, where that is known."""

    value: Value | None
    unit: str
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class PointState:
    """The state of one point (counted from 1); None where the device shows none the profile knows."""

    point: int
    state: ChargerState | None


@dataclass(frozen=True, slots=True)
class DeviceReading:
    """Everything read of one device.

    ``suspect``: it may not be what the profile describes, as ``problems`` say. ``models``: of a SunSpec device, each
    with all its points.
    """

    profile: Profile
    values: Mapping[str, Item]
    states: Sequence[PointState]
    problems: Sequence[str]
    suspect: bool
    models: Sequence[Mapping[str, object]] = ()


@dataclass(slots=True)
class Found:
    """Decoded registers by the name the profile has for them, and the names of those that were refused, by reason.

    A refused register is None among ``values`` as well: that is how a fingerprint sees it.
    """

    values: dict[str, Value | None] = field(default_factory=dict)
    refused: dict[str, list[str]] = field(default_factory=dict)

    @property
    def missing(self) -> set[str]:
        return {name for names in self.refused.values() for name in names}


async def read_registers(talk: Talk, target: Target, registers: Sequence[Register], unit: int) -> Found:
    """Read registers in as few requests as the device bears; what it refuses is asked for in halves."""
    profile, found = target.profile, Found()
    waiting = list(reversed(plan_blocks(registers, profile.limits)))
    while waiting:
        block = waiting.pop()
        reply = await talk.read(block.table, _unit(target, block, unit), block.addr, block.count)
        if isinstance(reply, Words):
            for register in block.registers:
                found.values[register.name] = decode(
                    register, slice_of(block, register, reply.words), profile.word_order
                )
            continue
        parts = () if reply.exception_code in {WHOLE_TABLE, *GATEWAY_CODES} else split(block, profile.limits)
        waiting += reversed(parts)
        if not parts:
            names = [register.name for register in block.registers]
            found.refused.setdefault(in_words(reply), []).extend(names)
            found.values |= dict.fromkeys(names, None)
    return found


def in_words(failure: ReadFailure) -> str:
    """Why a read gave nothing, for people."""
    if failure.reason is Fault.EXCEPTION and failure.exception_code is not None:
        return EXCEPTIONS.get(failure.exception_code, f"exception {failure.exception_code}")
    return str(failure.reason)


def _unit(target: Target, block: Block, unit: int) -> int:
    return target.station_unit if block.on == "station" and target.station_unit is not None else unit


async def read_device(talk: Talk, target: Target) -> DeviceReading:
    """Read everything of a device whose registers have fixed addresses."""
    profile = target.profile
    reader = _Reading(profile)
    on_station = [one.register for one in named_registers(profile) if one.register.on == "station"]
    station = await read_registers(talk, target, on_station, target.first_unit)
    reader.take(on_station, station, "")
    count = reader.points(target, station.values)
    for number in range(count):
        registers = _of_point(profile, number)
        found = await read_registers(talk, target, registers, target.unit_of(number))
        reader.take(registers, found, f"point{number + 1}." if number or profile.points.address_step else "")
        reader.judge(number, {**station.values, **found.values}, told=f"point {number + 1}: " if count > 1 else "")
    if not reader.answered:
        raise NoAnswerError(reader.all_refused(where(talk.port.link), target.first_unit))
    if profile.register_sets and reader.foreign:
        advice = (await find_register_set(talk.port, profile, target.first_unit)).advice
        reader.problems += [advice] if advice else []
    return reader.done()


def _of_point(profile: Profile, number: int) -> list[Register]:
    """The readable registers of one point, where that point has them."""
    last = number + 1 if profile.points.address_step else 1
    return [
        one.register for one in named_registers(profile, last) if one.register.on == "point" and one.point == last - 1
    ]


class _Reading:
    """What has been read of a device so far."""

    def __init__(self, profile: Profile) -> None:
        self.problems: list[str] = []
        self.answered = False
        self.foreign = False
        self._profile = profile
        self._values: dict[str, Item] = {}
        self._refused: dict[str, list[str]] = {}
        self._states: list[PointState] = []
        self._suspect = False
        self._units = {register.name: register.unit for register in profile.registers}

    def take(self, registers: Sequence[Register], found: Found, lead: str) -> None:
        """Values and refusals under the names people see, behind ``lead``."""
        missing = found.missing
        there = {one.name: one for one in registers if one.name not in missing}
        self.answered = self.answered or bool(there)
        masked = {name: masked_value(self._profile, one, found.values[name]) for name, one in there.items()}
        for name, shown in shown_values(replace(self._profile, registers=tuple(there.values())), masked).items():
            meaning = _meaning(there[name], shown.value) if name in there else ""
            known = self._values.get(lead + name)
            if known is None or known.value is None:  # a path of the station may be one of a point too
                self._values[lead + name] = Item(shown.value, shown.unit, meaning)
        names = {one.name: lead + (one.label or one.name) for one in registers}
        for reason, refused in found.refused.items():
            self._refused.setdefault(reason, []).extend(names[name] for name in refused)

    def points(self, target: Target, station: Mapping[str, Value | None]) -> int:
        """How many points to read: one, or as many as the station says it has."""
        places = self._profile.points
        in_units = target.unit is None and len(set(places.units)) > 1
        if places.count is None or not (places.address_step or in_units):
            return 1
        said = station.get(places.count)
        if isinstance(said, int) and 1 <= said <= len(places.units):
            return said
        most = len(places.units)
        read = min(most, said) if isinstance(said, int) and said > most else 1
        self.problems.append(
            f"{places.count} does not tell how many points there are: {read} of at most {most} is read"
        )
        return read

    def judge(self, number: int, values: Mapping[str, Value | None], *, told: str) -> None:
        """What speaks against a point, and its state."""
        profile = self._profile
        found = [told + sentence for sentence in suspicions(profile, values)]
        self.foreign = self.foreign or is_foreign(profile, values)
        found += [told + sentence for sentence in impossible(profile, values, self._units)]
        if profile.state is not None:
            state = charger_state(profile.state, values)
            raw = values.get(profile.state.register)
            if state is None and raw is not None:
                found.append(f"{told}{profile.state.register} shows {raw!r}, a state the profile does not know")
            self._states.append(PointState(number + 1, state))
        self._suspect = self._suspect or bool(found)
        self.problems += found

    def all_refused(self, place: str, unit: int) -> str:
        """One sentence for a unit that answers nothing but refusals."""
        for code, verb in GATEWAY_CODES.items():
            if EXCEPTIONS[code] in self._refused:
                return f"the gateway at {place} {verb} unit {unit} (exception {code:#04x}): check unit id and wiring"
        reasons = ", ".join(self._refused)
        return f"{place} answers as unit {unit} and has no register of {self._profile.id} ({reasons}): wrong profile?"

    def done(self) -> DeviceReading:
        refused = [
            f"not on this device ({reason}): {', '.join(dict.fromkeys(names))}"
            for reason, names in self._refused.items()
        ]
        problems = tuple(dict.fromkeys([*self.problems, *refused]))
        return DeviceReading(self._profile, self._values, self._states, problems, self._suspect)


def impossible(profile: Profile, values: Mapping[str, Value | None], units: Mapping[str, str]) -> list[str]:
    """A sentence for each role whose value is beyond anything a site has.

    Only the size counts: 0 and -1 stand for "not fitted" on many makes and speak against none.
    """
    told = []
    for role, expression in profile.roles.items():
        value = role_value(role, expression, values, units)
        limits = RANGES.get(ROLE_UNITS[role])
        if limits is None or value is None or isinstance(value, str) or abs(value) <= max(map(abs, limits)):
            continue
        told.append(f"{role} would be {value:g} {ROLE_UNITS[role]}, which cannot be: word order, scale or profile")
    return told


def _meaning(register: Register, value: Value | None) -> str:
    return register.enum.get(value, "") if isinstance(value, int) else ""
