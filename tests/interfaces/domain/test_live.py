"""What a site tells of itself, against images made by hand; absent stays absent."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from controller.core.params import Params
from controller.core.scan import scan
from controller.core.state import initial
from interfaces.domain.image import FailsafeProof, Fire, Identity, Image, Pilot
from interfaces.domain.live import LIVE_SCHEMA, LiveStatus, car_connected, live_status
from interfaces.domain.telemetry import ScanRecord
from interfaces.domain.topology import Asset, AssetKind, Circuit, build_topology
from interfaces.domain.units import MISSING, NEVER_S

THREE = (0, 1, 2)
TOPOLOGY = build_topology(
    [
        Circuit("gcp", None, (63.0,) * 3, meter="m", background_max_a=(20.0,) * 3),
        Circuit("hall", "gcp", (40.0,) * 3, meter="m2", background_max_a=(5.0,) * 3),
        Circuit("bare", "gcp", (40.0,) * 3, background_max_a=(0.0,) * 3),
    ],
    [
        Asset("car", AssetKind.EVSE, "d1", "hall", THREE, 16.0),
        Asset("one", AssetKind.EVSE, "d2", "gcp", (1,), 16.0),
        Asset("roof", AssetKind.PV, "d3", "gcp", THREE, 0.0, min_a=0.0, max_export_a=20.0),
        Asset("bat", AssetKind.BATTERY, "d4", "gcp", THREE, 20.0, min_a=0.0, max_export_a=20.0),
    ],
    version="t",
)
NOW_S, EPOCH_S = 1000.0, 1_700_000_000.0
HALL_MA = (9000, 8000, 7000)


def image(**changes: object) -> Image:
    n, c = TOPOLOGY.n, TOPOLOGY.c
    plain = Image(
        meter_ma=np.array([(20_000, 21_000, -3_000), HALL_MA, (MISSING,) * 3]),
        meter_mw=np.array([8_740_000, 5_520_000, MISSING]),
        meter_sample_s=np.full(c, NOW_S),
        meter_sample_no=np.full(c, 7),
        meter_digest=np.arange(c),
        asset_ma=np.array([(10_000, 10_000, 10_000), (0, 6_000, 0), (-5_000, -5_000, -5_000), (2_000, 2_000, 2_000)]),
        asset_mv=np.full((n, 3), 240_000),
        asset_sample_s=np.full(n, NOW_S),
        reply_s=np.array([NOW_S, NOW_S - 30.0, NOW_S - 30.5, NEVER_S]),
        offered_ma=np.array([16_000, 6_000, MISSING, 0]),
        readback_s=np.full(n, NOW_S),
        pilot=np.array([int(Pilot.C2), int(Pilot.A), int(Pilot.UNKNOWN), int(Pilot.UNKNOWN)]),
        failsafe_proof=np.full(n, int(FailsafeProof.VERIFIED)),
        phases_now=np.full(n, 3),
        reboots=np.zeros(n, dtype=np.int64),
        energy_wh=np.full(n, 12_000),
        soc_permille=np.array([MISSING, MISSING, MISSING, 555]),
        identity=np.full(n, int(Identity.KNOWN)),
        declared_off=np.zeros(n, dtype=np.bool_),
        tag=("blue", None, None, None),
        operator_limit_mw=MISSING,
        operator_stop=False,
        fire=int(Fire.INACTIVE),
        late_in_a_row=0,
        clock_trusted=True,
        plan=None,
        targets=None,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def status(session_s: float = 400.0, **changes: object) -> LiveStatus:
    params = Params.of(TOPOLOGY)
    seen = image(**changes)
    commands, report, _ = scan(seen, initial(params, NOW_S), params, NOW_S, EPOCH_S)
    report = replace(report, session_s=np.array([session_s, np.nan, np.nan, np.nan]))
    report = replace(report, energy_wh=np.array([4_250, 0, 0, 0]), phase_use=np.array(TOPOLOGY.wired, dtype=np.int64))
    return live_status(ScanRecord(1, NOW_S, EPOCH_S, seen, commands, report, ""), TOPOLOGY, "home")


def asset(name: str, **changes: object):
    return next(a for a in status(**changes).assets if a.id == name)  # type: ignore[arg-type]


def test_only_metered_circuits_are_told_and_the_building_is_what_remains():
    told = status()
    assert (told.site, told.schema, told.epoch_s) == ("home", LIVE_SCHEMA, EPOCH_S)
    assert told.topology_version == TOPOLOGY.version
    gcp, hall = told.circuits
    assert (gcp.id, hall.id) == ("gcp", "hall")
    assert gcp.power_kw == pytest.approx(8.74)
    # 10 A x 3 and 6 A at 240 V, less 15 A of sun, and 6 A into the battery
    assert gcp.assets_kw == pytest.approx((30 + 6 - 15 + 6) * 0.240)
    assert hall.assets_kw == pytest.approx(30 * 0.240)
    assert gcp.current_a == (20.0, 21.0, -3.0)
    assert all(a >= 0.0 for a in gcp.background_a)


def test_powers_are_signed_and_at_the_voltage_measured():
    assert asset("car").power_kw == pytest.approx(7.2)
    assert asset("roof").power_kw == pytest.approx(-3.6)


def test_a_voltage_that_no_supply_has_is_read_as_nominal():
    asleep = np.full((TOPOLOGY.n, 3), 240_000)
    asleep[0] = (0, MISSING, 195_000)  # 195 V is 85 % of 230 V, and no less
    assert asset("car", asset_mv=asleep).power_kw == pytest.approx(195.5 / 195.5 * 10 * (230 * 3) / 1000)
    asleep[0] = (0, MISSING, 196_000)
    assert asset("car", asset_mv=asleep).power_kw == pytest.approx(10 * (230 + 230 + 196) / 1000)


def test_what_was_not_measured_is_absent_and_not_zero():
    unknown = np.array(image().asset_ma)
    unknown[0, 2] = MISSING
    car = asset("car", asset_ma=unknown)
    assert car.power_kw is None
    assert car.soc_pct is None
    assert asset("roof").offered_a is None
    assert asset("bat").offered_a == 0.0
    assert asset("bat").soc_pct == pytest.approx(55.5)
    told = status(meter_mw=np.array([MISSING, 0, MISSING]), meter_ma=np.array([(MISSING, 4_000, 0), HALL_MA, HALL_MA]))
    assert told.circuits[0].power_kw is None
    assert told.circuits[0].current_a == (None, 4.0, 0.0)
    assert told.circuits[1].power_kw == 0.0
    assert told.operator_limit_w is None
    assert status(operator_limit_mw=0).operator_limit_w == 0.0


def test_a_conductor_the_asset_does_not_have_may_be_silent():
    silent = np.array(image().asset_ma)
    silent[1] = (MISSING, 6_000, MISSING)
    assert asset("one", asset_ma=silent).power_kw == pytest.approx(6 * 0.240)


def test_a_session_is_carried_from_the_one_clock_to_the_other():
    car = asset("car")
    assert car.plugged_in_epoch_s == EPOCH_S - 600.0
    assert car.energy_kwh == pytest.approx(4.25)
    assert car.tag == "blue"
    assert car_connected(car)
    assert asset("one").plugged_in_epoch_s is None
    assert not car_connected(asset("one"))


def test_a_pilot_that_says_no_car_wins():
    gone = np.array(image().pilot)
    gone[0] = int(Pilot.A)
    assert not car_connected(asset("car", pilot=gone))
    gone[0] = int(Pilot.UNKNOWN)
    assert car_connected(asset("car", pilot=gone))


def test_reachable_is_an_answer_within_the_last_half_minute():
    assert [a.reachable for a in status().assets] == [True, True, False, False]


def test_the_last_reading_of_a_silent_meter_is_no_reading():
    """Its period is 1 s: up to 31 s it may only be late."""
    late, silent = (np.array([NOW_S - age_s, NOW_S, NOW_S]) for age_s in (31.0, 31.5))
    assert status(meter_sample_s=late).circuits[0].power_kw == pytest.approx(8.74)
    gcp, hall = status(meter_sample_s=silent).circuits
    assert gcp.power_kw is None
    assert gcp.current_a == (None, None, None)
    assert hall.power_kw == pytest.approx(5.52)


def test_the_registers_of_a_capacity_tariff_are_told_and_nothing_is_told_without_them():
    """The clock stands 800 s into a quarter of an hour."""
    assert EPOCH_S % 900 == 800.0
    assert (status().quarter_kw, status().month_peak_kw) == (None, None)
    told = status(quarter_mw=3_000_000, quarter_left_ms=100_000, month_peak_mw=0)
    assert (told.quarter_kw, told.month_peak_kw) == (3.0, 0.0)
    half = status(quarter_mw=MISSING, quarter_left_ms=100_000)
    assert half.quarter_kw is None


@pytest.mark.parametrize(("left_s", "age_s", "known"), [(129, 0, True), (131, 0, False), (71, 0, True), (69, 0, False),
                                                       (110, 10, True), (5, 10, False), (890, 0, False)])  # fmt: skip
def test_a_quarter_of_the_meters_clock_is_ours_only_when_it_is(left_s, age_s, known):
    seen = np.array([NOW_S - age_s, NOW_S, NOW_S])
    told = status(quarter_mw=3_000_000, quarter_left_ms=left_s * 1000, meter_sample_s=seen)
    assert (told.quarter_kw is not None) == known


def test_a_silent_meter_tells_no_peak():
    seen = np.array([NOW_S - 31.5, NOW_S, NOW_S])
    told = status(quarter_mw=1, quarter_left_ms=131_500, month_peak_mw=1, meter_sample_s=seen)
    assert (told.quarter_kw, told.month_peak_kw) == (None, None)


def test_without_a_plan_the_sequence_says_so():
    assert status().plan_sequence == -1
    plan = SimpleNamespace(sequence=12)
    params = Params.of(TOPOLOGY)
    commands, report, _ = scan(image(), initial(params, NOW_S), params, NOW_S, EPOCH_S)
    record = ScanRecord(1, NOW_S, EPOCH_S, image(plan=plan), commands, replace(report, mode="plan"), "")
    told = live_status(record, TOPOLOGY, "home")
    assert (told.plan_sequence, told.mode) == (12, "plan")
