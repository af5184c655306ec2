"""Site files that the cloud side proposes: looked at by somebody on site, put into force by nobody else."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from controller.service.site_setup import SiteSetup, setup_of
from interfaces.domain.wire_commands import AnswerCode

KEPT: Final = 10
"""Older proposals make room."""


def propose(folder: Path, name: str, text: str) -> tuple[AnswerCode, str]:
    """Check a proposed site file and lay it aside as ``NAME.yaml``; what to answer. Touches the disk."""
    found = setup_of(text)
    if not isinstance(found, SiteSetup):
        return AnswerCode.NOT_POSSIBLE, f"not possible: {found}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        aside = folder / f"{name}.new"
        aside.write_text(text, encoding="utf-8")
        aside.replace(folder / f"{name}.yaml")
        old = sorted(folder.glob("*.yaml"), key=lambda path: path.stat().st_mtime_ns)[:-KEPT]
        for path in old:
            path.unlink()
    except OSError as error:
        return AnswerCode.NOT_POSSIBLE, f"it cannot be kept here: {error.strerror or error}"
    return AnswerCode.DONE, f"it waits for somebody on site as {name}.yaml; nothing has changed"
