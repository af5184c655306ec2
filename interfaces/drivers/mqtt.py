"""Our port to an MQTT 5 broker: a link that stays up by itself, and says in words when it cannot.

No plan, no telemetry, no topic is known here. ``Link.run`` is the task; ``publish`` and ``receive`` may be called from
others of the same loop. What is published while the link is down is refused at once: whoever must not lose a message
keeps it until it is ``Published``.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

from aiomqtt import MqttError
from paho.mqtt.reasoncodes import ReasonCode

from interfaces.drivers.clock import Clock, monotonic_s
from interfaces.drivers.mqtt_inbox import Inbox, Message, Subscription
from interfaces.drivers.mqtt_session import Broker, Published, Refused, Session, Will, tls_context
from interfaces.drivers.mqtt_state import Condition, LinkState, Takeovers, Trouble, trouble_of
from interfaces.drivers.tasks import being_cancelled

__all__ = ["Broker", "Condition", "Link", "LinkState", "Message", "Published", "Refused", "Subscription", "Will"]

log = logging.getLogger(__name__)

RETRY_MIN_S: Final = 1.0
RETRY_MAX_S: Final = 60.0
"""A broker that comes back must not meet the whole fleet's TLS handshakes at once."""
STABLE_S: Final = 10.0
"""A connection that lasted so long was a good one: the next wait is short again."""
MAX_OUTGOING: Final = 100
"""Messages that may wait for the broker's acknowledgement; one more is refused."""


def retry_s(attempt: int, rng: random.Random) -> float:
    """How long to wait before the next attempt: anywhere between 1 s and twice as much as last time, at most 60 s."""
    most_s = min(RETRY_MAX_S, RETRY_MIN_S * 2.0 ** min(attempt + 1, 10))
    return RETRY_MIN_S + rng.random() * (most_s - RETRY_MIN_S)


