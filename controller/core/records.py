"""The parts of the controller's memory: one frozen record per module of the core.

N assets, C circuits, four rows per circuit (amps L1 L2 L3, net power). Times are monotonic seconds, ``NEVER_S`` unset.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from interfaces.domain.units import Bools, Floats, Ints

GUARD_SLOTS: Final[int] = 11
"""Ten whole slots of the guard's command history and the running one."""
ORDERED_SOLAR: Final[int] = 1
ORDERED_NOW: Final[int] = 2
PENDING: Final[int] = 4
"""Older, higher offers kept apart per asset; one more is merged with the oldest, on the safe side."""


@dataclass(frozen=True, slots=True)
class Sessions:
    """Plug-in to plug-out, per asset. ``energy_mws`` (mW s) is integrated from measured power; ``start_s`` last start
    of charging; ``served_s`` last scan with an offer of at least the minimum; ``low_s`` since when it draws below 1 A
    although offered; ``ever_drew`` it charged in this session, ``restarted`` it was paused while it
    drew and has not drawn since; ``known_s`` when its pilot was first read
    (inf: not yet): a car found then has not just arrived. ``tag`` the RFID of the present session; ``carried`` its
    numbers come from the retained memory and the pilot has not yet told whether that car is still there.
    """

    plugged: Bools
    plugged_s: Floats
    start_s: Floats
    served_s: Floats
    low_s: Floats
    satisfied: Bools
    energy_mws: Ints
    reading_s: Floats
    ever_drew: Bools
    restarted: Bools
    known_s: Floats
    tag: tuple[str | None, ...]
    carried: Bools


@dataclass(frozen=True, slots=True)
class Ledger:
    """Offers that may still be believed. ``offer_ma`` (N,) last command; ``pending_ma`` (N, K) older offers with
    ``cut_s`` (N, K) when they were revoked and ``release_s`` (N, K) when they cease (inf until read back);
    ``change_s`` last setpoint change; ``raise_s`` last raise; ``row_raise_s`` (C,) last raise below that circuit;
    ``lost_s`` since when unreachable (inf: reachable); ``heard`` it answered since our start; ``creep_permille`` how
    much more than offered this session's car draws; ``exposure_ma`` (N,) the result.
    """

    offer_ma: Ints
    pending_ma: Ints
    cut_s: Floats
    release_s: Floats
    change_s: Floats
    raise_s: Floats
    row_raise_s: Floats
    lost_s: Floats
    heard: Bools
    reboots: Ints
    exposure_ma: Ints
    creep_permille: Ints


@dataclass(frozen=True, slots=True)
class Background:
    """Uncontrolled load per circuit row (C, 4), signed. ``now`` last accepted estimate, ``buckets`` (B, C, 4) maxima of
    5 s each, ``doubt_s`` (C, 4) since when a rise is put down to cars in motion, ``seen_max`` (D, C, 3) daily maxima;
    ``previous_ma`` (N, 4) the reading before the newest; ``mean_mw`` (C,) net power as it most likely is, smoothed, for
    what costs money and no safety; the rest serves the meter checks.
    """

    now: Ints
    buckets: Ints
    bucket_no: int
    doubt_s: Floats
    waiting_ma: Ints
    familiar: Ints
    familiar_no: int
    first_s: Floats
    sample_s: Floats
    sample_no: Ints
    digest: Ints
    same_s: Floats
    same_no: Ints
    bad_s: Floats
    lost: Bools
    frozen: Bools
    seen_max: Ints
    day: int
    newest_ma: Ints
    newest_s: Floats
    previous_ma: Ints
    mean_mw: Ints
    estimate: Ints


@dataclass(frozen=True, slots=True)
class Plausibility:
    """Meter against cars: ``anchor_meter_ma`` (C, 3) and what all assets below drew, ``anchor_sum_ma`` (C, 3), at the
    last quiet sample of ``anchor_s`` (C,); ``anchor_draw_ma`` (N, 3) at that of the nearest meter; contradictions in a
    row: ``sign_strikes`` (C, 3) and ``turn_strikes`` (N,).
    """

    anchor_meter_ma: Ints
    anchor_sum_ma: Ints
    anchor_draw_ma: Ints
    anchor_s: Floats
    sign_strikes: Ints
    turn_strikes: Ints


@dataclass(frozen=True, slots=True)
class Learning:
    """Phases a car really uses. ``use`` (N, 3) conductors counted per grid phase; ``unused_s`` (N, 3) since when below
    0.5 A while another wire carries more than 4 A; ``relearned_s`` last time an unused wire carried current.
    """

    use: Ints
    unused_s: Floats
    relearned_s: Floats


