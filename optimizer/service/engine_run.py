"""The engine of a configuration, for the process that listens to its sites."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

from interfaces.domain.wire_topics import Address
from interfaces.drivers.clock import epoch_s, monotonic_s
from optimizer.service.engine import Engine
from optimizer.service.engine_desk import EngineDesk
from optimizer.service.engine_inprocess import InProcessEngine
from optimizer.service.engine_procrastinate import JobQueue
from optimizer.service.publishing import Publisher
from optimizer.service.rolling import SiteTask
from optimizer.service.solver_pool import SolverPool
from optimizer.store.database import Database
from optimizer.store.registry import (
    Controller,
    Organisation,
    StoredSite,
    addresses,
    put_controller,
    put_organisation,
    put_sites,
    sites_of,
)

LOCAL: Final = "local"
"""The organisation of sites that are told through folders alone."""


@contextmanager
def desk_of(
    database: Database, solvers: int, tasks: Sequence[SiteTask], known: Iterable[Address], ready: threading.Event
) -> Iterator[EngineDesk]:
    """The way to the engine. On SQLite it is in this process; PostgreSQL's workers are processes of their own.

    Args:
        database: the store, which need not be there yet.
        solvers: processes of an engine in this process.
        tasks: the sites.
        known: where those with a controller are; the others belong to ``LOCAL``.
        ready: is set when the store has its tables and its sites.
    """
    with ExitStack() as stack:
        stack.callback(database.close)

        def opened() -> Engine:
            database.migrate()
            register(database, tasks, {address.site: address for address in known})
            ready.set()
            engine: Engine
            if database.is_postgres:
                engine = JobQueue(database)
            else:
                pool = SolverPool(database.url, solvers)
                stack.callback(pool.close)
                links = {task.record.id: task.link for task in tasks}
                engine = InProcessEngine(database, pool, Publisher(database, links.get))
            stack.callback(engine.close)
            return engine

        yield EngineDesk(database, opened, monotonic_s)


def register(database: Database, tasks: Sequence[SiteTask], known: Mapping[str, Address]) -> None:
    """Sites and controllers that the store does not have yet; what it knows of the others stays."""
    now_epoch_s = epoch_s()
    there = {Address(*found) for found in addresses(database)}
    sites_there = {address.site for address in there}
    owners: dict[str, list[StoredSite]] = {}
    for record in (task.record for task in tasks if task.record.id not in sites_there):
        owner = known[record.id].organisation if record.id in known else LOCAL
        owners.setdefault(owner, []).append(StoredSite(record.id, owner, record.id, record.time_zone, now_epoch_s))
    for owner, sites in owners.items():
        have = {site.id for site in sites_of(database, owner)}
        if not have:
            put_organisation(database, Organisation(owner, owner, now_epoch_s))
        put_sites(database, tuple(site for site in sites if site.id not in have))
    for address in set(known.values()) - there:
        put_controller(database, Controller(address.controller, address.site, None, now_epoch_s))
