"""Cars and chargers that do not do as they were told (design 4.2).

The ledger counts them at what they draw. Drawing more than anything still offered: the ledger's release time of 10 s
has passed by then, so pause at once; 7 s later the second path (disable register, contactor). A charger that shows a
higher limit than it acknowledged is paused too, and stopped where that does not help. Current without a session means
a welded contactor.
"""

from __future__ import annotations

import numpy as np

from controller.core.params import (
    DEAF_S,
    DISOBEY_HOLD_S,
    NEARLY_EMPTY_PERMILLE,
    NEARLY_FULL_PERMILLE,
    NOT_APPLIED_S,
    OVERDRAW_MA,
    OVERDRAW_SHARE_PERCENT,
    REFUSES_MA,
    REFUSES_PERCENT,
    REFUSES_S,
    SECOND_PATH_S,
)
from controller.core.records import Ledger, Obedience
from interfaces.domain.image import Image, Pilot
from interfaces.domain.measured import busiest_ma
from interfaces.domain.topology import AssetKind, Topology
from interfaces.domain.units import MISSING, Bools, Floats


def advance_obedience(
    state: Obedience, image: Image, topology: Topology, ledger: Ledger, *, began: Bools, now_s: float
) -> Obedience:
    """Next judgement; needs two fresh readings above the offer, so that one bad reading pauses nobody."""
    fresh = image.asset_sample_s > state.seen_s
    drawn = busiest_ma(image)
    believed = np.maximum(np.maximum(ledger.offer_ma, ledger.pending_ma.max(axis=1)), 0)
    allowed = believed * (100 + OVERDRAW_SHARE_PERCENT) // 100 + OVERDRAW_MA
    # Without its service a remote asset does what it is set to: that is its exposure, and no disobedience.
    alone = topology.remote & ~np.isposinf(ledger.lost_s)
    over = topology.is_evse & ~alone & (drawn > allowed)
    over_no = np.where(fresh, np.where(over, state.over_no + 1, 0), state.over_no)
    over_s = np.where(over_no == 0, np.inf, np.minimum(state.over_s, now_s))
    caught = over_no >= 2
    wrong_s = _wrong_since(state, image, topology, ledger, now_s)
    deaf = (now_s - wrong_s >= DEAF_S) & (drawn > np.maximum(ledger.offer_ma, 0) + OVERDRAW_MA)
    paused_until = np.where(caught | deaf, now_s + DISOBEY_HOLD_S, np.where(began, now_s, state.paused_until_s))
    stop = (caught & (now_s - over_s >= SECOND_PATH_S)) | deaf | (state.stop & (paused_until > now_s))
    again = (image.reboots != MISSING) & (state.reboots != MISSING) & (image.reboots > state.reboots)
    return Obedience(
        over_no=over_no,
        over_s=over_s,
        paused_until_s=paused_until,
        stop=stop,
        wrong_s=wrong_s,
        seen_s=np.maximum(state.seen_s, image.asset_sample_s),
        reboot_s=np.where(again, now_s, state.reboot_s),
        reboots=np.where(image.reboots == MISSING, state.reboots, image.reboots),
        refuses_s=_refuses_since(state, image, topology, ledger, now_s),
    )


def _refuses_since(state: Obedience, image: Image, topology: Topology, ledger: Ledger, now_s: float) -> Floats:
    """(N,) since when a battery's measured current is far from the commanded one, charging or discharging.

    Only readings after our last change tell; the time goes on over changes as long as no reading is near. A battery
    that is almost full or empty, or does not answer, is not judged.
    """
    battery = topology.kind == int(AssetKind.BATTERY)
    if not battery.any():
        return state.refuses_s
    offer, soc, count = ledger.offer_ma, image.soc_permille, np.maximum(topology.conductors, 1)
    drawn = np.where(image.asset_ma == MISSING, 0, image.asset_ma).sum(axis=1) // count
    known = (image.asset_ma != MISSING).any(axis=1)
    far = np.abs(drawn - offer) > np.maximum(REFUSES_MA, np.abs(offer) * REFUSES_PERCENT // 100)
    tapers = (offer > 0) & (soc >= NEARLY_FULL_PERMILLE)
    tapers |= (offer < 0) & (soc != MISSING) & (soc <= NEARLY_EMPTY_PERMILLE)
    excused = ~battery | tapers | ~np.isposinf(ledger.lost_s) | image.declared_off
    judged = known & (image.asset_sample_s > np.maximum(state.seen_s, ledger.change_s))
    since = np.where(far, np.minimum(state.refuses_s, now_s), np.inf)
    return np.where(excused, np.inf, np.where(judged, since, state.refuses_s))


def _wrong_since(state: Obedience, image: Image, topology: Topology, ledger: Ledger, now_s: float) -> Floats:
    """(N,) since when the charger shows a higher limit than commanded; only a read-back after our last change tells."""
    judged = (image.offered_ma != MISSING) & (image.readback_s > ledger.change_s)
    higher = topology.is_evse & judged & (image.offered_ma > ledger.offer_ma + topology.step_ma)
    since: Floats = np.where(higher, np.minimum(state.wrong_s, now_s), np.where(judged, np.inf, state.wrong_s))
    return since


def disobeying(state: Obedience, now_s: float) -> Bools:
    """(N,) paused for drawing more than offered."""
    return state.paused_until_s > now_s


def not_applied(state: Obedience, now_s: float) -> Bools:
    """(N,) the charger has shown a higher limit than commanded for 5 s."""
    late: Bools = now_s - state.wrong_s >= NOT_APPLIED_S
    return late


def refusing(state: Obedience, now_s: float) -> Bools:
    """(N,) a battery has not followed its setpoint for 20 s."""
    late: Bools = now_s - state.refuses_s >= REFUSES_S
    return late


def welded(state: Obedience, image: Image) -> Bools:
    """(N,) current flows although no car is connected or charging."""
    idle = (image.pilot == int(Pilot.A)) | (image.pilot == int(Pilot.B1))
    flows: Bools = idle & (state.over_no >= 2)
    return flows
