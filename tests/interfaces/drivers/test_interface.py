"""Connections leave by the interface the site file names, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time

import pytest

from controller.service.process import wires_here
from interfaces.drivers import modbus
from interfaces.drivers.interface import ipv4_of
from interfaces.drivers.links import Line, RtuOverTcpLink, TcpLink
from interfaces.drivers.modbus import RECONNECT_FIRST_S, RECONNECT_MAX_S, ModbusPort
from interfaces.drivers.modbus_server import ModbusServer
from interfaces.drivers.register_bank import RegisterBank
from interfaces.drivers.replies import Fault, Words
from interfaces.drivers.site_reader import example_text, parse_site

NOWHERE = "nosuchif0"
LINE = Line(baud=115200, max_response_s=0.05, turnaround_s=0.0)


def test_the_address_of_an_interface():
    assert ipv4_of("lo") == "127.0.0.1"
    assert ipv4_of(NOWHERE) is None
    assert ipv4_of("a-name-longer-than-linux-has") is None


@contextlib.asynccontextmanager
async def port_by(interface, framing="mbap", clock=time.monotonic):
    held = RegisterBank()
    held.put("holding", 100, [7])
    async with ModbusServer({1: held}, framing=framing) as server:
        link = (
            TcpLink("127.0.0.1", server.port, 0.2, interface)
            if framing == "mbap"
            else RtuOverTcpLink("127.0.0.1", server.port, LINE, interface)
        )
        port = ModbusPort(link, clock, random.Random(7))
        try:
            yield port
        finally:
            await port.aclose()


def local_address(port):
    return port._client.ctx.transport.get_extra_info("sockname")[0]


@pytest.mark.parametrize("framing", ["mbap", "rtu"])
async def test_a_connection_leaves_from_the_address_of_its_interface(framing, monkeypatch):
    async with port_by("lo", framing) as port:
        assert isinstance(await port.read_block("holding", 1, 100, 1), Words)
        assert local_address(port) == "127.0.0.1"
    monkeypatch.setattr(modbus, "ipv4_of", {"dev0": "127.0.0.9"}.get)  # a second address of this machine
    async with port_by("dev0", framing) as port:
        assert isinstance(await port.read_block("holding", 1, 100, 1), Words)
        assert local_address(port) == "127.0.0.9"


async def test_without_the_interface_nothing_is_sent_and_it_is_tried_again_within_bounds(monkeypatch):
    now = [0.0]
    async with port_by(NOWHERE, clock=lambda: now[0]) as port:
        waits = []
        for _ in range(9):
            assert (await port.read_block("holding", 1, 100, 1)).reason is Fault.NO_INTERFACE
            assert (await port.read_block("holding", 1, 100, 1)).reason is Fault.DISCONNECTED
            waits.append(port.retry_at_s - now[0])
            now[0] = port.retry_at_s
        assert port.counters.connects == 0
        assert waits[0] <= RECONNECT_FIRST_S
        assert waits[-1] <= RECONNECT_MAX_S
        monkeypatch.setattr(modbus, "ipv4_of", lambda _: "127.0.0.1")  # the cable is plugged in
        assert isinstance(await port.read_block("holding", 1, 100, 1), Words)


async def test_an_address_that_is_not_ours_any_more_is_a_failed_connection(monkeypatch):
    monkeypatch.setattr(modbus, "ipv4_of", lambda _: "192.0.2.1")
    async with port_by("dev0") as port:
        assert (await asyncio.wait_for(port.read_block("holding", 1, 100, 1), 60)).reason is Fault.REFUSED


def test_a_site_binds_its_network_connections_and_a_test_bench_none():
    site = parse_site(example_text("garage")).site
    assert site is not None
    links = [wire.link for wire in wires_here(site, {})]
    assert {link.interface for link in links if isinstance(link, TcpLink | RtuOverTcpLink)} == {"eth1"}
    moved = {f"{x.host}:{x.port}": "127.0.0.1:1502" for x in links if isinstance(x, TcpLink | RtuOverTcpLink)}
    assert {x.interface for x in (w.link for w in wires_here(site, moved)) if isinstance(x, TcpLink)} == {None}
