"""Who is served first: tiers, never-pause cars, on-times, rotating credits."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from interfaces.domain.reasons import Reason
from interfaces.domain.targets import Target, Targets
from tests.controller.core.table import EPOCH_S, START_S, Table, branch, evse, gcp, site

QUIET = {"background_max_a": (0.0, 0.0, 0.0)}


def room(for_cars: int, *places, scan_s: float = 1.0, **facts) -> Table:
    """A connection with room for so many minimum currents."""
    table = Table(site([gcp(6.0 * for_cars + 3.0, **QUIET)], places), scan_s=scan_s, **facts)
    return table.after(seconds=5)


def names(count: int) -> list[str]:
    return [f"e{k}" for k in range(count)]


def running(table: Table) -> set[str]:
    return {a.id for a in table.topology.assets if table.amps(a.id) > 0}


def urgent(*assets: str, departure_s: float = 600.0) -> Targets:
    """Targets that can only just be met, for the named assets."""
    wanted = tuple(Target(name, EPOCH_S + departure_s, 30_000) for name in assets)
    return Targets(1, EPOCH_S, wanted, EPOCH_S, 900, np.zeros(0))


def test_lower_tier_first():
    table = room(1, evse("e0", tier=2), evse("e1", tier=1)).plug("e0", "e1").after(seconds=5)
    assert running(table) == {"e1"}
    assert table.reason("e0") == Reason.QUEUED
    assert table.binding("e0") == ("gcp", 0)


def test_earlier_plug_in_first():
    table = room(1, evse("e0"), evse("e1")).plug("e1").after(scans=1).plug("e0").after(seconds=20)
    assert running(table) == {"e1"}


def test_ids_decide_between_equals():
    assert running(room(1, evse("b"), evse("a")).plug("a", "b").after(seconds=5)) == {"a"}


def test_a_higher_tier_displaces_a_running_car_of_a_lower_one():
    table = room(1, evse("e0", tier=2), evse("e1", tier=1)).plug("e0").after(seconds=60).plug("e1").after(scans=1)
    assert table.reason("e0") == Reason.ROTATED
    assert running(table.after(seconds=20)) == {"e1"}
    assert table.state.timers.limit_pauses.tolist() == [0, 0], "no limit pause"


def test_all_running_cars_go_to_minimum_before_one_is_paused():
    """Three cars at 16 A; then 40 A, then 18 A, then 17 A are left."""
    table = Table(site([gcp(63.0, **QUIET)], [evse(n) for n in names(3)])).plug(*names(3)).after(seconds=90)
    table.expect(e0=16, e1=16, e2=16).load("gcp", 23).after(scans=1)
    assert sorted(table.amps(n) for n in names(3)) == [13, 13, 14]
    table.load("gcp", 45).after(scans=1).expect(e0=6, e1=6, e2=6)
    table.load("gcp", 46).after(scans=1)
    assert len(running(table)) == 2


def test_who_does_not_fit_does_not_block_a_smaller_one():
    """A car that needs 14 A waits; one that needs 6 A behind it in the queue charges."""
    table = Table(site([gcp(10.0, **QUIET)], [evse("e0", min_a=14.0), evse("e1")])).plug("e0").after(seconds=5)
    table.plug("e1").after(seconds=5)
    assert running(table) == {"e1"}


def test_who_cannot_be_cut_further_is_paused_from_the_end_of_the_queue():
    table = Table(site([gcp(40.0, **QUIET)], [evse(n) for n in names(3)]))
    for name in names(3):
        table.plug(name).after(seconds=30)
    table.load("gcp", 27).after(scans=3)
    assert running(table) == {"e0", "e1"}


# -- rotation ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cars", [2, 3, 4])
def test_invariant_18_each_of_k_equal_cars_is_served_within_k_quarters(cars):
    """Room for k - 1 of k; nobody waits longer than k quanta of 15 min."""
    table = room(cars - 1, *[evse(n) for n in names(cars)], scan_s=5.0).plug(*names(cars))
    table.setpoints.clear()
    table.after(seconds=900 * cars * 3)
    on = np.array(table.setpoints) > 0
    for i in range(cars):
        gaps, waited = [], 0
        for served in on[:, i].tolist():
            waited = 0 if served else waited + 1
            gaps.append(waited)
        assert max(gaps) * 5.0 <= 900 * cars + 60, names(cars)[i]
    assert (on.sum(axis=1) <= cars - 1).all()
    assert on.mean() >= 0.95 * (cars - 1) / cars, "rotation wastes nothing"


def test_a_quarter_of_an_hour_is_not_shortened():
    table = room(1, *[evse(n) for n in names(3)], scan_s=5.0).plug(*names(3))
    table.setpoints.clear()
    table.after(seconds=900 * 9)
    on = np.array(table.setpoints) > 0
    for i in range(3):
        edges = np.flatnonzero(np.diff(on[:, i].astype(int)))
        runs = [(b - a) * 5.0 for a, b in pairwise(edges) if on[a + 1, i] and b < len(on) - 2]
        assert all(run >= 900.0 - 5.0 for run in runs), runs


def test_a_running_car_yields_only_to_one_with_a_whole_quantum_more():
    table = room(1, evse("e0"), evse("e1"), scan_s=5.0).plug("e0").after(seconds=600).plug("e1").after(seconds=880)
    assert running(table) == {"e0"}
    assert running(table.after(seconds=60)) == {"e1"}


def test_a_satisfied_car_is_last_in_its_tier():
    table = room(1, evse("e0"), evse("e1"), scan_s=5.0).plug("e0", asleep=True).after(seconds=400)
    assert running(table) == {"e0"}
    assert running(table.plug("e1").after(seconds=30)) == {"e1"}


# -- on-time and never-pause ------------------------------------------------------------------------------------------


def test_an_urgent_newcomer_waits_for_the_minimum_on_time():
    """Least laxity first, but a car that has just started keeps its five minutes (a contactor is no relay)."""
    table = room(1, evse("e0"), evse("e1")).plug("e0").after(seconds=10)
    started_s = table.now_s
    assert running(table) == {"e0"}
    table.put(targets=urgent("e1")).plug("e1")
    while running(table.after(scans=1)) == {"e0"}:
        assert table.now_s < started_s + 1000
    assert 285 <= table.now_s - started_s <= 310


def test_a_higher_tier_does_not_wait_for_it():
    table = room(1, evse("e0", tier=2), evse("e1", tier=1)).plug("e0").after(seconds=10).plug("e1").after(seconds=20)
    assert running(table) == {"e1"}


def test_a_never_pause_car_is_not_rotated():
    table = room(1, evse("e0", never_pause=True), evse("e1"), scan_s=5.0).plug("e0").after(seconds=60).plug("e1")
    assert running(table.after(seconds=4000)) == {"e0"}


def test_a_never_pause_car_is_not_displaced_by_an_urgent_one():
    table = room(1, evse("e0", never_pause=True), evse("e1"), scan_s=5.0).plug("e0").after(seconds=400)
    table.put(targets=urgent("e1", departure_s=1000.0)).plug("e1").after(seconds=600)
    assert running(table) == {"e0"}


def test_a_never_pause_car_queues_before_its_first_grant_like_any_other():
    table = room(1, evse("e0"), evse("e1", never_pause=True)).plug("e0").after(seconds=5).plug("e1").after(seconds=60)
    assert running(table) == {"e0"}


def test_a_never_pause_car_is_the_last_of_its_tier_to_be_paused():
    table = Table(site([gcp(40.0, **QUIET)], [evse("e0"), evse("e1"), evse("e2", never_pause=True)]))
    for name in names(3):
        table.plug(name).after(seconds=30)
    assert running(table.load("gcp", 33).after(scans=3)) == {"e2"}
    assert running(table.load("gcp", 36).after(scans=3)) == set()


def test_a_car_can_be_told_never_to_pause_by_its_target():
    wanted = (Target("e0", EPOCH_S + 80_000, 50_000, never_pause=True),)
    targets = Targets(1, EPOCH_S, wanted, EPOCH_S, 900, np.zeros(0))
    table = room(1, evse("e0"), evse("e1"), scan_s=5.0).put(targets=targets).plug("e0").after(seconds=60).plug("e1")
    assert running(table.after(seconds=4000)) == {"e0"}


def test_a_never_pause_car_is_not_paused_for_a_cheaper_hour():
    """It would not wake up again: once admitted it keeps its minimum."""
    prices = np.array([0.10, 0.50, 0.05, 0.05] + [0.04] * 20)
    wanted = (Target("e0", EPOCH_S + 80_000, 9_000, never_pause=True),)
    targets = Targets(1, EPOCH_S, wanted, EPOCH_S, 3600, prices)
    table = Table(site([gcp(40.0, **QUIET)], [evse("e0")]), scan_s=5.0)
    table.put(targets=None).plug("e0").after(seconds=60).expect(e0=16)
    table.put(targets=targets).after(seconds=7000)
    assert table.amps("e0") >= 6.0


# -- nested circuits --------------------------------------------------------------------------------------------------


def test_a_minimum_must_fit_on_every_circuit_above():
    circuits = [gcp(63.0, **QUIET), branch("a", "gcp", 32.0), branch("b", "a", 10.0)]
    table = Table(site(circuits, [evse("e0", "b"), evse("e1", "b"), evse("e2", "a"), evse("e3")]))
    table.plug(*names(4)).after(seconds=120).expect(e0=10, e1=0, e2=16, e3=16)
    assert table.binding("e1") == ("b", 0)
    assert table.over_limit_s.sum() == 0


def test_five_levels():
    circuits = [gcp(63.0, **QUIET)]
    for level, rated in enumerate((50.0, 40.0, 30.0, 20.0)):
        circuits.append(branch(f"l{level}", "gcp" if level == 0 else f"l{level - 1}", rated))
    table = Table(site(circuits, [evse("e0", "l3"), evse("e1", "l3"), evse("e2", "l2"), evse("e3")]))
    table.plug(*names(4)).after(seconds=120).expect(e0=10, e1=10, e2=10, e3=16)
    assert table.now_s > START_S
