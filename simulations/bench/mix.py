"""The site of the mixed I/O bench: every profile that speaks Modbus TCP in turn, each asset at an address of its own.

The chargers are those of the lot, one conductor each; what else there is takes or gives so little that it does not
blur an overload of one phase. Meters watch a feeder each, so that the scan works with their readings; one-phase meters
and I/O modules are only watched, as a site file has devices without a part in any decision.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import yaml

from interfaces.drivers.p1_reading import P1_PROFILES
from interfaces.drivers.profile import Profile
from interfaces.drivers.profile_load import find_profile, profile_ids
from simulations.bench.lot import (
    BACKGROUND_A,
    CAR_A,
    FAILSAFE,
    GRID,
    PHASES,
    Lot,
    charger_entry,
    grid_entries,
    limit_of,
)

KINDS: Final[tuple[str, ...]] = ("charger", "meter", "battery", "inverter", "io")
FEEDER_A: Final[float] = 3.0
"""The most a feeder with a meter of its own takes per phase: enough that its readings move by more than a digit."""
MODULE_A: Final[float] = 1.0
"""What an I/O module may take, and does not."""
SMALL_W: Final[float] = 100.0
"""Rating of a battery or an inverter: 0.15 A per phase."""
SMALL_KWH: Final[float] = 10.0


def mix_lot(assets: int) -> Lot:
    """A site of ``assets`` devices besides the grid meter."""
    chosen = in_turn(assets)
    sections: dict[str, list[dict[str, Any]]] = {
        name: [] for name in ("meters", "chargers", "batteries", "pv", "loads")
    }
    for k, profile in enumerate(chosen):
        # The number first: some makes have room for six letters of a serial number, and each needs its own.
        name, host = f"{k:03d}-{profile.kind}", f"10.0.{1 + k // 200}.{1 + k % 200}"
        head = {"id": name, "profile": profile.id, "modbus": {"host": host}}
        section, entry = _entry(head, profile, PHASES[len(sections["chargers"]) % len(PHASES)])
        sections[section].append(entry)
    chargers = tuple(str(entry["id"]) for entry in sections["chargers"])
    feeders = [_feeder(str(entry["id"])) for entry in sections["meters"] if "monitors" not in entry]
    background_a = BACKGROUND_A + FEEDER_A * len(feeders)
    limits_a = tuple(limit_of(len(chargers[phase :: len(PHASES)]), background_a) for phase in range(len(PHASES)))
    site = grid_entries(limits_a, background_a)
    site["circuits"] += feeders
    site["meters"] += sections.pop("meters")
    counts = Counter(profile.id for profile in chosen)
    text = yaml.safe_dump({**site, **sections}, sort_keys=False)
    return Lot(text, chargers, limits_a, dict(sorted(counts.items())), left_out(frozenset(counts)))


def in_turn(assets: int) -> tuple[Profile, ...]:
    """That many profiles: all of them in turn, the kinds spread evenly, so that a small site has some of each."""
    order = _order(mixable())
    return tuple(order[k % len(order)] for k in range(assets))


def mixable() -> tuple[Profile, ...]:
    """Every shipped profile that answers Modbus TCP."""
    found = (find_profile(name) for name in profile_ids())
    return tuple(profile for profile in found if profile is not None and _why_not(profile) is None)


def left_out(used: frozenset[str]) -> dict[str, str]:
    """Profile -> why no asset of it is on the site."""
    found: dict[str, str] = dict.fromkeys(P1_PROFILES, "P1 port: telegrams, no Modbus")
    for name in profile_ids():
        profile = find_profile(name)
        if profile is None or name in used:
            continue
        found[name] = _why_not(profile) or "its turn did not come: fewer assets than profiles"
    return found


def _why_not(profile: Profile) -> str | None:
    if profile.kind not in KINDS:
        return f"a {profile.kind} has no place in a site file"
    if profile.tcp is None:
        return "no Modbus TCP" if profile.rtu is None else "Modbus RTU only"
    return None


def _order(profiles: Sequence[Profile]) -> tuple[Profile, ...]:
    """Each kind spread evenly over the whole."""
    places: list[tuple[float, int, Profile]] = []
    for rank, kind in enumerate(KINDS):
        mine = [profile for profile in profiles if profile.kind == kind]
        places += [((k + 0.5) / len(mine), rank, profile) for k, profile in enumerate(mine)]
    return tuple(profile for _, _, profile in sorted(places, key=lambda place: place[:2]))


def _feeder(meter: str) -> dict[str, Any]:
    return {
        "id": f"feeder-{meter}",
        "parent": GRID,
        "rated_a": [CAR_A] * 3,
        "meter": meter,
        "background_max_a": [FEEDER_A] * 3,
    }


def _entry(head: Mapping[str, Any], profile: Profile, phase: str) -> tuple[str, dict[str, Any]]:
    """Section and entry of a device; ``phase``: of a charger. What can be commanded is."""
    managed = {**head, "circuit": GRID, "managed": profile.power_setpoint is not None}
    if profile.kind == "charger":
        return "chargers", charger_entry(head, phase)
    if profile.kind == "meter":
        return "meters", dict(head) if "current_l3_a" in profile.roles else {**head, "monitors": GRID}
    if profile.kind == "battery":
        size = {"max_charge_w": SMALL_W, "max_discharge_w": SMALL_W, "capacity_kwh": SMALL_KWH}
        return "batteries", {**managed, **size, **({"failsafe": dict(FAILSAFE)} if managed["managed"] else {})}
    if profile.kind == "inverter":
        return "pv", {**managed, "rated_w": SMALL_W}
    return "loads", {**managed, "managed": False, "max_current_a": MODULE_A, "phases": [PHASES[0]]}
