"""What happens on the demo's sites, minute by minute: cars, motors, clouds, a silent meter. Pure data.

A beat's deeds are messages for the virtual site (``simulations.devices.control``). A story begins again after its last
second, so that a demo may run as long as somebody watches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from simulations.plant.building import INRUSH

Deed = Mapping[str, Any]
Three = tuple[float, float, float]
VAN_EVERY_S: Final[float] = 0.8
VANS: Final[int] = 60
VANS_LEAVING: Final[int] = 20


@dataclass(frozen=True, slots=True)
class Beat:
    """At ``at_s`` seconds after the first scan: what a person is told (empty: nothing), and what is done."""

    at_s: float
    says: str
    deeds: tuple[Deed, ...] = ()


@dataclass(frozen=True, slots=True)
class Story:
    """Beats in order of time; all over again every ``period_s``."""

    beats: tuple[Beat, ...]
    period_s: float

    def due(self, before_s: float, now_s: float) -> Iterator[Beat]:
        """The beats in (before_s, now_s]. ``before_s`` negative at the first call."""
        first = max(0, int(before_s // self.period_s))
        for turn in range(first, int(now_s // self.period_s) + 1):
            for beat in self.beats:
                if before_s < beat.at_s + turn * self.period_s <= now_s:
                    yield beat


def motor(circuit: str, running_a: Three, at_s: float, for_s: float, says: str) -> tuple[Beat, ...]:
    """A motor started direct on line: six times its running current for a second, twice until it turns."""
    begins = (0.0, *(until_s for until_s, _ in INRUSH))
    factors = (*(factor for _, factor in INRUSH), 1.0)
    beats = [
        Beat(at_s + begin_s, says if k == 0 else "", (_background(circuit, running_a, factor),))
        for k, (begin_s, factor) in enumerate(zip(begins, factors, strict=True))
    ]
    return (*beats, Beat(at_s + for_s, "The motor stops", (_background(circuit, running_a, 0.0),)))


def _background(circuit: str, amps: Three, factor: float) -> Deed:
    return {"do": "background", "circuit": circuit, "amps": [factor * a for a in amps]}


def _car(asset: str, *, phases: int, max_a: float, energy_kwh: float) -> Deed:
    return {"do": "plug_in", "asset": asset, "phases": phases, "max_a": max_a, "energy_wh": energy_kwh * 1000.0}


def garage() -> Story:
    """Two places behind 60 A, of which the building may take 40 A."""
    lift_a = (3.0, 3.0, 3.0)
    beats = (
        Beat(0.5, "A car comes to place-2: three phases, 16 A", (_car("place-2", phases=3, max_a=16, energy_kwh=30),)),
        Beat(3.0, "A second one comes to place-1", (_car("place-1", phases=3, max_a=16, energy_kwh=20),)),
        Beat(5.0, "The meter is known for less than a minute: the building counts with its declared worst case, 40 A"),
        *motor("gcp", lift_a, 14.0, 20.0, "The lift starts: six times its running current for a second"),
        *motor("gcp", lift_a, 105.0, 25.0, "The lift again, now beside two charging cars: it may come back any minute"),
        Beat(185.0, "The cable of the main meter breaks", ({"do": "fault", "device": "m-main", "kind": "silent"},)),
        Beat(205.0, "The cable is mended; the meter is believed after a minute of good readings",
             ({"do": "fault", "device": "m-main", "kind": "clear"},)),
        Beat(300.0, "The car at place-2 leaves", ({"do": "plug_out", "asset": "place-2"},)),
        Beat(315.0, "Another comes to place-2: one phase, 32 A",
             (_car("place-2", phases=1, max_a=32, energy_kwh=25),)),
        Beat(370.0, "Both leave",
             ({"do": "plug_out", "asset": "place-1"}, {"do": "plug_out", "asset": "place-2"})),
    )  # fmt: skip
    return Story(beats, 380.0)


def depot(evses: tuple[str, ...], seed: int) -> Story:
    """Vans return to 96 sockets and four fast chargers; ``evses`` in any order, those in the yard are fast ones."""
    rng = np.random.default_rng(np.random.SeedSequence((seed, 3)))
    chosen = [evses[k] for k in rng.permutation(len(evses))[:VANS]]
    vans = [
        Beat(
            0.5 + VAN_EVERY_S * k,
            f"{VANS} vans return, one after the other" if k == 0 else "",
            (_van(name, rng),),
        )
        for k, name in enumerate(chosen)
    ]
    leaving = tuple({"do": "plug_out", "asset": name} for name in chosen[:VANS_LEAVING])
    charger, meter = "s1a1-3", "m-hall-s"
    beats = (
        *vans,
        Beat(5.0, "The meters are known for less than a minute: the building counts with its declared worst case"),
        *motor("hall-n", (8.0, 8.0, 8.0), 12.0, 22.0, "A compressor starts in the north hall"),
        Beat(60.0, "A thick cloud comes over the roof", ({"do": "world", "pv": 0.15},)),
        *motor("gcp", (12.0, 12.0, 12.0), 75.0, 25.0, "The goods lift of the offices starts"),
        Beat(110.0, f"{charger} loses its network", ({"do": "fault", "device": charger, "kind": "refuse"},)),
        Beat(125.0, "The meter of the south hall falls silent", ({"do": "fault", "device": meter, "kind": "silent"},)),
        Beat(145.0, "Meter and charger are back, the sun as well",
             ({"do": "fault", "device": meter, "kind": "clear"}, {"do": "fault", "device": charger, "kind": "clear"},
              {"do": "world", "pv": 1.0})),
        Beat(230.0, f"{VANS_LEAVING} vans leave on their rounds", leaving),
    )  # fmt: skip
    return Story(tuple(sorted(beats, key=lambda beat: beat.at_s)), 260.0)


def _van(asset: str, rng: np.random.Generator) -> Deed:
    if asset.startswith("yard"):
        return _car(asset, phases=3, max_a=150.0, energy_kwh=float(rng.uniform(30, 80)))
    phases = int(rng.choice([1, 3], p=[0.25, 0.75]))
    return _car(asset, phases=phases, max_a=32.0 if phases == 1 else 16.0, energy_kwh=float(rng.uniform(10, 50)))
