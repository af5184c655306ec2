"""The last look at a plan, by plain sums."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from interfaces.domain.units import frozen_ints
from optimizer.core.compile import Compiled, compile_problem
from optimizer.core.heuristic import heuristic
from optimizer.core.instance import Cars
from optimizer.core.planning import Planned, plan_problem
from optimizer.core.planning_check import excesses, kept
from optimizer.core.planning_rows import Column, Room
from optimizer.core.problem import Problem
from optimizer.core.problem_money import Capacity, Contract
from optimizer.core.problem_state import Session
from tests.optimizer.problems import ALL, dynamic, evse, fixed, problem, session, site

STEPS = 4


def column(name: str, *amps: float, worth: float = 1.0, kind: str = "evse", phases: tuple[str, ...] = ALL) -> Column:
    setpoint = frozen_ints([round(a * 1000) for a in amps])
    least = 6000 if kind == "evse" else 0
    ones = np.ones(len(amps))
    return Column(name, "garage", phases, kind, setpoint, setpoint, ones, least, 1000, worth, ones)


def made(garage_a: float = 40.0, **more) -> tuple[Problem, Compiled]:
    base = problem(session("a"), session("b"), facts=site(evse("a"), evse("b"), garage_a=garage_a), steps=STEPS, **more)
    return base, compile_problem(base)


def amps(columns: list[Column], t: int = 0) -> list[float]:
    return [float(one.setpoint_ma[t]) / 1000 for one in columns]


def test_a_sound_plan_is_left_alone():
    base, compiled = made()
    columns = [column("a", 16, 16, 0, 0), column("b", 16, 0, 0, 16)]
    assert excesses(base, compiled, columns) == []
    out, notes = kept(base, compiled, columns)
    assert [amps(out, t) for t in range(STEPS)] == [amps(columns, t) for t in range(STEPS)]
    assert notes == []


def test_the_least_urgent_is_lowered_first_in_whole_steps():
    base, compiled = made(garage_a=28.5)
    columns = [column("a", 16, 16, 16, 16, worth=9.0), column("b", 16, 0, 16, 16, worth=1.0)]
    assert len(excesses(base, compiled, columns)) == 9
    assert excesses(base, compiled, columns)[0] == "circuit garage L1: 3.50 A in step 0"
    out, _ = kept(base, compiled, columns)
    assert [amps(out, t) for t in range(STEPS)] == [[16, 12], [16, 0], [16, 12], [16, 12]]
    assert excesses(base, compiled, out) == []


def test_what_falls_below_the_minimum_is_paused():
    base, compiled = made(garage_a=20.0)
    out, _ = kept(base, compiled, [column("a", 16, 0, 0, 0, worth=9.0), column("b", 16, 0, 0, 0)])
    assert amps(out) == [16, 0]


def test_only_who_loads_the_phase_is_lowered():
    base, compiled = made(garage_a=30.0)
    columns = [column("a", 16, 0, 0, 0, phases=("L1",)), column("b", 16, 0, 0, 0, worth=9.0, phases=("L2", "L3"))]
    assert excesses(base, compiled, columns) == []
    both = [*columns, column("bat", 20, 0, 0, 0, kind="battery", phases=("L2",))]
    out, _ = kept(base, compiled, both)
    assert amps(out) == [16, 10, 20]


def test_a_power_limit_of_a_circuit_is_kept_over_all_phases():
    base, _ = made()
    garage = replace(base.site.circuits[1], max_import_kw=6.9)
    base = replace(base, site=replace(base.site, circuits=(base.site.circuits[0], garage)))
    compiled = compile_problem(base)
    fits = [column("a", 16, 0, 0, 0, phases=("L1",)), column("b", 14, 0, 0, 0, phases=("L2",))]
    assert excesses(base, compiled, fits) == []
    columns = [column("a", 16, 0, 0, 0, worth=9.0, phases=("L1",)), column("b", 16, 0, 0, 0)]
    assert excesses(base, compiled, columns) == ["power of circuit garage: 7.82 kW in step 0"]
    assert amps(kept(base, compiled, columns)[0]) == [16, 0]


def test_batteries_come_after_cars():
    base, compiled = made(garage_a=12.0)
    out, _ = kept(base, compiled, [column("a", 16, 0, 0, 0), column("bat", 20, 0, 0, 0, kind="battery")])
    assert amps(out) == [0, 12]


def test_the_import_limit_is_one_of_them():
    base, compiled = made(contract=Contract(import_kw=10.0))
    columns = [column("a", 16, 0, 0, 0), column("b", 6, 0, 0, 0, worth=9.0)]
    assert excesses(base, compiled, columns) == ["import limit: 7.18 kW in step 0"]
    out, _ = kept(base, compiled, columns)
    assert amps(out) == [0, 6]


def test_less_pv_is_held_back_before_a_car_is_lowered():
    base, compiled = made(garage_a=18.0)
    plant = replace(column("roof", -5, 0, 0, 0, kind="pv"), counted_ma=frozen_ints([3000, 0, 0, 0]))
    out, _ = kept(base, compiled, [column("a", 16, 0, 0, 0), plant])
    assert amps(out) == [16, -6]
    assert out[1].counted_ma[0] == 2000


def test_what_nothing_can_lower_is_told():
    base, compiled = made(garage_a=10.0)
    out, notes = kept(base, compiled, [column("pump", 16, 0, 0, 0, kind="run")])
    assert amps(out) == [16]
    assert notes[0] == "circuit garage L1: 6.00 A in step 0 above its limit, which nothing can lower"


def planned(*sessions: Session, **more) -> Planned:
    found = plan_problem(problem(*sessions, **{"steps": 24, **more}))
    assert isinstance(found, Planned)
    return found


@pytest.mark.parametrize("import_kw", [8.0, 11.0, 14.0])
def test_making_up_for_an_early_departure_stays_below_the_import_limit(import_kw: float):
    """Only a third of the step is left: on average the power fits, while the car is there it must fit too."""
    found = planned(session("a", kwh=5.0, hours=5 / 60), contract=Contract(import_kw=import_kw))
    power_kw = 2.0 + found.setpoint_ma[0, 0] / 1000 * 0.69
    assert power_kw <= import_kw
    assert power_kw > import_kw - 1.5


def test_making_up_for_an_early_departure_is_no_new_peak():
    """0.9 kWh in five minutes are 16 A, and in the whole quarter 5.7 kW with the load: below the peak of 6 kW."""
    tariff = fixed(capacity=Capacity(5.0, 6.0))
    assert planned(session("a", kwh=0.9, hours=5 / 60), tariff=tariff).setpoint_ma[0, 0] == 15_000


DEAR_FIRST = [0.4] * 8 + [0.1] * 16


def test_a_car_whose_minimum_is_above_the_peak_is_charged_all_the_same():
    """3 kW are free below the peak, 4.3 A: no car takes that, and none is left empty for it."""
    tariff = dynamic(*DEAR_FIRST, capacity=Capacity(5.0, 5.0))
    found = planned(session("a", kwh=5.0, hours=6.0), tariff=tariff)
    assert found.setpoint_ma.sum() * 0.69 / 4000 == pytest.approx(5.0, abs=1.1)


def room_of(garage_a: float, **more) -> Room:
    base, compiled = made(garage_a=garage_a, **more)
    return Room(base, compiled, heuristic(replace(compiled.instance, cars=_none(compiled))))


def _none(compiled: Compiled) -> Cars:
    """Cars that take nothing, so that all room is free."""
    return replace(compiled.instance.cars, max_a=np.zeros(compiled.instance.cars.n))


def test_room_is_what_circuits_and_the_import_limit_leave():
    room = room_of(20.0)
    assert room.raised(0, 0, 0.0, 16.0) == 16.0
    assert room.raised(1, 0, 0.0, 16.0) == pytest.approx(4.0)
    room.book(0, 0, -10.0)
    assert room.raised(1, 0, 4.0, 16.0) == pytest.approx(14.0)
    assert room_of(40.0, contract=Contract(import_kw=8.9)).raised(0, 0, 0.0, 16.0) == pytest.approx(10.0)
