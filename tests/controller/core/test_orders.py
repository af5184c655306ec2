"""What people order of single chargers reaches the cars, says so, and raises nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from controller.core.fallback import PRICES_MOST_S, WISHES_MOST_S, usable_targets
from controller.core.params import Params
from controller.core.tally import NOTHING_YET, tally_after
from interfaces.domain.orders import Orders
from interfaces.domain.reasons import Reason, sentence
from interfaces.domain.targets import Target, Targets
from interfaces.domain.units import MISSING, NEVER_S
from tests.controller.core.table import EPOCH_S, START_S, Table, evse, gcp, site
from tests.controller.core.test_follow import QUIET, balanced, table


def orders(n: int = 2, **columns: Any) -> Orders:
    """Columns by name, as lists; limits in A."""
    limit = [MISSING if a is None else int(a * 1000) for a in columns.get("limit_a", [None] * n)]
    return Orders(
        limit_ma=np.array(limit, dtype=np.int64),
        paused=np.array(columns.get("paused", [False] * n)),
        out_of_service=np.array(columns.get("out_of_service", [False] * n)),
        solar=np.array(columns.get("solar", [False] * n)),
        charge_now_s=np.array(columns.get("charge_now_s", [NEVER_S] * n)),
    )


def test_a_limit_holds_and_says_whose_it_is():
    here = table().put(orders=orders(limit_a=[9.0, None])).after(seconds=10).expect(e0=9, e1=16)
    assert here.reason("e0") == Reason.ORDERED_LIMIT
    assert "operator's command" in sentence(here.reason("e0"))
    here.put(orders=None).after(seconds=10).expect(e0=16)


@pytest.mark.parametrize(("limit_a", "amps"), [(0.0, 0.0), (5.9, 0.0), (6.0, 6.0), (400.0, 16.0)])
def test_a_limit_below_the_minimum_is_a_pause_and_one_above_the_rating_is_none(limit_a, amps):
    table().put(orders=orders(limit_a=[limit_a, None])).after(seconds=10).expect(e0=amps, e1=16)


@pytest.mark.parametrize(
    ("column", "reason"), [("paused", Reason.ORDERED_PAUSE), ("out_of_service", Reason.OUT_OF_SERVICE)]
)
def test_a_pause_is_obeyed_at_once_and_taken_back_without_a_wait(column, reason):
    columns: dict[str, Any] = {column: [True, False]}
    here = table().put(orders=orders(**columns)).after(scans=1).expect(e0=0, e1=16)
    assert here.reason("e0") == reason
    here.after(seconds=60).put(orders=None).after(seconds=40).expect(e0=16)
    assert here.state.timers.limit_pauses[0] == 0, "no pause by a limit: it lengthens no off time"


def test_an_operator_stop_is_named_before_an_order():
    here = table().put(orders=orders(paused=[True, True]), operator_stop=True).after(seconds=3)
    assert here.reason("e0") == Reason.OPERATOR_STOP


def test_orders_never_raise_a_limit():
    everything = orders(limit_a=[400.0, 400.0], charge_now_s=[START_S + 60, START_S + 60])
    here = table(20.0).put(orders=everything).after(seconds=60).expect(e0=10, e1=10)
    assert here.over_limit_s.sum() == 0


def dear_now() -> Targets:
    """Time enough, and cheap hours later: by the fallback both wait."""
    prices = np.array([0.40] * 8 + [0.05] * 40)
    wanted = tuple(Target(name, EPOCH_S + 11 * 3600, 9000) for name in ("e0", "e1"))
    return Targets(1, EPOCH_S, wanted, EPOCH_S, 900, prices)


def waiting() -> Table:
    topology = site([gcp(63.0, **QUIET)], [evse("e0"), evse("e1")])
    here = Table(topology, scan_s=1.0, params=Params(topology)).put(targets=dear_now())
    return here.plug("e0", "e1").after(seconds=30).expect(e0=0, e1=0)


def test_charge_now_waits_for_no_cheaper_hour_and_ends_with_its_session():
    here = waiting()
    here.put(orders=orders(charge_now_s=[here.now_s, NEVER_S])).after(seconds=20).expect(e0=16, e1=0)
    here.unplug("e0").after(seconds=30).plug("e0").after(seconds=60).expect(e0=0)
    assert here.reason("e0") == Reason.CHEAPER_LATER


def test_charge_now_goes_before_the_plan():
    here = table(scan_s=1.0).put(plan=balanced([[6, 6]])).after(seconds=40).expect(e0=6)
    here.put(orders=orders(charge_now_s=[here.now_s, NEVER_S])).after(seconds=40).expect(e0=16, e1=6)


def test_solar_mode_follows_the_sun_and_not_the_plan():
    here = table().put(orders=orders(solar=[True, False]), plan=balanced([[16, 10]])).after(seconds=400)
    here.expect(e0=0, e1=10)
    assert here.reason("e0") == Reason.SURPLUS_ONLY
    here.load("gcp", -12).after(seconds=150)
    assert 6 <= here.amps("e0") <= 12, "what the sun gives"
    here.put(orders=None).after(seconds=60).expect(e0=16)


# -- targets age ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age_s", "wishes", "prices", "why"),
    [
        (0.0, True, True, ""),
        (WISHES_MOST_S - 1, True, True, ""),
        (WISHES_MOST_S, False, True, "36 h"),
        (PRICES_MOST_S, False, False, "two days"),
        (-3600.0, False, False, "future"),
    ],
)
def test_targets_and_prices_age_out_each_in_its_time_and_say_why(age_s, wishes, prices, why):
    found, refused = usable_targets(dear_now(), table().params, clock_trusted=True, epoch_s=EPOCH_S + age_s)
    assert bool(found is not None and found.targets) is wishes
    assert bool(found is not None and found.price_eur_per_kwh.size) is prices
    assert why in refused
    assert bool(why) is bool(refused)


def test_without_a_trusted_clock_no_departure_and_no_price_is_used():
    here = waiting().put(clock_trusted=False).after(seconds=90).expect(e0=16, e1=16)
    assert "clock" in here.state.mission.targets_refused


def test_old_targets_are_dropped_without_a_step():
    old = replace(dear_now(), issued_epoch_s=EPOCH_S - PRICES_MOST_S + 150)
    topology = site([gcp(63.0, **QUIET)], [evse("e0"), evse("e1")])
    here = Table(topology, scan_s=1.0, params=Params(topology)).put(targets=replace(old, issued_epoch_s=EPOCH_S))
    here.plug("e0", "e1").after(seconds=30).expect(e0=0, e1=0)
    here.put(targets=replace(old, sequence=2)).after(seconds=300).expect(e0=16, e1=16)
    path = np.array(here.setpoints[-300:])
    assert np.diff(path, axis=0).max() <= 6000
    assert "two days" in here.state.mission.targets_refused


# -- counted ----------------------------------------------------------------------------------------------------------


def test_switches_are_counted_with_the_time_without_a_plan_and_the_largest_step():
    here = table()
    tally = NOTHING_YET
    for told in (balanced([[6, 6]]), None, balanced([[6, 6]], sequence=2)):
        here.put(plan=told)
        for _ in range(60):
            before = here.state
            here.after(scans=1)
            tally = tally_after(tally, before, here.state, here.commands, here.seen, here.topology, here.now_s)
    assert tally.switches == 3
    assert tally.fallback_s == pytest.approx(70.0), "60 s without, 10 s until it is followed again"
    assert tally.max_step_w == pytest.approx(5 * 690)


def test_what_a_circuit_takes_in_the_middle_of_a_switch_is_no_step_of_the_switch():
    here = table().put(plan=balanced([[6, 6]])).after(seconds=40).put(plan=None)
    tally = NOTHING_YET
    for k in range(30):
        if k == 10:
            here.load("gcp", 45)
        before = here.state
        here.after(scans=1)
        tally = tally_after(tally, before, here.state, here.commands, here.seen, here.topology, here.now_s)
    assert min(here.amps("e0"), here.amps("e1")) < 10
    assert tally.max_step_w <= 5 * 690
