"""The gateway's side of the wire against a real broker: what is said, in which order, and that nothing is lost."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from controller.service.messages import Verdict
from controller.service.spool import Spool
from controller.service.spool_table import Told
from interfaces.domain.wire import AckCode, PlanAck
from interfaces.domain.wire_live import Live
from interfaces.domain.wire_topics import Kind
from tests.controller.service.cloud_kit import ADDRESS, WIDE, Cloud, Time, access_to, clouded, until, uplinked
from tests.controller.service.kit import EPOCH_S
from tests.interfaces.drivers.mosquitto import Mosquitto, make_keys, running

pytestmark = pytest.mark.xdist_group("broker")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_keys(tmp_path_factory.mktemp("keys"), "box-1")


@pytest.fixture
def broker(tmp_path: Path, keys: Path) -> Iterator[Mosquitto]:
    yield from running(tmp_path / "broker", keys)


async def test_a_session_opens_with_birth_state_and_a_whole_status(tmp_path, broker):
    slow = Time(speed=5.0)  # a loaded broker has two seconds for its word before the next status counts from the last
    async with clouded(broker) as cloud, uplinked(tmp_path, lambda: access_to(broker), clock=slow) as box:
        await until(lambda: len(cloud.live()) >= 3, "three statuses")
        (birth,) = cloud.of(Kind.BIRTH)
        assert birth.head.seq == 0
        assert (birth.site, birth.software, birth.again) == (ADDRESS.site, "0.5.0", False)
        assert [state.online for state in cloud.of(Kind.STATE)] == [True]
        first, second, third = cloud.live()[:3]
        assert first.whole is not None
        assert (second.changes.session, second.changes.seq) == (None, first.head.seq)
        assert (third.changes.session, third.changes.seq) == (None, second.head.seq)
        assert third.head.at_epoch_s - second.head.at_epoch_s >= 9.0
        box.site.scans = False
        await until(lambda: box.uplink.state.waiting == 0, "everything is confirmed")
        seqs = {seq for session, seq in cloud.names() if session == birth.head.session}
        assert seqs == set(range(len(seqs)))
        assert box.uplink.state.lost == {}


def born_and_seen(cloud: Cloud, times: int) -> bool:
    births = cloud.of(Kind.BIRTH)
    session = births[-1].head.session if births else 0
    return len(births) == times and any(one.head.session == session for one in cloud.live())


async def test_a_restart_begins_a_larger_session_and_leaves_no_online_behind(tmp_path, broker):
    async with clouded(broker) as cloud:
        for times in (1, 2):
            async with uplinked(tmp_path, lambda: access_to(broker), clock=Time()):
                await until(partial(born_and_seen, cloud, times), "a birth and a status after it")
        await until(lambda: len(cloud.of(Kind.STATE)) == 4, "both goodbyes")
        assert [state.online for state in cloud.of(Kind.STATE)] == [True, False, True, False]
        sessions = [birth.head.session for birth in cloud.of(Kind.BIRTH)]
        assert sessions == sorted(set(sessions))
        facts = {(*name, message.head.at_epoch_s) for name, message in cloud.named()}
        assert len(facts) == len(set(cloud.names())), "no name is used for two facts"


async def test_a_rebirth_is_answered_with_a_birth_of_the_same_session_and_a_whole_status(tmp_path, broker):
    async with clouded(broker) as cloud, uplinked(tmp_path, lambda: access_to(broker)):
        await until(cloud.live, "a status")
        await cloud.ask()
        await cloud.ask()  # at once again: one answer
        await until(lambda: len(cloud.of(Kind.BIRTH)) == 2, "another birth")
        first, again = cloud.of(Kind.BIRTH)
        assert again.again
        assert again.head.session == first.head.session
        assert again.head.seq > 0
        whole = await until(lambda: [one for one in cloud.live() if one.head.seq > again.head.seq], "a status after it")
        assert whole[0].whole is not None
        assert len(cloud.of(Kind.BIRTH)) == 2


async def test_conditions_are_events_in_their_order_each_with_its_end(tmp_path, broker):
    async with clouded(broker) as cloud, uplinked(tmp_path, lambda: access_to(broker)) as box:
        await until(cloud.live, "a status")
        verdict = Verdict("site", accepted=False, reason="line 3: no")
        box.site.known_now = replace(box.site.known_now, site_verdict=verdict)
        entered = await until(lambda: [one for one in cloud.of(Kind.EVENT) if one.name == "site"], "the event")
        assert entered[0].entered
        assert "line 3: no" in entered[0].text
        box.site.known_now = replace(box.site.known_now, site_verdict=None)
        both = await until(
            lambda: two if len(two := [one for one in cloud.of(Kind.EVENT) if one.name == "site"]) == 2 else None,
            "its end",
        )
        assert not both[1].entered
        assert both[0].id == both[1].id


async def test_a_plan_is_handed_on_as_it_came_and_its_answer_goes_back(tmp_path, broker):

    async with clouded(broker) as cloud, uplinked(tmp_path, lambda: access_to(broker)) as box:
        await until(cloud.live, "a status")
        box.deciding.answers = [(Kind.PLAN_ACK, lambda head: PlanAck(head, "p-1", 7, AckCode.ACCEPTED))]
        await cloud.say(Kind.PLAN, b"signed bytes", retain=True)
        (ack,) = await until(lambda: cloud.of(Kind.PLAN_ACK), "its answer")
        assert (ack.plan_id, ack.sequence, ack.accepted) == ("p-1", 7, True)
        assert box.deciding.taken == [(Kind.PLAN, b"signed bytes")]


async def test_a_message_that_makes_us_fail_costs_its_answer_and_not_the_line(tmp_path, broker):
    async with clouded(broker) as cloud, uplinked(tmp_path, lambda: access_to(broker)) as box:
        await until(cloud.live, "a status")
        box.deciding.answers = [(Kind.PLAN_ACK, lambda head: PlanAck(head, "p" * 1000, 7, AckCode.ACCEPTED))]
        await cloud.say(Kind.PLAN, b"one", retain=True)
        await until(lambda: box.deciding.taken, "it was judged, and its answer is none of the contract")
        box.deciding.answers = [(Kind.PLAN_ACK, lambda head: PlanAck(head, "p-2", 8, AckCode.ACCEPTED))]
        await cloud.say(Kind.PLAN, b"two", retain=True)
        (ack,) = await until(lambda: cloud.of(Kind.PLAN_ACK), "the next answer")
        assert ack.sequence == 8
        assert len(cloud.of(Kind.BIRTH)) == 1, "the line stayed"


async def test_what_waits_in_a_file_that_could_not_be_opened_at_first_is_sent_once_it_can(tmp_path, broker):
    left = Spool(tmp_path / "state.db", WIDE, lambda: EPOCH_S, synchronous="NORMAL")
    left.put(Told(1, 1, EPOCH_S, "novelty", b"{}"))
    left.close()
    other = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    other.execute("PRAGMA journal_mode=DELETE")
    other.execute("BEGIN EXCLUSIVE")
    async with clouded(broker) as cloud, uplinked(tmp_path, lambda: access_to(broker)) as box:
        await until(lambda: box.uplink.state.events.problem, "it cannot be opened")
        await until(lambda: len(cloud.live()) >= 3, "statuses")
        other.execute("ROLLBACK")
        other.close()
        await until(lambda: box.uplink.state.lost.get("damage") == 1, "what waited was looked at")


async def test_what_another_version_left_to_say_is_counted_as_lost_and_holds_nothing_up(tmp_path, broker):
    for name in ("state.db", "history.db"):
        left = Spool(tmp_path / name, WIDE, lambda: EPOCH_S, synchronous="NORMAL")
        left.put(Told(1, 1, EPOCH_S, "novelty", b"{}"))
        left.close()
    async with clouded(broker) as cloud, uplinked(tmp_path, lambda: access_to(broker)) as box:
        await until(lambda: len(cloud.live()) >= 2, "statuses")
        await until(lambda: box.uplink.state.lost.get("damage") == 2, "both are counted")
        assert len(cloud.of(Kind.BIRTH)) == 1, "the line stayed"


# -- faults ------------------------------------------------------------------------------------------------------------


async def test_row_01_what_is_measured_while_the_broker_is_down_arrives_in_order_with_its_time(
    tmp_path, broker, figure
):
    known = True
    async with uplinked(tmp_path, lambda: access_to(broker) if known else None) as box:
        async with clouded(broker) as cloud:
            await until(lambda: len(cloud.live()) >= 2, "statuses")
        before = cloud.names()
        await asyncio.to_thread(broker.stop)
        await until(lambda: box.uplink.state.telemetry.waiting >= 8, "statuses that wait")
        assert not box.uplink.state.link.connected
        known = False  # what is sent while nobody listens is sent again later, and out of its order
        await asyncio.to_thread(broker.start)
        async with clouded(broker) as cloud:
            known = True
            await until(cloud.live, "a status of the moment")
            box.site.scans = False
            await until(lambda: box.uplink.state.waiting == 0, "everything arrived")
            late = cloud.late()
            times = [message.head.at_epoch_s for message in late if isinstance(message, Live)]
            assert times == sorted(times)
            assert all(message.whole is not None for message in late if isinstance(message, Live))
            assert cloud.of(Kind.BIRTH)[-1].head.session > before[-1][0]
            names = sorted({*before, *cloud.names()})
            for session in {session for session, _ in names}:
                seqs = [seq for one, seq in names if one == session]
                assert seqs == list(range(seqs[0], seqs[0] + len(seqs))), "no number is missing"
        figure("statuses that waited for the broker and arrived", len(times))
        assert box.uplink.state.lost == {}
