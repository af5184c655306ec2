"""Plug-in to plug-out: who has a session, its energy, and whether the car wants its offer."""

from __future__ import annotations

import numpy as np
import pytest

from controller.core.sessions import plugged_in
from controller.core.state import Retained, retained_of
from interfaces.domain.image import Pilot
from interfaces.domain.reasons import Reason
from interfaces.domain.targets import Target, Targets
from interfaces.domain.units import MISSING
from tests.controller.core.table import Table, blank_image, garage


@pytest.mark.parametrize(
    ("pilot", "before", "after"),
    [
        (Pilot.A, True, False),
        (Pilot.B1, False, True),
        (Pilot.B2, False, True),
        (Pilot.C1, False, True),
        (Pilot.C2, False, True),
        (Pilot.D2, False, True),
        (Pilot.UNKNOWN, True, True),
        (Pilot.UNKNOWN, False, False),
        (Pilot.E, True, True),
        (Pilot.F, False, False),
    ],
)
def test_pilot_states_that_mean_a_car(pilot, before, after):
    topology = garage(1)
    image = blank_image(topology)
    image.pilot[0] = int(pilot)
    assert plugged_in(image, np.array([before])).tolist() == [after]


def test_a_session_begins_and_ends_with_the_plug():
    table = Table(garage(2)).after(seconds=5).plug("e0").after(scans=1)
    began_s = table.now_s
    assert table.state.sessions.plugged.tolist() == [True, False]
    table.after(seconds=30)
    assert table.state.sessions.plugged_s[0] == began_s
    table.unplug("e0").after(scans=1).expect(e0=0)
    assert table.reason("e0") == Reason.NO_CAR
    assert not table.state.sessions.plugged[0]


def test_energy_is_integrated_from_measured_power_and_starts_at_plug_in():
    table = Table(garage(1)).plug("e0").after(seconds=40)
    before_mws, before_s = int(table.state.sessions.energy_mws[0]), table.now_s
    table.after(seconds=3600)
    gained_wh = (int(table.state.sessions.energy_mws[0]) - before_mws) / 3.6e6
    assert gained_wh == pytest.approx(3 * 230 * 16 * (table.now_s - before_s) / 3600, rel=0.001)
    table.unplug("e0").after(seconds=20).plug("e0").after(scans=1)
    assert table.state.sessions.energy_mws[0] == 0


def test_energy_uses_measured_voltage():
    table = Table(garage(1)).plug("e0")
    table.put(asset_mv=np.full((1, 3), 240_000)).after(seconds=60)
    before = int(table.state.sessions.energy_mws[0])
    table.after(seconds=100)
    assert int(table.state.sessions.energy_mws[0]) - before == 3 * 240 * 16_000 * 100


def test_a_car_below_one_ampere_for_five_minutes_is_satisfied_and_a_drawing_one_is_not():
    table = Table(garage(2)).plug("e0", asleep=True).plug("e1").after(seconds=299)
    assert not table.state.sessions.satisfied.any()
    table.after(seconds=20)
    assert table.state.sessions.satisfied.tolist() == [True, False]


def test_satisfied_ends_when_the_car_draws_again():
    table = Table(garage(1)).plug("e0", asleep=True).after(seconds=320)
    assert table.state.sessions.satisfied[0]
    table.cars[0].asleep = False
    table.after(seconds=30)
    assert not table.state.sessions.satisfied[0]


def test_a_charger_that_measures_nothing_has_no_satisfied_car():
    """Missing is data: no reading is not a reading of 0 A."""
    table = Table(garage(1)).plug("e0").put(asset_ma=np.full((1, 3), MISSING)).after(seconds=400)
    assert not table.state.sessions.satisfied[0]
    assert not table.state.sessions.ever_drew[0]


def test_a_car_that_is_offered_nothing_is_not_satisfied():
    table = Table(garage(1)).load("gcp", 60).plug("e0").after(seconds=400)
    table.expect(e0=0)
    assert not table.state.sessions.satisfied[0]


