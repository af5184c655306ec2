"""The task behind each connection of a site: Modbus, or the stream of a P1 port."""

from __future__ import annotations

import random

from interfaces.drivers.clock import Clock
from interfaces.drivers.connection import Connection
from interfaces.drivers.links import P1SerialLink, P1TcpLink
from interfaces.drivers.outbox import Outbox
from interfaces.drivers.p1_connection import P1Connection
from interfaces.drivers.readings import Readings
from interfaces.drivers.wiring import Wire

AnyConnection = Connection | P1Connection


def connection_of(
    wire: Wire, *, outbox: Outbox, readings: Readings, clock: Clock, jitter: random.Random
) -> AnyConnection:
    """The connection of one wire, not started. A P1 port takes no orders: it never sees the outbox."""
    if isinstance(wire.link, P1TcpLink | P1SerialLink):
        return P1Connection(wire.link, wire.points[0], readings=readings, clock=clock, jitter=jitter)
    return Connection(wire.link, wire.points, outbox=outbox, readings=readings, clock=clock, jitter=jitter)
