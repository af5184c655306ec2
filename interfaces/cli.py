"""The console script `stroomwacht`: a table of commands that loads only the module of the chosen one.

A command is a function `(argv: list[str]) -> int` in its package's `commands.py`. It gets the words behind its name and
returns the exit code. The table names modules by string, so that this file imports no product and a command pays for
nothing but itself. A package that an image leaves out takes its commands with it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from io import TextIOWrapper
from typing import cast

from interfaces.errors import UserError

EXIT_OK = 0
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it
EXIT_BROKEN_PIPE = 141  # 128 + SIGPIPE

CommandFunction = Callable[[list[str]], int]


@dataclass(frozen=True, slots=True)
class Command:
    """One row of the command table."""

    name: str
    """The words that choose it, such as `controller check`."""
    target: str
    """`module:function`."""
    summary: str
    """What it does, for `--help`."""


COMMANDS = (
    Command("demo", "simulations.commands:demo", "a whole site on this machine, with a live view"),
    Command("simulate", "simulations.commands:simulate", "closed loop in simulated time from a SCENARIO.yaml"),
    Command("bench", "simulations.commands:bench", "measure the scan or the field I/O"),
    Command("device list", "controller.commands:device_list", "devices with a profile, and what to use instead"),
    Command("device read", "controller.commands:device_read", "read every register of one device"),
    Command("device write", "controller.commands:device_write", "write one register of one device"),
    Command("device commission", "controller.commands:device_commission", "test chargers and meters, write a record"),
    Command("device discover", "controller.commands:device_discover", "find devices in a range of addresses"),
    Command("device simulate", "simulations.commands:device_simulate", "one virtual Modbus device alone"),
    Command("controller run", "controller.commands:run", "run the controller of a site"),
    Command("controller check", "controller.commands:check", "check a site file and report every problem"),
    Command("controller replay", "controller.commands:replay", "replay a journal and compare bit by bit"),
    Command("controller doctor", "controller.commands:doctor", "say what is wrong with this installation"),
    Command("optimizer enrolment serve", "optimizer.commands:enrolment_serve", "give certificates to new controllers"),
    Command("optimizer enrolment code", "optimizer.commands:enrolment_code", "make a device's activation code"),
    Command("optimizer enrolment list", "optimizer.commands:enrolment_list", "list devices and what happened to them"),
    Command("optimizer health", "optimizer.commands:health", "say whether the process of this container works"),
    Command("optimizer prices", "optimizer.commands:prices", "day-ahead prices from a source or a file"),
    Command("optimizer run", "optimizer.commands:run", "make and send the plans of all sites of a configuration"),
    Command("optimizer solve", "optimizer.commands:solve", "the plan of one planning problem in a file"),
    Command(
        "optimizer worker", "optimizer.commands:worker", "solve what waits in the store, on any number of machines"
    ),
    Command("optimizer weather", "optimizer.commands:weather", "the weather of a place from a source or a file"),
    Command("pki init", "interfaces.commands:pki_init", "make a certificate authority and the cloud side's keys"),
    Command("pki issue", "interfaces.commands:pki_issue", "make the key and certificate of a controller"),
    Command("pki revoke", "interfaces.commands:pki_revoke", "put a controller on the revocation list"),
    Command("pki rotate", "interfaces.commands:pki_rotate", "make a new key; the older one stays valid"),
    Command("pki broker", "interfaces.commands:pki_broker", "write Mosquitto's configuration for these keys"),
    Command("pki status", "interfaces.commands:pki_status", "list certificates and when they expire"),
)

# Which optional dependency group brings a package that the light install lacks.
EXTRA_OF_PACKAGE = {
    "aiomqtt": "cloud",
    "alembic": "cloud",
    "cvxpy": "cloud",
    "defusedxml": "cloud",
    "highspy": "cloud",
    "holidays": "cloud",
    "pandas": "sim",
    "procrastinate": "cloud",
    "psutil": "sim",
    "pyarrow": "sim",
    "requests": "cloud",
    "sqlalchemy": "cloud",
}


def main(argv: list[str] | None = None) -> int:
    """Run the console script and return its exit code.

    0 is success, 2 a mistake of the user (one sentence on stderr), 130 Ctrl-C; other codes belong to the command. A bug
    keeps its traceback.
    """
    words = sys.argv[1:] if argv is None else argv
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal that does not know a character is shown its number
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _exit_code(words)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output went away (`| head`); without this the interpreter complains once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    return code


def _exit_code(words: list[str]) -> int:
    try:
        return _dispatch(words)
    except UserError as error:
        print(error, file=sys.stderr)
        return EXIT_USER_ERROR
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except SystemExit as leaving:  # argparse leaves this way after --help
        return leaving.code if isinstance(leaving.code, int) else EXIT_OK


def _dispatch(words: list[str]) -> int:
    if words[:1] == ["--version"]:
        print(f"stroomwacht {version('stroomwacht')}")
        return EXIT_OK
    commands = [command for command in COMMANDS if _is_shipped(command)]
    command = _find(commands, words)
    if command is not None:
        return _run(command, words[len(command.name.split()) :])
    listed = _below(commands, words[:-1])
    if listed and words[-1:] in (["-h"], ["--help"]):
        print(_overview(listed))
        return EXIT_OK
    raise UserError(_complaint(commands, words))


def _is_shipped(command: Command) -> bool:
    module = command.target.partition(":")[0]
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even its package is installed
        return False


def _below(commands: list[Command], words: list[str]) -> list[Command]:
    """The commands whose name starts with these words."""
    return [command for command in commands if command.name.split()[: len(words)] == words]


def _find(commands: list[Command], words: list[str]) -> Command | None:
    """The command whose whole name stands at the front of these words."""
    for command in commands:
        name = command.name.split()
        if words[: len(name)] == name:
            return command
    return None


def _overview(commands: list[Command]) -> str:
    width = max(len(command.name) for command in commands)
    rows = [f"  {command.name:<{width}}  {command.summary}" for command in commands]
    usage = "usage: stroomwacht COMMAND [ARGUMENTS]   (COMMAND --help says more, --version the version)"
    return "\n".join([usage, "", *rows])


def _complaint(commands: list[Command], words: list[str]) -> str:
    siblings = _below(commands, words[:1])
    names = ", ".join(command.name for command in siblings or commands)
    if not words:
        return f"stroomwacht needs a command, one of: {names}"
    if siblings and len(words) == 1:
        return f"stroomwacht {words[0]} needs one word more, one of: {names}"
    return f"stroomwacht knows no command '{' '.join(words[: 2 if siblings else 1])}', only: {names}"


def _run(command: Command, argv: list[str]) -> int:
    module, _, function = command.target.partition(":")
    try:
        run = cast("CommandFunction", getattr(import_module(module), function))
        return run(argv)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        extra = EXTRA_OF_PACKAGE.get(package)
        if extra is None:
            raise  # one of our own modules or a plain dependency is missing: a bug or a broken install
        raise UserError(
            f"stroomwacht {command.name} needs {package}, which the extra '{extra}' brings: "
            f"pip install 'stroomwacht[{extra}]'"
        ) from error


if __name__ == "__main__":
    sys.exit(main())
