"""Physics of the plant: delays, bounds, sums and energy."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interfaces.domain.command import Commands
from interfaces.domain.image import Pilot
from interfaces.domain.topology import Topology
from interfaces.domain.units import MILLI, MISSING, SECONDS_PER_HOUR, Floats
from simulations.plant.battery import BatterySpec
from simulations.plant.building import BuildingLoad, Motor
from simulations.plant.ev import Adversary, Arrival, CarTraits, drawn_traits
from simulations.plant.pv import Sky
from simulations.plant.sessions import Traffic, drawn_arrivals
from simulations.plant.site import Environment, Plant
from simulations.plant.view import FieldView, Polling
from tests.simulations.sites import depot, garage

NEVER = 1e9
OFFERS_A = (0, 5, 6, 7, 10, 13, 16, 20, 32)


def commands(topology: Topology, setpoint_a: float | Floats, *, stop: bool = False, phases: int = 0) -> Commands:
    n = topology.n
    zero = np.zeros(n, dtype=np.int64)
    return Commands(
        setpoint_ma=(np.zeros(n) + setpoint_a * MILLI).astype(np.int64),
        stop=np.full(n, stop),
        phases=np.full(n, phases, dtype=np.int64),
        wish_ma=zero,
        reason=zero,
        binding=zero,
        fast_poll=np.zeros(n, dtype=np.bool_),
        valid_until_s=0.0,
        failsafe=False,
        guard_ok=True,
    )


def car(asset: str = "e0", **facts: object) -> Arrival:
    traits = facts.pop("traits", CarTraits())
    values: dict[str, object] = {"start_s": 0.0, "end_s": NEVER, "energy_wh": 1e6, "max_a": 32.0, "traits": traits}
    return Arrival(asset, **{**values, **facts})  # type: ignore[arg-type]


def run(plant: Plant, seconds: float, setpoint_a: float | Floats, *, dt_s: float = 1.0, stop: bool = False) -> None:
    for _ in range(round(seconds / dt_s)):
        plant.apply(commands(plant.topology, setpoint_a, stop=stop))
        plant.step(dt_s, plant.now_s + dt_s)


@settings(max_examples=150)
@given(
    seed=st.integers(0, 2**32),
    offers=st.lists(st.tuples(st.sampled_from(OFFERS_A), st.integers(1, 12)), min_size=2, max_size=12),
    dt_s=st.sampled_from([0.1, 0.5, 1.0, 2.5]),
)
def test_an_honest_car_never_draws_above_the_highest_offer_of_the_last_ten_seconds(
    seed: int, offers: list[tuple[int, int]], dt_s: float
) -> None:
    topology = garage(4, max_a=32.0)
    rng = np.random.default_rng(seed)
    traits = [drawn_traits(rng, odd_share=0.8) for _ in range(4)]
    plant = Plant(
        topology, [car(f"e{k}", traits=traits[k], phases=1 + k % 3) for k in range(4)], seed=seed, step_s=dt_s
    )
    written: list[tuple[float, float]] = []
    for offer_a, length in offers:
        for _ in range(round(length / dt_s)):
            plant.apply(commands(topology, float(offer_a)))
            plant.step(dt_s, plant.now_s + dt_s)
            written.append((plant.now_s, float(offer_a)))
            allowed = max(a for until_s, a in written if until_s > plant.now_s - 10.0 + 1e-6)
            assert plant.cars.amps.max() <= allowed + 1e-9
            assert plant.offered_a.max() <= offer_a


@pytest.mark.parametrize("dt_s", [0.1, 1.0, 5.0])
def test_a_decrease_is_felt_after_pilot_hold_and_reaction_never_later_than_ten_seconds(dt_s: float) -> None:
    waits = []
    for seed in range(40):
        plant = Plant(garage(1), [car(traits=CarTraits(react_s=5.0))], seed=seed, step_s=dt_s)
        run(plant, 25, 16.0, dt_s=dt_s)
        assert plant.cars.amps[0] == pytest.approx(16.0)
        begun = plant.now_s
        while plant.cars.amps[0] > 8.0 + 1e-9:
            run(plant, dt_s, 8.0, dt_s=dt_s)
        waits.append(plant.now_s - begun)
    assert max(waits) <= 10.0 + 1e-6
    assert max(waits) >= 8.0
    assert min(waits) <= 6.0


def test_the_pilot_changes_at_most_every_five_seconds() -> None:
    plant = Plant(garage(1), [car()], seed=3, step_s=0.1)
    changes, last = [], 0.0
    for k in range(1200):
        run(plant, 0.1, 6.0 + (k % 20) / 2, dt_s=0.1)
        if plant.supplies.pilot_a[0] != last:
            changes.append(plant.now_s)
            last = plant.supplies.pilot_a[0]
    assert len(changes) > 10
    assert min(np.diff(changes)) >= 4.9 - 1e-6


def test_a_pause_stops_the_car_within_three_seconds_and_cuts_a_deaf_one_after_six() -> None:
    for deaf, limit_s in ((False, 3.0), (True, 6.0)):
        traits = CarTraits(stop_s=3.0, ignores_decrease=deaf)
        plant = Plant(garage(1), [car(traits=traits)], seed=1, step_s=0.1)
        run(plant, 30, 16.0, dt_s=0.1)
        run(plant, 1, 0.0, dt_s=0.1)
        assert plant.cars.amps[0] > 0.0
        assert plant.pilot[0] == Pilot.C1
        run(plant, limit_s - 1.0 + 0.1, 0.0, dt_s=0.1)
        assert plant.cars.amps[0] == 0.0
        run(plant, 10, 0.0, dt_s=0.1)
        assert plant.pilot[0] == Pilot.B1


def test_the_second_path_opens_the_contactor_at_once() -> None:
    plant = Plant(garage(1), [car(traits=CarTraits(ignores_decrease=True))], seed=1)
    run(plant, 30, 16.0)
    run(plant, 30, 8.0)
    assert plant.cars.amps[0] == pytest.approx(16.0)
    run(plant, 1, 8.0, stop=True)
    assert plant.cars.amps[0] == 0.0


def test_an_adversary_uses_the_old_offer_for_ten_seconds_and_not_longer() -> None:
    plant = Plant(garage(1), [car(traits=CarTraits(adversary=Adversary.RESTLESS))], seed=4)
    run(plant, 60, 16.0)
    drawn = []
    for _ in range(12):
        run(plant, 1, 6.0)
        drawn.append(float(plant.cars.amps[0]))
    assert max(drawn[:9]) > 10.0
    assert max(drawn[9:]) <= 6.0


@pytest.mark.parametrize(("wait_s", "friendly"), [(6, False), (8, False), (10, True), (12, True)])
def test_swapping_offers_between_adversaries_needs_the_whole_ten_seconds(wait_s: int, friendly: bool) -> None:
    topology = garage(6, rated_a=48.0)
    traits = CarTraits(adversary=Adversary.RESTLESS)
    plant = Plant(topology, [car(f"e{k}", traits=traits, energy_wh=1e7) for k in range(6)], seed=5)
    run(plant, 60, np.array([16.0] * 3 + [0.0] * 3))
    first = True
    for _ in range(20):
        before = np.array([16.0] * 3 + [0.0] * 3) if first else np.array([0.0] * 3 + [16.0] * 3)
        run(plant, wait_s, np.zeros(6))
        first = not first
        run(plant, 30, before[::-1])
    result = plant.judge.result()
    assert (result.self_made_overload_s == 0.0) == friendly
    assert result.overload_s == result.self_made_overload_s


def test_cars_sleep_and_wake_at_the_offer_that_stands() -> None:
    plant = Plant(garage(1), [car(traits=CarTraits(asleep=(0.0, 100.0), ramp_a_per_s=99.0))], seed=1)
    run(plant, 90, 16.0)
    assert plant.cars.amps[0] == 0.0
    assert plant.pilot[0] == Pilot.B2
    run(plant, 11, 16.0)
    assert plant.cars.amps[0] == pytest.approx(16.0)


def test_some_cars_never_resume_after_a_pause_and_others_do() -> None:
    for never in (True, False):
        plant = Plant(garage(1), [car(traits=CarTraits(never_resumes=never))], seed=1)
        run(plant, 60, 16.0)
        run(plant, 60, 0.0)
        run(plant, 600, 16.0)
        assert (plant.cars.amps[0] == 0.0) == never
        assert plant.sessions.report(plant.now_s)[0].interruptions == 1


@pytest.mark.parametrize(
    ("traits", "expected_a"),
    [
        (CarTraits(habit_a=1.2), 8.8),
        (CarTraits(excess=1.1), 11.0),
        (CarTraits(min_a=14.0), 0.0),
        (CarTraits(min_a=8.0), 10.0),
    ],
)
def test_habits(traits: CarTraits, expected_a: float) -> None:
    plant = Plant(garage(1), [car(traits=traits)], seed=1)
    run(plant, 60, 10.0)
    assert plant.cars.amps[0] == pytest.approx(expected_a)


def test_conductors_in_use_follow_car_evse_and_rotation() -> None:
    topology = garage(1, phases=(2, 0, 1))
    for phases, expected in ((1, [0, 0, 10]), (2, [10, 0, 10]), (3, [10, 10, 10])):
        plant = Plant(topology, [car(phases=phases)], seed=1)
        run(plant, 60, 10.0)
        assert plant.draw_a[0] == pytest.approx(expected)
    late = Plant(topology, [car(traits=CarTraits(late_conductors_s=120.0))], seed=1)
    run(late, 119, 10.0)
    assert late.draw_a[0] == pytest.approx([0, 0, 10])
    run(late, 10, 10.0)
    assert late.draw_a[0] == pytest.approx([10, 10, 10])


def test_wrong_wiring_loads_other_phases_than_the_site_file_says() -> None:
    environment = Environment(true_phases={"e0": (1, 2, 0)})
    plant = Plant(garage(1), [car(phases=1)], seed=1, environment=environment)
    run(plant, 60, 10.0)
    assert plant.seen_a[0] == pytest.approx([10, 0, 0])
    assert plant.row_a[0] == pytest.approx([0, 10, 0])


def test_the_chargers_own_failsafe_acts_after_its_timeout_and_ends_with_contact() -> None:
    plant = Plant(garage(1, failsafe_a=6.0, failsafe_timeout_s=60.0), [car()], seed=1)
    run(plant, 60, 16.0)
    plant.reachable[0] = False
    run(plant, 59, 16.0)
    assert plant.offered_a[0] == 16.0
    run(plant, 11, 16.0)
    assert plant.offered_a[0] == 6.0
    assert plant.cars.amps[0] == pytest.approx(6.0)
    plant.reachable[0] = True
    run(plant, 20, 16.0)
    assert plant.cars.amps[0] == pytest.approx(16.0)


def test_a_restarted_charger_offers_its_boot_current_and_has_lost_its_failsafe() -> None:
    plant = Plant(garage(1, boot_a=13.0, failsafe_a=0.0, failsafe_timeout_s=60.0), [car()], seed=1)
    run(plant, 60, 8.0)
    plant.supplies.reboot(0, plant.now_s)
    plant.reachable[0] = False
    run(plant, 15, 8.0)
    assert plant.offered_a[0] == 0.0
    run(plant, 300, 8.0)
    assert plant.offered_a[0] == 13.0
    assert plant.supplies.reboots[0] == 1


@pytest.mark.parametrize("seed", range(3))
def test_rows_equal_an_independent_loop_over_the_tree(seed: int) -> None:
    topology = depot()
    loads = tuple(
        BuildingLoad(c.id, (1.0, 2.0, 3.0), (5, 5, 5), motors=(Motor((4, 4, 4), 60.0),)) for c in topology.circuits[::3]
    )
    arrivals = [car(a.id, phases=1 + k % 3) for k, a in enumerate(topology.assets) if a.id.startswith("e")]
    plant = Plant(topology, arrivals, seed=seed, environment=Environment(loads=loads, start_day_s=12 * 3600.0))
    rng = np.random.default_rng(seed)
    for _ in range(30):
        run(plant, 3, np.append(rng.integers(5, 32, topology.n - 2), [-80.0, 20.0]))
        bare = Plant(topology, (), seed=0)
        expected = plant.background_a.copy()
        for i, asset in enumerate(topology.assets):
            where: str | None = asset.circuit
            while where is not None:
                line = topology.circuit_index[where]
                if asset.id != "pv":
                    expected[line] += plant.draw_a[i]
                where = topology.circuits[line].parent
        assert plant.row_a == pytest.approx(expected, abs=1e-9)
        assert bare.row_a.shape == expected.shape
    assert plant.background_a[0].min() < plant.background_a[1].min()


def test_energy_at_the_cars_is_power_times_time_and_never_more_than_they_want() -> None:
    topology = garage(3, rated_a=200.0)
    wanted = [900.0, 4000.0, 1e6]
    plant = Plant(topology, [car(f"e{k}", energy_wh=w, phases=3, end_s=7200.0) for k, w in enumerate(wanted)], seed=2)
    metered = np.zeros(3)
    for _ in range(7210):
        run(plant, 1, 10.0)
        metered += (plant.draw_a * plant.volts_v).sum(axis=1) / SECONDS_PER_HOUR
    records = {r.asset: r for r in plant.sessions.report(plant.now_s)}
    assert all(r.complete for r in records.values())
    for k, want in enumerate(wanted):
        delivered = records[f"e{k}"].delivered_wh
        assert delivered == pytest.approx(metered[k], rel=1e-9)
        assert delivered <= want * 1.005
    assert records["e0"].delivered_wh == pytest.approx(900.0, rel=0.005)
    assert records["e2"].delivered_wh == pytest.approx(3 * 10 * 229 * 2, rel=0.02)


def test_a_nearly_full_car_tapers() -> None:
    plant = Plant(garage(1), [car(energy_wh=1000.0, taper_share=0.5)], seed=2)
    run(plant, 90, 16.0)
    full = float(plant.cars.amps[0])
    run(plant, 200, 16.0)
    assert 0.0 < plant.cars.amps[0] < 0.7 * full


def test_motors_start_with_six_times_their_current_for_a_second() -> None:
    load = BuildingLoad("gcp", (5.0,) * 3, noise_a=0.0, shape="flat", motors=(Motor((10.0,) * 3, 30.0, 20.0),))
    plant = Plant(garage(1), seed=5, environment=Environment(loads=(load,)), step_s=0.5)
    seen = []
    for _ in range(1200):
        run(plant, 0.5, 0.0, dt_s=0.5)
        seen.append(round(float(plant.row_a[0, 0])))
    assert set(seen) == {5, 15, 25, 65}
    starts = [k for k in range(1, 1200) if seen[k] == 65 and seen[k - 1] != 65]
    assert len(starts) > 3
    assert all(seen[k : k + 3].count(65) <= 2 and 25 in seen[k + 1 : k + 4] for k in starts[:-1])


def test_the_sun_sets_and_clouds_have_steep_edges() -> None:
    topology = depot(2, 2)
    plant = Plant(topology, seed=8, environment=Environment(sky=Sky(), start_day_s=12 * 3600.0))
    feed = []
    for _ in range(3600):
        run(plant, 1, np.array([0.0, 0.0, -80.0, 0.0]))
        feed.append(-float(plant.draw_a[2, 0]))
    assert max(feed) == pytest.approx(80.0, rel=0.06)
    assert max(abs(np.diff(feed))) > 2.0
    night = Plant(topology, seed=8, environment=Environment(start_day_s=23 * 3600.0))
    run(night, 60, np.array([0.0, 0.0, -80.0, 0.0]))
    assert night.draw_a[2] == pytest.approx([0, 0, 0])
    run(plant, 5, np.array([0.0, 0.0, -10.0, 0.0]))
    assert plant.draw_a[2].min() >= -10.0


def test_a_battery_loses_energy_stops_when_full_and_refuses_when_hot() -> None:
    topology = depot(2, 2)
    around = Environment(batteries=(BatterySpec("bat", capacity_kwh=20.0, efficiency=0.9, soc=0.5),), start_day_s=0.0)
    plant = Plant(topology, seed=8, environment=around)
    charge, rest = np.array([0.0, 0.0, -80.0, 40.0]), np.array([0.0, 0.0, -80.0, 0.0])
    run(plant, 600, charge)
    taken_wh = float(plant.energy_wh[3])
    assert (plant.batteries.soc[0] - 0.5) * 20_000 == pytest.approx(0.9 * taken_wh, rel=0.01)
    run(plant, 3600, charge)
    assert plant.batteries.soc[0] == pytest.approx(0.98, abs=0.005)
    assert plant.draw_a[3] == pytest.approx([0, 0, 0], abs=1e-6)
    run(plant, 60, -charge + 2 * rest)
    assert plant.draw_a[3] == pytest.approx([-40] * 3, rel=1e-3)
    plant.batteries.hot[0] = True
    run(plant, 20, -charge + 2 * rest)
    assert plant.draw_a[3] == pytest.approx([0, 0, 0], abs=1e-6)


def test_a_blown_fuse_darkens_what_is_behind_it_only() -> None:
    topology = depot(4, 2)
    plant = Plant(topology, [car(a.id) for a in topology.assets if a.id.startswith("e")], seed=1)
    run(plant, 60, np.array([10.0] * 4 + [0.0, 0.0]))
    plant.breakers.open[topology.circuit_index["end0"]] = True
    run(plant, 2, np.array([10.0] * 4 + [0.0, 0.0]))
    behind = [topology.assets[i].circuit == "end0" for i in range(4)]
    assert [bool(x) for x in plant.cars.amps[:4] > 0] == [not b for b in behind]


def test_a_welded_contactor_lets_current_flow_in_state_b() -> None:
    plant = Plant(garage(1), [car()], seed=1)
    plant.supplies.welded[0] = True
    run(plant, 60, 16.0)
    run(plant, 30, 0.0)
    assert plant.cars.amps[0] == pytest.approx(16.0)
    assert plant.pilot[0] in {Pilot.B1, Pilot.C1}


def test_changing_phases_under_current_is_counted() -> None:
    topology = garage(1, phase_switching=True)
    plant = Plant(topology, [car()], seed=1)
    run(plant, 60, 16.0)
    plant.apply(commands(topology, 16.0, phases=1))
    plant.step(1.0, plant.now_s + 1.0)
    assert plant.switched_under_load == 1
    assert plant.draw_a[0] == pytest.approx([16, 0, 0])


def test_voltage_sags_under_load() -> None:
    plant = Plant(garage(3), [car(f"e{k}") for k in range(3)], seed=1)
    run(plant, 60, 16.0)
    assert 225.0 < plant.volts_v[0, 0] < 229.0
    plant.grid.nominal_share = 0.78
    run(plant, 1, 16.0)
    assert plant.volts_v[0, 0] < 180.0


def test_the_weather_and_the_building_do_not_depend_on_the_controller() -> None:
    topology = depot(10, 4)
    loads = (BuildingLoad("gcp", (9.0,) * 3, motors=(Motor((9.0,) * 3, 60.0, 30.0),)),)
    arrivals = [car(f"e{k}", traits=CarTraits(adversary=Adversary(k % 2))) for k in range(10)]
    plants = [Plant(topology, arrivals, seed=3, environment=Environment(loads, start_day_s=4e4)) for _ in range(3)]
    for k, plant in enumerate(plants):
        run(plant, 300, np.array([(0.0, 10.0, 10.0)[k]] * 10 + [-80.0, 0.0]))
    assert np.array_equal(plants[0].background_a, plants[1].background_a)
    assert np.array_equal(plants[1].row_a, plants[2].row_a)
    assert not np.array_equal(plants[0].row_a, plants[1].row_a)


def test_drawn_arrivals_are_repeatable_and_do_not_overlap_at_a_place() -> None:
    topology = depot()
    first, second = (drawn_arrivals(topology, np.random.default_rng(4), 3, Traffic()) for _ in range(2))
    assert first == second
    assert len(first) > 150
    for asset in topology.assets:
        visits = sorted((a for a in first if a.asset == asset.id), key=lambda a: a.start_s)
        assert all(x.end_s < y.start_s for x, y in pairwise(visits))


def test_the_view_polls_at_its_rates_and_reads_up_to_two_seconds_old_values() -> None:
    topology = garage(2, poll_s=10.0, settle_poll_s=1.0)
    load = (BuildingLoad("gcp", (9.0,) * 3, noise_a=2.0),)
    plant = Plant(topology, [car(), car("e1")], seed=1, environment=Environment(load))
    view = FieldView(plant, 1, Polling(meter_s=3.0, meter_skew_s=2.0, asset_skew_s=2.0))
    samples: list[float] = []
    image = view.image()
    past: list[Floats] = []
    for second in range(120):
        past.append(plant.row_a.copy())
        image = view.image()
        if second > 5:
            shown = image.meter_ma[0] / MILLI
            age = int(plant.now_s - image.meter_sample_s[0])
            candidates = past[-3 - age : len(past) - age]
            assert min(np.abs(shown - c[0]).max() for c in candidates) < 0.06
        samples.append(float(image.asset_sample_s[0]))
        view.apply(commands(topology, 16.0 if second < 60 else 10.0))
        plant.step(1.0, plant.now_s + 1.0)
    polls = sorted(set(samples[60:]))
    assert sum(1 for t in polls if 60 < t < 80) >= 18
    assert sum(1 for t in polls if 81 <= t < 120) <= 5
    assert image.meter_sample_no[0] == pytest.approx(40, abs=1)
    assert image.offered_ma[0] == 10_000


def test_the_view_shows_nothing_it_has_not_heard() -> None:
    topology = garage(1)
    plant = Plant(topology, [car()], seed=1)
    view = FieldView(plant, 1)
    view.meter_silent[0] = True
    plant.reachable[0] = False
    image = view.image()
    assert image.meter_ma[0, 0] == MISSING
    assert image.asset_ma[0, 0] == MISSING
    assert image.offered_ma[0] == MISSING
    assert np.isneginf(image.reply_s[0])
    plant.meters.broken[0] = True
    view.meter_silent[0] = False
    plant.step(1.0, 1.0)
    assert np.isneginf(view.image().meter_sample_s[0])


def test_meter_faults_show_in_the_image() -> None:
    topology = garage(1)
    load = (BuildingLoad("gcp", (10.0, 20.0, 30.0), noise_a=0.0, shape="flat"),)
    plant = Plant(topology, seed=1, environment=Environment(load))
    view = FieldView(plant, 1)

    def shown() -> Floats:
        run(plant, 1, 0.0)
        return np.asarray(np.round(view.image().meter_ma[0] / MILLI))

    assert shown().tolist() == [10, 20, 30]
    plant.meters.sign[0] = -1.0
    assert shown().tolist() == [-10, -20, -30]
    plant.meters.sign[0] = 1.0
    plant.meters.swap(0, (1, 0, 2))
    assert shown().tolist() == [20, 10, 30]
    plant.meters.swap(0, (0, 1, 2))
    plant.meters.offset_a[0] = 100.0
    assert shown().tolist() == [110, 120, 130]
    plant.meters.frozen[0] = True
    before = view.image().meter_digest[0]
    plant.added_a[0] = 50.0
    plant.meters.offset_a[0] = 0.0
    assert shown().tolist() == [110, 120, 130]
    assert view.image().meter_digest[0] == before
    plant.meters.frozen[0] = False
    assert shown().tolist() == [60, 70, 80]
    assert view.image().meter_digest[0] != before


def test_records_count_waiting_and_the_plain_copy_of_a_trait_is_unchanged() -> None:
    plant = Plant(garage(1), [car(end_s=100.0), car(start_s=50.0, end_s=90.0)], seed=1)
    run(plant, 200, 0.0)
    (record,) = plant.sessions.records
    assert record.queued_s == pytest.approx(99.0, abs=2.0)
    assert record.delivered_wh == 0.0
    assert len(plant.sessions.turned_away) == 1
    assert replace(CarTraits(), excess=1.1).excess == 1.1
