"""Planning problems as JSON: strict on the way in, with the place and the reason of every refusal; the schema.

An unknown key, a key given twice, NaN, an infinity, a value beyond its range and nesting beyond reason are refused.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from interfaces.domain.codec import RefusedError
from interfaces.domain.codec_json import parse_json
from interfaces.domain.site_schema import DIALECT
from optimizer.core.problem import SCHEMA, Problem

MAX_BYTES: Final[int] = 16 * 1024 * 1024
"""1000 sessions, 500 circuits and their columns take about 5 MB."""
MOST_TOLD: Final[int] = 20
"""Nobody mends more in one go."""


@cache
def _adapter() -> TypeAdapter[Problem]:
    return TypeAdapter(Problem)


def problem_from_json(data: bytes) -> Problem | tuple[str, ...]:
    """The problem in a JSON text, or one sentence for each thing that is wrong with it."""
    if len(data) > MAX_BYTES:
        return (f"the problem is larger than {MAX_BYTES // 1024 // 1024} MB",)
    try:
        plain = parse_json(data)
    except RefusedError as refused:
        return (f"the problem cannot be read: {refused}",)
    if not isinstance(plain, dict):
        return ("a problem is a JSON object",)
    if plain.get("schema") != SCHEMA:
        return (f"this program reads problems of schema {SCHEMA}, this one says {_short(plain.get('schema'))}",)
    try:
        return _adapter().validate_json(data, strict=True)
    except ValidationError as error:
        return _sentences(error)


def problem_to_json(problem: Problem) -> bytes:
    """The JSON text of a problem; what was not said is left out."""
    return _adapter().dump_json(problem, indent=1, exclude_none=True)


def problem_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a problem."""
    schema = _adapter().json_schema()
    return {"$schema": DIALECT, "title": "stroomwacht planning problem", **_without(schema, "title")}


def _without(mapping: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in mapping.items() if name != key}


def _sentences(error: ValidationError) -> tuple[str, ...]:
    found = error.errors(include_url=False, include_context=False)
    told = [_sentence(one) for one in found[:MOST_TOLD]]
    rest = len(found) - len(told)
    return (*told, f"and {rest} more: correct these first") if rest else tuple(told)


def _sentence(error: ErrorDetails) -> str:
    path = ".".join(str(part) for part in error["loc"])
    if error["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"{path}: there is no such key"
    if error["type"] in ("missing", "missing_argument"):
        return f"{path}: it is missing"
    words = error["msg"][0].lower() + error["msg"][1:]
    return f"{path}: {words}, not {_short(error['input'])}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
