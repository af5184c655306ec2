"""The live view in the terminal: what the gateway tells about the newest scan, as bars and sentences. Pure.

It takes the JSON of the gateway's pages ``/view`` and ``/health``, so that it shows what any client would see. State is
never told by colour alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

BAR_WIDTH: Final[int] = 14
PHASES: Final[tuple[str, str, str]] = ("L1", "L2", "L3")
NO_LIMIT_A: Final[float] = 1e6
"""A budget nobody limits is told as a number far above any current."""
CALM_SHARE: Final[float] = 0.9
"""Of its limit: above this a bar is drawn in yellow."""
FRAME_ROWS: Final[int] = 17
"""Lines around the rows of the two tables: titles, heads, borders, alarms, story, hint."""
FEWEST_ROWS: Final[int] = 8
CIRCUIT_SHARE: Final[float] = 0.35
ALARM_ROWS: Final[int] = 3
STORY_ROWS: Final[int] = 3
STATES: Final[Mapping[str, str]] = {
    "A": "free", "B1": "occupied", "B2": "occupied", "C1": "charging", "C2": "charging", "D1": "charging",
    "D2": "charging", "E": "not in operation", "F": "not in operation", "UNKNOWN": "no answer yet",
}  # fmt: skip
"""Control pilot states (IEC 61851-1) in the words people know."""
MODES: Final[Mapping[str, str]] = {
    "failsafe": "failsafe: waits until the whole site was read",
    "fallback": "own rules (no plan)",
    "plan": "follows the plan",
}

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """What the demo itself adds: name of the site, seconds since its start, the story so far, where the journal is."""

    name: str
    elapsed_s: float
    story: tuple[str, ...] = ()
    hint: str = "Ctrl-C ends the demo and leaves the chargers at failsafe"


def picture(view: Json, health: Json, told: Told, *, height: int = 40) -> RenderableType:
    """The whole screen for a terminal of ``height`` lines."""
    rows = max(FEWEST_ROWS, height - FRAME_ROWS)
    circuit_rows = min(len(view["circuits"]), max(2, round(CIRCUIT_SHARE * rows)))
    parts: list[RenderableType] = [_head(view, health, told)]
    if view["number"] is None:
        parts.append(Text("waits for the first scan ...", style="dim"))
    else:
        parts += [_circuits(view, circuit_rows), _chargers(view, rows - circuit_rows), _alarms(view, health)]
    parts.append(_story(told))
    parts.append(Text(told.hint, style="dim"))
    return Group(*parts)


def _head(view: Json, health: Json, told: Told) -> Text:
    mode = str(view.get("mode", "failsafe"))
    minutes, seconds = divmod(int(told.elapsed_s), 60)
    scans = "-" if view["number"] is None else f"{view['number'] + 1:,}"
    head = Text(f"{told.name}", style="bold")
    head.append(f"   {minutes:02d}:{seconds:02d}   scan {scans}   late {health.get('late_scans', 0)}   ")
    head.append(f"mode: {MODES.get(mode, mode)}", style="yellow" if mode == "failsafe" else "default")
    return head


def _circuits(view: Json, rows: int) -> Table:
    circuits: Sequence[Json] = view["circuits"]
    loads = {c["id"]: circuit_load(view, c) for c in circuits}
    depths = _depths(circuits)
    busiest = sorted(circuits, key=lambda c: (depths[c["id"]] > 0, -_share(c, loads[c["id"]])))[:rows]
    shown = {c["id"] for c in busiest}
    left = len(circuits) - len(shown)
    title = "circuits: measured / limit, then what is left for cars (≈ summed up, no meter there)"
    table = Table(title=title, title_justify="left", title_style="dim", expand=True, pad_edge=False)
    table.add_column("circuit", no_wrap=True)
    for phase in PHASES:
        table.add_column(phase, no_wrap=True)
    for circuit in circuits:
        if circuit["id"] in shown:
            name = "  " * depths[circuit["id"]] + circuit["id"]
            table.add_row(name, *_phase_cells(circuit, loads[circuit["id"]]))
    if left:
        table.caption = f"and {left} calmer circuits"
        table.caption_justify = "left"
    return table


def _depths(circuits: Sequence[Json]) -> dict[str, int]:
    """Levels above each circuit; parents come first."""
    depths: dict[str, int] = {}
    for circuit in circuits:
        depths[circuit["id"]] = 0 if circuit["parent"] is None else depths[circuit["parent"]] + 1
    return depths


@dataclass(frozen=True, slots=True)
class Load:
    """Current per phase (A, None unknown) of a circuit; ``summed``: there is no meter, cars and background add up."""

    amps: tuple[float | None, float | None, float | None]
    summed: bool


def circuit_load(view: Json, circuit: Json) -> Load:
    """What a circuit carries: its meter's word, else its assets and what the controller believes of the rest."""
    measured = circuit["measured_a"]
    if any(value is not None for value in measured):
        return Load((measured[0], measured[1], measured[2]), summed=False)
    below = _below(view["circuits"], circuit["id"])
    drawn = [a["measured_a"] for a in view["assets"] if a["circuit"] in below]
    amps: list[float | None] = []
    for phase in range(3):
        values = [row[phase] for row in drawn] + [circuit["background_a"][phase]]
        amps.append(None if any(value is None for value in values) else sum(values))
    return Load((amps[0], amps[1], amps[2]), summed=True)


