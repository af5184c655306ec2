"""One line to the cloud: opens a session, sends what is said at once where it can, and what waits behind it.

A message is sent, then confirmed by a receipt of the cloud side, then forgotten. The broker's word alone is not enough:
it takes messages also while nobody listens. What no receipt names in time waits again, and while receipts stay away
of what waits only one message a minute is sent; it or a message of the moment finds out when the cloud listens again.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from controller.service.spool import Entry, Spool
from controller.service.spool_pace import Pace
from controller.service.teller import Saying, Teller
from controller.service.uplink_state import UplinkState
from interfaces.domain.wire import CONTENT_TYPE, Receipt
from interfaces.domain.wire_live import Known as Shown
from interfaces.domain.wire_topics import ROUTES, Address, Kind, place_of
from interfaces.drivers.clock import Clock
from interfaces.drivers.mqtt import Broker, Link, LinkState, Message, Published, Refused, Subscription, Will

log = logging.getLogger(__name__)

RECEIPTS_MISSED: Final = 2
SLACK_S: Final = 30.0
"""A message that two receipts in a row could have named, and some time besides, was not stored."""
WINDOW: Final = 400
"""Messages from disk that may be on the way without a receipt; the cloud side confirms every 200 at once."""
DIRECT: Final = 50
"""Messages of the moment that may be; more of them wait their turn on disk."""
PROBE_S: Final = 60.0
"""How often something from disk is tried while the cloud confirms nothing."""
STEP_S: Final = 0.2
DENIED_S: Final = 10.0
"""Until a refused birth or a refused message from disk is tried again."""
LEAVE_S: Final = 2.0
IN_ORDER: Final = frozenset({Kind.EVENT, Kind.PLAN_ACK, Kind.ANSWER})
"""Kinds whose order tells something: none is sent while an earlier one waits."""

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Spools:
    """Where messages wait: what has an order, synced one by one, and the rest."""

    events: Spool
    telemetry: Spool

    def of(self, kind: Kind) -> Spool:
        """The one for this kind."""
        return self.events if kind in IN_ORDER else self.telemetry


@dataclass(slots=True, eq=False)
class _Sent:
    """Taken by the broker and not confirmed yet. ``waited``: it came from disk."""

    entry: Entry
    spool: Spool
    at_s: float
    waited: bool


@dataclass(slots=True)
class _Counts:
    sent: int = 0
    denied: dict[str, str] = field(default_factory=dict)


class Line:
    """The line for one address. ``run`` is the task; ``say`` returns at once.

    ``birth`` writes the birth, ``opened`` is called once a session is open, ``remember`` keeps the number of a session.
    ``receipt_s``: how often the cloud side confirms.
    """

    def __init__(
        self,
        broker: Broker,
        address: Address,
        spools: Spools,
        teller: Teller,
        *,
        birth: Callable[[bool], bytes | None],
        opened: Callable[[], None],
        remember: Callable[[int], Awaitable[None]],
        receipt_s: float,
        now_s: Clock,
        sleep: Sleep,
        rng: random.Random,
    ) -> None:
        self._address, self._spools, self._teller = address, spools, teller
        self._birth, self._on_open, self._remember = birth, opened, remember
        self._now_s, self._sleep = now_s, sleep
        self._confirm_s = RECEIPTS_MISSED * receipt_s + SLACK_S
        self.link = Link(
            broker,
            [_subscription(topic) for topic in address.filters],
            rng=rng,
            will=self._will,
            sleep=sleep,
            now_s=now_s,
            on_state=self._changed,
        )
        self.is_open = False
        self._counts = _Counts()
        self._since_s = now_s()
        self._was_connected = False
        self._connected = asyncio.Event()
        self._sending: set[asyncio.Task[bool]] = set()
        self._sent: list[_Sent] = []
        self._confirmed = True
        self._behind = True
        """Something that has an order may wait on disk."""
        self._pace = Pace(now_s())
        self._spoken = 0
        self._leaving = False
        self._probe_s = now_s()
        self._not_before_s = {spools.events: now_s(), spools.telemetry: now_s()}

    @property
    def state(self) -> UplinkState:
        """How it is now."""
        return UplinkState(
            link=self.link.state,
            since_s=self._since_s,
            session=self._teller.session,
            confirmed=self._confirmed,
            denied=dict(self._counts.denied),
            sent=self._counts.sent,
            dropped=sum(self.link.dropped.values()),
            events=self._spools.events.state,
            telemetry=self._spools.telemetry.state,
        )

    def say(self, saying: Saying) -> None:
        """Send it now where that is possible, and keep it until it is confirmed."""
        spool = self._spools.of(saying.kind)
        late = self._behind and saying.kind in IN_ORDER
        direct = self.is_open and not late and len(self._sending) < DIRECT
        entry = spool.put(saying.later, held=direct)
        if direct:
            self._start(self._send(entry, spool, saying.kind, saying.now, shown=saying.base))
        else:
            self._rests(saying.kind)

    def tell(self, kind: Kind, payload: bytes, *, retain: bool = False) -> None:
        """Send what nobody misses later."""
        self._start(self._tell(kind, payload, retain=retain))

    def reborn(self) -> None:
        """Somebody missed something: a birth of this session, and a whole status after it."""
        birth = self._birth(True)
        if self.is_open and birth is not None:
            self._teller.forget()
            self.tell(Kind.BIRTH, birth)
            self._on_open()

    def receipt(self, receipt: Receipt) -> None:
        """The cloud has stored these."""
        self._confirmed = True
        for arrived in receipt.stored:
            self._spools.events.arrived(arrived)
            self._spools.telemetry.arrived(arrived)
        self._sent = [one for one in self._sent if not one.entry.settled]

    @property
    def is_idle(self) -> bool:
        """Whether something that is behind everything else may go: nothing waits, and the cloud confirms."""
        waiting = self._spools.events.resting + self._spools.telemetry.resting
        return self.is_open and self._confirmed and not waiting

    @property
    def confirm_s(self) -> float:
        """What was sent and is without a receipt for so long was not stored."""
        return self._confirm_s

    async def told(self, kind: Kind, payload: bytes) -> bool:
        """Send what somebody else keeps until it is confirmed; whether the broker took it."""
        return await self._tell(kind, payload)

    async def leave(self) -> None:
        """Say that we go: the broker tells no will of somebody who takes leave."""
        self._leaving = True
        if self.is_open:
            self.is_open = False
            with suppress(TimeoutError):
                async with asyncio.timeout(LEAVE_S):
                    await self._tell(Kind.STATE, self._teller.state(self._teller.session, online=False), retain=True)

    async def run(self) -> None:
        """Keeps the line until it is cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for work in (self.link.run(), self._open_for_ever(), self._drain_for_ever(), self._look_for_ever()):
                    tasks.create_task(work)
        finally:
            self.is_open = False
            for task in tuple(self._sending):
                task.cancel()
            await asyncio.gather(*self._sending, return_exceptions=True)
            for one in self._sent:
                one.spool.release(one.entry)

    def _will(self) -> Will:
        offline = self._teller.state(self._teller.announce(), online=False)
        return Will(self._message(Kind.STATE, offline, retain=True))

    def _changed(self, state: LinkState) -> None:
        if state.connected != self._was_connected:
            self._was_connected, self._since_s = state.connected, self._now_s()
        if state.connected:
            self._connected.set()
        else:
            self._connected.clear()
            self.is_open = False

    async def _open_for_ever(self) -> None:
        while True:
            await self._connected.wait()
            if self.is_open or self._leaving or await self._open():
                await self._sleep(STEP_S)
            else:
                await self._sleep(DENIED_S)

    async def _open(self) -> bool:
        """Birth and state of a new session; whether the broker took them."""
        birth = self._birth(False)
        if birth is None:
            return False  # no scan yet: who we are is not known
        await self._remember(self._teller.session)
        if not await self._tell(Kind.BIRTH, birth):
            return False
        await self._tell(Kind.STATE, self._teller.state(self._teller.session, online=True), retain=True)
        self.is_open = self._connected.is_set()
        self._confirmed, self._behind = True, True
        if self.is_open:
            self._on_open()
        return self.is_open

    async def _drain_for_ever(self) -> None:
        while True:
            await self._sleep(max(STEP_S, self._pace.at(self._now_s()).wait_s))
            if self.is_open and (self._confirmed or self._now_s() >= self._probe_s):
                await self._drain()

    async def _drain(self) -> None:
        """Send some of what waits: what has an order first, one after the other; the rest side by side."""
        events, telemetry = self._spools.events, self._spools.telemetry
        if self._behind:
            for entry in await self._next(events):
                if not await self._again(entry, events):
                    break
        await asyncio.gather(*(self._again(entry, telemetry) for entry in await self._next(telemetry)))

    async def _next(self, spool: Spool) -> list[Entry]:
        """As many as may go now. Finding no event that waits means that the next one need not wait."""
        self._pace = self._pace.at(self._now_s())
        most = WINDOW if self._confirmed else 1
        room = min(self._pace.whole, most - sum(one.waited for one in self._sent))
        if room <= 0 or self._now_s() < self._not_before_s[spool]:
            return []
        spoken = self._spoken
        found = await asyncio.to_thread(spool.oldest, room) if spool.resting else []
        if spool is self._spools.events:
            self._behind = bool(found) or spoken != self._spoken or spool.unread
        return found

    async def _again(self, entry: Entry, spool: Spool) -> bool:
        if not self.is_open:
            return False
        if entry.told.kind not in Kind.__members__.values():  # left by a newer version of this program
            spool.settle(entry, "damage")
            return True
        if not spool.hold(entry):
            return True
        self._pace = self._pace.taken(1)
        self._probe_s = self._now_s() + PROBE_S
        sent = await self._send(entry, spool, Kind(entry.told.kind), entry.told.payload, waited=True)
        if not sent:
            self._not_before_s[spool] = self._now_s() + DENIED_S
        return sent

    async def _send(
        self,
        entry: Entry,
        spool: Spool,
        kind: Kind,
        payload: bytes,
        *,
        shown: Shown | None = None,
        waited: bool = False,
    ) -> bool:
        """Send one message that is held; afterwards it waits for its receipt, or for its turn on disk."""
        try:
            outcome = await self._publish(kind, payload)
        except asyncio.CancelledError:
            spool.release(entry)
            raise
        if isinstance(outcome, Published):
            if not entry.settled:
                self._sent.append(_Sent(entry, spool, self._now_s(), waited))
            if shown is not None and shown.session == self._teller.session:
                self._teller.knows(shown)
            return True
        if outcome.fault == "message":
            log.error("message_lost kind=%s reason=%r", kind, outcome.reason)
            spool.settle(entry, "refused")
            return True
        spool.release(entry)
        self._rests(kind)
        return False

    async def _tell(self, kind: Kind, payload: bytes, *, retain: bool = False) -> bool:
        return isinstance(await self._publish(kind, payload, retain=retain), Published)

    async def _publish(self, kind: Kind, payload: bytes, *, retain: bool = False) -> Published | Refused:
        outcome = await self.link.publish(self._message(kind, payload, retain=retain))
        if isinstance(outcome, Published):
            self._counts.sent += 1
            self._counts.denied.pop(kind, None)
        elif outcome.fault == "rules":
            self._counts.denied[kind] = outcome.reason
        return outcome

    def _message(self, kind: Kind, payload: bytes, *, retain: bool = False) -> Message:
        expiry_s = ROUTES[kind].expiry_s
        topic = self._address.topic(kind)
        return Message(topic, payload, retain=retain, content_type=CONTENT_TYPE, expiry_s=expiry_s)

    async def _look_for_ever(self) -> None:
        while True:
            await self._sleep(1.0)
            self._give_up_waiting()

    def _give_up_waiting(self) -> None:
        """What was not confirmed in time waits again."""
        now_s = self._now_s()
        late = [one for one in self._sent if now_s - one.at_s > self._confirm_s and not one.entry.settled]
        for one in late:
            one.spool.release(one.entry)
            self._rests(Kind(one.entry.told.kind))
        if late:
            self._confirmed = False
            self._probe_s = now_s + PROBE_S
        self._sent = [one for one in self._sent if now_s - one.at_s <= self._confirm_s and not one.entry.settled]

    def _rests(self, kind: Kind) -> None:
        """A message of this kind has to wait: those behind it, where their order counts, do so too."""
        if kind in IN_ORDER:
            self._behind = True
            self._spoken += 1

    def _start(self, work: Coroutine[None, None, bool]) -> None:
        task = asyncio.create_task(work)
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)


def _subscription(topic: str) -> Subscription:
    """Of plans, targets and calls for a birth the newest counts; of commands and receipts each one."""
    place = place_of(topic)
    each = place is not None and place.kind in {Kind.COMMAND, Kind.RECEIPT}
    return Subscription(topic, "order" if each else "latest")
