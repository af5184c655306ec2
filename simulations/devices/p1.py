"""A digital meter with a P1 port: telegrams of what flows in a circuit, as a TCP stream for whoever connects.

Written from the companion standards and not from our reader: its own checksum, its own formats.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Final, Literal

from interfaces.domain.units import SECONDS_PER_QUARTER
from simulations.devices.moment import Moment

Dialect = Literal["dsmr5", "dsmr4", "emucs"]

HEADERS: Final[dict[Dialect, str]] = {
    "dsmr5": r"/ISK5\2M550T-1012", "dsmr4": r"/KFM5KAIFA-METER", "emucs": r"/FLU5\253769484_A",
}  # fmt: skip
LOCALHOST: Final = "127.0.0.1"
WINTER: Final = timezone(timedelta(hours=1))
QUARTERS_PER_HOUR: Final = 4


@dataclass(frozen=True, slots=True)
class Shown:
    """What a telegram tells. Currents signed, consumption positive; demands only where the dialect has them."""

    epoch_s: float
    amps: Sequence[float]
    volts: Sequence[float]
    import_wh: float
    export_wh: float
    demand_w: float = 0.0
    peak_w: float = 0.0


def checksum(text: str) -> int:
    """Bit by bit: CRC-16 with x16 + x15 + x2 + 1, least significant bit first, from 0."""
    crc = 0
    for byte in text.encode("ascii"):
        for bit in range(8):
            carry = (crc ^ byte >> bit) & 1
            crc = crc >> 1 ^ (0xA001 if carry else 0)
    return crc


def telegram_of(shown: Shown, dialect: Dialect) -> bytes:
    """The telegram, line ends and checksum included."""
    watts = [a * v for a, v in zip(shown.amps, shown.volts, strict=True)]
    net_kw = sum(watts) / 1000.0
    stamp = datetime.fromtimestamp(shown.epoch_s, UTC).astimezone(WINTER)
    lines = [
        HEADERS[dialect],
        "",
        "0-0:96.1.4(50217)" if dialect == "emucs" else f"1-3:0.2.8({'50' if dialect == 'dsmr5' else '42'})",
        f"0-0:1.0.0({stamp:%y%m%d%H%M%S}W)",
        "0-0:96.1.1(4530303434303037313331363530363138)",
        f"1-0:1.8.1({shown.import_wh / 1000.0:010.3f}*kWh)",
        "1-0:1.8.2(000000.000*kWh)",
        f"1-0:2.8.1({shown.export_wh / 1000.0:010.3f}*kWh)",
        "1-0:2.8.2(000000.000*kWh)",
        "0-0:96.14.0(0001)",
    ]
    if dialect == "emucs":
        lines.append(f"1-0:1.4.0({shown.demand_w / 1000.0:06.3f}*kW)")
        lines.append(f"1-0:1.6.0({stamp:%y%m%d%H%M%S}W)({shown.peak_w / 1000.0:06.3f}*kW)")
    lines += [f"1-0:1.7.0({max(0.0, net_kw):06.3f}*kW)", f"1-0:2.7.0({max(0.0, -net_kw):06.3f}*kW)"]
    if dialect != "dsmr4":
        lines += [f"1-0:{code}.7.0({v:05.1f}*V)" for code, v in zip((32, 52, 72), shown.volts, strict=True)]
    for code, a in zip((31, 51, 71), shown.amps, strict=True):
        printed = f"{abs(a):06.2f}" if dialect == "emucs" else f"{int(abs(a)):03d}"
        lines.append(f"1-0:{code}.7.0({printed}*A)")
    lines += [f"1-0:{c}.7.0({max(0.0, w) / 1000.0:06.3f}*kW)" for c, w in zip((21, 41, 61), watts, strict=True)]
    lines += [f"1-0:{c}.7.0({max(0.0, -w) / 1000.0:06.3f}*kW)" for c, w in zip((22, 42, 62), watts, strict=True)]
    text = "\r\n".join(lines) + "\r\n!"
    return f"{text}{checksum(text):04X}\r\n".encode("ascii")


class P1Feed:
    """Serves one circuit's telegrams. It speaks when the plant's time passes a whole period; a broken meter is mute.

    ``frozen``: it repeats its last telegram; ``silent``: it says nothing. ``received_bytes``: what clients sent to it,
    which a P1 port has no use for.
    """

    def __init__(self, line: int, dialect: Dialect, period_s: float, start_epoch_s: float = 0.0) -> None:
        self.frozen = self.silent = False
        self.received_bytes = 0
        self.port = 0
        self.sent = 0
        self._line, self._dialect, self._period_s, self._start_epoch_s = line, dialect, period_s, start_epoch_s
        self._round = -1
        self._last = b""
        self._quarter, self._quarter_wh, self._peak_w = -1, 0.0, 0.0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def listening(self) -> bool:
        """Whether it can be reached."""
        return self._server is not None

    async def start(self) -> None:
        """Listen on a free port, or on the one it had."""
        self._server = await asyncio.start_server(self._serve, LOCALHOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Hang up and listen no more."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        self.hang_up()
        await asyncio.sleep(0)

    def hang_up(self) -> None:
        """Cut every client off."""
        for writer in self._writers:
            writer.transport.abort()

    def refresh(self, moment: Moment) -> None:
        """Send a telegram of this moment to every client when one is due."""
        epoch_s = self._start_epoch_s + moment.now_s
        demand_w = self._demand_w(epoch_s, moment.import_wh[self._line])
        number = int(moment.now_s / self._period_s + 1e-6)
        if number == self._round or not all(map(math.isfinite, moment.meter_a[self._line])):
            return
        self._round = number
        if not self.frozen:
            k = self._line
            shown = Shown(
                epoch_s, moment.meter_a[k], moment.meter_v[k], moment.import_wh[k], moment.export_wh[k], demand_w,
                self._peak_w,
            )  # fmt: skip
            self._last = telegram_of(shown, self._dialect)
        if not self.silent:
            self.sent += 1
            for writer in self._writers:
                writer.write(self._last)

    def _demand_w(self, epoch_s: float, import_wh: float) -> float:
        quarter = int(epoch_s // SECONDS_PER_QUARTER)
        if quarter != self._quarter:
            if self._quarter >= 0:
                self._peak_w = max(self._peak_w, (import_wh - self._quarter_wh) * QUARTERS_PER_HOUR)
            self._quarter, self._quarter_wh = quarter, import_wh
        return (import_wh - self._quarter_wh) * QUARTERS_PER_HOUR

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while data := await reader.read(1024):
                self.received_bytes += len(data)
        except (OSError, asyncio.CancelledError):
            return  # hung up, or the site ends
        finally:
            self._writers.discard(writer)
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
