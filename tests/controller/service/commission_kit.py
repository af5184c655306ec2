"""A commissioning against virtual devices over real sockets, in simulated time: the plant moves when the test rests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from controller.core.commission import EvseRecord, Finding
from controller.core.commission_judge import judge
from controller.service.commission_bench import Bench
from controller.service.commission_plan import plan_of
from controller.service.commission_run import Options, commission
from interfaces.domain.site_types import Site
from interfaces.drivers.clock import Clock
from interfaces.drivers.connection import Connection
from interfaces.drivers.connections import AnyConnection
from interfaces.drivers.p1_connection import P1Connection
from interfaces.drivers.wiring import wires_of
from simulations.devices.host import SiteHost
from simulations.plant.ev import Arrival, CarTraits
from simulations.plant.site import Environment
from tests.simulations.devices.sites import checked

TICK_S: Final = 0.1
PATIENCE_S: Final = 120.0
MOST_JOBS: Final = 400
START_S: Final = 1000.0
"""Where the simulated monotonic clock starts."""

NO_SILENCE: Final = Options(silence=False)
TEXT = """
version: 1
site: {id: yard, time_zone: Europe/Zurich}
circuits:
  - id: gcp
    rated_a: [60, 60, 60]
    margin_a: [10, 10, 10]
    protection: {kind: gG, rated_a: 63}
    meter: m-main
    background_max_a: [20, 20, 20]
  - id: row
    parent: gcp
    rated_a: [40, 40, 40]
    protection: {kind: mcb, curve: C, rated_a: 40, holds_s_at_2_55: 5}
    background_max_a: [0, 0, 0]
meters:
  - {id: m-main, profile: eastron_sdm630, modbus: {host: 10.0.0.1}}
chargers:
  - id: left
    profile: webasto_live
    modbus: {host: 10.0.1.1}
    circuit: row
    evses: [{id: left, max_current_a: [16, 16, 16], phases: [L1, L2, L3]}]
    failsafe: {current_a: 6, timeout_s: 30}
  - id: right
    profile: webasto_live
    modbus: {host: 10.0.1.2}
    circuit: row
    evses: [{id: right, max_current_a: [16, 16, 16], phases: [L2, L3, L1]}]
    failsafe: {current_a: 6, timeout_s: 30}
"""


class SimulatedTime:
    """The clock of a served plant; every connection works until it has nothing to do, at every tick."""

    def __init__(self, host: SiteHost, watch: Callable[[], None]) -> None:
        self._host, self._watch = host, watch
        self._open: list[Connection] = []
        self._listening: dict[P1Connection, asyncio.Task[None]] = {}
        self.clock: Clock = lambda: START_S + host.plant.now_s

    def begin(self, connection: AnyConnection) -> None:
        if isinstance(connection, P1Connection):
            self._listening[connection] = asyncio.create_task(connection.run())
        else:
            assert isinstance(connection, Connection)
            self._open.append(connection)

    async def end(self, connection: AnyConnection) -> None:
        if isinstance(connection, P1Connection):
            task = self._listening.pop(connection)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        else:
            assert isinstance(connection, Connection)
            self._open.remove(connection)
        await connection.aclose()

    async def _advance(self) -> None:
        """A tick of the plant; whoever listens has heard every telegram of it before anybody goes on."""
        feeds = [part.feed for part in self._host.parts.values() if part.feed is not None]
        async with asyncio.timeout(PATIENCE_S):
            while self._listening and not all(feed._writers for feed in feeds):  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            wanted = sum(one.counters.requests for one in self._listening) - sum(feed.sent for feed in feeds)
            self._host.advance(TICK_S)
            wanted += sum(feed.sent for feed in feeds)
            while sum(one.counters.requests for one in self._listening) < wanted and self._listening:  # noqa: ASYNC110
                await asyncio.sleep(0.001)

    async def rest(self, seconds: float) -> None:
        for _ in range(max(1, round(seconds / TICK_S))):
            await self._advance()
            self._watch()
            for connection in list(self._open):
                for _ in range(MOST_JOBS):
                    if await connection.step() > 0.0:
                        break


@dataclass
class Yard:
    """One commissioning to be: a site, its surroundings, cars by EVSE, and what a test breaks once it is served.

    ``watch`` is called at every tick of the plant. ``only``: of all EVSEs these. ``read_as``: chargers whose
    profile the site file has wrong.
    """

    text: str = TEXT
    environment: Environment = field(default_factory=Environment)
    cars: Mapping[str, Arrival] | None = None
    seed: Callable[[SiteHost], None] = lambda host: None
    watch: Callable[[SiteHost], None] = lambda host: None
    bound: Mapping[str, str] | None = None
    charger: str | None = "left"
    only: frozenset[str] = frozenset()
    read_as: Mapping[str, str] | None = None
    options: Options = NO_SILENCE

    async def test(self) -> tuple[EvseRecord, ...]:
        """Serve the site and commission it."""
        site: Site = checked(self.text)
        arrivals = [replace(car, asset=name) for name, car in (self.cars or {}).items()]
        async with SiteHost(site, seed=1, environment=self.environment, arrivals=arrivals, real_time=False) as host:
            self.seed(host)
            wrong = self.read_as or {}
            chargers = tuple(replace(c, profile=wrong.get(c.id, c.profile)) for c in host.site_here.chargers)
            here = replace(host.site_here, chargers=chargers)
            wires = wires_of(here)
            profiles = {p.key: p.profile for w in wires for p in w.points}
            plan = plan_of(here, profiles, self.bound or {}, self.charger)
            if self.only:
                kept = {name: tuple(e for e in evses if e.evse in self.only) for name, evses in plan.evses.items()}
                plan = replace(plan, evses=kept)
            pace = SimulatedTime(host, lambda: self.watch(host))
            await pace.rest(1.0)
            return await commission(
                plan, Bench(wires, plan.keys, plan.volts, plan.period_s, pace), self.options, lambda text: None
            )


def car(phases: int = 3, *, max_a: float = 16.0, traits: CarTraits | None = None) -> Arrival:
    """A car that stays."""
    return Arrival("", 0.0, 1e9, 60_000.0, phases=phases, max_a=max_a, traits=traits or CarTraits())


def findings(records: tuple[EvseRecord, ...]) -> dict[str, list[Finding]]:
    """Every finding by code."""
    found: dict[str, list[Finding]] = {}
    for record in records:
        for one in judge(record):
            found.setdefault(one.code, []).append(one)
    return found


def faults(records: tuple[EvseRecord, ...]) -> set[str]:
    """Codes of the faults."""
    return {one.code for record in records for one in judge(record) if one.verdict == "fault"}
