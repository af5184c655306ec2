"""The bench of the scan on a tiny site: its figures are there and mean something; how fast it is decides nothing."""

from __future__ import annotations

import dataclasses
import json
import re
from functools import partial
from itertools import pairwise

import numpy as np
import pytest

from interfaces.cli import main
from interfaces.domain.topology import AssetKind
from simulations.bench.scan import ScanFigures, bench_scan
from simulations.bench.yard import comings_and_goings, yard


def test_the_figures_of_a_tiny_site():
    figures = bench_scan(6, 3, warm_up=100, timed=100)
    assert figures.evses == 6
    assert figures.circuits == 3
    assert figures.period_ms == 200.0
    assert figures.scan_ms_p50 is not None
    assert figures.scan_ms_p99 is not None
    assert 0.0 < figures.scan_ms_p50 <= figures.scan_ms_p99
    assert figures.offering_mean > 0.5, "a bench on a site where nobody charges measures nothing"


def test_the_core_holds_no_more_memory_after_many_scans_than_before():
    # 0.5 kB of slack: the interpreter's own small objects come and go; an image of this site is larger than that.
    assert abs(bench_scan(3, 2, warm_up=200, timed=150).growth_kb) <= 0.5


@pytest.mark.parametrize(("evses", "levels", "circuits"), [(200, 5, 40), (50, 5, 21), (1, 1, 1), (9, 2, 3)])
def test_a_yard_has_the_size_that_was_asked_for(evses, levels, circuits):
    topology = yard(evses, levels)
    assert int(topology.is_evse.sum()) == evses
    assert topology.c == circuits
    sockets = [i for i, a in enumerate(topology.assets) if a.kind is AssetKind.EVSE]
    assert {len(topology.chain[i]) for i in sockets} == {levels}


def test_a_yard_mixes_phases_and_rotations():
    maps = {a.phases for a in yard(50, 5).assets if a.kind is AssetKind.EVSE}
    assert {(0, 1, 2), (1, 2, 0), (2, 1, 0), (0,), (1,), (2,)} <= maps


def test_cars_come_and_go():
    topology = yard(50, 5)
    visits = comings_and_goings(topology, 300.0, np.random.default_rng(1))
    assert sum(v.start_s == 0.0 for v in visits) > 25
    assert sum(v.start_s > 0.0 for v in visits) > 10
    assert sum(v.end_s < 300.0 for v in visits) > 10
    for asset in topology.index:
        mine = sorted((v.start_s, v.end_s) for v in visits if v.asset == asset)
        assert all(one[1] < other[0] for one, other in pairwise(mine)), "two cars at one place"


def test_the_command_prints_one_json_object(capsys, monkeypatch):
    monkeypatch.setattr("simulations.bench.scan.bench_scan", partial(bench_scan, warm_up=20, timed=20))
    assert main(["bench", "scan", "--evses", "1", "--levels", "1", "--json"]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    keys = {"evses", "circuits", "scan_ms_p50", "scan_ms_p99", "period_ms", "growth_kb"}
    assert keys <= json.loads(out).keys()


@pytest.mark.parametrize(
    "words",
    [
        ["bench"],
        ["bench", "dance"],
        ["bench", "scan", "--evses", "0"],
        ["bench", "scan", "--evses", "many"],
        ["bench", "scan", "--levels", "11"],
        ["bench", "scan", "extra"],
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(words, capsys):
    assert main(words) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1


def test_help_names_the_benches_and_every_figure(capsys):
    assert main(["bench", "--help"]) == 0
    told = capsys.readouterr().out
    assert "bench scan: Measure how long a scan takes" in told
    assert "bench io: Measure the field process" in told
    for field in dataclasses.fields(ScanFigures):
        assert re.search(rf"\b{field.name}\b", told), field.name
    assert max(map(len, told.splitlines())) <= 120
    assert main(["bench", "scan", "--help"]) == 0
    assert "growth_kb" in capsys.readouterr().out
