"""The live status on the wire: what one side knows after a message is what the other side knows."""

from __future__ import annotations

from dataclasses import fields, replace

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from interfaces.domain.live import AssetLive, CircuitLive, LiveStatus
from interfaces.domain.wire import read, write
from interfaces.domain.wire_examples import EPOCH_S, later, status
from interfaces.domain.wire_head import Head
from interfaces.domain.wire_live import (
    LASTING,
    PLAIN,
    SAME,
    AssetChanges,
    CircuitChanges,
    Known,
    Live,
    live_of,
    status_of,
)

SESSION = 1_793_000_000


def head(seq: int) -> Head:
    return Head(SESSION, seq, 0.0)


def carried(live: Live) -> Live:
    found = read(write(live), Live)
    assert isinstance(found, Live), found
    return found


def test_every_field_of_a_status_travels_in_changes_too():
    """A field that is added to the status and not to its changes would stand still at the far side."""
    names = {field.name for field in fields(LiveStatus)}
    assert names == {*LASTING, *PLAIN, *SAME, "epoch_s", "circuits", "assets"}
    for row, changes in ((CircuitLive, CircuitChanges), (AssetLive, AssetChanges)):
        assert {field.name for field in fields(row)} == {field.name for field in fields(changes)} | {"id"}


def test_a_whole_status_and_then_what_changed():
    first, known = live_of(head(1), status(), None)
    second, after = live_of(head(2), later(status()), known)
    assert first.whole is not None
    assert second.changes is not None
    assert second.changes.assets.power_kw == ((0,), (6.9,))
    assert second.changes.assets.tag is None
    assert status_of(carried(first), None) == known
    assert status_of(carried(second), known) == after
    assert after.status.epoch_s == EPOCH_S + 10.0


def test_numbers_are_told_as_fine_as_anybody_measures():
    _, known = live_of(head(1), status(), None)
    place, grid = known.status.assets[0], known.status.circuits[0]
    assert (place.power_kw, place.energy_kwh, place.plugged_in_epoch_s) == (7.36, 4.26, EPOCH_S - 3600)
    assert (grid.power_kw, grid.current_a) == (21.37, (31.0, None, 29.0))


def test_the_moment_of_plug_in_does_not_tremble_but_a_new_session_is_told():
    _, known = live_of(head(1), status(), None)
    place = status().assets[0]
    assert place.plugged_in_epoch_s is not None
    for shift_s, told in ((1.2, EPOCH_S - 3600), (400.0, EPOCH_S - 3200)):
        moved = replace(place, plugged_in_epoch_s=place.plugged_in_epoch_s + shift_s)
        _, after = live_of(head(2), replace(status(), assets=(moved, status().assets[1])), known)
        assert after.status.assets[0].plugged_in_epoch_s == told


@pytest.mark.parametrize(
    "other",
    [
        replace(status(), topology_version="other"),
        replace(status(), site="yard"),
        status(places=3),
        replace(status(), assets=tuple(reversed(status().assets))),
        replace(status(), circuits=()),
    ],
)
def test_another_topology_is_told_whole(other):
    _, known = live_of(head(1), status(), None)
    assert live_of(head(2), other, known)[0].whole is not None


def test_who_missed_a_message_knows_it():
    _, first = live_of(head(1), status(), None)
    _, second = live_of(head(2), later(status()), first)
    third, _ = live_of(head(3), later(status(), 20.0), second)
    said = status_of(third, first)
    assert isinstance(said, str)
    assert "not known here" in said
    assert isinstance(status_of(third, None), str)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"power_kw":[[0],[6.9]]', '"power_kw":[[7],[6.9]]'),
        ('"power_kw":[[0],[6.9]]', '"power_kw":[[0],[6.9,7.0]]'),
        ('"power_kw":[[0],[6.9]]', '"power_kw":[[-1],[6.9]]'),
        ('"power_kw":[[0],[6.9]]', '"power_kw":[[0],["much"]]'),
        ('"power_kw":[[0],[6.9]]', '"power_kw":[[0],[1e999]]'),
    ],
)
def test_changes_that_do_not_fit_are_refused(old, new):
    _, known = live_of(head(1), status(), None)
    text = write(live_of(head(2), later(status()), known)[0]).decode()
    assert old in text
    found = read(text.replace(old, new), Live)
    assert not isinstance(found, Live) or isinstance(status_of(found, known), str)


def renamed(name: str) -> LiveStatus:
    good = status()
    return replace(good, assets=(replace(good.assets[0], id=name), *good.assets[1:]))


@pytest.mark.parametrize(
    ("odd", "why"),
    [
        (replace(status(), epoch_s=1e15), "its time is not that of its head"),
        (renamed("a" * 65), "is no name"),
        (renamed("place\0"), "is no name"),
    ],
)
def test_a_status_that_no_store_can_keep_is_refused(odd, why):
    good = status()
    found = status_of(carried(Live(Head(SESSION, 1, good.epoch_s), whole=odd)), None)
    assert isinstance(found, str)
    assert why in found


