"""The oracle against problems whose answer can be worked out by hand, and its values against finite differences."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from optimizer.core import oracle
from optimizer.core.instance import Instance
from tests.optimizer.instances import Recipe, instance_of, recipe_of

KWH_CHANGE = 1e-4


def changed(instance: Instance, part: str, **columns: Any) -> Instance:
    return replace(instance, **{part: replace(getattr(instance, part), **columns)})


def nudged(instance: Instance, part: str, column: str, at: Any, by: float) -> Instance:
    values = getattr(getattr(instance, part), column).copy()
    values[at] += by
    return changed(instance, part, **{column: values})


def slopes(plus: Instance, here: Instance, minus: Instance) -> tuple[float, float]:
    """The objective's slope to the left and to the right: the same where the optimum is not at a corner."""
    left, middle, right = (oracle.solve(one).objective_eur for one in (minus, here, plus))
    return (middle - left) / KWH_CHANGE, (right - middle) / KWH_CHANGE


def plain(**counts: Any) -> Instance:
    """Four quarters of 1 kW base load at 0.20, 0.10, 0.30 and 0.40 EUR/kWh, no limits, export at 0.05 EUR/kWh."""
    instance = instance_of(Recipe(1, steps=4, **counts))
    grid = instance.grid
    return changed(
        instance,
        "grid",
        base_kw=np.full(4, 1.0) - instance.solar.available_kw.sum(axis=0),
        import_eur_per_kwh=np.array([0.2, 0.1, 0.3, 0.4]),
        export_eur_per_kwh=np.full(4, 0.05),
        headroom_a=np.full_like(grid.headroom_a, np.inf),
        feed_in_a=np.full_like(grid.feed_in_a, np.inf),
    )


def one_car(energy_kwh: float, **columns: Any) -> Instance:
    """One three-phase car of 10 A in the first three steps: 6.9 kW, 1.725 kWh a step."""
    defaults: dict[str, Any] = {
        "wired": np.ones((1, 3)),
        "kw_per_a": np.array([0.69]),
        "max_a": np.array([10.0]),
        "first": np.array([0]),
        "end": np.array([3]),
        "energy_kwh": np.array([energy_kwh]),
        "short_kwh": np.array([[0.4 * energy_kwh, 0.6 * energy_kwh]]),
        "short_eur_per_kwh": np.array([[10.0, 12.0]]),
        "early_eur_per_kwh_step": np.array([0.0]),
    }
    return changed(plain(cars=1), "cars", **(defaults | columns))


BASE_EUR = 0.25 * (0.2 + 0.1 + 0.3 + 0.4)


def test_a_car_takes_the_cheapest_steps_it_is_there_for():
    found = oracle.solve(one_car(2.0))
    assert found.car_a[0] == pytest.approx([0.275 / 0.1725, 10.0, 0.0, 0.0], abs=1e-6)
    assert found.objective_eur == pytest.approx(BASE_EUR + 1.725 * 0.1 + 0.275 * 0.2)
    assert found.car_value_eur_per_kwh == pytest.approx([0.2])


def test_what_does_not_fit_is_short_and_the_cheap_share_of_it_goes_first():
    found = oracle.solve(one_car(8.0))
    missing = 8.0 - 3 * 1.725
    assert found.shortage_kwh == pytest.approx([missing])
    assert found.objective_eur == pytest.approx(BASE_EUR + 1.725 * 0.6 + 10.0 * missing)
    assert found.car_value_eur_per_kwh == pytest.approx([10.0])


def test_first_and_last_step_count_for_the_share_the_car_is_there():
    instance = one_car(8.0, first_share=np.array([0.5]), end_share=np.array([0.2]))
    assert oracle.solve(instance).car_a[0] == pytest.approx([5.0, 10.0, 2.0, 0.0], abs=1e-6)


def test_one_step_in_which_a_car_comes_and_goes_counts_for_both_shares():
    shares = {"first_share": np.array([0.8]), "end_share": np.array([0.5])}
    found = oracle.solve(one_car(8.0, end=np.array([1]), **shares))
    assert found.car_a[0] == pytest.approx([4.0, 0.0, 0.0, 0.0], abs=1e-6)


