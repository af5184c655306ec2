"""Where a message travels: ``sw/1/CONTROLLER/CLASS/ORGANISATION/SITE/KIND``.

The controller stands first because the broker's rights are by the name in its certificate and by that name alone
(``deploy/acl``); organisation and site stand behind the class, so that one filter selects them. What a topic says of
organisation and site is checked against what is known of the controller by whoever reads it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from interfaces.domain.site_types import ID_PATTERN

ROOT: Final = "sw/1"
"""The 1 is the major version of the whole contract; it changes only when the topics do."""
CONTROLLER_PATTERN: Final = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
"""What a certificate's common name may be (a DNS label)."""
_CONTROLLER: Final = re.compile(CONTROLLER_PATTERN)
_ID: Final = re.compile(ID_PATTERN)


class Kind(StrEnum):
    """What a message is; the last level of its topic."""

    BIRTH = "birth"
    STATE = "state"
    CONFIG = "config"
    LIVE = "live"
    ENERGY = "energy"
    EVENT = "event"
    PLAN_ACK = "plan_ack"
    ANSWER = "answer"
    JOURNAL = "journal"
    PLAN = "plan"
    TARGETS = "targets"
    COMMAND = "command"
    REBIRTH = "rebirth"
    RECEIPT = "receipt"


@dataclass(frozen=True, slots=True)
class Route:
    """How messages of one kind travel, always with QoS 1. ``folder``: the class that the broker's rights name. ``up``:
    from the controller. ``expiry_s``: after so long the broker drops it; None: never, or as the message itself says.
    """

    folder: str
    up: bool
    retained: bool = False
    expiry_s: int | None = None


ROUTES: Final[dict[Kind, Route]] = {
    Kind.BIRTH: Route("state", up=True),
    Kind.STATE: Route("state", up=True, retained=True),
    Kind.CONFIG: Route("state", up=True),
    Kind.LIVE: Route("telemetry", up=True),
    Kind.ENERGY: Route("telemetry", up=True),
    Kind.EVENT: Route("events", up=True),
    Kind.PLAN_ACK: Route("ack", up=True),
    Kind.ANSWER: Route("ack", up=True),
    Kind.JOURNAL: Route("telemetry", up=True),
    Kind.PLAN: Route("plan", up=False, retained=True),
    Kind.TARGETS: Route("targets", up=False, retained=True),
    Kind.COMMAND: Route("command", up=False),
    Kind.REBIRTH: Route("command", up=False, expiry_s=60),
    Kind.RECEIPT: Route("command", up=False, expiry_s=60),
}
"""A plan and a command expire with their own validity. A rebirth or receipt that comes late is asked or told again."""


@dataclass(frozen=True, slots=True)
class Address:
    """One controller at one site of one organisation."""

    organisation: str
    site: str
    controller: str

    def topic(self, kind: Kind) -> str:
        """The topic of one kind of message."""
        return f"{ROOT}/{self.controller}/{ROUTES[kind].folder}/{self.organisation}/{self.site}/{kind}"

    @property
    def filters(self) -> tuple[str, ...]:
        """What the controller subscribes to, one filter per kind that comes to it."""
        return tuple(self.topic(kind) for kind, route in ROUTES.items() if not route.up)


@dataclass(frozen=True, slots=True)
class Place:
    """What a topic says."""

    address: Address
    kind: Kind


def address_problem(address: Address) -> str:
    """Why these names cannot stand in a topic, empty when they can."""
    if _CONTROLLER.fullmatch(address.controller) is None:
        return f"{address.controller[:70]!r} is no name of a controller: small letters, digits and hyphens, at most 63"
    for name in (address.organisation, address.site):
        if _ID.fullmatch(name) is None:
            return f"{name[:70]!r} is no name: letters, digits, - and _, at most 64"
    return ""


def place_of(topic: str) -> Place | None:
    """The address and kind that a topic names; None where it is none of ours."""
    levels = topic.split("/")
    if len(levels) != 7 or "/".join(levels[:2]) != ROOT or levels[6] not in Kind.__members__.values():
        return None
    controller, folder, organisation, site, word = levels[2:]
    place = Place(Address(organisation, site, controller), Kind(word))
    return place if ROUTES[place.kind].folder == folder and not address_problem(place.address) else None


def cloud_filters(controller: str = "+") -> tuple[str, ...]:
    """What the cloud side subscribes to, one filter per class; of all controllers unless one is named."""
    folders = dict.fromkeys(route.folder for route in ROUTES.values() if route.up)
    return tuple(f"{ROOT}/{controller}/{folder}/#" for folder in folders)
