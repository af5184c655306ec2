"""How fast a target is reached: 5 A per 5 s, newer samples, admission order; and never while something is stale."""

from __future__ import annotations

import numpy as np
import pytest

from interfaces.domain.reasons import Reason
from tests.controller.core.table import Table, branch, evse, gcp, site

QUIET = {"background_max_a": (0.0, 0.0, 0.0)}


def raises(table: Table, column: int = 0) -> list[tuple[float, float]]:
    """(seconds since the first, new setpoint) of every raise."""
    path = np.array(table.setpoints)[:, column] / 1000
    at = [k for k in range(1, len(path)) if path[k] > path[k - 1]]
    return [((k - at[0]) * table.scan_s, float(path[k])) for k in at]


def test_one_raise_per_five_seconds_of_at_most_five_amperes():
    table = Table(site([gcp(63.0, **QUIET)], [evse("e0", max_a=32.0)]), scan_s=0.2).after(seconds=2).plug("e0")
    table.after(seconds=40)
    assert raises(table) == [
        (0.0, 6.0),
        (5.0, 11.0),
        (10.0, 16.0),
        (15.0, 21.0),
        (20.0, 26.0),
        (25.0, 31.0),
        (30.0, 32.0),
    ]


def test_direct_current_rises_by_a_tenth_of_its_rating():
    dc = evse("e0", max_a=200.0, min_a=6.0, direct_current=True)
    table = Table(site([gcp(250.0, **QUIET)], [dc]), scan_s=1.0).after(seconds=2).plug("e0", max_a=200.0)
    table.after(seconds=60)
    assert [amps for _, amps in raises(table)][:4] == [20.0, 40.0, 60.0, 80.0]


def test_a_coarse_step_is_at_least_one_step():
    coarse = evse("e0", max_a=32.0, min_a=8.0, step_a=8.0)
    table = Table(site([gcp(63.0, **QUIET)], [coarse])).after(seconds=2).plug("e0").after(seconds=40).expect(e0=32)
    assert [amps for _, amps in raises(table)] == [8.0, 16.0, 24.0, 32.0]


def test_down_is_instant():
    table = Table(site([gcp(63.0, **QUIET)], [evse("e0", max_a=32.0)])).plug("e0").after(seconds=90).expect(e0=32)
    table.load("gcp", 56).after(scans=1).expect(e0=7)


def test_a_raise_needs_samples_newer_than_the_rows_last_raise_plus_a_second():
    """Two cars: the second raise of the row waits for a sample taken a second after the first."""
    table = Table(site([gcp(63.0, **QUIET)], [evse("e0"), evse("e1")]), scan_s=0.2).after(seconds=3)
    table.plug("e0").after(scans=1).plug("e1")
    first_s = table.now_s
    while table.amps("e1") == 0:
        table.after(scans=1)
        if table.amps("e1") == 0:
            assert table.reason("e1") == Reason.NO_RAISE_YET
            assert table.binding("e1") == ("gcp", 0)
    assert table.image.meter_sample_s[0] > first_s + 1.0


def test_all_raises_of_one_scan_are_one_raise_of_the_row():
    table = Table(site([gcp(63.0, **QUIET)], [evse("e0"), evse("e1"), evse("e2")])).after(seconds=3)
    table.plug("e0", "e1", "e2").after(scans=1).expect(e0=6, e1=6, e2=6)


def test_raises_of_one_scan_share_what_is_free_in_admission_order():
    """10 A are really free: the head of the queue takes its minimum, the next one waits for the ledger."""
    table = Table(site([gcp(30.0, **QUIET)], [evse("e0"), evse("e1"), evse("e2")])).plug("e0").after(seconds=90)
    table.expect(e0=16).load("gcp", 4).after(seconds=5)
    table.plug("e1").after(scans=1).plug("e2")
    seen = table.after(scans=2)
    assert seen.amps("e1") == 6.0
    assert seen.amps("e2") == 0.0
    assert seen.reason("e2") in {Reason.LEDGER_WAIT, Reason.NO_RAISE_YET}
    table.after(seconds=60)
    assert table.amps("e2") >= 6.0
    assert table.over_limit_s.sum() == 0


def test_every_meter_above_must_have_a_newer_sample():
    """The branch's own meter is young, the grid meter is polled every 10 s."""
    circuits = [gcp(63.0, meter_period_s=10.0, **QUIET), branch("b", "gcp", 40.0, meter="m2")]
    table = Table(site(circuits, [evse("e0", "b"), evse("e1", "b")]), scan_s=1.0).after(seconds=12)
    table.plug("e0").after(scans=1).expect(e0=6).plug("e1")
    started_s = table.now_s
    while table.amps("e1") == 0:
        table.after(scans=1)
    assert table.image.meter_sample_s[0] > started_s + 1.0


def test_a_stale_meter_anywhere_above_stops_raises():
    circuits = [gcp(63.0, **QUIET), branch("b", "gcp", 40.0, meter="m2")]
    table = Table(site(circuits, [evse("e0", "b"), evse("e1")])).after(seconds=70)
    table.silent_meters.add("b")
    table.after(seconds=4).plug("e0", "e1").after(seconds=4).expect(e0=0)
    assert table.amps("e1") > 0, "the other branch is not held up"
    assert table.binding("e0") == ("b", 0)


@pytest.mark.parametrize(("late", "raised"), [(0, True), (2, True), (3, False), (7, False)])
def test_three_late_scans_in_a_row_stop_raises(late, raised):
    table = Table(site([gcp(63.0, **QUIET)], [evse("e0")])).after(seconds=5).put(late_in_a_row=late).plug("e0")
    table.after(seconds=5)
    assert (table.amps("e0") > 0) == raised
    if not raised:
        assert table.reason("e0") == Reason.OVERRUN
        assert (Reason.ALARM_OVERRUN, "") in table.alarms()


def test_late_scans_still_lower():
    table = Table(site([gcp(63.0, **QUIET)], [evse("e0")])).plug("e0").after(seconds=60).put(late_in_a_row=9)
    table.load("gcp", 55).after(scans=1).expect(e0=8)


def test_the_last_tenths_up_to_the_wish_are_granted():
    table = Table(site([gcp(63.0, **QUIET)], [evse("e0", max_a=16.4, step_a=0.1)])).plug("e0").after(seconds=60)
    table.expect(e0=16.4)


def test_a_reason_while_rising():
    table = Table(site([gcp(63.0, **QUIET)], [evse("e0", max_a=32.0)])).after(seconds=3).plug("e0").after(seconds=3)
    assert table.reason("e0") == Reason.RAMP
    assert table.commands.wish_ma[0] == 32_000


def test_every_change_is_measured_at_the_settle_rate_for_twenty_seconds():
    table = Table(site([gcp(63.0, **QUIET)], [evse("e0")])).plug("e0").after(seconds=90).expect(e0=16)
    assert not table.commands.fast_poll[0]
    table.load("gcp", 55).after(scans=1)
    fast = [bool(table.commands.fast_poll[0])]
    fast.extend(bool(table.after(scans=1).commands.fast_poll[0]) for _ in range(24))
    assert fast == [True] * 20 + [False] * 5


# -- the naive comparison policy --------------------------------------------------------------------------------------


def test_without_ledger_offers_are_swapped_in_one_scan():
    from controller.core.params import Params

    topology = site([gcp(20.0, **QUIET)], [evse("e0"), evse("e1")])
    table = Table(topology, params=Params(topology, ledger=False)).plug("e0").after(seconds=90).expect(e0=16)
    table.plug("e1").after(scans=1).expect(e0=10, e1=6)
