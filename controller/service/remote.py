"""Chargers behind their maker's service, driven by the gateway: orders from the record, facts to the field process.

One thread asks and writes; it blocks as long as the internet does and holds nobody up. It keeps the service's rate for
all installations together, because one account has one rate.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from controller.service.health import SILENT_S, Known
from controller.service.messages import RemoteReading
from controller.service.service_file import ZaptecAccount
from interfaces.domain.site_file import Site
from interfaces.domain.telemetry import ScanRecord
from interfaces.domain.topology import Topology
from interfaces.domain.units import MILLI
from interfaces.drivers.clock import Clock
from interfaces.drivers.zaptec import ZaptecInstallation
from interfaces.drivers.zaptec_api import Account, ZaptecApi
from interfaces.drivers.zaptec_point import Seen

log = logging.getLogger(__name__)

STEP_S: Final = 1.0
MOST_WORD_BYTES: Final = 1000
NO_ACCOUNT: Final = "the service file names no Zaptec account: write zaptec.username_file and zaptec.password_file"


def account_of(files: ZaptecAccount | None) -> Account | str:
    """Who asks, or why nobody can."""
    if files is None:
        return NO_ACCOUNT
    words = []
    for path in (files.username_file, files.password_file):
        word = _word(path)
        if not word:
            return f"{path} cannot be read or holds no word: the Zaptec account is unknown"
        words.append(word)
    return Account(*words)


def _word(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(MOST_WORD_BYTES).strip()
    except (OSError, ValueError):
        return ""


def wanted_a(record: ScanRecord | None, topology: Topology, key: str, record_s: float, now_s: float) -> int | None:
    """The order in force for an asset in whole amperes; None while nobody vouches for one: no lease, or a silent field
    process. A lease is renewed with every scan, so that it has not run out when its record just came.
    """
    column = topology.index.get(key)
    if record is None or column is None or now_s - record_s > SILENT_S:
        return None
    commands = record.commands
    return int(commands.setpoint_ma[column]) // MILLI if commands.valid_until_s > record.now_s else None


@dataclass(slots=True)
class RemoteChargers:
    """The installations of the site that runs. ``step`` is one round, for tests with their own clock."""

    files: ZaptecAccount | None
    clock: Clock
    pause: Callable[[float], None]
    _site: Site | None = None
    _api: ZaptecApi | None = None
    _driven: dict[str, ZaptecInstallation] = field(default_factory=dict)
    _problem: str = ""
    _told: dict[str, str] = field(default_factory=dict)

    def step(self, known: Known) -> list[RemoteReading]:
        """Write and ask what is due; what the field process shall know."""
        setup = known.setup
        if setup is None:
            return []
        if setup.site is not self._site:
            self._use(setup.site)
        found = []
        for key, driven in self._driven.items():
            order = wanted_a(known.record, setup.params.topology, key, known.record_s, self.clock())
            seen = driven.step(order)
            if seen is not None:
                found.append(RemoteReading(key, seen))
        return found + self._nobody_asks(setup.site)

    def _use(self, site: Site) -> None:
        """Drive what this site has; an installation that stays keeps its book."""
        self._site = site
        account = account_of(self.files) if _keys(site) else ""
        self._problem = account if isinstance(account, str) else ""
        self._told.clear()
        if isinstance(account, str) or self.files is None:
            self._driven.clear()
            return
        if self._api is None:
            self._api = ZaptecApi(account, self.clock, self.pause, self.files.url)
        before, self._driven = self._driven, {}
        for key, (installation_id, limit_a) in _keys(site).items():
            jitter = random.Random(installation_id)  # noqa: S311  spreads requests, keeps no secret
            fresh = ZaptecInstallation(installation_id, limit_a, self._api, self.clock, jitter)
            old = before.get(key)
            self._driven[key] = old if old is not None and old.same_as(fresh) else fresh

    def _nobody_asks(self, site: Site) -> list[RemoteReading]:
        """Say once why nothing is known."""
        if not self._problem:
            return []
        fresh = [key for key in _keys(site) if self._told.get(key) != self._problem]
        self._told |= dict.fromkeys(fresh, self._problem)
        return [RemoteReading(key, Seen(self.clock(), self._problem)) for key in fresh]


def _keys(site: Site) -> Mapping[str, tuple[str, float]]:
    """EVSE -> installation and its limit."""
    return {
        entry.evses[0].id: (entry.cloud.installation_id, entry.cloud.installation_limit_a)
        for entry in site.chargers
        if entry.cloud is not None
    }


class RemoteThread:
    """The thread. ``known`` is asked for, and ``tell`` called, from it."""

    def __init__(
        self, chargers: RemoteChargers, known: Callable[[], Known], tell: Callable[[RemoteReading], None]
    ) -> None:
        self._chargers, self._known, self._tell = chargers, known, tell
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="remote", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ask it to end; a request that hangs ends with the process."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(STEP_S):
            try:
                for message in self._chargers.step(self._known()):
                    self._tell(message)
            except Exception:
                log.exception("remote chargers failed")
