"""What Zaptec's service answers, read strictly: pure. A body that is not what was asked for is a reason, never a value.

Source: the maker's public API description (api.zaptec.com/swagger) and its constants (api.zaptec.com/api/constants):
StateId -2 IsOnline, 507 to 509 CurrentPhase1 to 3, 523 ChargerOfflineCurrent, 708 ChargeCurrentSet, 710
ChargerOperationMode.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from interfaces.drivers.profile import PilotName, Status

MOST: Final = 1e7
"""Above every current in A and every token lifetime in s that means anything."""
MOST_CHARGERS: Final = 200
"""Far above an installation that one account could ask about within a polling period."""
IS_ONLINE, OFFLINE_CURRENT, CURRENT_SET, MODE = -2, 523, 708, 710
CHARGING: Final = 3
MODES: Final[Mapping[int, tuple[PilotName, Status]]] = {
    1: ("A", "free"), 2: ("B2", "occupied"), 3: ("C2", "charging"), 5: ("B2", "occupied"), 6: ("B2", "occupied"),
}  # fmt: skip
"""ChargerOperationMode: disconnected, requesting, charging, finished, requesting but limited. 0 is unknown."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why a body is no answer."""

    reason: str


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token and how long it is good."""

    text: str
    lifetime_s: float


@dataclass(frozen=True, slots=True)
class Installation:
    """``max_a``: what the installation may use at most; ``available_a``: the highest of what its phases may use now."""

    max_a: float
    available_a: float


@dataclass(frozen=True, slots=True)
class ChargerSeen:
    """One charger. ``mode`` is None where it is unknown; ``set_a`` what it was allotted; ``offline_a`` what it may use
    without internet; both None where it does not tell.
    """

    online: bool
    mode: int | None
    set_a: float | None
    offline_a: float | None


def token_of(body: bytes) -> Token | Unreadable:
    """The token in an answer of ``/oauth/token``."""
    found = _mapping(body)
    if isinstance(found, Unreadable):
        return found
    text, lifetime_s = found.get("access_token"), _number(found.get("expires_in"))
    if not isinstance(text, str) or not text.isascii() or not text.isprintable() or not text:
        return Unreadable("no access token")
    return Unreadable("no token lifetime") if lifetime_s is None or lifetime_s <= 0 else Token(text, lifetime_s)


def installation_of(body: bytes, installation_id: str) -> Installation | Unreadable:
    """The limits in an answer of ``/api/installation/{id}``; the highest of what its phases may use counts."""
    found = _mapping(body)
    if isinstance(found, Unreadable):
        return found
    if str(found.get("Id", "")).lower() != installation_id.lower():
        return Unreadable("another installation than was asked for")
    most = _number(found.get("MaxCurrent"))
    phases = [_number(found.get(f"AvailableCurrentPhase{n}")) for n in (1, 2, 3)]
    known = [one for one in (_number(found.get("AvailableCurrent")), *phases) if one is not None]
    if most is None or not known:
        return Unreadable("no MaxCurrent or AvailableCurrent")
    return Installation(most, max(known))


def chargers_of(body: bytes) -> tuple[str, ...] | Unreadable:
    """Ids of all chargers in an answer of ``/api/installation/{id}/hierarchy``, in its order."""
    found = _mapping(body)
    if isinstance(found, Unreadable):
        return found
    circuits = found.get("Circuits")
    if not isinstance(circuits, list) or not all(isinstance(one, dict) for one in circuits):
        return Unreadable("no list of circuits")
    chargers = [charger for one in circuits for charger in (one.get("Chargers") or ())]
    ids = [one.get("Id") if isinstance(one, dict) else None for one in chargers]
    texts = tuple(one for one in ids if isinstance(one, str) and one.replace("-", "").isalnum() and one.isascii())
    if len(texts) != len(ids):
        return Unreadable("a charger without id")
    return texts if 0 < len(texts) <= MOST_CHARGERS else Unreadable(f"{len(texts)} chargers")


def seen_of(body: bytes) -> ChargerSeen | Unreadable:
    """A charger's state in an answer of ``/api/chargers/{id}/state``. What it does not say is not known."""
    rows = _json(body)
    if isinstance(rows, Unreadable):
        return rows
    if not isinstance(rows, list):
        return Unreadable("no list of states")
    told: dict[int, str] = {}
    for row in rows:
        number = row.get("StateId") if isinstance(row, dict) else None
        if not isinstance(number, int) or isinstance(number, bool):
            return Unreadable("a state without StateId")
        value = row.get("ValueAsString")
        if isinstance(value, str):
            told[number] = value
    mode = _number(told.get(MODE))
    known = None if mode is None or mode not in MODES else int(mode)
    online = told.get(IS_ONLINE, "").lower() in ("1", "true")
    return ChargerSeen(online, known, _number(told.get(CURRENT_SET)), _number(told.get(OFFLINE_CURRENT)))


def _mapping(body: bytes) -> dict[str, Any] | Unreadable:
    found = _json(body)
    return found if isinstance(found, dict | Unreadable) else Unreadable("no JSON object")


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return Unreadable("no JSON")


def _number(value: Any) -> float | None:
    """A finite number that can be a current or a lifetime, from a number or its text; None for everything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and 0 <= number <= MOST else None
