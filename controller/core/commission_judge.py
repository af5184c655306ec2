"""Commissioning records in, findings out: what an electrician must know of one charger, in plain sentences. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final, Literal

from controller.core.commission import (
    FLOWS_A,
    Contest,
    EvseRecord,
    FailsafeSeen,
    Finding,
    Step,
    Verdict,
    car_charged,
    largest,
)
from controller.core.commission_meter import judge_meter, judge_wiring, response_of

TOLERANCE_A: Final[float] = 0.6
"""Chargers floor to whole steps and meter within 1 % of 32 A."""
FOLLOWS: Final[float] = 0.5
"""Share of a step from which another charger's current counts as moved by it."""
NO_CAR: Final = "A"
_TRANSPARENT: Final = "make the gateway transparent, or end the program that sets it back, then repeat"
MEDDLED: Final[Mapping[Contest, tuple[str, str]]] = {
    "dropped": (
        "setpoint_overwritten",
        f"{_TRANSPARENT}; switch remote control on in the device if there is no gateway",
    ),
    "set_back": ("setpoint_overwritten", _TRANSPARENT),
    "two_masters": ("two_masters", "leave one alone in command, then repeat: chargers with two masters obey the last"),
}
"""Finding and what to do, where a setpoint does not stay as it was written."""


def judge(record: EvseRecord) -> tuple[Finding, ...]:
    """All findings of one EVSE, in the order in which it was tested."""
    found = [_identity(record)]
    if not may_command(record):
        return tuple(found)
    found += _failsafe(record)
    found += _steps(record)
    found += _others(record)
    found += _meters(record)
    found += _silence(record)
    found += _restored(record)
    return tuple(found)


def may_command(record: EvseRecord) -> bool:
    """Whether this is surely the device that belongs here; nothing is written to any other one."""
    found = record.found
    return found.connected and not found.suspect and not found.stranger


def trust_in_meters(record: EvseRecord) -> Literal["proven", "unknown", "wrong"]:
    """What the steps made so far say of the meters above: all see the charger the right way, or one does not."""
    if not car_charged(record.steps) or not record.plan.meters:
        return "unknown"
    verdicts: set[Verdict] = set()
    for meter in record.plan.meters:
        response = response_of(record.plan, record.steps, meter)
        judged = [] if response is None else judge_meter(record.plan, response, meter)
        verdicts |= {one.verdict for one in judged} or {"not_tested"}
    if "fault" in verdicts:
        return "wrong"
    return "proven" if verdicts == {"ok"} else "unknown"


def wants_one_phase(record: EvseRecord) -> bool:
    """Whether steps on one conductor would tell what the steps made so far left open: the rotation of the phases."""
    steps, plan = [step for step in record.steps if step.outcome == "done"], record.plan
    if len(plan.phases) < 2 or not plan.per_conductor or not car_charged(steps):
        return False
    found = _wiring(record, steps)
    return bool(found) and all(one.verdict == "not_tested" for one in found)


def _identity(record: EvseRecord) -> Finding:
    plan, found = record.plan, record.found
    if not found.connected:
        why = found.problem or "no answer"
        do = "check power, cable, address and whether another program holds the connection"
        return Finding("no_connection", plan.device, "fault", f"{plan.device} does not answer ({why})", do)
    if found.stranger:
        do = "put addresses or cables right, or the serial number in the site file; nothing was written to it"
        code = "addresses_swapped" if "swapped" in found.stranger else "wrong_device"
        return Finding(code, plan.device, "fault", found.stranger, do)
    if found.suspect:
        do = "choose the profile of the make on the label, or set the device as its profile says; nothing was written"
        says = f"{plan.device} is not what {plan.make} describes: {' '.join(found.suspect)}"
        return Finding("wrong_device", plan.device, "fault", says, do)
    named = [("model", found.model), ("serial", found.serial), ("firmware", found.firmware)]
    shown = ", ".join(f"{name} {value}" for name, value in named if value) or "it tells neither model nor serial number"
    return Finding("identity", plan.device, "ok", f"{plan.device} answers as {plan.make}: {shown}")


