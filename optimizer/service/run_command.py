"""`stroomwacht optimizer run`: plans for every site of a configuration, until it is told to stop."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Final

from forecasting.core.pv import PvPlane, PvPlant
from forecasting.core.sessions import Place
from interfaces.command_line import command_parser
from interfaces.domain.series import PriceSeries, WeatherSeries
from interfaces.domain.site_file import Site, topology_of
from interfaces.domain.topology import AssetKind, Topology
from interfaces.domain.units import kw_from_w
from interfaces.drivers.clock import epoch_s, monotonic_s
from interfaces.drivers.facts import all_facts
from interfaces.drivers.signing import Signer
from interfaces.drivers.site_reader import read_site
from interfaces.errors import UserError
from interfaces.sources.fetching import Fetcher
from interfaces.sources.port import SourceError
from interfaces.sources.prices import csv_file
from interfaces.sources.prices.known import PriceSource, price_source
from interfaces.sources.prices.zones import find_zone
from interfaces.sources.weather.known import weather_source
from optimizer.core.problem import Settings
from optimizer.service.broker_run import BrokerSites
from optimizer.service.config import OptimizerConfig, PricesEntry, SiteEntry, load_config
from optimizer.service.config_site import batteries_with, buffers_with, demands_of, evses_with
from optimizer.service.engine_desk import EngineDesk
from optimizer.service.engine_run import desk_of
from optimizer.service.feed import Feed, price_window, weather_window
from optimizer.service.file_feed import FileFeed
from optimizer.service.heartbeat import Heartbeat
from optimizer.service.local_link import LocalLink
from optimizer.service.outlook import Models
from optimizer.service.port import SiteLink
from optimizer.service.prices_command import TOKEN_VARIABLE
from optimizer.service.record import READY_AHEAD_S, SiteRecord
from optimizer.service.rolling import Market, Outcome, Rolling, SiteTask
from optimizer.service.source_fetching import new_fetcher
from optimizer.service.wanted import ScheduleFile
from optimizer.store.database import Database

log = logging.getLogger(__name__)

STEP_S: Final[float] = 1.0
ONCE_S: Final[float] = 20.0
"""What `--once` gives the broker to take the plans."""


ANSWER_S: Final[float] = 0.2


def run(argv: list[str]) -> None:
    """Plan until SIGTERM or SIGINT; with ``--once`` everything that is due now.

    Raises:
        UserError: the words or the configuration are wrong, or none of its sites can be used.
    """
    parser = command_parser("optimizer run", "Make and send the plans of all sites of a configuration.")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="optimizer.yaml")
    parser.add_argument("--once", action="store_true", help="one step for all sites, then exit")
    options = parser.parse_args(argv)
    config = load_config(options.config)
    logging.basicConfig(level=config.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    fetcher = new_fetcher()
    database = None if config.engine is None else config.engine.open()
    broker = None if config.broker is None else BrokerSites(config.broker, database=database)
    if options.once:
        tasks = Tasks(fetcher, Inline(), broker).of(config)
        with _connected(broker, ONCE_S), _desk(config, database, tasks, broker) as desk:
            outcomes = once(tasks, desk)
        for outcome in outcomes:
            sys.stdout.write(f"{outcome.site}: {outcome.text}\n")
        return
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="sources") as executor:
        try:
            tasks = Tasks(fetcher, executor, broker).of(config)
            with _connected(broker, 0.0), _desk(config, database, tasks, broker) as desk:
                _forever(Rolling(tasks, monotonic_s, desk=desk))
        finally:
            executor.shutdown(wait=False, cancel_futures=True)


def _desk(
    config: OptimizerConfig, database: Database | None, tasks: list[SiteTask], broker: BrokerSites | None
) -> AbstractContextManager[EngineDesk | None]:
    """The way to the engine, where the configuration has one."""
    if config.engine is None or database is None:
        return nullcontext()
    addresses = [] if broker is None else broker.addresses
    ready = threading.Event() if broker is None else broker.store_ready
    return desk_of(database, config.engine.solvers, tasks, addresses, ready)


@contextmanager
def _connected(broker: BrokerSites | None, patience_s: float) -> Iterator[None]:
    """The connection to the broker, where there is one; afterwards its messages get so long to leave."""
    if broker is None:
        yield
        return
    broker.start()
    try:
        yield
    finally:
        broker.stop(patience_s=patience_s)


def once(tasks: list[SiteTask], desk: EngineDesk | None = None) -> list[Outcome]:
    """One step for everybody, without spreading, and further ones until the engine has answered; a site without a turn
    says why.
    """
    rolling = Rolling(tasks, monotonic_s, spread_s=0.0, desk=desk)
    outcomes = {outcome.site: outcome for outcome in rolling.step(epoch_s())}
    while rolling.waiting:  # whoever gets no answer is planned here after a minute
        time.sleep(ANSWER_S)
        outcomes |= {outcome.site: outcome for outcome in rolling.step(epoch_s())}
    found = []
    for task in tasks:
        wrong = "; ".join(rolling.conditions[task.record.id].values())
        found.append(outcomes.get(task.record.id) or Outcome(task.record.id, f"no plan: {wrong or 'none is due'}"))
    return found


def _forever(rolling: Rolling) -> None:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    log.info("started")
    heartbeat = Heartbeat()
    while not stop.is_set():
        rolling.step(epoch_s())
        heartbeat.beat()
        stop.wait(STEP_S)
    log.info("stopped")


class Inline(Executor):
    """Does the work at once, in the caller's thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """The finished future of a call."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001  it is the future's, as with any executor
            future.set_exception(error)
        return future


