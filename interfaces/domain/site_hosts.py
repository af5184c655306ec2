"""Can the hosts of a site file be reached as written, and does one address really carry what stands at it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, ip_address
from typing import Final

from interfaces.domain.site_bus import address_of, sections
from interfaces.domain.site_draft import Draft
from interfaces.domain.site_types import ModbusGateway, ModbusTcp, P1Tcp, Site
from interfaces.domain.site_yaml import Document, Path, Problem, shown

DOTTED_NUMBERS: Final = re.compile(r"[0-9.]+")
LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE)
"""One part of a host name (RFC 1123, section 2.1)."""


def check_hosts(draft: Draft) -> None:
    """Hosts that are no address and no name, and devices of different makes behind one TCP address."""
    shared: dict[tuple[str, int], dict[str, tuple[str, Path]]] = {}
    for _, path, entry in draft.devices():
        address = address_of(entry)
        if isinstance(address, ModbusGateway):
            _judge(draft, (*path, "modbus", "gateway"), address.gateway)
        if isinstance(address, P1Tcp):
            _judge(draft, (*path, "p1", "host"), address.host)
        if not isinstance(address, ModbusTcp):
            continue
        _judge(draft, (*path, "modbus", "host"), address.host)
        if entry.profile in draft.facts and draft.facts[entry.profile].make:
            makes = shared.setdefault((address.host.lower(), address.port), {})
            makes.setdefault(draft.facts[entry.profile].make, (entry.id, path))
    for (host, port), makes in shared.items():
        (make, (name, first)), *others = makes.items()
        for other_make, (other, path) in others:
            draft.warn(
                (*path, "modbus"),
                f"'{other}' ({other_make}) and '{name}' ({make}, line {draft.document.line_of(first)}) are of "
                f"different makes and have one address, {host} port {port}: right only if a gateway that converts to "
                f"serial answers there, else one of them is wrong",
            )


def _judge(draft: Draft, path: Path, host: str) -> None:
    wrong = why_no_host(host)
    if wrong:
        draft.say(path, f"'{host}' {wrong}: correct it")
    elif ":" in host and draft.site.network is not None:
        draft.say(
            path, f"'{host}' is an IPv6 address, but the devices behind 'network.device_interface' need IPv4 ones"
        )


def why_no_host(host: str) -> str:
    """Why nothing can be reached at a host, empty where something can. A host of digits and dots is an IPv4 address."""
    if DOTTED_NUMBERS.fullmatch(host) or ":" in host:
        try:
            address = ip_address(host)
        except ValueError:
            return "is no IP address"
        if address.is_unspecified or address.is_multicast or str(address) == "255.255.255.255":
            return "is the address of no single device"
        return ""
    labels = host.removesuffix(".").split(".")
    return "" if all(LABEL.fullmatch(label) for label in labels) else "is no host name"


def outside(host: str, networks: Sequence[IPv4Network]) -> bool:
    """Whether an IPv4 address lies in none of the networks. Names, IPv6 and this computer itself never do; nor does
    anything where no network is known.
    """
    try:
        address = IPv4Address(host)
    except ValueError:
        return False
    return bool(networks) and not address.is_loopback and not any(address in network for network in networks)


def out_of_reach(
    document: Document, site: Site, networks: Sequence[IPv4Network], *, on_site: bool
) -> tuple[Problem, ...]:
    """A warning for every host that lies in no network of this machine.

    Many a file is checked in an office: unless this machine is known to be ``on_site``, or is in the network of one of
    the hosts, nothing is said.
    """
    hosts = list(_hosts(site))
    if not on_site and all(outside(host, networks) for _, host in hosts):
        return ()
    known = ", ".join(map(str, networks))
    return tuple(
        Problem(
            document.line_of(path),
            shown(path),
            f"no network of this machine ({known}) holds '{host}': give this machine an address there or correct the "
            "host; right as it is only where a router joins the networks",
        )
        for path, host in hosts
        if outside(host, networks)
    )


def _hosts(site: Site) -> Iterator[tuple[Path, str]]:
    """Every host of a file and where it stands."""
    for section, entries in sections(site):
        for index, entry in enumerate(entries):
            address = address_of(entry)
            if isinstance(address, ModbusGateway):
                yield (section, index, "modbus", "gateway"), address.gateway
            elif isinstance(address, P1Tcp):
                yield (section, index, "p1", "host"), address.host
            elif isinstance(address, ModbusTcp):
                yield (section, index, "modbus", "host"), address.host
