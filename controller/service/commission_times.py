"""When a charger and its car followed a command, as the looks of a commissioning show it."""

from __future__ import annotations

from typing import Final

from controller.core.commission import Levels, largest
from interfaces.drivers.readings import PointReading

NEAR_A: Final = 1.0
"""A car has followed when it is this near to what is offered."""
OFFER_NEAR_A: Final = 0.6


class Times:
    """When the charger said that it offers the target, and when the car was there; seconds after the command."""

    def __init__(self, target_a: float, started_s: float, before_a: float) -> None:
        self.offered_s: float | None = None
        self.measured_s: float | None = None
        self._target_a, self._started_s, self._before_a = target_a, started_s, before_a

    def observe(self, reading: PointReading, look: Levels, conductors: int) -> None:
        """Look whether it happened since the last look; times are those of the samples."""
        offered = reading.roles.get("offered_a")
        shown = look.offered_a if offered is not None else look.readback_a
        at_s = offered.sampled_at_s if offered is not None else reading.setpoint.readback_at_s
        if self.offered_s is None and shown is not None and abs(shown - self._target_a) <= OFFER_NEAR_A:
            self.offered_s = max(0.0, at_s - self._started_s)
        drawn = largest(look.charger_a[:conductors])
        if self.measured_s is None and drawn is not None and abs(drawn - self._target_a) <= NEAR_A:
            self.measured_s = max(0.0, reading.sample_s - self._started_s)
