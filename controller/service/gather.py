"""The table of readings -> the image of one scan: frozen once, in the order of the topology.

Rows change only when a point brought a new reading; one that is broken keeps its last good row with its old time. So a
scan copies a few columns, and a device that talks nonsense ages like one that is silent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from controller.service.identity import NOBODY_BOUND, Bindings, identity_of
from controller.service.measure import (
    PROOFS,
    CurrentSign,
    DemandRow,
    asset_row,
    demand_row,
    energy_wh_of,
    meter_row,
    offered_ma,
    phases_of,
    pilot_of,
    soc_permille_of,
    tag_of,
)
from interfaces.domain.image import FailsafeProof, Fire, Identity, Image, Pilot
from interfaces.domain.orders import Orders
from interfaces.domain.plan import Plan
from interfaces.domain.targets import Targets
from interfaces.domain.topology import Topology
from interfaces.domain.units import MISSING, NEVER_S, frozen_bools, frozen_floats, frozen_ints
from interfaces.drivers.readings import PointReading
from interfaces.drivers.wiring import Wire

GRID_PHASES: Final = 3
DEFAULT_SIGN: Final[CurrentSign] = "unsigned"
NO_DEMAND: Final = DemandRow(MISSING, MISSING, MISSING)


@dataclass(frozen=True, slots=True)
class Inputs:
    """What reaches a scan besides readings. ``fire`` is INACTIVE where the site has no fire input; ``bindings``: which
    device belongs where.
    """

    operator_limit_mw: int = MISSING
    operator_stop: bool = False
    fire: int = int(Fire.INACTIVE)
    declared_off: frozenset[str] = frozenset()
    plan: Plan | None = None
    targets: Targets | None = None
    late_in_a_row: int = 0
    clock_trusted: bool = True
    bindings: Bindings = NOBODY_BOUND
    orders: Orders | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Where a column or line comes from: point key, device, what its profile tells, how its currents are signed."""

    key: str
    roles: frozenset[str] = frozenset()
    sign: CurrentSign = DEFAULT_SIGN
    by_power: bool = False
    device: str = ""

    @property
    def tells_serial(self) -> bool:
        return "serial" in self.roles


@dataclass(frozen=True, slots=True)
class Sources:
    """Per circuit its meter (None: unmetered) and per asset its point; ``phases`` the site has."""

    meters: tuple[Source | None, ...]
    assets: tuple[Source, ...]
    phases: int = GRID_PHASES


def sources_of(topology: Topology, wires: tuple[Wire, ...], *, phases: int = GRID_PHASES) -> Sources:
    """The points of the topology's meters and assets. KeyError when the wires are of another site."""
    points = {point.key: point for wire in wires for point in wire.points}

    def source(key: str) -> Source:
        point, profile = points[key], points[key].profile
        sign = profile.current_sign or DEFAULT_SIGN
        roles, by_power = frozenset(profile.roles), profile.power_setpoint is not None
        return Source(key, roles, sign, by_power=by_power, device=point.device)

    meters = tuple(None if circuit.meter is None else source(circuit.meter) for circuit in topology.circuits)
    return Sources(meters, tuple(source(asset.id) for asset in topology.assets), phases)


class _Table:
    """The image's columns as they stand, and the readings they were made of."""

    def __init__(self, n: int, c: int) -> None:
        self.seen: dict[str, PointReading] = {}
        self.meter_ma = np.full((c, 3), MISSING, dtype=np.int64)
        self.meter_mw = np.full(c, MISSING, dtype=np.int64)
        self.meter_sample_s = np.full(c, NEVER_S)
        self.meter_sample_no = np.zeros(c, dtype=np.int64)
        self.meter_digest = np.zeros(c, dtype=np.int64)
        self.demand = NO_DEMAND
        self.asset_ma = np.full((n, 3), MISSING, dtype=np.int64)
        self.asset_mv = np.full((n, 3), MISSING, dtype=np.int64)
        self.asset_sample_s = np.full(n, NEVER_S)
        self.reply_s = np.full(n, NEVER_S)
        self.offered_ma = np.full(n, MISSING, dtype=np.int64)
        self.readback_s = np.full(n, NEVER_S)
        self.pilot = np.full(n, int(Pilot.UNKNOWN), dtype=np.int64)
        self.failsafe_proof = np.full(n, int(FailsafeProof.UNREADABLE), dtype=np.int64)
        self.phases_now = np.full(n, MISSING, dtype=np.int64)
        self.reboots = np.full(n, MISSING, dtype=np.int64)
        self.energy_wh = np.full(n, MISSING, dtype=np.int64)
        self.soc_permille = np.full(n, MISSING, dtype=np.int64)
        self.identity = np.full(n, int(Identity.KNOWN), dtype=np.int64)
        self.tag: list[str | None] = [None] * n


