"""Can a charger behind its maker's service be kept safe where it stands.

It obeys in minutes and its own figures are late. So a meter measures it every second, and nothing else, and what it may
use without internet is fixed in the maker's portal.
"""

from __future__ import annotations

from typing import Final

from interfaces.domain.site_draft import Draft
from interfaces.domain.site_types import ChargerEntry, CircuitEntry
from interfaces.domain.site_yaml import Path
from interfaces.domain.units import MILLI

EPSILON_A: Final[float] = 1e-6
LATE_METER_S: Final[float] = 1.0
"""A charger that obeys late must at least be seen in time."""


def check_clouds(draft: Draft) -> None:
    """Limits and surroundings of every charger behind a maker's service."""
    for index, charger in enumerate(draft.site.chargers):
        if charger.cloud is not None:
            path = draft.path("chargers", index)
            _limit(draft, path, charger, charger.cloud.installation_limit_a)
            if charger.managed and not draft.damaged(path, "managed", "circuit"):
                _own_circuit(draft, path, charger)


def _limit(draft: Draft, path: Path, charger: ChargerEntry, limit_a: float) -> None:
    plate_a = min(min(evse.max_current_a) for evse in charger.evses)
    if limit_a > plate_a + EPSILON_A:
        draft.say(
            (*path, "cloud", "installation_limit_a"),
            f"'{charger.id}': an installation limit of {limit_a:g} A is above its max_current_a of {plate_a:g} A: "
            f"write what its chargers can take together as max_current_a",
        )
    for key, value in (
        ("failsafe", charger.failsafe),
        ("accept_unverified_failsafe", charger.accept_unverified_failsafe),
    ):
        if value is not None:
            draft.say(
                (*path, key),
                f"'{charger.id}' is driven through its maker's service and has no such setting: remove '{key}', its "
                f"installation limit counts whenever the internet is gone",
            )


def _own_circuit(draft: Draft, path: Path, charger: ChargerEntry) -> None:
    """Its circuit is its own and is measured: the maker's figures are too late to be taken off another meter's."""
    circuit = next((one for one in draft.site.circuits if one.id == charger.circuit), None)
    if circuit is None:
        return  # said elsewhere
    shared = _who_else(draft, charger, circuit)
    advice = f"give '{charger.id}' a circuit and a meter of its own, or say managed: false"
    where = (*path, "circuit")
    if circuit.parent is None:
        draft.say(
            where, f"'{charger.id}' is on the grid connection point '{circuit.id}', which feeds all else: {advice}"
        )
    elif shared:
        draft.say(where, f"'{charger.id}' shares circuit '{circuit.id}' with {', '.join(shared)}: {advice}")
    elif circuit.meter is None:
        draft.say(
            where,
            f"no meter measures circuit '{circuit.id}', and what the maker's service tells of '{charger.id}' comes too "
            f"late to protect anything: {advice}",
        )
    elif _period_s(draft, circuit.meter) > LATE_METER_S:
        draft.say(
            where,
            f"the meter '{circuit.meter}' of '{charger.id}' is read every {_period_s(draft, circuit.meter):g} s: "
            f"it must be read every second",
        )
    elif circuit.background_max_a is not None and max(circuit.background_max_a) > EPSILON_A:
        draft.say(
            where,
            f"circuit '{circuit.id}' has a background_max_a, but its meter stands for '{charger.id}' alone: write "
            f"[0, 0, 0], or {advice}",
        )


def _who_else(draft: Draft, charger: ChargerEntry, circuit: CircuitEntry) -> list[str]:
    """Other devices on the circuit, and circuits below it."""
    devices = (entry for _, _, entry in draft.devices() if getattr(entry, "circuit", None) == circuit.id)
    below = (f"circuit {one.id}" for one in draft.site.circuits if one.parent == circuit.id)
    return [*(entry.id for entry in devices if entry.id != charger.id), *below]


def _period_s(draft: Draft, name: str) -> float:
    meter = next((one for one in draft.site.meters if one.id == name), None)
    if meter is None:
        return 0.0  # said elsewhere
    facts = draft.facts.get(meter.profile)
    own_s = 0.0 if facts is None else facts.poll_s
    return own_s if meter.period_ms is None else meter.period_ms / MILLI
