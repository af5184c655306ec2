"""The wall clock: steps, drift, absurd dates. Ages and leases never look at it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from controller.service.clock_watch import ClockWatch, observe
from tests.controller.service.kit import EPOCH_S, Bench, alarms_of

DAY_S = 86_400.0


def after(watch: ClockWatch, seconds: float, *, step_s: float = 0.0, rate: float = 1.0, synchronised: bool = False,
          every_s: float = 1.0) -> ClockWatch:  # fmt: skip
    """Look at both clocks for a while; the wall clock steps once at the start and runs at ``rate``."""
    now_s, epoch_s = watch.now_s, watch.epoch_s + step_s
    for _ in range(round(seconds / every_s)):
        now_s, epoch_s = now_s + every_s, epoch_s + rate * every_s
        watch = observe(watch, now_s, epoch_s, synchronised=synchronised)
    return watch


@pytest.mark.parametrize("step_s", [3600.0, -3600.0, 7200.0, 1.5, -1.5])
def test_row_66_a_step_is_seen_at_once_and_forgiven_after_a_steady_minute(step_s, figure):
    watch = after(ClockWatch.start(10.0, EPOCH_S), 100)
    stepped = after(watch, 1, step_s=step_s)
    assert stepped.steps == 1
    assert stepped.quality() == "untrusted"
    waited_s = next(seconds for seconds in range(200) if after(stepped, seconds).trusted)
    assert 58 < waited_s <= 61
    figure("plans and tariffs used again after", waited_s, "s")


def test_row_66_steps_in_a_row_keep_it_untrusted():
    watch = after(ClockWatch.start(10.0, EPOCH_S), 10)
    for _ in range(5):
        watch = after(watch, 30, step_s=-3600.0)
        assert not watch.trusted
    assert watch.steps == 5


def test_row_66_many_small_steps_are_a_step():
    watch = ClockWatch.start(10.0, EPOCH_S)
    for _ in range(10):
        watch = after(watch, 1, step_s=0.5)
    assert watch.steps >= 1
    assert not watch.trusted


def test_row_66_slewing_as_time_servers_do_is_no_step():
    watch = after(ClockWatch.start(10.0, EPOCH_S), 7200, rate=1.0005, synchronised=True)
    assert watch.steps == 0
    assert watch.quality() == "good"


@pytest.mark.parametrize(
    ("date", "trusted"),
    [
        (datetime(2106, 2, 7, 6, 28, 15, tzinfo=UTC), False),
        (datetime(1970, 1, 1, tzinfo=UTC), False),
        (datetime(2026, 3, 29, 0, 59, 30, tzinfo=UTC), True),
        (datetime(2026, 10, 25, 0, 59, 30, tzinfo=UTC), True),
        (datetime(2038, 1, 19, 3, 14, 0, tzinfo=UTC), True),
    ],
)
def test_row_66_absurd_dates_are_not_believed_and_summer_time_is_none_of_our_business(date, trusted):
    assert after(ClockWatch.start(10.0, date.timestamp()), 90).trusted is trusted


def test_row_67_without_a_time_server_the_clock_is_coarse_for_30_days_and_not_used_in_the_end(figure):
    watch = after(ClockWatch.start(10.0, EPOCH_S), 60, synchronised=True)
    assert watch.quality() == "good"
    one_day = after(watch, DAY_S, every_s=600)
    assert one_day.quality() == "coarse"
    thirty_days = after(watch, 30 * DAY_S, every_s=600)
    assert thirty_days.quality() == "coarse"
    assert thirty_days.trusted
    assert thirty_days.error_now_s() == pytest.approx(259, abs=1)
    figure("estimated error after 30 days", thirty_days.error_now_s(), "s")
    assert not after(watch, 60 * DAY_S, every_s=600).trusted
    assert after(thirty_days, 60, synchronised=True).quality() == "good"


def test_row_66_a_wall_clock_that_jumps_changes_no_command_and_no_lease(figure):
    steady, jumping = Bench(), Bench()
    for bench in (steady, jumping):
        bench.advance(20)
    jumping.epoch_s += 3600
    for bench in (steady, jumping):
        bench.advance(30)
    assert jumping.loop.clock_watch.steps == 1
    assert not jumping.loop.last[0].clock_trusted  # type: ignore[index]
    assert steady.told_a() == jumping.told_a()
    assert max(steady.told_a()) >= 6
    assert steady.commands.valid_until_s == jumping.commands.valid_until_s
    figure("alarm", alarms_of(jumping))
    jumping.epoch_s -= 7200
    jumping.advance(61)
    assert jumping.loop.last[0].clock_trusted  # type: ignore[index]
