"""One point behind a connection: what was read of it, what is due to be read next, and its entry in the readings.

No I/O happens here: the connection asks what is due, does it, and brings the words.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from interfaces.domain.units import NEVER_S
from interfaces.drivers.failsafe import FailsafeWish, as_read, judge_failsafe
from interfaces.drivers.plausibility import Vote, in_range, jump_checked, voted
from interfaces.drivers.polling import Block, PlannedPoll, plan_blocks, plan_polls, slice_of, split, with_factors
from interfaces.drivers.profile import Profile, Register
from interfaces.drivers.profile_check import state_registers
from interfaces.drivers.readings import GOOD, NOT_AVAILABLE, OUT_OF_RANGE, PointReading, Sample
from interfaces.drivers.registers import MAX_SF, Value, decode
from interfaces.drivers.replies import ReadFailure, no_answer_of
from interfaces.drivers.roles import charger_state, raw_state, registers_of, role_value
from interfaces.drivers.setpoints import readback_milli, readback_names
from interfaces.drivers.sunspec import as_if_found

ILLEGAL_ADDRESS: Final = 2
REREAD_MAX: Final = 3
"""Readings that wait for a second one are repeated at once this often, then at the usual rate."""
ONCE_RETRY_S: Final = 10.0
"""What is read once after connecting, and got no answer, is asked for again after this."""
GATEWAY_GRACE_S: Final = 3.0
"""A gateway that says so often that a unit does not answer, while nothing else does, speaks for a device that is gone.
Where other services of the same device answer (Victron GX), only that one is missing."""
BLANK_WORDS: Final = 3
"""A single -1 may be a value; so many words of it in a row are none."""
ABSENT_RETRY_S: Final = 60.0
"""A register the device said it does not have is asked for again after this: it may have been starting up."""


@dataclass(frozen=True, slots=True)
class PointSpec:
    """One point as the site file has it.

    ``key`` names its entry in readings and outbox, ``device`` the site file's entry it is part of. ``point``: which of
    the device's points (0 is the first). ``managed`` False: it is never written, and watched whatever its watchdog.
    ``period_s`` replaces the period of its fastest polls.
    """

    key: str
    profile: Profile
    unit: int
    point: int = 0
    station_unit: int | None = None
    managed: bool = True
    failsafe: FailsafeWish | None = None
    period_s: float | None = None
    device: str = ""


@dataclass(slots=True)
class DueBlock:
    """A block and when it was last asked. ``period_s`` 0: once after connecting, until it was ``answered``."""

    block: Block
    period_s: float
    settle_s: float | None
    roles: tuple[str, ...]
    measures: bool = False
    last_s: float = NEVER_S
    vote: Vote = field(default_factory=Vote)
    held_in_a_row: int = 0
    refused: bool = False
    answered: bool = False

    def period_at(self, now_s: float, fast_until_s: float) -> float:
        """Its period now: the settle rate for a while after a setpoint change, a slow one while it is refused."""
        if self.refused:
            return max(self.period_s, ABSENT_RETRY_S)
        if self.settle_s is not None and now_s < fast_until_s:
            return min(self.period_s, self.settle_s)
        return self.period_s

    def due_s(self, now_s: float, fast_until_s: float) -> float:
        """When it is to be asked next."""
        if self.period_s == 0:
            return float("inf") if self.answered or self.refused else self.last_s + ONCE_RETRY_S
        return self.last_s + self.period_at(now_s, fast_until_s)

    def asked(self, now_s: float, fast_until_s: float) -> None:
        """It is asked now. Small delays do not shift its rhythm; a missed round is not made up for."""
        due_s, period_s = self.due_s(now_s, fast_until_s), self.period_at(now_s, fast_until_s)
        self.last_s = due_s if now_s - due_s < period_s else now_s


class Device:
    """Decoding and bookkeeping of one point."""

    def __init__(self, spec: PointSpec) -> None:
        self.spec = spec
        self.reading = PointReading()
        self.values: dict[str, Value | None] = {}
        self.times: dict[str, float] = {}
        self.blocks: list[DueBlock] = []
        self.absent: set[str] = set()
        """Registers this device refused one by one: its firmware does not have them."""
        self.fast_until_s = NEVER_S
        self.resolved = spec.profile.sunspec is None
        self._longest_remaining_s = 0.0
        self.use(as_if_found(spec.profile))

    def use(self, profile: Profile) -> None:
        """Take a profile with absolute addresses and plan its polls, all due now."""
        self._placed = profile
        step = profile.points.address_step * self.spec.point
        if step:
            moved = tuple(r if r.on == "station" else replace(r, addr=r.address + step) for r in profile.registers)
            profile = replace(profile, registers=moved)
        self.profile = profile
        self.units: Mapping[str, str] = {register.name: register.unit for register in profile.registers}
        self._role_registers = {role: frozenset(registers_of(e)) for role, e in profile.roles.items()}
        self._state_registers = frozenset(state_registers(profile.state)) if profile.state else frozenset()
        polls = plan_polls(profile)
        fastest_s = min((poll.period_s for poll in polls if poll.period_s), default=0.0)
        self.blocks = [self._due_block(poll, block, fastest_s) for poll in polls for block in poll.blocks]

    def start_over(self) -> None:
        """Everything is read anew, after connecting or a restart; what was absent may exist now."""
        self.absent.clear()
        self._longest_remaining_s = 0.0
        if self.spec.profile.sunspec is not None:
            self.values.clear()  # scale factors of what may be another device now
            self.times.clear()
        self.use(self._placed)

    def unit_of(self, block: Block) -> int:
        """The Modbus unit that answers for a block."""
        station = self.spec.station_unit
        return station if block.on == "station" and station is not None else self.spec.unit

    def blocks_of(self, names: Sequence[str | None]) -> tuple[Block, ...]:
        """Requests that read these registers now, without those the device does not have."""
        known = {register.name: register for register in self.profile.registers}
        wanted = [known[name] for name in names if name in known and name not in self.absent]
        return plan_blocks(with_factors(wanted, known), self.profile.limits)

    def accept(self, block: Block, words: Sequence[int], at_s: float, due: DueBlock | None = None) -> bool:
        """Decode a reply into values and roles. False when it waits for a second reading (``due`` is due at once)."""
        fresh = self._decoded(block, words)
        if due is not None and not self._passes_vote(due, fresh):
            self.reading = replace(self.reading, held=self.reading.held + 1, reply_s=at_s, connected=True)
            due.held_in_a_row += 1
            if due.held_in_a_row <= REREAD_MAX:
                due.last_s = NEVER_S
            return False
        self.values |= fresh
        self.times |= dict.fromkeys(fresh, at_s)
        self._publish(fresh, at_s)
        if due is not None:
            due.held_in_a_row, due.refused, due.answered = 0, False, True
            self.absent.difference_update(fresh)
        if due is not None and due.measures:
            digest = zlib.crc32(struct.pack(f">{len(words)}H", *words))
            number = self.reading.sample_no + 1
            self.reading = replace(self.reading, sample_s=at_s, sample_no=number, digest=digest)
        return True

    def refuse(self, due: DueBlock, failure: ReadFailure) -> None:
        """Note why a block gave nothing; its roles keep value and time of their last good reading.

        A device that says "illegal address" is asked again for halves, down to the register that it does not have.
        """
        self.reading = replace(self.reading, problem=_told(failure))
        if not no_answer_of(failure):
            self.reading = replace(self.reading, reply_s=failure.at_s, connected=True)
        elif failure.exception_code is not None and failure.at_s - self.reading.reply_s > GATEWAY_GRACE_S:
            self.reading = replace(self.reading, connected=False)
        if failure.exception_code == ILLEGAL_ADDRESS:
            self._split(due)
        roles = dict(self.reading.roles)
        for role in due.roles:
            old = roles.get(role)
            roles[role] = Sample(None, NEVER_S, _told(failure), 0) if old is None else _worse(old, _told(failure))
        self.reading = replace(self.reading, roles=roles)

    def lost(self, problem: str) -> None:
        """The connection is gone: values keep the time they were sampled at, none is good any more."""
        if self.reading.connected or self.reading.problem != problem:
            roles = {role: _worse(sample, problem) for role, sample in self.reading.roles.items()}
            self.reading = replace(self.reading, connected=False, problem=problem, roles=roles)

    def _due_block(self, poll: PlannedPoll, block: Block, fastest_s: float) -> DueBlock:
        held = {register.name for register in block.registers}
        roles = tuple(role for role, names in self._role_registers.items() if held & names)
        main = "current_l1_a" if "current_l1_a" in self.profile.roles else "power_w"
        period_s = poll.period_s
        if self.spec.period_s is not None and period_s == fastest_s:
            period_s = self.spec.period_s
        return DueBlock(block, period_s, poll.settle_s, roles, measures=main in roles)

    def _decoded(self, block: Block, words: Sequence[int]) -> dict[str, Value | None]:
        if _is_blank(block, words):
            return dict.fromkeys((register.name for register in block.registers), None)
        order = self.profile.word_order
        factors = {register.sf for register in block.registers if register.sf}
        fresh: dict[str, Value | None] = {}
        for register in sorted(block.registers, key=lambda r: r.name not in factors):
            sf = fresh.get(register.sf) if register.sf else None
            if isinstance(sf, int) and abs(sf) > MAX_SF:
                fresh[register.name] = None
                continue
            raw = slice_of(block, register, words)
            fresh[register.name] = decode(register, raw, order, sf if isinstance(sf, int) else None)
        return fresh

    def _passes_vote(self, due: DueBlock, fresh: Mapping[str, Value | None]) -> bool:
        values = {**self.values, **fresh}
        found = {role: role_value(role, self.profile.roles[role], values, self.units) for role in due.roles}
        plausible = {role: value for role, value in found.items() if in_range(role, value)}
        due.vote, passed = voted(due.vote, jump_checked(plausible))
        return passed

    def _publish(self, fresh: Mapping[str, Value | None], at_s: float) -> None:
        roles = dict(self.reading.roles)
        for role, expression in self.profile.roles.items():
            names = self._role_registers[role]
            if names.isdisjoint(fresh):
                continue
            value = role_value(role, expression, self.values, self.units)
            quality = GOOD if in_range(role, value) else OUT_OF_RANGE
            old = roles.get(role, Sample(None, NEVER_S, NOT_AVAILABLE, 0))
            if quality != GOOD:
                roles[role] = _worse(old, quality)
            elif value is None:
                roles[role] = Sample(None, at_s, NOT_AVAILABLE, old.count)
            else:
                oldest_s = min(self.times[name] for name in names if name in self.times)
                roles[role] = Sample(value, oldest_s, GOOD, old.count + 1)
        self.reading = replace(self.reading, roles=roles, reply_s=at_s, connected=True, problem="")
        self._publish_state(fresh, at_s)
        self._publish_readback(fresh, at_s)
        self._publish_failsafe(fresh, at_s)

    def _publish_state(self, fresh: Mapping[str, Value | None], at_s: float) -> None:
        if self.profile.state is not None and self._state_registers & fresh.keys():
            state = charger_state(self.profile.state, self.values)
            raw = raw_state(self.profile.state, self.values.get(self.profile.state.register))
            odd = "" if state is not None or raw is None else str(raw)
            self.reading = replace(self.reading, state=state, state_at_s=at_s, odd_state=odd)

    def _publish_readback(self, fresh: Mapping[str, Value | None], at_s: float) -> None:
        if not any(fresh.get(name) is not None for name in readback_names(self.profile)):
            return
        status = replace(
            self.reading.setpoint, readback_milli=readback_milli(self.profile, self.values), readback_at_s=at_s
        )
        self.reading = replace(self.reading, setpoint=status)

    def _publish_failsafe(self, fresh: Mapping[str, Value | None], at_s: float) -> None:
        failsafe = self.profile.failsafe
        if not fresh.keys() & {failsafe.current_read, failsafe.timeout_read}:
            return
        current_a, timeout_s = as_read(self.profile, self.values, self._longest_remaining_s)
        if timeout_s is not None and failsafe.timeout_kind == "remaining":
            self._longest_remaining_s = timeout_s
        status = judge_failsafe(self.profile, self.spec.failsafe, current_a, timeout_s, at_s)
        self.reading = replace(self.reading, failsafe=status)

    def _split(self, due: DueBlock) -> None:
        parts = split(due.block, self.profile.limits)
        if not parts:
            due.refused = True
            self.absent |= {register.name for register in due.block.registers}
            self.values |= dict.fromkeys((register.name for register in due.block.registers), None)
            return
        self.blocks.remove(due)
        for part in parts:
            roles = tuple(r for r in due.roles if _holds(part.registers, self._role_registers[r]))
            self.blocks.append(DueBlock(part, due.period_s, due.settle_s, roles, due.measures))


def _holds(registers: Sequence[Register], names: frozenset[str]) -> bool:
    return any(register.name in names for register in registers)


def _is_blank(block: Block, words: Sequence[int]) -> bool:
    """Nothing but 0xFFFF: erased memory, or a gateway that has no data yet. As signed numbers that would be -1, which
    reads as no current at all.
    """
    return len(words) >= BLANK_WORDS and block.table in {"holding", "input"} and set(words) == {0xFFFF}


def _worse(old: Sample, quality: str) -> Sample:
    return replace(old, quality=quality)


def _told(failure: ReadFailure) -> str:
    return f"{failure.reason}: {failure.detail}" if failure.detail else str(failure.reason)
