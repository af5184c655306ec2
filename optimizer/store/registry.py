"""Who there is: organisations, their sites, the controllers of a site."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from optimizer.store.database import Database
from optimizer.store.tables import controllers, organisations, sites
from optimizer.store.upsert import upsert


@dataclass(frozen=True, slots=True)
class Organisation:
    """Whose sites they are; nobody sees those of another one."""

    id: str
    name: str
    created_epoch_s: float


@dataclass(frozen=True, slots=True)
class StoredSite:
    """One site; what plans need to know of it is in its problems. ``time_zone``: empty where it came by the enrolment
    of a device.
    """

    id: str
    organisation: str
    name: str
    time_zone: str
    created_epoch_s: float


@dataclass(frozen=True, slots=True)
class Controller:
    """``id``: the common name of its certificates; ``serial`` of the box, None until one was enrolled."""

    id: str
    site: str
    serial: str | None
    created_epoch_s: float


def put_organisation(database: Database, organisation: Organisation) -> None:
    """Add it, or give it a new name."""
    row = {"id": organisation.id, "name": organisation.name, "created_epoch_s": organisation.created_epoch_s}
    with database.begin() as connection:
        connection.execute(upsert(connection, organisations, replaced=("name",)), row)


def put_sites(database: Database, found: tuple[StoredSite, ...]) -> None:
    """Add sites, or replace name and time zone. A site never changes hands this way."""
    rows = [
        {
            "id": site.id, "organisation_id": site.organisation, "name": site.name, "time_zone": site.time_zone,
            "created_epoch_s": site.created_epoch_s,
        }
        for site in found
    ]  # fmt: skip
    if rows:
        with database.begin() as connection:
            connection.execute(upsert(connection, sites, replaced=("name", "time_zone")), rows)


def sites_of(database: Database, organisation: str) -> tuple[StoredSite, ...]:
    """The sites of one organisation, by id."""
    columns = (sites.c.id, sites.c.organisation_id, sites.c.name, sites.c.time_zone, sites.c.created_epoch_s)
    where = sites.c.organisation_id == organisation
    with database.begin() as connection:
        return tuple(StoredSite(*row) for row in connection.execute(select(*columns).where(where).order_by(sites.c.id)))


def put_controller(database: Database, controller: Controller) -> None:
    """Add it, or note the box that has taken its place; without one what is known stays."""
    row = {
        "id": controller.id, "site_id": controller.site, "serial": controller.serial,
        "created_epoch_s": controller.created_epoch_s,
    }  # fmt: skip
    with database.begin() as connection:
        replaced = () if controller.serial is None else ("serial",)
        connection.execute(upsert(connection, controllers, replaced=replaced), row)


def controllers_of(database: Database, site: str) -> tuple[Controller, ...]:
    """The controllers of one site, by id."""
    columns = (controllers.c.id, controllers.c.site_id, controllers.c.serial, controllers.c.created_epoch_s)
    where = controllers.c.site_id == site
    with database.begin() as connection:
        rows = connection.execute(select(*columns).where(where).order_by(controllers.c.id))
        return tuple(Controller(*row) for row in rows)


def addresses(database: Database) -> tuple[tuple[str, str, str], ...]:
    """(organisation, site, controller) of every controller there is."""
    columns = (sites.c.organisation_id, sites.c.id, controllers.c.id)
    query = select(*columns).select_from(controllers.join(sites, sites.c.id == controllers.c.site_id))
    with database.begin() as connection:
        return tuple((organisation, site, name) for organisation, site, name in connection.execute(query))
