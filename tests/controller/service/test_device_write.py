"""`stroomwacht device write` over real sockets: what reaches the wire, what is read back, what is refused."""

from __future__ import annotations

import pytest

from interfaces.drivers.modbus_server import ModbusServer
from tests.controller.service.device_kit import at, complaint, figures, run, server_of
from tests.interfaces.drivers.sunspec_device import chain

SOCKET = {(1, "holding", 1201): (0x4332, 0, 0, 0, 0), (1, "holding", 1210): (0x4180, 0)}  # C2, 16 A
WALLBOX = {(255, "holding", 0): (4,), (255, "holding", 32): (320,), (255, "holding", 91): (160,)}


async def test_a_float_is_written_and_read_back(capsys):
    async with server_of("alfen_eve", SOCKET) as server:
        found = await figures(capsys, "write", "--profile", "alfen_eve", *at(server), "max_current", "6.5")
        assert server.units[1].get("holding", 1210, 2) == (0x40D0, 0)
        assert server.units[1].writes == 1
    assert found == {
        "profile": "alfen_eve_ng9xx", "name": "max_current", "unit": "A", "written": 6.5, "words": [0x40D0, 0],
        "read_back": "max_current", "before": 16.0, "after": 6.5, "applied": True, "problems": [],
    }  # fmt: skip


async def test_a_scale_is_applied_and_people_are_told(capsys):
    async with server_of("daheimladen", WALLBOX) as server:
        assert await run("write", "--profile", "daheimladen", *at(server), "current_limit", "13.3") == 0
        assert server.units[255].get("holding", 91, 1) == (133,)
    said = capsys.readouterr().out
    assert "current_limit: wrote 13.3 A" in said
    assert "current_limit: 16 before, 13.3 after" in said


async def test_low_word_first_and_an_order_for_writing_of_its_own(capsys):
    async with server_of("solaredge", {}) as server:
        found = await figures(capsys, "write", "--profile", "solaredge", *at(server), "export_site_limit", "5000")
        assert server.units[1].get("holding", 57346, 2) == (0x4000, 0x459C)
    assert (found["before"], found["after"]) == (None, 5000.0)
    async with server_of("weidmueller_ac_smart", {(255, "holding", 318): (1,)}) as server:
        found = await figures(capsys, "write", "--profile", "weidmueller_ac_smart", *at(server), "lcm_timeout", "60")
        assert server.units[255].get("holding", 11050, 2) == (0, 60)
    assert found["applied"] is None


async def test_a_negative_value_is_no_option(capsys):
    async with server_of("victron_gx", {}) as server:
        words = ["write", "--profile", "victron_gx", *at(server), "/Hub4/L1/AcPowerSetpoint", "-500"]
        found = await figures(capsys, *words)
        assert server.units[100].get("holding", 37, 1) == (0xFE0C,)
    assert found["after"] == -500


async def test_a_register_that_cannot_be_read_is_shown_by_another(capsys):
    cells = {(1, "holding", 0x4006): (0, 32000), (1, "holding", 0x400E): (0, 16000)}
    async with server_of("abb_terra_ac", cells) as server:
        found = await figures(capsys, "write", "--profile", "abb_terra_ac", *at(server), "set_current_limit", "10")
        assert server.units[1].get("holding", 0x4100, 2) == (0, 10000)
    assert (found["read_back"], found["before"], found["after"]) == ("current_limit_actual", 16.0, 16.0)
    assert found["applied"] is None


async def test_one_channel_of_a_row(capsys):
    async with server_of("waveshare_poe_eth_relay", {}) as server:
        found = await figures(capsys, "write", "--profile", "waveshare_poe_eth_relay", *at(server), "relay[2]", "1")
        assert server.units[1].get("coil", 0, 4) == (0, 0, 1, 0)
    assert (found["before"], found["after"]) == (0, 1)


async def test_a_point_further_on(capsys):
    async with server_of("compleo_solo_duo", {(255, "input", 8): (2,)}) as server:
        found = await figures(capsys, "write", "--profile", "compleo_solo_duo", *at(server), "point2.max_power", "4200")
        assert server.units[255].get("holding", 0x110, 1) == (42,)
    assert found["applied"] is True


