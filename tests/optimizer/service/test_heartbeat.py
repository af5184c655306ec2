"""Whether a container of the cloud side is well, told by the file its main loop touches."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from interfaces.cli import main
from optimizer.service import heartbeat
from optimizer.service.heartbeat import BEAT_S, SILENT_S, VARIABLE, Heartbeat, silent_s


class Clock:
    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(heartbeat, "monotonic_s", found)
    return found


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "beat"))
    return tmp_path / "beat"


def health(capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = main(["optimizer", "health"])
    return code, capsys.readouterr().out.strip()


def test_a_loop_that_comes_round_is_well_and_one_that_hangs_is_not(clock, file, capsys):
    assert health(capsys) == (1, "no sign of life yet")
    loop = Heartbeat()
    loop.beat()
    assert health(capsys) == (0, "all is well")
    clock.s += SILENT_S + 1
    assert health(capsys) == (1, f"no sign of life for {SILENT_S + 1:.0f} s")
    assert main(["optimizer", "health", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {"ok": False, "silent_s": SILENT_S + 1}
    loop.beat()
    assert health(capsys)[0] == 0


def test_a_quick_loop_does_not_wear_out_the_disk(clock, file):
    loop = Heartbeat()
    loop.beat()
    first = file.read_bytes()
    clock.s += BEAT_S / 2
    loop.beat()
    assert file.read_bytes() == first
    clock.s += BEAT_S
    loop.beat()
    assert silent_s() == 0


@pytest.mark.parametrize("content", ["", "soon", "nan", "5000.0"])
def test_what_is_left_of_before_the_machine_started_says_nothing(clock, file, content):
    file.write_text(content)
    assert silent_s() is None


def test_by_hand_nobody_looks(clock, monkeypatch, capsys):
    monkeypatch.delenv(VARIABLE, raising=False)
    Heartbeat().beat()
    assert main(["optimizer", "health"]) == 2
    assert VARIABLE in capsys.readouterr().err


def test_a_disk_that_refuses_stops_nobody(clock, monkeypatch, tmp_path):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "none" / "beat"))
    Heartbeat().beat()
    assert silent_s() is None
