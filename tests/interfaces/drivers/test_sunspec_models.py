"""The SunSpec tables against the facts, devices put together by hand, and the maps of public test devices."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import struct
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from interfaces.drivers.links import TcpLink
from interfaces.drivers.modbus import ModbusPort
from interfaces.drivers.modbus_server import ModbusServer
from interfaces.drivers.profile import Register, RegisterType, Table
from interfaces.drivers.register_bank import RegisterBank
from interfaces.drivers.registers import Value, decode
from interfaces.drivers.replies import Ok
from interfaces.drivers.sunspec import FoundModel, NotFound
from interfaces.drivers.sunspec_models import NOT_IMPLEMENTED, Group, Point, models, registers_of
from interfaces.drivers.sunspec_read import ModelReading, read_device, write_point
from tests.interfaces.drivers.far_side import Now
from tests.interfaces.drivers.sunspec_device import Cells, Part, chain, text

UNITS = {
    "Secs": "s", "C": "degC", "Pct": "%", "Var": "var", "Varh": "varh", "WH": "Wh", "AH": "Ah", "PF": "", "cos()": "",
    "DeptRef": "%", "%Max/Sec": "%/s", "VNomPct": "%", "WMaxPct": "%", "VarPct": "%", "ohms": "ohm",
}  # fmt: skip
"""Units of the definitions as the product spells them."""
PROMISED = {1, 101, 102, 103, 111, 112, 113, *range(120, 125), 160, *range(201, 205), *range(211, 215),
            *range(701, 715), 802}  # fmt: skip
TRIPS = {707, 708, 709, 710}
"""Settings of the grid protection. The facts do not have them: their golden words below are of the definitions."""


def unit_of(told: str | None) -> str:
    told = (told or "").strip()
    if told in UNITS:
        return UNITS[told]
    return told if not told.startswith("%") else "%/s" if told.endswith("/sec") else "%"


def facts() -> dict[int, dict[str, Any]]:
    given = os.environ.get("STROOMWACHT_DEVICES")
    if not given or not Path(given).is_dir():
        pytest.skip("no directory of device facts is given in STROOMWACHT_DEVICES")
    files = [yaml.safe_load(file.read_text("utf-8")) for file in sorted((Path(given) / "sunspec").glob("*.yaml"))]
    return {model["id"]: model for file in files for model in file.get("models", ())}


def fact_points(part: Mapping[str, Any], *, top: bool) -> Iterator[dict[str, Any]]:
    for point in part["points"]:
        if point["type"] != "pad" and not (top and point["name"] in ("ID", "L")):
            yield point


def symbols_of(point: Mapping[str, Any]) -> dict[int, str]:
    """Names of states; bit fields stay numbers."""
    if point["type"] != "enum16":
        return {}
    known = point.get("symbols", {}).items()
    # The definition of model 111 writes "ggOFF" where all its sisters write "OFF".
    return {raw: name.removeprefix("gg") for raw, name in known if not name.startswith("RESERVED")}


def stated(point: Point, model: int) -> dict[str, object]:
    return {
        "name": point.called.get(model, point.name), "off": point.offset, "type": point.type,
        "size": point.end - point.offset, "sf": point.sf, "unit": point.unit, "access": point.access,
        "symbols": dict(point.symbols),
    }  # fmt: skip


def wanted(point: Mapping[str, Any]) -> dict[str, object]:
    return {
        "name": point["name"], "off": point["off"], "type": {"count": "uint16"}.get(point["type"], point["type"]),
        "size": point["size"], "sf": point.get("sf"), "unit": unit_of(point.get("unit")),
        "access": point.get("access", "R"), "symbols": symbols_of(point),
    }  # fmt: skip


def compare_groups(ours: tuple[Group, ...], theirs: list[dict[str, Any]], model: int) -> None:
    assert [group.name for group in ours] == [group["name"] for group in theirs]
    for group, fact in zip(ours, theirs, strict=True):
        assert group.count == {"N/derived": "derived"}.get(fact["count"], fact["count"])
        assert group.offset == fact.get("start_off")
        assert group.words == fact.get("words", group.words)
        assert [stated(p, model) for p in group.points] == [wanted(p) for p in fact_points(fact, top=False)]
        compare_groups(group.groups, fact.get("groups", []), model)


def test_every_promised_model_is_known():
    assert set(models()) == PROMISED


def test_every_point_is_as_the_facts_say():
    known = facts()
    assert set(known) == PROMISED - TRIPS
    for number, fact in known.items():
        model = models()[number]
        assert model.words == fact["fixed_words"], number
        points = [wanted(p) for p in fact_points(fact, top=True)]
        assert [stated(p, number) for p in model.points] == points, number
        compare_groups(model.groups, fact.get("groups", []), number)


def test_points_do_not_overlap_and_factors_exist():
    for number, model in models().items():
        ends = 2
        for point in model.points:
            assert point.offset >= ends, (number, point.name)
            ends = point.end
        assert ends <= model.words
        names = {point.name for point in model.points}
        assert {point.sf for point in model.points if point.sf} <= names, number
        assert set(model.counts) <= names


MISSING = {
    "int16": (0x8000,), "uint16": (0xFFFF,), "acc16": (0,), "enum16": (0xFFFF,), "bitfield16": (0xFFFF,),
    "sunssf": (0x8000,), "int32": (0x8000, 0), "uint32": (0xFFFF, 0xFFFF), "acc32": (0, 0), "enum32": (0xFFFF, 0xFFFF),
    "bitfield32": (0xFFFF, 0xFFFF), "int64": (0x8000, 0, 0, 0), "uint64": (0xFFFF,) * 4, "acc64": (0,) * 4,
    "float32": (0x7FC0, 0), "float64": (0x7FF8, 0, 0, 0), "string": (0,) * 4,
}  # fmt: skip
"""What a device shows for a point it does not have, word by word, from the specification's list of types."""


