"""The site as arrays: circuits, flexible assets and who counts where.

One column per flexible asset (EVSE, battery, PV, load) in the order fixed here, one line per circuit. Ids never leave
their numbers outside this module and ``codec``. Power lines and cables are four-wire star networks: a conductor of an
asset loads exactly one grid phase and amperes add up arithmetically (the safe side).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final, Literal

import numpy as np

from interfaces.domain.units import (
    MILLI,
    MISSING,
    Bools,
    Floats,
    Ints,
    frozen_bools,
    frozen_floats,
    frozen_ints,
    ma_from_a,
)

PHASES: Final[tuple[str, str, str]] = ("L1", "L2", "L3")
POWER_ROW: Final[int] = 3
ROWS_PER_CIRCUIT: Final[int] = 4

MARGIN_MIN_A: Final[float] = 1.0
MARGIN_SHARE: Final[float] = 0.02
AGE_MARGIN_MA_PER_S: Final[int] = 500
"""0.5 A for each second a protective meter is polled slower than 1 s, and for each second its sample is older."""

KAPPA_GG: Final[float] = 1.45
"""A gG fuse carries 1.45 x its rating far longer than 34 s (IEC 60269-1: no fusing at 1.25 within the hour)."""
KAPPA_UNKNOWN: Final[float] = 1.13
"""Non-tripping current of IEC 60898-1 table 7: nothing more is known of an unnamed breaker."""
NON_TRIPPING: Final[float] = 1.13
N_MINUS_1_HOLD_S: Final[float] = 34.0
"""Twice the 17 s a disobeying car may take until the second path has opened its contactor."""


class AssetKind(IntEnum):
    """What a column is."""

    EVSE = 0
    BATTERY = 1
    PV = 2
    LOAD = 3


@dataclass(frozen=True, slots=True)
class Protection:
    """The device that opens when a circuit is overloaded. ``holds_s_at_2_55``: seconds a hot MCB holds 2.55 x In."""

    kind: Literal["gG", "mcb", "none"]
    rated_a: float
    curve: str | None = None
    holds_s_at_2_55: float | None = None


@dataclass(frozen=True, slots=True)
class Circuit:
    """One protected branch. Currents per phase L1 L2 L3 in A; ``None`` where the site file is silent."""

    id: str
    parent: str | None
    rated_a: tuple[float, float, float]
    margin_a: tuple[float, float, float] | None = None
    derating: float = 1.0
    contract_a: tuple[float, float, float] | None = None
    max_import_w: float | None = None
    protection: Protection | None = None
    meter: str | None = None
    meter_period_s: float = 1.0
    background_max_a: tuple[float, float, float] | None = None
    firm_export: bool = False


@dataclass(frozen=True, slots=True)
class Asset:
    """One flexible asset: an EVSE, a battery, a PV inverter or a controllable load.

    ``phases``: the grid phase (0..2) each conductor sits on, in conductor order. ``max_a``: the smallest rating of its
    conductors. ``failsafe_a`` is what it does when it no longer hears us; ``failsafe_trusted`` says that this was
    accepted in writing although the device cannot prove it. ``boot_a``: what it may offer after its own restart
    (nameplate when unknown). ``remote``: driven through its maker's service, so that it obeys in minutes; the meter of
    its circuit, which feeds nothing else, measures it.
    """

    id: str
    kind: AssetKind
    device: str
    circuit: str
    phases: tuple[int, ...]
    max_a: float
    min_a: float = 6.0
    step_a: float = 1.0
    tier: int = 1
    never_pause: bool = False
    failsafe_a: float = 0.0
    failsafe_timeout_s: float = 60.0
    failsafe_verifiable: bool = False
    failsafe_trusted: bool = False
    boot_a: float | None = None
    idle_a: float = 0.0
    release_s: float = 10.0
    poll_s: float = 1.0
    settle_poll_s: float = 1.0
    measures_phases: bool = True
    phase_switching: bool = False
    direct_current: bool = False
    max_export_a: float = 0.0
    remote: bool = False


@dataclass(frozen=True, slots=True)
class Topology:
    """Facts of one site, frozen. N assets, C circuits; the grid connection point is circuit 0.

    ``ancestry`` (C, N): 1 where the circuit is the asset's own or above it. ``wired`` (N, 3): conductors on each grid
    phase, ``first_wire`` (N, 3) the first one alone. ``chain``: per asset the circuits from its own up to the grid
    connection point. Currents in mA; ``min_ma`` is the smallest whole step that is not below the minimum.
    """

    circuits: tuple[Circuit, ...]
    assets: tuple[Asset, ...]
    version: str
    nominal_mv: int
    period_s: float
    parent: Ints
    chain: tuple[tuple[int, ...], ...]
    children: tuple[tuple[int, ...], ...]
    members: tuple[tuple[int, ...], ...]
    ancestry: Ints
    ancestry_f: Floats
    below: Bools
    limit_ma: Ints
    rated_ma: Ints
    fuse_ma: Ints
    n_minus_1_ma: Ints
    background_max_ma: Ints
    max_import_mw: Ints
    metered: Bools
    meter_period_s: Floats
    period_margin_ma: Ints
    firm_export: Bools
    kind: Ints
    is_evse: Bools
    wired: Ints
    conductors: Ints
    first_wire: Ints
    max_ma: Ints
    min_ma: Ints
    step_ma: Ints
    tier: Ints
    failsafe_ma: Ints
    failsafe_timeout_s: Floats
    failsafe_trusted: Bools
    boot_ma: Ints
    idle_ma: Ints
    release_s: Floats
    poll_s: Floats
    settle_poll_s: Floats
    measures_phases: Bools
    never_pause: Bools
    can_switch: Bools
    ramp_ma: Ints
    max_export_ma: Ints
    remote: Bools
    index: Mapping[str, int] = field(repr=False)
    circuit_index: Mapping[str, int] = field(repr=False)

    @property
    def n(self) -> int:
        """Number of asset columns."""
        return len(self.assets)

    @property
    def c(self) -> int:
        """Number of circuits."""
        return len(self.circuits)


def kappa(protection: Protection | None) -> float:
    """Multiple of its rating that the protective device carries for 34 s; sources at the constants.

    An MCB follows the thermal model t = -tau ln(1 - (1.13 In / I)^2) through its datasheet point at 2.55 In.
    """
    if protection is None or protection.kind == "none":
        return KAPPA_UNKNOWN
    if protection.kind == "gG":
        return KAPPA_GG
    if protection.holds_s_at_2_55 is None:
        return KAPPA_UNKNOWN
    return mcb_multiple(protection.holds_s_at_2_55, N_MINUS_1_HOLD_S)


def mcb_tau_s(holds_s_at_2_55: float) -> float:
    """Time constant of the thermal model that holds 2.55 In for the given seconds."""
    share = (NON_TRIPPING / 2.55) ** 2
    return float(-holds_s_at_2_55 / np.log1p(-share))


def mcb_multiple(holds_s_at_2_55: float, hold_s: float) -> float:
    """Largest multiple of In carried for ``hold_s`` seconds; rounded down to 0.01."""
    exponent = -hold_s / mcb_tau_s(holds_s_at_2_55)
    multiple = NON_TRIPPING / float(np.sqrt(-np.expm1(exponent)))
    return max(NON_TRIPPING, int(multiple * 100) / 100)


def margin_ma(circuit: Circuit) -> tuple[int, int, int]:
    """First margin term per phase: the site's own value, else max(1 A, 2 %)."""
    own = circuit.margin_a
    values = own if own is not None else tuple(max(MARGIN_MIN_A, MARGIN_SHARE * a) for a in circuit.rated_a)
    a, b, c = (int(np.ceil(v * MILLI)) for v in values)
    return a, b, c


