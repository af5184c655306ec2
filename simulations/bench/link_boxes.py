"""A process full of boxes: each connects with its own certificate, says its status every period and hears its plans."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from interfaces.domain.wire_topics import Address
from interfaces.drivers.clock import epoch_s, monotonic_s
from interfaces.drivers.mqtt import Broker, Published
from interfaces.drivers.signing import Verifier
from simulations.bench.box import Box
from simulations.bench.link_carried import carried
from simulations.bench.link_site import Lively, address_of

TOGETHER: Final = 10
"""Handshakes at once per process: a fleet comes back with jitter, not in one instant."""
OPEN_S: Final = 180.0


@dataclass(frozen=True, slots=True)
class Spec:
    """Boxes ``numbers`` at a broker of this machine whose keys lie in ``keys``."""

    numbers: Sequence[int]
    port: int
    keys: Path
    period_s: float
    seconds: float
    seed: int


@dataclass(frozen=True, slots=True)
class Told:
    """What the boxes of a process did. ``told``: controller, session and seq of what the broker took; ``refused``: what
    it did not. ``plans``: highest sequence per controller; ``plan_ms``: from the plan's issue to its arrival.
    ``bytes_per_s``: on all lines together, with headers, while statuses were told.
    """

    told: list[tuple[str, int, int]] = field(default_factory=list)
    refused: int = 0
    plans: dict[str, int] = field(default_factory=dict)
    plan_ms: list[float] = field(default_factory=list)
    unsigned: int = 0
    rebirths: int = 0
    bytes_per_s: float = 0.0


def main(spec: Spec, line: Connection) -> None:
    """The process: says when all boxes are connected, waits for the word, runs, and says what happened."""
    asyncio.run(_run(spec, line))


def box_of(address: Address, port: int, keys: Path, rng: random.Random, **how: Any) -> Box:
    """A box with its certificate."""
    crt, key = keys / f"{address.controller}.crt", keys / f"{address.controller}.key"
    broker = Broker("127.0.0.1", port, keys / "ca.crt", crt, key, address.controller, **how)
    return Box(broker, address, Verifier.of_file(keys / "signing.pub"), rng)


async def _run(spec: Spec, line: Connection) -> None:
    rng = random.Random(spec.seed)
    boxes = {number: box_of(address_of(number), spec.port, spec.keys, rng) for number in spec.numbers}
    sites = {number: Lively(address_of(number).site, rng, epoch_s()) for number in spec.numbers}
    gate = asyncio.Semaphore(TOGETHER)
    tasks: list[asyncio.Task[None]] = []

    async def opened(number: int, box: Box) -> None:
        async with gate:
            tasks.append(asyncio.create_task(box.run()))
            await box.open.wait()
            await box.tell(sites[number].status)  # the whole status of the session, which is no part of the measurement

    try:
        async with asyncio.timeout(OPEN_S):
            await asyncio.gather(*(opened(number, box) for number, box in boxes.items()))
        line.send("open")
        await asyncio.to_thread(line.recv)
        before, begin_s = {n: carried(box) for n, box in boxes.items()}, monotonic_s()
        refused = await asyncio.gather(*(_live(sites[n], box, spec, rng.random()) for n, box in boxes.items()))
        seen = sum(carried(box).since(before[n]) for n, box in boxes.items()) / (monotonic_s() - begin_s)
        line.send("told")
        await asyncio.to_thread(line.recv)  # until the cloud side has everything, so that its plans arrive too
        line.send(_told(boxes, sum(refused), seen))
    finally:
        # Hundreds of connections end at once: what asyncio says of a socket that is closed already is no news.
        asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _live(site: Lively, box: Box, spec: Spec, phase: float) -> int:
    """One box for the whole time; how often the broker did not take what it said."""
    begin_s, refused = monotonic_s() + phase * spec.period_s, 0
    for k in range(round(spec.seconds / spec.period_s)):
        await asyncio.sleep(max(0.0, begin_s + k * spec.period_s - monotonic_s()))
        sequence = box.heard.plans[-1][1].sequence if box.heard.plans else -1
        said = await box.tell(site.later(epoch_s(), sequence))
        refused += not isinstance(said, Published)
    return refused


def _told(boxes: dict[int, Box], refused: int, bytes_per_s: float) -> Told:
    found = Told()
    for number, box in boxes.items():
        name = address_of(number).controller
        found.told.extend((name, session, seq) for session, seq in box.told)
        found.plan_ms.extend(1000.0 * (at_s - plan.issued_epoch_s) for at_s, plan in box.heard.plans)
        found.plans[name] = max((plan.sequence for _, plan in box.heard.plans), default=0)
    unsigned = sum(box.heard.unsigned for box in boxes.values())
    rebirths = sum(len(box.heard.rebirths) for box in boxes.values())
    return Told(found.told, refused, found.plans, found.plan_ms, unsigned, rebirths, bytes_per_s)
