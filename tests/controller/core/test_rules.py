"""Each rule alone: what it allows, and that it only shrinks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from controller.core.envelope import Cap
from controller.core.params import NO_LIMIT
from controller.core.rules import RULES
from controller.core.rules.boot import boot
from controller.core.rules.circuit import circuit
from controller.core.rules.evse import declared_off, fault, no_car, unreachable
from controller.core.rules.fire import fire
from controller.core.rules.identity import other_device, unproven_device
from controller.core.rules.lent import lent
from controller.core.rules.n_minus_1 import n_minus_1
from controller.core.rules.obedience import obedience
from controller.core.rules.operator import operator_limit, operator_stop
from controller.core.rules.peak import peak
from controller.core.rules.phase_switching import phase_switching
from controller.core.rules.protection import protection_pause, protection_reduce, protection_stop
from interfaces.domain.image import Fire, Identity, Pilot
from interfaces.domain.reasons import Reason
from interfaces.domain.topology import POWER_ROW, Asset, AssetKind
from interfaces.domain.units import MISSING, mw_from_w
from tests.controller.core.table import Table, evse, gcp, site


def running() -> Table:
    """A charger with a car, an empty one, a battery and an inverter."""
    assets = [
        evse("e0", failsafe_a=6.0),
        evse("e1", tier=2),
        Asset("bat", AssetKind.BATTERY, "d-b", "gcp", (0, 1, 2), 20.0, min_a=0.0, max_export_a=20.0, boot_a=0.0),
        Asset("pv", AssetKind.PV, "d-p", "gcp", (0, 1, 2), 30.0, min_a=0.0, max_export_a=30.0, boot_a=0.0),
    ]
    return Table(site([gcp(63.0)], assets)).load("gcp", 10).plug("e0").after(seconds=90).expect(e0=16)


def say(rule: Any, table: Table, **changes: Any) -> Cap:
    cap: Cap = rule(replace(table.image, **changes), table.state, table.params, table.now_s)
    return cap


def high(cap: Cap) -> list[int]:
    assert cap.high_ma is not None
    return [int(v) for v in cap.high_ma]


def state(table: Table, part: str, **changes: Any) -> None:
    table.state = replace(table.state, **{part: replace(getattr(table.state, part), **changes)})


def test_silent_rules_say_nothing():
    """A healthy site: no rule but the circuit's, the empty place's and nobody's."""
    table = running()
    assert say(fire, table).high_ma is None
    assert say(operator_stop, table).high_ma is None
    assert say(operator_limit, table).budget is None
    assert say(boot, table).high_ma is None
    assert say(n_minus_1, table).budget is None
    for rule in (protection_reduce, protection_pause, protection_stop):
        assert say(rule, table).high_ma is None
    for rule in (fault, unreachable, declared_off, obedience, lent, phase_switching):
        assert min(high(say(rule, table))) >= NO_LIMIT


def paying(table: Table, peak_kw: float = 10.0) -> Table:
    """A site that wants no quarter of an hour above a mean; 10 A x 3 of building are 6.9 kW."""
    table.params = replace(table.params, peak_mw=mw_from_w(peak_kw * 1000))
    return table


def left_kw(cap: Cap) -> float:
    assert cap.budget is not None
    assert (np.delete(cap.budget.ravel(), POWER_ROW) >= NO_LIMIT).all(), "only the power row of the connection"
    return float(cap.budget[0, POWER_ROW]) / 1e6


def test_the_peak_of_a_quarter_is_kept_while_no_plan_is_followed():
    table = paying(running())
    building_kw = float(table.state.background.estimate[0, POWER_ROW]) / 1e6
    assert building_kw == pytest.approx(6.9, abs=0.1)
    assert left_kw(say(peak, table)) == pytest.approx(10.0 - building_kw)
    assert left_kw(say(peak, paying(table, 5.0))) == 0.0
    state(table, "mission", source="plan")
    assert say(peak, table).budget is None
    assert say(peak, running()).budget is None


