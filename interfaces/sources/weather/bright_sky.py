"""Weather of Germany from Bright Sky (data of Deutscher Wetterdienst): ``/weather``, JSON, hours.

``solar`` (kWh/m2), ``precipitation``, ``sunshine`` and wind are those of the 60 min BEFORE the stamp, the rest is at
the stamp. Units are those of ``units=dwd``: wind in km/h, sunshine in minutes. Source: brightsky.dev API description.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Final

from pydantic import FiniteFloat, TypeAdapter

from interfaces.domain.series import WeatherSeries, utc_text
from interfaces.domain.units import (
    SECONDS_PER_HOUR,
    SECONDS_PER_MINUTE,
    m_per_s_from_km_per_h,
    w_per_m2_from_kwh_per_m2,
)
from interfaces.sources.answers import epoch_of, plain, read_json
from interfaces.sources.port import Request, Source, SourceError
from interfaces.sources.quantities import QUANTITIES, Column, weather_series

NAME: Final = "bright_sky"
TITLE: Final = "Bright Sky"
URL: Final = "https://api.brightsky.dev/weather"
PAUSE_S: Final = 1.0
"""Our own courtesy; no limit is published."""
FRESH_S: Final = 1800.0


@dataclass(frozen=True, slots=True)
class _Record:
    timestamp: str
    solar: FiniteFloat | None = None
    temperature: FiniteFloat | None = None
    dew_point: FiniteFloat | None = None
    relative_humidity: FiniteFloat | None = None
    cloud_cover: FiniteFloat | None = None
    wind_speed: FiniteFloat | None = None
    wind_gust_speed: FiniteFloat | None = None
    wind_direction: FiniteFloat | None = None
    precipitation: FiniteFloat | None = None
    precipitation_probability: FiniteFloat | None = None
    pressure_msl: FiniteFloat | None = None
    sunshine: FiniteFloat | None = None
    visibility: FiniteFloat | None = None


@dataclass(frozen=True, slots=True)
class _Answer:
    weather: list[_Record]


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    value: Callable[[_Record], float | None]
    convert: Callable[[float], float] = float
    preceding: bool = False


_adapter: Final[TypeAdapter[_Answer]] = TypeAdapter(_Answer)


def _w_per_m2(energy_kwh_per_m2: float) -> float:
    return w_per_m2_from_kwh_per_m2(energy_kwh_per_m2, SECONDS_PER_HOUR)


def _seconds(minutes: float) -> float:
    return minutes * SECONDS_PER_MINUTE


FIELDS: Final = (
    _Field("ghi_w_per_m2", lambda r: r.solar, _w_per_m2, preceding=True),
    _Field("temperature_c", lambda r: r.temperature),
    _Field("dew_point_c", lambda r: r.dew_point),
    _Field("relative_humidity_pct", lambda r: r.relative_humidity),
    _Field("cloud_cover_pct", lambda r: r.cloud_cover),
    _Field("wind_speed_m_per_s", lambda r: r.wind_speed, m_per_s_from_km_per_h, preceding=True),
    _Field("wind_gust_m_per_s", lambda r: r.wind_gust_speed, m_per_s_from_km_per_h, preceding=True),
    _Field("wind_direction_deg", lambda r: r.wind_direction, preceding=True),
    _Field("precipitation_mm", lambda r: r.precipitation, preceding=True),
    _Field("precipitation_probability_pct", lambda r: r.precipitation_probability, preceding=True),
    _Field("pressure_msl_hpa", lambda r: r.pressure_msl),
    _Field("sunshine_s", lambda r: r.sunshine, _seconds, preceding=True),
    _Field("visibility_m", lambda r: r.visibility),
)


def source(latitude_deg: float, longitude_deg: float, url: str = URL) -> Source[WeatherSeries]:
    """Forecast and measurements of the stations around one place; degrees, north and east positive."""

    def requests(start_epoch_s: int, end_epoch_s: int) -> tuple[Request, ...]:
        """One request in hours and UTC."""
        params = (
            ("lat", f"{latitude_deg:.4f}"),
            ("lon", f"{longitude_deg:.4f}"),
            ("date", utc_text(start_epoch_s)),
            ("last_date", utc_text(end_epoch_s)),
            ("units", "dwd"),
            ("tz", "UTC"),
        )
        return (Request(url, params, start_epoch_s, end_epoch_s, f"{latitude_deg:.4f} {longitude_deg:.4f}"),)

    return Source(NAME, TITLE, PAUSE_S, FRESH_S, requests, parse, itemgetter(0))


def parse(body: bytes) -> WeatherSeries | SourceError:
    """The weather in an answer."""
    answer = read_json(TITLE, body, _adapter)
    if isinstance(answer, SourceError):
        return answer
    stamps: list[int] = []
    for record in answer.weather:
        stamp = epoch_of(record.timestamp)
        if stamp is None:
            return SourceError(TITLE, f"'{plain(record.timestamp)}' is no time with its offset")
        stamps.append(stamp)
    columns = [_column(field, answer.weather) for field in FIELDS]
    return weather_series(NAME, TITLE, stamps, columns)


def _column(field: _Field, records: Sequence[_Record]) -> Column:
    values = [None if (value := field.value(record)) is None else field.convert(value) for record in records]
    return Column(QUANTITIES[field.name], values, field.preceding)
