"""The local strategy without a plan: never dumb, never dependent on anybody.

With targets and prices: least laxity first, surplus first, the cheapest hours while there is slack. Without them every
car may have all and the allocation shares fairly. Decisions are renewed once a minute; a car that runs in a price step
keeps running to its end, so that neither a new minute nor the end of a plan interrupts a session.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np

from controller.core.background import budget_rows, row_sums, row_weights
from controller.core.params import NO_LIMIT, Params
from controller.core.records import ORDERED_NOW, ORDERED_SOLAR, Mission
from controller.core.state import ControllerState
from controller.core.wish import RANKS, Wish
from interfaces.domain.image import Image
from interfaces.domain.reasons import Reason
from interfaces.domain.targets import Target, Targets
from interfaces.domain.topology import POWER_ROW, AssetKind, Topology
from interfaces.domain.units import MILLI, MISSING, SECONDS_PER_HOUR, Bools, Floats, Ints

DECIDE_EVERY_S: Final[float] = 60.0
SLACK_FACTOR: Final[float] = 1.25
SLACK_S: Final[float] = 900.0
"""A shared site rarely gives a car its full power: reckon with a quarter more time and 15 min."""
RANK_BOUNDS_S: Final[tuple[float, float, float]] = (0.0, 3600.0, 14_400.0)
NO_TARGET_RANK: Final[int] = 1
WISHES_MOST_S: Final[float] = 129_600.0
"""Told one evening for the next day's evening at the latest: older departures are of cars that have left."""
PRICES_MOST_S: Final[float] = 172_800.0
"""Day-ahead prices end 36 h after they are published (SDAC); what an optimizer adds is a forecast of its day."""
SKEW_S: Final[float] = 60.0
"""Clocks may differ by so much before a message counts as one from the future."""


def decide(
    mission: Mission, image: Image, state: ControllerState, params: Params, began: bool, now_s: float, epoch_s: float
) -> Mission:
    """Renew the decisions when a minute has passed, a session began or new targets came."""
    targets = image.targets
    sequence = -1 if targets is None else targets.sequence
    ordered = ordered_modes(image, state, params.topology)
    slot = price_slot(targets, epoch_s)
    due = now_s - mission.decided_s >= DECIDE_EVERY_S or began or sequence != mission.targets_sequence
    if not due and slot == mission.slot and (ordered == mission.ordered).all():
        return mission
    targets, refused = usable_targets(targets, params, image.clock_trusted, epoch_s)
    n = params.topology.n
    keep = mission.charge_now if slot == mission.slot else np.zeros(n, dtype=np.bool_)
    charge, rank = np.ones(n, dtype=np.bool_), np.full(n, NO_TARGET_RANK, dtype=np.int64)
    done = np.zeros(n, dtype=np.bool_)
    laxity = np.full(n, np.inf)
    wanted = targets_by_column(targets, image, params.topology) if targets is not None else {}
    power_mw = likely_power_mw(image, state, params.topology, now_s)
    for i, target in wanted.items():
        rest_mws = target.energy_wh * MILLI * SECONDS_PER_HOUR - int(state.sessions.energy_mws[i])
        done[i] = rest_mws <= 0
        need_s = max(rest_mws, 0) / max(int(power_mw[i]), 1) * SLACK_FACTOR + SLACK_S
        laxity[i] = target.departure_epoch_s - epoch_s - need_s
        rank[i] = sum(laxity[i] >= bound for bound in RANK_BOUNDS_S)
        cheap = targets is None or cheap_now(targets, epoch_s, target.departure_epoch_s, need_s)
        running = bool(keep[i]) and state.ledger.offer_ma[i] > 0
        charge[i] = not done[i] and (not target.deferrable or laxity[i] < 0 or cheap or running)
    charge = np.select([ordered == ORDERED_SOLAR, ordered == ORDERED_NOW], [False, True], charge)
    done &= ordered != ORDERED_NOW
    surplus = share_surplus(image, state, params.topology, ~charge & state.sessions.plugged, laxity)
    return replace(
        mission,
        charge_now=charge,
        rank=np.minimum(rank, RANKS - 1),
        surplus_ma=surplus,
        done=done,
        decided_s=now_s,
        slot=slot,
        targets_sequence=sequence,
        targets_refused=refused,
        ordered=ordered,
    )


def usable_targets(
    targets: Targets | None, params: Params, clock_trusted: bool, epoch_s: float
) -> tuple[Targets | None, str]:
    """What of the targets message still serves, and why the rest does not; empty when all of it does."""
    if targets is None:
        return None, "no targets"
    age_s = epoch_s - targets.issued_epoch_s
    checks = (
        (not params.use_targets, "this site does not use targets"),
        (not clock_trusted, "the wall clock is not trusted: neither departures nor prices are used"),
        (age_s < -SKEW_S, "the targets were issued in the future"),
        (age_s >= PRICES_MOST_S, "the targets are more than two days old: neither departures nor prices are used"),
    )
    refused = next((why for no, why in checks if no), "")
    if refused:
        return None, refused
    if age_s < WISHES_MOST_S:
        return targets, ""
    return replace(targets, targets=()), "the departures are more than 36 h old and not used, the prices are"


