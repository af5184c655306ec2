"""A run as a picture: price, building, sun, import, cars and batteries over the site's own clock.

``QuarterWatch`` collects quarter-hour means while a loop runs, ``figure_of`` draws them; only the drawing needs
matplotlib.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import numpy as np

from interfaces.domain.plan import Plan
from interfaces.domain.topology import AssetKind
from interfaces.domain.units import MILLI, MW_PER_KW, SECONDS_PER_QUARTER, Floats, Ints
from interfaces.errors import UserError
from simulations.mpc import Mpc
from simulations.plant.site import Plant
from simulations.run import Loop

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES: Final[tuple[str, ...]] = (".png", ".svg")
PERCENT: Final[float] = 100.0
GRID, BUILDING, PV, CARS = range(4)
"""Columns of the means under way."""

COLOURS: Final[dict[str, str]] = {
    "black": "#000000", "orange": "#E69F00", "sky": "#56B4E9", "green": "#009E73", "blue": "#0072B2",
    "vermilion": "#D55E00", "purple": "#CC79A7",
}  # fmt: skip
"""Okabe and Ito 2008: told apart by people with any kind of colour blindness."""
BATTERY_COLOURS: Final = ("purple", "green", "sky", "vermilion")
WIDE_IN: Final[float] = 12.0
PANEL_IN: Final[float] = 2.4
DOTS_PER_INCH: Final[int] = 110


@dataclass(frozen=True, slots=True)
class Track:
    """Quarter-hour means of a run: K quarters of the clock from ``start_epoch_s`` (K,), powers in kW.

    ``import_kw`` at the grid connection, negative while feeding in; ``building_kw``; ``pv_kw`` production, positive;
    ``cars_kw``. ``planned_*``: what the plan in force at the beginning of the quarter says of it, NaN where none was
    followed. ``price_eur_per_kwh``: of import with the fee, NaN without prices. ``soc_pct`` (K, B) by ``batteries``.
    ``peak_kw``: highest import of the quarter's local month, at least the tariff's floor.
    """

    start_epoch_s: Ints
    import_kw: Floats
    building_kw: Floats
    pv_kw: Floats
    cars_kw: Floats
    planned_import_kw: Floats
    planned_cars_kw: Floats
    price_eur_per_kwh: Floats
    soc_pct: Floats
    peak_kw: Floats
    batteries: tuple[str, ...]
    time_zone: str


class QuarterWatch:
    """Sees a loop after each step; picklable, so that a worker process can send it back."""

    def __init__(self) -> None:
        self._quarter = -1
        self._sums: Floats = np.zeros(4)
        self._soc: Floats = np.zeros(0)
        self._price = 0.0
        self._seconds = 0.0
        self._planned = (np.nan, np.nan)
        self._rows: list[tuple[float, ...]] = []
        self._batteries: tuple[str, ...] = ()
        self._time_zone = "UTC"
        self._floor_kw = 0.0

    def __call__(self, loop: Loop) -> None:
        """The step that has just ended."""
        plant, step_s = loop.plant, loop.world.step_s
        began_s = plant.now_s - step_s
        quarter = int((plant.environment.start_epoch_s + began_s) // SECONDS_PER_QUARTER)
        if quarter != self._quarter:
            self._close()
            self._open(loop, quarter)
        self._sums += _powers_kw(plant) * step_s
        self._soc += plant.batteries.soc * PERCENT * step_s
        prices = loop.world.prices
        self._price += np.nan if prices is None else (prices.at(began_s) + prices.fee_eur_per_kwh) * step_s
        self._seconds += step_s

    def track(self) -> Track:
        """What was seen so far; the quarter under way counts as it is."""
        rows = np.array([*self._rows, *([self._row()] if self._seconds else [])], dtype=np.float64)
        rows = rows.reshape(len(rows), 8 + len(self._batteries))
        starts = rows[:, 0].astype(np.int64) * SECONDS_PER_QUARTER
        return Track(
            start_epoch_s=starts,
            import_kw=rows[:, 1],
            building_kw=rows[:, 2],
            pv_kw=rows[:, 3],
            cars_kw=rows[:, 4],
            planned_import_kw=rows[:, 5],
            planned_cars_kw=rows[:, 6],
            price_eur_per_kwh=rows[:, 7],
            soc_pct=rows[:, 8:],
            peak_kw=_month_peaks_kw(starts, rows[:, 1], self._time_zone, self._floor_kw),
            batteries=self._batteries,
            time_zone=self._time_zone,
        )

    def _open(self, loop: Loop, quarter: int) -> None:
        topology = loop.world.topology
        self._quarter, self._seconds, self._price = quarter, 0.0, 0.0
        self._sums = np.zeros(4)
        self._batteries = tuple(topology.assets[i].id for i in loop.plant.batteries.columns.tolist())
        self._soc = np.zeros(len(self._batteries))
        self._time_zone, self._floor_kw = loop.world.time_zone, loop.world.economy.capacity_floor_kw
        self._planned = _planned_kw(loop.planned, quarter * SECONDS_PER_QUARTER)

    def _row(self) -> tuple[float, ...]:
        means = (self._sums / self._seconds).tolist()
        soc = (self._soc / self._seconds).tolist()
        return (float(self._quarter), *means, *self._planned, self._price / self._seconds, *soc)

    def _close(self) -> None:
        if self._seconds:
            self._rows.append(self._row())


def _powers_kw(plant: Plant) -> Floats:
    """(4,) import, building, PV production and cars at this instant; the building is what no asset draws."""
    topology, power_w = plant.topology, plant.power_w
    pv = np.asarray(topology.kind) == int(AssetKind.PV)
    import_w = float((plant.row_a[0] * plant.grid.circuit_v[0]).sum())
    powers_w = np.array(
        [import_w, import_w - power_w.sum(), -power_w[pv].sum(), power_w[np.asarray(topology.is_evse)].sum()]
    )
    return np.asarray(powers_w / MILLI)


def _planned_kw(planned: Mpc | None, epoch_s: int) -> tuple[float, float]:
    """Import and cars as the plan that is followed now has them for the quarter of this moment."""
    if planned is None or planned.core.record is None:
        return np.nan, np.nan
    record = planned.core.record
    plan = record.image.plan
    if plan is None or record.report.mode != "plan":
        return np.nan, np.nan
    t = int((epoch_s - plan.start_epoch_s) // plan.step_s)
    if not 0 <= t < len(plan.planned_import_mw):
        return np.nan, np.nan
    return float(plan.planned_import_mw[t]) / MW_PER_KW, _planned_cars_kw(planned, plan, t)


def _planned_cars_kw(planned: Mpc, plan: Plan, t: int) -> float:
    """Setpoints on the conductors that the plan believed in, at nominal voltage."""
    topology, record = planned.core.plant.topology, planned.core.record
    total_a = 0.0
    for name, setpoint_ma in zip(plan.assets, plan.setpoint_ma[t].tolist(), strict=True):
        i = topology.index.get(name)
        if i is None or record is None or not topology.is_evse[i]:
            continue
        seen = planned.planner.memory.habits.phases(name)
        total_a += setpoint_ma / MILLI * float(sum(record.report.phase_use[i].tolist() if seen is None else seen))
    return total_a * topology.nominal_mv / MILLI / MILLI


def _month_peaks_kw(starts: Ints, import_kw: Floats, time_zone: str, floor_kw: float) -> Floats:
    zone = ZoneInfo(time_zone)
    months = [f"{datetime.fromtimestamp(start, zone):%Y-%m}" for start in starts.tolist()]
    peaks: dict[str, float] = {}
    for month, kw in zip(months, import_kw.tolist(), strict=True):
        peaks[month] = max(peaks.get(month, floor_kw), kw)
    return np.array([peaks[month] for month in months], dtype=np.float64)


def check_plot(path: Path) -> None:
    """Before a long run: can this picture be drawn at all?

    Raises:
        UserError: the suffix is not known, the folder does not exist, or matplotlib is not installed.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"stroomwacht simulate: --plot writes {' or '.join(SUFFIXES)}, not '{path.name}'")
    if not path.parent.is_dir():
        raise UserError(f"{path} cannot be written: there is no folder {path.parent}")
    try:
        importlib.import_module("matplotlib.figure")
    except ImportError as error:
        raise UserError("stroomwacht simulate: --plot needs matplotlib: install stroomwacht[sim]") from error


