"""Lending unused current: only by lowering the offer, and only when a full row keeps somebody short."""

from __future__ import annotations

import numpy as np
import pytest

from controller.core.params import NO_LIMIT
from interfaces.domain.reasons import Reason
from interfaces.domain.units import MISSING
from tests.controller.core.table import Table, branch, evse, gcp, site

QUIET = {"background_max_a": (0.0, 0.0, 0.0)}


def two(rated_a: float, **facts) -> Table:
    """Two chargers of 16 A behind one connection."""
    return Table(site([gcp(rated_a, **QUIET)], [evse("e0", **facts), evse("e1")]))


def changes(table: Table, scans: int) -> int:
    """Scans that changed a setpoint."""
    recent = np.array(table.setpoints[-scans:])
    return int((np.diff(recent, axis=0) != 0).any(axis=1).sum())


def test_nothing_is_lent_while_nobody_is_short():
    two(20).plug("e0", max_a=7.0).after(seconds=300).expect(e0=16)
    two(40).plug("e0", max_a=7.0).plug("e1").after(seconds=300).expect(e0=16, e1=16)


def test_a_large_gap_is_lent_to_who_wants_more():
    """20 A for two: 10 each; e0 takes 7, so e1 gets 11 and e0 keeps 2 A of head room."""
    table = two(20).plug("e0", max_a=7.0).plug("e1").after(seconds=180).expect(e0=9, e1=11)
    assert table.reason("e0") == Reason.LENT
    assert table.over_limit_s.sum() == 0
    table.after(seconds=600)
    assert changes(table, 600) == 0, "no ping-pong"


def test_a_loan_that_leaves_nobody_short_is_stable_too():
    table = two(24).plug("e0", max_a=6.5).plug("e1").after(seconds=180).expect(e0=8, e1=16)
    table.after(seconds=600).expect(e0=8, e1=16)
    assert changes(table, 600) == 0


def test_two_cars_that_leave_current_unused_wait_for_nothing():
    table = two(20).plug("e0", "e1", max_a=7.0).after(seconds=600).expect(e0=10, e1=10)
    assert changes(table, 500) == 0


def test_a_gap_must_have_lasted_ten_seconds():
    table = two(24).plug("e0").plug("e1").after(seconds=120).expect(e0=12, e1=12)
    table.cars[0].max_a = 6.5
    table.after(seconds=10).expect(e0=12)
    table.after(seconds=3).expect(e0=8)


@pytest.mark.parametrize(("draws_a", "lent"), [(10.1, False), (9.9, True)])
def test_a_gap_of_two_amperes_is_not_lent(draws_a, lent):
    table = two(24).plug("e0", max_a=draws_a).plug("e1").after(seconds=180)
    assert (table.amps("e0") < 12.0) == lent


def test_fifteen_percent_of_a_large_offer_are_not_lent():
    """A gap of 4 A below an offer of 30 A."""
    table = Table(site([gcp(60.0, **QUIET)], [evse("e0", max_a=32), evse("e1", max_a=32)]))
    table.plug("e0", max_a=26.0).plug("e1").after(seconds=180).expect(e0=30, e1=30)


def test_the_offer_returns_when_the_car_uses_it_again():
    table = two(20).plug("e0", max_a=7.0).plug("e1").after(seconds=180).expect(e0=9, e1=11)
    table.cars[0].max_a = 16.0
    table.after(seconds=150).expect(e0=10, e1=10)
    assert table.drawn_a("e0") == 10.0
    assert table.over_limit_s.sum() == 0


def test_three_seconds_near_the_offer_bring_it_back():
    table = two(24).plug("e0", max_a=6.5).plug("e1").after(seconds=180).expect(e0=8)
    assert table.state.lending.ceiling_ma[0] == 8500
    table.cars[0].max_a = 16.0
    table.after(seconds=3)
    assert table.state.lending.ceiling_ma[0] == 8500
    table.after(seconds=2)
    assert table.state.lending.ceiling_ma[0] == NO_LIMIT


def habitual() -> Table:
    """A car that always draws 4 A less than it is offered: lending would walk it down to its minimum."""
    return two(24).plug("e0", habit_a=4.0).plug("e1").after(seconds=120)


def test_a_car_that_falls_with_its_offer_has_a_habit_and_is_left_alone():
    table = habitual()
    assert table.state.lending.habit[0]
    table.after(seconds=120).expect(e0=12, e1=12)
    assert changes(table, 60) == 0


def test_a_new_session_forgets_the_habit():
    table = habitual().unplug("e0").after(seconds=5).plug("e0").after(seconds=3)
    assert not table.state.lending.habit[0]


