"""Batteries and inverters over a socket: what a setpoint becomes on the wire, and the SunSpec profiles by hand."""

from __future__ import annotations

import pytest

from interfaces.drivers.failsafe import FailsafeWish
from tests.interfaces.drivers.far_side import bench, device, spec
from tests.interfaces.drivers.golden_power import GOLDEN
from tests.interfaces.drivers.sunspec_device import Part, chain, text

COMMON: Part = (1, 66, {50: text("SN42", 16)})
FIRST = 40000 + 2 + 68
"""The id word of the model behind the common one."""

INVERTER_FLOAT: Part = (113, 60, {
    4: (0x4180, 0), 6: (0x7FC0, 0), 8: (0x41C8, 0), 16: (0x4366, 0), 22: (0x4566, 0), 24: (0x4248, 0),
    32: (0x449A, 0x5000), 40: (0x41C8, 0), 48: 4,
})  # fmt: skip
METER: Part = (203, 105, {
    3: 160, 4: 0x8000, 5: 0xFF06, 6: 0xFFFF, 8: 2301, 15: 0xFFFF, 16: 5000, 17: 0xFFFE, 18: 0xFF7C, 19: 368,
    20: 0x8000, 21: 0xFE0C, 22: 1, 28: 0xFFF6, 32: 1, 38: (0, 1234), 46: (0x0001, 0xE240), 54: 2,
})  # fmt: skip
METER_FLOAT: Part = (213, 124, {
    4: (0x4180, 0), 6: (0x7FC0, 0), 12: (0x4366, 0), 26: (0x4248, 0), 28: (0xC4A5, 0), 30: (0x4566, 0),
    60: (0x449A, 0x5000), 68: (0x4366, 0),
})  # fmt: skip
DER: Part = (701, 153, {
    4: 3, 10: 980, 12: 0xFF9C, 14: 2400, 17: (0, 50_020), 19: (0, 0, 0x0012, 0xD687),
    111: 0xFFFF,
})  # fmt: skip
CAPACITY: Part = (702, 50, {26: 2000, 34: 500, 35: 0xFFFF, 11: 400, 45: 1})
CONTROL: Part = (704, 65, {15: 10000, 54: 0xFFFE, 55: 0})
STORAGE_713: Part = (713, 7, {2: 1000, 3: 500, 4: 555, 5: 990, 7: 1, 8: 0xFFFF})
GEN24_STORAGE: Part = (124, 24, {2: 5000, 5: 0, 8: 6400, 18: 0, 22: 0xFFFE, 25: 0xFFFE})
GEN24_INPUTS: Part = (160, 88, {4: 0, 8: 4, 21: 3000, 41: 2000, 61: 1500, 81: 0})


def meter_roles(**more: float | None) -> dict[str, object]:
    return {"current_l1_a": 16.0, "current_l2_a": None, "serial": "SN42", "frequency_hz": 50.0, **more}


VECTORS: dict[str, tuple[list[Part], dict[str, object]]] = {
    "sunspec_inverter_float": ([COMMON, INVERTER_FLOAT], {
        "power_w": -3680.0, "current_l1_a": -16.0, "current_l2_a": None, "current_l3_a": -25.0, "voltage_l1_v": 230.0,
        "frequency_hz": 50.0, "energy_wh": 1234.5, "mode": 4, "serial": "SN42",
    }),
    "sunspec_meter": ([COMMON, METER], meter_roles(
        current_l3_a=-25.0, voltage_l1_v=230.1, power_w=-1320, power_l1_w=3680, power_l2_w=None, power_l3_w=-5000,
        reactive_var=-100, energy_import_wh=12_345_600, energy_export_wh=123_400,
    )),
    "sunspec_meter_float": ([COMMON, METER_FLOAT], meter_roles(
        voltage_l1_v=230.0, power_w=-1320.0, power_l1_w=3680.0, energy_export_wh=1234.5, energy_import_wh=230.0,
    )),
    "sunspec_der": ([COMMON, DER, CAPACITY, CONTROL], {
        "power_w": -980, "power_max_w": 20_000, "setpoint_pct": 100.0, "serial": "SN42", "mode": 3,
    }),
    "sunspec_der_battery": ([COMMON, DER, CAPACITY, CONTROL, STORAGE_713], {
        "power_w": -980, "soc_pct": 55.5, "soh_pct": 99.0, "capacity_wh": 10_000, "charge_max_w": 5000,
        "discharge_max_w": 4000, "power_max_w": 20_000, "setpoint_w": 0,
    }),
    "fronius_gen24": ([COMMON, GEN24_STORAGE, GEN24_INPUTS], {
        "power_w": 1500, "soc_pct": 64.0, "charge_max_w": 5000, "setpoint_pct": 0.0, "serial": "SN42",
    }),
}  # fmt: skip


@pytest.mark.parametrize("name", VECTORS)
async def test_a_chain_by_hand_becomes_roles(name):
    models, roles = VECTORS[name]
    async with bench({1: chain(*models, base=40000)}, [spec(name)]) as found:
        await found.until_idle()
        reading = found.reading()
        assert {role: reading.roles[role].value for role in roles} == pytest.approx(roles)
        assert reading.problem == ""


