"""Prices from a file that somebody keeps up to date."""

from __future__ import annotations

import os
from pathlib import Path

from interfaces.domain.series import PriceSeries
from interfaces.sources.prices import csv_file
from optimizer.service.file_feed import LOOK_EVERY_S, FileFeed

DAY = "start_utc,eur_per_kwh\n2026-01-10T00:00:00Z,0.10\n2026-01-10T01:00:00Z,{}\n"


def feed_of(path: Path) -> FileFeed[PriceSeries]:
    return FileFeed("prices BE", path, csv_file.parse)


def test_it_is_read_once_and_again_when_it_changes(tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text(DAY.format("0.20"))
    feed = feed_of(path)
    assert feed.poll(0.0)
    assert feed.series is not None
    assert list(feed.series.eur_per_kwh) == [0.10, 0.20]
    assert not feed.poll(LOOK_EVERY_S), "nothing changed"
    path.write_text(DAY.format("0.305"))
    assert not feed.poll(2 * LOOK_EVERY_S - 0.1), "not its turn yet"
    assert feed.poll(2 * LOOK_EVERY_S)
    assert feed.series.eur_per_kwh[1] == 0.305


def test_a_clock_set_back_does_not_stop_it(tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text(DAY.format("0.20"))
    feed = feed_of(path)
    feed.poll(1e9)
    path.write_text(DAY.format("0.25"))
    os.utime(path, ns=(1, 1))
    assert feed.poll(1e9 - 3600)


def test_a_missing_or_damaged_file_keeps_the_last_series_and_says_so(tmp_path):
    path = tmp_path / "prices.csv"
    feed = feed_of(path)
    assert not feed.poll(0.0)
    assert feed.series is None
    assert feed.trouble == f"prices BE: {path} cannot be read: No such file or directory"
    path.write_text(DAY.format("0.20"))
    assert feed.poll(10.0)
    assert feed.trouble == ""
    path.write_text(DAY.format("cheap"))
    assert not feed.poll(20.0)
    assert feed.series is not None
    assert "'cheap' is no price" in feed.trouble
    path.unlink()
    assert not feed.poll(30.0)
    assert "No such file" in feed.trouble
    assert feed.series is not None
