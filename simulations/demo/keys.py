"""Keys pressed at the terminal while a demo runs, without waiting for Enter."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

MOST_AT_ONCE: Final = 64

Pressed = Callable[[], str]
"""The characters typed since the last call, empty when there are none; never waits."""


@contextmanager
def keys() -> Iterator[Pressed]:
    """Reads single keys of standard input; it is a terminal like before afterwards. Without one nothing is pressed."""
    if not sys.stdin.isatty():
        yield lambda: ""
        return
    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)
    tty.setcbreak(number)  # Ctrl-C stays a signal
    try:
        yield lambda: _pressed(number)
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)


def _pressed(number: int) -> str:
    ready, _, _ = select.select([number], [], [], 0)
    return os.read(number, MOST_AT_ONCE).decode("ascii", errors="ignore") if ready else ""
