"""Real measurement files: formats, moved times, bad rows by name; generators beside them."""

from __future__ import annotations

import gzip
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pytest

from interfaces.drivers.site_reader import example_text
from interfaces.errors import UserError
from simulations.data_files import DataFiles, clock_of
from simulations.generators import heater_series, loads_of, prices_of, sky_of, stream, visits_of
from simulations.scenario import (
    GeneratedPrices,
    HeaterEntry,
    LoadEntry,
    LoadSeries,
    PriceFile,
    SessionFile,
    SunFile,
)
from simulations.scenario_schema import load_scenario
from simulations.simulate import shipped_text
from simulations.world import site_of, world_of

HOUR_S = 3600.0
START = datetime(2024, 6, 3, 6, 0)  # noqa: DTZ001  local time of a site
CLOCK = clock_of(START, "Europe/Amsterdam", 24 * HOUR_S)
MONDAY = date(2019, 6, 3)

HEADER = (
    "site,session_id,station_id,arrival_utc,departure_utc,"
    "estimated_departure_utc,requested_energy_kwh,delivered_energy_kwh,user_claimed\n"
)
ROWS = """\
x,1,S-1,2019-06-03T15:00:00Z,2019-06-03T20:00:00Z,2019-06-03T18:00:00Z,20.0,10.0,1
x,2,S-1,2019-06-03T16:00:00Z,2019-06-03T20:00:00Z,2019-06-03T20:00:00Z,7.0,7.0,0
x,3,S-2,2019-06-03T16:00:00Z,2019-06-03T15:00:00Z,,,5.0,1
x,4,S-2,2019-06-03T17:00:00Z,2019-06-03T18:00:00Z,,,-1.0,1
x,5,S-2,2019-06-03T17:00:00Z,2019-06-03T17:06:00Z,,,30.0,1
x,6,S-2,yesterday,2019-06-03T18:00:00Z,,,5.0,1
x,7,S-2,2019-06-03T17:00:00Z,2019-06-03T19:00:00Z,,,five,1
x,8,S-3,2019-06-04T15:00:00Z,2019-06-04T20:00:00Z,,,9.0,1
y,9,S-9,2019-06-03T15:00:00Z,2019-06-03T20:00:00Z,,,9.0,1
"""
SESSIONS = HEADER + ROWS


def entry(**changes: object) -> SessionFile:
    plain: dict[str, object] = {
        "kind": "file", "file": "s.csv", "first_day": MONDAY, "time_zone": "America/Los_Angeles", "place": "x"
    }  # fmt: skip
    return SessionFile(**{**plain, **changes})  # type: ignore[arg-type]


def files(tmp_path: Path, **content: str) -> DataFiles:
    for name, text in content.items():
        path = tmp_path / name.replace("_gz", ".gz").replace("__", ".")
        path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return DataFiles(tmp_path, CLOCK)


def test_sessions_move_onto_the_sites_clock_and_bad_rows_are_named(tmp_path):
    reader = files(tmp_path, s__csv=SESSIONS)
    found = reader.sessions(entry(), place="x", overlay=1, max_mean_kw=25.0)
    # 15:00 UTC is 8:00 in Los Angeles in summer: 2 h after a start at 6:00.
    assert [(s.start_s, s.end_s, s.energy_wh) for s in found] == [
        (2 * HOUR_S, 7 * HOUR_S, 10_000.0),
        (3 * HOUR_S, 7 * HOUR_S, 7_000.0),
    ]
    named = {(bad.file, bad.row): bad.why for bad in reader.bad_rows}
    assert set(named) == {("s.csv", row) for row in (4, 5, 6, 7, 8)}
    assert "not after arrival" in named["s.csv", 4]
    assert "not positive" in named["s.csv", 5]
    assert "mean power 300.0 kW" in named["s.csv", 6]
    assert "'yesterday' is no time" in named["s.csv", 7]
    assert "'five' is no number" in named["s.csv", 8]


def test_what_the_driver_typed_is_told_and_the_truth_of_unclaimed_rows_is_not(tmp_path):
    found = files(tmp_path, s__csv=SESSIONS).sessions(entry(), place="x", overlay=1, max_mean_kw=25.0)
    assert (found[0].told_end_s, found[0].told_energy_wh) == (5 * HOUR_S, 20_000.0)
    assert (found[1].told_end_s, found[1].told_energy_wh) == (None, None)


