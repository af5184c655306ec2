"""The mixed I/O bench: its site, its arithmetic by hand, and what one silent device does, decided on counts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time

import numpy as np
import pytest

from interfaces.cli import main
from interfaces.drivers.connections import connection_of
from interfaces.drivers.outbox import Outbox
from interfaces.drivers.profile_load import find_profile, profile_ids
from interfaces.drivers.readings import Readings
from interfaces.drivers.register_bank import answer
from interfaces.drivers.site_reader import parse_site
from interfaces.drivers.wiring import wires_of
from simulations.bench import io
from simulations.bench.command import ABOUT, LEAST_MIX, MOST_ASSETS
from simulations.bench.mix import KINDS, in_turn, mix_lot, mixable
from simulations.bench.silence import Reads, ages, compared
from simulations.devices.control import obey
from simulations.devices.host import SiteHost
from simulations.devices.read_log import ReadLog

UNANSWERED = 6
"""Time-outs of the silent device during which the others are counted: twice until its connection is given up."""


def site_of(assets):
    result = parse_site(mix_lot(assets).text)
    assert result.problems == ()
    assert result.site is not None
    return result.site


# ---- the site


@pytest.mark.parametrize("assets", [LEAST_MIX, 200, MOST_ASSETS])
def test_the_mix_is_a_site_without_problems_and_with_cars_on_every_phase(assets):
    lot, site = mix_lot(assets), site_of(assets)
    count = sum(map(len, (site.chargers, site.batteries, site.pv, site.loads, site.meters)))
    assert count == assets + 1, "the grid meter comes on top"
    assert sum(lot.profiles.values()) == assets
    assert lot.chargers == tuple(charger.id for charger in site.chargers)
    assert all(lot.cars_on(phase) for phase in range(3))
    assert [charger.evses[0].phases[0] for charger in site.chargers[:4]] == ["L1", "L2", "L3", "L1"]


def test_with_200_assets_every_profile_with_modbus_tcp_has_at_least_two():
    lot = mix_lot(200)
    assert lot.profiles.keys() == {profile.id for profile in mixable()}
    assert min(lot.profiles.values()) >= 2
    assert max(lot.profiles.values()) - min(lot.profiles.values()) <= 1


def test_every_profile_is_used_or_left_out_with_a_reason():
    for assets in (LEAST_MIX, 200):
        lot = mix_lot(assets)
        assert not lot.profiles.keys() & lot.left_out.keys()
        assert lot.profiles.keys() | lot.left_out.keys() >= set(profile_ids())
        assert all(lot.left_out.values())
    serial_only = mix_lot(200).left_out["cg_em24_rs485"]
    assert serial_only == "Modbus RTU only"
    profile = find_profile("cg_em24_rs485")
    assert profile is not None
    assert profile.tcp is None


def test_a_small_mix_has_some_of_each_kind():
    assert {profile.kind for profile in in_turn(LEAST_MIX)} == set(KINDS)


def test_serial_numbers_differ_within_the_shortest_register():
    ids = [entry.id for entry in site_of(200).chargers]
    assert len({name[:6] for name in ids}) == len(ids)


# ---- ages


def test_an_age_counts_in_periods_from_the_last_read():
    reads = Reads({"fast": 0.5}, {"fast": [10.0, 10.5, 11.5]})
    found = ages(reads, "fast", (10.0, 12.0))
    assert found.max() == pytest.approx(2.0, abs=0.05)  # one read in a row was missed
    assert found.mean() == pytest.approx((0.5 * 0.5 + 1.0 * 1.0 + 0.5 * 0.5) / 2.0, abs=0.05)


def test_before_its_first_read_a_device_has_no_age():
    reads = Reads({"late": 1.0, "never": 1.0}, {"late": [11.0], "never": []})
    assert len(ages(reads, "late", (10.0, 12.0))) == pytest.approx(50, abs=1)
    assert ages(reads, "never", (10.0, 12.0)).size == 0


def test_the_comparison_leaves_the_silent_one_out_and_names_whoever_fared_worst():
    steady = [float(t) for t in np.arange(0.0, 40.0, 1.0)]
    slowed = [t for t in steady if t < 20.0 or t % 2 == 0]
    reads = Reads(
        {"steady": 1.0, "slowed": 1.0, "dead": 1.0},
        {"steady": steady, "slowed": slowed, "dead": [t for t in steady if t < 20.0]},
    )
    found = compared(reads, "dead", (10.0, 20.0), (30.0, 40.0))
    assert found["silent_age_worst"] == "slowed"
    assert found["silent_age_ratio"] == pytest.approx(2.0, rel=0.05)
    assert found["age_periods_p99"] == pytest.approx(1.0, abs=0.05)
    assert found["age_periods_silent_p99"] == pytest.approx(2.0, abs=0.05)
    assert found["silent_age_ratio_p99"] == pytest.approx(2.0, rel=0.05)
    assert found["age_periods_worst"] == pytest.approx(0.5, abs=0.02)
    assert (found["polls"], found["polls_silent"]) == (20, 15)


# ---- a silent device among the others


async def test_the_log_hears_answered_reads_of_the_fastest_values_only():
    site = site_of(LEAST_MIX)
    async with SiteHost(site, seed=1, real_time=False) as host:
        log = ReadLog(host.parts, clock=lambda: 7.0)
        bank = host.parts["grid-meter"].points[0].device.point
        profile = find_profile("cg_em24_e1")
        assert profile is not None
        fastest = profile.register(profile.polls[0].registers[0])
        read = {"holding": 3, "input": 4}[fastest.table]
        answer(bank, bytes([read, *fastest.address.to_bytes(2, "big"), 0, 2]))
        answer(bank, bytes([read, *(fastest.address + 2).to_bytes(2, "big"), 0, 2]))
        answer(bank, bytes([read, *fastest.address.to_bytes(2, "big"), 0, 200]))  # more than there is: refused
        assert log.at_s["grid-meter"] == [7.0]
        assert log.period_s["grid-meter"] == 0.25
        assert log.period_s.keys() == {"grid-meter", *(name for name in host.parts)}


async def test_a_silent_device_keeps_nobody_else_waiting():
    """Everybody's reads are stamped with how many requests the silent one has left unanswered: no clock decides."""
    site = site_of(LEAST_MIX)
    async with SiteHost(site, seed=1, real_time=False) as host:
        silent = site.chargers[2].id
        dead = host.parts[silent].points[0].device.point
        log = ReadLog(host.parts, clock=lambda: float(dead.requests))
        await obey(host, {"do": "fault", "device": silent, "kind": "silent"})
        jitter = random.Random(1)
        connections = [
            connection_of(wire, outbox=Outbox(), readings=Readings(), clock=time.monotonic, jitter=jitter)
            for wire in wires_of(host.site_here)
        ]
        tasks = [asyncio.create_task(connection.run()) for connection in connections]
        for _ in range(1200):  # a minute, for a machine that is busy; seconds otherwise
            if dead.requests > UNANSWERED:
                break
            await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
    assert dead.requests > UNANSWERED
    counts = {name: sum(1 <= stamp <= UNANSWERED for stamp in stamps) for name, stamps in log.at_s.items()}
    # Each time-out lasts 0.5 s: a meter polled four times a second that had to wait for it would be read once.
    quick = [name for name, period_s in log.period_s.items() if period_s <= 0.25]
    assert len(quick) >= 2
    assert min(counts[name] for name in quick) > UNANSWERED
    others = [name for name, period_s in log.period_s.items() if name != silent and period_s <= 1.0]
    assert min(counts[name] for name in others) >= 1


# ---- the whole


def test_a_short_real_run_gives_every_figure(monkeypatch, capsys):
    monkeypatch.setattr(io, "MIX_START_S", 6.0)
    monkeypatch.setattr(io, "SETTLE_S", 1.0)
    assert main(["bench", "io", "--assets", str(LEAST_MIX), "--mix", "--seconds", "5", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures.keys() == {name for names in ABOUT["io"][1] for name in names.split(", ")}, "the help explains each"
    assert sum(figures["profiles"].values()) == figures["assets"] == LEAST_MIX
    assert 3 <= figures["chargers"] < LEAST_MIX
    assert figures["left_out"]
    assert figures["scans"] > 10
    assert figures["steps"] >= 2
    assert figures["age_periods_p99"] > figures["age_periods_p50"] > 0.0
    assert figures["silent_age_ratio"] > 0.0
    assert figures["polls_silent"] > figures["polls"] / 2, "the others go on being asked"


def test_a_mix_too_small_for_every_kind_is_refused(capsys):
    assert main(["bench", "io", "--mix", "--assets", str(LEAST_MIX - 1)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