class Gather:
    """Makes images. One per start: the order of columns and lines never changes while it lives."""

    def __init__(self, topology: Topology, sources: Sources) -> None:
        self._topology = topology
        self._sources = sources
        self._table = _Table(topology.n, topology.c)
        self._bindings = NOBODY_BOUND
        self._ids = tuple(asset.id for asset in topology.assets)
        remote = np.flatnonzero(topology.remote).tolist()
        self._own_meters = tuple((column, topology.chain[column][0]) for column in remote)

    def image(self, readings: Mapping[str, PointReading], inputs: Inputs) -> Image:
        """The image of this instant; its columns are copies and never change."""
        table, rebound = self._table, inputs.bindings is not self._bindings
        self._bindings = inputs.bindings
        for line, source in enumerate(self._sources.meters):
            if source is not None:
                self._meter(line, source, readings.get(source.key), inputs.bindings)
        for column, source in enumerate(self._sources.assets):
            reading = readings.get(source.key)
            if reading is None:
                continue
            new = table.seen.get(source.key) is not reading
            if new:
                table.seen[source.key] = reading
                self._asset(column, source, reading)
            if new or rebound:
                table.identity[column] = self._identity(source, inputs.bindings, reading)
        for column, line in self._own_meters:
            self._measured_apart(column, line)
        return self._frozen(inputs)

    def _measured_apart(self, column: int, line: int) -> None:
        """What a remote asset draws: all that flows in its circuit, which feeds nothing else."""
        table = self._table
        if table.meter_sample_s[line] > table.asset_sample_s[column]:
            table.asset_ma[column] = np.maximum(table.meter_ma[line], 0)
            table.asset_sample_s[column] = table.meter_sample_s[line]

    def _meter(self, line: int, source: Source, reading: PointReading | None, bindings: Bindings) -> None:
        """A meter that is another one than the bound one measures something else: it counts as silent. So does one that
        does not look like its profile: words in another order read as currents near 0.
        """
        table, mark = self._table, f"{line}:{source.key}"
        if reading is None or table.seen.get(mark) is reading:
            return
        if reading.suspect or self._identity(source, bindings, reading) == int(Identity.OTHER):
            return
        table.seen[mark] = reading
        row = meter_row(reading, source.sign, self._sources.phases)
        if row is None:
            return
        table.meter_ma[line] = row.ma
        table.meter_mw[line] = row.mw
        table.meter_sample_s[line] = row.sample_s
        table.meter_sample_no[line] = row.sample_no
        table.meter_digest[line] = row.digest
        if line == 0:
            table.demand = demand_row(reading)

    def _identity(self, source: Source, bindings: Bindings, reading: PointReading) -> int:
        return identity_of(source.device, bindings, reading, tells_serial=source.tells_serial)

    def _asset(self, column: int, source: Source, reading: PointReading) -> None:
        table, asset = self._table, self._topology.assets[column]
        nominal_mv = self._topology.nominal_mv
        row = asset_row(reading, source.roles, asset.phases, nominal_mv)
        if row is not None and not reading.suspect:  # a current that cannot be believed is nothing to count with
            table.asset_ma[column] = row.ma
            table.asset_mv[column] = row.mv
            table.asset_sample_s[column] = row.sample_s
        table.reply_s[column] = reading.reply_s
        table.offered_ma[column] = offered_ma(reading, len(asset.phases), nominal_mv, by_power=source.by_power)
        table.readback_s[column] = reading.setpoint.readback_at_s
        table.pilot[column] = pilot_of(reading)
        table.failsafe_proof[column] = PROOFS.get(reading.failsafe.verdict, int(FailsafeProof.UNREADABLE))
        table.phases_now[column] = phases_of(reading)
        table.reboots[column] = reading.reboots
        table.energy_wh[column] = energy_wh_of(reading)
        table.soc_permille[column] = soc_permille_of(reading)
        table.tag[column] = tag_of(reading)

    def _frozen(self, inputs: Inputs) -> Image:
        table = self._table
        return Image(
            meter_ma=frozen_ints(table.meter_ma),
            meter_mw=frozen_ints(table.meter_mw),
            meter_sample_s=frozen_floats(table.meter_sample_s),
            meter_sample_no=frozen_ints(table.meter_sample_no),
            meter_digest=frozen_ints(table.meter_digest),
            asset_ma=frozen_ints(table.asset_ma),
            asset_mv=frozen_ints(table.asset_mv),
            asset_sample_s=frozen_floats(table.asset_sample_s),
            reply_s=frozen_floats(table.reply_s),
            offered_ma=frozen_ints(table.offered_ma),
            readback_s=frozen_floats(table.readback_s),
            pilot=frozen_ints(table.pilot),
            failsafe_proof=frozen_ints(table.failsafe_proof),
            phases_now=frozen_ints(table.phases_now),
            reboots=frozen_ints(table.reboots),
            energy_wh=frozen_ints(table.energy_wh),
            soc_permille=frozen_ints(table.soc_permille),
            identity=frozen_ints(table.identity),
            declared_off=frozen_bools([name in inputs.declared_off for name in self._ids]),
            tag=tuple(table.tag),
            operator_limit_mw=inputs.operator_limit_mw,
            operator_stop=inputs.operator_stop,
            fire=inputs.fire,
            late_in_a_row=inputs.late_in_a_row,
            clock_trusted=inputs.clock_trusted,
            plan=inputs.plan,
            targets=inputs.targets,
            orders=inputs.orders,
            quarter_mw=table.demand.quarter_mw,
            quarter_left_ms=table.demand.left_ms,
            month_peak_mw=table.demand.peak_mw,
        )
