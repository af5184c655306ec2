"""Cars: how they answer the pilot, what they draw on which conductor, and the ways in which real ones misbehave."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Final

import numpy as np

from interfaces.domain.units import Bools, Floats, Ints
from simulations.plant.evse import EPS_S, Supplies

CAR_REACTION_S: Final[float] = 5.0
"""A car follows a changed duty cycle within this time (IEC 61851-1 table A.6, sequence 6)."""
CAR_STOP_S: Final[float] = 3.0
"""A car stops within this time after the duty cycle went off."""
TAPER_FLOOR_A: Final[float] = 1.0
"""Current of a nearly full battery; balancing draws about this until the car opens its switch."""
LATE_IS_NEWS_S: Final[float] = 60.0
"""A conductor must have been unused this long before its use counts as learned; younger ones are plain ramp-up."""
MOOD_S: Final[float] = 3.0
"""Mean time between two changes of mind of a restless adversary."""
SLY_S: Final[float] = 8.0
"""A sly adversary looks obedient this long after its offer fell."""


class Adversary(IntEnum):
    """Ways to use the 10 s in which an old offer may still be obeyed to the utmost.

    ``RESTLESS``: anything up to the highest offer of the last 10 s, ever changing. ``GREEDY``: always that highest
    offer. ``SLY``: seems to obey until no measurement expects it any more, then takes the old offer as long as it may.
    """

    NONE = 0
    RESTLESS = 1
    GREEDY = 2
    SLY = 3


@dataclass(frozen=True, slots=True)
class CarTraits:
    """How one car behaves. Times in s from plug-in, currents in A per conductor.

    ``late_conductors_s``: it starts on one conductor and uses all of them from then on. ``asleep``: (from, until) it
    stays in B2 and draws nothing.
    """

    react_s: float = 2.0
    stop_s: float = 1.5
    ramp_a_per_s: float = 4.0
    min_a: float = 6.0
    habit_a: float = 0.0
    excess: float = 1.0
    ignores_decrease: bool = False
    never_resumes: bool = False
    asleep: tuple[float, float] | None = None
    late_conductors_s: float | None = None
    adversary: Adversary = Adversary.NONE


@dataclass(frozen=True, slots=True)
class Arrival:
    """One visit: plug-in at ``start_s``, plug-out at ``end_s``; the car takes ``energy_wh`` and then stops.

    ``phases``: conductors its on-board charger uses (1 to 3); ``max_a``: its limit per conductor; the last
    ``taper_share`` of the energy comes at falling current.
    """

    asset: str
    start_s: float
    end_s: float
    energy_wh: float
    phases: int = 3
    max_a: float = 16.0
    tag: str | None = None
    taper_share: float = 0.1
    traits: CarTraits = field(default_factory=CarTraits)


class Cars:
    """The car at each EVSE, one column per asset; empty places have ``plugged`` False and draw nothing.

    ``amps`` (N,): current on every conductor in use; ``conductors`` (N, 3): which ones those are.
    """

    def __init__(self, n: int, rng: np.random.Generator) -> None:
        self._rng = rng
        self.plugged: Bools = np.zeros(n, dtype=np.bool_)
        self.ready: Bools = np.zeros(n, dtype=np.bool_)
        self.dead: Bools = np.zeros(n, dtype=np.bool_)
        self.amps: Floats = np.zeros(n)
        self.remaining_wh: Floats = np.zeros(n)
        self.conductors: Bools = np.zeros((n, 3), dtype=np.bool_)
        self.late: Bools = np.zeros((n, 3), dtype=np.bool_)
        self.late_since_s: Floats = np.full(n, -np.inf)
        self._late_at_s: Floats = np.full(n, np.inf)
        self._own_phases: Ints = np.zeros(n, dtype=np.int64)
        self._used: Ints = np.zeros(n, dtype=np.int64)
        self._drawing_since_s: Floats = np.full(n, np.inf)
        self._target_a: Floats = np.zeros(n)
        self._react_until_s: Floats = np.full(n, np.inf)
        self._taper_wh: Floats = np.ones(n)
        self._max_a: Floats = np.zeros(n)
        self._asleep_from_s: Floats = np.full(n, np.inf)
        self._asleep_until_s: Floats = np.full(n, -np.inf)
        self._mood: Floats = np.ones(n)
        self._load_traits(n)

    def _load_traits(self, n: int) -> None:
        usual = CarTraits()
        self._react_s: Floats = np.full(n, usual.react_s)
        self._stop_s: Floats = np.full(n, usual.stop_s)
        self._ramp: Floats = np.full(n, usual.ramp_a_per_s)
        self._min_a: Floats = np.full(n, usual.min_a)
        self._habit_a: Floats = np.full(n, usual.habit_a)
        self._excess: Floats = np.full(n, usual.excess)
        self._ignores: Bools = np.zeros(n, dtype=np.bool_)
        self._never_resumes: Bools = np.zeros(n, dtype=np.bool_)
        self._adversary: Ints = np.zeros(n, dtype=np.int64)

    def plug_in(self, column: int, car: Arrival, now_s: float) -> None:
        """A car arrives; its traits' times count from now."""
        self.plug_out(column)
        traits = car.traits
        self.plugged[column] = True
        self.remaining_wh[column] = car.energy_wh
        self._taper_wh[column] = max(car.energy_wh * car.taper_share, 1.0)
        self._max_a[column] = car.max_a
        self._own_phases[column] = car.phases
        self._late_at_s[column] = np.inf if traits.late_conductors_s is None else now_s + traits.late_conductors_s
        self._used[column] = car.phases if traits.late_conductors_s is None else 1
        if traits.asleep is not None:
            self._asleep_from_s[column] = now_s + traits.asleep[0]
            self._asleep_until_s[column] = now_s + traits.asleep[1]
        self._react_s[column] = min(traits.react_s, CAR_REACTION_S)
        self._stop_s[column] = min(traits.stop_s, CAR_STOP_S)
        self._ramp[column] = traits.ramp_a_per_s
        self._min_a[column] = traits.min_a
        self._habit_a[column] = traits.habit_a
        self._excess[column] = traits.excess
        self._ignores[column] = traits.ignores_decrease
        self._never_resumes[column] = traits.never_resumes
        self._adversary[column] = int(traits.adversary)

    def plug_out(self, column: int) -> None:
        """The car leaves."""
        for flags in (self.plugged, self.ready, self.dead, self._ignores, self._never_resumes):
            flags[column] = False
        self._adversary[column] = int(Adversary.NONE)
        self.late[column] = False
        self.late_since_s[column] = -np.inf
        self._late_at_s[column] = self._drawing_since_s[column] = np.inf
        self._asleep_from_s[column], self._asleep_until_s[column] = np.inf, -np.inf
        self.amps[column] = self._target_a[column] = self.remaining_wh[column] = 0.0
        self._react_until_s[column] = np.inf
        self._own_phases[column] = self._used[column] = 0
        self._mood[column] = 1.0

    def follow(self, now_s: float, supplies: Supplies) -> None:
        """See the pilot, decide after the reaction time, and be ready (state C) or not."""
        pilot = supplies.pilot_a
        differs = pilot != self._target_a
        delay = self._react_s * (0.5 + 0.5 * self._rng.random(len(pilot)))
        fresh = differs & np.isinf(self._react_until_s)
        until = np.where(fresh, supplies.changed_at_s + delay, self._react_until_s)
        off = differs & (pilot <= 0.0)
        until = np.where(off, np.minimum(until, supplies.changed_at_s + self._stop_s), until)
        due = now_s >= until - EPS_S
        keeps = self._ignores & (pilot < self._target_a)
        self._target_a = np.where(due & ~keeps, pilot, self._target_a)
        self._react_until_s = np.where(due | ~differs, np.inf, until)
        asleep = (now_s >= self._asleep_from_s) & (now_s < self._asleep_until_s)
        wants = self.plugged & (self.remaining_wh > 0.0) & ~asleep & ~self.dead
        self.ready = wants & (self._target_a >= self._min_a - EPS_S)

    def draw(self, dt_s: float, now_s: float, supplies: Supplies, energised: Bools) -> None:
        """Set ``amps`` for this instant from target, on-board limit, taper, habit and vice."""
        flowing = supplies.closed & energised
        share = self.remaining_wh / self._taper_wh
        taper_a = np.maximum(TAPER_FLOOR_A, self._max_a * share)
        goal = np.minimum(np.minimum(self._target_a * self._excess - self._habit_a, self._max_a), taper_a)
        before = self.amps
        rising = np.minimum(goal, before + self._ramp * dt_s)
        amps = np.where(flowing & self.ready, np.maximum(rising, 0.0), 0.0)
        stuck = supplies.welded & supplies.closed & energised & self.plugged
        if stuck.any():
            amps = np.where(stuck, np.maximum(amps, before), amps)
        if self._adversary.any():
            amps = self._abuse(dt_s, now_s, supplies, energised, amps)
        cut = (before > 0.0) & (amps <= 0.0) & (supplies.pilot_a <= 0.0)
        self.dead |= cut & self._never_resumes
        # Whoever was cut by the contactor starts again from nothing, even one that ignored the pilot.
        self._target_a = np.where(cut & ~supplies.closed, 0.0, self._target_a)
        self.amps = amps
        self._drawing_since_s = np.where(
            amps > 0.0, np.minimum(self._drawing_since_s, now_s), np.where(before > 0.0, np.inf, self._drawing_since_s)
        )

    def _abuse(self, dt_s: float, now_s: float, supplies: Supplies, energised: Bools, amps: Floats) -> Floats:
        """Adversaries' currents (N,) A; all others keep theirs. They need no ramp and wait for no pilot."""
        chance = self._rng.random((3, len(amps)))
        new_mood = np.where(chance[1] < 0.6, 1.0, chance[2])
        self._mood = np.where(chance[0] < dt_s / MOOD_S, new_mood, self._mood)
        able = self.plugged & energised & (self.remaining_wh > 0.0) & ~supplies.stop & ~supplies.booting(now_s)
        high = supplies.highest_offer_a(now_s)
        hides = supplies.highest_offer_a(now_s, SLY_S) > supplies.limit_a
        high = np.where((self._adversary == Adversary.SLY) & hides, supplies.limit_a, high)
        high = np.where(self._adversary == Adversary.RESTLESS, high * self._mood, high)
        drawn = np.where(able, np.minimum(high, self._max_a), 0.0)
        return np.where(self._adversary != Adversary.NONE, drawn, amps)

    def use_conductors(self, now_s: float, wired: Ints, phases_now: Ints) -> None:
        """Which conductors carry the current now; ``wired`` (N,) how many exist, ``phases_now`` (N,) 1 or 3."""
        wakes = now_s >= self._late_at_s
        if wakes.any():
            long_enough = now_s - self._drawing_since_s >= LATE_IS_NEWS_S
            news = wakes & long_enough
            number = np.minimum(np.minimum(self._own_phases, wired), phases_now)
            index = np.arange(3)
            self.late[news] = (index >= self._used[news, None]) & (index < number[news, None])
            self.late_since_s[news] = now_s
            self._used = np.where(wakes, self._own_phases, self._used)
            self._late_at_s[wakes] = np.inf
        number = np.minimum(np.minimum(self._used, wired), phases_now)
        self.conductors = np.arange(3) < number[:, None]

    def take(self, energy_wh: Floats) -> None:
        """Energy (N,) that went into the batteries during the step."""
        self.remaining_wh = np.maximum(self.remaining_wh - energy_wh, 0.0)

    def appetite_a(self) -> Floats:
        """What each car would take now without any limit but its own (N,) A per conductor."""
        taper_a = np.maximum(TAPER_FLOOR_A, self._max_a * self.remaining_wh / self._taper_wh)
        return np.where(self.plugged & (self.remaining_wh > 0.0), np.minimum(self._max_a, taper_a), 0.0)


