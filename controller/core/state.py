"""Everything the controller remembers between two scans, and nothing else.

Frozen records of numpy columns: N assets, C circuits, four rows per circuit (amps L1 L2 L3, net power). Each module of
the core advances its own record; ``scan`` puts them together. Times are monotonic seconds, ``NEVER_S`` when unset.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from controller.core.params import BACKGROUND_BUCKETS, FAMILIAR_SLOTS, NO_LIMIT, SEEN_DAYS, Params
from controller.core.records import (
    GUARD_SLOTS,
    PENDING,
    Background,
    GuardMemory,
    Handover,
    Learning,
    Ledger,
    Lending,
    Mission,
    Obedience,
    Plausibility,
    ProtectionState,
    Sessions,
    Switching,
    Timers,
)
from interfaces.domain.command import Commands
from interfaces.domain.topology import ROWS_PER_CIRCUIT, Topology
from interfaces.domain.units import MISSING, NEVER_S, Floats, Ints


@dataclass(frozen=True, slots=True)
class ControllerState:
    """All of it. ``error_scans``: failsafe scans still to come after an exception."""

    scans: int
    start_s: float
    complete: bool
    error_scans: int
    previous_s: float
    fire_latched: bool
    operator_limit_mw: int
    sessions: Sessions
    ledger: Ledger
    background: Background
    plausibility: Plausibility
    learning: Learning
    lending: Lending
    obedience: Obedience
    protection: ProtectionState
    timers: Timers
    switching: Switching
    mission: Mission
    handover: Handover
    guard: GuardMemory
    commands: Commands | None


@dataclass(frozen=True, slots=True)
class RetainedSession:
    """One car's session: energy so far in mW s, seconds since plug-in and since it was last served, its RFID.

    Durations, because the wall clock of a machine that has just started cannot be trusted: time without a controller
    does not count, so a session seems that much younger.
    """

    energy_mws: int
    plugged_for_s: float
    waited_s: float
    tag: str | None


@dataclass(frozen=True, slots=True)
class Retained:
    """What survives a restart, by id. Times as epoch seconds, so that they mean something after a reboot.

    ``offers_ma``: last offers and when they were last renewed; ``theta``: three accumulators per circuit;
    ``sessions``: one per asset, None where no car was plugged in.
    """

    topology_version: str
    epoch_s: float
    assets: tuple[str, ...]
    offers_ma: tuple[int, ...]
    limit_pauses: tuple[int, ...]
    off_for_s: tuple[float, ...]
    circuits: tuple[str, ...]
    theta: tuple[tuple[int, int, int], ...]
    fire_latched: bool
    operator_limit_mw: int
    plan_sequence: int
    sessions: tuple[RetainedSession | None, ...]


def initial(params: Params, now_s: float, retained: Retained | None = None) -> ControllerState:
    """State at process start. Exposure begins at the retained offers where there are any, else at nameplate."""
    topology = params.topology
    n = topology.n
    return ControllerState(
        scans=0,
        start_s=now_s,
        complete=False,
        error_scans=0,
        previous_s=now_s,
        fire_latched=retained.fire_latched if retained else False,
        operator_limit_mw=retained.operator_limit_mw if retained else MISSING,
        sessions=_boot_sessions(topology, now_s, retained),
        ledger=_boot_ledger(topology, now_s, retained),
        background=_no_background(topology),
        plausibility=Plausibility(
            anchor_meter_ma=_ints((topology.c, 3)),
            anchor_sum_ma=_ints((topology.c, 3)),
            anchor_draw_ma=_ints((n, 3)),
            anchor_s=_times(topology.c),
            sign_strikes=_ints((topology.c, 3)),
            turn_strikes=_ints(n),
        ),
        learning=Learning(topology.wired.copy(), _times((n, 3), np.inf), _times(n)),
        lending=_nothing_lent(n),
        obedience=_all_obey(n),
        protection=_boot_protection(topology, retained),
        timers=_boot_timers(topology, now_s, retained),
        switching=_no_switching(topology),
        mission=_no_mission(n, retained),
        handover=_no_handover(n),
        guard=GuardMemory(_ints(n), _ints((GUARD_SLOTS, n)), 0),
        commands=None,
    )


def retained_of(state: ControllerState, params: Params, now_s: float, epoch_s: float) -> Retained:
    """What to write into the retain memory after a scan."""
    topology = params.topology
    off_for = np.maximum(state.timers.off_until_s - now_s, 0.0)
    return Retained(
        topology_version=topology.version,
        epoch_s=epoch_s,
        assets=tuple(a.id for a in topology.assets),
        offers_ma=tuple(state.ledger.exposure_ma.tolist()),
        limit_pauses=tuple(state.timers.limit_pauses.tolist()),
        off_for_s=tuple(off_for.tolist()),
        circuits=tuple(x.id for x in topology.circuits),
        theta=tuple((a, b, d) for a, b, d in state.protection.theta.tolist()),
        fire_latched=state.fire_latched,
        operator_limit_mw=state.operator_limit_mw,
        plan_sequence=state.mission.sequence,
        sessions=_present_sessions(state.sessions, now_s),
    )


def _present_sessions(sessions: Sessions, now_s: float) -> tuple[RetainedSession | None, ...]:
    """Also those carried over from an earlier start whose car has not been seen yet: power may fail again."""
    present = sessions.plugged | sessions.carried
    served_s = np.maximum(sessions.served_s, sessions.plugged_s)
    return tuple(
        RetainedSession(energy, max(now_s - plugged, 0.0), max(now_s - served, 0.0), tag) if there else None
        for there, energy, plugged, served, tag in zip(
            present.tolist(),
            sessions.energy_mws.tolist(),
            sessions.plugged_s.tolist(),
            served_s.tolist(),
            sessions.tag,
            strict=True,
        )
    )


def _ints(shape: int | tuple[int, ...], value: int = 0) -> Ints:
    return np.full(shape, value, dtype=np.int64)


def _times(shape: int | tuple[int, ...], value: float = NEVER_S) -> Floats:
    return np.full(shape, value, dtype=np.float64)


def _boot_sessions(topology: Topology, now_s: float, retained: Retained | None) -> Sessions:
    """Nobody is plugged in yet; what the memory knows waits in ``carried`` columns for the first pilot reading."""
    n = topology.n
    no, carried = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    never, not_yet = _times(n), _times(n, np.inf)
    plugged_s, served_s, energy = _times(n), _times(n), _ints(n)
    tags: list[str | None] = [None] * n
    known = zip(retained.assets, retained.sessions, strict=True) if retained is not None else ()
    for name, session in known:
        i = topology.index.get(name)
        if i is not None and session is not None:
            carried[i], energy[i], tags[i] = True, session.energy_mws, session.tag
            plugged_s[i], served_s[i] = now_s - session.plugged_for_s, now_s - session.waited_s
    return Sessions(
        plugged=no,
        plugged_s=plugged_s,
        start_s=never,
        served_s=served_s,
        low_s=not_yet,
        satisfied=no,
        energy_mws=energy,
        reading_s=never,
        ever_drew=no,
        restarted=no,
        known_s=not_yet,
        tag=tuple(tags),
        carried=carried,
    )


def _nothing_lent(n: int) -> Lending:
    return Lending(
        ceiling_ma=_ints(n, NO_LIMIT),
        gap_s=_times(n, np.inf),
        cut_s=_times(n),
        cut_draw_ma=_ints(n),
        follow_s=_times(n, np.inf),
        draw_before_ma=_ints(n),
        habit=np.zeros(n, dtype=bool),
    )


def _all_obey(n: int) -> Obedience:
    return Obedience(
        over_no=_ints(n),
        over_s=_times(n, np.inf),
        paused_until_s=_times(n),
        stop=np.zeros(n, dtype=bool),
        wrong_s=_times(n, np.inf),
        seen_s=_times(n),
        reboot_s=_times(n),
        reboots=_ints(n, MISSING),
        refuses_s=_times(n, np.inf),
    )


def _no_switching(topology: Topology) -> Switching:
    n = topology.n
    mode = np.where(topology.conductors > 1, 3, 1)
    return Switching(
        mode=mode,
        goal=mode.copy(),
        step=_ints(n),
        step_s=_times(n),
        dwell_s=_times(n),
        failures=_ints(n),
        want_s=_times(n, np.inf),
    )


def _no_mission(n: int, retained: Retained | None) -> Mission:
    return Mission(
        source="fallback",
        refused="no plan yet",
        sequence=retained.plan_sequence if retained else -1,
        charge_now=np.ones(n, dtype=bool),
        rank=_ints(n, 1),
        surplus_ma=_ints(n),
        done=np.zeros(n, dtype=bool),
        decided_s=NEVER_S,
        slot=-1,
        targets_sequence=-1,
        targets_refused="no targets yet",
        ordered=_ints(n),
    )


def _no_handover(n: int) -> Handover:
    return Handover(
        since_s=NEVER_S,
        usable_s=np.inf,
        losses=0,
        lease_sequence=-1,
        lease_epoch_s=NEVER_S,
        lease_until_s=NEVER_S,
        sliding=np.zeros(n, dtype=bool),
        turn_s=_times(n),
        held=np.zeros(n, dtype=bool),
        held_until_epoch_s=NEVER_S,
    )


def _boot_ledger(topology: Topology, now_s: float, retained: Retained | None) -> Ledger:
    n = topology.n
    believed = topology.max_ma.copy()
    cut = _times((n, PENDING))
    if retained is not None:
        for name, offer in zip(retained.assets, retained.offers_ma, strict=True):
            if name in topology.index:
                believed[topology.index[name]] = offer
                cut[topology.index[name], 0] = now_s
    pending = _ints((n, PENDING))
    pending[:, 0] = believed
    release = _times((n, PENDING))
    release[:, 0] = np.inf
    return Ledger(
        offer_ma=_ints(n),
        pending_ma=pending,
        cut_s=cut,
        release_s=release,
        change_s=_times(n),
        raise_s=_times(n),
        row_raise_s=_times(topology.c),
        lost_s=_times(n, now_s),
        heard=np.zeros(n, dtype=bool),
        reboots=_ints(n, MISSING),
        exposure_ma=believed.copy(),
        creep_permille=_ints(n),
    )


def _no_background(topology: Topology) -> Background:
    n, c = topology.n, topology.c
    return Background(
        now=_ints((c, ROWS_PER_CIRCUIT), MISSING),
        buckets=_ints((BACKGROUND_BUCKETS, c, ROWS_PER_CIRCUIT), MISSING),
        bucket_no=0,
        doubt_s=_times((c, ROWS_PER_CIRCUIT), np.inf),
        waiting_ma=_ints((c, ROWS_PER_CIRCUIT), MISSING),
        familiar=_ints((FAMILIAR_SLOTS, c, ROWS_PER_CIRCUIT), MISSING),
        familiar_no=0,
        first_s=_times(c, np.inf),
        sample_s=_times(c),
        sample_no=_ints(c),
        digest=_ints(c),
        same_s=_times(c, np.inf),
        same_no=_ints(c),
        bad_s=_times(c),
        lost=np.zeros(c, dtype=bool),
        frozen=np.zeros(c, dtype=bool),
        seen_max=_ints((SEEN_DAYS, c, 3), MISSING),
        day=0,
        newest_ma=_ints((n, ROWS_PER_CIRCUIT), MISSING),
        newest_s=_times(n),
        previous_ma=_ints((n, ROWS_PER_CIRCUIT), MISSING),
        mean_mw=_ints(topology.c, MISSING),
        estimate=_ints((c, ROWS_PER_CIRCUIT)),
    )


def _boot_protection(topology: Topology, retained: Retained | None) -> ProtectionState:
    theta = _ints((topology.c, 3))
    if retained is not None:
        for name, values in zip(retained.circuits, retained.theta, strict=True):
            if name in topology.circuit_index:
                theta[topology.circuit_index[name]] = values
    return ProtectionState(theta, _ints(topology.c), _times(topology.c))


def _boot_timers(topology: Topology, now_s: float, retained: Retained | None) -> Timers:
    n = topology.n
    off, pauses, paused = _times(n), _ints(n), np.zeros(n, dtype=bool)
    if retained is not None:
        for name, count, rest_s in zip(retained.assets, retained.limit_pauses, retained.off_for_s, strict=True):
            if name in topology.index and rest_s > 0:
                off[topology.index[name]] = now_s + rest_s
                pauses[topology.index[name]] = count
                paused[topology.index[name]] = True
    return Timers(_times(n, np.inf), off, pauses, paused)
