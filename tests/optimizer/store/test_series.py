"""Telemetry, stored once; partitions made ahead and dropped: the same on both databases."""

from __future__ import annotations

import math

import pytest
from sqlalchemy import text

from optimizer.store.database import Database
from optimizer.store.partitions import partition_of, partitions
from optimizer.store.series import (
    DAY_MS,
    KEPT_DAYS,
    Sample,
    Series,
    Stored,
    Told,
    UnknownSite,
    add_messages,
    maintain_series,
    read_series,
)
from simulations.bench.postgres import Cluster
from tests.optimizer.postgres import fresh_url
from tests.optimizer.store.kit import NOW_MS, with_sites


def batch(seq: int, *samples: Sample, session: int = 1, site: str = "north", **more) -> Told:
    known = {"site": site, "controller": f"{site}-1", "session": session, "seq": seq, "kind": "live", "at_ms": NOW_MS}
    return Told(**{**known, "samples": samples, **more})


def sample(offset_ms: int, value: float, asset: str = "car-1") -> Sample:
    return Sample(NOW_MS + offset_ms, asset, "power_w", value)


def read(database: Database, asset: str = "car-1", series: Series = "live", begin: int = 0, end: int = 2**60):
    times, values = read_series(database, series, "north", asset, "power_w", begin, end)
    return list(zip((times - NOW_MS).tolist(), values.tolist(), strict=True))


def test_values_come_back_as_they_were(database):
    with_sites(database, "north", "south")
    found = add_messages(
        database,
        [
            batch(2, sample(10_000, -2.5), sample(10_000, 7.0, "car-2")),
            batch(1, sample(0, 0.0)),
            batch(1, sample(0, 99.0), site="south"),
        ],
        NOW_MS,
    )
    assert found == Stored(repeated=0, rows=4, outside=0)
    assert read(database) == [(0, 0.0), (10_000, -2.5)]
    assert read(database, "car-2") == [(10_000, 7.0)]
    assert read(database, begin=NOW_MS + 1, end=NOW_MS + 10_001) == [(10_000, -2.5)]
    assert read(database, end=NOW_MS + 10_000) == [(0, 0.0)]


def test_row_24_a_message_that_comes_twice_is_stored_once(database, figure):
    with_sites(database, "north")
    add_messages(database, [batch(1, sample(0, 1.0)), batch(2, sample(1, 2.0))], NOW_MS)
    again = add_messages(database, [batch(2, sample(1, 5.0)), batch(3, sample(2, 3.0)), batch(1)], NOW_MS)
    assert again == Stored(repeated=2, rows=1, outside=0)
    assert add_messages(database, [batch(4, sample(3, 4.0)), batch(4, sample(3, 4.0))], NOW_MS) == Stored(1, 1, 0)
    other = add_messages(database, [batch(1, sample(4, 5.0), session=2)], NOW_MS)
    assert other == Stored(0, 1, 0), "another session counts from one again"
    assert read(database) == [(0, 1.0), (1, 2.0), (2, 3.0), (3, 4.0), (4, 5.0)]
    figure("rows doubled", 0)


def test_what_is_not_stored_can_be_sent_again(database):
    with_sites(database, "north")
    found = add_messages(database, [batch(1, sample(0, 1.0)), batch(1, sample(0, 1.0), site="nobody")], NOW_MS)
    assert isinstance(found, UnknownSite)
    assert read(database) == []
    assert add_messages(database, [batch(1, sample(0, 1.0))], NOW_MS) == Stored(0, 1, 0)


def test_values_of_no_time_and_no_value_are_left_out_and_counted(database):
    with_sites(database, "north")
    oldest = -KEPT_DAYS["live"] * DAY_MS
    found = add_messages(
        database,
        [batch(1, sample(oldest, 1.0), sample(oldest - 1, 2.0), sample(DAY_MS, 3.0), sample(DAY_MS + 1, 4.0)),
         batch(2, sample(0, math.nan), sample(0, math.inf), sample(0, 1e301), sample(0, 5.0))],
        NOW_MS,
    )  # fmt: skip
    assert found == Stored(repeated=0, rows=3, outside=5)
    assert read(database) == [(oldest, 1.0), (0, 5.0), (DAY_MS, 3.0)]


