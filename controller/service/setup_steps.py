"""What must be set on a device itself before it can be controlled: the profile's steps, shown when a device is new.

One place collects them and one writes them, for the list, for what a search found, for a site file's check and for the
record of a commissioning.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from controller.service.bindings import load_bindings
from controller.service.identity import serials_of
from interfaces.domain.site_bus import devices
from interfaces.domain.site_file import Site
from interfaces.drivers.p1_reading import find_p1
from interfaces.drivers.profile import Profile
from interfaces.drivers.profile_load import find_profile
from interfaces.drivers.zaptec_point import find_cloud

MOST_BYTES: Final = 20_000_000
"""A record of a commissioning is far smaller."""
NAMED: Final = 6


@dataclass(frozen=True, slots=True)
class SetUp:
    """The steps of one profile, and the devices they are for (empty: whichever)."""

    profile: Profile
    devices: tuple[str, ...] = ()


def profile_named(name: str) -> Profile | None:
    """The profile with that id or alias, of whatever transport."""
    return find_profile(name) or find_p1(name) or find_cloud(name)


def set_ups(new: Iterable[tuple[str, str]]) -> tuple[SetUp, ...]:
    """One entry per profile in the order of its first device; ``new``: (device, profile id or alias)."""
    found: dict[str, SetUp] = {}
    for device, name in new:
        profile = profile_named(name)
        if profile is not None and profile.setup_on_device:
            before = found.get(profile.id, SetUp(profile))
            found[profile.id] = SetUp(profile, (*before.devices, *([device] if device else [])))
    return tuple(found.values())


def set_ups_plain(found: Iterable[SetUp]) -> list[dict[str, object]]:
    """As plain data for JSON."""
    return [
        {"profile": one.profile.id, "devices": list(one.devices), "steps": list(one.profile.setup_on_device)}
        for one in found
    ]


def set_up_lines(found: Iterable[SetUp]) -> list[str]:
    """As lines for people: a heading per profile and its numbered steps."""
    lines: list[str] = []
    for one in found:
        names, more = ", ".join(one.devices[:NAMED]), len(one.devices) - NAMED
        places = f": {names}{f' and {more} more' if more > 0 else ''}" if names else ""
        lines.append(f"set up on {one.profile.vendor} ({one.profile.id}){places}")
        lines += [f"  {number}. {step}" for number, step in enumerate(one.profile.setup_on_device, 1)]
    return lines


def never_met(site: Site, retain_dir: Path | None) -> tuple[SetUp, ...]:
    """The steps of the devices of a site that no controller has met: neither bound before on this machine, whose retain
    folder is given, nor named by serial number in the site file.
    """
    bound = {} if retain_dir is None else load_bindings(retain_dir).bound
    met = {*bound, *serials_of(site)}
    return set_ups((entry.id, entry.profile) for entry in devices(site) if entry.id not in met)


def recorded(folder: Path, site: str) -> frozenset[str]:
    """The devices that answered in a record of this site in that folder; a file that cannot be read counts for none."""
    found: set[str] = set()
    for path in sorted(folder.glob(f"commissioning-{site}-*.json")):
        try:
            if path.stat().st_size > MOST_BYTES:
                continue
            content = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            continue
        found |= _devices_in(content)
    return frozenset(found)


def _devices_in(content: Any) -> set[str]:
    record = content.get("record") if isinstance(content, Mapping) else None
    named = record.get("devices") if isinstance(record, Mapping) else None
    return {one for one in named if isinstance(one, str)} if isinstance(named, list) else set()
