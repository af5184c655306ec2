"""Rows 40-42 and 45: wires, contactors and transformers that are not as the site file says."""

from __future__ import annotations

import numpy as np
import pytest

from interfaces.domain.targets import Target, Targets
from interfaces.domain.topology import Circuit
from simulations.plant.building import Motor
from simulations.plant.ev import Adversary
from simulations.plant.view import Orders
from tests.closed_loop.loop import (
    EPOCH_S,
    MOST_THETA,
    Loop,
    building,
    car,
    charger,
    connection,
    garage,
    site,
)

TURNED = "e0 draws on another phase than configured: counted on all three, check its phase map"
REVERSED = "the meter of circuit gcp falls when cars charge: current transformer reversed?"


@pytest.mark.parametrize(("configured", "true"), [((0,), (1,)), ((0, 1, 2), (1, 2, 0))])
def test_row_40_a_wrong_phase_map_is_found_and_the_car_counts_on_all_phases(configured, true, figure) -> None:
    topology = site([connection(63.0)], [charger("e0", configured, 32.0), charger("e1", (1,), 32.0)])
    cars = [car("e0", 30.0, phases=1), car("e1", 90.0)]
    loop = Loop(topology, cars, [building(10.0)], true_phases={"e0": true})
    loop.until(lambda: TURNED in loop.alarms(), 60.0)
    found_s = loop.now_s - 30.0
    assert loop.report.phase_use[0].tolist() == [1, 1, 1]
    loop.run(120.0)
    assert TURNED in loop.alarms(), "until somebody has looked at the wires"
    assert loop.report.phase_use[0].tolist() == [1, 1, 1]
    assert loop.drawn_a("e1") >= 6.0
    assert loop.judged().overload_s == 0.0
    figure("found after plug-in", found_s, "s")
    figure("alarm", TURNED)
    figure("counted on", float(loop.report.phase_use[0].sum()), "phases")
    figure("overload", loop.judged().overload_s, "s")


def test_row_40_the_right_phase_map_raises_no_alarm() -> None:
    topology = site([connection(63.0)], [charger("e0", (0, 1, 2), 32.0), charger("e1", (1,), 32.0)])
    loop = Loop(topology, [car("e0", 30.0, phases=1), car("e1", 90.0)], [building(10.0, noise_a=2.0)])
    for k in range(8):
        loop.add_load(np.roll((8.0, 0.0, -2.0), k) * (-1) ** k)
        loop.run(25.0)
    assert TURNED not in loop.first_s


def test_row_41_a_welded_contactor_is_reported_counted_and_stopped(figure) -> None:
    """The car has its energy and is paused; its current flows on through the welded contactor."""
    loop = Loop(garage(2, 40.0, max_a=32.0), [car("e0", max_a=16.0), car("e1", 370.0)], [building(5.0)], scan_s=1.0)
    loop.run(310.0)
    loop.plant.supplies.welded[0] = True
    target = Target("e0", EPOCH_S + 36_000.0, energy_wh=50)
    loop.orders = Orders(targets=Targets(1, EPOCH_S, (target,), EPOCH_S, 3600, np.zeros(0)))
    loop.until(lambda: loop.told_a("e0") == 0.0, 5.0)
    paused_s = loop.now_s
    text = "e0 draws current without a charging session: contactor welded? switch it off"
    loop.until(lambda: text in loop.alarms(), 15.0)
    reported_s = loop.now_s - paused_s
    assert loop.exposure_a("e0") == pytest.approx(16.0, abs=0.1)
    loop.until(lambda: bool(loop.commands.stop[0]), 10.0)
    stopped_s = loop.now_s - paused_s
    assert stopped_s <= 20.0
    loop.run(60.0)
    assert loop.drawn_a("e0") == pytest.approx(16.0), "nothing we can switch opens it"
    assert loop.exposure_a("e0") == pytest.approx(16.0, abs=0.1), "so it keeps counting"
    assert 6.0 <= loop.told_a("e1") <= 40.0 - 1.0 - 5.0 - 16.0
    assert text in loop.alarms()
    assert loop.judged().overload_s == 0.0
    figure("reported after", reported_s, "s")
    figure("trip ordered after", stopped_s, "s")
    figure("alarm", text)
    figure("counted", loop.exposure_a("e0"), "A")
    figure("highest current beside another car (rated 40 A)", float(loop.row_a().max()), "A")


@pytest.mark.parametrize("seed", range(3))
def test_row_42_the_number_of_phases_never_changes_under_current(seed: int, figure) -> None:
    """Four chargers that can switch on a connection where three phases often do not fit; odd cars; loads at random."""
    rng = np.random.default_rng(seed)
    names = [f"e{k}" for k in range(4)]
    places = [charger(name, tuple(rng.permutation(3).tolist()), phase_switching=True) for name in names]
    cars = [
        car(
            name,
            float(rng.uniform(0.0, 600.0)),
            phases=int(rng.choice([1, 3])),
            ignores_decrease=bool(rng.random() < 0.2),
            adversary=Adversary(int(rng.random() < 0.3)),
            stop_s=float(rng.uniform(0.5, 3.0)),
            react_s=float(rng.uniform(0.5, 5.0)),
        )
        for name in names
    ]
    topology = site([connection(32.0, background_max_a=(8.0,) * 3)], places)
    loop = Loop(topology, cars, [building(2.0, noise_a=1.5)], scan_s=1.0, seed=seed)
    switched_s: dict[int, list[float]] = {k: [] for k in range(len(names))}
    modes = [loop.plant.phases_now.copy()]

    def watch(x: Loop) -> None:
        for k in np.flatnonzero(x.plant.phases_now != modes[-1]).tolist():
            switched_s[k].append(x.now_s)
        modes.append(x.plant.phases_now.copy())

    loop.each = watch
    for _ in range(9):
        loop.plant.added_a[0] = rng.uniform(0.0, 24.0, 3)
        loop.run(180.0)
    times = [t for column in switched_s.values() for t in column]
    assert times, "nothing switched, nothing proven"
    assert loop.plant.switched_under_load == 0
    for column in switched_s.values():
        assert all(gap >= 600.0 for gap in np.diff(column))
    assert loop.judged().self_made_overload_s == 0.0
    figure("switches", float(len(times)), "")
    figure("under current", float(loop.plant.switched_under_load), "")


