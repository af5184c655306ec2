"""From what people want to what the plan must give: which wish counts, until when, and how many kWh that is.

Precedence, first one that is there: the session's own target (the driver's page, the portal), the vehicle's, the weekly
pattern of the profile behind the RFID tag, the imported schedule, what its past says, the site's default. Who comes
later adds nothing: a target is taken whole, never mixed. No wish is refused: what is beyond reason is clamped, and a
note says so.

kWh are asked of the EVSE's meter. km and % are range and charge *at departure* where the state of charge is known, from
whatever source; where it is not they are range and charge *to add since plug-in*.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias
from zoneinfo import ZoneInfo

from interfaces.domain.units import MILLI, SECONDS_PER_DAY, SECONDS_PER_HOUR
from optimizer.core.problem import Problem
from optimizer.core.problem_state import Profile, ScheduleEntry, Session, SocSource, Target, Unit, Vehicle
from optimizer.core.problem_types import DAYS

TargetSource: TypeAlias = Literal["session", "vehicle", "profile", "schedule", "past", "site"]

SOC_UNCERTAINTY_PCT: Final[dict[SocSource, float]] = {"charger": 1.0, "entered": 5.0, "last_known": 15.0, "none": 0.0}
"""A charger passes on what the car shows; people read a gauge; what was driven since is an estimate."""
OVERDUE_H: Final[float] = 1.0
"""A car that should have left and still stands there is planned as if it left within the hour, and again next time."""
MET_KWH: Final[float] = 0.001
"""Who lacks no more than a watt-hour has it all."""
MOST_KWH: Final[float] = 1000.0
"""A long-haul lorry's battery; more cannot be meant."""
FULL_PCT: Final[float] = 100.0
UNIT_NAMES: Final[dict[Unit, str]] = {"km": "km", "pct": "%", "kwh": "kWh"}


@dataclass(frozen=True, slots=True)
class Need:
    """What one session is to get. Energy in kWh at the EVSE's AC meter, from now on.

    ``uncertainty_kwh``: plus or minus, as far as it comes from the state of charge. ``soc_pct``: now, None where no
    source tells. ``kwh_per_pct``, ``kwh_per_km``: at the meter, to tell a shortfall in the words of the wish.
    ``guaranteed_kwh``: of ``energy_kwh``, what comes first. ``beyond_kwh``: of a car that has all that was asked for,
    what it would probably take on top, promised to nobody; ``energy_kwh`` is 0 then. ``asked``: the wish as it was
    said.
    """

    evse: str
    source: TargetSource
    asked: str
    unit: Unit
    energy_kwh: float
    guaranteed_kwh: float
    beyond_kwh: float
    departure_epoch_s: float
    deferrable: bool
    priority: int
    soc_source: SocSource
    soc_pct: float | None
    soc_uncertainty_pct: float
    uncertainty_kwh: float
    kwh_per_pct: float
    kwh_per_km: float
    vehicle: Vehicle
    vehicle_known: bool
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """The target that counts, where it came from and when it ends."""

    target: Target
    source: TargetSource
    departure_epoch_s: float | None


def needs_of(problem: Problem) -> tuple[Need, ...]:
    """The need of every session, in their order; those of announced cars behind them."""
    doubles = doubled_tags(problem)
    here = (need_of(problem, session, session.evse in doubles) for session in problem.state.sessions)
    return (*here, *(need_of(problem, session) for session in problem.state.announced))


def doubled_tags(problem: Problem) -> frozenset[str]:
    """EVSEs whose tag is in use at another EVSE since earlier: a copied card, or one that let in a second car."""
    first: dict[str, str] = {}
    later: set[str] = set()
    for session in sorted(problem.state.sessions, key=lambda s: (s.plugged_in_epoch_s, s.evse)):
        if session.tag is None:
            continue
        if session.tag in first:
            later.add(session.evse)
        first.setdefault(session.tag, session.evse)
    return frozenset(later)


