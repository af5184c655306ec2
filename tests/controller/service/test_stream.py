"""The stream between the processes: never blocks, is bounded, starts anew after a gap; what comes in is checked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.service.inbox import PER_SCAN, QUEUE, Inbox
from controller.service.messages import DeclaredOff, OperatorOrder, SiteText, Verdict
from controller.service.out_stream import HIGH_WATER, MAX_GROUPS, OutStream
from interfaces.domain.codec import pack
from interfaces.domain.image import Fire
from interfaces.domain.targets import Target, Targets
from interfaces.domain.units import MISSING
from tests.controller.service.test_loop import plan


class Transport:
    """What a socket's transport shows of itself; ``taken`` is what its reader got."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.stuck = False
        self.waiting = 0
        self.aborted = False
        self.closed = False

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def write(self, frame: bytes) -> None:
        self.taken.append(frame)
        self.waiting += len(frame) if self.stuck else 0

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None:
        self.closed = True


def group(out: OutStream, name: int, scans: int) -> None:
    out.begin_group([b"G%d" % name])
    for scan in range(scans):
        out.put(b"S%d.%d" % (name, scan), is_record=True)


def test_without_a_reader_the_newest_groups_are_kept_and_the_lost_scans_counted():
    out = OutStream(b"hello")
    for name in range(MAX_GROUPS + 3):
        group(out, name, 50)
    assert out.dropped == 150
    reader = Transport()
    out.attach(reader)  # type: ignore[arg-type]
    assert reader.taken[:2] == [b"hello", b"G3"]
    assert len(reader.taken) == 1 + MAX_GROUPS * 51


def test_a_reader_that_keeps_up_gets_everything_in_order():
    out, reader = OutStream(b"hello"), Transport()
    out.attach(reader)  # type: ignore[arg-type]
    for name in range(20):
        group(out, name, 3)
    assert out.dropped == 0
    assert reader.taken[1:6] == [b"G0", b"S0.0", b"S0.1", b"S0.2", b"G1"]
    assert len(reader.taken) == 1 + 20 * 4


def test_a_reader_that_does_not_read_costs_bounded_memory_and_no_time():
    out, reader = OutStream(b"hello"), Transport()
    reader.stuck = True
    out.attach(reader)  # type: ignore[arg-type]
    big = b"x" * 100_000
    for name in range(200):
        out.begin_group([b"G%d" % name])
        for _ in range(50):
            out.put(big, is_record=True)
    assert reader.waiting <= HIGH_WATER + 100_000
    assert out._size() <= 7 * 50 * 100_000 + 1000
    assert out.dropped > 9000
    reader.stuck, reader.waiting, before = False, 0, len(reader.taken)
    out.flush()
    after = reader.taken[before:]
    assert after[0].startswith(b"G"), "what follows a gap can be read on its own"


def test_after_a_reader_is_gone_the_next_one_begins_with_a_group():
    out, reader = OutStream(b"hello"), Transport()
    out.attach(reader)  # type: ignore[arg-type]
    group(out, 0, 5)
    out.detach(reader)  # type: ignore[arg-type]
    assert out.wants_group
    group(out, 1, 2)
    again = Transport()
    out.attach(again)  # type: ignore[arg-type]
    assert again.taken == [b"hello", b"G1", b"S1.0", b"S1.1"]


def test_a_second_reader_replaces_the_first():
    out, first, second = OutStream(b"hello"), Transport(), Transport()
    out.attach(first)  # type: ignore[arg-type]
    out.attach(second)  # type: ignore[arg-type]
    assert first.aborted
    out.detach(first)  # type: ignore[arg-type]
    assert out.has_reader


def test_the_last_frames_are_handed_over_at_the_end():
    out, reader = OutStream(b"hello"), Transport()
    out.attach(reader)  # type: ignore[arg-type]
    reader.stuck, reader.waiting = True, HIGH_WATER
    group(out, 0, 3)
    out.finish()
    assert reader.taken == [b"hello", b"G0", b"S0.0", b"S0.1", b"S0.2"]
    assert reader.closed


# -- in ---------------------------------------------------------------------------------------------------------------


def refused(message) -> str:
    found = Inbox("garage-norella").take(pack(message))
    return found.reason if isinstance(found, Verdict) else ""


TARGETS = Targets(1, 1e9, (Target("place-1", 2e9, 10_000),), 1e9, 3600, np.array([0.2]))


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (plan(1), ""),
        (plan(1, site="elsewhere"), "the plan is for site elsewhere"),
        (plan(1, step_s=0), "the step is not positive"),
        (plan(1, setpoint_ma=np.zeros((2, 3), dtype=np.int64)), "do not have one column per asset"),
        (TARGETS, ""),
        (replace(TARGETS, price_step_s=0), "positive step"),
        (replace(TARGETS, price_eur_per_kwh=np.zeros((2, 2))), "positive step"),
        (replace(TARGETS, price_eur_per_kwh=np.zeros(2001)), "2000 prices"),
        (replace(TARGETS, targets=(Target("a", 1.0, -1),)), "an energy is negative"),
        (OperatorOrder(MISSING, stop=False, fire=int(Fire.UNKNOWN)), ""),
        (OperatorOrder(-5, stop=False, fire=0), "out of range"),
        (OperatorOrder(5, stop=False, fire=7), "out of range"),
        (DeclaredOff(("place-1",)), ""),
        (DeclaredOff(("x" * 300_000,)), "larger than 262144 bytes"),
        (Verdict("x", accepted=True, reason=""), "'Verdict' is not expected here"),
    ],
)
def test_messages_are_checked_where_they_arrive(message, reason):
    assert reason in refused(message)
    assert bool(refused(message)) == bool(reason)


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_noise_is_refused_and_queues_nothing(noise):
    inbox = Inbox("s")
    assert inbox.take(noise) is not None
    assert not inbox.waiting


def test_the_queue_is_bounded_and_read_in_portions():
    inbox = Inbox("garage-norella")
    for number in range(QUEUE):
        assert not inbox.full
        inbox.take(pack(plan(number)))
    assert inbox.full
    assert [one.sequence for one in inbox.read()] == list(range(PER_SCAN))
    assert not inbox.full


def test_a_large_site_text_is_no_plain_message():
    assert "larger" in refused(DeclaredOff(("x" * 300_000,)))
    assert refused(SiteText("x" * 300_000)) == ""
