"""The devices of a site on the bench of a commissioning: watched all of them, commanded at most one charger.

Nothing is ever written to a point that is not commanded. What is commanded stands under a lease that only this object
renews: when it ends, or is killed, the charger hears nothing more and goes to its own failsafe.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, Protocol

from controller.core.commission import Levels, MeterLevels, Three
from controller.service.measure import MAX_CURRENT_A, MAX_POWER_W, MAX_VOLTAGE_V, good
from interfaces.domain.units import MILLI
from interfaces.drivers.clock import Clock, monotonic_s
from interfaces.drivers.connections import AnyConnection, connection_of
from interfaces.drivers.outbox import Outbox
from interfaces.drivers.profile import Profile
from interfaces.drivers.readings import PointReading, Readings, Sample
from interfaces.drivers.setpoints import quantised_ma
from interfaces.drivers.wiring import Wire

LEASE_S: Final = 3.0
"""A command is renewed at every look; a commissioning that hangs lets go this much later."""
STALE_LEAST_S: Final = 5.0
STALE_PERIODS: Final = 3
"""A meter that said nothing new for so many of its periods is silent."""


class Pace(Protocol):
    """How time passes and who moves the connections: the event loop, or a test with its own clock."""

    clock: Clock

    def begin(self, connection: AnyConnection) -> None:
        """From now on the connection works."""

    async def end(self, connection: AnyConnection) -> None:
        """It hangs up."""

    async def rest(self, seconds: float) -> None:
        """Let time pass."""


class RealTime:
    """The wall's monotonic clock and one task per connection."""

    clock: Clock = staticmethod(monotonic_s)

    def __init__(self) -> None:
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def begin(self, connection: AnyConnection) -> None:
        """Start its task."""
        self._tasks[id(connection)] = asyncio.create_task(connection.run())

    async def end(self, connection: AnyConnection) -> None:
        """Cancel its task, which hangs up."""
        task = self._tasks.pop(id(connection))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def rest(self, seconds: float) -> None:
        """Sleep."""
        await asyncio.sleep(seconds)


