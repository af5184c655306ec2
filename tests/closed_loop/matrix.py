"""The fault matrix: which test covers which row of the fault catalogue, and what it measured.

A test belongs to a row by its name, ``test_row_NN_...``, wherever it lives; what it measures it says through the
fixture ``figure``. ``python -m tests.closed_loop.matrix`` runs all of them and writes ``docs/fault-matrix.md``.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
DOCUMENT: Final = ROOT / "docs" / "fault-matrix.md"
NAME: Final = re.compile(r"test_row_(\d+)_(\w+)")
ROWS: Final[dict[int, tuple[str, str]]] = {
    1: (
        "cloud broker down",
        "the plan runs to the end of its lease, then the site's own rules; the newest plan when it is back",
    ),
    2: ("broker frozen", "noticed after twice the keepalive; the plan's lease decides meanwhile"),
    3: ("connection half open", "noticed after twice the keepalive; made anew"),
    4: ("names are not resolved, or slowly", "one thread waits; everything else goes on"),
    5: ("broker restarts under five thousand clients", "they come back spread out, all within 5 minutes"),
    6: ("client certificate expired", "refused and named; warned of 30 days ahead"),
    7: ("wrong authority, wrong host name, TLS 1.1, plain text", "refused; no fall-back"),
    8: ("controller's certificate revoked", "refused at its next connection, and told why"),
    9: ("publish denied by the broker's rules", "told by its reason code"),
    10: ("two boxes with one client id", "named when they throw each other out more than 3 times a minute"),
    11: ("recorded plan played again", "refused: its number is not above the last; the very same one may come again"),
    12: ("forged plan or message: no key, another key, another site", "refused and counted; nobody else notices"),
    13: (
        "retained plan of long ago",
        "the broker drops it with its lease; a site that gets it all the same refuses it",
    ),
    14: ("backlog delivered oldest first", "the newest valid plan by its number, or the local rules"),
    15: ("NaN, infinities, huge numbers, double keys in a message", "refused whole; the last good one stays"),
    16: ("2 MB, ten thousand levels, a flood of messages", "refused unread, bounded; the scan notices nothing"),
    17: ("forged will, poisoned state", "informs nobody but people; decides nothing"),
    18: ("plan from the future, or one clock ahead", "waits or is refused, and said so; never used early"),
    19: ("optimizer's worker killed or hanging in the middle of a solve", "another one plans the site within a period"),
    20: ("two workers plan one site", "one sequence, in order; the later answer to an older problem is dropped"),
    21: ("optimizer answers in the wrong unit, or nonsense", "refused where it cannot be meant, clipped where it can"),
    22: ("the broker's disk is full", "it says so and goes on; sites have their plans"),
    23: ("losses and gaps on the link", "plans and telemetry come late; no overload, no alternation"),
    24: ("messages doubled, or in another order", "each counts once"),
    25: ("charger refuses its connection", "its worst case stays reserved; the others notice nothing"),
    26: ("charger accepts and never answers", "at most one time-out of 0.5 s each; the round of the bus stays bounded"),
    27: ("charger drips its reply byte by byte", "time-out, then a new connection"),
    28: ("reply of the previous request comes late", "dropped"),
    29: ("reply too long, too short, of another function or unit, transaction 0", "refused"),
    30: ("flipped bits in values", "kept out by range and change; a real jump is believed at its second reading"),
    31: ("bursts of exception replies", "quality bad; the last good reading keeps its time"),
    32: ("write acknowledged, not applied", "found by read-back and effect; pause; alarm"),
    33: ("charger restarts without watchdog and failsafe", "provisioned again before anything is offered"),
    34: ("failsafe current above the share", "refused at commissioning"),
    35: ("car ignores a decrease", "paused after 10 s, second path after 17 s"),
    36: ("car draws 10 % more than offered", "learned and counted; the others make room"),
    37: ("car sleeps in B2 and wakes at its maximum", "counts with its offer all the time"),
    38: ("car never resumes after 0 A", "reported; never_pause keeps its minimum"),
    39: ("one-phase cars on L1 everywhere", "limit per phase; L2 and L3 untouched"),
    40: ("wrong phase map", "found by comparing steps; the car counts on all three phases"),
    41: ("contactor welded", "alarm; counted at what it draws; trip ordered"),
    42: ("phase switch under load", "impossible"),
    43: ("20 cars plug in within 1 s", "admitted one after the other inside the budget"),
    44: ("grid meter frozen", "found within 10 s; worst case; trusted after 60 good seconds"),
    45: ("meter reversed or transformers swapped", "a car that draws more must show as import, else worst case"),
    46: ("meter jumps, NaN, overflow", "refused at the border; inside it only ever lowers"),
    47: ("60 A more base load", "lowered in the scan after the sample; back within 14 s; below 0.3 of the fuse"),
    48: ("voltage sags to 180 V", "amperes hold; a power limit lifts no current above them"),
    49: ("100 kW of PV vanish in 1 s", "as 47"),
    50: ("battery refuses or is too hot", "nothing overloaded; sessions go on"),
    66: (
        "wall clock jumps: an hour, 2106, summer time",
        "commands and leases unchanged; plans wait for a steady clock",
    ),
    67: ("no time server for 30 days", "flagged; coarse tariffs; in the end not used"),
    68: ("scans too late", "counted; three in a row stop raises"),
    69: ("exception in the logic", "failsafe outputs until ten good scans; one charger's nonsense costs no other"),
    70: ("hung scan", "chargers stop hearing from us; restarted within seconds"),
    71: ("crash loop", "ends in the chargers' failsafe; off times survive"),
    72: ("power cut while memory is written", "this record or the one before, never half"),
    73: ("disk full, read-only, slow", "the scan goes on"),
    74: ("memory leak", "bounded; restarted; alarm"),
    75: ("no file descriptors left", "bounded sockets; alarm"),
    76: ("flood of errors", "a few lines and a count"),
    77: ("site file with limit above fuse, one address twice, shares above the circuit", "refused with a reason"),
    79: ("another version of the contract on the other side", "unknown major version refused; both go on alone"),
    80: ("unknown or copied RFID tag", "the site's rule decides; a tag in use counts once"),
    81: ("departure in the past, in 5 minutes, in a year; 400 %", "clamped and told; nobody else goes short for it"),
}
"""Row: the fault, what must happen. Rows of the other parts of the product join with them."""

HEAD: Final = """# Fault matrix

