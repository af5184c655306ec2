"""The port between the optimizer and a site: statuses come, plans and targets go, whatever carries them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from interfaces.domain.live import LiveStatus
from interfaces.domain.plan import Plan
from interfaces.domain.targets import Targets
from optimizer.core.problem_state import Target
from optimizer.core.problem_types import STRICT, EpochS, Id


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody (the driver's page, the portal) wants for the session that began at ``plugged_in_epoch_s``."""

    __pydantic_config__ = STRICT
    evse: Id
    plugged_in_epoch_s: EpochS
    target: Target


@dataclass(frozen=True, slots=True)
class Received:
    """What came since the last reading, oldest first. ``wishes``: all that hold now, None where nothing was told anew.

    ``skipped``: messages that could not be used, and ``problem`` why the first of them. ``more``: there is more to read
    at once.
    """

    statuses: tuple[LiveStatus, ...] = ()
    wishes: tuple[Wish, ...] | None = None
    skipped: int = 0
    problem: str = ""
    more: bool = False


@dataclass(frozen=True, slots=True)
class LinkError:
    """Why the link did not do what was asked, in one sentence."""

    reason: str


class SiteLink(Protocol):
    """The link to one site. What goes wrong on the way is a value; nothing waits for the other side."""

    def read(self) -> Received | LinkError:
        """What came since the last call."""

    def send_plan(self, plan: Plan) -> LinkError | None:
        """The plan that holds from now on."""

    def send_targets(self, targets: Targets) -> LinkError | None:
        """The targets and prices that the site's own rules go by without a plan."""

    def last_plan(self) -> Plan | None:
        """The plan that was sent last, also by an earlier process; None where there is none that can be read."""
