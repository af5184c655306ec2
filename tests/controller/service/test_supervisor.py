"""Real processes under the supervisor: watchdog, start limit, restarts, and what is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from controller.service.process import RESTART_EXIT, begin_life, end_life, only_one
from controller.service.service_file import ServiceConfig
from controller.service.supervisor import BURST, INTERVAL_S, StartLimit, Supervisor
from interfaces.errors import UserError

pytestmark = pytest.mark.xdist_group("supervisor")

PING = """
    import os, socket, sys, time
    from pathlib import Path
    def ping(text=b"WATCHDOG=1"):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        s.sendto(text, os.environ["NOTIFY_SOCKET"])
        s.close()
    starts = Path(sys.argv[1])
    with starts.open("a") as file:
        file.write(os.environ["STROOMWACHT_LAST_EXIT"] + "\\n")
    count = len(starts.read_text().splitlines())
"""
IDLE = "import time; time.sleep(600)"


def program(body: str, starts: Path) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(PING) + textwrap.dedent(body), str(starts)]


def supervise(tmp_path: Path, field: str, gateway: str = IDLE, **limits: float) -> tuple[int, list[str], list[str]]:
    """Exit code, and what each start of the field and the gateway was told."""
    field_starts, gateway_starts = tmp_path / "field", tmp_path / "gateway"
    supervisor = Supervisor(
        ServiceConfig(state_dir=tmp_path), program(field, field_starts), program(gateway, gateway_starts)
    )
    code = supervisor.run()
    assert supervisor.field.process is None or supervisor.field.process.poll() is not None
    assert supervisor.gateway.process is None or supervisor.gateway.process.poll() is not None
    read = [path.read_text().splitlines() if path.exists() else [] for path in (field_starts, gateway_starts)]
    return code, read[0], read[1]


def test_row_71_a_crash_loop_ends_in_the_chargers_own_failsafe(tmp_path, caplog, figure):
    code, starts, _ = supervise(tmp_path, "sys.exit(3)")
    assert code == 1
    assert len(starts) == BURST
    assert starts[1] == "field ended with exit code 3"
    assert "chargers are at their own failsafe now" in caplog.text
    figure("starts before it is left alone", len(starts))


def test_row_71_failures_far_apart_are_forgiven():
    limit = StartLimit()
    assert all(limit.allows(k * (INTERVAL_S / (BURST - 2))) for k in range(100))
    assert [limit.allows(1e6 + k) for k in range(BURST)] == [True] * (BURST - 1) + [False]


def test_row_70_a_field_process_that_does_not_ping_is_killed_and_started_again(tmp_path, monkeypatch):
    monkeypatch.setattr("controller.service.supervisor.WATCHDOG_S", 0.3)
    hang = """
        ping(b"READY=1")
        if count == 1:
            os.kill(os.getpid(), 19)  # SIGSTOP: nothing of it runs any more
        sys.exit(0)
    """
    code, starts, _ = supervise(tmp_path, hang)
    assert code == 0
    assert starts == ["", "field ended with signal SIGKILL"]


def test_row_70_one_that_pings_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("controller.service.supervisor.WATCHDOG_S", 1.0)
    code, starts, _ = supervise(tmp_path, "for _ in range(30): ping(); time.sleep(0.05)")
    assert (code, len(starts)) == (0, 1)


def test_row_70_one_that_never_becomes_ready_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr("controller.service.supervisor.READY_S", 0.3)
    code, starts, _ = supervise(tmp_path, "time.sleep(600 if count == 1 else 0); sys.exit(0)")
    assert (code, len(starts)) == (0, 2)


def test_a_restart_on_purpose_is_no_failure(tmp_path):
    code, starts, _ = supervise(tmp_path, f"sys.exit({RESTART_EXIT} if count < {2 * BURST} else 0)")
    assert (code, len(starts)) == (0, 2 * BURST)


def test_a_refused_site_ends_everything_with_its_code(tmp_path):
    assert supervise(tmp_path, "sys.exit(2)")[0] == 2


def test_a_gateway_that_dies_is_started_again_and_the_field_process_is_not_touched(tmp_path, monkeypatch):
    monkeypatch.setattr("controller.service.supervisor.GATEWAY_WAITS_S", (0.01,))
    field = """
        while len(Path(sys.argv[1]).with_name("gateway").read_text().splitlines() if Path(sys.argv[1]).with_name(
            "gateway").exists() else []) < 8:
            ping(); time.sleep(0.02)
        sys.exit(0)
    """
    code, starts, gateway = supervise(tmp_path, field, "sys.exit(1)")
    assert code == 0
    assert len(starts) == 1
    assert len(gateway) >= 8


def test_sigterm_ends_both_and_one_that_does_not_listen_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr("controller.service.supervisor.STOP_S", 0.3)
    deaf = """
        import signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        ping(b"READY=1")
        while True: ping(); time.sleep(0.02)
    """
    started = tmp_path / "field"

    def stop() -> None:
        while not started.exists():
            threading.Event().wait(0.02)
        threading.Event().wait(0.2)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=stop)
    thread.start()
    code, starts, _ = supervise(tmp_path, deaf)
    thread.join()
    assert (code, len(starts)) == (0, 1)


LEAK = """
    ping(b"READY=1")
    if count > 1:
        sys.exit(0)
    import asyncio
    sys.path.insert(0, {here!r})
    from controller.service import realtime
    from tests.controller.service.kit import Bench
    from controller.core.scan import scan
    held = []
    def leaking(*arguments):
        held.append(bytearray(30_000_000))
        return scan(*arguments)
    bench = Bench(scan_function=leaking)
    realtime.limit_memory(1500)
    while True:
        bench.advance(0.2)
        ping()
"""


def test_row_74_a_leaking_field_process_ends_and_is_started_again(tmp_path, figure):
    """Its address space is bounded: it meets its own limit before it takes the memory of its neighbours."""
    code, starts, _ = supervise(tmp_path, LEAK.format(here=str(Path.cwd())))
    assert code == 0
    assert starts == ["", "field ended with exit code 1"]
    figure("alarm", starts[1])


def test_row_74_ends_without_a_word_are_counted_until_one_on_purpose_or_a_reboot(tmp_path):
    life = tmp_path / "field.life"
    assert [begin_life(life, "boot-1") for _ in range(4)] == [0, 1, 2, 3]
    end_life(life)
    assert begin_life(life, "boot-1") == 0
    assert begin_life(life, "boot-1") == 1
    assert begin_life(life, "boot-2") == 0, "the computer was switched off: that is no fault of the process"
    life.write_text("[1]")
    assert begin_life(life, "boot-2") == 0


def test_two_field_processes_of_one_site_are_refused(tmp_path):
    lock = only_one(tmp_path / "field.lock")
    with pytest.raises(UserError, match="another field process"):
        only_one(tmp_path / "field.lock")
    os.close(lock)
    os.close(only_one(tmp_path / "field.lock"))


CHILD = """
import os, time
from controller.service.process import end_with_supervisor
end_with_supervisor(os.environ)
print(os.getpid(), flush=True)
time.sleep(600)
"""
PARENT = f"""
import os, subprocess, sys
env = {{**os.environ, "STROOMWACHT_SUPERVISED": "1"}}
subprocess.Popen([sys.executable, "-c", {CHILD!r}], env=env).wait()
"""


def test_children_end_when_the_supervisor_is_killed():
    process = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, cwd=Path.cwd())
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    process.kill()
    process.wait()
    assert process.stdout.read() == "", "the pipe closes when the last writer is gone"
    process.stdout.close()
    assert not Path(f"/proc/{pid}/cmdline").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes()
