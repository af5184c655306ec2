"""The command `simulate`: its JSON, its scenario files, and mistakes told in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from interfaces.cli import main
from simulations.scenario import WITHOUT_PLANS
from simulations.scenario_schema import load_scenario, scenario_schema, unknown_names
from simulations.simulate import shipped, shipped_text
from simulations.world import site_of, world_of

KEYS = {
    "sessions": int,
    "energy_wanted_kwh": float,
    "energy_possible_kwh": float,
    "energy_delivered_kwh": float,
    "self_made_overload_s": float,
    "overload_s": float,
    "relearn_overload_s": float,
    "worst_excess_a": float,
    "longest_outside_overload_s": float,
    "protection_max": float,
    "protection_believed_max": float,
    "trips": int,
    "peak_15min_w": float,
    "switches": int,
    "queued_s": float,
    "fairness": float,
    "unmet_kwh": float,
    "open_kwh": float,
    "sessions_met_pct": float,
}
OF_PRICES = {
    "cost_eur", "cost_energy_eur", "cost_peak_eur", "cost_total_eur", "self_consumption_pct", "solve_ms_p50",
    "solve_ms_p99",
}  # fmt: skip
STRATEGIES_OF_ECONOMY = ("uncontrolled", "fair-share", "fallback", "mpc", "mpc-perfect")
SMALL = """
version: 1
name: small
site: a
start: 2024-06-03T08:00
days: 0.006
"""


def scenario(tmp_path: Path, text: str = SMALL) -> str:
    path = tmp_path / "small.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_json_has_every_figure_of_every_strategy(tmp_path, capsys):
    assert main(["simulate", scenario(tmp_path), "--workers", "1", "--json"]) == 0
    out = capsys.readouterr().out
    got = json.loads(out)
    assert out.count("\n") == 1
    assert set(got) == {"strategies", "wall_s", "speed_x"}
    assert got["wall_s"] > 0
    assert got["speed_x"] > 0
    assert list(got["strategies"]) == list(WITHOUT_PLANS)
    for figures in got["strategies"].values():
        assert figures["cost_eur"] is None
        for key, kind in KEYS.items():
            assert isinstance(figures[key], kind), key
        assert set(figures) == {*KEYS, *OF_PRICES}
        assert all(figures[key] is None for key in OF_PRICES)


def test_days_step_and_strategies_on_the_command_line_win(tmp_path, capsys):
    text = SMALL + "data: {prices: {kind: generated}}\n"
    words = ["simulate", scenario(tmp_path, text), "--json", "--workers", "1"]
    assert main([*words, "--days", "0.01", "--step", "2", "--strategies", "uncontrolled"]) == 0
    got = json.loads(capsys.readouterr().out)
    assert list(got["strategies"]) == ["uncontrolled"]
    assert isinstance(got["strategies"]["uncontrolled"]["cost_eur"], float)


def test_every_figure_of_money_and_plans_is_there(tmp_path, capsys):
    text = SMALL.replace("site: a", "site: depot_be") + (
        "data: {prices: {kind: generated}}\n"
        "economy: {capacity_eur_per_kw: 3.4, capacity_floor_kw: 2.5, history_days: 1}\n"
    )
    words = ["--json", "--workers", "1", "--strategies", "fallback,mpc,mpc-perfect", "--days", "0.004", "--step", "10"]
    assert main(["simulate", scenario(tmp_path, text), *words]) == 0
    got = json.loads(capsys.readouterr().out)["strategies"]
    assert list(got) == ["fallback", "mpc", "mpc-perfect"]
    for name, figures in got.items():
        assert set(figures) == {*KEYS, *OF_PRICES}
        absent = {"solve_ms_p50", "solve_ms_p99"} if name == "fallback" else set()
        assert {key for key in OF_PRICES if figures[key] is None} == absent
        assert figures["cost_total_eur"] == pytest.approx(figures["cost_energy_eur"] + figures["cost_peak_eur"])
        assert figures["cost_peak_eur"] > 0.0


def test_a_past_that_the_files_do_not_reach_is_one_sentence(tmp_path, capsys):
    rows = "start_utc,load_w\n" + "\n".join(f"2024-06-03T{h:02d}:00:00Z,{1000 + h}" for h in range(24))
    (tmp_path / "load.csv").write_text(rows, encoding="utf-8")
    text = SMALL + (
        "strategies: [mpc]\neconomy: {history_days: 7}\n"
        "data: {loads: [{circuit: gcp, series: {file: load.csv, first_day: 2024-06-03, peak_a: [9, 9, 9]}}]}\n"
    )
    assert main(["simulate", scenario(tmp_path, text), "--data", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert "7 days before the run" in err
    assert "economy.history_days" in err
    assert len(err.splitlines()) == 1


def test_people_get_a_table(tmp_path, capsys):
    assert main(["simulate", scenario(tmp_path), "--workers", "1", "--strategies", "uncontrolled"]) == 0
    out = capsys.readouterr().out
    assert "uncontrolled" in out
    assert "times real time" in out


@pytest.mark.parametrize("name", shipped())
def test_shipped_scenarios_are_in_order_and_fit_their_sites(name):
    text = shipped_text(name)
    jsonschema.validate(yaml.safe_load(yaml.safe_dump(_plain(text))), scenario_schema())
    result = load_scenario(text)
    assert result.scenario is not None, result.problems
    site = site_of(result.scenario.site, Path())
    assert (result.scenario.strategies == STRATEGIES_OF_ECONOMY) == name.startswith("economy_")
    assert not unknown_names(text, result.scenario, site.topology)
    assert result.scenario.name == name


def _plain(text: str) -> object:
    """The scenario as JSON sees it: dates are text."""
    return json.loads(json.dumps(yaml.safe_load(text), default=lambda value: value.isoformat()))


def test_the_shipped_scenarios_are_the_promised_ones():
    economy = {f"economy_{site}{data}" for site in ("depot", "office", "garage") for data in ("", "_real")}
    assert set(shipped()) == {"garage", "depot", "depot_prices", "adversarial", "depot_real", "cloud_away", *economy}


@pytest.mark.parametrize("name", [n for n in shipped() if not n.endswith("_real")])
def test_shipped_scenarios_need_no_files(name):
    loaded = load_scenario(shipped_text(name)).scenario
    assert loaded is not None
    world, bad_rows = world_of(loaded, site_of(loaded.site, Path()), None)
    assert world.visits
    assert not bad_rows


def test_the_schema_is_printed_alone(capsys):
    assert main(["simulate", "--schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "stroomwacht SCENARIO.yaml"


def test_the_schema_refuses_an_unknown_key():
    value = _plain(SMALL + "colour: red\n")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(value, scenario_schema())


def test_all_problems_come_in_one_report_with_line_and_path(tmp_path, capsys):
    text = SMALL.replace("days: 0.006", "days: -1") + (
        "seeds: 3\n"
        "strategies: [fallback, cleverest]\n"
        "faults:\n"
        "  - {kind: load_step, at_s: 5}\n"
        "data:\n"
        "  sessions: {kind: generated, stay_h: [x, 2]}\n"
    )
    assert main(["simulate", scenario(tmp_path, text)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    lines = captured.err.splitlines()
    for path in ("days", "seeds", "strategies[1]", "data.sessions.stay_h[0]"):
        assert any(f" {path}: " in line for line in lines), path
    assert "small.yaml:6 days: " in captured.err


def test_what_single_fields_cannot_tell_is_refused_too(tmp_path, capsys):
    text = SMALL + (
        "strategies: [fallback, fallback]\n"
        "faults:\n"
        "  - {kind: load_step, at_s: 5, circuit: gcp}\n"
        "  - {kind: charger_reboot, at_s: 5, circuit: gcp}\n"
        "data:\n"
        "  sessions: {kind: generated, stay_h: [4, 2], cars: {adversarial_share: 0.7, disobedient_share: 0.7}}\n"
    )
    assert main(["simulate", scenario(tmp_path, text)]) == 2
    err = capsys.readouterr().err
    for words in ("named twice", "needs amps_a", "has no circuit", "needs asset", "least comes first", "more than 1"):
        assert words in err, words


def test_names_that_the_site_does_not_have_are_told(tmp_path, capsys):
    text = SMALL + (
        "data:\n"
        "  loads: [{circuit: attic}]\n"
        "  batteries: [{asset: big-one}]\n"
        "faults: [{kind: charger_fault, at_s: 1, asset: ghost}, {kind: meter_silent, at_s: 1, circuit: moon}]\n"
    )
    assert main(["simulate", scenario(tmp_path, text)]) == 2
    err = capsys.readouterr().err
    for name in ("attic", "big-one", "ghost", "moon"):
        assert f"'{name}'" in err
    assert "small.yaml:8 data.loads[0].circuit" in err


MISTAKES = {
    "no scenario": ([], "name a scenario file"),
    "missing file": (["nowhere.yaml"], "cannot be read"),
    "days": (["garage", "--days", "0"], "--days"),
    "days as text": (["garage", "--days", "two"], "--days"),
    "step": (["garage", "--step", "60"], "--step"),
    "strategy": (["garage", "--strategies", "best"], "no strategy 'best'"),
    "workers": (["garage", "--workers", "0"], "--workers"),
    "data folder": (["depot_real", "--data", "no-such-folder"], "is no folder"),
    "data needed": (["depot_real"], "--data DIR"),
    "schema with file": (["garage", "--schema"], "stands alone"),
    "unknown option": (["garage", "--fast"], "--fast"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_sentence_and_exit_code_2(case, capsys):
    words, told = MISTAKES[case]
    assert main(["simulate", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert told in captured.err
    assert len(captured.err.splitlines()) == 1


def test_a_folder_without_the_file_is_one_sentence(tmp_path, capsys):
    assert main(["simulate", "depot_real", "--data", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert "acn_caltech_2019_2020.csv.gz cannot be read" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [("", "mapping"), ("[1, 2]", "mapping"), ("version: 1\nversion: 1\n", "already given"), ("a: [", "not YAML")],
)
def test_broken_files_are_told(tmp_path, capsys, text, told):
    assert main(["simulate", scenario(tmp_path, text)]) == 2
    assert told in capsys.readouterr().err


def test_a_file_that_ends_too_early_is_told_nothing_about_what_stands_in_its_rest(tmp_path, capsys):
    assert main(["simulate", scenario(tmp_path, "version: 1\nstrategies: [fallback\nname: x\n")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "not YAML" in lines[0]


def test_bytes_that_are_no_text_are_told(tmp_path, capsys):
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    assert main(["simulate", str(path)]) == 2
    assert "UTF-8" in capsys.readouterr().err


def test_a_site_file_beside_the_scenario_is_found_and_a_bad_one_told(tmp_path, capsys):
    from interfaces.drivers.site_reader import example_text

    (tmp_path / "mine.yaml").write_text(example_text("garage"), encoding="utf-8")
    words = ["--json", "--workers", "1", "--strategies", "uncontrolled", "--days", "0.01"]
    assert main(["simulate", scenario(tmp_path, SMALL.replace("site: a", "site: mine.yaml")), *words]) == 0
    (tmp_path / "mine.yaml").write_text("version: 1\n", encoding="utf-8")
    capsys.readouterr()
    assert main(["simulate", str(tmp_path / "small.yaml"), *words]) == 2
    assert "mine.yaml is not in order" in capsys.readouterr().err
