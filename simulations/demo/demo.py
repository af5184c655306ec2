"""The command ``demo``: a whole site on this machine, for as long as one likes to watch."""

from __future__ import annotations

import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from interfaces.command_line import command_parser, print_json
from interfaces.domain.site_types import Site
from interfaces.drivers.site_reader import Example, example_text, parse_site
from interfaces.errors import UserError
from simulations.demo.cloud import MISSING, Cloud, CloudError
from simulations.demo.keys import Pressed, keys
from simulations.demo.line import CloudLine
from simulations.demo.screens import Show, screen
from simulations.demo.stage import Stage, StageError
from simulations.demo.story import Story, depot, garage
from simulations.demo.view import Told
from simulations.devices.virtual_site import VirtualSiteError
from simulations.programs import mosquitto

EXIT_OK: Final[int] = 0
EXIT_FAILED: Final[int] = 1
SITES: Final[Mapping[str, Example]] = {"a": "garage", "b": "depot"}
SECONDS: Final[tuple[float, float]] = (1.0, 86_400.0)
SEED: Final[int] = 1
REFRESH_S: Final[float] = 0.25
KEY: Final = "c"
"""Cuts the line to the cloud, and mends it."""
HINT: Final[str] = "Ctrl-C ends the demo and leaves the chargers at failsafe"
HINT_CUT: Final[str] = f"{KEY} cuts the line to the cloud and mends it"
STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_command(argv: list[str]) -> int:
    """`demo`: 0 with the figures, however it was ended; 1 when a process of it did not do its part."""
    parser = command_parser(
        "demo", "A whole site on this machine: virtual devices, controller, broker, optimizer, live view.", figures=True
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
    except (StageError, CloudError, VirtualSiteError) as error:
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
        StageError, CloudError, VirtualSiteError: a process did not start, or broke off.
    """
    text = example_text(SITES[site])
    parsed = parse_site(text).site
    if parsed is None:
        raise StageError("the example site does not pass its checks")
    story = _story(site, parsed)
    broker = mosquitto()
    with ExitStack() as ends:
        cloud = None if broker is None else ends.enter_context(Cloud(broker, text))
        stage = ends.enter_context(Stage(text, seed=SEED, stop=stop, service=None if cloud is None else cloud.service))
        with screen as show, keys() as pressed:
            _play(stage, cloud, story, Cuts(seconds, pressed), parsed.info.name or parsed.id, stop, show)
        return _figures(stage, cloud)


class Cuts:
    """When the line to the cloud is cut: for the middle third of a run of known length, and by the key."""

    def __init__(self, seconds: float | None, pressed: Pressed) -> None:
        self.seconds, self._pressed = seconds, pressed
        self._planned = [] if seconds is None else [seconds / 3.0, 2.0 * seconds / 3.0]

    def due(self, now_s: float) -> bool:
        """Whether the line changes from cut to mended or back now."""
        turns = self._pressed().count(KEY)
        while self._planned and self._planned[0] <= now_s:
            del self._planned[0]
            turns += 1
        return turns % 2 == 1


def _story(site: str, parsed: Site) -> Story:
    if site == "a":
        return garage()
    return depot(tuple(evse.id for charger in parsed.chargers for evse in charger.evses), SEED)


def _play(
    stage: Stage, cloud: Cloud | None, story: Story, cuts: Cuts, name: str, stop: threading.Event, show: Show
) -> None:
    began_s = time.monotonic()
    said: tuple[str, ...] = () if cloud is not None else (told_at(0.0, MISSING),)
    hint = HINT if cloud is None else f"{HINT_CUT}; {HINT}"
    before_s = -1.0
    while not stop.is_set():
        stage.check()
        now_s = time.monotonic() - began_s
        for beat in story.due(before_s, now_s):
            for deed in beat.deeds:
                stage.site.tell(**deed)
            said = (*said, told_at(now_s, beat.says)) if beat.says else said
        before_s = now_s
        if cloud is not None:
            cloud.check()
            if cuts.due(now_s):
                said = (*said, told_at(now_s, _turned(cloud.line)))
        show(stage.view(), stage.health(), Told(name, now_s, said, hint))
        if cuts.seconds is not None and now_s >= cuts.seconds:
            return
        stop.wait(REFRESH_S)


def told_at(now_s: float, says: str) -> str:
    """A line of the story."""
    return f"{int(now_s) // 60:02d}:{int(now_s) % 60:02d}  {says}"


def _turned(line: CloudLine) -> str:
    """Cut the line or mend it, and what to tell."""
    if line.is_cut:
        line.mend()
        return "The line to the cloud is back"
    line.cut()
    return "The line to the cloud is cut: nothing passes and nobody is told"


def _figures(stage: Stage, cloud: Cloud | None) -> dict[str, Any]:
    """Ask the running controller, end it, then ask the plant what really happened and what was left behind."""
    view, health = stage.view(), stage.health()
    processes, connections = stage.processes(), stage.connections()
    processes |= {} if cloud is None else cloud.processes()
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
        **_of_plans(health),
    }


def _of_plans(health: Mapping[str, Any]) -> dict[str, Any]:
    """How plans and fallback took turns, and what was told to the cloud."""
    following, uplink = health.get("following") or {}, health.get("uplink") or {}
    counts = ("plans_accepted", "plans_refused", "switches", "fallback_s", "max_step_w_at_switch")
    return {
        **{name: following.get(name, 0) for name in counts},
        "telemetry_sent": uplink.get("sent", 0),
        "telemetry_lost": sum((uplink.get("lost") or {}).values()),
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
    shown = (
        "scans", "late_scans", "overload_s", "self_made_overload_s", "protection_max", "energy_kwh", "plans_accepted",
        "plans_refused", "switches", "fallback_s", "max_step_w_at_switch", "telemetry_sent", "telemetry_lost",
    )  # fmt: skip
    for name in shown:
        table.add_row(name, f"{figures[name]:g}")
    Console().print(table)
    left = ", ".join(f"{name} at {amps:g} A" for name, amps in figures["left_at_a"].items() if amps > 0)
    print(f"left behind: {left or 'every charger at 0 A'}")
    print(f"journal: {figures['journal']}")
    program = "stroomwacht" if shutil.which("stroomwacht") else sys.argv[0]
    print(f"replay it: {program} controller replay {figures['journal']}")
