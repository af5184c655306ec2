"""The engine of one machine: a thread that keeps the order, solver processes that do the work.

Nothing is lost when it ends: what waited stands in the store, and the first sweep after the start finds it.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from interfaces.drivers.clock import Clock, epoch_s
from optimizer.service.engine import BATCH, STALE_S, SWEEP_S, EngineError
from optimizer.service.publishing import Publisher
from optimizer.service.solver_pool import SolverPool
from optimizer.service.solving import BatchReport
from optimizer.service.waiting import Waiting
from optimizer.store.database import Database, StoreError
from optimizer.store.maintenance import EVERY_S, maintain
from optimizer.store.planning import note_failures, sites_with_work

log = logging.getLogger(__name__)

AHEAD: Final[int] = 2
"""Batches per process that are handed over at most: one is solved while the next one waits at its door."""
LONGEST_WAIT_S: Final[float] = 60.0


@dataclass(frozen=True, slots=True)
class _Call:
    sites: tuple[str, ...]
    due_epoch_s: float


class InProcessEngine:
    """Plans sites with the solvers of ``pool`` and publishes their plans. Owns neither of its parts.

    ``solve_s``, ``planned``, ``failed``: processor time of all solves, plans made and attempts that failed since the
    start; for figures, read when all is quiet.
    """

    def __init__(
        self,
        database: Database,
        pool: SolverPool,
        publisher: Publisher,
        *,
        now_epoch_s: Clock = epoch_s,
        sweep_s: float = SWEEP_S,
    ) -> None:
        self.solve_s, self.planned, self.failed = 0.0, 0, 0
        self._database, self._pool, self._publisher = database, pool, publisher
        self._now_epoch_s, self._sweep_s = now_epoch_s, sweep_s
        self._waiting = Waiting()
        self._most_running = AHEAD * BATCH * pool.processes
        self._next_sweep_epoch_s = self._next_maintenance_epoch_s = float("-inf")
        self._store_trouble = ""
        self._inbox: queue.SimpleQueue[_Call | BatchReport | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def submit(self, sites: Iterable[str], due_epoch_s: float) -> EngineError | None:
        """See ``Engine``; a call is never refused here."""
        self._inbox.put(_Call(tuple(sites), due_epoch_s))
        return None

    def close(self) -> None:
        """Stop handing out work. What is being solved is stored by its process, unless its pool is closed too."""
        self._inbox.put(None)
        self._thread.join()

    def _run(self) -> None:
        stopping = False
        while not stopping:
            try:
                self._hand_out()
                stopping = self._take_in()
                self._said("")
            except StoreError as error:
                self._said(str(error))
                self._next_sweep_epoch_s = self._now_epoch_s() + self._sweep_s
            except Exception:  # the loop's one catcher: the sweep finds again what a bug dropped
                log.exception("engine_step_failed")

    def _hand_out(self) -> None:
        now_epoch_s = self._now_epoch_s()
        if now_epoch_s >= self._next_sweep_epoch_s:
            self._next_sweep_epoch_s = now_epoch_s + self._sweep_s
            for site in sites_with_work(self._database, now_epoch_s, now_epoch_s - STALE_S):
                self._waiting.submit(site, now_epoch_s)
        if now_epoch_s >= self._next_maintenance_epoch_s:
            self._next_maintenance_epoch_s = now_epoch_s + EVERY_S
            maintain(self._database, now_epoch_s)
        processes = self._pool.processes
        share = -(-self._waiting.count_due(now_epoch_s, BATCH * processes) // processes)
        while len(self._waiting.running) < self._most_running:
            sites = self._waiting.take(now_epoch_s, share)
            if not sites:
                return
            self._pool.plan(sites, self._inbox.put)

    def _take_in(self) -> bool:
        """Wait for something to happen, and take in all that has; whether to stop."""
        busy = len(self._waiting.running) >= self._most_running
        until_epoch_s = float("inf") if busy else min(self._waiting.next_due_s(), self._next_sweep_epoch_s)
        wait_s = min(max(until_epoch_s - self._now_epoch_s(), 0.0), LONGEST_WAIT_S)
        try:
            found = self._inbox.get(timeout=wait_s)
            while found is not None:
                if isinstance(found, BatchReport):
                    self._finish(found)
                else:
                    for site in found.sites:
                        self._waiting.submit(site, found.due_epoch_s)
                found = self._inbox.get_nowait()
        except queue.Empty:
            return False
        return True

    def _finish(self, report: BatchReport) -> None:
        for site in report.sites:
            self._waiting.done(site)
        self.solve_s += report.solve_s
        self.planned += len(report.planned)
        self.failed += len(report.failed)
        self._publisher.publish(report.sites, report.planned)
        if report.failed:
            log.warning("not_planned sites=%d first=%r", len(report.failed), next(iter(report.failed.items())))
            note_failures(self._database, tuple(report.failed), self._now_epoch_s())

    def _said(self, trouble: str) -> None:
        if trouble and not self._store_trouble:
            log.warning("store_trouble reason=%r", trouble)
        elif self._store_trouble and not trouble:
            log.info("store_trouble_over")
        self._store_trouble = trouble
