"""Site files from disk against the shipped profiles; the example sites."""

from __future__ import annotations

from itertools import permutations

import pytest

from interfaces.domain.site_file import MAX_BYTES, Site, topology_of
from interfaces.domain.site_types import ModbusGateway, ModbusRtu, ModbusTcp
from interfaces.domain.topology import Topology
from interfaces.drivers.facts import all_facts
from interfaces.drivers.site_reader import EXAMPLES, example_text, parse_site, read_site
from interfaces.errors import UserError


def example(name: str) -> tuple[Site, Topology]:
    result = parse_site(example_text(name))  # type: ignore[arg-type]
    assert result.problems == ()
    assert result.site is not None
    return result.site, topology_of(result.site, all_facts())


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_pass_after_a_copy_elsewhere(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    copy = tmp_path / "elsewhere.yaml"
    copy.write_text(example_text(name), "utf-8")
    result = read_site(copy)
    assert result.problems == ()
    # What stands as a warning in an example was accepted in writing, nothing else.
    assert {warning.path.rsplit(".", 1)[-1] for warning in result.warnings} == {"accept_unverified_failsafe"}


def test_the_garage():
    site, topology = example("garage")
    assert site.id == "garage-norella"
    assert [asset.id for asset in topology.assets] == ["place-2", "place-1"]
    assert topology.assets[1].phases == (1, 2, 0)
    assert isinstance(site.meters[0].modbus, ModbusRtu)


def test_the_depot_has_what_a_depot_has():
    site, topology = example("depot")
    evses = [asset for asset in topology.assets if topology.is_evse[topology.index[asset.id]]]
    ac = [asset for asset in evses if not asset.direct_current]
    assert (len(ac), len(evses) - len(ac)) == (96, 4)
    assert min(len(topology.chain[topology.index[asset.id]]) for asset in ac) == 5
    maps = {asset.phases for asset in ac}
    assert set(permutations((0, 1, 2))) <= maps
    assert {phases for phases in maps if len(phases) == 1} == {(0,), (1,), (2,)}
    assert {phases for phases in maps if len(phases) == 2} == set(permutations((0, 1, 2), 2))
    assert {charger.profile for charger in site.chargers} == {
        "alfen_eve", "bender_cc61x_ecu", "abb_terra_ac", "webasto_live", "alpitronic_hyc",
    }  # fmt: skip
    assert {type(meter.modbus) for meter in site.meters} == {ModbusTcp, ModbusRtu, ModbusGateway}
    assert (len(site.batteries), len(site.pv)) == (1, 1)
    assert int(topology.metered.sum()) == 5


def test_the_depot_needs_load_management_at_every_level():
    """The nameplates behind every circuit with assets add up to more than it may carry, on every phase."""
    _, topology = example("depot")
    nameplate_ma = topology.ancestry @ (topology.wired * topology.max_ma[:, None])
    for line, circuit in enumerate(topology.circuits):
        if circuit.id != "plant-room":
            assert (nameplate_ma[line] > topology.limit_ma[line]).sum() >= 2, circuit.id


def test_a_larger_file_is_refused_before_it_is_read_as_yaml(tmp_path):
    path = tmp_path / "site.yaml"
    path.write_bytes(b"[" * (MAX_BYTES + 1))
    with pytest.raises(UserError, match="larger than 1 MB and was not read"):
        read_site(path)


def test_other_encodings_are_refused_with_their_line(tmp_path):
    path = tmp_path / "site.yaml"
    path.write_bytes(b"version: 1\nsite:\n  name: caf\xe9\n")
    with pytest.raises(UserError, match=r"no UTF-8 text \(line 3\)"):
        read_site(path)


def test_a_byte_order_mark_is_no_problem(tmp_path):
    path = tmp_path / "site.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + example_text("garage").encode())
    assert read_site(path).site is not None


def test_a_time_zone_nobody_knows():
    text = example_text("garage").replace("Europe/Zurich", "Europe/Zurch")
    (problem,) = parse_site(text).problems
    assert (problem.line, problem.path) == (6, "site.time_zone")
    assert "no time zone 'Europe/Zurch'" in problem.message


def test_without_time_zone_data_the_name_is_left_unchecked(monkeypatch):
    monkeypatch.setattr("zoneinfo.available_timezones", set)
    assert parse_site(example_text("garage")).site is not None


def test_profiles_by_id_and_by_alias_are_the_same_facts():
    facts = all_facts()
    assert facts["alfen_eve"] is facts["alfen_eve_ng9xx"]
    assert facts["alpitronic_hypercharger"].direct_current
