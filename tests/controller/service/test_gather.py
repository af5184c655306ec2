"""The image: order of the topology, frozen copies, and bad readings that age instead of lying."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from controller.service.gather import Gather, Inputs, sources_of
from interfaces.domain.image import FailsafeProof, Fire, Pilot
from interfaces.domain.units import MISSING, NEVER_S
from interfaces.drivers.readings import GOOD, OUT_OF_RANGE, PointReading, Sample
from interfaces.drivers.wiring import wires_of
from tests.controller.service.kit import (
    METER,
    PLACE_1,
    PLACE_2,
    charger_reading,
    garage_setup,
    meter_reading,
    with_sample,
)


def gatherer() -> Gather:
    setup = garage_setup()
    return Gather(setup.params.topology, sources_of(setup.params.topology, wires_of(setup.site)))


def test_nothing_read_is_all_missing():
    image = gatherer().image({}, Inputs())
    assert (image.meter_ma == MISSING).all()
    assert (image.asset_ma == MISSING).all()
    assert (image.reply_s == NEVER_S).all()
    assert (image.meter_sample_s == NEVER_S).all()
    assert image.pilot.tolist() == [Pilot.UNKNOWN, Pilot.UNKNOWN]
    assert image.failsafe_proof.tolist() == [FailsafeProof.UNREADABLE] * 2
    assert image.fire == Fire.INACTIVE


def test_columns_stand_in_the_order_of_the_topology_and_phases_of_the_site_file():
    index = garage_setup().params.topology.index
    one, two = charger_reading(50.0, 6000, 6.0), charger_reading(51.0, 8000, 8.0, pilot="A")
    one = with_sample(one, "current_l1_a", Sample(7.0, 50.0, GOOD, 1))
    image = gatherer().image({METER: meter_reading(49.0, 4), PLACE_1: one, PLACE_2: two}, Inputs())
    assert image.asset_ma[index[PLACE_1]].tolist() == [6000, 7000, 6000], "L1 of the charger sits on L2 of the grid"
    assert image.asset_ma[index[PLACE_2]].tolist() == [8000, 8000, 8000]
    assert image.offered_ma[index[PLACE_2]] == 8000
    assert image.pilot[index[PLACE_2]] == Pilot.A
    assert image.meter_ma[0].tolist() == [5000, 5000, 5000]
    assert image.meter_sample_no[0] == 4
    assert (image.meter_ma[1] == MISSING).all(), "the garage circuit has no meter"


def test_an_image_never_changes_afterwards():
    gather = gatherer()
    image = gather.image({METER: meter_reading(49.0, 1, 5.0)}, Inputs())
    before = image.meter_ma.copy()
    gather.image({METER: meter_reading(50.0, 2, 9.0)}, Inputs())
    assert (image.meter_ma == before).all()
    with pytest.raises(ValueError, match="read-only"):
        image.meter_ma[0, 0] = 1


def test_row_46_a_broken_meter_reading_is_held_with_its_old_time_and_ages():
    gather = gatherer()
    gather.image({METER: meter_reading(49.0, 1, 5.0)}, Inputs())
    broken = with_sample(meter_reading(52.0, 2, 5.0), "current_l3_a", Sample(5.0, 49.0, OUT_OF_RANGE, 1))
    image = gather.image({METER: broken}, Inputs())
    assert image.meter_ma[0].tolist() == [5000, 5000, 5000]
    assert image.meter_sample_s[0] == 49.0
    assert image.meter_sample_no[0] == 1
    good = gather.image({METER: meter_reading(53.0, 3, 6.0)}, Inputs())
    assert (good.meter_sample_s[0], good.meter_ma[0, 0]) == (53.0, 6000)


def belgian(at_s: float, number: int, **roles: float) -> PointReading:
    reading = meter_reading(at_s, number, 5.0)
    for role, value in roles.items():
        reading = with_sample(reading, role, Sample(value, at_s, GOOD, number))
    return reading


def test_the_registers_of_a_capacity_tariff_belong_to_the_sample_that_had_them():
    gather = gatherer()
    plain = gather.image({METER: meter_reading(48.0, 1)}, Inputs())
    assert (plain.quarter_mw, plain.quarter_left_ms, plain.month_peak_mw) == (MISSING, MISSING, MISSING)
    told = belgian(49.0, 2, demand_quarter_w=2351.0, quarter_left_s=833, demand_month_peak_w=5980.0)
    image = gather.image({METER: told}, Inputs())
    assert (image.quarter_mw, image.quarter_left_ms, image.month_peak_mw) == (2_351_000, 833_000, 5_980_000)
    stale = replace(belgian(52.0, 3, demand_month_peak_w=5980.0), roles={**told.roles, **meter_reading(52.0, 3).roles})
    assert gather.image({METER: stale}, Inputs()).quarter_mw == MISSING, "of 3 s before the sample"
    zero = belgian(53.0, 4, demand_quarter_w=0.0, quarter_left_s=900, demand_month_peak_w=0.0)
    assert gather.image({METER: zero}, Inputs()).quarter_mw == 0, "0 W is not absent"
    absurd = belgian(54.0, 5, demand_quarter_w=1e12, quarter_left_s=900, demand_month_peak_w=float("nan"))
    image = gather.image({METER: absurd}, Inputs())
    assert (image.quarter_mw, image.month_peak_mw) == (MISSING, MISSING)


def test_row_30_a_phantom_current_of_one_charger_changes_no_other_column():
    gather = gatherer()
    both = {PLACE_1: charger_reading(50.0, 6000, 6.0), PLACE_2: charger_reading(50.0, 6000, 6.0)}
    index = garage_setup().params.topology.index
    before = gather.image(both, Inputs())
    phantom = with_sample(charger_reading(51.0, 6000, 6.0), "current_l2_a", Sample(1e30, 51.0, GOOD, 2))
    after = gather.image({**both, PLACE_1: phantom}, Inputs())
    assert after.asset_ma[index[PLACE_1]].tolist() == [6000, 6000, 6000]
    assert after.asset_sample_s[index[PLACE_1]] == 50.0
    assert after.reply_s[index[PLACE_1]] == 51.0
    assert (after.asset_ma[index[PLACE_2]] == before.asset_ma[index[PLACE_2]]).all()


def test_inputs_and_declarations_reach_their_columns():
    index = garage_setup().params.topology.index
    image = gatherer().image(
        {}, Inputs(operator_limit_mw=5, operator_stop=True, declared_off=frozenset({PLACE_1}), clock_trusted=False)
    )
    assert image.declared_off[index[PLACE_1]]
    assert not image.declared_off[index[PLACE_2]]
    assert (image.operator_limit_mw, image.operator_stop, image.clock_trusted) == (5, True, False)


def test_a_lost_connection_keeps_the_last_values_and_times():
    gather = gatherer()
    first = gather.image({PLACE_1: charger_reading(50.0, 6000, 6.0)}, Inputs())
    gone = PointReading(connected=False, problem="refused", roles=charger_reading(50.0, 6000, 6.0).roles, reply_s=50.0)
    second = gather.image({PLACE_1: gone}, Inputs())
    assert np.array_equal(first.asset_ma, second.asset_ma)
    assert np.array_equal(first.reply_s, second.reply_s)
