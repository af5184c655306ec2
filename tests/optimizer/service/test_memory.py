"""What the optimizer remembers of a site: quarter means, gaps, sessions, the month's peak."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from interfaces.domain.image import Pilot
from interfaces.domain.live import AssetLive, CircuitLive, LiveStatus
from interfaces.domain.topology import Asset, AssetKind, Circuit, build_topology
from optimizer.service.memory import KEEP_DAYS, FinishedSession, Happening, SiteMemory

TOPOLOGY = build_topology(
    [Circuit("gcp", None, (63.0, 63.0, 63.0), meter="m")],
    [
        Asset("car", AssetKind.EVSE, "d1", "gcp", (0, 1, 2), 16.0),
        Asset("roof", AssetKind.PV, "d2", "gcp", (0, 1, 2), 0.0, max_export_a=20.0),
    ],
    version="t",
)
START = datetime.fromisoformat("2026-11-23T07:00:00+00:00").timestamp()
CAR = AssetLive("car", int(Pilot.A), None, 0.0, None, 0.0, 0.0, 0.0, (1, 1, 1), None, 0, True)
ROOF = AssetLive("roof", int(Pilot.UNKNOWN), None, 0.0, None, -3.0, -20.0, None, (1, 1, 1), None, 0, True)


def status(at_s: float, grid_kw: float | None = 5.0, *, car: AssetLive = CAR, roof: AssetLive = ROOF) -> LiveStatus:
    drawn = (car.power_kw or 0.0) + (roof.power_kw or 0.0)
    circuit = CircuitLive("gcp", grid_kw, drawn, (None, None, None), (0.0, 0.0, 0.0))
    return LiveStatus("s", TOPOLOGY.version, START + at_s, "plan", 1, None, (circuit,), (car, roof))


def fed(
    memory: SiteMemory, until_s: int, grid_kw: float | None = 5.0, *, begin_s: int = 0, roof: AssetLive = ROOF
) -> None:
    for at_s in range(begin_s, until_s + 1, 10):
        memory.observe(status(at_s, grid_kw, roof=roof))


def test_a_quarter_is_the_mean_of_what_was_measured() -> None:
    memory = SiteMemory(TOPOLOGY)
    fed(memory, 440)
    fed(memory, 900, 9.0, begin_s=450)
    quarters = memory.quarters()
    assert quarters.start_epoch_s.tolist() == [int(START)]
    assert quarters.import_kw[0] == pytest.approx(7.0)
    assert quarters.building_kw[0, 0] == pytest.approx(10.0)  # 7 kW from the grid and 3 kW from the roof
    assert quarters.pv_kw[0, 0] == pytest.approx(3.0)
    assert not quarters.held_back.any()


def test_export_is_no_import_and_does_not_net_within_the_quarter() -> None:
    memory = SiteMemory(TOPOLOGY)
    fed(memory, 440, -4.0)
    fed(memory, 900, 4.0, begin_s=450)
    assert memory.quarters().import_kw[0] == pytest.approx(2.0)


def test_a_gap_is_missing_and_not_zero_and_the_quarters_have_no_hole() -> None:
    memory = SiteMemory(TOPOLOGY)
    fed(memory, 900)
    memory.observe(status(4 * 900.0))  # 45 min later
    quarters = memory.quarters()
    assert np.diff(quarters.start_epoch_s).tolist() == [900, 900, 900]
    assert np.isfinite(quarters.import_kw).tolist() == [True, False, False, False]


def test_a_box_that_began_in_1970_costs_no_more_than_the_memory_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead clock battery: the first statuses are from 1970, then the time server is heard."""
    closed = [0]

    def counted(memory: SiteMemory) -> None:
        closed[0] += 1
        close(memory)

    close = SiteMemory._close
    monkeypatch.setattr(SiteMemory, "_close", counted)
    memory = SiteMemory(TOPOLOGY)
    memory.observe(status(-START))
    memory.observe(status(0.0))
    assert closed[0] == KEEP_DAYS * 96
    quarters = memory.quarters()
    assert quarters.start_epoch_s[[0, -1]].tolist() == [START - KEEP_DAYS * 86_400, START - 900]
    assert np.isnan(quarters.import_kw).all()


def test_a_meter_that_says_nothing_is_missing() -> None:
    memory = SiteMemory(TOPOLOGY)
    fed(memory, 900, None)
    quarters = memory.quarters()
    assert np.isnan(quarters.building_kw).all()
    assert np.isnan(quarters.import_kw).all()
    assert quarters.pv_kw[0, 0] == pytest.approx(3.0)


