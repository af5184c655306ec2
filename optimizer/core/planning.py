"""From a problem to a plan: check, compile, solve, verify, round to devices, look once more, tell.

There is always a plan for a problem that is not refused: what the solver cannot finish in time the heuristic does, and
the status says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from interfaces.domain.plan import MOST_MW, MOST_PPM, PPM, Plan
from interfaces.domain.units import MW_PER_KW, Floats, Ints, frozen_floats, frozen_ints
from optimizer.core.check import refusals
from optimizer.core.compile import Compiled, compile_problem
from optimizer.core.heuristic import heuristic
from optimizer.core.instance import Instance, Solution
from optimizer.core.planning_check import kept
from optimizer.core.planning_events import Shortfall, shortfalls
from optimizer.core.planning_rows import Column, columns_of, planned_import_kw, ppm
from optimizer.core.problem import Problem
from optimizer.core.problem_types import STEP_S
from optimizer.core.solver import LiveModel
from optimizer.core.targets import Need
from optimizer.core.verify import verify

DEADLINE_S: Final[float] = 20.0
"""For one solve. Sites of 300 cars take a fifth of a second; whoever takes this long is stuck."""


@dataclass(slots=True)
class Live:
    """The solver's model of one site, kept by the caller between its plans. None before the first one."""

    model: LiveModel | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """No plan can be made: one sentence for each reason."""

    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan and everything that belongs to it. T steps, A assets.

    ``setpoint_ma`` (T, A) mA per conductor, signed; ``value_ppm`` (T, A); ``planned_import_mw`` (T,) net, negative
    where the site feeds in; ``grid_ppm`` (T, 3), ``calm_import_mw`` (T,) as a plan has them. ``believed_load_kw``,
    ``believed_pv_kw``, prices (T,): the forecast it trusted. ``status``: optimal, incumbent or heuristic.
    ``objective_eur``, ``bound_eur``: of the solution before whole device steps. ``events``: who will not be ready.
    ``notes``: what was assumed, filled, clamped.
    """

    status: str
    objective_eur: float
    bound_eur: float
    start_epoch_s: float
    step_s: int
    assets: tuple[str, ...]
    setpoint_ma: Ints
    value_ppm: Ints
    planned_import_mw: Ints
    grid_ppm: Ints
    calm_import_mw: Ints
    believed_load_kw: Floats
    believed_pv_kw: Floats
    import_eur_per_kwh: Floats
    export_eur_per_kwh: Floats
    needs: tuple[Need, ...]
    events: tuple[Shortfall, ...]
    notes: tuple[str, ...]
    solution: Solution
    compiled: Compiled


def plan_problem(problem: Problem, live: Live | None = None, deadline_s: float = DEADLINE_S) -> Planned | Refused:
    """The plan of a problem, or why there can be none.

    Args:
        problem: as the caller sees the site now.
        live: the model of the last plan; in the same quarter only its numbers change, which is several times faster.
        deadline_s: for the solver alone.
    """
    reasons = refusals(problem)
    if reasons:
        return Refused(reasons)
    compiled = compile_problem(problem)
    solution, solver_notes = solved(compiled.instance, live if live is not None else Live(), deadline_s)
    columns, kept_notes = kept(problem, compiled, columns_of(problem, compiled, solution))
    notes = (*compiled.notes, *solver_notes, *kept_notes)
    return _planned(problem, compiled, solution, columns, notes)


def solved(instance: Instance, live: Live, deadline_s: float) -> tuple[Solution, tuple[str, ...]]:
    """A solution that keeps every row of its instance by plain sums; the heuristic's where the solver's does not."""
    if live.model is None:
        live.model = LiveModel.build(instance)
    else:
        live.model.update(instance)
    solution = live.model.solve(deadline_s)
    wrong = verify(instance, solution)
    if not wrong:
        return solution, ()
    live.model = None
    found = wrong[0]
    why = f"{found.what} {found.where} by {found.by:.3g}"
    note = f"the solver's plan ({solution.status}) was not sound ({why}): a simple one takes its place"
    return heuristic(instance), (note,)


def _planned(
    problem: Problem, compiled: Compiled, solution: Solution, columns: list[Column], notes: tuple[str, ...]
) -> Planned:
    steps, grid = compiled.steps.count, compiled.instance.grid
    setpoints = [column.setpoint_ma for column in columns]
    stacked = np.stack(setpoints, axis=1) if setpoints else np.zeros((steps, 0), dtype=np.int64)
    import_mw = np.clip(np.rint(planned_import_kw(problem, compiled, solution, columns) * MW_PER_KW), -MOST_MW, MOST_MW)
    pv_kw = compiled.background.pv_kw.sum(axis=0)
    return Planned(
        status=solution.status,
        objective_eur=solution.objective_eur,
        bound_eur=solution.bound_eur,
        start_epoch_s=float(compiled.steps.quarter_epoch_s[0]),
        step_s=STEP_S,
        assets=tuple(column.asset for column in columns),
        setpoint_ma=frozen_ints(stacked),
        value_ppm=ppm(columns, steps),
        planned_import_mw=frozen_ints(import_mw),
        grid_ppm=_grid_ppm(compiled),
        calm_import_mw=_calm_import_mw(compiled, solution),
        believed_load_kw=frozen_floats(compiled.background.net_kw + pv_kw),
        believed_pv_kw=frozen_floats(pv_kw),
        import_eur_per_kwh=frozen_floats(grid.import_eur_per_kwh),
        export_eur_per_kwh=frozen_floats(grid.export_eur_per_kwh),
        needs=compiled.needs,
        events=shortfalls(problem, compiled, solution),
        notes=notes,
        solution=solution,
        compiled=compiled,
    )


def _grid_ppm(compiled: Compiled) -> Ints:
    """(T, 3) export, import, and what comes on top beyond the calm import: a kWh in one quarter is 4 kW of peak."""
    grid = compiled.instance.grid
    beyond = np.full(grid.steps, grid.peak_eur_per_kw / grid.full_h)
    beyond = np.where(np.isfinite(grid.import_limit_kw) & (grid.peak_eur_per_kw <= 0.0), grid.slack_eur_per_kwh, beyond)
    prices = np.stack([grid.export_eur_per_kwh, grid.import_eur_per_kwh, beyond], axis=1)
    return frozen_ints(np.clip(np.rint(prices * PPM), -MOST_PPM, MOST_PPM))


def _calm_import_mw(compiled: Compiled, solution: Solution) -> Ints:
    """(T,) the planned peak or the import limit, whichever is lower."""
    grid = compiled.instance.grid
    most_kw = np.where(np.isfinite(grid.import_limit_kw), grid.import_limit_kw, MOST_MW / MW_PER_KW)
    if grid.peak_eur_per_kw > 0.0:
        most_kw = np.minimum(most_kw, solution.peak_kw[grid.period])
    return frozen_ints(np.clip(np.rint(most_kw * MW_PER_KW), 0, MOST_MW))


def plan_of(planned: Planned, problem: Problem, *, plan_id: str, sequence: int, key_id: str, lease_s: float) -> Plan:
    """The plan as it travels; it is issued at the problem's own now."""
    return Plan(
        plan_id=plan_id,
        site=problem.site.id,
        topology_version=problem.site.topology_version,
        sequence=sequence,
        key_id=key_id,
        issued_epoch_s=problem.now_epoch_s,
        start_epoch_s=planned.start_epoch_s,
        step_s=planned.step_s,
        valid_until_epoch_s=planned.start_epoch_s + planned.step_s * len(planned.setpoint_ma),
        lease_until_epoch_s=problem.now_epoch_s + lease_s,
        assets=planned.assets,
        setpoint_ma=planned.setpoint_ma,
        value_ppm=planned.value_ppm,
        planned_import_mw=planned.planned_import_mw,
        grid_ppm=planned.grid_ppm,
        calm_import_mw=planned.calm_import_mw,
    )
