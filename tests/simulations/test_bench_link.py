"""The bench of the link: its arithmetic by hand, and one short real run; how fast anything is decides nothing."""

from __future__ import annotations

import json
import random
from itertools import pairwise

import pytest

from interfaces.cli import main
from interfaces.domain.plan import plan_problems
from interfaces.domain.plan_text import plan_of_text, plan_text
from interfaces.domain.wire_modes import MODES
from simulations.bench import link, link_cost
from simulations.bench.command import ABOUT
from simulations.bench.link_carried import Carried
from simulations.bench.link_cost import month_bytes
from simulations.bench.link_site import CHARGERS, Lively, plan_for, targets_for
from tests.tools import needed_tool

KINDS = ("whole", "changes", "changes_5min", "event", "energy", "plan_ack", "plan", "targets", "receipt", "ping")
KEYS = {"msgs_per_s", "latency_ms_p99", "cpu_pct_broker", "cpu_pct_ingest", "lost", "bytes_per_site_month"}


def test_headers_are_counted_per_segment_of_an_ethernet_line():
    before = Carried(1000, 1000, 10)
    assert Carried(1000, 1000, 10).since(before) == 0
    assert Carried(1300, 1030, 13).since(before) == 330 + 3 * 52
    assert Carried(1000 + 3000, 1030, 12).since(before) == 3030 + 4 * 52, "3000 bytes are three segments, not one"


def test_a_month_is_the_sum_of_what_happens_in_it():
    ones = dict.fromkeys(KINDS, 0.0)
    connections = 30 * 2 * 10_000
    assert month_bytes(ones, "live") == connections
    month_s = 30 * 86_400
    for kind, live, low_data in (
        ("changes", month_s // 10 - month_s // 1800, 0),
        ("changes_5min", 0, month_s // 300 - month_s // 10_800),
        ("plan", month_s // 300, month_s // 1800),
        ("targets", month_s // 900, month_s // 3600),
        ("energy", month_s // 900, month_s // 900),
        ("event", 3000, 3000),
        ("ping", 0, month_s // 240),
    ):
        found = [month_bytes({**ones, kind: 1.0}, mode) - connections for mode in ("live", "low_data")]
        assert found == [live, low_data], kind


def test_the_site_of_the_bench_is_lively_and_its_plan_is_one():
    rng = random.Random(3)
    site = Lively("site-1", rng, 1_793_000_000.0)
    statuses = [site.status] + [site.later(1_793_000_000.0 + 10 * k, 1) for k in range(1, 200)]
    assert len(statuses[0].assets) == CHARGERS
    assert all(a.circuits != b.circuits for a, b in pairwise(statuses))
    energies = [one.assets[k].energy_kwh for one in statuses for k in range(CHARGERS) if one.assets[k].tag]
    assert max(energies) > min(energies) + 1.0
    plan = plan_for("site-1", 4, 1_793_000_000.0, rng)
    assert plan_problems(plan) == ()
    text = plan_text(plan)
    assert getattr(plan_of_text(text, ""), "sequence", None) == 4
    assert 4000 < len(text) < 6000, "as large as the optimizer's"
    assert len(targets_for(4, 1_793_000_000.0, rng).price_eur_per_kwh) == 192


@pytest.mark.xdist_group("bench_link")
def test_a_short_run_loses_nothing(monkeypatch, capsys):
    needed_tool("mosquitto", "mosquitto")
    monkeypatch.setattr(link, "PERIOD_S", 2.0)
    monkeypatch.setattr(link, "PLAN_S", 10.0)
    monkeypatch.setattr(link_cost, "TIMES", 1)
    monkeypatch.setattr(link_cost, "PINGS_S", 3.0)
    assert main(["bench", "link", "--sites", "6", "--seconds", "10", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures.keys() >= KEYS
    named = {key.strip() for keys in ABOUT["link"][1] for key in keys.split(",")}
    assert set(figures) == named
    assert figures["lost"] == 0
    assert figures["msgs_per_s"] > 0
    assert figures["plans"] >= 1
    assert set(figures["bytes_by_kind"]) == set(KINDS)
    by_kind = figures["bytes_by_kind"]
    assert 0 < by_kind["changes"] < by_kind["whole"] < by_kind["plan"]
    assert 0 < figures["bytes_per_site_month_low_data"] < figures["bytes_per_site_month"]


@pytest.mark.parametrize("words", [["--sites", "0"], ["--sites", "100000"], ["--seconds", "1"], ["--seconds", "nan"]])
def test_what_cannot_be_measured_is_one_sentence(words, capsys):
    assert main(["bench", "link", *words]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_line_that_is_paid_by_the_megabyte_is_never_louder():
    live, low_data = MODES["live"], MODES["low_data"]
    assert low_data.lease_s > low_data.plan_s, "a plan lives until the next one may come"
    assert low_data.keepalive_s <= low_data.live_s
    assert low_data.live_s > live.live_s
