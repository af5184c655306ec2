"""What people have ordered of single assets, as columns of the image. None of it raises a limit."""

from __future__ import annotations

from dataclasses import dataclass

from interfaces.domain.units import Bools, Floats, Ints


@dataclass(frozen=True, slots=True)
class Orders:
    """Orders in force, N asset columns. ``limit_ma`` (N,) upper value per conductor, ``MISSING`` where none; ``paused``
    and ``out_of_service`` (N,): 0 A; ``solar`` (N,): charge from surplus only; ``charge_now_s`` (N,) when somebody
    said that the session there waits for nothing (monotonic, ``NEVER_S``: nobody did); it ends with that session.
    """

    limit_ma: Ints
    paused: Bools
    out_of_service: Bools
    solar: Bools
    charge_now_s: Floats
