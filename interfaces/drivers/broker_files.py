"""Mosquitto's configuration from the files under ``deploy/``, with the paths of one installation filled in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from interfaces.errors import UserError

_INSTALLED: Final = Path(__file__).resolve().parent / "broker"
TEMPLATES: Final = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).resolve().parents[2] / "deploy"
"""In a wheel beside this file; in a source checkout where people look for them."""
CONF: Final = "mosquitto.conf"
ACL: Final = "acl"


@dataclass(frozen=True, slots=True)
class BrokerFiles:
    """One installation. ``keys``: a folder of ``pki init``. ``data``: where retained messages are kept; it must exist.
    ``user``: the account the broker changes to when root starts it, None for Mosquitto's own.
    """

    address: str
    port: int
    keys: Path
    data: Path
    user: str | None = None


def render(template: str, files: BrokerFiles, acl: Path) -> str:
    """The configuration with these paths; everything else as the template has it.

    Raises:
        UserError: the template lacks a line that must be filled in, or a path has a line break.
    """
    wanted = {
        "acl_file": str(acl),
        "persistence_location": f"{files.data}/",
        "listener": f"{files.port} {files.address}",
        "cafile": str(files.keys / "ca.crt"),
        "certfile": str(files.keys / "broker.crt"),
        "keyfile": str(files.keys / "broker.key"),
        "crlfile": str(files.keys / "ca.crl"),
    }
    if any("\n" in value or "\r" in value for value in (*wanted.values(), files.user or "")):
        raise UserError("a path of the broker has a line break in it")
    lines = [] if files.user is None else [f"user {files.user}"]
    missing = set(wanted)
    for line in template.splitlines():
        word = line.split(" ", 1)[0]
        lines.append(f"{word} {wanted[word]}" if word in wanted else line)
        missing.discard(word)
    if missing:
        raise UserError(f"the broker's configuration has no line for {', '.join(sorted(missing))}")
    return "\n".join(lines) + "\n"


def write(folder: Path, files: BrokerFiles, templates: Path = TEMPLATES) -> Path:
    """Writes configuration and access rules into ``folder``; the path for ``mosquitto -c``.

    Raises:
        UserError: a template cannot be read or a file not written.
    """
    acl = folder / ACL
    conf = folder / CONF
    try:
        acl.write_text((templates / ACL).read_text())
        # Mosquitto warns of, and later versions refuse, access rules that others may read.
        acl.chmod(0o600 if files.user is not None else 0o644)
        conf.write_text(render((templates / CONF).read_text(), files, acl))
    except OSError as error:
        raise UserError(f"{error.filename}: {error.strerror or error}") from error
    return conf
