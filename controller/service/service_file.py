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
from interfaces.domain.enrolment import SERIAL
from interfaces.domain.site_types import ID_PATTERN
from interfaces.domain.wire_topics import CONTROLLER_PATTERN
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
class EnrolmentPage:
    """Where the page for the activation code is served: the address of the service interface, never the uplink's."""

    __pydantic_config__ = _STRICT
    host: Annotated[str, Field(pattern=r"^[0-9a-fA-F.:]{2,39}$")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 9465


@dataclass(frozen=True, slots=True)
class EnrolmentEntry:
    """How this box gets its certificate. ``server``: host:port of the enrolment service; ``activation``: a code, where
    it is not typed on the page.
    """

    __pydantic_config__ = _STRICT
    server: str
    serial: Annotated[str, Field(pattern=f"^{SERIAL.pattern}$")]
    activation: str | None = None
    page: EnrolmentPage | None = field(default_factory=EnrolmentPage)


@dataclass(frozen=True, slots=True)
class BrokerEntry:
    """The broker, where it does not come with enrolment. ``keys_dir`` holds what ``pki`` made: ``ca.crt``,
    ``signing.pub``, ``CONTROLLER.crt`` and ``CONTROLLER.key``. Port 443 serves sites whose firewall lets nothing else
    out.
    """

    __pydantic_config__ = _STRICT
    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.:-]{0,252}$")]
    organisation: Annotated[str, Field(pattern=ID_PATTERN)]
    controller: Annotated[str, Field(pattern=f"^{CONTROLLER_PATTERN}$")]
    keys_dir: FilePath
    port: Annotated[int, Field(ge=1, le=65535)] = 8883


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What is told to the cloud. ``live_s``: between two statuses, as ``mode`` says where it is absent. ``max_mb`` and
    ``max_days``: how much waits on disk at most while there is no way to the cloud.
    """

    __pydantic_config__ = _STRICT
    mode: Literal["live", "low_data"] = "live"
    live_s: Annotated[float, Field(ge=1, le=3600)] | None = None
    max_mb: Annotated[int, Field(ge=8, le=1_000_000)] = 512
    max_days: Annotated[int, Field(ge=1, le=366)] = 31


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
    enrolment: EnrolmentEntry | None = None
    broker: BrokerEntry | None = None
    telemetry: Telemetry = field(default_factory=Telemetry)

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

    @property
    def enrolment_dir(self) -> Path:
        """Key and certificate of an enrolled box."""
        return self.state_dir / "enrolment"


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
    if found.broker is not None:
        found = replace(found, broker=replace(found.broker, keys_dir=(folder / found.broker.keys_dir).absolute()))
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
    if found.enrolment is not None and _HOST_PORT.match(found.enrolment.server) is None:
        line = document.line_of(("enrolment", "server"))
        raise UserError(f"{file}:{line} enrolment.server: '{found.enrolment.server}' is not host:port")
    return found


def host_port(text: str) -> tuple[str, int]:
    """Host and port of a ``host:port`` that ``load_service`` has accepted."""
    host, _, port = text.rpartition(":")
    return host, int(port)
