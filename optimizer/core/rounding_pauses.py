"""Cars that charge go on at their minimum where that costs less than what a pause may: some never wake up again.

The relaxation knows no pauses: it splits a current between two cars as it likes. What a pause is worth is therefore
compared here, with the program solved again: with the cars held and without.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from optimizer.core.instance import Floats
from optimizer.core.lp import Program
from optimizer.core.rounding import ALMOST, BOTH_WAYS, early_cells

HELD_STEPS: Final = 2
"""The running quarter and the next one: by then there is another plan."""
AFTER: Final = 0.98
"""Wanted too, but behind what is `ALMOST` wanted."""


def held(program: Program, x: Floats, share: float) -> tuple[Floats, float] | None:
    """Columns to round instead of ``x``, with cars that it pauses held at their minimum, and what that may cost in EUR.

    ``share``: of the paused cars, those whose pause is worth most per kW. None where no car is paused or held.
    """
    cars, cells, early = program.instance.cars, program.layout.cells, early_cells(program, x)
    car, step = cells.car[early.cell], cells.step[early.cell]
    stays = (cars.pause_eur > 0.0) & (cars.discharge_a <= 0.0)
    rests = (step < HELD_STEPS) & stays[car] & (early.current_a <= BOTH_WAYS)
    paused = np.unique(car[rests & (step == 0)])
    kw = cars.kw_per_a[paused] * cars.min_a[paused]
    order = np.argsort(-cars.pause_eur[paused] / kw, kind="stable")
    chosen = paused[order[: int(np.ceil(share * len(paused)))]]
    if not chosen.size:
        return None
    again, own = x.copy(), np.isin(car, chosen)
    column = program.layout.columns["x"].start + early.cell
    again[column[own & rests]] = (ALMOST * early.least_a)[own & rests]
    # Where it wants no two steps' worth, it gets the first.
    later = own & (step > 0) & (early.current_a > BOTH_WAYS)
    again[column[later]] = (AFTER * early.least_a)[later]
    return again, float(cars.pause_eur[chosen].sum())
