"""Every register of every table of device facts: address, type, scale, unit, access and "not available" of the profile.

The tables are claims with sources and not part of the product; they are compared where a folder of them is given.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from interfaces.drivers.profile import Profile, Register
from interfaces.drivers.profile_load import find_profile

INTERNAL = "internal"
"""Rows of a table that say themselves that their type is nobody's business."""


def tables() -> dict[str, dict[str, Any]]:
    given = os.environ.get("STROOMWACHT_DEVICES", "")
    files = sorted(Path(given).glob("*/*.yaml")) if given else []
    found = {file.name: yaml.safe_load(file.read_text("utf-8")) for file in files if file.parent.name != "sunspec"}
    return {name: one for name, one in found.items() if one.get("registers") or one.get("services")}


TABLES = tables()


def rows(document: Mapping[str, Any]) -> Iterator[tuple[str, bool, Mapping[str, Any]]]:
    """Name, whether it is counted from the start of a point, and the row."""
    services = [row for found in document.get("services", {}).values() for row in found]
    per_point = document.get("per_point", {}).get("registers", ())
    for moved, found in ((False, document.get("registers", ())), (False, services), (True, per_point)):
        yield from ((row.get("name") or row["path"], moved, row) for row in found if "addr" in row)


def at(profile: Profile, row: Mapping[str, Any], start: int) -> list[Register]:
    return [register for register in profile.registers if register.addr == row["addr"] + start]


def start_of_points(profile: Profile, document: Mapping[str, Any]) -> int:
    """Where the first point begins: the one shift that brings every row of a point to the register of its name."""
    known = {register.name: register.address for register in profile.registers}
    shifts = {known[name] - row["addr"] for name, moved, row in rows(document) if moved and name in known}
    assert len(shifts) <= 1, shifts
    return shifts.pop() if shifts else 0


def differences(row: Mapping[str, Any], register: Register) -> list[str]:
    nan = row.get("nan", ())
    wanted = (nan,) if isinstance(nan, int) else tuple(one for one in nan if isinstance(one, int)) if nan else ()
    bits = (1 << (16 * register.words)) - 1  # a table may give a signed number as the word it is
    pairs: dict[str, tuple[Any, Any]] = {
        "type": (row["type"], register.type),
        "scale": (float(row.get("scale") or 1), float(register.scale)),
        "unit": (row.get("unit") or "", register.unit),
        "not available": ({one & bits for one in wanted} - {one & bits for one in register.nan}, set()),
        "writable": ("W" in row.get("access", "R") and not register.writable, False),
    }
    return [f"{what}: {said} in the table, {ours} here" for what, (said, ours) in pairs.items() if said != ours]


@pytest.mark.skipif(not TABLES, reason="no directory of device facts is given in STROOMWACHT_DEVICES")
@pytest.mark.parametrize("name", TABLES)
def test_every_register_is_as_in_the_table(name):
    document = TABLES[name]
    profile = find_profile(document["device"]["id"])
    assert profile is not None
    start = start_of_points(profile, document)
    wrong = []
    for register_name, moved, row in rows(document):
        if row["type"] == INTERNAL:
            continue
        places = at(profile, row, start if moved else 0)
        reasons = [differences(row, register) for register in places]
        if [] not in reasons:
            wrong.append(f"{register_name} at {row['addr']}: {reasons[0] if reasons else 'not there'}")
    assert wrong == []