class Tasks:
    """From entries to sites ready to be planned; sites of one market share its feed."""

    def __init__(self, fetcher: Fetcher, executor: Executor, broker: BrokerSites | None = None) -> None:
        self._fetcher, self._executor, self._broker = fetcher, executor, broker
        self._markets: dict[PricesEntry, Market] = {}

    def of(self, config: OptimizerConfig) -> list[SiteTask]:
        """The sites that can be used; the others are told in the log.

        Raises:
            UserError: no site can be used.
        """
        tasks: dict[str, SiteTask] = {}
        reasons = []
        for entry in config.sites:
            try:
                task = self.task(entry)
            except UserError as error:
                reasons.append(str(error))
                continue
            if task.record.id in tasks:
                reasons.append(f"{entry.site}: the site '{task.record.id}' is there already")
            else:
                tasks[task.record.id] = task
        for reason in reasons:
            log.error("site_left_out reason=%r", reason)
        if not tasks:
            raise UserError(reasons[0])
        return list(tasks.values())

    def task(self, entry: SiteEntry) -> SiteTask:
        """One site.

        Raises:
            UserError: a file of it cannot be used, or the entry does not fit the site.
        """
        read = read_site(entry.site)
        if read.site is None:
            first = read.problems[0]
            raise UserError(f"{entry.site}:{first.line} {first.path}: {first.message}")
        site = read.site
        topology = topology_of(site, all_facts())
        info = site.info
        return SiteTask(
            record=record_of(entry, site, topology),
            models=models_of(entry, site, topology),
            link=self._link(entry, info.id),
            guesses=entry.default_target is None,
            market=None if entry.prices is None else self._market(entry, entry.prices),
            weather=self._weather(entry, site) if entry.weather else None,
            schedules=tuple(ScheduleFile(s.file, info.time_zone, s.vehicle) for s in entry.schedules),
        )

    def _link(self, entry: SiteEntry, site: str) -> SiteLink:
        signer = None if entry.key is None else Signer.of_file(entry.key)
        if self._broker is None or entry.controller is None or signer is None:
            return LocalLink(entry.link, site, signer)
        return self._broker.link(entry.link, site, entry.controller, entry.organisation, signer)

    def _market(self, entry: SiteEntry, prices: PricesEntry) -> Market:
        zone = find_zone(prices.zone)
        if zone is None:
            raise UserError(f"{entry.site}: '{prices.zone}' is no bidding zone")
        title = f"prices {zone.name}"
        if prices.file is not None:
            return Market(zone, FileFeed(title, prices.file, partial(csv_file.parse, zone=zone)))
        if prices not in self._markets:
            sources: list[PriceSource] = []
            for name in prices.sources:
                source = price_source(name, zone, os.environ.get(TOKEN_VARIABLE, ""))
                if isinstance(source, SourceError):
                    hint = f" (environment variable {TOKEN_VARIABLE})" if "token" in source.reason else ""
                    raise UserError(f"{source}{hint}")
                sources.append(source)
            feed: Feed[PriceSeries] = Feed(title, sources, price_window(zone), self._fetcher, self._executor)
            self._markets[prices] = Market(zone, feed)
        return self._markets[prices]

    def _weather(self, entry: SiteEntry, site: Site) -> Feed[WeatherSeries]:
        place = site.info.location
        if place is None:
            raise UserError(f"{entry.site}: weather needs the site's location")
        sources = [weather_source(name, place.latitude, place.longitude) for name in entry.weather]
        return Feed(f"weather {site.info.id}", sources, weather_window, self._fetcher, self._executor)


def record_of(entry: SiteEntry, site: Site, topology: Topology) -> SiteRecord:
    """What is known of the site.

    Raises:
        UserError: the entry speaks of chargers, batteries or loads that the site does not have.
    """
    plain = Settings()
    try:
        evses, buffers = evses_with(entry.chargers, site, topology), buffers_with(entry.buffers, topology)
        batteries = batteries_with(entry.batteries, site, topology)
    except UserError as error:
        raise UserError(f"{entry.site}: {error}") from error
    return SiteRecord(
        id=site.info.id,
        time_zone=site.info.time_zone,
        topology=topology,
        tariff=entry.tariff,
        batteries=batteries,
        buffers=buffers,
        heat=demands_of(entry.buffers),
        evses=evses,
        contract=entry.contract,
        vehicles=entry.vehicles,
        profiles=entry.profiles,
        plan_every_s=float(entry.plan_every_s),
        settings=Settings(
            ready_ahead_s=READY_AHEAD_S,
            horizon_steps=entry.horizon_steps,
            default_target=entry.default_target or plain.default_target,
            unknown_tag=entry.unknown_tag,
        ),
    )


def models_of(entry: SiteEntry, site: Site, topology: Topology) -> Models:
    """What the forecasts need to know.

    Raises:
        UserError: planes of a plant that the site does not have, or without a place.
    """
    rated_kw = {plant.id: kw_from_w(plant.rated_w) for plant in site.pv}
    plants = {}
    for pv in entry.pv:
        i = topology.index.get(pv.id)
        if pv.id not in rated_kw or i is None or topology.assets[i].kind is not AssetKind.PV:
            raise UserError(f"{entry.site}: there is no managed PV plant '{pv.id}'")
        place = site.info.location
        if place is None:
            raise UserError(f"{entry.site}: PV planes need the site's location")
        planes = tuple(PvPlane(plane.tilt_deg, plane.azimuth_deg, plane.kwp) for plane in pv.planes)
        plants[pv.id] = PvPlant(place.latitude, place.longitude, planes, rated_kw[pv.id])
    return Models(Place(entry.site_class, site.info.time_zone, entry.country), plants, use=entry.building)
