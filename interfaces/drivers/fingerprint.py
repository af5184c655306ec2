"""Is this the make, the map and the word order the profile describes? Pure.

Checks are made on the registers a profile names, at every connect and once an hour. A failed "identity" check means
that another device answers, so nothing but a pause is ever written to it; a failed "plausible" check means that
a word order, a scale or a setting on the device is not what the profile expects.
"""

from __future__ import annotations

from collections.abc import Mapping

from interfaces.drivers.profile import Profile
from interfaces.drivers.profile_control import Condition
from interfaces.drivers.profile_identity import Check
from interfaces.drivers.registers import Value
from interfaces.drivers.roles import holds

Values = Mapping[str, Value | None]


def suspicions(profile: Profile, values: Values) -> tuple[str, ...]:
    """What speaks against the profile, one sentence per failed check; nothing when all is as it should be."""
    return tuple(_told(profile, check, values) for check in profile.fingerprint if not passes(check, values))


def is_foreign(profile: Profile, values: Values) -> bool:
    """Whether an identity check fails: another make, or another map, answers here."""
    return any(check.kind == "identity" and not passes(check, values) for check in profile.fingerprint)


def passes(check: Check, values: Values) -> bool:
    """Whether a register shows what it must. One that was never read proves nothing either way."""
    if check.register not in values or values[check.register] in check.ignore:
        return True
    value = values[check.register]
    if value is None:
        return check.optional
    bounds = Condition(check.register, check.at_least, check.below, check.one_of)
    starts = tuple(start.casefold() for start in check.starts_with)
    return holds(bounds, values) and (not starts or str(value).casefold().startswith(starts))


def _told(profile: Profile, check: Check, values: Values) -> str:
    value = values.get(check.register)
    shown = "nothing" if value is None else repr(value) if isinstance(value, str) else f"{value:g}"
    return f"{check.register} of {profile.vendor} {profile.id} shows {shown}. {check.says}"
