"""One task per connection: writes, read-backs, polls, provisioning of every point behind one address.

The order of work is fixed: what lowers a current, what raises it, what keeps the device's watchdog quiet, then whatever
poll is due. One request is outstanding at a time. No request is made for a point whose lease has run out when any
request would keep its watchdog quiet: a controller that hangs must let the chargers' own failsafe act.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from interfaces.domain.units import NEVER_S
from interfaces.drivers.clock import Clock
from interfaces.drivers.contest import told as after_write
from interfaces.drivers.device import Device, DueBlock, PointSpec
from interfaces.drivers.links import Link
from interfaces.drivers.member import Member, has_restarted
from interfaces.drivers.modbus import Counters, ModbusPort
from interfaces.drivers.neighbours import read_mac, rivals, seen
from interfaces.drivers.outbox import Outbox
from interfaces.drivers.polling import SETTLE_FOR_S
from interfaces.drivers.provision import RETRY_S, again_s, provision, read_now, write_value, write_words
from interfaces.drivers.readings import FailsafeStatus, Readings
from interfaces.drivers.replies import Fault, ReadFailure, WriteFailure, no_answer_of
from interfaces.drivers.setpoints import CannotWrite, readback_names
from interfaces.drivers.sunspec import NotFound, discover, resolve
from interfaces.drivers.tasks import being_cancelled
from interfaces.drivers.writes import (
    DueWrite,
    due_writes,
    judge_readback,
    life_bit_period_s,
    life_bit_value,
    requests_of,
    target_of,
    wants_life_bit,
)

log = logging.getLogger(__name__)

BOOT_GRACE_S: Final = 15.0
"""Before the first lease ever, reading is allowed this long: nothing is told before the first image is complete."""
REST_MAX_S: Final = 0.5
DEAD_AFTER: Final = 3
"""Requests without any answer after which a device that shares its line is only asked now and then."""
DEAD_RETRY_S: Final = (0.5, 1.0, 2.0, 5.0)
DISCOVERY_RETRY_S: Final = 10.0
AFTER_BUG_S: Final = 1.0
PROVISION_TRIES: Final = 3
"""After so many rounds without an answer the failsafe counts as unverified, and setpoints may be written."""
RETRY_GROWS: Final = 10
"""Each further try of the failsafe waits so much longer, up to so many times."""
GATEWAY_COUNT_S: Final = 1.0
"""A gateway says at once that nobody answers; it counts as often as a silence would."""
FAST_PERIOD_S: Final = 1.0
"""Polls at least this fast come before all slower ones."""


Job = Callable[[], Awaitable[None]]
"""One piece of work, ready to be awaited."""


class Connection:
    """All points behind one link. ``run`` is the task; ``step`` does one piece of work, for tests with their own clock.

    ``readings`` gets one entry per point key, written by this object alone. ``outbox`` is read. ``jitter`` is a seeded
    source for the back-off. ``mac_of``: the network card behind an IP address, empty where nobody knows.
    """

    def __init__(
        self,
        link: Link,
        points: Sequence[PointSpec],
        *,
        outbox: Outbox,
        readings: Readings,
        clock: Clock,
        jitter: random.Random,
        mac_of: Callable[[str], str] = read_mac,
    ) -> None:
        self.link = link
        self.port = ModbusPort(link, clock, jitter)
        self._mac_of = mac_of
        self._macs: tuple[str, ...] = ()
        self._outbox = outbox
        self._readings = readings
        self._clock = clock
        self._started_s = clock()
        self._members = [Member(Device(spec)) for spec in points]
        self._connects = 0
        self._fast_since_slow = 0
        self._told_lost = False
        self._wake = asyncio.Event()
        for member in self._members:
            outbox.wake_by(member.key, self._wake)
            readings.points[member.key] = member.device.reading

    @property
    def counters(self) -> Counters:
        """Requests, time-outs, rejected replies by reason, connects."""
        return self.port.counters

    @property
    def connected(self) -> bool:
        return self.port.connected

    async def run(self) -> None:
        """Work until cancelled. A bug in here costs this connection a second, never another connection."""
        try:
            while not being_cancelled():
                try:
                    rest_s = await self.step()
                except Exception:
                    log.exception("driver failed link=%s", self.link)
                    self.port.close()
                    self._all_lost("driver error")
                    rest_s = AFTER_BUG_S
                await self._rest(rest_s)
        finally:
            self.port.close()

    async def step(self) -> float:
        """Do the most urgent piece of work, if any is due; seconds until there may be another."""
        now_s = self._clock()
        job = self._job(now_s)
        if job is None:
            return max(0.0, min(self._next_due_s(now_s) - now_s, REST_MAX_S))
        fault = await self.port.connect()
        if fault is not None:
            waiting = str(Fault.HUNG_UP) if self.port.hung_up else ""
            self._all_lost(waiting if fault is Fault.DISCONNECTED else str(fault))
            return max(0.0, min(self.port.retry_at_s - now_s, REST_MAX_S))
        if self.port.counters.connects != self._connects:
            self._on_connect()
            return 0.0
        await job()
        self._publish()
        return 0.0

    async def aclose(self) -> None:
        """Hang up."""
        await self.port.aclose()

    async def _rest(self, rest_s: float) -> None:
        if rest_s <= 0:
            await asyncio.sleep(0)
            return
        try:
            await asyncio.wait_for(self._wake.wait(), rest_s)
        except TimeoutError:
            return
        self._wake.clear()

    # ---- what to do next

    def _job(self, now_s: float) -> Job | None:
        """The most urgent work that is due and allowed."""
        asked = [m for m in self._members if now_s >= m.quiet_until_s and self._may_ask(m, now_s)]
        for member in asked:
            if not member.device.resolved and now_s >= member.discover_at_s:
                return partial(self._discover, member)
        ready = [member for member in asked if member.device.resolved]
        writes = [(m, due) for m in ready for due in due_writes(m.device, m.book, self._outbox, now_s)]
        if writes:
            return partial(self._write, *min(writes, key=lambda one: one[1].order))
        for member in ready:
            if now_s >= member.provision_at_s:
                return partial(self._provision, member)
            if self._life_bit_due(member, now_s):
                return partial(self._life_bit, member)
        return self._poll_job(ready, now_s)

    def _may_ask(self, member: Member, now_s: float) -> bool:
        """Whether any request is allowed: not, once the lease is over, where it would keep the watchdog quiet."""
        spec = member.device.spec
        if not spec.managed or spec.profile.keepalive.kind != "any_request":
            return True
        lease_s = self._outbox.lease_until_s(member.key)
        if lease_s == NEVER_S:
            return now_s < self._started_s + BOOT_GRACE_S
        return now_s <= lease_s

    def _life_bit_due(self, member: Member, now_s: float) -> bool:
        device = member.device
        if not device.spec.managed or member.book.foreign or not wants_life_bit(device):
            return False
        if now_s > self._outbox.lease_until_s(member.key):
            return False
        return now_s >= member.book.life_bit_s + life_bit_period_s(device)

    def _poll_job(self, ready: Sequence[Member], now_s: float) -> Job | None:
        """The latest of the fast polls; after a round of those, one slower poll that is due, so that none starves."""
        fast: list[tuple[float, Member, DueBlock]] = []
        slow: list[tuple[float, Member, DueBlock]] = []
        fast_count = 0
        for member in ready:
            until_s = self._fast_until_s(member)
            for due in member.device.blocks:
                period_s = due.period_at(now_s, until_s)
                is_fast = 0 < period_s <= FAST_PERIOD_S
                fast_count += is_fast
                late_s = now_s - due.due_s(now_s, until_s)
                if late_s >= 0:
                    (fast if is_fast else slow).append((late_s / (period_s or 1.0), member, due))
        if not fast and not slow:
            return None
        take_slow = bool(slow) and (not fast or self._fast_since_slow >= fast_count)
        self._fast_since_slow = 0 if take_slow else self._fast_since_slow + 1
        _, member, due = max(slow if take_slow else fast, key=lambda one: one[0])
        return partial(self._poll, member, due)

    def _next_due_s(self, now_s: float) -> float:
        """When the next poll is due (writes wake the task themselves)."""
        dues = [
            due.due_s(now_s, self._fast_until_s(member))
            for member in self._members
            if now_s >= member.quiet_until_s and member.device.resolved and self._may_ask(member, now_s)
            for due in member.device.blocks
        ]
        return min(dues, default=now_s + REST_MAX_S)

    def _fast_until_s(self, member: Member) -> float:
        return max(member.device.fast_until_s, self._outbox.fast_until_s.get(member.key, NEVER_S))

    # ---- doing it

    async def _poll(self, member: Member, due: DueBlock) -> None:
        device, block = member.device, due.block
        due.asked(self._clock(), self._fast_until_s(member))
        reply = await self.port.read_block(block.table, device.unit_of(block), block.addr, block.count)
        if isinstance(reply, ReadFailure):
            device.refuse(due, reply)
            self._note(member, reply)
            return
        self._note(member, None)
        if device.accept(block, reply.words, reply.at_s, due):
            self._look_for_restart(member)

    async def _discover(self, member: Member) -> None:
        device = member.device
        model = device.spec.profile.sunspec
        if model is None:
            return
        found = await discover(self.port, device.spec.unit, model.bases)
        resolved = found if isinstance(found, NotFound) else resolve(device.spec.profile, found)
        if isinstance(resolved, NotFound):
            device.reading = replace(device.reading, problem=resolved.reason)
            member.discover_at_s = self._clock() + (RETRY_S if resolved.silent else DISCOVERY_RETRY_S)
            return
        device.use(resolved)
        device.resolved = True

    async def _provision(self, member: Member) -> None:
        before = member.device.reading.suspect
        failure = await provision(self.port, member.device)
        now_s, suspect = self._clock(), member.device.reading.suspect
        if suspect != before:
            log.warning("identity key=%s %s", member.key, " ".join(suspect) or "as expected again")
        self._note(member, failure)
        self._look_who()
        if failure is None:
            member.book.foreign = member.device.reading.foreign
            member.provision_at_s, member.provision_failures = now_s + again_s(member.device.reading), 0
            member.book.provisioned = True
            return
        member.provision_failures += 1
        member.provision_at_s = now_s + RETRY_S * min(member.provision_failures, RETRY_GROWS)
        if member.provision_failures >= PROVISION_TRIES:
            device = member.device
            device.reading = replace(device.reading, failsafe=FailsafeStatus())
            member.book.provisioned = True

    async def _life_bit(self, member: Member) -> None:
        device = member.device
        register = device.profile.register(device.profile.keepalive.register or "")
        failure = await write_value(self.port, device, register, life_bit_value(device, register))
        self._note(member, failure)
        member.book.life_bit_s = self._clock()
        if failure is not None:
            member.book.life_bit_s += AFTER_BUG_S - life_bit_period_s(device)

    async def _write(self, member: Member, due: DueWrite) -> None:
        """Write one value, unless its lease has run out by now; then read back what became of it."""
        device, book = member.device, member.book
        target = target_of(device, due.value) if due.channel == "setpoint" else due.value
        requests = requests_of(device, due)
        problem = requests.reason if isinstance(requests, CannotWrite) else ""
        for request in () if isinstance(requests, CannotWrite) else requests:
            if self._clock() > due.valid_until_s:
                return
            failure = await write_words(self.port, device, request.register, request.words)
            self._note(member, failure)
            if failure is not None:
                problem = f"{failure.reason} {failure.detail}".strip()
                break
        now_s = self._clock()
        if problem:
            # It may have been taken or not: whatever is wanted next has to be written again.
            book.tried[due.channel] = (due.value, now_s)
            book.written.pop(due.channel, None)
            device.reading = replace(device.reading, setpoint=replace(device.reading.setpoint, problem=problem))
            return
        changed = book.written.get(due.channel) != target
        book.written[due.channel], book.written_s[due.channel] = target, now_s
        book.tried.pop(due.channel, None)
        if due.channel == "stop":
            book.stopped = bool(due.value)
        if changed:
            device.fast_until_s = now_s + SETTLE_FOR_S
        await self._read_back(member, due, target, now_s)

    async def _read_back(self, member: Member, due: DueWrite, target: int, written_s: float) -> None:
        device, profile = member.device, member.device.profile
        names: tuple[str | None, ...] = ()
        readable = readback_names(profile)
        if due.channel == "setpoint" and readable:
            before = device.reading.setpoint
            member.book.contest = after_write(member.book.contest, target, before.readback_milli)
            problem = member.book.contest.problem
            status = replace(before, written_milli=target, written_at_s=written_s, problem=problem)
            device.reading = replace(device.reading, setpoint=status)
            remaining = profile.failsafe.timeout_read if profile.failsafe.timeout_kind == "remaining" else None
            names = (*readable, remaining)
        elif due.channel == "stop" and profile.stop is not None:
            names = (profile.stop.register,) if profile.register(profile.stop.register).readable else ()
        elif profile.phase_switch is not None:
            switch = profile.phase_switch
            names = tuple(n for n in (switch.readback or switch.register,) if profile.register(n).readable)
        failure = await read_now(self.port, device, names)
        self._note(member, failure)
        self._judge_setpoint(member)

    def _judge_setpoint(self, member: Member) -> None:
        """What the newest read-back says; a device that fell back may have restarted and lost its failsafe as well."""
        if judge_readback(member.device, member.book, self._clock()):
            status = member.device.reading.setpoint
            if status.contest not in {"", "ignored"}:
                log.warning("setpoint key=%s %s", member.key, status.problem)
            if status.contest == "fell_back":
                member.provision_at_s = NEVER_S

    # ---- what became of the peers

    def _on_connect(self) -> None:
        """Whoever answers now may have restarted meanwhile: everything is read, verified and written anew."""
        self._connects = self.port.counters.connects
        log.info("connected link=%s", self.link)
        self._look_who()
        for member in self._members:
            self._start_over(member)

    def _look_who(self) -> None:
        """Whose network card answers: the kernel has just talked to it."""
        peer = self.port.peer
        self._macs = seen(self._macs, self._mac_of(peer) if peer else "")
        for member in self._members:
            told = self._macs[-1] if self._macs else ""
            member.device.reading = replace(member.device.reading, mac=told, rival_macs=rivals(self._macs))

    def _start_over(self, member: Member) -> None:
        member.device.start_over()
        member.device.resolved = member.device.spec.profile.sunspec is None
        member.book.forget()
        member.provision_at_s = member.discover_at_s = member.quiet_until_s = NEVER_S
        member.unanswered = member.provision_failures = 0

    def _note(self, member: Member, failure: ReadFailure | WriteFailure | None) -> None:
        """Count requests without an answer. A dead device on a shared line is asked rarely: others keep their pace."""
        if failure is not None and no_answer_of(failure):
            if failure.exception_code is not None and self._clock() < member.unanswered_s + GATEWAY_COUNT_S:
                return
            member.unanswered, member.unanswered_s = member.unanswered + 1, self._clock()
            over = member.unanswered - DEAD_AFTER
            if over >= 0 and len(self._members) > 1:
                wait_s = DEAD_RETRY_S[min(over, len(DEAD_RETRY_S) - 1)]
                member.quiet_until_s = self._clock() + wait_s
        else:
            was_dead, member.unanswered, self._told_lost = member.unanswered >= DEAD_AFTER, 0, False
            if was_dead:
                self._start_over(member)

    def _look_for_restart(self, member: Member) -> None:
        """A device that restarted lost what we told it."""
        self._judge_setpoint(member)
        if has_restarted(member):
            reboots = member.device.reading.reboots + 1
            self._start_over(member)
            member.device.reading = replace(member.device.reading, reboots=reboots)

    def _all_lost(self, problem: str) -> None:
        if not self._told_lost:
            log.warning("connection lost link=%s reason=%s", self.link, problem or "hung up")
            self._told_lost = True
        for member in self._members:
            member.device.lost(problem or member.device.reading.problem)
        self._publish()

    def _publish(self) -> None:
        for member in self._members:
            self._readings.points[member.key] = member.device.reading
