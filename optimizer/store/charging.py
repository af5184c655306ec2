"""Charging sessions: put together from what statuses tell of each EVSE, and what each was planned for.

Statuses come live and, after an outage, older ones beside them. Each tells whether a session is under way and which, so
that one that comes twice, or late, changes nothing that a newer one has told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Final

from sqlalchemy import Connection, and_, delete, func, or_, select, update

from interfaces.domain.live import SESSION_JITTER_S
from optimizer.store.database import Database
from optimizer.store.tables import charging_sessions
from optimizer.store.upsert import upsert


@dataclass(frozen=True, slots=True)
class ChargingSession:
    """From plug-in to plug-out (None: not over). ``energy_kwh`` since plug-in, as of ``seen_epoch_s``: the newest
    status that showed it. Plug-out is the first status after that, or the next plug-in.
    """

    evse: str
    plugged_in_epoch_s: float
    plugged_out_epoch_s: float | None
    tag: str | None
    energy_kwh: float
    seen_epoch_s: float


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a status tells of one EVSE: the session that is under way, or none (``plugged_in_epoch_s`` None)."""

    evse: str
    at_epoch_s: float
    plugged_in_epoch_s: float | None = None
    tag: str | None = None
    energy_kwh: float = 0.0


@dataclass(frozen=True, slots=True)
class SessionTarget:
    """What a session was planned for, as the site was told. ``source``: whose word counts (the driver's ``session``,
    ``schedule``, ``past`` ...); ``asked`` in its own words; ``energy_kwh`` since plug-in.
    """

    site: str
    evse: str
    plugged_in_epoch_s: float
    source: str
    asked: str
    energy_kwh: float
    departure_epoch_s: float
    issued_epoch_s: float


_COLUMNS: Final = tuple(field.name for field in fields(ChargingSession))
_SEEN: Final = ("plugged_out_epoch_s", "tag", "energy_kwh", "seen_epoch_s")


def with_sighting(known: tuple[ChargingSession, ...], seen: Sighting) -> tuple[ChargingSession, ...]:
    """The sessions of one EVSE, oldest first, as they are known after a sighting."""
    begin_s, at_s = seen.plugged_in_epoch_s, seen.at_epoch_s
    if begin_s is None:
        return tuple(_ended(one, at_s) if one.seen_epoch_s < at_s else one for one in known)
    same = next((one for one in known if abs(one.plugged_in_epoch_s - begin_s) <= SESSION_JITTER_S), None)
    if same is None:
        new = ChargingSession(seen.evse, begin_s, None, seen.tag, seen.energy_kwh, at_s)
    else:
        new = _grown(same, seen)
    rows = sorted((*(one for one in known if one is not same), new), key=lambda one: one.plugged_in_epoch_s)
    return (*(_ended(one, after.plugged_in_epoch_s) for one, after in pairwise(rows)), rows[-1])


def note_sightings(connection: Connection, seen: Mapping[str, Sequence[Sighting]]) -> None:
    """Take in what statuses told, by site, in the order it came."""
    rows = []
    for site in sorted(seen):
        known = _known(connection, site, seen[site])
        after = dict(known)
        for one in seen[site]:
            after[one.evse] = with_sighting(after.get(one.evse, ()), one)
        rows += [
            {"site_id": site, **{name: getattr(one, name) for name in _COLUMNS}}
            for evse, found in after.items()
            for one in found
            if one not in known.get(evse, ())
        ]
    if rows:
        connection.execute(upsert(connection, charging_sessions, replaced=_SEEN), rows)


def note_targets(database: Database, targets: Iterable[SessionTarget]) -> tuple[SessionTarget, ...]:
    """Note what sessions were planned for, each the newest; those whose session is here."""
    table = charging_sessions
    found = []
    with database.begin() as connection:
        for target in targets:
            begin_s = target.plugged_in_epoch_s
            where = and_(
                table.c.site_id == target.site, table.c.evse == target.evse,
                table.c.plugged_in_epoch_s.between(begin_s - SESSION_JITTER_S, begin_s + SESSION_JITTER_S),
                or_(table.c.issued_epoch_s.is_(None), table.c.issued_epoch_s <= target.issued_epoch_s),
            )  # fmt: skip
            values = {
                "target_source": target.source, "target_asked": target.asked, "target_kwh": target.energy_kwh,
                "departure_epoch_s": target.departure_epoch_s, "issued_epoch_s": target.issued_epoch_s,
            }  # fmt: skip
            if connection.execute(update(table).where(where).values(values)).rowcount:
                found.append(target)
    return tuple(found)


