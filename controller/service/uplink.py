"""The gateway's side of the wire: what the site says to the cloud and when, and what becomes of what the cloud says.

Everything measured is kept on disk until the cloud side has stored it; the scan notices nothing of any of this. Without
a broker in the service file, or a certificate from enrolment, there is no uplink.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from controller.service.happenings import Happenings, place_of
from controller.service.health import Known, alarm_key, problems
from controller.service.journal_window import JournalWindow
from controller.service.kept import Kept
from controller.service.quarter import Quarter, Quarters
from controller.service.site_setup import SiteSetup
from controller.service.spool import Spool, SpoolThread
from controller.service.spool_table import Bounds
from controller.service.teller import Teller, config_version
from controller.service.uplink_access import Access
from controller.service.uplink_line import Line, Sleep, Spools
from controller.service.uplink_state import UplinkState
from interfaces.domain.live import live_status
from interfaces.domain.telemetry import ScanRecord
from interfaces.domain.wire import Message, Mode, RebirthRequest, Receipt, read
from interfaces.domain.wire_head import Head, WireRefusal
from interfaces.domain.wire_modes import MODES
from interfaces.domain.wire_topics import Address, Kind
from interfaces.domain.wire_topics import place_of as topic_place
from interfaces.drivers.clock import Clock, epoch_s, monotonic_s
from interfaces.drivers.mqtt import Broker

log = logging.getLogger(__name__)

STEP_S: Final = 1.0
FRESH_S: Final = 5.0
"""A scan older than this is not told as live: nobody measured it now."""
KEEP_EVERY_S: Final = 60.0
"""How much of a quarter's energy a killed process loses at most."""
MOST_QUARTERS: Final = 200
"""Quarters remembered while nobody has said yet who this box is to the cloud."""
REBIRTH_S: Final = 10.0
AGAIN_S: Final = 5.0
NOT_TAKEN_S: Final = 60.0
"""A piece of the journal that the broker did not take leaves a gap in the numbers; this often at most."""
SESSION, QUARTER, OPEN_EVENTS = "session", "quarter", "open_events"

Answer = tuple[Kind, Callable[[Head], Message]]
"""A message for the cloud, around the head it will be given."""


class Inbound(Protocol):
    """Who decides about plans, targets and commands."""

    async def take(self, kind: Kind, payload: bytes) -> Sequence[Answer]:
        """Judge one message, act on it, and say what became of it."""

    async def look(self) -> Sequence[Answer]:
        """Once a second: what became of earlier messages by now."""


@dataclass(frozen=True, slots=True)
class UplinkConfig:
    """``access`` tells the broker and who we are, None while there is none. ``live_s`` None: as the mode says."""

    state_dir: Path
    access: Callable[[], Access | None]
    bounds: Bounds
    mode: Mode = "live"
    live_s: float | None = None


@dataclass(frozen=True, slots=True)
class Times:
    """The clocks; tests have their own. ``epoch_s`` is UTC."""

    now_s: Clock = monotonic_s
    epoch_s: Clock = epoch_s
    sleep: Sleep = asyncio.sleep