def _failsafe(record: EvseRecord) -> Iterator[Finding]:
    """What it was, what it is now."""
    plan, seen = record.plan, record.failsafe
    if plan.failsafe_a is None or plan.timeout_s is None:
        do = "write `failsafe` for this charger into the site file"
        yield Finding("failsafe_unset", plan.device, "fault", "the site file wants no failsafe of it", do)
        return
    wanted = f"{plan.failsafe_a:g} A after {plan.timeout_s:g} s"
    before = _told(FailsafeSeen(current_a=record.found.failsafe_a, timeout_s=record.found.timeout_s))
    if seen.verdict == "unsafe":
        says = f"failsafe is unsafe: {_told(seen)} instead of {wanted}, and it could not be written"
        yield Finding("failsafe_unsafe", plan.device, "fault", says, "set it on the device itself, then repeat")
    elif seen.verdict == "verified" and _was_unsafe(record):
        says = f"failsafe was unsafe: {before}. It was set to {wanted} and read back"
        do = "repeat after switching its power off and on: some makes forget it"
        yield Finding("failsafe_unsafe", plan.device, "fault", says, do)
    elif seen.verdict == "verified":
        yield Finding("failsafe", plan.device, "ok", f"failsafe proven: {_told(seen)} (wanted {wanted})")
    elif plan.accepted:
        says = f"failsafe cannot be read ({_told(seen)}); the site file accepts that"
        yield Finding("failsafe_unproven", plan.device, "note", says, "see the result without communication below")
    else:
        says = f"failsafe cannot be proven ({_told(seen)}), wanted {wanted}"
        do = "the charger counts at its full current; prove it below and say so in `accept_unverified_failsafe`"
        yield Finding("failsafe_unproven", plan.device, "fault", says, do)


def _was_unsafe(record: EvseRecord) -> bool:
    plan, found = record.plan, record.found
    current_a, timeout_s = found.failsafe_a, found.timeout_s
    high = current_a is not None and plan.failsafe_a is not None and current_a > plan.failsafe_a + TOLERANCE_A
    late = timeout_s is not None and plan.timeout_s is not None and (timeout_s == 0 or timeout_s > plan.timeout_s)
    return high or late


def _told(seen: FailsafeSeen) -> str:
    current = "current unknown" if seen.current_a is None else f"{seen.current_a:g} A"
    timeout = "time-out unknown" if seen.timeout_s is None else f"after {seen.timeout_s:g} s"
    return f"{current} {timeout}" + (" (time-out switched off)" if seen.timeout_s == 0 else "")


def _steps(record: EvseRecord) -> Iterator[Finding]:
    plan, steps = record.plan, record.steps
    for step in steps:
        if step.outcome != "done":
            verb = "was not commanded" if step.outcome == "refused" else "was given up and set to 0 A"
            do = "repeat when the building takes less" if step.outcome == "aborted" or "circuit" in step.why else ""
            says = f"{step.target_a:g} A {verb}: {step.why}"
            yield Finding("step_" + step.outcome, plan.evse, "not_tested", says, do)
    done = [step for step in steps if step.outcome == "done"]
    yield from (_wrong(plan.evse, step) for step in done if _is_wrong(step))
    if not any(step.target_a > 0 for step in done):
        return
    charged = car_charged(done)
    if charged:
        yield from (_measured(record, step) for step in done if not _is_wrong(step))
        yield from _reaction(record, done)
        return
    if all(largest(step.after.charger_a) is None for step in done):
        says = (
            "this make measures no current: current, phase rotation, reaction time and the meter check are not tested"
        )
        yield Finding("no_measurement", plan.evse, "not_tested", says, "see on the meter that the car follows")
        return
    state = next((step.after.state for step in done if step.target_a > 0), "")
    if NO_CAR in {state, record.found.state}:
        says = "no car: current, phase rotation, reaction time and the meter check are not tested"
        yield Finding("no_car", plan.evse, "not_tested", says, "plug in a car (or a test load) and repeat")
    else:
        says = f"no reaction: {max(s.target_a for s in done):g} A were offered and no current flowed (state {state})"
        do = "is the car full, asleep or waiting for a release (RFID)? Then repeat with another one"
        yield Finding("no_reaction", plan.evse, "fault", says, do)


def _is_wrong(step: Step) -> bool:
    """Written and not obeyed: not acknowledged, not shown, or exceeded by the car."""
    return bool(step.problem) or _shows_other(step) or _exceeds(step)


