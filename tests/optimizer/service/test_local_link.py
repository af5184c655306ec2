"""The folder link: what was written comes back, half lines are passed over, a plan is whole whoever is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from interfaces.domain.codec_json import from_json, to_json
from interfaces.domain.image import Pilot
from interfaces.domain.live import AssetLive, CircuitLive, LiveStatus
from interfaces.domain.plan import Plan
from interfaces.domain.plan_text import plan_of_text
from interfaces.domain.targets import Target, Targets
from interfaces.domain.units import MISSING, NEVER_S
from interfaces.drivers.pki import key_id_of
from interfaces.drivers.signing import Opened, Signer, Verifier
from optimizer.service import local_link
from optimizer.service.local_link import CHUNK_BYTES, LocalLink, append_status
from optimizer.service.port import LinkError, Received

NOON = datetime.fromisoformat("2026-11-23T12:00:00+00:00").timestamp()
CAR = AssetLive("car", int(Pilot.UNKNOWN), NOON, 1.5, "déjà", 7.0, 16.0, None, (1, 1, 1), None, 0, True)
GCP = CircuitLive("gcp", 5.0, 7.0, (None, 1.0, 2.5), (0.0, 0.0, 0.0))


def status(at_s: float, site: str = "s") -> LiveStatus:
    return LiveStatus(site, "t", NOON + at_s, "plan", 1, None, (GCP,), (CAR,))


def plan(sequence: int) -> Plan:
    def ints(*shape: int) -> np.ndarray:
        return np.full(shape, sequence, dtype=np.int64)

    return Plan(
        f"s-{sequence}", "s", "t", sequence, "", NOON, NOON, 900, NOON + 1800, NOON + 900, ("car",),
        ints(2, 1), ints(2, 1), ints(2), ints(2, 3), ints(2),
    )  # fmt: skip


def targets(price: float = 0.2) -> Targets:
    one = Target("car", NOON + 3600, 12_000, tag=None)
    return Targets(3, NOON, (one,), NOON, 900, np.array([price, NEVER_S]))


def received(link: LocalLink) -> Received:
    found = link.read()
    assert isinstance(found, Received), found
    return found


def all_of(link: LocalLink) -> tuple[list[float], int]:
    times: list[float] = []
    skipped = 0
    while True:
        found = received(link)
        times += [s.epoch_s - NOON for s in found.statuses]
        skipped += found.skipped
        if not found.more:
            return times, skipped


@pytest.fixture
def signer() -> Signer:
    key = ed25519.Ed25519PrivateKey.generate()
    return Signer(key, key_id_of(key.public_key()))


# -- the encoder ------------------------------------------------------------------------------------------------------


def test_what_is_written_is_read_back_the_same():
    assert from_json(to_json(status(1.25)), LiveStatus) == status(1.25)
    back = from_json(to_json(targets()), Targets)
    assert isinstance(back, Targets)
    assert back.targets == targets().targets
    assert back.price_eur_per_kwh.tolist() == [0.2, NEVER_S]


def test_missing_is_null_and_no_nan_leaves():
    assert json.loads(to_json(replace(targets(), sequence=MISSING)))["sequence"] is None
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json(targets(float("nan")))


# -- statuses ---------------------------------------------------------------------------------------------------------


def test_statuses_come_once_and_in_order_over_midnight(tmp_path):
    link = LocalLink(tmp_path, "s")
    assert received(link) == Received()
    for at_s in (0.0, 60.0, 12 * 3600.0 + 60.0):
        append_status(tmp_path, status(at_s))
    assert len(list(tmp_path.glob("status-*.jsonl"))) == 2
    assert all_of(link) == ([0.0, 60.0, 43_260.0], 0)
    assert all_of(link) == ([], 0)
    append_status(tmp_path, status(43_320.0))
    assert all_of(link) == ([43_320.0], 0)
    assert all_of(LocalLink(tmp_path, "s")) == ([0.0, 60.0, 43_260.0, 43_320.0], 0)


def test_a_clock_set_back_past_midnight_is_read_on_in_the_day_before(tmp_path):
    link = LocalLink(tmp_path, "s")
    for at_s in (43_000.0, 43_300.0):  # 23:56 and 00:01
        append_status(tmp_path, status(at_s))
    assert all_of(link) == ([43_000.0, 43_300.0], 0)
    append_status(tmp_path, status(42_900.0))
    assert all_of(link) == ([42_900.0], 0)
    append_status(tmp_path, status(43_100.0))
    append_status(tmp_path, status(43_150.0))
    assert all_of(link) == ([43_100.0, 43_150.0], 0)
    assert all_of(link) == ([], 0)


def test_a_half_line_waits_and_is_passed_over_when_its_writer_was_killed(tmp_path):
    link = LocalLink(tmp_path, "s")
    append_status(tmp_path, status(0))
    (file,) = tmp_path.glob("status-*.jsonl")
    line = to_json(status(60)).encode()
    with file.open("ab") as half:
        half.write(line[:80])
    assert all_of(link) == ([0.0], 0)
    append_status(tmp_path, status(120))  # the next writer closes the torn line
    assert all_of(link) == ([120.0], 1)
    with file.open("ab") as half:
        half.write(line[:80])
    append_status(tmp_path, status(13 * 3600))  # the day is over: its last line will never end
    assert all_of(link) == ([13 * 3600.0], 1)


@pytest.mark.parametrize(
    "line",
    [
        b"{}",
        b"\xff\xfe",
        b"[" * 100,
        to_json(status(1)).replace('"epoch_s":', '"epoch_s":NaN,"x":').encode(),
        to_json(status(1, site="another")).encode(),
        to_json(replace(status(1), schema=2)).encode(),
        b"x" * (CHUNK_BYTES + 5),
    ],
)
def test_what_is_no_status_of_this_site_is_counted_and_the_rest_is_read(tmp_path, line):
    append_status(tmp_path, status(0))
    (file,) = tmp_path.glob("status-*.jsonl")
    with file.open("ab") as other:
        other.write(line + b"\n")
    append_status(tmp_path, status(60))
    times, skipped = all_of(LocalLink(tmp_path, "s"))
    assert times == [0.0, 60.0]
    assert skipped >= 1


def test_old_days_are_removed_and_foreign_files_are_left_alone(tmp_path):
    append_status(tmp_path, status(-71 * 86_400))
    append_status(tmp_path, status(0))
    (tmp_path / "status-notes.jsonl").write_text("mine")
    assert all_of(LocalLink(tmp_path, "s")) == ([0.0], 0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["status-2026-11-23.jsonl", "status-notes.jsonl"]


def test_a_replaced_file_is_read_anew(tmp_path):
    link = LocalLink(tmp_path, "s")
    for at_s in (0, 60, 120):
        append_status(tmp_path, status(at_s))
    assert all_of(link)[0] == [0, 60, 120]
    (file,) = tmp_path.glob("status-*.jsonl")
    file.write_text(to_json(status(180)) + "\n")
    assert all_of(link)[0] == [180]


def test_a_folder_that_cannot_be_used_is_a_value(tmp_path):
    (tmp_path / "file").write_text("")
    link = LocalLink(tmp_path / "file" / "spool", "s")
    assert isinstance(link.read(), LinkError)
    error = link.send_plan(plan(1))
    assert error is not None
    assert "cannot be written" in error.reason


# -- wishes -----------------------------------------------------------------------------------------------------------


def test_wishes_are_told_when_their_file_changes_and_when_it_goes(tmp_path):
    link = LocalLink(tmp_path, "s")
    wish = {
        "evse": "car",
        "plugged_in_epoch_s": NOON,
        "target": {"unit": "km", "amount": 120, "departure_local": "17:30"},
    }
    (tmp_path / "wishes.json").write_text(json.dumps([wish]))
    told = received(link).wishes
    assert told is not None
    assert (told[0].evse, told[0].target.amount, told[0].target.unit) == ("car", 120.0, "km")
    assert received(link).wishes is None
    (tmp_path / "wishes.json").write_text(json.dumps([{**wish, "amont": 3}]))
    bad = received(link)
    assert (bad.wishes, bad.skipped) == (None, 1)
    assert "amont" in bad.problem
    (tmp_path / "wishes.json").unlink()
    assert received(link).wishes == ()


# -- plans ------------------------------------------------------------------------------------------------------------


def test_a_plan_is_signed_and_the_next_process_knows_it(tmp_path, signer):
    link = LocalLink(tmp_path, "s", signer)
    assert link.last_plan() is None
    assert link.send_plan(plan(7)) is None
    assert link.send_targets(targets()) is None
    verifier = Verifier({signer.key_id: signer.key.public_key()})
    opened = verifier.open("plan", (tmp_path / "plan.json").read_bytes())
    assert isinstance(opened, Opened)
    found = plan_of_text(opened.body, opened.key_id)
    assert isinstance(found, Plan)
    assert (found.sequence, found.key_id) == (7, signer.key_id)
    told = verifier.open("targets", (tmp_path / "targets.json").read_bytes())
    assert isinstance(told, Opened)
    assert isinstance(from_json(told.body, Targets), Targets)
    last = LocalLink(tmp_path, "s").last_plan()
    assert last is not None
    assert last.sequence == 7
    assert LocalLink(tmp_path, "other").last_plan() is None


def test_without_a_key_the_text_itself_is_written(tmp_path):
    link = LocalLink(tmp_path, "s")
    link.send_plan(plan(2))
    assert isinstance(plan_of_text((tmp_path / "plan.json").read_bytes(), ""), Plan)
    last = link.last_plan()
    assert last is not None
    assert last.sequence == 2
    (tmp_path / "plan.json").write_text('{"half": ')
    assert link.last_plan() is None


KILLED = """
import os, signal, sys
from pathlib import Path
from optimizer.service import local_link
from tests.optimizer.service.test_local_link import LocalLink, plan
link = LocalLink(Path(sys.argv[1]), "s")
link.send_plan(plan(1))
def kill(*_): os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[2] == "before rename":
    Path.replace = kill
else:
    os.fsync = kill
link.send_plan(plan(2))
"""


@pytest.mark.parametrize("moment", ["before rename", "before sync"])
def test_a_writer_killed_on_the_way_leaves_the_older_plan_whole(tmp_path, moment):
    root = Path(local_link.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), moment],
        cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, check=False, capture_output=True,
    )  # fmt: skip
    assert done.returncode == -9, done.stderr
    link = LocalLink(tmp_path, "s")
    last = link.last_plan()
    assert last is not None
    assert last.sequence == 1
    assert link.send_plan(plan(3)) is None
    again = link.last_plan()
    assert again is not None
    assert again.sequence == 3
