"""Solver processes: they use the cores, and one that hangs or dies costs its own batch and nothing else.

A thread per process, with a pipe between them: the thread can end its process at any moment and start another one. The
executors of the standard library, and pebble's too, break as a whole when all their processes die together.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Final

from optimizer.service.solving import BatchReport, serve

SITE_S: Final[float] = 30.0
"""For one site: its solver gives up after 10 s, and whoever takes this long is stuck."""
BATCH_S: Final[float] = 60.0
"""For a batch; its sites are then planned one by one, so that one which hangs costs the others a minute once."""
START_S: Final[float] = 120.0
"""For a process to come up, which takes two seconds on an idle machine."""
Done = Callable[[BatchReport], None]


@dataclass(frozen=True, slots=True)
class _Task:
    sites: tuple[str, ...]
    done: Done


class SolverPool:
    """``processes`` solvers on the store at ``url``; ``site_s`` and ``batch_s`` as above."""

    def __init__(self, url: str, processes: int, *, site_s: float = SITE_S, batch_s: float = BATCH_S) -> None:
        self.processes = processes
        self._url, self._site_s, self._batch_s = url, site_s, batch_s
        self._inbox: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._children: dict[int, _Child] = {}
        self._threads = [
            threading.Thread(target=self._serve, args=(number,), name=f"solver-{number}", daemon=True)
            for number in range(processes)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def pids(self) -> tuple[int, ...]:
        """Of the solver processes that were started last; for whoever watches them."""
        return tuple(child.pid for child in tuple(self._children.values()))

    def plan(self, sites: tuple[str, ...], done: Done) -> None:
        """Plan a batch; ``done`` gets one report, or one per site, from a thread of the pool."""
        self._inbox.put(_Task(sites, done))

    def close(self) -> None:
        """End the processes, whatever they are doing; what was not done is not reported."""
        self._closing.set()
        for _ in self._threads:
            self._inbox.put(None)
        for child in tuple(self._children.values()):
            child.end()
        for thread in self._threads:
            thread.join()

    def _serve(self, number: int) -> None:
        child: _Child | None = None
        while not self._closing.is_set():
            if child is None:
                child = self._children[number] = _Child(self._url)
            task = self._inbox.get()
            if task is None:
                break
            alone = len(task.sites) == 1
            report = child.ask(task.sites, self._site_s if alone else self._batch_s)
            if isinstance(report, BatchReport):
                task.done(report)
                continue
            child.end()
            child = None
            if self._closing.is_set():
                break
            if alone:
                task.done(BatchReport(task.sites, failed=dict.fromkeys(task.sites, report)))
            for site in () if alone else task.sites:
                self.plan((site,), task.done)
        if child is not None:
            child.end()


class _Child:
    """One solver process; it is started by the thread that serves it, and ends with it."""

    def __init__(self, url: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe: Connection
        self._pipe, far = context.Pipe()
        self._process: SpawnProcess = context.Process(target=serve, args=(far, url, os.getpid()), daemon=True)
        self._process.start()
        far.close()
        self._started = False

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid or 0

    def ask(self, sites: tuple[str, ...], within_s: float) -> BatchReport | str:
        """The report, or why there is none; the process is of no use then."""
        try:
            if not self._started:
                if not self._pipe.poll(START_S):
                    return f"the solver's process did not start within {START_S:g} s"
                self._pipe.recv()
                self._started = True
            self._pipe.send(sites)
            if not self._pipe.poll(within_s):
                return f"not solved within {within_s:g} s"
            report: BatchReport = self._pipe.recv()
        except (EOFError, OSError):
            return "the solver's process ended"
        return report

    def end(self) -> None:
        """Whatever it is doing; also of a process that is stopped."""
        self._process.kill()
        self._process.join()