Written by `make faults`: do not edit. Each row is a fault that is injected, what must happen, the tests that prove it,
and what they measured. A range is that of several cars, seeds or devices.

| row | fault | what must happen | tests |
|---|---|---|---|
"""


@dataclass(frozen=True, slots=True, order=True)
class Proof:
    """One test of a row."""

    row: int
    path: str
    name: str


Measured = dict[str, list[tuple[float | str, str]]]
"""What was measured -> values with their unit."""


def proofs(folder: Path) -> tuple[Proof, ...]:
    """All tests below a folder that bear the number of a row."""
    found: list[Proof] = []
    for path in sorted(folder.rglob("test_*.py")):
        place = path.relative_to(ROOT).as_posix()
        tree = ast.walk(ast.parse(path.read_text("utf-8")))
        names = [node.name for node in tree if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        found.extend(Proof(int(match[1]), place, name) for name in names if (match := NAME.fullmatch(name)))
    return tuple(sorted(found))


@dataclass
class Recorder:
    """A pytest plugin that keeps the figures of every test that passed."""

    measured: dict[tuple[str, str], Measured] = field(default_factory=dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called by pytest, in the main process also for tests of its workers."""
        if report.when != "call" or not report.passed:
            return
        path, _, name = report.nodeid.partition("::")
        own = self.measured.setdefault((path, name.partition("[")[0]), {})
        for key, value in report.user_properties:
            if key == "figure" and isinstance(value, list | tuple):
                what, amount, unit = value
                own.setdefault(str(what), []).append((amount, str(unit)))


def shown(values: Iterable[tuple[float | str, str]]) -> str:
    """Values in few digits: a text, one number, or the range of several."""
    listed = list(values)
    numbers = [amount for amount, _ in listed if not isinstance(amount, str)]
    if not numbers:
        return "; ".join(f'"{text}"' for text in dict.fromkeys(str(amount) for amount, _ in listed))
    low, high = (f"{amount:.3g}" for amount in (min(numbers), max(numbers)))
    unit = listed[0][1]
    return f"{low if low == high else f'{low} to {high}'} {unit}".strip()


def render(tests: Iterable[Proof], measured: Mapping[tuple[str, str], Measured]) -> str:
    """The document."""
    by_row: dict[int, list[Proof]] = {row: [] for row in ROWS}
    for test in tests:
        by_row.setdefault(test.row, []).append(test)
    lines = [f"| {row} | {ROWS[row][0]} | {ROWS[row][1]} | {len(by_row[row])} |" for row in ROWS]
    for row, (fault, expected) in ROWS.items():
        lines += ["", f"## {row}: {fault}", "", f"Expected: {expected}.", ""]
        for test in by_row[row]:
            lines.append(f"- `{test.path}::{test.name}`")
            figures = measured.get((test.path, test.name), {})
            lines += [f"  - {what}: {shown(values)}" for what, values in figures.items()]
    return HEAD + "\n".join(lines) + "\n"


def listed(document: str) -> set[tuple[int, str, str]]:
    """(row, path, name) of every test the document names under its row."""
    found: set[tuple[int, str, str]] = set()
    row = -1
    for line in document.splitlines():
        if match := re.match(r"## (\d+): ", line):
            row = int(match[1])
        elif match := re.fullmatch(r"- `(\S+)::(\S+)`", line):
            found.add((row, match[1], match[2]))
    return found


def main() -> int:
    """Run every test of a row; write the document when all passed."""
    tests = proofs(ROOT / "tests")
    recorder = Recorder()
    chosen = [f"{ROOT / path}::{name}" for _, path, name in sorted({(t.row, t.path, t.name) for t in tests})]
    code = int(pytest.main(["-q", "--no-header", "-p", "no:cacheprovider", f"--rootdir={ROOT}", *chosen], [recorder]))
    if code == 0:
        DOCUMENT.write_text(render(tests, recorder.measured), "utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())
