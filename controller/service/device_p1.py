"""`device read` of a digital meter's P1 port: the next telegram, by OBIS code, and what the controller makes of it."""

from __future__ import annotations

import argparse
import asyncio
import logging

from controller.service.device_link import checked_port, where_p1
from controller.service.device_read import DeviceReading, Item
from interfaces.drivers.links import P1Link, P1SerialLink, P1TcpLink
from interfaces.drivers.p1_once import look
from interfaces.drivers.p1_reading import PERIOD_S
from interfaces.drivers.profile import ROLE_UNITS, Profile
from interfaces.errors import UserError

PATIENCE_PERIODS = 2.5
"""The first telegram may be cut off; the next one is whole."""
PATIENCE_MIN_S = 2.5
OWN_UNITS = {"demand_quarter_w": "W", "demand_month_peak_w": "W", "quarter_left_s": "s"}
"""Of the roles that no Modbus profile has."""


def p1_link(options: argparse.Namespace) -> P1Link:
    """The port the arguments mean; UserError when they cannot be meant."""
    if (options.host is None) == (options.serial is None):
        raise UserError("say where the P1 port is: either --host and --port, or --serial")
    if options.rtu or options.unit is not None or options.baud is not None:
        raise UserError("a P1 port has neither --unit nor --rtu nor --baud")
    if options.serial is not None:
        return P1SerialLink(options.serial)
    if options.port is None:
        raise UserError("a P1 bridge has no usual TCP port: say --port")
    return P1TcpLink(options.host, checked_port(options.port))


def read_p1(profile: Profile, link: P1Link) -> DeviceReading:
    """Wait for the next telegram; UserError when there is none.

    ``values``: every number and text of the telegram by its code, in its own unit, and the product's roles by their
    name: currents signed, import positive.
    """
    patience_s = PATIENCE_PERIODS * PERIOD_S[profile.id] + PATIENCE_MIN_S
    journal = logging.getLogger("interfaces.drivers")
    level = journal.level
    journal.setLevel(logging.CRITICAL)  # one sentence for the person, no journal
    try:
        found = asyncio.run(look(link, profile, patience_s))
    finally:
        journal.setLevel(level)
    if not found.values:
        raise UserError(f"the P1 port at {where_p1(link)} gives nothing: {found.problem}")
    values = {code: Item(shown.value, shown.unit) for code, shown in found.values.items()}
    for role, sample in found.reading.roles.items():
        values[role] = Item(sample.value, _unit(role))
    problems = tuple(dict.fromkeys(told for told in (found.problem, found.reading.problem) if told))
    return DeviceReading(profile, values, (), problems, bool(problems))


def _unit(role: str) -> str:
    unit = OWN_UNITS[role] if role in OWN_UNITS else ROLE_UNITS[role]
    return "" if unit == "text" else unit
