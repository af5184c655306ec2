"""The cloud of a demo on this machine: authority, TLS broker, optimizer, and the line to the site that can be cut.

All of it is the real thing: certificates and signing key of ``pki``, a Mosquitto with the configuration of ``deploy/``,
and ``stroomwacht optimizer run`` in a process of its own. Only prices come from a file that is made here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import psutil
import yaml

from interfaces.domain.units import SECONDS_PER_DAY
from interfaces.drivers import pki
from interfaces.drivers.clock import epoch_s
from simulations.broker import BrokerError, LocalBroker
from simulations.demo.line import CloudLine
from simulations.devices.proxy import LOCALHOST
from simulations.generators import day_prices
from simulations.programs import end, ending_with_us

ORGANISATION: Final = "demo"
CONTROLLER: Final = "demo-box"
PLAN_EVERY_S: Final = 5
"""With a lease of three times as long: who cuts the line sees the site fall back after seconds and not after
a quarter of an hour."""
LIVE_S: Final = 1
STOP_S: Final[float] = 10.0
LOG_LINES: Final[int] = 15
MISSING: Final = "no broker (Debian package mosquitto): the controller runs alone, by its own rules"


class CloudError(Exception):
    """A part of the cloud did not start or broke off; the text says which and its last words."""


class Cloud:
    """Everything on the far side of the line. Use as a context manager: what it started has ended afterwards.

    ``folder``: keys, logs and what the optimizer remembers; it goes with the cloud. ``service``: what the controller's
    service file needs to reach it. ``line``: cut and mended by the demo. ``broker``: stopped and frozen by tests.
    """

    def __init__(self, mosquitto: str, site_text: str) -> None:
        self._mosquitto, self._text = mosquitto, site_text
        self.folder = Path(tempfile.mkdtemp(prefix="stroomwacht-cloud-"))
        self._ends = ExitStack()
        self._ends.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self._optimizer: subprocess.Popen[bytes] | None = None
        self.broker: LocalBroker
        self.line: CloudLine

    def __enter__(self) -> Cloud:
        try:
            keys = self._keys()
            broker = LocalBroker(self._mosquitto, self.folder / "broker", keys, before=ending_with_us())
            try:
                self.broker = self._ends.enter_context(broker)
            except BrokerError as error:
                raise CloudError(f"the broker did not start: {error}") from error
            self.line = self._ends.enter_context(CloudLine(self.broker.port))
            self._write_optimizer_file(keys)
            self.start_optimizer()
            self._ends.callback(self._stop_optimizer)
        except BaseException:
            self._ends.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.close()

    @property
    def service(self) -> dict[str, Any]:
        """The entries of ``service.yaml`` for this broker."""
        broker = {
            "host": LOCALHOST, "port": self.line.port, "organisation": ORGANISATION, "controller": CONTROLLER,
            "keys_dir": str(self.folder / "box"),
        }  # fmt: skip
        return {"broker": broker, "telemetry": {"live_s": float(LIVE_S)}}

    def processes(self) -> dict[str, int]:
        """Process ids by role."""
        pids = {"broker": self.broker.pid, "optimizer": None if self._optimizer is None else self._optimizer.pid}
        return {role: pid for role, pid in pids.items() if pid is not None}

    def check(self) -> None:
        """Raise ``CloudError`` when broker or optimizer ended by themselves."""
        if self._optimizer is not None and self._optimizer.poll() is not None:
            raise CloudError(f"the optimizer ended by itself:\n{_tail(self.folder / 'optimizer.log')}")
        if not psutil.pid_exists(self.broker.pid or -1):
            raise CloudError(f"the broker ended by itself:\n{_tail(self.broker.log)}")

    def _keys(self) -> Path:
        """The authority's folder; what the site needs of it is copied to a folder of its own."""
        keys, box = self.folder / "keys", self.folder / "box"
        now = datetime.now(UTC)
        pki.init(keys, [], now)
        pki.issue(keys, CONTROLLER, now)
        box.mkdir(mode=0o700)
        for name in ("ca.crt", "signing.pub", f"{CONTROLLER}.crt", f"{CONTROLLER}.key"):
            shutil.copy2(keys / name, box / name)
        return keys

    def _write_optimizer_file(self, keys: Path) -> None:
        (self.folder / "site.yaml").write_text(self._text, encoding="utf-8")
        (self.folder / "prices.csv").write_text(price_file(epoch_s()), encoding="utf-8")
        file = self.folder / "optimizer.yaml"
        file.write_text(yaml.safe_dump(optimizer_file(self.broker.port, keys)), encoding="utf-8")

    def start_optimizer(self) -> None:
        """Start it, also anew after somebody killed it."""
        self._stop_optimizer()
        run = [sys.executable, "-m", "interfaces.cli", "optimizer", "run", "--config", "optimizer.yaml"]
        with (self.folder / "optimizer.log").open("ab") as log:
            self._optimizer = subprocess.Popen(  # noqa: S603  our own program
                [*ending_with_us(), *run], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, env=dict(os.environ),
            )  # fmt: skip

    def _stop_optimizer(self) -> None:
        if self._optimizer is None:
            return
        end(self._optimizer, STOP_S)
        self._optimizer = None


def optimizer_file(broker_port: int, keys: Path) -> Mapping[str, Any]:
    """``optimizer.yaml`` for one site with prices from a file."""
    broker = {
        "host": LOCALHOST, "port": broker_port, "organisation": ORGANISATION, "ca": str(keys / "ca.crt"),
        "certificate": str(keys / "optimizer.crt"), "key": str(keys / "optimizer.key"),
    }  # fmt: skip
    site = {
        "site": "site.yaml", "link": "memory", "controller": CONTROLLER, "key": str(keys / "signing.key"),
        "tariff": {"energy": {"kind": "fixed", "eur_per_kwh": 0.12}, "grid_eur_per_kwh": 0.05},
        "prices": {"zone": "BE", "file": "prices.csv"}, "plan_every_s": PLAN_EVERY_S,
    }  # fmt: skip
    return {"version": 1, "broker": broker, "sites": [site]}


def price_file(now_epoch_s: float) -> str:
    """CSV with the hours of yesterday, today and tomorrow (UTC)."""
    midnight = datetime.fromtimestamp(now_epoch_s, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    first = midnight - timedelta(seconds=SECONDS_PER_DAY)
    rows = [
        f"{(first + timedelta(hours=k)).strftime('%Y-%m-%dT%H:%M:%SZ')},{value:.4f}"
        for k, value in enumerate(day_prices(3, mean_eur_per_kwh=0.10, swing_eur_per_kwh=0.08))
    ]
    return "\n".join(("start_utc,eur_per_kwh", *rows, ""))


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:])
