"""Charging sessions, and what people want for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import and_, delete, select

from optimizer.store.database import Database
from optimizer.store.tables import charging_sessions, wishes
from optimizer.store.upsert import upsert


@dataclass(frozen=True, slots=True)
class ChargingSession:
    """From plug-in to plug-out, None while the car is there."""

    evse: str
    plugged_in_epoch_s: float
    plugged_out_epoch_s: float | None
    tag: str | None
    energy_kwh: float


@dataclass(frozen=True, slots=True)
class StoredWish:
    """What somebody wants for the session that began at ``plugged_in_epoch_s``; ``target``: JSON."""

    evse: str
    plugged_in_epoch_s: float
    target: str
    told_epoch_s: float


def put_sessions(database: Database, site: str, found: Sequence[ChargingSession]) -> None:
    """Add sessions, or what has become of them."""
    rows = [
        {
            "site_id": site, "evse": one.evse, "plugged_in_epoch_s": one.plugged_in_epoch_s,
            "plugged_out_epoch_s": one.plugged_out_epoch_s, "tag": one.tag, "energy_kwh": one.energy_kwh,
        }
        for one in found
    ]  # fmt: skip
    if rows:
        with database.begin() as connection:
            replaced = ("plugged_out_epoch_s", "tag", "energy_kwh")
            connection.execute(upsert(connection, charging_sessions, replaced=replaced), rows)


def sessions_of(database: Database, site: str, since_epoch_s: float) -> tuple[ChargingSession, ...]:
    """Sessions of a site that began at or after a moment, oldest first."""
    table = charging_sessions
    columns = (table.c.evse, table.c.plugged_in_epoch_s, table.c.plugged_out_epoch_s, table.c.tag, table.c.energy_kwh)
    where = and_(table.c.site_id == site, table.c.plugged_in_epoch_s >= since_epoch_s)
    with database.begin() as connection:
        rows = connection.execute(select(*columns).where(where).order_by(table.c.plugged_in_epoch_s, table.c.evse))
        return tuple(ChargingSession(*row) for row in rows)


def put_wish(database: Database, site: str, wish: StoredWish) -> None:
    """The newest word about a session."""
    row = {
        "site_id": site, "evse": wish.evse, "plugged_in_epoch_s": wish.plugged_in_epoch_s, "body": wish.target,
        "told_epoch_s": wish.told_epoch_s,
    }  # fmt: skip
    with database.begin() as connection:
        connection.execute(upsert(connection, wishes, replaced=("body", "told_epoch_s")), row)


def wishes_of_site(database: Database, site: str) -> tuple[StoredWish, ...]:
    """All wishes of a site, by EVSE."""
    columns = (wishes.c.evse, wishes.c.plugged_in_epoch_s, wishes.c.body, wishes.c.told_epoch_s)
    where = wishes.c.site_id == site
    with database.begin() as connection:
        rows = connection.execute(select(*columns).where(where).order_by(wishes.c.evse, wishes.c.plugged_in_epoch_s))
        return tuple(StoredWish(*row) for row in rows)


def drop_wishes(database: Database, told_before_epoch_s: float) -> int:
    """Remove wishes whose session is long over; how many."""
    with database.begin() as connection:
        return connection.execute(delete(wishes).where(wishes.c.told_epoch_s < told_before_epoch_s)).rowcount
