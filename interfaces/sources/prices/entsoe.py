"""Day-ahead prices from the ENTSO-E Transparency Platform: document A44 (article 12.1.D), XML.

A document holds time series, those hold periods, those points by position. Curve A01 has every position; A03 omits
those that repeat the one before. Several auctions of one zone share a document: ``classificationSequence`` position 1
is the day-ahead coupling, 2 an earlier local auction (EXAA in DE-LU and AT); agreement type A07 is intraday.
Sources: Transparency Platform RESTful API guide (endpoint, A44, 400 requests a minute and address, then a ban of
10 min); IEC 62325-451-3 publication document; area notes of the platform for BZN DE-LU (sequences).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Final
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from interfaces.domain.series import Flag, PriceSeries
from interfaces.domain.units import SECONDS_PER_HOUR, SECONDS_PER_QUARTER, eur_per_kwh_from_eur_per_mwh
from interfaces.sources.answers import MAX_STEPS, Step, epoch_of, joined_prices, plain, price_series, unusable
from interfaces.sources.port import Request, Source, SourceError
from interfaces.sources.prices.zones import Zone, zone_name

NAME: Final = "entsoe"
TITLE: Final = "ENTSO-E"
URL: Final = "https://web-api.tp.entsoe.eu/api"
PAUSE_S: Final = 0.2
FRESH_S: Final = 6 * 3600.0
RESOLUTIONS_S: Final[Mapping[str, int]] = {
    "PT15M": SECONDS_PER_QUARTER,
    "PT30M": 2 * SECONDS_PER_QUARTER,
    "PT60M": SECONDS_PER_HOUR,
    "PT1H": SECONDS_PER_HOUR,
}
SEQUENCE: Final = "classificationSequence_AttributeInstanceComponent.position"
DAY_AHEAD: Final = ("", "A01")
"""Agreement type of a time series: daily, or not told."""
_PRICE: Final = re.compile(r"[-+]?\d{1,9}(?:\.\d{1,9})?", re.ASCII)
_POSITION: Final = re.compile(r"[1-9]\d{0,5}", re.ASCII)


class _BadError(Exception):
    """Carries what is wrong from the depth of a document to ``parse``."""


def source(zone: Zone, token: str, url: str = URL) -> Source[PriceSeries]:
    """The prices of one zone. ``token``: the personal security token of the platform."""

    def requests(start_epoch_s: int, end_epoch_s: int) -> tuple[Request, ...]:
        """One document; the platform answers in whole delivery days."""
        params = (
            ("documentType", "A44"),
            ("in_Domain", zone.eic),
            ("out_Domain", zone.eic),
            ("periodStart", _stamp(start_epoch_s)),
            ("periodEnd", _stamp(end_epoch_s)),
        )
        secret = (("securityToken", token),)
        return (Request(url, params, start_epoch_s, end_epoch_s, zone.name, secret),)

    return Source(NAME, TITLE, PAUSE_S, FRESH_S, requests, partial(parse, zone=zone), partial(joined_prices, TITLE))


def parse(body: bytes, zone: Zone | None = None) -> PriceSeries | SourceError:
    """The day-ahead prices in a document. ``zone``: whose they must be; None takes the one zone the document has."""
    bad = unusable(body, "XML")
    if bad is not None:
        return SourceError(TITLE, bad)
    try:
        root = fromstring(body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        return SourceError(TITLE, "the answer is cut off or no XML")
    try:
        return _document(root, zone)
    except _BadError as error:
        return SourceError(TITLE, str(error))


def _document(root: Element, zone: Zone | None) -> PriceSeries | SourceError:
    kind = _local(root)
    if kind == "Acknowledgement_MarketDocument":
        raise _BadError(_refusal(root))
    if kind != "Publication_MarketDocument":
        raise _BadError(f"the answer is a document of another kind ({plain(kind)})")
    if _text(root, "type") not in ("", "A44"):
        raise _BadError(f"the document is of type {plain(_text(root, 'type'))}, prices are A44")
    flags: list[Flag] = []
    wanted = []
    for series in _children(root, "TimeSeries"):
        if _text(series, SEQUENCE) in ("", "1") and _text(series, "contract_MarketAgreement.type") in DAY_AHEAD:
            wanted.append(series)
        else:
            flags.append(Flag.OTHER_AUCTION)
    if not wanted:
        only = "holds prices of other auctions only" if flags else "holds no prices"
        raise _BadError(f"the document {only}: the day-ahead prices are not published")
    name = _zone_of(wanted, zone, flags)
    steps = [step for series in wanted for step in _series(series, flags)]
    return price_series(NAME, TITLE, name, _finest(steps, flags), flags)


def _refusal(root: Element) -> str:
    reasons = [plain(_text(reason, "text")) for reason in _children(root, "Reason")]
    told = "; ".join(reason for reason in reasons if reason)
    return f"the platform refused: {told or 'it gives no reason'}"


def _zone_of(wanted: Iterable[Element], zone: Zone | None, flags: list[Flag]) -> str:
    """The name of the zone or border these series are about; refuses another zone than the one asked for."""
    pairs = {(_text(series, "in_Domain.mRID"), _text(series, "out_Domain.mRID")) for series in wanted}
    names = {zone_name(into) if into == out else f"{zone_name(into)}>{zone_name(out)}" for into, out in pairs}
    told = ", ".join(sorted(plain(name) or "no zone" for name in names))
    if zone is not None and pairs != {(zone.eic, zone.eic)}:
        raise _BadError(f"the prices are those of {told}, not of {zone.name}")
    if len(pairs) != 1:
        raise _BadError(f"the document mixes several zones ({told}): say which one")
    if ">" in told:
        flags.append(Flag.BORDER)
    return told


def _series(series: Element, flags: list[Flag]) -> Iterator[Step]:
    currency, unit = _text(series, "currency_Unit.name"), _text(series, "price_Measure_Unit.name")
    if currency != "EUR":
        raise _BadError(f"the prices are in {plain(currency) or 'no currency'} instead of EUR")
    if unit.upper() == currency:
        flags.append(Flag.UNIT)  # a known slip of documents: the currency stands where the unit of energy should
    elif unit.upper() != "MWH":
        raise _BadError(f"the prices are per {plain(unit) or 'nothing'} instead of per MWH")
    curve = _text(series, "curveType") or "A01"
    if curve not in ("A01", "A03"):
        raise _BadError(f"curve type {plain(curve)} is not known")
    for period in _children(series, "Period"):
        yield from _period(period, repeats=curve == "A03", flags=flags)


def _period(period: Element, *, repeats: bool, flags: list[Flag]) -> Iterator[Step]:
    interval = next(_children(period, "timeInterval"), period)
    start, end = epoch_of(_text(interval, "start")), epoch_of(_text(interval, "end"))
    step_s = RESOLUTIONS_S.get(_text(period, "resolution"))
    if start is None or end is None or end <= start:
        raise _BadError("a period has no usable begin and end")
    if step_s is None:
        raise _BadError(f"resolution {plain(_text(period, 'resolution')) or 'none'} is not known")
    count, rest = divmod(end - start, step_s)
    if rest or count > MAX_STEPS:
        raise _BadError("a period is no whole number of its steps, or years long")
    points = _points(period)
    if any(position > count for position in points):
        flags.append(Flag.OUTSIDE)
    price = None
    for position in range(1, count + 1):
        price = points.get(position, price if repeats else None)
        if price is not None:
            yield Step(start + (position - 1) * step_s, step_s, price)


def _points(period: Element) -> dict[int, float]:
    """Price by position."""
    found: dict[int, float] = {}
    for point in _children(period, "Point"):
        position, amount = _text(point, "position"), _text(point, "price.amount")
        if not _POSITION.fullmatch(position):
            raise _BadError(f"'{plain(position)}' is no position")
        if not _PRICE.fullmatch(amount):
            raise _BadError(f"'{plain(amount)}' at position {position} is no price")
        price = eur_per_kwh_from_eur_per_mwh(float(amount))
        if found.setdefault(int(position), price) != price:
            raise _BadError(f"position {position} is given twice with different prices")
    return found


def _finest(steps: list[Step], flags: list[Flag]) -> list[Step]:
    """Without the hours that are given in quarters as well."""
    taken = {
        step.start_epoch_s + offset
        for step in steps
        if step.step_s < SECONDS_PER_HOUR
        for offset in range(0, step.step_s, SECONDS_PER_QUARTER)
    }
    kept = [
        step
        for step in steps
        if step.step_s < SECONDS_PER_HOUR
        or not any(step.start_epoch_s + offset in taken for offset in range(0, step.step_s, SECONDS_PER_QUARTER))
    ]
    if len(kept) < len(steps):
        flags.append(Flag.COARSER)
    return kept


def _stamp(epoch_s: int) -> str:
    return datetime.fromtimestamp(epoch_s, tz=UTC).strftime("%Y%m%d%H%M")


def _local(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _children(element: Element, name: str) -> Iterator[Element]:
    return (child for child in element if _local(child) == name)


def _text(element: Element, name: str) -> str:
    """Text of the first child of that name, empty where there is none."""
    child = next(_children(element, name), None)
    return "" if child is None or child.text is None else child.text.strip()
