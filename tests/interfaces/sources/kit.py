"""Bodies written by hand in the shapes of the services, and a real HTTP server that plays a script."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from interfaces.domain.series import PriceSeries, WeatherSeries
from interfaces.sources.port import SourceError

BE = "10YBE----------2"
HTML = b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"


def epoch(text: str) -> int:
    return round(datetime.fromisoformat(text).astimezone(UTC).timestamp())


def series(found: PriceSeries | SourceError) -> PriceSeries:
    assert isinstance(found, PriceSeries), found
    return found


def weather(found: WeatherSeries | SourceError) -> WeatherSeries:
    assert isinstance(found, WeatherSeries), found
    return found


def error(found: object) -> str:
    assert isinstance(found, SourceError), found
    text = str(found)
    assert "\n" not in text
    return text


def points(found: PriceSeries | SourceError) -> list[tuple[str, float]]:
    good = series(found)
    return [
        (datetime.fromtimestamp(int(start), UTC).strftime("%m-%dT%H:%M"), float(price))
        for start, price in zip(good.start_epoch_s, good.eur_per_kwh, strict=True)
    ]


# -- ENTSO-E ----------------------------------------------------------------------------------------------------------


def period(start: str, end: str, resolution: str, prices: Mapping[int, float | str]) -> str:
    inner = "".join(
        f"<Point><position>{position}</position><price.amount>{price}</price.amount></Point>"
        for position, price in prices.items()
    )
    return (
        f"<Period><timeInterval><start>{start}</start><end>{end}</end></timeInterval>"
        f"<resolution>{resolution}</resolution>{inner}</Period>"
    )


def time_series(
    *periods: str,
    curve: str = "A03",
    sequence: str = "",
    zone: str = BE,
    out: str = "",
    contract: str = "A01",
    currency: str = "EUR",
    unit: str = "MWH",
) -> str:
    name = "classificationSequence_AttributeInstanceComponent.position"
    return (
        f"<TimeSeries><in_Domain.mRID>{zone}</in_Domain.mRID><out_Domain.mRID>{out or zone}</out_Domain.mRID>"
        f"<contract_MarketAgreement.type>{contract}</contract_MarketAgreement.type>"
        f"<currency_Unit.name>{currency}</currency_Unit.name><price_Measure_Unit.name>{unit}</price_Measure_Unit.name>"
        f"<curveType>{curve}</curveType>"
        + (f"<{name}>{sequence}</{name}>" if sequence else "")
        + "".join(periods)
        + "</TimeSeries>"
    )


def publication(*parts: str) -> bytes:
    space = "urn:iec62325.351:tc57wg16:451-3:publicationdocument:7:3"
    body = f'<Publication_MarketDocument xmlns="{space}"><type>A44</type>{"".join(parts)}</Publication_MarketDocument>'
    return f'<?xml version="1.0" encoding="utf-8"?>{body}'.encode()


def acknowledgement(text: str) -> bytes:
    space = "urn:iec62325.351:tc57wg16:451-1:acknowledgementdocument:7:0"
    return (
        f'<Acknowledgement_MarketDocument xmlns="{space}"><Reason><code>999</code><text>{text}</text></Reason>'
        "</Acknowledgement_MarketDocument>"
    ).encode()


# -- JSON services ----------------------------------------------------------------------------------------------------


def energy_charts(starts: Sequence[int], prices: Sequence[float | None], unit: str = "EUR / MWh") -> bytes:
    return json.dumps({"unix_seconds": list(starts), "price": list(prices), "unit": unit}).encode()


def awattar(rows: Sequence[tuple[int, int, float]], *, key: str = "data", unit: str = "Eur/MWh") -> bytes:
    data = [
        {"start_timestamp": start * 1000, "end_timestamp": end * 1000, "marketprice": price, "unit": unit}
        for start, end, price in rows
    ]
    return json.dumps({"object": "list", key: data}).encode()


def energyzero(rows: Sequence[tuple[str, str, str]]) -> bytes:
    base = [{"start": start, "end": end, "price": {"value": value}} for start, end, value in rows]
    taxed = [{**row, "price": {"value": "9.99"}} for row in base]
    return json.dumps({"interval": 2, "base": base, "all_in_with_vat": taxed}).encode()


# -- a server ---------------------------------------------------------------------------------------------------------


@dataclass
class Reply:
    """One answer. ``cut``: promise more bytes than are sent."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False


@dataclass
class Server:
    """``replies`` in order, the last one for ever; what was asked is in ``asked``."""

    url: str
    replies: list[Reply] = field(default_factory=list)
    asked: list[dict[str, list[str]]] = field(default_factory=list)

    def next_reply(self, path: str) -> Reply:
        self.asked.append(parse_qs(urlsplit(path).query))
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


@contextmanager
def http_server() -> Iterator[Server]:
    """A real server on 127.0.0.1."""
    script = Server("")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            reply = script.next_reply(self.path)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body) + (1000 if reply.cut else 0)))
            self.end_headers()
            self.wfile.write(reply.body)
            if reply.cut:
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the signature of the base
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    script.url = f"http://127.0.0.1:{server.server_address[1]}/"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield script
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Time:
    """A clock that only sleeping moves."""

    now_s: float = 1000.0
    epoch_s: float = 1_765_800_000.0
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.pass_by(seconds)

    def pass_by(self, seconds: float) -> None:
        self.now_s += seconds
        self.epoch_s += seconds
