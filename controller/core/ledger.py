"""The exposure ledger: why we never overload a circuit by our own doing.

Exposure is the most an asset may draw now, given everything it may still believe it was offered. An offer stays
reserved until it was revoked, the revocation was read back, and the release time has passed: 5 s the EVSE may hold its
pilot and 5 s for the car (IEC 61851-1), the profile's value where slower. A low measurement never shortens it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from controller.core.params import (
    CREEP_MA,
    OVERDRAW_MA,
    OVERDRAW_SHARE_PERCENT,
    PILOT_HOLD_S,
    TIMEOUT_GUARD_S,
    UNREACHABLE_POLLS,
    UNREACHABLE_S,
)
from controller.core.records import Ledger
from interfaces.domain.image import FailsafeProof, Image, Pilot
from interfaces.domain.measured import busiest_ma
from interfaces.domain.topology import AssetKind, Topology
from interfaces.domain.units import MISSING, NEVER_S, PERMILLE, Bools, Floats, Ints


def advance_ledger(
    state: Ledger, image: Image, topology: Topology, now_s: float, began: Bools, plugged: Bools
) -> Ledger:
    """Next ledger before this scan's commands: read-backs confirm, releases expire, losses are counted."""
    first = first_answers(state, image)
    lost_s = _lost(state.lost_s, image, topology, now_s)
    offer = np.where(first, adopted_offer(image, topology), state.offer_ma)
    pending, cut, release = _boot_known(state, image, topology, now_s, first)
    pending, cut, release = _rebooted(state, image, topology, now_s, pending, cut, release)
    pending, cut, release = _found_higher(state, image, topology, now_s, offer, lost_s, (pending, cut, release))
    confirmed = (image.readback_s[:, None] > cut) & (image.offered_ma[:, None] < np.maximum(pending, 1))
    confirmed &= (image.offered_ma >= 0)[:, None]
    release = np.where(
        np.isposinf(release) & confirmed, image.readback_s[:, None] + topology.release_s[:, None], release
    )
    empty = topology.is_evse & (image.pilot == int(Pilot.A)) & ~plugged & (image.offered_ma == 0) & (offer == 0)
    dark = release - topology.release_s[:, None] + PILOT_HOLD_S <= now_s
    gone = (release <= now_s) | (empty[:, None] & dark)
    pending = np.where(gone, 0, pending)
    release = np.where(pending == 0, NEVER_S, release)
    creep = np.where(began | ~plugged, 0, state.creep_permille)
    nxt = replace(
        state,
        offer_ma=offer,
        pending_ma=pending,
        cut_s=cut,
        release_s=release,
        lost_s=lost_s,
        heard=state.heard | first,
        reboots=np.where(image.reboots == MISSING, state.reboots, image.reboots),
        creep_permille=_creep(creep, image, np.maximum(offer, pending.max(axis=1))),
    )
    return replace(nxt, exposure_ma=exposure(nxt, image, topology, now_s))


def first_answers(state: Ledger, image: Image) -> Bools:
    """(N,) devices that answer for the first time since our start."""
    first: Bools = ~state.heard & (image.reply_s > NEVER_S) & (image.readback_s > NEVER_S)
    return first


def adopted_offer(image: Image, topology: Topology) -> Ints:
    """(N,) the limit a charger has in force when we first hear it: our own start interrupts no session."""
    shown = np.where(image.offered_ma == MISSING, 0, np.clip(image.offered_ma, 0, topology.max_ma))
    return np.where(topology.is_evse, shown, 0)


