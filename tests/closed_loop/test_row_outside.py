"""Rows 47-50: steps from outside: loads, voltage, sun and battery."""

from __future__ import annotations

import re

import numpy as np
import pytest

from interfaces.domain.plan import Plan
from interfaces.domain.reasons import Reason
from interfaces.domain.topology import Asset, AssetKind, Protection
from interfaces.domain.units import MILLI
from simulations.plant.battery import BatterySpec
from simulations.plant.pv import Sky
from simulations.plant.view import Orders
from tests.closed_loop.loop import (
    BACK_WITHIN_S,
    EPOCH_S,
    MOST_THETA,
    THREE,
    Loop,
    building,
    car,
    charger,
    connection,
    garage,
    site,
)

NOISE_W = 300.0
"""What the building wanders between two samples: 0.4 A on three phases."""


def corrected(loop: Loop, limit_a: float) -> tuple[float, float]:
    """After a step: (seconds until the sample that shows it, seconds from there until back under the limit).

    The commands of the scan that sees the sample already fit what is left.
    """
    begun_s = loop.now_s
    loop.until(lambda: bool((loop.image.meter_ma[0] > limit_a * MILLI).any()), 2.0)
    seen_s = loop.now_s
    told_ma = (loop.topology.wired * np.maximum(loop.commands.setpoint_ma, 0)[:, None]).sum(axis=0)
    assert (told_ma <= loop.report.budget_ma[0]).all(), "lowered in the same scan"
    assert not loop.within()
    loop.until(loop.within, BACK_WITHIN_S)
    back_s = loop.now_s - seen_s
    loop.run(30.0)
    assert loop.within()
    assert loop.judged().longest_s <= BACK_WITHIN_S + 1.0
    assert loop.judged().self_made_overload_s == 0.0
    assert not loop.plant.breakers.open.any()
    return seen_s - begun_s, back_s


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("fuse", [Protection("gG", 100.0), Protection("mcb", 100.0, "C", 5.0)], ids=["gG", "mcb"])
def test_row_47_sixty_amperes_more_in_the_building(fuse: Protection, seed: int, figure) -> None:
    topology = site([connection(100.0, protection=fuse)], [charger(f"e{k}", max_a=32.0) for k in range(5)])
    cars = [car(f"e{k}", react_s=5.0, stop_s=3.0) for k in range(5)]
    loop = Loop(topology, cars, [building(10.0)], seed=seed)
    loop.run(100.0)
    assert loop.row_a().max() > 95.0
    loop.add_load(60.0)
    seen_s, back_s = corrected(loop, 100.0)
    assert loop.highest_theta < MOST_THETA
    assert loop.plant.breakers.worst < MOST_THETA
    text = min((text for text in loop.first_s if text.startswith("circuit gcp carries ")), key=loop.first_s.__getitem__)
    assert re.fullmatch(r"circuit gcp carries 1[0-9]{2}\.[0-9] A on L[123], more than the 100 A it is rated for", text)
    figure("highest current (rated 100 A)", 100.0 + loop.judged().worst_excess_a, "A")
    figure("commands lowered after", seen_s, "s")
    figure("back under the limit after", back_s, "s")
    figure(f"share of the {fuse.kind}'s patience used", loop.plant.breakers.worst)
    figure("alarm", re.sub("carries .* on L[123]", "carries ... A on L1, L2 or L3", text))


def test_row_47_without_a_curve_everything_is_paused_at_once(figure) -> None:
    """All that is known of such a breaker: it carries 1.13 x its rating, and 2.55 x for a second."""
    topology = site(
        [connection(100.0, protection=Protection("mcb", 100.0, "C"))], [charger(f"e{k}", max_a=32.0) for k in range(5)]
    )
    loop = Loop(topology, [car(f"e{k}", stop_s=3.0) for k in range(5)], [building(10.0)])
    loop.run(100.0)
    loop.add_load(20.0)
    seen_s, back_s = corrected(loop, 113.0)
    assert back_s <= 4.0, "a pause, not a lower pilot"
    assert {loop.told_a(f"e{k}") for k in range(5)} == {0.0}
    assert loop.reason("e0") in {Reason.PROTECTION_STOP, Reason.MIN_OFF_TIME}
    figure("no curve known, 1.17 x rated: all paused after", seen_s, "s")
    figure("back under the limit after", back_s, "s")


