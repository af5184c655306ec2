"""The production solver: HiGHS' simplex methods on the program of `lp`, kept alive between the solves of one slot.

Nothing here raises for what an instance says: a solve that fails or runs out of time is a status, and a heuristic plan
takes its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import highspy
import numpy as np

from optimizer.core.heuristic import NO_BOUND_EUR, completed, heuristic
from optimizer.core.instance import Floats, Instance, Ints, Solution
from optimizer.core.lp import Program, program_of, renewed, same_numbers
from optimizer.core.lp_layout import Index
from optimizer.core.rounding import NOTHING, Fixed, directions, first_fixing, joined, second_chance
from optimizer.core.rounding_pauses import held, paused_eur, paused_groups
from optimizer.core.solution import Values, solution_of, values_of
from optimizer.core.verify import verify

OPTIONS: Final[dict[str, Any]] = {
    "output_flag": False,
    "threads": 1,
    "presolve": "off",
    "solver": "simplex",
}
"""One thread: HiGHS' scheduler is made once per process. Presolve takes longer than it saves once rows are pruned."""
DUAL: Final = 1
"""The dual simplex method: from nothing, and where bounds have changed."""
PRIMAL: Final = 4
"""The primal simplex method: where costs have changed and the basis is feasible still."""
NO_DEADLINE_S: Final = 1e9
CHANCES: Final = 3
"""Times that cars which rounding made short are offered another step."""
WORTH_EUR: Final = 1e-6
MOST_TURNS: Final = 5
"""Fixing one direction moves others; before the last turn every direction is fixed and nothing can go both ways."""


@dataclass(frozen=True, slots=True)
class Relaxed:
    """An optimum of the relaxation: columns ``x``, its cost and values; ``until_s``: HiGHS' clock at the deadline."""

    x: Floats
    values: Values
    bound_eur: float
    until_s: float


