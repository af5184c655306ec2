"""What a run costs: the bill of the whole grid connection, and what charging alone adds to it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np

from interfaces.domain.stores import BATTERY_WEAR_EUR_PER_KWH
from interfaces.domain.topology import AssetKind
from interfaces.domain.units import MILLI, SECONDS_PER_HOUR, SECONDS_PER_QUARTER, kwh_from_ws
from simulations.generators import Prices
from simulations.plant.site import Plant
from simulations.scenario import Economy


@dataclass(frozen=True, slots=True)
class Costs:
    """EUR. ``charging``: the bill with the cars less the bill without them. ``energy``: import at price and fee less
    export, battery wear, less what the batteries hold more at the end than at the start, and what the cars that are
    still there lack. ``peak``: the capacity
    tariff of all months of the run. ``self_consumption_pct``: of the PV energy; None without PV.
    """

    charging: float
    energy: float
    peak: float
    self_consumption_pct: float | None

    @property
    def total(self) -> float:
        """Energy and peak."""
        return self.energy + self.peak


class Bill:
    """Books every step at one plant."""

    def __init__(self, prices: Prices | None, economy: Economy, zone: str, plant: Plant) -> None:
        topology = plant.topology
        kind = np.asarray(topology.kind)
        self._prices, self._economy, self._plant = prices, economy, plant
        self._zone = ZoneInfo(zone)
        self._is_evse = topology.is_evse
        self._is_pv, self._is_battery = kind == int(AssetKind.PV), kind == int(AssetKind.BATTERY)
        self._charging_eur = self._energy_eur = 0.0
        self._pv_kwh = self._export_kwh = self._battery_kwh = 0.0
        self._stored_kwh = self._stored()
        self._quarter, self._quarter_kwh = -1, 0.0
        self._peaks_kw: dict[str, float] = {}

    def add(self, dt_s: float) -> None:
        """Book the step that has just ended."""
        plant, prices = self._plant, self._prices
        if prices is None:
            return
        hours = kwh_from_ws(dt_s)
        net_w = float((plant.row_a[0] * plant.grid.circuit_v[0]).sum())
        cars_w = float(plant.power_w[self._is_evse].sum())
        # The step has just ended: its price is that of the moment it began.
        price = prices.at(plant.now_s - dt_s)
        rate = _rate(net_w, price, prices)
        self._energy_eur += hours * rate
        if cars_w != 0.0:
            self._charging_eur += hours * (rate - _rate(net_w - cars_w, price, prices))
        self._pv_kwh -= hours * float(plant.power_w[self._is_pv].sum())
        self._export_kwh += hours * max(-net_w, 0.0)
        self._battery_kwh += hours * float(np.abs(plant.power_w[self._is_battery]).sum())
        self._note_peak(hours * max(net_w, 0.0))

    def costs(self, open_kwh: float = 0.0) -> Costs | None:
        """The sums so far; None without prices. ``open_kwh``: what the cars that are still there lack. It will be
        charged after the run: who puts charging off to the last night saves no money by it.
        """
        prices, economy = self._prices, self._economy
        if prices is None:
            return None
        self._close_quarter()
        held_eur = economy.battery_eur_per_kwh
        if held_eur is None:
            held_eur = max(float(np.mean(prices.eur_per_kwh)) + prices.fee_eur_per_kwh, 0.0)
        gained_kwh = self._stored() - self._stored_kwh
        energy = self._energy_eur + BATTERY_WEAR_EUR_PER_KWH * self._battery_kwh + held_eur * (open_kwh - gained_kwh)
        peaks = (max(kw, economy.capacity_floor_kw) for kw in self._peaks_kw.values())
        share = None if self._pv_kwh <= 0.0 else 100.0 * max(0.0, 1.0 - self._export_kwh / self._pv_kwh)
        return Costs(self._charging_eur, energy, economy.capacity_eur_per_kw * sum(peaks), share)

    def _stored(self) -> float:
        batteries = self._plant.batteries
        return float((batteries.soc * batteries.capacity_wh).sum()) / MILLI

    def _note_peak(self, kwh: float) -> None:
        """The step ended now, so its quarter is the one before this moment."""
        quarter = int((self._plant.epoch_s - 1e-6) // SECONDS_PER_QUARTER)
        if quarter != self._quarter:
            self._close_quarter()
            self._quarter = quarter
        self._quarter_kwh += kwh

    def _close_quarter(self) -> None:
        if self._quarter >= 0:
            moment = datetime.fromtimestamp(self._quarter * SECONDS_PER_QUARTER, self._zone)
            month = f"{moment:%Y-%m}"
            kw = self._quarter_kwh * SECONDS_PER_HOUR / SECONDS_PER_QUARTER
            self._peaks_kw[month] = max(self._peaks_kw.get(month, 0.0), kw)
        self._quarter_kwh = 0.0


def _rate(net_w: float, price_eur_per_kwh: float, prices: Prices) -> float:
    """EUR per kWh times W: import at the price and the fee, export at its own."""
    if net_w < 0.0:
        return net_w * prices.export_eur_per_kwh
    return net_w * (price_eur_per_kwh + prices.fee_eur_per_kwh)
