"""Hosts as people write them, and what may stand at one address."""

from __future__ import annotations

from dataclasses import replace

import pytest

from interfaces.domain.site_file import load_site
from interfaces.domain.site_hosts import why_no_host
from tests.interfaces.domain.site_texts import EXTRA_CHARGER, FACTS, MORE, garage, line_of, load


@pytest.mark.parametrize("host", ["192.168.1.22", "::1", "fe80::1", "plc", "evse-1.garage.example", "4in1", "a.b."])
def test_hosts_that_are_fit(host):
    assert why_no_host(host) == ""


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("256.1.1.1", "is no IP address"),
        ("1.2.3", "is no IP address"),
        ("1.2.3.4.5", "is no IP address"),
        ("192.168.01.2", "is no IP address"),
        ("12", "is no IP address"),
        ("192.168.1.2:502", "is no IP address"),
        (":::", "is no IP address"),
        ("0.0.0.0", "is the address of no single device"),
        ("255.255.255.255", "is the address of no single device"),
        ("224.0.0.1", "is the address of no single device"),
        ("", "is no host name"),
        ("a..b", "is no host name"),
        ("-a.b", "is no host name"),
        ("a" * 64, "is no host name"),
    ],
)
def test_hosts_where_nothing_can_answer(host, reason):
    assert why_no_host(host) == reason


@pytest.mark.parametrize("host", ["256.1.1.1", "1.2.3", "192.168.1.22:502"])
def test_a_wrong_host_is_refused_with_path_and_line(host):
    text = garage((MORE, "\n" + EXTRA_CHARGER.replace("192.168.1.22", f"'{host}'") + MORE))
    problems = load(text).problems
    assert [(p.path, p.line) for p in problems] == [("chargers[2].modbus.host", line_of(text, host))]
    assert problems[0].message == f"'{host}' is no IP address: correct it"


def test_an_ipv6_host_is_refused_where_connections_are_bound_to_an_interface():
    text = garage((MORE, "\n" + EXTRA_CHARGER.replace("192.168.1.22", "'fd00::22'") + MORE))
    assert [p.message for p in load(text).problems] == [
        "'fd00::22' is an IPv6 address, but the devices behind 'network.device_interface' need IPv4 ones"
    ]
    lines = text.splitlines(keepends=True)
    free = "".join(line for line in lines if not line.startswith("network:") and "_interface:" not in line)
    assert load(free).problems == ()


MAKES = {
    "cg_em500": replace(FACTS["cg_em500"], make="Carlo Gavazzi"),
    "tcp_meter": replace(FACTS["tcp_meter"], make="Carlo Gavazzi"),
    "webasto_live": replace(FACTS["webasto_live"], make="Webasto"),
}


def shared(profile: str, **change: str) -> str:
    """The garage with another meter at the address of its first charger (a Webasto Live)."""
    address = change.get("address", "{host: 192.168.1.20, unit: 9}")
    entry = f"  - {{id: m2, profile: {profile}, modbus: {address}, monitors: garage}}\n"
    return garage(("\nchargers:", entry + "\nchargers:"))


def told(text: str) -> list[tuple[str, str]]:
    result = load_site(text, {**FACTS, **MAKES})
    return [(w.path, w.message) for w in result.warnings if "makes" in w.message]


def test_two_makes_at_one_address_are_a_warning_that_names_both():
    text = shared("tcp_meter")
    ((path, message),) = told(text)
    assert path == "chargers[0].modbus"
    assert message == (
        f"'place-2' (Webasto) and 'm2' (Carlo Gavazzi, line {line_of(text, 'id: m2')}) are of different makes and have "
        "one address, 192.168.1.20 port 502: right only if a gateway that converts to serial answers there, else one "
        "of them is wrong"
    )


def test_one_make_another_port_or_a_gateway_are_no_warning():
    assert told(shared("tcp_meter", address="{host: 192.168.1.20, port: 503, unit: 9}")) == []
    two = "".join(
        f"  - {{id: m{k}, profile: {name}, modbus: {{host: 10.0.0.9, unit: {k}}}, monitors: garage}}\n"
        for k, name in ((2, "tcp_meter"), (3, "cg_em500"))
    )
    assert told(garage(("\nchargers:", two + "\nchargers:"))) == []
    bus = "".join(
        f"  - {{id: m{k}, profile: {name}, modbus: {{gateway: 10.0.0.9, unit: {k}}}, monitors: garage}}\n"
        for k, name in ((2, "other_meter"), (3, "cg_em500"))
    )
    facts = {**FACTS, **MAKES, "other_meter": replace(FACTS["cg_em500"], make="Eastron")}
    result = load_site(garage(("\nchargers:", bus + "\nchargers:")), facts)
    assert result.problems == ()
    assert not [w for w in result.warnings if "makes" in w.message]
