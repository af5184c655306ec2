"""Who answers at an address, and which networks this computer is in: the kernel's tables, parsed. Linux.

A Modbus device without a serial number is told from its neighbours by the address of its network card. The kernel knows
it of everybody it has just talked to in a network of its own; of what lies behind a router it knows the router only
and has no entry, so that nothing is said.
Source: proc(5), /proc/net/arp and /proc/net/route (addresses of the latter in hexadecimal, lowest byte first).
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Final

ARP: Final = Path("/proc/net/arp")
ROUTE: Final = Path("/proc/net/route")
COMPLETE: Final = 0x2
"""Flag of an entry whose card address is known (linux/if_arp.h, ATF_COM)."""
UP: Final = 0x1
"""Flag of a route that is usable (linux/route.h, RTF_UP)."""
NOBODY: Final = "00:00:00:00:00:00"
CHANGES_KEPT: Final = 6
"""Card addresses remembered of one IP address, the latest last."""

Network = ipaddress.IPv4Network


def macs_of(table: str) -> dict[str, str]:
    """IPv4 address -> card address, of the complete entries of the neighbour table."""
    found: dict[str, str] = {}
    for line in table.splitlines()[1:]:
        columns = line.split()
        if len(columns) < 6:
            continue
        host, flags, mac = columns[0], columns[2], columns[3].lower()
        if _number(flags) & COMPLETE and mac != NOBODY:
            found[host] = mac
    return found


def networks_of(table: str) -> tuple[Network, ...]:
    """The IPv4 networks this computer is itself in, by its routing table: those without a gateway."""
    found = []
    for line in table.splitlines()[1:]:
        columns = line.split()
        if len(columns) < 8 or not _number(columns[3]) & UP or _number(columns[2]):
            continue
        address, mask = (ipaddress.IPv4Address(_swapped(column)) for column in (columns[1], columns[7]))
        try:
            network = Network((address, str(mask)))
        except ValueError:
            continue
        if network.prefixlen:
            found.append(network)
    return tuple(dict.fromkeys(found))


def seen(before: tuple[str, ...], mac: str) -> tuple[str, ...]:
    """The card addresses that answered at one IP address, in their order, after one more look ("": none known)."""
    if not mac or (before and before[-1] == mac):
        return before
    return (*before, mac)[-CHANGES_KEPT:]


def rivals(history: tuple[str, ...]) -> tuple[str, ...]:
    """Card addresses that take turns: one came back after another had answered. A mere replacement is none."""
    returned = len(set(history)) < len(history)
    return tuple(sorted(set(history))) if returned else ()


def read_mac(host: str) -> str:
    """The card address behind an IPv4 address this computer has just talked to; empty where it is not known."""
    return "" if host.startswith("127.") else macs_of(_text(ARP)).get(host, "")


def read_networks() -> tuple[Network, ...]:
    """The networks this computer is in now; none where the kernel does not tell."""
    return networks_of(_text(ROUTE))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def _number(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError:
        return 0


def _swapped(text: str) -> int:
    return int.from_bytes(_number(text).to_bytes(4, "little"), "big")
