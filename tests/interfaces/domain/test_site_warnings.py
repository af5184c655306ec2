"""Standing warnings: the file is accepted, and somebody should know."""

from __future__ import annotations

import pytest

from tests.interfaces.domain.site_texts import EXTRA_CHARGER, MORE, garage, line_of, load

ACCEPTED = "chargers[1].accept_unverified_failsafe"
CASES = {
    "a meter nobody uses": (
        garage(("\nchargers:", "  - {id: m2, profile: tcp_meter, modbus: {host: m2}}\n\nchargers:")),
        "{id: m2",
        "meters[1]",
        "no circuit uses the meter 'm2'",
    ),
    "a metered circuit without worst case": (
        garage(("    background_max_a: [40, 40, 40]  # worst case when the meter is lost\n", "")),
        "id: gcp",
        "circuits[0]",
        "the worst its history knows",
    ),
    "no fuse at the grid connection": (
        garage(("    protection: {kind: gG, rated_a: 63}\n", "")),
        "id: gcp",
        "circuits[0]",
        "names no protective device",
    ),
    "an acceptance that is not needed": (
        garage(
            (
                MORE,
                "\n" + EXTRA_CHARGER + "    accept_unverified_failsafe: looked at it\n" + MORE,
            )
        ),
        "accept_unverified_failsafe: looked",
        "chargers[2].accept_unverified_failsafe",
        "remove this line",
    ),
    "an EVSE that can never charge": (
        garage(
            ("tier: 1, spot: P1}", "tier: 1, spot: P1, min_current_a: 10}"),
            ("    parent: gcp\n", "    parent: gcp\n    margin_a: [31, 31, 31]\n"),
        ),
        "{id: place-1,",
        "chargers[1].evses[0]",
        "can never charge: circuit 'garage' leaves 9 A at best and a car needs 10 A",
    ),
    "sub-circuits with more background than the circuit above": (
        garage(
            ("background_max_a: [40, 40, 40]", "background_max_a: [20, 20, 20]"),
            ("background_max_a: [0, 0, 0]", "background_max_a: [21, 0, 0]"),
        ),
        "background_max_a: [20",
        "circuits[0].background_max_a",
        "right only if they never peak together",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_warned(name):
    text, piece, path, words = CASES[name]
    result = load(text)
    assert result.problems == ()
    warnings = {warning.path: warning for warning in result.warnings}
    assert set(warnings) == {path, ACCEPTED}
    assert warnings[path].line == line_of(text, piece)
    assert words in warnings[path].message


def test_an_accepted_failsafe_stands_as_a_warning_with_its_reason():
    (warning,) = load(garage()).warnings
    assert (warning.path, warning.line) == (ACCEPTED, line_of(garage(), "    accept_unverified"))
    assert warning.message == (
        "'place-1' cannot prove its failsafe; 0 A is believed because: "
        "installer: station fused at 16 A, included in the worst case"
    )


def test_without_a_meter_nobody_would_notice_so_it_is_refused():
    text = garage(
        ("background_max_a: [40, 40, 40]", "background_max_a: [20, 20, 20]"),
        ("background_max_a: [0, 0, 0]", "background_max_a: [21, 0, 0]"),
        ("    meter: m-main\n", ""),
    )
    assert [(problem.path, problem.line) for problem in load(text).problems] == [
        ("circuits[0].background_max_a", line_of(text, "background_max_a: [20"))
    ]
