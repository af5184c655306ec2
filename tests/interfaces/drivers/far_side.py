"""Helpers of the driver tests: a device on a socket, a connection to it, and a clock that stands still."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

from interfaces.drivers.connection import Connection
from interfaces.drivers.device import PointSpec
from interfaces.drivers.links import Line, RtuOverTcpLink, TcpLink
from interfaces.drivers.modbus_server import Framing, ModbusServer
from interfaces.drivers.outbox import Outbox
from interfaces.drivers.profile import Profile
from interfaces.drivers.profile_bank import banks_of
from interfaces.drivers.profile_load import find_profile
from interfaces.drivers.readings import PointReading, Readings
from interfaces.drivers.register_bank import RegisterBank

TIMEOUT_S = 0.1


@dataclass
class Now:
    """A clock that moves when a test says so."""

    s: float = 1000.0

    def __call__(self) -> float:
        return self.s


@dataclass
class Bench:
    """A connection under test with everything around it."""

    connection: Connection
    server: ModbusServer
    now: Now
    outbox: Outbox
    readings: Readings
    log: list[tuple[str, int, tuple[int, ...]]] = field(default_factory=list)

    async def until_idle(self, steps: int = 400) -> None:
        """Do everything that is due at this instant."""
        for _ in range(steps):
            if await self.connection.step() > 0:
                return
        raise AssertionError("work never ends")

    async def run_for(self, seconds: float, step_s: float = 0.25) -> None:
        """Let simulated time pass, doing what is due on the way."""
        end_s = self.now.s + seconds
        while self.now.s < end_s:
            await self.until_idle()
            self.now.s += step_s
        await self.until_idle()

    def reading(self, key: str = "x") -> PointReading:
        return self.readings.points[key]

    def bank(self, unit: int | None = None) -> RegisterBank:
        return self.server.units[unit if unit is not None else next(iter(self.server.units))]

    def offer(self, milli: int, key: str = "x", lease_s: float = 2.0) -> None:
        self.outbox.put(key, "setpoint", milli, self.now.s + lease_s)


def profile_of(name: str) -> Profile:
    profile = find_profile(name)
    assert profile is not None
    return profile


@contextlib.asynccontextmanager
async def bench(
    units: dict[int, RegisterBank], points: Sequence[PointSpec], *, framing: Framing = "mbap", seed: int = 1
) -> AsyncIterator[Bench]:
    """Serve ``units`` and connect ``points`` to them."""
    now, outbox, readings = Now(), Outbox(), Readings()
    async with ModbusServer(units, framing=framing) as server:
        tcp = TcpLink("127.0.0.1", server.port, TIMEOUT_S)
        line = Line(baud=115200, max_response_s=0.05, turnaround_s=0.0)
        link = tcp if framing == "mbap" else RtuOverTcpLink("127.0.0.1", server.port, line)
        connection = Connection(link, points, outbox=outbox, readings=readings, clock=now, jitter=random.Random(seed))
        found = Bench(connection, server, now, outbox, readings)
        for unit, bank in units.items():
            bank.on_write = _logger(found.log, unit)
        try:
            yield found
        finally:
            await connection.aclose()


def _logger(log: list[tuple[str, int, tuple[int, ...]]], unit: int):
    def note(table: str, addr: int, words: tuple[int, ...]) -> None:
        log.append((f"{unit}", addr, words))

    return note


def device(name: str, golden: Mapping[tuple[int, str, int], Sequence[int]] | None = None) -> dict[int, RegisterBank]:
    """The banks of a profile with golden words: (unit, table, address) -> words."""
    _, banks = banks_of(profile_of(name))
    for (unit, table, addr), words in (golden or {}).items():
        banks[unit].put(table, addr, words)  # type: ignore[arg-type]
    return banks


def spec(name: str, **more) -> PointSpec:
    profile = profile_of(name)
    return PointSpec(
        **{"key": "x", "unit": profile.points.units[0], "station_unit": profile.points.station_unit, **more},
        profile=profile,
    )
