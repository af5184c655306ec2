"""Which wish counts, until when, and how many kWh it is."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from optimizer.core.problem import Settings
from optimizer.core.problem_state import Profile, ScheduleEntry, Session, Target, Vehicle, WeeklyTarget
from optimizer.core.targets import Need, need_of, needs_of, next_local
from tests.optimizer.problems import HOUR, NOW, evse, problem, session, site

BRUSSELS = "Europe/Brussels"
CAR = Vehicle("car", capacity_kwh=50.0, consumption_wh_per_km=200.0, loss_pct=10.0)


def need(one: Session, **more) -> Need:
    return need_of(problem(one, **more), one)


def wish(unit: str, amount: float, hours: float = 6.0, **more) -> Target:
    return Target(unit=unit, amount=amount, departure_epoch_s=NOW + hours * HOUR, **more)  # type: ignore[arg-type]


def at(text: str, zone: str = BRUSSELS) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


# Precedence.

LEVELS = ("session", "vehicle", "profile", "schedule", "past", "site")


@pytest.mark.parametrize("first", range(len(LEVELS)))
def test_the_first_wish_of_the_precedence_counts(first: int):
    there = set(LEVELS[first:])
    one = session("a", tag="T", vehicle="car")
    one = replace(one, target=wish("kwh", 1) if "session" in there else None)
    one = replace(one, expected=wish("kwh", 5) if "past" in there else None)
    found = need(
        one,
        vehicles=(replace(CAR, target=wish("kwh", 2) if "vehicle" in there else None),),
        profiles=(Profile("T", weekly=(WeeklyTarget(("sat",), "07:00", "kwh", 3),) if "profile" in there else ()),),
        schedule=(ScheduleEntry(NOW + HOUR, "kwh", 4, tag="T"),) if "schedule" in there else (),
        settings=Settings(default_target=Target("kwh", 6)),
    )
    assert found.source == LEVELS[first]
    assert found.energy_kwh == first + 1


def test_the_weekly_pattern_gives_the_entry_that_comes_next():
    """Friday 15:00: the next of Monday and Saturday is Saturday, and Friday's own hour has passed."""
    weekly = (
        WeeklyTarget(("mon", "fri"), "14:30", "kwh", 30),
        WeeklyTarget(("sat",), "09:00", "kwh", 10),
        WeeklyTarget(("sun",), "09:00", "kwh", 20),
    )
    found = need(session("a", tag="T", target=None), profiles=(Profile("T", weekly=weekly),))
    assert found.energy_kwh == 10
    assert found.departure_epoch_s == at("2025-11-22T09:00")


def test_a_schedule_is_for_whom_it_names_and_not_over():
    entries = (
        ScheduleEntry(NOW - HOUR, "kwh", 1, evse="a"),
        ScheduleEntry(NOW + 9 * HOUR, "kwh", 2, evse="a"),
        ScheduleEntry(NOW + 3 * HOUR, "kwh", 3, evse="b"),
        ScheduleEntry(NOW + 2 * HOUR, "kwh", 4),
        ScheduleEntry(NOW + 5 * HOUR, "kwh", 5, evse="a", tag="other"),
    )
    found = need(session("a", target=None), schedule=entries)
    assert (found.source, found.energy_kwh) == ("schedule", 2)


# Units.


def test_range_at_departure_with_a_known_state_of_charge():
    """150 km x 200 Wh/km = 30 kWh in the battery, 20 % of 50 kWh are there: 20 kWh, 22.2 at the meter."""
    one = session("a", vehicle="car", soc_pct=20.0, soc_source="charger", target=wish("km", 150))
    found = need(one, vehicles=(CAR,))
    assert found.energy_kwh == pytest.approx(20 / 0.9)
    assert found.uncertainty_kwh == pytest.approx(0.01 * 50 / 0.9)
    assert found.kwh_per_km == pytest.approx(0.2 / 0.9)


def test_entered_at_arrival_counts_what_was_delivered_since():
    """20 % entered, 9 kWh metered since: 8.1 kWh in the battery, 36.2 % now; 80 % wanted."""
    one = session("a", vehicle="car", soc_pct=20.0, soc_source="entered", delivered_kwh=9.0, target=wish("pct", 80))
    found = need(one, vehicles=(CAR,))
    assert found.soc_pct == pytest.approx(36.2)
    assert found.energy_kwh == pytest.approx((40 - 18.1) / 0.9)
    assert found.soc_uncertainty_pct == 5.0


