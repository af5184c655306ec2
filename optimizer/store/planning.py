"""Problems that wait for a plan, and the plans: the work of the engine, whatever carries its jobs.

The work is what stands here, a job is only a call to do it: a problem newer than the plan that answers the last one.
So a job that is lost, doubled or killed half-way changes nothing, and each problem gets one plan. The sequence of a
site is raised in the transaction that stores its plan, under a lock of its row: it grows with every plan, whoever made
it, and a plan that answers an older problem than the newest plan does is dropped.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, bindparam, delete, insert, or_, select, update

from interfaces.domain.plan import Plan
from optimizer.store.database import Database
from optimizer.store.tables import planning, plans
from optimizer.store.upsert import upsert

SLOTS: Final[int] = 32
"""The sites of one slot share a job, and its overhead of some 10 ms; a site never changes its slot, so that the lock of
its job is one lock per site too. 10 000 sites are 312 to a job, which is five seconds of one core."""
BACK_OFF_S: Final[tuple[float, ...]] = (5.0, 20.0, 60.0)
"""Pauses after the first, second and further attempts that failed; a new problem is tried at once."""
_DEFLATE: Final = 1
"""A problem is read as often as it is written: the fastest level, which halves it six times already."""


@dataclass(frozen=True, slots=True)
class Work:
    """A problem that waits for its plan. ``problem``: JSON, as it was put; ``lease_s``: of the plan."""

    site: str
    version: int
    problem: bytes
    lease_s: float


@dataclass(frozen=True, slots=True)
class Answer:
    """A plan for ``version`` of a site's problem; ``text_of`` its text once the sequence is known."""

    site: str
    version: int
    issued_epoch_s: float
    lease_until_epoch_s: float
    status: str
    objective_eur: float
    text_of: Callable[[int], str]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why no plan can be made for ``version``; it is not tried again."""

    site: str
    version: int
    why: str


@dataclass(frozen=True, slots=True)
class StoredPlan:
    """The text of a site's plan number ``sequence``."""

    site: str
    sequence: int
    text: str


def slot_of(site: str) -> int:
    """The slot of a site, the same in every process."""
    return zlib.crc32(site.encode()) % SLOTS


