"""What people want: departures, energy, priority; and the prices known at the site."""

from __future__ import annotations

from dataclasses import dataclass

from interfaces.domain.units import Floats

MAX_TARGETS = 2000
MAX_PRICES = 2000


@dataclass(frozen=True, slots=True)
class Target:
    """One wish of a driver or fleet for one EVSE's present session.

    ``energy_wh``: energy to add from plug-in until ``departure_epoch_s``. ``deferrable``: may yield to surplus and
    cheap hours. ``tag``: only for the session with this RFID (None: any). ``never_pause``: a car that does not
    wake up again.
    """

    asset: str
    departure_epoch_s: float
    energy_wh: int
    deferrable: bool = True
    never_pause: bool = False
    tag: str | None = None


@dataclass(frozen=True, slots=True)
class Targets:
    """The targets message. ``price_eur_per_kwh`` (T,): t from ``price_start_epoch_s + t * price_step_s``."""

    sequence: int
    issued_epoch_s: float
    targets: tuple[Target, ...]
    price_start_epoch_s: float
    price_step_s: int
    price_eur_per_kwh: Floats
