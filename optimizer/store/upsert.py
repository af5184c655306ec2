"""INSERT ... ON CONFLICT, which both databases have and SQLAlchemy names twice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def upsert(
    connection: Connection,
    table: Table,
    replaced: tuple[str, ...] = (),
    changed: Mapping[str, ColumnElement[Any]] | None = None,
) -> postgresql.Insert | sqlite.Insert:
    """Insert a row; where its key is there already, take over ``replaced`` and ``changed``, or nothing without them."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement: postgresql.Insert | sqlite.Insert = dialect.insert(table)
    if not replaced and not changed:
        return statement.on_conflict_do_nothing(index_elements=list(table.primary_key.columns))
    values = {name: statement.excluded[name] for name in replaced} | dict(changed or {})
    return statement.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=values)
