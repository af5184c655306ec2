"""What a controller says, as messages of the contract: under which number, and in which form. Pure.

Each message has two forms: ``now``, for the line while it is up, and ``later``, complete in itself and marked as
historical, which is what is kept on disk. Both have the same name, so that who gets both passes over the second.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

from controller.service.happenings import Happening
from controller.service.messages import Hello
from controller.service.quarter import Quarter
from controller.service.site_setup import SiteSetup
from controller.service.spool_table import Told
from interfaces.domain.live import LiveStatus
from interfaces.domain.plan import PLAN_SCHEMA
from interfaces.domain.wire import (
    Birth,
    ConfigVersion,
    Energy,
    Event,
    Message,
    Mode,
    State,
    write,
)
from interfaces.domain.wire_head import SCHEMA, Head
from interfaces.domain.wire_journal import JournalPiece
from interfaces.domain.wire_live import Known, live_of
from interfaces.domain.wire_topics import Kind

READS: Final = {"plan": f"{PLAN_SCHEMA}.0", "targets": SCHEMA, "command": SCHEMA}
LONGEST_TEXT: Final = 300
VERSION_DIGITS: Final = 16


@dataclass(frozen=True, slots=True)
class Saying:
    """One message in both forms. ``base``: the status the far side knows once it has it; None where it is no status."""

    kind: Kind
    now: bytes
    later: Told
    base: Known | None = None


class Teller:
    """Gives out names and writes messages. Sessions only grow, also over restarts: ``last_session`` is the last one."""

    def __init__(self, last_session: int, epoch_s: Callable[[], float], mode: Mode = "live") -> None:
        self._epoch_s = epoch_s
        self._mode: Mode = mode
        self.session = last_session
        self._next = 1
        self._known: Known | None = None
        self._whole_epoch_s = float("-inf")
        self._announced = 0
        self.announce()
        self.begin()

    def announce(self) -> int:
        """The number that the next session will have."""
        self._announced = max(self.session + 1, int(self._epoch_s()))
        return self._announced

    def begin(self) -> None:
        """The announced session: every message from now on is of it, and number 0 is its birth's."""
        if self.session != self._announced:
            self.session = self._announced
            self._next = 1
        self.forget()

    def forget(self) -> None:
        """The far side may not know the last status: the next one is whole."""
        self._known = None

    def knows(self, base: Known) -> None:
        """The far side has this status."""
        self._known = base

    def birth(self, setup: SiteSetup, hello: Hello, *, again: bool) -> bytes:
        """Who this is; number 0 unless somebody asked ``again``."""
        head = self._head(self._epoch_s()) if again else Head(self.session, 0, round(self._epoch_s(), 3))
        return write(
            Birth(
                head=head,
                software=hello.software,
                site=setup.site.id,
                topology_version=setup.params.topology.version,
                config_version=config_version(setup),
                schemas=READS,
                boot_reason=_boot_reason(hello),
                boot_epoch_s=hello.started_epoch_s,
                mode=self._mode,
                again=again,
            )
        )

    def state(self, session: int, *, online: bool) -> bytes:
        """Whether this session is connected."""
        return write(State(session, online=online, at_epoch_s=self._epoch_s()))

    def live(self, status: LiveStatus, whole_s: float) -> Saying:
        """The status: what changed since the last one that arrived, and whole every ``whole_s``."""
        head = self._head(status.epoch_s)
        age_s = status.epoch_s - self._whole_epoch_s
        base = self._known if 0.0 <= age_s < whole_s else None
        now, known = live_of(head, status, base)
        if now.whole is not None:
            self._whole_epoch_s = known.status.epoch_s
        whole, _ = live_of(replace(head, historical=True), known.status, None)
        return Saying(Kind.LIVE, write(now), self._told(head, Kind.LIVE, write(whole)), known)

    def energy(self, quarter: Quarter) -> Saying:
        """A quarter of an hour that is over."""
        return self._say(
            Kind.ENERGY,
            float(quarter.start_epoch_s),
            lambda head: Energy(head, float(quarter.start_epoch_s), quarter.assets, quarter.circuits),
        )

    def event(self, happening: Happening, at_epoch_s: float) -> Saying:
        """A condition that began or ended."""
        place = happening.place
        return self._say(
            Kind.EVENT,
            at_epoch_s,
            lambda head: Event(
                head, happening.id, happening.entered, place.code, happening.name, happening.text,
                place.asset, place.circuit, place.phase,
            ),
        )  # fmt: skip

    def config(self, setup: SiteSetup, software: str) -> Saying:
        """Another configuration is in force."""
        versions = config_version(setup), setup.params.topology.version
        return self._say(Kind.CONFIG, self._epoch_s(), lambda head: ConfigVersion(head, *versions, software))

    def piece(self, piece: JournalPiece) -> tuple[Head, bytes]:
        """A piece of the journal under its name; who sends it keeps it."""
        head = self._head(self._epoch_s())
        return head, write(replace(piece, head=head))

    def answer(self, kind: Kind, message: Callable[[Head], Message]) -> Saying:
        """What was decided about a plan or a command; the caller writes it around its head."""
        return self._say(kind, self._epoch_s(), message)

    def _say(self, kind: Kind, at_epoch_s: float, message: Callable[[Head], Message]) -> Saying:
        head = self._head(at_epoch_s)
        later = write(message(replace(head, historical=True)))
        return Saying(kind, write(message(head)), self._told(head, kind, later))

    def _head(self, at_epoch_s: float) -> Head:
        head = Head(self.session, self._next, round(at_epoch_s, 3))
        self._next += 1
        return head

    def _told(self, head: Head, kind: Kind, payload: bytes) -> Told:
        return Told(head.session, head.seq, head.at_epoch_s, kind, payload)


def config_version(setup: SiteSetup) -> str:
    """The version of a site file: a digest of its text."""
    return hashlib.sha256(setup.text.encode()).hexdigest()[:VERSION_DIGITS]


def _boot_reason(hello: Hello) -> Literal["restart", "watchdog", "unknown"]:
    if hello.restarts == 0:
        return "unknown"
    return "watchdog" if "watchdog" in hello.last_exit else "restart"
