"""Whatever a person, a broken disk or an attacker makes of a site file: a site or problems, never an exception."""

from __future__ import annotations

import copy
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from interfaces.domain.site_file import SiteResult, topology_of
from interfaces.domain.site_yaml import read_yaml
from tests.interfaces.domain.site_texts import EXTRA_CHARGER, FACTS, GARAGE, MORE, garage, load

BASE = garage((MORE, "\n" + EXTRA_CHARGER + MORE))
LINES = BASE.splitlines()
DATA: Any = read_yaml(BASE).value

ODD: st.SearchStrategy[Any] = st.sampled_from(
    [
        None, True, False, 0, -1, 1, 16, 10**30, 1.5, -0.0, 1e308, "", " ", "x", "gcp", "garage", "m-main", "place-1",
        "webasto_live", "cg_em500", "L1", "NO", "é\u2028", "a" * 500, [], {}, [[]], [0, 0, 0], ["L1"], [16, 16, 16],
        {"rtu": "/dev/ttyUSB0", "unit": 1}, {"host": "192.168.1.20"}, {"gateway": "192.168.1.20", "unit": 1},
        {"kind": "mcb", "curve": "B", "rated_a": 1}, {"kind": "gG"}, {"current_a": 0, "timeout_s": 60},
    ]
)  # fmt: skip
PIECES = st.sampled_from(
    ["[", "]", "{", "}", ": ", "- ", "&a ", "*a", "!!x ", "'", '"', "#", "\t", "\n", "---\n", "...\n", "|", ">", "? ",
     ", ", "%", "@", "0", "-", ".nan", "~", "\x00", "\u2028", "\ufeff", "\ud800", "<<: ", "rated_a", "parent: garage"]
)  # fmt: skip


def judged(text: str) -> SiteResult:
    """What must hold for every text."""
    result = load(text)
    assert (result.site is None) == bool(result.problems)
    lines = text.count("\n") + 2
    for problem in (*result.problems, *result.warnings):
        assert 1 <= problem.line <= lines
        assert problem.path
        assert problem.message
    if result.site is not None:
        topology = topology_of(result.site, FACTS)
        assert topology.c == len(result.site.circuits)
    return result


@settings(max_examples=400)
@given(st.data())
def test_text_with_anything_put_in_or_taken_out(data):
    text = BASE
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        cut = data.draw(st.sampled_from([0, 0, 1, 2, 10, 200]))
        text = text[:at] + data.draw(PIECES) + text[at + cut :]
    judged(text)


@settings(max_examples=200)
@given(st.lists(st.integers(0, len(LINES) - 1), max_size=80))
def test_lines_shuffled_and_doubled(order):
    judged("\n".join(LINES[k] for k in order))


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in items for place in places(item, (*path, key)))]


PLACES = [place for place in places(DATA) if place]


@settings(max_examples=300)
@given(st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(["set", "drop", "add", "copy"]), ODD), max_size=5))
def test_values_replaced_dropped_added_and_copied(changes):
    """Well-formed YAML with wrong, missing, extra and repeated values anywhere."""
    data = copy.deepcopy(DATA)
    for place, what, odd in changes:
        holder: Any = data
        try:
            for part in place[:-1]:
                holder = holder[part]
            if what == "set":
                holder[place[-1]] = odd
            elif what == "drop":
                del holder[place[-1]]
            elif what == "add":
                holder[place[-1]][str(odd)[:20]] = odd
            else:
                holder.append(copy.deepcopy(holder[place[-1]]))
        except (KeyError, IndexError, TypeError, AttributeError):
            continue  # an earlier change took the place away
    judged(yaml.safe_dump(data, sort_keys=False, allow_unicode=True))


def test_the_base_of_these_mutations_is_a_good_file():
    assert judged(BASE).site is not None
    assert judged(GARAGE).site is not None
    assert judged(yaml.safe_dump(DATA, sort_keys=False)).site is not None
