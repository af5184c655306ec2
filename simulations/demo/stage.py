"""Everything a demo or a bench of the whole chain runs on: a virtual site in its process, and a controller in its own.

The controller is the real one, started as on site; it reads the site file as it was written. Only the service file
moves every address to the free port on 127.0.0.1 that stands for it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import psutil
import yaml

from controller.service.journal import SUFFIX
from controller.service.process import SUPERVISED_VARIABLE
from interfaces.drivers.links import CloudLink, P1SerialLink, SerialLink
from interfaces.drivers.site_reader import parse_site
from interfaces.drivers.wiring import wires_of
from simulations.devices.virtual_site import VirtualSite
from simulations.programs import end

READY_S: Final[float] = 120.0
"""From the start of the controller's processes to its first scan: a large site is read on a slow computer."""
STOP_S: Final[float] = 15.0
"""The supervisor gives its processes 5 s each."""
ASK_S: Final[float] = 5.0
STEP_S: Final[float] = 0.1
LOG_LINES: Final[int] = 15


class StageError(Exception):
    """Something on the stage did not start; the text says what and what it last said."""


class Stage:
    """A site that runs. Use as a context manager: what it started has ended afterwards, whatever happened.

    ``site``: the virtual site. ``folder``: site file, service file, log, journal. ``stop_controller`` ends the
    controller and leaves the devices, so that one can look at what it left behind. ``stop`` ends waiting for the
    start. Without ``keep`` the folder goes with the stage. ``service``: more entries for the service file.
    """

    def __init__(
        self,
        text: str,
        *,
        seed: int,
        realtime: bool = False,
        keep: bool = True,
        stop: threading.Event | None = None,
        service: Mapping[str, Any] | None = None,
    ) -> None:
        self._text = text
        self._service = {} if service is None else dict(service)
        self._keep = keep
        self._stop = threading.Event() if stop is None else stop
        self._seed = seed
        self._realtime = realtime
        self._ends = ExitStack()
        self._controller: subprocess.Popen[bytes] | None = None
        self.folder = Path(tempfile.mkdtemp(prefix="stroomwacht-"))
        self.site: VirtualSite

    def __enter__(self) -> Stage:
        try:
            self.site = VirtualSite(self._text, seed=self._seed)
            self._ends.callback(self.site.close)
            self._start_controller()
            self._ends.callback(self.stop_controller)
            self._wait_until_ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End everything. What explains the run stays: journal, site and service file, log."""
        self._ends.close()
        if not self._keep or not any((self.folder / "journal").glob(f"*{SUFFIX}")):
            shutil.rmtree(self.folder, ignore_errors=True)
        for name in ("run", "retain"):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    # ---- the controller

    def _start_controller(self) -> None:
        (self.folder / "site.yaml").write_text(self._text, encoding="utf-8")
        service = {
            "version": 1,
            "site": "site.yaml",
            "state_dir": ".",
            "http": {"port": 0},
            "realtime": self._realtime,
            "addresses": addresses_here(self.site),
            **self._service,
        }
        file = self.folder / "service.yaml"
        file.write_text(yaml.safe_dump(service), encoding="utf-8")
        command = [sys.executable, "-m", "interfaces.cli", "controller", "run", str(self.folder / "site.yaml")]
        with (self.folder / "controller.log").open("wb") as log:
            # A session of its own: Ctrl-C is for us; we end the controller, and the devices only after it.
            self._controller = subprocess.Popen(  # noqa: S603  our own program
                [*command, "--service", str(file)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, env={**os.environ, SUPERVISED_VARIABLE: "1"},
            )  # fmt: skip

    def _wait_until_ready(self) -> None:
        began_s = time.monotonic()
        while self.view().get("number") is None and not self._stop.is_set():
            self.check()
            if time.monotonic() - began_s > READY_S:
                raise StageError(f"the controller did not scan within {READY_S:g} s:\n{self.log_tail()}")
            self._stop.wait(STEP_S)

    def check(self) -> None:
        """Raise ``StageError`` or ``VirtualSiteError`` when the controller or the virtual site is no more."""
        self.site.check()
        if self._controller is None or self._controller.poll() is not None:
            raise StageError(f"the controller ended by itself:\n{self.log_tail()}")

    def stop_controller(self) -> None:
        """Ask the controller to end, as a service manager would; whoever does not is killed by its own id."""
        controller = self._controller
        if controller is None:
            return
        self._controller = None
        family = [process for process in _family(controller.pid) if process.pid != controller.pid]
        end(controller, STOP_S)
        for process in psutil.wait_procs(family, timeout=STEP_S)[1]:
            process.kill()
        psutil.wait_procs(family, timeout=STOP_S)

    def processes(self) -> dict[str, int]:
        """Process ids by role."""
        health = self.health()
        found = {"demo": os.getpid(), "devices": self.site.pid}
        if self._controller is not None:
            found["supervisor"] = self._controller.pid
        for role, key in (("field", "field_pid"), ("gateway", "gateway_pid")):
            if health.get(key) is not None:
                found[role] = int(health[key])
        return found

    def log_tail(self) -> str:
        """The last lines of the controller's log."""
        lines = (self.folder / "controller.log").read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-LOG_LINES:])

    # ---- what it says

    def view(self) -> dict[str, Any]:
        """The site at the newest scan, as the gateway tells it; ``number`` is missing before the first one."""
        return self._ask("/view")

    def health(self) -> dict[str, Any]:
        """How the controller is doing; empty while its gateway does not answer."""
        return self._ask("/health")

    def _ask(self, page: str) -> dict[str, Any]:
        """A page of the gateway; empty when it does not answer, as while it starts."""
        try:
            told = json.loads((self.folder / "run" / "gateway.json").read_text(encoding="utf-8"))
            with urllib.request.urlopen(f"http://{told['host']}:{told['port']}{page}", timeout=ASK_S) as answer:
                content = answer.read()
        except urllib.error.HTTPError as error:
            content = error.read()
        except (OSError, ValueError):
            return {}
        found: dict[str, Any] = json.loads(content)
        return found

    def connections(self) -> dict[str, int]:
        """Open TCP connections of the field process to each asset and meter (those of a shared line count for each)."""
        field = self.health().get("field_pid")
        if field is None:
            return {}
        ours = psutil.Process(field).net_connections("tcp")
        open_ports = [c.raddr.port for c in ours if c.status == psutil.CONN_ESTABLISHED and c.raddr]
        return {key: open_ports.count(port) for key, port in ports_of(self._text, addresses_here(self.site)).items()}

    def journal(self) -> Path:
        """The journal: its one segment, or the folder when there are several."""
        folder = self.folder / "journal"
        found = sorted(folder.glob(f"*{SUFFIX}"))
        return found[0] if len(found) == 1 else folder


