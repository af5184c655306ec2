"""The journal on its way to support: pieces of the segments that hold a window somebody asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field

from interfaces.domain.wire_head import TOLERANT, Head

PIECE_BYTES: Final[int] = 32 * 1024
"""Of a segment in one message: 44 kB of text, a sixth of what a payload may be, so that on a line of 1 Mbit/s what is
told meanwhile waits a third of a second."""
MOST_WINDOW_BYTES: Final[int] = 64 * 1024 * 1024
MOST_SEGMENTS: Final[int] = 200
TEXT_LENGTH: Final[int] = -(-PIECE_BYTES // 3) * 4
"""Base64 (RFC 4648)."""

WindowId: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{8,64}$", description="id of the command")]
SegmentName: TypeAlias = Annotated[str, Field(pattern=r"^[0-9]{8}-[0-9]{8}T[0-9]{6}Z\.swj$")]


@dataclass(frozen=True, slots=True)
class JournalPiece:
    """A piece of one of ``segments`` files of a window. Each begins at a multiple of 32 KiB and is so long, only the
    last one of a file is shorter. ``total`` bytes and ``digest`` (SHA-256) are those of the whole file.
    """

    __pydantic_config__ = TOLERANT
    head: Head
    window: WindowId
    segments: Annotated[int, Field(ge=1, le=MOST_SEGMENTS)]
    segment: SegmentName
    offset: Annotated[int, Field(ge=0, lt=MOST_WINDOW_BYTES, multiple_of=PIECE_BYTES)]
    total: Annotated[int, Field(ge=1, le=MOST_WINDOW_BYTES)]
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    data: Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]+={0,2}$", max_length=TEXT_LENGTH, description="base64")]
    kind: Literal["journal"] = "journal"
