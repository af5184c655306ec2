"""Orders from the cloud side: a closed list, each signed, with an end, a person and that person's role.

None of them can raise anything above what is commissioned on site. The text of a ``Command`` is the body of a signed
envelope of the kind ``command``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Annotated, Final, Literal, TypeAlias, get_args

from pydantic import Field

from interfaces.domain.wire_head import CLOSED, SCHEMA, TOLERANT, EpochS, Head, Id, SchemaVersion, Text

LONGEST_COMMAND_S: Final[float] = 3600.0
"""From issue to expiry of the command itself at most; what it orders may last longer (``until_epoch_s``)."""

Amps: TypeAlias = Annotated[float, Field(ge=0, le=10_000)]


class Role(IntEnum):
    """What a person may do; each role may all that those before it may."""

    VIEWER = 0
    DRIVER = 1
    OPERATOR = 2
    INSTALLER = 3
    ADMIN = 4


RoleName: TypeAlias = Literal["viewer", "driver", "operator", "installer", "admin"]


@dataclass(frozen=True, slots=True)
class LimitCharger:
    """No more than ``limit_a`` per conductor at one charger, until the time given or until further notice."""

    __pydantic_config__ = CLOSED
    asset: Id
    limit_a: Amps
    until_epoch_s: EpochS | None = None
    do: Literal["limit_charger"] = "limit_charger"


@dataclass(frozen=True, slots=True)
class Pause:
    """Stop charging here until resumed, or until the time given."""

    __pydantic_config__ = CLOSED
    asset: Id
    until_epoch_s: EpochS | None = None
    do: Literal["pause"] = "pause"


@dataclass(frozen=True, slots=True)
class Resume:
    """Take back a limit, a pause, or being out of service."""

    __pydantic_config__ = CLOSED
    asset: Id
    do: Literal["resume"] = "resume"


@dataclass(frozen=True, slots=True)
class Restart:
    """Restart the charger itself, where it can be told to."""

    __pydantic_config__ = CLOSED
    asset: Id
    do: Literal["restart"] = "restart"


@dataclass(frozen=True, slots=True)
class OutOfService:
    """The charger serves nobody until resumed."""

    __pydantic_config__ = CLOSED
    asset: Id
    do: Literal["out_of_service"] = "out_of_service"


@dataclass(frozen=True, slots=True)
class SolarMode:
    """Charge from surplus only, or no longer so; ``asset`` None: everywhere on the site."""

    __pydantic_config__ = CLOSED
    on: bool
    asset: Id | None = None
    do: Literal["solar_mode"] = "solar_mode"


@dataclass(frozen=True, slots=True)
class ChargeNow:
    """This session waits for no cheaper hour; limits hold as ever."""

    __pydantic_config__ = CLOSED
    asset: Id
    do: Literal["charge_now"] = "charge_now"


@dataclass(frozen=True, slots=True)
class SendJournal:
    """Send the segments of the journal that hold the scans of this window, as ``JournalPiece`` messages."""

    __pydantic_config__ = CLOSED
    from_epoch_s: EpochS
    to_epoch_s: EpochS
    do: Literal["send_journal"] = "send_journal"


@dataclass(frozen=True, slots=True)
class ProposeConfiguration:
    """A site file that somebody on site may look at and put into force; nothing happens by itself."""

    __pydantic_config__ = CLOSED
    text: Annotated[str, Field(max_length=200_000)]
    comment: Text = ""
    do: Literal["propose_configuration"] = "propose_configuration"


Order: TypeAlias = Annotated[
    LimitCharger | Pause | Resume | Restart | OutOfService | SolarMode | ChargeNow | SendJournal | ProposeConfiguration,
    Field(discriminator="do"),
]

LEAST_ROLE: Final[dict[str, Role]] = {
    "charge_now": Role.DRIVER,
    "pause": Role.DRIVER,
    "resume": Role.DRIVER,
    "solar_mode": Role.OPERATOR,
    "limit_charger": Role.OPERATOR,
    "out_of_service": Role.OPERATOR,
    "restart": Role.OPERATOR,
    "send_journal": Role.OPERATOR,
    "propose_configuration": Role.INSTALLER,
}
"""Who may order what. A driver's commands are for the driver's own session: the cloud side sees to whose it is."""


@dataclass(frozen=True, slots=True)
class Command:
    """One order. ``id`` is unique for ever: a second one with the same id is answered like the first and done once.
    ``controller`` and ``site``: whom it is for. After ``expires_epoch_s`` it may not be begun any more. ``actor``: who
    wants it, for the audit log.
    """

    __pydantic_config__ = CLOSED
    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{8,64}$")]
    controller: Id
    site: Id
    issued_epoch_s: EpochS
    expires_epoch_s: EpochS
    actor: Annotated[str, Field(min_length=1, max_length=100)]
    role: RoleName
    order: Order
    schema: SchemaVersion = SCHEMA
    kind: Literal["command"] = "command"


class AnswerCode(StrEnum):
    """What became of a command."""

    DONE = "done"
    NOT_POSSIBLE = "not_possible"
    EXPIRED = "expired"
    NOT_YET = "not_yet"
    """It was issued in the future, or the clock here is not trusted."""
    NOT_ALLOWED = "not_allowed"
    NOT_FOR_US = "not_for_us"
    UNKNOWN_ASSET = "unknown_asset"
    UNKNOWN_MAJOR = "unknown_major"
    MALFORMED = "malformed"
    BAD_SIGNATURE = "bad_signature"


@dataclass(frozen=True, slots=True)
class CommandAnswer:
    """The answer to a command, with a sentence for whoever gave it. ``command`` is empty where none could be read."""

    __pydantic_config__ = TOLERANT
    head: Head
    command: Annotated[str, Field(max_length=64)]
    code: AnswerCode
    text: Text = ""
    kind: Literal["answer"] = "answer"


def may(role: RoleName, order: Order) -> bool:
    """Whether this role is enough for this order."""
    return Role[role.upper()] >= LEAST_ROLE[order.do]


ORDERS: Final[tuple[str, ...]] = tuple(one.__dataclass_fields__["do"].default for one in get_args(get_args(Order)[0]))
"""The closed list."""
