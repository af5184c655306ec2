"""One Zaptec installation, driven through the maker's service: when it is asked, what is written, what is told.

Everything blocks and nothing protects: it runs in the gateway's own thread, never in the process that scans. What it
tells is a fact with the time it was asked for; what it could not learn it says in a sentence.
"""

from __future__ import annotations

import logging
import random
from dataclasses import replace
from typing import Final

from interfaces.domain.units import NEVER_S
from interfaces.drivers.clock import Clock
from interfaces.drivers.profile import PilotName, Status
from interfaces.drivers.zaptec_api import Failed, ZaptecApi
from interfaces.drivers.zaptec_bodies import CHARGING, MODES, ChargerSeen, Installation
from interfaces.drivers.zaptec_point import POLL_S, Seen
from interfaces.drivers.zaptec_rule import HEARD_S, Book, ReadBack, after_read, after_write, to_write

log = logging.getLogger(__name__)

HIERARCHY_S: Final = 3600.0
"""How often the list of chargers is read again."""
BACKOFF_FIRST_S: Final = 10.0
BACKOFF_MOST_S: Final = 300.0


class ZaptecInstallation:
    """``step`` once a second. ``jitter`` is a seeded source for the back-off."""

    def __init__(
        self, installation_id: str, limit_a: float, api: ZaptecApi, clock: Clock, jitter: random.Random
    ) -> None:
        self.book = Book()
        self._id, self._limit_a = installation_id, limit_a
        self._api, self._clock, self._jitter = api, clock, jitter
        self._chargers: tuple[str, ...] = ()
        self._chargers_s = NEVER_S
        self._due_s = NEVER_S
        self._backoff_s = 0.0
        self._available_a: float | None = None
        self._last = Seen(NEVER_S, "")

    def same_as(self, other: ZaptecInstallation) -> bool:
        """Whether both drive the same installation under the same limit."""
        return (self._id, self._limit_a) == (other._id, other._limit_a)

    def step(self, wanted_a: int | None) -> Seen | None:
        """Write and ask what is due. ``wanted_a``: the controller's order, None while nobody vouches for one."""
        now_s = self._clock()
        if now_s < self._due_s and self._backoff_s:
            return None  # the service does not answer or asks to wait
        wanted_a = None if wanted_a is None else min(wanted_a, int(self._limit_a))
        self.book, value_a = to_write(self.book, wanted_a, self._available_a, now_s)
        problem = "" if value_a is None else self._write(value_a)
        if not problem and value_a is None and now_s < self._due_s:
            return None
        self._last = self._told(Failed(problem), now_s) if problem else self._look(wanted_a)
        return self._last

    def _write(self, value_a: int) -> str:
        """Write; what is wrong, if anything. A refusal of the service wrote nothing; silence may have."""
        at_s = self._clock()
        failed = self._api.set_available(self._id, value_a)
        log.info("available id=%s amps=%d failed=%r", self._id, value_a, "" if failed is None else failed.reason)
        if failed is None or not failed.refused:
            before_a = 0.0 if self._available_a is None else self._available_a
            self.book = after_write(self.book, value_a, before_a, at_s, accepted=failed is None)
        if failed is None:
            return ""
        self._wait(failed)
        return f"{value_a} A could not be set: {failed.reason}"

    def _look(self, wanted_a: int | None) -> Seen:
        """Ask everything that one reading needs; nothing of it counts unless all of it came."""
        asked_s = self._clock()
        installation = self._api.installation(self._id)
        if isinstance(installation, Failed):
            return self._failed(installation, asked_s)
        if asked_s - self._chargers_s >= HIERARCHY_S:
            chargers = self._api.chargers(self._id)
            if isinstance(chargers, Failed):
                return self._failed(chargers, asked_s)
            self._chargers, self._chargers_s = chargers, asked_s
        states: list[ChargerSeen] = []
        for charger in self._chargers:
            state = self._api.seen(charger)
            if isinstance(state, Failed):
                return self._failed(state, asked_s)
            states.append(state)
        self._backoff_s, self._due_s = 0.0, asked_s + POLL_S
        return self._reading(installation, states, wanted_a, asked_s)

    def _reading(
        self, installation: Installation, states: list[ChargerSeen], wanted_a: int | None, asked_s: float
    ) -> Seen:
        self._available_a = installation.available_a
        allotted_a = max((one.set_a or 0.0 for one in states if one.mode == CHARGING), default=0.0)
        self.book, back = after_read(self.book, installation.available_a, allotted_a, wanted_a, asked_s)
        pilot, status = _busiest(states)
        away = sum(not one.online for one in states)
        return Seen(
            asked_s,
            f"{away} of {len(states)} chargers are offline for the maker's service" if away else "",
            online=not away,
            offered_a=back.offered_a,
            readback_s=self._answered_s(back, asked_s),
            written_a=self.book.sent_a,
            written_s=self.book.sent_s,
            limit_a=_without_us(installation, states),
            pilot=pilot,
            status=status,
        )

    def _answered_s(self, back: ReadBack, asked_s: float) -> float:
        """Until when orders are answered: an order may have been on its way to us while we asked."""
        return asked_s - HEARD_S if back.counts else self._last.readback_s

    def _failed(self, failed: Failed, asked_s: float) -> Seen:
        self._wait(failed)
        return self._told(failed, asked_s)

    def _told(self, failed: Failed, asked_s: float) -> Seen:
        return replace(self._last, asked_s=asked_s, problem=failed.reason, online=False)

    def _wait(self, failed: Failed) -> None:
        """The next request comes later and later, and not before the service allows."""
        self._backoff_s = min(max(2.0 * self._backoff_s, BACKOFF_FIRST_S), BACKOFF_MOST_S)
        pause_s = max(self._backoff_s * self._jitter.uniform(0.75, 1.0), failed.wait_s)
        self._due_s = self._clock() + pause_s


def _busiest(states: list[ChargerSeen]) -> tuple[PilotName | None, Status]:
    """The installation as one place: charging when any charger is, free when all are, unknown when one is unknown."""
    shown = [MODES[one.mode] for one in states if one.mode is not None]
    for pilot in ("C2", "B2"):
        found = next((one for one in shown if one[0] == pilot), None)
        if found is not None:
            return found
    return MODES[1] if len(shown) == len(states) else (None, "not_in_operation")


def _without_us(installation: Installation, states: list[ChargerSeen]) -> float | None:
    """A per phase that the installation may use when nobody can tell it anything: never more than all its chargers
    fall back to without internet. None where one does not say.
    """
    offline = [one.offline_a for one in states]
    known = [one for one in offline if one is not None]
    return max(installation.max_a, sum(known)) if len(known) == len(offline) else None
