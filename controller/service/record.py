"""Each scan as one packed entry for the gateway; journal, historian and telemetry are made of it there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from controller.core.state import ControllerState
from controller.service.messages import Entry, PlanInForce, Setup, Snapshot, TargetsInForce, framed
from controller.service.out_stream import OutStream
from controller.service.site_setup import SiteSetup
from interfaces.domain.codec import digest_of, pack
from interfaces.domain.command import Commands, Report
from interfaces.domain.image import Image
from interfaces.domain.plan import Plan
from interfaces.domain.targets import Targets
from interfaces.domain.telemetry import ScanRecord
from interfaces.domain.units import NEVER_S

GROUP_EVERY_S: Final = 10.0
"""How often the stream has a place to start reading from; six of them make the minute the ring holds."""


@dataclass(slots=True)
class _Reference:
    """A plan or targets that images point at: sent once, then named by its digest."""

    value: Any = None
    digest: str = ""


class Recorder:
    """Packs scans into the stream."""

    def __init__(self, out: OutStream) -> None:
        self._out = out
        self._setup: SiteSetup | None = None
        self._group_s = NEVER_S
        self._plan = _Reference()
        self._targets = _Reference()

    def scan(
        self,
        setup: SiteSetup,
        before: ControllerState,
        after: ControllerState,
        image: Image,
        commands: Commands,
        report: Report,
        *,
        number: int,
        now_s: float,
        epoch_s: float,
        error: str | None = None,
        imaged: bool = True,
    ) -> None:
        """Record one scan: from state ``before`` to ``after``."""
        references = self._references(image)
        if self._out.wants_group or setup is not self._setup or now_s - self._group_s >= GROUP_EVERY_S:
            self._setup, self._group_s = setup, now_s
            self._out.begin_group(self._beginning(setup, before, number, epoch_s))
        else:
            for frame in references:
                self._out.put(frame)
        if image.plan is not None or image.targets is not None:
            image = replace(image, plan=None, targets=None)
        state_digest = digest_of(pack(after))
        record = ScanRecord(number, now_s, epoch_s, image, commands, report, state_digest)
        entry = Entry(record, self._plan.digest, self._targets.digest, error, imaged)
        self._out.put(framed(pack(entry)), is_record=True)

    def _references(self, image: Image) -> list[bytes]:
        """Frames of what this image refers to for the first time."""
        frames = []
        if image.plan is not self._plan.value:
            self._plan = _reference(image.plan)
            frames += self._plan_frames()
        if image.targets is not self._targets.value:
            self._targets = _reference(image.targets)
            frames += self._target_frames()
        return frames

    def _beginning(self, setup: SiteSetup, before: ControllerState, number: int, epoch_s: float) -> list[bytes]:
        return [
            framed(pack(Setup(setup.site.id, setup.text, setup.digest))),
            *self._plan_frames(),
            *self._target_frames(),
            framed(pack(Snapshot(number, epoch_s, before))),
        ]

    def _plan_frames(self) -> list[bytes]:
        plan = self._plan.value
        return [framed(pack(PlanInForce(self._plan.digest, plan)))] if isinstance(plan, Plan) else []

    def _target_frames(self) -> list[bytes]:
        targets = self._targets.value
        return [framed(pack(TargetsInForce(self._targets.digest, targets)))] if isinstance(targets, Targets) else []


def _reference(value: Plan | Targets | None) -> _Reference:
    return _Reference() if value is None else _Reference(value, digest_of(pack(value)))
