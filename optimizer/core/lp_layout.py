"""The structure of the linear program: which columns and rows there are, and the matrix that joins them.

Columns are laid out by kind, and each kind says for all its columns at once in which rows they stand and with what
factor: two arrays with one line per column, -1 where there is no row. Put below each other, they are the matrix by
columns; no cell of it is touched by a loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from optimizer.core.instance import Bools, Floats, Instance, Ints, on_rows
from optimizer.core.lp_tree import Cells, Reach, Tree, per_step

Index = npt.NDArray[np.int32]
NO_ROW: Final = -1
MARGIN: Final = 1e-9
"""A limit or state is broken when it is by more than this (A, kW, kWh)."""


@dataclass(frozen=True, slots=True)
class Soft:
    """What idle breaks: flat positions (C, R, T) of limits upwards and downwards, steps of the import and the export
    limit, batteries, and positions of cells of cars outside their bounds.
    """

    up: Ints
    down: Ints
    imports: Ints
    exports: Ints
    batteries: Ints
    cells: Ints


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything is. ``columns``, ``rows``: name -> its slice; ``kept``: flat positions of the circuits' rows.

    ``split``: cells of plain cars that had a plan before: their current has a second column for what is above it.
    ``torn``: the same of cars that can feed back, as positions in ``cells.fed``. ``peaked``: whether the peak counts.
    ``run_of``, ``run_start``: run and step of each start share. ``matrix``: (start, index, value) by columns.
    """

    cells: Cells
    soft: Soft
    split: Ints
    torn: Ints
    peaked: bool
    run_of: Ints
    run_start: Ints
    kept: Ints
    columns: dict[str, slice]
    rows: dict[str, slice]
    matrix: tuple[Index, Index, Floats]

    def rows_from(self, first: int) -> tuple[Index, Index, Floats]:
        """(start, index, value) by rows, of the rows from ``first`` on."""
        start, index, value = self.matrix
        place = np.flatnonzero(index >= first)
        place = place[np.argsort(index[place], kind="stable")]
        column = np.searchsorted(start, place, side="right") - 1
        begin = np.searchsorted(index[place], np.arange(first, self.shape[0]))
        return begin.astype(np.int32), column.astype(np.int32), value[place]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return _end(self.rows), _end(self.columns)


@dataclass(slots=True)
class Kind:
    """Columns of one kind: ``rows``, ``values`` (n, k)."""

    name: str
    rows: Ints
    values: Floats


def soft_of(instance: Instance, cells: Cells, reach: Reach, run_kw: Floats) -> Soft:
    """What idle breaks."""
    grid, cars, batteries = instance.grid, instance.cars, instance.batteries
    most_kw = grid.base_kw + run_kw.sum(axis=0)
    car = cells.car[cells.fed]
    outside = np.maximum(cars.floor_kwh - cars.soc_kwh, cars.soc_kwh - cars.capacity_kwh) > MARGIN
    return Soft(
        np.flatnonzero(reach.hard_a > grid.headroom_a + MARGIN),
        np.flatnonzero(grid.feed_in_a < -MARGIN),
        np.flatnonzero(np.maximum(most_kw, 0.0) > grid.import_limit_kw + MARGIN),
        np.flatnonzero(np.maximum(-grid.base_kw, 0.0) > grid.export_limit_kw + MARGIN),
        np.flatnonzero(
            np.maximum(batteries.floor_kwh - batteries.soc_kwh, batteries.soc_kwh - batteries.capacity_kwh) > MARGIN
        ),
        np.flatnonzero(outside[car]),
    )


def had_plan(instance: Instance, cells: Cells) -> Bools:
    """(cells,): whether moving away from the previous plan costs there."""
    cars = instance.cars
    if cars.churn_eur_per_kwh <= 0.0 or not cars.previous_a.shape[1]:
        return np.zeros(len(cells.car), dtype=bool)
    there = np.zeros(len(cells.car), dtype=bool)
    early = np.flatnonzero(cells.step < cars.previous_a.shape[1])
    there[early] = np.isfinite(cars.previous_a[cells.car[early], cells.step[early]])
    return there


def layout_of(instance: Instance, tree: Tree, cells: Cells, soft: Soft, kept: Ints) -> Layout:
    """The structure for this instance, with the circuits' rows ``kept`` in this order."""
    return _Builder(instance, tree, cells, soft, kept).layout()


