"""Whatever arrives is a series or one sentence: no parser raises, and what it accepts is in order."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interfaces.domain.series import PriceSeries, WeatherSeries, gap_count
from interfaces.sources.answers import MAX_SAID, error_words, plain
from interfaces.sources.port import SourceError
from interfaces.sources.prices import awattar, csv_file, energy_charts, energyzero, entsoe
from interfaces.sources.weather import bright_sky, open_meteo
from interfaces.sources.weather import csv_file as weather_csv
from tests.interfaces.sources import kit
from tests.interfaces.sources.kit import epoch, period, publication, time_series

START = epoch("2025-10-01T22:00Z")
HOURS = [START + k * 3600 for k in range(6)]
DUTCH = ("2025-12-15T23:00:00Z", "2025-12-16T00:00:00Z", "0.077495")
SKY = [{"timestamp": f"2026-06-01T{h}:00:00+02:00", "solar": 0.5, "temperature": h} for h in range(10, 14)]
KEYS = ["message", "error", "errors", "data", "base", "hourly", "weather", "x"]

BODIES: dict[str, tuple[Callable[[bytes], object], bytes]] = {
    "entsoe": (
        entsoe.parse,
        publication(time_series(period("2025-10-01T22:00Z", "2025-10-02T22:00Z", "PT15M", {1: 1, 5: -7.5, 90: 20}))),
    ),
    "energy_charts": (energy_charts.parse, kit.energy_charts(HOURS, [1, 2.5, None, -4, 5, 6])),
    "awattar": (awattar.parse, kit.awattar([(start, start + 3600, 5.0) for start in HOURS])),
    "energyzero": (energyzero.parse, kit.energyzero([DUTCH] * 3)),
    "csv": (csv_file.parse, b"start_utc,eur_per_kwh\n2025-10-01T22:00Z,0.1\n2025-10-01T23:00Z,0.2\n"),
    "weather csv": (weather_csv.parse, b"start_utc,temperature_c\n2025-10-01T22:00Z,0.1\n2025-10-01T23:00Z,0.2\n"),
    "open_meteo": (
        open_meteo.parse,
        json.dumps(
            {
                "utc_offset_seconds": 3600,
                "hourly_units": {"temperature_2m": "°C", "shortwave_radiation": "W/m²"},
                "hourly": {
                    "time": ["2026-03-02T08:00", "2026-03-02T09:00", "2026-03-02T10:00"],
                    "temperature_2m": [1, None, 3.5],
                    "shortwave_radiation": [0, 10, 20.25],
                },
            }
        ).encode(),
    ),
    "bright_sky": (
        bright_sky.parse,
        json.dumps({"weather": SKY}).encode(),
    ),
}  # fmt: skip


def check(found: object) -> None:
    if isinstance(found, SourceError):
        text = str(found)
        assert text.isprintable()
        assert len(text) < 3 * MAX_SAID + 400
        return
    assert isinstance(found, PriceSeries | WeatherSeries)
    columns = [found.eur_per_kwh] if isinstance(found, PriceSeries) else list(found.quantities.values())
    assert all(column.shape == found.start_epoch_s.shape == found.step_s.shape for column in columns)
    assert len(found.start_epoch_s) > 0
    assert (np.diff(found.start_epoch_s) >= found.step_s[:-1]).all()
    assert set(found.step_s.tolist()) <= {900, 1800, 3600}
    assert ("gaps" in found.flags) == (gap_count(found.start_epoch_s, found.step_s) > 0)
    if isinstance(found, PriceSeries):
        assert np.isfinite(found.eur_per_kwh).all()


@pytest.mark.parametrize("name", BODIES)
def test_the_whole_body_is_a_series(name):
    parse, body = BODIES[name]
    found = parse(body)
    assert not isinstance(found, SourceError), found
    check(found)


@pytest.mark.parametrize("name", BODIES)
def test_every_truncation(name):
    parse, body = BODIES[name]
    for length in range(0, len(body), max(1, len(body) // 150)):
        found = parse(body[:length])
        check(found)
        if "csv" not in name:
            assert isinstance(found, SourceError)


@pytest.mark.parametrize("name", BODIES)
@settings(max_examples=150)
@given(data=st.data())
def test_random_damage(name, data):
    parse, body = BODIES[name]
    damaged = bytearray(body)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged)))
        until = data.draw(st.integers(at, min(len(damaged), at + 8)))
        damaged[at:until] = data.draw(
            st.one_of(
                st.binary(max_size=4),
                st.sampled_from(
                    [b"0", b"-", b"9" * 30, b"1e999", b"NaN", b"null", b"[", b"{", b'"', b"<", b"&", b"\n", b",", b";"]
                ),
            )
        )
    check(parse(bytes(damaged)))


@pytest.mark.parametrize("name", BODIES)
@settings(max_examples=50)
@given(body=st.binary(max_size=200))
def test_noise(name, body):
    check(BODIES[name][0](body))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(value=json_values)
def test_any_json(value):
    body = json.dumps(value).encode()
    for name in ("energy_charts", "awattar", "energyzero", "open_meteo", "bright_sky"):
        assert isinstance(BODIES[name][0](body), SourceError)
    told = error_words(value)
    assert told is None or told.isprintable()


@given(text=st.text(max_size=400))
def test_words_of_others_fit_on_one_line(text):
    found = plain(text)
    assert found.isprintable()
    assert len(found) <= MAX_SAID + 4


steps = st.lists(st.sampled_from([(900, "PT15M"), (3600, "PT60M")]), min_size=1, max_size=5)


@given(kinds=steps, data=st.data(), curve=st.sampled_from(["A01", "A03"]))
def test_expanded_points_cover_contiguous_intervals(kinds, data, curve):
    """Periods one after another: curve A03 has every step of each from its first position on, A01 only those given."""
    at, periods, given_positions = START, [], 0
    for step_s, resolution in kinds:
        count = data.draw(st.integers(1, 30))
        positions = {1} | data.draw(st.sets(st.integers(1, count), max_size=10))
        prices: dict[int, float | str] = {p: data.draw(st.integers(-50_000, 400_000)) / 100 for p in positions}
        end = at + count * step_s * (1 if step_s == 3600 else 4)  # whole hours
        periods.append(period(_z(at), _z(end), resolution, prices))
        given_positions += len(positions)
        at = end
    found = kit.series(entsoe.parse(publication(time_series(*periods, curve=curve))))
    check(found)
    if curve == "A03":
        assert found.start_epoch_s[0] == START
        assert gap_count(found.start_epoch_s, found.step_s) == 0
        assert found.step_s.sum() == at - START
    else:
        assert len(found.eur_per_kwh) == given_positions


def _z(epoch_s: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%dT%H:%MZ")
