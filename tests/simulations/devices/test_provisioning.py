"""The whole loop over real sockets on the plant's clock: failsafes written, proven, lost, and what they count as."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from controller.core.state import initial
from controller.service.apply import sinks_of
from controller.service.gather import Gather, sources_of
from controller.service.health import told as alarm_text
from controller.service.health_points import point_problems
from controller.service.inbox import Inbox
from controller.service.loop import Plumbing, ScanLoop
from controller.service.out_stream import OutStream
from controller.service.record import Recorder
from controller.service.site_setup import setup_of_site
from controller.service.status import points_of
from interfaces.drivers.connection import Connection
from interfaces.drivers.connections import connection_of
from interfaces.drivers.outbox import Outbox
from interfaces.drivers.readings import PointReading, Readings
from interfaces.drivers.wiring import wires_of
from simulations.devices.host import SiteHost
from simulations.plant.ev import Arrival
from simulations.plant.site import Environment
from tests.controller.service.commission_kit import TEXT
from tests.controller.service.kit import EPOCH_S, Listening
from tests.simulations.devices.sites import checked

STEP_S = 0.1
SAFE_CURRENT, TIMEOUT, SETPOINT = 131, 132, 1000
UNIT = 255


class Loop:
    """A served site with two chargers and a meter, its connections and a scan, all on the plant's clock."""

    def __init__(self, host: SiteHost) -> None:
        self.host, self.readings, self.outbox = host, Readings(), Outbox()
        self.setup = setup_of_site("", host.site_here)
        self.wires = wires_of(self.setup.site)
        self.open: list[Connection] = []
        for wire in self.wires:
            connection = connection_of(
                wire, outbox=self.outbox, readings=self.readings, clock=self.now, jitter=random.Random(1)
            )
            assert isinstance(connection, Connection)
            self.open.append(connection)
        topology = self.setup.params.topology
        self.loop = ScanLoop(
            self.setup,
            initial(self.setup.params, self.now()),
            Plumbing(
                readings=self.readings,
                outbox=self.outbox,
                gather=Gather(topology, sources_of(topology, self.wires)),
                sinks=sinks_of(topology, self.wires),
                inbox=Inbox(self.setup.site.id),
                recorder=Recorder(OutStream(b"")),
                notifier=Listening(),
                clock=self.now,
                epoch=lambda: EPOCH_S + self.now(),
                synchronised=lambda: True,
                verdict=lambda _: None,
                after_scan=lambda *_: None,
            ),
        )

    def now(self) -> float:
        return self.host.plant.now_s

    async def run(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP_S)):
            self.host.advance(STEP_S)
            for connection in self.open:
                while await connection.step() <= 0:
                    pass
            if self.now() >= self.loop.pacer.due_s:
                self.loop.cycle()

    def registers(self, charger: str) -> dict[int, int]:
        (home,) = {server for server, _ in self.host.parts[charger].homes}
        bank = home.bank_of(UNIT)
        assert bank is not None
        return bank.tables["holding"]

    def reading(self, charger: str) -> PointReading:
        return self.readings.points[charger]

    def drawn_a(self, charger: str) -> float:
        plant = self.host.plant
        return float(plant.draw_a[plant.topology.index[charger]].max())

    def exposure_a(self, charger: str) -> float:
        assert self.loop.last is not None
        column = self.setup.params.topology.index[charger]
        return float(self.loop.last[2].asset_exposure_ma[column]) / 1000

    def alarms(self) -> str:
        assert self.loop.last is not None
        image, _, report = self.loop.last
        return "; ".join(alarm_text(alarm, self.setup.params.topology, image) for alarm in report.alarms)

    def health(self) -> str:
        pairs = list(zip(self.wires, self.open, strict=True))
        points = list(points_of(pairs, self.readings, self.now(), phases=3))
        return " | ".join(point_problems(points, ()).values())


@asynccontextmanager
async def yard(text: str = TEXT, *, failsafe_a: float | None = None) -> AsyncIterator[Loop]:
    """Both chargers have cars; ``left`` was left with other failsafe registers by whoever came before."""
    cars = tuple(Arrival(name, 1.0, 1e9, 60_000.0) for name in ("left", "right"))
    async with SiteHost(checked(text), seed=2, environment=Environment(), arrivals=cars, real_time=False) as host:
        loop = Loop(host)
        column = host.plant.topology.index["left"]
        if failsafe_a is not None:
            host.plant.supplies.failsafe_a[column] = failsafe_a
            host.show()
        try:
            yield loop
        finally:
            for connection in loop.open:
                await connection.aclose()


