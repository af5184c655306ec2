"""`stroomwacht controller check`: exit codes, the report, figures, the schema."""

from __future__ import annotations

import json
import re

import pytest

from controller.commands import NEW_DEVICES
from controller.service.bindings import store_bindings
from controller.service.service_file import load_service
from interfaces.cli import main
from interfaces.domain.site_schema import site_schema
from interfaces.drivers.site_reader import EXAMPLES, example_text


@pytest.fixture(autouse=True)
def _in_no_network(monkeypatch, tmp_path):
    """Whatever network the tests run in."""
    monkeypatch.setattr("interfaces.drivers.neighbours.ROUTE", tmp_path / "no-route")


@pytest.fixture
def garage(tmp_path):
    path = tmp_path / "site.yaml"
    path.write_text(example_text("garage"), "utf-8")
    return path


@pytest.fixture
def broken(tmp_path):
    path = tmp_path / "broken.yaml"
    text = example_text("garage").replace("rated_a: [60, 60, 60]", "rated_a: [70, 60, 60]")
    path.write_text(text.replace("margin_a", "margn_a"), "utf-8")
    return path


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_pass(name, tmp_path, capsys):
    path = tmp_path / "site.yaml"
    path.write_text(example_text(name), "utf-8")
    assert main(["controller", "check", str(path)]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert "is fit to run" in said.out.splitlines()[0]


def test_standing_warnings_are_said_every_time(garage, capsys):
    assert main(["controller", "check", str(garage)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "warning: " in line] == lines[1:2]
    assert lines[1].startswith(f"{garage}:57 chargers[1].accept_unverified_failsafe: warning: 'place-1' cannot prove")


def test_equal_warnings_are_one_line_with_the_count_and_the_first_names(tmp_path, capsys):
    path = tmp_path / "site.yaml"
    path.write_text(example_text("depot"), "utf-8")
    assert main(["controller", "check", str(path)]) == 0
    _, *warnings = capsys.readouterr().out.split("\n" + NEW_DEVICES)[0].splitlines()
    assert len(warnings) == 3
    assert warnings[0] == (
        f"{path}:199 chargers[2].accept_unverified_failsafe: warning, 16 times: 'n1a1-4', 'n1a2-4', 'n1b1-4' and 13 "
        "more cannot prove its failsafe; 0 A is believed because: commissioning report 2025-03: stops charging when "
        "the link is lost, station set to 0 A"
    )
    assert "warning, 2 times: 'yard-1', 'yard-2' cannot prove" in warnings[1]
    assert ": warning: 'battery' cannot prove" in warnings[2]
    assert main(["controller", "check", str(path), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["warnings"]) == 19


def test_what_must_be_set_on_devices_that_nobody_met_is_said_once_per_make(garage, capsys):
    assert main(["controller", "check", str(garage)]) == 0
    said = capsys.readouterr().out.split(NEW_DEVICES)[1].splitlines()
    assert said[1] == "set up on Carlo Gavazzi (cg_em500): m-main"
    assert "set up on ABB (abb_terra_ac): place-1" in said
    assert "  4. In the TerraConfig app, set the charger to a local controller (Modbus secondary)." in said
    assert main(["controller", "check", str(garage), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["setup_on_device"]
    assert [one["devices"] for one in told] == [["m-main"], ["place-2"], ["place-1"]]
    assert all(one["steps"] for one in told)


def test_devices_that_were_bound_or_named_by_serial_number_need_no_set_up(garage, capsys, monkeypatch, tmp_path):
    (tmp_path / "service.yaml").write_text("state_dir: state", "utf-8")
    monkeypatch.setattr("controller.service.service_file.DEFAULT_FILE", tmp_path / "service.yaml")
    store_bindings(load_service(None).retain_dir, {"place-1": "A1", "m-main": "M1"}, keep_old=False)
    assert main(["controller", "check", str(garage), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["setup_on_device"]
    assert [one["devices"] for one in told] == [["place-2"]]
    text = garage.read_text("utf-8")
    garage.write_text(text.replace("    name: Parkplatz 2\n", "    serial_number: W7\n"), "utf-8")
    assert main(["controller", "check", str(garage)]) == 0
    assert NEW_DEVICES not in capsys.readouterr().out


def test_a_refused_file_is_exit_2_with_the_report_on_stderr(broken, capsys):
    assert main(["controller", "check", str(broken)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    lines = said.err.splitlines()
    assert lines[0].startswith(f"{broken}:18 circuits[0].rated_a: circuit 'gcp' is rated 70 A")
    assert lines[1].startswith(f"{broken}:19 circuits[0].margn_a: unknown key 'margn_a': did you mean 'margin_a'?")
    assert lines[2:] == [f"{broken} is refused: 2 problem(s)"]


def test_figures_of_a_good_file(garage, capsys):
    assert main(["controller", "check", str(garage), "--json"]) == 0
    said = capsys.readouterr()
    figures = json.loads(said.out)
    assert said.err == ""
    assert figures["ok"] is True
    assert (figures["site"], figures["circuits"], figures["evses"], figures["problems"]) == ("garage-norella", 2, 2, [])
    assert [warning["line"] for warning in figures["warnings"]] == [57]


def test_figures_of_a_refused_file(broken, capsys):
    assert main(["controller", "check", "--json", str(broken)]) == 2
    said = capsys.readouterr()
    figures = json.loads(said.out)
    assert figures["ok"] is False
    assert [(problem["line"], problem["path"]) for problem in figures["problems"]] == [
        (18, "circuits[0].rated_a"),
        (19, "circuits[0].margn_a"),
    ]
    assert len(said.err.splitlines()) == 3


def test_the_schema(capsys):
    assert main(["controller", "check", "--schema"]) == 0
    assert json.loads(capsys.readouterr().out) == site_schema()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "name a site file, or --schema"),
        (["a.yaml", "--schema"], "--schema stands alone"),
        (["/nowhere/site.yaml"], "cannot be read: No such file"),
        (["--fix"], "unrecognized arguments: --fix"),
    ],
)
def test_mistakes_are_one_sentence(words, sentence, capsys):
    assert main(["controller", "check", *words]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert sentence in said.err
    assert len(said.err.splitlines()) == 1


def test_a_large_file_is_refused_unread(tmp_path, capsys):
    path = tmp_path / "large.yaml"
    path.write_bytes(b"#" * 1_000_001)
    assert main(["controller", "check", str(path)]) == 2
    assert capsys.readouterr().err == f"{path} is larger than 1 MB and was not read\n"


ROUTES = "Iface Destination Gateway Flags RefCnt Use Metric Mask\neth0 {} 00000000 0001 0 0 0 00FFFFFF 0 0 0\n"


@pytest.fixture
def machine_in(monkeypatch, tmp_path):
    """Give this machine one network: the first three numbers of its addresses."""

    def put(a: int, b: int, c: int) -> None:
        (tmp_path / "route").write_text(ROUTES.format(f"00{c:02X}{b:02X}{a:02X}"), "utf-8")
        monkeypatch.setattr("interfaces.drivers.neighbours.ROUTE", tmp_path / "route")

    return put


def test_a_host_in_another_subnet_is_a_warning_on_the_machine_of_the_site(garage, capsys, machine_in):
    text = garage.read_text("utf-8")
    hosts = re.findall(r"host: (\d+)\.(\d+)\.(\d+)\.\d+", text)
    a, b, c = map(int, hosts[0])
    machine_in(a, b, c)
    garage.write_text(text.replace(f"host: {a}.{b}.{c}.", "host: 10.77.3.", 1), "utf-8")
    assert main(["controller", "check", str(garage)]) == 0
    said = capsys.readouterr().out
    assert f"no network of this machine ({a}.{b}.{c}.0/24) holds '10.77.3." in said
    assert "warning: no network" in said
    assert "give this machine an address there or correct the host" in said
    assert main(["controller", "check", str(garage), "--json"]) == 0
    paths = [warning["path"] for warning in json.loads(capsys.readouterr().out)["warnings"]]
    assert any(path.endswith("modbus.host") for path in paths)


def test_in_an_office_nothing_is_said_of_the_networks_of_a_site(garage, capsys, machine_in, monkeypatch, tmp_path):
    machine_in(172, 31, 99)
    assert main(["controller", "check", str(garage)]) == 0
    assert "no network of this machine" not in capsys.readouterr().out
    (tmp_path / "service.yaml").write_text("{}", "utf-8")
    monkeypatch.setattr("controller.service.service_file.DEFAULT_FILE", tmp_path / "service.yaml")
    assert main(["controller", "check", str(garage)]) == 0
    assert "no network of this machine (172.31.99.0/24) holds" in capsys.readouterr().out
