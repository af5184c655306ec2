"""What a connection does and when, on real sockets and a clock that moves by hand."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time

import pytest

from interfaces.drivers.connection import BOOT_GRACE_S, Connection
from interfaces.drivers.device import PointSpec
from interfaces.drivers.failsafe import FailsafeWish
from interfaces.drivers.links import TcpLink
from interfaces.drivers.modbus_server import Faults
from interfaces.drivers.outbox import Outbox
from interfaces.drivers.readings import Readings
from tests.interfaces.drivers.far_side import TIMEOUT_S, Now, bench, device, profile_of, spec
from tests.interfaces.drivers.test_profile_contracts import ABB, ALFEN, BENDER, EM24_E1, NEXT

WISH = FailsafeWish(6.0, 60.0)
SETPOINT = {"alfen_eve_ng9xx": 1210, "bender_cc61x_ecu": 1000}


def alfen(**more):
    return device("alfen_eve_ng9xx", ALFEN), [spec("alfen_eve_ng9xx", failsafe=WISH, **more)]


def bender(**more):
    return device("bender_cc61x_ecu", BENDER), [spec("bender_cc61x_ecu", failsafe=WISH, **more)]


def requests(found):
    return sum(bank.requests for bank in found.server.units.values())


def written(found, addr):
    return [words for _, at, words in found.log if at == addr]


# ---- writes


async def test_a_write_is_followed_at_once_by_its_read_back():
    async with bench(*bender()) as found:
        await found.until_idle()
        found.offer(9000)
        before = requests(found)
        await found.connection.step()
        assert requests(found) == before + 2  # the write and its read-back, nothing in between
        setpoint = found.reading().setpoint
        assert (setpoint.written_milli, setpoint.readback_milli, setpoint.problem) == (9000, 9000, "")
        assert setpoint.written_at_s == setpoint.readback_at_s == found.now.s


async def test_writes_go_before_polls():
    async with bench(*bender()) as found:
        await found.until_idle()
        found.now.s += 30  # everything is due
        found.offer(8000)
        await found.connection.step()
        assert written(found, 1000) == [(8,)]


async def test_decreases_go_before_raises_and_stops_before_all():
    banks = device("alfen_eve_ng9xx", ALFEN)
    points = []
    for number, setpoint in ((1, 0x4180), (2, 0x40C0), (3, 0x4180), (4, 0x41C0)):
        banks[number] = device("alfen_eve_ng9xx", {(1, *k[1:]): w for k, w in ALFEN.items() if k[0] == 1})[1]
        banks[number].put("holding", 1210, (setpoint, 0))
        points.append(spec("alfen_eve_ng9xx", key=f"p{number}", unit=number, failsafe=WISH))
    async with bench(banks, points) as found:
        await found.until_idle()
        for key, milli in (("p2", 10_000), ("p1", 8000), ("p4", 6000), ("p3", 16_000)):
            found.offer(milli, key)
        await found.until_idle()
        # p4 falls by 18 A, p1 by 8 A, p3 stays, p2 rises.
        assert [unit for unit, addr, _ in found.log if addr == 1210] == ["4", "1", "3", "2"]


async def test_the_latest_wish_wins():
    async with bench(*bender()) as found:
        await found.until_idle()
        for milli in (10_000, 12_000, 7000):
            found.offer(milli)
        await found.until_idle()
        assert written(found, 1000) == [(7,)]


@pytest.mark.parametrize("name", ["alfen_eve_ng9xx", "bender_cc61x_ecu"])
async def test_an_unchanged_setpoint_is_renewed_at_a_third_of_the_timeout(name):
    banks, points = alfen() if name == "alfen_eve_ng9xx" else bender()
    async with bench(banks, points) as found:
        for _ in range(240):  # 60 s under a lease that is always renewed
            found.offer(10_000)
            await found.until_idle()
            found.now.s += 0.25
        assert len(written(found, SETPOINT[name])) == 3  # at 0, 20 and 40 s


async def test_an_expired_lease_stops_writing():
    async with bench(*alfen()) as found:
        found.offer(10_000)
        await found.until_idle()
        found.outbox.put("x", "setpoint", 8000, found.now.s + 2)
        found.now.s += 2.1
        await found.run_for(60)
        assert len(written(found, 1210)) == 1
        # This charger's watchdog wants writes: it may be watched.
        assert found.reading().sample_s > found.now.s - 2


async def test_a_lease_that_runs_out_between_choice_and_write_is_not_written():
    async with bench(*bender()) as found:
        await found.until_idle()
        found.offer(10_000)
        clock = found.connection.port._clock
        ticks = iter([found.now.s])
        found.connection._clock = lambda: next(ticks, found.now.s + 5)
        await found.connection.step()
        found.connection._clock = clock
        assert written(found, 1000) == []


async def test_an_expired_lease_stops_reading_where_any_request_feeds_the_watchdog():
    async with bench(*bender()) as found:
        found.offer(10_000, lease_s=2.0)
        await found.run_for(2.0)
        before = requests(found)
        await found.run_for(120)
        assert requests(found) == before
        # ... and a new lease starts it again.
        found.offer(6000)
        await found.until_idle()
        assert written(found, 1000)[-1] == (6,)
        assert found.reading().sample_s == found.now.s


async def test_before_the_first_lease_reading_is_allowed_for_a_while():
    async with bench(*bender()) as found:
        await found.run_for(BOOT_GRACE_S - 1)
        before = requests(found)
        assert found.reading().sample_no > 10
        await found.run_for(60)
        assert requests(found) <= before + 20
        after = requests(found)
        await found.run_for(60)
        assert requests(found) == after


async def test_a_device_that_is_only_watched_is_never_written_and_always_read():
    async with bench(*bender(managed=False)) as found:
        found.offer(10_000)
        found.outbox.put("x", "stop", 1, found.now.s + 2)
        await found.run_for(60)
        assert found.log == []
        assert found.reading().sample_s > found.now.s - 2


async def test_a_failed_write_is_tried_again_and_the_old_value_is_no_longer_taken_for_granted():
    async with bench(*bender()) as found:
        found.offer(10_000)
        await found.until_idle()
        found.server.faults = Faults(exception=4)
        found.offer(16_000)
        await found.until_idle()
        assert "exception" in found.reading().setpoint.problem
        found.server.faults = Faults()
        found.offer(10_000)  # as before the failure: still it has to be written
        await found.until_idle()
        assert written(found, 1000) == [(10,), (10,)]


async def test_the_life_bit_is_written_at_a_third_of_the_timeout_and_only_under_a_lease():
    banks = device("webasto_next", {**NEXT, (255, "holding", 2002): (9,)})
    async with bench(banks, [spec("webasto_next", failsafe=FailsafeWish(6, 9))]) as found:
        for _ in range(48):  # 12 s
            found.offer(6000)
            await found.until_idle()
            found.now.s += 0.25
        assert len(written(found, 6000)) == 4
        await found.run_for(30)
        assert len(written(found, 6000)) == 5  # one more was due before the lease ran out


async def test_row_32_acknowledged_but_not_applied(figure):
    banks, points = bender()
    async with bench(banks, points) as found:
        found.offer(16_000)
        await found.until_idle()
        banks[255].accept_writes = False
        found.offer(6000)
        await found.until_idle()
        setpoint = found.reading().setpoint
        assert (setpoint.written_milli, setpoint.readback_milli) == (6000, 16_000)
        assert setpoint.problem == "acknowledged but not applied"
        figure("told 6 A, reads back", f"{setpoint.readback_milli} mA")
        figure("told", setpoint.problem)
        before = banks[255].writes
        for _ in range(20):  # 5 s
            found.offer(6000)
            await found.until_idle()
            found.now.s += 0.25
        assert 3 <= banks[255].writes - before <= 6  # it is told again, about once a second
        banks[255].accept_writes = True
        found.offer(6000)
        await found.run_for(1.5)
        assert found.reading().setpoint.problem == ""


async def test_a_limit_in_force_below_the_setpoint_is_no_fault():
    banks = device("abb_terra_ac", {**ABB, (1, "holding", 0x400E): (0, 10_000)})  # a 10 A cable
    async with bench(banks, [spec("abb_terra_ac")]) as found:
        found.offer(16_000)
        await found.until_idle()
        assert found.reading().setpoint.problem == ""
        found.offer(6000)
        await found.until_idle()
        assert found.reading().setpoint.problem == "acknowledged but not applied"


async def test_a_setpoint_somebody_else_changed_is_told_again():
    async with bench(*bender()) as found:
        found.offer(10_000)
        await found.until_idle()
        found.bank().put("holding", 1000, (32,))
        found.now.s += 1.0
        found.offer(10_000)
        await found.until_idle()
        assert written(found, 1000) == [(10,), (10,)]
        assert found.reading().setpoint.readback_milli == 10_000


async def test_after_a_change_it_is_measured_every_second_for_20_s():
    profile = profile_of("abb_terra_ac")
    banks = device("abb_terra_ac", ABB)
    async with bench(banks, [spec("abb_terra_ac")]) as found:
        await found.until_idle()
        assert profile.limits.min_poll_ms == 5000  # this one bears no more than its usual rate
        before = found.reading().sample_no
        found.offer(10_000, lease_s=60)
        await found.run_for(20)
        assert found.reading().sample_no - before == 4
    slow = alfen(period_s=10.0)
    async with bench(*slow) as found:
        found.offer(10_000, lease_s=100)
        await found.run_for(40)
        before = found.reading().sample_no
        found.offer(8000, lease_s=100)
        await found.run_for(20)
        assert 19 <= found.reading().sample_no - before <= 21
        before = found.reading().sample_no
        await found.run_for(20)
        assert 2 <= found.reading().sample_no - before <= 4
        found.outbox.poll_fast("x", found.now.s + 10)
        before = found.reading().sample_no
        await found.run_for(10)
        assert 9 <= found.reading().sample_no - before <= 11


# ---- failsafe


async def test_failsafe_registers_are_set_once_and_verified():
    banks, points = bender()
    banks[255].put("holding", 131, (32, 0))
    async with bench(banks, points) as found:
        await found.until_idle()
        assert found.log[:2] == [("255", 131, (6,)), ("255", 132, (60,))]
        assert found.reading().failsafe.verdict == "verified"
        assert (found.reading().failsafe.current_a, found.reading().failsafe.timeout_s) == (6, 60)
        await found.run_for(14)
        assert len(found.log) == 2  # nothing to write: they hold


async def test_no_current_is_raised_before_the_failsafe_is_seen_to():
    banks, points = bender()
    banks[255].put("holding", 131, (32, 0))
    async with bench(banks, points) as found:
        found.offer(32_000)
        await found.until_idle()
        assert [addr for _, addr, _ in found.log] == [131, 132, 1000]
        # A decrease does not wait.
        found.server.hang_up()
        banks[255].put("holding", 131, (32, 0))
        found.log.clear()
        found.offer(6000)
        await asyncio.sleep(0.01)
        await found.until_idle()
        assert [addr for _, addr, _ in found.log] == [1000, 131, 132]


@pytest.mark.parametrize(
    ("current", "waits", "verdict"), [(6, 60, "verified"), (7, 60, "unsafe"), (6, 61, "unsafe"), (6, 0, "unsafe")]
)
async def test_row_34_a_failsafe_that_cannot_be_lowered_is_reported(current, waits, verdict, figure):
    banks, points = bender()
    banks[255].put("holding", 131, (current, waits))
    banks[255].writable = frozenset({1000})
    async with bench(banks, points) as found:
        await found.until_idle()
        assert found.reading().failsafe.verdict == verdict
        figure(f"wanted 6 A after 60 s, stays {current} A after {waits} s", verdict)


async def test_a_failsafe_that_drifts_later_is_noticed():
    async with bench(*bender()) as found:
        found.offer(6000, lease_s=100)
        await found.until_idle()
        assert found.reading().failsafe.verdict == "verified"
        found.bank().put("holding", 131, (32,))
        await found.run_for(10.5)
        assert found.reading().failsafe.verdict == "unsafe"


async def test_a_countdown_proves_its_start_only_after_a_write():
    banks, points = alfen()
    banks[1].put("holding", 1208, (0, 0))

    async with bench(banks, points) as found:

        def restart(table, addr, words):
            banks[1].put("holding", 1208, (0, 60))

        await found.until_idle()
        assert found.reading().failsafe.verdict == "unverified"
        banks[1].on_write = restart
        found.offer(6000, lease_s=100)
        await found.until_idle()
        assert found.reading().failsafe.verdict == "verified"
        banks[1].put("holding", 1208, (0, 3))  # counting down is no news
        await found.run_for(1.0)
        assert (found.reading().failsafe.verdict, found.reading().failsafe.timeout_s) == ("verified", 60)
        banks[1].put("holding", 1208, (0, 300))
        await found.run_for(1.0)
        assert found.reading().failsafe.verdict == "unsafe"


async def test_a_device_without_failsafe_registers_is_unverified():
    async with bench(device("abb_terra_ac", ABB), [spec("abb_terra_ac", failsafe=WISH)]) as found:
        await found.until_idle()
        assert found.reading().failsafe.verdict == "unverified"
        assert found.reading().failsafe.timeout_s == 60


@pytest.mark.parametrize("told", ["uptime", "serial"])
async def test_row_33_charger_reboots_and_is_provisioned_before_anything_is_offered(told, figure):
    banks, points = alfen()
    async with bench(banks, points) as found:
        for _ in range(12):
            found.offer(10_000)
            await found.until_idle()
            found.now.s += 0.25
        found.log.clear()
        banks[1].put("holding", 1210, (0, 0))
        if told == "uptime":
            banks[200].put("holding", 174, (0, 0, 0, 5000))
        else:
            banks[200].put("holding", 157, (0x5859,))
            found.server.hang_up()
            await asyncio.sleep(0.01)
        for _ in range(44):
            found.offer(10_000)
            await found.until_idle()
            found.now.s += 0.25
        assert found.reading().reboots == 1
        figure("restarts seen", found.reading().reboots)
        assert written(found, 1210)[-1] == (0x4120, 0)
        assert found.reading().setpoint.readback_milli == 10_000


async def test_row_33_bender_lost_its_watchdog_at_a_reconnect(figure):
    banks, points = bender()
    async with bench(banks, points) as found:
        found.offer(10_000, lease_s=100)
        await found.until_idle()
        await found.server.stop()
        banks[255].put("holding", 131, (32, 0))
        banks[255].put("holding", 1000, (32,))
        found.log.clear()
        await found.run_for(2)
        assert not found.reading().connected
        await found.server.start()
        await found.run_for(6)
        assert [(addr, words) for _, addr, words in found.log] == [(131, (6,)), (132, (60,)), (1000, (10,))]
        figure("registers written", ", ".join(f"{addr} = {words[0]}" for _, addr, words in found.log))
        assert found.reading().failsafe.verdict == "verified"


async def test_provisioning_that_gets_no_answer_does_not_block_forever():
    banks, points = bender()
    async with bench(banks, points) as found:
        found.server.faults.silent = True
        found.offer(10_000, lease_s=1000)
        await found.run_for(30, step_s=1.0)
        assert found.reading().failsafe.verdict == "unverified"
        assert not found.reading().setpoint.written_milli
        found.server.faults.silent = False
        await found.run_for(10)
        assert found.reading().setpoint.written_milli == 10_000


# ---- faults of the catalogue


async def test_row_25_refused_leaves_others_alone(figure):
    async with bench(*bender()) as found:
        await found.server.stop()
        await found.run_for(3)
        assert not found.reading().connected
        assert found.reading().problem == "connection refused"
        figure("told", found.reading().problem)
        assert found.reading().sample_no == 0
        await found.server.start()
        await found.run_for(6)
        assert found.reading().connected
        assert found.reading().value("current_l1_a") == 16.0


async def test_row_26_a_silent_charger_keeps_its_last_values_and_says_why_there_are_no_newer(figure):
    async with bench(*bender()) as found:
        found.offer(6000, lease_s=100)
        await found.until_idle()
        sampled_s, count = found.now.s, found.reading().roles["current_l1_a"].count
        found.server.faults.silent = True
        found.now.s += 1
        for _ in range(12):
            await found.connection.step()
        sample = found.reading().roles["current_l1_a"]
        assert (sample.value, sample.sampled_at_s, sample.count) == (16.0, sampled_s, count)
        assert sample.quality == "no reply in time"
        figure("quality", sample.quality)
        assert found.reading().reply_s == sampled_s
        assert found.connection.counters.timeouts == 3  # then the connection was given up


async def test_row_26_time_spent_on_a_silent_device_is_bounded():
    async with bench(*bender()) as found:
        found.offer(6000, lease_s=100)
        await found.until_idle()
        found.server.faults.silent = True
        found.now.s += 1
        started = time.monotonic()
        await found.connection.step()
        # Twenty times the time-out is no measurement of speed: without a bound it would hang for ever.
        assert time.monotonic() - started < 20 * TIMEOUT_S


async def test_row_27_a_dripping_charger_is_reconnected(figure):
    async with bench(*bender()) as found:
        found.offer(6000, lease_s=100)
        await found.until_idle()
        found.server.faults = Faults(drip_s=0.05, only_next=1)
        found.now.s += 1
        await found.until_idle()
        assert found.reading().problem
        await found.run_for(2)
        assert found.reading().problem == ""
        assert found.connection.counters.connects == 2
        figure("connections until it reads again", found.connection.counters.connects)


async def test_row_29_a_wrong_reply_never_becomes_a_reading(figure):
    async with bench(device("cg_em24_e1", EM24_E1), [spec("cg_em24_e1")]) as found:
        await found.until_idle()
        count = found.reading().sample_no
        for faults in (Faults(stretch=1), Faults(wrong_function=True), Faults(zero_tid=True), Faults(wrong_unit=True)):
            found.server.faults = faults
            found.now.s += 0.25
            for _ in range(4):
                await found.connection.step()
            assert found.reading().sample_no == count
            assert found.reading().value("current_l1_a") == 16.123
            assert found.reading().roles["current_l1_a"].quality != "good"
            figure("quality", found.reading().roles["current_l1_a"].quality)
        found.server.faults = Faults()
        await found.run_for(6)
        assert found.reading().sample_no > count


@pytest.mark.parametrize("mask", [0x40, 0x20, 0x80])
async def test_row_30_a_flipped_bit_is_never_seen(mask, figure):
    """The high byte of the first word: 16.123 A would become some 8 or 24 A."""
    async with bench(device("cg_em24_e1", EM24_E1), [spec("cg_em24_e1")]) as found:
        await found.until_idle()
        count, held = found.reading().sample_no, found.reading().held
        found.now.s += 0.25
        found.server.faults = Faults(xor=(0, mask), only_next=1)
        seen = set()
        while await found.connection.step() == 0:
            seen.add(found.reading().value("current_l1_a"))
        assert seen == {16.123}
        figure("bit flipped in 16.123 A: values seen", " ".join(f"{value} A" for value in seen))
        # The second reading came at once and is the new sample; the odd one counts as none.
        assert found.reading().held == held + 1
        assert found.reading().sample_no == count + 1
        assert found.reading().sample_s == found.now.s


async def test_row_30_a_real_jump_is_believed_at_its_second_reading_at_once():
    banks = device("cg_em24_e1", EM24_E1)
    async with bench(banks, [spec("cg_em24_e1")]) as found:
        await found.until_idle()
        banks[1].put("input", 12, (0xFDE8, 0))  # 65.000 A
        found.now.s += 0.25
        await found.until_idle()
        assert found.reading().value("current_l1_a") == 65.0
        assert found.reading().sample_s == found.now.s


async def test_row_30_readings_that_never_agree_are_not_repeated_for_ever():
    banks = device("cg_em24_e1", EM24_E1)
    async with bench(banks, [spec("cg_em24_e1")]) as found:
        await found.until_idle()
        amps = itertools.cycle((30_000, 60_000, 1000, 45_000))
        before = banks[1].requests
        found.now.s += 0.25
        rest_s = 0.0
        while not rest_s:
            banks[1].put("input", 12, (next(amps), 0))
            rest_s = await found.connection.step()
        assert banks[1].requests - before < 12
        assert found.reading().value("current_l1_a") == 16.123


async def test_row_31_exceptions_make_quality_bad_and_keep_the_time_of_the_last_good(figure):
    async with bench(*bender()) as found:
        found.offer(6000, lease_s=100)
        await found.until_idle()
        sampled_s = found.now.s
        for code in (4, 6, 0x0B):
            found.server.faults = Faults(exception=code)
            found.now.s += 1
            await found.until_idle()
            sample = found.reading().roles["current_l1_a"]
            assert sample.quality == f"device answered with an exception: code {code}"
            assert sample.sampled_at_s == sampled_s
            figure("quality", sample.quality)
        assert found.reading().connected
        found.server.faults = Faults()
        found.now.s += 1
        await found.until_idle()
        assert found.reading().roles["current_l1_a"].quality == "good"
        assert found.connection.counters.connects == 1


async def test_row_46_a_value_outside_every_range_is_not_used(figure):
    banks = device("cg_em24_e1", EM24_E1)
    async with bench(banks, [spec("cg_em24_e1")]) as found:
        await found.until_idle()
        banks[1].put("input", 16, (0xFFFE, 0x7FFF))  # 2 147 483.646 A
        found.now.s += 0.25
        await found.until_idle()
        sample = found.reading().roles["current_l3_a"]
        assert (sample.value, sample.quality) == (100.0, "out of range")
        figure("2147483.646 A in the register: value used", sample.value, "A")


async def test_a_device_that_refuses_a_block_is_asked_for_less():
    """Legacy firmware has no words 218..227: the rest of the block must survive."""
    banks, points = bender()
    for addr in range(218, 228):
        del banks[255].tables["holding"][addr]
    async with bench(banks, points) as found:
        found.offer(6000, lease_s=100)
        await found.until_idle()
        reading = found.reading()
        assert reading.value("current_l1_a") == 16.0
        assert reading.value("power_w") == 3680  # the sum of the phases
        assert reading.roles["voltage_l1_v"].value is None
        before = found.connection.counters.faults.total()
        await found.run_for(20)
        assert found.connection.counters.faults.total() == before  # what it does not have is not asked again
        # Later it is, once: a device that was starting up may have it by then.
        await found.run_for(41)
        assert found.connection.counters.faults.total() > before
        # After a reconnect everything is tried anew.
        banks[255].put("holding", 218, (0, 1000, 0, 3680, 0, 230, 0, 230, 0, 230))
        found.server.hang_up()
        await asyncio.sleep(0.01)
        await found.run_for(2)
        assert found.reading().value("voltage_l1_v") == 230


async def test_a_meter_that_refused_everything_while_it_started_comes_back():
    banks = device("cg_em24_e1", EM24_E1)
    whole = banks[1].tables["input"]
    banks[1].tables["input"] = {}
    async with bench(banks, [spec("cg_em24_e1")]) as found:
        await found.run_for(5)
        assert found.reading().sample_no == 0
        banks[1].tables["input"] = whole
        await found.run_for(61)
        assert found.reading().value("current_l1_a") == 16.123
        assert found.reading().sample_s > found.now.s - 0.5
        assert found.connection.counters.connects == 1


async def test_words_a_device_hangs_up_over_are_never_asked_for():
    banks, points = bender()
    assert 730 in banks[255].hang_up
    async with bench(banks, points) as found:
        found.offer(6000, lease_s=100)
        await found.run_for(30)
        assert found.connection.counters.connects == 1


async def test_a_dead_device_on_a_line_does_not_slow_the_others():
    banks = {1: device("cg_em24_rs485")[1]}
    for unit in (1,):
        banks[unit].put("input", 12, (0x3EFB, 0))
    points = [spec("cg_em24_rs485", key=f"m{unit}", unit=unit) for unit in (1, 2)]
    async with bench(banks, points, framing="rtu") as found:
        await found.run_for(10, step_s=0.5)
        timeouts = found.connection.counters.timeouts
        assert found.reading("m2").problem == "no reply in time"
        before = found.reading("m1").sample_no
        await found.run_for(20, step_s=0.5)
        assert found.reading("m1").sample_no - before >= 19
        assert found.connection.counters.timeouts - timeouts <= 6
        # It comes back without anybody's help.
        banks[1].requests = 0
        found.server.units[2] = device("cg_em24_rs485")[1]
        await found.run_for(8, step_s=0.5)
        assert found.reading("m2").problem == ""


async def test_slow_polls_do_not_starve_where_fast_ones_fill_the_line():
    banks = device("cg_em24_e1", EM24_E1)
    async with bench(banks, [spec("cg_em24_e1")]) as found:
        for _ in range(60):
            await found.connection.step()
            found.now.s += 0.25  # every step takes as long as the fast period
        assert found.reading().value("energy_import_wh") == 1234500.0
        assert found.reading().sample_no > 15


async def test_the_site_files_period_replaces_that_of_the_fastest_polls():
    async with bench(device("cg_em24_e1", EM24_E1), [spec("cg_em24_e1", period_s=2.0)]) as found:
        await found.until_idle()
        before = found.reading().sample_no
        await found.run_for(20)
        assert found.reading().sample_no - before == 10


async def test_what_is_read_once_after_connecting_is_asked_for_again_until_it_was_read():
    """A serial number that was lost in a busy moment would hold the device back until it reconnects."""
    async with bench(*alfen()) as found:
        found.server.faults = Faults(exception=6)
        found.offer(6000, lease_s=1000)
        await found.until_idle()
        found.server.faults = Faults()
        await found.run_for(30)
        assert found.reading().roles["serial"].quality == "good"
        before = requests(found)
        await found.run_for(1)
        busy = requests(found) - before
        found.now.s += 60
        await found.until_idle()
        before = requests(found)
        await found.run_for(1)
        assert requests(found) - before <= busy + 1, "and then left alone"


async def test_a_frozen_meter_repeats_its_digest_and_a_living_one_does_not():
    banks = device("cg_em24_e1", EM24_E1)
    async with bench(banks, [spec("cg_em24_e1")]) as found:
        await found.until_idle()
        digest = found.reading().digest
        await found.run_for(1)
        assert found.reading().digest == digest
        banks[1].put("input", 12, (0x3EFC, 0))
        await found.run_for(0.25)
        assert found.reading().digest != digest


# ---- the task


async def test_the_task_wakes_up_for_a_new_wish_and_ends_when_cancelled():
    banks, points = bender()
    async with bench(banks, points) as found:
        task = asyncio.create_task(found.connection.run())
        found.offer(16_000)
        await _until(lambda: written(found, 1000) == [(16,)])
        found.offer(8000)
        await _until(lambda: written(found, 1000) == [(16,), (8,)])
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await _until(lambda: not found.server.connections)


async def test_a_cancellation_that_is_lost_on_the_way_ends_the_task_all_the_same():
    """A reply that arrives together with the cancellation swallows it (``asyncio.wait_for`` of Python 3.11)."""
    async with bench(*bender()) as found:
        step = found.connection.step

        async def swallows() -> float:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.05)
            return await step()

        found.connection.step = swallows  # type: ignore[method-assign]
        task = asyncio.create_task(found.connection.run())
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait({task}, timeout=60)
        assert task.done()


async def test_a_bug_in_one_connection_is_contained(caplog):
    banks, points = bender()
    async with bench(banks, points) as found:
        found.connection._poll_job = None  # type: ignore[assignment, method-assign]
        task = asyncio.create_task(found.connection.run())
        await _until(lambda: found.reading().problem == "driver error")
        assert not task.done()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert "driver failed" in caplog.text


async def test_reconnects_are_spread_and_bounded():
    """A hundred devices that lose their switch do not come back in step, and none waits longer than 5 s."""
    ports = []
    for seed in range(100):
        connection = Connection(
            TcpLink("127.0.0.1", 9),
            [PointSpec("x", profile_of("cg_em24_e1"), 1)],
            outbox=Outbox(),
            readings=Readings(),
            clock=Now(0.0),
            jitter=random.Random(seed),
        )
        for _ in range(10):
            connection.port._back_off()
        ports.append(connection.port.retry_at_s)
    assert max(ports) <= 5.0
    assert len({round(at_s, 2) for at_s in ports}) > 30


async def _until(condition, tries: int = 400) -> None:
    for _ in range(tries):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never happened")


async def test_a_timeout_that_cannot_be_set_is_beaten_whatever_was_wished():
    """A fixed watchdog of 5 s under a wish of 60: renewed by the wish it would offer its own limit most of the time."""
    banks = device("alpitronic_hyc")
    async with bench(banks, [spec("alpitronic_hyc", failsafe=WISH)]) as found:
        await found.until_idle()
        found.connection._members[0].book.foreign = False
        for _ in range(80):  # 20 s
            found.offer(10_000)
            await found.until_idle()
            found.now.s += 0.25
        times = len(found.log)
        assert times >= 20 / (5 / 3) - 1
