"""Messages of the broker and the bounded queue in which they wait.

aiomqtt's own queue is unbounded, or drops the newest of everything when it is not. A plan that waits is worth nothing
once a newer one is here; commands keep their order and none is skipped silently.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from paho.mqtt.client import topic_matches_sub

QUEUE_MESSAGES: Final = 200
QUEUE_BYTES: Final = 64 * 1024 * 1024
"""Of payloads that wait in order per subscription, so that a few large ones do not fill the memory."""
SHARED: Final = "$share/"


@dataclass(frozen=True, slots=True)
class Message:
    """One message. ``expiry_s``: seconds after which the broker throws it away; on arrival, what is left of them; None
    means never. ``content_type`` names the schema, empty for none.
    """

    topic: str
    payload: bytes
    retain: bool = False
    qos: Literal[0, 1] = 1
    content_type: str = ""
    expiry_s: int | None = None


@dataclass(frozen=True, slots=True)
class Subscription:
    """One topic class. ``keep``: of messages that wait, ``latest`` keeps the newest per topic, ``order`` keeps all in
    their order. ``limit``: topics or messages that may wait.
    """

    filter: str
    keep: Literal["latest", "order"]
    qos: Literal[0, 1] = 1
    limit: int = QUEUE_MESSAGES

    def matches(self, topic: str) -> bool:
        return topic_matches_sub(_plain(self.filter), topic)


@dataclass(slots=True)
class _Lane:
    subscription: Subscription
    latest: dict[str, Message] = field(default_factory=dict)
    ordered: deque[Message] = field(default_factory=deque)
    ordered_bytes: int = 0
    dropped: int = 0
    """Messages lost because so many waited: the oldest topic's of ``latest``, the newest of ``order``."""

    def put(self, message: Message) -> None:
        if self.subscription.keep == "order":
            size = len(message.payload)
            if len(self.ordered) >= self.subscription.limit or self.ordered_bytes + size > QUEUE_BYTES:
                self.dropped += 1
            else:
                self.ordered.append(message)
                self.ordered_bytes += size
            return
        if message.topic not in self.latest and len(self.latest) >= self.subscription.limit:
            del self.latest[next(iter(self.latest))]
            self.dropped += 1
        self.latest[message.topic] = message

    def take(self) -> Message | None:
        if self.ordered:
            message = self.ordered.popleft()
            self.ordered_bytes -= len(message.payload)
            return message
        return self.latest.pop(next(iter(self.latest))) if self.latest else None


class Inbox:
    """What arrived and nobody read yet, a lane per subscription, read in turn so that no class starves another."""

    def __init__(self, subscriptions: Sequence[Subscription]) -> None:
        self._lanes = tuple(_Lane(subscription) for subscription in subscriptions)
        self._turn = deque(self._lanes)
        self._some = asyncio.Event()
        self.unasked = 0
        """Messages on topics that match no subscription: a broker that misbehaves."""

    @property
    def dropped(self) -> dict[str, int]:
        """Messages lost because the queue was full, by filter."""
        return {lane.subscription.filter: lane.dropped for lane in self._lanes}

    def put(self, message: Message) -> None:
        lane = next((lane for lane in self._lanes if lane.subscription.matches(message.topic)), None)
        if lane is None:
            self.unasked += 1
            return
        lane.put(message)
        self._some.set()

    async def take(self) -> Message:
        """The next message; waits for one."""
        while True:
            for _ in self._lanes:
                message = self._turn[0].take()
                self._turn.rotate(-1)
                if message is not None:
                    return message
            self._some.clear()
            await self._some.wait()


def _plain(topic_filter: str) -> str:
    """The filter of a shared subscription without its group."""
    return topic_filter.split("/", 2)[2] if topic_filter.startswith(SHARED) else topic_filter
