"""Minimum before pause, a charger added to the site file, a corrupted allocation."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import controller.core.scan as core
from controller.core.allocate import Allocation, Demand
from controller.core.params import Params
from controller.core.raises import Granted
from controller.core.state import initial, retained_of
from interfaces.domain.command import Commands
from interfaces.domain.image import Image
from interfaces.domain.reasons import Reason
from interfaces.domain.topology import Circuit, Topology, build_topology
from interfaces.domain.units import MILLI, Ints
from simulations.plant.view import FieldView
from tests.closed_loop.loop import BACK_WITHIN_S, EPOCH_S, Loop, building, car, charger, connection, garage, site

REFUSED = "the guard refused the commands for circuit {}: its part of the site is at failsafe"


# -- minimum before pause ----------------------------------------------------------------------------------------------


def test_all_running_cars_are_at_minimum_before_one_is_paused() -> None:
    """The building takes more and more: offers fall to the minimum together, then cars are paused one by one."""
    count = 6
    loop = Loop(garage(count, 100.0, max_a=32.0), [car(f"e{k}") for k in range(count)], [building(5.0)])
    loop.run(100.0)
    seen: list[tuple[int, list[float]]] = []

    def watch(x: Loop) -> None:
        told = [x.told_a(f"e{k}") for k in range(count)]
        seen.append((told.count(0.0), sorted(told)))

    loop.each = watch
    for _ in range(22):
        loop.add_load(4.0)
        loop.run(8.0)
    paused = [number for number, _ in seen]
    assert paused[0] == 0
    assert max(paused) >= 3, "the load grew far enough"
    for (before, _), (after, told) in pairwise(seen):
        if after > before:
            left = sum(told)
            assert after == before + 1, "one by one"
            assert left < 6.0 * (count - before), "there was no room for all minima"
            assert max(told) < 12.0, "nobody keeps what would have been another's minimum"
    assert loop.judged().self_made_overload_s == 0.0


# -- another charger ---------------------------------------------------------------------------------------------------


class Changing(Loop):
    """A site whose file changes: the process ends and starts again with the chargers the new file knows."""

    known = 0

    def restart(self, known: int, gap_s: float) -> None:
        """``gap_s`` without a controller, then a new one with the first ``known`` chargers and the retained memory."""
        retained = retained_of(self.state, self.params, self.now_s, EPOCH_S + self.now_s) if self.known else None
        for _ in range(round(gap_s / self.scan_s)):
            self.let_pass()
            if self.each is not None:
                self.each(self)
        whole = self.topology
        part = build_topology(whole.circuits, whole.assets[:known], version=f"of {known}", period_s=whole.period_s)
        self.known, self.params = known, Params.of(part)
        self.state = initial(self.params, self.now_s, retained)
        self.view = FieldView(self.plant, 1)
        self.edit = self._first_columns

    def _first_columns(self, image: Image) -> Image:
        return replace(image, **self._columns(image, lambda column: column[: self.known]))

    def on_wire(self, commands: Commands) -> Commands:
        missing = self.topology.n - len(commands.setpoint_ma)
        return replace(
            commands,
            **self._columns(commands, lambda column: np.concatenate([column, np.zeros_like(column[:missing])])),
        )

    def _columns(self, record: Any, change: Any) -> dict[str, Any]:
        values = {name: getattr(record, name) for name in record.__dataclass_fields__}
        lengths = (self.topology.n, self.known)
        own = {k: v for k, v in values.items() if isinstance(v, (np.ndarray, tuple)) and len(v) in lengths}
        return {k: change(v) for k, v in own.items() if not k.startswith("meter")}


def two_of_three(rated_a: float = 50.0) -> Changing:
    """Three chargers on a connection of one circuit; the file knows two at first, both charge for two minutes."""
    circuit = connection(rated_a, background_max_a=(9.0,) * 3)
    topology = site([circuit], [charger(f"e{k}", max_a=32.0) for k in range(3)])
    loop = Changing(topology, [car("e0"), car("e1", react_s=4.0), car("e2", 150.0)], [building(8.0)])
    loop.restart(2, 0.0)
    loop.run(120.0)
    return loop


def test_a_charger_added_to_the_file_interrupts_no_session() -> None:
    loop = two_of_three()
    before = [loop.told_a("e0"), loop.told_a("e1")]
    assert min(before) >= 15.0
    counted: list[list[float]] = []
    lit: list[bool] = []

    def watch(x: Loop) -> None:
        counted.append(x.plant.sessions.delivered_wh[:2].tolist())
        lit.append(bool((x.plant.supplies.pilot_a[:2] >= 6.0).all()))

    loop.each = watch
    loop.restart(3, 5.0)
    loop.step()
    assert not loop.commands.failsafe
    assert [loop.told_a("e0"), loop.told_a("e1")] == before, "the offers in force are adopted"
    loop.run(90.0)
    assert all(lit), "no pilot went off"
    assert all(late > early for old, new in pairwise(counted) for early, late in zip(old, new, strict=True))
    assert [r.interruptions for r in loop.plant.sessions.report(loop.now_s)] == [0, 0, 0]
    assert loop.told_a("e2") >= 6.0, "the new one charges"
    assert loop.judged().overload_s == 0.0


def test_a_restart_keeps_what_a_session_has_charged() -> None:
    """Targets in kWh count from plug-in; a car must not get twice what was asked because a file changed."""
    loop = two_of_three()
    before_wh = int(loop.report.energy_wh[0])
    assert before_wh > 100
    loop.restart(3, 5.0)
    loop.run(5.0)
    assert int(loop.report.energy_wh[0]) >= before_wh


def test_a_restart_without_its_memory_still_interrupts_nobody() -> None:
    loop = two_of_three()
    before = [loop.told_a("e0"), loop.told_a("e1")]
    loop.known = 0
    lit: list[bool] = []
    loop.each = lambda x: lit.append(bool((x.plant.supplies.pilot_a[:2] >= 6.0).all()))
    loop.restart(3, 5.0)
    loop.step()
    assert [loop.told_a("e0"), loop.told_a("e1")] == before, "read back from the chargers"
    loop.run(90.0)
    assert all(lit)
    assert loop.judged().overload_s == 0.0


def test_before_the_first_whole_picture_nothing_is_written() -> None:
    """A charger that is silent at start holds the others up for 10 s at most; they keep what they have."""
    loop = two_of_three(90.0)
    loop.plant.reachable[2] = False
    before = loop.plant.supplies.setpoint_a[:2].tolist()
    loop.restart(3, 1.0)
    begun_s = loop.now_s
    written: list[list[float]] = []
    loop.each = lambda x: written.append(x.plant.supplies.setpoint_a[:2].tolist()) if x.commands.failsafe else None
    loop.until(lambda: not loop.commands.failsafe, 11.0)
    assert loop.now_s - begun_s == pytest.approx(10.0, abs=0.5)
    assert all(values == before for values in written)
    assert loop.reason("e2") is Reason.UNREACHABLE
    loop.run(60.0)
    assert min(loop.told_a("e0"), loop.told_a("e1")) >= 6.0
    assert "e2 does not answer: check its supply, cable and address" in loop.alarms()


# -- the guard ---------------------------------------------------------------------------------------------------------


def greedy(budget: Ints, demand: Demand, topology: Topology) -> Allocation:
    """An allocation that has forgotten every budget."""
    asks = np.zeros(topology.n, dtype=np.bool_)
    asks[list(demand.order)] = True
    nobody = np.full(topology.n, -1, dtype=np.int64)
    none = np.zeros(topology.n, dtype=np.bool_)
    return Allocation(np.where(asks, demand.ceiling_ma, 0), nobody, asks, asks, none, demand.cost)


def hasty(target_ma: Ints, *_: Any) -> Granted:
    """A grant that waits for nobody."""
    nothing = np.zeros_like(target_ma)
    return Granted(target_ma.copy(), nothing, nothing - 1)


def test_the_guard_lowers_what_a_corrupted_allocation_leaves_standing(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = Loop(garage(3, 63.0, max_a=32.0), [car(f"e{k}") for k in range(3)], [building(8.0)])
    loop.run(100.0)
    assert not loop.first_s
    monkeypatch.setattr(core, "allocate", greedy)
    loop.add_load(25.0)
    loop.until(lambda: not loop.commands.guard_ok, 1.5)
    assert REFUSED.format("gcp") in loop.alarms()
    assert [loop.told_a(f"e{k}") for k in range(3)] == [0.0] * 3, "failsafe"
    assert loop.reason("e0") is Reason.FAILSAFE
    loop.until(loop.within, BACK_WITHIN_S)
    loop.run(30.0)
    assert loop.within()
    assert loop.judged().self_made_overload_s == 0.0


def test_the_guard_stops_raises_that_nothing_covers_and_only_below_their_circuit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Allocation and ledger both corrupted: no charger ever hears the excess. The other branch charges on."""
    branches = [Circuit(f"b{k}", "gcp", (20.0 + 30.0 * k,) * 3, background_max_a=(0.0,) * 3) for k in range(2)]
    places = [charger(f"e{k}", circuit=f"b{k // 2}", max_a=16.0) for k in range(4)]
    topology = site([connection(125.0), *branches], places)
    loop = Loop(topology, [car(f"e{k}") for k in range(4)], [building(5.0)])
    loop.run(60.0)
    monkeypatch.setattr(core, "allocate", greedy)
    monkeypatch.setattr(core, "grant", hasty)
    highest: list[float] = []
    loop.each = lambda x: highest.append(float(x.plant.supplies.setpoint_a[:2].sum()))
    loop.step()
    assert not loop.commands.guard_ok
    assert loop.alarms() == {REFUSED.format("b0")}
    assert loop.told_a("e0") == loop.told_a("e1") == 0.0
    loop.run(60.0)
    assert max(highest) <= 20.0 - 1.0, "never written"
    assert loop.told_a("e2") == loop.told_a("e3") == 16.0
    assert loop.judged().overload_s == 0.0


def test_a_sound_allocation_never_meets_the_guard() -> None:
    loop = Loop(garage(4, 63.0, max_a=32.0), [car(f"e{k}", 20.0 * k) for k in range(4)], [building(8.0)])
    refused: list[bool] = []
    loop.each = lambda x: refused.append(not x.commands.guard_ok)
    for k in range(12):
        loop.plant.added_a[0] = 12.0 * (k % 3)
        loop.run(20.0)
    assert not any(refused)
    assert loop.report.exposure_ma.max() <= 63 * MILLI
