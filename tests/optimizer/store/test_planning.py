"""Work, plans and their sequences: the same on both databases."""

from __future__ import annotations

import threading
from itertools import pairwise

import numpy as np
from sqlalchemy import text

from interfaces.domain.plan import Plan
from optimizer.store.database import Database
from optimizer.store.planning import (
    SLOTS,
    Refusal,
    StoredPlan,
    Work,
    add_answers,
    add_refusals,
    drop_plans,
    due_epoch_s,
    newest_plans,
    note_failures,
    publish,
    put_problems,
    sites_with_work,
    slot_of,
    slots_with_work,
    take_sequence,
    work_of,
)
from tests.optimizer.store.kit import NOW, answer, with_sites

OLDEST = NOW - 900.0


class Wire:
    """Takes every plan."""

    def __init__(self) -> None:
        self.plans: list[Plan | StoredPlan] = []

    def send(self, plan: Plan | StoredPlan) -> bool:
        self.plans.append(plan)
        return True

    def sequences(self, site: str) -> list[int]:
        return [plan.sequence for plan in self.plans if plan.site == site]


def waiting(database: Database, now: float = NOW) -> tuple[str, ...]:
    return sites_with_work(database, now, OLDEST)


def versions(database: Database, *sites: str, now: float = NOW) -> dict[str, int]:
    return {work.site: work.version for work in work_of(database, sites, now, OLDEST)}


def test_a_problem_waits_until_it_is_answered_and_its_plan_is_published(database):
    with_sites(database, "north", "south")
    put_problems(database, {"north": b'{"a": 1}', "south": b"{}"}, NOW, 900.0)
    assert waiting(database) == ("north", "south")
    (work,) = work_of(database, ["north"], NOW, OLDEST)
    assert work == Work("north", 1, b'{"a": 1}', 900.0)
    add_answers(database, [answer("north", 1)])
    assert versions(database, "north", "south") == {"south": 1}
    assert waiting(database) == ("north", "south")
    wire = Wire()
    assert publish(database, ["north"], NOW, wire.send) == ()
    assert wire.plans == [StoredPlan("north", 1, "plan 1")]
    assert waiting(database) == ("south",)
    publish(database, ["north"], NOW, wire.send)
    assert len(wire.plans) == 1


def test_a_new_problem_takes_the_place_of_the_one_before(database):
    with_sites(database, "north")
    put_problems(database, {"north": b"old"}, NOW, 900.0)
    put_problems(database, {"north": b"new"}, NOW + 1, 900.0)
    (work,) = work_of(database, ["north"], NOW + 1, OLDEST)
    assert (work.version, work.problem) == (2, b"new")


def test_an_old_problem_is_no_ground_for_a_plan(database):
    with_sites(database, "north")
    put_problems(database, {"north": b"{}"}, NOW, 900.0)
    assert sites_with_work(database, NOW, NOW) == ("north",)
    assert sites_with_work(database, NOW, NOW + 0.001) == ()
    assert work_of(database, ["north"], NOW, NOW + 0.001) == ()


def test_row_20_a_late_answer_to_an_older_problem_is_dropped(database, figure):
    with_sites(database, "north")
    put_problems(database, {"north": b"1"}, NOW, 900.0)
    put_problems(database, {"north": b"2"}, NOW, 900.0)
    assert [plan.sequence for plan in add_answers(database, [answer("north", 2, "newer")])] == [1]
    assert add_answers(database, [answer("north", 1, "older"), answer("north", 2, "double")]) == ()
    assert [plan.text for plan in newest_plans(database, ["north"])] == ["newer 1"]
    put_problems(database, {"north": b"3"}, NOW, 900.0)
    assert [plan.sequence for plan in add_answers(database, [answer("north", 3)])] == [2]
    figure("late answers stored", 0)


