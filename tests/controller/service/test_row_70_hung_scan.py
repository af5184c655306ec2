"""A hung scan beside live poll tasks: every charger stops hearing from us within 2 s plus one poll (row 70).

Real Modbus over real sockets, the loop and the connections of the field process, and one simulated clock for all.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

from controller.core.params import LEASE_S
from controller.core.state import initial
from controller.service.apply import sinks_of
from controller.service.gather import Gather, sources_of
from controller.service.inbox import Inbox
from controller.service.loop import Plumbing, ScanLoop
from controller.service.out_stream import OutStream
from controller.service.record import Recorder
from controller.service.site_setup import setup_of_site
from interfaces.drivers.connection import Connection
from interfaces.drivers.links import Link
from interfaces.drivers.outbox import Outbox
from interfaces.drivers.readings import Readings
from interfaces.drivers.wiring import wires_of
from simulations.devices.host import SiteHost
from simulations.plant.ev import Arrival
from tests.controller.service.kit import EPOCH_S, Listening, garage_setup

STEP_S = 0.1


class Now:
    """One clock for the field process and the plant."""

    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


class SmallSite:
    """The garage: virtual devices on sockets, connections and scan on simulated time."""

    def __init__(self, host: SiteHost) -> None:
        self.now, self.host = Now(), host
        self.readings, self.outbox = Readings(), Outbox()
        setup = setup_of_site("", host.site_here)
        wires = wires_of(setup.site)
        topology = setup.params.topology
        self.connections = [
            Connection(wire.link, wire.points, outbox=self.outbox, readings=self.readings, clock=self.now,
                       jitter=random.Random(1))
            for wire in wires
            if isinstance(wire.link, Link)
        ]  # fmt: skip
        self.loop = ScanLoop(
            setup,
            initial(setup.params, self.now.s),
            Plumbing(
                self.readings, self.outbox, Gather(topology, sources_of(topology, wires)), sinks_of(topology, wires),
                Inbox(setup.site.id), Recorder(OutStream(b"")), Listening(), self.now, lambda: EPOCH_S + self.now.s,
                lambda: True, lambda _: None, lambda *_: None,
            ),
        )  # fmt: skip

    async def run(self, seconds: float, *, scanning: bool = True) -> None:
        for _ in range(round(seconds / STEP_S)):
            self.host.advance(STEP_S)
            for connection in self.connections:
                while await connection.step() <= 0:
                    pass
            if scanning and self.now.s >= self.loop.pacer.due_s:
                self.loop.cycle()
            self.now.s += STEP_S

    async def close(self) -> None:
        for connection in self.connections:
            await connection.aclose()

    def requests(self) -> dict[str, int]:
        """Requests that each charger has seen."""
        found = {}
        for name in ("place-1", "place-2"):
            homes = self.host.parts[name].homes
            found[name] = sum(server.units[unit].requests for server, unit in homes)
        return found


@contextmanager
def counted(site: SmallSite) -> Iterator[dict[str, int]]:
    """How many requests each charger sees inside."""
    before = site.requests()
    seen: dict[str, int] = {}
    yield seen
    seen |= {name: count - before[name] for name, count in site.requests().items()}


async def test_row_70_a_hung_scan_beside_live_poll_tasks(figure):
    host = SiteHost(garage_setup().site, seed=5, real_time=False,
                    arrivals=[Arrival(asset="place-2", start_s=1.0, end_s=1e6, energy_wh=50_000.0)])  # fmt: skip
    async with host:
        site = SmallSite(host)
        try:
            await site.run(40)
            assert host.plant.in_force_a[host.plant.topology.index["place-2"]] >= 6
            polls_s = max(float(period) for period in site.loop.setup.params.topology.poll_s)
            with counted(site) as scanning:
                await site.run(LEASE_S + polls_s)
            assert all(count > 0 for count in scanning.values())
            await site.run(LEASE_S + polls_s, scanning=False)
            with counted(site) as hung:
                await site.run(60, scanning=False)
            assert hung == {"place-1": 0, "place-2": 0}
            figure(f"requests to chargers in the minute that begins {LEASE_S + polls_s:g} s after", sum(hung.values()))
            assert site.readings.points["m-main"].reply_s > site.now.s - 2, "the poll tasks live: the meter is read on"
            await site.run(70, scanning=False)
            column = host.plant.topology.index["place-2"]
            assert host.plant.supplies.in_failsafe(host.plant.now_s)[column], "the charger's own failsafe has acted"
            figure("the charger then offers, by itself", float(host.plant.in_force_a[column]), "A")
            with counted(site) as again:
                await site.run(20)
            assert all(count > 0 for count in again.values()), "and a scan that lives again is heard again"
        finally:
            await site.close()
