"""The journal: segments that replay bit for bit, a bounded ring, pinned faults, torn tails, disks that fail."""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.commands import replay as replay_command
from controller.core.scan import scan
from controller.service.gateway import JOURNAL_QUEUE, JournalThread
from controller.service.journal import (
    BLOCK_ENTRIES,
    FRAME,
    MAGIC,
    Damage,
    SegmentHeader,
    SegmentWriter,
    TornTail,
    decode_block,
    encode_block,
    read_segment,
)
from controller.service.journal_ring import JournalRing, RingBounds, segments
from controller.service.messages import OUT, Entry, Hello, Snapshot
from controller.service.replay import Outcome, files_of, replay
from interfaces.cli import main
from interfaces.domain.codec import pack, unpack_any
from interfaces.errors import UserError
from tests.controller.service.kit import Bench, garage_setup, garage_text
from tests.controller.service.test_loop import Breaking, plan

HELLO = Hello(7, "start-1", "0.1.0", 1e9, 0, "", ())
WIDE = RingBounds(64 << 20, 3600.0)


def keep(ring: JournalRing, bench: Bench, seconds: float) -> None:
    """Run the bench and give the ring everything it says."""
    for _ in range(max(1, round(seconds))):
        bench.advance(min(1.0, seconds))
        for frame in bench.frames():
            ring.take(unpack_any(frame, OUT), frame)
        for group in bench.out._groups:
            group.frames.clear()


def journal(folder: Path, bench: Bench, seconds: float, bounds: RingBounds = WIDE) -> list[Path]:
    ring = JournalRing(folder, bounds)
    ring.take(HELLO, pack(HELLO))
    keep(ring, bench, seconds)
    ring.close()
    return segments(folder)


