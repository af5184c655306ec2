"""The bill of a run, against sums made by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from interfaces.domain.stores import BATTERY_WEAR_EUR_PER_KWH
from interfaces.domain.topology import Asset, AssetKind, Circuit, Topology, build_topology
from simulations.bill import Bill
from simulations.generators import Prices
from simulations.plant.site import Plant
from simulations.scenario import Economy

HOUR_S = 3600.0
THREE = (0, 1, 2)
TOPOLOGY = build_topology(
    [Circuit("gcp", None, (80.0,) * 3, meter="m")],
    [
        Asset("car", AssetKind.EVSE, "d1", "gcp", THREE, 16.0),
        Asset("roof", AssetKind.PV, "d2", "gcp", THREE, 0.0, min_a=0.0, max_export_a=30.0),
        Asset("bat", AssetKind.BATTERY, "d3", "gcp", THREE, 30.0, min_a=0.0, max_export_a=30.0),
    ],
    version="t",
)
PRICES = Prices(0.0, 3600, np.array([0.20, 0.40]), fee_eur_per_kwh=0.05, export_eur_per_kwh=0.03)


class Meter:
    """The part of a plant that a bill reads, turned by hand."""

    def __init__(self, topology: Topology = TOPOLOGY, *, start_epoch_s: float = 0.0, soc: float = 0.5) -> None:
        self.topology = topology
        self.now_s = 0.0
        self.start_epoch_s = start_epoch_s
        self.row_a = np.zeros((1, 3))
        self.grid = SimpleNamespace(circuit_v=np.full((1, 3), 230.0))
        self.power_w = np.zeros(topology.n)
        self.batteries = SimpleNamespace(soc=np.array([soc]), capacity_wh=np.array([10_000.0]))

    @property
    def epoch_s(self) -> float:
        return self.start_epoch_s + self.now_s

    def run(
        self, bill: Bill, until_s: float, net_kw: float, *, car: float = 0.0, roof: float = 0.0, bat: float = 0.0
    ) -> None:
        """Hold these powers in kW until a moment, in steps of 10 s."""
        self.row_a[:] = net_kw * 1000.0 / 3 / 230.0
        self.power_w[:] = (car * 1000.0, -roof * 1000.0, bat * 1000.0)
        while self.now_s < until_s:
            self.now_s += 10.0
            bill.add(10.0)


def opened(
    prices: Prices | None = PRICES, economy: Economy | None = None, zone: str = "UTC", start_epoch_s: float = 0.0
) -> tuple[Bill, Meter]:
    meter = Meter(start_epoch_s=start_epoch_s)
    return Bill(prices, economy or Economy(), zone, cast("Plant", meter)), meter


def costs(bill: Bill):
    found = bill.costs()
    assert found is not None
    return found


def test_without_prices_there_is_no_bill():
    bill, meter = opened(prices=None)
    meter.run(bill, HOUR_S, 10.0, car=5.0)
    assert bill.costs() is None


def test_import_pays_price_and_fee_and_export_earns_its_own_price():
    bill, meter = opened()
    meter.run(bill, HOUR_S, 10.0)
    assert costs(bill).energy == pytest.approx(10.0 * 0.25)
    meter.run(bill, 2 * HOUR_S, -4.0, roof=6.0)
    assert costs(bill).energy == pytest.approx(10.0 * 0.25 - 4.0 * 0.03)


def test_every_second_of_an_hour_is_booked_at_that_hours_price():
    """A step that ends on the full hour still belongs to the hour before."""
    bill, meter = opened()
    meter.run(bill, HOUR_S, 36.0)
    assert costs(bill).energy == pytest.approx(36.0 * 0.25, abs=1e-9)
    meter.run(bill, 2 * HOUR_S, 36.0)
    assert costs(bill).energy == pytest.approx(36.0 * (0.25 + 0.45), abs=1e-9)


def test_charging_costs_what_it_adds_to_the_bill():
    bill, meter = opened()
    meter.run(bill, HOUR_S, 3.0, car=5.0, roof=2.0)  # without the car 2 kW would have been fed in
    assert costs(bill).charging == pytest.approx(3.0 * 0.25 + 2.0 * 0.03)
    assert costs(bill).energy == pytest.approx(3.0 * 0.25)


def test_a_battery_wears_and_what_it_holds_at_the_end_counts():
    bill, meter = opened(economy=Economy(battery_eur_per_kwh=0.10))
    meter.run(bill, HOUR_S, 2.0, bat=2.0)
    meter.batteries.soc[:] = 0.69
    assert costs(bill).energy == pytest.approx(2.0 * 0.25 + 2.0 * BATTERY_WEAR_EUR_PER_KWH - 1.9 * 0.10)
    meter.run(bill, 2 * HOUR_S, 0.0, bat=-1.5)
    meter.batteries.soc[:] = 0.40
    assert costs(bill).energy == pytest.approx(2.0 * 0.25 + 3.5 * BATTERY_WEAR_EUR_PER_KWH + 1.0 * 0.10)


def test_stored_energy_is_worth_the_mean_import_price_unless_told():
    bill, meter = opened()
    meter.batteries.soc[:] = 0.6
    assert costs(bill).energy == pytest.approx(-1.0 * (0.30 + 0.05))
    never = Prices(0.0, 3600, np.array([-0.50]), fee_eur_per_kwh=0.05, export_eur_per_kwh=0.0)
    bill, meter = opened(prices=never)
    meter.batteries.soc[:] = 0.6
    assert costs(bill).energy == 0.0


def test_what_the_cars_that_are_still_there_lack_is_charged_later_and_paid_all_the_same():
    bill, meter = opened()
    meter.run(bill, HOUR_S, 4.0, car=4.0)
    done, put_off = costs(bill), bill.costs(open_kwh=4.0)
    assert put_off is not None
    assert put_off.energy == pytest.approx(done.energy + 4.0 * (0.30 + 0.05))
    assert (put_off.charging, put_off.peak) == (done.charging, done.peak)


def test_the_peak_is_the_highest_clock_quarter_and_at_least_the_floor():
    bill, meter = opened(economy=Economy(capacity_eur_per_kw=3.0, capacity_floor_kw=2.5))
    meter.run(bill, 450.0, 0.0)
    meter.run(bill, 1350.0, 20.0)  # half of two quarters: 10 kW each
    meter.run(bill, 1800.0, 0.0)
    assert costs(bill).peak == pytest.approx(3.0 * 10.0)
    bill, meter = opened(economy=Economy(capacity_eur_per_kw=3.0, capacity_floor_kw=2.5))
    meter.run(bill, 900.0, 1.0)
    assert costs(bill).peak == pytest.approx(3.0 * 2.5)


def test_export_does_not_lower_a_quarters_import():
    bill, meter = opened(economy=Economy(capacity_eur_per_kw=1.0))
    meter.run(bill, 450.0, 8.0)
    meter.run(bill, 900.0, -8.0)
    assert costs(bill).peak == pytest.approx(4.0)


def test_each_month_of_the_sites_clock_has_its_own_peak():
    """Midnight in Brussels on 1 October 2025 is 22:00 UTC of the day before."""
    midnight = 1_759_269_600.0
    economy = Economy(capacity_eur_per_kw=2.0, capacity_floor_kw=2.5)
    bill, meter = opened(economy=economy, zone="Europe/Brussels", start_epoch_s=midnight - HOUR_S)
    meter.run(bill, HOUR_S, 30.0)
    meter.run(bill, 2 * HOUR_S, 12.0)
    assert costs(bill).peak == pytest.approx(2.0 * (30.0 + 12.0))
    bill, meter = opened(economy=economy, zone="UTC", start_epoch_s=midnight - HOUR_S)
    meter.run(bill, HOUR_S, 30.0)
    meter.run(bill, 2 * HOUR_S, 12.0)
    assert costs(bill).peak == pytest.approx(2.0 * 30.0)


def test_asking_twice_changes_nothing():
    bill, meter = opened(economy=Economy(capacity_eur_per_kw=2.0))
    meter.run(bill, 1300.0, 30.0)
    first = costs(bill)
    assert costs(bill) == first
    assert first.total == pytest.approx(first.energy + first.peak)


def test_self_consumption_is_the_share_of_the_sun_that_stayed():
    bill, meter = opened()
    meter.run(bill, HOUR_S, 2.0)
    assert costs(bill).self_consumption_pct is None
    meter.run(bill, 2 * HOUR_S, -3.0, roof=8.0)
    assert costs(bill).self_consumption_pct == pytest.approx(100.0 * 5.0 / 8.0)
