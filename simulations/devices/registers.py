"""The registers of virtual devices: every register of the profile, named, scaled and ready to be filled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from interfaces.drivers.profile import ROLE_UNITS, Expression, First, Profile, Register
from interfaces.drivers.profile_bank import at_point, banks_of
from interfaces.drivers.profile_check import state_registers
from interfaces.drivers.register_bank import RegisterBank
from interfaces.drivers.registers import encode
from interfaces.drivers.roles import UNIT_FACTORS

RESERVED: Final = 0xFFFF
"""What devices show between their registers where they let a block read pass."""
_LARGEST_RAW: Final = 30_000
"""An int16 with some room."""
_FIXED_SF: Final[Mapping[str, int]] = {"V": -1, "Hz": -2, "%": -2, "degC": -1}
_POWER_UNITS: Final = frozenset({"W", "VA", "var", "Wh", "Ah"})
_TEXTS: Final[Mapping[str, str]] = {"ascii": "1.0", "hex": "00", "version": "1.8.3"}


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the device says it is, and how large it is (for scale factors): W and A at its terminals."""

    name: str
    power_w: float
    current_a: float


@dataclass(frozen=True, slots=True)
class Served:
    """A profile with absolute addresses, one bank for the point and one for the station's own unit (often the same).

    ``factors``: SunSpec scale factors by register name.
    """

    profile: Profile
    point: RegisterBank
    station: RegisterBank
    factors: Mapping[str, int]

    def bank_of(self, register: Register) -> RegisterBank:
        """Where a register lives."""
        return self.station if register.on == "station" else self.point


def station(profile: Profile, who: Identity, points: int = 1) -> tuple[Served, ...]:
    """The points of one station, each with the banks its registers live in, filled with names and scale factors."""
    if profile.points.port_step:
        return tuple(one for _ in range(points) for one in _served(profile, who, 1))
    return tuple(_served(profile, who, points))


def _served(profile: Profile, who: Identity, points: int) -> list[Served]:
    placed, banks = banks_of(profile, points=points)
    factors = _scale_factors(placed, who)
    found = []
    for number, unit in enumerate(profile.points.units[:points]):
        point = banks[unit]
        shared = point if profile.points.station_unit is None else banks[profile.points.station_unit]
        one = Served(at_point(placed, number), point, shared, factors)
        for register in one.profile.registers:
            _fill(one, register, who)
        _identify(one, who)
        found.append(one)
    for bank in banks.values():
        _bridge(bank, placed)
    return found


def _fill(device: Served, register: Register, who: Identity) -> None:
    bank, order = device.bank_of(register), device.profile.word_order
    if register.type == "string":
        bank.put_value(register, _fitting(register, who.name), order)
    elif register.type == "raw":
        words = encode(register, _TEXTS[register.text], order)
        bank.put(register.table, register.address, words if isinstance(words, tuple) else (0,) * register.words)
    elif register.type == "sunssf":
        bank.put_value(register, float(device.factors.get(register.name, 0)), order)


def _fitting(register: Register, text: str) -> str:
    """As much of a text as the register holds."""
    return text[: register.words * (1 if register.text == "utf16" else 2)]


def _identify(device: Served, who: Identity) -> None:
    """Show what the profile says to recognise the make by."""
    states = set() if device.profile.state is None else set(state_registers(device.profile.state))
    for check in device.profile.fingerprint:
        register = device.profile.register(check.register)
        bank, order = device.bank_of(register), device.profile.word_order
        if check.register in states:
            continue
        if check.starts_with:
            bank.put_value(register, _fitting(register, check.starts_with[0] + who.name), order)
        elif check.one_of is not None or check.at_least is not None:
            bank.put_value(register, check.one_of[0] if check.one_of is not None else check.at_least, order)


def _bridge(bank: RegisterBank, profile: Profile) -> None:
    """Fill holes that this make lets a block read cross."""
    for cells in (bank.tables["holding"], bank.tables["input"]):
        known = sorted(cells)
        for left, right in pairwise(known):
            if 1 < right - left <= profile.limits.gap_words + 1:
                cells.update(dict.fromkeys(range(left + 1, right), RESERVED))


def _scale_factors(profile: Profile, who: Identity) -> dict[str, int]:
    """Powers of ten under which the nameplate fits into 16 bits with as many digits as possible."""
    found: dict[str, int] = {}
    for register in profile.registers:
        if register.sf is None:
            continue
        if register.unit in _POWER_UNITS:
            factor = _smallest_fit(2.0 * who.power_w)
        elif register.unit == "A":
            factor = min(_smallest_fit(2.0 * who.current_a), 0)
        else:
            factor = _FIXED_SF.get(register.unit, 0)
        found[register.sf] = max(found.get(register.sf, -10), factor)
    return found


def _smallest_fit(largest: float) -> int:
    factor = -2
    while largest / 10.0**factor > _LARGEST_RAW:
        factor += 1
    return factor


def put_role(device: Served, role: str, value: float | str) -> None:
    """Store a constant under a role through the drivers' own codec, where the profile has that role as a register."""
    name = _plain(device.profile.roles.get(role))
    register = next((r for r in device.profile.registers if r.name == name), None)
    if register is None:
        return
    bank, order = device.bank_of(register), device.profile.word_order
    if isinstance(value, str):
        if register.type == "string":
            bank.put_value(register, _fitting(register, value), order)
        return
    _, factor = UNIT_FACTORS.get(register.unit, (ROLE_UNITS[role], 1.0))
    bank.put_value(register, value / factor, order, device.factors.get(register.sf or ""))


def _plain(expression: Expression | None) -> str | None:
    if isinstance(expression, str):
        return expression
    return _plain(expression.first[0]) if isinstance(expression, First) and expression.first else None
