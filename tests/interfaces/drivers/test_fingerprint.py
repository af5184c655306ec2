"""The right make at the address? Wrong profile, swapped words, wrong scale, the wrong map of a Webasto Live."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from interfaces.drivers.failsafe import FailsafeWish
from interfaces.drivers.fingerprint import is_foreign, passes, suspicions
from interfaces.drivers.links import TcpLink
from interfaces.drivers.modbus import ModbusPort
from interfaces.drivers.modbus_server import ModbusServer
from interfaces.drivers.profile import Profile
from interfaces.drivers.profile_check import problems_of
from interfaces.drivers.profile_identity import Check
from interfaces.drivers.profile_load import ProfileProblems, find_profile, parse_profile, profile_ids
from interfaces.drivers.register_bank import RegisterBank
from interfaces.drivers.register_sets import NotProven, Proven, find_register_set
from tests.interfaces.drivers.far_side import Now, bench, device, profile_of, spec
from tests.interfaces.drivers.golden_chargers import GOLDEN

CHARGERS = [name for name in profile_ids() if profile_of(name).kind == "charger"]
LIVE = {(255, "holding", 122): (2, 11), (255, "holding", 133): (32,)}


def golden_of(name: str) -> dict[int, RegisterBank]:
    golden = GOLDEN[name]
    return device(name, {(golden.unit, *place): words for place, words in golden.cells.items()})


@pytest.mark.parametrize(
    ("check", "value", "passed"),
    [
        (Check("r", "x", one_of=(1, 2)), 2, True),
        (Check("r", "x", one_of=(1, 2)), 3, False),
        (Check("r", "x", at_least=180, below=280), 279.9, True),
        (Check("r", "x", at_least=180, below=280), 280, False),
        (Check("r", "x", at_least=180, below=280), 15_073_280, False),  # 230 with its words swapped
        (Check("r", "x", at_least=180, ignore=(0,)), 0, True),
        (Check("r", "x", at_least=180), "230", False),
        (Check("r", "x", starts_with=("CHARX",)), "charx sec", True),
        (Check("r", "x", starts_with=("CHARX",)), "EVE", False),
        (Check("r", "x", at_least=1), None, False),
        (Check("r", "x", at_least=1, optional=True), None, True),
    ],
)
def test_checks(check, value, passed):
    assert passes(check, {"r": value}) is passed


def test_a_register_that_was_never_read_proves_nothing():
    assert passes(Check("r", "x", one_of=(1,)), {})


@pytest.mark.parametrize("name", CHARGERS)
def test_every_charger_can_be_told_from_another_make(name):
    profile = profile_of(name)
    assert any(check.kind == "identity" for check in profile.fingerprint)
    for check in profile.fingerprint:
        assert profile.register(check.register).readable
        assert check.says.endswith(".")
        assert {check.at_least, check.below, check.one_of, check.starts_with} != {None, ()}


def wide_checks(name: str) -> list[Check]:
    """Checks of numbers that take several words."""
    numbers = {r.name for r in profile_of(name).registers if r.words > 1 and r.type not in ("string", "raw")}
    return [check for check in profile_of(name).fingerprint if check.register in numbers]


@pytest.mark.parametrize("name", [name for name in GOLDEN if wide_checks(name)])
async def test_swapped_words_are_noticed(name):
    """Words as they would come from a device with the other order."""
    wide = wide_checks(name)
    golden = GOLDEN[name]
    banks = golden_of(name)
    for check in wide:
        register = profile_of(name).register(check.register)
        words = banks[golden.unit].get(register.table, register.address, register.words) or ()
        banks[golden.unit].put(register.table, register.address, words[::-1])
    async with bench(banks, [spec(name, unit=golden.unit)], framing="rtu" if golden.serial else "mbap") as found:
        await found.until_idle()
        assert len(found.reading().suspect) == len(wide)


async def test_a_foreign_device_is_named_and_never_raised():
    """A Vestel where a KEBA was configured: other registers, so nothing but a pause would be written."""
    banks = {255: golden_of("vestel_evc04")[255]}
    async with bench(banks, [spec("keba_kecontact", failsafe=FailsafeWish(6.0, 30.0))]) as found:
        found.offer(16_000)
        await found.until_idle()
        assert found.log == []
        assert "KEBA keba_kecontact shows nothing. This is no KeContact P30" in found.reading().suspect[0]


async def test_a_p40_under_the_profile_of_a_p30_is_told_its_profile():
    async with bench(golden_of("keba_kecontact_p40"), [spec("keba_kecontact")]) as found:
        found.offer(16_000)
        await found.until_idle()
        assert "choose profile keba_kecontact_p40" in found.reading().suspect[0]
        assert [addr for _, addr, _ in found.log if addr in (5004, 5014)] == []


async def test_a_wallbe_that_counts_in_tenths_is_not_given_ten_times_its_current():
    async with bench(golden_of("phoenix_ev_cc_ac1_eth_wallbe"), [spec("phoenix_ev_cc_ac1_eth")]) as found:
        found.offer(16_000)
        await found.until_idle()
        assert "choose profile phoenix_ev_cc_ac1_eth_wallbe" in found.reading().suspect[0]
        assert found.log == []


async def test_a_versicharge_with_another_scale_is_not_raised():
    banks = golden_of("siemens_versicharge")
    banks[2].put("holding", 1633, (16,))  # 16 A in whole amperes would be 0.16 A
    async with bench(banks, [spec("siemens_versicharge")]) as found:
        found.offer(16_000)
        await found.until_idle()
        assert "max_current of Siemens siemens_versicharge shows 0.16" in found.reading().suspect[0]
        assert found.log == []


async def test_a_device_set_right_is_raised_after_the_next_look():
    banks = golden_of("siemens_versicharge")
    banks[2].put("holding", 1633, (16,))
    async with bench(banks, [spec("siemens_versicharge")]) as found:
        found.offer(10_000, lease_s=1000)
        await found.until_idle()
        found.bank(2).put("holding", 1633, (600,))
        await found.run_for(62, step_s=1.0)
        assert found.reading().suspect == ()
        assert found.log[-1] == ("2", 1633, (1000,))


async def asked(banks: dict[int, RegisterBank], name: str = "webasto_live") -> Proven | NotProven:
    async with ModbusServer(banks) as server:
        port = ModbusPort(TcpLink("127.0.0.1", server.port, 1.0), Now(), random.Random(1))
        found = await find_register_set(port, profile_of(name), 255)
        await port.aclose()
    return found


async def test_a_live_with_the_bender_set_is_proven():
    found = await asked(device("webasto_live", LIVE))
    assert isinstance(found, Proven)
    assert (found.register_set.setting, found.advice) == ("Ebee/Bender/OMCCI", "")


async def test_a_live_with_another_set_names_the_setting_and_the_profile():
    next_map = {(255, "holding", 1002): (1,), (255, "holding", 1104): (32,)}
    for banks, setting, profile in (
        (device("webasto_next", next_map), "TQ-DM100", "webasto_next"),
        (golden_of("phoenix_ev_cc_ac1_eth"), "Phoenix", "phoenix_ev_cc_ac1_eth"),
    ):
        found = await asked(banks)
        assert isinstance(found, Proven)
        assert found.register_set.setting == setting
        assert f'register set "{setting}"' in found.advice
        assert '"register address set" to Ebee/Bender/OMCCI' in found.advice
        assert found.advice.endswith(f"Or choose profile {profile}.")


async def test_a_live_without_any_set_names_what_to_switch_on():
    found = await asked({255: RegisterBank()})
    assert isinstance(found, NotProven)
    assert '"Modbus TCP server for energy management" to On' in found.advice


async def test_the_driver_says_so_too_and_holds_back():
    async with bench(golden_of("phoenix_ev_cc_ac1_eth"), [spec("webasto_live")]) as found:
        found.offer(16_000)
        await found.until_idle()
        assert any('register set "Phoenix"' in text for text in found.reading().suspect)
        assert found.log == []


def test_a_check_of_an_unknown_register_and_a_set_of_an_unknown_profile_are_refused():
    live = profile_of("webasto_live")
    broken = replace(live, fingerprint=(Check("nothing", "x"),))
    assert problems_of(broken) == ("fingerprint: there is no register nothing",)
    text = "schema: 1\nid: live_2\nextends: webasto_live\nfingerprint: [{register: cp_state, says: x, colour: red}]"
    refused = parse_profile(text, "file")
    assert isinstance(refused, ProfileProblems)
    assert "colour" in refused.problems[0]
    for name in profile_ids():
        for one in profile_of(name).register_sets:
            assert isinstance(find_profile(one.profile), Profile)


def test_suspicions_tell_what_is_shown_and_what_to_do():
    live = profile_of("webasto_live")
    told = suspicions(live, {"cp_state_hex": 3, "hardware_current_limit": 32})
    assert told[0].startswith("cp_state_hex of Webasto / Ampure webasto_live shows 3. Set ")
    assert len(told) == 1
    assert is_foreign(live, {"cp_state_hex": 3})
    assert not is_foreign(live, {"cp_state_hex": 10, "hardware_current_limit": 500})
