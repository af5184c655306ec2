"""The part of a device profile that says how to recognise the make and the map it answers with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import ConfigDict

_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class Check:
    """What a register must show on this make; every bound given must hold.

    ``kind`` "identity": otherwise it is another device or another map; "plausible": otherwise the word order, a scale
    or a setting is not as the profile has it. ``starts_with``: of texts, without regard to case. ``ignore``: values
    that prove nothing (0 where nothing is plugged). ``optional``: a device without the register is this make too.
    ``says``: what the installer is told to do.
    """

    __pydantic_config__ = _STRICT
    register: str
    says: str
    kind: Literal["identity", "plausible"] = "identity"
    at_least: float | None = None
    below: float | None = None
    one_of: tuple[int | str, ...] | None = None
    starts_with: tuple[str, ...] = ()
    ignore: tuple[int | float | str, ...] = ()
    optional: bool = False


@dataclass(frozen=True, slots=True)
class RegisterSet:
    """One of the maps a device can be switched to: its name on the device's page and the profile that has it."""

    __pydantic_config__ = _STRICT
    setting: str
    profile: str
    confidence: Literal["confirmed", "one_source", "uncertain"]
