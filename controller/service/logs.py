"""The log: key=value lines on stderr, without floods and without ever holding up the one who writes.

A line goes into a bounded queue that a thread empties. Lines of one origin (logger and text) are held back when they
come faster than a token bucket fills; how many were held back is told when the flood is over.
"""

from __future__ import annotations

import logging
import logging.handlers
import queue
import sys
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from interfaces.drivers.clock import Clock, monotonic_s

BURST: Final = 10.0
REFILL_PER_S: Final = 0.2
"""Ten lines at once, then one every 5 s."""
ORIGINS: Final = 500
QUEUE: Final = 1000


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_s: float
    held_back: int = 0


class FloodFilter(logging.Filter):
    """Lets the first lines of each origin through, then a trickle with the number of those held back."""

    def __init__(self, clock: Clock = monotonic_s) -> None:
        super().__init__()
        self._clock = clock
        self._buckets: OrderedDict[tuple[str, str], _Bucket] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        now_s, origin = self._clock(), (record.name, str(record.msg))
        bucket = self._buckets.pop(origin, None) or _Bucket(BURST, now_s)
        self._buckets[origin] = bucket
        while len(self._buckets) > ORIGINS:
            self._buckets.popitem(last=False)
        bucket.tokens = min(BURST, bucket.tokens + (now_s - bucket.filled_s) * REFILL_PER_S)
        bucket.filled_s = now_s
        if bucket.tokens < 1.0:
            bucket.held_back += 1
            return False
        bucket.tokens -= 1.0
        if bucket.held_back:
            record.msg, bucket.held_back = f"{record.msg} held_back={bucket.held_back}", 0
        return True


class DroppingQueueHandler(logging.handlers.QueueHandler):
    """A full queue costs the line, never the writer's time."""

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            return


def start_logging(role: str, level: str) -> logging.handlers.QueueListener:
    """Send this process's log to stderr; ``stop`` of the result writes what waits."""
    lines: queue.Queue[logging.LogRecord] = queue.Queue(QUEUE)
    handler = DroppingQueueHandler(lines)
    handler.addFilter(FloodFilter())
    out = logging.StreamHandler(sys.stderr)
    out.setFormatter(logging.Formatter(f"%(asctime)s %(levelname)s role={role} %(name)s %(message)s"))
    listener = logging.handlers.QueueListener(lines, out)
    listener.start()
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    return listener


class Conditions:
    """What is wrong at present: one line when a condition begins, one when it ends, none in between."""

    def __init__(self, logger: logging.Logger) -> None:
        self._log = logger
        self._active: dict[str, str] = {}

    @property
    def active(self) -> dict[str, str]:
        """Key -> sentence of every condition that holds."""
        return dict(self._active)

    def update(self, present: dict[str, str]) -> None:
        """Replace what holds."""
        for key in self._active.keys() - present.keys():
            self._log.info("condition_over key=%s", key)
        for key in present.keys() - self._active.keys():
            self._log.warning("condition key=%s text=%r", key, present[key])
        self._active = dict(present)
