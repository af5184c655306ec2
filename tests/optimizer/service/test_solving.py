"""One solver on a store, in this process: what it makes of good, bad and strange problems."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from interfaces.domain.plan_text import plan_text
from interfaces.drivers.clock import epoch_s
from optimizer.core.codec import problem_to_json
from optimizer.core.planning import Planned, plan_of, plan_problem
from optimizer.service import solving
from optimizer.service.solving import Solver
from optimizer.store.database import Database
from optimizer.store.planning import newest_plans, put_problems
from simulations.bench.fleet_problems import fleet_problem, named
from tests.optimizer.store.kit import with_sites


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = Database(f"sqlite:///{tmp_path / 'store.db'}")
    found.migrate()
    with_sites(found, "north", "south")
    yield found
    found.close()


def put(database: Database, **problems: bytes) -> None:
    put_problems(database, problems, epoch_s(), 600.0)


def refusals(database: Database) -> dict[str, str]:
    with database.begin() as connection:
        query = text("SELECT site_id, refused_why FROM planning WHERE refused_version > 0")
        return {site: why for site, why in connection.execute(query)}  # noqa: C416


def test_the_plan_is_the_one_that_the_problem_has(database):
    problem = named(fleet_problem(1, epoch_s()), "north")
    put(database, north=problem_to_json(problem))
    report = Solver(database.url).plan(["north", "south"])
    assert (report.sites, dict(report.failed), list(report.planned)) == (("north", "south"), {}, ["north"])
    assert report.solve_s > 0.0
    (stored,) = newest_plans(database, ["north"])
    planned = plan_problem(problem)
    assert isinstance(planned, Planned)
    expected = plan_of(planned, problem, plan_id="north-1", sequence=1, key_id="", lease_s=600.0)
    assert stored.text == plan_text(expected)
    assert expected.lease_until_epoch_s == problem.now_epoch_s + 600.0
    assert report.planned["north"].setpoint_ma.tolist() == expected.setpoint_ma.tolist()


def test_what_cannot_be_planned_says_why(database):
    south = named(fleet_problem(1, epoch_s()), "elsewhere")
    put(database, north=b'{"schema": 7}', south=problem_to_json(south))
    report = Solver(database.url).plan(["north", "south"])
    assert (dict(report.planned), dict(report.failed)) == ({}, {})
    assert refusals(database) == {
        "north": "this program reads problems of schema 1, this one says 7",
        "south": "it is a problem of the site 'elsewhere'",
    }


def test_a_bug_stays_with_its_site(database, monkeypatch, caplog):
    caplog.set_level(logging.ERROR)

    def breaks_at_north(problem, **more):
        if problem.site.id == "north":
            raise ZeroDivisionError("somewhere inside")
        return plan_problem(problem, **more)

    monkeypatch.setattr(solving, "plan_problem", breaks_at_north)
    for site in ("north", "south"):
        put(database, **{site: problem_to_json(named(fleet_problem(1, epoch_s()), site))})
    report = Solver(database.url).plan(["north", "south"])
    assert dict(report.failed) == {"north": "ZeroDivisionError: somewhere inside"}
    assert list(report.planned) == ["south"]
    assert "solve_failed site=north version=1" in caplog.text


def test_without_a_store_every_site_failed_with_the_reason(tmp_path):
    report = Solver(f"postgresql://postgres@/x?host={tmp_path}").plan(["north"])
    assert list(report.failed) == ["north"]
    assert "connection" in report.failed["north"]
