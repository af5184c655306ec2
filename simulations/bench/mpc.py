"""The optimizer against a neutral problem: what building, solving, solving again and rounding cost.

The problem's file says cars, a tree of three levels, base load, PV and one battery; it is solved through the production
path, with the terms it has not at zero. Times are process CPU time.
"""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from interfaces.domain.units import MILLI
from interfaces.errors import UserError
from optimizer.core.instance import Batteries, Buffers, Cars, Floats, Grid, Instance, Runs, Solar
from optimizer.core.solver import LiveModel, solve

VOLTAGE_V: Final = 230.0
PHASES: Final = 3
REPEATS: Final = 5
MINIMUM_A: Final = 6.0
"""What a car on alternating current needs at least (IEC 61851-1); the neutral problem has no minimum."""
LATER_H: Final = 5.0 / 60.0
LASTING: Final = 0.9
"""Autocorrelation of forecast errors from one quarter to the next."""
KB_PER_MB: Final = 1024.0


def read_problem(path: Path) -> Mapping[str, Any]:
    """A neutral problem's file; what cannot be one is refused with a sentence."""
    try:
        file = json.loads(path.read_text(encoding="utf-8"))
        instance_of(file)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(f"{path} is no problem of this benchmark: {type(error).__name__} {error}") from error
    return dict(file)


def instance_of(file: Mapping[str, Any], min_a: float = 0.0) -> Instance:
    """The neutral problem as an instance; ``min_a``: the cars' minimum current (the problem has none)."""
    n, steps, dt_h = file["n"], file["steps"], file["dt_h"]
    leaf, feeder = np.array(file["leaf"]), np.array(file["feeder"])
    feeders, leaves = int(feeder.max()) + 1, int(leaf.max()) + 1
    over_leaf = np.zeros(leaves, dtype=np.int64)
    over_leaf[leaf] = feeder
    parent = np.concatenate([[-1], np.zeros(feeders, dtype=np.int64), 1 + over_leaf])
    residual_kw = np.array(file["base_kw"]) - np.array(file["pv_kw"])
    amps_per_kw = 1000.0 / PHASES / VOLTAGE_V
    limit = np.concatenate(
        [
            np.array(file["connection_limit_a"])[None, :],
            np.array(file["feeder_limit_a"]).T,
            np.array(file["leaf_limit_a"]).T,
        ]
    )
    headroom = np.repeat(limit[:, :, None], steps, axis=2)
    feed_in = headroom.copy()
    headroom[0] -= residual_kw * amps_per_kw
    feed_in[0] += residual_kw * amps_per_kw
    none, price = np.zeros(n), np.array(file["priority"]) * file["penalty_eur_per_kwh"]
    energy = np.array(file["energy_kwh"])
    battery = file["battery"]
    unlimited = np.full(steps, np.inf)
    return Instance(
        Grid(
            np.full(steps, dt_h), dt_h, residual_kw, np.array(file["import_eur_per_kwh"]),
            np.array(file["export_eur_per_kwh"]), unlimited, unlimited, parent, headroom, feed_in,
            file["peak_eur_per_kw"], file["peak_floor_kw"], 0.0, 1000.0,
        ),
        Cars(
            1 + feeders + leaf, np.array(file["phase_mask"]).T.astype(np.int64), np.array(file["kw_per_a"]),
            np.full(n, min_a), np.array(file["max_current_a"]), np.array(file["arrival"]), np.array(file["departure"]),
            np.ones(n), np.ones(n), energy, energy[:, None], price[:, None], np.full(n, file["early_eur_per_kwh_step"]),
            none, none, none, none, np.ones(n), none, none, none, none > 0, np.zeros((n, 0)), 0.0,
        ),
        Batteries(
            np.zeros(1, dtype=np.int64), np.full((1, PHASES), amps_per_kw), *(np.array([v]) for v in (
                battery["power_kw"], battery["power_kw"], battery["efficiency"], battery["efficiency"],
                battery["soc0_kwh"], 0.1 * battery["capacity_kwh"], battery["capacity_kwh"],
                battery["wear_eur_per_kwh"], battery["terminal_eur_per_kwh"],
            )),
        ),
        no_solar(steps), no_buffers(steps), no_runs(),
    )  # fmt: skip


def no_solar(steps: int) -> Solar:
    """No plant that can be curtailed."""
    return Solar(np.zeros(0, dtype=np.int64), np.zeros((0, PHASES)), np.zeros((0, steps)))


def no_buffers(steps: int) -> Buffers:
    """No thermal buffer."""
    none, table = np.zeros(0), np.zeros((0, steps))
    return Buffers(
        np.zeros(0, dtype=np.int64), np.zeros((0, PHASES)), none, none, table, none, none, table, table, none, none
    )


def no_runs() -> Runs:
    """No shiftable run."""
    none = np.zeros(0, dtype=np.int64)
    return Runs(none, np.zeros((0, PHASES)), np.zeros((0, 1)), none, none)


@dataclass(frozen=True, slots=True)
class Figures:
    """What `bench mpc` prints; docs/bench.md says how each is measured."""

    cars: int
    steps: int
    rows: int
    columns: int
    nonzeros: int
    objective: float
    build_ms: float
    solve_ms: float
    total_ms: float
    resolve_ms: float
    resolve_gap: float
    rebuilds: int
    round_ms: float
    round_loss: float
    rss_mb: float


