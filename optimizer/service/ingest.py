"""What controllers say, checked, put in order and handed to a store; and what has to be answered to them.

No connection and no clock are known here. A message is believed when its topic, its type and its site agree and the
store knows the controller; everything else is counted and dropped. Whoever misses something knows it by the numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from interfaces.domain.live import LiveStatus
from interfaces.domain.units import SECONDS_PER_DAY
from interfaces.domain.wire import TYPES, Birth, Message, Mode, Receipt, State, read
from interfaces.domain.wire_head import Head, WireCode, WireRefusal
from interfaces.domain.wire_live import Known, Live, status_of
from interfaces.domain.wire_modes import MODES
from interfaces.domain.wire_topics import ROUTES, Address, Place, place_of

GAP_S: Final[float] = 5.0
"""The broker keeps order within one topic only: a number may come this much after a later one of another topic."""
ASK_S: Final[float] = 10.0
ASK_MOST_S: Final[float] = 640.0
"""Between two rebirth requests, doubled while nobody answers."""
MAX_AHEAD: Final[int] = 1000
"""Numbers remembered beyond a gap; with more of them the gap is taken for lost."""
MAX_RECENT: Final[int] = 1000
"""Numbers in which a repetition is noticed here; the store notices it ever after."""
MAX_WAITING: Final[int] = 20_000
"""Messages that wait for the store; then nothing more is read, and the link's own queues say what they drop."""
MAX_WAITING_BYTES: Final[int] = 64 * 1024 * 1024
"""Of their payloads; what is made of one takes some ten times as much memory."""
RATE_PER_S: Final[float] = 400.0
BURST: Final[float] = 3000.0
BYTES_EACH: Final[float] = 1000.0
"""Messages of one controller that are looked at, each thousand bytes counting as one more: above what the backlog of a
site of 300 chargers brings, far below what a stolen certificate could send. What is beyond is dropped before it costs
anything, so that nobody else's messages wait behind it."""
AHEAD_S: Final[float] = float(SECONDS_PER_DAY)
"""A status from later than this comes from a clock that is wrong. It is kept as a message and told to nobody as a
status: measured against it, everything true would be too old to be kept."""
MAX_RANGES: Final[int] = 100
"""In one receipt."""
MANY: Final[int] = 25
"""Stored messages of one controller that are told at once, because its disk waits to forget them."""


@dataclass(frozen=True, slots=True)
class StoreError:
    """Why the store did not take a batch, in one sentence; the same batch is tried again."""

    reason: str


@dataclass(frozen=True, slots=True)
class Arrival:
    """One believed message of ``size_bytes``. ``status``: what a ``Live`` tells, whole also where it told
    changes; None where its clock cannot be believed.
    """

    address: Address
    message: Message
    status: LiveStatus | None
    received_epoch_s: float
    size_bytes: int = 0


class TelemetryStore(Protocol):
    """Where messages stay. A message is named by controller, session and seq: the same name twice is kept once."""

    def knows(self, address: Address) -> bool:
        """Whether this controller is at this site of this organisation; asked for every message."""

    def add(self, arrivals: Sequence[Arrival]) -> StoreError | None:
        """Keep all of them for good, or none and say why. May take its time: it runs in a thread of its own."""


@dataclass(frozen=True, slots=True)
class Heard:
    """``status``: of a ``Live``; ``again``: it came before; ``missing``: why a birth and a whole status are needed;
    ``useless``: it cannot be understood without them and is neither stored nor receipted.
    """

    status: LiveStatus | None = None
    again: bool = False
    missing: str = ""
    useless: bool = False


