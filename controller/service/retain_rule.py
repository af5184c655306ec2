"""When the memory that survives power loss is worth a write: at once for limits, once a second for offers. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from controller.core.state import Retained
from interfaces.domain.units import NEVER_S

OFFERS_EVERY_S: Final = 1.0
SLOWLY_EVERY_S: Final = 60.0
"""Accumulators, off times and session energy change all the time while they matter; a minute of them is worth little
more wear."""


@dataclass(slots=True)
class RetainRule:
    """What was asked to be written last, and when."""

    last: Retained | None = None
    last_s: float = NEVER_S

    def is_due(self, now: Retained, now_s: float) -> bool:
        """Whether ``now`` should be written; if so it counts as written."""
        before = self.last
        if before is None or _limits(before) != _limits(now):
            due = True
        elif _offers(before) != _offers(now) or _another_car(before, now):
            due = now_s - self.last_s >= OFFERS_EVERY_S
        else:
            due = now_s - self.last_s >= SLOWLY_EVERY_S and _without_time(before) != _without_time(now)
        if due:
            self.last, self.last_s = now, now_s
        return due


def _limits(retained: Retained) -> tuple[object, ...]:
    """What other people imposed, and what must never run backwards."""
    return (retained.topology_version, retained.fire_latched, retained.operator_limit_mw, retained.plan_sequence)


def _offers(retained: Retained) -> tuple[object, ...]:
    """What changes with every decision."""
    return (retained.offers_ma, retained.limit_pauses)


def _another_car(before: Retained, now: Retained) -> bool:
    """A session began or ended: the energy of one car must not be found at the next."""
    if len(before.sessions) != len(now.sessions):
        return True
    return any(
        new.plugged_for_s < old.plugged_for_s if old and new else old is not new
        for old, new in zip(before.sessions, now.sessions, strict=True)
    )


def _without_time(retained: Retained) -> Retained:
    return replace(retained, epoch_s=0.0)
