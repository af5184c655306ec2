"""One scan as the rest of the world sees it: image, commands and report in one record."""

from __future__ import annotations

from dataclasses import dataclass

from interfaces.domain.command import Commands, Report
from interfaces.domain.image import Image


@dataclass(frozen=True, slots=True)
class ScanRecord:
    """Journal, historian and telemetry in one.

    ``number``: scan counter since start; ``state_digest``: of the state after the scan, for replay.
    """

    number: int
    now_s: float
    epoch_s: float
    image: Image
    commands: Commands
    report: Report
    state_digest: str
