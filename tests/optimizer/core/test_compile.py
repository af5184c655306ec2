"""From a problem to numbers: the clock, prices, limits, background, priorities."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from interfaces.domain.topology import Asset, AssetKind, Circuit, build_topology
from optimizer.core.compile import Compiled, compile_problem
from optimizer.core.compile_steps import filled, holds, laid, steps_of
from optimizer.core.problem import (
    ArrivalForecast,
    CircuitForecast,
    Forecast,
    PreviousPlan,
    Problem,
    PvForecast,
    Settings,
)
from optimizer.core.problem_facts import BufferFacts, CircuitFacts, facts_of
from optimizer.core.problem_money import (
    Capacity,
    Carbon,
    CircuitLimit,
    Contract,
    LimitBlock,
    OperatorLimit,
    PricedBlock,
    TimeOfUse,
)
from optimizer.core.problem_state import BufferState, Run, Target, Vehicle
from optimizer.core.problem_types import Block
from tests.optimizer.problems import ALL, HOUR, NOW, dynamic, evse, fixed, problem, session, site, with_battery, with_pv

BRUSSELS = "Europe/Brussels"
A_PER_KW = 1000 / 230 / 3
"""Three phases, evenly."""


def at(text: str, zone: str = BRUSSELS) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def grid_of(base: Problem) -> Compiled:
    return compile_problem(base)


# The clock.


def test_the_first_step_is_what_is_left_of_its_quarter():
    steps = steps_of(NOW + 420, 4, BRUSSELS)
    assert steps.quarter_epoch_s[0] == NOW
    assert steps.dt_h.tolist() == [480 / 3600, 0.25, 0.25, 0.25]
    assert steps.begin_epoch_s.tolist() == [NOW + 420, NOW + 900, NOW + 1800, NOW + 2700]


def test_a_step_that_is_nearly_over_stays_a_number_the_solver_can_see():
    assert steps_of(NOW + 899.9999, 2, BRUSSELS).dt_h[0] == 1 / 3600


@pytest.mark.parametrize(("day", "quarters"), [("2025-10-26", 100), ("2026-03-29", 92), ("2025-11-21", 96)])
def test_days_of_clock_changes_have_92_and_100_quarters(day: str, quarters: int):
    steps = steps_of(at(f"{day}T00:00"), 110, BRUSSELS)
    weekday = datetime.fromisoformat(day).weekday()
    assert int((steps.weekday == weekday).sum()) == quarters


def test_a_local_block_follows_the_clock_over_its_change():
    """22:00 to 06:00 in the night that has 03:00 twice: 36 quarters; in the one that leaves 02:00 out: 28."""
    night = Block("22:00", "06:00")
    for begin, quarters in (("2025-10-25T12:00", 36), ("2026-03-28T12:00", 28), ("2025-11-20T12:00", 32)):
        steps = steps_of(at(begin), 96, BRUSSELS)
        inside = holds(steps, night, any_part=False)[: 20 * 4]
        assert int(inside.sum()) == quarters


def test_a_block_past_midnight_belongs_to_the_day_it_begins_on():
    steps = steps_of(at("2025-11-21T00:00"), 192, BRUSSELS)  # Friday and Saturday
    friday = holds(steps, Block("22:00", "02:00", ("fri",)), any_part=False)
    hours = [(int(d), int(m) // 60) for d, m, inside in zip(steps.weekday, steps.minute, friday, strict=True) if inside]
    assert sorted(set(hours)) == [(4, 22), (4, 23), (5, 0), (5, 1)]


def test_a_limit_that_covers_a_step_in_part_keeps_it_whole():
    steps = steps_of(at("2025-11-21T10:00"), 8, BRUSSELS)
    block = Block("10:20", "10:25")
    assert np.flatnonzero(holds(steps, block, any_part=True)).tolist() == [1]
    assert not holds(steps, block, any_part=False).any()


def test_columns_are_laid_on_the_clock():
    steps = steps_of(NOW + 100, 6, BRUSSELS)
    hourly = laid((1.0, 2.0), NOW - 1800, 3600, steps)
    assert hourly.tolist()[:4] == [1.0, 1.0, 2.0, 2.0]
    assert np.isnan(laid((1.0, 2.0), NOW - 1800, 900, steps)).all()
    assert laid((None, 3.0), NOW, 900, steps)[1] == 3.0


def test_gaps_are_filled_from_the_day_before_else_from_their_neighbours():
    column = np.arange(192.0)
    column[100] = column[150] = np.nan
    assert filled(column, True)[100] == 4.0
    short = np.array([1.0, np.nan, np.nan, 4.0, np.nan])
    assert filled(short, True).tolist() == [1.0, 4.0, 4.0, 4.0, 4.0]
    assert filled(short, False).tolist() == [1.0, 1.0, 1.0, 4.0, 4.0]
    assert np.isnan(filled(np.full(3, np.nan), True)).all()


# Prices.


def test_import_costs_energy_markup_fees_taxes_and_vat():
    tariff = dynamic(
        *[0.1] * 48, markup_eur_per_kwh=0.01, grid_eur_per_kwh=0.04, taxes_eur_per_kwh=0.05, vat_pct=21.0,
        export_share=0.9, export_eur_per_kwh=-0.02,
    )  # fmt: skip
    grid = grid_of(problem(session("a"), tariff=tariff)).instance.grid
    assert grid.import_eur_per_kwh[0] == pytest.approx(0.2 * 1.21)
    assert grid.export_eur_per_kwh[0] == pytest.approx(0.07)


def test_time_of_use_and_grid_blocks_by_the_sites_clock():
    """It is 15:00 on site; the day price ends at 21:00, the evening fee is 17:00 to 20:00."""
    tariff = fixed(
        energy=TimeOfUse("time_of_use", 0.2, (PricedBlock(Block("07:00", "21:00"), 0.3),)),
        grid_blocks=(PricedBlock(Block("17:00", "20:00"), 0.1),),
    )
    price = grid_of(problem(session("a"), tariff=tariff)).instance.grid.import_eur_per_kwh
    assert price[[0, 7, 8, 19, 20, 23, 24]].tolist() == pytest.approx([0.3, 0.3, 0.4, 0.4, 0.3, 0.3, 0.2])


def test_prices_of_minus_500_and_plus_4000_eur_per_mwh_are_taken_as_they_are():
    prices = [-0.5, 4.0] * 24
    grid = grid_of(problem(session("a"), tariff=dynamic(*prices))).instance.grid
    assert grid.import_eur_per_kwh.tolist() == prices


def test_missing_prices_are_those_of_other_days_and_told():
    known = [0.1 * (k % 7) for k in range(96)]
    compiled = grid_of(problem(session("a"), steps=192, tariff=dynamic(*known)))
    assert compiled.instance.grid.import_eur_per_kwh[96:].tolist() == pytest.approx(known)
    assert "no price is known for 96 of 192 steps: those of other days are used" in compiled.notes


def test_no_price_at_all_still_gives_a_plan():
    compiled = grid_of(problem(session("a"), tariff=dynamic()))
    assert set(compiled.instance.grid.import_eur_per_kwh.tolist()) == {0.0}
    assert "no price is known: every hour counts alike" in compiled.notes


def test_export_dearer_than_import_is_clamped_and_told():
    compiled = grid_of(problem(session("a"), tariff=fixed(0.1, export_eur_per_kwh=0.3)))
    grid = compiled.instance.grid
    assert (grid.export_eur_per_kwh < grid.import_eur_per_kwh).all()
    assert "export is dearer than import in 48 steps: it counts as import there" in compiled.notes


def test_carbon_weighs_on_import():
    tariff = fixed(0.1, carbon=Carbon(NOW, (200.0,) * 48, 100.0))
    assert grid_of(problem(session("a"), tariff=tariff)).instance.grid.import_eur_per_kwh[0] == pytest.approx(0.12)


def test_the_peak_begins_at_the_realised_one_less_the_margin():
    capacity = Capacity(4.0, floor_kw=2.5, realised_kw=30.0, month="2025-11", margin_kw=2.0)
    grid = grid_of(problem(session("a"), tariff=fixed(capacity=capacity))).instance.grid
    assert (grid.peak_eur_per_kw, grid.peak_floor_kw) == (4.0, 28.0)


def test_the_floor_of_the_capacity_tariff_counts_where_nothing_was_realised():
    capacity = Capacity(4.0, floor_kw=2.5)
    assert grid_of(problem(session("a"), tariff=fixed(capacity=capacity))).instance.grid.peak_floor_kw == 2.5


def test_a_new_month_begins_anew():
    capacity = Capacity(4.0, floor_kw=2.5, realised_kw=30.0, month="2025-10")
    compiled = grid_of(problem(session("a"), tariff=fixed(capacity=capacity)))
    assert compiled.instance.grid.peak_floor_kw == 2.5
    assert any("that of 2025-10: in 2025-11 it begins anew" in note for note in compiled.notes)


def test_the_billing_month_is_the_sites_own():
    """23:30 UTC on 30 November is December in Brussels."""
    now = at("2025-12-01T00:30")
    base = problem(session("a"), tariff=fixed(capacity=Capacity(4.0, 2.5, 30.0, "2025-12")))
    moved = replace(base, now_epoch_s=now, forecast=replace(base.forecast, start_epoch_s=now - 1800))
    assert compile_problem(moved).instance.grid.peak_floor_kw == 30.0


def test_a_month_that_ends_inside_the_plan_has_its_own_peak():
    now = at("2025-11-30T22:00")
    capacity = Capacity(4.0, floor_kw=2.5, realised_kw=30.0, month="2025-11", margin_kw=1.0)
    base = problem(session("a"), tariff=fixed(capacity=capacity))
    moved = replace(base, now_epoch_s=now, forecast=replace(base.forecast, start_epoch_s=now))
    grid = compile_problem(moved).instance.grid
    assert (grid.next_month, grid.floors_kw.tolist()) == (8, [29.0, 1.5])
    free = replace(moved, tariff=fixed())
    assert compile_problem(free).instance.grid.next_month is None


def test_what_the_running_quarter_imported_counts():
    base = problem(session("a"), tariff=fixed(capacity=Capacity(4.0)))
    now = replace(base, now_epoch_s=NOW + 450)
    told = replace(now, state=replace(now.state, imported_in_quarter_kwh=1.25))
    assert compile_problem(told).instance.grid.already_kwh == 1.25
    assert compile_problem(now).instance.grid.already_kwh == pytest.approx(2.0 * 0.125)


# Limits and background.


def test_headroom_is_the_controllers_limit_less_the_load():
    grid = grid_of(problem(session("a"), load_kw=6.9)).instance.grid
    assert grid.headroom_a[0] == pytest.approx(np.full((3, 48), 50.0 - 6.9 * A_PER_KW))
    assert grid.headroom_a[1] == pytest.approx(np.full((3, 48), 40.0))
    assert grid.feed_in_a[0] == pytest.approx(np.full((3, 48), 50.0 + 6.9 * A_PER_KW))


def test_facts_of_a_topology_carry_its_margins():
    """63 A with 2 % margin, a meter every 3 s (1 A more), derating, contract, a slow meter, a power limit."""
    circuits = (
        Circuit("gcp", None, (63.0, 63.0, 63.0), contract_a=(50.0, 50.0, 40.0), meter="m", meter_period_s=3.0,
                max_import_w=30_000.0, background_max_a=(20.0, 20.0, 20.0)),
        Circuit("sub", "gcp", (32.0, 32.0, 32.0), derating=0.9, background_max_a=(0.0, 0.0, 0.0)),
    )  # fmt: skip
    assets = (
        Asset("e1", AssetKind.EVSE, "d", "sub", (1, 2, 0), 16.0, min_a=6.3, step_a=0.5, tier=2),
        Asset("pv", AssetKind.PV, "d", "gcp", (0, 1, 2), 0.0, max_export_a=10.0),
    )
    topology = build_topology(circuits, assets, version="v7")
    facts = facts_of(topology, site="s", time_zone=BRUSSELS)
    assert facts.circuits[0].limit_a == pytest.approx((50 - 1.26 - 1.0, 50 - 1.26 - 1.0, 40 - 1.26 - 1.0))
    assert facts.circuits[1].limit_a == pytest.approx((27.8, 27.8, 27.8))
    assert (facts.circuits[0].max_import_kw, facts.circuits[0].metered, facts.circuits[1].metered) == (
        30.0,
        True,
        False,
    )
    assert (facts.evses[0].phases, facts.evses[0].min_a, facts.evses[0].tier) == (("L2", "L3", "L1"), 6.5, 2)
    assert facts.pv[0].rated_kw == pytest.approx(6.9)
    assert facts.topology_version == "v7"


def test_load_is_split_over_phases_as_told():
    base = problem(session("a"))
    forecast = Forecast(NOW, (CircuitForecast("gcp", (4.6,) * 48, phase_share=(0.5, 0.25, 0.25)),))
    headroom = grid_of(replace(base, forecast=forecast)).instance.grid.headroom_a[0, :, 0]
    assert headroom.tolist() == pytest.approx([40.0, 45.0, 45.0])


def test_the_high_quantile_is_for_the_fuse_and_the_mean_for_the_money():
    base = problem(session("a"))
    forecast = Forecast(NOW, (CircuitForecast("gcp", (2.0,) * 48, high_kw=(6.9,) * 48),))
    grid = grid_of(replace(base, forecast=forecast)).instance.grid
    assert grid.headroom_a[0, 0, 0] == pytest.approx(40.0)
    assert grid.base_kw[0] == 2.0


def test_export_gives_no_fuse_credit_unless_it_is_firm():
    base = with_pv(problem(session("a"), load_kw=2.0), (9.0,) * 48)
    grid = grid_of(base).instance.grid
    assert grid.base_kw[0] == pytest.approx(-7.0)
    assert grid.headroom_a[0, 0, 0] == pytest.approx(50.0)
    assert grid.feed_in_a[0, 0, 0] == pytest.approx(50.0 - 7.0 * A_PER_KW)
    root = replace(base.site.circuits[0], firm_export=True)
    firm = replace(base, site=replace(base.site, circuits=(root, base.site.circuits[1])))
    assert grid_of(firm).instance.grid.headroom_a[0, 0, 0] == pytest.approx(50.0 + 7.0 * A_PER_KW)


def test_firm_room_is_what_a_low_quantile_gives():
    base = with_pv(problem(session("a"), load_kw=2.0), (9.0,) * 48)
    root = replace(base.site.circuits[0], firm_export=True)
    low = PvForecast("roof", (9.0,) * 48, low_kw=(5.0,) * 48)
    firm = replace(
        base,
        site=replace(base.site, circuits=(root, base.site.circuits[1])),
        forecast=replace(base.forecast, pv=(low,)),
    )
    assert grid_of(firm).instance.grid.headroom_a[0, 0, 0] == pytest.approx(50.0 + 3.0 * A_PER_KW)


def test_an_unmetered_circuit_counts_at_its_worst_case():
    base = problem(session("a"))
    garage = replace(base.site.circuits[1], background_max_a=(10.0, 0.0, 0.0))
    facts = replace(base.site, circuits=(base.site.circuits[0], garage))
    assert grid_of(replace(base, site=facts)).instance.grid.headroom_a[1, :, 0].tolist() == [30.0, 40.0, 40.0]


def test_of_a_circuit_nothing_is_known_of_all_the_load_may_hang_on_it():
    base = problem(session("a"), load_kw=6.9)
    garage = CircuitFacts("garage", (40.0,) * 3, parent="gcp")
    compiled = grid_of(replace(base, site=replace(base.site, circuits=(base.site.circuits[0], garage))))
    assert compiled.instance.grid.headroom_a[1, 0, 0] == pytest.approx(30.0)
    assert any(note.startswith("load of garage: there is no forecast") for note in compiled.notes)


def test_missing_steps_of_the_load_are_filled_and_told():
    base = problem(session("a"))
    forecast = Forecast(NOW, (CircuitForecast("gcp", (3.0, None, 5.0) + (2.0,) * 45),))
    compiled = grid_of(replace(base, forecast=forecast))
    assert compiled.instance.grid.base_kw[:3].tolist() == [3.0, 5.0, 5.0]
    told = "load of gcp: 1 of 48 steps of the forecast are missing, other hours stand in"
    assert compiled.notes.count(told) == 1


def test_pv_without_a_forecast_is_not_counted_on():
    base = with_pv(problem(session("a")), (None,) * 48)
    compiled = grid_of(base)
    assert compiled.instance.grid.base_kw[0] == 2.0
    assert "PV of roof: there is no forecast, so that the plan counts on nothing from it" in compiled.notes


def test_a_limit_below_the_load_is_told_and_leaves_nothing():
    compiled = grid_of(problem(session("a"), load_kw=40.0, contract=Contract(import_kw=30.0)))
    assert compiled.instance.grid.headroom_a[0, 0, 0] == pytest.approx(50 - 40 * A_PER_KW)
    assert any("circuit gcp: the load alone is up to 8.0 A above its limit" in note for note in compiled.notes)
    assert any("up to 10.0 kW above the import limit in 48 steps" in note for note in compiled.notes)


def test_cars_to_come_keep_room_from_the_next_step_on():
    base = problem(session("a"))
    forecast = replace(base.forecast, arrivals=(ArrivalForecast("garage", (6.9,) * 48),))
    grid = grid_of(replace(base, forecast=forecast)).instance.grid
    assert grid.headroom_a[1, 0, :2].tolist() == pytest.approx([40.0, 30.0])
    assert grid.headroom_a[0, 0, 1] == pytest.approx(50 - 8.9 * A_PER_KW)
    assert grid.base_kw[:2].tolist() == pytest.approx([2.0, 8.9])


def test_cars_to_come_never_take_more_than_there_is():
    base = problem(session("a"), contract=Contract(import_kw=20.0))
    forecast = replace(base.forecast, arrivals=(ArrivalForecast("garage", (500.0,) * 48),))
    grid = grid_of(replace(base, forecast=forecast)).instance.grid
    assert grid.headroom_a.min() == 0.0
    assert grid.base_kw.max() == pytest.approx(20.0)


def test_cars_to_come_on_a_one_phase_circuit_load_that_phase():
    base = problem(session("a", phases_used=("L1",)))
    garage = replace(base.site.circuits[1], limit_a=(40.0, 0.0, 0.0))
    forecast = replace(base.forecast, arrivals=(ArrivalForecast("garage", (2.3,) * 48),))
    facts = replace(base.site, circuits=(base.site.circuits[0], garage))
    grid = grid_of(replace(base, site=facts, forecast=forecast)).instance.grid
    assert grid.headroom_a[1, :, 1].tolist() == pytest.approx([30.0, 0.0, 0.0])


def test_the_lowest_of_all_import_limits_counts():
    """Contract 30 kW; 20 kW in the evening from 17:00; the operator 10 kW for 50 minutes from 15:25."""
    contract = Contract(
        import_kw=30.0,
        blocks=(LimitBlock(Block("17:00", "18:00"), import_kw=20.0, export_kw=0.0),),
        operator=(OperatorLimit(NOW + 1500, NOW + 4500, import_kw=10.0),),
    )
    compiled = grid_of(problem(session("a"), contract=contract))
    grid = compiled.instance.grid
    assert grid.import_limit_kw[:14].tolist() == [30, 10, 10, 10, 10, 30, 30, 30, 20, 20, 20, 20, 30, 30]
    assert grid.export_limit_kw[[7, 8]].tolist() == [np.inf, 0.0]
    assert np.flatnonzero(compiled.limits.operator_import).tolist() == [1, 2, 3, 4]


def test_a_circuit_may_carry_less_for_a_while():
    contract = Contract(circuits=(CircuitLimit("garage", (10.0, 50.0, 10.0), NOW + 900, NOW + 1800, operator=True),))
    compiled = grid_of(problem(session("a"), contract=contract))
    assert compiled.instance.grid.headroom_a[1, :, 0].tolist() == [40, 40, 40]
    assert compiled.instance.grid.headroom_a[1, :, 1].tolist() == [10, 40, 10]
    assert np.flatnonzero(compiled.limits.operator_circuit[1]).tolist() == [1]


def test_a_power_limit_below_the_connection_is_a_row_over_all_phases():
    base = problem(session("a"))
    garage = replace(base.site.circuits[1], max_import_kw=6.9)
    facts = replace(base.site, circuits=(replace(base.site.circuits[0], max_import_kw=12.0), garage))
    grid = grid_of(replace(base, site=facts)).instance.grid
    assert grid.headroom_a[1, :, 0].tolist() == pytest.approx([40, 40, 40, 30])
    assert grid.headroom_a[0, 3, 0] == np.inf
    assert grid.import_limit_kw[0] == 12.0


def test_pv_behind_a_power_limit_makes_room_and_the_load_takes_it():
    base = with_pv(problem(session("a"), steps=4), (2.3, 4.6, 0.0, 2.3), circuit="garage", curtailable=False)
    garage = replace(base.site.circuits[1], max_import_kw=6.9, metered=True, background_max_a=None)
    facts = replace(base.site, circuits=(base.site.circuits[0], garage))
    load = (*base.forecast.circuits, CircuitForecast("garage", (2.3,) * 4, high_kw=(4.6,) * 4))
    seen = replace(base, site=facts, forecast=replace(base.forecast, circuits=load))
    grid = grid_of(seen).instance.grid
    assert grid.headroom_a[1, 3] == pytest.approx(np.array([4.6, 6.9, 2.3, 4.6]) * 3 * A_PER_KW)


def test_a_power_limit_below_the_load_is_told():
    base = problem(session("a"))
    garage = replace(base.site.circuits[1], max_import_kw=3.0, background_max_a=(10.0, 10.0, 10.0))
    compiled = grid_of(replace(base, site=replace(base.site, circuits=(base.site.circuits[0], garage))))
    told = "circuit garage: the load alone is up to 3.9 kW above its power limit, nothing is planned there then"
    assert told in compiled.notes


# Sessions.


def test_the_window_ends_at_departure_with_its_share_of_the_step():
    cars = grid_of(problem(session("a", hours=1.1))).instance.cars
    assert (cars.first[0], cars.end[0], cars.end_share[0]) == (0, 5, pytest.approx(0.4))


def test_a_departure_in_five_minutes_is_a_window_of_a_third_of_a_step():
    cars = grid_of(problem(session("a", hours=5 / 60))).instance.cars
    assert (cars.end[0], cars.end_share[0]) == (1, pytest.approx(1 / 3))


def test_learned_phases_and_the_vehicles_own_count():
    base = problem(session("a", phases_used=("L2",)), session("b", vehicle="v"), vehicles=(Vehicle("v", phases=2),))
    cars = compile_problem(base).instance.cars
    assert cars.wired.tolist() == [[0, 1, 0], [1, 1, 0]]
    assert cars.kw_per_a.tolist() == pytest.approx([0.23, 0.46])


def test_the_largest_minimum_and_the_smallest_maximum_count():
    vehicle = Vehicle("v", min_a=8.0, max_kw=7.36, phases=2)
    cars = compile_problem(problem(session("a", vehicle="v", min_a=7.0), vehicles=(vehicle,))).instance.cars
    assert (cars.min_a[0], cars.max_a[0]) == (8.0, 16.0)
    dc = site(evse("a", direct_current=True, max_a=100.0, min_a=2.0, min_power_kw=6.9))
    assert compile_problem(problem(session("a"), facts=dc)).instance.cars.min_a[0] == pytest.approx(10.0)


def test_a_car_that_needs_more_than_it_may_have_gets_nothing_and_it_is_told():
    compiled = compile_problem(problem(session("a", min_a=20.0)))
    assert compiled.instance.cars.max_a[0] == 0.0
    assert "a: it needs 20 A to charge and may have 16 A at most: it gets nothing" in compiled.notes


def test_shortage_widths_add_up_and_prices_ascend():
    target = Target("kwh", 30.0, NOW + 6 * HOUR, guaranteed_kwh=5.0)
    cars = compile_problem(problem(session("a", target=target), session("b", priority=3))).instance.cars
    assert cars.short_kwh.sum(axis=1).tolist() == pytest.approx(cars.energy_kwh.tolist())
    assert (np.diff(cars.short_eur_per_kwh, axis=1) > 0).all()
    assert cars.short_kwh[0, -1] == 5.0


def test_classes_are_ordered_by_tier_spot_and_person_and_do_not_overlap():
    spots = [
        evse("t1", tier=1, spot_priority=1), evse("s3", tier=2, spot_priority=3), evse("p3", tier=2),
        evse("p2", tier=2), evse("t3", tier=3),
    ]  # fmt: skip
    cars = [session(e.id, priority=3 if e.id == "p3" else 2) for e in spots]
    prices = compile_problem(problem(*cars, facts=site(*spots))).instance.cars.short_eur_per_kwh
    assert (prices[:-1, 1] >= prices[1:, 3]).all()
    assert (prices[:, 4] > prices[0, 3]).all()


def test_a_shortage_is_dearer_than_ten_times_any_price_and_a_quarter_of_a_peak():
    for tariff, least in (
        (fixed(0.0), 2.0),
        (fixed(0.4), 4.0),
        (dynamic(*[4.0, -0.5] * 24), 40.0),
        (fixed(0.1, capacity=Capacity(10.0)), 48.0),
    ):
        compiled = compile_problem(problem(session("a"), tariff=tariff))
        assert compiled.instance.cars.short_eur_per_kwh[0, 1] == pytest.approx(least)
        assert compiled.instance.grid.slack_eur_per_kwh > 9 * compiled.instance.cars.short_eur_per_kwh.max()


def test_what_can_wait_until_after_the_horizon_costs_what_it_will_cost_then():
    """11 kW at most, half of it trusted: of 30 kWh 8 h after the horizon's 12 h all can wait; 2 h after, 11 kWh."""
    for hours, wait in ((20.0, 30.0), (14.0, 11.04)):
        cars = compile_problem(problem(session("a", kwh=30.0, hours=hours))).instance.cars
        assert cars.short_kwh[0, 0] == pytest.approx(wait)
        assert cars.short_eur_per_kwh[0, 0] == pytest.approx(0.33)


