"""From a site file to columns and rows, and what a changed file means."""

from __future__ import annotations

import pytest

from interfaces.domain.site_file import site_differences, topology_of
from interfaces.domain.site_topology import topology_version
from interfaces.domain.topology import AssetKind, Protection
from tests.interfaces.domain.site_texts import EXTRA_CHARGER, FACTS, MORE, garage, load

PLANT = """\
batteries:
  - {id: bat, profile: battery, modbus: {host: b}, circuit: gcp, max_charge_w: 6900, max_discharge_w: 3450,
     capacity_kwh: 10, failsafe: {current_a: 0, timeout_s: 60}, accept_unverified_failsafe: tested}
pv:
  - {id: roof, profile: inverter, modbus: {host: p}, circuit: gcp, rated_w: 6900}
loads:
  - {id: pump, profile: relay, modbus: {host: w}, circuit: gcp, max_current_a: 4, phases: [L2], managed: true}
  - {id: lift, profile: tcp_meter, modbus: {host: l}, circuit: gcp, max_current_a: 10, phases: [L1]}
"""


def site_of(text: str):
    result = load(text)
    assert result.site is not None, result.problems
    return result.site


def topology(text: str):
    return topology_of(site_of(text), FACTS)


def test_the_garage_as_arrays():
    found = topology(garage())
    assert [asset.id for asset in found.assets] == ["place-2", "place-1"]
    assert [circuit.id for circuit in found.circuits] == ["gcp", "garage"]
    assert found.limit_ma.tolist() == [[50_000] * 3, [39_000] * 3]
    assert found.background_max_ma.tolist() == [[40_000] * 3, [0] * 3]
    assert found.metered.tolist() == [True, False]
    assert found.failsafe_ma.tolist() == [6000, 0]
    assert found.failsafe_timeout_s.tolist() == [60.0, 60.0]
    assert found.boot_ma.tolist() == [16_000, 16_000]
    assert found.assets[1].phases == (1, 2, 0)
    assert found.assets[1].failsafe_trusted
    assert found.poll_s.tolist() == [1.0, 5.0]
    assert found.circuits[0].protection == Protection("gG", 63.0)
    assert found.circuits[1].protection == Protection("mcb", 40.0, "C", 5.0)
    assert found.period_s == 0.2
    assert found.nominal_mv == 230_000


def test_a_failsafe_nobody_can_verify_counts_at_nameplate():
    text = garage(
        ('    accept_unverified_failsafe: "installer', '    #"'), ("background_max_a: [40", "background_max_a: [35")
    )
    text = text.replace("[35, 40, 40]", "[35, 35, 35]")
    assert topology(text).failsafe_ma.tolist() == [6000, 16_000]


def test_unequal_conductors_count_with_the_smallest_for_offers_and_the_largest_for_the_worst_case():
    text = garage(("max_current_a: [16, 16, 16], phases", "max_current_a: [20, 16, 10], phases"))
    found = topology(text)
    assert found.max_ma[1] == 10_000
    assert found.boot_ma[1] == 20_000


def test_batteries_pv_and_loads_have_columns_in_file_order():
    text = garage((MORE, "\n" + PLANT + MORE), ("background_max_a: [40, 40, 40]", "background_max_a: [45, 40, 40]"))
    found = topology(text)
    assert [asset.id for asset in found.assets] == ["place-2", "place-1", "bat", "roof", "pump"]
    kinds = (AssetKind.EVSE, AssetKind.EVSE, AssetKind.BATTERY, AssetKind.PV, AssetKind.LOAD)
    assert found.kind.tolist() == [int(kind) for kind in kinds]
    assert found.max_ma.tolist()[2:] == [10_000, 0, 4000]
    assert found.max_export_ma.tolist()[2:] == [5000, 10_000, 0]
    assert found.min_ma.tolist()[2:] == [0, 0, 0]
    assert found.failsafe_ma.tolist()[2:] == [0, 0, 4000]
    assert found.wired[4].tolist() == [0, 1, 0]


def test_what_is_not_managed_has_no_column():
    text = garage(
        (MORE, "\n" + EXTRA_CHARGER.replace("    evses:", "    managed: false\n    evses:") + MORE),
        ("background_max_a: [0, 0, 0]", "background_max_a: [16, 16, 16]"),
    )
    assert [asset.id for asset in topology(text).assets] == ["place-2", "place-1"]


def test_a_monitored_site_has_no_columns_and_needs_no_figures():
    text = garage(
        ("  period_ms: 200", "  period_ms: 200\n  mode: monitor"),
        ("    managed: true                   # false: never written, counts as background\n", ""),
        ("    managed: true\n", ""),
        ("    background_max_a: [0, 0, 0]     # unmetered, nothing else behind it\n", ""),
    )
    found = topology(text)
    assert (found.n, found.c) == (0, 2)
    assert site_of(text).chargers[0].managed is False


