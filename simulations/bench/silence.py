"""What one silent device costs the others: the age of their readings with it and without it, in their own periods.

Ages are taken at regular instants, as a scan would find them: the time since the device was last asked for its fastest
values, over the period its profile gives those. 1 is a reading exactly one period old.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from interfaces.domain.units import Floats
from simulations.bench.figures import percentile
from simulations.demo.stage import Stage

LOOK_EVERY_S: Final[float] = 0.02
"""A tenth of the fastest period there is."""
Window = tuple[float, float]
"""Monotonic times between which ages are taken."""


@dataclass(frozen=True, slots=True)
class Reads:
    """Device -> period of its fastest values, and when it was asked for them (monotonic, ascending)."""

    period_s: Mapping[str, float]
    at_s: Mapping[str, Sequence[float]]

    @classmethod
    def of(cls, stage: Stage) -> Reads:
        """What the virtual site has noted since this was called first."""
        told = stage.site.tell("reads")
        return cls(told["period_s"], told["at_s"])


def ages(reads: Reads, device: str, window: Window) -> Floats:
    """Ages of one device's readings in its periods, every ``LOOK_EVERY_S``; from its first reading on."""
    times = np.asarray(reads.at_s.get(device, ()), dtype=np.float64)
    looks = np.arange(*window, LOOK_EVERY_S)
    newest = np.searchsorted(times, looks, side="right") - 1
    known = newest >= 0
    found: Floats = (looks[known] - times[newest[known]]) / reads.period_s[device]
    return found


def compared(reads: Reads, silent: str, without: Window, with_one: Window) -> dict[str, Any]:
    """The figures: ages of all but ``silent`` in both windows, and their ratios.

    ``silent_age_ratio`` is that of the device that fared worst, by its mean age; ``silent_age_worst`` names it.
    ``age_periods_worst`` is the highest mean age of a device without it: 0.5 for one polled at its profile's rate.
    """
    others = [device for device in reads.period_s if device != silent]
    before = {device: ages(reads, device, without) for device in others}
    after = {device: ages(reads, device, with_one) for device in others}
    figures: dict[str, Any] = {}
    for percent in (50, 99):
        old, new = (percentile(_pooled(table), percent) for table in (before, after))
        figures |= {
            f"age_periods_p{percent}": old,
            f"age_periods_silent_p{percent}": new,
            f"silent_age_ratio_p{percent}": round(new / old, 3) if old and new is not None else None,
        }
    old_mean, new_mean = (
        {device: float(found.mean()) for device, found in table.items() if found.size} for table in (before, after)
    )
    ratios = {device: round(new_mean[device] / mean, 3) for device, mean in old_mean.items() if device in new_mean}
    figures |= {
        "polls": sum(_count(reads, device, without) for device in others),
        "polls_silent": sum(_count(reads, device, with_one) for device in others),
    }
    worst = max(ratios, key=lambda device: ratios[device], default=None)
    figures["age_periods_worst"] = round(max(old_mean.values()), 3) if old_mean else None
    return {**figures, "silent_age_ratio": None if worst is None else ratios[worst], "silent_age_worst": worst}


def _count(reads: Reads, device: str, window: Window) -> int:
    """How often a device was asked for its fastest values."""
    begin_s, end_s = window
    return sum(begin_s <= at_s < end_s for at_s in reads.at_s.get(device, ()))


def _pooled(table: Mapping[str, Floats]) -> Floats:
    """The ages of all devices, each device counting alike."""
    return np.concatenate(list(table.values())) if table else np.zeros(0)
