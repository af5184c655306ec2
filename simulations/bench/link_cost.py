"""What one message of each kind costs on the line, and what a month of a site costs with that.

Weighed at the socket of a box: the kernel says how many bytes of TLS and how many segments went either way; each
segment costs its headers besides. Every exchange is left alone until its last acknowledgement is through, as on a line
where seconds lie between two messages.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from interfaces.domain.plan_text import plan_text
from interfaces.domain.units import SECONDS_PER_DAY, SECONDS_PER_QUARTER
from interfaces.domain.wire import (
    AckCode,
    Energy,
    EnergyRow,
    Event,
    Mode,
    PlanAck,
    Quality,
    Receipt,
    targets_message,
    write,
)
from interfaces.domain.wire_modes import MODES
from interfaces.domain.wire_topics import ROUTES, Address, Kind
from interfaces.drivers.clock import epoch_s
from interfaces.drivers.mqtt import Message
from interfaces.drivers.signing import Signer
from optimizer.service.mqtt_link import CloudLink
from simulations.bench.box import Box
from simulations.bench.link_boxes import box_of
from simulations.bench.link_carried import MONTH_S, carried
from simulations.bench.link_site import CHARGERS, Lively, address_of, plan_for, targets_for

TIMES: Final = 8
"""Messages of each kind that are weighed."""
QUIET_S: Final = 0.15
"""Longer than TCP delays an acknowledgement (40 ms on Linux)."""
ARRIVE_S: Final = 10.0
PING_S: Final = 1
PING_BYTES: Final = 24
"""PINGREQ (2) in a record of TLS 1.3 (22)."""
PINGS_S: Final = 6.0
EVENTS_PER_DAY: Final = 100
PLAN_S: Final = 300.0
"""The optimizer makes a plan every five minutes."""
RARE_S: Final = 60.0
"""Between statuses further apart than this more has changed."""
CONNECTIONS_PER_DAY: Final = 2
CONNECTION_BYTES: Final = 10_000
"""A TLS handshake with certificates on both sides, subscriptions, birth, and the retained plan and targets again."""


async def costs(cloud: CloudLink, port: int, keys: Path, signer: Signer, spare: Sequence[int]) -> dict[str, float]:
    """Bytes on the line per message, both ways and with all headers, by kind; the two boxes ``spare`` are used."""
    rng = random.Random(7)
    box = box_of(address_of(spare[0]), port, keys, rng)
    idle = box_of(address_of(spare[1]), port, keys, rng, keepalive_s=PING_S)
    async with _running(box), _running(idle):
        await asyncio.sleep(1.0)  # births, states and what they cause
        return {**await _said(box, rng), **await _heard(box, cloud, signer, rng), "ping": await _pings(idle)}


def month_bytes(cost: Mapping[str, float], mode: Mode) -> int:
    """A month of 30 days of a site in a mode, everything included. A line on which something is said at least once
    per keepalive is not pinged.
    """
    how = MODES[mode]
    wholes, days = MONTH_S / how.whole_s, MONTH_S / SECONDS_PER_DAY
    return round(
        (MONTH_S / how.live_s - wholes) * cost["changes" if how.live_s < RARE_S else "changes_5min"]
        + wholes * cost["whole"]
        + MONTH_S / SECONDS_PER_QUARTER * cost["energy"]
        + days * EVENTS_PER_DAY * cost["event"]
        + MONTH_S / max(PLAN_S, how.plan_s) * (cost["plan"] + cost["plan_ack"])
        + MONTH_S / max(SECONDS_PER_QUARTER, how.targets_s) * cost["targets"]
        + MONTH_S / how.receipt_s * cost["receipt"]
        + (MONTH_S / how.keepalive_s * cost["ping"] if how.live_s > how.keepalive_s else 0.0)
        + days * CONNECTIONS_PER_DAY * CONNECTION_BYTES
    )


async def _said(box: Box, rng: random.Random) -> dict[str, float]:
    """What goes up."""
    site, address = Lively(box.address.site, rng, epoch_s() - 100 * SECONDS_PER_QUARTER), box.address
    rows = tuple(EnergyRow(f"place-{k}", round(rng.uniform(0, 2700), 1), Quality.GOOD, 900.0) for k in range(CHARGERS))

    async def live(step_s: float) -> None:
        await box.tell(site.later(site.status.epoch_s + step_s, 1))

    async def whole() -> None:
        box.forget()
        await live(10.0)

    async def event() -> None:
        text = "place-3 draws more than it was offered and was paused"
        await box.say(Event(box.head(), "104:place-3", True, 104, "ALARM_DISOBEYS", text, asset="place-3"))

    async def energy() -> None:
        await box.say(Energy(box.head(), epoch_s() // 900 * 900, rows))

    async def ack() -> None:
        await box.say(PlanAck(box.head(), f"{address.site}-812", 812, AckCode.ACCEPTED))

    await live(10.0)
    return {
        "whole": await _weighed(box, whole),
        "changes": await _weighed(box, lambda: live(10.0)),
        "changes_5min": await _weighed(box, lambda: live(300.0)),
        "event": await _weighed(box, event),
        "energy": await _weighed(box, energy),
        "plan_ack": await _weighed(box, ack),
    }


async def _heard(box: Box, cloud: CloudLink, signer: Signer, rng: random.Random) -> dict[str, float]:
    """What comes down."""
    address = box.address

    async def sent(kind: Kind, payload: bytes) -> None:
        before = box.heard.payload_bytes
        await cloud.link.publish(Message(address.topic(kind), payload, ROUTES[kind].retained, expiry_s=60))
        async with asyncio.timeout(ARRIVE_S):
            await box.until(lambda heard: heard.payload_bytes > before)

    def plan() -> Awaitable[None]:
        return sent(Kind.PLAN, signer.sign("plan", plan_text(plan_for(address.site, 1, epoch_s(), rng))))

    def targets() -> Awaitable[None]:
        return sent(Kind.TARGETS, signer.sign("targets", _targets_text(address, rng)))

    def receipt() -> Awaitable[None]:
        return sent(Kind.RECEIPT, write(Receipt(epoch_s(), ((int(epoch_s()), 100, 106),))))

    return {
        "plan": await _weighed(box, plan),
        "targets": await _weighed(box, targets),
        "receipt": await _weighed(box, receipt),
    }


def _targets_text(address: Address, rng: random.Random) -> str:
    message = targets_message(targets_for(1, epoch_s(), rng), site=address.site, controller=address.controller)
    return write(message).decode()


async def _pings(idle: Box) -> float:
    """One ping of a line on which nothing else happens."""
    before = carried(idle)
    await asyncio.sleep(PINGS_S)
    after = carried(idle)
    pings = (after.out - before.out) / PING_BYTES
    return after.since(before) / pings if pings else 0.0


async def _weighed(box: Box, exchange: Callable[[], Awaitable[None]]) -> float:
    total = 0
    for _ in range(TIMES):
        before = carried(box)
        await exchange()
        await asyncio.sleep(QUIET_S)
        total += carried(box).since(before)
    return total / TIMES


@asynccontextmanager
async def _running(box: Box) -> AsyncIterator[None]:
    task = asyncio.create_task(box.run())
    try:
        async with asyncio.timeout(ARRIVE_S):
            await box.open.wait()
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