def test_who_does_not_defer_pays_for_waiting_but_less_than_for_going_short():
    base = problem(session("a", deferrable=False), session("b"), session("c", never_pause=True))
    cars = compile_problem(base).instance.cars
    assert 2e-5 <= cars.early_eur_per_kwh_step[1] <= 3e-5
    for car in (0, 2):
        assert cars.early_eur_per_kwh_step[car] > 1e-3
        assert cars.early_eur_per_kwh_step[car] * cars.end[car] < cars.short_eur_per_kwh[car, 1]


def test_the_first_to_leave_prefers_early_hours_most():
    base = problem(session("a", hours=9.0), session("b", hours=3.0), session("c", hours=6.0))
    early = compile_problem(base).instance.cars.early_eur_per_kwh_step
    assert early[0] < early[2] < early[1] <= 1.5 * early[0]


def test_the_previous_plan_holds_only_sessions_it_knew():
    previous = PreviousPlan(NOW - 900, NOW - 900, ("a", "b"), ((6.0, 7.0), (8.0, 9.0), (10.0, None)))
    base = problem(
        session("a", plugged_in_epoch_s=NOW - 3600), session("b", plugged_in_epoch_s=NOW - 60), previous=previous
    )
    told = compile_problem(base).instance.cars.previous_a
    assert told[0, :2].tolist() == [8.0, 10.0]
    assert np.isnan(told[0, 2:]).all()
    assert np.isnan(told[1]).all()


