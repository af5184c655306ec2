"""What the optimizer remembers of one site: quarter-hours of building load and PV, sessions, the month's peaks.

Fed with live statuses in order; between two of them the older one holds. A gap of more than two minutes is a gap: that
time counts as not measured, and a quarter measured for less than half of its length is NaN.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal
from zoneinfo import ZoneInfo

import numpy as np

from interfaces.domain.live import AssetLive, LiveStatus, car_connected, same_session
from interfaces.domain.topology import AssetKind, Topology
from interfaces.domain.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, SECONDS_PER_QUARTER, Bools, Floats, Ints
from optimizer.service.habits import CarFacts, Habits

HOLD_S: Final[float] = 120.0
LEAST_SHARE: Final[float] = 0.5
KEEP_DAYS: Final[int] = 70
"""Ten weeks: what the analogue forecasts look back on."""
QUARTERS_PER_DAY: Final[int] = SECONDS_PER_DAY // SECONDS_PER_QUARTER
KEEP_SESSIONS: Final[int] = 5000
CURTAILED_SHARE: Final[float] = 0.98
"""A PV setpoint below this share of nameplate may be holding production back."""


@dataclass(frozen=True, slots=True)
class FinishedSession:
    """One session from plug-in to plug-out."""

    evse: str
    tag: str | None
    arrival_epoch_s: float
    departure_epoch_s: float
    energy_kwh: float


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that plans must answer to."""

    kind: Literal["plug_in", "plug_out", "operator_limit"]
    asset: str


@dataclass(frozen=True, slots=True)
class Quarters:
    """Means per quarter-hour, oldest first, without holes in time: ``start_epoch_s`` (K,), ``building_kw`` (K, C) load
    at each circuit without the flexible assets below it, ``pv_kw`` (K, P) production, ``held_back`` (K, P) it may have
    been curtailed, ``import_kw`` (K,) at the grid connection. NaN: not measured.
    """

    start_epoch_s: Ints
    building_kw: Floats
    pv_kw: Floats
    held_back: Bools
    import_kw: Floats


@dataclass(slots=True)
class _Running:
    """The quarter under way: integrals in kW s and the seconds they cover."""

    start_epoch_s: int
    building: Floats
    building_s: Floats
    pv: Floats
    pv_s: Floats
    held: Bools
    imported_kws: float = 0.0
    imported_s: float = 0.0


@dataclass(slots=True)
class _Row:
    start_epoch_s: int
    building_kw: Floats
    pv_kw: Floats
    held: Bools
    import_kw: float


