"""The site of the I/O bench as a site file: one grid meter, any number of one-phase chargers, each at its own address.

One conductor per car keeps the three phases apart, so that an overload of one can be watched while the cars of another
still obey the one before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

PROFILES: Final[tuple[str, ...]] = ("alfen_eve_ng9xx", "bender_cc61x_ecu", "webasto_live")
"""Makes that are polled every second."""
CAR_A: Final[float] = 16.0
LEAST_A: Final[float] = 6.0
ROOM_A: Final[float] = 2.5
"""Per car. While all cars begin at once the controller takes some of their rise for background; with room for that, no
car is kept short before the measurement, and all are at rest when it begins."""
BACKGROUND_A: Final[float] = 2.0
MARGIN_A: Final[float] = 1.0
FAILSAFE: Final[Mapping[str, int]] = {"current_a": 0, "timeout_s": 60}
GRID: Final[str] = "gcp"
METER: Final[str] = "grid-meter"
PHASES: Final[tuple[str, str, str]] = ("L1", "L2", "L3")


@dataclass(frozen=True, slots=True)
class Lot:
    """A site to measure on: its file, its chargers (number k on phase k mod 3), what the controller allows per phase.

    ``profiles``: how many assets of each, the grid meter not among them; ``left_out``: profile -> why there is none.
    """

    text: str
    chargers: tuple[str, ...]
    limit_a: tuple[float, ...]
    profiles: Mapping[str, int]
    left_out: Mapping[str, str]

    def cars_on(self, phase: int) -> int:
        """How many cars one phase carries."""
        return len(self.chargers[phase :: len(PHASES)])


def charger_ids(assets: int) -> tuple[str, ...]:
    """Ids of the chargers; number k sits on phase k mod 3."""
    return tuple(f"car-{k:03d}" for k in range(assets))


def plain_lot(assets: int) -> Lot:
    """Chargers of three makes whose connection carries all their cars at full current, and little more."""
    ids = charger_ids(assets)
    limits_a = tuple(limit_of(len(ids[phase :: len(PHASES)]), BACKGROUND_A) for phase in range(len(PHASES)))
    profiles = [PROFILES[k // len(PHASES) % len(PROFILES)] for k in range(assets)]
    site = grid_entries(limits_a, BACKGROUND_A)
    site["chargers"] = [
        charger_entry(
            {"id": name, "profile": profiles[k], "modbus": {"host": f"10.0.{1 + k // 200}.{1 + k % 200}"}},
            PHASES[k % len(PHASES)],
        )
        for k, name in enumerate(ids)
    ]
    counts = {name: profiles.count(name) for name in sorted(set(profiles))}
    return Lot(yaml.safe_dump(site, sort_keys=False), ids, limits_a, counts, {})


def limit_of(cars: int, background_a: float) -> float:
    """What the controller allows one phase: all cars at full current, the background, and room."""
    return cars * (CAR_A + ROOM_A) + background_a + MARGIN_A


def grid_entries(limits_a: Sequence[float], background_a: float) -> dict[str, Any]:
    """The beginning of a site file: the grid connection and its meter. ``limits_a`` per phase."""
    rated_a = [limit_a + MARGIN_A for limit_a in limits_a]
    return {
        "version": 1,
        "site": {"id": "bench-lot", "time_zone": "UTC", "period_ms": 200},
        "circuits": [
            {
                "id": GRID,
                "rated_a": rated_a,
                "margin_a": [MARGIN_A] * 3,
                "protection": {"kind": "gG", "rated_a": max(rated_a)},
                "meter": METER,
                "background_max_a": [background_a] * 3,
            }
        ],
        "meters": [{"id": METER, "profile": "cg_em24_e1", "modbus": {"host": "10.0.0.1"}}],
    }


def charger_entry(head: Mapping[str, Any], phase: str) -> dict[str, Any]:
    """A charger with one EVSE of its own name. ``head``: id, profile, address."""
    return {
        **head,
        "circuit": GRID,
        "evses": [{"id": head["id"], "max_current_a": [CAR_A], "phases": [phase]}],
        "failsafe": dict(FAILSAFE),
    }
