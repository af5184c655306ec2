"""A real Mosquitto on this machine with the configuration of ``deploy/``, for demo, benches and tests."""

from __future__ import annotations

import getpass
import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

from interfaces.drivers import broker_files
from interfaces.drivers.broker_files import BrokerFiles
from simulations.programs import end

LOCALHOST: Final = "127.0.0.1"
START_S: Final[float] = 120.0
"""For what takes well under a second."""
STOP_S: Final[float] = 30.0
LOOK_S: Final[float] = 0.02
ATTEMPTS: Final = 5
"""Another program may take the free port between our finding it and the broker's taking it."""


class BrokerError(Exception):
    """The broker did not start; the text is its last words."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens at now."""
    with socket.socket() as found:
        found.bind((LOCALHOST, 0))
        return int(found.getsockname()[1])


class LocalBroker:
    """A Mosquitto of ours in ``folder`` with the keys of ``pki init`` in ``keys``; ``stop`` ends it and nothing else.

    ``port`` stays the same over ``stop`` and ``start``, as do retained messages. ``before``: see
    ``programs.ending_with_us``.
    """

    def __init__(self, mosquitto: str, folder: Path, keys: Path, *, before: Sequence[str] = ()) -> None:
        self.program, self._before = mosquitto, tuple(before)
        self._process: subprocess.Popen[bytes] | None = None
        self.folder, self.keys, self.data = folder, keys, folder / "data"
        self.data.mkdir(parents=True)
        self.log = folder / "log"
        self.port = 0

    def __enter__(self) -> LocalBroker:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The process, None while it does not run."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Raises ``BrokerError`` when it does not come up."""
        for _ in range(ATTEMPTS):
            self.port = self.port or free_port()
            user = getpass.getuser() if os.getuid() == 0 else None
            files = BrokerFiles(LOCALHOST, self.port, self.keys, self.data, user)
            conf = broker_files.write(self.folder, files)
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(  # noqa: S603  the program found above
                    [*self._before, self.program, "-c", str(conf)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    start_new_session=True,
                )  # fmt: skip
            if self._answers():
                return
            self.stop()
            self.port = 0
        raise BrokerError(self.log.read_text(encoding="utf-8", errors="replace"))

    def stop(self) -> None:
        """End it; at once when it does not end by itself."""
        if self._process is None:
            return
        end(self._process, STOP_S)
        self._process = None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; SIGHUP makes it read rights, certificates and revocations again."""
        if self._process is not None:
            self._process.send_signal(number)

    def _answers(self) -> bool:
        end_s = time.monotonic() + START_S
        while self._process is not None and self._process.poll() is None and time.monotonic() < end_s:
            try:
                socket.create_connection((LOCALHOST, self.port), timeout=1).close()
            except OSError:
                time.sleep(LOOK_S)
            else:
                return True
        return False
