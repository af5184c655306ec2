"""Settings and fixtures for every test."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# No wall clock decides a test: no deadlines. In CI the examples are the same on every run.
settings.register_profile("local", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("local"), derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("STROOMWACHT_CI") else "local")


@pytest.fixture(scope="session")
def reference_data() -> Path:
    """The folder with real measurement files; tests that need it are skipped where it is absent."""
    folder = os.environ.get("STROOMWACHT_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs real measurement files: set STROOMWACHT_DATA to their folder")
    return Path(folder)


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Records what a test named ``test_row_NN_...`` measured, for the fault matrix: ``figure(what, value, unit)``."""

    def record(what: str, value: float | str, unit: str = "") -> None:
        record_property("figure", [what, value if isinstance(value, str) else float(value), unit])

    return record
