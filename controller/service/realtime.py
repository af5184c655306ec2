"""What the field process asks of the kernel, and what it was refused: the process runs either way and says so."""

from __future__ import annotations

import ctypes
import gc
import os
import resource
from typing import Final

PRIORITY: Final = 40
"""Below the kernel's interrupt threads (50), above everything else of ours."""
MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4
TIME_ERROR: Final = 5
"""adjtimex(2): the clock is not synchronised."""
TIMEX_BYTES: Final = 256
"""struct timex is 208 bytes on 64-bit Linux."""
CAP_IPC_LOCK: Final = 1 << 14


def go_realtime() -> tuple[str, ...]:
    """Ask for SCHED_FIFO and locked memory; what was refused and why, empty when all was granted.

    Threads and children do not inherit the class: only the scan's thread may hold up others.
    """
    return tuple(text for text in (_schedule(), _lock_memory()) if text)


def settle_garbage() -> None:
    """Everything alive now stays: later collections do not look at it again (2 to 7 ms each time)."""
    gc.collect()
    gc.freeze()


def limit_memory(megabytes: int) -> None:
    """Bound the address space; an allocation beyond it fails in this process instead of in its neighbours."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    size = megabytes << 20
    if hard == resource.RLIM_INFINITY or size < hard:
        resource.setrlimit(resource.RLIMIT_AS, (size, hard))


def allow_files(needed: int) -> str:
    """Raise the soft limit of open files to ``needed``; why not, when the hard limit is below it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return ""
    if hard != resource.RLIM_INFINITY and hard < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return f"this site needs {needed} open files, the system allows {hard}: raise LimitNOFILE"
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    return ""


def clock_synchronised() -> bool:
    """Whether the kernel says that a time server steers the wall clock (adjtimex(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    state: int = libc.adjtimex(ctypes.create_string_buffer(TIMEX_BYTES))
    return 0 <= state < TIME_ERROR


def _schedule() -> str:
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(PRIORITY))
    except OSError as error:
        return f"SCHED_FIFO refused: {error.strerror}"
    return ""


def _lock_memory() -> str:
    """Lock pages as they are touched. Only where the limit cannot be hit later: then allocations would fail."""
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if soft != resource.RLIM_INFINITY and not _may_lock_all():
        return f"mlockall refused: RLIMIT_MEMLOCK is {soft} bytes"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0:
        return f"mlockall refused: {os.strerror(ctypes.get_errno())}"
    return ""


def _may_lock_all() -> bool:
    with open("/proc/self/status", encoding="utf-8") as status:  # noqa: PTH123  proc has no paths to join
        for line in status:
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) & CAP_IPC_LOCK)
    return False
