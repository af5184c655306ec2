"""Rows 35-39 and 43: cars that do not do what they should, and many at once."""

from __future__ import annotations

import numpy as np
import pytest

from interfaces.domain.reasons import Reason
from interfaces.domain.units import MILLI
from tests.closed_loop.loop import BACK_WITHIN_S, Loop, building, car, charger, connection, garage, site

SETTLED_S = 60.0


def test_row_35_a_car_that_ignores_a_decrease_is_paused(figure) -> None:
    loop = Loop(
        garage(2, 40.0, max_a=32.0),
        [car("e0", ignores_decrease=True, react_s=5.0), car("e1", SETTLED_S)],
        [building(2.0)],
    )
    loop.run(SETTLED_S)
    assert loop.drawn_a("e0") == 25.0
    before_a = loop.told_a("e0")
    loop.until(lambda: loop.told_a("e0") < before_a, 5.0)
    cut_s = loop.now_s
    loop.until(lambda: loop.told_a("e0") == 0.0, 14.0)
    paused_s = loop.now_s - cut_s
    assert loop.drawn_a("e0") == 25.0, "it had not obeyed until then"
    assert 10.0 <= paused_s <= 13.0, "10 s, the read-back and two readings"
    assert loop.reason("e0") is Reason.DISOBEYS
    assert loop.alarms() == {"e0 draws more than it was offered and was paused"}
    loop.until(lambda: loop.drawn_a("e0") == 0.0, 7.0)
    assert loop.now_s - cut_s <= 20.0
    figure("drew 25 A after a cut to 18 A; paused after", paused_s, "s")
    figure("no current after", loop.now_s - cut_s, "s")
    figure("alarm", *loop.alarms())
    loop.run(120.0)
    assert loop.told_a("e1") == 32.0, "the other car gets the room once it is free"
    assert loop.judged().self_made_overload_s == 0.0
    assert loop.judged().overload_s == 0.0
    figure("overload", loop.judged().overload_s, "s")


def test_row_35_a_charger_that_does_not_pause_is_stopped_by_its_second_path(figure) -> None:
    loop = Loop(garage(2, 40.0, max_a=32.0), [car("e0"), car("e1", SETTLED_S)], [building(2.0)])
    loop.run(SETTLED_S)
    loop.plant.supplies.ignores_writes[0] = True
    before_a = loop.told_a("e0")
    loop.until(lambda: loop.told_a("e0") < before_a, 5.0)
    cut_s = loop.now_s
    drawn: list[float] = []
    loop.each = lambda x: drawn.append(x.drawn_a("e0"))
    loop.until(lambda: bool(loop.commands.stop[0]), 25.0)
    stopped_s = loop.now_s - cut_s
    assert 17.0 <= stopped_s <= 20.0
    assert min(drawn[:-1]) == 25.0, "neither the cut nor the pause had reached the car"
    text = "e0 kept drawing after its pause: stopped by its second path, check its contactor"
    assert text in loop.alarms()
    loop.until(lambda: loop.drawn_a("e0") == 0.0, 2.0)
    figure("second path after", stopped_s, "s")
    figure("no current after", loop.now_s - cut_s, "s")
    figure("alarm", text)
    loop.run(120.0)
    assert loop.judged().self_made_overload_s == 0.0
    figure("self-made overload", loop.judged().self_made_overload_s, "s")


@pytest.mark.parametrize("excess", [1.05, 1.1])
def test_row_36_a_car_that_draws_more_than_offered_is_learned_and_others_make_room(excess: float, figure) -> None:
    told = {}
    for share in (1.0, excess):
        loop = Loop(
            garage(3, 63.0, max_a=32.0),
            [car("e0", excess=share), car("e1"), car("e2")],
            [building(5.0)],
            scan_s=1.0,
        )
        loop.run(300.0)
        told[share] = loop.told_a("e1") + loop.told_a("e2")
        assert loop.judged().self_made_overload_s == 0.0
        assert loop.judged().overload_s == 0.0
    learned = int(loop.state.ledger.creep_permille[0]) / 10
    assert learned == pytest.approx((excess - 1.0) * 100, abs=1.0)
    assert loop.drawn_a("e0") > loop.told_a("e0") + 0.5
    assert loop.exposure_a("e0") >= loop.drawn_a("e0") - 0.1, "what it really draws is what counts"
    assert told[excess] < told[1.0]
    assert loop.row_a().max() <= 63.0 - 1.26 + 0.6
    figure("offered", loop.told_a("e0"), "A")
    figure("drawn", loop.drawn_a("e0"), "A")
    figure("counted", loop.exposure_a("e0"), "A")
    figure("the others gave up", told[1.0] - told[excess], "A")
    figure("self-made overload", loop.judged().self_made_overload_s, "s")


@pytest.mark.parametrize("wakes_s", [61.0, 66.0, 72.0, 80.0])
def test_row_37_a_sleeping_car_counts_with_its_offer_and_may_wake_at_any_time(wakes_s: float, figure) -> None:
    """Alone it is offered all; another car comes after a minute and wants half. It wakes before, while and after its
    offer is cut, and takes the highest it still believes at once.
    """
    sleeper = car("e0", asleep=(0.0, wakes_s), react_s=5.0, ramp_a_per_s=100.0)
    loop = Loop(garage(2, 40.0, max_a=32.0), [sleeper, car("e1", 60.0, ramp_a_per_s=100.0)], [building(4.0)])
    loop.run(60.0)
    offered_a = loop.told_a("e0")
    assert loop.drawn_a("e0") == 0.0
    assert offered_a >= 20.0
    counted_a = loop.exposure_a("e0")
    assert counted_a >= offered_a, "asleep in B2 counts as offered"
    rows: list[float] = []
    uncounted: list[float] = []

    def watch(x: Loop) -> None:
        rows.append(float(x.row_a().max()))
        uncounted.append(x.told_a("e0") - x.exposure_a("e0"))

    loop.each = watch
    loop.run(90.0)
    assert max(uncounted) <= 0.0, "never counted below its offer"
    assert loop.drawn_a("e0") >= 6.0, "awake"
    assert loop.drawn_a("e1") >= 6.0
    assert loop.judged().overload_s == 0.0
    figure("offered while asleep", offered_a, "A")
    figure("counted while asleep", counted_a, "A")
    figure("highest current of the row (rated 40 A)", max(rows), "A")
    figure("overload", loop.judged().overload_s, "s")


