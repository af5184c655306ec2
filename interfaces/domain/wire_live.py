"""The live status on the wire: whole now and then, in between what changed.

A status of ten chargers is some 3 kB of JSON and a tenth of that changes from one to the next. Changes name the message
they count from, so that a reader who missed that one knows it and asks for a birth, instead of being wrong.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar

from pydantic import Field

from interfaces.domain.live import AssetLive, CircuitLive, LiveStatus
from interfaces.domain.site_types import ID_PATTERN
from interfaces.domain.wire_head import TOLERANT, Head, Number, Text

Three: TypeAlias = tuple[float | None, float | None, float | None]
Indices: TypeAlias = tuple[Annotated[int, Field(ge=0, le=5000)], ...]
Numbers: TypeAlias = tuple[Indices, tuple[float, ...]]
Unsure: TypeAlias = tuple[Indices, tuple[float | None, ...]]
Whole: TypeAlias = tuple[Indices, tuple[int, ...]]
"""Columns of changes: positions in the status they count from, and the new values there."""

Row = TypeVar("Row", LiveStatus, CircuitLive, AssetLive)

PLUGGED_S: Final[float] = 2.0
"""The moment of plug-in is made from two clocks and trembles by less than this."""
STILL: Final[dict[str, float]] = {
    "power_kw": 0.1,
    "assets_kw": 0.2,
    "current_a": 0.5,
    "background_a": 0.5,
    "energy_kwh": 0.1,
}
STILL_SHARE: Final = 0.01
"""What moved by no more than this, or by no more than 1 %, since it was told is not told again before the next whole
status: report by exception. It adds up to nothing, because it is always compared with what was told."""


@dataclass(frozen=True, slots=True)
class CircuitChanges:
    """By field of ``CircuitLive``; a field without a change is absent."""

    __pydantic_config__ = TOLERANT
    power_kw: Unsure | None = None
    assets_kw: Numbers | None = None
    current_a: tuple[Indices, tuple[Three, ...]] | None = None
    background_a: tuple[Indices, tuple[tuple[float, float, float], ...]] | None = None


@dataclass(frozen=True, slots=True)
class AssetChanges:
    """By field of ``AssetLive``; a field without a change is absent."""

    __pydantic_config__ = TOLERANT
    pilot: Whole | None = None
    plugged_in_epoch_s: Unsure | None = None
    energy_kwh: Numbers | None = None
    tag: tuple[Indices, tuple[Text | None, ...]] | None = None
    power_kw: Unsure | None = None
    setpoint_a: Numbers | None = None
    offered_a: Unsure | None = None
    phases: tuple[Indices, tuple[tuple[int, int, int], ...]] | None = None
    soc_pct: Unsure | None = None
    reason: Whole | None = None
    reachable: tuple[Indices, tuple[bool, ...]] | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs from the status of the message ``seq`` of ``session`` (None: of this one); its time is the head's.
    ``mode`` and ``plan_sequence`` None: unchanged. What the grid meter and the operator say is told as it is, changed
    or not, since None means something there.
    """

    __pydantic_config__ = TOLERANT
    seq: Number
    session: Number | None = None
    mode: Text | None = None
    plan_sequence: Annotated[int, Field(ge=-1, le=2**53)] | None = None
    operator_limit_w: float | None = None
    quarter_kw: float | None = None
    month_peak_kw: float | None = None
    circuits: CircuitChanges = CircuitChanges()
    assets: AssetChanges = AssetChanges()


@dataclass(frozen=True, slots=True)
class Live:
    """The status, as ``whole`` or as ``changes``: exactly one of the two."""

    __pydantic_config__ = TOLERANT
    head: Head
    whole: LiveStatus | None = None
    changes: Changes | None = None
    kind: Literal["live"] = "live"


@dataclass(frozen=True, slots=True)
class Known:
    """A status that both sides have, by the message that carried it."""

    session: int
    seq: int
    status: LiveStatus


LASTING: Final = ("mode", "plan_sequence")
"""Fields of ``LiveStatus`` that changes carry when they change."""
PLAIN: Final = ("operator_limit_w", "quarter_kw", "month_peak_kw")
"""Fields of ``LiveStatus`` that changes always carry; absent is None."""
SAME: Final = ("site", "topology_version", "schema")
"""Fields that must not differ between a status and its changes; positions mean nothing otherwise."""
STATE: Final = ("pilot", "plugged_in_epoch_s", "tag", "setpoint_a", "offered_a", "phases", "reason", "reachable")
"""Fields of an asset with which everything of it is told anew: a session ends with its exact energy."""
SAME_MOMENT_S: Final = 1.0
_ID: Final = re.compile(ID_PATTERN)
_DIGITS: Final[dict[str, int]] = {
    "operator_limit_w": 0, "quarter_kw": 2, "month_peak_kw": 3,
    "power_kw": 2, "assets_kw": 2, "current_a": 1, "background_a": 1, "energy_kwh": 2, "setpoint_a": 1, "offered_a": 1,
    "soc_pct": 1, "plugged_in_epoch_s": 0,
}  # fmt: skip
"""Digits behind the point: 10 W, 0.1 A, 10 Wh, 1 s. Finer than any of the meters, coarse enough to stay the same."""


