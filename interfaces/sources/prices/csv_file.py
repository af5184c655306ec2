"""Prices from a CSV file: column ``start_utc`` and one of ``price_eur_per_mwh``, ``eur_per_kwh``.

A time says its offset (Z or +01:00). A step reaches to the next line; an empty price is a missing step. Other columns
are not looked at. gzip is unpacked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from interfaces.domain.series import Flag, PriceSeries
from interfaces.domain.units import eur_per_kwh_from_eur_per_mwh
from interfaces.sources.answers import Step, epoch_of, plain, price_series, steps_between
from interfaces.sources.port import SourceError
from interfaces.sources.prices.zones import Zone
from interfaces.sources.tables import Table, read_table

NAME: Final = "csv_file"
TITLE: Final = "CSV file"
TIME_COLUMN: Final = "start_utc"
PRICE_COLUMNS: Final[Mapping[str, Callable[[float], float]]] = {
    "eur_per_kwh": float,
    "price_eur_per_kwh": float,
    "eur_per_mwh": eur_per_kwh_from_eur_per_mwh,
    "price_eur_per_mwh": eur_per_kwh_from_eur_per_mwh,
}


def parse(body: bytes, zone: Zone | None = None) -> PriceSeries | SourceError:
    """The prices in a file; it does not say its zone."""
    table = read_table(body)
    if isinstance(table, str):
        return SourceError(TITLE, table)
    priced = [name for name in table.header if name in PRICE_COLUMNS]
    if TIME_COLUMN not in table.header or len(priced) != 1:
        return SourceError(TITLE, f"it needs a column {TIME_COLUMN} and one of {', '.join(PRICE_COLUMNS)}")
    rows = _rows(table, priced[0])
    if isinstance(rows, str):
        return SourceError(TITLE, rows)
    starts = sorted({start for start, _ in rows})
    length = dict(zip(starts, steps_between(starts), strict=True))
    steps = [Step(start, length[start], price) for start, price in rows if price is not None]
    flags = [Flag.ZONE] if zone is None else []
    return price_series(NAME, TITLE, "" if zone is None else zone.name, steps, flags)


def _rows(table: Table, column: str) -> list[tuple[int, float | None]] | str:
    time_at, price_at = table.header.index(TIME_COLUMN), table.header.index(column)
    found: list[tuple[int, float | None]] = []
    for number, cells in table.rows:
        start = epoch_of(cells[time_at])
        if start is None:
            return f"line {number}: '{plain(cells[time_at])}' is no time with its offset (Z or +01:00)"
        price = _number(cells[price_at])
        if price is None and cells[price_at]:
            return f"line {number}: '{plain(cells[price_at])}' is no price"
        found.append((start, None if price is None else PRICE_COLUMNS[column](price)))
    return found


def _number(text: str) -> float | None:
    try:
        return float(text) if "_" not in text else None
    except ValueError:
        return None
