"""Profile files: what is refused and how it is told, what shipped files promise."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import jsonschema
import pytest
import yaml

from interfaces.drivers import profile_load
from interfaces.drivers.profile import Profile
from interfaces.drivers.profile_load import (
    ProfileProblems,
    find_profile,
    parse_profile,
    profile_ids,
    profile_json_schema,
)
from tests.interfaces.drivers.far_side import profile_of

METER = """
schema: 1
id: some_meter
kind: meter
vendor: Somebody
models: [M1]
confidence: one_source
sources: [a manual]
tcp: {port: 502}
current_sign: unsigned
registers:
  - {name: i1, addr: 0, type: uint16, unit: mA}
  - {name: i2, addr: 1, type: uint16, unit: mA}
  - {name: i3, addr: 2, type: uint16, unit: mA}
polls:
  - {name: all, period_ms: 1000, registers: [i1, i2, i3]}
roles: {current_l1_a: i1, current_l2_a: i2, current_l3_a: i3}
"""


def problems(text: str) -> str:
    refused = parse_profile(text, "file")
    assert isinstance(refused, ProfileProblems), "it was accepted"
    return "\n".join(refused.problems)


def test_a_small_profile_is_enough():
    assert isinstance(parse_profile(METER, "file"), Profile)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("vendor: Somebody", "vendor: Somebody\ncolour: red", "colour: Unexpected"),
        ("addr: 0,", "addr: 0, adr: 1,", "registers.0.adr"),
        ("addr: 0,", "addr: '0',", "registers.0.addr"),
        ("type: uint16, unit: mA}\n  - {name: i2", "type: uint17, unit: mA}\n  - {name: i2", "registers.0.type"),
        ("addr: 0,", "", "registers.i1: needs either addr"),
        ("addr: 2,", "addr: 65536,", "registers.i3: address 65536"),
        ("{name: i3", "{name: i2", "registers.i2: given twice"),
        ("[i1, i2, i3]", "[i1, i2]", "i3 is used but never read"),
        ("[i1, i2, i3]", "[i1, i2, i3, i4]", "polls.all: there is no register i4"),
        ("period_ms: 1000", "period_ms: 10", "faster than limits.min_poll_ms"),
        ("current_l3_a: i3", "current_l4_a: i3", "current_l4_a: unknown role"),
        ("current_l3_a: i3", "voltage_l3_v: i3", "is in V, the register in mA"),
        ("current_l3_a: i3", "current_l2_a: i3", "given twice"),
        ("current_sign: unsigned\n", "", "current_sign: a meter needs it"),
        ("tcp: {port: 502}\n", "", "neither tcp nor rtu"),
        ("type: uint16, unit: mA}\n  - {name: i2", "type: string, unit: mA}\n  - {name: i2", "needs a count"),
        ("type: uint16, unit: mA}\n  - {name: i2", "type: uint32, count: 3}\n  - {name: i2", "takes 2 words, not 3"),
        ("addr: 0,", "addr: 0, access: W,", "i1 cannot be read"),
        ("addr: 0,", "addr: 0, table: input, access: RW,", "table input cannot be written"),
        ("addr: 0,", "addr: 0, fc_write: [6],", "fc_write on a register that is read-only"),
        ("addr: 0,", "addr: 0, scale: 0,", "a scale of 0"),
        ("addr: 0,", "addr: 0, scale: .nan,", "registers.0.scale"),
        ("addr: 0,", "model: x, offset: 2,", "there is no SunSpec model x"),
        ("polls:", "limits: {forbidden: [[1, 1]]}\npolls:", "i2 lies in a forbidden range"),
        ("kind: meter", "kind: charger", "state: a charger needs it"),
        ("schema: 1", "schema: 2", "schema"),
        ("schema: 1", "schema: 1\nextends: nobody", "there is no profile 'nobody'"),
    ],
)
def test_what_is_wrong_is_refused_and_told_with_its_place(old, new, told):
    assert old in METER
    assert told in problems(METER.replace(old, new, 1))


def test_all_problems_come_at_once():
    text = METER.replace("addr: 0", "addr: -1").replace("addr: 1,", "addr: 70000,")
    assert problems(text).count("outside 0..65535") == 2


@pytest.mark.parametrize("text", ["", "3", "[1, 2]", "a: [", "{1: 2}", "x: !!python/object:os.system {}", "a: 1\na: 2"])
def test_text_that_is_no_profile_is_refused(text):
    assert problems(text)


def test_a_huge_file_is_refused_before_it_is_parsed():
    assert "larger than" in problems("#" * 1_000_001)


def test_a_file_that_multiplies_itself_is_refused():
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert "more than" in problems("\n".join(lines))


def test_only_true_and_false_are_truth_values():
    text = METER.replace("unit: mA}\n  - {name: i2", "unit: mA, on: station, enum: {0: off, 1: yes}}\n  - {name: i2")
    profile = parse_profile(text, "file")
    assert isinstance(profile, Profile)
    assert (profile.register("i1").on, profile.register("i1").enum) == ("station", {0: "off", 1: "yes"})


def test_a_profile_may_build_on_another():
    live, bender = profile_of("webasto_live"), profile_of("bender_cc61x_ecu")
    assert (live.registers, live.state, live.setpoint) == (bender.registers, bender.state, bender.setpoint)
    assert (live.points.units, live.points.port_step) == ((255,), 0)
    assert find_profile("mennekes_amtron") is bender  # aliases stay with their owner


def test_registers_and_polls_of_a_parent_are_replaced_by_name():
    text = """
