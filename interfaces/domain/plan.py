"""A plan: rows of time x asset setpoints with validity, sequence and the values behind them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interfaces.domain.units import Ints

PLAN_SCHEMA = 1
MAX_STEPS = 400
"""48 h of quarters, a long DST day and head room."""

MOST_CELLS = 100_000
"""Steps times assets: 250 over 400 steps, 500 over 48 h. 1.6 MB once it is columns."""
MOST_MA = 10_000_000
PPM = 1_000_000
MOST_PPM = 100 * PPM
MOST_MW = 1_000_000_000_000
"""10 kA, 100 EUR/kWh, 1 GW: nothing a site behind one connection can mean."""
LONGEST_LEASE_S = 86_400.0
"""From issue: a cloud that is gone keeps no car waiting for longer than a day."""
MOST_SEQUENCE = 2**53
"""Beyond it readers of JSON disagree."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Wishes of the optimizer for one site.

    ``assets``: ids of the columns; ``setpoint_ma`` (T, A) mA per conductor, signed; ``value_ppm`` (T, A) marginal value
    of energy in 1e-6 EUR/kWh; ``planned_import_mw`` (T,); ``grid_ppm`` (T, 3): what a kWh costs at the grid connection
    while the site exports, while it imports, and how much more beyond ``calm_import_mw`` (T,), where a new peak or a
    limit begins. Row t holds from ``start_epoch_s + t * step_s``.
    ``valid_until_epoch_s``: end of its horizon; ``lease_until_epoch_s``: it may not be followed longer without renewal.
    The signature was checked at the border; ``key_id`` says by which key.
    """

    plan_id: str
    site: str
    topology_version: str
    sequence: int
    key_id: str
    issued_epoch_s: float
    start_epoch_s: float
    step_s: int
    valid_until_epoch_s: float
    lease_until_epoch_s: float
    assets: tuple[str, ...]
    setpoint_ma: Ints
    value_ppm: Ints
    planned_import_mw: Ints
    grid_ppm: Ints
    calm_import_mw: Ints
    schema: int = PLAN_SCHEMA


def plan_problems(plan: Plan) -> tuple[str, ...]:
    """What makes a plan malformed, one sentence each; whether it is usable now is the controller's call."""
    steps, columns = plan.setpoint_ma.shape if plan.setpoint_ma.ndim == 2 else (0, -1)
    checks = (
        (plan.schema != PLAN_SCHEMA, f"plan schema {plan.schema} is not {PLAN_SCHEMA}"),
        (not 1 <= steps <= MAX_STEPS, f"a plan has 1 to {MAX_STEPS} steps, this one {steps}"),
        (steps * columns > MOST_CELLS, f"more than {MOST_CELLS} setpoints"),
        (columns != len(plan.assets), "the setpoints do not have one column per asset"),
        (len(set(plan.assets)) != len(plan.assets), "an asset appears twice"),
        (plan.value_ppm.shape != plan.setpoint_ma.shape, "values and setpoints differ in shape"),
        (plan.planned_import_mw.shape != (steps,), "the planned import does not have one value per step"),
        (plan.grid_ppm.shape != (steps, 3), "the grid's prices are not three per step"),
        (plan.calm_import_mw.shape != (steps,), "the calm import does not have one value per step"),
        (_beyond(plan.grid_ppm, MOST_PPM), f"a price of the grid lies beyond {MOST_PPM} ppm or is absent"),
        (_beyond(plan.calm_import_mw, MOST_MW), f"a calm import lies beyond {MOST_MW} mW or is absent"),
        (_beyond(plan.setpoint_ma, MOST_MA), f"a setpoint lies beyond {MOST_MA} mA or is absent"),
        (_beyond(plan.value_ppm, MOST_PPM), f"a value lies beyond {MOST_PPM} ppm or is absent"),
        (_beyond(plan.planned_import_mw, MOST_MW), f"a planned import lies beyond {MOST_MW} mW or is absent"),
        (plan.step_s <= 0, "the step is not positive"),
        (not 0 <= plan.sequence <= MOST_SEQUENCE, f"the sequence is negative or beyond {MOST_SEQUENCE}"),
        (
            not all(
                np.isfinite(t)
                for t in (
                    plan.issued_epoch_s,
                    plan.start_epoch_s,
                    plan.valid_until_epoch_s,
                    plan.lease_until_epoch_s,
                )
            ),
            "a time is not finite",
        ),
        (
            plan.lease_until_epoch_s > plan.issued_epoch_s + LONGEST_LEASE_S,
            f"it is leased for more than {LONGEST_LEASE_S:.0f} s",
        ),
        (plan.valid_until_epoch_s <= plan.start_epoch_s, "the plan ends before it starts"),
    )
    return tuple(text for bad, text in checks if bad)


def _beyond(column: Ints, most: int) -> bool:
    return bool(((column < -most) | (column > most)).any())