class LiveModel:
    """One site's program in a HiGHS object that stays: solving again starts from the last basis.

    ``rebuilt``: why the last update needed a new program, "" where it did not.
    """

    def __init__(self, instance: Instance) -> None:
        self.program = program_of(instance)
        self.rebuilt = ""
        self._highs: Any = highspy.Highs()  # type: ignore[no-untyped-call]
        for name, value in OPTIONS.items():
            self._highs.setOptionValue(name, value)
        self._fixed: Ints = np.zeros(0, dtype=np.int64)
        self._costs_due = False
        self._last: Solution | None = None
        self._planned: Instance | None = None
        self._stands = False
        self._pass()

    @classmethod
    def build(cls, instance: Instance) -> LiveModel:
        """The program of ``instance``, ready to solve."""
        return cls(instance)

    def update(self, instance: Instance) -> None:
        """Take the numbers of ``instance``; a new program where its structure differs (``rebuilt`` says how)."""
        self._bound(NOTHING)
        made = renewed(self.program, instance)
        if isinstance(made, str):
            self.rebuilt, self.program, self._last = made, program_of(instance), None
            self._planned, self._stands = None, False
            self._pass()
            return
        self._stands = self._planned is not None and same_numbers(self._planned, instance)
        self.rebuilt, before, self.program = "", self.program, made
        self._change(before)

    def solve(self, deadline_s: float = NO_DEADLINE_S) -> Solution:
        """The plan within ``deadline_s`` seconds: the optimum, rounded; else the plan before it, where that still keeps
        every row (``incumbent``), or the heuristic one. Nothing new since the last plan: that very plan.
        """
        if self._stands and self._last is not None:
            return self._last
        relaxed = self.relax(deadline_s)
        return self._otherwise(NO_BOUND_EUR) if relaxed is None else self.plan(relaxed)

    def relax(self, deadline_s: float = NO_DEADLINE_S) -> Relaxed | None:
        """The optimum of the relaxation; None where HiGHS has none within ``deadline_s``."""
        self._bound(NOTHING)
        until_s = self._highs.getRunTime() + deadline_s
        if not self._run(until_s):
            return None
        if self._costs_due:
            self._costs_due = False
            self._change_costs()
            if not self._run(until_s, PRIMAL):
                return None
        x, dual = self._columns()
        return Relaxed(x, values_of(self.program, dual), self._objective_eur(), until_s)

    def plan(self, relaxed: Relaxed) -> Solution:
        """The relaxation, rounded to what devices can follow."""
        rounded = self._round(relaxed)
        if rounded is None:
            return self._otherwise(relaxed.bound_eur)
        x, objective_eur = rounded
        objective_eur = max(objective_eur, relaxed.bound_eur)
        self._last = solution_of(self.program, x, relaxed.values, objective_eur, relaxed.bound_eur, "optimal")
        self._planned = self.program.instance
        return self._last

    def _round(self, relaxed: Relaxed) -> tuple[Floats, float] | None:
        """The columns of a plan that devices can follow and its cost, None where HiGHS ran out of time over it."""
        best = self._fixed_at(relaxed.x, relaxed.until_s)
        if best is not None:
            return self._held(relaxed, self._improved(relaxed, best))
        done = not first_fixing(self.program, relaxed.x).columns.size
        return self._held(relaxed, (relaxed.x, relaxed.bound_eur)) if done else None

    def _held(self, relaxed: Relaxed, best: tuple[Floats, float]) -> tuple[Floats, float]:
        """The same plan, or one in which cars that charge go on at their minimum, where that is worth what it costs."""
        for group in paused_groups(self.program, best[0]):
            going_on = self._fixed_at(held(self.program, best[0], group), relaxed.until_s)
            if going_on is not None and self._with_pauses(going_on) < self._with_pauses(best) - WORTH_EUR:
                best = going_on
        return best

    def _fixed_at(self, columns: Floats, until_s: float) -> tuple[Floats, float] | None:
        """The plan nearest to these columns; None where there is none, or nothing to fix."""
        for strict in (False, True):
            fixed = first_fixing(self.program, columns, strict=strict)
            if not fixed.columns.size:
                break
            found = self._rounded(fixed, until_s)
            if found is not None:
                return found
        return None

    def _with_pauses(self, plan: tuple[Floats, float]) -> float:
        """What these columns cost in EUR, and what their pauses may."""
        return plan[1] + paused_eur(self.program, plan[0])

    def _improved(self, relaxed: Relaxed, best: tuple[Floats, float]) -> tuple[Floats, float]:
        """The same or a better plan: cars that rounding made short are offered another step."""
        for _ in range(CHANCES):
            again = second_chance(self.program, relaxed.x, best[0])
            if again is None:
                break
            better = self._rounded(first_fixing(self.program, again), relaxed.until_s)
            if better is None or better[1] >= best[1] - WORTH_EUR:
                break
            best = better
        return best

    def _rounded(self, fixed: Fixed, until_s: float) -> tuple[Floats, float] | None:
        """Columns and cost with these fixed, nothing going both ways at once; None where HiGHS has no optimum."""
        for turn in range(MOST_TURNS):
            if not self._solved_with(fixed, until_s):
                return None
            x = self._columns()[0]
            more = directions(self.program, x)
            if not more.columns.size:
                return x, self._objective_eur()
            fixed = joined(fixed, directions(self.program, x, all_steps=True) if turn == MOST_TURNS - 2 else more)
        return None

    def _solved_with(self, fixed: Fixed, until_s: float) -> bool:
        self._bound(fixed)
        return self._run(until_s)

    def _bound(self, fixed: Fixed) -> None:
        """Bounds as the program says, but those of ``fixed``."""
        if not (self._fixed.size or fixed.columns.size):
            return
        back = np.setdiff1d(self._fixed, fixed.columns, assume_unique=True)
        vectors = self.program.vectors
        columns = np.concatenate([back, fixed.columns]).astype(np.int32)
        lower = np.concatenate([vectors.lower[back], fixed.lower])
        upper = np.concatenate([vectors.upper[back], fixed.upper])
        self._highs.changeColsBounds(len(columns), columns, lower, upper)
        self._fixed = fixed.columns

    def _run(self, until_s: float, strategy: int = DUAL) -> bool:
        """Whether the program was solved to its optimum. HiGHS' time limit counts all runs of an object together.

        A basis that HiGHS stumbles over is dropped once: from nothing it takes longer and is safer.
        """
        for _ in range(2):
            self._highs.setOptionValue("time_limit", max(until_s, 0.0))
            self._highs.setOptionValue("simplex_strategy", strategy)
            self._highs.run()
            status = self._highs.getModelStatus()
            if status == highspy.HighsModelStatus.kOptimal:
                return True
            if status in {highspy.HighsModelStatus.kTimeLimit, highspy.HighsModelStatus.kInfeasible}:
                return False
            self._highs.clearSolver()
        return False

    def _otherwise(self, bound_eur: float) -> Solution:
        """The last plan, if it still keeps every row, else one without a solver."""
        instance, last = self.program.instance, self._last
        if last is not None:
            kept = completed(
                instance, last.car_a, last.car_discharge_a, last.charge_kw, last.discharge_kw, last.curtailed_kw,
                last.buffer_kw, last.run_kw, bound_eur, "incumbent",
            )  # fmt: skip
            if not verify(instance, kept):
                return kept
        return heuristic(instance, bound_eur)

    def _objective_eur(self) -> float:
        return float(self._highs.getInfo().objective_function_value)

    def _columns(self) -> tuple[Floats, Floats]:
        """Values of the columns and duals of the rows."""
        raw = self._highs.getSolution()
        return np.array(raw.col_value), np.array(raw.row_dual)

    def _pass(self) -> None:
        """Hand over the whole program."""
        self._costs_due = False
        layout, vectors = self.program.layout, self.program.vectors
        rows, columns = layout.shape
        start, index, value = layout.matrix
        self._highs.passModel(
            columns, rows, len(index), int(highspy.MatrixFormat.kColwise), int(highspy.ObjSense.kMinimize),
            vectors.offset, vectors.cost, vectors.lower, vectors.upper, vectors.row_lower, vectors.row_upper,
            start, index, value, np.zeros(columns, dtype=np.int32),
        )  # fmt: skip

    def _change(self, before: Program) -> None:
        """Hand over bounds, rows that can bind now, and what factors of the matrix have changed.

        Costs wait until these have been solved for: a basis that is neither feasible nor optimal takes HiGHS half as
        long as none, while each change alone leaves one of the two methods little to do.
        """
        layout, vectors, old = self.program.layout, self.program.vectors, before.layout
        rows, was = old.shape[0], before.vectors
        moved = _places((was.lower, vectors.lower), (was.upper, vectors.upper))
        self._highs.changeColsBounds(len(moved), moved, vectors.lower[moved], vectors.upper[moved])
        low, high = vectors.row_lower[:rows], vectors.row_upper[:rows]
        moved = _places((was.row_lower, low), (was.row_upper, high))
        self._highs.changeRowsBounds(len(moved), moved, low[moved], high[moved])
        self._costs_due |= not np.array_equal(vectors.cost, before.vectors.cost)
        self._highs.changeObjectiveOffset(vectors.offset)
        if layout.matrix is old.matrix:
            return
        start, index, value = layout.matrix
        place = np.flatnonzero(index < rows)
        changed = place[value[place] != old.matrix[2]]
        column = np.searchsorted(start, changed, side="right") - 1
        for row, col, factor in zip(index[changed].tolist(), column.tolist(), value[changed].tolist(), strict=True):
            self._highs.changeCoeff(row, col, factor)
        if more := layout.shape[0] - rows:
            begin, which, factors = layout.rows_from(rows)
            low, high = vectors.row_lower[rows:], vectors.row_upper[rows:]
            self._highs.addRows(more, low, high, len(which), begin, which, factors)

    def _change_costs(self) -> None:
        cost = self.program.vectors.cost
        self._highs.changeColsCost(len(cost), np.arange(len(cost), dtype=np.int32), cost)


def _places(*pairs: tuple[Floats, Floats]) -> Index:
    """Where any of the pairs differ."""
    differ = pairs[0][0] != pairs[0][1]
    for before, now in pairs[1:]:
        differ |= before != now
    return np.flatnonzero(differ).astype(np.int32)


def solve(instance: Instance, deadline_s: float = NO_DEADLINE_S) -> Solution:
    """Build, solve and round in one call."""
    return LiveModel.build(instance).solve(deadline_s)
