"""Planning problems as JSON: there and back, the schema, and everything that is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import optimizer
from optimizer.core.codec import problem_from_json, problem_schema, problem_to_json
from optimizer.core.planning import Planned, Refused, plan_problem
from optimizer.core.problem import ArrivalForecast, HeatForecast, PreviousPlan, Problem
from optimizer.core.problem_facts import BufferFacts
from optimizer.core.problem_money import Capacity, Carbon, CircuitLimit, Contract, LimitBlock, OperatorLimit
from optimizer.core.problem_state import BufferState, Profile, Run, ScheduleEntry, Vehicle, WeeklyTarget
from optimizer.core.problem_types import Block
from tests.optimizer.problems import ALL, HOUR, NOW, dynamic, problem, session, with_battery, with_pv

EXAMPLES = sorted((Path(optimizer.__file__).parent / "examples").glob("*.json"))
STEPS = 8


def everything() -> Problem:
    """A problem that uses every part there is."""
    tariff = dynamic(
        *[0.1, None, 0.3] * 3, capacity=Capacity(4.0, 2.5, 30.0, "2025-11", 1.0),
        carbon=Carbon(NOW, (100.0, None) * 4, 50.0),
    )  # fmt: skip
    base = with_pv(with_battery(problem(session("a", tag="T"), steps=STEPS, tariff=tariff)), (2.0, None) * 4)
    tank = BufferFacts("tank", "gcp", ("L1",), 3.0, 10.0, 20.0)
    run = Run("pump", "gcp", ALL, (2.0, 1.0), NOW, NOW + HOUR)
    return replace(
        base,
        site=replace(base.site, buffers=(tank,)),
        state=replace(base.state, buffers=(BufferState("tank", 12.0),), runs=(run,), imported_in_quarter_kwh=0.0),
        forecast=replace(
            base.forecast,
            heat=(HeatForecast("tank", (1.0,) * STEPS),),
            arrivals=(ArrivalForecast("garage", (1.0,) * STEPS),),
        ),
        contract=Contract(
            import_kw=30.0,
            blocks=(LimitBlock(Block("17:00", "20:00"), import_kw=20.0),),
            operator=(OperatorLimit(NOW, NOW + HOUR, import_kw=15.0),),
            circuits=(CircuitLimit("garage", (30.0, 30.0, 30.0)),),
        ),
        vehicles=(Vehicle("v"),),
        profiles=(Profile("T", vehicle="v", weekly=(WeeklyTarget(("sat",), "07:00", "km", 100.0),)),),
        schedule=(ScheduleEntry(NOW + 9 * HOUR, "pct", 80.0, vehicle="v"),),
        previous=PreviousPlan(NOW - 60, NOW, ("a",), ((6.0,), (None,))),
    )


GOOD = json.loads(problem_to_json(everything()))


def refused(data: Any) -> str:
    """The reasons, of which there must be some."""
    text = data if isinstance(data, bytes) else json.dumps(data).encode()
    found = problem_from_json(text)
    assert isinstance(found, tuple)
    return "\n".join(found)


def changed(path: str, value: Any) -> dict[str, Any]:
    """The good problem with one value replaced, or a key added."""
    data: dict[str, Any] = json.loads(json.dumps(GOOD))
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    at: Any = data
    for part in way:
        at = at[part]
    at[last] = value
    return data


def test_a_problem_with_everything_travels_there_and_back():
    assert problem_from_json(problem_to_json(everything())) == everything()


def test_a_problem_with_everything_has_a_plan():
    planned = plan_problem(everything())
    assert isinstance(planned, Planned)
    assert set(planned.assets) == {"a", "bat", "roof", "tank", "pump"}


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_the_shipped_examples_follow_the_schema_and_have_plans(path: Path):
    jsonschema.Draft202012Validator(problem_schema()).validate(json.loads(path.read_bytes()))
    found = problem_from_json(path.read_bytes())
    assert isinstance(found, Problem)
    planned = plan_problem(found)
    assert isinstance(planned, Planned)
    assert planned.status == "optimal"


def test_there_are_examples():
    assert {path.stem for path in EXAMPLES} >= {"garage", "depot"}


def test_the_schema_refuses_what_the_codec_refuses():
    validator = jsonschema.Draft202012Validator(problem_schema())
    validator.check_schema(problem_schema())
    validator.validate(GOOD)
    assert not validator.is_valid(changed("state.sessions.0.colour", "red"))
    assert not validator.is_valid(changed("site.evses.0.max_a", -1))


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("colour", "red", "colour: there is no such key"),
        ("state.sessions.0.colour", "red", "state.sessions.0.colour: there is no such key"),
        ("site.evses.0.max_a", "16", "site.evses.0.max_a: input should be a valid number, not '16'"),
        ("site.evses.0.max_a", True, "site.evses.0.max_a"),
        ("site.evses.0.phases", ["L4"], "site.evses.0.phases.0"),
        ("site.circuits.0.limit_a", [1.0, 2.0], "site.circuits.0.limit_a"),
        ("tariff.energy.kind", "free", "tariff.energy"),
        ("tariff.energy.eur_per_kwh", [90.0], "less than or equal to 10"),
        ("settings.horizon_steps", 0, "settings.horizon_steps"),
        ("settings.horizon_steps", 100_000, "settings.horizon_steps"),
        ("state.sessions.0.target.departure_local", "25:00", "state.sessions.0.target.departure_local"),
        ("schema", 2, "this program reads problems of schema 1, this one says 2"),
        ("now_epoch_s", -1, "now_epoch_s"),
        ("now_epoch_s", 1e300, "now_epoch_s"),
    ],
)
def test_a_misfit_is_named_by_its_place(path: str, value: Any, words: str):
    assert words in refused(changed(path, value))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "not JSON"),
        (b"<html>", "not JSON"),
        (b"[]", "a problem is a JSON object"),
        (b"{}", "this program reads problems of schema 1, this one says None"),
        (b'{"schema": 1, "schema": 1}', "key 'schema' is given twice"),
        (b'{"schema": 1, "now_epoch_s": NaN}', "NaN is not a number"),
        (b'{"schema": 1, "now_epoch_s": 1e400}', "now_epoch_s: input should be a finite number"),
        (b'{"schema": 1, "x": ' + b"[" * 500 + b"]" * 500 + b"}", "nested deeper than"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b'{"schema": 1' + b" " * 17_000_000 + b"}", "larger than 16 MB"),
    ],
)
def test_what_is_no_problem_at_all(text: bytes, words: str):
    assert words in refused(text)


def test_a_missing_part_is_named():
    data = {key: value for key, value in GOOD.items() if key != "tariff"}
    assert refused(data) == "tariff: it is missing"


def test_many_misfits_are_cut_short():
    broken = changed("state.sessions", [{"evse": k} for k in range(50)])
    assert refused(broken).splitlines()[-1].endswith("more: correct these first")


def paths(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [way] if way else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found += paths(item, (*way, key))
    return found


PATHS = paths(GOOD)
NUMBERS = st.sampled_from([0, -1, 1e9, 0.5, 1e18, 1, 100, NOW, NOW + 900])
WORDS = st.sampled_from(["gcp", "a", "L1", "garage", "T", "v"])
ODD = st.one_of(
    st.none(), st.booleans(), st.text(max_size=5), st.integers(-(10**6), 10**6), NUMBERS, WORDS,
    st.floats(allow_nan=False, allow_infinity=False), st.floats(0, 50), st.just([]), st.just({}),
)  # fmt: skip


@settings(max_examples=300)
@given(st.lists(st.tuples(st.sampled_from(PATHS), ODD), min_size=1, max_size=4))
def test_mutated_problems_give_a_plan_or_reasons_never_a_traceback(mutations):
    data = json.loads(json.dumps(GOOD))
    for way, value in mutations:
        at = data
        try:
            for part in way[:-1]:
                at = at[part]
            at[way[-1]] = value
        except (KeyError, IndexError, TypeError):  # an earlier mutation took that branch away
            continue
    found = problem_from_json(json.dumps(data).encode())
    if isinstance(found, tuple):
        assert found
        assert all(reason and "Traceback" not in reason for reason in found)
        return
    planned = plan_problem(found)
    if isinstance(planned, Refused):
        assert planned.reasons
        return
    assert planned.setpoint_ma.shape == (found.settings.horizon_steps, len(planned.assets))


@settings(max_examples=200)
@given(st.binary(max_size=60), st.integers(0, 5000))
def test_torn_files_never_give_a_traceback(noise: bytes, at: int):
    text = json.dumps(GOOD).encode()
    found = problem_from_json(text[:at] + noise + text[at + 3 :])
    assert isinstance(found, Problem) or all(isinstance(reason, str) for reason in found)
