"""The capacity tariff without a plan: no quarter of an hour imports more on average than the site wants to pay for."""

from __future__ import annotations

from typing import Final

import numpy as np

from controller.core.envelope import Cap
from controller.core.params import NO_LIMIT, Params
from controller.core.state import ControllerState
from interfaces.domain.image import Image
from interfaces.domain.reasons import Reason
from interfaces.domain.topology import POWER_ROW, ROWS_PER_CIRCUIT
from interfaces.domain.units import MILLI, MISSING, SECONDS_PER_QUARTER

QUARTER_MS: Final[int] = SECONDS_PER_QUARTER * MILLI
SETTLED_MS: Final[int] = 10_000
"""So long after the start of a quarter a telegram may still show the one before: it ends with the next telegram."""
LAST_MS: Final[int] = 60_000
"""What a quarter has left over is never spent within less than this: it ends before a car has followed."""
OLD_S: Final[float] = 30.0
"""Beyond this age the register of the quarter says nothing of now."""


def peak(image: Image, state: ControllerState, params: Params, now_s: float) -> Cap:
    """Net import at the connection while no plan is followed; a plan weighs the peak's price itself.

    The mean that is kept is the site's, or the month's highest where the meter shows that more is paid for already.
    What the quarter has not used so far may be used in the rest of it, as the meter counts; without such a meter the
    import itself stays below the mean, which is enough and a little more than that.
    """
    if params.peak_mw == MISSING or state.mission.source == "plan":
        return Cap(Reason.PEAK)
    wanted_mw = max(params.peak_mw, image.month_peak_mw)  # MISSING is below every power
    budget = np.full((params.topology.c, ROWS_PER_CIRCUIT), NO_LIMIT, dtype=np.int64)
    free_mw = _now_mw(wanted_mw, image, now_s) - int(state.background.estimate[0, POWER_ROW])
    budget[0, POWER_ROW] = max(0, free_mw)
    return Cap(Reason.PEAK, budget=budget)


def _now_mw(wanted_mw: int, image: Image, now_s: float) -> int:
    """What may be imported from now to the end of the quarter for its mean to be ``wanted_mw``."""
    age_s = now_s - float(image.meter_sample_s[0])
    if MISSING in (image.quarter_mw, image.quarter_left_ms) or not age_s <= OLD_S:
        return wanted_mw
    left_ms = image.quarter_left_ms - round(age_s * MILLI)
    if not 0 < left_ms <= QUARTER_MS - SETTLED_MS:
        return wanted_mw
    return (wanted_mw - image.quarter_mw) * QUARTER_MS // max(left_ms, LAST_MS)
