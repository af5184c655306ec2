"""The wire side of a controller and nothing else of it: for many of them at once, and for tests of the cloud side.

It says what the contract says, over the product's own link, and keeps what it is told.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from interfaces.domain.live import LiveStatus
from interfaces.domain.plan import Plan
from interfaces.domain.plan_text import plan_of_text
from interfaces.domain.wire import (
    CONTENT_TYPE,
    Birth,
    Event,
    Mode,
    RebirthRequest,
    Receipt,
    State,
    TargetsMessage,
    read,
    write,
)
from interfaces.domain.wire import Message as Said
from interfaces.domain.wire_commands import AnswerCode, Command, CommandAnswer
from interfaces.domain.wire_head import SCHEMA, Head
from interfaces.domain.wire_live import Known, live_of
from interfaces.domain.wire_topics import ROUTES, Address, Kind, place_of
from interfaces.drivers.clock import Clock, epoch_s
from interfaces.drivers.mqtt import Broker, Link, LinkState, Message, Published, Refused, Subscription, Will
from interfaces.drivers.signing import Opened, Verifier

READS: Final = {"plan": "1.0", "targets": SCHEMA, "command": SCHEMA}


@dataclass(slots=True)
class Heard:
    """What came from the cloud side, in order. ``unsigned``: what no known key had signed."""

    plans: list[tuple[float, Plan]] = field(default_factory=list)
    targets: list[TargetsMessage] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    rebirths: list[RebirthRequest] = field(default_factory=list)
    stored: set[tuple[int, int]] = field(default_factory=set)
    unsigned: int = 0
    payload_bytes: int = 0


class Box:
    """``run`` is the task; ``tell`` says a status. ``told``: names of all messages that the broker took."""

    def __init__(
        self,
        broker: Broker,
        address: Address,
        verifier: Verifier,
        rng: random.Random,
        *,
        mode: Mode = "live",
        schemas: dict[str, str] | None = None,
        now_epoch_s: Clock = epoch_s,
        answers: bool = True,
    ) -> None:
        self.address, self._verifier, self._mode = address, verifier, mode
        self._schemas = READS if schemas is None else schemas
        self._epoch_s, self._answers = now_epoch_s, answers
        wanted = [Subscription(one, "order") for one in address.filters]
        self.link = Link(broker, wanted, rng=rng, will=self._will, on_state=self._changed)
        self.heard = Heard()
        self.told: set[tuple[int, int]] = set()
        self.payload_bytes = 0
        self.open = asyncio.Event()
        self.changed = asyncio.Event()
        self._up = asyncio.Event()
        self._session = 0
        self._seq = 0
        self._known: Known | None = None
        self._last: LiveStatus | None = None

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for work in (self.link.run(), self._open_for_ever(), self._listen()):
                tasks.create_task(work)

    async def tell(self, status: LiveStatus) -> Published | Refused:
        """The status: whole at first, then what changed."""
        self._last = status
        live, known = live_of(self.head(), status, self._known)
        said = await self.say(live)
        self._known = known if isinstance(said, Published) else None
        return said

    async def happen(self, event: Callable[[Head], Event]) -> Published | Refused:
        """Something began or ended."""
        return await self.say(event(self.head()))

    async def say(self, message: Said) -> Published | Refused:
        """Any message of the contract."""
        payload = write(message)
        kind = Kind(message.kind)
        sent = Message(self.address.topic(kind), payload, ROUTES[kind].retained, content_type=CONTENT_TYPE)
        said = await self.link.publish(sent)
        if isinstance(said, Published):
            self.payload_bytes += len(payload)
            head = getattr(message, "head", None)
            if isinstance(head, Head):
                self.told.add((head.session, head.seq))
        return said

    async def until(self, wanted: Callable[[Heard], bool]) -> None:
        """Waits until what was heard is as wanted."""
        while not wanted(self.heard):
            self.changed.clear()
            await self.changed.wait()

    def head(self) -> Head:
        """The name of the next message, and the time."""
        self._seq += 1
        return Head(self._session, self._seq - 1, round(self._epoch_s(), 3))

    def forget(self) -> None:
        """The next status is told whole."""
        self._known = None

    def _will(self) -> Will:
        self._session, self._seq = max(self._session + 1, int(self._epoch_s())), 0
        offline = State(self._session, online=False, at_epoch_s=self._epoch_s())
        return Will(Message(self.address.topic(Kind.STATE), write(offline), retain=True, content_type=CONTENT_TYPE))

    def _changed(self, state: LinkState) -> None:
        if state.connected:
            self._up.set()
        else:
            self._up.clear()
            self.open.clear()

    async def _open_for_ever(self) -> None:
        while True:
            await self._up.wait()
            self._up.clear()
            await self._introduce(again=False)
            await self.say(State(self._session, online=True, at_epoch_s=self._epoch_s()))
            self.open.set()

    async def _introduce(self, *, again: bool) -> None:
        self._known = None
        await self.say(
            Birth(
                self.head(), "bench", self.address.site, "1", "1", self._schemas, "unknown", self._epoch_s(),
                self._mode, again,
            )
        )  # fmt: skip
        if again and self._last is not None:
            await self.tell(self._last)

    async def _listen(self) -> None:
        while True:
            message = await self.link.receive()
            place = place_of(message.topic)
            if place is not None:
                self.heard.payload_bytes += len(message.payload)
                await self._take(place.kind, message.payload)
                self.changed.set()

    async def _take(self, kind: Kind, payload: bytes) -> None:
        if kind is Kind.REBIRTH and isinstance(request := read(payload, RebirthRequest), RebirthRequest):
            self.heard.rebirths.append(request)
            await self._introduce(again=True)
        elif kind is Kind.RECEIPT and isinstance(receipt := read(payload, Receipt), Receipt):
            for session, first, last in receipt.stored:
                self.heard.stored.update((session, seq) for seq in range(first, last + 1))
        elif kind is Kind.PLAN and (opened := self._opened("plan", payload)) is not None:
            plan = plan_of_text(opened.body, opened.key_id)
            if isinstance(plan, Plan):
                self.heard.plans.append((self._epoch_s(), plan))
        elif kind is Kind.TARGETS and (opened := self._opened("targets", payload)) is not None:
            targets = read(opened.body, TargetsMessage)
            if isinstance(targets, TargetsMessage):
                self.heard.targets.append(targets)
        elif kind is Kind.COMMAND and (opened := self._opened("command", payload)) is not None:
            await self._ordered(read(opened.body, Command))

    async def _ordered(self, command: object) -> None:
        if isinstance(command, Command):
            self.heard.commands.append(command)
            if self._answers:
                await self.say(CommandAnswer(self.head(), command.id, AnswerCode.DONE, f"{command.order.do} is done"))

    def _opened(self, kind: Literal["plan", "targets", "command"], payload: bytes) -> Opened | None:
        opened = self._verifier.open(kind, payload)
        if isinstance(opened, Opened):
            return opened
        self.heard.unsigned += 1
        return None
