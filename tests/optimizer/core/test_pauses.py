"""Cars that charge: what is worth a pause, who goes on at its minimum, and how a session ends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from interfaces.domain.stores import BATTERY_EFFICIENCY, BATTERY_WEAR_EUR_PER_KWH
from interfaces.domain.units import Ints
from optimizer.core.problem import CircuitForecast, Forecast
from optimizer.core.problem_money import Capacity
from optimizer.core.rounding_pauses import HELD_STEPS
from tests.optimizer.core.test_planning import plan, row, small
from tests.optimizer.problems import NOW, dynamic, evse, fixed, problem, session, site, with_battery

MIN_MA, MAX_MA = 6_000, 16_000


def test_a_car_that_charges_is_not_paused_for_a_dip_of_the_price_but_for_a_cheap_night():
    dip = dynamic(*[0.30, 0.285] * 12)
    running, waiting = (plan(small(session("a", kwh=8.28, charging=now), tariff=dip)) for now in (True, False))
    assert row(running, "a")[:3].tolist() == [16_000, 16_000, 16_000]
    assert row(waiting, "a")[:6].tolist() == [0, 16_000, 0, 16_000, 0, 16_000]
    night = dynamic(*[0.30] * 8 + [0.05] * 16)
    assert row(plan(small(session("a", kwh=8.28, charging=True), tariff=night)), "a")[:8].tolist() == [0] * 8
    # The last kWh of a session is worth no pause.
    assert row(plan(small(session("a", kwh=1.38, charging=True), tariff=night)), "a")[0] > 0


def test_the_last_watt_hours_are_not_put_off():
    """A car that stopped with 0.1 kWh to go, because the plan reckoned with its full current to the end."""
    rising = dynamic(*[0.30] * 4 + [0.25] * 20)
    rest = session("a", kwh=11.1, delivered_kwh=11.0)
    assert row(plan(small(rest, tariff=rising)), "a")[0] >= 6_000
    begun = session("a", kwh=15.0, delivered_kwh=11.0)
    assert row(plan(small(begun, tariff=rising)), "a")[0] == 0


def pauses(setpoint_ma: Ints) -> int:
    """How often a car of these rows stops and begins again."""
    on = setpoint_ma > 0
    return int((on[:-1] & ~on[1:]).sum() + on[-1].sum() - on.any(axis=0).sum())


@pytest.mark.parametrize("charging", [True, False])
@pytest.mark.parametrize("short_of", ["circuit", "peak"])
def test_cars_that_cannot_all_charge_take_turns_of_their_whole_energy_instead_of_quarters(
    short_of: str, charging: bool
):
    names = [f"s{k}" for k in range(6)]
    cars = [session(name, kwh=12.0 + k, hours=8.0 + 0.5 * k, charging=charging) for k, name in enumerate(names)]
    facts = site(*map(evse, names), garage_a=30.0 if short_of == "circuit" else 80.0)
    capacity = Capacity(eur_per_kw=4.0, floor_kw=12.0, realised_kw=12.0, month="2025-11")
    tariff = fixed() if short_of == "circuit" else replace(fixed(), capacity=capacity)
    planned = plan(problem(*cars, facts=facts, tariff=tariff))
    assert planned.events == ()
    # Those that charge and fit go on until the next plan; then each charges without a break.
    assert int((planned.setpoint_ma[0] > 0).sum()) >= (3 if charging and short_of == "circuit" else 1)
    assert pauses(planned.setpoint_ma[HELD_STEPS if charging else 0 :]) <= 1
    assert (planned.setpoint_ma > 0).any(axis=0).all()


def test_a_car_that_charges_goes_on_below_the_peak_and_makes_no_new_one():
    tariff = replace(fixed(), capacity=Capacity(eur_per_kw=4.0, floor_kw=7.0, realised_kw=7.0, month="2025-11"))
    planned = plan(small(session("a", kwh=11.04, charging=True), load_kw=2.0, tariff=tariff))
    assert (planned.planned_import_mw <= 7_000_000).all()
    assert (row(planned, "a")[:8] >= 6_000).all()


def test_a_pause_must_save_more_than_what_a_car_that_sleeps_on_would_lack():
    """5 ct over 30 kWh are 1.5 EUR; one car in fifty would lack them all, at 4 EUR/kWh: 2.4 EUR."""
    evening = dynamic(*[0.40] * 8 + [0.35] * 40)
    cars = [session(name, kwh=30.0, hours=12.0, charging=now) for name, now in (("a", True), ("b", False))]
    planned = plan(problem(*cars, steps=48, facts=site(evse("a"), evse("b")), tariff=evening))
    assert row(planned, "a")[0] == MAX_MA
    assert row(planned, "b")[:8].tolist() == [0] * 8


def test_a_car_that_charges_goes_on_at_its_minimum_where_another_one_could_take_its_place():
    """12 A for two cars that both have time: the relaxation gives one all of it."""
    cars = [session(name, kwh=6.0, hours=6.0, charging=True) for name in ("a", "b")]
    planned = plan(small(*cars, facts=site(evse("a"), evse("b"), garage_a=12.0), load_kw=0.0))
    assert planned.setpoint_ma[:HELD_STEPS].tolist() == [[MIN_MA, MIN_MA]] * HELD_STEPS


def test_no_new_peak_is_made_to_spare_a_pause():
    capacity = Capacity(eur_per_kw=4.0, floor_kw=5.0, realised_kw=5.0, month="2025-11")
    cars = [session(name, kwh=6.0, hours=6.0, charging=True) for name in ("a", "b")]
    tariff = replace(fixed(), capacity=capacity)
    planned = plan(small(*cars, facts=site(evse("a"), evse("b")), load_kw=0.0, tariff=tariff))
    assert (planned.setpoint_ma > 0).sum(axis=1).max() == 1
    assert planned.events == ()


@pytest.mark.parametrize("kwh", [0.5, 1.2, 2.0, 2.9])
def test_who_is_nearly_done_goes_on_until_the_next_plan(kwh: float):
    """The last of it takes longer than any plan knows: no pause at the quarter for some watt-hours."""
    planned = plan(small(session("a", kwh=20.0 + kwh, delivered_kwh=20.0, charging=True)))
    firm = row(planned, "a")[:4]
    assert (firm >= MIN_MA).all(), firm


def test_who_is_nearly_done_goes_on_only_where_there_is_room():
    done = session("a", kwh=21.0, delivered_kwh=20.0, charging=True)
    other = session("b", kwh=40.0, hours=6.0, charging=True)
    planned = plan(small(done, other, facts=site(evse("a"), evse("b"), garage_a=16.0), load_kw=0.0))
    assert (planned.setpoint_ma.sum(axis=1) <= MAX_MA).all()


def test_a_battery_below_its_reserve_makes_no_new_peak_and_pauses_nobody():
    """Measured at 9 % of a floor of 10 %: filling it at any price would pay a month's peak for 1 kWh."""
    capacity = Capacity(eur_per_kw=4.0, floor_kw=14.0, realised_kw=14.0, month="2025-11")
    tariff = replace(dynamic(*[0.25] * 20 + [0.15] * 4), capacity=capacity)
    base = small(session("a", kwh=11.0, charging=True), load_kw=2.0, tariff=tariff)
    planned = plan(with_battery(base, 4.0, floor_share=0.1))
    battery = planned.setpoint_ma[:, planned.assets.index("bat")]
    assert (planned.planned_import_mw <= 14_000_000).all()
    assert (battery >= 0).all(), "and it goes no lower"
    assert row(planned, "a")[0] == MAX_MA
    assert battery[20:].max() > 0, "it fills when energy is cheap"


