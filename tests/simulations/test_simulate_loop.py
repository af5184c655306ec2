"""Closed loops of a few simulated minutes: what the strategies promise, measured by the plant."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from interfaces.domain.topology import Asset, AssetKind, Circuit, Protection, Topology, build_topology
from simulations.data_files import clock_of
from simulations.faults import disobedient
from simulations.figures import fairness
from simulations.generators import Prices, Visit, heater_series, stream
from simulations.ideal import possible_kwh
from simulations.plant.building import BuildingLoad
from simulations.plant.ev import Adversary, Arrival, CarTraits
from simulations.plant.pv import Sky
from simulations.plant.sessions import SessionRecord
from simulations.plant.site import Environment
from simulations.plant.view import Polling
from simulations.run import Loop, simulate
from simulations.scenario import WITHOUT_PLANS, Economy, FaultEntry, HeaterEntry, Readings, StrategyName
from simulations.scenario import Experiment as Change
from simulations.world import World, adapted

HOUR_S = 3600.0
ADVERSARY = CarTraits(adversary=Adversary.RESTLESS)
VISITS_EVERY_S = 150.0


def hall(count: int = 8, *, pv_a: float = 0.0) -> Topology:
    """A grid connection and a hall of ``count`` EVSEs that wants twice what it may have."""
    three = (0, 1, 2)
    circuits = [
        Circuit("gcp", None, (80.0,) * 3, protection=Protection("gG", 80.0), meter="m", background_max_a=(60.0,) * 3),
        Circuit("hall", "gcp", (63.0,) * 3, protection=Protection("gG", 63.0), background_max_a=(0.0,) * 3),
    ]
    assets = [
        Asset(f"e{k}", AssetKind.EVSE, f"d{k}", "hall", phases=three, max_a=16.0, failsafe_verifiable=True)
        for k in range(count)
    ]
    if pv_a:
        assets.append(Asset("pv", AssetKind.PV, "pv", "gcp", phases=three, max_a=0.0, min_a=0.0, max_export_a=pv_a))
    return build_topology(circuits, assets, version="test")


def busy(topology: Topology, *, traits: CarTraits | None = None, minutes: float = 60.0, kwh: float = 30.0):
    """Cars at every EVSE one after the other, half a minute apart, with gaps in which others leave."""
    visits = []
    for k, asset in enumerate(a for a in topology.assets if a.kind is AssetKind.EVSE):
        for turn in range(3):
            start_s = 20.0 + 31.0 * k + turn * minutes / 3 * 60.0
            end_s = start_s + (minutes / 3 - 2.0) * 60.0 - 17.0 * k
            arrival = Arrival(
                asset.id, start_s, end_s, kwh * 1000, tag=f"{asset.id}/{turn}", traits=traits or CarTraits()
            )
            visits.append(Visit(arrival, end_s, kwh * 1000))
    return tuple(visits)


STEPS = (HeaterEntry((15.0, 15.0, 15.0), 60.0, 40.0), HeaterEntry((20.0, 0.0, 0.0), 50.0, 30.0))
"""Steps of the background that every meter sees: one polled every 10 s never knows of a motor's inrush."""


def environment(seed: int = 7, length_s: float = HOUR_S) -> Environment:
    rng = np.random.default_rng(seed)
    heaters = (BuildingLoad("gcp", (0.0,) * 3, noise_a=0.0, series=heater_series(h, length_s, rng)) for h in STEPS)
    return Environment(loads=(BuildingLoad("gcp", (15.0, 14.0, 16.0), noise_a=0.5), *heaters))


