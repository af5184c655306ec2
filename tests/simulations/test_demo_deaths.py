"""What becomes of a demo when one of its processes is killed: it says so, and nothing of it is left behind."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager

import psutil
import pytest

from simulations.demo.demo import demo, stop_on_signal
from simulations.demo.stage import StageError
from simulations.devices.virtual_site import VirtualSite, VirtualSiteError
from tests.controller.service.kit import garage_text
from tests.tools import children, needed_tool

MANY_S = 180.0
"""Far more than it takes; a test that waits so long has failed."""


def role_of(process: psutil.Process) -> str:
    words = " ".join(process.cmdline())
    for role, sign in (
        ("devices", "devices.serve"),
        ("field", "--only field"),
        ("gateway", "--only gateway"),
        ("broker", "mosquitto"),
        ("optimizer", "optimizer run"),
    ):
        if sign in words:
            return role
    return "supervisor"


@contextmanager
def killing(role: str, before: set[psutil.Process]):
    """A show that kills a process of the demo once it sees scans."""
    killed: list[int] = []

    def show(view, health, told):
        assert told.elapsed_s < MANY_S
        for process in () if killed else children() - before:
            if role_of(process) == role:
                killed.append(process.pid)
                process.kill()

    yield show


@pytest.mark.parametrize(("role", "said"), [("supervisor", "controller ended"), ("devices", "process has ended")])
def test_a_demo_that_lost_a_process_says_so_and_ends(role, said):
    before = children()
    with stop_on_signal() as stop, pytest.raises((StageError, VirtualSiteError), match=said):
        demo("a", None, stop, killing(role, before))
    assert children() <= before


def test_nothing_outlives_a_demo_that_was_killed():
    command = [sys.executable, "-m", "interfaces.cli", "demo"]
    needed_tool("mosquitto", "mosquitto")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert any("scan" in line for line in run.stdout)
        family = psutil.Process(run.pid).children(recursive=True)
        assert {role_of(process) for process in family} == {
            "devices",
            "supervisor",
            "field",
            "gateway",
            "broker",
            "optimizer",
        }
        run.kill()
        left = psutil.wait_procs(family, timeout=MANY_S)[1]
    for process in left:
        process.kill()
    assert left == []


def test_a_site_whose_process_was_killed_is_closed_in_peace():
    site = VirtualSite(garage_text(), seed=1)
    site._process.kill()
    site._process.wait()
    with pytest.raises(VirtualSiteError, match="has ended"):
        site.report()
    site.close()
