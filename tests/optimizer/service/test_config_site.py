"""What optimizer.yaml says of chargers and stores of heat reaches the site's facts, or is refused with a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from interfaces.domain.site_file import topology_of
from interfaces.drivers.facts import all_facts
from interfaces.drivers.site_reader import Example, example_text, parse_site
from interfaces.errors import UserError
from optimizer.core.problem_facts import SiteFacts
from optimizer.core.problem_types import Block
from optimizer.service.config import load_config
from optimizer.service.record import HeatDemand, HeatHours, SiteRecord
from optimizer.service.run_command import record_of

HEAT_PUMP = """
loads:
  - id: heat-pump
    profile: moxa_iologik_e1200
    modbus: {host: 192.168.1.40, port: 502}
    circuit: gcp
    managed: true
    max_current_a: 10
    phases: [L1, L2, L3]
"""
STORE = "{id: heat-pump, low_kwh: 4, high_kwh: 9, demand_kw: 2, cop: 3.5}"


def record(folder: Path, extra: str, name: Example = "garage") -> SiteRecord:
    (folder / "optimizer.yaml").write_text(
        "version: 1\nsites:\n  - site: site.yaml\n    link: spool\n"
        f"    tariff: {{energy: {{kind: fixed, eur_per_kwh: 0.25}}}}\n    {extra}\n"
    )
    (entry,) = load_config(folder / "optimizer.yaml").sites
    read = parse_site(example_text(name) + (HEAT_PUMP if name == "garage" else ""))
    assert read.site is not None, read.problems
    return record_of(entry, read.site, topology_of(read.site, all_facts()))


def facts(folder: Path, extra: str, name: Example = "garage") -> SiteFacts:
    return record(folder, extra, name).facts()


def test_priorities_are_those_of_parking_spaces(tmp_path):
    made = facts(tmp_path, "chargers: [{spot: P2, priority: 3}, {id: place-1, priority: 1}]")
    assert {evse.id: evse.spot_priority for evse in made.evses} == {"place-2": 3, "place-1": 1}


def test_direct_current_has_its_efficiency(tmp_path):
    made = facts(tmp_path, "chargers: [{id: yard-1-1, efficiency: 0.92, min_power_kw: 7}]", "depot")
    known = {evse.id: (evse.efficiency, evse.min_power_kw) for evse in made.evses if evse.direct_current}
    assert known["yard-1-1"] == (0.92, 7.0)
    assert known["yard-1-2"] == (1.0, 0.0)


def test_entries_of_one_charger_add_up(tmp_path):
    made = facts(tmp_path, "chargers: [{id: yard-1-1, efficiency: 0.92}, {spot: Y1, priority: 3}]", "depot")
    (evse,) = (one for one in made.evses if one.id == "yard-1-1")
    assert (evse.efficiency, evse.spot_priority) == (0.92, 3)


def test_a_store_of_heat_is_at_its_load(tmp_path):
    extra = "buffers: [{id: heat-pump, low_kwh: 4, high_kwh: 9, demand_kw: 1, cop: 3.5, loss_share_per_h: 0.02,"
    made = record(tmp_path, extra + ' demand: [{when: {begin: "06:00", end: "09:00"}, kw: 5}]}]')
    (store,) = made.facts().buffers
    assert (store.id, store.circuit, store.phases) == ("heat-pump", "gcp", ("L1", "L2", "L3"))
    assert store.power_kw == pytest.approx(6.9)
    assert (store.low_kwh, store.high_kwh, store.cop, store.loss_share_per_h) == (4.0, 9.0, 3.5, 0.02)
    assert made.heat == {"heat-pump": HeatDemand(1.0, (HeatHours(Block("06:00", "09:00"), 5.0),))}


def test_a_battery_keeps_its_reserve(tmp_path):
    (plain,) = facts(tmp_path, "", "depot").batteries
    (made,) = facts(
        tmp_path, f"batteries: [{{id: {plain.id}, reserve_share: 0.3, full_share: 0.9}}]", "depot"
    ).batteries
    assert (plain.floor_share, plain.ceiling_share) == (0.1, 1.0)
    assert (made.floor_share, made.ceiling_share, made.capacity_kwh) == (0.3, 0.9, plain.capacity_kwh)


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("chargers: [{id: place-9, priority: 3}]", "chargers: there is no managed EVSE 'place-9'"),
        ("chargers: [{spot: P9, priority: 3}]", "no managed EVSE at the parking space 'P9'"),
        ("chargers: [{priority: 3}]", "by 'id' or a parking space by 'spot'"),
        ("chargers: [{id: place-1, spot: P1}]", "by 'id' or a parking space by 'spot'"),
        ("chargers: [{id: place-1, priority: 4}]", "less than or equal to 3"),
        ("chargers: [{id: place-1, efficiency: 0.9}]", "'place-1' is no direct current"),
        ("batteries: [{id: attic}]", "there is no battery 'attic'"),
        ("buffers: [{id: boiler, low_kwh: 4, high_kwh: 9, demand_kw: 2}]", "there is no managed load 'boiler'"),
        ("buffers: [{id: place-1, low_kwh: 4, high_kwh: 9, demand_kw: 2}]", "there is no managed load 'place-1'"),
        ("buffers: [{id: heat-pump, low_kwh: 9, high_kwh: 9, demand_kw: 2}]", "the band of 'heat-pump' is empty"),
        (f"buffers: [{STORE}, {STORE}]", "'heat-pump' is given twice"),
    ],
)
def test_what_does_not_fit_the_site_is_refused(tmp_path, extra, words):
    with pytest.raises(UserError) as caught:
        record(tmp_path, extra)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
