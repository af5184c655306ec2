"""When each device of a virtual site was asked for its fastest values: how old its readings become, seen by the device.

The first block of a profile's fastest poll group stands for the group. A device that is silent is asked as well; who
wants the ages of readings leaves it out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from interfaces.drivers.polling import plan_polls
from interfaces.drivers.profile import Table
from simulations.devices.parts import Part

MOST_READS: Final[int] = 10_000
"""Per device: over half an hour at 200 ms."""


class ReadLog:
    """Listens at the first point of each device from its making on; a P1 port is asked for nothing.

    ``period_s``: of the fastest poll group. ``at_s``: monotonic times of its reads, oldest first.
    """

    def __init__(self, parts: Mapping[str, Part], clock: Callable[[], float] = time.monotonic) -> None:
        self.period_s: dict[str, float] = {}
        self.at_s: dict[str, list[float]] = {}
        self._clock = clock
        for name, part in parts.items():
            if part.points:
                self._listen(name, part)

    def _listen(self, name: str, part: Part) -> None:
        served = part.points[0].device
        polls = [poll for poll in plan_polls(served.profile) if poll.period_s > 0 and poll.blocks]
        if not polls:
            return
        fastest = min(polls, key=lambda poll: poll.period_s)
        block, reads = fastest.blocks[0], self.at_s.setdefault(name, [])
        self.period_s[name] = fastest.period_s

        def heard(table: Table, addr: int) -> None:
            if table == block.table and addr == block.addr and len(reads) < MOST_READS:
                reads.append(self._clock())

        bank = served.station if block.on == "station" else served.point
        bank.on_read = heard

    def told(self) -> dict[str, Any]:
        """Both tables, for a message."""
        return {"period_s": self.period_s, "at_s": self.at_s}
