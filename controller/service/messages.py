"""What field and gateway say to each other: frozen records, packed by the codec, each behind its length.

Field to gateway: ``Hello``, then groups that each begin with ``Setup``, plan and targets in force, and ``Snapshot``, so
that whoever starts reading at a group can replay it; in between one ``Entry`` per scan, ``Status`` and ``Verdict``.
Gateway to field: ``SiteText``, ``Plan``, ``Targets``, ``DeclaredOff``, ``Bound``,
``OperatorOrder``, ``RemoteReading``, ``StandingOrders``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Final

from controller.core.state import ControllerState
from interfaces.domain.plan import Plan
from interfaces.domain.targets import Targets
from interfaces.domain.telemetry import ScanRecord
from interfaces.drivers.zaptec_point import Seen

LENGTH: Final = struct.Struct("<I")
MAX_OUT_BYTES: Final = 64 * 1024 * 1024
MAX_IN_BYTES: Final = 2_000_000
"""A site file is at most 1 MB, a plan of most setpoints 1.7 MB; every other message is at most 256 KiB."""


@dataclass(frozen=True, slots=True)
class Hello:
    """Who speaks: process id, a number that no other start has, how often the process was started again and why."""

    pid: int
    start_id: str
    software: str
    started_epoch_s: float
    restarts: int
    last_exit: str
    refused: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Setup:
    """The site that is being run."""

    site_id: str
    site_text: str
    params_digest: str


@dataclass(frozen=True, slots=True)
class PlanInForce:
    """A plan that images refer to by ``digest``."""

    digest: str
    plan: Plan


@dataclass(frozen=True, slots=True)
class TargetsInForce:
    """Targets that images refer to by ``digest``."""

    digest: str
    targets: Targets


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole state before scan ``number``."""

    number: int
    epoch_s: float
    state: ControllerState


@dataclass(frozen=True, slots=True)
class Entry:
    """One scan. The image inside holds neither plan nor targets, only their digests are here (empty: none).

    ``error`` is None, or what was raised: then the commands are the failsafe output and the state is the one after it.
    ``imaged`` False: it was raised before an image was made, the one inside is the last one before.
    """

    record: ScanRecord
    plan: str
    targets: str
    error: str | None
    imaged: bool = True


@dataclass(frozen=True, slots=True)
class PointStatus:
    """One point as people see it: connected or why not, and the trouble with its setpoint, if any.

    ``reply_age_s`` of its last valid reply, -1 when there never was one; ``status`` free, occupied, charging, ... of a
    charger; ``serial`` what it calls itself, empty where it tells nothing; ``suspect`` what speaks against its being
    the make of its profile; ``requests``, ``timeouts`` and ``connects`` are those of its connection. ``place``: where
    it is reached; ``doubts``: values that cannot be used, and why; ``notes``: how values were come by; ``mac``: of who
    answers there, ``rival_macs``: several that take turns; ``nameless``: it has no serial number to tell.
    """

    key: str
    profile: str
    connected: bool
    problem: str
    reply_age_s: float
    setpoint_problem: str
    status: str
    serial: str
    suspect: tuple[str, ...]
    requests: int
    timeouts: int
    connects: int
    place: str = ""
    doubts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    mac: str = ""
    rival_macs: tuple[str, ...] = ()
    nameless: bool = False


@dataclass(frozen=True, slots=True)
class Following:
    """Plan or fallback, since the start of the process. ``switches`` from one to the other; ``fallback_s`` without a
    plan; ``max_step_w_at_switch`` largest change of the site's commanded power that a switch made from one scan to the
    next. ``sequence`` of the newest plan followed, ``refused`` why the one at hand is not followed now, and
    ``targets_refused`` why departures or prices are not used.
    """

    source: str
    sequence: int
    refused: str
    targets_refused: str
    plans_accepted: int
    plans_refused: int
    switches: int
    fallback_s: float
    max_step_w_at_switch: float


NOT_FOLLOWING: Final = Following("fallback", -1, "", "", 0, 0, 0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Status:
    """How the process is doing, once a second. Times in seconds since the start of the process unless named.

    ``lateness_s``: p50, p99, p99.9 and largest; ``work_s``: the same of what a scan takes.
    """

    scans: int
    late: int
    missed: int
    errors: int
    lateness_s: tuple[float, float, float, float]
    work_s: tuple[float, float, float, float]
    dropped: int
    retain_written: int
    retain_failed: int
    retain_problem: str
    clock: str
    clock_steps: int
    points: tuple[PointStatus, ...]
    following: Following = NOT_FOLLOWING


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a message: ``about`` names it ("site", "plan", ...), ``sequence`` which one where it has one."""

    about: str
    accepted: bool
    reason: str
    sequence: int = -1


@dataclass(frozen=True, slots=True)
class SiteText:
    """A changed site file."""

    text: str


@dataclass(frozen=True, slots=True)
class DeclaredOff:
    """Assets an installer has declared without power; replaces the earlier list."""

    assets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Bound:
    """Which serial number belongs to which device of the site file: two lists side by side; replaces the earlier."""

    devices: tuple[str, ...]
    serials: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AssetOrder:
    """What a person has ordered of one asset: ``do`` is limit, pause, out_of_service, solar or charge_now.

    ``limit_ma`` counts for a limit alone. ``left_s``: how long it still holds (inf: until it is taken back), ``age_s``
    since it was given; both seconds, because only durations mean the same on the clocks of two machines.
    """

    asset: str
    do: str
    limit_ma: int
    left_s: float
    age_s: float


@dataclass(frozen=True, slots=True)
class StandingOrders:
    """Everything people have ordered and not taken back; replaces the earlier list."""

    orders: tuple[AssetOrder, ...]


@dataclass(frozen=True, slots=True)
class OperatorOrder:
    """Inputs of the grid operator and the fire panel, as read by the gateway. ``fire``: code of ``Fire``."""

    limit_mw: int
    stop: bool
    fire: int


@dataclass(frozen=True, slots=True)
class RemoteReading:
    """What the maker's service told of the point ``key``. Its times are the monotonic ones of this machine, which are
    the same in both processes.
    """

    key: str
    seen: Seen


OUT: Final[tuple[type[Any], ...]] = (
    Hello, Setup, PlanInForce, TargetsInForce, Snapshot, Entry, Status, Verdict,
)  # fmt: skip
IN: Final[tuple[type[Any], ...]] = (
    SiteText, Plan, Targets, DeclaredOff, Bound, OperatorOrder, RemoteReading, StandingOrders,
)  # fmt: skip


def framed(packed: bytes) -> bytes:
    """A packed message behind its length."""
    return LENGTH.pack(len(packed)) + packed
