"""The broker of a configuration: its entry, and the connection that the sites of a process share."""

from __future__ import annotations

import random
import secrets
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final

from pydantic import ConfigDict, Field

from interfaces.domain.site_types import ID_PATTERN
from interfaces.domain.wire_topics import CONTROLLER_PATTERN, Address, cloud_filters
from interfaces.drivers.mqtt import Broker
from interfaces.drivers.signing import Signer
from optimizer.service.folder_store import FoldersAndStore, FolderStore
from optimizer.service.ingest import TelemetryStore
from optimizer.service.local_link import LocalLink
from optimizer.service.mqtt_link import CloudLink
from optimizer.service.mqtt_site import CloudThread, MqttSite
from optimizer.service.sql_telemetry import SqlTelemetry
from optimizer.store.database import Database

FilePath = Annotated[Path, Field(strict=False)]
ControllerName = Annotated[str, Field(pattern=f"^{CONTROLLER_PATTERN}$", description="common name of its certificate")]
Organisation = Annotated[str, Field(pattern=ID_PATTERN)]
LOOK_S: Final[float] = 0.05


@dataclass(frozen=True, slots=True)
class BrokerEntry:
    """Where the broker is; the files are those of ``pki init``. ``organisation``: whose the sites are."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    host: Annotated[str, Field(min_length=1, max_length=253)]
    ca: FilePath
    certificate: FilePath
    key: FilePath
    organisation: Organisation
    port: Annotated[int, Field(ge=1, le=65535)] = 8883

    def placed(self, folder: Path) -> BrokerEntry:
        """With paths that count from this folder."""
        return replace(self, ca=folder / self.ca, certificate=folder / self.certificate, key=folder / self.key)


class BrokerSites:
    """The connection of one process and the links of its sites over it. Without ``listens`` it only sends."""

    def __init__(self, entry: BrokerEntry, *, listens: bool = True, database: Database | None = None) -> None:
        """``database``: where what is heard is kept beside the folders, from the moment ``store_ready`` is set."""
        self._entry = entry
        self.store_ready = threading.Event()
        self.addresses: list[Address] = []
        # Two processes must not throw each other out of the broker: each has a name of its own.
        client_id = f"optimizer-{secrets.token_hex(6)}"
        broker = Broker(entry.host, entry.port, entry.ca, entry.certificate, entry.key, client_id)
        self._store = FolderStore({})
        rng = random.Random(secrets.randbits(64))  # noqa: S311  spreads load
        kept: TelemetryStore = self._store
        if database is not None:
            kept = FoldersAndStore(self._store, SqlTelemetry(database), self.store_ready)
        self.cloud = CloudLink(broker, kept, rng=rng, filters=cloud_filters() if listens else ())
        self._thread = CloudThread(self.cloud)

    def link(self, folder: Path, site: str, controller: str, organisation: str | None, signer: Signer) -> MqttSite:
        """The link of one site; its folder is its memory."""
        address = Address(organisation or self._entry.organisation, site, controller)
        self._store.admit(address, folder)
        self.addresses.append(address)
        return MqttSite(self.cloud, address, LocalLink(folder, site, signer), signer)

    def start(self) -> None:
        """Connect, in a thread beside."""
        self._thread.start()

    def stop(self, *, patience_s: float = 0.0) -> None:
        """Take leave; what waits for the broker gets so long."""
        end_s = time.monotonic() + patience_s
        while self.cloud.waiting and time.monotonic() < end_s:
            time.sleep(LOOK_S)
        self._thread.stop()
