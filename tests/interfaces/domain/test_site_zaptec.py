"""A charger behind its maker's service in the site file: where it may stand, and what is said where it may not."""

from __future__ import annotations

import pytest

from interfaces.domain.site_file import topology_of
from interfaces.domain.site_schema import site_schema
from interfaces.drivers.facts import all_facts
from interfaces.drivers.site_reader import example_text, parse_site
from interfaces.drivers.wiring import wires_of

CIRCUIT = """  - id: zap-feed
    parent: gcp
    rated_a: [20, 20, 20]
    meter: m-zap
    background_max_a: [0, 0, 0]

meters:
  - id: m-zap
    profile: cg_em500
    modbus: {host: 192.168.1.50}
"""
CHARGER = """chargers:
  - id: zap
    profile: zaptec
    cloud:
      installation_id: 0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0
      installation_limit_a: 10
    circuit: zap-feed
    evses:
      - {id: zap-1, max_current_a: [16, 16, 16], phases: [L1, L2, L3]}
"""


def text_of(**change: str) -> str:
    text = example_text("garage").replace("background_max_a: [40, 40, 40]", "background_max_a: [10, 10, 10]")
    text = text.replace("\nmeters:\n", CIRCUIT, 1).replace("chargers:\n", CHARGER, 1)
    for old, new in change.items():
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def problems(**change: str) -> str:
    result = parse_site(text_of(**change))
    assert result.site is None
    return " | ".join(f"{one.path}: {one.message}" for one in result.problems)


def test_an_installation_is_one_slow_asset_reserved_at_its_limit():
    site = parse_site(text_of()).site
    assert site is not None
    topology = topology_of(site, all_facts())
    i = topology.index["zap-1"]
    assert topology.remote.tolist() == [name == "zap-1" for name in topology.index]
    assert (topology.max_ma[i], topology.failsafe_ma[i], topology.boot_ma[i]) == (16_000, 10_000, 10_000)
    assert topology.poll_s[i] == 60.0
    assert topology.circuits[topology.chain[i][0]].id == "zap-feed"
    (wire,) = [one for one in wires_of(site) if one.points[0].key == "zap-1"]
    assert wire.points[0].profile.id == "zaptec"


def test_its_limit_belongs_to_the_sum_of_what_is_left_alone():
    """60 A of the site hold 10 A of the building, 6 A of the others and its 10 A; with 50 A they do not."""
    said = problems(**{
        "installation_limit_a: 10": "installation_limit_a: 50",
        "[16, 16, 16], phases: [L1, L2, L3]}": "[50, 50, 50], phases: [L1, L2, L3]}",
        "rated_a: [20, 20, 20]": "rated_a: [50, 50, 50]",
    })  # fmt: skip
    assert "failsafe currents 56 A + worst-case background 10 A" in said


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"    circuit: zap-feed": "    circuit: gcp"}, "is on the grid connection point 'gcp', which feeds all else"),
        ({"    circuit: zap-feed": "    circuit: garage"}, "'zap' shares circuit 'garage' with place-2, place-1"),
        ({"    meter: m-zap\n": ""}, "no meter measures circuit 'zap-feed'"),
        ({"{host: 192.168.1.50}": "{host: 192.168.1.50}\n    period_ms: 2000"}, "it must be read every second"),
        ({"    meter: m-zap\n    background_max_a: [0,": "    meter: m-zap\n    background_max_a: [1,"},
         "its meter stands for 'zap' alone"),
        ({"installation_limit_a: 10": "installation_limit_a: 17"}, "is above its max_current_a of 16 A"),
        ({"    circuit: zap-feed": "    failsafe: {current_a: 6, timeout_s: 60}\n    circuit: zap-feed"},
         "remove 'failsafe', its installation limit counts whenever the internet is gone"),
        ({"b6c7d8e9f0": "b6c7d8e9f"}, "installation_id"),
        ({"profile: zaptec": "profile: webasto_live"}, "'webasto_live' does not speak with its maker's service"),
        ({"    circuit: zap-feed": "    modbus: {host: 192.168.1.9}\n    circuit: zap-feed"}, "modbus"),
    ],
)  # fmt: skip
def test_where_it_may_not_stand(change, says):
    assert says in problems(**change)


def test_one_that_is_not_managed_is_background_and_stands_anywhere():
    text = text_of(**{"    circuit: zap-feed": "    managed: false\n    circuit: garage"})
    text = text.replace("background_max_a: [0, 0, 0]     #", "background_max_a: [16, 16, 16]     #")
    text = text.replace("background_max_a: [10, 10, 10]", "background_max_a: [17, 17, 17]")
    result = parse_site(text)
    assert result.site is not None, result.problems
    assert "zap-1" not in topology_of(result.site, all_facts()).index


def test_two_entries_cannot_drive_one_installation():
    second = CHARGER.removeprefix("chargers:\n").replace("id: zap\n", "id: zap2\n").replace("zap-1", "zap-2")
    assert "have the same address" in problems(**{"chargers:\n": "chargers:\n" + second})


def test_the_schema_knows_both_addresses():
    charger = site_schema()["$defs"]["ChargerEntry"]
    assert charger["oneOf"] == [{"required": ["modbus"]}, {"required": ["cloud"]}]
    assert "modbus" not in charger["required"]
