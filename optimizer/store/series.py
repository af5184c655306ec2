"""Measured series: stored once however often a message comes, read back by site, asset and quantity.

PostgreSQL takes rows by COPY into partitions by time; SQLite into one table with an index.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from sqlalchemy import Connection, Table, and_, delete, insert, select
from sqlalchemy.exc import IntegrityError

from interfaces.domain.units import MILLI, SECONDS_PER_DAY, Floats, Ints
from optimizer.store.charging import Sighting, note_sightings
from optimizer.store.database import Database
from optimizer.store.partitions import Partition, drop_before, ensure, partition_of
from optimizer.store.tables import energy, live, messages
from optimizer.store.upsert import upsert

Series = Literal["live", "energy"]
DAY_MS: Final[int] = SECONDS_PER_DAY * MILLI
KEPT_DAYS: Final[dict[Series, int]] = {"live": 35, "energy": 3 * 366}
"""Live values serve pictures and questions about last week; energy serves bills and reports."""
NAMES_KEPT_DAYS: Final[int] = 10
"""Names of messages whose values are in the series: longer than any site keeps what it could not send."""
BODIES_KEPT_DAYS: Final[int] = 400
"""Events and births: a year and what the yearly report needs to be written."""
AHEAD_DAYS: Final[int] = 3
"""Partitions are there so long before the first row wants them: whoever makes them may be away for a weekend."""
LARGEST: Final[float] = 1e300
"""What the tables' check allows: one value beyond it would fail everybody's batch."""
FUTURE_MS: Final[int] = DAY_MS
"""A value from later than this comes from a clock that is wrong."""

_TABLES: Final[dict[Series, Table]] = {"live": live, "energy": energy}
_COLUMNS: Final = ("time_ms", "site_id", "asset", "quantity", "value", "quality", "historical")
_TYPES: Final = ("int8", "varchar", "varchar", "varchar", "float8", "int2", "bool")


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of an asset or a circuit. ``quantity`` with its unit, such as ``power_w``; ``quality`` 0 is good."""

    time_ms: int
    asset: str
    quantity: str
    value: float
    quality: int = 0


