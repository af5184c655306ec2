"""The scan loop on a simulated clock: order, errors, lateness, changes of the site file."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from controller.core.params import GOOD_SCANS_AFTER_ERROR
from controller.core.scan import scan
from controller.core.state import retained_of
from controller.service.messages import (
    AssetOrder,
    DeclaredOff,
    Entry,
    OperatorOrder,
    Setup,
    Snapshot,
    StandingOrders,
    Verdict,
)
from controller.service.site_setup import SiteSetup
from controller.service.status import following_of
from interfaces.domain.codec import pack
from interfaces.domain.image import Fire
from interfaces.domain.plan import Plan
from interfaces.domain.reasons import Reason
from interfaces.drivers.readings import Sample
from tests.controller.service.kit import (
    EPOCH_S,
    METER,
    PLACE_1,
    PLACE_2,
    START_S,
    Bench,
    alarms_of,
    garage_setup,
    garage_text,
)


def charging(**facts) -> Bench:
    """A bench on which both cars charge."""
    bench = Bench(**facts)
    bench.advance(30)
    assert min(bench.told_a()) >= 6
    return bench


# -- a cycle ----------------------------------------------------------------------------------------------------------


def test_nothing_is_written_before_the_first_complete_image():
    bench = Bench(silent={PLACE_1})
    bench.advance(9)
    assert not bench.outbox.wanted
    assert bench.commands.failsafe
    bench.advance(2)
    assert bench.outbox.wanted


def test_the_watchdog_is_fed_after_the_outputs_of_the_same_scan():
    bench = charging()
    seen: list[tuple[float, float]] = []
    bench.notifier.on_alive = lambda now_s: seen.append((now_s, bench.outbox.lease_until_s(PLACE_2)))
    bench.advance(2)
    assert len(seen) == 10
    assert all(until_s == pytest.approx(now_s + 2.0) for now_s, until_s in seen)


def test_leases_end_by_themselves_when_no_scan_comes():
    bench = charging()
    until_s = bench.outbox.lease_until_s(PLACE_1)
    assert until_s - (bench.now_s - 0.2) == pytest.approx(2.0)
    bench.now_s += 2.5
    assert bench.outbox.lease_until_s(PLACE_1) < bench.now_s


def test_each_scan_is_recorded_from_a_state_that_is_known():
    bench = Bench()
    bench.advance(21)
    messages = bench.messages()
    entries = [one for one in messages if isinstance(one, Entry)]
    assert [one.record.number for one in entries] == list(range(105))
    begins = [one.number for one in messages if isinstance(one, Snapshot)]
    assert begins[0] == 0
    assert [later - earlier for earlier, later in pairwise(begins)] == pytest.approx([50, 50], abs=1)
    assert isinstance(messages[0], Setup)
    assert messages[0].params_digest == garage_setup().digest


async def test_run_scans_until_stopped_and_leaves_failsafe_behind():
    bench = charging()
    ready: list[str] = []
    bench.notifier.on_ready = ready.append
    scans = bench.loop.number

    def cycle_on(_: float) -> None:
        bench.now_s += 0.2
        bench.loop.stopping = bench.loop.number >= scans + 5

    bench.notifier.on_alive = cycle_on
    await asyncio.wait_for(bench.loop.run(), 60)
    assert bench.loop.number == scans + 6
    assert bench.commands.failsafe
    assert bench.report.mode == "stopped"
    assert not any(alarm.code == Reason.ALARM_SCAN_ERROR for alarm in bench.report.alarms)
    failsafe_ma = garage_setup().params.topology.failsafe_ma
    assert all(told <= limit for told, limit in zip(bench.commands.setpoint_ma, failsafe_ma, strict=True))


def test_a_start_that_never_commanded_leaves_the_chargers_alone():
    bench = Bench(silent={METER})
    bench.advance(5)
    bench.loop.leave()
    assert not bench.outbox.wanted


# -- errors -----------------------------------------------------------------------------------------------------------


class Breaking:
    """The real scan, which raises while ``broken``."""

    def __init__(self) -> None:
        self.broken = False

    def __call__(self, *arguments):
        if self.broken:
            raise ZeroDivisionError("a fault for the test")
        return scan(*arguments)


def test_row_69_an_exception_gives_failsafe_outputs_and_ten_good_scans_before_anything_is_raised(figure):
    breaking = Breaking()
    bench = charging(scan_function=breaking)
    before = bench.told_a()
    breaking.broken = True
    bench.advance(0.2)
    assert bench.commands.failsafe
    topology = bench.setup.params.topology
    expected = np.minimum(np.array(before) * 1000, topology.failsafe_ma).tolist()
    assert bench.commands.setpoint_ma.tolist() == expected
    assert [bench.outbox.get(asset.id, "setpoint").value for asset in topology.assets] == expected  # type: ignore[union-attr]
    assert any(alarm.code == Reason.ALARM_SCAN_ERROR for alarm in bench.report.alarms)
    figure("highest offer after the exception (failsafe 6 A)", max(bench.told_a()), "A")
    figure("alarm", alarms_of(bench))
    breaking.broken = False
    for n in range(GOOD_SCANS_AFTER_ERROR):
        bench.advance(0.2)
        assert bench.commands.failsafe, n
        assert all(told <= was for told, was in zip(bench.told_a(), before, strict=True))
    bench.advance(0.2)
    assert not bench.commands.failsafe
    failed_s = bench.now_s
    while bench.told_a() != before and bench.now_s < failed_s + 60:
        bench.advance(0.2)
    assert bench.told_a() == before
    figure("all offers as before after", 2.2 + bench.now_s - failed_s, "s")


def test_row_69_every_scan_failing_lets_the_lease_of_the_failsafe_lapse_and_is_recorded(figure):
    """Two seconds after the last good scan nobody vouches for the outputs any more: the chargers' own failsafe acts."""
    breaking = Breaking()
    bench = charging(scan_function=breaking)
    breaking.broken = True
    bench.advance(1)
    assert bench.commands.failsafe
    assert bench.outbox.lease_until_s(PLACE_1) > bench.now_s
    bench.advance(4)
    assert bench.loop.errors == 25
    assert bench.outbox.lease_until_s(PLACE_1) <= bench.now_s
    figure("nobody vouches for the outputs", bench.outbox.lease_until_s(PLACE_1) - (bench.now_s - 5.2), "s after it")
    last = [one for one in bench.messages() if isinstance(one, Entry)][-1]
    assert last.error is not None
    assert "a fault for the test" in last.error
    assert last.imaged


