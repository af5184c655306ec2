"""The way to the cloud as one part of the gateway: uplink and inbox, made from the service file."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from controller.service.cloud_inbox import CloudInbox, Here
from controller.service.command_inbox import CommandHere, CommandInbox
from controller.service.command_judge import CommandSite
from controller.service.health import Known
from controller.service.journal_window import FOLDER, Hold, JournalWindow
from controller.service.kept import Kept
from controller.service.messages import Entry, PlanInForce
from controller.service.plan_inbox import Mark, Site
from controller.service.service_file import ServiceConfig
from controller.service.site_setup import SiteSetup
from controller.service.spool_table import Bounds
from controller.service.uplink import Uplink, UplinkConfig
from controller.service.uplink_access import Access, access_of, is_wanted
from controller.service.uplink_state import UplinkState
from interfaces.domain.telemetry import ScanRecord
from interfaces.domain.topology import AssetKind
from interfaces.drivers.clock import epoch_s

log = logging.getLogger(__name__)

SECONDS_PER_DAY: Final = 86_400.0
STEP_S: Final = 1.0


class CloudSide:
    """``run`` is the task. ``tell_field`` hands a message to the field process, where one listens."""

    def __init__(
        self,
        config: ServiceConfig,
        known: Callable[[], Known],
        tell_field: Callable[[Any], None],
        hold: Hold,
    ) -> None:
        self._config, self._known = config, known
        self._started = False
        self._access: Access | None = None
        told = config.telemetry
        bounds = Bounds(told.max_mb << 20, told.max_days * SECONDS_PER_DAY)
        kept = Kept(config.state_dir / "state.db")
        window = JournalWindow(config.journal_dir / FOLDER, kept, hold)
        self._commands = CommandInbox(
            kept, self._command_here, tell_field, window.begin, config.state_dir / "proposals"
        )
        self._inbox = CloudInbox(kept, self._here, tell_field, self._commands.decide)
        self._uplink = Uplink(
            UplinkConfig(config.state_dir, lambda: self._access, bounds, told.mode, told.live_s),
            known,
            self._inbox,
            random.Random(),  # noqa: S311  spreads reconnects, keeps no secret
            window=window,
        )

    @property
    def state(self) -> UplinkState:
        """How the line is now; to be asked in the loop it runs in."""
        return self._uplink.state

    @property
    def problems(self) -> dict[str, str]:
        """What of the cloud's is refused."""
        return {f"cloud.refused.{kind}": text for kind, text in self._inbox.problems.items()}

    @property
    def plans_refused(self) -> int:
        """How many plans were."""
        return self._inbox.plans_refused

    def scan(self, record: ScanRecord, setup: SiteSetup) -> None:
        """Count one scan."""
        self._uplink.scan(record, setup)

    def field_started(self) -> None:
        """The field process began anew and runs its site: it will be told what is in force. Returns at once."""
        self._started = True

    async def run(self) -> None:
        """Until cancelled."""
        self._access = await asyncio.to_thread(access_of, self._config)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._uplink.run())
            tasks.create_task(self._hand_over_for_ever())

    async def _hand_over_for_ever(self) -> None:
        """Reads the disk, which may hang; nobody else waits for it."""
        while True:
            await asyncio.sleep(STEP_S)
            try:
                self._access = await asyncio.to_thread(access_of, self._config)
                if self._started:
                    self._started = False
                    await self._inbox.field_started()
                    await self._commands.field_started()
                await self._commands.look()
            except Exception:
                log.exception("handing over to the field process failed")

    def _command_here(self) -> CommandHere | None:
        """The same of commands."""
        here, setup = self._here(), self._known().setup
        if here is None or setup is None:
            return None
        topology, site = setup.params.topology, here.site
        evses = tuple(asset.id for asset in topology.assets if asset.kind is AssetKind.EVSE)
        return CommandHere(
            CommandSite(site.site, site.controller, site.assets, evses, site.epoch_s, site.clock_trusted),
            here.signing_file,
        )

    def _here(self) -> Here | None:
        """None until the field process has said what it runs and how its clock is."""
        access, known = self._access, self._known()
        if access is None or known.setup is None or known.status is None:
            return None
        topology = known.setup.params.topology
        return Here(
            Site(
                site=known.setup.site.id,
                controller=access.controller,
                topology_version=topology.version,
                assets=frozenset(topology.index),
                epoch_s=epoch_s(),
                clock_trusted=known.status.clock != "untrusted",
                mark=Mark(),
                follows=known.setup.params.follow_plans,
            ),
            access.signing_file,
        )


def cloud_of(
    config: ServiceConfig,
    known: Callable[[], Known],
    tell_field: Callable[[Any], None],
    hold: Hold,
) -> CloudSide | None:
    """The way to the cloud; None where the service file has none."""
    return CloudSide(config, known, tell_field, hold) if is_wanted(config) else None


def with_plan(entry: Entry, in_force: PlanInForce | None) -> ScanRecord:
    """The record of a scan with its plan back in its image; without one where it had none, or we do not know it."""
    if in_force is None or not entry.plan or in_force.digest != entry.plan:
        return entry.record
    return replace(entry.record, image=replace(entry.record.image, plan=in_force.plan))
