"""What a site of ten chargers says and is told, for the bench of the link: no plant behind it, but its liveliness."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Final

import numpy as np

from interfaces.domain.image import Pilot
from interfaces.domain.live import AssetLive, CircuitLive, LiveStatus
from interfaces.domain.plan import Plan
from interfaces.domain.reasons import Reason
from interfaces.domain.targets import Target, Targets
from interfaces.domain.units import SECONDS_PER_HOUR, SECONDS_PER_MINUTE, SECONDS_PER_QUARTER
from interfaces.domain.wire_topics import Address

CHARGERS: Final = 10
BUSY_SHARE: Final = 0.7
STEPS: Final = 192
BLOCK_STEPS: Final = 14
"""A car charges for so many quarters, at another current in each."""
FULL_A: Final = 16.0
KW_PER_A: Final = 0.69
"""Three phases of 230 V."""
SWAP_S: Final = 1800.0
"""A setpoint changes every half hour on average."""
NOISE_KW: Final = 0.03


def address_of(number: int) -> Address:
    """The n-th controller, at a site of its own."""
    return Address("bench", f"site-{number}", f"box-{number}")


class Lively:
    """A site whose measurements tremble, whose energy grows and whose setpoints change now and then."""

    def __init__(self, site: str, rng: random.Random, epoch_s: float) -> None:
        self._rng = rng
        assets = tuple(self._place(k, epoch_s) for k in range(CHARGERS))
        none = (0.0, 0.0, 0.0)
        circuits = tuple(CircuitLive(name, 0.0, 0.0, none, (8.0, 7.0, 9.0)) for name in ("grid", "hall", "yard"))
        self.status = LiveStatus(site, "1", epoch_s, "plan", 1, None, circuits, assets)

    def later(self, epoch_s: float, plan_sequence: int) -> LiveStatus:
        """The status at a moment."""
        passed_s = max(0.0, epoch_s - self.status.epoch_s)
        assets = tuple(self._moved(one, passed_s) for one in self.status.assets)
        total_kw = sum(one.power_kw or 0.0 for one in assets)
        circuits = tuple(self._loaded(one, total_kw) for one in self.status.circuits)
        self.status = replace(
            self.status, epoch_s=epoch_s, plan_sequence=plan_sequence, assets=assets, circuits=circuits
        )
        return self.status

    def _place(self, k: int, epoch_s: float) -> AssetLive:
        busy = self._rng.random() < BUSY_SHARE
        amps = FULL_A if busy else 0.0
        return AssetLive(
            f"place-{k}", int(Pilot.C2 if busy else Pilot.A), epoch_s - 3600.0 if busy else None, 8.0 if busy else 0.0,
            f"04A1B2C3D4E5{k:02d}" if busy else None, amps * KW_PER_A, amps, amps, (1, 1, 1), None,
            int(Reason.PLAN if busy else Reason.NO_CAR), True,
        )  # fmt: skip

    def _moved(self, one: AssetLive, passed_s: float) -> AssetLive:
        if one.plugged_in_epoch_s is None:
            return one
        amps = one.setpoint_a
        if self._rng.random() < passed_s / SWAP_S:
            amps = float(self._rng.randint(6, 16))
        power_kw = amps * KW_PER_A + self._rng.gauss(0.0, NOISE_KW)
        energy_kwh = one.energy_kwh + power_kw * passed_s / SECONDS_PER_HOUR
        return replace(one, setpoint_a=amps, offered_a=amps, power_kw=power_kw, energy_kwh=energy_kwh)

    def _loaded(self, one: CircuitLive, total_kw: float) -> CircuitLive:
        building_kw = 5.0 + self._rng.gauss(0.0, 0.3)
        phase_a = (total_kw + building_kw) / KW_PER_A
        current_a = (phase_a + self._rng.gauss(0, 0.4), phase_a + self._rng.gauss(0, 0.4), phase_a)
        return replace(one, power_kw=total_kw + building_kw, assets_kw=total_kw, current_a=current_a)


def plan_for(site: str, sequence: int, now_epoch_s: float, rng: random.Random) -> Plan:
    """A plan of 48 hours in the shape of those that the optimizer makes for ten chargers: 4.8 kB of text."""
    start = now_epoch_s // SECONDS_PER_QUARTER * SECONDS_PER_QUARTER
    draw = np.random.default_rng(rng.getrandbits(32))
    setpoint_ma = np.zeros((STEPS, CHARGERS), dtype=np.int64)
    for k in range(CHARGERS):
        first = int(draw.integers(0, BLOCK_STEPS))
        setpoint_ma[first : first + BLOCK_STEPS, k] = draw.integers(6, 33, BLOCK_STEPS) * 1000
    hourly = np.repeat(draw.integers(5_000, 30_000, STEPS // 4) * 10, 4)
    none = np.zeros(STEPS, dtype=np.int64)
    return Plan(
        plan_id=f"{site}-{sequence}", site=site, topology_version="1", sequence=sequence, key_id="",
        issued_epoch_s=now_epoch_s, start_epoch_s=start, step_s=SECONDS_PER_QUARTER,
        valid_until_epoch_s=start + STEPS * SECONDS_PER_QUARTER,
        lease_until_epoch_s=now_epoch_s + 15 * SECONDS_PER_MINUTE,
        assets=tuple(f"place-{k}" for k in range(CHARGERS)), setpoint_ma=setpoint_ma,
        value_ppm=np.tile(draw.integers(50_000, 400_000, CHARGERS), (STEPS, 1)),
        planned_import_mw=draw.integers(0, 40_000, STEPS) * 1000,
        grid_ppm=np.stack([none + 40_000, hourly, none], axis=1), calm_import_mw=none + 1_000_000_000_000,
    )  # fmt: skip


def targets_for(sequence: int, now_epoch_s: float, rng: random.Random) -> Targets:
    """Departures of the cars and prices of two days."""
    start = now_epoch_s // SECONDS_PER_QUARTER * SECONDS_PER_QUARTER
    cars = tuple(Target(f"place-{k}", start + 7 * SECONDS_PER_HOUR, 1000 * rng.randint(5, 40)) for k in range(CHARGERS))
    prices = np.array([round(rng.uniform(-0.02, 0.4), 5) for _ in range(STEPS)])
    return Targets(sequence, now_epoch_s, cars, start, SECONDS_PER_QUARTER, prices)