def ordered_modes(image: Image, state: ControllerState, topology: Topology) -> Ints:
    """(N,) what people have ordered: solar mode lasts, charging now ends with the session it was said for."""
    if image.orders is None:
        return np.zeros(topology.n, dtype=np.int64)
    plugged = state.sessions.plugged & (state.sessions.plugged_s <= image.orders.charge_now_s)
    modes: Ints = np.select([plugged, image.orders.solar], [ORDERED_NOW, ORDERED_SOLAR], 0)
    return np.where(topology.is_evse, modes, 0)


def fallback_wish(mission: Mission, params: Params) -> Wish:
    """All it can take, or what surplus allows, or 0 with the reason; batteries rest, PV feeds in freely."""
    topology = params.topology
    full = np.where(topology.is_evse, topology.max_ma, 0)
    want = np.where(mission.charge_now, full, mission.surplus_ma)
    want = np.where(topology.kind == int(AssetKind.PV), -topology.max_export_ma, want)
    waiting = np.where(mission.done, int(Reason.TARGET_REACHED), int(Reason.CHEAPER_LATER))
    on_surplus = (mission.surplus_ma > 0) | (mission.ordered == ORDERED_SOLAR)
    reason = np.where(on_surplus, int(Reason.SURPLUS_ONLY), waiting)
    reason = np.where(mission.charge_now | ~topology.is_evse, int(Reason.WISH), reason)
    return Wish(want, np.ones(topology.n, dtype=np.int64), mission.rank, reason)


def targets_by_column(targets: Targets, image: Image, topology: Topology) -> dict[int, Target]:
    """Targets of present sessions by column; one bound to another RFID tag does not count."""
    found: dict[int, Target] = {}
    for target in targets.targets:
        i = topology.index.get(target.asset)
        if i is not None and (target.tag is None or target.tag == image.tag[i]):
            found[i] = target
    return found


def price_slot(targets: Targets | None, epoch_s: float) -> int:
    """Index of the price step now; -1 where no price is known."""
    if targets is None or targets.price_step_s <= 0:
        return -1
    slot = math.floor((epoch_s - targets.price_start_epoch_s) / targets.price_step_s)
    return slot if 0 <= slot < len(targets.price_eur_per_kwh) else -1


def cheap_now(targets: Targets, epoch_s: float, departure_epoch_s: float, need_s: float) -> bool:
    """Whether the present price step is among the cheapest that suffice until departure; True without a price."""
    slot = price_slot(targets, epoch_s)
    if slot < 0:
        return True
    last = price_slot(targets, departure_epoch_s)
    end = len(targets.price_eur_per_kwh) if last < 0 else last
    window = targets.price_eur_per_kwh[slot : max(end, slot + 1)]
    count = max(1, math.ceil(need_s / targets.price_step_s))
    if count >= len(window):
        return True
    dearer_or_later = int((window < window[0]).sum())
    return dearer_or_later < count


def likely_power_mw(image: Image, state: ControllerState, topology: Topology, now_s: float) -> Ints:
    """(N,) power on the conductors a car uses, at its rated current or what is left for it when all cars that are not
    full share their circuits equally: who waits for a cheap hour will not be alone in it.
    """
    cost = row_weights(image, topology, state.learning.use)
    shares = state.sessions.plugged & ~state.sessions.satisfied & topology.is_evse
    load = row_sums(topology, cost * shares[:, None])
    budget = budget_rows(state.background, image, topology, now_s)
    level = np.where((load > 0) & (budget < NO_LIMIT), budget // np.maximum(load, 1), NO_LIMIT)
    used = (topology.ancestry[:, :, None] > 0) & (cost > 0)
    share = np.where(used, level[:, None, :], NO_LIMIT).min(axis=(0, 2))
    result: Ints = np.minimum(np.where(topology.is_evse, topology.max_ma, 0), share) * cost[:, POWER_ROW]
    return result


def share_surplus(image: Image, state: ControllerState, topology: Topology, waiting: Bools, laxity: Floats) -> Ints:
    """(N,) currents that export alone can feed, least laxity first, whole minimum currents only."""
    out = np.zeros(topology.n, dtype=np.int64)
    net = int(state.background.now[0, POWER_ROW])
    if net == MISSING or not waiting.any():
        return out
    rest = -net
    cost = row_weights(image, topology, state.learning.use)[:, POWER_ROW]
    for i in sorted(np.flatnonzero(waiting).tolist(), key=lambda k: (float(laxity[k]), k)):
        amps = min(int(topology.max_ma[i]), rest // max(int(cost[i]), 1))
        if amps < int(topology.min_ma[i]):
            continue
        out[i] = amps
        rest -= amps * int(cost[i])
    return out
