"""Which write of a point is due: pure bookkeeping of what was wanted, written, confirmed.

A setpoint is written when it changes, again at a third of the device's time-out, and at once when the device turns out
to hold another value. Decreases go before raises; whatever does not lower a current waits until the device's failsafe
has been seen to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Final

from interfaces.domain.units import NEVER_S, ma_from_a
from interfaces.drivers.contest import Contest, shown
from interfaces.drivers.device import Device
from interfaces.drivers.failsafe import in_register_unit, timeout_to_write_s
from interfaces.drivers.outbox import Channel, Outbox
from interfaces.drivers.profile import Register
from interfaces.drivers.roles import holds
from interfaces.drivers.setpoints import (
    CannotWrite,
    RegisterWrite,
    is_applied,
    phase_writes,
    quantised_ma,
    readback_tolerance_milli,
    setpoint_writes,
    stop_writes,
)

RENEWALS_PER_TIMEOUT: Final = 3
RETRY_S: Final = 0.5
"""Between two attempts to write the same value that failed."""
REASSERT_S: Final = 1.0
"""Between two writes of a value that the device acknowledges and does not hold."""
FIRST: Final = -(1 << 62)
"""Order of a write before every other one."""


@dataclass(frozen=True, slots=True)
class DueWrite:
    """A write to make now. ``order``: lower goes first."""

    device: Device
    channel: Channel
    value: int
    valid_until_s: float
    order: int


Rule = Callable[[Device, "WriteBook", int, float], int | None]


@dataclass(slots=True)
class WriteBook:
    """What was written to one point."""

    written: dict[Channel, int] = field(default_factory=dict)
    written_s: dict[Channel, float] = field(default_factory=dict)
    tried: dict[Channel, tuple[int, float]] = field(default_factory=dict)
    provisioned: bool = False
    """The failsafe registers were seen to (or there are none) since connecting."""
    stopped: bool = False
    """Our stop was acknowledged and not taken back since."""
    foreign: bool = False
    """Another make, map or scale answers than the profile describes: only a pause is written."""
    life_bit_s: float = NEVER_S
    contest: Contest = field(default_factory=Contest)
    """Whether what is written stays."""

    def forget(self) -> None:
        """The device may have restarted: it holds nothing of ours for certain."""
        self.written.clear()
        self.tried.clear()
        self.provisioned = False
        self.life_bit_s = NEVER_S
        self.contest = replace(self.contest, target=None, seen=False, tries=0)


def timeout_s(device: Device) -> float:
    """The device's time-out to be beaten: the shortest of what it says, what was wished, and its usual one where the
    wish cannot be written.
    """
    spec, told_s = device.spec, device.reading.failsafe.timeout_s
    settable = device.profile.failsafe.timeout_write is not None
    known = [spec.failsafe.timeout_s] if spec.failsafe else []
    if not known or not settable:
        known.append(device.profile.keepalive.timeout_s)
    if told_s:
        known.append(told_s)
    return min(known)


def renewal_s(device: Device) -> float:
    """How often an unchanged setpoint is written; never, where nothing would expire and each write may wear it."""
    keepalive, behaviour = device.profile.keepalive, device.profile.behaviour
    if keepalive.kind != "write" and behaviour.memory != "volatile":
        return float("inf")
    return max(timeout_s(device) / RENEWALS_PER_TIMEOUT, behaviour.write_interval_s)


def life_bit_period_s(device: Device) -> float:
    """How often the device wants its life bit."""
    wanted_s = device.profile.keepalive.period_s
    third_s = timeout_s(device) / RENEWALS_PER_TIMEOUT
    return third_s if wanted_s is None else min(third_s, wanted_s)


def wants_life_bit(device: Device) -> bool:
    """Whether there is a life bit to write now: some devices say that they watch nothing."""
    keepalive = device.profile.keepalive
    asleep = keepalive.unless and all(holds(test, device.values) for test in keepalive.unless)
    return keepalive.kind == "register" and not asleep


def life_bit_value(device: Device, register: Register) -> Fraction:
    """What the life bit is, in the register's unit."""
    keepalive, wish = device.profile.keepalive, device.spec.failsafe
    if keepalive.value_is == "constant":
        return Fraction(keepalive.value)
    wanted_s = timeout_to_write_s(device.profile, wish) if wish else int(keepalive.timeout_s)
    return in_register_unit(register, Fraction(wanted_s))