class _Builder:
    """Lays out rows, then columns; lives for one call."""

    def __init__(self, instance: Instance, tree: Tree, cells: Cells, soft: Soft, kept: Ints) -> None:
        self.instance, self.tree, self.cells, self.soft, self.kept = instance, tree, cells, soft, kept
        self.steps = instance.grid.steps
        plan = had_plan(instance, cells)
        torn = plan[cells.fed]
        self.torn = np.flatnonzero(torn)
        plan[cells.fed] = False
        self.split = np.flatnonzero(plan)
        self.peaked = instance.grid.peak_eur_per_kw > 0.0
        runs = instance.runs
        starts = np.maximum(runs.latest - runs.earliest + 1, 0)
        self.run_of = np.repeat(np.arange(len(starts)), starts)
        begin = np.cumsum(starts) - starts
        self.run_start = np.arange(len(self.run_of)) - begin[self.run_of] + runs.earliest[self.run_of]
        self.rows = self._rows()
        self.per_circuit = instance.grid.rows
        self.row_of = np.full((instance.grid.headroom_a.shape[0] + 1) * self.per_circuit * self.steps, NO_ROW)
        self.row_of[kept] = np.arange(len(kept)) + self.rows["amps"].start

    def layout(self) -> Layout:
        kinds = [
            *self._cars(),
            *self._grid(),
            *self._batteries(),
            *self._solar(),
            *self._buffers(),
            *self._runs(),
            *self._slacks(),
        ]
        kinds = [kind for kind in kinds if len(kind.rows)]
        columns = _slices([(kind.name, len(kind.rows)) for kind in kinds])
        return Layout(
            self.cells, self.soft, self.split, self.torn, self.peaked, self.run_of, self.run_start, self.kept,
            columns, self.rows, _matrix(kinds),
        )  # fmt: skip

    def _rows(self) -> dict[str, slice]:
        instance, steps, soft = self.instance, self.steps, self.soft
        stores, buffers = len(instance.batteries.circuit), len(instance.buffers.circuit)
        return _slices(
            [
                ("energy", instance.cars.n),
                ("balance", steps),
                ("peak", steps if self.peaked else 0),
                ("pace", int(self.peaked and instance.grid.under_way)),
                ("battery", stores * steps),
                ("battery band", len(soft.batteries) * steps),
                ("car state", len(self.cells.fed)),
                ("car band", len(soft.cells)),
                ("churn", len(self.torn)),
                ("heat", buffers * steps),
                ("heat band", buffers * steps),
                ("run", len(instance.runs.circuit)),
                ("amps", len(self.kept)),
            ]
        )

    def _amps(self, circuit: Ints, step: Ints, per_unit: Floats) -> tuple[Ints, Floats]:
        """The circuits' rows of columns at ``circuit`` and ``step`` (n,), ``per_unit`` (n, 3) amperes each."""
        way = self.tree.chain[circuit] * (self.per_circuit * self.steps) + step[:, None]
        places = way[:, :, None] + (np.arange(self.per_circuit) * self.steps)[None, None, :]
        rows = self.row_of[places]
        values = np.broadcast_to(on_rows(per_unit, self.per_circuit)[:, None, :], rows.shape)
        flat = (len(step), rows.shape[1] * self.per_circuit)
        return rows.reshape(flat), values.reshape(flat)

    def _kw_columns(
        self, name: str, circuit: Ints, a_per_kw: Floats, sign: float, own: Sequence[tuple[Ints, Floats]]
    ) -> Kind:
        """Columns of power, asset by asset and step by step: balance, circuits and rows of their own."""
        count, steps = len(circuit), self.steps
        step, asset = np.tile(np.arange(steps), count), np.repeat(np.arange(count), steps)
        rows, values = self._amps(circuit[asset], step, sign * a_per_kw[asset])
        return _kind(name, [(self.rows["balance"].start + step, -sign), *own], rows, values)

    def _cars(self) -> list[Kind]:
        cars, cells, rows = self.instance.cars, self.cells, self.rows
        car, step, fed = cells.car, cells.step, cells.fed
        kw = cars.kw_per_a[car]
        kwh = kw * self.instance.grid.dt_h[step]
        store, gain = rows["energy"].start + car, kwh.copy()
        store[fed] = rows["car state"].start + np.arange(len(fed))
        eta = cars.efficiency[car[fed]]
        gain[fed] *= -eta
        amps, per_a = self._amps(cars.circuit[car], step, cars.wired[car].astype(np.float64))
        own = [(store, gain), (rows["balance"].start + step, -kw)]
        churn: Ints = np.full(len(fed), NO_ROW)
        churn[self.torn] = rows["churn"].start + np.arange(len(self.torn))
        if len(self.torn):
            moved = np.full(len(car), NO_ROW)
            moved[fed] = churn
            own.append((moved, np.ones(len(car))))
        charge = _kind("x", own, amps, per_a)
        back: list[tuple[Ints, Floats | float]] = [
            (store[fed], kwh[fed] / eta),
            (rows["balance"].start + step[fed], kw[fed]),
            (churn, -1.0),
        ]
        tiers = cars.short_kwh.shape[1]
        short = [(rows["energy"].start + np.repeat(np.arange(cars.n), tiers), 1.0)]
        moves = rows["churn"].start + np.arange(len(self.torn))
        return [
            charge,
            Kind("x above", charge.rows[self.split], charge.values[self.split]),
            _kind("y", back, amps[fed], -per_a[fed]),
            _kind("short", short),
            self._car_states(store[fed]),
            _kind("churn up", [(moves, -1.0)]),
            _kind("churn down", [(moves, 1.0)]),
        ]

    def _car_states(self, state: Ints) -> Kind:
        cells, rows = self.cells, self.rows
        car = cells.car[cells.fed]
        last = np.ones(len(car), dtype=bool)
        last[:-1] = car[1:] != car[:-1]
        after = np.where(last, rows["energy"].start + car, state + 1)
        band = np.full(len(car), NO_ROW)
        band[self.soft.cells] = rows["car band"].start + np.arange(len(self.soft.cells))
        return _kind("car state", [(state, 1.0), (after, np.where(last, 1.0, -1.0)), (band, 1.0)])

    def _grid(self) -> list[Kind]:
        grid, rows, step = self.instance.grid, self.rows, np.arange(self.steps)
        balance = rows["balance"].start + step
        per_kw = grid.dt_h / grid.full_h
        bought: list[tuple[Ints, Floats | float]] = [(balance, 1.0)]
        kinds = []
        if self.peaked:
            peak = rows["peak"].start + step
            pace = np.full(self.steps, NO_ROW)
            pace[: rows["pace"].stop - rows["pace"].start] = rows["pace"].start
            bought += [(peak, 1.0), (pace, 1.0)]
            below, share = np.append(peak, pace[0]), np.append(-1.0 / per_kw, -1.0)
            own = np.append(grid.period, 0) == np.arange(len(grid.floors_kw))[:, None]
            kinds.append(Kind("peak", np.where(own, below, NO_ROW), np.broadcast_to(share, own.shape)))
        beyond = _kind("import", bought)
        return [
            beyond,
            Kind("import beyond", beyond.rows[self.soft.imports], beyond.values[self.soft.imports]),
            _kind("export", [(balance, -1.0)]),
            _kind("export beyond", [(balance[self.soft.exports], -1.0)]),
            *kinds,
        ]

    def _batteries(self) -> list[Kind]:
        stores, steps, rows = self.instance.batteries, self.steps, self.rows
        count, dt = len(stores.circuit), np.tile(self.instance.grid.dt_h, len(stores.circuit))
        if not count:
            return []
        state = rows["battery"].start + np.arange(count * steps)
        after = np.where(np.arange(count * steps) % steps == steps - 1, NO_ROW, state + 1)
        band = np.full((count, steps), NO_ROW)
        band[self.soft.batteries] = rows["battery band"].start + np.arange(len(self.soft.batteries) * steps).reshape(
            -1, steps
        )
        gain = np.repeat(stores.charge_efficiency, steps) * dt
        loss = dt / np.repeat(stores.discharge_efficiency, steps)
        return [
            self._kw_columns("charge", stores.circuit, stores.a_per_kw, 1.0, [(state, -gain)]),
            self._kw_columns("discharge", stores.circuit, stores.a_per_kw, -1.0, [(state, loss)]),
            _kind("soc", [(state, 1.0), (after, -1.0), (band.reshape(-1), 1.0)]),
        ]

    def _solar(self) -> list[Kind]:
        solar = self.instance.solar
        return [self._kw_columns("curtailed", solar.circuit, solar.a_per_kw, 1.0, [])] if len(solar.circuit) else []

    def _buffers(self) -> list[Kind]:
        buffers, grid, steps, rows = self.instance.buffers, self.instance.grid, self.steps, self.rows
        count = len(buffers.circuit)
        if not count:
            return []
        place = np.arange(count * steps)
        heat, band = rows["heat"].start + place, rows["heat band"].start + place
        after = np.where(place % steps == steps - 1, NO_ROW, heat + 1)
        made = (per_step(buffers.cop, steps) * grid.dt_h).reshape(-1)
        keep = (buffers.keep[:, None] ** (grid.dt_h / grid.full_h)).reshape(-1)
        kept = -np.append(keep[1:], 1.0)
        return [
            self._kw_columns("buffer", buffers.circuit, buffers.a_per_kw, 1.0, [(heat, -made)]),
            _kind("heat", [(heat, 1.0), (after, kept), (band, 1.0)]),
            _kind("too cold", [(band, 1.0)]),
            _kind("too hot", [(band, -1.0)]),
        ]

    def _runs(self) -> list[Kind]:
        runs = self.instance.runs
        if not len(self.run_of):
            return []
        profile = runs.profile_kw[self.run_of]
        n, length = profile.shape
        step = (self.run_start[:, None] + np.arange(length)).reshape(-1)
        rows, values = self._amps(
            np.repeat(runs.circuit[self.run_of], length),
            step,
            np.repeat(runs.a_per_kw[self.run_of], length, axis=0) * profile.reshape(-1, 1),
        )
        balance = (self.rows["balance"].start + step).reshape(n, length)
        return [
            Kind(
                "run",
                np.concatenate([self.rows["run"].start + self.run_of[:, None], balance, rows.reshape(n, -1)], axis=1),
                np.concatenate([np.ones((n, 1)), -profile, values.reshape(n, -1)], axis=1),
            )
        ]

    def _slacks(self) -> list[Kind]:
        soft, rows, steps = self.soft, self.rows, self.steps
        battery = rows["battery band"].start + np.arange(len(soft.batteries) * steps)
        car = rows["car band"].start + np.arange(len(soft.cells))
        return [
            _kind("amps beyond", [(self.row_of[soft.up], -1.0)]),
            _kind("feed-in beyond", [(self.row_of[soft.down], 1.0)]),
            _kind("battery below", [(battery, 1.0)]),
            _kind("battery above", [(battery, -1.0)]),
            _kind("car below", [(car, 1.0)]),
            _kind("car above", [(car, -1.0)]),
        ]


