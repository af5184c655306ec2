"""Messages from the gateway: checked where they arrive, kept in a bounded queue, read once at the start of a scan."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any, Final

from controller.service.gather import Inputs
from controller.service.identity import Bindings
from controller.service.messages import (
    IN,
    MAX_IN_BYTES,
    Bound,
    DeclaredOff,
    OperatorOrder,
    RemoteReading,
    SiteText,
    StandingOrders,
    Verdict,
)
from controller.service.standing import orders_problem
from interfaces.domain.codec import CodecError, unpack_any
from interfaces.domain.image import Fire
from interfaces.domain.plan import Plan, plan_problems
from interfaces.domain.targets import MAX_PRICES, MAX_TARGETS, Targets
from interfaces.domain.units import MISSING
from interfaces.drivers.zaptec_point import seen_problem

QUEUE: Final = 64
PER_SCAN: Final = 8
MAX_MESSAGE_BYTES: Final = 256 * 1024


@dataclass(slots=True)
class Inbox:
    """The queue. ``full`` tells the reader of the socket to wait."""

    site_id: str
    waiting: deque[Any] = field(default_factory=deque)

    @property
    def full(self) -> bool:
        return len(self.waiting) >= QUEUE

    def take(self, packed: bytes) -> Verdict | None:
        """Check one message and queue it; a verdict only when it is refused."""
        message = unpack_any(packed, IN, max_bytes=MAX_IN_BYTES)
        if isinstance(message, CodecError):
            return Verdict("message", accepted=False, reason=str(message))
        about, reason = type(message).__name__.lower(), self._refusal(message, len(packed))
        if reason:
            return Verdict(about, accepted=False, reason=reason, sequence=sequence_of(message))
        self.waiting.append(message)
        return None

    def read(self) -> list[Any]:
        """The messages of this scan, oldest first."""
        return [self.waiting.popleft() for _ in range(min(PER_SCAN, len(self.waiting)))]

    def _refusal(self, message: Any, size: int) -> str:  # noqa: PLR0911  a table
        if size > MAX_MESSAGE_BYTES and not isinstance(message, SiteText | Plan):
            return f"larger than {MAX_MESSAGE_BYTES} bytes"
        match message:
            case Plan():
                other = "" if message.site == self.site_id else f"the plan is for site {message.site}"
                return "; ".join(filter(None, (other, *plan_problems(message))))
            case Targets():
                return _targets_problem(message)
            case OperatorOrder():
                known = message.fire in set(Fire) and (message.limit_mw == MISSING or message.limit_mw >= 0)
                return "" if known else "fire input or limit is out of range"
            case Bound():
                return "" if len(message.devices) == len(message.serials) else "two lists of different length"
            case StandingOrders():
                return orders_problem(message)
            case RemoteReading():
                return seen_problem(message.seen)
            case _:
                return ""


def _targets_problem(targets: Targets) -> str:
    if len(targets.targets) > MAX_TARGETS or targets.price_eur_per_kwh.size > MAX_PRICES:
        return f"more than {MAX_TARGETS} targets or {MAX_PRICES} prices"
    if targets.price_eur_per_kwh.ndim != 1 or targets.price_step_s <= 0:
        return "prices are one value per positive step"
    if any(target.energy_wh < 0 for target in targets.targets):
        return "an energy is negative"
    return ""


def with_message(inputs: Inputs, message: Plan | Targets | DeclaredOff | Bound | OperatorOrder) -> Inputs | str:
    """The inputs after one message, or why it is refused. A plan or targets older than what is held are refused."""
    match message:
        case Plan():
            older = _older(inputs.plan, message.sequence)
            return f"plan {message.sequence} is {older}" if older else replace(inputs, plan=message)
        case Targets():
            older = _older(inputs.targets, message.sequence)
            return f"targets {message.sequence} are {older}" if older else replace(inputs, targets=message)
        case DeclaredOff():
            return replace(inputs, declared_off=frozenset(message.assets))
        case Bound():
            return replace(inputs, bindings=Bindings.of(dict(zip(message.devices, message.serials, strict=True))))
        case OperatorOrder():
            return replace(inputs, operator_limit_mw=message.limit_mw, operator_stop=message.stop, fire=message.fire)


def sequence_of(message: Any) -> int:
    """The number of a plan or targets; -1 for what has none."""
    return message.sequence if isinstance(message, Plan | Targets) else -1


def _older(held: Plan | Targets | None, sequence: int) -> str:
    return "" if held is None or sequence >= held.sequence else f"older than {held.sequence}"
