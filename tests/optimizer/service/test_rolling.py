"""The loop over many sites, through real folders and a real HTTP server, on a clock that only the test moves."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from forecasting.core.pv import PvPlane, PvPlant
from interfaces.domain.codec_json import from_json
from interfaces.domain.plan import Plan
from interfaces.domain.series import WeatherSeries
from interfaces.domain.targets import Target as SentTarget
from interfaces.domain.targets import Targets
from optimizer.core.problem_state import Profile, Vehicle, WeeklyTarget
from optimizer.service.feed import weather_columns
from optimizer.service.local_link import LocalLink
from optimizer.service.port import LinkError, Received
from optimizer.service.rolling import SILENT_S, Rolling
from optimizer.service.wanted import ScheduleFile
from tests.interfaces.sources.kit import HTML, Reply, Server, Time, http_server
from tests.optimizer.service.yard import (
    DAY_S,
    MIDNIGHT,
    MODELS,
    RECORD,
    SUNNY,
    ZONE,
    Car,
    Yard,
    market_of,
    play,
    publish,
    task_of,
    weather_feed,
)  # fmt: skip


@pytest.fixture
def server() -> Iterator[Server]:
    with http_server() as found:
        yield found


def at(clock: str, day: int = 0) -> float:
    hour, minute = map(int, clock.split(":"))
    return datetime(2026, 11, 23 + day, hour, minute, tzinfo=ZONE).timestamp()


def loop(tasks: list, time: Time) -> Rolling:
    return Rolling(tasks, lambda: time.now_s, spread_s=0.0)


def targets(folder: Path) -> dict[str, SentTarget]:
    found = from_json((folder / "targets.json").read_bytes(), Targets)
    assert isinstance(found, Targets)
    return {target.asset: target for target in found.targets}


def plan(folder: Path) -> Plan:
    found = LocalLink(folder, "yard").last_plan()
    assert found is not None
    return found


# -- a day ------------------------------------------------------------------------------------------------------------


def test_a_day_through_the_folder_charges_by_the_schedule_in_the_cheap_hours(tmp_path, server, caplog):
    caplog.set_level(logging.INFO, "optimizer")
    time = Time(epoch_s=MIDNIGHT)
    publish(server, time)
    trips = tmp_path / "trips.csv"
    trips.write_text("tag;departure;kwh\nAA;23/11/2026 17:30;24\nBB;23/11/2026 23:30;9\n")
    folder = tmp_path / "yard"
    schedule = ScheduleFile(trips, "Europe/Brussels")
    market = market_of(server, time, tmp_path / "cache")
    cars = {"left": Car("AA", at("08:05"), at("17:30"), 24.0), "right": Car("BB", at("10:00"), at("23:30"), 9.0)}
    yard = Yard(folder, cars)
    said = play(loop([task_of(folder, market=market, schedules=(schedule,))], time), [yard], time, at("23:40"), 120.0)
    left, right = cars["left"], cars["right"]
    assert left.energy_kwh == pytest.approx(24.0, abs=0.4)
    assert right.energy_kwh == pytest.approx(9.0, abs=0.4)
    cheap = sum(kwh for car in (left, right) for hour, kwh in car.kw_by_hour.items() if 13 <= hour < 17)
    assert cheap > 0.8 * (left.energy_kwh + right.energy_kwh)
    assert yard.most_kw <= 32 * 0.69
    # Every six minutes here (five, on a clock of two), at once for each plug-in and plug-out and for new prices.
    assert len(said) >= 23.6 * 10
    for what in ("plug_in left", "plug_in right", "plug_out left", "new prices"):
        assert any(f"({what})" in line for line in said), what
    assert plan(folder).sequence == len(said)
    assert not any("condition " in record.getMessage() for record in caplog.records)
    assert "bzn=BE" in server.asked[0]["path"][0]


# -- targets ----------------------------------------------------------------------------------------------------------


def started(tmp_path: Path, time: Time, car: Car, **others: object) -> tuple[Rolling, Yard]:
    folder = tmp_path / "yard"
    yard = Yard(folder, {"left": car, "right": Car(None, at("07:00"), at("20:00"), 30.0)})
    return loop([task_of(folder, **others)], time), yard  # type: ignore[arg-type]


def test_a_schedule_changes_the_target_of_its_own_session_at_once(tmp_path):
    time = Time(epoch_s=at("09:00"))
    trips = tmp_path / "trips.csv"
    schedule = ScheduleFile(trips, "Europe/Brussels")
    rolling, yard = started(tmp_path, time, Car("AA", at("08:00"), at("18:00"), 30.0), schedules=(schedule,))
    play(rolling, [yard], time, at("09:02"))
    assert "trips.csv" in rolling.conditions["yard"]["schedule:trips.csv"]
    before = targets(yard.folder)
    trips.write_text("tag,departure,kwh\nAA,2026-11-23 11:45,17\nCC,2026-11-23 10:00,40\n")
    said = play(rolling, [yard], time, at("09:04"))
    assert said[0].startswith("yard: plan")
    assert "(a schedule)" in said[0]
    after = targets(yard.folder)
    assert (after["left"].departure_epoch_s, after["left"].energy_wh) == (at("11:45"), 17_000)
    assert after["right"].energy_wh == before["right"].energy_wh
    assert rolling.conditions["yard"] == {}


def test_who_said_something_counts_before_the_schedule_and_the_guess_comes_last(tmp_path):
    time = Time(epoch_s=at("09:00"))
    trips = tmp_path / "trips.csv"
    trips.write_text("evse,departure,kwh\nleft,2026-11-23 11:45,17\n")
    car = Car("AA", at("08:00"), at("18:00"), 30.0)
    others = {"schedules": (ScheduleFile(trips, "Europe/Brussels"),), "guesses": True}
    rolling, yard = started(tmp_path, time, car, **others)
    play(rolling, [yard], time, at("09:02"))
    guessed = targets(yard.folder)
    assert (guessed["left"].departure_epoch_s, guessed["left"].energy_wh) == (at("11:45"), 17_000)
    assert guessed["right"].departure_epoch_s > at("09:00")
    assert guessed["right"].departure_epoch_s != at("07:00") + 8 * 3600  # not the site's default stay
    wish = {
        "evse": "left",
        "plugged_in_epoch_s": at("08:00"),
        "target": {"unit": "kwh", "amount": 5, "departure_local": "10:15"},
    }
    (yard.folder / "wishes.json").write_text(json.dumps([wish, {**wish, "evse": "right"}]))
    said = play(rolling, [yard], time, at("09:04"))
    assert "(a target)" in said[0]
    wished = targets(yard.folder)
    assert (wished["left"].departure_epoch_s, wished["left"].energy_wh) == (at("10:15"), 5_000)
    assert wished["right"].energy_wh == guessed["right"].energy_wh  # the wish was for an earlier session there


def test_a_profile_counts_by_its_tag_and_an_unknown_one_gets_what_the_site_says(tmp_path):
    time = Time(epoch_s=at("09:00"))
    weekly = WeeklyTarget(days=("mon",), departure_local="16:00", unit="km", amount=100.0)
    known = replace(
        RECORD,
        vehicles=(Vehicle("van", 50.0, 200.0, 0.0),),
        profiles=(Profile("AA", "van", (weekly,)),),
    )
    rolling, yard = started(tmp_path, time, Car("AA", at("08:00"), at("18:00"), 30.0), record=known)
    play(rolling, [yard], time, at("09:02"))
    assert (targets(yard.folder)["left"].departure_epoch_s, targets(yard.folder)["left"].energy_wh) == (
        at("16:00"),
        20_000,
    )
    strict = replace(known, id="yard2", settings=replace(known.settings, unknown_tag="nothing"))
    for record, energy_wh in ((replace(known, id="yard1"), 20_000), (strict, 0)):
        time = Time(epoch_s=at("09:00"))
        folder = tmp_path / record.id
        other = Yard(folder, {"left": Car("ZZ", at("08:00"), at("18:00"), 30.0)}, site=record.id)
        play(loop([task_of(folder, record)], time), [other], time, at("09:02"))
        assert targets(folder)["left"].energy_wh == energy_wh


def test_a_damaged_schedule_keeps_the_departures_it_had(tmp_path):
    time = Time(epoch_s=at("09:00"))
    trips = tmp_path / "trips.xlsx"
    trips.write_bytes(b"PK not a workbook")
    file = ScheduleFile(trips, "Europe/Brussels")
    assert not file.refresh(time.epoch_s)
    assert file.problems
    calendar = tmp_path / "vans.ics"
    calendar.write_text(
        "BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:x\nBEGIN:VEVENT\nUID:1\nSUMMARY:Antwerp 120 km\n"
        "DTSTART:20261123T120000Z\nDTEND:20261123T140000Z\nRRULE:FREQ=DAILY\nEND:VEVENT\nEND:VCALENDAR\n"
    )
    vans = ScheduleFile(calendar, "Europe/Brussels", "van")
    assert vans.refresh(time.epoch_s)
    assert {trip.vehicle for trip in vans.trips} == {"van"}
    first = vans.trips
    calendar.write_text("nothing")
    assert not vans.refresh(time.epoch_s + 60)
    assert vans.trips == first
    assert vans.problems


# -- sources ----------------------------------------------------------------------------------------------------------


def test_a_source_that_goes_down_leaves_its_last_prices_and_then_a_similar_day(tmp_path, server, caplog):
    caplog.set_level(logging.INFO, "optimizer")
    time = Time(epoch_s=at("09:00"))
    publish(server, time)
    folder = tmp_path / "yard"
    yard = Yard(folder, {"left": Car(None, at("08:00"), at("08:00", 2), 300.0)})
    market = market_of(server, time, tmp_path / "cache")
    rolling = loop([task_of(folder, market=market)], time)
    play(rolling, [yard], time, at("09:03"))
    assert rolling.conditions[""] == {}
    server.replies = [Reply(HTML, status=502)]
    play(rolling, [yard], time, at("15:30"), 300.0)
    assert "502" in rolling.conditions[""]["prices BE"]
    # Tomorrow was never published here: it looks like the days before it, cheap from one to five.
    prices = from_json((folder / "targets.json").read_bytes(), Targets)
    assert isinstance(prices, Targets)
    column = prices.price_eur_per_kwh
    tomorrow = [column[int((at(clock, 1) - prices.price_start_epoch_s) // 900)] for clock in ("10:00", "14:00")]
    assert tomorrow[0] == pytest.approx(0.15, abs=0.02)
    assert tomorrow[1] == pytest.approx(0.02, abs=0.02)
    told = [r.getMessage() for r in caplog.records if "condition" in r.getMessage()]
    assert len([line for line in told if "prices BE" in line]) == 1  # said once, however often it was asked
    server.replies = []
    said = play(rolling, [yard], time, at("16:10"), 300.0)
    assert rolling.conditions[""] == {}
    assert any("(new prices)" in line for line in said)


def test_a_new_process_with_the_source_down_plans_by_the_cache(tmp_path, server):
    time = Time(epoch_s=at("09:00"))
    publish(server, time)
    folder = tmp_path / "yard"
    yard = Yard(folder, {"left": Car(None, at("08:00"), at("20:00"), 300.0)})
    play(loop([task_of(folder, market=market_of(server, time, tmp_path / "cache"))], time), [yard], time, at("09:03"))
    before = plan(folder)
    server.replies = [Reply(HTML)]
    time.pass_by(7 * 3600)  # beyond what counts as fresh
    rolling = loop([task_of(folder, market=market_of(server, time, tmp_path / "cache"))], time)
    yard.tick(time.epoch_s)
    rolling.step(time.epoch_s)
    assert "prices BE" in rolling.conditions[""]
    after = plan(folder)
    assert after.sequence == before.sequence + 1
    assert after.grid_ppm[0, 1] == pytest.approx(20_000, abs=1)  # 16:0x is a cheap hour of the kept answer


def test_without_any_price_the_tariffs_own_holds(tmp_path, server):
    time = Time(epoch_s=at("09:00"))
    server.replies = [Reply(b"", status=404)]
    folder = tmp_path / "yard"
    yard = Yard(folder, {"left": Car(None, at("08:00"), at("20:00"), 300.0)})
    rolling = loop([task_of(folder, market=market_of(server, time, tmp_path / "cache"))], time)
    play(rolling, [yard], time, at("09:02"))
    assert plan(folder).grid_ppm[0, 1] == 200_000
    assert "404" in rolling.conditions[""]["prices BE"]


ROOF = PvPlant(51.0, 4.4, (PvPlane(30.0, 180.0, 10.0),), 10.0)


def sky(name: str, step_s: int, ghi_w_per_m2: float) -> WeatherSeries:
    start = np.arange(int(at("09:00")), int(at("15:00")), step_s)
    columns = {"ghi_w_per_m2": np.full(start.shape, ghi_w_per_m2), "dhi_w_per_m2": np.full(start.shape, 50.0)}
    return WeatherSeries(name, start, np.full(start.shape, step_s), columns)


def test_hourly_irradiance_keeps_its_mean_and_quarters_are_taken_as_they_are():
    hourly = weather_columns(sky("a", 3600, 200.0), ROOF)
    assert hourly.ghi_w_per_m2.reshape(-1, 4).mean(axis=1) == pytest.approx(np.full(6, 200.0))
    assert np.ptp(hourly.ghi_w_per_m2) > 1.0
    assert hourly.dhi_w_per_m2 is None
    quarterly = weather_columns(sky("b", 900, 200.0), ROOF)
    assert quarterly.ghi_w_per_m2.tolist() == [200.0] * 24
    assert quarterly.dhi_w_per_m2 is not None
    assert quarterly.temperature_degc is not None
    assert np.isnan(quarterly.temperature_degc).all()


def test_the_weather_of_a_source_decides_what_pv_is_planned(tmp_path, server):
    planned = {}
    for name, share in (("clear", 1.0), ("dark", 0.05)):
        time = Time(epoch_s=at("09:00"))
        hours = [int(at("09:00")) - 14 * DAY_S + k * 900 for k in range(17 * 96 + 1)]
        clear = [max(0.0, 400.0 * share * np.sin((h - at("08:00")) / 32_400 * np.pi)) if at("08:00") <= h < at("17:00")
                 else 0.0 for h in hours]  # fmt: skip
        times = [datetime.fromtimestamp(h, UTC).strftime("%Y-%m-%dT%H:%M") for h in hours]
        body = {"minutely_15": {"time": times, "shortwave_radiation": clear},
                "minutely_15_units": {"time": "iso8601", "shortwave_radiation": "W/m²"}}  # fmt: skip
        server.replies = [Reply(json.dumps(body).encode())]
        feed = weather_feed(server, time, tmp_path / f"cache-{name}")
        folder = tmp_path / name
        models = replace(MODELS, plants={"roof": ROOF})
        record = replace(RECORD, topology=SUNNY)
        task = replace(task_of(folder, record, weather=feed), models=models)
        rolling = loop([task], time)
        play(rolling, [Yard(folder, {})], time, at("09:02"))
        assert rolling.conditions[""] == {}
        found = plan(folder)
        noon = int((at("12:00") - found.start_epoch_s) // found.step_s)
        planned[name] = float(found.planned_import_mw[noon]) / 1e6
    assert planned["clear"] < planned["dark"] - 2.0


# -- trouble ----------------------------------------------------------------------------------------------------------


class Broken:
    """A link that raises: a bug, as far as the loop can know."""

    def __init__(self) -> None:
        self.asked = 0

    def read(self) -> Received | LinkError:
        self.asked += 1
        raise ZeroDivisionError("oops")

    def send_plan(self, plan: Plan) -> LinkError | None:
        raise AssertionError

    def send_targets(self, targets: Targets) -> LinkError | None:
        raise AssertionError

    def last_plan(self) -> Plan | None:
        return None


def test_a_broken_site_is_told_once_rests_and_stops_nobody(tmp_path, caplog):
    time = Time(epoch_s=at("09:00"))
    broken = Broken()
    bad = replace(task_of(tmp_path / "bad", replace(RECORD, id="bad")), link=broken)
    old = replace(RECORD, id="old")
    yards = [
        Yard(tmp_path / "old", {}, site="old", topology_version="another"),
        Yard(tmp_path / "yard", {"left": Car(None, at("08:00"), at("20:00"), 300.0)}),
    ]
    silent = task_of(tmp_path / "silent", replace(RECORD, id="silent"))
    rolling = loop([bad, task_of(tmp_path / "old", old), silent, task_of(tmp_path / "yard")], time)
    said = play(rolling, yards, time, at("09:12"), 20.0)
    assert len([line for line in said if line.startswith("yard: plan")]) >= 3
    assert any(line.startswith("old: no plan") for line in said)
    wrong = rolling.conditions
    assert wrong["bad"] == {"listening": "ZeroDivisionError: oops"}
    assert "topology" in wrong["old"]["refused"]
    assert wrong["silent"] == {"silent": "nothing was heard yet"}
    assert wrong["yard"] == {}
    assert 10 <= broken.asked <= 13  # once a minute
    assert len([r for r in caplog.records if "step_failed" in r.getMessage()]) == 1
    assert not (tmp_path / "old" / "plan.json").exists()


def test_a_failing_plan_is_made_anew_with_what_was_known(tmp_path, monkeypatch):
    time = Time(epoch_s=at("09:00"))
    folder = tmp_path / "yard"
    yard = Yard(folder, {"left": Car(None, at("08:00"), at("20:00"), 300.0)})
    rolling = loop([task_of(folder)], time)
    play(rolling, [yard], time, at("09:02"))
    before = plan(folder)
    with monkeypatch.context() as patched:
        patched.setattr("optimizer.service.horizon.plan_problem", lambda *_, **__: 1 / 0)
        said = play(rolling, [yard], time, at("09:10"))
        assert all("it failed" in line for line in said)
        assert rolling.conditions["yard"] == {"planning": "ZeroDivisionError: division by zero"}
    assert plan(folder).sequence == before.sequence
    play(rolling, [yard], time, at("09:13"))
    assert plan(folder).sequence == before.sequence + 1
    assert rolling.conditions["yard"] == {}


def test_a_solver_that_is_stuck_in_a_bad_model_gets_a_new_one(tmp_path):
    time = Time(epoch_s=at("09:00"))
    folder = tmp_path / "yard"
    yard = Yard(folder, {"left": Car(None, at("08:00"), at("20:00"), 300.0)})
    rolling = loop([task_of(folder)], time)
    play(rolling, [yard], time, at("09:02"))
    before = plan(folder).sequence
    rolling._sites[0].planner._live.model = object()  # type: ignore[assignment]
    play(rolling, [yard], time, at("09:10"))
    assert plan(folder).sequence > before
    assert rolling.conditions["yard"] == {}


def test_silence_makes_no_plans_and_is_over_with_the_next_status(tmp_path):
    time = Time(epoch_s=at("09:00"))
    folder = tmp_path / "yard"
    yard = Yard(folder, {})
    rolling = loop([task_of(folder)], time)
    play(rolling, [yard], time, at("09:02"))
    time.pass_by(SILENT_S + 60)
    sequence = plan(folder).sequence
    assert rolling.step(time.epoch_s) == ()
    assert "nothing was heard for" in rolling.conditions["yard"]["silent"]
    play(rolling, [yard], time, time.epoch_s + 60)
    assert rolling.conditions["yard"] == {}
    assert plan(folder).sequence == sequence + 1


def test_a_status_from_the_future_does_not_hide_those_that_follow(tmp_path):
    time = Time(epoch_s=at("09:00"))
    folder = tmp_path / "yard"
    yard = Yard(folder, {})
    yard.tick(at("09:00") + 3600)
    rolling = loop([task_of(folder)], time)
    said = play(rolling, [yard], time, at("09:01"))
    assert len(said) == 1
    assert "future" in rolling.conditions["yard"]["unusable"]
    play(rolling, [yard], time, at("09:03"))
    assert rolling.conditions["yard"] == {}


def test_a_folder_that_cannot_be_written_is_tried_again(tmp_path):
    time = Time(epoch_s=at("09:00"))
    folder = tmp_path / "yard"
    yard = Yard(folder, {})
    (folder / "plan.json").mkdir(parents=True)
    rolling = loop([task_of(folder)], time)
    said = play(rolling, [yard], time, at("09:01"))
    assert "was not sent" in said[0]
    assert "cannot be written" in rolling.conditions["yard"]["unsent"]
    (folder / "plan.json").rmdir()
    play(rolling, [yard], time, at("09:03"))
    assert rolling.conditions["yard"] == {}
    assert plan(folder).sequence == 2


def test_a_new_process_goes_on_where_the_killed_one_was(tmp_path):
    time = Time(epoch_s=at("09:00"))
    folder = tmp_path / "yard"
    yard = Yard(folder, {"left": Car(None, at("08:00"), at("20:00"), 300.0)})
    play(loop([task_of(folder)], time), [yard], time, at("09:32"))
    before = plan(folder)
    later = loop([task_of(folder)], time)
    later.step(time.epoch_s)
    after = plan(folder)
    assert after.sequence == before.sequence + 1
    (site,) = later._sites
    assert len(site.planner.memory.quarters().start_epoch_s) == 2  # what the folder still told


def test_a_single_site_has_its_first_plan_at_once(tmp_path):
    time = Time(epoch_s=at("09:00"))
    task = task_of(tmp_path / "yard")
    yard = Yard(tmp_path / "yard", {})
    said = play(Rolling([task], lambda: time.now_s), [yard], time, at("09:02"))
    assert said[0].startswith("yard: plan")


def test_first_plans_and_news_for_all_are_spread_by_the_name_of_the_site(tmp_path):
    time = Time(epoch_s=at("09:00"))
    records = [replace(RECORD, id=f"s{k}") for k in range(12)]
    yards = [Yard(tmp_path / record.id, {}, site=record.id) for record in records]
    rolling = Rolling([task_of(tmp_path / r.id, r) for r in records], lambda: time.now_s, spread_s=300.0)
    by_minute = []
    while time.epoch_s < at("09:06"):
        for yard in yards:
            yard.tick(time.epoch_s)
        by_minute.append(len(rolling.step(time.epoch_s)))
        time.pass_by(60.0)
    assert sum(by_minute) == 12
    assert max(by_minute) <= 6


# -- a clock that is set back -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("back_s", [40.0, 200.0, 3600.0])
def test_a_clock_that_is_set_back_stops_no_plans(tmp_path, back_s):
    time = Time(epoch_s=at("09:00"))
    rolling, yard = started(tmp_path, time, Car("AA", at("08:00"), at("18:00"), 40.0))
    play(rolling, [yard], time, at("11:00"))
    time.epoch_s -= back_s
    before = plan(yard.folder)
    said = play(rolling, [yard], time, time.epoch_s + 900.0)
    planned = [line for line in said if "no plan" not in line]
    assert len(planned) >= 2, said  # every six minutes on a clock of whole ones
    after = plan(yard.folder)
    assert after.sequence > before.sequence
    assert after.issued_epoch_s <= time.epoch_s
    assert after.start_epoch_s <= time.epoch_s


def test_an_old_status_that_comes_late_takes_nothing_back(tmp_path):
    time = Time(epoch_s=at("09:00"))
    rolling, yard = started(tmp_path, time, Car("AA", at("08:00"), at("18:00"), 40.0))
    play(rolling, [yard], time, at("10:00"))
    yard.tick(at("09:10"))
    said = play(rolling, [yard], time, at("10:20"))
    assert not any("set back" in line for line in said)
