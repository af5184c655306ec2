"""`optimizer weather`: the weather of a place from a source or a sample of its answer, as JSON or a table."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from interfaces.command_line import command_parser, print_json
from interfaces.domain.series import WeatherSeries, utc_text
from interfaces.domain.units import SECONDS_PER_DAY, SECONDS_PER_HOUR
from interfaces.drivers.clock import epoch_s
from interfaces.errors import UserError
from interfaces.sources.fetching import Fetched
from interfaces.sources.port import SourceError
from interfaces.sources.weather.csv_file import NAME as CSV
from interfaces.sources.weather.known import PARSERS, weather_source
from optimizer.service.source_fetching import caption, content_of, distinct, new_fetcher, quiet_log

DAYS: Final = 3
"""The horizon of a plan and the rest of today."""
DECIMALS: Final = 6
SHOWN: Final = ("ghi_w_per_m2", "temperature_c", "wind_speed_m_per_s", "cloud_cover_pct", "precipitation_mm")
"""Columns of the table; `--json` has all."""


def run(argv: list[str]) -> None:
    """Print the weather that the words ask for.

    Raises:
        UserError: the words or the file are wrong, or no source has the weather.
    """
    options = _options(argv)
    sources = distinct(options.source)
    if options.file is not None:
        found = Fetched(_from_file(sources, options.file), 0.0)
    else:
        found = _from_sources(sources, options)
    if options.json:
        print_json(_figures(found.series))
    else:
        _show(found)


def _options(argv: list[str]) -> argparse.Namespace:
    parser = command_parser("optimizer weather", "Weather of today and the next two days.", figures=True)
    parser.add_argument(
        "--source", action="append", required=True, choices=tuple(PARSERS), help="repeat it to name fall-backs"
    )
    parser.add_argument("--latitude", type=float, metavar="DEG", help="of the place, north positive")
    parser.add_argument("--longitude", type=float, metavar="DEG", help="of the place, east positive")
    parser.add_argument("--file", type=Path, help="read an answer of the source from a file, ask nobody")
    return parser.parse_args(argv)


def _from_file(sources: list[str], file: Path) -> WeatherSeries:
    if len(sources) != 1:
        raise UserError("stroomwacht optimizer weather: --file is an answer of one --source")
    series = PARSERS[sources[0]](content_of(file))
    if isinstance(series, SourceError):
        raise UserError(f"{file}: {series}")
    return series


def _from_sources(sources: list[str], options: argparse.Namespace) -> Fetched[WeatherSeries]:
    if CSV in sources:
        raise UserError(f"stroomwacht optimizer weather: --source {CSV} needs --file")
    latitude, longitude = options.latitude, options.longitude
    if latitude is None or longitude is None:
        raise UserError("stroomwacht optimizer weather: say where, with --latitude and --longitude, or give a --file")
    if not (abs(latitude) <= 90 and abs(longitude) <= 180):  # also refuses NaN
        raise UserError("stroomwacht optimizer weather: latitude goes from -90 to 90, longitude from -180 to 180")
    start = math.floor(epoch_s() / SECONDS_PER_HOUR) * SECONDS_PER_HOUR
    asked = [weather_source(name, latitude, longitude) for name in sources]
    with quiet_log():
        found = new_fetcher().first_good(asked, start, start + DAYS * SECONDS_PER_DAY)
    if isinstance(found, SourceError):
        raise UserError(str(found))
    return found


def _figures(series: WeatherSeries) -> dict[str, object]:
    """One object; a value that is missing is null."""
    columns = {name: [_or_none(float(value)) for value in column] for name, column in series.quantities.items()}
    points = [
        {"start_utc": utc_text(int(start)), **{name: column[k] for name, column in columns.items()}}
        for k, start in enumerate(series.start_epoch_s)
    ]
    return {
        "source": series.source,
        "resolution_min": series.resolution_min,
        "points": points,
        "flags": [flag.value for flag in series.flags],
    }


def _or_none(value: float) -> float | None:
    return round(value, DECIMALS) if math.isfinite(value) else None


def _show(found: Fetched[WeatherSeries]) -> None:
    series = found.series
    names = [name for name in SHOWN if name in series.quantities] or list(series.quantities)[: len(SHOWN)]
    table = Table(caption=caption(series.source, series.flags, found.fetched_epoch_s or None))
    table.add_column("from (UTC)", no_wrap=True)
    for name in names:
        table.add_column(name, justify="right")
    for k, start in enumerate(series.start_epoch_s):
        cells = (float(series.quantities[name][k]) for name in names)
        table.add_row(utc_text(int(start)), *(f"{value:.1f}" if math.isfinite(value) else "" for value in cells))
    Console().print(table)
    for problem in found.problems:
        Console(stderr=True).print(problem, markup=False, highlight=False, soft_wrap=True)
