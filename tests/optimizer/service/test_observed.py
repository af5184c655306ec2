"""From what a site tells to the planning problem of the moment."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from interfaces.domain.image import Pilot
from interfaces.domain.live import AssetLive, CircuitLive, LiveStatus
from interfaces.domain.plan import Plan
from interfaces.domain.topology import Asset, AssetKind, Circuit, build_topology
from optimizer.core.check import refusals
from optimizer.core.planning import Planned, plan_problem
from optimizer.core.problem import Problem
from optimizer.core.problem_facts import BatteryFacts
from optimizer.core.problem_money import Capacity, Contract, Dynamic, Fixed, OperatorLimit, Tariff
from optimizer.core.problem_state import BatteryState, Session, Target
from optimizer.service.memory import Quarters, SiteMemory
from optimizer.service.observed import OPERATOR_HOLD_S, problem_of
from optimizer.service.record import Outlook, SiteRecord

THREE = (0, 1, 2)
TOPOLOGY = build_topology(
    [Circuit("gcp", None, (63.0,) * 3, meter="m", background_max_a=(20.0,) * 3)],
    [
        Asset("car", AssetKind.EVSE, "d1", "gcp", THREE, 16.0),
        Asset("two", AssetKind.EVSE, "d2", "gcp", THREE, 16.0),
        Asset("roof", AssetKind.PV, "d3", "gcp", THREE, 0.0, min_a=0.0, max_export_a=20.0),
        Asset("bat", AssetKind.BATTERY, "d4", "gcp", THREE, 20.0, min_a=0.0, max_export_a=20.0),
    ],
    version="t",
)
START = datetime.fromisoformat("2026-11-30T20:00:00+00:00").timestamp()
NOW = START + 400.0
RECORD = SiteRecord(
    id="home",
    time_zone="Europe/Brussels",
    topology=TOPOLOGY,
    tariff=Tariff(Fixed("fixed", 0.30), capacity=Capacity(4.0, floor_kw=2.5)),
    batteries=(BatteryFacts("bat", "gcp", ("L1", "L2", "L3"), 10.0, 5.0, 5.0),),
)
WEEK = 192
OUTLOOK = Outlook(
    start_epoch_s=int(START),
    load_kw={"gcp": np.full(WEEK, 3.0)},
    high_kw={"gcp": np.full(WEEK, 4.0)},
    pv_kw={"roof": np.where(np.arange(WEEK) == 1, np.nan, 2.0)},
    arrivals_kw={},
)
CAR = AssetLive("car", int(Pilot.C2), START - 60.0, 4.5, "blue", 3.0, 13.0, 13.0, (1, 1, 1), None, 0, True)
EMPTY = AssetLive("two", int(Pilot.A), None, 0.0, None, 0.0, 0.0, 0.0, (1, 1, 1), None, 0, True)
BATTERY = AssetLive("bat", int(Pilot.UNKNOWN), None, 0.0, None, 0.0, 0.0, None, (1, 1, 1), 61.5, 0, True)


def status(at_s: float = 390.0, *assets: AssetLive, **changes: object) -> LiveStatus:
    circuit = CircuitLive("gcp", 6.0, 3.0, (None, None, None), (0.0, 0.0, 0.0))
    plain = LiveStatus(
        "home", "t", START + at_s, "plan", 1, None, (circuit,), assets or (CAR, EMPTY, BATTERY)
    )  # fmt: skip
    return replace(plain, **changes)  # type: ignore[arg-type]


def memory(*statuses: LiveStatus) -> SiteMemory:
    site = SiteMemory(TOPOLOGY)
    for one in statuses or (status(),):
        site.observe(one)
    return site


def problem(site: SiteMemory | None = None, record: SiteRecord = RECORD, **changes: object) -> Problem:
    known: dict[str, object] = {
        "prices": None,
        "wishes": {},
        "expected": {},
        "previous": None,
        "margin_kw": 0.0,
        "now_epoch_s": NOW,
    }
    return problem_of(record, site or memory(), OUTLOOK, **{**known, **changes})  # type: ignore[arg-type]


def test_the_problem_is_in_order_and_can_be_planned():
    built = problem()
    assert refusals(built) == ()
    assert built.now_epoch_s == NOW
    assert built.state.taken_epoch_s == START + 390.0
    assert built.state.topology_version == "t"
    assert isinstance(plan_problem(built), Planned)


def test_without_any_status_there_is_no_problem():
    with pytest.raises(ValueError, match="no status"):
        problem(SiteMemory(TOPOLOGY))


def test_a_car_is_a_session_with_what_is_known_of_it():
    wish = Target("kwh", 20.0, NOW + 7200.0)
    (session,) = problem(wishes={"car": wish, "two": wish}).state.sessions
    assert (session.evse, session.tag, session.delivered_kwh) == ("car", "blue", 4.5)
    assert session.plugged_in_epoch_s == START - 60.0
    assert session.target == wish
    assert (session.soc_pct, session.soc_source) == (None, "none")
    assert session.phases_used == ("L1", "L2", "L3")
    (session,) = problem(memory(status(390.0, replace(CAR, soc_pct=40.0, tag="", phases=(0, 1, 0))))).state.sessions
    assert (session.soc_pct, session.soc_source) == (40.0, "charger")
    assert session.tag is None
    assert session.phases_used == ("L2",)


@pytest.mark.parametrize("changes", [{"reachable": False}, {"pilot": int(Pilot.A)}, {"plugged_in_epoch_s": None}])
def test_a_car_that_cannot_be_told_anything_or_is_not_there_has_no_session(changes):
    assert problem(memory(status(390.0, replace(CAR, **changes)))).state.sessions == ()


def test_a_car_that_has_had_enough_is_left_alone():
    idle = replace(CAR, power_kw=0.0)
    asleep = memory(*(status(at_s, idle) for at_s in range(0, 700, 60)))
    assert problem(asleep, now_epoch_s=START + 700.0).state.sessions == ()


def test_a_car_nobody_knows_yet_is_looked_at_at_once_and_one_that_charges_says_so():
    fresh = problem(memory(status(390.0, replace(CAR, energy_kwh=0.0, power_kw=0.0)))).state.sessions[0]
    assert fresh.deferrable is False
    assert not fresh.charging
    known = problem(memory(status(390.0, CAR))).state.sessions[0]
    assert known.deferrable is None
    assert known.charging


@pytest.mark.parametrize(("kwh", "waits"), [(7.0, True), (8.0, False)])
def test_a_car_nobody_knows_yet_waits_where_one_phase_has_twice_the_time(kwh: float, waits: bool):
    """3.68 kW of one phase through half of four hours are 7.36 kWh."""
    seen = memory(status(390.0, replace(CAR, energy_kwh=0.0, power_kw=0.0)))
    assert seen.last is not None
    wish = Target("kwh", kwh, seen.last.epoch_s + 4 * 3600.0)
    session = problem(seen, wishes={CAR.id: wish}).state.sessions[0]
    assert session.deferrable is (None if waits else False)
    assert session.phases_used == (("L1",) if waits else ("L1", "L2", "L3"))


def test_a_limit_of_its_own_is_planned_with_and_never_below_the_minimum():
    steady = [status(at_s, replace(CAR, power_kw=6.9)) for at_s in range(0, 390, 30)]  # 10 A of 13 A
    assert problem(memory(*steady)).state.sessions[0].max_a == pytest.approx(10.0)
    little = [status(at_s, replace(CAR, power_kw=2.07)) for at_s in range(0, 390, 30)]  # 3 A
    assert problem(memory(*little)).state.sessions[0].max_a == 6.0
    assert problem().state.sessions[0].max_a is None


def test_what_a_car_needs_and_what_it_takes_never_contradict_each_other():
    """It drew 8 A at an offer of 13 A and nothing at 7 A: planned with a maximum below its minimum it would starve."""
    drew = [status(at_s, replace(CAR, power_kw=5.52)) for at_s in range(0, 300, 30)]
    idle = [status(at_s, replace(CAR, power_kw=0.0, setpoint_a=7.0)) for at_s in range(300, 720, 30)]
    site = memory(*drew, *idle)
    assert site.habits.min_a("car") == 13.0
    assert site.habits.max_a("car") == pytest.approx(8.0)
    (session,) = problem(site, now_epoch_s=START + 720.0).state.sessions
    assert session.min_a == 13.0
    assert session.max_a == 13.0


def test_a_battery_counts_only_as_far_as_it_is_known():
    assert problem().state.batteries == (BatteryState("bat", 61.5),)
    silent = memory(status(390.0, replace(BATTERY, reachable=False)))
    assert problem(silent).state.batteries == (BatteryState("bat", None),)
    assert problem(memory(status(390.0, CAR))).state.batteries == (BatteryState("bat", None),)


def test_what_is_not_forecast_stays_unknown():
    forecast = problem().forecast
    assert forecast.start_epoch_s == START
    assert forecast.circuits[0].load_kw == (3.0,) * WEEK
    assert forecast.circuits[0].high_kw == (4.0,) * WEEK
    assert forecast.pv[0].power_kw[:3] == (2.0, None, 2.0)


def test_the_markets_price_replaces_the_tariffs_and_nothing_else():
    market = Dynamic("dynamic", START, (0.1, -0.2, None), 3600)
    tariff = problem(prices=market).tariff
    assert tariff.energy == market
    assert problem().tariff.energy == Fixed("fixed", 0.30)
    assert tariff.capacity is not None
    assert (tariff.capacity.eur_per_kw, tariff.capacity.floor_kw) == (4.0, 2.5)


def test_the_months_peak_so_far_comes_from_memory_in_the_sites_own_month():
    """Midnight in Brussels is 23:00 UTC: what was drawn before belongs to November."""
    site = memory(status(0.0))
    before = np.array([START - 1800.0, START - 900.0], dtype=np.int64)
    c, p = 1, 1
    site.remember(
        Quarters(before, np.ones((2, c)), np.ones((2, p)), np.zeros((2, p), dtype=np.bool_), np.array([17.0, np.nan]))
    )
    november = problem(site, margin_kw=1.5).tariff.capacity
    assert november is not None
    assert (november.realised_kw, november.month, november.margin_kw) == (17.0, "2026-11", 1.5)
    midnight_s = 3 * 3600.0
    site.observe(status(midnight_s + 10.0))
    december = problem(site, now_epoch_s=START + midnight_s + 10.0).tariff.capacity
    assert december is not None
    assert (december.realised_kw, december.month) == (0.0, "2026-12")
    flat = replace(RECORD, tariff=Tariff(Fixed("fixed", 0.30)))
    assert problem(site, flat).tariff.capacity is None


def test_what_was_imported_in_this_quarter_counts():
    site = memory(*(status(at_s) for at_s in range(0, 361, 60)))  # 6 kW for six minutes
    assert problem(site).state.imported_in_quarter_kwh == pytest.approx(0.6)


def test_the_operators_limit_of_now_joins_the_announced_ones():
    announced = OperatorLimit(NOW + 9000.0, NOW + 9900.0, import_kw=9.0)
    record = replace(RECORD, contract=Contract(operator=(announced,)))
    assert problem(None, record).contract.operator == (announced,)
    limited = problem(memory(status(operator_limit_w=4200.0)), record).contract.operator
    assert limited == (announced, OperatorLimit(NOW, NOW + OPERATOR_HOLD_S, import_kw=4.2))
    assert problem(memory(status(operator_limit_w=0.0))).contract.operator[0].import_kw == 0.0


def test_the_plan_in_force_is_the_previous_one():
    ints = np.array([[6000, 0], [10_500, 0]])
    plan = Plan(
        "p", "home", "t", 3, "", NOW - 300.0, START, 900, NOW + 9e4, NOW + 600.0, ("car", "two"), ints, ints,
        np.zeros(2, dtype=np.int64), np.zeros((2, 3), dtype=np.int64), np.zeros(2, dtype=np.int64),
    )  # fmt: skip
    previous = problem(previous=plan).previous
    assert previous is not None
    assert previous.assets == ("car", "two")
    assert previous.setpoint_a == ((6.0, 0.0), (10.5, 0.0))
    assert (previous.issued_epoch_s, previous.start_epoch_s) == (NOW - 300.0, START)
    assert problem().previous is None


def test_announced_cars_are_passed_on():
    coming = Session("two", NOW + 600.0, arrives_epoch_s=NOW + 600.0)
    built = problem(announced=(coming,))
    assert built.state.announced == (coming,)
    assert refusals(built) == ()