def _kind(
    name: str, own: Sequence[tuple[Ints, Floats | float]], rows: Ints | None = None, values: Floats | None = None
) -> Kind:
    """A kind from its single rows and, if any, its circuits' rows."""
    where = np.stack([place for place, _ in own], axis=1)
    what = np.empty(where.shape)
    for k, (_, factor) in enumerate(own):
        what[:, k] = factor
    if rows is None or values is None:
        return Kind(name, where, what)
    return Kind(name, np.concatenate([where, rows], axis=1), np.concatenate([what, values], axis=1))


def _matrix(kinds: list[Kind]) -> tuple[Index, Index, Floats]:
    """The kinds' columns one after the other, compressed."""
    index, value, count = [], [], []
    for kind in kinds:
        there = (kind.rows >= 0) & (kind.values != 0.0)
        index.append(kind.rows[there])
        value.append(kind.values[there])
        count.append(there.sum(axis=1))
    start = np.concatenate([[0], np.cumsum(np.concatenate(count))])
    return start.astype(np.int32), np.concatenate(index).astype(np.int32), np.concatenate(value)


def _slices(sizes: list[tuple[str, int]]) -> dict[str, slice]:
    """Consecutive slices of these sizes."""
    ends = np.cumsum([size for _, size in sizes]).tolist()
    return {name: slice(end - size, end) for (name, size), end in zip(sizes, ends, strict=True)}


def _end(slices: dict[str, slice]) -> int:
    return next(reversed(slices.values())).stop if slices else 0
