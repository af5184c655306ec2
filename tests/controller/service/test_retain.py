"""Memory that survives power loss: whatever the disk does, and wherever the power fails."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core.state import Retained, RetainedSession
from controller.service.retain import SLOTS, Disk, RetainWriter, decode, encode, load, store
from controller.service.retain_rule import OFFERS_EVERY_S, SLOWLY_EVERY_S, RetainRule
from interfaces.domain.units import MISSING

BLANK = {
    name: {"str": "t", "float": 0.0, "bool": False, "int": MISSING}.get(str(kind), ())
    for name, kind in Retained.__annotations__.items()
}


def retained(number: int, **change) -> Retained:
    """A record that can be told from others by its plan sequence."""
    facts = {
        **BLANK, "assets": ("a", "b"), "offers_ma": (6000, number), "limit_pauses": (0, 1), "off_for_s": (0.0, 12.5),
        "circuits": ("gcp",), "theta": ((1, 2, number),), "plan_sequence": number,
        "sessions": (None, RetainedSession(number, 5.0, 1.0, "04A2")),
    }  # fmt: skip
    return Retained(**{**facts, **change})


class PowerCutError(Exception):
    """The computer is off."""


class Platter:
    """A disk that keeps only what was synced: everything else may be lost, torn, or there after all.

    ``cut_at``: the power fails during that operation. ``crash`` leaves one of the disks that may be found afterwards.
    """

    def __init__(self, seed: int = 0) -> None:
        self.durable: dict[str, bytes] = {}
        self.written: dict[str, bytes] = {}
        self.names: dict[str, str] = {}
        self.pending: list[tuple[str, str]] = []
        self.operations = 0
        self.cut_at = -1
        self.random = random.Random(seed)

    def _operation(self) -> bool:
        """Whether the power fails in the middle of this one."""
        self.operations += 1
        if self.operations - 1 > self.cut_at >= 0:
            raise PowerCutError
        return self.operations - 1 == self.cut_at

    def write(self, path: Path, data: bytes) -> None:
        cut = self._operation()
        self.written[path.name] = data[: self.random.randrange(len(data) + 1)] if cut else data
        if cut:
            raise PowerCutError

    def sync(self, path: Path) -> None:
        if self._operation():
            self._perhaps_durable(path.name)
            raise PowerCutError
        self.durable[path.name] = self.written.pop(path.name)

    def rename(self, old: Path, new: Path) -> None:
        cut = self._operation()
        self.pending.append((old.name, new.name))
        if cut:
            raise PowerCutError

    def sync_folder(self, path: Path) -> None:
        cut = self._operation()
        if not cut:
            self._apply_names()
            return
        if self.random.random() < 0.5:
            self._apply_names()
        raise PowerCutError

    def read(self, path: Path, most: int) -> bytes:
        content = self.durable.get(path.name)
        if content is None:
            raise FileNotFoundError(path)
        return content[:most]

    def crash(self) -> None:
        """What survives: unsynced writes and unsynced names each may or may not have reached the disk."""
        for name in list(self.written):
            self._perhaps_durable(name)
        if self.random.random() < 0.5:
            self._apply_names()
        self.written.clear()
        self.pending.clear()
        self.cut_at, self.operations = -1, 0

    def _perhaps_durable(self, name: str) -> None:
        data = self.written.pop(name, None)
        if data is not None and self.random.random() < 0.7:
            self.durable[name] = data[: self.random.randrange(len(data) + 1)]

    def _apply_names(self) -> None:
        for old, new in self.pending:
            if old in self.durable:
                self.durable[new] = self.durable.pop(old)
        self.pending.clear()


FOLDER = Path("any")


@pytest.mark.parametrize("seed", range(40))
def test_row_72_a_power_cut_at_any_operation_leaves_this_or_the_record_before(seed, figure):
    for cut_at in range(4):
        disk = Platter(seed)
        for number in range(1, 4):
            before = load(FOLDER, disk)
            store(FOLDER, disk, retained(number), before.sequence + 1, 1 - before.slot)
        newest = load(FOLDER, disk)
        disk.operations, disk.cut_at = 0, cut_at
        with pytest.raises(PowerCutError):
            store(FOLDER, disk, retained(4), newest.sequence + 1, 1 - newest.slot)
        disk.crash()
        found = load(FOLDER, disk)
        assert found.retained is not None
        assert found.retained.plan_sequence in (3, 4), (seed, cut_at, found.problems)
        store(FOLDER, disk, retained(5), found.sequence + 1, 1 - found.slot)
        assert load(FOLDER, disk).retained == retained(5)
        figure("records lost", 4 - found.retained.plan_sequence)


@given(st.lists(st.integers(-1, 3), min_size=1, max_size=12), st.integers(0, 10**6))
@settings(max_examples=200, deadline=None)
def test_row_72_any_series_of_power_cuts_never_goes_back_more_than_one_record(cuts, seed):
    disk = Platter(seed)
    safe = 0
    for number, cut_at in enumerate(cuts, 1):
        known = load(FOLDER, disk)
        disk.operations, disk.cut_at = 0, cut_at
        try:
            store(FOLDER, disk, retained(number), known.sequence + 1, 1 - known.slot)
            safe = number
        except PowerCutError:
            disk.crash()
        disk.operations, disk.cut_at = 0, -1
        found = load(FOLDER, disk)
        assert (found.retained.plan_sequence if found.retained else 0) >= safe


def test_a_record_comes_back(tmp_path):
    for number in range(1, 6):
        known = load(tmp_path, Disk())
        store(tmp_path, Disk(), retained(number), known.sequence + 1, 1 - known.slot)
    found = load(tmp_path, Disk())
    assert found.retained == retained(5)
    assert found.problems == ()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(SLOTS)


def test_nothing_there_is_a_cold_start_with_its_reason(tmp_path):
    found = load(tmp_path, Disk())
    assert found.retained is None
    assert "cold start" in found.problems[-1]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda content: content[:-3], "it is cut off"),
        (lambda content: content[:7], "it is cut off"),
        (lambda content: content + b"x", "it is cut off"),
        (lambda content: b"JUNK" + content[4:], "it is no retain file"),
        (lambda content: content[:4] + b"\x63\x00" + content[6:], "its format is 99, this version reads 1"),
        (lambda content: content[:40] + bytes([content[40] ^ 1]) + content[41:], "its checksum is wrong"),
        (lambda content: content[:6] + bytes([content[6] ^ 1]) + content[7:], "its checksum is wrong"),
    ],
)
def test_row_72_a_damaged_file_is_named_and_the_other_one_is_used(tmp_path, damage, reason):
    store(tmp_path, Disk(), retained(1), 0, 0)
    store(tmp_path, Disk(), retained(2), 1, 1)
    newest = tmp_path / SLOTS[1]
    newest.write_bytes(damage(newest.read_bytes()))
    found = load(tmp_path, Disk())
    assert found.retained == retained(1)
    assert found.slot == 0
    assert found.problems == (f"retain.b is not used: {reason}",)


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_noise_is_never_a_record(noise):
    assert isinstance(decode(noise), str)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_no_flipped_bit_passes(data):
    content = bytearray(encode(retained(7), 3))
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert isinstance(decode(bytes(content)), str)


WRITER = """
import sys
from pathlib import Path
from tests.controller.service.test_retain import retained
from controller.service.retain import Disk, load, store
folder = Path(sys.argv[1])
print("up", flush=True)
for number in range(1, 1_000_000):
    known = load(folder, Disk())
    store(folder, Disk(), retained(number), known.sequence + 1, 1 - known.slot)
    print(number, flush=True)
