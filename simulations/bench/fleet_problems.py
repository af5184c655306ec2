"""Planning problems of sites with ten chargers, as a fleet has them: no two alike, the same ones for the same seed."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Final

from optimizer.core.problem import CircuitForecast, Forecast, Problem, PvForecast
from optimizer.core.problem_facts import BatteryFacts, CircuitFacts, EvseFacts, PvFacts, SiteFacts
from optimizer.core.problem_money import Dynamic, Tariff
from optimizer.core.problem_state import BatteryState, Session, SiteState, Target
from optimizer.core.problem_types import Phases

EVSES: Final[int] = 10
STEPS: Final[int] = 192
QUARTER_S: Final[float] = 900.0
HOUR_S: Final[float] = 3600.0
PER_DAY: Final[int] = 96
PHASES: Final[Phases] = ("L1", "L2", "L3")
PRESENT: Final[float] = 0.7
"""Of the chargers have a car."""


def fleet_problem(seed: int, now_epoch_s: float) -> Problem:
    """A site of 80 A with two feeders, ten chargers of 32 A on three phases or one, a battery, PV, and a building under
    market prices. ``now_epoch_s`` is the moment the problem was made.
    """
    chance = random.Random(seed)
    start_epoch_s = now_epoch_s // QUARTER_S * QUARTER_S
    site = _facts(chance)
    return Problem(
        schema=1,
        now_epoch_s=now_epoch_s,
        site=site,
        state=SiteState(
            topology_version=site.topology_version,
            taken_epoch_s=now_epoch_s,
            sessions=tuple(_session(chance, evse.id, now_epoch_s) for evse in site.evses if chance.random() < PRESENT),
            batteries=(BatteryState("bat", round(chance.uniform(20.0, 90.0), 1)),),
        ),
        forecast=Forecast(
            start_epoch_s,
            circuits=(CircuitForecast("gcp", _day(chance, 6.0, 12.0, noon=0.55)),),
            pv=(PvForecast("roof", _day(chance, 0.0, 18.0, noon=0.5)),),
        ),
        tariff=Tariff(energy=Dynamic("dynamic", start_epoch_s, _prices(chance)), export_eur_per_kwh=0.04),
    )


def named(problem: Problem, site: str) -> Problem:
    """The same problem at another site."""
    return replace(problem, site=replace(problem.site, id=site))


def _facts(chance: random.Random) -> SiteFacts:
    feeders = tuple(
        CircuitFacts(id=name, limit_a=(50.0,) * 3, parent="gcp", metered=False, background_max_a=(0.0,) * 3)
        for name in ("east", "west")
    )
    evses = []
    for k in range(EVSES):
        phases = PHASES if chance.random() < 0.7 else (PHASES[k % 3],)
        evses.append(EvseFacts(id=f"car-{k}", circuit=("east", "west")[k % 2], phases=phases, max_a=32.0))
    return SiteFacts(
        id="fleet",
        topology_version="v1",
        time_zone="Europe/Brussels",
        circuits=(CircuitFacts(id="gcp", limit_a=(80.0,) * 3, background_max_a=(60.0,) * 3), *feeders),
        evses=tuple(evses),
        batteries=(BatteryFacts("bat", "gcp", PHASES, capacity_kwh=30.0, charge_kw=15.0, discharge_kw=15.0),),
        pv=(PvFacts("roof", "gcp", PHASES, rated_kw=30.0, curtailable=True),),
    )


def _session(chance: random.Random, evse: str, now_epoch_s: float) -> Session:
    leaves_s = chance.uniform(1.0, 18.0) * HOUR_S
    target = Target(unit="kwh", amount=round(chance.uniform(5.0, 45.0), 1), departure_epoch_s=now_epoch_s + leaves_s)
    return Session(evse=evse, plugged_in_epoch_s=now_epoch_s - chance.uniform(0.0, 4.0) * HOUR_S, target=target)


def _day(chance: random.Random, low_kw: float, high_kw: float, *, noon: float) -> tuple[float, ...]:
    """A hump around a share of the day, with noise."""
    humps = (math.exp(-(((t % PER_DAY) / PER_DAY - noon) ** 2) / 0.02) for t in range(STEPS))
    return tuple(round((low_kw + (high_kw - low_kw) * hump) * chance.uniform(0.85, 1.15), 3) for hump in humps)


def _prices(chance: random.Random) -> tuple[float, ...]:
    """Cheap at noon and at night, dear in the evening; new every hour."""
    hours = [
        0.12 + 0.06 * math.sin(2 * math.pi * (h - 13) / 12) + chance.uniform(-0.02, 0.02) for h in range(STEPS // 4)
    ]
    return tuple(round(hours[t // 4], 5) for t in range(STEPS))