def live_of(head: Head, status: LiveStatus, base: Known | None) -> tuple[Live, Known]:
    """The message for a status, and what the far side knows once it has it.

    ``base``: what it certainly knows already; None sends the whole. ``head.at_epoch_s`` becomes the status's time.
    """
    head = replace(head, at_epoch_s=round(status.epoch_s, 3))
    now = _rounded(status, None if base is None else base.status)
    known = Known(head.session, head.seq, now)
    if base is None or not _alike(base.status, now):
        return Live(head, whole=now), known
    before = base.status
    changes = Changes(
        seq=base.seq,
        session=None if base.session == head.session else base.session,
        **{name: getattr(now, name) for name in PLAIN},
        **{name: getattr(now, name) for name in LASTING if getattr(now, name) != getattr(before, name)},
        circuits=CircuitChanges(**_columns(before.circuits, now.circuits)),
        assets=AssetChanges(**_columns(before.assets, now.assets)),
    )
    return Live(head, changes=changes), known


def status_of(live: Live, base: Known | None) -> Known | str:
    """The status a message tells, or why it cannot be told: then the reader needs a whole one."""
    if live.whole is not None and live.changes is None:
        return _believed(live.head, live.whole)
    changes = live.changes
    if changes is None or live.whole is not None:
        return "neither a whole status nor changes"
    session = live.head.session if changes.session is None else changes.session
    if base is None or (base.session, base.seq) != (session, changes.seq):
        return f"it counts from message {session}/{changes.seq}, which is not known here"
    try:
        status = replace(
            base.status,
            epoch_s=live.head.at_epoch_s,
            **{name: getattr(changes, name) for name in PLAIN},
            **{name: value for name in LASTING if (value := getattr(changes, name)) is not None},
            circuits=_applied(base.status.circuits, changes.circuits),
            assets=_applied(base.status.assets, changes.assets),
        )
    except (IndexError, ValueError) as error:
        return f"its changes do not fit: {error}"
    return _believed(live.head, status)


def _believed(head: Head, status: LiveStatus) -> Known | str:
    """Known, unless it says what cannot be: one site's nonsense must not stop whoever stores it with all others'."""
    if abs(status.epoch_s - head.at_epoch_s) > SAME_MOMENT_S:
        return "its time is not that of its head"
    for name in (*(one.id for one in status.circuits), *(one.id for one in status.assets)):
        if _ID.fullmatch(name) is None:
            return f"{name[:70]!r} is no name"
    return Known(head.session, head.seq, status)


def _alike(before: LiveStatus, now: LiveStatus) -> bool:
    """Whether positions mean the same in both."""
    return (
        all(getattr(before, key) == getattr(now, key) for key in SAME)
        and [one.id for one in before.circuits] == [one.id for one in now.circuits]
        and [one.id for one in before.assets] == [one.id for one in now.assets]
    )


def _columns(before: tuple[Any, ...], now: tuple[Any, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for k, (old, new) in enumerate(zip(before, now, strict=True)):
        if old == new:
            continue
        for field in fields(new):
            value = getattr(new, field.name)
            if value != getattr(old, field.name):
                where, values = found.setdefault(field.name, ([], []))
                where.append(k)
                values.append(value)
    return {name: (tuple(where), tuple(values)) for name, (where, values) in found.items()}


def _applied(rows: tuple[Any, ...], changes: CircuitChanges | AssetChanges) -> tuple[Any, ...]:
    edits: dict[int, dict[str, Any]] = {}
    for field in fields(changes):
        column = getattr(changes, field.name)
        if column is None:
            continue
        for k, value in zip(*column, strict=True):
            edits.setdefault(k, {})[field.name] = value
    out = list(rows)
    for k, edit in edits.items():
        out[k] = replace(out[k], **edit)
    return tuple(out)


def _rounded(status: LiveStatus, before: LiveStatus | None) -> LiveStatus:
    assets = {} if before is None else {one.id: one for one in before.assets}
    circuits = {} if before is None else {one.id: one for one in before.circuits}
    return replace(
        _coarse(status),
        epoch_s=round(status.epoch_s, 3),
        circuits=tuple(_still(_coarse(one), circuits.get(one.id)) for one in status.circuits),
        assets=tuple(_steady(_coarse(one), assets.get(one.id)) for one in status.assets),
    )


def _coarse(row: Row) -> Row:
    values = {name: _round(getattr(row, name), digits) for name, digits in _DIGITS.items() if hasattr(row, name)}
    return replace(row, **values)


def _round(value: Any, digits: int) -> Any:
    if isinstance(value, tuple):
        return tuple(_round(one, digits) for one in value)
    return None if value is None else round(value, digits) + 0.0


def _steady(now: AssetLive, before: AssetLive | None) -> AssetLive:
    """Told anew as it is where its state changed; else what hardly moved, and the moment of plug-in, as told before."""
    if before is None:
        return now
    old, new = before.plugged_in_epoch_s, now.plugged_in_epoch_s
    if old is not None and new is not None and abs(new - old) <= PLUGGED_S:
        now = replace(now, plugged_in_epoch_s=old)
    return _still(now, before) if all(getattr(now, name) == getattr(before, name) for name in STATE) else now


def _still(now: Row, before: Row | None) -> Row:
    """With the value told before where it hardly moved."""
    if before is None:
        return now
    kept = {}
    for name, still in STILL.items():
        if hasattr(now, name) and _hardly_moved(getattr(now, name), getattr(before, name), still):
            kept[name] = getattr(before, name)
    return replace(now, **kept) if kept else now


def _hardly_moved(new: Any, old: Any, still: float) -> bool:
    """Nothing that begins, ends or turns round is taken for hardly moved."""
    if isinstance(new, tuple):
        return all(_hardly_moved(a, b, still) for a, b in zip(new, old, strict=True))
    if new is None or old is None:
        return new is old
    still = max(still, STILL_SHARE * abs(old))
    return bool((new > 0) == (old > 0) and (new < 0) == (old < 0) and abs(new - old) <= still)
