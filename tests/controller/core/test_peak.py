"""The peak of a quarter of an hour without a plan, over hours: a register that counts, cars that lag, a building that
turns on and off.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from controller.core.params import Params
from interfaces.domain.image import Image
from interfaces.domain.units import MISSING, SECONDS_PER_QUARTER, mw_from_w
from tests.controller.core.table import EPOCH_S, Table, evse, gcp, site

PEAK_KW = 10.0
START_S = 1000.0
AHEAD_S = 20.0
"""The meter's clock is not ours."""


class Register:
    """A Belgian meter's 1.4.0 and 1.6.0, counting what the plant draws."""

    def __init__(self, table: Table) -> None:
        self.table, self.kws, self.quarters = table, 0.0, [0.0]
        self.number = -1

    def __call__(self, image: Image) -> Image:
        at_s = self.table.now_s + EPOCH_S - START_S + AHEAD_S
        number = int(at_s // SECONDS_PER_QUARTER)
        if number != self.number:
            self.quarters.append(self.kws / SECONDS_PER_QUARTER)
            self.number, self.kws = number, 0.0
        self.kws += max(0.0, float(self.table.true_ma[0].sum()) * 0.23 / 1000) * self.table.scan_s
        left_s = SECONDS_PER_QUARTER - at_s % SECONDS_PER_QUARTER
        return replace(
            image,
            quarter_mw=round(self.kws / SECONDS_PER_QUARTER * 1e6),
            quarter_left_ms=round(left_s * 1000),
            month_peak_mw=round(max(self.quarters[2:], default=0.0) * 1e6),
        )


def house(peak_kw: float | None = PEAK_KW) -> Table:
    topology = site([gcp(63.0)], [evse("e0"), evse("e1")], period_s=1.0)
    peak_mw = MISSING if peak_kw is None else mw_from_w(peak_kw * 1000)
    return Table(topology, params=replace(Params.of(topology), peak_mw=peak_mw), start_s=START_S).plug("e0", "e1")


def building(seed: int) -> Iterator[float]:
    """Amps per phase, a minute each: up to 9.7 kW, 5 kW on average."""
    rng = np.random.default_rng(seed)
    while True:
        yield from [float(rng.uniform(0.0, 14.0))] * int(rng.integers(1, 8))


def quarters_kw(table: Table, minutes: int, seed: int) -> list[float]:
    """Means of the whole quarters."""
    register = Register(table)
    table.edit = register
    for _, amps in zip(range(minutes), building(seed), strict=False):
        table.load("gcp", amps).after(seconds=60)
    return register.quarters[2:]


@pytest.mark.parametrize("seed", [1, 3])
def test_no_quarter_is_above_the_peak_and_the_cars_use_what_is_left(seed):
    seen = quarters_kw(house(), 62, seed)
    assert len(seen) >= 3
    assert max(seen) <= PEAK_KW * 1.01
    assert np.mean(seen) > 0.6 * PEAK_KW


def test_without_the_setting_the_same_cars_make_a_higher_peak():
    assert max(quarters_kw(house(None), 32, 1)) > 2 * PEAK_KW


def test_a_peak_that_the_month_already_has_is_used():
    table = house()
    table.edit = lambda image: replace(image, month_peak_mw=mw_from_w(16_000.0))
    table.after(seconds=300)
    assert 14.0 < float(table.true_ma[0].sum()) * 0.23e-3 <= 16.0


def test_a_meter_without_these_registers_keeps_the_import_itself_below_the_peak():
    table = house().load("gcp", 4)
    for _ in range(20):
        table.after(seconds=30)
        assert float(table.true_ma[0].sum()) * 0.23e-3 <= PEAK_KW
    assert table.drawn_a("e0") >= 6.0