def power_cut(loop: Loop, charger: str) -> None:
    """A moment without power: everything volatile is gone, and so is every connection."""
    host = loop.host
    part = host.parts[charger]
    for column in part.columns:
        host.plant.supplies.reboot(column, host.plant.now_s)
    for device in part.points:
        device.restart(host.plant.now_s)
    for server, _ in part.homes:
        server.hang_up()


def hide_failsafe(point: Any, bank: Any) -> None:
    """Its registers are gone after every refresh of the virtual device."""
    refresh = point.refresh

    def refreshed(moment: Any) -> None:
        refresh(moment)
        for address in (SAFE_CURRENT, TIMEOUT):
            bank.tables["holding"].pop(address, None)

    point.refresh = refreshed


async def test_at_connect_the_failsafe_is_written_and_proven_before_any_current_is_offered():
    async with yard(failsafe_a=16) as loop:
        order: list[int] = []
        for server, unit in loop.host.parts["left"].homes:
            bank = server.bank_of(unit)
            assert bank is not None
            before = bank.on_write

            def note(table, addr, words, before=before):
                order.append(addr)
                return before(table, addr, words) if before else None

            bank.on_write = note
        await loop.run(60)
        assert loop.reading("left").failsafe.verdict == "verified"
        assert (loop.registers("left")[SAFE_CURRENT], loop.registers("left")[TIMEOUT]) == (6, 30)
        assert SAFE_CURRENT in order
        assert order.index(SAFE_CURRENT) < order.index(SETPOINT)
        assert loop.drawn_a("left") > 6.0
        assert loop.health() == ""


async def test_after_a_power_cut_the_failsafe_is_written_again_and_charging_goes_on():
    async with yard() as loop:
        await loop.run(60)
        assert loop.drawn_a("left") > 6.0
        power_cut(loop, "left")
        loop.registers("left")[SAFE_CURRENT] = 16
        await loop.run(90)
        assert loop.registers("left")[SAFE_CURRENT] == 6
        assert loop.reading("left").failsafe.verdict == "verified"
        assert loop.drawn_a("left") > 6.0
        assert loop.host.plant.judge.result().self_made_overload_s == 0.0


@pytest.mark.parametrize("how", ["refused", "gone"])
async def test_a_failsafe_that_is_unsafe_or_unreadable_is_told(how):
    async with yard(failsafe_a=16) as loop:
        for server, unit in loop.host.parts["left"].homes:
            bank = server.bank_of(unit)
            assert bank is not None
            if how == "refused":
                bank.writable = frozenset({SETPOINT})
            else:
                for addr in (SAFE_CURRENT, TIMEOUT):
                    bank.tables["holding"].pop(addr)
                hide_failsafe(loop.host.parts["left"].points[0], bank)
        await loop.run(60)
        assert f"its failsafe is {'unsafe' if how == 'refused' else 'not readable'}" in loop.health()
        assert ("left has no safe or readable failsafe" in loop.alarms()) == (how == "refused")


@pytest.mark.parametrize(("failsafe_a", "verdict", "counts_a"), [(6, "verified", 6.0), (12, "unsafe", 16.0)])
async def test_a_silent_charger_counts_by_what_its_failsafe_proved(failsafe_a, verdict, counts_a):
    """A make whose failsafe current is set on its own page, and which starts without current."""
    text = TEXT.replace("webasto_live", "alfen_eve", 1)
    async with yard(text, failsafe_a=failsafe_a) as loop:
        await loop.run(60)
        assert loop.reading("left").failsafe.verdict == verdict
        assert ("its failsafe is unsafe (read 12 A" in loop.health()) == (verdict == "unsafe")
        await loop.host.refuse("left")
        await loop.run(90)
        assert loop.exposure_a("left") == counts_a
        assert "left at 127.0.0.1" in loop.health()
        assert "does not answer (connection refused): check power, cable, address" in loop.health()
