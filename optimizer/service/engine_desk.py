"""Between the loop that listens to the sites and the engine: problems go out, plans come in, sequences are asked for.

Nothing here waits for a plan. Where the store does not answer, it is left alone for half a minute and says nothing:
whoever listens then makes the plans himself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final, TypeVar

from interfaces.domain.plan import Plan
from interfaces.domain.plan_text import plan_of_text
from interfaces.drivers.clock import Clock
from optimizer.core.problem import Problem
from optimizer.service.engine import Engine
from optimizer.store.charging import SessionTarget, note_targets
from optimizer.store.database import Database, StoreError
from optimizer.store.planning import newest_plans, put_problems, take_sequence

log = logging.getLogger(__name__)

REST_S: Final[float] = 30.0
"""The store is asked again after so long; a server that is away may take five seconds to say so."""
LATE_S: Final[float] = 60.0
"""A site that waits longer for its plan gets one from whoever listens to it: there may be no worker at all."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Handed:
    """A site's problem for the engine, also as its JSON. ``given``: the highest sequence known here; ``since_s``:
    monotonic, since when the site waits for a plan.
    """

    site: str
    problem: Problem
    body: bytes
    reason: str
    lease_s: float
    given: int
    since_s: float


class EngineDesk:
    """The store at ``database`` with its engine, which ``open_engine`` opens at the first use; it may raise
    ``StoreError`` and is then tried again. ``trouble``: why nothing is handed over now; empty where all is well.
    """

    def __init__(self, database: Database, open_engine: Callable[[], Engine], now_s: Clock) -> None:
        self.trouble = ""
        self._database, self._open_engine, self._now_s = database, open_engine, now_s
        self._engine: Engine | None = None
        self._rest_until_s = float("-inf")
        self._noted: dict[tuple[str, str], SessionTarget] = {}

    @property
    def away(self) -> bool:
        """Whether the store did not answer just now."""
        return self._now_s() < self._rest_until_s

    def hand_over(self, handed: Sequence[Handed], now_epoch_s: float) -> bool:
        """Put problems into the store and call the workers; False: the store has not taken all of them.

        A call that is not passed on is no failure: the workers' next sweep finds what stands in the store.
        """
        return self._asked(lambda engine: self._put(engine, handed, now_epoch_s)) is not None

    def plans(self, sites: Iterable[str]) -> dict[str, Plan]:
        """The newest plan of each of these sites that has one."""
        stored = self._asked(lambda _: newest_plans(self._database, sites)) or ()
        read = {plan.site: plan_of_text(plan.text, "") for plan in stored}
        return {site: plan for site, plan in read.items() if isinstance(plan, Plan)}

    def sequence(self, site: str, given: int) -> int | None:
        """The site's next sequence, for a plan that is made here; None where the store does not answer."""
        return self._asked(lambda _: take_sequence(self._database, site, given))

    def note_targets(self, targets: Iterable[SessionTarget]) -> None:
        """Note what sessions were planned for, where it is something new. One whose session the store has not heard of
        yet comes again with the next plan.
        """
        undated = {target: replace(target, issued_epoch_s=0.0) for target in targets}
        new = [one for one, plain in undated.items() if self._noted.get((one.site, one.evse)) != plain]
        if new:
            found = self._asked(lambda _: note_targets(self._database, new)) or ()
            self._noted |= {(one.site, one.evse): undated[one] for one in found}

    def _put(self, engine: Engine, handed: Sequence[Handed], now_epoch_s: float) -> bool:
        for lease_s, alike in groupby(sorted(handed, key=lambda one: one.lease_s), key=lambda one: one.lease_s):
            batch = list(alike)
            problems = {one.site: one.body for one in batch}
            put_problems(self._database, problems, now_epoch_s, lease_s, {one.site: one.given for one in batch})
        engine.submit([one.site for one in handed], now_epoch_s)
        return True

    def _asked(self, call: Callable[[Engine], T]) -> T | None:
        """What the store answers, or None."""
        if self.away:
            return None
        try:
            if self._engine is None:
                self._engine = self._open_engine()
            answer = call(self._engine)
        except Exception as error:
            # The desk's one catcher: what is no StoreError is a bug, and must not end the plans of all sites.
            if not isinstance(error, StoreError):
                log.exception("engine_desk_failed")
            self.trouble = f"the plans are made here, for the store does not answer: {error}"
            self._rest_until_s = self._now_s() + REST_S
            return None
        self.trouble = ""
        return answer
