"""A journal through the same scan again: every command, report and state must come out bit for bit as recorded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from controller.core.scan import scan
from controller.core.state import ControllerState
from controller.service.failing import failsafe_outcome, report_after
from controller.service.journal import Damage, NoJournal, TornTail, read_segment
from controller.service.journal_ring import segments
from controller.service.messages import Entry, PlanInForce, Setup, Snapshot, TargetsInForce
from controller.service.site_setup import SiteRefused, SiteSetup, setup_of
from interfaces.domain.codec import digest, pack
from interfaces.domain.command import Commands, Report
from interfaces.domain.image import Image
from interfaces.errors import UserError


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A scan that came out differently: which, when, and what of it."""

    file: str
    number: int
    epoch_s: float
    differs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Damaged:
    """Records that cannot be read although readable ones follow: no power cut leaves that."""

    file: str
    place: Damage


@dataclass(slots=True)
class Outcome:
    """``gaps``: places where scans are missing and the replay began anew from the next state recorded. ``torn_bytes``:
    what a power cut left of the last record. ``damages``: damaged places elsewhere, the first of them ``damaged``;
    ``skipped``: scans that can be read but stand between missing ones and the next state recorded.
    """

    scans: int = 0
    mismatches: int = 0
    first: Mismatch | None = None
    gaps: int = 0
    torn_bytes: int = 0
    skipped: int = 0
    damages: int = 0
    damaged: Damaged | None = None


@dataclass(slots=True)
class _Replay:
    """Where the replay stands."""

    outcome: Outcome = field(default_factory=Outcome)
    setup: SiteSetup | None = None
    setup_text: str = ""
    state: ControllerState | None = None
    next_number: int = -1
    plans: dict[str, Any] = field(default_factory=dict)
    report: Report | None = None


def files_of(path: Path) -> list[Path]:
    """The segments a person means: a file, or all of a folder, oldest first.

    Raises:
        UserError: there is nothing to read.
    """
    if not path.is_dir():
        return [path]
    found = segments(path)
    if not found:
        raise UserError(f"{path} holds no journal")
    return found


def replay(files: Iterable[Path]) -> Outcome:
    """Replay segments one after the other.

    Raises:
        UserError: one is not a journal, cannot be read, or holds a site this version runs with other parameters; or
            there is no scan in them, which proves nothing.
    """
    run = _Replay()
    named = tuple(files)
    for file in named:
        try:
            for message in read_segment(file):
                _step(run, file, message)
        except OSError as error:
            raise UserError(f"{file} cannot be read: {error.strerror or error}") from error
    if named and run.outcome.scans == 0:
        raise UserError(f"{', '.join(map(str, named))} holds no scan that can be replayed")
    return run.outcome


def _step(run: _Replay, file: Path, message: Any) -> None:
    match message:
        case NoJournal(reason=reason):
            raise UserError(f"{file} is not a journal that can be replayed: {reason}")
        case TornTail(ignored_bytes=ignored):
            run.outcome.torn_bytes += ignored
        case Damage():
            run.outcome.damages += 1
            run.outcome.damaged = run.outcome.damaged or Damaged(str(file), message)
        case Setup():
            _use_site(run, file, message)
        case PlanInForce():
            run.plans[message.digest] = message.plan
        case TargetsInForce():
            run.plans[message.digest] = message.targets
        case Snapshot():
            _use_state(run, message)
        case Entry():
            _again(run, file, message)


def _use_site(run: _Replay, file: Path, message: Setup) -> None:
    if run.setup is not None and message.site_text == run.setup_text:
        return
    setup = setup_of(message.site_text)
    if isinstance(setup, SiteRefused):
        raise UserError(f"{file}: this version refuses the site in it: {setup}")
    if setup.digest != message.params_digest:
        raise UserError(
            f"{file}: this version makes other parameters of the site in it: replay with the one it is from"
        )
    run.setup, run.setup_text = setup, message.site_text


def _use_state(run: _Replay, message: Snapshot) -> None:
    """Begin, or begin anew after a gap or once states have parted: what follows is then judged for itself."""
    if run.state is not None and message.number != run.next_number:
        run.outcome.gaps += 1
    if run.state is None or message.number != run.next_number or digest(run.state) != digest(message.state):
        run.state, run.next_number = message.state, message.number


def _again(run: _Replay, file: Path, entry: Entry) -> None:
    record = entry.record
    if run.setup is None or run.state is None or record.number != run.next_number:
        run.outcome.skipped += 1
        return
    image = replace(record.image, plan=run.plans.get(entry.plan), targets=run.plans.get(entry.targets))
    commands, report, state = _outcome(run, run.setup, run.state, entry, image)
    differs = tuple(
        name
        for name, one, other in (
            ("commands", pack(commands), pack(record.commands)),
            ("report", pack(report), pack(record.report)),
            ("state", digest(state), record.state_digest),
        )
        if one != other
    )
    run.outcome.scans += 1
    if differs:
        run.outcome.mismatches += 1
        run.outcome.first = run.outcome.first or Mismatch(str(file), record.number, record.epoch_s, differs)
    run.state, run.next_number, run.report = state, record.number + 1, report


def _outcome(
    run: _Replay, setup: SiteSetup, before: ControllerState, entry: Entry, image: Image
) -> tuple[Commands, Report, ControllerState]:
    record = entry.record
    if entry.error is None:
        return scan(image, before, setup.params, record.now_s, record.epoch_s)
    commands, state = failsafe_outcome(image, before, setup.params, record.now_s)
    # The first entry of a segment may be one: the report before it is then not known, its alarm is.
    return commands, report_after(run.report or record.report, entry.error), state


def figures_of(outcome: Outcome) -> dict[str, object]:
    """The outcome as one JSON object; ``first_mismatch`` null when all came out equal."""
    first = outcome.first
    return {
        "scans": outcome.scans,
        "mismatches": outcome.mismatches,
        "first_mismatch": None
        if first is None
        else {
            "file": first.file,
            "number": first.number,
            "epoch_s": first.epoch_s,
            "differs": list(first.differs),
        },
        "gaps": outcome.gaps,
        "torn_bytes": outcome.torn_bytes,
        "skipped_scans": outcome.skipped,
        "damages": outcome.damages,
        "damaged_at": None
        if outcome.damaged is None
        else {
            "file": outcome.damaged.file,
            "byte": outcome.damaged.place.offset,
            "record": outcome.damaged.place.record,
            "reason": outcome.damaged.place.reason,
        },
    }


def damage_in_words(outcome: Outcome) -> str:
    """One sentence about the damage, empty where there is none."""
    if outcome.damaged is None:
        return ""
    file, place = outcome.damaged.file, outcome.damaged.place
    more = f" and in {outcome.damages - 1} more places" if outcome.damages > 1 else ""
    return (
        f"{file} is damaged at byte {place.offset} (record {place.record}: {place.reason}){more}: "
        f"the scans there are missing, {outcome.skipped} behind it cannot be replayed, {outcome.scans} were"
    )


def in_words(outcome: Outcome) -> str:
    """The outcome as a sentence."""
    text = f"{outcome.scans} scans replayed, {outcome.mismatches} came out differently, {outcome.gaps} gaps"
    if outcome.torn_bytes:
        text += f", {outcome.torn_bytes} bytes of a torn last record left out"
    first = outcome.first
    if first is not None:
        text += f"; first: scan {first.number} of {first.file}, its {' and '.join(first.differs)}"
    return text
