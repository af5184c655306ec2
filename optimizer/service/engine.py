"""The engine: many sites' problems become plans, on the cores of one machine or of many.

What waits stands in the store (``optimizer.store.planning``); the engine is the way to call workers to it. There are
two: ``engine_inprocess`` (the default, nothing but this machine) and ``engine_procrastinate`` (jobs on PostgreSQL, any
number of machines). Both have the same promises, because the store keeps them: one waiting and one running plan per
site, a failed one tried again after a pause, a killed worker's work done by another, sequences that only grow.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from interfaces.domain.units import SECONDS_PER_QUARTER

BATCH: Final[int] = 80
"""Sites that are read, stored and published together, at most: a second of solving for sites of ten chargers. A solver
that dies loses one batch; its sites are then planned one by one."""
STALE_S: Final[float] = float(SECONDS_PER_QUARTER)
"""A problem older than this is no ground for a plan; the lease of the last one ends about then."""
DEADLINE_S: Final[float] = 10.0
"""For the solver of one site; then it gives what it has."""
SWEEP_S: Final[float] = 15.0
"""How often the store is asked for work that nobody was called to: after a restart, a failure, a lost call."""


@dataclass(frozen=True, slots=True)
class EngineError:
    """The call was not passed on, and why. The work is in the store: the next sweep finds it."""

    reason: str


class Engine(Protocol):
    """Calls workers to sites whose problem was put into the store."""

    def submit(self, sites: Iterable[str], due_epoch_s: float) -> EngineError | None:
        """Plan these sites at a moment (UTC), or now where that is past. Calls for one site become one."""

    def close(self) -> None:
        """Take no more calls, and let go of processes and connections."""
