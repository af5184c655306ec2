"""The engine of many machines: jobs of Procrastinate on PostgreSQL.

A job calls a worker to one slot of sites; its locks let one job per slot wait and one run, so one plan per site too.
The queue may lose its last half second when the server loses power (``synchronous_commit = off``): a sweep of the store
finds what nobody was called to, and what belongs to jobs of workers whose heartbeat has stopped.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Final

from procrastinate import App, PsycopgConnector, SyncPsycopgConnector
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException
from procrastinate.jobs import DeleteJobCondition, Status

from interfaces.drivers.clock import Clock, epoch_s, monotonic_s
from optimizer.service.engine import BATCH, STALE_S, SWEEP_S, EngineError
from optimizer.service.publishing import Publisher
from optimizer.service.solver_pool import SolverPool
from optimizer.service.solving import BatchReport
from optimizer.store.database import ALIVE, Database, StoreError, queue_conninfo
from optimizer.store.maintenance import maintain
from optimizer.store.planning import note_failures, sites_with_work, slot_of, slots_with_work

log = logging.getLogger(__name__)

QUEUE: Final = "plans"
PLAN_SLOT: Final = "plan_slot"
MAINTAIN: Final = "maintain"
HOURLY: Final = "17 * * * *"
SCHEMA: Final = "jobs_" + version("procrastinate").replace(".", "_")
"""The queue's tables. What stands in a queue is worth nothing after a minute: another version of Procrastinate starts
with tables of its own instead of migrating these, and workers of both can run side by side."""
SCHEMA_LOCK: Final = 0x57_41_43_48_51
HEARTBEAT_S: Final[float] = 10.0
STALLED_S: Final[float] = 30.0
"""Three heartbeats missed: the worker is gone, and its jobs are called out again at the next sweep."""
AHEAD: Final[int] = 2
CONNECT_S: Final[float] = 10.0
RETRY_S: Final[tuple[float, ...]] = (1.0, 2.0, 5.0, 10.0)
STEADY_S: Final[float] = 60.0
"""A worker that ran so long has a connection again: the next trouble is a new one."""
GRACE_S: Final[float] = 20.0
"""For the running batches when the worker is told to stop."""


class JobQueue:
    """Calls workers, wherever they are. One per process; safe to use from several threads."""

    def __init__(self, database: Database) -> None:
        """Open the queue.

        Raises:
            StoreError: the database cannot be reached.
        """
        prepare_queue(database)
        self._app = App(connector=SyncPsycopgConnector(**_connection(database, most=2)))
        self._opened = False

    def submit(self, sites: Iterable[str], due_epoch_s: float) -> EngineError | None:
        """See ``Engine``."""
        try:
            if not self._opened:
                self._app.open()
                self._opened = True
            for slot in sorted({slot_of(site) for site in sites}):
                self._call(slot, due_epoch_s)
        except ConnectorException as error:
            return EngineError(f"the queue did not take the call: {error.__cause__ or error}")
        return None

    def _call(self, slot: int, due_epoch_s: float) -> None:
        with suppress(AlreadyEnqueued):
            self._app.configure_task(PLAN_SLOT, **_options(slot, due_epoch_s)).defer(slot=slot)

    def close(self) -> None:
        """Close its connections; the calls stay."""
        if self._opened:
            self._app.close()
            self._opened = False


@dataclass(frozen=True, slots=True)
class Pace:
    """Times of a worker; tests have shorter ones."""

    heartbeat_s: float = HEARTBEAT_S
    stalled_s: float = STALLED_S
    sweep_s: float = SWEEP_S
    poll_s: float = 5.0


class Worker:
    """Takes jobs until it is told to stop. ``solve_s``, ``planned``, ``failed``: see ``InProcessEngine``."""

    def __init__(
        self,
        database: Database,
        pool: SolverPool,
        publisher: Publisher,
        *,
        now_epoch_s: Clock = epoch_s,
        pace: Pace | None = None,
    ) -> None:
        self.solve_s, self.planned, self.failed = 0.0, 0, 0
        self._database, self._pool, self._publisher = database, pool, publisher
        self._now_epoch_s = now_epoch_s
        self._pace = pace or Pace()

    async def run(self, stop: asyncio.Event) -> None:
        """Work; where the database goes away, come back when it does."""
        stopped, troubles = asyncio.create_task(stop.wait()), 0
        while not stop.is_set():
            began_s = monotonic_s()
            try:
                await self._connected(stopped)
            except Exception as error:  # noqa: BLE001  the loop's one catcher: a worker that ended is started again
                log.warning("worker_ended reason=%r", f"{type(error).__name__}: {error}")
            troubles = 0 if monotonic_s() - began_s > STEADY_S else troubles + 1
            await asyncio.wait([stopped], timeout=RETRY_S[min(troubles, len(RETRY_S)) - 1])

    async def _connected(self, stopped: asyncio.Task[bool]) -> None:
        await asyncio.to_thread(prepare_queue, self._database)
        most = AHEAD * self._pool.processes
        app = App(connector=PsycopgConnector(**_connection(self._database, most=most + 4)))
        app.task(name=PLAN_SLOT, queue=QUEUE)(self._plan_slot)
        app.periodic(cron=HOURLY)(app.task(name=MAINTAIN, queue=QUEUE, queueing_lock=MAINTAIN)(self._maintain))
        async with app.open_async():
            worker = asyncio.create_task(
                app.run_worker_async(
                    queues=[QUEUE],
                    concurrency=most,
                    delete_jobs=DeleteJobCondition.ALWAYS,
                    install_signal_handlers=False,
                    fetch_job_polling_interval=self._pace.poll_s,
                    shutdown_graceful_timeout=GRACE_S,
                    update_heartbeat_interval=self._pace.heartbeat_s,
                    stalled_worker_timeout=self._pace.stalled_s,
                )
            )
            sweeps = asyncio.create_task(self._sweeps(app))
            try:
                await asyncio.wait([worker, sweeps, stopped], return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (sweeps, worker):
                    task.cancel()
                ended = await asyncio.gather(worker, sweeps, return_exceptions=True)
            for error in ended:
                if isinstance(error, Exception):
                    raise error

    async def _plan_slot(self, slot: int) -> None:
        """The job: plan and publish what waits in a slot. What fails is noted in the store and tried again later."""
        now_epoch_s = self._now_epoch_s()
        sites = await asyncio.to_thread(sites_with_work, self._database, now_epoch_s, now_epoch_s - STALE_S, slot)
        loop, reports = asyncio.get_running_loop(), asyncio.Queue[BatchReport]()
        left = set(sites)

        def done(report: BatchReport) -> None:
            loop.call_soon_threadsafe(reports.put_nowait, report)

        batches = -(-len(sites) // BATCH)
        for k in range(batches):  # of one size, so that the last one is no small one
            self._pool.plan(sites[k::batches], done)
        while left:
            report = await reports.get()
            left -= set(report.sites)
            await asyncio.to_thread(self._finish, report)

    async def _maintain(self, timestamp: int) -> None:
        """The job of one worker in each hour."""
        await asyncio.to_thread(maintain, self._database, float(timestamp))

    def _finish(self, report: BatchReport) -> None:
        self.solve_s += report.solve_s
        self.planned += len(report.planned)
        self.failed += len(report.failed)
        self._publisher.publish(report.sites, report.planned)
        if report.failed:
            log.warning("not_planned sites=%d first=%r", len(report.failed), next(iter(report.failed.items())))
            note_failures(self._database, tuple(report.failed), self._now_epoch_s())

    async def _sweeps(self, app: App) -> None:
        while True:
            await self._sweep(app)
            await asyncio.sleep(self._pace.sweep_s)

    async def _sweep(self, app: App) -> None:
        """Free the locks of dead workers' jobs, and call somebody to every slot in which something waits."""
        jobs = app.job_manager
        for job in await jobs.get_stalled_jobs(queue=QUEUE, seconds_since_heartbeat=self._pace.stalled_s):
            log.warning("job_stalled slot=%s", job.task_kwargs.get("slot"))
            await _ignoring_conflict(jobs.finish_job(job, Status.FAILED, delete_job=True))
        now_epoch_s = self._now_epoch_s()
        for slot in await asyncio.to_thread(slots_with_work, self._database, now_epoch_s, now_epoch_s - STALE_S):
            with suppress(AlreadyEnqueued):
                await app.configure_task(PLAN_SLOT, **_options(slot, 0.0)).defer_async(slot=slot)


