"""The cloud side's one connection against a real Mosquitto, and boxes that speak as the contract says."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from interfaces.domain.live import LiveStatus
from interfaces.domain.plan import Plan
from interfaces.domain.targets import Target, Targets
from interfaces.domain.wire import Event, write
from interfaces.domain.wire_commands import AnswerCode, CommandAnswer, LimitCharger, Pause
from interfaces.domain.wire_examples import examples, status
from interfaces.domain.wire_head import Head
from interfaces.domain.wire_topics import Address, Kind
from interfaces.drivers.clock import epoch_s
from interfaces.drivers.mqtt import Message, Published
from interfaces.drivers.signing import Signer, Verifier
from optimizer.service.ingest import Arrival, StoreError
from optimizer.service.local_link import LocalLink
from optimizer.service.mqtt_link import CloudLink
from optimizer.service.mqtt_site import MqttSite
from optimizer.service.port import LinkError
from simulations.bench.box import Box
from tests.interfaces.drivers.mosquitto import PATIENCE_S, Mosquitto, linked, make_keys, running

HERE = Address("acme", "depot", "a")
OTHER = Address("acme", "yard", "b")
SAMPLES = examples()


class Shelf:
    """A store that can be made to fail."""

    def __init__(self) -> None:
        self.kept: list[Arrival] = []
        self.trouble = ""

    def knows(self, address: Address) -> bool:
        return address in {HERE, OTHER}

    def add(self, arrivals: Sequence[Arrival]) -> StoreError | None:
        if self.trouble:
            return StoreError(self.trouble)
        self.kept.extend(arrivals)
        return None

    def names(self) -> set[tuple[int, int]]:
        heads = [getattr(arrival.message, "head", None) for arrival in self.kept]
        return {(head.session, head.seq) for head in heads if isinstance(head, Head)}


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    yield from running(tmp_path / "broker", make_keys(tmp_path / "keys", "a", "b"))


class Bench:
    """The cloud side in this loop, and boxes as they are asked for."""

    def __init__(self, mosquitto: Mosquitto, folder: Path) -> None:
        self.mosquitto, self.folder = mosquitto, folder
        self.shelf = Shelf()
        self.signer = Signer.of_file(mosquitto.keys / "signing.key")
        self.cloud = self.new_cloud()
        self._stack = AsyncExitStack()

    def new_cloud(self) -> CloudLink:
        return CloudLink(self.mosquitto.broker("optimizer"), self.shelf, rng=random.Random(1), flush_s=0.02)

    def site(self, address: Address = HERE) -> MqttSite:
        return MqttSite(self.cloud, address, LocalLink(self.folder / address.site, address.site), self.signer)

    @asynccontextmanager
    async def up(self) -> AsyncIterator[None]:
        async with going(self.cloud.run()):
            await until(lambda: self.cloud.link.state.connected)
            yield

    @asynccontextmanager
    async def box(self, address: Address = HERE, **how) -> AsyncIterator[Box]:
        verifier = Verifier.of_file(self.mosquitto.keys / "signing.pub")
        box = Box(self.mosquitto.broker(address.controller), address, verifier, random.Random(2), **how)
        async with going(box.run()):
            async with asyncio.timeout(PATIENCE_S):
                await box.open.wait()
            yield box


@asynccontextmanager
async def going(work) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled() or task.exception() is None, task.exception()


async def until(wanted: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not wanted():  # noqa: ASYNC110  what is waited for happens in many places
            await asyncio.sleep(0.01)


async def answer_of(future: Future) -> CommandAnswer | LinkError:
    return await asyncio.wait_for(asyncio.wrap_future(future), PATIENCE_S)


@pytest.fixture
def bench(mosquitto: Mosquitto, tmp_path: Path) -> Bench:
    return Bench(mosquitto, tmp_path / "sites")


def now(site: str = "depot", k: int = 0) -> LiveStatus:
    return replace(status(), site=site, epoch_s=round(epoch_s(), 3) + k, plan_sequence=k)


def plan(sequence: int, site: str = "depot", lease_s: float = 900.0) -> Plan:
    start = epoch_s() // 900 * 900
    steps = np.zeros(4, dtype=np.int64)
    return Plan(
        f"{site}-{sequence}", site, "9f3c", sequence, "", epoch_s(), start, 900, start + 3600, epoch_s() + lease_s,
        ("place-0",), steps[:, None] + 16_000, steps[:, None], steps, np.zeros((4, 3), dtype=np.int64), steps,
    )  # fmt: skip


def targets(sequence: int, energy_wh: int = 1000) -> Targets:
    return Targets(sequence, epoch_s(), (Target("place-0", 1_793_007_200.0, energy_wh),), 0.0, 900, np.ones(2))


def event(head: Head) -> Event:
    sample = SAMPLES["event"]
    assert isinstance(sample, Event)
    return replace(sample, head=head)


async def test_what_a_box_says_is_stored_and_receipted(bench: Bench):
    async with bench.up(), bench.box() as box:
        for k in range(5):
            assert await box.tell(now(k=k)) == Published()
        assert await box.happen(event) == Published()
        await until(lambda: bench.shelf.names() == box.told)
        bench.cloud.ingest._told_s.clear()  # receipts come once a minute; not here
        async with asyncio.timeout(PATIENCE_S):
            await box.until(lambda heard: heard.stored == box.told)
        assert len(box.told) == 1 + 5 + 1
        assert [a.status.plan_sequence for a in bench.shelf.kept if a.status is not None] == [0, 1, 2, 3, 4]
        assert box.heard.rebirths == []
        assert bench.cloud.ingest.online == {HERE: True}


async def test_nothing_is_receipted_before_it_is_stored_and_nothing_gets_lost(bench: Bench, monkeypatch):
    monkeypatch.setattr("optimizer.service.mqtt_link.STORE_RETRY_S", 0.05)
    bench.shelf.trouble = "the disk is full"
    async with bench.up(), bench.box() as box:
        for k in range(5):
            await box.tell(now(k=k))
        await until(lambda: len(bench.cloud.ingest.batch()) == 6)
        await until(lambda: bench.cloud.conditions.get("store") == "the disk is full")
        assert box.heard.stored == set()
        bench.shelf.trouble = ""
        async with asyncio.timeout(PATIENCE_S):
            await box.until(lambda heard: heard.stored == box.told)
        assert bench.shelf.names() == box.told
        assert "store" not in bench.cloud.conditions


async def test_a_plan_is_signed_retained_and_expires_with_its_lease(bench: Bench):
    site = bench.site()
    async with bench.up():
        assert site.send_plan(plan(7)) is None
        await until(lambda: not bench.cloud._newest)
        async with bench.box() as box, asyncio.timeout(PATIENCE_S):
            await box.until(lambda heard: bool(heard.plans))
        assert [one.sequence for _, one in box.heard.plans] == [7]
        assert box.heard.plans[0][1].key_id == bench.signer.key_id
        assert box.heard.unsigned == 0
        async with linked(bench.mosquitto.broker("a"), HERE.topic(Kind.PLAN)) as raw:
            message = await raw.next()
        assert message.retain
        assert message.expiry_s is not None
        assert 0 < message.expiry_s <= 900
    remembered = site.last_plan()
    assert remembered is not None
    assert remembered.sequence == 7


async def test_row_13_a_plan_nobody_may_follow_any_more_is_not_sent(bench: Bench):
    async with bench.up():
        assert bench.site().send_plan(plan(7, lease_s=0.5)) is None
        await until(lambda: not bench.cloud._newest)
        assert bench.site().send_plan(plan(8)) is None
        async with bench.box() as box, asyncio.timeout(PATIENCE_S):
            await box.until(lambda heard: bool(heard.plans))
        assert [one.sequence for _, one in box.heard.plans] == [8]


async def test_row_01_while_the_broker_is_down_the_newest_plan_waits_and_is_sent_when_it_is_back(
    bench: Bench, monkeypatch
):
    monkeypatch.setattr("interfaces.drivers.mqtt.RETRY_MIN_S", 0.05)
    monkeypatch.setattr("interfaces.drivers.mqtt.RETRY_MAX_S", 0.1)
    site = bench.site()
    async with bench.up(), bench.box() as box:
        bench.mosquitto.stop()
        await until(lambda: not bench.cloud.link.state.connected)
        assert "broker" in bench.cloud.conditions
        for sequence in (1, 2, 3):
            assert site.send_plan(plan(sequence)) is None
        bench.mosquitto.start()
        async with asyncio.timeout(PATIENCE_S):
            await box.until(lambda heard: bool(heard.plans))
        await until(lambda: not bench.cloud._newest)
        assert [one.sequence for _, one in box.heard.plans] == [3]
        assert "broker" not in bench.cloud.conditions


async def test_a_plan_that_a_hanging_broker_did_not_take_waits_on(bench: Bench, monkeypatch):
    monkeypatch.setattr("interfaces.drivers.mqtt_session.ACK_TIMEOUT_S", 0.2)
    async with bench.up(), bench.box() as box:
        bench.mosquitto.signal(signal.SIGSTOP)
        try:
            assert bench.site().send_plan(plan(7)) is None
            await until(lambda: "sending plan to a" in bench.cloud.conditions)
            assert bench.cloud.waiting == 1
        finally:
            bench.mosquitto.signal(signal.SIGCONT)
        monkeypatch.undo()
        await until(lambda: bench.cloud.waiting == 0 and "sending plan to a" not in bench.cloud.conditions)
        async with asyncio.timeout(PATIENCE_S):
            await box.until(lambda heard: bool(heard.plans))
        assert {one.sequence for _, one in box.heard.plans} == {7}


async def test_targets_are_sent_when_they_change(bench: Bench):
    site = bench.site()
    async with bench.up(), bench.box() as box:
        for sequence, energy_wh in ((1, 1000), (2, 1000), (3, 2000), (4, 2000), (5, 3000)):
            assert site.send_targets(targets(sequence, energy_wh)) is None
            await until(lambda: not bench.cloud._newest)
        async with asyncio.timeout(PATIENCE_S):
            await box.until(lambda heard: len(heard.targets) >= 3)
    assert [(one.sequence, one.targets[0].energy_wh) for one in box.heard.targets] == [(1, 1000), (3, 2000), (5, 3000)]
    assert {(one.controller, one.site) for one in box.heard.targets} == {("a", "depot")}


async def test_after_a_restart_of_the_cloud_side_the_box_is_asked_and_says_everything_again(bench: Bench):
    async with bench.box() as box:
        async with bench.up():
            await box.tell(now(k=1))
            await until(lambda: len(bench.shelf.kept) == 1)  # its birth was before anybody listened
        bench.cloud = bench.new_cloud()
        async with bench.up():
            await box.tell(now(k=2))  # changes of a status that nobody knows any more
            async with asyncio.timeout(PATIENCE_S):
                await box.until(lambda heard: bool(heard.rebirths))
            await until(
                lambda: bench.shelf.kept[-1].status is not None and bench.shelf.kept[-1].status.plan_sequence == 2
            )
            birth = bench.cloud.birth(HERE)
    assert birth is not None
    assert birth.again


async def test_a_command_is_signed_and_answered(bench: Bench):
    site = bench.site()
    async with bench.up(), bench.box() as box:
        answer = await answer_of(site.command(LimitCharger("place-0", 10.0), actor="j.jansen", role="operator"))
        assert isinstance(answer, CommandAnswer)
        assert answer.code is AnswerCode.DONE
        (command,) = box.heard.commands
        assert (command.controller, command.site, command.actor, command.role) == ("a", "depot", "j.jansen", "operator")
        refused = await answer_of(site.command(LimitCharger("place-0", 10.0), actor="j.jansen", role="driver"))
        assert refused == LinkError("the role driver is not enough for limit_charger")
        assert len(box.heard.commands) == 1


async def test_row_12_nobody_answers_for_another(bench: Bench):
    async with bench.up(), bench.box(answers=False) as box, bench.box(OTHER) as other:
        future = bench.site().command(Pause("place-0"), actor="j.jansen", role="driver")
        async with asyncio.timeout(PATIENCE_S):
            await box.until(lambda heard: bool(heard.commands))
        forged = CommandAnswer(other.head(), box.heard.commands[0].id, AnswerCode.DONE)
        assert await other.say(forged) == Published()
        await until(lambda: any(isinstance(a.message, CommandAnswer) for a in bench.shelf.kept))
        assert not future.done()
        bench.cloud._expire_answers(epoch_s() + 61.0)
        assert await answer_of(future) == LinkError("no answer came before the command expired")


async def test_row_79_a_controller_that_reads_other_plans_is_sent_none(bench: Bench):
    site = bench.site()
    async with bench.up(), bench.box(schemas={"plan": "2.0", "targets": "1.4"}) as box:
        await until(lambda: bench.cloud.birth(HERE) is not None)
        assert site.send_plan(plan(1)) == LinkError("the controller reads the plan of schema 2.0, not 1.x")
        assert site.send_targets(targets(1)) is None, "another minor version is readable"
        async with asyncio.timeout(PATIENCE_S):
            await box.until(lambda heard: bool(heard.targets))
    assert box.heard.plans == []


async def test_a_line_paid_by_the_megabyte_gets_plans_less_often_but_gets_the_newest(bench: Bench):
    clock = [0.0]
    bench.cloud._now_s = lambda: clock[0]
    site = bench.site()
    async with bench.up(), bench.box(mode="low_data") as box:
        await until(lambda: bench.cloud.birth(HERE) is not None)
        for sequence in (1, 2, 3):
            site.send_plan(plan(sequence))
            if sequence == 1:
                await until(lambda: not bench.cloud._newest)
            clock[0] += 800.0
        clock[0] = 1900.0
        async with asyncio.timeout(PATIENCE_S):
            await box.until(lambda heard: len(heard.plans) >= 2)
    assert [one.sequence for _, one in box.heard.plans] == [1, 3]
    for _, one in box.heard.plans:
        assert one.lease_until_epoch_s == pytest.approx(one.issued_epoch_s + 2700.0), "it lives until the next"


async def test_row_15_rubbish_from_one_controller_stops_nobody(bench: Bench):
    topic = HERE.topic(Kind.LIVE)
    async with bench.up(), bench.box(OTHER) as other, linked(bench.mosquitto.broker("a")) as a:
        for payload in (
            b"",
            b"{",
            b"\xff",
            b"[" * 100_000,
            b'{"head":{"schema":"1.0"}}',
            write(SAMPLES["live changes"]),
        ):
            assert await a.link.publish(Message(topic, payload)) == Published()
        assert (
            await a.link.publish(Message("sw/1/a/telemetry/acme/yard/live", write(SAMPLES["live whole"])))
            == Published()
        )
        await other.tell(now("yard"))
        await until(lambda: any(arrival.address == OTHER and arrival.status for arrival in bench.shelf.kept))
        counts = bench.cloud.ingest.counts
        assert (counts["refused_malformed"], counts["refused_wrong_place"], counts["useless"]) == (5, 1, 1)
        assert all(arrival.address == OTHER for arrival in bench.shelf.kept)
