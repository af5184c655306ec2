"""Who wants what: schedules from files, wishes from the link, and what the site is told of them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from interfaces.command_line import read_file
from interfaces.domain.live import car_connected, same_session
from interfaces.domain.plan import Plan
from interfaces.domain.schedule import RowProblem, Schedule, Trip
from interfaces.domain.targets import Target as SentTarget
from interfaces.domain.targets import Targets
from interfaces.domain.units import MILLI, SECONDS_PER_DAY, SECONDS_PER_HOUR
from interfaces.errors import UserError
from interfaces.sources.schedules import csv_file, icalendar_file, xlsx_file
from interfaces.sources.schedules.rows import MOST_BYTES
from optimizer.core.compile import Compiled
from optimizer.core.problem import Problem
from optimizer.core.problem_state import ScheduleEntry, Target
from optimizer.core.problem_types import STEP_S
from optimizer.service.memory import SiteMemory
from optimizer.service.port import Wish
from optimizer.store.charging import SessionTarget

AGAIN_S: Final[float] = 6 * SECONDS_PER_HOUR
"""Recurring events of a calendar are expanded anew after this, also when the file is the same."""
AHEAD_S: Final[float] = 8 * SECONDS_PER_DAY
MOST_ENTRIES: Final[int] = 10_000
SUFFIXES: Final = (".csv", ".xlsx", ".ics")


class ScheduleFile:
    """One file of departures, read again when it changes. ``vehicle``: whose all events of a calendar are that name
    nobody. ``problems``: lines that were left out.
    """

    def __init__(self, path: Path, time_zone: str, vehicle: str | None = None) -> None:
        self.path = path
        self.trips: tuple[Trip, ...] = ()
        self.problems: tuple[RowProblem, ...] = ()
        self._zone, self._vehicle = ZoneInfo(time_zone), vehicle
        self._stamp: tuple[int, int] | None = None
        self._read_epoch_s = -math.inf

    def refresh(self, now_epoch_s: float) -> bool:
        """Read the file where it is new; whether its trips changed. A file that is away keeps the last trips."""
        try:
            told = self.path.stat()
            stamp = told.st_mtime_ns, told.st_size
            if stamp == self._stamp and 0.0 <= now_epoch_s - self._read_epoch_s < AGAIN_S:
                return False
            found = self._parsed(read_file(self.path, limit_bytes=MOST_BYTES), now_epoch_s)
        except OSError as error:
            self.problems = (RowProblem(self.path.name, f"it cannot be read: {error.strerror or error}"),)
            return False
        except UserError as error:
            self.problems = (RowProblem(self.path.name, str(error)),)
            return False
        before = self.trips
        self._stamp, self._read_epoch_s = stamp, now_epoch_s
        self.problems = found.problems
        if found.trips or not found.problems:  # a damaged file says nothing about the departures it had
            self.trips = found.trips
        return self.trips != before

    @property
    def trouble(self) -> str:
        """The first problem and how many more there are, in one sentence."""
        if not self.problems:
            return ""
        first, rest = self.problems[0], len(self.problems) - 1
        return f"{first.where}: {first.message}" + (f" (and {rest} more)" if rest else "")

    def _parsed(self, body: bytes, now_epoch_s: float) -> Schedule:
        name, suffix = self.path.name, self.path.suffix.lower()
        if suffix == ".ics":
            return icalendar_file.parse(
                body, name, self._zone, from_epoch_s=now_epoch_s - SECONDS_PER_DAY,
                until_epoch_s=now_epoch_s + AHEAD_S, vehicle=self._vehicle,
            )  # fmt: skip
        if suffix == ".xlsx":
            return xlsx_file.parse(body, name, self._zone)
        return csv_file.parse(body, name, self._zone)


def entries_of(trips: Iterable[Trip], default: Target, now_epoch_s: float) -> tuple[ScheduleEntry, ...]:
    """The departures of the next days, the soonest first; a trip without an amount takes the default's."""
    soon = sorted(
        (t for t in trips if now_epoch_s < t.departure_epoch_s < now_epoch_s + AHEAD_S),
        key=lambda t: t.departure_epoch_s,
    )
    return tuple(
        ScheduleEntry(
            departure_epoch_s=trip.departure_epoch_s,
            unit=default.unit if trip.wanted is None else trip.wanted.unit,
            amount=default.amount if trip.wanted is None else trip.wanted.amount,
            evse=trip.evse,
            tag=trip.tag,
            vehicle=trip.vehicle,
        )
        for trip in soon[:MOST_ENTRIES]
    )


def wishes_of(memory: SiteMemory, told: Iterable[Wish]) -> dict[str, Target]:
    """The sessions' own targets by EVSE. A wish holds for the session it was said for."""
    status = memory.last
    if status is None:
        return {}
    began = {a.id: a.plugged_in_epoch_s for a in status.assets if car_connected(a)}
    return {wish.evse: wish.target for wish in told if same_session(began.get(wish.evse), wish.plugged_in_epoch_s)}


def targets_of(problem: Problem, compiled: Compiled, plan: Plan) -> Targets:
    """What the site's own rules need to go on without the plan: each session's energy and departure, and the prices."""
    sessions = problem.state.sessions
    found = tuple(
        SentTarget(
            asset=need.evse,
            departure_epoch_s=need.departure_epoch_s,
            energy_wh=round((need.energy_kwh + session.delivered_kwh) * MILLI),
            deferrable=need.deferrable,
            never_pause=session.never_pause or need.vehicle.never_pause,
            tag=session.tag,
        )
        for session, need in zip(sessions, compiled.needs[: len(sessions)], strict=True)
    )
    return Targets(
        sequence=plan.sequence,
        issued_epoch_s=plan.issued_epoch_s,
        targets=found,
        price_start_epoch_s=float(compiled.steps.quarter_epoch_s[0]),
        price_step_s=STEP_S,
        price_eur_per_kwh=np.asarray(compiled.instance.grid.import_eur_per_kwh, dtype=np.float64),
    )


def session_targets(problem: Problem, compiled: Compiled, plan: Plan) -> tuple[SessionTarget, ...]:
    """What each car that is here is planned for and by whose word, for the store."""
    sessions = problem.state.sessions
    return tuple(
        SessionTarget(
            site=problem.site.id,
            evse=need.evse,
            plugged_in_epoch_s=session.plugged_in_epoch_s,
            source=need.source,
            asked=need.asked,
            energy_kwh=round(need.energy_kwh + session.delivered_kwh, 1),
            departure_epoch_s=float(round(need.departure_epoch_s)),
            issued_epoch_s=plan.issued_epoch_s,
        )
        for session, need in zip(sessions, compiled.needs[: len(sessions)], strict=True)
        if session.arrives_epoch_s is None
    )
