"""The codec against words worked out by hand from IEEE 754 and two's complement, not by the codec."""

from __future__ import annotations

import math
import struct
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interfaces.drivers.profile import Register
from interfaces.drivers.registers import EncodeFailure, decode, encode, not_available, writable_words


def reg(kind, **more):
    return Register("r", kind, addr=0, **more)


GOLDEN = [
    # register, word order, words on the wire, value
    (reg("uint16", unit="A"), "msw_first", (0x0010,), 16),
    (reg("int16", scale=0.1), "msw_first", (0xFFF6,), -1.0),
    (reg("uint32", scale=0.001, unit="A"), "msw_first", (0x0000, 0x3EFB), 16.123),
    (reg("int32", scale=0.1, unit="V"), "lsw_first", (0x08FD, 0x0000), 230.1),
    (reg("int32", scale=0.1, unit="W"), "lsw_first", (0x3CB0, 0xFFFF), -5000.0),
    (reg("int32", scale=0.1, word_order="msw_first"), "lsw_first", (0xFFFF, 0x3CB0), -5000.0),
    (reg("uint64", scale=0.001, unit="s"), "msw_first", (0, 0, 0x055E, 0x38C8), 90061.0),
    (reg("int64"), "lsw_first", (0xFFFE, 0xFFFF, 0xFFFF, 0xFFFF), -2),
    (reg("float32", unit="V"), "msw_first", (0x4366, 0x0000), 230.0),
    (reg("float32", unit="A"), "lsw_first", (0x0000, 0xBFC0), -1.5),
    (reg("float64", unit="Wh"), "msw_first", (0x408F, 0x4000, 0, 0), 1000.0),
    (reg("float64"), "lsw_first", (0, 0, 0, 0x4004), 2.5),
    (reg("bitfield32"), "msw_first", (0x8000, 0x0001), 0x80000001),
    (reg("bit", table="coil"), "msw_first", (1,), 1),
    (reg("string", count=5), "msw_first", (0x4332, 0, 0, 0, 0), "C2"),
    (reg("string", count=2), "msw_first", (0x4120, 0x2000), "A"),
    (reg("raw", count=2), "msw_first", (0x342E, 0x3430), "4.40"),
    (reg("raw", count=2, text="version"), "msw_first", (0x0106, 0x0500), "1.6.5"),
    (reg("raw", count=2, text="hex"), "msw_first", (0x0000, 0x8400), "00008400"),
]


@pytest.mark.parametrize(("register", "order", "words", "value"), GOLDEN)
def test_golden_words_decode_to_their_value(register, order, words, value):
    assert decode(register, words, order) == value


@pytest.mark.parametrize(("register", "order", "words", "value"), [row for row in GOLDEN if row[3] != "A"])
def test_golden_values_encode_to_their_words(register, order, words, value):
    assert encode(register, value, order) == words


@pytest.mark.parametrize(
    ("register", "words"),
    [
        (reg("int32", nan=(0x7FFFFFFF,)), (0xFFFF, 0x7FFF)),
        (reg("uint32", nan=(0xFFFFFFFF,)), (0xFFFF, 0xFFFF)),
        (reg("int16", nan=(-32768,)), (0x8000,)),
        (reg("float32"), (0xFFFF, 0xFFFF)),
        (reg("float32"), (0x0000, 0x7F80)),
        (reg("float64"), (0, 0, 0, 0xFFF8)),
        (reg("string", count=2), (0, 0)),
        (reg("string", count=2), (0xFFFF, 0xFFFF)),
        (reg("string", count=2), (0x2020, 0x2020)),
        (reg("string", count=1), (0x0141,)),
    ],
)
def test_not_available_is_none_and_never_zero(register, words):
    assert decode(register, words, "lsw_first") is None


@pytest.mark.parametrize(("sf", "value"), [(-1, 123.4), (0, 1234), (None, 1234), (2, 123400.0)])
def test_sunspec_scale_factor(sf, value):
    assert decode(reg("int16"), (1234,), "msw_first", sf) == value
    assert encode(reg("int16"), value, "msw_first", sf) == (1234,)


