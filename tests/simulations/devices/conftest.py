"""A served site whose time only moves when a test moves it, and an independent Modbus client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from pymodbus import FramerType
from pymodbus.client import AsyncModbusTcpClient

from simulations.devices.host import SiteHost
from simulations.devices.lines import Address
from simulations.plant.site import Environment
from tests.simulations.devices.sites import everything

Dial = Callable[[Address], Awaitable[tuple[AsyncModbusTcpClient, int]]]


@pytest.fixture
async def host() -> AsyncIterator[SiteHost]:
    quiet = Environment(start_day_s=12 * 3600.0, unmanaged=frozenset({"guest-1"}))
    async with SiteHost(everything(), seed=1, environment=quiet, real_time=False) as served:
        yield served


@pytest.fixture
async def dial(host: SiteHost) -> AsyncIterator[Dial]:
    """Connect to an address of the site file; returns the client and the unit."""
    clients: list[AsyncModbusTcpClient] = []

    async def connect(address: Address) -> tuple[AsyncModbusTcpClient, int]:
        _, port, unit = host.addresses[address]
        serial = address[1] == 0 or address[0] == "10.0.0.3"
        framer = FramerType.RTU if serial else FramerType.SOCKET
        client = AsyncModbusTcpClient("127.0.0.1", port=port, framer=framer, timeout=0.3, retries=0, reconnect_delay=0)
        assert await client.connect()
        clients.append(client)
        return client, unit

    yield connect
    for client in clients:
        client.close()


def pass_time(host: SiteHost, seconds: float) -> None:
    for _ in range(round(seconds / 0.1)):
        host.advance(0.1)
