"""What the topology must know of a make of device; drivers derive it from the device's profile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Keepalive = Literal["any_request", "write", "register", "none"]
DeviceKind = Literal["charger", "meter", "inverter", "battery", "io"]


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """Facts of one profile that decide safety and bus time.

    ``step_a``/``min_a``: resolution and smallest non-zero setpoint. ``failsafe_verifiable``: the failsafe current and
    its time-out can be read back from the device. ``failsafe_settable``: they can be written. ``boot_current_a``:
    what it may offer after its own reboot before it heard from us (None: unknown, counts at nameplate).
    ``release_s``: longest time from a read-back lower setpoint until the car has followed (IEC 61851-1: the EVSE may
    hold its pilot 5 s, the car has 5 s). ``poll_s``: cyclic rate of its measurements; ``settle_poll_s``: the fastest
    rate it bears for 20 s after a setpoint change. ``cycle_words``/``cycle_requests``: registers and requests of one
    polling round of one connector, for the bus arithmetic; ``response_s``: longest response time of the device,
    ``turnaround_s``: pause it needs between frames. ``unit_ids``: Modbus units its connectors answer to when the site
    file names none; ``port_step``: TCP ports between two connectors. ``timeout_range_s``: failsafe time-outs it
    accepts, where they can be written. ``make``: who builds it, empty where any maker may.
    """

    profile: str
    kind: DeviceKind
    connectors: int = 1
    step_a: float = 1.0
    min_a: float = 6.0
    max_a: float = 80.0
    failsafe_settable: bool = False
    failsafe_verifiable: bool = False
    default_timeout_s: float | None = None
    boot_current_a: float | None = None
    idle_current_a: float = 0.0
    release_s: float = 10.0
    poll_s: float = 1.0
    settle_poll_s: float = 1.0
    keepalive: Keepalive = "any_request"
    measures_phases: bool = True
    phase_switching: bool = False
    direct_current: bool = False
    transports: tuple[str, ...] = ("tcp",)
    cycle_words: int = 0
    cycle_requests: int = 1
    response_s: float = 0.1
    turnaround_s: float = 0.02
    unit_ids: tuple[int, ...] = (1,)
    port_step: int = 0
    timeout_range_s: tuple[float, float] | None = None
    make: str = ""
