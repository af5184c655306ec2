"""Conditions as events: entered when one begins, left when it has been over for a while. By the monotonic clock."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from typing import Final

from interfaces.domain.command import Alarm
from interfaces.domain.reasons import Reason
from interfaces.domain.topology import Topology

CALM_S: Final = 5.0
"""A condition that flaps is one event, and costs the line at most two messages in so long."""
LONGEST_TEXT: Final = 300
LONGEST_KEY: Final = 80
MOST: Final = 500
"""Conditions told at once; a site that has more has one problem."""


@dataclass(frozen=True, slots=True)
class Place:
    """What a condition is about: the number of its reason (0: none of the registry) and ids, None where it has none."""

    code: int = 0
    asset: str | None = None
    circuit: str | None = None
    phase: int | None = None


@dataclass(frozen=True, slots=True)
class Happening:
    """One condition that began or ended. ``id`` is the same for both."""

    id: str
    entered: bool
    name: str
    text: str
    place: Place = field(default_factory=Place)


@dataclass(slots=True)
class _Open:
    id: str
    name: str
    text: str
    place: Place
    seen_s: float


class Happenings:
    """The conditions that were told as entered and not as left."""

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}

    def update(
        self, present: Mapping[str, str], places: Mapping[str, Place], now_s: float, epoch_s: float
    ) -> list[Happening]:
        """What began and ended since the last look; ``present`` is condition -> sentence."""
        told = []
        for key, text in present.items():
            known = self._open.get(key)
            if known is not None:
                known.seen_s = now_s
            elif len(self._open) < MOST:
                name = key.split(".")[1] if key.startswith("alarm.") else key.split(".")[0]
                place = places.get(key, Place())
                short = text[:LONGEST_TEXT]
                self._open[key] = _Open(f"{key[:LONGEST_KEY]}@{epoch_s:.0f}", name[:LONGEST_KEY], short, place, now_s)
                told.append(_happening(self._open[key], entered=True))
        over = [key for key, known in self._open.items() if key not in present and now_s - known.seen_s >= CALM_S]
        return told + [_happening(self._open.pop(key), entered=False) for key in over]

    def saved(self) -> bytes:
        """What is open, for ``resume`` after a restart."""
        facts = {key: [one.id, one.name, one.text, *astuple(one.place)] for key, one in self._open.items()}
        return json.dumps(facts).encode()

    def resume(self, saved: bytes, now_s: float) -> None:
        """Go on from what was saved: a condition that is over by now is told as left. What is no such thing is passed
        over.
        """
        try:
            for key, (happening_id, name, text, *place) in json.loads(saved).items():
                self._open[str(key)] = _Open(str(happening_id), str(name), str(text), Place(*place), now_s)
        except (ValueError, TypeError, AttributeError):
            return


def _happening(known: _Open, *, entered: bool) -> Happening:
    return Happening(known.id, entered, known.name, known.text, known.place)


def place_of(alarm: Alarm, topology: Topology) -> Place:
    """Where an alarm of a scan is, by the ids of its site."""
    return Place(
        code=int(Reason(alarm.code)),
        asset=topology.assets[alarm.asset].id if alarm.asset >= 0 else None,
        circuit=topology.circuits[alarm.circuit].id if alarm.circuit >= 0 else None,
        phase=alarm.phase + 1 if alarm.phase >= 0 else None,
    )
