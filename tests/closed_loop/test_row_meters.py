"""Rows 44 and 46: meters that freeze, fall silent or tell nonsense."""

from __future__ import annotations

import numpy as np
import pytest

from interfaces.domain.reasons import Reason
from interfaces.domain.units import MILLI
from tests.closed_loop.loop import Loop, building, car, garage

FROZEN = "the meter of circuit gcp repeats one reading: restart it or check the gateway"
SILENT = "the meter of circuit gcp does not answer: check its supply, cable and address"
WORST_MA = [21_000] * 3
REGAIN_S = 60.0
NOISE_A = 3.0
"""Three cars at 1 A steps beside a load that wanders by some tenths."""


def busy(scan_s: float = 0.2) -> Loop:
    """Three cars fill a 63 A connection with 10 A of background; 21 A is configured as the worst."""
    loop = Loop(garage(3, max_a=32.0), [car(f"e{k}") for k in range(3)], [building(10.0)], scan_s=scan_s)
    return loop.run(100.0)


def promised_a(loop: Loop) -> float:
    return sum(loop.told_a(f"e{k}") for k in range(3))


def test_row_44_a_frozen_meter_is_found_within_ten_seconds_and_counts_at_worst(figure) -> None:
    loop = busy()
    before_a = promised_a(loop)
    loop.plant.meters.frozen[0] = True
    frozen_s = loop.now_s
    loop.add_load(5.0)
    loop.until(lambda: FROZEN in loop.alarms(), 11.0)
    found_s = loop.now_s - frozen_s
    assert loop.report.background_ma[0].tolist() == WORST_MA
    worst_a = float(loop.report.background_ma[0].max()) / MILLI
    assert promised_a(loop) <= 63.0 - 1.26 - 21.0
    assert {loop.reason(f"e{k}") for k in range(3)} == {Reason.STALE_METER}
    loop.until(loop.within, 14.0)
    loop.add_load(6.0)
    loop.run(60.0)
    assert loop.within(), "background up to its configured worst is safe although nobody sees it"
    assert loop.alarms() == {FROZEN}
    loop.plant.meters.frozen[0] = False
    loop.plant.added_a[:] = 0.0
    back_s = loop.until(lambda: not loop.alarms(), 70.0)
    assert back_s == pytest.approx(REGAIN_S, abs=1.5)
    loop.run(90.0)
    assert promised_a(loop) >= before_a - NOISE_A
    assert loop.judged().self_made_overload_s == 0.0
    figure("found after", found_s, "s")
    figure("alarm", FROZEN)
    figure("background counted", worst_a, "A")
    figure("trusted again after good samples for", back_s, "s")


def test_row_44_a_steady_load_is_not_a_frozen_meter() -> None:
    """Nothing moves for two minutes, yet every block differs in its last digit."""
    loop = Loop(garage(2), [], [building(10.0, noise_a=0.0)])
    loop.run(120.0)
    assert not loop.first_s


def test_row_46_a_meter_that_reads_nan_is_a_meter_that_is_silent(figure) -> None:
    loop = busy()
    loop.plant.meters.broken[0] = True
    begun_s = loop.now_s
    raised: list[float] = []
    told = [promised_a(loop)]

    def watch(x: Loop) -> None:
        raised.append(promised_a(x) - told[-1])
        told.append(promised_a(x))

    loop.each = watch
    loop.until(lambda: SILENT in loop.alarms(), 12.0)
    found_s = loop.now_s - begun_s
    assert 9.0 <= found_s <= 11.0
    assert loop.report.background_ma[0].tolist() == WORST_MA
    assert max(raised) <= 0.0, "no raise on an old sample"
    loop.plant.meters.broken[0] = False
    back_s = loop.until(lambda: not loop.alarms(), 75.0)
    assert back_s == pytest.approx(REGAIN_S, abs=2.5)
    assert loop.judged().overload_s == 0.0
    figure("NaN: worst case after", found_s, "s")
    figure("alarm", SILENT)
    figure("trusted again after", back_s, "s")


@pytest.mark.parametrize("jump_a", [150.0, -150.0])
def test_row_46_one_wrong_reading_only_ever_lowers(jump_a: float, figure) -> None:
    loop = busy(0.5)
    before_a = promised_a(loop)
    told: list[float] = []
    loop.each = lambda x: told.append(promised_a(x))
    loop.plant.meters.offset_a[0] = jump_a
    loop.run(1.0)
    loop.plant.meters.offset_a[0] = 0.0
    loop.run(240.0)
    assert max(told) <= before_a + NOISE_A
    assert promised_a(loop) >= before_a - NOISE_A, "forgotten after the window of a minute and the off times"
    if jump_a > 0.0:
        assert min(told) == 0.0
    else:
        assert min(told) >= before_a - NOISE_A, "export gives no credit and takes none"
    assert loop.judged().overload_s == 0.0
    low = np.flatnonzero(np.array(told) < before_a - NOISE_A)
    back_s = (low[-1] + 1) * loop.scan_s if len(low) else 0.0
    figure(f"{jump_a:+.0f} A for one sample: lowest promise (usual {before_a:.0f} A)", min(told), "A")
    figure(f"{jump_a:+.0f} A for one sample: back after", back_s, "s")
    figure("overload", loop.judged().overload_s, "s")


@pytest.mark.parametrize("amps", [2_147_483.647, -2_147_483.648])
def test_row_46_an_overflowed_register_neither_crashes_nor_raises(amps: float, figure) -> None:
    """The border refuses such a value; should one come through, everything stays on the safe side."""
    loop = busy()
    before_a = promised_a(loop)
    loop.plant.meters.offset_a[0] = amps
    told: list[float] = []
    loop.each = lambda x: told.append(promised_a(x))
    loop.run(5.0)
    loop.plant.meters.offset_a[0] = 0.0
    loop.run(20.0)
    assert max(told) <= before_a
    assert loop.judged().overload_s == 0.0
    assert np.isfinite(loop.report.theta_ppm).all()
    assert loop.report.theta_ppm.max() <= 1_000_000, "a fuse opens once"
    figure(f"{amps:+.0f} A shown: lowest promise", min(told), "A")
    figure("overload", loop.judged().overload_s, "s")
