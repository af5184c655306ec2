"""The optimizer's loop over many sites: read what came, refresh what the world says, plan what is due, send it.

One step does all that can be done now and waits for nobody. What goes wrong at one site stays there: it is told once
when it begins and once when it is over, and the site's controller goes on by its lease and its own rules.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, TypeAlias

from forecasting.core.pv import WeatherColumns
from interfaces.domain.live import LiveStatus
from interfaces.domain.plan import Plan
from interfaces.domain.series import PriceSeries, WeatherSeries
from interfaces.domain.units import SECONDS_PER_MINUTE, SECONDS_PER_QUARTER
from interfaces.drivers.clock import Clock
from interfaces.sources.prices.zones import Zone
from optimizer.core.check import AHEAD_S as STATE_AHEAD_S
from optimizer.core.check import refusals
from optimizer.core.codec import problem_to_json
from optimizer.core.compile import Compiled, compile_problem
from optimizer.core.planning import Refused
from optimizer.core.problem import Problem
from optimizer.core.problem_money import Dynamic
from optimizer.service.conditions import Conditions
from optimizer.service.engine_desk import LATE_S, EngineDesk, Handed
from optimizer.service.feed import Feed, prices_ahead, prices_differ, weather_columns
from optimizer.service.file_feed import FileFeed
from optimizer.service.horizon import Issued, SitePlanner
from optimizer.service.outlook import Models
from optimizer.service.port import LinkError, SiteLink, Wish
from optimizer.service.record import PLAN_EVERY_S, SiteRecord
from optimizer.service.wanted import ScheduleFile, entries_of, session_targets, targets_of, wishes_of

log = logging.getLogger(__name__)

SILENT_S: Final[float] = float(SECONDS_PER_QUARTER)
"""A state older than this is no ground for a plan; the lease of the last one ends about then."""
AHEAD_S: Final[float] = 300.0
"""A status from further in the future comes from a clock that is wrong: it would hide all that come after it."""
REST_S: Final[float] = float(SECONDS_PER_MINUTE)
"""A site whose step failed is left alone for so long."""
NEWS_SPREAD_S: Final[float] = float(SECONDS_PER_MINUTE)
"""News that reach all sites at once, such as tomorrow's prices, are answered within this time, not in one instant."""
PLANNING_S: Final[float] = 20.0
"""Planned in one step at most, then everybody is listened to again."""
FIRST_PLAN_S: Final[float] = 0.5
"""Of each site, with what its link remembers to be read before: so long a start leaves for it."""
MOST_READINGS: Final[int] = 20
"""Of one link in one step: a restart reads ten weeks, and the other sites wait meanwhile."""


AnyFeed: TypeAlias = Feed[PriceSeries] | FileFeed[PriceSeries] | Feed[WeatherSeries]


@dataclass(frozen=True, slots=True)
class Market:
    """The prices of one zone; all sites of the zone share it."""

    zone: Zone
    feed: Feed[PriceSeries] | FileFeed[PriceSeries]


