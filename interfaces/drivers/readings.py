"""The table of latest readings: what connection tasks know of their devices, for the scan to freeze.

One connection task writes each key; every entry is immutable and replaced as a whole, so that a copy of the table is a
copy of a few references and never half of an update.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from interfaces.domain.units import NEVER_S
from interfaces.drivers.profile import Profile
from interfaces.drivers.registers import Value
from interfaces.drivers.roles import ChargerState

GOOD: Final = "good"
NOT_AVAILABLE: Final = "not available"
OUT_OF_RANGE: Final = "out of range"

FailsafeVerdict = Literal["verified", "unverified", "unsafe"]
ContestKind = Literal["", "ignored", "dropped", "fell_back", "set_back", "two_masters"]
"""Why a device does not hold the setpoint it was told: see ``interfaces.drivers.contest``."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A role's value and when it was complete on the wire (monotonic).

    ``quality`` is "good", or why the latest attempt gave nothing better: the value and its time are then those of the
    last good reading. ``count`` grows by one with each good reading.
    """

    value: Value | None
    sampled_at_s: float
    quality: str
    count: int


@dataclass(frozen=True, slots=True)
class SetpointStatus:
    """What became of the setpoint. ``*_milli``: mA for currents, mW for power.

    ``written_milli`` was acknowledged at ``written_at_s``; ``readback_milli`` is what the device said it holds (or has
    in force) at ``readback_at_s``. ``problem`` is empty while all is well; ``contest``: the pattern, where read-backs
    contradict what was written, since ``contest_s``.
    """

    written_milli: int | None = None
    written_at_s: float = NEVER_S
    readback_milli: int | None = None
    readback_at_s: float = NEVER_S
    problem: str = ""
    contest: ContestKind = ""
    contest_s: float = NEVER_S


@dataclass(frozen=True, slots=True)
class FailsafeStatus:
    """What the device does without us, as read from it; None where it has no such register or did not answer."""

    verdict: FailsafeVerdict = "unverified"
    current_a: float | None = None
    timeout_s: float | None = None
    at_s: float = NEVER_S


@dataclass(frozen=True, slots=True)
class PointReading:
    """Everything known of one point: a meter, one EVSE, a battery, an inverter.

    ``reply_s``: last valid reply of any kind. ``sample_s``, ``sample_no``, ``digest``: of the block that holds its
    currents (or its power): time, number of good readings, checksum of the raw words (a frozen meter repeats it).
    ``held``: readings that waited for a second one. ``reboots``: restarts of the device seen. ``problem``: why the last
    request failed, empty after a good one. ``suspect``: what speaks against its being the make, map or word order the
    profile describes, in sentences for the installer; ``foreign``: it surely is another make or map. ``notes``: how
    values were come by where that is not plain. ``odd_state``: a state its map does not have. ``mac``: the network card
    that answers at its address, where that is a neighbour's; ``rival_macs``: several that take turns there.
    """

    roles: Mapping[str, Sample] = field(default_factory=dict)
    state: ChargerState | None = None
    state_at_s: float = NEVER_S
    odd_state: str = ""
    reply_s: float = NEVER_S
    sample_s: float = NEVER_S
    sample_no: int = 0
    digest: int = 0
    held: int = 0
    reboots: int = 0
    connected: bool = False
    problem: str = ""
    suspect: tuple[str, ...] = ()
    foreign: bool = False
    notes: tuple[str, ...] = ()
    setpoint: SetpointStatus = field(default_factory=SetpointStatus)
    failsafe: FailsafeStatus = field(default_factory=FailsafeStatus)
    mac: str = ""
    rival_macs: tuple[str, ...] = ()

    def value(self, role: str) -> float | None:
        """The last good number of a role, whatever its age; None where there is none."""
        sample = self.roles.get(role)
        return float(sample.value) if sample is not None and isinstance(sample.value, float | int) else None

    @property
    def serial(self) -> str | None:
        """The serial number as last read, whatever its age; None where there is none."""
        sample = self.roles.get("serial")
        return None if sample is None else serial_text(sample.value)


def serial_text(value: Value | None) -> str | None:
    """A serial number as text; None for what devices show that were never given one: blanks, zeros, an empty MAC."""
    text = " ".join(str("" if value is None else value).replace("\0", " ").split())
    return text if text.strip("0-: ") else None


def nameless(profile: Profile, reading: PointReading) -> bool:
    """Whether a device has no serial number to tell: its make has no register for it, or shows that none was given."""
    sample = reading.roles.get("serial")
    if "serial" not in profile.roles:
        return True
    return sample is not None and sample.quality in {GOOD, NOT_AVAILABLE} and reading.serial is None


@dataclass(slots=True)
class Readings:
    """Point key -> latest reading."""

    points: dict[str, PointReading] = field(default_factory=dict)

    def snapshot(self) -> Mapping[str, PointReading]:
        """A frozen view of this instant."""
        return dict(self.points)
