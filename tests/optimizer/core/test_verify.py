"""Every row that can be broken is seen to be broken: one number of a good plan is changed, and named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from optimizer.core.instance import Instance, Solution
from optimizer.core.solver import solve
from optimizer.core.verify import TOLERANCE, cost_eur, least_a, verify
from tests.optimizer.instances import FEATURES, Recipe, instance_of
from tests.optimizer.tiny import THREE, batteries, buffers, plants, runs, tiny, with_cars

FEEDS_BACK = {
    "discharge_a": np.array([0.0, 10.0]),
    "soc_kwh": np.array([0.0, 20.0]),
    "floor_kwh": np.array([0.0, 5.0]),
    "capacity_kwh": np.array([0.0, 30.0]),
    "efficiency": 0.9,
}


def site() -> Instance:
    """One of everything, with room on all sides, so that only what is changed is broken."""
    headroom = np.full((2, 3, 4), 200.0)
    made = tiny(
        [0.2, 0.4, 0.1, 0.3], parent=np.array([-1, 0]), headroom_a=headroom, feed_in_a=headroom.copy(),
        base_kw=np.full(4, 20.0), import_limit_kw=np.full(4, 100.0), export_limit_kw=np.full(4, 100.0),
        peak_eur_per_kw=0.1, peak_floor_kw=30.0,
    )  # fmt: skip
    made = with_cars(made, 9.0, 6.0, min_a=6.0, circuit=np.array([1, 0]), first=1, **FEEDS_BACK)
    return replace(
        made,
        batteries=batteries(1, circuit=np.array([1])),
        solar=plants(4, [3.0] * 4),
        buffers=buffers(4, 1, demand_kwh=[[2.0] * 4]),
        runs=runs([2.0, 1.0], latest=2),
    )


SITE = site()
PLAN = solve(SITE)


def changed(column: str, where: tuple[int, ...], by: float) -> Solution:
    values = np.array(getattr(PLAN, column), dtype=np.float64)
    values[where] += by
    one: dict[str, Any] = {column: values if values.ndim else float(values)}
    return replace(PLAN, **one)


def named(solution: Solution, instance: Instance = SITE) -> set[str]:
    return {violation.what for violation in verify(instance, solution)}


def test_a_good_plan_breaks_nothing():
    assert PLAN.status == "optimal"
    assert verify(SITE, PLAN) == []


@pytest.mark.parametrize(
    ("column", "where", "by", "what"),
    [
        ("car_a", (0, 0), 1.0, "car current"),
        ("car_a", (0, 1), -40.0, "car current below zero"),
        ("car_a", (0, 2), 0.01, "car energy, too much"),
        ("car_a", (0, 2), -0.01, "car energy"),
        ("car_a", (1, 2), 16.0, "car current"),
        ("car_discharge_a", (0, 2), 1.0, "car discharge"),
        ("car_discharge_a", (1, 1), -11.0, "car discharge below zero"),
        ("shortage_kwh", (0,), 10.0, "shortage"),
        ("shortage_kwh", (0,), -0.1, "shortage below zero"),
        ("charge_kw", (0, 0), 6.0, "battery charge"),
        ("discharge_kw", (0, 0), 6.0, "battery discharge"),
        ("charge_kw", (0, 0), 0.1, "battery state"),
        ("charge_kw", (0, 0), -6.0, "battery power below zero"),
        ("soc_kwh", (0, 0), 11.0, "battery capacity"),
        ("soc_kwh", (0, 3), -11.0, "battery floor"),
        ("curtailed_kw", (0, 1), 3.5, "curtailed"),
        ("curtailed_kw", (0, 1), -0.5, "curtailed below zero"),
        ("buffer_kw", (0, 1), 2.5, "buffer power"),
        ("buffer_kw", (0, 1), -2.5, "buffer power below zero"),
        ("heat_kwh", (0, 1), 0.1, "buffer state"),
        ("run_kw", (0, 0), 0.5, "run"),
        ("import_kw", (0,), 0.1, "balance"),
        ("export_kw", (0,), 0.1, "import and export at once"),
        ("import_kw", (0,), -60.0, "import below zero"),
        ("export_kw", (0,), -1.0, "export below zero"),
        ("peak_kw", (0,), -20.0, "peak"),
        ("peak_kw", (0,), -20.0, "peak floor"),
        ("beyond_kw", (), 1.0, "beyond limits"),
        ("objective_eur", (), 0.1, "objective"),
        ("objective_eur", (), -0.1, "objective below its bound"),
    ],
)
def test_what_is_broken_is_named(column, where, by, what):
    assert what in named(changed(column, where, by))


def test_where_and_by_how_much():
    broken = [v for v in verify(SITE, changed("curtailed_kw", (0, 1), 3.5)) if v.what == "curtailed"]
    assert [(v.where, round(v.by, 6)) for v in broken] == [((0, 1), 0.5)]


@pytest.mark.parametrize(
    ("limits", "what"),
    [
        ({"headroom_a": np.full((2, 3, 4), 3.0)}, "circuit"),
        ({"import_limit_kw": np.full(4, 21.0)}, "import limit"),
        ({"headroom_a": np.full((2, 4, 4), 9.0), "feed_in_a": np.full((2, 4, 4), 200.0)}, "circuit"),
        ({"already_kwh": 90.0}, "peak"),
        ({"next_month": 2, "next_floor_kw": 50.0}, "shape of peak_kw"),
    ],
)
def test_a_plan_that_was_made_for_other_limits_breaks_these(limits, what):
    assert what in named(PLAN, replace(SITE, grid=replace(SITE.grid, **limits)))


def test_the_second_billing_period_is_looked_at_too():
    instance = replace(SITE, grid=replace(SITE.grid, next_month=2, next_floor_kw=31.0))
    found = solve(instance)
    assert verify(instance, found) == []
    first = float(found.peak_kw[0])
    assert "peak floor" in named(replace(found, peak_kw=np.array([first, 30.5])), instance)
    assert "peak" in named(replace(found, peak_kw=np.array([first, 0.5])), instance)


def test_feeding_in_beyond_a_limit_is_named():
    one = replace(tiny([0.5]), batteries=batteries(1))
    sold = solve(one)
    grid = replace(one.grid, feed_in_a=np.full((1, 3, 1), 1.0), export_limit_kw=np.array([0.5]))
    assert {"circuit, feeding in", "export limit"} <= named(sold, replace(one, grid=grid))


def test_a_car_that_is_drained_or_overfilled_is_named():
    for states, what in ((("floor_kwh", 19.9), "car floor"), (("capacity_kwh", 20.1), "car capacity")):
        one: dict[str, Any] = {states[0]: np.array([0.0, states[1]])}
        cars = replace(SITE.cars, **one)
        emptied = changed("car_discharge_a" if what == "car floor" else "car_a", (1, 1), 9.0)
        assert what in named(emptied, replace(SITE, cars=cars))


def test_a_small_current_in_the_first_steps_is_named_and_later_ones_are_not():
    relaxed = changed("car_a", (0, 1), -float(PLAN.car_a[0, 1]) + 3.0)
    assert "minimum current" in named(relaxed)
    assert "minimum current" not in {v.what for v in verify(SITE, relaxed, firm=False)}
    assert least_a(SITE).shape == (2, 4)


def test_both_ways_at_once_is_named():
    both = replace(PLAN, charge_kw=PLAN.charge_kw + 0.1, discharge_kw=PLAN.discharge_kw + 0.1)
    assert "battery both ways" in named(both)
    car = replace(PLAN, car_discharge_a=np.full((2, 4), 1.0), car_a=np.full((2, 4), 7.0))
    assert "car both ways" in named(car)


def test_a_number_that_is_none_is_named_before_anything_is_computed():
    assert named(changed("car_a", (0, 1), np.nan)) == {"car_a is no number"}
    assert named(replace(PLAN, import_kw=np.zeros(3))) == {"shape of import_kw"}


def test_less_than_the_tolerance_is_not_a_violation():
    assert named(changed("import_kw", (0,), 0.5 * TOLERANCE)) == set()


def test_the_cost_is_the_solvers_on_problems_with_everything():
    for seed in range(25):
        instance = instance_of(
            Recipe(
                seed,
                steps=16,
                circuits=5,
                cars=5,
                batteries=2,
                plants=2,
                buffers=2,
                runs=2,
                features=frozenset(FEATURES),
            )
        )
        found = solve(instance)
        assert cost_eur(instance, found) == pytest.approx(found.objective_eur, rel=1e-6, abs=1e-5)


def test_a_single_phase_adds_to_its_own_phase_only():
    instance = with_cars(tiny([0.1], headroom_a=np.full((1, 3, 1), 50.0)), 1.0, wired=np.array([[0.0, 1.0, 0.0]]))
    found = solve(instance)
    low = np.full((1, 3, 1), 50.0)
    low[0, 0] = low[0, 2] = 0.0
    assert named(found, replace(instance, grid=replace(instance.grid, headroom_a=low))) == set()
    low[0, 1] = 0.0
    assert "circuit" in named(found, replace(instance, grid=replace(instance.grid, headroom_a=low)))
    assert THREE.sum() == pytest.approx(3 / 0.69)
