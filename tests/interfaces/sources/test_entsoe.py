"""ENTSO-E documents: curves, resolutions, sequences, zones, refusals. Numbers were worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from interfaces.domain.series import Flag
from interfaces.sources.prices import entsoe
from interfaces.sources.prices.entsoe import parse
from interfaces.sources.prices.zones import ZONES
from tests.interfaces.sources.kit import acknowledgement, epoch, error, period, points, publication, series, time_series

DAY = ("2025-10-01T22:00Z", "2025-10-02T22:00Z")


def quarters(prices: Mapping[int, float | str], **options: str) -> bytes:
    return publication(time_series(period(*DAY, "PT15M", prices), **options))


def test_curve_a03_repeats_the_price_before_until_the_end_of_its_period():
    found = series(quarters_of_three())
    assert found.resolution_min == 15
    assert len(found.eur_per_kwh) == 96
    assert found.eur_per_kwh[:4].tolist() == [0.1, 0.1, 0.1, 0.2]
    assert found.eur_per_kwh[94:].tolist() == [0.2, -0.005]
    assert found.flags == ()


def quarters_of_three():
    return parse(quarters({1: 100, 4: "200.00", 96: -5}))


def test_curve_a01_leaves_a_missing_position_missing():
    found = parse(
        publication(
            time_series(period("2025-10-01T22:00Z", "2025-10-02T02:00Z", "PT60M", {1: 10, 2: 20, 4: 40}), curve="A01")
        )
    )
    assert points(found) == [("10-01T22:00", 0.01), ("10-01T23:00", 0.02), ("10-02T01:00", 0.04)]
    assert series(found).flags == (Flag.GAPS,)


def test_an_a03_period_that_does_not_begin_with_its_first_position_has_a_hole_there():
    found = parse(publication(
        time_series(
            period("2025-10-01T22:00Z", "2025-10-02T00:00Z", "PT60M", {1: 10}),
            period("2025-10-02T00:00Z", "2025-10-02T02:00Z", "PT60M", {2: 40}),
        )
    ))  # fmt: skip
    assert points(found)[-1] == ("10-02T01:00", 0.04)
    assert len(points(found)) == 3
    assert series(found).flags == (Flag.GAPS,)


def test_hours_and_quarters_follow_each_other_with_their_own_steps():
    found = series(parse(publication(
        time_series(
            period("2025-09-30T20:00Z", "2025-09-30T22:00Z", "PT60M", {1: 10, 2: 20}),
            period("2025-09-30T22:00Z", "2025-09-30T22:30Z", "PT15M", {1: 30, 2: 40}),
        )
    )))  # fmt: skip
    assert found.step_s.tolist() == [3600, 3600, 900, 900]
    assert found.eur_per_kwh.tolist() == [0.01, 0.02, 0.03, 0.04]
    assert found.resolution_min == 15
    assert found.flags == ()


def test_of_two_sequences_the_first_is_the_day_ahead_price_whatever_their_order():
    second = time_series(period(*DAY, "PT15M", {1: 77}), sequence="2")
    first = time_series(period(*DAY, "PT60M", {1: 100}), sequence="1")
    for document in (publication(second, first), publication(first, second)):
        found = series(parse(document))
        assert set(found.eur_per_kwh.tolist()) == {0.1}
        assert found.resolution_min == 60
        assert found.flags == (Flag.OTHER_AUCTION,)


def test_hours_that_only_the_second_sequence_has_are_not_published_yet():
    today = time_series(period(*DAY, "PT60M", {1: 100}), sequence="1")
    tomorrow = time_series(period("2025-10-02T22:00Z", "2025-10-03T22:00Z", "PT60M", {1: 77}), sequence="2")
    assert len(points(parse(publication(today, tomorrow)))) == 24
    assert error(parse(publication(tomorrow))) == (
        "ENTSO-E: the document holds prices of other auctions only: the day-ahead prices are not published"
    )


def test_intraday_auctions_are_left_out():
    intraday = time_series(period(*DAY, "PT60M", {1: 55}), contract="A07")
    day_ahead = time_series(period(*DAY, "PT60M", {1: 100}))
    assert set(series(parse(publication(intraday, day_ahead))).eur_per_kwh.tolist()) == {0.1}


def test_hours_given_in_quarters_too_are_the_quarters():
    hours = time_series(period("2025-10-01T22:00Z", "2025-10-02T00:00Z", "PT60M", {1: 10, 2: 20}))
    fine = time_series(period("2025-10-01T22:00Z", "2025-10-01T23:00Z", "PT15M", {1: 11, 2: 12, 3: 13, 4: 14}))
    found = parse(publication(hours, fine))
    assert [price for _, price in points(found)] == [0.011, 0.012, 0.013, 0.014, 0.02]
    assert series(found).flags == (Flag.COARSER,)


@pytest.mark.parametrize(
    ("start", "end", "count"),
    [
        ("2026-03-28T23:00Z", "2026-03-29T22:00Z", 92),
        ("2026-10-24T22:00Z", "2026-10-25T23:00Z", 100),
        ("2026-06-01T22:00Z", "2026-06-02T22:00Z", 96),
    ],
)
def test_days_of_92_and_100_quarters(start, end, count):
    prices = dict.fromkeys(range(1, count + 1), 1) | {count: 42}
    found = series(parse(publication(time_series(period(start, end, "PT15M", prices)))))
    assert len(found.eur_per_kwh) == count
    assert found.start_epoch_s[-1] + 900 == epoch(end)
    assert found.eur_per_kwh[-1] == 0.042
    assert found.flags == ()


def test_prices_at_the_limits_of_the_market_are_kept_and_flagged():
    found = series(parse(quarters({1: -500, 2: 4000})))
    assert found.eur_per_kwh[:2].tolist() == [-0.5, 4.0]
    assert found.flags == (Flag.EXTREME,)
    assert series(parse(quarters({1: -499.99, 2: 3999.99}))).flags == ()
    assert "no market price" in error(parse(quarters({1: 400000})))


def test_a_period_given_twice_alike_is_dropped_and_differently_refused():
    once = period(*DAY, "PT60M", {1: 10, 2: 20})
    twice = series(parse(publication(time_series(once), time_series(once))))
    assert len(twice.eur_per_kwh) == 24
    assert twice.flags == (Flag.DUPLICATES,)
    other = period(*DAY, "PT60M", {1: 10, 2: 21})
    assert error(parse(publication(time_series(once), time_series(other)))) == (
        "ENTSO-E: the time from 2025-10-01 23:00 UTC is given twice, differently"
    )


def test_a_duplicated_position_is_refused_when_its_prices_differ():
    same = period(*DAY, "PT60M", {1: 10}).replace(
        "<Point>", "<Point><position>1</position><price.amount>10</price.amount></Point><Point>"
    )
    assert len(points(parse(publication(time_series(same))))) == 24
    differs = same.replace("<price.amount>10<", "<price.amount>11<", 1)
    assert "position 1 is given twice" in error(parse(publication(time_series(differs))))


def test_another_zone_than_asked_for_is_refused():
    document = quarters({1: 100})
    assert series(parse(document)).zone == "BE"
    assert series(parse(document, ZONES["BE"])).zone == "BE"
    assert error(parse(document, ZONES["NL"])) == "ENTSO-E: the prices are those of BE, not of NL"


def test_a_border_is_no_zone():
    document = quarters({1: 100}, out=ZONES["NL"].eic)
    assert series(parse(document)).zone == "BE>NL"
    assert series(parse(document)).flags == (Flag.BORDER,)
    assert "those of BE>NL, not of BE" in error(parse(document, ZONES["BE"]))


def test_two_zones_in_one_document_are_refused():
    document = publication(
        time_series(period(*DAY, "PT60M", {1: 1})), time_series(period(*DAY, "PT60M", {1: 1}), zone=ZONES["NL"].eic)
    )
    assert "several zones (BE, NL)" in error(parse(document))


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (acknowledgement("No matching data found"), "the platform refused: No matching data found"),
        (acknowledgement(""), "it gives no reason"),
        (acknowledgement("too\n\n much " + "x" * 500), "too much xxx"),
        (publication(), "holds no prices"),
        (quarters({}), "the answer holds no prices"),
        (quarters({1: 1}, currency="PLN"), "in PLN instead of EUR"),
        (quarters({1: 1}, unit="KWT"), "per KWT"),
        (quarters({1: 1}, curve="A05"), "curve type A05"),
        (quarters({1: "nan"}), "'nan' at position 1 is no price"),
        (quarters({1: "1_0"}), "is no price"),
        (quarters({1: "1e3"}), "is no price"),
        (quarters({0: 1}), "'0' is no position"),
        (quarters({-1: 1}), "'-1' is no position"),
        (publication(time_series(period(*DAY, "P1D", {1: 1}))), "resolution P1D"),
        (publication(time_series(period(DAY[1], DAY[0], "PT60M", {1: 1}))), "no usable begin and end"),
        (publication(time_series(period("2025-10-01", DAY[1], "PT60M", {1: 1}))), "no usable begin and end"),
        (publication(time_series(period(DAY[0], "2025-10-02T22:10Z", "PT15M", {1: 1}))), "no whole number"),
        (publication(time_series(period("1000-10-01T22:00Z", "3000-10-01T22:00Z", "PT15M", {1: 1}))), "years long"),
        (publication(time_series(period("1999-10-01T22:00Z", "1999-10-02T22:00Z", "PT15M", {1: 1}))), "this century"),
        (publication(time_series(period("2025-10-01T22:05Z", "2025-10-01T23:05Z", "PT15M", {1: 1}))), "of an hour"),
        (b"<a/>", "a document of another kind (a)"),
        (quarters({1: 1}).replace(b">A44<", b">A69<"), "of type A69"),
        (quarters({1: 1})[:-40], "cut off or no XML"),
        (b'<?xml version="1.0" encoding="wrong"?><a/>', "cut off or no XML"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "cut off or no XML"),
        (b"<!DOCTYPE a>" + quarters({1: 1}).partition(b"?>")[2], "cut off or no XML"),
        (b"", "the answer is empty"),
        (b" \n ", "the answer is empty"),
        (b"<html><body>login</body></html>", "a web page (HTML) instead of XML"),
    ],
)  # fmt: skip
def test_what_is_no_price_document_is_refused_in_one_sentence(document, words):
    assert words in error(parse(document))


def test_the_request_names_zone_and_time_and_hides_the_token():
    source = entsoe.source(ZONES["BE"], "secret-token")
    (request,) = source.requests(epoch("2025-10-01T22:00Z"), epoch("2025-10-03T22:00Z"))
    asked = dict(request.params)
    assert asked["documentType"] == "A44"
    assert asked["in_Domain"] == asked["out_Domain"] == "10YBE----------2"
    assert (asked["periodStart"], asked["periodEnd"]) == ("202510012200", "202510032200")
    assert request.secret == (("securityToken", "secret-token"),)
    assert "secret-token" not in repr(request)


# -- real answers -----------------------------------------------------------------------------------------------------


def sample(reference_data: Path, name: str) -> bytes:
    return (reference_data / "api_samples" / name).read_bytes()


def test_a_day_of_hours(reference_data):
    found = series(parse(sample(reference_data, "entsoe_a44_be_60m.xml"), ZONES["BE"]))
    assert found.resolution_min == 60
    assert len(found.eur_per_kwh) == 24
    assert points(found)[0] == ("10-07T22:00", 0.06498)
    assert points(found)[19] == ("10-08T17:00", 0.11547)
    assert points(found)[23] == ("10-08T21:00", 0.05)


def test_quarters_with_omitted_positions_then_hours(reference_data):
    found = series(parse(sample(reference_data, "entsoe_a44_be_60m_15m_mix.xml")))
    assert len(found.eur_per_kwh) == 96 + 96 + 24
    at = dict(points(found))
    assert at["10-05T22:00"] == at["10-05T22:45"] == 0.05535
    assert at["10-05T23:00"] == 0.04422
    # Position 57 is omitted: the price of position 53 holds for two hours.
    assert at["10-06T11:00"] == at["10-06T12:45"] == -0.00001
    assert at["10-06T13:00"] == 0.0002
    assert at["10-08T21:00"] == 0.05
    assert found.step_s[-24:].tolist() == [3600] * 24
    assert found.resolution_min == 15


def test_positions_out_of_order_and_one_beyond_the_end(reference_data):
    found = series(parse(sample(reference_data, "entsoe_a44_be_15m_avg.xml")))
    assert found.eur_per_kwh.tolist() == [
        0.05535, 0.04032, 0.03186, 0.02871, *[0.04422] * 6, *[0.02837] * 10, 0.06498, 0.06498,
    ]  # fmt: skip
    assert found.flags == (Flag.OUTSIDE,)


def test_an_explicit_auction_at_a_border(reference_data):
    found = series(parse(sample(reference_data, "entsoe_a03_curve_sample.xml")))
    assert found.eur_per_kwh.tolist() == [0.05, 0.05, 0.055, 0.055, 0.055, 0.06]
    assert found.zone == "SK>CZ"
    assert found.flags == (Flag.BORDER, Flag.UNIT)


def test_an_acknowledgement(reference_data):
    found = parse(sample(reference_data, "entsoe_acknowledgement_invalid_request.xml"))
    assert error(found) == "ENTSO-E: the platform refused: No matching data found"
