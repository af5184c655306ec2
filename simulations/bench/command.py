"""The command ``bench``: what is measured is the word behind it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Final

from rich.console import Console
from rich.table import Table

from interfaces.command_line import command_parser, print_json
from interfaces.errors import UserError

EXIT_OK: Final[int] = 0
MOST_EVSES: Final[int] = 1000
MOST_LEVELS: Final[int] = 10
LEAST_ASSETS: Final[int] = 3
"""One charger on each phase."""
MOST_ASSETS: Final[int] = 250
SECONDS: Final[tuple[float, float]] = (5.0, 300.0)


def run_command(argv: list[str]) -> int:
    """`bench scan` or `bench io`: 0 with the figures."""
    if argv[:1] in (["-h"], ["--help"]):
        print(f"usage: stroomwacht bench {{{','.join(_BENCHES)}}} [ARGUMENTS]")
        return EXIT_OK
    bench = _BENCHES.get(argv[0]) if argv else None
    if bench is None:
        known = ", ".join(_BENCHES)
        raise UserError(
            f"stroomwacht bench {'knows no ' + repr(argv[0]) + ', only' if argv else 'needs one of'}: {known}"
        )
    return bench(argv[1:])


def _scan(argv: list[str]) -> int:
    parser = command_parser("bench scan", "Measure how long a scan takes and whether its memory grows.", figures=True)
    parser.add_argument("--evses", type=int, default=200, help="number of charging places (default 200)")
    parser.add_argument("--levels", type=int, default=5, help="nested levels of circuits (default 5)")
    options = parser.parse_args(argv)
    _within("--evses", options.evses, 1, MOST_EVSES)
    _within("--levels", options.levels, 1, MOST_LEVELS)
    from simulations.bench.scan import bench_scan  # noqa: PLC0415  the other benches do not pay for it

    _print(dataclasses.asdict(bench_scan(options.evses, options.levels)), as_json=options.json)
    return EXIT_OK


def _io(argv: list[str]) -> int:
    parser = command_parser(
        "bench io", "Measure the field process against virtual Modbus TCP devices in other processes.", figures=True
    )
    parser.add_argument("--assets", type=int, default=120, help="number of chargers (default 120)")
    parser.add_argument("--seconds", type=float, default=30.0, help="length of the measurement (default 30)")
    options = parser.parse_args(argv)
    _within("--assets", options.assets, LEAST_ASSETS, MOST_ASSETS)
    _within("--seconds", options.seconds, *SECONDS)
    from simulations.bench.io import bench_io  # noqa: PLC0415  the other benches do not pay for it

    _print(bench_io(options.assets, options.seconds), as_json=options.json)
    return EXIT_OK


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise UserError(f"{name} is a number from {low:g} to {high:g}, not {value:g}")


def _print(figures: Mapping[str, object], *, as_json: bool) -> None:
    if as_json:
        print_json(figures)
        return
    table = Table(show_header=False)
    for name, value in figures.items():
        table.add_row(name, "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value))
    Console().print(table)


_BENCHES: Final[Mapping[str, Callable[[list[str]], int]]] = {"scan": _scan, "io": _io}