def test_without_a_state_of_charge_km_and_percent_are_added_since_plug_in():
    one = session("a", vehicle="car", delivered_kwh=2.0, target=wish("km", 45))
    found = need(one, vehicles=(CAR,))
    assert found.energy_kwh == pytest.approx(45 * 0.2 / 0.9 - 2.0)
    assert found.soc_source == "none"
    assert found.uncertainty_kwh == 0.0
    assert any("nobody knows its state of charge" in note for note in found.notes)


def test_kwh_are_added_since_plug_in_whatever_the_state_of_charge():
    one = session("a", kwh=10.0, vehicle="car", soc_pct=20.0, soc_source="charger", delivered_kwh=4.0)
    assert need(one, vehicles=(CAR,)).energy_kwh == pytest.approx(6.0)


def test_direct_current_is_reckoned_with_the_chargers_own_loss():
    facts = site(evse("a", direct_current=True, efficiency=0.95))
    one = session("a", vehicle="car", soc_pct=40.0, soc_source="charger", target=wish("pct", 60))
    assert need(one, vehicles=(CAR,), facts=facts).energy_kwh == pytest.approx(10 / 0.95)


EXPECTED = wish("kwh", 14.0)


@pytest.mark.parametrize(
    ("one", "kwh"),
    [
        (session("a", kwh=10.0, delivered_kwh=4.0), 0.0),
        (session("a", kwh=10.0, delivered_kwh=10.0), 4.0),
        (session("a", kwh=10.0, delivered_kwh=10.5), 3.5),
        (session("a", kwh=20.0, delivered_kwh=20.0), 0.0),
        (session("a", kwh=10.0, delivered_kwh=10.0, soc_pct=40.0, soc_source="charger"), 0.0),
        (session("a", kwh=10.0, delivered_kwh=10.0, vehicle="small"), 12.0 / 0.9 - 10.0),
        (session("a", target=None, delivered_kwh=4.0), 0.0),
    ],
    ids=["not yet", "it has all", "and more", "took more", "told its charge", "a small battery", "nobody asked"],
)
def test_what_a_car_may_take_beyond_the_wish_is_promised_to_nobody(one: Session, kwh: float):
    """Only where nobody can know the state of charge is a wish a guess; what was asked for stays what it is."""
    small = replace(CAR, id="small", capacity_kwh=12.0)
    told, untold = (need(replace(one, expected=said), vehicles=(small,)) for said in (EXPECTED, None))
    assert told.beyond_kwh == pytest.approx(kwh)
    assert untold.beyond_kwh == 0.0
    if one.target is not None:
        assert told.energy_kwh == untold.energy_kwh


@pytest.mark.parametrize("said", [True, False])
def test_what_a_profile_says_of_waiting_counts_before_what_is_guessed(said: bool):
    one = session("a", tag="T", target=None, expected=wish("kwh", 5.0, deferrable=not said))
    assert need(one, profiles=(Profile("T", deferrable=said),)).deferrable is said


def test_an_unknown_vehicle_is_assumed_and_said():
    found = need(session("a", target=wish("km", 100)))
    assert found.energy_kwh == pytest.approx(100 * 0.18 / 0.9)
    assert any("60 kWh and 180 Wh/km are assumed" in note for note in found.notes)


# Beyond reason.


def test_row_81_departure_in_the_past(figure):
    found = need(session("a", hours=-2.0))
    figure("departure is planned in", (found.departure_epoch_s - NOW) / HOUR, "h")
    assert found.departure_epoch_s == NOW + HOUR
    assert any("2 h in the past" in note for note in found.notes)


def test_row_81_departure_in_five_minutes_and_in_a_year():
    assert need(session("a", hours=5 / 60)).departure_epoch_s == NOW + 300
    assert need(session("a", hours=8760)).departure_epoch_s == NOW + 8760 * HOUR


def test_row_81_four_hundred_percent(figure):
    one = session("a", vehicle="car", soc_pct=50.0, soc_source="charger", target=wish("pct", 400))
    found = need(one, vehicles=(CAR,))
    figure("planned of 400 %", found.energy_kwh, "kWh")
    assert found.energy_kwh == pytest.approx(25 / 0.9)
    assert "a: a target of 400 % is taken as 100 %" in found.notes


@pytest.mark.parametrize(
    ("unit", "amount", "kwh"), [("km", 1e6, 25 / 0.9), ("kwh", 1e6, 25 / 0.9), ("kwh", -5, 0.0), ("pct", 10, 0.0)]
)
def test_what_does_not_fit_into_the_battery_is_not_asked_for(unit: str, amount: float, kwh: float):
    one = session("a", vehicle="car", soc_pct=50.0, soc_source="charger", target=wish(unit, amount))
    assert need(one, vehicles=(CAR,)).energy_kwh == pytest.approx(kwh)


