"""The kernel's tables of neighbours and networks, and what is made of them."""

from __future__ import annotations

import random

import pytest

from interfaces.domain.site_hosts import outside
from interfaces.drivers import neighbours
from interfaces.drivers.connection import Connection
from interfaces.drivers.links import TcpLink
from interfaces.drivers.modbus_server import ModbusServer
from interfaces.drivers.neighbours import Network, macs_of, networks_of, read_mac, read_networks, rivals, seen
from interfaces.drivers.outbox import Outbox
from interfaces.drivers.readings import Readings
from tests.interfaces.drivers.far_side import TIMEOUT_S, Now, device, spec
from tests.interfaces.drivers.test_profile_contracts import EM24_E1

ARP = """\
IP address       HW type     Flags       HW address            Mask     Device
192.168.1.20     0x1         0x2         02:00:5E:10:00:01     *        eth0
192.168.1.21     0x1         0x0         00:00:00:00:00:00     *        eth0
192.168.1.22     0x1         0x6         02:00:5e:10:00:02     *        eth0
short line
"""
ROUTE = """\
Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	0101A8C0	0003	0	0	100	00000000	0	0	0
eth0	0001A8C0	00000000	0001	0	0	100	00FFFFFF	0	0	0
eth1	0000010A	00000000	0001	0	0	101	0000FFFF	0	0	0
eth1	0000020A	00000000	0000	0	0	101	0000FFFF	0	0	0
eth1	0000030A	0100010A	0003	0	0	101	0000FFFF	0	0	0
half a line
"""
A, B = "02:00:5e:10:00:01", "02:00:5e:10:00:02"


def test_complete_entries_of_the_neighbour_table():
    assert macs_of(ARP) == {"192.168.1.20": A, "192.168.1.22": B}
    assert macs_of("") == macs_of("IP address") == {}


def test_networks_without_a_gateway_are_our_own():
    assert networks_of(ROUTE) == (Network("192.168.1.0/24"), Network("10.1.0.0/16"))
    assert networks_of("") == ()


@pytest.mark.parametrize(
    ("host", "is_outside"),
    [
        ("192.168.1.77", False),
        ("10.1.200.3", False),
        ("10.0.1.5", True),
        ("192.168.2.1", True),
        ("127.0.0.1", False),
        ("127.9.9.9", False),
        ("charger.local", False),
        ("fe80::1", False),
        ("", False),
    ],
)
def test_a_host_outside_every_network(host, is_outside):
    assert outside(host, networks_of(ROUTE)) is is_outside
    assert outside(host, ()) is False, "where no network is known nothing is claimed"


def test_two_cards_that_take_turns_are_told_from_one_that_was_replaced():
    history: tuple[str, ...] = ()
    for mac in ("", A, A, "", B):
        history = seen(history, mac)
    assert history == (A, B)
    assert rivals(history) == (), "a replaced device"
    history = seen(history, A)
    assert rivals(history) == (A, B), "the first one is back: both are there"
    for mac in (B, A) * 10:
        history = seen(history, mac)
    assert len(history) == neighbours.CHANGES_KEPT


def test_the_tables_of_this_computer_are_read_and_a_missing_one_is_empty(monkeypatch, tmp_path):
    (tmp_path / "arp").write_text(ARP)
    monkeypatch.setattr(neighbours, "ARP", tmp_path / "arp")
    monkeypatch.setattr(neighbours, "ROUTE", tmp_path / "nothing")
    assert read_mac("192.168.1.20") == A
    assert read_mac("192.168.1.99") == ""
    assert read_networks() == ()


async def test_the_card_is_looked_up_at_every_connect_and_two_that_take_turns_are_named():
    cards = iter([A, B, B, A, A, A, A])
    asked: list[str] = []

    def mac_of(host: str) -> str:
        asked.append(host)
        return next(cards, A)

    now, readings = Now(), Readings()
    async with ModbusServer(device("cg_em24_e1", EM24_E1)) as server:
        link = TcpLink("127.0.0.1", server.port, TIMEOUT_S)
        points = [spec("cg_em24_e1", managed=False)]
        connection = Connection(
            link, points, outbox=Outbox(), readings=readings, clock=now, jitter=random.Random(1), mac_of=mac_of
        )
        try:
            macs = []
            for _ in range(3):
                for _ in range(60):
                    if await connection.step() > 0:
                        break
                macs.append(readings.points["x"].mac)
                server.hang_up()
                for _ in range(4):
                    await connection.step()
                    now.s += 1.0
            assert macs[0] in {A, B}
            assert set(asked) == {"127.0.0.1"}
            assert readings.points["x"].rival_macs == (A, B)
        finally:
            await connection.aclose()


async def test_this_computer_itself_has_no_card():
    now, readings = Now(), Readings()
    async with ModbusServer(device("cg_em24_e1", EM24_E1)) as server:
        connection = Connection(
            TcpLink("127.0.0.1", server.port, TIMEOUT_S), [spec("cg_em24_e1", managed=False)], outbox=Outbox(),
            readings=readings, clock=now, jitter=random.Random(1),
        )  # fmt: skip
        try:
            for _ in range(60):
                if await connection.step() > 0:
                    break
            assert readings.points["x"].connected
            assert readings.points["x"].mac == ""
        finally:
            await connection.aclose()
