"""The plan without a solver: feasible on everything, and not foolish."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from optimizer.core.heuristic import heuristic
from optimizer.core.solver import solve
from optimizer.core.verify import verify
from tests.optimizer.instances import instance_of, recipe_of, recipes
from tests.optimizer.tiny import batteries, buffers, plants, runs, tiny, with_cars


@settings(max_examples=150, deadline=None)
@given(recipes())
def test_it_keeps_every_row(recipe):
    instance = instance_of(recipe)
    found = heuristic(instance)
    assert found.status == "heuristic"
    assert verify(instance, found) == []


def test_it_is_never_better_than_the_bound():
    for seed in range(20):
        instance = instance_of(recipe_of(seed))
        bound_eur = solve(instance).bound_eur
        assert heuristic(instance).objective_eur >= bound_eur - 1e-4 - 1e-6 * abs(bound_eur)


def test_cars_charge_in_their_cheapest_steps():
    found = heuristic(with_cars(tiny([0.3, 0.1, 0.2]), 15.0))
    assert found.car_a[0] == pytest.approx([0.0, 16.0, 15.0 / 0.69 - 16.0])
    assert found.car_value_eur_per_kwh == pytest.approx([0.2])


def test_who_has_least_time_comes_first():
    site = tiny([0.1, 0.1, 0.1], headroom_a=np.full((1, 3, 3), 16.0))
    found = heuristic(with_cars(site, 11.0, 11.0, end=np.array([3, 1])))
    assert found.shortage_kwh == pytest.approx([0.0, 0.0], abs=1e-9)


def test_a_shortage_has_the_value_of_its_tier():
    tiers = {"short_kwh": np.array([[5.0, 45.0]]), "short_eur_per_kwh": np.array([[3.0, 7.0]])}
    found = heuristic(with_cars(tiny([0.1]), 50.0, **tiers))
    assert found.car_value_eur_per_kwh == pytest.approx([7.0])


def test_it_uses_what_costs_no_new_peak_first():
    found = heuristic(with_cars(tiny([0.1, 0.2, 0.3], peak_eur_per_kw=5.0, peak_floor_kw=4.0), 10.0))
    assert found.import_kw == pytest.approx([4.0, 4.0, 2.0])
    assert found.peak_kw == pytest.approx(4.0)


def test_minimum_currents_are_kept_at_first():
    site = tiny([0.1] * 5, headroom_a=np.full((1, 3, 5), 4.0))
    found = heuristic(with_cars(site, 50.0, min_a=6.0))
    assert found.car_a[0] == pytest.approx([0.0] * 4 + [4.0])


def test_heat_runs_and_curtailment():
    site = replace(
        tiny([0.3, 0.1, 0.2], base_kw=np.full(3, -10.0), export_limit_kw=np.full(3, 7.0)),
        buffers=buffers(3, 1, heat_kwh=4.0, demand_kwh=[[3.0] * 3]),
        runs=runs([2.0], latest=2),
        solar=plants(3, [9.0] * 3),
        batteries=batteries(1),
    )
    found = heuristic(site)
    assert found.heat_kwh[0] == pytest.approx([4.0] * 3)
    assert found.run_kw[0] == pytest.approx([0.0, 2.0, 0.0])
    assert found.export_kw == pytest.approx([7.0] * 3)
    assert found.soc_kwh[0] == pytest.approx([5.0] * 3)
    assert verify(site, found) == []
