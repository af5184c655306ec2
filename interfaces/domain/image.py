"""The process image: everything one scan may know, frozen at one instant.

N asset columns and C circuit lines in the order of ``Topology``. ``MISSING`` marks an absent integer; times are
monotonic seconds, ``NEVER_S`` where nothing ever came. Currents are in the grid's phase frame (the shell has turned
each device's conductors onto the grid phases), positive when drawn from the grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from interfaces.domain.orders import Orders
from interfaces.domain.plan import Plan
from interfaces.domain.targets import Targets
from interfaces.domain.units import MISSING, Bools, Floats, Ints


class Pilot(IntEnum):
    """Control pilot state, IEC 61851-1 table A.3. A charger that cannot tell B1 from B2 reports B2 (C likewise)."""

    UNKNOWN = -1
    A = 0
    B1 = 1
    B2 = 2
    C1 = 3
    C2 = 4
    D1 = 5
    D2 = 6
    E = 7
    F = 8


class FailsafeProof(IntEnum):
    """What the connection task found when it read the failsafe registers."""

    UNREADABLE = 0
    VERIFIED = 1
    UNSAFE = -1


class Fire(IntEnum):
    """The fire panel's input; UNKNOWN acts as active but does not latch."""

    UNKNOWN = -1
    INACTIVE = 0
    ACTIVE = 1


class Identity(IntEnum):
    """Whether the device that answers is the one bound to its place. ``UNPROVEN``: not told since it connected."""

    KNOWN = 0
    UNPROVEN = 1
    OTHER = 2


@dataclass(frozen=True, slots=True)
class Image:
    """Inputs of one scan.

    ``meter_ma`` (C, 3) mA signed by active power, ``meter_mw`` (C,) net active power, ``meter_sample_s`` (C,) time on
    the wire of the newest valid sample, ``meter_sample_no`` (C,) counter of samples, ``meter_digest`` (C,) of the whole
    block (frozen-meter test). ``asset_ma`` (N, 3), ``asset_mv`` (N, 3) phase voltages, ``asset_sample_s`` (N,) time of
    that measurement, ``reply_s`` (N,) time of the last valid reply of any kind. ``offered_ma`` (N,) the setpoint or
    limit read back from the device and ``readback_s`` (N,) when. ``pilot``, ``failsafe_proof``, ``phases_now``
    (1 or 3, MISSING unknown) per asset; ``reboots`` counts device restarts seen; ``energy_wh`` the device's counter;
    ``soc_permille`` vehicle or battery; ``identity`` (N,) of the device; ``tag`` the RFID of the session.

    From the grid meter's own registers of a capacity tariff, of the time of its sample: ``quarter_mw`` what the running
    quarter of an hour has imported so far over its whole 15 min, ``quarter_left_ms`` what is left of it by the meter's
    clock, ``month_peak_mw`` the highest quarter of this month.
    """

    meter_ma: Ints
    meter_mw: Ints
    meter_sample_s: Floats
    meter_sample_no: Ints
    meter_digest: Ints
    asset_ma: Ints
    asset_mv: Ints
    asset_sample_s: Floats
    reply_s: Floats
    offered_ma: Ints
    readback_s: Floats
    pilot: Ints
    failsafe_proof: Ints
    phases_now: Ints
    reboots: Ints
    energy_wh: Ints
    soc_permille: Ints
    identity: Ints
    declared_off: Bools
    tag: tuple[str | None, ...]
    operator_limit_mw: int
    operator_stop: bool
    fire: int
    late_in_a_row: int
    clock_trusted: bool
    plan: Plan | None
    targets: Targets | None
    quarter_mw: int = MISSING
    quarter_left_ms: int = MISSING
    month_peak_mw: int = MISSING
    orders: Orders | None = None
