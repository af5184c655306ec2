"""Prices for a horizon: published ones untouched, the rest marked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from interfaces.domain.series import Flag, Origin, PriceSeries
from interfaces.domain.units import frozen_floats, frozen_ints
from optimizer.service.price_outlook import price_outlook

ZONE = "Europe/Brussels"
HOUR, DAY = 3600, 86_400
MONDAY = 1_780_264_800  # 2026-06-01 00:00 in Brussels
HOURS = 24 * 35


def series(first: int = MONDAY - 35 * DAY, hours: int = HOURS) -> PriceSeries:
    """Hours that rise over the local day, every day alike."""
    start = first + HOUR * np.arange(hours)
    price = 0.1 + (start - MONDAY) // HOUR % 24 / 100
    return PriceSeries("test", "BE", frozen_ints(start), frozen_ints(np.full(hours, HOUR)), frozen_floats(price))


RISE = np.repeat(0.1 + np.arange(24) / 100, 4)


def test_behind_the_last_price_comes_the_similar_day_marked():
    grid = price_outlook(series(), MONDAY - DAY, 288, ZONE)
    assert grid.complete
    assert grid.flags == (Flag.FORECAST,)
    assert grid.origin.tolist() == [Origin.SOURCE] * 96 + [Origin.FORECAST] * 192
    assert grid.values == pytest.approx(np.tile(RISE, 3))


def test_published_prices_are_left_alone():
    grid = price_outlook(series(), MONDAY - 2 * DAY, 192, ZONE)
    assert grid.flags == ()
    assert grid.values == pytest.approx(np.tile(RISE, 2))


def test_a_horizon_that_begins_behind_the_last_price_is_all_forecast():
    grid = price_outlook(series(), MONDAY + 8 * HOUR, 32, ZONE)
    assert grid.origin.tolist() == [Origin.FORECAST] * 32
    assert grid.values == pytest.approx(RISE[32:64])


def test_before_the_first_price_there_is_none():
    grid = price_outlook(series(MONDAY, 24), MONDAY - HOUR, 96 + 8, ZONE)
    assert grid.origin[:4].tolist() == [Origin.ABSENT] * 4
    assert grid.origin[-4:].tolist() == [Origin.FORECAST] * 4
    assert set(price_outlook(series(MONDAY, 0), MONDAY, 8, ZONE).origin.tolist()) == {Origin.ABSENT}
    early = price_outlook(series(MONDAY, 24), MONDAY - DAY, 96, ZONE)
    assert set(early.origin.tolist()) == {Origin.ABSENT}, "the past is not forecast"


def test_a_long_hole_without_neighbours_stays_open():
    good = series(MONDAY, 20)
    keep = np.r_[0:4, 12:20]
    holed = replace(
        good, start_epoch_s=good.start_epoch_s[keep], step_s=good.step_s[keep], eur_per_kwh=good.eur_per_kwh[keep]
    )
    grid = price_outlook(holed, MONDAY, 96, ZONE)
    assert set(grid.origin[16:48].tolist()) == {Origin.ABSENT}
    assert set(grid.origin[80:].tolist()) == {Origin.FORECAST}
