"""The command ``demo``: a whole site on this machine, for as long as one likes to watch."""

from __future__ import annotations

import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from interfaces.command_line import command_parser, print_json
from interfaces.domain.site_types import Site
from interfaces.drivers.site_reader import Example, example_text, parse_site
from interfaces.errors import UserError
from simulations.demo.screens import Show, screen
from simulations.demo.stage import Stage, StageError
from simulations.demo.story import Story, depot, garage
from simulations.demo.view import Told
from simulations.devices.virtual_site import VirtualSiteError

EXIT_OK: Final[int] = 0
EXIT_FAILED: Final[int] = 1
SITES: Final[Mapping[str, Example]] = {"a": "garage", "b": "depot"}
SECONDS: Final[tuple[float, float]] = (1.0, 86_400.0)
SEED: Final[int] = 1
REFRESH_S: Final[float] = 0.25
STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_command(argv: list[str]) -> int:
    """`demo`: 0 with the figures, however it was ended; 1 when a process of it did not do its part."""
    parser = command_parser(
        "demo", "A whole site on this machine: virtual devices, controller, live view.", figures=True
    )
    parser.add_argument("--site", choices=tuple(SITES), default="a", help="a: garage with two places; b: depot")
    parser.add_argument("--seconds", type=float, help="end after so many seconds of scans (default: at Ctrl-C)")
    parser.add_argument("--no-browser", action="store_true", help="open no page in a browser")
    options = parser.parse_args(argv)
    if options.seconds is not None and not SECONDS[0] <= options.seconds <= SECONDS[1]:
        raise UserError(f"--seconds is a number from {SECONDS[0]:g} to {SECONDS[1]:g}, not {options.seconds:g}")
    try:
        with stop_on_signal() as stop:
            figures = demo(options.site, options.seconds, stop, screen(as_json=options.json))
    except (StageError, VirtualSiteError) as error:
        print(f"the demo did not come up or broke off: {error}", file=sys.stderr)
        return EXIT_FAILED
    if options.json:
        print_json(figures)
    else:
        _summary(figures)
    return EXIT_OK


def demo(
    site: str, seconds: float | None, stop: threading.Event, screen: AbstractContextManager[Show]
) -> dict[str, Any]:
    """Play a site's story until ``stop`` is set or ``seconds`` are over; the figures of the run.

    Raises:
        StageError, VirtualSiteError: a process did not start, or broke off.
    """
    text = example_text(SITES[site])
    parsed = parse_site(text).site
    if parsed is None:
        raise StageError("the example site does not pass its checks")
    story = _story(site, parsed)
    with Stage(text, seed=SEED, stop=stop) as stage:
        with screen as show:
            _play(stage, story, parsed.info.name or parsed.id, seconds, stop, show)
        return _figures(stage)


def _story(site: str, parsed: Site) -> Story:
    if site == "a":
        return garage()
    return depot(tuple(evse.id for charger in parsed.chargers for evse in charger.evses), SEED)


def _play(stage: Stage, story: Story, name: str, seconds: float | None, stop: threading.Event, show: Show) -> None:
    began_s = time.monotonic()
    said: tuple[str, ...] = ()
    before_s = -1.0
    while not stop.is_set():
        stage.check()
        now_s = time.monotonic() - began_s
        for beat in story.due(before_s, now_s):
            for deed in beat.deeds:
                stage.site.tell(**deed)
            said = (*said, f"{int(now_s) // 60:02d}:{int(now_s) % 60:02d}  {beat.says}") if beat.says else said
        before_s = now_s
        show(stage.view(), stage.health(), Told(name, now_s, said))
        if seconds is not None and now_s >= seconds:
            return
        stop.wait(REFRESH_S)


def _figures(stage: Stage) -> dict[str, Any]:
    """Ask the running controller, end it, then ask the plant what really happened and what was left behind."""
    view, health = stage.view(), stage.health()
    processes, connections = stage.processes(), stage.connections()
    stage.stop_controller()
    truth = stage.site.report()
    return {
        "scans": 0 if view.get("number") is None else view["number"] + 1,
        "late_scans": health.get("late_scans", 0),
        "overload_s": truth["overload_s"],
        "self_made_overload_s": truth["self_made_overload_s"],
        "energy_kwh": truth["energy_kwh"],
        "processes": processes,
        "connections": connections,
        "journal": str(stage.journal()),
        "protection_max": truth["protection_max"],
        "left_at_a": {name: asset["setpoint_a"] for name, asset in truth["assets"].items()},
    }


@contextmanager
def stop_on_signal() -> Iterator[threading.Event]:
    """An event that Ctrl-C, SIGTERM and SIGHUP set, so that nothing is broken off in the middle."""
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in STOP_SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _summary(figures: Mapping[str, Any]) -> None:
    table = Table(show_header=False, title="what the plant saw", title_justify="left")
    for name in ("scans", "late_scans", "overload_s", "self_made_overload_s", "protection_max", "energy_kwh"):
        table.add_row(name, f"{figures[name]:g}")
    Console().print(table)
    left = ", ".join(f"{name} at {amps:g} A" for name, amps in figures["left_at_a"].items() if amps > 0)
    print(f"left behind: {left or 'every charger at 0 A'}")
    print(f"journal: {figures['journal']}")
    program = "stroomwacht" if shutil.which("stroomwacht") else sys.argv[0]
    print(f"replay it: {program} controller replay {figures['journal']}")
