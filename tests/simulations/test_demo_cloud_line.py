"""The demo's line to the cloud, when it is cut, the keys that cut it, and the prices behind it."""

from __future__ import annotations

import os
import pty
import socket
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from interfaces.domain.series import PriceSeries, end_epoch_s
from interfaces.sources.prices import csv_file
from simulations.demo.cloud import price_file
from simulations.demo.demo import Cuts
from simulations.demo.keys import keys
from simulations.demo.line import CloudLine

PATIENCE_S = 120.0
QUIET_S = 0.3
"""Long enough for a message that passes to be seen; it must not be seen, so only a fault can end the wait early."""


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that says everything back."""

    def answer(sock: socket.socket) -> None:
        with sock:
            while data := sock.recv(100):
                sock.sendall(data)

    def serve(listening: socket.socket) -> None:
        while True:
            try:
                sock, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(sock,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, args=(listening,), daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


def test_a_cut_line_swallows_without_a_word_and_a_mended_one_forgets_old_connections(echo):
    with CloudLine(echo) as line, socket.create_connection(("127.0.0.1", line.port), PATIENCE_S) as before:
        before.sendall(b"one")
        assert before.recv(10) == b"one"
        line.cut()
        before.settimeout(QUIET_S)
        before.sendall(b"two")
        with pytest.raises(TimeoutError):
            before.recv(10)
        assert line.is_cut
        line.mend()
        before.settimeout(PATIENCE_S)
        with suppress(ConnectionError):
            assert before.recv(10) == b""
        with socket.create_connection(("127.0.0.1", line.port), PATIENCE_S) as after:
            after.sendall(b"three")
            assert after.recv(10) == b"three"


def test_keys_come_one_by_one_and_the_terminal_is_as_before(monkeypatch):
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "r") as terminal:
        before = termios.tcgetattr(theirs)
        monkeypatch.setattr(sys, "stdin", terminal)
        with keys() as pressed:
            assert pressed() == ""
            os.write(ours, b"c")
            found = ""
            for _ in range(1000):
                if found := pressed():
                    break
                threading.Event().wait(0.01)
            assert found == "c"
            assert pressed() == ""
        assert termios.tcgetattr(theirs) == before
    os.close(ours)


def test_without_a_terminal_nothing_is_pressed(monkeypatch, tmp_path):
    (tmp_path / "typed").write_text("c")
    with (tmp_path / "typed").open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        with keys() as pressed:
            assert pressed() == ""


def test_a_run_of_known_length_is_cut_for_its_middle_third():
    cuts = Cuts(60.0, lambda: "")
    turns = [second for second in range(60) if cuts.due(float(second))]
    assert turns == [20, 40]


def test_the_key_turns_the_line_at_each_press_and_two_at_once_change_nothing():
    typed = ["", "c", "x", "cc", "c"]
    cuts = Cuts(None, lambda: typed.pop(0))
    assert [cuts.due(0.0) for _ in range(5)] == [False, True, False, False, True]


def test_prices_are_there_from_yesterday_to_tomorrow():
    now_epoch_s = 1_795_000_000.0
    series = csv_file.parse(price_file(now_epoch_s).encode())
    assert isinstance(series, PriceSeries)
    assert series.start_epoch_s[0] <= now_epoch_s - 86_400
    assert end_epoch_s(series) >= now_epoch_s + 86_400
    assert series.eur_per_kwh.max() - series.eur_per_kwh.min() > 0.1
