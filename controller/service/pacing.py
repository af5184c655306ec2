"""When scans are due, and how late they were. Pure.

Slots lie on an absolute monotonic grid, so that lateness never accumulates. A slot that was missed is skipped, never
made up for: two scans in a row would see the same inputs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

LATE_SHARE: Final = 0.5
"""A scan that starts more than this share of a period after its slot is late."""
LEAST_S: Final = 1e-5
FACTOR: Final = 1.05
"""Histogram buckets grow by 5 %: a quantile is exact to that."""
BUCKETS: Final = 284
"""Up to about 10 s."""


@dataclass(slots=True)
class Pacer:
    """The grid of one process. ``missed`` slots were skipped, ``late`` scans started late."""

    period_s: float
    start_s: float
    slot: int = 0
    missed: int = 0
    late: int = 0
    late_in_a_row: int = 0

    @property
    def due_s(self) -> float:
        """When the next scan is due."""
        return self.start_s + self.slot * self.period_s

    def begin(self, now_s: float) -> float:
        """A scan starts now; its lateness in seconds. The next slot is the first one still ahead."""
        lateness_s = max(0.0, now_s - self.due_s)
        skipped = int(lateness_s / self.period_s)
        is_late = lateness_s > LATE_SHARE * self.period_s
        self.late += is_late
        self.late_in_a_row = self.late_in_a_row + 1 if is_late else 0
        self.missed += skipped
        self.slot += skipped + 1
        return lateness_s


@dataclass(slots=True)
class Histogram:
    """Durations in buckets of 5 %; bounded, whatever comes."""

    counts: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    total: int = 0
    most_s: float = 0.0

    def add(self, duration_s: float) -> None:
        bucket = 0 if duration_s <= LEAST_S else math.ceil(math.log(duration_s / LEAST_S, FACTOR))
        self.counts[min(bucket, BUCKETS - 1)] += 1
        self.total += 1
        self.most_s = max(self.most_s, duration_s)

    def quantile_s(self, share: float) -> float:
        """The upper edge of the bucket that holds the quantile, at most the largest value; 0 when empty."""
        left = math.ceil(share * self.total)
        for bucket, count in enumerate(self.counts):
            left -= count
            if left <= 0 and count:
                return min(self.most_s, LEAST_S * FACTOR**bucket)
        return 0.0
