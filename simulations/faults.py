"""The timed faults of a scenario, switched on and off in the plant and its view."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from interfaces.domain.units import MILLI, MISSING
from simulations.generators import Visit
from simulations.plant.site import Plant
from simulations.plant.view import FieldView
from simulations.scenario import FaultEntry

NO_OPERATOR_LIMIT_MW: Final[int] = 1 << 50
"""An explicit "no limit": the controller keeps a limit it no longer hears of."""


def disobedient(visits: tuple[Visit, ...], faults: tuple[FaultEntry, ...]) -> tuple[Visit, ...]:
    """The visits, where cars that arrive during a ``car_disobeys`` ignore every lower offer."""
    wrong = [f for f in faults if f.kind == "car_disobeys"]
    if not wrong:
        return visits
    out = []
    for visit in visits:
        car = visit.arrival
        if any(f.asset == car.asset and f.at_s <= car.start_s < f.at_s + f.for_s for f in wrong):
            car = replace(car, traits=replace(car.traits, ignores_decrease=True))
        out.append(replace(visit, arrival=car))
    return tuple(out)


class Faults:
    """Switches faults at their times. ``operator_limit_mw``: what the operator's input says now."""

    def __init__(self, faults: tuple[FaultEntry, ...], plant: Plant, view: FieldView) -> None:
        self._plant, self._view = plant, view
        edges = [(f.at_s, True, k) for k, f in enumerate(faults)]
        edges += [(f.at_s + f.for_s, False, k) for k, f in enumerate(faults)]
        self._edges = sorted(edges, reverse=True)
        self._faults = faults
        self.operator_limit_mw = MISSING

    def advance(self, now_s: float) -> None:
        """Switch everything that is due."""
        while self._edges and self._edges[-1][0] <= now_s:
            _, begins, k = self._edges.pop()
            self._switch(self._faults[k], begins)

    def _switch(self, fault: FaultEntry, begins: bool) -> None:
        topology = self._plant.topology
        if fault.circuit is not None:
            self._switch_circuit(fault, topology.circuit_index[fault.circuit], begins)
        elif fault.asset is not None:
            self._switch_asset(fault, topology.index[fault.asset], begins)
        elif fault.kind == "sun_share" and fault.share is not None:
            self._plant.sun.dimmed = fault.share if begins else 1.0
        elif fault.kind == "operator_limit" and fault.power_w is not None:
            self.operator_limit_mw = round(fault.power_w * MILLI) if begins else NO_OPERATOR_LIMIT_MW

    def _switch_circuit(self, fault: FaultEntry, line: int, begins: bool) -> None:
        meters = self._plant.meters
        if fault.kind == "meter_silent":
            self._view.meter_silent[line] = begins
        elif fault.kind == "meter_frozen":
            meters.frozen[line] = begins
        elif fault.kind == "meter_broken":
            meters.broken[line] = begins
        elif fault.kind == "meter_reversed":
            meters.sign[line] = -1.0 if begins else 1.0
        elif fault.amps_a is not None:
            self._plant.added_a[line] += np.array(fault.amps_a) * (1.0 if begins else -1.0)

    def _switch_asset(self, fault: FaultEntry, column: int, begins: bool) -> None:
        supplies = self._plant.supplies
        if fault.kind == "charger_unreachable":
            self._plant.reachable[column] = not begins
        elif fault.kind == "charger_reboot" and begins:
            supplies.reboot(column, self._plant.now_s)
        elif fault.kind == "charger_ignores_writes":
            supplies.ignores_writes[column] = begins
        elif fault.kind == "charger_fault":
            supplies.faulted[column] = begins
        elif fault.kind == "contactor_welded":
            supplies.welded[column] = begins
