"""A window of the journal: held while the ring goes on, sent piece by piece, gone on with by the next process."""

from __future__ import annotations

import base64
import hashlib
import os
import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from controller.service import journal_window
from controller.service.gateway import JournalThread
from controller.service.journal_ring import PINNED, JournalRing, KeepWindow, RingBounds, segments
from controller.service.journal_window import LONGEST_S, MOST_SENT, JournalWindow
from controller.service.kept import Kept
from controller.service.messages import OUT, Entry
from controller.service.replay import replay
from interfaces.domain.codec import pack, unpack_any
from interfaces.domain.wire_commands import AnswerCode, SendJournal
from interfaces.domain.wire_head import Head
from interfaces.domain.wire_journal import PIECE_BYTES, JournalPiece
from tests.controller.service.kit import EPOCH_S, Bench
from tests.controller.service.test_journal import HELLO, WIDE

NAME, OTHER = "c0ffee00-0001", "c0ffee00-0002"
NOW = 1_795_415_500.0
"""2026-11-23 06:31:40 UTC."""
FIRST, SECOND = "00000001-20261123T060000Z.swj", "00000002-20261123T062000Z.pinned.swj"
SIZES = {FIRST: 2 * PIECE_BYTES + 17, SECOND: PIECE_BYTES}
HALF_HOUR = SendJournal(NOW - 1800, NOW - 1)


@dataclass
class Sender:
    """A window's sender over a folder of segments, and what it handed out."""

    folder: Path
    pieces: dict[int, JournalPiece] = field(default_factory=dict)
    seq: int = 0

    def __post_init__(self) -> None:
        self.ring = JournalRing(self.folder / "journal", RingBounds(64 << 20, 3600.0))
        self.again()

    def again(self) -> Sender:
        """As after a kill."""
        self.window = JournalWindow(self.held, Kept(self.folder / "state.db"), self.ring.hold)
        return self

    @property
    def held(self) -> Path:
        return self.folder / "journal" / "sending"

    def begin(self, order: SendJournal = HALF_HOUR, name: str = NAME, now_s: float = NOW) -> tuple[AnswerCode, str]:
        return self.window.begin(name, order, now_s)

    def send(self, now_s: float = 0.0, epoch_s: float | None = NOW) -> tuple[int, Head] | None:
        """Send one piece, at a moment of the monotonic clock."""
        found = self.window.next(now_s, epoch_s, 270.0)
        if found is None:
            return None
        number, piece = found
        self.pieces[number] = piece
        self.seq += 1
        head = Head(7, self.seq, NOW)
        self.window.sending(number, head, now_s)
        return number, head

    def send_all(self, now_s: float = 0.0) -> list[int]:
        found = []
        while (sent := self.send(now_s)) is not None:
            found.append(sent[0])
        return found

    def put_together(self) -> dict[str, bytes]:
        whole: dict[str, bytes] = {}
        for number in sorted(self.pieces):
            piece = self.pieces[number]
            before = whole.setdefault(piece.segment, b"")
            assert len(before) == piece.offset
            whole[piece.segment] = before + base64.b64decode(piece.data)
        return whole


@pytest.fixture
def sender(tmp_path: Path) -> Sender:
    (tmp_path / "journal").mkdir()
    for name, size in SIZES.items():
        (tmp_path / "journal" / name).write_bytes(random.Random(name).randbytes(size))
    return Sender(tmp_path)


# -- judged ------------------------------------------------------------------------------------------------------------


def test_the_answer_says_what_is_sent(sender):
    code, text = sender.begin()
    assert code is AnswerCode.DONE
    assert text == f"2 journal files with {sum(SIZES.values())} bytes are sent in 4 pieces"
    assert sender.begin() == (code, text), "a command that comes again is answered again"


