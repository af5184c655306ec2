"""The console script: dispatch, exit codes, and one sentence for every mistake."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from textwrap import dedent

import pytest

from interfaces import cli
from interfaces.cli import COMMANDS, Command, main

FAKE_COMMANDS = """
    from pathlib import Path

    from interfaces.command_line import command_parser, print_json, read_file
    from interfaces.errors import UserError


    def count(argv):
        parser = command_parser("fake count", "Counts the bytes of a file.", figures=True)
        parser.add_argument("file", metavar="FILE", type=Path)
        parser.add_argument("--limit", type=int, default=10)
        args = parser.parse_args(argv)
        content = read_file(args.file, limit_bytes=args.limit)
        if args.json:
            print_json({"bytes": len(content)})
        else:
            print(f"{len(content)} bytes")
        return 0


    def seven(argv):
        return 7


    def refuse(argv):
        raise UserError("no such site: atlantis")


    def interrupt(argv):
        raise KeyboardInterrupt


    def bug(argv):
        raise RuntimeError("a bug")


    def nan(argv):
        print_json({"energy_kwh": float("nan")})
        return 0


    def series(argv):
        raise ModuleNotFoundError("No module named 'pandas.core'", name="pandas.core")


    def broken(argv):
        raise ModuleNotFoundError("No module named 'numpy'", name="numpy")
"""


@pytest.fixture(autouse=True)
def _fake_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the table by commands of a module that really is imported, by its name, from a file."""
    (tmp_path / "fake_commands.py").write_text(dedent(FAKE_COMMANDS))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "fake_commands", raising=False)
    names = ["count", "seven", "refuse", "interrupt", "bug", "nan", "series", "broken"]
    table = [Command(f"fake {name}", f"fake_commands:{name}", f"the {name} command") for name in names]
    table.append(Command("alone", "fake_commands:seven", "a command of one word"))
    table.append(Command("later", "not_shipped.commands:later", "a command of a package that is left out"))
    monkeypatch.setattr(cli, "COMMANDS", tuple(table))