def limit_of(circuit: Circuit) -> tuple[int, int, int]:
    """Static limit per phase in mA: min(rated x derating, contract) - margin, floored at 0."""
    out = []
    for p in range(3):
        bound = int(circuit.rated_a[p] * circuit.derating * MILLI)
        if circuit.contract_a is not None:
            bound = min(bound, int(circuit.contract_a[p] * MILLI))
        out.append(max(0, bound - margin_ma(circuit)[p]))
    return out[0], out[1], out[2]


def _ordered(circuits: Sequence[Circuit]) -> tuple[Circuit, ...]:
    """Parents before children, otherwise in file order; the tree was checked by the site file."""
    placed: list[Circuit] = []
    names: set[str] = set()
    rest = list(circuits)
    while rest:
        ready = [c for c in rest if c.parent is None or c.parent in names]
        if not ready:
            raise ValueError("circuits do not form a tree")
        placed.extend(ready)
        names.update(c.id for c in ready)
        rest = [c for c in rest if c.id not in names]
    return tuple(placed)


def _three(values: Sequence[tuple[float, float, float] | None], missing: int) -> Ints:
    rows = [[missing] * 3 if v is None else [int(np.ceil(x * MILLI)) for x in v] for v in values]
    return frozen_ints(np.array(rows, dtype=np.int64).reshape(len(rows), 3))


