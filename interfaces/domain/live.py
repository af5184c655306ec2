"""What a site tells of itself every few seconds: the state its plans are made from.

Made from a scan's record alone, so that the cloud, the simulation and a replayed journal see the same. Numbers are in
the units people use; None where nothing was measured: absent is never 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from interfaces.domain.image import Pilot
from interfaces.domain.measured import power_mw
from interfaces.domain.telemetry import ScanRecord
from interfaces.domain.topology import Topology
from interfaces.domain.units import (
    MILLI,
    MISSING,
    SECONDS_PER_QUARTER,
    Ints,
    a_from_ma,
    kw_from_mw,
    kw_from_w,
    kwh_from_wh,
    w_from_mw,
)

LIVE_SCHEMA: Final[int] = 1
REACHABLE_S: Final[float] = 30.0
CLOCKS_APART_S: Final[float] = 30.0
"""A meter whose quarters end further from ours counts another quarter than the plan does."""


@dataclass(frozen=True, slots=True)
class CircuitLive:
    """One metered circuit. ``power_kw`` net import and ``current_a``, None also where the meter has not answered for 30
    s more than its period; ``assets_kw`` what the flexible assets below were measured to draw, so that the difference
    is the building (and an asset that tells nothing); ``background_a`` what the controller reserves for it per phase.
    """

    id: str
    power_kw: float | None
    assets_kw: float
    current_a: tuple[float | None, float | None, float | None]
    background_a: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class AssetLive:
    """One flexible asset. ``plugged_in_epoch_s`` None: no car; ``energy_kwh`` since plug-in; ``phases`` conductors it
    uses on each grid phase, as learned; ``setpoint_a`` commanded now and ``reason`` (code) what binds it; ``reachable``
    whether it answered within the last 30 s.
    """

    id: str
    pilot: int
    plugged_in_epoch_s: float | None
    energy_kwh: float
    tag: str | None
    power_kw: float | None
    setpoint_a: float
    offered_a: float | None
    phases: tuple[int, int, int]
    soc_pct: float | None
    reason: int
    reachable: bool


@dataclass(frozen=True, slots=True)
class LiveStatus:
    """One site at one moment. ``mode``: plan, fallback or failsafe; ``plan_sequence`` -1 without a plan.

    From the grid meter's own registers, None where it has none or is silent: ``quarter_kw`` what the quarter of an hour
    of ``epoch_s`` has imported so far, over its whole 15 min; ``month_peak_kw`` the month's highest.
    """

    site: str
    topology_version: str
    epoch_s: float
    mode: str
    plan_sequence: int
    operator_limit_w: float | None
    circuits: tuple[CircuitLive, ...]
    assets: tuple[AssetLive, ...]
    quarter_kw: float | None = None
    month_peak_kw: float | None = None
    schema: int = LIVE_SCHEMA


def live_status(record: ScanRecord, topology: Topology, site: str) -> LiveStatus:
    """The status of one scan; ``record`` and ``topology`` of the same site file."""
    image = record.image
    power_w = _asset_power_w(record, topology)
    plan = image.plan
    return LiveStatus(
        site=site,
        topology_version=topology.version,
        epoch_s=record.epoch_s,
        mode=record.report.mode,
        plan_sequence=-1 if plan is None else plan.sequence,
        operator_limit_w=None if image.operator_limit_mw == MISSING else w_from_mw(image.operator_limit_mw),
        circuits=tuple(_circuit(c, record, topology, power_w) for c in range(topology.c) if topology.metered[c]),
        assets=tuple(_asset(i, record, topology, power_w) for i in range(topology.n)),
        quarter_kw=_quarter_kw(record, topology),
        month_peak_kw=None if _silent(0, record, topology) else _kw(image.month_peak_mw),
    )


def _quarter_kw(record: ScanRecord, topology: Topology) -> float | None:
    """The meter's running quarter, unless by our clock another one runs."""
    image = record.image
    if _silent(0, record, topology) or MISSING in (image.quarter_mw, image.quarter_left_ms):
        return None
    left_s = image.quarter_left_ms / MILLI - (record.now_s - float(image.meter_sample_s[0]))
    our_left_s = SECONDS_PER_QUARTER - record.epoch_s % SECONDS_PER_QUARTER
    return _kw(image.quarter_mw) if left_s > 0.0 and abs(left_s - our_left_s) <= CLOCKS_APART_S else None


