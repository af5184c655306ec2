"""Profiles of chargers against the fact files they were written from: every register, as the file says it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from interfaces.drivers.not_supported import not_supported
from interfaces.drivers.profile import Profile, Register
from interfaces.drivers.profile_load import find_profile
from interfaces.drivers.zaptec_point import CLOUD_PROFILES

WORDS = {
    "uint16": 1, "int16": 1, "bitfield16": 1, "bit": 1, "uint32": 2, "int32": 2, "float32": 2, "bitfield32": 2,
    "uint64": 4, "int64": 4, "float64": 4,
}  # fmt: skip
FIRST_POINT = {"compleo_solo_duo": (0x100, 0x10), "delta_ac_max_smart": (1000, 1000), "alpitronic_hyc": (100, 100),
               "phoenix_charx_sec3xxx": (1000, 1000)}  # fmt: skip
"""Address of connector 1 and distance to the next, read by hand from the ``base`` formula of the file."""
TOLD_BY_SEVERAL = {"compleo_solo_duo", "delta_ac_max_smart", "keba_kecontact", "vestel_evc04"}
"""Makes whose file writes the raw values of two registers as one text; their states are tested by hand."""

FINER = {("bender_cc61x_ecu", 3), ("bender_cc61x_ecu", 4)}
"""C and D of the file, told apart by the relay as it advises."""


def folder() -> Path | None:
    given = os.environ.get("STROOMWACHT_DEVICES")
    return Path(given) / "chargers" if given and (Path(given) / "chargers").is_dir() else None


def facts() -> dict[str, dict[str, Any]]:
    """The fact files by the device's id; the listing of makes without a map is none."""
    place = folder()
    found = [yaml.safe_load(file.read_text("utf-8")) for file in sorted(place.glob("*.yaml"))] if place else []
    return {document["device"]["id"]: document for document in found if "device" in document}


FACTS = facts()
PLAIN_STATES = [name for name in FACTS if "map" in FACTS[name].get("state_map", {}) and name not in TOLD_BY_SEVERAL]
needs_facts = pytest.mark.skipif(not FACTS, reason="no directory of device facts is given in STROOMWACHT_DEVICES")


def shipped(name: str) -> Profile:
    profile = find_profile(name)
    assert profile is not None, f"there is no profile {name}"
    return profile


def expected(document: Mapping[str, Any]) -> Iterator[tuple[bool, str, dict[str, object]]]:
    """Of a point or of the station, name, and what is said of every register of a file."""
    start = FIRST_POINT.get(document["device"]["id"], (0, 0))[0]
    for row in document["registers"]:
        yield False, row["name"], said(document, row, 0)
    for row in document.get("per_point", {}).get("registers", ()):
        yield True, row["name"], said(document, row, start)


def said(document: Mapping[str, Any], row: Mapping[str, Any], shift: int) -> dict[str, object]:
    words = WORDS.get(row["type"], row.get("count"))
    nan = row.get("nan")
    default = document["addressing"]["word_order"]
    return {
        "addr": row["addr"] + shift,
        "table": row.get("table", "holding"),
        "type": row["type"],
        "words": words,
        "scale": float(row.get("scale", 1)),
        "unit": row.get("unit") or "",
        "access": row.get("access", "R"),
        "word order": row.get("word_order", default) if words and words > 1 else None,
        "write order": row.get("word_order_write"),
        "nan": None if not isinstance(nan, int) else nan % (1 << 16 * (words or 1)),
        "function codes": sorted(row.get("fc_write", ())),
        "enum": {int(key) for key in row.get("enum", {})},
    }


def shown(profile: Profile, register: Register) -> dict[str, object]:
    nan = [raw % (1 << 16 * register.words) for raw in register.nan]
    return {
        "addr": register.addr,
        "table": register.table,
        "type": register.type,
        "words": register.words,
        "scale": float(register.scale),
        "unit": register.unit,
        "access": register.access,
        "word order": (register.word_order or profile.word_order) if register.words > 1 else None,
        "write order": register.word_order_write,
        "nan": nan[0] if nan else None,
        "function codes": sorted(register.fc_write),
        "enum": set(register.enum),
    }


@needs_facts
@pytest.mark.parametrize("name", [name for name in FACTS if FACTS[name]["registers"]])
def test_every_register_is_there_as_the_facts_say(name):
    profile, checked = shipped(name), 0
    assert profile.id == name
    for of_point, label, wanted in expected(FACTS[name]):
        on = ("point",) if of_point else ("station", "point")
        found = [r for r in profile.registers if (r.label or r.name) == label and r.on in on]
        if of_point or "per_point" not in FACTS[name]:
            found = [r for r in found if r.on in ("point", "station")]
        else:
            found = [r for r in found if r.on == "station"]
        assert len(found) == 1, f"{name}: {len(found)} registers {label}"
        got = shown(profile, found[0])
        assert got == wanted, f"{name}: {label}"
        checked += 1
    assert checked == len(profile.registers), "the profile has registers the facts do not know"
    if name in FIRST_POINT:
        assert profile.points.address_step == FIRST_POINT[name][1]


@needs_facts
@pytest.mark.parametrize("name", FACTS)
def test_transports_vendor_and_models_are_those_of_the_facts(name):
    document, profile = FACTS[name], shipped(name)
    transport = document["transport"]
    assert profile.vendor == document["device"]["vendor"]
    assert (profile.tcp is not None, profile.rtu is not None) == ("tcp" in transport, "rtu" in transport)
    if "rtu" in transport:
        assert profile.rtu is not None
        rtu = transport["rtu"]
        assert (profile.rtu.baud, profile.rtu.format) == (rtu["baud"], rtu["format"])
        assert (profile.rtu.unit_id or profile.points.units[0]) == rtu["unit_id"]
    if isinstance(transport.get("tcp", {}).get("unit_id"), int):
        assert set(profile.points.units) == {transport["tcp"]["unit_id"]}
        assert profile.tcp is not None
        assert profile.tcp.max_connections == transport["tcp"].get("max_connections")
    functions = document.get("limits", {}).get("functions")
    if functions and name != "webasto_live":
        assert list(profile.limits.functions) == functions
    assert profile.confidence == document["confidence"]
    assert profile.setup_on_device
    assert all(step[0].isupper() and step.endswith(".") for step in profile.setup_on_device)


@needs_facts
@pytest.mark.parametrize("name", PLAIN_STATES)
def test_plain_states_mean_what_the_facts_say(name):
    state, checked = shipped(name).state, 0
    assert state is not None
    for row in FACTS[name]["state_map"]["map"]:
        rows = [one for one in state.map if row["raw"] in one.raw and not one.when]
        if len(rows) != 1 or row["iec61851"] in ("-", "other") or (name, row["raw"]) in FINER:
            continue  # told by several registers: tested by hand
        (one,) = rows
        assert (one.iec61851 or one.pilot, one.status) == (row["iec61851"], row["status"]), row
        checked += 1
    assert checked >= 3


@needs_facts
def test_makes_without_a_map_are_listed():
    place = folder()
    assert place is not None
    document = yaml.safe_load((place / "no_public_modbus_map.yaml").read_text("utf-8"))
    listed = {(entry.vendor, model) for entry in not_supported() for model in entry.models}
    listed |= {(profile.vendor, model) for profile in CLOUD_PROFILES.values() for model in profile.models}
    assert {(entry["vendor"], model) for entry in document["entries"] for model in entry["models"]} <= listed