def test_a_car_that_can_feed_back_is_reckoned_at_its_battery():
    facts = site(evse("a", discharge_a=16.0))
    vehicle = Vehicle("v", capacity_kwh=50.0)
    one = session("a", vehicle="v", soc_pct=40.0, soc_source="charger", target=Target("pct", 80.0, NOW + 6 * HOUR))
    cars = compile_problem(problem(one, facts=facts, vehicles=(vehicle,))).instance.cars
    assert (cars.soc_kwh[0], cars.floor_kwh[0], cars.capacity_kwh[0]) == (20.0, 10.0, 50.0)
    assert cars.energy_kwh[0] == pytest.approx(20.0)
    assert cars.efficiency[0] == pytest.approx(0.9)
    assert cars.short_kwh[0].sum() == pytest.approx(20.0)


def test_without_a_state_of_charge_nothing_is_fed_back():
    facts = site(evse("a", discharge_a=16.0))
    assert compile_problem(problem(session("a"), facts=facts)).instance.cars.discharge_a[0] == 0.0


def test_a_full_car_is_no_column():
    compiled = compile_problem(problem(session("a", delivered_kwh=11.0), session("b")))
    assert [one.evse for one in compiled.fleet.sessions] == ["b"]


# Everything else.


def test_a_battery_of_unknown_charge_rests():
    compiled = compile_problem(with_battery(problem(session("a")), None))
    assert compiled.instance.batteries.charge_kw.tolist() == [0.0]
    assert compiled.instance.batteries.discharge_kw.tolist() == [0.0]
    assert any("bat: nobody knows its state of charge" in note for note in compiled.notes)


