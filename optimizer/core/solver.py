"""The production solver: HiGHS' dual simplex on the program of `lp`, kept alive between the solves of one slot.

Nothing here raises for what an instance says: a solve that fails or runs out of time is a status, and a heuristic plan
takes its place.
"""

from __future__ import annotations

from typing import Any, Final

import highspy
import numpy as np

from optimizer.core.instance import Instance, Solution
from optimizer.core.lp import Program, program_of, renewed
from optimizer.core.solution import solution_of, values_of

OPTIONS: Final[dict[str, Any]] = {
    "output_flag": False,
    "threads": 1,
    "presolve": "off",
    "solver": "simplex",
    "simplex_strategy": 1,
}
"""One thread: HiGHS' scheduler is made once per process. Presolve takes longer than it saves once rows are pruned."""
NO_DEADLINE_S: Final = 1e9


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
        self._pass()

    @classmethod
    def build(cls, instance: Instance) -> LiveModel:
        """The program of ``instance``, ready to solve."""
        return cls(instance)

    def update(self, instance: Instance) -> None:
        """Take the numbers of ``instance``; a new program where its structure differs (``rebuilt`` says how)."""
        made = renewed(self.program, instance)
        if isinstance(made, str):
            self.rebuilt, self.program = made, program_of(instance)
            self._pass()
            return
        self.rebuilt, before, self.program = "", self.program, made
        self._change(before)

    def solve(self, deadline_s: float = NO_DEADLINE_S) -> Solution:
        """The plan within ``deadline_s`` seconds."""
        self._run(deadline_s)
        info = self._highs.getInfo()
        bound = info.objective_function_value
        raw = self._highs.getSolution()
        values = values_of(self.program, np.array(raw.row_dual))
        return solution_of(self.program, np.array(raw.col_value), values, bound, bound, "optimal")

    def _run(self, deadline_s: float) -> bool:
        """Whether the program was solved to its optimum. HiGHS' time limit counts all runs of an object together."""
        self._highs.setOptionValue("time_limit", self._highs.getRunTime() + deadline_s)
        self._highs.run()
        return bool(self._highs.getModelStatus() == highspy.HighsModelStatus.kOptimal)

    def _pass(self) -> None:
        """Hand over the whole program."""
        layout, vectors = self.program.layout, self.program.vectors
        rows, columns = layout.shape
        start, index, value = layout.matrix
        self._highs.passModel(
            columns, rows, len(index), int(highspy.MatrixFormat.kColwise), int(highspy.ObjSense.kMinimize),
            vectors.offset, vectors.cost, vectors.lower, vectors.upper, vectors.row_lower, vectors.row_upper,
            start, index, value, np.zeros(columns, dtype=np.int32),
        )  # fmt: skip

    def _change(self, before: Program) -> None:
        """Hand over the numbers only, and what factors of the matrix have changed."""
        layout, vectors = self.program.layout, self.program.vectors
        rows, columns = layout.shape
        every, each = np.arange(columns, dtype=np.int32), np.arange(rows, dtype=np.int32)
        self._highs.changeColsCost(columns, every, vectors.cost)
        self._highs.changeColsBounds(columns, every, vectors.lower, vectors.upper)
        self._highs.changeRowsBounds(rows, each, vectors.row_lower, vectors.row_upper)
        self._highs.changeObjectiveOffset(vectors.offset)
        start, index, value = layout.matrix
        if value is before.layout.matrix[2]:
            return
        changed = np.flatnonzero(value != before.layout.matrix[2])
        column = np.searchsorted(start, changed, side="right") - 1
        for row, col, factor in zip(index[changed].tolist(), column.tolist(), value[changed].tolist(), strict=True):
            self._highs.changeCoeff(row, col, factor)


def solve(instance: Instance, deadline_s: float = NO_DEADLINE_S) -> Solution:
    """Build, solve and round in one call."""
    return LiveModel.build(instance).solve(deadline_s)
