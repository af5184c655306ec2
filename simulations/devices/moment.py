"""One instant of the plant as plain numbers: what all devices of a site show at their next refresh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interfaces.domain.units import SECONDS_PER_HOUR, Floats
from simulations.plant.site import Plant


@dataclass(frozen=True, slots=True)
class Moment:
    """Lists by asset column or circuit line. Currents per conductor (assets) or phase (circuits), A; Wh, W, V.

    ``soc`` of batteries by column; ``car_soc``: of a car that came empty, for chargers that can ask it.
    """

    now_s: float
    amps: list[list[float]]
    volts: list[list[float]]
    energy_wh: list[float]
    session_wh: list[float]
    pilot: list[int]
    in_force_a: list[float]
    pilot_a: list[float]
    closed: list[bool]
    phases: list[int]
    soc: dict[int, float]
    car_soc: list[float]
    failsafe_a: list[float]
    timeout_s: list[float]
    contact_s: list[float]
    tags: tuple[str | None, ...]
    meter_a: list[list[float]]
    meter_v: list[list[float]]
    import_wh: list[float]
    export_wh: list[float]


class Counters:
    """Energy counters of every circuit's meter, and the moment itself."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._import_wh: Floats = np.zeros(plant.topology.c)
        self._export_wh: Floats = np.zeros(plant.topology.c)
        phases = [(*a.phases, *([a.phases[0]] * 3))[:3] for a in plant.topology.assets]
        self._phase_of = np.array(phases, dtype=np.int64).reshape(plant.topology.n, 3)
        self._meter_a, _ = plant.meters.observe(plant.row_a, plant.grid.circuit_v)

    def observe(self, dt_s: float) -> None:
        """The meters form a new block; ``dt_s`` since the last one."""
        plant = self._plant
        self._meter_a, watts = plant.meters.observe(plant.row_a, plant.grid.circuit_v)
        energy_wh = np.nan_to_num(watts) * (dt_s / SECONDS_PER_HOUR)
        self._import_wh += np.maximum(energy_wh, 0.0)
        self._export_wh += np.maximum(-energy_wh, 0.0)

    def moment(self) -> Moment:
        """The plant's present."""
        plant = self._plant
        supplies, delivered = plant.supplies, plant.sessions.delivered_wh
        return Moment(
            now_s=plant.now_s,
            amps=plant.conductor_a.tolist(),
            volts=np.take_along_axis(plant.volts_v, self._phase_of, axis=1).tolist(),
            energy_wh=plant.energy_wh.tolist(),
            session_wh=delivered.tolist(),
            pilot=plant.pilot.tolist(),
            in_force_a=plant.in_force_a.tolist(),
            pilot_a=supplies.pilot_a.tolist(),
            closed=supplies.closed.tolist(),
            phases=plant.phases_now.tolist(),
            soc=dict(zip(plant.batteries.columns.tolist(), plant.batteries.soc.tolist(), strict=True)),
            car_soc=(delivered / np.maximum(delivered + plant.cars.remaining_wh, 1.0)).tolist(),
            failsafe_a=supplies.failsafe_a.tolist(),
            timeout_s=supplies.timeout_s.tolist(),
            contact_s=supplies.contact_s.tolist(),
            tags=plant.sessions.tags,
            meter_a=self._meter_a.tolist(),
            meter_v=plant.grid.circuit_v.tolist(),
            import_wh=self._import_wh.tolist(),
            export_wh=self._export_wh.tolist(),
        )
