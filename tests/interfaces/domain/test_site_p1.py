"""Meters with a P1 port in a site file: how they are written, what is refused, what they cost."""

from __future__ import annotations

import jsonschema
import pytest
import yaml

from interfaces.domain.device_facts import DeviceFacts
from interfaces.domain.site_bus import address_of, line_cycles_s, line_of, unit_in_file
from interfaces.domain.site_file import SiteResult, load_site, site_differences, topology_of
from interfaces.domain.site_schema import site_schema
from interfaces.domain.site_topology import topology_version
from interfaces.domain.site_types import P1Serial, P1Tcp
from interfaces.drivers.facts import all_facts

TEXT = """
version: 1
site: {id: s, time_zone: Europe/Brussels}
circuits:
  - {id: gcp, rated_a: [63, 63, 63], meter: grid, background_max_a: [30, 30, 30], protection: {kind: gG, rated_a: 63}}
meters:
  - {id: grid, profile: dsmr_p1, p1: {host: 10.0.0.9, port: 2001}}
"""
FACTS = all_facts()


def load(*changes: tuple[str, str], facts: dict[str, DeviceFacts] = FACTS) -> SiteResult:
    text = TEXT
    for before, after in changes:
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    return load_site(text, facts)


def site_of(*changes: tuple[str, str]):
    result = load(*changes)
    assert result.site is not None, result
    return result.site


def problems(*changes: tuple[str, str]) -> list[tuple[str, str]]:
    return [(problem.path, problem.message) for problem in load(*changes).problems]


SERIAL = ("p1: {host: 10.0.0.9, port: 2001}", "p1: {serial: /dev/ttyUSB0}")


def test_a_network_bridge_and_a_serial_cable():
    site = site_of()
    assert site.meters[0].address == P1Tcp("10.0.0.9", 2001)
    assert line_of(address_of(site.meters[0])) == ("p1", "10.0.0.9", 2001)
    assert unit_in_file(site.meters[0]) is None
    site = site_of(SERIAL)
    assert site.meters[0].address == P1Serial("/dev/ttyUSB0")
    assert line_of(site.meters[0].address) == ("p1", "/dev/ttyUSB0", 0)
    assert set(line_cycles_s(site, FACTS).values()) == {0.0}  # nothing is polled


def test_slow_telegrams_are_charged_for_and_not_stale():
    fast = topology_of(site_of(), FACTS)
    slow = topology_of(site_of(("dsmr_p1", "dsmr4_p1")), FACTS)
    said = topology_of(site_of((", p1:", ", period_ms: 10000, p1:")), FACTS)
    assert (fast.meter_period_s[0], slow.meter_period_s[0], said.meter_period_s[0]) == (1.0, 10.0, 10.0)
    # 0.5 A for each second above the first
    assert (fast.period_margin_ma[0], slow.period_margin_ma[0], said.period_margin_ma[0]) == (0, 4500, 4500)
    for change in (("dsmr_p1", "dsmr4_p1"), (", p1:", ", period_ms: 10000, p1:")):
        (warning,) = load(change).warnings
        assert "each second above the first costs 0.5 A per phase" in warning.message
    assert load().warnings == ()


def test_moving_the_port_keeps_plans_valid():
    old, new = site_of(), site_of(SERIAL)
    assert topology_version(old, FACTS) == topology_version(new, FACTS)
    assert site_differences(old, new) == "topology"  # the connections start anew
    assert topology_version(site_of(("dsmr_p1", "dsmr4_p1")), FACTS) != topology_version(old, FACTS)


@pytest.mark.parametrize(
    ("changes", "path", "told"),
    [
        ([(", p1: {host: 10.0.0.9, port: 2001}", "")], "meters[0].modbus", "write either 'modbus' or 'p1'"),
        ([(", p1:", ", modbus: {host: 10.0.0.8}, p1:")], "meters[0].modbus", "write either 'modbus' or 'p1'"),
        ([("p1: {host", "p2: {host")], "meters[0].p2", "unknown key 'p2'"),
        ([("port: 2001", "port: 99999")], "meters[0].p1.port", "at most 65535"),
        ([(", port: 2001", "")], "meters[0].p1.port", "'port' is missing here"),
        ([("10.0.0.9", "10.0.0.999")], "meters[0].p1.host", "is no IP address"),
        ([("{host: 10.0.0.9, port: 2001}", "{serial: ttyUSB0}")], "meters[0].p1.serial", "may only have the form"),
        ([("{host: 10.0.0.9, port: 2001}", "{serial: /dev/ttyS0, baud: 9600}")], "meters[0].p1.baud", "unknown key"),
        ([("p1: {host", "modbus: {host")], "meters[0].modbus", "does not speak Modbus TCP: write its address as p1:"),
        ([("dsmr_p1", "eastron_sdm630")], "meters[0].p1", "does not speak P1: write its address as {"),
        ([("Brussels}", "Brussels, connection: 3ph_delta}")], "meters[0].profile", "network without neutral"),
    ],
)
def test_what_is_refused(changes, path, told):
    (problem,) = problems(*changes)
    assert problem[0] == path
    assert told in problem[1]


def second(meter: str) -> tuple[str, str]:
    return "port: 2001}}\n", f"port: 2001}}}}\n  - {{id: m2, monitors: gcp, {meter}}}\n"


def test_a_port_has_one_meter():
    ((path, told),) = problems(second("profile: dsmr_p1, p1: {host: 10.0.0.9, port: 2001}"))
    assert path == "meters[1].p1"
    assert "the same address, 10.0.0.9 port 2001: one of them is wrong" in told
    ((path, told),) = problems(second("profile: cg_em500, modbus: {host: 10.0.0.9, port: 2001}"))
    assert path == "meters[1].modbus"
    assert "use 10.0.0.9 port 2001 once with 'host' and once with 'p1'" in told
    meter = "  - {id: m2, monitors: gcp, profile: cg_em500, modbus: {rtu: /dev/ttyUSB0, unit: 1}}"
    ((path, told),) = problems(SERIAL, ("ttyUSB0}}\n", f"ttyUSB0}}}}\n{meter}\n"))
    assert "use /dev/ttyUSB0 once with 'rtu' and once with 'p1'" in told


def test_a_wrong_port_does_not_hide_other_mistakes():
    found = dict(problems(("port: 2001", "port: 0"), ("meter: grid", "meter: grit"), ("dsmr_p1", "nothing")))
    assert {"meters[0].p1.port", "circuits[0].meter"} <= set(found)


def test_the_schema_for_editors_wants_one_address():
    schema = site_schema()
    jsonschema.validate(yaml.safe_load(TEXT), schema)
    for before, after in ((", p1: {host: 10.0.0.9, port: 2001}", ""), (", p1:", ", modbus: {host: h}, p1:")):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(yaml.safe_load(TEXT.replace(before, after)), schema)