class Uplink:
    """``run`` is the task. ``scan`` counts every scan; ``known`` is what the gateway knows."""

    def __init__(
        self,
        config: UplinkConfig,
        known: Callable[[], Known],
        inbound: Inbound,
        rng: random.Random,
        times: Times | None = None,
        window: JournalWindow | None = None,
    ) -> None:
        times = Times() if times is None else times
        self._config, self._known, self._inbound, self._rng, self._times = config, known, inbound, rng, times
        self._window = window
        folder, bounds = config.state_dir, config.bounds
        self._spools = Spools(
            Spool(folder / "state.db", bounds, self._trusted_epoch_s, synchronous="FULL"),
            Spool(folder / "history.db", bounds, self._trusted_epoch_s, synchronous="NORMAL"),
        )
        self._kept = Kept(folder / "state.db")
        self._teller = Teller(0, times.epoch_s, config.mode)
        self._happenings = Happenings()
        self._quarters = Quarters()
        self._ended: deque[Quarter] = deque(maxlen=MOST_QUARTERS)
        self._line: Line | None = None
        self._live_due_s = self._keep_due_s = self._reborn_s = float("-inf")
        self._config_version = ""

    @property
    def state(self) -> UplinkState:
        """How it is now."""
        if self._line is not None:
            return self._line.state
        return UplinkState(events=self._spools.events.state, telemetry=self._spools.telemetry.state)

    def scan(self, record: ScanRecord, setup: SiteSetup) -> None:
        """Count one scan."""
        ended = self._quarters.add(record, setup.params.topology)
        if ended is not None:
            self._ended.append(ended)

    async def run(self) -> None:
        """Until cancelled; then everything is on disk."""
        await asyncio.to_thread(self._resume)
        threads = [SpoolThread(self._spools.events), SpoolThread(self._spools.telemetry)]
        beside = [asyncio.create_task(self._for_ever(one)) for one in (self._speak, self._send_journal)]
        try:
            await self._for_ever(self._serve)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            await asyncio.to_thread(self._keep)
            await asyncio.gather(*(asyncio.to_thread(thread.close) for thread in threads))

    def _resume(self) -> None:
        """Go on where the process before ended."""
        session = self._kept.read(SESSION)
        last = int(session) if session.isdigit() else 0
        self._teller = Teller(last, self._times.epoch_s, self._config.mode)
        self._kept.put(SESSION, str(self._teller.session).encode())
        self._quarters.resume(self._kept.read(QUARTER))
        self._happenings.resume(self._kept.read(OPEN_EVENTS), self._times.now_s())

    def _keep(self) -> None:
        self._kept.put(QUARTER, self._quarters.saved())

    async def _remember(self, session: int) -> None:
        await asyncio.to_thread(self._kept.put, SESSION, str(session).encode())

    async def _serve(self) -> None:
        """One line, as long as broker, names and site stay what they are."""
        access, address = self._config.access(), self._address()
        if access is None or address is None:
            return
        line = self._line = Line(
            _broker(access, self._config.mode), address, self._spools, self._teller,
            birth=self._birth, opened=self._opened, remember=self._remember,
            receipt_s=MODES[self._config.mode].receipt_s,
            now_s=self._times.now_s, sleep=self._times.sleep, rng=self._rng,
        )  # fmt: skip
        tasks = [
            asyncio.create_task(work)
            for work in (line.run(), self._listen_for_ever(line, address), self._stays(access))
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await line.leave()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _stays(self, access: Access) -> None:
        """Returns when the broker, our name or the site is another one."""
        address = self._address()
        while (self._config.access(), self._address()) == (access, address):
            await self._times.sleep(AGAIN_S)

    def _address(self) -> Address | None:
        access, setup = self._config.access(), self._known().setup
        return (
            None if access is None or setup is None else Address(access.organisation, setup.site.id, access.controller)
        )

    def _birth(self, again: bool) -> bytes | None:
        known = self._known()
        if known.setup is None or known.hello is None:
            return None
        if not again:
            self._teller.begin()
        self._config_version = config_version(known.setup)
        return self._teller.birth(known.setup, known.hello, again=again)

    def _opened(self) -> None:
        """A whole status follows every birth."""
        self._teller.forget()
        self._live_due_s = float("-inf")

    async def _for_ever(self, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            if not await self._tried(step, step.__name__):
                await self._times.sleep(AGAIN_S)
            await self._times.sleep(STEP_S)

    async def _tried(self, step: Callable[[], Awaitable[None]], what: str) -> bool:
        try:
            await step()
        except Exception:
            log.exception("the way to the cloud failed at %s", what)
            return False
        return True

    async def _speak(self) -> None:
        line, known = self._line, self._known()
        if line is None or known.setup is None:
            return
        while self._ended:
            line.say(self._teller.energy(self._ended.popleft()))
        self._tell_live(line, known, known.setup)
        self._tell_config(line, known, known.setup)
        for kind, answer in await self._inbound.look():
            line.say(self._teller.answer(kind, answer))
        if self._tell_events(line, known):
            await asyncio.to_thread(self._kept.put, OPEN_EVENTS, self._happenings.saved())
        now_s = self._times.now_s()
        if now_s >= self._keep_due_s:
            self._keep_due_s = now_s + KEEP_EVERY_S
            await asyncio.to_thread(self._keep)

    async def _send_journal(self) -> None:
        """One piece of the journal that somebody asked for, a second and behind everything else."""
        line, window, now_s = self._line, self._window, self._times.now_s()
        if window is None or window.rests:
            return
        patience_s = line.confirm_s if line is not None and line.is_idle else None
        found = await asyncio.to_thread(window.next, now_s, self._trusted_epoch_s(), patience_s)
        if line is None or found is None:
            return
        number, piece = found
        head, payload = self._teller.piece(piece)
        window.sending(number, head, now_s)
        if not await line.told(Kind.JOURNAL, payload):
            window.not_sent(head)
            await self._times.sleep(NOT_TAKEN_S)

    def _tell_live(self, line: Line, known: Known, setup: SiteSetup) -> None:
        now_s, record = self._times.now_s(), known.record
        if record is None or now_s - known.record_s > FRESH_S or now_s < self._live_due_s:
            return
        mode = MODES[self._config.mode]
        period_s = self._config.live_s or mode.live_s
        late_s = now_s - self._live_due_s
        self._live_due_s = self._live_due_s + period_s if late_s < period_s else now_s + period_s
        line.say(self._teller.live(live_status(record, setup.params.topology, setup.site.id), mode.whole_s))

    def _tell_config(self, line: Line, known: Known, setup: SiteSetup) -> None:
        version = config_version(setup)
        if line.is_open and version != self._config_version and known.hello is not None:
            self._config_version = version
            line.tell(Kind.CONFIG, self._teller.config(setup, known.hello.software).now)

    def _tell_events(self, line: Line, known: Known) -> bool:
        """Whether there were any."""
        now_s, at_epoch_s = self._times.now_s(), self._times.epoch_s()
        places = {}
        if known.record is not None and known.setup is not None:
            topology = known.setup.params.topology
            places = {alarm_key(alarm): place_of(alarm, topology) for alarm in known.record.report.alarms}
        happened = self._happenings.update(problems(known, now_s), places, now_s, at_epoch_s)
        for happening in happened:
            line.say(self._teller.event(happening, at_epoch_s))
        return bool(happened)

    async def _listen_for_ever(self, line: Line, address: Address) -> None:
        while True:
            message = await line.link.receive()
            place = topic_place(message.topic)
            if place is None or place.address != address:
                continue
            # A retained message comes again with the next line: whatever it does, it must not end this one.
            await self._tried(partial(self._heard, line, place.kind, message.payload), place.kind)

    async def _heard(self, line: Line, kind: Kind, payload: bytes) -> None:
        match kind:
            case Kind.REBIRTH:
                self._reborn(line, read(payload, RebirthRequest))
            case Kind.RECEIPT:
                self._receipt(line, read(payload, Receipt))
            case _:
                for answered, answer in await self._inbound.take(kind, payload):
                    line.say(self._teller.answer(answered, answer))

    def _reborn(self, line: Line, request: RebirthRequest | WireRefusal) -> None:
        now_s = self._times.now_s()
        if isinstance(request, RebirthRequest) and now_s - self._reborn_s >= REBIRTH_S:
            self._reborn_s = now_s
            line.reborn()

    def _receipt(self, line: Line, receipt: Receipt | WireRefusal) -> None:
        if isinstance(receipt, Receipt):
            line.receipt(receipt)
            if self._window is not None:
                self._window.receipt(receipt.stored)

    def _trusted_epoch_s(self) -> float | None:
        """UTC, None while the field process says that the wall clock is not to be believed, or says nothing."""
        status = self._known().status
        return None if status is None or status.clock == "untrusted" else self._times.epoch_s()


def _broker(access: Access, mode: Mode) -> Broker:
    return Broker(
        access.host, access.port, access.ca_file, access.cert_file, access.key_file, access.controller,
        keepalive_s=MODES[mode].keepalive_s,
    )  # fmt: skip
