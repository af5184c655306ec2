"""Profiles of meters, batteries, inverters and I/O modules against the fact files they were written from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from interfaces.drivers.profile import Profile, Register
from interfaces.drivers.profile_load import find_profile, profile_ids

FOLDERS = ("meters", "batteries_pv", "io")
WORDS = {
    "uint16": 1, "int16": 1, "bitfield16": 1, "bit": 1, "uint32": 2, "int32": 2, "float32": 2, "bitfield32": 2,
    "uint64": 4, "int64": 4, "float64": 4,
}  # fmt: skip
OPAQUE = {"internal": "raw"}
"""Types a fact file cannot decode; the profile shows their bytes."""
NO_TABLE = {"dsmr_p1", "fronius_gen24"}
"""Fact files without registers: a telegram, and a device that is all SunSpec."""


def folder() -> Path:
    given = os.environ.get("STROOMWACHT_DEVICES")
    if not given or not Path(given).is_dir():
        pytest.skip("no directory of device facts is given in STROOMWACHT_DEVICES")
    return Path(given)


def files() -> list[Path]:
    given = os.environ.get("STROOMWACHT_DEVICES")
    return [file for name in FOLDERS for file in sorted((Path(given) / name).glob("*.yaml"))] if given else []


def facts_of(file: Path) -> dict[str, Any]:
    found = yaml.safe_load(file.read_text("utf-8"))
    assert isinstance(found, dict)
    return found


def rows(facts: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every point of a fact file, each with the name it is shown under."""
    yield from facts.get("registers", ())
    for service in facts.get("services", {}).values():
        yield from ({"name": point["path"], **point} for point in service)


