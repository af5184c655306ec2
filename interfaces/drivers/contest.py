"""Does a setpoint stay as it was written, and if not, why: judging read-backs one after the other. Pure.

Four things look alike for a moment and want different hands: a device that acknowledges and does not take a value; one
that fell back by itself (it restarted, or its time-out ran out); a gateway or master with logic of its own that sets
the old value back again and again; and another master that writes values of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from interfaces.domain.units import MILLI, NEVER_S
from interfaces.drivers.readings import ContestKind

NOT_APPLIED: Final = "acknowledged but not applied"
PATTERNS: Final = ("does not stay", "is changed", "fell back")
"""How the other sentences begin; before them stands which setpoint is meant."""
DROPPED_TRIES: Final = 3
"""Acknowledged writes of one value that never showed, after which they count as dropped on the way."""
REVERTS: Final = 2
"""Times that a value was set back to what it was before, after which nobody calls it a restart."""
CALM_S: Final = 60.0
"""A setpoint that stayed as written for this long is ours alone again."""


@dataclass(frozen=True, slots=True)
class Contest:
    """What the last read-backs say. Values in mA or mW.

    ``target``: what was written last and acknowledged ``tries`` times since it was shown (``seen``: it was). ``held``:
    what the device held when that value was first written; ``alien``: what it held last that nobody here had written.
    """

    target: int | None = None
    seen: bool = False
    tries: int = 0
    held: int | None = None
    alien: int | None = None
    reverts: int = 0
    kind: ContestKind = ""
    problem: str = ""
    trouble_s: float = NEVER_S


def told(contest: Contest, target: int, held: int | None) -> Contest:
    """A write of ``target`` was acknowledged; ``held``: the latest read-back before it."""
    if target == contest.target:
        return replace(contest, tries=contest.tries + 1)
    alien = held if contest.target is None else contest.alien
    return replace(contest, target=target, seen=False, tries=1, held=held, alien=alien)


def shown(
    contest: Contest, read: int, *, applied: bool, unit: str, now_s: float, failsafe: int | None = None
) -> Contest:
    """A read-back later than the last write; ``applied``: it confirms what was written. ``unit``: A or W.

    ``failsafe``: what the device is known to fall back to by itself.
    """
    if applied:
        calm = contest.kind in {"", "ignored", "dropped"} or now_s - contest.trouble_s >= CALM_S
        quiet = replace(contest, seen=True, tries=0)
        return replace(quiet, kind="", problem="", reverts=0) if calm else quiet
    if contest.target is None:
        return contest
    kind = contest.kind
    if kind not in {"set_back", "two_masters"}:  # who was found to meddle stays found until it is calm
        kind = _changed(contest, read, failsafe) if contest.seen else _never_shown(contest, read)
    fresh = contest.seen and contest.tries == 0
    return replace(
        contest,
        tries=max(contest.tries, 1) if fresh else contest.tries,
        reverts=contest.reverts + fresh,
        alien=read if contest.seen else contest.alien,
        kind=kind,
        problem=_sentence(kind, contest.target, read, unit),
        trouble_s=now_s,
    )


def _changed(contest: Contest, read: int, failsafe: int | None) -> ContestKind:
    """It showed the written value, and now another one."""
    if read == failsafe:
        return "fell_back"
    if contest.alien is not None and read not in {contest.alien, contest.held}:
        return "two_masters"
    return "set_back" if contest.reverts + (contest.tries == 0) >= REVERTS else "fell_back"


def _never_shown(contest: Contest, read: int) -> ContestKind:
    """It never showed the written value: dropped, where it holds what it held before, or more than it was told; a limit
    of its own would be lower.
    """
    more = contest.held is None and contest.target is not None and read > contest.target
    return "dropped" if contest.tries >= DROPPED_TRIES and (read == contest.held or more) else "ignored"


def _sentence(kind: ContestKind, target: int, read: int, unit: str) -> str:
    now, ours = f"{read / MILLI:g} {unit}", f"{target / MILLI:g} {unit}"
    match kind:
        case "dropped":
            return (
                f"does not stay written (read back {now} after {ours}, {DROPPED_TRIES} times acknowledged and dropped):"
                " a gateway with logic of its own answers in its place, or remote control is switched off in the "
                "device; make the gateway transparent, or switch remote control on"
            )
        case "set_back":
            return (
                f"does not stay written (read back {now} after {ours}): a gateway or another master with logic of its "
                "own sets it back; make the gateway transparent, or end the other control"
            )
        case "two_masters":
            return (
                f"is changed by somebody else ({ours} was written and shown, then it held {now}): two masters command "
                "it; end the other one (energy manager, app, cloud, second controller)"
            )
        case "fell_back":
            return (
                f"fell back to {now} after {ours} had been shown: it restarted, or its own time-out ran out; it is "
                "told again"
            )
        case _:
            return NOT_APPLIED
