"""What controllers say, into the store: values as series, everything else whole.

Live values are kept where they change: a value holds until the next one of its series, and each is there at least once
a quarter, so that a gap is a gap. All are kept of a message that does not follow the one before it: what is missing
between the two may still come. That is a tenth of the rows and loses nothing. Charging sessions are put together from
the same statuses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from interfaces.domain.live import SESSION_JITTER_S, AssetLive, LiveStatus, car_connected, same_session
from interfaces.domain.units import MILLI, SECONDS_PER_DAY, SECONDS_PER_MINUTE, SECONDS_PER_QUARTER
from interfaces.domain.wire import Energy, Quality, write
from interfaces.domain.wire_head import Head
from interfaces.domain.wire_journal import JournalPiece
from interfaces.domain.wire_topics import Address
from interfaces.drivers.clock import Clock, epoch_s, monotonic_s
from optimizer.service.ingest import Arrival, StoreError
from optimizer.store.charging import Sighting
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
_Stream = tuple[str, bool]
"""Controller, historical."""
OLDEST_S: Final[float] = 366.0 * SECONDS_PER_DAY
"""A session that began earlier than this before it was told comes from a clock that is wrong."""


@dataclass(frozen=True, slots=True)
class _Memory:
    """What came last: values by series, the session and number of messages by stream, sightings by stream and EVSE."""

    last: dict[_Series, tuple[int, float]] = field(default_factory=dict)
    heard: dict[_Stream, tuple[int, int]] = field(default_factory=dict)
    seen: dict[tuple[_Stream, str], Sighting] = field(default_factory=dict)

    def update(self, newer: _Memory) -> None:
        """Take over what is newer; whoever invents names costs no memory."""
        if len(self.last) > MOST_SERIES:
            self.last.clear()
            self.seen.clear()
        self.last.update(newer.last)
        self.heard.update(newer.heard)
        self.seen.update(newer.seen)


class SqlTelemetry:
    """The ``TelemetryStore`` over the cloud's database. One per process: it remembers what it stored last."""

    def __init__(self, database: Database, *, now_s: Clock = monotonic_s, now_epoch_s: Clock = epoch_s) -> None:
        self._database, self._now_s, self._now_epoch_s = database, now_s, now_epoch_s
        self._known: frozenset[Address] = frozenset()
        self._looked_s = float("-inf")
        self._memory = _Memory()

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
        new = _Memory()
        told = [self._told(arrival, new) for arrival in arrivals]
        try:
            found = add_messages(self._database, told, int(self._now_epoch_s() * MILLI))
        except DatabaseDownError as error:
            return StoreError(str(error))
        if isinstance(found, UnknownSite):
            return StoreError(found.reason)
        self._memory.update(new)
        return None

    def _told(self, arrival: Arrival, new: _Memory) -> Told:
        address, status = arrival.address, arrival.status
        message: Any = arrival.message  # what has no head is no arrival
        head: Head = message.head
        stream = address.controller, head.historical
        before = new.heard.get(stream) or self._memory.heard.get(stream)
        follows = before == (head.session, head.seq - 1)
        new.heard[stream] = head.session, head.seq
        sightings: tuple[Sighting, ...] = ()
        if isinstance(message, Energy):
            samples, body = tuple(_of_energy(message)), None
        elif isinstance(message, JournalPiece):
            samples, body = (), None  # it is a file of the site's folder
        elif status is not None:
            samples, body = tuple(self._changed(stream, status, new, follows=follows)), None
            sightings = tuple(self._sighted(stream, status, new, follows=follows))
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
            sightings=sightings,
            historical=head.historical,
        )

    def _changed(self, stream: _Stream, status: LiveStatus, new: _Memory, *, follows: bool) -> Iterator[Sample]:
        """Values that differ from the last one of their series, or are the first of a quarter or after a gap."""
        time_ms = round(status.epoch_s * MILLI)
        for name, quantity, value in _of_status(status):
            key = (*stream, name, quantity)
            before = new.last.get(key) or self._memory.last.get(key)
            same = before is not None and before[1] == value and before[0] // QUARTER_MS == time_ms // QUARTER_MS
            if same and follows:
                continue
            new.last[key] = time_ms, value
            yield Sample(time_ms, name, quantity, value)

    def _sighted(self, stream: _Stream, status: LiveStatus, new: _Memory, *, follows: bool) -> Iterator[Sighting]:
        """Sessions that begin, get a tag or are over, with the energy they ended with; each again once a quarter and
        after a gap.
        """
        for asset in status.assets:
            now = _sighting(asset, status.epoch_s)
            if now is None:
                continue
            key = stream, asset.id
            before = new.seen.get(key) or self._memory.seen.get(key)
            new.seen[key] = now
            same = before is not None and _same_session(before, now)
            if before is not None and before.plugged_in_epoch_s is not None and not same:
                yield before
            if not (same and follows and before is not None and _alike(before, now)):
                yield now


def _sighting(asset: AssetLive, at_epoch_s: float) -> Sighting | None:
    """What is told of the session of an asset; None where that cannot be."""
    begin_s = asset.plugged_in_epoch_s
    if begin_s is None or not car_connected(asset):
        return Sighting(asset.id, at_epoch_s)
    if not at_epoch_s - OLDEST_S <= begin_s <= at_epoch_s + SESSION_JITTER_S:
        return None
    tag = None if asset.tag is None else asset.tag.replace("\0", "")  # PostgreSQL takes none of these
    return Sighting(asset.id, at_epoch_s, begin_s, tag, asset.energy_kwh)


def _same_session(before: Sighting, now: Sighting) -> bool:
    began, begins = before.plugged_in_epoch_s, now.plugged_in_epoch_s
    return same_session(began, begins) or (began is None and begins is None)


def _alike(before: Sighting, now: Sighting) -> bool:
    """Whether only its energy went on within a quarter of an hour."""
    quarters = before.at_epoch_s // SECONDS_PER_QUARTER, now.at_epoch_s // SECONDS_PER_QUARTER
    return before.tag == now.tag and quarters[0] == quarters[1]


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
