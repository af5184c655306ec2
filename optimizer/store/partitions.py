"""Partitions of PostgreSQL by time: made before they are needed, detached and dropped when they are old.

A partition is made as a table of its own and attached, and detached before it is dropped: neither stops those who read
or write the others (PostgreSQL manual, 5.11.2.2 Partition Maintenance).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import text

from interfaces.domain.units import MILLI
from optimizer.store.database import Database

PARTITION_LOCK: Final = 0x57_41_43_48_50
"""Held while partitions are made, so that two processes do not make the same one."""


@dataclass(frozen=True, slots=True)
class Partition:
    """The table ``name`` holds rows from ``begin_ms`` up to before ``end_ms``."""

    name: str
    begin_ms: int
    end_ms: int


def partition_of(table: str, time_ms: int, *, monthly: bool) -> Partition:
    """The UTC day or month that a moment belongs to."""
    day = datetime.fromtimestamp(time_ms // MILLI, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    begin = day.replace(day=1) if monthly else day
    end = (begin + timedelta(days=32)).replace(day=1) if monthly else begin + timedelta(days=1)
    name = f"{table}_{begin:%Y%m}" if monthly else f"{table}_{begin:%Y%m%d}"
    return Partition(name, int(begin.timestamp()) * MILLI, int(end.timestamp()) * MILLI)


def ensure(database: Database, table: str, partition: Partition) -> None:
    """Make it unless it is there."""
    if partition.name in database.known_partitions:
        return
    with database.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": PARTITION_LOCK})
        if connection.scalar(text("SELECT to_regclass(:name)"), {"name": partition.name}) is None:
            connection.execute(
                text(f"CREATE TABLE {partition.name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
            )
            bounds = f"FOR VALUES FROM ({partition.begin_ms}) TO ({partition.end_ms})"
            connection.execute(text(f"ALTER TABLE {table} ATTACH PARTITION {partition.name} {bounds}"))
    database.known_partitions.add(partition.name)


def partitions(database: Database, table: str) -> dict[str, bool]:
    """Names of a table's partitions, oldest first; whether an interrupted process was about to detach it."""
    query = text(
        "SELECT c.relname, i.inhdetachpending FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
        "WHERE i.inhparent = CAST(:table AS regclass) ORDER BY c.relname"
    )
    with database.begin() as connection:
        return {str(name): bool(pending) for name, pending in connection.execute(query, {"table": table})}


def drop_before(database: Database, table: str, time_ms: int) -> int:
    """Drop the partitions that end before a moment; how many."""
    gone = 0
    for name, pending in partitions(database, table).items():
        if _end_ms(table, name) > time_ms:
            continue
        database.known_partitions.discard(name)
        how = "FINALIZE" if pending else "CONCURRENTLY"
        with database.each() as connection:
            connection.execute(text(f"ALTER TABLE {table} DETACH PARTITION {name} {how}"))
            connection.execute(text(f"DROP TABLE {name}"))
        gone += 1
    return gone


def _end_ms(table: str, name: str) -> int:
    digits = name.removeprefix(f"{table}_")
    monthly = len(digits) == len("202601")
    begin = datetime.strptime(digits, "%Y%m" if monthly else "%Y%m%d").replace(tzinfo=UTC)
    return partition_of(table, int(begin.timestamp()) * MILLI, monthly=monthly).end_ms
