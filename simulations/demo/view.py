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

BAR_WIDTHS: Final[tuple[int, int]] = (3, 14)
"""Shortest and longest bar; in between it takes what the terminal leaves."""
NUMBERS_WIDTH: Final[int] = 22
"""The numbers behind a bar and its borders."""
NARROW: Final[int] = 130
"""Columns of a terminal below which wish and energy of the chargers are left out, so that the reason fits."""
TIGHT: Final[int] = 105
"""Below this a reason takes two lines."""
PHASES: Final[tuple[str, str, str]] = ("L1", "L2", "L3")
NO_LIMIT_A: Final[float] = 1e6
"""A budget nobody limits is told as a number far above any current."""
CALM_SHARE: Final[float] = 0.9
"""Of its limit: above this a bar is drawn in yellow."""
FRAME_ROWS: Final[int] = 18
"""Lines around the rows of the two tables: titles, heads, borders, alarms, story, hint."""
CAPTIONS: Final[int] = 2
"""Lines that say what is not shown, on a site that is larger than the screen."""
FEWEST_ROWS: Final[int] = 4
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

NUMBERS: Final[tuple[str, ...]] = ("wish", "offered", "measured A", "kWh")

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """What the demo itself adds: name of the site, seconds since its start, the story so far, where the journal is."""

    name: str
    elapsed_s: float
    story: tuple[str, ...] = ()
    hint: str = ""


def picture(view: Json, health: Json, told: Told, *, width: int = 120, height: int = 40) -> RenderableType:
    """The whole screen for a terminal of ``width`` columns and ``height`` lines."""
    if view.get("number") is None:
        return Group(_head(view, health, told), Text("waits for the first scan ...", style="dim"), _story(told))
    rows = max(FEWEST_ROWS, height - FRAME_ROWS)
    if len(view["circuits"]) + len(view["assets"]) > rows:
        rows = max(FEWEST_ROWS, rows - CAPTIONS)
    circuit_rows = min(len(view["circuits"]), max(2, round(CIRCUIT_SHARE * rows)))
    parts: list[RenderableType] = [_head(view, health, told)]
    charger_rows = (rows - circuit_rows) // (2 if width < TIGHT else 1)
    chargers = _chargers(view, max(1, charger_rows), width)
    parts += [_circuits(view, circuit_rows, width), chargers, _alarms(view, health)]
    parts.append(_story(told))
    parts.append(Text(told.hint, style="dim"))
    return Group(*parts)


def _head(view: Json, health: Json, told: Told) -> Text:
    mode = str(view.get("mode", "failsafe"))
    minutes, seconds = divmod(int(told.elapsed_s), 60)
    scans = "-" if view.get("number") is None else f"{view['number'] + 1:,}"
    head = Text(f"{told.name}", style="bold")
    head.append(f"   {minutes:02d}:{seconds:02d}   scan {scans}   late {health.get('late_scans', 0)}   ")
    head.append(f"mode: {MODES.get(mode, mode)}", style="yellow" if mode == "failsafe" else "default")
    return head


def _circuits(view: Json, rows: int, width: int) -> Table:
    circuits: Sequence[Json] = view["circuits"]
    loads = {c["id"]: circuit_load(view, c) for c in circuits}
    depths = _depths(circuits)
    busiest = sorted(circuits, key=lambda c: (depths[c["id"]] > 0, -_share(c, loads[c["id"]])))[:rows]
    shown = {c["id"] for c in busiest}
    left = len(circuits) - len(shown)
    title = "circuits: measured/limit →what is left for cars (≈ summed up, no meter there)"
    table = Table(title=title, title_justify="left", title_style="dim", expand=True, pad_edge=False)
    table.add_column("circuit", no_wrap=True)
    for phase in PHASES:
        table.add_column(phase, no_wrap=True)
    indent = " " if width < TIGHT else "  "
    names = {c["id"]: indent * depths[c["id"]] + c["id"] for c in circuits if c["id"] in shown}
    left_for_bar = (width - max(map(len, names.values())) - 4) // len(PHASES) - NUMBERS_WIDTH
    bar_width = min(BAR_WIDTHS[1], max(BAR_WIDTHS[0], left_for_bar))
    for circuit in circuits:
        if circuit["id"] in shown:
            table.add_row(names[circuit["id"]], *_phase_cells(circuit, loads[circuit["id"]], bar_width))
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


