"""From the linear program's columns back to the instance's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from optimizer.core.instance import KW_PER_A, Floats, Solution
from optimizer.core.lp import Program

DUST: Final = 1e-9
"""What the simplex method leaves of zero."""


@dataclass(frozen=True, slots=True)
class Values:
    """What one kWh more is worth: of each car (N,), of each battery (B, T) and buffer (H, T), in EUR."""

    car: Floats
    battery: Floats
    buffer: Floats


def block(program: Program, x: Floats, name: str) -> Floats:
    """The columns of one kind, none where the program has none."""
    columns = program.layout.columns
    values: Floats = x[columns[name]] if name in columns else np.zeros(0)
    return values


def cell_currents(program: Program, x: Floats) -> tuple[Floats, Floats]:
    """A per cell: charging (cells,), discharging (fed,)."""
    charge = block(program, x, "x").copy()
    charge[program.layout.split] += block(program, x, "x above")
    return _clean(charge), _clean(block(program, x, "y"))


def values_of(program: Program, dual: Floats) -> Values:
    """The relaxation's row duals as values of energy. A row's dual is what raising its right-hand side by one costs."""
    layout, instance = program.layout, program.instance
    # Of a car that gets nothing at all the dual price is any above its dearest shortage: that one is what it means.
    dearest = np.where(instance.cars.short_kwh > 0.0, instance.cars.short_eur_per_kwh, 0.0).max(axis=1, initial=0.0)
    car = np.minimum(dual[layout.rows["energy"]], dearest)
    fed = layout.cells.car[layout.cells.fed]
    begin = np.flatnonzero(np.diff(fed, prepend=-1))
    car[fed[begin]] = -dual[layout.rows["car state"]][begin]
    steps = instance.grid.steps
    return Values(
        car,
        -dual[layout.rows["battery"]].reshape(-1, steps),
        -dual[layout.rows["heat"]].reshape(-1, steps),
    )


def solution_of(
    program: Program, x: Floats, values: Values, objective_eur: float, bound_eur: float, status: str
) -> Solution:
    """The solution that the columns' values ``x`` are."""
    instance, layout, cells = program.instance, program.layout, program.layout.cells
    steps, n = instance.grid.steps, instance.cars.n
    charge, back = np.zeros((n, steps)), np.zeros((n, steps))
    currents, returned = cell_currents(program, x)
    charge[cells.car, cells.step] = currents
    back[cells.car[cells.fed], cells.step[cells.fed]] = returned
    bought = block(program, x, "import").copy()
    bought[layout.soft.imports] += block(program, x, "import beyond")
    sold = block(program, x, "export").copy()
    sold[layout.soft.exports] += block(program, x, "export beyond")
    net = bought - sold
    bought, sold = _clean(net), _clean(-net)
    short = block(program, x, "short").reshape(instance.cars.short_kwh.shape).sum(axis=1)

    def table(name: str) -> Floats:
        return block(program, x, name).reshape(-1, steps)

    return Solution(
        car_a=charge,
        car_discharge_a=back,
        charge_kw=_clean(table("charge")),
        discharge_kw=_clean(table("discharge")),
        soc_kwh=table("soc"),
        curtailed_kw=_clean(table("curtailed")),
        buffer_kw=_clean(table("buffer")),
        heat_kwh=table("heat"),
        run_kw=run_kw_of(program, block(program, x, "run")),
        import_kw=bought,
        export_kw=sold,
        peak_kw=instance.grid.peak_kw(bought),
        shortage_kwh=_clean(short),
        beyond_kw=_beyond_kw(program, x),
        objective_eur=objective_eur,
        bound_eur=bound_eur,
        car_value_eur_per_kwh=values.car,
        battery_value_eur_per_kwh=values.battery,
        buffer_value_eur_per_kwh=values.buffer,
        status=status,
    )


def run_kw_of(program: Program, share: Floats) -> Floats:
    """(R, T) from the shares of all possible starts."""
    runs, layout = program.instance.runs, program.layout
    power = np.zeros((len(runs.circuit), program.instance.grid.steps))
    if layout.run_of.size:
        lag = np.arange(runs.profile_kw.shape[1])
        part = share[:, None] * runs.profile_kw[layout.run_of]
        np.add.at(power, (layout.run_of[:, None], layout.run_start[:, None] + lag), part)
    return power


def _beyond_kw(program: Program, x: Floats) -> float:
    """What is beyond limits, from the slack columns and from limits that exclude each other."""
    grid = program.instance.grid
    amps = block(program, x, "amps beyond").sum() + block(program, x, "feed-in beyond").sum()
    amps += np.maximum(-grid.feed_in_a - grid.headroom_a, 0.0).sum()
    kw = block(program, x, "import beyond").sum() + block(program, x, "export beyond").sum()
    return float(_clean(np.array([KW_PER_A * amps + kw]))[0])


def _clean(values: Floats) -> Floats:
    """No dust, nothing below zero."""
    cleaned: Floats = np.where(values > DUST, values, 0.0)
    return cleaned
