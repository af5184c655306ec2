"""The gateway process: reads the stream of the field process and keeps journal, metrics, health and the site file.

It may block, fail or die without the scan noticing. Disk writes happen in a thread with a bounded queue, so that health
is answered while a disk is slow.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import queue
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry

from controller.service.binder import Binder
from controller.service.cloud import cloud_of, with_plan
from controller.service.enrolling import Enrolling
from controller.service.health import Known, health, problems, view
from controller.service.http import HttpServer, Pages
from controller.service.journal_ring import JournalRing, KeepWindow, RingBounds
from controller.service.logs import Conditions
from controller.service.messages import (
    LENGTH,
    MAX_OUT_BYTES,
    OUT,
    Bound,
    Entry,
    Hello,
    PlanInForce,
    RemoteReading,
    Setup,
    SiteText,
    StandingOrders,
    Status,
    Verdict,
    framed,
)
from controller.service.metrics import SiteCollector
from controller.service.notify import Notifier
from controller.service.process import end_with_supervisor, only_one, owned_folder
from controller.service.realtime import limit_memory
from controller.service.remote import RemoteChargers, RemoteThread
from controller.service.service_file import ServiceConfig
from controller.service.site_setup import SiteSetup, setup_of
from interfaces.domain.codec import CodecError, pack, unpack_any
from interfaces.domain.plan import Plan
from interfaces.domain.site_yaml import MAX_BYTES
from interfaces.domain.targets import Targets
from interfaces.drivers.clock import monotonic_s
from interfaces.drivers.neighbours import read_networks
from interfaces.errors import UserError

log = logging.getLogger(__name__)

RECONNECT_S: Final = 0.2
LOOK_EVERY_S: Final = 1.0
"""How often the site file and the conditions are looked at."""
JOURNAL_QUEUE: Final = 600
"""Two minutes of scans."""
JOURNAL_CLOSE_S: Final = 5.0
HOLD_S: Final = 30.0
"""A disk that is slower than this is one that hangs."""
SECONDS_PER_MINUTE: Final = 60

_Held = tuple[Future[list[Path]], KeepWindow, Path]


class JournalThread:
    """A ring that is written beside everything else. A full queue loses scans, which the ring sees as a gap."""

    def __init__(self, ring: JournalRing) -> None:
        self._ring = ring
        self._waiting: queue.Queue[tuple[Any, bytes] | _Held | None] = queue.Queue(JOURNAL_QUEUE)
        self._dropped = 0
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """Scans that are not on disk."""
        return self._ring.lost + self._dropped

    @property
    def problem(self) -> str:
        return self._ring.problem

    @property
    def current(self) -> Path | None:
        return self._ring.current

    def put(self, message: Any, packed: bytes) -> None:
        try:
            self._waiting.put_nowait((message, packed))
        except queue.Full:
            self._dropped += isinstance(message, Entry)

    def hold(self, window: KeepWindow, folder: Path) -> list[Path]:
        """``JournalRing.hold`` behind what waits already, in the thread that writes. Raises OSError."""
        held: Future[list[Path]] = Future()
        try:
            self._waiting.put((held, window, folder), timeout=JOURNAL_CLOSE_S)
            return held.result(HOLD_S)
        except (queue.Full, TimeoutError) as error:
            held.cancel()
            raise OSError(errno.ETIMEDOUT, "its disk does not answer") from error

    def close(self) -> None:
        """Write what waits, within a bounded time."""
        try:
            self._waiting.put(None, timeout=JOURNAL_CLOSE_S)
        except queue.Full:
            return
        self._thread.join(JOURNAL_CLOSE_S)

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            if len(item) == 2:
                self._ring.take(*item)
                continue
            held, window, folder = item
            if not held.set_running_or_notify_cancel():
                continue
            try:
                held.set_result(self._ring.hold(window, folder))
            except OSError as error:
                held.set_exception(error)
        self._ring.close()


class Gateway:
    """Everything the process holds. Use ``run``."""

    def __init__(self, config: ServiceConfig) -> None:
        self._config = config
        bounds = RingBounds(config.journal.max_mb << 20, config.journal.segment_minutes * SECONDS_PER_MINUTE)
        self._journal = JournalThread(JournalRing(config.journal_dir, bounds))
        self._known = Known()
        self._setup: tuple[str, SiteSetup] | None = None
        self._conditions = Conditions(log)
        self._writer: asyncio.StreamWriter | None = None
        self._site_seen: tuple[int, int, int] | None = None
        self._sent_text: str | None = None
        self._greeted: Hello | None = None
        self._plan: PlanInForce | None = None
        self._binder = Binder(config.retain_dir)
        self._notifier = Notifier()
        self._remote = RemoteChargers(config.zaptec, monotonic_s, time.sleep)
        self._enrolling = None if config.enrolment is None else Enrolling(config, config.enrolment)
        self._cloud = cloud_of(config, self.known, self._tell_field, self._journal.hold)
        registry = CollectorRegistry()
        registry.register(SiteCollector(self.known, monotonic_s))
        pages = {"/health": self._health, "/view": lambda: view(self.known())}
        self._http = _http_server(config, registry, pages)

    def known(self) -> Known:
        """The latest of everything; called from other threads, so it is one immutable value."""
        enrolment = {} if self._enrolling is None else self._enrolling.problems
        return replace(
            self._known,
            journal_problem=self._journal.problem,
            journal_lost=self._journal.lost,
            enrolment=enrolment,
        )

    def _health(self) -> dict[str, Any]:
        known = self.known()
        current = self._journal.current
        return {
            **health(known, monotonic_s()),
            "gateway_pid": os.getpid(),
            "journal": None if current is None else str(current),
            "journal_lost": known.journal_lost,
        }

    async def run(self) -> int:
        """Read, until told to stop."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._forget_site)
        self._tell_where()
        self._notifier.ready(f"http://{self._config.http.host}:{self._http.port}/health")
        remote = RemoteThread(self._remote, self.known, self._from_thread(asyncio.get_running_loop()))
        work = [self._read_for_ever(), self._look_for_ever(), *([] if self._cloud is None else [self._cloud.run()])]
        tasks = [asyncio.create_task(one) for one in work]
        stopped = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in (*tasks, stopped):
            task.cancel()
        await asyncio.gather(*tasks, stopped, return_exceptions=True)
        self._notifier.stopping()
        remote.close()
        self._journal.close()
        self._http.close()
        self._notifier.close()
        if self._enrolling is not None:
            self._enrolling.close()
        for task in done - {stopped}:
            task.result()
        return 0

    def _tell_where(self) -> None:
        """Which process this is and where it answers, for tools on this machine."""
        place = self._config.run_dir / "gateway.json"
        told = {"pid": os.getpid(), "host": self._config.http.host, "port": self._http.port}
        aside = place.with_suffix(".new")
        aside.write_text(json.dumps(told), encoding="utf-8")
        aside.replace(place)

    async def _read_for_ever(self) -> None:
        while True:
            try:
                reader, self._writer = await asyncio.open_unix_connection(self._config.stream_path)
            except OSError:
                await asyncio.sleep(RECONNECT_S)
                continue
            try:
                await self._read(reader)
            except (asyncio.IncompleteReadError, OSError):
                log.warning("stream_lost")
            finally:
                writer, self._writer = self._writer, None
                writer.transport.abort()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while True:
            (size,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
            if size > MAX_OUT_BYTES:
                log.warning("stream_damaged size=%d", size)
                return
            packed = await reader.readexactly(size)
            message = unpack_any(packed, OUT)
            if isinstance(message, CodecError):
                log.warning("message_refused reason=%r", str(message))
                continue
            if not isinstance(message, Status | Verdict):
                self._journal.put(message, packed)
            await self._learn(message)

    async def _learn(self, message: Any) -> None:
        match message:
            case Hello():
                self._known = replace(self._known, hello=message, status=None, site_verdict=None)
                self._forget_site()
                self._binder.sent = None
            case Setup():
                await self._learn_site(message.site_text)
            case PlanInForce():
                self._plan = message
            case Entry():
                record = with_plan(message, self._plan)
                self._known = replace(self._known, record=record, record_s=monotonic_s(), error=message.error)
                if self._cloud is not None and self._known.setup is not None:
                    self._cloud.scan(record, self._known.setup)
            case Status():
                self._known = replace(self._known, status=message)
                await self._bind(message)
            case Verdict():
                self._note(message)

    async def _learn_site(self, text: str) -> None:
        if self._setup is None or self._setup[0] != text:
            setup = await asyncio.to_thread(setup_of, text)
            if not isinstance(setup, SiteSetup):
                return
            self._setup = (text, setup)
        is_new = self._known.setup is not self._setup[1] or self._known.hello is not self._greeted
        self._known = replace(self._known, setup=self._setup[1])
        if is_new and self._cloud is not None:
            self._greeted = self._known.hello
            self._cloud.field_started()

    async def _bind(self, status: Status) -> None:
        """Learn who answers where, and tell the field process who belongs where."""
        if self._setup is None:
            return
        bound, found = await self._binder.learn(self._setup[1].site, status.points)
        self._known = replace(self._known, identities=found)
        if self._writer is not None and bound != self._binder.sent:
            self._binder.sent = bound
            self._writer.write(framed(pack(Bound(tuple(bound), tuple(bound.values())))))
            await self._writer.drain()

    def _note(self, verdict: Verdict) -> None:
        log.info("verdict about=%s accepted=%s reason=%r", verdict.about, verdict.accepted, verdict.reason)
        if verdict.about == "site":
            self._known = replace(self._known, site_verdict=verdict)

    def _from_thread(self, loop: asyncio.AbstractEventLoop) -> Callable[[RemoteReading], None]:
        """``_tell_field`` for another thread."""

        def tell(reading: RemoteReading) -> None:
            loop.call_soon_threadsafe(self._tell_field, reading)

        return tell

    def _tell_field(self, message: RemoteReading | Targets | Plan | StandingOrders) -> None:
        """Hand it over where somebody listens. Who begins to listen is told what is in force."""
        if self._writer is not None:
            self._writer.write(framed(pack(message)))

    async def _look_for_ever(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self._known = replace(self._known, networks=read_networks())
            if self._enrolling is not None:
                self._enrolling.look()
            if self._cloud is not None:
                self._known = replace(
                    self._known,
                    uplink=self._cloud.state,
                    inbound=self._cloud.problems,
                    plans_refused=self._cloud.plans_refused,
                )
            self._conditions.update(problems(self.known(), monotonic_s()))
            await self._look_at_site()
            self._notifier.alive(monotonic_s())

    def _forget_site(self) -> None:
        """Look at the site file again, whether it changed or not."""
        self._site_seen = None
        self._sent_text = None

    async def _look_at_site(self) -> None:
        """Send the site file to the field process when it is another one than the one that runs."""
        writer, setup = self._writer, self._setup
        if writer is None or setup is None:
            return
        try:
            facts = self._config.site.stat()
            seen = (facts.st_mtime_ns, facts.st_size, facts.st_ino)
            if seen == self._site_seen:
                return
            self._site_seen = seen
            if facts.st_size > MAX_BYTES:
                self._note(Verdict("site", accepted=False, reason=f"it is larger than {MAX_BYTES} bytes"))
                return
            content = await asyncio.to_thread(self._config.site.read_bytes)
        except OSError:
            return
        text = content.decode("utf-8-sig", "replace")
        if text == setup[0]:
            self._known = replace(self._known, site_verdict=None)
        elif text != self._sent_text:
            writer.write(framed(pack(SiteText(text))))
            await writer.drain()
        self._sent_text = text


def run_gateway(config: ServiceConfig) -> int:
    """The process: prepare it, run it, and its exit code."""
    limit_memory(config.memory.gateway_mb)
    end_with_supervisor(os.environ)
    owned_folder(config.run_dir)
    owned_folder(config.journal_dir)
    lock = only_one(config.run_dir / "gateway.lock")
    try:
        return asyncio.run(Gateway(config).run())
    finally:
        os.close(lock)


def _http_server(config: ServiceConfig, registry: CollectorRegistry, pages: Pages) -> HttpServer:
    host, port = config.http.host, config.http.port
    try:
        return HttpServer(host, port, registry, pages)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{host}:{port} cannot serve metrics and health: {reason}; change http.port") from error
