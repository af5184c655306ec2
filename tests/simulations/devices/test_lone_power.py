"""Lone virtual batteries, inverters and I/O modules of every shipped profile, commanded by the real drivers."""

from __future__ import annotations

import random

import pytest

from interfaces.drivers.connection import Connection
from interfaces.drivers.device import PointSpec
from interfaces.drivers.failsafe import FailsafeWish
from interfaces.drivers.links import TcpLink
from interfaces.drivers.outbox import Outbox
from interfaces.drivers.profile_load import find_profile, profile_ids
from interfaces.drivers.readings import PointReading, Readings
from simulations.devices.alone import STEP_S, LoneDevice, profile_named, start_all

OTHERS = [name for name in profile_ids() if (profile := find_profile(name)) and profile.kind != "charger"]
COMMANDED = [name for name in OTHERS if profile_named(name).power_setpoint is not None]


class Now:
    """The device's clock."""

    s = 1000.0

    def __call__(self) -> float:
        return self.s


async def settled(name: str, watts: int) -> PointReading:
    """What is known of the device after 12 s under a setpoint."""
    lone, now, outbox, readings = LoneDevice(profile_named(name), []), Now(), Outbox(), Readings()
    servers = lone.servers(0)
    await start_all(servers)
    profile = profile_named(name)
    spec = PointSpec(
        key="x", profile=profile, unit=profile.points.units[0], station_unit=profile.points.station_unit,
        failsafe=FailsafeWish(0, 60),
    )  # fmt: skip
    link = TcpLink("127.0.0.1", servers[0].port, 2.0)
    connection = Connection(link, [spec], outbox=outbox, readings=readings, clock=now, jitter=random.Random(1))
    try:
        for _ in range(48):
            outbox.put("x", "setpoint", watts * 1000, now.s + 2)
            while await connection.step() <= 0:
                pass
            lone.advance()
            now.s += 0.25
    finally:
        await connection.aclose()
        for server in servers:
            await server.stop()
    return readings.points["x"]


@pytest.mark.parametrize("name", COMMANDED)
async def test_a_commanded_device_follows_and_its_read_back_agrees(name):
    kind = profile_named(name).kind
    for watts in (-3000,) if kind == "inverter" else (3000, -3000, 0):
        reading = await settled(name, watts)
        assert reading.problem == ""
        assert reading.setpoint.problem == ""
        step_w = 300 if kind == "inverter" else 3
        assert reading.setpoint.readback_milli == pytest.approx(watts * 1000, abs=step_w * 1000)
        assert reading.value("power_w") == pytest.approx(watts, abs=350)


@pytest.mark.parametrize("name", OTHERS)
def test_every_profile_can_be_served_alone(name):
    lone = LoneDevice(profile_named(name), [])
    for _ in range(3):
        lone.advance()
    assert lone.plant.now_s == pytest.approx(3 * STEP_S)
    assert lone.servers(0)
