"""Hypothesis strategies: random sites and allocation problems of every shape the controller must stand.

One integer codes one circuit or one EVSE (mixed radix), so that drawing is fast and shrinking goes to plain sites.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any, Final

import numpy as np
from hypothesis import strategies as st

from controller.core.admission import one_phase
from controller.core.allocate import Demand
from controller.core.params import NO_LIMIT
from interfaces.domain.topology import Asset, AssetKind, Circuit, Protection, Topology, build_topology

ROTATIONS: Final = tuple(permutations(range(3)))
"""All six."""
PHASE_MAPS: Final = (*ROTATIONS, (0,), (1,), (2,), (0, 1), (1, 2), (2, 0), (1, 0))
MINIMA_A: Final = (6.0, 6.0, 8.0, 14.0)
STEPS_A: Final = (1.0, 0.1)
MAXIMA_A: Final = (16.0, 32.0, 20.0, 63.0, 13.0)
RATINGS_A: Final = (63.0, 25.0, 16.0, 40.0, 100.0, 32.0, 10.0, 80.0)
PROTECTIONS: Final = (
    None,
    Protection("gG", 63.0),
    Protection("mcb", 40.0, "C", 5.0),
    Protection("mcb", 32.0, "B"),
)
MOST_LEVELS: Final = 6
MOST_EVSES: Final = 12


class Digits:
    """Reads one drawn integer as a row of choices."""

    def __init__(self, code: int) -> None:
        self._rest = code

    def pick(self, options: Any) -> Any:
        """The next choice."""
        self._rest, k = divmod(self._rest, len(options))
        return options[k]

    def below(self, count: int) -> int:
        """A number below ``count``."""
        return int(self.pick(range(count)))


def circuit_of(k: int, code: int, depths: list[int]) -> Circuit:
    """Circuit ``k`` of a tree at most six levels deep; appends its depth."""
    digits = Digits(code)
    parents = [j for j in range(k) if depths[j] < MOST_LEVELS]
    parent = digits.pick(parents) if parents else None
    depths.append(1 if parent is None else depths[parent] + 1)
    rated = tuple(digits.pick(RATINGS_A) for _ in range(3)) if digits.below(4) == 3 else (digits.pick(RATINGS_A),) * 3
    metered = parent is None or digits.below(3) == 2
    return Circuit(
        f"c{k}",
        None if parent is None else f"c{parent}",
        rated,
        margin_a=digits.pick((None, (0.0,) * 3, (2.0, 1.0, 3.0))),
        max_import_w=digits.pick((None, None, 4200.0, 11_000.0, 40_000.0)),
        protection=digits.pick(PROTECTIONS),
        meter=f"m{k}" if metered else None,
        background_max_a=digits.pick(((0.0,) * 3, (5.0, 5.0, 5.0))),
    )


def asset_of(i: int, code: int, circuits: int) -> Asset:
    """EVSE ``i``."""
    digits = Digits(code)
    least, most = digits.pick(MINIMA_A), digits.pick(MAXIMA_A)
    return Asset(
        f"e{i}",
        AssetKind.EVSE,
        f"d{i}",
        f"c{digits.below(circuits)}",
        digits.pick(PHASE_MAPS),
        max(most, least),
        min_a=least,
        step_a=digits.pick(STEPS_A),
        tier=digits.pick((1, 1, 2)),
        boot_a=0.0,
        failsafe_verifiable=True,
    )


def code() -> st.SearchStrategy[int]:
    """One coded choice."""
    return st.integers(0, 2**40)


@st.composite
def topologies(draw: st.DrawFn, *, least_evses: int = 0, most_evses: int = MOST_EVSES) -> Topology:
    """1 to 6 levels (up to 8 circuits), 0 to 12 EVSEs."""
    depths: list[int] = []
    codes = draw(st.lists(code(), min_size=1, max_size=8))
    circuits = [circuit_of(k, value, depths) for k, value in enumerate(codes)]
    places = draw(st.lists(code(), min_size=least_evses, max_size=most_evses))
    assets = [asset_of(i, value, len(circuits)) for i, value in enumerate(places)]
    return build_topology(circuits, assets, version="random")


def seeded_topology(seed: int, *, most_evses: int = MOST_EVSES, least_evses: int = 2) -> Topology:
    """The same family from a seed, for simulations that choose their own sites."""
    rng = np.random.default_rng(seed)
    depths: list[int] = []
    circuits = [circuit_of(k, int(rng.integers(0, 2**40)), depths) for k in range(int(rng.integers(1, 7)))]
    count = int(rng.integers(least_evses, most_evses + 1))
    assets = [asset_of(i, int(rng.integers(0, 2**40)), len(circuits)) for i in range(count)]
    return build_topology(circuits, assets, version="random")


@dataclass(frozen=True)
class Problem:
    """One allocation problem."""

    topology: Topology
    budget: Any
    demand: Demand


def costs_of(topology: Topology, use: Any = None) -> Any:
    """(N, 4) cost per mA: conductors per phase, and watts per ampere at nominal voltage."""
    use = topology.wired if use is None else use
    watts = use.sum(axis=1, keepdims=True) * (topology.nominal_mv // 1000)
    return np.concatenate([use, watts], axis=1)


@st.composite
def problems(draw: st.DrawFn, *, single: bool = True, least_evses: int = 0) -> Problem:
    """A topology with random budgets, wishes, weights, learned phases and admission order (by tier)."""
    topology = draw(topologies(least_evses=least_evses))
    n, c = topology.n, topology.c
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    budget = rng.integers(0, 80_000, (c, 4))
    budget[:, 3] = np.where(rng.random(c) < 0.5, NO_LIMIT, rng.integers(0, 30_000_000, c))
    budget[:, :3] = np.where(rng.random((c, 1)) < 0.1, 0, budget[:, :3])
    asks = rng.random(n) < 0.9
    order = sorted(np.flatnonzero(asks).tolist(), key=lambda i: (int(topology.tier[i]), rng.random()))
    learned = topology.wired * (rng.random((n, 3)) < 0.7)
    use = np.where(learned.any(axis=1, keepdims=True), learned, topology.wired)
    spread = topology.max_ma - topology.min_ma + 1
    demand = Demand(
        order=tuple(order),
        floor_ma=topology.min_ma.copy(),
        ceiling_ma=topology.min_ma + rng.integers(0, np.maximum(spread, 1), n),
        tier=topology.tier.copy(),
        weight=rng.integers(1, 6, n),
        cost=costs_of(topology, use),
        probation=np.zeros(n, dtype=bool),
        probe_ma=topology.min_ma.copy(),
        single=(rng.random(n) < 0.3) & (topology.conductors > 1) & single,
        single_cost=one_phase(costs_of(topology, use), topology),
    )
    return Problem(topology, budget, demand)


def permuted(topology: Topology, order: list[int]) -> Topology:
    """The same site with its assets listed in another order."""
    return build_topology(topology.circuits, [topology.assets[i] for i in order], version=topology.version)


def with_columns(demand: Demand, order: list[int]) -> Demand:
    """The same demand for assets listed in another order."""
    place = {old: new for new, old in enumerate(order)}
    at = np.array(order, dtype=np.int64)
    columns = {
        name: getattr(demand, name)[at]
        for name in (
            "floor_ma",
            "ceiling_ma",
            "tier",
            "weight",
            "cost",
            "probation",
            "probe_ma",
            "single",
            "single_cost",
        )
    }
    return replace(demand, order=tuple(place[i] for i in demand.order), **columns)


def busy_site(seed: int, *, release_s: float = 10.0) -> Topology:
    """A site where current is short: 1 to 4 levels, 2 to 6 EVSEs polled every 1, 3 or 10 s, no margins.

    Every circuit carries half to all of what is behind it, so that offers have to be moved about.
    """
    rng = np.random.default_rng(seed)
    depths: list[int] = []
    parents: list[int | None] = []
    for k in range(int(rng.integers(1, 5))):
        parents.append(None if k == 0 else int(rng.integers(0, k)))
        depths.append(k)
    places = []
    for i in range(int(rng.integers(2, 7))):
        poll_s = float(rng.choice([1.0, 1.0, 3.0, 10.0]))
        settle_s = poll_s if rng.random() < 0.3 else 1.0
        places.append(
            Asset(
                f"e{i}",
                AssetKind.EVSE,
                f"d{i}",
                f"c{int(rng.integers(0, len(parents)))}",
                PHASE_MAPS[int(rng.integers(0, len(PHASE_MAPS)))],
                float(rng.choice([16.0, 32.0])),
                min_a=float(rng.choice(MINIMA_A)),
                step_a=float(rng.choice(STEPS_A)),
                poll_s=poll_s,
                settle_poll_s=settle_s,
                release_s=release_s,
                boot_a=0.0,
                failsafe_verifiable=True,
            )
        )
    circuits = []
    for k, parent in enumerate(parents):
        below = [a.max_a for a in places if _is_below(int(a.circuit[1:]), k, parents)]
        rated = max(16.0, float(np.floor(sum(below) * rng.uniform(0.4, 0.9))))
        metered = k == 0 or rng.random() < 0.4
        circuits.append(
            Circuit(
                f"c{k}",
                None if parent is None else f"c{parent}",
                (rated,) * 3,
                margin_a=(0.0, 0.0, 0.0),
                protection=Protection("gG", 63.0) if rng.random() < 0.5 else None,
                meter=f"m{k}" if metered else None,
                meter_period_s=float(rng.choice([1.0, 1.0, 2.0])) if metered else 1.0,
                background_max_a=(6.0, 6.0, 6.0) if metered else (0.0, 0.0, 0.0),
            )
        )
    return build_topology(circuits, places, version="busy")


def busy_load_a(topology: Topology, seed: int) -> Any:
    """(C, 3) constant background at each circuit itself: below 1.5 A, and only where all meters above see it."""
    rng = np.random.default_rng(seed)
    load = rng.uniform(0.0, 1.5, (topology.c, 3))
    for c in range(topology.c):
        at = c
        while at >= 0:
            if not topology.metered[at]:
                load[c] = 0.0
            at = int(topology.parent[at])
    return load


def _is_below(circuit: int, top: int, parents: list[int | None]) -> bool:
    at: int | None = circuit
    while at is not None and at != top:
        at = parents[at]
    return at == top
