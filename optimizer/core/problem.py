"""The planning problem of one site as frozen data: all that a plan depends on, and nothing else.

Facts are in ``problem_facts``, the present and people's wishes in ``problem_state``, prices and limits in
``problem_money``. Power in kW, energy in kWh, current in A per conductor, money in EUR; consumption and charging are
positive. Times are seconds since 1970 UTC; local hours appear only where a contract or a person speaks in them.
``codec`` turns it into JSON and back, ``check`` judges and mends it, ``compile`` makes numbers of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Final, Literal

from pydantic import Field

from optimizer.core.problem_facts import SiteFacts
from optimizer.core.problem_money import Contract, Tariff
from optimizer.core.problem_state import Profile, ScheduleEntry, SiteState, Target, Vehicle
from optimizer.core.problem_types import MAX_STEPS, STRICT, Column, EpochS, Id, Share

SCHEMA: Final[int] = 1
HORIZON_STEPS: Final[int] = 192
"""48 h: tomorrow's prices are published about 35 h before their last hour."""
DEFAULT_STAY_H: Final[float] = 8.0
DEFAULT_ENERGY_KWH: Final[float] = 20.0
"""About 100 km: what a car is given where nobody said anything, in a working day or a night."""


@dataclass(frozen=True, slots=True)
class CircuitForecast:
    """What draws behind a circuit and is not planned, its sub-circuits included and PV plants of the problem not.

    ``high_kw``: a high quantile for the fuses, where there is one. ``phase_share``: how it splits over L1 L2 L3.
    """

    __pydantic_config__ = STRICT
    circuit: Id
    load_kw: Column
    high_kw: Column | None = None
    phase_share: tuple[Share, Share, Share] | None = None


@dataclass(frozen=True, slots=True)
class PvForecast:
    """What a plant would give uncurtailed, 0 or more. ``low_kw``: a low quantile, for room that must be firm."""

    __pydantic_config__ = STRICT
    plant: Id
    power_kw: Column
    low_kw: Column | None = None


@dataclass(frozen=True, slots=True)
class HeatForecast:
    """Heat (or cold) drawn from a buffer, kW of heat."""

    __pydantic_config__ = STRICT
    buffer: Id
    demand_kw: Column


@dataclass(frozen=True, slots=True)
class ArrivalForecast:
    """What cars that are not here yet are expected to draw behind a circuit: room and power kept for them."""

    __pydantic_config__ = STRICT
    circuit: Id
    power_kw: Column


@dataclass(frozen=True, slots=True)
class Forecast:
    """Quarters from ``start_epoch_s`` (on a clock quarter); null where nothing is known."""

    __pydantic_config__ = STRICT
    start_epoch_s: EpochS
    circuits: Annotated[tuple[CircuitForecast, ...], Field(max_length=500)] = ()
    pv: Annotated[tuple[PvForecast, ...], Field(max_length=200)] = ()
    heat: Annotated[tuple[HeatForecast, ...], Field(max_length=200)] = ()
    arrivals: Annotated[tuple[ArrivalForecast, ...], Field(max_length=500)] = ()


@dataclass(frozen=True, slots=True)
class PreviousPlan:
    """The last plan: ``setpoint_a`` one row per quarter from ``start_epoch_s``, one column per asset."""

    __pydantic_config__ = STRICT
    issued_epoch_s: EpochS
    start_epoch_s: EpochS
    assets: Annotated[tuple[Id, ...], Field(max_length=2000)]
    setpoint_a: Annotated[
        tuple[tuple[Annotated[float, Field(ge=-10_000, le=10_000)] | None, ...], ...], Field(max_length=MAX_STEPS)
    ]


@dataclass(frozen=True, slots=True)
class Settings:
    """The few things a site may choose. ``default_target``: for a session about which nobody said anything.

    ``ready_ahead_s``: cars are planned to be ready so long before they leave, but never more than 15 % of the time that
    is left: they take less and less while they fill up, and people leave early. ``unknown_tag``: a session with an RFID
    tag that nobody knows gets the default target, or nothing from the plan.
    """

    __pydantic_config__ = STRICT
    horizon_steps: Annotated[int, Field(ge=1, le=MAX_STEPS)] = HORIZON_STEPS
    default_target: Target = field(default_factory=lambda: Target(unit="kwh", amount=DEFAULT_ENERGY_KWH))
    default_stay_h: Annotated[float, Field(gt=0, le=168)] = DEFAULT_STAY_H
    ready_ahead_s: Annotated[float, Field(ge=0, le=14_400)] = 0.0
    unknown_tag: Literal["default", "nothing"] = "default"


@dataclass(frozen=True, slots=True)
class Problem:
    """One planning problem. Row 0 of its plan is the clock quarter that ``now_epoch_s`` lies in."""

    __pydantic_config__ = STRICT
    schema: Literal[1]
    now_epoch_s: EpochS
    site: SiteFacts
    state: SiteState
    forecast: Forecast
    tariff: Tariff
    contract: Contract = field(default_factory=Contract)
    vehicles: Annotated[tuple[Vehicle, ...], Field(max_length=10_000)] = ()
    profiles: Annotated[tuple[Profile, ...], Field(max_length=10_000)] = ()
    schedule: Annotated[tuple[ScheduleEntry, ...], Field(max_length=10_000)] = ()
    previous: PreviousPlan | None = None
    settings: Settings = field(default_factory=Settings)
