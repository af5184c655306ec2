"""The loop with an engine: a status goes in, a worker's plan comes out; whatever is away, there is a plan."""

from __future__ import annotations

import json
import threading
import time as real
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from interfaces.domain.codec_json import from_json
from interfaces.domain.targets import Targets
from interfaces.domain.wire_topics import Address
from interfaces.drivers.clock import epoch_s
from optimizer.service.engine import Engine
from optimizer.service.engine_desk import LATE_S, EngineDesk
from optimizer.service.engine_inprocess import InProcessEngine
from optimizer.service.engine_run import desk_of, register
from optimizer.service.folder_store import FoldersAndStore, FolderStore
from optimizer.service.ingest import StoreError
from optimizer.service.local_link import LocalLink
from optimizer.service.publishing import Publisher
from optimizer.service.rolling import Outcome, Rolling, SiteTask
from optimizer.service.solver_pool import SolverPool
from optimizer.service.solving import Solver
from optimizer.service.sql_telemetry import SqlTelemetry
from optimizer.store.charging import Sighting, note_sightings, targets_of_site
from optimizer.store.database import Database
from optimizer.store.planning import newest_plans
from optimizer.store.registry import addresses
from tests.interfaces.sources.kit import Time
from tests.optimizer.fleet import PATIENCE_S
from tests.optimizer.service.test_broker_run import arrivals
from tests.optimizer.service.test_ingest import HERE, Site
from tests.optimizer.service.test_run_command import ENTRY, configured, run, told
from tests.optimizer.service.yard import Car, Yard, task_of
from tests.optimizer.store.kit import with_sites

pytestmark = pytest.mark.xdist_group("engine")
PERIOD_S = 301.0


class Unheard:
    """An engine whose workers are all away."""

    def submit(self, sites: Iterable[str], due_epoch_s: float) -> None:
        """Nobody comes."""

    def close(self) -> None:
        """Nothing is open."""


class Listener:
    """A process that listens to the yard, on a clock of the test; ``outcomes``: what it said."""

    def __init__(self, store: Path, folder: Path, *, worker: Path | None = None) -> None:
        self.time = Time(epoch_s=epoch_s())
        self.yard, self.task = Yard(folder, {}), task_of(folder)
        self.database = Database(f"sqlite:///{store}")
        self.link = LocalLink(worker or folder, "yard")
        self.pool: SolverPool | None = None
        self.workers = True
        self.engine: Engine | None = None
        self.desk = EngineDesk(self.database, self.opened, lambda: self.time.now_s)
        self.rolling = Rolling([self.task], lambda: self.time.now_s, spread_s=0.0, desk=self.desk)
        self.outcomes: list[Outcome] = []

    def opened(self) -> Engine:
        self.database.migrate()
        register(self.database, [self.task], {})
        self.engine = Unheard()
        if self.workers:
            self.pool = SolverPool(self.database.url, 1)
            publisher = Publisher(self.database, {"yard": self.link}.get)
            self.engine = InProcessEngine(self.database, self.pool, publisher)
        return self.engine

    def step(self, after_s: float = 0.0) -> None:
        """The yard tells, the loop takes one step."""
        self.time.pass_by(after_s)
        self.yard.tick(self.time.epoch_s)
        self.outcomes += self.rolling.step(self.time.epoch_s)

    def planned(self, after_s: float = 0.0) -> int:
        """The sequence of the next plan."""
        known = len(self.outcomes)
        self.step(after_s)
        end_s = real.monotonic() + PATIENCE_S
        while len(self.outcomes) == known:
            assert real.monotonic() < end_s, "no plan came"
            real.sleep(0.02)
            self.outcomes += self.rolling.step(self.time.epoch_s)
        return self.outcomes[-1].sequence or 0

    def conditions(self) -> dict[str, str]:
        found = self.rolling.conditions
        return found[""] | found["yard"]

    def close(self) -> None:
        if self.engine is not None:
            self.engine.close()
        if self.pool is not None:
            self.pool.close()
        self.database.close()


@contextmanager
def listening(store: Path, folder: Path, *, workers: bool = True, worker: Path | None = None) -> Iterator[Listener]:
    found = Listener(store, folder, worker=worker)
    found.workers = workers
    try:
        yield found
    finally:
        found.close()


def targets(folder: Path) -> Targets:
    found = from_json((folder / "targets.json").read_bytes(), Targets)
    assert isinstance(found, Targets)
    return found


def sequence(folder: Path) -> int:
    plan = LocalLink(folder, "yard").last_plan()
    return 0 if plan is None else plan.sequence


def test_workers_plan_what_the_listener_hears_and_a_restart_goes_on(tmp_path):
    store, folder = tmp_path / "store.db", tmp_path / "yard"
    with listening(store, folder) as first:
        assert first.planned() == 1
        assert "of the engine" in first.outcomes[0].text
        assert sequence(folder) == targets(folder).sequence == 1
        plan = first.rolling._sites[0].planner.plan
        assert plan is not None
        assert len(targets(folder).price_eur_per_kwh) == len(plan.planned_import_mw)
        assert first.planned(PERIOD_S) == 2  # ahead of the real clock; a worker reads no clock but the store's
        assert first.conditions() == {}
    # A listener on another machine, with a folder of its own: the store alone knows what was given out.
    with listening(store, tmp_path / "elsewhere") as second:
        assert second.planned() == 3
        assert getattr(second.rolling._sites[0].planner.plan, "plan_id", "") == "yard-3"


