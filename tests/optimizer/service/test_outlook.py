"""What lies ahead of a site, from its own past and the weather."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from forecasting.core.load import BuildingUse
from forecasting.core.pv import PvPlane, PvPlant, WeatherColumns
from forecasting.core.sessions import Place, SiteClass
from interfaces.domain.image import Pilot
from interfaces.domain.live import AssetLive, CircuitLive, LiveStatus
from interfaces.domain.topology import Asset, AssetKind, Circuit, build_topology
from optimizer.core.problem_state import Target, Unit
from optimizer.service.memory import FinishedSession, Quarters, SiteMemory
from optimizer.service.outlook import UNKNOWN_LOAD_SHARE, Models, expected_targets, outlook_of

THREE = (0, 1, 2)
TOPOLOGY = build_topology(
    [
        Circuit("gcp", None, (63.0,) * 3, meter="m", background_max_a=(20.0,) * 3),
        Circuit("hall", "gcp", (40.0,) * 3, background_max_a=(0.0,) * 3),
    ],
    [
        Asset("car", AssetKind.EVSE, "d1", "hall", THREE, 16.0),
        Asset("two", AssetKind.EVSE, "d2", "hall", THREE, 16.0),
        Asset("roof", AssetKind.PV, "d3", "gcp", THREE, 0.0, min_a=0.0, max_export_a=20.0),
        Asset("barn", AssetKind.PV, "d4", "gcp", THREE, 0.0, min_a=0.0, max_export_a=20.0),
    ],
    version="t",
)
NOON = datetime.fromisoformat("2026-06-10T10:00:00+00:00").timestamp()
NOW = NOON + 400.0
ROOF = PvPlant(51.0, 4.0, (PvPlane(30.0, 180.0, 11.0),), 10.0)
PLACE = Place(SiteClass.WORKPLACE, "Europe/Brussels", None)
MODELS = Models(PLACE, {"roof": ROOF}, use=BuildingUse.OFFICE)
DAYS = 21
CAR = AssetLive("car", int(Pilot.C2), NOW - 600.0, 1.0, "blue", 3.0, 13.0, 13.0, (1, 1, 1), None, 0, True)
EMPTY = replace(CAR, id="two", pilot=int(Pilot.A), plugged_in_epoch_s=None)


def remembered(
    load_kw: float, pv_kw: float = 2.0, *, held: bool = False, finished: tuple[FinishedSession, ...] = ()
) -> SiteMemory:
    """Three weeks of the same quarter."""
    count = DAYS * 96
    starts = (NOON - 900.0 * np.arange(count, 0, -1)).astype(np.int64)
    building = np.tile([load_kw, np.nan], (count, 1))
    sun = np.tile([pv_kw, 9.0], (count, 1))
    memory = SiteMemory(TOPOLOGY)
    memory.remember(Quarters(starts, building, sun, np.full((count, 2), held), np.full(count, np.nan)), finished)
    return memory


def seen(memory: SiteMemory, *assets: AssetLive) -> SiteMemory:
    circuit = CircuitLive("gcp", 6.0, 3.0, (None, None, None), (0.0, 0.0, 0.0))
    memory.observe(LiveStatus("s", "t", NOW, "plan", 1, None, (circuit,), assets or (CAR, EMPTY)))
    return memory


def sunny(share: float = 1.0) -> WeatherColumns:
    start = int(NOON) - 86400 * 14
    count = 96 * 17
    return WeatherColumns(start, np.full(count, 800.0 * share))


def test_it_begins_with_the_quarter_under_way_and_has_so_many_steps():
    ahead = outlook_of(MODELS, remembered(5.0), None, NOW, 48)
    assert ahead.start_epoch_s == NOON
    for column in (*ahead.load_kw.values(), *ahead.high_kw.values(), *ahead.pv_kw.values()):
        assert column.shape == (48,)
        assert np.isfinite(column).all()


def test_only_metered_circuits_and_known_plants_are_foreseen():
    ahead = outlook_of(MODELS, remembered(5.0), None, NOW, 8)
    assert set(ahead.load_kw) == set(ahead.high_kw) == {"gcp"}
    assert set(ahead.pv_kw) == {"roof"}
    assert ahead.arrivals_kw == {}


def test_cars_to_come_are_expected_where_they_came_before_and_nowhere_else():
    """Two a day at ten, 18 kWh in four hours each: 9 kW until two in the afternoon, on the circuit of the chargers."""
    came = tuple(
        FinishedSession(name, None, NOON - 7200.0 - day * 86400.0, NOON + 7200.0 - day * 86400.0, 18.0)
        for day in range(1, DAYS)
        for name in ("car", "two")
    )
    memory = remembered(5.0, finished=came)
    hall = outlook_of(MODELS, memory, None, NOON - 8 * 3600.0, 96).arrivals_kw
    assert set(hall) == {"hall"}
    assert hall["hall"].shape == (96,)
    assert hall["hall"][26:38].mean() == pytest.approx(9.0, rel=0.35)
    assert hall["hall"][:16].mean() < 1.0
    assert hall["hall"].sum() / 4.0 == pytest.approx(2 * 18.0, rel=0.35)


@pytest.mark.parametrize("level_kw", [2.0, 12.0])
def test_the_load_is_what_the_site_has_shown(level_kw):
    ahead = outlook_of(MODELS, remembered(level_kw), None, NOW, 96)
    assert ahead.load_kw["gcp"].mean() == pytest.approx(level_kw, rel=0.25)
    assert (ahead.high_kw["gcp"] >= 0.999 * ahead.load_kw["gcp"]).all()


def test_a_circuit_nobody_measured_yet_takes_a_share_of_its_rating():
    ahead = outlook_of(MODELS, SiteMemory(TOPOLOGY), None, NOW, 192)
    assert ahead.load_kw["gcp"].mean() == pytest.approx(UNKNOWN_LOAD_SHARE * 3 * 63.0 * 0.230, rel=0.5)
    assert (ahead.high_kw["gcp"] > ahead.load_kw["gcp"]).any()


def test_the_weather_reaches_the_plant():
    bright = outlook_of(MODELS, SiteMemory(TOPOLOGY), sunny(), NOW, 8).pv_kw["roof"]
    dull = outlook_of(MODELS, SiteMemory(TOPOLOGY), sunny(0.2), NOW, 8).pv_kw["roof"]
    assert bright.max() <= 10.0
    assert dull.mean() < 0.5 * bright.mean()


def test_what_was_held_back_does_not_teach_that_the_roof_is_weak():
    plain = outlook_of(MODELS, SiteMemory(TOPOLOGY), sunny(), NOW, 8).pv_kw["roof"].mean()
    weak = outlook_of(MODELS, remembered(5.0, 1.0), sunny(), NOW, 8).pv_kw["roof"].mean()
    held = outlook_of(MODELS, remembered(5.0, 1.0, held=True), sunny(), NOW, 8).pv_kw["roof"].mean()
    assert weak < 0.9 * plain
    assert held == pytest.approx(plain, rel=0.02)


def test_every_car_that_is_here_gets_a_target_unless_somebody_gave_one():
    memory = seen(remembered(5.0))
    (name, target), *more = expected_targets(MODELS, memory, NOW, {}).items()
    assert not more
    assert name == "car"
    assert target.unit == "kwh"
    assert target.amount > CAR.energy_kwh
    assert target.departure_epoch_s is not None
    assert target.departure_epoch_s > NOW
    asked = Target(unit="kwh", amount=2.0 * CAR.energy_kwh + 0.1, departure_epoch_s=NOW + 3600.0)
    assert expected_targets(MODELS, memory, NOW, {"car": asked}) == {}


@pytest.mark.parametrize(("unit", "amount"), [("kwh", 1.9), ("km", 10.0), ("pct", 3.0)])
def test_who_nearly_has_what_was_asked_for_may_take_more(unit: Unit, amount: float):
    asked = Target(unit=unit, amount=amount, departure_epoch_s=NOW + 3600.0)
    assert expected_targets(MODELS, seen(remembered(5.0)), NOW, {"car": asked})["car"].amount > CAR.energy_kwh


def test_before_the_first_status_nobody_is_here():
    assert expected_targets(MODELS, SiteMemory(TOPOLOGY), NOW, {}) == {}


def test_who_always_takes_much_is_expected_to_do_so_again():
    def habit(kwh: float) -> float:
        sessions = tuple(
            FinishedSession("car", "blue", NOW - 600.0 - d * 86400.0, NOW + 6 * 3600.0 - d * 86400.0, kwh)
            for d in range(1, DAYS)
        )
        return expected_targets(MODELS, seen(remembered(5.0, finished=sessions)), NOW, {})["car"].amount

    assert habit(40.0) > 1.5 * habit(8.0)


def test_a_stranger_waits_for_no_cheaper_hour_and_a_card_that_is_known_may():
    """Of cars that nobody described, eleven in two weeks left empty: they were gone before the hour others stay for."""
    stranger = expected_targets(MODELS, seen(remembered(5.0)), NOW, {})["car"]
    own = tuple(
        FinishedSession("car", "blue", NOW - 600.0 - d * 86400.0, NOW + 6 * 3600.0 - d * 86400.0, 20.0)
        for d in range(1, DAYS)
    )
    known = expected_targets(MODELS, seen(remembered(5.0, finished=own)), NOW, {})["car"]
    assert stranger.deferrable is False
    cardless = replace(CAR, tag=None)
    assert expected_targets(MODELS, seen(remembered(5.0), cardless), NOW, {})["car"].deferrable is None
    assert known.deferrable is None
