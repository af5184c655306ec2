"""The keys of a fleet: a private certificate authority, TLS certificates and the key that signs plans.

TLS keys are EC P-256, which every broker and every controller speaks; plans and commands are signed with Ed25519
(RFC 8032). A certificate's common name is the user name at the broker. Nothing here ever overwrites a key that exists:
rotation puts the older one aside, so that both are valid until the fleet has moved over.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from interfaces.errors import UserError

CA_DAYS: Final[int] = 20 * 365
LEAF_DAYS: Final[int] = 825
"""Longest life that common TLS libraries still accept of a server certificate."""
CRL_DAYS: Final[int] = CA_DAYS
"""A revocation list that expires locks out every controller at once; it lives as long as the authority and is replaced
at each revocation."""
WARN_DAYS: Final[int] = 30
BACKDATE: Final[timedelta] = timedelta(hours=1)
"""A controller's clock may lag when it first connects."""
NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
"""A controller's name stands in topics and access rules: letters, digits and hyphens, as in a host name."""
RESERVED: Final[frozenset[str]] = frozenset({"ca", "broker", "optimizer", "signing"})
KEY_ID_LENGTH: Final[int] = 16


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


def key_id_of(public: ed25519.Ed25519PublicKey) -> str:
    """The name of a signing key in plans: the first 64 bits of SHA-256 of its 32 bytes, in hexadecimal."""
    raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:KEY_ID_LENGTH]


def init(folder: Path, hosts: Sequence[str], now: datetime) -> None:
    """A new authority with the certificates of broker and optimizer, an empty revocation list and a signing key.

    Raises:
        UserError: the folder already holds an authority, or cannot be written, or a host is no host.
    """
    if (folder / "ca.key").exists() or (folder / "ca.crt").exists():
        raise UserError(f"{folder} already holds an authority (ca.key): choose another folder, or 'pki rotate'")
    names = [_host(host) for host in dict.fromkeys(["localhost", "127.0.0.1", "::1", *hosts])]
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise UserError(f"{folder} cannot be made: {error.strerror or error}") from error
    key = ec.generate_private_key(ec.SECP256R1())
    name = _named("stroomwacht CA")
    certificate = (
        _builder(name, name, key.public_key(), now, CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write_key(folder / "ca.key", key)
    _write(folder / "ca.crt", certificate.public_bytes(Encoding.PEM))
    authority = _Authority(key, certificate)
    _issue(folder, authority, "broker", now, hosts=names)
    _issue(folder, authority, "optimizer", now)
    _write_crl(folder, authority, [], now)
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
    if (folder / f"{controller}.crt").exists():
        raise UserError(f"{controller} already has a certificate in {folder}: 'pki rotate' renews it")
    _issue(folder, _authority(folder), controller, now)


def revoke(folder: Path, controller: str, now: datetime) -> None:
    """Put a controller's certificate on the revocation list; its older ones too.

    Raises:
        UserError: there is no such certificate, or it is revoked already.
    """
    authority = _authority(folder)
    paths = [p for p in (folder / f"{controller}.crt", folder / f"{controller}.old.crt") if p.exists()]
    if not paths or controller in RESERVED:
        raise UserError(f"{folder} holds no certificate of a controller '{controller}'")
    listed = _listed(folder)
    known = {entry.serial_number for entry in listed}
    fresh = [s for s in (_certificate(path).serial_number for path in paths) if s not in known]
    if not fresh:
        raise UserError(f"{controller} is already revoked")
    added = [x509.RevokedCertificateBuilder().serial_number(s).revocation_date(now).build() for s in fresh]
    _write_crl(folder, authority, [*listed, *added], now)


def rotate(folder: Path, what: str, now: datetime) -> None:
    """A new key and certificate for ``what`` (broker, optimizer, signing or a controller); the older one is kept as
    ``.old`` and stays valid. For ``signing`` both public keys stand in ``signing.pub``, the new one first.

    Raises:
        UserError: there is nothing of that name, or it is revoked.
    """
    if what == "signing":
        _signing_key(folder)
        (folder / "signing.key").replace(folder / "signing.old.key")
        _new_signing_key(folder)
        return
    authority = _authority(folder)
    path = folder / f"{what}.crt"
    if what == "ca" or not path.exists():
        raise UserError(f"{folder} holds no certificate '{what}' to renew")
    old = _certificate(path)
    if any(entry.serial_number == old.serial_number for entry in _listed(folder)):
        raise UserError(f"{what} is revoked: a new device gets a new name")
    hosts = _hosts_of(old)
    path.replace(folder / f"{what}.old.crt")
    (folder / f"{what}.key").replace(folder / f"{what}.old.key")
    _issue(folder, authority, what, now, hosts=hosts)


def sign_request(folder: Path, controller: str, request_pem: bytes, now: datetime) -> bytes:
    """The certificate for a key that never left its controller, for enrolment.

    Raises:
        UserError: the request is damaged or names somebody else.
    """
    try:
        request = x509.load_pem_x509_csr(request_pem)
        valid = request.is_signature_valid
    except ValueError as error:
        raise UserError("the certificate request is damaged") from error
    names = request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if not valid or [n.value for n in names] != [controller] or NAME.fullmatch(controller) is None:
        raise UserError(f"the certificate request is not one of controller '{controller}'")
    key = request.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise UserError("the certificate request is not for an EC key")
    certificate = _leaf(_authority(folder), controller, key, now, [])
    _write(folder / f"{controller}.crt", certificate.public_bytes(Encoding.PEM))
    return certificate.public_bytes(Encoding.PEM)


def expiries(folder: Path, now: datetime) -> tuple[Expiry, ...]:
    """Every certificate of the folder, the soonest first."""
    revoked = {entry.serial_number for entry in _listed(folder)}
    found = []
    for path in sorted(folder.glob("*.crt")):
        certificate = _certificate(path)
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


@dataclass(frozen=True, slots=True)
class _Authority:
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


def _authority(folder: Path) -> _Authority:
    try:
        key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), password=None)
    except OSError as error:
        raise UserError(
            f"{folder} holds no authority ({error.strerror or error}): run 'stroomwacht pki init'"
        ) from error
    except ValueError as error:
        raise UserError(f"{folder / 'ca.key'} is no key") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise UserError(f"{folder / 'ca.key'} is not the key of an authority made here")
    return _Authority(key, _certificate(folder / "ca.crt"))


