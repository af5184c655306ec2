"""Each profile against a device on a socket whose words were worked out by hand from the makers' tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from interfaces.drivers.failsafe import FailsafeWish
from interfaces.drivers.profile_load import profile_ids
from interfaces.drivers.readings import NOT_AVAILABLE
from interfaces.drivers.register_bank import RegisterBank
from tests.interfaces.drivers.far_side import bench, device, spec
from tests.interfaces.drivers.golden_chargers import GOLDEN as CHARGERS
from tests.interfaces.drivers.golden_power import GOLDEN
from tests.interfaces.drivers.sunspec_device import SUNSPEC_GOLDEN, chain

NAN32 = (0xFFFF, 0xFFFF)
GONE = (0xFFFF, 0x7FFF)  # int32, low word first

ALFEN = {
    (1, "holding", 1201): (0x4332, 0, 0, 0, 0),  # "C2"
    (1, "holding", 1206): (0x4180, 0x0000),  # 16.0 A applied
    (1, "holding", 1208): (0, 60),
    (1, "holding", 1210): (0x4120, 0x0000),  # 10.0 A set
    (1, "holding", 1212): (0x40C0, 0x0000),  # 6.0 A safe
    (1, "holding", 1215): (3,),
    (1, "holding", 306): (0x4366, 0x0000),  # 230.0 V
    (1, "holding", 308): NAN32,
    (1, "holding", 310): (0x4367, 0x8000),  # 231.5 V
    (1, "holding", 320): (0x4178, 0x0000),  # 15.5 A
    (1, "holding", 322): NAN32,
    (1, "holding", 324): (0x0000, 0x0000),
    (1, "holding", 336): (0x4248, 0x0000),  # 50.0 Hz
    (1, "holding", 344): (0x455E, 0xD000),  # 3565.0 W
    (1, "holding", 374): (0x40C8, 0x1C80, 0, 0),  # 12345.0 Wh
    (200, "holding", 174): (0, 0, 0x055E, 0x38C8),  # 90 061 000 ms
    (200, "holding", 157): (0x4143, 0x4530, 0x3031, 0x3233, 0x3435, 0, 0, 0, 0, 0, 0),  # "ACE0012345"
    (200, "holding", 123): (0x352E, 0x382E, 0x3100),  # "5.8.1"
}
ALFEN_ROLES = {
    "current_l1_a": 15.5, "current_l2_a": None, "current_l3_a": 0.0, "voltage_l1_v": 230.0, "voltage_l2_v": None,
    "voltage_l3_v": 231.5, "power_w": 3565.0, "energy_wh": 12345.0, "frequency_hz": 50.0, "offered_a": 16.0,
    "setpoint_a": 10.0, "failsafe_current_a": 6.0, "failsafe_timeout_s": 60, "phases": 3, "uptime_s": 90061.0,
    "serial": "ACE0012345", "firmware": "5.8.1",
}  # fmt: skip

ABB = {
    (1, "holding", 0x4000): (0x2112, 0x3456, 0x7890, 0x0001),
    (1, "holding", 0x4004): (0x0106, 0x0500),
    (1, "holding", 0x4006): (0x0000, 0x7D00),  # 32.000 A
    (1, "holding", 0x4008): (0, 0),
    (1, "holding", 0x400A): (0x0000, 0x0111),
    (1, "holding", 0x400C): (0x0000, 0x8400),  # byte 2 = 0x84: state 4 with the flag of bit 7
    (1, "holding", 0x400E): (0x0000, 0x3E80),  # 16.000 A
    (1, "holding", 0x4010): (0x0000, 0x3E80),
    (1, "holding", 0x4012): (0x0000, 0x3E81),
    (1, "holding", 0x4014): (0x0000, 0x0000),
    (1, "holding", 0x4016): (0x0000, 0x08FD),  # 230.1 V
    (1, "holding", 0x4018): (0x0000, 0x08FE),
    (1, "holding", 0x401A): (0x0000, 0x08FC),
    (1, "holding", 0x401C): (0x0000, 0x2B20),  # 11 040 W
    (1, "holding", 0x401E): (0x0001, 0x1170),  # 70 000 Wh
    (1, "holding", 0x4020): (60,),
}
ABB_ROLES = {
    "current_l1_a": 16.0, "current_l2_a": 16.001, "current_l3_a": 0.0, "voltage_l1_v": 230.1, "voltage_l2_v": 230.2,
    "voltage_l3_v": 230.0, "power_w": 11040, "session_energy_wh": 70000, "offered_a": 16.0, "rated_current_a": 32.0,
    "failsafe_timeout_s": 60, "serial": "2112345678900001", "firmware": "1.6.5",
}  # fmt: skip

BENDER = {
    (255, "holding", 100): (0x342E, 0x3430),
    (255, "holding", 104): (1,),
    (255, "holding", 112): (0,),
    (255, "holding", 122): (3, 0x0C, 1),
    (255, "holding", 131): (6, 60, 32, 32),
    (255, "holding", 140): (5,),
    (255, "holding", 200): (*NAN32, *NAN32, *NAN32),
    (255, "holding", 206): (0x0000, 0x0E60, 0, 0, 0, 0),  # 3680 W on L1
    (255, "holding", 212): (0x0000, 0x3E80, 0, 0, 0, 0),  # 16.000 A on L1
    (255, "holding", 218): (0x0001, 0xE240),  # 123 456 Wh
    (255, "holding", 220): NAN32,  # returned temporarily: the sum of the phases stands in
    (255, "holding", 222): (0, 230, 0, 231, 0, 229),
    (255, "holding", 706): (16,),
    (255, "holding", 716): (0, 1500),
    (255, "holding", 720): (0x3034, 0x4131, 0x4232, 0x4333, 0, 0, 0, 0, 0, 0),
    (255, "holding", 1000): (16,),
}
BENDER_ROLES = {
    "current_l1_a": 16.0, "current_l2_a": 0.0, "current_l3_a": 0.0, "voltage_l1_v": 230, "voltage_l2_v": 231,
    "voltage_l3_v": 229, "power_w": 3680, "energy_wh": 123456, "session_energy_wh": 1500, "offered_a": 16,
    "setpoint_a": 16, "failsafe_current_a": 6, "failsafe_timeout_s": 60, "rated_current_a": 32, "phases": 1,
    "rfid": "04A1B2C3", "firmware": "4.40",
}  # fmt: skip

NEXT = {
    (255, "holding", 1000): (3,),
    (255, "holding", 1008): (0x3E80,),  # 16.000 A
    (255, "holding", 1010): (0x3E80,),
    (255, "holding", 1012): (0,),
    (255, "holding", 1020): (0x0000, 0x1CC0),  # 7360 W
    (255, "holding", 1036): (0x0001, 0xE240),
    (255, "holding", 1100): (16,),
    (255, "holding", 2000): (6,),
    (255, "holding", 2002): (60,),
}
NEXT_ROLES = {
    "current_l1_a": 16.0, "current_l2_a": 16.0, "current_l3_a": 0.0, "power_w": 7360, "energy_wh": 123456,
    "offered_a": 16, "failsafe_current_a": 6, "failsafe_timeout_s": 60,
}  # fmt: skip

EM24_E1 = {
    (1, "input", 0): (0x08FD, 0, 0x08FE, 0, *GONE),
    (1, "input", 12): (0x3EFB, 0, 0x0000, 0, 0x86A0, 0x0001),  # 16.123, 0, 100.000 A
    (1, "input", 18): (0x3CB0, 0xFFFF, 0, 0, *GONE),  # -5000.0 W
    (1, "input", 40): (0x3CB0, 0xFFFF),
    (1, "input", 51): (0x01F4,),
    (1, "input", 52): (0x3039, 0x0000),  # 1234.5 kWh
    (1, "input", 78): (0x0001, 0x0000),  # 0.1 kWh
    (1, "holding", 20480): (0x4258, 0x3132, 0x3334, 0, 0, 0, 0),
}
EM24_ROLES = {
    "current_l1_a": 16.123, "current_l2_a": 0.0, "current_l3_a": 100.0, "voltage_l1_v": 230.1, "voltage_l2_v": 230.2,
    "voltage_l3_v": None, "power_l1_w": -5000.0, "power_l2_w": 0.0, "power_l3_w": None, "power_w": -5000.0,
    "frequency_hz": 50.0, "energy_import_wh": 1234500.0, "energy_export_wh": 100.0, "serial": "BX1234",
}  # fmt: skip
EM24_RTU = {
    **{key: words for key, words in EM24_E1.items() if key[2] not in (51, 52, 78, 20480)},
    (1, "input", 44): (0xFC18, 0xFFFF),  # -100.0 var
    (1, "input", 55): (0x01F4,),
    (1, "input", 62): (0x3039, 0x0000),
    (1, "input", 92): (0x0001, 0x0000),
    (1, "holding", 4864): (0x4258, 0x3132, 0x3334, 0, 0, 0, 0),
}
EM500 = {
    **EM24_E1,
    (1, "input", 30): (0x03E8, 0, 0xFC18, 0xFFFF, 0, 0),  # 100.0, -100.0, 0 var
    (1, "input", 44): (0xFC18, 0xFFFF),
}
SDM630 = {
    (1, "input", 0): (0x4366, 0, 0x4366, 0x199A, 0x4366, 0),  # 230.0, 230.1 (float32), 230.0 V
    (1, "input", 6): (0x4180, 0, 0x0000, 0, 0x41C8, 0),  # 16, 0, 25 A
    (1, "input", 12): (0x4566, 0, 0, 0, 0xC59C, 0x4000),  # 3680, 0, -5000 W
    (1, "input", 24): (0xC2C8, 0, 0, 0, 0x42C8, 0),  # -100, 0, 100 var
    (1, "input", 52): (0xC4A5, 0x0000),  # -1320 W
    (1, "input", 60): (0, 0),
    (1, "input", 70): (0x4248, 0),
    (1, "input", 72): (0x449A, 0x5000),  # 1234.5 kWh
    (1, "input", 74): (0, 0),
}
SDM630_ROLES = {
    "voltage_l1_v": 230.0, "current_l1_a": 16.0, "current_l2_a": 0.0, "current_l3_a": 25.0, "power_l1_w": 3680.0,
    "power_l3_w": -5000.0, "reactive_l1_var": -100.0, "reactive_l3_var": 100.0, "power_w": -1320.0,
    "frequency_hz": 50.0, "energy_import_wh": 1234500.0, "energy_export_wh": 0.0,
}  # fmt: skip

HYC = {
    (1, "input", 2): (2, 0, 0x0000, 0xC350, 0x4859, 0x4330, 0x3100, *[0] * 9, 1, *[0] * 27, 1, 8, 3),  # "HYC01"
    (1, "input", 100): (3, 0x0000, 0x9C40, 0x3039, 0x0000, 0xC350, 600, 1234, 5700, 1),  # 50 000 W, 12.34 kWh, 57 %
    (1, "input", 110): (0,) * 22,
    (1, "input", 132): (0, 0, 0x0012, 0xD687),  # 1 234 567 Wh
    (1, "holding", 100): (0x0001, 0x86A0),  # 100 000 W: 161.03 A at 3 x 207 V
}
HYC_ROLES = {
    "current_l1_a": 67.915, "current_l2_a": 67.915, "current_l3_a": 67.915, "offered_a": 161.0306, "energy_wh": 1234567,
    "session_energy_wh": 12340.0, "soc_pct": 57, "serial": "HYC01",
}  # fmt: skip

CONTRACTS: dict[
    str, tuple[Mapping[tuple[int, str, int], Sequence[int]], Mapping[str, object], tuple[str, str] | None]
] = {
    "alpitronic_hyc": (HYC, HYC_ROLES, ("C2", "charging")),
    "alfen_eve_ng9xx": (ALFEN, ALFEN_ROLES, ("C2", "charging")),
    "abb_terra_ac": (ABB, ABB_ROLES, ("C2", "charging")),
    "bender_cc61x_ecu": (BENDER, BENDER_ROLES, ("C2", "charging")),
    "webasto_live": (BENDER, BENDER_ROLES, ("C2", "charging")),
    "webasto_next": (NEXT, NEXT_ROLES, ("C2", "charging")),
    "cg_em24_e1": (EM24_E1, EM24_ROLES, None),
    "cg_em24_rs485": (EM24_RTU, {**EM24_ROLES, "reactive_var": -100.0}, None),
    "cg_em500": (EM500, {**EM24_ROLES, "reactive_l1_var": 100.0, "reactive_l2_var": -100.0}, None),
    "eastron_sdm630": (SDM630, SDM630_ROLES, None),
}


def test_every_shipped_profile_has_its_contract():
    assert set(CONTRACTS) | set(GOLDEN) | set(CHARGERS) | SUNSPEC_GOLDEN == set(profile_ids())


@pytest.mark.parametrize("name", CONTRACTS)
async def test_golden_words_become_roles(name):
    golden, roles, state = CONTRACTS[name]
    async with bench(device(name, golden), [spec(name)]) as found:
        await found.until_idle()
        reading = found.reading()
        assert {role: reading.roles[role].value for role in roles} == roles
        for role, value in roles.items():
            assert reading.roles[role].quality == ("good" if value is not None else NOT_AVAILABLE), role
        if state is not None:
            assert reading.state is not None
            assert (reading.state.pilot, reading.state.status) == state
        assert reading.problem == ""
        assert reading.sample_no == 1
        assert reading.sample_s == found.now.s


async def test_serial_meters_answer_through_a_gateway_too():
    async with bench(device("cg_em24_rs485", EM24_RTU), [spec("cg_em24_rs485")], framing="rtu") as found:
        await found.until_idle()
        assert found.reading().value("current_l1_a") == 16.123
        assert found.reading().value("power_w") == -5000.0


@pytest.mark.parametrize(
    ("name", "milli", "unit", "addr", "words"),
    [
        ("alfen_eve_ng9xx", 13_370, 1, 1210, (0x4154, 0xCCCC)),  # 13.3 A: the float32 just below
        ("alfen_eve_ng9xx", 5_999, 1, 1210, (0, 0)),
        ("abb_terra_ac", 16_049, 1, 16640, (0x0000, 0x3E80)),
        ("bender_cc61x_ecu", 10_999, 255, 1000, (10,)),
        ("bender_cc61x_ecu", 99_000, 255, 1000, (32,)),
        ("webasto_live", 6_000, 255, 1000, (6,)),
        ("webasto_next", 15_500, 255, 5004, (15,)),
    ],
)
async def test_setpoints_reach_their_register_rounded_towards_zero(name, milli, unit, addr, words):
    async with bench(device(name, CONTRACTS[name][0]), [spec(name)]) as found:
        found.offer(milli)
        await found.until_idle()
        assert (str(unit), addr, words) in found.log
        assert found.reading().setpoint.written_milli == {13_370: 13_300, 5_999: 0, 16_049: 16_000}.get(
            milli, words[-1] * 1000
        )


@pytest.mark.parametrize(
    ("name", "addr", "words", "stopped", "again"),
    [
        ("abb_terra_ac", 16645, (1,), (1,), (0,)),
        ("bender_cc61x_ecu", 124, (1,), (0,), (1,)),
        ("webasto_next", 5006, (0,), (2,), (0,)),
    ],
)
async def test_the_second_path_stops_and_allows_again(name, addr, words, stopped, again):
    banks = device(name, CONTRACTS[name][0])
    unit = next(iter(banks))
    banks[unit].put("holding", addr, words)
    async with bench(banks, [spec(name)]) as found:
        found.outbox.put("x", "stop", 0, found.now.s + 2)
        await found.until_idle()
        assert (str(unit), addr, again) not in found.log  # nothing was stopped: nothing is started
        found.outbox.put("x", "stop", 1, found.now.s + 2)
        await found.until_idle()
        assert found.log[-1] == (str(unit), addr, stopped)
        found.outbox.put("x", "stop", 0, found.now.s + 2)
        await found.until_idle()
        assert found.log[-1] == (str(unit), addr, again)


async def test_alfen_switches_phases():
    async with bench(device("alfen_eve_ng9xx", ALFEN), [spec("alfen_eve_ng9xx")]) as found:
        await found.until_idle()
        found.outbox.put("x", "phases", 3, found.now.s + 2)  # as it is
        await found.until_idle()
        assert found.log == []
        found.outbox.put("x", "phases", 1, found.now.s + 2)
        await found.until_idle()
        assert found.log == [("1", 1215, (1,))]
        assert found.reading().value("phases") == 1


@pytest.mark.parametrize(
    ("name", "cells", "pilot", "status"),
    [
        ("alfen_eve_ng9xx", {1201: (0x4100, 0, 0, 0, 0)}, "A", "free"),
        ("alfen_eve_ng9xx", {1201: (0x4231, 0, 0, 0, 0)}, "B1", "occupied"),
        ("alfen_eve_ng9xx", {1201: (0x4600, 0, 0, 0, 0)}, "F", "not_in_operation"),
        ("abb_terra_ac", {0x400C: (0, 0x0500), 0x400A: (0, 0x0111)}, "B2", "occupied"),
        ("abb_terra_ac", {0x400C: (0, 0x8500), 0x400A: (0, 0x0011)}, "A", "free"),
        ("abb_terra_ac", {0x400C: (0x00FF, 0x02FF)}, "B2", "occupied"),
        ("bender_cc61x_ecu", {122: (1,), 104: (2,)}, "A", "reserved"),
        ("bender_cc61x_ecu", {122: (2,), 104: (2,)}, "B2", "occupied"),
        ("bender_cc61x_ecu", {122: (3,), 140: (0,)}, "C1", "occupied"),
        ("bender_cc61x_ecu", {122: (3,), 140: (1,), 104: (4,)}, "C2", "not_in_operation"),
        ("webasto_next", {1000: (8,)}, "A", "reserved"),
    ],
)
async def test_states(name, cells, pilot, status):
    banks = device(name, CONTRACTS[name][0])
    for addr, words in cells.items():
        next(iter(banks.values())).put("holding", addr, words)
    async with bench(banks, [spec(name)]) as found:
        await found.until_idle()
        state = found.reading().state
        assert state is not None
        assert (state.pilot, state.status) == (pilot, status)


async def test_an_unknown_raw_state_is_no_state():
    banks = device("bender_cc61x_ecu", {**BENDER, (255, "holding", 122): (9,)})
    async with bench(banks, [spec("bender_cc61x_ecu")]) as found:
        await found.until_idle()
        assert found.reading().state is None


async def test_alfen_right_socket_answers_on_unit_2():
    banks = device("alfen_eve_ng9xx", ALFEN)
    banks[2] = device("alfen_eve_ng9xx", {(1, *key[1:]): w for key, w in ALFEN.items() if key[0] == 1})[1]
    banks[2].put("holding", 320, (0x40C0, 0))
    points = [spec("alfen_eve_ng9xx", key="left"), spec("alfen_eve_ng9xx", key="right", unit=2, point=1)]
    async with bench(banks, points) as found:
        found.offer(6000, "right")
        await found.until_idle()
        assert found.reading("left").value("current_l1_a") == 15.5
        assert found.reading("right").value("current_l1_a") == 6.0
        assert found.reading("right").value("uptime_s") == 90061.0
        assert found.log == [("2", 1210, (0x40C0, 0))]


async def test_sunspec_inverter_by_hand():
    inverter = {3: 160, 4: 0xFFFF, 5: 150, 6: 0xFFFF, 10: 2301, 13: 0xFFFF, 14: 1104, 15: 1, 16: 5000, 17: 0xFFFE,
                24: 0x0001, 25: 0xE240, 38: 4}  # fmt: skip
    bank = chain(
        (1, 66, {50: 0x5A31}),
        (64001, 4, {}),  # a vendor's own model in between
        (103, 50, inverter),
        (121, 30, {2: 15000}),
        (123, 24, {5: 10000, 23: 0xFFFE}),
        base=50000,
    )
    async with bench({1: bank}, [spec("sunspec_inverter", failsafe=FailsafeWish(0, 60))]) as found:
        await found.until_idle()
        reading = found.reading()
        expected = {
            "power_w": -11040.0, "current_l1_a": -16.0, "current_l2_a": None, "current_l3_a": -15.0,
            "voltage_l1_v": 230.1, "frequency_hz": 50.0, "energy_wh": 123456, "mode": 4, "power_max_w": 15000,
            "setpoint_pct": 100.0, "serial": "Z1",
        }  # fmt: skip
        assert {role: reading.roles[role].value for role in expected} == expected
        found.offer(-7_500_000)
        await found.until_idle()
        start = 50000 + 2 + 68 + 6 + 52 + 32
        assert found.log == [("1", start + 7, (60,)), ("1", start + 5, (5000,)), ("1", start + 9, (1,))]
        assert reading.setpoint.problem == ""
        assert found.reading().setpoint.readback_milli == -7_500_000


async def test_sunspec_battery_by_hand():
    battery = {2: 100, 3: 10000, 4: 2000, 5: 1500, 11: 855, 13: 990, 22: 3, 47: 0xF830, 54: 1, 56: 0xFFFF,
               58: 0xFFFF, 63: 0}  # fmt: skip
    storage = {2: 2000, 5: 0, 8: 0xFFFF, 12: 0, 13: 0, 18: 1, 22: 0x8000, 25: 0xFFFE}
    bank = chain((1, 66, {}), (124, 24, storage), (802, 62, battery), base=40000)
    async with bench({1: bank}, [spec("sunspec_battery", failsafe=FailsafeWish(0, 30))]) as found:
        await found.until_idle()
        reading = found.reading()
        expected = {
            "soc_pct": 85.5, "soh_pct": 99.0, "power_w": 2000, "charge_max_w": 20000.0, "discharge_max_w": 15000.0,
            "power_max_w": 20000.0, "mode": 3,
        }  # fmt: skip
        assert {role: reading.roles[role].value for role in expected} == expected
        start = 40000 + 2 + 68
        for watts, in_rate, out_rate in ((5000, 2500, 0xF63C), (-5000, 0xF63C, 2500), (0, 0, 0)):
            found.log.clear()
            found.offer(watts * 1000)
            await found.until_idle()
            assert found.log == [
                ("1", start + 15, (30,)),
                ("1", start + 13, (in_rate,)),
                ("1", start + 12, (out_rate,)),
                ("1", start + 5, (3,)),
            ]
            assert found.reading().setpoint.readback_milli == watts * 1000


async def test_sunspec_device_without_the_required_model_says_so():
    async with bench({1: chain((1, 66, {}), base=40000)}, [spec("sunspec_inverter")]) as found:
        found.offer(-1_000_000)
        await found.until_idle()
        assert "no SunSpec model 101 or 102 or 103" in found.reading().problem
        assert found.log == []


async def test_no_sunspec_marker_anywhere_says_so():
    async with bench({1: RegisterBank()}, [spec("sunspec_battery")]) as found:
        await found.until_idle()
        assert "no SunSpec marker" in found.reading().problem


async def test_a_chain_without_end_is_given_up():
    bank = RegisterBank()
    bank.put("holding", 40000, (0x5375, 0x6E53, *[7, 0] * 100))
    async with bench({1: bank}, [spec("sunspec_battery")]) as found:
        await found.until_idle()
        assert "does not end" in found.reading().problem
