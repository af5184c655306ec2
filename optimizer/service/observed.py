"""From memory, outlook and wishes to the planning problem of this moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from interfaces.domain.live import AssetLive, LiveStatus, car_connected
from interfaces.domain.plan import Plan
from interfaces.domain.topology import PHASES
from interfaces.domain.units import MILLI, SECONDS_PER_HOUR, Floats, kw_from_w
from optimizer.core.problem import ArrivalForecast, CircuitForecast, Forecast, PreviousPlan, Problem, PvForecast
from optimizer.core.problem_money import Capacity, Contract, Dynamic, OperatorLimit, Tariff
from optimizer.core.problem_state import BatteryState, Session, SiteState, Target
from optimizer.core.problem_types import MAX_STEPS
from optimizer.service.habits import DRAWS_KW
from optimizer.service.memory import SiteMemory
from optimizer.service.record import Outlook, SiteRecord

ROOMY_SHARE: Final[float] = 0.5
"""Of the time until it leaves."""
OPERATOR_HOLD_S: Final[float] = 6 * 3600.0
"""A limit in force whose end nobody announced is planned to last this long; each new plan looks again."""


def problem_of(
    record: SiteRecord,
    memory: SiteMemory,
    outlook: Outlook,
    *,
    prices: Dynamic | None,
    wishes: Mapping[str, Target],
    expected: Mapping[str, Target],
    previous: Plan | None,
    margin_kw: float,
    now_epoch_s: float,
    announced: tuple[Session, ...] = (),
) -> Problem:
    """The problem of a site at one moment.

    Args:
        record: what is known of the site.
        memory: fed up to now; it has seen at least one status.
        outlook: what is expected.
        prices: of the market; None keeps the tariff's own energy price.
        wishes: the sessions' own targets by EVSE.
        expected: what the past says of cars, by EVSE; it counts behind all that anybody said.
        previous: the plan in force.
        margin_kw: what the peak of a quarter is missed by, as learned.
        now_epoch_s: when the plan begins.
        announced: cars that will come.
    """
    status = memory.last
    if status is None:
        raise ValueError("no status of the site was ever seen")
    here = (asset for asset in status.assets if _wants_a_plan(asset, record, memory))
    return Problem(
        schema=1,
        now_epoch_s=now_epoch_s,
        site=record.facts(),
        state=SiteState(
            topology_version=status.topology_version,
            taken_epoch_s=status.epoch_s,
            sessions=tuple(_session(asset, wishes, expected, memory) for asset in here),
            announced=announced,
            batteries=tuple(BatteryState(b.id, _soc(status, b.id)) for b in record.batteries),
            imported_in_quarter_kwh=memory.imported_this_quarter_kwh(),
        ),
        forecast=_forecast(outlook),
        tariff=_tariff(record, prices, memory, margin_kw, now_epoch_s),
        contract=_contract(record, status, now_epoch_s),
        vehicles=record.vehicles,
        profiles=record.profiles,
        schedule=record.schedule,
        previous=None if previous is None else _previous(previous),
        settings=record.settings,
    )


def _wants_a_plan(asset: AssetLive, record: SiteRecord, memory: SiteMemory) -> bool:
    """A car is there, its charger answers, and it has not stopped drawing although it was offered current."""
    i = record.topology.index.get(asset.id)
    is_evse = i is not None and bool(record.topology.is_evse[i])
    return is_evse and car_connected(asset) and asset.reachable and asset.id not in memory.habits.asleep


def _session(
    asset: AssetLive, wishes: Mapping[str, Target], expected: Mapping[str, Target], memory: SiteMemory
) -> Session:
    i = memory.topology.index[asset.id]
    own_a, needs_a = memory.habits.max_a(asset.id), memory.habits.min_a(asset.id)
    seen = memory.habits.phases(asset.id)
    used = tuple(phase for phase, count in zip(PHASES, seen or asset.phases, strict=True) if count)
    unseen = seen is None and not memory.topology.assets[i].direct_current
    roomy = unseen and _roomy(asset, wishes.get(asset.id) or expected.get(asset.id), memory)
    if roomy:
        used = (PHASES[memory.topology.assets[i].phases[0]],)
    return Session(
        evse=asset.id,
        plugged_in_epoch_s=max(asset.plugged_in_epoch_s or 0.0, 0.0),
        delivered_kwh=max(asset.energy_kwh, 0.0),
        tag=asset.tag or None,
        soc_pct=asset.soc_pct,
        soc_source="none" if asset.soc_pct is None else "charger",
        phases_used=used or None,  # type: ignore[arg-type]  # names of PHASES
        min_a=needs_a,
        # A car may need a higher offer than it then takes; a maximum below the minimum would leave it without any.
        max_a=None if own_a is None else max(own_a, needs_a or 0.0, memory.topology.assets[i].min_a),
        # Nobody knows yet how fast it charges: a few minutes now tell, hours later would be too late.
        deferrable=False if unseen and not roomy else None,
        charging=(asset.power_kw or 0.0) > DRAWS_KW,
        target=wishes.get(asset.id),
        expected=expected.get(asset.id),
    )


def _roomy(asset: AssetLive, target: Target | None, memory: SiteMemory) -> bool:
    """Whether what this car wants fits on one phase so easily that it may wait without having been seen to charge."""
    status = memory.last
    if status is None or target is None or target.unit != "kwh" or target.departure_epoch_s is None:
        return False
    topology = memory.topology
    one_phase_kw = topology.assets[topology.index[asset.id]].max_a * topology.nominal_mv / MILLI / MILLI
    need_h = max(target.amount - asset.energy_kwh, 0.0) / one_phase_kw
    return need_h <= ROOMY_SHARE * (target.departure_epoch_s - status.epoch_s) / SECONDS_PER_HOUR


def _soc(status: LiveStatus, battery: str) -> float | None:
    return next((a.soc_pct for a in status.assets if a.id == battery and a.reachable), None)


def _forecast(outlook: Outlook) -> Forecast:
    return Forecast(
        start_epoch_s=float(outlook.start_epoch_s),
        circuits=tuple(
            CircuitForecast(circuit=name, load_kw=_column(load), high_kw=_optional(outlook.high_kw.get(name)))
            for name, load in outlook.load_kw.items()
        ),
        pv=tuple(PvForecast(plant=name, power_kw=_column(power)) for name, power in outlook.pv_kw.items()),
        arrivals=tuple(
            ArrivalForecast(circuit=name, power_kw=_column(power)) for name, power in outlook.arrivals_kw.items()
        ),
    )


def _optional(values: Floats | None) -> tuple[float | None, ...] | None:
    return None if values is None else _column(values)


def _column(values: Floats) -> tuple[float | None, ...]:
    return tuple(float(v) if np.isfinite(v) else None for v in values[:MAX_STEPS].tolist())


def _tariff(
    record: SiteRecord, prices: Dynamic | None, memory: SiteMemory, margin_kw: float, now_epoch_s: float
) -> Tariff:
    tariff = record.tariff if prices is None else replace(record.tariff, energy=prices)
    if tariff.capacity is None:
        return tariff
    zone = ZoneInfo(record.time_zone)
    capacity = Capacity(
        eur_per_kw=tariff.capacity.eur_per_kw,
        floor_kw=tariff.capacity.floor_kw,
        realised_kw=memory.month_peak_kw(zone),
        month=f"{datetime.fromtimestamp(now_epoch_s, zone):%Y-%m}",
        margin_kw=margin_kw,
    )
    return replace(tariff, capacity=capacity)


def _contract(record: SiteRecord, status: LiveStatus, now_epoch_s: float) -> Contract:
    """The contract, with the limit that the site says the operator has set now."""
    if status.operator_limit_w is None:
        return record.contract
    now = OperatorLimit(now_epoch_s, now_epoch_s + OPERATOR_HOLD_S, import_kw=kw_from_w(status.operator_limit_w))
    return replace(record.contract, operator=(*record.contract.operator, now))


def _previous(plan: Plan) -> PreviousPlan:
    rows = plan.setpoint_ma / MILLI
    return PreviousPlan(
        issued_epoch_s=plan.issued_epoch_s,
        start_epoch_s=plan.start_epoch_s,
        assets=plan.assets,
        setpoint_a=tuple(tuple(row) for row in rows[:MAX_STEPS].tolist()),
    )
