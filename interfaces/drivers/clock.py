"""The two clocks of the product, and nothing else; everything that needs time is given one of these.

``monotonic_s`` feeds ages, timers and leases; ``epoch_s`` feeds plans, tariffs and logs. They are never subtracted from
each other.
"""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], float]


def monotonic_s() -> float:
    """Seconds since an arbitrary instant; it never jumps (CLOCK_MONOTONIC)."""
    return time.monotonic()


def epoch_s() -> float:
    """Seconds since 1970-01-01 UTC; people and NTP may move it."""
    return time.time()
