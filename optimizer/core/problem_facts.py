"""What stands on a site, as the plan needs it: circuits, EVSEs, batteries, PV plants, stores of heat, runs.

Limits are the controller's own: ``facts_of`` takes them from its topology, so that both reckon with one margin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import Field

from interfaces.domain.stores import BATTERY_EFFICIENCY, BATTERY_WEAR_EUR_PER_KWH
from interfaces.domain.topology import PHASES, Asset, AssetKind, Topology
from interfaces.domain.units import MILLI, MISSING, kw_from_mw, kw_from_w
from optimizer.core.problem_types import STRICT, Amps, Efficiency, Id, Kw, Kwh, PerPhase, Phase, Phases, Share

VEHICLE_WEAR_EUR_PER_KWH: Final[float] = 0.06
"""Per kWh fed back: a car's battery is dearer (150 EUR/kWh over 2500 full cycles), and its owner is asked a favour."""


@dataclass(frozen=True, slots=True)
class CircuitFacts:
    """A protected branch. ``limit_a``: what may flow on each phase: rated x derating or contract, less the margin.

    ``background_max_a``: the most that everything not planned may draw there, None where nobody said. ``metered``: has
    a meter. ``firm_export``: what PV feeds in makes room for cars. ``max_import_kw``: its power limit where it has one.
    """

    __pydantic_config__ = STRICT
    id: Id
    limit_a: PerPhase
    parent: Id | None = None
    background_max_a: PerPhase | None = None
    metered: bool = True
    firm_export: bool = False
    max_import_kw: Kw | None = None


@dataclass(frozen=True, slots=True)
class EvseFacts:
    """One supply for one vehicle. Currents per conductor at its AC side, ``phases`` in conductor order.

    ``tier``: lower is served first. ``spot_priority``: weight of the parking space inside its tier. For direct current
    ``efficiency`` from AC meter to car and ``min_power_kw``. ``discharge_a``: 0 where a car cannot feed back.
    """

    __pydantic_config__ = STRICT
    id: Id
    circuit: Id
    phases: Phases
    max_a: Annotated[float, Field(gt=0, le=10_000)]
    min_a: Amps = 6.0
    step_a: Annotated[float, Field(gt=0, le=1000)] = 1.0
    tier: Annotated[int, Field(ge=1, le=9)] = 1
    spot_priority: Annotated[int, Field(ge=1, le=3, description="3 is the most urgent")] = 2
    direct_current: bool = False
    efficiency: Efficiency = 1.0
    min_power_kw: Kw = 0.0
    discharge_a: Amps = 0.0
    never_pause: bool = False


@dataclass(frozen=True, slots=True)
class BatteryFacts:
    """A stationary battery; power at its AC side."""

    __pydantic_config__ = STRICT
    id: Id
    circuit: Id
    phases: Phases
    capacity_kwh: Annotated[float, Field(gt=0, le=1_000_000)]
    charge_kw: Kw
    discharge_kw: Kw
    floor_share: Share = 0.1
    ceiling_share: Share = 1.0
    charge_efficiency: Efficiency = BATTERY_EFFICIENCY
    discharge_efficiency: Efficiency = BATTERY_EFFICIENCY
    wear_eur_per_kwh: Annotated[float, Field(ge=0, le=10)] = BATTERY_WEAR_EUR_PER_KWH
    step_a: Annotated[float, Field(gt=0, le=1000)] = 0.1


@dataclass(frozen=True, slots=True)
class PvFacts:
    """A PV plant. ``curtailable``: it is a flexible asset of the controller and may be held back."""

    __pydantic_config__ = STRICT
    id: Id
    circuit: Id
    phases: Phases
    rated_kw: Annotated[float, Field(gt=0, le=100_000)]
    curtailable: bool = False
    step_a: Annotated[float, Field(gt=0, le=1000)] = 0.1


@dataclass(frozen=True, slots=True)
class BufferFacts:
    """A heat pump, boiler or cold store. ``cop``: heat (or cold) per electrical energy. ``loss_share_per_h``: of
    what it holds. ``low_kwh``..``high_kwh``: its comfort band, outside which each kWh costs ``comfort_eur_per_kwh`` an
    hour.
    """

    __pydantic_config__ = STRICT
    id: Id
    circuit: Id
    phases: Phases
    power_kw: Annotated[float, Field(gt=0, le=100_000)]
    low_kwh: Kwh
    high_kwh: Kwh
    cop: Annotated[float, Field(gt=0, le=20)] = 1.0
    loss_share_per_h: Share = 0.01
    comfort_eur_per_kwh: Annotated[float, Field(ge=0, le=100)] = 1.0
    step_a: Annotated[float, Field(gt=0, le=1000)] = 0.1