def need_of(problem: Problem, session: Session, doubled: bool = False) -> Need:
    """What this session is to get, with a note for everything that was assumed or clamped.

    ``doubled``: its tag is in use elsewhere since earlier, so that the profile behind it does not count here.
    """
    notes: list[str] = []
    profile = _profile(problem, session, doubled, notes)
    vehicle, known = _vehicle(problem, session, profile)
    chosen = choose(problem, session, profile, vehicle if known else None)
    departure_epoch_s, overdue = _departure(problem, session, chosen, notes)
    gain = gain_of(problem, session, vehicle)
    soc_pct, spread_pct = _soc(session, vehicle, gain, notes)
    energy_kwh = _energy(session, chosen.target, vehicle, known, soc_pct, gain, notes)
    beyond_kwh = 0.0
    if energy_kwh <= MET_KWH and soc_pct is None:
        beyond_kwh = _beyond(session, chosen, vehicle, known, gain)
        energy_kwh = 0.0 if beyond_kwh > 0.0 else energy_kwh
    if profile is None and session.tag is not None and problem.settings.unknown_tag == "nothing":
        energy_kwh = beyond_kwh = 0.0
        notes.append("this site gives unknown tags nothing")
    left_kwh = max(0.0, chosen.target.guaranteed_kwh - session.delivered_kwh)
    # Who should have left already waits for nothing: each plan would put it off for another hour.
    of_target = chosen.target.deferrable
    by_word = None if chosen.source == "past" else of_target  # what is guessed counts behind what anybody said
    said = (session.deferrable, by_word, profile.deferrable if profile else None, of_target)
    deferrable = not overdue and next((value for value in said if value is not None), True)
    return Need(
        evse=session.evse,
        source=chosen.source,
        asked=f"{chosen.target.amount:g} {UNIT_NAMES[chosen.target.unit]}",
        unit=chosen.target.unit,
        energy_kwh=energy_kwh,
        guaranteed_kwh=min(left_kwh, energy_kwh),
        beyond_kwh=beyond_kwh,
        departure_epoch_s=departure_epoch_s,
        deferrable=deferrable,
        priority=session.priority or (profile.priority if profile else 2),
        soc_source="none" if soc_pct is None else session.soc_source,
        soc_pct=soc_pct,
        soc_uncertainty_pct=spread_pct,
        uncertainty_kwh=0.0 if chosen.target.unit == "kwh" else spread_pct / FULL_PCT * vehicle.capacity_kwh / gain,
        kwh_per_pct=vehicle.capacity_kwh / FULL_PCT / gain,
        kwh_per_km=vehicle.consumption_wh_per_km / MILLI / gain,
        vehicle=vehicle,
        vehicle_known=known,
        notes=tuple(f"{session.evse}: {note}" for note in notes),
    )


def gain_of(problem: Problem, session: Session, vehicle: Vehicle) -> float:
    """What of a metered kWh reaches the battery: the charger's efficiency for direct current, else the car's."""
    evse = next((evse for evse in problem.site.evses if evse.id == session.evse), None)
    if evse is not None and evse.direct_current:
        return evse.efficiency
    return 1.0 - vehicle.loss_pct / FULL_PCT


def choose(problem: Problem, session: Session, profile: Profile | None, vehicle: Vehicle | None) -> Choice:
    """The target that counts, by the precedence above."""
    if session.target is not None:
        return Choice(session.target, "session", _moment(problem, session, session.target))
    if vehicle is not None and vehicle.target is not None:
        return Choice(vehicle.target, "vehicle", _moment(problem, session, vehicle.target))
    if profile is not None and profile.weekly:
        return _weekly(problem, session, profile)
    entry = _scheduled(problem, session, vehicle)
    if entry is not None:
        target = Target(unit=entry.unit, amount=entry.amount, guaranteed_kwh=entry.guaranteed_kwh)
        return Choice(target, "schedule", entry.departure_epoch_s)
    if session.expected is not None:
        return Choice(session.expected, "past", _moment(problem, session, session.expected))
    default = problem.settings.default_target
    return Choice(default, "site", _moment(problem, session, default))


