"""A worker machine as a process of its own: ``python worker_main.py URL FOLDER SITE...``, until it is killed."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from optimizer.service.engine_procrastinate import Pace, Worker
from optimizer.service.local_link import LocalLink
from optimizer.service.publishing import Publisher
from optimizer.service.solver_pool import SolverPool
from optimizer.store.database import Database

QUICK = Pace(heartbeat_s=0.3, stalled_s=2.0, sweep_s=0.3, poll_s=0.3)


def main() -> None:
    url, folder, *sites = sys.argv[1:]
    database = Database(url)
    links = {site: LocalLink(Path(folder) / site, site) for site in sites}
    pool = SolverPool(url, 1)
    worker = Worker(database, pool, Publisher(database, links.get), pace=QUICK)
    asyncio.run(worker.run(asyncio.Event()))


if __name__ == "__main__":
    main()
