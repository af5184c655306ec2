"""The engine of many machines: a real PostgreSQL, real workers, some of them killed."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psutil
import pytest
from sqlalchemy import text

from interfaces.drivers.clock import epoch_s
from optimizer.service import engine_procrastinate
from optimizer.service.engine import EngineError
from optimizer.service.engine_procrastinate import SCHEMA, JobQueue, Worker, prepare_queue
from optimizer.service.engine_run import desk_of
from optimizer.service.rolling import Rolling
from optimizer.service.solver_pool import Done, SolverPool
from optimizer.store.database import Database, StoreError
from optimizer.store.planning import sites_with_work, slot_of
from simulations.bench.postgres import Cluster
from tests.interfaces.sources.kit import Time
from tests.optimizer.fleet import Fleet, solver_processes, until
from tests.optimizer.postgres import fresh_url, need_server
from tests.optimizer.service.worker_main import QUICK
from tests.optimizer.service.yard import Yard, task_of

pytestmark = pytest.mark.xdist_group("postgresql")
SITES = ("north", "south", "east")
MAIN = Path(__file__).with_name("worker_main.py")
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def fleet(cluster: Cluster, tmp_path: Path) -> Iterator[Fleet]:
    database = Database(fresh_url(cluster))
    yield Fleet(database, tmp_path / "links", *SITES)
    database.close()


@pytest.fixture
def jobs(fleet: Fleet) -> Iterator[JobQueue]:
    found = JobQueue(fleet.database)
    yield found
    found.close()


@pytest.fixture
def pool(fleet: Fleet) -> Iterator[SolverPool]:
    found = SolverPool(fleet.database.url, 1)
    yield found
    found.close()


@contextmanager
def working(fleet: Fleet, pool: SolverPool) -> Iterator[Worker]:
    """A worker in a thread of ours."""
    worker = Worker(fleet.database, pool, fleet.publisher, pace=QUICK)
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(worker.run(stop)))
    thread.start()
    try:
        yield worker
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@contextmanager
def worker_process(fleet: Fleet, folder: Path, sites: tuple[str, ...] = SITES) -> Iterator[subprocess.Popen[bytes]]:
    """A worker in a process of its own."""
    command = [sys.executable, str(MAIN), fleet.database.url, str(folder), *sites]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def waiting_jobs(fleet: Fleet, status: str) -> list[tuple[int, str]]:
    """(slot, lock) of the jobs in the queue."""
    with fleet.database.begin() as connection:
        query = text(f"SELECT args->>'slot', lock FROM {SCHEMA}.procrastinate_jobs WHERE status = :status ORDER BY id")
        return [(int(slot), lock) for slot, lock in connection.execute(query, {"status": status})]


def everybody(fleet: Fleet, sequence: int) -> bool:
    return all(fleet.sequence(site) >= sequence for site in SITES)


def test_calls_for_one_slot_become_one_job_and_a_later_one_waits_beside_it(fleet, jobs):
    slot = slot_of("north")
    for _ in range(3):
        assert jobs.submit(("north",), 0.0) is None
        assert jobs.submit(("north",), epoch_s() + 3600.0) is None
    jobs.submit(("south",), 0.0)
    found = waiting_jobs(fleet, "todo")
    assert found == [(slot, f"slot-{slot}"), (slot, f"slot-{slot}"), (slot_of("south"), f"slot-{slot_of('south')}")]


def test_the_queue_is_made_once_however_many_ask(fleet):
    errors: list[BaseException] = []

    def ask() -> None:
        database = Database(fleet.database.url)
        try:
            prepare_queue(database)
        except BaseException as error:  # noqa: BLE001  a thread's error is the test's
            errors.append(error)
        database.close()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert waiting_jobs(fleet, "todo") == []


def test_every_site_gets_its_plan_and_the_next_one_the_next_sequence(fleet, jobs, pool):
    with working(fleet, pool):
        fleet.news()
        jobs.submit(SITES, 0.0)
        until(lambda: everybody(fleet, 1))
        fleet.news("north")
        jobs.submit(("north",), 0.0)
        until(lambda: fleet.sequence("north") == 2)
        assert fleet.stored("south") == [1]
    assert waiting_jobs(fleet, "doing") == []


def test_a_slot_of_many_sites_is_one_job_in_batches_of_one_size(fleet, pool, tmp_path, monkeypatch):
    monkeypatch.setattr(engine_procrastinate, "BATCH", 2)
    names = [name for name in (f"site-{k}" for k in range(1000)) if slot_of(name) == 0][:5]
    many, plan, batches = Fleet(fleet.database, tmp_path / "many", *names), pool.plan, []

    def noted(sites: tuple[str, ...], done: Done) -> None:
        batches.append(sites)
        plan(sites, done)

    monkeypatch.setattr(pool, "plan", noted)
    many.news()
    with working(many, pool):
        until(lambda: all(many.sequence(name) == 1 for name in names))
    assert sorted(map(len, batches)) == [1, 2, 2]
    assert sorted(site for batch in batches for site in batch) == sorted(names)


def test_a_call_that_was_lost_is_made_up_for(fleet, pool):
    fleet.news()  # and nobody calls
    with working(fleet, pool):
        until(lambda: everybody(fleet, 1))


def test_row_19_a_worker_killed_in_mid_solve_is_replaced_by_another_machine(fleet, jobs, pool, tmp_path, figure):
    with worker_process(fleet, tmp_path / "links") as first:
        fleet.news()
        until(lambda: everybody(fleet, 1))
        (solver,) = solver_processes(first.pid)
        solver.send_signal(signal.SIGSTOP)  # so that it is killed in the middle, whatever the machine's pace
        fleet.news()
        jobs.submit(("north",), 0.0)
        until(lambda: (slot_of("north"), f"slot-{slot_of('north')}") in waiting_jobs(fleet, "doing"))
        first.kill()
        first.wait()
    assert not any(fleet.sequence(site) > 1 for site in SITES)
    with working(fleet, pool):
        until(lambda: everybody(fleet, 2))
        until(lambda: waiting_jobs(fleet, "doing") == [])
    assert [fleet.stored(site) for site in SITES] == [[1, 2]] * 3
    until(lambda: not solver.is_running() or solver.status() == psutil.STATUS_ZOMBIE)
    figure("plans per site after the worker was killed", 1)


def test_row_20_two_workers_on_the_same_sites_number_their_plans_without_oscillation(
    fleet, jobs, pool, tmp_path, figure
):
    rounds = 6
    with worker_process(fleet, tmp_path / "links"), working(fleet, pool):
        for number in range(1, rounds + 1):
            fleet.news()
            jobs.submit(SITES, 0.0)
            until(partial(everybody, fleet, number))
    for site in SITES:
        assert fleet.stored(site) == list(range(1, rounds + 1))
        assert fleet.sequence(site) == rounds
    figure("plans per site by two workers", rounds)


def test_row_19_postgresql_restarts_and_the_workers_come_back(tmp_path, figure):
    need_server()
    own = Cluster(("fsync=off",))
    own.start()
    database = Database(own.url())
    database.migrate()
    fleet = Fleet(database, tmp_path / "links", *SITES)
    jobs, pool = JobQueue(database), SolverPool(database.url, 1)
    try:
        with working(fleet, pool):
            fleet.news()
            jobs.submit(("north",), 0.0)
            until(lambda: everybody(fleet, 1))
            own.stop()
            refused = jobs.submit(("north",), 0.0)
            with pytest.raises(StoreError), database.begin():
                pass
            own.start()
            until(lambda: jobs.submit(("north",), 0.0) is None)
            fleet.news()
            until(lambda: everybody(fleet, 2))
        assert isinstance(refused, EngineError)
        assert "the queue did not take the call" in refused.reason
        now = epoch_s()
        assert sites_with_work(database, now, now - 900.0) == ()
        figure("sequences of a site over the restart", ", ".join(map(str, fleet.stored("north"))))
    finally:
        jobs.close()
        pool.close()
        database.close()
        own.remove()


def test_what_one_process_hears_another_one_plans(fleet, tmp_path):
    time, task = Time(epoch_s=epoch_s()), task_of(tmp_path / "yard")
    Yard(tmp_path / "yard", {}).tick(time.epoch_s)
    with desk_of(Database(fleet.database.url), 1, [task], [], threading.Event()) as desk:
        rolling = Rolling([task], lambda: time.now_s, spread_s=0.0, desk=desk)
        assert rolling.step(time.epoch_s) == ()
        assert waiting_jobs(fleet, "todo") == [(slot_of("yard"), f"slot-{slot_of('yard')}")]
        with worker_process(fleet, tmp_path, ("yard",)):
            until(lambda: bool(rolling.step(time.epoch_s)))
    plan = task.link.last_plan()
    assert plan is not None
    assert (plan.plan_id, rolling.conditions) == ("yard-1", {"": {}, "yard": {}})
    assert (tmp_path / "yard" / "targets.json").is_file()
