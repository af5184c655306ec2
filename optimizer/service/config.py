"""``optimizer.yaml``: the sites one optimizer plans for, and what it must know of each beside the site file.

Relative paths count from the file's folder. The keys are described in docs/optimizer.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, TypeAdapter

from forecasting.core.load import BuildingUse
from forecasting.core.sessions import SiteClass
from interfaces.config_file import read_config
from interfaces.domain.site_yaml import Document, shown
from interfaces.errors import UserError
from interfaces.sources.prices.zones import find_zone
from optimizer.core.problem import HORIZON_STEPS
from optimizer.core.problem_money import Contract, Tariff
from optimizer.core.problem_state import Profile, Target, Vehicle
from optimizer.core.problem_types import MAX_STEPS, Id
from optimizer.service.broker_run import BrokerEntry, ControllerName, Organisation
from optimizer.service.config_site import BatteryEntry, BufferEntry, ChargerEntry
from optimizer.service.engine_config import EngineEntry
from optimizer.service.record import PLAN_EVERY_S
from optimizer.service.wanted import SUFFIXES

_STRICT: Final = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
FilePath = Annotated[Path, Field(strict=False)]
PriceWord = Literal["entsoe", "energy_charts", "energyzero", "awattar"]
WeatherWord = Literal["open_meteo", "bright_sky"]


@dataclass(frozen=True, slots=True)
class PricesEntry:
    """Day-ahead prices of a bidding zone: from ``sources``, the first choice first, or from a CSV ``file`` that
    somebody keeps up to date.
    """

    __pydantic_config__ = _STRICT
    zone: str
    sources: Annotated[tuple[PriceWord, ...], Field(max_length=4)] = ()
    file: FilePath | None = None


@dataclass(frozen=True, slots=True)
class PlaneEntry:
    """Modules that look the same way; azimuth clockwise from north."""

    __pydantic_config__ = _STRICT
    tilt_deg: Annotated[float, Field(ge=0, le=90)]
    azimuth_deg: Annotated[float, Field(ge=0, le=360)]
    kwp: Annotated[float, Field(gt=0, le=100_000)]


@dataclass(frozen=True, slots=True)
class PvEntry:
    """The planes of a PV plant of the site file."""

    __pydantic_config__ = _STRICT
    id: Id
    planes: Annotated[tuple[PlaneEntry, ...], Field(min_length=1, max_length=20)]


@dataclass(frozen=True, slots=True)
class ScheduleEntry:
    """A file of departures. ``vehicle``: whose a calendar's events are that name nobody."""

    __pydantic_config__ = _STRICT
    file: FilePath
    vehicle: str | None = None


@dataclass(frozen=True, slots=True)
class SiteEntry:
    """One site. ``default_target`` None: a session nobody spoke about is guessed from those before it. ``controller``:
    with a broker, the name in the certificate of who runs the site; ``organisation`` where it is not the broker's.
    """

    __pydantic_config__ = _STRICT
    site: FilePath
    link: FilePath
    tariff: Tariff
    key: FilePath | None = None
    controller: ControllerName | None = None
    organisation: Organisation | None = None
    prices: PricesEntry | None = None
    weather: Annotated[tuple[WeatherWord, ...], Field(max_length=2)] = ()
    contract: Contract = field(default_factory=Contract)
    pv: Annotated[tuple[PvEntry, ...], Field(max_length=200)] = ()
    chargers: Annotated[tuple[ChargerEntry, ...], Field(max_length=1000)] = ()
    batteries: Annotated[tuple[BatteryEntry, ...], Field(max_length=50)] = ()
    buffers: Annotated[tuple[BufferEntry, ...], Field(max_length=200)] = ()
    vehicles: Annotated[tuple[Vehicle, ...], Field(max_length=10_000)] = ()
    profiles: Annotated[tuple[Profile, ...], Field(max_length=10_000)] = ()
    schedules: Annotated[tuple[ScheduleEntry, ...], Field(max_length=50)] = ()
    site_class: SiteClass = SiteClass.WORKPLACE
    building: BuildingUse = BuildingUse.OFFICE
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] | None = None
    default_target: Target | None = None
    unknown_tag: Literal["default", "nothing"] = "default"
    horizon_steps: Annotated[int, Field(ge=4, le=MAX_STEPS)] = HORIZON_STEPS
    plan_every_s: Annotated[int, Field(ge=5, le=900)] = round(PLAN_EVERY_S)


