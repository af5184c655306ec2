"""One connection to the broker for all sites of a process: what controllers say comes in, plans and orders go out.

``CloudLink.run`` is the task of one event loop, usually in a thread of its own (``mqtt_site.CloudThread``); what is
listed as callable from any thread waits for nobody. Of plans and targets the newest per site waits for the broker;
orders keep their sequence. What comes in is answered with a receipt once the store has it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

from interfaces.domain.wire import Birth, PlanAck, RebirthRequest, write
from interfaces.domain.wire_commands import Command, CommandAnswer
from interfaces.domain.wire_modes import MODES
from interfaces.domain.wire_topics import ROUTES, Address, Kind, cloud_filters
from interfaces.drivers.clock import Clock, epoch_s, monotonic_s
from interfaces.drivers.mqtt import Broker, Condition, Link, LinkState, Message, Published, Subscription
from interfaces.drivers.mqtt import Refused as NotSent
from interfaces.drivers.signing import Signer
from optimizer.service.ingest import Arrival, Ingest, Refused, TelemetryStore
from optimizer.service.port import LinkError

log = logging.getLogger(__name__)

FLUSH_S: Final[float] = 1.0
"""What came within this time goes to the store as one batch."""
BATCH: Final[int] = 5000
"""Messages handed to the store at once."""
QUEUE: Final[int] = 10_000
"""Messages per class that may wait to be looked at: three minutes of 500 sites at one message in 10 s."""
STORE_RETRY_S: Final[float] = 5.0
MAX_ORDERS: Final[int] = 1000
"""Commands that may wait for the broker."""
MOST_ODD: Final[int] = 1000
"""Controllers whose refusals are remembered, so that each is told once."""
WHY_LENGTH: Final[int] = 300


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to a controller. ``until_epoch_s``: after it nobody needs it; ``command``: its id, if it is one."""

    address: Address
    kind: Kind
    payload: bytes
    until_epoch_s: float | None = None
    command: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Somebody waits for the answer of one controller to a command."""

    address: Address
    until_epoch_s: float
    answer: Future[CommandAnswer | LinkError]


class CloudLink:
    """The connection. ``on_arrival`` is called in the link's loop for every believed message that was no repetition."""

    def __init__(
        self,
        broker: Broker,
        store: TelemetryStore,
        *,
        rng: random.Random,
        now_s: Clock = monotonic_s,
        now_epoch_s: Clock = epoch_s,
        on_arrival: Callable[[Arrival], None] | None = None,
        filters: tuple[str, ...] = cloud_filters(),
        flush_s: float = FLUSH_S,
    ) -> None:
        subscriptions = [Subscription(one, "order", limit=QUEUE) for one in filters]
        self.link = Link(broker, subscriptions, rng=rng, on_state=self._on_state)
        self.ingest = Ingest(store)
        self._store = store
        self._now_s, self._epoch_s, self._flush_s = now_s, now_epoch_s, flush_s
        self._on_arrival = on_arrival
        self._lock = threading.Lock()
        self._newest: dict[tuple[Address, Kind], Outgoing] = {}
        self._orders: deque[Outgoing] = deque()
        self._answers: dict[str, Waiting] = {}
        self._sent_s: dict[tuple[Address, Kind], float] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._some = asyncio.Event()
        self._room = asyncio.Event()
        self._conditions: dict[str, str] = {}
        self._odd: dict[str, set[str]] = {}

    async def run(self) -> None:
        """Until it is cancelled. What was taken and not stored yet is handed to the store before it ends."""
        self._loop = asyncio.get_running_loop()
        tasks = [asyncio.create_task(work()) for work in (self.link.run, self._listen, self._keep, self._send)]
        try:
            await asyncio.gather(*tasks)
        finally:
            self._loop = None
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await self._flush()
            self._expire_answers(float("inf"))

    # -- from any thread ----------------------------------------------------------------------------------------------

    @property
    def conditions(self) -> dict[str, str]:
        """What is wrong now and does not concern one site alone: the connection, the store, refused messages."""
        return dict(self._conditions)

    @property
    def waiting(self) -> int:
        """Messages that the broker has not got yet."""
        with self._lock:
            return len(self._newest) + len(self._orders)

    def birth(self, address: Address) -> Birth | None:
        """How a controller introduced itself in its present session."""
        hearing = self.ingest.hearings.get(address)
        return None if hearing is None else hearing.birth

    def publish(self, outgoing: Outgoing) -> LinkError | None:
        """Take a message on its way. Of plans and targets only the newest waits, also while the broker is away."""
        with self._lock:
            if outgoing.kind is not Kind.COMMAND:
                self._newest[outgoing.address, outgoing.kind] = outgoing
            elif len(self._orders) < MAX_ORDERS:
                self._orders.append(outgoing)
            else:
                return LinkError(f"{MAX_ORDERS} commands already wait for the broker")
        self._in_loop(self._some.set)
        return None

    def order(self, address: Address, command: Command, signer: Signer) -> Future[CommandAnswer | LinkError]:
        """Send a command; its answer, or why there is none by the time the command has expired."""
        answer: Future[CommandAnswer | LinkError] = Future()
        with self._lock:
            self._answers[command.id] = Waiting(address, command.expires_epoch_s, answer)
        body = signer.sign("command", write(command).decode())
        error = self.publish(Outgoing(address, Kind.COMMAND, body, command.expires_epoch_s, command.id))
        if error is not None:
            self._answered(command.id, address, error)
        return answer

    def _in_loop(self, call: Callable[[], None]) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(call)

    # -- in the loop --------------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        while True:
            if self.ingest.full:  # the link's own queues fill up meanwhile and count what they drop
                self._room.clear()
                await self._room.wait()
            message = await self.link.receive()
            await asyncio.sleep(0)  # a full queue must not keep everybody else from his turn
            found = self.ingest.take(message.topic, message.payload, self._now_s(), self._epoch_s())
            if isinstance(found, Refused):
                self._refused(found)
            elif found is not None:
                self._heard(found)

    def _heard(self, arrival: Arrival) -> None:
        said = arrival.message
        self._odd.pop(arrival.address.controller, None)
        if isinstance(said, CommandAnswer):
            self._answered(said.command, arrival.address, said)
        elif isinstance(said, PlanAck) and not said.accepted:
            log.warning(
                "plan_refused site=%s controller=%s sequence=%d code=%s text=%r",
                arrival.address.site, arrival.address.controller, said.sequence, said.code, said.text,
            )  # fmt: skip
        elif isinstance(said, Birth):
            self._some.set()  # it may be one for whom something waits
        if self._on_arrival is not None:
            self._on_arrival(arrival)

    def _refused(self, found: Refused) -> None:
        """One line per controller and kind of refusal until it says something right; all are counted."""
        who = "" if found.place is None else found.place.address.controller
        known = (
            self._odd.setdefault(who, set()) if who in self._odd or len(self._odd) < MOST_ODD else {found.refusal.code}
        )
        if found.refusal.code not in known:
            known.add(found.refusal.code)
            log.warning("message_refused controller=%s code=%s text=%r", who, found.refusal.code, found.refusal.reason)

    async def _keep(self) -> None:
        """Batches to the store, receipts and rebirth requests to the controllers."""
        while True:
            await asyncio.sleep(self._flush_s)
            if not await self._flush():
                await asyncio.sleep(STORE_RETRY_S)
            dropped = sum(self.link.dropped.values())
            self._say("dropped", f"{dropped} messages lost: the store or this process is too slow" if dropped else "")
            self._expire_answers(self._epoch_s())
            if not self.link.state.connected:
                continue
            now_s, now_epoch_s = self._now_s(), self._epoch_s()
            for address, receipt in self.ingest.receipts(now_s, now_epoch_s):
                await self._tell(address, Kind.RECEIPT, write(receipt))
            for address, session, why in self.ingest.rebirths(now_s):
                log.info("rebirth site=%s controller=%s why=%r", address.site, address.controller, why)
                await self._tell(address, Kind.REBIRTH, write(RebirthRequest(now_epoch_s, session, why[:WHY_LENGTH])))

    async def _flush(self) -> bool:
        """Hand over what waits; whether the store took it."""
        while batch := self.ingest.batch()[:BATCH]:
            error = await asyncio.to_thread(self._store.add, batch)
            self._say("store", "" if error is None else error.reason)
            if error is not None:
                return False
            self.ingest.stored(len(batch))
            self._room.set()
        return True

    async def _tell(self, address: Address, kind: Kind, payload: bytes) -> None:
        """Something small that is told again by itself when it gets lost."""
        await self.link.publish(Message(address.topic(kind), payload, expiry_s=ROUTES[kind].expiry_s))

    async def _send(self) -> None:
        """Everything that waits. It looks again every second too, for plans that are held back."""
        while True:
            self._some.clear()
            while self.link.state.connected and (outgoing := self._next()) is not None:
                if not await self._attempt(outgoing):
                    break
            try:
                async with asyncio.timeout(self._flush_s):
                    await self._some.wait()
            except TimeoutError:
                continue

    def _next(self) -> Outgoing | None:
        now_s = self._now_s()
        with self._lock:
            if self._orders:
                return self._orders[0]
            return next((one for one in self._newest.values() if not self._held_back(one, now_s)), None)

    def _held_back(self, outgoing: Outgoing, now_s: float) -> bool:
        """Plans and targets to a line that is paid by the megabyte keep their distance."""
        birth, sent_s = self.birth(outgoing.address), self._sent_s.get((outgoing.address, outgoing.kind))
        if birth is None or sent_s is None:
            return False
        mode = MODES[birth.mode]
        return now_s < sent_s + (mode.plan_s if outgoing.kind is Kind.PLAN else mode.targets_s)

    async def _attempt(self, outgoing: Outgoing) -> bool:
        """Send it; False where it waits on, because the line did not carry it."""
        left_s = None if outgoing.until_epoch_s is None else outgoing.until_epoch_s - self._epoch_s()
        if left_s is not None and left_s < 1.0:
            self._done(outgoing)
            return True
        route, topic = ROUTES[outgoing.kind], outgoing.address.topic(outgoing.kind)
        expiry_s = route.expiry_s if left_s is None else int(left_s)
        said = await self.link.publish(Message(topic, outgoing.payload, route.retained, expiry_s=expiry_s))
        if isinstance(said, NotSent) and not self.link.state.connected:
            return False  # it waits for the next connection
        # A broker that hangs is noticed later than its silence. Who gave a command is told instead.
        again = isinstance(said, NotSent) and said.fault == "line" and not outgoing.command
        if not again:
            self._done(outgoing)
        self._say(
            f"sending {outgoing.kind} to {outgoing.address.controller}",
            "" if isinstance(said, Published) else said.reason,
        )
        if isinstance(said, NotSent) and outgoing.command:
            self._answered(outgoing.command, outgoing.address, LinkError(f"the broker did not take it: {said.reason}"))
        elif isinstance(said, Published) and not outgoing.command:
            self._sent_s[outgoing.address, outgoing.kind] = self._now_s()
        return not again

    def _done(self, outgoing: Outgoing) -> None:
        with self._lock:
            if outgoing.kind is Kind.COMMAND:
                self._orders.remove(outgoing)
            elif self._newest.get((outgoing.address, outgoing.kind)) is outgoing:
                del self._newest[outgoing.address, outgoing.kind]

    def _answered(self, command: str, address: Address, answer: CommandAnswer | LinkError) -> None:
        """Only who was asked can answer."""
        with self._lock:
            waiting = self._answers.get(command)
            if waiting is None or waiting.address != address:
                return
            del self._answers[command]
        waiting.answer.set_result(answer)

    def _expire_answers(self, now_epoch_s: float) -> None:
        for command, waiting in list(self._answers.items()):
            if waiting.until_epoch_s < now_epoch_s:
                self._answered(command, waiting.address, LinkError("no answer came before the command expired"))

    def _on_state(self, state: LinkState) -> None:
        if state.condition is not Condition.ENDED:  # we took leave
            self._say("broker", "" if state.connected and not state.reason else state.reason or str(state.condition))
        self._some.set()

    def _say(self, key: str, text: str) -> None:
        """A line when something begins to be wrong and one when it is over."""
        if text and key not in self._conditions:
            log.warning("condition link=broker key=%r text=%r", key, text)
        elif not text and key in self._conditions:
            log.info("condition_over link=broker key=%r", key)
        if text:
            self._conditions[key] = text
        else:
            self._conditions.pop(key, None)
