"""One registry of reasons and alarms: the code, and the sentence a person reads.

Every current below its wish has exactly one reason. The codes are stable numbers: journals and telemetry carry them.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Reason(IntEnum):
    """Why a setpoint is what it is (0-99), or which alarm is active (100-...)."""

    NONE = 0
    WISH = 1
    NO_CAR = 2
    RATED = 3
    CIRCUIT = 4
    CIRCUIT_POWER = 5
    QUEUED = 6
    QUEUED_MINIMUM = 7
    LEDGER_WAIT = 8
    RAMP = 9
    STALE_METER = 10
    NO_RAISE_YET = 11
    MIN_OFF_TIME = 12
    RESTART_MARGIN = 13
    ROTATED = 14
    SATISFIED = 15
    LENT = 16
    BOOT = 17
    FAILSAFE = 18
    UNREACHABLE = 19
    EVSE_FAULT = 20
    DISOBEYS = 21
    PROTECTION_REDUCE = 22
    PROTECTION_PAUSE = 23
    PROTECTION_STOP = 24
    OPERATOR_LIMIT = 25
    OPERATOR_STOP = 26
    FIRE = 27
    SITE_POLICY = 28
    PLAN = 29
    CHEAPER_LATER = 30
    SURPLUS_ONLY = 31
    TARGET_REACHED = 32
    PHASE_SWITCHING = 33
    N_MINUS_1 = 34
    STEP = 35
    OVERRUN = 36
    DECLARED_OFF = 37
    NOT_MANAGED = 38
    MIN_ON_TIME = 39
    EXPORT_LIMIT = 40
    OTHER_DEVICE = 41
    UNPROVEN_DEVICE = 42
    HANDOVER = 43
    ORDERED_LIMIT = 44
    ORDERED_PAUSE = 45
    OUT_OF_SERVICE = 46
    PEAK = 47

    ALARM_GUARD = 100
    ALARM_METER_LOST = 101
    ALARM_METER_FROZEN = 102
    ALARM_UNREACHABLE = 103
    ALARM_DISOBEYS = 104
    ALARM_OVERDRAW_STOP = 105
    ALARM_FAILSAFE_UNSAFE = 106
    ALARM_PROTECTION = 107
    ALARM_SCAN_ERROR = 108
    ALARM_OVERRUN = 109
    ALARM_CLOCK_STEP = 110
    ALARM_NOT_APPLIED = 111
    ALARM_WELDED = 112
    ALARM_REBOOTED = 113
    ALARM_ROTATION = 114
    ALARM_METER_SIGN = 115
    ALARM_OVERLOAD = 116
    ALARM_NOT_RESUMING = 117
    ALARM_CLOCK_UNTRUSTED = 118
    ALARM_VOLTAGE = 119
    ALARM_BATTERY_REFUSES = 120
    ALARM_OTHER_DEVICE = 121


SENTENCES: Final[dict[Reason, str]] = {
    Reason.NONE: "no limit",
    Reason.WISH: "gets all it asks for",
    Reason.NO_CAR: "no car connected",
    Reason.RATED: "at the rating of the charger, cable or car",
    Reason.CIRCUIT: "shares what circuit {circuit} has left on {phase}",
    Reason.CIRCUIT_POWER: "shares the power limit of circuit {circuit}",
    Reason.QUEUED: "waits: circuit {circuit} has no room for a minimum current on {phase}",
    Reason.QUEUED_MINIMUM: "waits: the room left is below this car's minimum current",
    Reason.LEDGER_WAIT: "waits until current given back by others on circuit {circuit} is really free",
    Reason.RAMP: "rises in steps: the last raise was less than 5 s ago",
    Reason.STALE_METER: "the meter of circuit {circuit} cannot be trusted: worst-case background assumed",
    Reason.NO_RAISE_YET: "waits for a newer sample of the meter of circuit {circuit}",
    Reason.MIN_OFF_TIME: "pauses: minimum off time after a limit pause",
    Reason.RESTART_MARGIN: "restarts when minimum + 2 A have fitted for 30 s",
    Reason.ROTATED: "pauses: its quarter of an hour was passed on to a waiting car",
    Reason.SATISFIED: "full or asleep: its minimum goes to a waiting car",
    Reason.LENT: "offer lowered to what it draws: the rest is lent to a waiting car",
    Reason.BOOT: "starting: waits for the first complete picture of the site",
    Reason.FAILSAFE: "failsafe: the controller cannot trust its inputs or itself",
    Reason.UNREACHABLE: "does not answer: its worst case is reserved",
    Reason.EVSE_FAULT: "the charger reports a fault or is out of service",
    Reason.DISOBEYS: "draws more than offered: paused",
    Reason.PROTECTION_REDUCE: "overload memory of circuit {circuit} is warm: reduced to minimum",
    Reason.PROTECTION_PAUSE: "overload memory of circuit {circuit} is hot: lowest tier paused",
    Reason.PROTECTION_STOP: "overload memory of circuit {circuit} is critical: all stopped",
    Reason.OPERATOR_LIMIT: "limited by the grid operator",
    Reason.OPERATOR_STOP: "stopped by the grid operator",
    Reason.FIRE: "stopped: fire alarm",
    Reason.SITE_POLICY: "limited by a setting of this site",
    Reason.PLAN: "follows the plan",
    Reason.CHEAPER_LATER: "waits for a cheaper hour: there is time enough",
    Reason.SURPLUS_ONLY: "charges from surplus only",
    Reason.TARGET_REACHED: "has the energy that was asked for",
    Reason.PHASE_SWITCHING: "changes the number of phases: contactor open",
    Reason.N_MINUS_1: "kept low so that circuit {circuit} holds if one car suddenly uses all phases",
    Reason.STEP: "rounded down to what the charger can set",
    Reason.OVERRUN: "the controller is late: nothing is raised",
    Reason.DECLARED_OFF: "declared without power by an installer",
    Reason.NOT_MANAGED: "only watched, never written",
    Reason.MIN_ON_TIME: "kept on: minimum on time",
    Reason.EXPORT_LIMIT: "limited by what may flow back through circuit {circuit}",
    Reason.OTHER_DEVICE: "held at failsafe: another device answers at its address than the one bound to it",
    Reason.UNPROVEN_DEVICE: "is not raised: it has not told its serial number since it connected",
    Reason.PEAK: "kept below the peak of a quarter of an hour that this site pays for",
    Reason.HANDOVER: "changes over between the plan and the site's own rules, in small steps",
    Reason.ORDERED_LIMIT: "limited by an operator's command",
    Reason.ORDERED_PAUSE: "paused by an operator's command",
    Reason.OUT_OF_SERVICE: "taken out of service by an operator's command",
    Reason.ALARM_GUARD: "the guard refused the commands for circuit {circuit}: its part of the site is at failsafe",
    Reason.ALARM_METER_LOST: "the meter of circuit {circuit} does not answer: check its supply, cable and address",
    Reason.ALARM_METER_FROZEN: "the meter of circuit {circuit} repeats one reading: restart it or check the gateway",
    Reason.ALARM_UNREACHABLE: "{asset} does not answer: check its supply, cable and address",
    Reason.ALARM_DISOBEYS: "{asset} draws more than it was offered and was paused",
    Reason.ALARM_OVERDRAW_STOP: "{asset} kept drawing after its pause: stopped by its second path, check its contactor",
    Reason.ALARM_FAILSAFE_UNSAFE: "{asset} has no safe or readable failsafe: set it on the device",
    Reason.ALARM_PROTECTION: "circuit {circuit} was overloaded long enough to warm its protection",
    Reason.ALARM_SCAN_ERROR: "a scan failed: all assets at failsafe; send the journal to the maker",
    Reason.ALARM_OVERRUN: "scans are late: other work takes this computer's time",
    Reason.ALARM_CLOCK_STEP: "the wall clock jumped: plans and tariffs are not used until it is steady",
    Reason.ALARM_NOT_APPLIED: "{asset} acknowledged a setpoint but does not apply it: paused",
    Reason.ALARM_WELDED: "{asset} draws current without a charging session: contactor welded? switch it off",
    Reason.ALARM_REBOOTED: "{asset} restarted: its limits and failsafe were written again",
    Reason.ALARM_ROTATION: "{asset} draws on another phase than configured: counted on all three, check its phase map",
    Reason.ALARM_METER_SIGN: "the meter of circuit {circuit} falls when cars charge: current transformer reversed?",
    Reason.ALARM_OVERLOAD: "circuit {circuit} carries {measured} on {phase}, more than the {rated} it is rated for",
    Reason.ALARM_NOT_RESUMING: "{asset} does not charge again after a pause: unplug, or set never_pause for this car",
    Reason.ALARM_CLOCK_UNTRUSTED: "the wall clock is not synchronised: plans and tariffs are not used",
    Reason.ALARM_VOLTAGE: "{asset} reports a voltage outside 85-115 % of nominal",
    Reason.ALARM_BATTERY_REFUSES: "{asset} does not follow its setpoint: too hot or cold, or not under remote control?",
    Reason.ALARM_OTHER_DEVICE: "another device than {asset} answers at its address: addresses swapped, or replaced?",
}


def sentence(
    reason: Reason,
    *,
    circuit: str = "?",
    phase: str = "?",
    asset: str = "?",
    measured: str = "an unknown current",
    rated: str = "current",
) -> str:
    """The sentence for people. ``measured`` and ``rated`` are currents with their unit."""
    return SENTENCES[reason].format(circuit=circuit, phase=phase, asset=asset, measured=measured, rated=rated)
