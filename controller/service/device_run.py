"""What the commands of one device run: the event loop around reading, writing and searching."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence

from controller.service.device_discover import MAX_PORTS, MAX_UNITS, Sweep, addresses_of, discover, numbers_of
from controller.service.device_link import HIGHEST_PORT, HIGHEST_UNIT, target_of, with_talk
from controller.service.device_p1 import p1_link, read_p1
from controller.service.device_read import DeviceReading, read_device
from controller.service.device_sunspec import read_sunspec
from controller.service.device_write import WriteReport, write_device, write_sunspec
from interfaces.drivers.p1_reading import find_p1
from interfaces.drivers.zaptec_point import find_cloud
from interfaces.errors import UserError


def read(options: argparse.Namespace) -> DeviceReading:
    """Everything the device of the arguments shows; UserError when nobody answers."""
    _not_behind_a_service(options.profile)
    meter = find_p1(options.profile)
    if meter is not None:
        return read_p1(meter, p1_link(options))
    target = target_of(options)
    work = read_device if target.profile.sunspec is None else read_sunspec
    return asyncio.run(with_talk(target, lambda talk: work(talk, target)))


def write(options: argparse.Namespace, name: str, text: str, *, force: bool) -> WriteReport:
    """Write one register; UserError when it may not be written or nobody answers."""
    _not_behind_a_service(options.profile)
    if find_p1(options.profile) is not None:
        raise UserError("a P1 port can only be read, nothing is written")
    target = target_of(options)
    work = write_device if target.profile.sunspec is None else write_sunspec
    return asyncio.run(with_talk(target, lambda talk: work(talk, target, name, text, force=force)))


def _not_behind_a_service(profile: str) -> None:
    """UserError for what no address on the site's network answers for."""
    found = find_cloud(profile)
    if found is not None:
        raise UserError(
            f"{found.vendor} chargers are reached through their maker's service alone, by the controller that runs "
            f"them: see what it knows with 'stroomwacht controller doctor'"
        )


def search(range_text: str, ports: Sequence[str], units: Sequence[str]) -> Sweep:
    """Ask a range of addresses; UserError when it cannot be meant or is too large."""
    addresses = addresses_of(range_text)
    asked_ports = numbers_of(ports, "--port", 1, HIGHEST_PORT, MAX_PORTS)
    asked_units = numbers_of(units, "--unit", 0, HIGHEST_UNIT, MAX_UNITS)
    return asyncio.run(discover(addresses, asked_ports, asked_units))
