"""Register values -> canonical roles and charger state: pure.

A role is delivered in the one unit ``ROLE_UNITS`` gives it; a register in kWh feeds a role in Wh without a word in the
profile. A missing term makes its sum missing: half a sum would look like a small current.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from interfaces.domain.units import MILLI
from interfaces.drivers.profile import (
    ROLE_UNITS,
    Expression,
    First,
    Hexadecimal,
    Lookup,
    Negate,
    PilotName,
    Product,
    Scaled,
    StateMap,
    StateRow,
    Status,
    Sum,
)
from interfaces.drivers.profile_control import Condition
from interfaces.drivers.registers import Value

Values = Mapping[str, Value | None]
"""Decoded registers by name; a name that is absent was never read."""

UNIT_FACTORS: Final[Mapping[str, tuple[str, float]]] = {
    "kWh": ("Wh", MILLI), "MWh": ("Wh", MILLI * MILLI), "kW": ("W", MILLI), "MW": ("W", MILLI * MILLI),
    "kvar": ("var", MILLI), "kvarh": ("varh", MILLI), "kVA": ("VA", MILLI), "mA": ("A", 1 / MILLI),
    "mV": ("V", 1 / MILLI), "kV": ("V", MILLI), "ms": ("s", 1 / MILLI), "mHz": ("Hz", 1 / MILLI),
    "V AC": ("V", 1), "V DC": ("V", 1), "A AC": ("A", 1), "A DC": ("A", 1),
}  # fmt: skip
"""Units a device may use -> the unit of the product and the factor to it."""


@dataclass(frozen=True, slots=True)
class ChargerState:
    """What a charger says of itself; ``raw``, ``text`` and ``iec61851`` are for people.

    ``iec61851`` is the pilot state as the device tells it: "B" where it cannot tell B1 from B2.
    """

    pilot: PilotName
    status: Status
    raw: int | str
    text: str = ""
    iec61851: str = ""


def registers_of(expression: Expression) -> tuple[str, ...]:
    """Names of all registers an expression reads."""
    match expression:
        case str():
            return (expression,)
        case Sum(sum=terms) | First(first=terms) | Product(product=terms):
            return tuple(name for term in terms for name in registers_of(term))
        case Negate(negate=term) | Scaled(scale=term):
            return registers_of(term)
        case Lookup(lookup=name) | Hexadecimal(hex=name):
            return (name,)


def role_value(role: str, expression: Expression, values: Values, units: Mapping[str, str]) -> Value | None:
    """The value of one role in its canonical unit, or None when it cannot be known from ``values``.

    ``units``: unit of each register by name.
    """
    found = _evaluate(expression, values, units)
    if ROLE_UNITS[role] == "text":
        return None if found is None else str(found)
    return found if isinstance(found, float | int) and math.isfinite(found) else None


def charger_state(state: StateMap, values: Values) -> ChargerState | None:
    """The state a charger reports; None when its register is missing or its raw value is unknown."""
    raw = raw_state(state, values.get(state.register))
    if raw is None and state.otherwise is not None:
        return charger_state(state.otherwise, values)
    row = None if raw is None else _row(state, raw, values)
    if raw is None or row is None:
        return None
    status = row.status
    for override in state.overrides:
        if (not override.over or status in override.over) and all(holds(test, values) for test in override.when):
            status = override.status
    return ChargerState(row.pilot, status, raw, row.text, row.iec61851 or row.pilot)


def _row(state: StateMap, raw: int | str, values: Values) -> StateRow | None:
    for row in state.map:
        if raw in row.raw and all(holds(test, values) for test in row.when):
            return row
    return None


def raw_state(state: StateMap, value: Value | None) -> int | str | None:
    """The state register's value with the byte and the mask of the state map applied."""
    if value is None:
        return None
    if state.byte is not None:
        value = bytes.fromhex(str(value))[state.byte]
    if isinstance(value, str):
        return value
    return int(value) & state.mask if state.mask is not None else int(value)


def holds(test: Condition, values: Values) -> bool:
    """Whether a register's value meets a condition; a missing one never does."""
    value = values.get(test.register)
    if value is None:
        return False
    if test.one_of is not None and value not in test.one_of:
        return False
    if test.at_least is None and test.below is None:
        return True
    if isinstance(value, str):
        return False
    return (test.at_least is None or value >= test.at_least) and (test.below is None or value < test.below)


def _evaluate(expression: Expression, values: Values, units: Mapping[str, str]) -> Value | None:
    match expression:
        case str():
            return _in_role_unit(units.get(expression, ""), values.get(expression))
        case First(first=terms):
            found = (_evaluate(term, values, units) for term in terms)
            return next((value for value in found if value is not None), None)
        case Negate(negate=term) | Scaled(scale=term):
            factor = -1 if isinstance(expression, Negate) else expression.by
            return _times(_evaluate(term, values, units), factor)
        case Hexadecimal() | Lookup():
            return _translated(expression, values)
        case Sum(sum=terms):
            numbers = _numbers(terms, values, units)
            return None if numbers is None else sum(numbers)
        case Product(product=terms):
            numbers = _numbers(terms, values, units)
            return None if numbers is None else math.prod(numbers)


def _times(value: Value | None, factor: float) -> float | None:
    return None if value is None or isinstance(value, str) else value * factor


def _translated(expression: Hexadecimal | Lookup, values: Values) -> Value | None:
    raw = values.get(expression.hex if isinstance(expression, Hexadecimal) else expression.lookup)
    if not isinstance(raw, int):
        return None
    if isinstance(expression, Lookup):
        return expression.table.get(raw)
    return f"{raw:0{expression.digits}X}" if raw else None


def _numbers(terms: tuple[Expression, ...], values: Values, units: Mapping[str, str]) -> list[float] | None:
    found = [_evaluate(term, values, units) for term in terms]
    numbers = [value for value in found if isinstance(value, float | int)]
    return numbers if len(numbers) == len(found) else None


def _in_role_unit(unit: str, value: Value | None) -> Value | None:
    factor = UNIT_FACTORS.get(unit)
    return value if factor is None or value is None or isinstance(value, str) else value * factor[1]
