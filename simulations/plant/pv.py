"""Sun, clouds and inverters. Feeding in is negative current."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interfaces.domain.topology import AssetKind, Topology
from interfaces.domain.units import MILLI, SECONDS_PER_DAY, SECONDS_PER_HOUR, Floats


@dataclass(frozen=True, slots=True)
class Sky:
    """Weather of a run: hours of the day, mean lengths in s; a cloud's edge passes in ``ramp_s`` (least, most)."""

    sunrise_h: float = 6.0
    sunset_h: float = 20.0
    mean_clear_s: float = 600.0
    mean_cloud_s: float = 180.0
    ramp_s: tuple[float, float] = (2.0, 20.0)
    under_cloud: tuple[float, float] = (0.15, 0.6)
    series: tuple[float, Floats] | None = None
    """(step in s, share of nameplate (T,)) from real data; replaces sun and clouds."""


class Sun:
    """Share of nameplate that the sun gives, 0..1, with seeded clouds whose edges are steep."""

    def __init__(self, sky: Sky, rng: np.random.Generator) -> None:
        self._sky = sky
        self._rng = rng
        self._through = 1.0
        self._goal = 1.0
        self._rate = 1.0
        self._next_edge_s = float(rng.exponential(sky.mean_clear_s))
        self.dimmed = 1.0
        """A further factor set from outside: a sudden drop for experiments."""

    def share(self, dt_s: float, now_s: float, day_s: float) -> float:
        """Share of nameplate at ``now_s``; ``day_s``: seconds since midnight."""
        sky = self._sky
        if sky.series is not None:
            step_s, values = sky.series
            return float(values[int(now_s / step_s) % len(values)]) * self.dimmed
        while now_s >= self._next_edge_s:
            self._pass_edge()
        step = self._rate * dt_s
        self._through += min(max(self._goal - self._through, -step), step)
        hour = (day_s % SECONDS_PER_DAY) / SECONDS_PER_HOUR
        height = (hour - sky.sunrise_h) / (sky.sunset_h - sky.sunrise_h)
        clear = float(np.sin(np.pi * height)) if 0.0 < height < 1.0 else 0.0
        return clear * self._through * self.dimmed

    def _pass_edge(self) -> None:
        sky, rng = self._sky, self._rng
        clouding = self._goal >= 1.0
        self._goal = float(rng.uniform(*sky.under_cloud)) if clouding else 1.0
        self._rate = 1.0 / float(rng.uniform(*sky.ramp_s))
        self._next_edge_s += float(rng.exponential(sky.mean_cloud_s if clouding else sky.mean_clear_s))


class Inverters:
    """The PV columns of a site: feed in what the sun gives up to a commanded limit."""

    def __init__(self, topology: Topology) -> None:
        self.columns = np.flatnonzero(np.asarray(topology.kind) == int(AssetKind.PV))
        exports = np.maximum(topology.max_export_ma, topology.max_ma)[self.columns]
        self.nameplate_a: Floats = exports / MILLI
        self.feeds_a: Floats = np.zeros(len(self.columns))

    def advance(self, share: float, limit_a: Floats, heard: Floats) -> Floats:
        """Signed current per conductor (P,) A; ``limit_a`` (P,) signed setpoints hold while ``heard`` is 1."""
        allowed = np.where(heard > 0.0, np.maximum(-limit_a, 0.0), self.nameplate_a)
        self.feeds_a = -np.minimum(self.nameplate_a * share, allowed)
        return self.feeds_a