def test_production_that_was_held_back_is_marked() -> None:
    memory = SiteMemory(TOPOLOGY)
    fed(memory, 300)
    fed(memory, 600, begin_s=310, roof=replace(ROOF, setpoint_a=-5.0))
    fed(memory, 1800, begin_s=610)
    assert memory.quarters().held_back[:, 0].tolist() == [True, False]


def test_the_quarter_under_way() -> None:
    memory = SiteMemory(TOPOLOGY)
    fed(memory, 900 + 360, 10.0)
    assert memory.imported_this_quarter_kwh() == pytest.approx(1.0)


def test_the_months_peak_begins_anew_at_local_midnight() -> None:
    zone = ZoneInfo("Europe/Brussels")
    memory = SiteMemory(TOPOLOGY)
    first = datetime(2026, 11, 30, 22, 30, tzinfo=zone).timestamp() - START
    fed(memory, int(first) + 1800, 20.0, begin_s=int(first))
    assert memory.month_peak_kw(zone) == pytest.approx(20.0)
    fed(memory, int(first) + 3 * 3600, 8.0, begin_s=int(first) + 1810)
    assert memory.month_peak_kw(zone) == pytest.approx(8.0)


def test_the_register_of_the_meter_knows_what_was_imported_before_anybody_looked() -> None:
    memory = SiteMemory(TOPOLOGY)
    memory.observe(replace(status(600.0), quarter_kw=4.0))
    assert memory.imported_this_quarter_kwh() == pytest.approx(1.0)
    memory.observe(status(610.0))
    assert memory.imported_this_quarter_kwh() == pytest.approx(5.0 * 10 / 3600)


def test_the_months_peak_of_the_meter_counts_until_the_month_ends() -> None:
    zone = ZoneInfo("Europe/Brussels")
    memory = SiteMemory(TOPOLOGY)
    first = int(datetime(2026, 11, 30, 23, 0, tzinfo=zone).timestamp() - START)
    fed(memory, first + 1790, 8.0, begin_s=first)
    memory.observe(replace(status(first + 1800.0, 8.0), month_peak_kw=12.5))
    assert memory.month_peak_kw(zone) == pytest.approx(12.5)
    fed(memory, first + 3590, 20.0, begin_s=first + 1810)
    assert memory.month_peak_kw(zone) == pytest.approx(20.0, abs=0.2), (
        "a quarter ended that the meter has not told of yet"
    )
    fed(memory, first + 3600 + 900, 6.0, begin_s=first + 3600)
    assert memory.month_peak_kw(zone) == pytest.approx(6.0)


def test_a_session_from_plug_in_to_plug_out() -> None:
    memory = SiteMemory(TOPOLOGY)
    here = replace(CAR, pilot=int(Pilot.C2), plugged_in_epoch_s=START + 20.0, tag="blue", energy_kwh=1.5)
    assert memory.observe(status(0.0)) == ()
    assert memory.observe(status(20.0, car=here)) == (Happening("plug_in", "car"),)
    drifted = replace(here, plugged_in_epoch_s=START + 20.4, energy_kwh=2.5)
    assert memory.observe(status(30.0, car=drifted)) == ()
    assert memory.observe(status(40.0)) == (Happening("plug_out", "car"),)
    assert list(memory.finished) == [FinishedSession("car", "blue", START + 20.4, START + 40.0, 2.5)]


def test_cars_exchanged_between_two_statuses_are_two_sessions() -> None:
    memory = SiteMemory(TOPOLOGY)
    one = replace(CAR, pilot=int(Pilot.C2), plugged_in_epoch_s=START, tag="blue", energy_kwh=1.5)
    memory.observe(status(0.0, car=one))
    other = replace(one, plugged_in_epoch_s=START + 300.0, tag="red", energy_kwh=0.0)
    assert memory.observe(status(310.0, car=other)) == (Happening("plug_out", "car"), Happening("plug_in", "car"))
    assert [s.tag for s in memory.finished] == ["blue"]


def test_an_older_status_changes_nothing() -> None:
    memory = SiteMemory(TOPOLOGY)
    fed(memory, 600)
    last = memory.last
    assert memory.observe(status(100.0, 99.0)) == ()
    assert memory.last is last


def test_an_operator_limit_is_a_happening() -> None:
    memory = SiteMemory(TOPOLOGY)
    memory.observe(status(0.0))
    limited = replace(status(10.0), operator_limit_w=4200.0)
    assert memory.observe(limited) == (Happening("operator_limit", ""),)