class Link:
    """A connection that is made again whenever it breaks, with its subscriptions.

    ``rng`` and ``sleep`` make the waiting between attempts; ``now_s`` is the monotonic clock. ``on_state`` is called at
    every change, in the loop; subscriptions are in force when it says connected. A callable ``will``
    is asked at each attempt.
    """

    def __init__(
        self,
        broker: Broker,
        subscriptions: Sequence[Subscription],
        *,
        rng: random.Random,
        will: Will | Callable[[], Will] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        now_s: Clock = monotonic_s,
        on_state: Callable[[LinkState], None] | None = None,
    ) -> None:
        self._broker = broker
        self._subscriptions = tuple(subscriptions)
        self._rng = rng
        self._will = will
        self._sleep = sleep
        self._now_s = now_s
        self._on_state = on_state
        self._inbox = Inbox(self._subscriptions)
        self._takeovers = Takeovers()
        self._session: Session | None = None
        self._since_s: float | None = None
        self._outgoing = 0
        self._suspect = False
        self._state = LinkState(connected=False, condition=Condition.CONNECTING, reason="not tried yet")

    @property
    def state(self) -> LinkState:
        """How it is now."""
        held = self._state.connected and self._state.condition is Condition.CONTESTED
        if held and self._takeovers.over(self._lasted_s()):
            self._tell(replace(self._state, condition=Condition.CONNECTED, reason=""))
        return self._state

    @property
    def dropped(self) -> dict[str, int]:
        """Messages lost because nobody read them in time, by filter."""
        return self._inbox.dropped

    @property
    def line(self) -> socket.socket | None:
        """The socket of the present connection, for whoever weighs what it carries."""
        return None if self._session is None else self._session.line

    async def run(self) -> None:
        """Keeps the link up until it is cancelled; then it takes leave of the broker, and no will is told."""
        attempt = 0
        try:
            while not being_cancelled():
                trouble = await self._once()
                taken = self._judge(trouble)
                lasted_s, self._since_s = self._lasted_s(), None
                # Two boxes with one name would otherwise throw each other out every second, for ever.
                if lasted_s >= STABLE_S or (taken and not self._takeovers.contested):
                    attempt = 0
                self._tell(self._as_state(trouble))
                await self._sleep(retry_s(attempt, self._rng))
                attempt += 1
        finally:
            self._tell(LinkState(connected=False, condition=Condition.ENDED, reason="ended"))

    async def publish(self, message: Message) -> Published | Refused:
        """Hand a message to the broker. QoS 1 is ``Published`` once the broker took it and its rules allow it."""
        session = self._session
        if session is None:
            return Refused("not connected")
        if self._outgoing >= MAX_OUTGOING:
            return Refused(f"{MAX_OUTGOING} messages already wait for the broker")
        self._outgoing += 1
        try:
            return await session.send(message)
        finally:
            self._outgoing -= 1

    async def receive(self) -> Message:
        """The next message that arrived; waits for one, also over interruptions."""
        return await self._inbox.take()

    def _judge(self, trouble: Trouble) -> bool:
        """Whether the client id was taken away, or may have been."""
        was_up = self._since_s is not None
        self._takeovers.over(self._lasted_s())
        self._suspect = was_up and trouble.condition is Condition.HUNG_UP
        if trouble.condition is Condition.TAKEN_OVER:
            self._takeovers.happened(self._now_s())
            return True
        return self._suspect

    def _lasted_s(self) -> float:
        return 0.0 if self._since_s is None else self._now_s() - self._since_s

    async def _once(self) -> Trouble:
        """One connection from beginning to end, and why it ended."""
        try:
            context = await asyncio.to_thread(tls_context, self._broker)
        except OSError as error:
            return Trouble(Condition.CERTIFICATE_FILES, f"keys or certificates cannot be used: {_told(error)}")
        session = Session(self._broker, context, self._will() if callable(self._will) else self._will, self._inbox.put)
        try:
            async with session:
                await self._up(session)
                await session.ended()
            return Trouble(Condition.LOST, "the broker closed the connection")
        except (MqttError, OSError) as error:
            return trouble_of([session.trouble, error, error.__context__, error.__cause__])
        except Exception:
            log.exception("a fault in the link to %s", self._broker.host)
            return Trouble(Condition.LOST, "a fault in this program; the log says more")
        finally:
            self._session = None
            session.close()

    async def _up(self, session: Session) -> None:
        denied = []
        for subscription in self._subscriptions:
            codes = await session.subscribe(subscription.filter, subscription.qos)
            if any(isinstance(code, ReasonCode) and code.is_failure for code in codes):
                denied.append(subscription.filter)
        if being_cancelled():
            raise asyncio.CancelledError
        self._session = session
        self._since_s = self._now_s()
        if self._suspect:  # it hung up on us and takes us back at once: no broker that was stopped
            self._takeovers.happened(self._since_s)
        reason = f"the broker refuses to send {', '.join(denied)}" if denied else ""
        state = LinkState(connected=True, condition=Condition.CONNECTED, reason=reason, denied=tuple(denied))
        self._tell(self._contested(state))

    def _as_state(self, trouble: Trouble) -> LinkState:
        return self._contested(LinkState(connected=False, condition=trouble.condition, reason=trouble.reason))

    def _contested(self, state: LinkState) -> LinkState:
        if not self._takeovers.contested:
            return state
        reason = (
            f"another client seems to use the client id {self._broker.client_id!r}: it was taken away again and again"
        )
        return replace(state, condition=Condition.CONTESTED, reason=reason)

    def _tell(self, state: LinkState) -> None:
        if state == self._state:
            return
        log.log(
            logging.INFO if state.condition in _QUIET else logging.WARNING,
            "broker %s:%d: %s %s", self._broker.host, self._broker.port, state.condition, state.reason,
        )  # fmt: skip
        self._state = state
        if self._on_state is not None:
            self._on_state(state)


_QUIET: Final = frozenset({Condition.CONNECTED, Condition.CONNECTING, Condition.ENDED})


def _told(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).lower().replace("_", " ")
    return f"{error.filename or ''} {error.strerror or error}".strip()
