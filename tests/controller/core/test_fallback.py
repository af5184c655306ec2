"""The local strategy: least laxity first, surplus first, cheap hours when there is time; else fair shares."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from controller.core.fallback import cheap_now, price_slot
from controller.core.params import Params
from interfaces.domain.reasons import Reason
from interfaces.domain.targets import Target, Targets
from tests.controller.core.table import EPOCH_S, Table, evse, gcp, site

QUIET = {"background_max_a": (0.0, 0.0, 0.0)}
HOUR_S = 3600


def targets(*wanted: Target, prices: Any = (), sequence: int = 1) -> Targets:
    return Targets(sequence, EPOCH_S, wanted, EPOCH_S, 900, np.array(prices, dtype=np.float64))


def want(name: str, hours: float, kwh: float, **facts: Any) -> Target:
    return Target(name, EPOCH_S + hours * HOUR_S, int(kwh * 1000), **facts)


def table(rated_a: float = 63.0, scan_s: float = 5.0, count: int = 2, **params: Any) -> Table:
    topology = site([gcp(rated_a, **QUIET)], [evse(f"e{k}") for k in range(count)])
    return Table(topology, scan_s=scan_s, params=Params(topology, **params))


# -- prices -----------------------------------------------------------------------------------------------------------


def test_price_steps_are_counted_from_their_start():
    known = targets(prices=[0.1, 0.2, 0.3])
    assert [price_slot(known, EPOCH_S + s) for s in (-1, 0, 899, 900, 2699, 2700)] == [-1, 0, 0, 1, 2, -1]
    assert price_slot(None, EPOCH_S) == -1
    assert price_slot(Targets(1, EPOCH_S, (), EPOCH_S, 0, np.zeros(3)), EPOCH_S) == -1


@pytest.mark.parametrize(
    ("prices", "need_s", "cheap"),
    [
        ([0.3, 0.2, 0.1, 0.1], 900, False),
        ([0.3, 0.2, 0.1, 0.1], 3600, True),
        ([0.1, 0.2, 0.1, 0.1], 900, True),
        ([0.2, 0.2, 0.1, 0.1], 2700, True),
        ([-0.1, 0.2, 0.1, 0.1], 900, True),
        ([0.0, -0.1, -0.2, 0.1], 1800, False),
    ],
)
def test_now_is_cheap_when_it_is_among_the_cheapest_steps_that_suffice(prices, need_s, cheap):
    assert cheap_now(targets(prices=prices), EPOCH_S, EPOCH_S + 3600, need_s) == cheap


def test_prices_after_the_departure_do_not_count():
    known = targets(prices=[0.3, 0.3, 0.01, 0.01])
    assert cheap_now(known, EPOCH_S, EPOCH_S + 1800, 900)


def test_a_car_with_time_waits_for_the_cheap_hours():
    prices = [0.40] * 16 + [0.05] * 16
    here = table().put(targets=targets(want("e0", 8, 11), prices=prices)).plug("e0").after(seconds=300).expect(e0=0)
    assert here.reason("e0") == Reason.CHEAPER_LATER
    here.scan_s = 30.0
    here.after(seconds=4 * HOUR_S - 600).expect(e0=0)
    here.after(seconds=600)
    assert here.amps("e0") > 0


def test_a_car_without_time_charges_at_any_price():
    prices = [0.40] * 4 + [0.05] * 40
    table().put(targets=targets(want("e0", 1.2, 11), prices=prices)).plug("e0").after(seconds=60).expect(e0=16)


def test_a_car_that_may_not_be_deferred_charges_at_once():
    prices = [0.40] * 16 + [0.05] * 16
    wanted = targets(want("e0", 8, 11, deferrable=False), prices=prices)
    table().put(targets=wanted).plug("e0").after(seconds=60).expect(e0=16)


def test_a_car_running_in_a_price_step_runs_to_its_end():
    """A new minute does not interrupt it."""
    prices = [0.05, 0.40, 0.40, 0.05] * 12
    here = table().put(targets=targets(want("e0", 10, 10), prices=prices)).plug("e0").after(seconds=30)
    assert here.amps("e0") > 0
    here.after(seconds=840)
    on = np.array(here.setpoints)[7:, 0] > 0
    assert on.all()
    here.after(seconds=120).expect(e0=0)


def test_a_car_that_has_what_it_asked_for_stops():
    here = table().put(targets=targets(want("e0", 10, 1.0))).plug("e0").after(seconds=900).expect(e0=0)
    assert here.reason("e0") == Reason.TARGET_REACHED
    assert 1000 <= here.state.sessions.energy_mws[0] / 3.6e6 <= 1250


def test_nobody_with_a_target_is_late_for_the_price():
    """Cheapest hours first, but the energy is there at departure."""
    prices = list(0.2 + 0.1 * np.sin(np.arange(40)))
    here = table(scan_s=10.0).put(targets=targets(want("e0", 9, 20), prices=prices)).plug("e0")
    here.after(seconds=9 * HOUR_S)
    assert here.state.sessions.energy_mws[0] / 3.6e9 >= 19.9


def test_who_waits_for_the_cheap_hour_knows_that_others_wait_for_it_too():
    """Four cars on a connection for one and three quarters of them: the two cheap hours alone would not do."""
    prices = [0.40] * 12 + [0.05] * 8
    wanted = targets(*(want(f"e{k}", 5, 16) for k in range(4)), prices=prices)
    here = table(28.0, scan_s=10.0, count=4).put(targets=wanted).plug("e0", "e1", "e2", "e3")
    here.after(seconds=5 * HOUR_S)
    assert (here.state.sessions.energy_mws / 3.6e9 >= 15.9).all()


# -- who first --------------------------------------------------------------------------------------------------------


def test_least_laxity_first():
    """Room for one car at 16 A: the one that leaves in an hour gets it all, the one with all night its minimum."""
    wanted = targets(want("e0", 10, 10), want("e1", 1.0, 10))
    table(22.0).put(targets=wanted).plug("e0", "e1").after(seconds=200).expect(e0=6, e1=16)


def test_equal_shares_without_targets():
    table(22.0).plug("e0", "e1").after(seconds=200).expect(e0=11, e1=11)


def test_targets_can_be_switched_off():
    wanted = targets(want("e0", 10, 10), want("e1", 1.0, 10))
    table(22.0, use_targets=False).put(targets=wanted).plug("e0", "e1").after(seconds=200).expect(e0=11, e1=11)


def test_without_a_trusted_clock_targets_mean_nothing():
    wanted = targets(want("e0", 10, 10), want("e1", 1.0, 10))
    here = table(22.0).put(targets=wanted, clock_trusted=False).plug("e0", "e1").after(seconds=200)
    here.expect(e0=11, e1=11)


def test_a_target_bound_to_a_card_is_only_for_that_card():
    prices = [0.40] * 16 + [0.05] * 16
    wanted = targets(want("e0", 8, 11, tag="A"), prices=prices)
    table().put(targets=wanted, tag=("B", None)).plug("e0").after(seconds=60).expect(e0=16)
    table().put(targets=wanted, tag=("A", None)).plug("e0").after(seconds=60).expect(e0=0)


# -- surplus ----------------------------------------------------------------------------------------------------------


def sunny(**facts: Any) -> Table:
    prices = [0.40] * 16 + [0.05] * 16
    wanted = targets(want("e0", 8, 11), want("e1", 7.9, 11), prices=prices)
    return table().put(targets=wanted).plug("e0", "e1")


def test_surplus_feeds_waiting_cars_least_laxity_first():
    """9 A of export on three phases feed one car; the other would get less than its minimum."""
    here = sunny().load("gcp", -9).after(seconds=200).expect(e0=0, e1=9)
    assert here.reason("e1") == Reason.SURPLUS_ONLY
    assert here.reason("e0") == Reason.CHEAPER_LATER


def test_surplus_for_two():
    sunny().load("gcp", -24).after(seconds=200).expect(e0=8, e1=16)


def test_no_surplus_no_charging():
    sunny().load("gcp", -5).after(seconds=200).expect(e0=0, e1=0)


def test_a_cloud_does_not_switch_a_car_off_in_its_first_five_minutes():
    """Invariant 17: surplus that comes and goes every two minutes wears no contactor."""
    here = sunny().load("gcp", -9)
    for k in range(15):
        here.load("gcp", -9 if k % 2 == 0 else -1).after(seconds=120)
    on = np.array(here.setpoints)[:, 1] > 0
    edges = np.flatnonzero(np.diff(on.astype(int)))
    starts = [k for k in edges if on[k + 1]]
    runs = [(b - a) * 5.0 for a, b in ((a, min((e for e in edges if e > a), default=len(on))) for a in starts)]
    assert runs
    assert all(run >= 300.0 for run in runs[:-1]), runs
