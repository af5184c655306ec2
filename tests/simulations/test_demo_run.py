"""The whole demo for some seconds of real time: real processes, real Modbus TCP, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pymodbus.client import ModbusTcpClient

from interfaces.cli import main
from simulations.demo.demo import demo, stop_on_signal
from simulations.demo.screens import nobody
from simulations.demo.stage import Stage, StageError, addresses_here, alive, ports_of
from simulations.demo.story import garage
from tests.tools import children, needed_tool

KEYS = {
    "scans",
    "late_scans",
    "overload_s",
    "self_made_overload_s",
    "energy_kwh",
    "processes",
    "connections",
    "journal",
    "plans_accepted",
    "plans_refused",
    "switches",
    "fallback_s",
    "max_step_w_at_switch",
    "telemetry_sent",
    "telemetry_lost",
}
MANY_S = 240.0
"""A car that does not charge by then never will."""
CLOUD = {"broker", "optimizer"}
FAILSAFE_A = {"place-1": 0.0, "place-2": 6.0}
BENDER_LIMIT, BENDER_UNIT = 1000, 255
ABB_LIMIT, ABB_UNIT = 0x400E, 1


@pytest.fixture(autouse=True)
def _own_folder(monkeypatch):
    """Demos leave their journals to people; those of tests go. The path is short, for the sockets in it."""
    with tempfile.TemporaryDirectory(prefix="sw-", ignore_cleanup_errors=True) as folder:
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield


def replayed(path: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["controller", "replay", path, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_short_demo_gives_its_figures_and_ends_every_process(capsys):
    needed_tool("mosquitto", "mosquitto")
    command = [sys.executable, "-m", "interfaces.cli", "demo", "--site", "a", "--seconds", "25", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1, "one JSON object and nothing else"
    figures = json.loads(done.stdout)
    assert figures.keys() >= KEYS
    assert figures["scans"] > 5
    assert figures["late_scans"] <= figures["scans"]
    assert figures["self_made_overload_s"] == 0.0
    assert figures["energy_kwh"] > 0.0
    assert figures["connections"] == {"m-main": 1, "place-1": 1, "place-2": 1}
    assert figures["processes"].keys() == CLOUD | {"demo", "devices", "supervisor", "field", "gateway"}
    assert alive(list(figures["processes"].values())) == []
    assert all(amps <= FAILSAFE_A[name] for name, amps in figures["left_at_a"].items())
    assert Path(figures["journal"]).is_file()
    outcome = replayed(figures["journal"], capsys)
    assert outcome["mismatches"] == 0
    assert outcome["scans"] >= figures["scans"]
    assert main(["controller", "replay", str(Path(figures["journal"]).parent.parent / "site.yaml")]) == 2


def registers(stage: Stage) -> dict[str, float]:
    """What a stranger reads from the chargers once the controller has hung up: the limit each of them holds, in A."""
    ports = ports_of((stage.folder / "site.yaml").read_text("utf-8"), addresses_here(stage.site))
    found = {}
    for name, addr, unit in (("place-1", ABB_LIMIT, ABB_UNIT), ("place-2", BENDER_LIMIT, BENDER_UNIT)):
        with ModbusTcpClient("127.0.0.1", port=ports[name]) as client:
            words = client.read_holding_registers(addr, count=2, device_id=unit).registers
        found[name] = (words[0] << 16 | words[1]) / 1000.0 if name == "place-1" else float(words[0])
    return found


def test_ctrl_c_ends_the_demo_and_leaves_the_chargers_at_failsafe(monkeypatch, capsys):
    before: dict[str, float] = {}
    left: dict[str, float] = {}
    pids: list[int] = []
    stop_controller = Stage.stop_controller
    earlier = children()

    def looked_at(stage: Stage) -> None:
        pids.extend(process.pid for process in children() - earlier)
        stop_controller(stage)
        if not left:
            left.update(registers(stage))

    @contextmanager
    def impatient():
        def show(view, health, told):
            charging = {a["id"]: a["offered_a"] or 0.0 for a in view["assets"]}
            if charging["place-2"] > FAILSAFE_A["place-2"] or told.elapsed_s > MANY_S:
                before.update(charging)
                os.kill(os.getpid(), signal.SIGINT)

        yield show

    monkeypatch.setattr(Stage, "stop_controller", looked_at)
    with stop_on_signal() as stop:
        figures = demo("a", None, stop, impatient())
    assert stop.is_set()
    assert before["place-2"] > FAILSAFE_A["place-2"], "it charged above its failsafe current when Ctrl-C came"
    assert left == {"place-1": 0.0, "place-2": 6.0}
    assert figures["self_made_overload_s"] == 0.0
    assert len(pids) >= 4
    assert alive(pids) == []
    assert replayed(figures["journal"], capsys)["mismatches"] == 0


def test_a_demo_that_breaks_off_ends_its_processes(monkeypatch):
    def breaks(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(type(garage()), "due", breaks)
    before = children()
    with stop_on_signal() as stop, pytest.raises(ZeroDivisionError):
        demo("a", 5.0, stop, nobody())
    assert children() <= before


def test_a_controller_that_refuses_to_start_is_told_with_its_log(monkeypatch, capfd):
    monkeypatch.setattr("simulations.demo.stage.addresses_here", lambda _: {"10.0.0.1:502": "no address"})
    before = children()
    assert main(["demo", "--seconds", "2", "--json"]) == 1
    told = capfd.readouterr()
    assert told.out == ""
    assert "the controller ended by itself" in told.err
    assert "is not host:port" in told.err
    assert children() <= before
    assert issubclass(StageError, Exception)


@pytest.mark.parametrize(
    "words",
    [
        ["demo", "--site", "c"],
        ["demo", "--seconds", "0"],
        ["demo", "--seconds", "nan"],
        ["demo", "--seconds", "soon"],
        ["demo", "site-a"],
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(words, capsys):
    assert main(words) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