@pytest.mark.parametrize("kind", MISSING)
def test_not_implemented_of_every_type(kind):
    register = Register("x", kind, 0, count=4 if kind == "string" else None, nan=_nan_of(kind))
    assert decode(register, MISSING[kind], "msw_first") is None
    almost = (*MISSING[kind][:-1], MISSING[kind][-1] ^ 1)
    assert kind in ("float32", "float64", "string") or decode(register, almost, "msw_first") is not None


def _nan_of(kind: str) -> tuple[int, ...]:
    return (NOT_IMPLEMENTED[kind],) if kind in NOT_IMPLEMENTED else ()


def test_every_type_of_the_tables_has_its_missing_value():
    used = {point.type for model in models().values() for point in model.points}
    assert used <= set(MISSING)
    assert set(NOT_IMPLEMENTED) == set(MISSING) - {"float32", "float64", "string"}


@contextlib.asynccontextmanager
async def device(bank: RegisterBank) -> AsyncIterator[ModbusPort]:
    async with ModbusServer({1: bank}) as server:
        port = ModbusPort(TcpLink("127.0.0.1", server.port, 2.0), Now(), random.Random(1))
        try:
            yield port
        finally:
            await port.aclose()


async def readings(bank: RegisterBank) -> dict[int, ModelReading]:
    async with device(bank) as port:
        found = await read_device(port, 1)
    assert not isinstance(found, NotFound), found
    return {reading.found.id: reading for reading in found}


def values(reading: ModelReading) -> dict[str, Value | None]:
    assert reading.problem == ""
    return {name: measured.value for name, measured in reading.values.items()}


COMMON: Part = (1, 66, {2: text("Maker", 16), 18: text("Model 1", 16), 50: text("SN42", 16), 66: 7})
MPPT: Part = (160, 48, {
    2: 0xFFFF, 3: 0xFFFE, 4: 1, 5: 0, 8: 2, 9: 0xFFFF,  # factors -1, -2, 1, 0; two inputs
    10: 1, 11: text("east", 8), 19: 81, 20: 40123, 21: 325, 22: (0x0001, 0xE240), 26: 0x8000, 27: 4,
    30: 2, 31: text("west", 8), 39: 0xFFFF, 40: 0, 41: 0xFFFF, 42: (0, 0), 46: 0xFFF6, 47: 2,
})  # fmt: skip


