"""The contract between site and cloud: every message as a type, and the way between type and bytes.

Rules of sessions and numbers are in ``Head``, topics in ``wire_topics``, docs/wire/README.md tells the whole. A message
of an unknown major version is refused as such, and the side that refuses it goes on alone. A plan travels as signed
text of its own (``plan_text``); targets and commands as the body of a signed envelope, all others as they are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from interfaces.domain.targets import MAX_PRICES, MAX_TARGETS, Target, Targets
from interfaces.domain.wire_commands import Command, CommandAnswer
from interfaces.domain.wire_head import (
    CLOSED,
    SCHEMA,
    TOLERANT,
    EpochS,
    Head,
    Id,
    Number,
    SchemaVersion,
    Text,
    WireCode,
    WireRefusal,
    bounded,
    version_refusal,
)
from interfaces.domain.wire_journal import JournalPiece
from interfaces.domain.wire_live import Live
from interfaces.domain.wire_topics import Kind

Word: TypeAlias = Annotated[str, Field(max_length=100)]
Mode: TypeAlias = Literal["live", "low_data"]
"""How much a controller tells; ``wire_modes`` has the figures."""
EURO_PER_KWH: Final[float] = 10.0
"""A price beyond is one in EUR/MWh."""


@dataclass(frozen=True, slots=True)
class Birth:
    """Opens a session, and answers a rebirth request: who this is and what it runs. ``schemas``: what it can read, by
    kind ("plan": "1.0"). ``boot_reason`` and ``boot_epoch_s``: of its process. ``config_version``: of the site file in
    force. ``again``: the session goes on, somebody asked.
    """

    __pydantic_config__ = TOLERANT
    head: Head
    software: Word
    site: Id
    topology_version: Word
    config_version: Word
    schemas: Annotated[dict[str, SchemaVersion], Field(max_length=30)]
    boot_reason: Literal["power_on", "restart", "watchdog", "update", "unknown"]
    boot_epoch_s: EpochS
    mode: Mode = "live"
    again: bool = False
    kind: Literal["birth"] = "birth"


@dataclass(frozen=True, slots=True)
class State:
    """Whether a controller is connected: ``online`` published after the birth, offline its will. Retained; informs
    people and decides nothing. ``at_epoch_s`` of a will is the moment of the connection it was given with.
    """

    __pydantic_config__ = TOLERANT
    session: Number
    online: bool
    at_epoch_s: EpochS
    schema: SchemaVersion = SCHEMA
    kind: Literal["state"] = "state"


@dataclass(frozen=True, slots=True)
class ConfigVersion:
    """Another configuration came into force; a birth follows where the topology changed."""

    __pydantic_config__ = TOLERANT
    head: Head
    config_version: Word
    topology_version: Word
    software: Word
    actor: Word = ""
    kind: Literal["config"] = "config"


class Quality(StrEnum):
    """How much of a quarter was really measured."""

    GOOD = "good"
    PARTIAL = "partial"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class EnergyRow:
    """One asset, or one metered circuit. ``energy_wh``: net, drawn positive and fed in negative; None where missing.
    ``measured_s``: how much of the period the readings cover.
    """

    __pydantic_config__ = TOLERANT
    id: Id
    energy_wh: float | None
    quality: Quality
    measured_s: Annotated[float, Field(ge=0, le=3600)]


@dataclass(frozen=True, slots=True)
class Energy:
    """A quarter of an hour by asset and by metered circuit; it begins at ``start_epoch_s``."""

    __pydantic_config__ = TOLERANT
    head: Head
    start_epoch_s: EpochS
    assets: Annotated[tuple[EnergyRow, ...], Field(max_length=2000)]
    circuits: Annotated[tuple[EnergyRow, ...], Field(max_length=2000)] = ()
    period_s: Annotated[int, Field(gt=0, le=3600)] = 900
    kind: Literal["energy"] = "energy"


@dataclass(frozen=True, slots=True)
class Event:
    """A condition was entered or left. ``id``: the same on both. ``code``: number and ``name`` of the registry of
    reasons; ``asset``, ``circuit``, ``phase`` (1 to 3) where it is about one.
    """

    __pydantic_config__ = TOLERANT
    head: Head
    id: Word
    entered: bool
    code: Annotated[int, Field(ge=0, le=100_000)]
    name: Word
    text: Text
    asset: Id | None = None
    circuit: Id | None = None
    phase: Annotated[int, Field(ge=1, le=3)] | None = None
    kind: Literal["event"] = "event"


class AckCode(StrEnum):
    """Why a plan was taken or not."""

    ACCEPTED = "accepted"
    MALFORMED = "malformed"
    UNKNOWN_MAJOR = "unknown_major"
    TOO_LARGE = "too_large"
    BAD_SIGNATURE = "bad_signature"
    UNKNOWN_KEY = "unknown_key"
    OTHER_SITE = "other_site"
    LOCAL_ONLY = "local_only"
    """The site follows no plans; its site file says so."""
    OTHER_TOPOLOGY = "other_topology"
    UNKNOWN_ASSET = "unknown_asset"
    REPLAYED = "replayed"
    FROM_THE_FUTURE = "from_the_future"
    NOT_YET_VALID = "not_yet_valid"
    EXPIRED = "expired"
    LEASE_OVER = "lease_over"
    CLOCK_UNTRUSTED = "clock_untrusted"
    NOT_STORED = "not_stored"
    """Its sequence could not be written to disk, so it must not be used."""


@dataclass(frozen=True, slots=True)
class PlanAck:
    """What became of a plan; ``plan_id`` empty and ``sequence`` -1 where they could not be read."""

    __pydantic_config__ = TOLERANT
    head: Head
    plan_id: Annotated[str, Field(max_length=200)]
    sequence: Annotated[int, Field(ge=-1, le=2**53)]
    code: AckCode
    text: Text = ""
    kind: Literal["plan_ack"] = "plan_ack"

    @property
    def accepted(self) -> bool:
        """Whether it is followed from the next scan on."""
        return self.code is AckCode.ACCEPTED


@dataclass(frozen=True, slots=True)
class TargetsMessage:
    """Departures, energy and prices for the site's own rules; the body of a signed envelope. ``prices_eur_per_kwh``: t
    from ``price_start_epoch_s + t * price_step_s``. A higher ``sequence`` replaces a lower.
    """

    __pydantic_config__ = CLOSED
    controller: Id
    site: Id
    sequence: Number
    issued_epoch_s: EpochS
    targets: Annotated[tuple[Target, ...], Field(max_length=MAX_TARGETS)]
    price_start_epoch_s: EpochS
    price_step_s: Annotated[int, Field(gt=0, le=86_400)]
    prices_eur_per_kwh: Annotated[
        tuple[Annotated[float, Field(ge=-EURO_PER_KWH, le=EURO_PER_KWH)], ...], Field(max_length=MAX_PRICES)
    ]
    schema: SchemaVersion = SCHEMA
    kind: Literal["targets"] = "targets"


@dataclass(frozen=True, slots=True)
class RebirthRequest:
    """The cloud side missed something: send a birth and then a whole status. ``session``: the newest it knows."""

    __pydantic_config__ = TOLERANT
    at_epoch_s: EpochS
    session: Number | None = None
    why: Text = ""
    schema: SchemaVersion = SCHEMA
    kind: Literal["rebirth"] = "rebirth"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the cloud side has stored for good: ``[session, first seq, last seq]``, each range without a gap. The site
    may forget these; the broker's acknowledgement says only that the broker had them.
    """

    __pydantic_config__ = TOLERANT
    at_epoch_s: EpochS
    stored: Annotated[tuple[tuple[Number, Number, Number], ...], Field(max_length=200)]
    schema: SchemaVersion = SCHEMA
    kind: Literal["receipt"] = "receipt"


