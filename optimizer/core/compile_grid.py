"""What a kWh costs in each step, and the connection with its circuits as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from interfaces.domain.units import MILLI, SECONDS_PER_HOUR, Floats
from optimizer.core.compile_background import Background
from optimizer.core.compile_limits import Limits
from optimizer.core.compile_steps import Steps, filled, holds, laid
from optimizer.core.compile_tree import parents_first
from optimizer.core.instance import Grid
from optimizer.core.problem import Problem
from optimizer.core.problem_money import Dynamic, Fixed, PricedBlock, Tariff, TimeOfUse
from optimizer.core.problem_types import STEP_S

SPREAD_EUR_PER_KWH: Final[float] = 1e-4
"""Export earns at least this much less than import costs, so that both at once never pay."""
GRAMS_PER_T: Final[float] = 1e6
FULL_H: Final[float] = STEP_S / SECONDS_PER_HOUR


@dataclass(frozen=True, slots=True)
class Prices:
    """(T,) EUR/kWh each, all included, and what was assumed."""

    import_eur_per_kwh: Floats
    export_eur_per_kwh: Floats
    notes: tuple[str, ...]


def prices_of(problem: Problem, steps: Steps) -> Prices:
    """Import and export prices of each step."""
    tariff, notes = problem.tariff, []
    energy = _energy(tariff, steps)
    known = np.isfinite(energy)
    if not known.any():
        notes.append("no price is known: every hour counts alike")
        energy = np.zeros(steps.count)
    elif not known.all():
        notes.append(
            f"no price is known for {int((~known).sum())} of {steps.count} steps: those of other days are used"
        )
        energy = filled(energy, None)
    grid = tariff.grid_eur_per_kwh + _block_prices(tariff.grid_blocks, 0.0, steps)
    before_vat = energy + tariff.markup_eur_per_kwh + grid + tariff.taxes_eur_per_kwh
    carbon = _carbon(tariff, steps, notes)
    bought = before_vat * (1 + tariff.vat_pct / 100) + carbon
    sold = tariff.export_share * energy + tariff.export_eur_per_kwh
    most = bought - SPREAD_EUR_PER_KWH
    dearer = sold > bought
    if dearer.any():
        notes.append(f"export is dearer than import in {int(dearer.sum())} steps: it counts as import there")
    return Prices(bought, np.minimum(sold, most), tuple(notes))


def _energy(tariff: Tariff, steps: Steps) -> Floats:
    price = tariff.energy
    if isinstance(price, Fixed):
        return np.full(steps.count, price.eur_per_kwh)
    if isinstance(price, TimeOfUse):
        return _block_prices(price.blocks, price.otherwise_eur_per_kwh, steps)
    assert isinstance(price, Dynamic)  # noqa: S101  the last of the three
    return laid(price.eur_per_kwh, price.start_epoch_s, price.step_s, steps)


def _block_prices(blocks: tuple[PricedBlock, ...], otherwise: float, steps: Steps) -> Floats:
    column = np.full(steps.count, otherwise)
    for block in reversed(blocks):
        column[holds(steps, block.when, any_part=False)] = block.eur_per_kwh
    return column


def _carbon(tariff: Tariff, steps: Steps, notes: list[str]) -> Floats:
    """EUR/kWh that the CO2 of imported energy weighs."""
    carbon = tariff.carbon
    if carbon is None or carbon.eur_per_t == 0:
        return np.zeros(steps.count)
    grams = filled(laid(carbon.g_per_kwh, carbon.start_epoch_s, STEP_S, steps), None)
    if not np.isfinite(grams).all():
        notes.append("no CO2 intensity is known: every hour counts alike")
        return np.zeros(steps.count)
    weight: Floats = grams * carbon.eur_per_t / GRAMS_PER_T
    return weight


def grid_of(
    problem: Problem, steps: Steps, prices: Prices, limits: Limits, background: Background, slack_eur_per_kwh: float
) -> tuple[Grid, tuple[str, ...]]:
    """The connection and its circuits as the solver wants them, parents first."""
    order = parents_first(problem)
    place = {problem.site.circuits[k].id: n for n, k in enumerate(order)}
    parents = [problem.site.circuits[k].parent for k in order]
    headroom_a, feed_in_a = _rooms(problem, limits, background)
    floor_kw, price, notes = _peak(problem, steps)
    next_month = steps.month.index(steps.month[-1]) if price > 0 and steps.month[-1] != steps.month[0] else None
    already_kwh = 0.0
    if price > 0:
        already_kwh = _already(problem, steps, background, notes)
    notes += _too_low(problem, limits, background)
    return Grid(
        dt_h=steps.dt_h,
        full_h=FULL_H,
        base_kw=background.net_kw,
        import_eur_per_kwh=prices.import_eur_per_kwh,
        export_eur_per_kwh=prices.export_eur_per_kwh,
        import_limit_kw=limits.import_kw,
        export_limit_kw=limits.export_kw,
        parent=np.array([-1 if parent is None else place[parent] for parent in parents], dtype=np.int64),
        headroom_a=headroom_a[order],
        feed_in_a=feed_in_a[order],
        peak_eur_per_kw=price,
        peak_floor_kw=floor_kw,
        already_kwh=already_kwh,
        slack_eur_per_kwh=slack_eur_per_kwh,
        next_month=next_month,
        next_floor_kw=0.0 if next_month is None else _less_margin(problem, 0.0),
    ), tuple(notes)


def _rooms(problem: Problem, limits: Limits, background: Background) -> tuple[Floats, Floats]:
    """(C, R, T) amperes that may be planned and that may flow back; a fourth row only where a circuit needs it."""
    headroom_a = limits.limit_a - background.fuse_a - background.reserve_a
    feed_in_a = np.maximum(limits.limit_a + background.net_a, 0.0)
    if not np.isfinite(limits.circuit_kw).any():
        return headroom_a, feed_in_a
    room_a = (limits.circuit_kw - background.power_kw) * MILLI / problem.site.nominal_voltage_v
    everything = np.full(room_a.shape, np.inf)
    return (
        np.concatenate([headroom_a, room_a[:, None, :]], axis=1),
        np.concatenate([feed_in_a, everything[:, None, :]], axis=1),
    )


def _peak(problem: Problem, steps: Steps) -> tuple[float, float, list[str]]:
    """Floor of the peak (less the margin kept for errors of the forecast), EUR/kW, notes."""
    capacity = problem.tariff.capacity
    if capacity is None:
        return 0.0, 0.0, []
    notes: list[str] = []
    month = steps.month[0]
    realised_kw = capacity.realised_kw
    if capacity.month is not None and capacity.month != month:
        notes.append(f"the realised peak is that of {capacity.month}: in {month} it begins anew")
        realised_kw = 0.0
    return _less_margin(problem, realised_kw), capacity.eur_per_kw, notes


def _less_margin(problem: Problem, realised_kw: float) -> float:
    """The peak that costs nothing more: billed anyway or realised already, less what forecasts may be off."""
    capacity = problem.tariff.capacity
    return 0.0 if capacity is None else max(0.0, max(capacity.floor_kw, realised_kw) - capacity.margin_kw)


def _already(problem: Problem, steps: Steps, background: Background, notes: list[str]) -> float:
    """What was imported in the running quarter before the plan begins, in kWh."""
    told = problem.state.imported_in_quarter_kwh
    if told is not None:
        return told
    gone_h = FULL_H - float(steps.dt_h[0])
    if gone_h > 0:
        notes.append("nobody counted what this quarter has imported so far: the forecast of the load stands in")
    return max(0.0, float(background.net_kw[0])) * gone_h


def _too_low(problem: Problem, limits: Limits, background: Background) -> list[str]:
    """A note for each limit that what cannot be planned breaks alone."""
    notes = []
    over = (background.fuse_a > limits.limit_a + 1e-9).any(axis=(1, 2))
    for k in np.flatnonzero(over).tolist():
        excess_a = float((background.fuse_a[k] - limits.limit_a[k]).max())
        notes.append(
            f"circuit {problem.site.circuits[k].id}: the load alone is up to {excess_a:.1f} A above its limit, "
            f"nothing is planned there then"
        )
    full = (background.power_kw > limits.circuit_kw + 1e-9).any(axis=1)
    for k in np.flatnonzero(full).tolist():
        excess_kw = float((background.power_kw[k] - limits.circuit_kw[k]).max())
        notes.append(
            f"circuit {problem.site.circuits[k].id}: the load alone is up to {excess_kw:.1f} kW above its power limit, "
            f"nothing is planned there then"
        )
    above = background.net_kw > limits.import_kw + 1e-9
    if above.any():
        excess_kw = float((background.net_kw - np.where(above, limits.import_kw, np.inf))[above].max())
        notes.append(f"the load alone is up to {excess_kw:.1f} kW above the import limit in {int(above.sum())} steps")
    return notes
