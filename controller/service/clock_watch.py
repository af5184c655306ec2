"""Whether the wall clock can be believed: pure judgement of what two clocks and the kernel say.

Ages, timers and leases use the monotonic clock alone and do not care. Plans and tariffs need the wall clock; when it
jumps, or nobody has set it for long, they are not used. The two clocks are never subtracted from each other: compared
are the times that passed on each.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

STEP_S: Final = 1.0
"""The clocks may differ by this much over a window; NTP slews at most 0.5 ms/s (RFC 5905, 500 ppm)."""
WINDOW_S: Final = 60.0
STEADY_S: Final = 60.0
DRIFT_PPM: Final = 100.0
"""Free-running PC crystals stay within this (30 days: 4.3 min)."""
MILLION: Final = 1e6
COARSE_S: Final = 1.0
WORST_S: Final = 450.0
"""Half a quarter of an hour: beyond this error the present price or plan step may be the wrong one."""
RTC_ERROR_S: Final = 60.0
"""What a battery-backed clock that nobody has set since boot is taken to be off by."""
EARLIEST_EPOCH_S: Final = 1_735_689_600.0
"""2025-01-01: before this program existed."""
LATEST_EPOCH_S: Final = 4_102_444_800.0
"""2100-01-01: unsigned 32-bit seconds end in 2106, and so do devices that count in them."""

Quality = Literal["good", "coarse", "untrusted"]


@dataclass(frozen=True, slots=True)
class ClockWatch:
    """What is remembered of the clocks. ``steady_from_s``: monotonic time from which the wall clock is trusted again;
    ``anchor_*``: both clocks at the start of the window; ``error_s``: estimated error at ``error_at_s``.
    """

    now_s: float
    epoch_s: float
    anchor_now_s: float
    anchor_epoch_s: float
    steady_from_s: float
    error_s: float
    error_at_s: float
    steps: int = 0

    @staticmethod
    def start(now_s: float, epoch_s: float) -> ClockWatch:
        """Nothing is known yet: as good as a battery-backed clock."""
        return ClockWatch(now_s, epoch_s, now_s, epoch_s, now_s, RTC_ERROR_S, now_s)

    def quality(self) -> Quality:
        """Good, coarse (used, and told) or untrusted (not used)."""
        error_s = self.error_now_s()
        sane = EARLIEST_EPOCH_S <= self.epoch_s < LATEST_EPOCH_S
        if not sane or self.now_s < self.steady_from_s or error_s > WORST_S:
            return "untrusted"
        return "coarse" if error_s > COARSE_S else "good"

    @property
    def trusted(self) -> bool:
        return self.quality() != "untrusted"

    def error_now_s(self) -> float:
        """How far the wall clock may be off by now."""
        return self.error_s + (self.now_s - self.error_at_s) * DRIFT_PPM / MILLION


def observe(watch: ClockWatch, now_s: float, epoch_s: float, *, synchronised: bool) -> ClockWatch:
    """The watch after one more look at both clocks. ``synchronised``: the kernel says that a time server steers it."""
    since_last_s = (epoch_s - watch.epoch_s) - (now_s - watch.now_s)
    since_anchor_s = (epoch_s - watch.anchor_epoch_s) - (now_s - watch.anchor_now_s)
    step_s = since_last_s if abs(since_last_s) > STEP_S else since_anchor_s
    nxt = replace(watch, now_s=now_s, epoch_s=epoch_s)
    if synchronised:
        nxt = replace(nxt, error_s=0.0, error_at_s=now_s)
    if abs(step_s) > STEP_S:
        return replace(
            nxt,
            anchor_now_s=now_s,
            anchor_epoch_s=epoch_s,
            steady_from_s=now_s + STEADY_S,
            steps=watch.steps + 1,
        )
    if now_s - watch.anchor_now_s >= WINDOW_S:
        return replace(nxt, anchor_now_s=now_s, anchor_epoch_s=epoch_s)
    return nxt
