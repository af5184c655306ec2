"""How long a scan takes, and whether its memory grows: the controller's core in a closed loop with the plant."""

from __future__ import annotations

import copy
import gc
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from controller.core.params import Params
from controller.core.scan import scan
from controller.core.state import initial
from interfaces.domain.image import Image
from interfaces.domain.topology import Topology
from interfaces.domain.units import MILLI
from simulations.bench.figures import percentile
from simulations.bench.yard import comings_and_goings, surroundings, yard
from simulations.plant.site import Plant
from simulations.plant.view import FieldView

START_EPOCH_S: Final[float] = 1_750_000_000.0
WARM_UP_SCANS: Final[int] = 800
"""160 s: cars charge and have left, the background window is full, the interpreter has seen every path once."""
TIMED_SCANS: Final[int] = 1000
BYTES_PER_KB: Final[int] = 1024


@dataclass(frozen=True, slots=True)
class ScanFigures:
    """Figures of one size. Times of one call of ``scan`` in ms, ``cpu_`` the processor time alone: on a machine that is
    busy with other work the two differ.

    ``growth_kb``: memory the core holds more after 1000 scans than before them. ``offering_mean``: EVSEs with an offer.
    """

    evses: int
    circuits: int
    scan_ms_p50: float | None
    scan_ms_p99: float | None
    cpu_ms_p50: float | None
    cpu_ms_p99: float | None
    period_ms: float
    growth_kb: float
    offering_mean: float


def bench_scan(
    evses: int, levels: int, *, seed: int = 1, warm_up: int = WARM_UP_SCANS, timed: int = TIMED_SCANS
) -> ScanFigures:
    """Run the closed loop, time every scan after the warm-up, then repeat its images and weigh the memory."""
    topology = yard(evses, levels)
    runs = list(_closed_loop(topology, seed, warm_up + timed))
    measured = runs[warm_up:]
    wall_ms = np.array([run.wall_s for run in measured]) * MILLI
    cpu_ms = np.array([run.cpu_s for run in measured]) * MILLI
    return ScanFigures(
        evses=evses,
        circuits=topology.c,
        scan_ms_p50=percentile(wall_ms, 50),
        scan_ms_p99=percentile(wall_ms, 99),
        cpu_ms_p50=percentile(cpu_ms, 50),
        cpu_ms_p99=percentile(cpu_ms, 99),
        period_ms=topology.period_s * MILLI,
        growth_kb=round(_growth_kb(topology, [run.image for run in runs], warm_up), 1) + 0.0,
        offering_mean=round(float(np.mean([run.offering for run in measured])), 1),
    )


@dataclass(frozen=True, slots=True)
class _Run:
    """One scan: its image, what it took, and the EVSEs with an offer after it."""

    image: Image
    wall_s: float
    cpu_s: float
    offering: int


def _closed_loop(topology: Topology, seed: int, scans: int) -> Iterator[_Run]:
    step_s = topology.period_s
    rng = np.random.default_rng(np.random.SeedSequence((seed, 7)))
    visits = comings_and_goings(topology, scans * step_s, rng)
    plant = Plant(topology, visits, seed=seed, environment=surroundings(topology), step_s=step_s)
    view = FieldView(plant, seed)
    params = Params.of(topology)
    state = initial(params, 0.0)
    for k in range(scans):
        image, now_s = view.image(), plant.now_s
        wall_s, cpu_s = time.perf_counter(), time.thread_time()
        commands, _, state = scan(image, state, params, now_s, START_EPOCH_S + now_s)
        cpu_s, wall_s = time.thread_time() - cpu_s, time.perf_counter() - wall_s
        yield _Run(image, wall_s, cpu_s, int((commands.setpoint_ma[topology.is_evse] > 0).sum()))
        view.apply(commands)
        plant.step(step_s, (k + 1) * step_s)


def _growth_kb(topology: Topology, images: list[Image], warm_up: int) -> float:
    """Scan the same images again and weigh what Python and numpy hold before and after.

    Every scan gets a copy of its image, so that a state that clings to old images is seen.
    """
    params = Params.of(topology)
    state = initial(params, 0.0)
    before = 0
    tracemalloc.start()
    try:
        for k, image in enumerate(images):
            if k == warm_up:
                gc.collect()
                before = tracemalloc.get_traced_memory()[0]
            now_s = k * topology.period_s
            state = scan(copy.deepcopy(image), state, params, now_s, START_EPOCH_S + now_s)[2]
        gc.collect()
        return (tracemalloc.get_traced_memory()[0] - before) / BYTES_PER_KB
    finally:
        tracemalloc.stop()