def test_row_20_many_workers_on_one_site_number_its_plans_without_a_gap_or_a_double(url, figure):
    workers, rounds = 4, 8
    first = Database(url)
    with_sites(first, "north", "south")
    errors: list[BaseException] = []
    wire = Wire()

    def work() -> None:
        database = Database(url)
        try:
            for _ in range(rounds):
                put_problems(database, {"south": b"{}", "north": b"{}"}, NOW, 900.0)
                found = work_of(database, ["north", "south"], NOW, OLDEST)
                add_answers(database, [answer(one.site, one.version) for one in reversed(found)])
                publish(database, ["south", "north"], NOW, wire.send)
        except BaseException as error:  # noqa: BLE001  a thread's error is the test's
            errors.append(error)
        database.close()

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    with first.begin() as connection:
        query = text("SELECT sequence, problem_version FROM plans WHERE site_id = 'north' ORDER BY sequence")
        rows = connection.execute(query).all()
    first.close()
    assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
    assert all(a[1] < b[1] for a, b in pairwise(rows)), "answers go to ever newer problems"
    sent = wire.sequences("north")
    assert sent == sorted(set(sent)), "a plan was sent twice or after a newer one"
    assert sent[-1] == len(rows)
    figure("plans stored by four workers", len(rows))
    figure("sent out of order", 0)


def test_a_plan_that_could_not_be_sent_waits(database):
    with_sites(database, "north", "south")
    put_problems(database, {"north": b"{}", "south": b"{}"}, NOW, 900.0)
    add_answers(database, [answer("north", 1), answer("south", 1)])
    assert publish(database, ["north", "south"], NOW, lambda plan: plan.site == "south") == ("north",)
    assert waiting(database) == ("north",)
    assert publish(database, ["north", "south"], NOW, lambda plan: True) == ()
    assert waiting(database) == ()


def test_a_plan_whose_lease_is_over_is_not_sent(database):
    with_sites(database, "north")
    put_problems(database, {"north": b"{}"}, NOW, 900.0)
    add_answers(database, [answer("north", 1, lease_s=60.0)])
    wire = Wire()
    publish(database, ["north"], NOW + 60.0, wire.send)
    assert wire.plans == []
    assert waiting(database) == ()


def made_here(site: str, sequence: int, lease_s: float = 900.0) -> Plan:
    """As the solver hands it over."""
    cells, steps = np.zeros((1, 1), np.int64), np.zeros(1, np.int64)
    return Plan(
        plan_id=f"{site}-{sequence}", site=site, topology_version="v1", sequence=sequence, key_id="",
        issued_epoch_s=NOW, start_epoch_s=NOW, step_s=900, valid_until_epoch_s=NOW + 900.0,
        lease_until_epoch_s=NOW + lease_s, assets=("car-1",), setpoint_ma=cells, value_ppm=cells,
        planned_import_mw=steps, grid_ppm=np.zeros((1, 3), np.int64), calm_import_mw=steps,
    )  # fmt: skip


def test_a_plan_at_hand_is_sent_as_it_is_and_only_where_it_is_the_newest(database):
    names = ("east", "north", "south")
    with_sites(database, *names)
    put_problems(database, dict.fromkeys(names, b"{}"), NOW, 900.0)
    add_answers(database, [answer(name, 1) for name in names])
    put_problems(database, {"south": b"{}"}, NOW, 900.0)
    add_answers(database, [answer("south", 2)])
    made = {"north": made_here("north", 1), "south": made_here("south", 1)}
    wire = Wire()
    assert publish(database, names, NOW, wire.send, made) == ()
    assert wire.plans[0] is made["north"]
    assert wire.plans[1:] == [StoredPlan("east", 1, "plan 1"), StoredPlan("south", 2, "plan 2")]
    assert publish(database, names, NOW, wire.send, made) == ()
    assert len(wire.plans) == 3
    assert waiting(database) == ()


def test_a_plan_at_hand_whose_lease_is_over_is_not_sent(database):
    with_sites(database, "north")
    put_problems(database, {"north": b"{}"}, NOW, 900.0)
    add_answers(database, [answer("north", 1, lease_s=60.0)])
    wire = Wire()
    publish(database, ["north"], NOW + 60.0, wire.send, {"north": made_here("north", 1, lease_s=60.0)})
    assert wire.plans == []
    assert waiting(database) == ()


def test_a_plan_at_hand_that_could_not_be_sent_waits(database):
    with_sites(database, "north")
    put_problems(database, {"north": b"{}"}, NOW, 900.0)
    add_answers(database, [answer("north", 1)])
    made = {"north": made_here("north", 1)}
    assert publish(database, ["north"], NOW, lambda plan: False, made) == ("north",)
    assert waiting(database) == ("north",)


