"""The gateway tells the service manager that it works, and serves the enrolment page."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.service.gateway import Gateway
from controller.service.process import owned_folder
from controller.service.service_file import EnrolmentEntry, EnrolmentPage, Http, ServiceConfig

PATIENCE_S = 180.0


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket of a service manager."""
    with tempfile.TemporaryDirectory(prefix="sw") as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as found:
        found.bind(f"{folder}/notify")
        found.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", f"{folder}/notify")
        yield found


async def test_it_is_ready_and_stays_alive(manager, tmp_path: Path):
    entry = EnrolmentEntry("127.0.0.1:1", "SW-000123", None, EnrolmentPage("127.0.0.1", 0))
    config = ServiceConfig(state_dir=tmp_path, http=Http(port=0), enrolment=entry)
    for folder in (config.run_dir, config.journal_dir):
        owned_folder(folder)
    gateway = Gateway(config)
    running = asyncio.create_task(gateway.run())
    try:
        async with asyncio.timeout(PATIENCE_S):
            assert (await word(manager)).startswith("READY=1")
            assert await word(manager) == "WATCHDOG=1"
        assert "not enrolled yet" in gateway.known().enrolment["enrolment"]
    finally:
        if not running.done():
            os.kill(os.getpid(), signal.SIGTERM)
        code = await running
    assert code == 0
    assert (await word(manager)).startswith(("STOPPING=1", "WATCHDOG=1"))


async def word(manager: socket.socket) -> str:
    return (await asyncio.get_running_loop().sock_recv(manager, 1000)).decode()
