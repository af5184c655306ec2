"""Who watches a demo: a person at a terminal, a file, or nobody. Each is a context that gives a function."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

from rich.console import Console
from rich.live import Live

from simulations.demo.view import Told, picture

PLAIN_EVERY_S: Final[float] = 10.0

Show = Callable[[Mapping[str, Any], Mapping[str, Any], Told], None]
"""Takes the gateway's ``/view`` and ``/health``, and what the demo tells itself."""


def screen(*, as_json: bool) -> AbstractContextManager[Show]:
    """The one that fits: nobody when standard output is for JSON, lines when it is no terminal."""
    if as_json:
        return nobody()
    return terminal() if sys.stdout.isatty() else lines()


@contextmanager
def nobody() -> Iterator[Show]:
    """Shows nothing."""
    yield lambda *_: None


@contextmanager
def lines() -> Iterator[Show]:
    """Prints a line per event, and one every 10 s."""
    said = 0
    next_s = 0.0

    def show(view: Mapping[str, Any], _: Mapping[str, Any], told: Told) -> None:
        nonlocal said, next_s
        for line in told.story[said:]:
            print(line, flush=True)
        said = len(told.story)
        if told.elapsed_s >= next_s and view.get("number") is not None:
            next_s += PLAIN_EVERY_S
            top = view["circuits"][0]
            amps = "/".join("-" if value is None else f"{value:.1f}" for value in top["measured_a"])
            print(f"scan {view['number'] + 1}: {top['id']} {amps} A, mode {view['mode']}", flush=True)

    yield show


@contextmanager
def terminal() -> Iterator[Show]:
    """Draws the whole screen anew at each call; the terminal is as before afterwards."""
    console = Console()
    with Live(console=console, screen=True, auto_refresh=False) as live:
        yield lambda view, health, told: live.update(
            picture(view, health, told, width=console.size.width, height=console.size.height), refresh=True
        )
