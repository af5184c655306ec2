"""Who holds the setpoint: patterns of read-backs, told apart value by value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interfaces.drivers.contest import CALM_S, Contest, shown, told


def played(*events: str, failsafe: int | None = 6000) -> Contest:
    """``w10``: 10 A written and acknowledged; ``r10``: 10 A read back; ``t70``: so many seconds pass. A second each."""
    contest, now_s, held, target = Contest(), 0.0, None, None
    for event in events:
        number = int(event[1:])
        now_s += number if event[0] == "t" else 1.0
        if event[0] == "w":
            target = number * 1000
            contest = told(contest, target, held)
        elif event[0] == "r":
            held = number * 1000
            contest = shown(contest, held, applied=held == target, unit="A", now_s=now_s, failsafe=failsafe)
    return contest


@pytest.mark.parametrize(
    ("events", "kind"),
    [
        ("w10 r10 w10 r10", ""),
        ("w10 r0", "ignored"),
        ("w10 r0 w10 r10", ""),
        ("w10 r0 w10 r0 w10 r0", "ignored"),  # nothing says that it was 0 before: it may have a limit of its own
        ("w6 r6 w10 r6 w10 r6 w10 r6", "dropped"),
        ("w6 r6 w10 r6 w10 r6 w10 r6 w10 r10", ""),
        ("w0 r16 w0 r16 w0 r16", "dropped"),
        ("w16 r10 w16 r10 w16 r10 w16 r10", "ignored"),
        ("w6 r6 w16 r16 r6", "fell_back"),
        ("w10 r10 r0 w10 r10 r0", "set_back"),
        ("w10 r10 r0 r0 r0 r0", "fell_back"),  # one event, looked at often
        ("w10 r10 r6 w10 r10 r6 w10 r10 r6", "fell_back"),  # its failsafe current, every time
        ("w0 r0 w10 r10 r25", "fell_back"),
        ("r0 w5 r5 w10 r10 r0 w10 r10 r25", "two_masters"),
        ("w10 r10 r25 w10 r10 r20", "two_masters"),
        ("w10 r10 r25 w10 r10 r20 w10 r10", "two_masters"),
        ("w10 r10 r25 w10 r10 r20 w10 r10 t30 r10", "two_masters"),
        ("w10 r10 r25 w10 r10 r20 w10 r10 t70 r10", ""),
        ("w10 r10 r25 w10 r10 r20 w8 r10", "two_masters"),  # who was found to meddle stays found
    ],
)
def test_patterns(events, kind):
    assert played(*events.split()).kind == kind


def test_sentences_say_both_values():
    assert "read back 0 A after 10 A" in played("w10", "r10", "r0", "w10", "r10", "r0").problem
    assert "10 A was written and shown, then it held 20 A" in played("w10", "r10", "r25", "w10", "r10", "r20").problem
    assert played("w10", "r10").problem == ""


@given(st.lists(st.sampled_from(["w0", "w6", "w10", "w16", "r0", "r6", "r10", "r16", "r25", "t1", "t30"]), max_size=40))
def test_any_history_ends_in_peace_when_the_device_holds_what_it_was_told(events):
    contest = played(*events, "w13", "r13", f"t{CALM_S:.0f}", "r13")
    assert (contest.kind, contest.problem) == ("", "")


@given(st.lists(st.sampled_from(["w0", "w6", "w10", "r0", "r6", "r10", "r25", "t1"]), max_size=40))
def test_kind_and_sentence_come_together(events):
    contest = played(*events)
    assert bool(contest.kind) == bool(contest.problem)
