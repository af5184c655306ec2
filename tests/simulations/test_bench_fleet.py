"""The bench of the engine on a few sites; how fast they are decides nothing."""

from __future__ import annotations

import json
import os

import pytest

from interfaces.cli import main
from optimizer.core.codec import problem_from_json, problem_to_json
from optimizer.core.planning import Planned, plan_problem
from simulations.bench.fleet import bench_fleet
from simulations.bench.fleet_problems import fleet_problem, named
from tests.optimizer.postgres import need_server

NOW = 1_763_733_600.0


def test_the_problems_are_sound_all_different_and_the_same_again():
    texts = [problem_to_json(fleet_problem(seed, NOW)) for seed in range(8)]
    assert len(set(texts)) == 8
    assert texts[3] == problem_to_json(fleet_problem(3, NOW))
    for text in texts:
        problem = problem_from_json(text)
        assert not isinstance(problem, tuple)
        assert len(problem.site.evses) == 10
        planned = plan_problem(problem)
        assert isinstance(planned, Planned)
        assert planned.status == "optimal"
        assert planned.setpoint_ma.shape[0] == 192
    moved = named(fleet_problem(3, NOW), "elsewhere")
    assert moved.site.id == "elsewhere"
    assert moved.state == fleet_problem(3, NOW).state


@pytest.mark.xdist_group("engine")
def test_the_figures_add_up(capsys):
    assert main(["bench", "fleet", "--sites", "60", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["sites"], figures["adapter"], figures["failed"]) == (60, "inprocess", 0)
    assert figures["processes"] == os.cpu_count()
    spent_ms = figures["solve_ms"] + figures["overhead_ms_per_job"]
    assert figures["sites_per_core_15min"] == pytest.approx(900_000.0 / spent_ms)
    assert figures["cores"] == pytest.approx(figures["solves_per_s"] * spent_ms / 1000.0)
    assert figures["overhead_pct"] == pytest.approx(100.0 * figures["overhead_ms_per_job"] / figures["solve_ms"])
    assert figures["database_ms_per_job"] == 0.0
    assert figures["solve_ms"] > 0.0


@pytest.mark.xdist_group("postgresql")
def test_jobs_on_a_server_of_its_own():
    need_server()
    figures = bench_fleet(30, "procrastinate")
    assert (figures.adapter, figures.failed) == ("procrastinate", 0)
    assert figures.database_ms_per_job > 0.0
    assert figures.overhead_ms_per_job > figures.database_ms_per_job


@pytest.mark.parametrize("words", [["--sites", "0"], ["--sites", "100001"], ["--adapter", "celery"]])
def test_words_that_make_no_sense(words, capsys):
    assert main(["bench", "fleet", *words]) == 2
    assert capsys.readouterr().err
