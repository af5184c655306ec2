"""Deviations from the forecast where a battery or a car that takes less than it may share them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from interfaces.domain.topology import Asset, AssetKind
from tests.controller.core.table import THREE, Table, evse, gcp, site
from tests.controller.core.test_follow import PRICES_PPM, QUIET, plan

W_PER_A = 690


def battery(**facts: Any) -> Asset:
    """Three phases, 32 A both ways."""
    return Asset("bat", AssetKind.BATTERY, "d-bat", "gcp", THREE, 32.0, max_export_a=32.0, **facts)


def with_battery(value_ppm: int, load_a: float, calm_a: float = 60.0, scan_s: float = 1.0) -> Table:
    """A battery at rest in the plan, and what nobody had forecast."""
    here = Table(site([gcp(63.0, **QUIET)], [battery()]), scan_s=scan_s)
    calm = np.array([round(calm_a * W_PER_A * 1000)])
    rests = plan([[0.0]], assets=("bat",), value_ppm=np.array([[value_ppm]]), calm_import_mw=calm)
    return here.plug("bat", store=True).after(seconds=120).put(plan=rests).load("gcp", load_a).after(seconds=300)


@pytest.mark.parametrize("load_a", [20.0, -20.0])
def test_a_battery_rests_between_what_it_costs_to_fill_and_what_it_must_earn(load_a: float):
    """A stored kWh is worth 195 (in 1000 ppm): 205 + 20 when taken out, 185 - 20 when put in. Import costs 200."""
    here = with_battery(195_000, load_a, calm_a=60.0)
    kept_a = 0.0 if load_a > 0 else 20.0  # what would be exported for 30 is worth keeping
    assert here.amps("bat") == pytest.approx(kept_a, abs=1.0)


def test_a_battery_gives_what_import_costs_more_than_its_losses_and_wear():
    worth_ppm = int((PRICES_PPM[1] - 20_000) * 0.95)
    assert with_battery(worth_ppm - 5_000, 20.0).amps("bat") == pytest.approx(-20.0, abs=1.0)
    assert with_battery(worth_ppm + 5_000, 20.0).amps("bat") == 0.0


def test_a_battery_keeps_no_sun_that_is_sold_for_more_than_it_is_worth_inside():
    worth_ppm = int((PRICES_PPM[0] + 20_000) / 0.95)
    assert with_battery(worth_ppm - 5_000, -20.0).amps("bat") == 0.0
    assert with_battery(worth_ppm + 5_000, -20.0).amps("bat") == pytest.approx(20.0, abs=1.0)


def test_a_battery_gives_for_the_sake_of_the_peak_and_no_more():
    here = with_battery(195_000, 30.0, calm_a=20.0)
    assert here.amps("bat") == pytest.approx(-10.0, abs=1.0)


@pytest.mark.parametrize("scan_s", [1.0, 10.0])
def test_a_battery_that_follows_the_sun_does_not_follow_itself(scan_s: float):
    here = with_battery(195_000, -20.0, scan_s=scan_s)
    recent = np.array(here.setpoints[-12:])[:, 0] / 1000
    assert np.ptp(recent) <= 1.0, recent
    here.load("gcp", -10.0).after(seconds=300)
    recent = np.array(here.setpoints[-12:])[:, 0] / 1000
    assert np.ptp(recent) <= 1.0
    assert recent[-1] == pytest.approx(10.0, abs=1.0)


def cars(values_ppm: list[int], calm_a: float, rows: list[float], most_a: float) -> Table:
    """Two cars; the first takes ``most_a`` at most."""
    here = Table(site([gcp(63.0, **QUIET)], [evse("e0"), evse("e1")]))
    here.plug("e0", max_a=most_a).plug("e1").after(seconds=120)
    calm = np.array([round(calm_a * W_PER_A * 1000)])
    return here.put(plan=plan([rows], value_ppm=np.array([values_ppm]), calm_import_mw=calm)).after(seconds=120)


def test_what_a_car_leaves_unused_is_taken_from_nobody():
    """26 A flow below a calm import of 28 A, although 32 A are wished for."""
    here = cars([300_000, 200_000], 28.0, [16.0, 16.0], most_a=10.0)
    here.expect(e1=16)


def test_a_car_that_leaves_current_unused_is_offered_no_more():
    here = cars([400_000, 300_000], 30.0, [10.0, 8.0], most_a=7.0)
    here.expect(e0=10, e1=16)
    assert {int(s[0]) for s in here.setpoints[-60:]} == {10_000}, "no saw"


def downs(here: Table, scans: int) -> int:
    """How often an offer fell in the last scans, of all assets."""
    return int((np.diff(np.array(here.setpoints[-scans:]), axis=0) < 0).sum())


@pytest.mark.parametrize("scan_s", [0.2, 1.0])
def test_a_car_that_takes_more_follows_before_it_is_judged(scan_s: float):
    """Energy becomes worth more than import costs: both cars rise, and no offer falls before the car has seen it."""
    here = Table(site([gcp(100.0, **QUIET)], [evse("e0", max_a=32.0), evse("e1", max_a=32.0)]), scan_s=scan_s)
    calm, rows = np.array([90 * W_PER_A * 1000]), [[8.0, 8.0]]
    here.plug("e0", "e1").after(seconds=120)
    here.put(plan=plan(rows, value_ppm=np.array([[200_000, 200_000]]), calm_import_mw=calm)).after(seconds=60)
    here.put(plan=plan(rows, sequence=2, value_ppm=np.array([[400_000, 400_000]]), calm_import_mw=calm))
    here.after(seconds=180).expect(e0=32, e1=32)
    assert downs(here, round(180 / scan_s)) == 0


def test_sudden_sun_is_taken_without_a_saw():
    here = Table(site([gcp(63.0, **QUIET)], [evse("e0", max_a=32.0), evse("e1", max_a=32.0)]))
    values = np.array([[100_000, 300_000]])
    here.plug("e0", "e1").after(seconds=120).put(plan=plan([[8.0, 8.0]], value_ppm=values)).after(seconds=60)
    here.load("gcp", -31.0).after(seconds=180)
    assert here.amps("e1") == pytest.approx(22.0, abs=1.0)
    assert downs(here, 180) == 0


def test_who_is_not_in_the_plan_counts_too():
    """A third car by the site's own rules: what it draws is no room below the peak."""
    here = Table(site([gcp(63.0, **QUIET)], [evse("e0"), evse("e1")]))
    here.plug("e0", "e1").load("gcp", 10.0).after(seconds=120)
    calm = np.array([30 * W_PER_A * 1000])
    here.put(plan=plan([[16.0]], assets=("e0",), value_ppm=np.array([[200_000]]), calm_import_mw=calm))
    here.after(seconds=120).expect(e0=6, e1=16)


def test_a_charger_that_is_read_seldom_counts_with_what_it_draws_too():
    here = Table(site([gcp(63.0, **QUIET)], [evse("e0", poll_s=10.0), evse("e1")]))
    here.plug("e0", max_a=10.0).plug("e1").after(seconds=120)
    calm = np.array([28 * W_PER_A * 1000])
    named = plan([[16.0, 16.0]], value_ppm=np.array([[300_000, 200_000]]), calm_import_mw=calm)
    here.put(plan=named).after(seconds=180).expect(e1=16)


def test_a_site_that_sees_nothing_of_its_load_shares_nothing():
    here = with_battery(195_000, 30.0, calm_a=20.0)
    assert here.amps("bat") < 0
    here.silent_meters.add("gcp")
    here.after(seconds=60)
    assert here.amps("bat") == 0.0
