"""How much a controller tells, by what its line may cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from interfaces.domain.wire import Mode


@dataclass(frozen=True, slots=True)
class TelemetryMode:
    """``live_s``: between two live messages; it may be set lower, down to ``fastest_s``. ``whole_s``: between two whole
    statuses; changes in between. ``keepalive_s``: of the connection, because an idle line costs too. ``plan_s`` and
    ``targets_s``: the cloud side sends none sooner after the last, and leases plans for ``lease_s`` at least, so that
    one lives until the next. ``receipt_s``: between two receipts. ``month_mb``: what all of it may cost a site of ten
    chargers, both ways.
    """

    live_s: float
    fastest_s: float
    whole_s: float
    keepalive_s: int
    plan_s: float
    lease_s: float
    targets_s: float
    receipt_s: float
    month_mb: float


MODES: Final[dict[Mode, TelemetryMode]] = {
    "live": TelemetryMode(10.0, 1.0, 1800.0, 10, 0.0, 0.0, 0.0, 120.0, 200.0),
    "low_data": TelemetryMode(300.0, 60.0, 10_800.0, 240, 1800.0, 2700.0, 3600.0, 900.0, 30.0),
}
"""``low_data`` is for lines paid by the megabyte: a state at most 5 min old, a plan every half hour, leased for three
quarters. A car that comes in between is charged by the site's own rules until the next plan. Events go at once in both.
"""
