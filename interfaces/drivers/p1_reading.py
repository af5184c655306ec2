"""The digital meter's P1 port as a device: its profile, its facts, and a telegram as an entry of the readings. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from interfaces.domain.device_facts import DeviceFacts
from interfaces.domain.units import NEVER_S, SECONDS_PER_QUARTER, w_from_kw, wh_from_kwh
from interfaces.drivers.p1_currents import NO_PHASES, net_kilo, phases_of
from interfaces.drivers.p1_telegram import MONTH_PEAK, Number, Telegram
from interfaces.drivers.profile import Profile
from interfaces.drivers.readings import GOOD, NOT_AVAILABLE, PointReading, Sample
from interfaces.drivers.registers import Value

PERIOD_S: Final[Mapping[str, float]] = {"dsmr_p1": 1.0, "dsmr4_p1": 10.0}
"""Seconds between two telegrams: DSMR 5 and e-MUCS, section 5.2.2 "every second"; DSMR 4.2 every ten."""
ENERGIES: Final[Mapping[str, tuple[str, ...]]] = {
    "energy_import_wh": ("1-0:1.8.0", "1-0:1.8.1", "1-0:1.8.2"),
    "energy_export_wh": ("1-0:2.8.0", "1-0:2.8.1", "1-0:2.8.2"),
}
"""The total of all tariffs, else the sum of both."""
QUARTER_DEMAND: Final = "1-0:1.4.0"
"""Belgium: import of the running quarter of an hour so far, divided by the whole of its 15 min (the current average
value of a demand register, IEC 62056-6-2 class 5): it grows from 0 to the quarter's mean.
"""
ROLES: Final = (
    *(f"{name}_l{n}_{unit}" for n in (1, 2, 3) for name, unit in (("current", "a"), ("voltage", "v"), ("power", "w"))),
    "power_w", "energy_import_wh", "energy_export_wh", "demand_quarter_w", "quarter_left_s", "demand_month_peak_w",
    "serial",
)  # fmt: skip
SECONDS_PER_MINUTE: Final = 60
LATE: Final = 1.5
"""Telegrams this many times slower than the site file says are another kind of meter."""
FEWEST_GAPS: Final = 3
"""A lost telegram or two do not make a slow meter."""


def _profile(name: str, models: tuple[str, ...], aliases: tuple[str, ...]) -> Profile:
    return Profile(
        schema=1,
        id=name,
        kind="meter",
        vendor="DSMR / Fluvius / Luxembourg P1",
        models=models,
        aliases=aliases,
        registers=(),
        polls=(),
        roles=dict.fromkeys(ROLES, "telegram"),
        confidence="one_source",
        sources=("DSMR P1 companion standard 4.2.2 and 5.0.2", "Fluvius e-MUCS P1 1.7", "Luxembourg P1 1.1.3"),
        current_sign="signed",
        setup_on_device=(
            "Ask the grid operator to open the customer port where it is closed (Belgium: on its web page).",
            "Use a P1 cable or bridge that inverts the line; the port of DSMR 4 gives no power to the cable.",
            "A bridge passes the telegrams on as they are: raw TCP, no MQTT, no conversion.",
        ),
    )


P1_PROFILES: Final[Mapping[str, Profile]] = {
    profile.id: profile
    for profile in (
        _profile("dsmr_p1", ("DSMR 5.0", "ESMR 5", "Fluvius e-MUCS", "Luxembourg P1"), ("dsmr5_p1", "fluvius_p1")),
        _profile("dsmr4_p1", ("DSMR 4",), ()),
    )
}
"""Meters with a P1 port by profile id. They have no registers: a telegram says everything."""


def find_p1(name: str) -> Profile | None:
    """The P1 profile with that id or alias."""
    return next((p for p in P1_PROFILES.values() if name == p.id or name in p.aliases), None)


def p1_facts() -> dict[str, DeviceFacts]:
    """Facts of the P1 profiles, by id and by alias."""
    found: dict[str, DeviceFacts] = {}
    for profile in P1_PROFILES.values():
        facts = DeviceFacts(
            profile=profile.id,
            kind="meter",
            keepalive="none",
            poll_s=PERIOD_S[profile.id],
            settle_poll_s=PERIOD_S[profile.id],
            transports=("p1",),
            cycle_requests=0,
            response_s=0.0,
            turnaround_s=0.0,
            unit_ids=(0,),
        )
        found |= dict.fromkeys((profile.id, *profile.aliases), facts)
    return found


def values_of(telegram: Telegram) -> tuple[dict[str, Value | None], tuple[str, ...]]:
    """Roles of a telegram in their units, None where it does not tell, and notes on how they were come by."""
    phases = phases_of(telegram)
    values: dict[str, Value | None] = {}
    for n, phase in enumerate(phases, 1):
        values[f"current_l{n}_a"] = None if phase.current_a is None else round(phase.current_a, 3)
        values[f"voltage_l{n}_v"] = phase.voltage_v
        values[f"power_l{n}_w"] = phase.power_w
        if phase.reactive_var is not None:
            values[f"reactive_l{n}_var"] = phase.reactive_var
    numbers = telegram.numbers
    values["power_w"] = net_kilo(numbers, "1-0:1.7.0", "1-0:2.7.0")
    for role, codes in ENERGIES.items():
        values[role] = _energy_wh(numbers, codes)
    values |= dict(_demands(telegram))
    values["serial"] = telegram.texts.get("0-0:96.1.1")
    notes = dict.fromkeys(note for phase in phases for note in phase.notes)
    return values, (*notes, *telegram.problems)


def accepted(old: PointReading, telegram: Telegram, at_s: float, problem: str = "") -> PointReading:
    """The entry after a telegram whose first byte arrived at ``at_s``; ``problem``: what is wrong all the same."""
    values, notes = values_of(telegram)
    return replace(
        old,
        roles=dict(_samples(old.roles, values, at_s)),
        reply_s=at_s,
        sample_s=at_s,
        sample_no=old.sample_no + 1,
        digest=telegram.digest,
        connected=True,
        problem=NO_PHASES if NO_PHASES in notes else problem,
        notes=notes,
    )


def too_slow(arrivals_s: Sequence[float], period_s: float) -> str:
    """What people are told whose site file promises faster telegrams than usually arrive; empty while that is well."""
    gaps_s = sorted(late - early for early, late in pairwise(arrivals_s))
    if len(gaps_s) < FEWEST_GAPS or gaps_s[len(gaps_s) // 2] <= LATE * period_s:
        return ""
    return (
        f"telegrams come every {gaps_s[len(gaps_s) // 2]:.0f} s, the site file says {period_s:g} s: a meter that sends "
        f"every 10 s needs the profile dsmr4_p1"
    )


def refused(old: PointReading, problem: str, *, connected: bool = True) -> PointReading:
    """The entry after something that was no telegram: values keep their time, none is good any more."""
    roles = {role: replace(sample, quality=problem) for role, sample in old.roles.items()}
    return replace(old, roles=roles, problem=problem, connected=connected)


def _demands(telegram: Telegram) -> Iterator[tuple[str, Value | None]]:
    """Belgium: the running quarter of an hour with the seconds left of it by the meter's own clock, and this month's
    highest, None where the meter still shows an earlier month's or does not say when it was.
    """
    now = _moment(telegram.stamp)
    if QUARTER_DEMAND in telegram.numbers and now is not None:
        gone_s = (now.minute * SECONDS_PER_MINUTE + now.second) % SECONDS_PER_QUARTER
        yield "demand_quarter_w", w_from_kw(telegram.numbers[QUARTER_DEMAND].value)
        yield "quarter_left_s", SECONDS_PER_QUARTER - gone_s
    if MONTH_PEAK in telegram.numbers:
        then = _moment(telegram.peak_stamp)
        # A quarter is named by its end: the last one of a month ends when the next month begins.
        same = now is not None and then is not None and (then - timedelta(seconds=1)).month == now.month
        yield "demand_month_peak_w", w_from_kw(telegram.numbers[MONTH_PEAK].value) if same else None


def _moment(stamp: str | None) -> datetime | None:
    """A time stamp in the meter's local time; whole hours apart from UTC, so that quarters are those of every clock."""
    try:
        return None if stamp is None else datetime.strptime(stamp[:-1], "%y%m%d%H%M%S")  # noqa: DTZ007  local
    except ValueError:
        return None


def _energy_wh(numbers: Mapping[str, Number], codes: Sequence[str]) -> float | None:
    total, *tariffs = (numbers.get(code) for code in codes)
    if total is not None:
        return wh_from_kwh(total.value)
    known = [number.value for number in tariffs if number is not None]
    return round(wh_from_kwh(sum(known)), 3) if len(known) == len(tariffs) else None


def _samples(
    old: Mapping[str, Sample], values: Mapping[str, Value | None], at_s: float
) -> Iterator[tuple[str, Sample]]:
    for role in {**old, **values}:
        before, value = old.get(role, Sample(None, NEVER_S, NOT_AVAILABLE, 0)), values.get(role)
        if value is None:
            yield role, Sample(None, at_s, NOT_AVAILABLE, before.count)
        else:
            yield role, Sample(value, at_s, GOOD, before.count + 1)