def test_row_48_a_voltage_sag_changes_no_current_on_a_circuit_of_amperes(figure) -> None:
    loop = Loop(garage(3, max_a=32.0), [car(f"e{k}") for k in range(3)], [building(10.0)])
    loop.run(100.0)
    told = [loop.told_a(f"e{k}") for k in range(3)]
    text = "e0 reports a voltage outside 85-115 % of nominal"
    loop.plant.grid.nominal_share = 180.0 / 230.0
    loop.until(lambda: text in loop.alarms(), 2.0)
    loop.run(60.0)
    assert [loop.told_a(f"e{k}") for k in range(3)] == told
    assert loop.plant.volts_v[0].max() < 180.0
    assert loop.judged().overload_s == 0.0
    figure("offers at 230 V and at 180 V", told[0], "A")
    figure("alarm", text)


def test_row_48_a_power_limit_never_lifts_a_current_above_the_amps_rows(figure) -> None:
    """At 180 V the 38 kW allowed would be 70 A a phase; the fuse carries 63 A."""
    topology = site([connection(63.0, max_import_w=38_000.0)], [charger(f"e{k}", max_a=32.0) for k in range(3)])
    loop = Loop(topology, [car(f"e{k}") for k in range(3)], [building(10.0)])
    loop.run(110.0)
    assert loop.reason("e0") is Reason.CIRCUIT_POWER
    before_a = float(loop.row_a().max())
    assert before_a < 57.0
    highest: list[float] = []
    loop.each = lambda x: highest.append(float(x.row_a().max()))
    loop.plant.grid.nominal_share = 180.0 / 230.0
    loop.run(120.0)
    assert loop.reason("e0") is Reason.CIRCUIT
    assert 59.0 <= max(highest) <= 63.0
    assert loop.judged().overload_s == 0.0
    figure("at 230 V, bound by 38 kW", before_a, "A")
    figure("at 180 V, bound by 63 A", max(highest), "A")


def solar_yard() -> Loop:
    """250 A, 100 A of building below 100 kW of sun, ten cars that take what is left."""
    sun = Asset(
        "pv", AssetKind.PV, "d-pv", "gcp", THREE, 145.0, min_a=0.0, max_export_a=145.0, failsafe_verifiable=True
    )
    places = [charger(f"e{k}", max_a=32.0) for k in range(10)]
    topology = site([connection(250.0, background_max_a=(120.0,) * 3)], [*places, sun])
    cars = [car(f"e{k}", react_s=5.0) for k in range(10)]
    return Loop(topology, cars, [building(100.0)], sky=Sky(mean_clear_s=1e9))


def test_row_49_a_hundred_kilowatts_of_sun_vanish_in_a_second(figure) -> None:
    loop = solar_yard()
    loop.run(120.0)
    fed_w = -float(loop.plant.power_w[loop.col("pv")])
    assert fed_w > 90_000.0
    assert loop.row_a().max() + 0.5 * 145.0 > 240.0, "the cars use what the sun gives up to the fuse's limit"
    loop.plant.sun.dimmed = 0.0
    seen_s, back_s = corrected(loop, 250.0)
    assert loop.plant.breakers.worst < MOST_THETA
    assert loop.highest_theta < MOST_THETA
    figure("sun lost", fed_w / MILLI, "kW")
    figure("highest current (rated 250 A)", 250.0 + loop.judged().worst_excess_a, "A")
    figure("commands lowered after", seen_s, "s")
    figure("back under the limit after", back_s, "s")
    figure("share of the fuse's patience used", loop.plant.breakers.worst)


