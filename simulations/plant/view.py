"""What the field would report: the scan's image straight from the plant, for closed loops without sockets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from interfaces.domain.command import Commands
from interfaces.domain.image import FailsafeProof, Fire, Identity, Image, Pilot
from interfaces.domain.plan import Plan
from interfaces.domain.targets import Targets
from interfaces.domain.units import (
    MILLI,
    MISSING,
    NEVER_S,
    PERMILLE,
    Bools,
    Floats,
    Ints,
    frozen_bools,
    frozen_floats,
    frozen_ints,
)
from simulations.plant.evse import EPS_S
from simulations.plant.site import SKEW_MOST_S, Plant

SETTLE_S: Final[float] = 20.0
"""After a change of its setpoint a device is polled fast for this long (design 4.1)."""
_MIX: Final[tuple[int, int, int, int]] = (1_000_003, 998_244_353, 1_000_000_007, 16_777_619)
"""Odd factors that tell two meter blocks apart."""


@dataclass(frozen=True, slots=True)
class Polling:
    """How well the field is seen. ``None`` takes the topology's rates; skews are the oldest a reading may be, in s."""

    meter_s: float | None = None
    asset_s: float | None = None
    settle_s: float | None = None
    meter_skew_s: float = 0.0
    asset_skew_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Orders:
    """Inputs that do not come from the plant."""

    operator_limit_mw: int = MISSING
    operator_stop: bool = False
    fire: int = int(Fire.INACTIVE)
    clock_trusted: bool = True
    plan: Plan | None = None
    targets: Targets | None = None