def test_a_partial_first_step_holds_less_energy():
    instance = changed(one_car(8.0), "grid", dt_h=np.array([0.05, 0.25, 0.25, 0.25]))
    assert oracle.solve(instance).shortage_kwh == pytest.approx([8.0 - 6.9 * 0.55])


@pytest.mark.parametrize("phase", [0, 1, 2])
@pytest.mark.parametrize("circuit", [0, 1])
def test_every_circuit_above_a_car_holds_on_every_phase(circuit: int, phase: int):
    instance = changed(
        one_car(8.0, circuit=np.array([1])),
        "grid",
        parent=np.array([-1, 0]),
        headroom_a=np.full((2, 3, 4), np.inf),
        feed_in_a=np.full((2, 3, 4), np.inf),
    )
    found = oracle.solve(nudged_limit(instance, "headroom_a", (circuit, phase, 1), 4.0))
    assert found.car_a[0] == pytest.approx([10.0, 4.0, 10.0, 0.0], abs=1e-6)
    unused = changed(instance, "cars", wired=np.roll(np.array([[0.0, 1.0, 1.0]]), phase, axis=1))
    free = oracle.solve(nudged_limit(unused, "headroom_a", (circuit, phase, 1), 0.0))
    assert free.car_a[0] == pytest.approx([10.0, 10.0, 10.0, 0.0], abs=1e-6)


def nudged_limit(instance: Instance, column: str, at: Any, value: float) -> Instance:
    limits = getattr(instance.grid, column).copy()
    limits[at] = value
    return changed(instance, "grid", **{column: limits})


def test_a_sibling_circuit_does_not_matter():
    instance = changed(
        one_car(8.0, circuit=np.array([1])),
        "grid",
        parent=np.array([-1, 0, 0]),
        headroom_a=np.stack([np.full((3, 4), np.inf), np.full((3, 4), np.inf), np.zeros((3, 4))]),
        feed_in_a=np.full((3, 3, 4), np.inf),
    )
    assert oracle.solve(instance).shortage_kwh == pytest.approx([8.0 - 3 * 1.725])


def test_an_import_limit_leaves_what_the_base_load_does_not_use():
    instance = nudged_limit(one_car(8.0), "import_limit_kw", 1, 4.45)
    found = oracle.solve(instance)
    assert found.car_a[0] == pytest.approx([10.0, 5.0, 10.0, 0.0], abs=1e-6)
    assert found.beyond_kw == pytest.approx(0.0, abs=1e-9)


def test_a_limit_below_the_base_load_is_exceeded_by_the_base_load_alone():
    found = oracle.solve(nudged_limit(one_car(8.0), "import_limit_kw", 1, 0.4))
    assert found.car_a[0] == pytest.approx([10.0, 0.0, 10.0, 0.0], abs=1e-6)
    assert found.beyond_kw == pytest.approx(0.6)
    assert found.objective_eur == pytest.approx(
        BASE_EUR + 1.725 * 0.5 + 10.0 * (0.4 * 8.0) + 12.0 * (4.8 - 3.45) - 12.0 * 0.0 + 0.25 * 1000.0 * 0.6
    )


def test_the_peak_counts_what_its_quarter_imported_before():
    instance = changed(
        one_car(3.0),
        "grid",
        dt_h=np.array([0.1, 0.25, 0.25, 0.25]),
        import_eur_per_kwh=np.full(4, 0.2),
        peak_eur_per_kw=2.0,
        already_kwh=0.9,
    )
    found = oracle.solve(instance)
    # Three quarters with the same mean: 0.9 kWh, the car's 3 kWh and 0.6 kWh of base load in 0.75 h.
    assert found.peak_kw == pytest.approx(6.0)
    assert found.import_kw == pytest.approx([6.0, 6.0, 6.0, 1.0])
    floored = oracle.solve(changed(instance, "grid", peak_floor_kw=20.0))
    assert floored.peak_kw == pytest.approx(20.0)


