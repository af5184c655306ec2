"""Commands of the controller: what stands behind `stroomwacht controller ...`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from interfaces.command_line import command_parser, print_json
from interfaces.domain.site_file import topology_of
from interfaces.domain.site_schema import site_schema
from interfaces.domain.units import a_from_ma
from interfaces.drivers.facts import all_facts
from interfaces.drivers.site_reader import read_site
from interfaces.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from interfaces.domain.site_file import Problem, Site, SiteResult

EXIT_OK = 0
EXIT_REFUSED = 2


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
    if arguments.json:
        print_json(_figures(result))
    _tell(arguments.file, result, quiet=arguments.json)
    return EXIT_REFUSED if result.site is None else EXIT_OK


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
    for warning in result.warnings:
        print(f"{file}:{warning.line} {warning.path}: warning: {warning.message}")


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
