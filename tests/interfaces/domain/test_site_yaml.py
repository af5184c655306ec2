"""Reading YAML: values, lines, and everything that is refused before a type is looked at."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interfaces.domain.site_yaml import MAX_DEPTH, read_yaml, shown


def test_values_and_lines():
    document = read_yaml("a: 1\nb: [1, 2.5, .5, 1e3, -4]\nc:\n  - d: text\n    e: {f: ~}\n  - 'quoted'\n")
    assert document.value == {"a": 1, "b": [1, 2.5, 0.5, 1000.0, -4], "c": [{"d": "text", "e": {"f": None}}, "quoted"]}
    assert document.problems == ()
    assert document.lines[("a",)] == 1
    assert document.lines[("b", 3)] == 2
    assert document.lines[("c", 0)] == 4
    assert document.lines[("c", 0, "e", "f")] == 5
    assert document.lines[("c", 1)] == 6
    assert document.line_of(("c", 0, "missing", "deeper")) == 4


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NO", "NO"),
        ("yes", "yes"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("12:30", "12:30"),
        ("1_000", "1_000"),
        ("0x10", "0x10"),
        ("010", 10),
        ("+3", 3),
        ("'3'", "3"),
        ('"true"', "true"),
        ("null", None),
        ("2025-03-01", "2025-03-01"),
        ("9" * 41, "9" * 41),
    ],
)
def test_scalars_mean_what_they_look_like(text, value):
    found = read_yaml(f"a: {text}").value
    assert isinstance(found, dict)
    assert found["a"] == value
    assert type(found["a"]) is type(value)


@pytest.mark.parametrize("text", [".nan", ".inf", "-.INF", "1e999", "-1e999"])
def test_numbers_are_finite(text):
    document = read_yaml(f"x: 1\na: {text}\n")
    assert [(problem.line, problem.path) for problem in document.problems] == [(2, "a")]
    assert "not a finite number" in document.problems[0].message


def test_a_key_given_twice_keeps_the_first_and_names_both_lines():
    document = read_yaml("a: {b: 1}\nc: 2\na: {b: 3}\n")
    assert document.value == {"a": {"b": 1}, "c": 2}
    assert [(problem.line, problem.path) for problem in document.problems] == [(3, "a")]
    assert "line 1" in document.problems[0].message
    assert document.lines[("a", "b")] == 1


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\nb: [", 3),
        ("a: 1\n b: 2", 2),
        ("a: 'x", 1),
        ("\t- a", 1),
        ("a: b: c", 1),
        ("%YAML 9.9\n---\na: 1", 1),
        ("a: \x00", 1),
        ("\ud800", 1),
        ("? [a]\n: b", 1),
        ("*x : 1", 1),
        ("a: 1\n---\nb: 2", 2),
    ],
)
def test_what_cannot_be_read_is_one_place(text, line):
    document = read_yaml(text)
    assert not document.complete
    assert document.problems[0].line == line


def test_an_alias_bomb_costs_a_refusal_per_line():
    text = "a: &a [x, x]\n" + "".join(f"{k}: &{k} [*{j}, *{j}]\n" for j, k in zip("abcdefgh", "bcdefghi", strict=True))
    document = read_yaml(text)
    assert {problem.line for problem in document.problems} == set(range(1, 10))
    assert document.value == {"a": ["x", "x"]} | {k: [None, None] for k in "bcdefghi"}


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_depth_is_bounded_without_recursion(opening):
    assert read_yaml("[" * MAX_DEPTH + "]" * MAX_DEPTH).problems == ()
    document = read_yaml(opening * 20_000)
    assert not document.complete
    assert f"deeper than {MAX_DEPTH} levels" in document.problems[0].message


def test_paths_are_shown_as_people_write_them():
    assert shown(("chargers", 2, "evses", 0, "phases")) == "chargers[2].evses[0].phases"
    assert shown(()) == "file"


@given(st.text(max_size=300))
def test_no_text_raises(text):
    document = read_yaml(text)
    assert document.complete or document.problems


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.text("aZ 0:-#'\"é~,[]{}&*!%@`", max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", min_size=1, max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(JSON_VALUES)
def test_json_reads_as_itself(value):
    """JSON is YAML: what is nested no deeper than allowed comes back as it was written."""
    document = read_yaml(json.dumps({"a": value}, ensure_ascii=False))
    if document.complete:
        assert document.value == {"a": value}
        assert document.problems == ()
    else:
        assert "deeper" in document.problems[0].message
