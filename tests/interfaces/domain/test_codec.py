"""What goes through the codec comes back equal; what was damaged, forged or made by another version is refused."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from interfaces.domain.codec import CodecError, digest, fingerprint, pack, unpack, unpack_any
from interfaces.domain.codec_json import MAX_DEPTH, from_json
from interfaces.domain.plan import Plan
from interfaces.domain.targets import Target, Targets
from interfaces.domain.units import MISSING, NEVER_S, Bools, Floats, Ints


class Colour(IntEnum):
    RED = 1
    BLUE = 7


@dataclass(frozen=True, slots=True)
class Inner:
    amount_ma: Ints
    late: Bools
    name: str | None


@dataclass(frozen=True, slots=True)
class Everything:
    count: int
    at_s: float
    good: bool
    label: str
    colour: Colour
    mode: Literal["on", "off"]
    ints: Ints
    times_s: Floats
    flags: Bools
    maybe: float | None
    inner: Inner | None
    many: tuple[Inner, ...]
    pair: tuple[int, str]
    names: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Single:
    value: int


def same(one, other) -> bool:
    """Equality of records with columns: values, types and shapes."""
    if dataclasses.is_dataclass(one):
        return type(one) is type(other) and all(
            same(getattr(one, f.name), getattr(other, f.name)) for f in dataclasses.fields(one)
        )
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and bool((one == other).all())
    if isinstance(one, tuple):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return type(one) is type(other) and one == other


INT64 = st.integers(-(2**63), 2**63 - 1)
REAL = st.floats(allow_nan=False)
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def columns(dtype, elements, *, min_side: int = 0):
    shapes = hnp.array_shapes(min_dims=1, max_dims=3, min_side=min_side, max_side=4)
    return hnp.arrays(dtype, shapes, elements=elements)


def inners(whole, *, min_side: int = 0):
    return st.builds(
        Inner,
        columns(np.int64, whole, min_side=min_side),
        columns(np.bool_, st.booleans(), min_side=min_side),
        st.none() | st.text(),
    )


def everything(whole=INT64, real=REAL, *, min_side: int = 0):
    inner = inners(whole, min_side=min_side)
    return st.builds(
        Everything,
        count=whole,
        at_s=real,
        good=st.booleans(),
        label=st.text(),
        colour=st.sampled_from(Colour),
        mode=st.sampled_from(["on", "off"]),
        ints=columns(np.int64, whole, min_side=min_side),
        times_s=columns(np.float64, real, min_side=min_side),
        flags=columns(np.bool_, st.booleans(), min_side=min_side),
        maybe=st.none() | FINITE,
        inner=st.none() | inner,
        many=st.lists(inner, max_size=3).map(tuple),
        pair=st.tuples(st.integers(0, 9), st.text()),
        names=st.dictionaries(st.text(), st.integers(0, 9), max_size=3),
    )


PLAN = Plan(
    plan_id="p1", site="s", topology_version="t", sequence=4, key_id="k", issued_epoch_s=1e9, start_epoch_s=1e9,
    step_s=900, valid_until_epoch_s=2e9, lease_until_epoch_s=1.5e9, assets=("a", "b"),
    setpoint_ma=np.array([[6000, 0], [16000, 8000]]), value_ppm=np.zeros((2, 2), dtype=np.int64),
    planned_import_mw=np.array([1, 2]),
    grid_ppm=np.zeros((2, 3), dtype=np.int64),
    calm_import_mw=np.array([3, 4]),
)  # fmt: skip


# -- bytes ------------------------------------------------------------------------------------------------------------


@given(everything())
@settings(max_examples=300, deadline=None)
def test_bytes_come_back_as_the_same_object(value):
    assert same(value, unpack(pack(value), Everything))


@given(everything(), st.data())
@settings(max_examples=300, deadline=None)
def test_damaged_bytes_never_raise(value, data):
    packed = bytearray(pack(value))
    for _ in range(data.draw(st.integers(1, 5))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    found = unpack(bytes(packed), Everything)
    assert isinstance(found, CodecError | Everything)


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_noise_is_refused_as_a_value(noise):
    assert isinstance(unpack(noise, Everything), CodecError)


@given(everything())
@settings(max_examples=50, deadline=None)
def test_every_truncation_is_refused(value):
    packed = pack(value)
    for end in range(0, len(packed), max(1, len(packed) // 40)):
        assert isinstance(unpack(packed[:end], Everything), CodecError), end
    assert isinstance(unpack(packed + b"\x00", Everything), CodecError)


def test_a_column_read_is_read_only_and_little_endian():
    found = unpack(pack(PLAN), Plan)
    assert isinstance(found, Plan)
    assert not found.setpoint_ma.flags.writeable
    assert b"i\x02" + bytes([2, 0, 0, 0, 2, 0, 0, 0]) + (6000).to_bytes(8, "little") in pack(PLAN)


def test_columns_in_any_memory_order_give_the_same_bytes():
    turned = dataclasses.replace(PLAN, setpoint_ma=np.asfortranarray(PLAN.setpoint_ma))
    sliced = dataclasses.replace(PLAN, planned_import_mw=np.array([[1, 9], [2, 9]])[:, 0])
    assert pack(PLAN) == pack(turned) == pack(sliced)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda raw: raw.__setitem__(0, 2), "codec version 2 is not 1"),
        (lambda raw: raw.__setitem__(1, "Other"), "'Other' is not expected here"),
        (lambda raw: raw.__setitem__(2, "000000000000"), "written by another version"),
        (lambda raw: raw[3].append(1), "is not a Inner of 3 fields"),
        (lambda raw: raw[3].__setitem__(0, b"f" + raw[3][0][1:]), "amount_ma: a column of type b'f' instead of 'i'"),
        (lambda raw: raw[3].__setitem__(0, raw[3][0][:-1]), "amount_ma: a column of shape (2,) with 15 bytes"),
        (lambda raw: raw[3].__setitem__(0, b"i\x01\x00"), "amount_ma: a column is cut off"),
        (lambda raw: raw[3].__setitem__(0, b"i\x09"), "amount_ma: not a column"),
        (lambda raw: raw[3].__setitem__(1, b"b\x01\x01\x00\x00\x00\x02"), "late: a truth value that is neither 0 nor"),
        (lambda raw: raw[3].__setitem__(2, 5), "name: 5 is not text"),
    ],
)
def test_a_forged_object_is_refused_with_its_reason(change, reason):
    value = Inner(np.array([1, 2]), np.array([True]), "x")
    raw = msgpack.unpackb(pack(value))
    change(raw)
    found = unpack(msgpack.packb(raw), Inner)
    assert isinstance(found, CodecError)
    assert reason in str(found)


def test_nan_is_refused_in_numbers_and_columns():
    nan = Everything(1, math.nan, True, "", Colour.RED, "on", np.array([1]), np.array([1.0]), np.array([True]), None,
                     None, (), (1, ""), {})  # fmt: skip
    assert "at_s" in str(unpack(pack(nan), Everything))
    column = dataclasses.replace(nan, at_s=1.0, times_s=np.array([1.0, math.nan]))
    assert str(unpack(pack(column), Everything)) == "times_s: NaN in a column"
    never = dataclasses.replace(nan, at_s=NEVER_S, times_s=np.array([NEVER_S, math.inf]))
    assert same(never, unpack(pack(never), Everything))


@pytest.mark.parametrize(
    "broken",
    [
        Inner(np.array([1.0]), np.array([True]), None),
        Inner(np.array([1]), np.array([1]), None),
        Inner(np.array([1]), np.array([True]), b"x"),  # type: ignore[arg-type]
        Single(1.0),  # type: ignore[arg-type]
        Single("1"),  # type: ignore[arg-type]
    ],
)
def test_packing_what_is_not_of_its_declared_type_is_a_bug(broken):
    with pytest.raises(TypeError):
        pack(broken)


def test_a_size_beyond_the_bound_is_refused_unread():
    assert "larger than 10 bytes" in str(unpack(pack(PLAN), Plan, max_bytes=10))


def test_one_of_several_classes_is_told_apart():
    targets = Targets(1, 1e9, (Target("a", 2e9, 10_000),), 1e9, 3600, np.array([0.2, -0.01]))
    for value in (PLAN, targets, Single(3)):
        assert same(value, unpack_any(pack(value), (Plan, Targets, Single)))
    assert "'Single' is not expected here, only Plan, Targets" in str(unpack_any(pack(Single(3)), (Plan, Targets)))


def test_a_type_that_cannot_travel_is_found_at_once():
    @dataclass(frozen=True)
    class Odd:
        value: complex

    with pytest.raises(TypeError, match="complex"):
        pack(Odd(1j))


def test_fingerprints_follow_names_and_types_of_every_depth():
    def renamed(field: str, kind: object) -> type:
        inner = dataclasses.make_dataclass("Inner", [(field, kind)], frozen=True)
        return dataclasses.make_dataclass("Outer", [("inner", inner)], frozen=True)

    prints = {fingerprint(renamed(*one)) for one in (("a", int), ("b", int), ("a", float))}
    assert len(prints) == 3
    assert fingerprint(renamed("a", int)) == fingerprint(renamed("a", int))


@given(everything(), everything())
@settings(max_examples=100, deadline=None)
def test_digests_are_equal_exactly_for_equal_objects(one, other):
    assert digest(one) == digest(unpack(pack(one), Everything))
    assert (digest(one) == digest(other)) == (pack(one) == pack(other))


def test_a_digest_is_stable_over_processes_and_versions():
    assert digest(Single(5)) == "6c36a743dac601abbad93a931e9376e4"


# -- JSON -------------------------------------------------------------------------------------------------------------


def as_json(value: object) -> object:
    """Plain data of a record as a sender would write it: fields by name, null for what is missing."""
    if dataclasses.is_dataclass(value):
        return {field.name: as_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, np.ndarray):
        return as_json(value.tolist())
    if isinstance(value, list | tuple):
        return [as_json(one) for one in value]
    if isinstance(value, Mapping):
        return {key: as_json(one) for key, one in value.items()}
    if isinstance(value, Colour):
        return value.name
    missing = (type(value) is int and value == MISSING) or (type(value) is float and value == NEVER_S)
    return None if missing else value


def to_json(value: object) -> str:
    return json.dumps(as_json(value), allow_nan=False, ensure_ascii=False)


@given(everything(st.integers(-(2**62), 2**62) | st.just(MISSING), FINITE | st.just(NEVER_S), min_side=1))
@settings(max_examples=300, deadline=None)
def test_json_comes_back_as_the_same_object(value):
    assert same(value, from_json(to_json(value), Everything))


def test_missing_is_null_and_never_a_number():
    value = Inner(np.array([MISSING, 3]), np.array([True, False]), None)
    assert same(value, from_json('{"amount_ma":[null,3],"late":[true,false],"name":null}', Inner))


def plan_json(**change: object) -> str:
    return json.dumps({**json.loads(to_json(PLAN)), **change})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (plan_json(extra=1), "unknown key 'extra'"),
        (json.dumps({"plan_id": "x"}), "key 'site' is missing"),
        (plan_json(step_s=900.0), "step_s: not a 64-bit integer"),
        (plan_json(step_s=True), "step_s: not a 64-bit integer"),
        (plan_json(step_s=2**63), "beyond 64 bits"),
        (plan_json(setpoint_ma=[[1, 2], [3]]), "setpoint_ma: rows of a column differ in length"),
        (plan_json(setpoint_ma=[[1, 2], 3]), "setpoint_ma: rows of a column differ in depth"),
        (plan_json(setpoint_ma=[[1, 2.5]]), "setpoint_ma.1: not a 64-bit integer"),
        (plan_json(assets=[1]), "assets.0: not text"),
        (plan_json(assets={}), "assets: not a list"),
        (plan_json(issued_epoch_s="soon"), "issued_epoch_s: not a finite number"),
        (plan_json().replace("1500000000.0", "NaN"), "NaN is not a number"),
        (plan_json().replace("1500000000.0", "-Infinity"), "-Infinity is not a number"),
        (plan_json().replace("1500000000.0", "1e999"), "lease_until_epoch_s: not a finite number"),
        (plan_json(step_s=1).replace('"step_s": 1', '"step_s": ' + "9" * 5000), "beyond 64 bits"),
        (plan_json()[:-1] + ', "site": "again"}', "key 'site' is given twice"),
        (plan_json()[:-1], "not JSON"),
        ("[1]", "not an object"),
        ("", "not JSON"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "nested deeper than 8"),
        ('{"a":' * 100_000, "nested deeper than 8"),
        ("x" * 300_000, "larger than 262144 bytes"),
        (b'"\xff"', "not UTF-8"),
    ],
)
def test_json_is_refused_with_its_reason(text, reason):
    found = from_json(text, Plan, max_bytes=1_000_000 if len(text) == 500_000 else 262_144)
    assert isinstance(found, CodecError)
    assert reason in str(found)


def test_brackets_inside_strings_are_no_depth():
    value = Inner(np.array([1]), np.array([True]), '[[[[[[[[[["\\[[[[')
    assert same(value, from_json(to_json(value), Inner))


def test_the_depth_scan_is_linear_in_hostile_text():
    assert "not JSON" in str(from_json('"' + '\\"' * 120_000, Plan))


@given(st.text(max_size=80) | st.binary(max_size=80))
@settings(max_examples=300, deadline=None)
def test_no_text_makes_json_reading_raise(text):
    assert isinstance(from_json(text, Plan), CodecError)