def _ramp_ma(asset: Asset) -> int:
    """Largest single raise: 5 A, DC 10 % of rated, at least one step (design 4.3)."""
    return max(int(asset.step_a * MILLI), int(asset.max_a * MILLI) // 10 if asset.direct_current else 5 * MILLI)


def build_topology(
    circuits: Sequence[Circuit],
    assets: Sequence[Asset],
    *,
    version: str,
    nominal_v: float = 230.0,
    period_s: float = 0.2,
) -> Topology:
    """Arrays from checked facts. Raises ``ValueError`` for a broken tree, ``KeyError`` for an unknown circuit."""
    line = _ordered(circuits)
    where = {c.id: k for k, c in enumerate(line)}
    columns: dict[str, Any] = {
        **_tree_columns(line, assets, where),
        **_circuit_columns(line),
        **_wire_columns(assets),
        **_current_columns(assets),
        **_time_columns(assets),
    }
    return Topology(
        circuits=line,
        assets=tuple(assets),
        version=version,
        nominal_mv=int(nominal_v * MILLI),
        period_s=period_s,
        index={a.id: i for i, a in enumerate(assets)},
        circuit_index=where,
        **columns,
    )


def _tree_columns(line: tuple[Circuit, ...], assets: Sequence[Asset], where: Mapping[str, int]) -> dict[str, object]:
    """Who stands below and above whom."""
    n, c = len(assets), len(line)
    parent = [-1 if x.parent is None else where[x.parent] for x in line]
    chain: list[tuple[int, ...]] = []
    for asset in assets:
        k, path = where[asset.circuit], []
        while k >= 0:
            path.append(k)
            k = parent[k]
        chain.append(tuple(path))
    ancestry = np.zeros((c, n), dtype=np.int64)
    for i, above in enumerate(chain):
        ancestry[list(above), i] = 1
    below = np.eye(c, dtype=bool)
    for k in range(c - 1, 0, -1):
        below[parent[k]] |= below[k]
    return {
        "parent": frozen_ints(parent),
        "chain": tuple(chain),
        "children": tuple(tuple(j for j in range(c) if parent[j] == k) for k in range(c)),
        "members": tuple(tuple(i for i, a in enumerate(assets) if where[a.circuit] == k) for k in range(c)),
        "ancestry": frozen_ints(ancestry),
        "ancestry_f": frozen_floats(ancestry),
        "below": frozen_bools(below),
    }


def _circuit_columns(line: tuple[Circuit, ...]) -> dict[str, object]:
    """Limits, fuses, meters."""
    c = len(line)
    rated = np.array([[int(a * x.derating * MILLI) for a in x.rated_a] for x in line], dtype=np.int64).reshape(c, 3)
    fuse = np.array(
        [[int(x.protection.rated_a * MILLI)] * 3 if x.protection else list(rated[k]) for k, x in enumerate(line)],
        dtype=np.int64,
    ).reshape(c, 3)
    kappas = np.array([[round(kappa(x.protection) * 100)] for x in line], dtype=np.int64).reshape(c, 1)
    late_s = [max(0.0, x.meter_period_s - 1.0) if x.meter else 0.0 for x in line]
    imports = [MISSING if x.max_import_w is None else int(x.max_import_w * MILLI) for x in line]
    return {
        "limit_ma": frozen_ints(np.array([limit_of(x) for x in line]).reshape(c, 3)),
        "rated_ma": frozen_ints(rated),
        "fuse_ma": frozen_ints(fuse),
        "n_minus_1_ma": frozen_ints(fuse * kappas // 100),
        "background_max_ma": _three([x.background_max_a for x in line], MISSING),
        "max_import_mw": frozen_ints(imports),
        "metered": frozen_bools([x.meter is not None for x in line]),
        "meter_period_s": frozen_floats([x.meter_period_s for x in line]),
        "period_margin_ma": frozen_ints([int(AGE_MARGIN_MA_PER_S * s) for s in late_s]),
        "firm_export": frozen_bools([x.firm_export for x in line]),
    }


def _wire_columns(assets: Sequence[Asset]) -> dict[str, object]:
    """What each asset is and on which phases it sits."""
    wired = np.zeros((len(assets), 3), dtype=np.int64)
    first = np.zeros((len(assets), 3), dtype=np.int64)
    for i, asset in enumerate(assets):
        for phase in asset.phases:
            wired[i, phase] += 1
        if asset.phases:
            first[i, asset.phases[0]] = 1
    return {
        "kind": frozen_ints([int(a.kind) for a in assets]),
        "is_evse": frozen_bools([a.kind == AssetKind.EVSE for a in assets]),
        "wired": frozen_ints(wired),
        "conductors": frozen_ints([len(a.phases) for a in assets]),
        "first_wire": frozen_ints(first),
        "tier": frozen_ints([a.tier for a in assets]),
        "measures_phases": frozen_bools([a.measures_phases for a in assets]),
        "never_pause": frozen_bools([a.never_pause for a in assets]),
        "can_switch": frozen_bools([a.phase_switching and len(a.phases) > 1 for a in assets]),
        "failsafe_trusted": frozen_bools([a.failsafe_trusted for a in assets]),
        "remote": frozen_bools([a.remote for a in assets]),
    }


def _current_columns(assets: Sequence[Asset]) -> dict[str, object]:
    """Currents of each asset in mA; a minimum between two steps is the next step."""

    def column(values: Sequence[float]) -> Ints:
        return frozen_ints([ma_from_a(v) for v in values])

    step = column([max(a.step_a, 1 / MILLI) for a in assets])
    least = column([a.min_a for a in assets])
    return {
        "max_ma": column([a.max_a for a in assets]),
        "min_ma": frozen_ints(-(-least // step) * step),
        "step_ma": step,
        "failsafe_ma": column([a.failsafe_a for a in assets]),
        "boot_ma": column([a.max_a if a.boot_a is None else a.boot_a for a in assets]),
        "idle_ma": column([a.idle_a for a in assets]),
        "ramp_ma": frozen_ints([_ramp_ma(a) for a in assets]),
        "max_export_ma": column([a.max_export_a for a in assets]),
    }


def _time_columns(assets: Sequence[Asset]) -> dict[str, object]:
    """How fast each asset is seen, obeys and gives up, in seconds."""
    return {
        "failsafe_timeout_s": frozen_floats([a.failsafe_timeout_s for a in assets]),
        "release_s": frozen_floats([a.release_s for a in assets]),
        "poll_s": frozen_floats([a.poll_s for a in assets]),
        "settle_poll_s": frozen_floats([a.settle_poll_s for a in assets]),
    }