@pytest.mark.parametrize(
    ("minutes_left", "so_far_kw", "month_kw", "allowed_kw"),
    [
        (10.0, 2.0, None, 12.0),  # 2.5 kWh for the whole quarter, 0.5 kWh gone
        (5.0, 10.0, None, 0.0),  # all of it is gone
        (5.0, 12.0, None, 0.0),
        (5.0, 10.0, 14.0, 12.0),  # 14 kW are paid for already: 1 kWh in 5 min
        (5.0, 10.0, 4.0, 0.0),  # a lower peak of the month is no reason to want less
        (0.2, 9.0, None, 15.0),  # spent as if there were a minute left
        (14.95, 9.9, None, 10.0),  # 3 s into a quarter it may be the register of the one before
    ],
)
def test_what_a_quarter_has_not_used_may_be_used_in_the_rest_of_it(minutes_left, so_far_kw, month_kw, allowed_kw):
    table = paying(running())
    building_mw = int(table.state.background.estimate[0, POWER_ROW])
    cap = say(
        peak,
        table,
        meter_sample_s=np.array([table.now_s]),
        quarter_mw=round(so_far_kw * 1e6),
        quarter_left_ms=round(minutes_left * 60_000),
        month_peak_mw=MISSING if month_kw is None else round(month_kw * 1e6),
    )
    assert left_kw(cap) == pytest.approx(max(0.0, allowed_kw - building_mw / 1e6), abs=1e-5)


@pytest.mark.parametrize("age_s", [31.0, np.inf])
def test_an_old_register_of_the_quarter_says_nothing(age_s):
    table = paying(running())
    building_mw = int(table.state.background.estimate[0, POWER_ROW])
    at = np.array([table.now_s - age_s])
    cap = say(peak, table, meter_sample_s=at, quarter_mw=0, quarter_left_ms=120_000)
    assert left_kw(cap) == pytest.approx(10.0 - building_mw / 1e6)


def test_a_car_is_kept_below_the_peak_and_told_why():
    table = paying(running(), 13.8)  # 6.9 kW of building leave 10 A x 3
    table.after(seconds=30)
    assert 9_000 <= int(table.commands.setpoint_ma[0]) <= 10_000
    assert Reason(int(table.commands.reason[0])) is Reason.PEAK


@pytest.mark.parametrize("panel", [Fire.ACTIVE, Fire.UNKNOWN])
def test_fire_leaves_nothing_to_anybody(panel):
    cap = say(fire, running(), fire=int(panel))
    assert high(cap) == [0, 0, 0, 0]
    assert cap.low_ma is not None
    assert cap.low_ma.tolist() == [0, 0, 0, 0]


def test_a_latched_fire_outlives_its_input():
    table = running()
    table.state = replace(table.state, fire_latched=True)
    assert high(say(fire, table, fire=int(Fire.INACTIVE))) == [0, 0, 0, 0]


def test_operator_stop_ends_consumption_and_feed_in():
    cap = say(operator_stop, running(), operator_stop=True)
    assert high(cap) == [0, 0, 0, 0]
    assert cap.low_ma is not None
    assert cap.low_ma.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(("limit_w", "left_w"), [(20_000, 13_100), (6900, 0), (1000, 0), (0, 0)])
def test_operator_limit_is_net_of_the_background(limit_w, left_w):
    table = running()
    table.state = replace(table.state, operator_limit_mw=limit_w * 1000)
    cap = say(operator_limit, table)
    assert cap.budget is not None
    assert cap.budget.tolist() == [[NO_LIMIT, NO_LIMIT, NO_LIMIT, left_w * 1000]]


def test_boot_offers_nothing_before_the_first_complete_image():
    table = running()
    table.state = replace(table.state, complete=False)
    assert high(say(boot, table)) == [0, 0, 0, 0]


def test_after_an_error_nothing_above_the_failsafe_and_no_discharge():
    table = running()
    table.state = replace(table.state, error_scans=3)
    cap = say(boot, table)
    assert cap.reason == Reason.FAILSAFE
    assert high(cap) == [6000, 0, 0, 0]
    assert cap.low_ma is not None
    assert cap.low_ma.tolist() == [0, 0, 0, 0]


def test_circuit_gives_the_budget_of_every_row():
    cap = say(circuit, running())
    assert cap.budget is not None
    assert cap.budget[0, :3].tolist() == [53_000, 53_000, 53_000]


def test_state_a_is_offered_nothing():
    assert [v == 0 for v in high(say(no_car, running()))] == [False, True, False, False]


@pytest.mark.parametrize(
    ("pilot", "zero"), [(Pilot.E, True), (Pilot.F, True), (Pilot.C2, False), (Pilot.UNKNOWN, False)]
)
def test_faults_stop_a_charger(pilot, zero):
    table = running()
    assert (high(say(fault, table, pilot=np.array([int(pilot), 0, -1, -1])))[0] == 0) == zero


