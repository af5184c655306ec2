"""The service manager's watchdog (sd_notify): a datagram to the socket named in the environment, else nothing."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Final

PINGS_PER_S: Final = 2.0
"""Four in the shortest watchdog period that makes sense here (2 s)."""


class Notifier:
    """Tells the service manager READY, WATCHDOG and STATUS; never blocks, never raises."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if address else None
        if self._socket is not None:
            self._socket.setblocking(False)
        self._pinged_s = float("-inf")

    def ready(self, status: str) -> None:
        """The process does its work: in the field process, the first scan is complete."""
        self._send(f"READY=1\nSTATUS={status}")

    def alive(self, now_s: float) -> None:
        """The loop came round. In the field process a scan is complete and its outputs are written, and only the scan
        itself may call this.
        """
        if now_s - self._pinged_s >= 1 / PINGS_PER_S:
            self._pinged_s = now_s
            self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """The process ends on purpose."""
        self._send("STOPPING=1")

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()

    def _send(self, text: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto(text.encode(), self._address)
        except OSError:
            return  # the manager is busy or gone: it will notice the missing ping by itself
