"""When a site's next plan is due, and what becomes of the one in force."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from forecasting.core.sessions import Place, SiteClass
from interfaces.domain.image import Pilot
from interfaces.domain.live import AssetLive, CircuitLive, LiveStatus
from interfaces.domain.plan import plan_problems
from interfaces.domain.topology import Asset, AssetKind, Circuit, build_topology
from optimizer.core.planning import Refused
from optimizer.core.problem_money import Capacity, Fixed, Tariff
from optimizer.core.problem_state import Target
from optimizer.service import horizon
from optimizer.service.horizon import DEVIATION_S, ERROR_LEVEL, LEAST_ERRORS, LEAST_S, Issued, SitePlanner
from optimizer.service.outlook import Models, outlook_of
from optimizer.service.record import PLAN_EVERY_S, Outlook, SiteRecord

TOPOLOGY = build_topology(
    [Circuit("gcp", None, (63.0,) * 3, meter="m", background_max_a=(20.0,) * 3)],
    [Asset("car", AssetKind.EVSE, "d1", "gcp", (0, 1, 2), 16.0)],
    version="t",
)
START = datetime.fromisoformat("2026-06-10T10:00:00+00:00").timestamp()
RECORD = SiteRecord("home", "Europe/Brussels", TOPOLOGY, Tariff(Fixed("fixed", 0.30), capacity=Capacity(4.0)))
MODELS = Models(Place(SiteClass.WORKPLACE, "Europe/Brussels", None))
EMPTY = AssetLive("car", int(Pilot.A), None, 0.0, None, 0.0, 0.0, 0.0, (1, 1, 1), None, 0, True)
HERE = replace(EMPTY, pilot=int(Pilot.B2), plugged_in_epoch_s=START + 100.0)
LOAD_KW = 5.0


def status(at_s: float, grid_kw: float | None = LOAD_KW, car: AssetLive = EMPTY, **changes: object) -> LiveStatus:
    circuit = CircuitLive("gcp", grid_kw, car.power_kw or 0.0, (None, None, None), (0.0, 0.0, 0.0))
    plain = LiveStatus("home", "t", START + at_s, "plan", 1, None, (circuit,), (car,))
    return replace(plain, **changes)  # type: ignore[arg-type]


def planner(record: SiteRecord = RECORD, sequence: int = 0) -> SitePlanner:
    made = SitePlanner(record, MODELS, sequence=sequence)
    made.observe(status(0.0))
    return made


def outlook(load_kw: float = LOAD_KW, at_s: float = 0.0) -> Outlook:
    steps = np.full(192, load_kw)
    return Outlook(int((START + at_s) // 900) * 900, {"gcp": steps}, {"gcp": steps}, {}, {})


def make(site: SitePlanner, at_s: float, load_kw: float = LOAD_KW) -> Issued:
    made = site.make(START + at_s, prices=None, wishes={}, outlook=outlook(load_kw, at_s))
    assert isinstance(made, Issued)
    return made


def test_nothing_is_due_before_the_site_has_spoken():
    silent = SitePlanner(RECORD, MODELS)
    assert silent.due(START) == ""
    silent.happened("new prices")
    assert silent.due(START) == ""
    silent.observe(status(0.0))
    assert silent.due(START) == "new prices"


def test_time_makes_a_plan_due_every_five_minutes():
    site = planner()
    assert site.due(START) == "time"
    assert make(site, 1.0).reason == "time"
    assert site.due(START + PLAN_EVERY_S) == ""
    assert site.due(START + 1.0 + PLAN_EVERY_S) == "time"
    often = planner(replace(RECORD, plan_every_s=60.0))
    assert make(often, 1.0).plan.lease_until_epoch_s == START + 1.0 + 180.0
    assert often.due(START + 61.0) == "time"


def test_a_plan_is_fresh_when_a_quarter_begins_and_sites_do_not_all_ask_at_once():
    moments = set()
    for name in ("home", "yard", "shop", "farm"):
        site = planner(replace(RECORD, id=name))
        make(site, 600.0)
        due = [at_s for at_s in range(615, 900) if site.due(START + at_s)]
        assert 750 <= due[0] <= 840, name
        make(site, float(due[0]))
        assert not any(site.due(START + at_s) for at_s in range(due[0] + 15, due[0] + 300))
        moments.add(due[0])
    assert len(moments) > 1
    seldom = planner(replace(RECORD, plan_every_s=1800.0))
    make(seldom, 600.0)
    assert seldom.due(START + 899.0) == ""


def test_a_car_that_comes_or_goes_makes_one_due_soon_and_several_share_it():
    site = planner()
    make(site, 90.0)
    site.observe(status(100.0, car=HERE))
    assert site.due(START + 90.0 + LEAST_S - 1.0) == ""
    site.observe(status(102.0))
    assert site.due(START + 90.0 + LEAST_S) == "plug_in car"
    assert make(site, 90.0 + LEAST_S).reason == "plug_in car"
    assert site.due(START + 200.0) == ""
    site.observe(status(210.0, car=HERE))
    make(site, 220.0)
    site.observe(status(240.0))
    assert site.due(START + 240.0) == "plug_out car"


def test_an_operator_limit_and_whatever_the_caller_knows_make_one_due():
    site = planner()
    make(site, 1.0)
    site.observe(status(30.0, operator_limit_w=5000.0))
    assert site.due(START + 30.0) == "operator_limit"
    make(site, 31.0)
    site.happened("new prices")
    site.happened("a target")
    assert site.due(START + 60.0) == "new prices"


def test_asked_out_of_turn_it_plans_too():
    site = planner()
    make(site, 1.0)
    assert make(site, 5.0).reason == "asked"


def test_a_plan_is_well_formed_in_order_and_leased():
    site = planner(sequence=41)
    first, second = make(site, 30.0).plan, make(site, 400.0).plan
    assert plan_problems(first) == ()
    assert (first.sequence, second.sequence) == (42, 43)
    assert (first.plan_id, first.site, first.topology_version) == ("home-42", "home", "t")
    assert first.issued_epoch_s == START + 30.0
    assert first.lease_until_epoch_s == START + 30.0 + RECORD.lease_s
    assert first.start_epoch_s == START
    assert first.valid_until_epoch_s > START + 47 * 3600.0
    assert RECORD.lease_s >= 2.0 * PLAN_EVERY_S
    assert site.plan is second


def test_the_plan_in_force_is_known_to_the_next_one():
    site = planner()
    assert make(site, 30.0).problem.previous is None
    previous = make(site, 400.0).problem.previous
    assert previous is not None
    assert previous.issued_epoch_s == START + 30.0


def test_a_problem_that_is_refused_keeps_the_plan_and_its_lease():
    site = planner()
    kept = make(site, 30.0).plan
    site.observe(status(60.0))
    nowhere = replace(outlook(), load_kw={"moon": np.ones(192)}, high_kw={})
    refused = site.make(START + 90.0, prices=None, wishes={}, outlook=nowhere)
    assert isinstance(refused, Refused)
    assert any("moon" in reason for reason in refused.reasons)
    assert site.plan is kept
    assert site.sequence == kept.sequence
    assert site.plan.lease_until_epoch_s == START + 30.0 + RECORD.lease_s
    assert site.due(START + 120.0) == ""
    assert site.due(START + 90.0 + PLAN_EVERY_S) == "time"
    assert make(site, 90.0 + PLAN_EVERY_S).plan.sequence == kept.sequence + 1


def fed(site: SitePlanner, begin_s: float, end_s: float, grid_kw: float | None) -> None:
    for at_s in np.arange(begin_s, end_s + 1.0, 30.0):
        site.observe(status(float(at_s), grid_kw))


@pytest.mark.parametrize(("grid_kw", "told"), [(LOAD_KW + 4.0, True), (LOAD_KW - 4.0, True), (LOAD_KW + 2.0, False)])
def test_a_site_that_draws_clearly_more_or_less_than_planned_makes_one_due(grid_kw, told):
    site = planner()
    make(site, 30.0)
    fed(site, 60.0, 60.0 + DEVIATION_S - 30.0, grid_kw)
    assert site.due(START + 60.0 + DEVIATION_S - 30.0) == ""
    fed(site, 60.0 + DEVIATION_S, 60.0 + DEVIATION_S, grid_kw)
    due = site.due(START + 60.0 + DEVIATION_S)
    assert ("where 5.0 were planned" in due) == told
    assert bool(due) == told


def test_a_deviation_that_passes_or_that_nobody_measured_is_none():
    site = planner()
    make(site, 30.0)
    fed(site, 60.0, 150.0, 12.0)
    fed(site, 180.0, 180.0, LOAD_KW)
    fed(site, 210.0, 300.0, 12.0)
    assert site.due(START + 300.0) == ""
    silent = planner()
    make(silent, 30.0)
    fed(silent, 60.0, 300.0, None)
    assert silent.due(START + 300.0) == ""


def test_forecasts_are_made_once_in_a_quarter(monkeypatch):
    calls: list[float] = []
    real = outlook_of

    def counted(models, memory, weather, now_epoch_s, steps):
        calls.append(now_epoch_s - START)
        return real(models, memory, weather, now_epoch_s, steps)

    monkeypatch.setattr(horizon, "outlook_of", counted)
    site = planner()
    for at_s in (10.0, 310.0, 610.0, 905.0, 1200.0):
        site.observe(status(at_s))
        assert isinstance(site.make(START + at_s, prices=None, wishes={}), Issued)
    assert calls == [10.0, 905.0]


def quarters(site: SitePlanner, errors_kw: list[float], first: int = 0) -> None:
    """Plan each next quarter at 5 kW, then let it come out so much higher."""
    for k, error_kw in enumerate(errors_kw, start=first):
        begin_s = 900.0 * (k + 1)
        make(site, begin_s - 100.0)
        for at_s in np.arange(begin_s, begin_s + 900.0, 60.0):
            site.observe(status(float(at_s), LOAD_KW + error_kw))


def test_the_margin_under_the_peak_is_learned_from_what_was_missed(monkeypatch):
    monkeypatch.setattr(horizon, "LEAST_ERRORS", 8)
    site = planner()
    site.observe(status(60.0))
    errors = [0.0, 1.0, 2.0, 3.0, 4.0, -1.0, 0.5, 1.5, 2.5, 3.5]
    quarters(site, errors[:6])
    assert site.margin_kw == 0.0  # too few to tell
    quarters(site, errors[6:], first=6)
    site.observe(status(900.0 * 11 + 10.0))
    last = make(site, 900.0 * 11 + 30.0)
    assert site.margin_kw == pytest.approx(float(np.quantile(errors, ERROR_LEVEL)), abs=0.01)
    capacity = last.problem.tariff.capacity
    assert capacity is not None
    assert capacity.margin_kw == pytest.approx(site.margin_kw)


def test_quarters_that_came_out_lower_make_no_margin(monkeypatch):
    monkeypatch.setattr(horizon, "LEAST_ERRORS", 3)
    site = planner()
    site.observe(status(60.0))
    quarters(site, [-2.0] * 5)
    site.observe(status(900.0 * 6 + 10.0))
    make(site, 900.0 * 6 + 30.0)
    assert site.margin_kw == 0.0
    assert LEAST_ERRORS == 96  # a day


def test_targets_reach_the_plan():
    site = planner()
    site.observe(status(110.0, car=HERE))
    wish = Target("kwh", 8.0, START + 3 * 3600.0)
    made = site.make(START + 120.0, prices=None, wishes={"car": wish}, outlook=outlook())
    assert isinstance(made, Issued)
    kwh = made.plan.setpoint_ma[:, made.plan.assets.index("car")].sum() / 1000.0 * 0.230 * 3 / 4
    assert kwh == pytest.approx(8.0, rel=0.1)
