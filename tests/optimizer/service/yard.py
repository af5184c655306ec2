"""A small site for the loop: two chargers behind one fuse, told through a folder, with a market over HTTP."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from forecasting.core.sessions import Place, SiteClass
from interfaces.domain.image import Pilot
from interfaces.domain.live import AssetLive, CircuitLive, LiveStatus
from interfaces.domain.plan import Plan
from interfaces.domain.series import WeatherSeries
from interfaces.domain.topology import Asset, AssetKind, Circuit, build_topology
from interfaces.sources.cache import Cache
from interfaces.sources.fetching import Fetcher
from interfaces.sources.prices import energy_charts
from interfaces.sources.prices.zones import ZONES
from interfaces.sources.transport import Clocks, new_session
from interfaces.sources.weather import open_meteo
from optimizer.core.problem_money import Fixed, Tariff
from optimizer.service.feed import Feed, price_window, weather_window
from optimizer.service.local_link import LocalLink, append_status
from optimizer.service.outlook import Models
from optimizer.service.record import SiteRecord
from optimizer.service.rolling import Market, Rolling, SiteTask
from optimizer.service.run_command import Inline
from tests.interfaces.sources import kit
from tests.interfaces.sources.kit import Reply, Server, Time

ZONE = ZoneInfo("Europe/Brussels")
MIDNIGHT = datetime(2026, 11, 23, tzinfo=ZONE).timestamp()
DAY_S = 86_400
TOPOLOGY = build_topology(
    [Circuit("gcp", None, (32.0, 32.0, 32.0), meter="m")],
    [
        Asset("left", AssetKind.EVSE, "d1", "gcp", (0, 1, 2), 16.0),
        Asset("right", AssetKind.EVSE, "d2", "gcp", (0, 1, 2), 16.0),
    ],
    version="t",
)
SUNNY = build_topology(
    TOPOLOGY.circuits,
    [*TOPOLOGY.assets, Asset("roof", AssetKind.PV, "d3", "gcp", (0, 1, 2), 0.0, max_export_a=15.0)],
    version="t",
)
KW_PER_A = 0.69
BASE_KW = 4.0
MODELS = Models(Place(SiteClass.WORKPLACE, "Europe/Brussels", "BE"))
RECORD = SiteRecord("yard", "Europe/Brussels", TOPOLOGY, Tariff(energy=Fixed("fixed", 0.2)))


def price_eur_per_mwh(epoch_s: float) -> float:
    """Cheap from one to five in the afternoon."""
    return 20.0 if 13 <= datetime.fromtimestamp(epoch_s, ZONE).hour < 17 else 150.0


def publish(server: Server, time: Time, days_back: int = 20) -> None:
    """The server answers with the prices that are out at that moment: tomorrow's from 13:00."""

    def next_reply(path: str) -> Reply:
        if server.replies:
            return server.replies[0]
        now = datetime.fromtimestamp(time.epoch_s, ZONE)
        last = MIDNIGHT + ((time.epoch_s - MIDNIGHT) // DAY_S + (2 if now.hour >= 13 else 1)) * DAY_S
        starts = [int(MIDNIGHT) - days_back * DAY_S + k * 3600 for k in range(24 * (days_back + 3))]
        starts = [start for start in starts if start < last]
        server.asked.append({"path": [path]})
        return Reply(kit.energy_charts(starts, [price_eur_per_mwh(start) for start in starts]))

    server.next_reply = next_reply  # type: ignore[method-assign]


def fetcher_of(time: Time, cache: Path) -> Fetcher:
    session = new_session()
    session.trust_env = False
    clocks = Clocks(lambda: time.now_s, lambda: time.epoch_s, time.sleep)
    return Fetcher(session, clocks, lambda: 0.5, Cache(cache))


def weather_feed(server: Server, time: Time, cache: Path) -> Feed[WeatherSeries]:
    source = open_meteo.source(51.0, 4.4, url=server.url)
    return Feed("weather yard", [source], weather_window, fetcher_of(time, cache), Inline())


def market_of(server: Server, time: Time, cache: Path) -> Market:
    fetcher = fetcher_of(time, cache)
    source = energy_charts.source(ZONES["BE"], url=server.url)
    return Market(ZONES["BE"], Feed("prices BE", [source], price_window(ZONES["BE"]), fetcher, Inline()))


def task_of(folder: Path, record: SiteRecord = RECORD, market: Market | None = None, **others: object) -> SiteTask:
    return SiteTask(record, MODELS, LocalLink(folder, record.id), market=market, **others)  # type: ignore[arg-type]


@dataclass
class Car:
    """A car on three phases that takes what it is offered until it has enough."""

    tag: str | None
    arrives_epoch_s: float
    leaves_epoch_s: float
    wants_kwh: float
    energy_kwh: float = 0.0
    kw_by_hour: dict[int, float] = field(default_factory=dict)

    def here(self, epoch_s: float) -> bool:
        return self.arrives_epoch_s <= epoch_s < self.leaves_epoch_s


@dataclass
class Yard:
    """The plant: follows the plan in the folder and tells its status once a minute."""

    folder: Path
    cars: dict[str, Car]
    site: str = "yard"
    topology_version: str = TOPOLOGY.version
    most_kw: float = 0.0
    held: tuple[int, Plan | None] = (0, None)

    def plan(self) -> Plan | None:
        """The plan in the folder, read when the file is another one."""
        file = self.folder / "plan.json"
        stamp = file.stat().st_mtime_ns if file.is_file() else 0
        if stamp != self.held[0]:
            self.held = stamp, LocalLink(self.folder, self.site).last_plan()
        return self.held[1]

    def tick(self, epoch_s: float, *, seconds: float = 60.0) -> LiveStatus:
        plan = self.plan()
        assets = []
        for name in ("left", "right"):
            car = self.cars.get(name)
            setpoint_a = 0.0
            if plan is not None and epoch_s < plan.lease_until_epoch_s and name in plan.assets:
                row = int((epoch_s - plan.start_epoch_s) // plan.step_s)
                setpoint_a = float(plan.setpoint_ma[row, plan.assets.index(name)]) / 1000
            if car is None or not car.here(epoch_s):
                assets.append(AssetLive(name, int(Pilot.A), None, 0.0, None, 0.0, 0.0, 0.0, (1, 1, 1), None, 0, True))
                continue
            kw = 0.0 if car.energy_kwh >= car.wants_kwh else setpoint_a * KW_PER_A
            car.energy_kwh += kw * seconds / 3600
            hour = datetime.fromtimestamp(epoch_s, ZONE).hour
            car.kw_by_hour[hour] = car.kw_by_hour.get(hour, 0.0) + kw * seconds / 3600
            assets.append(
                AssetLive(
                    name, int(Pilot.C2), car.arrives_epoch_s, car.energy_kwh, car.tag, kw, setpoint_a, setpoint_a,
                    (1, 1, 1), None, 0, True,
                )
            )  # fmt: skip
        drawn = sum(asset.power_kw or 0.0 for asset in assets)
        self.most_kw = max(self.most_kw, drawn + BASE_KW)
        amps = ((drawn + BASE_KW) / KW_PER_A,) * 3
        circuit = CircuitLive("gcp", drawn + BASE_KW, drawn, amps, (6.0, 6.0, 6.0))
        status = LiveStatus(
            self.site, self.topology_version, epoch_s, "plan", -1 if plan is None else plan.sequence, None, (circuit,),
            tuple(assets),
        )  # fmt: skip
        self.folder.mkdir(exist_ok=True)
        append_status(self.folder, status)
        return status


def play(rolling: Rolling, yards: list[Yard], time: Time, until_epoch_s: float, step_s: float = 60.0) -> list[str]:
    """Minute by minute: every yard tells, the loop takes one step. What the loop said."""
    said = []
    while time.epoch_s < until_epoch_s:
        for yard in yards:
            yard.tick(time.epoch_s, seconds=step_s)
        said += [f"{outcome.site}: {outcome.text}" for outcome in rolling.step(time.epoch_s)]
        time.pass_by(step_s)
    return said
