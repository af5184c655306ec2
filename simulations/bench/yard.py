"""A synthetic site of any size, for benchmarks: nested circuits, sockets of mixed phases, cars that come and go."""

from __future__ import annotations

from itertools import cycle, permutations
from typing import Final

import numpy as np

from interfaces.domain.topology import Asset, AssetKind, Circuit, Protection, Topology, build_topology
from simulations.plant.battery import BatterySpec
from simulations.plant.building import BuildingLoad, Motor
from simulations.plant.ev import Arrival, drawn_traits
from simulations.plant.site import Environment

SOCKETS_PER_ROW: Final[int] = 8
AMPS_PER_SOCKET: Final[float] = 9.0
"""Rating of a circuit per socket behind it: below two thirds of what the cars want, so that there is always a queue."""
SMALLEST_A: Final[float] = 40.0
ROTATIONS: Final = (*permutations(range(3)), (0,), (1,), (2,), (0, 1))
METERED_LEVELS: Final[int] = 2
"""The grid connection point and the level below it have meters; a site seldom has more."""
OCCUPIED_SHARE: Final[float] = 0.7
STAY_S: Final[tuple[float, float]] = (40.0, 500.0)
"""Far shorter than real visits, so that a run of minutes sees as many plug-ins as a day."""


def yard(evses: int, levels: int) -> Topology:
    """A tree of ``levels`` circuits deep with ``evses`` sockets on its lowest level, one PV inverter, one battery."""
    rows = _rows(evses, levels)
    circuits = [_circuit(level, k, rows, evses) for level in range(levels) for k in range(rows[level])]
    leaves = [f"c{levels - 1}-{k}" for k in range(rows[-1])]
    turn = cycle(ROTATIONS)
    assets = [_socket(k, leaves[k % len(leaves)], next(turn)) for k in range(evses)]
    size_a = max(16.0, 0.25 * AMPS_PER_SOCKET * evses)
    for name, kind in (("pv", AssetKind.PV), ("battery", AssetKind.BATTERY)):
        assets.append(Asset(name, kind, name, "c0-0", phases=(0, 1, 2), max_a=size_a, min_a=0.0, max_export_a=size_a))
    return build_topology(circuits, assets, version="bench")


def _rows(evses: int, levels: int) -> list[int]:
    """Number of circuits on each level: doubling, the last one with a circuit for every eight sockets."""
    last = max(1, -(-evses // SOCKETS_PER_ROW))
    inner = [min(2**level, last) for level in range(levels - 1)]
    return [*inner, last] if levels > 1 else [1]


def _circuit(level: int, k: int, rows: list[int], evses: int) -> Circuit:
    sockets = evses / rows[level]
    # The higher a circuit, the less likely all its sockets are busy at once; installers count on it.
    rated_a = max(SMALLEST_A, round(AMPS_PER_SOCKET * sockets * (1.0 if level else 0.8)))
    metered = level < METERED_LEVELS
    return Circuit(
        f"c{level}-{k}",
        f"c{level - 1}-{k % rows[level - 1]}" if level else None,
        (rated_a,) * 3,
        protection=Protection("gG", rated_a) if k % 2 == 0 else Protection("mcb", rated_a, "C", 5.0),
        meter=f"m{level}-{k}" if metered else None,
        background_max_a=((0.4 if level == 0 else 0.1) * rated_a,) * 3 if metered else (0.0,) * 3,
    )


def _socket(k: int, circuit: str, phases: tuple[int, ...]) -> Asset:
    return Asset(
        f"e{k}",
        AssetKind.EVSE,
        f"d{k}",
        circuit,
        phases=phases,
        max_a=16.0 if k % 3 else 32.0,
        step_a=0.1 if k % 2 else 1.0,
        tier=1 + k % 2,
        failsafe_verifiable=k % 4 != 0,
    )


def surroundings(topology: Topology) -> Environment:
    """A building with motors on every metered circuit, and the battery."""
    loads = []
    for circuit in topology.circuits:
        if circuit.meter is None or circuit.background_max_a is None:
            continue
        worst_a = circuit.background_max_a[0]
        motor = Motor((0.05 * worst_a,) * 3, mean_pause_s=60.0, run_s=20.0)
        loads.append(
            BuildingLoad(
                circuit.id, (0.2 * worst_a,) * 3, (0.2 * worst_a,) * 3, noise_a=0.02 * worst_a, motors=(motor,)
            )
        )
    return Environment(tuple(loads), batteries=(BatterySpec("battery"),), start_day_s=10 * 3600.0)


def comings_and_goings(topology: Topology, length_s: float, rng: np.random.Generator) -> tuple[Arrival, ...]:
    """Visits at every socket for ``length_s`` seconds, with pauses that keep the yard about 70 % occupied."""
    visits: list[Arrival] = []
    for asset in topology.assets:
        if asset.kind is not AssetKind.EVSE:
            continue
        at_s = 0.0 if rng.random() < OCCUPIED_SHARE else rng.uniform(*STAY_S)
        while at_s < length_s:
            stay_s = rng.uniform(*STAY_S)
            visits.append(
                Arrival(
                    asset.id,
                    start_s=at_s,
                    end_s=at_s + stay_s,
                    energy_wh=rng.uniform(500.0, 20_000.0),
                    phases=1 + int(rng.choice(3, p=(0.3, 0.1, 0.6))),
                    max_a=float(rng.choice([16.0, 32.0])),
                    tag=f"car-{len(visits)}",
                    traits=drawn_traits(rng, odd_share=0.2, disobedient_share=0.02),
                )
            )
            at_s += stay_s + rng.uniform(*STAY_S) * (1.0 / OCCUPIED_SHARE - 1.0)
    return tuple(visits)
