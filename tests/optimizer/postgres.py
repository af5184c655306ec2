"""One PostgreSQL for all tests of a run, a fresh database for each."""

from __future__ import annotations

import os
from itertools import count

import pytest
from sqlalchemy import text

from optimizer.store.database import Database
from simulations.bench.postgres import DATABASE, Cluster, server_folder

_numbers = count(1)
TEMPLATE = "migrated"


def need_server() -> None:
    """Where PostgreSQL is missing the test is skipped, and in CI it fails."""
    if server_folder() is None:
        reason = "needs PostgreSQL's server (Debian package postgresql): scripts/system-packages installs it"
        if os.environ.get("STROOMWACHT_CI"):
            pytest.fail(reason)
        pytest.skip(reason)


def cluster_or_skip() -> Cluster:
    """Started, with a database to copy; see ``need_server``."""
    need_server()
    cluster = Cluster(("fsync=off",))
    cluster.start()
    _command(cluster, f"CREATE DATABASE {TEMPLATE}")
    migrated = Database(cluster.url(TEMPLATE))
    migrated.migrate()
    migrated.close()
    return cluster


def fresh_url(cluster: Cluster, template: str = TEMPLATE) -> str:
    """A database of its own with all tables; without any from ``template1``."""
    name = f"test_{next(_numbers)}"
    _command(cluster, f"CREATE DATABASE {name} TEMPLATE {template}")
    return cluster.url(name)


def _command(cluster: Cluster, sql: str) -> None:
    database = Database(cluster.url(DATABASE))
    with database.each() as connection:
        connection.execute(text(sql))
    database.close()
