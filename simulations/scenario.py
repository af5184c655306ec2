"""The types of a scenario file: a site, what happens on it, how well it is seen, and who controls it.

Currents in A per grid phase L1 L2 L3, times in s from the start of the run unless a name says otherwise. Shares are
0..1. What is left out has the value shown here. Files are named relative to the folder given with ``--data``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import ConfigDict, Field, NaiveDatetime

_STRICT: Final = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, str_strip_whitespace=True)

StrategyName: TypeAlias = Literal["uncontrolled", "fair-share", "fallback", "no-ledger", "mpc", "mpc-perfect"]
STRATEGIES: Final[tuple[StrategyName, ...]] = (
    "uncontrolled", "fair-share", "fallback", "no-ledger", "mpc", "mpc-perfect",
)  # fmt: skip
PLANNED: Final[frozenset[StrategyName]] = frozenset({"mpc", "mpc-perfect"})
"""Strategies that follow plans of the optimizer."""
WITHOUT_PLANS: Final[tuple[StrategyName, ...]] = tuple(name for name in STRATEGIES if name not in PLANNED)

Amps: TypeAlias = Annotated[float, Field(ge=0, le=6300)]
PerPhase: TypeAlias = Annotated[tuple[Amps, Amps, Amps], Field(description="A on L1, L2, L3")]
SignedPerPhase: TypeAlias = tuple[
    Annotated[float, Field(ge=-6300, le=6300)],
    Annotated[float, Field(ge=-6300, le=6300)],
    Annotated[float, Field(ge=-6300, le=6300)],
]
Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Seconds: TypeAlias = Annotated[float, Field(ge=0, le=10_000_000)]
Positive: TypeAlias = Annotated[float, Field(gt=0, le=10_000_000)]
FileName: TypeAlias = Annotated[
    str, Field(min_length=1, max_length=200, description="below --data: .csv, .csv.gz or .parquet")
]
Column: TypeAlias = Annotated[str, Field(min_length=1, max_length=100)]
FirstDay: TypeAlias = Annotated[
    date, Field(description="the day of the file that becomes the first day of the run, in the site's time zone")
]
FileZone: TypeAlias = Annotated[
    str, Field(max_length=64, description="time zone whose wall clock is moved onto the site's, such as Europe/Zurich")
]
Price: TypeAlias = Annotated[float, Field(ge=-10, le=10)]


@dataclass(frozen=True, slots=True)
class Readings:
    """How well the field is seen. Periods left out are those of the site's devices; a skew is the oldest a reading may
    be when it is sent.
    """

    __pydantic_config__ = _STRICT
    meter_period_s: Annotated[float, Field(ge=0.1, le=60)] | None = None
    asset_period_s: Annotated[float, Field(ge=0.1, le=60)] | None = None
    settle_period_s: Annotated[float, Field(ge=0.1, le=60)] | None = None
    meter_skew_s: Annotated[float, Field(ge=0, le=2)] = 0.0
    asset_skew_s: Annotated[float, Field(ge=0, le=2)] = 0.0


@dataclass(frozen=True, slots=True)
class Street:
    """Which cars come: with a legal oddity, disobedient, or drawing anything up to the highest offer of 10 s."""

    __pydantic_config__ = _STRICT
    odd_share: Share = 0.3
    disobedient_share: Share = 0.0
    adversarial_share: Share = 0.0


@dataclass(frozen=True, slots=True)
class GeneratedSessions:
    """Seeded visits at every EVSE. ``morning_h``: mean local hour of the first visit; ranges are (least, most)."""

    __pydantic_config__ = _STRICT
    kind: Literal["generated"] = "generated"
    visits_per_day: Annotated[float, Field(ge=0, le=2)] = 1.3
    morning_h: Annotated[float, Field(ge=0, le=24)] = 8.5
    stay_h: tuple[Positive, Positive] = (1.0, 9.0)
    energy_kwh: tuple[Positive, Positive] = (5.0, 45.0)
    cars: Street = field(default_factory=Street)


@dataclass(frozen=True, slots=True)
class SessionFile:
    """Real sessions. Stations of the file take the AC EVSEs in turn; a session whose place is taken goes to a free one.

    ``overlay``: so many days of the file happen on each day of the run. ``place``: keeps the rows of this value in the
    columns ``site`` or ``location``. ``max_mean_kw``: rows with a higher mean power are bad.
    """

    __pydantic_config__ = _STRICT
    kind: Literal["file"]
    file: FileName
    first_day: FirstDay
    time_zone: FileZone | None = None
    overlay: Annotated[int, Field(ge=1, le=30)] = 1
    place: Column | None = None
    max_mean_kw: Positive = 25.0
    cars: Street = field(default_factory=Street)


@dataclass(frozen=True, slots=True)
class MotorEntry:
    """A motor started direct on line now and then: mean pause between runs and length of one."""

    __pydantic_config__ = _STRICT
    running_a: PerPhase
    mean_pause_s: Positive = 900.0
    run_s: Positive = 120.0


@dataclass(frozen=True, slots=True)
class HeaterEntry:
    """A load switched on and off without inrush; each run and each pause lasts at least ``least_s``, so that a meter
    polled faster than that sees every step.
    """

    __pydantic_config__ = _STRICT
    amps_a: PerPhase
    mean_pause_s: Positive = 120.0
    mean_run_s: Positive = 60.0
    least_s: Positive = 15.0


@dataclass(frozen=True, slots=True)
class LoadSeries:
    """A measured series, feed-in becomes 0. ``rated``: the value, in the column's own unit, that becomes ``peak_a``;
    left out: the highest of the run. ``column`` left out: the first one with power or energy in its name.
    """

    __pydantic_config__ = _STRICT
    file: FileName
    first_day: FirstDay
    peak_a: PerPhase
    column: Column | None = None
    rated: Positive | None = None
    time_zone: FileZone | None = None


@dataclass(frozen=True, slots=True)
class LoadEntry:
    """What the building takes behind one circuit: ``base_a`` always, ``swing_a`` more at its busiest hour, or a series;
    noise, motor starts and heaters on top.
    """

    __pydantic_config__ = _STRICT
    circuit: Annotated[str, Field(min_length=1, max_length=64)]
    base_a: PerPhase = (0.0, 0.0, 0.0)
    swing_a: PerPhase = (0.0, 0.0, 0.0)
    shape: Literal["flat", "office", "home"] = "office"
    noise_a: Amps = 0.5
    motors: Annotated[tuple[MotorEntry, ...], Field(max_length=50)] = ()
    heaters: Annotated[tuple[HeaterEntry, ...], Field(max_length=50)] = ()
    series: LoadSeries | None = None


@dataclass(frozen=True, slots=True)
class GeneratedSun:
    """Clear sky with passing clouds; mean lengths in s, an edge passes within ``ramp_s`` (least, most)."""

    __pydantic_config__ = _STRICT
    kind: Literal["generated"] = "generated"
    sunrise_h: Annotated[float, Field(ge=0, le=24)] = 6.0
    sunset_h: Annotated[float, Field(ge=0, le=24)] = 20.0
    mean_clear_s: Positive = 600.0
    mean_cloud_s: Positive = 180.0
    ramp_s: tuple[Positive, Positive] = (2.0, 20.0)
    under_cloud: tuple[Share, Share] = (0.15, 0.6)


@dataclass(frozen=True, slots=True)
class SunFile:
    """Measured PV or irradiance. ``rated``: the value, in the column's own unit, that means nameplate; left out: the
    highest. ``stamps``: of the moment, or of the end of the hour whose mean they are (Open-Meteo's irradiance).
    """

    __pydantic_config__ = _STRICT
    kind: Literal["file"]
    file: FileName
    first_day: FirstDay
    column: Column | None = None
    rated: Positive | None = None
    time_zone: FileZone | None = None
    stamps: Literal["moment", "end_of_hour"] = "moment"


@dataclass(frozen=True, slots=True)
class GeneratedPrices:
    """Seeded hourly prices with a morning and an evening peak and a valley at noon."""

    __pydantic_config__ = _STRICT
    kind: Literal["generated"] = "generated"
    mean_eur_per_kwh: Price = 0.10
    swing_eur_per_kwh: Price = 0.08
    noise_eur_per_kwh: Annotated[float, Field(ge=0, le=1)] = 0.01
    fee_eur_per_kwh: Price = 0.0
    export_eur_per_kwh: Price = 0.0


@dataclass(frozen=True, slots=True)
class PriceFile:
    """Real day-ahead prices (columns ``start_utc``, ``price_eur_per_mwh``). Fee: added to each imported kWh."""

    __pydantic_config__ = _STRICT
    kind: Literal["file"]
    file: FileName
    first_day: FirstDay
    time_zone: FileZone | None = None
    fee_eur_per_kwh: Price = 0.0
    export_eur_per_kwh: Price = 0.0


@dataclass(frozen=True, slots=True)
class BatteryStart:
    """State of charge of one battery at the start; its size is in the site file."""

    __pydantic_config__ = _STRICT
    asset: Annotated[str, Field(min_length=1, max_length=64)]
    soc: Share = 0.5
    efficiency: Annotated[float, Field(gt=0.5, le=1)] = 0.96


@dataclass(frozen=True, slots=True)
class Data:
    """What happens on the site."""

    __pydantic_config__ = _STRICT
    sessions: Annotated[GeneratedSessions | SessionFile, Field(discriminator="kind")] = field(
        default_factory=GeneratedSessions
    )
    loads: Annotated[tuple[LoadEntry, ...], Field(max_length=100)] = ()
    sun: Annotated[GeneratedSun | SunFile, Field(discriminator="kind")] = field(default_factory=GeneratedSun)
    prices: Annotated[GeneratedPrices | PriceFile, Field(discriminator="kind")] | None = None
    batteries: Annotated[tuple[BatteryStart, ...], Field(max_length=50)] = ()


@dataclass(frozen=True, slots=True)
class TargetsEntry:
    """What the site is told of each session. ``known_share``: of the cars whose departure and energy are known.
    ``drivers``: told what they typed in where a session file has it, or ``know`` exactly when they leave and what they
    need.
    """

    __pydantic_config__ = _STRICT
    known_share: Share = 0.0
    drivers: Literal["told", "know"] = "told"
    prices: Annotated[bool, Field(description="prices reach the site: today's, from 13:00 tomorrow's")] = True


@dataclass(frozen=True, slots=True)
class WeatherForecast:
    """Measured weather (columns as Open-Meteo names them) that is handed to the optimizer as its forecast, spoiled by a
    seeded error: ``error`` is the standard deviation of the irradiance, as a share, a day ahead and more.
    """

    __pydantic_config__ = _STRICT
    file: FileName
    first_day: FirstDay
    time_zone: FileZone | None = None
    error: Share = 0.3


@dataclass(frozen=True, slots=True)
class Economy:
    """What plans and bills need. ``capacity_eur_per_kw``: for the highest quarter-hour of each calendar month, at least
    ``capacity_floor_kw``. ``history_days``: days before the run that the site remembers. ``replan_s``: between plans.
    Where the plants look: ``tilt_deg``, ``azimuth_deg`` (180 is south). ``battery_eur_per_kwh``: what stored energy is
    worth at the end (left out: the mean import price). ``cloud_away_h``: hours after the start from which and until
    which nothing passes between site and cloud; what was measured arrives afterwards.
    """

    __pydantic_config__ = _STRICT
    capacity_eur_per_kw: Annotated[float, Field(ge=0, le=1000)] = 0.0
    capacity_floor_kw: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    history_days: Annotated[int, Field(ge=0, le=60)] = 0
    replan_s: Annotated[int, Field(ge=60, le=3600)] = 300
    site_class: Literal["workplace", "depot", "home", "public"] = "workplace"
    building: Literal["household", "office", "retail", "industry"] = "office"
    tilt_deg: Annotated[float, Field(ge=0, le=90)] = 30.0
    azimuth_deg: Annotated[float, Field(ge=0, le=360)] = 180.0
    weather: WeatherForecast | None = None
    battery_eur_per_kwh: Annotated[float, Field(ge=0, le=10)] | None = None
    cloud_away_h: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]] | None = None


FaultKind: TypeAlias = Literal[
    "meter_silent", "meter_frozen", "meter_broken", "meter_reversed", "load_step",
    "charger_unreachable", "charger_reboot", "charger_ignores_writes", "charger_fault", "contactor_welded",
    "car_disobeys", "sun_share", "operator_limit",
]  # fmt: skip
CIRCUIT_FAULTS: Final[frozenset[str]] = frozenset(
    {"meter_silent", "meter_frozen", "meter_broken", "meter_reversed", "load_step"}
)
ASSET_FAULTS: Final[frozenset[str]] = frozenset(
    {
        "charger_unreachable",
        "charger_reboot",
        "charger_ignores_writes",
        "charger_fault",
        "contactor_welded",
        "car_disobeys",
    }
)


@dataclass(frozen=True, slots=True)
class FaultEntry:
    """Something goes wrong at ``at_s`` for ``for_s``. Meter faults and ``load_step`` (``amps_a``) name a circuit, those
    of chargers and cars an asset. ``car_disobeys``: cars that arrive in that time ignore lower offers. ``sun_share``:
    the sun gives only ``share``; ``operator_limit``: ``power_w`` at the grid connection.
    """

    __pydantic_config__ = _STRICT
    kind: FaultKind
    at_s: Seconds
    for_s: Positive = 60.0
    circuit: str | None = None
    asset: str | None = None
    amps_a: SignedPerPhase | None = None
    share: Share | None = None
    power_w: Annotated[float, Field(ge=0, le=20_000_000)] | None = None


@dataclass(frozen=True, slots=True)
class Experiment:
    """Facts of the site changed on purpose, to see what they are good for. ``release_s``: the wait before current
    given back counts as free; below 10 s is not safe.
    """

    __pydantic_config__ = _STRICT
    release_s: Annotated[float, Field(ge=0, le=600)] | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """A whole scenario file. ``site``: a, b (the shipped examples) or a site file beside the scenario. ``start``: local
    time of the site. ``step_s``: the plant moves and the controller scans once per step.
    """

    __pydantic_config__ = _STRICT
    version: Literal[1]
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    site: Annotated[str, Field(min_length=1, max_length=300)]
    start: Annotated[NaiveDatetime, Field(description="local time of the site, such as 2024-06-03T06:00")]
    seed: Annotated[int, Field(ge=0, le=2**31)] = 1
    days: Annotated[float, Field(gt=0, le=60)] = 1.0
    step_s: Annotated[float, Field(ge=0.1, le=10)] = 1.0
    strategies: Annotated[tuple[StrategyName, ...], Field(min_length=1, max_length=len(STRATEGIES))] = WITHOUT_PLANS
    readings: Readings = field(default_factory=Readings)
    data: Data = field(default_factory=Data)
    targets: TargetsEntry = field(default_factory=TargetsEntry)
    economy: Economy = field(default_factory=Economy)
    faults: Annotated[tuple[FaultEntry, ...], Field(max_length=1000)] = ()
    experiment: Experiment = field(default_factory=Experiment)