def due_epoch_s(site: str, period_s: float, after_epoch_s: float) -> float:
    """The site's next turn after a moment: the slots share out the period, and the sites of one are due together."""
    offset_s = slot_of(site) / SLOTS * period_s
    return ((after_epoch_s - offset_s) // period_s + 1.0) * period_s + offset_s


def put_problems(
    database: Database,
    problems: Mapping[str, bytes],
    made_epoch_s: float,
    lease_s: float,
    given: Mapping[str, int] | None = None,
) -> None:
    """The newest problem of each site, in place of the one before; from now on it waits for a plan.

    Args:
        database: the store.
        problems: JSON by site.
        made_epoch_s: when they were made.
        lease_s: how long their plans may be followed without renewal.
        given: sequences by site that were given out while the store was away; the next ones are higher.
    """
    rows = [
        {
            "site_id": site, "slot": slot_of(site), "version": 1, "made_epoch_s": made_epoch_s, "lease_s": lease_s,
            "problem": zlib.compress(problem, _DEFLATE), "planned_version": 0, "refused_version": 0,
            "refused_why": "", "failures": 0, "not_before_epoch_s": 0.0, "sequence": 0, "published_sequence": 0,
        }
        for site, problem in sorted(problems.items())
    ]  # fmt: skip
    with database.begin() as connection:
        statement = upsert(
            connection,
            planning,
            replaced=("slot", "made_epoch_s", "problem", "lease_s", "failures", "not_before_epoch_s"),
            changed={"version": planning.c.version + 1},
        )
        connection.execute(statement, rows)
        if given:
            connection.execute(_RAISED, [{"s": site, "q": sequence} for site, sequence in sorted(given.items())])


def take_sequence(database: Database, site: str, given: int) -> int:
    """The site's next sequence, above ``given``, for a plan that whoever put the problem makes and publishes himself:
    the problem is answered, and a worker's late answer to it is dropped.
    """
    with database.begin() as connection:
        known = _locked(connection, [site]).get(site, _NOTHING)
        sequence = max(known.sequence, given) + 1
        values = {"planned_version": planning.c.version, "sequence": sequence, "published_sequence": sequence}
        connection.execute(update(planning).where(planning.c.site_id == site).values(values))
    return sequence


def slots_with_work(database: Database, now_epoch_s: float, oldest_epoch_s: float) -> tuple[int, ...]:
    """Slots in which something waits; problems made before ``oldest_epoch_s`` are no ground for a plan any more."""
    with database.begin() as connection:
        where = or_(_waits(now_epoch_s, oldest_epoch_s), _unpublished())
        return tuple(connection.scalars(select(planning.c.slot).where(where).distinct().order_by(planning.c.slot)))


def sites_with_work(
    database: Database, now_epoch_s: float, oldest_epoch_s: float, slot: int | None = None
) -> tuple[str, ...]:
    """Sites that wait for a plan, or whose plan has not been published; of one slot or of all."""
    where = or_(_waits(now_epoch_s, oldest_epoch_s), _unpublished())
    with database.begin() as connection:
        return tuple(connection.scalars(select(planning.c.site_id).where(_in_slot(where, slot)).order_by("site_id")))


def work_of(database: Database, sites: Iterable[str], now_epoch_s: float, oldest_epoch_s: float) -> tuple[Work, ...]:
    """The problems of these sites that wait for a plan."""
    columns = (planning.c.site_id, planning.c.version, planning.c.problem, planning.c.lease_s)
    where = and_(planning.c.site_id.in_(list(sites)), _waits(now_epoch_s, oldest_epoch_s))
    with database.begin() as connection:
        rows = connection.execute(select(*columns).where(where).order_by(planning.c.site_id)).all()
    return tuple(Work(site, version, zlib.decompress(problem), lease_s) for site, version, problem, lease_s in rows)


def add_answers(database: Database, answers: Sequence[Answer]) -> tuple[StoredPlan, ...]:
    """Store plans, each with its site's next sequence; all of them or none. What is superseded is left out."""
    if not answers:
        return ()
    stored, rows, marks = [], [], []
    with database.begin() as connection:
        known = _locked(connection, [answer.site for answer in answers])
        for answer in answers:
            row = known.get(answer.site)
            if row is None or answer.version <= row.planned_version:
                continue
            plan = StoredPlan(answer.site, row.sequence + 1, answer.text_of(row.sequence + 1))
            stored.append(plan)
            rows.append(_plan_row(answer, plan))
            marks.append({"s": answer.site, "v": answer.version, "q": plan.sequence})
        if rows:
            connection.execute(insert(plans), rows)
            connection.execute(_PLANNED, marks)
    return tuple(stored)


def add_refusals(database: Database, refusals: Sequence[Refusal]) -> None:
    """Note that no plan can be made for these versions, and why."""
    if refusals:
        with database.begin() as connection:
            connection.execute(_REFUSED, [{"s": r.site, "v": r.version, "why": r.why} for r in refusals])


def note_failures(database: Database, sites: Sequence[str], now_epoch_s: float) -> None:
    """An attempt came to nothing: the next one after a pause that grows."""
    with database.begin() as connection:
        where = planning.c.site_id.in_(list(sites))
        rows = connection.execute(
            select(planning.c.site_id, planning.c.failures).where(where).order_by("site_id").with_for_update()
        ).all()
        for site, failures in rows:
            pause_s = BACK_OFF_S[min(failures, len(BACK_OFF_S) - 1)]
            values = {"failures": failures + 1, "not_before_epoch_s": now_epoch_s + pause_s}
            connection.execute(update(planning).where(planning.c.site_id == site).values(values))


def newest_plans(database: Database, sites: Iterable[str]) -> tuple[StoredPlan, ...]:
    """The newest plan of each of these sites that has one."""
    with database.begin() as connection:
        return _newest(connection, planning.c.site_id.in_(list(sites)))


def publish(
    database: Database,
    sites: Iterable[str],
    now_epoch_s: float,
    send: Callable[[Plan | StoredPlan], bool],
    made: Mapping[str, Plan] = MappingProxyType({}),
) -> tuple[str, ...]:
    """Hand the newest plan of each site to ``send`` unless that was done; the sites that could not be sent to.

    The rows are locked meanwhile: two workers send the plans of a site in the order of their sequences. ``send`` must
    not wait for the other side. A plan whose lease is over is not sent any more. Of a site whose newest plan is among
    those that were ``made`` here, no text is read.
    """
    with database.begin() as connection:
        known = _locked(connection, list(sites))
        due = {site: row.sequence for site, row in known.items() if row.published_sequence < row.sequence}
        held = {site: made[site] for site in due if site in made and made[site].sequence == due[site]}
        found: list[Plan | StoredPlan] = [plan for plan in held.values() if plan.lease_until_epoch_s > now_epoch_s]
        rest = [site for site in due if site not in held]
        if rest:
            found += _newest(connection, planning.c.site_id.in_(rest), now_epoch_s)
        failed = tuple(plan.site for plan in found if not send(plan))
        done = [site for site in due if site not in failed]
        if done:
            where = planning.c.site_id.in_(done)
            connection.execute(update(planning).where(where).values(published_sequence=planning.c.sequence))
    return failed


def drop_plans(database: Database, issued_before_epoch_s: float) -> int:
    """Remove old plans, never the newest of a site; how many."""
    newest = select(planning.c.sequence).where(planning.c.site_id == plans.c.site_id).scalar_subquery()
    where = and_(plans.c.issued_epoch_s < issued_before_epoch_s, plans.c.sequence < newest)
    with database.begin() as connection:
        return connection.execute(delete(plans).where(where)).rowcount


def _waits(now_epoch_s: float, oldest_epoch_s: float) -> ColumnElement[bool]:
    return and_(
        planning.c.version > planning.c.planned_version,
        planning.c.version > planning.c.refused_version,
        planning.c.made_epoch_s >= oldest_epoch_s,
        planning.c.not_before_epoch_s <= now_epoch_s,
    )


def _unpublished() -> ColumnElement[bool]:
    return planning.c.published_sequence < planning.c.sequence


def _in_slot(where: ColumnElement[bool], slot: int | None) -> ColumnElement[bool]:
    return where if slot is None else and_(where, planning.c.slot == slot)


@dataclass(frozen=True, slots=True)
class _Row:
    """How far a site is."""

    planned_version: int
    sequence: int
    published_sequence: int


_NOTHING: Final = _Row(0, 0, 0)


def _locked(connection: Connection, sites: Sequence[str]) -> dict[str, _Row]:
    """How far each of the sites is, locked to the end of the transaction, in one order for everybody."""
    columns = (planning.c.site_id, planning.c.planned_version, planning.c.sequence, planning.c.published_sequence)
    where = planning.c.site_id.in_(list(sites))
    rows = connection.execute(select(*columns).where(where).order_by(planning.c.site_id).with_for_update()).all()
    return {site: _Row(*values) for site, *values in rows}


def _newest(
    connection: Connection, where: ColumnElement[bool], lease_after_epoch_s: float = 0.0
) -> tuple[StoredPlan, ...]:
    joined = planning.join(plans, and_(plans.c.site_id == planning.c.site_id, plans.c.sequence == planning.c.sequence))
    columns = (plans.c.site_id, plans.c.sequence, plans.c.body)
    within = and_(where, plans.c.lease_until_epoch_s > lease_after_epoch_s)
    rows = connection.execute(select(*columns).select_from(joined).where(within).order_by(plans.c.site_id)).all()
    return tuple(StoredPlan(site, sequence, body) for site, sequence, body in rows)


def _plan_row(answer: Answer, plan: StoredPlan) -> dict[str, Any]:
    return {
        "site_id": plan.site,
        "sequence": plan.sequence,
        "problem_version": answer.version,
        "issued_epoch_s": answer.issued_epoch_s,
        "lease_until_epoch_s": answer.lease_until_epoch_s,
        "status": answer.status,
        "objective_eur": answer.objective_eur,
        "body": plan.text,
    }


_PLANNED: Final = (
    update(planning)
    .where(planning.c.site_id == bindparam("s"))
    .values(planned_version=bindparam("v"), sequence=bindparam("q"), failures=0, not_before_epoch_s=0.0)
)
_REFUSED: Final = (
    update(planning)
    .where(and_(planning.c.site_id == bindparam("s"), planning.c.refused_version < bindparam("v")))
    .values(refused_version=bindparam("v"), refused_why=bindparam("why"))
)
_RAISED: Final = (
    update(planning)
    .where(and_(planning.c.site_id == bindparam("s"), planning.c.sequence < bindparam("q")))
    .values(sequence=bindparam("q"), published_sequence=bindparam("q"))
)
