"""Commands -> what connection tasks shall write: absolute values, decreases first, every one under the scan's lease."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from interfaces.domain.command import Commands
from interfaces.domain.image import Image
from interfaces.domain.topology import Topology
from interfaces.domain.units import MILLI, MISSING
from interfaces.drivers.outbox import Outbox
from interfaces.drivers.readings import PointReading
from interfaces.drivers.wiring import Wire

VOLTAGE_LEAST_PERCENT: Final = 90
"""EN 50160: the voltage is at least 90 % of nominal 95 % of the time. Unmeasured, this much is counted: watts ordered
for amperes never make more amperes."""
PERCENT: Final = 100


@dataclass(frozen=True, slots=True)
class Sinks:
    """Where each asset column is written: point keys in column order, and which of them take watts."""

    keys: tuple[str, ...]
    by_power: tuple[bool, ...]


def sinks_of(topology: Topology, wires: tuple[Wire, ...]) -> Sinks:
    """The points of the topology's assets."""
    profiles = {point.key: point.profile for wire in wires for point in wire.points}
    keys = tuple(asset.id for asset in topology.assets)
    return Sinks(keys, tuple(profiles[key].power_setpoint is not None for key in keys))


def apply(commands: Commands, image: Image, topology: Topology, sinks: Sinks, outbox: Outbox, now_s: float) -> None:
    """Hand the commands over. Without a lease (before the first complete image) nothing is handed over."""
    until_s = commands.valid_until_s
    if until_s <= now_s:
        return
    values = wanted_milli(commands, image, topology, sinks)
    for i in _decreases_first(values, sinks, outbox):
        key = sinks.keys[i]
        outbox.put(key, "stop", int(commands.stop[i]), until_s)
        outbox.put(key, "setpoint", values[i], until_s)
        if commands.phases[i]:
            outbox.put(key, "phases", int(commands.phases[i]), until_s)
        if commands.fast_poll[i]:
            outbox.poll_fast(key, until_s)


def wanted_milli(commands: Commands, image: Image, topology: Topology, sinks: Sinks) -> list[int]:
    """Per asset what its device shall be told: mA per conductor, or mW where it takes watts, rounded towards 0."""
    values: list[int] = commands.setpoint_ma.tolist()
    for i, by_power in enumerate(sinks.by_power):
        if by_power:
            milliwatts = abs(values[i]) * _conductor_mv(image, topology, i) // MILLI
            values[i] = milliwatts if values[i] >= 0 else -milliwatts
    return values


def _conductor_mv(image: Image, topology: Topology, i: int) -> int:
    """Sum over the asset's conductors of a voltage that is surely there: measured, at most nominal."""
    total = 0
    for phase in topology.assets[i].phases:
        measured = int(image.asset_mv[i, phase])
        surely = topology.nominal_mv * VOLTAGE_LEAST_PERCENT // PERCENT
        total += surely if measured == MISSING else min(measured, topology.nominal_mv)
    return total


def _decreases_first(values: list[int], sinks: Sinks, outbox: Outbox) -> list[int]:
    """Columns in the order in which their tasks shall wake: what lowers a current before what raises one."""

    def rise(i: int) -> int:
        before = outbox.get(sinks.keys[i], "setpoint")
        return abs(values[i]) - (abs(before.value) if before is not None else 0)

    return sorted(range(len(values)), key=rise)


def not_told_yet(values: list[int], sinks: Sinks, readings: Mapping[str, PointReading]) -> list[str]:
    """Keys of connected points whose device has acknowledged nothing yet that is as low as its value."""
    late = []
    for key, value in zip(sinks.keys, values, strict=True):
        reading = readings.get(key)
        if reading is None or not reading.connected:
            continue
        told = reading.setpoint.written_milli
        if told is None or abs(told) > abs(value):
            late.append(key)
    return late