def test_a_reading_that_comes_no_more_proves_nothing():
    """One low reading while the car was still waking up; then the measurements stop although the charger answers."""
    table = Table(garage(1)).plug("e0").after(seconds=3)
    old = table.image
    table.put(asset_ma=old.asset_ma, asset_sample_s=old.asset_sample_s).after(seconds=400)
    assert not table.state.sessions.satisfied[0]


def test_a_session_survives_an_unreadable_pilot_and_a_silent_charger():
    table = Table(garage(1)).plug("e0").after(seconds=30)
    began_s = table.state.sessions.plugged_s[0]
    table.silent.add("e0")
    table.after(seconds=60)
    table.silent.clear()
    table.after(seconds=5)
    table.put(pilot=np.array([int(Pilot.UNKNOWN)])).after(seconds=5)
    assert table.state.sessions.plugged_s[0] == began_s


@pytest.mark.parametrize("silent_s", [0, 300])
def test_another_tag_is_another_car_however_briefly_the_place_was_free(silent_s: int):
    """Cars exchanged between two readings: the second one was told full, on the first one's phases and energy."""
    table = Table(garage(1)).put(tag=("04A2",)).plug("e0", wires=1).after(seconds=1200)
    assert table.state.learning.use[0].tolist() == [1, 0, 0]
    if silent_s:
        table.put(pilot=np.array([int(Pilot.UNKNOWN)]), tag=(None,)).after(seconds=silent_s)
        del table.settings["pilot"]
    table.put(tag=("04B7",)).after(scans=1)
    sessions = table.state.sessions
    assert sessions.plugged[0]
    assert sessions.plugged_s[0] == table.now_s
    assert sessions.energy_mws[0] <= 3_680_000, "no more than this scan's"
    assert sessions.tag == ("04B7",)
    assert table.state.learning.use[0].tolist() == [1, 1, 1]


def test_a_car_that_was_exchanged_is_not_full_because_the_first_one_was():
    table = Table(garage(1)).put(tag=("04A2",)).plug("e0", asleep=True).after(seconds=900)
    assert table.state.sessions.satisfied[0]
    table.put(tag=("04B7",)).after(scans=3)
    assert not table.state.sessions.satisfied[0]


def test_a_card_that_is_held_up_soon_after_plug_in_is_the_drivers_own():
    """The reader's register may still show who was here before; an order to charge now must not end with it."""
    table = Table(garage(1)).put(tag=("04A2",)).plug("e0").after(seconds=40)
    began_s = float(table.state.sessions.plugged_s[0])
    table.put(tag=("04B7",)).after(seconds=5)
    assert table.state.sessions.plugged_s[0] == began_s
    assert table.state.sessions.tag == ("04B7",)


def test_another_card_does_not_free_a_car_that_follows_no_offer():
    table = Table(garage(2)).put(tag=("04A2", None)).plug("e0", stubborn=True).after(seconds=400).expect(e0=16)
    table.load("gcp", 55).after(seconds=14).expect(e0=0)
    held_until_s = float(table.state.obedience.paused_until_s[0])
    assert held_until_s > table.now_s
    table.put(tag=("04B7", None)).after(scans=1)
    assert table.state.sessions.plugged_s[0] == table.now_s, "it counts as another car"
    assert table.state.obedience.paused_until_s[0] >= held_until_s


def test_the_target_of_the_first_car_does_not_stop_the_second_one():
    table = Table(garage(1)).put(tag=("04A2",)).plug("e0").after(seconds=600)
    now_s = table.now_s + table.epoch_offset_s
    done = Target("e0", now_s + 36_000.0, energy_wh=1000)
    table.put(targets=Targets(1, now_s, (done,), 0.0, 0, np.zeros(0))).after(seconds=5).expect(e0=0)
    table.put(tag=("04B7",)).after(seconds=12).expect(e0=16)


