"""Every term and every row of the model on problems that can be solved by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from optimizer.core.instance import KW_PER_A, Instance, Solution
from optimizer.core.lp import program_of
from optimizer.core.solver import LiveModel, solve
from optimizer.core.verify import verify
from tests.optimizer.tiny import (
    KW_PER_A_1,
    KW_PER_A_3,
    SLACK_EUR_PER_KWH,
    THREE,
    batteries,
    buffers,
    plants,
    runs,
    tiny,
    with_cars,
)


def solved(instance: Instance) -> Solution:
    """The plan, which keeps every row and is optimal."""
    found = solve(instance)
    assert found.status == "optimal"
    assert verify(instance, found) == []
    return found


def test_an_empty_site_costs_what_its_load_costs():
    found = solved(tiny([0.3, 0.2], base_kw=np.array([2.0, -1.0])))
    assert found.objective_eur == pytest.approx(0.6 - 0.15)
    assert found.import_kw == pytest.approx([2.0, 0.0])
    assert found.export_kw == pytest.approx([0.0, 1.0])


def test_a_car_charges_when_power_is_cheapest():
    found = solved(with_cars(tiny([0.3, 0.1, 0.2]), 15.0))
    most_kwh = 16 * KW_PER_A_3
    assert found.car_a[0] == pytest.approx([0.0, 16.0, (15.0 - most_kwh) / KW_PER_A_3])
    assert found.objective_eur == pytest.approx(0.1 * most_kwh + 0.2 * (15.0 - most_kwh))
    assert found.car_value_eur_per_kwh == pytest.approx([0.2])


def test_what_cannot_be_had_is_short_and_costs_what_its_tiers_cost():
    short = {"short_kwh": np.array([[4.0, 30.0]]), "short_eur_per_kwh": np.array([[10.0, 12.0]])}
    found = solved(with_cars(tiny([0.1]), 34.0, **short))
    missing = 34.0 - 16 * KW_PER_A_3
    assert found.shortage_kwh == pytest.approx([missing])
    assert found.objective_eur == pytest.approx(1.6 * KW_PER_A_3 + 10 * 4 + 12 * (missing - 4))
    assert found.car_value_eur_per_kwh == pytest.approx([12.0])


def test_a_convex_shortage_is_shared():
    tiers = {"short_kwh": np.full((2, 2), 6.0), "short_eur_per_kwh": np.tile([10.0, 12.0], (2, 1))}
    site = tiny([0.1], headroom_a=np.full((1, 3, 1), 16.0))
    found = solved(with_cars(site, 12.0, 12.0, **tiers))
    assert found.shortage_kwh.sum() == pytest.approx(24 - 16 * KW_PER_A_3)
    assert (found.shortage_kwh >= 6.0 - 1e-6).all(), "the cheap tier of both comes first"


def test_a_window_and_its_shares_bound_the_current():
    found = solved(with_cars(tiny([0.1] * 4), 100.0, first=1, end=3, first_share=0.5, end_share=0.25))
    assert found.car_a[0] == pytest.approx([0.0, 8.0, 4.0, 0.0])


def test_a_short_first_step_carries_its_share_of_energy():
    found = solved(with_cars(tiny([0.1, 0.2], dt_h=np.array([0.25, 1.0])), 4.0))
    assert found.car_a[0, 0] == pytest.approx(16.0)
    assert found.car_a[0, 1] * KW_PER_A_3 == pytest.approx(4.0 - 4.0 * KW_PER_A_3)


def test_early_is_better_when_nothing_else_decides():
    found = solved(with_cars(tiny([0.1] * 3), 5.0, early_eur_per_kwh_step=1e-3))
    assert found.car_a[0] == pytest.approx([5.0 / KW_PER_A_3, 0.0, 0.0])


def test_a_wish_not_to_move_keeps_the_previous_plan():
    wish = {"previous_a": np.array([[3.0, 2.0]]), "churn_eur_per_kwh": 0.01}
    site = tiny([0.1, 0.1, 0.1])
    found = solved(with_cars(site, 10 * KW_PER_A_3, **wish))
    assert found.car_a[0] == pytest.approx([3.0, 2.0, 5.0])
    assert found.objective_eur == pytest.approx(KW_PER_A_3)
    # 2 ct of advantage are worth moving for.
    site = tiny([0.1, 0.15, 0.12])
    found = solved(with_cars(site, 10 * KW_PER_A_3, **wish))
    assert found.car_a[0] == pytest.approx([10.0, 0.0, 0.0])
    assert found.objective_eur == pytest.approx(KW_PER_A_3 * (1.0 + 0.01 * (7 + 2)))


@pytest.mark.parametrize("before", [-5.0, 0.0, 7.0, 40.0])
def test_the_price_of_moving_counts_from_wherever_the_plan_was(before):
    wish = {"previous_a": np.array([[before]]), "churn_eur_per_kwh": 0.01}
    found = solved(with_cars(tiny([0.1, 0.5]), 9 * KW_PER_A_3, **wish))
    assert found.car_a[0] == pytest.approx([9.0, 0.0])
    assert found.objective_eur == pytest.approx(KW_PER_A_3 * (0.9 + 0.01 * abs(9.0 - before)))


def test_the_peak_is_paid_above_its_floor_and_counts_what_was_used_already():
    site = tiny([0.1, 0.1], peak_eur_per_kw=5.0, peak_floor_kw=3.0)
    found = solved(with_cars(site, 10.0))
    assert found.peak_kw == pytest.approx(5.0)
    assert found.objective_eur == pytest.approx(1.0 + 25.0)
    site = tiny([0.1, 0.1], peak_eur_per_kw=5.0, peak_floor_kw=3.0, dt_h=np.array([0.5, 1.0]), already_kwh=4.0)
    found = solved(with_cars(site, 10.0))
    # 4 kWh of the first hour are used: 7 kW in each leave 3 kWh for its second half.
    assert found.peak_kw == pytest.approx(7.0)
    assert found.import_kw == pytest.approx([6.0, 7.0])


def test_each_billing_period_has_its_own_peak():
    site = tiny([0.1, 0.1, 0.1], peak_eur_per_kw=5.0, peak_floor_kw=8.0, next_month=2, next_floor_kw=1.0)
    found = solved(with_cars(site, 18.0))
    # Up to 8 kW twice costs nothing, nor 1 kW in the month after that; the last kWh raises the peak that has two hours.
    assert found.import_kw == pytest.approx([8.5, 8.5, 1.0])
    assert found.peak_kw == pytest.approx([8.5, 1.0])
    assert found.objective_eur == pytest.approx(1.8 + 5.0 * (8.5 + 1.0))
    dear = solved(with_cars(site, 1.5, first=2))
    assert dear.peak_kw == pytest.approx([8.0, 1.5])


def test_a_power_limit_binds_the_sum_of_the_phases():
    """One car on L1 alone may have what two other phases leave unused; per phase it would be a third of that."""
    room = np.full((1, 4, 1), np.inf)
    room[0, 3] = 30.0
    one = {"wired": np.array([[1.0, 0.0, 0.0]]), "kw_per_a": KW_PER_A_1, "max_a": 32.0}
    found = solved(with_cars(tiny([0.1], headroom_a=room, feed_in_a=np.full((1, 4, 1), np.inf)), 9.0, **one))
    assert found.car_a[0] == pytest.approx([30.0])
    both = {"wired": np.array([[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]]), "kw_per_a": np.array([KW_PER_A_1, KW_PER_A_3])}
    prices = {"short_eur_per_kwh": np.array([[20.0], [10.0]])}
    site = tiny([0.1], headroom_a=room, feed_in_a=np.full((1, 4, 1), np.inf))
    found = solved(with_cars(site, 12 * KW_PER_A_1, 9.0, **both, **prices))
    assert found.car_a[:, 0] == pytest.approx([12.0, 6.0])


def test_a_battery_makes_room_below_a_power_limit():
    room = np.full((1, 4, 1), np.inf)
    room[0, 3] = 30.0
    site = tiny([0.1], headroom_a=room, feed_in_a=np.full((1, 4, 1), np.inf))
    found = solved(replace(with_cars(site, 11.0), batteries=batteries(1, discharge_kw=KW_PER_A_1 * 9)))
    assert found.car_a[0] == pytest.approx([13.0])


def test_a_battery_buys_low_and_sells_high_within_its_losses_and_wear():
    store = batteries(1, soc_kwh=0.0, charge_efficiency=0.9, discharge_efficiency=0.8, wear_eur_per_kwh=0.01)
    found = solved(replace(tiny([0.1, 0.5], base_kw=np.full(2, 10.0)), batteries=store))
    assert found.soc_kwh[0] == pytest.approx([4.5, 0.0], abs=1e-9)
    assert found.discharge_kw[0, 1] == pytest.approx(3.6)
    assert found.objective_eur == pytest.approx(0.1 * 15 + 0.5 * 6.4 + 0.01 * 8.6)
    assert found.battery_value_eur_per_kwh[0] == pytest.approx([0.8 * 0.49] * 2)


def test_what_a_battery_holds_at_the_end_has_its_price():
    store = batteries(1, terminal_eur_per_kwh=0.3)
    found = solved(replace(tiny([0.2]), batteries=store))
    assert found.soc_kwh[0, 0] == pytest.approx(10.0)
    assert found.objective_eur == pytest.approx(0.2 * 5 - 0.3 * 10)
    assert found.battery_value_eur_per_kwh[0, 0] == pytest.approx(0.2)


@pytest.mark.parametrize(("soc", "outside"), [(-2.0, [0.0]), (13.0, [0.0]), (18.0, [3.0])])
def test_a_state_outside_its_bounds_is_led_back_as_fast_as_the_power_allows(soc, outside):
    site = replace(tiny([0.2]), batteries=batteries(1, soc_kwh=soc))
    found = solved(site)
    assert max(0.0, found.soc_kwh[0, 0] - 10.0, -found.soc_kwh[0, 0]) == pytest.approx(outside[0], abs=1e-6)


def test_a_car_feeds_back_when_it_pays_and_leaves_with_what_it_wanted():
    car = {
        "discharge_a": 10.0, "soc_kwh": 20.0, "floor_kwh": 15.0, "capacity_kwh": 60.0, "efficiency": 0.9,
        "wear_eur_per_kwh": 0.02,
    }  # fmt: skip
    site = tiny([0.6, 0.1], base_kw=np.full(2, 8.0))
    found = solved(with_cars(site, 2.0, **car))
    assert found.car_discharge_a[0, 0] == pytest.approx(min(10.0, 5.0 * 0.9 / KW_PER_A_3))
    back_kw = found.car_discharge_a[0, 0] * KW_PER_A_3
    charged_kw = found.car_a[0, 1] * KW_PER_A_3
    assert charged_kw * 0.9 == pytest.approx(2.0 + back_kw / 0.9)
    assert found.objective_eur == pytest.approx(0.6 * (8 - back_kw) + 0.1 * (8 + charged_kw) + 0.02 * back_kw)


def test_pv_is_curtailed_where_export_costs():
    found = solved(replace(tiny([-0.01, 0.2], base_kw=np.array([-5.0, -5.0])), solar=plants(2, [7.0, 7.0])))
    assert found.curtailed_kw[0] == pytest.approx([7.0, 0.0])
    assert found.objective_eur == pytest.approx(-0.01 * 2 - 0.15 * 5)


def test_heat_is_made_when_power_is_cheap_and_keeps_its_band():
    heat = buffers(2, 1, heat_kwh=4.0, power_kw=3.0, demand_kwh=[[3.0, 3.0]])
    found = solved(replace(tiny([0.1, 0.4]), buffers=heat))
    assert found.heat_kwh[0] == pytest.approx([7.0, 4.0])
    assert found.buffer_kw[0] == pytest.approx([2.0, 0.0])
    assert found.buffer_value_eur_per_kwh[0, 0] == pytest.approx(0.1 / 3)
    cold = solved(replace(tiny([0.1, 0.4]), buffers=buffers(2, 1, heat_kwh=0.0, power_kw=1.0, keep=0.5)))
    # 3 kWh after one hour, 1.5 + 3 after two: 1 kWh too cold for one hour.
    assert cold.heat_kwh[0, 0] == pytest.approx(3.0)
    assert cold.objective_eur == pytest.approx(0.1 + 0.4 * (2.5 / 3) + 2.0)


def test_a_run_starts_once_where_it_costs_least():
    found = solved(replace(tiny([0.3, 0.1, 0.2, 0.1]), runs=runs([2.0, 1.0], latest=2)))
    assert found.run_kw[0] == pytest.approx([0.0, 2.0, 1.0, 0.0])
    assert found.objective_eur == pytest.approx(0.4)


def test_a_run_that_the_relaxation_mixes_gets_one_start():
    site = tiny([0.1, 0.1], peak_eur_per_kw=5.0)
    found = solved(replace(site, runs=runs([4.0], latest=1)))
    assert found.bound_eur == pytest.approx(0.4 + 5.0 * 2.0)
    assert sorted(found.run_kw[0]) == pytest.approx([0.0, 4.0])
    assert found.objective_eur == pytest.approx(0.4 + 5.0 * 4.0)


def test_every_circuit_and_phase_has_its_limit():
    parent = np.array([-1, 0, 1])
    headroom = np.full((3, 3, 1), np.inf)
    headroom[0, 1], headroom[1, 0], headroom[2, 2] = 25.0, 20.0, 7.0
    site = tiny([0.1], parent=parent, headroom_a=headroom, feed_in_a=np.full((3, 3, 1), np.inf))
    wired = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]], dtype=float)
    cars = {"wired": wired, "kw_per_a": KW_PER_A_1 * wired.sum(axis=1), "circuit": np.array([1, 0, 2, 1])}
    found = solved(with_cars(site, *[100.0] * 4, **cars))
    one, two, three, all_ = found.car_a[:, 0]
    assert three == pytest.approx(7.0)
    assert one + all_ == pytest.approx(20.0)
    assert two + all_ == pytest.approx(25.0)
    assert found.shortage_kwh.sum() == pytest.approx(400 - KW_PER_A_1 * (one + two + three + 3 * all_))
    assert all_ == pytest.approx(16.0), "three conductors carry more through the same limits"


def test_feeding_in_has_its_limit_too():
    feed_in = np.full((1, 3, 1), np.inf)
    feed_in[0, 2] = 3.0
    found = solved(replace(tiny([0.5], feed_in_a=feed_in), batteries=batteries(1)))
    assert found.discharge_kw[0, 0] * THREE[2] == pytest.approx(3.0)


def test_import_and_export_limits_hold():
    found = solved(with_cars(tiny([0.1, 0.1], import_limit_kw=np.array([4.0, 6.0])), 100.0))
    assert found.import_kw == pytest.approx([4.0, 6.0])
    site = tiny([0.3], export_limit_kw=np.array([2.0]))
    assert solved(replace(site, batteries=batteries(1))).export_kw == pytest.approx([2.0])


def test_a_limit_below_the_load_is_broken_by_the_load_and_by_nothing_else():
    headroom, feed_in = np.full((1, 3, 2), -2.0), np.full((1, 3, 2), 10.0)
    headroom[:, :, 1] = 4.0
    site = tiny(
        [0.1, 0.1], base_kw=np.array([9.0, 3.0]), headroom_a=headroom, feed_in_a=feed_in,
        import_limit_kw=np.array([5.0, 100.0]),
    )  # fmt: skip
    found = solved(with_cars(site, 100.0))
    assert found.car_a[0] == pytest.approx([0.0, 4.0])
    assert found.beyond_kw == pytest.approx(3 * 2.0 * KW_PER_A + 4.0)
    paid = 0.1 * (9.0 + 3.0 + 4.0 * KW_PER_A_3) + 10.0 * found.shortage_kwh[0]
    assert found.objective_eur == pytest.approx(paid + SLACK_EUR_PER_KWH * found.beyond_kw)
    # A battery helps as far as it can.
    helped = solved(replace(site, batteries=batteries(1)))
    assert helped.beyond_kw == pytest.approx(0.0, abs=1e-6)


def test_limits_that_exclude_each_other_still_give_a_plan():
    site = tiny([0.1], headroom_a=np.full((1, 3, 1), 3.0), feed_in_a=np.full((1, 3, 1), -5.0))
    found = solved(with_cars(site, 50.0))
    assert found.car_a[0] == pytest.approx([3.0])
    assert found.beyond_kw == pytest.approx(3 * 2.0 * KW_PER_A)


def test_equal_prices_both_ways_do_not_import_and_export_at_once():
    site = tiny([0.2], export_eur_per_kwh=np.array([0.2]), base_kw=np.array([3.0]))
    found = solved(replace(site, batteries=batteries(1)))
    assert min(found.import_kw[0], found.export_kw[0]) == 0.0


def test_a_negative_price_does_not_charge_and_discharge_at_once():
    store = batteries(1, charge_efficiency=0.8, discharge_efficiency=0.8)
    site = tiny([-0.3, -0.3, 0.1], export_eur_per_kwh=np.array([-0.4, -0.4, 0.05]))
    site = replace(site, batteries=store)
    relaxed = LiveModel.build(site).relax()
    assert relaxed is not None
    found = solved(site)
    assert np.minimum(found.charge_kw, found.discharge_kw).max() == 0.0
    assert found.objective_eur > found.bound_eur + 1e-3, "burning energy would have paid, so the test can fail"


def test_rows_that_cannot_bind_are_not_there():
    wide = with_cars(tiny([0.1] * 4, headroom_a=np.full((1, 3, 4), 33.0)), 10.0, 10.0)
    assert len(program_of(wide).layout.kept) == 0
    narrow = with_cars(tiny([0.1] * 4, headroom_a=np.full((1, 3, 4), 31.0)), 10.0, 10.0)
    assert len(program_of(narrow).layout.kept) == 12
    # One car's limit is its own bound, and what the children's limits let through is all that a parent can see.
    parent, headroom = np.array([-1, 0, 0]), np.full((3, 3, 4), 10.0)
    headroom[0] = 20.0
    tree = tiny([0.1] * 4, parent=parent, headroom_a=headroom, feed_in_a=np.full((3, 3, 4), 50.0))
    each = with_cars(tree, 100.0, 100.0, circuit=np.array([1, 2]))
    assert len(program_of(each).layout.kept) == 0
    assert solved(each).car_a == pytest.approx(np.full((2, 4), 10.0))
    pairs = with_cars(tree, *[100.0] * 4, circuit=np.array([1, 1, 2, 2]))
    assert (program_of(pairs).layout.kept >= 12).all(), "the rows of both children, none of the connection"
    assert len(program_of(pairs).layout.kept) == 24
    assert solved(pairs).car_a.sum(axis=0) == pytest.approx(np.full(4, 20.0))


def test_columns_are_there_inside_windows_only():
    site = with_cars(tiny([0.1] * 6), 5.0, 5.0, first=np.array([1, 4]), end=np.array([3, 5]))
    assert len(program_of(site).layout.cells.car) == 3
