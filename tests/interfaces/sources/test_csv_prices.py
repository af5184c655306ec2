"""Price files that people bring along."""

from __future__ import annotations

import gzip

import pytest

from interfaces.domain.series import Flag
from interfaces.sources.prices.csv_file import parse
from interfaces.sources.prices.zones import ZONES
from tests.interfaces.sources.kit import error, points, series

TEXT = (
    "start_utc,price_eur_per_mwh\n2025-10-01T22:00:00Z,102.68\n2025-10-01T22:15:00Z,-92.25\n2025-10-02T00:30+02:00,\n"
)


def test_prices_per_mwh_and_missing_ones():
    found = parse(TEXT.encode(), ZONES["BE"])
    assert points(found) == [("10-01T22:00", 0.10268), ("10-01T22:15", -0.09225)]
    assert (series(found).zone, series(found).resolution_min, series(found).flags) == ("BE", 15, ())


def test_semicolons_byte_order_mark_windows_lines_and_gzip():
    other = b"\xef\xbb\xbf" + TEXT.replace(",", ";").replace("\n", "\r\n").encode()
    assert points(parse(other)) == points(parse(TEXT.encode()))
    assert points(parse(gzip.compress(TEXT.encode()))) == points(parse(TEXT.encode()))


def test_prices_per_kwh():
    text = TEXT.replace("price_eur_per_mwh", "eur_per_kwh").replace("102.68", "0.1").replace("-92.25", "0.2")
    assert [price for _, price in points(parse(text.encode()))] == [0.1, 0.2]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (TEXT.replace("start_utc", "start"), "needs a column start_utc"),
        (TEXT.replace("price_eur_per_mwh", "price"), "one of eur_per_kwh"),
        (TEXT.replace("22:15:00Z", "22:15:00"), "line 3: '2025-10-01T22:15:00' is no time with its offset"),
        (TEXT.replace("-92.25", "cheap"), "line 3: 'cheap' is no price"),
        (TEXT.replace("-92.25", "1,5"), "line 3 has 3 columns instead of 2"),
        (TEXT.replace("-92.25", "inf"), "no market price"),
        (TEXT.replace("22:15:00Z", "22:07:00Z"), "quarter of an hour"),
        ("start_utc,start_utc\n", "no header"),
        ("start_utc,eur_per_kwh\n", "holds no prices"),
        ('start_utc,eur_per_kwh\n"2025', "no CSV"),
        ("", "the file is empty"),
        ("<html></html>", "the file is a web page"),
    ],
)
def test_refusals(text, words):
    assert words in error(parse(text.encode()))


def test_bytes_that_are_no_text_and_broken_gzip():
    assert "no UTF-8" in error(parse(b"start_utc,eur_per_kwh\n\xff\xfe"))
    assert "gzipped and cut off" in error(parse(gzip.compress(TEXT.encode())[:-9]))
    assert "gzipped and cut off or too large" in error(parse(gzip.compress(b"0" * 10_000_000)))


def test_two_years_of_hours(reference_data):
    body = (reference_data / "prices/day_ahead_nl_60min_2022_2023.csv.gz").read_bytes()
    found = series(parse(body, ZONES["NL"]))
    assert len(found.eur_per_kwh) == 17519
    assert found.flags == (Flag.GAPS, Flag.EXTREME)
    assert found.eur_per_kwh.min() == -0.5
    assert points(found)[0] == ("01-01T00:00", 0.1247)
