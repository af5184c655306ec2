"""The command ``bench``: what is measured is the word behind it."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from interfaces.command_line import CommandParser, command_parser, print_json
from interfaces.errors import UserError

EXIT_OK: Final[int] = 0
MOST_EVSES: Final[int] = 1000
MOST_LEVELS: Final[int] = 10
LEAST_ASSETS: Final[int] = 3
"""One charger on each phase."""
MOST_ASSETS: Final[int] = 250
SECONDS: Final[tuple[float, float]] = (5.0, 300.0)
LEAST_MIX: Final[int] = 12
"""Devices of every kind, and chargers on every phase."""
MIX_FIGURES: Final[Mapping[str, str]] = {
    "chargers": "with --mix, as all below: how many of the assets are chargers",
    "profiles, left_out": "assets of each profile; profiles without one, and why",
    "age_periods_p50, age_periods_p99": "age of readings over the period of their poll",
    "age_periods_worst": "mean of the device with the oldest readings: 0.5 is one on its rate",
    "age_periods_silent_p50": "the same of all others while one charger accepts connections and answers nothing",
    "age_periods_silent_p99": "likewise",
    "silent_age_ratio_p50": "age with the silent one over age without it",
    "silent_age_ratio_p99": "likewise; the aim is at most 1.2",
    "silent_age_ratio, silent_age_worst": "mean age with over without, of the device that fared worst; which one",
    "polls, polls_silent": "how often the others were asked for their fastest values, without and with it",
}
"""What ``bench io --mix`` tells besides."""
ABOUT: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = {
    "scan": (
        "Measure how long a scan takes and whether its memory grows.",
        {
            "evses, circuits": "size of the site",
            "scan_ms_p50, scan_ms_p99": "wall time of one scan, median and 99th percentile",
            "cpu_ms_p50, cpu_ms_p99": "processor time of the same scans",
            "period_ms": "time between two scans of the site; the aim is p99 below 5 % of it at 200 EVSEs",
            "growth_kb": "memory held more after 1000 scans than before them; the aim is 0",
            "offering_mean": "EVSEs with an offer, on average: where nobody charges nothing is measured",
        },
    ),
    "io": (
        "Measure the field process against virtual Modbus TCP devices in other processes.",
        {
            "assets": "chargers, with --mix devices of all kinds, besides one meter",
            "scans, late_scans, missed_slots": "scans, those begun over half a period late, slots skipped",
            "lateness_ms_p50, lateness_ms_p999": "how long after its slot a scan began",
            "poll_age_ms_p99": "age of the readings that scans worked with",
            "reaction_ms_p50, reaction_ms_p99": "overload at the meter until a lower setpoint is in a charger",
            "reactions, steps, steps_unanswered": "how many of those, after how many overloads, how many without one",
            "first_steps_missed": "chargers with room that the first overload of a burst did not lower; the aim is 0",
            "cpu_pct, cpu_pct_field": "processor time of the controller and of its field process, % of one core",
            "start_s": "from the start of the processes to the measurement",
            "load_1min": "processes that wanted to run: above the cores, others were waited for",
            **MIX_FIGURES,
        },
    ),
    "mpc": (
        "Measure what planning costs: build, solve, solve again and round a neutral problem.",
        {
            "cars, steps": "size of the problem",
            "rows, columns, nonzeros": "size of the linear program built from it",
            "objective": "cost of the optimum without minimum currents, EUR",
            "build_ms, solve_ms, total_ms": "from the problem's numbers to a plan, processor time; total: least sum",
            "resolve_ms": "the same structure again with new prices, PV, load and state, vectors included",
            "resolve_gap, rebuilds": "widest relative gap to a solve from nothing, programs built anew",
            "round_ms, round_loss": "from the optimum to a plan that keeps 6 A, and what it costs more, relative",
            "rss_mb": "memory that building and solving add at their peak",
        },
    ),
}
"""Per bench its purpose and the meaning of its figures; docs/bench.md says how they are measured."""


def run_command(argv: list[str]) -> int:
    """`bench scan`, `bench io` or `bench mpc`: 0 with the figures."""
    if argv[:1] in (["-h"], ["--help"]):
        print(overview())
        return EXIT_OK
    bench = _BENCHES.get(argv[0]) if argv else None
    if bench is None:
        known = ", ".join(_BENCHES)
        raise UserError(
            f"stroomwacht bench {'knows no ' + repr(argv[0]) + ', only' if argv else 'needs one of'}: {known}"
        )
    return bench(argv[1:])


def overview() -> str:
    """What can be measured and what the figures mean, for `bench --help`."""
    lines = [f"usage: stroomwacht bench {{{','.join(_BENCHES)}}} [ARGUMENTS]   (bench NAME --help says more)"]
    for name, (purpose, figures) in ABOUT.items():
        lines += ["", f"bench {name}: {purpose}", _table(figures)]
    lines += ["", "--json prints the figures as one JSON object. Run benches on a machine that does nothing else."]
    return "\n".join(lines)


def _table(figures: Mapping[str, str]) -> str:
    return "\n".join(f"  {name:<35} {meaning}" for name, meaning in figures.items())


def _parser(name: str) -> CommandParser:
    purpose, figures = ABOUT[name]
    parser = command_parser(f"bench {name}", purpose, figures=True)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"figures:\n{_table(figures)}"
    return parser


def _scan(argv: list[str]) -> int:
    parser = _parser("scan")
    parser.add_argument("--evses", type=int, default=200, help="number of charging places (default 200)")
    parser.add_argument("--levels", type=int, default=5, help="nested levels of circuits (default 5)")
    options = parser.parse_args(argv)
    _within("--evses", options.evses, 1, MOST_EVSES)
    _within("--levels", options.levels, 1, MOST_LEVELS)
    from simulations.bench.scan import bench_scan  # noqa: PLC0415  the other benches do not pay for it

    _print(dataclasses.asdict(bench_scan(options.evses, options.levels)), as_json=options.json)
    return EXIT_OK


def _io(argv: list[str]) -> int:
    parser = _parser("io")
    parser.add_argument("--assets", type=int, default=120, help="number of chargers, or devices (default 120)")
    parser.add_argument(
        "--mix", action="store_true", help="all profiles that speak Modbus TCP in turn, one falls silent"
    )
    parser.add_argument("--seconds", type=float, default=30.0, help="length of the measurement (default 30)")
    options = parser.parse_args(argv)
    _within("--assets", options.assets, LEAST_MIX if options.mix else LEAST_ASSETS, MOST_ASSETS)
    _within("--seconds", options.seconds, *SECONDS)
    from simulations.bench.io import bench_io  # noqa: PLC0415  the other benches do not pay for it

    _print(bench_io(options.assets, options.seconds, mix=options.mix), as_json=options.json)
    return EXIT_OK


def _mpc(argv: list[str]) -> int:
    parser = _parser("mpc")
    parser.add_argument("--instance", type=Path, required=True, help="the problem, a JSON file (docs/bench.md)")
    options = parser.parse_args(argv)
    from simulations.bench.mpc import bench_mpc, read_problem  # noqa: PLC0415  the other benches do not pay for it

    _print(dataclasses.asdict(bench_mpc(read_problem(options.instance))), as_json=options.json)
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


_BENCHES: Final[Mapping[str, Callable[[list[str]], int]]] = {"scan": _scan, "io": _io, "mpc": _mpc}
