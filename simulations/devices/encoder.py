"""Numbers in the product's units -> a profile's registers, fast enough for a hundred devices ten times a second.

It turns the profile's role expressions around: what the drivers would read as ``power_w: {negate: W}`` is written here
as minus the power. The exact codec of the drivers is the reference this is tested against.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Final

from interfaces.drivers.profile import (
    ROLE_UNITS,
    Expression,
    First,
    Hexadecimal,
    Lookup,
    Negate,
    PilotName,
    Product,
    Profile,
    Register,
    Scaled,
    StateRow,
    Sum,
    WordOrder,
)
from interfaces.drivers.register_bank import RegisterBank
from interfaces.drivers.registers import not_available
from interfaces.drivers.roles import UNIT_FACTORS
from simulations.devices.registers import Served

Put = Callable[[float | None], None]
"""Stores one number in canonical units; None shows as the device's "not available"."""

_PACK: Final[Mapping[str, str]] = {"float32": ">f", "float64": ">d"}
_UNPACK: Final[Mapping[int, str]] = {1: ">H", 2: ">2H", 4: ">4H"}
_SIGNED: Final = frozenset({"int16", "int32", "int64", "sunssf"})

SAME_NAME_ROLES: Final[Mapping[str, str]] = {
    **{f"{quantity}_l{n}": f"{role}_l{n}_{unit}" for n in (1, 2, 3) for quantity, role, unit in (
        ("current", "current", "a"), ("voltage", "voltage", "v"), ("power", "power", "w"),
        ("reactive_power", "reactive", "var"),
    )},
    "power_sum": "power_w", "power_total": "power_w", "frequency": "frequency_hz",
}  # fmt: skip
"""Registers that mean a role by their name although the profile reads that role elsewhere (phase powers, mostly)."""

_STAND_INS: Final[Mapping[PilotName, tuple[PilotName, ...]]] = {
    "A": (), "B1": ("B2",), "B2": ("B1",), "C1": ("C2",), "C2": ("C1", "D2"), "D1": ("C1",), "D2": ("C2",),
    "E": ("F", "B1", "B2"), "F": ("E", "B1", "B2"),
}  # fmt: skip
"""What a charger reports that cannot tell a state from its neighbour."""


def number_writer(bank: RegisterBank, register: Register, order: WordOrder, role_unit: str, sf: int) -> Put:
    """A ``Put`` for one numeric register; readings are rounded to the nearest step and clipped to what fits."""
    cells, addr = bank.tables[register.table], register.address
    words_order = register.word_order or order
    missing = not_available(register, order)
    _, to_role = UNIT_FACTORS.get(register.unit, (role_unit, 1.0))
    per_raw = to_role * register.scale * 10.0**sf
    unpack = _UNPACK[register.words]
    float_format = _PACK.get(register.type)
    bits = 16 * register.words if register.type != "bit" else 1
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if register.type in _SIGNED else (0, (1 << bits) - 1)
    wrap = (1 << (16 * register.words)) - 1

    def put(value: float | None) -> None:
        if value is None:
            words: tuple[int, ...] = missing
        else:
            if float_format is not None:
                data = struct.pack(float_format, value / per_raw)
            else:
                raw = min(max(round(value / per_raw), low), high)
                if raw in register.nan:
                    raw += 1 if raw == low else -1
                data = (raw & wrap).to_bytes(2 * register.words, "big")
            words = struct.unpack(unpack, data)
            if words_order == "lsw_first":
                words = words[::-1]
        for index, word in enumerate(words):
            cells[addr + index] = word

    return put


def role_writers(device: Served) -> dict[str, Put]:
    """A ``Put`` per numeric role of a device's profile."""
    found: dict[str, list[Put]] = {}
    used: set[str] = set()
    plain = {expression for expression in device.profile.roles.values() if isinstance(expression, str)}
    for role, expression in device.profile.roles.items():
        if isinstance(expression, Sum) and all(term in plain for term in expression.sum):
            continue  # its terms are roles of their own
        if ROLE_UNITS[role] != "text":
            found[role] = _writers(device, expression, ROLE_UNITS[role], used)
    for name, role in SAME_NAME_ROLES.items():
        register = next((r for r in device.profile.registers if r.name == name), None)
        if register is not None and name not in used:
            found.setdefault(role, []).append(register_writer(device, register, ROLE_UNITS[role]))
    return {role: _all(puts) for role, puts in found.items() if puts}