def world(topology: Topology, visits: tuple[Visit, ...], **changes: object) -> World:
    plain = World(
        topology=topology,
        visits=visits,
        environment=environment(),
        polling=Polling(),
        prices=None,
        prices_known=True,
        economy=Economy(),
        time_zone="UTC",
        faults=(),
        seed=7,
        length_s=HOUR_S,
        step_s=1.0,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def figures(where: World, name: str):
    loop = Loop(where, name)  # type: ignore[arg-type]
    loop.run()
    return loop.figures(possible_kwh(where))


def adversarial(*, poll_s: float = 1.0, skew_s: float = 2.0, release_s: float = 10.0, **changes: object) -> World:
    """The safety run of a small site: fastest draw of the highest offer, late readings."""
    readings = Readings(meter_period_s=poll_s, asset_period_s=poll_s, settle_period_s=1.0)
    topology = adapted(hall(), readings, Change(release_s=release_s))
    polling = Polling(meter_skew_s=skew_s, asset_skew_s=skew_s)
    visits = busy(topology, traits=ADVERSARY, minutes=30.0)
    return world(topology, visits, polling=polling, length_s=1800.0, **changes)


def swapping(adversary: Adversary, *, poll_s: float = 1.0, release_s: float = 10.0) -> World:
    """Three adversaries fill the connection; every 75 s another one comes for a minute and they must make room."""
    main = Circuit("gcp", None, (63.0,) * 3, protection=Protection("gG", 63.0), meter="m", background_max_a=(0.0,) * 3)
    assets = [
        Asset(f"e{k}", AssetKind.EVSE, f"d{k}", "gcp", (0, 1, 2), 32.0, tier=2 if k < 3 else 1, release_s=release_s)
        for k in range(5)
    ]
    topology = build_topology([main], assets, version="test")
    readings = Readings(meter_period_s=poll_s, asset_period_s=poll_s, settle_period_s=1.0)
    stays = [(f"e{k}", 5.0 + k, 1800.0) for k in range(3)]
    for k in (3, 4):
        starts_s = np.arange(120.0 + (k - 3) * VISITS_EVERY_S / 2, 1700.0, VISITS_EVERY_S).tolist()
        stays += [(f"e{k}", start_s, start_s + 60.0) for start_s in starts_s]
    traits = CarTraits(adversary=adversary)
    visits = [Visit(Arrival(e, t, end_s, 1e6, max_a=32.0, tag=f"{e}/{t}", traits=traits)) for e, t, end_s in stays]
    return world(
        adapted(topology, readings, Change(release_s=release_s)),
        tuple(visits),
        environment=Environment(),
        length_s=1800.0,
    )


@pytest.mark.parametrize("adversary", [Adversary.RESTLESS, Adversary.GREEDY, Adversary.SLY])
def test_adversarial_cars_never_make_the_fallback_overload_and_the_naive_policy_does(adversary):
    safe, naive = figures(swapping(adversary), "fallback"), figures(swapping(adversary), "no-ledger")
    assert safe["self_made_overload_s"] == 0.0
    assert safe["energy_delivered_kwh"] > 0.5 * naive["energy_delivered_kwh"]
    assert naive["self_made_overload_s"] > 30.0


@pytest.mark.parametrize("poll_s", [1.0, 3.0, 10.0])
def test_skew_and_slow_polls_cost_energy_and_no_safety(poll_s):
    got = figures(adversarial(poll_s=poll_s), "fallback")
    assert got["self_made_overload_s"] == 0.0
    assert got["energy_delivered_kwh"] > 2.0


@pytest.mark.parametrize("poll_s", [1.0, 3.0])
def test_a_shorter_wait_than_cars_may_take_makes_overloads_of_our_own(poll_s):
    """Otherwise the plant would be too friendly to show anything."""
    for release_s, safe in ((10.0, True), (6.0, False)):
        short = swapping(Adversary.SLY, poll_s=poll_s, release_s=release_s)
        assert (figures(short, "fallback")["self_made_overload_s"] == 0.0) == safe, release_s


def test_energies_are_ordered_and_uncontrolled_charging_overloads():
    topology = hall()
    plain = world(topology, busy(topology, minutes=40.0), length_s=2400.0)
    got = {name: figures(plain, name) for name in ("fallback", "uncontrolled")}
    fallback = got["fallback"]
    assert 0.0 < fallback["energy_delivered_kwh"] <= fallback["energy_possible_kwh"] <= fallback["energy_wanted_kwh"]
    assert fallback["energy_delivered_kwh"] >= 0.6 * fallback["energy_possible_kwh"]
    assert got["uncontrolled"]["overload_s"] > 600.0
    assert got["uncontrolled"]["self_made_overload_s"] > 0.0
    assert fallback["self_made_overload_s"] == 0.0
    assert fallback["sessions"] == got["uncontrolled"]["sessions"] == 24


def test_the_yardstick_gives_all_when_nothing_binds_and_never_more_than_the_rows():
    topology = hall(2)
    calm = world(topology, busy(topology, kwh=1.0))
    assert possible_kwh(calm) == pytest.approx(6.0, rel=1e-3)
    topology = hall(16)
    short = world(topology, busy(topology, kwh=60.0), environment=Environment())
    limit_kwh = 3 * 0.230 * topology.limit_ma[:, 0].min() / 1000
    assert 0.7 * limit_kwh < possible_kwh(short) <= limit_kwh


def test_export_gives_the_yardstick_no_fuse_credit_but_the_sun_on_the_building_does():
    sunny = Environment(sky=Sky(series=(3600.0, np.array([1.0]))))
    plain = world(hall(12), busy(hall(12)), environment=sunny)
    with_pv = replace(plain, topology=hall(12, pv_a=60.0))
    assert possible_kwh(with_pv) == pytest.approx(possible_kwh(plain), rel=0.02)
    loaded = replace(plain, environment=replace(sunny, loads=(BuildingLoad("gcp", (40.0,) * 3),)))
    assert possible_kwh(replace(loaded, topology=with_pv.topology)) > 1.1 * possible_kwh(loaded)


def test_the_same_seed_gives_the_same_figures_in_one_process_and_in_two():
    topology = hall(4)
    short = world(topology, busy(topology, minutes=20.0), length_s=600.0)
    names: tuple[StrategyName, ...] = ("fallback", "uncontrolled")
    here, there = simulate(short, names, workers=1), simulate(short, names, workers=2)
    assert [run.figures for run in here.runs] == [run.figures for run in there.runs]
    other = simulate(replace(short, seed=8), names[:1], workers=1)
    assert other.runs[0].figures != here.runs[0].figures
    assert here.wall_s > 0.0
    assert here.speed_x > 0.0


def test_with_prices_and_departures_the_fallback_charges_in_the_cheap_hours_for_less():
    topology = hall(3)
    visits = tuple(
        Visit(Arrival(f"e{k}", 60.0 + k, 4 * HOUR_S - 60.0, 5000.0, tag=f"t{k}"), 4 * HOUR_S - 60.0, 5000.0)
        for k in range(3)
    )
    prices = Prices(0.0, 3600, np.array([0.40, 0.30, 0.05, 0.20]), 0.0, 0.0)
    cheap = world(topology, visits, prices=prices, environment=Environment(), length_s=4 * HOUR_S, step_s=5.0)
    fallback, fair = figures(cheap, "fallback"), figures(cheap, "fair-share")
    assert fallback["energy_delivered_kwh"] == pytest.approx(fair["energy_delivered_kwh"], rel=0.01)
    assert fallback["cost_eur"] is not None
    assert fair["cost_eur"] is not None
    assert fallback["cost_eur"] < 0.6 * fair["cost_eur"]


def test_the_bill_of_charging_is_energy_times_price():
    topology = hall(1)
    visits = (Visit(Arrival("e0", 10.0, HOUR_S, 4000.0, tag="t")),)
    prices = Prices(0.0, 3600, np.array([0.25]), 0.05, 0.0)
    got = figures(world(topology, visits, prices=prices, environment=Environment()), "uncontrolled")
    assert got["cost_eur"] == pytest.approx(0.30 * 4.0, rel=0.01)


def test_faults_happen_at_their_times():
    topology = hall(4)
    faults = (
        FaultEntry("meter_silent", 600.0, 120.0, circuit="gcp"),
        FaultEntry("load_step", 900.0, 60.0, circuit="gcp", amps_a=(30.0, 30.0, 30.0)),
        FaultEntry("charger_unreachable", 1200.0, 60.0, asset="e1"),
        FaultEntry("operator_limit", 1500.0, 60.0, power_w=3000.0),
    )
    seen: dict[int, tuple[float, bool, float]] = {}

    def look(loop: Loop) -> None:
        now = round(loop.plant.now_s)
        if now in (590, 650, 910, 970, 1230, 1300, 1555, 1900):
            age_s = loop.plant.now_s - loop.view.meter_sample_s[0]
            charging_w = float(loop.plant.power_w.sum())
            seen[now] = (float(age_s), bool(loop.plant.reachable[1]), charging_w)

    loop = Loop(world(topology, busy(topology), faults=faults, environment=Environment(), length_s=1901.0), "fallback")
    loop.run(look)
    assert seen[590][0] <= 2.0
    assert seen[650][0] >= 45.0
    assert not seen[1230][1]
    assert seen[1300][1]
    assert seen[1555][2] <= 3000.0 < seen[1900][2]


def test_a_disobeying_car_is_one_that_arrives_in_the_time_of_the_fault():
    fault = FaultEntry("car_disobeys", 0.0, 600.0, asset="e0")
    wrong = [v.arrival.tag for v in disobedient(busy(hall(6)), (fault,)) if v.arrival.traits.ignores_decrease]
    assert wrong == ["e0/0"]


def test_strategies_are_known_by_name():
    topology = hall(1)
    for name in WITHOUT_PLANS:
        Loop(world(topology, busy(topology), length_s=5.0), name).run()


def test_fairness_is_jains_index():
    def record(share: float) -> SessionRecord:
        return SessionRecord("e", 0.0, 1.0, 1000.0, 1000.0 * share, 0, 0.0, None, True)

    assert fairness([record(0.5)] * 4) == pytest.approx(1.0)
    assert fairness([record(1.0), record(0.0), record(0.0), record(0.0)]) == pytest.approx(0.25)
    assert fairness([]) == 1.0


def test_streams_do_not_disturb_each_other():
    assert stream(1, "visits").random() != stream(1, "prices").random()
    assert stream(1, "prices").random() == stream(1, "prices").random()


def test_a_run_starts_at_the_local_time_of_its_site():
    from datetime import datetime

    clock = clock_of(datetime(2024, 6, 3, 6, 30), "Europe/Amsterdam", 60.0)  # noqa: DTZ001  local time of the site
    assert clock.start_day_s == 6.5 * 3600
    assert clock.start_epoch_s == 1717389000.0
