"""Programs that demo, benches and tests start beside themselves: found, ended with us, and ended for sure."""

from __future__ import annotations

import os
import shutil
import subprocess


def mosquitto() -> str | None:
    """The broker's program, None where it is not installed; Debian keeps it outside a plain user's PATH."""
    return shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def ending_with_us() -> list[str]:
    """What a command begins with so that its process is killed when the thread that started it is gone (prctl(2))."""
    found = shutil.which("setpriv")
    return [] if found is None else [found, "--pdeathsig", "KILL", "--"]


def end(process: subprocess.Popen[bytes], patience_s: float) -> None:
    """Ask it to end, and kill it when it has not after so long."""
    process.terminate()
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