def addresses_here(site: VirtualSite) -> dict[str, str]:
    """What the service file says of addresses: ``host:port`` or serial device -> ``127.0.0.1:port``."""
    return {
        place if not port else f"{place}:{port}": f"{host}:{here}"
        for (place, port, _), (host, here, _) in site.addresses.items()
    }


def ports_of(text: str, addresses: Mapping[str, str]) -> dict[str, int]:
    """Point key (meter, EVSE, battery, inverter, load) -> the port on 127.0.0.1 that stands for its address."""
    site = parse_site(text).site
    found: dict[str, int] = {}
    for wire in () if site is None else wires_of(site):
        link = wire.link
        if isinstance(link, CloudLink):
            continue
        place = link.device if isinstance(link, SerialLink | P1SerialLink) else f"{link.host}:{link.port}"
        port = int(addresses[place].rpartition(":")[2])
        found |= {point.key: port for point in wire.points}
    return found


def _family(pid: int) -> Iterator[psutil.Process]:
    """A process and all below it, as far as they still exist."""
    try:
        parent = psutil.Process(pid)
        yield parent
        yield from parent.children(recursive=True)
    except psutil.NoSuchProcess:
        return


def alive(pids: Sequence[int]) -> list[int]:
    """Which of these processes still run."""
    return [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]
