"""Cars and chargers that do not do as they were told: counted, paused, stopped by the second path."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from controller.core.obedience import advance_obedience, refusing
from controller.core.params import Params
from controller.core.state import initial
from controller.service.health import told
from interfaces.domain.command import Alarm
from interfaces.domain.reasons import Reason
from interfaces.domain.topology import Asset, AssetKind
from interfaces.domain.units import MISSING
from tests.controller.core.table import Table, blank_image, evse, garage, gcp, site


def stubborn() -> tuple[Table, float]:
    """A car at 16 A that ignores the cut to 8 A; and when the cut was made."""
    table = Table(garage(2)).plug("e0", stubborn=True).after(seconds=90).expect(e0=16)
    table.load("gcp", 55).after(scans=1).expect(e0=8)
    return table, table.now_s


def run_until(table: Table, what: str, limit_s: float) -> float:
    """When an alarm about e0 first appears."""
    end_s = table.now_s + limit_s
    while table.now_s < end_s:
        table.after(scans=1)
        if (Reason[what], "e0") in table.alarms():
            return table.now_s
    raise AssertionError(f"{what} never came")


def test_ten_seconds_after_a_cut_a_disobeying_car_is_paused():
    table, cut_s = stubborn()
    paused_s = run_until(table, "ALARM_DISOBEYS", 60)
    assert 10.0 <= paused_s - cut_s <= 14.0
    table.expect(e0=0)
    assert table.reason("e0") == Reason.DISOBEYS


def test_seventeen_seconds_after_a_cut_the_second_path_stops_it():
    table, cut_s = stubborn()
    stopped_s = run_until(table, "ALARM_OVERDRAW_STOP", 60)
    assert 17.0 <= stopped_s - cut_s <= 22.0
    assert table.commands.stop.tolist() == [True, False]
    assert table.after(scans=2).drawn_a("e0") == 0.0


def test_it_counts_at_what_it_draws_while_it_disobeys():
    table, _ = stubborn()
    for _ in range(15):
        table.after(scans=1)
        assert table.exposure_a("e0") >= 16.0


def test_others_make_room_for_a_disobeying_car():
    """Two cars of 16 A on 40 A; one ignores the cut to 8 A when the background rises by 16 A."""
    table = Table(garage(2, 40.0)).plug("e0", stubborn=True).plug("e1").after(seconds=120).expect(e0=16, e1=16)
    table.load("gcp", 24).after(seconds=30)
    assert table.amps("e1") == 0.0 or table.drawn_a("e0") + table.amps("e1") <= 16.0


def test_one_bad_reading_pauses_nobody():
    table = Table(garage(1)).plug("e0").after(seconds=90).expect(e0=16)
    table.put(asset_ma=np.full((1, 3), 30_000)).after(scans=1)
    table.settings.clear()
    table.after(seconds=5).expect(e0=16)
    assert not table.alarms()


def test_the_same_reading_twice_is_one_reading():
    table = Table(garage(1)).plug("e0").after(seconds=90)
    table.put(asset_ma=np.full((1, 3), 30_000), asset_sample_s=np.array([table.now_s + 1])).after(seconds=3)
    table.expect(e0=16)


@pytest.mark.parametrize(("drawn_a", "paused"), [(18.5, False), (18.7, True)])
def test_ten_percent_and_one_ampere_are_tolerated(drawn_a, paused):
    table = Table(garage(1)).plug("e0").after(seconds=90).expect(e0=16)
    table.cars[0].fixed_a = drawn_a
    table.after(seconds=10)
    assert (table.reason("e0") == Reason.DISOBEYS) == paused


def test_a_paused_car_is_tried_again_after_a_quarter_of_an_hour():
    table, _ = stubborn()
    paused_s = run_until(table, "ALARM_DISOBEYS", 60)
    table.load("gcp", 0).after(seconds=60).expect(e0=0)
    table.cars[0].stubborn = False
    table.scan_s = 5.0
    while table.amps("e0") == 0 and table.now_s < paused_s + 2000:
        table.after(scans=1)
    assert 900 <= table.now_s - paused_s <= 1000


def test_the_next_session_is_not_punished():
    table, _ = stubborn()
    run_until(table, "ALARM_OVERDRAW_STOP", 60)
    table.load("gcp", 0).unplug("e0").after(seconds=70).plug("e0").after(seconds=5)
    assert table.amps("e0") >= 6.0
    assert not table.state.obedience.stop[0]


# -- chargers ---------------------------------------------------------------------------------------------------------


def shows(table: Table, amps: float) -> Table:
    table.edit = lambda image: replace(image, offered_ma=np.array([int(amps * 1000)]))
    return table


def test_a_charger_that_does_not_apply_what_it_acknowledged_is_paused_after_five_seconds():
    table = Table(garage(1)).plug("e0").after(seconds=90)
    shows(table, 16).load("gcp", 55).after(seconds=4).expect(e0=8)
    table.after(seconds=4).expect(e0=0)
    assert table.reason("e0") == Reason.DISOBEYS
    assert (Reason.ALARM_NOT_APPLIED, "e0") in table.alarms()


def test_a_charger_that_shows_a_step_more_is_believed():
    table = Table(garage(1)).plug("e0").load("gcp", 55).after(seconds=90).expect(e0=8)
    shows(table, 8.9).after(seconds=20).expect(e0=8)


def test_a_charger_that_shows_less_is_no_offender():
    table = Table(garage(1)).plug("e0").after(seconds=90)
    shows(table, 6).after(seconds=30).expect(e0=16)
    assert not table.alarms()


def test_current_without_a_car_is_a_welded_contactor():
    table = Table(garage(1)).after(seconds=30)
    table.put(asset_ma=np.full((1, 3), 5000)).after(seconds=3)
    assert (Reason.ALARM_WELDED, "e0") in table.alarms()
    assert table.exposure_a("e0") >= 5.0


def test_a_restart_of_a_charger_is_told_for_ten_minutes():
    table = Table(garage(1)).after(seconds=30).put(reboots=np.array([1])).after(seconds=2)
    assert (Reason.ALARM_REBOOTED, "e0") in table.alarms()
    table.scan_s = 10.0
    table.after(seconds=620)
    assert not table.alarms()


def test_a_car_that_never_resumes_is_told():
    table = Table(site([gcp(63.0)], [evse("e0")])).plug("e0").after(seconds=60)
    table.load("gcp", 63).after(seconds=60).expect(e0=0)
    table.cars[0].asleep = True
    table.load("gcp", 0).scan_s = 5.0
    table.after(seconds=1200)
    assert (Reason.ALARM_NOT_RESUMING, "e0") in table.alarms()


# -- batteries ---------------------------------------------------------------------------------------------------------


def judged(readings: list[tuple[float, int, int, int]], **facts: Any) -> list[bool]:
    """Whether the alarm stands after each reading of (time, setpoint mA, measured mA, state of charge permille).

    The setpoint was changed at 0 s.
    """
    battery = Asset("bat", AssetKind.BATTERY, "d", "gcp", (0, 1, 2), 40.0, min_a=0.0, max_export_a=40.0)
    topology = site([gcp()], [battery])
    state = initial(Params.of(topology), 0.0)
    obedience, found = state.obedience, []
    heard = replace(state.ledger, lost_s=np.array([np.inf]), change_s=np.zeros(1))
    for at_s, offer_ma, drawn_ma, soc in readings:
        image = replace(
            blank_image(topology),
            asset_ma=np.full((1, 3), drawn_ma),
            asset_sample_s=np.array([at_s]),
            soc_permille=np.array([soc]),
            **facts,
        )
        ledger = replace(heard, offer_ma=np.array([offer_ma]))
        obedience = advance_obedience(obedience, image, topology, ledger, began=np.zeros(1, dtype=np.bool_), now_s=at_s)
        found.append(bool(refusing(obedience, at_s)[0]))
    return found


def every_second(count: int, offer_ma: int, drawn_ma: int, soc: int = 500, start_s: int = 1) -> list[Any]:
    return [(float(start_s + k), offer_ma, drawn_ma, soc) for k in range(count)]


@pytest.mark.parametrize(("offer_ma", "drawn_ma"), [(20_000, 0), (-20_000, 0), (20_000, -20_000), (0, 5_000)])
def test_a_battery_far_from_its_setpoint_for_20_s_is_an_alarm_until_it_follows(offer_ma, drawn_ma):
    found = judged(every_second(25, offer_ma, drawn_ma) + every_second(1, offer_ma, offer_ma, start_s=26))
    assert found == [False] * 20 + [True] * 5 + [False]


@pytest.mark.parametrize(
    ("offer_ma", "drawn_ma", "soc"),
    [
        (20_000, 16_000, 500),
        (0, 1_500, 500),
        (-20_000, -16_000, MISSING),
        (20_000, 3_000, 960),
        (-20_000, 0, 140),
    ],
)
def test_a_battery_near_its_setpoint_or_tapering_is_none(offer_ma, drawn_ma, soc):
    assert not any(judged(every_second(60, offer_ma, drawn_ma, soc)))


def test_a_battery_without_new_readings_or_declared_off_is_not_accused():
    assert not any(judged([(0.0, 20_000, 0, 500)] * 60))
    assert not any(judged(every_second(60, 20_000, 0), declared_off=np.ones(1, dtype=np.bool_)))
    assert not any(judged(every_second(60, 20_000, MISSING)))


# -- overload ----------------------------------------------------------------------------------------------------------


def test_an_overload_names_circuit_phase_amperes_and_rating():
    table = Table(garage(1)).load("gcp", 30, 30, 30).after(seconds=20).load("gcp", 30, 70.25, 30).after(seconds=2)
    over = [a for a in table.report.alarms if a.code == Reason.ALARM_OVERLOAD]
    assert over == [Alarm(int(Reason.ALARM_OVERLOAD), circuit=0, phase=1)]
    assert told(over[0], table.topology, table.seen) == (
        "circuit gcp carries 70.2 A on L2, more than the 63 A it is rated for"
    )
    table.load("gcp", 80, 30, 80).after(seconds=2)
    assert [a.phase for a in table.report.alarms if a.code == Reason.ALARM_OVERLOAD] == [0, 2]
