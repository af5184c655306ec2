"""Rows 1, 14, 21, 23 and 79: plans stop, return, come and go or ask for nonsense; the site notices its bill at most.

The tests take plans as the field process does: what cannot be used when it comes leaves the one in force alone.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from controller.core.follow import plan_refusal
from controller.core.tally import NOTHING_YET, Tally, tally_after
from interfaces.domain.plan import Plan
from interfaces.domain.units import MILLI
from simulations.plant.view import Orders
from tests.closed_loop.loop import EPOCH_S, Loop, building, car, garage

CARS = 4
NAMES = tuple(f"e{k}" for k in range(CARS))
RAMP_W = 5.0 * 3 * 230 * 1.1
"""5 A on three conductors, at the highest voltage of the grid."""
LEASE_S = 120.0


def plan(loop: Loop, rows_a: list[list[float]], sequence: int, **changes: Any) -> Plan:
    """Quarters from the start of the test; the lease runs for two minutes from now."""
    steps = len(rows_a)
    made = Plan(
        plan_id=f"p{sequence}", site="s", topology_version=loop.topology.version, sequence=sequence, key_id="k",
        issued_epoch_s=EPOCH_S + loop.now_s, start_epoch_s=EPOCH_S, step_s=900,
        valid_until_epoch_s=EPOCH_S + 900 * steps, lease_until_epoch_s=EPOCH_S + loop.now_s + LEASE_S,
        assets=NAMES, setpoint_ma=(np.array(rows_a) * MILLI).astype(np.int64),
        value_ppm=np.full((steps, CARS), 200_000), planned_import_mw=np.zeros(steps, dtype=np.int64),
        grid_ppm=np.tile([30_000, 200_000, 10_000_000], (steps, 1)), calm_import_mw=np.full(steps, 10**12),
    )  # fmt: skip
    return replace(made, **changes)


class Yard:
    """Four cars behind 63 A beside a building, and whoever sends plans. Every scan is counted and looked at."""

    def __init__(self, rated_a: float = 100.0) -> None:
        self.loop = Loop(garage(CARS, rated_a), [car(name) for name in NAMES], [building(12.0)], scan_s=0.5)
        self.loop.each = self._look
        self.tally: Tally = NOTHING_YET
        self.modes: list[str] = []
        self.interrupted = 0
        self._before = self.loop.state
        self.loop.run(60.0)

    def send(self, sent: Plan) -> str:
        """A plan arrives; why it is refused, or empty."""
        loop, held = self.loop, self.loop.orders.plan
        mission, epoch_s = loop.state.mission, EPOCH_S + loop.now_s
        refused = plan_refusal(sent, mission, loop.params, clock_trusted=True, epoch_s=epoch_s)
        if not refused and held is not None and sent.sequence < held.sequence:
            refused = "older than the one in force"
        if not refused:
            loop.orders = Orders(plan=sent)
        return refused

    def _look(self, loop: Loop) -> None:
        after = loop.state
        self.tally = tally_after(
            self.tally, self._before, after, loop.commands, loop.image, loop.topology, loop.now_s
        )  # fmt: skip
        self.modes.append(after.mission.source)
        if self._before.mission.source != after.mission.source:
            stopped = (self._before.ledger.offer_ma > 0) & (loop.commands.setpoint_ma == 0)
            self.interrupted += int(stopped.sum())
        self._before = after

    @property
    def switches(self) -> int:
        return sum(a != b for a, b in pairwise(self.modes))

    def unharmed(self) -> None:
        """No overload, no interrupted session, no step above a ramp."""
        assert self.loop.judged().overload_s == 0.0
        assert self.interrupted == 0
        assert self.tally.max_step_w <= RAMP_W


TEN = [[10.0] * CARS] * 4


def test_row_01_when_plans_stop_the_site_goes_on_by_itself_within_a_scan(figure) -> None:
    yard = Yard()
    assert yard.send(plan(yard.loop, TEN, 1)) == ""
    lease_ends_s = yard.loop.now_s + LEASE_S
    yard.loop.run(60.0)
    assert [yard.loop.told_a(name) for name in NAMES] == [10.0] * CARS
    yard.loop.until(lambda: yard.loop.report.mode == "fallback", 70.0)
    late_s = yard.loop.now_s - yard.loop.scan_s - lease_ends_s
    assert 0.0 <= late_s <= yard.loop.scan_s
    yard.loop.run(120.0)
    yard.unharmed()
    assert yard.tally.switches == 2
    assert min(yard.loop.drawn_a(name) for name in NAMES) > 10.0, "they charge as the site can"
    figure("by its own rules after the end of the lease", late_s, "s")
    figure("largest step at a switch", yard.tally.max_step_w / 1000, "kW")
    figure("overload", yard.loop.judged().overload_s, "s")


def test_row_01_when_plans_return_the_site_follows_without_a_step(figure) -> None:
    yard = Yard()
    yard.send(plan(yard.loop, [[6.0, 16.0, 16.0, 6.0]] * 4, 1))
    yard.loop.run(60.0)
    yard.loop.until(lambda: yard.loop.report.mode == "fallback", 70.0)
    yard.loop.run(60.0)
    assert yard.send(plan(yard.loop, [[16.0, 6.0, 0.0, 16.0]] * 4, 2)) == ""
    back_s = yard.loop.until(lambda: yard.loop.report.mode == "plan", 60.0)
    yard.loop.run(60.0)
    yard.unharmed()
    assert [yard.loop.told_a(name) for name in NAMES] == [16.0, 6.0, 6.0, 16.0], "who charged goes on to the row's end"
    figure("followed again after", back_s, "s")
    figure("largest step at a switch", yard.tally.max_step_w / 1000, "kW")


def test_row_23_plans_that_come_and_go_do_not_make_the_site_alternate(figure) -> None:
    """The link is there for a moment every minute, and each plan's lease is shorter than the gap."""
    yard = Yard()
    for number in range(1, 16):
        lease = EPOCH_S + yard.loop.now_s + 25.0
        wanted = [[6.0, 16.0, 16.0, 6.0]] * 4 if number % 2 else [[16.0, 6.0, 6.0, 16.0]] * 4
        yard.send(plan(yard.loop, wanted, number, lease_until_epoch_s=lease))
        yard.loop.run(60.0)
    yard.unharmed()
    assert yard.switches <= 6
    figure("fifteen plans of 25 s in fifteen minutes: switches", float(yard.switches))
    figure("largest step at a switch", yard.tally.max_step_w / 1000, "kW")


