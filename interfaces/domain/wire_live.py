"""The live status on the wire: whole now and then, in between what changed.

A status of ten chargers is some 3 kB of JSON and a tenth of that changes from one to the next. Changes name the message
they count from, so that a reader who missed that one knows it and asks for a birth, instead of being wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar

from pydantic import Field

from interfaces.domain.live import AssetLive, CircuitLive, LiveStatus
from interfaces.domain.wire_head import TOLERANT, EpochS, Head, Number, Text

Three: TypeAlias = tuple[float | None, float | None, float | None]
Indices: TypeAlias = tuple[Annotated[int, Field(ge=0, le=5000)], ...]
Numbers: TypeAlias = tuple[Indices, tuple[float, ...]]
Unsure: TypeAlias = tuple[Indices, tuple[float | None, ...]]
Whole: TypeAlias = tuple[Indices, tuple[int, ...]]
"""Columns of changes: positions in the status they count from, and the new values there."""

Row = TypeVar("Row", LiveStatus, CircuitLive, AssetLive)

PLUGGED_S: Final[float] = 2.0
"""The moment of plug-in is made from two clocks and trembles by less than this."""


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
    plugged_in_epoch_s: tuple[Indices, tuple[EpochS | None, ...]] | None = None
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
    """What differs from the status of the message ``session``, ``seq``; its time is the head's. What the site has only
    one of is told as it is, whether it changed or not.
    """

    __pydantic_config__ = TOLERANT
    session: Number
    seq: Number
    mode: Text
    plan_sequence: Annotated[int, Field(ge=-1, le=2**53)]
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


SINGLE: Final = ("mode", "plan_sequence", "operator_limit_w", "quarter_kw", "month_peak_kw")
"""Fields of ``LiveStatus`` that changes carry as they are."""
SAME: Final = ("site", "topology_version", "schema")
"""Fields that must not differ between a status and its changes; positions mean nothing otherwise."""
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
        session=base.session,
        seq=base.seq,
        **{name: getattr(now, name) for name in SINGLE},
        circuits=CircuitChanges(**_columns(before.circuits, now.circuits)),
        assets=AssetChanges(**_columns(before.assets, now.assets)),
    )
    return Live(head, changes=changes), known


def status_of(live: Live, base: Known | None) -> Known | str:
    """The status a message tells, or why it cannot be told: then the reader needs a whole one."""
    if live.whole is not None and live.changes is None:
        return Known(live.head.session, live.head.seq, live.whole)
    changes = live.changes
    if changes is None or live.whole is not None:
        return "neither a whole status nor changes"
    if base is None or (base.session, base.seq) != (changes.session, changes.seq):
        return f"it counts from message {changes.session}/{changes.seq}, which is not known here"
    try:
        status = replace(
            base.status,
            epoch_s=live.head.at_epoch_s,
            **{name: getattr(changes, name) for name in SINGLE},
            circuits=_applied(base.status.circuits, changes.circuits),
            assets=_applied(base.status.assets, changes.assets),
        )
    except (IndexError, ValueError) as error:
        return f"its changes do not fit: {error}"
    return Known(live.head.session, live.head.seq, status)


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
    known = {} if before is None else {one.id: one for one in before.assets}
    return replace(
        _coarse(status),
        epoch_s=round(status.epoch_s, 3),
        circuits=tuple(_coarse(one) for one in status.circuits),
        assets=tuple(_steady(_coarse(one), known.get(one.id)) for one in status.assets),
    )


def _coarse(row: Row) -> Row:
    values = {name: _round(getattr(row, name), digits) for name, digits in _DIGITS.items() if hasattr(row, name)}
    return replace(row, **values)


def _round(value: Any, digits: int) -> Any:
    if isinstance(value, tuple):
        return tuple(_round(one, digits) for one in value)
    return None if value is None else round(value, digits) + 0.0


def _steady(now: AssetLive, before: AssetLive | None) -> AssetLive:
    """The moment of plug-in as it was told first."""
    old, new = None if before is None else before.plugged_in_epoch_s, now.plugged_in_epoch_s
    if old is None or new is None or abs(new - old) > PLUGGED_S:
        return now
    return replace(now, plugged_in_epoch_s=old)
