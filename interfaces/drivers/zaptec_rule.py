"""When the available current of a Zaptec installation is written, and what it may still use: pure.

A setting in the maker's service is not a setpoint in a charger: it arrives late, may be lost on the way, and may be
written seldom. The book remembers what was written and believes the highest of it until lower values were read back and
the chargers have had time. All times monotonic, currents in whole amperes per phase of the installation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from interfaces.domain.units import NEVER_S

RAISE_EVERY_S: Final = 900.0
"""The maker's guidance for ``availableCurrent``: no more than one change in 15 min. Kept by every raise."""
LOWER_EVERY_S: Final = 60.0
"""Lowering protects, so that it does not wait for that; a minute lets one that is on its way settle first. Between two
raises there are never more cuts than whole amperes."""
STEADY_S: Final = 30.0
"""A raise waits until the controller, which raises by 5 A in 5 s, has come to its end: one write instead of six."""
ARRIVES_S: Final = 120.0
"""After a lower value was accepted the chargers are given this long: the service tells them by a message, shows states
up to 15 s old (API fair use policy), and a car follows its pilot in 10 s (IEC 61851-1)."""
HEARD_S: Final = 5.0
"""Orders younger than this may not have reached the driver when it asked: a read-back is dated back by so much."""


@dataclass(frozen=True, slots=True)
class Book:
    """``believed_a``: the highest value that may still be in force after our writes; ``sent_a`` and ``sent_s`` the last
    write and when; ``sure`` whether its acceptance is known; ``above_s`` since when more is wanted.
    """

    believed_a: float = 0.0
    sent_a: int | None = None
    sent_s: float = NEVER_S
    sure: bool = True
    above_s: float = float("inf")


@dataclass(frozen=True, slots=True)
class ReadBack:
    """``offered_a``: what the installation may use now. ``counts``: it answers for the orders before it was asked; not
    while an own offer is on its way down, of which the ledger knows.
    """

    offered_a: float
    counts: bool


def to_write(book: Book, wanted_a: int | None, available_a: float | None, now_s: float) -> tuple[Book, int | None]:
    """The value to write now, if any. ``wanted_a`` None: nobody vouches for an order; ``available_a``: as last read."""
    if wanted_a is None or available_a is None:
        return replace(book, above_s=float("inf")), None
    above = wanted_a > available_a
    book = replace(book, above_s=min(book.above_s, now_s) if above else float("inf"))
    since_s = now_s - book.sent_s
    lower = (wanted_a < available_a or not book.sure) and since_s >= LOWER_EVERY_S
    higher = above and since_s >= RAISE_EVERY_S and now_s - book.above_s >= STEADY_S
    if not book.sure and book.sent_a is not None:
        wanted_a = min(wanted_a, book.sent_a)
    return book, wanted_a if lower or higher else None


def after_write(book: Book, value_a: int, available_a: float, at_s: float, *, accepted: bool) -> Book:
    """The book after a write that began at ``at_s`` and replaces ``available_a``, as last read. One without an answer
    may have been heard all the same.
    """
    believed_a = max(book.believed_a, available_a, value_a)
    return replace(book, believed_a=believed_a, sent_a=value_a, sent_s=at_s, sure=accepted)


def after_read(
    book: Book, available_a: float, allotted_a: float, wanted_a: int | None, asked_s: float
) -> tuple[Book, ReadBack]:
    """The book after a read that began at ``asked_s``: ``available_a`` as the service has it, ``allotted_a`` the most
    that a charging charger says it was given.
    """
    shown_a = max(available_a, allotted_a)
    if book.sent_a is not None:
        arrived = book.sure and asked_s - book.sent_s >= ARRIVES_S and shown_a <= book.sent_a
        book = replace(book, believed_a=float(book.sent_a)) if arrived else book
    own = wanted_a is not None and wanted_a < book.believed_a and shown_a <= book.believed_a
    return book, ReadBack(max(shown_a, book.believed_a), counts=not own)
