"""Setpoints as devices take them, over the whole range and beyond."""

from __future__ import annotations

import numpy as np
import pytest

from controller.core.quantise import quantise
from interfaces.domain.topology import Asset, AssetKind
from interfaces.domain.units import MISSING
from tests.controller.core.table import Table, evse, garage, gcp, site

STEPS_A = (0.001, 0.1, 0.5, 1.0, 2.0)


@pytest.mark.parametrize("step_a", STEPS_A)
@pytest.mark.parametrize("min_a", [6.0, 6.5, 8.0, 14.0])
def test_every_milliampere(step_a, min_a):
    """From -80 A to 80 A: 0, or a whole number of steps between minimum and rating, never more than asked."""
    topology = site([gcp()], [evse("e", max_a=32.0, min_a=min_a, step_a=step_a)])
    for asked in range(-80_000, 80_001, 37 if step_a < 1 else 11):
        told = int(quantise(np.array([asked]), topology)[0])
        assert told == 0 or (max(min_a * 1000, 1) <= told <= 32_000 and told % round(step_a * 1000) == 0), asked
        assert 0 <= told <= max(asked, 0), asked
        if told == 0:
            assert asked < topology.min_ma[0]


def test_steps_are_not_skipped():
    topology = site([gcp()], [evse("e", max_a=32.0)])
    told = [int(quantise(np.array([asked]), topology)[0]) for asked in range(32_001)]
    assert sorted(set(told)) == [0, *range(6000, 32_001, 1000)]
    assert all(asked - now < 1000 for asked, now in enumerate(told) if now)


def test_batteries_and_inverters_take_both_signs_and_round_towards_zero():
    both = [
        Asset("b", AssetKind.BATTERY, "d", "gcp", (0, 1, 2), 20.0, min_a=0.0, step_a=0.5, max_export_a=10.0),
        Asset("p", AssetKind.PV, "d2", "gcp", (0, 1, 2), 30.0, min_a=0.0, step_a=1.0, max_export_a=30.0),
    ]
    topology = site([gcp()], both)
    assert quantise(np.array([1700, -1700]), topology).tolist() == [1500, -1000]
    assert quantise(np.array([-1700, -99_000]), topology).tolist() == [-1500, -30_000]
    assert quantise(np.array([99_000, 0]), topology).tolist() == [20_000, 0]
    assert quantise(np.array([-99_000, 400]), topology).tolist() == [-10_000, 0]


@pytest.mark.parametrize("illegal", [MISSING, MISSING + 1, -(2**62), 2**62, 2**63 - 1])
def test_illegal_values_stay_inside_the_rating(illegal):
    assets = [
        evse("e"),
        Asset("b", AssetKind.BATTERY, "d", "gcp", (0, 1, 2), 20.0, min_a=0.0, max_export_a=10.0),
    ]
    told = quantise(np.array([illegal, illegal]), site([gcp()], assets)).tolist()
    assert 0 <= told[0] <= 16_000
    assert -10_000 <= told[1] <= 20_000
    if illegal == MISSING:
        assert told == [0, 0], "no value is no command"


def test_tenths_of_an_ampere_are_exact():
    """32.3 A is 32300 mA, whatever binary fractions make of it."""
    for tenth in range(60, 1000):
        topology = site([gcp()], [evse("e", max_a=tenth / 10, min_a=6.0, step_a=0.1)])
        assert topology.max_ma[0] == tenth * 100
        assert quantise(topology.max_ma, topology).tolist() == [tenth * 100]


def test_a_minimum_between_two_steps_is_the_next_step():
    table = Table(garage(1, min_a=6.5)).plug("e0", least_a=6.5).after(seconds=5).expect(e0=7)
    table.after(seconds=90).expect(e0=16)
