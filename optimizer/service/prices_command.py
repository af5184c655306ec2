"""`optimizer prices`: day-ahead prices from a source or a sample of its answer, as JSON or a table."""

from __future__ import annotations

import argparse
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.table import Table

from interfaces.command_line import command_parser, print_json
from interfaces.domain.series import Flag, PriceSeries, end_epoch_s, utc_text
from interfaces.domain.units import SECONDS_PER_DAY, SECONDS_PER_QUARTER
from interfaces.drivers.clock import epoch_s
from interfaces.errors import UserError
from interfaces.sources.fetching import Fetched
from interfaces.sources.port import SourceError
from interfaces.sources.prices.csv_file import NAME as CSV
from interfaces.sources.prices.known import PARSERS, PriceSource, price_source, usual_zone, zone_problem
from interfaces.sources.prices.zones import ZONES, Zone, find_zone
from optimizer.service.price_outlook import HISTORY_DAYS, price_outlook
from optimizer.service.source_fetching import caption, content_of, distinct, new_fetcher, quiet_log

TOKEN_VARIABLE: Final = "STROOMWACHT_ENTSOE_TOKEN"  # noqa: S105  the name of a variable, not its content

Row = tuple[int, float, bool]
"""Begin (epoch), EUR/kWh, whether it is a forecast."""


def run(argv: list[str]) -> None:
    """Print the prices that the words ask for.

    Raises:
        UserError: the words or the file are wrong, or no source has the prices.
    """
    options = _options(argv)
    zone = _zone(options.zone)
    sources = distinct(options.source)
    if options.file is not None:
        found = Fetched(_from_file(sources, options.file, zone), 0.0)
    else:
        found = _from_sources(sources, zone, history=options.forecast)
    series = found.series
    rows: list[Row] = [
        (int(start), float(price), False) for start, price in zip(series.start_epoch_s, series.eur_per_kwh, strict=True)
    ]
    flags = series.flags
    if options.forecast:
        ahead = _ahead(series)
        rows += ahead
        flags = series.flagged(Flag.FORECAST).flags if ahead else flags
    if options.file is None and options.forecast:
        since, _ = _window(_usual(series.zone), 0)
        rows = [row for row in rows if row[0] >= since]
    if options.json:
        print_json(_figures(series, rows, flags))
    else:
        _show(series, rows, flags, found)


def _options(argv: list[str]) -> argparse.Namespace:
    parser = command_parser("optimizer prices", "Day-ahead prices without taxes and VAT.", figures=True)
    parser.add_argument(
        "--source", action="append", required=True, choices=tuple(PARSERS), help="repeat it to name fall-backs"
    )
    parser.add_argument("--zone", help=f"bidding zone, such as {', '.join(list(ZONES)[:3])}, or its ENTSO-E code")
    parser.add_argument("--file", type=Path, help="read an answer of the source from a file, ask nobody")
    parser.add_argument("--forecast", action="store_true", help="add a similar-day forecast of what is not published")
    return parser.parse_args(argv)


def _zone(words: str | None) -> Zone | None:
    if words is None:
        return None
    zone = find_zone(words)
    if zone is None:
        raise UserError(f"stroomwacht optimizer prices: '{words}' is no bidding zone, known are {', '.join(ZONES)}")
    return zone


def _from_file(sources: list[str], file: Path, zone: Zone | None) -> PriceSeries:
    if len(sources) != 1:
        raise UserError("stroomwacht optimizer prices: --file is an answer of one --source")
    problem = None if zone is None else zone_problem(sources[0], zone)
    series = problem or PARSERS[sources[0]](content_of(file), zone)
    if isinstance(series, SourceError):
        raise UserError(f"{file}: {series}")
    return series


def _from_sources(sources: list[str], zone: Zone | None, *, history: bool) -> Fetched[PriceSeries]:
    if CSV in sources:
        raise UserError(f"stroomwacht optimizer prices: --source {CSV} needs --file")
    zone = zone or usual_zone(sources[0])
    if zone is None:
        raise UserError(f"stroomwacht optimizer prices: --source {sources[0]} needs a --zone")
    asked: list[PriceSource] = []
    for name in sources:
        source = price_source(name, zone, os.environ.get(TOKEN_VARIABLE, ""))
        if isinstance(source, SourceError):
            hint = f" (environment variable {TOKEN_VARIABLE})" if "token" in source.reason else ""
            raise UserError(f"{source}{hint}")
        asked.append(source)
    start, end = _window(zone, HISTORY_DAYS if history else 0)
    with quiet_log():
        found = new_fetcher().first_good(asked, start, end)
    if isinstance(found, SourceError):
        raise UserError(str(found))
    return found


def _window(zone: Zone, history_days: int) -> tuple[int, int]:
    """From local midnight, some days back, to the end of tomorrow."""
    local = ZoneInfo(zone.time_zone)
    today = datetime.fromtimestamp(epoch_s(), tz=UTC).astimezone(local).date()
    edges = (today - timedelta(days=history_days), today + timedelta(days=2))
    start, end = (round(datetime(day.year, day.month, day.day, tzinfo=local).timestamp()) for day in edges)
    return start, end


def _ahead(series: PriceSeries) -> list[Row]:
    """The next 24 h behind the last price, in steps as long as the last one."""
    zone = _usual(series.zone)
    start = end_epoch_s(series)
    grid = price_outlook(series, start, SECONDS_PER_DAY // SECONDS_PER_QUARTER, zone.time_zone, zone.name[:2])
    step_s = int(series.step_s[-1])
    means = grid.values.reshape(-1, step_s // SECONDS_PER_QUARTER).mean(axis=1)
    return [(start + k * step_s, round(float(price), 6), True) for k, price in enumerate(means)]


def _usual(zone: str) -> Zone:
    return find_zone(zone) or ZONES["DE-LU"]


def _figures(series: PriceSeries, rows: list[Row], flags: tuple[Flag, ...]) -> dict[str, object]:
    points = [
        {"start_utc": utc_text(start), "eur_per_kwh": price, **({"forecast": True} if forecast else {})}
        for start, price, forecast in rows
    ]
    return {
        "source": series.source,
        "zone": series.zone,
        "resolution_min": series.resolution_min,
        "points": points,
        "flags": [flag.value for flag in flags],
    }


def _show(series: PriceSeries, rows: list[Row], flags: tuple[Flag, ...], found: Fetched[PriceSeries]) -> None:
    table = Table(caption=caption(f"{series.source}, {series.zone or 'no zone'}", flags, found.fetched_epoch_s or None))
    table.add_column("from (UTC)", no_wrap=True)
    table.add_column("EUR/kWh", justify="right")
    table.add_column("")
    for start, price, forecast in rows:
        table.add_row(utc_text(start), f"{price:.5f}", "forecast" if forecast else "")
    Console().print(table)
    for problem in found.problems:
        Console(stderr=True).print(problem, markup=False, highlight=False, soft_wrap=True)
