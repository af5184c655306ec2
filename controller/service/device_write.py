"""`device write`: one register of one device, by hand, with the value before and after.

Nothing is sent for a register that cannot be written, for a value it cannot hold exactly, for memory that every write
wears out (unless told to), or to a device that shows that it is another make.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Final

from controller.service.device_link import Talk, Target, where
from controller.service.device_read import EXCEPTIONS, Item, read_registers
from controller.service.device_sunspec import NamedPoint, layout, named_points, read_models
from interfaces.domain.units import MILLI
from interfaces.drivers.device import Device, PointSpec
from interfaces.drivers.fingerprint import passes, suspicions
from interfaces.drivers.profile import Profile, Register
from interfaces.drivers.provision import write_words
from interfaces.drivers.registers import EncodeFailure, Value, decode, writable_words
from interfaces.drivers.replies import Ok, WriteFailure
from interfaces.drivers.sunspec import NotFound
from interfaces.drivers.sunspec_read import read_model, write_point
from interfaces.errors import UserError

LOOKS: Final = 4
"""Readings after a write until the device shows it, some time apart: many take a moment."""
LOOK_PAUSE_S: Final = 0.3
POINT: Final = re.compile(r"point([1-9][0-9]*)\.(.+)")
LETTERS: Final = frozenset({"low_byte", "high_byte"})
TEXTS: Final = frozenset({"string", "raw"})
MAX_DIGITS: Final = 320
"""Before or behind the decimal point: no register holds more."""


@dataclass(frozen=True, slots=True)
class WriteReport:
    """What was written and what the device showed.

    ``before`` and ``after`` are of the register ``read_back``, both None where nothing tells. ``applied`` None: cannot
    be told.
    """

    profile: str
    name: str
    unit: str
    written: Value
    words: Sequence[int]
    read_back: str | None
    before: Item | None
    after: Item | None
    applied: bool | None
    problems: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Order:
    """A checked write: the register at its address, the words for it and the value they mean."""

    name: str
    register: Register
    words: tuple[int, ...]
    value: Value


async def write_device(talk: Talk, target: Target, name: str, text: str, *, force: bool) -> WriteReport:
    """Write one register of a device whose registers have fixed addresses; UserError when nothing may be sent."""
    device, register = _place(target, name)
    order = checked(device.profile, name, register, text, force=force)
    problems = await _strangeness(talk, target, device)
    shown_by = read_back_of(device.profile, register)
    before = await _look(talk, target, device, shown_by)
    failure = await write_words(talk.port, device, register, order.words)
    if failure is not None:
        raise UserError(_refused(talk, name, failure))
    after, applied = before, None
    for _ in range(LOOKS if shown_by is not None else 0):
        after = await _look(talk, target, device, shown_by)
        applied = after is not None and after.value == order.value
        if applied:
            break
        await asyncio.sleep(LOOK_PAUSE_S)
    if not applied and (shown_by is not register or register.word_order_write is not None):
        applied = None  # a limit in force, a time that counts down, or words read the other way may rightly differ
    if applied is False:
        problems.append(f"the device acknowledged the write and {name} does not show it")
    told = None if shown_by is None else shown_by.name
    return WriteReport(
        target.profile.id, name, register.unit, order.value, order.words, told, before, after, applied, problems
    )


async def write_sunspec(talk: Talk, target: Target, name: str, text: str, *, force: bool) -> WriteReport:
    """Write one point of a SunSpec device, with the scale factor it has now; UserError when nothing may be sent."""
    found = await read_models(talk, target)
    if isinstance(found, NotFound):
        raise UserError(f"{where(talk.port.link)} is no SunSpec device, nothing is written: {found.reason}")
    one = _point_named(tuple(named_points(target.profile, found)), name)
    register = layout(one.model)[one.point]
    factor = None if register.sf is None else one.model.values.get(register.sf)
    sf = factor.value if factor is not None and isinstance(factor.value, int) else None
    order = checked(target.profile, name, register, text, force=force, sf=sf)
    if isinstance(order.value, str):
        raise UserError(f"{name} is text; only numbers are written to a SunSpec device")
    unit = target.first_unit
    done = await write_point(talk.port, unit, one.model.found, one.point, Fraction(str(order.value)))
    if isinstance(done, NotFound):
        raise UserError(f"{name} is not written: {done.reason}")
    if not isinstance(done, Ok):
        raise UserError(_refused(talk, name, done))
    after, applied = None, None
    for _ in range(LOOKS if register.readable else 0):
        again = (await read_model(talk.port, unit, one.model.found)).values.get(one.point)
        after = None if again is None else Item(again.value, again.unit)
        applied = after is not None and after.value == order.value
        if applied:
            break
        await asyncio.sleep(LOOK_PAUSE_S)
    problems = [f"the device acknowledged the write and {name} does not show it"] if applied is False else []
    before = Item(one.model.values[one.point].value, register.unit)
    return WriteReport(
        target.profile.id, name, register.unit, order.value, order.words, name, before, after, applied, problems
    )


def checked(
    profile: Profile, name: str, register: Register, text: str, *, force: bool, sf: int | None = None
) -> _Order:
    """The write, if it may be made; UserError in one sentence if not."""
    if not register.writable:
        raise UserError(f"{name} of {profile.id} can only be read, nothing is written")
    if _wears(profile, register) and not force:
        raise UserError(
            f"{name} of {profile.id} is kept in flash memory, which every write wears: nothing is written without "
            "--force"
        )
    value = _parsed(register, name, text)
    words = writable_words(register, value, profile.word_order, sf)
    if isinstance(words, EncodeFailure):
        raise UserError(f"{words.reason}: nothing is written")
    as_written = replace(register, word_order=register.word_order_write or register.word_order)
    meant = decode(as_written, words, profile.word_order, sf)
    if meant is None:
        raise UserError(f"{name} cannot hold '{text}', which means 'not available' there: nothing is written")
    if isinstance(value, Fraction) and not register.type.startswith("float") and Fraction(str(meant)) != value:
        raise UserError(
            f"{name} cannot hold {text} {register.unit}".rstrip()
            + f" exactly, the next value towards 0 is {meant:g}: nothing is written"
        )
    if not force:
        _within_setpoint(profile, register, name, value)
    return _Order(name, register, words, meant)


def read_back_of(profile: Profile, register: Register) -> Register | None:
    """The register that shows what was written: itself, or the one the profile has for it."""
    if register.readable:
        return register
    pairs: list[tuple[str | None, str | None]] = [
        (profile.failsafe.current_write, profile.failsafe.current_read),
        (profile.failsafe.timeout_write, profile.failsafe.timeout_read),
    ]
    for setpoint in (profile.setpoint, profile.power_setpoint):
        pairs += [] if setpoint is None else [(one.register, setpoint.readback) for one in setpoint.writes]
    if profile.phase_switch is not None:
        pairs.append((profile.phase_switch.register, profile.phase_switch.readback))
    told = next((read for written, read in pairs if written == register.name and read is not None), None)
    return None if told is None else profile.register(told)


def _place(target: Target, name: str) -> tuple[Device, Register]:
    """The point a name belongs to and its register at the point's address."""
    profile = target.profile
    parts = POINT.fullmatch(name)
    point, plain = (int(parts[1]) - 1, parts[2]) if parts else (0, name)
    if point >= len(profile.points.units):
        raise UserError(f"{profile.id} has at most {len(profile.points.units)} points, there is no '{name}'")
    spec = PointSpec("", profile, target.unit_of(point), point=point, station_unit=target.station_unit)
    device = Device(spec)
    register = _named(device.profile, plain)
    if register.on == "point" and parts is None and profile.points.address_step:
        raise UserError(f"every point of {profile.id} has a {plain}: say point1.{plain}, point2.{plain} and so on")
    if register.on == "station" and parts is not None:
        raise UserError(f"{plain} belongs to the whole station: say {plain}")
    return device, register


