"""Captures of real devices and descriptions of public test devices, decoded where their format fits ours.

- GoodWe answers, families DT and ET: plain Modbus RTU behind two bytes of their own (``AA 55``, over UDP, which no
  device of ours speaks). Without those two they go through the RTU framer, checksum and all. There is no profile of
  the make, so that the words are compared with those the capture lists, and no further. Family ES speaks a protocol of
  its own: the framer must believe none of it.
- GivEnergy logs: frames that look like Modbus TCP and are not (protocol 1, the serial number inside, a second header).
  The TCP framer must refuse the stream. What the logs hold inside those frames is listed apart as registers: decoded
  with a table for this test, written from the notes of the capture, and compared with the powers and voltages that
  somebody else decoded.
- SunSpec descriptions: points by name, no words. They are put into words by the facts of the models and read back by
  discovery. Models of the grid protection (707-710) are in an older form there than in the definitions: left out. The
  SunSpec maps in XML are decoded in ``test_sunspec_models``.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pymodbus.framer import FramerRTU

from interfaces.drivers.framers import Judged, StrictRtu, StrictSocket
from interfaces.drivers.profile import Register
from interfaces.drivers.registers import decode
from interfaces.drivers.replies import Expected, Fault, Rejected, expect_read
from tests.interfaces.drivers.sunspec_device import Part, chain
from tests.interfaces.drivers.test_sunspec_models import TRIPS, facts, readings, values, words_of

GOODWE_PREFIX = b"\xaa\x55"
GIVENERGY = (
    "givenergy_ac_arm282_2x_givbat52_30min", "givenergy_gateway_gaaa0014_10min_daylight",
    "givenergy_hybrid_gen1_arm449_givbat82_givbat95gen3_60min", "givenergy_hybrid_gen2_arm920_60s",
)  # fmt: skip


def clock() -> float:
    return 0.0


def heard(expected: Expected, frame: bytes) -> tuple[int, ...] | Rejected:
    """What the RTU framer makes of a frame that answers the question ``expected``."""
    framer = StrictRtu(clock)
    framer.expected = expected
    _, found = framer.handleFrame(frame, expected.unit, 0)
    assert isinstance(found, Judged)
    return found.outcome


def goodwe(data: Path, transport: str) -> Iterator[dict[str, str]]:
    with (data / "modbus" / "goodwe_frames.csv").open(encoding="utf-8", newline="") as file:
        yield from (row for row in csv.DictReader(file) if row["transport"] == transport)


def test_answers_of_goodwe_inverters_pass_the_framer_word_by_word(reference_data):
    count = 0
    for row in goodwe(reference_data, "modbus_rtu_in_aa55_udp"):
        frame = bytes.fromhex(row["frame_hex"])
        assert frame.startswith(GOODWE_PREFIX)
        expected = expect_read("holding", int(float(row["slave_id"])), int(float(row["register_count"])))
        words = tuple(map(int, row["registers_dec"].split()))
        reply = frame[2 : 2 + 1 + expected.size + 2]
        assert heard(expected, reply) == words, row["model"]
        if len(frame) > 2 + len(reply):  # one capture holds two answers: more than was asked for is not believed
            both = heard(expected, frame[2:])
            assert isinstance(both, Rejected)
            assert both.reason is Fault.WRONG_LENGTH
        wrong = bytearray(reply)
        wrong[-10] ^= 0x10
        refused = heard(expected, bytes(wrong))
        assert isinstance(refused, Rejected)
        assert refused.reason is Fault.CHECKSUM
        count += 1
    assert count == 35


def test_nothing_of_another_protocol_of_the_make_is_believed(reference_data):
    count = 0
    for row in goodwe(reference_data, "goodwe_aa55_udp"):
        frame = bytes.fromhex(row["frame_hex"])
        for unit, function in ((frame[0], frame[1]), (frame[2], frame[3])):
            if function not in (3, 4):
                continue
            size = max(1, (len(frame) - 5) // 2)
            assert isinstance(heard(expect_read("holding" if function == 3 else "input", unit, size), frame), Rejected)
        assert not FramerRTU.check_CRC(frame[:-2], int.from_bytes(frame[-2:], "big"))
        count += 1
    assert count == 6


@pytest.mark.parametrize("name", GIVENERGY)
def test_a_stream_that_only_looks_like_modbus_tcp_is_refused_at_its_first_frame(reference_data, name):
    lines = gzip.decompress((reference_data / "modbus" / f"{name}.log.gz").read_bytes()).decode("ascii").splitlines()
    received = [bytes.fromhex(line.split()[2]) for line in lines if " rx " in line]
    assert received
    for frame in received:
        framer = StrictSocket(clock)
        framer.expected = expect_read("input", frame[6], 60)
        _, found = framer.handleFrame(frame, frame[6], int.from_bytes(frame[:2], "big"))
        assert framer.broken or not isinstance(found, Judged) or isinstance(found.outcome, Rejected)
        assert not isinstance(found, Judged) or not isinstance(found.outcome, tuple)
    framer = StrictSocket(clock)
    framer.expected = expect_read("input", 1, 60)
    framer.handleFrame(received[0], 1, 0x5959)
    assert framer.broken, "protocol id 1: the connection is of no further use"


INPUTS = (
    Register("voltage_v", "uint16", 5, scale=0.1), Register("frequency_hz", "uint16", 13, scale=0.01),
    Register("inverter_current_a", "uint16", 10, scale=0.1), Register("inverter_out_w", "int16", 24),
    Register("grid_export_w", "int16", 30), Register("load_power_w", "uint16", 42),
    Register("battery_discharge_w", "int16", 52), Register("battery_soc_pct", "uint16", 59),
)  # fmt: skip
"""Input registers of a GivEnergy inverter, as the notes of the capture tell them."""


def test_the_registers_in_the_givenergy_captures_are_what_was_measured(reference_data):
    measured: dict[tuple[str, str, str], list[dict[str, str]]] = {}
    for row in _rows(reference_data / "site_currents" / "givenergy_site_power.csv.gz"):
        measured.setdefault((row["capture"], row["stamp_utc"][:19], row["slave_id"]), []).append(row)
    compared = 0
    for row in _rows(reference_data / "modbus" / "givenergy_registers.csv.gz"):
        if (row["function_code"], row["base_register"]) != ("4", "0"):
            continue
        words = tuple(map(int, row["registers_dec"].split()))
        told = {
            one.name: decode(one, words[one.address : one.address + one.words], "msw_first") for one in INPUTS
        }  # fmt: skip
        same = measured.get((row["capture"], row["stamp_utc"][:19], row["slave_id"]), ())
        if not same:
            continue
        compared += 1
        assert any(all(float(other[name]) == pytest.approx(told[name], abs=1e-6) for name in told) for other in same)
    assert compared >= 300


def _rows(file: Path) -> Iterator[dict[str, str]]:
    with gzip.open(file, "rt", encoding="utf-8", newline="") as text:
        yield from csv.DictReader(text)


def in_words(fact: Mapping[str, Any], size: int, told: Mapping[str, Any]) -> list[int]:
    """A model or group in the words the facts give its points and groups."""
    words = [0] * size
    for point in fact["points"]:
        if (point["name"] in ("ID", "L") and point["off"] < 2 and "fixed_words" in fact) or point["type"] == "pad":
            continue
        there = words_of(told.get(point["name"]), point)
        words[point["off"] : point["off"] + len(there)] = there
    for group in fact.get("groups", ()):
        part = sum(point["size"] for point in group["points"])
        parts = told.get(group["name"], [])
        for one in parts if isinstance(parts, list) else [parts]:
            words += in_words(group, group.get("words", part), one)
    return words


def points_of(
    fact: Mapping[str, Any], told: Mapping[str, Any], top: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, float]]:
    """Names as they are shown, and values in their units, of all numbers that are told."""
    for point in fact["points"]:
        raw = told.get(point["name"])
        is_head = not prefix and point["name"] in ("ID", "L")
        if isinstance(raw, int) and not is_head and point["type"] != "pad":
            yield prefix + point["name"], raw * 10 ** (top.get(point.get("sf"), 0) or 0)
    for group in fact.get("groups", ()):
        parts = told.get(group["name"], [])
        single = group["count"] == 1
        for k, one in enumerate(parts if isinstance(parts, list) else [parts]):
            yield from points_of(group, one, top, f"{prefix}{group['name']}{'' if single else f'[{k}]'}.")


@pytest.mark.parametrize("name", ["sunspec_device_1547", "sunspec_ha_inverter", "sunspec_ha_inverter_second"])
async def test_described_devices_are_read_back_point_by_point(reference_data, name):
    known = facts()
    described = json.loads((reference_data / "modbus" / f"{name}.json").read_text("utf-8"))["models"]
    first: dict[int, dict[str, Any]] = {}
    for model in described:
        # Some of the descriptions have model 713 with the ports of today's 714.
        if model["ID"] in known and model["ID"] not in TRIPS and not (model["ID"] == 713 and "Prt" in model):
            first.setdefault(model["ID"], model)
    parts: list[Part] = []
    for number, model in first.items():
        body = in_words(known[number], known[number]["fixed_words"], model)[2:]
        parts.append((number, len(body), {2: body}))
    found = await readings(chain(*parts, base=40000))
    assert set(found) == set(first)
    compared = 0
    for number, model in first.items():
        here = values(found[number])
        for point, value in points_of(known[number], model, model):
            # An accumulator of 0 is one that is not there.
            absent = here[point] is None and value == 0
            assert absent or here[point] == pytest.approx(value), (number, point)
            compared += 1
    assert compared > 120
    assert values(found[701])["W"] == 9800
    if 103 in first:
        assert (values(found[103])["W"], values(found[103])["PhVphA"]) == (800, 232)
        assert values(found[160])["N"] == 2