def _below(circuits: Sequence[Json], top: str) -> set[str]:
    found = {top}
    for circuit in circuits:
        if circuit["parent"] in found:
            found.add(circuit["id"])
    return found


def _share(circuit: Json, load: Load) -> float:
    """Highest share of its limit over the phases."""
    pairs = zip(load.amps, circuit["limit_a"], strict=True)
    return max((amps / limit for amps, limit in pairs if amps is not None and limit), default=0.0)


def _phase_cells(circuit: Json, load: Load) -> Iterator[Text]:
    for phase in range(3):
        yield phase_cell(
            load.amps[phase],
            limit_a=circuit["limit_a"][phase],
            rated_a=circuit["rated_a"][phase],
            budget_a=circuit["budget_a"][phase],
            summed=load.summed,
        )


def phase_cell(
    measured_a: float | None, *, limit_a: float, rated_a: float, budget_a: float | None, summed: bool = False
) -> Text:
    """One phase as a bar of its rating with a stroke at the limit, then numbers in A."""
    if measured_a is None:
        return Text("no reading", style="yellow")
    color = "red" if measured_a > rated_a else "yellow" if measured_a > CALM_SHARE * limit_a else "green"
    mark = " OVER" if measured_a > rated_a else ""
    cell = _bar(measured_a, limit_a, rated_a, color)
    cell.append(f" {'≈' if summed else ''}{measured_a:.1f}/{limit_a:g} A{mark}", style=color)
    if budget_a is not None and budget_a < NO_LIMIT_A:
        cell.append(f" →{max(budget_a, 0.0):.1f}", style="cyan")
    return cell


def _bar(measured_a: float, limit_a: float, rated_a: float, color: str) -> Text:
    full = max(rated_a, limit_a, 1e-9)
    filled = min(BAR_WIDTH, max(0, round(BAR_WIDTH * measured_a / full)))
    stroke = min(BAR_WIDTH - 1, max(0, round(BAR_WIDTH * limit_a / full)))
    bar = Text()
    for k in range(BAR_WIDTH):
        bar.append("│" if k == stroke else "█" if k < filled else "░", style=color if k < filled else "dim")
    return bar


def _chargers(view: Json, rows: int) -> Table:
    assets = sorted(view["assets"], key=_rank)
    table = Table(expand=True, pad_edge=False)
    table.add_column("place", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for name in ("wish", "offered", "measured L1/L2/L3", "kWh"):
        table.add_column(name, no_wrap=True, justify="right")
    table.add_column("why", ratio=1)
    shown, rest = assets[:rows], assets[rows:]
    for asset in shown:
        table.add_row(*asset_cells(asset))
    if rest:
        busy = sum(bool(a["session"]) for a in rest)
        table.caption = f"and {len(rest)} more, {busy} of them with a car"
        table.caption_justify = "left"
    return table


def _rank(asset: Json) -> tuple[int, float]:
    """Where something happens comes first: cars that wait, cars that charge, the other assets, free places."""
    if asset["kind"] != "evse":
        return (2, 0.0)
    if not asset["session"]:
        return (3, 0.0)
    return (1 if asset["setpoint_a"] > 0 else 0, -asset["setpoint_a"])


def asset_cells(asset: Json) -> tuple[str, str, str, str, str, str, str]:
    """The row of an asset: name, state in words, wish, offer, current per phase, energy, reason."""
    measured = "/".join("-" if value is None else f"{value:.1f}" for value in asset["measured_a"])
    offered = asset["setpoint_a"] if asset["offered_a"] is None else asset["offered_a"]
    stopped = " STOPPED" if asset["stop"] else ""
    state = STATES[asset["pilot"]] if asset["kind"] == "evse" else asset["kind"]
    return (
        asset["id"],
        state + stopped,
        f"{asset['wish_a']:.1f}",
        f"{offered:.1f}",
        measured,
        f"{asset['energy_kwh']:.2f}",
        asset["why"],
    )


def _alarms(view: Json, health: Json) -> RenderableType:
    """Alarms of the scan and other conditions; the standing ones of this machine (no realtime rights) are left out."""
    others = [p["text"] for p in health.get("problems", ()) if not p["key"].startswith(("alarm.", "refused.", "clock"))]
    lines = [*view["alarms"], *others]
    if not lines:
        return Text("no alarms", style="dim green")
    more = len(lines) - ALARM_ROWS
    shown = [f"! {line}" for line in lines[:ALARM_ROWS]] + ([f"! and {more} more"] if more > 0 else [])
    return Text("\n".join(shown), style="bold yellow")


def _story(told: Told) -> Panel:
    lines = told.story[-STORY_ROWS:] or ("the devices start",)
    return Panel("\n".join(lines), title="what happens", title_align="left", border_style="dim")
