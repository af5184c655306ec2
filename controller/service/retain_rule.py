"""When the memory that survives power loss is worth a write: at once for limits, once a second for offers. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from controller.core.state import Retained
from interfaces.domain.units import NEVER_S

OFFERS_EVERY_S: Final = 1.0
SLOWLY_EVERY_S: Final = 60.0
"""Accumulators and off times change all the time while they matter; a minute of them is worth little more wear."""


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
        elif (before.offers_ma, before.limit_pauses) != (now.offers_ma, now.limit_pauses):
            due = now_s - self.last_s >= OFFERS_EVERY_S
        else:
            due = now_s - self.last_s >= SLOWLY_EVERY_S and _without_time(before) != _without_time(now)
        if due:
            self.last, self.last_s = now, now_s
        return due


def _limits(retained: Retained) -> tuple[object, ...]:
    """What other people imposed, and what must never run backwards."""
    return (retained.topology_version, retained.fire_latched, retained.operator_limit_mw, retained.plan_sequence)


def _without_time(retained: Retained) -> Retained:
    return replace(retained, epoch_s=0.0)
