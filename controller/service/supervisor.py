"""Starts field and gateway, watches them, starts them again: what a service manager does, where there is none.

The field process is watched as systemd would: it must ping within the watchdog time, from its scan, or is killed.
When it fails too often it is left alone: chargers fall back to their own failsafe, which is safer than a site that
starts and stops for ever. The gateway is started again as often as it takes.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from controller.service.process import (
    LAST_EXIT_VARIABLE,
    RESTART_EXIT,
    SUPERVISED_VARIABLE,
    only_one,
    owned_folder,
)
from controller.service.service_file import ServiceConfig

log = logging.getLogger(__name__)

WATCHDOG_S: Final = 3.0
READY_S: Final = 30.0
"""Until the first scan: reading profiles and a large site file takes seconds on a small computer."""
STEP_S: Final = 0.1
STOP_S: Final = 5.0
"""After this a process that was asked to end is killed."""
BURST: Final = 5
INTERVAL_S: Final = 60.0
GATEWAY_WAITS_S: Final = (0.2, 1.0, 5.0, 10.0)
EXIT_REFUSED: Final = 2


@dataclass(slots=True)
class StartLimit:
    """At most ``BURST`` failures within ``INTERVAL_S`` are answered with a new start."""

    failures_s: deque[float] = field(default_factory=deque)

    def allows(self, now_s: float) -> bool:
        """Note a failure; whether the process may be started again."""
        self.failures_s.append(now_s)
        while self.failures_s and now_s - self.failures_s[0] > INTERVAL_S:
            self.failures_s.popleft()
        return len(self.failures_s) < BURST


@dataclass(slots=True)
class Child:
    """One process: how to start it, and how it is doing."""

    role: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    last_exit: str = ""
    start_at_s: float = 0.0
    failures: int = 0

    def start(self, environment: Mapping[str, str]) -> None:
        told = {**environment, LAST_EXIT_VARIABLE: self.last_exit}
        self.process = subprocess.Popen(self.command, env=told, stdin=subprocess.DEVNULL)  # noqa: S603  our own program
        self.starts += 1

    def ended(self) -> int | None:
        """The exit code when it has just ended."""
        if self.process is None or self.process.poll() is None:
            return None
        code, self.process = self.process.returncode, None
        name = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        self.last_exit = f"{self.role} ended with {name}"
        return code


class Watchdog:
    """The socket that the field process pings, as systemd would offer it."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)
        self.deadline_s = float("inf")

    def wait(self, seconds: float) -> None:
        """Sleep, or until something arrives; then judge what arrived."""
        select.select([self._socket], [], [], seconds)
        while True:
            try:
                text = self._socket.recv(4096)
            except BlockingIOError:
                return
            if b"WATCHDOG=1" in text or b"READY=1" in text:
                self.deadline_s = time.monotonic() + WATCHDOG_S

    def close(self) -> None:
        self._socket.close()
        self.path.unlink(missing_ok=True)


class Supervisor:
    """Both processes. ``run`` returns the exit code when all is over."""

    def __init__(
        self,
        config: ServiceConfig,
        field_command: Sequence[str],
        gateway_command: Sequence[str],
    ) -> None:
        """UserError when there is another one: its watchdog would be taken away, and its field process killed."""
        owned_folder(config.run_dir)
        self._lock = only_one(config.run_dir / "supervisor.lock")
        self.field = Child("field", field_command)
        self.gateway = Child("gateway", gateway_command)
        self._watchdog = Watchdog(config.run_dir / "notify.sock")
        self._limit = StartLimit()
        self._stopping = False
        self._exit_code = 0
        # One thread for linear algebra: the scan's small sums must not wait for helpers of a lower scheduling class.
        inherited = {key: value for key, value in os.environ.items() if key != "NOTIFY_SOCKET"}
        self._gateway_environment = {**inherited, SUPERVISED_VARIABLE: "1", "OPENBLAS_NUM_THREADS": "1"}
        self._field_environment = {**self._gateway_environment, "NOTIFY_SOCKET": str(self._watchdog.path)}

    def run(self) -> int:
        """Supervise until SIGTERM or SIGINT, or until the field process may not be started again."""
        before = {number: signal.signal(number, self._stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            while not self._stopping:
                self._step(time.monotonic())
                self._watchdog.wait(STEP_S)
            return self._exit_code
        finally:
            self._end(self.field)
            self._end(self.gateway)
            self._watchdog.close()
            os.close(self._lock)
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, _: object) -> None:
        log.info("stopping signal=%s", signal.Signals(number).name)
        self._stopping = True

    def _step(self, now_s: float) -> None:
        self._step_field(now_s)
        self._step_gateway(now_s)

    def _step_field(self, now_s: float) -> None:
        if self.field.process is None and not self._stopping:
            self._watchdog.deadline_s = now_s + READY_S
            self.field.start(self._field_environment)
            return
        code = self.field.ended()
        if code is None:
            if now_s > self._watchdog.deadline_s and self.field.process is not None:
                log.error("watchdog_kill pid=%d", self.field.process.pid)
                self._watchdog.deadline_s = float("inf")
                self.field.process.kill()
            return
        if code in (0, EXIT_REFUSED):
            self._stopping, self._exit_code = True, code
        elif code == RESTART_EXIT:
            log.info("field_restart reason='the installation changed'")
        elif self._limit.allows(now_s):
            log.error("field_failed reason=%r starts=%d", self.field.last_exit, self.field.starts)
        else:
            log.error("field_given_up reason=%r: chargers are at their own failsafe now", self.field.last_exit)
            self._stopping, self._exit_code = True, 1

    def _step_gateway(self, now_s: float) -> None:
        if self.gateway.process is None and now_s >= self.gateway.start_at_s:
            self.gateway.start(self._gateway_environment)
            return
        code = self.gateway.ended()
        if code is not None:
            wait_s = GATEWAY_WAITS_S[min(self.gateway.failures, len(GATEWAY_WAITS_S) - 1)]
            self.gateway.failures += 1
            self.gateway.start_at_s = now_s + wait_s
            log.warning("gateway_failed reason=%r again_in_s=%g", self.gateway.last_exit, wait_s)

    def _end(self, child: Child) -> None:
        if child.process is None:
            return
        child.process.terminate()
        try:
            child.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            child.process.kill()
            child.process.wait()


def command_of(role: str, arguments: Sequence[str]) -> list[str]:
    """How this program starts one of its processes."""
    return [sys.executable, "-m", "interfaces.cli", "controller", "run", "--only", role, *arguments]
