"""`stroomwacht optimizer worker`: solve what waits in the store and publish it, until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from interfaces.command_line import command_parser
from interfaces.errors import UserError
from optimizer.service.broker_run import BrokerSites
from optimizer.service.config import OptimizerConfig, load_config
from optimizer.service.engine_inprocess import InProcessEngine
from optimizer.service.engine_procrastinate import Worker
from optimizer.service.heartbeat import BEAT_S, Heartbeat
from optimizer.service.port import SiteLink
from optimizer.service.publishing import Publisher
from optimizer.service.run_command import Inline, Tasks
from optimizer.service.solver_pool import SolverPool
from optimizer.service.source_fetching import new_fetcher
from optimizer.store.database import Database, StoreError

log = logging.getLogger(__name__)

START_RETRY_S: Final[tuple[float, float]] = (2.0, 6.0)
"""Between two attempts at a database that is not there yet; by chance, for many workers start together."""
LEAVE_S: Final[float] = 5.0
"""For plans that the store counts as published and the broker has not got yet."""


def run(argv: list[str]) -> None:
    """Work until SIGTERM or SIGINT.

    Raises:
        UserError: the words or the configuration are wrong, or none of its sites can be used.
    """
    parser = command_parser("optimizer worker", "Make the plans of the sites whose problems wait in the store.")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="optimizer.yaml with an 'engine'")
    options = parser.parse_args(argv)
    config = load_config(options.config)
    if config.engine is None:
        raise UserError(f"{options.config}: a worker needs an 'engine' in its configuration")
    logging.basicConfig(level=config.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with ExitStack() as stack:
        database = config.engine.open()
        stack.callback(database.close)
        links = _links(config, stack)
        if not _migrated(database, stop):
            return
        pool = SolverPool(database.url, config.engine.solvers)
        stack.callback(pool.close)
        log.info("started processes=%d sites=%d", pool.processes, len(links))
        _work(database, pool, Publisher(database, links.get), stop)
    log.info("stopped")


def _links(config: OptimizerConfig, stack: ExitStack) -> dict[str, SiteLink]:
    """The links of all sites; over the broker only to send: whoever plans the sites listens."""
    broker = None
    if config.broker is not None:
        broker = BrokerSites(config.broker, listens=False)
    tasks = Tasks(new_fetcher(), Inline(), broker).of(config)
    if broker is not None:
        broker.start()
        stack.callback(broker.stop, patience_s=LEAVE_S)
    return {task.record.id: task.link for task in tasks}


def _migrated(database: Database, stop: threading.Event) -> bool:
    """Wait for the database; False when told to stop before it was there."""
    chance, told = random.Random(), False  # noqa: S311  spreads load
    while not stop.is_set():
        try:
            database.migrate()
        except StoreError as error:
            if not told:
                log.warning("no_database reason=%r", str(error))
            told = True
            stop.wait(chance.uniform(*START_RETRY_S))
        else:
            return True
    return False


def _beat_until(stop: threading.Event) -> None:
    """Wait, and show whoever looks after this container that the process lives."""
    heartbeat = Heartbeat()
    heartbeat.beat()
    while not stop.wait(BEAT_S):
        heartbeat.beat()


def _work(database: Database, pool: SolverPool, publisher: Publisher, stop: threading.Event) -> None:
    if not database.is_postgres:
        engine = InProcessEngine(database, pool, publisher)
        _beat_until(stop)
        engine.close()
        return

    async def main() -> None:
        told = asyncio.Event()
        work = asyncio.create_task(Worker(database, pool, publisher).run(told))
        await asyncio.to_thread(_beat_until, stop)
        told.set()
        await work

    asyncio.run(main())
