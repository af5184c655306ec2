"""The part of a device profile that says how a device is commanded and what it does when nobody commands it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import ConfigDict

_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class Condition:
    """A test on a register's value; every bound given must hold. A missing value never meets a condition."""

    __pydantic_config__ = _STRICT
    register: str
    at_least: float | None = None
    below: float | None = None
    one_of: tuple[int | str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Write:
    """One register of a setpoint: ``value * factor``, or a ``constant`` in the register's own unit.

    ``when``: written only to charge (above 0), to discharge (below 0), or to rest (0).
    """

    __pydantic_config__ = _STRICT
    register: str
    factor: float = 1.0
    constant: float | None = None
    when: Literal["charge", "discharge", "rest"] | None = None


@dataclass(frozen=True, slots=True)
class CurrentSetpoint:
    """How a charging current is commanded: 0 or ``min_ma`` .. ``max_ma`` in steps of ``step_ma`` (rounded towards 0).

    ``writes``: with ``when: charge`` and ``when: rest`` where a pause is told in other registers than a current.
    ``pause``: "zero" = writing 0 pauses and keeps the session; ``pause_ma`` is written instead where 0 would end it: a
    value too small for any car, which reads back as 0. ``readback``: the register that says what was taken;
    ``echo`` = it repeats the written value, ``applied`` = it is the limit in force, which may be lower than asked.
    ``readback_factor``: what the register shows for 1 A (621 W at 3 x 207 V). ``paused_when``: while all of these hold
    the device gives nothing, whatever the read-back register shows.
    """

    __pydantic_config__ = _STRICT
    writes: tuple[Write, ...]
    readback: str
    readback_kind: Literal["echo", "applied"] = "echo"
    step_ma: int = 1000
    min_ma: int = 6000
    max_ma: int = 80_000
    pause: Literal["zero"] = "zero"
    pause_ma: int = 0
    readback_factor: float = 1.0
    paused_when: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class PowerSetpoint:
    """How power is commanded.

    ``kind`` "exchange": charging positive, discharging negative; "export_limit": the most it may feed in, 0 or
    positive. ``percent_of`` names the register (W) the written percentage refers to. ``revert`` names the register
    that takes the time-out after which the device forgets the setpoint. The role ``setpoint_w``, where there is one,
    says what the read-back means.
    """

    __pydantic_config__ = _STRICT
    kind: Literal["exchange", "export_limit"]
    writes: tuple[Write, ...]
    readback: str
    percent_of: str | None = None
    revert: str | None = None
    release: tuple[Write, ...] = ()


@dataclass(frozen=True, slots=True)
class SecondPath:
    """Another way to stop a charger than its setpoint: a register, the value that stops and the one that allows."""

    __pydantic_config__ = _STRICT
    register: str
    stop: int
    run: int | None = None


@dataclass(frozen=True, slots=True)
class PhaseSwitch:
    """The register that selects one- or three-phase charging.

    ``before``: written first each time (who may switch, for instance). ``readback``: the register that says what is in
    force, where it is another one; its meaning is that of the role ``phases``.
    """

    __pydantic_config__ = _STRICT
    register: str
    one: int = 1
    three: int = 3
    before: tuple[Write, ...] = ()
    readback: str | None = None


@dataclass(frozen=True, slots=True)
class Failsafe:
    """The device's own watchdog: registers to read and write its current and its time-out.

    ``timeout_kind`` "remaining": the register counts down what is left, it cannot be set over Modbus.
    ``timeout_range_s``: what the device accepts. A time-out of 0 means "off" on every make known so far: unsafe.
    ``current_factor``: what the current registers hold for 1 A (621 W at 3 x 207 V). ``active_when``: the watchdog runs
    only while these hold; otherwise nothing is proven.
    """

    __pydantic_config__ = _STRICT
    current_read: str | None = None
    current_write: str | None = None
    timeout_read: str | None = None
    timeout_write: str | None = None
    timeout_kind: Literal["configured", "remaining"] = "configured"
    timeout_range_s: tuple[int, int] = (1, 3600)
    current_factor: float = 1.0
    active_when: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Keepalive:
    """What the device's watchdog wants to see: any request, a write of the setpoint, or a life bit in a register.

    ``value``: what the life bit is; ``value_is`` "timeout": the register takes the time-out itself, in its own unit.
    ``period_s``: it is wanted at least this often, however long the time-out. ``unless``: while these hold (last
    reading) the device watches nothing and the life bit is not written.
    """

    __pydantic_config__ = _STRICT
    kind: Literal["any_request", "write", "register", "none"]
    timeout_s: float = 60.0
    register: str | None = None
    value: int = 1
    value_is: Literal["constant", "timeout"] = "constant"
    period_s: float | None = None
    unless: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What it does on its own.

    ``boot_current_a`` None: unknown, counts at nameplate. ``memory`` flash: every changed setpoint wears it, so
    equal values are not rewritten faster than ``write_interval_s``, and not at all where nothing would expire;
    "unknown" is treated like it. ``unmetered``: it measures no current; the car counts at what it was offered, or at
    what a meter of its own says.
    """

    __pydantic_config__ = _STRICT
    boot_current_a: float | None = None
    idle_current_a: float = 0.0
    release_s: float = 10.0
    memory: Literal["volatile", "flash", "unknown"] = "volatile"
    write_interval_s: float = 0.0
    direct_current: bool = False
    unmetered: bool = False
