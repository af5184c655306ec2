"""Binds devices to places for the gateway: what the site file says, what was bound before, and who answers first."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from controller.service.bindings import Loaded, load_bindings, store_bindings
from controller.service.identity import findings, newcomers, serials_of, told_by
from controller.service.messages import PointStatus
from interfaces.domain.site_file import Site

log = logging.getLogger(__name__)

RIPE_TIMES: Final = 15
"""Statuses in a row, one a second, that told the same serial: all devices that answer at all have connected by then."""


@dataclass(slots=True)
class Binder:
    """``sent``: what the field process was told last; None when it must be told again."""

    folder: Path
    sent: dict[str, str] | None = None
    problem: str = ""
    _loaded: Loaded | None = field(default=None)
    _learnt: dict[str, str] = field(default_factory=dict)
    _times: dict[tuple[str, str], int] = field(default_factory=dict)

    async def learn(self, site: Site, points: tuple[PointStatus, ...]) -> tuple[dict[str, str], dict[str, str]]:
        """Everything bound, and what is wrong with who answers, by device. New bindings hold once they are written."""
        if self._loaded is None:
            self._loaded = await asyncio.to_thread(load_bindings, self.folder)
            self._learnt = dict(self._loaded.bound)
            self.problem = self._loaded.problem
        said = serials_of(site)
        told = told_by(site, points, {**self._learnt, **said})
        self._times = {pair: self._times.get(pair, 0) + 1 for pair in told.items()}
        fresh = newcomers({**self._learnt, **said}, told)
        ripe = {device: serial for device, serial in fresh.items() if self._times[device, serial] >= RIPE_TIMES}
        if ripe and await self._stored({**self._learnt, **ripe}):
            log.info("devices_bound new=%d devices=%s", len(ripe), ",".join(sorted(ripe)))
        bound = {**self._learnt, **said}
        found = findings(bound, told)
        return bound, {**found, **({"file": self.problem} if self.problem else {})}

    async def _stored(self, bound: dict[str, str]) -> bool:
        damaged = self._loaded is not None and bool(self._loaded.problem)
        try:
            await asyncio.to_thread(store_bindings, self.folder, bound, keep_old=damaged)
        except OSError as error:
            self.problem = f"the serial numbers of the devices cannot be kept: {error.strerror or error}"
            return False
        self._loaded, self._learnt, self.problem = Loaded(bound), bound, ""
        return True
