"""The site of the I/O bench as a site file: one grid meter, any number of one-phase chargers, each at its own address.

One conductor per car keeps the three phases apart, so that an overload of one can be watched while the cars of another
still obey the one before.
"""

from __future__ import annotations

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
GRID: Final[str] = "gcp"
METER: Final[str] = "grid-meter"
PHASES: Final[tuple[str, str, str]] = ("L1", "L2", "L3")


def charger_ids(assets: int) -> tuple[str, ...]:
    """Ids of the chargers; number k sits on phase k mod 3."""
    return tuple(f"car-{k:03d}" for k in range(assets))


def cars_on(assets: int, phase: int) -> int:
    """How many cars one phase carries."""
    return len(range(phase, assets, len(PHASES)))


def limit_a(assets: int, phase: int) -> float:
    """What the controller allows one phase: all cars at full current, the background, and room."""
    return cars_on(assets, phase) * (CAR_A + ROOM_A) + BACKGROUND_A + MARGIN_A


def lot_text(assets: int) -> str:
    """A site file whose connection carries all its cars at full current, and little more."""
    rated_a = [limit_a(assets, phase) + MARGIN_A for phase in range(len(PHASES))]
    site: dict[str, Any] = {
        "version": 1,
        "site": {"id": "bench-lot", "time_zone": "UTC", "period_ms": 200},
        "circuits": [
            {
                "id": GRID,
                "rated_a": rated_a,
                "margin_a": [MARGIN_A] * 3,
                "protection": {"kind": "gG", "rated_a": max(rated_a)},
                "meter": METER,
                "background_max_a": [BACKGROUND_A] * 3,
            }
        ],
        "meters": [{"id": METER, "profile": "cg_em24_e1", "modbus": {"host": "10.0.0.1"}}],
        "chargers": [_charger(k, name) for k, name in enumerate(charger_ids(assets))],
    }
    return yaml.safe_dump(site, sort_keys=False)


def _charger(k: int, name: str) -> dict[str, Any]:
    return {
        "id": name,
        "profile": PROFILES[k // len(PHASES) % len(PROFILES)],
        "modbus": {"host": f"10.0.{1 + k // 200}.{1 + k % 200}"},
        "circuit": GRID,
        "evses": [{"id": name, "max_current_a": [CAR_A], "phases": [PHASES[k % len(PHASES)]]}],
        "failsafe": {"current_a": 0, "timeout_s": 60},
    }
