"""Lone virtual chargers of every shipped profile with a car plugged in, commanded by the real drivers over a socket."""

from __future__ import annotations

import random

import pytest

from interfaces.drivers.connection import Connection
from interfaces.drivers.device import PointSpec
from interfaces.drivers.failsafe import FailsafeWish
from interfaces.drivers.links import Line, Link, RtuOverTcpLink, TcpLink
from interfaces.drivers.outbox import Outbox
from interfaces.drivers.profile_load import profile_ids
from interfaces.drivers.readings import PointReading, Readings
from simulations.devices.alone import STEP_S, LoneDevice, profile_named, start_all
from simulations.plant.ev import Arrival, CarTraits

CHARGERS = [name for name in profile_ids() if profile_named(name).kind == "charger"]
QUICK = CarTraits(react_s=1.0, ramp_a_per_s=99.0)
WISH = FailsafeWish(6.0, 60.0)


class Site:
    """A lone charger with a car at its first point, and a connection to it."""

    def __init__(self, name: str) -> None:
        self.profile = profile_named(name)
        self.lone = LoneDevice(self.profile, [])
        self.outbox, self.readings, self.now_s = Outbox(), Readings(), 1000.0
        plant = self.lone.plant
        car = Arrival(plant.topology.assets[0].id, 0.0, 1e9, 50_000.0, phases=3, max_a=32.0, tag="CAFE", traits=QUICK)
        plant.sessions.arrive(car, plant.now_s, plant.cars)
        self.servers = self.lone.servers(0)

    def link(self) -> Link:
        port = self.servers[0].port
        if self.profile.tcp is not None:
            return TcpLink("127.0.0.1", port, 2.0)
        return RtuOverTcpLink("127.0.0.1", port, Line(baud=115200, max_response_s=0.5, turnaround_s=0.0))

    async def hold(self, connection: Connection, milli: int, seconds: float) -> PointReading:
        """What is known of the first point after so long under a setpoint."""
        for _ in range(int(seconds / STEP_S)):
            self.outbox.put("x", "setpoint", milli, self.now_s + 2)
            while await connection.step() <= 0:
                pass
            self.lone.advance()
            self.now_s += STEP_S
        return self.readings.points["x"]


@pytest.mark.parametrize("name", CHARGERS)
async def test_a_charger_follows_its_setpoint_and_a_pause_and_its_read_back_agrees(name: str) -> None:
    site, profile = Site(name), profile_named(name)
    await start_all(site.servers)
    spec = PointSpec(
        key="x", profile=profile, unit=profile.points.units[0], station_unit=profile.points.station_unit, failsafe=WISH
    )
    connection = Connection(
        site.link(),
        [spec],
        outbox=site.outbox,
        readings=site.readings,
        clock=lambda: site.now_s,
        jitter=random.Random(1),
    )
    try:
        reading = await site.hold(connection, 10_000, 25)
        assert reading.problem == ""
        assert reading.suspect == ()
        assert reading.setpoint.problem == ""
        assert reading.setpoint.readback_milli == pytest.approx(10_000, abs=200)
        assert site.lone.plant.cars.amps[0] == pytest.approx(10.0, abs=0.2)
        assert reading.state is not None
        assert (reading.state.pilot, reading.state.status) == ("C2", "charging")
        if "current_l1_a" in profile.roles and not profile.behaviour.direct_current:
            seen_a = reading.value("current_l1_a")
            assert seen_a == pytest.approx(10.0, abs=1.2)  # taken from the power at 253 V where it is not measured
        verified = None not in (profile.failsafe.current_write, profile.failsafe.timeout_write)
        assert (reading.failsafe.verdict == "verified") >= verified
        reading = await site.hold(connection, 0, 25)
        assert site.lone.plant.cars.amps[0] == 0.0
        assert reading.setpoint.readback_milli == 0
        assert reading.setpoint.problem == ""
        assert reading.state is not None
        assert reading.state.status == "occupied"
    finally:
        await connection.aclose()
        for server in site.servers:
            await server.stop()
