"""Energy-Charts, aWATTar and EnergyZero: their shapes, units, holes and error answers."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from interfaces.domain.series import Flag
from interfaces.sources.answers import steps_between
from interfaces.sources.prices import awattar, energy_charts, energyzero
from interfaces.sources.prices.known import ONLINE, price_source, zone_problem
from interfaces.sources.prices.zones import ZONES, find_zone
from tests.interfaces.sources import kit
from tests.interfaces.sources.kit import epoch, error, points, series

START = epoch("2025-10-01T22:00Z")
HOUR = 3600
HOURS = [START + k * HOUR for k in range(4)]


# -- Energy-Charts ----------------------------------------------------------------------------------------------------


def test_energy_charts_steps_reach_to_the_next_begin():
    found = series(energy_charts.parse(kit.energy_charts(HOURS, [92.85, -1, 0, 4]), ZONES["BE"]))
    assert found.step_s.tolist() == [HOUR] * 4
    assert found.eur_per_kwh.tolist() == [0.09285, -0.001, 0.0, 0.004]
    assert (found.zone, found.flags) == ("BE", ())


def test_energy_charts_without_a_zone_says_that_it_assumes_one():
    found = series(energy_charts.parse(kit.energy_charts(HOURS, [1, 2, 3, 4])))
    assert (found.zone, found.flags) == ("DE-LU", (Flag.ZONE,))


def test_energy_charts_null_is_a_hole_and_never_zero():
    found = energy_charts.parse(kit.energy_charts(HOURS, [1, None, 3, 4]), ZONES["BE"])
    assert [price for _, price in points(found)] == [0.001, 0.003, 0.004]
    assert series(found).flags == (Flag.GAPS,)


def test_energy_charts_duplicates():
    assert series(energy_charts.parse(kit.energy_charts([*HOURS, HOURS[2]], [1, 2, 3, 4, 3]), ZONES["BE"])).flags == (
        Flag.DUPLICATES,
    )
    told = error(energy_charts.parse(kit.energy_charts([*HOURS, HOURS[2]], [1, 2, 3, 4, 9])))
    assert told == "Energy-Charts: the time from 2025-10-02 00:00 UTC is given twice, differently"


def test_energy_charts_in_any_order():
    found = energy_charts.parse(kit.energy_charts(HOURS[::-1], [4, 3, 2, 1]), ZONES["BE"])
    assert [price for _, price in points(found)] == [0.001, 0.002, 0.003, 0.004]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (kit.energy_charts([], []), "holds no prices"),
        (kit.energy_charts(HOURS, [None] * 4), "holds no prices"),
        (kit.energy_charts(HOURS, [1, 2]), "4 times for 2 prices"),
        (kit.energy_charts(HOURS, [1, 2, 3, 4], "ct / kWh"), "in ct / kWh instead of"),
        (b'{"unix_seconds": [1], "price": [NaN], "unit": "EUR / MWh"}', "NaN is not a number"),
        (b'{"unix_seconds": [1], "price": [1e999], "unit": "EUR / MWh"}', "price.0"),
        (b'{"unix_seconds": ["1"], "price": [1], "unit": "EUR / MWh"}', "unix_seconds.0"),
        (b'{"unix_seconds": [true], "price": [1], "unit": "EUR / MWh"}', "unix_seconds.0"),
        (b'{"unix_seconds": [1], "unit": "EUR / MWh", "unit": "x", "price": [1]}', "'unit' is given twice"),
        (b'{"detail": "no data for this zone"}', "the answer is an error: no data for this zone"),
        (b'{"detail": [{"msg": "bzn unknown"}]}', "the answer is an error: bzn unknown"),
        (b"[" * 5000, "nested deeper"),
        (b"[]", "known shape"),
        (b"7", "known shape"),
        (b"\xff\xfe", "not UTF-8"),
        (kit.energy_charts(HOURS, [1, 2, 3, 4])[:-20], "cut off or no JSON"),
        (kit.HTML, "a web page (HTML) instead of JSON"),
        (b"", "the answer is empty"),
    ],
)
def test_energy_charts_refusals(body, words):
    assert words in error(energy_charts.parse(body, ZONES["BE"]))


@pytest.mark.parametrize(
    ("minutes", "steps"),
    [
        ([0, 60, 120], [60, 60, 60]),
        ([0, 60, 120, 135, 150], [60, 60, 15, 15, 15]),  # the day the quarters came
        ([0, 15, 30, 90, 105], [15, 15, 15, 15, 15]),  # three quarters are missing, that is no hour
        ([0, 15, 30, 45, 60, 120, 135], [15, 15, 15, 15, 15, 15, 15]),  # at the hour, yet alone among quarters
        ([0, 60, 180, 240], [60, 60, 60, 60]),  # an hour is missing
        ([0, 180, 240], [60, 60, 60]),
        ([0, 15, 30, 45, 60, 120, 180], [15, 15, 15, 15, 60, 60, 60]),  # hours after quarters
        ([0, 15, 30, 90, 150], [15, 15, 15, 15, 15]),  # no hour begins at half past
        ([0], [60]),
        ([], []),
    ],
)
def test_steps_of_which_only_the_begins_are_known(minutes, steps):
    found = steps_between([m * 60 for m in minutes])
    assert [s // 60 for s in found] == steps


# -- aWATTar ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["data", "values"])
def test_awattar_rows_have_begin_and_end(key):
    rows = [(START, START + HOUR, 42.09), (START + HOUR, START + HOUR + 900, -5.12)]
    found = series(awattar.parse(kit.awattar(rows, key=key), ZONES["AT"]))
    assert found.step_s.tolist() == [HOUR, 900]
    assert found.eur_per_kwh.tolist() == [0.04209, -0.00512]
    assert (found.zone, found.resolution_min, found.flags) == ("AT", 15, ())


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (kit.awattar([]), "holds no prices"),
        (kit.awattar([(START, START, 1.0)]), "0 s long"),
        (kit.awattar([(START, START + 86400, 1.0)]), "86400 s long"),
        (kit.awattar([(START, START + HOUR, 1.0), (START + 900, START + 1800, 1.0)]), "given twice, differently"),
        (kit.awattar([(START, START + HOUR, 1.0)], unit="Ct/kWh"), "in Ct/kWh"),
        (b'{"message": "too many requests"}', "the answer is an error: too many requests"),
        (b"{}", "no list of prices"),
        (kit.HTML, "HTML"),
    ],
)
def test_awattar_refusals(body, words):
    assert words in error(awattar.parse(body, ZONES["AT"]))


# -- EnergyZero -------------------------------------------------------------------------------------------------------

ROWS = [
    ("2025-12-15T23:00:00Z", "2025-12-15T23:15:00Z", "0.077495"),
    ("2025-12-15T23:15:00Z", "2025-12-15T23:30:00Z", "-0.5"),
]


def test_energyzero_takes_the_price_without_tax():
    found = series(energyzero.parse(kit.energyzero(ROWS)))
    assert found.eur_per_kwh.tolist() == [0.077495, -0.5]
    assert (found.zone, found.resolution_min, found.flags) == ("NL", 15, (Flag.EXTREME,))


def test_energyzero_older_answers():
    row = {
        "energyPriceExcl": 0.1,
        "energyPriceIncl": 0.2,
        "from": ROWS[0][0],
        "till": ROWS[0][1],
        "type": "Electricity",
    }
    body = {"data": {"energyMarketPrices": {"prices": [row]}}}
    assert points(energyzero.parse(json.dumps(body).encode())) == [("12-15T23:00", 0.1)]
    row["type"] = "Gas"
    assert "those of Gas instead" in error(energyzero.parse(json.dumps(body).encode()))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (kit.energyzero([]), "holds no prices"),
        (kit.energyzero([(*ROWS[0][:2], "0,07")]), "'0,07' is no price"),
        (kit.energyzero([(*ROWS[0][:2], "NaN")]), "'NaN' is no price"),
        (kit.energyzero([("2025-12-15T23:00:00", ROWS[0][1], "1")]), "no time with its offset"),
        (kit.energyzero([("yesterday", ROWS[0][1], "1")]), "no time with its offset"),
        (b'{"code": 3, "message": "invalid date", "details": []}', "the answer is an error: invalid date"),
        (b'{"errors": [{"message": "internal_server_error"}], "data": null}', "internal_server_error"),
        (kit.HTML, "HTML"),
    ],
)
def test_energyzero_refusals(body, words):
    assert words in error(energyzero.parse(body))


@pytest.mark.parametrize(
    ("start", "end", "days"),
    [
        ("2026-03-28T23:00Z", "2026-03-30T22:00Z", ["29-03-2026", "30-03-2026"]),  # 23 and 24 hours
        ("2026-10-24T22:00Z", "2026-10-26T23:00Z", ["25-10-2026", "26-10-2026"]),  # 25 and 24 hours
        ("2026-06-01T10:00Z", "2026-06-01T12:00Z", ["01-06-2026"]),
    ],
)
def test_energyzero_is_asked_once_for_each_local_day(start, end, days):
    asked = energyzero.source().requests(epoch(start), epoch(end))
    assert [dict(request.params)["date"] for request in asked] == days
    assert all(later.since_epoch_s == one.until_epoch_s for one, later in pairwise(asked))


# -- requests and zones -----------------------------------------------------------------------------------------------


def test_requests_of_the_others():
    (request,) = energy_charts.source(ZONES["IT-NORTH"]).requests(START, START + 7200)
    assert dict(request.params) == {"bzn": "IT-North", "start": str(START), "end": str(START + 7199)}
    (request,) = awattar.source(ZONES["AT"]).requests(START, START + 7200)
    assert request.url.startswith("https://api.awattar.at/")
    assert dict(request.params) == {"start": f"{START}000", "end": f"{START + 7200}000"}


@pytest.mark.parametrize(
    ("name", "zone", "words"),
    [
        ("energyzero", "BE", "EnergyZero: it has the prices of NL only, not of BE"),
        ("awattar", "NL", "aWATTar: it has the prices of AT and DE-LU only, not of NL"),
        ("entsoe", "BE", "ENTSO-E: it wants a security token, which its site gives to whoever registers"),
    ],
)
def test_a_source_that_cannot_have_a_zone_says_so(name, zone, words):
    assert error(price_source(name, ZONES[zone])) == words


@pytest.mark.parametrize("name", ONLINE)
def test_every_source_has_some_zone(name):
    good = [zone for zone in ZONES.values() if zone_problem(name, zone) is None]
    assert good
    source = price_source(name, good[0], "token")
    assert source.name == name  # type: ignore[union-attr]


def test_zones_are_found_by_name_or_code():
    assert find_zone("de") == find_zone("DE-LU") == find_zone("10Y1001A1001A82H") == ZONES["DE-LU"]
    assert find_zone("nl") == ZONES["NL"]
    assert find_zone("XX") is None
    assert find_zone("") is None


@pytest.mark.parametrize("zone", ZONES.values(), ids=list(ZONES))
def test_the_check_character_of_each_code_is_right(zone):
    """EIC reference manual: 36 - (sum of (value x weight 16..2) - 1) mod 37, A = 10, dash = 36."""
    letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-"
    total = sum(letters.index(c) * (16 - k) for k, c in enumerate(zone.eic[:15]))
    assert letters[36 - (total - 1) % 37] == zone.eic[15]


# -- real answers -----------------------------------------------------------------------------------------------------


def sample(reference_data: Path, name: str) -> bytes:
    return (reference_data / "api_samples" / name).read_bytes()


def test_two_sources_agree_on_the_same_two_days(reference_data):
    charts = series(energy_charts.parse(sample(reference_data, "energy_charts_price_de_2024_12.json")))
    awattars = series(awattar.parse(sample(reference_data, "akkudoktor_prices_2024_12.json")))
    assert points(charts) == points(awattars)
    assert len(points(charts)) == 48
    assert points(charts)[0] == ("12-09T23:00", 0.09285)
    assert points(charts)[41] == ("12-11T16:00", 0.44508)
    assert points(charts)[47] == ("12-11T22:00", 0.13596)


def test_energyzero_samples(reference_data):
    rest = series(energyzero.parse(sample(reference_data, "energyzero_rest_electricity_hour.json")))
    assert len(rest.eur_per_kwh) == 72
    assert points(rest)[0] == ("12-15T23:00", 0.077495)
    assert points(rest)[71] == ("12-18T22:00", 0.08885)
    older = series(energyzero.parse(sample(reference_data, "energyzero_graphql.json")))
    assert len(older.eur_per_kwh) == 24
    assert points(older)[0] == ("05-30T22:00", 0.107)
    for name in ("energyzero_graphql_error.json", "energyzero_graphql_no_data.json", "energyzero_rest_error.json"):
        assert error(energyzero.parse(sample(reference_data, name)))
