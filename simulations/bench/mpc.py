"""The optimizer against a neutral problem: what building, solving, solving again and rounding cost.

The problem's file says cars, a tree of three levels, base load, PV and one battery; it is solved through the production
path, with the terms it has not at zero. Times are process CPU time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from optimizer.core.instance import Batteries, Buffers, Cars, Grid, Instance, Runs, Solar

VOLTAGE_V = 230.0
PHASES = 3


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
            none, none, none, none, np.ones(n), none, none, np.zeros((n, 0)), 0.0,
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