def sessions_of(database: Database, site: str, since_epoch_s: float) -> tuple[ChargingSession, ...]:
    """Sessions of a site that began at or after a moment, oldest first."""
    table = charging_sessions
    where = and_(table.c.site_id == site, table.c.plugged_in_epoch_s >= since_epoch_s)
    query = select(*(table.c[name] for name in _COLUMNS)).where(where)
    with database.begin() as connection:
        rows = connection.execute(query.order_by(table.c.plugged_in_epoch_s, table.c.evse))
        return tuple(ChargingSession(*row) for row in rows)


def targets_of_site(database: Database, site: str, since_epoch_s: float) -> tuple[SessionTarget, ...]:
    """What the sessions that began at or after a moment were planned for, oldest first."""
    table = charging_sessions
    names = (
        "site_id", "evse", "plugged_in_epoch_s", "target_source", "target_asked", "target_kwh", "departure_epoch_s",
        "issued_epoch_s",
    )  # fmt: skip
    began, told = table.c.plugged_in_epoch_s >= since_epoch_s, table.c.issued_epoch_s.is_not(None)
    query = select(*(table.c[name] for name in names)).where(table.c.site_id == site, began, told)
    with database.begin() as connection:
        rows = connection.execute(query.order_by(table.c.plugged_in_epoch_s, table.c.evse))
        return tuple(SessionTarget(*row) for row in rows)


def drop_sessions(database: Database, before_epoch_s: float) -> int:
    """Remove sessions that began before a moment; how many."""
    with database.begin() as connection:
        where = charging_sessions.c.plugged_in_epoch_s < before_epoch_s
        return connection.execute(delete(charging_sessions).where(where)).rowcount


def _ended(one: ChargingSession, at_epoch_s: float) -> ChargingSession:
    """Over at this moment, or before it where that is known."""
    end_s = one.plugged_out_epoch_s
    return one if end_s is not None and end_s <= at_epoch_s else replace(one, plugged_out_epoch_s=at_epoch_s)


def _grown(one: ChargingSession, seen: Sighting) -> ChargingSession:
    """With what a status shows of it. An older one than the newest tells no more than a tag that was not known."""
    if seen.at_epoch_s < one.seen_epoch_s:
        return one if one.tag is not None else replace(one, tag=seen.tag)
    end_s = one.plugged_out_epoch_s
    return replace(
        one,
        plugged_out_epoch_s=None if end_s is None or end_s <= seen.at_epoch_s else end_s,
        tag=one.tag if seen.tag is None else seen.tag,
        energy_kwh=seen.energy_kwh,
        seen_epoch_s=seen.at_epoch_s,
    )


def _known(connection: Connection, site: str, seen: Sequence[Sighting]) -> dict[str, tuple[ChargingSession, ...]]:
    """By EVSE the sessions that these sightings can change: sessions follow each other, so that the one under way at
    the oldest and all later ones are enough. They are locked where several processes may write.
    """
    table, earlier = charging_sessions, charging_sessions.alias()
    moments = [one.at_epoch_s if one.plugged_in_epoch_s is None else one.plugged_in_epoch_s for one in seen]
    since_s = min(moments) - SESSION_JITTER_S
    under_way = select(func.max(earlier.c.plugged_in_epoch_s)).where(
        earlier.c.site_id == site, earlier.c.evse == table.c.evse, earlier.c.plugged_in_epoch_s <= since_s
    )
    where = and_(
        table.c.site_id == site, table.c.evse.in_({one.evse for one in seen}),
        table.c.plugged_in_epoch_s >= func.coalesce(under_way.scalar_subquery(), since_s),
    )  # fmt: skip
    query = select(*(table.c[name] for name in _COLUMNS)).where(where)
    found: dict[str, tuple[ChargingSession, ...]] = {}
    for row in connection.execute(query.order_by(table.c.evse, table.c.plugged_in_epoch_s).with_for_update()):
        session = ChargingSession(*row)
        found[session.evse] = (*found.get(session.evse, ()), session)
    return found
