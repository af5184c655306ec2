"""Day-ahead prices of the Netherlands from EnergyZero, JSON in EUR/kWh; used is ``base``, without VAT, tax and fee.

REST: ``/public/v1/prices`` gives one local day by quarters or hours, prices as text. The older GraphQL answers have
``energyPriceExcl`` for the same; both are read. Source: public.api.energyzero.nl as its public clients use it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from pydantic import Field, FiniteFloat, TypeAdapter

from interfaces.domain.series import PriceSeries
from interfaces.sources.answers import Step, epoch_of, joined_prices, json_of, plain, price_series, read_json
from interfaces.sources.port import Request, Source, SourceError
from interfaces.sources.prices.zones import ZONES, Zone

NAME: Final = "energyzero"
TITLE: Final = "EnergyZero"
URL: Final = "https://public.api.energyzero.nl/public/v1/prices"
PAUSE_S: Final = 2.0
"""Our own courtesy; no limit is published."""
FRESH_S: Final = 6 * 3600.0
ZONE: Final = ZONES["NL"]
_NUMBER: Final = re.compile(r"-?\d{1,6}(?:\.\d{1,12})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Amount:
    value: str


@dataclass(frozen=True, slots=True)
class _Row:
    start: str
    end: str
    price: _Amount


@dataclass(frozen=True, slots=True)
class _Rest:
    base: list[_Row]


@dataclass(frozen=True, slots=True)
class _GraphRow:
    start: Annotated[str, Field(validation_alias="from")]
    till: str
    type: str
    price: Annotated[FiniteFloat, Field(validation_alias="energyPriceExcl")]


@dataclass(frozen=True, slots=True)
class _Prices:
    prices: list[_GraphRow]


@dataclass(frozen=True, slots=True)
class _Market:
    prices: Annotated[_Prices, Field(validation_alias="energyMarketPrices")]


@dataclass(frozen=True, slots=True)
class _Graph:
    data: _Market


_rest: Final[TypeAdapter[_Rest]] = TypeAdapter(_Rest)
_graph: Final[TypeAdapter[_Graph]] = TypeAdapter(_Graph)


def source(url: str = URL) -> Source[PriceSeries]:
    """The prices of the Netherlands."""

    def requests(start_epoch_s: int, end_epoch_s: int) -> tuple[Request, ...]:
        """One request for each local day that the time touches."""
        local = ZoneInfo(ZONE.time_zone)
        day = datetime.fromtimestamp(start_epoch_s, tz=UTC).astimezone(local).date()
        last = datetime.fromtimestamp(end_epoch_s - 1, tz=UTC).astimezone(local).date()
        found = []
        while day <= last:
            params = (
                ("energyType", "ENERGY_TYPE_ELECTRICITY"),
                ("date", day.strftime("%d-%m-%Y")),
                ("interval", "INTERVAL_QUARTER"),
            )
            since, until = _midnight(day, local), _midnight(day + timedelta(days=1), local)
            found.append(Request(url, params, since, until, day.isoformat()))
            day += timedelta(days=1)
        return tuple(found)

    return Source(NAME, TITLE, PAUSE_S, FRESH_S, requests, parse, partial(joined_prices, TITLE))


def parse(body: bytes, zone: Zone | None = None) -> PriceSeries | SourceError:
    """The prices in an answer; ``zone`` can only be the Netherlands."""
    if zone is not None and zone != ZONE:
        return SourceError(TITLE, f"it has the prices of {ZONE.name} only, not of {zone.name}")
    found = json_of(body)
    told = _graph_rows(body) if isinstance(found, dict) and "data" in found else _rest_rows(body)
    if isinstance(told, SourceError):
        return told
    steps = []
    for start_text, end_text, price in told:
        start, end = epoch_of(start_text), epoch_of(end_text)
        if start is None or end is None:
            return SourceError(TITLE, f"'{plain(start_text)}' to '{plain(end_text)}' is no time with its offset")
        steps.append(Step(start, end - start, price))
    return price_series(NAME, TITLE, ZONE.name, steps)


def _rest_rows(body: bytes) -> list[tuple[str, str, float]] | SourceError:
    answer = read_json(TITLE, body, _rest)
    if isinstance(answer, SourceError):
        return answer
    bad = next((row for row in answer.base if not _NUMBER.fullmatch(row.price.value)), None)
    if bad is not None:
        return SourceError(TITLE, f"'{plain(bad.price.value)}' is no price")
    return [(row.start, row.end, float(row.price.value)) for row in answer.base]


def _graph_rows(body: bytes) -> list[tuple[str, str, float]] | SourceError:
    answer = read_json(TITLE, body, _graph)
    if isinstance(answer, SourceError):
        return answer
    rows = answer.data.prices.prices
    other = next((row for row in rows if row.type != "Electricity"), None)
    if other is not None:
        return SourceError(TITLE, f"the prices are those of {plain(other.type)} instead of electricity")
    return [(row.start, row.till, row.price) for row in rows]


def _midnight(day: date, local: ZoneInfo) -> int:
    return round(datetime(day.year, day.month, day.day, tzinfo=local).timestamp())