schema: 1
id: live_2
extends: webasto_live
registers: [{name: comm_timeout, addr: 132, type: uint16, unit: s, access: R}]
failsafe: {timeout_write: null}
"""
    profile = parse_profile(text, "file")
    assert isinstance(profile, Profile)
    assert profile.register("comm_timeout").access == "R"
    assert profile.failsafe.timeout_write is None
    assert profile.failsafe.current_write == "safe_current"


def test_the_profiles_the_product_promises_are_there():
    promised = {
        "alfen_eve_ng9xx", "abb_terra_ac", "bender_cc61x_ecu", "webasto_live", "webasto_next", "cg_em24_e1",
        "cg_em24_rs485", "cg_em500", "eastron_sdm630", "sunspec_inverter", "sunspec_battery",
    }  # fmt: skip
    assert promised <= set(profile_ids())
    assert find_profile("alfen_eve") is find_profile("alfen_eve_ng9xx")
    assert find_profile("no_such_box") is None


def test_the_exported_schema_accepts_every_shipped_file_and_refuses_slips():
    validator = jsonschema.Draft202012Validator(profile_json_schema())
    folder = resources.files("interfaces.drivers") / "profiles"
    documents = [
        yaml.load(file.read_text("utf-8"), Loader=profile_load._ProfileYaml)
        for kind in folder.iterdir()
        if kind.is_dir()
        for file in kind.iterdir()
        if file.name.endswith(".yaml")
    ]
    assert len(documents) >= 11
    for document in documents:
        # An editor reads the file as it stands: keys of mappings are text there.
        assert [error.message for error in validator.iter_errors(_as_json(document))] == [], document["id"]
    broken = {**_as_json(documents[0]), "colour": "red"}
    assert list(validator.iter_errors(broken))
    assert list(validator.iter_errors({"schema": 1, "id": "x"}))


def _as_json(node):
    if isinstance(node, dict):
        return {str(key): _as_json(value) for key, value in node.items()}
    return [_as_json(item) for item in node] if isinstance(node, list) else node


def test_the_documented_example_is_a_profile_and_the_list_of_profiles_is_complete():
    text = (Path(__file__).parents[3] / "docs" / "profiles.md").read_text("utf-8")
    example = text.split("```yaml\n")[1].split("```")[0]
    assert isinstance(parse_profile(example, "docs"), Profile)
    listed = {line.split("`")[1] for line in text.splitlines() if line.startswith("| `")}
    assert set(profile_ids()) <= listed


def test_sunspec_points_get_their_not_implemented_value():
    profile = profile_of("sunspec_inverter")
    assert profile.register("AphB").nan == (0xFFFF,)
    assert profile.register("W").nan == (-0x8000,)
    assert profile.register("WH").nan == (0,)
