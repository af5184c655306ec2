"""A fleet's schedule: which vehicle leaves when, and how far it must come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

WantedUnit: TypeAlias = Literal["km", "pct", "kwh"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Autonomy at departure: a range in km, a state of charge in % of the battery, or energy to add in kWh."""

    amount: float
    unit: WantedUnit


@dataclass(frozen=True, slots=True)
class Trip:
    """One departure. At least one of ``vehicle``, ``tag`` (RFID) and ``evse`` names whose it is; ``wanted`` None: the
    vehicle's own default. ``where``: the line or event it came from, for people.
    """

    vehicle: str | None
    tag: str | None
    evse: str | None
    departure_epoch_s: float
    arrival_epoch_s: float | None
    wanted: Wanted | None
    where: str


@dataclass(frozen=True, slots=True)
class RowProblem:
    """Why one line or event of a schedule was left out."""

    where: str
    message: str


@dataclass(frozen=True, slots=True)
class Schedule:
    """What a file held: trips by departure, and every line that was left out with its reason."""

    trips: tuple[Trip, ...]
    problems: tuple[RowProblem, ...]
