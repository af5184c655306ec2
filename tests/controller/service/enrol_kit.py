"""An enrolment service with real TLS on loopback, and boxes that ask it."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from controller.service.enrol import Enrolment
from controller.service.enrol_files import Identity
from controller.service.service_file import EnrolmentEntry
from interfaces.domain.units import SECONDS_PER_DAY
from interfaces.drivers import pki
from interfaces.web.server import WebServer
from optimizer.service.enrolment import BrokerAddress, Desk
from optimizer.service.enrolment_http import EnrolmentApp, Pace, ServerTls
from optimizer.store.database import Database
from optimizer.store.keys import Box, Enrolments, Event, Kind

LOCAL = "127.0.0.1"
SERIAL = "SW-000123"
BOX = Box(SERIAL, "depot-7", "acme", "depot")
AGE_DAYS = 800
"""The authority is so old, so that certificates may have been issued long ago and are valid by the system's clock."""


class Cloud:
    """The service. ``ahead_s`` moves the desk's clock; TLS has the system's."""

    def __init__(self, folder: Path, broker_port: int = 8883) -> None:
        self.keys = folder / "keys"
        self.ahead_s = 0.0
        if not self.keys.exists():
            pki.init(self.keys, [], datetime.fromtimestamp(time.time() - AGE_DAYS * SECONDS_PER_DAY, UTC))
        self.database = Database(f"sqlite:///{folder / 'enrolments.db'}")
        self.database.migrate()
        self.store = Enrolments(self.database)
        self.desk = Desk(self.store, self.keys, BrokerAddress(LOCAL, broker_port), self.clock)
        self.paced_s = 0.0
        self.app = EnrolmentApp(self.desk, Pace(lambda: self.paced_s))
        self.server = WebServer(LOCAL, 0, self.app, name="enrolment", tls=ServerTls(self.keys, (LOCAL,)))

    def clock(self) -> float:
        return time.time() + self.ahead_s

    @property
    def address(self) -> str:
        return f"{LOCAL}:{self.server.port}"

    def code(self, box: Box = BOX, days: int = 14) -> str:
        return self.desk.new_code(box, days)

    def events(self, kind: Kind) -> list[Event]:
        return [event for event in self.store.events(1000) if event.kind is kind]

    def revoked(self) -> set[int]:
        return {entry.serial_number for entry in x509.load_pem_x509_crl((self.keys / "ca.crl").read_bytes())}


@contextmanager
def served(folder: Path, broker_port: int = 8883) -> Iterator[Cloud]:
    cloud = Cloud(folder, broker_port)
    try:
        yield cloud
    finally:
        cloud.server.close()
        cloud.database.close()


@dataclass
class TestBox:
    """One box. ``clock_s`` None: the system's."""

    __test__ = False

    folder: Path
    server: str
    serial: str = SERIAL
    activation: str | None = None
    clock_s: float | None = None

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """As after power came back: everything it knows is on disk."""
        entry = EnrolmentEntry(self.server, self.serial, self.activation, None)
        self.enrolment = Enrolment(entry, self.folder / "enrolment", self._clock, random.Random(1))

    def _clock(self) -> float:
        return time.time() if self.clock_s is None else self.clock_s

    def enter(self, code: str) -> str:
        """Type a code, wait for the answer; the problem that is shown, or nothing."""
        refused = self.enrolment.submit(code)
        if refused is not None:
            return refused
        self.enrolment.step()
        return self.enrolment.view.problem

    @property
    def identity(self) -> Identity:
        found = self.enrolment.view.identity
        assert found is not None, self.enrolment.view
        return found

    @property
    def certificate(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.identity.cert_file.read_bytes())


def other_secret(code: str) -> str:
    """A well-formed code for the same authority with another secret."""
    from interfaces.domain.activation import ActivationCode, read_code, write_code

    read = read_code(code)
    assert isinstance(read, ActivationCode)
    return write_code(ActivationCode(bytes(b ^ 1 for b in read.secret), read.pin))