def exposure(state: Ledger, image: Image, topology: Topology, now_s: float) -> Ints:
    """(N,) mA per conductor each asset may draw now. Unreachable: see ``_unreachable``; declared off: 0."""
    believed = np.maximum(state.offer_ma, state.pending_ma.max(axis=1))
    shown = np.where((image.offered_ma == MISSING) | (image.readback_s <= state.change_s), 0, image.offered_ma)
    believed = np.maximum(np.maximum(believed, shown), 0)
    believed = np.where((believed > 0), believed + believed * state.creep_permille // PERMILLE, 0)
    believed = np.maximum(believed, overdrawn(image, believed))
    idle = topology.is_evse & (image.pilot == int(Pilot.A))
    believed = np.where(idle, np.maximum(believed, topology.idle_ma), believed)
    believed = np.where(np.isposinf(state.lost_s), believed, _unreachable(state, image, topology, now_s, believed))
    believed = np.where(topology.kind == int(AssetKind.PV), 0, believed)
    result: Ints = np.where(image.declared_off & ~np.isposinf(state.lost_s), 0, believed)
    return result


def overdrawn(image: Image, believed: Ints) -> Ints:
    """(N,) the largest measured conductor current where it exceeds what is believed by more than the meter's class."""
    drawn = busiest_ma(image)
    result: Ints = np.where(drawn > believed + CREEP_MA, drawn, 0)
    return result


def _lost(before: Floats, image: Image, topology: Topology, now_s: float) -> Floats:
    """Since when each asset is unreachable: no valid reply for max(3 s, 3 polls); inf while it answers."""
    silent = now_s - image.reply_s > np.maximum(UNREACHABLE_S, UNREACHABLE_POLLS * topology.poll_s)
    result: Floats = np.where(silent, np.where(np.isposinf(before), image.reply_s, before), np.inf)
    return result


def _unreachable(state: Ledger, image: Image, topology: Topology, now_s: float, believed: Ints) -> Ints:
    """What an unreachable asset may draw: max(exposure, failsafe, boot) until its time-out + 10 s, then
    max(failsafe, boot); nameplate where the failsafe can be neither proven nor was accepted.
    """
    proven = (image.failsafe_proof == int(FailsafeProof.VERIFIED)) | topology.failsafe_trusted
    after = np.where(proven, np.maximum(topology.failsafe_ma, topology.boot_ma), topology.max_ma)
    over = now_s - state.lost_s > topology.failsafe_timeout_s + TIMEOUT_GUARD_S
    result: Ints = np.where(over, after, np.maximum(believed, after))
    battery = topology.kind == int(AssetKind.BATTERY)
    return np.where(battery & over & proven, topology.failsafe_ma, result)


def _boot_known(
    state: Ledger, image: Image, topology: Topology, now_s: float, first: Bools
) -> tuple[Ints, Floats, Floats]:
    """At the first answer after our start what it draws replaces nameplate (which was cut at no time); a higher offer
    from the retain memory stays until it has run out like any other.
    """
    pending, cut, release = state.pending_ma.copy(), state.cut_s.copy(), state.release_s.copy()
    if not first.any():
        return pending, cut, release
    drawn = busiest_ma(image)
    nameplate = np.isneginf(cut[:, 0])
    blind = np.where(image.offered_ma == MISSING, topology.max_ma, 0)
    known = np.maximum(np.maximum(blind, drawn), np.where(nameplate, 0, pending[:, 0]))
    pending[:, 0] = np.where(first, known, pending[:, 0])
    cut[:, 0] = np.where(first, now_s, cut[:, 0])
    release[:, 0] = np.where(first, np.inf, release[:, 0])
    return pending, cut, release


def _rebooted(
    state: Ledger, image: Image, topology: Topology, now_s: float, pending: Ints, cut: Floats, release: Floats
) -> tuple[Ints, Floats, Floats]:
    """A device that restarted may offer its boot current until a setpoint of ours was read back again."""
    again = (image.reboots != MISSING) & (state.reboots != MISSING) & (image.reboots > state.reboots)
    if not again.any():
        return pending, cut, release
    return push_pending(pending, cut, release, again, topology.boot_ma, now_s)


def _found_higher(
    state: Ledger,
    image: Image,
    topology: Topology,
    now_s: float,
    offer_ma: Ints,
    lost_s: Floats,
    offers: tuple[Ints, Floats, Floats],
) -> tuple[Ints, Floats, Floats]:
    """More than we believed is revoked like an offer of ours: what a device shows above our offers, and the worst case
    of one that answers again, until its limit was read.
    """
    believed = np.maximum(offer_ma, offers[0].max(axis=1))
    returned = state.heard & np.isfinite(state.lost_s) & np.isposinf(lost_s)
    found = np.where((image.readback_s > state.change_s) & np.isposinf(lost_s), image.offered_ma, 0)
    if returned.any():
        found = np.maximum(found, np.where(returned, _unreachable(state, image, topology, now_s, believed), 0))
    above = found > believed
    return push_pending(*offers, above, found, now_s) if above.any() else offers


def push_pending(
    pending: Ints, cut: Floats, release: Floats, where: Bools, value: Ints, now_s: float
) -> tuple[Ints, Floats, Floats]:
    """Add a revoked offer per asset; a full list merges with its oldest entry: highest value, latest time."""
    pending, cut, release = pending.copy(), cut.copy(), release.copy()
    slot = np.where((pending == 0).any(axis=1), np.argmax(pending == 0, axis=1), 0)
    rows = np.flatnonzero(where)
    cols = slot[rows]
    pending[rows, cols] = np.maximum(pending[rows, cols], value[rows])
    cut[rows, cols] = now_s
    release[rows, cols] = np.inf
    return pending, cut, release


def record_commands(state: Ledger, setpoint_ma: Ints, image: Image, topology: Topology, now_s: float) -> Ledger:
    """The ledger after this scan's commands: lowered offers become pending, raised ones count at once."""
    offer = state.offer_ma
    cut_mask = setpoint_ma < offer
    raised = setpoint_ma > offer
    pending, cut, release = state.pending_ma, state.cut_s, state.release_s
    if cut_mask.any():
        pending, cut, release = push_pending(pending, cut, release, cut_mask, offer, now_s)
    row_raise = np.where((topology.ancestry[:, raised] > 0).any(axis=1), now_s, state.row_raise_s)
    nxt = replace(
        state,
        offer_ma=setpoint_ma,
        pending_ma=pending,
        cut_s=cut,
        release_s=release,
        change_s=np.where(cut_mask | raised, now_s, state.change_s),
        raise_s=np.where(raised, now_s, state.raise_s),
        row_raise_s=row_raise,
    )
    return replace(nxt, exposure_ma=exposure(nxt, image, topology, now_s))


def _creep(before: Ints, image: Image, believed: Ints) -> Ints:
    """Per mille more than offered that a car draws, up to 10 %: learned for the session, so that it counts fully."""
    drawn = busiest_ma(image)
    small = (drawn > believed + CREEP_MA) & (drawn <= believed * (100 + OVERDRAW_SHARE_PERCENT) // 100 + OVERDRAW_MA)
    share = np.where(small & (believed > 0), (drawn - believed) * PERMILLE // np.maximum(believed, 1) + 1, 0)
    result: Ints = np.maximum(before, share)
    return result
