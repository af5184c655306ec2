"""Meters as they are: late, noisy, sometimes frozen, mounted the wrong way round or telling nonsense."""

from __future__ import annotations

from typing import Final

import numpy as np

from interfaces.domain.units import Bools, Floats, Ints

NOISE_A: Final[float] = 0.01
"""Jitter of a class 1 meter's last digit; a real reading never stands still."""
_STRAIGHT: Final[tuple[int, int, int]] = (0, 1, 2)


class Meters:
    """The meter of every circuit and its faults, each settable per line while the plant runs.

    ``sign`` (C,): -1 for transformers mounted backwards. ``order`` (C, 3): which true phase each channel sees.
    ``offset_a`` (C, 3): a jump. ``broken`` (C,): reads NaN. ``frozen`` (C,): repeats its last block.
    """

    def __init__(self, c: int, rng: np.random.Generator) -> None:
        self._rng = rng
        self.sign: Floats = np.ones((c, 1))
        self.order: Ints = np.tile(np.array(_STRAIGHT, dtype=np.int64), (c, 1))
        self.offset_a: Floats = np.zeros((c, 3))
        self.noise_a: Floats = np.full((c, 1), NOISE_A)
        self.broken: Bools = np.zeros(c, dtype=np.bool_)
        self.frozen: Bools = np.zeros(c, dtype=np.bool_)
        self._swapped = False
        self._last_a: Floats = np.zeros((c, 3))
        self._last_w: Floats = np.zeros(c)
        self.counter: Ints = np.zeros(c, dtype=np.int64)
        """Changes with every block a meter forms; a frozen one stands still."""

    def swap(self, line: int, order: tuple[int, int, int]) -> None:
        """Current transformers on the wrong phases: channel k sees true phase ``order[k]``."""
        self.order[line] = order
        self._swapped = bool((self.order != np.array(_STRAIGHT)).any())

    def observe(self, true_a: Floats, circuit_v: Floats) -> tuple[Floats, Floats]:
        """What the meters show now: signed currents (C, 3) A and net power (C,) W, NaN where broken."""
        amps = true_a
        if self._swapped:
            amps = np.take_along_axis(true_a, self.order, axis=1)
        amps = self.sign * amps + self.offset_a + self.noise_a * self._rng.standard_normal(true_a.shape)
        watts = (amps * circuit_v).sum(axis=1)
        if self.frozen.any():
            amps = np.where(self.frozen[:, None], self._last_a, amps)
            watts = np.where(self.frozen, self._last_w, watts)
        self.counter += ~self.frozen
        self._last_a, self._last_w = amps, watts
        if self.broken.any():
            amps = np.where(self.broken[:, None], np.nan, amps)
            watts = np.where(self.broken, np.nan, watts)
        return amps, watts
