"""Weather sources by their word: the parser of a file, and the source for a place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from interfaces.domain.series import WeatherSeries
from interfaces.sources.port import Source, SourceError
from interfaces.sources.weather import bright_sky, csv_file, open_meteo

WeatherSource = Source[WeatherSeries]

PARSERS: Final[Mapping[str, Callable[[bytes], WeatherSeries | SourceError]]] = {
    open_meteo.NAME: open_meteo.parse,
    bright_sky.NAME: bright_sky.parse,
    csv_file.NAME: csv_file.parse,
}
ONLINE: Final = (open_meteo.NAME, bright_sky.NAME)


def weather_source(name: str, latitude_deg: float, longitude_deg: float) -> WeatherSource:
    """The source called ``name`` (one of ``ONLINE``) for a place; degrees, north and east positive."""
    if name == open_meteo.NAME:
        return open_meteo.source(latitude_deg, longitude_deg)
    return bright_sky.source(latitude_deg, longitude_deg)