@pytest.mark.parametrize(("soc_pct", "kwh"), [(140.0, 10.0), (-3.0, 0.0), (4.0, 0.4)])
def test_a_battery_out_of_bounds_starts_where_it_can_be(soc_pct: float, kwh: float):
    compiled = compile_problem(with_battery(problem(session("a")), soc_pct))
    assert compiled.instance.batteries.soc_kwh[0] == pytest.approx(kwh)
    assert any("cannot be" in note for note in compiled.notes) == (not 0 <= soc_pct <= 100)


def test_stored_energy_at_the_end_is_worth_what_export_would_have_earned_at_least():
    dear = compile_problem(with_battery(problem(session("a"), tariff=fixed(0.3, export_eur_per_kwh=0.29))))
    assert dear.instance.batteries.terminal_eur_per_kwh[0] == pytest.approx(0.29 / 0.95)
    cheap = compile_problem(with_battery(problem(session("a"))))
    assert cheap.instance.batteries.terminal_eur_per_kwh[0] == pytest.approx(0.95 * 0.3 - 0.02)


def test_runs_start_on_quarters_inside_their_hours():
    base = problem(session("a"))
    runs = (
        Run("pump", "gcp", ALL, (2.0, 1.0), NOW + 1000, NOW + 2 * HOUR),
        Run("late", "gcp", ALL, (2.0,), NOW, NOW + 60),
        Run("far", "gcp", ALL, (2.0,), NOW + 500 * HOUR, NOW + 600 * HOUR),
    )
    compiled = compile_problem(replace(base, state=replace(base.state, runs=runs)))
    assert [run.id for run in compiled.runs] == ["pump", "late"]
    assert compiled.instance.runs.earliest.tolist() == [2, 0]
    assert compiled.instance.runs.latest.tolist() == [6, 0]
    assert any("late: it cannot be finished in time" in note for note in compiled.notes)
    assert any("far: it does not fit into the horizon" in note for note in compiled.notes)


