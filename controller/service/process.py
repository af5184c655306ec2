"""What the processes of one controller share: exit codes, environment, folders, addresses moved for a test bench."""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from controller.service.service_file import host_port
from interfaces.domain.site_types import Site
from interfaces.drivers.links import AnyLink, CloudLink, P1SerialLink, P1TcpLink, RtuOverTcpLink, SerialLink, TcpLink
from interfaces.drivers.wiring import Wire, wires_of
from interfaces.errors import UserError

RESTART_EXIT: Final = 75
"""The field process ended through failsafe and wants to be started again (EX_TEMPFAIL of sysexits)."""
LAST_EXIT_VARIABLE: Final = "STROOMWACHT_LAST_EXIT"
SUPERVISED_VARIABLE: Final = "STROOMWACHT_SUPERVISED"
"""Set for children of our own supervisor, and for one that a demo or bench started: they end with their parent."""
OWNER_ONLY: Final = 0o700
PR_SET_PDEATHSIG: Final = 1


def owned_folder(path: Path) -> None:
    """Make a folder that only this user may look into.

    Raises:
        UserError: there cannot be one.
    """
    try:
        path.mkdir(mode=OWNER_ONLY, parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the folder {path} cannot be made: {error.strerror or error}") from error


def only_one(path: Path) -> int:
    """Take the lock ``ROLE.lock`` that says that this process runs the site; it is let go when the process ends.

    Raises:
        UserError: another process holds it, or it cannot be opened. Two field processes of one site would each spend
            its whole budget; two supervisors or gateways would take each other's sockets.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UserError(f"{path} cannot be opened: {error.strerror or error}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise UserError(f"another {path.stem} process runs with {path.parent}: stop it first") from error
    return handle


def begin_life(path: Path, boot_id: str) -> int:
    """Note that the field process runs now; how often in a row it ended without a word before, since this boot."""
    before = _life(path)
    crashed = before.get("running") is True and before.get("boot_id") == boot_id
    restarts = int(before.get("restarts", 0)) + 1 if crashed else 0
    _write_life(path, {"running": True, "boot_id": boot_id, "restarts": restarts})
    return restarts


def end_life(path: Path) -> None:
    """Note that it ends on purpose."""
    _write_life(path, {"running": False})


def boot_id() -> str:
    """A number that every start of this computer has for itself."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()


def _life(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write_life(path: Path, life: dict[str, Any]) -> None:
    aside = path.with_suffix(".new")
    try:
        aside.write_text(json.dumps(life), encoding="utf-8")
        aside.replace(path)
    except OSError:
        return  # a full disk costs this count and nothing else


def end_with_supervisor(environment: Mapping[str, str]) -> None:
    """Be sent SIGTERM when who started us is gone (prctl(2)): a new supervisor would start a second of us."""
    if environment.get(SUPERVISED_VARIABLE) == "1":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def wires_here(site: Site, addresses: Mapping[str, str]) -> tuple[Wire, ...]:
    """The connections of a site, bound to its device interface, or with addresses moved as the service file says.

    Keys are ``host:port`` or a serial device; a serial line moves to a transparent gateway, a serial P1 port to a TCP
    stream. What is moved is on a test bench, where the interfaces of the site are not: it is bound to none.
    """
    interface = None if site.network is None else site.network.device_interface
    return tuple(Wire(_moved(_bound(wire.link, interface), addresses), wire.points) for wire in wires_of(site))


def _bound(link: AnyLink, interface: str | None) -> AnyLink:
    return link if isinstance(link, SerialLink | P1SerialLink | CloudLink) else replace(link, interface=interface)


def _moved(link: AnyLink, addresses: Mapping[str, str]) -> AnyLink:
    if isinstance(link, CloudLink):
        return link
    place = link.device if isinstance(link, SerialLink | P1SerialLink) else f"{link.host}:{link.port}"
    if place not in addresses:
        return link
    host, port = host_port(addresses[place])
    if isinstance(link, P1TcpLink | P1SerialLink):
        return P1TcpLink(host, port)
    return TcpLink(host, port) if isinstance(link, TcpLink) else RtuOverTcpLink(host, port, link.line)
