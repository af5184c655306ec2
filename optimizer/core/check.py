"""Is a problem one that a plan can be made for? Refusals here; what can be mended is mended and noted by ``compile``.

Refused is what a plan could be wrong about: facts that do not belong together, a state that another installation took,
no idea of the load at the connection. People's wishes are never refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from math import isfinite
from typing import Final
from zoneinfo import ZoneInfo

from interfaces.domain.units import SECONDS_PER_HOUR
from optimizer.core.compile_steps import laid, steps_of
from optimizer.core.problem import Problem
from optimizer.core.problem_facts import SiteFacts
from optimizer.core.problem_state import SiteState
from optimizer.core.problem_types import STEP_S

STALE_S: Final[float] = 900.0
"""A state older than a quarter tells of other sessions than those that are there."""
AHEAD_S: Final[float] = 60.0
"""What two clocks that are kept by NTP never differ by."""


def refusals(problem: Problem) -> tuple[str, ...]:
    """Why no plan can be made, one sentence each; empty when one can."""
    tree = tuple(_tree(problem.site))
    found = (*tree, *_names(problem), *_moments(problem), *_announced(problem.state))
    return found or tuple(_forecast(problem))


def _tree(site: SiteFacts) -> Iterator[str]:
    """The circuits are one tree, and every asset hangs on it."""
    names = [circuit.id for circuit in site.circuits]
    yield from _twice("circuit", names)
    roots = [circuit.id for circuit in site.circuits if circuit.parent is None]
    if len(roots) != 1:
        yield f"exactly one circuit has no parent, the grid connection point; here it is {_list(roots) or 'none'}"
    parent = {circuit.id: circuit.parent for circuit in site.circuits}
    for circuit in site.circuits:
        if circuit.parent is not None and circuit.parent not in parent:
            yield f"circuit '{circuit.id}': there is no circuit '{circuit.parent}' above it"
        elif _circular(circuit.id, parent):
            yield f"circuit '{circuit.id}' is its own parent"
    assets = _assets(site)
    yield from _twice("asset", [name for name, _ in assets])
    for name, circuit_id in assets:
        if circuit_id not in parent:
            yield f"asset '{name}': there is no circuit '{circuit_id}'"


def _assets(site: SiteFacts) -> list[tuple[str, str]]:
    """Id and circuit of each asset."""
    return [
        *((one.id, one.circuit) for one in site.evses),
        *((one.id, one.circuit) for one in site.batteries),
        *((one.id, one.circuit) for one in site.pv),
        *((one.id, one.circuit) for one in site.buffers),
    ]


def _circular(name: str, parent: dict[str, str | None]) -> bool:
    above, seen = parent.get(name), 0
    while above is not None and above != name and seen <= len(parent):
        above, seen = parent.get(above), seen + 1
    return above is not None


def _names(problem: Problem) -> Iterator[str]:
    """Everything that is named is there, and once."""
    site, state, forecast = problem.site, problem.state, problem.forecast
    circuits = {circuit.id for circuit in site.circuits}
    kinds: tuple[tuple[str, Iterable[str], Iterable[str]], ...] = (
        ("EVSE", (one.id for one in site.evses), (one.evse for one in state.sessions)),
        ("EVSE", (one.id for one in site.evses), dict.fromkeys(one.evse for one in state.announced)),
        ("battery", (one.id for one in site.batteries), (one.battery for one in state.batteries)),
        ("buffer", (one.id for one in site.buffers), (one.buffer for one in state.buffers)),
        ("PV plant", (one.id for one in site.pv), (one.plant for one in forecast.pv)),
        ("buffer", (one.id for one in site.buffers), (one.buffer for one in forecast.heat)),
        ("circuit", circuits, (one.circuit for one in forecast.circuits)),
    )
    for kind, there, named in kinds:
        known, used = set(there), list(named)
        for name in dict.fromkeys(used):
            if name not in known:
                yield f"there is no {kind} '{name}' on this site"
        yield from _twice(kind, used)
    limited = [one.circuit for one in problem.contract.circuits]
    elsewhere = [*(one.circuit for one in forecast.arrivals), *limited, *(one.circuit for one in state.runs)]
    for name in dict.fromkeys(elsewhere):
        if name not in circuits:
            yield f"there is no circuit '{name}' on this site"
    own = {name for name, _ in _assets(site)}
    runs = [run.id for run in state.runs]
    yield from _twice("run", runs)
    yield from (f"run '{name}' has the id of an asset of another kind" for name in runs if name in own)
    yield from _twice("vehicle", [one.id for one in problem.vehicles])
    yield from _twice("RFID tag", [one.tag for one in problem.profiles])


def _moments(problem: Problem) -> Iterator[str]:
    """The state is of this installation and of now."""
    state, site = problem.state, problem.site
    if state.topology_version != site.topology_version:
        yield (
            f"the state was taken with topology {state.topology_version} and this is topology {site.topology_version}: "
            "the site has changed since, take a new state"
        )
    age_s = problem.now_epoch_s - state.taken_epoch_s
    if age_s > STALE_S:
        yield f"the state is {age_s / 60:.0f} min old, more than {STALE_S / 60:.0f} min"
    if age_s < -AHEAD_S:
        yield f"the state was taken {-age_s / SECONDS_PER_HOUR:.1f} h after this problem's own 'now'"
    try:
        ZoneInfo(site.time_zone)
    except (KeyError, ValueError, OSError):  # an odd name can be a folder of the time zone files
        yield f"there is no time zone '{site.time_zone}'"
    starts = {"forecast": problem.forecast.start_epoch_s}
    if problem.previous is not None:
        starts["previous"] = problem.previous.start_epoch_s
    for what, start_epoch_s in starts.items():
        if start_epoch_s % STEP_S:
            yield f"{what}.start_epoch_s is not on a clock quarter"
    columns = len(problem.previous.assets) if problem.previous is not None else 0
    if problem.previous is not None and any(len(row) != columns for row in problem.previous.setpoint_a):
        yield "previous.setpoint_a does not have one column per asset"


def _announced(state: SiteState) -> Iterator[str]:
    """Who is here and who is expected are two lists."""
    if any(session.arrives_epoch_s is not None for session in state.sessions):
        yield "a session that is going on has an hour of arrival: cars that are not here yet are 'announced'"
    if any(session.arrives_epoch_s is None for session in state.announced):
        yield "an announced car has no hour of arrival"


def _forecast(problem: Problem) -> Iterator[str]:
    """Something is known of the load at the connection."""
    root = next(circuit.id for circuit in problem.site.circuits if circuit.parent is None)
    one = next((one for one in problem.forecast.circuits if one.circuit == root), None)
    if one is None or all(value is None for value in one.load_kw):
        yield f"there is no forecast of the load at the grid connection '{root}': no plan can be made without any"
        return
    steps = steps_of(problem.now_epoch_s, problem.settings.horizon_steps, problem.site.time_zone)
    column = laid(one.load_kw, problem.forecast.start_epoch_s, STEP_S, steps)
    if not any(isfinite(value) for value in column.tolist()):
        yield f"the forecast of the load at '{root}' does not reach the hours of this plan"


def _twice(kind: str, names: list[str]) -> Iterator[str]:
    for name, count in Counter(names).items():
        if count > 1:
            yield f"{kind} '{name}' is given {count} times"


def _list(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
