"""`device list`: the devices the product has a profile for, and the makes it has none for, with what to do instead."""

from __future__ import annotations

from interfaces.drivers.not_supported import NotSupported, not_supported
from interfaces.drivers.p1_reading import P1_PROFILES
from interfaces.drivers.profile import Profile
from interfaces.drivers.profile_load import find_profile, profile_ids
from interfaces.drivers.zaptec_point import CLOUD_PROFILES


def matching_profiles(words: str = "") -> tuple[Profile, ...]:
    """Profiles that have every word (any case) in their id, vendor, kind, models or aliases, by kind, vendor and id."""
    found = [profile for name in profile_ids() if (profile := find_profile(name)) is not None]
    found += (*P1_PROFILES.values(), *CLOUD_PROFILES.values())
    wanted = [one for one in found if _says(words, one.id, one.vendor, one.kind, *one.models, *one.aliases)]
    return tuple(sorted(wanted, key=lambda one: (one.kind, one.vendor.casefold(), one.id)))


def matching_not_supported(words: str = "") -> tuple[NotSupported, ...]:
    """Makes without a profile, with every word (any case) in vendor, kind or models."""
    return tuple(one for one in not_supported() if _says(words, one.vendor, one.kind, *one.models))


def transports(profile: Profile) -> list[str]:
    """How it is reached: "tcp" Modbus TCP, "rtu" Modbus RTU on a serial line or through a gateway, "p1" a P1 port,
    "cloud" its maker's service.
    """
    if profile.id in CLOUD_PROFILES:
        return ["cloud"]
    if profile.id in P1_PROFILES:
        return ["p1"]
    return [name for name, there in (("tcp", profile.tcp), ("rtu", profile.rtu)) if there is not None]


def list_figures(words: str = "") -> dict[str, object]:
    """The lists as one JSON object."""
    devices = [_plain(one) for one in matching_profiles(words)]
    others = [
        {
            "vendor": one.vendor,
            "models": list(one.models),
            "kind": one.kind,
            "reach": one.reach,
            "reason": one.reason,
            "instead": one.instead,
            "confidence": one.confidence,
        }
        for one in matching_not_supported(words)
    ]
    return {"devices": devices, "not_supported": others}


def profile_figures(profile: Profile) -> dict[str, object]:
    """One profile in the form of the list, with what must be set on the device itself."""
    return {"devices": [{**_plain(profile), "setup_on_device": list(profile.setup_on_device)}], "not_supported": []}


def _plain(one: Profile) -> dict[str, object]:
    return {
        "id": one.id,
        "kind": one.kind,
        "vendor": one.vendor,
        "models": list(one.models),
        "aliases": list(one.aliases),
        "confidence": one.confidence,
        "transports": transports(one),
    }


def _says(words: str, *texts: str) -> bool:
    told = " ".join(texts).casefold()
    return all(word in told for word in words.casefold().split())
