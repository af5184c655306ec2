"""Opening, migrating, and what happens when a database is not there."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import text

from interfaces.errors import UserError
from optimizer.store.database import Database, StoreError, alembic_config
from optimizer.store.tables import metadata
from simulations.bench.postgres import Cluster
from tests.optimizer.postgres import fresh_url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.xdist_group("postgresql"))])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return fresh_url(request.getfixturevalue("cluster"), template="template1")
    return f"sqlite:///{tmp_path / 'store.db'}"


def test_migrations_make_what_the_tables_say(empty_url):
    database = Database(empty_url)
    database.migrate()
    database.migrate()
    command.check(alembic_config(database.url))
    with database.begin() as connection:
        for table in metadata.sorted_tables:
            assert connection.scalar(text(f"SELECT count(*) FROM {table.name}")) == 0
    database.close()


def test_the_check_sees_a_column_that_no_migration_makes(empty_url):
    database = Database(empty_url)
    database.migrate()
    with database.begin() as connection:
        connection.execute(text("ALTER TABLE sites DROP COLUMN name"))
    with pytest.raises(Exception, match="New upgrade operations detected"):
        command.check(alembic_config(database.url))
    database.close()


def test_a_transaction_is_kept_whole_or_not_at_all(database):
    def fails_half_way() -> None:
        with database.begin() as connection:
            connection.execute(text("INSERT INTO organisations VALUES ('a', 'A', 0)"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails_half_way()
    with database.begin() as connection:
        assert connection.scalar(text("SELECT count(*) FROM organisations")) == 0


@pytest.mark.parametrize("url", ["", "nonsense", "mysql://host/db", "sqlite://", "sqlite:///:memory:"])
def test_only_databases_that_the_store_works_with(url):
    with pytest.raises(UserError):
        Database(url)


def test_a_password_is_not_in_the_sentence():
    with pytest.raises(UserError) as refused:
        Database("mysql://me:secret@host/db")
    assert "secret" not in str(refused.value)


def test_no_server_is_an_error_of_the_store(tmp_path):
    database = Database(f"postgresql://postgres@/x?host={tmp_path}")
    with pytest.raises(StoreError, match="connection"), database.begin():
        pass
    with pytest.raises(StoreError), database.alone(1):
        pass
    with pytest.raises(StoreError):
        database.migrate()


def test_sqlite_keeps_what_it_was_given_through_a_power_cut(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'store.db'}")
    with database.begin() as connection:
        assert connection.scalar(text("PRAGMA journal_mode")) == "wal"
        assert connection.scalar(text("PRAGMA synchronous")) == 2  # FULL
        assert connection.scalar(text("PRAGMA foreign_keys")) == 1
    database.close()


def test_a_writer_of_sqlite_locks_before_it_reads(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'store.db'}")
    other = sqlite3.connect(tmp_path / "store.db", timeout=0, isolation_level=None)
    with database.begin() as connection:
        connection.execute(text("SELECT 1"))
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
    other.execute("BEGIN IMMEDIATE")
    other.close()
    database.close()


@pytest.mark.xdist_group("postgresql")
def test_long_texts_are_packed_by_lz4_where_the_server_can(cluster: Cluster):
    database = Database(fresh_url(cluster))
    with database.begin() as connection:
        query = "SELECT 'lz4' = ANY(enumvals) FROM pg_settings WHERE name = 'default_toast_compression'"
        can = connection.scalar(text(query))
        connection.execute(text("INSERT INTO organisations VALUES ('a', repeat('long name ', 1000), 0)"))
        packed = connection.scalar(text("SELECT pg_column_compression(name) FROM organisations")) if can else "lz4"
    assert packed == "lz4"
    database.close()


@pytest.mark.xdist_group("postgresql")
def test_a_connection_that_the_server_closed_is_replaced(cluster: Cluster):
    database = Database(fresh_url(cluster), connections=1)
    with database.begin() as connection:
        pid = connection.scalar(text("SELECT pg_backend_pid()"))
    killer = Database(cluster.url())
    with killer.begin() as connection:
        connection.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
    with database.begin() as connection:
        assert connection.scalar(text("SELECT pg_backend_pid()")) != pid
    killer.close()
    database.close()
