"""The rolling horizon of one site: when a new plan is due, and making it.

Every five minutes, and sooner when something happened that plans must answer to: a car came or left, a target, prices
or an operator limit changed, or the site draws clearly more or less than planned. Several happenings within a few
seconds make one plan. Time comes in as an argument; who calls keeps the clock.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from forecasting.core.pv import WeatherColumns
from interfaces.domain.live import LiveStatus
from interfaces.domain.plan import Plan
from interfaces.domain.units import SECONDS_PER_DAY, SECONDS_PER_QUARTER, kw_from_mw
from optimizer.core.planning import Live, Planned, Refused, plan_of, plan_problem
from optimizer.core.problem import Problem
from optimizer.core.problem_money import Dynamic
from optimizer.core.problem_state import Session, Target
from optimizer.service.engine import DEADLINE_S
from optimizer.service.heat import HeatStores
from optimizer.service.memory import SiteMemory
from optimizer.service.observed import problem_of
from optimizer.service.outlook import Models, expected_targets, outlook_of
from optimizer.service.record import Outlook, SiteRecord

LEAST_S: Final[float] = 15.0
"""Happenings closer than this share a plan."""
BEFORE_QUARTER_S: Final[tuple[float, float]] = (60.0, 150.0)
"""The last plan before a quarter begins is so fresh, each site at its own moment: a plan that reckoned with a car being
ready by then would pause it a few hundred watt-hours before it is."""
DEVIATION_S: Final[float] = 150.0
"""Chargers and cars take a minute or two to follow a plan: only what lasts longer is a deviation."""
DEVIATION_KW: Final[float] = 3.0
DEVIATION_SHARE: Final[float] = 0.15
"""Of the planned import: a smaller difference is shared out on site by the plan's marginal values."""
ERRORS_KEPT: Final[int] = 7 * SECONDS_PER_DAY // SECONDS_PER_QUARTER
ERROR_LEVEL: Final[float] = 0.8
"""The margin under the peak covers this share of the quarters that came out higher than planned."""
LEAST_ERRORS: Final[int] = 96


@dataclass(frozen=True, slots=True)
class Issued:
    """A plan to send, with how it came about."""

    plan: Plan
    planned: Planned
    problem: Problem
    reason: str


