"""P1 telegrams: framing, checksum, objects; whatever else arrives is a refusal with a reason and never an exception."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interfaces.drivers.p1_currents import phases_of
from interfaces.drivers.p1_reading import values_of
from interfaces.drivers.p1_telegram import (
    MAX_OBJECTS,
    MAX_PROBLEMS,
    MAX_TELEGRAM_BYTES,
    Arrived,
    Framer,
    Number,
    Reason,
    Refused,
    Telegram,
    crc16,
    parse,
)
from tests.interfaces.drivers.p1_texts import BELGIAN, BELGIAN_TEXT, DUTCH, DUTCH_TEXT, with_checksum


def telegram(data: bytes) -> Telegram:
    (arrived,) = Framer().feed(data, 0.0)
    assert isinstance(arrived.content, Telegram), arrived
    return arrived.content


def reasons(data: bytes) -> list[Reason | None]:
    found = Framer().feed(data, 0.0)
    return [one.content.reason if isinstance(one.content, Refused) else None for one in found]


def changed(before: str, after: str) -> Telegram:
    assert DUTCH_TEXT.count(before) == 1, before
    return telegram(with_checksum(DUTCH_TEXT.replace(before, after)))


def test_the_checksum_is_that_of_the_catalogue():
    assert crc16(b"123456789") == 0xBB3D  # the check value of CRC-16/ARC


def test_a_dutch_telegram_is_read():
    found = telegram(DUTCH)
    assert found.identification == r"ISK5\2M550T-1012"
    assert found.stamp == "240621123456S"
    assert found.numbers["1-0:1.8.1"] == Number(3432.827, "kWh", 3)
    assert found.numbers["1-0:22.7.0"] == Number(3.39, "kW", 3)
    assert found.numbers["1-0:31.7.0"] == Number(15.0, "A", 0)
    assert found.numbers["1-0:72.7.0"] == Number(236.0, "V", 1)
    assert found.texts == {"0-0:96.1.1": "E0044007131650618", "0-0:96.14.0": "0002", "1-3:0.2.8": "50"}
    assert found.problems == ()


def test_the_values_of_a_dutch_telegram_were_computed_by_hand():
    values, notes = values_of(telegram(DUTCH))
    assert values["current_l1_a"] == -14.739  # 3390 W / 230 V fed in; of "015" only 14.5 A are sure
    assert values["current_l2_a"] == 2.0  # 322 W / 231 V are 1.39 A, the field holds the reactive current too
    assert values["current_l3_a"] == 5.5  # 1298 W / 236 V, the field is cut to "005"
    assert (values["power_l1_w"], values["power_l3_w"], values["power_w"]) == (-3390.0, 1298.0, -1770.0)
    assert (values["energy_import_wh"], values["energy_export_wh"]) == (6_657_459.0, 46_500.0)
    assert values["serial"] == "E0044007131650618"
    assert "demand_quarter_w" not in values
    assert notes == ()


def test_the_values_of_a_belgian_telegram_were_computed_by_hand():
    values, notes = values_of(telegram(BELGIAN))
    assert values["current_l1_a"] == 10.44  # finer than P / U and more than it
    assert values["current_l2_a"] == 0.0
    assert values["current_l3_a"] == 1.989  # 6 A fed in, 10 A (9.9915 for sure) in all: 7.989 A are reactive
    assert (values["power_w"], values["power_l3_w"]) == (920.0, -1380.0)
    assert (values["demand_quarter_w"], values["demand_month_peak_w"]) == (2351.0, 5980.0)
    assert values["quarter_left_s"] == 13 * 60 + 53  # 19:01:07
    assert values["serial"] == "1SAG3100000001"
    assert notes == ()


@pytest.mark.parametrize(
    ("now", "peak", "expected"),
    [
        ("241105190107W", "241103134558W", 5980.0),
        ("241105190107W", "241031134558W", None),  # the meter has not begun its new month yet
        ("241201000001W", "241201000000W", None),  # a quarter is named by its end: the last one of November
        ("241201001501W", "241201001500W", 5980.0),
        ("241105190107W", "241199134558W", None),
    ],
)
def test_the_peak_is_that_of_the_running_month(now, peak, expected):
    text = BELGIAN_TEXT.replace("241105190107W", now).replace("241103134558W", peak)
    values, _ = values_of(telegram(with_checksum(text)))
    assert values["demand_month_peak_w"] == expected


def test_a_peak_without_its_time_is_of_no_month():
    text = BELGIAN_TEXT.replace("(241103134558W)(05.980", "(05.980")
    values, _ = values_of(telegram(with_checksum(text)))
    assert values["demand_month_peak_w"] is None
    assert values["demand_quarter_w"] == 2351.0


def test_without_a_time_stamp_nobody_knows_which_quarter_runs():
    text = BELGIAN_TEXT.replace("0-0:1.0.0(241105190107W)\n", "")
    values, _ = values_of(telegram(with_checksum(text)))
    assert "demand_quarter_w" not in values
    assert values["demand_month_peak_w"] is None


def test_real_telegrams_of_a_house(reference_data):
    raw = gzip.decompress((reference_data / "site_currents" / "dsmr5_nl_house_1s_telegrams.txt.gz").read_bytes())
    # The file was stored with LF; the checksums are over what was on the line, with CR LF. It begins in mid-telegram.
    found = Framer()
    contents = []
    data = raw.replace(b"\n", b"\r\n")
    for start in range(0, len(data), 1000):
        contents += [one.content for one in found.feed(data[start : start + 1000], start / 1000)]
    telegrams = [one for one in contents if isinstance(one, Telegram)]
    assert (len(contents), len(telegrams)) == (566, 566)
    assert not any(one.problems for one in telegrams)
    first, last = values_of(telegrams[0])[0], values_of(telegrams[-1])[0]
    assert (telegrams[0].stamp, telegrams[-1].stamp) == ("190324150519W", "190324151445W")
    assert [first[f"current_l{n}_a"] for n in (1, 2, 3)] == [0.19, 0.043, 2.0]
    assert [last[f"current_l{n}_a"] for n in (1, 2, 3)] == [0.186, 0.047, 3.0]
    assert (first["power_w"], last["power_w"]) == (378.0, 744.0)
    assert last["energy_import_wh"] == 6_657_553.0
    assert raw.replace(b"\n", b"")[:4] == b"1-0:"
    assert reasons(raw)[:2] == [Reason.CHECKSUM, Reason.CHECKSUM]  # a bridge that drops CR does not pass


def test_bytes_come_in_any_pieces_and_the_time_is_that_of_the_first_byte():
    framer, found = Framer(), []
    stream = DUTCH[-40:] + DUTCH + BELGIAN
    for at, byte in enumerate(stream):
        found += framer.feed(bytes([byte]), float(at))
    assert [one.at_s for one in found] == [40.0, 40.0 + len(DUTCH)]
    assert all(isinstance(one.content, Telegram) for one in found)


@pytest.mark.parametrize("size", [7, 100, 4096])
def test_the_time_is_that_of_the_chunk_with_the_first_byte(size):
    framer, found = Framer(), []
    stream = DUTCH * 3
    for start in range(0, len(stream), size):
        found += framer.feed(stream[start : start + size], float(start // size))
    assert [one.at_s for one in found] == [float(k * len(DUTCH) // size) for k in range(3)]


def test_noise_and_half_telegrams_cost_themselves_only():
    assert reasons(b"\x00\xffnoise!\r\n\r\n" + DUTCH) == [None]
    assert reasons(DUTCH[:300] + DUTCH) == [None]
    assert reasons(DUTCH[300:] + DUTCH) == [None]
    assert reasons(DUTCH[:200] + DUTCH[250:] + BELGIAN) == [Reason.CHECKSUM, None]
    framer = Framer()
    framer.feed(b"line noise\r\n" * 3, 0.0)
    assert framer.noise_bytes > 0


def test_what_is_no_telegram_is_refused_with_its_reason():
    assert reasons(DUTCH[:-6] + b"\r\n") == [Reason.NO_CHECKSUM]
    assert reasons(DUTCH[:-6] + b"12\r\n") == [Reason.BAD_END]
    assert reasons(DUTCH[:-6] + b"0x1F\r\n") == [Reason.BAD_END]
    assert reasons(DUTCH[:-6] + b"0000\r\n") == [Reason.CHECKSUM]
    assert reasons(b"\xdb\x08SAGgpq01\x82\x02\x00") == [Reason.CIPHERED]
    binary = "/ISK5\r\n\r\n0-0:96.13.0(\xe9)\r\n!".encode("latin-1")
    assert reasons(binary + f"{crc16(binary):04X}\r\n".encode()) == [Reason.NOT_TEXT]
    many = "/X\r\n\r\n" + "".join(f"0-{k % 250}:9.{k // 250}.0(1)\r\n" for k in range(MAX_OBJECTS + 1)) + "!"
    assert reasons(f"{many}{crc16(many.encode()):04X}\r\n".encode()) == [Reason.TOO_MANY]


def test_the_buffer_is_bounded():
    framer = Framer()
    found = [one for _ in range(40) for one in framer.feed(b"/" + b"x" * 999, 1.0)]
    assert {one.content.reason for one in found if isinstance(one.content, Refused)} == {Reason.TOO_LONG}
    assert len(framer._buffer) <= MAX_TELEGRAM_BYTES
    assert any(isinstance(one.content, Telegram) for one in framer.feed(b"\r\n" + DUTCH + BELGIAN, 2.0))


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("1-0:32.7.0(230.0*V)", "1-0:32.7.0(230.0*A)", "1-0:32.7.0: in A instead of V"),
        ("1-0:32.7.0(230.0*V)", "1-0:32.7.0(230.0)", "1-0:32.7.0: no number with a unit"),
        ("1-0:32.7.0(230.0*V)", "1-0:32.7.0(-30.0*V)", "1-0:32.7.0: no number with a unit"),
        ("1-0:32.7.0(230.0*V)", "1-0:32.7.0(nan*V)", "1-0:32.7.0: no number with a unit"),
        ("1-0:32.7.0(230.0*V)", "1-0:32.7.0()", "1-0:32.7.0: no number with a unit"),
        ("1-0:32.7.0(230.0*V)", "1-0:32.7.0(999.9*V)", "1-0:32.7.0: larger than anything real"),
        ("1-0:32.7.0(230.0*V)", "1-0:32.7.0(230.0*V)\n1-0:32.7.0(23.0*V)", "1-0:32.7.0: given twice with"),
        ("1-0:32.7.0(230.0*V)", "1-0:32.7.0(230.0*V", "line 16: no object"),
        ("0-0:96.13.0()", f"0-0:96.13.0({'3' * 4000})", "line 15: too long"),
        ("(240621123456S)", "(240621123456)", "0-0:1.0.0: no time stamp"),
    ],
)
def test_one_bad_object_costs_that_object_only(before, after, told):
    found = changed(before, after)
    assert len(found.problems) == 1
    assert found.problems[0].startswith(told)
    assert ("1-0:32.7.0" in found.numbers) == ("1-0:32.7.0" not in told and "32.7.0" not in before)
    assert (found.stamp is None) == ("time stamp" in told)
    assert found.numbers["1-0:21.7.0"].value == 0.0


def test_an_object_that_is_repeated_alike_is_fine_and_problems_are_bounded():
    assert changed("1-0:32.7.0(230.0*V)", "1-0:32.7.0(230.0*V)\n1-0:32.7.0(230.0*V)").problems == ()
    found = changed("0-0:96.13.0()", "\n".join("rubbish" * (k + 1) for k in range(50)))
    assert len(found.problems) == MAX_PROBLEMS


@settings(max_examples=300)
@given(st.integers(0, len(DUTCH) - 1), st.integers(1, 255))
def test_no_flipped_byte_makes_another_telegram(at, mask):
    spoiled = bytearray(DUTCH)
    spoiled[at] ^= mask
    right = telegram(DUTCH)
    for arrived in Framer().feed(bytes(spoiled) + BELGIAN, 0.0):
        if isinstance(arrived.content, Telegram):
            assert arrived.content in (right, telegram(BELGIAN))


NOISE = st.one_of(
    st.binary(max_size=400),
    st.sampled_from([b"/", b"!", b"\r\n", b"!0000\r\n", b"/X\r\n\r\n", b"\xdb\x08", b"1-0:1.7.0(", DUTCH, BELGIAN]),
    st.integers(0, len(DUTCH)).map(lambda k: DUTCH[:k]),
    st.integers(0, len(BELGIAN)).map(lambda k: BELGIAN[k:]),
)


@settings(max_examples=200)
@given(st.lists(NOISE, max_size=12))
def test_any_stream_is_survived(chunks):
    framer = Framer()
    for at, chunk in enumerate(chunks):
        for arrived in framer.feed(chunk, float(at)):
            assert isinstance(arrived, Arrived)
            assert 0.0 <= arrived.at_s <= at
            if isinstance(arrived.content, Telegram):
                assert arrived.content.digest in (telegram(DUTCH).digest, telegram(BELGIAN).digest)
        assert len(framer._buffer) <= MAX_TELEGRAM_BYTES
    found = framer.feed(b"\r\n/" + DUTCH[1:] + DUTCH, 99.0)
    assert any(isinstance(one.content, Telegram) for one in found)


LINES = st.one_of(
    st.text(st.characters(max_codepoint=127), max_size=60),
    st.builds(
        "1-0:{}.7.0({}*{})".format,
        st.sampled_from([1, 2, 21, 22, 31, 32, 41, 42, 51, 52, 61, 62, 71, 72, 23, 24]),
        st.one_of(st.text("0123456789.", max_size=9), st.text(max_size=4)),
        st.sampled_from(["kW", "V", "A", "kvar", "W", ""]),
    ),
)


@settings(max_examples=300)
@given(st.lists(LINES, max_size=30))
def test_any_content_gives_believable_values_or_none(lines):
    content = ("/X\r\n\r\n" + "\r\n".join(lines) + "\r\n!").encode("utf-8", "surrogatepass")
    found = parse(content)
    if isinstance(found, Telegram):
        for phase in phases_of(found):
            assert phase.current_a is None or abs(phase.current_a) <= 1e5
        assert all(number.value >= 0.0 for number in found.numbers.values())
        values_of(found)
