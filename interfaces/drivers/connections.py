"""What is behind each wire of a site: a Modbus connection, the stream of a P1 port, or messages of the gateway."""

from __future__ import annotations

import random

from interfaces.drivers.clock import Clock
from interfaces.drivers.connection import Connection
from interfaces.drivers.links import CloudLink, P1SerialLink, P1TcpLink
from interfaces.drivers.outbox import Outbox
from interfaces.drivers.p1_connection import P1Connection
from interfaces.drivers.readings import Readings
from interfaces.drivers.wiring import Wire
from interfaces.drivers.zaptec_point import RemotePoint

AnyConnection = Connection | P1Connection | RemotePoint


def connection_of(
    wire: Wire, *, outbox: Outbox, readings: Readings, clock: Clock, jitter: random.Random
) -> AnyConnection:
    """The connection of one wire, not started. A P1 port takes no orders: it never sees the outbox. Nor does what a
    maker's service drives: the gateway reads the orders from the record of every scan.
    """
    if isinstance(wire.link, P1TcpLink | P1SerialLink):
        return P1Connection(wire.link, wire.points[0], readings=readings, clock=clock, jitter=jitter)
    if isinstance(wire.link, CloudLink):
        return RemotePoint(wire.link, wire.points[0], readings=readings, clock=clock)
    return Connection(wire.link, wire.points, outbox=outbox, readings=readings, clock=clock, jitter=jitter)
