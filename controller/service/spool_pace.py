"""How fast what has waited goes out: pure functions of time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

BACKLOG_PER_S: Final = 5.0
"""A day of messages every 10 s is sent within half an hour, and 500 sites that come back together bring 2500 messages a
second, which a broker takes many times over."""
BACKLOG_BURST: Final = 5.0


@dataclass(frozen=True, slots=True)
class Pace:
    """A bucket of permissions at a moment of the monotonic clock."""

    at_s: float
    permits: float = BACKLOG_BURST
    per_s: float = BACKLOG_PER_S
    burst: float = BACKLOG_BURST

    def at(self, now_s: float) -> Pace:
        """The bucket now."""
        permits = min(self.burst, self.permits + max(0.0, now_s - self.at_s) * self.per_s)
        return Pace(now_s, permits, self.per_s, self.burst)

    def taken(self, messages: int) -> Pace:
        """The bucket after so many messages; what was not permitted is owed."""
        return Pace(self.at_s, self.permits - messages, self.per_s, self.burst)

    @property
    def whole(self) -> int:
        """Messages that may go at this moment."""
        return max(0, int(self.permits))

    @property
    def wait_s(self) -> float:
        """How long until one may go."""
        return max(0.0, (1.0 - self.permits) / self.per_s)
