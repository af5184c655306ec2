"""What Alembic runs for a migration: one connection, one transaction, one migrating process at a time."""

from __future__ import annotations

import re
from typing import Final

from alembic import context
from sqlalchemy import Connection, text

from optimizer.store.database import migration_engine
from optimizer.store.tables import energy, live, metadata

MIGRATION_LOCK: Final = 0x57_41_43_48_54
"""Any number, the same in every process that migrates."""
PARTITION: Final = re.compile(rf"({live.name}|{energy.name})_\d+")


def is_ours(name: str | None, kind: str, _parents: object) -> bool:
    """Partitions come and go by themselves: no migration knows them."""
    return kind != "table" or name is None or PARTITION.fullmatch(name) is None


def migrate(connection: Connection) -> None:
    """Run what was asked for over one connection."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
    context.configure(
        connection=connection, target_metadata=metadata, include_name=is_ours, render_as_batch=True,
        transaction_per_migration=False, compare_server_default=True,
    )  # fmt: skip
    with context.begin_transaction():
        context.run_migrations()


engine = migration_engine(context.config.attributes["url"])
with engine.begin() as one:
    migrate(one)
engine.dispose()
