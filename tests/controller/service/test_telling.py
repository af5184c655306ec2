"""What is told the cloud, made from scans and conditions: energy of quarters, events, names and forms of messages."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from controller.service.happenings import CALM_S, LONGEST_TEXT, Happenings, Place, place_of
from controller.service.kept import Kept
from controller.service.quarter import GAP_S, PERIOD_S, Quarter, Quarters
from controller.service.teller import Saying, Teller
from interfaces.domain.command import Alarm, Commands, Report
from interfaces.domain.image import Image
from interfaces.domain.live import REACHABLE_S, LiveStatus, live_status
from interfaces.domain.reasons import Reason
from interfaces.domain.telemetry import ScanRecord
from interfaces.domain.wire import Energy, Event, Quality, read
from interfaces.domain.wire_live import Known, Live, status_of
from tests.controller.service.cloud_kit import HELLO
from tests.controller.service.kit import EPOCH_S, Bench, garage_setup

QUARTER_S = EPOCH_S // PERIOD_S * PERIOD_S


@cache
def scanned(base_a: float | None = 5.0) -> tuple[Image, Commands, Report]:
    """One scan of a garage whose meter measures so much on every phase, and whose chargers tell nothing."""
    bench = Bench(base_a=base_a, silent={"place-1", "place-2"})
    bench.advance(5)
    assert bench.loop.last is not None
    last: tuple[Image, Commands, Report] = bench.loop.last
    return last


def counted(
    quarters: Quarters, first_s: float, last_s: float, *, base_a: float | None = 5.0, sampled_s: float | None = None
) -> list[Quarter]:
    """The quarters that ended while there was one scan a second from the one to the other second of a quarter;
    ``sampled_s``: when the meter answered last (None: just now).
    """
    image, commands, report = scanned(base_a)
    ended = []
    for second in range(int(first_s), int(last_s)):
        now_s = 5_000.0 + second
        at_s = now_s if sampled_s is None else 5_000.0 + sampled_s
        fresh = replace(image, meter_sample_s=np.full_like(image.meter_sample_s, at_s))
        record = ScanRecord(second, now_s, QUARTER_S + second, fresh, commands, report, "")
        found = quarters.add(record, garage_setup().params.topology)
        ended += [] if found is None else [found]
    return ended


# -- energy ------------------------------------------------------------------------------------------------------------


def test_a_quarter_has_the_energy_of_what_was_measured():
    (quarter,) = counted(Quarters(), 0, PERIOD_S + 5)
    assert quarter.start_epoch_s == QUARTER_S
    (meter,) = quarter.circuits
    assert meter.quality is Quality.GOOD
    assert meter.energy_wh == pytest.approx(3 * 5.0 * 230.0 / 4, rel=0.01)
    assert {row.quality for row in quarter.assets} == {Quality.MISSING}
    assert {row.energy_wh for row in quarter.assets} == {None}, "absent is never 0"


def test_half_a_quarter_is_partial_and_is_not_stretched():
    (quarter,) = counted(Quarters(), PERIOD_S / 2, PERIOD_S + 5)
    (meter,) = quarter.circuits
    assert meter.quality is Quality.PARTIAL
    assert meter.measured_s == PERIOD_S / 2 - 1
    assert meter.energy_wh == pytest.approx(3 * 5.0 * 230.0 / 8, rel=0.01)


def test_a_meter_that_falls_silent_measures_no_more():
    quarters = Quarters()
    counted(quarters, 0, 300)
    (quarter,) = counted(quarters, 300, PERIOD_S + 5, sampled_s=299)
    assert 300 + REACHABLE_S - 5 <= quarter.circuits[0].measured_s <= 300 + REACHABLE_S + 5


def test_a_gap_between_scans_is_not_measured_and_a_restart_goes_on_with_the_quarter():
    before, after = Quarters(), Quarters()
    counted(before, 0, 200)
    after.resume(before.saved())
    (quarter,) = counted(after, 200 + 10 * GAP_S, PERIOD_S + 5)
    assert quarter.circuits[0].measured_s == PERIOD_S - 10 * GAP_S - 2


def test_a_meter_without_power_has_no_energy():
    assert counted(Quarters(), 0, PERIOD_S + 5, base_a=None) == [], "nothing was measured, nothing is told"


@pytest.mark.parametrize(
    "saved", [b"", b"{", b"[]", b'{"start": 1}', b'{"start":1,"ids":["a"],"assets":1,"energy_mws":[],"measured_s":[]}']
)
def test_a_damaged_quarter_is_begun_anew(saved):
    quarters = Quarters()
    quarters.resume(saved)
    assert counted(quarters, 0, 10) == []


# -- events ------------------------------------------------------------------------------------------------------------


def test_a_condition_is_entered_once_and_left_when_it_has_been_calm():
    happenings = Happenings()
    (entered,) = happenings.update({"clock": "it is coarse"}, {}, 0.0, EPOCH_S)
    assert (entered.entered, entered.name, entered.text) == (True, "clock", "it is coarse")
    assert happenings.update({"clock": "it is coarse"}, {}, 1.0, EPOCH_S + 1) == []
    assert happenings.update({}, {}, 2.0, EPOCH_S + 2) == []
    assert happenings.update({"clock": "again"}, {}, 4.0, EPOCH_S + 4) == [], "it only flapped"
    assert happenings.update({}, {}, 4.0 + CALM_S - 0.1, EPOCH_S + 8) == []
    (left,) = happenings.update({}, {}, 4.0 + CALM_S, EPOCH_S + 9)
    assert not left.entered
    assert left.id == entered.id
    (later,) = happenings.update({"clock": "it is coarse"}, {}, 100.0, EPOCH_S + 100)
    assert later.id != entered.id


def test_an_alarm_has_its_code_and_place():
    topology = garage_setup().params.topology
    alarm = Alarm(int(Reason.ALARM_OVERLOAD), -1, 0, 2)
    (entered,) = Happenings().update({"alarm.ALARM_OVERLOAD.0.2": "x" * 999}, {
        "alarm.ALARM_OVERLOAD.0.2": place_of(alarm, topology)
    }, 0.0, EPOCH_S)  # fmt: skip
    assert entered.name == "ALARM_OVERLOAD"
    assert entered.place == Place(int(Reason.ALARM_OVERLOAD), None, "gcp", 3)
    assert len(entered.text) == LONGEST_TEXT


def test_what_was_open_before_a_restart_is_left_after_it():
    before, after = Happenings(), Happenings()
    (entered,) = before.update({"journal": "full"}, {"journal": Place(7, "a", None, None)}, 0.0, EPOCH_S)
    after.resume(before.saved(), 50.0)
    assert after.update({"journal": "full"}, {}, 51.0, EPOCH_S + 60) == [], "it was told"
    (left,) = after.update({}, {}, 60.0, EPOCH_S + 70)
    assert (left.id, left.place) == (entered.id, Place(7, "a", None, None))
    after.resume(b"nonsense", 0.0)


# -- names and forms ---------------------------------------------------------------------------------------------------


def status(epoch_s: float) -> LiveStatus:
    setup = garage_setup()
    record = ScanRecord(0, 5_005.0, epoch_s, *scanned(), "")
    return live_status(record, setup.params.topology, setup.site.id)


def is_whole(said: Saying) -> bool:
    live = read(said.now, Live)
    assert isinstance(live, Live)
    return live.whole is not None


def test_both_forms_have_one_name_and_tell_the_same():
    teller = Teller(0, lambda: EPOCH_S)
    first = teller.live(status(EPOCH_S), 600.0)
    assert first.base is not None
    teller.knows(first.base)
    second = teller.live(status(EPOCH_S + 10), 600.0)
    now, later = read(second.now, Live), read(second.later.payload, Live)
    assert isinstance(now, Live)
    assert isinstance(later, Live)
    assert (now.head.session, now.head.seq) == (later.head.session, later.head.seq)
    assert later.head.historical
    assert not now.head.historical
    assert now.changes is not None
    assert later.whole is not None, "what is kept needs nothing else to be understood"
    known = status_of(now, first.base)
    assert isinstance(known, Known)
    assert known.status.assets == later.whole.assets
    assert len(second.now) < len(second.later.payload)


def test_what_did_not_arrive_is_not_counted_from():
    teller = Teller(0, lambda: EPOCH_S)
    teller.live(status(EPOCH_S), 600.0)
    assert is_whole(teller.live(status(EPOCH_S + 10), 600.0))


def test_a_whole_status_comes_after_its_time_and_when_the_clock_went_back():
    teller = Teller(0, lambda: EPOCH_S)
    for at_s, whole in ((0, True), (300, False), (600, True), (900, False), (10, True)):
        said = teller.live(status(EPOCH_S + at_s), 600.0)
        assert is_whole(said) is whole, at_s
        assert said.base is not None
        teller.knows(said.base)


def test_sessions_grow_also_when_the_clock_lost_its_time():
    clock = [EPOCH_S]
    teller = Teller(0, lambda: clock[0])
    assert teller.session == int(EPOCH_S)
    clock[0] = 5.0  # its battery is empty
    again = Teller(teller.session, lambda: clock[0])
    assert again.session == int(EPOCH_S) + 1
    again.announce()
    again.begin()
    assert again.session == int(EPOCH_S) + 2
    again.begin()
    assert again.session == int(EPOCH_S) + 2, "one birth may be tried several times"


def test_energy_and_events_are_what_the_contract_says():
    teller = Teller(0, lambda: EPOCH_S)
    (quarter,) = counted(Quarters(), 0, PERIOD_S + 5)
    energy = read(teller.energy(quarter).now, Energy)
    assert isinstance(energy, Energy)
    assert (energy.start_epoch_s, energy.assets, energy.circuits) == (QUARTER_S, quarter.assets, quarter.circuits)
    (happening,) = Happenings().update({"a" * 200: "b" * 2000}, {}, 0.0, EPOCH_S)
    event = read(teller.event(happening, EPOCH_S).now, Event)
    assert isinstance(event, Event)
    assert event.entered
    setup = garage_setup()
    assert teller.birth(setup, replace(HELLO, restarts=2, last_exit="killed by watchdog"), again=True)


# -- what is kept ------------------------------------------------------------------------------------------------------


def test_what_is_kept_is_there_after_a_restart_and_a_missing_disk_is_told(tmp_path):
    kept = Kept(tmp_path / "state.db")
    assert kept.get("a") is None
    assert kept.put("a", b"1")
    assert kept.put("a", b"2")
    assert Kept(tmp_path / "state.db").get("a") == b"2"
    nowhere = Kept(tmp_path / "nowhere" / "state.db")
    assert not nowhere.put("a", b"1")
    with pytest.raises(OSError, match="unable to open"):
        nowhere.get("a")
    assert nowhere.read("a") == b""
