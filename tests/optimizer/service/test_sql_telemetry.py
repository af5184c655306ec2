"""From believed messages to rows, on both databases."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import text

from interfaces.domain.live import AssetLive, CircuitLive, LiveStatus
from interfaces.domain.wire import Energy, EnergyRow, Event, Quality
from interfaces.domain.wire_head import Head
from interfaces.domain.wire_live import Live
from interfaces.domain.wire_topics import Address
from optimizer.service.ingest import Arrival, StoreError
from optimizer.service.sql_telemetry import SqlTelemetry
from optimizer.store.charging import ChargingSession, sessions_of
from optimizer.store.database import Database
from optimizer.store.registry import Controller, put_controller
from optimizer.store.series import Series, read_series
from tests.optimizer.store.kit import NOW, NOW_MS, with_sites

ADDRESS = Address("acme", "north", "north-1")
CAR = AssetLive("car-1", 3, NOW - 600.0, 1.5, None, 7.0, 10.0, 10.0, (1, 1, 1), None, 4, reachable=True)
GRID = CircuitLive("gcp", 9.0, 7.0, (13.0, None, 12.0), (1.0, 1.0, 1.0))


@pytest.fixture
def telemetry(database: Database) -> SqlTelemetry:
    with_sites(database, "north")
    put_controller(database, Controller("north-1", "north", None, NOW))
    return SqlTelemetry(database, now_s=lambda: 0.0, now_epoch_s=lambda: NOW)


def live(seq: int, offset_s: float = 0.0, *, historical: bool = False, power_kw: float | None = 7.0) -> Arrival:
    at = NOW + offset_s
    car = replace(CAR, power_kw=power_kw)
    status = LiveStatus("north", "v1", at, "plan", 1, None, (GRID,), (car,))
    return Arrival(ADDRESS, Live(Head(1, seq, at, historical=historical), whole=status), status, at)


def car_at(
    seq: int, offset_s: float, *, begin: float = -600.0, kwh: float | None = None, tag: str | None = None,
    historical: bool = False,
) -> Arrival:  # fmt: skip
    """A status with a car that has drawn so much, or without one."""
    arrival = live(seq, offset_s, historical=historical)
    assert arrival.status is not None
    begin_s = None if kwh is None else NOW + begin
    car = replace(CAR, plugged_in_epoch_s=begin_s, energy_kwh=kwh or 0.0, tag=tag)
    return replace(arrival, status=replace(arrival.status, assets=(car,)))


def rows(database: Database, asset: str, quantity: str, series: Series = "live") -> list[tuple[int, float]]:
    times, values = read_series(database, series, "north", asset, quantity, 0, 2**60)
    return list(zip((times - NOW_MS).tolist(), values.tolist(), strict=True))


def test_only_registered_controllers_are_known(database):
    with_sites(database, "north")
    moment = [0.0]
    telemetry = SqlTelemetry(database, now_s=lambda: moment[0])
    assert not telemetry.knows(ADDRESS)
    put_controller(database, Controller("north-1", "north", None, NOW))
    assert not telemetry.knows(ADDRESS), "it asks once a minute, whoever pretends to be somebody"
    moment[0] = 60.0
    assert telemetry.knows(ADDRESS)
    assert not telemetry.knows(Address("other", "north", "north-1"))
    assert not telemetry.knows(Address("acme", "south", "north-1"))


def test_values_are_kept_where_they_change_and_once_a_quarter(database, telemetry):
    told = [live(1), live(2, 10.0), live(3, 20.0, power_kw=7.5), live(4, 30.0, power_kw=None), live(5, 900.0)]
    for arrival in told:
        assert telemetry.add([arrival]) is None
    assert rows(database, "car-1", "power_kw") == [(0, 7.0), (20_000, 7.5), (900_000, 7.0)]
    assert rows(database, "car-1", "setpoint_a") == [(0, 10.0), (900_000, 10.0)]
    assert rows(database, "gcp", "current_l1_a") == [(0, 13.0), (900_000, 13.0)]
    assert rows(database, "gcp", "current_l2_a") == [], "what was not measured is not there"
    assert rows(database, "car-1", "energy_kwh") == [(0, 1.5), (900_000, 1.5)]


def test_one_batch_is_as_good_as_many(database, telemetry):
    told = [live(1), live(2, 10.0), live(3, 20.0, power_kw=7.5), live(2, 10.0)]
    assert telemetry.add(told) is None
    assert rows(database, "car-1", "power_kw") == [(0, 7.0), (20_000, 7.5)]
    assert telemetry.add(told) is None
    assert rows(database, "car-1", "power_kw") == [(0, 7.0), (20_000, 7.5)]


def test_the_spool_does_not_hide_live_values_nor_they_it(database, telemetry):
    telemetry.add([live(9, 60.0)])
    telemetry.add([live(1, 0.0, historical=True), live(2, 10.0, historical=True)])
    telemetry.add([live(10, 70.0)])
    assert rows(database, "car-1", "power_kw") == [(0, 7.0), (60_000, 7.0)]


def test_what_fills_a_gap_later_does_not_seem_to_hold_after_it(database, telemetry):
    told = [live(1), live(3, 20.0), live(4, 30.0), live(2, 10.0, historical=True, power_kw=9.0), live(5, 40.0)]
    for arrival in told:
        assert telemetry.add([arrival]) is None
    assert rows(database, "car-1", "power_kw") == [(0, 7.0), (10_000, 9.0), (20_000, 7.0)]


def told_sessions(database: Database) -> tuple[ChargingSession, ...]:
    """The sessions of the site, energies to the watt-hour."""
    found = sessions_of(database, "north", 0.0)
    return tuple(replace(one, energy_kwh=round(one.energy_kwh, 3)) for one in found)


def test_sessions_are_put_together_however_often_a_message_comes(database, telemetry):
    told = [car_at(1, 0.0, kwh=1.5), *(car_at(k, 10.0 * k - 10.0, kwh=1.4 + k / 10, tag="t\0g") for k in (2, 3))]
    told.append(car_at(4, 30.0))
    for arrival in told:
        assert telemetry.add([arrival]) is None
    ended = ChargingSession("car-1", NOW - 600.0, NOW + 30.0, "tg", 1.7, NOW + 20.0)
    assert told_sessions(database) == (ended,)
    again = SqlTelemetry(database, now_s=lambda: 0.0, now_epoch_s=lambda: NOW)
    assert again.add([*told, *told]) is None
    assert told_sessions(database) == (ended,)


def test_a_session_goes_on_over_a_restart_and_its_spool_ends_it(database, telemetry):
    assert telemetry.add([car_at(1, 0.0, kwh=1.5)]) is None
    again = SqlTelemetry(database, now_s=lambda: 0.0, now_epoch_s=lambda: NOW)
    assert again.add([car_at(9, 900.0, begin=850.0, kwh=0.1)]) is None
    assert [one.plugged_out_epoch_s for one in sessions_of(database, "north", 0.0)] == [NOW + 850.0, None]
    spool = [car_at(2, 300.0, kwh=4.0, historical=True), car_at(3, 310.0, historical=True)]
    assert again.add(spool) is None
    first, second = sessions_of(database, "north", 0.0)
    assert (first.plugged_out_epoch_s, first.energy_kwh) == (NOW + 310.0, 4.0)
    assert (second.plugged_in_epoch_s, second.plugged_out_epoch_s) == (NOW + 850.0, None)


def test_what_no_session_can_be_is_none(database, telemetry):
    wrong = [car_at(1, 0.0, begin=1e300, kwh=1.0), car_at(2, 10.0, begin=-NOW, kwh=1.0), car_at(3, 20.0, kwh=1e301)]
    assert telemetry.add([*wrong, car_at(4, 10.0 - 40 * 86_400, begin=-41 * 86_400, kwh=1.0)]) is None
    assert sessions_of(database, "north", -1e12) == ()


def test_made_up_names_do_not_fill_the_memory(telemetry, monkeypatch):
    monkeypatch.setattr("optimizer.service.sql_telemetry.MOST_SERIES", 20)
    for k in range(30):
        arrival = live(k, float(k))
        assert arrival.status is not None
        status = replace(arrival.status, assets=(replace(CAR, id=f"car-{k}"),))
        assert telemetry.add([replace(arrival, status=status)]) is None
    assert len(telemetry._memory.last) <= 20 + 10, "one batch more at most"


def test_energy_goes_to_its_own_series_with_its_quality(database, telemetry):
    energy = Energy(
        Head(1, 4, NOW),
        NOW - 900.0,
        assets=(
            EnergyRow("car-1", 1750.0, Quality.PARTIAL, 600.0),
            EnergyRow("car-2", None, Quality.MISSING, 0.0),
        ),
        circuits=(EnergyRow("gcp", -20.0, Quality.GOOD, 900.0),),
    )
    assert telemetry.add([Arrival(ADDRESS, energy, None, NOW)]) is None
    assert rows(database, "car-1", "energy_wh", "energy") == [(-900_000, 1750.0)]
    assert rows(database, "car-2", "energy_wh", "energy") == []
    assert rows(database, "gcp", "energy_wh", "energy") == [(-900_000, -20.0)]
    with database.begin() as connection:
        assert connection.scalar(text("SELECT quality FROM energy WHERE asset = 'car-1'")) == 1


def test_events_are_kept_whole(database, telemetry):
    event = Event(Head(1, 7, NOW), "e1", entered=True, code=12, name="meter_stale", text="the meter is silent")
    assert telemetry.add([Arrival(ADDRESS, event, None, NOW)]) is None
    with database.begin() as connection:
        kind, body = connection.execute(text("SELECT kind, body FROM messages")).one()
    assert kind == "event"
    assert '"meter_stale"' in body


def test_what_the_store_did_not_take_is_told_and_can_be_added_again(database, telemetry):
    stranger = replace(live(2), address=Address("acme", "nowhere", "x"))
    found = telemetry.add([live(1), stranger])
    assert isinstance(found, StoreError)
    assert rows(database, "car-1", "power_kw") == []
    assert telemetry.add([live(1)]) is None
    assert rows(database, "car-1", "power_kw") == [(0, 7.0)]


def test_no_store_is_a_reason_and_changes_nobody(tmp_path):
    telemetry = SqlTelemetry(Database(f"postgresql://postgres@/x?host={tmp_path}"))
    assert not telemetry.knows(ADDRESS)
    assert isinstance(telemetry.add([live(1)]), StoreError)
