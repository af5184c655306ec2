"""The whole site in motion: one ``Plant`` steps cars, chargers, building, sun, battery, wires and fuses together.

A loop runs: read (``FieldView.image``) at the plant's ``now_s``, decide, ``apply`` the commands, ``step`` on. Currents
are A in the grid's phase frame, positive when drawn. Every part has its own random stream, so that the weather and the
building do the same whatever the controller does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from interfaces.domain.command import Commands
from interfaces.domain.topology import AssetKind, Topology
from interfaces.domain.units import MILLI, SECONDS_PER_HOUR, Bools, Floats, Ints
from simulations.plant.battery import Batteries, BatterySpec
from simulations.plant.breaker import Breakers
from simulations.plant.building import Building, BuildingLoad
from simulations.plant.ev import Arrival, Cars
from simulations.plant.evse import PILOT_HOLD_S, Supplies
from simulations.plant.grid import Grid
from simulations.plant.meter import Meters
from simulations.plant.metrics import Judge
from simulations.plant.pv import Inverters, Sky, Sun
from simulations.plant.sessions import Sessions

SKEW_MOST_S: Final[float] = 2.0
"""How old a reading may be when its reply leaves the device; the history reaches back this far."""
LATE_COUNTS_S: Final[float] = 74.0
"""A newly used conductor explains an overload until the judge's window has seen it whole (60 s + 14 s)."""
LIVE_A: Final[float] = 0.5
_LOAD_ON_SHARE: Final[float] = 1 / 3
_LOAD_CYCLE_S: Final[float] = 3600.0


@dataclass(frozen=True, slots=True)
class Environment:
    """What surrounds the flexible assets. ``start_epoch_s`` is UTC, ``start_day_s`` local seconds since midnight.

    ``true_phases``: where an asset's conductors really sit when that differs from the site file. ``unmanaged``: assets
    nobody commands; they follow their own limits and count as background.
    """

    loads: tuple[BuildingLoad, ...] = ()
    sky: Sky = field(default_factory=Sky)
    batteries: tuple[BatterySpec, ...] = ()
    true_phases: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    unmanaged: frozenset[str] = frozenset()
    start_epoch_s: float = 0.0
    start_day_s: float = 0.0
    pilot_hold_s: float = PILOT_HOLD_S


def _phase_index(phases: Sequence[tuple[int, ...]]) -> Ints:
    """(N, 3): which conductor feeds each grid phase; 3 points at a column of zeros."""
    index = np.full((len(phases), 3), 3, dtype=np.int64)
    for i, own in enumerate(phases):
        for conductor, phase in enumerate(own):
            index[i, phase] = conductor
    return index


