"""A site whose grid meter speaks through its P1 port: virtual meter, stream, driver, image, and the loop closed."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from controller.core.state import initial
from controller.service.apply import sinks_of
from controller.service.field import Field
from controller.service.gather import Gather, Inputs, sources_of
from controller.service.inbox import Inbox
from controller.service.loop import Plumbing, ScanLoop
from controller.service.messages import Hello
from controller.service.out_stream import OutStream
from controller.service.process import owned_folder, wires_here
from controller.service.record import Recorder
from controller.service.service_file import ServiceConfig
from controller.service.site_setup import SiteSetup, setup_of_site
from interfaces.domain.image import Image
from interfaces.domain.site_types import P1Tcp
from interfaces.domain.units import MISSING
from interfaces.drivers.connection import Connection
from interfaces.drivers.connections import connection_of
from interfaces.drivers.links import P1TcpLink
from interfaces.drivers.outbox import Outbox
from interfaces.drivers.p1_connection import P1Connection
from interfaces.drivers.p1_telegram import Reason
from interfaces.drivers.readings import Readings
from interfaces.drivers.wiring import wires_of
from simulations.demo.stage import addresses_here, ports_of
from simulations.devices.control import obey
from simulations.devices.host import SiteHost
from simulations.devices.virtual_site import VirtualSite
from simulations.plant.ev import Arrival
from simulations.plant.site import Environment
from tests.controller.service.kit import EPOCH_S, Listening
from tests.simulations.devices.sites import checked

STEP_S = 0.1
PATIENCE_S = 120.0
TEXT = """
version: 1
site: {id: home, time_zone: Europe/Amsterdam}
circuits:
  - {id: gcp, rated_a: [35, 35, 35], meter: grid, background_max_a: [16, 16, 16], protection: {kind: gG, rated_a: 35}}
meters:
  - {id: grid, profile: dsmr_p1, p1: {serial: /dev/ttyUSB0}}
chargers:
  - id: box
    profile: webasto_live
    modbus: {host: 10.0.0.2}
    circuit: gcp
    evses: [{id: box, max_current_a: [16, 16, 16], phases: [L1, L2, L3]}]
    failsafe: {current_a: 6, timeout_s: 60}
