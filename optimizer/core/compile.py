"""From a checked problem to the numbers that the solver gets, and the way back to ids."""

from __future__ import annotations

from dataclasses import dataclass

from optimizer.core.compile_assets import batteries_of, buffers_of, runs_of, solar_of
from optimizer.core.compile_background import Background, background_of
from optimizer.core.compile_cars import Fleet, fleet_of
from optimizer.core.compile_grid import grid_of, prices_of
from optimizer.core.compile_limits import Limits, limits_of
from optimizer.core.compile_steps import Steps, steps_of
from optimizer.core.compile_tree import parents_first
from optimizer.core.instance import Instance
from optimizer.core.problem import Problem
from optimizer.core.problem_state import Run
from optimizer.core.targets import Need, needs_of


@dataclass(frozen=True, slots=True)
class Compiled:
    """An instance and whose columns they are.

    ``circuits``: ids in the instance's order. ``fleet``: the sessions among its cars; ``needs``: those of all sessions.
    ``solar``: ids of the plants that may be held back; batteries and buffers are in the order of the site. ``notes``:
    one sentence for everything that was assumed, filled or clamped.
    """

    instance: Instance
    steps: Steps
    circuits: tuple[str, ...]
    fleet: Fleet
    needs: tuple[Need, ...]
    solar: tuple[str, ...]
    runs: tuple[Run, ...]
    limits: Limits
    background: Background
    notes: tuple[str, ...]


def compile_problem(problem: Problem) -> Compiled:
    """The instance of a problem that ``check`` let through."""
    steps = steps_of(problem.now_epoch_s, problem.settings.horizon_steps, problem.site.time_zone)
    order = parents_first(problem)
    circuits = tuple(problem.site.circuits[k].id for k in order)
    place = {name: k for k, name in enumerate(circuits)}
    prices = prices_of(problem, steps)
    limits = limits_of(problem, steps)
    background = background_of(problem, steps, limits)
    needs = needs_of(problem)
    fleet = fleet_of(problem, needs, place, steps, prices)
    grid, grid_notes = grid_of(problem, steps, prices, limits, background, fleet.slack_eur_per_kwh)
    batteries, battery_notes = batteries_of(problem, place, prices, steps)
    buffers, buffer_notes = buffers_of(problem, place, prices, steps)
    solar, plants = solar_of(problem, place, background)
    runs, kept, run_notes = runs_of(problem, place, steps)
    told = (note for need in needs for note in need.notes)
    notes = (*prices.notes, *background.notes, *grid_notes, *told, *fleet.notes, *battery_notes, *buffer_notes)
    return Compiled(
        instance=Instance(grid, fleet.cars, batteries, solar, buffers, runs),
        steps=steps,
        circuits=circuits,
        fleet=fleet,
        needs=needs,
        solar=plants,
        runs=kept,
        limits=limits,
        background=background,
        notes=tuple(dict.fromkeys((*notes, *run_notes))),
    )
