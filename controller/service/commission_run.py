"""Commissioning, the moving part: looks, commands one charger under a lease, watches the circuits, and writes it down.

The order: look at everything and write nothing; then per charger: failsafe, 0 A, the smallest current, 10 A, 0 A,
silence, restore. Before each current the room of every circuit is read anew; while it flows a circuit above its limit
or a silent meter ends it. What is decided about the records stands in ``controller.core.commission_judge``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from controller.core.commission import (
    FLOWS_A,
    EvsePlan,
    EvseRecord,
    FailsafeSeen,
    Found,
    Levels,
    Outcome,
    Restored,
    Silence,
    Step,
    is_over,
    largest,
    middle,
    room_of,
)
from controller.core.commission_judge import may_command, trust_in_meters, wants_one_phase
from controller.core.params import PHASE_OPEN_S, PHASE_SETTLE_S
from controller.service.commission_bench import Bench, charger_a, max_a, text_of
from controller.service.commission_plan import Plan, rows_of, stranger_at
from controller.service.commission_times import Times
from interfaces.drivers.readings import PointReading

FIRST_LOOK_S: Final = 15.0
"""How long everybody may take to be connected and read once; who is not there by then is reported."""
LOOK_S: Final = 0.5
PROVISION_S: Final = 8.0
WINDOW_LOOKS: Final = 8
"""Looks whose median is a level: 4 s, so that the jitter of a load does not count."""
HIGHER_STEP_A: Final = 10.0
MARGIN_S: Final = 15.0
"""Beyond the time-out: the charger's own clock, 5 s of pilot and 5 s of car (IEC 61851-1 table A.6)."""
LONGEST_SILENCE_S: Final = 900.0
CONFIRM_S: Final = 8.0
SWITCH_S: Final = 30.0
"""Within this a charger shows that it changed the number of its phases."""

Told = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """``silence``: try the loss of communication; ``higher``: command 10 A too (not in a mere meter check)."""

    silence: bool = True
    higher: bool = True


async def commission(plan: Plan, bench: Bench, options: Options, tell: Told) -> tuple[EvseRecord, ...]:
    """Every EVSE of the plan, one after the other. However it ends, nobody is commanded any more afterwards."""
    records: list[EvseRecord] = []
    try:
        await bench.roles()
        tell("looking at every device, nothing is written")
        await _until(bench, lambda: all(_seen(bench, key) for key in plan.keys), FIRST_LOOK_S)
        for evses in plan.evses.values():
            records += [await _Test(plan, bench, evse, options, tell).run() for evse in evses]
            await bench.roles()
    finally:
        await bench.close()
    return tuple(records)


def _seen(bench: Bench, key: str) -> bool:
    """Whether a point answers and was measured, where it measures anything."""
    reading = bench.reading(key)
    return reading.connected and (reading.sample_no > 0 or not bench.measures(key))


async def _until(bench: Bench, done: Callable[[], bool], within_s: float) -> bool:
    """Wait for something; whether it came."""
    end_s = bench.now_s + within_s
    while not done():
        if bench.now_s >= end_s:
            return False
        await bench.pace.rest(LOOK_S)
    return True


