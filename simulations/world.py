"""A scenario made ready to run: the site's topology and everything that happens on it, the same for every strategy."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Final, cast, get_args

from interfaces.domain.site_file import Site, topology_of
from interfaces.domain.topology import AssetKind, Topology, build_topology
from interfaces.domain.units import MILLI, SECONDS_PER_DAY
from interfaces.drivers.facts import all_facts
from interfaces.drivers.site_reader import Example, example_text, parse_site, read_site
from interfaces.errors import UserError
from simulations.data_files import BadRow, Clock, DataFiles, clock_of
from simulations.generators import Prices, Visit, loads_of, prices_of, sky_of, visits_of
from simulations.plant.battery import BatterySpec
from simulations.plant.site import Environment
from simulations.plant.view import Polling
from simulations.scenario import Data, Economy, Experiment, FaultEntry, Readings, Scenario

NEAR_STEP: Final[float] = 0.05
SHIPPED_SITES: Final = resources.files("simulations") / "scenarios" / "sites"
SHIPPED_NAME: Final = re.compile(r"[a-z0-9_]+")
MIDDLE_OF_EUROPE: Final[tuple[float, float]] = (50.0, 8.0)
"""Where a site lies that does not say."""
SITES: Final[dict[str, str]] = {"a": "garage", "b": "depot"}


@dataclass(frozen=True, slots=True)
class World:
    """All a strategy's run needs; frozen and picklable, so that worker processes share it by value."""

    topology: Topology
    visits: tuple[Visit, ...]
    environment: Environment
    polling: Polling
    prices: Prices | None
    prices_known: bool
    economy: Economy
    time_zone: str
    faults: tuple[FaultEntry, ...]
    seed: int
    length_s: float
    step_s: float

    @property
    def steps(self) -> int:
        """Number of steps of a run."""
        return max(1, round(self.length_s / self.step_s))


@dataclass(frozen=True, slots=True)
class SiteFacts:
    """What a run takes from a site: topology, time zone, kWh per battery, degrees north and east."""

    topology: Topology
    time_zone: str = "UTC"
    capacity_kwh: Mapping[str, float] = field(default_factory=dict)
    location: tuple[float, float] = MIDDLE_OF_EUROPE


def site_of(name: str, folder: Path) -> SiteFacts:
    """The site a scenario names: a, b, one that ships with the scenarios, or a file relative to the scenario's folder.

    Raises:
        UserError: there is no such file, or it is not in order.
    """
    if name in SITES:
        example = cast("Example", SITES[name])
        if example not in get_args(Example):
            raise UserError(f"there is no example site '{name}'")
        result = parse_site(example_text(example))
    elif SHIPPED_NAME.fullmatch(name) is not None and (shipped := SHIPPED_SITES / f"{name}.yaml").is_file():
        result = parse_site(shipped.read_text("utf-8"))
    else:
        result = read_site(folder / name)
    if result.site is None:
        first = result.problems[0]
        more = f" (and {len(result.problems) - 1} more)" if len(result.problems) > 1 else ""
        raise UserError(f"the site {name} is not in order: line {first.line} {first.path}: {first.message}{more}")
    return _facts(result.site)


def _facts(site: Site) -> SiteFacts:
    place = site.info.location
    return SiteFacts(
        topology_of(site, all_facts()),
        site.info.time_zone,
        {b.id: b.capacity_kwh for b in site.batteries},
        MIDDLE_OF_EUROPE if place is None else (place.latitude, place.longitude),
    )


def adapted(topology: Topology, readings: Readings, experiment: Experiment, step_s: float = 1.0) -> Topology:
    """The topology with the scenario's poll rates and experiments: the controller knows the rates it is polled at."""
    given_s = readings.meter_period_s
    circuits = tuple(
        replace(c, meter_period_s=_on_steps(c.meter_period_s if given_s is None else given_s, step_s))
        for c in topology.circuits
    )
    assets = []
    for asset in topology.assets:
        poll_s = _on_steps(asset.poll_s if readings.asset_period_s is None else readings.asset_period_s, step_s)
        settle_s = _on_steps(
            asset.settle_poll_s if readings.settle_period_s is None else readings.settle_period_s, step_s
        )
        release_s = asset.release_s if experiment.release_s is None else experiment.release_s
        assets.append(replace(asset, poll_s=poll_s, settle_poll_s=min(settle_s, poll_s), release_s=release_s))
    return build_topology(
        circuits,
        assets,
        version=topology.version,
        nominal_v=topology.nominal_mv / MILLI,
        period_s=topology.period_s,
    )


def _on_steps(period_s: float, step_s: float) -> float:
    """A poll period a hair above whole steps would be seen a whole step late: it is brought onto the step."""
    steps = max(1, round(period_s / step_s))
    return steps * step_s if abs(period_s - steps * step_s) < NEAR_STEP * step_s else period_s


def world_of(scenario: Scenario, site: SiteFacts, data_folder: Path | None) -> tuple[World, tuple[BadRow, ...]]:
    """Everything that happens in a run, and the rows of real files that were left out.

    Raises:
        UserError: a file is missing or unusable.
    """
    length_s = scenario.days * SECONDS_PER_DAY
    topology = adapted(site.topology, scenario.readings, scenario.experiment, scenario.step_s)
    clock = clock_of(scenario.start, site.time_zone, length_s)
    files = DataFiles(data_folder, clock)
    data, readings = scenario.data, scenario.readings
    world = World(
        topology=topology,
        visits=visits_of(
            data.sessions,
            topology,
            files,
            clock,
            scenario.seed,
            scenario.targets.known_share,
            drivers_know=scenario.targets.drivers == "know",
        ),
        environment=_environment(data, site, files, clock, topology, scenario.seed),
        polling=Polling(meter_skew_s=readings.meter_skew_s, asset_skew_s=readings.asset_skew_s),
        prices=prices_of(data.prices, files, clock, scenario.seed),
        prices_known=scenario.targets.prices,
        economy=scenario.economy,
        time_zone=site.time_zone,
        faults=scenario.faults,
        seed=scenario.seed,
        length_s=length_s,
        step_s=scenario.step_s,
    )
    return world, tuple(files.bad_rows)


def _environment(
    data: Data, site: SiteFacts, files: DataFiles, clock: Clock, topology: Topology, seed: int
) -> Environment:
    starts = {b.asset: b for b in data.batteries}
    batteries = []
    for asset in topology.assets:
        if asset.kind is AssetKind.BATTERY:
            spec = BatterySpec(asset.id, site.capacity_kwh.get(asset.id, BatterySpec(asset.id).capacity_kwh))
            start = starts.get(asset.id)
            batteries.append(spec if start is None else replace(spec, soc=start.soc, efficiency=start.efficiency))
    return Environment(
        loads=loads_of(data.loads, files, clock, seed),
        sky=sky_of(data.sun, files, clock),
        batteries=tuple(batteries),
        start_epoch_s=clock.start_epoch_s,
        start_day_s=clock.start_day_s,
    )
