"""Following a plan: each refusal, step-free switching, and plans that lie."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from controller.core.params import Params
from interfaces.domain.plan import MOST_MW, Plan, plan_problems
from interfaces.domain.reasons import Reason
from interfaces.domain.targets import Target, Targets
from interfaces.domain.units import MISSING
from tests.controller.core.table import EPOCH_S, Table, evse, gcp, site

QUIET = {"background_max_a": (0.0, 0.0, 0.0)}


PRICES_PPM = (30_000, 200_000, 10_000_000)
"""Export, import, and what is added beyond the calm import."""


def plan(rows: list[list[float]], assets: tuple[str, ...] = ("e0", "e1"), **facts: Any) -> Plan:
    """Setpoints in A per quarter of an hour, valid from the start of the test."""
    setpoints = np.array(rows) * 1000
    usual: dict[str, Any] = {
        "plan_id": "p",
        "site": "s",
        "topology_version": "test",
        "sequence": 1,
        "key_id": "k",
        "issued_epoch_s": EPOCH_S + 100,
        "start_epoch_s": EPOCH_S,
        "step_s": 900,
        "valid_until_epoch_s": EPOCH_S + 900 * len(rows),
        "lease_until_epoch_s": EPOCH_S + 900 * len(rows),
        "assets": assets,
        "setpoint_ma": setpoints.astype(np.int64),
        "value_ppm": np.full(setpoints.shape, 200_000, dtype=np.int64),
        "planned_import_mw": np.zeros(len(rows), dtype=np.int64),
        "grid_ppm": np.tile(np.array(PRICES_PPM), (len(rows), 1)),
        "calm_import_mw": np.full(len(rows), MOST_MW),
    }
    return Plan(**{**usual, **facts})


def balanced(rows: list[list[float]], **facts: Any) -> Plan:
    """A plan whose planned import is what it asks for, so that nothing deviates."""
    total = np.array(rows).sum(axis=1) * 690 * 1000
    return plan(rows, planned_import_mw=total.astype(np.int64), **facts)


def table(rated_a: float = 63.0, scan_s: float = 1.0, **params: Any) -> Table:
    """Two cars that have been there longer than the plan."""
    topology = site([gcp(rated_a, **QUIET)], [evse("e0"), evse("e1")])
    made = Table(topology, scan_s=scan_s, params=Params(topology, **params))
    return made.plug("e0", "e1").after(seconds=120)


def test_the_plan_sets_the_wishes():
    here = table().put(plan=balanced([[10, 7]])).after(seconds=15).expect(e0=10, e1=7)
    assert here.state.mission.source == "plan"
    assert here.reason("e0") == Reason.PLAN
    assert here.commands.wish_ma.tolist() == [10_000, 7000]


def test_each_row_holds_for_its_step():
    rows = [[10.0, 7.0], [0.0, 12.0], [16.0, 0.0]]
    here = table(scan_s=5.0).put(plan=balanced(rows)).after(seconds=60).expect(e0=10, e1=7)
    here.after(seconds=900).expect(e0=0, e1=12)
    here.after(seconds=900).expect(e0=16, e1=0)


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"schema": 2}, "schema"),
        ({"topology_version": "other"}, "another topology"),
        ({"issued_epoch_s": EPOCH_S + 100_000}, "in the future"),
        ({"start_epoch_s": EPOCH_S + 5000, "valid_until_epoch_s": EPOCH_S + 9000}, "not started"),
        ({"start_epoch_s": EPOCH_S - 5000}, "has ended"),
        ({"valid_until_epoch_s": EPOCH_S + 60}, "has ended"),
        ({"lease_until_epoch_s": EPOCH_S + 60}, "lease has run out"),
    ],
)
def test_every_refusal_has_its_sentence_and_changes_nothing(facts, why):
    here = table().put(plan=plan([[6, 6]], **facts)).after(seconds=30).expect(e0=16, e1=16)
    assert here.state.mission.source == "fallback"
    assert why in here.state.mission.refused


def test_refused_when_the_site_does_not_follow_plans():
    here = table(follow_plans=False).put(plan=plan([[6, 6]])).after(seconds=5).expect(e0=16)
    assert "does not follow" in here.state.mission.refused


def test_refused_without_a_trusted_clock():
    here = table().put(plan=plan([[6, 6]]), clock_trusted=False).after(seconds=5).expect(e0=16)
    assert "clock" in here.state.mission.refused
    assert (Reason.ALARM_CLOCK_UNTRUSTED, "") in here.alarms()


def test_an_older_sequence_never_comes_back():
    here = table().put(plan=balanced([[10, 7]], sequence=5)).after(seconds=15).expect(e0=10)
    here.put(plan=balanced([[6, 6]], sequence=4)).after(seconds=5)
    assert "newer plan" in here.state.mission.refused
    assert here.amps("e0") >= 10


def test_the_same_plan_delivered_again_changes_nothing():
    here = table().put(plan=balanced([[10, 7]])).after(seconds=60)
    before = here.setpoints[-1].tolist()
    here.put(plan=replace(balanced([[10, 7]]), plan_id="again")).after(seconds=60)
    assert {tuple(s.tolist()) for s in here.setpoints[-60:]} == {tuple(before)}


# -- step-free --------------------------------------------------------------------------------------------------------


def largest_step(here: Table, scans: int) -> float:
    recent = np.array(here.setpoints[-scans:]) / 1000
    return float(np.diff(recent, axis=0).max())


def test_the_end_of_a_plan_interrupts_nobody_and_jumps_nowhere():
    here = table().put(plan=balanced([[10, 7]], lease_until_epoch_s=EPOCH_S + 400)).after(seconds=240)
    here.expect(e0=10, e1=7).after(seconds=120)
    assert here.state.mission.source == "fallback"
    assert largest_step(here, 130) <= 5.0
    recent = np.array(here.setpoints[-130:])
    assert (recent > 0).all(), "nobody was paused"


def test_a_returning_plan_takes_over_without_a_step_up():
    here = table().put(plan=None).after(seconds=30).put(plan=balanced([[6, 6], [16, 16]])).after(seconds=60)
    here.expect(e0=6, e1=6).put(plan=None).after(seconds=30).put(plan=balanced([[6, 16]], sequence=2)).after(seconds=60)
    assert largest_step(here, 180) <= 5.0
    here.expect(e0=6, e1=16)


def test_when_a_plan_ends_a_car_it_held_back_for_cheap_hours_is_not_let_loose():
    """The plan charges e0 now and e1 in the cheap night; its lease ends. The fallback knows targets and prices too."""
    prices = np.array([0.40] * 8 + [0.05] * 40)
    wanted = tuple(Target(name, EPOCH_S + 11 * 3600, 9000) for name in ("e0", "e1"))
    targets = Targets(1, EPOCH_S, wanted, EPOCH_S, 900, prices)
    here = table().put(targets=targets, plan=balanced([[10, 0]] * 4, lease_until_epoch_s=EPOCH_S + 1500))
    here.after(seconds=600).expect(e0=10, e1=6)  # it charged when the plan came, and does so to the end of the row
    here.after(seconds=300).expect(e0=10, e1=0)
    here.scan_s = 5.0
    here.after(seconds=1000)
    assert here.state.mission.source == "fallback"
    path = np.array(here.setpoints[-120:])
    assert (path[:, 1] == 0).all(), "it waits for the cheap hours, as before"
    assert here.reason("e1") == Reason.CHEAPER_LATER


def test_a_running_car_is_not_interrupted_by_the_end_of_a_plan_before_the_price_step_ends():
    prices = np.array([0.40] * 8 + [0.05] * 40)
    wanted = tuple(Target(name, EPOCH_S + 11 * 3600, 9000) for name in ("e0", "e1"))
    targets = Targets(1, EPOCH_S, wanted, EPOCH_S, 900, prices)
    here = table().put(targets=targets, plan=balanced([[10, 0]] * 4, lease_until_epoch_s=EPOCH_S + 1500))
    here.after(seconds=600)
    here.scan_s = 5.0
    here.after(seconds=1000)
    assert here.amps("e0") > 0
    here.after(seconds=900).expect(e0=0)


# -- who came later ---------------------------------------------------------------------------------------------------


def test_a_session_newer_than_the_plan_waits_for_the_next_one_and_then_gets_the_fallback_wish():
    here = table().unplug("e1").put(plan=balanced([[10, 0]])).after(seconds=30).plug("e1")
    here.after(seconds=40).expect(e0=10, e1=0)
    here.after(seconds=100).expect(e0=10, e1=16)


def test_a_session_newer_than_the_plan_without_slack_does_not_wait():
    hurry = Targets(1, EPOCH_S, (Target("e1", EPOCH_S + 1800.0, 20_000),), EPOCH_S, 0, np.zeros(0))
    here = table().unplug("e1").put(plan=balanced([[10, 0]])).after(seconds=30)
    here.put(targets=hurry).plug("e1").after(seconds=40).expect(e0=10, e1=16)


def test_an_asset_the_plan_does_not_name_gets_the_fallback_wish():
    named = plan([[10]], assets=("e0",), planned_import_mw=np.array([6_900_000]))
    table().put(plan=named).after(seconds=30).expect(e0=10, e1=16)


def test_an_asset_nobody_knows_is_ignored():
    named = balanced([[10, 7, 30]], assets=("e0", "e1", "ghost"))
    named = replace(named, planned_import_mw=np.array([17 * 690_000]))
    table().put(plan=named).after(seconds=30).expect(e0=10, e1=7)


# -- deviations -------------------------------------------------------------------------------------------------------


VALUES_PPM = np.array([[100_000, 300_000]])
"""The first car is worth charging on surplus alone, the second one also at the import price of 200 000."""


def test_surplus_goes_where_energy_is_worth_most():
    here = table().put(plan=replace(balanced([[8, 8]]), value_ppm=VALUES_PPM)).load("gcp", -21).after(seconds=180)
    here.expect(
        e0=8, e1=12
    )  # 21 A of sun, of which a mean of half a minute lacks a little still: the second car takes the rest


def test_surplus_that_is_worth_less_than_its_export_is_exported():
    values = np.array([[20_000, 20_000]])
    here = table().put(plan=replace(balanced([[8, 8]]), value_ppm=values)).load("gcp", -20).after(seconds=90)
    here.expect(e0=8, e1=8)


def test_less_sun_than_forecast_is_taken_from_cars_that_charge_on_surplus_alone():
    here = table().put(plan=replace(balanced([[12, 12]]), value_ppm=VALUES_PPM)).load("gcp", -15).after(seconds=90)
    here.expect(e0=6, e1=12)  # down to its minimum: 3 A of import are left


def test_a_load_above_the_forecast_changes_nothing_where_only_energy_is_paid():
    values = np.array([[200_000, 300_000]])
    here = table().load("gcp", 9).put(plan=replace(balanced([[12, 12]]), value_ppm=values)).after(seconds=90)
    here.expect(e0=12, e1=12)


def test_beyond_the_calm_import_the_least_worth_gives_way():
    values = np.array([[200_000, 300_000]])
    calm = np.array([26 * 690_000])
    named = replace(balanced([[12, 12]]), value_ppm=values, calm_import_mw=calm)
    table().load("gcp", 5).put(plan=named).after(seconds=90).expect(e0=9, e1=12)


def test_a_car_that_must_charge_is_not_cut_for_a_new_peak():
    values = np.array([[20_000_000, 300_000]])
    calm = np.array([20 * 690_000])
    named = replace(balanced([[12, 12]]), value_ppm=values, calm_import_mw=calm)
    table().load("gcp", 9).put(plan=named).after(seconds=90).expect(e0=12, e1=6)


def test_room_below_the_peak_that_the_forecast_did_not_see_is_used_by_who_is_short():
    values = np.array([[200_000, 300_000]])
    calm = np.array([24 * 690_000])
    named = replace(balanced([[8, 8]]), value_ppm=values, calm_import_mw=calm)
    table().load("gcp", 2).put(plan=named).after(seconds=90).expect(e0=8, e1=14)


# -- plans that lie ---------------------------------------------------------------------------------------------------


EXTREMES = (MISSING, MISSING + 1, -(2**62), -1, 0, 1, 2**31, 2**62, 2**63 - 1)


@pytest.mark.parametrize("setpoint", EXTREMES)
@pytest.mark.parametrize("value", [MISSING, 0, 2**63 - 1])
def test_invariant_19_garbage_changes_no_budget_and_makes_no_step(setpoint, value):
    here = table(40.0).put(plan=balanced([[10, 10]])).after(seconds=30).expect(e0=10, e1=10)
    budget = here.budget_a("gcp")
    for planned in (MISSING, 0, 2**63 - 1):
        lie = plan(
            [[0, 0]],
            setpoint_ma=np.full((1, 2), setpoint),
            value_ppm=np.full((1, 2), value),
            planned_import_mw=np.array([planned]),
            grid_ppm=np.full((1, 3), planned),
            calm_import_mw=np.array([planned]),
            sequence=2,
        )
        here.put(plan=lie).after(seconds=15)
        assert here.budget_a("gcp") == budget
        assert largest_step(here, 15) <= 5.0
        assert here.over_limit_s.sum() == 0


def test_an_absent_setpoint_is_no_plan_for_that_car():
    gap = replace(balanced([[10, 0]]), setpoint_ma=np.array([[10_000, MISSING]]))
    table().put(plan=gap).after(seconds=40).expect(e0=10, e1=16)


@pytest.mark.parametrize(
    "facts",
    [
        {"start_epoch_s": float("nan")},
        {"lease_until_epoch_s": float("nan")},
        {"valid_until_epoch_s": float("inf")},
        {"issued_epoch_s": float("nan")},
        {"step_s": 0},
        {"step_s": -900},
        {"setpoint_ma": np.zeros((0, 2), dtype=np.int64)},
        {"setpoint_ma": np.zeros((1, 1), dtype=np.int64)},
        {"setpoint_ma": np.full((1, 2), 2**40)},
        {"value_ppm": np.zeros((1, 1), dtype=np.int64)},
        {"value_ppm": np.full((1, 2), -(2**40))},
        {"planned_import_mw": np.zeros(0, dtype=np.int64)},
        {"planned_import_mw": np.array([2**60])},
        {"grid_ppm": np.zeros((1, 2), dtype=np.int64)},
        {"grid_ppm": np.full((1, 3), 2**40)},
        {"calm_import_mw": np.zeros(0, dtype=np.int64)},
        {"calm_import_mw": np.array([2**60])},
    ],
)
def test_broken_plans_are_malformed_and_harm_nothing(facts):
    broken = plan([[10, 7]], **facts)
    assert plan_problems(broken)
    table().put(plan=broken).after(seconds=5)


def test_a_plan_asks_for_more_than_the_site_has():
    here = table(20.0).put(plan=balanced([[16, 16]])).after(seconds=60).expect(e0=10, e1=10)
    assert here.over_limit_s.sum() == 0
