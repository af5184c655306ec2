"""One- and three-phase charging: contactor open, dwell, two tries; never as an answer to overload."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from controller.core.phase_switch import Step
from interfaces.domain.image import Pilot
from interfaces.domain.reasons import Reason
from tests.controller.core.table import Table, evse, gcp, site

QUIET = {"background_max_a": (0.0, 0.0, 0.0)}


def limited(watts: float = 3000.0, **facts) -> Table:
    """A power limit below three phases at 6 A."""
    circuit = gcp(63.0, max_import_w=watts, **QUIET)
    return Table(site([circuit], [evse("e0", phase_switching=True, **facts)])).after(seconds=5)


def switch(table: Table, seconds: float = 120.0) -> list[tuple[int, int, float, float]]:
    """(step, order, setpoint, draw) of every scan."""
    seen = []
    for _ in range(round(seconds / table.scan_s)):
        table.after(scans=1)
        step = int(table.state.switching.step[0])
        seen.append((step, int(table.commands.phases[0]), table.amps("e0"), table.drawn_a("e0")))
    return seen


def test_where_three_phases_do_not_fit_one_is_tried():
    table = limited().plug("e0")
    switch(table, 150)
    assert table.phases_now.tolist() == [1]
    assert table.amps("e0") == 13.0, "3000 W on one phase of 230 V"


def test_the_order_is_given_with_the_contactor_open_and_nothing_offered():
    table = Table(site([gcp(63.0, **QUIET)], [evse("e0", phase_switching=True)])).plug("e0").after(seconds=60)
    table.expect(e0=16).put(operator_limit_mw=3_000_000)
    seen = switch(table, 200)
    orders = [(amps, draw) for _, order, amps, draw in seen if order]
    assert orders
    assert all(amps == 0.0 and draw == 0.0 for amps, draw in orders)
    first = next(k for k, (_, order, _, _) in enumerate(seen) if order)
    assert first >= 6, "contactors open within 6 s"
    assert all(amps == 0.0 for step, _, amps, _ in seen if step != Step.IDLE)


def test_both_modes_are_reserved_while_it_switches():
    table = limited().plug("e0")
    for _ in range(60):
        table.after(scans=1)
        if table.state.switching.step[0] != Step.IDLE:
            assert table.report.phase_use.tolist() == [[1, 1, 1]]


def test_in_one_phase_mode_it_counts_on_its_first_conductor():
    table = limited(phases=(1, 2, 0)).plug("e0")
    switch(table, 150)
    assert table.report.phase_use.tolist() == [[0, 1, 0]]


def test_a_device_that_reports_three_phases_counts_on_three():
    """It restarted and forgot: the state says one phase, the device says three."""
    table = limited().plug("e0")
    switch(table, 150)
    table.phases_now[:] = 3
    table.after(scans=1)
    assert table.report.phase_use.tolist() == [[1, 1, 1]]


def test_current_on_another_conductor_counts_on_all():
    table = limited().plug("e0")
    switch(table, 150)
    table.put(asset_ma=np.array([[8000, 8000, 8000]])).after(scans=1)
    assert table.report.phase_use.tolist() == [[1, 1, 1]]


def test_back_to_three_after_ten_minutes_and_thirty_seconds_of_room():
    table = limited().plug("e0")
    switch(table, 150)
    switched_s = float(table.state.switching.dwell_s[0])
    table.put(operator_limit_mw=1 << 55)
    table.params = replace(table.params, topology=limited(40_000.0).topology)
    table.after(seconds=300)
    assert table.phases_now.tolist() == [1], "dwell"
    table.after(seconds=500)
    assert table.phases_now.tolist() == [3]
    assert float(table.state.switching.dwell_s[0]) - switched_s >= 600.0
    assert table.after(seconds=60).amps("e0") == 16.0


def test_two_failures_in_a_session_and_it_is_left_alone():
    """The device never changes its mode."""
    table = limited().plug("e0")
    table.edit = lambda image: replace(image, phases_now=np.array([3]))
    seen = switch(table, 4000)
    starts = sum(1 for a, b in pairwise(seen) if a[1] == 0 and b[1] == 1)
    assert starts == 2
    assert table.state.switching.failures.tolist() == [2]
    table.unplug("e0").after(seconds=20).plug("e0").after(seconds=30)
    assert table.state.switching.failures.tolist() == [0]


def test_a_charger_that_never_shows_an_open_contactor_is_not_switched_and_does_not_wait_for_ever():
    """It cannot tell C1 from C2: paused or not, it reports C2."""
    table = Table(site([gcp(63.0, **QUIET)], [evse("e0", phase_switching=True)])).plug("e0").after(seconds=60)
    table.put(pilot=np.array([int(Pilot.C2)]), operator_limit_mw=3_000_000).after(seconds=100)
    assert table.state.switching.step[0] == Step.PAUSING
    assert table.phases_now.tolist() == [3]
    table.put(operator_limit_mw=1 << 55).after(seconds=1500)
    assert table.amps("e0") == 16.0


def test_a_car_still_drawing_is_not_switched():
    table = Table(site([gcp(63.0, **QUIET)], [evse("e0", phase_switching=True)])).plug("e0").after(seconds=60)
    table.cars[0].stubborn = True
    table.put(operator_limit_mw=3_000_000)
    for _ in range(15):
        table.after(scans=1)
        assert table.commands.phases.tolist() == [0]


def test_overload_is_answered_by_a_pause_and_not_by_a_switch():
    """The building takes the fuse beyond its rating: nobody touches a contactor before that is over."""
    table = Table(site([gcp(40.0, **QUIET)], [evse("e0", phase_switching=True)])).plug("e0").after(seconds=90)
    table.load("gcp", 30, 45, 45).after(scans=1).expect(e0=0)
    for _ in range(120):
        table.after(scans=1)
        assert table.commands.phases.tolist() == [0]
        assert table.state.switching.step.tolist() == [Step.IDLE]


def test_an_empty_place_is_left_as_it_is():
    table = limited().after(seconds=700)
    assert table.phases_now.tolist() == [3]
    assert table.state.switching.step.tolist() == [Step.IDLE]


def test_switching_names_its_reason():
    table = limited().plug("e0")
    reasons = {table.after(scans=1).reason("e0") for _ in range(30)}
    assert Reason.PHASE_SWITCHING in reasons
    assert Reason.STEP not in reasons, "nothing was rounded"


def test_a_running_car_that_must_change_names_it_in_the_same_scan():
    table = Table(site([gcp(63.0, **QUIET)], [evse("e0", phase_switching=True)])).plug("e0").after(seconds=60)
    table.put(operator_limit_mw=3_000_000).after(scans=1).expect(e0=0)
    assert table.reason("e0") == Reason.PHASE_SWITCHING


def test_a_unit_that_cannot_switch_waits():
    circuit = gcp(63.0, max_import_w=3000.0, **QUIET)
    table = Table(site([circuit], [evse("e0")])).after(seconds=5).plug("e0").after(seconds=200).expect(e0=0)
    assert table.reason("e0") == Reason.QUEUED
    assert table.binding("e0") == ("gcp", 3)


def test_after_a_limit_pause_one_phase_is_tried_too():
    """Three phases fitted, then the operator left 3 kW for hours: the car must not stand still."""
    table = Table(site([gcp(63.0, **QUIET)], [evse("e0", phase_switching=True)])).plug("e0").after(seconds=60)
    table.put(operator_limit_mw=0).after(seconds=60).expect(e0=0)
    table.put(operator_limit_mw=3_000_000).after(seconds=600)
    assert table.phases_now.tolist() == [1]
    assert table.amps("e0") == 13.0