def figure_of(track: Track, title: str) -> Figure:
    """The picture of one run: panels of money, grid and cars, and of batteries where there are any."""
    from matplotlib.figure import Figure  # noqa: PLC0415  people who do not draw need not have it

    panels = 4 if track.batteries else 3
    figure = Figure(figsize=(WIDE_IN, PANEL_IN * panels), dpi=DOTS_PER_INCH, layout="constrained")
    axes: list[Axes] = list(figure.subplots(panels, 1, sharex=True))
    figure.suptitle(title)
    _draw_price(axes[0], track)
    _draw_grid(axes[1], track)
    _draw_cars(axes[2], track)
    if track.batteries:
        _draw_batteries(axes[3], track)
    for axis in axes:
        axis.grid(visible=True, alpha=0.3)
        axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    _label_time(axes[-1], track.time_zone)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write the picture; the same run makes the same file.

    Raises:
        UserError: it cannot be written.
    """
    from matplotlib import rc_context  # noqa: PLC0415

    unchanging: dict[str, Any] = {"metadata": {"Date": None}} if path.suffix.lower() == ".svg" else {}
    try:
        with rc_context({"svg.hashsalt": "stroomwacht"}):
            figure.savefig(path, **unchanging)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error


def _steps(axis: Axes, track: Track, values: Floats, label: str, colour: str, **how: Any) -> None:
    """A mean holds for its whole quarter: a step from its beginning, the last one drawn to its end."""
    zone = ZoneInfo(track.time_zone)
    starts = track.start_epoch_s.tolist()
    moments = [datetime.fromtimestamp(s, zone) for s in [*starts, *(s + SECONDS_PER_QUARTER for s in starts[-1:])]]
    held = np.concatenate([values, values[-1:]])
    axis.step(moments, held, where="post", label=label, color=COLOURS[colour], **how)  # type: ignore[arg-type]


def _draw_price(axis: Axes, track: Track) -> None:
    if np.isfinite(track.price_eur_per_kwh).any():
        _steps(axis, track, track.price_eur_per_kwh, "import price with fee", "black", linewidth=1.2)
    else:
        axis.plot([], [], label="no prices", color=COLOURS["black"])
    axis.set_ylabel("price, EUR/kWh")


def _draw_grid(axis: Axes, track: Track) -> None:
    _steps(axis, track, track.building_kw, "building", "sky", linewidth=1.2)
    _steps(axis, track, track.pv_kw, "PV", "orange", linewidth=1.2)
    _steps(axis, track, track.import_kw, "import, measured", "blue", linewidth=1.6)
    if np.isfinite(track.planned_import_kw).any():
        _steps(axis, track, track.planned_import_kw, "import, planned", "vermilion", linewidth=1.1, linestyle="--")
    _steps(axis, track, track.peak_kw, "peak of the month", "black", linewidth=1.0, linestyle=":")
    axis.set_ylabel("grid connection, kW")


def _draw_cars(axis: Axes, track: Track) -> None:
    _steps(axis, track, track.cars_kw, "cars, measured", "blue", linewidth=1.6)
    if np.isfinite(track.planned_cars_kw).any():
        _steps(axis, track, track.planned_cars_kw, "cars, planned", "vermilion", linewidth=1.1, linestyle="--")
    axis.set_ylabel("cars, kW")
    axis.set_ylim(bottom=0.0)


def _draw_batteries(axis: Axes, track: Track) -> None:
    for k, name in enumerate(track.batteries):
        colour = BATTERY_COLOURS[k % len(BATTERY_COLOURS)]
        _steps(axis, track, track.soc_pct[:, k], f"{name}, measured", colour, linewidth=1.4)
    axis.set_ylabel("state of charge, %")
    axis.set_ylim(0.0, PERCENT)


def _label_time(axis: Axes, time_zone: str) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter  # noqa: PLC0415

    zone = ZoneInfo(time_zone)
    locator = AutoDateLocator(tz=zone, minticks=5, maxticks=15)  # type: ignore[no-untyped-call]
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=zone))  # type: ignore[no-untyped-call]
    axis.set_xlabel(f"local time ({time_zone})")