"""


def test_row_72_kill_9_while_writing(tmp_path):
    """A real process is killed in the middle of writing, again and again: nothing acknowledged is ever lost."""
    for attempt in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
        )
        assert process.stdout is not None
        acknowledged = 0
        for line in itertools.islice(process.stdout, 20 + 7 * attempt):
            acknowledged = int(line) if line.strip() != "up" else 0
        os.kill(process.pid, signal.SIGKILL)
        acknowledged = max([acknowledged, *(int(line) for line in process.stdout if line.strip().isdigit())])
        process.wait()
        process.stdout.close()
        found = load(tmp_path, Disk())
        assert found.retained is not None
        assert found.retained.plan_sequence in (acknowledged, acknowledged + 1)
        for slot in SLOTS:
            (tmp_path / slot).unlink(missing_ok=True)


# -- a disk that does not work ----------------------------------------------------------------------------------------


class Stuck(Disk):
    """A disk whose fsync takes as long as the test wants, or that takes nothing at all."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.reached = threading.Event()
        self.error: OSError | None = None

    def sync(self, path: Path) -> None:
        self.reached.set()
        if self.error is not None:
            raise self.error
        self.go_on.wait(20)
        super().sync(path)


def written(writer: RetainWriter, count: int) -> bool:
    for _ in range(500):
        if writer.status.written >= count:
            return True
        time.sleep(0.01)
    return False


