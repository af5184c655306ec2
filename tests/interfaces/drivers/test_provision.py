"""Seeing to a device: at connect, after whatever looks like a restart, and hourly, on a clock that moves by hand."""

from __future__ import annotations

import asyncio

import pytest

from interfaces.drivers.failsafe import FailsafeWish
from interfaces.drivers.provision import AGAIN_S, SUSPECT_RETRY_S
from tests.interfaces.drivers.far_side import Bench, bench, device, spec
from tests.interfaces.drivers.test_bad_input_rows import bender, live, told
from tests.interfaces.drivers.test_profile_contracts import ALFEN, BENDER

SAFE_CURRENT, TIMEOUT, SETPOINT = 131, 132, 1000


def written(found: Bench) -> list[int]:
    return [addr for _, addr, _ in found.log]


async def leap(found: Bench, seconds: float, milli: int = 10_000) -> None:
    """A long time in one step, under a valid lease."""
    found.now.s += seconds
    await live(found, 1.0, milli)


async def test_every_hour_the_failsafe_is_read_again_and_put_right():
    async with bender() as found:
        found.log.clear()
        await leap(found, AGAIN_S / 2)
        found.bank().put("holding", SAFE_CURRENT, (32,))
        await live(found, 12.0)
        assert found.reading().failsafe.verdict == "unsafe", "seen at once, by polling"
        assert "its failsafe is unsafe (read 32 A, 60 s; wanted 6 A after 60 s): it counts at its nameplate" in told(
            found
        )
        assert SAFE_CURRENT not in written(found)
        await leap(found, AGAIN_S / 2)
        assert written(found).count(SAFE_CURRENT) == 1
        assert found.bank().get("holding", SAFE_CURRENT, 1) == (6,)
        await live(found, 12.0)
        assert found.reading().failsafe.verdict == "verified"
        assert told(found) == ""


async def test_every_hour_a_failsafe_that_holds_is_not_written():
    """Some makes keep these registers in flash."""
    async with bender() as found:
        found.log.clear()
        for _ in range(5):
            await leap(found, AGAIN_S + 1)
        assert not {SAFE_CURRENT, TIMEOUT} & set(written(found))


async def test_a_failsafe_that_can_no_longer_be_read_is_no_proof():
    """Another firmware came with the night: the registers are gone."""
    async with bender() as found:
        assert found.reading().failsafe.verdict == "verified"
        for addr in (SAFE_CURRENT, TIMEOUT):
            del found.bank().tables["holding"][addr]
        await leap(found, AGAIN_S + 1)
        await live(found, 12.0)
        assert found.reading().failsafe.verdict == "unverified"
        assert "its failsafe is not readable (read no current, no time-out" in told(found)


async def test_an_hourly_look_without_an_answer_takes_nothing_back_before_it_was_tried_again():
    async with bender() as found:
        found.server.faults.silent = True
        await leap(found, AGAIN_S + 1)
        assert found.reading().failsafe.verdict == "verified"
        found.server.faults.silent = False
        await live(found, 12.0)
        assert found.reading().failsafe.verdict == "verified"


@pytest.mark.parametrize("sign", ["reconnect", "uptime", "setpoint"])
async def test_after_a_restart_the_failsafe_is_written_again(sign):
    if sign == "uptime":
        await restarted_alfen()
        return
    async with bender() as found:
        found.log.clear()
        found.bank().put("holding", SAFE_CURRENT, (32,))
        if sign == "reconnect":
            found.server.hang_up()
            await asyncio.sleep(0.01)
        found.bank().put("holding", SETPOINT, (0,))
        await live(found, 8.0)
        assert SAFE_CURRENT in written(found)
        assert written(found)[-1] == SETPOINT or sign == "setpoint"
        assert found.reading().failsafe.verdict == "verified"
        assert found.reading().setpoint.readback_milli == 10_000


async def restarted_alfen() -> None:
    """An uptime that starts again is a restart, also without a hang-up."""
    banks = device("alfen_eve_ng9xx", ALFEN)
    async with bench(banks, [spec("alfen_eve_ng9xx", failsafe=FailsafeWish(6.0, 60.0))]) as found:
        await live(found, 3.0)
        found.connection._members[0].book.provisioned = True
        banks[200].put("holding", 174, (0, 0, 0, 5000))
        await live(found, 12.0)
        assert found.reading().reboots == 1
        assert found.connection._members[0].provision_at_s > found.now.s + AGAIN_S - 20


async def test_values_that_cannot_be_true_are_looked_at_again_soon():
    cells = {**BENDER, (255, "holding", 1102): (0,)}
    async with bench(device("bender_cc61x_ecu", cells), [spec("bender_cc61x_ecu")]) as found:
        profile = found.connection._members[0].device.profile
        register = profile.register("hardware_current_limit")
        right = found.bank().get(register.table, register.address, 1) or (0,)
        found.bank().put(register.table, register.address, (0,))
        await live(found, 1.0)
        assert found.reading().suspect
        found.bank().put(register.table, register.address, right if right[0] else (32,))
        await live(found, SUSPECT_RETRY_S + 2)
        assert found.reading().suspect == ()