def next_local(epoch_s: float, time_zone: str, local: str, days: tuple[str, ...] = DAYS) -> float:
    """The next moment after ``epoch_s`` at which clocks there show ``local`` (HH:MM) on one of these days.

    A time that a clock change leaves out is read on the clock before it, one that it gives twice is the first.
    """
    zone = ZoneInfo(time_zone)
    hour, minute = (int(part) for part in local.split(":"))
    today = datetime.fromtimestamp(epoch_s, zone)
    for ahead in range(9):
        date = (today + timedelta(days=ahead)).date()
        moment = datetime(date.year, date.month, date.day, hour, minute, tzinfo=zone).timestamp()
        if DAYS[date.weekday()] in days and moment > epoch_s:
            return moment
    raise AssertionError("a week has every day")


def _profile(problem: Problem, session: Session, doubled: bool, notes: list[str]) -> Profile | None:
    if session.tag is None:
        return None
    if doubled:
        notes.append("its RFID tag charges at another EVSE already, so that the profile behind it counts there")
        return None
    found = next((profile for profile in problem.profiles if profile.tag == session.tag), None)
    if found is None:
        notes.append("its RFID tag is unknown")
    return found


def _vehicle(problem: Problem, session: Session, profile: Profile | None) -> tuple[Vehicle, bool]:
    """The car, and whether it is known; else the usual one is assumed."""
    name = session.vehicle if session.vehicle is not None else profile.vehicle if profile else None
    found = next((vehicle for vehicle in problem.vehicles if vehicle.id == name), None)
    return (Vehicle(id="assumed"), False) if found is None else (found, True)


def _moment(problem: Problem, session: Session, target: Target) -> float | None:
    """When a target ends: its moment, or the next such hour after plug-in that has not been over for long."""
    if target.departure_epoch_s is not None or target.departure_local is None:
        return target.departure_epoch_s
    past = max(session.plugged_in_epoch_s, problem.now_epoch_s - OVERDUE_H * SECONDS_PER_HOUR)
    return next_local(past, problem.site.time_zone, target.departure_local)


def _weekly(problem: Problem, session: Session, profile: Profile) -> Choice:
    """The entry of the pattern whose hour comes next, for an announced car after its arrival."""
    zone = problem.site.time_zone
    moments = [
        (next_local(_since(problem, session), zone, entry.departure_local, entry.days), k)
        for k, entry in enumerate(profile.weekly)
    ]
    moment, k = min(moments)
    entry = profile.weekly[k]
    return Choice(Target(unit=entry.unit, amount=entry.amount, guaranteed_kwh=entry.guaranteed_kwh), "profile", moment)


def _since(problem: Problem, session: Session) -> float:
    """Now, or when an announced car will be there."""
    return max(problem.now_epoch_s, session.plugged_in_epoch_s)


def _scheduled(problem: Problem, session: Session, vehicle: Vehicle | None) -> ScheduleEntry | None:
    """The entry for this EVSE, tag or vehicle that ends next."""
    name = session.vehicle if vehicle is None else vehicle.id
    fitting = [
        entry
        for entry in problem.schedule
        if entry.departure_epoch_s > _since(problem, session)
        and (entry.evse, entry.tag, entry.vehicle) != (None, None, None)
        and entry.evse in (None, session.evse)
        and entry.tag in (None, session.tag)
        and entry.vehicle in (None, name)
    ]
    return min(fitting, key=lambda entry: entry.departure_epoch_s, default=None)


def _departure(problem: Problem, session: Session, chosen: Choice, notes: list[str]) -> tuple[float, bool]:
    """When it leaves, and whether it should have left already."""
    now_epoch_s = problem.now_epoch_s
    stay_s = problem.settings.default_stay_h * SECONDS_PER_HOUR
    wanted = chosen.departure_epoch_s
    if wanted is None:
        wanted = session.plugged_in_epoch_s + stay_s
        if wanted <= now_epoch_s:
            return now_epoch_s + OVERDUE_H * SECONDS_PER_HOUR, True
        notes.append(f"nobody said when it leaves: {problem.settings.default_stay_h:g} h after plug-in are assumed")
        return wanted, False
    if wanted <= now_epoch_s:
        notes.append(
            f"its departure lies {_ago(now_epoch_s - wanted)} in the past: it is charged as if it left in "
            f"{OVERDUE_H:g} h"
        )
        return now_epoch_s + OVERDUE_H * SECONDS_PER_HOUR, True
    return wanted, False


