"""Many sites through the engine: stored problems of ten chargers, solved by as many processes as there are cores.

What is measured is the way from a problem in the store to a plan in the store that was handed to a link; the link is
one that counts, because ``bench link`` measures the real one. Overhead is all processor time of all processes, the
database's too, that was not spent between a problem's bytes and the text of its plan.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import psutil

from interfaces.domain.plan import Plan
from interfaces.domain.targets import Targets
from interfaces.domain.units import MILLI, SECONDS_PER_QUARTER
from interfaces.drivers.clock import epoch_s
from interfaces.errors import UserError
from optimizer.core.codec import problem_to_json
from optimizer.service.engine import Engine
from optimizer.service.engine_inprocess import InProcessEngine
from optimizer.service.engine_procrastinate import JobQueue, Pace, Worker
from optimizer.service.port import LinkError, Received
from optimizer.service.publishing import Publisher
from optimizer.service.solver_pool import SolverPool
from optimizer.service.solving import BatchReport
from optimizer.store.database import Database
from optimizer.store.planning import put_problems
from optimizer.store.registry import Organisation, StoredSite, put_organisation, put_sites
from simulations.bench.fleet_problems import fleet_problem, named
from simulations.bench.postgres import Cluster

Adapter = Literal["inprocess", "procrastinate"]
VARIANTS: Final[int] = 64
"""Different problems; each of them stands at many sites under another name."""
ORGANISATION: Final = "fleet"
WARM: Final[int] = 40
"""Sites planned before the measurement: what a process does once is not what a site costs."""
CHUNK: Final[int] = 500
NEVER_S: Final[float] = 1e6
"""Between two sweeps: they would begin before the measurement does."""
LEASE_S: Final[float] = 900.0
LOOK_S: Final[float] = 0.1
"""Between two looks at what is done; looking costs time of the processor, too."""
STILL_S: Final[float] = 120.0
"""Without a plan for so long, the measurement is given up."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What ``bench fleet`` prints; docs/bench.md says how each is measured."""

    sites: int
    adapter: Adapter
    processes: int
    solves_per_s: float
    cores: float
    solve_ms: float
    overhead_ms_per_job: float
    overhead_pct: float
    database_ms_per_job: float
    sites_per_core_15min: float
    failed: int


class CountingLink:
    """Takes every plan, keeps none."""

    def __init__(self) -> None:
        self.sent = 0

    def read(self) -> Received | LinkError:
        """Nothing ever comes."""
        return Received()

    def send_plan(self, _plan: Plan) -> LinkError | None:
        """Count it."""
        self.sent += 1
        return None

    def send_targets(self, _targets: Targets) -> LinkError | None:
        """Nobody sends any."""
        return None

    def last_plan(self) -> Plan | None:
        """It keeps none."""
        return None


@dataclass(frozen=True, slots=True)
class _Spent:
    """Processor time in s: of all processes, and of the database server's among them."""

    total_s: float
    database_s: float


def bench_fleet(sites: int, adapter: Adapter) -> Figures:
    """One plan for each of ``sites`` sites.

    Raises:
        UserError: PostgreSQL is not installed, or nothing happens any more.
    """
    processes = os.cpu_count() or 1
    with ExitStack() as stack:
        cluster = stack.enter_context(_cluster()) if adapter == "procrastinate" else None
        folder = stack.enter_context(_folder())
        database = Database(f"sqlite:///{folder / 'fleet.db'}" if cluster is None else cluster.url())
        stack.callback(database.close)
        database.migrate()
        names = _fill(database, sites + WARM)
        link = CountingLink()
        publisher = Publisher(database, lambda _site: link)
        pool = SolverPool(database.url, processes)
        stack.callback(pool.close)
        _warm(pool)
        engine, running = stack.enter_context(_engine(adapter, database, pool, publisher))
        _news(database, names[:WARM])
        engine.submit(names[:WARM], 0.0)
        _wait(link, running, WARM)
        _news(database, names[WARM:])
        before, began_s, solved_s = _spent(cluster), time.perf_counter(), running.solve_s
        engine.submit(names[WARM:], 0.0)
        _wait(link, running, sites + WARM)
        wall_s, after = time.perf_counter() - began_s, _spent(cluster)
        total_s, solve_s, failed = after.total_s - before.total_s, running.solve_s - solved_s, running.failed
    return Figures(
        sites=sites,
        adapter=adapter,
        processes=processes,
        solves_per_s=sites / wall_s,
        cores=total_s / wall_s,
        solve_ms=MILLI * solve_s / sites,
        overhead_ms_per_job=MILLI * (total_s - solve_s) / sites,
        overhead_pct=100.0 * (total_s - solve_s) / solve_s,
        database_ms_per_job=MILLI * (after.database_s - before.database_s) / sites,
        sites_per_core_15min=SECONDS_PER_QUARTER / (total_s / sites),
        failed=failed,
    )


