"""The field process against many real Modbus TCP servers: punctuality, age of readings, time to react, processor time.

A reaction begins when the bench orders a step of the background that overloads one phase, which the grid meter's
registers show at once, and ends when a lower setpoint arrives in a charger's register; every charger of the phase
counts. Both ends are times of the one monotonic clock of this machine. The steps come in bursts that are answered
before the first car moves: later the meter mixes the step with cars that obey, and the controller rightly waits for
another sample.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil

from controller.service.journal import read_segment
from controller.service.journal_ring import segments
from controller.service.messages import Entry
from interfaces.domain.telemetry import ScanRecord
from interfaces.domain.units import MILLI, Floats
from simulations.bench.figures import percentile
from simulations.bench.lot import CAR_A, GRID, LEAST_A, Lot, plain_lot
from simulations.bench.mix import mix_lot
from simulations.bench.silence import Reads, compared
from simulations.demo.stage import Stage

START_S: Final[float] = 19.0
"""From the start of all processes to the measurement, at most."""
MIX_START_S: Final[float] = 45.0
"""The same for a mix, whose makes rise at different paces."""
REST_S: Final[float] = 6.0
"""The measurement runs this long before the first step: the last cars reach their full current."""
FULL_SHARE: Final[float] = 0.9
CYCLE_S: Final[float] = 27.0
"""One burst per phase and cycle: 10 s until the cars have obeyed, as long again until their exposure has followed."""
STEPS_PER_BURST: Final[int] = 3
STEP_GAP_S: Final[float] = 0.7
JITTER_S: Final[float] = 0.25
"""More than a scan and about a poll of the meter: steps fall anywhere between them."""
LOWERABLE_A: Final[float] = 8.0
"""From this setpoint every make has a lower one: above the highest minimum (6.8 A) by more than the coarsest step."""
STEP_PER_CAR_A: Final[float] = 1.2
"""Above the coarsest step of the chargers, so that each of them is lowered."""
CAR: Final[dict[str, float]] = {"react_s": 5.0, "stop_s": 3.0, "ramp_a_per_s": 2.0}
"""It moves 2.5 to 5 s after its charger changed the pilot signal, which may take 5 s: slow, but legal."""
SETTLE_S: Final[float] = 5.0
"""Until everybody has been asked once (the slowest make is, every 5 s), and until a silent one is given up."""
LOOK_S: Final[float] = 0.5
PHASE_COUNT: Final[int] = 3


@dataclass(frozen=True, slots=True)
class Step:
    """A step of ``phase`` at ``at_s`` seconds after the start of the measurement, the ``number``-th of its burst."""

    at_s: float
    phase: int
    number: int


@dataclass(frozen=True, slots=True)
class Ordered:
    """A step as it was made, the ``number``-th of its burst: ``sent_s`` monotonic, just before it was ordered."""

    sent_s: float
    phase: int
    number: int = 0


Write = tuple[float, str, float]
"""Monotonic time, charger, A: a setpoint as it arrived in a register."""


def bench_io(assets: int, seconds: float, *, mix: bool = False, seed: int = 1) -> dict[str, Any]:
    """Run a lot for ``seconds`` after its start-up; the figures as the command prints them.

    ``assets``: chargers, or with ``mix`` devices of all profiles, of which one falls silent after the measurement, for
    a comparison that takes as long again.
    """
    lot = mix_lot(assets) if mix else plain_lot(assets)
    run = _measured(lot, seconds, MIX_START_S if mix else START_S, seed, mix=mix)
    found = [np.array(times) * MILLI for times in reactions(run.steps, run.writes, lot.chargers, run.until_s)]
    every = np.concatenate(found) if found else np.zeros(0)
    lateness_ms = lateness_s([r.now_s for r in run.records]) * MILLI
    counts = {"chargers": len(lot.chargers), "profiles": dict(lot.profiles), "left_out": dict(lot.left_out)}
    return {
        "assets": assets,
        "scans": len(run.records),
        "late_scans": run.late_scans,
        "missed_slots": run.missed_slots,
        "lateness_ms_p50": percentile(lateness_ms, 50),
        "lateness_ms_p999": percentile(lateness_ms, 99.9),
        "poll_age_ms_p99": percentile(ages_s(run.records) * MILLI, 99),
        "reaction_ms_p50": percentile(every, 50),
        "reaction_ms_p99": percentile(every, 99),
        "reactions": int(every.size),
        "steps": len(run.steps),
        "steps_unanswered": sum(not times.size for times in found),
        "first_steps_missed": len(missed(run.steps, run.writes, lot.chargers, run.until_s)),
        "cpu_pct": round(sum(run.cpu_pct.values()), 1),
        "cpu_pct_field": round(run.cpu_pct.get("field", 0.0), 1),
        "load_1min": run.load,
        "start_s": round(run.start_s, 1),
        **(counts if mix else {}),
        **run.silence,
    }


@dataclass(frozen=True, slots=True)
class _Run:
    """What was measured until ``until_s`` (monotonic), besides the ``silence`` after it.

    ``cpu_pct``: by role, of one core; ``load``: processes of the whole machine that wanted to run, mean of a minute.
    """

    start_s: float
    until_s: float
    steps: Sequence[Ordered]
    writes: Sequence[Write]
    records: Sequence[ScanRecord]
    late_scans: int
    missed_slots: int
    cpu_pct: Mapping[str, float]
    load: float
    silence: Mapping[str, Any]


def _measured(lot: Lot, seconds: float, start_s: float, seed: int, *, mix: bool) -> _Run:
    """Start everything (at most ``start_s`` until the cars are full), measure for ``seconds``, end everything."""
    began_s = time.monotonic()
    with Stage(lot.text, seed=seed, realtime=True, keep=False) as stage:
        _fill(stage, lot, began_s + start_s)
        pids = {role: pid for role, pid in stage.processes().items() if role in ("supervisor", "field", "gateway")}
        health, cpu_s, first_s = stage.health(), _cpu_s(pids), time.monotonic()
        steps = list(_perform(stage, lot, schedule(seconds, seed), first_s, seconds))
        last_s, cpu_after_s, health_after = time.monotonic(), _cpu_s(pids), stage.health()
        load = round(os.getloadavg()[0], 2)
        writes = [(t, key, a) for t, key, a in stage.site.tell("writes")["writes"]]
        silence = _fall_silent(stage, lot, seconds / 2.0) if mix else {}
        stage.stop_controller()
        records = [r for r in records_of(stage.folder / "journal") if first_s <= r.now_s < last_s]
    return _Run(
        start_s=first_s - began_s,
        until_s=last_s,
        steps=steps,
        writes=writes,
        records=records,
        late_scans=health_after["late_scans"] - health["late_scans"],
        missed_slots=health_after["missed_slots"] - health["missed_slots"],
        cpu_pct={role: 100.0 * (cpu_after_s[role] - cpu_s[role]) / (last_s - first_s) for role in pids},
        load=load,
        silence=silence,
    )


def schedule(seconds: float, seed: int) -> tuple[Step, ...]:
    """Bursts of steps, the phases in turn, that are over within ``seconds``."""
    rng = np.random.default_rng(np.random.SeedSequence((seed, 5)))
    steps: list[Step] = []
    rest_s = min(REST_S, seconds / 3.0)
    for turn in range(int((seconds - rest_s) / CYCLE_S * PHASE_COUNT) + 1):
        at_s = rest_s + turn * CYCLE_S / PHASE_COUNT
        for number in range(STEPS_PER_BURST):
            at_s += rng.uniform(0.0, JITTER_S) + (STEP_GAP_S if number else 0.0)
            if at_s + STEP_GAP_S <= seconds:
                steps.append(Step(at_s, turn % PHASE_COUNT, number))
    return tuple(steps)


def reactions(
    steps: Sequence[Ordered], writes: Sequence[Write], chargers: Sequence[str], end_s: float
) -> Iterator[list[float]]:
    """Per step the seconds until each charger of its phase was lowered; who was not by the next step is left out."""
    by_charger = _by_charger(writes, chargers)
    for k, step in enumerate(steps):
        until_s = _next_s(steps, k, end_s)
        mine = chargers[step.phase :: PHASE_COUNT]
        found = (_lowered_s(by_charger[key], step.sent_s, until_s) for key in mine)
        yield [at_s - step.sent_s for at_s in found if at_s is not None]


def missed(
    steps: Sequence[Ordered], writes: Sequence[Write], chargers: Sequence[str], end_s: float
) -> list[tuple[Ordered, str]]:
    """Whom the first step of a burst did not lower before the next, though it had room to be: what no percentile of
    the reactions can show. Later steps of a burst may find a coarse charger low enough already.
    """
    by_charger = _by_charger(writes, chargers)
    return [
        (step, key)
        for k, step in enumerate(steps)
        if step.number == 0
        for key in chargers[step.phase :: PHASE_COUNT]
        if (_in_force_a(by_charger[key], step.sent_s) or 0.0) > LOWERABLE_A
        and _lowered_s(by_charger[key], step.sent_s, _next_s(steps, k, end_s)) is None
    ]


def _by_charger(writes: Sequence[Write], chargers: Sequence[str]) -> dict[str, list[tuple[float, float]]]:
    """Times and setpoints in order; batteries and inverters, who are told things too, are left out."""
    found: dict[str, list[tuple[float, float]]] = {key: [] for key in chargers}
    for at_s, key, amps in sorted(writes):
        if key in found:
            found[key].append((at_s, amps))
    return found


def _next_s(steps: Sequence[Ordered], k: int, end_s: float) -> float:
    """When the next step of the same phase was made."""
    return next((s.sent_s for s in steps[k + 1 :] if s.phase == steps[k].phase), end_s)


def _in_force_a(writes: Sequence[tuple[float, float]], at_s: float) -> float | None:
    """The setpoint a charger held then; None before its first."""
    return next((amps for t, amps in reversed(writes) if t <= at_s), None)


def _lowered_s(writes: Sequence[tuple[float, float]], from_s: float, until_s: float) -> float | None:
    """When the first setpoint below the one in force at ``from_s`` arrived."""
    before_a = _in_force_a(writes, from_s)
    if before_a is None:
        return None
    return next((at_s for at_s, amps in writes if from_s < at_s < until_s and amps < before_a), None)


def lateness_s(starts_s: Sequence[float], period_s: float = 0.2) -> Floats:
    """How far behind the grid of periods each scan began; the grid is where the punctual ones lie.

    The grid's offset is not recorded: it lies behind the widest gap between the remainders on their circle.
    """
    if not starts_s:
        return np.zeros(0)
    rest = np.mod(np.array(starts_s), period_s)
    around = np.sort(rest)
    gaps = np.diff(np.append(around, around[0] + period_s))
    offset_s = around[(int(gaps.argmax()) + 1) % len(around)]
    late: Floats = np.where(rest >= offset_s, rest - offset_s, rest + period_s - offset_s)
    return late


def ages_s(records: Sequence[ScanRecord]) -> Floats:
    """Age of every measurement of every asset and meter at every scan."""
    ages = [
        record.now_s - times[np.isfinite(times)]
        for record in records
        for times in (record.image.asset_sample_s, record.image.meter_sample_s)
    ]
    return np.concatenate(ages) if ages else np.zeros(0)


def records_of(journal: Path) -> list[ScanRecord]:
    """Every scan of a journal's folder."""
    return [m.record for file in segments(journal) for m in read_segment(file) if isinstance(m, Entry)]