def _named(profile: Profile, name: str) -> Register:
    found = [one for one in profile.registers if one.name == name]
    found = found or [one for one in profile.registers if one.label == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"several registers show {name}, say which: {', '.join(one.name for one in found)}")
    alike = [one.name for one in profile.registers if name.casefold() in one.name.casefold()][:5]
    hint = f", perhaps {' or '.join(alike)}" if alike else ": `device read` shows the names"
    raise UserError(f"the profile {profile.id} has no register '{name}'{hint}")


def _point_named(points: Sequence[NamedPoint], name: str) -> NamedPoint:
    for one in points:
        if name in {one.name, f"{one.model.found.id}.{one.point}"}:
            return one
    raise UserError(f"the device has no point '{name}': `device read` shows the names")


def _parsed(register: Register, name: str, text: str) -> Fraction | str:
    if register.type in TEXTS or register.text in LETTERS:
        return text
    try:
        value = Decimal(int(text, 16)) if text.casefold().startswith("0x") else Decimal(text)
    except (ValueError, ArithmeticError):
        value = Decimal("nan")
    if not value.is_finite() or abs(value.adjusted()) > MAX_DIGITS:
        wanted = f"a number in {register.unit}" if register.unit else "a number"
        raise UserError(f"{name} takes {wanted}, not '{text}'")
    return Fraction(value)


def _wears(profile: Profile, register: Register) -> bool:
    setpoint = profile.setpoint or profile.power_setpoint
    told = setpoint is not None and any(one.register == register.name for one in setpoint.writes)
    return register.memory == "flash" or (told and profile.behaviour.memory == "flash")


def _within_setpoint(profile: Profile, register: Register, name: str, value: Fraction | str) -> None:
    """A charging current above what the make takes is refused, whatever the register could hold."""
    if profile.setpoint is None or isinstance(value, str):
        return
    for write in profile.setpoint.writes:
        most = profile.setpoint.max_ma / MILLI * write.factor
        if write.register == register.name and write.constant is None and value > most:
            raise UserError(
                f"{name} of {profile.id} takes at most {most:g} {register.unit}, not {float(value):g}: nothing is "
                "written without --force"
            )


async def _strangeness(talk: Talk, target: Target, device: Device) -> list[str]:
    """What speaks against the make; UserError when a register shows that it is another one.

    A register that is absent or 0 proves nothing: then it is told and written.
    """
    names = tuple(dict.fromkeys(check.register for check in device.profile.fingerprint))
    registers = [device.profile.register(name) for name in names]
    values = (await read_registers(talk, target, registers, device.spec.unit)).values
    for check in device.profile.fingerprint:
        if check.kind == "identity" and values.get(check.register) and not passes(check, values):
            told = suspicions(replace(device.profile, fingerprint=(check,)), values)[0]
            raise UserError(f"nothing is written: {told}")
    return list(suspicions(device.profile, values))


async def _look(talk: Talk, target: Target, device: Device, register: Register | None) -> Item | None:
    if register is None:
        return None
    values = (await read_registers(talk, target, [register], device.spec.unit)).values
    return Item(values.get(register.name), register.unit)


def _refused(talk: Talk, name: str, failure: WriteFailure) -> str:
    if failure.exception_code is not None:
        said = EXCEPTIONS.get(failure.exception_code, f"exception {failure.exception_code}")
        return f"{where(talk.port.link)} refuses to have {name} written ({said})"
    return f"{where(talk.port.link)} did not acknowledge writing {name} ({failure.reason}): read what it holds now"
