"""Charging supplies: control pilot, contactor, failsafe and restart of every EVSE, one column per asset.

Times from IEC 61851-1: the pilot's duty cycle changes at most every 5 s (so a new limit waits up to 5 s), switching the
duty cycle off is immediate, and a car that does not open its switch is cut by the contactor 6 s later.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from interfaces.domain.image import Pilot
from interfaces.domain.topology import Topology
from interfaces.domain.units import MILLI, Bools, Floats, Ints

PILOT_HOLD_S: Final[float] = 5.0
"""Longest time between a new limit in the EVSE and the new duty cycle (IEC 61851-1 table A.6)."""
OPEN_UNDER_LOAD_S: Final[float] = 6.0
"""An EVSE opens its contactor this long after the duty cycle went off while the car still draws."""
MIN_OFFER_A: Final[float] = 6.0
"""The smallest current a duty cycle can offer (IEC 61851-1 table A.7)."""
EXPOSURE_WINDOW_S: Final[float] = 10.0
"""5 s of pilot hold and 5 s of car: how long an old offer may still be obeyed."""
BOOT_S: Final[float] = 20.0
"""How long a charger is dead while it restarts."""
EPS_S: Final[float] = 1e-6
_RING: Final[int] = 128
_SHORTEST_STEP_S: Final[float] = EXPOSURE_WINDOW_S / (_RING - 2)


class Supplies:
    """State of all EVSEs; columns of assets that are no EVSE stay at rest.

    ``setpoint_a``: the register's value. ``limit_a``: what is in force (0 is no offer). ``pilot_a``: current signalled
    by the duty cycle, 0 when it is off. ``contact_s``: when the controller was last heard.
    """

    def __init__(self, topology: Topology, rng: np.random.Generator, *, hold_s: float = PILOT_HOLD_S) -> None:
        n = topology.n
        self._hold_s = hold_s
        self._next_tick_s: Floats = rng.uniform(0.0, hold_s, n) if hold_s else np.zeros(n)
        self._ring: Floats = np.zeros((_RING, n))
        self._ring_until_s: Floats = np.full(_RING, -np.inf)
        self._slot = 0
        self._off_since_s: Floats = np.full(n, -np.inf)
        self._plugged: Bools = np.zeros(n, dtype=np.bool_)
        self.rated_a: Floats = topology.max_ma / MILLI
        self.boot_a: Floats = topology.boot_ma / MILLI
        self.min_offer_a: Floats = np.minimum(topology.min_ma / MILLI, MIN_OFFER_A)
        self.setpoint_a: Floats = np.zeros(n)
        self.applied_a: Floats = np.zeros(n)
        self.limit_a: Floats = np.zeros(n)
        self.pilot_a: Floats = np.zeros(n)
        self.changed_at_s: Floats = np.full(n, -np.inf)
        self.stop: Bools = np.zeros(n, dtype=np.bool_)
        self.closed: Bools = np.zeros(n, dtype=np.bool_)
        self.failsafe_a: Floats = topology.failsafe_ma / MILLI
        self.timeout_s: Floats = np.array(topology.failsafe_timeout_s)
        self.contact_s: Floats = np.zeros(n)
        self.boot_until_s: Floats = np.full(n, -np.inf)
        self.reboots: Ints = np.zeros(n, dtype=np.int64)
        self.faulted: Bools = np.zeros(n, dtype=np.bool_)
        self.welded: Bools = np.zeros(n, dtype=np.bool_)
        self.ignores_writes: Bools = np.zeros(n, dtype=np.bool_)

    def write(self, setpoint_a: Floats, stop: Bools, reached: Bools, now_s: float) -> None:
        """Setpoints (N,) A arrive where ``reached``; a device that ignores writes stores them and does nothing."""
        self.setpoint_a = np.where(reached, setpoint_a, self.setpoint_a)
        self.applied_a = np.where(reached & ~self.ignores_writes, setpoint_a, self.applied_a)
        self.stop = np.where(reached, stop, self.stop)
        self.contact_s[reached] = now_s

    def reboot(self, column: int, now_s: float) -> None:
        """Restart one charger: it opens its contactor, forgets failsafe and setpoint and wakes up at its boot current.

        What remains after a lost configuration is the factory's: full rating and no time-out (protocol survey 1.7).
        """
        self.boot_until_s[column] = now_s + BOOT_S
        self.reboots[column] += 1
        self.setpoint_a[column] = self.applied_a[column] = self.boot_a[column]
        self.failsafe_a[column] = self.rated_a[column]
        self.timeout_s[column] = np.inf
        self.stop[column] = False

    def booting(self, now_s: float) -> Bools:
        """Chargers that are restarting: they answer nobody and offer nothing."""
        return np.asarray(now_s < self.boot_until_s - EPS_S)

    def in_failsafe(self, now_s: float) -> Bools:
        """Chargers that have not heard the controller for their time-out."""
        return np.asarray(now_s - self.contact_s > self.timeout_s)

    def advance(self, dt_s: float, now_s: float, plugged: Bools) -> None:
        """Move limit and pilot from ``now_s - dt_s`` to ``now_s``; raises ``ValueError`` for a step below 80 ms."""
        if dt_s < _SHORTEST_STEP_S:
            raise ValueError(f"a plant step is at least {_SHORTEST_STEP_S:.3f} s")
        left = self._plugged & ~plugged
        if left.any():  # the next car never saw what this one was offered
            self._ring[:, left] = 0.0
        self._plugged = plugged.copy()
        limit = np.where(self.in_failsafe(now_s), self.failsafe_a, self.applied_a)
        limit = np.minimum(limit, self.rated_a)
        dead = self.stop | self.faulted | self.booting(now_s) | ~plugged
        offering = (limit >= self.min_offer_a) & ~dead
        self.limit_a = np.where(offering, limit, 0.0)
        self._slot = (self._slot + 1) % _RING
        self._ring[self._slot] = self.limit_a
        self._ring_until_s[self._slot] = now_s
        self._move_pilot(dt_s, now_s, offering)

    def _move_pilot(self, dt_s: float, now_s: float, offering: Bools) -> None:
        before_s = now_s - dt_s
        tick = self._next_tick_s <= now_s + EPS_S
        tick_s = np.maximum(self._next_tick_s, before_s)
        went_off = ~offering & (self.pilot_a > 0.0)
        new = offering & tick & (self.pilot_a != self.limit_a)
        self.changed_at_s = np.where(went_off, before_s, np.where(new, tick_s, self.changed_at_s))
        self._off_since_s = np.where(went_off, before_s, self._off_since_s)
        self.pilot_a = np.where(offering, np.where(tick, self.limit_a, self.pilot_a), 0.0)
        if self._hold_s:
            passed = np.floor(np.maximum(now_s + EPS_S - self._next_tick_s, 0.0) / self._hold_s) + 1.0
            self._next_tick_s = np.where(tick, self._next_tick_s + passed * self._hold_s, self._next_tick_s)

    def switch(self, now_s: float, ready: Bools) -> None:
        """Close or open the contactors for cars that are ready (state C); a welded one never opens."""
        lit = self.pilot_a > 0.0
        lingering = self.closed & ~lit & (now_s - self._off_since_s < OPEN_UNDER_LOAD_S - EPS_S)
        may = ready & (lit | lingering) & ~self.stop & ~self.faulted & ~self.booting(now_s)
        self.closed = may | (self.welded & (self.closed | may))

    def highest_offer_a(self, now_s: float, window_s: float = EXPOSURE_WINDOW_S) -> Floats:
        """Per asset the highest limit in force during the last ``window_s``, at most 10 s (N,) A."""
        recent = self._ring_until_s > now_s - window_s + EPS_S
        return np.asarray(self._ring[recent].max(axis=0, initial=0.0))

    def pilot_state(self, plugged: Bools, ready: Bools) -> Ints:
        """IEC 61851 state of every EVSE (N,), coded as ``Pilot``."""
        state = int(Pilot.B1) + (self.pilot_a > 0.0) + 2 * ready
        state = np.where(plugged, state, int(Pilot.A))
        return np.where(self.faulted, int(Pilot.F), state).astype(np.int64)
