"""Signed currents from unsigned ampere fields, power and voltage: one rule at a time."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interfaces.drivers.p1_currents import (
    NO_AMPERES,
    NO_DIRECTION,
    NO_EXPORT,
    NO_PHASES,
    NO_VOLTAGE,
    NOMINAL_V,
    ONE_TOTAL,
    Phase,
    phases_of,
    signed_a,
)
from interfaces.drivers.p1_reading import values_of
from interfaces.drivers.p1_telegram import Number, Telegram, parse


def told(**values: str) -> Telegram:
    """A telegram of objects such as ``c21="01.000*kW"``."""
    lines = "".join(f"1-0:{code[1:]}.7.0({value})\r\n" for code, value in values.items())
    found = parse(f"/X\r\n\r\n{lines}!".encode())
    assert isinstance(found, Telegram)
    return found


def first(**values: str) -> Phase:
    return phases_of(told(**values))[0]


@pytest.mark.parametrize(
    ("values", "current_a", "notes"),
    [
        # import: the larger of P / U and the field
        ({"c21": "02.300*kW", "c22": "00.000*kW", "c32": "230.0*V", "c31": "009*A"}, 10.0, ()),
        ({"c21": "02.300*kW", "c22": "00.000*kW", "c32": "230.0*V", "c31": "012*A"}, 12.0, ()),
        ({"c21": "02.300*kW", "c22": "00.000*kW", "c32": "230.0*V", "c31": "010.55*A"}, 10.55, ()),
        # export: credit less what is reactive; whole amperes prove half an ampere less
        ({"c21": "00.000*kW", "c22": "02.300*kW", "c32": "230.0*V", "c31": "010*A"}, -10.0, ()),
        ({"c21": "00.000*kW", "c22": "02.300*kW", "c32": "230.0*V", "c31": "013*A"}, -2.50725, ()),
        ({"c21": "00.000*kW", "c22": "00.920*kW", "c32": "230.0*V", "c31": "005.00*A"}, -1.01343, ()),
        # reactive power, where it is told
        ({"c21": "00.690*kW", "c22": "0*kW", "c32": "230.0*V", "c23": "0.920*kvar", "c24": "0*kvar"}, 5.0, ()),
        ({"c21": "0*kW", "c22": "00.690*kW", "c32": "230.0*V", "c23": "0*kvar", "c24": "0.460*kvar"}, -1.0, ()),
        # no voltage (DSMR 4), a dead phase
        ({"c21": "02.300*kW", "c22": "0*kW", "c31": "010*A"}, 10.0, (NO_VOLTAGE,)),
        ({"c21": "02.300*kW", "c22": "0*kW", "c31": "010*A", "c32": "000.0*V"}, 10.0, ()),
        # no field; no power; whole amperes may be cut
        ({"c21": "02.300*kW", "c22": "0*kW", "c32": "230.0*V"}, 10.0, (NO_AMPERES,)),
        ({"c31": "010.40*A", "c32": "230.0*V"}, 10.4, (NO_DIRECTION,)),
        ({"c31": "010*A", "c32": "230.0*V"}, 11.0, (NO_DIRECTION,)),
        # an export that is only told in total is not credited
        ({"c21": "02.300*kW", "c2": "5.0*kW", "c32": "230.0*V", "c31": "010.00*A"}, 10.0, (NO_EXPORT,)),
        # a meter of one phase that tells a total only
        ({"c1": "02.300*kW", "c2": "0*kW", "c32": "230.0*V"}, 10.0, (ONE_TOTAL, NO_AMPERES)),
        ({"c1": "0*kW", "c2": "02.300*kW"}, -10.0, (ONE_TOTAL, NO_AMPERES, NO_VOLTAGE)),
        # a total over three phases says nothing of any
        ({"c1": "02.300*kW", "c2": "0*kW", "c32": "230.0*V", "c52": "230.0*V", "c72": "230.0*V"}, None, (NO_PHASES,)),
        ({"c1": "02.300*kW", "c2": "0*kW", "c52": "nonsense"}, None, (NO_PHASES,)),
        # an import that cannot be read is not 0
        ({"c21": "bad", "c22": "02.300*kW", "c32": "230.0*V", "c31": "010.00*A"}, 10.0, (NO_DIRECTION,)),
        ({"c32": "230.0*V"}, None, (NO_PHASES,)),
        ({}, None, (NO_PHASES,)),
    ],
)
def test_the_current_of_one_phase(values, current_a, notes):
    found = first(**values)
    assert found.current_a == (None if current_a is None else pytest.approx(current_a, abs=1e-4))
    assert found.notes == notes


def test_phases_a_meter_does_not_have_are_missing_and_not_zero():
    single = values_of(told(c21="00.143*kW", c22="00.000*kW", c31="001*A"))[0]
    assert (single["current_l1_a"], single["current_l2_a"], single["current_l3_a"]) == (1.0, None, None)
    assert single["power_w"] is None


@given(st.floats(0, 100), st.floats(0, 60), st.booleans(), st.floats(200, 250), st.booleans())
def test_nothing_that_fits_beside_the_value_overloads_the_phase(size_a, reactive_a, fed_in, voltage_v, cut):
    """A resistive load a <= limit - value leaves the true current within half an ampere of what a whole field hides."""
    active_a = -size_a if fed_in else size_a
    true_a = math.hypot(active_a, reactive_a)
    field = Number(math.floor(true_a) if cut else round(true_a), "A", 0)
    fine = Number(round(true_a, 2), "A", 2)
    assert signed_a(active_a, None, fine) >= active_a - 1e-9
    assert signed_a(active_a, None, fine) <= true_a + 0.006
    if not fed_in:
        assert signed_a(active_a, None, field) >= true_a - 1.0
        assert signed_a(active_a, None, fine) >= true_a - 0.006
        return
    limit_a = 25.0
    for value in (signed_a(active_a, None, fine), signed_a(active_a, reactive_a, None)):
        added_a = max(0.0, limit_a - value)
        before_a = math.hypot(active_a, reactive_a)
        assert math.hypot(active_a + added_a, reactive_a) <= max(limit_a, before_a) + 0.5


def test_the_nominal_voltage_is_that_of_the_standard():
    assert NOMINAL_V == 230.0  # IEC 60038
