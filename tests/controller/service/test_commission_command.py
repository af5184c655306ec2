"""`device commission` from the command line: refusals in one sentence, and the record it leaves."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from controller.core.commission import EvseRecord
from controller.service import commission_run
from controller.service.commission_record import Header, canonical, html_of, record_of, store
from controller.service.process import only_one
from controller.service.setup_steps import recorded, set_ups
from interfaces.cli import main
from interfaces.errors import UserError
from tests.controller.service.commission_kit import TEXT, Yard, car
from tests.interfaces.drivers.far_side import profile_of

HEADER = Header("yard", "abc123", "0.1.0", "A. <Tester>", 1_780_000_000.7)


@pytest.fixture
def site_file(tmp_path: Path) -> Path:
    path = tmp_path / "site.yaml"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture
def service_file(tmp_path: Path) -> Path:
    """Every device moved to a port of this machine where nobody listens."""
    path = tmp_path / "service.yaml"
    moved = {f"10.0.{place}:502": "127.0.0.1:1" for place in ("0.1", "1.1", "1.2")}
    path.write_text(json.dumps({"state_dir": "state", "addresses": moved}), encoding="utf-8")
    return path


async def good_records() -> tuple[EvseRecord, ...]:
    return await Yard(cars={"left": car(1)}).test()


@pytest.mark.parametrize(
    ("change", "words", "sentence"),
    [
        ("", ["--charger", "nobody"], "no managed charger 'nobody'"),
        ("mode: monitor", [], "only monitored"),
        ("colour: blue", [], "colour"),
    ],
)
def test_what_cannot_be_tested_is_refused_in_one_sentence(
    site_file: Path,
    service_file: Path,
    capsys: pytest.CaptureFixture[str],
    change: str,
    words: list[str],
    sentence: str,
) -> None:
    if change:
        site_file.write_text(TEXT.replace("{id: yard,", f"{{id: yard, {change},"), encoding="utf-8")
    arguments = ["--site", str(site_file), "--service", str(service_file), *words]
    assert main(["device", "commission", *arguments]) == 2
    shown = capsys.readouterr()
    assert sentence in shown.err
    assert len(shown.err.strip().splitlines()) == 1
    assert shown.out == ""


def test_it_refuses_while_a_controller_of_the_site_runs(
    site_file: Path, service_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "state" / "run").mkdir(parents=True)
    lock = only_one(tmp_path / "state" / "run" / "field.lock")
    out = tmp_path / "out"
    arguments = ["--site", str(site_file), "--service", str(service_file), "--out", str(out)]
    assert main(["device", "commission", *arguments]) == 2
    os.close(lock)
    assert "a controller runs here" in capsys.readouterr().err
    assert not out.exists()


def test_chargers_that_are_not_there_are_faults_in_a_record(
    site_file: Path,
    service_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(commission_run, "FIRST_LOOK_S", 0.2)
    monkeypatch.setattr(commission_run, "CONFIRM_S", 0.2)
    monkeypatch.setattr(commission_run, "LOOK_S", 0.05)
    out = tmp_path / "out"
    arguments = ["--site", str(site_file), "--service", str(service_file), "--out", str(out), "--installer", "Anna"]
    assert main(["device", "commission", *arguments, "--json"]) == 1
    figures = json.loads(capsys.readouterr().out)
    findings = [one for part in figures["record"]["evses"] for one in part["findings"]]
    assert [one["code"] for one in findings] == ["no_connection", "no_connection"]
    assert figures["record"]["installer"] == "Anna"
    assert figures["record"]["devices"] == [], "nobody answered"
    (steps,) = figures["record"]["setup_on_device"]
    assert steps["devices"] == ["left", "right"]
    assert steps["steps"] == list(profile_of(steps["profile"]).setup_on_device)
    assert sorted(figures["files"]) == sorted(str(path) for path in out.iterdir())
    os.close(only_one(tmp_path / "state" / "run" / "field.lock"))  # raises while anybody holds it


async def test_the_record_proves_itself_and_is_the_same_every_time(tmp_path: Path) -> None:
    records = await good_records()
    first, second = record_of(HEADER, records), record_of(HEADER, records)
    assert first == second
    assert html_of(first) == html_of(second)
    json_path, html_path = store(first, tmp_path)
    kept = json.loads(json_path.read_text("utf-8"))
    assert hashlib.sha256(canonical(kept["record"])).hexdigest() == kept["sha256"] == first.sha256
    assert first.sha256 in html_path.read_text("utf-8")
    assert kept["record"]["date"] == "2026-05-28T20:26:40Z"
    assert record_of(replace(HEADER, installer="Bert"), records).sha256 != first.sha256


async def test_the_same_test_of_the_same_site_gives_the_same_record() -> None:
    assert record_of(HEADER, await good_records()).sha256 == record_of(HEADER, await good_records()).sha256


async def test_the_page_shows_every_finding_and_takes_no_markup_from_anybody() -> None:
    record = record_of(HEADER, await good_records())
    page = html_of(record)
    assert "A. &lt;Tester&gt;" in page
    assert "<Tester>" not in page
    assert "<script" not in page
    assert not re.search(r"https?://", page)
    for part in record.content["evses"]:
        for one in part["findings"]:
            assert one["says"].replace("'", "&#x27;") in page.replace("&quot;", '"')


async def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="cannot be written"):
        store(record_of(HEADER, ()), tmp_path / "file" / "below")


async def test_what_must_be_set_on_new_devices_is_in_the_record_and_on_the_page(tmp_path: Path) -> None:
    new = set_ups([("left", "weidmueller_ac_smart"), ("m<1>", "cg_em300_et300")])
    record = record_of(HEADER, await good_records(), new)
    first, _ = record.content["setup_on_device"]
    assert first["devices"] == ["left"]
    page = html_of(record)
    assert "Set DIP switch 10 to OFF only at the end" in page
    assert "Set up on m&lt;1&gt;" in page
    store(record, tmp_path)
    assert recorded(tmp_path, "yard") == frozenset(record.content["devices"])
    assert "left" in record.content["devices"]
    assert recorded(tmp_path, "other") == frozenset()


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000, '{"record": 1}', '{"record": {"devices": [1, "x"]}}'])
def test_a_file_that_is_no_record_counts_for_nobody(tmp_path: Path, text: str) -> None:
    (tmp_path / "commissioning-yard-1.json").write_text(text, encoding="utf-8")
    assert recorded(tmp_path, "yard") == (frozenset({"x"}) if "x" in text else frozenset())


def test_a_second_commissioning_shows_the_steps_of_new_devices_alone(
    site_file: Path,
    service_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(commission_run, "FIRST_LOOK_S", 0.2)
    monkeypatch.setattr(commission_run, "LOOK_S", 0.05)
    earlier = {"record": {"devices": ["left"]}}
    (tmp_path / "commissioning-yard-1.json").write_text(json.dumps(earlier), encoding="utf-8")
    arguments = ["--site", str(site_file), "--service", str(service_file), "--out", str(tmp_path)]
    assert main(["device", "commission", *arguments]) == 1
    said = capsys.readouterr().err
    assert "): right\n" in said
    assert "left" not in said.split("): right")[0]
    assert "  1. " in said
