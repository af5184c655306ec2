"""`stroomwacht optimizer solve`: JSON, table, schema, and one sentence per refusal."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest

import optimizer
from interfaces.cli import main
from optimizer.core.codec import problem_to_json
from tests.optimizer.problems import problem, session

EXAMPLES = Path(optimizer.__file__).parent / "examples"
DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "optimizer.md"


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["optimizer", "solve", *words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def written(folder: Path, text: bytes | str) -> str:
    file = folder / "problem.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(file)


def test_a_plan_as_one_json_object(capsys):
    code, out, err = run(capsys, str(EXAMPLES / "garage.json"), "--json")
    figures = json.loads(out)
    assert (code, err) == (0, "")
    assert figures["status"] == "optimal"
    assert figures["objective_eur"] >= figures["bound_eur"] - 1e-6
    assert figures["start_utc"] == "2025-11-21T14:00:00Z"
    steps, assets = len(figures["setpoint_a"]), len(figures["assets"])
    assert steps == 96
    for name in ("setpoint_a", "value_eur_per_kwh"):
        assert {len(line) for line in figures[name]} == {assets}
    for name in ("planned_import_kw", "load_kw", "pv_kw", "import_eur_per_kwh", "export_eur_per_kwh"):
        assert len(figures[name]) == steps
    assert {t["evse"]: t["soc_source"] for t in figures["targets"]} == {"place-1": "entered", "place-2": "none"}


def test_a_solver_without_time_gives_a_plan_without_a_bound(capsys):
    code, out, err = run(capsys, str(EXAMPLES / "garage.json"), "--json", "--deadline", "1e-9")
    figures = json.loads(out)
    assert (code, err) == (0, "")
    assert (figures["status"], figures["bound_eur"]) == ("heuristic", None)
    assert run(capsys, str(EXAMPLES / "garage.json"), "--deadline", "1e-9")[0] == 0


def test_events_and_shortages_tell_who_will_not_be_ready(capsys):
    _, out, _ = run(capsys, str(EXAMPLES / "depot.json"), "--json")
    figures = json.loads(out)
    (event,), (shortage,) = figures["events"], figures["shortages"]
    assert event["evse"] == shortage["evse"] == "dc-1"
    assert event["shortfall_kwh"] == shortage["shortfall_kwh"] > 60
    assert (event["cause"], event["limit"]) == ("circuit", "dc L1")
    assert "because circuit dc L1 is full" in event["text"]


def test_a_table_for_people(capsys):
    code, out, _ = run(capsys, str(EXAMPLES / "depot.json"))
    assert code == 0
    assert "depot-lier: optimal" in out
    assert "Fri 15:00" in out
    assert "dc-1 will not be ready at Fri 16:15" in out


def test_the_schema_stands_alone(capsys):
    code, out, _ = run(capsys, "--schema")
    schema = json.loads(out)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert code == 0
    code, _, err = run(capsys, "--schema", "x.json")
    assert (code, err) == (2, "stroomwacht optimizer solve: --schema stands alone, leave the file out\n")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "stroomwacht optimizer solve: name a problem file, or --schema"),
        (["nowhere.json"], "nowhere.json cannot be read: No such file or directory"),
        (["x.json", "--deadline", "0"], "stroomwacht optimizer solve: --deadline is a number of seconds above 0"),
        (["x.json", "--deadline", "nan"], "stroomwacht optimizer solve: --deadline is a number of seconds above 0"),
    ],
)
def test_wrong_words_are_one_sentence(capsys, words: list[str], sentence: str):
    code, out, err = run(capsys, *words)
    assert (code, out, err) == (2, "", sentence + "\n")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("<html>", "the problem cannot be read: not JSON"),
        ('{"schema": 1, "now_epoch_s": NaN}', "the problem cannot be read: NaN is not a number"),
        ('{"schema": 9}', "this program reads problems of schema 1, this one says 9"),
    ],
)
def test_a_file_that_is_no_problem_is_one_sentence(capsys, tmp_path: Path, text: str, sentence: str):
    file = written(tmp_path, text)
    code, out, err = run(capsys, file, "--json")
    assert (code, out) == (2, "")
    assert err.startswith(f"{file}: {sentence}")
    assert err.count("\n") == 1


def test_each_reason_of_a_refusal_is_one_line(capsys, tmp_path: Path):
    data = json.loads(problem_to_json(problem(session("a"))))
    data["state"]["topology_version"] = "v0"
    data["state"]["sessions"][0]["evse"] = "ghost"
    file = written(tmp_path, json.dumps(data))
    code, out, err = run(capsys, file)
    assert (code, out) == (2, "")
    first, second = err.splitlines()
    assert first == f"{file}: there is no EVSE 'ghost' on this site"
    assert second.startswith(f"{file}: the state was taken with topology v0 and this is topology v1")


def test_an_empty_site_has_a_table(capsys, tmp_path: Path):
    code, out, _ = run(capsys, written(tmp_path, problem_to_json(problem(steps=4))))
    assert code == 0
    assert "0 assets" in out


def test_the_documents_commands_run(capsys, monkeypatch: pytest.MonkeyPatch):
    """Every command line of the page is one that works."""
    monkeypatch.chdir(DOCUMENT.parents[1])
    commands = re.findall(r"^    stroomwacht (optimizer solve .*)$", DOCUMENT.read_text(), flags=re.MULTILINE)
    assert len(commands) >= 2
    for command in commands:
        assert main(command.split()) == 0
        assert capsys.readouterr().out
