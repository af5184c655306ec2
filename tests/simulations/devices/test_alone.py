"""`stroomwacht device simulate`: one device alone, values of the user's choice, mistakes in one sentence."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys

import pytest
from pymodbus.client import AsyncModbusTcpClient

from interfaces.cli import main
from interfaces.drivers.profile_load import profile_ids
from simulations.devices.alone import LoneDevice, address_line, profile_named, start_all


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
    client = AsyncModbusTcpClient("127.0.0.1", port=servers[0].port, timeout=0.5, retries=0)
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
        out, err = process.communicate(timeout=20)
    assert line.startswith("webasto_live answers Modbus TCP at 127.0.0.1:")
    assert (out, err) == ("", "")
    assert process.returncode == 130