def _asset_power_w(record: ScanRecord, topology: Topology) -> list[float | None]:
    """Measured power per asset, None where not all of its currents are known."""
    image = record.image
    unknown = ((image.asset_ma == MISSING) & (topology.wired > 0)).any(axis=1).tolist()
    power = power_mw(image, topology).tolist()
    return [None if absent else w_from_mw(milliwatts) for absent, milliwatts in zip(unknown, power, strict=True)]


def _circuit(c: int, record: ScanRecord, topology: Topology, power_w: list[float | None]) -> CircuitLive:
    image = record.image
    below = [power_w[i] or 0.0 for i in np.flatnonzero(topology.ancestry[c]).tolist()]
    meter_mw = int(image.meter_mw[c])
    silent = _silent(c, record, topology)
    return CircuitLive(
        id=topology.circuits[c].id,
        power_kw=None if silent else _kw(meter_mw),
        assets_kw=kw_from_w(sum(below)),
        current_a=(None, None, None) if silent else _three(image.meter_ma[c]),
        background_a=_known(record.report.background_ma[c]),
    )


def _silent(c: int, record: ScanRecord, topology: Topology) -> bool:
    """The image keeps the last reading of a meter that has gone silent; nobody measured it now."""
    age_s = record.now_s - float(record.image.meter_sample_s[c])
    return age_s > REACHABLE_S + float(topology.meter_period_s[c])


def _asset(i: int, record: ScanRecord, topology: Topology, power_w: list[float | None]) -> AssetLive:
    image, report = record.image, record.report
    plugged_s = float(report.session_s[i])
    soc, offered = int(image.soc_permille[i]), int(image.offered_ma[i])
    watts = power_w[i]
    use = report.phase_use[i]
    return AssetLive(
        id=topology.assets[i].id,
        pilot=int(image.pilot[i]),
        # A duration carries the session's age from the monotonic clock to the wall clock.
        plugged_in_epoch_s=record.epoch_s - (record.now_s - plugged_s) if np.isfinite(plugged_s) else None,
        energy_kwh=kwh_from_wh(float(report.energy_wh[i])),
        tag=image.tag[i],
        power_kw=None if watts is None else kw_from_w(watts),
        setpoint_a=a_from_ma(int(record.commands.setpoint_ma[i])),
        offered_a=None if offered == MISSING else a_from_ma(offered),
        phases=(int(use[0]), int(use[1]), int(use[2])),
        soc_pct=None if soc == MISSING else soc / 10.0,
        reason=int(record.commands.reason[i]),
        reachable=record.now_s - float(image.reply_s[i]) <= REACHABLE_S,
    )


def car_connected(asset: AssetLive) -> bool:
    """A car is there: a session has begun and the pilot, where known, does not say otherwise."""
    return asset.plugged_in_epoch_s is not None and asset.pilot != int(Pilot.A)


def _kw(milliwatts: int) -> float | None:
    return None if milliwatts == MISSING else kw_from_mw(milliwatts)


def _three(row: Ints) -> tuple[float | None, float | None, float | None]:
    a, b, c = (None if value == MISSING else a_from_ma(value) for value in row.tolist())
    return a, b, c


def _known(row: Ints) -> tuple[float, float, float]:
    a, b, c = (a_from_ma(value) for value in row.tolist())
    return a, b, c


SESSION_JITTER_S: Final[float] = 30.0
"""Two clocks drift: plug-in times closer than this are one."""


def same_session(a_epoch_s: float | None, b_epoch_s: float | None) -> bool:
    """Whether two times of plug-in at one EVSE are of one session; not where either is unknown."""
    return a_epoch_s is not None and b_epoch_s is not None and abs(a_epoch_s - b_epoch_s) <= SESSION_JITTER_S
