"""`device commission`: what stands between the command line and the test: files, the lock of the site, the record."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from controller.service.bindings import load_bindings
from controller.service.commission_bench import Bench, Pace, RealTime
from controller.service.commission_plan import plan_of
from controller.service.commission_record import WORDS, Header, Record, record_of, store
from controller.service.commission_run import Options, commission
from controller.service.identity import serials_of
from controller.service.process import only_one, owned_folder, wires_here
from controller.service.service_file import DEFAULT_FILE, ServiceConfig, load_service
from controller.service.setup_steps import recorded, set_up_lines, set_ups
from interfaces.drivers.clock import epoch_s
from interfaces.drivers.site_reader import read_site
from interfaces.errors import UserError


@dataclass(frozen=True, slots=True)
class Request:
    """The command line. ``charger`` None: every managed one."""

    site: Path
    charger: str | None
    service: Path | None
    out: Path
    installer: str
    options: Options


def run_commission(request: Request, pace: Pace | None = None) -> tuple[Record, tuple[Path, Path]]:
    """Test and write the record; ``pace`` is the wall clock unless a test brings its own.

    Raises:
        UserError: a file is refused, a controller runs here, nothing may be commanded, or the record cannot be kept.
    """
    config = load_service(request.service, site=request.site) if _is_served(request.service) else None
    result = read_site(request.site)
    if result.site is None:
        first = result.problems[0]
        raise UserError(f"{request.site}:{first.line} {first.path}: {first.message} (`controller check` has them all)")
    wires = wires_here(result.site, {} if config is None else config.addresses)
    bound = {} if config is None else dict(load_bindings(config.retain_dir).bound)
    profiles = {point.key: point.profile for wire in wires for point in wire.points}
    plan = plan_of(result.site, profiles, {**bound, **serials_of(result.site)}, request.charger)
    done = recorded(request.out, plan.site.id)
    profile_of = {entry.id: entry.profile for entry in plan.site.chargers}
    new = set_ups((device, profile_of[device]) for device in plan.evses if device not in done)
    for line in set_up_lines(new):
        _tell(line)
    with alone(config):
        bench = Bench(wires, plan.keys, plan.volts, plan.period_s, RealTime() if pace is None else pace)
        records = asyncio.run(commission(plan, bench, request.options, _tell))
    header = Header(plan.site.id, plan.topology.version, version("stroomwacht"), request.installer, epoch_s())
    record = record_of(header, records, new)
    return record, store(record, request.out)


def _is_served(service: Path | None) -> bool:
    """Whether a service file says where a controller of this machine would run."""
    return service is not None or DEFAULT_FILE.is_file()


@contextmanager
def alone(config: ServiceConfig | None) -> Iterator[None]:
    """Hold the lock of the field process: no controller commands these devices now, and none starts meanwhile.

    Raises:
        UserError: one runs.
    """
    if config is None:
        yield
        return
    owned_folder(config.run_dir)
    try:
        lock = only_one(config.run_dir / "field.lock")
    except UserError as error:
        raise UserError(f"a controller runs here and commands these devices: stop it first ({error})") from error
    try:
        yield
    finally:
        os.close(lock)


def _tell(text: str) -> None:
    """Progress, on stderr: stdout belongs to the result."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def print_record(record: Record, files: tuple[Path, Path]) -> None:
    """The findings for people."""
    console = Console()
    for part in record.content["evses"]:
        table = Table(title=part["evse"], show_lines=True)
        for heading in ("result", "where", "what"):
            table.add_column(heading, overflow="fold")
        for one in part["findings"]:
            what = one["says"] + (f"\n-> {one['do']}" if one["do"] else "")
            table.add_row(*map(Text, (WORDS[one["verdict"]], one["subject"], what)))
        console.print(table)
    console.print(Text(f"result: {record.content['result']}, sha256 {record.sha256}"))
    for path in files:
        console.print(Text(str(path)))


def record_figures(record: Record, files: tuple[Path, Path]) -> dict[str, object]:
    """The record as one JSON object."""
    return {"record": record.content, "sha256": record.sha256, "files": [str(path) for path in files]}
