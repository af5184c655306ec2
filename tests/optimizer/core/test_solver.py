"""The live model: solving again equals solving from nothing, and there is a plan whatever the solver does."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import highspy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.core.instance import Instance
from optimizer.core.solver import LiveModel, solve
from optimizer.core.verify import verify
from simulations.bench.mpc import instance_of as neutral_instance
from tests.optimizer.instances import instance_of, recipe_of
from tests.optimizer.tiny import batteries, cars, tiny, with_cars

SEEDS = st.integers(0, 2**32 - 1)


def moved(instance: Instance, rng: np.random.Generator) -> Instance:
    """Other numbers everywhere, the same structure but for what happens to bind or to be outside."""
    grid, stores, heat, sessions = instance.grid, instance.batteries, instance.buffers, instance.cars
    spread = grid.import_eur_per_kwh - grid.export_eur_per_kwh
    price = grid.import_eur_per_kwh + 0.05 * rng.standard_normal(grid.steps)
    dt = grid.dt_h.copy()
    dt[0] *= rng.choice([1.0, rng.uniform(0.3, 1.0)])
    made = replace(
        grid, dt_h=dt, base_kw=grid.base_kw + rng.normal(0.0, 2.0, grid.steps), import_eur_per_kwh=price,
        export_eur_per_kwh=price - spread, headroom_a=grid.headroom_a - rng.uniform(0.0, 2.0, grid.headroom_a.shape),
    )  # fmt: skip
    share = rng.uniform(0.5, 1.0, (sessions.n, 1))
    return replace(
        instance,
        grid=made,
        cars=replace(sessions, energy_kwh=sessions.energy_kwh * share[:, 0], short_kwh=sessions.short_kwh * share),
        batteries=replace(
            stores, soc_kwh=np.clip(stores.soc_kwh + rng.normal(0, 2), stores.floor_kwh, stores.capacity_kwh)
        ),
        buffers=replace(heat, heat_kwh=heat.heat_kwh + rng.normal(0.0, 0.5, len(heat.heat_kwh))),
    )


def assert_same_cost(live: LiveModel, instance: Instance) -> None:
    again, fresh = live.solve(), solve(instance)
    assert again.bound_eur == pytest.approx(fresh.bound_eur, rel=1e-7, abs=1e-7)
    assert again.status == fresh.status == "optimal"
    assert verify(instance, again) == []


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_an_update_equals_a_fresh_solve(seed):
    rng = np.random.default_rng(seed)
    instance = instance_of(recipe_of(seed, steps=24))
    live = LiveModel.build(instance)
    live.solve()
    for _ in range(3):
        instance = moved(instance, rng)
        live.update(instance)
        assert_same_cost(live, instance)


def test_new_numbers_need_no_new_program():
    instance = with_cars(tiny([0.1, 0.3, 0.2], dt_h=np.array([0.9, 1.0, 1.0])), 5.0, 7.0)
    live = LiveModel.build(instance)
    live.solve()
    later = with_cars(tiny([0.4, 0.3, 0.2], dt_h=np.array([0.6, 1.0, 1.0])), 4.0, 6.0)
    live.update(later)
    assert live.rebuilt == ""
    assert_same_cost(live, later)


def test_rows_that_can_bind_now_are_added():
    wide = with_cars(tiny([0.1, 0.3], headroom_a=np.full((1, 3, 2), 33.0)), 10.0, 10.0)
    live = LiveModel.build(wide)
    live.solve()
    narrow = replace(wide, grid=replace(wide.grid, headroom_a=np.full((1, 3, 2), 20.0)))
    live.update(narrow)
    assert live.rebuilt == ""
    assert len(live.program.layout.kept) == 6
    assert_same_cost(live, narrow)
    assert live.solve().car_a.sum(axis=0).max() == pytest.approx(20.0)
    live.update(wide)
    assert live.rebuilt == ""
    assert_same_cost(live, wide)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda i: replace(i, cars=cars(5.0, 7.0, 1.0)), "cars.first"),
        (lambda i: replace(i, cars=replace(i.cars, end=np.array([1, 3]))), "cars.end"),
        (lambda i: replace(i, cars=replace(i.cars, wired=np.array([[1.0, 0, 0]] * 2))), "cars.wired"),
        (lambda i: replace(i, batteries=batteries(1)), "batteries.circuit"),
        (lambda i: replace(i, grid=replace(i.grid, peak_eur_per_kw=2.0)), "peak"),
        (lambda i: replace(i, grid=replace(i.grid, headroom_a=np.full((1, 3, 3), -1.0))), "cannot be kept"),
    ],
)
def test_another_structure_is_a_new_program_and_says_why(change, reason):
    instance = with_cars(tiny([0.1, 0.3, 0.2]), 5.0, 7.0)
    live = LiveModel.build(instance)
    live.solve()
    other = change(instance)
    other = replace(other, cars=replace(other.cars, end=np.minimum(other.cars.end, 3)))
    live.update(other)
    assert reason in live.rebuilt
    assert_same_cost(live, other)


def test_solving_twice_gives_the_same_plan():
    instance = instance_of(recipe_of(7, steps=24))
    live = LiveModel.build(instance)
    first, second = live.solve(), live.solve()
    assert first.car_a == pytest.approx(second.car_a, abs=1e-7)
    assert first.bound_eur == pytest.approx(second.bound_eur)


def test_no_time_gives_the_heuristic_plan():
    instance = instance_of(recipe_of(3, steps=24))
    found = solve(instance, 0.0)
    assert found.status == "heuristic"
    assert verify(instance, found) == []


def test_no_time_the_second_time_keeps_the_plan_that_still_fits():
    instance = with_cars(tiny([0.1, 0.3, 0.2]), 5.0, 7.0)
    live = LiveModel.build(instance)
    first = live.solve()
    dearer = replace(instance, grid=replace(instance.grid, import_eur_per_kwh=np.array([0.5, 0.6, 0.7])))
    live.update(dearer)
    kept = live.solve(0.0)
    assert kept.status == "incumbent"
    assert kept.car_a == pytest.approx(first.car_a)
    assert verify(dearer, kept) == []
    live.update(replace(dearer, grid=replace(dearer.grid, headroom_a=np.full((1, 3, 3), 2.0))))
    assert live.solve(0.0).status == "heuristic"
    assert live.solve().status == "optimal", "time brings the solver back"


def test_a_solver_that_fails_gives_the_heuristic_plan(monkeypatch):
    instance = instance_of(recipe_of(3, steps=24))
    live = LiveModel.build(instance)
    monkeypatch.setattr(live, "_run", lambda *_: False)
    found = live.solve()
    assert found.status == "heuristic"
    assert verify(instance, found) == []


def test_a_rounding_that_fails_gives_the_heuristic_plan_with_the_bound(monkeypatch):
    instance = with_cars(tiny([0.1, 0.3], headroom_a=np.full((1, 3, 2), 9.0)), 9.0, 9.0, min_a=6.0)
    live = LiveModel.build(instance)
    bound_eur = solve(instance).bound_eur
    monkeypatch.setattr(live, "_rounded", lambda *_: None)
    found = live.solve()
    assert found.status == "heuristic"
    assert found.bound_eur == pytest.approx(bound_eur)
    assert verify(instance, found) == []


def test_a_basis_that_highs_stumbles_over_is_dropped():
    instance = instance_of(recipe_of(5, steps=24))
    live = LiveModel.build(instance)
    bound_eur = live.solve().bound_eur
    worse = highspy.HighsBasis()
    worse.valid = False
    live._highs.setBasis(worse)
    assert live.solve().bound_eur == pytest.approx(bound_eur)


def test_three_hundred_cars_of_one_step():
    instance = with_cars(tiny([0.2], headroom_a=np.full((1, 3, 1), 500.0)), *[4.0] * 300, min_a=6.0)
    found = solve(instance)
    assert verify(instance, found) == []
    assert found.car_a.sum() <= 500.0 + 1e-6
    charging = found.car_a[found.car_a > 0]
    assert charging.min() >= 4.0 / 0.69 - 1e-6, "all that such a car wants is less than 6 A for an hour"


# The neutral problem of the benchmark, when it is at hand.

BENCH = Path(os.environ.get("STROOMWACHT_DATA", "/nonexistent")).parent / "bench" / "reference_mpc.py"


@pytest.mark.skipif(not BENCH.is_file(), reason="STROOMWACHT_DATA names no directory next to the neutral benchmark")
@pytest.mark.parametrize(("n", "steps", "seed"), [(5, 48, 1), (10, 96, 2), (30, 96, 3), (40, 48, 4)])
def test_the_neutral_problem_costs_what_plain_highs_says(n, steps, seed):
    spec = importlib.util.spec_from_file_location("reference_mpc", BENCH)
    assert spec is not None
    assert spec.loader is not None
    script: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    problem = script.instance(n, steps, seed)
    found = solve(neutral_instance(problem))
    assert found.objective_eur == pytest.approx(script.floor(problem, 1)["objective"], rel=1e-9)
