"""What a circuit has left: limits, margins, measured background, and meters that cannot be believed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from controller.core.params import NO_LIMIT
from interfaces.domain.reasons import Reason
from interfaces.domain.topology import Asset, AssetKind
from interfaces.domain.units import MISSING
from tests.controller.core.table import Table, branch, evse, garage, gcp, site

SETTLED_S = 90.0


def test_budget_is_limit_minus_background_once_a_minute_was_seen():
    table = Table(garage(1)).load("gcp", 12, 5, 0).after(scans=2)
    assert table.budget_a("gcp") == (43, 43, 43), "before: the configured worst case where it is higher"
    table.after(seconds=SETTLED_S)
    assert table.budget_a("gcp") == (51, 58, 63)


def test_before_a_minute_of_samples_a_higher_load_counts():
    table = Table(garage(1)).load("gcp", 30).after(seconds=5)
    assert table.budget_a("gcp") == (33, 33, 33)


def test_margin_is_one_ampere_or_two_percent_or_the_sites_own():
    for rated, own, left in ((40.0, None, 39.0), (100.0, None, 98.0), (63.0, (10.0, 5.0, 0.0), 53.0)):
        table = Table(site([gcp(rated, margin_a=own)], [])).after(seconds=SETTLED_S)
        assert table.budget_a("gcp")[0] == left


def test_derating_and_contract_bound_the_limit():
    table = Table(site([gcp(100.0, derating=0.9, contract_a=(95.0, 60.0, 95.0))], [])).after(seconds=SETTLED_S)
    assert table.budget_a("gcp") == (90, 60, 90)


def test_a_slow_meter_costs_a_constant_and_no_sawtooth():
    table = Table(site([gcp(63.0, meter_period_s=5.0)], [])).after(seconds=SETTLED_S)
    seen = {table.after(scans=1).budget_a("gcp")[0] for _ in range(20)}
    assert seen == {61.0}


def test_age_beyond_the_period_costs_half_an_ampere_per_second():
    table = Table(garage(1), scan_s=0.2).after(seconds=SETTLED_S)
    table.silent_meters.add("gcp")
    table.after(seconds=5.0)
    age_s = table.now_s - table.image.meter_sample_s[0]
    assert table.budget_a("gcp")[0] == pytest.approx(63.0 - 0.5 * (age_s - 1.3), abs=0.01)


def test_a_rise_counts_at_once_and_a_fall_after_a_minute():
    table = Table(garage(1)).after(seconds=SETTLED_S).load("gcp", 30).after(scans=1)
    assert table.budget_a("gcp")[0] == 33.0
    table.load("gcp", 0).after(seconds=58)
    assert table.budget_a("gcp")[0] == 33.0
    table.after(seconds=10)
    assert table.budget_a("gcp")[0] == 63.0


def test_export_is_no_fuse_credit_but_counts_on_the_power_row():
    table = Table(site([gcp(63.0, max_import_w=10_000.0)], [])).load("gcp", -10).after(seconds=SETTLED_S)
    assert table.budget_a("gcp") == (63, 63, 63)
    assert int(table.report.budget_mw[0]) == 16_900_000


def test_the_draw_of_the_cars_is_no_background():
    table = Table(garage(2)).load("gcp", 10).plug("e0", "e1").after(seconds=SETTLED_S).expect(e0=16, e1=16)
    assert table.budget_a("gcp") == (53, 53, 53)


@pytest.mark.parametrize("poll_s", [1.0, 3.0])
def test_cars_that_start_and_stop_leave_no_phantom_background(poll_s):
    table = Table(garage(3, poll_s=poll_s)).load("gcp", 10).after(seconds=SETTLED_S)
    for k in range(12):
        table.plug("e0") if k % 2 else table.unplug("e0")
        table.plug("e1") if k % 3 else table.unplug("e1")
        table.after(seconds=17)
        assert table.budget_a("gcp")[0] >= 53.0 - 0.5


def test_a_nested_circuit_without_meter_uses_its_configured_background():
    topology = site([gcp(), branch("b", "gcp", 20.0, background_max_a=(4.0, 3.0, 2.0))], [evse("e0", "b")])
    assert Table(topology).after(seconds=SETTLED_S).budget_a("b") == (16, 17, 18)


def test_a_circuit_without_meter_and_without_background_has_nothing():
    topology = site([gcp(), branch("b", "gcp", 20.0, background_max_a=None)], [evse("e0", "b")])
    table = Table(topology).plug("e0").after(seconds=SETTLED_S).expect(e0=0)
    assert table.budget_a("b") == (0, 0, 0)


# -- meters that fail -------------------------------------------------------------------------------------------------


def silent_meter(**facts) -> Table:
    table = Table(garage(2, **facts)).load("gcp", 5).plug("e0").after(seconds=SETTLED_S).expect(e0=16)
    table.silent_meters.add("gcp")
    return table


def test_a_meter_silent_for_its_period_and_two_seconds_stops_raises_but_cuts_nothing():
    table = silent_meter().after(seconds=3).plug("e1").after(seconds=6).expect(e0=16, e1=0)
    assert table.reason("e1") == Reason.NO_RAISE_YET


def test_a_meter_silent_for_its_period_and_nine_seconds_means_worst_case_background():
    table = silent_meter().after(seconds=10)
    assert table.budget_a("gcp")[0] > 43.0
    table.after(seconds=1)
    assert table.budget_a("gcp") == (43, 43, 43)
    assert (Reason.ALARM_METER_LOST, "gcp") in table.alarms()
    table.plug("e1").after(seconds=30).expect(e0=16, e1=16)


def test_without_configured_worst_case_the_highest_of_the_weeks_counts():
    table = Table(site([gcp(background_max_a=None)], [evse("e0")])).load("gcp", 22).after(seconds=SETTLED_S)
    table.load("gcp", 5).after(seconds=SETTLED_S)
    table.silent_meters.add("gcp")
    assert table.after(seconds=15).budget_a("gcp") == (41, 41, 41)


def test_a_lost_meter_is_believed_again_after_a_minute_of_good_samples():
    table = silent_meter().after(seconds=20)
    table.silent_meters.clear()
    table.after(seconds=58)
    assert table.budget_a("gcp") == (43, 43, 43)
    table.after(seconds=5)
    assert table.budget_a("gcp")[0] >= 57.0


def test_good_samples_with_gaps_do_not_bring_a_lost_meter_back():
    table = silent_meter().after(seconds=20)
    for _ in range(10):
        table.silent_meters.clear()
        table.after(seconds=20)
        table.silent_meters.add("gcp")
        table.after(seconds=5)
        assert table.budget_a("gcp") == (43, 43, 43)


def test_a_block_that_stays_identical_for_ten_seconds_is_a_frozen_meter():
    table = Table(garage(1)).load("gcp", 5).after(seconds=SETTLED_S)
    table.put(meter_digest=table.image.meter_digest.copy()).after(seconds=9)
    assert not table.alarms()
    table.after(seconds=4)
    assert (Reason.ALARM_METER_FROZEN, "gcp") in table.alarms()
    assert table.budget_a("gcp") == (43, 43, 43)


def test_a_meter_without_one_phase_is_no_meter():
    """Two phases are measured, the third reads nothing: 0 would be a budget of 63 A."""
    table = Table(garage(1)).load("gcp", 5)
    table.edit = lambda image: replace(image, meter_ma=np.where([[False, True, False]], MISSING, image.meter_ma))
    table.after(seconds=120)
    assert table.budget_a("gcp")[1] == 43.0
    assert (Reason.ALARM_METER_LOST, "gcp") in table.alarms()


def test_a_meter_that_loses_a_phase_ages_like_a_silent_one():
    table = Table(garage(2)).load("gcp", 5).plug("e0").after(seconds=SETTLED_S)
    table.edit = lambda image: replace(image, meter_ma=np.where([[True, False, False]], MISSING, image.meter_ma))
    table.after(seconds=4).plug("e1").after(seconds=5).expect(e0=16, e1=0)
    table.after(seconds=4)
    assert table.budget_a("gcp") == (43, 43, 43)


def test_a_meter_without_power_still_protects_a_power_limit():
    """No power register: the signed currents at nominal voltage stand in; absent is never 0 W."""
    table = Table(site([gcp(63.0, max_import_w=20_000.0)], [evse("e0")])).load("gcp", 20)
    table.put(meter_mw=np.array([MISSING])).after(seconds=SETTLED_S)
    assert int(table.report.budget_mw[0]) == 20_000_000 - 3 * 20 * 230_000


def test_a_row_without_limit_stays_without_limit():
    table = Table(garage(1)).after(seconds=SETTLED_S)
    assert table.report.budget_mw.tolist() == [NO_LIMIT]


def test_reversed_transformers_are_found_and_the_meter_is_not_believed():
    """The meter falls whenever the car charges."""
    table = Table(garage(1)).load("gcp", 20)
    table.edit = lambda image: replace(image, meter_ma=np.where(image.meter_ma == MISSING, MISSING, -image.meter_ma))
    for _ in range(8):
        table.plug("e0").after(seconds=40).unplug("e0").after(seconds=30)
    assert (Reason.ALARM_METER_SIGN, "gcp") in table.alarms()
    assert table.budget_a("gcp") == (43, 43, 43)


def test_a_wrong_phase_map_is_found_and_the_car_counts_on_all_phases():
    """The one-phase car of L1 shows on L2 of the meter."""
    table = Table(site([gcp()], [evse("e0", phases=(0,))])).load("gcp", 20)
    table.edit = lambda image: replace(image, meter_ma=image.meter_ma[:, [1, 0, 2]])
    for _ in range(8):
        table.plug("e0").after(seconds=40).unplug("e0").after(seconds=30)
    assert (Reason.ALARM_ROTATION, "e0") in table.alarms()
    assert table.report.phase_use.tolist() == [[1, 1, 1]]


def test_right_wiring_raises_no_suspicion():
    table = Table(garage(2, phases=(1, 2, 0))).load("gcp", 20)
    for k in range(8):
        table.plug("e0").after(seconds=40).unplug("e0").load("gcp", 10 + k).after(seconds=30)
    assert not table.alarms()


# -- assets that cannot be read ---------------------------------------------------------------------------------------


def test_a_silent_charger_counts_once():
    """It keeps drawing 16 A: the ledger reserves it, the meter sees it, and the budget does not pay twice."""
    table = Table(garage(3, 63.0, failsafe_a=16.0)).load("gcp", 5).plug("e0", "e1").after(seconds=SETTLED_S)
    table.silent.add("e0")
    table.after(seconds=120).expect(e1=16)
    assert table.budget_a("gcp")[0] >= 63 - 5 - 1
    table.plug("e2").after(seconds=30).expect(e2=16)
    assert table.over_limit_s.sum() == 0


def test_a_slow_charger_counts_once_too():
    slow = {"poll_s": 10.0, "settle_poll_s": 10.0}
    table = Table(garage(2, **slow)).load("gcp", 10).plug("e0", "e1").after(seconds=240).expect(e0=16, e1=16)
    assert table.budget_a("gcp")[0] >= 53 - 1


def test_generation_of_an_inverter_of_ours_is_background():
    """A PV inverter feeds in 10 A: no credit in the fuse rows, and a cloud costs nothing that was lent on it."""
    pv = Asset("pv", AssetKind.PV, "d-pv", "gcp", (0, 1, 2), 20.0, min_a=0.0, max_export_a=20.0, boot_a=0.0)
    table = Table(site([gcp()], [evse("e0"), pv])).load("gcp", -10).plug("e0").after(seconds=SETTLED_S)
    assert table.budget_a("gcp")[0] == 63.0