def test_a_refused_problem_is_not_tried_again_but_the_next_one_is(database):
    with_sites(database, "north")
    put_problems(database, {"north": b"bad"}, NOW, 900.0)
    add_refusals(database, [Refusal("north", 1, "the state is of another topology")])
    assert waiting(database) == ()
    put_problems(database, {"north": b"good"}, NOW, 900.0)
    assert versions(database, "north") == {"north": 2}


def test_failures_back_off_and_a_new_problem_is_tried_at_once(database):
    with_sites(database, "north")
    put_problems(database, {"north": b"{}"}, NOW, 900.0)
    for pause_s in (5.0, 20.0, 60.0, 60.0):
        note_failures(database, ["north"], NOW)
        assert waiting(database, NOW + pause_s - 0.1) == ()
        assert waiting(database, NOW + pause_s) == ("north",)
    put_problems(database, {"north": b"{}"}, NOW, 900.0)
    assert waiting(database) == ("north",)
    note_failures(database, ["north"], NOW)
    assert waiting(database, NOW + 5.0) == ("north",)


def test_work_by_slots(database):
    names = [f"site-{k}" for k in range(40)]
    with_sites(database, *names)
    put_problems(database, dict.fromkeys(names, b"{}"), NOW, 900.0)
    slots = slots_with_work(database, NOW, OLDEST)
    assert slots == tuple(sorted({slot_of(name) for name in names}))
    together = [name for slot in slots for name in sites_with_work(database, NOW, OLDEST, slot)]
    assert sorted(together) == sorted(names)


def test_a_store_of_a_program_with_other_slots_takes_over_ours_with_the_next_problem(database):
    with_sites(database, "north")
    put_problems(database, {"north": b"{}"}, NOW, 900.0)
    with database.begin() as connection:
        connection.execute(text("UPDATE planning SET slot = 1000"))
    put_problems(database, {"north": b"{}"}, NOW, 900.0)
    assert slots_with_work(database, NOW, OLDEST) == (slot_of("north"),)


def test_turns_are_spread_over_the_period_and_the_same_in_every_process():
    names = [f"site-{k}" for k in range(5000)]
    dues = [due_epoch_s(name, 300.0, NOW) for name in names]
    assert all(NOW < due <= NOW + 300.0 for due in dues)
    per_minute = [sum(NOW + 60 * k < due <= NOW + 60 * (k + 1) for due in dues) for k in range(5)]
    assert min(per_minute) > 850
    assert due_epoch_s("site-0", 300.0, dues[0]) == dues[0] + 300.0
    assert (slot_of("site-0"), SLOTS) == (19, 32), "a site that changes its slot has two locks"


def test_old_plans_go_and_the_newest_stays(database):
    with_sites(database, "north")
    for version in (1, 2, 3):
        put_problems(database, {"north": b"{}"}, NOW, 900.0)
        add_answers(database, [answer("north", version)])
    assert drop_plans(database, NOW + 1.0) == 2
    assert [plan.sequence for plan in newest_plans(database, ["north", "nobody"])] == [3]
    assert drop_plans(database, NOW + 1.0) == 0


def test_who_plans_for_himself_takes_a_sequence_and_a_late_answer_is_dropped(database):
    with_sites(database, "north")
    put_problems(database, {"north": b"{}"}, NOW, 900.0, {"north": 4})
    assert take_sequence(database, "north", 2) == 5
    assert waiting(database) == ()
    assert add_answers(database, [answer("north", 1)]) == ()
    assert take_sequence(database, "north", 8) == 9
    put_problems(database, {"north": b"{}"}, NOW, 900.0, {"north": 3})
    assert [plan.sequence for plan in add_answers(database, [answer("north", 2)])] == [10]
    assert waiting(database) == ("north",)
    wire = Wire()
    assert publish(database, ["north"], NOW, wire.send) == ()
    assert wire.sequences("north") == [10]


def test_a_plan_that_was_overtaken_while_the_store_was_away_is_not_sent(database):
    with_sites(database, "north")
    put_problems(database, {"north": b"{}"}, NOW, 900.0)
    add_answers(database, [answer("north", 1)])
    put_problems(database, {"north": b"{}"}, NOW, 900.0, {"north": 7})
    wire = Wire()
    publish(database, ["north"], NOW, wire.send)
    assert wire.plans == []
    assert newest_plans(database, ["north"]) == ()
    assert [plan.sequence for plan in add_answers(database, [answer("north", 2)])] == [8]
