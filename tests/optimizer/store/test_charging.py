"""Charging sessions from what statuses show, in whatever order they come, and what each was planned for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from interfaces.domain.live import SESSION_JITTER_S
from optimizer.store.charging import (
    ChargingSession,
    SessionTarget,
    Sighting,
    drop_sessions,
    note_sightings,
    note_targets,
    sessions_of,
    targets_of_site,
    with_sighting,
)
from optimizer.store.database import Database
from tests.optimizer.store.kit import NOW, with_sites

EVSE = "car-1"


def there(at: float, begin: float, kwh: float = 0.0, tag: str | None = None) -> Sighting:
    return Sighting(EVSE, at, begin, tag, kwh)


def nobody(at: float) -> Sighting:
    return Sighting(EVSE, at)


def after(sightings: Iterable[Sighting]) -> tuple[ChargingSession, ...]:
    known: tuple[ChargingSession, ...] = ()
    for one in sightings:
        known = with_sighting(known, one)
    return known


def spans(known: Iterable[ChargingSession]) -> list[tuple[float, float | None, float]]:
    return [(one.plugged_in_epoch_s, one.plugged_out_epoch_s, one.energy_kwh) for one in known]


def test_a_session_grows_until_nobody_is_there():
    told = [there(10, 5, 0.1), there(20, 6, 0.4, "tag"), nobody(30), nobody(40)]
    assert after(told) == (ChargingSession(EVSE, 5, 30, "tag", 0.4, 20),), "5 and 6 are one moment by two clocks"
    assert after(told[:2])[0].plugged_out_epoch_s is None


def test_the_next_car_ends_the_session_before_it():
    assert spans(after([there(10, 5, 1.0), there(200, 100, 2.0)])) == [(5, 100, 1.0), (100, None, 2.0)]


def test_a_late_status_fills_in_what_was_not_seen():
    told = [there(10, 5, 1.0), there(500, 400, 9.0), nobody(600)]
    late = [there(250, 200, 3.0, "tag"), nobody(300), there(390, 5, 99.0)]
    assert spans(after([*told, *late[:1]])) == [(5, 200, 1.0), (200, 400, 3.0), (400, 600, 9.0)]
    assert spans(after([*told, *late[:2]])) == [(5, 200, 1.0), (200, 300, 3.0), (400, 600, 9.0)]


def test_a_session_that_seemed_over_goes_on():
    told = [there(10, 5, 1.0), nobody(20), there(30, 5, 2.0)]
    assert spans(after(told)) == [(5, None, 2.0)]
    assert spans(after([*told, nobody(15)])) == [(5, None, 2.0)], "older than what showed it"


def test_cars_that_are_just_apart_are_two():
    assert len(after([there(100, 10), there(100, 10 + SESSION_JITTER_S + 1)])) == 2


@st.composite
def histories(draw: st.DrawFn) -> list[Sighting]:
    """Statuses every 10 s over sessions that begin and end between them."""
    found: list[Sighting] = []
    begin, kwh = None, 0.0
    for k in range(draw(st.integers(2, 25))):
        at = 100.0 * (k + 1)
        change = draw(st.sampled_from(["stays", "stays", "leaves", "comes"]))
        if change == "leaves":
            begin = None
        elif change == "comes":
            begin, kwh = at - draw(st.floats(0.0, 60.0)), 0.0
        kwh += 0.5
        found.append(nobody(at) if begin is None else there(at, begin, kwh))
    return found


@given(histories(), st.integers(0, 25), st.randoms(use_true_random=False))
def test_live_and_late_statuses_in_any_mixture_tell_the_same(history, cut, dice):
    """After an outage the newest statuses come as they are made and the older ones, in order, between them."""
    cut = min(cut, len(history) - 1)
    late, live = history[: cut + 1], history[cut:]  # one that came both ways
    mixed = []
    while late or live:
        mixed.append((late if not live or (late and dice.random() < 0.5) else live).pop(0))
    first_live = history[cut].at_epoch_s
    wanted, found = spans(after(history)), spans(after(mixed))
    assert [one[::2] for one in found] == [one[::2] for one in wanted]
    for told, right in zip(found, wanted, strict=True):
        if right[1] is None or right[1] <= first_live:
            assert told == right
    assert spans(after([*mixed, *history])) == wanted, "what comes twice changes nothing, and mends what was mixed"


def note(database: Database, *sightings: Sighting, site: str = "north") -> None:
    with database.begin() as connection:
        note_sightings(connection, {site: sightings})


def test_sessions_are_kept_by_site_and_grow(database):
    with_sites(database, "north", "south")
    note(database, there(NOW, NOW - 600.0, 1.0), Sighting("car-2", NOW))
    note(database, there(NOW, NOW - 600.0, 7.0), site="south")
    note(database, there(NOW + 60.0, NOW - 599.0, 2.0, "tag"), nobody(NOW + 90.0))
    assert sessions_of(database, "north", NOW - 600.0) == (
        ChargingSession(EVSE, NOW - 600.0, NOW + 90.0, "tag", 2.0, NOW + 60.0),
    )
    assert spans(sessions_of(database, "south", 0.0)) == [(NOW - 600.0, None, 7.0)]
    assert sessions_of(database, "north", NOW) == ()


def test_only_neighbours_of_a_late_status_are_looked_at_and_changed(database):
    with_sites(database, "north")
    for hour in range(5):
        begin = NOW + 3600.0 * hour
        note(database, there(begin + 60.0, begin, float(hour)), nobody(begin + 1800.0))
    before = sessions_of(database, "north", 0.0)
    note(database, there(NOW + 6300.0, NOW + 6000.0, 0.5))
    late = ChargingSession(EVSE, NOW + 6000.0, NOW + 7200.0, None, 0.5, NOW + 6300.0)
    assert sessions_of(database, "north", 0.0) == (*before[:2], late, *before[2:])
    note(database, nobody(NOW + 6500.0))
    assert sessions_of(database, "north", 0.0)[2] == replace(late, plugged_out_epoch_s=NOW + 6500.0)


def target(**more: object) -> SessionTarget:
    plain = SessionTarget("north", EVSE, NOW + 2.0, "schedule", "20 kWh", 20.0, NOW + 7200.0, NOW + 60.0)
    return replace(plain, **more)  # type: ignore[arg-type]


def test_the_newest_target_of_a_session_counts_and_statuses_leave_it(database):
    with_sites(database, "north")
    assert note_targets(database, [target()]) == (), "its session is not here yet"
    note(database, there(NOW + 30.0, NOW, 1.0))
    assert note_targets(database, [target(), target(evse="car-9")]) == (target(),)
    newer = target(source="session", asked="80 %", issued_epoch_s=NOW + 90.0)
    assert note_targets(database, [newer]) == (newer,)
    assert note_targets(database, [target()]) == ()
    note(database, there(NOW + 120.0, NOW, 2.0))
    assert targets_of_site(database, "north", NOW) == (replace(newer, plugged_in_epoch_s=NOW),)
    assert spans(sessions_of(database, "north", NOW)) == [(NOW, None, 2.0)]


def test_old_sessions_go(database):
    with_sites(database, "north")
    note(database, there(NOW, NOW - 10.0), there(NOW + 200.0, NOW + 100.0))
    assert drop_sessions(database, NOW) == 1
    assert spans(sessions_of(database, "north", 0.0)) == [(NOW + 100.0, None, 0.0)]


def test_a_session_needs_its_site(database):
    with pytest.raises(IntegrityError):
        note(database, there(NOW, NOW), site="nowhere")