class _Test:
    """One EVSE. ``told_a``: what it is commanded now; renewed at every look."""

    def __init__(self, plan: Plan, bench: Bench, evse: EvsePlan, options: Options, tell: Told) -> None:
        self._plan, self._bench, self._evse, self._options, self._tell = plan, bench, evse, options, tell
        keys = sorted(a.id for a in plan.topology.assets if a.device in plan.chargers and a.id != evse.evse)
        self._others = tuple(keys)
        self._told_a = 0.0
        self._single = False
        """Steps made now are on one conductor alone."""
        self.record = EvseRecord(evse, Found(connected=False))

    async def run(self) -> EvseRecord:
        """The whole test; the record of what was done of it."""
        self._tell(f"{self._evse.evse}: testing")
        await _until(self._bench, lambda: _seen(self._bench, self._evse.evse), CONFIRM_S)
        self.record = replace(self.record, found=self._found())
        if not may_command(self.record):
            return self.record
        before = await self._untouched()
        try:
            await self._begin(before)
            await self._steps()
            if self._options.higher and self._evse.switches and wants_one_phase(self.record):
                await self._on_one_phase()
            if self._options.silence:
                self.record = replace(self.record, silence=await self._silence())
        finally:
            self.record = replace(self.record, restored=await self._restore())
        await self._bench.pace.rest(self._evse.release_s)  # its car shall not move into the next test
        return self.record

    def _found(self) -> Found:
        evse, bench = self._evse, self._bench
        reading = bench.reading(evse.evse)
        # A count-down tells nothing while nobody has started it.
        counts_down = bench.profiles[evse.evse].failsafe.timeout_kind == "remaining"
        return Found(
            connected=_seen(bench, evse.evse) or (reading.connected and bool(reading.suspect)),
            problem=reading.problem,
            suspect=reading.suspect,
            stranger=stranger_at(self._plan, bench, evse.device),
            serial=reading.serial or "",
            model=text_of(reading, "model"),
            firmware=text_of(reading, "firmware"),
            state="" if reading.state is None else reading.state.pilot,
            setpoint_a=bench.readback_a(evse.evse),
            failsafe_a=reading.failsafe.current_a,
            timeout_s=None if counts_down else reading.failsafe.timeout_s,
        )

    # ---- failsafe and steps

    async def _untouched(self) -> Levels:
        """What flows before anything is commanded."""
        looks = []
        for _ in range(WINDOW_LOOKS):
            await self._bench.pace.rest(LOOK_S)
            looks.append(self._look())
        return middle(looks)

    async def _begin(self, before: Levels) -> None:
        """Take the charger over at 0 A; its failsafe is written where it differs, and read back."""
        await self._bench.roles(commanded=self._evse.device)
        started_s = self._bench.now_s
        self._told_a = 0.0

        def proven() -> bool:
            status = self._reading().failsafe
            return status.at_s >= started_s and status.verdict == "verified"

        await self._wait(proven, PROVISION_S)
        status = self._reading().failsafe
        seen = FailsafeSeen(status.verdict, status.current_a, status.timeout_s)
        self.record = replace(self.record, failsafe=seen)
        await self._step(0.0, before)

    async def _steps(self) -> None:
        evse, low_a = self._evse, self._evse.min_a
        if self.record.steps and _flows(self.record.steps[-1].after):
            self._refuse(low_a, "it does not obey 0 A")
            return
        await self._raise(low_a, proven=False)
        high_a = min(HIGHER_STEP_A, evse.max_a)
        if self._options.higher and high_a > low_a and self.record.steps[-1].outcome == "done":
            trust = trust_in_meters(self.record)
            if trust == "wrong":
                self._refuse(high_a, "a meter above does not show the first step as it was; put that right first")
            else:
                await self._raise(high_a, proven=trust == "proven")
        await self._step(0.0, None)

    async def _raise(self, target_a: float, *, proven: bool) -> None:
        """Command a current if it is within nameplate and room; the room is read at this moment."""
        if target_a > self._evse.max_a:
            self._refuse(target_a, f"its nameplate is {self._evse.max_a:g} A")
            return
        room = room_of(rows_of(self._plan, self._bench, self._evse), proven=proven)
        held_a = min((a for a in self._mine(self._reading()) if a is not None), default=0.0)
        if target_a - min(held_a, self._told_a) > room.current_a:
            self._refuse(target_a, f"only {room.current_a:.1f} A are free ({room.says})")
            return
        await self._step(target_a, None, proven=proven)

    def _refuse(self, target_a: float, why: str) -> None:
        look = self._look()
        self._add(Step(target_a, "refused", look, look, why))

    def _add(self, step: Step) -> None:
        self._tell(f"{self._evse.evse}: {step.target_a:g} A {step.outcome}{': ' if step.why else ''}{step.why}")
        if self._single:
            self.record = replace(self.record, single=(*self.record.single, step))
        else:
            self.record = replace(self.record, steps=(*self.record.steps, step))

    async def _on_one_phase(self) -> None:
        """The smallest current on one conductor alone, then all of them again. Never switched under current."""
        if self._reading().value("phases") == 1.0:
            self.record = replace(self.record, single_why="it is on one phase already, by a setting of its own")
            return
        self._single = True
        if await self._switched(1):
            await self._raise(self._evse.min_a, proven=False)
            await self._step(0.0, None)
        else:
            self.record = replace(self.record, single_why="it did not switch to one phase")
        await self._all_phases()

    async def _all_phases(self) -> None:
        """Back to all conductors, whatever became of the test on one."""
        if self._single:
            self._single = False
            self.record = replace(self.record, switched_back=await self._switched(3))

    async def _switched(self, phases: int) -> bool:
        """Wait until the contactor is surely open, then switch; whether the charger shows it, where it can."""
        evse, bench = self._evse, self._bench
        self._told_a = 0.0
        if not await self._wait(lambda: self._confirmed() and not _flows(self._look()), CONFIRM_S + evse.release_s):
            return False
        quiet_s = bench.now_s
        await self._wait(lambda: bench.now_s >= quiet_s + PHASE_OPEN_S, 2 * PHASE_OPEN_S)
        shows = "phases" in bench.profiles[evse.evse].roles
        asked_s = bench.now_s

        def there() -> bool:
            bench.switch(evse.evse, phases)
            told = self._reading().value("phases")
            return told == phases if shows else bench.now_s >= asked_s + PHASE_OPEN_S

        return not _flows(self._look()) and await self._wait(there, SWITCH_S)

    async def _step(self, target_a: float, before: Levels | None, *, proven: bool = False) -> None:
        """Command, wait until everybody may have followed, take the levels. Above 0 A the circuits are watched."""
        first = before if before is not None else await self._settled()
        started_s, self._told_a = self._bench.now_s, target_a
        times = Times(target_a, started_s, _drawn(first) or 0.0)
        looks: deque[Levels] = deque(maxlen=WINDOW_LOOKS)
        outcome: Outcome = "done"
        why = ""
        while self._bench.now_s < started_s + self._settle_s() + self._wakes_s(times):
            await self._pass()
            looks.append(self._look())
            times.observe(self._reading(), looks[-1], len(self._evse.phases))
            why = self._danger(proven=proven) if target_a > 0 else ""
            if why:
                outcome, self._told_a = "aborted", 0.0
                await self._wait(lambda: not _flows(self._look()), self._evse.release_s)
                break
        status = self._reading().setpoint
        problem = status.problem or ("" if status.written_milli is not None else "the write was never acknowledged")
        after = middle(looks)
        self._add(
            Step(target_a, outcome, first, after, why, problem, status.contest, times.offered_s, times.measured_s)
        )

    def _danger(self, *, proven: bool) -> str:
        """Why the current must end now; empty when nothing speaks against it."""
        rows = rows_of(self._plan, self._bench, self._evse)
        for row in rows:
            if row.background_a[0] is None and self._metered(row.circuit):
                return f"the meter of circuit {row.circuit} fell silent"
        return is_over(rows, proven=proven)

    def _metered(self, circuit: str) -> bool:
        """Whether a row has a meter that was there when the test began."""
        topology = self._plan.topology
        meter = topology.circuits[topology.circuit_index[circuit]].meter
        steps = self.record.steps
        return meter is not None and bool(steps) and steps[0].after.meters[meter].fresh

    def _settle_s(self) -> float:
        """Charger and car follow, the slowest meter shows it twice, and then the window of a level."""
        evse = self._evse
        slowest_s = max(self._bench.period_s[key] for key in (*evse.meters, evse.evse))
        return evse.release_s + 2.0 * slowest_s + LOOK_S * WINDOW_LOOKS

    def _wakes_s(self, times: Times) -> float:
        """After a change of phases a car may take a minute to start again: until then, and then for one more window."""
        if not self._single or not self._told_a:
            return 0.0
        return PHASE_SETTLE_S if times.measured_s is None else min(PHASE_SETTLE_S, times.measured_s)

    async def _settled(self) -> Levels:
        looks = []
        for _ in range(WINDOW_LOOKS):
            await self._pass()
            looks.append(self._look())
        return middle(looks)

    # ---- silence and the end

    async def _silence(self) -> Silence:
        """Stop talking to it for its time-out and a margin, then see what it offers."""
        evse, failsafe = self._evse, self.record.failsafe
        if evse.watchdog == "none":
            return Silence("refused", why="this make has no watchdog: it keeps what it was told last, for ever")
        timeout_s = failsafe.timeout_s or evse.timeout_s or self._bench.profiles[evse.evse].keepalive.timeout_s
        if timeout_s > LONGEST_SILENCE_S:
            return Silence("refused", why=f"its time-out of {timeout_s:g} s is too long to wait for")
        expected_a = evse.max_a if failsafe.verdict != "verified" else failsafe.current_a or 0.0
        room = room_of(rows_of(self._plan, self._bench, evse), proven=False)
        if expected_a > room.current_a:
            says = f"it may offer {expected_a:g} A then and only {room.current_a:.1f} A are free ({room.says})"
            return Silence("refused", why=says)
        # What is held must not be what the failsafe offers, so that the two can be told apart.
        held_a = evse.min_a if expected_a < evse.min_a else 0.0
        if held_a:
            await self._raise(held_a, proven=False)
            if self.record.steps[-1].outcome != "done":
                return Silence("refused", why=self.record.steps[-1].why)
        self._tell(f"{evse.evse}: not talking to it for {timeout_s + MARGIN_S:g} s")
        return await self._leave_alone(held_a, timeout_s + MARGIN_S)

    async def _leave_alone(self, held_a: float, wait_s: float) -> Silence:
        bench, evse = self._bench, self._evse
        await bench.roles(silent=evse.device)
        started_s = bench.now_s
        danger = ""
        while bench.now_s < started_s + wait_s and not danger:
            await bench.pace.rest(LOOK_S)
            danger = self._danger(proven=False)
        if danger:
            return Silence("aborted", held_a, bench.now_s - started_s, why=f"broken off, {danger}")
        # The first reading counts: for some makes any request ends the failsafe again.
        asked_s = bench.now_s
        await bench.roles()
        while not _seen(bench, evse.evse) and bench.now_s < asked_s + CONFIRM_S:
            await bench.pace.rest(LOOK_S / 5)
        reading = self._reading()
        if not _seen(bench, evse.evse):
            return Silence("aborted", held_a, wait_s, why="the charger did not answer afterwards")
        offered_a, charging_a = reading.value("offered_a"), max_a(charger_a(reading))
        return Silence("done", held_a, wait_s, offered_a, charging_a)

    async def _restore(self) -> Restored:
        """Tell it what it was told before, but nothing above its failsafe, its nameplate or the room there is."""
        found, evse, bench = self.record.found, self._evse, self._bench
        await bench.roles(commanded=evse.device)
        self._told_a = 0.0
        await self._wait(self._confirmed, CONFIRM_S)
        await self._all_phases()
        room = room_of(rows_of(self._plan, bench, evse), proven=False)
        wanted_a = min(found.setpoint_a or 0.0, evse.failsafe_a or 0.0, evse.max_a)
        self._told_a = wanted_a if wanted_a <= room.current_a else 0.0
        confirmed = await self._wait(self._confirmed, CONFIRM_S)
        told_a = self._told_a
        await bench.roles()
        return Restored(told_a, confirmed)

    def _confirmed(self) -> bool:
        status = self._reading().setpoint
        return status.written_milli == self._bench.as_told(self._evse.evse, self._told_a) and not status.problem

    # ---- looking

    def _reading(self) -> PointReading:
        return self._bench.reading(self._evse.evse)

    def _mine(self, reading: PointReading) -> tuple[float | None, ...]:
        return charger_a(reading)[: len(self._evse.phases)]

    def _look(self) -> Levels:
        return self._bench.levels(self._evse.evse, self._evse.meters, self._others)

    async def _pass(self) -> None:
        """One look's worth of time, with the lease of what is commanded renewed."""
        self._bench.command(self._evse.evse, self._told_a)
        await self._bench.pace.rest(LOOK_S)

    async def _wait(self, done: Callable[[], bool], within_s: float) -> bool:
        end_s = self._bench.now_s + within_s
        await self._pass()
        while not done():
            if self._bench.now_s >= end_s:
                return False
            await self._pass()
        return True


def _drawn(look: Levels) -> float | None:
    return largest(look.charger_a)


def _flows(look: Levels) -> bool:
    return (_drawn(look) or 0.0) > FLOWS_A
