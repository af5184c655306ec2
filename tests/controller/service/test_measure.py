"""Readings to rows: signs, phase maps, missing values; whatever a device says, there is a row or none."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.service.measure import (
    AssetRow,
    CurrentSign,
    MeterRow,
    asset_row,
    energy_wh_of,
    meter_row,
    offered_ma,
    phases_of,
    pilot_of,
    signed_current_a,
    soc_permille_of,
    tag_of,
)
from interfaces.domain.image import Pilot
from interfaces.domain.units import MISSING
from interfaces.drivers.readings import GOOD, NOT_AVAILABLE, OUT_OF_RANGE, PointReading, Sample, SetpointStatus
from interfaces.drivers.roles import ChargerState
from tests.controller.service.kit import charger_reading, meter_reading, roles, with_sample

ALL = frozenset({"current_l1_a", "current_l2_a", "current_l3_a", "power_w"})
V230 = 230_000


def meter(reading: PointReading, sign: CurrentSign = "by_power", phases: int = 3) -> MeterRow:
    row = meter_row(reading, sign, phases)
    assert row is not None
    return row


def asset(reading: PointReading, known: frozenset[str] = ALL, phases: tuple[int, ...] = (0, 1, 2)) -> AssetRow:
    row = asset_row(reading, known, phases, V230)
    assert row is not None
    return row


# -- the direction of a current ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("current_a", "power_w", "reactive_var", "expected_a"),
    [
        (10.0, 2300.0, 0.0, 10.0),
        (math.hypot(10, 5), 2300.0, 1150.0, math.hypot(10, 5)),
        (math.hypot(10, 5), 2300.0, -1150.0, math.hypot(10, 5)),
        (12.0, 2300.0, 0.0, 12.0),  # harmonics load the conductor as well
        (10.0, -2300.0, 0.0, -10.0),
        (math.hypot(10, 4), -2300.0, 920.0, -6.0),
        (5.0, 0.0, 1150.0, 5.0),
        (10.0, -2300.0, None, -10.0),
        (5.0, -690.0, None, 4.0 - 3.0),
    ],
)
def test_the_current_of_a_meter_without_sign(current_a, power_w, reactive_var, expected_a):
    assert signed_current_a(current_a, power_w, reactive_var, 230.0) == pytest.approx(expected_a)


@given(
    active_a=st.floats(-60, 60),
    reactive_a=st.floats(-60, 60),
    limit_a=st.floats(1, 100),
    share=st.floats(0, 1),
    known=st.booleans(),
)
@settings(max_examples=500, deadline=None)
def test_what_fits_beside_it_never_overloads_the_phase(active_a, reactive_a, limit_a, share, known):
    volts = 230.0
    value_a = signed_current_a(
        math.hypot(active_a, reactive_a), active_a * volts, reactive_a * volts if known else None, volts
    )
    asset_a = share * max(0.0, limit_a - value_a)
    if asset_a > 0:
        without_a = math.hypot(active_a, reactive_a)
        assert math.hypot(active_a + asset_a, reactive_a) <= max(limit_a, without_a) + 1e-6


def test_a_meter_row_holds_signed_milliamperes_power_time_and_count():
    row = meter_row(meter_reading(70.0, 3, 5.5), "by_power", 3)
    assert row is not None
    assert (row.ma, row.mw, row.sample_s, row.sample_no, row.digest) == ((5500, 5500, 5500), 3_795_000, 70.0, 3, 22)


def test_without_power_or_reactive_power_the_magnitude_counts_as_import():
    reading = meter_reading(70.0, 1, 5.0)
    export = with_sample(reading, "power_l2_w", Sample(-1150.0, 70.0, GOOD, 1))
    assert meter(export, "unsigned", 3).ma == (5000, -5000, 5000)
    for role in ("power_l2_w", "voltage_l2_v"):
        assert meter(with_sample(export, role, None), "unsigned", 3).ma == (5000, 5000, 5000)
    stale = with_sample(export, "power_l2_w", Sample(-1150.0, 60.0, GOOD, 1))
    assert meter(stale, "unsigned", 3).ma == (5000, 5000, 5000), "a power of 10 s ago says nothing"
    assert meter(meter_reading(70.0, 1, -5.0), "signed", 3).ma == (-5000, -5000, -5000)


@pytest.mark.parametrize(
    "bad",
    [
        None,
        Sample(None, 70.0, NOT_AVAILABLE, 4),
        Sample(5.0, 69.0, OUT_OF_RANGE, 4),
        Sample(5.0, 60.0, "timeout", 4),
        Sample(math.nan, 70.0, GOOD, 4),
        Sample(math.inf, 70.0, GOOD, 4),
        Sample(4e9, 70.0, GOOD, 4),
        Sample("12", 70.0, GOOD, 4),
    ],
)
def test_row_46_a_meter_with_one_bad_phase_gives_no_row(bad):
    assert meter_row(with_sample(meter_reading(70.0, 1), "current_l2_a", bad), "by_power", 3) is None


def test_a_site_with_one_phase_needs_one_phase():
    reading = with_sample(meter_reading(70.0, 1), "current_l2_a", None)
    assert meter(reading, "by_power", 1).ma == (5000, 0, 0)


def test_power_is_the_sum_of_the_phases_where_there_is_no_total_and_missing_where_a_phase_is():
    reading = with_sample(meter_reading(70.0, 1, 10.0), "power_w", None)
    assert meter(reading).mw == 6_900_000
    assert meter(with_sample(reading, "power_l1_w", None)).mw == MISSING


# -- assets -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phases", [(0, 1, 2), (1, 2, 0), (2, 0, 1), (0, 2, 1), (2, 1, 0), (1, 0, 2)])
def test_conductors_are_turned_onto_grid_phases(phases):
    reading = PointReading(
        roles=roles(9.0, current_l1_a=1.0, current_l2_a=2.0, current_l3_a=3.0, voltage_l1_v=231.0, voltage_l2_v=232.0)
    )
    row = asset_row(reading, ALL, phases, V230)
    assert row is not None
    for conductor, phase in enumerate(phases):
        assert row.ma[phase] == 1000 * (conductor + 1)
    assert row.mv[phases[0]] == 231_000
    assert row.mv[phases[1]] == 232_000
    assert row.mv[phases[2]] == MISSING
    assert row.sample_s == 9.0


def test_a_one_phase_asset_needs_only_its_own_conductor():
    reading = PointReading(roles=roles(9.0, current_l1_a=7.0))
    assert asset(reading, ALL, (2,)).ma == (0, 0, 7000)
    assert asset_row(PointReading(), ALL, (2,), V230) is None


def test_a_conductor_without_its_own_register_is_not_credited_to_the_asset():
    reading = PointReading(roles=roles(9.0, current_l1_a=7.0))
    assert asset(reading, frozenset({"current_l1_a"}), (1, 2, 0)).ma == (0, 7000, 0)


def test_without_current_registers_power_is_spread_over_the_conductors_with_its_sign():
    reading = PointReading(roles=roles(9.0, power_w=-6900.0))
    assert asset(reading, frozenset({"power_w"}), (0, 1, 2)).ma == (-10_000, -10_000, -10_000)
    assert asset_row(PointReading(), frozenset({"power_w"}), (0, 1, 2), V230) is None


def test_a_dead_voltage_is_missing_and_not_zero():
    reading = with_sample(charger_reading(9.0, 6000), "voltage_l1_v", Sample(0.0, 9.0, GOOD, 1))
    assert asset(reading).mv[0] == MISSING
    low = with_sample(reading, "voltage_l1_v", Sample(180.0, 9.0, GOOD, 1))
    assert asset(low).mv[0] == 180_000


@pytest.mark.parametrize(
    ("read_milli", "by_power", "expected_ma"),
    [
        (16_000, False, 16_000),
        (0, False, 0),
        (None, False, MISSING),
        (-5, False, MISSING),
        (2**40, False, MISSING),
        (6_900_000, True, 10_000),
        (6_900_001, True, 10_001),
        (-6_900_001, True, -10_001),
    ],
)
def test_what_a_device_was_told(read_milli, by_power, expected_ma):
    reading = PointReading(setpoint=SetpointStatus(readback_milli=read_milli))
    assert offered_ma(reading, 3, V230, by_power=by_power) == expected_ma


def test_the_rest_of_a_reading():
    reading = replace(
        charger_reading(9.0, 6000, pilot="B1"),
        roles=roles(9.0, phases=1, soc_pct=55.55, rfid=" 04AB ", energy_import_wh=12.4),
    )
    assert pilot_of(reading) == Pilot.B1
    assert phases_of(reading) == 1
    assert soc_permille_of(reading) == 556
    assert tag_of(reading) == "04AB"
    assert energy_wh_of(reading) == 12
    empty = PointReading(roles=roles(9.0, phases=2, rfid="  ", soc_pct=120.0))
    assert (pilot_of(empty), phases_of(empty), soc_permille_of(empty), tag_of(empty), energy_wh_of(empty)) == (
        Pilot.UNKNOWN, MISSING, MISSING, None, MISSING,
    )  # fmt: skip


VALUES = st.none() | st.floats() | st.integers() | st.text(max_size=5) | st.booleans()
SAMPLES = st.builds(Sample, VALUES, st.floats(), st.sampled_from([GOOD, NOT_AVAILABLE, "x"]), st.integers(0, 9))
NAMES = [
    f"{kind}_l{n}_{unit}" for kind, unit in (("current", "a"), ("voltage", "v"), ("power", "w")) for n in (1, 2, 3)
]
READINGS = st.builds(
    PointReading,
    roles=st.dictionaries(st.sampled_from([*NAMES, "power_w", "phases", "rfid", "soc_pct", "energy_wh"]), SAMPLES),
    state=st.none() | st.builds(ChargerState, st.text(max_size=2), st.just("free"), st.integers()),
    setpoint=st.builds(SetpointStatus, readback_milli=st.none() | st.integers()),
)


@given(READINGS, st.sampled_from(["signed", "by_power", "unsigned"]), st.sampled_from([(0, 1, 2), (1,), ()]))
@settings(max_examples=500, deadline=None)
def test_row_69_no_reading_makes_decoding_raise(reading, sign, phases):
    row = meter_row(reading, sign, 3)
    if row is not None:
        assert all(abs(value) < 10**8 for value in row.ma)
    drawn = asset_row(reading, ALL, phases, V230)
    if drawn is not None:
        assert all(abs(value) < 10**8 for value in drawn.ma)
    for found in (
        offered_ma(reading, len(phases), V230, by_power=True), offered_ma(reading, 3, V230, by_power=False),
        pilot_of(reading), phases_of(reading), soc_permille_of(reading), energy_wh_of(reading),
    ):  # fmt: skip
        assert isinstance(found, int)
        assert -(2**63) <= found < 2**63
    tag_of(reading)