async def test_common_and_mppt_with_repeated_inputs():
    found = await readings(chain(COMMON, MPPT, base=40000))
    who, inputs = values(found[1]), values(found[160])
    assert (who["Mn"], who["Md"], who["SN"], who["DA"], who["Opt"]) == ("Maker", "Model 1", "SN42", 7, None)
    expected = {
        "N": 2, "TmsPer": None, "module[0].ID": 1, "module[0].IDStr": "east", "module[0].DCA": 8.1,
        "module[0].DCV": 401.23, "module[0].DCW": 3250, "module[0].DCWH": 123456, "module[0].Tmp": None,
        "module[0].DCSt": 4, "module[1].IDStr": "west", "module[1].DCA": None, "module[1].DCV": 0.0,
        "module[1].DCW": None, "module[1].DCWH": None, "module[1].Tmp": -10, "module[1].DCSt": 2,
    }  # fmt: skip
    assert {name: inputs[name] for name in expected} == expected
    assert found[160].values["module[0].DCV"].unit == "V"
    assert found[160].name == "mppt"


FLOAT_INVERTER: Part = (113, 60, {
    2: (0x4224, 0), 4: (0x4180, 0), 6: (0x7FC0, 0), 8: (0x41C8, 0),  # 41, 16, NaN, 25 A
    16: (0x4366, 0), 22: (0x4566, 0), 24: (0x4248, 0), 32: (0x449A, 0x5000), 48: 4,
})  # fmt: skip


