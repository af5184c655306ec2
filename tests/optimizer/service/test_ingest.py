"""What controllers say is believed, ordered and answered, or refused and counted; no connection is needed for that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from interfaces.domain.live import LiveStatus
from interfaces.domain.wire import Birth, Event, Message, State, write
from interfaces.domain.wire_examples import EPOCH_S, examples, later, status
from interfaces.domain.wire_head import Head, WireCode
from interfaces.domain.wire_live import Known, Live, live_of
from interfaces.domain.wire_topics import Address, Kind
from optimizer.service.ingest import (
    ASK_S,
    BURST,
    GAP_S,
    MANY,
    RATE_PER_S,
    Arrival,
    Ingest,
    Refused,
    StoreError,
    ranges_of,
)

HERE = Address("acme", "depot", "depot-7")
OTHER = Address("acme", "yard", "yard-1")
SAMPLES = examples()
SESSION = 1_793_000_000


class Shelf:
    """A store in memory that knows two controllers."""

    def __init__(self) -> None:
        self.kept: list[Arrival] = []

    def knows(self, address: Address) -> bool:
        return address in {HERE, OTHER}

    def add(self, arrivals: Sequence[Arrival]) -> StoreError | None:
        self.kept.extend(arrivals)
        return None


class Site:
    """A controller as the contract describes it: sessions, numbers, whole statuses and changes."""

    def __init__(self, session: int = SESSION) -> None:
        self.session, self.seq = session, -1
        self.known: Known | None = None
        self.status = status()

    def head(self, *, historical: bool = False) -> Head:
        self.seq += 1
        return Head(self.session, self.seq, EPOCH_S + self.seq, historical=historical)

    def birth(self, **more: Any) -> Birth:
        birth = SAMPLES["birth"]
        assert isinstance(birth, Birth)
        self.known = None
        return replace(birth, head=self.head(), **more)

    def live(self, *, historical: bool = False) -> Live:
        self.status = later(self.status)
        live, self.known = live_of(self.head(historical=historical), self.status, self.known)
        return live

    def event(self) -> Event:
        event = SAMPLES["event"]
        assert isinstance(event, Event)
        return replace(event, head=self.head())


def head_of(arrival: Arrival) -> Head:
    head = arrival.message.head  # type: ignore[union-attr]
    assert isinstance(head, Head)
    return head


class Cloud:
    """The ingest with a clock of its own; ``hear`` says what came of a message."""

    def __init__(self) -> None:
        self.store = Shelf()
        self.ingest = Ingest(self.store)
        self.now_s = 0.0

    def hear(self, message: Message, address: Address = HERE, after_s: float = 0.0) -> Arrival | Refused | None:
        self.now_s += after_s
        topic = address.topic(Kind(message.kind))
        return self.ingest.take(topic, write(message), self.now_s, EPOCH_S + self.now_s)

    def keep(self) -> None:
        batch = self.ingest.batch()
        assert self.store.add(batch) is None
        self.ingest.stored(len(batch))

    def asked(self) -> list[str]:
        return [why for _, _, why in self.ingest.rebirths(self.now_s)]

    def statuses(self) -> list[LiveStatus]:
        self.keep()
        return [arrival.status for arrival in self.store.kept if arrival.status is not None]


def test_what_a_site_says_is_kept_whole_though_only_changes_came():
    cloud, site = Cloud(), Site()
    cloud.hear(site.birth())
    told = []
    for _ in range(5):
        cloud.hear(site.live(), after_s=10.0)
        assert site.known is not None
        told.append(site.known.status)
    assert cloud.statuses() == told
    assert cloud.asked() == []


@pytest.mark.parametrize(
    ("topic", "code"),
    [
        ("sw/1/depot-7/plan/acme/depot/plan", "unknown_topic"),
        ("sw/1/depot-7/telemetry/acme/depot/nonsense", "unknown_topic"),
        ("sw/1/depot-7/telemetry/other/depot/live", "wrong_place"),
        ("sw/1/depot-7/telemetry/acme/yard/live", "wrong_place"),
        ("sw/1/yard-1/telemetry/acme/depot/live", "wrong_place"),
    ],
)
def test_row_12_nobody_speaks_for_another_site(topic, code):
    cloud = Cloud()
    found = cloud.ingest.take(topic, write(SAMPLES["live whole"]), 0.0, EPOCH_S)
    assert isinstance(found, Refused)
    assert found.refusal.code == code
    assert cloud.ingest.counts[f"refused_{code}"] == 1


@pytest.mark.parametrize("name", ["live whole", "birth"])
def test_row_12_a_status_of_another_site_in_ones_own_topic_is_refused(name):
    cloud = Cloud()
    found = cloud.hear(SAMPLES[name], OTHER)
    assert isinstance(found, Refused)
    assert found.refusal.code is WireCode.WRONG_PLACE
    assert cloud.ingest.batch() == ()


def test_row_79_a_controller_of_another_major_version_is_refused_and_counted():
    cloud = Cloud()
    payload = write(SAMPLES["live whole"]).replace(b'"schema":"1.0"', b'"schema":"2.0"')
    found = cloud.ingest.take(HERE.topic(Kind.LIVE), payload, 0.0, EPOCH_S)
    assert isinstance(found, Refused)
    assert found.refusal.local
    assert cloud.ingest.counts["refused_unknown_major"] == 1


def test_row_24_what_comes_twice_is_kept_once_and_receipted_again():
    cloud, site = Cloud(), Site()
    messages: list[Message] = [site.birth(), site.live(), site.event()]
    for message in messages:
        assert isinstance(cloud.hear(message), Arrival)
        assert cloud.hear(message) is None
    cloud.keep()
    assert len(cloud.store.kept) == 3
    cloud.ingest.receipts(0.0, EPOCH_S)
    assert cloud.hear(messages[1]) is None
    cloud.keep()
    ((_, receipt),) = cloud.ingest.receipts(120.0, EPOCH_S)
    assert receipt.stored == ((SESSION, 1, 1),)
    assert len(cloud.store.kept) == 3


def test_row_24_messages_of_two_topics_that_overtake_each_other_are_no_gap():
    cloud, site = Cloud(), Site()
    birth, live, event, second = site.birth(), site.live(), site.event(), site.live()
    for message in (live, birth, second, event):
        cloud.hear(message, after_s=0.5)
    assert cloud.asked() == []
    assert cloud.ingest.hearings[HERE].next_seq == 4
    assert cloud.ingest.hearings[HERE].birth == birth
    cloud.hear(site.event(), after_s=20.0)
    assert cloud.asked() == []
    assert len(cloud.statuses()) == 2
    assert [head_of(a).seq for a in cloud.store.kept] == [1, 0, 3, 2, 4]


def test_a_message_that_is_missing_is_asked_for_once_it_is_late():
    cloud, site = Cloud(), Site()
    cloud.hear(site.birth())
    site.event()  # lost
    for _ in range(2):
        cloud.hear(site.event(), after_s=GAP_S * 0.6)
        assert cloud.asked() == []
    cloud.hear(site.event(), after_s=GAP_S)
    assert cloud.asked() == ["message 1 is missing"]
    cloud.hear(site.birth(again=True), after_s=1.0)
    cloud.hear(site.live(), after_s=10.0)
    assert cloud.asked() == []
    assert cloud.ingest.hearings[HERE].gap_since_s is None


def test_changes_of_an_unknown_status_are_asked_for_at_once_and_not_receipted():
    cloud, site = Cloud(), Site()
    cloud.hear(site.birth())
    site.live()  # lost
    twice = site.live()
    assert cloud.hear(twice) is None
    assert cloud.hear(twice) is None
    assert len(cloud.asked()) == 1
    cloud.keep()
    ((_, receipt),) = cloud.ingest.receipts(120.0, EPOCH_S)
    assert receipt.stored == ((SESSION, 0, 0),)


def test_who_does_not_answer_is_asked_less_and_less():
    cloud, site = Cloud(), Site()
    cloud.hear(site.birth())
    site.live()
    times = []
    for _ in range(2000):
        cloud.hear(site.live(), after_s=10.0)
        times += [cloud.now_s] * len(cloud.asked())
    pauses = [b - a for a, b in pairwise(times)]
    assert pauses[:4] == [ASK_S, 2 * ASK_S, 4 * ASK_S, 8 * ASK_S]
    assert set(pauses[7:]) == {640.0}


def test_after_a_restart_of_the_cloud_side_a_birth_is_asked_for():
    site = Site()
    site.birth()
    site.live()
    cloud = Cloud()  # heard nothing so far
    cloud.hear(site.live())
    assert len(cloud.asked()) == 1
    cloud.hear(site.birth(again=True), after_s=0.1)
    cloud.hear(site.live())
    cloud.hear(site.live(), after_s=20.0)
    assert cloud.asked() == []
    assert len(cloud.statuses()) == 2


def test_a_backlog_comes_beside_the_live_messages_of_a_new_session():
    """Statuses of an outage: numbered in the old session, told after the birth of the new one, live first."""
    cloud, old = Cloud(), Site()
    cloud.hear(old.birth())
    cloud.hear(old.live())
    kept = [old.live(historical=True) for _ in range(4)]
    new = Site(SESSION + 3600)
    new.status = old.status
    cloud.hear(new.birth(), after_s=3600.0)
    cloud.hear(new.live())
    for late in kept:
        cloud.hear(late)
        cloud.hear(new.live(), after_s=0.2)
    assert cloud.asked() == []
    found = cloud.statuses()
    assert len(found) == 1 + 1 + 4 + 4
    late_ones = [a.status.epoch_s for a in cloud.store.kept if isinstance(a.message, Live) and a.message.head.historical
                 if a.status is not None]  # fmt: skip
    assert late_ones == [EPOCH_S + 20.0 + 10.0 * k for k in range(4)]


def test_late_messages_of_the_present_session_close_its_gap():
    """What was said before the line was open is numbered in the session and sent behind the first live messages."""
    cloud, site = Cloud(), Site()
    birth = site.birth()
    early = [replace(site.event(), head=replace(site.event().head, seq=k, historical=True)) for k in (1, 2)]
    site.seq = 2
    messages: list[Message] = [birth, site.live(), *early]
    for message in messages:
        cloud.hear(message, after_s=1.0)
    for _ in range(3):
        cloud.hear(site.live(), after_s=10.0)
    assert cloud.asked() == []
    assert cloud.ingest.hearings[HERE].next_seq == 7


def test_row_16_a_flood_from_one_controller_is_dropped_unread_and_nobody_else_waits(figure):
    cloud, site = Cloud(), Site()
    cloud.hear(site.birth(), HERE)
    rubbish, topic = b"x" * 200_000, HERE.topic(Kind.LIVE)
    for k in range(20_000):
        found = cloud.ingest.take(topic, rubbish, k / 10_000, EPOCH_S)
        assert isinstance(found, Refused)
    looked_at = cloud.ingest.counts["refused_malformed"]
    assert 10 <= looked_at <= (BURST + 2 * RATE_PER_S) / 201
    assert cloud.ingest.counts["refused_too_many"] == 20_000 - looked_at
    figure("looked at of 20000 in two seconds", looked_at, "messages")
    assert isinstance(cloud.hear(SAMPLES["event"], OTHER), Arrival)
    assert isinstance(cloud.hear(site.live(), HERE, after_s=30.0), Arrival), "forgiven when it is over"


def test_a_status_from_a_clock_that_is_years_ahead_is_kept_but_plans_nothing():
    cloud, site = Cloud(), Site()
    cloud.hear(site.birth())
    wrong, right = Site(SESSION + 1), Site(SESSION + 2)
    wrong.status = replace(site.status, epoch_s=EPOCH_S + 86_400.0 * 365 * 70)
    heard = cloud.hear(wrong.live())
    assert isinstance(heard, Arrival)
    assert heard.status is None
    assert cloud.ingest.counts["ahead"] == 1
    cloud.hear(right.birth())
    cloud.hear(right.live())
    assert [status.epoch_s for status in cloud.statuses()] == [right.status.epoch_s]
    assert heard in cloud.store.kept, "and receipted, or it would come for ever"


def test_while_the_store_is_away_what_waits_is_bounded_in_bytes_and_repetitions(monkeypatch):
    cloud, site = Cloud(), Site()
    cloud.hear(site.birth())
    event = site.event()
    monkeypatch.setattr(
        "optimizer.service.ingest.MAX_WAITING_BYTES", 1 + sum(a.size_bytes for a in cloud.ingest.batch())
    )
    assert not cloud.ingest.full
    assert cloud.hear(event) is not None
    assert cloud.ingest.full
    monkeypatch.setattr("optimizer.service.ingest.MAX_WAITING", 3)
    for _ in range(5):
        assert cloud.hear(event) is None
    assert len(cloud.ingest._repeated) == 3
    cloud.keep()
    assert not cloud.ingest.full
    assert cloud.hear(event) is None
    assert len(cloud.ingest._repeated) == 1


def test_a_backlog_is_no_flood():
    cloud, site = Cloud(), Site()
    cloud.hear(site.birth())
    for _ in range(3000):
        assert isinstance(cloud.hear(site.event(), after_s=0.012), Arrival)


def test_row_17_a_will_of_an_earlier_connection_does_not_make_a_site_offline():
    cloud, site = Cloud(), Site()
    cloud.hear(site.birth())
    cloud.hear(State(SESSION, online=True, at_epoch_s=EPOCH_S))
    cloud.hear(State(SESSION - 100, online=False, at_epoch_s=EPOCH_S))
    assert cloud.ingest.online == {HERE: True}
    cloud.hear(State(SESSION, online=False, at_epoch_s=EPOCH_S))
    assert cloud.ingest.online == {HERE: False}
    assert cloud.hear(site.live()) is not None, "what it says counts, whatever somebody says of it"


def test_receipts_wait_two_minutes_unless_much_waits_for_them():
    cloud, site = Cloud(), Site()
    cloud.hear(site.birth())
    cloud.keep()
    assert len(cloud.ingest.receipts(0.0, EPOCH_S)) == 1
    cloud.hear(site.live(), after_s=10.0)
    assert cloud.ingest.receipts(10.0, EPOCH_S) == ()
    cloud.keep()
    assert cloud.ingest.receipts(10.0, EPOCH_S) == ()
    ((_, receipt),) = cloud.ingest.receipts(120.0, EPOCH_S)
    assert receipt.stored == ((SESSION, 1, 1),)
    for _ in range(MANY):
        cloud.hear(site.event())
    cloud.keep()
    ((_, receipt),) = cloud.ingest.receipts(121.0, EPOCH_S)
    assert receipt.stored == ((SESSION, 2, 1 + MANY),)


def test_nothing_is_receipted_before_the_store_has_it():
    cloud, site = Cloud(), Site()
    for message in (site.birth(), site.live(), site.live()):
        cloud.hear(message)
    assert cloud.ingest.receipts(100.0, EPOCH_S) == ()
    cloud.ingest.stored(2)
    ((_, receipt),) = cloud.ingest.receipts(100.0, EPOCH_S)
    assert receipt.stored == ((SESSION, 0, 1),)
    assert len(cloud.ingest.batch()) == 1


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 30)), max_size=60))
@settings(deadline=None)
def test_ranges_name_exactly_what_was_stored(names):
    ranges = ranges_of(names)
    named = [(session, seq) for session, first, last in ranges for seq in range(first, last + 1)]
    assert named == sorted(set(names))
    for (a, _, last), (b, first, _) in pairwise(ranges):
        assert a < b or first > last + 1


@given(st.lists(st.sampled_from(["live", "event", "lose", "twice", "swap", "restart"]), max_size=60), st.randoms())
@settings(max_examples=150, deadline=None)
def test_whatever_gets_lost_the_cloud_side_is_never_wrong(steps, rng):
    """Every status it keeps is one that the site told, and after a birth and a whole status it follows again."""
    cloud, site = Cloud(), Site()
    told: dict[float, LiveStatus] = {}
    queue: list[Message] = [site.birth()]
    for step in steps:
        message: Message = site.event() if step == "event" else site.live()
        if isinstance(message, Live):
            assert site.known is not None
            told[site.known.status.epoch_s] = site.known.status
        if step != "lose":
            queue.append(message)
        if step == "twice":
            queue.append(rng.choice(queue))
        if step == "swap" and len(queue) > 1:
            queue[-1], queue[-2] = queue[-2], queue[-1]
        if step == "restart":
            site.session, site.seq = site.session + 1, -1
            queue.append(site.birth())
    for message in queue:
        cloud.hear(message, after_s=1.0)
    if cloud.asked() or steps:
        cloud.hear(site.birth(again=True), after_s=20.0)
        cloud.hear(site.live(), after_s=1.0)
        assert site.known is not None
        told[site.known.status.epoch_s] = site.known.status
        assert cloud.statuses()[-1] == site.known.status
    for found in cloud.statuses():
        assert told[found.epoch_s] == found
