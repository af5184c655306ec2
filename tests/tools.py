"""Programs of the system that some tests drive, and the processes that tests start."""

from __future__ import annotations

import os
import shutil

import psutil
import pytest


def needed_tool(command: str, package: str) -> str:
    """The path of ``command``. Where it is missing the test is skipped, and in CI it fails."""
    found = shutil.which(command, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        reason = f"needs {command} (Debian package {package}): scripts/system-packages installs it"
        if os.environ.get("STROOMWACHT_CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def children() -> set[psutil.Process]:
    """The processes below this one; some may be of other tests' fixtures."""
    return set(psutil.Process().children(recursive=True))
