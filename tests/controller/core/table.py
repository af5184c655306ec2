"""Scan tables: a topology, an image per scan, a tiny ideal plant, and what is expected after n scans.

The plant is deliberately simple and shares nothing with ``simulations``: an EVSE holds its pilot 5 s and a car needs
5 s more, so a car follows the register of 10 s ago; an adversarial car draws anything up to the highest offer of the
last 10 s. Time is simulated.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from controller.core.params import Params
from controller.core.scan import scan
from controller.core.state import ControllerState, Retained, initial
from interfaces.domain.command import Commands, Report
from interfaces.domain.image import FailsafeProof, Fire, Identity, Image, Pilot
from interfaces.domain.reasons import Reason
from interfaces.domain.topology import Asset, AssetKind, Circuit, Protection, Topology, build_topology
from interfaces.domain.units import MISSING, NEVER_S

START_S = 1000.0
EPOCH_S = 1_750_000_000.0
PILOT_HOLD_S = 5.0
HOLD_S = 10.0
"""The 5 s an EVSE may hold its pilot, and with the 5 s of the car."""
THREE = (0, 1, 2)


def gcp(rated_a: float = 63.0, **facts: Any) -> Circuit:
    """A grid connection with a meter and no margin, so that budgets are round numbers."""
    usual: dict[str, Any] = {
        "protection": Protection("gG", rated_a),
        "meter": "m",
        "margin_a": (0.0, 0.0, 0.0),
        "background_max_a": (20.0, 20.0, 20.0),
    }
    return Circuit("gcp", None, (rated_a,) * 3, **{**usual, **facts})


def branch(name: str, parent: str, rated_a: float, **facts: Any) -> Circuit:
    """An unmetered circuit with nothing but the listed assets behind it."""
    usual: dict[str, Any] = {"margin_a": (0.0, 0.0, 0.0), "background_max_a": (0.0, 0.0, 0.0)}
    return Circuit(name, parent, (rated_a,) * 3, **{**usual, **facts})


def evse(name: str, circuit: str = "gcp", phases: tuple[int, ...] = THREE, max_a: float = 16.0, **facts: Any) -> Asset:
    """A charger with a proven failsafe of 0 A that keeps nothing over a restart."""
    usual: dict[str, Any] = {"failsafe_verifiable": True, "boot_a": 0.0}
    return Asset(name, AssetKind.EVSE, f"d-{name}", circuit, phases, max_a, **{**usual, **facts})


def site(circuits: Sequence[Circuit], assets: Sequence[Asset], *, period_s: float = 0.2) -> Topology:
    """A topology with version "test"."""
    return build_topology(circuits, assets, version="test", period_s=period_s)


def garage(count: int = 2, rated_a: float = 63.0, **facts: Any) -> Topology:
    """``count`` three-phase EVSEs e0, e1 ... of 16 A directly behind the grid connection."""
    return site([gcp(rated_a)], [evse(f"e{k}", **facts) for k in range(count)])


def blank_image(topology: Topology) -> Image:
    """Nothing was ever read."""
    n, c = topology.n, topology.c

    def ints(shape: Any, value: int = MISSING) -> Any:
        return np.full(shape, value, dtype=np.int64)

    def times(count: int) -> Any:
        return np.full(count, NEVER_S)

    return Image(
        meter_ma=ints((c, 3)),
        meter_mw=ints(c),
        meter_sample_s=times(c),
        meter_sample_no=ints(c, 0),
        meter_digest=ints(c, 0),
        asset_ma=ints((n, 3)),
        asset_mv=ints((n, 3)),
        asset_sample_s=times(n),
        reply_s=times(n),
        offered_ma=ints(n),
        readback_s=times(n),
        pilot=ints(n, int(Pilot.UNKNOWN)),
        failsafe_proof=ints(n, int(FailsafeProof.VERIFIED)),
        phases_now=ints(n),
        reboots=ints(n, 0),
        energy_wh=ints(n),
        soc_permille=ints(n),
        identity=ints(n, int(Identity.KNOWN)),
        declared_off=np.zeros(n, dtype=np.bool_),
        tag=(None,) * n,
        operator_limit_mw=MISSING,
        operator_stop=False,
        fire=int(Fire.INACTIVE),
        late_in_a_row=0,
        clock_trusted=True,
        plan=None,
        targets=None,
    )


@dataclass
class Car:
    """What is plugged in. ``wires``: conductors used, ``share``: of the offer it draws, ``least_a``: its own minimum.

    ``stubborn``: follows no decrease. ``fixed_a``: draws exactly this, whatever is offered. ``store``: no car but a
    battery, which does at once what it is told.
    """

    max_a: float = 64.0
    wires: int = 3
    share: float = 1.0
    habit_a: float = 0.0
    least_a: float = 6.0
    asleep: bool = False
    stubborn: bool = False
    fixed_a: float | None = None
    store: bool = False
    since_s: float = NEVER_S


class Table:
    """A site under the controller. ``after`` moves time; the rest reads what the last scan said.

    ``load_a`` (C, 3): background at each circuit itself. ``edit``: changes every image before the scan sees it.
    ``adversary``: a generator; all cars then draw anything up to the highest offer of the last 10 s, or the share of it
    that ``mood`` says for a time.
    """

    def __init__(
        self,
        topology: Topology,
        *,
        scan_s: float = 1.0,
        skew_s: float = 0.0,
        hold_s: float = HOLD_S,
        params: Params | None = None,
        retained: Retained | None = None,
        adversary: np.random.Generator | None = None,
        epoch_s: float = EPOCH_S,
        start_s: float = START_S,
    ) -> None:
        n, c = topology.n, topology.c
        self.topology, self.scan_s, self.skew_s = topology, scan_s, skew_s
        self.params = Params.of(topology) if params is None else params
        self.now_s, self.epoch_offset_s = start_s, epoch_s - start_s
        self.state: ControllerState = initial(self.params, start_s, retained)
        self.image = blank_image(topology)
        self._commands: Commands | None = None
        self._report: Report | None = None
        self.cars: dict[int, Car] = {}
        self.load_a = np.zeros((c, 3))
        self.silent: set[str] = set()
        self.silent_meters: set[str] = set()
        self.edit: Callable[[Image], Image] | None = None
        self.settings: dict[str, Any] = {}
        self.register_ma = np.zeros(n, dtype=np.int64)
        self.stopped = np.zeros(n, dtype=bool)
        self.phases_now = np.where(topology.conductors > 1, 3, 1).astype(np.int64)
        self.draw_ma = np.zeros((n, 3), dtype=np.int64)
        self.true_ma = np.zeros((c, 3), dtype=np.int64)
        self.over_limit_s = np.zeros((c, 3))
        self.worst_over_ma = 0
        self.setpoints: list[Any] = []
        self.reports: list[Report] = []
        self.keep_reports = False
        self._adversary = adversary
        self._mood = np.ones(n)
        self.mood: Callable[[float], float] | None = None
        self._hold_s = hold_s
        self._ring: deque[tuple[float, Any]] = deque([(NEVER_S, self.register_ma)])
        depth = max(1, round(skew_s / scan_s) + 1)
        self._past: deque[tuple[Any, Any]] = deque(maxlen=depth)
        self._column = {a.id: i for i, a in enumerate(topology.assets)}
        self._line = {x.id: k for k, x in enumerate(topology.circuits)}
        self._next_meter_s = np.full(c, start_s)
        self._polled_s = np.full(n, NEVER_S)
        self._wires = np.zeros((n, 3), dtype=np.int64)

    # -- what happens ------------------------------------------------------------------------------------------------

    def plug(self, *names: str, **car: Any) -> Table:
        """Cars arrive."""
        for name in names:
            self.cars[self._column[name]] = Car(since_s=self.now_s, **car)
        return self

    def unplug(self, *names: str) -> Table:
        """Cars leave."""
        for name in names:
            self.cars.pop(self._column[name], None)
        return self

    def load(self, circuit: str, *amps: float) -> Table:
        """Background at a circuit: one value for all phases or three."""
        self.load_a[self._line[circuit]] = amps if len(amps) == 3 else amps[0]
        return self

    def put(self, **fields: Any) -> Table:
        """Fields every image carries from now on."""
        self.settings.update(fields)
        return self

    def after(self, *, scans: int | None = None, seconds: float | None = None) -> Table:
        """Move on."""
        count = round((seconds or 0.0) / self.scan_s) if scans is None else scans
        for _ in range(count):
            self._one()
        return self

    # -- what is seen ------------------------------------------------------------------------------------------------

    @property
    def commands(self) -> Commands:
        """Of the last scan."""
        assert self._commands is not None
        return self._commands

    @property
    def report(self) -> Report:
        """Of the last scan."""
        assert self._report is not None
        return self._report

    def amps(self, name: str) -> float:
        """The setpoint in A."""
        return int(self.commands.setpoint_ma[self._column[name]]) / 1000

    def reason(self, name: str) -> Reason:
        """Why."""
        return Reason(int(self.commands.reason[self._column[name]]))

    def binding(self, name: str) -> tuple[str, int] | None:
        """The binding row: circuit and row."""
        row = int(self.commands.binding[self._column[name]])
        return None if row < 0 else (self.topology.circuits[row // 4].id, row % 4)

    def alarms(self) -> set[tuple[Reason, str]]:
        """Active alarms with what they are about."""
        found = set()
        for alarm in self.report.alarms:
            what = self.topology.assets[alarm.asset].id if alarm.asset >= 0 else ""
            what = self.topology.circuits[alarm.circuit].id if alarm.circuit >= 0 else what
            found.add((Reason(alarm.code), what))
        return found

    def budget_a(self, circuit: str) -> tuple[float, float, float]:
        """Amps rows of a circuit's budget."""
        a, b, d = (int(v) / 1000 for v in self.report.budget_ma[self._line[circuit]])
        return a, b, d

    def exposure_a(self, name: str) -> float:
        """What the ledger counts."""
        return int(self.state.ledger.exposure_ma[self._column[name]]) / 1000

    def drawn_a(self, name: str) -> float:
        """True current on the busiest conductor."""
        return int(self.draw_ma[self._column[name]].max()) / 1000

    def column(self, name: str) -> int:
        """Index of an asset."""
        return self._column[name]

    def line(self, name: str) -> int:
        """Index of a circuit."""
        return self._line[name]

    def expect(self, **amps: float) -> Table:
        """Setpoints by asset."""
        seen = {name: self.amps(name) for name in amps}
        assert seen == amps, (seen, {name: self.reason(name).name for name in amps})
        return self

    # -- the tiny plant ----------------------------------------------------------------------------------------------

    def _one(self) -> None:
        self.now_s = round(self.now_s + self.scan_s, 6)
        self._draw()
        self._sample()
        image = replace(self.image, **self.settings) if self.settings else self.image
        image = self.edit(image) if self.edit is not None else image
        self.seen = image
        epoch_s = self.now_s + self.epoch_offset_s
        self._commands, self._report, self.state = scan(image, self.state, self.params, self.now_s, epoch_s)
        self.setpoints.append(self.commands.setpoint_ma)
        if self.keep_reports:
            self.reports.append(self.report)
        hears = np.array([a.id not in self.silent for a in self.topology.assets], dtype=bool)
        self.register_ma = np.where(hears, self.commands.setpoint_ma, self.register_ma)
        self.stopped = np.where(hears, self.commands.stop, self.stopped)
        switch = hears & (self.commands.phases > 0)
        self.phases_now = np.where(switch, self.commands.phases, self.phases_now)
        self._ring.append((self.now_s, self.register_ma))

    def _draw(self) -> None:
        topology = self.topology
        while len(self._ring) > 1 and self._ring[1][0] <= self.now_s - self._hold_s:
            self._ring.popleft()
        old, high = self._ring[0][1], np.max([register for _, register in self._ring], axis=0)
        if self._adversary is not None:
            new = np.where(self._adversary.random(topology.n) < 0.6, 1.0, self._adversary.random(topology.n))
            self._mood = np.where(self._adversary.random(topology.n) < self.scan_s / 3.0, new, self._mood)
        if self.mood is not None:
            self._mood = np.full(topology.n, self.mood(self.now_s))
        draw = np.zeros((topology.n, 3), dtype=np.int64)
        for i, car in self.cars.items():
            asset = topology.assets[i]
            wires = asset.phases[: 1 if self.phases_now[i] == 1 else min(car.wires, len(asset.phases))]
            before = int(self.draw_ma[i].max())
            if self.now_s - car.since_s < self._hold_s:
                high[i] = self._shown_since(car.since_s - PILOT_HOLD_S, i)
            amps = self._car_ma(car, int(old[i]), int(high[i]), int(self.register_ma[i]), before, float(self._mood[i]))
            for phase in wires:
                draw[i, phase] += 0 if self.stopped[i] else amps
        self.draw_ma = draw
        load = (topology.below.astype(np.float64) @ self.load_a * 1000).astype(np.int64)
        self.true_ma = load + topology.ancestry @ draw
        over = self.true_ma - topology.limit_ma
        self.over_limit_s += np.where(over > 0, self.scan_s, 0.0)
        self.worst_over_ma = max(self.worst_over_ma, int(over.max()))
        self._past.append((self.true_ma, self.draw_ma))

    def _shown_since(self, since_s: float, i: int) -> int:
        """The highest register a car may have been shown that plugged in 5 s after ``since_s``."""
        ends = [*[at_s for at_s, _ in self._ring][1:], np.inf]
        return max(int(register[i]) for (_, register), end_s in zip(self._ring, ends, strict=True) if end_s > since_s)

    def _car_ma(self, car: Car, old: int, high: int, newest: int, before: int, mood: float) -> int:
        if car.fixed_a is not None:
            return int(car.fixed_a * 1000)
        if car.store:
            return newest
        if car.asleep:
            return 0
        most = int(car.max_a * 1000)
        if self._adversary is not None:
            return int(min(high, most) * mood)
        follows = 0 if old < car.least_a * 1000 else old
        amps = int(follows * car.share - (car.habit_a * 1000 if follows else 0))
        amps = min(max(amps, 0), most)
        return max(amps, before) if car.stubborn else amps

    def _sample(self) -> None:
        """Meters and chargers that are due put their newest reading, ``skew_s`` old, into the image."""
        topology, image, now_s = self.topology, self.image, self.now_s
        rows, draws = self._skewed()
        due = topology.metered & (now_s >= self._next_meter_s - 1e-6)
        due &= np.array([x.id not in self.silent_meters for x in topology.circuits], dtype=bool)
        self._next_meter_s = np.where(due, now_s + topology.meter_period_s, self._next_meter_s)
        hears = np.array([a.id not in self.silent for a in topology.assets], dtype=bool)
        fast = np.zeros(topology.n, dtype=bool) if self._commands is None else self._commands.fast_poll
        every = np.where(fast, np.minimum(topology.settle_poll_s, topology.poll_s), topology.poll_s)
        polled = hears & (now_s - self._polled_s >= every - 1e-6)
        self._polled_s = np.where(polled, now_s, self._polled_s)
        volts = np.where(topology.wired > 0, topology.nominal_mv, MISSING)
        self.image = replace(
            image,
            meter_ma=np.where(due[:, None], rows, image.meter_ma),
            meter_mw=np.where(due, rows.sum(axis=1) * topology.nominal_mv // 1000, image.meter_mw),
            meter_sample_s=np.where(due, now_s, image.meter_sample_s),
            meter_sample_no=image.meter_sample_no + due,
            meter_digest=image.meter_digest + due,
            asset_ma=np.where(polled[:, None], draws, image.asset_ma),
            asset_mv=np.where(polled[:, None], volts, image.asset_mv),
            asset_sample_s=np.where(polled, now_s, image.asset_sample_s),
            reply_s=np.where(hears, now_s, image.reply_s),
            offered_ma=np.where(hears, self.register_ma, image.offered_ma),
            readback_s=np.where(hears, now_s, image.readback_s),
            pilot=np.where(hears, self._pilot(), image.pilot),
            phases_now=np.where(hears & topology.can_switch, self.phases_now, image.phases_now),
        )

    def _skewed(self) -> tuple[Any, Any]:
        """Rows (C, 3) and draws (N, 3) as old as the skew; an adversary picks any age for each device."""
        past_rows = np.array([rows for rows, _ in self._past])
        past_draws = np.array([draws for _, draws in self._past])
        if self._adversary is None:
            return past_rows[0], past_draws[0]
        rows_at = self._adversary.integers(0, len(past_rows), self.topology.c)
        draws_at = self._adversary.integers(0, len(past_rows), self.topology.n)
        return past_rows[rows_at, np.arange(self.topology.c)], past_draws[draws_at, np.arange(self.topology.n)]

    def _pilot(self) -> Any:
        pilot = np.full(self.topology.n, int(Pilot.UNKNOWN), dtype=np.int64)
        for i in range(self.topology.n):
            if self.topology.is_evse[i]:
                pilot[i] = int(Pilot.A)
        for i in self.cars.keys() & set(np.flatnonzero(self.topology.is_evse).tolist()):
            pilot[i] = int(Pilot.C2 if self.draw_ma[i].any() else Pilot.B2)
        return pilot