@dataclass(frozen=True, slots=True)
class OptimizerConfig:
    """All sites of one optimizer. Without ``broker`` others carry what lies in the folders."""

    __pydantic_config__ = _STRICT
    version: Literal[1]
    sites: Annotated[tuple[SiteEntry, ...], Field(min_length=1, max_length=5000)]
    log_level: Literal["debug", "info", "warning"] = "info"
    broker: BrokerEntry | None = None
    engine: EngineEntry | None = None


_ADAPTER: Final = TypeAdapter(OptimizerConfig)


def load_config(file: Path) -> OptimizerConfig:
    """The configuration with its paths made absolute.

    Raises:
        UserError: it cannot be read or has problems; the sentence names the first by line and path.
    """
    found, document = read_config(file, _ADAPTER)
    _check(file, document, found)
    folder = file.absolute().parent
    broker = None if found.broker is None else found.broker.placed(folder)
    return replace(found, broker=broker, sites=tuple(_placed(entry, folder) for entry in found.sites))


def _check(file: Path, document: Document, found: OptimizerConfig) -> None:
    """What the types cannot say: zones, names of vehicles, kinds of files, folders used twice."""
    links: set[Path] = set()
    controllers: set[str] = set()
    for k, entry in enumerate(found.sites):
        vehicles = {vehicle.id for vehicle in entry.vehicles}
        strange = next((p.vehicle for p in entry.profiles if p.vehicle is not None and p.vehicle not in vehicles), None)
        table = next((s.file for s in entry.schedules if s.file.suffix.lower() not in SUFFIXES), None)
        for wrong, key, text in (
            (entry.link in links, "link", f"{entry.link} is the folder of another site too"),
            (
                entry.prices is not None and find_zone(entry.prices.zone) is None,
                "prices",
                f"'{entry.prices.zone if entry.prices else ''}' is no bidding zone",
            ),
            (
                entry.prices is not None and bool(entry.prices.sources) == (entry.prices.file is not None),
                "prices",
                "prices come from 'sources' or from a 'file', one of the two",
            ),
            (strange is not None, "profiles", f"the vehicle '{strange}' is not among the vehicles"),
            *_of_broker(found, entry, controllers),
            (table is not None, "schedules", f"{table} is none of {', '.join(SUFFIXES)}"),
        ):
            if wrong:
                place = ("sites", k, key)
                raise UserError(f"{file}:{document.line_of(place)} {shown(place)}: {text}")
        links.add(entry.link)
        controllers.add(entry.controller or "")


def _of_broker(found: OptimizerConfig, entry: SiteEntry, controllers: set[str]) -> tuple[tuple[bool, str, str], ...]:
    """(wrong, key, text): what a site needs to be reached over a broker."""
    asked, named = found.broker is not None, entry.controller is not None
    return (
        (asked and not named, "site", "with a broker every site needs its 'controller'"),
        (named and not asked, "controller", "a controller is reached over a 'broker', and there is none"),
        (named and entry.key is None, "controller", "what goes over a broker is signed: the site needs a 'key'"),
        (named and entry.controller in controllers, "controller", f"'{entry.controller}' is at another site too"),
    )


def _placed(entry: SiteEntry, folder: Path) -> SiteEntry:
    return replace(
        entry,
        site=folder / entry.site,
        link=folder / entry.link,
        key=None if entry.key is None else folder / entry.key,
        prices=None if entry.prices is None else _prices_placed(entry.prices, folder),
        schedules=tuple(replace(schedule, file=folder / schedule.file) for schedule in entry.schedules),
    )


def _prices_placed(prices: PricesEntry, folder: Path) -> PricesEntry:
    return prices if prices.file is None else replace(prices, file=folder / prices.file)
