"""Price sources by their word: the parser of a file, and the source for a zone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from interfaces.domain.series import PriceSeries
from interfaces.sources.port import Source, SourceError
from interfaces.sources.prices import awattar, csv_file, energy_charts, energyzero, entsoe
from interfaces.sources.prices.zones import ZONES, Zone

PriceSource = Source[PriceSeries]
Parser = Callable[[bytes, Zone | None], PriceSeries | SourceError]

PARSERS: Final[Mapping[str, Parser]] = {
    entsoe.NAME: entsoe.parse,
    energy_charts.NAME: energy_charts.parse,
    energyzero.NAME: energyzero.parse,
    awattar.NAME: awattar.parse,
    csv_file.NAME: csv_file.parse,
}
ONLINE: Final = (entsoe.NAME, energy_charts.NAME, energyzero.NAME, awattar.NAME)


def price_source(name: str, zone: Zone, token: str = "") -> PriceSource | SourceError:
    """The source called ``name`` (one of ``ONLINE``) for a zone; ``token``: for those that want one."""
    problem = zone_problem(name, zone)
    if problem is not None:
        return problem
    if name == entsoe.NAME:
        if not token:
            return SourceError(entsoe.TITLE, "it wants a security token, which its site gives to whoever registers")
        return entsoe.source(zone, token)
    if name == energy_charts.NAME:
        return energy_charts.source(zone)
    return energyzero.source() if name == energyzero.NAME else awattar.source(zone)


def zone_problem(name: str, zone: Zone) -> SourceError | None:
    """Why a source cannot have the prices of a zone."""
    if name == energy_charts.NAME and not zone.energy_charts:
        return SourceError(energy_charts.TITLE, f"it does not have the zone {zone.name}")
    if name == energyzero.NAME and zone != energyzero.ZONE:
        return SourceError(energyzero.TITLE, f"it has the prices of {energyzero.ZONE.name} only, not of {zone.name}")
    if name == awattar.NAME and zone.name not in awattar.URLS:
        have = " and ".join(awattar.URLS)
        return SourceError(awattar.TITLE, f"it has the prices of {have} only, not of {zone.name}")
    return None


def usual_zone(name: str) -> Zone | None:
    """The zone of a source that has one of its own."""
    return {energyzero.NAME: energyzero.ZONE, awattar.NAME: ZONES["DE-LU"]}.get(name)