def _phase_cells(circuit: Json, load: Load, bar_width: int) -> Iterator[Text]:
    for phase in range(3):
        yield phase_cell(
            load.amps[phase],
            limit_a=circuit["limit_a"][phase],
            rated_a=circuit["rated_a"][phase],
            budget_a=circuit["budget_a"][phase],
            summed=load.summed,
            bar_width=bar_width,
        )


def phase_cell(
    measured_a: float | None,
    *,
    limit_a: float,
    rated_a: float,
    budget_a: float | None,
    summed: bool = False,
    bar_width: int = BAR_WIDTHS[1],
) -> Text:
    """One phase as a bar of its rating with a stroke at the limit, then numbers in A."""
    if measured_a is None:
        return Text("no reading", style="yellow")
    color = "red" if measured_a > rated_a else "yellow" if measured_a > CALM_SHARE * limit_a else "green"
    mark = " OVER" if measured_a > rated_a else ""
    cell = _bar(measured_a, limit_a, rated_a, color, bar_width)
    cell.append(f" {'≈' if summed else ''}{measured_a:.1f}/{limit_a:.0f}A{mark}", style=color)
    if budget_a is not None and budget_a < NO_LIMIT_A:
        cell.append(f" →{max(budget_a, 0.0):.0f}", style="cyan")
    return cell


def _bar(measured_a: float, limit_a: float, rated_a: float, color: str, width: int) -> Text:
    full = max(rated_a, limit_a, 1e-9)
    filled = min(width, max(0, round(width * measured_a / full)))
    stroke = min(width - 1, max(0, round(width * limit_a / full)))
    bar = Text()
    for k in range(width):
        bar.append("│" if k == stroke else "█" if k < filled else "░", style=color if k < filled else "dim")
    return bar


def _chargers(view: Json, rows: int, width: int) -> Table:
    shown, rest = most_telling(view["assets"], rows)
    table = Table(expand=True, pad_edge=False)
    table.add_column("place", no_wrap=True)
    table.add_column("state", no_wrap=True)
    names = NUMBERS[1:3] if width < NARROW else NUMBERS
    for name in names:
        table.add_column(name, no_wrap=True, justify="right")
    table.add_column("why", ratio=1, no_wrap=width >= TIGHT, overflow="ellipsis")
    for asset in shown:
        cells = asset_cells(asset)
        table.add_row(asset["id"], cells["state"], *(cells[name] for name in names), asset["why"])
    if rest:
        busy = sum(bool(a["session"]) for a in rest)
        table.caption = f"and {len(rest)} more, {busy} of them with a car"
        table.caption_justify = "left"
    return table


def most_telling(assets: Sequence[Json], rows: int) -> tuple[list[Json], list[Json]]:
    """The assets worth a row each, and the rest: cars that wait in half of the rows, then cars that charge, then all
    other assets, free places last.
    """
    cars = [a for a in assets if a["kind"] == "evse" and a["session"]]
    waiting = [a for a in cars if a["setpoint_a"] <= 0]
    charging = sorted((a for a in cars if a["setpoint_a"] > 0), key=lambda a: -a["setpoint_a"])
    others = sorted((a for a in assets if a not in cars), key=lambda a: bool(a["kind"] == "evse"))
    first = max(rows // 2, rows - len(charging))
    ordered = [*waiting[:first], *charging, *waiting[first:], *others]
    return ordered[:rows], ordered[rows:]


def asset_cells(asset: Json) -> dict[str, str]:
    """State in words, wish and offer in A per conductor, current per phase in A, energy of the session in kWh."""
    measured = "/".join("-" if value is None else f"{value:.1f}" for value in asset["measured_a"])
    offered = asset["setpoint_a"] if asset["offered_a"] is None else asset["offered_a"]
    state = STATES[asset["pilot"]] if asset["kind"] == "evse" else asset["kind"]
    return {
        "state": state + (" STOPPED" if asset["stop"] else ""),
        "wish": f"{asset['wish_a']:.1f}",
        "offered": f"{offered:.1f}",
        "measured A": measured,
        "kWh": f"{asset['energy_kwh']:.2f}",
    }


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
    lines = Text("\n".join(told.story[-STORY_ROWS:]) or "the devices start", no_wrap=True, overflow="ellipsis")
    return Panel(lines, title="what happens", title_align="left", border_style="dim")