def test_overlaid_days_happen_together(tmp_path):
    found = files(tmp_path, s__csv=SESSIONS).sessions(entry(), place="x", overlay=2, max_mean_kw=25.0)
    assert [s.start_s for s in found] == [2 * HOUR_S, 3 * HOUR_S]
    short = clock_of(START, "Europe/Amsterdam", 12 * HOUR_S)
    reader = DataFiles(tmp_path, short)
    found = reader.sessions(entry(), place="x", overlay=2, max_mean_kw=25.0)
    assert [(s.start_s, s.energy_wh) for s in found] == [
        (2 * HOUR_S, 10_000.0), (2 * HOUR_S, 9_000.0), (3 * HOUR_S, 7_000.0)
    ]  # fmt: skip


def test_a_taken_place_sends_the_car_to_a_free_one(tmp_path):
    site = site_of("a", Path())
    visits = visits_of(entry(), site.topology, files(tmp_path, s__csv=SESSIONS), CLOCK, 1, 1.0)
    assert {v.arrival.asset for v in visits} == {"place-1", "place-2"}
    assert len({v.arrival.tag for v in visits}) == 2


def test_times_without_a_zone_are_the_wall_clock_of_the_file(tmp_path):
    text = "arrival_local,departure_local,delivered_energy_wh\n2019-06-03T08:30:00,2019-06-03T10:00:00,1500\n"
    found = files(tmp_path, s__csv_gz=text).sessions(entry(file="s.csv.gz"), place=None, overlay=1, max_mean_kw=25.0)
    assert [(s.start_s, s.energy_wh) for s in found] == [(2.5 * HOUR_S, 1500.0)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a,b\n1,2\n", "has no column for arrival"),
        ("", "is empty"),
        ("arrival_utc,departure_utc,delivered_energy_kwh\n", "no session begins"),
    ],
)
def test_a_file_without_sessions_is_told(tmp_path, text, told):
    with pytest.raises(UserError, match=told):
        files(tmp_path, s__csv=text).sessions(entry(), place=None, overlay=1, max_mean_kw=25.0)


@pytest.mark.parametrize("name", ["../s.csv", "/etc/hosts"])
def test_files_outside_the_folder_are_not_read(tmp_path, name):
    with pytest.raises(UserError, match="outside"):
        DataFiles(tmp_path, CLOCK).sessions(entry(file=name), place=None, overlay=1, max_mean_kw=25.0)


def test_a_compressed_file_that_is_none_is_told(tmp_path):
    (tmp_path / "s.csv.gz").write_bytes(b"plain text")
    with pytest.raises(UserError, match="cannot be read"):
        DataFiles(tmp_path, CLOCK).sessions(entry(file="s.csv.gz"), place=None, overlay=1, max_mean_kw=25.0)


def quarters(value, *, name: str = "load_mw", bad: str = "") -> str:
    rows = [f"start_utc,{name}"]
    for k in range(4 * 50):
        stamp = np.datetime64("2020-11-01T22:00") + np.timedelta64(15 * k, "m")
        rows.append(f"{stamp}:00Z,{value(k / 4 - 1.0)}")
    return "\n".join([*rows, bad]) + "\n"


def test_a_load_is_scaled_to_its_peak_and_feed_in_is_nothing(tmp_path):
    reader = files(tmp_path, l__csv=quarters(lambda hour: 2.0 if 12 <= hour < 13 else -1.0))
    load = LoadSeries("l.csv", date(2020, 11, 2), (30.0, 20.0, 10.0))
    (got,) = loads_of((LoadEntry("gcp", series=load),), reader, CLOCK, 1)
    assert got.series is not None
    amps = got.series.amps
    assert amps.max(axis=0).tolist() == [30.0, 20.0, 10.0]
    assert amps[60 * (12 - 6) + 5].tolist() == [30.0, 20.0, 10.0]  # 12:05, six hours after the start
    assert amps[60].tolist() == [0.0, 0.0, 0.0]


def test_empty_cells_of_a_series_are_named_and_bridged(tmp_path):
    reader = files(tmp_path, l__csv=quarters(lambda hour: "" if 9 <= hour < 10 else 1.0))
    load = LoadSeries("l.csv", date(2020, 11, 2), (10.0, 10.0, 10.0))
    (got,) = loads_of((LoadEntry("gcp", series=load),), reader, CLOCK, 1)
    assert got.series is not None
    assert got.series.amps.min() == pytest.approx(10.0)
    assert len(reader.bad_rows) == 4
    assert all("load_mw is empty" in bad.why for bad in reader.bad_rows)