@dataclass(frozen=True, slots=True)
class SiteFacts:
    """The installation. The first circuit without parent is the grid connection point; ids are unique over all assets.

    ``nominal_voltage_v``: phase to neutral.
    """

    __pydantic_config__ = STRICT
    id: Id
    topology_version: Annotated[str, Field(min_length=1, max_length=64)]
    time_zone: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_+/-]{1,63}$")]
    circuits: Annotated[tuple[CircuitFacts, ...], Field(min_length=1, max_length=500)]
    evses: Annotated[tuple[EvseFacts, ...], Field(max_length=1000)] = ()
    batteries: Annotated[tuple[BatteryFacts, ...], Field(max_length=50)] = ()
    pv: Annotated[tuple[PvFacts, ...], Field(max_length=200)] = ()
    buffers: Annotated[tuple[BufferFacts, ...], Field(max_length=200)] = ()
    nominal_voltage_v: Annotated[float, Field(ge=100, le=300)] = 230.0


def circuits_of(topology: Topology) -> tuple[CircuitFacts, ...]:
    """The controller's circuits with its own limits: margin and the age term of a slow meter are in them."""
    found = []
    for k, circuit in enumerate(topology.circuits):
        spare_ma = topology.limit_ma[k] - topology.period_margin_ma[k]
        worst_ma = topology.background_max_ma[k]
        power_mw = int(topology.max_import_mw[k])
        found.append(
            CircuitFacts(
                id=circuit.id,
                limit_a=_amps(spare_ma.clip(min=0).tolist()),
                parent=circuit.parent,
                background_max_a=None if int(worst_ma[0]) == MISSING else _amps(worst_ma.tolist()),
                metered=bool(topology.metered[k]),
                firm_export=bool(topology.firm_export[k]),
                max_import_kw=None if power_mw == MISSING else kw_from_mw(power_mw),
            )
        )
    return tuple(found)


def evses_of(topology: Topology) -> tuple[EvseFacts, ...]:
    """The controller's EVSEs; what only the optimizer knows (efficiency, parking spots) keeps its default."""
    return tuple(
        EvseFacts(
            id=asset.id,
            circuit=asset.circuit,
            phases=_phases(asset),
            max_a=asset.max_a,
            min_a=float(topology.min_ma[i]) / MILLI,
            step_a=float(topology.step_ma[i]) / MILLI,
            tier=asset.tier,
            direct_current=asset.direct_current,
            discharge_a=asset.max_export_a,
            never_pause=asset.never_pause,
        )
        for i, asset in enumerate(topology.assets)
        if asset.kind == AssetKind.EVSE
    )


def batteries_of(topology: Topology, capacity_kwh: Mapping[str, float]) -> tuple[BatteryFacts, ...]:
    """The controller's batteries; no topology knows their capacity."""
    volts = topology.nominal_mv / MILLI
    return tuple(
        BatteryFacts(
            id=asset.id,
            circuit=asset.circuit,
            phases=_phases(asset),
            capacity_kwh=capacity_kwh[asset.id],
            charge_kw=kw_from_w(asset.max_a * volts * len(asset.phases)),
            discharge_kw=kw_from_w(asset.max_export_a * volts * len(asset.phases)),
        )
        for asset in topology.assets
        if asset.kind == AssetKind.BATTERY
    )


def facts_of(topology: Topology, *, site: str, time_zone: str) -> SiteFacts:
    """Facts of circuits, EVSEs and PV from the controller's topology.

    A buffer needs its band, which no topology knows, batteries come from ``batteries_of``: the caller adds them.
    """
    volts = topology.nominal_mv / MILLI
    plants = (asset for asset in topology.assets if asset.kind == AssetKind.PV and asset.max_export_a > 0)
    return SiteFacts(
        id=site,
        topology_version=topology.version,
        time_zone=time_zone,
        circuits=circuits_of(topology),
        evses=evses_of(topology),
        pv=tuple(
            PvFacts(
                id=asset.id,
                circuit=asset.circuit,
                phases=_phases(asset),
                rated_kw=kw_from_w(asset.max_export_a * volts * len(asset.phases)),
                curtailable=True,
                step_a=asset.step_a,
            )
            for asset in plants
        ),
        nominal_voltage_v=volts,
    )


def _amps(values_ma: list[int]) -> tuple[float, float, float]:
    a, b, c = (value / MILLI for value in values_ma)
    return a, b, c


def _phases(asset: Asset) -> tuple[Phase, ...]:
    return tuple(PHASES[p] for p in asset.phases)  # type: ignore[misc]
