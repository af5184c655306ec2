"""Weather from Open-Meteo: ``/v1/forecast``, JSON, by quarters (``minutely_15``) or hours (``hourly``).

Radiation, precipitation and sunshine are the mean or sum of the step BEFORE the stamp; the rest is at the stamp. Times
are local with one fixed offset, which the answer gives. Source: open-meteo.com/en/docs (variables, "preceding hour
mean"; free use up to 600 requests a minute, 10 000 a day, not commercial).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter
from typing import Final

from pydantic import FiniteFloat, TypeAdapter

from interfaces.domain.series import Flag, WeatherSeries
from interfaces.domain.units import m_per_s_from_km_per_h
from interfaces.sources.answers import error_words, json_of, plain, read_json
from interfaces.sources.port import Request, Source, SourceError
from interfaces.sources.quantities import QUANTITIES, Column, weather_series

NAME: Final = "open_meteo"
TITLE: Final = "Open-Meteo"
URL: Final = "https://api.open-meteo.com/v1/forecast"
PAUSE_S: Final = 0.2
FRESH_S: Final = 1800.0
"""Its models are renewed every one to three hours."""

MPS: Final[Mapping[str, Callable[[float], float]]] = {"km/h": m_per_s_from_km_per_h, "m/s": float}
SAME: Final[Callable[[str], Mapping[str, Callable[[float], float]]]] = lambda unit: {unit: float}  # noqa: E731


@dataclass(frozen=True, slots=True)
class _Variable:
    """``units``: how to convert from each unit it may come in. ``preceding``: see the module."""

    name: str
    units: Mapping[str, Callable[[float], float]]
    preceding: bool = False


VARIABLES: Final[Mapping[str, _Variable]] = {
    "shortwave_radiation": _Variable("ghi_w_per_m2", SAME("W/m²"), preceding=True),
    "direct_radiation": _Variable("direct_horizontal_w_per_m2", SAME("W/m²"), preceding=True),
    "diffuse_radiation": _Variable("dhi_w_per_m2", SAME("W/m²"), preceding=True),
    "direct_normal_irradiance": _Variable("dni_w_per_m2", SAME("W/m²"), preceding=True),
    "temperature_2m": _Variable("temperature_c", SAME("°C")),
    "apparent_temperature": _Variable("apparent_temperature_c", SAME("°C")),
    "dew_point_2m": _Variable("dew_point_c", SAME("°C")),
    "relative_humidity_2m": _Variable("relative_humidity_pct", SAME("%")),
    "cloud_cover": _Variable("cloud_cover_pct", SAME("%")),
    "wind_speed_10m": _Variable("wind_speed_m_per_s", MPS),
    "wind_gusts_10m": _Variable("wind_gust_m_per_s", MPS, preceding=True),
    "wind_direction_10m": _Variable("wind_direction_deg", SAME("°")),
    "precipitation": _Variable("precipitation_mm", SAME("mm"), preceding=True),
    "precipitation_probability": _Variable("precipitation_probability_pct", SAME("%"), preceding=True),
    "snowfall": _Variable("snowfall_cm", SAME("cm"), preceding=True),
    "snow_depth": _Variable("snow_depth_m", SAME("m")),
    "pressure_msl": _Variable("pressure_msl_hpa", SAME("hPa")),
    "surface_pressure": _Variable("surface_pressure_hpa", SAME("hPa")),
    "sunshine_duration": _Variable("sunshine_s", SAME("s"), preceding=True),
    "visibility": _Variable("visibility_m", SAME("m")),
}
ASKED: Final = (
    "shortwave_radiation", "diffuse_radiation", "direct_normal_irradiance", "temperature_2m", "wind_speed_10m",
    "cloud_cover", "relative_humidity_2m", "precipitation", "snow_depth",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Answer:
    utc_offset_seconds: int = 0
    hourly: dict[str, list[FiniteFloat | str | None]] | None = None
    hourly_units: dict[str, str] | None = None
    minutely_15: dict[str, list[FiniteFloat | str | None]] | None = None
    minutely_15_units: dict[str, str] | None = None


_adapter: Final[TypeAdapter[_Answer]] = TypeAdapter(_Answer)


def source(latitude_deg: float, longitude_deg: float, url: str = URL) -> Source[WeatherSeries]:
    """The forecast for one place; degrees, north and east positive."""

    def requests(start_epoch_s: int, end_epoch_s: int) -> tuple[Request, ...]:
        """One request in quarters and UTC."""
        params = (
            ("latitude", f"{latitude_deg:.4f}"),
            ("longitude", f"{longitude_deg:.4f}"),
            ("minutely_15", ",".join(ASKED)),
            ("wind_speed_unit", "ms"),
            ("timezone", "GMT"),
            ("start_minutely_15", _minute(start_epoch_s)),
            ("end_minutely_15", _minute(end_epoch_s)),
        )
        return (Request(url, params, start_epoch_s, end_epoch_s, f"{latitude_deg:.4f} {longitude_deg:.4f}"),)

    return Source(NAME, TITLE, PAUSE_S, FRESH_S, requests, parse, itemgetter(0))


def parse(body: bytes) -> WeatherSeries | SourceError:
    """The weather in an answer: its quarters where it has them, else its hours."""
    answer = read_json(TITLE, body, _adapter)
    if isinstance(answer, SourceError):
        return answer
    if answer.minutely_15 is not None:
        block, units = answer.minutely_15, answer.minutely_15_units or {}
    elif answer.hourly is not None:
        block, units = answer.hourly, answer.hourly_units or {}
    else:
        told = error_words(json_of(body))
        return SourceError(
            TITLE, f"the answer is an error: {told}" if told else "the answer has no hours and no quarters"
        )
    stamps = _stamps(block.get("time", []), answer.utc_offset_seconds)
    if stamps is None:
        return SourceError(TITLE, "a time cannot be read")
    columns: list[Column] = []
    flags: list[Flag] = []
    for name, values in block.items():
        if len(values) != len(stamps):
            return SourceError(TITLE, f"{plain(name)} has {len(values)} values for {len(stamps)} times")
        variable = VARIABLES.get(name)
        if variable is None:
            continue
        numbers = [value for value in values if not isinstance(value, str)]
        convert = variable.units.get(units.get(name, ""))
        if convert is None or len(numbers) != len(values):
            flags.append(Flag.LEFT_OUT)
            continue
        converted = [None if value is None else convert(value) for value in numbers]
        columns.append(Column(QUANTITIES[variable.name], converted, variable.preceding))
    return weather_series(NAME, TITLE, stamps, columns, flags)


def _stamps(times: Sequence[float | str | None], offset_s: int) -> list[int] | None:
    """Epoch seconds. Text is local by the answer's offset; numbers are UTC already (``timeformat=unixtime``)."""
    found: list[int] = []
    for time in times:
        if isinstance(time, str):
            try:
                local = datetime.fromisoformat(time)
            except ValueError:
                return None
            if local.tzinfo is not None:
                return None
            found.append(round(local.replace(tzinfo=UTC).timestamp()) - offset_s)
        elif time is None or time != round(time):
            return None
        else:
            found.append(round(time))
    return found


def _minute(epoch_s: int) -> str:
    return datetime.fromtimestamp(epoch_s, tz=UTC).strftime("%Y-%m-%dT%H:%M")
