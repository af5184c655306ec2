"""Cars that charge go on at their minimum where that costs less than what a pause may: some never wake up again.

The relaxation knows no pauses: it splits a current between two cars as it likes. What a pause is worth is therefore
compared here, with the program solved again: with the cars held and without.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from optimizer.core.instance import Floats, Ints
from optimizer.core.lp import Program
from optimizer.core.rounding import ALMOST, BOTH_WAYS, Early, early_cells, put_a

HELD_STEPS: Final = 2
"""The running quarter and the next one: by then there is another plan."""
MOST_GROUPS: Final = 8
"""Times that the program is solved again for them."""
AFTER: Final = 0.98
"""Wanted too, but behind what is `ALMOST` wanted."""


def paused_eur(program: Program, x: Floats) -> float:
    """What it may cost to spare all the pauses of the columns ``x``, in EUR."""
    return float(program.instance.cars.pause_eur[_paused(program, early_cells(program, x))].sum())


def paused_groups(program: Program, x: Floats) -> list[Ints]:
    """Cars that the columns ``x`` pause, whose pause is worth most per kW first. Each is judged alone where they are
    few: together one pays for another, and the next plan, which sees only those left, would judge otherwise.
    """
    cars, paused = program.instance.cars, _paused(program, early_cells(program, x))
    order = np.argsort(-cars.pause_eur[paused] / (cars.kw_per_a[paused] * cars.min_a[paused]), kind="stable")
    return [group for group in np.array_split(paused[order], MOST_GROUPS) if group.size]


def held(program: Program, x: Floats, group: Ints) -> Floats:
    """Columns to round instead of ``x``, with the cars of ``group``, which it pauses, held at their minimum."""
    cells, early = program.layout.cells, early_cells(program, x)
    step, own, rests = cells.step[early.cell], np.isin(cells.car[early.cell], group), early.current_a <= BOTH_WAYS
    again = x.copy()
    first = own & rests & (step < HELD_STEPS)
    put_a(program, again, early.cell[first], (ALMOST * early.least_a)[first])
    # Where it wants no two steps' worth, it gets the first.
    later = own & ~rests & (step > 0)
    put_a(program, again, early.cell[later], (AFTER * early.least_a)[later])
    return again


def _paused(program: Program, early: Early) -> Ints:
    """Cars that charge and would not in the running step."""
    cars, cells = program.instance.cars, program.layout.cells
    car, step = cells.car[early.cell], cells.step[early.cell]
    stays = (cars.pause_eur > 0.0) & (cars.discharge_a <= 0.0)
    return np.unique(car[(step == 0) & stays[car] & (early.current_a <= BOTH_WAYS)])
