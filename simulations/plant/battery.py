"""Stationary batteries: state of charge, losses, limits, heat. Charging is positive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from interfaces.domain.topology import AssetKind, Topology
from interfaces.domain.units import MILLI, Bools, Floats, wh_from_kwh

SOC_FULL: Final[float] = 0.98
SOC_EMPTY: Final[float] = 0.05
RESPONSE_S: Final[float] = 1.0
"""Time constant of the inverter's answer to a new setpoint."""


@dataclass(frozen=True, slots=True)
class BatterySpec:
    """One battery by asset id; ``efficiency`` counts once per direction, ``soc`` is the first state of charge."""

    asset: str
    capacity_kwh: float = 100.0
    efficiency: float = 0.96
    soc: float = 0.5


class Batteries:
    """The battery columns of a site. ``hot`` (B,): the management system refuses to charge and to discharge."""

    def __init__(self, topology: Topology, specs: tuple[BatterySpec, ...]) -> None:
        self.columns = np.flatnonzero(np.asarray(topology.kind) == int(AssetKind.BATTERY))
        known = {spec.asset: spec for spec in specs}
        mine = [known.get(topology.assets[i].id, BatterySpec(topology.assets[i].id)) for i in self.columns]
        self.capacity_wh: Floats = np.array([wh_from_kwh(s.capacity_kwh) for s in mine], dtype=np.float64)
        self._efficiency: Floats = np.array([s.efficiency for s in mine], dtype=np.float64)
        self.soc: Floats = np.array([s.soc for s in mine], dtype=np.float64)
        self.hot: Bools = np.zeros(len(mine), dtype=np.bool_)
        self._most_a: Floats = topology.max_ma[self.columns] / MILLI
        self._least_a: Floats = -topology.max_export_ma[self.columns] / MILLI
        self.amps: Floats = np.zeros(len(mine))

    def advance(self, dt_s: float, setpoint_a: Floats, heard: Floats, power_w: Floats) -> Floats:
        """Signed current per conductor (B,) A after ``dt_s``; ``power_w`` (B,): what flowed at the terminals before.

        Without contact (``heard`` 0) the inverter stands still.
        """
        stored = np.where(power_w > 0.0, power_w * self._efficiency, power_w / self._efficiency)
        self.soc = np.clip(self.soc + stored * dt_s / 3600.0 / self.capacity_wh, 0.0, 1.0)
        goal = np.clip(setpoint_a, self._least_a, self._most_a)
        refused = self.hot | (heard <= 0.0)
        refused |= ((goal > 0.0) & (self.soc >= SOC_FULL)) | ((goal < 0.0) & (self.soc <= SOC_EMPTY))
        goal = np.where(refused, 0.0, goal)
        self.amps = goal + (self.amps - goal) * float(np.exp(-dt_s / RESPONSE_S))
        return self.amps
