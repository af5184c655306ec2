"""The exposure ledger: what an asset may still draw, given everything it may believe it was offered."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from controller.core.ledger import push_pending, record_commands
from controller.core.params import Params
from controller.core.records import PENDING
from controller.core.state import initial, retained_of
from interfaces.domain.image import FailsafeProof, Pilot
from interfaces.domain.units import MISSING
from tests.controller.core.table import EPOCH_S, START_S, Table, evse, garage, gcp, site


def charging(count: int = 1, rated_a: float = 63.0, **facts) -> Table:
    """Cars that have settled at their offers."""
    table = Table(garage(count, rated_a, **facts))
    return table.plug(*(f"e{k}" for k in range(count))).after(seconds=90)


def test_a_revoked_offer_stays_reserved_for_ten_seconds_after_the_read_back():
    table = charging().load("gcp", 55).after(scans=1).expect(e0=8)
    cut_s = table.now_s
    readback_s = cut_s + 1.0
    seen = []
    while table.now_s < cut_s + 15:
        table.after(scans=1)
        seen.append((table.now_s - readback_s, table.exposure_a("e0")))
    assert [amps for age, amps in seen if age < 10.0] == [16.0] * 10
    assert {amps for age, amps in seen if age >= 10.0} == {8.0}


def test_a_low_measurement_never_shortens_the_wait():
    table = charging().load("gcp", 55).after(scans=1)
    table.cars[0].fixed_a = 0.0
    table.after(seconds=8)
    assert table.exposure_a("e0") == 16.0


def test_without_a_read_back_nothing_is_released():
    table = charging()
    table.put(readback_s=table.image.readback_s).load("gcp", 55).after(seconds=60)
    assert table.amps("e0") == 8.0
    assert table.exposure_a("e0") == 16.0


def test_a_read_back_of_the_old_value_releases_nothing():
    table = charging().put(offered_ma=np.array([16_000])).load("gcp", 55).after(seconds=60)
    assert table.exposure_a("e0") == 16.0


def test_a_slow_device_waits_by_its_profile():
    table = charging(release_s=30.0).load("gcp", 55).after(scans=1).after(seconds=25)
    assert table.exposure_a("e0") == 16.0
    table.after(seconds=8)
    assert table.exposure_a("e0") == 8.0


def test_a_raise_waits_for_what_others_give_back():
    """A newcomer gets its minimum only when the running car's cut has really been made."""
    table = charging(2, 20).unplug("e1").after(seconds=60).expect(e0=16, e1=0)
    table.plug("e1").after(scans=1).expect(e0=10, e1=0)
    cut_s = table.now_s
    while table.amps("e1") == 0:
        table.after(scans=1)
        assert table.now_s < cut_s + 20
    assert table.now_s - cut_s >= 11.0
    assert table.amps("e0") == 10
    assert table.over_limit_s.sum() == 0


def test_a_raise_within_its_own_exposure_needs_free_room_on_every_row():
    table = charging(2, 40).expect(e0=16, e1=16).load("gcp", 20).after(scans=1).expect(e0=10, e1=10)
    table.after(scans=3).load("gcp", 0)
    raised = []
    for _ in range(100):
        before = table.amps("e0") + table.amps("e1")
        table.after(scans=1)
        if table.amps("e0") + table.amps("e1") > before:
            raised.append(table.now_s)
            exposure = table.exposure_a("e0") + table.exposure_a("e1")
            assert exposure <= table.budget_a("gcp")[0]
    assert raised


def test_five_cuts_in_a_row_keep_the_highest():
    topology = garage(1)
    state = initial(Params.of(topology), START_S).ledger
    image = Table(topology).image
    state = replace(state, pending_ma=np.zeros((1, PENDING), dtype=np.int64))
    for k, amps in enumerate((16, 14, 12, 10, 8, 6)):
        state = record_commands(state, np.array([amps * 1000]), image, topology, START_S + k)
    assert state.exposure_ma.tolist() == [16_000]
    assert (state.pending_ma > 0).sum() == PENDING


