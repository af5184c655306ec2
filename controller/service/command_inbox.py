"""Orders from the cloud side, obeyed: judged, kept on disk, handed to the field process, answered once for all.

What stands and what was answered is on disk before anybody acts on it, in one write: after a restart the orders stand
as before, and a command that comes again gets the answer it got.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from controller.service.command_judge import (
    CommandSite,
    Given,
    Outcome,
    in_force,
    judge_command,
    message_of,
    obeyed,
)
from controller.service.kept import Kept
from controller.service.messages import StandingOrders
from controller.service.proposals import propose
from controller.service.uplink import Answer
from interfaces.domain.wire_commands import (
    LONGEST_COMMAND_S,
    AnswerCode,
    Command,
    CommandAnswer,
    ProposeConfiguration,
    SendJournal,
)
from interfaces.domain.wire_topics import Kind
from interfaces.drivers.signing import Verifier
from interfaces.errors import UserError

log = logging.getLogger(__name__)

NAME: Final = "orders"
LONGEST_TEXT: Final = 300
MOST_ANSWERS: Final = 2000
REMEMBERED_S: Final = 2 * LONGEST_COMMAND_S
"""A command that comes again later than this has expired, and is refused for that."""

SendWindow = Callable[[str, SendJournal, float], tuple[AnswerCode, str]]
"""Begin to send a window of the journal for a command, at this moment (UTC); what to answer. May raise OSError."""


@dataclass(frozen=True, slots=True)
class CommandHere:
    """Whom commands must be for, and by whose keys they are signed."""

    site: CommandSite
    signing_file: Path


@dataclass(frozen=True, slots=True)
class _Answered:
    """An answer that was given."""

    command: str
    code: AnswerCode
    text: str
    at_epoch_s: float


@dataclass(frozen=True, slots=True)
class _Memory:
    """What stands, and what was answered, oldest first."""

    __pydantic_config__ = ConfigDict(extra="forbid")
    standing: Annotated[tuple[Given, ...], Field(max_length=10_000)] = ()
    answered: tuple[_Answered, ...] = ()


_ADAPTER: Final = TypeAdapter(_Memory)


class CommandInbox:
    """Takes commands. ``here`` None: who we are is not known yet. ``proposals``: folder for proposed site files."""

    def __init__(
        self,
        kept: Kept,
        here: Callable[[], CommandHere | None],
        tell_field: Callable[[StandingOrders], None],
        send_window: SendWindow,
        proposals: Path,
    ) -> None:
        self._kept, self._here, self._tell_field = kept, here, tell_field
        self._send_window, self._proposals = send_window, proposals
        self._memory: _Memory | None = None
        self._owed = False
        self._trusted = True

    async def decide(self, payload: bytes) -> Sequence[Answer]:
        """Judge one command, obey it, and say what became of it."""
        here = self._here()
        if here is None:
            return ()  # without the field process nobody could obey; whoever gave it sees that no answer comes
        judged = await asyncio.to_thread(_judged, payload, here)
        if isinstance(judged, Command):
            judged = await self._once(judged, here)
        log.info("command id=%s code=%s text=%r", judged.command, judged.code, judged.text)
        return [_answer(judged)]

    async def field_started(self) -> None:
        """The field process begins with nothing: tell it what stands, as soon as it has said how its clock is."""
        self._owed = True
        await self.look()

    async def look(self) -> None:
        """Tell the field process what it still has to hear; once more when the clock is trusted again, because the ends
        of orders are by it.
        """
        here = self._here()
        if here is None:
            return
        trusted = here.site.clock_trusted
        self._owed |= trusted and not self._trusted
        self._trusted = trusted
        if not self._owed:
            return
        try:
            memory = await self._remembered()
        except OSError:
            return  # still owed
        self._owed = False
        # Also that nothing stands: a field process that was here all the time may not have heard the last resume.
        self._tell_field(message_of(memory.standing, here.site.epoch_s if trusted else None))

    async def _once(self, command: Command, here: CommandHere) -> Outcome:
        """Obey it, or say again what was said."""
        try:
            memory = await self._remembered()
        except OSError:
            text = "what was ordered before cannot be read here, so it is not obeyed"
            return Outcome(command.id, AnswerCode.NOT_POSSIBLE, text)
        earlier = next((one for one in memory.answered if one.command == command.id), None)
        if earlier is not None:
            return Outcome(earlier.command, earlier.code, earlier.text)
        return await self._obey(command, memory, here)

    async def _obey(self, command: Command, memory: _Memory, here: CommandHere) -> Outcome:
        now_epoch_s = here.site.epoch_s
        before = in_force(memory.standing, now_epoch_s)
        standing, outcome = obeyed(before, command, here.site)
        match command.order:
            case SendJournal():
                outcome = await asyncio.to_thread(self._journal, command.id, command.order, now_epoch_s)
            case ProposeConfiguration():
                code, text = await asyncio.to_thread(propose, self._proposals, command.id, command.order.text)
                outcome = Outcome(command.id, code, text)
        answered = _Answered(command.id, outcome.code, outcome.text, now_epoch_s)
        recent = tuple(one for one in memory.answered if now_epoch_s - one.at_epoch_s < REMEMBERED_S)
        fresh = _Memory(standing, (*recent, answered)[-MOST_ANSWERS:])
        if not await asyncio.to_thread(self._kept.put, NAME, _ADAPTER.dump_json(fresh)):
            return Outcome(command.id, AnswerCode.NOT_POSSIBLE, "it cannot be stored here, so it is not obeyed")
        self._memory = fresh
        if standing != before:
            self._tell_field(message_of(standing, now_epoch_s))
        return outcome

    def _journal(self, name: str, order: SendJournal, now_epoch_s: float) -> Outcome:
        """Reads the disk, which may hang."""
        try:
            code, text = self._send_window(name, order, now_epoch_s)
        except OSError as error:
            return Outcome(name, AnswerCode.NOT_POSSIBLE, f"the journal cannot be read: {error.strerror or error}")
        return Outcome(name, code, text)

    async def _remembered(self) -> _Memory:
        """From memory or from before the restart; what is no such thing is as if nobody had ordered anything.

        Raises:
            OSError: the disk returns nothing.
        """
        if self._memory is None:
            stored = await asyncio.to_thread(self._kept.get, NAME)
            if self._memory is None:  # else somebody has read it meanwhile, and may have changed it
                self._memory = _Memory() if stored is None else _memory_in(stored)
        return self._memory


def _memory_in(stored: bytes) -> _Memory:
    try:
        return _ADAPTER.validate_json(stored)
    except ValidationError:
        log.warning("orders_lost reason='what was kept of them cannot be read'")
        return _Memory()


def _judged(payload: bytes, here: CommandHere) -> Command | Outcome:
    try:
        verifier = Verifier.of_file(here.signing_file)
    except UserError as error:
        return Outcome("", AnswerCode.BAD_SIGNATURE, str(error))
    return judge_command(payload, here.site, verifier)


def _answer(outcome: Outcome) -> Answer:
    text = outcome.text[:LONGEST_TEXT]
    return Kind.ANSWER, lambda head: CommandAnswer(head, outcome.command, outcome.code, text)
