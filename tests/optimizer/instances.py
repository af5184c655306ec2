"""Random planning problems of every shape the model knows, from one seed or drawn by hypothesis.

A ``Recipe`` says what is in a problem; ``instance_of`` cooks it. Every ingredient has its own random stream, so that
taking one away (as shrinking does) leaves the others as they were.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from hypothesis import strategies as st

from optimizer.core.instance import Batteries, Buffers, Cars, Floats, Grid, Instance, Ints, Runs, Solar

VOLTAGE_KV: Final = 0.23
SLACK_EUR_PER_KWH: Final = 1000.0
FEATURES: Final = (
    "partial step",  # the plan begins inside a quarter
    "partial windows",  # cars come and go inside a step
    "v2g",
    "negative prices",
    "spikes",  # -0.5 and +4 EUR/kWh
    "peak",
    "previous plan",
    "connection limits",
    "limits below base",
    "soc out of bounds",
    "infeasible targets",
    "guaranteed minimum",
    "tight circuits",
    "no limits",  # circuits without a limit here and there
    "no early preference",
    "flat prices",
    "power limits",  # of circuits, over all phases
    "two months",  # the second billing period begins inside the plan
)
MOST_DEPTH: Final = 5
WIRINGS: Final = ((1, 1, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0, 1, 1), (1, 0, 1))


@dataclass(frozen=True, slots=True)
class Recipe:
    """How many of everything, and which features."""

    seed: int
    steps: int = 8
    circuits: int = 1
    cars: int = 0
    batteries: int = 0
    plants: int = 0
    buffers: int = 0
    runs: int = 0
    features: frozenset[str] = frozenset()

    def stream(self, ingredient: str) -> np.random.Generator:
        """Random numbers that no other ingredient uses."""
        return np.random.default_rng([self.seed, *ingredient.encode()])


def recipe_of(seed: int, steps: int = 20) -> Recipe:
    """A small random recipe."""
    rng = np.random.default_rng([seed, 0])
    cars, batteries, plants, buffers, runs = (int(rng.integers(0, most + 1)) for most in (8, 2, 2, 2, 2))
    return Recipe(
        seed,
        steps=int(rng.integers(1, steps + 1)),
        circuits=int(rng.integers(1, 9)),
        cars=cars,
        batteries=batteries,
        plants=plants,
        buffers=buffers,
        runs=runs,
        features=frozenset(str(name) for name in FEATURES if rng.random() < 0.4),
    )


def recipes() -> st.SearchStrategy[Recipe]:
    """Recipes that shrink to fewer assets, steps and features."""
    return st.builds(
        Recipe,
        seed=st.integers(0, 2**32 - 1),
        steps=st.integers(1, 16),
        circuits=st.integers(1, 7),
        cars=st.integers(0, 6),
        batteries=st.integers(0, 2),
        plants=st.integers(0, 2),
        buffers=st.integers(0, 2),
        runs=st.integers(0, 2),
        features=st.frozensets(st.sampled_from(FEATURES)),
    )


def instance_of(recipe: Recipe) -> Instance:
    """The problem of a recipe."""
    parent = _tree(recipe)
    solar = _solar(recipe)
    cars, batteries, buffers, runs = _cars(recipe), _batteries(recipe), _buffers(recipe), _runs(recipe)
    empty = Instance(_grid(recipe, parent, solar), cars, batteries, solar, buffers, runs)
    return replace(empty, grid=_limited(recipe, empty))


def permuted(instance: Instance, order: Ints) -> Instance:
    """The same problem with its cars in another order."""
    cars = instance.cars
    columns = {
        name: getattr(cars, name)[order]
        for name in Cars.__dataclass_fields__
        if isinstance(getattr(cars, name), np.ndarray)
    }
    return replace(instance, cars=replace(cars, **columns))


def with_previous(instance: Instance, previous_a: Floats, churn_eur_per_kwh: float) -> Instance:
    """The same problem, knowing the plan before it, (N, K)."""
    return replace(instance, cars=replace(instance.cars, previous_a=previous_a, churn_eur_per_kwh=churn_eur_per_kwh))


def noisy(instance: Instance, share: float, seed: int) -> Instance:
    """The same problem seen a little differently: load, PV and prices each off by about ``share``."""
    rng, grid = np.random.default_rng([seed, 1]), instance.grid

    def off(column: Floats) -> Floats:
        return column * (1.0 + share * rng.uniform(-1.0, 1.0, column.shape))

    base = off(grid.base_kw)
    spread = grid.import_eur_per_kwh - grid.export_eur_per_kwh
    bought = off(grid.import_eur_per_kwh)
    moved_a = np.abs(base - grid.base_kw) / (3 * VOLTAGE_KV)
    headroom = grid.headroom_a.copy()
    headroom[0] -= moved_a
    changed = replace(
        grid, base_kw=base, import_eur_per_kwh=bought, export_eur_per_kwh=bought - spread, headroom_a=headroom
    )
    return replace(instance, grid=changed)


def _tree(recipe: Recipe) -> Ints:
    rng, parents, depths = recipe.stream("tree"), [-1], [1]
    for k in range(1, recipe.circuits):
        open_ones = [j for j in range(k) if depths[j] < MOST_DEPTH]
        # Half of the time the newest one, so that deep trees are common.
        mother = open_ones[-1] if rng.random() < 0.5 else int(rng.choice(open_ones))
        parents.append(mother)
        depths.append(depths[mother] + 1)
    return np.array(parents, dtype=np.int64)


def _grid(recipe: Recipe, parent: Ints, solar: Solar) -> Grid:
    rng, steps, on = recipe.stream("grid"), recipe.steps, recipe.features
    full_h = 0.25
    dt_h = np.full(steps, full_h)
    if "partial step" in on:
        dt_h[0] = full_h * rng.uniform(0.05, 1.0)
    hour = np.arange(steps) * full_h + rng.uniform(0, 24)
    base = 5.0 + 4.0 * rng.random(steps) - 8.0 * rng.random() * np.maximum(0.0, np.sin((hour - 6) / 12 * np.pi))
    bought = 0.25 + 0.1 * np.sin(hour / 4) + 0.02 * rng.standard_normal(steps)
    if "flat prices" in on:
        bought = np.full(steps, 0.25)
    if "negative prices" in on:
        bought[rng.random(steps) < 0.4] -= 0.45
    if "spikes" in on:
        bought[rng.random(steps) < 0.2] = rng.choice([-0.5, 4.0])
    spread = np.where(rng.random(steps) < 0.1, 0.0, rng.uniform(0.01, 0.15, steps))
    limits = np.full((2, steps), np.inf)
    if "connection limits" in on:
        limits = np.where(rng.random((2, steps)) < 0.7, rng.uniform(8.0, 40.0, (2, steps)), np.inf)
    if "limits below base" in on:
        low = rng.random((2, steps)) < 0.3
        limits = np.where(low, rng.uniform(0.0, 6.0, (2, steps)), limits)
    peak = "peak" in on
    turn = recipe.stream("month").integers(1, steps) if "two months" in on and steps > 1 else None
    dims = (len(parent), 3, steps)
    return Grid(
        dt_h=dt_h,
        full_h=full_h,
        base_kw=base - solar.available_kw.sum(axis=0),
        import_eur_per_kwh=bought,
        export_eur_per_kwh=bought - spread,
        import_limit_kw=limits[0],
        export_limit_kw=limits[1],
        parent=parent,
        headroom_a=np.full(dims, np.inf),
        feed_in_a=np.full(dims, np.inf),
        peak_eur_per_kw=float(rng.uniform(0.5, 8.0)) if peak else 0.0,
        peak_floor_kw=float(rng.uniform(0.0, 15.0)) if peak else 0.0,
        already_kwh=float((full_h - dt_h[0]) * rng.uniform(0.0, 30.0)),
        slack_eur_per_kwh=SLACK_EUR_PER_KWH,
        next_month=None if turn is None else int(turn),
        next_floor_kw=float(recipe.stream("next floor").uniform(0.0, 12.0)) if peak and turn is not None else 0.0,
    )


def _limited(recipe: Recipe, instance: Instance) -> Grid:
    """The grid with limits that fit what hangs below each circuit."""
    rng, grid, on = recipe.stream("limits"), instance.grid, recipe.features
    cars, batteries = instance.cars, instance.batteries
    demand, feed_in = np.zeros((len(grid.parent), 3)), np.zeros((len(grid.parent), 3))
    for circuit, amps in zip(cars.circuit, cars.wired * cars.max_a[:, None], strict=True):
        demand[circuit] += amps
    for circuit, amps in zip(cars.circuit, cars.wired * cars.discharge_a[:, None], strict=True):
        feed_in[circuit] += amps
    for k, circuit in enumerate(batteries.circuit):
        demand[circuit] += batteries.a_per_kw[k] * batteries.charge_kw[k]
        feed_in[circuit] += batteries.a_per_kw[k] * batteries.discharge_kw[k]
    for c in range(len(grid.parent) - 1, 0, -1):
        demand[grid.parent[c]] += demand[c]
        feed_in[grid.parent[c]] += feed_in[c]
    low, high = (0.15, 0.7) if "tight circuits" in on else (0.6, 1.4)
    background = rng.uniform(0.0, 4.0, (len(grid.parent), 3, recipe.steps))
    headroom = 3.0 + demand[:, :, None] * rng.uniform(low, high, (*demand.shape, 1)) - background / 2
    backwards = 3.0 + feed_in[:, :, None] * rng.uniform(low, high, (*demand.shape, 1)) - background / 2
    headroom, backwards = np.maximum(headroom, 0.0), np.maximum(backwards, 0.0)
    if "limits below base" in on:
        broken = rng.random(headroom.shape) < 0.05
        headroom = np.where(broken, -rng.uniform(0.0, 8.0, headroom.shape), headroom)
        broken = rng.random(headroom.shape) < 0.03
        backwards = np.where(broken, -rng.uniform(0.0, 5.0, headroom.shape), backwards)
    if "no limits" in on:
        headroom = np.where(rng.random((*demand.shape, 1)) < 0.4, np.inf, headroom)
        backwards = np.where(rng.random((*demand.shape, 1)) < 0.4, np.inf, backwards)
    if "power limits" in on:
        headroom = np.concatenate([headroom, _power_room_a(recipe, demand)], axis=1)
        backwards = np.concatenate([backwards, _power_room_a(recipe, feed_in)], axis=1)
    return replace(grid, headroom_a=headroom, feed_in_a=backwards)


def _power_room_a(recipe: Recipe, demand_a: Floats) -> Floats:
    """(C, 1, T): room over all phases, for some circuits; tighter than what their phases leave together."""
    rng, shape = recipe.stream("power limits"), (len(demand_a), 1, recipe.steps)
    room = 3.0 + demand_a.sum(axis=1)[:, None, None] * rng.uniform(0.2, 0.8, (len(demand_a), 1, 1)) - rng.random(shape)
    if "limits below base" in recipe.features:
        room = np.where(rng.random(shape) < 0.05, -rng.uniform(0.0, 8.0, shape), room)
    return np.where(rng.random((len(demand_a), 1, 1)) < 0.6, room, np.inf)


def _cars(recipe: Recipe) -> Cars:
    rng, n, steps, on = recipe.stream("cars"), recipe.cars, recipe.steps, recipe.features
    wired = np.array(WIRINGS, dtype=float)[rng.choice(7, n, p=(0.4, 0.15, 0.1, 0.1, 0.1, 0.1, 0.05))].reshape(n, 3)
    max_a = rng.choice([13.0, 16.0, 16.0, 32.0], n)
    first = np.where(rng.random(n) < 0.6, 0, rng.integers(0, steps, n))
    end = np.minimum(first + rng.integers(1, steps + 4, n), steps)
    end = np.where(rng.random(n) < 0.05, first, end)
    shares = rng.uniform(0.05, 1.0, (2, n)) if "partial windows" in on else np.ones((2, n))
    kw_per_a = VOLTAGE_KV * wired.sum(axis=1)
    most_kwh = kw_per_a * max_a * 0.25 * (end - first)
    energy = most_kwh * rng.uniform(0.0, 0.9, n)
    if "infeasible targets" in on:
        energy = np.where(rng.random(n) < 0.4, most_kwh * rng.uniform(1.0, 4.0, n), energy)
    energy = np.where(rng.random(n) < 0.1, 0.0, energy)
    width, price = _shortage(recipe, energy)
    can_feed = ("v2g" in on) & (rng.random(n) < 0.5)
    capacity = rng.uniform(20.0, 80.0, n)
    floor, soc = 0.1 * capacity, capacity * rng.uniform(0.15, 0.8, n)
    if "soc out of bounds" in on:
        soc = capacity * np.where(rng.random(n) < 0.4, rng.choice([0.02, 1.05], n), soc / capacity)
    return Cars(
        circuit=recipe.stream("car circuits").integers(0, recipe.circuits, n),
        wired=wired,
        kw_per_a=kw_per_a,
        min_a=np.where(rng.random(n) < 0.8, 6.0, 8.0),
        max_a=max_a,
        first=first,
        end=end,
        first_share=shares[0],
        end_share=shares[1],
        energy_kwh=energy,
        short_kwh=width,
        short_eur_per_kwh=price,
        early_eur_per_kwh_step=np.where("no early preference" in on, 0.0, rng.uniform(1e-4, 5e-4, n)),
        discharge_a=np.where(can_feed, max_a * rng.uniform(0.4, 1.0, n), 0.0),
        soc_kwh=soc,
        floor_kwh=floor,
        capacity_kwh=capacity,
        efficiency=rng.uniform(0.85, 0.97, n),
        wear_eur_per_kwh=rng.uniform(0.01, 0.06, n),
        terminal_eur_per_kwh=rng.uniform(0.0, 0.25, n),
        pause_eur=np.where(recipe.stream("pauses").random(n) < 0.5, 3.0 * ("previous plan" in on), 0.0),
        optional=recipe.stream("optional").random(n) < 0.15,
        previous_a=_previous(recipe, max_a),
        churn_eur_per_kwh=0.01 if "previous plan" in on else 0.0,
    )


def _shortage(recipe: Recipe, energy_kwh: Floats) -> tuple[Floats, Floats]:
    """Convex: the first share of what is missing is cheaper than the rest, a guaranteed minimum dearer than all."""
    rng, n = recipe.stream("shortage"), len(energy_kwh)
    priority = rng.choice([1.0, 1.0, 1.5, 3.0], n)
    shares, prices = np.array([0.4, 0.6, 0.0]), np.array([10.0, 12.0, 100.0])
    if "guaranteed minimum" in recipe.features:
        shares = np.array([0.3, 0.4, 0.3])
    price = np.outer(priority, prices)
    price[:, 2] = 100.0 + priority
    return np.outer(energy_kwh, shares), price


def _previous(recipe: Recipe, max_a: Floats) -> Floats:
    rng, known = recipe.stream("previous"), min(4, recipe.steps)
    previous = rng.uniform(0.0, 1.0, (recipe.cars, known)) * max_a[:, None]
    new = rng.random((recipe.cars, 1)) < (0.3 if "previous plan" in recipe.features else 1.0)
    return np.where(new, np.nan, previous)


def _three_phase(n: int) -> Floats:
    return np.full((n, 3), 1.0 / (3 * VOLTAGE_KV))


def _batteries(recipe: Recipe) -> Batteries:
    rng, n = recipe.stream("batteries"), recipe.batteries
    capacity = rng.uniform(5.0, 60.0, n)
    soc = rng.uniform(0.1, 1.0, n)
    if "soc out of bounds" in recipe.features:
        soc = np.where(rng.random(n) < 0.5, rng.choice([0.01, 1.07], n), soc)
    amps = _three_phase(n)
    single = rng.random(n) < 0.2
    amps[single] = np.array([0.0, 1.0 / VOLTAGE_KV, 0.0])
    return Batteries(
        circuit=rng.integers(0, recipe.circuits, n),
        a_per_kw=amps,
        charge_kw=rng.uniform(2.0, 20.0, n),
        discharge_kw=rng.uniform(2.0, 20.0, n),
        charge_efficiency=rng.uniform(0.85, 0.99, n),
        discharge_efficiency=rng.uniform(0.85, 0.99, n),
        soc_kwh=capacity * soc,
        floor_kwh=capacity * 0.1,
        capacity_kwh=capacity,
        wear_eur_per_kwh=rng.uniform(0.005, 0.05, n),
        terminal_eur_per_kwh=rng.uniform(0.05, 0.35, n),
    )


def _solar(recipe: Recipe) -> Solar:
    rng, n = recipe.stream("solar"), recipe.plants
    return Solar(
        circuit=rng.integers(0, recipe.circuits, n),
        a_per_kw=_three_phase(n),
        available_kw=rng.uniform(0.0, 25.0, (n, 1)) * rng.random((n, recipe.steps)),
    )


def _buffers(recipe: Recipe) -> Buffers:
    rng, n, steps = recipe.stream("buffers"), recipe.buffers, recipe.steps
    low = rng.uniform(2.0, 6.0, n)
    high = low + rng.uniform(1.0, 8.0, n)
    return Buffers(
        circuit=rng.integers(0, recipe.circuits, n),
        a_per_kw=_three_phase(n),
        power_kw=rng.uniform(1.0, 5.0, n),
        cop=rng.uniform(2.0, 4.0, (n, 1)) + 0.3 * rng.random((n, steps)),
        demand_kwh=rng.uniform(0.1, 2.5, (n, 1)) * rng.random((n, steps)),
        keep=rng.uniform(0.97, 1.0, n),
        heat_kwh=low + (high - low) * rng.uniform(-0.3, 1.2, n),
        low_kwh=low,
        high_kwh=high,
        comfort_eur_per_kwh=rng.uniform(0.5, 3.0, n),
        terminal_eur_per_kwh=rng.uniform(0.0, 0.08, n),
    )


def _runs(recipe: Recipe) -> Runs:
    rng, n, steps = recipe.stream("runs"), recipe.runs, recipe.steps
    length = min(int(rng.integers(1, 5)), steps)
    earliest = rng.integers(0, steps - length + 1, n)
    return Runs(
        circuit=rng.integers(0, recipe.circuits, n),
        a_per_kw=_three_phase(n),
        profile_kw=rng.uniform(0.2, 2.5, (n, length)),
        earliest=earliest,
        latest=np.minimum(earliest + rng.integers(0, steps, n), steps - length),
    )