@pytest.mark.parametrize(("told", "taken"), [(-12.0, 0.0), (250.0, 100.0)])
def test_state_of_charge_out_of_bounds_is_clamped_with_a_note(told: float, taken: float):
    found = need(session("a", vehicle="car", soc_pct=told, soc_source="charger"), vehicles=(CAR,))
    assert found.soc_pct == taken
    assert any("cannot be" in note for note in found.notes)


def test_nobody_said_anything():
    found = need(session("a", target=None))
    assert (found.source, found.energy_kwh) == ("site", 20.0)
    assert found.departure_epoch_s == NOW - 60 + 8 * HOUR
    assert any("8 h after plug-in are assumed" in note for note in found.notes)


# RFID.


def test_row_80_an_unknown_tag_gets_the_default_or_nothing():
    one = session("a", tag="who", target=None)
    found = need(one)
    assert found.energy_kwh == 20.0
    assert "a: its RFID tag is unknown" in found.notes
    assert need(one, settings=Settings(unknown_tag="nothing")).energy_kwh == 0.0


def test_row_80_a_tag_in_use_at_two_evses_counts_at_the_first():
    profile = Profile("T", weekly=(WeeklyTarget(("sat",), "07:00", "kwh", 33),), priority=3)
    early = session("b", tag="T", target=None, plugged_in_epoch_s=NOW - 900)
    late = session("a", tag="T", target=None)
    first, second = needs_of(problem(late, early, profiles=(profile,)))
    assert (second.evse, second.energy_kwh, second.priority) == ("b", 33, 3)
    assert (first.evse, first.source, first.priority) == ("a", "site", 2)
    assert any("charges at another EVSE already" in note for note in first.notes)


# Hours on the site's clock.


@pytest.mark.parametrize(
    ("now", "local", "expected"),
    [
        ("2025-11-21T15:00", "07:30", "2025-11-22T07:30"),
        ("2025-11-21T07:29", "07:30", "2025-11-21T07:30"),
        ("2025-10-25T20:00", "07:00", "2025-10-26T07:00"),  # 12 h on the clock, 12 of them and one more
        ("2026-03-28T20:00", "07:00", "2026-03-29T07:00"),
    ],
)
def test_the_next_time_a_clock_shows_an_hour(now: str, local: str, expected: str):
    assert next_local(at(now), BRUSSELS, local) == at(expected)


def test_clock_changes_make_nights_longer_and_shorter():
    assert next_local(at("2025-10-25T20:00"), BRUSSELS, "07:00") - at("2025-10-25T20:00") == 12 * HOUR
    assert next_local(at("2026-03-28T20:00"), BRUSSELS, "07:00") - at("2026-03-28T20:00") == 10 * HOUR


def test_an_hour_that_was_left_out_is_read_on_the_clock_before():
    """02:30 on the last Sunday of March is 03:30 summer time."""
    assert next_local(at("2026-03-28T20:00"), BRUSSELS, "02:30") == at("2026-03-29T03:30")


def test_the_hour_of_a_session_that_stands_for_days_is_the_next_one():
    one = session("a", target=Target("kwh", 5, departure_local="07:30"), plugged_in_epoch_s=NOW - 72 * HOUR)
    assert need(one).departure_epoch_s == at("2025-11-22T07:30")


def test_an_announced_car_leaves_after_it_came():
    """It comes tomorrow at noon: this evening's hour, Saturday's pattern and the morning's line are not its own."""
    noon = at("2025-11-22T12:00")
    car = session("a", tag="T", target=None, plugged_in_epoch_s=noon, arrives_epoch_s=noon)
    weekly = (WeeklyTarget(("sat",), "07:00", "kwh", 1), WeeklyTarget(("mon",), "08:00", "kwh", 2))
    profile = Profile("T", weekly=weekly)
    assert need(car, profiles=(profile,)).departure_epoch_s == at("2025-11-24T08:00")
    told = replace(car, target=Target("kwh", 5, departure_local="07:00"))
    assert need(told).departure_epoch_s == at("2025-11-23T07:00")
    entries = (ScheduleEntry(at("2025-11-22T09:00"), "kwh", 3, tag="T"), ScheduleEntry(noon + HOUR, "kwh", 4, tag="T"))
    assert need(car, schedule=entries).energy_kwh == 4