def test_a_car_already_falling_before_the_cut_shows_no_habit():
    """It tapers, 0.4 A per second, before and after the cut."""
    table = two(24).plug("e0").plug("e1").after(seconds=120).expect(e0=12)
    for k in range(60):
        table.cars[0].fixed_a = max(2.0, 12.0 - 0.4 * k)
        table.after(seconds=1)
    assert table.reason("e0") == Reason.LENT
    assert not table.state.lending.habit[0]


def test_a_charger_polled_slowly_lends_nothing():
    two(24, poll_s=10.0).plug("e0", max_a=7.0).plug("e1").after(seconds=240).expect(e0=12)


def test_a_charger_that_measures_nothing_lends_nothing():
    """No reading is not a draw of 0 A."""
    table = two(24).plug("e0", "e1").put(asset_ma=np.full((2, 3), MISSING)).after(seconds=240)
    assert table.state.lending.ceiling_ma.tolist() == [NO_LIMIT, NO_LIMIT]


def test_who_is_short_on_another_phase_borrows_nothing():
    table = Table(site([gcp(20.0, **QUIET)], [evse("e0", phases=(0,)), evse("e1", phases=(1,))]))
    table.load("gcp", 0, 10, 0).plug("e0", max_a=7.0).plug("e1").after(seconds=200).expect(e0=16, e1=10)


def test_who_is_short_on_another_circuit_borrows_nothing():
    table = Table(site([gcp(63.0, **QUIET), branch("b", "gcp", 10.0)], [evse("e0"), evse("e1", "b")]))
    table.plug("e0", max_a=7.0).plug("e1").after(seconds=200).expect(e0=16, e1=10)


# -- satisfied cars ---------------------------------------------------------------------------------------------------


def full_car() -> Table:
    """Room for one minimum: a sleeping car has it, another waits."""
    table = Table(site([gcp(10.0, **QUIET)], [evse("e0"), evse("e1")]))
    return table.plug("e0", asleep=True).after(seconds=60).plug("e1").after(seconds=100).expect(e1=0)


def test_a_full_car_gives_its_minimum_to_a_waiting_one_after_five_minutes():
    table = full_car().after(seconds=220)
    assert table.amps("e0") == 0.0
    assert table.reason("e0") == Reason.SATISFIED
    assert table.after(seconds=20).amps("e1") >= 6.0


def test_a_full_car_keeps_its_minimum_while_nobody_waits():
    table = Table(site([gcp(10.0, **QUIET)], [evse("e0")])).plug("e0", asleep=True).after(seconds=900)
    assert table.amps("e0") >= 6.0


def test_a_full_car_is_offered_again_within_half_an_hour():
    table = full_car().after(seconds=240).expect(e0=0)
    gone_s = table.now_s
    table.scan_s = 5.0
    while table.amps("e0") == 0 and table.now_s < gone_s + 4000:
        table.after(scans=1)
    assert table.now_s - gone_s <= 1800 + 60


def sleeper_beside(rated_a: float, **facts) -> Table:
    """A sleeping car and one that takes what it gets, ten minutes later."""
    table = Table(site([gcp(rated_a, **QUIET)], [evse("e0", **facts), evse("e1")]))
    return table.plug("e0", asleep=True).plug("e1").after(seconds=600)


def test_a_full_car_gives_its_minimum_to_a_running_one_that_can_use_it():
    table = sleeper_beside(20.0).expect(e0=0, e1=16)
    assert table.reason("e0") == Reason.SATISFIED


def test_what_all_others_leave_is_offered_to_the_full_car():
    sleeper_beside(22.5).expect(e0=6, e1=16)


def test_a_full_car_that_may_not_be_paused_keeps_its_minimum():
    sleeper_beside(20.0, never_pause=True).expect(e0=6)


def test_a_full_car_is_not_switched_on_and_off_with_the_others_current():
    """Room for it comes and goes every 20 s: it waits at least two minutes and for 30 s of room."""
    table = sleeper_beside(24.0)
    table.setpoints.clear()
    for k in range(45):
        table.load_a[0] = 4.0 if k % 2 else 0.0
        table.after(seconds=20)
    on = np.array(table.setpoints)[:, 0] > 0
    assert int((np.diff(on.astype(int)) != 0).sum()) <= 2


def test_a_full_car_that_wakes_gets_its_share_again():
    table = sleeper_beside(20.0).expect(e0=0)
    table.cars[0].asleep = False
    table.scan_s = 5.0
    table.after(seconds=1900)
    assert table.amps("e0") >= 6.0
    table.after(seconds=120).expect(e0=10, e1=10)