@dataclass(slots=True)
class SiteMemory:
    """One site's memory. ``topology``: whose assets and circuits the statuses speak of."""

    topology: Topology
    habits: CarFacts = field(init=False)
    last: LiveStatus | None = None
    finished: deque[FinishedSession] = field(default_factory=lambda: deque(maxlen=KEEP_SESSIONS))
    _rows: deque[_Row] = field(default_factory=lambda: deque(maxlen=KEEP_DAYS * QUARTERS_PER_DAY))
    _running: _Running | None = None
    _meter_peak: tuple[float, float] | None = None

    @property
    def pv_assets(self) -> list[int]:
        """Columns of the PV plants, in the order of ``Quarters.pv_kw``."""
        return np.flatnonzero(np.asarray(self.topology.kind) == int(AssetKind.PV)).tolist()

    def observe(self, status: LiveStatus) -> tuple[Happening, ...]:
        """Take in the next status; what happened since the one before. An older one than the last is ignored."""
        before = self.last
        if before is not None and status.epoch_s <= before.epoch_s:
            return ()
        if before is not None:
            self._integrate(before, status.epoch_s)
        self.last = status
        if status.month_peak_kw is not None:
            self._meter_peak = status.epoch_s, status.month_peak_kw
        self.habits.observe(status)
        return () if before is None else self._happenings(before, status)

    def __post_init__(self) -> None:
        self.habits = Habits(self.topology)

    def remember(self, quarters: Quarters, finished: Iterable[FinishedSession] = ()) -> None:
        """Take over what is known from before the first status."""
        for k, start in enumerate(quarters.start_epoch_s.tolist()):
            self._rows.append(
                _Row(
                    start,
                    quarters.building_kw[k],
                    quarters.pv_kw[k],
                    quarters.held_back[k],
                    float(quarters.import_kw[k]),
                )
            )
        self.finished.extend(finished)

    def rewind(self, epoch_s: float) -> None:
        """The clock was set back to ``epoch_s``: what lies after it is forgotten, the cars here are looked at anew."""
        self.last, self._running, self.habits = None, None, Habits(self.topology)
        while self._rows and self._rows[-1].start_epoch_s + SECONDS_PER_QUARTER > epoch_s:
            self._rows.pop()

    def quarters(self) -> Quarters:
        """All finished quarters."""
        rows = self._rows
        c, p = self.topology.c, len(self.pv_assets)
        return Quarters(
            start_epoch_s=np.array([r.start_epoch_s for r in rows], dtype=np.int64),
            building_kw=np.array([r.building_kw for r in rows]).reshape(len(rows), c),
            pv_kw=np.array([r.pv_kw for r in rows]).reshape(len(rows), p),
            held_back=np.array([r.held for r in rows], dtype=np.bool_).reshape(len(rows), p),
            import_kw=np.array([r.import_kw for r in rows]),
        )

    def imported_this_quarter_kwh(self) -> float:
        """Imported since the last full quarter of the clock: what the grid meter counted where it tells, for that is
        what is billed and has no gap; else what the statuses add up to.
        """
        if self.last is not None and self.last.quarter_kw is not None:
            return self.last.quarter_kw * SECONDS_PER_QUARTER / SECONDS_PER_HOUR
        return 0.0 if self._running is None else self._running.imported_kws / SECONDS_PER_HOUR

    def month_peak_kw(self, zone: ZoneInfo) -> float:
        """Highest quarter-hour of the local month of the last status, by the statuses or by the grid meter, which also
        knows those that nobody else saw; 0 before the first one has ended.
        """
        if self.last is None:
            return 0.0
        now = datetime.fromtimestamp(self.last.epoch_s, zone)
        month_start = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()
        seen = [r.import_kw for r in self._rows if r.start_epoch_s >= month_start and np.isfinite(r.import_kw)]
        if self._meter_peak is not None and self._meter_peak[0] >= month_start:
            seen.append(self._meter_peak[1])
        return max(seen, default=0.0)

    def _integrate(self, held: LiveStatus, until_epoch_s: float) -> None:
        """The held status up to a moment, quarter by quarter; time beyond ``HOLD_S`` is not measured."""
        at = held.epoch_s
        known_until = min(until_epoch_s, held.epoch_s + HOLD_S)
        oldest = (until_epoch_s // SECONDS_PER_QUARTER - KEEP_DAYS * QUARTERS_PER_DAY) * SECONDS_PER_QUARTER
        if at < oldest:  # everything before would be forgotten on the way; from 1970 the way is long
            self._rows.clear()
            self._running, at = None, oldest
        while at < until_epoch_s:
            start = int(at // SECONDS_PER_QUARTER) * SECONDS_PER_QUARTER
            if self._running is None:
                self._running = self._fresh(start)
            end = min(until_epoch_s, float(start + SECONDS_PER_QUARTER))
            known_s = max(0.0, min(end, known_until) - at)
            if known_s > 0.0:
                self._add(self._running, held, known_s)
            if end == start + SECONDS_PER_QUARTER:
                self._close()
            at = end
        if self._running is None:
            self._running = self._fresh(int(until_epoch_s // SECONDS_PER_QUARTER) * SECONDS_PER_QUARTER)

    def _fresh(self, start_epoch_s: int) -> _Running:
        c, p = self.topology.c, len(self.pv_assets)
        return _Running(
            start_epoch_s, np.zeros(c), np.zeros(c), np.zeros(p), np.zeros(p), np.zeros(p, dtype=np.bool_)
        )  # fmt: skip

    def _add(self, running: _Running, status: LiveStatus, seconds: float) -> None:
        for circuit in status.circuits:
            c = self.topology.circuit_index.get(circuit.id)
            if c is None or circuit.power_kw is None:
                continue
            running.building[c] += (circuit.power_kw - circuit.assets_kw) * seconds
            running.building_s[c] += seconds
            if c == 0:
                running.imported_kws += max(circuit.power_kw, 0.0) * seconds
                running.imported_s += seconds
        assets = {a.id: a for a in status.assets}
        for k, i in enumerate(self.pv_assets):
            asset = assets.get(self.topology.assets[i].id)
            if asset is None or asset.power_kw is None:
                continue
            running.pv[k] += max(-asset.power_kw, 0.0) * seconds
            running.pv_s[k] += seconds
            running.held[k] |= -asset.setpoint_a < CURTAILED_SHARE * self.topology.assets[i].max_export_a

    def _close(self) -> None:
        running = self._running
        if running is None:
            return
        self._rows.append(
            _Row(
                running.start_epoch_s,
                _mean(running.building, running.building_s),
                _mean(running.pv, running.pv_s),
                running.held,
                float(_mean(np.array([running.imported_kws]), np.array([running.imported_s]))[0]),
            )
        )
        self._running = None

    def _happenings(self, before: LiveStatus, now: LiveStatus) -> tuple[Happening, ...]:
        earlier = {a.id: a for a in before.assets}
        found: list[Happening] = []
        for asset in now.assets:
            old = earlier.get(asset.id)
            was = old is not None and car_connected(old)
            same = (
                was
                and car_connected(asset)
                and old is not None
                and same_session(old.plugged_in_epoch_s, asset.plugged_in_epoch_s)
            )
            if was and old is not None and not same:
                self._finish(old, now.epoch_s)
                found.append(Happening("plug_out", asset.id))
            if car_connected(asset) and not same:
                found.append(Happening("plug_in", asset.id))
        if before.operator_limit_w != now.operator_limit_w:
            found.append(Happening("operator_limit", ""))
        return tuple(found)

    def _finish(self, asset: AssetLive, epoch_s: float) -> None:
        if asset.plugged_in_epoch_s is not None:
            self.finished.append(
                FinishedSession(asset.id, asset.tag, asset.plugged_in_epoch_s, epoch_s, asset.energy_kwh)
            )


def _mean(integral: Floats, seconds: Floats) -> Floats:
    enough = seconds >= LEAST_SHARE * SECONDS_PER_QUARTER
    result: Floats = np.where(enough, integral / np.maximum(seconds, 1.0), np.nan)
    return result