def _ago(seconds: float) -> str:
    if seconds < SECONDS_PER_HOUR:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / SECONDS_PER_HOUR:.0f} h" if seconds < SECONDS_PER_DAY else f"{seconds / SECONDS_PER_DAY:.0f} d"


def _soc(session: Session, vehicle: Vehicle, gain: float, notes: list[str]) -> tuple[float | None, float]:
    """State of charge now in %, and how far it may be off."""
    if session.soc_pct is None or session.soc_source == "none":
        return None, 0.0
    told = session.soc_pct
    if not 0.0 <= told <= FULL_PCT:
        notes.append(f"a state of charge of {told:g} % cannot be: {min(max(told, 0.0), FULL_PCT):g} % is assumed")
        told = min(max(told, 0.0), FULL_PCT)
    own = session.soc_uncertainty_pct
    spread_pct = SOC_UNCERTAINTY_PCT[session.soc_source] if own is None else own
    if session.soc_source == "charger":
        return told, spread_pct
    added_pct = session.delivered_kwh * gain / vehicle.capacity_kwh * FULL_PCT
    return min(told + added_pct, FULL_PCT), spread_pct


def _energy(
    session: Session,
    target: Target,
    vehicle: Vehicle,
    known: bool,
    soc_pct: float | None,
    gain: float,
    notes: list[str],
) -> float:
    """What is still to be metered, in kWh. What does not fit into the battery is not asked for."""
    amount = max(0.0, target.amount)
    if target.amount < 0:
        notes.append(f"a target of {target.amount:g} is taken as 0")
    if target.unit != "kwh" and not known:
        notes.append(f"its vehicle is unknown: {vehicle.capacity_kwh:g} kWh and {_consumption(vehicle)} are assumed")
    at_start_kwh = 0.0 if soc_pct is None else soc_pct / FULL_PCT * vehicle.capacity_kwh
    already_kwh = session.delivered_kwh if soc_pct is None else 0.0
    if target.unit == "kwh":
        wanted_kwh, already_kwh = amount, session.delivered_kwh
    else:
        content_kwh = _content(amount, target, vehicle, notes)
        if soc_pct is None:
            notes.append(
                f"nobody knows its state of charge: {amount:g} {UNIT_NAMES[target.unit]} are added since plug-in"
            )
        wanted_kwh = (content_kwh - at_start_kwh) / gain
    rest_kwh = max(0.0, wanted_kwh - already_kwh)
    room_kwh = (vehicle.capacity_kwh - at_start_kwh) / gain if known or target.unit != "kwh" else MOST_KWH
    if soc_pct is None:
        room_kwh -= session.delivered_kwh if room_kwh < MOST_KWH else 0.0
    if rest_kwh > max(0.0, room_kwh):
        notes.append(f"{rest_kwh:.3g} kWh do not fit into it: {max(0.0, room_kwh):.3g} kWh are planned")
    return min(rest_kwh, max(0.0, room_kwh))


def _beyond(session: Session, chosen: Choice, vehicle: Vehicle, known: bool, gain: float) -> float:
    """What cars like this one take more than was asked for: people who cannot know a state of charge guess low, too."""
    if chosen.source == "past" or session.expected is None:
        return 0.0
    most_kwh = min(session.expected.amount, vehicle.capacity_kwh / gain if known else MOST_KWH)
    return max(0.0, most_kwh - session.delivered_kwh)


def _content(amount: float, target: Target, vehicle: Vehicle, notes: list[str]) -> float:
    """What the battery is to hold at departure."""
    if target.unit == "pct":
        if amount > FULL_PCT:
            notes.append(f"a target of {amount:g} % is taken as {FULL_PCT:g} %")
        return min(amount, FULL_PCT) / FULL_PCT * vehicle.capacity_kwh
    content_kwh = amount * vehicle.consumption_wh_per_km / MILLI
    if content_kwh > vehicle.capacity_kwh:
        most_km = vehicle.capacity_kwh * MILLI / vehicle.consumption_wh_per_km
        notes.append(f"{amount:g} km are more than it can drive: a full battery, {most_km:.0f} km, is planned")
    return min(content_kwh, vehicle.capacity_kwh)


def _consumption(vehicle: Vehicle) -> str:
    return f"{vehicle.consumption_wh_per_km:g} Wh/km"
