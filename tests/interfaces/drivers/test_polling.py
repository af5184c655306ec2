"""Planning of requests: nothing forgotten, nothing too long, nothing forbidden."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interfaces.drivers.facts import all_facts, device_facts
from interfaces.drivers.polling import plan_blocks, plan_polls, slice_of, split, with_factors
from interfaces.drivers.profile import Limits, Register
from interfaces.drivers.profile_load import find_profile, profile_ids
from interfaces.drivers.sunspec import as_if_found
from tests.interfaces.drivers.far_side import profile_of

TYPES = st.sampled_from(["uint16", "int32", "float32", "uint64"])


@st.composite
def registers(draw):
    """Registers anywhere, overlapping or not, in two tables, for point or station, some to be read alone."""
    count = draw(st.integers(1, 25))
    return [
        Register(
            f"r{index}",
            draw(TYPES),
            addr=draw(st.integers(0, 200)),
            table=draw(st.sampled_from(["holding", "input"])),
            on=draw(st.sampled_from(["point", "station"])),
            alone=draw(st.integers(0, 9)) == 0,
        )
        for index in range(count)
    ]


@st.composite
def limits(draw):
    first = draw(st.integers(0, 210))
    forbidden = draw(st.sampled_from([(), ((first, first + draw(st.integers(0, 10))),)]))
    return Limits(max_read_words=draw(st.integers(4, 40)), gap_words=draw(st.integers(0, 20)), forbidden=forbidden)


def overlapping(members):
    """Whether registers overlap into a run longer than the shortest limit (then no plan may exist)."""
    return any(
        a is not b and a.address < b.address + b.words and b.address < a.address + a.words
        for a in members
        for b in members
    )


@given(members=registers(), bounds=limits())
def test_every_register_is_read_once_within_all_limits(members, bounds):
    first, last = bounds.forbidden[0] if bounds.forbidden else (-1, -1)
    allowed = [r for r in members if not (r.address <= last and first < r.address + r.words)]
    allowed = [r for r in allowed if not overlapping([r, *allowed])]
    blocks = plan_blocks(allowed, bounds)
    placed = [register.name for block in blocks for register in block.registers]
    assert sorted(placed) == sorted(register.name for register in allowed)
    for block in blocks:
        assert 1 <= block.count <= bounds.max_read_words
        assert not (block.addr <= last and first < block.addr + block.count)
        covered = {a for r in block.registers for a in range(r.address, r.address + r.words)}
        holes = sorted(set(range(block.addr, block.addr + block.count)) - covered)
        runs = sum(1 for hole in holes if hole - 1 not in holes)
        assert len(holes) <= bounds.gap_words * max(runs, 1)
        assert len(block.registers) == 1 or not any(register.alone for register in block.registers)
        for register in block.registers:
            assert (register.table, register.on) == (block.table, block.on)
            words = list(range(block.addr, block.addr + block.count))
            assert slice_of(block, register, words) == list(range(register.address, register.address + register.words))


@given(members=registers(), bounds=limits())
def test_neighbours_within_the_limits_share_a_request(members, bounds):
    bounds = replace(bounds, forbidden=())
    members = [r for r in members if not overlapping([r, *members])]
    blocks = plan_blocks(members, bounds)
    for one in blocks:
        for other in blocks:
            same = (one.table, one.on) == (other.table, other.on) and one.addr < other.addr
            alone = any(r.alone for r in (*one.registers, *other.registers))
            if same and not alone and not any(one.addr < b.addr < other.addr for b in blocks):
                joined = other.addr + other.count - one.addr
                gap = other.addr - one.addr - one.count
                assert joined > bounds.max_read_words or gap > bounds.gap_words


@given(members=registers(), bounds=limits())
def test_halves_hold_what_the_whole_held(members, bounds):
    bounds = replace(bounds, forbidden=())
    members = [r for r in members if not overlapping([r, *members])]
    for block in plan_blocks(members, bounds):
        parts = split(block, bounds)
        names = sorted(r.name for part in parts for r in part.registers)
        assert names == (sorted(r.name for r in block.registers) if len(block.registers) > 1 else [])
        assert all(part.count < block.count for part in parts)


def test_a_value_and_its_scale_factor_come_in_one_request():
    value = Register("W", "int16", addr=100, sf="W_SF")
    factor = Register("W_SF", "sunssf", addr=140)
    known = {"W": value, "W_SF": factor}
    for gap in (0, 100):
        blocks = plan_blocks(with_factors([value], known), Limits(gap_words=gap))
        assert [(b.addr, b.count) for b in blocks] == [(100, 41)]
        assert split(blocks[0], Limits()) == ()


def test_what_no_request_may_read_is_an_error_and_not_a_longer_request():
    with pytest.raises(ValueError, match="no single request"):
        plan_blocks([Register("text", "string", addr=0, count=12)], Limits(max_read_words=11))
    with pytest.raises(ValueError, match="no single request"):
        plan_blocks([Register("soc", "uint16", addr=730)], Limits(forbidden=((730, 746),)))


@pytest.mark.parametrize("name", profile_ids())
def test_every_role_of_every_profile_is_polled_within_its_limits(name):
    profile = as_if_found(profile_of(name))
    polls = plan_polls(profile)
    read = {register.name for poll in polls for block in poll.blocks for register in block.registers}
    assert {register for poll in profile.polls for register in poll.registers} <= read
    for poll in polls:
        assert poll.period_s == 0 or poll.period_s >= profile.limits.min_poll_ms / 1000
        for block in poll.blocks:
            assert block.count <= profile.limits.max_read_words
            for first, last in profile.limits.forbidden:
                assert block.addr > last or block.addr + block.count <= first


@pytest.mark.parametrize(
    ("name", "poll", "blocks"),
    [
        ("abb_terra_ac", "all", [(0x4000, 33)]),
        ("bender_cc61x_ecu", "meter", [(206, 22)]),
        ("cg_em24_rs485", "currents", [(12, 10), (22, 2)]),
        ("cg_em500", "currents", [(0, 46)]),
        ("eastron_sdm630", "currents", [(0, 30)]),
        ("webasto_next", "state", [(1000, 1), (1008, 1), (1010, 1), (1012, 1), (1020, 2), (1100, 1)]),
    ],
)
def test_plans_of_known_devices(name, poll, blocks):
    planned = {one.name: one for one in plan_polls(profile_of(name))}
    assert [(block.addr, block.count) for block in planned[poll].blocks] == blocks


def test_facts_for_the_topology():
    facts = all_facts()
    assert facts["alfen_eve"] == facts["alfen_eve_ng9xx"]
    alfen, bender, abb = facts["alfen_eve_ng9xx"], facts["bender_cc61x_ecu"], facts["abb_terra_ac"]
    assert (alfen.failsafe_verifiable, alfen.failsafe_settable, alfen.keepalive) == (True, False, "write")
    assert (bender.failsafe_verifiable, bender.failsafe_settable, bender.timeout_range_s) == (True, True, (1.0, 300.0))
    assert (abb.failsafe_verifiable, abb.settle_poll_s, abb.step_a) == (False, 5.0, 0.1)
    assert facts["webasto_live"].step_a == 1.0
    meter = facts["cg_em24_rs485"]
    # Two requests of the fast group and one of the slower ones in a round.
    assert (meter.cycle_requests, meter.response_s, meter.transports) == (3, 0.5, ("rtu",))
    for name in profile_ids():
        profile = find_profile(name)
        assert profile is not None
        assert device_facts(profile).cycle_requests >= 1