def _certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise UserError(f"{path} is no certificate") from error


def _issue(
    folder: Path, authority: _Authority, name: str, now: datetime, *, hosts: Sequence[x509.GeneralName] = ()
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _leaf(authority, name, key.public_key(), now, hosts)
    _write_key(folder / f"{name}.key", key)
    _write(folder / f"{name}.crt", certificate.public_bytes(Encoding.PEM))


def _leaf(
    authority: _Authority,
    name: str,
    public: ec.EllipticCurvePublicKey,
    now: datetime,
    hosts: Sequence[x509.GeneralName],
) -> x509.Certificate:
    usage = ExtendedKeyUsageOID.SERVER_AUTH if hosts else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = (
        _builder(_named(name), authority.certificate.subject, public, now, LEAF_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False
        )
    )  # fmt: skip
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
    return builder.sign(authority.key, hashes.SHA256())


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + timedelta(days=days))
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        pass
    labels = text.lower().rstrip(".").split(".")
    if len(text) > 253 or any(NAME.fullmatch(label) is None for label in labels):
        raise UserError(f"'{text}' is no host name and no address")
    return x509.DNSName(text.lower().rstrip("."))


def _hosts_of(certificate: x509.Certificate) -> list[x509.GeneralName]:
    try:
        return list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return []


def _listed(folder: Path) -> list[x509.RevokedCertificate]:
    path = folder / "ca.crl"
    try:
        return list(x509.load_pem_x509_crl(path.read_bytes()))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise UserError(f"{path} is no revocation list") from error


def _write_crl(folder: Path, authority: _Authority, revoked: Sequence[x509.RevokedCertificate], now: datetime) -> None:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(now - BACKDATE)
        .next_update(now + timedelta(days=CRL_DAYS))
    )
    for entry in revoked:
        builder = builder.add_revoked_certificate(entry)
    _write(folder / "ca.crl", builder.sign(authority.key, hashes.SHA256()).public_bytes(Encoding.PEM))


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
    _write_key(folder / "signing.key", key)
    keys = [key]
    if (folder / "signing.old.key").exists():
        keys.append(_signing_key(folder, "signing.old.key"))
    pems = [k.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo) for k in keys]
    _write(folder / "signing.pub", b"".join(pems))


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> None:
    _write(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), mode=0o600)


def _write(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Whole or not at all, on disk before it has its name; a key is never readable by others, not for an instant."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error


def utc_now() -> datetime:
    """Now, for those who call from a command."""
    return datetime.now(UTC)
