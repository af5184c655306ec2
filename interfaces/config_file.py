"""Files a person writes for one machine: strict YAML into a typed record, the first mistake in one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from interfaces.command_line import read_file
from interfaces.domain.site_yaml import MAX_BYTES, Document, read_yaml, shown
from interfaces.errors import UserError

T = TypeVar("T")


def read_config(file: Path, adapter: TypeAdapter[T]) -> tuple[T, Document]:
    """What the file says, and the document, which knows the lines of its keys.

    Raises:
        UserError: it cannot be read or has problems; the sentence names the first by line and path.
    """
    content = read_file(file, limit_bytes=MAX_BYTES)
    document = read_yaml(content.decode("utf-8", "replace"))
    if document.problems:
        first = document.problems[0]
        raise UserError(f"{file}:{first.line} {first.path}: {first.message}")
    try:
        found = adapter.validate_json(json.dumps(document.value if document.value is not None else {}))
    except ValidationError as error:
        first_error = error.errors(include_url=False)[0]
        place = tuple(first_error["loc"])
        raise UserError(f"{file}:{document.line_of(place)} {shown(place)}: {_told(first_error['msg'])}") from error
    return found, document


def _told(message: str) -> str:
    return "this key is unknown" if "Unexpected keyword" in message else message[0].lower() + message[1:]
