"""The command ``bench``: what is measured is the word behind it."""

from __future__ import annotations

import argparse
import dataclasses
import os
import time
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
MOST_SITES: Final[int] = 100_000
SECONDS: Final[tuple[float, float]] = (5.0, 300.0)
DAYS: Final[tuple[float, float]] = (0.01, 60.0)
MOST_WORKERS: Final[int] = 64
MOST_BOXES: Final[int] = 2000
LINK_SECONDS: Final[tuple[float, float]] = (10.0, 3600.0)
"""Each box says something at least once."""
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
    "link": (
        "Measure the line between many sites and the cloud side: a real broker, TLS, the real ingest.",
        {
            "sites, seconds": "boxes with ten chargers each, a status every 10 s and a plan every 5 min",
            "msgs_per_s": "messages that were taken in",
            "latency_ms_p50, latency_ms_p99": "from a box's word to its being understood by the ingest",
            "plans, plan_ms_p99": "plans that arrived; from signing one to its being verified in its box",
            "cpu_pct_broker, cpu_pct_ingest": "processor time, % of one core; the ingest's with store and plans",
            "lost, plans_lost": "messages that were told and not stored; plans that did not arrive; the aim is 0",
            "repeated, rebirths": "messages that came twice; births that were asked for",
            "bytes_per_site_month": "30 days of one site with all headers, both ways; the aim is 200 MB",
            "bytes_per_site_month_low_data": "the same for a line that is paid by the megabyte; the aim is 30 MB",
            "bytes_per_site_month_seen": "what went over the lines during the measurement, times a month",
            "bytes_by_kind": "what one message of each kind costs on the line, with its acknowledgements",
            "load_1min": "processes that wanted to run: above the cores, others were waited for",
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
    "economy": (
        "Measure what plans are worth: three sites under five strategies for 14 days, an hour on two cores.",
        {
            "scenarios": "per scenario and strategy the figures of `simulate`, without energy_possible_kwh",
            "wall_s": "how long all of it took",
        },
    ),
    "fleet": (
        "Measure the way of many sites' problems from the store to published plans; a site is some 15 ms of a core.",
        {
            "sites, adapter, processes": "sites of ten chargers, by which engine, solved by how many processes",
            "solves_per_s, cores": "plans per second of wall time, processor seconds per second while it ran",
            "solve_ms": "from a problem's bytes to its plan's text, processor time per site",
            "overhead_ms_per_job": "all other processor time of all processes per site, the database's included",
            "overhead_pct": "overhead over solve; the aim is at most 5",
            "database_ms_per_job": "the part of the overhead that PostgreSQL's processes took",
            "sites_per_core_15min": "sites that one core plans in a quarter of an hour, overhead included",
            "failed": "attempts that made no plan",
        },
    ),
}
"""Per bench its purpose and the meaning of its figures; docs/bench.md says how they are measured."""


def run_command(argv: list[str]) -> int:
    """`bench scan`, `bench io`, `bench mpc` or `bench economy`: 0 with the figures."""
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


def _link(argv: list[str]) -> int:
    parser = _parser("link")
    parser.add_argument("--sites", type=int, default=500, help="number of sites (default 500)")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the measurement (default 60)")
    options = parser.parse_args(argv)
    _within("--sites", options.sites, 1, MOST_BOXES)
    _within("--seconds", options.seconds, *LINK_SECONDS)
    from simulations.bench.link import bench_link  # noqa: PLC0415  the other benches do not pay for it

    _print(bench_link(options.sites, options.seconds), as_json=options.json)
    return EXIT_OK


def _mpc(argv: list[str]) -> int:
    parser = _parser("mpc")
    parser.add_argument("--instance", type=Path, required=True, help="the problem, a JSON file (docs/bench.md)")
    options = parser.parse_args(argv)
    from simulations.bench.mpc import bench_mpc, read_problem  # noqa: PLC0415  the other benches do not pay for it

    _print(dataclasses.asdict(bench_mpc(read_problem(options.instance))), as_json=options.json)
    return EXIT_OK


def _economy(argv: list[str]) -> int:
    parser = _parser("economy")
    parser.add_argument("--data", type=Path, help="folder of measured files; left out: generated scenarios")
    parser.add_argument("--days", type=float, default=14.0, help="length of each run (default 14)")
    parser.add_argument("--sites", help="comma-separated (default: depot,office,garage)")
    parser.add_argument("--strategies", help="comma-separated (default: all five)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one per core)")
    options = parser.parse_args(argv)
    _within("--days", options.days, *DAYS)
    _within("--workers", options.workers, 1, MOST_WORKERS)
    from simulations.economy import COMPARED, SITES, jobs_of, markdown, run_table  # noqa: PLC0415  likewise

    sites = SITES if options.sites is None else options.sites.split(",")
    strategies = COMPARED if options.strategies is None else options.strategies.split(",")
    jobs = jobs_of(sites, strategies, options.days, options.data)
    began_s = time.perf_counter()
    table = run_table(jobs, options.workers)
    wall_s = time.perf_counter() - began_s
    if options.json:
        print_json({"scenarios": table, "wall_s": round(wall_s, 1)})
    else:
        print(f"{markdown(table)}\n{options.days:g} days each, {wall_s / 60.0:.0f} min, {options.workers} processes")
    return EXIT_OK


def _fleet(argv: list[str]) -> int:
    parser = _parser("fleet")
    parser.add_argument(
        "--sites", type=int, default=10_000, help="number of sites (default 10000: two minutes of two cores)"
    )
    parser.add_argument(
        "--adapter", choices=("inprocess", "procrastinate"), default="inprocess",
        help="one machine and SQLite, or jobs on a PostgreSQL of its own (default inprocess)",
    )  # fmt: skip
    options = parser.parse_args(argv)
    _within("--sites", options.sites, 1, MOST_SITES)
    from simulations.bench.fleet import bench_fleet  # noqa: PLC0415  the other benches do not pay for it

    _print(dataclasses.asdict(bench_fleet(options.sites, options.adapter)), as_json=options.json)
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


_BENCHES: Final[Mapping[str, Callable[[list[str]], int]]] = {
    "scan": _scan,
    "io": _io,
    "link": _link,
    "mpc": _mpc,
    "fleet": _fleet,
    "economy": _economy,
}