async def test_a_sunspec_point_with_the_factor_of_the_device(capsys):
    bank = chain((1, 66, {}), (103, 50, {}), (123, 24, {5: 10000, 23: 0xFFFE}), base=40000)
    place = 40002 + 68 + 52 + 5
    async with ModbusServer({1: bank}) as server:
        words = ["write", "--profile", "sunspec_inverter", *at(server)]
        found = await figures(capsys, *words, "WMaxLimPct", "62.5")
        assert bank.get("holding", place, 1) == (6250,)
        assert (found["before"], found["after"], found["applied"]) == (100.0, 62.5, True)
        by_id = await figures(capsys, *words, "123.WMaxLimPct", "50")
        assert (by_id["before"], by_id["after"]) == (62.5, 50.0)
        assert "can only be read" in await complaint(capsys, *words, "W", "5")
        assert "no point 'Nothing'" in await complaint(capsys, *words, "Nothing", "5")
        assert "exactly" in await complaint(capsys, *words, "WMaxLimPct", "50.001")
        assert "does not fit" in await complaint(capsys, *words, "WMaxLimPct", "900")
        assert bank.get("holding", place, 1) == (5000,)


async def test_memory_that_wears_needs_force(capsys):
    async with server_of("go_e_charger", {(1, "holding", 299): (16, 20), (1, "input", 100): (2,)}) as server:
        words = ["write", "--profile", "go_e_charger", *at(server), "ampere_eeprom", "10"]
        assert "flash memory" in await complaint(capsys, *words)
        assert server.units[1].writes == 0
        found = await figures(capsys, *words, "--force")
    assert (found["before"], found["after"]) == (20, 10)


async def test_a_gateway_that_says_yes_and_does_nothing_is_told_with_another_exit_code(capsys):
    async with server_of("alfen_eve", SOCKET) as server:
        server.units[1].accept_writes = False
        words = ["write", "--profile", "alfen_eve", *at(server), "max_current", "6"]
        found = await figures(capsys, *words, code=1)
    assert (found["before"], found["after"], found["applied"]) == (16.0, 16.0, False)
    assert found["problems"] == ["the device acknowledged the write and max_current does not show it"]


async def test_another_make_is_not_written(capsys):
    cells = {(1, "holding", 1201): (0x5A5A, 0, 0, 0, 0)}  # "ZZ"
    async with server_of("alfen_eve", cells) as server:
        said = await complaint(capsys, "write", "--profile", "alfen_eve", *at(server), "max_current", "6")
        assert server.units[1].writes == 0
    assert said.startswith("nothing is written: mode3_state")


async def test_a_device_that_refuses(capsys):
    async with server_of("alfen_eve", SOCKET) as server:
        server.units[1].on_write = lambda table, addr, words: 4
        said = await complaint(capsys, "write", "--profile", "alfen_eve", *at(server), "max_current", "6")
    assert "refuses to have max_current written (device failure)" in said


async def test_nobody_there(capsys):
    async with server_of("alfen_eve", SOCKET) as server:
        place = at(server)
    assert "takes no connection" in await complaint(
        capsys, "write", "--profile", "alfen_eve", *place, "max_current", "6"
    )


@pytest.mark.parametrize(
    ("profile", "name", "value", "says"),
    [
        ("alfen_eve", "voltage_l1", "230", "can only be read"),
        ("alfen_eve", "max_curent", "6", "no register 'max_curent'"),
        ("alfen_eve", "current", "6", "perhaps "),
        ("alfen_eve", "max_current", "lots", "takes a number in A, not 'lots'"),
        ("alfen_eve", "max_current", "nan", "takes a number"),
        ("alfen_eve", "max_current", "1e999999999", "takes a number"),
        ("alfen_eve", "max_current", "81", "takes at most 80 A"),
        ("alfen_eve", "point3.max_current", "6", "at most 2 points"),
        ("daheimladen", "current_limit", "13.37", "cannot hold 13.37 A exactly, the next value towards 0 is 13.3"),
        ("daheimladen", "current_limit", "-1", "does not fit"),
        ("compleo_solo_duo", "max_power", "4200", "say point1.max_power"),
        ("compleo_solo_duo", "point1.fallback_timeout", "60", "belongs to the whole station"),
        ("waveshare_poe_eth_relay", "relay[2]", "2", "does not fit"),
        ("victron_gx", "/Hub4/L1/AcPowerSetpoint", "40000", "does not fit"),
    ],
)  # fmt: skip
async def test_what_may_not_be_sent_is_one_sentence(capsys, profile, name, value, says):
    async with server_of(profile, {}) as server:
        said = await complaint(capsys, "write", "--profile", profile, *at(server), "--", name, value)
        assert all(bank.writes == 0 for bank in server.units.values())
    assert says in said
