"""Talking to one device by hand: where it is, one question after the other, and what to say when nobody answers.

The commands `device read`, `write` and `discover` stand on this. Nothing here runs beside a controller's own loop.
"""

from __future__ import annotations

import argparse
import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from interfaces.drivers.clock import monotonic_s
from interfaces.drivers.links import Link, P1Link, P1SerialLink, RtuOverTcpLink, SerialLink, TcpLink, line_of
from interfaces.drivers.modbus import ModbusPort
from interfaces.drivers.profile import Profile, Rtu, Table, Tcp
from interfaces.drivers.profile_load import find_profile, profile_ids
from interfaces.drivers.replies import Fault, ReadFailure, Words
from interfaces.errors import UserError

HIGHEST_PORT: Final = 65_535
HIGHEST_UNIT: Final = 255
REPLY_TIMEOUT_S: Final = 1.0
"""By hand nobody minds a slow gateway; the controller's own limit is half of it."""
TRIES: Final = 2
SILENT_MAX: Final = 4
"""Questions in a row that a device which answered before may leave unanswered: some ignore what they do not have."""
BUSY: Final = 6
"""Exception "server device busy" (Modbus application protocol 1.1b3, section 7)."""
GATEWAY_CODES: Final = {0x0A: "has no path to", 0x0B: "gets no answer from"}
BUSY_PAUSE_S: Final = 0.5

Answer = TypeVar("Answer")


class NoAnswerError(UserError):
    """Nobody answers there; the text is the sentence for the person who asked."""


@dataclass(frozen=True, slots=True)
class Target:
    """A device as named on the command line.

    ``links``: the framings to try, in order. ``unit`` None: as the profile has it.
    """

    profile: Profile
    links: tuple[Link, ...]
    unit: int | None

    @property
    def first_unit(self) -> int:
        """The unit that answers for the first point."""
        return self.unit_of(0)

    def unit_of(self, point: int) -> int:
        """The unit of a point counted from 0."""
        units = self.profile.points.units
        if self.unit is not None:
            return self.unit
        serial = not isinstance(self.links[0], TcpLink)
        if serial and self.profile.rtu is not None and self.profile.rtu.unit_id is not None:
            return self.profile.rtu.unit_id
        return units[min(point, len(units) - 1)]

    @property
    def station_unit(self) -> int | None:
        """The unit that answers for the whole station, where there is one."""
        return self.profile.points.station_unit