class Bench:
    """Connections to the points of ``wires``. ``keys``: points to be looked at, others are left alone.

    ``volts``: nominal volts times conductors of each EVSE, for those that are commanded in watts. ``period_s``: how
    often each of them and each meter is read.
    """

    def __init__(
        self,
        wires: tuple[Wire, ...],
        keys: frozenset[str],
        volts: Mapping[str, float],
        period_s: Mapping[str, float],
        pace: Pace,
    ) -> None:
        self._volts, self.period_s = volts, period_s
        self.pace = pace
        self.readings, self.outbox = Readings(), Outbox()
        kept = (replace(w, points=tuple(p for p in w.points if p.key in keys)) for w in wires)
        self._wires = tuple(wire for wire in kept if wire.points)
        self._open: dict[int, tuple[Wire, AnyConnection]] = {}
        self._jitter = random.Random(0)  # noqa: S311  spreads reconnects, keeps no secret
        self.profiles: Mapping[str, Profile] = {p.key: p.profile for w in self._wires for p in w.points}

    @property
    def now_s(self) -> float:
        return self.pace.clock()

    async def roles(self, *, commanded: str = "", silent: str = "") -> None:
        """Command this device (all others are watched), and do not talk to that one at all."""
        self.outbox.wanted.clear()
        for number, wire in enumerate(self._wires):
            points = tuple(replace(p, managed=p.device == commanded) for p in wire.points if p.device != silent)
            wanted = Wire(wire.link, points)
            now = self._open.get(number)
            if now is not None and now[0] == wanted:
                continue
            await self._close(number)
            if points:
                self._begin(number, wanted)

    def _begin(self, number: int, wire: Wire) -> None:
        connection = connection_of(
            wire, outbox=self.outbox, readings=self.readings, clock=self.pace.clock, jitter=self._jitter
        )
        self._open[number] = (wire, connection)
        self.pace.begin(connection)

    async def _close(self, number: int) -> None:
        now = self._open.pop(number, None)
        if now is not None:
            await self.pace.end(now[1])

    async def close(self) -> None:
        """Hang up everywhere."""
        for number in list(self._open):
            await self._close(number)

    def command(self, key: str, current_a: float) -> None:
        """Want this current of a commanded point for ``LEASE_S`` from now."""
        self.outbox.put(key, "setpoint", self._milli(key, current_a), self.now_s + LEASE_S)
        self.outbox.poll_fast(key, self.now_s + LEASE_S)

    def switch(self, key: str, phases: int) -> None:
        """Want one (1) or three (3) conductors of a commanded point for ``LEASE_S`` from now."""
        self.outbox.put(key, "phases", phases, self.now_s + LEASE_S)

    def _milli(self, key: str, current_a: float) -> int:
        """A current as mA, or as mW where the make takes power."""
        by_power = self.profiles[key].power_setpoint is not None
        return int(current_a * MILLI * (self._volts[key] if by_power else 1.0))

    def as_told(self, key: str, current_a: float) -> int:
        """What the make is really told of a current, on its own steps."""
        setpoint = self.profiles[key].setpoint
        milli = self._milli(key, current_a)
        return milli if setpoint is None else quantised_ma(setpoint, milli)

    def readback_a(self, key: str) -> float | None:
        """What a charger says it was told (or has in force), A per conductor."""
        milli = self.reading(key).setpoint.readback_milli
        if milli is None:
            return None
        return milli / MILLI / (self._volts[key] if self.profiles[key].power_setpoint is not None else 1.0)

    def measures(self, key: str) -> bool:
        """Whether the make measures its current or power at all."""
        return bool({"current_l1_a", "power_w"} & self.profiles[key].roles.keys())

    def reading(self, key: str) -> PointReading:
        """The latest of a point."""
        return self.readings.points.get(key, PointReading())

    def levels(self, key: str, meters: tuple[str, ...], others: tuple[str, ...]) -> Levels:
        """One look at an EVSE, at these meters and at these other EVSEs."""
        reading = self.reading(key)
        return Levels(
            at_s=self.now_s,
            charger_a=charger_a(reading),
            offered_a=reading.value("offered_a"),
            readback_a=self.readback_a(key),
            state="" if reading.state is None else reading.state.pilot,
            meters={meter: self.meter(meter) for meter in meters},
            others_a={other: max_a(charger_a(self.reading(other))) for other in others},
        )

    def meter(self, key: str) -> MeterLevels:
        """What a meter shows now; not fresh when it has been silent for too long."""
        reading, profile = self.reading(key), self.profiles[key]
        return MeterLevels(
            amps=_three(reading, "current_l{}_a", MAX_CURRENT_A),
            watts=_three(reading, "power_l{}_w", MAX_POWER_W),
            vars=_three(reading, "reactive_l{}_var", MAX_POWER_W),
            volts=_three(reading, "voltage_l{}_v", MAX_VOLTAGE_V),
            signed=profile.current_sign == "signed",
            fresh=self.now_s - reading.sample_s <= self.stale_s(key) and reading.connected,
        )

    def stale_s(self, key: str) -> float:
        """From this age on a meter's reading is of no use."""
        return max(STALE_LEAST_S, STALE_PERIODS * self.period_s[key])


def charger_a(reading: PointReading) -> Three:
    """The current of every conductor; of a charger that shows power alone: none."""
    return _three(reading, "current_l{}_a", MAX_CURRENT_A)


def max_a(values: Three) -> float | None:
    """The largest conductor current known."""
    known = [value for value in values if value is not None]
    return max(known) if known else None


def text_of(reading: PointReading, role: str) -> str:
    """A text a device tells of itself, without padding; empty when it tells none."""
    sample = reading.roles.get(role)
    if sample is None or sample.value is None:
        return ""
    return "".join(c for c in str(sample.value) if c.isprintable()).strip()


def _three(reading: PointReading, name: str, most: float) -> Three:
    a, b, c = (_number(good(reading, name.format(phase), most)) for phase in (1, 2, 3))
    return a, b, c


def _number(sample: Sample | None) -> float | None:
    return None if sample is None or not isinstance(sample.value, float | int) else float(sample.value)
