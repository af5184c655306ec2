"""What a car turns out to be while it charges."""

from __future__ import annotations

from dataclasses import replace

import pytest

from interfaces.domain.image import Pilot
from interfaces.domain.live import AssetLive, LiveStatus
from interfaces.domain.topology import Asset, AssetKind, Circuit, build_topology
from optimizer.service.habits import Habits

TOPOLOGY = build_topology(
    [Circuit("gcp", None, (63.0, 63.0, 63.0), meter="m")],
    [Asset("car", AssetKind.EVSE, "d1", "gcp", (0, 1, 2), 16.0)],
    version="t",
)
START = 1_795_415_400.0
CAR = AssetLive("car", int(Pilot.B2), START, 0.0, None, 0.0, 0.0, 0.0, (1, 1, 1), None, 0, True)


def seen(habits: Habits, begin_s: int, end_s: int, step_s: int = 10, **facts: object) -> Habits:
    for at_s in range(begin_s, end_s, step_s):
        car = replace(CAR, **facts)  # type: ignore[arg-type]
        habits.observe(LiveStatus("s", "t", START + at_s, "plan", 1, None, (), (car,)))
    return habits


def test_a_car_that_takes_nothing_for_ten_minutes_is_asleep_until_it_draws_or_leaves() -> None:
    habits = seen(Habits(TOPOLOGY), 0, 600, setpoint_a=6.0, power_kw=0.05)
    assert habits.asleep == frozenset()
    assert seen(habits, 600, 610, setpoint_a=6.0, power_kw=0.05).asleep == {"car"}
    assert seen(habits, 610, 620, setpoint_a=0.0, power_kw=0.05).asleep == {"car"}  # a pause proves nothing
    assert seen(habits, 620, 630, setpoint_a=6.0, power_kw=1.4).asleep == frozenset()
    seen(habits, 630, 1300, setpoint_a=6.0, power_kw=0.05)
    assert seen(habits, 1300, 1310, plugged_in_epoch_s=None, pilot=int(Pilot.A)).asleep == frozenset()


def test_a_car_that_was_offered_nothing_is_not_asleep() -> None:
    assert seen(Habits(TOPOLOGY), 0, 2000, setpoint_a=0.0, power_kw=0.0).asleep == frozenset()


def test_a_car_that_needs_more_than_the_minimum_is_not_asleep_but_has_a_minimum_of_its_own() -> None:
    habits = seen(Habits(TOPOLOGY), 0, 300, setpoint_a=16.0, power_kw=11.0)
    assert habits.min_a("car") is None
    seen(habits, 300, 1500, setpoint_a=6.0, power_kw=0.05)
    assert habits.min_a("car") == 16.0
    assert habits.asleep == frozenset()
    seen(habits, 1500, 1600, setpoint_a=10.0, power_kw=6.9)
    assert habits.min_a("car") == 10.0


def test_a_car_that_never_drew_has_no_minimum_of_its_own() -> None:
    habits = seen(Habits(TOPOLOGY), 0, 900, setpoint_a=6.0, power_kw=0.05)
    assert habits.min_a("car") is None
    assert habits.asleep == {"car"}


def test_a_car_that_leaves_much_of_a_steady_offer_has_a_limit_of_its_own() -> None:
    habits = seen(Habits(TOPOLOGY), 0, 120, setpoint_a=16.0, power_kw=6.9)  # 10 A on three phases of 230 V
    assert habits.max_a("car") == pytest.approx(10.0)
    assert seen(habits, 120, 130, setpoint_a=16.0, power_kw=10.35).max_a("car") is None


def test_an_offer_that_moves_teaches_no_limit() -> None:
    habits = Habits(TOPOLOGY)
    for k, at_s in enumerate(range(0, 600, 30)):
        seen(habits, at_s, at_s + 1, setpoint_a=(6.0, 16.0)[k % 2], power_kw=4.14)
    assert habits.max_a("car") is None


def test_a_limit_is_looked_at_anew_after_half_an_hour() -> None:
    habits = seen(Habits(TOPOLOGY), 0, 120, setpoint_a=16.0, power_kw=6.9)
    seen(habits, 120, 2400, 60, setpoint_a=10.0, power_kw=6.9)  # planned at its limit, it cannot show more
    assert habits.max_a("car") is None


def test_phases_are_known_once_seen_and_kept_through_a_pause() -> None:
    habits = seen(Habits(TOPOLOGY), 0, 60, setpoint_a=16.0, power_kw=3.6)
    assert habits.phases("car") is None  # the site has not learned them yet and it has taken next to nothing
    seen(habits, 60, 70, setpoint_a=16.0, power_kw=3.6, phases=(0, 1, 0))
    seen(habits, 70, 900, setpoint_a=0.0, power_kw=0.0)  # the site forgets, to be safe
    assert habits.phases("car") == (0, 1, 0)
    seen(habits, 900, 910, setpoint_a=16.0, power_kw=10.9, energy_kwh=0.5)
    assert habits.phases("car") == (1, 1, 1)


def test_cars_that_are_exchanged_between_two_statuses_are_two_cars() -> None:
    habits = seen(Habits(TOPOLOGY), 0, 900, setpoint_a=6.0, power_kw=0.05)
    assert habits.asleep == {"car"}
    assert seen(habits, 900, 910, setpoint_a=6.0, power_kw=0.05, plugged_in_epoch_s=START + 5.0).asleep == {"car"}
    assert seen(habits, 910, 920, setpoint_a=6.0, power_kw=0.05, plugged_in_epoch_s=START + 900.0).asleep == frozenset()
