"""``service.yaml``: what one machine adds to a site: paths, ports, bounds. Every key has a default; so has the file.

Relative paths count from the file's folder. The keys are described in docs/operation.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, TypeAdapter

from interfaces.config_file import read_config
from interfaces.errors import UserError

_STRICT: Final = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
DEFAULT_FILE: Final = Path("/etc/stroomwacht/service.yaml")
DEFAULT_SITE: Final = Path("/etc/stroomwacht/site.yaml")
DEFAULT_STATE: Final = Path("/var/lib/stroomwacht")
SOCKET_PATH_MAX: Final = 100
"""A UNIX socket address holds 107 bytes on Linux (unix(7))."""
_HOST_PORT: Final = re.compile(r"^(?P<host>[A-Za-z0-9._:-]+):(?P<port>[0-9]{1,5})$")

FilePath = Annotated[Path, Field(strict=False)]
Megabytes = Annotated[int, Field(ge=64, le=1_000_000)]


@dataclass(frozen=True, slots=True)
class Http:
    """Where metrics and health are served. Port 0 takes a free one (see ``run/gateway.json``)."""

    __pydantic_config__ = _STRICT
    host: Literal["127.0.0.1", "::1"] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 9464


@dataclass(frozen=True, slots=True)
class JournalBounds:
    """The ring on disk: all segments together, and how long one segment grows."""

    __pydantic_config__ = _STRICT
    max_mb: Annotated[int, Field(ge=8, le=1_000_000)] = 512
    segment_minutes: Annotated[int, Field(ge=1, le=1440)] = 60


@dataclass(frozen=True, slots=True)
class Memory:
    """Address space each process may have; beyond it the process ends and is started again."""

    __pydantic_config__ = _STRICT
    field_mb: Megabytes = 2048
    gateway_mb: Megabytes = 2048


@dataclass(frozen=True, slots=True)
class ZaptecAccount:
    """The portal user that drives Zaptec chargers, in two files that hold nothing else. ``url``: of the service."""

    __pydantic_config__ = _STRICT
    username_file: FilePath
    password_file: FilePath
    url: Annotated[str, Field(pattern=r"^(https://[A-Za-z0-9.-]+(:[0-9]{1,5})?|http://127\.0\.0\.1:[0-9]{1,5})$")] = (
        "https://api.zaptec.com"
    )


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """Paths, ports and bounds of one machine. ``addresses`` moves device addresses, for a test bench."""

    __pydantic_config__ = _STRICT
    version: Literal[1] = 1
    site: FilePath = DEFAULT_SITE
    state_dir: FilePath = DEFAULT_STATE
    http: Http = field(default_factory=Http)
    journal: JournalBounds = field(default_factory=JournalBounds)
    memory: Memory = field(default_factory=Memory)
    realtime: bool = True
    log_level: Literal["debug", "info", "warning"] = "info"
    addresses: dict[str, str] = field(default_factory=dict)
    zaptec: ZaptecAccount | None = None

    @property
    def run_dir(self) -> Path:
        """Sockets and process files; only this user may look into it."""
        return self.state_dir / "run"

    @property
    def stream_path(self) -> Path:
        """The stream between field and gateway."""
        return self.run_dir / "field.sock"

    @property
    def journal_dir(self) -> Path:
        return self.state_dir / "journal"

    @property
    def retain_dir(self) -> Path:
        return self.state_dir / "retain"


_ADAPTER: Final = TypeAdapter(ServiceConfig)


def load_service(path: Path | None, *, site: Path | None = None) -> ServiceConfig:
    """The service file (the default one when it is there), with ``site`` in place of its site when given.

    Raises:
        UserError: it cannot be read or has problems; the sentence names the first by line and path.
    """
    file = path if path is not None else DEFAULT_FILE
    found = ServiceConfig() if path is None and not file.is_file() else _read(file)
    folder = file.parent
    found = replace(found, site=folder / found.site, state_dir=folder / found.state_dir)
    if found.zaptec is not None:
        names = (found.zaptec.username_file, found.zaptec.password_file)
        found = replace(found, zaptec=ZaptecAccount(folder / names[0], folder / names[1], found.zaptec.url))
    if site is not None:
        found = replace(found, site=site)
    found = replace(found, site=found.site.absolute(), state_dir=found.state_dir.absolute())
    if len(str(found.stream_path)) > SOCKET_PATH_MAX:
        raise UserError(f"{file}: state_dir: {found.state_dir} is too long for a socket, shorten it")
    return found


def _read(file: Path) -> ServiceConfig:
    found, document = read_config(file, _ADAPTER)
    for text in found.addresses.values():
        if _HOST_PORT.match(text) is None:
            line = document.line_of(("addresses",))
            raise UserError(f"{file}:{line} addresses: '{text}' is not host:port")
    return found


def host_port(text: str) -> tuple[str, int]:
    """Host and port of a ``host:port`` that ``load_service`` has accepted."""
    host, _, port = text.rpartition(":")
    return host, int(port)
