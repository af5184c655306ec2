"""The IPv4 address of a network interface of this computer (Linux).

Source: netdevice(7), SIOCGIFADDR: an ``ifreq`` of 16 bytes of name, then a ``sockaddr_in`` whose bytes 4 to 8 are the
address.
"""

from __future__ import annotations

import fcntl
import socket
import struct
from typing import Final

SIOCGIFADDR: Final = 0x8915
NAME_BYTES: Final = 15
IFREQ: Final = struct.Struct("16s24x")
ADDRESS: Final = slice(20, 24)


def ipv4_of(interface: str) -> str | None:
    """Its first IPv4 address; None where there is no such interface or it has none (yet)."""
    name = interface.encode()
    if len(name) > NAME_BYTES:
        return None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            answer = fcntl.ioctl(any_socket.fileno(), SIOCGIFADDR, IFREQ.pack(name))
        except OSError:
            return None
    return socket.inet_ntoa(answer[ADDRESS])
