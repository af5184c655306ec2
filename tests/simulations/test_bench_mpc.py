"""The bench of the optimizer on a hand-made neutral problem; how fast it is decides nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest

from interfaces.cli import main
from optimizer.core.solver import LiveModel, solve
from optimizer.core.verify import verify
from simulations.bench.mpc import bench_mpc, changed, instance_of

STEPS = 8


def problem() -> dict:
    """Two cars on one leaf, single-phase and three-phase; hours as steps; the battery is too small to matter."""
    return {
        "n": 2, "steps": STEPS, "dt_h": 1.0, "arrival": [0, 2], "departure": [6, 8],
        "phase_mask": [[True, True], [False, True], [False, True]], "max_current_a": [16.0, 16.0],
        "kw_per_a": [0.23, 0.69], "energy_kwh": [5.0, 20.0], "priority": [1.0, 3.0], "penalty_eur_per_kwh": 2.0,
        "leaf": [0, 0], "feeder": [0, 0], "leaf_limit_a": [[20.0], [20.0], [20.0]],
        "feeder_limit_a": [[30.0], [30.0], [30.0]], "connection_limit_a": [40.0, 40.0, 40.0],
        "base_kw": [1.0] * STEPS, "pv_kw": [0.0] * STEPS,
        "import_eur_per_kwh": [0.30, 0.30, 0.30, 0.10, 0.20, 0.30, 0.30, 0.30], "export_eur_per_kwh": [0.05] * STEPS,
        "peak_eur_per_kw": 0.0, "peak_floor_kw": 0.0, "early_eur_per_kwh_step": 0.0,
        "battery": {"capacity_kwh": 1.0, "power_kw": 0.0, "efficiency": 0.95, "soc0_kwh": 0.5, "wear_eur_per_kwh": 0.02,
                    "terminal_eur_per_kwh": 0.0},
    }  # fmt: skip


def test_the_optimum_is_the_one_found_by_hand():
    found = solve(instance_of(problem()))
    # The shared phase carries 20 A: in the cheapest hour 16 A of the three-phase car, which moves most, and 4 A of the
    # other; in the next one what is left of its 20 kWh and what then fits; the last 2.47 kWh cost 30 ct.
    first = 0.69 * 16 + 0.23 * 4
    three = 20.0 - 0.69 * 16
    second = three + 0.23 * (20.0 - three / 0.69)
    charging = 0.1 * first + 0.2 * second + 0.3 * (25.0 - first - second)
    assert found.objective_eur == pytest.approx(charging + sum(problem()["import_eur_per_kwh"]))
    assert found.car_a[1, 3] == pytest.approx(16.0)
    assert found.car_a[:, 3].sum() == pytest.approx(20.0)


def test_pv_and_load_are_background_of_the_connection():
    made = instance_of({**problem(), "pv_kw": [4.0] * STEPS})
    amps = 3.0 / 0.69
    assert made.grid.headroom_a[0] == pytest.approx(np.full((3, STEPS), 40.0 + amps))
    assert made.grid.feed_in_a[0] == pytest.approx(np.full((3, STEPS), 40.0 - amps))
    assert made.grid.parent.tolist() == [-1, 0, 1]


def test_five_minutes_later_has_the_same_structure_and_other_numbers():
    live = LiveModel.build(instance_of(problem()))
    live.solve()
    later = changed(problem(), seed=1)
    live.update(later)
    assert live.rebuilt == ""
    found = live.solve()
    assert found.objective_eur == pytest.approx(solve(later).objective_eur)
    assert verify(later, found) == []
    assert not np.array_equal(later.grid.import_eur_per_kwh, problem()["import_eur_per_kwh"])
    assert not np.array_equal(later.cars.energy_kwh, problem()["energy_kwh"])


def test_the_figures():
    figures = bench_mpc(problem())
    assert (figures.cars, figures.steps) == (2, STEPS)
    assert figures.objective == pytest.approx(solve(instance_of(problem())).objective_eur)
    assert figures.rows > 0
    assert min(figures.build_ms, figures.solve_ms, figures.resolve_ms, figures.round_ms) > 0.0
    assert figures.total_ms >= figures.build_ms + figures.solve_ms - 1e-9
    assert figures.rebuilds == 0
    assert figures.resolve_gap <= 1e-9
    assert 0.0 <= figures.round_loss < 1.0
    assert figures.rss_mb >= 0.0


def test_the_command_prints_one_json_object_or_a_table(tmp_path, capsys):
    path = tmp_path / "problem.json"
    path.write_text(json.dumps(problem()), encoding="utf-8")
    assert main(["bench", "mpc", "--instance", str(path), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert {"objective", "build_ms", "solve_ms", "total_ms", "resolve_ms", "round_ms", "rss_mb"} <= figures.keys()
    assert main(["bench", "mpc", "--instance", str(path)]) == 0
    assert "resolve_ms" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"n": 2}', json.dumps({**problem(), "leaf": [0, "x"]})])
def test_a_file_that_is_no_problem_is_one_sentence(text, tmp_path, capsys):
    path = tmp_path / "problem.json"
    path.write_text(text, encoding="utf-8")
    assert main(["bench", "mpc", "--instance", str(path)]) == 2
    assert main(["bench", "mpc", "--instance", str(tmp_path / "none.json")]) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 2
    assert "Traceback" not in errors[0]