def test_a_full_list_merges_on_the_safe_side():
    pending = np.array([[9000, 8000, 7000, 6000]])
    times = np.array([[1.0, 2.0, 3.0, 4.0]])
    new, cut, release = push_pending(pending, times, times + 10, np.array([True]), np.array([5000]), 5.0)
    assert new.max() == 9000
    assert cut[0, 0] == 5.0
    assert np.isposinf(release[0, 0])


# -- boot -------------------------------------------------------------------------------------------------------------


def test_exposure_at_boot_is_nameplate_until_the_first_answer():
    table = Table(garage(1))
    assert table.exposure_a("e0") == 16.0
    table.silent.add("e0")
    table.after(seconds=3)
    assert table.exposure_a("e0") == 16.0


@pytest.mark.parametrize(("shown_a", "drawn_a", "expected_a"), [(10, 4, 10), (6, 9, 9), (0, 0, 0)])
def test_exposure_at_boot_is_the_larger_of_read_back_and_measured(shown_a, drawn_a, expected_a):
    table = Table(garage(1)).load("gcp", 63).plug("e0", fixed_a=float(drawn_a))
    table.register_ma[:] = shown_a * 1000
    table.after(scans=1)
    assert table.exposure_a("e0") == expected_a


@pytest.mark.parametrize("offer_a", [9.0, 16.0])
def test_a_retained_offer_counts_at_boot_although_the_charger_shows_less(offer_a):
    """The car may still follow what the controller offered a second before it was killed, the full rating included."""
    topology = garage(1)
    params = Params.of(topology)
    state = initial(params, START_S)
    kept = replace(retained_of(state, params, START_S, EPOCH_S), offers_ma=(int(offer_a * 1000),))
    table = Table(topology, retained=kept).load("gcp", 63).plug("e0", fixed_a=0.0).after(scans=1)
    assert table.exposure_a("e0") == offer_a
    table.after(seconds=9)
    assert table.exposure_a("e0") == offer_a
    table.after(seconds=3)
    assert table.exposure_a("e0") < offer_a


# -- unreachable ------------------------------------------------------------------------------------------------------


def lost(**facts) -> Table:
    """A charger that stopped answering while its car drew 16 A."""
    table = charging(1, 63.0, failsafe_a=6.0, failsafe_timeout_s=60.0, **facts)
    table.silent.add("e0")
    return table


def test_unreachable_after_three_seconds_of_silence():
    table = lost().after(seconds=3)
    assert np.isposinf(table.state.ledger.lost_s[0])
    table.after(scans=1)
    assert np.isfinite(table.state.ledger.lost_s[0])


def test_unreachable_after_three_polls_of_a_slow_one():
    table = lost(poll_s=10.0, settle_poll_s=10.0).after(seconds=30)
    assert np.isposinf(table.state.ledger.lost_s[0])
    table.after(seconds=2)
    assert np.isfinite(table.state.ledger.lost_s[0])


def test_an_unreachable_charger_keeps_its_exposure_until_its_time_out_and_ten_seconds():
    table = lost()
    since_s = table.now_s
    table.after(seconds=69)
    assert table.exposure_a("e0") == 16.0
    table.after(seconds=since_s + 75 - table.now_s)
    assert table.exposure_a("e0") == 6.0


def test_an_unreachable_charger_may_have_restarted_with_its_boot_current():
    table = lost(boot_a=16.0).after(seconds=90)
    assert table.exposure_a("e0") == 16.0


@pytest.mark.parametrize(("proof", "amps"), [(FailsafeProof.UNREADABLE, 16.0), (FailsafeProof.UNSAFE, 16.0)])
def test_an_unproven_failsafe_counts_nameplate(proof, amps):
    table = lost().put(failsafe_proof=np.array([int(proof)])).after(seconds=90)
    assert table.exposure_a("e0") == amps


def test_a_failsafe_accepted_in_writing_counts_as_configured():
    table = lost(failsafe_trusted=True).put(failsafe_proof=np.array([0])).after(seconds=90)
    assert table.exposure_a("e0") == 6.0


