"""What every message begins with, and the bounds that hold for all of them before a byte is believed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Final, TypeAlias

from pydantic import ConfigDict, Field

from interfaces.domain.codec import RefusedError
from interfaces.domain.codec_json import MAX_JSON_BYTES, parse_json
from interfaces.domain.site_types import ID_PATTERN

MAJOR: Final[int] = 1
MINOR: Final[int] = 0
SCHEMA: Final[str] = f"{MAJOR}.{MINOR}"
"""Major: older readers would misread it, and refuse. Minor: something was added that they may pass over."""

TOLERANT: Final = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False, revalidate_instances="always")
"""Of what only informs, a key from a newer minor version is passed over."""
CLOSED: Final = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, revalidate_instances="always")
"""Of what orders, nothing may be passed over: an unknown key could be a restriction."""

Id: TypeAlias = Annotated[str, Field(pattern=ID_PATTERN)]
Text: TypeAlias = Annotated[str, Field(max_length=300)]
EpochS: TypeAlias = Annotated[float, Field(ge=0, le=32_503_680_000, description="seconds since 1970 UTC")]
Number: TypeAlias = Annotated[int, Field(ge=0, le=2**53)]
"""Beyond 2^53 readers of JSON disagree."""
SchemaVersion: TypeAlias = Annotated[str, Field(pattern=r"^[0-9]{1,4}\.[0-9]{1,4}$", description="major.minor")]
_VERSION: Final = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})")


@dataclass(frozen=True, slots=True)
class Head:
    """Who says it when. ``session``: one connection of a controller, larger than all before (the larger of last + 1 and
    UTC seconds). ``seq``: 0 for the birth that opens the session, then one more with every message of the controller
    but ``state``; a later birth of the session carries the next number like any other message. Session and ``seq``
    together are the message's name: who reads it twice passes over the second. ``at_epoch_s``: when the fact held, also
    where it is sent later. ``historical``: it was kept on disk first, and numbered when it was made.
    """

    __pydantic_config__ = TOLERANT
    session: Number
    seq: Number
    at_epoch_s: EpochS
    schema: SchemaVersion = SCHEMA
    historical: bool = False


class WireCode(StrEnum):
    """Why a message is refused."""

    TOO_LARGE = "too_large"
    MALFORMED = "malformed"
    UNKNOWN_MAJOR = "unknown_major"
    WRONG_PLACE = "wrong_place"
    UNKNOWN_TOPIC = "unknown_topic"
    SIGNATURE = "signature"
    TOO_MANY = "too_many"


@dataclass(frozen=True, slots=True)
class WireRefusal:
    """A message that is not taken, with the reason; whoever it was meant for goes on by its own rules."""

    code: WireCode
    reason: str

    @property
    def local(self) -> bool:
        """The far side speaks another major version: both go on alone until one of them is updated."""
        return self.code is WireCode.UNKNOWN_MAJOR


def bounded(payload: str | bytes) -> dict[str, Any] | WireRefusal:
    """The plain object in a payload that has passed size, depth, duplicate keys, NaN and huge integers."""
    if len(payload) > MAX_JSON_BYTES:
        return WireRefusal(WireCode.TOO_LARGE, f"larger than {MAX_JSON_BYTES} bytes")
    try:
        raw = parse_json(payload)
    except RefusedError as refused:
        return WireRefusal(WireCode.MALFORMED, str(refused.as_value()))
    return raw if isinstance(raw, dict) else WireRefusal(WireCode.MALFORMED, "not a JSON object")


def version_refusal(version: object) -> WireRefusal | None:
    """Why a message of this schema version cannot be read here; None where it can, or says no version of its own."""
    found = _VERSION.fullmatch(version) if isinstance(version, str) else None
    if found is None:
        return WireRefusal(WireCode.MALFORMED, f"{str(version)[:20]!r} is no schema version")
    if int(found[1]) != MAJOR:
        return WireRefusal(WireCode.UNKNOWN_MAJOR, f"schema {version} is not understood here, only {MAJOR}.x")
    return None
