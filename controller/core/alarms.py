"""Active alarms of a scan: every condition a person should know, by asset or circuit."""

from __future__ import annotations

from typing import Final

import numpy as np

from controller.core.guard import Verdict
from controller.core.obedience import disobeying, not_applied, refusing, welded
from controller.core.params import LATE_SCANS_STOP_RAISES, Params
from controller.core.plausibility import reversed_meters, turned_assets
from controller.core.state import ControllerState
from interfaces.domain.command import Alarm
from interfaces.domain.image import FailsafeProof, Identity, Image, Pilot
from interfaces.domain.reasons import Reason
from interfaces.domain.units import MISSING, Bools

REBOOT_SHOWN_S: Final[float] = 600.0
NOT_RESUMING_S: Final[float] = 300.0
VOLTAGE_LOW_PERCENT: Final[int] = 85
VOLTAGE_HIGH_PERCENT: Final[int] = 115
"""EN 50160: 10 % of nominal for 95 % of a week, never beyond 15 %."""


def alarms_of(
    image: Image, state: ControllerState, verdict: Verdict, params: Params, now_s: float
) -> tuple[Alarm, ...]:
    """All of them, in a fixed order."""
    topology = params.topology
    lost = ~np.isposinf(state.ledger.lost_s) & ~image.declared_off
    background = state.background
    measured = image.meter_ma
    over = (measured != MISSING) & (measured > topology.rated_ma) & topology.metered[:, None]
    turned_round = reversed_meters(state.plausibility)
    silent = background.lost & ~background.frozen & ~turned_round & state.complete
    found = [
        *_assets(Reason.ALARM_UNREACHABLE, lost & state.complete),
        *_assets(Reason.ALARM_DISOBEYS, disobeying(state.obedience, now_s)),
        *_assets(Reason.ALARM_OVERDRAW_STOP, state.obedience.stop),
        *_assets(Reason.ALARM_NOT_APPLIED, not_applied(state.obedience, now_s)),
        *_assets(Reason.ALARM_WELDED, welded(state.obedience, image)),
        *_assets(Reason.ALARM_FAILSAFE_UNSAFE, image.failsafe_proof == int(FailsafeProof.UNSAFE)),
        *_assets(Reason.ALARM_OTHER_DEVICE, image.identity == int(Identity.OTHER)),
        *_assets(Reason.ALARM_ROTATION, turned_assets(state.plausibility)),
        *_assets(Reason.ALARM_REBOOTED, now_s - state.obedience.reboot_s < REBOOT_SHOWN_S),
        *_assets(Reason.ALARM_NOT_RESUMING, _not_resuming(image, state, now_s)),
        *_assets(Reason.ALARM_VOLTAGE, _odd_voltage(image, params)),
        *_assets(Reason.ALARM_BATTERY_REFUSES, refusing(state.obedience, now_s)),
        *_circuits(Reason.ALARM_METER_SIGN, turned_round),
        *_circuits(Reason.ALARM_METER_FROZEN, background.frozen),
        *_circuits(Reason.ALARM_METER_LOST, silent),
        *_circuits(Reason.ALARM_PROTECTION, state.protection.level > 0),
        *(Alarm(int(Reason.ALARM_OVERLOAD), circuit=c, phase=p) for c, p in np.argwhere(over).tolist()),
        *(Alarm(int(Reason.ALARM_GUARD), circuit=c) for c in sorted({c for c, _ in verdict.bad})),
    ]
    if image.late_in_a_row >= LATE_SCANS_STOP_RAISES:
        found.append(Alarm(int(Reason.ALARM_OVERRUN)))
    if not image.clock_trusted:
        found.append(Alarm(int(Reason.ALARM_CLOCK_UNTRUSTED)))
    if state.complete and state.commands is not None and state.commands.failsafe:
        found.append(Alarm(int(Reason.ALARM_SCAN_ERROR)))
    return tuple(found)


def _not_resuming(image: Image, state: ControllerState, now_s: float) -> Bools:
    """A car that charged in this session, was paused, and has ignored its new offer for 5 min; also while its minimum
    serves another car since.
    """
    waits: Bools = (image.pilot == int(Pilot.B2)) | (image.pilot == int(Pilot.B1))
    offered = np.isfinite(state.sessions.low_s)
    quiet = offered & (now_s - np.maximum(state.sessions.low_s, state.sessions.start_s) >= NOT_RESUMING_S)
    resumed = state.sessions.restarted & state.sessions.ever_drew
    return waits & resumed & (quiet | state.sessions.satisfied)


def _odd_voltage(image: Image, params: Params) -> Bools:
    nominal = params.topology.nominal_mv
    low, high = nominal * VOLTAGE_LOW_PERCENT // 100, nominal * VOLTAGE_HIGH_PERCENT // 100
    known = (image.asset_mv != MISSING) & (params.topology.wired > 0)
    return np.asarray((known & ((image.asset_mv < low) | (image.asset_mv > high))).any(axis=1), dtype=np.bool_)


def _assets(reason: Reason, where: Bools) -> list[Alarm]:
    return [Alarm(int(reason), asset=i) for i in np.flatnonzero(where).tolist()]


def _circuits(reason: Reason, where: Bools) -> list[Alarm]:
    return [Alarm(int(reason), circuit=c) for c in np.flatnonzero(where).tolist()]
