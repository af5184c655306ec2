"""`optimizer solve`: the plan of one problem file, as JSON or a table."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

import numpy as np
from rich.console import Console
from rich.table import Table

from interfaces.command_line import command_parser, print_json, read_file
from interfaces.domain.plan import MOST_PPM
from interfaces.domain.series import utc_text
from interfaces.domain.units import MILLI, kw_from_mw
from interfaces.errors import UserError
from optimizer.core.codec import MAX_BYTES, problem_from_json, problem_schema
from optimizer.core.planning import DEADLINE_S, Planned, Refused, plan_problem

if TYPE_CHECKING:
    from optimizer.core.problem import Problem
    from optimizer.core.targets import Need

SHOWN_STEPS: Final[int] = 48
"""Rows of the table: twelve hours; `--json` has them all."""
SHOWN_ASSETS: Final[int] = 6
PPM: Final[int] = MOST_PPM // 100


def run(argv: list[str]) -> None:
    """Print the plan of the problem that the words name, or the schema of problem files.

    Raises:
        UserError: the words are wrong, or the problem is refused: one line for each reason.
    """
    parser = command_parser("optimizer solve", "Solve one planning problem and print its plan.", figures=True)
    parser.add_argument("file", nargs="?", type=Path, metavar="PROBLEM.json", help="the problem")
    parser.add_argument("--schema", action="store_true", help="print the JSON Schema of problem files, for editors")
    parser.add_argument("--deadline", type=float, default=DEADLINE_S, metavar="S", help="seconds for the solver")
    options = parser.parse_args(argv)
    if options.schema:
        if options.file is not None:
            raise UserError("stroomwacht optimizer solve: --schema stands alone, leave the file out")
        print(json.dumps(problem_schema(), indent=2, ensure_ascii=False))  # noqa: T201  the terminal is the interface
        return
    if options.file is None:
        raise UserError("stroomwacht optimizer solve: name a problem file, or --schema")
    if not options.deadline > 0:
        raise UserError("stroomwacht optimizer solve: --deadline is a number of seconds above 0")
    problem = problem_from_json(read_file(options.file, limit_bytes=MAX_BYTES))
    if isinstance(problem, tuple):
        raise UserError(_refusal(options.file, problem))
    planned = plan_problem(problem, deadline_s=options.deadline)
    if isinstance(planned, Refused):
        raise UserError(_refusal(options.file, planned.reasons))
    if options.json:
        print_json(figures(problem, planned))
    else:
        _show(problem, planned)


def _refusal(file: Path, reasons: tuple[str, ...]) -> str:
    return "\n".join(f"{file}: {reason}" for reason in reasons)


def figures(problem: Problem, planned: Planned) -> dict[str, object]:
    """The plan as one JSON object: rows of time x asset, what it costs, and what there is to say about it."""
    return {
        "site": problem.site.id,
        "topology_version": problem.site.topology_version,
        "status": planned.status,
        "objective_eur": planned.objective_eur,
        "bound_eur": planned.bound_eur if np.isfinite(planned.bound_eur) else None,
        "cost_energy_eur": energy_cost_eur(planned),
        "peak_kw": float(planned.solution.peak_kw[0]),
        "start_utc": utc_text(int(planned.start_epoch_s)),
        "step_s": planned.step_s,
        "assets": list(planned.assets),
        "setpoint_a": [[ma / MILLI for ma in row] for row in planned.setpoint_ma.tolist()],
        "value_eur_per_kwh": [[ppm / PPM for ppm in row] for row in planned.value_ppm.tolist()],
        "planned_import_kw": [kw_from_mw(mw) for mw in planned.planned_import_mw.tolist()],
        "load_kw": _rounded(planned.believed_load_kw.tolist()),
        "pv_kw": _rounded(planned.believed_pv_kw.tolist()),
        "import_eur_per_kwh": _rounded(planned.import_eur_per_kwh.tolist()),
        "export_eur_per_kwh": _rounded(planned.export_eur_per_kwh.tolist()),
        "targets": [_target(need) for need in planned.needs],
        "shortages": [{"evse": e.evse, "shortfall_kwh": round(e.shortfall_kwh, 6)} for e in planned.events],
        "events": [
            {
                "kind": "will_not_be_ready",
                "evse": event.evse,
                "departure_utc": _utc(event.departure_epoch_s),
                "shortfall_kwh": round(event.shortfall_kwh, 6),
                "shortfall_pct": event.shortfall_pct,
                "shortfall_km": event.shortfall_km,
                "uncertainty_kwh": event.uncertainty_kwh,
                "cause": event.cause,
                "limit": event.limit,
                "text": event.text,
            }
            for event in planned.events
        ],
        "notes": list(planned.notes),
    }


def energy_cost_eur(planned: Planned) -> float:
    """What the energy of the solution costs, export earned; without peak, wear and what a shortage is weighed with."""
    solution, dt_h = planned.solution, planned.compiled.steps.dt_h
    bought = solution.import_kw * planned.import_eur_per_kwh
    return float(((bought - solution.export_kw * planned.export_eur_per_kwh) * dt_h).sum())


def _free(problem: Problem, planned: Planned, k: int) -> bool:
    """Whether a column is a PV plant that may feed in all it has: nothing to see."""
    is_plant = planned.assets[k] in {plant.id for plant in problem.site.pv}
    return is_plant and int(np.ptp(planned.setpoint_ma[:, k])) == 0


def _target(need: Need) -> dict[str, object]:
    return {
        "evse": need.evse,
        "source": need.source,
        "asked": need.asked,
        "energy_kwh": round(need.energy_kwh, 6),
        "uncertainty_kwh": round(need.uncertainty_kwh, 6),
        "departure_utc": _utc(need.departure_epoch_s),
        "soc_source": need.soc_source,
        "soc_pct": need.soc_pct,
        "deferrable": need.deferrable,
    }


def _utc(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _rounded(values: list[float]) -> list[float]:
    return [round(value, 6) for value in values]


def _show(problem: Problem, planned: Planned) -> None:
    """A table for people: what each asset is told, what the connection draws, and every sentence there is."""
    console, zone = Console(), ZoneInfo(problem.site.time_zone)
    console.print(
        f"{problem.site.id}: {planned.status}, energy {energy_cost_eur(planned):.2f} EUR, peak "
        f"{planned.solution.peak_kw[0]:.1f} kW, {len(planned.assets)} assets",
        highlight=False,
    )
    shown = [k for k in range(len(planned.assets)) if not _free(problem, planned, k)][:SHOWN_ASSETS]
    table = Table(caption=f"A per conductor, negative feeds in; hours of {problem.site.time_zone}")
    for heading in ("from", "EUR/kWh", "kW", *(planned.assets[k] for k in shown)):
        table.add_column(heading, justify="right", no_wrap=True)
    for t in range(min(SHOWN_STEPS, len(planned.setpoint_ma))):
        when = datetime.fromtimestamp(planned.start_epoch_s + t * planned.step_s, zone)
        table.add_row(
            when.strftime("%a %H:%M"),
            f"{planned.import_eur_per_kwh[t]:.4f}",
            f"{kw_from_mw(planned.planned_import_mw[t]):.2f}",
            *(f"{planned.setpoint_ma[t, k] / MILLI:g}" for k in shown),
        )
    console.print(table)
    for target in planned.needs:
        spread = f" ±{target.uncertainty_kwh:.1f}" if target.uncertainty_kwh else ""
        when = datetime.fromtimestamp(target.departure_epoch_s, zone)
        console.print(
            f"{target.evse}: {target.energy_kwh:.1f}{spread} kWh until {when:%a %H:%M} "
            f"({target.asked}, {target.source}; state of charge: {target.soc_source})",
            highlight=False,
            markup=False,
        )
    for text in (*(event.text for event in planned.events), *planned.notes):
        console.print(text, highlight=False, markup=False)
