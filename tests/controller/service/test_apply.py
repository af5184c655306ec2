"""Commands to the outbox: absolute values, leases, order, watts."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from controller.service.apply import Sinks, apply, not_told_yet, sinks_of, wanted_milli
from controller.service.gather import Gather, Inputs, sources_of
from interfaces.domain.command import Commands
from interfaces.domain.topology import Asset, AssetKind, Circuit, build_topology
from interfaces.drivers.outbox import Outbox
from interfaces.drivers.readings import PointReading, SetpointStatus
from interfaces.drivers.wiring import wires_of
from tests.controller.service.kit import PLACE_1, PLACE_2, charger_reading, garage_setup

SETUP = garage_setup()
TOPOLOGY = SETUP.params.topology
WIRES = wires_of(SETUP.site)
IMAGE = Gather(TOPOLOGY, sources_of(TOPOLOGY, WIRES)).image({}, Inputs())
SINKS = sinks_of(TOPOLOGY, WIRES)


def commands(*setpoint_ma: int, until_s: float = 12.0, **change: object) -> Commands:
    n = len(setpoint_ma)
    zeros = np.zeros(n, dtype=np.int64)
    usual = Commands(
        np.array(setpoint_ma), zeros > 0, zeros, zeros, zeros, zeros, zeros > 0, until_s, failsafe=False, guard_ok=True
    )
    return replace(usual, **change)  # type: ignore[arg-type]


def test_every_output_carries_the_lease_of_its_scan():
    outbox = Outbox()
    apply(commands(6000, 0), IMAGE, TOPOLOGY, SINKS, outbox, 10.0)
    by_key = dict(zip(SINKS.keys, (6000, 0), strict=True))
    for key, value in by_key.items():
        want = outbox.get(key, "setpoint")
        assert want is not None
        assert (want.value, want.valid_until_s) == (value, 12.0)
        assert outbox.lease_until_s(key) == 12.0


def test_without_a_lease_nothing_is_handed_over():
    outbox = Outbox()
    apply(commands(6000, 0, until_s=10.0), IMAGE, TOPOLOGY, SINKS, outbox, 10.0)
    assert not outbox.wanted


class Waking(asyncio.Event):
    """Notes whose task would wake up."""

    def __init__(self, key: str, order: list[str]) -> None:
        super().__init__()
        self.key, self.order = key, order

    def set(self) -> None:
        self.order.append(self.key)


def test_tasks_of_decreases_wake_before_those_of_raises():
    outbox = Outbox()
    order: list[str] = []
    apply(commands(6000, 16_000), IMAGE, TOPOLOGY, SINKS, outbox, 10.0)
    for key in SINKS.keys:
        outbox.wake_by(key, Waking(key, order))
    apply(commands(10_000, 6000), IMAGE, TOPOLOGY, SINKS, outbox, 10.0)
    assert order == [SINKS.keys[1], SINKS.keys[0]]
    apply(commands(6000, 16_000), IMAGE, TOPOLOGY, SINKS, outbox, 10.0)
    assert order[2:] == [SINKS.keys[0], SINKS.keys[1]]


def test_stop_phases_and_fast_polls_have_their_own_channels():
    outbox = Outbox()
    some = commands(0, 6000, stop=np.array([True, False]), phases=np.array([0, 1]), fast_poll=np.array([True, False]))
    apply(some, IMAGE, TOPOLOGY, SINKS, outbox, 10.0)
    first, second = SINKS.keys
    assert outbox.get(first, "stop").value == 1  # type: ignore[union-attr]
    assert outbox.get(second, "stop").value == 0  # type: ignore[union-attr]
    assert outbox.get(first, "phases") is None
    assert outbox.get(second, "phases").value == 1  # type: ignore[union-attr]
    assert outbox.fast_until_s == {first: 12.0}


@pytest.mark.parametrize(
    ("setpoint_ma", "volts_mv", "expected_mw"),
    [
        (10_000, None, 3 * 207 * 10_000),
        (10_000, 230_000, 3 * 230 * 10_000),
        (10_000, 253_000, 3 * 230 * 10_000),
        (10_000, 200_000, 3 * 200 * 10_000),
        (-10_000, 230_000, -3 * 230 * 10_000),
        (0, 230_000, 0),
        (-1, None, -621),
    ],
)
def test_watts_for_amperes_never_make_more_amperes(setpoint_ma, volts_mv, expected_mw):
    battery = build_topology(
        [Circuit("gcp", None, (63.0,) * 3)],
        [Asset("b", AssetKind.BATTERY, "b", "gcp", (0, 1, 2), 20.0)],
        version="t",
    )
    image = replace(IMAGE, asset_mv=np.full((1, 3), -(2**63) if volts_mv is None else volts_mv))
    sinks = Sinks(("b",), (True,))
    assert wanted_milli(commands(setpoint_ma), image, battery, sinks) == [expected_mw]


def test_who_has_not_been_told_yet():
    told = {PLACE_1: charger_reading(9.0, 6000), PLACE_2: charger_reading(9.0, 0)}
    values = [0 if key == PLACE_1 else 6000 for key in SINKS.keys]
    assert not_told_yet(values, SINKS, told) == [PLACE_1]
    gone = {PLACE_1: PointReading(connected=False), PLACE_2: PointReading(connected=True, setpoint=SetpointStatus())}
    assert not_told_yet(values, SINKS, gone) == [PLACE_2]
