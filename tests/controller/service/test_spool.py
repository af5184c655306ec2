"""What waits for the cloud: in order, once, within its bounds, over the death of the process and a disk that fails."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.service.spool import Entry, Spool, SpoolThread
from controller.service.spool_pace import Pace
from controller.service.spool_table import ROW_BYTES, Bounds, SpoolTable, Told

WIDE = Bounds(1 << 30, 1e9)
DAY_S = 86_400.0
T0 = 1_790_000_000.0


def spool(folder: Path, bounds: Bounds = WIDE, epoch_s=lambda: T0, **more) -> Spool:
    return Spool(folder / "history.db", bounds, epoch_s, synchronous="NORMAL", **more)


def told(k: int, at_epoch_s: float = T0, more: bytes = b"") -> Told:
    return Told(7, k, at_epoch_s, "live", f"{k}:".encode() + more)


def fill(box: Spool, count: int, start: int = 0, *, at_s: float = T0, size: int = 0) -> None:
    """Messages that cannot be packed smaller."""
    for k in range(start, start + count):
        box.put(told(k, at_s + k, os.urandom(size)))


def numbers(entries: list[Entry]) -> list[int]:
    return [int(entry.told.payload.split(b":")[0]) for entry in entries]


def full(box: Spool) -> sqlite3.Connection:
    """The disk has no room from now on."""
    assert box._table is not None
    box._table._db.execute("PRAGMA max_page_count=1")
    return box._table._db


# -- order, once -------------------------------------------------------------------------------------------------------


def test_messages_come_out_in_their_order_with_their_time_whether_on_disk_or_not(tmp_path):
    box = spool(tmp_path)
    fill(box, 3)
    assert numbers(box.oldest(10)) == [0, 1, 2], "before the first write"
    assert box.write()
    fill(box, 2, 3)
    assert box.write()
    found = box.oldest(10)
    assert numbers(found) == [0, 1, 2, 3, 4]
    assert [entry.told.at_epoch_s for entry in found] == [T0 + k for k in range(5)]
    assert {entry.told.kind for entry in found} == {"live"}
    assert numbers(box.oldest(2)) == [0, 1]


def test_what_the_broker_has_is_not_given_again_even_before_it_is_off_the_disk(tmp_path):
    box = spool(tmp_path)
    fill(box, 5)
    box.write()
    first = box.oldest(2)
    for entry in first:
        box.settle(entry)
    assert numbers(box.oldest(10)) == [2, 3, 4]
    assert box.state.waiting == 3
    box.write()
    box.close()
    again = spool(tmp_path)
    again.write()
    assert numbers(again.oldest(10)) == [2, 3, 4]


def test_a_message_that_is_being_sent_waits_only_once_it_failed(tmp_path):
    box = spool(tmp_path)
    sending = box.put(told(0), held=True)
    assert box.oldest(10) == []
    box.write()
    assert box.oldest(10) == [], "nor when it is on disk"
    box.release(sending)
    assert numbers(box.oldest(10)) == [0]


def test_an_acknowledgement_that_comes_while_the_disk_writes_is_kept(tmp_path, monkeypatch):
    box = spool(tmp_path)
    sending = box.put(told(0), held=True)
    store = SpoolTable.store

    def slow(self, *arguments):
        box.settle(sending)
        return store(self, *arguments)

    monkeypatch.setattr(SpoolTable, "store", slow)
    box.write()
    assert box.oldest(10) == []
    box.write()
    assert box.state.waiting == 0
    assert box.state.lost_in_all == 0


def test_a_receipt_takes_out_what_this_and_earlier_processes_sent(tmp_path):
    before = spool(tmp_path)
    fill(before, 10)
    before.write()
    before.close()
    box = spool(tmp_path)
    fill(box, 5, 10)
    box.write()
    fill(box, 5, 15)
    on_the_way = box.oldest(1)[0]
    assert box.hold(on_the_way)
    box.arrived((7, 0, 3))
    box.arrived((7, 12, 16))
    box.arrived((8, 0, 100))
    assert not box.hold(on_the_way), "it need not be sent"
    box.write()
    assert numbers(box.oldest(100)) == [4, 5, 6, 7, 8, 9, 10, 11, 17, 18, 19]
    assert box.state.waiting == 11
    box.close()
    again = spool(tmp_path)
    again.write()
    assert again.state.waiting == 11
    assert again.state.bytes == box.state.bytes


@settings(max_examples=60)
@given(steps=st.lists(st.sampled_from(["put", "send", "write", "ack", "fail", "drain", "kill"]), max_size=40))
def test_whatever_happens_every_message_is_acknowledged_or_waits_in_order(steps, tmp_path_factory):
    folder = tmp_path_factory.mktemp("spool")
    box, count = spool(folder), 0
    over: set[int] = set()
    unwritten: set[int] = set()
    sending: list[Entry] = []
    for step in [*steps, "write", "kill"]:
        if step in {"put", "send"}:
            entry = box.put(told(count), held=step == "send")
            unwritten.add(count)
            if step == "send":
                sending.append(entry)
            count += 1
        elif step == "write":
            assert box.write()
            unwritten.clear()
        elif step in {"ack", "fail"} and sending:
            entry = sending.pop(0)
            if step == "ack":
                box.settle(entry)
                over |= set(numbers([entry]))
            else:
                box.release(entry)
        elif step == "drain":
            for entry in box.oldest(2):
                box.settle(entry)
                over |= set(numbers([entry]))
        elif step == "kill":
            box, sending = spool(folder), []
            waiting = numbers(box.oldest(100))
            assert waiting == sorted(set(waiting)), "in order, each once"
            assert set(range(count)) - over - unwritten <= set(waiting)
            over |= unwritten  # gone with the process, and with nobody's promise
            unwritten.clear()


# -- bounds ------------------------------------------------------------------------------------------------------------


def test_the_bound_of_size_costs_the_oldest_and_is_counted(tmp_path):
    box = spool(tmp_path, Bounds(100 * (1000 + ROW_BYTES), 1e9))
    for start in range(0, 250, 10):
        fill(box, 10, start, size=990)
        box.write()
    kept = numbers(box.oldest(1000))
    assert kept[-1] == 249
    assert kept == list(range(kept[0], 250))
    assert 90 <= len(kept) <= 100
    assert box.state.lost == {"size": 250 - len(kept)}
    assert box.state.bytes <= 100 * (1000 + ROW_BYTES)
    box.close()
    again = spool(tmp_path, Bounds(1 << 30, 1e9))
    again.write()
    assert again.state.lost == {"size": 250 - len(kept)}, "the count outlives the process"
    assert again.state.bytes == box.state.bytes


def test_the_file_does_not_grow_beyond_the_bound_while_days_pass(tmp_path):
    box = spool(tmp_path, Bounds(1 << 20, 1e9))
    for start in range(0, 6000, 500):
        fill(box, 500, start, size=1000)
        box.write()
    box.close()
    assert (tmp_path / "history.db").stat().st_size < 2 * (1 << 20)


def test_the_bound_of_age_counts_too_and_wants_a_clock_that_is_believed(tmp_path):
    now: list[float | None] = [T0 + 10]
    box = spool(tmp_path, Bounds(1 << 30, 10 * DAY_S), lambda: now[0])
    fill(box, 10)
    box.write()
    fill(box, 10, 10, at_s=T0 + 9 * DAY_S)
    now[0] = None
    box.write()
    assert box.state.waiting == 20, "a clock that jumped says nothing"
    now[0] = T0 + 10 * DAY_S + 20
    assert box.write()
    assert numbers(box.oldest(100)) == list(range(10, 20))
    assert box.state.lost == {"age": 10}


def test_a_message_nobody_can_ever_take_is_counted(tmp_path):
    box = spool(tmp_path)
    fill(box, 2)
    box.write()
    box.settle(box.oldest(1)[0], "refused")
    assert box.state.lost == {"refused": 1}
    box.write()
    box.close()
    again = spool(tmp_path)
    again.write()
    assert again.state.lost == {"refused": 1}


# -- the disk ----------------------------------------------------------------------------------------------------------


def test_row_73_a_full_disk_costs_nothing_until_memory_is_full_and_then_it_is_counted(tmp_path, figure):
    box = spool(tmp_path, memory=50)
    box.write()
    fill(box, 3)
    box.write()
    database = full(box)
    fill(box, 50, 3, size=3000)
    assert not box.write()
    assert "full" in box.state.problem
    figure("alarm", box.state.problem)
    assert box.state.lost_in_all == 0
    del database
    monkeyed = box._opened
    box._opened = lambda: (_ for _ in ()).throw(sqlite3.OperationalError("database or disk is full"))  # type: ignore[method-assign]
    fill(box, 10, 53)
    assert not box.write()
    assert box.state.lost == {"disk": 10}
    assert numbers(box.oldest(2)) == [13, 14], "what memory holds is sent, while the file cannot be read"
    box._opened = monkeyed  # type: ignore[method-assign]
    assert box.write()
    assert box.state.problem == ""
    assert numbers(box.oldest(100)) == [0, 1, 2, *range(13, 63)]
    figure("lost of 63 while memory holds 50", box.state.lost_in_all)


def test_row_73_a_folder_that_cannot_be_written_is_told_and_tried_again(tmp_path):
    folder = tmp_path / "later"
    box = spool(folder)
    fill(box, 3)
    assert not box.write()
    assert "history.db" in box.state.problem
    assert numbers(box.oldest(10)) == [0, 1, 2]
    folder.mkdir()
    assert box.write()
    assert box.state.problem == ""
    assert numbers(box.oldest(10)) == [0, 1, 2]


def test_row_73_a_disk_that_hangs_holds_nobody_up(tmp_path, monkeypatch):
    go_on, reached = threading.Event(), threading.Event()
    store = SpoolTable.store

    def hanging(self, *arguments):
        reached.set()
        go_on.wait(60)
        return store(self, *arguments)

    monkeypatch.setattr(SpoolTable, "store", hanging)
    box = spool(tmp_path)
    thread = SpoolThread(box)
    fill(box, 1)
    assert reached.wait(30)
    fill(box, 20, 1)
    assert box.state.waiting == 21
    go_on.set()
    thread.close()
    again = spool(tmp_path)
    again.write()
    assert numbers(again.oldest(100)) == list(range(21))


@pytest.mark.parametrize("damage", ["no database", "another version", "a torn page"])
def test_a_damaged_file_is_set_aside_counted_and_begun_anew(tmp_path, damage):
    box = spool(tmp_path)
    fill(box, 200, size=500)
    box.write()
    before = box.oldest(1)[0]
    file = tmp_path / "history.db"
    if damage == "a torn page":
        box.close()
        content = bytearray(file.read_bytes())
        content[4096 : len(content) // 2] = os.urandom(len(content) // 2 - 4096)
        file.write_bytes(content)
    elif damage == "no database":
        box.close()
        file.write_bytes(b"not at all" * 1000)
    else:
        box.close()
        with sqlite3.connect(file) as database:
            database.execute("PRAGMA user_version=7")
        database.close()
    fill(box, 3, 1000)
    for _ in range(3):
        box.write()
        box.oldest(1000)
    assert numbers(box.oldest(1000)) == [1000, 1001, 1002]
    assert box.state.lost is not None
    assert box.state.lost["damage"] >= 1
    assert (tmp_path / "history.db.damaged").exists()
    box.settle(before)
    box.write()
    assert numbers(box.oldest(1000)) == [1000, 1001, 1002], "a number of the old file means nothing in the new one"


def test_one_message_the_disk_garbled_is_left_out_and_counted(tmp_path):
    box = spool(tmp_path)
    fill(box, 3)
    box.write()
    assert box._table is not None
    box._table._db.execute("UPDATE waiting SET payload = x'00' WHERE number = 2")
    assert numbers(box.oldest(10)) == [0, 2]
    assert box.state.lost == {"damage": 1}


WRITER = """
import sys, threading
from pathlib import Path
from controller.service.spool import Spool, SpoolThread
from controller.service.spool_table import Bounds, Told
box = Spool(Path(sys.argv[1]), Bounds(1 << 30, 1e9), lambda: 1.8e9, synchronous="NORMAL")
thread = SpoolThread(box)
k = 0
while True:
    box.put(Told(7, k, 1.8e9 + k, "live", b"%d:" % k))
    if k % 50 == 0:
        threading.Event().wait(0.002)
        done = box.state.waiting - len(box._fresh)
        print(done, flush=True)
    k += 1
