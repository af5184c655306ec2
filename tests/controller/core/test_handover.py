"""Changing over between plan and fallback: one ramp at a time, nobody interrupted, and no alternation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core.handover import RETURN_FIRST_S, RETURN_FORGET_S, RETURN_MOST_S, SLIDE_MOST_S, return_wait_s
from controller.core.params import Params
from interfaces.domain.plan import Plan
from interfaces.domain.reasons import Reason
from interfaces.domain.topology import Asset, AssetKind
from tests.controller.core.table import EPOCH_S, Table, evse, gcp, site
from tests.controller.core.test_follow import QUIET, balanced, plan

RAMP_W = 5.0 * 230 * 3
"""5 A on three conductors."""
START_W = 6.0 * 230 * 3
"""A start is the minimum current at once; there is nothing between 0 and it."""
NAMES = tuple(f"e{k}" for k in range(4))


def yard(rated_a: float = 100.0, **facts: Any) -> Table:
    """Four cars that have charged by the fallback for two minutes."""
    topology = site([gcp(rated_a, **QUIET)], [evse(name) for name in NAMES])
    made = Table(topology, scan_s=1.0, params=Params(topology), **facts)
    return made.plug(*NAMES).after(seconds=120)


def of_all(*rows: Sequence[float], **facts: Any) -> Plan:
    """A plan for the yard."""
    return replace(balanced([list(row) for row in rows], assets=NAMES), **facts)


def steps_w(here: Table, scans: int) -> list[float]:
    """What the commanded power of the whole site changed by, scan by scan."""
    total_w = np.array(here.setpoints[-scans - 1 :]).sum(axis=1) / 1000 * 690
    return [float(step) for step in np.diff(total_w)]


def test_a_site_changes_over_one_ramp_at_a_time():
    """Four cars at 16 A, a plan that says 6: what one car may do at once is what the site does at once."""
    here = yard().expect(e0=16, e1=16, e2=16, e3=16).put(plan=of_all([6, 6, 6, 6])).after(seconds=40)
    here.expect(e0=6, e1=6, e2=6, e3=6)
    assert max(map(abs, steps_w(here, 40))) == pytest.approx(RAMP_W)
    here.put(plan=None).after(seconds=90).expect(e0=16, e1=16, e2=16, e3=16)
    assert max(map(abs, steps_w(here, 90))) <= RAMP_W + 1


def test_who_still_waits_for_its_turn_says_so():
    here = yard().put(plan=of_all([6, 6, 6, 6])).after(scans=1)
    here.expect(e0=11, e1=16, e2=16, e3=16)
    assert here.reason("e0") == Reason.HANDOVER
    assert here.commands.wish_ma[3] == 16_000, "it stands where it is"
    here.after(seconds=40)
    assert {here.reason(name) for name in NAMES} == {Reason.PLAN}


def test_who_charges_goes_on_to_the_end_of_the_row_when_a_plan_takes_over():
    here = yard().put(plan=of_all([0, 0, 16, 16], [0, 0, 16, 16])).after(seconds=600)
    here.expect(e0=6, e1=6, e2=16, e3=16)
    assert here.reason("e0") == Reason.HANDOVER
    here.after(seconds=200).expect(e0=0, e1=0)


def test_the_switch_gives_no_current_back_that_the_envelope_takes():
    """A load comes in the middle of a change: whoever has not had a turn yet is cut all the same."""
    here = yard().put(plan=of_all([10, 10, 10, 10])).after(seconds=2).load("gcp", 76).after(seconds=2)
    assert sum(here.amps(name) for name in NAMES) <= 24
    assert here.over_limit_s.sum() <= 20


def test_a_car_that_comes_in_the_middle_of_a_change_has_no_part_in_it():
    here = yard().unplug("e3").after(seconds=30).put(plan=of_all([6, 6, 6, 6])).after(seconds=2)
    here.plug("e3").after(scans=2)
    assert here.state.handover.sliding[:3].any()
    assert not here.state.handover.sliding[3]


def test_a_battery_turns_round_in_steps():
    battery = Asset("b", AssetKind.BATTERY, "db", max_a=30.0, max_export_a=30.0, circuit="gcp", phases=(0, 1, 2))
    topology = site([gcp(100.0, **QUIET)], [battery])
    here = Table(topology, scan_s=1.0, params=Params(topology)).after(seconds=20)
    value = np.zeros((1, 1), dtype=np.int64)
    calm = plan([[-20]], assets=("b",), value_ppm=value, planned_import_mw=np.array([-20 * 690_000]))
    here.put(plan=calm).after(seconds=60)
    assert here.amps("b") < -15
    path = np.array(here.setpoints[-62:])[:, 0]
    assert np.abs(np.diff(path)).max() <= 5000
    here.put(plan=None).after(seconds=60).expect(b=0)
    assert np.abs(np.diff(np.array(here.setpoints[-62:])[:, 0])).max() <= 5000


# -- coming back ------------------------------------------------------------------------------------------------------


def test_each_loss_soon_after_the_last_doubles_the_wait():
    waits = [return_wait_s(losses) for losses in range(12)]
    assert waits[:4] == [0.0, RETURN_FIRST_S, 2 * RETURN_FIRST_S, 4 * RETURN_FIRST_S]
    assert waits[-1] == RETURN_MOST_S


def test_a_plan_that_comes_and_goes_is_followed_less_and_less():
    """Every half minute the plan is there for 20 s: without a wait that would be forty switches."""
    here, kinds = yard(), ["fallback"]
    good = of_all([10, 10, 10, 10], lease_until_epoch_s=EPOCH_S + 5000, valid_until_epoch_s=EPOCH_S + 900 * 1)
    for _ in range(20):
        for there in (good, None):
            here.put(plan=there)
            kinds += [here.after(scans=1).state.mission.source for _ in range(20 if there else 10)]
    changes = sum(a != b for a, b in pairwise(kinds))
    assert changes <= 4, changes
    assert "watched for" in here.put(plan=good).after(scans=2).state.mission.refused


def test_a_gap_while_it_is_watched_starts_the_wait_again():
    here = yard().put(plan=of_all([10, 10, 10, 10])).after(seconds=30).put(plan=None).after(seconds=5)
    again = of_all([10, 10, 10, 10], sequence=2)
    here.put(plan=again).after(seconds=8).put(plan=None).after(seconds=1).put(plan=again).after(seconds=8)
    assert here.state.mission.source == "fallback"
    assert here.after(seconds=4).state.mission.source == "plan"


def test_half_an_hour_of_plan_forgets_the_losses_before():
    long = of_all(*[[10, 10, 10, 10]] * 8)
    here = yard().put(plan=long).after(seconds=30)
    for _ in range(3):
        here.put(plan=None).after(seconds=2).put(plan=long).after(seconds=100)
    assert here.state.handover.losses == 3
    here.scan_s = 5.0
    here.after(seconds=RETURN_FORGET_S).put(plan=None).after(seconds=5)
    assert here.state.handover.losses == 1


# -- leases -----------------------------------------------------------------------------------------------------------


def test_a_lease_is_counted_by_the_clock_that_nobody_sets():
    """The wall clock is set back by an hour and is trusted again: the lease ends when it would have ended."""
    here = yard().put(plan=of_all(*[[10, 10, 10, 10]] * 8, lease_until_epoch_s=EPOCH_S + 420)).after(seconds=100)
    assert here.state.mission.source == "plan"
    here.epoch_offset_s -= 60.0
    here.after(seconds=190)
    assert here.state.mission.source == "plan"
    here.after(seconds=20)
    assert here.state.mission.source == "fallback"
    assert "lease" in here.state.mission.refused


def test_the_same_lease_again_is_not_longer_and_a_new_one_is():
    first = of_all(*[[10, 10, 10, 10]] * 8, lease_until_epoch_s=EPOCH_S + 300)
    here = yard().put(plan=first).after(seconds=100)
    ends_s = here.state.handover.lease_until_s
    here.put(plan=replace(first, plan_id="again")).after(seconds=10)
    assert here.state.handover.lease_until_s == ends_s
    here.put(plan=replace(first, sequence=2, lease_until_epoch_s=EPOCH_S + 900)).after(seconds=100)
    assert here.state.mission.source == "plan"
    assert here.state.handover.lease_until_s > ends_s


# -- any plan, any site -----------------------------------------------------------------------------------------------


@st.composite
def switches(draw: st.DrawFn) -> tuple[Table, list[Plan | None]]:
    """A small site under way, and what it is told one after the other: plans and silence."""
    count = draw(st.integers(1, 4))
    names = tuple(f"e{k}" for k in range(count))
    rated_a = draw(st.sampled_from([20.0, 40.0, 100.0]))
    topology = site([gcp(rated_a, **QUIET)], [evse(name) for name in names])
    here = Table(topology, scan_s=1.0, params=Params(topology)).plug(*names).after(seconds=60)
    amps = st.sampled_from([0.0, 3.0, 6.0, 8.5, 10.0, 16.0, 32.0])
    told: list[Plan | None] = []
    for sequence in range(1, draw(st.integers(2, 4))):
        rows = [[draw(amps) for _ in names] for _ in range(2)]
        told += [balanced(rows, assets=names, sequence=sequence), None]
    return here, told


@given(switches())
@settings(max_examples=15, deadline=None)
def test_no_switch_steps_up_by_more_than_a_ramp_or_interrupts_anybody(case):
    here, told = case
    before, source = here.setpoints[-1], here.state.mission.source
    for message in told:
        here.put(plan=message)
        for _ in range(45):
            here.after(scans=1)
            now, of = here.setpoints[-1], here.state.mission.source
            if of != source:
                assert (now - before).max() <= 5000 or (before[(now - before) > 5000] == 0).all()
                assert ((now > 0) | (before == 0)).all(), "a session was interrupted"
                assert abs(int((now - before).sum())) / 1000 * 690 <= max(RAMP_W, START_W)
            before, source = now, of
    assert here.over_limit_s.sum() == 0
    assert here.worst_over_ma <= 0


def test_nobody_is_held_up_for_ever():
    """A plan asks for what the fuse does not carry: nobody arrives, and yet the change is over."""
    here = yard(30.0).put(plan=of_all(*[[16, 16, 16, 16]] * 2)).after(seconds=SLIDE_MOST_S + 5)
    assert not here.state.handover.sliding.any()
    assert here.over_limit_s.sum() == 0
