"""The scan loop: read, decide, write, record, then feed the watchdog; at a fixed rate, for ever.

Nothing in a cycle waits. Whatever goes wrong in one ends here: failsafe output, recorded, and ten good scans before
anything is raised again.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from controller.core.follow import plan_refusal
from controller.core.params import Params
from controller.core.scan import scan
from controller.core.state import ControllerState
from controller.core.tally import NOTHING_YET, tally_after
from controller.service.apply import Sinks, apply
from controller.service.clock_watch import ClockWatch, observe
from controller.service.failing import STOPPED, blank_report, failsafe_outcome, report_after
from controller.service.gather import Gather, Inputs
from controller.service.inbox import Inbox, sequence_of, with_message
from controller.service.messages import RemoteReading, StandingOrders, Verdict
from controller.service.notify import Notifier
from controller.service.pacing import Histogram, Pacer
from controller.service.record import Recorder
from controller.service.site_setup import SiteSetup
from controller.service.standing import NOTHING_ORDERED, columns_of, stand, without_ended
from interfaces.domain.command import Commands, Report
from interfaces.domain.image import Image
from interfaces.domain.plan import Plan
from interfaces.domain.site_file import site_differences
from interfaces.domain.units import NEVER_S
from interfaces.drivers.clock import Clock
from interfaces.drivers.outbox import Outbox
from interfaces.drivers.readings import Readings
from interfaces.drivers.zaptec_point import RemotePoint

log = logging.getLogger(__name__)

SYNC_CHECK_S: Final = 10.0
ERROR_TEXT: Final = 2000

ScanFunction = Callable[[Image, ControllerState, Params, float, float], tuple[Commands, Report, ControllerState]]


AfterScan = Callable[[ControllerState, float, float], None]
"""What else is done with the state once a scan's outputs are out (``now_s``, ``epoch_s``). It must not wait."""


@dataclass(frozen=True, slots=True)
class Plumbing:
    """What a loop is connected to."""

    readings: Readings
    outbox: Outbox
    gather: Gather
    sinks: Sinks
    inbox: Inbox
    recorder: Recorder
    notifier: Notifier
    clock: Clock
    epoch: Clock
    synchronised: Callable[[], bool]
    verdict: Callable[[Verdict], None]
    after_scan: AfterScan
    remotes: Mapping[str, RemotePoint] = field(default_factory=dict)
    """Points whose readings come as messages, by key."""


