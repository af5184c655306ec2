"""Orders from the cloud side, judged, and what stands after each of them. Pure.

None raises anything: a limit, a pause and being out of service only lower what the scan allows, the rest are wishes
that it clips. Who may order something may take it back; who may not, may not.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from controller.core.fallback import SKEW_S
from controller.service.messages import AssetOrder, StandingOrders
from controller.service.plan_inbox import Refused, opened_body
from interfaces.domain.units import MILLI
from interfaces.domain.wire import read
from interfaces.domain.wire_commands import (
    LEAST_ROLE,
    LONGEST_COMMAND_S,
    AnswerCode,
    ChargeNow,
    Command,
    LimitCharger,
    OutOfService,
    Pause,
    ProposeConfiguration,
    Restart,
    Resume,
    Role,
    RoleName,
    SendJournal,
    SolarMode,
    may,
)
from interfaces.domain.wire_head import WireCode, WireRefusal
from interfaces.drivers.signing import Verifier

CHARGE_NOW_S: Final[float] = 86_400.0
"""It ends with the session; a session that outlasts a day is no longer "now"."""
FOR_EVER: Final[float] = float("inf")
_ORDERED_BY: Final = {
    "limit": "limit_charger",
    "pause": "pause",
    "out_of_service": "out_of_service",
    "solar": "solar_mode",
    "charge_now": "charge_now",
}
"""What the field process calls it: what the command is called."""
_TAKEN_BACK: Final = ("limit", "pause", "out_of_service")


@dataclass(frozen=True, slots=True)
class CommandSite:
    """Whom a command must be for, and the moment (UTC). ``evses`` are among ``assets``."""

    site: str
    controller: str
    assets: frozenset[str]
    evses: tuple[str, ...]
    epoch_s: float
    clock_trusted: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of a command: the answer, and to which command (empty where none could be read)."""

    command: str
    code: AnswerCode
    text: str


@dataclass(frozen=True, slots=True)
class Given:
    """One order that stands. ``do`` as in ``AssetOrder``; ``until_epoch_s`` None: until it is taken back."""

    asset: str
    do: str
    limit_ma: int
    since_epoch_s: float
    until_epoch_s: float | None
    actor: str


def judge_command(payload: bytes, site: CommandSite, verifier: Verifier) -> Command | Outcome:
    """The command, or why it is not obeyed."""
    opened = opened_body("command", payload, verifier)
    if isinstance(opened, Refused):
        return Outcome("", AnswerCode.BAD_SIGNATURE, opened.text)
    command = read(opened.body, Command)
    if isinstance(command, WireRefusal):
        local = command.code is WireCode.UNKNOWN_MAJOR
        return Outcome("", AnswerCode.UNKNOWN_MAJOR if local else AnswerCode.MALFORMED, command.reason)
    code, text = _problem(command, site)
    return command if code is None else Outcome(command.id, code, text)


def _problem(command: Command, site: CommandSite) -> tuple[AnswerCode | None, str]:
    """The first thing that speaks against a command that could be read."""
    order, now = command.order, site.epoch_s
    asset, until = getattr(order, "asset", None), getattr(order, "until_epoch_s", None)
    whom = f"it is for controller {command.controller} of site {command.site}"
    checks = (
        ((command.site, command.controller) != (site.site, site.controller), AnswerCode.NOT_FOR_US, whom),
        (not site.clock_trusted, AnswerCode.NOT_YET, "the wall clock here is not trusted: it may have expired"),
        (command.issued_epoch_s > now + SKEW_S, AnswerCode.NOT_YET, "it was issued in the future"),
        (now >= command.expires_epoch_s, AnswerCode.EXPIRED, "it has expired"),
        (
            command.expires_epoch_s - command.issued_epoch_s > LONGEST_COMMAND_S,
            AnswerCode.MALFORMED,
            f"no command is valid for more than {LONGEST_COMMAND_S:.0f} s",
        ),
        (not may(command.role, order), AnswerCode.NOT_ALLOWED, f"a {command.role} may not order {order.do}"),
        (asset is not None and asset not in site.assets, AnswerCode.UNKNOWN_ASSET, f"there is no {asset} here"),
        (until is not None and until <= now, AnswerCode.NOT_POSSIBLE, "the end of what it orders has passed"),
    )
    return next(((code, text) for bad, code, text in checks if bad), (None, ""))


