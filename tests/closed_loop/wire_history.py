"""What must hold over the recorded history of a site that was played with, whatever happened to its cloud."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from controller.service.journal import read_segment
from controller.service.messages import Entry, Hello, PlanInForce, Setup
from controller.service.replay import files_of
from controller.service.site_setup import SiteSetup, setup_of
from interfaces.domain.plan import Plan
from interfaces.domain.telemetry import ScanRecord


@dataclass(slots=True)
class History:
    """``broken``: each sentence is a rule that did not hold."""

    scans: int = 0
    raises: int = 0
    plans: list[int] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


def messages_of(journal: Path) -> Iterator[Setup | Entry | PlanInForce | Hello]:
    """The messages of a journal that say what was known and what was done, in order."""
    for file in files_of(journal):
        for message in read_segment(file):
            if isinstance(message, Setup | Entry | PlanInForce | Hello):
                yield message


def judged(messages: Iterable[Setup | Entry | PlanInForce | Hello]) -> History:
    """One plan at a time, in order; and no raise beyond what verified decreases have left free."""
    history = History()
    setup: SiteSetup | None = None
    plans: dict[str, Plan] = {}
    before: ScanRecord | None = None
    for message in messages:
        match message:
            case Setup():
                found = setup_of(message.site_text)
                setup = found if isinstance(found, SiteSetup) else setup
            case PlanInForce():
                plans[message.digest] = message.plan
            case Hello():
                before = None
            case Entry() if setup is not None:
                history.scans += 1
                _plan_order(history, message, plans)
                if before is not None and message.record.number == before.number + 1:
                    _raises(history, before, message.record, setup)
                before = message.record
            case _:
                pass
    return history


def _plan_order(history: History, entry: Entry, plans: dict[str, Plan]) -> None:
    if entry.record.report.mode != "plan":
        return
    plan = plans.get(entry.plan)
    if plan is None:
        history.broken.append(f"scan {entry.record.number} follows a plan that nobody handed over")
        return
    if history.plans and plan.sequence < history.plans[-1]:
        history.broken.append(f"scan {entry.record.number}: plan {plan.sequence} after {history.plans[-1]}")
    if not history.plans or plan.sequence != history.plans[-1]:
        history.plans.append(plan.sequence)
    if entry.record.epoch_s >= plan.lease_until_epoch_s + 1.0:
        history.broken.append(f"scan {entry.record.number} follows plan {plan.sequence} beyond its lease")


def _raises(history: History, before: ScanRecord, after: ScanRecord, setup: SiteSetup) -> None:
    """A raise is allowed only where everything that may still be drawn fits into what the circuit has."""
    topology = setup.params.topology
    if before.commands.failsafe or after.commands.failsafe:  # after a start, what a charger has is taken over
        return
    up = after.commands.setpoint_ma > before.commands.setpoint_ma
    for i in np.flatnonzero(up & topology.is_evse):
        history.raises += 1
        rows = (topology.ancestry[:, i] > 0)[:, None] & (after.report.phase_use[i] > 0)[None, :]
        over = rows & (after.report.exposure_ma > after.report.budget_ma)
        for c, phase in np.argwhere(over):
            history.broken.append(
                f"scan {after.number}: {topology.assets[i].id} is raised while "
                f"{after.report.exposure_ma[c, phase]} mA may be drawn of {after.report.budget_ma[c, phase]} mA on "
                f"{topology.circuits[c].id} L{phase + 1}"
            )


def gaps(told_epoch_s: Sequence[float], scanned_epoch_s: Sequence[float], longest_s: float) -> list[str]:
    """Where the cloud's record of a site is silent for longer than ``longest_s`` while the site was being scanned."""
    told = np.sort(np.asarray(told_epoch_s))
    scanned = np.sort(np.asarray(scanned_epoch_s))
    found = []
    for begin, end in pairwise(told):
        within = scanned[(scanned > begin) & (scanned < end)]
        steps = np.diff(np.concatenate(([begin], within, [end])))
        # Time in which nothing was scanned, or nobody was there to tell of it, is no gap of the telemetry.
        awake_s = float(steps[steps <= 1.0].sum())
        if awake_s > longest_s:
            found.append(f"nothing is told of {awake_s:.0f} s after {begin:.0f}")
    return found


def told_epochs(memory: Path) -> list[float]:
    """When the statuses were made that the cloud has stored in its folder."""
    lines = (line for file in sorted(memory.glob("status-*.jsonl")) for line in file.read_text("utf-8").splitlines())
    return sorted({float(json.loads(line)["epoch_s"]) for line in lines if line.strip()})
