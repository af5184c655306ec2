"""A wanted value -> the registers to write, and what a read-back means. Pure.

Whatever is rounded is rounded towards 0, and whatever a device cannot do becomes the smaller thing it can: a current
below its minimum is a pause, one above its maximum is its maximum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal

from interfaces.domain.units import MILLI
from interfaces.drivers.profile import Profile, Register
from interfaces.drivers.profile_control import CurrentSetpoint, PowerSetpoint, Write
from interfaces.drivers.registers import EncodeFailure, Value, writable_words
from interfaces.drivers.roles import holds, registers_of, role_value

PER_CENT: Final = 100


@dataclass(frozen=True, slots=True)
class RegisterWrite:
    """One write request."""

    register: Register
    words: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CannotWrite:
    """Why a wanted value cannot become a request."""

    reason: str


def quantised_ma(setpoint: CurrentSetpoint, wanted_ma: int) -> int:
    """The current the device can be told: 0, or within its range, on its step, never more than wanted."""
    floored = min(wanted_ma, setpoint.max_ma) // setpoint.step_ma * setpoint.step_ma
    return floored if floored >= setpoint.min_ma else 0


def setpoint_writes(
    profile: Profile, wanted_milli: int, values: Mapping[str, Value | None], revert_s: float
) -> tuple[RegisterWrite, ...] | CannotWrite:
    """The requests, in order, that command ``wanted_milli`` (mA of a charger, mW of a battery or inverter).

    ``values``: decoded registers, for scale factors and the power a percentage refers to. ``revert_s``: after this the
    device shall forget the setpoint, where it takes such a time.
    """
    if profile.setpoint is not None:
        told_ma = quantised_ma(profile.setpoint, wanted_milli)
        writes = tuple(write for write in profile.setpoint.writes if write.when in (None, _direction(told_ma)))
        return _all_words(profile, writes, Fraction(told_ma or profile.setpoint.pause_ma, MILLI), values)
    power = profile.power_setpoint
    if power is None:
        return CannotWrite("the profile has no setpoint")
    amount_or_not = _power_amount(power, wanted_milli, values)
    if isinstance(amount_or_not, CannotWrite):
        return amount_or_not
    writes = tuple(write for write in power.writes if write.when in (None, _direction(wanted_milli)))
    if power.revert is not None:
        writes = (Write(power.revert, constant=float(round(revert_s))), *writes)
    return _all_words(profile, writes, amount_or_not, values)


def stop_writes(profile: Profile, stop: int) -> tuple[RegisterWrite, ...] | CannotWrite:
    """The second path: stop (1), or allow again (0) where the device can be told so."""
    if profile.stop is None:
        return CannotWrite("the device has no second way to stop")
    value = profile.stop.stop if stop else profile.stop.run
    if value is None:
        return ()
    return _all_words(profile, (Write(profile.stop.register, constant=float(value)),), Fraction(0), {})


def phase_writes(profile: Profile, phases: int) -> tuple[RegisterWrite, ...] | CannotWrite:
    """Select one- or three-phase charging."""
    switch = profile.phase_switch
    if switch is None or phases not in (1, 3):
        return CannotWrite("the device cannot change its phases")
    value = switch.one if phases == 1 else switch.three
    return _all_words(profile, (*switch.before, Write(switch.register, constant=float(value))), Fraction(0), {})


def readback_milli(profile: Profile, values: Mapping[str, Value | None]) -> int | None:
    """What the device says it was told (or has in force), in mA or mW, in the sign of what is wanted."""
    if profile.setpoint is not None:
        return _readback_ma(profile.setpoint, values)
    power = profile.power_setpoint
    if power is None:
        return None
    read = values.get(power.readback)
    if read is None or isinstance(read, str):
        return None
    if "setpoint_w" in profile.roles and power.percent_of is None:
        return _told_milli(profile, values)
    base_w = _base_w(power, values)
    sign = -1 if power.kind == "export_limit" else 1
    return None if base_w is None else round(sign * read * base_w * MILLI / PER_CENT)


def _readback_ma(setpoint: CurrentSetpoint, values: Mapping[str, Value | None]) -> int | None:
    if setpoint.paused_when and all(holds(test, values) for test in setpoint.paused_when):
        return 0
    read = values.get(setpoint.readback)
    if read is None or isinstance(read, str):
        return None
    if read < 0:
        return setpoint.max_ma  # makes that use -1 mean "no limit" by it
    read_ma = round(read / setpoint.readback_factor * MILLI)
    return read_ma if read_ma > setpoint.pause_ma else 0


def _told_milli(profile: Profile, values: Mapping[str, Value | None]) -> int | None:
    """What several registers together say they were told, in mW."""
    expression = profile.roles["setpoint_w"]
    units = {name: profile.register(name).unit for name in registers_of(expression)}
    told_w = role_value("setpoint_w", expression, values, units)
    return None if told_w is None or isinstance(told_w, str) else round(told_w * MILLI)


def readback_names(profile: Profile) -> tuple[str, ...]:
    """The registers that together say what the device was told; none where it takes no setpoint."""
    if profile.setpoint is not None:
        names = (profile.setpoint.readback, *(test.register for test in profile.setpoint.paused_when))
        return tuple(dict.fromkeys(names))
    if profile.power_setpoint is None:
        return ()
    told = registers_of(profile.roles["setpoint_w"]) if "setpoint_w" in profile.roles else ()
    return tuple(dict.fromkeys((profile.power_setpoint.readback, *told)))


def readback_tolerance_milli(profile: Profile, values: Mapping[str, Value | None]) -> int:
    """How far an honest echo may lie from what was written: one step of the device, upwards or downwards."""
    if profile.setpoint is not None:
        return max(profile.setpoint.step_ma - 1, 1)
    power = profile.power_setpoint
    base_w = None if power is None else _base_w(power, values)
    if power is None or base_w is None:
        return MILLI
    shares = sum(write.constant is None and write.when in (None, "charge") for write in power.writes)
    # Each share of a power is rounded by itself; one percentage has no shares.
    return max(MILLI, round(base_w * MILLI / PER_CENT) * (shares if power.percent_of is None else 1))


def is_applied(profile: Profile, written_milli: int, read_milli: int, tolerance_milli: int) -> bool:
    """Whether a read-back confirms what was written. A limit in force may be lower than asked, never higher."""
    if profile.setpoint is not None and profile.setpoint.readback_kind == "applied":
        return read_milli <= written_milli + tolerance_milli
    return abs(read_milli - written_milli) <= tolerance_milli


def _direction(wanted_milli: int) -> Literal["charge", "discharge", "rest"]:
    if not wanted_milli:
        return "rest"
    return "charge" if wanted_milli > 0 else "discharge"


def _power_amount(power: PowerSetpoint, wanted_mw: int, values: Mapping[str, Value | None]) -> Fraction | CannotWrite:
    """What goes into the registers: W, or per cent of the reference, within -100..100."""
    wanted_w = Fraction(max(0, -wanted_mw) if power.kind == "export_limit" else wanted_mw, MILLI)
    if power.percent_of is None:
        return wanted_w
    base_w = _base_w(power, values)
    if base_w is None or base_w <= 0:
        return CannotWrite(f"{power.percent_of} is not known yet")
    return max(min(wanted_w / Fraction(base_w) * PER_CENT, Fraction(PER_CENT)), Fraction(-PER_CENT))


def _base_w(power: PowerSetpoint, values: Mapping[str, Value | None]) -> float | None:
    if power.percent_of is None:
        return float(PER_CENT)  # the register holds watts: one "per cent" of 100 W is 1 W
    base = values.get(power.percent_of)
    return None if base is None or isinstance(base, str) else float(base)


def _all_words(
    profile: Profile, writes: tuple[Write, ...], amount: Fraction, values: Mapping[str, Value | None]
) -> tuple[RegisterWrite, ...] | CannotWrite:
    found = []
    for write in writes:
        register = profile.register(write.register)
        value = Fraction(str(write.constant)) if write.constant is not None else amount * Fraction(str(write.factor))
        if register.sf is not None and register.sf not in values:
            return CannotWrite(f"{register.sf} is not known yet")
        sf = values.get(register.sf) if register.sf else None
        words = writable_words(register, value, profile.word_order, sf if isinstance(sf, int) else None)
        if isinstance(words, EncodeFailure):
            return CannotWrite(words.reason)
        found.append(RegisterWrite(register, words))
    return tuple(found)
