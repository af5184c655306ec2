"""``enrolment.yaml``: where the enrolment service finds its authority, what it serves, what it tells controllers.

Relative paths count from the file's folder. The keys are described in docs/deploy.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, TypeAdapter

from interfaces.config_file import read_config
from interfaces.domain.enrolment import HOST
from interfaces.errors import UserError

SQLITE_FILE: Final = re.compile("^sqlite:///(?!/)")
"""A relative path follows."""
_STRICT: Final = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
FilePath = Annotated[Path, Field(strict=False)]
Port = Annotated[int, Field(ge=1, le=65535)]


@dataclass(frozen=True, slots=True)
class Listen:
    """Where the service is reached; port 0 takes a free one."""

    __pydantic_config__ = _STRICT
    host: str = "0.0.0.0"  # noqa: S104  devices come from outside; they are authenticated
    port: Annotated[int, Field(ge=0, le=65535)] = 8443


@dataclass(frozen=True, slots=True)
class Broker:
    """What enrolled controllers are told."""

    __pydantic_config__ = _STRICT
    host: str
    port: Port = 8883


@dataclass(frozen=True, slots=True)
class EnrolmentConfig:
    """``keys``: folder of ``pki init``. ``database``: URL of the store. ``hosts``: the names and addresses under which
    devices reach the service. ``crl_copy``: a file that always is the newest revocation list, for a broker that must
    not see the keys.
    """

    __pydantic_config__ = _STRICT
    version: Literal[1]
    keys: FilePath
    database: Annotated[str, Field(min_length=1, max_length=1000)]
    hosts: Annotated[tuple[str, ...], Field(min_length=1, max_length=20)]
    broker: Broker
    listen: Listen = Listen()
    crl_copy: FilePath | None = None
    log_level: Literal["debug", "info", "warning"] = "info"


_ADAPTER: Final = TypeAdapter(EnrolmentConfig)


def load_enrolment(file: Path) -> EnrolmentConfig:
    """The configuration with its paths made absolute.

    Raises:
        UserError: it cannot be read or has problems; the sentence names the first by line and path.
    """
    found, document = read_config(file, _ADAPTER)
    if HOST.fullmatch(found.broker.host) is None:
        raise UserError(f"{file}:{document.line_of(('broker', 'host'))} broker.host: this is no host name")
    folder = file.absolute().parent
    copy = None if found.crl_copy is None else folder / found.crl_copy
    database = SQLITE_FILE.sub(lambda _: f"sqlite:///{folder}/", found.database)
    return replace(found, keys=folder / found.keys, database=database, crl_copy=copy)
