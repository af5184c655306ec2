"""What one scan orders: a setpoint per asset, each with its reason, all under one lease."""

from __future__ import annotations

from dataclasses import dataclass

from interfaces.domain.units import Bools, Floats, Ints


@dataclass(frozen=True, slots=True)
class Commands:
    """Outputs of one scan, N asset columns.

    ``setpoint_ma`` (N,): 0 is pause; negative discharges or, for PV, allows feeding in up to that current. ``stop``
    (N,): second path (disable register, contactor). ``phases`` (N,): 0 leave as it is, 1 or 3. ``wish_ma`` (N,): what
    plan or fallback would have liked. ``reason`` (N,) code of ``Reason``; ``binding`` (N,) index circuit x 4 + row of
    the row that binds, -1 none. ``fast_poll`` (N,): measure at the settle rate. ``valid_until_s``: the lease; after it
    nobody may write these values. ``failsafe``: these are failsafe outputs. ``guard_ok``: the guard passed.
    """

    setpoint_ma: Ints
    stop: Bools
    phases: Ints
    wish_ma: Ints
    reason: Ints
    binding: Ints
    fast_poll: Bools
    valid_until_s: float
    failsafe: bool
    guard_ok: bool


@dataclass(frozen=True, slots=True)
class Alarm:
    """A condition a person must know. ``asset``/``circuit``: column or line index, -1 when it is not about one.

    ``phase``: 0 to 2 for L1 to L3, -1 when it is not about one.
    """

    code: int
    asset: int = -1
    circuit: int = -1
    phase: int = -1


@dataclass(frozen=True, slots=True)
class Report:
    """What a scan tells besides commands: budgets, background, exposure, protection, alarms (for people and cloud).

    ``budget_ma``, ``background_ma``, ``exposure_ma`` (C, 3) mA; ``budget_mw`` (C,); ``theta_ppm`` (C, 3)
    protection accumulator in parts per million of tripping; ``asset_exposure_ma`` (N,); ``phase_use`` (N, 3).
    """

    budget_ma: Ints
    budget_mw: Ints
    background_ma: Ints
    exposure_ma: Ints
    theta_ppm: Ints
    asset_exposure_ma: Ints
    phase_use: Ints
    session_s: Floats
    energy_wh: Ints
    mode: str
    alarms: tuple[Alarm, ...]
