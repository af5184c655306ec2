"""Rows 25, 26, 32 and 33 as the whole site feels them: chargers that are gone, deaf or freshly restarted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from interfaces.domain.image import Image
from interfaces.domain.reasons import Reason
from interfaces.domain.units import MILLI
from tests.closed_loop.loop import Loop, building, car, garage

GONE = "e0 does not answer: check its supply, cable and address"


def pair(**facts: object) -> Loop:
    """Two cars on 40 A with 4 A of background: 17 A each."""
    loop = Loop(
        garage(2, 40.0, max_a=32.0, background_max_a=6.0, **facts),
        [car("e0"), car("e1", react_s=0.5, ramp_a_per_s=50.0)],
        [building(4.0)],
        scan_s=0.5,
    )
    return loop.run(100.0)


@pytest.mark.parametrize("proven", [True, False])
def test_row_25_an_unreachable_charger_keeps_its_share_until_its_failsafe_is_certain(proven: bool, figure) -> None:
    loop = pair(failsafe_verifiable=proven)
    shares = [loop.told_a("e0"), loop.told_a("e1")]
    assert min(shares) >= 16.0
    loop.plant.reachable[0] = False
    begun_s = loop.now_s
    loop.until(lambda: GONE in loop.alarms(), 5.0)
    found_s = loop.now_s - begun_s
    assert loop.reason("e0") is Reason.UNREACHABLE
    held: list[float] = []
    loop.each = lambda x: held.append(x.exposure_a("e0"))
    loop.run(60.0)
    reserved_a = min(held)
    assert reserved_a >= (shares[0] if proven else 32.0)
    if proven:
        assert loop.told_a("e1") == shares[1], "the other one notices nothing"
        loop.until(lambda: loop.exposure_a("e0") == 0.0, 20.0)
        freed_s = loop.now_s - begun_s
        assert freed_s == pytest.approx(70.0, abs=1.5), "its time-out and 10 s"
        assert loop.drawn_a("e0") == 0.0, "its own failsafe acted first"
        loop.run(60.0)
        assert loop.told_a("e1") == 32.0
        figure("its share is given on after", freed_s, "s")
    else:
        loop.run(60.0)
        assert loop.exposure_a("e0") == 32.0, "nameplate, for ever"
    assert loop.judged().overload_s == 0.0
    figure("reported after", found_s, "s")
    figure("alarm", GONE)
    figure(f"failsafe {'proven' if proven else 'unproven'}: reserved", reserved_a, "A")
    figure("overload", loop.judged().overload_s, "s")


@pytest.mark.parametrize("silent_s", [1.0, 2.5])
def test_row_26_a_short_silence_interrupts_nobody(silent_s: float, figure) -> None:
    loop = pair()
    shares = [loop.told_a("e0"), loop.told_a("e1")]
    told: list[list[float]] = []
    loop.each = lambda x: told.append([x.told_a("e0"), x.told_a("e1")])
    loop.plant.reachable[0] = False
    loop.run(silent_s)
    loop.plant.reachable[0] = True
    loop.run(20.0)
    assert not loop.first_s
    change_a = float(np.abs(np.array(told) - shares).max())
    assert change_a == 0.0
    figure(f"silent for {silent_s} s: offers change by", change_a, "A")


def test_row_32_a_charger_that_shows_another_limit_than_it_was_told_is_paused(figure) -> None:
    """It acknowledges the lower setpoint, and its register goes on showing the old one."""
    loop = pair()
    before_a = loop.told_a("e0")
    loop.plant.supplies.ignores_writes[0] = True
    shown = np.where(np.arange(2) == 0, round(before_a * MILLI), 0)

    def deaf(image: Image) -> Image:
        return replace(image, offered_ma=np.maximum(image.offered_ma, shown))

    loop.edit = deaf
    loop.add_load(10.0)
    loop.until(lambda: loop.told_a("e0") < before_a, 3.0)
    cut_s = loop.now_s
    text = "e0 acknowledged a setpoint but does not apply it: paused"
    loop.until(lambda: text in loop.alarms(), 10.0)
    reported_s = loop.now_s - cut_s
    assert loop.told_a("e0") == 0.0
    counted_a = loop.exposure_a("e0")
    assert counted_a >= before_a, "at what it shows"
    loop.until(lambda: bool(loop.commands.stop[0]), 20.0)
    stopped_s = loop.now_s - cut_s
    loop.until(lambda: loop.drawn_a("e0") == 0.0, 2.0)
    loop.run(30.0)
    assert loop.within()
    assert loop.judged().self_made_overload_s == 0.0
    figure("paused and reported after", reported_s, "s")
    figure("alarm", text)
    figure("counted at", counted_a, "A")
    figure("second path after", stopped_s, "s")


def test_row_33_a_charger_that_restarts_at_its_factory_current_overloads_nothing(figure) -> None:
    """After its restart it offers 32 A on its own, and its failsafe is gone."""
    loop = pair(boot_a=None)
    text = "e0 restarted: its limits and failsafe were written again"
    worst: list[float] = []
    alone: list[float] = []

    def watch(x: Loop) -> None:
        worst.append(float(x.row_a().max()))
        alone.append(float(x.plant.in_force_a[0]))

    loop.each = watch
    loop.plant.supplies.reboot(0, loop.now_s)
    loop.until(lambda: text in loop.alarms(), 30.0)
    assert max(alone) == 32.0, "the fault is there"
    told_after_s = loop.until(lambda: float(loop.plant.in_force_a[0]) == loop.told_a("e0"), 5.0)
    loop.run(240.0)
    assert loop.judged().overload_s == 0.0
    assert min(loop.told_a("e0"), loop.told_a("e1")) >= 16.0, "both charge again"
    figure("offered by itself", max(alone), "A")
    figure("told our limit again within", told_after_s, "s")
    figure("highest current (rated 40 A)", max(worst), "A")
    figure("alarm", text)
    figure("overload", loop.judged().overload_s, "s")
