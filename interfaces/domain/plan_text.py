"""A plan as the text that is signed and sent: JSON, one line of changes per asset.

A plan is piecewise constant, so each column is ``[steps, values]``: from each of these steps on, that value, until the
next one; an asset the plan says nothing about is not in it. 100 assets over 48 h take about 20 kB instead of 400. The
signature covers the very bytes of this text, so that no two parsers can disagree about what was signed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from interfaces.domain.codec import CodecError, RefusedError, refuse
from interfaces.domain.codec_json import MAX_JSON_BYTES, parse_json
from interfaces.domain.plan import MAX_STEPS, PLAN_SCHEMA, Plan, plan_problems
from interfaces.domain.units import Ints

MAX_ASSETS: Final[int] = 2000
_TEXTS: Final = ("plan_id", "site", "topology_version")
_TIMES: Final = ("issued_epoch_s", "start_epoch_s", "valid_until_epoch_s", "lease_until_epoch_s")
_WHOLE: Final = ("schema", "sequence", "step_s", "steps")
_GRID: Final = ("export_ppm", "import_ppm", "beyond_ppm")
_SITE: Final = ("planned_import_mw", "calm_import_mw", *_GRID)
_KEYS: Final = frozenset({*_TEXTS, *_TIMES, *_WHOLE, "setpoint_ma", "value_ppm", *_SITE})
LONGEST_TEXT: Final[int] = 200


def plan_text(plan: Plan) -> str:
    """The text of a plan; ``key_id`` is not in it, it stands beside the signature.

    Raises:
        ValueError: the plan is malformed (see ``plan_problems``).
    """
    problems = plan_problems(plan)
    if problems:
        raise ValueError("; ".join(problems))
    body: dict[str, Any] = {
        **{name: getattr(plan, name) for name in (*_TEXTS, *_TIMES)},
        "schema": plan.schema,
        "sequence": plan.sequence,
        "step_s": plan.step_s,
        "steps": len(plan.planned_import_mw),
        "setpoint_ma": {name: _changes(plan.setpoint_ma[:, k]) for k, name in enumerate(plan.assets)},
        "value_ppm": {name: _changes(plan.value_ppm[:, k]) for k, name in enumerate(plan.assets)},
        "planned_import_mw": _changes(plan.planned_import_mw),
        "calm_import_mw": _changes(plan.calm_import_mw),
        **{name: _changes(plan.grid_ppm[:, k]) for k, name in enumerate(_GRID)},
    }
    return json.dumps(body, allow_nan=False, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def plan_of_text(text: str | bytes, key_id: str, *, max_bytes: int = MAX_JSON_BYTES) -> Plan | CodecError:
    """The plan in a text whose signature by ``key_id`` was checked, or why it is none."""
    if len(text) > max_bytes:
        return CodecError(f"larger than {max_bytes} bytes")
    try:
        plan = _plan(parse_json(text), key_id)
    except RefusedError as refused:
        return refused.as_value()
    problems = plan_problems(plan)
    return CodecError("; ".join(problems)) if problems else plan


def _plan(raw: Any, key_id: str) -> Plan:
    if not isinstance(raw, dict):
        refuse("a plan is a JSON object")
    schema = raw.get("schema")
    if type(schema) is not int or schema != PLAN_SCHEMA:
        refuse(f"plan schema {schema!r} is unknown here, only {PLAN_SCHEMA}")
    if raw.keys() != _KEYS:
        odd = min(raw.keys() ^ _KEYS)
        refuse(f"key '{odd}' is {'unknown' if odd in raw else 'missing'}")
    steps = _whole(raw, "steps")
    if not 1 <= steps <= MAX_STEPS:
        refuse(f"a plan has 1 to {MAX_STEPS} steps, this one {steps}")
    setpoints, values = _object(raw, "setpoint_ma"), _object(raw, "value_ppm")
    if setpoints.keys() != values.keys():
        refuse("setpoints and values are not for the same assets")
    if len(setpoints) > MAX_ASSETS:
        refuse(f"more than {MAX_ASSETS} assets")
    assets = tuple(setpoints)
    site = _columns(raw, "plan", _SITE, steps)
    return Plan(
        plan_id=_text(raw, "plan_id"),
        site=_text(raw, "site"),
        topology_version=_text(raw, "topology_version"),
        issued_epoch_s=_time(raw, "issued_epoch_s"),
        start_epoch_s=_time(raw, "start_epoch_s"),
        valid_until_epoch_s=_time(raw, "valid_until_epoch_s"),
        lease_until_epoch_s=_time(raw, "lease_until_epoch_s"),
        sequence=_whole(raw, "sequence"),
        key_id=key_id,
        step_s=_whole(raw, "step_s"),
        assets=assets,
        setpoint_ma=_frozen(_columns(setpoints, "setpoint_ma", assets, steps)),
        value_ppm=_frozen(_columns(values, "value_ppm", assets, steps)),
        planned_import_mw=_frozen(site[:, 0]),
        calm_import_mw=_frozen(site[:, 1]),
        grid_ppm=_frozen(site[:, 2:]),
        schema=schema,
    )


def _changes(column: Ints) -> list[list[int]]:
    starts = np.flatnonzero(np.concatenate([[True], column[1:] != column[:-1]]))
    return [starts.tolist(), column[starts].tolist()]


def _columns(raw: Mapping[str, Any], key: str, assets: tuple[str, ...], steps: int) -> Ints:
    """(steps, assets). All columns are spread out in one go: a plan of a hundred assets is read within a few ms."""
    starts: list[int] = []
    values: list[int] = []
    for column, name in enumerate(assets):
        changes = raw[name]
        if not isinstance(changes, list) or len(changes) != 2 or not all(isinstance(part, list) for part in changes):
            refuse(f"{key}.{name} is not a list of steps and one of values")
        if len(changes[0]) != len(changes[1]) or not changes[0]:
            refuse(f"{key}.{name} does not have one value per change")
        if not set(map(type, changes[0])) | set(map(type, changes[1])) <= {int}:
            refuse(f"{key}.{name} holds something that is no whole number")
        if changes[0][0] != 0 or changes[0][-1] >= steps or changes[0] != sorted(set(changes[0])):
            refuse(f"{key}.{name}: its changes are not in order from 0 to below {steps}")
        starts.extend(column * steps + start for start in changes[0])
        values.extend(changes[1])
    ends = np.array([*starts[1:], steps * len(assets)] if starts else [], dtype=np.int64)
    lengths = ends - np.array(starts, dtype=np.int64)
    return np.repeat(np.array(values, dtype=np.int64), lengths).reshape(len(assets), steps).T


def _object(raw: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = raw[key]
    if not isinstance(found, dict):
        refuse(f"{key} is not an object")
    return found


def _whole(raw: Mapping[str, Any], key: str) -> int:
    found = raw[key]
    if type(found) is not int:
        refuse(f"{key} is no whole number")
    return found


def _time(raw: Mapping[str, Any], key: str) -> float:
    found = raw[key]
    if type(found) not in (int, float) or not np.isfinite(found):
        refuse(f"{key} is no time")
    return float(found)


def _text(raw: Mapping[str, Any], key: str) -> str:
    found = raw[key]
    if not isinstance(found, str) or len(found) > LONGEST_TEXT:
        refuse(f"{key} is no text of at most {LONGEST_TEXT} characters")
    return found


def _frozen(column: Ints) -> Ints:
    out = np.ascontiguousarray(column, dtype=np.int64)
    out.setflags(write=False)
    return out