def test_a_message_is_whole_or_changes_and_never_both():
    whole, known = live_of(head(1), status(), None)
    changes, _ = live_of(head(2), later(status()), known)
    for wrong in (replace(whole, changes=changes.changes), replace(whole, whole=None)):
        assert isinstance(status_of(wrong, known), str)


NUMBERS = st.floats(-1e5, 1e5) | st.none()
ROWS = st.builds(
    AssetLive,
    id=st.sampled_from(["a", "b"]), pilot=st.integers(0, 10), plugged_in_epoch_s=st.none() | st.floats(1e9, 2e9),
    energy_kwh=st.floats(0, 1e4), tag=st.none() | st.text(max_size=20), power_kw=NUMBERS,
    setpoint_a=st.floats(-500, 500), offered_a=NUMBERS, phases=st.tuples(*[st.integers(0, 1)] * 3), soc_pct=NUMBERS,
    reason=st.integers(0, 200), reachable=st.booleans(),
)  # fmt: skip
CIRCUITS = st.builds(
    CircuitLive,
    id=st.just("grid"), power_kw=NUMBERS, assets_kw=st.floats(-1e4, 1e4), current_a=st.tuples(*[NUMBERS] * 3),
    background_a=st.tuples(*[st.floats(0, 1e3)] * 3),
)  # fmt: skip
STATUSES = st.builds(
    LiveStatus,
    site=st.just("depot"), topology_version=st.sampled_from(["1", "2"]), epoch_s=st.floats(1e9, 2e9),
    mode=st.sampled_from(["plan", "fallback"]), plan_sequence=st.integers(-1, 10**9), operator_limit_w=NUMBERS,
    circuits=st.lists(CIRCUITS, max_size=1).map(tuple), assets=st.lists(ROWS, max_size=3).map(tuple),
    schema=st.just(1), quarter_kw=NUMBERS, month_peak_kw=NUMBERS,
)  # fmt: skip


@given(st.lists(STATUSES, min_size=1, max_size=6))
@settings(max_examples=150, deadline=None)
def test_both_sides_know_the_same_after_every_message(statuses):
    here: Known | None = None
    there: Known | None = None
    for seq, one in enumerate(statuses):
        live, here = live_of(head(seq), one, here)
        found = status_of(carried(live), there)
        assert isinstance(found, Known), found
        there = found
        assert there == here


def moved(**how) -> tuple[LiveStatus, Known, LiveStatus]:
    """The status after a change of the first car, beside what was known before."""
    _, known = live_of(head(1), status(), None)
    first, *rest = known.status.assets
    now = replace(known.status, assets=(replace(first, **how), *rest))
    live, after = live_of(head(2), now, known)
    assert live.changes is not None
    return known.status, after, now


@pytest.mark.parametrize("how", [{"power_kw": 7.30}, {"power_kw": 7.45}, {"energy_kwh": 4.35}])
def test_what_hardly_moved_is_not_told_again(how):
    before, after, _ = moved(**how)
    assert after.status.assets == before.assets


@pytest.mark.parametrize(
    "how",
    [
        {"power_kw": 7.25},
        {"power_kw": 0.0},
        {"power_kw": None},
        {"energy_kwh": 4.37},
        {"power_kw": 7.30, "setpoint_a": 15.0},
        {"energy_kwh": 4.27, "pilot": 3},
        {"energy_kwh": 4.27, "plugged_in_epoch_s": None},
    ],
)
def test_what_moved_begins_ends_or_goes_with_another_state_is_told_as_it_is(how):
    _, after, now = moved(**how)
    assert after.status.assets == now.assets


@pytest.mark.parametrize(("power_kw", "told"), [(0.04, 0.04), (-0.04, -0.04), (0.0, 0.0)])
def test_a_little_is_not_taken_for_nothing(power_kw, told):
    _, known = live_of(head(1), replace(status(), circuits=(replace(status().circuits[0], power_kw=0.02),)), None)
    now = replace(known.status, circuits=(replace(known.status.circuits[0], power_kw=power_kw),))
    _, after = live_of(head(2), now, known)
    assert after.status.circuits[0].power_kw == (0.02 if power_kw == 0.04 else told)


def test_a_slow_drift_is_followed():
    _, known = live_of(head(0), status(), None)
    for k in range(1, 200):
        first, *rest = status().assets
        power_kw = 7.36 - 0.01 * k
        _, known = live_of(head(k), replace(status(), assets=(replace(first, power_kw=power_kw), *rest)), known)
        assert known.status.assets[0].power_kw == pytest.approx(power_kw, abs=0.11)