def test_events_are_kept_whole_and_longer_than_the_names_of_values(database):
    with_sites(database, "north")
    add_messages(database, [batch(1, sample(0, 1.0)), batch(2, kind="event", body='{"id": "fire"}')], NOW_MS)
    query = text("SELECT kind, body FROM messages ORDER BY seq")
    with database.begin() as connection:
        assert connection.execute(query).all() == [("live", None), ("event", '{"id": "fire"}')]
    maintain_series(database, NOW_MS + 399 * DAY_MS)
    with database.begin() as connection:
        assert connection.execute(query).all() == [("event", '{"id": "fire"}')]
    maintain_series(database, NOW_MS + 401 * DAY_MS)
    with database.begin() as connection:
        assert connection.execute(query).all() == []


def test_live_and_energy_are_two_series_and_the_spool_is_marked(database):
    with_sites(database, "north")
    add_messages(
        database, [batch(1, sample(0, 1.0), series="energy", historical=True), batch(2, sample(0, 2.0))], NOW_MS
    )
    assert read(database, series="energy") == [(0, 1.0)]
    assert read(database) == [(0, 2.0)]
    with database.begin() as connection:
        assert connection.scalar(text("SELECT historical FROM energy")) in (True, 1)
        assert connection.scalar(text("SELECT historical FROM live")) in (False, 0)


def test_each_series_is_kept_as_long_as_it_is_worth(database):
    with_sites(database, "north")
    days = KEPT_DAYS["live"]
    for k, series in enumerate(("live", "energy")):
        add_messages(database, [batch(k, sample(-days * DAY_MS, 1.0), sample(0, 2.0), series=series)], NOW_MS)
    assert maintain_series(database, NOW_MS) == 0
    assert maintain_series(database, NOW_MS + 2 * DAY_MS) == 1, "a row, or the partition it is in"
    assert read(database) == [(0, 2.0)]
    assert read(database, series="energy") == [(-days * DAY_MS, 1.0), (0, 2.0)]
    with database.begin() as connection:
        assert connection.scalar(text("SELECT count(*) FROM messages")) == 2
    maintain_series(database, NOW_MS + 11 * DAY_MS)
    with database.begin() as connection:
        assert connection.scalar(text("SELECT count(*) FROM messages")) == 0


@pytest.mark.xdist_group("postgresql")
def test_partitions_are_there_before_the_rows(cluster: Cluster):
    database = Database(fresh_url(cluster))
    maintain_series(database, NOW_MS)
    assert list(partitions(database, "live")) == [f"live_202511{day}" for day in (21, 22, 23, 24)]
    assert list(partitions(database, "energy")) == ["energy_202511"]
    with_sites(database, "north")
    add_messages(database, [batch(1, sample(0, 1.0))], NOW_MS)
    assert len(partitions(database, "live")) == 4
    second = Database(database.url)  # knows of no partition, and makes none twice
    maintain_series(second, NOW_MS)
    second.close()
    maintain_series(database, NOW_MS + 36 * DAY_MS)
    assert list(partitions(database, "live")) == [
        "live_20251122", "live_20251123", "live_20251124", "live_20251227", "live_20251228", "live_20251229",
        "live_20251230",
    ]  # fmt: skip
    database.close()


@pytest.mark.xdist_group("postgresql")
def test_a_detachment_that_was_interrupted_is_finished(cluster: Cluster):
    database = Database(fresh_url(cluster))
    maintain_series(database, NOW_MS)
    with database.begin() as connection:
        connection.execute(
            text("UPDATE pg_inherits SET inhdetachpending = true WHERE inhrelid = 'live_20251121'::regclass")
        )
    assert partitions(database, "live")["live_20251121"]
    assert maintain_series(database, NOW_MS + 37 * DAY_MS) >= 1
    assert "live_20251121" not in partitions(database, "live")
    database.close()


def test_the_bounds_of_partitions():
    day = partition_of("live", NOW_MS, monthly=False)
    assert (day.name, day.end_ms - day.begin_ms) == ("live_20251121", DAY_MS)
    assert day.begin_ms <= NOW_MS < day.end_ms
    december = partition_of("energy", NOW_MS + 15 * DAY_MS, monthly=True)
    assert (december.name, december.end_ms - december.begin_ms) == ("energy_202512", 31 * DAY_MS)
    assert partition_of("energy", december.end_ms, monthly=True).name == "energy_202601"
    assert partition_of("energy", december.begin_ms - 1, monthly=True).name == "energy_202511"
