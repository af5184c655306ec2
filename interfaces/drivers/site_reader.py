"""Site files from disk: read, checked against the profiles that ship with the product and this machine's time zones."""

from __future__ import annotations

import zoneinfo
from collections.abc import Sequence
from importlib import resources
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final, Literal

from interfaces.command_line import read_file
from interfaces.domain.site_file import MAX_BYTES, Problem, Site, SiteResult, load_site
from interfaces.domain.site_hosts import out_of_reach
from interfaces.domain.site_yaml import read_yaml
from interfaces.drivers.facts import all_facts
from interfaces.errors import UserError

Example = Literal["garage", "depot"]
EXAMPLES: Final[tuple[Example, ...]] = ("garage", "depot")


def read_site(path: Path) -> SiteResult:
    """Read and check a site file.

    Raises:
        UserError: there is no such file, it may not be read, it is larger than ``MAX_BYTES``, or it is no UTF-8 text.
    """
    content = read_file(path, limit_bytes=MAX_BYTES)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(f"{path} is no UTF-8 text (line {line}): save it as UTF-8") from error
    return parse_site(text)


def network_warnings(path: Path, site: Site, networks: Sequence[IPv4Network], *, on_site: bool) -> tuple[Problem, ...]:
    """Hosts of an accepted file that lie in no network of this machine: see ``site_hosts.out_of_reach``."""
    document = read_yaml(read_file(path, limit_bytes=MAX_BYTES).decode("utf-8-sig"))
    return out_of_reach(document, site, networks, on_site=on_site)


def parse_site(text: str) -> SiteResult:
    """Check the text of a site file against the shipped profiles."""
    # A machine without time zone data knows none: then the name is left unchecked rather than every site refused.
    return load_site(text, all_facts(), time_zones=zoneinfo.available_timezones() or None)


def example_text(name: Example) -> str:
    """The text of a site file that ships with the product."""
    return (resources.files("interfaces.domain") / "examples" / f"{name}.yaml").read_text("utf-8")