def _shows_other(step: Step) -> bool:
    """It says it was told something else."""
    told = step.after.readback_a
    return told is not None and told > step.target_a + TOLERANCE_A


def _exceeds(step: Step) -> bool:
    drawn = largest(step.after.charger_a) or 0.0
    return drawn > max(step.target_a * 1.05, FLOWS_A) + TOLERANCE_A


def _wrong(evse: str, step: Step) -> Finding:
    if step.contest in MEDDLED:
        code, do = MEDDLED[step.contest]
        return Finding(code, evse, "fault", f"{step.target_a:g} A were commanded: the setpoint {step.problem}", do)
    drawn = largest(step.after.charger_a)
    shown = [
        "" if step.after.readback_a is None else f"it shows {step.after.readback_a:g} A",
        "" if drawn is None else f"{drawn:.1f} A flow",
        step.problem,
    ]
    says = (
        f"the setpoint is not applied: {step.target_a:g} A were commanded, {', '.join(part for part in shown if part)}"
    )
    do = "is another master commanding it, or is remote control switched off in the device? Look there first"
    return Finding("setpoint_not_applied", evse, "fault", says, do)


def _measured(record: EvseRecord, step: Step) -> Finding:
    """Commanded against offered against measured, per conductor; less than commanded is the car's good right."""
    currents = "/".join("-" if a is None else f"{a:.1f}" for a in step.after.charger_a[: len(record.plan.phases)])
    offered = "" if step.after.offered_a is None else f", {step.after.offered_a:g} A offered"
    says = f"{step.target_a:g} A commanded{offered}, {currents} A measured per conductor"
    return Finding("step", record.plan.evse, "ok", says)


def _reaction(record: EvseRecord, done: list[Step]) -> Iterator[Finding]:
    """How long the car took, against what the controller counts with."""
    plan = record.plan
    rises = [step for step in done if step.target_a > 0 and largest(step.after.charger_a)]
    times = [step.measured_s for step in done if step.measured_s is not None]
    offers = [step.offered_s for step in done if step.offered_s is not None]
    missing = [step for step in done if step.measured_s is None and (step in rises or step.target_a == 0)]
    if not times:
        yield Finding("reaction", plan.evse, "not_tested", "reaction time: the current did not settle at a step")
        return
    offered = f"offered after {max(offers):.1f} s, " if offers else ""
    says = f"reaction: {offered}current after {max(times):.1f} s at most"
    slow = max(times) > plan.release_s + plan.poll_s
    if slow:
        says += f"; {plan.release_s:g} s are allowed"
    if missing:
        says += f" ({len(missing)} step(s) did not settle)"
    do = "see whether another car does the same; a charger this slow needs more margin" if slow else ""
    yield Finding("reaction_slow" if slow else "reaction", plan.evse, "fault" if slow else "ok", says, do)


def _others(record: EvseRecord) -> Iterator[Finding]:
    """Another charger's current that follows our commands: the two are exchanged somewhere."""
    moved = swapped_with(record)
    for other in moved:
        yield Finding(
            "addresses_swapped",
            record.plan.evse,
            "fault",
            f"commanding {record.plan.evse} moves the current of {other}: the two are exchanged",
            f"exchange the addresses (or unit ids, or cables) of {record.plan.evse} and {other}, then repeat both",
        )


def swapped_with(record: EvseRecord) -> tuple[str, ...]:
    """EVSEs that moved with every step made, while this one did not."""
    done = [step for step in record.steps if step.outcome == "done"]
    if len(done) < 2 or car_charged(done):
        return ()
    found = []
    for other in done[0].after.others_a:
        shares = []
        level_a = 0.0
        for step in done:
            if step.target_a == level_a:
                continue
            before, after = step.before.others_a.get(other), step.after.others_a.get(other)
            if before is None or after is None:
                shares.append(0.0)
                continue
            shares.append((after - before) / (step.target_a - level_a))
            level_a = step.target_a
        if shares and all(share > FOLLOWS for share in shares):
            found.append(other)
    return tuple(found)


