"""Codes that people type, and the answers a box takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interfaces.domain.activation import PIN_BYTES, SECRET_BYTES, ActivationCode, NoCode, read_code, write_code
from interfaces.domain.enrolment import SENTENCES, Enrolled, Why, fault_of, is_serial

CODES = st.builds(
    ActivationCode,
    st.binary(min_size=SECRET_BYTES, max_size=SECRET_BYTES),
    st.binary(min_size=PIN_BYTES, max_size=PIN_BYTES),
)
CODE = ActivationCode(bytes(range(10)), bytes(range(100, 113)))
TEXT = "000G4-0R40M-30E20-9CHJP-CSV8D-5N6PV-3DDSQ-Q0QAN"
ANSWER = Enrolled("depot-7", "acme", "Depot_1", "c", "a", "k", "broker.example", 8883, 0.0)


@given(CODES)
def test_what_is_written_is_read(code):
    assert read_code(write_code(code)) == code


def test_a_code_looks_as_it_always_did():
    """Codes on paper outlive a release."""
    assert write_code(CODE) == TEXT


@given(CODES, st.sampled_from("-  \t"))
def test_people_type_as_they_like(code, between):
    text = write_code(code).replace("-", between).lower().replace("0", "o").replace("1", "l")
    assert read_code(f" {text} ") == code


def test_every_single_wrong_letter_and_every_swap_is_seen():
    text = write_code(CODE).replace("-", "")
    wrong = {text[:k] + other + text[k + 1 :] for k in range(40) for other in "0123456789ABCDEFGHJKMNPQRSTVWXYZ"}
    wrong |= {text[:k] + text[k + 1] + text[k] + text[k + 2 :] for k in range(39)}
    for one in wrong - {text}:
        assert isinstance(read_code(one), NoCode), one


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "40 letters and digits, this has 0"),
        ("A" * 41, "this has 41"),
        ("U" * 40, "'U' does not occur"),
        ("é" * 40, "does not occur"),
        ("\x00" * 40, "does not occur"),
    ],
)
def test_what_is_no_code_is_told(text, why):
    found = read_code(text)
    assert isinstance(found, NoCode)
    assert why in found.reason


@given(st.text(max_size=60))
def test_any_text_is_a_code_or_a_reason(text):
    assert isinstance(read_code(text), ActivationCode | NoCode)


def test_a_pin_fits_one_authority():
    assert CODE.fits(bytes(range(100, 132)))
    assert not CODE.fits(bytes(32))
    assert not CODE.fits(b"")


def test_every_reason_has_a_sentence():
    assert set(SENTENCES) == set(Why)


def test_a_good_answer_has_no_fault():
    assert fault_of(ANSWER) is None


@pytest.mark.parametrize("text", ["SW-000123", "ABCD", "a1b2"])
def test_serial_numbers(text):
    assert is_serial(text)


@pytest.mark.parametrize("text", ["", "ABC", "-ABC", "A/BC", "A" * 41, "ABCD\n"])
def test_what_is_no_serial_number(text):
    assert not is_serial(text)
