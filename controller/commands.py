"""Commands of the controller: what stands behind `stroomwacht controller ...` and `stroomwacht device ...`."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from interfaces.command_line import command_parser, print_json
from interfaces.domain.site_file import topology_of
from interfaces.domain.site_schema import site_schema
from interfaces.domain.units import a_from_ma
from interfaces.drivers.facts import all_facts
from interfaces.drivers.neighbours import read_networks
from interfaces.drivers.site_reader import network_warnings, read_site
from interfaces.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from interfaces.domain.site_file import Problem, Site, SiteResult

EXIT_OK = 0
EXIT_DIFFERENT = 1
EXIT_REFUSED = 2
QUOTED = re.compile(r"('[^']*')")
NEW_DEVICES = "Devices that no controller of this machine has met yet; no warning, but do this on them first:"
NAMED = 3
"""Names of a group of equal warnings that are written out; `--json` has them all."""


def check(argv: list[str]) -> int:
    """`controller check FILE`: 0 and one line, or 2 with every problem on stderr."""
    parser = command_parser("controller check", "Check a site file and report every problem in it.", figures=True)
    parser.add_argument("file", nargs="?", type=Path, help="the site file")
    parser.add_argument("--schema", action="store_true", help="print the JSON Schema of site files, for editors")
    arguments = parser.parse_args(argv)
    if arguments.schema:
        if arguments.file is not None:
            raise UserError("stroomwacht controller check: --schema stands alone, leave the file out")
        print(json.dumps(site_schema(), indent=2, ensure_ascii=False))
        return EXIT_OK
    if arguments.file is None:
        raise UserError("stroomwacht controller check: name a site file, or --schema")
    result = read_site(arguments.file)
    if result.site is None:
        if arguments.json:
            print_json(_figures(result))
        _tell(arguments.file, result, quiet=arguments.json)
        return EXIT_REFUSED
    _tell_good(arguments.file, result, result.site, as_json=arguments.json)
    return EXIT_OK


def _tell_good(file: Path, result: SiteResult, site: Site, *, as_json: bool) -> None:
    """The report of a file that is fit to run, with what this machine knows besides: networks, devices never met."""
    from controller.service.service_file import DEFAULT_FILE, load_service  # noqa: PLC0415  only for a good file
    from controller.service.setup_steps import never_met, set_up_lines, set_ups_plain  # noqa: PLC0415

    on_site = DEFAULT_FILE.is_file()
    far = network_warnings(file, site, read_networks(), on_site=on_site)
    result = replace(result, warnings=tuple(sorted({*result.warnings, *far})))
    new = never_met(site, load_service(None).retain_dir if on_site else None)
    if as_json:
        print_json(_figures(result) | {"setup_on_device": set_ups_plain(new)})
        return
    _tell(file, result, quiet=False)
    if new:
        print("\n".join([NEW_DEVICES, *set_up_lines(new)]))


def run(argv: list[str]) -> int:
    """`controller run [SITE]`: field and gateway of one site until SIGTERM; 2 when a file is refused."""
    from controller.service.run import run as run_service  # noqa: PLC0415  `check` must not pay for it

    parser = command_parser("controller run", "Run the controller of a site: its field and gateway processes.")
    parser.add_argument("site", nargs="?", type=Path, help="the site file; without it the service file names it")
    parser.add_argument("--service", type=Path, help="the service file (default: /etc/stroomwacht/service.yaml)")
    parser.add_argument("--only", choices=("field", "gateway"), help="one process alone, for a service manager")
    arguments = parser.parse_args(argv)
    return run_service(arguments.site, arguments.service, arguments.only)


def replay(argv: list[str]) -> int:
    """`controller replay FILE`: recorded scans through the same code; 0 when all are equal, 1 when one is not, 2 when
    the file is damaged anywhere but in a last record that a power cut tore.
    """
    from controller.service.replay import damage_in_words, figures_of, files_of, in_words  # noqa: PLC0415
    from controller.service.replay import replay as run_replay  # noqa: PLC0415

    parser = command_parser("controller replay", "Replay a journal and compare bit by bit.", figures=True)
    parser.add_argument("file", type=Path, help="a journal segment, or a folder of them")
    arguments = parser.parse_args(argv)
    outcome = run_replay(files_of(arguments.file))
    if arguments.json:
        print_json(figures_of(outcome))
    else:
        print(in_words(outcome))
    if outcome.damaged is not None:
        raise UserError(damage_in_words(outcome))
    return EXIT_OK if outcome.mismatches == 0 else EXIT_DIFFERENT


def doctor(argv: list[str]) -> int:
    """`controller doctor`: 0 when the controller of this machine is well, 1 with what is wrong."""
    from controller.service.run import ask_health  # noqa: PLC0415

    parser = command_parser("controller doctor", "Say what is wrong with the controller that runs here.", figures=True)
    parser.add_argument("--service", type=Path, help="the service file (default: /etc/stroomwacht/service.yaml)")
    arguments = parser.parse_args(argv)
    health = ask_health(arguments.service)
    if arguments.json:
        print_json(health)
    else:
        print("\n".join(problem["text"] for problem in health["problems"]) or "all is well")
    return EXIT_OK if health["ok"] else EXIT_DIFFERENT


def device_list(argv: list[str]) -> int:
    """`device list [WORDS]`: devices with a profile, and makes without one; `--profile ID` one with its set-up."""
    from controller.service.device_list import list_figures, profile_figures  # noqa: PLC0415  `check` must not pay
    from controller.service.device_show import print_list, print_profile  # noqa: PLC0415
    from controller.service.setup_steps import profile_named  # noqa: PLC0415

    parser = command_parser(
        "device list", "The devices stroomwacht has a profile for, and those without.", figures=True
    )
    parser.add_argument("words", nargs="*", help="show only what has these words in vendor, model, kind or id")
    parser.add_argument("--profile", metavar="ID", help="this one, with what must be set on the device itself")
    arguments = parser.parse_args(argv)
    words = " ".join(arguments.words)
    if arguments.profile is not None:
        profile = profile_named(arguments.profile)
        if profile is None or words:
            raise UserError(
                "--profile stands alone, leave the words out"
                if words
                else f"there is no profile '{arguments.profile}': 'stroomwacht device list' shows all"
            )
        if arguments.json:
            print_json(profile_figures(profile))
        else:
            print_profile(profile)
        return EXIT_OK
    if arguments.json:
        print_json(list_figures(words))
    elif not print_list(words):
        raise UserError(f"no device is called '{words}': try one word of its label, such as the maker's name")
    return EXIT_OK


def device_read(argv: list[str]) -> int:
    """`device read`: what the registers of one device hold; 2 when nobody answers."""
    from controller.service.device_link import add_target_arguments  # noqa: PLC0415
    from controller.service.device_run import read  # noqa: PLC0415
    from controller.service.device_show import print_reading, reading_figures  # noqa: PLC0415

    parser = command_parser("device read", "Read every register of one device.", figures=True)
    add_target_arguments(parser)
    arguments = parser.parse_args(argv)
    reading = read(arguments)
    if arguments.json:
        print_json(reading_figures(reading))
    else:
        print_reading(reading)
    return EXIT_OK


def device_write(argv: list[str]) -> int:
    """`device write NAME VALUE`: one register of one device; 1 when the device does not show it, 2 when refused."""
    from controller.service.device_link import add_target_arguments  # noqa: PLC0415
    from controller.service.device_run import write  # noqa: PLC0415
    from controller.service.device_show import print_report, report_figures  # noqa: PLC0415

    parser = command_parser("device write", "Write one register of one device and read it back.", figures=True)
    add_target_arguments(parser)
    parser.add_argument("name", metavar="NAME", help="the register, as `device read` shows it")
    parser.add_argument("value", metavar="VALUE", help="in the register's unit")
    parser.add_argument("--force", action="store_true", help="write flash memory too, and above the make's maximum")
    arguments = parser.parse_args(argv)
    report = write(arguments, arguments.name, arguments.value, force=arguments.force)
    if arguments.json:
        print_json(report_figures(report))
    else:
        print_report(report)
    return EXIT_DIFFERENT if report.applied is False else EXIT_OK


def device_discover(argv: list[str]) -> int:
    """`device discover --range`: which Modbus devices answer there; reads only."""
    from controller.service.device_run import search  # noqa: PLC0415
    from controller.service.device_show import print_sweep, sweep_figures  # noqa: PLC0415

    parser = command_parser(
        "device discover",
        "Find Modbus devices in a range of addresses, also behind gateways. Reads, never writes.",
        figures=True,
    )
    parser.add_argument(
        "--range", required=True, metavar="RANGE", help="192.168.1.10-40, 192.168.1.0/24 or one address"
    )
    parser.add_argument("--port", action="append", metavar="P", help="TCP ports, such as 502,1502 (default: 502)")
    parser.add_argument(
        "--unit", "--units", action="append", metavar="U", help="unit ids, such as 1-10,255 (default: usual ones)"
    )
    arguments = parser.parse_args(argv)
    sweep = search(arguments.range, arguments.port or ["502"], arguments.unit or [])
    if arguments.json:
        print_json(sweep_figures(sweep))
    else:
        print_sweep(sweep)
    return EXIT_OK


def device_commission(argv: list[str]) -> int:
    """`device commission --site FILE`: chargers and meters of a site proven by steps; 1 when a fault was found."""
    from controller.service.commission_command import Request, print_record, record_figures, run_commission  # noqa: PLC0415
    from controller.service.commission_run import Options  # noqa: PLC0415

    parser = command_parser(
        "device commission", "Test the chargers and meters of a site and write the record of it.", figures=True
    )
    parser.add_argument("--site", type=Path, required=True, help="the site file")
    parser.add_argument("--charger", metavar="ID", help="this charger alone (default: every managed one)")
    parser.add_argument("--service", type=Path, help="the service file (default: /etc/stroomwacht/service.yaml)")
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where the record goes (default: here)")
    parser.add_argument("--installer", default="", metavar="NAME", help="who tests, for the record")
    parser.add_argument("--no-silence", action="store_true", help="leave out the loss of communication")
    parser.add_argument("--meter", action="store_true", help="the meter check alone: the smallest step, no silence")
    arguments = parser.parse_args(argv)
    options = Options(silence=not (arguments.no_silence or arguments.meter), higher=not arguments.meter)
    request = Request(arguments.site, arguments.charger, arguments.service, arguments.out, arguments.installer, options)
    record, files = run_commission(request)
    if arguments.json:
        print_json(record_figures(record, files))
    else:
        print_record(record, files)
    return EXIT_DIFFERENT if record.faults else EXIT_OK


def _tell(file: Path, result: SiteResult, *, quiet: bool) -> None:
    """The report for people: problems on stderr, else one line and the standing warnings on stdout."""
    for problem in result.problems:
        print(f"{file}:{problem.line} {problem.path}: {problem.message}", file=sys.stderr)
    if result.site is None:
        print(f"{file} is refused: {len(result.problems)} problem(s)", file=sys.stderr)
        return
    if quiet:
        return
    print(_summary(result.site))
    for first, words in grouped(result.warnings):
        print(f"{file}:{first.line} {first.path}: {words}")


def grouped(warnings: Iterable[Problem]) -> list[tuple[Problem, str]]:
    """Warnings that differ in nothing but the name they are about, as one: the first of them, and the words for all."""
    groups: dict[tuple[str, ...], list[tuple[Problem, str]]] = {}
    for warning in warnings:
        before, name, after = [*QUOTED.split(warning.message, maxsplit=1), "", ""][:3]
        groups.setdefault((before, after), []).append((warning, name))
    told = []
    for (before, after), alike in groups.items():
        if len(alike) == 1:
            told.append((alike[0][0], f"warning: {alike[0][0].message}"))
            continue
        names, rest = ", ".join(name for _, name in alike[:NAMED]), len(alike) - NAMED
        more = f" and {rest} more" if rest > 0 else ""
        told.append((alike[0][0], f"warning, {len(alike)} times: {before}{names}{more}{after}"))
    return told


def _summary(site: Site) -> str:
    topology = topology_of(site, all_facts())
    limit = "/".join(f"{a_from_ma(int(value)):g}" for value in topology.limit_ma[0])
    return (
        f"{site.id} is fit to run: {topology.c} circuits, {int(topology.is_evse.sum())} EVSEs of {topology.n} flexible "
        f"assets, {limit} A at the grid connection, topology {topology.version}"
    )


def _figures(result: SiteResult) -> dict[str, object]:
    figures: dict[str, object] = {
        "ok": result.site is not None,
        "problems": _rows(result.problems),
        "warnings": _rows(result.warnings),
    }
    if result.site is None:
        return figures
    topology = topology_of(result.site, all_facts())
    return {
        **figures,
        "site": result.site.id,
        "circuits": topology.c,
        "assets": topology.n,
        "evses": int(topology.is_evse.sum()),
        "topology_version": topology.version,
    }


def _rows(problems: Iterable[Problem]) -> list[dict[str, object]]:
    return [{"line": problem.line, "path": problem.path, "message": problem.message} for problem in problems]
