"""`stroomwacht optimizer worker` as people start it: a process, a configuration, a store that comes late."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from interfaces.cli import main
from interfaces.drivers.clock import epoch_s
from interfaces.drivers.site_reader import example_text
from interfaces.errors import UserError
from optimizer.core.codec import problem_to_json
from optimizer.service.engine_config import DATABASE_VARIABLE, EngineEntry
from optimizer.service.local_link import LocalLink
from optimizer.store.database import Database
from optimizer.store.planning import put_problems
from simulations.bench.fleet_problems import fleet_problem, named
from simulations.bench.postgres import Cluster
from tests.optimizer.fleet import until
from tests.optimizer.postgres import fresh_url
from tests.optimizer.store.kit import with_sites

ROOT = Path(__file__).resolve().parents[3]
CONFIG = """version: 1
sites:
  - site: garage.yaml
    link: link
    tariff: {energy: {kind: fixed, eur_per_kwh: 0.25}}
"""


def configured(folder: Path, more: str = "") -> Path:
    text = example_text("garage")
    (folder / "garage.yaml").write_text(text)
    file = folder / "optimizer.yaml"
    file.write_text(CONFIG + more)
    return file


def site_id(folder: Path) -> str:
    line = next(one for one in (folder / "garage.yaml").read_text().splitlines() if one.startswith("  id: "))
    return line.removeprefix("  id: ").strip()


@contextmanager
def worker(file: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    words = [sys.executable, "-m", "interfaces.cli", "optimizer", "worker", "--config", str(file)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    process = subprocess.Popen(words, cwd=file.parent, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def works(url: str, file: Path, **environment: str) -> None:
    """It makes the store's tables, plans what waits, and ends when it is told to."""
    site = site_id(file.parent)
    link = LocalLink(file.parent / "link", site)
    with worker(file, **environment) as process:
        told = process.stderr
        assert told is not None
        until(lambda: "started processes=1 sites=1" in told.readline())
        database = Database(url)
        with_sites(database, site)
        put_problems(database, {site: problem_to_json(named(fleet_problem(1, epoch_s()), site))}, epoch_s(), 900.0)
        database.close()
        until(lambda: link.last_plan() is not None)
        process.send_signal(signal.SIGTERM)
        assert process.wait(180) == 0
    plan = link.last_plan()
    assert plan is not None
    assert (plan.site, plan.sequence) == (site, 1)


@pytest.mark.xdist_group("engine")
def test_a_worker_on_one_machine(tmp_path):
    url = f"sqlite:///{tmp_path / 'store.db'}"
    works(url, configured(tmp_path, f"engine: {{database: '{url}', processes: 1}}\n"))


@pytest.mark.xdist_group("postgresql")
def test_a_worker_of_many_whose_database_is_named_by_the_environment(tmp_path, cluster: Cluster):
    url = fresh_url(cluster, template="template1")
    works(url, configured(tmp_path, "engine: {processes: 1}\n"), **{DATABASE_VARIABLE: url})


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ("", "a worker needs an 'engine' in its configuration"),
        ("engine: {}\n", f"the engine needs a 'database', or the environment variable {DATABASE_VARIABLE}"),
        ("engine: {database: 'mysql://host/x'}\n", "the store is sqlite:///FILE or postgresql://"),
        ("engine: {database: 'sqlite:///x', processes: 0}\n", "processes"),
    ],
)
def test_a_configuration_without_a_store_is_refused(tmp_path, capsys, monkeypatch, more, sentence):
    monkeypatch.delenv(DATABASE_VARIABLE, raising=False)
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    try:
        assert main(["optimizer", "worker", "--config", str(configured(tmp_path, more))]) == 2
    finally:
        for number, handler in zip((signal.SIGTERM, signal.SIGINT), before, strict=True):
            signal.signal(number, handler)
    assert sentence in capsys.readouterr().err


def test_the_environment_counts_more_than_the_file(tmp_path):
    entry = EngineEntry(database="sqlite:///file.db")
    assert entry.open({}).url.endswith("file.db")
    assert entry.open({DATABASE_VARIABLE: "sqlite:///other.db"}).url.endswith("other.db")
    with pytest.raises(UserError):
        EngineEntry().open({})