def battery_plan(loop: Loop, battery_a: float) -> Plan:
    """One hour: the cars at full, the battery at ``battery_a`` per conductor."""
    assets = tuple(a.id for a in loop.topology.assets)
    row = [round((battery_a if name == "bat" else 32.0) * MILLI) for name in assets]
    stored_ppm = 100_000 if battery_a > 0 else 0  # energy costs nothing here: what is worth nothing is not stored
    return Plan(
        plan_id="p",
        site="s",
        topology_version=loop.topology.version,
        sequence=1,
        key_id="k",
        issued_epoch_s=EPOCH_S,
        start_epoch_s=EPOCH_S,
        step_s=3600,
        valid_until_epoch_s=EPOCH_S + 3600.0,
        lease_until_epoch_s=EPOCH_S + 3600.0,
        assets=assets,
        setpoint_ma=np.array([row], dtype=np.int64),
        value_ppm=np.full((1, len(assets)), stored_ppm, dtype=np.int64),
        planned_import_mw=np.array([30_000_000], dtype=np.int64),
        grid_ppm=np.zeros((1, 3), dtype=np.int64),
        calm_import_mw=np.array([10**12], dtype=np.int64),
    )


REFUSES = "bat does not follow its setpoint: too hot or cold, or not under remote control?"


@pytest.mark.parametrize("battery_a", [-40.0, 20.0])
def test_row_50_a_battery_that_refuses_endangers_nothing(battery_a: float, figure) -> None:
    """The plan counts on a battery that its own management then switches off: too hot."""
    battery = Asset(
        "bat", AssetKind.BATTERY, "d-bat", "gcp", THREE, 40.0, min_a=0.0, max_export_a=40.0, failsafe_verifiable=True
    )
    most_a = 32.0 if battery_a < 0 else 8.0  # room is left for a battery that charges: cars come first
    topology = site([connection(63.0)], [*(charger(f"e{k}", max_a=most_a) for k in range(3)), battery])
    loop = Loop(topology, [car(f"e{k}") for k in range(3)], [building(10.0)], batteries=(BatterySpec("bat"),))
    limit_w = 30_000.0
    loop.orders = Orders(plan=battery_plan(loop, battery_a), operator_limit_mw=round(limit_w * MILLI))
    loop.run(120.0)
    assert loop.report.mode == "plan"
    flowed_a = float(loop.plant.draw_a[loop.col("bat"), 0])
    assert flowed_a * np.sign(battery_a) > 5.0
    told = [loop.told_a(f"e{k}") for k in range(3)]
    assert REFUSES not in loop.first_s
    refuses_s = loop.now_s
    loop.plant.batteries.hot[:] = True
    worst_w: list[float] = []
    loop.each = lambda x: worst_w.append(float((x.plant.row_a[0] * x.plant.grid.circuit_v[0]).sum()))
    loop.run(120.0)
    assert abs(float(loop.plant.draw_a[loop.col("bat"), 0])) < 0.1
    assert loop.judged().overload_s == 0.0
    assert max(worst_w) <= limit_w + NOISE_W
    assert min(loop.drawn_a(f"e{k}") for k in range(3)) >= 6.0, "no session ends for it"
    assert 20.0 <= loop.first_s[REFUSES] - refuses_s <= 25.0
    loop.plant.batteries.hot[:] = False
    loop.until(lambda: REFUSES not in loop.alarms(), 10.0)
    figure("alarm", REFUSES)
    figure(f"battery ordered {battery_a:+.0f} A, gave up: cars before", sum(told), "A")
    figure(f"battery ordered {battery_a:+.0f} A, gave up: cars after", sum(loop.told_a(f"e{k}") for k in range(3)), "A")
    figure("highest import (operator's limit 30 kW)", max(worst_w) / MILLI, "kW")
    figure("overload", loop.judged().overload_s, "s")
