"""Small planning problems for tests: a site with a main fuse, a garage behind it and whatever a test adds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from optimizer.core.problem import CircuitForecast, Forecast, Problem, Settings
from optimizer.core.problem_facts import BatteryFacts, CircuitFacts, EvseFacts, PvFacts, SiteFacts
from optimizer.core.problem_money import Dynamic, Fixed, Tariff
from optimizer.core.problem_state import BatteryState, Session, SiteState, Target
from optimizer.core.problem_types import Phase

NOW = 1_763_733_600.0
"""2025-11-21 14:00 UTC, a clock quarter."""
QUARTER = 900.0
HOUR = 3600.0
ALL: tuple[Phase, ...] = ("L1", "L2", "L3")


def evse(name: str, **more: Any) -> EvseFacts:
    return EvseFacts(**{"id": name, "circuit": "garage", "phases": ALL, "max_a": 16.0, **more})


def session(name: str, kwh: float = 11.0, hours: float = 6.0, **more: Any) -> Session:
    target = Target(unit="kwh", amount=kwh, departure_epoch_s=NOW + hours * HOUR)
    return Session(**{"evse": name, "plugged_in_epoch_s": NOW - 60.0, "target": target, **more})


def fixed(eur_per_kwh: float = 0.3, **more: Any) -> Tariff:
    return Tariff(**{"energy": Fixed("fixed", eur_per_kwh), "export_eur_per_kwh": 0.05, **more})


def dynamic(*eur_per_kwh: float | None, **more: Any) -> Tariff:
    return Tariff(**{"energy": Dynamic("dynamic", NOW, tuple(eur_per_kwh)), "export_eur_per_kwh": -1.0, **more})


def site(*evses: EvseFacts, garage_a: float = 40.0, **more: Any) -> SiteFacts:
    circuits = (
        CircuitFacts(id="gcp", limit_a=(50.0, 50.0, 50.0), background_max_a=(40.0, 40.0, 40.0)),
        CircuitFacts("garage", (garage_a,) * 3, parent="gcp", metered=False, background_max_a=(0.0, 0.0, 0.0)),
    )
    known = {"id": "site", "topology_version": "v1", "time_zone": "Europe/Brussels", "circuits": circuits}
    return SiteFacts(**{**known, "evses": evses, **more})


def problem(
    *sessions: Session, load_kw: float = 2.0, steps: int = 48, facts: SiteFacts | None = None, **more: Any
) -> Problem:
    """A problem with one EVSE of 16 A on three phases per session, unless ``facts`` say otherwise."""
    built = facts if facts is not None else site(*(evse(one.evse) for one in sessions))
    known: dict[str, Any] = {
        "schema": 1,
        "now_epoch_s": NOW,
        "site": built,
        "state": SiteState(topology_version=built.topology_version, taken_epoch_s=NOW, sessions=sessions),
        "forecast": Forecast(NOW, circuits=(CircuitForecast("gcp", (load_kw,) * max(steps, 1)),)),
        "tariff": fixed(),
        "settings": Settings(horizon_steps=steps),
    }
    return Problem(**{**known, **more})


def with_battery(base: Problem, soc_pct: float | None = 50.0, **more: Any) -> Problem:
    battery = {"id": "bat", "circuit": "gcp", "phases": ALL, "capacity_kwh": 10.0}
    battery |= {"charge_kw": 5.0, "discharge_kw": 5.0}
    facts = replace(base.site, batteries=(BatteryFacts(**{**battery, **more}),))
    return replace(base, site=facts, state=replace(base.state, batteries=(BatteryState("bat", soc_pct),)))


def with_pv(base: Problem, power_kw: tuple[float | None, ...], **more: Any) -> Problem:
    from optimizer.core.problem import PvForecast

    plant = {"id": "roof", "circuit": "gcp", "phases": ALL, "rated_kw": 20.0, "curtailable": True}
    facts = replace(base.site, pv=(PvFacts(**{**plant, **more}),))
    return replace(base, site=facts, forecast=replace(base.forecast, pv=(PvForecast("roof", power_kw),)))
