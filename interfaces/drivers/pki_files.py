"""What the authority's folder holds, read and written: certificates, the revocation list, keys; one writer at a time.

Private to ``pki``. Nothing here decides who may have a certificate.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from interfaces.errors import UserError

CA_DAYS: Final[int] = 20 * 365
LEAF_DAYS: Final[int] = 825
"""Longest life that common TLS libraries still accept of a server certificate."""
CRL_DAYS: Final[int] = CA_DAYS
"""A revocation list that expires locks out every controller at once; it lives as long as the authority and is replaced
at each revocation."""
BACKDATE: Final[timedelta] = timedelta(hours=1)
"""A controller's clock may lag when it first connects."""
NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
"""A controller's name stands in topics and access rules: letters, digits and hyphens, as in a host name."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Alone among all processes and threads that change this folder; waits for the others. The lock is on the folder
    itself, and the system lets it go when a process dies.

    Raises:
        UserError: there is no such folder.
    """
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise no_authority(folder, error) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def no_authority(folder: Path, error: OSError) -> UserError:
    """The sentence for a folder without one."""
    return UserError(f"{folder} holds no authority ({error.strerror or error}): run 'stroomwacht pki init'")


@dataclass(frozen=True, slots=True)
class Authority:
    """The key that signs certificates, and its own certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


def authority_of(folder: Path) -> Authority:
    """The authority of a folder.

    Raises:
        UserError: there is none, or it is damaged.
    """
    try:
        key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), password=None)
    except OSError as error:
        raise no_authority(folder, error) from error
    except ValueError as error:
        raise UserError(f"{folder / 'ca.key'} is no key") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise UserError(f"{folder / 'ca.key'} is not the key of an authority made here")
    return Authority(key, certificate_in(folder / "ca.crt"))


def certificate_in(path: Path) -> x509.Certificate:
    """The certificate in a PEM file.

    Raises:
        UserError: it cannot be read or is none.
    """
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise UserError(f"{path} is no certificate") from error


def make_pair(
    folder: Path, authority: Authority, name: str, now: datetime, *, hosts: Sequence[x509.GeneralName] = ()
) -> None:
    """``NAME.key`` and ``NAME.crt``; a server's with ``hosts``, a client's without."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = leaf(authority, name, key.public_key(), now, hosts)
    write_key(folder / f"{name}.key", key)
    write(folder / f"{name}.crt", certificate.public_bytes(Encoding.PEM))


def leaf(
    authority: Authority,
    name: str,
    public: ec.EllipticCurvePublicKey,
    now: datetime,
    hosts: Sequence[x509.GeneralName] = (),
) -> x509.Certificate:
    """A certificate for a key; nothing is written."""
    purpose = ExtendedKeyUsageOID.SERVER_AUTH if hosts else ExtendedKeyUsageOID.CLIENT_AUTH
    draft = (
        builder(named(name), authority.certificate.subject, public, now, LEAF_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False
        )
    )  # fmt: skip
    if hosts:
        draft = draft.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
    return draft.sign(authority.key, hashes.SHA256())


def builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    """What every certificate has."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + timedelta(days=days))
    )


def usage(*, signs_certificates: bool) -> x509.KeyUsage:
    """Signatures only, of certificates or of handshakes."""
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


def named(common_name: str) -> x509.Name:
    """A name that is a common name alone."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def host(text: str) -> x509.GeneralName:
    """A host name or address, as certificates have it.

    Raises:
        UserError: it is neither.
    """
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        pass
    labels = text.lower().rstrip(".").split(".")
    if len(text) > 253 or any(NAME.fullmatch(label) is None for label in labels):
        raise UserError(f"'{text}' is no host name and no address")
    return x509.DNSName(text.lower().rstrip("."))


def hosts_of(certificate: x509.Certificate) -> list[x509.GeneralName]:
    """The names of a server, none for a client."""
    try:
        return list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return []


def listed(folder: Path) -> list[x509.RevokedCertificate]:
    """What is revoked.

    Raises:
        UserError: the list cannot be read.
    """
    path = folder / "ca.crl"
    try:
        return list(x509.load_pem_x509_crl(path.read_bytes()))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise UserError(f"{path} is no revocation list") from error


def write_crl(folder: Path, authority: Authority, revoked: Sequence[x509.RevokedCertificate], now: datetime) -> None:
    """The revocation list anew."""
    draft = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(now - BACKDATE)
        .next_update(now + timedelta(days=CRL_DAYS))
    )
    for entry in revoked:
        draft = draft.add_revoked_certificate(entry)
    write(folder / "ca.crl", draft.sign(authority.key, hashes.SHA256()).public_bytes(Encoding.PEM))


def write_key(path: Path, key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> None:
    """A private key, for its owner's eyes."""
    write(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), mode=0o600)


def write(path: Path, content: bytes, *, mode: int = 0o644) -> None:
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
