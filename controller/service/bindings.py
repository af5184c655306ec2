"""The file of serial numbers bound at their first answer. The gateway alone writes it; both processes read it.

Plain JSON in the retain folder, so that a person can look. Losing it loses no safety of the circuits: every device is
bound anew at its first answer.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

NAME: Final = "serials.json"
MOST_BYTES: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Loaded:
    """Serial by device, and why the file was not used (empty: it was, or there is none yet)."""

    bound: Mapping[str, str]
    problem: str = ""


def load_bindings(folder: Path) -> Loaded:
    """What was bound before. A damaged file binds nobody and is named; it is kept aside at the next write."""
    path = folder / NAME
    try:
        if path.stat().st_size > MOST_BYTES:
            return Loaded({}, f"{path} is larger than {MOST_BYTES} bytes")
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Loaded({})
    except (OSError, ValueError, RecursionError) as error:
        return Loaded({}, f"{path} cannot be read: {error}")
    if not isinstance(content, dict) or not all(isinstance(value, str) and value for value in content.values()):
        return Loaded({}, f"{path} is no list of serial numbers")
    return Loaded(content)


def store_bindings(folder: Path, bound: Mapping[str, str], *, keep_old: bool) -> None:
    """Write whole and durable, or leave the old file. ``keep_old``: put a damaged one aside first. Raises OSError."""
    path = folder / NAME
    folder.mkdir(parents=True, exist_ok=True)
    if keep_old and path.exists():
        path.replace(path.with_suffix(".damaged"))
    aside = path.with_suffix(".new")
    with aside.open("w", encoding="utf-8") as file:
        json.dump(dict(bound), file, indent=1, sort_keys=True, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