def test_currents_are_rounded_towards_zero():
    amps = reg("uint16", unit="A", access="RW")
    assert writable_words(amps, Fraction(15_999, 1000), "msw_first") == (15,)
    tenths = reg("int16", scale=0.1, access="RW")
    assert writable_words(tenths, Fraction(-159, 100), "msw_first") == (0xFFF1,)  # -1.5
    # The float32 nearest to 0.1 is above it; the one below is written.
    assert writable_words(reg("float32", access="RW"), Fraction(1, 10), "msw_first") == (0x3DCC, 0xCCCC)
    # ... and the float32 nearest to 6.1 is already below.
    assert writable_words(reg("float32", access="RW"), Fraction(61, 10), "msw_first") == (0x40C3, 0x3333)


def test_decimal_values_are_taken_as_written():
    assert encode(reg("uint16", scale=0.1), 0.3, "msw_first") == (3,)
    assert encode(reg("uint32", scale=0.001), 16.0, "msw_first") == (0, 16000)


@pytest.mark.parametrize(
    ("register", "value", "part"),
    [
        (reg("uint16", access="RW"), 65536, "does not fit"),
        (reg("uint16", access="RW"), -1, "does not fit"),
        (reg("int16", access="RW"), 32768, "does not fit"),
        (reg("sunssf", access="RW"), 11, "does not fit"),
        (reg("bit", table="coil", access="RW"), 2, "does not fit"),
        (reg("uint32", access="RW", nan=(0xFFFFFFFF,)), 0xFFFFFFFF, "not available"),
        (reg("float32", access="RW"), 1e39, "does not fit"),
        (reg("uint16", access="RW"), math.nan, "not a number"),
        (reg("float32", access="RW"), math.inf, "not a number"),
        (reg("uint16"), 1, "read-only"),
        (reg("uint16", access="RW"), "1", "takes a number"),
        (reg("string", count=2, access="RW"), 1, "takes text"),
        (reg("string", count=1, access="RW"), "abc", "longer"),
        (reg("string", count=2, access="RW"), "é", "not ascii"),
    ],
)
def test_what_cannot_be_written_is_refused_with_its_reason(register, value, part):
    refused = writable_words(register, value, "msw_first")
    assert isinstance(refused, EncodeFailure)
    assert part in refused.reason


def test_wrong_number_of_words_is_a_bug():
    with pytest.raises(ValueError, match="takes 2 words"):
        decode(reg("uint32"), (1,), "msw_first")


NUMERIC = ["uint16", "int16", "uint32", "int32", "uint64", "int64"]
orders = st.sampled_from(["msw_first", "lsw_first"])


@given(kind=st.sampled_from(NUMERIC), order=orders, data=st.data())
def test_integers_survive_the_round_trip(kind, order, data):
    register = reg(kind)
    words = tuple(data.draw(st.lists(st.integers(0, 0xFFFF), min_size=register.words, max_size=register.words)))
    value = decode(register, words, order)
    assert isinstance(value, int)
    assert encode(register, value, order) == words


@given(words=st.tuples(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF)), order=orders)
def test_no_float_bit_pattern_gets_past_as_infinite_or_nan(words, order):
    value = decode(reg("float32"), words, order)
    assert value is None or math.isfinite(float(value))


@given(value=st.floats(-3e38, 3e38), order=orders)
def test_a_written_float_never_lies_further_from_zero(value, order):
    words = encode(reg("float32"), value, order)
    assert not isinstance(words, EncodeFailure)
    ordered = words if order == "msw_first" else words[::-1]
    assert abs(struct.unpack(">f", struct.pack(">2H", *ordered))[0]) <= abs(value)


@given(milli=st.integers(0, 80_000), step=st.sampled_from([1.0, 0.1, 0.001]))
def test_a_written_current_never_exceeds_what_was_meant(milli, step):
    words = encode(reg("uint32", scale=step), Fraction(milli, 1000), "msw_first")
    assert not isinstance(words, EncodeFailure)
    written = (words[0] * 65536 + words[1]) * Fraction(repr(step))
    assert 0 <= Fraction(milli, 1000) - written < Fraction(repr(step))


def test_not_available_words_decode_to_none():
    for register in (reg("int32", nan=(0x7FFFFFFF,)), reg("float32"), reg("string", count=3)):
        assert decode(register, not_available(register, "lsw_first"), "lsw_first") is None