def prepare_queue(database: Database) -> None:
    """Make the queue's tables unless they are there; several processes may ask at once.

    Raises:
        StoreError: the database cannot be reached.
    """
    with database.alone(SCHEMA_LOCK):
        database.make_schema(SCHEMA)
        app = App(connector=SyncPsycopgConnector(**_connection(database, most=1)))
        try:
            with app.open():
                if not app.check_connection():
                    app.schema_manager.apply_schema()
        except ConnectorException as error:
            raise StoreError(str(error.__cause__ or error)) from error


def _options(slot: int, due_epoch_s: float) -> dict[str, Any]:
    """One job of a slot runs; one that is due waits, and one for each later minute."""
    now_epoch_s = epoch_s()
    lock, options = f"slot-{slot}", {"queue": QUEUE}
    if due_epoch_s <= now_epoch_s:
        return {**options, "lock": lock, "queueing_lock": lock}
    due = datetime.fromtimestamp(due_epoch_s, UTC)
    return {**options, "lock": lock, "queueing_lock": f"{lock}@{due:%Y%m%d%H%M}", "schedule_at": due}


def _connection(database: Database, most: int) -> dict[str, Any]:
    options = f"-c search_path={SCHEMA} -c synchronous_commit=off"
    kwargs = {"options": options, "application_name": "stroomwacht jobs", "connect_timeout": int(CONNECT_S), **ALIVE}
    return {
        "conninfo": queue_conninfo(database), "kwargs": kwargs, "min_size": 1, "max_size": most, "timeout": CONNECT_S,
        "reconnect_timeout": CONNECT_S,
    }  # fmt: skip


async def _ignoring_conflict(call: Any) -> None:
    """Another worker's sweep may have been faster."""
    try:
        await call
    except ConnectorException as error:
        log.debug("stalled_job_gone reason=%r", str(error))
