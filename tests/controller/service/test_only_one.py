"""One controller per state folder: a second one is refused in a sentence and touches nothing of the first."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from controller.service.process import only_one, owned_folder
from controller.service.service_file import ServiceConfig
from controller.service.supervisor import Supervisor
from interfaces.errors import UserError
from tests.controller.service.kit import garage_text

NOTHING = [sys.executable, "-c", ""]


def controller(tmp_path, *words: str, **service: str) -> subprocess.CompletedProcess[str]:
    """`controller run` on a site whose devices are all on this machine, where nobody answers."""
    site = garage_text(**{"192.168.1.20": "127.0.0.1", "192.168.1.21": "127.0.0.1", "/dev/ttyUSB0": "/dev/null"})
    (tmp_path / "site.yaml").write_text(site, "utf-8")
    lines = {"state_dir": "state", "realtime": "false", "http": "{port: 0}", **service}
    (tmp_path / "service.yaml").write_text("\n".join(f"{key}: {value}" for key, value in lines.items()), "utf-8")
    command = [sys.executable, "-m", "interfaces.cli", "controller", "run", *words]
    return subprocess.run(
        [*command, str(tmp_path / "site.yaml"), "--service", str(tmp_path / "service.yaml")],
        capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip


def refused_in_a_sentence(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2
    assert done.stdout == ""
    last = done.stderr.splitlines()[-1]
    assert all(word in last for word in words), done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_supervisor_leaves_the_watchdog_of_the_first_alone(tmp_path):
    config = ServiceConfig(state_dir=tmp_path)
    first = Supervisor(config, NOTHING, NOTHING)
    place = (config.run_dir / "notify.sock").stat().st_ino
    with pytest.raises(UserError, match="another supervisor process runs"):
        Supervisor(config, NOTHING, NOTHING)
    assert (config.run_dir / "notify.sock").stat().st_ino == place
    assert first.run() == 0


def test_a_supervisor_that_ended_lets_the_next_one_in(tmp_path):
    config = ServiceConfig(state_dir=tmp_path)
    assert Supervisor(config, NOTHING, NOTHING).run() == 0
    assert Supervisor(config, NOTHING, NOTHING).run() == 0


def test_a_second_gateway_neither_takes_the_stream_nor_the_address_of_the_first(tmp_path):
    run = tmp_path / "state" / "run"
    owned_folder(run)
    lock = only_one(run / "gateway.lock")
    try:
        done = controller(tmp_path, "--only", "gateway")
    finally:
        os.close(lock)
    refused_in_a_sentence(done, "another gateway process runs with")
    assert not (run / "gateway.json").exists()


@pytest.mark.parametrize("only", [(), ("--only", "field"), ("--only", "gateway")])
def test_a_state_folder_that_cannot_be_is_told(tmp_path, only):
    (tmp_path / "state").write_text("a file, no folder")
    refused_in_a_sentence(controller(tmp_path, *only), "state/run", "Not a directory")


def test_a_port_that_is_taken_is_told(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = controller(tmp_path, "--only", "gateway", http=f"{{port: {port}}}")
    refused_in_a_sentence(done, f"127.0.0.1:{port}", "http.port")
