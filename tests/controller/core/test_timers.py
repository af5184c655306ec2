"""Starts, pauses and waiting: who may start when, and what lengthens an off time."""

from __future__ import annotations

import numpy as np
import pytest

from controller.core.state import retained_of
from interfaces.domain.reasons import Reason
from tests.controller.core.table import Table, evse, gcp, site

QUIET = {"background_max_a": (0.0, 0.0, 0.0)}


def one(rated_a: float = 40.0, **facts) -> Table:
    return Table(site([gcp(rated_a, **QUIET)], [evse("e0", **facts)]))


def limit_pause(table: Table, for_s: float = 20.0) -> float:
    """Paused by the circuit for a while; returns when the pause began."""
    table.load("gcp", 38).after(seconds=5).expect(e0=0)
    began_s = next(
        table.now_s - (len(table.setpoints) - 1 - k) * table.scan_s
        for k in range(len(table.setpoints) - 1, 0, -1)
        if table.setpoints[k - 1][0] > 0 and table.setpoints[k][0] == 0
    )
    table.after(seconds=for_s).load("gcp", 0)
    return began_s


def wait_for_start(table: Table, most_s: float = 4000.0) -> float:
    end_s = table.now_s + most_s
    while table.amps("e0") == 0:
        table.after(scans=1)
        assert table.now_s < end_s, table.reason("e0")
    return table.now_s


def test_a_first_start_is_granted_as_soon_as_the_ledger_allows():
    table = one().after(seconds=90).plug("e0").after(scans=1)
    assert table.amps("e0") == 6.0


def test_a_limit_pause_lasts_two_minutes_at_least():
    table = one().plug("e0").after(seconds=90)
    began_s = limit_pause(table)
    table.after(seconds=80)
    assert table.reason("e0") == Reason.MIN_OFF_TIME
    assert 120.0 <= wait_for_start(table) - began_s <= 125.0


def test_each_limit_pause_doubles_the_off_time_to_half_an_hour():
    table = one().plug("e0").after(seconds=90)
    seen = []
    for _ in range(6):
        began_s = limit_pause(table)
        seen.append(wait_for_start(table) - began_s)
        table.after(seconds=60)
    assert seen == [pytest.approx(s, abs=5) for s in (120, 240, 480, 960, 1800, 1800)]


def test_half_an_hour_of_charging_forgets_the_doubling():
    table = one().plug("e0").after(seconds=90)
    for _ in range(2):
        limit_pause(table)
        wait_for_start(table)
        table.after(seconds=30)
    table.after(seconds=1800)
    began_s = limit_pause(table)
    assert wait_for_start(table) - began_s == pytest.approx(120, abs=5)


def test_a_restart_needs_two_amperes_more_than_the_minimum_for_thirty_seconds():
    table = one().plug("e0").after(seconds=90)
    limit_pause(table, for_s=5)
    table.load("gcp", 33).after(seconds=600).expect(e0=0)
    assert table.reason("e0") == Reason.RESTART_MARGIN
    table.load("gcp", 32)
    before_s = table.now_s
    waited_s = wait_for_start(table) - before_s
    assert 90 <= waited_s <= 100, "a minute until the background is believed, and 30 s"


def test_a_fit_interrupted_starts_counting_again():
    table = one().plug("e0").after(seconds=90)
    limit_pause(table, for_s=5)
    table.load("gcp", 33).after(seconds=300).expect(e0=0)
    table.load("gcp", 30).after(seconds=66 + 20).expect(e0=0)
    table.load("gcp", 33).after(seconds=2).load("gcp", 30)
    before_s = table.now_s
    assert wait_for_start(table) - before_s >= 85


def test_safety_beats_the_minimum_on_time():
    table = one().plug("e0").after(seconds=10)
    assert table.amps("e0") > 0
    table.load("gcp", 40).after(scans=3).expect(e0=0)


def test_unplugging_is_no_limit_pause():
    table = one().plug("e0").after(seconds=60)
    for _ in range(5):
        table.unplug("e0").after(seconds=15).plug("e0").after(seconds=15)
        assert table.amps("e0") >= 6.0
    assert table.state.timers.limit_pauses.tolist() == [0]


def test_a_new_session_does_not_inherit_the_off_time():
    table = one().plug("e0").after(seconds=90)
    limit_pause(table)
    table.after(seconds=62).expect(e0=0).unplug("e0").after(seconds=5).plug("e0").after(seconds=3)
    assert table.amps("e0") == 6.0


def test_rotation_is_no_limit_pause():
    table = Table(site([gcp(10.0, **QUIET)], [evse("e0"), evse("e1")]), scan_s=5.0)
    table.plug("e0").after(seconds=5).plug("e1").after(seconds=4000)
    assert table.state.timers.limit_pauses.tolist() == [0, 0]
    assert len({tuple(np.sign(s).tolist()) for s in table.setpoints}) >= 3, "they took turns"


def test_off_time_and_doubling_survive_a_restart_of_the_controller():
    table = one().plug("e0").after(seconds=90)
    for _ in range(2):
        limit_pause(table)
        wait_for_start(table)
        table.after(seconds=30)
    began_s = limit_pause(table, for_s=10)
    kept = retained_of(table.state, table.params, table.now_s, table.now_s + table.epoch_offset_s)
    again = Table(table.topology, retained=kept, start_s=table.now_s).plug("e0").after(seconds=100)
    again.expect(e0=0)
    assert again.reason("e0") == Reason.MIN_OFF_TIME
    assert wait_for_start(again) - began_s == pytest.approx(480, abs=10)
    again.after(seconds=60)
    again_s = limit_pause(again)
    assert wait_for_start(again) - again_s == pytest.approx(960, abs=10)
