"""What comes from the cloud, judged: a plan or targets is taken whole or refused whole, with a code and a sentence.

Pure. A plan in force is never touched by a refusal: it goes on until its own lease ends. Nothing here has to be trusted
for safety: a plan that passes is a wish, and the scan clips it like any other.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from controller.core.fallback import SKEW_S
from interfaces.domain.codec import CodecError, RefusedError
from interfaces.domain.codec_json import MAX_JSON_BYTES, parse_json
from interfaces.domain.plan import PLAN_SCHEMA, Plan
from interfaces.domain.plan_text import plan_of_text
from interfaces.domain.targets import Targets
from interfaces.domain.wire import AckCode, TargetsMessage, read, targets_in
from interfaces.domain.wire_head import WireRefusal
from interfaces.drivers.signing import Opened, SignedKind, Verifier

LATER: Final[frozenset[AckCode]] = frozenset({AckCode.CLOCK_UNTRUSTED, AckCode.NOT_YET_VALID})
"""Refusals that time alone may cure: whoever holds the message judges it again."""


@dataclass(frozen=True, slots=True)
class Mark:
    """The highest accepted sequence, and of which very message (SHA-256 of its body), so that the same message may come
    again after a restart while any other one of that number or a lower one may not.
    """

    sequence: int = -1
    digest: str = ""

    def refusal(self, sequence: int, digest: str) -> str:
        """Why a message with this number is not taken; empty when it is."""
        if sequence > self.sequence or (sequence == self.sequence and digest == self.digest):
            return ""
        return f"sequence {sequence} is not above {self.sequence}, which was accepted before"


@dataclass(frozen=True, slots=True)
class Site:
    """Whom a message must be for, and the moment (UTC). ``mark``: of the kind of message that is judged. ``follows``:
    whether the site follows plans at all.
    """

    site: str
    controller: str
    topology_version: str
    assets: frozenset[str]
    epoch_s: float
    clock_trusted: bool
    mark: Mark
    follows: bool = True


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a message is not used; ``plan_id`` and ``sequence`` as far as they could be read."""

    code: AckCode
    text: str
    plan_id: str = ""
    sequence: int = -1


@dataclass(frozen=True, slots=True)
class Accepted:
    """A plan to follow. ``mark`` must be on disk before it is used; ``again``: it had been accepted before."""

    plan: Plan
    mark: Mark
    again: bool


@dataclass(frozen=True, slots=True)
class AcceptedTargets:
    """Targets and prices to go by; ``mark`` as with a plan."""

    targets: Targets
    mark: Mark


def judge(payload: bytes, site: Site, verifier: Verifier) -> Accepted | Refused:
    """What becomes of a signed plan. Every check that does not hold refuses all of it."""
    opened = opened_body("plan", payload, verifier)
    if isinstance(opened, Refused):
        return opened
    plan = plan_of_text(opened.body, opened.key_id)
    if isinstance(plan, CodecError):
        return _unreadable(opened.body, str(plan))
    mark = Mark(plan.sequence, digest_of_body(opened.body))
    code, text = _plan_problem(plan, mark, site)
    if code is not None:
        return Refused(code, text, plan.plan_id, plan.sequence)
    return Accepted(plan, mark, again=mark == site.mark)


def judge_targets(payload: bytes, site: Site, verifier: Verifier) -> AcceptedTargets | Refused:
    """What becomes of signed targets and prices. How long they serve is the core's to say."""
    opened = opened_body("targets", payload, verifier)
    if isinstance(opened, Refused):
        return opened
    message = read(opened.body, TargetsMessage)
    if isinstance(message, WireRefusal):
        return Refused(AckCode.UNKNOWN_MAJOR if message.local else AckCode.MALFORMED, message.reason)
    mark = Mark(message.sequence, digest_of_body(opened.body))
    if (message.site, message.controller) != (site.site, site.controller):
        whose = f"the targets are for controller {message.controller} of site {message.site}"
        return Refused(AckCode.OTHER_SITE, whose, sequence=message.sequence)
    replayed = site.mark.refusal(message.sequence, mark.digest)
    if replayed:
        return Refused(AckCode.REPLAYED, replayed, sequence=message.sequence)
    if site.clock_trusted and message.issued_epoch_s > site.epoch_s + SKEW_S:
        return Refused(AckCode.FROM_THE_FUTURE, "the targets were issued in the future", sequence=message.sequence)
    return AcceptedTargets(targets_in(message), mark)


