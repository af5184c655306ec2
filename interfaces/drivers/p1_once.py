"""One look at a P1 port, for commands: the next telegram, its values by name, and what is wrong with it."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from interfaces.drivers.clock import monotonic_s
from interfaces.drivers.device import PointSpec
from interfaces.drivers.links import P1Link
from interfaces.drivers.p1_connection import P1Connection
from interfaces.drivers.p1_telegram import Telegram
from interfaces.drivers.profile import Profile
from interfaces.drivers.readings import PointReading, Readings
from interfaces.drivers.shown import Shown

PATIENCE_S: Final = 25.0
"""Two telegrams of a meter that sends every 10 s, of which the first may be cut off, and a connection."""
LOOK_S: Final = 0.05
KEY: Final = "p1"


@dataclass(frozen=True, slots=True)
class Look:
    """``values`` by OBIS code in the units of the telegram, the roles of ``reading`` in ours; none: see ``problem``."""

    reading: PointReading
    values: Mapping[str, Shown] = field(default_factory=dict)
    problem: str = ""


async def look(link: P1Link, profile: Profile, patience_s: float = PATIENCE_S) -> Look:
    """The next telegram of a port, or why there was none for so long."""
    readings = Readings()
    point = PointSpec(KEY, profile, 0, managed=False)
    # The jitter only spreads reconnects; one look has none to spread.
    connection = P1Connection(link, point, readings=readings, clock=monotonic_s, jitter=random.Random(0))  # noqa: S311
    task = asyncio.create_task(connection.run())
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                while connection.telegram is None:  # noqa: ASYNC110  one look, nobody waits beside it
                    await asyncio.sleep(LOOK_S)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await connection.aclose()
    reading, telegram = readings.points[KEY], connection.telegram
    if telegram is None:
        return Look(reading, problem=reading.problem or f"no telegram for {patience_s:g} s")
    return Look(reading, shown_objects(telegram), "; ".join(telegram.problems))


def shown_objects(telegram: Telegram) -> dict[str, Shown]:
    """Numbers and texts of a telegram by their OBIS codes, as printed."""
    numbers = {code: Shown(number.value, number.unit) for code, number in telegram.numbers.items()}
    return numbers | {code: Shown(text, "") for code, text in telegram.texts.items()}
