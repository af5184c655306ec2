"""What controllers say, into the store: values as series, everything else whole.

Live values are kept where they change: a value holds until the next one of its series, and each is there at least once
a quarter, so that a gap is a gap. All are kept of a message that does not follow the one before it: what is missing
between the two may still come. That is a tenth of the rows and loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from interfaces.domain.live import LiveStatus
from interfaces.domain.units import MILLI, SECONDS_PER_MINUTE, SECONDS_PER_QUARTER
from interfaces.domain.wire import Energy, Quality, write
from interfaces.domain.wire_head import Head
from interfaces.domain.wire_topics import Address
from interfaces.drivers.clock import Clock, epoch_s, monotonic_s
from optimizer.service.ingest import Arrival, StoreError
from optimizer.store.database import Database
from optimizer.store.database import StoreError as DatabaseDownError
from optimizer.store.registry import addresses
from optimizer.store.series import Sample, Told, UnknownSite, add_messages

QUALITY: Final[dict[Quality, int]] = {Quality.GOOD: 0, Quality.PARTIAL: 1, Quality.MISSING: 2}
REFRESH_S: Final[float] = float(SECONDS_PER_MINUTE)
"""A controller that was just added is known after so long."""
MOST_SERIES: Final[int] = 1_000_000
"""Whose last value is remembered, 16 000 sites of ten chargers; whoever invents names costs rows, not memory."""
QUARTER_MS: Final[int] = SECONDS_PER_QUARTER * MILLI

_Series = tuple[str, bool, str, str]
"""Controller, historical, asset or circuit, quantity."""


class SqlTelemetry:
    """The ``TelemetryStore`` over the cloud's database. One per process: it remembers what it stored last."""

    def __init__(self, database: Database, *, now_s: Clock = monotonic_s, now_epoch_s: Clock = epoch_s) -> None:
        self._database, self._now_s, self._now_epoch_s = database, now_s, now_epoch_s
        self._known: frozenset[Address] = frozenset()
        self._looked_s = float("-inf")
        self._last: dict[_Series, tuple[int, float]] = {}
        self._heard: dict[tuple[str, bool], tuple[int, int]] = {}

    def knows(self, address: Address) -> bool:
        """Whether the controller is registered there; where the store does not answer, what was known last."""
        if address not in self._known and self._now_s() - self._looked_s >= REFRESH_S:
            self._looked_s = self._now_s()
            try:
                self._known = frozenset(Address(*found) for found in addresses(self._database))
            except DatabaseDownError:
                self._looked_s = float("-inf")
        return address in self._known

    def add(self, arrivals: Sequence[Arrival]) -> StoreError | None:
        """See ``TelemetryStore``."""
        last: dict[_Series, tuple[int, float]] = {}
        heard = dict(self._heard)
        told = [self._told(arrival, last, heard) for arrival in arrivals]
        try:
            found = add_messages(self._database, told, int(self._now_epoch_s() * MILLI))
        except DatabaseDownError as error:
            return StoreError(str(error))
        if isinstance(found, UnknownSite):
            return StoreError(found.reason)
        if len(self._last) > MOST_SERIES:
            self._last.clear()
        self._last.update(last)
        self._heard = heard
        return None

    def _told(
        self,
        arrival: Arrival,
        last: dict[_Series, tuple[int, float]],
        heard: dict[tuple[str, bool], tuple[int, int]],
    ) -> Told:
        address, status = arrival.address, arrival.status
        message: Any = arrival.message  # what has no head is no arrival
        head: Head = message.head
        stream = address.controller, head.historical
        follows = heard.get(stream) == (head.session, head.seq - 1)
        heard[stream] = head.session, head.seq
        if isinstance(message, Energy):
            samples, body = tuple(_of_energy(message)), None
        elif status is not None:
            samples, body = tuple(self._changed(stream, status, last, follows=follows)), None
        else:
            samples, body = (), write(message).decode()
        return Told(
            site=address.site,
            controller=address.controller,
            session=head.session,
            seq=head.seq,
            kind=message.kind,
            at_ms=round(head.at_epoch_s * MILLI),
            body=body,
            series="energy" if isinstance(message, Energy) else "live",
            samples=samples,
            historical=head.historical,
        )

    def _changed(
        self, stream: tuple[str, bool], status: LiveStatus, last: dict[_Series, tuple[int, float]], *, follows: bool
    ) -> Iterator[Sample]:
        """Values that differ from the last one of their series, or are the first of a quarter or after a gap."""
        time_ms = round(status.epoch_s * MILLI)
        for name, quantity, value in _of_status(status):
            key = (*stream, name, quantity)
            before = last.get(key) or self._last.get(key)
            same = before is not None and before[1] == value and before[0] // QUARTER_MS == time_ms // QUARTER_MS
            if same and follows:
                continue
            last[key] = time_ms, value
            yield Sample(time_ms, name, quantity, value)


def _of_status(status: LiveStatus) -> Iterator[tuple[str, str, float]]:
    """(circuit or asset, quantity, value); what was not measured is not there."""
    for circuit in status.circuits:
        if circuit.power_kw is not None:
            yield circuit.id, "power_kw", circuit.power_kw
        for phase, amps in enumerate(circuit.current_a, start=1):
            if amps is not None:
                yield circuit.id, f"current_l{phase}_a", amps
    for asset in status.assets:
        yield asset.id, "setpoint_a", asset.setpoint_a
        yield asset.id, "reason", float(asset.reason)
        for quantity, value in (("power_kw", asset.power_kw), ("soc_pct", asset.soc_pct)):
            if value is not None:
                yield asset.id, quantity, value
        if asset.plugged_in_epoch_s is not None:
            yield asset.id, "energy_kwh", asset.energy_kwh


def _of_energy(message: Energy) -> Iterator[Sample]:
    time_ms = round(message.start_epoch_s * MILLI)
    for row in (*message.assets, *message.circuits):
        if row.energy_wh is not None:
            yield Sample(time_ms, row.id, "energy_wh", row.energy_wh, QUALITY[row.quality])
