"""The keys of a fleet: a private certificate authority, TLS certificates and the key that signs plans.

TLS keys are EC P-256, which every broker and every controller speaks; plans and commands are signed with Ed25519
(RFC 8032). A certificate's common name is the user name at the broker. Nothing here ever overwrites a key that exists:
rotation puts the older one aside, so that both are valid until the fleet has moved over.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from interfaces.drivers import pki_files as files
from interfaces.drivers.pki_files import CA_DAYS, LEAF_DAYS, NAME
from interfaces.errors import UserError

__all__ = [
    "LEAF_DAYS", "NAME", "RENEW_DAYS", "RESERVED", "WARN_DAYS", "Expiry", "NotRenewed", "expiries", "fingerprint",
    "grant", "init", "issue", "key_id_of", "public_keys", "renew", "request_key", "revoke", "rotate", "server_pair",
    "sign_request", "utc_now",
]  # fmt: skip

WARN_DAYS: Final[int] = 30
RENEW_DAYS: Final[int] = 90
"""Certificates are not renewed earlier: a box asks once it has 60 days left."""
RESERVED: Final[frozenset[str]] = frozenset({"ca", "broker", "enrolment", "optimizer", "signing"})
KEY_ID_LENGTH: Final[int] = 16
OLDER: Final = "older.txt"
"""Certificates that are no longer kept as files, one ``NAME SERIAL`` per line: revocation must still find them."""


@dataclass(frozen=True, slots=True)
class Expiry:
    """One certificate of the folder. ``revoked``: on the list; ``days_left`` negative once expired."""

    name: str
    until: datetime
    days_left: int
    revoked: bool

    @property
    def warns(self) -> bool:
        """Time to make a new one."""
        return not self.revoked and self.days_left <= WARN_DAYS


class NotRenewed(StrEnum):
    """Why a certificate is not renewed."""

    STRANGE = "it is none of a controller we know"
    REVOKED = "it is revoked"
    SUPERSEDED = "it was renewed before, with another key"
    EARLY = "it is good for long yet"


def key_id_of(public: ed25519.Ed25519PublicKey) -> str:
    """The name of a signing key in plans: the first 64 bits of SHA-256 of its 32 bytes, in hexadecimal."""
    raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:KEY_ID_LENGTH]


def init(folder: Path, hosts: Sequence[str], now: datetime) -> None:
    """A new authority with the certificates of broker and optimizer, an empty revocation list and a signing key.

    Raises:
        UserError: the folder already holds an authority, or cannot be written, or a host is no host.
    """
    names = [files.host(host) for host in dict.fromkeys(["localhost", "127.0.0.1", "::1", *hosts])]
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise UserError(f"{folder} cannot be made: {error.strerror or error}") from error
    with files.locked(folder):
        if (folder / "ca.key").exists() or (folder / "ca.crt").exists():
            raise UserError(f"{folder} already holds an authority (ca.key): choose another folder, or 'pki rotate'")
        authority = _new_authority(now)
        files.write_key(folder / "ca.key", authority.key)
        files.write(folder / "ca.crt", authority.certificate.public_bytes(Encoding.PEM))
        files.make_pair(folder, authority, "broker", now, hosts=names)
        files.make_pair(folder, authority, "optimizer", now)
        files.write_crl(folder, authority, [], now)
        _new_signing_key(folder)


def issue(folder: Path, controller: str, now: datetime) -> None:
    """A key and certificate for a controller, its name as common name.

    Raises:
        UserError: the name is none, is taken, or the authority is missing.
    """
    if NAME.fullmatch(controller) is None:
        raise UserError(f"'{controller}' is no name for a controller: small letters, digits and hyphens, at most 63")
    if controller in RESERVED:
        raise UserError(f"'{controller}' is kept for the cloud side: choose another name for the controller")
    with files.locked(folder):
        if (folder / f"{controller}.crt").exists():
            raise UserError(f"{controller} already has a certificate in {folder}: 'pki rotate' renews it")
        files.make_pair(folder, files.authority_of(folder), controller, now)


def revoke(folder: Path, controller: str, now: datetime) -> None:
    """Put a controller's certificates on the revocation list, older ones too.

    Raises:
        UserError: there is no such certificate, or all are revoked already.
    """
    with files.locked(folder):
        authority = files.authority_of(folder)
        if controller in RESERVED or not _serials(folder, controller):
            raise UserError(f"{folder} holds no certificate of a controller '{controller}'")
        if not _revoke(folder, authority, controller, now):
            raise UserError(f"{controller} is already revoked")


def rotate(folder: Path, what: str, now: datetime) -> None:
    """A new key and certificate for ``what`` (broker, optimizer, signing or a controller); the older one is kept as
    ``.old`` and stays valid. For ``signing`` both public keys stand in ``signing.pub``, the new one first.

    Raises:
        UserError: there is nothing of that name, it is revoked, or its key is on the controller alone.
    """
    with files.locked(folder):
        if what == "signing":
            _signing_key(folder)
            (folder / "signing.key").replace(folder / "signing.old.key")
            _new_signing_key(folder)
            return
        authority = files.authority_of(folder)
        path = folder / f"{what}.crt"
        if what == "ca" or not path.exists():
            raise UserError(f"{folder} holds no certificate '{what}' to renew")
        if not (folder / f"{what}.key").exists():
            raise UserError(f"{what} made its own key and renews its certificate itself")
        old = files.certificate_in(path)
        if old.serial_number in _revoked(folder):
            raise UserError(f"{what} is revoked: a new device gets a new name")
        _put_aside(folder, what)
        files.make_pair(folder, authority, what, now, hosts=files.hosts_of(old))


def server_pair(folder: Path, name: str, hosts: Sequence[str], now: datetime) -> None:
    """``NAME.crt`` and ``NAME.key`` of a server of the cloud side, made anew where they are missing, are for other
    hosts, or expire within ``WARN_DAYS``.

    Raises:
        UserError: a host is none, or the authority is missing.
    """
    names = [files.host(host) for host in dict.fromkeys(["localhost", "127.0.0.1", "::1", *hosts])]
    with files.locked(folder):
        path = folder / f"{name}.crt"
        if path.exists() and (folder / f"{name}.key").exists():
            present = files.certificate_in(path)
            if (present.not_valid_after_utc - now).days > WARN_DAYS and files.hosts_of(present) == names:
                return
        files.make_pair(folder, files.authority_of(folder), name, now, hosts=names)


def request_key(request_pem: bytes) -> ec.EllipticCurvePublicKey:
    """The public key of a certificate request whose sender has shown that he holds the private one.

    Raises:
        UserError: the request is damaged or for another kind of key than ours.
    """
    key = _request(request_pem).public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise UserError("the certificate request is not for an EC P-256 key")
    return key


def sign_request(folder: Path, controller: str, request_pem: bytes, now: datetime) -> bytes:
    """The certificate for a key that never left its controller, when the request names that controller.

    Raises:
        UserError: the request is damaged or names somebody else.
    """
    names = _request(request_pem).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if [n.value for n in names] != [controller]:
        raise UserError(f"the certificate request is not one of controller '{controller}'")
    found = grant(folder, controller, request_key(request_pem), now)
    if isinstance(found, NotRenewed):
        raise UserError(f"{controller} gets no certificate for this key: {found}")
    return found


def grant(
    folder: Path, controller: str, key: ec.EllipticCurvePublicKey, now: datetime, *, replaces: bool = False
) -> bytes | NotRenewed:
    """The certificate (PEM) of a controller for this key; the one it has, when that is for the same key, unless it was
    revoked. An older one stays valid as ``.old``; with ``replaces`` all of them are revoked: the device lost its key.

    Raises:
        UserError: the name is none of a controller, or the authority is missing.
    """
    if NAME.fullmatch(controller) is None or controller in RESERVED:
        raise UserError(f"'{controller}' is no name for a controller")
    with files.locked(folder):
        present = _present(folder, controller)
        if present is not None and present.public_key() == key:
            alive = _alive(folder, present, now)
            return present.public_bytes(Encoding.PEM) if alive else NotRenewed.REVOKED
        if replaces:
            _revoke(folder, files.authority_of(folder), controller, now)
        return _replace(folder, controller, key, now)


def renew(folder: Path, shown: x509.Certificate, key: ec.EllipticCurvePublicKey, now: datetime) -> bytes | NotRenewed:
    """The certificate (PEM) for a new key of the controller that showed its present one; the same again when asked
    again, since an answer may get lost. Only the newest certificate is renewed, so that a stolen key is seen.

    Raises:
        UserError: the authority is missing or damaged.
    """
    names = [str(n.value) for n in shown.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if len(names) != 1 or NAME.fullmatch(names[0]) is None or names[0] in RESERVED:
        return NotRenewed.STRANGE
    with files.locked(folder):
        present = _present(folder, names[0])
        if shown.serial_number in _revoked(folder):
            return NotRenewed.REVOKED
        if present is None or not _alive(folder, present, now):
            return NotRenewed.STRANGE
        if present.public_key() == key:
            return present.public_bytes(Encoding.PEM)
        newest = present.serial_number == shown.serial_number
        if not newest or (present.not_valid_after_utc - now).days > RENEW_DAYS:
            return NotRenewed.EARLY if newest else NotRenewed.SUPERSEDED
        return _replace(folder, names[0], key, now)


def fingerprint(certificate: x509.Certificate) -> bytes:
    """SHA-256 of a certificate, what ``openssl x509 -fingerprint -sha256`` shows."""
    return certificate.fingerprint(hashes.SHA256())


def expiries(folder: Path, now: datetime) -> tuple[Expiry, ...]:
    """Every certificate of the folder, the soonest first."""
    revoked = {entry.serial_number for entry in files.listed(folder)}
    found = []
    for path in sorted(folder.glob("*.crt")):
        certificate = files.certificate_in(path)
        until = certificate.not_valid_after_utc
        found.append(Expiry(path.stem, until, (until - now).days, certificate.serial_number in revoked))
    return tuple(sorted(found, key=lambda e: (e.until, e.name)))


def public_keys(text: bytes) -> dict[str, ed25519.Ed25519PublicKey]:
    """The signing keys of a ``signing.pub``, by key id.

    Raises:
        ValueError: the text holds something else.
    """
    found: dict[str, ed25519.Ed25519PublicKey] = {}
    for block in re.findall(rb"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----", text, re.DOTALL):
        key = serialization.load_pem_public_key(block)
        if not isinstance(key, ed25519.Ed25519PublicKey):
            raise ValueError("a signing key is not Ed25519")  # noqa: TRY004  what is wrong is the text
        found[key_id_of(key)] = key
    if not found:
        raise ValueError("there is no signing key in it")
    return found


def _new_authority(now: datetime) -> files.Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = files.named("stroomwacht CA")
    certificate = (
        files.builder(name, name, key.public_key(), now, CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(files.usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return files.Authority(key, certificate)


def _present(folder: Path, name: str) -> x509.Certificate | None:
    path = folder / f"{name}.crt"
    return files.certificate_in(path) if path.exists() else None


def _alive(folder: Path, certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_after_utc > now and certificate.serial_number not in _revoked(folder)


def _replace(folder: Path, controller: str, key: ec.EllipticCurvePublicKey, now: datetime) -> bytes:
    authority = files.authority_of(folder)
    _put_aside(folder, controller)
    pem = files.leaf(authority, controller, key, now).public_bytes(Encoding.PEM)
    files.write(folder / f"{controller}.crt", pem)
    return pem


def _request(pem: bytes) -> x509.CertificateSigningRequest:
    try:
        request = x509.load_pem_x509_csr(pem)
        valid = request.is_signature_valid
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UserError("the certificate request is damaged") from error
    if not valid:
        raise UserError("the certificate request is damaged")
    return request


def _serials(folder: Path, name: str) -> list[int]:
    """Every certificate the name ever had: its files, and those that are listed as older."""
    paths = [p for p in (folder / f"{name}.crt", folder / f"{name}.old.crt") if p.exists()]
    found = [files.certificate_in(path).serial_number for path in paths]
    older = folder / OLDER
    rows = older.read_text(encoding="ascii").splitlines() if older.exists() else []
    return found + [int(serial, 16) for whose, _, serial in (row.partition(" ") for row in rows) if whose == name]


def _revoked(folder: Path) -> set[int]:
    return {entry.serial_number for entry in files.listed(folder)}


def _revoke(folder: Path, authority: files.Authority, name: str, now: datetime) -> bool:
    """Whether there was anything to add to the list."""
    listed = files.listed(folder)
    known = {entry.serial_number for entry in listed}
    fresh = sorted(set(_serials(folder, name)) - known)
    if fresh:
        added = [x509.RevokedCertificateBuilder().serial_number(s).revocation_date(now).build() for s in fresh]
        files.write_crl(folder, authority, [*listed, *added], now)
    return bool(fresh)


def _put_aside(folder: Path, name: str) -> None:
    """The present pair becomes ``.old``; the one that was, is noted."""
    present, old = folder / f"{name}.crt", folder / f"{name}.old.crt"
    if old.exists():
        rows = (folder / OLDER).read_bytes() if (folder / OLDER).exists() else b""
        serial = files.certificate_in(old).serial_number
        files.write(folder / OLDER, rows + f"{name} {serial:x}\n".encode())
    for path in (present, present.with_suffix(".key")):
        if path.exists():
            path.replace(folder / f"{name}.old{path.suffix}")


def _signing_key(folder: Path, name: str = "signing.key") -> ed25519.Ed25519PrivateKey:
    path = folder / name
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise UserError(f"{path} is no key") from error
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise UserError(f"{path} is no Ed25519 key")
    return key


def _new_signing_key(folder: Path) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    files.write_key(folder / "signing.key", key)
    keys = [key]
    if (folder / "signing.old.key").exists():
        keys.append(_signing_key(folder, "signing.old.key"))
    pems = [k.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo) for k in keys]
    files.write(folder / "signing.pub", b"".join(pems))


def utc_now() -> datetime:
    """Now, for those who call from a command."""
    return datetime.now(UTC)
