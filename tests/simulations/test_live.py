"""The status of a site in motion, against what its plant really does."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from interfaces.domain.live import LiveStatus, car_connected, live_status
from simulations.run import Loop
from simulations.scenario_schema import load_scenario
from simulations.strategies import Core
from simulations.world import site_of, world_of

BUSY = """
version: 1
name: busy
site: b
start: 2024-06-03T11:00
days: 0.03
step_s: 5
data:
  sessions: {kind: generated, visits_per_day: 2, morning_h: 11, stay_h: [0.2, 0.5]}
  loads: [{circuit: gcp, base_a: [9, 8, 7], noise_a: 0}]
  batteries: [{asset: BATTERY, soc: 0.61}]
faults:
  - {kind: meter_silent, at_s: 0, for_s: 300, circuit: gcp}
  - {kind: meter_silent, at_s: 2100, for_s: 240, circuit: gcp}
  - {kind: charger_unreachable, at_s: 1500, for_s: 900, asset: EVSE}
"""


@pytest.fixture(scope="module")
def told() -> list[tuple[LiveStatus, dict[str, object]]]:
    """Statuses once a minute with the truth of the instant they speak of."""
    site = site_of("b", Path())
    names = {kind: next(a.id for a in site.topology.assets if a.kind.name == kind) for kind in ("BATTERY", "EVSE")}
    text = BUSY.replace("BATTERY", names["BATTERY"]).replace("EVSE", names["EVSE"])
    scenario = load_scenario(text).scenario
    assert scenario is not None
    world, _ = world_of(scenario, site, None)
    loop = Loop(world, "fallback")
    found: list[tuple[LiveStatus, dict[str, object]]] = []
    truth: dict[str, object] = {}

    def look(now: Loop) -> None:
        nonlocal truth
        core, plant = now.strategy, now.plant
        assert isinstance(core, Core)
        assert core.record is not None
        # The record is of the instant before this step, and so is the truth kept from the last look.
        if truth and round(core.record.now_s) % 60 == 0:
            found.append((live_status(core.record, world.topology, "busy"), truth))
        truth = {
            "net_kw": float((plant.row_a[0] * plant.grid.circuit_v[0]).sum()) / 1e3,
            "power_kw": plant.power_w / 1e3,
            "tags": plant.sessions.tags,
            "soc": 100.0 * float(plant.batteries.soc[0]),
            "plugged": np.array(plant.cars.plugged),
            "epoch_s": plant.epoch_s,
            "now_s": plant.now_s,
        }

    loop.run(look)
    return found


def test_powers_are_those_of_the_plant(told):
    compared = 0
    for status, truth in told:
        assert status.epoch_s == truth["epoch_s"]
        if truth["now_s"] < 300.0 or 2150.0 < truth["now_s"] < 2340.0:
            assert status.circuits[0].power_kw is None
            continue
        if truth["now_s"] >= 2100.0:
            continue
        assert status.circuits[0].power_kw == pytest.approx(truth["net_kw"], rel=0.05, abs=1.0)
        compared += 1
    assert compared > 25


def test_each_asset_draws_what_the_plant_says_mostly(told):
    """Devices at rest are polled every few seconds, so that single readings are of a moment before."""
    near: Counter[bool] = Counter()
    for status, truth in told:
        for asset, kw in zip(status.assets, truth["power_kw"].tolist(), strict=True):
            if asset.power_kw is not None and asset.reachable:
                near[abs(asset.power_kw - kw) <= 0.05 * abs(kw) + 0.1] += 1
    assert near[True] > 200
    assert near[True] > 0.9 * near.total()


def test_cars_and_batteries_are_known_as_they_are(told):
    connected: Counter[bool] = Counter()
    for status, truth in told:
        for i, asset in enumerate(status.assets):
            if asset.soc_pct is not None:
                assert asset.soc_pct == pytest.approx(truth["soc"], abs=0.2)
            if asset.reachable:
                connected[car_connected(asset) == bool(truth["plugged"][i])] += 1
                assert asset.tag == truth["tags"][i]
    assert connected[True] > 0.95 * connected.total()
    assert any(car_connected(a) for status, _ in told for a in status.assets)


def test_a_charger_that_does_not_answer_is_unreachable_after_half_a_minute(told):
    reachable = {round(truth["now_s"]): status.assets[0].reachable for status, truth in told}
    assert reachable[1500]
    assert not reachable[1560]
    assert not reachable[2340]
    assert reachable[2520]
