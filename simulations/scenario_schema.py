"""Scenario files: text in, a scenario or every problem out; and their JSON Schema for editors."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from interfaces.domain.site_yaml import Path, Problem, read_yaml, shown
from interfaces.domain.topology import AssetKind, Topology
from simulations.scenario import ASSET_FAULTS, CIRCUIT_FAULTS, FaultEntry, Scenario

DIALECT: Final[str] = "https://json-schema.org/draft/2020-12/schema"
UNIONS: Final[frozenset[str]] = frozenset({"sessions", "sun", "prices"})
"""Keys behind which pydantic names the form (generated or file) that it tried."""

_adapter: Final[TypeAdapter[Scenario]] = TypeAdapter(Scenario)


@dataclass(frozen=True, slots=True)
class ScenarioResult:
    """``scenario`` is None exactly when there are problems."""

    scenario: Scenario | None
    problems: tuple[Problem, ...] = ()


def scenario_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a scenario file; an unknown key is an error everywhere."""
    schema = _adapter.json_schema()
    return {
        "$schema": DIALECT,
        "title": "stroomwacht SCENARIO.yaml",
        **{key: value for key, value in schema.items() if key != "title"},
    }


def load_scenario(text: str) -> ScenarioResult:
    """Read and check a scenario file; never raises for what is in the text."""
    document = read_yaml(text)
    problems = list(document.problems)
    if not document.complete or not isinstance(document.value, dict):
        if not problems:
            problems.append(Problem(1, "file", "a scenario is a mapping of names to values: start with 'version: 1'"))
        return ScenarioResult(None, tuple(problems))
    try:
        scenario = _adapter.validate_json(json.dumps(document.value), strict=True)
    except ValidationError as error:
        for one in error.errors(include_url=False, include_context=False, include_input=False):
            path = _path_of(one["loc"])
            problems.append(Problem(document.line_of(path), shown(path), _sentence(one["type"], one["msg"])))
        return ScenarioResult(None, tuple(sorted(set(problems))))
    for path, message in _misfits(scenario):
        problems.append(Problem(document.line_of(path), shown(path), message))
    return ScenarioResult(None, tuple(sorted(set(problems)))) if problems else ScenarioResult(scenario)


def _path_of(parts: tuple[int | str, ...]) -> Path:
    return tuple(part for part, before in zip(parts, (None, *parts), strict=False) if before not in UNIONS)


def _sentence(kind: str, message: str) -> str:
    if kind == "unexpected_keyword_argument":
        return "unknown key: remove it or correct its spelling"
    if kind == "missing":
        return "missing: add it"
    return message[:1].lower() + message[1:]


def _misfits(scenario: Scenario) -> list[tuple[Path, str]]:
    """What single fields cannot tell."""
    found: list[tuple[Path, str]] = []
    if len(set(scenario.strategies)) != len(scenario.strategies):
        found.append((("strategies",), "a strategy is named twice"))
    for key in ("stay_h", "energy_kwh", "ramp_s", "under_cloud"):
        for section, part in (("sessions", scenario.data.sessions), ("sun", scenario.data.sun)):
            pair = getattr(part, key, None)
            if pair is not None and pair[0] > pair[1]:
                found.append((("data", section, key), "the least comes first, then the most"))
    cars = scenario.data.sessions.cars
    if cars.adversarial_share + cars.disobedient_share > 1.0:
        found.append((("data", "sessions", "cars"), "adversarial_share and disobedient_share add up to more than 1"))
    for k, fault in enumerate(scenario.faults):
        found += [(("faults", k, key), message) for key, message in _fault_misfits(fault)]
    return found


def _fault_misfits(fault: FaultEntry) -> list[tuple[str, str]]:
    needed = {"load_step": ("amps_a",), "sun_share": ("share",), "operator_limit": ("power_w",)}.get(fault.kind, ())
    if fault.kind in CIRCUIT_FAULTS:
        needed = ("circuit", *needed)
    elif fault.kind in ASSET_FAULTS:
        needed = ("asset", *needed)
    found = []
    for key in ("circuit", "asset", "amps_a", "share", "power_w"):
        given = getattr(fault, key) is not None
        if given != (key in needed):
            found.append((key, f"{fault.kind} {'has no' if given else 'needs'} {key}"))
    return found


def unknown_names(text: str, scenario: Scenario, topology: Topology) -> tuple[Problem, ...]:
    """Circuits and assets that the scenario in ``text`` names and its site does not have."""
    document = read_yaml(text)
    batteries = {a.id for a in topology.assets if a.kind is AssetKind.BATTERY}
    found: list[tuple[Path, str]] = []
    for k, load in enumerate(scenario.data.loads):
        if load.circuit not in topology.circuit_index:
            found.append((("data", "loads", k, "circuit"), f"the site has no circuit '{load.circuit}'"))
    for k, battery in enumerate(scenario.data.batteries):
        if battery.asset not in batteries:
            found.append((("data", "batteries", k, "asset"), f"the site has no battery '{battery.asset}'"))
    for k, fault in enumerate(scenario.faults):
        if fault.circuit is not None and fault.circuit not in topology.circuit_index:
            found.append((("faults", k, "circuit"), f"the site has no circuit '{fault.circuit}'"))
        if fault.asset is not None and fault.asset not in topology.index:
            found.append((("faults", k, "asset"), f"the site has no asset '{fault.asset}'"))
    return tuple(Problem(document.line_of(path), shown(path), message) for path, message in found)
