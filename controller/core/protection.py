"""Inverse-time accumulators: how far each protective device is on its way to opening.

theta grows by 1 / t_trip(I / In) per second and falls with 10 min below the non-tripping current. Integers (1e-9 of
tripping) from a table in steps of 1 % of In, so that a journal replays bit-equal.

Sources: gG mean melting curves of NH fuses with 10 % current tolerance (IEC 60269-1, makers' tables); MCB thermal
model t = -tau ln(1 - (1.13 In / I)^2) through the configured point at 2.55 In (IEC 60898-1 table 7).
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise
from typing import Final

import numpy as np

from controller.core.params import (
    NO_CURVE_PAUSE_S,
    THETA_ONE,
    THETA_PAUSE,
    THETA_REDUCE,
    THETA_RELEASE,
    THETA_STOP,
    THETA_TAU_S,
)
from controller.core.records import ProtectionState
from interfaces.domain.image import Image
from interfaces.domain.topology import NON_TRIPPING, Protection, Topology, mcb_tau_s
from interfaces.domain.units import MILLI, MISSING, Ints

TABLE_STEPS: Final[int] = 2001
NON_FUSING_GG: Final[float] = 1.25
"""A gG fuse carries 1.25 In through its conventional time (IEC 60269-1 table 2)."""

GG_MULTIPLES: Final[dict[int, tuple[float, ...]]] = {
    25: (4.05, 3.60, 3.02, 2.72, 2.46, 1.95),
    50: (5.18, 4.57, 3.79, 3.35, 2.95, 2.20),
    63: (4.83, 4.29, 3.54, 3.13, 2.76, 2.05),
    80: (5.43, 4.69, 3.68, 3.19, 2.81, 2.19),
    100: (5.41, 4.53, 3.56, 3.13, 2.77, 2.10),
    125: (5.75, 4.92, 3.88, 3.34, 2.88, 2.03),
    160: (5.44, 4.70, 3.76, 3.26, 2.81, 1.95),
    200: (5.80, 5.00, 3.95, 3.40, 2.92, 2.04),
    250: (6.41, 5.45, 4.05, 3.37, 2.88, 2.15),
}
GG_TIMES_S: Final[tuple[float, ...]] = (5.0, 10.0, 30.0, 60.0, 120.0, 600.0)
GG_LONG: Final[tuple[tuple[float, float], ...]] = ((1.6, 1400.0), (1.45, 2100.0), (NON_FUSING_GG, 3600.0))
"""Lowest of all ratings at 1.6 and 1.45 In, and the conventional hour at 1.25 In."""


OBEY_S: Final[int] = 10
"""A lower pilot signal acts after 5 s of pilot hold and 5 s of car; a pause within 3 s (IEC 61851-1)."""


@lru_cache(maxsize=256)
def rate_table(kind: str, rated_a: float, holds_s_at_2_55: float | None) -> tuple[int, ...]:
    """Theta per second in 1e-9, for I = 0, 1, 2 ... 2000 % of In. Empty where no curve is known."""
    if kind == "gG":
        times = [_gg_time_s(rated_a, k / 100) for k in range(TABLE_STEPS)]
    elif kind == "mcb" and holds_s_at_2_55 is not None:
        tau = mcb_tau_s(holds_s_at_2_55)
        times = [_mcb_time_s(tau, k / 100) for k in range(TABLE_STEPS)]
    else:
        return ()
    return tuple(0 if math.isinf(t) else math.ceil(THETA_ONE / t) for t in times)


def advance_protection(
    state: ProtectionState, image: Image, topology: Topology, now_s: float, dt_s: float
) -> ProtectionState:
    """Next accumulators from the newest meter currents; the last reading holds until a newer one comes, and without any
    the accumulators stand still.
    """
    current = np.where(image.meter_ma == MISSING, 0, np.abs(image.meter_ma))
    dt_ms = int(dt_s * MILLI + 0.5)
    tables, has_curve = _tables(topology)
    percent = np.minimum(current * 100 // np.maximum(topology.fuse_ma, 1) + 1, TABLE_STEPS - 1)
    rate = np.take_along_axis(tables, percent, axis=1)
    fall = state.theta * dt_ms // (THETA_TAU_S * MILLI)
    cold = (rate == 0) & (image.meter_ma != MISSING)
    theta = np.where(cold, np.maximum(state.theta - fall - (state.theta > 0), 0), state.theta + rate * dt_ms // MILLI)
    # At THETA_ONE the device has opened; a reading that claims more is wrong and must not stop the site for an hour.
    theta = np.minimum(np.where(has_curve[:, None], theta, 0), THETA_ONE)
    over = ~has_curve & topology.metered & (current * 100 > topology.rated_ma * int(NON_TRIPPING * 100)).any(axis=1)
    over_s = np.where(over, now_s, state.over_s)
    worst = theta.max(axis=1)
    # Where lower pilots would act too late to stay below the pause level, pause now: that is quicker.
    ahead = (theta + rate * OBEY_S).max(axis=1)
    pause = (worst >= THETA_PAUSE) | ((worst > THETA_RELEASE) & (ahead >= THETA_PAUSE))
    level = np.where(worst >= THETA_STOP, 3, np.where(pause, 2, np.where(worst >= THETA_REDUCE, 1, 0)))
    level = np.where(worst > THETA_RELEASE, np.maximum(level, state.level), level)
    level = np.where(has_curve, level, np.where(now_s - over_s < NO_CURVE_PAUSE_S, 3, 0))
    return ProtectionState(theta=theta, level=level, over_s=over_s)


def _tables(topology: Topology) -> tuple[Ints, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    return _tables_of(tuple(c.protection for c in topology.circuits))


@lru_cache(maxsize=16)
def _tables_of(devices: tuple[Protection | None, ...]) -> tuple[Ints, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    rows = [rate_table(d.kind, d.rated_a, d.holds_s_at_2_55) if d else () for d in devices]
    table = np.array([r or (0,) * TABLE_STEPS for r in rows], dtype=np.int64)
    known = np.array([bool(r) for r in rows], dtype=np.bool_)
    table.setflags(write=False)
    known.setflags(write=False)
    return table, known


def _gg_time_s(rated_a: float, multiple: float) -> float:
    """Melting time, log-log between the points of the next smaller rating (the safe side)."""
    if multiple <= NON_FUSING_GG:
        return math.inf
    below = [r for r in GG_MULTIPLES if r <= rated_a] or [min(GG_MULTIPLES)]
    points = sorted([*GG_LONG, *zip(GG_MULTIPLES[max(below)], GG_TIMES_S, strict=True)])
    points = [p for k, p in enumerate(points) if k == 0 or p[1] < points[k - 1][1]]
    for (m0, t0), (m1, t1) in pairwise(points):
        if multiple <= m1:
            share = (math.log(multiple) - math.log(m0)) / (math.log(m1) - math.log(m0))
            return math.exp(math.log(t0) + share * (math.log(t1) - math.log(t0)))
    last_m, last_t = points[-1]
    return last_t * (last_m / multiple) ** 4


def _mcb_time_s(tau_s: float, multiple: float) -> float:
    if multiple <= NON_TRIPPING:
        return math.inf
    return -tau_s * math.log1p(-((NON_TRIPPING / multiple) ** 2))
