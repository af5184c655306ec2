"""Site files from disk: read, checked against the profiles that ship with the product and this machine's time zones."""

from __future__ import annotations

import zoneinfo
from importlib import resources
from pathlib import Path
from typing import Final, Literal

from interfaces.command_line import read_file
from interfaces.domain.site_file import MAX_BYTES, SiteResult, load_site
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


def parse_site(text: str) -> SiteResult:
    """Check the text of a site file against the shipped profiles."""
    # A machine without time zone data knows none: then the name is left unchecked rather than every site refused.
    return load_site(text, all_facts(), time_zones=zoneinfo.available_timezones() or None)


def example_text(name: Example) -> str:
    """The text of a site file that ships with the product."""
    return (resources.files("interfaces.domain") / "examples" / f"{name}.yaml").read_text("utf-8")