def _fill(stage: Stage, lot: Lot, until_s: float) -> None:
    """Plug a slow car in everywhere and wait until they draw their full current."""
    for name in lot.chargers:
        stage.site.tell("plug_in", asset=name, phases=1, max_a=CAR_A, energy_wh=50_000.0, traits=CAR)
    while time.monotonic() < until_s:
        time.sleep(LOOK_S)
        drawn_a = sum(sum(asset["draw_a"]) for asset in stage.site.report()["assets"].values())
        if drawn_a >= FULL_SHARE * len(lot.chargers) * CAR_A:
            return


def _perform(stage: Stage, lot: Lot, steps: Sequence[Step], begin_s: float, seconds: float) -> Iterator[Ordered]:
    """Make the steps at their times, then wait until the measurement is over.

    A step raises the background of its phase until the connection carries more than its limit, and each next one of a
    burst as much again.
    """
    level_a = [0.0] * PHASE_COUNT
    for step in steps:
        time.sleep(max(0.0, begin_s + step.at_s - time.monotonic()))
        count = sum(other.phase == step.phase for other in steps)
        cars = lot.cars_on(step.phase)
        excess_a = cars * min(STEP_PER_CAR_A, (CAR_A - LEAST_A) / count)
        carried_a = stage.site.report()["row_a"][GRID][step.phase]
        level_a[step.phase] += lot.limit_a[step.phase] + (step.number + 1) * excess_a - carried_a
        sent_s = time.monotonic()
        stage.site.tell("background", circuit=GRID, amps=level_a)
        yield Ordered(sent_s, step.phase, step.number)
    time.sleep(max(0.0, begin_s + seconds - time.monotonic()))


def _fall_silent(stage: Stage, lot: Lot, window_s: float) -> dict[str, Any]:
    """Let the charger in the middle accept connections and answer nothing; what that does to the others' readings."""
    silent = lot.chargers[len(lot.chargers) // 2]
    Reads.of(stage)
    starts_s = []
    for breaks in (False, True):
        if breaks:
            stage.site.fault(silent, "silent")
        time.sleep(min(SETTLE_S, window_s))
        starts_s.append(time.monotonic())
        time.sleep(window_s)
    without, with_one = ((start_s, start_s + window_s) for start_s in starts_s)
    return compared(Reads.of(stage), silent, without, with_one)


def _cpu_s(pids: dict[str, int]) -> dict[str, float]:
    """Processor seconds of each process so far, its threads included."""
    spent = {}
    for role, pid in pids.items():
        times = psutil.Process(pid).cpu_times()
        spent[role] = times.user + times.system
    return spent