class Plant:
    """A site behind a topology. After ``step`` the public arrays describe the instant ``now_s``.

    ``draw_a`` (N, 3): true currents per grid phase; ``seen_a`` (N, 3): the same as the site file maps conductors.
    ``row_a``, ``background_a`` (C, 3): true circuit currents, and what nobody commands (building, sun, unmanaged).
    """

    def __init__(
        self,
        topology: Topology,
        arrivals: Sequence[Arrival] = (),
        *,
        seed: int,
        environment: Environment | None = None,
        step_s: float = 1.0,
    ) -> None:
        around = Environment() if environment is None else environment
        streams = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(5)]
        n, c = topology.n, topology.c
        self.topology, self.environment, self.now_s = topology, around, 0.0
        self.supplies = Supplies(topology, streams[0], hold_s=around.pilot_hold_s)
        self.cars = Cars(n, streams[1])
        self.building = Building(topology, around.loads, streams[2])
        self.sun = Sun(around.sky, streams[3])
        self.meters = Meters(c, streams[4])
        self.inverters = Inverters(topology)
        self.batteries = Batteries(topology, around.batteries)
        self.grid, self.breakers = Grid(topology), Breakers(topology)
        self.sessions, self.judge = Sessions(topology, arrivals), Judge(topology, step_s)
        self.reachable: Bools = np.ones(n, dtype=np.bool_)
        self.phases_now: Ints = np.where(topology.conductors > 1, 3, 1).astype(np.int64)
        self.switched_under_load = 0
        self.added_a: Floats = np.zeros((c, 3))
        self.draw_a: Floats = np.zeros((n, 3))
        self.seen_a: Floats = np.zeros((n, 3))
        self.volts_v: Floats = np.full((n, 3), topology.nominal_mv / MILLI)
        self.power_w: Floats = np.zeros(n)
        self.energy_wh: Floats = np.zeros(n)
        self.row_a: Floats = np.zeros((c, 3))
        self._building_a: Floats = np.zeros((c, 3))
        self.background_a: Floats = np.zeros((c, 3))
        self._prepare(step_s)

    def _prepare(self, step_s: float) -> None:
        topology = self.topology
        n = topology.n
        self._loads = np.flatnonzero(np.asarray(topology.kind) == int(AssetKind.LOAD))
        self._is_evse = np.asarray(topology.is_evse)
        self._wires: Bools = np.arange(3) < np.asarray(topology.conductors)[:, None]
        configured = [a.phases for a in topology.assets]
        true = [self.environment.true_phases.get(a.id, a.phases) for a in topology.assets]
        self._configured, self._true = _phase_index(configured), _phase_index(true)
        self._miswired = bool((self._configured != self._true).any())
        self._padded: Floats = np.zeros((n, 4))
        self._lines = np.arange(n)[:, None]
        self._no_lights: Bools = np.ones(n, dtype=np.bool_)
        pv = self.inverters.columns
        self.supplies.applied_a[pv] = self.supplies.setpoint_a[pv] = -self.inverters.nameplate_a
        free = np.array([a.id in self.environment.unmanaged for a in topology.assets], dtype=np.bool_)
        self._outside = np.flatnonzero(free | (np.asarray(topology.kind) == int(AssetKind.PV)))
        alone = free & self._is_evse
        self.supplies.applied_a[alone] = self.supplies.setpoint_a[alone] = self.supplies.rated_a[alone]
        self.supplies.timeout_s[free] = np.inf
        depth = round(SKEW_MOST_S / step_s) + 1
        self.history_rows: Floats = np.zeros((depth, topology.c, 3))
        self.history_seen: Floats = np.zeros((depth, n, 3))
        self.history_at = 0

    def apply(self, commands: Commands) -> None:
        """Commands of one scan reach every reachable device at the plant's present time."""
        setpoint_a = commands.setpoint_ma / MILLI
        reached = self.reachable & ~self.supplies.booting(self.now_s)
        self.supplies.write(setpoint_a, commands.stop, reached, self.now_s)
        if commands.phases.any():
            self.switch_phases(np.where(reached, commands.phases, 0))

    def switch_phases(self, phases: Ints) -> None:
        """Change over to 1 or 3 phases (N,), 0 leaves; a change under current is counted, it ruins cars."""
        asked = (phases > 0) & (phases != self.phases_now) & np.asarray(self.topology.can_switch)
        self.switched_under_load += int((asked & (self.cars.amps > LIVE_A)).sum())
        self.phases_now = np.where(asked, phases, self.phases_now)

    def step(self, dt_s: float, now_s: float) -> None:
        """Move from the present time by ``dt_s`` to ``now_s``."""
        self.now_s = now_s
        circuits_on, assets_on = self._lit()
        cars, supplies = self.cars, self.supplies
        self.sessions.advance(now_s, cars)
        supplies.advance(dt_s, now_s, cars.plugged)
        cars.follow(now_s, supplies)
        supplies.switch(now_s, cars.ready)
        cars.use_conductors(now_s, np.asarray(self.topology.conductors), self.phases_now)
        cars.draw(dt_s, now_s, supplies, assets_on)
        conductor_a = np.where(cars.conductors, cars.amps[:, None], 0.0)
        self._run_others(dt_s, now_s, conductor_a, assets_on)
        self._padded[:, :3] = conductor_a
        self.seen_a = self._padded[self._lines, self._configured]
        self.draw_a = self._padded[self._lines, self._true] if self._miswired else self.seen_a
        self._settle(dt_s, now_s, circuits_on)
        self._account(dt_s)

    def _lit(self) -> tuple[Bools | None, Bools]:
        if not self.breakers.open.any():
            return None, self._no_lights
        return self.grid.energised(self.breakers.open)

    def _run_others(self, dt_s: float, now_s: float, conductor_a: Floats, assets_on: Bools) -> None:
        supplies = self.supplies
        heard = (now_s - supplies.contact_s <= supplies.timeout_s).astype(np.float64)
        for device in (self.batteries, self.inverters):
            mine = device.columns
            if not len(mine):
                continue
            setpoint_a = supplies.applied_a[mine]
            if isinstance(device, Batteries):
                amps = device.advance(dt_s, setpoint_a, heard[mine], self.power_w[mine])
            else:
                share = self.sun.share(dt_s, now_s, self.day_s)
                amps = device.advance(share, setpoint_a, heard[mine])
            conductor_a[mine] = np.where(self._wires[mine] & assets_on[mine, None], amps[:, None], 0.0)
        if len(self._loads):
            mine = self._loads
            phase = (now_s / _LOAD_CYCLE_S + mine * 0.37) % 1.0
            demand = np.where(phase < _LOAD_ON_SHARE, supplies.rated_a[mine], 0.0)
            amps = np.minimum(demand, np.where(heard[mine] > 0, supplies.applied_a[mine], supplies.failsafe_a[mine]))
            conductor_a[mine] = np.where(self._wires[mine] & assets_on[mine, None], amps[:, None], 0.0)

    def _settle(self, dt_s: float, now_s: float, circuits_on: Bools | None) -> None:
        self._building_a = self.building.amps(dt_s, now_s, self.day_s)
        self._sum_up(circuits_on)
        self.history_at = (self.history_at + 1) % len(self.history_rows)
        self.history_rows[self.history_at] = self.row_a
        self.history_seen[self.history_at] = self.seen_a

    def settle(self) -> None:
        """Bring the currents up to date with ``added_a`` without letting time pass."""
        self._sum_up(self._lit()[0])

    def _sum_up(self, circuits_on: Bools | None) -> None:
        own_a = self._building_a + self.added_a
        if circuits_on is not None:
            own_a = np.where(circuits_on[:, None], own_a, 0.0)
        flexible, building = self.grid.rows(self.draw_a, own_a)
        self.row_a = flexible + building
        outside = self._outside
        self.background_a = building
        if len(outside):
            self.background_a = building + self.topology.ancestry_f[:, outside] @ self.draw_a[outside]
        self.volts_v = self.grid.settle(self.row_a)
        self.power_w = (self.draw_a * self.volts_v).sum(axis=1)

    def _account(self, dt_s: float) -> None:
        energy_wh = self.power_w * (dt_s / SECONDS_PER_HOUR)
        self.energy_wh = self.energy_wh + np.abs(energy_wh)
        car_wh = np.where(self._is_evse, energy_wh, 0.0)
        self.cars.take(car_wh)
        self.sessions.account(dt_s, car_wh, self.cars, self.supplies.pilot_a > 0.0)
        self.breakers.advance(dt_s, self.row_a)
        self.judge.add(dt_s, self.row_a, self.background_a, self._late_rows())
        import_w = float((self.row_a[0] * self.grid.circuit_v[0]).sum())
        self.judge.add_import(dt_s, self.epoch_s, import_w)

    def _late_rows(self) -> Floats | float:
        """Current (C, 3) on conductors that cars began to use lately although they had seemed unused."""
        fresh = self.now_s - self.cars.late_since_s <= LATE_COUNTS_S
        if not fresh.any():
            return 0.0
        padded = np.zeros_like(self._padded)
        padded[:, :3] = np.where(self.cars.late & fresh[:, None], self.cars.amps[:, None], 0.0)
        return np.asarray(self.topology.ancestry_f @ padded[self._lines, self._true])

    @property
    def day_s(self) -> float:
        """Local seconds since the midnight before the start."""
        return self.environment.start_day_s + self.now_s

    @property
    def epoch_s(self) -> float:
        """UTC of the plant's present time."""
        return self.environment.start_epoch_s + self.now_s

    @property
    def pilot(self) -> Ints:
        """IEC 61851 state per asset (N,), ``Pilot`` codes; UNKNOWN for what is no EVSE."""
        state = self.supplies.pilot_state(self.cars.plugged, self.cars.ready)
        return np.where(self._is_evse, state, -1)

    @property
    def conductor_a(self) -> Floats:
        """True current on each conductor of each asset (N, 3) A, as its own meter sees it."""
        return self._padded[:, :3]

    @property
    def in_force_a(self) -> Floats:
        """The limit every device holds itself to, with or without a car (N,) A: setpoint or failsafe."""
        supplies = self.supplies
        limit = np.where(supplies.in_failsafe(self.now_s), supplies.failsafe_a, supplies.applied_a)
        return np.minimum(limit, supplies.rated_a)

    @property
    def offered_a(self) -> Floats:
        """Limit in force at every EVSE (N,) A; 0 without an offer."""
        return self.supplies.limit_a
