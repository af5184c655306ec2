"""Who there is, keys and codes: the same on both databases."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from sqlalchemy.exc import IntegrityError

from optimizer.store.database import Database
from optimizer.store.keys import (
    ActivationCode,
    Certificate,
    SigningKey,
    add_activation_code,
    certificates_ending_before,
    put_certificate,
    put_signing_key,
    redeem,
    signing_keys_at,
)
from optimizer.store.registry import Controller, StoredSite, controllers_of, put_controller, put_sites, sites_of
from tests.optimizer.store.kit import NOW, with_sites


def test_sites_belong_to_one_organisation(database):
    with_sites(database, "north", "south")
    with_sites(database, "east", organisation="other")
    assert [site.id for site in sites_of(database, "acme")] == ["north", "south"]
    assert [site.id for site in sites_of(database, "other")] == ["east"]
    put_sites(database, (StoredSite("north", "other", "North yard", "Europe/Paris", NOW + 1),))
    (north,) = [site for site in sites_of(database, "acme") if site.id == "north"]
    assert north == StoredSite("north", "acme", "North yard", "Europe/Paris", NOW), "it never changes hands"
    with pytest.raises(IntegrityError):
        put_sites(database, (StoredSite("west", "nobody", "West", "Europe/Paris", NOW),))


def test_a_controller_and_the_box_that_takes_its_place(database):
    with_sites(database, "north")
    put_controller(database, Controller("north-1", "north", "A100", NOW))
    put_controller(database, Controller("north-1", "north", "A200", NOW + 5))
    assert controllers_of(database, "north") == (Controller("north-1", "north", "A200", NOW),)
    with pytest.raises(IntegrityError):
        put_controller(database, Controller("north-2", "north", "A200", NOW))


def test_two_signing_keys_count_during_a_rotation(database):
    old, new = SigningKey("k1", b"1" * 32, NOW), SigningKey("k2", b"2" * 32, NOW + 100)
    put_signing_key(database, old)
    put_signing_key(database, new)
    put_signing_key(database, replace(old, retired_epoch_s=NOW + 200))
    assert [key.id for key in signing_keys_at(database, NOW + 99)] == ["k1"]
    assert [key.id for key in signing_keys_at(database, NOW + 150)] == ["k2", "k1"]
    assert [key.id for key in signing_keys_at(database, NOW + 200)] == ["k2"]
    assert signing_keys_at(database, NOW + 200)[0].public_key == b"2" * 32


def test_certificates_to_renew(database):
    with_sites(database, "north")
    put_controller(database, Controller("north-1", "north", None, NOW))
    for name, days in (("aa", 10), ("bb", 40), ("cc", 5)):
        put_certificate(database, Certificate(name, "north-1", NOW + days * 86_400))
    put_certificate(database, Certificate("cc", "north-1", NOW + 5 * 86_400, revoked_epoch_s=NOW))
    assert [one.fingerprint for one in certificates_ending_before(database, NOW + 30 * 86_400)] == ["aa"]


def code(**more) -> ActivationCode:
    return ActivationCode(
        **{"code_hash": "h1", "serial": "A100", "controller": "north-1", "expires_epoch_s": NOW + 60.0, **more}
    )


def test_a_code_counts_once_in_time_and_for_its_box(database):
    with_sites(database, "north")
    put_controller(database, Controller("north-1", "north", None, NOW))
    add_activation_code(database, code())
    add_activation_code(database, code(code_hash="h2"))
    assert redeem(database, "h1", "A999", NOW) is None
    assert redeem(database, "nonsense", "A100", NOW) is None
    assert redeem(database, "h1", "A100", NOW) == "north-1"
    assert redeem(database, "h1", "A100", NOW) is None
    assert redeem(database, "h2", "A100", NOW + 60.0) is None
    with pytest.raises(IntegrityError):
        add_activation_code(database, code())


def test_two_boxes_at_the_same_moment_and_one_code(url):
    first = Database(url)
    with_sites(first, "north")
    put_controller(first, Controller("north-1", "north", None, NOW))
    add_activation_code(first, code())
    barrier, found = threading.Barrier(4), []

    def ask() -> None:
        database = Database(url)
        barrier.wait(30)
        found.append(redeem(database, "h1", "A100", NOW))
        database.close()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first.close()
    assert sorted(found, key=str) == [None, None, None, "north-1"]
