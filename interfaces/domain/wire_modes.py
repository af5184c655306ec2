"""How much a controller tells, by what its line may cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from interfaces.domain.wire import Mode


@dataclass(frozen=True, slots=True)
class TelemetryMode:
    """``live_s``: between two live messages, and the most it may be set to differ downwards is ``fastest_s``.
    ``whole_s``: between two whole statuses; changes in between. ``keepalive_s``: of the connection, because an idle
    line costs too. ``plan_s``: the cloud side sends no plan sooner after the last. ``receipt_s``: between two receipts.
    ``month_mb``: what all of it may cost a site of ten chargers, both ways.
    """

    live_s: float
    fastest_s: float
    whole_s: float
    keepalive_s: int
    plan_s: float
    receipt_s: float
    month_mb: float


MODES: Final[dict[Mode, TelemetryMode]] = {
    "live": TelemetryMode(10.0, 1.0, 600.0, 10, 0.0, 60.0, 200.0),
    "low_data": TelemetryMode(300.0, 60.0, 3600.0, 60, 600.0, 900.0, 30.0),
}
"""``low_data`` is for lines paid by the megabyte: the optimizer plans from a state at most 5 min old, and the lease of
a plan (15 min) outlives the 10 min between two of them. Events go at once in both."""