def test_row_73_a_slow_disk_never_blocks_and_the_latest_record_wins(tmp_path):
    disk = Stuck()
    writer = RetainWriter(tmp_path, load(tmp_path, disk), disk)
    writer.put(retained(1))
    assert disk.reached.wait(10)
    for number in range(2, 2000):
        writer.put(retained(number))
    assert writer.status.written == 0
    disk.go_on.set()
    assert written(writer, 2)
    writer.close(10)
    assert load(tmp_path, Disk()).retained == retained(1999)
    assert writer.status.written == 2


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), OSError(30, "Read-only file system")])
def test_row_73_a_full_or_read_only_disk_is_told_and_gets_over_it(tmp_path, error, monkeypatch, figure):
    monkeypatch.setattr("controller.service.retain.RETRY_S", 0.01)
    disk = Stuck()
    disk.error = error
    disk.go_on.set()
    writer = RetainWriter(tmp_path, load(tmp_path, disk), disk)
    writer.put(retained(1))
    assert disk.reached.wait(10)
    for _ in range(500):
        if writer.status.failed:
            break
        time.sleep(0.01)
    assert error.strerror in writer.status.problem
    figure("alarm", writer.status.problem)
    writer.put(retained(2))
    disk.error = None
    assert written(writer, 1)
    writer.close(10)
    assert writer.status.problem == ""
    assert load(tmp_path, Disk()).retained == retained(2)


def test_row_73_the_scan_goes_on_while_the_disk_hangs(tmp_path, figure):
    from tests.controller.service.kit import Bench

    disk = Stuck()
    writer = RetainWriter(tmp_path, load(tmp_path, disk), disk)
    bench = Bench()
    bench.loop._io = replace(bench.loop._io, after_scan=lambda *_: writer.put(retained(bench.loop.number)))
    bench.advance(20)
    assert bench.loop.number == 100
    assert bench.loop.errors == 0
    assert bench.loop.pacer.late == 0
    assert writer.status.written == 0
    figure("scans while one write hangs", bench.loop.number)
    disk.go_on.set()
    writer.close(10)
    assert load(tmp_path, Disk()).retained == retained(99)


# -- when to write ----------------------------------------------------------------------------------------------------


def test_limits_are_written_at_once_offers_once_a_second_the_rest_once_a_minute():
    rule = RetainRule()
    assert rule.is_due(retained(1), 0.0)
    assert not rule.is_due(retained(1, epoch_s=99.0), 500.0)
    assert rule.is_due(retained(1, fire_latched=True), 0.2)
    assert rule.is_due(retained(1, operator_limit_mw=5), 0.4)
    other = {"operator_limit_mw": 5, "offers_ma": (1, 1)}
    assert not rule.is_due(retained(1, **other), 0.4 + OFFERS_EVERY_S / 2)
    assert rule.is_due(retained(1, **other), 0.5 + OFFERS_EVERY_S)
    warm = {**other, "theta": ((9, 9, 9),)}
    assert not rule.is_due(retained(1, **warm), 30.0)
    assert rule.is_due(retained(1, **warm), 2.0 + SLOWLY_EVERY_S)


@pytest.mark.parametrize(
    ("first", "later"),
    [
        (None, RetainedSession(0, 0.2, 0.2, None)),
        (RetainedSession(9, 900.0, 0.0, None), None),
        (RetainedSession(9, 900.0, 0.0, None), RetainedSession(0, 0.4, 0.4, None)),
    ],
)
def test_another_car_is_written_like_an_offer_and_energy_once_a_minute(first, later):
    rule = RetainRule()
    assert rule.is_due(retained(1, sessions=(None, first)), 0.0)
    assert not rule.is_due(retained(1, sessions=(None, later)), OFFERS_EVERY_S / 2)
    assert rule.is_due(retained(1, sessions=(None, later)), OFFERS_EVERY_S)
    if later is not None:
        more = replace(later, energy_mws=10**9, plugged_for_s=later.plugged_for_s + 30.0)
        assert not rule.is_due(retained(1, sessions=(None, more)), 30.0)
        assert rule.is_due(retained(1, sessions=(None, more)), OFFERS_EVERY_S + SLOWLY_EVERY_S)
