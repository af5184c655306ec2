"""How much the line of a box has carried, as the kernel counts it."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from typing import Final

from interfaces.domain.units import SECONDS_PER_DAY
from interfaces.errors import UserError
from simulations.bench.box import Box

HEADERS: Final = 52
"""IPv4 20, TCP 20, its time stamps 12 bytes."""
SEGMENT: Final = 1448
"""What an Ethernet line carries in one segment; the loopback carries far more."""
INFO_BYTES: Final = 192
COUNTERS_AT: Final = 120
"""``struct tcp_info`` of Linux: bytes acknowledged and received (64 bit), then segments out and in (32 bit)."""
MONTH_S: Final = 30 * SECONDS_PER_DAY


@dataclass(frozen=True, slots=True)
class Carried:
    """What a socket has carried: bytes out and in, and segments both ways."""

    out: int
    into: int
    segments: int

    def since(self, before: Carried) -> int:
        """Bytes on an Ethernet line with all headers."""
        sent, got = self.out - before.out, self.into - before.into
        split = max(0, -(-sent // SEGMENT) - 1) + max(0, -(-got // SEGMENT) - 1)
        return sent + got + HEADERS * (self.segments - before.segments + split)


def carried(box: Box) -> Carried:
    """What the present connection of a box has carried so far."""
    line = box.link.line
    if line is None:
        raise UserError("the line of a box broke while its messages were weighed")
    info = line.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, INFO_BYTES)
    out, into, segments_out, segments_in = struct.unpack_from("=QQII", info, COUNTERS_AT)
    return Carried(out, into, segments_out + segments_in)