def drawn_traits(
    rng: np.random.Generator, *, odd_share: float = 0.3, disobedient_share: float = 0.0, adversarial_share: float = 0.0
) -> CarTraits:
    """Traits of one car from the street.

    ``odd_share``: cars with a legal oddity (draws less, sleeps, never resumes, needs 8 or 14 A, starts on one
    conductor); ``disobedient_share``: draws 10 % more or ignores decreases; ``adversarial_share``: see ``CarTraits``.
    """
    common = CarTraits(
        react_s=float(rng.uniform(0.5, CAR_REACTION_S)),
        stop_s=float(rng.uniform(0.5, CAR_STOP_S)),
        ramp_a_per_s=float(rng.uniform(1.0, 8.0)),
    )
    dice, kind, nap_s = float(rng.random()), int(rng.integers(0, 30)), float(rng.uniform(300.0, 3600.0))
    if dice < adversarial_share:
        return replace(common, adversary=Adversary(1 + kind % 3))
    dice -= adversarial_share
    if dice < disobedient_share:
        return replace(common, excess=1.1) if kind % 2 else replace(common, ignores_decrease=True)
    if dice - disobedient_share >= odd_share:
        return common
    oddities = (
        replace(common, habit_a=1.2),
        replace(common, never_resumes=True),
        replace(common, asleep=(0.1 * nap_s, nap_s)),
        replace(common, min_a=8.0),
        replace(common, min_a=14.0),
        replace(common, late_conductors_s=nap_s),
    )
    return oddities[kind % len(oddities)]
