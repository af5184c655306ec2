"""Energy by quarter of an hour, summed up from every scan: what was measured, and for how much of the time.

Nothing is guessed for the rest: a quarter of which ten minutes were measured has their energy, and says so.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from interfaces.domain.live import REACHABLE_S
from interfaces.domain.measured import power_mw
from interfaces.domain.telemetry import ScanRecord
from interfaces.domain.topology import Topology
from interfaces.domain.units import MILLI, MISSING, Bools, Floats
from interfaces.domain.wire import EnergyRow, Quality

PERIOD_S: Final = 900
GAP_S: Final = 5.0
"""Scans further apart say nothing of the time between them."""
GOOD_SHARE: Final = 0.95
"""A restart of this program costs less than the rest; whoever misses more of a quarter is told."""
MWS_PER_WH: Final = 3600 * MILLI


@dataclass(frozen=True, slots=True)
class Quarter:
    """One that is over, with a row per asset and per metered circuit."""

    start_epoch_s: int
    assets: tuple[EnergyRow, ...]
    circuits: tuple[EnergyRow, ...]


class Quarters:
    """The running quarter of one site."""

    def __init__(self) -> None:
        self._start = -1
        self._ids: list[str] = []
        self._assets = 0
        self._energy_mws: Floats = np.zeros(0)
        self._measured_s: Floats = np.zeros(0)
        self._last_s = float("-inf")

    def add(self, record: ScanRecord, topology: Topology) -> Quarter | None:
        """Count one scan; the quarter that ended before it, if one did."""
        start = int(record.epoch_s // PERIOD_S) * PERIOD_S
        ids = _ids(topology)
        ended = None
        if start != self._start or ids != self._ids:
            ended = self._finished()
            self._begin(start, ids, topology.n)
        gap_s, self._last_s = record.now_s - self._last_s, record.now_s
        if 0.0 < gap_s <= GAP_S:
            power, known = _power_mw(record, topology)
            self._energy_mws += np.where(known, power, 0.0) * gap_s
            self._measured_s += np.where(known, gap_s, 0.0)
        return ended

    def saved(self) -> bytes:
        """The running quarter, for ``resume`` after a restart."""
        sums = {
            "start": self._start, "ids": self._ids, "assets": self._assets,
            "energy_mws": self._energy_mws.tolist(), "measured_s": self._measured_s.tolist(),
        }  # fmt: skip
        return json.dumps(sums).encode()

    def resume(self, saved: bytes) -> None:
        """Go on with a quarter that was saved by this program. What is no such thing is passed over."""
        try:
            sums: dict[str, Any] = json.loads(saved)
            energy, measured = np.array(sums["energy_mws"], np.float64), np.array(sums["measured_s"], np.float64)
            if len(sums["ids"]) == energy.size == measured.size and bool(np.isfinite(energy + measured).all()):
                self._start, self._ids, self._assets = int(sums["start"]), list(sums["ids"]), int(sums["assets"])
                self._energy_mws, self._measured_s = energy, measured
        except (ValueError, KeyError, TypeError):
            return

    def _begin(self, start: int, ids: list[str], assets: int) -> None:
        self._start, self._ids, self._assets = start, ids, assets
        self._energy_mws, self._measured_s = np.zeros(len(ids)), np.zeros(len(ids))

    def _finished(self) -> Quarter | None:
        if self._start < 0 or not self._measured_s.any():
            return None
        sums = zip(self._ids, self._energy_mws.tolist(), self._measured_s.tolist(), strict=True)
        rows = [_row(*facts) for facts in sums]
        return Quarter(self._start, tuple(rows[: self._assets]), tuple(rows[self._assets :]))


def _row(key: str, energy_mws: float, measured_s: float) -> EnergyRow:
    measured_s = min(round(measured_s, 1), float(PERIOD_S))
    if measured_s == 0.0:
        return EnergyRow(key, None, Quality.MISSING, 0.0)
    quality = Quality.GOOD if measured_s >= GOOD_SHARE * PERIOD_S else Quality.PARTIAL
    return EnergyRow(key, round(energy_mws / MWS_PER_WH, 2), quality, measured_s)


def _ids(topology: Topology) -> list[str]:
    metered = np.flatnonzero(topology.metered).tolist()
    return [*(asset.id for asset in topology.assets), *(topology.circuits[c].id for c in metered)]


def _power_mw(record: ScanRecord, topology: Topology) -> tuple[Floats, Bools]:
    """Power of every asset and metered circuit, and whether it is known."""
    image, now_s = record.image, record.now_s
    currents_known = ~((image.asset_ma == MISSING) & (topology.wired > 0)).any(axis=1)
    assets_known = currents_known & (now_s - image.asset_sample_s <= REACHABLE_S)
    metered = topology.metered
    fresh = now_s - image.meter_sample_s[metered] <= REACHABLE_S + topology.meter_period_s[metered]
    circuits_known = fresh & (image.meter_mw[metered] != MISSING)
    power = np.concatenate([power_mw(image, topology), image.meter_mw[metered]]).astype(np.float64)
    known: Bools = np.concatenate([assets_known, circuits_known])
    return power, known
