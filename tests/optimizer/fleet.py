"""A few sites in a store, with problems and real links, for the tests of the engines."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psutil
from sqlalchemy import text

from interfaces.domain.plan import Plan
from interfaces.drivers.clock import epoch_s
from optimizer.core.codec import problem_to_json
from optimizer.service.local_link import LocalLink
from optimizer.service.publishing import Publisher
from optimizer.store.database import Database
from optimizer.store.planning import put_problems
from simulations.bench.fleet_problems import fleet_problem, named
from tests.optimizer.store.kit import with_sites

PATIENCE_S = 300.0
"""For what takes seconds; only what never comes uses it up."""


def until(found: Callable[[], bool]) -> None:
    """Wait for something that happens in another process."""
    end_s = time.monotonic() + PATIENCE_S
    while not found():
        assert time.monotonic() < end_s, "it did not happen"
        time.sleep(0.02)


class Fleet:
    """Sites with folders as links below ``folder``."""

    def __init__(self, database: Database, folder: Path, *sites: str) -> None:
        self.database = database
        self.links = {site: LocalLink(folder / site, site) for site in sites}
        self.publisher = Publisher(database, self.links.get)
        with_sites(database, *sites)

    def news(self, *sites: str, now: float | None = None) -> None:
        """A new problem of each of these sites, or of all."""
        moment = epoch_s() if now is None else now
        problems = {site: named(fleet_problem(k, moment), site) for k, site in enumerate(sites or self.links)}
        put_problems(self.database, {site: problem_to_json(one) for site, one in problems.items()}, moment, 900.0)

    def sent(self, site: str) -> Plan | None:
        return self.links[site].last_plan()

    def sequence(self, site: str) -> int:
        """Of the plan that reached the site; 0 without one."""
        plan = self.sent(site)
        return 0 if plan is None else plan.sequence

    def stored(self, site: str) -> list[int]:
        """The sequences of all its plans in the store."""
        with self.database.begin() as connection:
            query = text("SELECT sequence FROM plans WHERE site_id = :site ORDER BY sequence")
            return list(connection.scalars(query, {"site": site}))


def solver_processes(parent: int | None = None) -> list[psutil.Process]:
    """Processes of a solver pool below ``parent``, or below us."""
    children = psutil.Process(parent).children(recursive=True)
    return [child for child in children if "multiprocessing.spawn" in " ".join(child.cmdline())]
