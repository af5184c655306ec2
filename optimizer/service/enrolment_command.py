"""`stroomwacht optimizer enrolment`: serve, make a code, list devices and what happened."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from rich.console import Console
from rich.table import Table

from interfaces.command_line import CommandParser, command_parser, print_json
from interfaces.drivers.clock import epoch_s, monotonic_s
from interfaces.errors import UserError
from interfaces.web.server import WebServer
from optimizer.service.enrolment import ALARMS, BrokerAddress, Desk, certificate_number
from optimizer.service.enrolment_config import EnrolmentConfig, load_enrolment
from optimizer.service.enrolment_http import EnrolmentApp, Pace, ServerTls
from optimizer.service.heartbeat import Heartbeat
from optimizer.store.database import Database, StoreError
from optimizer.store.keys import Box, Enrolments

log = logging.getLogger(__name__)

SHOWN_EVENTS = 100
LOOK_EVERY_S = 2.0
MAX_CODE_DAYS = 90
DATABASE_CONNECTIONS = 4
"""Kept open; whoever asks while all are used gets one that is not kept."""


def serve(argv: list[str]) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        UserError: the configuration, the authority or the address cannot be used.
    """
    config = load_enrolment(_parser("serve", "Give certificates to new controllers.").parse_args(argv).config)
    logging.basicConfig(level=config.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    server = start(config)
    log.info("enrolment kind=serving host=%s port=%d", config.listen.host, server.port)
    heartbeat = Heartbeat()
    heartbeat.beat()
    while not stop.wait(LOOK_EVERY_S):
        heartbeat.beat()
        publish_crl(config)
    server.close()


def start(config: EnrolmentConfig) -> WebServer:
    """The running service.

    Raises:
        UserError: the authority or the address cannot be used.
    """
    tls = ServerTls(config.keys, config.hosts)
    publish_crl(config)
    app = EnrolmentApp(desk_of(config), Pace(monotonic_s))
    host, port = config.listen.host, config.listen.port
    try:
        return WebServer(host, port, app, name="enrolment", tls=tls)
    except OSError as error:
        raise UserError(f"{host}:{port} cannot be served: {error.strerror or error}; change listen") from error


def publish_crl(config: EnrolmentConfig) -> None:
    """Bring the copy of the revocation list up to date. It may also change by ``pki revoke``, so it is looked at."""
    if config.crl_copy is None:
        return
    try:
        newest = (config.keys / "ca.crl").read_bytes()
        if config.crl_copy.exists() and config.crl_copy.read_bytes() == newest:
            return
        aside = config.crl_copy.with_name(f".{config.crl_copy.name}.new")
        aside.write_bytes(newest)
        aside.replace(config.crl_copy)
    except OSError:
        log.exception("enrolment kind=revocation_list_not_copied")


def desk_of(config: EnrolmentConfig) -> Desk:
    """The desk of a configuration.

    Raises:
        UserError: the store cannot be used.
    """
    broker = BrokerAddress(config.broker.host, config.broker.port)
    return Desk(enrolments_of(config), config.keys, broker, epoch_s)


def enrolments_of(config: EnrolmentConfig) -> Enrolments:
    """The store of a configuration, with its tables.

    Raises:
        UserError: it cannot be used.
    """
    database = Database(config.database, connections=DATABASE_CONNECTIONS)
    try:
        database.migrate()
    except StoreError as error:
        raise UserError(f"the store cannot be used: {error}") from error
    return Enrolments(database)


def make_code(argv: list[str]) -> None:
    """Make a device's one-time code and print it; it is kept nowhere.

    Raises:
        UserError: a name is none, or the device is another controller.
    """
    parser = _parser("code", "Make a one-time activation code for a device.", figures=True)
    parser.add_argument("--serial", required=True, help="what stands on the device")
    parser.add_argument("--controller", required=True, help="the controller it is to be")
    parser.add_argument("--organisation", required=True, help="whose it is")
    parser.add_argument("--site", required=True, help="where it stands")
    parser.add_argument("--days", type=int, default=14, help="how long the code is valid (default: 14)")
    parser.add_argument("--moved", action="store_true", help="the device was another controller, which ends")
    words = parser.parse_args(argv)
    if not 1 <= words.days <= MAX_CODE_DAYS:
        raise UserError(f"--days: a code is valid for 1 to {MAX_CODE_DAYS} days")
    box = Box(words.serial, words.controller, words.organisation, words.site)
    code = desk_of(load_enrolment(words.config)).new_code(box, words.days, moved=words.moved)
    if words.json:
        print_json({"serial": box.serial, "controller": box.controller, "code": code, "days": words.days})
        return
    sys.stdout.write(f"{code}\n")


def list_devices(argv: list[str]) -> None:
    """Print devices, codes and the latest events.

    Raises:
        UserError: the store cannot be used.
    """
    words = _parser("list", "List devices, their codes, and what happened.", figures=True).parse_args(argv)
    config = load_enrolment(words.config)
    store, revoked = enrolments_of(config), _revoked(config.keys)
    devices = [
        {**_device(box), "code": _code_state(store, box.serial),
         "certificate": _certificate_state(store, box.controller, revoked)}
        for box in store.boxes()
    ]  # fmt: skip
    events = [
        {"at_utc": _utc(e.at_epoch_s), "kind": e.kind.value, "alarm": e.kind in ALARMS, "serial": e.serial,
         "address": e.address, "text": e.text}
        for e in store.events(SHOWN_EVENTS)
    ]  # fmt: skip
    if words.json:
        print_json({"devices": devices, "events": events})
        return
    for title, rows in (("devices", devices), ("events", events)):
        table = Table(*(rows[0] if rows else {title: ""}), title=title)
        for row in rows:
            table.add_row(*(str(value) for value in row.values()))
        Console().print(table)


def _device(box: Box) -> dict[str, str]:
    return {"serial": box.serial, "controller": box.controller, "organisation": box.organisation, "site": box.site}


def _code_state(store: Enrolments, serial: str) -> str:
    code = store.code(serial)
    if code is None:
        return "none"
    if code.key:
        return "used"
    return "expired" if code.expires_epoch_s <= epoch_s() else f"open until {_utc(code.expires_epoch_s)}"


def _revoked(keys: Path) -> frozenset[str]:
    """The numbers on the authority's list, which alone decides."""
    file = keys / "ca.crl"
    try:
        found = x509.load_pem_x509_crl(file.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read: {error}") from error
    return frozenset(certificate_number(entry.serial_number) for entry in found)


def _certificate_state(store: Enrolments, controller: str, revoked: frozenset[str]) -> str:
    found = store.certificate(controller)
    if found is None:
        return "none"
    if found.number in revoked:
        return "revoked"
    end = _utc(found.not_after_epoch_s)
    return f"expired {end}" if found.not_after_epoch_s <= epoch_s() else f"until {end}"


def _utc(at_epoch_s: float) -> str:
    return datetime.fromtimestamp(at_epoch_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _parser(word: str, description: str, *, figures: bool = False) -> CommandParser:
    parser = command_parser(f"optimizer enrolment {word}", description, figures=figures)
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="enrolment.yaml")
    return parser