def one_place(*, never_pause: bool = False) -> Loop:
    """Room for one of two cars; the first never wakes up once it was paused."""
    places = [charger("e0", never_pause=never_pause), charger("e1")]
    topology = site([connection(12.0, background_max_a=(2.0,) * 3)], places)
    return Loop(topology, [car("e0", never_resumes=True), car("e1", 30.0)], [building(2.0)], scan_s=1.0)


def test_row_38_a_car_that_does_not_resume_after_its_pause_is_reported(figure) -> None:
    text = "e0 does not charge again after a pause: unplug, or set never_pause for this car"
    loop = one_place()
    loop.until(lambda: loop.drawn_a("e1") > 6.0, 1000.0)
    assert loop.told_a("e0") == 0.0, "rotated out after its quarter of an hour"
    loop.until(lambda: loop.told_a("e0") >= 6.0, 1000.0)
    offered_s = loop.now_s
    loop.until(lambda: text in loop.alarms(), 310.0)
    reported_s = loop.now_s - offered_s
    assert reported_s == pytest.approx(300.0, abs=2.0)
    loop.until(lambda: loop.drawn_a("e1") > 6.0, 30.0)
    assert text in loop.alarms(), "still so while its minimum serves the other car"
    loop.plant.sessions.leave(0, loop.now_s, loop.plant.cars)
    loop.run(3.0)
    assert text not in loop.alarms()
    figure("reported after a new offer without current for", reported_s, "s")
    figure("alarm", text)
    figure("room given to the waiting car after", loop.told_a("e1"), "A")


def test_row_38_a_car_marked_never_pause_keeps_its_minimum(figure) -> None:
    loop = one_place(never_pause=True)
    loop.run(60.0)
    drawn: list[float] = []
    loop.each = lambda x: drawn.append(x.drawn_a("e0"))
    loop.run(1000.0)
    assert min(drawn) >= 6.0
    assert loop.told_a("e1") == 0.0
    assert loop.reason("e1") is Reason.QUEUED
    assert not loop.first_s, loop.first_s
    figure("lowest current in 17 min beside a waiting car", min(drawn), "A")


def test_row_39_one_phase_cars_all_on_l1_share_l1_alone(figure) -> None:
    crowd = [f"e{k}" for k in range(8)]
    others = [charger("x2", (1,)), charger("x3", (2,))]
    topology = site([connection(63.0)], [*(charger(name) for name in crowd), *others])
    cars = [*(car(name, phases=1) for name in crowd), car("x2"), car("x3")]
    loop = Loop(topology, cars, [building(5.0)])
    loop.run(150.0)
    for name in crowd:
        assert loop.told_a(name) == 7.0
        assert loop.reason(name) is Reason.CIRCUIT
    assert [loop.told_a("x2"), loop.told_a("x3")] == [16.0, 16.0]
    loop.add_load((10.0, 0.0, 0.0))
    elsewhere: list[float] = []
    loop.each = lambda x: elsewhere.append(min(x.told_a("x2"), x.told_a("x3")))
    loop.run(60.0)
    assert loop.row_a()[0] <= 63.0
    assert sum(loop.told_a(name) for name in crowd) <= 46.0
    assert min(elsewhere) == 16.0, "never cut for L1"
    assert loop.judged().self_made_overload_s == 0.0
    assert loop.judged().longest_s <= BACK_WITHIN_S
    figure("L1 (rated 63 A)", float(loop.row_a()[0]), "A")
    figure("cars on L2 and L3 keep", min(elsewhere), "A")
    figure("self-made overload", loop.judged().self_made_overload_s, "s")


def test_row_43_twenty_cars_within_a_second_are_admitted_one_after_the_other(figure) -> None:
    count = 20
    loop = Loop(
        garage(count, 200.0, max_a=32.0),
        [car(f"e{k}", 60.0 + k / count, react_s=0.5, ramp_a_per_s=50.0) for k in range(count)],
        [building(20.0)],
    )
    loop.run(60.0)
    assert loop.told_a("e0") == 0.0
    worst: list[float] = []
    loop.each = lambda x: worst.append(float((x.report.exposure_ma[0] / MILLI - x.budget_a()).max()))
    loop.until(lambda: all(loop.told_a(f"e{k}") >= 6.0 for k in range(count)), 20.0)
    served_s = loop.now_s - 60.0
    loop.run(120.0)
    assert max(worst) <= 0.0, "never more promised than there is"
    assert loop.judged().overload_s == 0.0
    share = [loop.told_a(f"e{k}") for k in range(count)]
    assert max(share) - min(share) <= 1.0
    assert sum(share) >= 200.0 - 4.0 - 22.0 - count * 1.0
    figure("all at minimum after", served_s, "s")
    figure("highest current (rated 200 A)", float(np.max(loop.row_a())), "A")
    figure("overload", loop.judged().overload_s, "s")
