"""The wires: currents of every circuit and phase, and voltages that sag with load."""

from __future__ import annotations

from typing import Final

import numpy as np

from interfaces.domain.topology import Topology
from interfaces.domain.units import MILLI, Bools, Floats

SOURCE_SAG_V: Final[float] = 4.0
"""Voltage lost in the supply when the grid connection carries its rating."""
CABLE_SAG_V: Final[float] = 1.5
"""Voltage lost in one circuit's cable at its rating."""


class Grid:
    """Sums through the tree. Amperes add arithmetically, as the topology says."""

    def __init__(self, topology: Topology) -> None:
        self._ancestry: Floats = np.array(topology.ancestry_f)
        self._below: Floats = np.asarray(topology.below, dtype=np.float64)
        self._own = np.array([chain[0] for chain in topology.chain], dtype=np.int64)
        self._nominal_v = topology.nominal_mv / MILLI
        rated_a = np.maximum(topology.rated_ma / MILLI, 1.0)
        sag_v = np.full((topology.c, 1), CABLE_SAG_V)
        sag_v[0] = SOURCE_SAG_V
        self._ohm: Floats = sag_v / rated_a
        self.nominal_share = 1.0
        """Supply voltage as a share of nominal, for sags from outside."""
        self.circuit_v: Floats = np.full((topology.c, 3), self._nominal_v)

    def energised(self, opened: Bools) -> tuple[Bools, Bools]:
        """Circuits (C,) and assets (N,) that have voltage when ``opened`` (C,) circuits are open."""
        dark = (self._below.T @ opened.astype(np.float64)) > 0.0
        return ~dark, ~dark[self._own]

    def rows(self, asset_a: Floats, own_a: Floats) -> tuple[Floats, Floats]:
        """Currents (C, 3) A of every circuit: from assets (N, 3), and from what hangs on the circuits (C, 3)."""
        return self._ancestry @ asset_a, self._below @ own_a

    def settle(self, row_a: Floats) -> Floats:
        """Voltages at the assets (N, 3) V under these row currents; ``circuit_v`` has them per circuit."""
        drop = self._ohm * row_a
        self.circuit_v = self._nominal_v * self.nominal_share - self._below.T @ drop
        return np.asarray(self.circuit_v[self._own])
