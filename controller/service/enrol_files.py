"""Who this controller is to the cloud, on disk: its key, its certificate and what came with it.

``FOLDER/current`` points to the folder in use, so that key and certificate change together or not at all.
``next/box.key`` is a key that waits for its certificate; it is made once and outlives power cuts. ``pending`` holds a
code that was entered and not answered yet. Nothing here leaves the machine. Deleting the folder is a factory reset.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from controller.service.process import owned_folder
from interfaces.domain.enrolment import Enrolled, fault_of
from interfaces.drivers import pki

CURRENT: Final = "current"
NEXT_KEY: Final = Path("next") / "box.key"
PENDING: Final = "pending"
REFUSED: Final = "refused"
ABOUT: Final = "about.json"


@dataclass(frozen=True, slots=True)
class Identity:
    """An enrolled controller: its names on the wire, the broker, and its files (PEM), which renewals replace.
    ``controller`` is its user name and client id at the broker; ``until`` is when its certificate ends.
    """

    controller: str
    organisation: str
    site: str
    broker_host: str
    broker_port: int
    ca_file: Path
    cert_file: Path
    key_file: Path
    signing_file: Path
    until: datetime


def read_identity(folder: Path) -> Identity | str | None:
    """Who we are; None before enrolment; a sentence when the files are damaged."""
    place = folder / CURRENT
    if not place.is_symlink():
        return None
    try:
        about = json.loads((place / ABOUT).read_text(encoding="utf-8"))
        certificate = x509.load_pem_x509_certificate((place / "box.crt").read_bytes())
        return Identity(
            controller=about["controller"],
            organisation=about["organisation"],
            site=about["site"],
            broker_host=about["broker_host"],
            broker_port=about["broker_port"],
            ca_file=place / "ca.crt",
            cert_file=place / "box.crt",
            key_file=place / "box.key",
            signing_file=place / "signing.pub",
            until=certificate.not_valid_after_utc,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"the certificate files in {place} cannot be used ({error}): enrol again with a new activation code"


def next_key(folder: Path) -> ec.EllipticCurvePrivateKey:
    """The key for the next certificate: the one that waits, else a new one, on disk before anybody hears of it.

    Raises:
        OSError: it cannot be written.
        UserError: the folder cannot be made.
    """
    path = folder / NEXT_KEY
    waiting = _key_in(path)
    # Power may fail after a certificate was taken into use and before its key stopped waiting.
    if waiting is not None and waiting.public_key() != _public_in(folder / CURRENT / "box.crt"):
        return waiting
    owned_folder(path.parent)
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _write(path, pem)
    return key


def request_for(key: ec.EllipticCurvePrivateKey, serial: str) -> str:
    """A certificate request (PEM) that shows that we hold the key; the service decides on the name."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, serial)])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return request.public_bytes(Encoding.PEM).decode("ascii")


def fault_in(answer: Enrolled, key: ec.EllipticCurvePrivateKey) -> str | None:
    """Why an answer cannot be used: its names, its certificates, its keys."""
    plain = fault_of(answer)
    if plain is not None:
        return plain
    try:
        certificate = x509.load_pem_x509_certificate(answer.certificate.encode())
        authority = x509.load_pem_x509_certificate(answer.authority.encode())
        certificate.verify_directly_issued_by(authority)
        pki.public_keys(answer.signing_keys.encode())
    except (ValueError, TypeError, InvalidSignature) as error:
        return f"its certificates do not fit together ({error})"
    names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    if [name.value for name in names] != [answer.controller]:
        return "its certificate is for somebody else"
    return None if certificate.public_key() == key.public_key() else "its certificate is for another key"


def take_into_use(folder: Path, answer: Enrolled, key: ec.EllipticCurvePrivateKey, code: str = "") -> None:
    """Key and certificate become the ones in use, together, and the code they were given for counts as used. What was
    before is removed.

    Raises:
        OSError: the disk; what was in use still is.
    """
    numbers = [int(path.name) for path in folder.iterdir() if path.name.isdigit()]
    fresh = folder / str(max(numbers, default=0) + 1)
    fresh.mkdir(mode=0o700)
    about = {
        "controller": answer.controller,
        "organisation": answer.organisation,
        "site": answer.site,
        "broker_host": answer.broker_host,
        "broker_port": answer.broker_port,
        "code": _digest(code).decode() if code else "",
    }
    content: Mapping[str, bytes] = {
        "box.key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        "box.crt": answer.certificate.encode(),
        "ca.crt": answer.authority.encode(),
        "signing.pub": answer.signing_keys.encode(),
        ABOUT: json.dumps(about).encode(),
    }
    for name, data in content.items():
        _write(fresh / name, data)
    aside = folder / f".{CURRENT}"
    aside.unlink(missing_ok=True)
    aside.symlink_to(fresh.name)
    aside.replace(folder / CURRENT)
    _sync(folder)
    (folder / NEXT_KEY).unlink(missing_ok=True)
    for number in numbers:
        shutil.rmtree(folder / str(number), ignore_errors=True)


def pending_code(folder: Path) -> str:
    """The code that was entered and not answered yet, or nothing."""
    try:
        return (folder / PENDING).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def remember_code(folder: Path, code: str) -> None:
    """Keep a code over a power cut until it is answered.

    Raises:
        OSError: the disk.
        UserError: the folder cannot be made.
    """
    owned_folder(folder)
    _write(folder / PENDING, code.encode("ascii"))


def forget_code(folder: Path, code: str, *, refused: bool) -> None:
    """The code was answered; a refused one in the service file shall not be tried again after each restart.

    Raises:
        OSError: the disk.
    """
    if refused:
        _write(folder / REFUSED, _digest(code))
    if pending_code(folder) == code:  # else another one was entered meanwhile
        (folder / PENDING).unlink(missing_ok=True)


def was_used(folder: Path, code: str) -> bool:
    """Whether the certificate in use was given for this code: the power may fail before the code is forgotten."""
    try:
        about = json.loads((folder / CURRENT / ABOUT).read_text(encoding="utf-8"))
        return bool(about["code"] == _digest(code).decode())
    except (OSError, ValueError, KeyError, TypeError):
        return False


def was_refused(folder: Path, code: str) -> bool:
    """Whether this is the code that was refused last."""
    try:
        return (folder / REFUSED).read_bytes() == _digest(code)
    except OSError:
        return False


def _digest(code: str) -> bytes:
    return hashlib.sha256(code.encode()).hexdigest().encode()


def _key_in(path: Path) -> ec.EllipticCurvePrivateKey | None:
    """None for a key that is not there or was torn by a power cut: nobody has heard of it."""
    try:
        found: Any = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, ec.EllipticCurvePrivateKey) else None


def _public_in(path: Path) -> Any:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes()).public_key()
    except (OSError, ValueError):
        return None


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all, on disk before it has its name, for its owner's eyes."""
    aside = path.with_name(f".{path.name}.part")
    aside.unlink(missing_ok=True)
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
