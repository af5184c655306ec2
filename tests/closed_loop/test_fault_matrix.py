"""Every row of the fault catalogue has a test, and the document says so."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from tests.closed_loop.matrix import DOCUMENT, ROOT, ROWS, Proof, Recorder, listed, proofs, render, shown

FOUND = proofs(ROOT / "tests")


def test_the_rows_of_this_part_are_all_there() -> None:
    assert set(ROWS) == {*range(1, 51), *range(66, 78), *range(79, 82)}


@pytest.mark.parametrize("row", ROWS)
def test_every_row_has_a_test(row: int) -> None:
    assert [test.name for test in FOUND if test.row == row]


def test_no_test_bears_the_number_of_an_unknown_row() -> None:
    assert not [test for test in FOUND if test.row not in ROWS]


def test_the_document_lists_exactly_the_tests_there_are() -> None:
    text = DOCUMENT.read_text("utf-8")
    assert listed(text) == {(test.row, test.path, test.name) for test in FOUND}, "run `make faults`"
    for row, (fault, expected) in ROWS.items():
        assert f"| {row} | {fault} | {expected} | {sum(test.row == row for test in FOUND)} |" in text, (
            "run `make faults`"
        )


def test_closed_loop_tests_all_measure_something() -> None:
    """A closed-loop test of a row states its observable; a counter-check of a false alarm has none."""
    text = DOCUMENT.read_text("utf-8")
    silent = [
        test.name for test in FOUND if test.path.startswith("tests/closed_loop") and f"{test.name}`\n  - " not in text
    ]
    assert set(silent) <= {
        "test_row_40_the_right_phase_map_raises_no_alarm",
        "test_row_44_a_steady_load_is_not_a_frozen_meter",
    }


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([(3.0, "s")], "3 s"),
        ([(3.04, "s"), (11.96, "s"), (5.0, "s")], "3.04 to 12 s"),
        ([(0.0, "s"), (0.0, "s")], "0 s"),
        ([(2.0, "")], "2"),
        ([("e0 does not answer", ""), ("e0 does not answer", "")], '"e0 does not answer"'),
    ],
)
def test_figures_are_shown_in_few_digits(values: list[tuple[float | str, str]], text: str) -> None:
    assert shown(values) == text


def report(nodeid: str, *figures: list[object], passed: bool = True, when: str = "call") -> pytest.TestReport:
    properties = [("figure", list(f)) for f in figures]
    return cast(pytest.TestReport, SimpleNamespace(nodeid=nodeid, when=when, passed=passed, user_properties=properties))


def test_figures_of_all_parameters_meet_under_their_test() -> None:
    recorder = Recorder()
    place = "tests/a/test_b.py::test_row_35_x"
    recorder.pytest_runtest_logreport(report(f"{place}[1]", ["paused after", 11.0, "s"]))
    recorder.pytest_runtest_logreport(report(f"{place}[2]", ["paused after", 12.0, "s"], ["alarm", "text", ""]))
    recorder.pytest_runtest_logreport(report(f"{place}[3]", ["paused after", 99.0, "s"], passed=False))
    recorder.pytest_runtest_logreport(report(f"{place}[4]", ["paused after", 99.0, "s"], when="teardown"))
    text = render([Proof(35, "tests/a/test_b.py", "test_row_35_x")], recorder.measured)
    assert '- `tests/a/test_b.py::test_row_35_x`\n  - paused after: 11 to 12 s\n  - alarm: "text"\n' in text
    assert listed(text) == {(35, "tests/a/test_b.py", "test_row_35_x")}
