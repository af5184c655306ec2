"""Ending a task for certain."""

from __future__ import annotations

import asyncio


def being_cancelled() -> bool:
    """Whether the running task was told to end.

    ``asyncio.wait_for`` of Python 3.11 gives back a result that arrives in the same moment as a cancellation, and the
    cancellation is lost; a loop that only waits for the exception would then run for ever.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