@dataclass(frozen=True, slots=True)
class Told:
    """One message: ``session`` and ``seq`` tell it from all others of its controller. ``at_ms``: when the fact held;
    ``body`` where it is kept whole; ``samples`` for one of the series; ``sightings`` of sessions. ``historical``: it
    comes from the site's spool.
    """

    site: str
    controller: str
    session: int
    seq: int
    kind: str
    at_ms: int
    body: str | None = None
    series: Series = "live"
    samples: tuple[Sample, ...] = ()
    sightings: tuple[Sighting, ...] = ()
    historical: bool = False


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of messages: ``repeated`` were here already; ``rows`` stored; ``outside``: values that are too old,
    from the future or no number a table takes.
    """

    repeated: int
    rows: int
    outside: int


@dataclass(frozen=True, slots=True)
class UnknownSite:
    """Nothing was stored: one of the messages is of a site that is not here."""

    reason: str


def add_messages(database: Database, told: Sequence[Told], now_ms: int) -> Stored | UnknownSite:
    """Store messages, all in one transaction: when this returns they are on disk, and may be acknowledged.

    Args:
        database: the store.
        told: messages of any sites, in any order, each at most once stored.
        now_ms: of the clock; bounds what is stored.
    """
    taken, outside = [], 0
    for message in told:
        samples = _within(message, now_ms)
        outside += len(message.samples) - len(samples)
        taken.append((message, samples))
    if database.is_postgres:
        _ensure(database, {(m.series, _part(m.series, s.time_ms)) for m, samples in taken for s in samples})
    try:
        with database.begin() as connection:
            new = _new_keys(connection, told, now_ms)
            fresh = [(message, samples) for message, samples in taken if _take(new, _key(message))]
            for series in _TABLES:
                rows = [_row(m, s) for m, samples in fresh if m.series == series for s in samples]
                _write(connection, series, rows)
            note_sightings(connection, _sightings(fresh, now_ms))
    except IntegrityError as error:
        return UnknownSite(str(error.orig).strip().partition("\n")[0])
    rows_stored = sum(len(samples) for _, samples in fresh)
    return Stored(len(told) - len(fresh), rows_stored, outside)


def read_series(
    database: Database, series: Series, site: str, asset: str, quantity: str, begin_ms: int, end_ms: int
) -> tuple[Ints, Floats]:
    """Times (ms) and values from ``begin_ms`` up to before ``end_ms``, oldest first."""
    table = _TABLES[series]
    where = and_(
        table.c.site_id == site, table.c.asset == asset, table.c.quantity == quantity,
        table.c.time_ms >= begin_ms, table.c.time_ms < end_ms,
    )  # fmt: skip
    with database.begin() as connection:
        rows = connection.execute(select(table.c.time_ms, table.c.value).where(where).order_by(table.c.time_ms)).all()
    return np.array([row[0] for row in rows], dtype=np.int64), np.array([row[1] for row in rows], dtype=np.float64)


def maintain_series(database: Database, now_ms: int) -> int:
    """Make the partitions of the coming days and drop what is kept long enough; how many partitions or rows went.

    To be called once a day at least; more often does no harm.
    """
    gone = 0
    if database.is_postgres:
        coming = range(now_ms, now_ms + (AHEAD_DAYS + 1) * DAY_MS, DAY_MS)
        _ensure(database, {(series, _part(series, time_ms)) for series in _TABLES for time_ms in coming})
        gone += sum(drop_before(database, _TABLES[s].name, now_ms - days * DAY_MS) for s, days in KEPT_DAYS.items())
    with database.begin() as connection:
        if not database.is_postgres:
            for series, days in KEPT_DAYS.items():
                table = _TABLES[series]
                gone += connection.execute(delete(table).where(table.c.time_ms < now_ms - days * DAY_MS)).rowcount
        received, has_body = messages.c.received_ms, messages.c.body.is_not(None)
        connection.execute(delete(messages).where(received < now_ms - NAMES_KEPT_DAYS * DAY_MS, ~has_body))
        connection.execute(delete(messages).where(received < now_ms - BODIES_KEPT_DAYS * DAY_MS))
    return gone


def _within(message: Told, now_ms: int) -> tuple[Sample, ...]:
    oldest_ms = now_ms - KEPT_DAYS[message.series] * DAY_MS
    return tuple(s for s in message.samples if oldest_ms <= s.time_ms <= now_ms + FUTURE_MS and abs(s.value) <= LARGEST)


def _sightings(fresh: Sequence[tuple[Told, tuple[Sample, ...]]], now_ms: int) -> dict[str, list[Sighting]]:
    """Of new messages by site, as far as values of their time are kept."""
    oldest_ms = now_ms - KEPT_DAYS["live"] * DAY_MS
    found: dict[str, list[Sighting]] = {}
    for message, _ in fresh:
        for one in message.sightings:
            if oldest_ms <= one.at_epoch_s * MILLI <= now_ms + FUTURE_MS and abs(one.energy_kwh) <= LARGEST:
                found.setdefault(message.site, []).append(one)
    return found


def _part(series: Series, time_ms: int) -> Partition:
    return partition_of(_TABLES[series].name, time_ms, monthly=series == "energy")


def _ensure(database: Database, wanted: set[tuple[Series, Partition]]) -> None:
    for series, partition in sorted(wanted, key=lambda one: one[1].name):
        ensure(database, _TABLES[series].name, partition)


def _key(message: Told) -> tuple[str, int, int]:
    return message.controller, message.session, message.seq


def _new_keys(connection: Connection, told: Sequence[Told], now_ms: int) -> set[tuple[str, int, int]]:
    """Note the messages; the keys of those that were not noted before."""
    rows = {
        _key(message): {
            "controller": message.controller, "session": message.session, "seq": message.seq, "site_id": message.site,
            "kind": message.kind, "at_ms": message.at_ms, "received_ms": now_ms, "body": message.body,
        }
        for message in told
    }  # fmt: skip
    statement = upsert(connection, messages).returning(messages.c.controller, messages.c.session, messages.c.seq)
    ordered = [rows[key] for key in sorted(rows)]
    return {(name, session, seq) for name, session, seq in connection.execute(statement, ordered)} if rows else set()


def _take(new: set[tuple[str, int, int]], key: tuple[str, int, int]) -> bool:
    """Whether a key is new, once."""
    found = key in new
    new.discard(key)
    return found


def _row(message: Told, sample: Sample) -> tuple[Any, ...]:
    return (
        sample.time_ms, message.site, sample.asset, sample.quantity, sample.value, sample.quality, message.historical,
    )  # fmt: skip


def _write(connection: Connection, series: Series, rows: Sequence[tuple[Any, ...]]) -> None:
    table = _TABLES[series]
    if not rows:
        return
    if connection.dialect.name != "postgresql":
        connection.execute(insert(table), [dict(zip(_COLUMNS, row, strict=True)) for row in rows])
        return
    raw: Any = connection.connection.driver_connection
    columns = ", ".join(_COLUMNS)
    with raw.cursor() as cursor, cursor.copy(f"COPY {table.name} ({columns}) FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(_TYPES)
        for row in rows:
            copy.write_row(row)
