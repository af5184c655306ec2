"""Who there is: the same on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import IntegrityError

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
    put_controller(database, Controller("north-1", "north", None, NOW + 6))
    assert controllers_of(database, "north")[0].serial == "A200", "whoever knows no box does not end one"
    with pytest.raises(IntegrityError):
        put_controller(database, Controller("north-2", "north", "A200", NOW))
