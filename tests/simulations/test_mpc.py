"""Plans in the closed loop: a small site for a few hours without plans, with plans, with perfect foresight."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, cast

import numpy as np
import pytest

from interfaces.domain.topology import Asset, AssetKind, Circuit, Protection, Topology, build_topology
from optimizer.core.planning import Refused
from optimizer.core.problem import Problem
from optimizer.core.problem_money import Dynamic
from optimizer.core.problem_state import Target
from optimizer.service.horizon import Issued
from simulations.figures import Figures
from simulations.generators import Prices, Visit
from simulations.orders import TargetsDesk
from simulations.planned import plan_world_of
from simulations.plant.ev import Arrival
from simulations.plant.site import Plant
from simulations.plot import QuarterWatch, figure_of
from simulations.run import Loop
from simulations.scenario import Data, Economy, GeneratedPrices, LoadEntry, Scenario, StrategyName
from simulations.strategies import Core
from simulations.world import SiteFacts, World, world_of

HOUR_S = 3600.0
THREE = (0, 1, 2)
CHEAP_H = (2, 3)
MINIMUM_KW = 4.14
EUR_PER_KWH = np.array([0.40, 0.35, 0.08, 0.08, *[0.38] * 44])
SCENARIO = Scenario(
    version=1,
    name="small",
    site="small",
    start=datetime.fromisoformat("2024-06-03T00:00"),
    days=5.0 / 24.0,
    step_s=10.0,
    data=Data(loads=(LoadEntry("gcp", (4.0, 4.0, 4.0), shape="flat", noise_a=0.3),), prices=GeneratedPrices()),
    economy=Economy(capacity_eur_per_kw=0.4, capacity_floor_kw=2.5),
)


def small() -> Topology:
    """Two chargers that together are too much for the connection beside the building."""
    main = Circuit("gcp", None, (32.0,) * 3, protection=Protection("gG", 32.0), meter="m", background_max_a=(8.0,) * 3)
    places = [
        Asset(f"e{k}", AssetKind.EVSE, f"d{k}", "gcp", THREE, max_a=16.0, failsafe_verifiable=True) for k in range(2)
    ]
    return build_topology([main], places, version="small")


def cars(end_s: float = 4.8 * HOUR_S, kwh: float = 9.0) -> tuple[Visit, ...]:
    arrivals = [Arrival(f"e{k}", 120.0 + 400.0 * k, end_s, kwh * 1000.0, tag=f"car{k}") for k in range(2)]
    return tuple(Visit(a, a.end_s, a.energy_wh) for a in arrivals)


def small_world(scenario: Scenario = SCENARIO, visits: tuple[Visit, ...] | None = None) -> World:
    world, _ = world_of(scenario, SiteFacts(small()), None)
    prices = Prices(0.0, 3600, EUR_PER_KWH, fee_eur_per_kwh=0.02, export_eur_per_kwh=0.0)
    return replace(world, visits=cars() if visits is None else visits, prices=prices)


def loop_of(name: StrategyName, world: World, scenario: Scenario = SCENARIO) -> Loop:
    return Loop(world, name, plan_world_of(scenario, SiteFacts(small()), world, None, name))


@dataclass
class Run:
    """A finished loop and what was seen step by step."""

    loop: Loop
    cars_kw: list[float] = field(default_factory=list)
    modes: list[str] = field(default_factory=list)
    setpoint_a: list[tuple[float, ...]] = field(default_factory=list)
    watch: QuarterWatch = field(default_factory=QuarterWatch)

    def look(self, loop: Loop) -> None:
        core = loop.planned.core if loop.planned is not None else loop.strategy
        assert isinstance(core, Core)
        record = core.record
        assert record is not None
        self.watch(loop)
        self.cars_kw.append(float(loop.plant.power_w.sum()) / 1000.0)
        self.modes.append(record.report.mode)
        self.setpoint_a.append(tuple((record.commands.setpoint_ma / 1000.0).tolist()))

    @property
    def hourly_kwh(self) -> np.ndarray:
        return np.array([sum(self.cars_kw[k : k + 360]) / 360.0 for k in range(0, len(self.cars_kw), 360)])

    @property
    def figures(self) -> Figures:
        return self.loop.figures(0.0)


def finished(loop: Loop, also: Callable[[Loop], None] | None = None) -> Run:
    run = Run(loop)

    def look(seen: Loop) -> None:
        run.look(seen)
        if also is not None:
            also(seen)

    loop.run(look)
    return run


@pytest.fixture(scope="module")
def runs() -> dict[str, Run]:
    world = small_world()
    return {name: finished(loop_of(name, world)) for name in ("fallback", "mpc", "mpc-perfect")}


def test_plans_move_charging_to_the_cheap_hours(runs):
    kwh = runs["mpc"].hourly_kwh
    # The rest: a few minutes after plug-in, which tell how fast a car charges.
    assert kwh[list(CHEAP_H)].sum() > 0.85 * kwh.sum()
    assert 0.3 * kwh[list(CHEAP_H)].max() < kwh[list(CHEAP_H)].min()  # spread, for the sake of the peak
    assert kwh.sum() == pytest.approx(18.0, rel=0.05)


def test_plans_cost_less_than_the_fallback_at_the_same_energy(runs):
    mpc, fallback = runs["mpc"].figures, runs["fallback"].figures
    assert mpc["energy_delivered_kwh"] == pytest.approx(fallback["energy_delivered_kwh"], rel=0.02)
    assert mpc["energy_delivered_kwh"] == pytest.approx(18.0, rel=0.02)
    assert mpc["sessions_met_pct"] == 100.0
    assert mpc["cost_total_eur"] < fallback["cost_total_eur"] - 1.0
    assert mpc["cost_peak_eur"] < fallback["cost_peak_eur"]


def test_perfect_foresight_is_no_dearer(runs):
    perfect, mpc = runs["mpc-perfect"].figures, runs["mpc"].figures
    assert perfect["energy_delivered_kwh"] == pytest.approx(mpc["energy_delivered_kwh"], rel=0.02)
    assert perfect["cost_total_eur"] <= 1.01 * mpc["cost_total_eur"]


def test_plans_are_really_followed(runs):
    for name in ("mpc", "mpc-perfect"):
        run = runs[name]
        assert run.loop.planned is not None
        assert run.loop.planned.refused == []
        assert set(run.modes[12:]) == {"plan"}  # after the first status and the first scan that knew a plan
        assert len(run.loop.planned.solve_ms) >= 5.0 * 12 - 1
        assert run.figures["solve_ms_p50"] <= run.figures["solve_ms_p99"]
        assert run.loop.planned.core.state.mission.source == "plan"
    assert set(runs["fallback"].modes) == {"fallback"}
    assert runs["fallback"].figures["solve_ms_p50"] is None


def test_a_picture_shows_what_was_planned_beside_what_happened(runs):
    seen = runs["mpc"].watch.track()
    quarters = seen.start_epoch_s.tolist()
    assert len(quarters) == 20
    # No plan is followed when the first quarter begins, one at the beginning of every other.
    assert np.isfinite(seen.planned_import_kw).tolist() == [False, *[True] * 19]
    charging = seen.cars_kw > 2.0
    charging[0] = False
    assert charging.sum() >= 6
    beyond_kw = (seen.planned_cars_kw - seen.cars_kw)[charging]
    # A car that is nearly done may go on at its minimum: the plan has that current, the car hardly takes it.
    ends = beyond_kw > 3.0
    assert ends.sum() <= 1
    assert (beyond_kw[ends] <= MINIMUM_KW + 1.0).all()
    np.testing.assert_allclose(beyond_kw[~ends], 0.0, atol=3.0)
    # Building and cars are what is imported, planned as measured.
    rest_kw = seen.planned_import_kw[1:] - seen.planned_cars_kw[1:]
    np.testing.assert_allclose(rest_kw, seen.building_kw[1:], atol=1.5)
    labels = {str(one.get_label()) for axis in figure_of(seen, "t").axes for one in axis.get_lines()}
    assert {"import, planned", "cars, planned"} <= labels
    assert np.isnan(runs["fallback"].watch.track().planned_cars_kw).all()


def test_nothing_is_overloaded(runs):
    for name, run in runs.items():
        assert run.figures["overload_s"] == 0.0, name
        assert run.figures["trips"] == 0, name
    # The site would have been able to: both cars at their maximum and the building are more than the connection.
    assert max(runs["fallback"].cars_kw) > 14.0


def test_a_plan_that_stops_gives_way_to_the_fallback_without_a_step():
    """Its lease runs out while a car charges: the car goes on at what it has, and then as the local rules want."""
    scenario = replace(SCENARIO, days=1.25 / 24.0)
    cheap_now = replace(small_world(scenario, cars(5.0 * HOUR_S, 30.0)), prices=None)
    loop = loop_of("mpc", cheap_now, scenario)
    planned = loop.planned
    assert planned is not None

    def stop(seen: Loop) -> None:
        if seen.plant.now_s == 1800.0:
            planned.planner.due = lambda now_epoch_s: ""  # type: ignore[method-assign]

    run = finished(loop, stop)
    modes = np.array(run.modes)
    lost = int(np.flatnonzero(modes[60:] == "fallback")[0]) + 60
    assert 1800.0 < lost * 10.0 <= 1800.0 + 300.0 + 900.0 + 20.0
    assert set(modes[12:lost]) == {"plan"}
    assert set(modes[lost:]) == {"fallback"}
    offers = np.array(run.setpoint_a)
    assert (offers[lost - 6 : lost + 90] >= 6.0).all()
    rises = np.diff(offers[lost - 1 : lost + 90], axis=0)
    assert rises.max() <= small().ramp_ma.max() / 1000.0
    assert offers[-1].sum() > offers[lost - 1].sum()  # there was something to ramp
    assert run.figures["switches"] == 0
    assert run.figures["overload_s"] == 0.0


def test_plans_see_prices_no_sooner_than_the_market_and_perfect_foresight_sees_all():
    scenario = replace(SCENARIO, start=datetime.fromisoformat("2024-06-03T12:50"), days=0.02)
    world = replace(small_world(scenario), visits=())
    step_s = 3600
    prices = Prices(-12.0 * step_s - 3000.0, step_s, np.arange(72) / 100.0, 0.0, 0.0)
    world = replace(world, prices=prices)
    seen: dict[str, list[tuple[float, ...]]] = {}
    for name in ("mpc", "mpc-perfect"):
        known: list[tuple[float, ...]] = []
        loop = loop_of(name, world, scenario)
        planned = loop.planned
        assert planned is not None
        make = planned.planner.make

        def note(now_epoch_s: float, *, known=known, make=make, **how: object) -> object:
            known.append(cast("Dynamic", how["prices"]).eur_per_kwh)
            return make(now_epoch_s, **how)

        planned.planner.make = note  # type: ignore[assignment, method-assign]
        loop.run()
        seen[name] = known
    assert seen["mpc"][0][-1] == 0.23  # the last hour of today, until 13:00
    assert seen["mpc"][-1][-1] == 0.47  # then tomorrow's too
    assert {column[-1] for column in seen["mpc-perfect"]} == {0.71}
    assert all(column[0] == 0.11 for columns in seen.values() for column in columns[:1])  # the hour before now


def problems_of(name: StrategyName, world: World, scenario: Scenario) -> list[Problem]:
    """What was planned from, plan by plan."""
    loop = loop_of(name, world, scenario)
    planned = loop.planned
    assert planned is not None
    make, seen = planned.planner.make, []

    def note(now_epoch_s: float, **how: Any) -> Issued | Refused:
        made = make(now_epoch_s, **how)
        assert not isinstance(made, Refused)
        seen.append(made.problem)
        return made

    planned.planner.make = note  # type: ignore[method-assign]
    loop.run()
    return seen


def test_perfect_foresight_knows_the_cars_and_keeps_to_what_their_drivers_want():
    scenario = replace(SCENARIO, days=0.02)
    here = Arrival("e1", 100.0, 4.0 * HOUR_S, 9000.0, phases=1, max_a=13.0, tag="here")
    coming = Arrival("e0", 2.0 * HOUR_S, 4.0 * HOUR_S, 5000.0, phases=2, max_a=16.0, tag="coming")
    visits = (Visit(here, 9.0 * HOUR_S, 60_000.0), Visit(coming, 3.0 * HOUR_S, 20_000.0))
    world = replace(small_world(scenario), visits=visits)
    begin_epoch_s = world.environment.start_epoch_s
    state = next(p.state for p in problems_of("mpc-perfect", world, scenario) if p.state.sessions)
    (session,), (announced,) = state.sessions, state.announced
    assert session.phases_used == ("L1",)
    assert session.max_a == 13.0
    assert session.target == Target(unit="kwh", amount=9.0, departure_epoch_s=begin_epoch_s + 4.0 * HOUR_S)
    assert announced.phases_used == ("L1", "L2")
    # It stays an hour longer than its driver said, who wants it ready then all the same.
    assert announced.target == Target(unit="kwh", amount=5.0, departure_epoch_s=begin_epoch_s + 3.0 * HOUR_S)
    # Anybody else has to see it charge, and believes the driver.
    state = next(p.state for p in problems_of("mpc", world, scenario) if p.state.sessions)
    assert state.sessions[0].max_a is None
    assert state.sessions[0].target == Target("kwh", 60.0, begin_epoch_s + 9.0 * HOUR_S)
    assert state.announced == ()


def test_prices_that_do_not_reach_the_site_reach_no_plan():
    scenario = replace(SCENARIO, days=0.005)
    hidden = replace(small_world(scenario), prices_known=False)
    kinds: tuple[tuple[StrategyName, str], ...] = (("mpc", "fixed"), ("mpc-perfect", "dynamic"))
    for name, kind in kinds:
        problems = problems_of(name, hidden, scenario)
        assert problems
        assert {problem.tariff.energy.kind for problem in problems} == {kind}


def test_without_an_optimizer_the_prices_of_the_start_are_all_there_are():
    plant = Plant(small(), (), seed=1)
    prices = Prices(0.0, 3600, np.arange(72) / 100.0, 0.0, 0.0)
    for renewed, hours in ((False, 24), (True, 48)):
        desk = TargetsDesk((), prices, plant, renewed=renewed)
        plant.now_s = 0.0
        first = desk.message()
        assert first is not None
        assert len(first.price_eur_per_kwh) == 24
        plant.now_s = 13.5 * HOUR_S
        later = desk.message()
        assert later is not None
        assert len(later.price_eur_per_kwh) == hours


def test_a_refusal_is_counted_and_the_site_goes_on():
    scenario = replace(SCENARIO, days=0.01)
    loop = loop_of("mpc", replace(small_world(scenario), visits=()), scenario)
    planned = loop.planned
    assert planned is not None
    planned.planner.make = lambda *_, **__: Refused(("nothing fits",))  # type: ignore[method-assign]
    loop.run()
    assert planned.refused
    assert set(planned.refused) == {"nothing fits"}
    assert planned.core.state.mission.source == "fallback"


def test_a_strategy_with_plans_needs_something_to_plan_with():
    with pytest.raises(ValueError, match="plan with"):
        Loop(small_world(), "mpc")


def test_row_01_a_cloud_that_is_away_for_hours_costs_money_and_nothing_else(figure):
    """Plans until 01:00, then nothing from outside until 04:00: the site charges by its own rules and comes back."""
    away = replace(SCENARIO, economy=replace(SCENARIO.economy, cloud_away_h=(1.0, 4.0)))
    world = small_world(away)
    run = finished(loop_of("mpc", world, away))
    leased = 360 + 90 + 1  # an hour, the lease of the last plan and the scan that finds it over, in steps of 10 s
    assert set(run.modes[12:350]) == {"plan"}
    assert set(run.modes[leased:1440]) == {"fallback"}
    assert set(run.modes[-180:]) == {"plan"}
    assert run.figures["self_made_overload_s"] == 0.0
    assert run.figures["sessions_met_pct"] == 100.0
    assert run.figures["energy_delivered_kwh"] == pytest.approx(18.0, rel=0.02)
    figure("ready after three hours away", run.figures["sessions_met_pct"], "%")
