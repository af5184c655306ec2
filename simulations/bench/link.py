"""The line between many sites and the cloud side: one real broker with TLS, the real ingest, plans to every site.

The boxes run in processes of their own, each box with its own certificate. The cloud side is this process: connection,
checks, decoding, its store on disk, receipts, and the signing and sending of plans. What a site costs in a month is
computed from what each kind of message costs on its socket (``link_cost``).
"""

from __future__ import annotations

import asyncio
import multiprocessing as mp
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import psutil

from interfaces.drivers import pki
from interfaces.drivers.clock import epoch_s, monotonic_s
from interfaces.drivers.mqtt import Broker
from interfaces.drivers.signing import Signer
from interfaces.errors import UserError
from optimizer.service.ingest import Arrival, StoreError, TelemetryStore
from optimizer.service.local_link import LocalLink
from optimizer.service.mqtt_link import CloudLink
from optimizer.service.mqtt_site import MqttSite
from optimizer.service.sql_telemetry import SqlTelemetry
from optimizer.store.database import Database
from optimizer.store.registry import (
    Controller,
    Organisation,
    StoredSite,
    put_controller,
    put_organisation,
    put_sites,
)
from simulations.bench.figures import percentile
from simulations.bench.link_boxes import Spec, Told, main
from simulations.bench.link_carried import MONTH_S
from simulations.bench.link_cost import costs, month_bytes
from simulations.bench.link_site import address_of, plan_for
from simulations.broker import LocalBroker
from simulations.programs import mosquitto

PERIOD_S: Final = 10.0
PLAN_S: Final = 300.0
WORKERS: Final = 2
START_S: Final = 300.0
DRAIN_S: Final = 15.0
"""What was told at the end of the measurement has so long to be stored."""
LOOK_S: Final = 1.0
"""Longer than anything is on its way between broker and boxes or broker and us."""
SPARE: Final = 2
"""Boxes beside those that are counted: their messages are weighed."""


class Counting:
    """The cloud's store, and the names of all that it has kept."""

    def __init__(self, store: TelemetryStore) -> None:
        self._store = store
        self.names: set[tuple[str, int, int]] = set()

    def knows(self, address: Any) -> bool:
        """As the store."""
        return self._store.knows(address)

    def add(self, arrivals: Sequence[Arrival]) -> StoreError | None:
        """As the store; what it took is noted."""
        error = self._store.add(arrivals)
        if error is None:
            for arrival in arrivals:
                head = getattr(arrival.message, "head", None)
                if head is not None:
                    self.names.add((arrival.address.controller, head.session, head.seq))
        return error


@dataclass(slots=True)
class Window:
    """What is counted while it is open: the time from a box's word to its being understood here, and processor time."""

    open: bool = False
    latency_ms: list[float] | None = None
    stored: int = 0

    def arrived(self, arrival: Arrival) -> None:
        """Called for every message that is believed."""
        head = getattr(arrival.message, "head", None)
        if self.open and head is not None:
            self.stored += 1
            if self.latency_ms is not None:
                self.latency_ms.append(1000.0 * (arrival.received_epoch_s - head.at_epoch_s))


def bench_link(sites: int, seconds: float, *, seed: int = 1) -> dict[str, Any]:
    """The figures of ``bench link``; docs/bench.md says how each is measured."""
    program = mosquitto()
    if program is None:
        raise UserError("bench link needs the Debian package mosquitto")
    with tempfile.TemporaryDirectory(prefix="stroomwacht-link-") as name:
        folder = Path(name)
        keys = _keys(folder / "keys", sites + SPARE)
        with LocalBroker(program, folder / "broker", keys) as broker:
            return asyncio.run(_measured(broker, folder, sites, seconds, seed))


def _keys(folder: Path, boxes: int) -> Path:
    now = datetime.now(UTC)
    pki.init(folder, [], now)
    for number in range(boxes):
        pki.issue(folder, address_of(number).controller, now)
    return folder


async def _measured(broker: LocalBroker, folder: Path, sites: int, seconds: float, seed: int) -> dict[str, Any]:
    keys, store, window = broker.keys, Counting(_store(folder, sites + SPARE)), Window(latency_ms=[])
    crt, key = keys / "optimizer.crt", keys / "optimizer.key"
    cloud = CloudLink(
        Broker("127.0.0.1", broker.port, keys / "ca.crt", crt, key, "optimizer-bench"), store,
        rng=random.Random(seed), on_arrival=window.arrived,
    )  # fmt: skip
    task = asyncio.create_task(cloud.run())
    signer = Signer.of_file(keys / "signing.key")
    try:
        weighed = await costs(cloud, broker.port, keys, signer, range(sites, sites + SPARE))
        links = [
            MqttSite(cloud, a, LocalLink(folder / a.site, a.site, signer), signer)
            for a in map(address_of, range(sites))
        ]
        specs = [
            Spec(range(k, sites, WORKERS), broker.port, keys, PERIOD_S, seconds, seed + k)
            for k in range(min(WORKERS, sites))
        ]
        with _workers(specs) as lines:
            figures, told = await _window(broker, cloud, window, links, lines)
        names = {name for one in told for name in one.told}
        await _until(lambda: names <= store.names)
        lost = names - store.names
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return {
        "sites": sites,
        "seconds": seconds,
        "msgs_per_s": round(window.stored / seconds, 2),
        "latency_ms_p50": percentile(window.latency_ms or [], 50),
        "latency_ms_p99": percentile(window.latency_ms or [], 99),
        **figures,
        "lost": len(lost) + sum(one.refused for one in told),
        "repeated": cloud.ingest.counts["repeated"],
        "rebirths": sum(one.rebirths for one in told),
        "bytes_per_site_month": month_bytes(weighed, "live"),
        "bytes_per_site_month_low_data": month_bytes(weighed, "low_data"),
        "bytes_per_site_month_seen": round(sum(one.bytes_per_s for one in told) / sites * MONTH_S),
        "bytes_by_kind": {name: round(cost) for name, cost in weighed.items()},
        "load_1min": round(psutil.getloadavg()[0], 2),
    }