"""


def test_row_73_kill_9_in_the_middle_of_writing_loses_nothing_that_was_on_disk(tmp_path, figure):
    file = tmp_path / "history.db"
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(file)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    on_disk = 0
    try:
        while on_disk < 500:
            on_disk = int(process.stdout.readline())
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    on_disk = max([on_disk, *(int(line) for line in process.stdout.read().split())])
    process.stdout.close()
    box = spool(tmp_path)
    assert box.write()
    found = numbers(box.oldest(10**5))
    assert found == list(range(len(found))), "none is missing in between, none is there twice"
    assert len(found) >= on_disk
    assert box.state.lost_in_all == 0
    assert box.state.problem == ""
    figure("messages on disk when killed, all there", len(found))


# -- how fast ----------------------------------------------------------------------------------------------------------


def test_the_backlog_of_a_day_goes_out_at_a_limited_rate():
    pace, now_s, sent, most = Pace(at_s=100.0), 100.0, 0, 0
    per_second: dict[int, int] = {}
    while sent < 8640:
        pace = pace.at(now_s)
        may = min(pace.whole, 8640 - sent)
        sent += may
        per_second[int(now_s)] = per_second.get(int(now_s), 0) + may
        pace = pace.taken(may)
        now_s += max(pace.wait_s, 1e-3)
        most = max(most, may)
    assert 1700 < now_s - 100.0 < 1740
    assert most <= 5
    assert max(per_second.values()) <= 10


def test_a_clock_that_stands_still_or_a_long_pause_gives_no_flood():
    pace = Pace(at_s=0.0)
    assert pace.at(0.0).taken(5).at(0.0).whole == 0
    assert pace.at(1e6).whole == 5
    assert pace.taken(5).at(-50.0).whole == 0
    assert pace.taken(5).wait_s == pytest.approx(0.2)
