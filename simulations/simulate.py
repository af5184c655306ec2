"""The command ``simulate``: a scenario file in, figures per strategy out."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Final, cast

from rich.console import Console
from rich.table import Table

from interfaces.command_line import command_parser, print_json, read_file
from interfaces.domain.site_file import Problem
from interfaces.domain.site_yaml import MAX_BYTES
from interfaces.errors import UserError
from simulations.data_files import BadRow
from simulations.planned import plan_world_of
from simulations.plot import QuarterWatch, check_plot, figure_of, save
from simulations.run import Outcome, Watcher, simulate
from simulations.scenario import PLANNED, STRATEGIES, Scenario, StrategyName
from simulations.scenario_schema import load_scenario, scenario_schema, unknown_names
from simulations.world import site_of, world_of

EXIT_OK: Final[int] = 0
EXIT_REFUSED: Final[int] = 2
MOST_ROWS_NAMED: Final[int] = 50
"""Of each file; the last line counts the rest."""
MOST_DAYS: Final[float] = 60.0
STEP_RANGE_S: Final[tuple[float, float]] = (0.1, 10.0)


def run_command(argv: list[str]) -> int:
    """`simulate SCENARIO.yaml`: 0 with the figures, or 2 with every problem of the scenario on stderr."""
    arguments = _parsed(argv)
    if arguments.schema:
        if arguments.scenario is not None:
            raise UserError("stroomwacht simulate: --schema stands alone, leave the scenario out")
        print(json.dumps(scenario_schema(), indent=2, ensure_ascii=False))
        return EXIT_OK
    if arguments.scenario is None:
        raise UserError(f"stroomwacht simulate: name a scenario file, or one of: {', '.join(shipped())}")
    name, text, folder = _found(arguments.scenario)
    result = load_scenario(text)
    if result.scenario is None:
        return _refused(name, result.problems)
    scenario = _adjusted(result.scenario, arguments)
    plotted = _plotted(scenario, arguments)
    site = site_of(scenario.site, folder)
    problems = unknown_names(text, scenario, site.topology)
    if problems:
        return _refused(name, problems)
    if arguments.data is not None and not arguments.data.is_dir():
        raise UserError(f"{arguments.data} is no folder: --data names the folder of the real files")
    world, bad_rows = world_of(scenario, site, arguments.data)
    _tell_rows(bad_rows)
    plans = {
        name: plan_world_of(scenario, site, world, arguments.data, name)
        for name in scenario.strategies
        if name in PLANNED
    }
    watchers: dict[StrategyName, Watcher] = {} if plotted is None else {plotted: QuarterWatch()}
    outcome = simulate(world, scenario.strategies, workers=arguments.workers, plans=plans, watchers=watchers)
    _draw(scenario, outcome, arguments.plot)
    if arguments.json:
        print_json(figures_of(outcome))
    else:
        _show(scenario, outcome)
    return EXIT_OK


def shipped() -> tuple[str, ...]:
    """Names of the scenarios that ship with the product."""
    folder = resources.files("simulations") / "scenarios"
    return tuple(sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")))


def shipped_text(name: str) -> str:
    """The text of a scenario that ships with the product."""
    return (resources.files("simulations") / "scenarios" / f"{name}.yaml").read_text("utf-8")


def figures_of(outcome: Outcome) -> dict[str, object]:
    """The JSON object of the command."""
    return {
        "strategies": {run.name: dict(run.figures) for run in outcome.runs},
        "wall_s": round(outcome.wall_s, 3),
        "speed_x": round(outcome.speed_x, 1),
    }


def _parsed(argv: list[str]) -> argparse.Namespace:
    parser = command_parser("simulate", "Run a scenario in simulated time and compare strategies.", figures=True)
    parser.add_argument("scenario", nargs="?", help="a scenario file, or the name of a shipped one")
    parser.add_argument("--days", type=float, help="length of the run instead of the scenario's")
    parser.add_argument("--step", type=float, help="seconds per step instead of the scenario's")
    parser.add_argument("--data", type=Path, help="folder of the real files that the scenario names")
    parser.add_argument("--strategies", help="comma-separated, instead of the scenario's")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one per core)")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw one strategy's run: a .png or .svg file")
    parser.add_argument("--plot-strategy", metavar="NAME", help="the strategy drawn (default: the last one)")
    parser.add_argument("--schema", action="store_true", help="print the JSON Schema of scenario files, for editors")
    return parser.parse_args(argv)


def _found(name: str) -> tuple[str, str, Path]:
    """Name, text and folder of a scenario; a bare word may be a shipped one."""
    path = Path(name)
    if name in shipped() and not path.exists():
        return name, shipped_text(name), Path()
    try:
        text = read_file(path, limit_bytes=MAX_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no UTF-8 text: save it as UTF-8") from error
    return name, text, path.parent


def _adjusted(scenario: Scenario, arguments: argparse.Namespace) -> Scenario:
    if arguments.days is not None:
        if not 0.0 < arguments.days <= MOST_DAYS:
            raise UserError(f"stroomwacht simulate: --days is above 0 and at most {MOST_DAYS:g}")
        scenario = replace(scenario, days=arguments.days)
    if arguments.step is not None:
        if not STEP_RANGE_S[0] <= arguments.step <= STEP_RANGE_S[1]:
            raise UserError(f"stroomwacht simulate: --step is {STEP_RANGE_S[0]:g} to {STEP_RANGE_S[1]:g} s")
        scenario = replace(scenario, step_s=arguments.step)
    if arguments.strategies is not None:
        names = tuple(dict.fromkeys(arguments.strategies.split(",")))
        unknown = [name for name in names if name not in STRATEGIES]
        if unknown:
            raise UserError(f"stroomwacht simulate: no strategy '{unknown[0]}', only: {', '.join(STRATEGIES)}")
        scenario = replace(scenario, strategies=cast("tuple[StrategyName, ...]", names))
    if arguments.workers < 1:
        raise UserError("stroomwacht simulate: --workers is at least 1")
    return scenario


def _plotted(scenario: Scenario, arguments: argparse.Namespace) -> StrategyName | None:
    """The strategy to draw; None for no picture."""
    chosen = arguments.plot_strategy
    if arguments.plot is None:
        if chosen is not None:
            raise UserError("stroomwacht simulate: --plot-strategy needs --plot FILE")
        return None
    check_plot(arguments.plot)
    for name in scenario.strategies:
        if name == (scenario.strategies[-1] if chosen is None else chosen):
            return name
    names = ", ".join(scenario.strategies)
    raise UserError(f"stroomwacht simulate: '{chosen}' is not run and cannot be drawn, only: {names}")


def _draw(scenario: Scenario, outcome: Outcome, path: Path | None) -> None:
    for run in outcome.runs:
        if path is not None and isinstance(run.watcher, QuarterWatch):
            save(figure_of(run.watcher.track(), f"{scenario.name}: {run.name}"), path)


def _refused(name: str, problems: tuple[Problem, ...]) -> int:
    for problem in problems:
        print(f"{name}:{problem.line} {problem.path}: {problem.message}", file=sys.stderr)
    return EXIT_REFUSED


def _tell_rows(bad_rows: tuple[BadRow, ...]) -> None:
    counts: dict[str, int] = {}
    for bad in bad_rows:
        counts[bad.file] = counts.get(bad.file, 0) + 1
        if counts[bad.file] <= MOST_ROWS_NAMED:
            print(f"{bad.file}:{bad.row}: {bad.why}; left out", file=sys.stderr)
    for name, count in counts.items():
        if count > MOST_ROWS_NAMED:
            print(f"{name}: {count - MOST_ROWS_NAMED} more rows left out", file=sys.stderr)


def _show(scenario: Scenario, outcome: Outcome) -> None:
    table = Table(title=f"{scenario.name}: {scenario.days:g} days at {scenario.step_s:g} s")
    table.add_column("")
    for run in outcome.runs:
        table.add_column(run.name, justify="right")
    for key in outcome.runs[0].figures:
        cells = [dict(run.figures)[key] for run in outcome.runs]
        table.add_row(key, *["-" if value is None else f"{value:,.6g}" for value in cells])
    Console().print(table)
    print(f"{outcome.wall_s:.1f} s, {outcome.speed_x:.0f} times real time per core")
