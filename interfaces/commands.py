"""Commands of the interfaces: ``pki`` makes, renews, revokes and lists the keys of a fleet."""

from __future__ import annotations

import shutil
import sys
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.table import Table

from interfaces.command_line import CommandParser, command_parser, print_json
from interfaces.drivers import broker_files, pki
from interfaces.drivers.broker_files import BrokerFiles
from interfaces.errors import UserError

EXIT_OK = 0
MAX_PORT = 65535
BROKER_USER = "mosquitto"
"""Debian's account; Mosquitto changes to it when root starts it."""


def pki_init(argv: list[str]) -> int:
    """`pki init --dir D [--host H]...`: a new authority with the cloud side's keys."""
    parser = _parser("init", "Make a certificate authority, the broker's and the optimizer's keys and a signing key.")
    parser.add_argument("--host", action="append", default=[], help="name or address of the broker; may be repeated")
    arguments = parser.parse_args(argv)
    pki.init(arguments.dir, arguments.host, pki.utc_now())
    print(f"{arguments.dir}: a new authority; keep ca.key and signing.key off the broker's machine")
    return EXIT_OK


def pki_issue(argv: list[str]) -> int:
    """`pki issue --dir D --controller NAME`: a controller's key and certificate."""
    parser = _parser("issue", "Make the key and certificate of one controller.")
    parser.add_argument("--controller", required=True, help="its name, which becomes its user name at the broker")
    arguments = parser.parse_args(argv)
    pki.issue(arguments.dir, arguments.controller, pki.utc_now())
    _warn(arguments.dir)
    return EXIT_OK


def pki_revoke(argv: list[str]) -> int:
    """`pki revoke --dir D --controller NAME`: onto the revocation list."""
    parser = _parser("revoke", "Put a controller's certificate on the revocation list.")
    parser.add_argument("--controller", required=True, help="whose certificate is no longer to be trusted")
    arguments = parser.parse_args(argv)
    pki.revoke(arguments.dir, arguments.controller, pki.utc_now())
    print(f"{arguments.controller} is revoked: restart the broker so that it reads {arguments.dir / 'ca.crl'}")
    return EXIT_OK


def pki_rotate(argv: list[str]) -> int:
    """`pki rotate --dir D --name broker|optimizer|signing|NAME`: a new key, the older one stays valid."""
    parser = _parser("rotate", "Make a new key; the older one stays valid until it expires.")
    parser.add_argument("--name", required=True, help="broker, optimizer, signing, or a controller")
    arguments = parser.parse_args(argv)
    pki.rotate(arguments.dir, arguments.name, pki.utc_now())
    return EXIT_OK


def pki_status(argv: list[str]) -> int:
    """`pki status --dir D`: every certificate and how long it lives; those of the next 30 days are warned of."""
    parser = command_parser("pki status", "List the certificates and when they expire.", figures=True)
    parser.add_argument("--dir", type=Path, required=True, help="the folder of the keys")
    arguments = parser.parse_args(argv)
    if not arguments.dir.is_dir():
        raise UserError(f"{arguments.dir} is no folder")
    found = pki.expiries(arguments.dir, pki.utc_now())
    if arguments.json:
        rows = [
            {
                "name": e.name,
                "until_utc": e.until.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "days_left": e.days_left,
                "revoked": e.revoked,
                "warning": e.warns,
            }
            for e in found
        ]
        print_json({"certificates": rows})
        return EXIT_OK
    table = Table("certificate", "valid until", "days left", "")
    for e in found:
        table.add_row(e.name, f"{e.until:%Y-%m-%d}", str(e.days_left), "revoked" if e.revoked else "")
    Console().print(table)
    _warn(arguments.dir)
    return EXIT_OK


def pki_broker(argv: list[str]) -> int:
    """`pki broker --dir D --out F`: Mosquitto's configuration and access rules with the paths of this installation."""
    parser = _parser("broker", "Write Mosquitto's configuration and access rules for these keys.")
    parser.add_argument("--out", type=Path, required=True, help="the folder for mosquitto.conf and acl")
    parser.add_argument(
        "--data", type=Path, default=Path("/var/lib/mosquitto"), help="where it keeps retained messages"
    )
    parser.add_argument("--address", default="0.0.0.0", help="where it listens (default: everywhere)")  # noqa: S104
    parser.add_argument("--port", type=int, default=8883, help="8883, or 443 where firewalls let nothing else out")
    arguments = parser.parse_args(argv)
    if not 1 <= arguments.port <= MAX_PORT:
        raise UserError(f"stroomwacht pki broker: --port: {arguments.port} is no port")
    folder, keys, data = (path.absolute() for path in (arguments.out, arguments.dir, arguments.data))
    files = BrokerFiles(arguments.address, arguments.port, keys, data, BROKER_USER)
    conf = broker_files.write(folder, files)
    with suppress(LookupError, PermissionError):  # another account, or not ours to give away: docs/broker.md says so
        shutil.chown(folder / broker_files.ACL, BROKER_USER)
    print(f"mosquitto -c {conf}")
    return EXIT_OK


def _parser(word: str, description: str) -> CommandParser:
    parser = command_parser(f"pki {word}", description)
    parser.add_argument("--dir", type=Path, required=True, help="the folder of the keys")
    return parser


def _warn(folder: Path) -> None:
    for e in pki.expiries(folder, pki.utc_now()):
        if e.warns:
            print(
                f"{e.name}: expires in {e.days_left} days, renew it with 'pki rotate --name {e.name}'", file=sys.stderr
            )