@pytest.mark.parametrize(("silent_s", "amps"), [(5.0, 16.0), (29.0, 16.0), (31.0, 6.0), (500.0, 6.0)])
def test_an_unreachable_charger_keeps_its_offer_for_thirty_seconds(silent_s, amps):
    table = running()
    lost_s = table.state.ledger.lost_s.copy()
    lost_s[0] = table.now_s - silent_s
    state(table, "ledger", lost_s=lost_s)
    assert high(say(unreachable, table))[0] == amps * 1000


def test_an_unreachable_battery_stops():
    table = running()
    lost_s = table.state.ledger.lost_s.copy()
    lost_s[2] = table.now_s - 5.0
    state(table, "ledger", lost_s=lost_s, offer_ma=np.array([16_000, 0, 9000, 0]))
    cap = say(unreachable, table)
    assert high(cap)[2] == 0
    assert cap.low_ma is not None
    assert cap.low_ma[2] == 0


def test_declared_off_is_zero():
    assert high(say(declared_off, running(), declared_off=np.array([True, False, False, False])))[0] == 0


def test_a_disobeying_car_is_paused():
    table = running()
    until = table.state.obedience.paused_until_s.copy()
    until[0] = table.now_s + 1
    state(table, "obedience", paused_until_s=until)
    assert high(say(obedience, table))[0] == 0


def test_a_lent_offer_has_a_ceiling():
    table = running()
    state(table, "lending", ceiling_ma=np.array([9000, NO_LIMIT, NO_LIMIT, NO_LIMIT]))
    assert high(say(lent, table))[0] == 9000


def test_a_switching_charger_is_offered_nothing():
    table = running()
    state(table, "switching", step=np.array([2, 0, 0, 0]))
    assert high(say(phase_switching, table))[0] == 0


def test_protection_stages():
    table = running()
    state(table, "protection", level=np.array([1]))
    assert high(say(protection_reduce, table))[0] == 6000
    state(table, "protection", level=np.array([2]))
    assert high(say(protection_pause, table))[:2] == [0, 0], "the tier in use, and no lower one may start"
    table.plug("e1").after(seconds=20)
    state(table, "protection", level=np.array([2]))
    assert high(say(protection_pause, table))[:2] == [NO_LIMIT, 0]
    state(table, "protection", level=np.array([3]))
    assert high(say(protection_stop, table)) == [0, 0, 0, 0]


def test_n_minus_1_leaves_room_for_one_car_on_all_its_wires():
    """63 A gG: 91.35 A - background 10 - 16 of the largest car that was learned not to use L2 and L3."""
    table = running()
    state(table, "learning", use=np.array([[1, 0, 0], [1, 1, 1], [1, 1, 1], [1, 1, 1]]))
    cap = say(n_minus_1, table)
    assert cap.budget is not None
    assert cap.budget.tolist() == [[NO_LIMIT, 65_350, 65_350, NO_LIMIT]]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_rule_contains_zero_in_every_weather(rule):
    """Intervals contain 0 and budgets are not negative, whatever the image says."""
    table = running()
    for fire_input in (-1, 0, 1):
        for pilot in range(-1, 9):
            for level in range(4):
                state(table, "protection", level=np.array([level]))
                table.state = replace(table.state, operator_limit_mw=(MISSING, 0, 5_000_000)[level % 3])
                cap = say(rule, table, fire=fire_input, pilot=np.full(4, pilot), operator_stop=level == 3)
                assert cap.high_ma is None or (cap.high_ma >= 0).all()
                assert cap.low_ma is None or (cap.low_ma <= 0).all()
                assert cap.budget is None or (cap.budget >= 0).all()


def test_every_rule_has_a_sentence_of_its_own():
    table = running()
    reasons = [say(rule, table).reason for rule in RULES]
    assert len(set(reasons)) == len(RULES)


@pytest.mark.parametrize(
    ("rule", "who", "reason", "highs"),
    [
        (other_device, Identity.OTHER, Reason.OTHER_DEVICE, [6000, 0, 0, 0]),
        (unproven_device, Identity.UNPROVEN, Reason.UNPROVEN_DEVICE, [16_000, 0, 0, 0]),
    ],
)
def test_another_device_is_held_at_failsafe_and_an_unproven_one_at_its_last_offer(rule, who, reason, highs):
    table = running()
    cap = say(rule, table, identity=np.full(4, int(who)))
    assert (cap.reason, high(cap)) == (reason, highs)
    assert cap.low_ma is not None
    assert [int(v) for v in cap.low_ma] == [-NO_LIMIT, -NO_LIMIT, 0, -NO_LIMIT]
    for other in set(Identity) - {who}:
        assert high(say(rule, table, identity=np.full(4, int(other)))) == [NO_LIMIT] * 4