@dataclass(frozen=True, slots=True)
class Lending:
    """Unused current lent to others. ``ceiling_ma`` (N,) lowered offer (NO_LIMIT: not lent), ``gap_s`` since when the
    gap is large, ``cut_s``/``cut_draw_ma`` when and at what draw the offer was lowered, ``follow_s`` since when the
    draw is near the offer, ``habit`` the gap is this car's nature.
    """

    ceiling_ma: Ints
    gap_s: Floats
    cut_s: Floats
    cut_draw_ma: Ints
    follow_s: Floats
    draw_before_ma: Ints
    habit: Bools


@dataclass(frozen=True, slots=True)
class Obedience:
    """Cars and chargers that do not do as told. ``over_no`` samples above the offer in a row, ``over_s`` since when,
    ``paused_until_s``, ``stop`` second path, ``wrong_s`` since when the charger shows more than commanded,
    ``seen_s`` the reading judged last, ``reboot_s`` when the device last restarted, ``reboots`` its restarts seen,
    ``refuses_s`` since when a battery's power is far from its setpoint.
    """

    over_no: Ints
    over_s: Floats
    paused_until_s: Floats
    stop: Bools
    wrong_s: Floats
    seen_s: Floats
    reboot_s: Floats
    reboots: Ints
    refuses_s: Floats


@dataclass(frozen=True, slots=True)
class ProtectionState:
    """Inverse-time accumulators per circuit and phase, 1e-9 of tripping; ``level`` (C,) shed level 0..3;
    ``over_s`` (C,) last time above 1.13 x rated where no curve is known.
    """

    theta: Ints
    level: Ints
    over_s: Floats


@dataclass(frozen=True, slots=True)
class Timers:
    """Starts and pauses. ``fit_s`` since when minimum + 2 A fit (inf: not), ``off_until_s``, ``limit_pauses`` the
    doubling, ``limit_paused`` the present pause is a limit pause.
    """

    fit_s: Floats
    off_until_s: Floats
    limit_pauses: Ints
    limit_paused: Bools


@dataclass(frozen=True, slots=True)
class Switching:
    """Phase switching: ``mode`` phases in use (1 or 3), ``goal`` wanted, ``step`` 0 idle 1 pausing 2 switching
    3 settling, ``step_s`` since when, ``dwell_s`` last completed switch, ``failures`` this session, ``want_s`` since
    when the other mode would be better.
    """

    mode: Ints
    goal: Ints
    step: Ints
    step_s: Floats
    dwell_s: Floats
    failures: Ints
    want_s: Floats


@dataclass(frozen=True, slots=True)
class Mission:
    """Plan and fallback. ``source`` what feeds the wishes ("plan" or "fallback"), ``refused`` why the plan does not;
    ``sequence`` newest plan followed; per asset the fallback's decisions of ``decided_s``: ``charge_now``, ``rank``
    (urgency class), ``surplus_ma`` (what surplus alone allows), ``done`` (target reached); ``slot`` price step of the
    decision, ``targets_sequence`` the message it was made from and ``targets_refused`` why that is not used;
    ``ordered`` (N,) what a person has ordered of it (``ORDERED_SOLAR``, ``ORDERED_NOW``, else 0).
    """

    source: str
    refused: str
    sequence: int
    charge_now: Bools
    rank: Ints
    surplus_ma: Ints
    done: Bools
    decided_s: float
    slot: int
    targets_sequence: int
    targets_refused: str
    ordered: Ints


@dataclass(frozen=True, slots=True)
class Handover:
    """Changing over between plan and fallback. ``since_s`` when the present source took over; ``usable_s`` since when
    the plan at hand has been usable without a gap (inf: it is not); ``losses`` how often in a row it had to be given
    up. ``lease_sequence``/``lease_epoch_s`` name the lease that ends at the monotonic ``lease_until_s``. ``sliding``
    (N,) assets on their way from what was applied at the switch, ``turn_s`` (N,) when each last moved; ``held`` (N,)
    cars that ran when the plan took over and keep their minimum until ``held_until_epoch_s``.
    """

    since_s: float
    usable_s: float
    losses: int
    lease_sequence: int
    lease_epoch_s: float
    lease_until_s: float
    sliding: Bools
    turn_s: Floats
    held: Bools
    held_until_epoch_s: float


@dataclass(frozen=True, slots=True)
class GuardMemory:
    """The guard's own, simpler memory: ``told_ma`` (N,) last command, ``history_ma`` (B, N) the highest command in each
    of the last time slots, newest first, ``slot`` the number of the newest.
    """

    told_ma: Ints
    history_ma: Ints
    slot: int