def _meters(record: EvseRecord) -> Iterator[Finding]:
    """The wiring by the meter nearest to the grid that works, and every meter above by itself."""
    plan, steps = record.plan, [step for step in record.steps if step.outcome == "done"]
    silent = [
        m for m in plan.meters if any(m not in s.after.meters or not s.after.meters[m].fresh for s in record.steps)
    ]
    for meter in silent:
        do = f"check power, cable, address and unit of {meter}; without it the declared worst case counts"
        yield Finding("meter_silent", meter, "fault", f"{meter} is silent: no fresh reading during the test", do)
    if not plan.meters:
        do = "give the grid connection a meter in the site file"
        yield Finding("no_meter", plan.evse, "not_tested", "no meter above this charger: phases and meter", do)
    if not car_charged(steps):
        return
    for meter in plan.meters:
        if meter in silent:
            continue
        response = response_of(plan, steps, meter)
        if response is None:
            says = f"{meter}: the charger's own current did not change enough, or it measures none"
            yield Finding("meter_unused", meter, "not_tested", says)
            continue
        yield from judge_meter(plan, response, meter)
    single = [step for step in record.single if step.outcome == "done"]
    wiring = _better(_wiring(record, steps), _wiring(record, single))
    yield from (_with_reason(record, one) for one in wiring)


def _wiring(record: EvseRecord, steps: list[Step]) -> list[Finding]:
    """Which phase each conductor is on, by the meter that tells most."""
    found: list[Finding] = []
    for meter in record.plan.meters:
        response = response_of(record.plan, steps, meter) if steps else None
        if response is not None:
            found = _better(found, judge_wiring(record.plan, response, meter))
    return found


def _with_reason(record: EvseRecord, one: Finding) -> Finding:
    """Why a charger whose conductors cannot be told apart was not tried on one of them alone."""
    if one.code != "phases_rest" or one.verdict != "not_tested":
        return one
    if not record.plan.switches:
        return replace(one, says=f"{one.says}, and this charger cannot be switched to one phase")
    why = next((step.why for step in record.single if step.why), "") or record.single_why
    if not why:
        why = "it went on drawing on all" if car_charged(record.single) else "no current flowed"
    return replace(one, says=f"{one.says}; on one phase: {why}")


def _better(first: list[Finding], second: list[Finding]) -> list[Finding]:
    """The judgement that says more: a rotation, then a proof; of two equal ones that of the meter nearer by."""

    def weight(found: list[Finding]) -> int:
        verdicts = {one.verdict for one in found}
        return 2 if "fault" in verdicts else 1 if "ok" in verdicts else 0

    return second if not first or weight(second) > weight(first) else first


def _silence(record: EvseRecord) -> Iterator[Finding]:
    plan, silence = record.plan, record.silence
    if silence is None:
        return
    subject = "loss of communication"
    if silence.outcome != "done":
        yield Finding("silence", plan.evse, "not_tested", f"{subject}: {silence.why}")
        return
    shown = silence.offered_a if silence.offered_a is not None else silence.charging_a
    waited = f"after {silence.waited_s:.0f} s without communication"
    charged = car_charged(record.steps)
    if shown is None or (not charged and not shown):
        says = f"{subject}: this make does not show what it offers, and no car charges that would show it"
        yield Finding("silence", plan.evse, "not_tested", says, "repeat with a car")
        return
    wanted_a = plan.failsafe_a or 0.0
    how = "offers" if silence.offered_a is not None else "lets flow"
    if shown > wanted_a + TOLERANCE_A:
        says = f"failsafe does not work: {waited} it {how} {shown:.1f} A, wanted are {wanted_a:g} A"
        do = "do not leave it like this: set failsafe current and time-out on the device, then repeat"
        yield Finding("failsafe_fails", plan.evse, "fault", says, do)
    else:
        says = f"{subject}: {waited} it {how} {shown:.1f} A (wanted at most {wanted_a:g} A)"
        yield Finding("silence", plan.evse, "ok", says)


def _restored(record: EvseRecord) -> Iterator[Finding]:
    restored, evse = record.restored, record.plan.evse
    if not record.switched_back:
        says = "it was switched to one phase for the test and does not show all phases again"
        yield Finding("phases_stuck", evse, "fault", says, "switch its power off and on, then look at its phases")
    if restored is None:
        return
    if restored.confirmed:
        yield Finding("restored", evse, "ok", f"told {restored.told_a:g} A at the end; its failsafe follows by itself")
    else:
        says = f"{restored.told_a:g} A at the end were not confirmed by the charger"
        yield Finding("restored", evse, "fault", says, "look at the charger; its failsafe should be in force")
