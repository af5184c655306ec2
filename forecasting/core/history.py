"""What was measured: quarter-hour means with what must not be learned from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interfaces.domain.units import SECONDS_PER_QUARTER, Bools, Floats, Ints


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """Quarter-hour means from ``start_epoch_s``: ``power_kw`` (N,), NaN where missing. ``held_back`` (N,) marks
    quarters in which we ourselves (a plan, a limit, curtailment) decided the power: no model may learn from those.
    """

    start_epoch_s: int
    power_kw: Floats
    held_back: Bools | None = None

    @property
    def end_epoch_s(self) -> int:
        """End of the last quarter."""
        return self.start_epoch_s + SECONDS_PER_QUARTER * len(self.power_kw)

    @property
    def epoch_s(self) -> Ints:
        """Starts of the quarters (N,)."""
        return self.start_epoch_s + SECONDS_PER_QUARTER * np.arange(len(self.power_kw), dtype=np.int64)

    def free_kw(self) -> Floats:
        """Power (N,) that nobody held back; NaN elsewhere and where the number is not finite."""
        usable = np.isfinite(self.power_kw)
        if self.held_back is not None:
            usable &= ~self.held_back
        return np.where(usable, self.power_kw, np.nan)

    def until(self, epoch_s: int) -> Measured:
        """What was known at ``epoch_s``: quarters that had ended by then."""
        keep = max(0, min(len(self.power_kw), (epoch_s - self.start_epoch_s) // SECONDS_PER_QUARTER))
        held_back = None if self.held_back is None else self.held_back[:keep]
        return Measured(self.start_epoch_s, self.power_kw[:keep], held_back)


def looked_up(start_epoch_s: int, values: Floats, epoch_s: Ints) -> Floats:
    """The quarter of ``values`` (N,) that holds each instant of ``epoch_s`` (any shape); NaN outside."""
    if not len(values):
        return np.full(epoch_s.shape, np.nan)
    place = (epoch_s - start_epoch_s) // SECONDS_PER_QUARTER
    inside = (place >= 0) & (place < len(values))
    found: Floats = np.where(inside, values[np.clip(place, 0, len(values) - 1)], np.nan)
    return found
