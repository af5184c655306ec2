"""What is going on at a site and what people want: sessions, vehicles, profiles, schedules; batteries and stores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field

from optimizer.core.problem_types import STRICT, Amps, Days, EpochS, Id, Kw, Kwh, LocalTime, Phases, Text

SocSource: TypeAlias = Literal["charger", "entered", "last_known", "none"]
Unit: TypeAlias = Literal["km", "pct", "kwh"]
Priority: TypeAlias = Annotated[int, Field(ge=1, le=3, description="3 is the most urgent")]
Finite: TypeAlias = Annotated[float, Field(ge=-1e9, le=1e9)]

CONSUMPTION_WH_PER_KM: Final[float] = 180.0
"""A middle-class electric car on WLTP plus a tenth: what is assumed of a vehicle nobody described."""
CAPACITY_KWH: Final[float] = 60.0
LOSS_PCT: Final[float] = 10.0
"""Of what the AC meter counts, on the way into the battery (ADAC 2022: 5 to 13 % at 11 kW)."""


@dataclass(frozen=True, slots=True)
class Target:
    """Wanted autonomy at departure: range in km, state of charge in %, or kWh to add from plug-in.

    Departure as a moment, or as a time of day on the site's clock (its next occurrence). Neither: the site's default
    stay. Any finite number is taken; what is beyond reason is clamped with a note. ``guaranteed_kwh``: of it, what
    comes before everybody else's wishes.
    """

    __pydantic_config__ = STRICT
    unit: Unit
    amount: Finite
    departure_epoch_s: EpochS | None = None
    departure_local: LocalTime | None = None
    guaranteed_kwh: Kwh = 0.0
    deferrable: bool | None = None


@dataclass(frozen=True, slots=True)
class Vehicle:
    """A known car. ``min_a``: smallest current at which it charges. ``phases``: how many conductors it uses."""

    __pydantic_config__ = STRICT
    id: Text
    capacity_kwh: Annotated[float, Field(gt=0, le=2000)] = CAPACITY_KWH
    consumption_wh_per_km: Annotated[float, Field(gt=0, le=5000)] = CONSUMPTION_WH_PER_KM
    loss_pct: Annotated[float, Field(ge=0, lt=50)] = LOSS_PCT
    min_a: Amps | None = None
    phases: Annotated[int, Field(ge=1, le=3)] | None = None
    max_kw: Annotated[float, Field(gt=0, le=5000)] | None = None
    never_pause: bool = False
    target: Target | None = None


@dataclass(frozen=True, slots=True)
class WeeklyTarget:
    """A target for the days named, its time of departure on the site's clock."""

    __pydantic_config__ = STRICT
    days: Days
    departure_local: LocalTime
    unit: Unit
    amount: Finite
    guaranteed_kwh: Kwh = 0.0


@dataclass(frozen=True, slots=True)
class Profile:
    """What belongs to an RFID tag: a vehicle, a weekly pattern, a priority."""

    __pydantic_config__ = STRICT
    tag: Text
    vehicle: Text | None = None
    weekly: Annotated[tuple[WeeklyTarget, ...], Field(max_length=50)] = ()
    priority: Priority = 2
    deferrable: bool = True


@dataclass(frozen=True, slots=True)
class ScheduleEntry:
    """A line of an imported schedule; whom it is for: an EVSE, a tag or a vehicle."""

    __pydantic_config__ = STRICT
    departure_epoch_s: EpochS
    unit: Unit
    amount: Finite
    evse: Id | None = None
    tag: Text | None = None
    vehicle: Text | None = None
    guaranteed_kwh: Kwh = 0.0


@dataclass(frozen=True, slots=True)
class Session:
    """One car at one EVSE.

    ``delivered_kwh``: since plug-in, at the EVSE's meter. ``soc_pct``: now where the charger tells it; at plug-in where
    a person entered it or it is the last known one less what was driven since. ``soc_uncertainty_pct``: plus or minus;
    None: the usual one of its source. ``phases_used``: grid phases learned, None: not yet, so that all count.
    ``expected``: what its past says of it, in kWh since plug-in, which counts where nobody said anything. Where people
    asked for less and none knows its state of charge, the rest may be charged in hours that are cheaper than most.
    ``arrives_epoch_s``: of a car that is announced and not here yet; ``plugged_in_epoch_s`` is the same then.
    ``charging``: it draws current now, and is paused for a good reason only.
    """

    __pydantic_config__ = STRICT
    evse: Id
    plugged_in_epoch_s: EpochS
    delivered_kwh: Kwh = 0.0
    tag: Text | None = None
    vehicle: Text | None = None
    soc_pct: Finite | None = None
    soc_source: SocSource = "none"
    soc_uncertainty_pct: Annotated[float, Field(ge=0, le=100)] | None = None
    phases_used: Phases | None = None
    min_a: Amps | None = None
    max_a: Amps | None = None
    deferrable: bool | None = None
    never_pause: bool = False
    priority: Priority | None = None
    target: Target | None = None
    expected: Target | None = None
    arrives_epoch_s: EpochS | None = None
    charging: bool = False


@dataclass(frozen=True, slots=True)
class BatteryState:
    """``soc_pct`` None: not known, so that the battery rests in this plan."""

    __pydantic_config__ = STRICT
    battery: Id
    soc_pct: Finite | None = None


@dataclass(frozen=True, slots=True)
class BufferState:
    """``heat_kwh``: what it holds now, on the scale of its comfort band. None: not known, its middle is assumed."""

    __pydantic_config__ = STRICT
    buffer: Id
    heat_kwh: Finite | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """A load that is to run once without a break, such as a pump or a washing line: ``profile_kw`` per quarter."""

    __pydantic_config__ = STRICT
    id: Id
    circuit: Id
    phases: Phases
    profile_kw: Annotated[tuple[Kw, ...], Field(min_length=1, max_length=96)]
    earliest_epoch_s: EpochS
    finished_by_epoch_s: EpochS


@dataclass(frozen=True, slots=True)
class SiteState:
    """The moment the plan starts from. ``topology_version``: of the controller that took it.

    ``imported_in_quarter_kwh``: at the grid meter since the clock quarter began, None where nobody counted.
    ``announced``: cars that will come (``arrives_epoch_s``), planned for and not told to anybody yet.
    """

    __pydantic_config__ = STRICT
    topology_version: Annotated[str, Field(min_length=1, max_length=64)]
    taken_epoch_s: EpochS
    sessions: Annotated[tuple[Session, ...], Field(max_length=1000)] = ()
    batteries: Annotated[tuple[BatteryState, ...], Field(max_length=50)] = ()
    buffers: Annotated[tuple[BufferState, ...], Field(max_length=200)] = ()
    runs: Annotated[tuple[Run, ...], Field(max_length=50)] = ()
    announced: Annotated[tuple[Session, ...], Field(max_length=2000)] = ()
    imported_in_quarter_kwh: Kwh | None = None
