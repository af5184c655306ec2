"""Weather from a CSV file: column ``start_utc`` and columns with our names, such as ``ghi_w_per_m2``.

Values are those of the step that begins at ``start_utc``: nothing is moved. Columns with other names are not looked at;
an empty cell is a missing value. gzip is unpacked.
"""

from __future__ import annotations

import math
from typing import Final

from interfaces.domain.series import WeatherSeries
from interfaces.sources.answers import epoch_of, plain
from interfaces.sources.port import SourceError
from interfaces.sources.quantities import QUANTITIES, Column, weather_series
from interfaces.sources.tables import read_table

NAME: Final = "csv_file"
TITLE: Final = "CSV file"
TIME_COLUMN: Final = "start_utc"


def parse(body: bytes) -> WeatherSeries | SourceError:
    """The weather in a file."""
    table = read_table(body)
    if isinstance(table, str):
        return SourceError(TITLE, table)
    named = [(place, QUANTITIES[name]) for place, name in enumerate(table.header) if name in QUANTITIES]
    if TIME_COLUMN not in table.header or not named:
        return SourceError(TITLE, f"it needs a column {TIME_COLUMN} and quantities such as {', '.join(QUANTITIES)}")
    time_at = table.header.index(TIME_COLUMN)
    stamps: list[int] = []
    values: dict[int, list[float | None]] = {place: [] for place, _ in named}
    for number, cells in table.rows:
        stamp = epoch_of(cells[time_at])
        if stamp is None:
            return SourceError(TITLE, f"line {number}: '{plain(cells[time_at])}' is no time with its offset")
        stamps.append(stamp)
        for place, _ in named:
            value = _number(cells[place])
            if value is None and cells[place]:
                return SourceError(TITLE, f"line {number}: '{plain(cells[place])}' is no number")
            values[place].append(value)
    columns = [Column(quantity, values[place], preceding=False) for place, quantity in named]
    return weather_series(NAME, TITLE, stamps, columns)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in text else None
