"""What the kernel grants and refuses: the process runs either way, and knows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from controller.service.notify import Notifier
from controller.service.realtime import clock_synchronised

CHILD = """
import json, os, resource, sys, threading
from controller.service.realtime import go_realtime, settle_garbage, limit_memory
if sys.argv[1] == "refused":
    resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
refused = go_realtime()
policy = os.sched_getscheduler(0)
found = []
thread = threading.Thread(target=lambda: found.append(os.sched_getscheduler(0)))
thread.start()
thread.join()
settle_garbage()
print(json.dumps({"refused": refused, "fifo": bool(policy & 0xff == os.SCHED_FIFO), "thread": found[0]}))
"""


def asked(how: str) -> dict:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, how], capture_output=True, text=True, check=True, cwd=Path.cwd(), timeout=180
    )
    found: dict = json.loads(done.stdout)
    return found


def test_row_68_what_is_refused_is_told_and_the_process_runs():
    found = asked("refused")
    assert [text.split(" refused")[0] for text in found["refused"]] == ["SCHED_FIFO", "mlockall"]
    assert not found["fifo"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root is granted SCHED_FIFO without configuration")
def test_row_68_what_is_granted_is_for_the_scan_alone():
    found = asked("granted")
    if any("SCHED_FIFO" in text for text in found["refused"]):
        pytest.skip(f"this machine refuses even root: {found['refused']}")
    assert found["fifo"]
    assert found["thread"] == os.SCHED_OTHER, "threads must not hold up the machine"


def test_the_kernel_says_whether_a_time_server_steers_the_clock():
    assert clock_synchronised() in (True, False)


def test_the_service_manager_is_told_at_most_twice_a_second(tmp_path):
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        notifier.ready("site x")
        for step in range(20):
            notifier.alive(100.0 + step * 0.2)
        notifier.stopping()
        told = []
        while True:
            try:
                told.append(manager.recv(100))
            except BlockingIOError:
                break
        notifier.close()
    assert told[0] == b"READY=1\nSTATUS=site x"
    assert told[-1] == b"STOPPING=1"
    assert 6 <= told.count(b"WATCHDOG=1") <= 9


def test_without_a_service_manager_nothing_is_told():
    notifier = Notifier({})
    notifier.ready("x")
    notifier.alive(1.0)
    notifier.close()


def test_a_service_manager_that_is_gone_is_no_error(tmp_path):
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    notifier.ready("x")
    notifier.alive(1.0)
    notifier.close()
