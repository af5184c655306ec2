"""Bidding zones: our name, the code of ENTSO-E, the name at Energy-Charts, the local time of a delivery day.

Codes: ENTSO-E Energy Identification Codes, area list (code type Y). The single day-ahead coupling delivers from
midnight to midnight Central European Time wherever a zone lies; the local time here is that of people and similar days.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Zone:
    """``name`` as on the command line; ``time_zone`` an IANA name."""

    name: str
    eic: str
    time_zone: str
    energy_charts: str = ""


_ALL: Final = (
    Zone("AT", "10YAT-APG------L", "Europe/Vienna", "AT"),
    Zone("BE", "10YBE----------2", "Europe/Brussels", "BE"),
    Zone("BG", "10YCA-BULGARIA-R", "Europe/Sofia", "BG"),
    Zone("CH", "10YCH-SWISSGRIDZ", "Europe/Zurich", "CH"),
    Zone("CZ", "10YCZ-CEPS-----N", "Europe/Prague", "CZ"),
    Zone("DE-LU", "10Y1001A1001A82H", "Europe/Berlin", "DE-LU"),
    Zone("DK1", "10YDK-1--------W", "Europe/Copenhagen", "DK1"),
    Zone("DK2", "10YDK-2--------M", "Europe/Copenhagen", "DK2"),
    Zone("EE", "10Y1001A1001A39I", "Europe/Tallinn", "EE"),
    Zone("ES", "10YES-REE------0", "Europe/Madrid", "ES"),
    Zone("FI", "10YFI-1--------U", "Europe/Helsinki", "FI"),
    Zone("FR", "10YFR-RTE------C", "Europe/Paris", "FR"),
    Zone("GR", "10YGR-HTSO-----Y", "Europe/Athens", "GR"),
    Zone("HR", "10YHR-HEP------M", "Europe/Zagreb", "HR"),
    Zone("HU", "10YHU-MAVIR----U", "Europe/Budapest", "HU"),
    Zone("IT-NORTH", "10Y1001A1001A73I", "Europe/Rome", "IT-North"),
    Zone("LT", "10YLT-1001A0008Q", "Europe/Vilnius", "LT"),
    Zone("LV", "10YLV-1001A00074", "Europe/Riga", "LV"),
    Zone("NL", "10YNL----------L", "Europe/Amsterdam", "NL"),
    Zone("NO1", "10YNO-1--------2", "Europe/Oslo", "NO1"),
    Zone("NO2", "10YNO-2--------T", "Europe/Oslo", "NO2"),
    Zone("NO3", "10YNO-3--------J", "Europe/Oslo", "NO3"),
    Zone("NO4", "10YNO-4--------9", "Europe/Oslo", "NO4"),
    Zone("NO5", "10Y1001A1001A48H", "Europe/Oslo", "NO5"),
    Zone("PL", "10YPL-AREA-----S", "Europe/Warsaw", "PL"),
    Zone("PT", "10YPT-REN------W", "Europe/Lisbon", "PT"),
    Zone("RO", "10YRO-TEL------P", "Europe/Bucharest", "RO"),
    Zone("SE1", "10Y1001A1001A44P", "Europe/Stockholm", "SE1"),
    Zone("SE2", "10Y1001A1001A45N", "Europe/Stockholm", "SE2"),
    Zone("SE3", "10Y1001A1001A46L", "Europe/Stockholm", "SE3"),
    Zone("SE4", "10Y1001A1001A47J", "Europe/Stockholm", "SE4"),
    Zone("SI", "10YSI-ELES-----O", "Europe/Ljubljana", "SI"),
    Zone("SK", "10YSK-SEPS-----K", "Europe/Bratislava", "SK"),
)
ZONES: Final[Mapping[str, Zone]] = {zone.name: zone for zone in _ALL}
_BY_EIC: Final[Mapping[str, Zone]] = {zone.eic: zone for zone in _ALL}
_ALIASES: Final[Mapping[str, str]] = {"DE": "DE-LU", "LU": "DE-LU", "DE_LU": "DE-LU"}


def find_zone(words: str) -> Zone | None:
    """The zone of a name in any case, or of an ENTSO-E code."""
    word = words.strip().upper()
    return ZONES.get(_ALIASES.get(word, word)) or _BY_EIC.get(words.strip())


def zone_name(eic: str) -> str:
    """Our name for an ENTSO-E code; the code itself where we have none."""
    zone = _BY_EIC.get(eic)
    return eic if zone is None else zone.name
