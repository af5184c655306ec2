"""Sessions: plug-in to plug-out, energy, and whether a car wants its offer."""

from __future__ import annotations

import numpy as np

from controller.core.params import OWN_CARD_S, SATISFIED_MA, SATISFIED_RETRY_S, SATISFIED_S
from controller.core.records import Sessions
from interfaces.domain.image import Image, Pilot
from interfaces.domain.measured import busiest_ma, power_mw
from interfaces.domain.topology import Topology
from interfaces.domain.units import MILLI, MISSING, NEVER_S, Bools, Floats, Ints


def plugged_in(image: Image, before: Bools) -> Bools:
    """(N,) a car is connected: pilot B to D. An unreadable pilot or a fault keeps what was known."""
    pilot = image.pilot
    unknown = (pilot == int(Pilot.UNKNOWN)) | (pilot == int(Pilot.E)) | (pilot == int(Pilot.F))
    return np.where(unknown, before, (pilot >= int(Pilot.B1)) & (pilot <= int(Pilot.D2)))


def recognised(state: Sessions, image: Image, began: Bools) -> Bools:
    """(N,) sessions that began in this scan only because we did: the car of the retained memory, still plugged in.

    Not a car whose RFID differs from the retained one, nor one after a reading without a car. What cannot be told: that
    cars were exchanged while we were away, where either carries no RFID; the second then inherits the first's energy.
    A tag that becomes readable only after the first pilot reading comes too late for this, and counts as another car's.
    """
    found: Bools = began & state.carried
    for i in np.flatnonzero(found).tolist():
        before, now = state.tag[i], image.tag[i]
        found[i] = before is None or now is None or before == now
    return found


def arrived(state: Sessions, now_s: float) -> Bools:
    """(N,) a car was plugged in just now, before our eyes: one found at our own start keeps its timers."""
    just_now: Bools = (state.plugged_s == now_s) & (state.plugged_s > state.known_s)
    return just_now


def advance_sessions(
    state: Sessions, image: Image, offer_ma: Ints, topology: Topology, now_s: float, dt_s: float
) -> tuple[Sessions, Bools]:
    """Next sessions, and (N,) where one has just begun.

    Energy is integrated over scans, on top of the retained one where the same car is found at our start. Satisfied:
    below 1 A for 5 min although offered at least the minimum; cleared when it draws again, or 30 min after it was last
    served so that it is offered again (design 4.2).
    """
    plugged = plugged_in(image, state.plugged)
    began = plugged & (~state.plugged | _exchanged(state, image, now_s))
    known_pilot = (image.pilot >= int(Pilot.A)) & (image.pilot <= int(Pilot.D2))
    carried = state.carried & ~known_pilot
    kept = recognised(state, image, began)
    new = (began | (state.carried & known_pilot)) & ~kept
    gained = power_mw(image, topology) * int(dt_s * MILLI + 0.5) // MILLI
    drawn = busiest_ma(image)
    offered = offer_ma >= topology.min_ma
    served = np.where(offered & plugged, now_s, np.where(new, NEVER_S, state.served_s))
    waited = now_s - np.maximum(served, np.where(began, now_s, state.plugged_s))
    low_s = _low_since(state, image, topology, plugged & offered, drawn, began, now_s)
    fresh = image.asset_sample_s > state.reading_s
    asleep = fresh & (now_s - low_s >= SATISFIED_S)
    stays = (drawn < SATISFIED_MA) & ~(~offered & (waited >= SATISFIED_RETRY_S))
    nxt = Sessions(
        plugged=plugged,
        plugged_s=np.where(began & new, now_s, np.where(plugged | carried, state.plugged_s, NEVER_S)),
        start_s=np.where(began, NEVER_S, state.start_s),
        served_s=served,
        low_s=low_s,
        satisfied=plugged & ~began & np.where(state.satisfied, stays, asleep),
        energy_mws=np.where(new, 0, state.energy_mws) + np.where(plugged, gained, 0),
        reading_s=np.maximum(state.reading_s, image.asset_sample_s),
        ever_drew=plugged & ~began & (state.ever_drew | (drawn >= SATISFIED_MA)),
        restarted=plugged & ~began & np.where(drawn >= SATISFIED_MA, ~offered, state.restarted),
        known_s=np.where(image.pilot == int(Pilot.UNKNOWN), state.known_s, np.minimum(state.known_s, now_s)),
        tag=_tags(state, image, plugged | carried, new),
        carried=carried,
    )
    return nxt, began


def _exchanged(state: Sessions, image: Image, now_s: float) -> Bools:
    """(N,) sessions whose RFID is another one now: cars were exchanged between two readings, or while none came. In its
    first minutes a session's tag is that of the last card, until the driver holds up the own one.
    """
    if image.tag == state.tag:
        return np.zeros(len(state.tag), dtype=np.bool_)
    pairs = zip(state.tag, image.tag, strict=True)
    other = np.array([before is not None and now is not None and before != now for before, now in pairs])
    result: Bools = other & state.plugged & (now_s - state.plugged_s >= OWN_CARD_S)
    return result


def _low_since(
    state: Sessions, image: Image, topology: Topology, on_offer: Bools, drawn_ma: Ints, began: Bools, now_s: float
) -> Floats:
    """(N,) since when a car draws below 1 A although it has an offer; a scan without a new reading changes nothing."""
    fresh = image.asset_sample_s > state.reading_s
    known = ((image.asset_ma != MISSING) | (topology.wired == 0)).all(axis=1)
    low = on_offer & known & (drawn_ma < SATISFIED_MA)
    before = np.where(began, np.inf, state.low_s)
    since: Floats = np.where(fresh | ~on_offer, np.inf, before)
    return np.where(low, np.minimum(before, now_s), since)


def _tags(state: Sessions, image: Image, present: Bools, new: Bools) -> tuple[str | None, ...]:
    """The newest RFID seen in each present session."""
    if image.tag == state.tag and not new.any() and present.all():
        return state.tag
    rows = zip(image.tag, state.tag, present.tolist(), new.tolist(), strict=True)
    return tuple((now or (None if fresh else before)) if there else None for now, before, there, fresh in rows)
