"""Faults of line, broker and disk against the uplink: nothing is lost, it is told, and live data goes on."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.service.spool import Spool
from controller.service.spool_pace import BACKLOG_PER_S
from controller.service.spool_table import SpoolTable
from controller.service.teller import Teller
from controller.service.uplink_state import PATIENCE_S, UplinkState, uplink_notes, uplink_problems
from interfaces.domain.live import live_status
from interfaces.domain.wire import Receipt, write
from interfaces.domain.wire_topics import Kind
from interfaces.drivers.mqtt import Condition, LinkState
from tests.controller.service.cloud_kit import WIDE, Box, Cloud, Site, Time, access_to, clouded, until, uplinked
from tests.interfaces.drivers.mosquitto import Mosquitto, make_keys, running

pytestmark = pytest.mark.xdist_group("broker")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_keys(tmp_path_factory.mktemp("keys"), "box-1")


@pytest.fixture
def broker(tmp_path: Path, keys: Path) -> Iterator[Mosquitto]:
    yield from running(tmp_path / "broker", keys)


def problems(box: Box) -> dict[str, str]:
    return uplink_problems(box.uplink.state, box.time.now_s())


def complete(names: set[tuple[int, int]]) -> None:
    """No number of a session is missing between the first and the last."""
    for session in {session for session, _ in names}:
        seqs = sorted(seq for one, seq in names if one == session)
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs))), f"session {session}"


async def settled(box: Box) -> None:
    """Nothing new is measured any more, and everything that was has arrived."""
    box.site.scans = False
    await until(lambda: box.uplink.state.waiting == 0, "everything is confirmed")


async def test_row_02_a_frozen_broker_loses_nothing(tmp_path, broker, figure):
    async with uplinked(tmp_path, lambda: access_to(broker)) as box, clouded(broker) as cloud:
        await until(cloud.live, "a status")
        broker.signal(signal.SIGSTOP)
        try:
            await until(lambda: box.uplink.state.telemetry.waiting >= 10, "statuses that wait")
        finally:
            broker.signal(signal.SIGCONT)
        figure("statuses that waited", box.uplink.state.telemetry.waiting)
        await settled(box)
        complete(set(cloud.names()))
        assert box.uplink.state.lost == {}


async def test_row_09_a_denied_publish_is_an_alarm_and_the_message_is_kept(tmp_path, broker, figure):
    rules = next(broker.folder.glob("*acl*"))
    allowed = rules.read_text()
    rules.write_text(allowed.replace("pattern write sw/1/%u/telemetry/#", ""))
    await asyncio.to_thread(broker.stop)
    await asyncio.to_thread(broker.start)
    rules.write_text(allowed.replace("pattern write sw/1/%u/telemetry/#", ""))
    broker.reload()
    async with uplinked(tmp_path, lambda: access_to(broker)) as box, clouded(broker) as cloud:
        told = await until(lambda: problems(box).get("cloud.denied.live"), "the alarm")
        assert "not authorized" in told
        figure("told", told)
        await until(lambda: box.uplink.state.telemetry.waiting >= 3, "statuses that wait")
        rules.write_text(allowed)
        broker.reload()
        await settled(box)
        assert "cloud.denied.live" not in problems(box)
        complete(set(cloud.names()))


async def test_a_cloud_that_listens_and_stores_nothing_is_told_and_sent_no_backlog(tmp_path, broker):
    async with uplinked(tmp_path, lambda: access_to(broker), clock=Time(speed=30.0)) as box:
        async with clouded(broker, stores=False) as cloud:
            await until(lambda: "cloud.unconfirmed" in problems(box), "it is told")
            heard = len(cloud.late())
            more = len(cloud.live()) + 3
            await until(lambda: len(cloud.live()) >= more, "statuses of the moment go on")
            assert len(cloud.late()) - heard <= 1, "what waits stays where it is"
            before = set(cloud.names())
            cloud.stores = True
            await settled(box)
            assert before <= set(cloud.names())
            complete(set(cloud.names()))
        assert "cloud.unconfirmed" not in problems(box)


async def test_row_24_receipts_twice_in_disorder_and_of_strange_names_change_nothing(tmp_path, broker):
    clock = Time(speed=30.0)
    async with (
        uplinked(tmp_path, lambda: access_to(broker), clock=clock) as box,
        clouded(broker, stores=False) as cloud,
    ):
        await until(lambda: len(cloud.live()) >= 3, "statuses")
        session = cloud.of(Kind.BIRTH)[0].head.session
        for stored in (((session, 2, 2),), ((session, 1, 2), (5, 0, 2**53)), ((session, 2, 2), (session, 9, 3))):
            await cloud.say(Kind.RECEIPT, write(Receipt(0.0, stored)))
        for junk in (b"", b"{", b'{"kind":"receipt","schema":"2.0"}', b"\xff" * 1000):
            await cloud.say(Kind.RECEIPT, junk)
            await cloud.say(Kind.REBIRTH, junk)
        cloud.stores = True
        known = len(cloud.live())
        await until(lambda: len(cloud.live()) >= known + 2, "it goes on")
        await settled(box)
        assert box.uplink.state.lost == {}


async def test_row_16_a_flood_of_commands_is_bounded_and_live_data_goes_on(tmp_path, broker, figure):
    async with uplinked(tmp_path, lambda: access_to(broker)) as box, clouded(broker) as cloud:
        await until(cloud.live, "a status")
        slow = box.deciding.take

        async def slowly(kind: Kind, payload: bytes):
            await asyncio.sleep(0.05)
            return await slow(kind, payload)

        box.deciding.take = slowly  # type: ignore[method-assign]
        for _ in range(100):
            await asyncio.gather(*(cloud.say(Kind.COMMAND, b"x" * 10_000) for _ in range(10)))
        known = len(cloud.live())
        await until(lambda: len(cloud.live()) >= known + 3, "live data goes on")
        figure("of 1000 commands dropped and counted", box.uplink.state.dropped)
        assert box.uplink.state.dropped + len(box.deciding.taken) <= 1000
        complete(set(cloud.names()))


async def test_row_73_on_a_full_disk_live_data_goes_on_and_it_is_told(tmp_path, broker, monkeypatch, figure):
    store = SpoolTable.store
    full = False

    def perhaps(self, *arguments):
        if full:
            raise sqlite3.OperationalError("database or disk is full")
        return store(self, *arguments)

    monkeypatch.setattr(SpoolTable, "store", perhaps)
    async with uplinked(tmp_path, lambda: access_to(broker)) as box, clouded(broker) as cloud:
        await until(cloud.live, "a status")
        full = True
        known = len(cloud.live())
        told = await until(lambda: problems(box).get("spool.telemetry"), "it is told")
        figure("alarm", told)
        await until(lambda: len(cloud.live()) >= known + 5, "live data goes on")
        full = False
        await until(lambda: "spool.telemetry" not in problems(box), "the disk is back")
        await settled(box)
        complete(set(cloud.names()))
        assert box.uplink.state.lost == {}


async def test_row_01_a_day_without_the_cloud_goes_out_oldest_first_and_slowly(tmp_path, broker, figure):
    """The messages of 24 h wait on disk: live data goes first, the day behind it at 5 messages a second."""
    count = await asyncio.to_thread(fill_a_day, tmp_path / "history.db")
    clock = Time(ahead_s=DAY_S)
    async with clouded(broker) as cloud, uplinked(tmp_path, lambda: access_to(broker), clock=clock) as box:
        await until(cloud.live, "live data")
        sent, began_s = len(of_the_day(cloud)), clock.now_s()
        assert sent < count / 4, "it does not wait for the day"
        await until(lambda: len(of_the_day(cloud)) >= count, "the day")
        rate_per_s = (count - sent) / (clock.now_s() - began_s)
        await settled(box)
        late = of_the_day(cloud)
        facts = {message.head.seq: message.head.at_epoch_s for message in late}
        assert list(facts) == list(range(1, count + 1)), "all of them, in their order"
        assert list(facts.values()) == sorted(facts.values()), "with the times they were measured at"
        assert box.uplink.state.lost == {}
        assert rate_per_s <= BACKLOG_PER_S * 1.1
        figure("messages of 24 h without the cloud that arrived in order, none lost", len(facts))


DAY = 1_700_000_000
DAY_S = 86_400.0


def of_the_day(cloud: Cloud) -> list[Any]:
    return [message for message in cloud.late() if message.head.session == DAY]


def fill_a_day(path: Path) -> int:
    """What an uplink would have kept: a whole status every 3 min."""
    site, count = Site(Time(speed=0.0)), 480
    record, setup = site.known().record, site.bench.setup
    assert record is not None
    spool = Spool(path, WIDE, lambda: None, synchronous="NORMAL")
    teller = Teller(DAY - 1, lambda: 0.0)
    for k in range(count):
        at = replace(record, epoch_s=record.epoch_s + DAY_S / count * k)
        spool.put(teller.live(live_status(at, setup.params.topology, setup.site.id), 600.0).later)
    spool.close()
    return count


async def test_killed_and_started_again_everything_arrives_and_twice_only_under_its_own_name(tmp_path, broker):
    """Killed: the files are copied while the process lives, and another process goes on with the copy."""
    async with clouded(broker) as cloud:
        async with uplinked(tmp_path, lambda: access_to(broker)) as box:
            await until(lambda: len(cloud.live()) >= 2, "statuses")
            cloud.stores = False
            seen = len(cloud.live())
            await until(lambda: len(cloud.live()) >= seen + 3, "statuses without a receipt")
            await until(lambda: box.uplink.state.telemetry.waiting >= 3, "they wait on disk")
            other = tmp_path / "other"
            other.mkdir()
            await asyncio.to_thread(copy_databases, tmp_path, other)
        before = {message.head.at_epoch_s: name for name, message in cloud.named()}
        cloud.stores = True
        async with uplinked(other, lambda: access_to(broker), clock=Time(ahead_s=5_000.0)) as box:
            known = len(cloud.of(Kind.BIRTH))
            await until(lambda: len(cloud.of(Kind.BIRTH)) > known, "a birth")
            await settled(box)
        facts: dict[tuple[int, int], float] = {}
        for name, message in cloud.named():
            assert facts.setdefault(name, message.head.at_epoch_s) == message.head.at_epoch_s
        assert before.items() <= {at: name for name, at in facts.items()}.items()


def copy_databases(source: Path, target: Path) -> None:
    for name in ("state.db", "history.db"):
        with sqlite3.connect(source / name) as one, sqlite3.connect(target / name) as other:
            one.backup(other)
        one.close()
        other.close()


# -- what is told ------------------------------------------------------------------------------------------------------


def test_a_break_of_a_minute_is_nobodys_business_and_a_longer_one_is():
    lost = UplinkState(link=LinkState(connected=False, condition=Condition.LOST, reason="it broke"), since_s=100.0)
    assert uplink_problems(lost, 100.0 + PATIENCE_S - 1) == {}
    assert "it broke" in uplink_problems(lost, 100.0 + PATIENCE_S + 1)["cloud"]
    assert uplink_problems(None, 0.0) == {}


@pytest.mark.parametrize("condition", [Condition.CERTIFICATE_EXPIRED, Condition.WRONG_CA, Condition.CERTIFICATE_FILES])
def test_row_06_what_does_not_pass_by_itself_is_told_at_once(condition):
    refused = UplinkState(link=LinkState(connected=False, condition=condition, reason="why"), since_s=100.0)
    assert "why" in uplink_problems(refused, 100.0)["cloud"]


def test_row_10_a_contested_name_is_told_also_while_we_hold_it():
    contested = UplinkState(link=LinkState(connected=True, condition=Condition.CONTESTED, reason="two of us"))
    assert "two of us" in uplink_problems(contested, 0.0)["cloud"]


def test_losses_are_told_by_cause():
    state = UplinkState()
    state = replace(state, telemetry=replace(state.telemetry, lost={"size": 3, "disk": 1}))
    assert uplink_notes(state)["cloud.lost"].endswith("1 by disk, 3 by size")
    assert uplink_notes(UplinkState()) == {}