@contextmanager
def _cluster() -> Iterator[Cluster]:
    cluster = Cluster()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.remove()


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="stroomwacht-fleet-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _engine(
    adapter: Adapter, database: Database, pool: SolverPool, publisher: Publisher
) -> Iterator[tuple[Engine, InProcessEngine | Worker]]:
    """Who is called, and who works."""
    if adapter == "inprocess":
        engine = InProcessEngine(database, pool, publisher, sweep_s=NEVER_S)
        try:
            yield engine, engine
        finally:
            engine.close()
        return
    jobs, worker = JobQueue(database), Worker(database, pool, publisher, pace=Pace(sweep_s=NEVER_S))
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(worker.run(stop)), name="worker")
    thread.start()
    try:
        yield jobs, worker
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
        jobs.close()


def _fill(database: Database, sites: int) -> tuple[str, ...]:
    now_epoch_s = epoch_s()
    names = tuple(f"site-{k:05d}" for k in range(sites))
    put_organisation(database, Organisation(ORGANISATION, "Fleet", now_epoch_s))
    put_sites(database, tuple(StoredSite(name, ORGANISATION, name, "Europe/Brussels", now_epoch_s) for name in names))
    return names


def _news(database: Database, names: tuple[str, ...]) -> None:
    """A new problem of each site. Making them is the work of whoever listens to the sites."""
    now_epoch_s = epoch_s()
    variants = [fleet_problem(seed, now_epoch_s) for seed in range(min(VARIANTS, len(names)))]
    for k in range(0, len(names), CHUNK):
        some = names[k : k + CHUNK]
        bodies = {name: problem_to_json(named(variants[n % len(variants)], name)) for n, name in enumerate(some)}
        put_problems(database, bodies, now_epoch_s, LEASE_S)


def _warm(pool: SolverPool) -> None:
    """Wait until every process of the pool works: starting them is not what is measured."""
    reports: list[BatchReport] = []
    for _ in range(pool.processes):
        pool.plan((), reports.append)
    end_s = time.monotonic() + STILL_S
    while len(reports) < pool.processes:
        if time.monotonic() > end_s:
            raise UserError("the solver processes do not start")
        time.sleep(0.05)


def _wait(link: CountingLink, running: InProcessEngine | Worker, sites: int) -> None:
    done, since_s = -1, time.monotonic()
    while link.sent < sites:
        if link.sent != done:
            done, since_s = link.sent, time.monotonic()
        elif time.monotonic() - since_s > STILL_S:
            raise UserError(f"only {done} of {sites} sites were planned; {running.failed} attempts failed")
        time.sleep(LOOK_S)


def _spent(cluster: Cluster | None) -> _Spent:
    """Processor time of us, the solvers, and the server with all its processes that live or have lived."""
    ours = sum(_cpu_s(process) for process in (psutil.Process(), *_solvers(cluster)))
    pid = None if cluster is None else cluster.pid
    if pid is None:
        return _Spent(ours, 0.0)
    server = psutil.Process(pid)
    database_s = sum(_cpu_s(process, dead=True) for process in (server, *server.children(recursive=True)))
    return _Spent(ours + database_s, database_s)


def _solvers(cluster: Cluster | None) -> list[psutil.Process]:
    server = -1 if cluster is None or cluster.pid is None else cluster.pid
    return [child for child in psutil.Process().children() if child.pid != server]


def _cpu_s(process: psutil.Process, *, dead: bool = False) -> float:
    """Of a process, and of its children that have ended where ``dead``."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system + ((times.children_user + times.children_system) if dead else 0.0))
