"""The production solver against the oracle, and its rounded plans against the instance's own sums."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings

from optimizer.core import oracle, solver
from optimizer.core.instance import PHASES, Instance, Solution
from optimizer.core.verify import amperes, verify
from tests.optimizer.instances import SLACK_EUR_PER_KWH, Recipe, instance_of, noisy, recipe_of, recipes

RELATIVE: Final = 1e-6
SMALL_EUR: Final = 1e-6
BLOCK: Final = 20
"""Instances per test: a failure names its recipe."""
BLOCKS: Final = 12
SOAK_BLOCKS: Final = 150
KWH_CHANGE: Final = 1e-4


def assert_equal(instance: Instance, found: Solution, recipe: Recipe) -> None:
    """Production's bound is the oracle's optimum."""
    exact = oracle.solve(instance)
    assert found.bound_eur == pytest.approx(exact.objective_eur, rel=RELATIVE, abs=SMALL_EUR), recipe


def assert_kept(instance: Instance, found: Solution, recipe: Recipe) -> None:
    """The rounded plan breaks nothing, costs no less than the relaxation, and is what production says it is."""
    assert found.status == "optimal", recipe
    assert verify(instance, found) == [], recipe
    assert found.objective_eur >= found.bound_eur - SMALL_EUR - RELATIVE * abs(found.bound_eur), recipe


def check(recipe: Recipe) -> None:
    instance = instance_of(recipe)
    found = solver.solve(instance)
    assert_equal(instance, found, recipe)
    assert_kept(instance, found, recipe)


@pytest.mark.parametrize("block", range(BLOCKS))
def test_production_equals_the_oracle(block: int):
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        check(recipe_of(seed))


@settings(max_examples=100)
@given(recipes())
def test_production_equals_the_oracle_on_whatever_hypothesis_finds(recipe: Recipe):
    check(recipe)


@pytest.mark.parametrize("block", range(20))
def test_every_rounded_plan_keeps_every_row(block: int):
    for seed in range(10_000 + 30 * block, 10_000 + 30 * (block + 1)):
        recipe = recipe_of(seed, steps=32)
        instance = instance_of(recipe)
        assert_kept(instance, solver.solve(instance), recipe)


@pytest.mark.parametrize("block", range(4))
def test_a_live_model_equals_the_oracle_after_every_update(block: int):
    for seed in range(20_000 + 5 * block, 20_000 + 5 * (block + 1)):
        recipe = recipe_of(seed)
        instance = instance_of(recipe)
        live = solver.LiveModel.build(instance)
        assert_equal(instance, live.solve(), recipe)
        for round_ in range(3):
            instance = noisy(instance, 0.2, seed + round_)
            live.update(instance)
            found = live.solve()
            assert_equal(instance, found, recipe)
            assert_kept(instance, found, recipe)


@pytest.mark.soak
@pytest.mark.parametrize("block", range(SOAK_BLOCKS))
def test_production_equals_the_oracle_on_thousands(block: int):
    for seed in range(100_000 + block * BLOCK, 100_000 + (block + 1) * BLOCK):
        check(recipe_of(seed))


@pytest.mark.soak
@pytest.mark.parametrize("block", range(50))
def test_every_rounded_plan_keeps_every_row_on_thousands(block: int):
    for seed in range(200_000 + 100 * block, 200_000 + 100 * (block + 1)):
        recipe = recipe_of(seed, steps=96)
        instance = instance_of(recipe)
        assert_kept(instance, solver.solve(instance), recipe)


def test_values_are_the_oracles_where_the_optimum_is_no_corner():
    """Where left and right slope of the objective differ, any value in between is right, so those are left out."""
    compared = 0
    for seed in range(30):
        recipe = within_bounds(recipe_of(seed))
        instance = instance_of(recipe)
        theirs, ours = oracle.solve(instance), solver.solve(instance)
        # A car that can feed back and gets nothing is at a corner that does not show in the slopes.
        stuck = (instance.cars.discharge_a > 0.0) & (theirs.shortage_kwh > instance.cars.energy_kwh - 1e-6)
        for i in np.flatnonzero((instance.cars.energy_kwh > 0.1) & ~stuck):
            left, right = (slope_of_wanting(instance, int(i), by) for by in (-KWH_CHANGE, KWH_CHANGE))
            if abs(right - left) > 1e-3:
                continue
            compared += 1
            assert ours.car_value_eur_per_kwh[i] == pytest.approx(left, abs=1e-3), (recipe, i)
            assert theirs.car_value_eur_per_kwh[i] == pytest.approx(left, abs=1e-3), (recipe, i)
    assert compared > 60, compared


def test_values_of_stores_are_the_oracles_where_the_optimum_is_no_corner():
    compared = 0
    for seed in range(40):
        instance = instance_of(within_bounds(recipe_of(seed)))
        theirs, ours = oracle.solve(instance), solver.solve(instance)
        for part, column, sign, name in (
            ("batteries", "soc_kwh", -1.0, "battery_value_eur_per_kwh"),
            ("buffers", "heat_kwh", -1.0, "buffer_value_eur_per_kwh"),
        ):
            for k in range(len(getattr(instance, part).circuit)):
                store = getattr(instance, part)
                kept = store.keep[k] ** (instance.grid.dt_h[0] / instance.grid.full_h) if part == "buffers" else 1.0
                slopes = []
                for by in (-KWH_CHANGE, KWH_CHANGE):
                    held = getattr(store, column).copy()
                    held[k] += by
                    moved = replace(instance, **{part: replace(store, **{column: held})})
                    slopes.append(sign * (solver.solve(moved).bound_eur - ours.bound_eur) / by / kept)
                if abs(slopes[0] - slopes[1]) > 1e-3:
                    continue
                compared += 1
                assert getattr(ours, name)[k, 0] == pytest.approx(slopes[0], abs=1e-3), (seed, part, k)
                assert getattr(theirs, name)[k, 0] == pytest.approx(slopes[0], abs=1e-3), (seed, part, k)
    assert compared > 50, compared


def within_bounds(recipe: Recipe) -> Recipe:
    """How far a state may be out of bounds depends on where it starts, which no dual price knows."""
    return replace(recipe, features=recipe.features - {"soc out of bounds"})


def slope_of_wanting(instance: Instance, i: int, by_kwh: float) -> float:
    """The slope of the objective when car ``i`` wants a little more; where it can feed back, it holds less as well."""
    cars = instance.cars
    energy, width, soc = cars.energy_kwh.copy(), cars.short_kwh.copy(), cars.soc_kwh.copy()
    energy[i] += by_kwh
    width[i, np.flatnonzero(width[i] > 0)[-1]] += by_kwh
    if cars.discharge_a[i] > 0.0:
        soc[i] -= by_kwh
    moved = replace(instance, cars=replace(cars, energy_kwh=energy, short_kwh=width, soc_kwh=soc))
    return (solver.solve(moved).bound_eur - solver.solve(instance).bound_eur) / by_kwh


def test_the_generator_covers_what_it_promises():
    """Every feature does something in a good share of the instances: shortage, slack, feeding back, curtailing."""
    seen = dict.fromkeys(
        ("short", "beyond", "feeds back", "curtailed", "run", "heat", "peak", "far circuits", "power", "next peak"), 0
    )
    for seed in range(100):
        instance = instance_of(recipe_of(seed))
        found = oracle.solve(instance)
        seen["short"] += found.shortage_kwh.sum() > 1e-6
        seen["beyond"] += found.beyond_kw > 1e-6
        seen["feeds back"] += found.car_discharge_a.sum() > 1e-6
        seen["curtailed"] += found.curtailed_kw.sum() > 1e-6
        seen["run"] += found.run_kw.sum() > 0
        seen["heat"] += found.buffer_kw.sum() > 0
        grid = instance.grid
        above = (found.peak_kw > grid.floors_kw + 1e-6) & (grid.peak_eur_per_kw > 0)
        seen["peak"] += bool(above[0])
        seen["next peak"] += bool(above[1:].any())
        over = amperes(instance, found)[:, PHASES:] > grid.headroom_a[:, PHASES:] - 1e-6
        seen["power"] += bool(over.any())
        seen["far circuits"] += len(instance.grid.parent) > 4
    assert min(seen.values()) >= 3, seen
    assert max(seen.values()) <= 100
    assert SLACK_EUR_PER_KWH >= 5 * 103.0
