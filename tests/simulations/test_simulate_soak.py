"""Two days of the depot at 1 s: longer than `make test` allows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from simulations.run import simulate
from simulations.scenario import Scenario
from simulations.scenario_schema import load_scenario
from simulations.simulate import shipped_text
from simulations.world import site_of, world_of

pytestmark = pytest.mark.soak


def scenario(name: str) -> Scenario:
    loaded = load_scenario(shipped_text(name)).scenario
    assert loaded is not None
    return loaded


def figures(name: str, data: Path | None, *names: str):
    loaded = scenario(name)
    world, _ = world_of(loaded, site_of(loaded.site, Path()), data)
    outcome = simulate(world, names, workers=2)  # type: ignore[arg-type]
    return {run.name: run.figures for run in outcome.runs}


def assert_safe(got) -> None:
    assert got["self_made_overload_s"] == 0.0
    assert got["longest_outside_overload_s"] <= 14.0
    assert got["protection_max"] < 0.3
    assert got["trips"] == 0


def test_the_depot_is_safe_and_gets_most_of_what_is_possible():
    got = figures("depot", None, "fallback", "uncontrolled")
    assert_safe(got["fallback"])
    assert got["fallback"]["energy_delivered_kwh"] >= 0.8 * got["fallback"]["energy_possible_kwh"]
    assert got["uncontrolled"]["self_made_overload_s"] > 3600.0


def test_the_depot_with_measured_data_is_safe(reference_data):
    got = figures("depot_real", reference_data, "fallback", "fair-share")
    for name in ("fallback", "fair-share"):
        assert_safe(got[name])
    assert got["fair-share"]["energy_delivered_kwh"] >= 0.8 * got["fair-share"]["energy_possible_kwh"]


def test_prices_and_departures_make_the_fallback_cheaper_per_kwh():
    got = figures("depot_prices", None, "fallback", "fair-share")
    rate = {name: f["cost_eur"] / f["energy_delivered_kwh"] for name, f in got.items()}
    assert rate["fallback"] < rate["fair-share"]
    assert got["fallback"]["energy_delivered_kwh"] >= 0.97 * got["fair-share"]["energy_delivered_kwh"]


@pytest.mark.parametrize("poll_s", [1.0, 3.0, 10.0])
def test_the_adversarial_depot_is_safe_at_every_poll_rate(poll_s):
    loaded = scenario("adversarial")
    readings = replace(loaded.readings, meter_period_s=poll_s, asset_period_s=poll_s)
    world, _ = world_of(replace(loaded, readings=readings), site_of(loaded.site, Path()), None)
    got = {run.name: run.figures for run in simulate(world, ("fallback", "no-ledger"), workers=2).runs}
    assert_safe(got["fallback"])
    assert got["no-ledger"]["self_made_overload_s"] > 0.0