def add_target_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that say which device is meant."""
    parser.add_argument("--profile", required=True, metavar="ID", help="device profile; `device list` has them")
    parser.add_argument("--host", help="IP address or name of the device or gateway")
    parser.add_argument("--port", type=int, metavar="P", help="TCP port (default: the profile's)")
    parser.add_argument("--unit", type=int, metavar="U", help="Modbus unit id (default: the profile's)")
    parser.add_argument("--rtu", action="store_true", help="the gateway passes RTU frames on instead of Modbus TCP")
    parser.add_argument("--serial", metavar="DEVICE", help="serial port of this computer, such as /dev/ttyUSB0")
    parser.add_argument("--baud", type=int, help="speed of the serial line (default: the profile's)")


def target_of(options: argparse.Namespace) -> Target:
    """The device the arguments mean; UserError in one sentence when they cannot be meant."""
    profile = profile_named(options.profile)
    if (options.host is None) == (options.serial is None):
        raise UserError("say where the device is: either --host (with --port) or --serial, one of them")
    if options.serial is not None and (options.rtu or options.port is not None):
        raise UserError("--port and --rtu belong to --host; a serial port has neither")
    if options.unit is not None and not 0 <= options.unit <= HIGHEST_UNIT:
        raise UserError(f"--unit is a number from 0 to {HIGHEST_UNIT}, not {options.unit}")
    if options.baud is not None and options.baud <= 0:
        raise UserError(f"--baud is a positive number such as 9600, not {options.baud}")
    line = line_of(profile.rtu or Rtu(), options.baud)
    if options.serial is not None:
        return Target(profile, (SerialLink(options.serial, line),), options.unit)
    port = checked_port(options.port if options.port is not None else (profile.tcp or Tcp()).port)
    tcp, rtu = TcpLink(options.host, port, REPLY_TIMEOUT_S), RtuOverTcpLink(options.host, port, line)
    if options.rtu:
        return Target(profile, (rtu,), options.unit)
    # Behind the address of a serial device is a gateway; whether it translates, nobody has said.
    return Target(profile, (tcp,) if profile.tcp is not None else (tcp, rtu), options.unit)


def profile_named(name: str) -> Profile:
    """The shipped profile of that id or alias; UserError with what to do when there is none."""
    profile = find_profile(name)
    if profile is None:
        raise UserError(
            f"there is no device profile '{name}' among the {len(profile_ids())} shipped ones: "
            "`stroomwacht device list` shows them"
        )
    return profile


def checked_port(port: int) -> int:
    """The port; UserError when it is none."""
    if not 1 <= port <= HIGHEST_PORT:
        raise UserError(f"--port is a number from 1 to {HIGHEST_PORT}, not {port}")
    return port


def where(link: Link) -> str:
    """The link in words."""
    return link.device if isinstance(link, SerialLink) else f"{link.host}:{link.port}"


def where_p1(link: P1Link) -> str:
    """The P1 port in words."""
    return link.device if isinstance(link, P1SerialLink) else f"{link.host}:{link.port}"


class Talk:
    """One conversation over one link; questions are repeated once, and a device that falls silent ends it.

    ``told``: replies of any kind so far. A question left unanswered by a device that answered others is a
    ``ReadFailure`` like a refusal.
    """

    def __init__(self, port: ModbusPort, profile: Profile) -> None:
        self.port = port
        self.told = 0
        self._profile = profile
        self._silent = 0

    async def read(self, table: Table, unit: int, addr: int, count: int) -> Words | ReadFailure:
        """Ask for registers; NoAnswerError when nobody is there or the device has gone."""
        reply: Words | ReadFailure = await self.port.read_block(table, unit, addr, count)
        hung_up = not self.port.connected
        for _ in range(TRIES - 1):
            if not _worth_repeating(reply):
                break
            pause_s = BUSY_PAUSE_S if _code(reply) == BUSY else self.port.retry_at_s - monotonic_s()
            await asyncio.sleep(max(0.0, pause_s))
            reply = await self.port.read_block(table, unit, addr, count)
            hung_up = hung_up and not self.port.connected
        if isinstance(reply, Words) or reply.exception_code is not None:
            self.told, self._silent = self.told + 1, 0
            return reply
        self._silent += 1
        if not self.told or self._silent >= SILENT_MAX or reply.reason is Fault.REFUSED:
            reason = Fault.DISCONNECTED if hung_up and reply.reason is Fault.TIMEOUT else reply.reason
            raise NoAnswerError(no_answer(self.port.link, self._profile, unit, reason, answered=self.told > 0))
        return reply


def _worth_repeating(reply: Words | ReadFailure) -> bool:
    if isinstance(reply, Words) or reply.reason is Fault.REFUSED:
        return False
    return reply.exception_code in {None, BUSY}


def _code(reply: Words | ReadFailure) -> int | None:
    return None if isinstance(reply, Words) else reply.exception_code


def no_answer(link: Link, profile: Profile, unit: int, reason: Fault, *, answered: bool) -> str:
    """One sentence: what did not answer, and what to look at."""
    place = where(link)
    if answered:
        return f"{place} answered at first and then fell silent ({reason}): look at its cable, then try again"
    if reason is Fault.REFUSED and isinstance(link, SerialLink):
        return f"{place} cannot be opened: check that the adapter is there, free, and yours to use"
    if reason is Fault.REFUSED:
        return (
            f"{place} takes no connection: check address, port and cable, and that Modbus TCP is switched on in the "
            "device"
        )
    most = None if profile.tcp is None else profile.tcp.max_connections
    serves = f"this make serves {most} client{'s' if most != 1 else ''}" if most else "some makes serve one client only"
    if reason is Fault.DISCONNECTED:
        return (
            f"{place} takes the connection and hangs up at once: another program probably holds the connection "
            f"({serves})"
        )
    if reason is Fault.TIMEOUT:
        known = "/".join(str(one) for one in dict.fromkeys(profile.points.units))
        return (
            f"{place} is there and unit {unit} does not answer: check the unit id ({profile.id} usually has {known}), "
            f"the wiring behind a gateway, and whether another program holds the connection ({serves})"
        )
    return f"{place} answers unit {unit}, but not as Modbus demands ({reason}): is it a gateway, and which one?"


async def with_talk(target: Target, work: Callable[[Talk], Awaitable[Answer]]) -> Answer:
    """Do the work over the first link that answers; NoAnswerError of the first when none does."""
    first: NoAnswerError | None = None
    for link in target.links:
        port = ModbusPort(link, monotonic_s, random.Random())  # noqa: S311  spreads transaction ids, keeps no secret
        try:
            return await work(Talk(port, target.profile))
        except NoAnswerError as error:
            first = first or error
        finally:
            await port.aclose()
    raise first or NoAnswerError("there is no link to try")
