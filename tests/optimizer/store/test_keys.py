"""What the enrolment desk remembers: the same on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import insert

from interfaces.errors import UserError
from optimizer.store.database import Database
from optimizer.store.keys import MAX_EVENTS, Box, Certificate, Code, Enrolments, Event, Kind
from optimizer.store.registry import Controller, controllers_of, put_controller, sites_of
from optimizer.store.tables import enrolment_events
from tests.optimizer.store.kit import NOW, with_sites

BOX = Box("SW-000123", "depot-7", "acme", "depot")
END = NOW + 86_400.0


@pytest.fixture
def store(database: Database) -> Enrolments:
    found = Enrolments(database)
    found.add_code(BOX, b"salt", b"digest", END, NOW)
    return found


@pytest.fixture
def others(url: str) -> Iterator[Enrolments]:
    """Several connections to the same store."""
    database = Database(url, connections=8)
    yield Enrolments(database)
    database.close()


def code_of(store: Enrolments, serial: str = BOX.serial) -> Code:
    found = store.code(serial)
    assert found is not None
    return found


def test_a_code_is_taken_by_one_key_whoever_asks_at_once(store, others):
    number = code_of(store).number
    with ThreadPoolExecutor(8) as pool:
        winners = set(pool.map(lambda k: others.take(number, f"key {k}"), range(40)))
    assert {code_of(store).key} == winners


def test_wrong_attempts_are_counted_whoever_asks_at_once(store, others):
    number = code_of(store).number
    with ThreadPoolExecutor(8) as pool:
        counted = list(pool.map(lambda _: others.count_wrong(number), range(20)))
    assert sorted(counted) == list(range(1, 21))


def test_it_is_all_there_after_a_restart(store, others):
    store.take(code_of(store).number, "key")
    store.note(Event(1.0, Kind.ENROLLED, BOX.serial, "::1", "x"))
    store.note(Event(2.0, Kind.RENEWED, BOX.serial, "::1", "y"))
    assert others.box(BOX.serial) == others.box_of("depot-7") == BOX
    assert others.boxes() == (BOX,)
    assert [event.kind for event in others.events(5)] == [Kind.RENEWED, Kind.ENROLLED]
    assert others.events(1) == (Event(2.0, Kind.RENEWED, BOX.serial, "::1", "y"),)
    code = code_of(others)
    assert (code.salt, code.digest, code.expires_epoch_s, code.wrong, code.key) == (b"salt", b"digest", END, 0, "key")


def test_a_newer_code_ends_the_older_one_and_has_a_number_of_its_own(store):
    older = code_of(store)
    store.add_code(BOX, b"salt 2", b"digest 2", END, NOW)
    newer = code_of(store)
    assert (newer.digest, newer.key, newer.wrong) == (b"digest 2", "", 0)
    assert newer.number > older.number
    assert store.take(older.number, "key") == ""
    assert store.count_wrong(older.number) == 0
    assert code_of(store) == newer


def test_a_device_takes_the_place_of_another_and_leaves_its_own(store, database):
    spare = replace(BOX, serial="SW-000124")
    store.add_code(spare, b"s", b"d", END, NOW)
    assert (store.box(BOX.serial), store.code(BOX.serial), store.box_of("depot-7")) == (None, None, spare)
    moved = replace(spare, controller="depot-8")
    store.add_code(moved, b"s", b"d", END, NOW)
    assert store.boxes() == (moved,)
    assert store.box_of("depot-7") is None
    assert [(one.id, one.serial) for one in controllers_of(database, "depot")] == [
        ("depot-7", None),
        ("depot-8", spare.serial),
    ]


def test_what_is_known_of_a_site_stays_and_it_keeps_its_owner(database):
    with_sites(database, "depot")
    put_controller(database, Controller("depot-7", "depot", None, NOW))
    before = sites_of(database, "acme")
    store = Enrolments(database)
    with pytest.raises(UserError, match="the site depot is of acme, not of other"):
        store.add_code(replace(BOX, organisation="other"), b"s", b"d", END, NOW)
    assert (store.boxes(), sites_of(database, "other")) == ((), ())
    store.add_code(BOX, b"s", b"d", END, NOW + 5.0)
    assert sites_of(database, "acme") == before
    assert controllers_of(database, "depot") == (Controller("depot-7", "depot", BOX.serial, NOW),)


def test_the_newest_certificate_of_a_controller(store):
    assert store.certificate("depot-7") is None
    first, second = Certificate("a1", "depot-7", NOW, END), Certificate("b2", "depot-7", NOW + 5.0, END + 5.0)
    for one in (first, second, replace(first, issued_epoch_s=NOW + 9.0)):
        store.issued(one)
    assert store.certificate("depot-7") == second, "one that is sent again was issued when it was"


def test_old_events_make_room(store, database):
    with database.begin() as connection:
        row = {"at_epoch_s": 0.0, "kind": "renewed", "serial": "", "address": "", "text": ""}
        connection.execute(insert(enrolment_events), [row] * MAX_EVENTS)
    for _ in range(3):
        store.note(Event(1.0, Kind.ENROLLED, "", "", ""))
    assert len(store.events(2 * MAX_EVENTS)) == MAX_EVENTS