class FieldView:
    """Polls the plant as connection tasks would and keeps the latest readings.

    ``meter_silent`` (C,): meters that do not answer. Unreachable chargers are the plant's ``reachable``.
    """

    def __init__(self, plant: Plant, seed: int, polling: Polling | None = None) -> None:
        topology = plant.topology
        how = Polling() if polling is None else polling
        n, c = topology.n, topology.c
        self._plant = plant
        self._rng = np.random.default_rng(np.random.SeedSequence((seed, 1)))
        self._meter_s = np.array(topology.meter_period_s) if how.meter_s is None else np.full(c, how.meter_s)
        self._asset_s = np.array(topology.poll_s) if how.asset_s is None else np.full(n, how.asset_s)
        self._settle_s = np.array(topology.settle_poll_s) if how.settle_s is None else np.full(n, how.settle_s)
        self._settle_s = np.minimum(self._settle_s, self._asset_s)
        if max(how.meter_skew_s, how.asset_skew_s) > SKEW_MOST_S:
            raise ValueError(f"a reading is at most {SKEW_MOST_S} s old when it is sent")
        self._skews_s = (how.meter_skew_s, how.asset_skew_s)
        self._metered: Bools = np.asarray(topology.metered)
        self._is_evse: Bools = np.asarray(topology.is_evse)
        self.meter_silent: Bools = np.zeros(c, dtype=np.bool_)
        self.declared_off: Bools = np.zeros(n, dtype=np.bool_)
        # Devices answer out of step with each other, as on a real bus.
        self._next_meter_s: Floats = self._rng.uniform(0.0, 1.0, c) * np.maximum(self._meter_s - 1.0, 0.0)
        self._last_poll_s: Floats = -self._rng.uniform(0.0, 1.0, n) * np.maximum(self._asset_s - 1.0, 0.0)
        self._last_poll_s -= self._settle_s
        self._changed_s: Floats = np.full(n, NEVER_S)
        self._fast: Bools = np.zeros(n, dtype=np.bool_)
        self._clear(n, c)
        verifiable = np.array([a.failsafe_verifiable for a in topology.assets], dtype=np.bool_)
        proof = np.where(verifiable, int(FailsafeProof.VERIFIED), int(FailsafeProof.UNREADABLE))
        self._proof = proof.astype(np.int64)
        self._identity = frozen_ints(np.full(len(self._proof), int(Identity.KNOWN)))

    def _clear(self, n: int, c: int) -> None:
        self.meter_ma: Ints = np.full((c, 3), MISSING)
        self.meter_mw: Ints = np.full(c, MISSING)
        self.meter_sample_s: Floats = np.full(c, NEVER_S)
        self.meter_sample_no: Ints = np.zeros(c, dtype=np.int64)
        self.meter_digest: Ints = np.zeros(c, dtype=np.int64)
        self.asset_ma: Ints = np.full((n, 3), MISSING)
        self.asset_mv: Ints = np.full((n, 3), MISSING)
        self.asset_sample_s: Floats = np.full(n, NEVER_S)
        self.reply_s: Floats = np.full(n, NEVER_S)
        self.offered_ma: Ints = np.full(n, MISSING)
        self.readback_s: Floats = np.full(n, NEVER_S)
        self.pilot: Ints = np.full(n, int(Pilot.UNKNOWN))
        self.phases_now: Ints = np.full(n, MISSING)
        self.reboots: Ints = np.zeros(n, dtype=np.int64)
        self.energy_wh: Ints = np.full(n, MISSING)
        self.soc_permille: Ints = np.full(n, MISSING)
        self._sent_ma: Ints = np.full(n, MISSING)

    def apply(self, commands: Commands) -> None:
        """Write the commands; what was written is read back at once, as the connection tasks do."""
        plant = self._plant
        now_s = plant.now_s
        plant.apply(commands)
        reached = self._reached(now_s)
        changed = reached & (commands.setpoint_ma != self._sent_ma)
        self._sent_ma = np.where(changed, commands.setpoint_ma, self._sent_ma)
        self._changed_s = np.where(changed, now_s, self._changed_s)
        self._fast = np.asarray(commands.fast_poll)
        self._read_back(reached, now_s)

    def _reached(self, now_s: float) -> Bools:
        return self._plant.reachable & ~self._plant.supplies.booting(now_s)

    def _read_back(self, who: Bools, now_s: float) -> None:
        """Limit registers: what was written, or the failsafe current while that is in force."""
        supplies = self._plant.supplies
        limit_a = np.where(supplies.in_failsafe(now_s) & self._is_evse, supplies.failsafe_a, supplies.setpoint_a)
        self.offered_ma = np.where(who, np.rint(limit_a * MILLI).astype(np.int64), self.offered_ma)
        self.readback_s = np.where(who, now_s, self.readback_s)
        self.reply_s = np.where(who, now_s, self.reply_s)

    def image(self, orders: Orders | None = None, *, late_in_a_row: int = 0) -> Image:
        """The inputs of a scan at the plant's present time."""
        asked = Orders() if orders is None else orders
        self._poll_meters()
        self._poll_assets()
        return Image(
            meter_ma=frozen_ints(self.meter_ma),
            meter_mw=frozen_ints(self.meter_mw),
            meter_sample_s=frozen_floats(self.meter_sample_s),
            meter_sample_no=frozen_ints(self.meter_sample_no),
            meter_digest=frozen_ints(self.meter_digest),
            asset_ma=frozen_ints(self.asset_ma),
            asset_mv=frozen_ints(self.asset_mv),
            asset_sample_s=frozen_floats(self.asset_sample_s),
            reply_s=frozen_floats(self.reply_s),
            offered_ma=frozen_ints(self.offered_ma),
            readback_s=frozen_floats(self.readback_s),
            pilot=frozen_ints(self.pilot),
            failsafe_proof=frozen_ints(self._proof),
            phases_now=frozen_ints(self.phases_now),
            reboots=frozen_ints(self.reboots),
            energy_wh=frozen_ints(self.energy_wh),
            soc_permille=frozen_ints(self.soc_permille),
            identity=self._identity,
            declared_off=frozen_bools(self.declared_off),
            tag=self._plant.sessions.tags,
            operator_limit_mw=asked.operator_limit_mw,
            operator_stop=asked.operator_stop,
            fire=asked.fire,
            late_in_a_row=late_in_a_row,
            clock_trusted=asked.clock_trusted,
            plan=asked.plan,
            targets=asked.targets,
        )

    def _old(self, history: Floats, most_s: float) -> Floats:
        """A value of each line from up to ``most_s`` ago, drawn anew for every line."""
        plant = self._plant
        depth, count = history.shape[:2]
        steps = min(depth - 1, round(most_s / SKEW_MOST_S * (depth - 1)))
        back = (self._rng.random(count) * (steps + 1)).astype(np.int64)
        values: Floats = history[(plant.history_at - back) % depth, np.arange(count)]
        return values

    def _poll_meters(self) -> None:
        now_s = self._plant.now_s
        due = self._metered & (now_s >= self._next_meter_s - EPS_S)
        if not due.any():
            return
        self._next_meter_s = np.where(due, now_s + self._meter_s, self._next_meter_s)
        meters = self._plant.meters
        true_a = self._old(self._plant.history_rows, self._skews_s[0])
        amps, watts = meters.observe(true_a, self._plant.grid.circuit_v)
        good = due & ~self.meter_silent & ~meters.broken
        amps_ma = np.rint(np.where(good[:, None], amps, 0.0) * MILLI).astype(np.int64)
        milliwatts = np.rint(np.where(good, watts, 0.0) * MILLI).astype(np.int64)
        self.meter_ma = np.where(good[:, None], amps_ma, self.meter_ma)
        self.meter_mw = np.where(good, milliwatts, self.meter_mw)
        self.meter_sample_s = np.where(good, now_s, self.meter_sample_s)
        self.meter_sample_no = self.meter_sample_no + good
        digest = amps_ma @ np.array(_MIX[:3], dtype=np.int64) + meters.counter * _MIX[3]
        self.meter_digest = np.where(good, digest, self.meter_digest)

    def _poll_assets(self) -> None:
        plant = self._plant
        now_s = plant.now_s
        fast = self._fast | (now_s - self._changed_s < SETTLE_S)
        period_s = np.where(fast, self._settle_s, self._asset_s)
        due = self._reached(now_s) & (now_s - self._last_poll_s >= period_s - EPS_S)
        if not due.any():
            return
        self._last_poll_s = np.where(due, now_s, self._last_poll_s)
        three = due[:, None]
        seen_ma = np.rint(self._old(plant.history_seen, self._skews_s[1]) * MILLI).astype(np.int64)
        self.asset_ma = np.where(three, seen_ma, self.asset_ma)
        self.asset_mv = np.where(three, np.rint(plant.volts_v * MILLI).astype(np.int64), self.asset_mv)
        self.asset_sample_s = np.where(due, now_s, self.asset_sample_s)
        self.pilot = np.where(due, plant.pilot, self.pilot)
        self.phases_now = np.where(due, plant.phases_now, self.phases_now)
        self.reboots = np.where(due, plant.supplies.reboots, self.reboots)
        self.energy_wh = np.where(due, np.rint(plant.energy_wh).astype(np.int64), self.energy_wh)
        store = plant.batteries.columns
        if len(store):
            self.soc_permille[store] = np.rint(plant.batteries.soc * PERMILLE).astype(np.int64)
        self._read_back(due, now_s)
