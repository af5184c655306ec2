"""`simulate --plot`: the picture shows what the run did, and mistakes are told before the run."""

from __future__ import annotations

import pickle
import sys
from collections import defaultdict
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from matplotlib.axes import Axes

from interfaces.cli import main
from simulations.plot import QuarterWatch, Track, _month_peaks_kw, figure_of, save
from simulations.run import Loop
from simulations.scenario import Scenario
from simulations.scenario_schema import load_scenario
from simulations.world import site_of, world_of

SMALL = """
version: 1
name: small
site: b
start: 2024-06-03T11:53
days: 0.03
step_s: 10
data:
  sessions: {kind: generated, visits_per_day: 2, morning_h: 11}
  loads: [{circuit: gcp, base_a: [9, 8, 7]}]
  prices: {kind: generated, fee_eur_per_kwh: 0.05}
"""


def small() -> Scenario:
    scenario = load_scenario(SMALL).scenario
    assert scenario is not None
    return scenario


@pytest.fixture(scope="module")
def seen() -> tuple[Track, dict[int, dict[str, float]], Loop]:
    """The track of a run and, apart from it, the same means made by hand."""
    scenario = small()
    world, _ = world_of(scenario, site_of(scenario.site, Path()), None)
    loop, watch = Loop(world, "uncontrolled"), QuarterWatch()
    names = [a.kind.name for a in world.topology.assets]
    sums: dict[int, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))

    def look(now: Loop) -> None:
        watch(now)
        plant = now.plant
        quarter = sums[int((plant.epoch_s - 5.0) // 900) * 900]
        by_kind = {k: sum(plant.power_w[i] for i, n in enumerate(names) if n == k) / 1e3 for k in set(names)}
        net = float(sum(plant.row_a[0] * plant.grid.circuit_v[0])) / 1e3
        quarter["import"].append(net)
        quarter["cars"].append(by_kind["EVSE"])
        quarter["pv"].append(-by_kind["PV"])
        quarter["building"].append(net - sum(by_kind.values()))
        quarter["soc"].append(100.0 * float(plant.batteries.soc[0]))

    loop.run(look)
    means = {start: {k: float(np.mean(v)) for k, v in columns.items()} for start, columns in sums.items()}
    return watch.track(), means, loop


def line(axis: Axes, label: str) -> np.ndarray:
    """Heights of a line without the repeated last one."""
    found = [one for one in axis.get_lines() if one.get_label() == label]
    assert len(found) == 1, label
    return np.asarray(found[0].get_ydata(), dtype=np.float64)[:-1]


def test_the_axes_show_the_runs_own_means(seen):
    track, means, loop = seen
    figure = figure_of(track, "small: uncontrolled")
    money, grid, cars, store = figure.axes
    starts = sorted(means)
    assert track.start_epoch_s.tolist() == starts
    assert len(starts) == 4  # 43 minutes that touch four quarters
    for axis, label, key in (
        (grid, "import, measured", "import"),
        (grid, "building", "building"),
        (grid, "PV", "pv"),
        (cars, "cars, measured", "cars"),
    ):
        np.testing.assert_allclose(line(axis, label), [means[s][key] for s in starts], rtol=1e-9, atol=1e-9)
    moments = [moment.timestamp() for moment in cast("list[datetime]", grid.get_lines()[0].get_xdata(orig=True))]
    assert moments == [*starts, starts[-1] + 900]
    battery = loop.world.topology.assets[int(loop.plant.batteries.columns[0])].id
    np.testing.assert_allclose(line(store, f"{battery}, measured"), [means[s]["soc"] for s in starts])
    prices = loop.world.prices
    assert prices is not None
    begin = loop.world.environment.start_epoch_s
    paid = [prices.at(max(s - begin, 0.0)) + 0.05 for s in starts]
    np.testing.assert_allclose(line(money, "import price with fee"), paid)
    assert paid[0] != paid[1]  # the price of 12:00 begins at 12:00
    highest = max(m["import"] for m in means.values())
    np.testing.assert_allclose(line(grid, "peak of the month"), [max(highest, 0.0)] * 4)
    assert means[starts[1]]["pv"] > 1.0
    assert means[starts[2]]["cars"] > 1.0


def test_the_axes_have_units_a_legend_and_the_sites_clock(seen):
    track, _, _ = seen
    figure = figure_of(track, "small: uncontrolled")
    figure.canvas.draw()
    assert [axis.get_ylabel() for axis in figure.axes] == [
        "price, EUR/kWh",
        "grid connection, kW",
        "cars, kW",
        "state of charge, %",
    ]
    assert figure.axes[-1].get_xlabel() == f"local time ({track.time_zone})"
    assert all(axis.get_legend() is not None for axis in figure.axes)
    shown = {text.get_text() for text in figure.axes[-1].get_xticklabels()}
    assert "12:00" in shown  # in UTC it would be 10:00
    colours = [one.get_color() for axis in figure.axes[1:2] for one in axis.get_lines()]
    assert len(set(colours)) == len(colours)


def test_a_run_with_plans_shows_them_and_one_without_does_not(seen):
    track, _, _ = seen
    labels = {one.get_label() for axis in figure_of(track, "t").axes for one in axis.get_lines()}
    assert not any("planned" in str(label) for label in labels)
    planned = replace(track, planned_import_kw=track.import_kw + 1.0, planned_cars_kw=track.cars_kw + 2.0)
    _, grid, cars, _ = figure_of(planned, "t").axes
    np.testing.assert_allclose(line(grid, "import, planned"), track.import_kw + 1.0)
    np.testing.assert_allclose(line(cars, "cars, planned"), track.cars_kw + 2.0)


def test_each_month_has_its_own_peak_and_a_floor():
    starts = np.array(
        [1_759_268_700, 1_759_269_600, 1_759_270_500]
    )  # the last quarter of September in Brussels, October
    peaks = _month_peaks_kw(starts, np.array([7.0, 1.0, 3.0]), "Europe/Brussels", 2.5)
    assert peaks.tolist() == [7.0, 3.0, 3.0]
    assert _month_peaks_kw(starts[:1], np.array([-4.0]), "UTC", 2.5).tolist() == [2.5]


def test_what_a_watcher_saw_comes_back_from_a_worker(seen):
    track, _, loop = seen
    watch = QuarterWatch()
    watch(loop)
    again = pickle.loads(pickle.dumps(watch)).track()
    assert again.start_epoch_s.tolist() == track.start_epoch_s[-1:].tolist()
    np.testing.assert_array_equal(again.cars_kw, watch.track().cars_kw)


def test_the_same_run_makes_the_same_file(seen, tmp_path):
    track, _, _ = seen
    for name in ("a.svg", "b.svg"):
        save(figure_of(track, "t"), tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def words(tmp_path: Path, *more: str) -> list[str]:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL, encoding="utf-8")
    return ["simulate", str(path), "--strategies", "uncontrolled", "--days", "0.004", "--json", *more]


@pytest.mark.parametrize(("name", "magic"), [("run.png", b"\x89PNG"), ("run.SVG", b"<?xml")])
def test_the_file_is_written(tmp_path, capsys, name, magic):
    target = tmp_path / name
    assert main(words(tmp_path, "--workers", "1", "--plot", str(target))) == 0
    assert target.read_bytes().startswith(magic)
    assert len(target.read_bytes()) > 10_000


def test_one_strategy_of_several_is_drawn_from_its_worker(tmp_path, capsys):
    target = tmp_path / "run.svg"
    more = ["--strategies", "uncontrolled,fair-share", "--plot", str(target)]
    assert main([*words(tmp_path), *more, "--workers", "2", "--plot-strategy", "uncontrolled"]) == 0
    assert "<!-- small: uncontrolled -->" in target.read_text("utf-8")
    assert main([*words(tmp_path), *more, "--workers", "1"]) == 0
    assert "<!-- small: fair-share -->" in target.read_text("utf-8")


MISTAKES = {
    "suffix": (["--plot", "run.pdf"], "'run.pdf'"),
    "no suffix": (["--plot", "run"], ".png or .svg"),
    "no folder": (["--plot", "nowhere/run.png"], "no folder nowhere"),
    "not run": (["--plot", "run.png", "--plot-strategy", "mpc"], "'mpc' is not run"),
    "strategy alone": (["--plot-strategy", "uncontrolled"], "needs --plot"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_sentence_and_exit_code_2(tmp_path, capsys, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    more, told = MISTAKES[case]
    assert main(words(tmp_path, *more)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert told in captured.err
    assert len(captured.err.splitlines()) == 1


def test_without_matplotlib_it_says_what_to_install(tmp_path, capsys, monkeypatch):
    for module in [m for m in sys.modules if m == "matplotlib" or m.startswith("matplotlib.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(words(tmp_path, "--plot", str(tmp_path / "run.png"))) == 2
    err = capsys.readouterr().err
    assert "matplotlib" in err
    assert "stroomwacht[sim]" in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "run.png").exists()


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path, capsys):
    target = tmp_path / "run.png"
    target.mkdir()
    assert main(words(tmp_path, "--workers", "1", "--plot", str(target))) == 2
    err = capsys.readouterr().err
    assert "cannot be written" in err
    assert len(err.splitlines()) == 1
