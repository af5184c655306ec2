"""One scan: image, state and parameters in; commands, report and the next state out.

Pure: no clock, no log, no await, no randomness. The same arguments give bit-equal results, so a journal of images is
a complete record of what the controller did and why.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from controller.core.admission import demand_of
from controller.core.advance import advance
from controller.core.alarms import alarms_of
from controller.core.allocate import Allocation, Demand, allocate
from controller.core.background import complete_samples, row_sums, row_weights
from controller.core.envelope import Envelope, meet
from controller.core.explain import explain
from controller.core.fallback import decide, fallback_wish
from controller.core.follow import plan_wish
from controller.core.guard import Verdict, guard
from controller.core.handover import choose_source, glide
from controller.core.ledger import record_commands
from controller.core.obedience import disobeying, not_applied
from controller.core.params import (
    GOOD_SCANS_AFTER_ERROR,
    LEASE_S,
    NO_LIMIT,
    RESTART_HEADROOM_MA,
    SETTLE_POLL_S,
    Params,
)
from controller.core.phase_switch import mode_use, phase_orders, set_goals
from controller.core.plausibility import rotation_use
from controller.core.quantise import quantise
from controller.core.raises import grant
from controller.core.remote import around_remote
from controller.core.rules import RULES
from controller.core.sessions import arrived
from controller.core.state import ControllerState
from controller.core.timers import advance_timers
from controller.core.wish import Wish, keep_running, with_orders
from interfaces.domain.command import Commands, Report
from interfaces.domain.image import Image
from interfaces.domain.reasons import Reason
from interfaces.domain.topology import POWER_ROW, AssetKind, Topology
from interfaces.domain.units import MILLI, PERMILLE, SECONDS_PER_HOUR, Bools, Ints


def scan(
    image: Image, state: ControllerState, params: Params, now_s: float, epoch_s: float
) -> tuple[Commands, Report, ControllerState]:
    """The seven steps of design section 4. ``now_s`` monotonic, ``epoch_s`` UTC; never mixed."""
    topology = params.topology
    image = complete_samples(image, state.background, topology)
    were_here = state.sessions.plugged
    state = advance(image, state, params, now_s)
    began = bool(((state.sessions.plugged & ~were_here) | (state.sessions.plugged_s == now_s)).any())
    env = meet(topology, [rule(image, state, params, now_s) for rule in RULES])
    wish, state = _wishes(image, state, params, began, now_s, epoch_s)
    use = mode_use(state.switching, state.learning.use, image, topology)
    cost = row_weights(image, topology, rotation_use(state.plausibility, use, topology))
    never_pause = _never_pause(image, topology)
    wish = keep_running(wish, state, topology, never_pause, now_s)
    wish, state = glide(wish, image, state, topology, now_s, epoch_s)
    demand = demand_of(state, env, wish, topology, never_pause, cost, now_s)
    left = _left_for(env, state, topology, cost, now_s)
    allocation = around_remote(allocate(left, demand, topology), left, demand, state.ledger, topology)
    target = np.where(allocation.on_one, 0, allocation.amps_ma)
    granted = grant(target, demand.order, env.budget, cost, image, state, params, now_s)
    setpoint = _with_exports(granted.setpoint_ma, wish, env, state, topology)
    writes = state.complete and not params.monitor_only
    setpoint = quantise(setpoint, topology) if writes else np.maximum(state.ledger.offer_ma, 0)
    verdict = _guarded(setpoint, env, cost, image, state, params, now_s)
    reason, binding = explain(setpoint, wish, env, demand, allocation, granted, state, topology, now_s)
    if not writes:
        reason = np.full_like(reason, int(Reason.NOT_MANAGED if params.monitor_only else Reason.BOOT))
    if verdict.bad:
        setpoint, reason = _subtrees_to_failsafe(setpoint, reason, verdict, state, topology)
        verdict = replace(verdict, memory=replace(verdict.memory, told_ma=setpoint))
    commands = _commands(setpoint, reason, binding, wish, state, verdict, writes, now_s)
    before = state
    state = _remember(commands, verdict, demand, allocation, env, image, state, params, now_s)
    return commands, _report(image, before, state, env, cost, verdict, params, now_s), state


def failsafe(state: ControllerState, params: Params, now_s: float) -> Commands:
    """Failsafe output (design 4): per asset min(last command, verified failsafe), batteries 0. It never raises, and a
    scan that failed renews no lease.
    """
    topology = params.topology
    last = np.maximum(state.ledger.offer_ma, 0)
    evse = np.where(topology.is_evse, np.minimum(last, topology.failsafe_ma), 0)
    setpoint = quantise(evse, topology)
    n = topology.n
    return Commands(
        setpoint_ma=setpoint,
        stop=state.obedience.stop,
        phases=np.zeros(n, dtype=np.int64),
        wish_ma=np.zeros(n, dtype=np.int64),
        reason=np.full(n, int(Reason.FAILSAFE), dtype=np.int64),
        binding=np.full(n, -1, dtype=np.int64),
        fast_poll=np.ones(n, dtype=np.bool_),
        valid_until_s=now_s if state.commands is None else state.commands.valid_until_s,
        failsafe=True,
        guard_ok=False,
    )


def after_error(
    commands: Commands, state: ControllerState, params: Params, image: Image, now_s: float
) -> ControllerState:
    """The state after a scan that raised: the failsafe commands are in the ledger, ten good scans must follow."""
    ledger = record_commands(state.ledger, commands.setpoint_ma, image, params.topology, now_s)
    told = replace(state.guard, told_ma=commands.setpoint_ma)
    return replace(state, ledger=ledger, guard=told, commands=commands, error_scans=GOOD_SCANS_AFTER_ERROR)


def _wishes(
    image: Image, state: ControllerState, params: Params, began: bool, now_s: float, epoch_s: float
) -> tuple[Wish, ControllerState]:
    mission = decide(state.mission, image, state, params, began, now_s, epoch_s)
    state = choose_source(image, replace(state, mission=mission), params, now_s, epoch_s)
    wish = fallback_wish(state.mission, params)
    if state.mission.source == "plan" and image.plan is not None:
        wish = with_orders(plan_wish(image.plan, wish, image, state, params, now_s, epoch_s), wish, state)
    return wish, state


def _never_pause(image: Image, topology: Topology) -> Bools:
    if image.targets is None:
        return topology.never_pause
    column = topology.never_pause.copy()
    for target in image.targets.targets:
        i = topology.index.get(target.asset)
        if i is not None and target.never_pause and (target.tag is None or target.tag == image.tag[i]):
            column[i] = True
    return column


def _left_for(env: Envelope, state: ControllerState, topology: Topology, cost: Ints, now_s: float) -> Ints:
    """(C, 4) budget of the offers we can make: what unreachable and disobeying assets may draw is taken off, and what
    the others draw beyond their offers.
    """
    fixed = ~np.isposinf(state.ledger.lost_s) | disobeying(state.obedience, now_s) | not_applied(state.obedience, now_s)
    creep = np.maximum(state.ledger.offer_ma, 0) * state.ledger.creep_permille // PERMILLE
    spent = np.where(fixed, state.ledger.exposure_ma, creep)
    if not spent.any():
        return env.budget
    taken = row_sums(topology, cost * spent[:, None])
    return np.where(env.budget >= NO_LIMIT, NO_LIMIT, np.maximum(env.budget - taken, 0))


def _with_exports(setpoint: Ints, wish: Wish, env: Envelope, state: ControllerState, topology: Topology) -> Ints:
    """Discharge and feed-in wishes inside the export side of the envelope; unreachable assets keep theirs."""
    export = np.maximum(np.minimum(wish.want_ma, 0), env.low_ma)
    lost = ~np.isposinf(state.ledger.lost_s)
    kept = np.minimum(np.maximum(state.ledger.offer_ma, 0), env.high_ma)
    setpoint = np.where(lost & topology.is_evse, kept, setpoint)
    storage = (topology.kind == int(AssetKind.BATTERY)) | (topology.kind == int(AssetKind.PV))
    return np.where(storage & (wish.want_ma < 0) & ~lost, export, setpoint)


def _guarded(
    setpoint: Ints, env: Envelope, cost: Ints, image: Image, state: ControllerState, params: Params, now_s: float
) -> Verdict:
    lost = tuple((~np.isposinf(state.ledger.lost_s)).tolist())
    verdict = guard(setpoint, env.budget, cost, state.guard, image, params.topology, lost, now_s)
    checks = params.ledger and state.complete and not params.monitor_only
    return verdict if checks else replace(verdict, bad=())


def _subtrees_to_failsafe(
    setpoint: Ints, reason: Ints, verdict: Verdict, state: ControllerState, topology: Topology
) -> tuple[Ints, Ints]:
    """The sub-tree of every violated row to min(last command, failsafe)."""
    hit = (topology.ancestry[[c for c, _ in verdict.bad]] > 0).any(axis=0)
    safe = np.where(topology.is_evse, np.minimum(np.maximum(state.ledger.offer_ma, 0), topology.failsafe_ma), 0)
    safe = quantise(np.minimum(safe, np.maximum(setpoint, 0)), topology)
    return np.where(hit, safe, setpoint), np.where(hit, int(Reason.FAILSAFE), reason)


def _commands(
    setpoint: Ints,
    reason: Ints,
    binding: Ints,
    wish: Wish,
    state: ControllerState,
    verdict: Verdict,
    writes: bool,
    now_s: float,
) -> Commands:
    """The outputs; without a lease where nothing is written: the chargers keep what they were told."""
    changed = (setpoint != state.ledger.offer_ma) | (now_s - state.ledger.change_s < SETTLE_POLL_S)
    return Commands(
        setpoint_ma=setpoint,
        stop=state.obedience.stop,
        phases=phase_orders(state.switching),
        wish_ma=wish.want_ma,
        reason=reason,
        binding=binding,
        fast_poll=changed,
        valid_until_s=now_s + LEASE_S if writes else now_s,
        failsafe=not state.complete or state.error_scans > 0,
        guard_ok=not verdict.bad,
    )


def _remember(
    commands: Commands,
    verdict: Verdict,
    demand: Demand,
    allocation: Allocation,
    env: Envelope,
    image: Image,
    state: ControllerState,
    params: Params,
    now_s: float,
) -> ControllerState:
    """Commands into ledger, timers and goals; the state is ready for the next image."""
    topology = params.topology
    asks = np.zeros(topology.n, dtype=np.bool_)
    asks[list(demand.order)] = True
    timers, start_s = advance_timers(
        state.timers,
        state.sessions,
        topology,
        before_ma=state.ledger.offer_ma,
        setpoint_ma=commands.setpoint_ma,
        reason=commands.reason,
        asks=asks,
        fits=allocation.fits,
        began=arrived(state.sessions, now_s),
        now_s=now_s,
    )
    wired = row_weights(image, topology, topology.wired)
    left = env.budget - row_sums(topology, allocation.cost * allocation.amps_ma[:, None])
    three = _three_fit(left, wired, topology) if topology.can_switch.any() else np.zeros(topology.n, dtype=np.bool_)
    return replace(
        state,
        scans=state.scans + 1,
        error_scans=max(0, state.error_scans - 1),
        previous_s=now_s,
        sessions=replace(state.sessions, start_s=start_s),
        ledger=record_commands(state.ledger, commands.setpoint_ma, image, topology, now_s),
        timers=timers,
        switching=set_goals(state.switching, allocation.on_one, three, state.sessions.plugged, topology, now_s),
        guard=verdict.memory,
        commands=commands,
    )


def _three_fit(left: Ints, wired: Ints, topology: Topology) -> Bools:
    """(N,) whether minimum + 2 A on all wires would fit beside the present allocation."""
    need = topology.min_ma + RESTART_HEADROOM_MA
    out = np.zeros(topology.n, dtype=np.bool_)
    for i in np.flatnonzero(topology.can_switch).tolist():
        out[i] = all((left[c] >= wired[i] * need[i])[wired[i] > 0].all() for c in topology.chain[i])
    return out


def _report(
    image: Image,
    before: ControllerState,
    state: ControllerState,
    env: Envelope,
    cost: Ints,
    verdict: Verdict,
    params: Params,
    now_s: float,
) -> Report:
    topology = params.topology
    exposure = row_sums(topology, cost * state.ledger.exposure_ma[:, None])
    mode = "failsafe" if not before.complete or before.error_scans else state.mission.source
    return Report(
        budget_ma=env.budget[:, :POWER_ROW],
        budget_mw=env.budget[:, POWER_ROW],
        background_ma=state.background.estimate[:, :POWER_ROW],
        exposure_ma=exposure[:, :POWER_ROW],
        theta_ppm=state.protection.theta // MILLI,
        asset_exposure_ma=state.ledger.exposure_ma,
        phase_use=cost[:, :POWER_ROW],
        session_s=state.sessions.plugged_s,
        energy_wh=state.sessions.energy_mws // (MILLI * SECONDS_PER_HOUR),
        mode=mode,
        alarms=alarms_of(image, state, verdict, params, now_s),
    )
