"""Makes that people look for and that have no profile: why, and what to use instead."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final, Literal

import yaml
from pydantic import ConfigDict, TypeAdapter

_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class NotSupported:
    """One make. ``reach``: how it can be reached at all.

    ``reach`` "cloud": only through the maker's service; "no_map": no usable public register table; "other": another
    protocol than Modbus. ``reason`` and ``instead`` are sentences for an installer.
    """

    __pydantic_config__ = _STRICT
    vendor: str
    models: tuple[str, ...]
    kind: Literal["charger", "meter", "inverter", "battery", "io"]
    reach: Literal["cloud", "no_map", "other"]
    reason: str
    instead: str
    confidence: Literal["confirmed", "one_source", "uncertain"]

    @property
    def id(self) -> str:
        """A name for lists: vendor and first model, in small letters."""
        return "_".join(f"{self.vendor} {self.models[0]}".casefold().replace("-", " ").split())


@dataclass(frozen=True, slots=True)
class _Listing:
    """The file."""

    __pydantic_config__ = _STRICT
    schema: Literal[1]
    entries: tuple[NotSupported, ...]


_FILE: Final = "not_supported.yaml"
_adapter: Final[TypeAdapter[_Listing]] = TypeAdapter(_Listing)


@cache
def not_supported() -> tuple[NotSupported, ...]:
    """Every make of the shipped listing, in its order. ValidationError for a wrong file: a bug of ours."""
    text = (resources.files("interfaces.drivers") / "profiles" / _FILE).read_text("utf-8")
    return _adapter.validate_json(json.dumps(yaml.safe_load(text)), strict=True).entries
