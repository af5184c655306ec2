"""What the building takes: daily shape, noise and motors that start, or a measured series; per circuit and phase."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from interfaces.domain.topology import Topology
from interfaces.domain.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, Bools, Floats

INRUSH: Final[tuple[tuple[float, float], ...]] = ((1.0, 6.0), (5.0, 2.0))
"""A direct-on-line motor: six times its running current for 1 s, then twice until 5 s after the start."""
NOISE_MEMORY_S: Final[float] = 60.0
_SHAPES: Final[dict[str, tuple[float, ...]]] = {
    "flat": (1.0,) * 24,
    "office": (0.15,) * 6 + (0.3, 0.6, 0.9, 1.0, 1.0, 1.0, 0.95, 1.0, 1.0, 0.95, 0.85, 0.6, 0.4, 0.3) + (0.2,) * 4,
    "home": (0.2,) * 6 + (0.5, 0.7, 0.5, 0.4, 0.4, 0.5, 0.6, 0.5, 0.4, 0.4, 0.5, 0.8, 1.0, 1.0, 0.9, 0.7, 0.5, 0.3),
}
"""Share of the swing in each hour of the day, made up after the class shapes of standard load profiles."""

Three = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Motor:
    """A motor that starts now and then: ``running_a`` per phase, mean pause between runs and length of one, in s."""

    running_a: Three
    mean_pause_s: float = 900.0
    run_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Series:
    """Measured currents (T, 3) A at ``step_s``, from the start of the run and around again at the end."""

    step_s: float
    amps: Floats


@dataclass(frozen=True, slots=True)
class BuildingLoad:
    """Load behind one circuit: ``base_a`` always, ``swing_a`` more at its busiest hour, both per phase in A."""

    circuit: str
    base_a: Three
    swing_a: Three = (0.0, 0.0, 0.0)
    noise_a: float = 0.5
    shape: Literal["flat", "office", "home"] = "office"
    motors: tuple[Motor, ...] = ()
    series: Series | None = None


class Building:
    """All loads of a site; ``amps(...)`` gives what hangs directly on every circuit (C, 3) A."""

    def __init__(self, topology: Topology, loads: Sequence[BuildingLoad], rng: np.random.Generator) -> None:
        b = len(loads)
        self._rng = rng
        self._place: Floats = np.zeros((topology.c, b))
        for k, load in enumerate(loads):
            self._place[topology.circuit_index[load.circuit], k] = 1.0
        self._base: Floats = np.array([x.base_a for x in loads], dtype=np.float64).reshape(b, 3)
        self._swing: Floats = np.array([x.swing_a for x in loads], dtype=np.float64).reshape(b, 3)
        self._noise_a: Floats = np.array([[x.noise_a] for x in loads], dtype=np.float64).reshape(b, 1)
        self._noise: Floats = np.zeros((b, 3))
        self._shape: Floats = np.array([_SHAPES[x.shape] for x in loads], dtype=np.float64).reshape(b, 24)
        self._series = [(k, x.series) for k, x in enumerate(loads) if x.series is not None]
        motors = [(k, m) for k, x in enumerate(loads) for m in x.motors]
        self._motor_place: Floats = self._place[:, [k for k, _ in motors]]
        self._motor_a: Floats = np.array([m.running_a for _, m in motors], dtype=np.float64).reshape(len(motors), 3)
        self._run_s: Floats = np.array([m.run_s for _, m in motors], dtype=np.float64)
        self._pause_s: Floats = np.array([m.mean_pause_s for _, m in motors], dtype=np.float64)
        self._start_s: Floats = rng.exponential(self._pause_s) if motors else np.zeros(0)

    def amps(self, dt_s: float, now_s: float, day_s: float) -> Floats:
        """Current of the loads hanging directly on each circuit (C, 3) A; ``day_s``: seconds since midnight."""
        hour = (day_s % SECONDS_PER_DAY) / SECONDS_PER_HOUR
        low = int(hour) % 24
        share = self._shape[:, low] + (hour - int(hour)) * (self._shape[:, (low + 1) % 24] - self._shape[:, low])
        memory = float(np.exp(-dt_s / NOISE_MEMORY_S))
        kick = self._rng.standard_normal(self._noise.shape) * np.sqrt(1.0 - memory * memory)
        self._noise = memory * self._noise + kick
        load = self._base + self._swing * share[:, None]
        for k, series in self._series:
            load[k] = series.amps[int(now_s / series.step_s) % len(series.amps)]
        load = np.maximum(load + self._noise_a * self._noise, 0.0)
        total = self._place @ load
        if len(self._run_s):
            total += self._motor_place @ (self._motor_factor(now_s)[:, None] * self._motor_a)
        return np.asarray(total)

    def _motor_factor(self, now_s: float) -> Floats:
        age = now_s - self._start_s
        over: Bools = age >= self._run_s
        if over.any():
            pause = self._rng.exponential(self._pause_s[over])
            self._start_s[over] += self._run_s[over] + pause
            age = now_s - self._start_s
        (inrush_s, inrush), (runup_s, runup) = INRUSH
        running = np.where(age < inrush_s, inrush, np.where(age < runup_s, runup, 1.0))
        return np.where((age >= 0.0) & (age < self._run_s), running, 0.0)