class ScanLoop:
    """One site's scan. ``run`` is the task; ``cycle`` is one scan, for tests with their own clock."""

    def __init__(
        self, setup: SiteSetup, state: ControllerState, plumbing: Plumbing, scan_function: ScanFunction = scan
    ) -> None:
        now_s = plumbing.clock()
        self.setup = setup
        self.state = state
        self.inputs = Inputs()
        self.number = 0
        self.errors = 0
        self.pacer = Pacer(setup.params.topology.period_s, now_s)
        self.lateness = Histogram()
        self.work = Histogram()
        self.clock_watch = ClockWatch.start(now_s, plumbing.epoch())
        self.stopping = False
        self.restart_wanted = False
        """A site file that changes the topology was accepted: end through failsafe and start again with it."""
        self.last: tuple[Image, Commands, Report] | None = None
        self.tally = NOTHING_YET
        self.plans_accepted = 0
        self.plans_refused = 0
        self._standing = NOTHING_ORDERED
        self._io = plumbing
        self._scan = scan_function
        self._sync_s = NEVER_S
        self._synchronised = False

    async def run(self) -> None:
        """Scan until ``stopping`` or ``restart_wanted``, then leave failsafe outputs behind."""
        self.pacer = Pacer(self.setup.params.topology.period_s, self._io.clock())
        while not (self.stopping or self.restart_wanted):
            await asyncio.sleep(max(0.0, self.pacer.due_s - self._io.clock()))
            self.cycle()
            if self.number == 1:
                self._io.notifier.ready(f"site {self.setup.site.id}")
        self.leave()

    def cycle(self) -> None:
        """One scan."""
        now_s, epoch_s = self._io.clock(), self._io.epoch()
        self.lateness.add(self.pacer.begin(now_s))
        self._watch_clock(now_s, epoch_s)
        self._read_inbox(now_s, epoch_s)
        image: Image | None = None
        try:
            image = self._io.gather.image(self._io.readings.snapshot(), self._present())
            commands, report, state = self._scan(image, self.state, self.setup.params, now_s, epoch_s)
            apply(commands, image, self.setup.params.topology, self._io.sinks, self._io.outbox, now_s)
            self.tally = tally_after(self.tally, self.state, state, commands, image, self.setup.params.topology, now_s)
            self._io.after_scan(state, now_s, epoch_s)
            self._record(state, (image, commands, report), now_s, epoch_s)
        except MemoryError:
            # Nothing sensible can be computed any more. The leases lapse and the service manager starts us again.
            raise
        except Exception as error:
            log.exception("scan_failed number=%d", self.number)
            self.errors += 1
            self._to_failsafe(image, _told(error), now_s, epoch_s)
        else:
            self.state, self.last = state, (image, commands, report)
        self.number += 1
        self._io.notifier.alive(now_s)
        self.work.add(self._io.clock() - now_s)

    def leave(self) -> None:
        """The last outputs: failsafe, where anything was ever told to a device."""
        if self.state.complete:
            now_s = self._io.clock()
            self._to_failsafe(None, STOPPED, now_s, self._io.epoch())
            self.number += 1

    def _present(self) -> Inputs:
        """All inputs but the readings; an order of a person that has ended is none."""
        standing = without_ended(self._standing, self._io.clock())
        if standing is not self._standing:
            self._standing = standing
            self.inputs = replace(self.inputs, orders=columns_of(standing, self.setup.params.topology))
        return replace(self.inputs, late_in_a_row=self.pacer.late_in_a_row, clock_trusted=self.clock_watch.trusted)

    def _watch_clock(self, now_s: float, epoch_s: float) -> None:
        if now_s - self._sync_s >= SYNC_CHECK_S:
            self._sync_s, self._synchronised = now_s, self._io.synchronised()
        self.clock_watch = observe(self.clock_watch, now_s, epoch_s, synchronised=self._synchronised)

    def _read_inbox(self, now_s: float, epoch_s: float) -> None:
        """Messages take effect here, between two scans, and nowhere else."""
        for message in self._io.inbox.read():
            about = type(message).__name__.lower()
            if isinstance(message, SiteSetup):
                self._io.verdict(self._new_setup(message))
                continue
            if isinstance(message, RemoteReading):
                self._take(message)
                continue
            if isinstance(message, StandingOrders):
                self._standing = stand(message, now_s)
                self.inputs = replace(self.inputs, orders=columns_of(self._standing, self.setup.params.topology))
                self._io.verdict(Verdict(about, accepted=True, reason=""))
                continue
            outcome = self._unusable(message, epoch_s) or with_message(self.inputs, message)
            accepted = not isinstance(outcome, str)
            if isinstance(message, Plan):
                self.plans_accepted += accepted
                self.plans_refused += not accepted
            self.inputs = self.inputs if isinstance(outcome, str) else outcome
            reason = outcome if isinstance(outcome, str) else ""
            self._io.verdict(Verdict(about, accepted=accepted, reason=reason, sequence=sequence_of(message)))

    def _unusable(self, message: object, epoch_s: float) -> str:
        """Why a plan is not taken now: then the one that is held goes on to the end of its lease."""
        if not isinstance(message, Plan):
            return ""
        return plan_refusal(message, self.state.mission, self.setup.params, self.clock_watch.trusted, epoch_s)

    def _take(self, message: RemoteReading) -> None:
        """A reading by message; one a minute and point, so that only a refusal is worth a word."""
        point = self._io.remotes.get(message.key)
        refusal = f"there is no such point: {message.key}" if point is None else point.take(message.seen)
        if refusal:
            self._io.verdict(Verdict("remotereading", accepted=False, reason=refusal))

    def _new_setup(self, new: SiteSetup) -> Verdict:
        difference = site_differences(self.setup.site, new.site)
        if difference == "parameters":
            self.setup = new
            return Verdict("site", accepted=True, reason="parameters changed at this scan")
        if difference == "topology":
            self.restart_wanted = True
            return Verdict("site", accepted=True, reason="the installation changed: starting again through failsafe")
        return Verdict("site", accepted=True, reason="nothing changed")

    def _record(
        self,
        state: ControllerState,
        outcome: tuple[Image, Commands, Report],
        now_s: float,
        epoch_s: float,
        *,
        error: str | None = None,
        imaged: bool = True,
    ) -> None:
        image, commands, report = outcome
        self._io.recorder.scan(
            self.setup, self.state, state, image, commands, report,
            number=self.number, now_s=now_s, epoch_s=epoch_s, error=error, imaged=imaged,
        )  # fmt: skip

    def _to_failsafe(self, image: Image | None, error: str, now_s: float, epoch_s: float) -> None:
        """Failsafe outputs, known to the ledger; a controller that has not begun to command stays silent."""
        params = self.setup.params
        topology = params.topology
        imaged = image is not None
        if image is None:
            image = self.last[0] if self.last is not None else self._io.gather.image({}, self._present())
        commands, state = failsafe_outcome(image, self.state, params, now_s)
        apply(commands, image, topology, self._io.sinks, self._io.outbox, now_s)
        report = report_after(self.last[2] if self.last is not None else blank_report(topology), error)
        self._record(state, (image, commands, report), now_s, epoch_s, error=error, imaged=imaged)
        self.state, self.last = state, (image, commands, report)


def _told(error: Exception) -> str:
    """The exception with its innermost lines, cut to what a journal entry should hold."""
    lines: Sequence[str] = traceback.format_exception(error)
    return "".join(lines)[-ERROR_TEXT:]
