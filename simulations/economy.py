"""What the optimizer is worth: every economy scenario under every strategy, one table.

Each strategy of each scenario is a job of its own, the longest first, so that all cores are busy to the end.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeAlias

from interfaces.errors import UserError
from simulations.figures import Figures
from simulations.planned import plan_world_of
from simulations.run import Loop
from simulations.scenario import PLANNED, STRATEGIES, StrategyName
from simulations.scenario_schema import load_scenario
from simulations.simulate import shipped_text
from simulations.world import site_of, world_of

SITES: Final[tuple[str, ...]] = ("depot", "office", "garage")
MEASURED: Final[str] = "_real"
COMPARED: Final[tuple[StrategyName, ...]] = tuple(name for name in STRATEGIES if name != "no-ledger")
DAYS: Final[float] = 14.0
HUNDRED: Final[float] = 100.0

Table: TypeAlias = Mapping[str, Mapping[StrategyName, Figures]]


@dataclass(frozen=True, slots=True)
class Job:
    """One strategy in one shipped scenario."""

    scenario: str
    strategy: StrategyName
    days: float
    data: Path | None


def run_job(job: Job) -> Figures:
    """A whole run; ``energy_possible_kwh`` is left at 0, which would cost as much again.

    Raises:
        UserError: a file of the scenario is missing or does not reach far enough.
    """
    scenario = load_scenario(shipped_text(job.scenario)).scenario
    if scenario is None:
        raise UserError(f"the shipped scenario {job.scenario} cannot be read")
    scenario = replace(scenario, days=job.days)
    site = site_of(scenario.site, Path())
    world, _ = world_of(scenario, site, job.data)
    plans = plan_world_of(scenario, site, world, job.data, job.strategy) if job.strategy in PLANNED else None
    loop = Loop(world, job.strategy, plans)
    loop.run()
    return loop.figures(0.0)


def run_table(jobs: Sequence[Job], workers: int) -> Table:
    """All jobs, told one by one on stderr as they end; the table in the order of the jobs."""
    # Spawned, not forked: a fork would copy the locks of whatever threads its parent runs.
    context = multiprocessing.get_context("spawn")
    done: dict[Job, Figures] = {}
    with ProcessPoolExecutor(max(1, min(workers, len(jobs))), mp_context=context) as pool:
        longest_first = sorted(jobs, key=lambda job: (job.strategy not in PLANNED, job.strategy == "uncontrolled"))
        running = {pool.submit(run_job, job): job for job in longest_first}
        for future in as_completed(running):
            job = running[future]
            done[job] = future.result()
            print(f"{job.scenario}, {job.strategy}: done, {len(done)} of {len(jobs)}", file=sys.stderr, flush=True)
    table: dict[str, dict[StrategyName, Figures]] = {}
    for job in jobs:
        table.setdefault(job.scenario, {})[job.strategy] = done[job]
    return table


def markdown(table: Table) -> str:
    """The table for people: a block per scenario and the ratios that matter below it."""
    blocks = []
    for scenario, runs in table.items():
        lines = [f"### {scenario}", "", f"| {' | '.join(HEAD)} |", f"| --- |{' ---: |' * (len(HEAD) - 1)}"]
        lines += [f"| {' | '.join(_cells(name, figures))} |" for name, figures in runs.items()]
        blocks.append("\n".join([*lines, "", *_ratios(runs)]))
    return "\n\n".join(blocks) + "\n"


HEAD: Final[tuple[str, ...]] = (
    "strategy", "energy EUR", "peak EUR", "total EUR", "delivered kWh", "unmet kWh", "open kWh", "met %", "own use %",
    "self-made overload s", "overload s", "trips", "interruptions", "plan ms p50 / p99",
)  # fmt: skip


def _cells(name: str, figures: Figures) -> list[str]:
    took = "-"
    if figures["solve_ms_p50"] is not None and figures["solve_ms_p99"] is not None:
        took = f"{figures['solve_ms_p50']:.0f} / {figures['solve_ms_p99']:.0f}"
    return [
        name,
        _number(figures["cost_energy_eur"]),
        _number(figures["cost_peak_eur"]),
        _number(figures["cost_total_eur"]),
        _number(figures["energy_delivered_kwh"]),
        _number(figures["unmet_kwh"]),
        _number(figures["open_kwh"]),
        _number(figures["sessions_met_pct"]),
        _number(figures["self_consumption_pct"]),
        f"{figures['self_made_overload_s']:.0f}",
        f"{figures['overload_s']:.0f}",
        f"{figures['trips']}",
        f"{figures['switches']}",
        took,
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _ratios(runs: Mapping[StrategyName, Figures]) -> list[str]:
    """What plans are worth, as far as the strategies to compare with were run."""
    mpc = runs.get("mpc")
    if mpc is None or mpc["cost_total_eur"] is None:
        return []
    lines = []
    perfect = runs.get("mpc-perfect")
    if perfect is not None and perfect["cost_total_eur"]:
        lines.append(f"- total cost, mpc / mpc-perfect: {mpc['cost_total_eur'] / perfect['cost_total_eur']:.3f}")
    for name in ("fallback", "fair-share", "uncontrolled"):
        other = runs.get(name)
        if other is None or not other["cost_total_eur"]:
            continue
        less_pct = HUNDRED * (1.0 - mpc["cost_total_eur"] / other["cost_total_eur"])
        more_kwh = other["unmet_kwh"] - mpc["unmet_kwh"]
        lines.append(f"- mpc against {name}: {less_pct:.1f} % cheaper, {more_kwh:+.1f} kWh to the cars that have left")
    return lines


def jobs_of(sites: Sequence[str], strategies: Sequence[str], days: float, data: Path | None) -> tuple[Job, ...]:
    """A job for each strategy at each site, on measured data where there is a folder of it.

    Raises:
        UserError: a site or a strategy that is not compared here.
    """
    unknown = [one for one in sites if one not in SITES] + [one for one in strategies if one not in COMPARED]
    if unknown:
        raise UserError(f"'{unknown[0]}' is none of: {', '.join((*SITES, *COMPARED))}")
    suffix = "" if data is None else MEASURED
    names = [name for name in COMPARED if name in strategies]
    return tuple(Job(f"economy_{site}{suffix}", name, days, data) for site in sites for name in names)
