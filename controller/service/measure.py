"""One point's reading -> the numbers a scan uses: pure, total (any reading gives rows or None), in mA, mV and mW.

A reading counts only when it is complete and good. What is not is None, and the caller keeps the last good row with its
old time, so that it ages: nothing here turns a missing value into a number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from interfaces.domain.image import FailsafeProof, Pilot
from interfaces.domain.units import MILLI, MISSING, NEVER_S, SECONDS_PER_QUARTER, ma_from_a, mv_from_v, mw_from_w
from interfaces.drivers.readings import GOOD, PointReading, Sample

CurrentSign = Literal["signed", "by_power", "unsigned"]

MAX_CURRENT_A: Final = 10_000.0
MAX_POWER_W: Final = 20e6
MAX_ENERGY_WH: Final = 1e12
MIN_VOLTAGE_V: Final = 100.0
"""Below this a phase is dead or the register is: no power is computed with it (nominal is used instead)."""
MAX_VOLTAGE_V: Final = 500.0
TOGETHER_S: Final = 2.0
"""Power, reactive power and voltage belong to a current when they were read at most this far from it."""
PERMILLE_PER_PERCENT: Final = 10
TAG_LENGTH: Final = 64

PILOTS: Final = {pilot.name: int(pilot) for pilot in Pilot if pilot is not Pilot.UNKNOWN}
PROOFS: Final = {
    "verified": int(FailsafeProof.VERIFIED),
    "unverified": int(FailsafeProof.UNREADABLE),
    "unsafe": int(FailsafeProof.UNSAFE),
}


@dataclass(frozen=True, slots=True)
class MeterRow:
    """A complete sample of a meter: signed mA per phase, net mW (MISSING where unknown), when, which, checksum."""

    ma: tuple[int, int, int]
    mw: int
    sample_s: float
    sample_no: int
    digest: int


@dataclass(frozen=True, slots=True)
class DemandRow:
    """A capacity tariff's registers in one sample: running quarter (mW over all of it), ms left, month's peak."""

    quarter_mw: int
    left_ms: int
    peak_mw: int


@dataclass(frozen=True, slots=True)
class AssetRow:
    """A complete measurement of an asset: mA and mV per grid phase, and when."""

    ma: tuple[int, int, int]
    mv: tuple[int, int, int]
    sample_s: float


def meter_row(reading: PointReading, sign: CurrentSign, phases: int) -> MeterRow | None:
    """The meter's row, or None when one of its first ``phases`` currents is missing or not believable.

    Phases the site does not have are 0.
    """
    currents = [good(reading, f"current_l{n}_a", MAX_CURRENT_A) for n in range(1, phases + 1)]
    known = [sample for sample in currents if sample is not None]
    if len(known) < phases:
        return None
    values = [_phase_a(reading, n, _number(sample), sample.sampled_at_s, sign) for n, sample in enumerate(known, 1)]
    a, b, c = [ma_from_a(value) for value in values] + [0] * (3 - phases)
    power = good(reading, "power_w", MAX_POWER_W)
    return MeterRow(
        ma=(a, b, c),
        mw=mw_from_w(_number(power)) if power is not None else _sum_mw(reading, phases),
        sample_s=min(sample.sampled_at_s for sample in known),
        sample_no=reading.sample_no,
        digest=reading.digest,
    )


def demand_row(reading: PointReading) -> DemandRow:
    """What the meter counts for a capacity tariff; MISSING where it does not, or not in its newest sample."""
    at_s = reading.sample_s
    quarter_w = _near(reading, "demand_quarter_w", MAX_POWER_W, at_s)
    left_s = _near(reading, "quarter_left_s", SECONDS_PER_QUARTER, at_s)
    peak_w = _near(reading, "demand_month_peak_w", MAX_POWER_W, at_s)
    if quarter_w is None or left_s is None:
        quarter_mw, left_ms = MISSING, MISSING
    else:
        quarter_mw, left_ms = mw_from_w(quarter_w), round(left_s * MILLI)
    return DemandRow(quarter_mw, left_ms, MISSING if peak_w is None else mw_from_w(peak_w))


def signed_current_a(current_a: float, power_w: float, reactive_var: float | None, voltage_v: float) -> float:
    """The phase current of a meter that gives magnitudes, signed by its phase's active power.

    On import the magnitude, which is sqrt(P^2 + Q^2) / U and harmonics besides. On export the active part is credit and
    the reactive part is load: (Q - P) / U. Any asset current a that fits beside this value, a <= limit - value, leaves
    sqrt((a U - P)^2 + Q^2) / U within the limit, or below what it was without the asset. Without Q it is taken from
    U x I, which counts harmonics as reactive.
    """
    active_a = power_w / voltage_v
    if active_a >= 0:
        return max(current_a, math.hypot(active_a, (reactive_var or 0.0) / voltage_v))
    if reactive_var is None:
        reactive_a = math.sqrt(max(0.0, current_a * current_a - active_a * active_a))
    else:
        reactive_a = abs(reactive_var) / voltage_v
    return reactive_a + active_a


def asset_row(reading: PointReading, roles: frozenset[str], phases: Sequence[int], nominal_mv: int) -> AssetRow | None:
    """The asset's row, turned onto the grid phases its conductors sit on; None when a current is missing.

    ``roles``: what its profile can tell. Without current registers the power is spread over the conductors. A conductor
    that is not measured counts 0 A: what cannot be proven to be the asset's own stays background.
    """
    mv = _voltages(reading, phases)
    wanted = [k for k in range(len(phases)) if f"current_l{k + 1}_a" in roles]
    if not wanted:
        return _row_of_power(reading, phases, mv, nominal_mv)
    ma = [0, 0, 0]
    times = []
    for k in wanted:
        sample = good(reading, f"current_l{k + 1}_a", MAX_CURRENT_A)
        if sample is None:
            return None
        ma[phases[k]] += ma_from_a(_number(sample))
        times.append(sample.sampled_at_s)
    return AssetRow((ma[0], ma[1], ma[2]), mv, min(times))


def offered_ma(reading: PointReading, conductors: int, nominal_mv: int, *, by_power: bool) -> int:
    """What the device says it was told, in mA per conductor (rounded away from 0), or MISSING."""
    milli = reading.setpoint.readback_milli
    if milli is None or (milli < 0 and not by_power):
        return MISSING
    if by_power:
        millivolts = max(conductors, 1) * nominal_mv
        size = -(-abs(milli) * MILLI // millivolts)
        milli = size if milli >= 0 else -size
    return milli if abs(milli) <= ma_from_a(MAX_CURRENT_A) else MISSING


def pilot_of(reading: PointReading) -> int:
    """Code of the pilot state the device reports."""
    return int(Pilot.UNKNOWN) if reading.state is None else PILOTS.get(reading.state.pilot, int(Pilot.UNKNOWN))


def phases_of(reading: PointReading) -> int:
    """1 or 3 phases in use, MISSING where the device does not say."""
    value = reading.value("phases")
    return int(value) if value in (1.0, 3.0) else MISSING


def energy_wh_of(reading: PointReading) -> int:
    """The device's energy counter, MISSING where there is none."""
    for role in ("energy_wh", "energy_import_wh"):
        value = reading.value(role)
        if value is not None and 0.0 <= value <= MAX_ENERGY_WH:
            return round(value)
    return MISSING


