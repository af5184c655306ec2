"""How far each protective device is on its way to opening: numbers from the standards, not from the code."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from controller.core.params import THETA_ONE, Params
from controller.core.protection import rate_table
from controller.core.state import initial, retained_of
from interfaces.domain.reasons import Reason
from interfaces.domain.topology import Protection
from interfaces.domain.units import MISSING
from tests.controller.core.table import EPOCH_S, START_S, Table, evse, gcp, site

# Melting times of NH gG links with 10 % current tolerance: multiple of In -> seconds (rows of the makers' curves).
GG_SECONDS = {
    (25, 4.05): 5,
    (25, 2.46): 120,
    (50, 2.20): 600,
    (63, 4.83): 5,
    (63, 3.54): 30,
    (63, 2.05): 600,
    (80, 4.69): 10,
    (100, 3.13): 60,
    (125, 2.88): 120,
    (160, 1.95): 600,
    (200, 5.80): 5,
    (250, 3.37): 60,
}
# Read elsewhere on the same curves: never more patience than the fuse has.
GG_AT_LEAST = {(63, 1.45): 3707, (63, 1.6): 2234, (63, 2.0): 692, (63, 2.5): 208, (63, 3.0): 76, (160, 1.45): 2115}


def seconds(kind: str, rated: float, multiple: float, holds: float | None = None) -> float:
    """Seconds to trip at a multiple of In according to the table."""
    rate = rate_table(kind, rated, holds)[round(multiple * 100)]
    return math.inf if rate == 0 else THETA_ONE / rate


@pytest.mark.parametrize("point", GG_SECONDS)
def test_gg_curve_goes_through_the_makers_points(point):
    assert seconds("gG", *point) == pytest.approx(GG_SECONDS[point], rel=0.01)


@pytest.mark.parametrize("point", GG_AT_LEAST)
def test_gg_curve_is_never_slower_than_the_fuse(point):
    assert seconds("gG", *point) <= GG_AT_LEAST[point] * 1.01


@pytest.mark.parametrize("rated", [20, 25, 35, 63, 100, 250, 630])
def test_gg_conventional_currents_of_iec_60269(rated):
    """1.25 In is carried through the conventional time, 1.6 In melts within it (1 h up to 63 A)."""
    assert math.isinf(seconds("gG", rated, 1.25))
    assert seconds("gG", rated, 1.6) < 3600
    times = [seconds("gG", rated, m / 100) for m in range(126, 2000)]
    assert all(later <= earlier for earlier, later in pairwise(times)), "never slower when hotter"


@pytest.mark.parametrize("rated", [20, 32, 35, 40])
def test_a_size_without_curve_is_as_quick_as_the_next_smaller(rated):
    assert seconds("gG", rated, 3.02) == pytest.approx(30.0, rel=0.01), "25 A"


@pytest.mark.parametrize(
    ("multiple", "holds", "expected_s"),
    [
        (2.55, 5.0, 5.0),
        (1.2, 5.0, 50.0),
        (1.3, 5.0, 32.0),
        (1.45, 5.0, 21.0),
        (1.6, 5.0, 16.0),
        (2.0, 5.0, 8.8),
        (2.55, 1.0, 1.0),
        (1.45, 1.0, 4.3),
        (2.0, 1.0, 1.8),
    ],
)
def test_mcb_thermal_model(multiple, holds, expected_s):
    assert seconds("mcb", 40, multiple, holds) == pytest.approx(expected_s, rel=0.05)


def test_mcb_of_iec_60898_does_not_trip_at_1_13_and_trips_within_the_hour_at_1_45():
    assert math.isinf(seconds("mcb", 40, 1.13, 120.0))
    assert seconds("mcb", 40, 1.45, 120.0) < 3600


def test_no_curve_no_table():
    assert rate_table("mcb", 40, None) == ()
    assert rate_table("none", 40, None) == ()


# -- the accumulator in the scan --------------------------------------------------------------------------------------


def feeder(**facts) -> Table:
    """A 63 A gG connection with two cars of tier 1 and 2."""
    return Table(site([gcp(63.0, **facts)], [evse("e0"), evse("e1", tier=2)])).plug("e0", "e1").after(seconds=90)


def theta(table: Table) -> float:
    return float(table.state.protection.theta.max()) / THETA_ONE


def test_theta_grows_by_one_over_the_tripping_time():
    table = feeder().load("gcp", 2.05 * 63 - 32)
    table.cars.clear()
    table.load("gcp", 2.05 * 63 - 0.5).after(seconds=1)
    before = theta(table)
    table.after(seconds=60)
    assert theta(table) - before == pytest.approx(60 / 600, rel=0.03)


def test_stages_reduce_pause_the_lowest_tier_stop_all():
    """0.1, 0.3 and 0.5 of tripping."""
    table = feeder()
    stages = {}
    state = table.state
    for percent in (9, 11, 29, 31, 49, 51):
        warm = replace(state.protection, theta=np.full((1, 3), percent * THETA_ONE // 100))
        table.state = replace(state, protection=warm)
        table.after(scans=1)
        stages[percent] = (table.amps("e0"), table.amps("e1"))
        table.state = state
    assert stages == {9: (16, 16), 11: (6, 6), 29: (6, 6), 31: (6, 0), 49: (6, 0), 51: (0, 0)}


@pytest.mark.parametrize(
    ("percent", "name", "reason"),
    [(11, "e0", Reason.PROTECTION_REDUCE), (31, "e1", Reason.PROTECTION_PAUSE), (51, "e0", Reason.PROTECTION_STOP)],
)
def test_stages_name_their_reason_and_circuit(percent, name, reason):
    table = feeder()
    table.state = replace(
        table.state, protection=replace(table.state.protection, theta=np.full((1, 3), percent * THETA_ONE // 100))
    )
    table.after(scans=1)
    assert table.reason(name) == reason
    assert table.binding(name) == ("gcp", 0), "the sentence names a circuit"
    assert (Reason.ALARM_PROTECTION, "gcp") in table.alarms()


def test_a_stage_is_left_at_five_percent_only():
    table = feeder()
    for percent, level in ((11, 1), (9, 1), (6, 1), (4, 0), (6, 0)):
        warm = replace(table.state.protection, theta=np.full((1, 3), percent * THETA_ONE // 100))
        table.state = replace(table.state, protection=warm)
        table.after(scans=1)
        assert table.state.protection.level.tolist() == [level]


def test_theta_falls_with_ten_minutes():
    table = feeder()
    warm = replace(table.state.protection, theta=np.full((1, 3), THETA_ONE // 10))
    table.state = replace(table.state, protection=warm)
    table.after(seconds=600)
    assert theta(table) == pytest.approx(0.1 / math.e, rel=0.01)


def test_theta_does_not_fall_while_the_meter_says_nothing():
    """Missing is not 0 A: the fuse may be melting."""
    table = feeder()
    warm = replace(table.state.protection, theta=np.full((1, 3), THETA_ONE // 10))
    table.state = replace(table.state, protection=warm)
    table.put(meter_ma=np.full((1, 3), MISSING)).after(seconds=300)
    assert theta(table) == pytest.approx(0.1, rel=0.001)


def test_theta_survives_a_restart():
    table = feeder()
    warm = replace(table.state.protection, theta=np.array([[310_000_000, 0, 7]]))
    kept = retained_of(replace(table.state, protection=warm), table.params, START_S, EPOCH_S)
    again = initial(table.params, 5.0, kept)
    assert again.protection.theta.tolist() == [[310_000_000, 0, 7]]
    fresh = Table(table.topology, retained=kept).plug("e0", "e1").after(seconds=5)
    assert fresh.amps("e1") == 0.0, "the stage is in force after the restart too"


def test_export_heats_the_fuse_too():
    table = feeder()
    table.cars.clear()
    table.load("gcp", -3 * 63).after(seconds=10)
    assert theta(table) > 0.05


def test_without_a_curve_more_than_1_13_pauses_at_once_and_for_a_minute():
    circuit = gcp(63.0, protection=Protection("mcb", 63.0))
    table = Table(site([circuit], [evse("e0"), evse("e1")])).plug("e0", "e1").after(seconds=90)
    table.load("gcp", 1.10 * 63 - 32).after(scans=1)
    assert table.state.protection.level.tolist() == [0]
    table.load("gcp", 1.14 * 63 - 32).after(scans=1).expect(e0=0, e1=0)
    table.load("gcp", 0).after(seconds=50).expect(e0=0, e1=0)
    table.scan_s = 5.0
    table.after(seconds=400)
    assert table.amps("e0") > 0


def test_parameters_do_not_reset_the_accumulators():
    table = feeder()
    warm = replace(table.state.protection, theta=np.full((1, 3), 40_000_000))
    table.state = replace(table.state, protection=warm)
    table.params = Params(topology=table.topology, use_targets=False)
    table.after(scans=1)
    assert theta(table) == pytest.approx(0.04, rel=0.01)
