"""Day-ahead prices from aWATTar: ``/v1/marketdata``, JSON, steps in milliseconds and EUR/MWh.

The services of Germany and Austria answer alike and do not say their zone. The price service of Akkudoktor has the same
rows under ``values``; both are read. Source: aWATTar data feed, api.awattar.de and api.awattar.at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from pydantic import FiniteFloat, TypeAdapter

from interfaces.domain.series import Flag, PriceSeries
from interfaces.domain.units import MILLI, eur_per_kwh_from_eur_per_mwh
from interfaces.sources.answers import Step, error_words, joined_prices, json_of, plain, price_series, read_json
from interfaces.sources.port import Request, Source, SourceError
from interfaces.sources.prices.zones import ZONES, Zone

NAME: Final = "awattar"
TITLE: Final = "aWATTar"
URLS: Final[Mapping[str, str]] = {
    "AT": "https://api.awattar.at/v1/marketdata",
    "DE-LU": "https://api.awattar.de/v1/marketdata",
}
PAUSE_S: Final = 2.0
"""Our own courtesy: the service asks for fair use."""
FRESH_S: Final = 6 * 3600.0
USUAL: Final = ZONES["DE-LU"]


@dataclass(frozen=True, slots=True)
class _Row:
    start_timestamp: int
    end_timestamp: int
    marketprice: FiniteFloat | None
    unit: str


@dataclass(frozen=True, slots=True)
class _Answer:
    data: list[_Row] | None = None
    values: list[_Row] | None = None


_adapter: Final[TypeAdapter[_Answer]] = TypeAdapter(_Answer)


def source(zone: Zone, url: str = "") -> Source[PriceSeries]:
    """The prices of Germany or Austria; ``zone`` is one of ``URLS``."""

    def requests(start_epoch_s: int, end_epoch_s: int) -> tuple[Request, ...]:
        """One request; times in milliseconds."""
        params = (("start", str(start_epoch_s * MILLI)), ("end", str(end_epoch_s * MILLI)))
        return (Request(url or URLS[zone.name], params, start_epoch_s, end_epoch_s, zone.name),)

    return Source(NAME, TITLE, PAUSE_S, FRESH_S, requests, partial(parse, zone=zone), partial(joined_prices, TITLE))


def parse(body: bytes, zone: Zone | None = None) -> PriceSeries | SourceError:
    """The prices in an answer of the service for ``zone``."""
    answer = read_json(TITLE, body, _adapter)
    if isinstance(answer, SourceError):
        return answer
    rows = answer.data if answer.data is not None else answer.values
    if rows is None:
        told = error_words(json_of(body))
        return SourceError(TITLE, f"the answer is an error: {told}" if told else "the answer has no list of prices")
    steps = []
    for row in rows:
        if row.unit.replace(" ", "").upper() != "EUR/MWH":
            return SourceError(TITLE, f"a price is in {plain(row.unit) or 'no unit'} instead of Eur/MWh")
        if row.start_timestamp % MILLI or row.end_timestamp % MILLI:
            return SourceError(TITLE, "a time is no whole second")
        start, end = row.start_timestamp // MILLI, row.end_timestamp // MILLI
        if row.marketprice is not None:
            steps.append(Step(start, end - start, eur_per_kwh_from_eur_per_mwh(row.marketprice)))
    flags = [Flag.ZONE] if zone is None else []
    return price_series(NAME, TITLE, (zone or USUAL).name, steps, flags)