Message: TypeAlias = (
    Birth | State | ConfigVersion | Live | Energy | Event | PlanAck | CommandAnswer | JournalPiece
    | TargetsMessage | Command | RebirthRequest | Receipt
)  # fmt: skip
M = TypeVar("M")

TYPES: Final[Mapping[Kind, type[Any]]] = {
    Kind.BIRTH: Birth,
    Kind.STATE: State,
    Kind.CONFIG: ConfigVersion,
    Kind.LIVE: Live,
    Kind.ENERGY: Energy,
    Kind.EVENT: Event,
    Kind.PLAN_ACK: PlanAck,
    Kind.ANSWER: CommandAnswer,
    Kind.JOURNAL: JournalPiece,
    Kind.TARGETS: TargetsMessage,
    Kind.COMMAND: Command,
    Kind.REBIRTH: RebirthRequest,
    Kind.RECEIPT: Receipt,
}
"""All kinds but the plan."""
CONTENT_TYPE: Final = "application/json"
_ORDERS: Final = (Command, TargetsMessage)
"""Signed: they are written with every key, so that nobody has to agree on defaults."""
_ADAPTERS: Final[dict[type[Any], TypeAdapter[Any]]] = {cls: TypeAdapter(cls) for cls in TYPES.values()}


def write(message: Message) -> bytes:
    """The message as compact JSON. What has its default value is left out, but not the kind and the schema version.

    Raises:
        ValueError: it is not what the contract allows: NaN, a text too long.
    """
    adapter = _ADAPTERS[type(message)]
    spare = type(message) not in _ORDERS
    plain = adapter.dump_python(adapter.validate_python(message), mode="json", exclude_defaults=spare)
    plain["kind"] = message.kind
    stamped: Any = getattr(message, "head", message)
    plain.get("head", plain)["schema"] = stamped.schema
    return json.dumps(plain, allow_nan=False, separators=(",", ":"), ensure_ascii=False).encode()


def read(payload: str | bytes, cls: type[M]) -> M | WireRefusal:
    """The message of this type in a payload, or why it is none."""
    raw = bounded(payload)
    if isinstance(raw, WireRefusal):
        return raw
    head = raw.get("head", raw)
    refusal = version_refusal(head.get("schema") if isinstance(head, dict) else None)
    if refusal is not None:
        return refusal
    if "kind" not in raw:
        return WireRefusal(WireCode.MALFORMED, "it does not say its kind")
    try:
        found: M = _ADAPTERS[cls].validate_json(payload, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        return WireRefusal(WireCode.MALFORMED, f"{where}: {first['msg']}" if where else str(first["msg"]))
    return found


def targets_message(targets: Targets, *, site: str, controller: str) -> TargetsMessage:
    """The wire's form of targets."""
    return TargetsMessage(
        controller=controller,
        site=site,
        sequence=targets.sequence,
        issued_epoch_s=targets.issued_epoch_s,
        targets=targets.targets,
        price_start_epoch_s=targets.price_start_epoch_s,
        price_step_s=targets.price_step_s,
        prices_eur_per_kwh=tuple(targets.price_eur_per_kwh.tolist()),
    )


def targets_in(message: TargetsMessage) -> Targets:
    """The targets of a message whose signature holds and which is for this controller."""
    prices = np.array(message.prices_eur_per_kwh, dtype=np.float64)
    prices.setflags(write=False)
    return Targets(
        sequence=message.sequence,
        issued_epoch_s=message.issued_epoch_s,
        targets=message.targets,
        price_start_epoch_s=message.price_start_epoch_s,
        price_step_s=message.price_step_s,
        price_eur_per_kwh=prices,
    )
