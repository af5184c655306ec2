"""What energy costs and how much of it the connection may carry: tariff and contract of a site."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from optimizer.core.problem_types import MAX_STEPS, STRICT, Block, EpochS, EurPerKwh, Id, Kw, PerPhase, PriceColumn


@dataclass(frozen=True, slots=True)
class Fixed:
    """One price for every hour."""

    __pydantic_config__ = STRICT
    kind: Literal["fixed"]
    eur_per_kwh: EurPerKwh


@dataclass(frozen=True, slots=True)
class PricedBlock:
    """Hours of the week with a price of their own."""

    __pydantic_config__ = STRICT
    when: Block
    eur_per_kwh: EurPerKwh


@dataclass(frozen=True, slots=True)
class TimeOfUse:
    """Prices by hour of the week; the first block that holds the beginning of a step decides, else ``otherwise``."""

    __pydantic_config__ = STRICT
    kind: Literal["time_of_use"]
    otherwise_eur_per_kwh: EurPerKwh
    blocks: Annotated[tuple[PricedBlock, ...], Field(max_length=100)] = ()


@dataclass(frozen=True, slots=True)
class Dynamic:
    """Prices of a market: step k begins at ``start_epoch_s + k * step_s``; null where none is published."""

    __pydantic_config__ = STRICT
    kind: Literal["dynamic"]
    start_epoch_s: EpochS
    eur_per_kwh: PriceColumn
    step_s: Literal[900, 1800, 3600] = 900


EnergyPrice: TypeAlias = Annotated[Fixed | TimeOfUse | Dynamic, Field(discriminator="kind")]


@dataclass(frozen=True, slots=True)
class Carbon:
    """Grams of CO2 per kWh imported, per quarter from ``start_epoch_s``; a tonne weighs ``eur_per_t`` in the plan."""

    __pydantic_config__ = STRICT
    start_epoch_s: EpochS
    g_per_kwh: Annotated[tuple[Annotated[float, Field(ge=0, le=5000)] | None, ...], Field(max_length=MAX_STEPS)]
    eur_per_t: Annotated[float, Field(ge=0, le=10_000)]


@dataclass(frozen=True, slots=True)
class Capacity:
    """A charge on the highest clock quarter of the local calendar month.

    ``eur_per_kw``: for this one month. ``floor_kw``: billed at least (2.5 kW in Flanders). ``realised_kw``: the highest
    quarter of ``month`` (YYYY-MM on the site's clock) so far. ``margin_kw``: learned error of the forecast, kept free.
    """

    __pydantic_config__ = STRICT
    eur_per_kw: Annotated[float, Field(ge=0, le=1000)]
    floor_kw: Kw = 0.0
    realised_kw: Kw = 0.0
    month: Annotated[str, Field(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$")] | None = None
    margin_kw: Kw = 0.0


@dataclass(frozen=True, slots=True)
class Tariff:
    """Import costs (energy + markup + grid fee + taxes) x (1 + VAT).

    Export earns ``export_share`` x energy + ``export_eur_per_kwh``: a fixed price has a share of 0, a market price one
    of 1 and its fee as a negative number. ``grid_blocks``: grid fees by hour of the week on top of
    ``grid_eur_per_kwh``.
    """

    __pydantic_config__ = STRICT
    energy: EnergyPrice
    markup_eur_per_kwh: EurPerKwh = 0.0
    grid_eur_per_kwh: EurPerKwh = 0.0
    grid_blocks: Annotated[tuple[PricedBlock, ...], Field(max_length=100)] = ()
    taxes_eur_per_kwh: EurPerKwh = 0.0
    vat_pct: Annotated[float, Field(ge=0, le=50)] = 0.0
    export_eur_per_kwh: EurPerKwh = 0.0
    export_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    carbon: Carbon | None = None
    capacity: Capacity | None = None


@dataclass(frozen=True, slots=True)
class LimitBlock:
    """Import and export limits in hours of the week, such as those of a non-firm connection. None: no limit."""

    __pydantic_config__ = STRICT
    when: Block
    import_kw: Kw | None = None
    export_kw: Kw | None = None


@dataclass(frozen=True, slots=True)
class OperatorLimit:
    """What the grid operator announced: from ``start_epoch_s`` until ``end_epoch_s``, for the connection."""

    __pydantic_config__ = STRICT
    start_epoch_s: EpochS
    end_epoch_s: EpochS
    import_kw: Kw | None = None
    export_kw: Kw | None = None


@dataclass(frozen=True, slots=True)
class CircuitLimit:
    """A circuit that carries less for a while, or from now on where ``end_epoch_s`` is None."""

    __pydantic_config__ = STRICT
    circuit: Id
    limit_a: PerPhase
    start_epoch_s: EpochS = 0.0
    end_epoch_s: EpochS | None = None
    operator: bool = False


@dataclass(frozen=True, slots=True)
class Contract:
    """Limits of the connection. A step that a limit covers in part keeps it whole; the lowest one counts."""

    __pydantic_config__ = STRICT
    import_kw: Kw | None = None
    export_kw: Kw | None = None
    blocks: Annotated[tuple[LimitBlock, ...], Field(max_length=100)] = ()
    operator: Annotated[tuple[OperatorLimit, ...], Field(max_length=1000)] = ()
    circuits: Annotated[tuple[CircuitLimit, ...], Field(max_length=1000)] = field(default=())
