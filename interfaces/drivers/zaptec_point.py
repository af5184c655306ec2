"""A Zaptec installation as a point of the field process: its profile, its facts, and its entry in the readings.

The field process never reaches the internet. What the gateway learnt arrives as a message at the start of a scan; what
is ordered leaves with the record of every scan.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from interfaces.domain.device_facts import DeviceFacts
from interfaces.domain.units import NEVER_S, ma_from_a
from interfaces.drivers.clock import Clock
from interfaces.drivers.device import PointSpec
from interfaces.drivers.links import CloudLink
from interfaces.drivers.modbus import Counters
from interfaces.drivers.profile import PilotName, Profile, Status
from interfaces.drivers.readings import FailsafeStatus, FailsafeVerdict, PointReading, Readings, SetpointStatus
from interfaces.drivers.roles import ChargerState

POLL_S: Final = 60.0
"""The maker forbids aggressive polling (API fair use policy); states it shows are up to 15 s old in any case."""
SILENT_POLLS: Final = 3
WATCH_S: Final = 1.0
MOST_A: Final = 1000.0
"""Above every installation; a site file may not say more either."""
LONGEST_TEXT: Final = 300
TOLERANCE_A: Final = 0.05
PROFILE: Final = Profile(
    schema=1,
    id="zaptec",
    kind="charger",
    vendor="Zaptec",
    models=("Pro", "Go", "Go 2", "Home"),
    registers=(),
    polls=(),
    roles={},
    confidence="one_source",
    sources=("docs.zaptec.com: API usage guidelines, API rate limiting, API fair use policy", "api.zaptec.com/swagger"),
    setup_on_device=(
        "Put a Modbus meter in front of the installation: on a circuit of its own, with nothing else behind it.",
        "Zaptec Portal: set the installation's maximum current to installation_limit_a of the site file.",
        "Zaptec Portal: the offline currents of all its chargers together are not above that.",
        "Zaptec Portal: no other load balancing (APM, Sense, schedule) changes the available current.",
        "Make a portal user that owns this installation alone; write its name and its password into two files.",
    ),
)
CLOUD_PROFILES: Final[Mapping[str, Profile]] = {PROFILE.id: PROFILE}
"""Chargers behind their maker's service by profile id. They have no registers."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one round of questions brought. ``asked_s``: when it began (monotonic); ``problem``: what went wrong, and
    then the rest is what was known before. ``readback_s``: orders up to then are answered by ``offered_a``.
    """

    asked_s: float
    problem: str
    online: bool = False
    offered_a: float | None = None
    readback_s: float = NEVER_S
    written_a: float | None = None
    written_s: float = NEVER_S
    limit_a: float | None = None
    pilot: PilotName | None = None
    status: Status = "not_in_operation"


def find_cloud(name: str) -> Profile | None:
    """The profile with that id."""
    return CLOUD_PROFILES.get(name)


def cloud_facts() -> dict[str, DeviceFacts]:
    """Facts of chargers behind a maker's service. ``settle_poll_s`` is that of the meter that measures them."""
    facts = DeviceFacts(
        profile=PROFILE.id,
        kind="charger",
        max_a=MOST_A,
        failsafe_verifiable=True,
        poll_s=POLL_S,
        settle_poll_s=1.0,
        keepalive="none",
        transports=("cloud",),
        cycle_requests=0,
        response_s=0.0,
        turnaround_s=0.0,
        unit_ids=(0,),
        make=PROFILE.vendor,
    )
    return {PROFILE.id: facts}


def seen_problem(seen: Seen) -> str:
    """What is impossible in a message, empty where nothing is."""
    currents = [one for one in (seen.offered_a, seen.written_a, seen.limit_a) if one is not None]
    if not all(0 <= one <= 10 * MOST_A for one in currents):
        return "a current is out of range"
    if not seen.readback_s <= seen.asked_s or seen.asked_s == float("inf"):
        return "a read-back is later than its question"
    return f"a text is longer than {LONGEST_TEXT}" if len(seen.problem) > LONGEST_TEXT else ""


def reading_of(old: PointReading, seen: Seen, limit_a: float) -> PointReading:
    """The entry after a message. Only a whole answer about chargers that are all reached counts as a reply."""
    reply_s = seen.asked_s if seen.online and not seen.problem else old.reply_s
    return replace(
        old,
        state=None if seen.pilot is None else ChargerState(seen.pilot, seen.status, ""),
        state_at_s=reply_s,
        reply_s=reply_s,
        connected=seen.online and not seen.problem,
        problem=seen.problem,
        setpoint=SetpointStatus(
            written_milli=_milli(seen.written_a),
            written_at_s=seen.written_s,
            readback_milli=_milli(seen.offered_a),
            readback_at_s=seen.readback_s,
        ),
        failsafe=FailsafeStatus(_verdict(seen.limit_a, limit_a), seen.limit_a, None, seen.asked_s),
    )


def _verdict(found_a: float | None, limit_a: float) -> FailsafeVerdict:
    """Whether the service has the installation set to use no more than the site file says."""
    if found_a is None:
        return "unverified"
    return "verified" if found_a <= limit_a + TOLERANCE_A else "unsafe"


def _milli(current_a: float | None) -> int | None:
    return None if current_a is None else ma_from_a(current_a)


class RemotePoint:
    """The point behind a maker's service. ``take`` hands over a message; ``run`` says when none comes any more.

    ``readings`` gets the entry of the point's key, written by this object alone.
    """

    def __init__(self, link: CloudLink, point: PointSpec, *, readings: Readings, clock: Clock) -> None:
        self.link = link
        self.key = point.key
        self.counters = Counters()
        self._readings = readings
        self._clock = clock
        readings.points[self.key] = PointReading(problem="nothing heard from the maker's service yet")

    @property
    def connected(self) -> bool:
        """Whether the last answer was a good one."""
        return self._readings.points[self.key].connected

    def take(self, seen: Seen) -> str:
        """A message of the gateway; why it is refused, if it is."""
        if seen.asked_s > self._clock():
            return f"{self.key}: asked in the future"
        self.counters.requests += 1
        self.counters.good += seen.online and not seen.problem
        new = reading_of(self._readings.points[self.key], seen, self.link.limit_a)
        problem = f"{new.problem}; " if new.problem else ""
        if new.failsafe.verdict == "unsafe" and new.failsafe.current_a is not None:
            told = (
                f"without internet it may use {new.failsafe.current_a:g} A, more than the {self.link.limit_a:g} A of "
                f"the site file: lower its maximum current or its chargers' offline currents in the portal"
            )
            new = replace(new, problem=problem + told)
        self._readings.points[self.key] = new
        return ""

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await asyncio.sleep(WATCH_S)
            self.watch()

    def watch(self) -> None:
        """Say it when the gateway has told nothing good for three polling periods."""
        old = self._readings.points[self.key]
        silent_s = self._clock() - old.reply_s
        if old.connected and old.reply_s > NEVER_S and silent_s > SILENT_POLLS * POLL_S:
            told = f"no good answer of the maker's service for {SILENT_POLLS * POLL_S:g} s"
            self._readings.points[self.key] = replace(old, connected=False, problem=told)

    async def aclose(self) -> None:
        """Nothing is open."""