def test_row_69_an_error_in_reading_the_inputs_is_caught_too():
    bench = charging()
    image = bench.loop._io.gather.image

    def broken(readings, inputs):
        if readings:
            raise KeyError("gone")
        return image(readings, inputs)

    bench.loop._io.gather.image = broken  # type: ignore[method-assign]
    bench.advance(0.2)
    assert bench.commands.failsafe
    entry = [one for one in bench.messages() if isinstance(one, Entry)][-1]
    assert not entry.imaged


def test_row_69_nonsense_from_one_charger_costs_the_others_nothing(figure):
    bench = charging()
    topology = bench.setup.params.topology
    bench.silent.add(PLACE_1)
    nonsense = bench.readings.points[PLACE_1]
    for number in range(40):
        value = (float("nan"), 1e300, "?", None)[number % 4]
        samples = {
            role: Sample(value, bench.now_s, sample.quality, sample.count) for role, sample in nonsense.roles.items()
        }
        bench.readings.points[PLACE_1] = replace(nonsense, roles=samples, reply_s=bench.now_s)
        bench.advance(0.2)
        assert not bench.commands.failsafe
    assert bench.loop.errors == 0
    assert bench.told_a()[topology.index[PLACE_2]] >= 6
    figure("failed scans in 40 readings of nonsense", bench.loop.errors)


# -- lateness ---------------------------------------------------------------------------------------------------------


def test_row_68_three_late_scans_stop_raises_and_a_timely_one_allows_them_again(figure):
    bench = Bench(base_a=35.0)
    bench.advance(30)
    low = bench.told_a()
    bench.base_a = 5.0
    bench.advance(60)
    bench.loop.pacer.start_s -= 0.15
    bench.advance(1.0)
    assert bench.loop.last[0].late_in_a_row >= 3  # type: ignore[index]
    assert any(alarm.code == Reason.ALARM_OVERRUN for alarm in bench.report.alarms)
    held = bench.told_a()
    figure("alarm", alarms_of(bench))
    bench.advance(20)
    assert bench.told_a() == held
    bench.loop.pacer.start_s += 0.15
    bench.advance(20)
    assert sum(bench.told_a()) > sum(low)
    assert not any(alarm.code == Reason.ALARM_OVERRUN for alarm in bench.report.alarms)


# -- messages ---------------------------------------------------------------------------------------------------------


def plan(sequence: int, **change) -> Plan:
    facts = {
        "plan_id": "p", "site": "garage-norella", "topology_version": garage_setup().params.topology.version,
        "sequence": sequence, "key_id": "k", "issued_epoch_s": EPOCH_S, "start_epoch_s": EPOCH_S,
        "step_s": 900, "valid_until_epoch_s": EPOCH_S + 1800, "lease_until_epoch_s": EPOCH_S + 900,
        "assets": (PLACE_1, PLACE_2),
        "setpoint_ma": np.full((2, 2), 6000), "value_ppm": np.zeros((2, 2), dtype=np.int64),
        "planned_import_mw": np.zeros(2, dtype=np.int64),
        "grid_ppm": np.zeros((2, 3), dtype=np.int64),
        "calm_import_mw": np.full(2, 10**12),
    }  # fmt: skip
    return Plan(**{**facts, **change})


def test_messages_take_effect_at_the_start_of_a_scan():
    bench = Bench()
    for message in (plan(3), DeclaredOff((PLACE_1,)), OperatorOrder(7_000_000, stop=False, fire=int(Fire.INACTIVE))):
        assert bench.inbox.take(pack(message)) is None
    assert bench.loop.inputs.plan is None
    bench.advance(0.2)
    image = bench.loop.last[0]  # type: ignore[index]
    assert image.plan is not None
    assert image.plan.sequence == 3
    assert image.operator_limit_mw == 7_000_000
    assert image.declared_off.sum() == 1
    assert [verdict.accepted for verdict in bench.verdicts] == [True, True, True]


