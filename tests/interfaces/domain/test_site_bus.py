"""The arithmetic of polling rounds, against figures worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from interfaces.domain.site_bus import Round, bus_cycle_s, line_cycles_s, line_of
from interfaces.domain.site_file import topology_of
from interfaces.domain.site_types import ModbusGateway, ModbusRtu, ModbusTcp
from tests.interfaces.domain.site_texts import FACTS, garage, load


def test_one_meter_at_9600_baud():
    """1 request of 40 words: 8 + 5 + 80 bytes of 11 bits, 20 ms of turnaround, 200 ms of thinking."""
    assert bus_cycle_s([Round(1, 40, 0.2, 0.02)], 9600) == pytest.approx(93 * 11 / 9600 + 0.22)


def test_silence_counts_where_it_is_longer_than_the_turnaround():
    """At 1200 baud 3.5 characters last 32 ms; above 19200 baud the standard fixes 1.75 ms."""
    assert bus_cycle_s([Round(1, 0, 0.0, 0.02)], 1200) == pytest.approx(13 * 11 / 1200 + 3.5 * 11 / 1200)
    assert bus_cycle_s([Round(1, 0, 0.0, 0.0)], 115200) == pytest.approx(13 * 11 / 115200 + 0.00175)


def test_devices_of_a_line_wait_for_each_other():
    one = Round(2, 49, 0.2, 0.02)
    assert bus_cycle_s([one] * 3, 9600) == pytest.approx(3 * bus_cycle_s([one], 9600))


def test_tcp_has_no_frame_time():
    assert bus_cycle_s([Round(4, 500, 0.05)], None) == pytest.approx(0.2)


def test_lines():
    assert line_of(ModbusTcp("H", 502, 3)) == ("tcp", "h", 502)
    assert line_of(ModbusRtu("/dev/ttyUSB0", 1)) == ("rtu", "/dev/ttyUSB0", 0)
    assert line_of(ModbusGateway("Gw", 7, 4196)) == ("gateway", "gw", 4196)


def test_a_managed_device_on_a_serial_line_adds_its_writes():
    text = garage(("modbus: {host: 192.168.1.21, port: 502}", "modbus: {rtu: /dev/ttyUSB0, unit: 2, baud: 9600}"))
    managed, watched = load(text).site, load(text.replace("    managed: true\n", "    managed: false\n")).site
    assert managed is not None
    assert watched is None  # an unmanaged charger must be in background_max_a
    meter_alone = bus_cycle_s([Round(2, 49, 0.2, 0.02)], 9600)
    charger = bus_cycle_s([Round(1 + 2, 0 + 4, 0.1, 0.02)], 9600)
    assert line_cycles_s(managed, FACTS)[("rtu", "/dev/ttyUSB0", 0)] == pytest.approx(meter_alone + charger)


def test_the_meters_period_is_the_slowest_of_profile_line_and_file():
    site = load(garage()).site
    assert site is not None
    assert topology_of(site, FACTS).meter_period_s[0] == 1.0
    quick = {**FACTS, "cg_em500": replace(FACTS["cg_em500"], poll_s=0.2)}
    cycle_s = line_cycles_s(site, quick)[("rtu", "/dev/ttyUSB0", 0)]
    assert topology_of(site, quick).meter_period_s[0] == pytest.approx(cycle_s)
    slow = load(garage(("    profile: cg_em500\n", "    profile: cg_em500\n    period_ms: 3000\n")))
    assert slow.site is not None
    topology = topology_of(slow.site, FACTS)
    assert topology.meter_period_s[0] == 3.0
    assert topology.period_margin_ma[0] == 1000
    assert [warning.path for warning in slow.warnings] == [
        "meters[0].period_ms",
        "chargers[1].accept_unverified_failsafe",
    ]


def test_a_slow_line_slows_the_poll_of_its_chargers():
    text = garage(("modbus: {host: 192.168.1.21, port: 502}", "modbus: {rtu: /dev/ttyUSB0, unit: 2, baud: 9600}"))
    site = load(text).site
    assert site is not None
    slow = {**FACTS, "abb_terra_ac": replace(FACTS["abb_terra_ac"], poll_s=0.5, settle_poll_s=0.5)}
    topology = topology_of(site, slow)
    cycle_s = line_cycles_s(site, slow)[("rtu", "/dev/ttyUSB0", 0)]
    assert topology.poll_s[1] == pytest.approx(cycle_s)
    assert topology.settle_poll_s[1] == pytest.approx(cycle_s)
