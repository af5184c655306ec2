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
"""Of one origin: ten lines at once, then one every 5 s."""
BURST_ALL: Final = 300.0
REFILL_ALL_PER_S: Final = 2.0
"""Of the whole process: a site of 200 chargers may lose them all at once; after that two lines a second."""
ORIGINS: Final = 500
QUEUE: Final = 1000


@dataclass(slots=True)
class _Bucket:
    burst: float
    refill_per_s: float
    tokens: float
    filled_s: float
    held_back: int = 0

    def takes(self, now_s: float) -> bool:
        """Whether a line may pass now; one that may not is counted."""
        self.tokens = min(self.burst, self.tokens + (now_s - self.filled_s) * self.refill_per_s)
        self.filled_s = now_s
        if self.tokens < 1.0:
            self.held_back += 1
            return False
        self.tokens -= 1.0
        return True


class FloodFilter(logging.Filter):
    """Lets the first lines of each origin through, then a trickle with the number of those held back.

    An origin is logger, text and the thing the text speaks of (its first argument, unless that is a number).
    """

    def __init__(self, clock: Clock = monotonic_s) -> None:
        super().__init__()
        self._clock = clock
        self._all = _Bucket(BURST_ALL, REFILL_ALL_PER_S, BURST_ALL, clock())
        self._buckets: OrderedDict[tuple[str, str, str], _Bucket] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        now_s, origin = self._clock(), _origin(record)
        bucket = self._buckets.pop(origin, None) or _Bucket(BURST, REFILL_PER_S, BURST, now_s)
        self._buckets[origin] = bucket
        while len(self._buckets) > ORIGINS:
            self._buckets.popitem(last=False)
        if not bucket.takes(now_s) or not self._all.takes(now_s):
            return False
        held_back = bucket.held_back + self._all.held_back
        if held_back:
            record.msg = f"{record.msg} held_back={held_back}"
            bucket.held_back = self._all.held_back = 0
        return True


def _origin(record: logging.LogRecord) -> tuple[str, str, str]:
    first = record.args[0] if isinstance(record.args, tuple) and record.args else ""
    return record.name, str(record.msg), "" if isinstance(first, int | float) else str(first)


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
