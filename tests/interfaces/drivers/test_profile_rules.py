"""What charger profiles may say, one rule at a time: pauses by register, watts, ms, watchdogs that are off, texts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from interfaces.drivers.failsafe import FailsafeWish, as_read, judge_failsafe
from interfaces.drivers.maker_names import masked_value, named_registers
from interfaces.drivers.not_supported import not_supported
from interfaces.drivers.polling import plan_blocks
from interfaces.drivers.profile import Register
from interfaces.drivers.profile_bank import at_point, banks_of
from interfaces.drivers.profile_check import problems_of
from interfaces.drivers.profile_control import Condition, Keepalive, Write
from interfaces.drivers.profile_load import find_profile, profile_ids
from interfaces.drivers.register_bank import answer
from interfaces.drivers.registers import EncodeFailure, decode, encode, writable_words
from interfaces.drivers.roles import charger_state, raw_state, registers_of, role_value
from interfaces.drivers.setpoints import CannotWrite, phase_writes, readback_milli, setpoint_writes
from tests.interfaces.drivers.far_side import bench, device, profile_of, spec
from tests.interfaces.drivers.golden_chargers import GOLDEN

CHARGERS = [name for name in profile_ids() if profile_of(name).kind == "charger"]


def golden_of(name):
    golden = GOLDEN[name]
    return device(name, {(golden.unit, *place): words for place, words in golden.cells.items()})


def reg(kind, **more):
    return Register("r", kind, addr=0, **more)


@pytest.mark.parametrize(
    ("register", "words", "value"),
    [
        (reg("string", count=3, text="swapped"), (0x4D41, 0x5254, 0x4E4F), "AMTRON"),
        (reg("string", count=2, text="swapped"), (0x4548, 0x0059), "HEY"),
        (reg("string", count=3, text="utf16"), (0x0057, 0x00FC, 0), "W\u00fc"),
        (reg("uint16", text="low_byte"), (0x0043,), "C"),
        (reg("uint16", text="high_byte"), (0x4300,), "C"),
        (reg("raw", count=2, text="hex"), (0x04A1, 0xB2C3), "04a1b2c3"),
    ],
)
def test_texts_read_and_write_as_the_make_has_them(register, words, value):
    assert decode(register, words, "lsw_first") == value
    assert encode(register, value, "lsw_first") == words


@pytest.mark.parametrize(
    ("register", "words", "value"),
    [
        (reg("string", count=2, text="utf16"), (0x5731, 0), "W1"),  # firmware that has ASCII there
        (reg("string", count=2, text="utf16"), (0, 0), None),
        (reg("string", count=2, text="swapped"), (0xFFFF, 0xFFFF), None),
        (reg("uint16", text="low_byte"), (0x4300,), None),
        (reg("uint16", text="low_byte"), (0x0020,), None),
        (reg("uint16", text="high_byte"), (0xFFFF,), None),
    ],
)
def test_texts_that_are_none_or_of_another_kind(register, words, value):
    assert decode(register, words, "msw_first") == value


def test_a_letter_takes_one_letter():
    assert isinstance(encode(reg("uint16", text="low_byte"), "CC", "msw_first"), EncodeFailure)


def test_words_are_written_in_their_own_order():
    register = reg("uint32", unit="ms", access="RW", word_order_write="msw_first")
    assert writable_words(register, 65_535, "lsw_first") == (0, 0xFFFF)
    assert decode(register, (0xFFFF, 0), "lsw_first") == 65_535


def test_a_power_stands_for_a_current_and_back():
    delta = profile_of("delta_ac_max_smart")
    (write,) = setpoint_writes(delta, 10_000, {}, 60.0)  # type: ignore[misc]
    assert write.words == (0, 6210)
    assert readback_milli(delta, {"power_limit": 6210}) == 10_000
    assert readback_milli(delta, {"power_limit": 0}) == 0
    assert setpoint_writes(delta, 6_600, {}, 60.0)[0].words == (0, 0)  # type: ignore[index]
    role = delta.roles["current_l1_a"]
    assert registers_of(role) == ("charging_power",)
    assert role_value("current_l1_a", role, {"charging_power": 7590}, {}) == pytest.approx(10.0, rel=1e-4)
    assert role_value("current_l1_a", role, {"charging_power": None}, {}) is None


def test_a_card_number_reads_as_hexadecimal_and_no_card_as_none():
    role = profile_of("keba_kecontact").roles["rfid"]
    assert role_value("rfid", role, {"rfid": 0x04A1B2C3}, {}) == "04A1B2C3"
    assert role_value("rfid", role, {"rfid": 0}, {}) is None
    assert role_value("rfid", role, {}, {}) is None


def test_a_pause_in_another_register_counts_as_zero_only_while_it_holds():
    go_e = profile_of("go_e_charger")
    assert readback_milli(go_e, {"ampere_volatile": 16, "allow": 0}) == 0
    assert readback_milli(go_e, {"ampere_volatile": 16, "allow": 1}) == 16_000
    assert readback_milli(go_e, {"ampere_volatile": 16}) == 16_000
    assert readback_milli(go_e, {"allow": 1}) is None


def test_masked_state():
    state = profile_of("weidmueller_ac_smart").state
    assert state is not None
    assert raw_state(state, 0x0143) == 67
    busy = charger_state(state, {"car_state": 0x0143, "current_l1": 6.0, "current_l2": 0.0, "current_l3": 0.0})
    assert busy is not None
    assert busy.status == "charging"
    unknown = charger_state(state, {"car_state": 0x0143})  # no current known: the more dangerous one
    assert unknown is not None
    assert unknown.status == "charging"


def test_phases_are_switched_by_modbus_only_after_it_was_made_the_source():
    writes = phase_writes(profile_of("keba_kecontact_s10"), 1)
    assert not isinstance(writes, CannotWrite)
    assert [(write.register.name, write.words) for write in writes] == [
        ("set_phase_source", (3,)),
        ("trigger_phase", (0,)),
    ]


async def test_a_switch_whose_register_cannot_be_read_is_confirmed_by_another():
    banks = golden_of("keba_kecontact_s10")
    async with bench(banks, [spec("keba_kecontact_s10")]) as found:
        await found.until_idle()
        assert found.reading().value("phases") == 3
        found.bank(255).put("holding", 1552, (0, 0))
        found.outbox.put("x", "phases", 1, found.now.s + 2)
        await found.until_idle()
        assert [(addr, words) for _, addr, words in found.log if addr >= 5050] == [(5050, (3,)), (5052, (0,))]
        assert found.reading().value("phases") == 1


async def test_a_time_out_in_ms_and_a_standby_are_set_after_connecting():
    banks = golden_of("heidelberg_ec")
    async with bench(banks, [spec("heidelberg_ec", failsafe=FailsafeWish(8.0, 30.0))]) as found:
        await found.until_idle()
        assert found.log == [("255", 258, (4,)), ("255", 262, (80,)), ("255", 257, (30_000,))]
        status = found.reading().failsafe
        assert (status.verdict, status.current_a, status.timeout_s) == ("verified", 8.0, 30.0)


async def test_nothing_is_prepared_in_a_device_that_is_only_watched():
    async with bench(golden_of("victron_evcs"), [spec("victron_evcs", managed=False)]) as found:
        await found.until_idle()
        assert found.log == []


async def test_a_fallback_in_watts_is_set_and_its_watchdog_switched_on():
    banks = golden_of("delta_ac_max_smart")
    banks[1].put("holding", 201, (0, 120, 0, 22_000))
    async with bench(banks, [spec("delta_ac_max_smart", failsafe=FailsafeWish(6.0, 60.0))]) as found:
        await found.until_idle()
        assert found.log == [("1", 203, (0, 3726)), ("1", 202, (60,)), ("1", 201, (1,))]
        status = found.reading().failsafe
        assert (status.verdict, status.timeout_s) == ("verified", 60.0)
        assert status.current_a == pytest.approx(6.0)


def test_a_watchdog_that_is_off_proves_nothing():
    delta, wish = profile_of("delta_ac_max_smart"), FailsafeWish(6.0, 60.0)
    values = {"fallback_power": 3726, "comm_timeout": 60, "comm_timeout_enabled": 0}
    assert as_read(delta, values, 0.0) == (None, None)
    assert judge_failsafe(delta, wish, *as_read(delta, values, 0.0), 1.0).verdict == "unverified"
    assert (
        judge_failsafe(delta, wish, *as_read(delta, {**values, "comm_timeout_enabled": 1}, 0.0), 1.0).verdict
        == "verified"
    )


@pytest.mark.parametrize(("name", "addr", "every_s"), [
    ("schneider_evlink_pro_ac", 4000, 2.0), ("weidmueller_ac_smart", 11050, 5.0), ("mennekes_compact_2s", 3328, 5.0),
])  # fmt: skip
async def test_life_bits_come_as_often_as_the_make_wants_whatever_the_time_out(name, addr, every_s):
    golden = GOLDEN[name]
    point = spec(name, unit=golden.unit, failsafe=FailsafeWish(6.0, 60.0))
    async with bench(golden_of(name), [point], framing="rtu" if golden.serial else "mbap") as found:
        found.offer(6_000, lease_s=100)
        await found.run_for(20.0)
        beats = [words for _, at, words in found.log if at == addr]
        assert 20 / every_s <= len(beats) <= 20 / every_s + 2


async def test_a_device_that_says_it_watches_nothing_gets_no_life_bit():
    banks = golden_of("schneider_evlink_pro_ac")
    banks[255].put("holding", 4000, (2,))
    async with bench(banks, [spec("schneider_evlink_pro_ac")]) as found:
        await found.until_idle()
        found.log.clear()
        found.offer(6_000, lease_s=100)
        await found.run_for(10.0)
        assert {addr for _, addr, _ in found.log} == {4004}


def test_one_value_a_request():
    profile = profile_of("vestel_evc04")
    blocks = plan_blocks([r for r in profile.registers if r.table == "input"], profile.limits)
    assert all(len(block.registers) == 1 for block in blocks)


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("go_e_charger", {"ampere_volatile": {"memory": "flash"}}, "setpoint.writes: ampere_volatile is worn"),
        ("go_e_charger", {"ampere_volatile": {"fc_write": (6,)}}, "fc_write names a function"),
        ("vestel_evc04", {"cable_state": {"table": "coil"}}, "table coil needs function 1"),
        ("vestel_evc04", {"alive": {"memory": "flash"}}, "keepalive.register: alive is worn"),
        ("peblar", {"power_l1": {"text": "low_byte"}}, "text low_byte is for uint16"),
        ("peblar", {"serial_number": {"text": "hex"}}, "text hex is for raw"),
    ],
)
def test_what_a_profile_may_not_say_of_a_register(name, change, told):
    profile = profile_of(name)
    registers = tuple(replace(r, **change.get(r.name, {})) for r in profile.registers)
    assert told in "\n".join(problems_of(replace(profile, registers=registers)))


def test_conditions_look_at_registers_that_are_polled():
    schneider = profile_of("schneider_evlink_pro_ac")
    keepalive = Keepalive("register", register="life_bit", unless=(Condition("ocpp_status", one_of=(1,)),))
    assert problems_of(replace(schneider, keepalive=keepalive)) == ("polls: ocpp_status is used but never read",)
    assert problems_of(replace(schneider, on_connect=(Write("ev_state", constant=1.0),))) == (
        "on_connect: ev_state cannot be written",
    )


def test_a_charger_without_a_meter_must_say_so():
    bare = profile_of("phoenix_ev_cc_ac1_m_rtu")
    told = problems_of(replace(bare, behaviour=replace(bare.behaviour, unmetered=False)))
    assert told == ("roles.current_l1_a: a charger needs it",)


@pytest.mark.parametrize("name", CHARGERS)
def test_no_profile_wears_a_device_out(name):
    profile = profile_of(name)
    assert profile.setpoint is not None
    cyclic = {write.register for write in profile.setpoint.writes} | {profile.keepalive.register} - {None}
    assert not cyclic & {register.name for register in profile.registers if register.memory == "flash"}
    assert profile.setup_on_device
    assert any("fixed IP" in step for step in profile.setup_on_device)
    assert profile.tcp is None or any("router last" in step for step in profile.setup_on_device) or profile.rtu


def test_registers_known_to_wear_out_are_marked():
    worn = {(name, r.name) for name in CHARGERS for r in profile_of(name).registers if r.memory == "flash"}
    assert {("go_e_charger", "ampere_eeprom"), ("weidmueller_ac_smart", "user_current_limit")} <= worn


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("ABB Terra AC", "abb_terra_ac"),
        ("Weidmueller AC Wallbox Business", "weidmueller_ac_smart"),
        ("Weidm\u00fcller AC Wallbox Business", "weidmueller_ac_smart"),
        ("Mennekes AMTRON Professional+", "bender_cc61x_ecu"),
        ("Webasto Live", "webasto_live"),
        ("Webasto Unite", "vestel_evc04"),
        ("Webasto NEXT", "webasto_next"),
        ("KeContact P40", "keba_kecontact_p40"),
    ],
)
def test_the_names_on_the_label_are_found(label, name):
    found = find_profile(label)
    assert found is not None
    assert found.id == name


def test_what_an_installer_must_not_forget():
    told = {name: " ".join(profile_of(name).setup_on_device) for name in CHARGERS}
    assert "at least 40 s" in told["weidmueller_ac_smart"]
    assert profile_of("weidmueller_ac_smart").setup_on_device[-1].startswith("Set DIP switch 10 to OFF only at the end")
    assert '"DLM Master (With internal DLM Slave)"' in told["bender_cc61x_ecu"]
    assert "DSW1.3" in told["keba_kecontact"]


def test_makes_without_a_map_say_why_and_what_instead():
    listed = {(entry.vendor, model): entry for entry in not_supported() for model in entry.models}
    assert listed["Teltonika", "TeltoCharge EVC1"].reach == "no_map"
    assert {entry.vendor for entry in not_supported() if entry.reach == "cloud"} == {"Easee", "Smappee"}
    ids = [entry.id for entry in not_supported()]
    assert len(set(ids)) == len(ids)
    assert not set(ids) & set(profile_ids())
    for entry in not_supported():
        assert entry.reason.endswith(".")
        assert entry.instead.endswith(".")


def test_registers_are_shown_by_the_names_of_the_makers_table():
    names = {one.name: one for one in named_registers(profile_of("delta_ac_max_smart"), 2)}
    assert names["charger_state"].register.addr == 100
    assert names["point1.charger_state"].register.addr == 1001
    assert names["point2.charger_state"].register.addr == 2001
    assert names["point2.power_limit"].register.addr == 2600
    assert "point2.serial" not in names
    plain = [one.name for one in named_registers(profile_of("peblar"))]
    assert plain == [register.name for register in profile_of("peblar").registers]
    assert "set_current" not in {one.name for one in named_registers(profile_of("keba_kecontact"))}
    for name in CHARGERS:
        shown = named_registers(profile_of(name), 2)
        assert len({one.name for one in shown}) == len(shown)


@pytest.mark.parametrize(
    ("name", "register", "value", "shown"),
    [
        ("abb_terra_ac", "charging_state", "00008400", 4),
        ("weidmueller_ac_smart", "car_state", 0x0143, 67),
        ("weidmueller_ac_smart", "evse_state", 0x0143, 0x0143),
        ("compleo_solo_duo", "status", 0x0103, 0x0103),
        ("alfen_eve_ng9xx", "mode3_state", "C2", "C2"),
        ("phoenix_ev_cc_ac1_eth", "cp_status", "C", "C"),
        ("weidmueller_ac_smart", "car_state", None, None),
    ],
)
def test_state_registers_are_shown_masked_and_bit_fields_whole(name, register, value, shown):
    profile = profile_of(name)
    assert masked_value(profile, profile.register(register), value) == shown


@pytest.mark.parametrize(("name", "again"), [("peblar", False), ("vestel_evc04", False), ("go_e_charger", True)])
async def test_an_unchanged_setpoint_is_written_again_only_where_that_cannot_wear_the_device(name, again):
    golden = GOLDEN[name]
    async with bench(golden_of(name), [spec(name)]) as found:
        found.offer(10_000, lease_s=1000)
        await found.until_idle()
        found.log.clear()
        await found.run_for(90.0, step_s=1.0)
        assert any(addr == golden.told[0][0] for _, addr, _ in found.log) is again


@pytest.mark.parametrize(
    ("name", "point", "unit", "told"),
    [
        ("compleo_solo_duo", 1, 255, (0x110, (62,))),
        ("delta_ac_max_smart", 1, 1, (2600, (0, 6210))),
        ("phoenix_charx_sec3xxx", 11, 1, (12301, (10,))),
        ("alpitronic_hyc", 3, 1, (400, (0, 6210))),
    ],
)
async def test_every_connector_has_its_own_addresses(name, point, unit, told):
    profile = profile_of(name)
    _, banks = banks_of(profile, points=len(profile.points.units))
    for check in profile.fingerprint:  # what proves the make, or nothing measured where that proves nothing
        register = at_point(profile, point).register(check.register)
        shown = check.one_of[0] if check.one_of else 0 if 0 in check.ignore else check.at_least or 0
        banks[unit].put_value(register, shown, profile.word_order)
    async with bench(banks, [spec(name, unit=unit, point=point)]) as found:
        found.offer(10_000)
        await found.until_idle()
        assert (str(unit), *told) in found.log
        assert {addr // profile.points.address_step for _, addr, _ in found.log} == {
            told[0] // profile.points.address_step
        }


@pytest.mark.parametrize(
    ("name", "pdu"),
    [
        ("go_e_charger", bytes([6, 0x01, 0x2B, 0, 10])),  # ampere_volatile with function 6
        ("weidmueller_ac_smart", bytes([6, 0x2B, 0x2C, 0, 10])),
        ("vestel_evc04", bytes([16, 0x13, 0x8C, 0, 1, 2, 0, 10])),  # set_current with function 16
        ("keba_kecontact", bytes([16, 0x13, 0x8C, 0, 1, 2, 0x27, 0x10])),
        ("compleo_solo_duo", bytes([16, 0x01, 0x00, 0, 1, 2, 0, 60])),
    ],
)
def test_a_virtual_device_refuses_the_functions_its_make_does_not_know(name, pdu):
    (bank,) = device(name).values()
    assert answer(bank, pdu) == bytes([pdu[0] | 0x80, 1])
    other = pdu[:3] + pdu[6:] if pdu[0] == 16 else pdu[:3] + bytes([0, 1, 2]) + pdu[3:]
    assert answer(bank, bytes([22 - pdu[0]]) + other[1:])[0] == 22 - pdu[0]
