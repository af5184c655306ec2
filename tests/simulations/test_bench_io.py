"""The bench of the field I/O: its arithmetic by hand, and one short real run; how fast anything is decides nothing."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest

from interfaces.cli import main
from interfaces.drivers.site_reader import parse_site
from simulations.bench import io
from simulations.bench.command import ABOUT, MIX_FIGURES
from simulations.bench.io import Ordered, lateness_s, missed, reactions, schedule
from simulations.bench.lot import charger_ids, plain_lot
from simulations.demo.stage import alive

KEYS = {
    "scans",
    "late_scans",
    "lateness_ms_p50",
    "lateness_ms_p999",
    "poll_age_ms_p99",
    "reaction_ms_p50",
    "reaction_ms_p99",
    "cpu_pct",
}


@pytest.mark.parametrize("assets", [3, 120, 250])
def test_the_lot_is_a_site_without_problems(assets):
    lot = plain_lot(assets)
    result = parse_site(lot.text)
    assert result.problems == ()
    assert result.site is not None
    assert len(result.site.chargers) == assets
    assert result.site.circuits[0].rated_a[0] > lot.limit_a[0]


def test_bursts_take_the_phases_in_turn_and_end_in_time():
    steps = schedule(60.0, seed=1)
    assert {step.phase for step in steps} == {0, 1, 2}
    assert [step.number for step in steps[:6]] == [0, 1, 2, 0, 1, 2]
    assert all(one.at_s < other.at_s for one, other in pairwise(steps))
    assert steps[-1].at_s < 60.0
    assert schedule(60.0, seed=1) == steps
    assert schedule(60.0, seed=2) != steps


def test_a_reaction_is_the_first_lower_setpoint_of_each_charger_of_the_phase():
    chargers = charger_ids(4)
    one, four = chargers[0], chargers[3]
    other = chargers[1]
    writes = [
        (1.0, one, 16.0),
        (1.0, four, 16.0),
        (1.0, other, 16.0),
        (10.1, other, 6.0),  # another phase
        (10.2, one, 16.0),  # a rewrite
        (10.3, one, 14.0),
        (10.4, one, 13.0),
        (12.5, four, 14.0),  # only after the next step of the phase
    ]
    found = list(reactions([Ordered(10.0, 0), Ordered(12.0, 0)], writes, chargers, 20.0))
    assert [len(times) for times in found] == [1, 1]
    assert found[0][0] == pytest.approx(0.3)
    assert found[1][0] == pytest.approx(0.5)


def test_a_charger_that_was_never_told_anything_has_no_reaction():
    assert list(reactions([Ordered(10.0, 0)], [(10.5, "car-000", 6.0)], charger_ids(3), 20.0)) == [[]]


def test_who_had_room_and_was_not_lowered_is_missed():
    chargers = charger_ids(12)
    a, b, c, _ = chargers[0::3]
    writes = [
        (1.0, a, 16.0),
        (1.0, b, 16.0),
        (1.0, c, 6.0),  # nothing below
        (10.3, a, 14.0),
        (10.9, b, 14.0),  # only after the next step
        (9.0, chargers[1], 16.0),  # another phase; the fourth was never told anything
    ]
    first, second = Ordered(10.0, 0), Ordered(10.7, 0, number=1)
    assert missed([first, second], writes, chargers, 20.0) == [(first, b)]


def test_lateness_counts_from_the_punctual_scans():
    starts = [1000.15 + 0.2 * k for k in range(50)]
    starts[20] += 0.03
    starts[30] += 0.06
    late = lateness_s(starts)
    assert late[0] == pytest.approx(0.0, abs=1e-9)
    assert late[20] == pytest.approx(0.03)
    assert late[30] == pytest.approx(0.06)
    assert np.sort(late)[-3] < 1e-6


def test_a_short_real_run_sees_reactions_and_ends_its_processes(monkeypatch, capsys):
    monkeypatch.setattr(io, "START_S", 7.0)
    pids: list[int] = []
    cpu_s = io._cpu_s

    def spied(found):
        pids.extend(found.values())
        return cpu_s(found)

    monkeypatch.setattr(io, "_cpu_s", spied)
    assert main(["bench", "io", "--assets", "3", "--seconds", "5", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures.keys() >= KEYS
    told = {names for names in ABOUT["io"][1] if names not in MIX_FIGURES}
    assert figures.keys() == {name for names in told for name in names.split(", ")}, "the help explains each"
    assert figures["scans"] > 10
    assert figures["steps"] >= 2
    assert figures["reactions"] >= 1
    assert figures["reaction_ms_p99"] >= figures["reaction_ms_p50"] > 0.0
    assert figures["poll_age_ms_p99"] > 0.0
    assert figures["cpu_pct"] > 0.0
    assert pids
    assert alive(pids) == []


@pytest.mark.parametrize(
    "words",
    [
        ["bench", "io", "--assets", "2"],
        ["bench", "io", "--assets", "251"],
        ["bench", "io", "--seconds", "1"],
        ["bench", "io", "--seconds", "nan"],
        ["bench", "io", "--json", "extra"],
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(words, capsys):
    assert main(words) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