def test_a_peak_below_its_floor_is_free():
    instance = changed(one_car(5.0), "grid", peak_eur_per_kw=8.0, peak_floor_kw=30.0)
    assert oracle.solve(instance).objective_eur == pytest.approx(oracle.solve(one_car(5.0)).objective_eur + 240.0)


def test_a_battery_pays_its_losses_and_wear_before_it_trades():
    columns: dict[str, Any] = {
        "charge_kw": np.array([4.0]),
        "discharge_kw": np.array([1.0]),
        "charge_efficiency": np.array([0.9]),
        "discharge_efficiency": np.array([0.8]),
        "soc_kwh": np.array([1.0]),
        "floor_kwh": np.array([1.0]),
        "capacity_kwh": np.array([20.0]),
        "terminal_eur_per_kwh": np.array([0.0]),
    }
    # Bought at 0.10, one kWh discharged at 0.40 costs 0.1 / 0.72 and the wear on both sides.
    for wear, trades in ((0.05, True), (0.2, False)):
        instance = changed(plain(batteries=1), "batteries", wear_eur_per_kwh=np.array([wear]), **columns)
        found = oracle.solve(instance)
        assert (found.discharge_kw[0, 3] > 0.99) == trades
        assert (found.charge_kw[0, 1] > 0.1) == trades
        if trades:
            assert found.soc_kwh[0, 3] == pytest.approx(1.0)


def test_a_battery_out_of_bounds_is_led_back_as_fast_as_it_can():
    columns: dict[str, Any] = {
        "charge_kw": np.array([4.0]),
        "charge_efficiency": np.array([1.0]),
        "soc_kwh": np.array([0.0]),
        "floor_kwh": np.array([1.5]),
        "capacity_kwh": np.array([20.0]),
    }
    found = oracle.solve(changed(plain(batteries=1), "batteries", **columns))
    assert found.charge_kw[0, :2] == pytest.approx([4.0, found.charge_kw[0, 1]])
    assert found.soc_kwh[0, :2] == pytest.approx([1.0, max(1.5, found.soc_kwh[0, 1])])


def test_pv_is_curtailed_when_feeding_in_costs_money():
    instance = changed(
        plain(plants=1),
        "solar",
        available_kw=np.full((1, 4), 5.0),
    )
    grid = {"base_kw": np.full(4, -4.0), "export_eur_per_kwh": np.array([0.05, -0.1, 0.05, 0.05])}
    found = oracle.solve(changed(instance, "grid", **grid))
    assert found.curtailed_kw[0] == pytest.approx([0.0, 4.0, 0.0, 0.0], abs=1e-9)


def test_a_buffer_keeps_its_band_and_loses_heat():
    columns: dict[str, Any] = {
        "power_kw": np.array([2.0]),
        "cop": np.full((1, 4), 3.0),
        "demand_kwh": np.full((1, 4), 0.5),
        "keep": np.array([0.9]),
        "heat_kwh": np.array([4.0]),
        "low_kwh": np.array([3.0]),
        "high_kwh": np.array([6.0]),
        "comfort_eur_per_kwh": np.array([50.0]),
        "terminal_eur_per_kwh": np.array([0.0]),
    }
    found = oracle.solve(changed(plain(buffers=1), "buffers", **columns))
    heat, expected = 4.0, []
    for power in found.buffer_kw[0]:
        heat = 0.9 * heat + 3.0 * power * 0.25 - 0.5
        expected.append(heat)
    assert found.heat_kwh[0] == pytest.approx(expected)
    assert found.heat_kwh.min() >= 3.0 - 1e-7
    assert found.buffer_kw[0, 1:] == pytest.approx([2.0, 0.0, 0.0], abs=1e-7)
    assert found.heat_kwh[0, 3] == pytest.approx(3.0)