def test_a_site_without_a_meter_lives_on_a_static_allowance():
    text = garage(("    meter: m-main\n", ""), ("  - id: m-main\n    profile: cg_em500\n", ""), ("meters:\n", ""))
    text = text.replace("    modbus: {rtu: /dev/ttyUSB0, unit: 1, baud: 9600, format: 8N1}\n", "")
    found = topology(text)
    assert found.metered.tolist() == [False, False]
    assert found.background_max_ma[0].tolist() == [40_000] * 3


def test_charger_order_fixes_columns_and_so_the_version():
    one = garage((MORE, "\n" + EXTRA_CHARGER + MORE))
    head, tail = one.split("chargers:\n")
    pieces = tail.split("  - id: place-3")
    swapped = head + "chargers:\n  - id: place-3" + pieces[1].split(MORE)[0].rstrip() + "\n" + pieces[0] + MORE
    assert topology(swapped).version != topology(one).version


ONLINE = {
    "a name": ("name: Parkplatz 2", "name: Platz 2"),
    "the site's name": ("name: Garage Norella", "name: Garage"),
    "a tier": ("tier: 1                     #", "tier: 3                     #"),
    "a spot": ("spot: P2", "spot: P7"),
    "a margin": ("margin_a: [10, 10, 10]", "margin_a: [5, 5, 5]"),
    "never pause": ("tier: 1, spot: P1}", "tier: 1, spot: P1, never_pause: true}"),
    "a smallest current": ("tier: 1, spot: P1}", "tier: 1, spot: P1, min_current_a: 8}"),
    "a contract": ("    meter: m-main\n", "    meter: m-main\n    contract_a: [55, 55, 55]\n"),
    "a power limit": ("    meter: m-main\n", "    meter: m-main\n    max_import_w: 30000\n"),
    "policies": ("\nchargers:", "\npolicies: {follow_plans: false}\n\nchargers:"),
    "a peak": ("\nchargers:", "\npolicies: {peak_w: 5000}\n\nchargers:"),
    "the words of a reason": ("installer: station fused at 16 A", "installer: station fused at 10 A"),
    "a place on earth": ("latitude: 47.37", "latitude: 47.38"),
}
RESTART = {
    "a rating": ("rated_a: [60, 60, 60]", "rated_a: [59, 60, 60]"),
    "a derating": ("    meter: m-main\n", "    meter: m-main\n    derating: 0.95\n"),
    "a fuse": ("{kind: gG, rated_a: 63}", "{kind: gG, rated_a: 80}"),
    "a background": ("background_max_a: [40, 40, 40]", "background_max_a: [41, 40, 40]"),
    "a phase map": ("phases: [L2, L3, L1]", "phases: [L3, L2, L1]"),
    "a nameplate": ("max_current_a: [16, 16, 16], phases", "max_current_a: [10, 10, 10], phases"),
    "a failsafe": ("{current_a: 6, timeout_s: 60}", "{current_a: 0, timeout_s: 60}"),
    "a time-out": ("{current_a: 6, timeout_s: 60}", "{current_a: 6, timeout_s: 30}"),
    "another charger": (MORE, "\n" + EXTRA_CHARGER + MORE),
    "the scan period": ("period_ms: 200", "period_ms: 500"),
    "another make": ("profile: webasto_live", "profile: double"),
}
WIRES = {
    "an address": ("192.168.1.20", "192.168.1.99"),
    "an interface": ("eth1", "eth2"),
}


@pytest.mark.parametrize("name", ONLINE)
def test_changes_that_are_made_online(name):
    old, new = site_of(garage()), site_of(garage(ONLINE[name]))
    assert site_differences(old, new) == "parameters"
    assert site_differences(new, old) == "parameters"
    assert topology_version(old, FACTS) == topology_version(new, FACTS)
    assert topology_of(old, FACTS).index == topology_of(new, FACTS).index


@pytest.mark.parametrize("name", RESTART)
def test_changes_that_restart_through_failsafe(name):
    old, new = site_of(garage()), site_of(garage(RESTART[name]))
    assert site_differences(old, new) == "topology"
    assert topology_version(old, FACTS) != topology_version(new, FACTS)


@pytest.mark.parametrize("name", WIRES)
def test_a_new_address_restarts_but_leaves_plans_valid(name):
    old, new = site_of(garage()), site_of(garage(WIRES[name]))
    assert site_differences(old, new) == "topology"
    assert topology_version(old, FACTS) == topology_version(new, FACTS)


def test_comments_and_layout_change_nothing():
    again = site_of("# another comment\n" + garage(("tier: 1                     #", "tier:    1 #")))
    assert site_differences(site_of(garage()), again) == "none"


def test_facts_are_part_of_the_version():
    site = site_of(garage())
    other = {**FACTS, "webasto_live": FACTS["double"]}
    assert topology_version(site, FACTS) != topology_version(site, other)
