"""Weather: which step a value belongs to, units, missing values, error answers."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from interfaces.domain.series import Flag
from interfaces.sources.weather import bright_sky, csv_file, open_meteo
from interfaces.sources.weather.known import ONLINE, weather_source
from tests.interfaces.sources import kit
from tests.interfaces.sources.kit import epoch, error, weather

NAN = None


def listed(column: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else round(float(value), 6) for value in column]


def meteo(block: str = "hourly", offset_s: int = 0, units: dict[str, str] | None = None, **columns: Any) -> bytes:
    known = {"shortwave_radiation": "W/m²", "temperature_2m": "°C", "wind_speed_10m": "km/h", "time": "iso8601"}
    return json.dumps(
        {"utc_offset_seconds": offset_s, f"{block}_units": {**known, **(units or {})}, block: columns}
    ).encode()


HOURS = ["2026-03-02T08:00", "2026-03-02T09:00", "2026-03-02T10:00"]


# -- Open-Meteo -------------------------------------------------------------------------------------------------------


def test_radiation_is_moved_to_the_begin_of_the_hour_it_was_averaged_over():
    found = weather(
        open_meteo.parse(meteo(time=HOURS, shortwave_radiation=[10.0, 20.0, 30.0], temperature_2m=[1, 2, 3]))
    )
    assert found.start_epoch_s.tolist() == [epoch(f"{hour}Z") for hour in HOURS]
    # What is stamped 09:00 was the mean from 08:00 on; the mean from 10:00 on is not in the answer.
    assert listed(found.quantities["ghi_w_per_m2"]) == [20.0, 30.0, None]
    assert listed(found.quantities["temperature_c"]) == [1.0, 2.0, 3.0]
    assert (found.resolution_min, found.flags) == (60, ())


def test_quarters_are_used_where_there_are_some():
    body = json.loads(meteo("minutely_15", time=["2026-03-02T08:00", "2026-03-02T08:15"], shortwave_radiation=[1, 2]))
    body |= json.loads(meteo(time=HOURS, shortwave_radiation=[7, 8, 9]))
    found = weather(open_meteo.parse(json.dumps(body).encode()))
    assert found.resolution_min == 15
    assert listed(found.quantities["ghi_w_per_m2"]) == [2.0, None]


def test_local_times_are_moved_by_the_offset_of_the_answer_and_numbers_are_utc():
    local = weather(open_meteo.parse(meteo(offset_s=3600, time=HOURS, temperature_2m=[1, 2, 3])))
    assert local.start_epoch_s[0] == epoch("2026-03-02T07:00Z")
    start = epoch("2026-03-02T07:00Z")
    unix = weather(open_meteo.parse(meteo(offset_s=3600, time=[start, start + 3600], temperature_2m=[1, 2])))
    assert unix.start_epoch_s[0] == start


@pytest.mark.parametrize(("unit", "speed"), [("km/h", 10.0), ("m/s", 36.0)])
def test_wind_in_any_unit(unit, speed):
    found = weather(open_meteo.parse(meteo(units={"wind_speed_10m": unit}, time=HOURS, wind_speed_10m=[36, 0, 72])))
    assert found.quantities["wind_speed_m_per_s"][0] == pytest.approx(speed)


def test_a_quantity_in_an_unknown_unit_is_left_out_and_flagged():
    found = weather(
        open_meteo.parse(
            meteo(units={"temperature_2m": "°F"}, time=HOURS, temperature_2m=[50] * 3, wind_speed_10m=[1] * 3)
        )
    )
    assert set(found.quantities) == {"wind_speed_m_per_s"}
    assert found.flags == (Flag.LEFT_OUT,)


def test_missing_and_impossible_values_are_missing_and_never_zero():
    found = weather(open_meteo.parse(meteo(time=HOURS, temperature_2m=[None, 999, 3], shortwave_radiation=[0, -5, 0])))
    assert listed(found.quantities["temperature_c"]) == [None, None, 3.0]
    assert listed(found.quantities["ghi_w_per_m2"]) == [None, 0.0, None]
    assert found.flags == (Flag.MISSING,)


def test_a_hole_is_flagged_and_no_mean_crosses_it():
    times = ["2026-03-02T08:00", "2026-03-02T09:00", "2026-03-02T12:00", "2026-03-02T13:00"]
    found = weather(open_meteo.parse(meteo(time=times, shortwave_radiation=[1, 2, 3, 4])))
    assert listed(found.quantities["ghi_w_per_m2"]) == [2.0, None, 4.0, None]
    assert Flag.GAPS in found.flags


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            b'{"error": true, "reason": "Latitude must be in range"}',
            "the answer is an error: Latitude must be in range",
        ),
        (b"{}", "no hours and no quarters"),
        (meteo(time=[]), "holds no weather"),
        (meteo(time=HOURS), "no quantity that is known"),
        (meteo(time=HOURS, temperature_2m=[1, 2]), "temperature_2m has 2 values for 3 times"),
        (meteo(time=[HOURS[0], HOURS[0]], temperature_2m=[1, 2]), "not in order or are given twice"),
        (meteo(time=HOURS[::-1], temperature_2m=[1, 2, 3]), "not in order"),
        (meteo(time=["x", "y"], temperature_2m=[1, 2]), "a time cannot be read"),
        (meteo(time=[None, None], temperature_2m=[1, 2]), "a time cannot be read"),
        (meteo(time=["0001-01-01T00:00"], temperature_2m=[1]), "quarter of an hour of this century"),
        (meteo(time=[1.5e300], temperature_2m=[1]), "this century"),
        (meteo(time=["2026-03-02", "2026-03-03"], temperature_2m=[1, 2]), "neither hours nor quarters"),
        (meteo(time=HOURS, temperature_2m=[1, 2, 3])[:-9], "cut off or no JSON"),
        (kit.HTML, "HTML"),
        (b"", "empty"),
    ],
)
def test_open_meteo_refusals(body, words):
    assert words in error(open_meteo.parse(body))


def test_open_meteo_sample(reference_data):
    found = weather(open_meteo.parse((reference_data / "api_samples/open_meteo_forecast_de_1.json").read_bytes()))
    at = {int(start): k for k, start in enumerate(found.start_epoch_s)}
    assert len(at) == 72
    assert found.start_epoch_s[0] == epoch("2026-03-02T00:00+01:00")
    # Stamped 08:00 local are 21.8 W/m2, the first light: the mean from 07:00 to 08:00.
    dawn = at[epoch("2026-03-02T07:00+01:00")]
    assert listed(found.quantities["ghi_w_per_m2"])[dawn : dawn + 3] == [21.8, 101.2, 207.0]
    assert listed(found.quantities["direct_horizontal_w_per_m2"])[dawn] == 1.2
    assert listed(found.quantities["dhi_w_per_m2"])[dawn] == 20.5
    assert listed(found.quantities["temperature_c"])[dawn : dawn + 2] == [-0.6, -0.7]
    assert found.quantities["wind_speed_m_per_s"][0] == pytest.approx(4.3 / 3.6)
    assert found.flags == ()


# -- Bright Sky -------------------------------------------------------------------------------------------------------


def sky(*records: dict[str, Any]) -> bytes:
    return json.dumps({"weather": list(records), "sources": []}).encode()


def test_bright_sky_sums_of_the_hour_before_become_means_of_the_hour_they_belong_to():
    found = weather(
        bright_sky.parse(
            sky(
                {"timestamp": "2026-06-01T10:00:00+00:00", "solar": 0.5, "temperature": 20, "wind_speed": 36},
                {"timestamp": "2026-06-01T13:00:00+02:00", "solar": 0.563, "temperature": 21, "wind_speed": 18},
                {"timestamp": "2026-06-01T12:00:00+00:00", "solar": None, "temperature": 22, "wind_speed": 0},
            )
        )
    )
    assert listed(found.quantities["ghi_w_per_m2"]) == [563.0, None, None]
    assert listed(found.quantities["temperature_c"]) == [20.0, 21.0, 22.0]
    assert listed(found.quantities["wind_speed_m_per_s"]) == [5.0, 0.0, None]
    assert found.flags == (Flag.MISSING,)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (sky(), "holds no weather"),
        (sky({"timestamp": "2026-06-01T10:00:00"}, {"timestamp": "2026-06-01T11:00:00"}), "no time with its offset"),
        (sky({"timestamp": "2026-06-01T10:00:00Z"}), "neither hours nor quarters"),
        (sky({"temperature": 3}), "weather.0"),
        (b'{"detail": "Not Found"}', "the answer is an error: Not Found"),
        (b'{"title": "Source not found"}', "Source not found"),
        (kit.HTML, "HTML"),
    ],
)
def test_bright_sky_refusals(body, words):
    assert words in error(bright_sky.parse(body))


def test_bright_sky_sample_over_the_end_of_summer_time(reference_data):
    found = weather(bright_sky.parse((reference_data / "api_samples/brightsky_weather_de.json").read_bytes()))
    assert found.start_epoch_s[0] == epoch("2024-10-26T00:00+02:00")
    assert np.diff(found.start_epoch_s).tolist() == [3600] * 49
    assert listed(found.quantities["temperature_c"])[:2] == [6.2, 6.6]
    # 02:00 comes twice on the local clock.
    twice = int(np.flatnonzero(found.start_epoch_s == epoch("2024-10-27T02:00+02:00"))[0])
    assert listed(found.quantities["temperature_c"])[twice : twice + 3] == [9.8, 10.6, 10.8]
    assert found.quantities["wind_speed_m_per_s"][0] == pytest.approx(6.1 / 3.6)
    assert np.isnan(found.quantities["ghi_w_per_m2"]).all()
    assert found.flags == (Flag.MISSING,)


# -- requests and files -----------------------------------------------------------------------------------------------


def test_requests_are_in_utc_and_units_that_are_known():
    start = epoch("2026-06-01T10:00Z")
    (request,) = open_meteo.source(51.0, 4.5).requests(start, start + 86400)
    asked = dict(request.params)
    assert (asked["latitude"], asked["longitude"], asked["timezone"]) == ("51.0000", "4.5000", "GMT")
    assert (asked["start_minutely_15"], asked["end_minutely_15"]) == ("2026-06-01T10:00", "2026-06-02T10:00")
    assert all(name in open_meteo.VARIABLES for name in asked["minutely_15"].split(","))
    (request,) = bright_sky.source(51.0, 4.5).requests(start, start + 86400)
    assert dict(request.params)["date"] == "2026-06-01T10:00:00Z"
    assert [weather_source(name, 1.0, 2.0).name for name in ONLINE] == list(ONLINE)


def test_a_csv_file_is_by_begin_already():
    text = "start_utc,ghi_w_per_m2,mood,temperature_c\n2026-06-01T10:00Z,500,good,20\n2026-06-01T11:00Z,,bad,21.5\n"
    found = weather(csv_file.parse(text.encode()))
    assert listed(found.quantities["ghi_w_per_m2"]) == [500.0, None]
    assert listed(found.quantities["temperature_c"]) == [20.0, 21.5]
    assert "mood" not in found.quantities
    assert "line 3: 'warm' is no number" in error(csv_file.parse(text.replace("21.5", "warm").encode()))
    assert "line 3: 'nan' is no number" in error(csv_file.parse(text.replace("21.5", "nan").encode()))
    assert "needs a column start_utc" in error(csv_file.parse(text.replace("start_utc", "time").encode()))
