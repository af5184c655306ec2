"""From a site file to connections."""

from __future__ import annotations

from interfaces.domain.site_types import Site
from interfaces.drivers.links import RtuOverTcpLink, SerialLink, TcpLink
from interfaces.drivers.site_reader import example_text, parse_site
from interfaces.drivers.wiring import wires_of


def site(text: str) -> Site:
    result = parse_site(text)
    assert result.site is not None, result
    return result.site


SHARED = """
version: 1
site: {id: s, time_zone: Europe/Brussels}
circuits:
  - {id: gcp, rated_a: [63, 63, 63], background_max_a: [30, 30, 30], protection: {kind: gG, rated_a: 63}}
meters:
  - {id: m1, profile: cg_em24_rs485, modbus: {gateway: 10.0.0.9, port: 4001, unit: 3}, period_ms: 1500, monitors: gcp}
  - {id: m2, profile: cg_em500, modbus: {gateway: 10.0.0.9, port: 4001, unit: 4}, monitors: gcp}
chargers:
  - id: c1
    profile: alfen_eve
    circuit: gcp
    modbus: {host: 10.0.0.11}
    failsafe: {current_a: 6, timeout_s: 60}
    evses:
      - {id: left, max_current_a: [16, 16, 16], phases: [L1, L2, L3]}
      - {id: right, max_current_a: [16, 16, 16], phases: [L2, L3, L1]}
  - id: c2
    profile: bender_cc61x_ecu
    circuit: gcp
    managed: false
    modbus: {host: 10.0.0.12, port: 1502, unit: 1}
    evses:
      - {id: b1, max_current_a: [16], phases: [L1]}
      - {id: b2, max_current_a: [16], phases: [L2]}
"""


def test_who_shares_a_connection():
    wires = {wire.points[0].key: wire for wire in wires_of(site(SHARED))}
    line = wires["m1"].link
    assert isinstance(line, RtuOverTcpLink)
    assert [(point.key, point.unit) for point in wires["m1"].points] == [("m1", 3), ("m2", 4)]
    assert (line.line.max_response_s, line.line.baud) == (0.5, 9600)  # the slower of the two
    assert (wires["m1"].points[0].period_s, wires["m1"].points[1].period_s) == (1.5, None)
    # Two sockets behind one address, each with its unit ...
    assert wires["left"].link == TcpLink("10.0.0.11", 502)
    assert [(p.key, p.unit, p.station_unit) for p in wires["left"].points] == [("left", 1, 200), ("right", 2, 200)]
    assert wires["left"].points[0].managed
    assert wires["left"].points[1].failsafe is not None
    # ... and two connectors with a TCP port each.
    assert [(w.link, w.points[0].unit, w.points[0].managed) for w in (wires["b1"], wires["b2"])] == [
        (TcpLink("10.0.0.12", 1502), 1, False),
        (TcpLink("10.0.0.12", 1503), 1, False),
    ]


def test_a_site_that_is_only_watched_manages_nothing():
    watched = site(SHARED.replace("time_zone: Europe/Brussels", "time_zone: Europe/Brussels, mode: monitor"))
    assert not any(point.managed for wire in wires_of(watched) for point in wire.points)


def test_every_point_of_the_example_sites_is_wired_once():
    for name in ("garage", "depot"):
        found = site(example_text(name))
        keys = [point.key for wire in wires_of(found) for point in wire.points]
        expected = [e.id for c in found.chargers for e in c.evses]
        expected += [meter.id for meter in found.meters] + [battery.id for battery in found.batteries]
        expected += [inverter.id for inverter in found.pv] + [load.id for load in found.loads]
        assert sorted(keys) == sorted(expected)
        links = [wire.link for wire in wires_of(found)]
        assert len({str(link) for link in links}) == len(links)
    serial = [wire.link for wire in wires_of(site(example_text("garage"))) if isinstance(wire.link, SerialLink)]
    assert [link.device for link in serial] == ["/dev/ttyUSB0"]
