"""A device and what its connection remembers beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from interfaces.domain.units import NEVER_S
from interfaces.drivers.device import Device
from interfaces.drivers.writes import WriteBook

REBOOT_JITTER_S: Final = 2.0
"""An uptime that falls by more than this is a restart; less is rounding."""


@dataclass(slots=True)
class Member:
    """A device and what the connection keeps beside it."""

    device: Device
    book: WriteBook = field(default_factory=WriteBook)
    provision_at_s: float = NEVER_S
    discover_at_s: float = NEVER_S
    unanswered: int = 0
    unanswered_s: float = NEVER_S
    quiet_until_s: float = NEVER_S
    uptime_s: float | None = None
    serial: str | None = None
    provision_failures: int = 0

    @property
    def key(self) -> str:
        return self.device.spec.key


def has_restarted(member: Member) -> bool:
    """Whether the uptime fell, or another serial number answers, since this was asked last."""
    reading = member.device.reading
    uptime_s, told = reading.value("uptime_s"), reading.serial
    fell = uptime_s is not None and member.uptime_s is not None and uptime_s < member.uptime_s - REBOOT_JITTER_S
    swapped = told is not None and member.serial is not None and told != member.serial
    member.uptime_s, member.serial = uptime_s, told or member.serial
    return fell or swapped