@dataclass(frozen=True, slots=True)
class SiteTask:
    """One site to plan for. ``guesses``: see ``SitePlanner``. Without ``market`` the tariff's own
    prices hold, without ``weather`` PV is expected from the climate.
    """

    record: SiteRecord
    models: Models
    link: SiteLink
    guesses: bool = False
    market: Market | None = None
    weather: Feed[WeatherSeries] | None = None
    schedules: tuple[ScheduleFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one site's turn: ``text`` for people; ``sequence`` of the plan sent, None where none was."""

    site: str
    text: str
    sequence: int | None = None


class _Site:
    """What the loop keeps of one site between steps. ``*_s`` are of the monotonic clock."""

    def __init__(self, task: SiteTask, first_s: float) -> None:
        self.task = task
        self.id = task.record.id
        self.conditions = Conditions(self.id)
        self.planner = SitePlanner(task.record, task.models, guesses=task.guesses)
        self.started = False
        self.behind = True
        self.first_s = first_s
        self.rest_until_s = float("-inf")
        self.news: list[tuple[float, str]] = []
        self.wishes: tuple[Wish, ...] = ()
        self.handed: Handed | None = None
        self.asked = False
        self.skipped = 0
        self.prices: Dynamic | None = None
        self.prices_of: tuple[int, PriceSeries] | None = None
        self.weather: tuple[WeatherSeries, WeatherColumns] | None = None

    def spread_s(self, within_s: float) -> float:
        """This site's place in a span of time, the same in every process."""
        return zlib.crc32(self.id.encode()) % 10_000 / 10_000 * within_s

    def fresh_planner(self) -> None:
        """The planner anew with all it knew: whatever made it fail may be in its solver's model."""
        old = self.planner
        self.planner = SitePlanner(old.record, old.models, sequence=old.sequence, guesses=old.guesses)
        self.planner.memory, self.planner.heat, self.planner.plan = old.memory, old.heat, old.plan


class Rolling:
    """The loop. ``now_s``: monotonic; ``spread_s``: the first plans after a start are spread over so long; None: over
    what they take. ``desk``: the way to the engine that solves; without one all is solved here.
    """

    def __init__(
        self, tasks: Sequence[SiteTask], now_s: Clock, *, spread_s: float | None = None, desk: EngineDesk | None = None
    ) -> None:
        self._now_s, self._desk = now_s, desk
        self._sites = [_Site(task, now_s()) for task in tasks]
        within_s = min(FIRST_PLAN_S * len(tasks), PLAN_EVERY_S) if spread_s is None else spread_s
        for site in self._sites:
            site.first_s += site.spread_s(within_s)
        self._feeds = _distinct(tasks)
        self._market = Conditions("")

    def step(self, now_epoch_s: float) -> tuple[Outcome, ...]:
        """Everything that is due at this moment (UTC); what became of each site whose turn it was."""
        for feed in self._feeds:
            feed.poll(now_epoch_s)
            self._market.say(feed.name, feed.trouble)
        waiting = []
        for site in self._sites:
            if self._now_s() < site.rest_until_s:
                continue
            with self._alone(site, "listening"):
                self._listen(site, now_epoch_s)
                self._look_around(site, now_epoch_s)
                reason = self._due(site, now_epoch_s)
                if reason:
                    waiting.append((reason == "time", site, reason))
        outcomes = [*self._planned(waiting, now_epoch_s)]
        if self._desk is not None:
            outcomes += [*self._hand_over(self._desk, now_epoch_s), *self._collected(self._desk)]
            self._market.say("engine", self._desk.trouble)
        return tuple(outcomes)

    @property
    def waiting(self) -> bool:
        """Whether the engine still owes somebody a plan."""
        return any(site.handed is not None for site in self._sites)

    @property
    def conditions(self) -> dict[str, dict[str, str]]:
        """What is wrong now, by site; under the empty name what concerns the sources of prices and weather."""
        everybody = {site.id: dict(site.conditions.active) for site in self._sites}
        return {"": dict(self._market.active), **everybody}

    def _planned(self, waiting: Iterable[tuple[bool, _Site, str]], now_epoch_s: float) -> Iterator[Outcome]:
        """Whoever has news comes before those whose five minutes are over."""
        began_s = self._now_s()
        for _, site, reason in sorted(waiting, key=lambda one: one[0]):
            if self._now_s() - began_s > PLANNING_S:
                return  # they are still due at the next step
            yield from self._turn(site, partial(self._plan, site, reason, now_epoch_s))

    def _turn(self, site: _Site, call: Callable[[], Outcome | None]) -> Iterator[Outcome]:
        outcome: Outcome | None = Outcome(site.id, "no plan: it failed")
        with self._alone(site, "planning"):
            outcome = call()
        if outcome is not None:
            yield outcome

    @contextmanager
    def _alone(self, site: _Site, doing: str) -> Iterator[None]:
        """The loop's one catcher: what fails here is a bug, and stays with its site."""
        try:
            yield
        except Exception as error:
            if doing not in site.conditions.active:
                log.exception("step_failed site=%s doing=%s", site.id, doing)
            site.conditions.say(doing, f"{type(error).__name__}: {error}")
            site.rest_until_s = self._now_s() + REST_S
            site.fresh_planner()
        else:
            site.conditions.say(doing, "")

    def _listen(self, site: _Site, now_epoch_s: float) -> None:
        """Feed the planner with what came."""
        if not site.started:
            stored = {} if self._desk is None else self._desk.plans([site.id])
            known = [plan for plan in (site.task.link.last_plan(), stored.get(site.id)) if plan is not None]
            last = max(known, key=lambda plan: plan.sequence, default=None)
            if last is not None:
                site.planner.plan, site.planner.sequence = last, last.sequence
            site.started = True
        for _ in range(MOST_READINGS):
            found = site.task.link.read()
            site.conditions.say("link", found.reason if isinstance(found, LinkError) else "")
            if isinstance(found, LinkError):
                return
            if found.wishes is not None and found.wishes != site.wishes:
                site.wishes = found.wishes
                site.planner.happened("a target")
            ahead = [s for s in found.statuses if s.epoch_s > now_epoch_s + AHEAD_S]
            for status in found.statuses:
                if _set_back(site.planner.memory.last, status, now_epoch_s):
                    log.warning("clock_set_back site=%s epoch_s=%.0f", site.id, status.epoch_s)
                    site.planner.rewind(status.epoch_s)
                if status.epoch_s <= now_epoch_s + AHEAD_S:
                    site.planner.observe(status)
            self._count(site, found.skipped, found.problem, ahead, good=bool(found.statuses))
            site.behind = found.more
            if not found.more:
                return

    def _count(self, site: _Site, skipped: int, problem: str, ahead: Sequence[LiveStatus], *, good: bool) -> None:
        if ahead:
            problem = problem or "a status from the future"
        site.skipped += skipped + len(ahead)
        if skipped or ahead:
            site.conditions.say("unusable", f"{problem} ({site.skipped} since the start)")
        elif good:
            site.conditions.say("unusable", "")

    def _look_around(self, site: _Site, now_epoch_s: float) -> None:
        """Schedules, prices and weather; what changed of them makes a plan due."""
        self._schedules(site, now_epoch_s)
        for at_s, what in site.news:
            if self._now_s() >= at_s:
                site.planner.happened(what)
        site.news = [one for one in site.news if self._now_s() < one[0]]
        market, feed = site.task.market, site.task.weather
        if market is not None and market.feed.series is not None:
            self._prices(site, market, market.feed.series, now_epoch_s)
        series = None if feed is None else feed.series
        plant = next(iter(site.task.models.plants.values()), None)
        if series is not None and plant is not None and (site.weather is None or site.weather[0] is not series):
            site.weather = series, weather_columns(series, plant)

    def _schedules(self, site: _Site, now_epoch_s: float) -> None:
        files = site.task.schedules
        if any([file.refresh(now_epoch_s) for file in files]):  # noqa: C419  every file is to be read
            trips = [trip for file in files for trip in file.trips]
            entries = entries_of(trips, site.planner.record.settings.default_target, now_epoch_s)
            site.planner.record = replace(site.planner.record, schedule=(*site.task.record.schedule, *entries))
            site.planner.happened("a schedule")
        site.conditions.say_all("schedule:", {f"schedule:{f.path.name}": f.trouble for f in files if f.trouble})

    def _prices(self, site: _Site, market: Market, series: PriceSeries, now_epoch_s: float) -> None:
        quarter = int(now_epoch_s // SECONDS_PER_QUARTER)
        if site.prices_of is not None and site.prices_of[0] == quarter and site.prices_of[1] is series:
            return
        steps = site.planner.record.settings.horizon_steps
        before = None if site.prices_of is None else site.prices_of[1]
        site.prices_of = quarter, series
        site.prices = prices_ahead(series, market.zone, now_epoch_s, steps)
        start = quarter * SECONDS_PER_QUARTER
        if before is not series and (before is None or prices_differ(before, series, start, steps)):
            site.news.append((self._now_s() + site.spread_s(NEWS_SPREAD_S), "new prices"))

    def _due(self, site: _Site, now_epoch_s: float) -> str:
        last = site.planner.memory.last
        age_s = float("inf") if last is None else now_epoch_s - last.epoch_s
        silent = not site.behind and age_s > SILENT_S
        since = "yet" if last is None else f"for {age_s / SECONDS_PER_MINUTE:.0f} min"
        site.conditions.say("silent", f"nothing was heard {since}" if silent else "")
        if site.behind or silent or self._now_s() < site.first_s:
            return ""
        return site.planner.due(now_epoch_s)

    def _plan(self, site: _Site, reason: str, now_epoch_s: float) -> Outcome | None:
        """The plan made here; None where the problem waits to be handed over."""
        planner = site.planner
        wishes = wishes_of(planner.memory, site.wishes)
        weather = None if site.weather is None else site.weather[1]
        problem = planner.prepare(now_epoch_s, prices=site.prices, wishes=wishes, weather=weather)
        if self._desk is None or self._desk.away:
            return self._made_here(site, problem, reason)
        reasons = refusals(problem)
        if reasons:
            return _refused(site, reason, reasons)
        since_s = self._now_s() if site.handed is None else site.handed.since_s
        site.asked, site.handed = False, Handed(
            site.id, problem, problem_to_json(problem), reason, planner.record.lease_s, planner.sequence, since_s
        )  # fmt: skip
        return None

    def _made_here(self, site: _Site, problem: Problem, reason: str, sequence: int | None = None) -> Outcome:
        planner = site.planner
        site.handed = None
        made = planner.solve(problem, reason, sequence)
        if isinstance(made, Refused):
            return _refused(site, reason, made.reasons)
        site.conditions.say("refused", "")
        site.conditions.say("simple", "" if made.planned.status == "optimal" else f"the plan is {made.planned.status}")
        site.conditions.say_all("late:", {f"late:{event.evse}": event.text for event in made.planned.events})
        error = _sent(site.task.link, made)
        self._note_targets(made.problem, made.planned.compiled, made.plan)
        site.conditions.say("unsent", "" if error is None else error.reason)
        if error is not None:
            planner.happened("the last plan was not sent")
            return Outcome(site.id, f"plan {made.plan.sequence} was not sent: {error.reason}")
        text = f"plan {made.plan.sequence} ({reason}), {made.planned.status}, {len(made.plan.planned_import_mw)} steps"
        log.debug("plan site=%s sequence=%d reason=%r", site.id, made.plan.sequence, reason)
        return Outcome(site.id, text, made.plan.sequence)

    def _hand_over(self, desk: EngineDesk, now_epoch_s: float) -> Iterator[Outcome]:
        """What this step has prepared, all at once; what the store does not take is planned here."""
        new = {site: site.handed for site in self._sites if site.handed is not None and not site.asked}
        if not new:
            return
        taken = desk.hand_over(list(new.values()), now_epoch_s)
        for site, handed in new.items():
            if taken:
                site.asked = True
            else:
                yield from self._turn(site, partial(self._made_here, site, handed.problem, handed.reason))

    def _collected(self, desk: EngineDesk) -> Iterator[Outcome]:
        """Plans that the engine has made; a site that waited too long gets one from here."""
        began_s = self._now_s()
        waiting = {site: site.handed for site in self._sites if site.handed is not None}
        plans = desk.plans([site.id for site in waiting]) if waiting else {}
        for site, handed in waiting.items():
            plan = plans.get(site.id)
            if plan is not None and plan.sequence > site.planner.sequence:
                yield from self._turn(site, partial(self._adopted, site, handed, plan))
            elif self._now_s() - handed.since_s > LATE_S and self._now_s() - began_s < PLANNING_S:
                site.conditions.say("engine", f"no plan came from the engine within {LATE_S:.0f} s: it is made here")
                sequence = desk.sequence(site.id, site.planner.sequence)
                yield from self._turn(site, partial(self._made_here, site, handed.problem, handed.reason, sequence))

    def _adopted(self, site: _Site, handed: Handed, plan: Plan) -> Outcome:
        """Go on from a plan that a worker has published. Its targets follow at once, which serve only without it."""
        site.planner.adopt(plan)
        if plan.issued_epoch_s >= handed.problem.now_epoch_s:
            site.handed = None
        for key in ("engine", "refused", "simple"):
            site.conditions.say(key, "")
        site.conditions.say_all("late:", {})  # a plan does not say who will not be ready; only its solver knows
        compiled = compile_problem(handed.problem)
        error = site.task.link.send_targets(targets_of(handed.problem, compiled, plan))
        self._note_targets(handed.problem, compiled, plan)
        site.conditions.say("unsent", "" if error is None else error.reason)
        if error is not None:
            site.planner.happened("the last targets were not sent")
        text = f"plan {plan.sequence} ({handed.reason}), of the engine, {len(plan.planned_import_mw)} steps"
        return Outcome(site.id, text, plan.sequence)

    def _note_targets(self, problem: Problem, compiled: Compiled, plan: Plan) -> None:
        if self._desk is not None:
            self._desk.note_targets(session_targets(problem, compiled, plan))


def _refused(site: _Site, reason: str, reasons: tuple[str, ...]) -> Outcome:
    site.conditions.say("refused", "; ".join(reasons))
    return Outcome(site.id, f"no plan ({reason}): {'; '.join(reasons)}")


def _set_back(last: LiveStatus | None, status: LiveStatus, now_epoch_s: float) -> bool:
    """Whether the last status lies in the future by now and the next one does not. A merely old one is no sign."""
    if last is None:
        return False
    latest_epoch_s = now_epoch_s + STATE_AHEAD_S
    return status.epoch_s <= latest_epoch_s < last.epoch_s


def _sent(link: SiteLink, made: Issued) -> LinkError | None:
    """Targets first: the site is never left with a plan and the targets of another one."""
    targets = targets_of(made.problem, made.planned.compiled, made.plan)
    return link.send_targets(targets) or link.send_plan(made.plan)


def _distinct(tasks: Iterable[SiteTask]) -> list[AnyFeed]:
    """Every feed once, in the order of the sites."""
    found: dict[int, AnyFeed] = {}
    for task in tasks:
        if task.market is not None:
            found[id(task.market.feed)] = task.market.feed
        if task.weather is not None:
            found[id(task.weather)] = task.weather
    return list(found.values())
