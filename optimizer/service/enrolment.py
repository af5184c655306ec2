"""The enrolment desk: who gets a certificate for which controller. No socket and no table is known here.

A code works for one key. The same key may ask again until the code expires, because an answer may get lost with the
power; another key with the same code is refused and is an alarm. A new code for a device whose key is gone revokes
every certificate it had.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from interfaces.domain.activation import PIN_BYTES, SECRET_BYTES, ActivationCode, write_code
from interfaces.domain.enrolment import Enrolled, EnrolRequest, RenewRequest, Why, is_id, is_serial
from interfaces.domain.units import SECONDS_PER_DAY
from interfaces.drivers import pki
from interfaces.errors import UserError
from optimizer.store.keys import Box, Certificate, Code, Enrolments, Event, Kind

log = logging.getLogger(__name__)

MAX_WRONG: Final = 10
"""Wrong attempts per code; with 80 bits of secret, chance finds nothing."""
SALT_BYTES: Final = 16
SCRYPT_N: Final = 2**14
"""16 MB and some 50 ms per attempt (RFC 7914; the secret is random, so that no more is needed)."""
SCRYPT_R: Final = 8
NO_SALT: Final = bytes(SALT_BYTES)


ALARMS: Final = frozenset({Kind.BLOCKED_CODE, Kind.SECOND_DEVICE, Kind.RENEWAL_REFUSED})
"""Somebody should look at these."""


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where controllers find the broker."""

    host: str
    port: int


class Desk:
    """Decides and notes; ``clock`` is UTC. May be used from several threads.

    ``keys``: a folder of the authority with ``ca.key``, ``ca.crt``, ``ca.crl`` and ``signing.pub``.
    """

    def __init__(self, store: Enrolments, keys: Path, broker: BrokerAddress, clock: Callable[[], float]) -> None:
        self._store = store
        self._keys = keys
        self._broker = broker
        self._clock = clock

    def new_code(self, box: Box, days: int, *, moved: bool = False) -> str:
        """A new activation code for a device; its older ones end. Nobody can read it again later.

        Raises:
            UserError: a name is none, or the device is another controller and ``moved`` was not said.
        """
        _check(box)
        before = self._store.box(box.serial)
        if before is not None and before.controller != box.controller:
            if not moved:
                raise UserError(f"{box.serial} is the device of {before.controller}: say --moved to end that")
            with suppress(UserError):  # it may never have enrolled
                pki.revoke(self._keys, before.controller, self._now())
        code = ActivationCode(secrets.token_bytes(SECRET_BYTES), self._fingerprint()[:PIN_BYTES])
        salt = secrets.token_bytes(SALT_BYTES)
        now = self._clock()
        self._store.add_code(box, salt, _digest(code.secret, salt), now + days * SECONDS_PER_DAY, now)
        self._note(Kind.CODE_MADE, box.serial, "", f"for {box.controller}, valid for {days} days")
        return write_code(code)

    def enrol(self, request: EnrolRequest, address: str) -> Enrolled | Why:
        """The first certificate of a device, or the first after it lost its key.

        Raises:
            UserError: the authority or its files cannot be used.
        """
        key = _key(request.request)
        secret = _secret(request.secret)
        if key is None or secret is None or not is_serial(request.serial):
            return Why.MALFORMED
        box, code = self._store.box(request.serial), self._store.code(request.serial)
        # As long for an unknown serial number as for a known one.
        right = hmac.compare_digest(
            _digest(secret, NO_SALT if code is None else code.salt), b"" if code is None else code.digest
        )
        if box is None or code is None or not right:
            self._wrong(request.serial, code, address)
            return Why.WRONG
        if code.wrong >= MAX_WRONG and code.key != _name(key):
            return Why.BLOCKED
        if code.expires_epoch_s <= self._clock():
            self._note(Kind.EXPIRED_CODE, box.serial, address, "the code had expired")
            return Why.EXPIRED
        return self._with_code(box, code, key, address)

    def renew(self, request: RenewRequest, shown: x509.Certificate | None, address: str) -> Enrolled | Why:
        """The next certificate of a controller that showed its present one.

        Raises:
            UserError: the authority or its files cannot be used.
        """
        key = _key(request.request)
        if key is None:
            return Why.MALFORMED
        box = None if shown is None else self._store.box_of(_common_name(shown))
        if shown is None or box is None:
            self._note(Kind.RENEWAL_REFUSED, "", address, "a certificate of nobody we know")
            return Why.NO_CERTIFICATE
        found = pki.renew(self._keys, shown, key, self._now())
        if isinstance(found, pki.NotRenewed):
            self._note(Kind.RENEWAL_REFUSED, box.serial, address, f"{box.controller}: {found}")
            return _WHY[found]
        self._note(Kind.RENEWED, box.serial, address, box.controller)
        return self._answer(box, found)

    def _with_code(self, box: Box, code: Code, key: ec.EllipticCurvePublicKey, address: str) -> Enrolled | Why:
        name = _name(key)
        if self._store.take(code.number, name) != name:
            text = f"the code of {box.controller} was tried by a second device"
            self._note(Kind.SECOND_DEVICE, box.serial, address, text)
            return Why.USED
        found = pki.grant(self._keys, box.controller, key, self._now(), replaces=True)
        if isinstance(found, pki.NotRenewed):
            self._note(Kind.RENEWAL_REFUSED, box.serial, address, f"{box.controller}: {found}")
            return _WHY[found]
        self._note(Kind.REPEATED if code.key else Kind.ENROLLED, box.serial, address, box.controller)
        return self._answer(box, found)

    def _wrong(self, serial: str, code: Code | None, address: str) -> None:
        wrong = 0 if code is None else self._store.count_wrong(code.number)
        known = "unknown serial number" if code is None else f"wrong code, number {wrong}"
        self._note(Kind.WRONG_CODE, serial, address, known)
        if wrong == MAX_WRONG:
            self._note(Kind.BLOCKED_CODE, serial, address, "its code is blocked: make a new one")

    def _answer(self, box: Box, certificate: bytes) -> Enrolled:
        made = x509.load_pem_x509_certificate(certificate)
        end_epoch_s = made.not_valid_after_utc.timestamp()
        number = certificate_number(made.serial_number)
        self._store.issued(Certificate(number, box.controller, self._clock(), end_epoch_s))
        return Enrolled(
            controller=box.controller,
            organisation=box.organisation,
            site=box.site,
            certificate=certificate.decode("ascii"),
            authority=self.authority().decode("ascii"),
            signing_keys=self._file("signing.pub").decode("ascii"),
            broker_host=self._broker.host,
            broker_port=self._broker.port,
            server_epoch_s=self._clock(),
        )

    def authority(self) -> bytes:
        """The authority's certificate (PEM), for anybody.

        Raises:
            UserError: it cannot be read.
        """
        return self._file("ca.crt")

    def _file(self, name: str) -> bytes:
        path = self._keys / name
        try:
            return path.read_bytes()
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror or error}") from error

    def _fingerprint(self) -> bytes:
        return pki.fingerprint(x509.load_pem_x509_certificate(self.authority()))

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    def _note(self, kind: Kind, serial: str, address: str, text: str) -> None:
        level = logging.WARNING if kind in ALARMS else logging.INFO
        log.log(level, "enrolment kind=%s serial=%s address=%s text=%r", kind, serial, address, text)
        self._store.note(Event(self._clock(), kind, serial, address, text))