def test_without_the_store_the_listener_plans_and_the_store_goes_on_from_there(tmp_path):
    folder = tmp_path / "yard"
    with listening(tmp_path / "away" / "store.db", folder) as listener:
        assert [listener.planned(), listener.planned(PERIOD_S), sequence(folder)] == [1, 2, 2]
        assert "does not answer" in listener.conditions()["engine"]
        (tmp_path / "away").mkdir()
        assert listener.planned(PERIOD_S) == 3
        assert "of the engine" in listener.outcomes[-1].text
        assert listener.conditions() == {}


def test_without_workers_the_listener_plans_after_a_minute_with_a_sequence_of_the_store(tmp_path):
    store, folder = tmp_path / "store.db", tmp_path / "yard"
    with listening(store, folder, workers=False) as listener:
        listener.step()
        listener.step(LATE_S - 1.0)
        assert listener.outcomes == []
        listener.step(2.0)
        assert [outcome.sequence for outcome in listener.outcomes] == [1]
        assert sequence(folder) == 1
        assert "no plan came" in listener.conditions()["engine"]
        # A worker that comes now finds nothing to do, and does not give the number 1 once more.
        assert Solver(listener.database.url).plan(["yard"]).planned == {}
        assert newest_plans(listener.database, ["yard"]) == ()
    with listening(store, folder) as other:
        assert other.planned() == 2


def test_what_each_session_was_planned_for_and_by_whose_word_is_in_the_store(tmp_path):
    folder = tmp_path / "yard"
    with listening(tmp_path / "store.db", folder) as listener:
        now = listener.time.epoch_s
        listener.yard.cars["left"] = Car(None, now - 600.0, now + 86_400.0, 20.0)
        assert listener.planned() == 1
        assert targets_of_site(listener.database, "yard", 0.0) == (), "no controller told the store of the session"
        with listener.database.begin() as connection:
            seen = [Sighting("left", now, now - 600.0), Sighting("right", now, now - 60.0)]
            note_sightings(connection, {"yard": seen})
        assert listener.planned(PERIOD_S) == 2
        (noted,) = targets_of_site(listener.database, "yard", 0.0)
        sent = targets(folder)
        assert (noted.evse, noted.source, noted.issued_epoch_s) == ("left", "site", sent.issued_epoch_s)
        assert noted.energy_kwh == pytest.approx(sent.targets[0].energy_wh / 1000, abs=0.1)
        wish = {"evse": "left", "plugged_in_epoch_s": now - 600.0, "target": {"unit": "kwh", "amount": 17.0}}
        (folder / "wishes.json").write_text(json.dumps([wish]))
        assert listener.planned(PERIOD_S) == 3
        (noted,) = targets_of_site(listener.database, "yard", 0.0)
        assert (noted.source, noted.asked, noted.energy_kwh) == ("session", "17 kWh", 17.0)
        assert noted.issued_epoch_s == targets(folder).issued_epoch_s
        assert listener.planned(PERIOD_S) == 4
        assert targets_of_site(listener.database, "yard", 0.0) == (noted,), "nothing new"
        assert listener.conditions() == {}


def test_a_bug_at_the_desk_ends_nobodys_plans(tmp_path):
    with listening(tmp_path / "store.db", tmp_path / "yard") as listener:
        listener.desk._open_engine = lambda: 1 / 0  # type: ignore[assignment, return-value]
        assert listener.planned() == 1
        assert "division" in listener.conditions()["engine"]


def test_the_sites_of_a_configuration_are_registered_once(tmp_path):
    database, ready = Database(f"sqlite:///{tmp_path / 'store.db'}"), threading.Event()
    task: SiteTask = task_of(tmp_path / "yard")
    address = Address("acme", "yard", "box-1")
    for _ in range(2):
        with desk_of(database, 1, [task], [address], ready) as desk:
            assert desk.plans(["yard"]) == {}
            assert desk.trouble == ""
        assert ready.is_set()
    assert addresses(database) == (("acme", "yard", "box-1"),)


def test_what_the_store_does_not_take_stands_in_the_folder_once_and_comes_again(tmp_path):
    database, ready, site = Database(f"sqlite:///{tmp_path / 'store.db'}"), threading.Event(), Site()
    both = FoldersAndStore(FolderStore({HERE: tmp_path / "depot"}), SqlTelemetry(database), ready)
    batch = arrivals(site)
    assert isinstance(both.add(batch), StoreError)
    batch += arrivals(site)
    assert isinstance(both.add(batch), StoreError)
    statuses = [arrival.status for arrival in batch if arrival.status is not None]
    heard = LocalLink(tmp_path / "depot", "depot").read()
    assert list(getattr(heard, "statuses", ())) == statuses
    database.migrate()
    ready.set()
    assert isinstance(both.add(batch), StoreError)  # nobody has registered the site
    with_sites(database, "depot")
    assert both.add(batch) is None
    assert getattr(LocalLink(tmp_path / "depot", "depot").read(), "statuses", None) == tuple(statuses)
    database.close()


def test_run_once_waits_for_the_engine(tmp_path, capsys):
    status = told(tmp_path, "garage")
    file = configured(tmp_path, ENTRY.format(name="garage"))
    file.write_text(file.read_text() + f"engine: {{database: 'sqlite:///{tmp_path / 'store.db'}', processes: 1}}\n")
    code, out, _ = run(capsys, "--config", file, "--once")
    assert (code, out) == (0, f"{status.site}: plan 1 (time), of the engine, 192 steps\n")
    assert run(capsys, "--config", file, "--once")[1].startswith(f"{status.site}: plan 2 ")
