"""Where a device is reached, and how long its answer may take.

A time-out must cover the slowest honest answer and no more: on TCP 0.5 s; on a serial line or behind a gateway the
device's longest response plus the time both frames need on the line plus 100 ms.
Source for frame times: Modbus over serial line 1.02, section 2.5.1 (11 bits per character, 3.5 characters of silence).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from interfaces.drivers.profile import Rtu

TCP_TIMEOUT_S: Final = 0.5
LINE_RESERVE_S: Final = 0.1
BITS_PER_CHARACTER: Final = 11
SILENCE_CHARACTERS: Final = 3.5
MIN_SILENCE_S: Final = 0.00175
"""Above 19200 baud the silence between frames is fixed."""
READ_REQUEST_BYTES: Final = 8
WRITE_REQUEST_OVERHEAD_BYTES: Final = 9


@dataclass(frozen=True, slots=True)
class Line:
    """A serial line: speed, character format, slowest response and the pause a device needs between frames."""

    baud: int = 9600
    format: str = "8N1"
    max_response_s: float = 0.2
    turnaround_s: float = 0.02

    def frame_s(self, size_bytes: int) -> float:
        """Seconds ``size_bytes`` take on the wire."""
        return size_bytes * BITS_PER_CHARACTER / self.baud

    @property
    def silence_s(self) -> float:
        """The pause before a request: the standard's silence or what the device needs, whichever is longer."""
        return max(SILENCE_CHARACTERS * BITS_PER_CHARACTER / self.baud, MIN_SILENCE_S, self.turnaround_s)

    def timeout_s(self, words: int) -> float:
        """Longest honest wait for a request and reply that carry ``words`` registers between them."""
        both = self.frame_s(READ_REQUEST_BYTES) + self.frame_s(WRITE_REQUEST_OVERHEAD_BYTES + 2 * words)
        return self.max_response_s + both + LINE_RESERVE_S


@dataclass(frozen=True, slots=True)
class TcpLink:
    """Modbus TCP. ``interface``: the network interface its connections leave by (None: as the routing table says)."""

    host: str
    port: int = 502
    reply_timeout_s: float = TCP_TIMEOUT_S
    interface: str | None = None

    def timeout_s(self, words: int) -> float:  # noqa: ARG002  all links answer the same question
        return self.reply_timeout_s


@dataclass(frozen=True, slots=True)
class RtuOverTcpLink:
    """Modbus RTU frames in TCP, through a transparent gateway. ``interface`` as for ``TcpLink``."""

    host: str
    port: int
    line: Line
    interface: str | None = None

    def timeout_s(self, words: int) -> float:
        return self.line.timeout_s(words)


@dataclass(frozen=True, slots=True)
class SerialLink:
    """Modbus RTU on a serial port of this computer."""

    device: str
    line: Line

    def timeout_s(self, words: int) -> float:
        return self.line.timeout_s(words)


Link = TcpLink | RtuOverTcpLink | SerialLink


@dataclass(frozen=True, slots=True)
class P1TcpLink:
    """The P1 port of a digital meter as a TCP stream of telegrams. ``interface`` as for ``TcpLink``."""

    host: str
    port: int
    interface: str | None = None


@dataclass(frozen=True, slots=True)
class P1SerialLink:
    """The P1 port on a serial device of this computer: 115200 baud, 8N1; the cable inverts the line."""

    device: str


P1Link = P1TcpLink | P1SerialLink


@dataclass(frozen=True, slots=True)
class CloudLink:
    """An installation behind its maker's service, which only the gateway reaches; ``limit_a`` as in the site file."""

    installation_id: str
    limit_a: float


AnyLink = Link | P1Link | CloudLink


def line_of(rtu: Rtu, baud: int | None = None, line_format: str | None = None) -> Line:
    """The line of a profile's RTU settings; the installer's speed and format win."""
    return Line(baud or rtu.baud, line_format or rtu.format, rtu.max_response_ms / 1000, rtu.turnaround_ms / 1000)


def place_of(link: AnyLink, unit: int) -> str:
    """Where a point is reached, in words: address and port, or the serial port, and the unit where there are units."""
    match link:
        case P1TcpLink():
            return f"{link.host}:{link.port}"
        case P1SerialLink():
            return link.device
        case CloudLink():
            return f"installation {link.installation_id}"
        case SerialLink():
            return f"{link.device} unit {unit}"
        case _:
            return f"{link.host}:{link.port} unit {unit}"
