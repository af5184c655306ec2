"""The engine of one machine: real solver processes, a real store, real folders as links."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from interfaces.drivers.clock import epoch_s
from optimizer.service.engine_inprocess import InProcessEngine
from optimizer.service.solver_pool import SolverPool
from optimizer.service.solving import BatchReport
from optimizer.store.database import Database
from optimizer.store.planning import put_problems, sites_with_work
from optimizer.store.tables import metadata
from tests.optimizer.fleet import Fleet, solver_processes, until

pytestmark = pytest.mark.xdist_group("engine")
SITES = ("north", "south", "east")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    found = Database(f"sqlite:///{tmp_path_factory.mktemp('engine') / 'store.db'}")
    found.migrate()
    yield found
    found.close()


@pytest.fixture(scope="module")
def pool(store: Database) -> Iterator[SolverPool]:
    """One for all tests: to start a process takes longer than most of them."""
    found = SolverPool(store.url, 1)
    yield found
    found.close()


@pytest.fixture
def fleet(store: Database, tmp_path: Path) -> Fleet:
    with store.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
    return Fleet(store, tmp_path / "links", *SITES)


@pytest.fixture
def engine(fleet: Fleet, pool: SolverPool) -> Iterator[InProcessEngine]:
    found = InProcessEngine(fleet.database, pool, fleet.publisher, sweep_s=0.2)
    yield found
    found.close()


def warm(pool: SolverPool) -> psutil.Process:
    """The one process of the pool, once it works."""
    reports: list[BatchReport] = []
    pool.plan((), reports.append)
    until(lambda: bool(reports))
    (pid,) = pool.pids
    return psutil.Process(pid)


def test_every_site_gets_its_plan_and_the_next_one_the_next_sequence(fleet, engine):
    fleet.news()
    assert engine.submit(SITES, 0.0) is None
    until(lambda: all(fleet.sequence(site) == 1 for site in SITES))
    plan = fleet.sent("north")
    assert (plan.site, plan.plan_id, plan.topology_version) == ("north", "north-1", "v1")
    assert plan.setpoint_ma.max() > 6000
    assert plan.lease_until_epoch_s == plan.issued_epoch_s + 900.0
    fleet.news("north")
    engine.submit(("north",), 0.0)
    until(lambda: fleet.sequence("north") == 2)
    assert fleet.stored("south") == [1]
    assert engine.planned == 4
    assert engine.solve_s > 0.0


def test_nothing_new_makes_no_plan(fleet, engine):
    fleet.news("north")
    engine.submit(("north",), 0.0)
    until(lambda: fleet.sequence("north") == 1)
    for _ in range(3):
        engine.submit(("north",), 0.0)
    fleet.news("south")
    engine.submit(("south",), 0.0)
    until(lambda: fleet.sequence("south") == 1)
    assert fleet.stored("north") == [1]


def test_what_waited_when_the_engine_ended_is_found_by_the_next_one(fleet, pool):
    fleet.news()  # and nobody calls
    engine = InProcessEngine(fleet.database, pool, fleet.publisher)
    until(lambda: all(fleet.sequence(site) == 1 for site in SITES))
    engine.close()


def test_a_plan_that_was_stored_and_not_sent_is_sent_by_the_next_engine(fleet, pool):
    fleet.news("north")
    pool.plan(("north",), lambda report: None)
    until(lambda: fleet.stored("north") == [1])
    assert fleet.sequence("north") == 0
    engine = InProcessEngine(fleet.database, pool, fleet.publisher)
    until(lambda: fleet.sequence("north") == 1)
    engine.close()
    assert fleet.stored("north") == [1]


def test_nobody_is_planned_before_his_time(fleet, pool):
    moment = [epoch_s()]
    engine = InProcessEngine(fleet.database, pool, fleet.publisher, now_epoch_s=lambda: moment[0], sweep_s=1e9)
    fleet.news(SITES[-1])
    engine.submit((SITES[-1],), moment[0])
    until(lambda: fleet.sequence(SITES[-1]) == 1)  # so its first and only sweep is over
    fleet.news("north", "south")
    engine.submit(("north",), moment[0] + 100.0)
    engine.submit(("south",), moment[0])
    until(lambda: fleet.sequence("south") == 1)
    assert fleet.sequence("north") == 0
    moment[0] += 100.0
    engine.submit(("south",), moment[0])  # anything wakes it
    until(lambda: fleet.sequence("north") == 1)
    engine.close()


def test_row_19_a_solver_killed_in_mid_solve_is_replaced_and_its_site_planned(fleet, engine, pool, figure):
    frozen = warm(pool)
    frozen.send_signal(signal.SIGSTOP)  # mid-solve: it has its batch and never answers
    fleet.news()
    engine.submit(SITES, 0.0)
    until(lambda: bool(engine._waiting.running))
    frozen.kill()
    until(lambda: all(fleet.sequence(site) == 1 for site in SITES))
    assert all(fleet.stored(site) == [1] for site in SITES)
    assert pool.pids != (frozen.pid,)
    figure("plans per site after its solver was killed", 1)


def test_row_19_a_solver_that_hangs_is_ended_at_its_deadline_and_the_sites_are_planned(fleet, figure):
    pool = SolverPool(fleet.database.url, 1, batch_s=0.5)
    fleet.news()
    hanging = warm(pool)
    hanging.send_signal(signal.SIGSTOP)
    engine = InProcessEngine(fleet.database, pool, fleet.publisher, sweep_s=0.2)
    fleet.news()
    until(lambda: all(fleet.sequence(site) == 1 for site in SITES))
    assert pool.pids != (hanging.pid,)
    engine.close()
    pool.close()
    figure("plans per site after a hang", 1)


def test_a_site_whose_solve_never_ends_is_told(fleet):
    pool = SolverPool(fleet.database.url, 1, site_s=0.3)
    warm(pool).send_signal(signal.SIGSTOP)
    reports: list[BatchReport] = []
    pool.plan(("north",), reports.append)
    until(lambda: bool(reports))
    assert reports[0].failed == {"north": "not solved within 0.3 s"}
    pool.close()


def test_a_problem_that_makes_no_sense_is_refused_with_its_reason_and_not_tried_again(fleet, engine):
    put_problems(fleet.database, {"north": b'{"schema": 1}'}, epoch_s(), 900.0)
    fleet.news("south")
    until(lambda: fleet.sequence("south") == 1)
    now = epoch_s()
    until(lambda: sites_with_work(fleet.database, now, now - 900.0) == ())
    assert fleet.stored("north") == []
    fleet.news("north")
    until(lambda: fleet.sequence("north") == 1)


def test_a_site_that_cannot_be_reached_is_told_once_and_gets_its_plan_later(fleet, engine, caplog, tmp_path):
    caplog.set_level(logging.INFO)
    blocked = tmp_path / "links" / "north"
    blocked.parent.mkdir(exist_ok=True)
    blocked.write_text("a file where the folder should be")
    fleet.news("north", "south")
    until(lambda: fleet.sequence("south") == 1)
    until(lambda: "not_published site=north" in caplog.text)
    now = epoch_s()
    assert sites_with_work(fleet.database, now, now - 900.0) == ("north",)
    blocked.unlink()
    until(lambda: fleet.sequence("north") == 1)
    assert caplog.text.count("not_published site=north") == 1
    until(lambda: "published_again site=north" in caplog.text)


def test_solver_processes_end_with_the_process_that_started_them(fleet, tmp_path):
    script = tmp_path / "starts_a_pool.py"
    script.write_text(
        "import sys, time\n"
        "from optimizer.service.solver_pool import SolverPool\n"
        "if __name__ == '__main__':\n"
        "    pool = SolverPool(sys.argv[1], 1)\n"
        "    print('started', flush=True)\n"
        "    time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, str(script), fleet.database.url], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "started\n"
    until(lambda: bool(solver_processes(parent.pid)))
    children = solver_processes(parent.pid)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    until(lambda: not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children))
