"""What happens around the cars, told beforehand, is what the plant then does; the past is another one."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from interfaces.domain.topology import Asset, AssetKind, Circuit, build_topology
from simulations.plant.pv import Sky
from simulations.run import Loop
from simulations.scenario import (
    Data,
    GeneratedPrices,
    GeneratedSessions,
    GeneratedSun,
    LoadEntry,
    LoadSeries,
    MotorEntry,
    Scenario,
    SessionFile,
    SunFile,
    TargetsEntry,
)
from simulations.truth import HISTORY_SEED, _earlier, past_of, truth_of
from simulations.world import SiteFacts, world_of

THREE = (0, 1, 2)
TOPOLOGY = build_topology(
    [
        Circuit("gcp", None, (80.0,) * 3, meter="m", background_max_a=(40.0,) * 3),
        Circuit("hall", "gcp", (63.0,) * 3, meter="m2", background_max_a=(20.0,) * 3),
    ],
    [
        Asset("e0", AssetKind.EVSE, "d0", "hall", THREE, 16.0),
        Asset("roof", AssetKind.PV, "d2", "gcp", THREE, 0.0, min_a=0.0, max_export_a=20.0),
        Asset("shed", AssetKind.PV, "d3", "hall", (1,), 0.0, min_a=0.0, max_export_a=10.0),
    ],
    version="t",
)
SITE = SiteFacts(TOPOLOGY, "Europe/Brussels")
LOADS = (
    LoadEntry("gcp", (8.0, 4.0, 6.0), (10.0, 10.0, 9.0), motors=(MotorEntry((4.0, 4.0, 4.0), 600.0, 200.0),)),
    LoadEntry("hall", (2.0, 0.0, 1.0), shape="flat", noise_a=0.3),
)


def scenario(start: str = "2024-06-03T09:07", days: float = 0.1, **data: object) -> Scenario:
    around = {"sessions": GeneratedSessions(visits_per_day=2.0), "loads": LOADS, "prices": GeneratedPrices()}
    return Scenario(
        version=1,
        name="t",
        site="t",
        start=datetime.fromisoformat(start),
        days=days,
        step_s=10.0,
        data=Data(**{**around, **data}),  # type: ignore[arg-type]
        targets=TargetsEntry(known_share=1.0),
    )


def seen_in_a_run(name: str, run: Scenario) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray]]:
    """Per quarter of the clock: means in kW behind each circuit and of each plant at nominal voltage."""
    world, _ = world_of(run, SITE, None)
    load, shine = defaultdict(list), defaultdict(list)

    def look(loop: Loop) -> None:
        plant = loop.plant
        quarter = int((plant.epoch_s - 10.0) // 900) * 900
        sun_a = TOPOLOGY.ancestry_f[:, [1, 2]] @ plant.draw_a[[1, 2]]
        load[quarter].append((plant.background_a - sun_a).sum(axis=1) * 0.230)
        shine[quarter].append(-plant.draw_a[[1, 2]].sum(axis=1) * 0.230)

    Loop(world, name).run(look)  # type: ignore[arg-type]
    return {k: np.mean(v, axis=0) for k, v in load.items()}, {k: np.mean(v, axis=0) for k, v in shine.items()}


@pytest.mark.parametrize("name", ["uncontrolled", "fallback"])
def test_the_truth_is_what_the_plant_does_quarter_by_quarter(name):
    run = scenario(days=0.05)
    world, _ = world_of(run, SITE, None)
    truth = truth_of(world, world.step_s)
    load, shine = seen_in_a_run(name, run)
    quarters = [truth.start_epoch_s + 900 * k for k in range(len(truth.building_kw))]
    assert quarters == sorted(load)
    np.testing.assert_allclose(truth.building_kw, [load[q] for q in quarters], rtol=1e-9)
    np.testing.assert_allclose(truth.pv_kw, [shine[q] for q in quarters], rtol=1e-9)
    assert truth.building_kw[:, 0].min() > truth.building_kw[:, 1].min() > 0.0
    assert np.ptp(truth.pv_kw[:, 0]) > 0.0


def test_a_quarter_begun_before_the_run_is_the_mean_of_its_rest():
    world, _ = world_of(scenario(), SITE, None)
    steady = replace(world, environment=replace(world.environment, loads=(), sky=Sky(series=(3600.0, np.array([0.5])))))
    truth = truth_of(steady, 60.0)
    assert truth.start_epoch_s == 1717398000.0  # 09:00 in Brussels; the run begins seven minutes later
    np.testing.assert_allclose(truth.pv_kw, [[0.5 * 3 * 20.0 * 0.230, 0.5 * 10.0 * 0.230]] * len(truth.pv_kw))
    assert not truth.building_kw.any()


def test_a_site_without_history_remembers_nothing():
    assert past_of(scenario(), SITE, None, 0) is None


def test_the_past_ends_where_the_run_begins_and_is_not_its_future():
    run = scenario("2024-06-03T00:00", days=2.0)
    past = past_of(run, SITE, None, 2)
    assert past is not None
    world, _ = world_of(run, SITE, None)
    starts = past.quarters.start_epoch_s
    assert len(starts) == 192
    assert starts[-1] + 900 == world.environment.start_epoch_s
    assert np.isnan(past.quarters.import_kw).all()
    truth = truth_of(world, 60.0)
    assert np.abs(past.quarters.building_kw - truth.building_kw).mean() > 0.05
    assert np.abs(past.quarters.pv_kw - truth.pv_kw).mean() > 0.05
    # The same kind of days all the same: forecasts may learn from them.
    assert past.quarters.building_kw.mean() == pytest.approx(truth.building_kw.mean(), rel=0.1)
    assert past.sessions
    assert all(s.departure_epoch_s <= world.environment.start_epoch_s for s in past.sessions)
    coming = {v.arrival.energy_wh for v in world.visits}
    assert not coming & {s.energy_kwh * 1000.0 for s in past.sessions}


@pytest.mark.parametrize(("start", "hours"), [("2025-10-27T00:00", 49), ("2025-03-31T00:00", 47)])
def test_a_past_over_the_change_of_the_clocks_has_no_hole_and_sees_nothing_of_the_run(start, hours):
    run = scenario(start, days=1.0)
    past = past_of(run, SITE, None, 2)
    assert past is not None
    world, _ = world_of(run, SITE, None)
    assert past.quarters.start_epoch_s[-1] + 900 == world.environment.start_epoch_s
    assert len(past.quarters.start_epoch_s) == 4 * hours
    assert len(past.quarters.building_kw) == len(past.quarters.pv_kw) == len(past.quarters.held_back) == 4 * hours
    assert all(s.departure_epoch_s <= world.environment.start_epoch_s for s in past.sessions)
    assert set(np.diff(past.quarters.start_epoch_s).tolist()) == {900}


def test_the_quarter_in_which_the_run_begins_is_not_past():
    past = past_of(scenario("2024-06-03T09:07"), SITE, None, 1)
    assert past is not None
    assert past.quarters.start_epoch_s[-1] + 900 == 1717398000  # 09:00 in Brussels
    assert len(past.quarters.start_epoch_s) == len(past.quarters.building_kw) == len(past.quarters.pv_kw) == 97 - 1


def test_files_are_read_so_many_days_earlier_and_generators_draw_anew():
    day = datetime.fromisoformat("2025-10-05").date()
    run = scenario(
        sessions=SessionFile("file", "s.csv", day, overlay=3),
        sun=SunFile("file", "w.csv", day),
        loads=(LoadEntry("gcp", series=LoadSeries("l.csv", day, (9.0, 9.0, 9.0))), LoadEntry("hall")),
    )
    before = _earlier(run, 28)
    assert before.start == datetime.fromisoformat("2024-05-06T09:07")
    assert before.seed == run.seed + HISTORY_SEED
    assert isinstance(before.data.sessions, SessionFile)
    assert before.data.sessions.first_day.isoformat() == "2025-07-13"  # three days of the file in each of the run
    assert isinstance(before.data.sun, SunFile)
    assert before.data.sun.first_day.isoformat() == "2025-09-07"
    series = before.data.loads[0].series
    assert series is not None
    assert series.first_day.isoformat() == "2025-09-07"
    assert before.data.loads[1] == run.data.loads[1]
    assert before.data.prices is None
    assert isinstance(_earlier(scenario(sun=GeneratedSun()), 1).data.sun, GeneratedSun)


def test_the_past_has_the_scale_of_the_run(tmp_path):
    """The days before were twice as busy and half as sunny: what the run's highest value means, it means there too."""
    rows = [(f"2025-10-{3 + k // 24:02d}T{k % 24:02d}:00:00", 2.0 if k < 48 else 1.0) for k in range(24 * 5)]
    (tmp_path / "l.csv").write_text("start_local,load_kw\n" + "".join(f"{t},{v}\n" for t, v in rows))
    (tmp_path / "w.csv").write_text("start_local,power_kw\n" + "".join(f"{t},{3.0 - v}\n" for t, v in rows))
    day = datetime.fromisoformat("2025-10-05").date()
    run = scenario(
        "2024-06-03T00:00",
        sun=SunFile("file", "w.csv", day),
        loads=(LoadEntry("gcp", noise_a=0.0, series=LoadSeries("l.csv", day, (9.0, 9.0, 9.0))),),
    )
    past = past_of(replace(run, days=1.0), SITE, tmp_path, 2)
    assert past is not None
    first_day = slice(8, 80)
    assert past.quarters.building_kw[first_day, 0] == pytest.approx(2 * 3 * 9.0 * 0.230, rel=0.01)
    assert past.quarters.pv_kw[first_day, 1] == pytest.approx(0.5 * 10.0 * 0.230, rel=0.01)
