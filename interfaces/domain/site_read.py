"""From plain values to the types of a site file, with every misfit named by line and path.

What cannot be read is reported once, then left out, so that the checks still see the rest of the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from interfaces.domain.device_facts import DeviceFacts
from interfaces.domain.site_draft import Draft
from interfaces.domain.site_types import Site
from interfaces.domain.site_yaml import Document, Path, Problem, shown

MAX_ERRORS: Final[int] = 1000
MAX_PASSES: Final[int] = 8
"""A field, its list, its entry, its section: each pass leaves out one more layer around what is wrong."""
SHOWN_LENGTH: Final[int] = 40
LISTS: Final[tuple[str, ...]] = ("circuits", "meters", "chargers", "batteries", "pv", "loads")
STAND_IN: Final[Mapping[str, str]] = {"id": "site", "time_zone": "UTC"}
"""Lets the checks run although the site's own header is wrong; that is a problem of its own."""
UNIONS: Final[tuple[str, ...]] = ("modbus", "p1", "protection")
NO_ADDRESS: Final[str] = "no_address"
"""What a meter or charger without an address is told; it counts as an entry without its ``modbus``."""
UNKNOWN_KEY: Final[str] = "unexpected_keyword_argument"
ID_FIELDS: Final[frozenset[str]] = frozenset({"id", "parent", "meter", "monitors", "circuit"})
HOST_FIELDS: Final[frozenset[str]] = frozenset({"host", "gateway"})

site_adapter: Final[TypeAdapter[Site]] = TypeAdapter(Site)


def read_draft(document: Document, facts: Mapping[str, DeviceFacts]) -> tuple[Draft | None, list[Problem]]:
    """The draft of a document and what could not be read; no draft where there is nothing left to check."""
    problems = list(document.problems)
    value = document.value
    if not document.complete:
        return None, problems
    if value is None and not problems:
        problems.append(Problem(1, "file", "the file is empty: start with 'version: 1' and 'site:'"))
    if not isinstance(value, dict):
        if value is not None:
            problems.append(Problem(1, "file", "a site file is a mapping of names to values: start with 'version: 1'"))
        return None, problems
    data: dict[str, Any] = _monitored(value)
    origin = {name: list(range(len(data[name]))) for name in LISTS if isinstance(data.get(name), list)}
    declared = {name: _ids_in(data.get(name)) for name in LISTS}
    left_out: set[Path] = set()
    for turn in range(MAX_PASSES):
        found = _validated(data)
        if isinstance(found, Site):
            places = {name: tuple(origin.get(name, ())) for name in LISTS}
            return Draft(found, facts, document, places, frozenset(left_out), declared), problems
        if turn == 0:
            problems.extend(_told(document, found))
        _leave_out(data, found, origin, left_out)
    return None, problems


def _monitored(value: dict[str, Any]) -> dict[str, Any]:
    """A copy, where a monitored site manages nothing unless an entry says so (which the checks refuse)."""
    data: dict[str, Any] = json.loads(json.dumps(value))
    site = data.get("site")
    if isinstance(site, dict) and site.get("mode") == "monitor":
        for name in ("chargers", "batteries", "pv", "loads"):
            entries = data.get(name)
            for entry in entries if isinstance(entries, list) else ():
                if isinstance(entry, dict):
                    entry.setdefault("managed", False)
    return data