def opened_body(kind: SignedKind, payload: bytes, verifier: Verifier) -> Opened | Refused:
    """The body of a signed message whose signature holds, or why it does not."""
    if len(payload) > MAX_JSON_BYTES:
        return Refused(AckCode.TOO_LARGE, f"it is larger than {MAX_JSON_BYTES} bytes")
    opened = verifier.open(kind, payload)
    return opened if isinstance(opened, Opened) else Refused(_signature_code(payload, verifier), str(opened))


def digest_of_body(body: str) -> str:
    """Which very message it was."""
    return hashlib.sha256(body.encode()).hexdigest()


def _plan_problem(plan: Plan, mark: Mark, site: Site) -> tuple[AckCode | None, str]:
    """The first thing that speaks against a plan that could be read."""
    end_epoch_s = min(plan.valid_until_epoch_s, plan.start_epoch_s + plan.step_s * len(plan.setpoint_ma))
    strangers = [name for name in plan.assets if name not in site.assets]
    replayed = site.mark.refusal(plan.sequence, mark.digest)
    version = plan.topology_version
    checks = (
        (plan.site != site.site, AckCode.OTHER_SITE, f"the plan is for site {plan.site}"),
        (not site.follows, AckCode.LOCAL_ONLY, "this site does not follow plans"),
        (
            version != site.topology_version,
            AckCode.OTHER_TOPOLOGY,
            f"the plan is for topology {version}, here is {site.topology_version}",
        ),
        (bool(strangers), AckCode.UNKNOWN_ASSET, f"there is no {', '.join(strangers[:3])} here"),
        (bool(replayed), AckCode.REPLAYED, replayed),
        (not site.clock_trusted, AckCode.CLOCK_UNTRUSTED, "the wall clock is not trusted: no plan is used until it is"),
        (
            plan.issued_epoch_s > site.epoch_s + SKEW_S,
            AckCode.FROM_THE_FUTURE,
            f"the plan was issued {plan.issued_epoch_s - site.epoch_s:.0f} s from now: one of the clocks is wrong",
        ),
        (site.epoch_s < plan.start_epoch_s, AckCode.NOT_YET_VALID, "the plan has not started"),
        (site.epoch_s >= end_epoch_s, AckCode.EXPIRED, "the plan has ended"),
        (site.epoch_s >= plan.lease_until_epoch_s, AckCode.LEASE_OVER, "the plan's lease has run out"),
    )
    return next(((code, text) for refused, code, text in checks if refused), (None, ""))


def _signature_code(payload: bytes, verifier: Verifier) -> AckCode:
    """Which of the things that can be wrong with an envelope it is."""
    try:
        raw = parse_json(payload, max_depth=1)
    except RefusedError:
        return AckCode.MALFORMED
    if not isinstance(raw, dict) or not isinstance(raw.get("key_id"), str) or "signature" not in raw:
        return AckCode.MALFORMED
    return AckCode.BAD_SIGNATURE if raw["key_id"] in verifier.keys else AckCode.UNKNOWN_KEY


def _unreadable(body: str, why: str) -> Refused:
    """The optimizer signed it, and yet it is no plan of ours."""
    try:
        raw = parse_json(body)
    except RefusedError:
        return Refused(AckCode.MALFORMED, why)
    schema = raw.get("schema") if isinstance(raw, dict) else PLAN_SCHEMA
    code = AckCode.MALFORMED if schema == PLAN_SCHEMA else AckCode.UNKNOWN_MAJOR
    return Refused(code, why)