def channels(row: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Name and address of every register a row stands for."""
    words, count = WORDS.get(row["type"]), row.get("count", 1)
    if words is None or count == words:
        yield row["name"], row["addr"]
    else:
        yield from ((f"{row['name']}[{n}]", row["addr"] + n * words) for n in range(count // words))


def differences(profile: Profile, facts: Mapping[str, Any], row: Mapping[str, Any]) -> Iterator[str]:
    for name, addr in channels(row):
        table = row.get("table", "holding")
        found = [r for r in profile.registers if (r.label or r.name, r.addr, r.table) == (name, addr, table)]
        if len(found) != 1:
            yield f"{profile.id}: {len(found)} registers {name} at {table} {addr}"
            continue
        expected, said = expectation(facts, row), statement(profile, found[0])
        yield from (f"{profile.id}: {name}: {key} is {said[key]}, not {value}" for key, value in expected.items()
                    if said[key] != value)  # fmt: skip


def expectation(facts: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, object]:
    default = facts["addressing"]["word_order"]
    wide = WORDS.get(row["type"], 1) > 1
    nan, words = row.get("nan"), WORDS.get(row["type"], 1)
    if isinstance(nan, int) and row["type"].startswith("int") and nan >= 1 << (16 * words - 1):
        nan -= 1 << (16 * words)
    return {
        "type": OPAQUE.get(row["type"], row["type"]),
        "scale": float(row.get("scale", 1)),
        "unit": "" if row["type"] in OPAQUE else row.get("unit") or "",
        "access": row.get("access", "R"),
        "word order": row.get("word_order", default) if wide else None,
        "words": WORDS.get(row["type"], row.get("count")),
        "function codes": set(row.get("fc_write", ())),
        **({"nan": True} if isinstance(nan, int) else {}),
    }


def statement(profile: Profile, register: Register) -> dict[str, object]:
    wide = WORDS.get(register.type, 1) > 1
    return {
        "type": register.type,
        "scale": register.scale,
        "unit": register.unit,
        "access": register.access,
        "word order": (register.word_order or profile.word_order) if wide else None,
        "words": register.words,
        "function codes": set(register.fc_write),
        "nan": bool(register.nan),
    }


@pytest.mark.parametrize("file", files(), ids=lambda file: file.stem)
def test_every_register_of_the_facts_is_in_the_profile_as_they_say(file):
    facts = facts_of(file)
    name = facts["device"]["id"]
    if name in NO_TABLE:
        pytest.skip(f"{name} has no register table")
    profile = find_profile(name)
    assert profile is not None, f"there is no profile {name}"
    told = [text for row in rows(facts) for text in differences(profile, facts, row)]
    for variant in facts.get("variants", ()):  # maps of their own, not only other sizes
        if "registers" in variant:
            other = find_profile(variant["id"])
            assert other is not None, f"there is no profile {variant['id']}"
            told += [text for row in variant["registers"] for text in differences(other, facts, row)]
    assert not told, "\n".join(told)
    assert any(True for _ in rows(facts))


@pytest.mark.parametrize("file", files(), ids=lambda file: file.stem)
def test_not_available_is_the_value_the_facts_name(file):
    facts = facts_of(file)
    profile = find_profile(facts["device"]["id"])
    if profile is None:
        pytest.skip("no profile")
    known = {register.name: register for register in profile.registers}
    for row in facts.get("registers", ()):
        if isinstance(row.get("nan"), int):
            words = WORDS[row["type"]]
            signed = row["type"].startswith("int")
            raw = row["nan"] - (1 << 16 * words) if signed and row["nan"] >> (16 * words - 1) else row["nan"]
            assert raw in known[row["name"]].nan, row["name"]


@pytest.mark.parametrize("file", files(), ids=lambda file: file.stem)
def test_vendor_and_models_are_found_by_the_names_of_the_facts(file):
    facts = facts_of(file)
    profile = find_profile(facts["device"]["id"])
    if profile is None:
        pytest.skip("no profile")
    assert profile.vendor == facts["device"]["vendor"]
    if file.parent.name != "meters":
        return  # their names are families ("SH5..10RT"), not labels
    names = " ".join((*profile.models, *profile.aliases))
    for model in facts["device"].get("models", ()):
        head = str(model).split(" (")[0].split("/")[0]
        assert head in names or head.split()[-1] in names or head.startswith(".."), head


@pytest.mark.parametrize("file", files(), ids=lambda file: file.stem)
def test_limits_and_transport_are_not_wider_than_the_facts(file):
    facts = facts_of(file)
    profile = find_profile(facts["device"]["id"])
    if profile is None or facts["device"]["id"] in NO_TABLE:
        pytest.skip("no profile with registers of its own")
    limits, tcp = facts.get("limits", {}), facts["transport"].get("tcp")
    assert profile.limits.max_read_words <= limits.get("max_read_registers", 125)
    known = {function for function in limits.get("functions", ()) if function in (1, 2, 3, 4, 5, 6, 15, 16)}
    assert set(profile.limits.functions) <= known
    assert not known or profile.limits.functions or known == {1, 2, 3, 4, 5, 6, 15, 16}
    if isinstance(tcp, dict) and isinstance(tcp.get("port"), int):
        assert profile.tcp is not None
        assert profile.tcp.port == tcp["port"]
        if isinstance(tcp.get("max_connections"), int):
            assert profile.tcp.max_connections == tcp["max_connections"]
        if isinstance(tcp.get("unit_id"), int):
            assert profile.points.units[0] == tcp["unit_id"]
    if "rtu" in facts["transport"]:
        assert profile.rtu is not None
        assert profile.rtu.baud == facts["transport"]["rtu"].get("baud", profile.rtu.baud)
        assert profile.rtu.format == facts["transport"]["rtu"].get("format", profile.rtu.format)


def test_facts_are_there_when_a_directory_is_given():
    assert folder().is_dir()
    assert len(files()) > 20


PARTS = {
    "huawei_sun2000_pv": "huawei_sun2000_luna", "huawei_sun2000_meter": "huawei_sun2000_luna",
    "sma_native_pv": "sma_native", "sma_native_meter": "sma_native", "sungrow_sh_pv": "sungrow_sh",
    "e3dc_pv": "e3dc", "victron_gx_pv": "victron_gx", "victron_gx_meter": "victron_gx",
}  # fmt: skip
"""Profiles that read a part of a device, and the profile that has all of its registers."""


@pytest.mark.parametrize("name", PARTS)
def test_a_part_of_a_device_has_the_registers_of_the_whole(name):
    part, whole = find_profile(name), find_profile(PARTS[name])
    assert part is not None
    assert whole is not None
    places = {(r.label or r.name, r.addr): r for r in whole.registers}
    for register in part.registers:
        assert statement(part, register) == statement(whole, places[register.name, register.addr]), register.name
    assert part.points.units[0] in (whole.points.units[0], 30)


def test_labels_of_the_meters_are_found():
    found = {
        (profile.vendor, name)
        for profile in filter(None, map(find_profile, profile_ids()))
        for name in (*profile.models, *profile.aliases)
    }
    for label in ("EM111", "EM112", "ET112", "EM330", "EM340", "ET330", "ET340", "EM530", "EM540"):
        assert ("Carlo Gavazzi", label) in found, label
