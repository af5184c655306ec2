"""`optimizer prices` and `optimizer weather` as a person meets them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from interfaces.cli import main
from interfaces.domain.series import utc_text
from interfaces.sources.prices import awattar, energy_charts
from interfaces.sources.weather import open_meteo
from optimizer.service import prices_command, weather_command
from tests.interfaces.sources import kit
from tests.interfaces.sources.kit import Reply, epoch, http_server, period, publication, time_series

START = epoch("2025-12-15T23:00Z")


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    monkeypatch.setenv("STROOMWACHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("STROOMWACHT_ENTSOE_TOKEN", raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def said(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    assert main([str(word) for word in words]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    found: dict[str, Any] = json.loads(captured.out)
    return found


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert main([str(word) for word in words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1, captured.err
    return captured.err


@pytest.fixture
def document(tmp_path):
    path = tmp_path / "answer.xml"
    first = time_series(period("2025-12-15T23:00Z", "2025-12-16T00:00Z", "PT15M", {1: 100, 3: -20}), sequence="1")
    second = time_series(period("2025-12-15T23:00Z", "2025-12-16T00:00Z", "PT15M", {1: 1}), sequence="2")
    path.write_bytes(publication(second, first))
    return path


def test_prices_from_a_file(capsys, document):
    assert said(capsys, "optimizer", "prices", "--source", "entsoe", "--file", document, "--json") == {
        "source": "entsoe",
        "zone": "BE",
        "resolution_min": 15,
        "points": [
            {"start_utc": "2025-12-15T23:00:00Z", "eur_per_kwh": 0.1},
            {"start_utc": "2025-12-15T23:15:00Z", "eur_per_kwh": 0.1},
            {"start_utc": "2025-12-15T23:30:00Z", "eur_per_kwh": -0.02},
            {"start_utc": "2025-12-15T23:45:00Z", "eur_per_kwh": -0.02},
        ],
        "flags": ["other_auction_ignored"],
    }


def test_prices_as_a_table(capsys, document):
    assert main(["optimizer", "prices", "--source", "entsoe", "--file", str(document)]) == 0
    captured = capsys.readouterr()
    assert "2025-12-15T23:30:00Z" in captured.out
    assert "-0.02000" in captured.out
    assert "another auction" in " ".join(captured.out.split())
    assert captured.err == ""


def test_a_forecast_is_marked_and_follows_what_is_published(capsys, tmp_path):
    path = tmp_path / "prices.csv"
    lines = [f"{utc_text(START + k * 3600)},{0.1 + (k % 24) / 100:.2f}" for k in range(24 * 10)]
    path.write_text("\n".join(["start_utc,eur_per_kwh", *lines]) + "\n")
    words = ("optimizer", "prices", "--source", "csv_file", "--zone", "NL", "--file", path, "--json")
    plain = said(capsys, *words)
    ahead = said(capsys, *words, "--forecast")
    assert ahead["points"][: 24 * 10] == plain["points"]
    assert all("forecast" not in point for point in plain["points"])
    added = ahead["points"][24 * 10 :]
    assert len(added) == 24
    assert all(point["forecast"] is True for point in added)
    # Every day is alike, so is the next one.
    assert [point["eur_per_kwh"] for point in added] == pytest.approx([0.1 + k / 100 for k in range(24)])
    assert (plain["flags"], ahead["flags"]) == ([], ["forecast"])
    assert ahead["resolution_min"] == 60


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (kit.acknowledgement("No matching data found"), "ENTSO-E: the platform refused: No matching data found"),
        (kit.HTML, "ENTSO-E: the answer is a web page (HTML) instead of XML"),
        (b"", "ENTSO-E: the answer is empty"),
        (b"<Publication_MarketDocument><TimeSeries>", "ENTSO-E: the answer is cut off or no XML"),
        (b"\x00" * 100, "ENTSO-E: the answer is cut off or no XML"),
    ],
)
def test_an_error_answer_is_one_sentence_and_exit_code_2(capsys, tmp_path, body, words):
    path = tmp_path / "answer"
    path.write_bytes(body)
    assert (
        refused(capsys, "optimizer", "prices", "--source", "entsoe", "--file", path, "--json").strip().endswith(words)
    )


def test_mistakes_of_the_person(capsys, tmp_path, document):
    prices, weather = ("optimizer", "prices"), ("optimizer", "weather")
    assert "--source" in refused(capsys, *prices)
    assert "invalid choice: 'nordpool'" in refused(capsys, *prices, "--source", "nordpool")
    assert "'XX' is no bidding zone" in refused(capsys, *prices, "--source", "entsoe", "--zone", "XX")
    assert "those of BE, not of NL" in refused(
        capsys, *prices, "--source", "entsoe", "--zone", "NL", "--file", document
    )
    assert "NL only, not of BE" in refused(capsys, *prices, "--source", "energyzero", "--zone", "BE")
    assert "needs a --zone" in refused(capsys, *prices, "--source", "energy_charts")
    assert "STROOMWACHT_ENTSOE_TOKEN" in refused(capsys, *prices, "--source", "entsoe", "--zone", "BE")
    assert "once" in refused(capsys, *prices, "--source", "entsoe", "--source", "entsoe")
    assert "needs --file" in refused(capsys, *prices, "--source", "csv_file", "--zone", "BE")
    two = ("--source", "entsoe", "--source", "awattar", "--file", document)
    assert "one --source" in refused(capsys, *prices, *two)
    assert "cannot be read" in refused(capsys, *prices, "--source", "entsoe", "--file", tmp_path / "nothing")
    assert "cannot be read" in refused(capsys, *prices, "--source", "entsoe", "--file", tmp_path)
    assert "say where" in refused(capsys, *weather, "--source", "open_meteo")
    assert "latitude goes from" in refused(
        capsys, *weather, "--source", "open_meteo", "--latitude", "nan", "--longitude", "4"
    )
    assert "invalid float" in refused(
        capsys, *weather, "--source", "open_meteo", "--latitude", "north", "--longitude", "4"
    )


def test_weather_from_a_file(capsys, tmp_path):
    path = tmp_path / "weather.json"
    records = [
        {"timestamp": "2026-06-01T10:00:00+00:00", "solar": None, "temperature": 20.1},
        {"timestamp": "2026-06-01T11:00:00+00:00", "solar": 0.563, "temperature": 21},
    ]
    path.write_text(json.dumps({"weather": records}))
    found = said(capsys, "optimizer", "weather", "--source", "bright_sky", "--file", path, "--json")
    assert (found["source"], found["resolution_min"], found["flags"]) == ("bright_sky", 60, ["missing_values"])
    first, second = found["points"]
    assert (first["start_utc"], first["ghi_w_per_m2"], first["temperature_c"]) == ("2026-06-01T10:00:00Z", 563.0, 20.1)
    assert second["ghi_w_per_m2"] is None
    assert main(["optimizer", "weather", "--source", "bright_sky", "--file", str(path)]) == 0
    assert "563.0" in capsys.readouterr().out


def test_prices_from_the_source_itself_and_from_a_fall_back(capsys, monkeypatch, caplog):
    monkeypatch.setattr(prices_command, "epoch_s", lambda: START + 3600.0)
    hours = [START + k * 3600 for k in range(48)]
    rows = [(start, start + 3600, 50.0) for start in hours]
    with http_server() as server:
        monkeypatch.setattr(energy_charts.source, "__defaults__", (server.url,))
        monkeypatch.setattr(awattar.source, "__defaults__", (server.url,))
        server.replies = [Reply(kit.HTML, 404), Reply(kit.awattar(rows))]
        words = ("optimizer", "prices", "--source", "energy_charts", "--source", "awattar", "--zone", "DE")
        found = said(capsys, *words, "--json")
        assert (found["source"], found["zone"], len(found["points"])) == ("awattar", "DE-LU", 48)
        assert found["flags"] == ["fallback_source"]
        assert server.asked[0] == {"bzn": ["DE-LU"], "start": [str(START)], "end": [str(START + 48 * 3600 - 1)]}
        server.replies = [Reply(kit.HTML, 404)]
        assert main(list(words)) == 0
        captured = capsys.readouterr()
        assert "from a fall-back source" in " ".join(captured.out.split())
        assert "Energy-Charts: it answers HTTP 404" in captured.err
        told = refused(capsys, "optimizer", "prices", "--source", "energy_charts", "--zone", "BE")
        assert told.startswith("Energy-Charts: it answers HTTP 404")
    assert caplog.records == [], "the journal's lines would stand beside the one sentence"


def test_weather_from_the_source_itself(capsys, monkeypatch):
    monkeypatch.setattr(weather_command, "epoch_s", lambda: START + 100.0)
    block = {"time": ["2025-12-15T23:00", "2025-12-15T23:15"], "temperature_2m": [1.0, 2.0]}
    body = {"minutely_15": block, "minutely_15_units": {"temperature_2m": "°C"}}
    with http_server() as server:
        monkeypatch.setattr(open_meteo.source, "__defaults__", (server.url,))
        server.replies = [Reply(json.dumps(body).encode())]
        found = said(
            capsys, "optimizer", "weather", "--source", "open_meteo", "--latitude", "51", "--longitude", "4.5", "--json"
        )
    assert [point["temperature_c"] for point in found["points"]] == [1.0, 2.0]
    assert found["flags"] == ["incomplete"]
    assert server.asked[0]["start_minutely_15"] == ["2025-12-15T23:00"]


def test_as_a_process(document):
    done = subprocess.run(
        [sys.executable, "-m", "interfaces.cli", "optimizer", "prices", "--source", "awattar", "--file", document],
        capture_output=True, text=True, check=False, timeout=180,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "aWATTar: the answer is cut off or no JSON" in done.stderr


SAMPLES = [
    ("prices", "entsoe", "entsoe_a44_be_60m.xml", 24),
    ("prices", "entsoe", "entsoe_a44_be_60m_15m_mix.xml", 216),
    ("prices", "entsoe", "entsoe_a44_be_15m_avg.xml", 22),
    ("prices", "entsoe", "entsoe_a03_curve_sample.xml", 6),
    ("prices", "energy_charts", "energy_charts_price_de_2024_12.json", 48),
    ("prices", "energyzero", "energyzero_rest_electricity_hour.json", 72),
    ("prices", "energyzero", "energyzero_graphql.json", 24),
    ("prices", "awattar", "akkudoktor_prices_2024_12.json", 48),
    ("weather", "open_meteo", "open_meteo_forecast_de_1.json", 72),
    ("weather", "bright_sky", "brightsky_weather_de.json", 50),
]


@pytest.mark.parametrize(("command", "source", "name", "count"), SAMPLES, ids=[name for _, _, name, _ in SAMPLES])
def test_samples(capsys, reference_data, command, source, name, count):
    path = reference_data / "api_samples" / name
    found = said(capsys, "optimizer", command, "--source", source, "--file", path, "--json")
    assert found["source"] == source
    assert len(found["points"]) == count
    starts = [point["start_utc"] for point in found["points"]]
    assert starts == sorted(set(starts))
    for other in {one for kind, one, _, _ in SAMPLES if kind == command} - {source}:
        refused(capsys, "optimizer", command, "--source", other, "--file", path, "--json")