def test_the_last_watt_hours_make_no_new_peak_and_pay_no_dear_hour():
    nearly = session("a", kwh=22.5, delivered_kwh=20.0, charging=True)
    capacity = Capacity(eur_per_kw=4.0, floor_kw=12.0, realised_kw=12.0, month="2025-11")
    rising = replace(small(nearly, tariff=replace(fixed(), capacity=capacity)))
    load = Forecast(NOW, circuits=(CircuitForecast("gcp", (0.5, *[11.5] * 23)),))
    planned = plan(replace(rising, forecast=load))
    assert (planned.planned_import_mw <= 12_000_000).all()
    dear = plan(small(nearly, tariff=dynamic(*[0.20] + [1.50] * 23)))
    assert row(dear, "a")[1:4].tolist() == [0, 0, 0]


@pytest.mark.parametrize("efficiency", [0.80, 0.95, 1.0])
@pytest.mark.parametrize(("prices", "charges"), [((0.05, 0.40), True), ((0.40, 0.05), False)])
def test_a_site_reckons_a_batterys_value_with_its_own_losses(
    efficiency: float, prices: tuple[float, float], charges: bool
):
    """What the site makes of the told value is, at the meter, what the plan's own choice is worth: it lets it stand."""
    tariff = dynamic(*[prices[0]] * 12, *[prices[1]] * 12)
    losses = {"charge_efficiency": efficiency, "discharge_efficiency": efficiency, "wear_eur_per_kwh": 0.03}
    planned = plan(with_battery(small(load_kw=3.0, facts=site(), tariff=tariff), 50.0, **losses))
    t = int(np.flatnonzero(planned.setpoint_ma[:, planned.assets.index("bat")])[0])
    told = float(planned.value_ppm[t, planned.assets.index("bat")]) / 1e6
    true = float(planned.solution.battery_value_eur_per_kwh[0, t])
    if charges:
        assert told * BATTERY_EFFICIENCY - BATTERY_WEAR_EUR_PER_KWH == pytest.approx(true * efficiency - 0.03, abs=1e-5)
    else:
        assert told / BATTERY_EFFICIENCY + BATTERY_WEAR_EUR_PER_KWH == pytest.approx(true / efficiency + 0.03, abs=1e-5)
