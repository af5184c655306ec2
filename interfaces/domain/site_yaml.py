"""YAML text to plain values, with the line of everything and without YAML's surprises.

Only what a site file needs: mappings with distinct text keys, lists, and the scalars of the YAML 1.2 core schema (so
that ``NO`` is text and ``12:30`` is no number). Anchors, aliases, tags and further documents are refused, depth and
size are bounded, and nothing here recurses: a hostile file costs a refusal.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import yaml

MAX_BYTES: Final[int] = 1_000_000
"""A site of 1000 chargers takes a third of this."""
MAX_DEPTH: Final[int] = 10
"""The deepest place of a site file is chargers[0].evses[0].phases[0]: 6."""
MAX_NUMBER_LENGTH: Final[int] = 40

Path: TypeAlias = tuple[str | int, ...]
Value: TypeAlias = "bool | int | float | str | list[Value] | dict[str, Value] | None"

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER: Final = re.compile(r"[-+]?[0-9]+")
_REAL: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE: Final = re.compile(r"([-+]?\.(inf|Inf|INF))|\.(nan|NaN|NAN)")
_WORDS: Final[Mapping[str, bool | None]] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing to change: where (line from 1, path such as ``chargers[2].evses[0].phases``) and what to do."""

    line: int
    path: str
    message: str


@dataclass(frozen=True, slots=True)
class Document:
    """Plain values of a text, the line of each path, and what the reading itself found wrong."""

    value: Value
    lines: Mapping[Path, int]
    problems: tuple[Problem, ...]
    complete: bool = True
    """Whether it was read to its end; else what seems missing may stand in the part not read."""

    def line_of(self, path: Path) -> int:
        """The line of a path, or of the nearest thing around it that is written in the file."""
        for end in range(len(path), 0, -1):
            line = self.lines.get(path[:end])
            if line is not None:
                return line
        return self.lines.get((), 1)


def shown(path: Path) -> str:
    """A path as people read it: ``chargers[2].evses[0].phases``; ``file`` for the whole."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.lstrip(".") or "file"


def read_yaml(text: str) -> Document:
    """Read one YAML document; never raises."""
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "replace")) > MAX_BYTES:
        message = (
            f"the file is larger than {MAX_BYTES} bytes and was not read: split the site or remove what is no fact"
        )
        return Document(None, {}, (Problem(1, "file", message),), complete=False)
    reader = _Reader()
    complete = False
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            reader.take(event)
        complete = True
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(part for part in (error.context, error.problem) if part)
        reader.refuse(mark.line + 1 if mark else 1, (), f"this is not YAML: {what}; check indentation and quotes here")
    except (yaml.YAMLError, UnicodeError) as error:
        first = str(error).splitlines()[0][:200] if str(error) else "unreadable characters"
        reader.refuse(1, (), f"this is not YAML: {first}")
    except _StopReadingError:
        pass
    return Document(reader.root, reader.lines, tuple(reader.problems), complete)


class _StopReadingError(Exception):
    """The rest of the text cannot be made sense of; the reason is already among the problems."""


@dataclass(slots=True)
class _Open:
    """A mapping or list whose end has not come yet. ``key``: the mapping key that waits for its value."""

    value: dict[str, Value] | list[Value]
    path: Path
    key: str | None = None
    key_line: int = 1
    drop: bool = False


@dataclass(slots=True)
class _Reader:
    """Builds values from parser events on its own stack."""

    root: Value = None
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    stack: list[_Open] = field(default_factory=list)
    documents: int = 0

    def refuse(self, line: int, path: Path, message: str) -> None:
        self.problems.append(Problem(line, shown(path), message))

    def take(self, event: yaml.Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                self.refuse(line, (), "a second document starts here: a site file is one document, remove the ---")
                raise _StopReadingError
        elif isinstance(event, yaml.CollectionEndEvent):
            self.stack.pop()
        elif isinstance(event, yaml.NodeEvent):
            self._refuse_tricks(event, line)
            self._node(event, line)

    def _waits_for_key(self) -> bool:
        return bool(self.stack) and isinstance(self.stack[-1].value, dict) and self.stack[-1].key is None

    def _refuse_tricks(self, event: yaml.NodeEvent, line: int) -> None:
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            name = event.anchor
            self.refuse(line, self._here(), f"the anchor or alias '{name}' is not allowed: write the value out in full")
        tag = getattr(event, "tag", None)
        if tag is not None and tag != "!":  # "!" alone is what the parser gives every quoted text
            self.refuse(line, self._here(), f"the tag '{tag}' is not allowed: remove it")

    def _node(self, event: yaml.NodeEvent, line: int) -> None:
        if self._waits_for_key():
            if not isinstance(event, yaml.ScalarEvent):
                self.refuse(line, self.stack[-1].path, "a key must be plain text")
                raise _StopReadingError
            self._key(self.stack[-1], event.value, line)
            return
        if isinstance(event, yaml.ScalarEvent | yaml.AliasEvent):
            self._put(self._scalar(event, line) if isinstance(event, yaml.ScalarEvent) else None, line)
            return
        if len(self.stack) >= MAX_DEPTH:
            self.refuse(line, self._here(), f"nested deeper than {MAX_DEPTH} levels: no part of a site file is")
            raise _StopReadingError
        fresh: dict[str, Value] | list[Value] = {} if isinstance(event, yaml.MappingStartEvent) else []
        path = self._here()
        self._put(fresh, line)
        self.stack.append(_Open(fresh, path))

    def _here(self) -> Path:
        """Where the next value goes."""
        if not self.stack:
            return ()
        top = self.stack[-1]
        if isinstance(top.value, list):
            return (*top.path, len(top.value))
        return top.path if top.key is None else (*top.path, top.key)

    def _key(self, top: _Open, key: str, line: int) -> None:
        top.key, top.key_line, top.drop = key, line, key in top.value
        if top.drop:
            first = self.lines.get((*top.path, key), line)
            self.refuse(line, (*top.path, key), f"'{key}' is already given in line {first}: keep one of the two")

    def _put(self, value: Value, line: int) -> None:
        path = self._here()
        if not self.stack:
            self.root, self.lines[()] = value, line
            return
        top = self.stack[-1]
        if isinstance(top.value, list):
            top.value.append(value)
            self.lines.setdefault(path, line)
            return
        if top.key is not None and not top.drop:
            top.value[top.key] = value
            self.lines.setdefault(path, top.key_line)
        top.key = None

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> Value:
        text: str = event.value
        if not event.implicit[0] or len(text) > MAX_NUMBER_LENGTH:
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _INTEGER.fullmatch(text):
            return int(text)
        number = float(text) if _REAL.fullmatch(text) else math.inf
        if math.isfinite(number):
            return number
        if _REAL.fullmatch(text) or _NOT_FINITE.fullmatch(text):
            self.refuse(line, self._here(), f"'{text}' is not a finite number: write a plain number")
            return None
        return text