@pytest.mark.parametrize("signs", [(-1.0, -1.0, -1.0), (-1.0, 1.0, 1.0), (1.0, 1.0, -1.0)])
def test_row_45_a_reversed_transformer_is_found_by_the_first_car(signs, figure) -> None:
    loop = Loop(garage(3, 63.0, max_a=32.0), [car("e0", 30.0), car("e1", 90.0), car("e2", 95.0)], [building(20.0)])
    loop.plant.meters.sign = np.array([signs])
    loop.until(lambda: REVERSED in loop.alarms(), 60.0)
    found_s = loop.now_s - 30.0
    loop.run(120.0)
    assert loop.alarms() == {REVERSED}
    assert loop.report.background_ma[0].tolist() == [21_000] * 3, "worst case instead of what it shows"
    assert loop.judged().overload_s == 0.0
    figure("found after the first plug-in", found_s, "s")
    figure("alarm", REVERSED)
    figure("highest current (rated 63 A)", float(loop.row_a().max()), "A")
    figure("overload", loop.judged().overload_s, "s")


@pytest.mark.parametrize("one_phase", [False, True])
def test_row_45_a_meter_that_turns_over_while_cars_charge_never_endangers_the_fuse(one_phase, figure) -> None:
    """Transformers are turned at full load: too little is seen until cars move, but never more than the background."""
    loop = Loop(
        garage(4, 63.0, max_a=32.0),
        [car("e0"), car("e1"), car("e2", 240.0), car("e3", 260.0)],
        [building(20.0)],
    )
    loop.run(120.0)
    loop.plant.meters.sign = np.array([[-1.0, 1.0, 1.0] if one_phase else [-1.0] * 3])
    begun_s = loop.now_s
    loop.until(lambda: REVERSED in loop.alarms(), 240.0)
    found_s = loop.now_s - begun_s
    loop.until(loop.within, 15.0)
    loop.run(60.0)
    assert loop.within()
    verdict = loop.judged()
    assert loop.plant.breakers.worst < MOST_THETA
    figure("found after", found_s, "s")
    figure("worst excess (rated 63 A)", verdict.worst_excess_a, "A")
    figure("fuse's patience used", loop.plant.breakers.worst)


def test_row_45_swapped_transformers_count_the_cars_on_all_phases(figure) -> None:
    topology = site([connection(63.0)], [charger(f"e{k}", (0,), 32.0) for k in range(2)])
    loop = Loop(topology, [car("e0", 30.0), car("e1", 90.0)], [building((20.0, 5.0, 5.0))])
    loop.plant.meters.swap(0, (1, 2, 0))
    loop.until(lambda: TURNED in loop.alarms(), 90.0)
    found_s = loop.now_s - 30.0
    loop.run(120.0)
    assert loop.report.phase_use[0].tolist() == [1, 1, 1]
    assert loop.judged().overload_s == 0.0
    figure("found after the first plug-in", found_s, "s")
    figure("alarm", TURNED)
    figure("highest current (rated 63 A)", float(loop.row_a().max()), "A")


def test_row_45_motors_beside_busy_cars_contradict_no_meter(figure) -> None:
    """Three meters, two below the third; cars of all rotations and motors that come and go in the same seconds."""
    rng = np.random.default_rng(5)
    halls = [Circuit(f"h{k}", "gcp", (80.0,) * 3, meter=f"m{k}", background_max_a=(20.0,) * 3) for k in range(2)]
    places = [charger(f"e{k}", tuple(rng.permutation(3).tolist()), 32.0, circuit=f"h{k % 2}") for k in range(12)]
    cars = [
        car(f"e{k}", float(rng.uniform(0.0, 800.0)), phases=int(rng.choice([1, 3])), energy_wh=4000.0)
        for k in range(12)
    ]
    loads = [
        building(20.0, motors=(Motor((8.0, 8.0, 8.0), 100.0, 40.0),)),
        building(5.0, circuit="h0", motors=(Motor((5.0, 5.0, 5.0), 60.0, 20.0),)),
        building(5.0, circuit="h1", motors=(Motor((5.0, 0.0, 0.0), 60.0, 20.0),)),
    ]
    loop = Loop(site([connection(160.0), *halls], places), cars, loads, scan_s=1.0, seed=5)
    most: list[int] = []
    loop.each = lambda x: most.append(
        int(max(x.state.plausibility.sign_strikes.max(), x.state.plausibility.turn_strikes.max()))
    )
    loop.run(1200.0)
    assert not [text for text in loop.first_s if text == TURNED or "falls when cars charge" in text]
    assert loop.judged().self_made_overload_s == 0.0
    figure("contradictions in a row (three are a finding)", max(most))