def test_a_store_of_heat():
    base = problem(session("a"))
    tank = BufferFacts("tank", "gcp", ("L1",), 3.0, 10.0, 20.0, cop=3.0, loss_share_per_h=0.19)
    base = replace(
        base, site=replace(base.site, buffers=(tank,)), state=replace(base.state, buffers=(BufferState("tank", 12.0),))
    )
    compiled = compile_problem(base)
    buffers = compiled.instance.buffers
    assert buffers.keep[0] ** 4 == pytest.approx(0.81)
    assert buffers.a_per_kw[0].tolist() == pytest.approx([1000 / 230, 0, 0])
    assert buffers.heat_kwh.tolist() == [12.0]
    assert any("tank: there is no forecast of its heat demand" in note for note in compiled.notes)


def test_an_empty_site_is_an_instance():
    compiled = compile_problem(problem(facts=site(), settings=Settings(horizon_steps=1)))
    assert compiled.instance.cars.n == 0
    assert compiled.instance.grid.steps == 1


def test_circuits_in_any_order():
    base = problem(session("a"))
    turned = replace(base, site=replace(base.site, circuits=base.site.circuits[::-1]))
    assert compile_problem(turned).circuits == ("gcp", "garage")
    assert np.array_equal(
        compile_problem(turned).instance.grid.headroom_a, compile_problem(base).instance.grid.headroom_a
    )