"""


class House:
    """The served site, its connections and a scan, all on the plant's clock."""

    def __init__(self, host: SiteHost) -> None:
        self.host, self.readings, self.outbox = host, Readings(), Outbox()
        self.setup: SiteSetup = setup_of_site("", host.site_here)
        self.wires = wires_of(self.setup.site)
        found = [
            connection_of(
                wire, outbox=self.outbox, readings=self.readings, clock=lambda: host.plant.now_s,
                jitter=random.Random(1),
            )
            for wire in self.wires
        ]  # fmt: skip
        self.polled = [one for one in found if isinstance(one, Connection)]
        (self.p1,) = (one for one in found if isinstance(one, P1Connection))
        topology = self.setup.params.topology
        self.gather = Gather(topology, sources_of(topology, self.wires))
        self.loop = ScanLoop(
            self.setup,
            initial(self.setup.params, host.plant.now_s),
            Plumbing(
                readings=self.readings,
                outbox=self.outbox,
                gather=Gather(topology, sources_of(topology, self.wires)),
                sinks=sinks_of(topology, self.wires),
                inbox=Inbox(self.setup.site.id),
                recorder=Recorder(OutStream(b"")),
                notifier=Listening(),
                clock=lambda: host.plant.now_s,
                epoch=lambda: EPOCH_S + host.plant.now_s,
                synchronised=lambda: True,
                verdict=lambda _: None,
                after_scan=lambda *_: None,
            ),
        )

    @property
    def feed(self):
        feed = self.host.parts["grid"].feed
        assert feed is not None
        return feed

    def image(self) -> Image:
        return self.gather.image(self.readings.points, Inputs())

    async def heard(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while self.p1.counters.requests < count:  # noqa: ASYNC110
                await asyncio.sleep(0.001)

    async def run(self, seconds: float, *, scanning: bool = False) -> None:
        """Let time pass; every telegram that was sent is heard before the next step."""
        for _ in range(round(seconds / STEP_S)):
            before, sent = self.p1.counters.requests, self.feed.sent
            self.host.advance(STEP_S)
            await self.heard(before + self.feed.sent - sent)
            if scanning:
                for connection in self.polled:
                    while await connection.step() <= 0:
                        pass
                if self.host.plant.now_s >= self.loop.pacer.due_s:
                    self.loop.cycle()


@asynccontextmanager
async def house(profile: str = "dsmr_p1", arrivals: tuple[Arrival, ...] = ()) -> AsyncIterator[House]:
    site = checked(TEXT.replace("dsmr_p1", profile))
    environment = Environment(start_day_s=12 * 3600.0, start_epoch_s=EPOCH_S)
    async with SiteHost(site, seed=3, environment=environment, arrivals=arrivals, real_time=False) as host:
        found = House(host)
        task = asyncio.create_task(found.p1.run())
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not found.p1.connected or not found.feed._writers:  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
            yield found
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            for connection in found.polled:
                await connection.aclose()


@pytest.mark.parametrize(
    ("profile", "period_s", "share", "within_a"),
    [
        ("dsmr_p1", 1.0, 0.001, 0.02),  # 1 W and 0.1 V
        ("fluvius_p1", 1.0, 0.001, 0.02),  # 0.01 A
        ("dsmr4_p1", 10.0, 0.05, 0.02),  # no voltage: 230 V stands for what the grid has
    ],
)
async def test_the_current_of_the_plant_arrives_within_the_resolution_of_a_telegram(profile, period_s, share, within_a):
    async with house(profile) as site:
        site.host.plant.meters.noise_a[:] = 0.0  # what is told later is then what was told in the telegram
        for amps in ([12.3, 0.4, 7.9], [-15.2, -3.3, 4.1], [0.0, 0.0, 0.0]):
            assert (await obey(site.host, {"do": "background", "circuit": "gcp", "amps": amps}))["ok"]
            await site.run(2 * period_s + 0.5)
            image, shown = site.image(), site.host._counters.moment()
            assert image.meter_sample_no[0] > 0
            for got_ma, true_a in zip(image.meter_ma[0].tolist(), shown.meter_a[0], strict=True):
                assert got_ma / 1000 == pytest.approx(true_a, abs=within_a + share * abs(true_a))
            watts = sum(a * v for a, v in zip(shown.meter_a[0], shown.meter_v[0], strict=True))
            assert image.meter_mw[0] / 1000 == pytest.approx(watts, abs=4.0)
            assert site.host.plant.now_s - image.meter_sample_s[0] <= period_s + STEP_S
        reading = site.readings.points["grid"]
        assert (reading.value("demand_quarter_w") is not None) == (profile == "fluvius_p1")
        image, moment_s = site.image(), EPOCH_S + site.host.plant.now_s
        if profile == "fluvius_p1":
            assert image.quarter_mw / 1000 == reading.value("demand_quarter_w")
            assert image.quarter_left_ms / 1000 == pytest.approx(900 - moment_s % 900, abs=period_s + 1.0)
            assert image.month_peak_mw == 0, "no quarter has ended"
        else:
            assert (image.quarter_mw, image.quarter_left_ms, image.month_peak_mw) == (MISSING,) * 3
        assert site.feed.received_bytes == 0


@pytest.mark.parametrize(("profile", "margin_a"), [("dsmr_p1", 0.0), ("dsmr4_p1", 4.5)])
async def test_a_car_charges_beside_a_p1_meter_and_gives_way(profile, margin_a):
    car = Arrival("box", 1.0, 1e6, 50_000.0)
    async with house(profile, (car,)) as site:
        plant = site.host.plant
        await site.run(150, scanning=True)
        assert plant.draw_a[0].min() > 10.0
        await obey(site.host, {"do": "background", "circuit": "gcp", "amps": [26.0, 5.0, 5.0]})
        await site.run(60, scanning=True)
        limit_a = 35.0 - margin_a
        assert plant.row_a[0].max() <= limit_a
        over = plant.judge.result()
        assert over.self_made_overload_s == 0.0
        assert over.longest_s <= 14.0 + (10.0 if profile == "dsmr4_p1" else 0.0)
        assert not site.loop.state.background.lost.any(), "10 s telegrams are charged for, not stale"


async def test_the_field_process_reads_the_plant_through_the_port(tmp_path):
    site = checked(TEXT)
    environment = Environment(start_day_s=12 * 3600.0, start_epoch_s=EPOCH_S)
    async with SiteHost(site, seed=3, environment=environment) as host:
        host.plant.meters.noise_a[:] = 0.0
        addresses = {
            place if not port else f"{place}:{port}": f"127.0.0.1:{here}"
            for (place, port, _), (_, here, _) in host.addresses.items()
        }
        config = ServiceConfig(state_dir=tmp_path, realtime=False, addresses=addresses)
        owned_folder(config.run_dir)
        owned_folder(config.retain_dir)
        field = Field(config, setup_of_site(TEXT, site), Hello(1, "start", "0.1.0", 1e9, 0, "", ()))
        task = asyncio.create_task(field.run())
        try:
            assert (await obey(host, {"do": "background", "circuit": "gcp", "amps": [9.3, -4.4, 0.0]}))["ok"]
            async with asyncio.timeout(PATIENCE_S):
                while field.loop.last is None or field.loop.last[0].meter_sample_no[0] < 3:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            shown = host._counters.moment().meter_a[0]
        finally:
            field.loop.stopping = True
            await asyncio.wait_for(task, PATIENCE_S)
    assert field.loop.last[0].meter_ma[0].tolist() == pytest.approx([1000 * a for a in shown], abs=20)


async def test_a_frozen_a_mute_and_an_absent_meter_age():
    async with house() as site:
        await site.run(3)
        last_s = site.image().meter_sample_s[0]
        assert last_s > 1.5
        await obey(site.host, {"do": "fault", "device": "grid", "kind": "frozen"})
        await site.run(3)
        assert site.image().meter_sample_s[0] == last_s
        assert site.readings.points["grid"].problem == Reason.REPEATED
        await obey(site.host, {"do": "fault", "device": "grid", "kind": "clear"})
        await site.run(2)
        assert site.image().meter_sample_s[0] > last_s + 3
        last_s = site.image().meter_sample_s[0]
        await obey(site.host, {"do": "fault", "device": "grid", "kind": "silent"})
        await site.run(3)
        assert site.image().meter_sample_s[0] == last_s
        await obey(site.host, {"do": "fault", "device": "grid", "kind": "refuse"})
        async with asyncio.timeout(PATIENCE_S):
            while site.readings.points["grid"].connected:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        await obey(site.host, {"do": "fault", "device": "grid", "kind": "clear"})
        async with asyncio.timeout(PATIENCE_S):
            while not site.feed._writers:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        await site.run(2)
        assert site.readings.points["grid"].connected
        assert site.image().meter_sample_s[0] > last_s


async def test_a_broken_meter_is_mute():
    async with house() as site:
        await site.run(2)
        sent = site.feed.sent
        assert (await obey(site.host, {"do": "meter", "circuit": "gcp", "broken": True}))["ok"]
        site.host.show_step()
        await site.run(3)
        assert site.feed.sent == sent


async def test_addresses_of_a_served_p1_port():
    site = checked(TEXT)
    async with SiteHost(site, seed=1, real_time=False) as host:
        feed = host.parts["grid"].feed
        assert feed is not None
        assert host.addresses["/dev/ttyUSB0", 0, 0] == ("127.0.0.1", feed.port, 0)
        assert host.site_here.meters[0].address == P1Tcp("127.0.0.1", feed.port)
        moved = wires_here(site, {"/dev/ttyUSB0": f"127.0.0.1:{feed.port}"})
        assert moved[0].link == P1TcpLink("127.0.0.1", feed.port)


def test_the_demo_finds_the_port_of_a_p1_meter():
    with VirtualSite(TEXT, seed=2) as site:
        assert site.site.meters[0].address == P1Tcp("127.0.0.1", site.addresses["/dev/ttyUSB0", 0, 0][1])
        assert ports_of(TEXT, addresses_here(site))["grid"] == site.addresses["/dev/ttyUSB0", 0, 0][1]
