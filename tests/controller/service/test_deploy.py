"""The service units and the example service file say what the program needs."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest
import yaml

from controller.service.gateway import LOOK_EVERY_S
from controller.service.process import RESTART_EXIT
from controller.service.service_file import ServiceConfig, load_service
from controller.service.supervisor import BURST, EXIT_REFUSED, INTERVAL_S, READY_S, WATCHDOG_S
from interfaces.cli import COMMANDS

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
MOST_EXPOSED = 39
"""3.9: what the kernel's real-time scheduling, serial lines and the network leave."""
UNITS = ("stroomwacht-field.service", "stroomwacht-gateway.service")


def unit(name: str) -> dict[str, list[str]]:
    """Options of a unit; an option may be given several times."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in (DEPLOY / name).read_text(encoding="utf-8").splitlines():
        option = re.fullmatch(r"([A-Za-z]+)=(.*)", line)
        if option:
            found[option[1]].append(option[2])
    return found


def test_the_field_process_is_watched_like_the_supervisor_does():
    field = unit(UNITS[0])
    assert field["Type"] == ["notify"]
    assert float(field["WatchdogSec"][0]) == WATCHDOG_S
    assert float(field["StartLimitIntervalSec"][0]) == INTERVAL_S
    assert int(field["StartLimitBurst"][0]) == BURST
    assert field["RestartPreventExitStatus"] == [str(EXIT_REFUSED)]
    assert str(RESTART_EXIT) not in field["RestartPreventExitStatus"]
    assert float(field["TimeoutStartSec"][0]) >= READY_S
    assert field["Restart"] == ["always"]


def test_the_field_process_may_be_punctual():
    field = unit(UNITS[0])
    assert field["CPUSchedulingPolicy"] == ["fifo"]
    assert int(field["LimitRTPRIO"][0]) >= int(field["CPUSchedulingPriority"][0])
    assert field["LimitMEMLOCK"] == ["infinity"]
    assert "ProtectClock" not in field, "it would hide whether the clock is synchronised"
    assert "RestrictRealtime" not in field


@pytest.mark.parametrize(("name", "role"), [(UNITS[0], "field"), (UNITS[1], "gateway")])
def test_units_run_a_command_of_the_table(name, role):
    (command,) = unit(name)["ExecStart"]
    words = command.split()
    assert " ".join(words[1:3]) in {one.name for one in COMMANDS}
    assert words[3:5] == ["--only", role]
    assert unit(name)["User"] == ["stroomwacht"]


def test_the_gateway_is_watched_but_given_time():
    gateway = unit(UNITS[1])
    assert gateway["Type"] == ["notify"]
    assert float(gateway["WatchdogSec"][0]) >= 60 * LOOK_EVERY_S
    assert gateway["Restart"] == ["always"]
    assert gateway["StartLimitIntervalSec"] == ["0"]


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_may_little(name):
    """By systemd's own measure: 0 is nothing, 10 everything; a plain service has 9.6."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    command = [analyze, "security", "--offline=yes", "--no-pager", f"--threshold={MOST_EXPOSED}", str(DEPLOY / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
    if "unrecognized option" in done.stderr:
        pytest.skip("systemd-analyze is older than 250")
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize("name", UNITS)
def test_systemd_understands_the_unit(name, tmp_path):
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    text = (DEPLOY / name).read_text(encoding="utf-8").replace("/opt/stroomwacht/bin/stroomwacht", "/bin/true")
    (tmp_path / name).write_text(text, encoding="utf-8")
    done = subprocess.run([analyze, "verify", str(tmp_path / name)], capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if name in line and "not found" not in line]
    assert not ours, ours


def test_the_example_service_file_is_the_defaults():
    example = DEPLOY / "service-example.yaml"
    assert load_service(example) == ServiceConfig()
    assert set(yaml.safe_load(example.read_text(encoding="utf-8"))) == set(ServiceConfig.__dataclass_fields__)


def test_the_page_names_every_key():
    page = (DEPLOY.parent / "docs" / "operation.md").read_text(encoding="utf-8")
    for name in ServiceConfig.__dataclass_fields__:
        assert f"`{name}" in page or name == "version", name
