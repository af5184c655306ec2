"""`device read` prints every register by the name the maker's table has for it, in the table's unit."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.service.device_link import Target, with_talk
from controller.service.device_read import read_device
from interfaces.drivers.links import TcpLink
from interfaces.drivers.maker_names import named_registers
from interfaces.drivers.profile_load import find_profile
from tests.controller.service.device_kit import server_of

WORDS = {"uint32": 2, "int32": 2, "float32": 2, "bitfield32": 2, "uint64": 4, "int64": 4, "float64": 4}
TOLD_TWICE = {("victron_gx", "/DateAndTime"), ("victron_gx", "/FirmwareVersion")}
"""Their table gives them the unit of another row."""


def facts() -> dict[str, dict[str, Any]]:
    """The fact files of makes with a register table, by the device's id."""
    given = os.environ.get("STROOMWACHT_DEVICES", "")
    files = sorted(Path(given).glob("*/*.yaml")) if given else []
    found = [yaml.safe_load(file.read_text("utf-8")) for file in files if file.parent.name != "sunspec"]
    tables = [one for one in found if "device" in one and (one.get("registers") or one.get("services"))]
    return {one["device"]["id"]: one for one in tables}


FACTS = facts()


def names(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Name and unit of every readable register of a file."""
    services = [row for rows in document.get("services", {}).values() for row in rows]
    for lead, rows in (
        ("", document.get("registers", ())),
        ("point1.", document.get("per_point", {}).get("registers", ())),
        ("", services),
    ):
        for row in rows:
            if "R" not in row.get("access", "R"):
                continue
            name, unit = row.get("name") or row["path"], row.get("unit") or ""
            words = WORDS.get(row["type"], 1)
            channels = 1 if row["type"] in ("string", "raw") or "path" in row else row.get("count", 1) // words
            yield from ((f"{lead}{name}[{n}]" if channels > 1 else lead + name, unit) for n in range(channels))


@pytest.mark.skipif(not FACTS, reason="no directory of device facts is given in STROOMWACHT_DEVICES")
@pytest.mark.parametrize("name", FACTS)
async def test_every_register_has_the_name_of_the_table(name):
    profile = find_profile(name)
    if profile is None or profile.sunspec is not None:
        pytest.skip("no Modbus profile of its own")
    async with server_of(name, {}) as server:
        target = Target(profile, (TcpLink("127.0.0.1", server.port, 1.0),), None)
        reading = await with_talk(target, lambda talk: read_device(talk, target))
    asked = {one.name for one in named_registers(profile)}
    units: dict[str, set[str]] = {}
    for register, unit in names(FACTS[name]):
        units.setdefault(register, set()).add(unit)
    hidden = set(units) - set(reading.values)
    assert not hidden & asked, "asked and not shown"
    forbidden = {one.name for one in profile.registers} - {one.register.name for one in named_registers(profile)}
    assert hidden <= forbidden, "neither shown nor known to make the device hang up"
    for register, told in units.items():
        if register in reading.values and (name, register) not in TOLD_TWICE:
            assert reading.values[register].unit in told, register