def test_a_run_starts_where_it_is_cheapest():
    columns = {
        "profile_kw": np.array([[2.0, 4.0]]),
        "earliest": np.array([0]),
        "latest": np.array([2]),
    }
    found = oracle.solve(changed(plain(runs=1), "runs", **columns))
    assert found.run_kw[0] == pytest.approx([2.0, 4.0, 0.0, 0.0], abs=1e-9)
    late = oracle.solve(changed(plain(runs=1), "runs", **(columns | {"earliest": np.array([1])})))
    assert late.run_kw[0] == pytest.approx([0.0, 2.0, 4.0, 0.0], abs=1e-9)


def test_the_previous_plan_is_kept_until_moving_pays():
    previous = np.array([[0.0, 0.0, 10.0]])
    for churn, kept in ((0.15, True), (0.05, False)):
        instance = one_car(1.725, previous_a=previous, churn_eur_per_kwh=churn)
        # Moving 1.725 kWh costs it twice, and saves 0.20 EUR/kWh.
        assert (oracle.solve(instance).car_a[0, 2] > 9.9) == kept


def test_a_car_that_feeds_back_sells_dear_and_is_charged_when_it_leaves():
    columns: dict[str, Any] = {
        "end": np.array([4]),
        "discharge_a": np.array([10.0]),
        "soc_kwh": np.array([10.0]),
        "floor_kwh": np.array([2.0]),
        "capacity_kwh": np.array([20.0]),
        "efficiency": np.array([0.9]),
        "wear_eur_per_kwh": np.array([0.01]),
        "terminal_eur_per_kwh": np.array([0.0]),
    }
    instance = changed(
        one_car(0.5, **columns), "grid", base_kw=np.full(4, 8.0), import_eur_per_kwh=np.array([0.5, 0.1, 0.1, 0.1])
    )
    found = oracle.solve(instance)
    assert found.car_discharge_a[0, 0] == pytest.approx(10.0)
    gained = 0.9 * 0.1725 * found.car_a.sum() - 0.1725 * found.car_discharge_a.sum() / 0.9
    assert gained == pytest.approx(0.5)


WITH_STORES = [recipe for recipe in map(recipe_of, range(40)) if recipe.cars + recipe.batteries + recipe.buffers]


def wanting(instance: Instance, i: int, by_kwh: float) -> Instance:
    """Car ``i`` wants that much more; where it can feed back, it holds that much less."""
    if instance.cars.discharge_a[i] > 0.0:
        instance = nudged(instance, "cars", "soc_kwh", i, -by_kwh)
    dearest = np.flatnonzero(instance.cars.short_kwh[i] > 0)[-1]
    return nudged(nudged(instance, "cars", "energy_kwh", i, by_kwh), "cars", "short_kwh", (i, dearest), by_kwh)


@pytest.mark.parametrize("recipe", WITH_STORES[:8], ids=lambda recipe: str(recipe.seed))
def test_values_are_slopes_of_the_objective(recipe: Recipe):
    """At a corner the value lies between the two slopes."""
    instance = instance_of(recipe)
    found = oracle.solve(instance)
    checks: list[tuple[float, tuple[float, float]]] = []
    for i in np.flatnonzero(instance.cars.energy_kwh > 0.1)[:2]:
        plus, minus = (wanting(instance, int(i), by) for by in (KWH_CHANGE, -KWH_CHANGE))
        checks.append((found.car_value_eur_per_kwh[i], slopes(plus, instance, minus)))
    for b in range(recipe.batteries):
        plus, minus = (nudged(instance, "batteries", "soc_kwh", b, by) for by in (-KWH_CHANGE, KWH_CHANGE))
        checks.append((found.battery_value_eur_per_kwh[b, 0], slopes(plus, instance, minus)))
    for h in range(recipe.buffers):
        at = (h, recipe.steps // 2)
        plus, minus = (nudged(instance, "buffers", "demand_kwh", at, by) for by in (KWH_CHANGE, -KWH_CHANGE))
        checks.append((found.buffer_value_eur_per_kwh[at], slopes(plus, instance, minus)))
    for value, (left, right) in checks:
        assert min(left, right) - 1e-3 <= value <= max(left, right) + 1e-3
