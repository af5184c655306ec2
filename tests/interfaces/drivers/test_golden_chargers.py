"""Every charger profile over a socket against words worked out by hand: registers, roles, state, setpoint, pause."""

from __future__ import annotations

import pytest

from interfaces.drivers.profile_load import profile_ids
from interfaces.drivers.registers import decode
from tests.interfaces.drivers.far_side import bench, device, profile_of, spec
from tests.interfaces.drivers.golden_chargers import GOLDEN, Golden, Writes

BY_HAND_ELSEWHERE = {
    "abb_terra_ac", "alfen_eve_ng9xx", "alpitronic_hyc", "bender_cc61x_ecu", "webasto_live", "webasto_next",
}  # fmt: skip


def at(name: str):
    """The profile's virtual device with the golden words, on a bench; serial makes answer through a gateway."""
    golden = GOLDEN[name]
    banks = device(name, {(golden.unit, *place): words for place, words in golden.cells.items()})
    unit = golden.unit if golden.serial else profile_of(name).points.units[0]
    return bench(banks, [spec(name, unit=unit)], framing="rtu" if golden.serial else "mbap")


def sent(log: list[tuple[str, int, tuple[int, ...]]], golden: Golden, wanted: Writes) -> Writes:
    """The writes to the registers that ``wanted`` names."""
    places = {addr for addr, _ in wanted}
    assert {unit for unit, _, _ in log} <= {str(golden.unit)}
    return tuple((addr, words) for _, addr, words in log if addr in places)


def nearly(value: object) -> object:
    """Numbers with a fraction within some millionths; everything else as it is."""
    return pytest.approx(value, rel=1e-5) if isinstance(value, float) else value


def test_every_charger_has_a_vector():
    chargers = {name for name in profile_ids() if profile_of(name).kind == "charger"}
    assert chargers == set(GOLDEN) | BY_HAND_ELSEWHERE


@pytest.mark.parametrize("name", GOLDEN)
async def test_golden_words_become_registers_roles_and_state(name):
    golden = GOLDEN[name]
    async with at(name) as found:
        await found.until_idle()
        bank, profile = found.bank(golden.unit), profile_of(name)
        for register, value in golden.registers.items():
            place = profile.register(register)
            words = bank.get(place.table, place.address, place.words)
            assert words is not None
            assert decode(place, words, profile.word_order) == nearly(value), register
        reading = found.reading()
        for role, value in golden.roles.items():
            assert reading.roles[role].value == nearly(value), role
        assert reading.state is not None
        assert (reading.state.pilot, reading.state.status, reading.state.iec61851) == golden.state
        assert (reading.problem, reading.suspect) == ("", ())


@pytest.mark.parametrize("name", GOLDEN)
async def test_a_setpoint_and_a_pause_reach_the_wire_and_are_read_back(name):
    golden = GOLDEN[name]
    async with at(name) as found:
        found.offer(golden.wanted_ma)
        await found.until_idle()
        assert sent(found.log, golden, golden.told) == golden.told
        status = found.reading().setpoint
        assert status.written_milli == golden.told_ma
        if golden.applied:
            assert status.readback_milli == pytest.approx(golden.told_ma, abs=200)
            assert status.problem == ""
        assert all(one in sent(found.log, golden, golden.alive) for one in golden.alive)
        found.log.clear()
        found.offer(0)
        await found.until_idle()
        assert sent(found.log, golden, golden.paused) == golden.paused
        assert found.reading().setpoint.written_milli == 0
        if golden.applied:
            assert found.reading().setpoint.readback_milli == 0