def certificate_number(serial_number: int) -> str:
    """How the store names a certificate."""
    return f"{serial_number:x}"


_WHY: Final = {
    pki.NotRenewed.STRANGE: Why.NO_CERTIFICATE,
    pki.NotRenewed.REVOKED: Why.REVOKED,
    pki.NotRenewed.SUPERSEDED: Why.NO_CERTIFICATE,
    pki.NotRenewed.EARLY: Why.EARLY,
}


def _check(box: Box) -> None:
    if not is_serial(box.serial):
        raise UserError(f"'{box.serial}' is no serial number: 4 to 40 letters, digits and hyphens")
    if pki.NAME.fullmatch(box.controller) is None or box.controller in pki.RESERVED:
        raise UserError(
            f"'{box.controller}' is no name for a controller: small letters, digits and hyphens, at most 63"
        )
    for what, name in (("an organisation", box.organisation), ("a site", box.site)):
        if not is_id(name):
            raise UserError(f"'{name}' is no name for {what}: letters, digits, - and _, at most 64")


def _key(request: str) -> ec.EllipticCurvePublicKey | None:
    try:
        return pki.request_key(request.encode())
    except UserError:
        return None


def _secret(text: str) -> bytes | None:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        return None
    return found if len(found) == SECRET_BYTES else None


def _digest(secret: bytes, salt: bytes) -> bytes:
    return hashlib.scrypt(secret, salt=salt, n=SCRYPT_N, r=SCRYPT_R, p=1, dklen=32)


def _name(key: ec.EllipticCurvePublicKey) -> str:
    """A key's fingerprint."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _common_name(certificate: x509.Certificate) -> str:
    names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(names[0].value) if len(names) == 1 else ""