@dataclass(slots=True)
class Hearing:
    """What was heard of one controller: its newest session, the numbers up to the first gap, and the last statuses."""

    session: int = -1
    birth: Birth | None = None
    next_seq: int = 0
    ahead: set[int] = field(default_factory=set)
    recent: dict[int, None] = field(default_factory=dict)
    gap_since_s: float | None = None
    live: Known | None = None
    past: Known | None = None
    asked_s: float = float("-inf")
    asked: int = 0

    def hear(self, message: Any, now_s: float) -> Heard:
        """Take one message (any with a head) into account."""
        head: Head = message.head
        # Historical and newer: of a session whose birth is still on its way, or lost.
        if head.session < self.session or (head.historical and head.session > self.session):
            return self._past(message)
        if head.session > self.session:
            self._begin(head, now_s)
        if head.seq in self.recent:
            return Heard(again=True)
        self.recent[head.seq] = None
        if len(self.recent) > MAX_RECENT:
            del self.recent[next(iter(self.recent))]
        found = self._present(message, now_s)
        if found.useless:
            self.recent.pop(head.seq, None)  # it was not understood: should it come again, it is no repetition
        return found

    def _present(self, message: Any, now_s: float) -> Heard:
        """A message of the newest session that did not come before."""
        seq = message.head.seq
        if message.head.historical:
            self._fill(seq)
            return self._past(message)
        if isinstance(message, Birth):
            self._born(message)
        else:
            self._count(seq, now_s)
        missing = self._missing(now_s)
        if not isinstance(message, Live):
            return Heard(missing=missing)
        known = status_of(message, self.live)
        if isinstance(known, str):
            return Heard(missing=known, useless=True)
        self.live = known
        return Heard(status=known.status, missing=missing)

    def may_ask(self, now_s: float) -> bool:
        """Whether a rebirth may be asked for now; counts it as asked."""
        if now_s - self.asked_s < min(ASK_MOST_S, ASK_S * 2.0 ** max(0, self.asked - 1)):
            return False
        self.asked_s, self.asked = now_s, self.asked + 1
        return True

    def _begin(self, head: Head, now_s: float) -> None:
        self.session, self.birth = head.session, None
        self.next_seq, self.ahead, self.recent = 0, set(), {}
        self.gap_since_s = now_s  # until its birth is heard
        self.past, self.live = self.live or self.past, None

    def _born(self, birth: Birth) -> None:
        self.birth = birth
        self.next_seq = max(self.next_seq, birth.head.seq + 1)
        self.gap_since_s, self.asked = None, 0
        self.ahead = {seq for seq in self.ahead if seq >= self.next_seq}
        self._close()

    def _count(self, seq: int, now_s: float) -> None:
        if seq >= self.next_seq:
            self.ahead.add(seq)
        self._close()
        if len(self.ahead) > MAX_AHEAD:
            self.next_seq, self.ahead = max(self.ahead) + 1, set()
        if self.ahead and self.gap_since_s is None:
            self.gap_since_s = now_s
        if not self.ahead and self.birth is not None:
            self.gap_since_s = None

    def _fill(self, seq: int) -> None:
        """A late message closes a gap and opens none."""
        if seq >= self.next_seq:
            self.ahead.add(seq)
        self._close()
        if not self.ahead and self.birth is not None:
            self.gap_since_s = None

    def _close(self) -> None:
        while self.next_seq in self.ahead:
            self.ahead.remove(self.next_seq)
            self.next_seq += 1

    def _missing(self, now_s: float) -> str:
        if self.gap_since_s is None or now_s - self.gap_since_s < GAP_S:
            return ""
        return "the birth of this session is missing" if self.birth is None else f"message {self.next_seq} is missing"

    def _past(self, message: Any) -> Heard:
        """Late messages: in no order with the live ones, and in none among themselves that we rely on."""
        if not isinstance(message, Live):
            return Heard()
        known: Known | str = status_of(message, self.past)
        if isinstance(known, str) and self.live is not None:
            known = status_of(message, self.live)
        if isinstance(known, str):
            return Heard(missing=known, useless=True)
        self.past = known
        return Heard(status=known.status)


@dataclass(slots=True)
class Allowance:
    """What of one controller may be looked at now."""

    left: float = BURST
    at_s: float = float("-inf")

    def take(self, size_bytes: int, now_s: float) -> bool:
        """Whether a message of this size may; it is taken off."""
        self.left = min(BURST, self.left + RATE_PER_S * max(0.0, now_s - self.at_s))
        self.at_s = now_s
        cost = 1.0 + size_bytes / BYTES_EACH
        if self.left < cost:
            return False
        self.left -= cost
        return True


@dataclass(frozen=True, slots=True)
class Refused:
    """A payload that is not believed."""

    place: Place | None
    refusal: WireRefusal


