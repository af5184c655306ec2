"""Day-ahead prices from Energy-Charts (Fraunhofer ISE): ``/price``, JSON, begins of steps and prices in EUR/MWh.

The answer does not say its zone. Source: api.energy-charts.info (parameters bzn, start, end; data under CC BY 4.0 where
``license_info`` says so). Prices are in EUR in every zone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

from pydantic import FiniteFloat, TypeAdapter

from interfaces.domain.series import Flag, PriceSeries
from interfaces.domain.units import eur_per_kwh_from_eur_per_mwh
from interfaces.sources.answers import Step, joined_prices, plain, price_series, read_json, steps_between
from interfaces.sources.port import Request, Source, SourceError
from interfaces.sources.prices.zones import ZONES, Zone

NAME: Final = "energy_charts"
TITLE: Final = "Energy-Charts"
URL: Final = "https://api.energy-charts.info/price"
PAUSE_S: Final = 2.0
"""Our own courtesy; the service limits requests without saying where."""
FRESH_S: Final = 6 * 3600.0
USUAL: Final = ZONES["DE-LU"]
"""The zone of an answer to a request without one."""


@dataclass(frozen=True, slots=True)
class _Answer:
    unix_seconds: list[int]
    price: list[FiniteFloat | None]
    unit: str


_adapter: Final[TypeAdapter[_Answer]] = TypeAdapter(_Answer)


def source(zone: Zone, url: str = URL) -> Source[PriceSeries]:
    """The prices of one zone."""

    def requests(start_epoch_s: int, end_epoch_s: int) -> tuple[Request, ...]:
        """One request; its end is inclusive there."""
        params = (("bzn", zone.energy_charts), ("start", str(start_epoch_s)), ("end", str(end_epoch_s - 1)))
        return (Request(url, params, start_epoch_s, end_epoch_s, zone.name),)

    return Source(NAME, TITLE, PAUSE_S, FRESH_S, requests, partial(parse, zone=zone), partial(joined_prices, TITLE))


def parse(body: bytes, zone: Zone | None = None) -> PriceSeries | SourceError:
    """The prices in an answer to a request for ``zone``. A price of null is a step that is missing."""
    answer = read_json(TITLE, body, _adapter)
    if isinstance(answer, SourceError):
        return answer
    if answer.unit.replace(" ", "").upper() != "EUR/MWH":
        return SourceError(TITLE, f"the prices are in {plain(answer.unit) or 'no unit'} instead of EUR / MWh")
    if len(answer.unix_seconds) != len(answer.price):
        return SourceError(TITLE, f"the answer has {len(answer.unix_seconds)} times for {len(answer.price)} prices")
    rows = sorted(set(zip(answer.unix_seconds, answer.price, strict=True)), key=lambda row: row[0])
    starts = sorted({start for start, _ in rows})
    length = dict(zip(starts, steps_between(starts), strict=True))
    steps = [
        Step(start, length[start], eur_per_kwh_from_eur_per_mwh(price)) for start, price in rows if price is not None
    ]
    flags = [Flag.DUPLICATES] if len(rows) < len(answer.price) else []
    if zone is None:
        flags.append(Flag.ZONE)
    return price_series(NAME, TITLE, (zone or USUAL).name, steps, flags)
