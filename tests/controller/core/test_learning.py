"""Which phases a car really uses, and the price of being wrong (N-1)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from interfaces.domain.image import Pilot
from interfaces.domain.reasons import Reason
from interfaces.domain.topology import Protection, kappa
from interfaces.domain.units import MISSING
from tests.controller.core.table import Table, evse, garage, gcp, site


def use(table: Table, name: str) -> list[int]:
    found: list[int] = table.state.learning.use[table.column(name)].tolist()
    return found


def one_phase_car(table: Table | None = None) -> Table:
    """A three-phase charger turned to (L2, L3, L1); its car uses the first conductor alone, L2."""
    table = Table(garage(1, phases=(1, 2, 0))) if table is None else table
    return table.plug("e0", wires=1)


def test_a_wire_is_unused_after_a_minute_without_current():
    table = one_phase_car().after(seconds=60)
    assert use(table, "e0") == [1, 1, 1]
    table.after(seconds=20)
    assert use(table, "e0") == [0, 1, 0]


def test_a_three_phase_car_keeps_all_wires():
    table = Table(garage(1)).plug("e0").after(seconds=300)
    assert use(table, "e0") == [1, 1, 1]


def test_current_on_an_unused_wire_counts_again_in_the_same_scan():
    table = one_phase_car().after(seconds=120)
    table.cars[0].wires = 3
    table.after(scans=1)
    assert use(table, "e0") == [1, 1, 1]


def test_a_new_session_starts_with_all_wires():
    table = one_phase_car().after(seconds=120).unplug("e0").after(seconds=20)
    table.plug("e0", wires=1).after(scans=2)
    assert use(table, "e0") == [1, 1, 1]


def test_a_pause_starts_with_all_wires():
    table = one_phase_car().after(seconds=120).load("gcp", 60).after(seconds=30).expect(e0=0)
    assert use(table, "e0") == [1, 1, 1]


def test_ten_minutes_without_an_answer_forget_what_was_learned():
    table = one_phase_car(Table(garage(1, phases=(1, 2, 0), failsafe_a=16.0))).after(seconds=120)
    table.silent.add("e0")
    table.after(seconds=500)
    assert use(table, "e0") == [0, 1, 0]
    table.after(seconds=200)
    assert use(table, "e0") == [1, 1, 1]


def test_less_than_four_amperes_teach_nothing():
    table = Table(garage(1)).plug("e0", wires=1, fixed_a=3.9).after(seconds=200)
    assert use(table, "e0") == [1, 1, 1]


def test_a_wire_between_half_and_one_ampere_is_neither():
    table = one_phase_car()
    table.edit = lambda image: replace(image, asset_ma=np.where(image.asset_ma == 0, 700, image.asset_ma))
    table.after(seconds=200)
    assert use(table, "e0") == [1, 1, 1]


def test_a_charger_polled_slowly_teaches_nothing():
    table = one_phase_car(Table(garage(1, poll_s=10.0, phases=(1, 2, 0)))).after(seconds=300)
    assert use(table, "e0") == [1, 1, 1]


def test_a_charger_without_meter_per_phase_teaches_nothing():
    table = one_phase_car(Table(garage(1, measures_phases=False, phases=(1, 2, 0)))).after(seconds=300)
    assert use(table, "e0") == [1, 1, 1]


def test_a_wire_that_is_not_read_is_not_unused():
    table = one_phase_car()
    table.edit = lambda image: replace(image, asset_ma=np.where(image.asset_ma == 0, MISSING, image.asset_ma))
    table.after(seconds=200)
    assert use(table, "e0") == [1, 1, 1]


def test_a_reading_that_comes_no_more_teaches_nothing():
    """One sample of one phase; then this charger's measurements stop while the others' go on."""
    table = Table(garage(2)).plug("e0", wires=1).plug("e1").after(seconds=14)
    assert table.draw_ma[0].tolist() == [6000, 0, 0]
    old = table.image

    def stuck(image):
        first = np.array([True, False])
        return replace(
            image,
            asset_ma=np.where(first[:, None], old.asset_ma, image.asset_ma),
            asset_sample_s=np.where(first, old.asset_sample_s, image.asset_sample_s),
        )

    table.edit = stuck
    table.after(seconds=200)
    assert use(table, "e0") == [1, 1, 1]


def test_only_a_charging_car_teaches():
    table = one_phase_car().put(pilot=np.array([int(Pilot.B2)])).after(seconds=200)
    assert use(table, "e0") == [1, 1, 1]


def test_a_one_phase_car_is_never_cut_for_a_phase_it_does_not_use():
    table = Table(site([gcp(63.0)], [evse("e0", phases=(0, 1, 2))])).plug("e0", wires=1).after(seconds=120)
    table.load("gcp", 10, 10, 55).after(seconds=60).expect(e0=16)


# -- N-1 --------------------------------------------------------------------------------------------------------------


def test_multiples_the_devices_carry_for_34_s():
    assert kappa(Protection("gG", 63.0)) == 1.45
    assert kappa(Protection("mcb", 40.0, "C", 5.0)) == 1.28
    assert kappa(Protection("mcb", 40.0, "C")) == 1.13
    assert kappa(None) == 1.13


def test_learning_may_not_cost_more_than_the_fuse_carries():
    """Four one-phase cars on L1 behind a 32 A fuse of unknown curve (1.13 x 32 = 36.16 A). L2 looks empty; a fifth,
    two-phase car on L2 and L3 gets only what is left if one of the four suddenly uses L2 too."""
    circuit = gcp(32.0, protection=Protection("mcb", 32.0), background_max_a=(0.0, 0.0, 0.0))
    places = [evse(f"e{k}", max_a=32.0) for k in range(2)]
    table = Table(site([circuit], [*places, evse("last", phases=(1, 2), max_a=32.0)]))
    table.plug("e0", "e1", wires=1, max_a=8.0).after(seconds=200)
    assert use(table, "e0") == [1, 0, 0]
    table.plug("last").after(seconds=200)
    room = 1.13 * 32 - 32
    assert table.amps("last") <= room or table.amps("last") == 0
    assert table.reason("last") in {Reason.N_MINUS_1, Reason.QUEUED}


def test_background_counts_in_n_minus_1():
    circuit = gcp(63.0, background_max_a=(0.0, 0.0, 0.0))
    table = Table(site([circuit], [evse("e0"), evse("e1", phases=(1,), max_a=63.0)]))
    table.load("gcp", 0, 20, 0).plug("e0", wires=1).plug("e1").after(seconds=300)
    assert table.amps("e1") == 43.0, "1.45 x 63 - 20 - 16 is more than 63 - 20: the fuse carries it"
    strict = gcp(63.0, protection=Protection("mcb", 63.0), background_max_a=(0.0, 0.0, 0.0))
    table = Table(site([strict], [evse("e0"), evse("e1", phases=(1,), max_a=63.0)]))
    table.load("gcp", 0, 20, 0).plug("e0", wires=1).plug("e1").after(seconds=300)
    assert table.amps("e1") == int(1.13 * 63 - 20 - 16)
    assert table.reason("e1") == Reason.N_MINUS_1
    assert table.binding("e1") == ("gcp", 1)