class SitePlanner:
    """One site's planner. ``plan`` is the one in force; ``sequence`` the last one given out. ``guesses``: sessions
    about which nobody said anything get what their past says instead of the site's default target.
    """

    def __init__(
        self,
        record: SiteRecord,
        models: Models,
        *,
        sequence: int = 0,
        guesses: bool = False,
    ) -> None:
        self.record, self.models, self.guesses = record, models, guesses
        self.memory = SiteMemory(record.topology)
        self.heat = HeatStores(record.buffers, record.heat, record.time_zone)
        self.plan: Plan | None = None
        self.sequence = sequence
        self._live = Live()
        self._foreseen: tuple[int, Outlook] | None = None
        self._planned_epoch_s = float("-inf")
        self._because = ""
        self._deviating_since: float | None = None
        self._said_kw: dict[int, float] = {}
        self._errors_kw: deque[float] = deque(maxlen=ERRORS_KEPT)

    def observe(self, status: LiveStatus) -> None:
        """Take in the site's next status; what it changes may make a plan due."""
        for happening in self.memory.observe(status):
            self.happened(f"{happening.kind} {happening.asset}".strip())
        self.heat.observe(status)
        self._watch_deviation(status)

    def rewind(self, epoch_s: float) -> None:
        """The site's clock was set back to ``epoch_s``: statuses are believed from there on."""
        self.memory.rewind(epoch_s)
        self.heat = HeatStores(self.record.buffers, self.record.heat, self.record.time_zone)
        self._deviating_since = None
        self.happened("the clock was set back")

    def happened(self, what: str) -> None:
        """Something outside the status changed: a target, prices, an announced limit."""
        self._because = self._because or what

    def due(self, now_epoch_s: float) -> str:
        """Why a plan is to be made now; empty when it is not."""
        age_s = now_epoch_s - self._planned_epoch_s
        # A clock that was set back makes a negative age: the last plan tells nothing about when the next one is due.
        if self.memory.last is None or 0.0 <= age_s < min(LEAST_S, self.record.plan_every_s):
            return ""
        if self._because:
            return self._because
        return "" if 0.0 <= age_s < self.record.plan_every_s and not self._quarter_ends(now_epoch_s) else "time"

    def _quarter_ends(self, now_epoch_s: float) -> bool:
        """Whether the running quarter's last plan is to be made, by a site that plans several times in a quarter."""
        first_s, last_s = BEFORE_QUARTER_S
        ahead_s = first_s + zlib.crc32(self.record.id.encode()) % round(last_s - first_s)
        from_epoch_s = (now_epoch_s // SECONDS_PER_QUARTER + 1) * SECONDS_PER_QUARTER - ahead_s
        often = self.record.plan_every_s < SECONDS_PER_QUARTER
        return often and self._planned_epoch_s < from_epoch_s <= now_epoch_s

    def make(
        self,
        now_epoch_s: float,
        *,
        prices: Dynamic | None,
        wishes: Mapping[str, Target],
        weather: WeatherColumns | None = None,
        outlook: Outlook | None = None,
        announced: tuple[Session, ...] = (),
    ) -> Issued | Refused:
        """A new plan from what is known now; refused only where the problem itself makes no sense: the plan in force
        then runs to the end of its lease. ``outlook`` replaces the site's own forecasts.
        """
        reason = self.due(now_epoch_s) or "asked"
        problem = self.prepare(
            now_epoch_s, prices=prices, wishes=wishes, weather=weather, outlook=outlook, announced=announced
        )
        return self.solve(problem, reason)

    def prepare(
        self,
        now_epoch_s: float,
        *,
        prices: Dynamic | None,
        wishes: Mapping[str, Target],
        weather: WeatherColumns | None = None,
        outlook: Outlook | None = None,
        announced: tuple[Session, ...] = (),
    ) -> Problem:
        """The problem as it is now, for whoever solves it; it counts as the plan that was due."""
        if outlook is None:
            outlook = self._outlook(weather, now_epoch_s)
        self._learn_errors()
        guess = expected_targets(self.models, self.memory, now_epoch_s, wishes) if self.guesses else {}
        problem = problem_of(
            self.record,
            self.memory,
            outlook,
            prices=prices,
            wishes=wishes,
            expected=guess,
            previous=self.plan,
            margin_kw=self.margin_kw,
            now_epoch_s=now_epoch_s,
            announced=announced,
        )
        self._planned_epoch_s, self._because, self._deviating_since = now_epoch_s, "", None
        return self.heat.told(problem)

    def solve(self, problem: Problem, reason: str, sequence: int | None = None) -> Issued | Refused:
        """The plan of a prepared problem, in force from now on; its sequence is the next one unless somebody else
        gives them out.
        """
        planned = plan_problem(problem, self._live, deadline_s=DEADLINE_S)
        if isinstance(planned, Refused):
            return planned
        number = self.sequence + 1 if sequence is None else sequence
        plan_id = f"{self.record.id}-{number}"
        plan = plan_of(
            planned, problem, plan_id=plan_id, sequence=number, key_id="", lease_s=self.record.lease_s
        )  # fmt: skip
        self.adopt(plan)
        return Issued(plan, planned, problem, reason)

    def adopt(self, plan: Plan) -> None:
        """This plan is in force from now on, whoever made it."""
        self.plan, self.sequence = plan, plan.sequence
        self._note_import(plan, plan.issued_epoch_s)

    def _outlook(self, weather: WeatherColumns | None, now_epoch_s: float) -> Outlook:
        """The site's forecasts; what they are made from changes once in a quarter."""
        quarter = int(now_epoch_s // SECONDS_PER_QUARTER)
        if self._foreseen is None or self._foreseen[0] != quarter:
            steps = self.record.settings.horizon_steps
            self._foreseen = quarter, outlook_of(self.models, self.memory, weather, now_epoch_s, steps)
        return self._foreseen[1]

    @property
    def margin_kw(self) -> float:
        """How much higher quarters came out than was planned just before them, mostly."""
        if len(self._errors_kw) < LEAST_ERRORS:
            return 0.0
        return max(0.0, float(np.quantile(np.array(self._errors_kw), ERROR_LEVEL)))

    def _watch_deviation(self, status: LiveStatus) -> None:
        plan = self.plan
        measured = next((c.power_kw for c in status.circuits if c.id == self.record.topology.circuits[0].id), None)
        if plan is None or measured is None:
            return
        t = int((status.epoch_s - plan.start_epoch_s) // plan.step_s)
        if not 0 <= t < len(plan.planned_import_mw):
            return
        said_kw = kw_from_mw(float(plan.planned_import_mw[t]))
        if abs(measured - said_kw) <= max(DEVIATION_KW, DEVIATION_SHARE * abs(said_kw)):
            self._deviating_since = None
        elif self._deviating_since is None:
            self._deviating_since = status.epoch_s
        elif status.epoch_s - self._deviating_since >= DEVIATION_S:
            self.happened(f"the site draws {measured:.1f} kW where {said_kw:.1f} were planned")

    def _note_import(self, plan: Plan, now_epoch_s: float) -> None:
        """Remember what is planned for the next whole quarter, the last word before it begins."""
        t = int((now_epoch_s - plan.start_epoch_s) // plan.step_s) + 1
        if t < len(plan.planned_import_mw):
            start = int(plan.start_epoch_s) + t * plan.step_s
            self._said_kw[start] = kw_from_mw(float(plan.planned_import_mw[t]))

    def _learn_errors(self) -> None:
        if not self._said_kw:
            return
        quarters = self.memory.quarters()
        for start, measured in zip(quarters.start_epoch_s[-8:].tolist(), quarters.import_kw[-8:].tolist(), strict=True):
            said = self._said_kw.pop(start, None)
            if said is not None and np.isfinite(measured):
                self._errors_kw.append(measured - max(said, 0.0))
        done = int(quarters.start_epoch_s[-1]) if len(quarters.start_epoch_s) else 0
        self._said_kw = {start: kw for start, kw in self._said_kw.items() if start >= done}
