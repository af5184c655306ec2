"""What no plan is made for, in one sentence each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from optimizer.core.check import refusals
from optimizer.core.problem import (
    ArrivalForecast,
    CircuitForecast,
    Forecast,
    HeatForecast,
    PreviousPlan,
    Problem,
    PvForecast,
)
from optimizer.core.problem_facts import BatteryFacts, CircuitFacts
from optimizer.core.problem_money import CircuitLimit, Contract
from optimizer.core.problem_state import BatteryState, BufferState, Profile, Run, Vehicle
from tests.optimizer.problems import ALL, NOW, evse, problem, session

GOOD = problem(session("a"))
CIRCUITS = GOOD.site.circuits


def with_site(**more) -> Problem:
    return replace(GOOD, site=replace(GOOD.site, **more))


def with_state(**more) -> Problem:
    return replace(GOOD, state=replace(GOOD.state, **more))


def with_forecast(**more) -> Problem:
    return replace(GOOD, forecast=replace(GOOD.forecast, **more))


def circuit(name: str, parent: str | None) -> CircuitFacts:
    return CircuitFacts(name, (16.0, 16.0, 16.0), parent=parent)


CASES: dict[str, tuple[Problem, str]] = {
    "another topology": (
        with_state(topology_version="v0"),
        "the state was taken with topology v0 and this is topology v1: the site has changed since, take a new state",
    ),
    "old state": (with_state(taken_epoch_s=NOW - 3600), "the state is 60 min old, more than 15 min"),
    "state of tomorrow": (with_state(taken_epoch_s=NOW + 7200), "the state was taken 2.0 h after this problem's own"),
    "unknown EVSE": (with_state(sessions=(session("ghost"),)), "there is no EVSE 'ghost' on this site"),
    "two cars at one EVSE": (with_state(sessions=(session("a"), session("a"))), "EVSE 'a' is given 2 times"),
    "unknown battery": (with_state(batteries=(BatteryState("b1"),)), "there is no battery 'b1' on this site"),
    "unknown buffer": (with_state(buffers=(BufferState("h1"),)), "there is no buffer 'h1' on this site"),
    "unknown plant": (with_forecast(pv=(PvForecast("roof", (1.0,)),)), "there is no PV plant 'roof' on this site"),
    "unknown heat": (with_forecast(heat=(HeatForecast("h1", (1.0,)),)), "there is no buffer 'h1' on this site"),
    "unknown circuit": (
        with_forecast(circuits=(*GOOD.forecast.circuits, CircuitForecast("cellar", (1.0,)))),
        "there is no circuit 'cellar' on this site",
    ),
    "arrivals nowhere": (
        with_forecast(arrivals=(ArrivalForecast("cellar", (1.0,)),)),
        "there is no circuit 'cellar' on this site",
    ),
    "a limit nowhere": (
        replace(GOOD, contract=Contract(circuits=(CircuitLimit("cellar", (1.0, 1.0, 1.0)),))),
        "there is no circuit 'cellar' on this site",
    ),
    "no forecast": (replace(GOOD, forecast=Forecast(NOW)), "there is no forecast of the load at the grid connection"),
    "nothing in it": (
        with_forecast(circuits=(CircuitForecast("gcp", (None, None)),)),
        "there is no forecast of the load at the grid connection 'gcp'",
    ),
    "a forecast of last week": (with_forecast(start_epoch_s=NOW - 604_800), "does not reach the hours of this plan"),
    "off the quarter": (with_forecast(start_epoch_s=NOW + 60), "forecast.start_epoch_s is not on a clock quarter"),
    "previous off the quarter": (
        replace(GOOD, previous=PreviousPlan(NOW, NOW + 1, ("a",), ((6.0,),))),
        "previous.start_epoch_s is not on a clock quarter",
    ),
    "ragged previous": (
        replace(GOOD, previous=PreviousPlan(NOW, NOW, ("a",), ((6.0, 7.0),))),
        "previous.setpoint_a does not have one column per asset",
    ),
    "no root": (with_site(circuits=(circuit("x", "y"), circuit("y", "x"))), "exactly one circuit has no parent"),
    "two roots": (with_site(circuits=(*CIRCUITS, circuit("gcp2", None))), "exactly one circuit has no parent"),
    "a ring": (with_site(circuits=(*CIRCUITS, circuit("x", "y"), circuit("y", "x"))), "circuit 'x' is its own parent"),
    "no such parent": (with_site(circuits=(*CIRCUITS, circuit("x", "attic"))), "there is no circuit 'attic' above it"),
    "circuit twice": (with_site(circuits=(*CIRCUITS, CIRCUITS[1])), "circuit 'garage' is given 2 times"),
    "asset nowhere": (with_site(evses=(evse("a", circuit="attic"),)), "asset 'a': there is no circuit 'attic'"),
    "asset twice": (
        with_site(batteries=(BatteryFacts("a", "gcp", ALL, 10.0, 5.0, 5.0),)),
        "asset 'a' is given 2 times",
    ),
    "run named like an EVSE": (
        with_state(runs=(Run("a", "gcp", ALL, (1.0,), NOW, NOW + 7200),)),
        "run 'a' has the id of an asset of another kind",
    ),
    "vehicle twice": (replace(GOOD, vehicles=(Vehicle("v"), Vehicle("v"))), "vehicle 'v' is given 2 times"),
    "tag twice": (replace(GOOD, profiles=(Profile("t"), Profile("t"))), "RFID tag 't' is given 2 times"),
    "here and yet to come": (
        with_state(sessions=(session("a", arrives_epoch_s=NOW),)),
        "a session that is going on has an hour of arrival: cars that are not here yet are 'announced'",
    ),
    "coming without an hour": (with_state(announced=(session("a"),)), "an announced car has no hour of arrival"),
    "coming nowhere": (with_state(announced=(session("g", arrives_epoch_s=NOW),)), "there is no EVSE 'g' on this site"),
    "no such zone": (with_site(time_zone="Europe/Atlantis"), "there is no time zone 'Europe/Atlantis'"),
    "a folder of zones": (with_site(time_zone="Europe"), "there is no time zone 'Europe'"),
}


@pytest.mark.parametrize("case", CASES)
def test_refused_in_one_clear_sentence(case: str):
    broken, sentence = CASES[case]
    found = refusals(broken)
    assert any(sentence in reason for reason in found), found
    assert all("\n" not in reason and len(reason) < 200 for reason in found)


def test_a_sound_problem_is_not_refused():
    assert refusals(GOOD) == ()


ALLOWED: dict[str, Callable[[], Problem]] = {
    "no session": lambda: problem(facts=replace(GOOD.site, evses=())),
    "a gap in the forecast": lambda: with_forecast(circuits=(CircuitForecast("gcp", (None,) * 20 + (2.0,) * 28),)),
    "an unknown tag": lambda: with_state(sessions=(session("a", tag="who"),)),
    "an unknown vehicle": lambda: with_state(sessions=(session("a", vehicle="who"),)),
    "a departure long ago": lambda: with_state(sessions=(session("a", hours=-9000),)),
}


@pytest.mark.parametrize("case", ALLOWED)
def test_wishes_and_gaps_are_never_refused(case: str):
    assert refusals(ALLOWED[case]()) == ()