def complaint(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr; nothing may be on stdout."""
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1, captured.err
    assert "Traceback" not in captured.err
    return captured.err.rstrip("\n")


def test_the_exit_code_of_a_command_is_passed_on():
    assert main(["fake", "seven"]) == 7
    assert main(["alone"]) == 7


def test_a_user_error_is_one_sentence_and_exit_code_2(capsys):
    assert main(["fake", "refuse"]) == 2
    assert complaint(capsys) == "no such site: atlantis"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "stroomwacht needs a command, one of: fake count"),
        (["fly"], "stroomwacht knows no command 'fly', only: fake count"),
        (["fly", "high"], "stroomwacht knows no command 'fly', only: fake count"),
        (["fly", "--help"], "stroomwacht knows no command 'fly', only: fake count"),
        (["fake"], "stroomwacht fake needs one word more, one of: fake count"),
        (["fake", "fly"], "stroomwacht knows no command 'fake fly', only: fake count"),
        (["--verbose"], "stroomwacht knows no command '--verbose', only: fake count"),
        (["later"], "stroomwacht knows no command 'later', only: fake count"),
    ],
)
def test_an_unknown_command_is_answered_with_the_known_ones(capsys, words, expected):
    assert main(words) == 2
    assert complaint(capsys).startswith(expected)


def test_only_siblings_are_offered_when_the_first_word_is_known(capsys):
    main(["fake", "fly"])
    assert "alone" not in complaint(capsys)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "stroomwacht fake count: the following arguments are required: FILE"),
        (["f", "--limit", "many"], "stroomwacht fake count: argument --limit: invalid int value: 'many'"),
        (["f", "--spede", "3"], "stroomwacht fake count: unrecognized arguments: --spede 3"),
        (["f", "--lim", "3"], "stroomwacht fake count: unrecognized arguments: --lim 3"),
    ],
)
def test_wrong_arguments_are_one_sentence_and_exit_code_2(capsys, words, expected):
    assert main(["fake", "count", *words]) == 2
    assert complaint(capsys) == expected


@pytest.mark.parametrize("words", [["--json"], []])
def test_a_terminal_that_only_knows_ascii_gets_readable_lines(tmp_path, words):
    file = tmp_path / "site.yaml"
    file.write_text("sité: ≈\n", "utf-8")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "interfaces.cli", "controller", "check", *words, str(file)]
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    assert b"unknown key 'sit\\xe9'" in done.stderr
    if words:
        assert any("'sité'" in problem["message"] for problem in json.loads(done.stdout)["problems"])


def test_a_file_that_cannot_be_read_is_one_sentence(capsys, tmp_path):
    assert main(["fake", "count", str(tmp_path / "absent")]) == 2
    assert complaint(capsys) == f"{tmp_path / 'absent'} cannot be read: No such file or directory"
    assert main(["fake", "count", str(tmp_path)]) == 2
    assert complaint(capsys) == f"{tmp_path} cannot be read: Is a directory"


def test_a_file_above_the_limit_is_not_read(capsys, tmp_path):
    file = tmp_path / "big"
    file.write_bytes(b"x" * 1_000_001)
    assert main(["fake", "count", str(file), "--limit", "1000000"]) == 2
    assert complaint(capsys) == f"{file} is larger than 1 MB and was not read"
    file.write_bytes(b"x" * 1_000_000)
    assert main(["fake", "count", str(file), "--limit", "1000000"]) == 0


def test_json_is_one_object_on_stdout_and_nothing_else(capsys, tmp_path):
    file = tmp_path / "three"
    file.write_bytes(b"abc")
    assert main(["fake", "count", str(file), "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.out == '{"bytes": 3}\n'
    assert captured.err == ""


def test_json_never_carries_a_nan():
    with pytest.raises(ValueError, match="not JSON compliant"):
        main(["fake", "nan"])


def test_ctrl_c_is_130_and_says_nothing(capsys):
    assert main(["fake", "interrupt"]) == 130
    assert capsys.readouterr() == ("", "")


def test_a_bug_keeps_its_traceback():
    with pytest.raises(RuntimeError, match="a bug"):
        main(["fake", "bug"])


def test_a_missing_extra_is_named(capsys):
    assert main(["fake", "series"]) == 2
    expected = "stroomwacht fake series needs pandas, which the extra 'sim' brings: pip install 'stroomwacht[sim]'"
    assert complaint(capsys) == expected


def test_a_missing_plain_dependency_is_a_broken_install_and_no_user_error():
    with pytest.raises(ModuleNotFoundError, match="numpy"):
        main(["fake", "broken"])


def test_help_lists_the_shipped_commands_only(capsys):
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert "fake count" in out
    assert "the count command" in out
    assert "later" not in out
    assert "fake_commands" not in sys.modules, "help must not load any command"


def test_help_of_a_group_and_of_a_command(capsys):
    assert main(["fake", "--help"]) == 0
    out = capsys.readouterr().out
    assert "fake count" in out
    assert "alone" not in out
    assert main(["fake", "count", "--help"]) == 0
    assert "Counts the bytes of a file." in capsys.readouterr().out


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("stroomwacht 0.")


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_shipped_command_of_the_real_table_exists(command):
    if not cli._is_shipped(command):
        pytest.skip(f"{command.target} is not shipped")
    module, _, function = command.target.partition(":")
    assert callable(getattr(import_module(module), function))


def test_names_of_the_real_table_are_unique_and_none_hides_another():
    names = [command.name.split() for command in COMMANDS]
    for name in names:
        assert [other for other in names if other[: len(name)] == name] == [name]


def test_as_a_process_a_mistake_leaves_one_line_on_stderr_and_exit_code_2():
    done = subprocess.run(
        [sys.executable, "-m", "interfaces.cli", "fly"], capture_output=True, text=True, check=False, timeout=180
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [["--help"], ["simulate", "--help"], ["--version"]])
def test_as_a_process_a_closed_pipe_ends_quietly(words):
    """Nobody reads from the first byte on; what is left in a buffer is lost in silence too."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "interfaces.cli", *words],
            stdout=writer, stderr=subprocess.PIPE, text=True, check=False, timeout=180,
            env={**os.environ, "PYTHONUNBUFFERED": ""},
        )  # fmt: skip
    finally:
        os.close(writer)
    assert done.stderr == ""
    assert done.returncode == cli.EXIT_BROKEN_PIPE