def _ids_in(entries: Any) -> frozenset[str]:
    """Ids that are written in a section, whether or not the rest of their entry can be read."""
    found = [entry.get("id") for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return frozenset(name for name in found if isinstance(name, str))


def _validated(data: dict[str, Any]) -> Site | list[ErrorDetails]:
    try:
        return site_adapter.validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        return error.errors(include_url=False, include_context=True)[:MAX_ERRORS]


def _path_of(error: ErrorDetails) -> Path:
    """Where an error is: pydantic puts the form of a union behind its key, and reports a wrong ``kind`` above it."""
    parts = error["loc"]
    path = tuple(part for part, before in zip(parts, (None, *parts), strict=False) if before not in UNIONS)
    if error["type"] in ("union_tag_invalid", "union_tag_not_found"):
        return (*path, "kind")
    return (*path, "modbus") if error["type"] == NO_ADDRESS else path


def _is_missing(error: ErrorDetails) -> bool:
    return error["type"] in ("missing", "union_tag_not_found", NO_ADDRESS)


def _own_errors(errors: list[ErrorDetails]) -> list[tuple[Path, ErrorDetails]]:
    """Errors with their paths, without lists said to be too short only because their values are wrong."""
    placed = [(_path_of(error), error) for error in errors]
    around = {path[:end] for path, _ in placed for end in range(len(path))}
    return [(path, error) for path, error in placed if not (error["type"] == "too_short" and path in around)]


def _told(document: Document, errors: list[ErrorDetails]) -> list[Problem]:
    """The errors in words; one per place, and none where the reading already complained or a misspelling explains."""
    known = {problem.path for problem in document.problems}
    placed = _own_errors(errors)
    misspelt = {(*path[:-1], _meant(str(path[-1]))) for path, error in placed if error["type"] == UNKNOWN_KEY}
    told: dict[str, Problem] = {}
    for path, error in placed:
        if shown(path) not in known and not (_is_missing(error) and path in misspelt):
            told.setdefault(shown(path), Problem(document.line_of(path), shown(path), _sentence(error, path)))
    return list(told.values())


def _leave_out(
    data: dict[str, Any], errors: list[ErrorDetails], origin: dict[str, list[int]], left_out: set[Path]
) -> None:
    """Remove what each error is about: the value, or what holds it where something is missing in it."""
    targets: set[Path] = set()
    for path, error in _own_errors(errors):
        meant = _meant(str(path[-1])) if error["type"] == UNKNOWN_KEY else None
        if meant is not None:  # the misspelt field counts as written, so that nobody asks for it twice
            left_out.add(_in_file((*path[:-1], meant), origin))
        targets.add(path[:-1] if _is_missing(error) else path)
    for path in sorted(targets, key=_backwards, reverse=True):
        _remove(data, path, origin, left_out)
    site = data.get("site")
    header = site if isinstance(site, dict) else {}
    data["site"] = {**STAND_IN, **header}
    data["version"] = 1


def _backwards(path: Path) -> tuple[tuple[int, int, str], ...]:
    """Sorts later list entries before earlier ones when reversed, so that removing keeps places right."""
    return tuple((0, part, "") if isinstance(part, int) else (1, 0, part) for part in path)


def _in_file(path: Path, origin: Mapping[str, list[int]]) -> Path:
    """A path in what is left, as a path in the file."""
    if len(path) > 1 and path[0] in origin and isinstance(path[1], int):
        return (path[0], origin[str(path[0])][path[1]], *path[2:])
    return path


def _remove(data: dict[str, Any], path: Path, origin: dict[str, list[int]], left_out: set[Path]) -> None:
    if not path:
        return
    here: Any = data
    for part in path[:-1]:
        inside = part in here if isinstance(here, dict) else isinstance(here, list) and part in range(len(here))
        if not inside:
            return
        here = here[part]
    last = path[-1]
    left_out.add(_in_file(path, origin))
    if isinstance(here, dict):
        here.pop(str(last), None)
    elif isinstance(here, list) and isinstance(last, int) and last < len(here):
        del here[last]
        if len(path) == 2 and path[0] in origin:
            del origin[str(path[0])][last]


@cache
def _known_keys() -> tuple[str, ...]:
    """Every key a site file may have anywhere."""
    schema = site_adapter.json_schema()
    return tuple(sorted({key for part in (schema, *schema["$defs"].values()) for key in part.get("properties", {})}))


def _meant(key: str) -> str | None:
    return next(iter(get_close_matches(key, _known_keys(), 1, 0.75)), None)


def _shown_value(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = json.dumps(value) if isinstance(value, bool) else str(value)
    return f"'{text[:SHOWN_LENGTH]}'" + ("..." if len(text) > SHOWN_LENGTH else "")


def _sentence(error: ErrorDetails, path: Path) -> str:  # noqa: PLR0911  a table
    """What is wrong and what to do, in words."""
    name = next((part for part in reversed(path) if isinstance(part, str)), "file")
    limits = error.get("ctx", {})
    given = _shown_value(error["input"])
    match error["type"]:
        case "missing" if path and isinstance(path[-1], int):
            return f"'{name}' needs one value each for L1, L2 and L3: add what is missing"
        case "missing" | "union_tag_not_found":
            return f"'{name}' is missing here: add it"
        case _ if error["type"] == UNKNOWN_KEY:
            meant = _meant(name)
            return f"unknown key '{name}': " + (f"did you mean '{meant}'?" if meant else "remove it")
        case "float_type" | "int_type" | "int_from_float" | "float_parsing" | "int_parsing":
            return f"'{name}' must be a {'whole ' * error['type'].startswith('int')}number, but is {given}"
        case "bool_type" | "bool_parsing":
            return f"'{name}' must be true or false, but is {given}"
        case "string_type":
            return f"'{name}' must be text, but is {given}: put it in quotes"
        case "string_pattern_mismatch":
            return f"'{name}' is {given}, but {_form(name, limits)}"
        case "tuple_type" | "list_type":
            return f"'{name}' must be a list, but is {given}"
        case "dataclass_type" | "dataclass_exact_type":
            return f"'{name}' must be a mapping of names to values, but is {given}"
        case _:
            return _range_sentence(error["type"], name, given, limits, error["msg"])


def _form(name: str, limits: Mapping[str, Any]) -> str:
    if name in HOST_FIELDS:
        return "must be a host name or an IP address"
    allowed = "letters, digits, - and _ (64 at most)" if name in ID_FIELDS else f"the form {limits['pattern']}"
    return f"may only have {allowed}"


def _range_sentence(kind: str, name: str, given: str, limits: Mapping[str, Any], otherwise: str) -> str:
    bounds = {"greater_than_equal": "ge", "greater_than": "gt", "less_than_equal": "le", "less_than": "lt"}
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    if kind in bounds:
        return f"'{name}' must be {words[bounds[kind]]} {limits[bounds[kind]]:g}, but is {given}"
    if kind in ("literal_error", "union_tag_invalid"):
        expected = limits.get("expected") or str(limits.get("expected_tags")).replace(", ", " or ")
        return f"'{name}' must be {expected}, but is {limits.get('tag', given)}"
    if kind in ("too_long", "too_short"):
        bound = f"at most {limits['max_length']}" if kind == "too_long" else f"at least {limits['min_length']}"
        return f"'{name}' must have {bound} values, but has {limits['actual_length']}"
    if kind in ("string_too_long", "string_too_short"):
        bound = f"at most {limits['max_length']}" if kind == "string_too_long" else f"at least {limits['min_length']}"
        return f"'{name}' must have {bound} characters"
    return f"'{name}' cannot be read: {otherwise}"