def test_what_lies_before_the_oldest_segment_is_told_as_gone(sender):
    code, text = sender.begin(SendJournal(NOW - 86_400, NOW - 1))
    assert code is AnswerCode.DONE
    assert text.endswith("; nothing before 2026-11-23 06:00:00 UTC is left")


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (SendJournal(NOW - 90_000, NOW - 86_400), "no journal of that time is left here"),
        (SendJournal(NOW - 60, NOW + 60), "the window has not ended yet"),
        (SendJournal(NOW - 60, NOW - 61), "the window ends before it begins"),
    ],
)
def test_why_no_window_is_sent(sender, order, words):
    assert sender.begin(order) == (AnswerCode.NOT_POSSIBLE, words)
    assert not sender.held.exists(), "and nothing is held"
    assert sender.send() is None


def test_a_window_that_is_too_large_is_refused_with_its_size(sender, monkeypatch):
    monkeypatch.setattr(journal_window, "MOST_WINDOW_BYTES", sum(SIZES.values()) - 1)
    code, text = sender.begin()
    assert code is AnswerCode.NOT_POSSIBLE
    assert text.startswith(f"too large: 2 journal files with {sum(SIZES.values())} bytes; at most")
    assert not sender.held.exists()
    monkeypatch.setattr(journal_window, "MOST_WINDOW_BYTES", sum(SIZES.values()))
    assert sender.begin()[0] is AnswerCode.DONE


def test_there_is_one_window_at_a_time_also_after_a_restart(sender):
    sender.begin()
    for box in (sender, sender.again()):
        code, text = box.begin(name=OTHER)
        assert code is AnswerCode.NOT_POSSIBLE
        assert text == f"one window at a time: that of {NAME} is on its way, 0 of 4 pieces have arrived"


# -- sent --------------------------------------------------------------------------------------------------------------


def test_pieces_make_the_segments_although_the_ring_has_deleted_them(sender):
    wanted = {name.replace(PINNED, ""): (sender.folder / "journal" / name).read_bytes() for name in SIZES}
    sender.begin()
    for path in segments(sender.folder / "journal"):
        path.unlink()
    assert sender.send_all() == [0, 1, 2, 3]
    assert sender.put_together() == wanted
    for piece in sender.pieces.values():
        whole = wanted[piece.segment]
        assert (piece.window, piece.segments, piece.total) == (NAME, 2, len(whole))
        assert piece.digest == hashlib.sha256(whole).hexdigest()


def test_a_window_is_held_until_every_piece_has_its_receipt_and_no_longer(sender):
    sender.begin()
    heads = [head for _ in range(4) if (sent := sender.send()) for head in [sent[1]]]
    sender.window.receipt(((7, heads[0].seq, heads[2].seq), (8, 0, 2**53)))
    assert sender.send() is None
    assert len(list(sender.held.iterdir())) == 2
    sender.window.receipt(((7, heads[3].seq, heads[3].seq),))
    assert sender.send() is None
    assert not sender.held.exists()
    assert sender.window.rests
    assert sender.again().begin(name=OTHER)[0] is AnswerCode.DONE


def test_a_killed_process_is_gone_on_with_from_the_first_piece_without_a_receipt(sender):
    sender.begin()
    heads = [sender.send()[1] for _ in range(4)]
    sender.window.receipt(((7, heads[0].seq, heads[1].seq), (7, heads[3].seq, heads[3].seq)))
    sender.send()
    assert sender.again().send_all() == [2, 3]


def test_a_piece_the_broker_did_not_take_is_due_at_once_and_one_without_a_receipt_later(sender):
    sender.begin()
    _, head = sender.send()
    sender.window.not_sent(head)
    assert sender.send_all() == [0, 1, 2, 3]
    assert sender.send_all(now_s=270.0) == []
    assert sender.send_all(now_s=270.1) == [0, 1, 2, 3]


def test_so_many_pieces_are_on_the_way_at_most(sender, monkeypatch):
    monkeypatch.setattr(journal_window, "MOST_SENT", 3)
    sender.begin()
    assert sender.send_all() == [0, 1, 2]
    assert MOST_SENT > 25, "the cloud side confirms every 25 at once"


