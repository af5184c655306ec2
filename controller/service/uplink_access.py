"""Where the broker is and who we are there: from the service file, else from enrolment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from controller.service.enrol_files import Identity, read_identity
from controller.service.service_file import ServiceConfig


@dataclass(frozen=True, slots=True)
class Access:
    """``controller`` is the common name of the certificate, user name and client id; files are PEM."""

    host: str
    port: int
    organisation: str
    controller: str
    ca_file: Path
    cert_file: Path
    key_file: Path
    signing_file: Path


def access_of(config: ServiceConfig) -> Access | None:
    """The broker of the service file, else that of enrolment; None while there is none. Reads the disk."""
    entry = config.broker
    if entry is not None:
        keys = entry.keys_dir
        name = entry.controller
        return Access(
            entry.host, entry.port, entry.organisation, name,
            keys / "ca.crt", keys / f"{name}.crt", keys / f"{name}.key", keys / "signing.pub",
        )  # fmt: skip
    found = None if config.enrolment is None else read_identity(config.enrolment_dir)
    if not isinstance(found, Identity):
        return None  # what is wrong with it is told by enrolment
    return Access(
        found.broker_host, found.broker_port, found.organisation, found.controller,
        found.ca_file, found.cert_file, found.key_file, found.signing_file,
    )  # fmt: skip


def is_wanted(config: ServiceConfig) -> bool:
    """Whether there is, or may come to be, a broker."""
    return config.broker is not None or config.enrolment is not None
