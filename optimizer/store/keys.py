"""What the enrolment desk remembers: devices, their activation codes, certificates that were issued, what happened.

No secret is ever stored here: a code stands as its salted hash. Which certificates are revoked stands in the
authority's ``ca.crl`` alone, and public keys in its folder.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields
from enum import StrEnum
from typing import Final

from sqlalchemy import ColumnElement, Connection, delete, insert, or_, select, update

from interfaces.errors import UserError
from optimizer.store.database import Database
from optimizer.store.tables import (
    activation_codes,
    certificates,
    controllers,
    enrolment_events,
    organisations,
    sites,
)
from optimizer.store.upsert import upsert

MAX_EVENTS: Final = 10_000
"""Older ones are dropped, so that nobody fills the disk with wrong codes."""


class Kind(StrEnum):
    """What the desk notes."""

    CODE_MADE = "code_made"
    ENROLLED = "enrolled"
    REPEATED = "repeated"
    RENEWED = "renewed"
    WRONG_CODE = "wrong_code"
    EXPIRED_CODE = "expired_code"
    BLOCKED_CODE = "blocked_code"
    SECOND_DEVICE = "second_device"
    RENEWAL_REFUSED = "renewal_refused"


@dataclass(frozen=True, slots=True)
class Box:
    """A device and what it is to be: controller, site and organisation by their names on the wire."""

    serial: str
    controller: str
    organisation: str
    site: str


@dataclass(frozen=True, slots=True)
class Code:
    """The newest code of a device, of which nobody here knows the secret. ``key``: what it was used for, or empty."""

    number: int
    salt: bytes
    digest: bytes
    expires_epoch_s: float
    wrong: int
    key: str


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened at the desk; ``address`` of who asked."""

    at_epoch_s: float
    kind: Kind
    serial: str
    address: str
    text: str


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that was issued; ``number``: its serial number, hexadecimal."""

    number: str
    controller: str
    issued_epoch_s: float
    not_after_epoch_s: float


class Enrolments:
    """Each call is a transaction, and may come from any thread and process.

    Every call raises ``StoreError`` where the database does not answer.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def box(self, serial: str) -> Box | None:
        """The device with this serial number."""
        return next(iter(self._boxes(controllers.c.serial == serial)), None)

    def box_of(self, controller: str) -> Box | None:
        """The device that is this controller."""
        return next(iter(self._boxes(controllers.c.id == controller)), None)

    def boxes(self) -> tuple[Box, ...]:
        """All devices, by serial number."""
        return self._boxes(controllers.c.serial.is_not(None))

    def code(self, serial: str) -> Code | None:
        """The device's newest code."""
        table = activation_codes
        columns = [table.c[field.name] for field in fields(Code)]
        joined = table.join(controllers, controllers.c.id == table.c.controller_id)
        with self._database.begin() as connection:
            query = select(*columns).select_from(joined).where(controllers.c.serial == serial)
            row = connection.execute(query).one_or_none()
        return None if row is None else Code(*row)

    def add_code(self, box: Box, salt: bytes, digest: bytes, expires_epoch_s: float, now_epoch_s: float) -> None:
        """The device, instead of any that was this controller before, with this code instead of its older ones. Its
        organisation and site are added where they are new.

        Raises:
            UserError: the site is another organisation's.
        """
        with self._database.begin() as connection:
            _place(connection, box, now_epoch_s)
            before = or_(controllers.c.serial == box.serial, controllers.c.id == box.controller)
            gone = activation_codes.c.controller_id.in_(select(controllers.c.id).where(before))
            connection.execute(delete(activation_codes).where(gone))
            connection.execute(update(controllers).where(before).values(serial=None))
            row = {
                "id": box.controller, "site_id": box.site, "serial": box.serial, "created_epoch_s": now_epoch_s,
            }  # fmt: skip
            connection.execute(upsert(connection, controllers, replaced=("site_id", "serial")), row)
            code = {
                "controller_id": box.controller, "salt": salt, "digest": digest, "expires_epoch_s": expires_epoch_s,
                "wrong": 0, "key": "",
            }  # fmt: skip
            connection.execute(insert(activation_codes), code)

    def count_wrong(self, number: int) -> int:
        """One more wrong attempt at a code; how many there were."""
        table = activation_codes
        more = update(table).where(table.c.number == number).values(wrong=table.c.wrong + 1).returning(table.c.wrong)
        with self._database.begin() as connection:
            return int(connection.scalar(more) or 0)

    def take(self, number: int, key: str) -> str:
        """Use a code for a key unless it was used; the key it is used for."""
        table = activation_codes
        with self._database.begin() as connection:
            connection.execute(update(table).where(table.c.number == number, table.c.key == "").values(key=key))
            return str(connection.scalar(select(table.c.key).where(table.c.number == number)) or "")

    def issued(self, certificate: Certificate) -> None:
        """Remember that it was issued, once."""
        names = ("number", "controller_id", "issued_epoch_s", "not_after_epoch_s")
        with self._database.begin() as connection:
            row = dict(zip(names, astuple(certificate), strict=True))
            connection.execute(upsert(connection, certificates), row)

    def certificate(self, controller: str) -> Certificate | None:
        """The newest that was issued for a controller."""
        table = certificates
        columns = (table.c.number, table.c.controller_id, table.c.issued_epoch_s, table.c.not_after_epoch_s)
        newest = select(*columns).where(table.c.controller_id == controller).order_by(table.c.issued_epoch_s.desc())
        with self._database.begin() as connection:
            row = connection.execute(newest.limit(1)).one_or_none()
        return None if row is None else Certificate(*row)

    def note(self, event: Event) -> None:
        """Remember that it happened."""
        table = enrolment_events
        row = dict(zip((field.name for field in fields(Event)), astuple(event), strict=True))
        with self._database.begin() as connection:
            number = connection.scalar(insert(table).values(row).returning(table.c.number)) or 0
            connection.execute(delete(table).where(table.c.number <= number - MAX_EVENTS))

    def events(self, most: int) -> tuple[Event, ...]:
        """The latest, newest first."""
        table = enrolment_events
        columns = [table.c[field.name] for field in fields(Event)]
        with self._database.begin() as connection:
            rows = connection.execute(select(*columns).order_by(table.c.number.desc()).limit(most))
            return tuple(Event(at, Kind(kind), serial, address, text) for at, kind, serial, address, text in rows)

    def _boxes(self, where: ColumnElement[bool]) -> tuple[Box, ...]:
        columns = (controllers.c.serial, controllers.c.id, sites.c.organisation_id, sites.c.id)
        joined = controllers.join(sites, sites.c.id == controllers.c.site_id)
        query = select(*columns).select_from(joined).where(where, controllers.c.serial.is_not(None))
        with self._database.begin() as connection:
            return tuple(Box(*row) for row in connection.execute(query.order_by(controllers.c.serial)))


def _place(connection: Connection, box: Box, now_epoch_s: float) -> None:
    """Organisation and site of a device, added where they are new; what else is known of them stays."""
    owner = {"id": box.organisation, "name": box.organisation, "created_epoch_s": now_epoch_s}
    connection.execute(upsert(connection, organisations), owner)
    site = {
        "id": box.site, "organisation_id": box.organisation, "name": box.site, "time_zone": "",
        "created_epoch_s": now_epoch_s,
    }  # fmt: skip
    connection.execute(upsert(connection, sites), site)
    found = connection.scalar(select(sites.c.organisation_id).where(sites.c.id == box.site))
    if found != box.organisation:
        raise UserError(f"the site {box.site} is of {found}, not of {box.organisation}")
