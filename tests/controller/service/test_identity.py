"""Which device belongs where: bound at the first answer or by the site file; another one is held at failsafe."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.service.binder import RIPE_TIMES, Binder
from controller.service.bindings import NAME, load_bindings, store_bindings
from controller.service.identity import Bindings, findings, identity_of, newcomers, serials_of
from controller.service.messages import Bound, PointStatus
from interfaces.domain.codec import pack
from interfaces.domain.image import Identity
from interfaces.domain.reasons import Reason
from interfaces.drivers.readings import GOOD, PointReading, Sample
from tests.controller.service.kit import (
    METER,
    PLACE_1,
    PLACE_2,
    Bench,
    alarms_of,
    garage_setup,
    garage_text,
    with_sample,
)

BOUND = Bindings.of({"one": "A1", "two": "B2"})


def tells(serial: Any, quality: str = GOOD) -> PointReading:
    return PointReading(roles={"serial": Sample(serial, 1.0, quality, 1)}, connected=True)


def point(key: str, serial: str, *, connected: bool = True) -> PointStatus:
    return PointStatus(key, "p", connected, "", 0.1, "", "free", serial, (), 1, 0, 1)


# -- pure parts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ("ACE0123456", "ACE0123456"),
        (" T54-DE1  0007 ", "T54-DE1 0007"),
        ("AB\0\0\0", "AB"),
        (4_711, "4711"),
        ("", None),
        ("   ", None),
        (0, None),
        ("00000000", None),
        ("00:00:00:00:00:00", None),
        (None, None),
    ],
)
def test_a_serial_is_text_and_a_number_nobody_gave_is_none(raw, told):
    assert tells(raw).serial == told


def test_a_device_without_a_serial_is_held_against_nobody():
    assert PointReading().serial is None
    assert identity_of("new", BOUND, PointReading()) == Identity.KNOWN
    assert identity_of("one", BOUND, PointReading()) == Identity.UNPROVEN, "it did tell one before"


@pytest.mark.parametrize(
    ("device", "serial", "quality", "who"),
    [
        ("one", "A1", GOOD, Identity.KNOWN),
        ("one", "B2", GOOD, Identity.OTHER),
        ("one", "D4", GOOD, Identity.OTHER),
        ("one", "A1", "time-out", Identity.UNPROVEN),
        ("new", "D4", GOOD, Identity.KNOWN),
        ("new", "A1", GOOD, Identity.OTHER),
    ],
)
def test_the_bound_serial_decides(device, serial, quality, who):
    assert identity_of(device, BOUND, tells(serial, quality)) == who


def test_the_first_answer_binds_and_later_ones_change_nothing():
    bound = newcomers({}, {"one": "A1", "two": "B2"})
    assert bound == {"one": "A1", "two": "B2"}
    assert newcomers(bound, {"one": "B2", "two": "A1", "three": "C3"}) == {"three": "C3"}


def test_nobody_is_bound_to_a_serial_that_belongs_elsewhere_or_answers_twice():
    assert newcomers({"one": "A1"}, {"two": "A1"}) == {}
    assert newcomers({}, {"one": "A1", "two": "A1"}) == {}


def test_swapped_replaced_and_double_devices_are_told_apart():
    bound = {"one": "A1", "two": "B2", "three": "C3"}
    swapped = findings(bound, {"one": "B2", "two": "A1", "three": "C3"})
    assert set(swapped) == {"one", "two"}
    assert "this is two: were their addresses" in swapped["one"]
    replaced = findings(bound, {"one": "D4", "two": "B2"})
    assert replaced == {"one": replaced["one"]}
    assert "write `serial_number: D4` into the site file" in replaced["one"]
    assert "this is one: were" in findings(bound, {"new": "A1"})["new"]
    assert "so does five: one device" in findings({}, {"four": "E5", "five": "E5"})["four"]
    assert findings(bound, {"one": "A1", "three": "C3"}) == {}


# -- the file ---------------------------------------------------------------------------------------------------------


def test_bindings_survive_and_a_damaged_file_is_named_and_kept_aside(tmp_path: Path):
    assert load_bindings(tmp_path).bound == {}
    store_bindings(tmp_path, {"one": "Ä1"}, keep_old=False)
    assert load_bindings(tmp_path).bound == {"one": "Ä1"}
    for damage in ("{", "[1]", '{"one": 3}', '{"one": ""}', "x" * 2_000_000):
        (tmp_path / NAME).write_text(damage)
        loaded = load_bindings(tmp_path)
        assert loaded.bound == {}
        assert NAME in loaded.problem
    store_bindings(tmp_path, {"two": "B2"}, keep_old=True)
    assert (tmp_path / "serials.damaged").stat().st_size == 2_000_000
    assert load_bindings(tmp_path).bound == {"two": "B2"}


def learn(binder: Binder, *points: PointStatus, times: int = RIPE_TIMES) -> tuple[dict[str, str], dict[str, str]]:
    for _ in range(times - 1):
        asyncio.run(binder.learn(garage_setup().site, points))
    return asyncio.run(binder.learn(garage_setup().site, points))


def test_the_gateway_binds_what_answers_first_and_remembers_it(tmp_path: Path):
    bound, found = learn(Binder(tmp_path), point(METER, "M1"), point(PLACE_1, "A1"), point(PLACE_2, "", connected=True))
    assert bound == {METER: "M1", PLACE_1: "A1"}
    assert found == {}
    again = Binder(tmp_path)
    bound, found = learn(again, point(METER, "M1"), point(PLACE_1, "B2"), point(PLACE_2, "A1"))
    assert bound == {METER: "M1", PLACE_1: "A1"}
    assert set(found) == {PLACE_1, PLACE_2}
    assert "it was A1; if it was replaced" in found[PLACE_1]
    assert f"this is {PLACE_1}" in found[PLACE_2]


def test_a_serial_that_two_devices_tell_is_bound_to_neither_even_if_one_came_later(tmp_path: Path):
    binder = Binder(tmp_path)
    bound, _ = learn(binder, point(PLACE_1, "123"), times=RIPE_TIMES - 1)
    assert bound == {}
    bound, found = learn(binder, point(PLACE_1, "123"), point(PLACE_2, "123"))
    assert bound == {}
    assert set(found) == {PLACE_1, PLACE_2}


def test_who_is_not_connected_tells_nothing(tmp_path: Path):
    bound, _ = learn(Binder(tmp_path), point(PLACE_1, "A1", connected=False))
    assert bound == {}


def test_a_full_disk_binds_nobody_and_is_told(tmp_path: Path, monkeypatch):
    def full(*_args: Any, **_named: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("controller.service.binder.store_bindings", full)
    bound, found = learn(Binder(tmp_path), point(PLACE_1, "A1"))
    assert bound == {}
    assert "No space left" in found["file"]


def test_the_site_file_has_the_last_word(tmp_path: Path):
    store_bindings(tmp_path, {PLACE_1: "OLD"}, keep_old=False)
    text = garage_text().replace(f"- id: {PLACE_1}\n", f"- id: {PLACE_1}\n    serial_number: NEW\n", 1)
    site = garage_setup(text).site
    assert serials_of(site) == {PLACE_1: "NEW"}
    bound, found = asyncio.run(Binder(tmp_path).learn(site, (point(PLACE_1, "NEW"),)))
    assert bound == {PLACE_1: "NEW"}
    assert found == {}


# -- network cards where there is no serial number ---------------------------------------------------------------------

CARD_1, CARD_2 = "02:00:5e:10:00:01", "02:00:5e:10:00:02"


def nameless(key: str, mac: str) -> PointStatus:
    return replace(point(key, ""), mac=mac, nameless=True, place=f"192.168.1.{len(key)}:502 unit 1")


def test_a_device_without_a_serial_number_is_bound_by_its_network_card(tmp_path: Path):
    bound, found = learn(Binder(tmp_path), nameless(PLACE_1, CARD_1), point(PLACE_2, "B2"))
    assert bound == {PLACE_1: f"MAC {CARD_1}", PLACE_2: "B2"}
    assert found == {}
    assert load_bindings(tmp_path).bound == bound
    bound, found = learn(Binder(tmp_path), nameless(PLACE_1, CARD_2), point(PLACE_2, "B2"))
    assert bound[PLACE_1] == f"MAC {CARD_1}"
    assert (
        f"another device answers for {PLACE_1}, MAC {CARD_2}: it was MAC {CARD_1}; if it was replaced" in found[PLACE_1]
    )
    assert f"`serial_number: MAC {CARD_2}`" in found[PLACE_1]


def test_swapped_cables_of_two_devices_without_serial_numbers_are_told(tmp_path: Path):
    learn(Binder(tmp_path), nameless(PLACE_1, CARD_1), nameless(PLACE_2, CARD_2))
    _, found = learn(Binder(tmp_path), nameless(PLACE_1, CARD_2), nameless(PLACE_2, CARD_1))
    assert f"this is {PLACE_2}: were their addresses or cables swapped?" in found[PLACE_1]
    assert set(found) == {PLACE_1, PLACE_2}


def test_devices_behind_one_gateway_have_its_card_and_nobody_is_bound_to_it(tmp_path: Path):
    bound, found = learn(Binder(tmp_path), nameless(PLACE_1, CARD_1), nameless(PLACE_2, CARD_1))
    assert (bound, found) == ({}, {})


def test_a_serial_that_is_only_late_is_not_replaced_by_a_card(tmp_path: Path):
    late = replace(point(PLACE_1, ""), mac=CARD_1, nameless=False)
    assert learn(Binder(tmp_path), late)[0] == {}


@pytest.mark.parametrize(
    ("mac", "who"), [(CARD_1, Identity.KNOWN), (CARD_1.upper(), Identity.KNOWN), (CARD_2, Identity.OTHER),
                     ("", Identity.KNOWN)]
)  # fmt: skip
def test_the_bound_card_decides(mac, who):
    bindings = Bindings.of({"one": f"MAC {CARD_1}"})
    assert identity_of("one", bindings, PointReading(mac=mac, connected=True), tells_serial=False) == who


def test_a_card_in_the_site_file_may_be_written_as_on_the_label(tmp_path: Path):
    text = garage_text().replace(f"- id: {PLACE_1}\n", f"- id: {PLACE_1}\n    serial_number: MAC {CARD_1.upper()}\n", 1)
    site = garage_setup(text).site
    assert serials_of(site) == {PLACE_1: f"MAC {CARD_1}"}
    _, found = asyncio.run(Binder(tmp_path).learn(site, (nameless(PLACE_1, CARD_1),)))
    assert found == {}


def test_another_make_is_another_device_whatever_it_is_called():
    assert identity_of("new", BOUND, replace(tells("D4"), foreign=True)) == Identity.OTHER


# -- in the scan ------------------------------------------------------------------------------------------------------


class Named(Bench):
    """A bench whose devices tell serials."""

    serials: dict[str, str]

    def poll(self, step: int) -> None:
        before = dict(self.readings.points)
        super().poll(step)
        for key, serial in self.serials.items():
            reading = self.readings.points[key]
            if reading is not before[key]:
                self.readings.points[key] = with_sample(reading, "serial", Sample(serial, self.now_s, GOOD, 1))


def named(**serials: str) -> Named:
    bench = Named()
    bench.serials = {METER: "M1", PLACE_1: "A1", PLACE_2: "B2", **serials}
    bench.inbox.take(pack(Bound((METER, PLACE_1, PLACE_2), ("M1", "A1", "B2"))))
    return bench


def test_a_charger_that_is_another_one_falls_to_its_failsafe_and_comes_back_when_it_is_bound():
    bench = named()
    bench.advance(90)
    assert min(bench.told_a()) > 6.0
    assert "another device" not in alarms_of(bench)
    bench.serials[PLACE_1] = "X9"
    bench.advance(5)
    column = bench.setup.params.topology.index[PLACE_1]
    failsafe_a = bench.setup.params.topology.failsafe_ma[column] / 1000
    assert bench.told_a()[column] <= failsafe_a
    assert bench.commands.reason[column] == Reason.OTHER_DEVICE
    assert f"another device than {PLACE_1} answers" in alarms_of(bench)
    assert min(value for i, value in enumerate(bench.told_a()) if i != column) > 6.0
    bench.inbox.take(pack(Bound((METER, PLACE_1), ("M1", "X9"))))
    bench.advance(400)
    assert bench.told_a()[column] > 6.0


def test_a_meter_that_is_another_one_counts_as_silent():
    bench = named()
    bench.advance(90)
    bench.serials[METER] = "M2"
    bench.advance(15)
    assert "meter of circuit gcp" in alarms_of(bench)


def test_a_charger_without_a_serial_number_whose_card_is_another_falls_to_its_failsafe():
    bench = carded()
    bench.advance(90)
    column = bench.setup.params.topology.index[PLACE_1]
    assert bench.told_a()[column] > 6.0
    bench.cards[PLACE_1] = CARD_2
    bench.advance(5)
    assert bench.commands.reason[column] == Reason.OTHER_DEVICE
    assert f"another device than {PLACE_1} answers" in alarms_of(bench)


class Carded(Bench):
    """A bench whose devices show what their connection knows of them besides values."""

    cards: dict[str, str]
    suspect: dict[str, tuple[str, ...]]

    def poll(self, step: int) -> None:
        super().poll(step)
        for key, reading in list(self.readings.points.items()):
            changed = replace(reading, mac=self.cards.get(key, ""), suspect=self.suspect.get(key, ()))
            if changed != reading:
                self.readings.points[key] = changed


def carded() -> Carded:
    bench = Carded()
    bench.cards, bench.suspect = {PLACE_1: CARD_1}, {}
    bench.inbox.take(pack(Bound((PLACE_1,), (f"MAC {CARD_1}",))))
    return bench


def test_a_meter_that_does_not_look_like_its_profile_counts_as_silent():
    """Floats with swapped words read as no current at all: to believe them would fill the fuse twice."""
    bench = carded()
    bench.advance(90)
    assert alarms_of(bench) == ""
    bench.suspect[METER] = ("voltage_l1 shows 0",)
    bench.advance(15)
    assert "the meter of circuit gcp does not answer" in alarms_of(bench)


def test_what_a_charger_measures_that_does_not_look_like_its_profile_is_not_counted_with():
    bench = carded()
    bench.advance(90)
    column = bench.setup.params.topology.index[PLACE_1]
    assert bench.loop.last is not None
    before_s = bench.loop.last[0].asset_sample_s[column]
    bench.suspect[PLACE_1] = ("voltage_l1 shows 0",)
    bench.advance(10)
    assert bench.loop.last[0].asset_sample_s[column] <= before_s + 1.0
    assert bench.loop.last[0].reply_s[column] > before_s + 5.0


def test_lists_of_different_length_are_refused():
    refusal = Bench().inbox.take(pack(Bound(("a", "b"), ("1",))))
    assert refusal is not None
    assert not refusal.accepted
