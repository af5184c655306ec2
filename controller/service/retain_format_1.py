"""The retain memory as its first format holds it, so that an update of the program forgets no limit in force.

The class has the name of its successor because the bytes carry it. Nothing writes this format any more.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Retained:
    """Fields and meanings as in ``controller.core.state.Retained``, without the sessions."""

    topology_version: str
    epoch_s: float
    assets: tuple[str, ...]
    offers_ma: tuple[int, ...]
    limit_pauses: tuple[int, ...]
    off_for_s: tuple[float, ...]
    circuits: tuple[str, ...]
    theta: tuple[tuple[int, int, int], ...]
    fire_latched: bool
    operator_limit_mw: int
    plan_sequence: int
