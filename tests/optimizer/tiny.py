"""Planning problems small enough to be solved by hand: steps of an hour, 230 V, one circuit, everything off."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from optimizer.core.instance import Batteries, Buffers, Cars, Floats, Grid, Instance, Runs, Solar

KW_PER_A_1 = 0.23
KW_PER_A_3 = 0.69
THREE = np.full(3, 1 / 0.69)
SLACK_EUR_PER_KWH = 1000.0
SHORT_EUR_PER_KWH = 10.0


def tiny(price: list[float], **grid: Any) -> Instance:
    """A connection without limits where import costs ``price`` per hour and export earns 5 ct less."""
    steps = len(price)
    unlimited = np.full((1, 3, steps), np.inf)
    made = Grid(
        dt_h=np.ones(steps), full_h=1.0, base_kw=np.zeros(steps), import_eur_per_kwh=np.array(price),
        export_eur_per_kwh=np.array(price) - 0.05, import_limit_kw=np.full(steps, np.inf),
        export_limit_kw=np.full(steps, np.inf), parent=np.array([-1]), headroom_a=unlimited, feed_in_a=unlimited,
        peak_eur_per_kw=0.0, peak_floor_kw=0.0, already_kwh=0.0, slack_eur_per_kwh=SLACK_EUR_PER_KWH,
    )  # fmt: skip
    return Instance(replace(made, **grid), cars(), batteries(), plants(steps), buffers(steps), runs())


def per_asset(columns: dict[str, Any], defaults: dict[str, Any], n: int) -> dict[str, Any]:
    """Every column as an array of n lines."""
    made = {}
    for name, value in {**defaults, **columns}.items():
        column = np.asarray(value)
        made[name] = np.repeat(column[None], n, axis=0) if column.ndim == 0 else column
    return made


def cars(*energy_kwh: float, **columns: Any) -> Cars:
    """Three-phase cars of 16 A that stay all the time, wanting this much; a shortage costs 10 EUR/kWh."""
    n = len(energy_kwh)
    energy = np.array(energy_kwh, dtype=np.float64)
    defaults = {
        "circuit": 0, "kw_per_a": KW_PER_A_3, "min_a": 0.0, "max_a": 16.0, "first": 0, "end": 1000, "first_share": 1.0,
        "end_share": 1.0, "early_eur_per_kwh_step": 0.0, "discharge_a": 0.0, "soc_kwh": 0.0, "floor_kwh": 0.0,
        "capacity_kwh": 0.0, "efficiency": 1.0, "wear_eur_per_kwh": 0.0, "terminal_eur_per_kwh": 0.0, "pause_eur": 0.0,
        "optional": False,
    }  # fmt: skip
    tables = {
        "wired": np.ones((n, 3)),
        "energy_kwh": energy,
        "short_kwh": energy[:, None],
        "short_eur_per_kwh": np.full((n, 1), SHORT_EUR_PER_KWH),
        "previous_a": np.zeros((n, 0)),
    }
    churn = columns.pop("churn_eur_per_kwh", 0.0)
    given = {**tables, **columns}
    scalars = {name: given.pop(name, value) for name, value in defaults.items()}
    return Cars(**per_asset(scalars, {}, n), **given, churn_eur_per_kwh=churn)


def with_cars(instance: Instance, *energy_kwh: float, **columns: Any) -> Instance:
    """The same site with these cars, who leave at the end."""
    steps = instance.grid.steps
    made = cars(*energy_kwh, **columns)
    return replace(instance, cars=replace(made, end=np.minimum(made.end, steps)))


def batteries(n: int = 0, **columns: Any) -> Batteries:
    """10 kWh, 5 kW, without losses and wear, half full, worth nothing at the end."""
    defaults = {
        "circuit": 0, "charge_kw": 5.0, "discharge_kw": 5.0, "charge_efficiency": 1.0, "discharge_efficiency": 1.0,
        "soc_kwh": 5.0, "floor_kwh": 0.0, "capacity_kwh": 10.0, "wear_eur_per_kwh": 0.0, "terminal_eur_per_kwh": 0.0,
    }  # fmt: skip
    return Batteries(a_per_kw=np.tile(THREE, (n, 1)), **per_asset(columns, defaults, n))


def plants(steps: int, *available_kw: list[float]) -> Solar:
    """PV that can be curtailed."""
    n = len(available_kw)
    return Solar(np.zeros(n, dtype=np.int64), np.tile(THREE, (n, 1)), np.array(available_kw).reshape(n, steps))


def buffers(steps: int, n: int = 0, **columns: Any) -> Buffers:
    """A store of 4 to 8 kWh of heat at 6 kWh, 2 kW of power at a factor of 3, no losses, no demand."""
    defaults = {
        "circuit": 0, "power_kw": 2.0, "cop": 3.0, "keep": 1.0, "heat_kwh": 6.0, "low_kwh": 4.0, "high_kwh": 8.0,
        "comfort_eur_per_kwh": 2.0, "terminal_eur_per_kwh": 0.0,
    }  # fmt: skip
    demand = columns.pop("demand_kwh", np.zeros((n, steps)))
    return Buffers(a_per_kw=np.tile(THREE, (n, 1)), demand_kwh=np.asarray(demand), **per_asset(columns, defaults, n))


def runs(*profile_kw: list[float], earliest: int = 0, latest: int = 0) -> Runs:
    """Loads that run once."""
    n = len(profile_kw)
    profile: Floats = np.array(profile_kw).reshape(n, -1) if n else np.zeros((0, 1))
    return Runs(np.zeros(n, dtype=np.int64), np.tile(THREE, (n, 1)), profile, np.full(n, earliest), np.full(n, latest))
