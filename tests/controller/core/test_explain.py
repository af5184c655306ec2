"""Exactly one reason for every current, and a named row where the sentence names one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from interfaces.domain.image import Fire, Pilot
from interfaces.domain.reasons import SENTENCES, Reason, sentence
from interfaces.domain.units import MISSING
from tests.controller.core.table import Table, branch, evse, garage, gcp, site

QUIET = {"background_max_a": (0.0, 0.0, 0.0)}


def test_every_reason_has_a_sentence_and_stable_number():
    assert set(SENTENCES) == set(Reason)
    assert [int(reason) for reason in (Reason.FIRE, Reason.ALARM_GUARD)] == [27, 100]
    assert "L2" in sentence(Reason.CIRCUIT, circuit="a", phase="L2")


def one(**facts) -> Table:
    return Table(garage(1, **facts)).plug("e0").after(seconds=90)


def test_no_car():
    assert Table(garage(1)).after(seconds=90).reason("e0") == Reason.NO_CAR


def test_gets_all_it_asks_for():
    assert one().reason("e0") == Reason.WISH


def test_shares_a_circuit_and_names_the_row():
    table = Table(site([gcp(40.0, **QUIET), branch("b", "gcp", 20.0)], [evse("e0", "b"), evse("e1", "b")]))
    table.plug("e0", "e1").after(seconds=90).expect(e0=10, e1=10)
    assert table.reason("e0") == Reason.CIRCUIT
    assert table.binding("e0") == ("b", 0)


def test_shares_a_power_limit():
    table = Table(site([gcp(63.0, max_import_w=13_800.0, **QUIET)], [evse("e0"), evse("e1")]))
    table.plug("e0", "e1").after(seconds=90).expect(e0=10, e1=10)
    assert table.reason("e1") == Reason.CIRCUIT_POWER
    assert table.binding("e1") == ("gcp", 3)


def test_the_phase_that_binds_is_named():
    table = Table(garage(1)).load("gcp", 0, 0, 52).plug("e0").after(seconds=90).expect(e0=11)
    assert table.binding("e0") == ("gcp", 2)


def test_queued_names_the_row_without_room():
    table = Table(garage(1)).load("gcp", 0, 60, 0).plug("e0").after(seconds=90).expect(e0=0)
    assert table.reason("e0") == Reason.QUEUED
    assert table.binding("e0") == ("gcp", 1)


def test_waiting_for_the_ledger_names_the_row():
    table = Table(site([gcp(20.0, **QUIET)], [evse("e0"), evse("e1")])).plug("e0").after(seconds=90)
    table.plug("e1").after(scans=3)
    assert table.reason("e1") == Reason.LEDGER_WAIT
    assert table.binding("e1") == ("gcp", 0)


def test_rounded_down():
    table = Table(garage(1, max_a=16.7)).plug("e0").after(seconds=90).expect(e0=16)
    assert table.reason("e0") in {Reason.STEP, Reason.WISH}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"fire": int(Fire.ACTIVE)}, Reason.FIRE),
        ({"operator_stop": True}, Reason.OPERATOR_STOP),
        ({"pilot": np.array([int(Pilot.F)])}, Reason.EVSE_FAULT),
        ({"declared_off": np.array([True])}, Reason.DECLARED_OFF),
    ],
)
def test_stops_name_who_stopped(fields, reason):
    assert one().put(**fields).after(scans=1).reason("e0") == reason


def test_the_highest_authority_is_named_when_several_stop():
    """Fire and operator both say 0; either is true, the answer is always the same one."""
    table = one().put(fire=int(Fire.ACTIVE), operator_stop=True).after(scans=1)
    assert table.reason("e0") == Reason.FIRE


def test_unreachable():
    table = one()
    table.silent.add("e0")
    assert table.after(seconds=5).reason("e0") == Reason.UNREACHABLE


def test_a_silent_meter_is_named_where_its_worst_case_binds():
    table = Table(site([gcp(24.0)], [evse("e0"), evse("e1")])).plug("e0", "e1").after(seconds=90).expect(e0=12, e1=12)
    table.silent_meters.add("gcp")
    while table.amps("e0") > 0.0:
        table.after(scans=1)
    table.expect(e0=0, e1=0)
    assert table.reason("e0") == Reason.STALE_METER
    assert table.binding("e0") == ("gcp", 0)


def reasons_hold(table: Table) -> None:
    """What must be true of the reasons of any scan."""
    topology, commands = table.topology, table.commands
    for i, asset in enumerate(topology.assets):
        reason, row = Reason(int(commands.reason[i])), int(commands.binding[i])
        assert 0 < reason < 100, asset.id
        below = commands.setpoint_ma[i] < min(int(commands.wish_ma[i]), int(topology.max_ma[i]))
        if below:
            assert reason not in {Reason.NONE, Reason.WISH}, (asset.id, commands.setpoint_ma[i], commands.wish_ma[i])
        if "{circuit}" in SENTENCES[reason]:
            assert row >= 0, (asset.id, reason.name, commands.setpoint_ma[i], commands.wish_ma[i])
        if row >= 0:
            assert row // 4 in topology.chain[i], (asset.id, reason.name)
        if "{phase}" in SENTENCES[reason] and row % 4 < 3:
            assert topology.wired[i, row % 4], (asset.id, reason.name)


@pytest.mark.parametrize("seed", range(6))
def test_invariant_21_reasons_hold_through_a_stormy_hour(seed):
    """Cars come and go, loads jump, devices fall silent: always one reason, and a row where one is named."""
    rng = np.random.default_rng(seed)
    circuits = [gcp(50.0), branch("a", "gcp", 25.0), branch("b", "gcp", 32.0, meter="m2", max_import_w=9000.0)]
    places = [
        evse("e0", "a"),
        evse("e1", "a", phases=(1,), step_a=0.1),
        evse("e2", "b", phases=(2, 0, 1), min_a=8.0, failsafe_a=8.0),
        evse("e3", "b", phase_switching=True, tier=2),
        evse("e4", phases=(0, 1), max_a=32.0, never_pause=True),
    ]
    table = Table(site(circuits, places), scan_s=1.0)
    names = [a.id for a in places]
    for _ in range(60):
        what = int(rng.integers(0, 12))
        name = names[int(rng.integers(0, len(names)))]
        if what < 4:
            table.plug(name, wires=int(rng.integers(1, 4)), max_a=float(rng.integers(6, 33)))
        elif what == 4:
            table.unplug(name)
        elif what == 5:
            table.silent ^= {name}
        elif what == 6:
            table.silent_meters ^= {("gcp", "b")[int(rng.integers(0, 2))]}
        elif what == 7:
            table.put(operator_limit_mw=int(rng.choice([MISSING, 0, 5_000_000, 1 << 55])))
        elif what == 8:
            table.put(late_in_a_row=int(rng.integers(0, 5)))
        else:
            table.load(("gcp", "b")[int(rng.integers(0, 2))], *rng.uniform(-5, 40, 3))
        for _ in range(int(rng.integers(1, 30))):
            table.after(scans=1)
            reasons_hold(table)


def test_an_error_overrides_the_reason():
    table = one()
    table.state = replace(table.state, error_scans=2)
    assert table.after(scans=1).reason("e0") == Reason.FAILSAFE