class Idle(Breaking):
    """A few real scans, then the same outcome for ever: for tests that count segments and not amperes."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.outcome = None

    def __call__(self, *arguments):
        self.calls += 1
        if self.calls <= 20 or self.broken:
            self.outcome = super().__call__(*arguments)
        return self.outcome


# -- blocks and segments ----------------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=40) | st.sampled_from([b"aaaa", b"aaab", b""]), max_size=20))
@settings(max_examples=200, deadline=None)
def test_a_block_comes_back(entries):
    assert list(decode_block(encode_block(entries))) == entries


@given(st.binary(max_size=60))
@settings(max_examples=200, deadline=None)
def test_noise_in_a_block_is_a_value_error_or_bytes(noise):
    with contextlib.suppress(ValueError):
        assert all(isinstance(entry, bytes) for entry in decode_block(noise))


HEADER = SegmentHeader(1, "0.1.0", "s", "start-1", 1e9)


def written(path: Path, scans: int) -> list[bytes]:
    bench = Bench()
    bench.advance(scans * 0.2)
    writer = SegmentWriter(path, HEADER)
    frames = bench.frames()
    for frame in frames:
        if isinstance(unpack_any(frame, OUT), Entry):
            writer.entry(frame)
        else:
            writer.message(frame)
    writer.close()
    return frames


def test_a_segment_comes_back_message_by_message(tmp_path):
    frames = written(tmp_path / "j.swj", 23)
    found = list(read_segment(tmp_path / "j.swj"))
    assert found[0] == HEADER
    assert [pack(message) for message in found[1:]] == frames


def test_an_unchanging_site_costs_few_bytes(tmp_path):
    frames = written(tmp_path / "j.swj", 45)
    assert (tmp_path / "j.swj").stat().st_size < sum(map(len, frames)) / 4


def test_a_torn_tail_after_a_power_cut_costs_at_most_the_last_block(tmp_path):
    written(tmp_path / "j.swj", 40)
    whole = (tmp_path / "j.swj").read_bytes()
    scans = sum(isinstance(one, Entry) for one in read_segment(tmp_path / "j.swj"))
    lost = []
    for cut in range(1, 400, 7):
        (tmp_path / "cut.swj").write_bytes(whole[:-cut])
        found = list(read_segment(tmp_path / "cut.swj"))
        assert isinstance(found[-1], TornTail)
        lost.append(scans - sum(isinstance(one, Entry) for one in found))
    assert max(lost) <= BLOCK_ENTRIES


def frames_in(content: bytes) -> list[tuple[int, int]]:
    """(offset, size) of every frame of a whole segment."""
    found, at = [], len(MAGIC)
    while at < len(content):
        size = FRAME.size + FRAME.unpack_from(content, at)[1]
        found.append((at, size))
        at += size
    return found


def test_a_flipped_bit_costs_one_record_and_never_changes_a_scan(tmp_path):
    frames = written(tmp_path / "j.swj", 40)
    whole = bytearray((tmp_path / "j.swj").read_bytes())
    for place in range(len(MAGIC) + 200, len(whole), 97):
        spoiled = bytearray(whole)
        spoiled[place] ^= 4
        (tmp_path / "bad.swj").write_bytes(bytes(spoiled))
        found = list(read_segment(tmp_path / "bad.swj"))
        (hurt,) = [k for k, (at, size) in enumerate(frames_in(bytes(whole)), 1) if at <= place < at + size]
        (bad,) = [one for one in found if isinstance(one, Damage | TornTail)]
        if isinstance(bad, Damage):
            at, size = frames_in(bytes(whole))[hurt - 1]
            assert (bad.offset, bad.record, bad.size) == (at, hurt, size)
        else:
            assert hurt == len(frames_in(bytes(whole)))
        good = [pack(one) for one in found if not isinstance(one, Damage | TornTail | SegmentHeader)]
        assert len(frames) - BLOCK_ENTRIES <= len(good) < len(frames)
        rest = iter(frames)
        assert all(one in rest for one in good), "what is left is as it was written, in order"


# -- replay -----------------------------------------------------------------------------------------------------------


def test_recorded_scans_come_out_bit_for_bit(tmp_path):
    files = journal(tmp_path, Bench(), 40)
    outcome = replay(files)
    assert (outcome.scans, outcome.mismatches, outcome.gaps) == (200, 0, 0)


def test_failed_scans_plans_and_changed_parameters_replay_too(tmp_path):
    breaking = Breaking()
    bench = Bench(scan_function=breaking)
    ring = JournalRing(tmp_path, WIDE)
    ring.take(HELLO, pack(HELLO))
    keep(ring, bench, 20)
    bench.inbox.take(pack(plan(4)))
    keep(ring, bench, 5)
    breaking.broken = True
    keep(ring, bench, 1)
    breaking.broken = False
    bench.inbox.waiting.append(garage_setup(garage_text(**{"margin_a: [10, 10, 10]": "margin_a: [14, 14, 14]"})))
    keep(ring, bench, 15)
    bench.loop.leave()
    keep(ring, bench, 0)
    ring.close()
    files = segments(tmp_path)
    outcome = replay(files)
    assert len(files) == 2, "other parameters begin another segment"
    assert (outcome.mismatches, outcome.gaps) == (0, 0)
    assert outcome.scans == 206
    entries = [one for file in files for one in read_segment(file) if isinstance(one, Entry)]
    assert sum(one.error is not None for one in entries) == 6
    assert sum(bool(one.plan) for one in entries) > 90


def test_another_outcome_is_found_and_named(tmp_path, capsys):
    def other(image, state, params, now_s, epoch_s):
        commands, report, after = scan(image, state, params, now_s, epoch_s)
        if 100 <= state.scans < 103:
            commands = replace(commands, setpoint_ma=commands.setpoint_ma + 1000)
        return commands, report, after

    (file,) = journal(tmp_path, Bench(scan_function=other), 40)
    outcome = replay([file])
    assert outcome.mismatches == 3
    assert outcome.first is not None
    assert (outcome.first.number, outcome.first.differs) == (100, ("commands",))
    assert main(["controller", "replay", str(file), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["mismatches"] == 3
    assert told["first_mismatch"]["number"] == 100
    assert main(["controller", "replay", str(file)]) == 1
    assert "first: scan 100" in capsys.readouterr().out


def test_states_that_part_are_joined_again_at_the_next_recorded_state(tmp_path):
    calls = []

    def other(image, state, params, now_s, epoch_s):
        calls.append(now_s)
        commands, report, after = scan(image, state, params, now_s, epoch_s)
        if len(calls) == 100:
            after = replace(after, fire_latched=True)
        return commands, report, after

    outcome = replay(journal(tmp_path, Bench(scan_function=other), 90))
    assert 0 < outcome.mismatches < 350
    assert outcome.first.number == 99  # type: ignore[union-attr]
    assert outcome.scans == 450


def test_a_gap_is_told_and_replayed_around(tmp_path):
    bench = Bench()
    ring = JournalRing(tmp_path, WIDE)
    ring.take(HELLO, pack(HELLO))
    keep(ring, bench, 15)
    bench.advance(1.0)
    bench.out._groups.clear()
    bench.out.wants_group = True
    keep(ring, bench, 15)
    ring.close()
    assert len(segments(tmp_path)) == 2
    outcome = replay(files_of(tmp_path))
    assert (outcome.scans, outcome.mismatches, outcome.gaps) == (150, 0, 1)


def test_the_command_replays_a_file_and_a_folder(tmp_path, capsys):
    files = journal(tmp_path, Bench(), 10)
    for place in (files[0], tmp_path):
        assert main(["controller", "replay", str(place), "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {
            "scans": 50, "mismatches": 0, "first_mismatch": None, "gaps": 0, "torn_bytes": 0,
            "skipped_scans": 0, "damages": 0, "damaged_at": None,
        }  # fmt: skip


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", MAGIC, MAGIC + b"M\x05\x00\x00\x00xxxx", MAGIC * 3, b"\x00" * 5000, bytes(range(256)) * 40],
)
def test_anything_else_is_one_sentence_and_exit_code_2(tmp_path, capsys, content):
    file = tmp_path / "not.swj"
    file.write_bytes(content)
    assert main(["controller", "replay", str(file), "--json"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "is not a journal that can be replayed" in told.err
    assert len(told.err.splitlines()) == 1


def test_a_journal_that_lost_all_its_scans_proves_nothing(tmp_path, capsys):
    file = journal(tmp_path, Bench(), 10)[0]
    whole = file.read_bytes()
    file.write_bytes(whole[: len(MAGIC) + 200])
    assert main(["controller", "replay", str(file), "--json"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == f"{file} holds no scan that can be replayed\n"
    file.write_bytes(whole[:-3])
    assert main(["controller", "replay", str(file)]) == 0
    assert "bytes of a torn last record left out" in capsys.readouterr().out


def spoil(file: Path, record: int, damage: str) -> None:
    """Damage a record of a journal."""
    whole = bytearray(file.read_bytes())
    at, size = frames_in(bytes(whole))[record - 1]
    if damage == "bit":
        whole[at + size // 2] ^= 1
    elif damage == "length":
        whole[at + 4] = 0x0F  # longer than the file: it looks like a frame that the power cut off
    elif damage == "zeros":
        whole[at : at + size + 30] = bytes(size + 30)
    else:
        del whole[at + 3 : at + 9]
    file.write_bytes(bytes(whole))


@pytest.mark.parametrize("damage", ["bit", "length", "zeros", "missing bytes"])
def test_damage_in_the_middle_is_told_with_its_place_and_exit_code_2(tmp_path, capsys, damage):
    (file,) = journal(tmp_path, Bench(), 75)
    record = len(frames_in(file.read_bytes())) // 3
    offset = frames_in(file.read_bytes())[record - 1][0]
    spoil(file, record, damage)
    assert main(["controller", "replay", str(file), "--json"]) == 2
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert (told["damages"], told["mismatches"], told["torn_bytes"]) == (1, 0, 0)
    place = told["damaged_at"]
    assert (place["file"], place["byte"], place["record"]) == (str(file), offset, record)
    assert told["gaps"] == 1, "it goes on at the next state recorded, a minute after the first"
    assert 5 * 75 - 2 * BLOCK_ENTRIES <= told["scans"] + told["skipped_scans"] < 5 * 75
    assert told["scans"] > 150
    assert said.err.startswith(f"{file} is damaged at byte {offset} (record {record}: ")
    assert len(said.err.splitlines()) == 1
    assert main(["controller", "replay", str(file)]) == 2


@pytest.mark.parametrize("cut", [1, 200])
def test_a_last_record_torn_by_a_power_cut_is_told_and_accepted(tmp_path, capsys, cut):
    (file,) = journal(tmp_path, Bench(), 20)
    whole = file.read_bytes()
    at, size = frames_in(whole)[-1]
    file.write_bytes(whole[: at + max(1, size - cut)])
    assert main(["controller", "replay", str(file), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["torn_bytes"] == max(1, size - cut)
    assert (told["damages"], told["damaged_at"], told["mismatches"]) == (0, None, 0)
    file.write_bytes(whole[:at] + bytes(size))  # the file had grown, its content had not arrived
    assert main(["controller", "replay", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["torn_bytes"] == size


def test_a_file_that_is_not_there_is_one_sentence(tmp_path, capsys):
    for place in (tmp_path / "none.swj", tmp_path):
        assert main(["controller", "replay", str(place)]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
    with pytest.raises(UserError):
        replay_command([])


def test_a_journal_of_another_version_is_refused_with_its_reason(tmp_path, monkeypatch):
    (file,) = journal(tmp_path, Bench(), 5)
    content = file.read_bytes()
    monkeypatch.setattr("controller.service.journal.FORMAT", 2)
    with pytest.raises(UserError, match="its format is 1, this version reads 2"):
        replay([file])
    assert file.read_bytes() == content


# -- the ring ---------------------------------------------------------------------------------------------------------


def test_the_ring_is_bounded_and_forgets_the_oldest(tmp_path):
    bounds = RingBounds(60_000, 10.0)
    files = journal(tmp_path, Bench(), 200, bounds)
    assert sum(file.stat().st_size for file in files) < 80_000
    assert int(files[0].name[:8]) > 1
    outcome = replay(files)
    assert outcome.mismatches == 0
    assert outcome.gaps == 0


def test_a_fault_pins_its_window_beyond_its_time(tmp_path):
    breaking = Idle()
    bench = Bench(scan_function=breaking)
    ring = JournalRing(tmp_path, RingBounds(240_000, 10.0))
    ring.take(HELLO, pack(HELLO))
    keep(ring, bench, 32)
    breaking.broken = True
    keep(ring, bench, 1)
    breaking.broken = False
    keep(ring, bench, 300)
    ring.close()
    pinned = [file for file in segments(tmp_path) if ".pinned" in file.name]
    errors = [one for file in pinned for one in read_segment(file) if isinstance(one, Entry) and one.error]
    assert len(errors) == 5
    spans = [one.record.epoch_s for file in pinned for one in read_segment(file) if isinstance(one, Entry)]
    assert max(spans) - errors[-1].record.epoch_s > 50, "a minute after the fault is kept as well"
    assert errors[0].record.epoch_s - min(spans) > 5, "and what led to it"
    assert len(pinned) < len(segments(tmp_path))


def test_pinned_segments_alone_never_fill_more_than_the_ring(tmp_path):
    breaking = Idle()
    breaking.broken = True
    bench = Bench(scan_function=breaking)
    files = journal(tmp_path, bench, 400, RingBounds(60_000, 10.0))
    assert all(".pinned" in file.name for file in files)
    assert sum(file.stat().st_size for file in files) < 80_000


def test_a_stop_on_purpose_pins_nothing(tmp_path):
    bench = Bench()
    ring = JournalRing(tmp_path, WIDE)
    ring.take(HELLO, pack(HELLO))
    keep(ring, bench, 20)
    bench.loop.leave()
    keep(ring, bench, 0)
    ring.close()
    assert not any(".pinned" in file.name for file in segments(tmp_path))


def test_a_second_start_begins_a_new_segment_with_the_next_number(tmp_path):
    journal(tmp_path, Bench(), 5)
    files = journal(tmp_path, Bench(now_s=90.0), 5)
    assert [int(file.name[:8]) for file in files] == [1, 2]
    assert replay(files).mismatches == 0


def test_row_73_a_full_disk_stops_the_journal_and_nothing_else(tmp_path, monkeypatch, figure):
    bench = Bench()
    ring = JournalRing(tmp_path, WIDE)
    ring.take(HELLO, pack(HELLO))
    keep(ring, bench, 15)
    full = True

    def write(self, data):
        if full:
            raise OSError(28, "No space left on device")
        self._file.write(data)
        self.size += len(data)

    monkeypatch.setattr(SegmentWriter, "_write", write)
    keep(ring, bench, 10)
    assert "No space left" in ring.problem
    assert ring.lost > 0
    assert bench.loop.errors == 0
    figure("alarm", ring.problem)
    full = False
    keep(ring, bench, 35)
    assert ring.problem == ""
    ring.close()
    outcome = replay(segments(tmp_path))
    assert outcome.mismatches == 0
    assert outcome.scans > 150


def test_row_73_a_disk_that_hangs_costs_scans_in_the_journal_and_no_time(tmp_path, figure):
    go_on = threading.Event()

    class Hanging(JournalRing):
        def take(self, message, packed):
            go_on.wait(30)
            super().take(message, packed)

    bench = Bench()
    bench.advance(20)
    entry = [one for one in bench.messages() if isinstance(one, Entry)][-1]
    thread = JournalThread(Hanging(tmp_path, WIDE))
    for _ in range(JOURNAL_QUEUE + 500):
        thread.put(entry, b"")
    figure("scans dropped of 1100 while the disk hangs (600 wait)", thread.lost)
    assert 498 <= thread.lost <= 500
    go_on.set()
    thread.close()


def test_row_73_a_folder_that_vanishes_is_made_again(tmp_path):
    bench = Bench()
    folder = tmp_path / "journal"
    ring = JournalRing(folder, RingBounds(1 << 20, 10.0))
    ring.take(HELLO, pack(HELLO))
    keep(ring, bench, 8)
    shutil.rmtree(folder)
    keep(ring, bench, 40)
    ring.close()
    assert replay(segments(folder)).mismatches == 0


def test_an_outcome_counts_nothing_at_first():
    assert replay([]) == Outcome()


def test_snapshots_inside_a_segment_are_a_minute_apart(tmp_path):
    (file,) = journal(tmp_path, Bench(), 130)
    times = [one.epoch_s for one in read_segment(file) if isinstance(one, Snapshot)]
    assert [round(later - times[0]) for later in times] == pytest.approx([0, 60, 120], abs=2)