def bench_mpc(file: Mapping[str, Any]) -> Figures:
    """Solve the neutral problem ``REPEATS`` times each way; the least time of each."""
    neutral, with_minimum = instance_of(file), instance_of(file, MINIMUM_A)
    rss_mb = _added_mb(neutral)
    build_ms, solve_ms, live, found = [], [], LiveModel.build(neutral), None
    for _ in range(REPEATS):
        begin = time.process_time()
        live = LiveModel.build(neutral)
        built = time.process_time()
        found = live.solve()
        build_ms.append(MILLI * (built - begin))
        solve_ms.append(MILLI * (time.process_time() - built))
    resolve_ms, gap, rebuilds = _resolve(file, live)
    round_ms, loss = _round(with_minimum)
    rows, columns = live.program.layout.shape
    return Figures(
        cars=neutral.cars.n,
        steps=neutral.grid.steps,
        rows=rows,
        columns=columns,
        nonzeros=len(live.program.layout.matrix[1]),
        objective=found.objective_eur if found is not None else float("nan"),
        build_ms=min(build_ms),
        solve_ms=min(solve_ms),
        total_ms=min(map(sum, zip(build_ms, solve_ms, strict=True))),
        resolve_ms=resolve_ms,
        resolve_gap=gap,
        rebuilds=rebuilds,
        round_ms=round_ms,
        round_loss=loss,
        rss_mb=rss_mb,
    )


def changed(file: Mapping[str, Any], seed: int) -> Instance:
    """The same problem five minutes later: what cars and battery have got since, another PV and load forecast (off by
    10 % and 3 %, errors that last for hours), other prices where they had been forecasts (5 %; the second half).
    """
    rng = np.random.default_rng(seed)
    steps, battery = file["steps"], dict(file["battery"])
    price = np.array(file["import_eur_per_kwh"])
    price_eur = 0.05 * price * _lasting(rng, steps) * (np.arange(steps) >= steps // 2)
    most_kwh = np.array(file["kw_per_a"]) * np.array(file["max_current_a"]) * LATER_H
    got_kwh = most_kwh * rng.uniform(0.0, 1.0, file["n"]) * (np.array(file["arrival"]) == 0)
    battery["soc0_kwh"] += battery["power_kw"] * LATER_H * rng.uniform(-1.0, 1.0)
    return instance_of(
        {
            **file,
            "import_eur_per_kwh": price + price_eur,
            "export_eur_per_kwh": np.array(file["export_eur_per_kwh"]) + price_eur,
            "pv_kw": np.array(file["pv_kw"]) * np.maximum(1.0 + 0.1 * _lasting(rng, steps), 0.0),
            "base_kw": np.array(file["base_kw"]) * (1.0 + 0.03 * _lasting(rng, steps)),
            "energy_kwh": np.maximum(np.array(file["energy_kwh"]) - got_kwh, 0.0),
            "battery": battery,
        }
    )


def _lasting(rng: np.random.Generator, steps: int) -> Floats:
    """Errors of about one, each most of the one before it."""
    error = np.zeros(steps)
    error[0] = rng.standard_normal()
    for t in range(1, steps):
        error[t] = LASTING * error[t - 1] + np.sqrt(1.0 - LASTING**2) * rng.standard_normal()
    return error


def _resolve(file: Mapping[str, Any], live: LiveModel) -> tuple[float, float, int]:
    """Least time of an update and a solve, the widest relative gap to a solve from nothing, programs built anew."""
    spent_ms, gaps, rebuilds = [], [], 0
    for seed in range(REPEATS):
        later = changed(file, seed)
        begin = time.process_time()
        live.update(later)
        again = live.solve()
        spent_ms.append(MILLI * (time.process_time() - begin))
        fresh = solve(later)
        gaps.append(abs(again.objective_eur - fresh.objective_eur) / max(abs(fresh.objective_eur), 1.0))
        rebuilds += bool(live.rebuilt)
    return min(spent_ms), max(gaps), rebuilds


def _round(instance: Instance) -> tuple[float, float]:
    """Least time from the relaxation to the plan with minimum currents, and what the plan costs more, relative."""
    spent_ms, loss = [], 0.0
    for _ in range(REPEATS):
        live = LiveModel.build(instance)
        relaxed = live.relax()
        if relaxed is None:
            raise RuntimeError("HiGHS has no optimum of the neutral problem")
        begin = time.process_time()
        found = live.plan(relaxed)
        spent_ms.append(MILLI * (time.process_time() - begin))
        loss = (found.objective_eur - found.bound_eur) / max(abs(found.bound_eur), 1.0)
    return min(spent_ms), loss


def _added_mb(instance: Instance) -> float:
    """Memory that building and solving take at their peak, above what the process held before."""
    gc.collect()
    before_kb = _status_kb("VmRSS")
    # Forget the peak of loading the problem: the kernel's own switch for this.
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    live = LiveModel.build(instance)
    live.solve()
    return (_status_kb("VmHWM") - before_kb) / KB_PER_MB


def _status_kb(name: str) -> int:
    """One line of the kernel's account of this process."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name + ":"))