def due_writes(device: Device, book: WriteBook, outbox: Outbox, now_s: float) -> list[DueWrite]:
    """All writes of a point that are due and under a valid lease."""
    if not device.spec.managed:
        return []
    found = []
    rules: tuple[tuple[Channel, Rule], ...] = (
        ("stop", _stop_order), ("phases", _phases_order), ("setpoint", _setpoint_order),
    )  # fmt: skip
    for channel, rule in rules:
        want = outbox.get(device.spec.key, channel)
        if want is None or now_s > want.valid_until_s or _just_failed(book, channel, want.value, now_s):
            continue
        order = rule(device, book, want.value, now_s)
        if order is not None:
            found.append(DueWrite(device, channel, want.value, want.valid_until_s, order))
    return found


def target_of(device: Device, wanted: int) -> int:
    """What the device will really be told of a wanted setpoint (mA on its step, or mW as wanted)."""
    setpoint = device.profile.setpoint
    return wanted if setpoint is None else quantised_ma(setpoint, wanted)


def is_unapplied(device: Device, book: WriteBook) -> bool:
    """A read-back after the last write says that the device holds (or has in force) something else."""
    status, written = device.reading.setpoint, book.written.get("setpoint")
    if written is None or status.readback_milli is None or status.readback_at_s < book.written_s["setpoint"]:
        return False
    tolerance = readback_tolerance_milli(device.profile, device.values)
    return not is_applied(device.profile, written, status.readback_milli, tolerance)


def requests_of(device: Device, due: DueWrite) -> tuple[RegisterWrite, ...] | CannotWrite:
    """The registers and words of a write, or why there are none."""
    if due.channel == "stop":
        return stop_writes(device.profile, due.value)
    if due.channel == "phases":
        return phase_writes(device.profile, due.value)
    return setpoint_writes(device.profile, due.value, device.values, timeout_s(device))


def judge_readback(device: Device, book: WriteBook, now_s: float) -> bool:
    """Put into the reading what the newest read-back says of the last write; whether the pattern is another one now."""
    status, before = device.reading.setpoint, book.contest
    written_s = book.written_s.get("setpoint", NEVER_S)
    if "setpoint" not in book.written or status.readback_milli is None or status.readback_at_s < written_s:
        return False
    by_current, failsafe_a = device.profile.setpoint is not None, device.reading.failsafe.current_a
    after = book.contest = shown(
        before,
        status.readback_milli,
        applied=not is_unapplied(device, book),
        unit="A" if by_current else "W",
        now_s=now_s,
        failsafe=ma_from_a(failsafe_a) if by_current and failsafe_a is not None else None,
    )
    if (after.problem, after.kind) != (status.problem, status.contest):
        since_s = status.contest_s if after.kind == status.contest else now_s
        told = replace(status, problem=after.problem, contest=after.kind, contest_s=since_s)
        device.reading = replace(device.reading, setpoint=told)
    return after.kind != before.kind


def _just_failed(book: WriteBook, channel: Channel, value: int, now_s: float) -> bool:
    tried = book.tried.get(channel)
    return tried is not None and tried[0] == value and now_s < tried[1] + RETRY_S


def _stop_order(device: Device, book: WriteBook, value: int, now_s: float) -> int | None:  # noqa: ARG001
    """Stopping goes first of all. Allowing again is written only to a device that is stopped."""
    path = device.profile.stop
    if path is None:
        return None
    if value:
        return FIRST if book.written.get("stop") != 1 else None
    return 0 if book.stopped or device.values.get(path.register) == path.stop else None


def _phases_order(device: Device, book: WriteBook, value: int, now_s: float) -> int | None:  # noqa: ARG001
    if device.profile.phase_switch is None:
        return None
    read = device.reading.value("phases")
    return None if value in (read, book.written.get("phases")) else FIRST // 2


def _setpoint_order(device: Device, book: WriteBook, value: int, now_s: float) -> int | None:
    if device.profile.setpoint is None and device.profile.power_setpoint is None:
        return None
    target, last = target_of(device, value), book.written.get("setpoint")
    known = last if last is not None else device.reading.setpoint.readback_milli
    change = abs(target) - abs(known) if known is not None else abs(target)
    if target and (book.foreign or (change >= 0 and not book.provisioned)):
        return None
    if last != target:
        return change
    age_s = now_s - book.written_s["setpoint"]
    pause_s = max(REASSERT_S, device.profile.behaviour.write_interval_s)
    due = age_s >= renewal_s(device) or (age_s >= pause_s and is_unapplied(device, book))
    return 0 if due else None
