"""A virtual site in a process of its own, as the rest of the simulations hold it: started, told things, ended."""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict
from types import TracebackType
from typing import Any, Final

from interfaces.domain.site_bus import Line, address_of, devices, line_of
from interfaces.domain.site_types import Site
from interfaces.drivers.site_reader import parse_site
from simulations.devices.lines import Address, mapped_site
from simulations.plant.ev import Arrival

START_S: Final[float] = 120.0
ANSWER_S: Final[float] = 60.0
END_S: Final[float] = 5.0


class VirtualSiteError(Exception):
    """The site's process did not do what it was asked; the text says what it answered."""


class VirtualSite:
    """Every asset of a site file as a real Modbus server on 127.0.0.1, with a plant in real time behind them.

    ``text`` is a site file that passes its checks. Use as a context manager, or call ``close``. ``addresses``: (host or
    serial device, port, unit) of the file -> (127.0.0.1, port, unit). ``site``: the same site with those addresses.
    ``pid``: the one process behind it.
    """

    def __init__(
        self,
        text: str,
        *,
        seed: int,
        arrivals: Sequence[Arrival] = (),
        start_day_s: float = 12 * 3600.0,
        start_epoch_s: float = 0.0,
    ) -> None:
        site = parse_site(text).site
        if site is None:
            raise ValueError("a virtual site needs a site file that passes its checks")
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "simulations.devices.serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.pid = self._process.pid
        start = {
            "site": text,
            "seed": seed,
            "arrivals": [asdict(car) for car in arrivals],
            "start_day_s": start_day_s,
            "start_epoch_s": start_epoch_s,
        }
        try:
            served = self._exchange(start, START_S)
        except VirtualSiteError:
            self.close()
            raise
        self.addresses: dict[Address, Address] = {_address(old): _address(new) for old, new in served["addresses"]}
        self.site: Site = mapped_site(site, self._ports(site))

    def _ports(self, site: Site) -> dict[Line, int]:
        """The port that stands for each line: that of the first of its addresses."""
        found: dict[Line, int] = {}
        for entry in devices(site):
            line = line_of(address_of(entry))
            port = 0 if line[0] == "rtu" else line[2]
            mine = (new for (host, p, _), new in self.addresses.items() if (host, p) == (line[1], port))
            found[line] = next(mine)[1]
        return found

    def tell(self, do: str, **what: Any) -> dict[str, Any]:
        """Send one message of ``control`` and return its answer; raises ``VirtualSiteError`` when it was refused."""
        return self._exchange({"do": do, **what}, ANSWER_S)

    def plug_in(self, car: Arrival) -> None:
        """Plug this car in now, whatever its ``start_s``."""
        self.tell("plug_in", **asdict(car))

    def plug_out(self, asset: str) -> None:
        """Whoever is at this EVSE leaves."""
        self.tell("plug_out", asset=asset)

    def fault(self, device: str, kind: str, value: object = True) -> None:
        """Break a device; ``control`` lists the kinds, ``clear`` mends it."""
        self.tell("fault", device=device, kind=kind, value=value)

    def check(self) -> None:
        """Raise ``VirtualSiteError`` when the process is no more."""
        if self._process.poll() is not None:
            raise VirtualSiteError(f"the site's process has ended with code {self._process.returncode}")

    def report(self) -> dict[str, Any]:
        """What really happens, as the plant sees it."""
        return self.tell("report")

    def _exchange(self, message: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise VirtualSiteError("the site's process has no pipes")
        with self._lock:
            try:
                stdin.write(json.dumps(message).encode() + b"\n")
                stdin.flush()
            except (BrokenPipeError, ValueError) as error:
                raise VirtualSiteError("the site's process has ended") from error
            if not select.select([stdout], [], [], timeout_s)[0]:
                raise VirtualSiteError(f"the site's process did not answer within {timeout_s:g} s")
            line = stdout.readline()
        if not line:
            raise VirtualSiteError(f"the site's process ended with code {self._process.poll()}")
        answer: dict[str, Any] = json.loads(line)
        if not answer.get("ok"):
            raise VirtualSiteError(str(answer.get("error", answer)))
        return answer

    def close(self) -> None:
        """End the process: it stops when its input ends, and is killed if it does not."""
        process = self._process
        if process.stdin is not None and not process.stdin.closed:
            with contextlib.suppress(OSError):  # it died with a message of ours unread
                process.stdin.close()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def __enter__(self) -> VirtualSite:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _address(parts: Sequence[Any]) -> Address:
    host, port, unit = parts
    return str(host), int(port), int(unit)
