"""Whether the main loop of a cloud process comes round: a file it touches, and who looks at it.

For health checks of containers. A process without the variable, such as one run by hand, writes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from interfaces.drivers.clock import monotonic_s
from interfaces.errors import UserError

VARIABLE: Final = "STROOMWACHT_HEARTBEAT"
BEAT_S: Final = 5.0
SILENT_S: Final = 120.0
"""Longer than the longest turn: a fleet's first plans, a database that is restarted."""


class Heartbeat:
    """Writes the time of the monotonic clock, which all processes of a machine share, at most every ``BEAT_S``."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        name = environment.get(VARIABLE, "")
        self._path = Path(name) if name else None
        self._beaten_s = float("-inf")

    def beat(self) -> None:
        """The loop has come round. A disk that refuses costs the beat, which is what health then tells."""
        now_s = monotonic_s()
        if self._path is None or now_s - self._beaten_s < BEAT_S:
            return
        self._beaten_s = now_s
        aside = self._path.with_suffix(".new")
        try:
            aside.write_text(f"{now_s!r}\n", encoding="ascii")
            aside.replace(self._path)
        except OSError:
            return


def silent_s(environment: Mapping[str, str] = os.environ) -> float | None:
    """How long ago the loop came round; None when it never has since the machine started.

    Raises:
        UserError: nobody says where to look.
    """
    name = environment.get(VARIABLE, "")
    if not name:
        raise UserError(f"{VARIABLE} does not name a file: there is no process to look after")
    try:
        age_s = monotonic_s() - float(Path(name).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return age_s if age_s >= 0 else None  # a negative age is of before the last start of the machine
