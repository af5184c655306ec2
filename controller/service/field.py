"""The field process: connections to devices, the scan, and the stream to the gateway. It needs nobody else.

Whoever reads the stream may die and come back; the scan does not notice. Leases lapse by themselves when this process
hangs, and the watchdog of the service manager ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import signal
import uuid
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from typing import Final

from controller.core.state import ControllerState, initial, retained_of
from controller.service.apply import not_told_yet, sinks_of, wanted_milli
from controller.service.bindings import load_bindings
from controller.service.gather import Gather, sources_of
from controller.service.identity import Bindings, serials_of
from controller.service.inbox import Inbox
from controller.service.loop import Plumbing, ScanLoop
from controller.service.messages import LENGTH, MAX_IN_BYTES, Hello, SiteText, Verdict, framed
from controller.service.notify import Notifier
from controller.service.out_stream import OutStream
from controller.service.process import (
    LAST_EXIT_VARIABLE,
    RESTART_EXIT,
    begin_life,
    boot_id,
    end_life,
    end_with_supervisor,
    only_one,
    owned_folder,
    wires_here,
)
from controller.service.realtime import allow_files, clock_synchronised, go_realtime, limit_memory, settle_garbage
from controller.service.record import Recorder
from controller.service.retain import Disk, RetainWriter, load
from controller.service.retain_rule import RetainRule
from controller.service.service_file import ServiceConfig
from controller.service.site_setup import SiteRefused, SiteSetup, setup_of
from controller.service.status import status_of
from interfaces.domain.codec import CodecError, pack, unpack_any
from interfaces.drivers.clock import epoch_s, monotonic_s
from interfaces.drivers.connections import connection_of
from interfaces.drivers.outbox import Outbox
from interfaces.drivers.readings import Readings
from interfaces.drivers.zaptec_point import RemotePoint

log = logging.getLogger(__name__)

LEAVE_S: Final = 1.5
"""How long the last outputs may take to reach the devices."""
LEAVE_STEP_S: Final = 0.05
STATUS_EVERY_S: Final = 1.0
RETAIN_CLOSE_S: Final = 2.0
STREAM_CLOSE_S: Final = 1.0
FILES_BESIDES: Final = 64
"""Open files besides one per connection: libraries, the stream, the retain memory, the event loop."""
READER_PAUSE_S: Final = 0.05


class Field:
    """Everything the process holds. Use ``run``."""

    def __init__(self, config: ServiceConfig, setup: SiteSetup, hello: Hello) -> None:
        self.readings = Readings()
        self.outbox = Outbox()
        self.wires = wires_here(setup.site, config.addresses)
        clock = monotonic_s
        seed = random.Random(setup.site.id)  # noqa: S311  spreads reconnects, keeps no secret
        self.connections = [
            connection_of(
                wire,
                outbox=self.outbox,
                readings=self.readings,
                clock=clock,
                jitter=random.Random(seed.random()),  # noqa: S311
            )
            for wire in self.wires
        ]
        self.loaded = load(config.retain_dir, Disk())
        self.retain = RetainWriter(config.retain_dir, self.loaded, Disk())
        self.out = OutStream(framed(pack(hello)))
        self.inbox = Inbox(setup.site.id)
        self.sinks = sinks_of(setup.params.topology, self.wires)
        self._rule = RetainRule()
        self._status_s = float("-inf")
        self._served: set[asyncio.Task[None]] = set()
        self._stream_path = config.stream_path
        self.loop = ScanLoop(setup, initial(setup.params, clock(), self.loaded.retained), self._plumbing(setup))
        bound = {**load_bindings(config.retain_dir).bound, **serials_of(setup.site)}
        self.loop.inputs = replace(self.loop.inputs, bindings=Bindings.of(bound))

    def _plumbing(self, setup: SiteSetup) -> Plumbing:
        phases = 1 if setup.site.info.connection == "1ph" else 3
        sources = sources_of(setup.params.topology, self.wires, phases=phases)
        return Plumbing(
            readings=self.readings,
            outbox=self.outbox,
            gather=Gather(setup.params.topology, sources),
            sinks=self.sinks,
            inbox=self.inbox,
            recorder=Recorder(self.out),
            notifier=Notifier(),
            clock=monotonic_s,
            epoch=epoch_s,
            synchronised=clock_synchronised,
            verdict=self._verdict,
            after_scan=self._after_scan,
            remotes={point.key: point for point in self.connections if isinstance(point, RemotePoint)},
        )

    async def run(self) -> int:
        """Scan until told to stop; the exit code of the process."""
        asked = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            asked.add_signal_handler(number, self._stop)
        server = await asyncio.start_unix_server(self._serve, self._stream_path)
        self._stream_path.chmod(0o600)
        tasks = [asyncio.create_task(connection.run()) for connection in self.connections]
        settle_garbage()
        try:
            await self.loop.run()
            await self._last_writes()
        finally:
            server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._close_stream()
            await asyncio.to_thread(self.retain.close, RETAIN_CLOSE_S)
        return RESTART_EXIT if self.loop.restart_wanted else 0

    def _stop(self) -> None:
        self.loop.stopping = True

    async def _last_writes(self) -> None:
        """Give the devices a moment to be told the failsafe values; who does not answer has its own."""
        if self.loop.last is None or not self.loop.state.complete:
            return
        image, commands, _ = self.loop.last
        values = wanted_milli(commands, image, self.loop.setup.params.topology, self.sinks)
        end_s = monotonic_s() + LEAVE_S
        # Acknowledgements are plain facts in a table; 30 looks at it in the last second of a process are no burden.
        while monotonic_s() < end_s and not_told_yet(values, self.sinks, self.readings.points):  # noqa: ASYNC110
            await asyncio.sleep(LEAVE_STEP_S)

    async def _close_stream(self) -> None:
        """Let the gateway have the last scans; one that does not read is left."""
        self.out.finish()
        if self._served:
            await asyncio.wait(self._served, timeout=STREAM_CLOSE_S)
        for task in self._served:
            task.cancel()
        await asyncio.gather(*self._served, return_exceptions=True)

    def _after_scan(self, state: ControllerState, now_s: float, at_epoch_s: float) -> None:
        retained = retained_of(state, self.loop.setup.params, now_s, at_epoch_s)
        if self._rule.is_due(retained, now_s):
            self.retain.put(retained)
        if now_s - self._status_s >= STATUS_EVERY_S and self.out.has_reader:
            self._status_s = now_s
            wires = list(zip(self.wires, self.connections, strict=True))
            status = status_of(self.loop, wires, self.readings, self.retain.status, self.out.dropped, now_s)
            self.out.put(framed(pack(status)))

    def _verdict(self, verdict: Verdict) -> None:
        if not verdict.accepted:
            log.warning("refused about=%s reason=%r", verdict.about, verdict.reason)
        self.out.put(framed(pack(verdict)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One gateway; a new one replaces the old."""
        task, transport = asyncio.current_task(), writer.transport
        if task is not None:
            self._served.add(task)
        self.out.attach(transport)
        try:
            while True:
                (size,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
                if size > MAX_IN_BYTES:
                    self._verdict(Verdict("message", accepted=False, reason=f"larger than {MAX_IN_BYTES} bytes"))
                    return
                await self._message(await reader.readexactly(size))
        except (asyncio.IncompleteReadError, OSError):
            return
        except asyncio.CancelledError:
            return  # the process ends; the library would report the cancellation as an error
        finally:
            self._served.discard(task)
            self.out.detach(transport)
            transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _message(self, packed: bytes) -> None:
        """Check a message beside the scan; what passes waits for the next one."""
        while self.inbox.full:  # noqa: ASYNC110  emptied by the scan, which shall not know who waits
            await asyncio.sleep(READER_PAUSE_S)
        text = unpack_any(packed, (SiteText,), max_bytes=MAX_IN_BYTES)
        if isinstance(text, CodecError):
            refusal = self.inbox.take(packed)
            if refusal is not None:
                self._verdict(refusal)
            return
        setup = await asyncio.to_thread(setup_of, text.text)
        if isinstance(setup, SiteRefused):
            self._verdict(Verdict("site", accepted=False, reason=str(setup)))
        else:
            self.inbox.waiting.append(setup)


def run_field(config: ServiceConfig, setup: SiteSetup) -> int:
    """The process: prepare it, run it, and its exit code."""
    limit_memory(config.memory.field_mb)
    owned_folder(config.run_dir)
    owned_folder(config.retain_dir)
    lock = only_one(config.run_dir / "field.lock")
    end_with_supervisor(os.environ)
    config.stream_path.unlink(missing_ok=True)
    refused = go_realtime() if config.realtime else ("realtime is switched off in the service file",)
    files = allow_files(len(wires_here(setup.site, config.addresses)) + FILES_BESIDES)
    refused = (*refused, files) if files else refused
    for text in refused:
        log.warning("not_granted reason=%r", text)
    life = config.run_dir / "field.life"
    hello = _hello(os.environ, begin_life(life, boot_id()), refused)
    field = Field(config, setup, hello)
    for problem in field.loaded.problems:
        log.warning("retain reason=%r", problem)
    try:
        code = asyncio.run(field.run())
        end_life(life)
        return code
    finally:
        os.close(lock)


def _hello(environment: Mapping[str, str], restarts: int, refused: tuple[str, ...]) -> Hello:
    return Hello(
        pid=os.getpid(),
        start_id=uuid.uuid4().hex,
        software=version("stroomwacht"),
        started_epoch_s=epoch_s(),
        restarts=restarts,
        last_exit=environment.get(LAST_EXIT_VARIABLE, "") or "it ended without a word",
        refused=refused,
    )
