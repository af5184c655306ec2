"""What really happens around the cars of a world: building, sun and prices by quarter-hour, known to nobody in a run.

It is what perfect foresight plans with, and, for the days before a run, what a site has measured of its own past.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Final

import numpy as np

from interfaces.domain.units import MILLI, SECONDS_PER_DAY, SECONDS_PER_QUARTER, Floats
from interfaces.errors import UserError
from optimizer.service.memory import FinishedSession, Quarters
from simulations.data_files import DataFiles, clock_of
from simulations.generators import load_rated, sun_rated
from simulations.plant.building import Building
from simulations.plant.grid import Grid
from simulations.plant.pv import Inverters, Sun
from simulations.scenario import LoadEntry, Scenario, SessionFile, SunFile
from simulations.world import SiteFacts, World, world_of

HISTORY_STEP_S: Final[float] = 60.0
"""A past that is only looked at in quarter-hours needs no finer steps."""
HISTORY_SEED: Final[int] = 7_777
"""The past of a generated world is not its future once more."""


@dataclass(frozen=True, slots=True)
class Truth:
    """Means by quarter-hour from ``start_epoch_s``: ``building_kw`` (K, C) behind each circuit, sub-circuits included,
    ``pv_kw`` (K, P) what the plants can give.
    """

    start_epoch_s: int
    building_kw: Floats
    pv_kw: Floats


def truth_of(world: World, step_s: float) -> Truth:
    """The truth of a run whose steps are ``step_s``; with the world's own step it is exactly that of every run."""
    topology, around = world.topology, world.environment
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence(world.seed).spawn(5)]
    building, sun = Building(topology, around.loads, streams[2]), Sun(around.sky, streams[3])
    inverters, grid = Inverters(topology), Grid(topology)
    volts = topology.nominal_mv / MILLI
    plant_kw = inverters.nameplate_a * topology.wired[inverters.columns].sum(axis=1) * volts / MILLI
    first = int(around.start_epoch_s // SECONDS_PER_QUARTER)
    count = int(np.ceil((around.start_epoch_s + world.length_s) / SECONDS_PER_QUARTER)) - first
    load, shine, seconds = np.zeros((count, topology.c)), np.zeros(count), np.zeros(count)
    nothing = np.zeros((topology.n, 3))
    for step in range(1, round(world.length_s / step_s) + 1):
        now_s = step * step_s
        day_s = around.start_day_s + now_s
        _, rows = grid.rows(nothing, building.amps(step_s, now_s, day_s))
        k = int((around.start_epoch_s + now_s - step_s) // SECONDS_PER_QUARTER) - first
        load[k] += rows.sum(axis=1) * volts / MILLI * step_s
        if len(inverters.columns):
            shine[k] += sun.share(step_s, now_s, day_s) * step_s
        seconds[k] += step_s
    seconds = np.maximum(seconds, 1e-9)
    return Truth(
        start_epoch_s=first * SECONDS_PER_QUARTER,
        building_kw=load / seconds[:, None],
        pv_kw=(shine / seconds)[:, None] * plant_kw[None, :],
    )


@dataclass(frozen=True, slots=True)
class Past:
    """What a site remembers of the days before a run."""

    quarters: Quarters
    sessions: tuple[FinishedSession, ...]


def past_of(scenario: Scenario, site: SiteFacts, folder: Path | None, days: int) -> Past | None:
    """The past of a scenario; None for none.

    Raises:
        UserError: the files do not reach back that far.
    """
    if days <= 0:
        return None
    begin_epoch_s = clock_of(scenario.start, site.time_zone, 0.0).start_epoch_s
    before = _earlier(_scaled(scenario, site, folder), days)
    # Not a whole number of days where the clocks change in between.
    begun_epoch_s = clock_of(before.start, site.time_zone, 0.0).start_epoch_s
    before = replace(before, days=(begin_epoch_s - begun_epoch_s) / SECONDS_PER_DAY)
    try:
        world, _ = world_of(before, site, folder)
    except UserError as error:
        raise UserError(f"the {days} days before the run: {error}; lower economy.history_days") from error
    truth = truth_of(world, HISTORY_STEP_S)
    # The quarter in which the run begins is the run's.
    count = int(begin_epoch_s - truth.start_epoch_s) // SECONDS_PER_QUARTER
    starts = truth.start_epoch_s + SECONDS_PER_QUARTER * np.arange(count, dtype=np.int64)
    quarters = Quarters(
        start_epoch_s=starts,
        building_kw=truth.building_kw[:count],
        pv_kw=truth.pv_kw[:count],
        held_back=np.zeros((count, truth.pv_kw.shape[1]), dtype=np.bool_),
        import_kw=np.full(count, np.nan),  # no peak of the month is inherited
    )
    begin = world.environment.start_epoch_s
    sessions = tuple(
        FinishedSession(
            v.arrival.asset,
            v.arrival.tag,
            begin + v.arrival.start_s,
            begin + v.arrival.end_s,
            v.arrival.energy_wh / MILLI,
        )
        for v in world.visits
        if v.arrival.end_s <= world.length_s
    )
    return Past(quarters, sessions)


def _scaled(scenario: Scenario, site: SiteFacts, folder: Path | None) -> Scenario:
    """The same scenario with the scale of its files said: the highest value of a run is another one earlier."""
    clock, data = clock_of(scenario.start, site.time_zone, scenario.days * SECONDS_PER_DAY), scenario.data
    files = DataFiles(folder, clock)

    def load(entry: LoadEntry) -> LoadEntry:
        one = entry.series
        return entry if one is None else replace(entry, series=replace(one, rated=load_rated(one, files, clock)))

    sun = data.sun if not isinstance(data.sun, SunFile) else replace(data.sun, rated=sun_rated(data.sun, files))
    return replace(scenario, data=replace(data, sun=sun, loads=tuple(load(entry) for entry in data.loads)))


def _earlier(scenario: Scenario, days: int) -> Scenario:
    """The same scenario so many days before; files are read that much earlier, generators draw anew."""
    back = timedelta(days=days)

    def load(entry: LoadEntry) -> LoadEntry:
        series = entry.series
        return entry if series is None else replace(entry, series=replace(series, first_day=series.first_day - back))

    data = scenario.data
    sessions, sun = data.sessions, data.sun
    return replace(
        scenario,
        start=scenario.start - back,
        days=float(days),
        seed=scenario.seed + HISTORY_SEED,
        faults=(),
        data=replace(
            data,
            sessions=(
                replace(sessions, first_day=sessions.first_day - back * sessions.overlay)
                if isinstance(sessions, SessionFile)
                else sessions
            ),
            sun=replace(sun, first_day=sun.first_day - back) if isinstance(sun, SunFile) else sun,
            loads=tuple(load(entry) for entry in data.loads),
            prices=None,
        ),
    )
