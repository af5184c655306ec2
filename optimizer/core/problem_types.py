"""Words and ranges that all parts of a planning problem share.

The ranges are borders of plausibility: they stop a slip of the unit (W for kW, EUR/MWh for EUR/kWh) and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import ConfigDict, Field

from interfaces.domain.site_types import ID_PATTERN

STRICT: Final = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

STEP_S: Final[int] = 900
"""A quarter of an hour: the unit of settlement of SDAC prices and of every capacity tariff in use."""
MAX_STEPS: Final[int] = 400
"""What a plan may have at most (``interfaces.domain.plan``); a column of a forecast may be as long."""

Id: TypeAlias = Annotated[str, Field(pattern=ID_PATTERN)]
Text: TypeAlias = Annotated[str, Field(min_length=1, max_length=100)]
Phase: TypeAlias = Literal["L1", "L2", "L3"]
Phases: TypeAlias = Annotated[tuple[Phase, ...], Field(min_length=1, max_length=3)]
Amps: TypeAlias = Annotated[float, Field(ge=0, le=10_000)]
PerPhase: TypeAlias = Annotated[tuple[Amps, Amps, Amps], Field(description="A on L1, L2, L3")]
Kw: TypeAlias = Annotated[float, Field(ge=0, le=100_000)]
Kwh: TypeAlias = Annotated[float, Field(ge=0, le=1_000_000)]
SignedKw: TypeAlias = Annotated[float, Field(ge=-100_000, le=100_000)]
EurPerKwh: TypeAlias = Annotated[float, Field(ge=-10, le=10, description="EUR/kWh, not EUR/MWh")]
Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Efficiency: TypeAlias = Annotated[float, Field(gt=0.2, le=1)]
EpochS: TypeAlias = Annotated[float, Field(ge=0, le=32_503_680_000, description="seconds since 1970 UTC")]
Column: TypeAlias = Annotated[tuple[SignedKw | None, ...], Field(max_length=MAX_STEPS)]
"""One kW value per step; null where nothing is known, which is never 0."""
PriceColumn: TypeAlias = Annotated[tuple[EurPerKwh | None, ...], Field(max_length=MAX_STEPS)]
Day: TypeAlias = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Days: TypeAlias = Annotated[tuple[Day, ...], Field(min_length=1, max_length=7)]
LocalTime: TypeAlias = Annotated[
    str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", description="HH:MM on the site's own clock")
]
DAYS: Final[tuple[Day, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class Block:
    """Hours of a week on the site's own clock, ``begin`` included and ``end`` not; past midnight where it is not later.

    ``days``: the days on which it begins. ``begin`` equal to ``end`` is a whole day.
    """

    __pydantic_config__ = STRICT
    begin: LocalTime
    end: LocalTime
    days: Days = DAYS
