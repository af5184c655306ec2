"""How the way to the cloud is, for health and metrics: pure views."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from controller.service.spool import SpoolState
from interfaces.drivers.mqtt import Condition, LinkState

PATIENCE_S: Final = 60.0
"""A line that breaks and comes back within a minute is nobody's business."""
NOTHING: Final = SpoolState()
NOT_TRIED: Final = LinkState(connected=False, condition=Condition.CONNECTING, reason="not tried yet")
_BREAKS: Final = frozenset({Condition.CONNECTING, Condition.UNREACHABLE, Condition.LOST, Condition.HUNG_UP})
"""What may pass by itself. Of everything else somebody has to know at once."""


@dataclass(frozen=True, slots=True)
class UplinkState:
    """``since_s``: monotonic time of the last change between connected and not. ``confirmed``: the cloud says that it
    stores what it gets. ``denied``: kinds of messages that the broker's rules refuse, and its word. ``sent``: messages
    the broker took. ``dropped``: messages of the broker that nobody read in time.
    """

    link: LinkState = NOT_TRIED
    since_s: float = float("inf")
    session: int = 0
    confirmed: bool = True
    denied: Mapping[str, str] = field(default_factory=dict)
    sent: int = 0
    dropped: int = 0
    events: SpoolState = NOTHING
    telemetry: SpoolState = NOTHING

    @property
    def waiting(self) -> int:
        """Messages that are stored here and not there."""
        return self.events.waiting + self.telemetry.waiting

    @property
    def lost(self) -> dict[str, int]:
        """Messages that will never arrive, by cause."""
        found: dict[str, int] = {}
        for spool in (self.events, self.telemetry):
            for cause, count in (spool.lost or {}).items():
                found[cause] = found.get(cause, 0) + count
        return found


def uplink_problems(state: UplinkState | None, now_s: float) -> dict[str, str]:
    """Condition -> sentence; nothing where no broker is configured."""
    if state is None:
        return {}
    found: dict[str, str] = {}
    link = state.link
    passing = link.condition in _BREAKS and now_s - state.since_s < PATIENCE_S
    if (not link.connected or link.condition is Condition.CONTESTED) and not passing:
        found["cloud"] = f"the cloud is not reached, the site runs by its own rules: {link.reason}"
    for kind, word in state.denied.items():
        found[f"cloud.denied.{kind}"] = f"the broker refuses messages of the kind '{kind}': {word}; check its rules"
    if link.connected and link.denied:
        found["cloud.deaf"] = f"{link.reason}: no plan can arrive; check its rules"
    if link.connected and not state.confirmed:
        found["cloud.unconfirmed"] = "the cloud does not confirm that it stores what it is sent; it is kept here"
    for name, spool in (("events", state.events), ("telemetry", state.telemetry)):
        if spool.problem:
            found[f"spool.{name}"] = spool.problem
    return found


def uplink_notes(state: UplinkState | None) -> dict[str, str]:
    """Nobody has to come for these."""
    lost = {} if state is None else state.lost
    causes = ", ".join(f"{count} by {cause}" for cause, count in sorted(lost.items()))
    return {"cloud.lost": f"messages for the cloud that were lost: {causes}"} if causes else {}


def uplink_view(state: UplinkState | None) -> dict[str, Any] | None:
    """For the health endpoint; None where no broker is configured."""
    if state is None:
        return None
    return {
        "connected": state.link.connected,
        "condition": str(state.link.condition),
        "reason": state.link.reason,
        "session": state.session,
        "confirmed": state.confirmed,
        "denied": dict(state.denied),
        "sent": state.sent,
        "waiting": state.waiting,
        "oldest_epoch_s": min(
            (one.oldest_epoch_s for one in (state.events, state.telemetry) if one.oldest_epoch_s is not None),
            default=None,
        ),
        "stored_bytes": state.events.bytes + state.telemetry.bytes,
        "lost": state.lost,
    }
