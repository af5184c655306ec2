"""Windows of a site's journal in its folder: ``journal/WINDOW/SEGMENT``, put together from the pieces that arrive.

Only a window that somebody here asked for is taken: its folder is there (``LocalLink.expect_window``). A piece is a
file of its own until its segment is whole and its digest right. What is there is never replaced by something else.
Windows stay until somebody deletes them.
"""

from __future__ import annotations

import base64
import hashlib
import logging
from pathlib import Path

from interfaces.domain.wire_journal import MOST_WINDOW_BYTES, PIECE_BYTES, JournalPiece
from optimizer.service.local_link import JOURNAL_FOLDER, write_whole

log = logging.getLogger(__name__)


def keep_piece(site_folder: Path, piece: JournalPiece) -> str:
    """Keep one piece for good; why it is not kept, empty where it is or was already.

    Raises:
        OSError: the folder cannot be read or written.
    """
    folder = site_folder / JOURNAL_FOLDER / piece.window
    if not folder.is_dir():
        return "nobody here asked for this window"
    data = _data(piece)
    if data is None:
        return "a piece is not as long as it has to be"
    segment, place = folder / piece.segment, folder / f"{piece.segment}.{piece.offset}"
    if not segment.exists():
        if place.exists():
            if place.read_bytes() != data:
                return "a piece came with another content before"
        elif sum(path.stat().st_size for path in folder.iterdir()) + len(data) > MOST_WINDOW_BYTES:
            return f"a window has more than {MOST_WINDOW_BYTES} bytes"
        else:
            write_whole(place, data)
    return _put_together(segment, piece)


def _data(piece: JournalPiece) -> bytes | None:
    """The bytes of a piece; None where they are not those of its place."""
    try:
        data = base64.b64decode(piece.data, validate=True)
    except ValueError:
        return None
    return data if len(data) == min(PIECE_BYTES, piece.total - piece.offset) else None


def _put_together(segment: Path, piece: JournalPiece) -> str:
    """Make the segment of its pieces once all are there; why that cannot be."""
    there = list(segment.parent.glob(f"{segment.name}.*"))
    places = [segment.with_name(f"{segment.name}.{offset}") for offset in range(0, piece.total, PIECE_BYTES)]
    if not segment.exists():
        if len(there) < len(places) or not all(place.exists() for place in places):
            return ""
        whole = b"".join(place.read_bytes() for place in places)
        if hashlib.sha256(whole).hexdigest() != piece.digest:
            _unlink(there)
            return f"the digest of {segment.name} is wrong"
        write_whole(segment, whole)
    _unlink(there)
    if there and len(list(segment.parent.glob("*.swj"))) == piece.segments:
        log.info("journal_window_complete folder=%s segments=%d", segment.parent, piece.segments)
    return ""


def _unlink(paths: list[Path]) -> None:
    for path in paths:
        path.unlink()
