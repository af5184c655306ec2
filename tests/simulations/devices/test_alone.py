"""`stroomwacht device simulate`: one device alone, values of the user's choice, mistakes in one sentence."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
import sys

import pytest
from pymodbus.client import AsyncModbusTcpClient

from interfaces.cli import main
from interfaces.drivers.clock import monotonic_s
from interfaces.drivers.device import PointSpec
from interfaces.drivers.links import P1TcpLink
from interfaces.drivers.p1_connection import P1Connection
from interfaces.drivers.p1_reading import find_p1
from interfaces.drivers.profile_load import profile_ids
from interfaces.drivers.readings import Readings
from simulations.devices.alone import LoneDevice, address_line, profile_named, start_all
from simulations.devices.alone_p1 import LoneMeter


@pytest.mark.parametrize("name", profile_ids())
def test_every_profile_runs_alone(name: str) -> None:
    device = LoneDevice(profile_named(name), [])
    for _ in range(30):
        device.advance()
    roles = [e for e in device.points[0].profile.roles.values() if isinstance(e, str)]
    assert sum(device.value(register) is not None for register in roles) >= len(roles) // 2


async def test_set_registers_hold_against_the_device() -> None:
    device = LoneDevice(profile_named("eastron_sdm630"), ["current_l1=41.5", "frequency=49.9"])
    for _ in range(5):
        device.advance()
    assert device.value("current_l1") == pytest.approx(41.5)
    assert device.value("frequency") == pytest.approx(49.9, abs=0.001)
    servers = device.servers(0)
    await start_all(servers)
    client = AsyncModbusTcpClient("127.0.0.1", port=servers[0].port, timeout=30, retries=0)
    assert await client.connect()
    reply = await client.read_input_registers(6, count=2, device_id=1)
    assert reply.registers == [0x4226, 0]
    client.close()
    task = asyncio.create_task(device.serve(servers))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert "127.0.0.1" in address_line(profile_named("eastron_sdm630"), servers)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--profile", "toaster", "--port", "0"], "no device profile 'toaster'"),
        (["--profile", "alfen_eve", "--port", "70000"], "0 to 65535"),
        (["--profile", "alfen_eve", "--port", "many"], "invalid int"),
        (["--port", "0"], "--profile"),
        (["--profile", "alfen_eve", "--port", "0", "--set", "max_current"], "NAME=VALUE"),
        (["--profile", "alfen_eve", "--port", "0", "--set", "colour=3"], "no register 'colour'"),
        (["--profile", "alfen_eve", "--port", "0", "--set", "max_current=lots"], "takes a number"),
        (["--profile", "webasto_live", "--port", "0", "--set", "hems_current_limit=99999"], "does not fit"),
        (["--profile", "dsmr_p1", "--port", "0", "--set", "current_l1=3"], "dsmr_p1 has none"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["device", "simulate", *words]) == 2
    shown = capsys.readouterr()
    assert says in shown.err
    assert shown.err.count("\n") == 1
    assert shown.out == ""


def test_it_says_where_it_listens_and_ends_with_ctrl_c() -> None:
    command = [sys.executable, "-m", "interfaces.cli", "device", "simulate", "--profile", "webasto_live", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert line.startswith("webasto_live answers Modbus TCP at 127.0.0.1:")
    assert (out, err) == ("", "")
    assert process.returncode == 130


@pytest.mark.parametrize("name", ["dsmr_p1", "dsmr4_p1", "fluvius_p1"])
async def test_a_meter_with_a_p1_port_alone_is_read_by_the_drivers(name: str) -> None:
    meter = LoneMeter(name, [], port=0, start_epoch_s=1_780_000_000.0)
    await meter.start()
    readings, link = Readings(), P1TcpLink("127.0.0.1", meter.feed.port)
    profile = find_p1(name)
    assert profile is not None
    connection = P1Connection(
        link, PointSpec(key="m", profile=profile, unit=0), readings=readings, clock=monotonic_s, jitter=random.Random(1)
    )
    task = asyncio.create_task(connection.run())
    try:
        async with asyncio.timeout(20):
            while readings.points["m"].sample_no < 1:
                for _ in range(10):
                    meter.advance()
                await asyncio.sleep(0.01)
        assert readings.points["m"].value("current_l3_a") == pytest.approx(12.0, abs=1.5)
        assert f"at 127.0.0.1:{meter.feed.port}" in meter.address_line
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await meter.feed.stop()


def test_a_p1_meter_is_served_and_read_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-m", "interfaces.cli", "device", "simulate", "--profile", "dsmr_p1", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("dsmr_p1 sends P1 telegrams at 127.0.0.1:")
        port = line.strip().rpartition(":")[2]
        code = main(["device", "read", "--profile", "dsmr_p1", "--host", "127.0.0.1", "--port", port, "--json"])
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
    assert code == 0
    found = json.loads(capsys.readouterr().out)
    assert found["quality"] == "good"
    assert found["values"]["current_l1_a"]["value"] == pytest.approx(10.0, abs=1.5)
