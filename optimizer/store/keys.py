"""Keys and certificates by their names, and activation codes: no secret is ever stored here.

An activation code is stored as a hash and counts once: two boxes that ask at the same moment cannot both have it.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import and_, insert, or_, select, update

from optimizer.store.database import Database
from optimizer.store.tables import activation_codes, certificates, signing_keys
from optimizer.store.upsert import upsert


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The public half of a key plans are signed with. ``retired_epoch_s``: nothing issued later may carry it."""

    id: str
    public_key: bytes
    created_epoch_s: float
    retired_epoch_s: float | None = None


@dataclass(frozen=True, slots=True)
class Certificate:
    """A controller's certificate. ``fingerprint``: SHA-256 of its DER bytes, hexadecimal."""

    fingerprint: str
    controller: str
    not_after_epoch_s: float
    revoked_epoch_s: float | None = None


@dataclass(frozen=True, slots=True)
class ActivationCode:
    """A right to become ``controller``, once, for the box ``serial``."""

    code_hash: str
    serial: str
    controller: str
    expires_epoch_s: float


def put_signing_key(database: Database, key: SigningKey) -> None:
    """Add it, or note when it is retired."""
    row = {
        "id": key.id, "public_key": key.public_key, "created_epoch_s": key.created_epoch_s,
        "retired_epoch_s": key.retired_epoch_s,
    }  # fmt: skip
    with database.begin() as connection:
        connection.execute(upsert(connection, signing_keys, replaced=("retired_epoch_s",)), row)


def signing_keys_at(database: Database, epoch_s: float) -> tuple[SigningKey, ...]:
    """The keys that count at a moment, the newest first; during a rotation there are two."""
    table = signing_keys
    where = and_(
        table.c.created_epoch_s <= epoch_s,
        or_(table.c.retired_epoch_s.is_(None), table.c.retired_epoch_s > epoch_s),
    )
    columns = (table.c.id, table.c.public_key, table.c.created_epoch_s, table.c.retired_epoch_s)
    with database.begin() as connection:
        rows = connection.execute(select(*columns).where(where).order_by(table.c.created_epoch_s.desc(), table.c.id))
        return tuple(SigningKey(*row) for row in rows)


def put_certificate(database: Database, certificate: Certificate) -> None:
    """Add it, or note that it is revoked."""
    row = {
        "fingerprint": certificate.fingerprint, "controller_id": certificate.controller,
        "not_after_epoch_s": certificate.not_after_epoch_s, "revoked_epoch_s": certificate.revoked_epoch_s,
    }  # fmt: skip
    with database.begin() as connection:
        connection.execute(upsert(connection, certificates, replaced=("revoked_epoch_s",)), row)


def certificates_ending_before(database: Database, epoch_s: float) -> tuple[Certificate, ...]:
    """Certificates in use that end before a moment, the first to end first: what is to be renewed."""
    table = certificates
    where = and_(table.c.not_after_epoch_s < epoch_s, table.c.revoked_epoch_s.is_(None))
    columns = (table.c.fingerprint, table.c.controller_id, table.c.not_after_epoch_s, table.c.revoked_epoch_s)
    with database.begin() as connection:
        rows = connection.execute(select(*columns).where(where).order_by(table.c.not_after_epoch_s, "fingerprint"))
        return tuple(Certificate(*row) for row in rows)


def add_activation_code(database: Database, code: ActivationCode) -> None:
    """Add a code."""
    row = {
        "code_hash": code.code_hash, "serial": code.serial, "controller_id": code.controller,
        "expires_epoch_s": code.expires_epoch_s,
    }  # fmt: skip
    with database.begin() as connection:
        connection.execute(insert(activation_codes), row)


def redeem(database: Database, code_hash: str, serial: str, now_epoch_s: float) -> str | None:
    """The controller that the box ``serial`` becomes by this code; None where the code is unknown, used, over, or of
    another box. It counts once, whoever asks at the same time.
    """
    table = activation_codes
    where = and_(
        table.c.code_hash == code_hash, table.c.serial == serial, table.c.used_epoch_s.is_(None),
        table.c.expires_epoch_s > now_epoch_s,
    )  # fmt: skip
    statement = update(table).where(where).values(used_epoch_s=now_epoch_s).returning(table.c.controller_id)
    with database.begin() as connection:
        found: str | None = connection.scalar(statement)
    return found
