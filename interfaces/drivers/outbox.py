"""What the controller wants written: the latest absolute value per point and channel, each under a lease.

The scan puts, the connection tasks take; both run on one event loop. Nothing queues up: a newer value replaces an older
one, and a value whose lease has run out is never written.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final, Literal

from interfaces.domain.units import NEVER_S

Channel = Literal["setpoint", "stop", "phases"]
CHANNELS: Final[tuple[Channel, ...]] = ("setpoint", "stop", "phases")


@dataclass(frozen=True, slots=True)
class Desired:
    """A value and its lease (monotonic). ``setpoint``: mA, or mW for power; ``stop``: 1 or 0; ``phases``: 1 or 3."""

    value: int
    valid_until_s: float


@dataclass(slots=True)
class Outbox:
    """Desired writes of all points."""

    wanted: dict[tuple[str, Channel], Desired] = field(default_factory=dict)
    fast_until_s: dict[str, float] = field(default_factory=dict)
    _wake: dict[str, asyncio.Event] = field(default_factory=dict)

    def put(self, key: str, channel: Channel, value: int, valid_until_s: float) -> None:
        """Replace what is wanted of a point; its task wakes up when the value is another one."""
        before = self.wanted.get((key, channel))
        self.wanted[key, channel] = Desired(value, valid_until_s)
        if (before is None or before.value != value) and key in self._wake:
            self._wake[key].set()

    def poll_fast(self, key: str, until_s: float) -> None:
        """Ask for readings at the settle rate until then."""
        self.fast_until_s[key] = max(until_s, self.fast_until_s.get(key, NEVER_S))

    def get(self, key: str, channel: Channel) -> Desired | None:
        return self.wanted.get((key, channel))

    def lease_until_s(self, key: str) -> float:
        """Until when anybody vouches for this point; never, before the first value."""
        wants = (self.wanted.get((key, channel)) for channel in CHANNELS)
        return max((want.valid_until_s for want in wants if want is not None), default=NEVER_S)

    def wake_by(self, key: str, event: asyncio.Event) -> None:
        """Set this event when another value is wanted of the point."""
        self._wake[key] = event
