"""One PostgreSQL for all tests of a run, a fresh database for each."""

from __future__ import annotations

import os
from itertools import count

import pytest
from sqlalchemy import text

from interfaces.errors import UserError
from optimizer.store.database import Database
from simulations.bench.postgres import DATABASE, Cluster

_numbers = count(1)
TEMPLATE = "migrated"


def cluster_or_skip() -> Cluster:
    """Started. Where PostgreSQL is missing the test is skipped, and in CI it fails."""
    try:
        cluster = Cluster(("fsync=off",))
    except UserError as error:
        if os.environ.get("STROOMWACHT_CI"):
            pytest.fail(f"{error}: scripts/system-packages installs it")
        pytest.skip(f"{error}: scripts/system-packages installs it")
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