async def _window(
    broker: LocalBroker,
    cloud: CloudLink,
    window: Window,
    links: list[MqttSite],
    lines: list[Connection],
) -> tuple[dict[str, Any], list[Told]]:
    """Open, measure, and wait until what was told is stored."""
    async with asyncio.timeout(START_S):
        await asyncio.gather(*map(_word, lines))
    mosquitto, ours = psutil.Process(broker.pid), psutil.Process()
    before, begin_s, window.open = (_cpu_s(mosquitto), _cpu_s(ours)), monotonic_s(), True
    for line in lines:
        line.send("go")
    planning = asyncio.create_task(_plan_for_ever(links))
    await asyncio.gather(*map(_word, lines))
    window.open, took_s = False, monotonic_s() - begin_s
    after = _cpu_s(mosquitto), _cpu_s(ours)
    planning.cancel()
    with suppress(asyncio.CancelledError):
        await planning
    await _until(lambda: not cloud.waiting)
    told = await asyncio.gather(*(_results(line) for line in lines))
    plans = {name: sequence for one in told for name, sequence in one.plans.items()}
    sent = {
        address_of(k).controller: plan.sequence
        for k, link in enumerate(links)
        if (plan := link.last_plan()) is not None
    }
    return {
        "plans": sum(plans.values()),
        "plan_ms_p99": percentile([ms for one in told for ms in one.plan_ms], 99),
        "plans_lost": sum(sequence - plans.get(name, 0) for name, sequence in sent.items()),
        "cpu_pct_broker": round(100.0 * (after[0] - before[0]) / took_s, 2),
        "cpu_pct_ingest": round(100.0 * (after[1] - before[1]) / took_s, 2),
    }, list(told)


async def _until(done: Callable[[], bool]) -> None:
    """Waits for what is on its way, a second at least and so long at most."""
    for _ in range(round(DRAIN_S / LOOK_S)):
        await asyncio.sleep(LOOK_S)
        if done():
            return


async def _plan_for_ever(links: list[MqttSite]) -> None:
    """Each site gets a plan every five minutes, one after the other."""
    rng, begin_s = random.Random(1), monotonic_s()
    for k in range(1_000_000):
        await asyncio.sleep(max(0.0, begin_s + k * PLAN_S / len(links) - monotonic_s()))
        number = k % len(links)
        plan = plan_for(address_of(number).site, 1 + k // len(links), epoch_s(), rng)
        await asyncio.to_thread(links[number].send_plan, plan)


async def _results(line: Connection) -> Told:
    line.send("end")
    found = await _word(line)
    if not isinstance(found, Told):
        raise UserError(f"the boxes answered {found!r}")
    return found


async def _word(line: Connection) -> object:
    """What a process of boxes says next."""
    try:
        return await asyncio.to_thread(line.recv)
    except EOFError as error:
        raise UserError("a process of boxes ended; its last words are above") from error


@contextmanager
def _workers(specs: Sequence[Spec]) -> Iterator[list[Connection]]:
    """Processes full of boxes and the lines to them; ended afterwards, whatever happened."""
    context = mp.get_context("spawn")
    lines, processes = [], []
    for spec in specs:
        here, there = context.Pipe()
        process = context.Process(target=main, args=(spec, there), daemon=True)
        process.start()
        there.close()
        lines.append(here)
        processes.append(process)
    try:
        yield lines
    finally:
        for process in processes:
            process.join(5)
            process.terminate()
            process.join()


def _store(folder: Path, boxes: int) -> SqlTelemetry:
    """The cloud's database, SQLite, that knows all boxes."""
    database, now = Database(f"sqlite:///{folder / 'store.db'}"), epoch_s()
    database.migrate()
    found = [address_of(number) for number in range(boxes)]
    put_organisation(database, Organisation(found[0].organisation, "bench", now))
    put_sites(database, tuple(StoredSite(a.site, a.organisation, a.site, "Europe/Brussels", now) for a in found))
    for address in found:
        put_controller(database, Controller(address.controller, address.site, None, now))
    return SqlTelemetry(database)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