def test_a_series_that_does_not_cover_the_run_is_told(tmp_path):
    reader = files(tmp_path, l__csv=quarters(lambda hour: 1.0))
    with pytest.raises(UserError, match="does not cover"):
        reader.trace(LoadSeries("l.csv", date(2021, 5, 1), (1.0, 1.0, 1.0)), None)
    with pytest.raises(UserError, match="no column"):
        reader.trace(LoadSeries("l.csv", date(2020, 11, 2), (1.0, 1.0, 1.0)), "wind_kw")


def test_parquet_is_read_too(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    hours = [f"{3 + k // 24:02d}.06.2016 {k % 24:02d}:00" for k in range(60)]
    parquet.write_table(
        pyarrow.table({"time_local": hours, "p_G0-A": [float(k % 24) for k in range(60)]}), tmp_path / "p.parquet"
    )
    trace = DataFiles(tmp_path, CLOCK).trace(
        LoadSeries("p.parquet", date(2016, 6, 3), (1.0, 1.0, 1.0), column="p_G0-A"), "p_G0-A"
    )
    assert float(np.interp(0.0, trace.at_s, trace.values)) == 6.0
    (tmp_path / "bad.parquet").write_text("no")
    with pytest.raises(UserError, match="no parquet file"):
        DataFiles(tmp_path, CLOCK).trace(LoadSeries("bad.parquet", MONDAY, (1.0, 1.0, 1.0)), None)


def test_the_sun_is_a_share_of_nameplate(tmp_path):
    reader = files(tmp_path, s__csv=quarters(lambda hour: 5.0 if 12 <= hour < 13 else -0.1, name="ac_power_kw"))
    sky = sky_of(SunFile("file", "s.csv", date(2020, 11, 2)), reader, CLOCK)
    assert sky.series is not None
    assert sky.series[1].max() == 1.0
    assert sky.series[1].min() == 0.0
    sky = sky_of(SunFile("file", "s.csv", date(2020, 11, 2), rated=10.0), reader, CLOCK)
    assert sky.series is not None
    assert sky.series[1].max() == 0.5


def test_prices_keep_their_hour_of_the_day(tmp_path):
    hours = "\n".join(
        f"{np.datetime64('2023-06-04T22:00') + np.timedelta64(k, 'h')}:00Z,{10.0 * (k % 24)}" for k in range(72)
    )
    reader = files(tmp_path, p__csv="start_utc,price_eur_per_mwh\n" + hours + "\n")
    prices = prices_of(PriceFile("file", "p.csv", date(2023, 6, 5), "Europe/Amsterdam"), reader, CLOCK, 1)
    assert prices is not None
    assert prices.at(0.0) == pytest.approx(0.06)  # 6:00
    assert prices.at(7.5 * HOUR_S) == pytest.approx(0.13)  # 13:30
    assert prices.at(-6 * HOUR_S) == pytest.approx(0.0)


def test_generated_prices_are_dear_in_the_evening_and_cheap_at_noon():
    prices = prices_of(GeneratedPrices(noise_eur_per_kwh=0.0), DataFiles(None, CLOCK), CLOCK, 1)
    assert prices is not None
    evening, noon = prices.at(13.5 * HOUR_S), prices.at(7.5 * HOUR_S)  # 19:30 and 13:30
    assert evening > prices.at(17.9 * HOUR_S) > noon


def test_heaters_keep_their_least_times():
    series = heater_series(HeaterEntry((5.0, 0.0, 0.0), 20.0, 10.0, 12.0), 5000.0, stream(3, "heaters"))
    on = series.amps[:, 0] > 0
    edges = np.flatnonzero(np.diff(on.astype(int)))
    assert len(edges) > 50
    assert np.diff(edges).min() >= 11
    assert set(np.unique(series.amps[:, 0])) == {0.0, 5.0}


def test_the_real_depot_finds_its_files(reference_data):
    loaded = load_scenario(shipped_text("depot_real")).scenario
    assert loaded is not None
    world, bad_rows = world_of(loaded, site_of("b", Path()), reference_data)
    assert len(world.visits) > 200
    assert sum(v.told_energy_wh is not None for v in world.visits) > 50
    assert world.prices is not None
    assert len(bad_rows) < 50
    assert world.environment.sky.series is not None


def test_the_depot_example_is_the_site_b():
    assert "depot" in example_text("depot")
    assert site_of("b", Path()).topology.n == 102