class Ingest:
    """All controllers. ``take`` for every message in order; ``batch`` and ``stored`` around the store's work."""

    def __init__(self, store: TelemetryStore) -> None:
        self._store = store
        self._waiting: list[Arrival] = []
        self._waiting_bytes = 0
        self._repeated: list[tuple[Address, int, int]] = []
        self._told: dict[Address, list[tuple[int, int]]] = {}
        self._told_s: dict[Address, float] = {}
        self._wanted: dict[Address, str] = {}
        self._allowances: dict[Address, Allowance] = {}
        self.hearings: dict[Address, Hearing] = {}
        self.online: dict[Address, bool] = {}
        self.counts: Counter[str] = Counter()

    @property
    def full(self) -> bool:
        """Whether the store is so far behind that nothing more should be read."""
        return len(self._waiting) >= MAX_WAITING or self._waiting_bytes >= MAX_WAITING_BYTES

    def take(self, topic: str, payload: bytes, now_s: float, epoch_s: float) -> Arrival | Refused | None:
        """One message: believed, refused and counted, or None where there is nothing new in it."""
        place = place_of(topic)
        if place is None or not ROUTES[place.kind].up:
            return self._refused(None, WireRefusal(WireCode.UNKNOWN_TOPIC, f"{topic[:100]!r} is no topic of ours"))
        unwanted = self._unwanted(place.address, len(payload), now_s)
        if unwanted is not None:
            return self._refused(place, unwanted)
        return self._read(place, payload, now_s, epoch_s)

    def _read(self, place: Place, payload: bytes, now_s: float, epoch_s: float) -> Arrival | Refused | None:
        message = read(payload, TYPES[place.kind])
        if isinstance(message, WireRefusal):
            return self._refused(place, message)
        site = _site_said(message)
        if site is not None and site != place.address.site:
            return self._refused(place, WireRefusal(WireCode.WRONG_PLACE, f"it speaks of the site {site[:64]!r}"))
        if isinstance(message, State):
            self._state(place.address, message)
            return None
        found = self._believed(place.address, message, now_s)
        if found is None:
            return None
        status = found.status
        if status is not None and status.epoch_s > epoch_s + AHEAD_S:
            self.counts["ahead"] += 1
            status = None
        arrival = Arrival(place.address, message, status, epoch_s, len(payload))
        self._waiting.append(arrival)
        self._waiting_bytes += arrival.size_bytes
        return arrival

    def _unwanted(self, address: Address, size_bytes: int, now_s: float) -> WireRefusal | None:
        """Why a message is refused without looking into it."""
        if not self._store.knows(address):
            return WireRefusal(WireCode.WRONG_PLACE, "nobody knows this controller there")
        if not self._allowances.setdefault(address, Allowance()).take(size_bytes, now_s):
            return WireRefusal(WireCode.TOO_MANY, "more than a controller has to say")
        return None

    def batch(self) -> tuple[Arrival, ...]:
        """What the store has not taken yet, in the order it came."""
        return tuple(self._waiting)

    def stored(self, count: int) -> None:
        """The store has taken the first ``count`` of the batch; what came twice is told with them."""
        for arrival in self._waiting[:count]:
            head = _head_of(arrival.message)
            self._told.setdefault(arrival.address, []).append((head.session, head.seq))
            self._waiting_bytes -= arrival.size_bytes
        del self._waiting[:count]
        self.counts["stored"] += count
        if not self._waiting:
            for address, session, seq in self._repeated:
                self._told.setdefault(address, []).append((session, seq))
            self._repeated.clear()

    def receipts(self, now_s: float, epoch_s: float) -> tuple[tuple[Address, Receipt], ...]:
        """Receipts that are due: every two minutes, less often where data is dear, at once where much waits for it."""
        due = []
        for address, names in list(self._told.items()):
            wait_s = MODES[self._mode(address)].receipt_s
            if now_s - self._told_s.get(address, float("-inf")) < wait_s and len(names) < MANY:
                continue
            ranges = ranges_of(names)
            due.append((address, Receipt(epoch_s, ranges[:MAX_RANGES])))
            rest = [(session, seq) for session, first, last in ranges[MAX_RANGES:] for seq in range(first, last + 1)]
            self._told_s[address] = now_s
            if rest:
                self._told[address] = rest
            else:
                del self._told[address]
        return tuple(due)

    def rebirths(self, now_s: float) -> tuple[tuple[Address, int | None, str], ...]:
        """Whom to ask for a birth now: address, its newest session that is known, and why."""
        found = []
        for address, why in self._wanted.items():
            hearing = self.hearings[address]
            if hearing.may_ask(now_s):
                found.append((address, hearing.session if hearing.session >= 0 else None, why))
        self._wanted.clear()
        self.counts["rebirths"] += len(found)
        return tuple(found)

    def _believed(self, address: Address, message: Any, now_s: float) -> Heard | None:
        """What it tells, None where that is nothing new."""
        hearing = self.hearings.setdefault(address, Hearing())
        heard = hearing.hear(message, now_s)
        if heard.missing:
            self._wanted[address] = heard.missing
            self.counts["gaps"] += 1
        if heard.again:
            self.counts["repeated"] += 1
            if len(self._repeated) < MAX_WAITING:  # beyond it no receipt is promised: it comes again
                self._repeated.append((address, message.head.session, message.head.seq))
            return None
        if heard.useless:
            self.counts["useless"] += 1
            return None
        self.counts["taken"] += 1
        return heard

    def _state(self, address: Address, state: State) -> None:
        hearing = self.hearings.get(address)
        # A will of an earlier connection, told after the controller is back, says nothing about it now.
        if state.online or hearing is None or state.session >= hearing.session:
            self.online[address] = state.online
        self.counts["states"] += 1

    def _refused(self, place: Place | None, refusal: WireRefusal) -> Refused:
        self.counts[f"refused_{refusal.code}"] += 1
        return Refused(place, refusal)

    def _mode(self, address: Address) -> Mode:
        hearing = self.hearings.get(address)
        return "live" if hearing is None or hearing.birth is None else hearing.birth.mode


def ranges_of(names: Iterable[tuple[int, int]]) -> tuple[tuple[int, int, int], ...]:
    """(session, seq) -> (session, first, last), each range without a gap, in order."""
    found: list[tuple[int, int, int]] = []
    for session, seq in sorted(set(names)):
        if found and found[-1][0] == session and found[-1][2] == seq - 1:
            found[-1] = (session, found[-1][1], seq)
        else:
            found.append((session, seq, seq))
    return tuple(found)


def _site_said(message: Any) -> str | None:
    if isinstance(message, Birth):
        return message.site
    return message.whole.site if isinstance(message, Live) and message.whole is not None else None


def _head_of(message: Any) -> Head:
    head: Head = message.head
    return head