@pytest.mark.parametrize("seed", [1, 2])
def test_row_23_a_third_of_the_plans_lost_changes_nothing_for_the_cables(seed: int, figure) -> None:
    rng = np.random.default_rng(seed)
    yard = Yard(63.0)
    for number in range(1, 13):
        if rng.random() > 0.3:
            yard.send(plan(yard.loop, rng.choice([0.0, 6.0, 10.0, 16.0], (4, CARS)).tolist(), number))
        yard.loop.run(50.0)
    yard.unharmed()
    figure("overload", yard.loop.judged().overload_s, "s")
    figure("switches in ten minutes", float(yard.switches))


def test_row_14_a_backlog_that_arrives_oldest_first_leaves_the_newest_in_force(figure) -> None:
    yard = Yard()
    backlog = [plan(yard.loop, [[6.0 + number] * CARS] * 4, number) for number in range(1, 7)]
    refusals = [yard.send(backlog[number]) for number in (0, 1, 4, 2, 3, 5, 0)]
    assert [bool(why) for why in refusals] == [False, False, False, True, True, False, True]
    yard.loop.run(90.0)
    assert [yard.loop.told_a(name) for name in NAMES] == [12.0] * CARS
    yard.unharmed()
    figure("of the older ones", refusals[3])


@pytest.mark.parametrize("factor", [1000.0, 0.001, -1.0])
def test_row_21_a_plan_in_the_wrong_unit_overloads_nothing(factor: float, figure) -> None:
    yard = Yard(40.0)
    yard.send(plan(yard.loop, [[10.0 * factor] * CARS] * 4, 1))
    yard.loop.run(180.0)
    yard.unharmed()
    figure(f"{factor:g} times the current: overload", yard.loop.judged().overload_s, "s")


def test_row_79_a_plan_of_another_schema_leaves_the_one_in_force_alone(figure) -> None:
    yard = Yard()
    yard.send(plan(yard.loop, TEN, 1))
    yard.loop.run(40.0)
    why = yard.send(plan(yard.loop, [[16.0] * CARS] * 4, 2, schema=2))
    yard.loop.run(20.0)
    assert yard.loop.report.mode == "plan"
    assert [yard.loop.told_a(name) for name in NAMES] == [10.0] * CARS
    yard.unharmed()
    figure("refused", why)
