"""What the cloud knows of a site besides what the site tells: plants, batteries, money, people; and what lies ahead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from interfaces.domain.topology import Topology
from interfaces.domain.units import Floats
from optimizer.core.problem import Settings
from optimizer.core.problem_facts import BatteryFacts, BufferFacts, EvseFacts, SiteFacts, facts_of
from optimizer.core.problem_money import Contract, Tariff
from optimizer.core.problem_state import Profile, ScheduleEntry, Vehicle
from optimizer.core.problem_types import Block

READY_AHEAD_S: Final[float] = 1800.0
PLAN_EVERY_S: Final[float] = 300.0
PERIODS_LEASED: Final = 3
"""Two plans may be lost on the way before the site falls back to its own rules."""


@dataclass(frozen=True, slots=True)
class HeatHours:
    """Heat drawn in hours of the week, kW of heat."""

    when: Block
    kw: float


@dataclass(frozen=True, slots=True)
class HeatDemand:
    """Heat drawn from a store: in ``hours``, the first that holds, and ``otherwise_kw`` (kW of heat)."""

    otherwise_kw: float
    hours: tuple[HeatHours, ...] = ()


@dataclass(frozen=True, slots=True)
class SiteRecord:
    """One site. ``evses`` overrides what the topology says of those named (efficiency, spots). ``heat``: what is drawn
    from each of the ``buffers``. The tariff's energy price is replaced by the market's where prices arrive. A plan is
    made every ``plan_every_s`` and leased for three times as long.
    """

    id: str
    time_zone: str
    topology: Topology
    tariff: Tariff
    batteries: tuple[BatteryFacts, ...] = ()
    buffers: tuple[BufferFacts, ...] = ()
    heat: Mapping[str, HeatDemand] = field(default_factory=dict)
    evses: Mapping[str, EvseFacts] = field(default_factory=dict)
    contract: Contract = field(default_factory=Contract)
    vehicles: tuple[Vehicle, ...] = ()
    profiles: tuple[Profile, ...] = ()
    schedule: tuple[ScheduleEntry, ...] = ()
    settings: Settings = field(default_factory=lambda: Settings(ready_ahead_s=READY_AHEAD_S))
    plan_every_s: float = PLAN_EVERY_S

    @property
    def lease_s(self) -> float:
        """How long a plan may be followed without renewal."""
        return PERIODS_LEASED * self.plan_every_s

    def facts(self) -> SiteFacts:
        """The site as a planning problem takes it."""
        plain = facts_of(self.topology, site=self.id, time_zone=self.time_zone)
        return SiteFacts(
            id=plain.id,
            topology_version=plain.topology_version,
            time_zone=plain.time_zone,
            circuits=plain.circuits,
            evses=tuple(self.evses.get(evse.id, evse) for evse in plain.evses),
            batteries=self.batteries,
            pv=plain.pv,
            buffers=self.buffers,
            nominal_voltage_v=plain.nominal_voltage_v,
        )


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is expected, per quarter from ``start_epoch_s`` (a clock quarter): kW by circuit or plant id, NaN unknown.

    ``load_kw`` at each metered circuit, sub-circuits included, without flexible assets and PV; ``high_kw`` a high
    quantile of it for the fuses; ``pv_kw`` production; ``arrivals_kw`` of cars that are not here yet, by the circuit
    they will hang on.
    """

    start_epoch_s: int
    load_kw: Mapping[str, Floats]
    high_kw: Mapping[str, Floats]
    pv_kw: Mapping[str, Floats]
    arrivals_kw: Mapping[str, Floats]
