"""Pieces of a site's journal become files of its folder: only those asked for, only whole, only right."""

from __future__ import annotations

import base64
import hashlib
import logging
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from interfaces.domain.wire import read, write
from interfaces.domain.wire_head import Head, WireRefusal
from interfaces.domain.wire_journal import PIECE_BYTES, JournalPiece
from interfaces.domain.wire_topics import Address
from optimizer.service import journal_files
from optimizer.service.folder_store import FolderStore
from optimizer.service.ingest import Arrival
from optimizer.service.journal_files import keep_piece
from optimizer.service.local_link import LocalLink
from optimizer.service.sql_telemetry import SqlTelemetry
from optimizer.store.database import Database
from optimizer.store.registry import Controller, put_controller
from tests.optimizer.store.kit import NOW, with_sites

HERE = Address("acme", "north", "north-1")
WINDOW = "c0ffee00-0001"
SEGMENTS = ("00000007-20261123T060000Z.swj", "00000008-20261123T070000Z.swj")
CONTENT = {name: random.Random(name).randbytes(2 * PIECE_BYTES + 100) for name in SEGMENTS}


def pieces(*names: str, **changes: Any) -> list[JournalPiece]:
    found: list[JournalPiece] = []
    for name in names or SEGMENTS:
        whole = CONTENT[name]
        for offset in range(0, len(whole), PIECE_BYTES):
            data = base64.b64encode(whole[offset : offset + PIECE_BYTES]).decode()
            head, digest = Head(7, len(found), NOW), hashlib.sha256(whole).hexdigest()
            piece = JournalPiece(head, WINDOW, len(SEGMENTS), name, offset, len(whole), digest, data)
            found.append(replace(piece, **changes))
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a site whose window was asked for."""
    assert LocalLink(tmp_path, "north").expect_window(WINDOW) is None
    return tmp_path


def arrived(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "journal" / WINDOW).iterdir()}


def test_pieces_in_any_order_and_twice_make_the_segments(folder, caplog):
    caplog.set_level(logging.INFO)
    mixed = [*pieces(), *pieces()]
    random.Random(5).shuffle(mixed)
    for k, piece in enumerate(mixed):
        assert keep_piece(folder, piece) == ""
        whole = {name for name in arrived(folder) if name in SEGMENTS}
        assert ("journal_window_complete" in caplog.text) is (len(whole) == 2), k
    assert arrived(folder) == CONTENT, "and nothing else is left"
    assert caplog.text.count("journal_window_complete") == 1


def test_a_window_nobody_asked_for_is_not_taken(folder):
    (piece, *_) = pieces(window="c0ffee00-0002")
    assert keep_piece(folder, piece) == "nobody here asked for this window"
    assert [path.name for path in (folder / "journal").iterdir()] == [WINDOW]


def test_a_segment_with_a_wrong_digest_is_none(folder):
    *rest, last = pieces(SEGMENTS[0], digest="0" * 64)
    assert [keep_piece(folder, piece) for piece in rest] == ["", ""]
    assert keep_piece(folder, last) == f"the digest of {SEGMENTS[0]} is wrong"
    assert arrived(folder) == {}


def test_nothing_that_is_there_is_replaced(folder):
    first, *_ = pieces()
    other = replace(first, data=base64.b64encode(bytes(PIECE_BYTES)).decode())
    assert keep_piece(folder, first) == ""
    assert keep_piece(folder, other) == "a piece came with another content before"
    for piece in pieces():
        assert keep_piece(folder, piece) == ""
    assert keep_piece(folder, other) == ""
    assert arrived(folder) == CONTENT


def test_a_window_beyond_its_bound_is_not_taken(folder, monkeypatch):
    monkeypatch.setattr(journal_files, "MOST_WINDOW_BYTES", 2 * PIECE_BYTES + 100)
    found = [keep_piece(folder, piece) for piece in pieces()]
    assert found[:3] == ["", "", ""]
    assert set(found[3:]) == {f"a window has more than {2 * PIECE_BYTES + 100} bytes"}
    assert arrived(folder) == {SEGMENTS[0]: CONTENT[SEGMENTS[0]]}


@pytest.mark.parametrize(
    "changes",
    [{"data": "AAAA"}, {"data": "A"}, {"total": 2 * PIECE_BYTES}, {"total": 1}],
)
def test_a_piece_is_as_long_as_its_place(folder, changes):
    for piece in pieces(**changes)[2:3]:
        assert keep_piece(folder, piece) == "a piece is not as long as it has to be"
    assert arrived(folder) == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"segment": "../../plan.json"},
        {"segment": "00000007-20261123T060000Z.swj/x"},
        {"window": "../../../x"},
        {"offset": 100},
        {"offset": 1 << 40},
        {"total": 1 << 40},
        {"segments": 1000},
        {"data": "A" * 44_000},
    ],
)
def test_what_the_contract_does_not_allow_is_no_piece(changes):
    good = write(pieces()[0]).decode()
    assert isinstance(read(good, JournalPiece), JournalPiece)
    (key, value), *_ = changes.items()
    before = getattr(pieces()[0], key)
    old, new = (f'"{key}":"{one}"' if isinstance(one, str) else f'"{key}":{one}' for one in (before, value))
    assert old in good
    assert isinstance(read(good.replace(old, new), JournalPiece), WireRefusal)


def test_a_killed_process_is_gone_on_with(folder):
    for piece in pieces(SEGMENTS[0]):
        keep_piece(folder, piece)
    place = folder / "journal" / WINDOW
    (place / f"{SEGMENTS[0]}.0").write_bytes(CONTENT[SEGMENTS[0]][:PIECE_BYTES])  # killed before it was tidy
    (place / f".{SEGMENTS[1]}.0.new").write_bytes(b"half")
    for piece in pieces():
        assert keep_piece(folder, piece) == ""
    assert {name: found for name, found in arrived(folder).items() if not name.startswith(".")} == CONTENT


def test_a_store_keeps_pieces_in_the_folder_and_not_among_the_messages(folder, caplog):
    store = FolderStore({HERE: folder})
    foreign = [Arrival(HERE, piece, None, NOW) for piece in pieces(window="c0ffee00-0002")]
    assert store.add([*(Arrival(HERE, piece, None, NOW) for piece in pieces()), *foreign]) is None
    assert arrived(folder) == CONTENT
    assert list(folder.glob("messages-*")) == []
    assert caplog.text.count("journal_refused site=north window=c0ffee00-0002") == 1


def test_the_database_knows_the_name_of_a_piece_and_not_its_content(database: Database):
    with_sites(database, "north")
    put_controller(database, Controller("north-1", "north", None, NOW))
    telemetry = SqlTelemetry(database, now_s=lambda: 0.0, now_epoch_s=lambda: NOW)
    assert telemetry.add([Arrival(HERE, piece, None, NOW) for piece in pieces()]) is None
    with database.begin() as connection:
        found = connection.execute(text("SELECT kind, body FROM messages")).all()
    assert [tuple(row) for row in found] == [("journal", None)] * len(pieces())
