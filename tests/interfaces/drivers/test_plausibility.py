"""Ranges and the two-of-three vote (row 30 of the fault catalogue), without any I/O."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interfaces.drivers.plausibility import JUMPS, Vote, in_range, jump_checked, voted
from interfaces.drivers.profile import ROLE_UNITS


def readings(*values):
    """Which of a series of L1 currents are used."""
    vote, used = Vote(), []
    for value in values:
        vote, passed = voted(vote, {"current_l1_a": value})
        if passed:
            used.append(value)
    return used


@pytest.mark.parametrize(
    ("series", "used"),
    [
        ((10.0,), []),
        ((10.0, 10.0), [10.0]),
        ((10.0, 10.0, 12.0, 9.0), [10.0, 12.0, 9.0]),
        ((10.0, 10.0, 900.0, 10.0), [10.0, 10.0]),
        ((10.0, 10.0, 900.0, 901.0), [10.0, 901.0]),
        ((10.0, 10.0, 900.0, -300.0, 10.0), [10.0, 10.0]),
        ((10.0, 10.0, 900.0, -300.0, -301.0), [10.0, -301.0]),
        ((1000.0, 1000.0, 1045.0), [1000.0, 1045.0]),  # 5 % of a large current is no jump
        ((10.0, 10.0, 900.0, 10.0, 900.0, 10.0), [10.0, 10.0, 10.0]),  # two odd ones must follow each other
    ],
)
def test_two_of_three(series, used):
    assert readings(*series) == used


def test_one_role_that_jumps_holds_the_whole_reading():
    vote = Vote({"current_l1_a": 10.0, "current_l2_a": 10.0})
    vote, passed = voted(vote, {"current_l1_a": 10.0, "current_l2_a": 80.0})
    assert not passed
    assert vote.accepted == {"current_l1_a": 10.0, "current_l2_a": 10.0}


def test_a_reading_without_currents_needs_no_vote():
    assert voted(Vote(), {}) == (Vote(), True)
    assert jump_checked({"voltage_l1_v": 230.0, "current_l1_a": None, "serial": "x"}) == {}


@given(series=st.lists(st.floats(-500, 500), min_size=3, max_size=30), index=st.integers(0, 28))
def test_a_single_odd_reading_is_never_used(series, index):
    steady = [10.0, 10.0, *([10.0] * len(series))]
    spot = 2 + index % len(series)
    odd = series[index % len(series)]
    if abs(odd - 10.0) <= JUMPS["current_l1_a"]:
        return
    steady[spot] = odd
    assert odd not in readings(*steady)


@pytest.mark.parametrize(
    ("role", "value", "fine"),
    [
        ("current_l1_a", 2000.0, True),
        ("current_l1_a", 2000.1, False),
        ("current_l1_a", -2000.1, False),
        ("voltage_l1_v", 0.0, True),
        ("voltage_l1_v", 501.0, False),
        ("voltage_l1_v", -1.0, False),
        ("frequency_hz", 50.0, True),
        ("frequency_hz", 0.0, False),
        ("soc_pct", 101.5, False),
        ("power_w", 21e6, False),
        ("serial", "x" * 100, True),
        ("power_w", None, True),
        ("mode", 99999, True),
    ],
)
def test_ranges(role, value, fine):
    assert in_range(role, value) is fine


def test_every_checked_role_exists():
    assert set(JUMPS) <= set(ROLE_UNITS)
