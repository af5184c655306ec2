"""A log without floods: row 76."""

from __future__ import annotations

import logging
import queue

from controller.service.logs import (
    BURST,
    BURST_ALL,
    ORIGINS,
    QUEUE,
    REFILL_ALL_PER_S,
    REFILL_PER_S,
    Conditions,
    DroppingQueueHandler,
    FloodFilter,
    start_logging,
)
from tests.controller.service.kit import Bench
from tests.controller.service.test_loop import Breaking


class Lines(logging.Handler):
    """Keeps what passed the filter."""

    def __init__(self, now) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.filter_ = FloodFilter(now)
        self.addFilter(self.filter_)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def alone(name: str, handler: logging.Handler) -> logging.Logger:
    """A logger that speaks to this handler only."""
    log = logging.getLogger(f"test.{name}")
    log.handlers, log.propagate = [handler], False
    return log


def test_row_76_a_loop_of_errors_is_a_few_lines_and_a_count(figure):
    now_s = 0.0
    lines = Lines(lambda: now_s)
    log = alone("flood", lines)
    for _ in range(5 * 3600):
        log.error("scan_failed number=%d", 1)
        now_s += 0.2
    assert len(lines.lines) <= BURST + 3600 * REFILL_PER_S + 1
    assert lines.lines[0] == "scan_failed number=1"
    assert "held_back=" in lines.lines[-1]
    told = sum(int(line.rpartition("held_back=")[2]) for line in lines.lines if "held_back=" in line)
    assert told + len(lines.lines) >= 5 * 3600 - 30
    figure("lines for 18000 errors in an hour", len(lines.lines))
    log.error("something else")
    assert lines.lines[-1] == "something else"


def test_row_76_errors_that_differ_each_time_are_bounded_too():
    now_s = 0.0
    lines = Lines(lambda: now_s)
    log = alone("varied", lines)
    for number in range(20_000):
        log.error("odd reason=%s", f"reason {number}")
        now_s += 0.01
    assert BURST_ALL <= len(lines.lines) <= BURST_ALL + 200 * REFILL_ALL_PER_S + 1


def test_a_site_that_loses_a_hundred_chargers_names_each():
    lines = Lines(lambda: 0.0)
    log = alone("many", lines)
    for number in range(100):
        log.warning("condition key=%s text=%r", f"place-{number}", "does not answer")
    assert len(lines.lines) == 100


def test_row_76_a_real_loop_of_failing_scans(caplog):
    breaking = Breaking()
    bench = Bench(scan_function=breaking)
    lines = Lines(lambda: bench.now_s)
    log = logging.getLogger("controller.service.loop")
    log.addHandler(lines)
    try:
        bench.advance(2)
        breaking.broken = True
        bench.advance(60)
    finally:
        log.removeHandler(lines)
    assert bench.loop.errors == 300
    assert 10 <= len(lines.lines) <= 25


def test_origins_remembered_are_bounded():
    lines = Lines(lambda: 0.0)
    for number in range(10 * ORIGINS):
        lines.filter_.filter(logging.LogRecord("x", 20, "f", 1, f"text {number}", (), None))
    assert len(lines.filter_._buckets) == ORIGINS


def test_a_full_queue_costs_the_line_and_not_the_writer():
    lines: queue.Queue[logging.LogRecord] = queue.Queue(QUEUE)
    log = alone("stuck", DroppingQueueHandler(lines))
    for number in range(QUEUE + 500):
        log.warning("line %d", number)
    assert lines.qsize() == QUEUE


def test_a_process_writes_role_level_and_text(capfd):
    root = logging.getLogger()
    before, level = root.handlers, root.level
    try:
        listener = start_logging("field", "info")
        logging.getLogger("a.b").warning("condition key=%s", "x")
        logging.getLogger("a.b").debug("not this")
        listener.stop()
    finally:
        root.handlers, root.level = before, level
    err = capfd.readouterr().err
    assert "WARNING role=field a.b condition key=x" in err
    assert "not this" not in err


def test_a_condition_is_one_line_when_it_begins_and_one_when_it_ends(caplog):
    caplog.set_level(logging.INFO)
    conditions = Conditions(logging.getLogger("conditions"))
    for _ in range(50):
        conditions.update({"disk": "the disk is full"})
    conditions.update({"disk": "the disk is full", "clock": "it jumped"})
    for _ in range(50):
        conditions.update({"clock": "it jumped"})
    conditions.update({})
    assert [record.getMessage() for record in caplog.records] == [
        "condition key=disk text='the disk is full'",
        "condition key=clock text='it jumped'",
        "condition_over key=disk",
        "condition_over key=clock",
    ]
    assert conditions.active == {}