@pytest.mark.parametrize(
    ("name", "cells", "state"),
    [
        ("compleo_solo_duo", {("input", 0x101): (1,)}, ("B2", "occupied", "B")),
        ("compleo_solo_duo", {("input", 0x101): (0xF0,)}, ("A", "free", "A")),
        ("compleo_solo_duo", {("input", 0x101): (2,)}, None),
        ("daheimladen", {("holding", 12): (0, 0)}, ("B2", "occupied", "B2")),
        ("daheimladen", {("holding", 0): (9,)}, ("F", "not_in_operation", "F")),
        ("delta_ac_max_smart", {("input", 1001): (7,)}, ("E", "occupied", "E")),
        ("delta_ac_max_smart", {("input", 1001): (5,)}, ("B2", "occupied", "B")),
        ("enovates", {("holding", 301): (0x4231, 0)}, ("B1", "occupied", "B1")),
        ("etrel_inch", {("input", 0): (2,)}, ("A", "free", "A")),
        ("etrel_inch", {("input", 0): (8,)}, None),
        ("go_e_charger", {("input", 100): (0,)}, ("F", "not_in_operation", "F")),
        ("go_e_charger", {("input", 100): (4,)}, ("B2", "occupied", "B")),
        ("heidelberg_ec", {("input", 5): (3,)}, ("A", "free", "A2")),
        ("heidelberg_ec", {("input", 5): (6,)}, ("C1", "occupied", "C1")),
        ("keba_kecontact", {("holding", 1004): (0, 3)}, ("A", "free", "A")),
        ("keba_kecontact", {("holding", 1000): (0, 5)}, ("B1", "occupied", "B1")),
        ("keba_kecontact", {("holding", 1000): (0, 2), ("holding", 1004): (0, 1)}, ("A", "free", "A")),
        ("keba_kecontact", {("holding", 1000): (0, 4), ("holding", 1004): (0, 1)}, ("E", "not_in_operation", "E")),
        ("mennekes_compact_2s", {("holding", 256): (7,)}, ("F", "not_in_operation", "F")),
        ("mennekes_hcc3", {("input", 770): (1,)}, ("A", "free", "A1")),
        ("mennekes_hcc3", {("input", 770): (8,)}, ("D2", "charging", "D2")),
        ("mennekes_hcc3", {("input", 773): (6,)}, ("C2", "not_in_operation", "C2")),
        ("peblar", {("input", 30110): (66,)}, ("B2", "occupied", "B")),
        ("phoenix_charx_sec3xxx", {("holding", 1299): (0x494E,)}, ("F", "not_in_operation", "F")),
        ("phoenix_charx_sec3xxx", {("holding", 1299): (0x4131,)}, ("A", "free", "A1")),
        ("phoenix_charx_sec3xxx", {("holding", 1299): (0x4530,)}, ("E", "not_in_operation", "E")),
        ("phoenix_em_cp_pp_eth", {("input", 100): (0x0042,)}, ("B2", "occupied", "B")),
        ("phoenix_ev_cc_ac1_eth", {("input", 100): (0x0046,)}, ("F", "not_in_operation", "F")),
        ("phoenix_ev_cc_ac1_m_rtu", {("input", 24000): (0x4200,)}, ("B2", "occupied", "B")),
        ("schneider_evlink_pro_ac", {("holding", 1): (6,)}, ("A", "free", "A")),
        ("siemens_versicharge", {("holding", 1599): (0x4200,)}, ("B2", "occupied", "B")),
        ("vestel_evc04", {("input", 1004): (1,)}, ("A", "free", "A")),
        ("vestel_evc04", {("input", 1001): (0,)}, ("C2", "charging", "C2")),  # it sticks; the power tells
        ("vestel_evc04", {("input", 1001): (0,), ("input", 1020): (0, 0)}, ("B2", "occupied", "B")),
        ("vestel_evc04", {("input", 1004): (0,), ("input", 1000): (6,)}, ("A", "reserved", "A")),
        ("vestel_evc04", {("input", 1000): (8,)}, ("C2", "not_in_operation", "C2")),
        ("victron_evcs", {("holding", 5015): (21,)}, ("B2", "occupied", "B2")),
        ("weidmueller_ac_smart", {("holding", 406): (0, 0, 0, 0, 0, 0)}, ("C2", "occupied", "C")),
        ("weidmueller_ac_smart", {("holding", 301): (0x0142,)}, ("B2", "occupied", "B")),
    ],
)  # fmt: skip
async def test_states(name, cells, state):
    golden = GOLDEN[name]
    async with at(name) as found:
        for (table, addr), words in cells.items():
            found.bank(golden.unit).put(table, addr, words)
        await found.until_idle()
        shown = found.reading().state
        assert (shown and (shown.pilot, shown.status, shown.iec61851)) == state


async def test_a_delta_without_the_optional_state_register_tells_by_the_other_one():
    golden = GOLDEN["delta_ac_max_smart"]
    async with at("delta_ac_max_smart") as found:
        del found.bank(golden.unit).tables["input"][1001]
        found.bank(golden.unit).put("input", 1000, (9,))
        await found.until_idle()
        shown = found.reading().state
        assert shown is not None
        assert (shown.pilot, shown.status) == ("E", "not_in_operation")


async def test_minus_one_is_no_limit_and_never_a_pause():
    golden = GOLDEN["enovates"]
    async with at("enovates") as found:
        found.bank(golden.unit).put("holding", 400, (0xFFFF,))
        await found.until_idle()
        assert found.reading().setpoint.readback_milli == 32_000
