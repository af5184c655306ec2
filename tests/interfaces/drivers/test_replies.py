"""Every way a reply can be wrong, on hand-written bytes (row 29 of the fault catalogue)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interfaces.drivers.framers import StrictRtu, StrictSocket
from interfaces.drivers.modbus_server import crc16
from interfaces.drivers.replies import (
    Fault,
    Rejected,
    expect_read,
    expect_write_multiple,
    expect_write_single,
    judge,
)

READ = expect_read("holding", 17, 3)
GOOD = bytes.fromhex("03 06 AE41 5652 4340")  # the classic example of the serial line guide


def test_a_good_read_gives_its_words():
    assert judge(READ, 17, GOOD) == (0xAE41, 0x5652, 0x4340)


def test_bits_come_least_significant_first():
    # Example of the application protocol, section 6.1: coils 20-38.
    pdu = bytes.fromhex("01 03 CD 6B 05")
    bits = judge(expect_read("coil", 1, 19), 1, pdu)
    assert bits == (1, 0, 1, 1, 0, 0, 1, 1, 1, 1, 0, 1, 0, 1, 1, 0, 1, 0, 1)


@pytest.mark.parametrize(
    ("pdu", "reason"),
    [
        ("04 06 AE41 5652 4340", Fault.WRONG_FUNCTION),
        ("03 08 AE41 5652 4340 0000", Fault.WRONG_LENGTH),
        ("03 04 AE41 5652", Fault.WRONG_LENGTH),
        ("03 08 AE41 5652 4340", Fault.WRONG_LENGTH),
        ("03 06 AE41 5652", Fault.WRONG_LENGTH),
        ("03", Fault.WRONG_LENGTH),
        ("83 04", Fault.EXCEPTION),
        ("83", Fault.WRONG_LENGTH),
        ("84 02", Fault.WRONG_FUNCTION),
    ],
)
def test_row_29_reply_too_long_short_other_function(pdu, reason):
    outcome = judge(READ, 17, bytes.fromhex(pdu))
    assert isinstance(outcome, Rejected)
    assert outcome.reason is reason


def test_row_29_another_unit_is_refused():
    outcome = judge(READ, 18, GOOD)
    assert isinstance(outcome, Rejected)
    assert outcome.reason is Fault.WRONG_UNIT


@pytest.mark.parametrize(
    ("expected", "good", "bad"),
    [
        (expect_write_single("holding", 1, 1000, 16), "06 03E8 0010", "06 03E8 0020"),
        (expect_write_single("holding", 1, 1000, 16), "06 03E8 0010", "06 03E9 0010"),
        (expect_write_single("coil", 1, 172, 1), "05 00AC FF00", "05 00AC 0000"),
        (expect_write_multiple("holding", 1, 0x4100, 2), "10 4100 0002", "10 4100 0001"),
    ],
)
def test_a_write_is_believed_only_when_its_echo_is_right(expected, good, bad):
    assert judge(expected, 1, bytes.fromhex(good)) == ()
    outcome = judge(expected, 1, bytes.fromhex(bad))
    assert isinstance(outcome, Rejected)
    assert outcome.reason is Fault.WRONG_ECHO


@given(pdu=st.binary(min_size=1, max_size=253), unit=st.integers(0, 255))
def test_whatever_arrives_is_judged_and_never_raises(pdu, unit):
    outcome = judge(READ, unit, pdu)
    if not isinstance(outcome, Rejected):
        assert unit == 17
        assert pdu[:2] == bytes([3, 6])
        assert len(outcome) == 3


def socket_framer(expected=READ):
    framer = StrictSocket(lambda: 5.0)
    framer.expected = expected
    return framer


def mbap(tid, pdu, unit=17, pid=0):
    return tid.to_bytes(2, "big") + pid.to_bytes(2, "big") + (len(pdu) + 1).to_bytes(2, "big") + bytes([unit]) + pdu


def test_socket_frame_arrives_in_pieces():
    framer = socket_framer()
    frame = mbap(7, GOOD)
    for end in range(1, len(frame)):
        assert framer.handleFrame(frame[:end], 17, 7) == (0, None)
    used, judged = framer.handleFrame(frame, 17, 7)
    assert used == len(frame)
    assert (judged.outcome, judged.at_s) == ((0xAE41, 0x5652, 0x4340), 5.0)


def test_row_28_a_late_reply_before_the_right_one_is_dropped():
    framer = socket_framer()
    late = mbap(6, bytes.fromhex("03 06 0001 0002 0003"))
    used, judged = framer.handleFrame(late + mbap(7, GOOD), 17, 7)
    assert used == 2 * len(late)
    assert judged.outcome == (0xAE41, 0x5652, 0x4340)
    assert framer.late_replies == 1


def test_row_29_transaction_id_0_is_refused():
    _, judged = socket_framer().handleFrame(mbap(0, GOOD), 17, 7)
    assert judged.outcome.reason is Fault.NO_TRANSACTION


@pytest.mark.parametrize("frame", [mbap(7, GOOD, pid=1), mbap(7, b""), mbap(7, b"\x03" * 300), b"\xff" * 12])
def test_lost_frame_boundaries_are_undecodable(frame):
    framer = socket_framer()
    used, judged = framer.handleFrame(frame, 17, 7)
    assert (used, framer.broken) == (len(frame), True)
    assert judged.outcome.reason is Fault.UNDECODABLE


def rtu(body):
    data = bytes.fromhex(body)
    return data + crc16(data)


def test_crc_of_the_serial_line_example():
    assert crc16(bytes.fromhex("11 03 006B 0003")) == bytes.fromhex("7687")
    assert crc16(bytes.fromhex("11 03 06 AE41 5652 4340")) == bytes.fromhex("49AD")


def rtu_framer():
    framer = StrictRtu(lambda: 5.0)
    framer.expected = READ
    return framer


def test_rtu_frame_arrives_in_pieces():
    framer = rtu_framer()
    frame = bytes.fromhex("11 03 06 AE41 5652 4340 49AD")
    for end in range(len(frame)):
        assert framer.handleFrame(frame[:end], 17, 0) == (0, None)
    assert framer.handleFrame(frame, 17, 0)[1].outcome == (0xAE41, 0x5652, 0x4340)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (bytes.fromhex("11 03 06 AE41 5652 4341 49AD"), Fault.CHECKSUM),
        (rtu("11 04 06 AE41 5652 4340"), Fault.WRONG_FUNCTION),
        (rtu("12 03 06 AE41 5652 4340"), Fault.WRONG_UNIT),
        (rtu("11 03 04 AE41 5652"), Fault.WRONG_LENGTH),
        (rtu("11 03 06 AE41 5652 4340") * 2, Fault.WRONG_LENGTH),
        (rtu("11 83 04"), Fault.EXCEPTION),
        (b"\x00\xff\x12", Fault.WRONG_UNIT),
    ],
)
def test_row_29_rtu_replies_that_are_not_ours(frame, reason):
    _, judged = rtu_framer().handleFrame(frame, 17, 0)
    assert judged.outcome.reason is reason


def test_rtu_bytes_without_a_question_are_dropped():
    framer = rtu_framer()
    framer.expected = None
    assert framer.handleFrame(b"\x11\x03", 17, 0) == (2, None)
    assert framer.late_replies == 1


@given(data=st.binary(max_size=300))
def test_framers_never_raise(data):
    for framer in (socket_framer(), rtu_framer()):
        used, _ = framer.handleFrame(data, 17, 7)
        assert 0 <= used <= len(data)