def _all(puts: list[Put]) -> Put:
    if len(puts) == 1:
        return puts[0]

    def put(value: float | None) -> None:
        for one in puts:
            one(value)

    return put


def register_writer(device: Served, register: Register, unit: str = "") -> Put:
    """A ``Put`` for one register of a device; ``unit``: the canonical one its numbers come in."""
    factor = device.factors.get(register.sf or "", 0)
    return number_writer(device.bank_of(register), register, device.profile.word_order, unit, factor)


def _writers(device: Served, expression: Expression, unit: str, used: set[str]) -> list[Put]:
    found: list[Put] = []
    match expression:
        case str():
            register = next((r for r in device.profile.registers if r.name == expression), None)
            if register is not None and register.type not in {"string", "raw"}:
                used.add(expression)
                found = [register_writer(device, register, unit)]
        case Negate(negate=term):
            found = [_scaled(put, -1.0) for put in _writers(device, term, unit, used)]
        case Scaled(scale=term, by=by):
            found = [_scaled(put, 1.0 / by) for put in _writers(device, term, unit, used)]
        case First(first=terms):
            # A device that has the better register fills it; what a sum would read is filled by name.
            found = [put for term in terms if not isinstance(term, Sum) for put in _writers(device, term, unit, used)]
        case Sum(sum=(str() as gain, Negate(negate=str() as loss))):
            # A register for each direction, such as charging and discharging.
            found = [_direction(put, 1.0) for put in _writers(device, gain, unit, used)]
            found += [_direction(put, -1.0) for put in _writers(device, loss, unit, used)]
        case Sum(sum=terms):
            found = [_scaled(put, 1.0 / len(terms)) for term in terms for put in _writers(device, term, unit, used)]
        case Lookup(lookup=name, table=table):
            used.add(name)
            found = [_looked_up(register_writer(device, device.profile.register(name)), table)]
        case Product() | Hexadecimal():
            pass  # its factors are roles of their own; texts are not written here
    return found


def _looked_up(put: Put, table: Mapping[int, float]) -> Put:
    raws = {float(value): float(raw) for raw, value in table.items()}
    return lambda value: put(raws[value]) if value is not None and value in raws else None


def _direction(put: Put, sign: float) -> Put:
    return lambda value: put(None if value is None else max(value * sign, 0.0))


def _scaled(put: Put, factor: float) -> Put:
    return lambda value: put(None if value is None else value * factor)


def state_writer(device: Served) -> Callable[[PilotName], None]:
    """Shows a pilot state as the profile's state register, and whatever else the state map's row asks for."""
    profile, state = device.profile, device.profile.state
    if state is None:
        return lambda _: None
    register = profile.register(state.register)
    bank = device.bank_of(register)
    rows = {pilot: _row_for(state.map, pilot) for pilot in _STAND_INS}
    others = {
        test.register: register_writer(device, profile.register(test.register))
        for row in state.map
        for test in row.when
    }

    def show(pilot: PilotName) -> None:
        row = rows[pilot]
        if row is None:
            return
        for test in row.when:
            if test.one_of:
                value = test.one_of[0]
                others[test.register](float(value) if not isinstance(value, str) else None)
            else:
                low = test.at_least if test.at_least is not None else (test.below or 1.0) - 1.0
                others[test.register](low)
        _put_state(bank, register, profile, row.raw[0])

    return show


def _row_for(rows: tuple[StateRow, ...], pilot: PilotName) -> StateRow | None:
    for wanted in (pilot, *_STAND_INS[pilot]):
        for row in rows:
            if row.pilot == wanted and row.status != "reserved":
                return row
    return None


def _put_state(bank: RegisterBank, register: Register, profile: Profile, raw: int | str) -> None:
    state = profile.state
    if isinstance(raw, str):
        bank.put_value(register, raw, profile.word_order)
    elif state is not None and state.byte is not None:
        data = bytearray(2 * register.words)
        data[state.byte] = raw
        bank.put(register.table, register.address, struct.unpack(f">{register.words}H", bytes(data)))
    else:
        bank.put_value(register, raw, profile.word_order)
