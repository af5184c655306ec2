"""Signed phase currents from what a P1 telegram says. Pure.

The ampere fields have no sign, and in the Netherlands they are whole amperes which some makes round and others cut.
They do hold the reactive current, which P / U does not. So the sign and the active part come from power and voltage and
the ampere field can only raise the magnitude on import or shrink the credit of export:

- import: the larger of P / U and the ampere field; with reactive power sqrt(P^2 + Q^2) / U as well
- export: P / U (negative) plus the reactive part, which is sqrt(I^2 - (P / U)^2), with I less than printed by half a
  step of each number: 0.5 A of a field in whole amperes. Else rounding would look like reactive current
- no power of that phase: the ampere field, as import whatever its direction (in whole amperes: 1 A more, it may be cut)
- no voltage: the nominal one
- neither power nor amperes: a meter that tells of one phase only has its total there; of a total over three phases
  nothing is known of any phase, and the current is missing

Consumption is positive. ``docs/site-file.md`` says the same to people.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from interfaces.domain.units import w_from_kw
from interfaces.drivers.p1_telegram import Number, Telegram

NOMINAL_V: Final = 230.0
MIN_VOLTAGE_V: Final = 100.0
"""Below this no power is divided by it: the phase is dead or is not connected."""
WHOLE_A: Final = 1.0

NO_VOLTAGE: Final = f"no voltage in the telegram: {NOMINAL_V:g} V assumed"
NO_DIRECTION: Final = "no power per phase: every current counts as import"
NO_AMPERES: Final = "no current in the telegram: reactive current is not seen"
ONE_TOTAL: Final = "only a total: taken as the current of L1"
NO_PHASES: Final = "neither power nor current per phase: such a meter cannot protect three phases"
NO_EXPORT: Final = "export is told in total, not per phase: it is not credited"


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase as far as it can be told: A and W signed, V as measured; None where it cannot. ``notes``: how."""

    current_a: float | None = None
    power_w: float | None = None
    voltage_v: float | None = None
    reactive_var: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Codes:
    import_kw: str
    export_kw: str
    volts: str
    amps: str
    import_kvar: str
    export_kvar: str


PHASE_CODES: Final = tuple(_Codes(*(f"1-0:{n + tens}.7.0" for n in (21, 22, 32, 31, 23, 24))) for tens in (0, 20, 40))


def phases_of(telegram: Telegram) -> tuple[Phase, Phase, Phase]:
    """L1, L2, L3 of a telegram."""
    numbers = telegram.numbers
    first, second, third = (_phase(numbers, codes) for codes in PHASE_CODES)
    if first.current_a is None:
        later = {code for codes in PHASE_CODES[1:] for code in _all_of(codes)}
        single = later.isdisjoint(numbers) and not any(
            problem.startswith(tuple(later)) for problem in telegram.problems
        )
        first = _of_total(numbers, first.voltage_v) if single else Phase(voltage_v=first.voltage_v, notes=(NO_PHASES,))
    return first, second, third


def net_kilo(numbers: Mapping[str, Number], plus: str, minus: str) -> float | None:
    """Import less export of one quantity, in W or var from kW or kvar; None where the import is missing.

    A meter without an export object has no export register: what it sends is import.
    """
    imported, exported = numbers.get(plus), numbers.get(minus)
    if imported is None:
        return None
    return w_from_kw(imported.value - (0.0 if exported is None else exported.value))


def signed_a(active_a: float, reactive_a: float | None, field: Number | None, blur_a: float = 0.0) -> float:
    """The current of a phase from its signed active part, its reactive part (magnitude) and the ampere field.

    ``blur_a``: what rounding of power and voltage may have changed of the active part.
    """
    magnitude_a = 0.0 if field is None else field.value
    if active_a >= 0.0:
        return max(math.hypot(active_a, reactive_a or 0.0), magnitude_a)
    if reactive_a is None:
        sure_a = 0.0 if field is None else max(0.0, magnitude_a - field.half_step - blur_a)
        reactive_a = math.sqrt(max(0.0, sure_a * sure_a - active_a * active_a))
    return active_a + reactive_a


def _all_of(codes: _Codes) -> tuple[str, ...]:
    return (codes.import_kw, codes.export_kw, codes.volts, codes.amps)


def _phase(numbers: Mapping[str, Number], codes: _Codes) -> Phase:
    field, volts = numbers.get(codes.amps), numbers.get(codes.volts)
    power_w = net_kilo(numbers, codes.import_kw, codes.export_kw)
    voltage_v = None if volts is None else volts.value
    if power_w is None:
        if field is None:
            return Phase(voltage_v=voltage_v)
        amps = field.value if field.decimals else field.value + WHOLE_A
        return Phase(amps, None, voltage_v, None, (NO_DIRECTION,))
    notes = []
    divisor_v = voltage_v if voltage_v is not None and voltage_v >= MIN_VOLTAGE_V else NOMINAL_V
    if voltage_v is None:
        notes.append(NO_VOLTAGE)
    if codes.export_kw not in numbers and _exports(numbers):
        notes.append(NO_EXPORT)
    reactive_var = net_kilo(numbers, codes.import_kvar, codes.export_kvar)
    if field is None and reactive_var is None:
        notes.append(NO_AMPERES)
    reactive_a = None if reactive_var is None else abs(reactive_var) / divisor_v
    active_a = power_w / divisor_v
    blur_a = (w_from_kw(numbers[codes.import_kw].half_step) + _half_volts(volts) * abs(active_a)) / divisor_v
    return Phase(signed_a(active_a, reactive_a, field, blur_a), power_w, voltage_v, reactive_var, tuple(notes))


def _half_volts(volts: Number | None) -> float:
    """What rounding hides of the voltage; nothing is known of one that is assumed."""
    return 0.0 if volts is None else volts.half_step


def _exports(numbers: Mapping[str, Number]) -> bool:
    total = numbers.get("1-0:2.7.0")
    return total is not None and total.value > 0.0


def _of_total(numbers: Mapping[str, Number], voltage_v: float | None) -> Phase:
    """A single-phase meter that tells no phase apart."""
    total_w = net_kilo(numbers, "1-0:1.7.0", "1-0:2.7.0")
    if total_w is None:
        return Phase(voltage_v=voltage_v, notes=(NO_PHASES,))
    divisor_v = voltage_v if voltage_v is not None and voltage_v >= MIN_VOLTAGE_V else NOMINAL_V
    notes = (ONE_TOTAL, NO_AMPERES) if voltage_v is not None else (ONE_TOTAL, NO_AMPERES, NO_VOLTAGE)
    return Phase(total_w / divisor_v, total_w, voltage_v, None, notes)