def soc_permille_of(reading: PointReading) -> int:
    """State of charge of vehicle or battery, MISSING where unknown."""
    value = reading.value("soc_pct")
    return MISSING if value is None or not 0.0 <= value <= 100.0 else round(value * PERMILLE_PER_PERCENT)


def tag_of(reading: PointReading) -> str | None:
    """The RFID of the session as text."""
    sample = reading.roles.get("rfid")
    text = sample.value.strip()[:TAG_LENGTH] if sample is not None and isinstance(sample.value, str) else ""
    return text or None


def good(reading: PointReading, role: str, most: float) -> Sample | None:
    """The sample of a role when it is good, a finite number and no larger than anything real."""
    sample = reading.roles.get(role)
    if sample is None or sample.quality != GOOD or sample.sampled_at_s == NEVER_S:
        return None
    value = sample.value
    if not isinstance(value, float | int) or isinstance(value, bool) or not abs(value) <= most:
        return None
    return sample


def _number(sample: Sample) -> float:
    """The value of a sample that ``good`` let through."""
    return float(sample.value or 0.0)


def _near(reading: PointReading, role: str, most: float, at_s: float) -> float | None:
    sample = good(reading, role, most)
    return None if sample is None or abs(sample.sampled_at_s - at_s) > TOGETHER_S else _number(sample)


def _phase_a(reading: PointReading, phase: int, current_a: float, at_s: float, sign: CurrentSign) -> float:
    """Signed current of one phase; the magnitude where its direction cannot be told (export then looks like import)."""
    if sign == "signed":
        return current_a
    magnitude_a = abs(current_a)
    power_w = _near(reading, f"power_l{phase}_w", MAX_POWER_W, at_s)
    voltage_v = _near(reading, f"voltage_l{phase}_v", MAX_VOLTAGE_V, at_s)
    if power_w is None or voltage_v is None or voltage_v < MIN_VOLTAGE_V:
        return magnitude_a
    reactive_var = _near(reading, f"reactive_l{phase}_var", MAX_POWER_W, at_s)
    return signed_current_a(magnitude_a, power_w, reactive_var, voltage_v)


def _sum_mw(reading: PointReading, phases: int) -> int:
    parts = [good(reading, f"power_l{n}_w", MAX_POWER_W) for n in range(1, phases + 1)]
    known = [mw_from_w(_number(part)) for part in parts if part is not None]
    return sum(known) if len(known) == phases else MISSING


def _voltages(reading: PointReading, phases: Sequence[int]) -> tuple[int, int, int]:
    mv = [MISSING, MISSING, MISSING]
    for k, phase in enumerate(phases):
        sample = good(reading, f"voltage_l{k + 1}_v", MAX_VOLTAGE_V)
        if sample is not None and _number(sample) >= MIN_VOLTAGE_V:
            mv[phase] = mv_from_v(_number(sample))
    return mv[0], mv[1], mv[2]


def _row_of_power(
    reading: PointReading, phases: Sequence[int], mv: tuple[int, int, int], nominal_mv: int
) -> AssetRow | None:
    power = good(reading, "power_w", MAX_POWER_W)
    if power is None or not phases:
        return None
    millivolts = sum(nominal_mv if mv[phase] == MISSING else mv[phase] for phase in phases)
    each_ma = round(mw_from_w(_number(power)) * MILLI / millivolts)
    ma = [0, 0, 0]
    for phase in phases:
        ma[phase] += each_ma
    return AssetRow((ma[0], ma[1], ma[2]), mv, power.sampled_at_s)
