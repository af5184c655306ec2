"""Poll groups -> block reads: pure planning within what a device bears.

Neighbouring registers are read in one request as far as the device's limits allow: not more words than it answers, over
holes only as far as the profile says, never over a forbidden address. A value and its SunSpec scale factor always come
in the same request, for a device may change the factor at any time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

from interfaces.drivers.profile import Limits, Poll, Profile, Register, Table


@dataclass(frozen=True, slots=True)
class Block:
    """One read request: ``count`` words from ``addr``, and the registers found in the reply.

    ``on``: whether it is asked of the point's unit or of the station's.
    """

    on: Literal["point", "station"]
    table: Table
    addr: int
    count: int
    registers: tuple[Register, ...]


@dataclass(frozen=True, slots=True)
class PlannedPoll:
    """A poll group as requests.

    ``period_s`` 0: once after connecting; ``settle_s``: its period after a setpoint change, None where it has no other.
    """

    name: str
    period_s: float
    settle_s: float | None
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class _Span:
    """Words that must come in one reply, and the registers they hold."""

    start: int
    end: int
    registers: tuple[Register, ...]


SETTLE_S: Final = 1.0
"""Poll rate of an EVSE after a setpoint change (or its ``min_poll_ms`` where that is slower)."""
SETTLE_FOR_S: Final = 20.0


def plan_polls(profile: Profile) -> tuple[PlannedPoll, ...]:
    """The poll groups of a profile (its registers placed at absolute addresses) as requests, in the profile's order."""
    known = {register.name: register for register in profile.registers}
    planned = []
    for poll in profile.polls:
        registers = with_factors([known[name] for name in poll.registers if name in known], known)
        blocks = plan_blocks(registers, profile.limits)
        planned.append(PlannedPoll(poll.name, poll.period_ms / 1000, _settle_s(poll, profile.limits), blocks))
    return tuple(planned)


def plan_blocks(registers: Iterable[Register], limits: Limits) -> tuple[Block, ...]:
    """The fewest requests, in address order, that read all ``registers``. ValueError when one cannot be read at all."""
    groups: dict[tuple[Literal["point", "station"], Table, str | None], list[Register]] = {}
    for register in registers:
        alone = register.name if register.alone or limits.one_by_one else None
        groups.setdefault((register.on, register.table, alone), []).append(register)
    blocks: list[Block] = []
    for (on, table, _), members in groups.items():
        spans = _joined(_spans(members), limits)
        blocks += (Block(on, table, span.start, span.end - span.start, span.registers) for span in spans)
    return tuple(blocks)


def split(block: Block, limits: Limits) -> tuple[Block, ...]:
    """A block in two halves, for a device that refuses the whole.

    Nothing when it holds one register (or inseparable ones): that register does not exist on this device.
    """
    spans = _spans(block.registers)
    if len(spans) < 2:
        return ()
    middle = len(spans) // 2
    halves = ([r for span in part for r in span.registers] for part in (spans[:middle], spans[middle:]))
    return tuple(found for half in halves for found in plan_blocks(half, limits))


def slice_of(block: Block, register: Register, words: Sequence[int]) -> Sequence[int]:
    """The words of one register in a block's reply."""
    start = register.address - block.addr
    return words[start : start + register.words]


def _settle_s(poll: Poll, limits: Limits) -> float | None:
    return max(SETTLE_S, limits.min_poll_ms / 1000) if poll.settle else None


def with_factors(registers: list[Register], known: dict[str, Register]) -> list[Register]:
    """The registers and their scale factors, each once."""
    named = {register.name: register for register in registers}
    factors = {r.sf: known[r.sf] for r in registers if r.sf is not None and r.sf in known}
    return list({**factors, **named}.values())


def _spans(registers: Sequence[Register]) -> list[_Span]:
    """Inseparable runs of words in address order: a register, from its scale factor on, with all that overlaps."""
    known = {register.name: register for register in registers}
    spans = []
    for register in registers:
        members = [register, *([known[register.sf]] if register.sf in known else [])]
        start = min(member.address for member in members)
        spans.append(_Span(start, max(member.address + member.words for member in members), tuple(members)))
    spans.sort(key=lambda span: (span.start, span.end))
    merged: list[_Span] = []
    for span in spans:
        if merged and span.start < merged[-1].end:
            merged[-1] = _both(merged[-1], span)
        else:
            merged.append(span)
    return merged


def _joined(spans: list[_Span], limits: Limits) -> list[_Span]:
    for span in spans:
        if span.end - span.start > limits.max_read_words or _forbidden(span.start, span.end, limits):
            names = ", ".join(register.name for register in span.registers)
            raise ValueError(f"{names}: no single request may read {span.start}..{span.end - 1}")
    joined = spans[:1]
    for _, span in pairwise(spans):
        last = joined[-1]
        fits = span.end - last.start <= limits.max_read_words and span.start - last.end <= limits.gap_words
        if fits and not _forbidden(last.start, span.end, limits):
            joined[-1] = _both(last, span)
        else:
            joined.append(span)
    return joined


def _both(one: _Span, other: _Span) -> _Span:
    registers = {register.name: register for register in (*one.registers, *other.registers)}
    return _Span(one.start, max(one.end, other.end), tuple(registers.values()))


def _forbidden(start: int, end: int, limits: Limits) -> bool:
    return any(start <= last and first < end for first, last in limits.forbidden)