def obeyed(  # noqa: PLR0911  a table
    standing: tuple[Given, ...], command: Command, site: CommandSite
) -> tuple[tuple[Given, ...], Outcome]:
    """What stands after a command about assets, and its answer. Others (journal, configuration) change nothing here."""
    order, now = command.order, site.epoch_s

    def given(asset: str, do: str, until: float | None, limit_ma: int = 0) -> Given:
        return Given(asset, do, limit_ma, now, until, command.actor)

    match order:
        case LimitCharger():
            fresh = given(order.asset, "limit", order.until_epoch_s, int(order.limit_a * MILLI))
            text = f"{order.asset} is limited to {order.limit_a:g} A{_until(order.until_epoch_s)}"
            return _done(_with(standing, fresh), command, text)
        case Pause():
            paused = given(order.asset, "pause", order.until_epoch_s)
            return _done(_with(standing, paused), command, f"{order.asset} is paused{_until(order.until_epoch_s)}")
        case OutOfService():
            off = given(order.asset, "out_of_service", None)
            return _done(_with(standing, off), command, f"{order.asset} is out of service until it is resumed")
        case ChargeNow():
            now_on = given(order.asset, "charge_now", now + CHARGE_NOW_S)
            return _done(_with(standing, now_on), command, f"the session at {order.asset} waits for nothing")
        case SolarMode():
            return _solar(standing, command, order, site)
        case Resume():
            return _resumed(standing, command, order.asset)
        case Restart():
            text = f"not possible: the profile of {order.asset} knows no register that restarts it"
            return standing, Outcome(command.id, AnswerCode.NOT_POSSIBLE, text)
        case SendJournal() | ProposeConfiguration():
            return standing, Outcome(command.id, AnswerCode.DONE, "")


def in_force(standing: tuple[Given, ...], epoch_s: float) -> tuple[Given, ...]:
    """Without those that have ended."""
    return tuple(one for one in standing if one.until_epoch_s is None or epoch_s < one.until_epoch_s)


def message_of(standing: tuple[Given, ...], epoch_s: float | None) -> StandingOrders:
    """What the field process is told: durations, which mean the same on its clock. ``epoch_s`` None: the clock is not
    trusted; nobody knows what has ended, so everything stands.
    """
    if epoch_s is None:
        return StandingOrders(tuple(AssetOrder(one.asset, one.do, one.limit_ma, FOR_EVER, 0.0) for one in standing))
    return StandingOrders(
        tuple(
            AssetOrder(
                asset=one.asset,
                do=one.do,
                limit_ma=one.limit_ma,
                left_s=FOR_EVER if one.until_epoch_s is None else one.until_epoch_s - epoch_s,
                age_s=max(epoch_s - one.since_epoch_s, 0.0),
            )
            for one in in_force(standing, epoch_s)
        )
    )


def _with(standing: tuple[Given, ...], fresh: Given) -> tuple[Given, ...]:
    """The fresh order in place of an earlier one of its kind."""
    return (*(one for one in standing if (one.asset, one.do) != (fresh.asset, fresh.do)), fresh)


def _done(standing: tuple[Given, ...], command: Command, text: str) -> tuple[tuple[Given, ...], Outcome]:
    return standing, Outcome(command.id, AnswerCode.DONE, text)


def _solar(
    standing: tuple[Given, ...], command: Command, order: SolarMode, site: CommandSite
) -> tuple[tuple[Given, ...], Outcome]:
    places = site.evses if order.asset is None else (order.asset,)
    rest = tuple(one for one in standing if one.do != "solar" or one.asset not in places)
    where = "everywhere" if order.asset is None else f"at {order.asset}"
    if not order.on:
        return _done(rest, command, f"solar mode is off {where}")
    fresh = tuple(Given(place, "solar", 0, site.epoch_s, None, command.actor) for place in places)
    return _done((*rest, *fresh), command, f"cars charge from surplus only {where}")


def _resumed(standing: tuple[Given, ...], command: Command, asset: str) -> tuple[tuple[Given, ...], Outcome]:
    own = [one for one in standing if one.asset == asset and one.do in _TAKEN_BACK]
    kept = [one for one in own if not _may_take_back(command.role, one)]
    taken = [one for one in own if one not in kept]
    if kept and not taken:
        text = f"{asset} is held back by {kept[0].actor}: a {command.role} may not take that back"
        return standing, Outcome(command.id, AnswerCode.NOT_ALLOWED, text)
    rest = tuple(one for one in standing if one not in taken)
    what = ", ".join(one.do.replace("_", " ") for one in taken)
    still = f"; {kept[0].do.replace('_', ' ')} by {kept[0].actor} stays" if kept else ""
    return _done(rest, command, f"{asset}: taken back: {what}{still}" if taken else f"{asset}: nothing held it back")


def _may_take_back(role: RoleName, given: Given) -> bool:
    return Role[role.upper()] >= LEAST_ROLE[_ORDERED_BY[given.do]]


def _until(epoch_s: float | None) -> str:
    if epoch_s is None:
        return " until it is resumed"
    return f" until {datetime.fromtimestamp(epoch_s, UTC):%Y-%m-%d %H:%M} UTC"