def test_declared_without_power_counts_nothing_until_it_answers():
    table = lost().put(declared_off=np.array([True])).after(seconds=5)
    assert table.exposure_a("e0") == 0.0
    table.silent.clear()
    table.after(scans=1)
    assert table.exposure_a("e0") == 16.0


def test_a_charger_that_returns_keeps_its_worst_case_until_its_limit_was_read():
    """It answers, but nobody knows yet what it offers: it may have restarted with its boot current."""
    table = charging(1, 63, failsafe_a=6.0, boot_a=16.0).load("gcp", 54).after(seconds=60).expect(e0=9)
    table.silent.add("e0")
    table.after(seconds=200)
    assert table.exposure_a("e0") == 16.0
    silent_s = float(table.image.readback_s[0])
    table.silent.clear()
    table.edit = lambda image: replace(image, readback_s=np.array([silent_s]))
    table.after(seconds=5)
    assert table.exposure_a("e0") == 16.0, "it answers, but its limit was not read"
    table.edit = None
    table.after(seconds=9)
    assert table.exposure_a("e0") == 16.0, "its car may still be on the way down"
    table.after(seconds=4)
    assert table.exposure_a("e0") <= 9.0


def test_a_limit_seen_above_ours_is_reserved_until_ten_seconds_after_it_went():
    """A charger left its failsafe of 10 A at our first write; its car may draw 10 A for another 10 s."""
    table = charging(1, 63, failsafe_a=10.0).load("gcp", 60).after(seconds=60).expect(e0=0)
    assert table.exposure_a("e0") == 0.0
    table.put(offered_ma=np.array([10_000])).after(scans=1)
    assert table.exposure_a("e0") == 10.0
    table.settings.clear()
    table.after(seconds=8)
    assert table.exposure_a("e0") == 10.0
    table.after(seconds=4)
    assert table.exposure_a("e0") == 0.0


def test_a_restarted_charger_counts_its_boot_current_until_ours_was_read_back():
    table = charging(1, 63, boot_a=16.0).load("gcp", 55).after(seconds=60).expect(e0=8)
    assert table.exposure_a("e0") == 8.0
    table.put(reboots=np.array([1])).after(scans=1)
    assert table.exposure_a("e0") == 16.0
    table.after(seconds=13)
    assert table.exposure_a("e0") == 8.0


# -- more than offered ------------------------------------------------------------------------------------------------


def test_a_car_above_its_offer_counts_what_it_draws():
    table = charging().load("gcp", 55).after(seconds=30).expect(e0=8)
    table.cars[0].fixed_a = 8.8
    table.after(scans=1)
    assert table.exposure_a("e0") >= 8.8


def test_creep_is_remembered_for_the_session():
    table = charging().load("gcp", 53).after(seconds=30).expect(e0=10)
    table.cars[0].share = 1.09
    table.after(seconds=2)
    table.cars[0].share = 1.0
    table.after(seconds=90)
    assert table.exposure_a("e0") >= 1.09 * table.amps("e0")
    table.unplug("e0").after(seconds=30)
    assert table.exposure_a("e0") == 0.0


@pytest.mark.parametrize("late", [False, True])
def test_cars_that_creep_ten_percent_do_not_overload_the_circuit(late):
    """Two cars draw 1.09 x their offers, from the start or from some day on: the offers go down until the sum fits."""
    table = Table(site([gcp(32.0)], [evse("e0", max_a=32), evse("e1", max_a=32)]))
    table.plug("e0", "e1", share=1.0 if late else 1.09).after(seconds=200)
    for car in table.cars.values():
        car.share = 1.09
    table.after(seconds=300)
    assert int(table.true_ma[0].max()) <= 32_000
    assert table.amps("e0") + table.amps("e1") >= 28.0


def test_an_idle_current_of_the_profile_counts_while_nobody_is_plugged_in():
    table = Table(garage(1, idle_a=6.0)).after(seconds=30)
    assert table.exposure_a("e0") == 6.0
    assert table.seen.pilot[0] == int(Pilot.A)


def test_missing_readings_change_nothing():
    table = charging().put(asset_ma=np.full((1, 3), MISSING)).after(seconds=20)
    assert table.exposure_a("e0") == 16.0