def test_a_tag_that_is_read_late_or_not_for_a_while_is_the_same_car():
    table = Table(garage(1)).plug("e0").after(seconds=60)
    began_s = float(table.state.sessions.plugged_s[0])
    for tag in ("04A2", None, "04A2"):
        table.put(tag=(tag,)).after(seconds=30)
        assert table.state.sessions.plugged_s[0] == began_s
        assert table.state.sessions.tag == ("04A2",)


# -- over a restart of the controller ----------------------------------------------------------------------------------


def before_the_restart() -> tuple[Table, Retained]:
    """Two cars with a tag charged for 20 min, the third place is free; then the controller ends."""
    table = Table(garage(3)).put(tag=("04A2", "04B7", None)).plug("e0", "e1").after(seconds=1200)
    return table, retained_of(table.state, table.params, table.now_s, table.now_s + table.epoch_offset_s)


def test_a_restart_knows_a_cars_energy_and_plug_in_time():
    old, retained = before_the_restart()
    old_mws = int(old.state.sessions.energy_mws[0])
    assert old_mws > 1_000_000
    new = Table(old.topology, retained=retained).put(tag=("04A2", "04B7", None)).plug("e0", "e1").after(seconds=2)
    sessions = new.state.sessions
    assert sessions.energy_mws[0] >= old_mws
    assert new.now_s - sessions.plugged_s[0] == pytest.approx(1200.0, abs=5.0)
    assert sessions.plugged.tolist() == [True, True, False]
    assert sessions.energy_mws[2] == 0
    assert not sessions.carried.any()


@pytest.mark.parametrize("meanwhile", ["left", "other tag"])
def test_a_car_that_came_while_the_controller_was_away_counts_from_0(meanwhile):
    old, retained = before_the_restart()
    new = Table(old.topology, retained=retained).put(tag=("04A2", "04B7", None)).plug("e0")
    if meanwhile == "left":
        new.after(seconds=2)
    else:
        new.put(tag=("04A2", "04FF", None))
    new.plug("e1").after(scans=1)
    sessions = new.state.sessions
    assert sessions.plugged[1]
    assert sessions.energy_mws[1] == 0
    assert new.now_s - sessions.plugged_s[1] <= 1.0
    assert sessions.energy_mws[0] >= old.state.sessions.energy_mws[0]


@pytest.mark.parametrize("pilot", [Pilot.UNKNOWN, Pilot.E, Pilot.F])
def test_without_a_reading_of_the_car_the_energy_waits_and_survives_another_restart(pilot):
    old, retained = before_the_restart()
    new = Table(old.topology, retained=retained).plug("e0", "e1")
    new.put(pilot=np.full(3, int(pilot)), tag=(None,) * 3).after(seconds=3)
    assert not new.state.sessions.plugged.any()
    again = retained_of(new.state, new.params, new.now_s, new.now_s + new.epoch_offset_s)
    assert [s and (s.energy_mws, s.tag) for s in again.sessions] == [
        s and (s.energy_mws, s.tag) for s in retained.sessions
    ]
    del new.settings["pilot"]
    new.after(seconds=1)
    assert new.state.sessions.energy_mws[0] >= old.state.sessions.energy_mws[0]


def test_a_target_in_kwh_is_not_delivered_twice():
    """The fallback reckons with what was charged before the restart."""
    old, retained = before_the_restart()
    wanted_wh = int(old.state.sessions.energy_mws[0]) // 3_600_000 - 10
    assert wanted_wh > 1000
    new = Table(old.topology, retained=retained).plug("e0", "e1")
    target = Target("e0", new.now_s + new.epoch_offset_s + 36_000.0, energy_wh=wanted_wh)
    new.put(
        targets=Targets(1, new.now_s + new.epoch_offset_s, (target,), 0.0, 0, np.zeros(0)), tag=("04A2", "04B7", None)
    ).after(seconds=2)
    assert new.state.mission.done.tolist() == [True, False, False]
