"""What stores of heat hold is reckoned from what their loads draw, and plans warm them when power is cheap."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from forecasting.core.sessions import Place, SiteClass
from interfaces.domain.image import Pilot
from interfaces.domain.live import AssetLive, CircuitLive, LiveStatus
from interfaces.domain.topology import Asset, AssetKind, Circuit, build_topology
from optimizer.core.problem_facts import BufferFacts
from optimizer.core.problem_money import Dynamic, Fixed, Tariff
from optimizer.core.problem_types import Block
from optimizer.service.horizon import Issued, SitePlanner
from optimizer.service.outlook import Models
from optimizer.service.record import HeatDemand, HeatHours, Outlook, SiteRecord

TOPOLOGY = build_topology(
    [Circuit("gcp", None, (63.0,) * 3, meter="m", background_max_a=(20.0,) * 3)],
    [Asset("pump", AssetKind.LOAD, "d1", "gcp", (0, 1, 2), 10.0)],
    version="t",
)
MIDNIGHT = datetime.fromisoformat("2026-06-10T00:00:00+02:00").timestamp()
STORE = BufferFacts("pump", "gcp", ("L1", "L2", "L3"), 6.9, low_kwh=10.0, high_kwh=20.0, cop=3.0, loss_share_per_h=0.0)
DEMAND = HeatDemand(2.0, (HeatHours(Block("06:00", "09:00"), 8.0),))
RECORD = SiteRecord(
    "home", "Europe/Brussels", TOPOLOGY, Tariff(Fixed("fixed", 0.3)), buffers=(STORE,), heat={"pump": DEMAND}
)
MODELS = Models(Place(SiteClass.HOME, "Europe/Brussels", None))
PUMP = AssetLive("pump", int(Pilot.A), None, 0.0, None, 0.0, 0.0, 0.0, (1, 1, 1), None, 0, True)


def told(planner: SitePlanner, at_h: float, power_kw: float | None) -> None:
    circuit = CircuitLive("gcp", 1.0, power_kw or 0.0, (None, None, None), (0.0, 0.0, 0.0))
    asset = replace(PUMP, power_kw=power_kw)
    planner.observe(LiveStatus("home", "t", MIDNIGHT + at_h * 3600, "plan", 1, None, (circuit,), (asset,)))


def made(planner: SitePlanner, at_h: float, prices: Dynamic | None = None) -> Issued:
    start = int(MIDNIGHT + at_h * 3600) // 900 * 900
    load = np.full(192, 1.0)
    found = planner.make(
        MIDNIGHT + at_h * 3600, prices=prices, wishes={}, outlook=Outlook(start, {"gcp": load}, {"gcp": load}, {}, {})
    )
    assert isinstance(found, Issued), found
    return found


def held_kwh(issued: Issued) -> float | None:
    return next((one.heat_kwh for one in issued.problem.state.buffers), None)


def test_a_store_nobody_has_heard_of_is_in_the_middle_of_its_band():
    planner = SitePlanner(RECORD, MODELS)
    told(planner, 0.0, 1.0)
    issued = made(planner, 0.0)
    assert held_kwh(issued) is None
    assert any("the middle of its band is assumed" in note for note in issued.planned.notes)


def test_what_is_drawn_and_what_the_load_makes_is_counted():
    planner = SitePlanner(RECORD, MODELS)
    told(planner, 0.0, 1.0)
    told(planner, 0.5, 0.0)
    told(planner, 1.0, 0.0)
    # 15 kWh, half an hour at 1 kW x 3 less 2 kW, then half an hour less 2 kW.
    assert held_kwh(made(planner, 1.0)) == pytest.approx(15.0 + 0.5 * (3.0 - 2.0) - 0.5 * 2.0)


def test_the_reckoning_stays_within_the_band_and_losses_count():
    leaking = replace(RECORD, buffers=(replace(STORE, loss_share_per_h=0.1),), heat={})
    planner = SitePlanner(leaking, MODELS)
    told(planner, 0.0, 0.0)
    told(planner, 1.0, 6.9)
    assert held_kwh(made(planner, 1.0)) == pytest.approx(13.5)
    told(planner, 2.0, 0.0)
    assert held_kwh(made(planner, 2.0)) == 20.0


def test_a_long_silence_is_no_knowledge():
    planner = SitePlanner(RECORD, MODELS)
    told(planner, 0.0, 6.0)
    told(planner, 0.5, 6.0)
    told(planner, 2.0, 0.0)
    assert held_kwh(made(planner, 2.0)) is None


def test_the_demand_of_each_hour_reaches_the_plan():
    planner = SitePlanner(RECORD, MODELS)
    told(planner, 5.0, 0.0)
    (heat,) = made(planner, 5.1).problem.forecast.heat
    assert heat.demand_kw[:20] == (2.0,) * 4 + (8.0,) * 12 + (2.0,) * 4
    assert len(heat.demand_kw) == 192


def test_a_store_is_warmed_while_power_is_cheap():
    planner = SitePlanner(RECORD, MODELS)
    told(planner, 0.0, 0.0)
    prices = Dynamic("dynamic", MIDNIGHT, tuple(0.1 if 8 <= k < 16 else 0.4 for k in range(192)))
    plan = made(planner, 0.0, prices).plan
    amps = plan.setpoint_ma[:, plan.assets.index("pump")] / 1000
    # 15 kWh lose 4 until two o'clock; what then is cheap fills the store before the morning.
    assert amps[:8].sum() == 0.0
    assert amps[8:16].sum() / 4 * 0.69 * 3.0 == pytest.approx(13.0, abs=0.5)
