"""What the topology must know of a profile, derived from the profile: pure."""

from __future__ import annotations

from typing import Final

from interfaces.domain.device_facts import DeviceFacts
from interfaces.domain.units import MILLI
from interfaces.drivers.p1_reading import p1_facts
from interfaces.drivers.polling import Block, PlannedPoll, plan_polls
from interfaces.drivers.profile import Profile
from interfaces.drivers.profile_load import find_profile, profile_ids
from interfaces.drivers.sunspec import as_if_found
from interfaces.drivers.zaptec_point import cloud_facts

TCP_RESPONSE_S: Final = 0.05
"""A usual Modbus TCP answer; only serial lines enter the bus arithmetic with the profile's own figure."""

POWER_STEP_A: Final = 0.1
"""Resolution a power setpoint is counted with, in amperes: finer than any battery or inverter regulates."""
POWER_MAX_A: Final = 6300.0
"""Power setpoints have no current of their own; the site's nameplate bounds them."""


def device_facts(profile: Profile) -> DeviceFacts:
    """The facts of one profile, in the product's units."""
    polls = plan_polls(as_if_found(profile))
    cyclic = sorted((poll for poll in polls if poll.period_s), key=lambda poll: poll.period_s)
    blocks = _round_of(cyclic)
    setpoint, failsafe, rtu = profile.setpoint, profile.failsafe, profile.rtu
    writes = failsafe.current_write is not None and failsafe.timeout_write is not None
    reads = failsafe.current_read is not None and failsafe.timeout_read is not None
    low_s, high_s = failsafe.timeout_range_s
    return DeviceFacts(
        profile=profile.id,
        kind=profile.kind,
        connectors=len(profile.points.units),
        step_a=setpoint.step_ma / MILLI if setpoint else POWER_STEP_A,
        min_a=setpoint.min_ma / MILLI if setpoint else 0.0,
        max_a=setpoint.max_ma / MILLI if setpoint else POWER_MAX_A,
        failsafe_settable=writes,
        failsafe_verifiable=reads,
        default_timeout_s=None if profile.keepalive.kind == "none" else profile.keepalive.timeout_s,
        boot_current_a=profile.behaviour.boot_current_a,
        idle_current_a=profile.behaviour.idle_current_a,
        release_s=profile.behaviour.release_s,
        poll_s=cyclic[0].period_s if cyclic else 0.0,
        settle_poll_s=min((p.settle_s for p in polls if p.settle_s), default=cyclic[0].period_s if cyclic else 0.0),
        keepalive=profile.keepalive.kind,
        measures_phases=all(f"current_l{n}_a" in profile.roles for n in (1, 2, 3)),
        phase_switching=profile.phase_switch is not None,
        direct_current=profile.behaviour.direct_current,
        transports=tuple(name for name, have in (("tcp", profile.tcp), ("rtu", rtu)) if have),
        cycle_words=sum(block.count for block in blocks),
        cycle_requests=len(blocks),
        response_s=rtu.max_response_ms / MILLI if rtu else TCP_RESPONSE_S,
        turnaround_s=rtu.turnaround_ms / MILLI if rtu else 0.0,
        unit_ids=profile.points.units,
        port_step=profile.points.port_step,
        timeout_range_s=(float(low_s), float(high_s)) if failsafe.timeout_write is not None else None,
        make=profile.vendor if profile.sunspec is None else "",
    )


def all_facts() -> dict[str, DeviceFacts]:
    """Facts of every shipped profile, of meters with a P1 port and of chargers behind a service, by id and by alias."""
    found: dict[str, DeviceFacts] = {}
    for name in profile_ids():
        profile = find_profile(name)
        if profile is not None:
            found |= dict.fromkeys((profile.id, *profile.aliases), device_facts(profile))
    return found | p1_facts() | cloud_facts()


def _round_of(cyclic: list[PlannedPoll]) -> list[Block]:
    """Requests of one polling round: the fastest groups, and the one longest request of all slower groups.

    The connection reads slower groups one request at a time between two rounds of the fast ones.
    """
    if not cyclic:
        return []
    fast = [block for poll in cyclic if poll.period_s <= cyclic[0].period_s for block in poll.blocks]
    slow = [block for poll in cyclic if poll.period_s > cyclic[0].period_s for block in poll.blocks]
    return fast + sorted(slow, key=lambda block: block.count)[-1:]
