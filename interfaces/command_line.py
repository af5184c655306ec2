"""What every command of the console script shares: its parser, its `--json`, and reading the file it was given."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, NoReturn

from interfaces.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class CommandParser(argparse.ArgumentParser):
    """An `ArgumentParser` whose complaint is one sentence instead of a usage dump; build it with `command_parser`."""

    def error(self, message: str) -> NoReturn:
        """Raise the complaint; the console script prints it and exits with 2.

        Raises:
            UserError: always.
        """
        raise UserError(f"{self.prog}: {message}")


def command_parser(command: str, description: str, *, figures: bool = False) -> CommandParser:
    """Return the parser of one command.

    Args:
        command: the words after `stroomwacht`, such as `controller check`.
        description: one sentence for `--help`.
        figures: whether the command gives figures and so takes `--json`.
    """
    parser = CommandParser(prog=f"stroomwacht {command}", description=description, allow_abbrev=False)
    if figures:
        parser.add_argument(
            "--json", action="store_true", help="print one JSON object on stdout and nothing else there"
        )
    return parser


def print_json(figures: Mapping[str, object]) -> None:
    """Print figures as the one JSON object of a `--json` run.

    Raises:
        ValueError: a figure is NaN or infinite; a missing figure is None, never NaN.
    """
    sys.stdout.write(json.dumps(figures, allow_nan=False) + "\n")
    sys.stdout.flush()


def read_file(path: Path, *, limit_bytes: int) -> bytes:
    """Return the content of a file that a person named on the command line.

    Raises:
        UserError: the file is missing, is no plain file, may not be read, or is larger than `limit_bytes`.
    """
    try:
        with path.open("rb") as file:
            content = file.read(limit_bytes + 1)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(content) > limit_bytes:
        raise UserError(f"{path} is larger than {limit_bytes / 1_000_000:g} MB and was not read")
    return content
