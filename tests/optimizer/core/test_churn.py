"""Plans hold still: the same data give the same plan, noise moves it less than the noise, order not at all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
import pytest

from optimizer.core import solver
from optimizer.core.instance import Floats, Instance, Solution
from tests.optimizer.instances import Recipe, instance_of, noisy, permuted, with_previous

CHURN_EUR_PER_KWH: Final = 0.005
KNOWN: Final = 4
"""Steps of the previous plan that the next one is held against."""
NOISE: Final = 0.01
SEEDS: Final = range(40)
SAME_A: Final = 1e-6


def site(seed: int, *features: str) -> Instance:
    """Twelve cars, a battery and PV behind circuits that bind. Prices tell no car from another: there are ties. All of
    them asked for something; what nobody asked for has no claim to its last plan.
    """
    on = frozenset({"tight circuits", *features})
    instance = instance_of(Recipe(seed, steps=48, circuits=4, cars=12, batteries=1, plants=1, features=on))
    alike: dict[str, Any] = {
        "early_eur_per_kwh_step": np.full(12, 2e-5),
        "short_eur_per_kwh": np.tile([4.0, 5.0, 40.0], (12, 1)),
        "efficiency": np.full(12, 0.9),
        "wear_eur_per_kwh": np.full(12, 0.03),
        "terminal_eur_per_kwh": np.full(12, 0.1),
        "optional": np.zeros(12, dtype=np.bool_),
    }
    return replace(instance, cars=replace(instance.cars, **alike))


def told_apart(instance: Instance, seed: int) -> Instance:
    """The same cars, each with a priority and a wish to be early of its own: then there is one best plan."""
    place, cars = np.random.default_rng([seed, 2]).permutation(instance.cars.n), instance.cars
    early = np.linspace(1e-4, 5e-4, cars.n)[place]
    price = cars.short_eur_per_kwh * np.linspace(1.0, 1.2, cars.n)[place][:, None]
    return replace(instance, cars=replace(cars, early_eur_per_kwh_step=early, short_eur_per_kwh=price))


def net_a(found: Solution) -> Floats:
    """(N, K): what the next plan is held against."""
    return (found.car_a - found.car_discharge_a)[:, :KNOWN]


def held(instance: Instance, found: Solution) -> Instance:
    """The same data with this plan as the previous one."""
    return with_previous(instance, net_a(found), CHURN_EUR_PER_KWH)


@pytest.mark.parametrize("features", [(), ("v2g",), ("flat prices",), ("peak", "no early preference")], ids=str)
def test_unchanged_data_reproduce_the_plan_exactly(features: tuple[str, ...]):
    for seed in SEEDS[::4]:
        instance = site(seed, *features)
        first = solver.solve(instance)
        again = solver.solve(instance)
        assert np.array_equal(first.car_a, again.car_a), seed
        after = solver.solve(held(instance, first))
        assert net_a(after) == pytest.approx(net_a(first), abs=SAME_A), seed


def test_a_live_model_that_hears_nothing_new_keeps_its_plan():
    for seed in SEEDS[::4]:
        instance = site(seed, "v2g")
        live = solver.LiveModel.build(instance)
        instance = held(instance, live.solve())
        live.update(instance)
        first = live.solve()
        live.update(instance)
        again = live.solve()
        assert np.array_equal(first.car_a, again.car_a), seed
        assert np.array_equal(first.charge_kw, again.charge_kw), seed


@pytest.mark.parametrize("seed", SEEDS[:10])
def test_a_plan_that_is_carried_out_stands_five_minutes_later(seed: int):
    instance = site(seed, "peak")
    first = solver.solve(instance)
    after = solver.solve(held(later(instance, first, 1 / 12), first))
    assert net_a(after) == pytest.approx(net_a(first), abs=1e-3)


def later(instance: Instance, found: Solution, hours: float) -> Instance:
    """What is left of the same problem after its plan has run for a part of the first step."""
    grid, cars, batteries = instance.grid, instance.cars, instance.batteries
    dt_h = grid.dt_h.copy()
    dt_h[0] -= hours
    taken = cars.kw_per_a * found.car_a[:, 0] * hours
    left = np.maximum(cars.energy_kwh - taken, 0.0)
    width = cars.short_kwh * (left / np.maximum(cars.energy_kwh, 1e-12))[:, None]
    moved = (
        batteries.charge_efficiency * found.charge_kw[:, 0] - found.discharge_kw[:, 0] / batteries.discharge_efficiency
    )
    return replace(
        instance,
        grid=replace(grid, dt_h=dt_h, already_kwh=grid.already_kwh + hours * float(found.import_kw[0])),
        cars=replace(cars, energy_kwh=left, short_kwh=width),
        batteries=replace(batteries, soc_kwh=batteries.soc_kwh + hours * moved),
    )


@pytest.mark.parametrize("features", [(), ("flat prices",), ("peak",), ("v2g",)], ids=str)
def test_small_noise_moves_the_current_slot_less_than_the_noise(features: tuple[str, ...]):
    moves = []
    for seed in SEEDS:
        instance = site(seed, *features)
        first = solver.solve(instance)
        after = solver.solve(held(noisy(instance, NOISE, seed), first))
        moves.append(np.mean(np.abs(net_a(after) - net_a(first))[:, 0] / instance.cars.max_a))
    assert np.mean(moves) < NOISE
    assert np.mean(np.array(moves) < NOISE) > 0.8


def test_without_the_previous_plan_the_same_noise_moves_more():
    with_it: list[float] = []
    without: list[float] = []
    for seed in SEEDS[::2]:
        instance = site(seed, "flat prices", "no early preference")
        first = solver.solve(instance)
        changed = noisy(instance, NOISE, seed)
        for moves, now in ((with_it, held(changed, first)), (without, changed)):
            moves.append(float(np.mean(np.abs(net_a(solver.solve(now)) - net_a(first))[:, 0] / instance.cars.max_a)))
    assert np.mean(with_it) < 0.2 * np.mean(without)


def test_the_order_of_cars_is_no_reason_for_another_plan():
    for seed in SEEDS[:20]:
        instance = told_apart(site(seed), seed)
        order = np.random.default_rng(seed).permutation(instance.cars.n)
        first, other = solver.solve(instance), solver.solve(permuted(instance, order))
        assert other.car_a == pytest.approx(first.car_a[order], abs=1e-4), seed


@pytest.mark.parametrize("features", [(), ("flat prices",), ("peak",)], ids=str)
def test_another_order_of_cars_does_not_move_a_plan_that_stands(features: tuple[str, ...]):
    """Cars come and go, and with them the index of those that stay: without a plan, ties could fall otherwise."""
    for seed in SEEDS[:10]:
        instance = site(seed, *features)
        first = solver.solve(instance)
        order = np.random.default_rng(seed).permutation(instance.cars.n)
        other = solver.solve(permuted(held(instance, first), order))
        assert net_a(other) == pytest.approx(net_a(first)[order], abs=SAME_A), seed


def test_equal_cars_take_their_turns_by_index():
    """Cars that are the same in everything: which of them charges first does not change from one solve to the next."""
    for seed in SEEDS[:8]:
        instance = equal_cars(site(seed, "flat prices"), 6)
        first = solver.solve(instance)
        assert np.array_equal(first.car_a, solver.solve(instance).car_a)
        after = solver.solve(held(instance, first))
        assert net_a(after) == pytest.approx(net_a(first), abs=SAME_A)
        more = solver.solve(held(noisy(instance, NOISE, seed), first))
        assert np.mean(np.abs(net_a(more) - net_a(first))[:, 0] / instance.cars.max_a) < NOISE


def equal_cars(instance: Instance, count: int) -> Instance:
    """The first car ``count`` times, and nobody else."""
    return permuted(instance, np.zeros(count, dtype=np.int64))


def with_pauses(instance: Instance, seed: int) -> Instance:
    """The same site where two cars in three charge already and are paused for a reason only."""
    rng, cars = np.random.default_rng([seed, 9]), instance.cars
    worth_eur = 0.02 * 4.0 * cars.energy_kwh * rng.uniform(0.3, 3.0, cars.n)
    return replace(instance, cars=replace(cars, pause_eur=np.where(rng.random(cars.n) < 0.7, worth_eur, 0.0)))


@pytest.mark.parametrize("features", [(), ("flat prices",), ("peak",)], ids=str)
def test_who_goes_on_instead_of_being_paused_goes_on_in_the_next_plan_too(features: tuple[str, ...]):
    """Judged all together one car pays for another's pause; the next plan sees only the dear ones, and stops them."""
    spared = 0
    for seed in SEEDS:
        instance = with_pauses(site(seed, *features), seed)
        first = solver.solve(instance)
        after = solver.solve(held(instance, first))
        assert np.array_equal(net_a(first)[:, 0] > SAME_A, net_a(after)[:, 0] > SAME_A), seed
        careless = solver.solve(replace(instance, cars=replace(instance.cars, pause_eur=np.zeros(instance.cars.n))))
        spared += int((net_a(first)[:, 0] > SAME_A).sum() - (net_a(careless)[:, 0] > SAME_A).sum())
    assert spared > len(SEEDS) // 4, "without pauses to spare it says nothing"
