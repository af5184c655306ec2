"""Room for a step, and records of steps in, sentences out."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.commission import (
    EvsePlan,
    EvseRecord,
    FailsafeSeen,
    Found,
    Levels,
    Row,
    Silence,
    Step,
    Three,
    is_over,
    room_of,
)
from controller.core.commission_judge import judge, may_command, swapped_with, trust_in_meters

PLAN = EvsePlan("ev", "ev", "make", (0, 1, 2), 16.0, 6.0, 6.0, 60.0, False, "write", 10.0, ())
FOUND = Found(connected=True, serial="S1", state="B2", setpoint_a=0.0, failsafe_a=6.0, timeout_s=60.0)
VERIFIED = FailsafeSeen("verified", 6.0, 60.0)
BASE = EvseRecord(PLAN, FOUND, VERIFIED)


def step(target_a: float, drawn_a: float | None, before_a: float = 0.0, **more: float | str | None) -> Step:
    def look(amps: float | None) -> Levels:
        return Levels(0.0, charger_a=(amps, amps, amps), offered_a=target_a, readback_a=target_a, state="C2")

    made = Step(target_a, "done", look(before_a), look(drawn_a), offered_s=1.0, measured_s=3.0)
    return replace(made, **more)  # type: ignore[arg-type]


GOOD = (step(0.0, 0.0), step(6.0, 6.0), step(10.0, 9.8, 6.0), step(0.0, 0.0, 10.0))


def codes(record: EvseRecord, verdict: str = "fault") -> set[str]:
    return {found.code for found in judge(record) if found.verdict == verdict}


def test_a_good_record_has_no_fault_and_every_fault_says_what_to_do() -> None:
    assert codes(replace(BASE, steps=GOOD)) == set()
    bad = replace(BASE, failsafe=FailsafeSeen("unsafe", 32.0, 60.0), steps=(step(6.0, 16.0),))
    faults = [found for found in judge(bad) if found.verdict == "fault"]
    assert faults
    assert all(found.do and found.says for found in faults)


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (replace(FOUND, connected=False), "no_connection"),
        (replace(FOUND, stranger="another device answers for ev: were their addresses or cables swapped?"),
         "addresses_swapped"),
        (replace(FOUND, stranger="another device answers for ev, it was S0"), "wrong_device"),
        (replace(FOUND, suspect=("the maker's name is another one",)), "wrong_device"),
    ],
)  # fmt: skip
def test_whoever_is_not_the_device_gets_nothing_written_and_nothing_else_is_judged(found: Found, code: str) -> None:
    record = replace(BASE, found=found, steps=GOOD)
    assert not may_command(record)
    assert [one.code for one in judge(record)] == [code]


@pytest.mark.parametrize(
    ("change", "seen", "fault", "word"),
    [
        ({}, FailsafeSeen("unsafe", 32.0, 60.0), {"failsafe_unsafe"}, "32 A"),
        ({"failsafe_a": 32.0}, VERIFIED, {"failsafe_unsafe"}, "was unsafe"),
        ({"timeout_s": 0.0}, VERIFIED, {"failsafe_unsafe"}, "switched off"),
        ({"timeout_s": 600.0}, VERIFIED, {"failsafe_unsafe"}, "600 s"),
        ({}, FailsafeSeen(), {"failsafe_unproven"}, "cannot be proven"),
    ],
)
def test_failsafe(change: dict[str, float], seen: FailsafeSeen, fault: set[str], word: str) -> None:
    record = replace(BASE, found=replace(FOUND, **change), failsafe=seen)  # type: ignore[arg-type]
    assert codes(record) == fault
    assert any(word in one.says for one in judge(record))


def test_an_accepted_failsafe_that_cannot_be_read_is_a_note() -> None:
    record = replace(BASE, plan=replace(PLAN, accepted=True), failsafe=FailsafeSeen())
    assert codes(record) == set()
    assert "failsafe_unproven" in codes(record, "note")


@pytest.mark.parametrize(
    ("steps", "code"),
    [
        ((step(6.0, 16.0),), "setpoint_not_applied"),
        ((step(6.0, 6.0), step(0.0, 6.0, 6.0)), "setpoint_not_applied"),
        ((step(6.0, 6.0, problem="acknowledged but not applied"),), "setpoint_not_applied"),
        ((step(6.0, 0.0, measured_s=None), step(10.0, 0.0, measured_s=None)), "no_reaction"),
        ((step(6.0, 6.0, measured_s=14.0),), "reaction_slow"),
    ],
)
def test_steps(steps: tuple[Step, ...], code: str) -> None:
    assert code in codes(replace(BASE, steps=steps))


def test_a_car_that_takes_less_than_offered_is_no_fault() -> None:
    assert codes(replace(BASE, steps=(step(6.0, 5.2), step(10.0, 8.0, 5.2)))) == set()


def test_without_a_car_nothing_is_claimed() -> None:
    alone = replace(BASE, found=replace(FOUND, state="A"), steps=(step(6.0, 0.0, measured_s=None),))
    assert codes(alone) == set()
    assert "no_car" in codes(alone, "not_tested")


@pytest.mark.parametrize(
    ("silence", "fault", "untested"),
    [
        (Silence("done", 0.0, 75.0, offered_a=6.0), set(), set()),
        (Silence("done", 0.0, 75.0, offered_a=16.0), {"failsafe_fails"}, set()),
        (Silence("done", 0.0, 75.0, charging_a=10.0), {"failsafe_fails"}, set()),
        (Silence("done", 0.0, 75.0), set(), {"silence"}),
        (Silence("refused", why="no watchdog"), set(), {"silence"}),
    ],
)
def test_loss_of_communication(silence: Silence, fault: set[str], untested: set[str]) -> None:
    record = replace(BASE, steps=GOOD, silence=silence)
    assert codes(record) == fault
    assert untested <= codes(record, "not_tested")


def test_nothing_offered_without_a_car_proves_no_failsafe() -> None:
    record = replace(BASE, silence=Silence("done", 0.0, 75.0, offered_a=0.0, charging_a=0.0))
    assert "silence" in codes(record, "not_tested")


def test_the_other_charger_that_follows_our_steps_is_named_and_one_that_charges_by_itself_is_not() -> None:
    def look(target_a: float, twin_a: float) -> Levels:
        return Levels(0.0, charger_a=(0.0, 0.0, 0.0), others_a={"twin": twin_a, "busy": 12.0}, readback_a=target_a)

    currents = [0.0, 0.0, 6.0, 10.0, 0.0]
    steps = tuple(Step(b, "done", look(a, a), look(b, b)) for a, b in pairwise(currents))
    assert swapped_with(replace(BASE, steps=steps)) == ("twin",)
    assert "addresses_swapped" in codes(replace(BASE, steps=steps))
    assert swapped_with(replace(BASE, steps=GOOD)) == ()


def test_meters_that_were_never_seen_to_follow_are_not_trusted() -> None:
    assert trust_in_meters(replace(BASE, steps=GOOD)) == "unknown"
    assert trust_in_meters(replace(BASE, plan=replace(PLAN, meters=("m",)), steps=GOOD)) == "unknown"


def row(background: Three, *, limit: float = 50.0, worst: float | None = 20.0, growth: float = 0.0) -> Row:
    most = None if worst is None else (worst, worst, worst)
    return Row("c", (limit, limit, limit), background, most, (growth,) * 3, (growth * 2,) * 3)


def test_room() -> None:
    assert room_of([row((10.0, 30.0, 20.0))], proven=True).current_a == 20.0
    assert room_of([row((10.0, 30.0, 20.0), growth=6.0)], proven=True).current_a == 14.0
    assert room_of([row((None, None, None), growth=6.0)], proven=True).current_a == 18.0
    assert room_of([row((None, None, None), worst=None)], proven=True).current_a == 0.0
    assert "L2" in room_of([row((10.0, 30.0, 20.0))], proven=True).says
    assert room_of([row((-30.0, 0.0, 0.0))], proven=True).current_a == 50.0, "export makes no room"
    assert room_of([row((-30.0, 0.0, 0.0))], proven=False).current_a == 20.0, "it may be load behind a turned one"


@given(
    st.lists(st.tuples(*[st.floats(-200, 200)] * 3), min_size=1, max_size=4),
    st.floats(0, 100),
    st.floats(0, 40),
    st.booleans(),
)
def test_what_there_is_room_for_never_overloads_any_row(
    rows: list[tuple[float, float, float]], limit: float, growth: float, proven: bool
) -> None:
    made = [row(shown, limit=limit, growth=growth) for shown in rows]
    room = room_of(made, proven=proven)
    assert room.current_a >= 0.0
    if room.current_a > 0.0:
        assert all(shown + growth + room.current_a <= limit + 1e-9 for one in rows for shown in one)
        assert not is_over(made, proven=proven)
