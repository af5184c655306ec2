"""The whole service as on site: supervisor, field and gateway against virtual devices over real Modbus."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from controller.service.replay import files_of, replay
from interfaces.cli import main
from simulations.demo.stage import Stage
from tests.controller.service.kit import garage_text

pytestmark = pytest.mark.xdist_group("processes")

PATIENCE_S = 180.0
"""Until a condition that must come is given up; how long it takes decides nothing."""
MARGIN = "margin_a: [10, 10, 10]"


def wait_for(what: Callable[[], Any], why: str) -> Any:
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        found = what()
        if found:
            return found
        threading.Event().wait(0.1)
    raise AssertionError(why)


def scans(stage: Stage) -> int:
    return int(stage.health().get("scans") or 0)


def told(stage: Stage) -> str:
    return " | ".join(problem["text"] for problem in stage.health().get("problems", []))


def limit_a(stage: Stage) -> list[float]:
    circuits = stage.view().get("circuits") or [{"limit_a": []}]
    return list(circuits[0]["limit_a"])


def test_a_site_runs_changes_online_survives_its_gateway_and_replays(capsys):
    with Stage(garage_text(), seed=3) as stage:
        stage.site.tell("plug_in", asset="place-2")
        wait_for(lambda: scans(stage) > 5, "scans")
        before = stage.processes()
        wait_for(lambda: stage.site.report()["assets"]["place-2"]["setpoint_a"] >= 6, "the car is offered current")
        _metrics(stage)
        _doctor(stage, capsys)
        _parameters_online(stage, before)
        _gateway_dies(stage, before)
        _other_topology(stage, before)
        stage.stop_controller()
        left = stage.site.report()["assets"]["place-2"]["setpoint_a"]
        assert left <= 6.0, "at most its failsafe"
        outcome = replay(files_of(stage.folder / "journal"))
        assert outcome.mismatches == 0
        assert outcome.scans > 30
        assert outcome.gaps <= 2


def _metrics(stage: Stage) -> None:
    where = json.loads((stage.folder / "run" / "gateway.json").read_text())
    with urllib.request.urlopen(f"http://127.0.0.1:{where['port']}/metrics", timeout=60) as answer:
        assert 'stroomwacht_circuit_limit_amperes{circuit="gcp",phase="L1"} 50.0' in answer.read().decode()


def _doctor(stage: Stage, capsys) -> None:
    assert main(["controller", "doctor", "--service", str(stage.folder / "service.yaml"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True


def _parameters_online(stage: Stage, before: dict[str, int]) -> None:
    file = stage.folder / "site.yaml"
    text = file.read_text()
    file.write_text(text.replace(MARGIN, "margin_a: [12, 12, 12]"))
    wait_for(lambda: limit_a(stage) == [48.0] * 3, "the new margin")
    file.write_text(text.replace(MARGIN, "margin_a: [12, 12]"))
    wait_for(lambda: "the changed site file is refused, the old one runs: line" in told(stage), "the refusal")
    assert limit_a(stage) == [48.0] * 3
    file.write_text(text)
    wait_for(lambda: limit_a(stage) == [50.0] * 3 and "refused" not in told(stage), "the old margin again")
    assert stage.processes()["field"] == before["field"]


def _gateway_dies(stage: Stage, before: dict[str, int]) -> None:
    """The field process scans on, and tells the next gateway from a whole state onwards."""
    count = scans(stage)
    os.kill(before["gateway"], signal.SIGKILL)
    gateway = wait_for(
        lambda: stage.processes().get("gateway", before["gateway"]) != before["gateway"], "a new gateway"
    )
    assert gateway
    wait_for(lambda: scans(stage) > count + 10, "scans after it")
    assert stage.processes()["field"] == before["field"]
    assert stage.health()["scan_errors"] == 0


def _other_topology(stage: Stage, before: dict[str, int]) -> None:
    """Another installation: through failsafe into a new process, which keeps what it offered in mind."""
    file = stage.folder / "site.yaml"
    file.write_text(file.read_text().replace("max_current_a: [16, 16, 16] # per", "max_current_a: [15, 15, 15] # per"))
    wait_for(lambda: stage.processes().get("field", before["field"]) != before["field"], "a new field process")
    wait_for(lambda: scans(stage) > 5, "its scans")
    assert "started again" not in told(stage), "on purpose is no fault"
    assert (stage.folder / "retain" / "retain.a").exists()


def test_row_70_a_stopped_field_process_is_silent_and_replaced(figure):
    """SIGSTOP: nothing of the process runs. The supervisor's watchdog ends it; a new one takes over."""
    with Stage(garage_text(), seed=4) as stage:
        stage.site.tell("plug_in", asset="place-2")
        wait_for(lambda: stage.site.report()["assets"]["place-2"]["setpoint_a"] >= 6, "the car is offered current")
        pid = stage.processes()["field"]
        os.kill(pid, signal.SIGSTOP)
        threading.Event().wait(0.3)
        since_s = time.monotonic()
        wait_for(lambda: not Path(f"/proc/{pid}/cmdline").exists(), "the end of the stopped process")
        ended_s = time.monotonic()
        writes = stage.site.tell("writes", since_s=since_s)["writes"]
        assert not [one for one in writes if one[0] < ended_s], "a stopped controller writes nothing"
        wait_for(lambda: stage.processes().get("field", pid) not in (None, pid), "a new field process")
        wait_for(lambda: "started again 1 times: field ended with signal SIGKILL" in told(stage), "the alarm")
        wait_for(lambda: scans(stage) > 10, "its scans")
        figure("alarm", told(stage))
        assert stage.site.report()["self_made_overload_s"] == 0.0


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "interfaces.cli", "controller", "run", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=False, cwd=Path.cwd())


def test_a_refused_site_is_told_line_by_line_with_exit_code_2(tmp_path):
    site = tmp_path / "site.yaml"
    site.write_text(garage_text(**{MARGIN: "margin_a: [10]"}))
    service = tmp_path / "service.yaml"
    service.write_text("state_dir: .\n")
    done = run(str(site), "--service", str(service))
    assert done.returncode == 2
    assert done.stdout == ""
    assert "site.yaml is refused: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("none.yaml",), "none.yaml cannot be read"),
        (("--service", "none.yaml"), "none.yaml cannot be read"),
        (("--only", "both"), "invalid choice"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_sentence(words, sentence, capsys):
    assert main(["controller", "run", *words]) == 2
    told_ = capsys.readouterr()
    assert sentence in told_.err
    assert len(told_.err.splitlines()) == 1