def test_a_window_is_given_up_when_its_time_is_over_by_a_clock_that_is_trusted(sender, caplog):
    sender.begin()
    late = NOW + LONGEST_S
    assert sender.send(epoch_s=late - 1) is not None
    assert sender.send(epoch_s=None) is not None
    assert sender.window.next(0.0, late, None) is None, "also while none may go"
    assert not sender.held.exists()
    assert "its time is over, 0 of 4 pieces have arrived" in caplog.text
    assert sender.again().send() is None


def test_the_digest_is_that_of_what_is_sent_although_the_segment_grows(sender):
    content = random.Random(9).randbytes(3 << 20)
    path = sender.folder / "growing"
    path.write_bytes(content)
    for size in (1, 1 << 20, (1 << 20) + 1, len(content)):
        assert journal_window._digest(path, size) == hashlib.sha256(content[:size]).hexdigest()


def test_a_segment_that_cannot_be_read_any_more_ends_the_window(sender, caplog):
    sender.begin()
    os.truncate(sender.held / FIRST, PIECE_BYTES)
    sender.send_all()
    assert f"{FIRST} ends at {PIECE_BYTES}" in caplog.text
    assert sender.window.rests


def test_what_a_killed_process_held_and_had_not_noted_is_let_go(sender):
    sender.held.mkdir()
    (sender.held / FIRST).hardlink_to(sender.folder / "journal" / FIRST)
    assert sender.send() is None
    assert not sender.held.exists()


# -- the ring ----------------------------------------------------------------------------------------------------------


def test_the_segment_that_is_being_written_is_sent_as_far_as_it_was_and_replays(tmp_path):
    bench = Bench()
    thread = JournalThread(JournalRing(tmp_path / "journal", WIDE))
    window = JournalWindow(tmp_path / "journal" / "sending", Kept(tmp_path / "state.db"), thread.hold)
    thread.put(HELLO, pack(HELLO))
    scans = fed(thread, bench)
    code, _ = window.begin(NAME, SendJournal(EPOCH_S - 10, EPOCH_S + 3), EPOCH_S + 3.5)
    assert code is AnswerCode.DONE
    assert scans % 10, "the last scans were still gathered in memory"
    fed(thread, bench)
    thread.close()
    sent = Sender(tmp_path / "far")
    sent.window = window
    assert sent.send(epoch_s=None) is not None
    ((name, content),) = sent.put_together().items()
    arrived = tmp_path / name
    arrived.write_bytes(content)
    assert hashlib.sha256(content).hexdigest() == sent.pieces[0].digest
    outcome = replay([arrived])
    assert (outcome.scans, outcome.mismatches) == (scans, 0)


def fed(thread: JournalThread, bench: Bench) -> int:
    """Three seconds and a bit; how many scans those are."""
    bench.advance(3.4)
    frames = bench.frames()
    for frame in frames:
        thread.put(unpack_any(frame, OUT), frame)
    for group in bench.out._groups:
        group.frames.clear()
    return sum(isinstance(unpack_any(frame, OUT), Entry) for frame in frames)


def test_a_disk_that_hangs_is_answered_and_nobody_holds_anything_later(tmp_path, monkeypatch):
    monkeypatch.setattr("controller.service.gateway.HOLD_S", 0.0)
    ring = JournalRing(tmp_path, WIDE)
    thread = JournalThread(ring)
    thread.close()  # as good as one that hangs: it takes nothing more
    with pytest.raises(OSError, match="its disk does not answer"):
        thread.hold(KeepWindow(0.0, 1.0), tmp_path / "held")


def test_a_copy_that_somebody_made_beside_a_segment_is_told_and_nothing_is_held(sender):
    (sender.folder / "journal" / FIRST.replace(".swj", ".copy.swj")).write_bytes(b"x")
    with pytest.raises(FileExistsError):
        sender.begin(SendJournal(NOW - 3600, NOW - 1))
    assert not sender.held.exists()
    assert sender.window.rests


def test_only_segments_of_the_window_are_held(sender):
    assert sender.begin(SendJournal(NOW - 1800, NOW - 710))[0] is AnswerCode.DONE
    assert [path.name for path in sender.held.iterdir()] == [FIRST]