def test_an_older_plan_does_not_replace_a_newer_one():
    bench = Bench()
    bench.inbox.take(pack(plan(3)))
    bench.inbox.take(pack(plan(2)))
    bench.advance(0.2)
    assert bench.loop.inputs.plan.sequence == 3  # type: ignore[union-attr]
    assert bench.verdicts[-1].reason == "plan 2 is older than 3"


def test_a_plan_that_cannot_be_used_does_not_replace_the_one_in_force():
    bench = Bench()
    bench.inbox.take(pack(plan(3)))
    bench.advance(0.2)
    bench.inbox.take(pack(plan(4, topology_version="another")))
    bench.advance(0.2)
    assert bench.loop.inputs.plan.sequence == 3  # type: ignore[union-attr]
    why = "the plan was made for another topology"
    assert bench.verdicts[-1] == Verdict("plan", accepted=False, reason=why, sequence=4)
    assert bench.loop.state.mission.source == "plan"
    told = following_of(bench.loop)
    assert (told.source, told.sequence, told.plans_accepted, told.plans_refused) == ("plan", 3, 1, 1)


def test_orders_of_people_end_by_the_clock_that_nobody_sets():
    bench = charging()
    order = AssetOrder(PLACE_1, "pause", 0, left_s=20.0, age_s=0.0)
    assert bench.inbox.take(pack(StandingOrders((order,)))) is None
    bench.epoch_s -= 3600.0
    bench.advance(10)
    place = bench.setup.params.topology.index[PLACE_1]
    assert bench.told_a()[place] == 0.0
    assert bench.commands.reason[place] == Reason.ORDERED_PAUSE
    bench.advance(30)
    assert bench.told_a()[place] >= 6.0
    assert bench.loop.inputs.orders is None


@pytest.mark.parametrize(
    ("order", "why"),
    [
        (AssetOrder(PLACE_1, "raise", 0, 1.0, 0.0), "nobody knows"),
        (AssetOrder(PLACE_1, "limit", -5, 1.0, 0.0), "below 0"),
        (AssetOrder(PLACE_1, "limit", 5, 1.0, float("inf")), "no duration"),
    ],
)
def test_an_order_that_is_none_is_refused(order, why):
    verdict = Bench().inbox.take(pack(StandingOrders((order,))))
    assert verdict is not None
    assert why in verdict.reason


def changed(**change: str) -> SiteSetup:
    return garage_setup(garage_text(**change))


def test_parameters_change_online_at_a_scan_boundary():
    bench = charging()
    limit = bench.report.budget_ma.copy()
    bench.inbox.waiting.append(changed(**{"margin_a: [10, 10, 10]": "margin_a: [14, 14, 14]"}))
    bench.advance(0.2)
    assert bench.verdicts[-1].accepted
    assert bench.verdicts[-1].reason == "parameters changed at this scan"
    assert bench.report.budget_ma[0] == pytest.approx(limit[0] - 4000, abs=100)
    assert not bench.loop.restart_wanted
    setups = [one for one in bench.messages() if isinstance(one, Setup)]
    assert setups[-1].params_digest != setups[0].params_digest
    bench.advance(10)
    assert not bench.commands.failsafe


def test_another_topology_ends_the_loop_through_failsafe():
    bench = charging()
    bench.inbox.waiting.append(changed(**{"rated_a: [40, 40, 40]": "rated_a: [35, 35, 35]"}))
    bench.advance(0.2)
    assert bench.loop.restart_wanted
    assert "starting again through failsafe" in bench.verdicts[-1].reason


def test_a_comment_is_no_change():
    bench = charging()
    bench.inbox.waiting.append(garage_setup(garage_text() + "\n# a remark\n"))
    before = bench.loop.setup
    bench.advance(0.2)
    assert bench.verdicts[-1].reason == "nothing changed"
    assert bench.loop.setup is before


def test_row_71_a_restart_forgets_neither_offers_nor_the_off_time_of_a_paused_car(figure):
    bench = charging()
    retained = retained_of(bench.loop.state, bench.setup.params, bench.now_s, bench.epoch_s)
    assert min(retained.offers_ma) >= 6000
    place = bench.setup.params.topology.index[PLACE_2]
    off_for_s, pauses = [0.0, 0.0], [0, 0]
    off_for_s[place], pauses[place] = 60.0, 3
    paused = replace(retained, off_for_s=tuple(off_for_s), limit_pauses=tuple(pauses))
    again = Bench(retained=paused, now_s=START_S + 500)
    assert again.loop.state.ledger.exposure_ma.tolist() == list(retained.offers_ma)
    started: list[float] = []
    again.advance(90, each=lambda: started.append(again.told_a()[place]))
    assert max(started[: 59 * 5]) == 0.0, "a crash loop must not switch a car on and off"
    figure("paused for 60 s more at the restart, starts after", 0.2 * sum(told < 6.0 for told in started), "s")
    assert started[-1] >= 6.0
