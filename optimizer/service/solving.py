"""What a solver process does: read problems from the store, solve, store the plans with their sequences.

A process does one batch at a time and can be killed at any moment: what was not stored is still waiting.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from typing import Final

from interfaces.domain.plan import Plan
from interfaces.domain.plan_text import plan_text
from interfaces.drivers.clock import epoch_s
from optimizer.core.codec import problem_from_json
from optimizer.core.planning import Planned, Refused, plan_of, plan_problem
from optimizer.core.problem import Problem
from optimizer.service.engine import DEADLINE_S, STALE_S
from optimizer.store.database import Database, StoreError
from optimizer.store.planning import Answer, Refusal, Work, add_answers, add_refusals, work_of

log = logging.getLogger(__name__)

PR_SET_PDEATHSIG: Final = 1


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What became of ``sites``: ``planned`` by site, ``failed`` with the reason; the others had nothing waiting, or
    were refused (the store says why). ``solve_s``: processor time from problems' bytes to plans' texts.
    """

    sites: tuple[str, ...]
    planned: Mapping[str, Plan] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    solve_s: float = 0.0


@dataclass(slots=True)
class _Tally:
    """Of one batch: the plans, once their sequences are known, and the processor time they took."""

    plans: dict[str, Plan] = field(default_factory=dict)
    solve_s: float = 0.0

    @contextmanager
    def clocked(self) -> Iterator[None]:
        began_s = time.process_time()
        yield
        self.solve_s += time.process_time() - began_s


class Solver:
    """Plans batches of sites over one connection to the store."""

    def __init__(self, url: str) -> None:
        self._database = Database(url, connections=1)

    def plan(self, sites: Sequence[str]) -> BatchReport:
        """Plan those of the sites that wait for it."""
        try:
            return self._plan(tuple(sites))
        except StoreError as error:
            return BatchReport(tuple(sites), failed=dict.fromkeys(sites, str(error)))

    def _plan(self, sites: tuple[str, ...]) -> BatchReport:
        now_epoch_s = epoch_s()
        answers: list[Answer] = []
        refusals: list[Refusal] = []
        failed: dict[str, str] = {}
        tally = _Tally()
        for work in work_of(self._database, sites, now_epoch_s, now_epoch_s - STALE_S):
            try:
                with tally.clocked():
                    found = _solved(work, tally)
            except Exception as error:  # the loop's one catcher: what fails here is a bug, and stays with its site
                log.exception("solve_failed site=%s version=%d", work.site, work.version)
                failed[work.site] = f"{type(error).__name__}: {error}"
                continue
            if isinstance(found, Answer):
                answers.append(found)
            else:
                refusals.append(found)
        stored = {plan.site for plan in add_answers(self._database, answers)}
        add_refusals(self._database, refusals)
        return BatchReport(sites, {site: tally.plans[site] for site in stored}, failed, tally.solve_s)


def _solved(work: Work, tally: _Tally) -> Answer | Refusal:
    problem = problem_from_json(work.problem)
    if not isinstance(problem, Problem):
        return Refusal(work.site, work.version, "; ".join(problem))
    if problem.site.id != work.site:
        return Refusal(work.site, work.version, f"it is a problem of the site '{problem.site.id}'")
    planned = plan_problem(problem, deadline_s=DEADLINE_S)
    if isinstance(planned, Refused):
        return Refusal(work.site, work.version, "; ".join(planned.reasons))
    lease_until_epoch_s = problem.now_epoch_s + work.lease_s
    text_of = partial(_text, planned, problem, work.lease_s, tally)
    return Answer(
        work.site,
        work.version,
        problem.now_epoch_s,
        lease_until_epoch_s,
        planned.status,
        planned.objective_eur,
        text_of,
    )


def _text(planned: Planned, problem: Problem, lease_s: float, tally: _Tally, sequence: int) -> str:
    site = problem.site.id
    plan_id = f"{site}-{sequence}"
    with tally.clocked():
        plan = plan_of(planned, problem, plan_id=plan_id, sequence=sequence, key_id="", lease_s=lease_s)
        tally.plans[site] = plan
        return plan_text(plan)


def serve(pipe: Connection, url: str, parent_pid: int) -> None:
    """Be a solver process: a batch of sites in, its report out, until the other end of the pipe is gone."""
    _end_with_parent(parent_pid)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    solver = Solver(url)
    pipe.send(None)
    try:
        while True:
            pipe.send(solver.plan(pipe.recv()))
    except (EOFError, OSError):
        return


def _end_with_parent(parent_pid: int) -> None:
    """Be killed with the thread that started us (prctl(2)), also where a solve hangs."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(1)  # it was gone before we asked to be told
