"""Everything that can be wrong with a problem, one by one: a plan below every limit, or one clear refusal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from optimizer.core.planning import Planned, Refused, plan_problem
from optimizer.core.planning_check import excesses
from optimizer.core.planning_rows import columns_of
from optimizer.core.problem import Forecast, HeatForecast, Problem
from optimizer.core.problem_facts import BufferFacts
from optimizer.core.problem_money import Capacity, Contract
from optimizer.core.problem_state import BatteryState, Target
from tests.optimizer.problems import ALL, HOUR, NOW, dynamic, evse, fixed, problem, session, site, with_battery, with_pv

STEPS = 16
BASE = problem(session("a"), session("b", hours=2.0), steps=STEPS)


def with_target(amount: float, hours: float, unit: str = "kwh") -> Problem:
    wanted = Target(unit=unit, amount=amount, departure_epoch_s=NOW + hours * HOUR)  # type: ignore[arg-type]
    first, *others = BASE.state.sessions
    return replace(BASE, state=replace(BASE.state, sessions=(replace(first, target=wanted), *others)))


def with_load(*load_kw: float | None) -> Problem:
    (one,) = BASE.forecast.circuits
    return replace(BASE, forecast=Forecast(NOW, circuits=(replace(one, load_kw=load_kw),)))


def of_circuit(**facts: object) -> Problem:
    garage = replace(BASE.site.circuits[1], **facts)  # type: ignore[arg-type]
    return replace(BASE, site=replace(BASE.site, circuits=(BASE.site.circuits[0], garage)))


def with_buffer() -> Problem:
    store = BufferFacts("pump", "gcp", ALL, 6.0, low_kwh=30.0, high_kwh=40.0, cop=3.0)
    heat = (HeatForecast("pump", (50.0, None) * (STEPS // 2)),)
    return replace(BASE, site=replace(BASE.site, buffers=(store,)), forecast=replace(BASE.forecast, heat=heat))


PLANNED: dict[str, Callable[[], Problem]] = {
    "an empty site": lambda: problem(steps=STEPS),
    "a battery at -12 %": lambda: with_battery(BASE, -12.0),
    "a battery at 250 %": lambda: with_battery(BASE, 250.0),
    "a battery of unknown charge": lambda: with_battery(BASE, None),
    "an import limit below the load": lambda: replace(BASE, contract=Contract(import_kw=1.0)),
    "an import limit of nothing": lambda: replace(BASE, contract=Contract(import_kw=0.0)),
    "a circuit that may carry nothing": lambda: of_circuit(limit_a=(0.0, 0.0, 0.0)),
    "a power limit below the load": lambda: of_circuit(max_import_kw=3.0, background_max_a=(9.0, 9.0, 9.0)),
    "a power limit below a minimum current": lambda: of_circuit(max_import_kw=4.0),
    "a departure in the past": lambda: with_target(10.0, -30.0),
    "a departure in five minutes": lambda: with_target(10.0, 5 / 60),
    "a departure in a year": lambda: with_target(10.0, 365 * 24),
    "a target of 400 %": lambda: with_target(400.0, 3.0, "pct"),
    "10 000 km": lambda: with_target(10_000.0, 3.0, "km"),
    "a target below zero": lambda: with_target(-5.0, 3.0),
    "missing steps of the load": lambda: with_load(2.0, None, None, 3.0, *[None] * (STEPS - 4)),
    "a forecast that ends early": lambda: with_load(2.0, 3.0),
    "missing steps of the sun": lambda: with_pv(BASE, (5.0, None) * (STEPS // 2)),
    "a sun that nobody forecasts": lambda: replace(with_pv(BASE, ()), forecast=BASE.forecast),
    "-500 EUR/MWh": lambda: replace(BASE, tariff=dynamic(*[-0.5] * STEPS)),
    "+4000 EUR/MWh": lambda: replace(BASE, tariff=dynamic(*[4.0] * STEPS)),
    "both, hour by hour": lambda: replace(BASE, tariff=dynamic(*[-0.5, 4.0] * (STEPS // 2))),
    "no price at all": lambda: replace(BASE, tariff=dynamic(*[None] * STEPS)),
    "a month's peak of another year": lambda: replace(
        BASE, tariff=fixed(capacity=Capacity(4.0, realised_kw=900.0, month="1999-01"))
    ),
    "a heat demand nothing can meet": with_buffer,
    "300 cars in one slot": lambda: problem(*(session(f"car-{k}", hours=1.0) for k in range(300)), steps=STEPS),
    "an unknown tag": lambda: problem(replace(session("a"), target=None, tag="NOBODY"), steps=STEPS),
}
REFUSED: dict[str, tuple[Callable[[], Problem], str]] = {
    "a topology that has changed": (
        lambda: replace(BASE, site=replace(BASE.site, topology_version="v2")),
        "the site has changed since, take a new state",
    ),
    "a battery that is not there": (
        lambda: replace(BASE, state=replace(BASE.state, batteries=(BatteryState("bat", 50.0),))),
        "there is no battery 'bat' on this site",
    ),
    "two cars at one EVSE": (lambda: problem(session("a"), session("a"), facts=site(evse("a"))), "given 2 times"),
    "no forecast of the load": (lambda: with_load(*[None] * STEPS), "no forecast of the load"),
}


@pytest.mark.parametrize("wrong", PLANNED)
def test_there_is_a_plan_and_it_is_below_every_limit(wrong):
    made = PLANNED[wrong]()
    found = plan_problem(made)
    assert isinstance(found, Planned), found
    assert len(found.setpoint_ma) == STEPS
    columns = columns_of(made, found.compiled, found.solution)
    told = {name: found.setpoint_ma[:, k] for k, name in enumerate(found.assets)}
    sent = [replace(column, setpoint_ma=told[column.asset], counted_ma=told[column.asset]) for column in columns]
    assert excesses(made, found.compiled, [one for one in sent if one.kind != "pv"]) == []


@pytest.mark.parametrize("wrong", REFUSED)
def test_it_is_refused_in_one_sentence(wrong):
    make, words = REFUSED[wrong]
    found = plan_problem(make())
    assert isinstance(found, Refused)
    assert len(found.reasons) == 1
    assert words in found.reasons[0]
