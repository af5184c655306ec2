"""What the cloud sends, on its way to the field process: judged, kept on disk, handed over, and again when needed.

``plan_inbox`` judges; this is its memory. Of plans and of targets the accepted message itself is kept, with its mark,
in one write before anybody uses it: a restart goes on with it, and no older one is ever taken, not even by a box that
was away for weeks. A message that only time speaks against is judged again until it is taken or refused.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from controller.service.kept import Kept
from controller.service.plan_inbox import LATER, Accepted, AcceptedTargets, Mark, Refused, Site, judge, judge_targets
from controller.service.uplink import Answer
from interfaces.domain.plan import Plan
from interfaces.domain.targets import Targets
from interfaces.domain.wire import AckCode, PlanAck
from interfaces.domain.wire_topics import Kind
from interfaces.drivers.signing import Verifier
from interfaces.errors import UserError

log = logging.getLogger(__name__)

LONGEST_TEXT: Final = 300
LONGEST_ID: Final = 200
Decide = Callable[[bytes], Awaitable[Sequence[Answer]]]


@dataclass(frozen=True, slots=True)
class Here:
    """Whom messages must be for and by whose keys they are signed; the mark of ``site`` is filled in here."""

    site: Site
    signing_file: Path


@dataclass(frozen=True, slots=True)
class _Held:
    """An accepted message as it came."""

    mark: Mark
    payload: bytes


@dataclass(slots=True)
class CloudInbox:
    """Takes messages by kind. ``here`` None: who we are is not known yet; ``tell_field`` hands a message to the field
    process; ``command`` judges commands.
    """

    kept: Kept
    here: Callable[[], Here | None]
    tell_field: Callable[[Plan | Targets], None]
    command: Decide | None = None
    problems: dict[str, str] = field(default_factory=dict)
    """Why the newest plan or targets are not used."""
    plans_refused: int = 0
    """One that waits for its time is counted once."""
    _held: dict[Kind, _Held] = field(default_factory=dict)
    _waiting: dict[Kind, bytes] = field(default_factory=dict)
    _one: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def take(self, kind: Kind, payload: bytes) -> Sequence[Answer]:
        """Judge one message, act on it, and say what became of it."""
        if kind in {Kind.PLAN, Kind.TARGETS}:
            async with self._one:
                return await self._judge(kind, payload, asked_before=False)
        return () if self.command is None else await self.command(payload)

    async def look(self) -> Sequence[Answer]:
        """Judge again what only time spoke against."""
        answers: list[Answer] = []
        for kind in tuple(self._waiting):
            async with self._one:
                payload = self._waiting.get(kind)
                if payload is not None:
                    answers += await self._judge(kind, payload, asked_before=True)
        return answers

    async def field_started(self) -> None:
        """The field process begins with nothing: hand it what is in force, as far as it still is and can be read."""
        for kind in (Kind.TARGETS, Kind.PLAN):
            async with self._one:
                with suppress(OSError):
                    held = await self._in_force(kind)
                    if held is not None:
                        await self._judge(kind, held.payload, asked_before=True)

    async def _judge(self, kind: Kind, payload: bytes, *, asked_before: bool) -> list[Answer]:
        """One at a time: between reading a mark and writing the next nobody else may write one."""
        here = self.here()
        if here is None:
            self._wait(kind, payload, asked_before=asked_before)
            return []
        found = await self._found(kind, payload, here)
        if isinstance(found, Refused) and found.code in LATER:
            self._wait(kind, payload, asked_before=asked_before)
        elif payload == self._waiting.get(kind) or not (asked_before or isinstance(found, Refused)):
            self._waiting.pop(kind, None)
        if isinstance(found, Refused):
            return self._refused(kind, found, asked_before=asked_before)
        self.problems.pop(kind, None)
        if isinstance(found, AcceptedTargets):
            self.tell_field(found.targets)
            return []
        plan = found.plan
        self.tell_field(plan)
        return [(Kind.PLAN_ACK, lambda head: PlanAck(head, plan.plan_id, plan.sequence, AckCode.ACCEPTED))]

    async def _found(self, kind: Kind, payload: bytes, here: Here) -> Accepted | AcceptedTargets | Refused:
        """What is not refused is on disk."""
        try:
            held = await self._in_force(kind)
        except OSError as error:
            return Refused(AckCode.NOT_STORED, f"the number of the last one cannot be read: {error}")
        site = replace(here.site, mark=Mark() if held is None else held.mark)
        found = await asyncio.to_thread(_judged, kind, payload, site, here.signing_file)
        if isinstance(found, Accepted | AcceptedTargets) and not await self._keep(kind, _Held(found.mark, payload)):
            return Refused(AckCode.NOT_STORED, "its number cannot be stored, so it is not used")
        return found

    def _wait(self, kind: Kind, payload: bytes, *, asked_before: bool) -> None:
        """Of two that wait the one that came last counts."""
        if not asked_before or kind not in self._waiting:
            self._waiting[kind] = payload

    def _refused(self, kind: Kind, found: Refused, *, asked_before: bool) -> list[Answer]:
        text = found.text[:LONGEST_TEXT]
        self.plans_refused += kind is Kind.PLAN and not asked_before
        known = self.problems.pop(kind, None)
        if found.code is not AckCode.LOCAL_ONLY:  # which somebody chose
            self.problems[kind] = f"the newest {kind} from the cloud is not used: {text}"
            if self.problems[kind] != known:
                log.warning("refused kind=%s code=%s reason=%r", kind, found.code, text)
        if kind is Kind.TARGETS or (asked_before and found.code in LATER):
            return []
        plan_id = found.plan_id[:LONGEST_ID]
        return [(Kind.PLAN_ACK, lambda head: PlanAck(head, plan_id, found.sequence, found.code, text))]

    async def _in_force(self, kind: Kind) -> _Held | None:
        """What was accepted last, from memory or from before the restart.

        Raises:
            OSError: that cannot be read.
        """
        if kind not in self._held:
            stored = await asyncio.to_thread(self.kept.get, kind)
            found = None if stored is None else _unpacked(stored)
            if found is None:
                return None
            self._held[kind] = found
        return self._held[kind]

    async def _keep(self, kind: Kind, fresh: _Held) -> bool:
        """Whether it is on disk."""
        before = self._held.get(kind)
        if before is not None and before.mark == fresh.mark:
            return True
        if not await asyncio.to_thread(self.kept.put, kind, _packed(fresh)):
            return False
        self._held[kind] = fresh
        return True


def _judged(kind: Kind, payload: bytes, site: Site, signing_file: Path) -> Accepted | AcceptedTargets | Refused:
    try:
        verifier = Verifier.of_file(signing_file)
    except UserError as error:
        return Refused(AckCode.UNKNOWN_KEY, str(error))
    return judge(payload, site, verifier) if kind is Kind.PLAN else judge_targets(payload, site, verifier)


def _packed(held: _Held) -> bytes:
    return json.dumps([held.mark.sequence, held.mark.digest]).encode() + b"\n" + held.payload


def _unpacked(stored: bytes) -> _Held | None:
    head, _, payload = stored.partition(b"\n")
    try:
        sequence, digest = json.loads(head)
        return _Held(Mark(int(sequence), str(digest)), payload)
    except (ValueError, TypeError):
        return None