async def test_float_inverter():
    found = values((await readings(chain(COMMON, FLOAT_INVERTER, base=0)))[113])
    expected = {
        "A": 41.0, "AphA": 16.0, "AphB": None, "AphC": 25.0, "PhVphA": 230.0, "W": 3680.0, "Hz": 50.0, "WH": 1234.5,
        "St": 4,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected


METER: Part = (203, 105, {
    2: 410, 3: 160, 4: 0x8000, 5: 0xFF06, 6: 0xFFFF,  # 41.0, 16.0, none, -25.0 A
    8: 2301, 15: 0xFFFF, 16: 5000, 17: 0xFFFE, 18: 0xFF7C, 19: 368, 22: 1,  # -1320, 3680 W
    38: (0, 1234), 46: (0x0001, 0xE240), 54: 2,
})  # fmt: skip


async def test_meter_with_factors_of_either_sign():
    found = values((await readings(chain(COMMON, METER, base=50000)))[203])
    expected = {
        "A": 41.0, "AphA": 16.0, "AphB": None, "AphC": -25.0, "PhVphA": 230.1, "Hz": 50.0, "W": -1320, "WphA": 3680,
        "TotWhExp": 123_400, "TotWhImp": 12_345_600, "TotWhExpPhA": None,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected
    single = values((await readings(chain((201, 105, {12: 4000, 15: 0xFFFF}), base=40000)))[201])
    assert single["PPVphAB"] == 400.0
    assert "PhVphAB" not in single


CURVES: Part = (705, 13 + 2 * (10 + 2 * 2), {
    2: 1, 5: 2, 6: 2, 7: (0, 60), 12: 0xFFFE, 13: 0xFFFE, 14: 0,  # two points, two curves
    15: 2, 16: 1, 22: (0, 5), 24: 1, 25: 9200, 26: 3000, 27: 10800, 28: 0xF448,
    29: 1, 30: 0, 38: 0, 39: 9500, 40: 0x8000, 41: 0xFFFF, 42: 0,
})  # fmt: skip


async def test_nested_groups_lie_behind_each_other():
    found = values((await readings(chain(COMMON, CURVES, base=40000)))[705])
    expected = {
        "NPt": 2, "NCrv": 2, "RvrtTms": 60, "Crv[0].ActPt": 2, "Crv[0].RspTms": 5, "Crv[0].ReadOnly": 1,
        "Crv[0].Pt[0].V": 92.0, "Crv[0].Pt[0].Var": 30.0, "Crv[0].Pt[1].V": 108.0, "Crv[0].Pt[1].Var": -30.0,
        "Crv[1].ActPt": 1, "Crv[1].Pt[0].V": 95.0, "Crv[1].Pt[0].Var": None, "Crv[1].Pt[1].V": None,
        "Crv[1].Pt[1].Var": 0.0,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected


def offsets(model: int, *names: str) -> dict[str, int]:
    return {point.name: point.offset for point in models()[model].points if point.name in names}


async def test_a_model_longer_than_a_request_is_read_in_parts():
    at = {"W": 10, "MnAlrmInfo": 123, "W_SF": 116}
    assert offsets(701, *at) == at
    cells: Cells = {10: 980, 116: 1, 123: text("all is well", 32)}
    found = values((await readings(chain(COMMON, (701, 153, cells), base=40000)))[701])
    assert (found["W"], found["MnAlrmInfo"]) == (9800, "all is well")


@dataclass
class Restless(RegisterBank):
    """After the first reading of its factor the device changes it, and the value with it."""

    reads: int = 0

    def get(self, table: Table, addr: int, count: int) -> tuple[int, ...] | None:
        words, start = super().get(table, addr, count), 40000 + 2 + 68
        if addr <= start + 116 < addr + count:
            self.reads += 1
            if self.reads == 1:
                self.put("holding", start + 10, (98,))
                self.put("holding", start + 116, (2,))
        return words


async def test_values_are_read_again_when_their_factor_changed_meanwhile():
    bank = Restless(chain(COMMON, (701, 153, {10: 980, 116: 1}), base=40000).tables)
    assert values((await readings(bank))[701])["W"] == 9800
    assert bank.reads == 4


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ((103, 40, {}), "says 40 words, its table has 50"),
        ((160, 47, {}), "says 47 words, its parts take 28"),
        ((705, 20, {5: 2, 6: 2}), "says 20 words, its parts take 41"),
        ((705, 13, {5: 0xFFFF, 6: 0xFFFF}), "says 13 words, its parts take"),
        ((704, 57, {}), "says 57 words, its parts take 65"),
        ((64001, 4, {}), "is not known"),
    ],
)
async def test_a_length_that_does_not_fit_is_refused_and_the_others_are_read(model, told):
    async with device(chain(COMMON, model, FLOAT_INVERTER, base=40000)) as port:
        found = await read_device(port, 1)
    assert not isinstance(found, NotFound)
    who, refused, behind = found
    assert values(who)["SN"] == "SN42"
    assert told in refused.problem
    assert refused.values == {}
    assert values(behind)["W"] == 3680.0


async def test_other_words_at_the_first_base_are_passed_by():
    bank = chain(COMMON, MPPT, base=50000)
    bank.put("holding", 40000, (0x5375, 0x6E54))
    assert values((await readings(bank))[1])["SN"] == "SN42"


async def test_a_chain_that_runs_out_of_the_addresses_is_given_up():
    bank = chain(COMMON, base=50000)
    bank.put("holding", 50000 + 2 + 68, (103, 20_000))
    async with device(bank) as port:
        found = await read_device(port, 1)
    assert isinstance(found, NotFound)
    assert "does not end" in found.reason


async def test_the_end_of_the_chain_may_also_be_a_refusal():
    bank = chain(COMMON, base=40000)
    del bank.tables["holding"][40000 + 2 + 68]
    assert set(await readings(bank)) == {1}


async def test_a_common_model_without_its_pad_is_fine():
    found = await readings(chain((1, 65, {2: text("Maker", 16)}), MPPT, base=40000))
    assert values(found[1])["Mn"] == "Maker"


async def test_a_factor_outside_its_range_makes_no_value():
    found = values((await readings(chain((203, 105, {2: 410, 6: 11}), base=40000)))[203])
    assert found["A"] is None


async def test_a_factor_that_is_not_implemented_counts_as_none():
    found = values((await readings(chain((203, 105, {2: 410, 6: 0x8000}), base=40000)))[203])
    assert (found["A"], found["A_SF"]) == (410, None)


async def test_points_are_written_with_the_factor_of_the_moment():
    control = FoundModel(704, 40000 + 2 + 68, 65)
    bank = chain(COMMON, (704, 65, {54: 0xFFFE, 55: 1}), base=40000)
    log: list[tuple[int, tuple[int, ...]]] = []
    bank.on_write = lambda _, addr, words: log.append((addr - control.addr, words))
    async with device(bank) as port:
        assert isinstance(await write_point(port, 1, control, "WMaxLimPctRvrtTms", 60), Ok)
        assert isinstance(await write_point(port, 1, control, "WMaxLimPct", 33.339), Ok)
        bank.put("holding", control.addr + 54, (0,))
        assert isinstance(await write_point(port, 1, control, "WMaxLimPct", 33.339), Ok)
        assert isinstance(await write_point(port, 1, control, "WSet", -12_345), Ok)
        assert isinstance(await write_point(port, 1, control, "PFWInj.Ext", 1), Ok)
        refused = [
            await write_point(port, 1, control, name, value)
            for name, value in (("WMaxLimPctRvrtRem", 1), ("Nothing", 1), ("WMaxLimPct", -1))
        ]
    assert log == [(18, (0, 60)), (15, (3333,)), (15, (33,)), (24, (0xFFFF, 0xFB2E)), (60, (1,))]
    assert [isinstance(one, NotFound) for one in refused] == [True] * 3


@pytest.mark.parametrize("length", [0, 1])
def test_registers_of_a_model_cut_short_are_refused(length):
    assert isinstance(registers_of(FoundModel(802, 40070, length), {}), NotFound)


def trip(number: int, *points: int, size: int) -> Part:
    """Two points per curve and one set; ``points``: the words of a curve's points."""
    curve = (2, *points)
    curves = {10 + n * len(curve): curve for n in range(3)}
    return (number, 7 + 1 + 3 * (1 + 2 * size), {2: 1, 3: 0, 4: 1, 5: 2, 6: 1, 7: 0xFFFE, 8: 0xFFFE, 9: 1, **curves})


async def test_trip_settings_of_the_grid_protection_are_shown():
    """IEEE 1547-2018 category II: 0.70 of nominal for 10 s, 0.45 for 0.16 s; 58.5 Hz for 300 s, 56.5 Hz for 0.16 s."""
    voltage = (7000, 0, 1000, 4500, 0, 16)
    frequency = (0, 5850, 0, 30_000, 0, 5650, 0, 16)
    parts = [trip(707, *voltage, size=3), trip(708, *voltage, size=3)]
    parts += [trip(709, *frequency, size=4), trip(710, *frequency, size=4)]
    found = await readings(chain(COMMON, *parts, base=40000))
    assert set(found) == {1, *TRIPS}
    for number in TRIPS:
        seen = values(found[number])
        assert (seen["Ena"], seen["NPt"], seen["NCrvSet"], seen["Crv[0].ReadOnly"]) == (1, 2, 1, 1)
        name, first, later = ("V", (70.0, 10.0), (45.0, 0.16)) if number < 709 else ("Hz", (58.5, 300.0), (56.5, 0.16))
        for curve in ("MustTrip", "MayTrip", "MomCess"):
            assert seen[f"Crv[0].{curve}.ActPt"] == 2
            for k, wanted_pair in enumerate((first, later)):
                pair = [seen[f"Crv[0].{curve}.Pt[{k}].{point}"] for point in (name, "Tms")]
                assert pair == pytest.approx(wanted_pair), (number, curve, k)
    assert all(point.access == "R" for number in TRIPS for point in models()[number].points)


# Maps of public test devices: each register says in a comment which point it is.

_POINT = re.compile(r'<point id="(\w+)"\s+offset="\d+"\s+type="(\w+)"(?:\s+len="\d+")?(?:\s+sf="(\w+)")?')


def mapped(file: Path) -> tuple[RegisterBank, list[tuple[str, str | None, str]]]:
    """The device of a map, and what its comments say: point, scale factor, raw text."""
    bank, addr, told = RegisterBank(), 40000, []
    for line in file.read_text("utf-8").splitlines():
        if not (found := re.search(r"<regs.*?</regs>", line)):
            continue
        regs = ET.fromstring(found[0])
        raw, kind = regs.text or "", regs.attrib["type"]
        if kind == "string":
            words = text(raw, int(regs.attrib["len"]))
        else:
            size = {"16": 1, "32": 2, "64": 4}[kind[1:]]
            number = int.from_bytes(struct.pack(">f", float(raw)), "big") if kind == "f32" else int(raw, 0)
            bits = number & ((1 << 16 * size) - 1)
            words = tuple(bits >> 16 * (size - 1 - n) & 0xFFFF for n in range(size))
        bank.put("holding", addr, words)
        addr += len(words)
        if point := _POINT.search(line):
            told.append((point[1], point[3], raw))
    return bank, told


@pytest.mark.parametrize("name", ["sunspec_mbmap_test_inverter_1", "sunspec_mbmap_test_inverter_2"])
async def test_maps_of_public_test_devices(reference_data, name):
    bank, told = mapped(reference_data / "modbus" / f"{name}.xml")
    factors = {point: int(raw, 0) for point, _, raw in told[:43] if point.endswith("_SF")}
    found = await readings(bank)
    assert values(found[1])["SN"] == "sn-123456789"
    inverter, seen = values(found[103]), 0
    for point, sf, raw in told[:43]:
        number = int(raw, 0)
        missing = number in (0xFFFF, -0x8000)
        expected = None if missing else number * 10 ** factors[sf] if sf else number
        assert inverter[point] == (None if expected is None else pytest.approx(expected)), point
        seen += 1
    assert seen == len(inverter) == 43
    if name.endswith("2"):
        inputs = values(found[160])
        assert [inputs[f"module[{n}].IDStr"] for n in range(3)] == ["1:1", "1:2", "1:3"]
        assert inputs["module[1].DCV"] == pytest.approx(300.12)
        assert inputs["module[2].DCW"] == 333
        assert inputs["N"] == 3


def words_of(value: object, fact: Mapping[str, Any]) -> tuple[int, ...]:
    """A raw value of a described device in the words the facts give its point."""
    if fact["type"] == "string":
        return text(str(value or ""), fact["size"])
    size = fact["size"]
    missing = 1 << 16 * size - 1 if fact["type"].startswith(("int", "sunssf")) else (1 << 16 * size) - 1
    bits = (missing if value is None else int(str(value))) & ((1 << 16 * size) - 1)
    return tuple(bits >> 16 * (size - 1 - n) & 0xFFFF for n in range(size))


def test_types_of_a_public_test_device(reference_data):
    lines = (reference_data / "modbus" / "sunspec_mbmap_test_device_1.xml").read_text("utf-8").splitlines()
    bank, _ = mapped(reference_data / "modbus" / "sunspec_mbmap_test_device_1.xml")
    seen = set()
    for line in lines:
        point, regs = _POINT.search(line), re.search(r'<regs offset="(\d+)"[^>]*>([^<]*)<', line)
        if point is None or regs is None or point[2] not in MISSING or point[2] == "string":
            continue
        if point[1].startswith("acc") != point[2].startswith("acc"):
            continue  # one line of the map calls an acc64 an int64
        register = Register(point[1], cast(RegisterType, point[2]), 40000 + int(regs[1]), nan=_nan_of(point[2]))
        words = bank.get("holding", register.address, register.words)
        assert words is not None
        found = decode(register, words, "msw_first")
        if point[1].endswith("_u"):
            assert found is None, line
        elif found is None:
            assert point[2] == "sunssf", line
        else:
            assert found == int(regs[2], 0), line
        seen.add(point[2])
    assert len(seen) >= 10


async def test_the_described_1547_device(reference_data):
    known = facts()
    described = json.loads((reference_data / "modbus" / "sunspec_device_1547.json").read_text("utf-8"))["models"]
    wanted_models = [model for model in described if model["ID"] in (701, 702, 703)]
    places = {n: {p["name"]: p for p in fact_points(known[n], top=True)} for n in (701, 702, 703)}
    cells = {
        model["ID"]: {places[model["ID"]][name]["off"]: words_of(value, places[model["ID"]][name])
                      for name, value in model.items() if name in places[model["ID"]]}
        for model in wanted_models
    }  # fmt: skip
    bank = chain(*((n, known[n]["fixed_words"] - 2, cells[n]) for n in (701, 702, 703)), base=40000)
    found = await readings(bank)
    for model in wanted_models:
        here, compared = values(found[model["ID"]]), 0
        for name, raw in model.items():
            place = places[model["ID"]].get(name)
            if place is None or place["type"] == "string" or raw is None:
                continue
            factor = model.get(place.get("sf", ""), 0) or 0
            assert here[name] == pytest.approx(raw * 10**factor), name
            compared += 1
        assert compared >= 10, model["ID"]
    assert values(found[701])["W"] == 9800