async def writes(name: str, banks, watts: int, timeout_s: int = 60, **more) -> list[tuple[int, tuple[int, ...]]]:
    async with bench(banks, [spec(name, failsafe=FailsafeWish(0, timeout_s), **more)]) as found:
        await found.until_idle()
        found.offer(watts * 1000)
        await found.until_idle()
        assert found.reading().setpoint.problem == ""
        read_milli = found.reading().setpoint.readback_milli
        assert read_milli is not None
        assert abs(read_milli - watts * 1000) < 3000
        return [(addr, words) for _, addr, words in found.log]


@pytest.mark.parametrize(("watts", "raw"), [(-5000, 2500), (-20_000, 10_000), (0, 0)])
async def test_an_inverter_after_ieee_1547_is_limited_and_forgets(watts, raw):
    models, _ = VECTORS["sunspec_der"]
    start = FIRST + 155 + 52
    told = await writes("sunspec_der", {1: chain(*models, base=40000)}, watts)
    assert told == [(start + 18, (0, 60)), (start + 17, (0,)), (start + 15, (raw,)), (start + 14, (1,))]


@pytest.mark.parametrize(("watts", "raw"), [(5000, (0xFFFF, 0xEC78)), (-5000, (0, 5000)), (0, (0, 0))])
async def test_a_battery_after_ieee_1547_charges_with_a_negative_setpoint(watts, raw):
    models, _ = VECTORS["sunspec_der_battery"]
    start = FIRST + 155 + 52
    told = await writes("sunspec_der_battery", {1: chain(*models, base=40000)}, watts)
    assert told == [
        (start + 31, (0, 60)), (start + 30, (0,)), (start + 23, (1,)), (start + 24, raw), (start + 22, (1,)),
    ]  # fmt: skip


async def test_gen24_takes_rates_of_its_charging_power():
    models, _ = VECTORS["fronius_gen24"]
    told = await writes("fronius_gen24", {1: chain(*models, base=40000)}, 2500)
    assert told == [(FIRST + 15, (60,)), (FIRST + 13, (5000,)), (FIRST + 12, (0xEC78,)), (FIRST + 5, (3,))]


def bank_of(name: str):
    golden = GOLDEN[name]
    return device(name, {(golden.unit, *place): words for place, words in golden.cells.items()})


SMA_ZERO = [(40793, (0, 0)), (40795, (0, 0)), (40797, (0, 0)), (40799, (0, 0)), (40801, (0, 0))]


@pytest.mark.parametrize(
    ("watts", "mode", "expected"),
    [
        (1500, 2289, {40793: (0, 1500), 40795: (0, 1500)}),
        (-70_000, 2290, {40797: (1, 4464), 40799: (1, 4464)}),
        (0, 2289, {}),
    ],
)
async def test_sma_is_told_all_six_registers_as_a_set(watts, mode, expected):
    told = await writes("sma_native", bank_of("sma_native"), watts)
    assert sorted(told) == sorted({40236: (0, mode), **dict(SMA_ZERO), **expected}.items())
    assert len(told) == 6


@pytest.mark.parametrize(("watts", "command"), [(1500, 170), (-1500, 187), (0, 204)])
async def test_sungrow_is_told_power_command_and_mode(watts, command):
    told = await writes("sungrow_sh", bank_of("sungrow_sh"), watts)
    assert told == [(13051, (abs(watts),)), (13050, (command,)), (13049, (2,))]


@pytest.mark.parametrize(("watts", "raw"), [(1500, 1500), (-1500, 0xFA24), (0, 0)])
async def test_victron_is_told_the_power_of_the_inverter(watts, raw):
    assert await writes("victron_gx", bank_of("victron_gx"), watts) == [(37, (raw,))]


async def test_three_victron_inverters_share_the_power():
    told = await writes("victron_gx_three_phase", bank_of("victron_gx_three_phase"), 500)
    assert told == [(37, (166,)), (40, (166,)), (41, (166,))]


async def test_a_setpoint_that_was_shared_is_not_written_again_at_once():
    name = "victron_gx_three_phase"
    async with bench(bank_of(name), [spec(name, failsafe=FailsafeWish(0, 60))]) as found:
        await found.until_idle()
        found.offer(500_000, lease_s=15.0)
        await found.run_for(12.0)
        assert len(found.log) == 3
        found.offer(500_000, lease_s=15.0)
        await found.run_for(10.0)
        assert len(found.log) == 6  # a third of the time-out


async def test_victron_services_answer_at_their_own_units():
    banks = bank_of("victron_gx")
    system = banks[100]
    inverter = device("victron_gx", {(100, "holding", 37): (0,)})[100]
    for addr in [addr for addr in system.tables["holding"] if addr < 800]:
        del system.tables["holding"][addr]
    async with bench({100: system, 227: inverter}, [spec("victron_gx", unit=227)]) as found:
        await found.until_idle()
        found.offer(1_000_000)
        await found.until_idle()
        assert ("227", 37, (1000,)) in found.log
        assert found.reading().value("power_w") == -2000
