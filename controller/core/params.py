"""Parameters of the scan. Numbers with a source are constants here; what people may change lives in ``Params``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from interfaces.domain.topology import Topology
from interfaces.domain.units import MISSING

LEASE_S: Final[float] = 2.0
"""A command may be obeyed this long after the scan that ordered it (design 4)."""
BOOT_LOST_S: Final[float] = 10.0
"""An input silent this long after start is declared lost, so that one dead device cannot hold up a site."""
GOOD_SCANS_AFTER_ERROR: Final[int] = 10
LATE_SCANS_STOP_RAISES: Final[int] = 3

SETTLE_POLL_S: Final[float] = 20.0
"""After a setpoint change an EVSE is polled fast for this long: 5 s pilot hold + 5 s car (IEC 61851-1) twice over."""
IN_MOTION_S: Final[float] = 12.0
"""A car may move its draw this long after a setpoint change: 10 s to obey and up to 2 s until a meter shows it."""
PILOT_HOLD_S: Final[float] = 5.0
"""An EVSE may show a changed limit this much later (IEC 61851-1); who plugs in after that never sees the old one."""
HOLD_S: Final[float] = 3.0
"""How long a rise of background may be put down to cars in motion; 14 s promised - 10 s to obey - 1 s to act."""
SLOW_POLL_S: Final[float] = 5.0
"""Polled slower than this: no phase learning and no lending (a car swap could pass unseen)."""

BACKGROUND_BUCKET_S: Final[float] = 5.0
BACKGROUND_BUCKETS: Final[int] = 13
"""Twelve whole buckets and the running one: a maximum over 60 to 65 s."""
BACKGROUND_WINDOW_S: Final[float] = 60.0
MEAN_S: Final[float] = 30.0
"""Time constant of the mean background: meter and assets are read up to seconds apart, which is gone in the mean."""
SEEN_DAYS: Final[int] = 14
FAMILIAR_SLOT_S: Final[float] = 60.0
FAMILIAR_SLOTS: Final[int] = 16
"""A background seen beyond doubt in the last quarter of an hour is assumed again whenever a sample allows it."""

JITTER: Final[float] = 1.1
"""A poll a tenth later than its period, and the scan that sees it, is punctual: no sample moves budgets."""
AGE_NORMAL_S: Final[float] = 2.0
AGE_LOST_S: Final[float] = 9.0
FROZEN_S: Final[float] = 10.0
FROZEN_SAMPLES: Final[int] = 3
REGAIN_S: Final[float] = 60.0

UNREACHABLE_S: Final[float] = 3.0
UNREACHABLE_POLLS: Final[float] = 3.0
TIMEOUT_GUARD_S: Final[float] = 10.0

OVERDRAW_SHARE_PERCENT: Final[int] = 10
OVERDRAW_MA: Final[int] = 1000
CREEP_MA: Final[int] = 300
"""Readings up to 0.3 A above the offer are the meter's class, not the car."""
SECOND_PATH_S: Final[float] = 7.0
"""Pause at 10 s of overdraw, second path at 17 s (design 4.2)."""
DISOBEY_HOLD_S: Final[float] = 900.0
NOT_APPLIED_S: Final[float] = 5.0
DEAF_S: Final[float] = 17.0
"""A charger that has shown a higher limit for so long while its car draws it gets the second path too."""
REFUSES_S: Final[float] = 20.0
REFUSES_MA: Final[int] = 2000
REFUSES_PERCENT: Final[int] = 25
"""A battery this far from its setpoint per conductor for so long does not follow it; inverters settle in 1 to 5 s."""
NEARLY_FULL_PERMILLE: Final[int] = 950
NEARLY_EMPTY_PERMILLE: Final[int] = 150
"""Beyond these a battery's own management tapers and keeps its reserve: that is no refusal."""

USED_MA: Final[int] = 1000
UNUSED_MA: Final[int] = 500
OTHER_WIRE_MA: Final[int] = 4000
LEARN_S: Final[float] = 60.0
OFFLINE_RESET_S: Final[float] = 600.0

LEND_GAP_MA: Final[int] = 2000
LEND_GAP_PERCENT: Final[int] = 15
LEND_AFTER_S: Final[float] = 10.0
LEND_HEADROOM_MA: Final[int] = 2000
LEND_RETURN_MA: Final[int] = 1000
LEND_RETURN_S: Final[float] = 3.0
HABIT_FALL_MA: Final[int] = 1000
HABIT_WINDOW_S: Final[float] = 15.0
SATISFIED_MA: Final[int] = 1000
SATISFIED_S: Final[float] = 300.0
OWN_CARD_S: Final[float] = 300.0
"""Plug first, card then: so long a session's RFID may still be the last driver's."""
SATISFIED_RETRY_S: Final[float] = 1800.0

RAISE_EVERY_S: Final[float] = 5.0
"""IEC 61851-1: an EVSE need not change its pilot more often than every 5 s."""
RAISE_LEAST_MA: Final[int] = 1000
ROW_RAISE_GAP_S: Final[float] = 1.0
RESTART_HEADROOM_MA: Final[int] = 2000
RESTART_FIT_S: Final[float] = 30.0
MIN_ON_S: Final[float] = 300.0
MIN_OFF_FIRST_S: Final[float] = 120.0
MIN_OFF_MOST_S: Final[float] = 1800.0
MIN_OFF_FORGET_S: Final[float] = 1800.0
QUANTUM_S: Final[float] = 900.0

PHASE_DWELL_S: Final[float] = 600.0
PHASE_OPEN_S: Final[float] = 6.0
"""Contactors open within 6 s of a pause, under load if need be (field practice after IEC 61851-1)."""
PHASE_SETTLE_S: Final[float] = 60.0
PHASE_TIMEOUT_S: Final[float] = 120.0
PHASE_TRIES: Final[int] = 2

THETA_ONE: Final[int] = 1_000_000_000
"""Protection accumulators count in 1e-9 of tripping."""
THETA_REDUCE: Final[int] = THETA_ONE // 10
THETA_PAUSE: Final[int] = 3 * THETA_ONE // 10
THETA_STOP: Final[int] = THETA_ONE // 2
THETA_RELEASE: Final[int] = THETA_ONE // 20
THETA_TAU_S: Final[int] = 600
NO_CURVE_PAUSE_S: Final[float] = 60.0

NO_LIMIT: Final[int] = 1 << 50
"""A row nobody limits, in mA or mW: far above any sum, far below overflow."""


@dataclass(frozen=True, slots=True)
class Params:
    """What one scan may use besides image and state. Changes online only at a scan boundary.

    ``follow_plans``: the site follows plans. ``ledger``: raises wait for released current; only the simulator's naive
    comparison policy switches it off. ``use_targets``: fallback uses targets and prices. ``monitor_only``: nothing is
    ever written. ``peak_mw``: the mean import of a quarter of an hour that is kept without a plan, MISSING for none.
    """

    topology: Topology
    follow_plans: bool = True
    ledger: bool = True
    use_targets: bool = True
    monitor_only: bool = False
    peak_mw: int = MISSING

    @staticmethod
    def of(topology: Topology) -> Params:
        """Defaults for a topology."""
        return Params(topology=topology)
