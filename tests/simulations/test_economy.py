"""The table of what plans are worth: jobs, ratios, and the command that makes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import pytest

from interfaces.cli import main
from simulations.economy import markdown
from simulations.figures import Figures


def figures(total_eur: float | None, delivered_kwh: float, *, plan_ms: float | None = None) -> Figures:
    """A run that cost so much."""
    zero = dict.fromkeys(Figures.__annotations__, 0.0)
    energy_eur = None if total_eur is None else total_eur - 10.0
    mine = {
        "cost_total_eur": total_eur,
        "cost_energy_eur": energy_eur,
        "cost_peak_eur": None if total_eur is None else 10.0,
        "energy_delivered_kwh": delivered_kwh,
        "unmet_kwh": 100.0 - delivered_kwh,
        "solve_ms_p50": plan_ms,
        "solve_ms_p99": plan_ms,
        "self_consumption_pct": None,
    }
    return cast("Figures", {**zero, **mine})


def test_the_table_says_what_plans_save_and_deliver():
    text = markdown({
        "yard": {
            "uncontrolled": figures(200.0, 90.0),
            "fallback": figures(125.0, 80.0),
            "mpc": figures(100.0, 81.5, plan_ms=12.0),
            "mpc-perfect": figures(96.0, 82.0, plan_ms=11.0),
        }
    })  # fmt: skip
    assert "### yard" in text
    assert "total cost, mpc / mpc-perfect: 1.042" in text
    assert "mpc against fallback: 20.0 % cheaper, +1.5 kWh to the cars that have left" in text
    assert "mpc against uncontrolled: 50.0 % cheaper, -8.5 kWh to the cars that have left" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in rows}) == 1
    assert next(line for line in rows if "| mpc |" in line).split("|")[4].strip() == "100.0"


def test_without_prices_or_without_plans_there_is_nothing_to_compare():
    text = markdown({"yard": {"fallback": figures(None, 80.0), "mpc": figures(None, 81.5)}})
    assert "cheaper" not in text
    assert "| mpc | - | - | - | 81.5 | 18.5 |" in text
    assert "cheaper" not in markdown({"yard": {"fallback": figures(100.0, 80.0)}})


ONE_SITE = ["bench", "economy", "--days", "0.02", "--sites", "garage"]


def test_the_command_runs_every_job_and_gives_its_figures(capsys: pytest.CaptureFixture[str]):
    assert main([*ONE_SITE, "--strategies", "mpc,fallback", "--workers", "2", "--json"]) == 0
    said = capsys.readouterr()
    table = json.loads(said.out)["scenarios"]
    assert list(table) == ["economy_garage"]
    assert list(table["economy_garage"]) == ["fallback", "mpc"]
    assert table["economy_garage"]["mpc"]["solve_ms_p50"] > 0.0
    assert table["economy_garage"]["fallback"]["solve_ms_p50"] is None
    assert all(run["self_made_overload_s"] == 0.0 for run in table["economy_garage"].values())
    assert "2 of 2" in said.err


def test_for_people_it_prints_a_table(capsys: pytest.CaptureFixture[str]):
    assert main([*ONE_SITE, "--strategies", "uncontrolled"]) == 0
    assert "| uncontrolled |" in capsys.readouterr().out


def test_a_folder_without_the_files_is_told_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main([*ONE_SITE, "--strategies", "fallback", "--data", str(tmp_path)]) == 2
    assert "norway_residential" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["--sites", "moon"], ["--strategies", "no-ledger"], ["--days", "0"]])
def test_what_cannot_be_compared_is_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]):
    assert main(["bench", "economy", *wrong]) == 2
    assert wrong[-1] in capsys.readouterr().err
