"""Databases for the tests of the store and the engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from optimizer.store.database import Database
from simulations.bench.postgres import Cluster
from tests.optimizer.postgres import cluster_or_skip, fresh_url


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A running server that tests must not stop."""
    found = cluster_or_skip()
    yield found
    found.remove()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.xdist_group("postgresql"))])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store with all tables and nothing in them, on each kind of database."""
    if request.param == "postgresql":
        return fresh_url(request.getfixturevalue("cluster"))
    found = f"sqlite:///{tmp_path / 'store.db'}"
    database = Database(found)
    database.migrate()
    database.close()
    return found


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """The store at ``url``."""
    found = Database(url)
    yield found
    found.close()
