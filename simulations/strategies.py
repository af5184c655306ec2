"""Who controls the plant: the controller's core with different parameters, or nobody."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Protocol

import numpy as np

from controller.core.params import Params
from controller.core.scan import scan
from controller.core.state import ControllerState, initial
from interfaces.domain.command import Commands
from interfaces.domain.reasons import Reason
from interfaces.domain.telemetry import ScanRecord
from interfaces.domain.topology import AssetKind, Topology
from simulations.plant.site import Plant
from simulations.plant.view import FieldView, Orders
from simulations.scenario import StrategyName

_PPM: Final[int] = 1_000_000


class Strategy(Protocol):
    """Decides once per step. ``protection_max``: the highest protection accumulator it believed in."""

    @property
    def protection_max(self) -> float:
        """Share of tripping."""

    def decide(self, orders: Orders) -> None:
        """Read the field at the plant's present time and command it."""


class Uncontrolled:
    """Every car its maximum at once; batteries rest, PV feeds in freely."""

    def __init__(self, topology: Topology, plant: Plant) -> None:
        self._plant = plant
        self.protection_max = 0.0
        kind = np.asarray(topology.kind)
        setpoint = np.where(topology.is_evse | (kind == int(AssetKind.LOAD)), topology.max_ma, 0)
        setpoint = np.where(kind == int(AssetKind.PV), -topology.max_export_ma, setpoint)
        n = topology.n
        self._commands = Commands(
            setpoint_ma=setpoint,
            stop=np.zeros(n, dtype=np.bool_),
            phases=np.zeros(n, dtype=np.int64),
            wish_ma=setpoint,
            reason=np.full(n, int(Reason.WISH), dtype=np.int64),
            binding=np.full(n, -1, dtype=np.int64),
            fast_poll=np.zeros(n, dtype=np.bool_),
            valid_until_s=float("inf"),
            failsafe=False,
            guard_ok=True,
        )

    def decide(self, orders: Orders) -> None:  # noqa: ARG002  it listens to nobody
        """Repeat the same commands; nothing is read."""
        self._plant.apply(self._commands)


class Core:
    """The controller's own scan. ``state``, ``commands``, ``record`` are those of the last one, for whoever looks."""

    def __init__(self, params: Params, plant: Plant, view: FieldView) -> None:
        self.params = params
        self.plant, self._view = plant, view
        self.state: ControllerState = initial(params, plant.now_s)
        self.commands: Commands | None = None
        self.record: ScanRecord | None = None
        self._theta_ppm = 0

    @property
    def protection_max(self) -> float:
        """Highest accumulator of the controller's own protection model."""
        return self._theta_ppm / _PPM

    def decide(self, orders: Orders) -> None:
        """Image, scan, write: one turn of the loop that the field process runs."""
        plant = self.plant
        image = self._view.image(orders)
        commands, report, self.state = scan(image, self.state, self.params, plant.now_s, plant.epoch_s)
        self._view.apply(commands)
        self.commands = commands
        self.record = ScanRecord(self.state.scans, plant.now_s, plant.epoch_s, image, commands, report, "")
        self._theta_ppm = max(self._theta_ppm, int(report.theta_ppm.max(initial=0)))


def strategy_of(name: StrategyName, plant: Plant, view: FieldView) -> Strategy:
    """The strategy of this name at a fresh plant."""
    topology = plant.topology
    if name == "uncontrolled":
        return Uncontrolled(topology, plant)
    params = Params.of(topology)
    if name == "fair-share":
        params = replace(params, use_targets=False)
    elif name == "no-ledger":
        params = replace(params, ledger=False)
    return Core(params, plant, view)
