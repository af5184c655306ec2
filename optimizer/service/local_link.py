"""A folder as the link to one site: statuses are lines that somebody appends, plans and targets whole files.

``status-YYYY-MM-DD.jsonl`` (UTC days): one status per line; what is older than the forecasts look back is removed.
``wishes.json``: what people want for their sessions, replaced as a whole. ``plan.json`` and ``targets.json``: signed
envelopes where there is a key, else the text itself; written aside, synced and renamed, so that a reader never sees
half of one, whatever ends the writer. After a restart the folder is read again from its beginning.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from interfaces.domain.codec import CodecError, RefusedError
from interfaces.domain.codec_json import from_json, parse_json, to_json
from interfaces.domain.live import LIVE_SCHEMA, LiveStatus
from interfaces.domain.plan import Plan
from interfaces.domain.plan_text import plan_of_text, plan_text
from interfaces.domain.targets import Targets
from interfaces.drivers.signing import SignedKind, Signer
from optimizer.service.memory import KEEP_DAYS
from optimizer.service.port import LinkError, Received, Wish

PLAN_FILE: Final = "plan.json"
TARGETS_FILE: Final = "targets.json"
WISHES_FILE: Final = "wishes.json"
STATUS_PREFIX: Final = "status-"
JOURNAL_FOLDER: Final = "journal"
_SUFFIX: Final = ".jsonl"
CHUNK_BYTES: Final[int] = 1_000_000
"""Read at once; a status of 300 chargers takes a tenth of it. A longer line is none."""
MAX_WISHES_BYTES: Final[int] = 1_000_000

_wishes: Final[TypeAdapter[tuple[Wish, ...]]] = TypeAdapter(tuple[Wish, ...])


def append_status(folder: Path, status: LiveStatus) -> None:
    """Feed the link with one status. A line that an earlier writer left unfinished is closed first.

    Raises:
        OSError: the folder cannot be written.
        ValueError: the status holds NaN or an infinity.
    """
    day = datetime.fromtimestamp(status.epoch_s, UTC).date()
    append_lines(folder / f"{STATUS_PREFIX}{day.isoformat()}{_SUFFIX}", [to_json(status).encode()])


def append_lines(path: Path, lines: Iterable[bytes], *, sync: bool = False) -> None:
    """Append to a file of lines. One that an earlier writer left unfinished is closed first. ``sync``: they are on the
    disk afterwards.

    Raises:
        OSError: the file cannot be written.
    """
    new = b"".join(line + b"\n" for line in lines)
    with path.open("ab+") as file:
        size = file.seek(0, os.SEEK_END)
        if size:
            file.seek(size - 1)
            new = new if file.read(1) == b"\n" else b"\n" + new
        file.write(new)
        if sync:
            file.flush()
            os.fsync(file.fileno())


def write_whole(path: Path, payload: bytes) -> None:
    """Replace a file; at every moment there is the old one or the new one, whole, also after a power failure.

    Raises:
        OSError: the folder cannot be written.
    """
    aside = path.with_name(f".{path.name}.new")
    with aside.open("wb") as file:
        file.write(payload)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class LocalLink:
    """The link of ``site`` over ``folder``, which is made when it is not there. ``signer`` None: nothing is signed."""

    def __init__(self, folder: Path, site: str, signer: Signer | None = None) -> None:
        self._folder, self._site, self._signer = folder, site, signer
        self._day = ""
        self._offset = 0
        self._left = "", 0
        self._wishes_stamp: tuple[int, int] | None = None

    def expect_window(self, window: str) -> LinkError | None:
        """A window of the journal is asked for: from now on its pieces are taken."""
        try:
            (self._folder / JOURNAL_FOLDER / window).mkdir(parents=True)
        except OSError as error:
            return LinkError(f"{self._folder} cannot be written: {error.strerror or error}")
        return None

    def forget_window(self, window: str) -> None:
        """It will not come: nothing of it is taken. What has come stays."""
        with suppress(OSError):
            (self._folder / JOURNAL_FOLDER / window).rmdir()

    def read(self) -> Received | LinkError:
        """The next megabyte of statuses at most, and the wishes where their file has changed."""
        try:
            if not self._folder.is_dir():
                self._folder.mkdir(parents=True)
            days = self._days()
            wishes, problem = self._changed_wishes()
            found = self._lines_of_yesterday() or self._next_lines(days)
        except OSError as error:
            return LinkError(f"{self._folder} cannot be read: {error.strerror or error}")
        if found is None:
            return Received(wishes=wishes, problem=problem, skipped=int(bool(problem)))
        lines, skipped, more = found
        statuses = []
        for line in lines:
            status = self._status(line)
            if isinstance(status, LiveStatus):
                statuses.append(status)
            else:
                skipped, problem = skipped + 1, problem or status
        if skipped and not problem:
            problem = "an unfinished line"
        return Received(tuple(statuses), wishes, skipped, problem, more)

    def send_plan(self, plan: Plan) -> LinkError | None:
        """Replace the plan."""
        return self._send(PLAN_FILE, "plan", plan_text(plan))

    def send_targets(self, targets: Targets) -> LinkError | None:
        """Replace targets and prices."""
        return self._send(TARGETS_FILE, "targets", to_json(targets))

    def last_plan(self) -> Plan | None:
        """As in the file. Its signature is not looked at: it may be of an older key, and it is we who wrote it."""
        try:
            raw = parse_json((self._folder / PLAN_FILE).read_bytes())
            if isinstance(raw, dict) and isinstance(raw.get("body"), str):
                found = plan_of_text(raw["body"], str(raw.get("key_id", "")))
            else:
                found = plan_of_text((self._folder / PLAN_FILE).read_bytes(), "")
        except (OSError, RefusedError):
            return None
        return found if isinstance(found, Plan) and found.site == self._site else None

    def _send(self, name: str, kind: SignedKind, body: str) -> LinkError | None:
        payload = body.encode() if self._signer is None else self._signer.sign(kind, body)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_whole(self._folder / name, payload)
        except OSError as error:
            return LinkError(f"{self._folder / name} cannot be written: {error.strerror or error}")
        return None

    def _days(self) -> list[str]:
        """Names of the day files in order; those beyond the memory of the forecasts are removed."""
        names = sorted(path.name for path in self._folder.glob(f"{STATUS_PREFIX}*{_SUFFIX}") if _day_of(path.name))
        newest = _day_of(names[-1]) if names else None
        if newest is None:
            return []
        oldest = newest - timedelta(days=KEEP_DAYS)
        for name in names:
            if (_day_of(name) or newest) < oldest:
                with suppress(OSError):
                    (self._folder / name).unlink()
        return [name for name in names if (_day_of(name) or oldest) >= oldest]

    def _next_lines(self, days: list[str]) -> tuple[list[bytes], int, bool] | None:
        """Whole lines, how many unusable pieces were passed over, and whether there is more; None without any file."""
        name = next((day for day in days if day >= self._day), None)
        if name is None:
            return None
        if name != self._day:
            self._day, self._offset = name, 0
        with (self._folder / name).open("rb") as file:
            if os.fstat(file.fileno()).st_size < self._offset:
                self._offset = 0  # somebody replaced the file: what is known already is passed over by its time
            file.seek(self._offset)
            data = file.read(CHUNK_BYTES)
        whole = data.rfind(b"\n") + 1
        full, last = len(data) == CHUNK_BYTES, name == days[-1]
        skipped = 0
        if full and not whole:
            whole, skipped, data = len(data), 1, b""
        self._offset += whole
        if not full and not last:  # the day is over: what has no end will not get one
            skipped = int(whole < len(data))
            self._left = name, self._offset - whole + len(data)
            self._day, self._offset = days[days.index(name) + 1], 0
        return _lines(data[:whole]), skipped, full or not last

    def _lines_of_yesterday(self) -> tuple[list[bytes], int, bool] | None:
        """What a clock that was set back past midnight has added to the day that was over; None for nothing."""
        name, size = self._left
        path = self._folder / name
        if not name or not path.is_file() or path.stat().st_size <= size:
            return None
        with path.open("rb") as file:
            file.seek(size)
            data = file.read(CHUNK_BYTES)
        whole = data.rfind(b"\n") + 1
        self._left = name, size + whole
        return (_lines(data[:whole]), 0, len(data) == CHUNK_BYTES) if whole else None

    def _status(self, line: bytes) -> LiveStatus | str:
        status = from_json(line, LiveStatus)
        if isinstance(status, CodecError):
            return str(status)
        if status.schema != LIVE_SCHEMA:
            return f"status schema {status.schema} is not {LIVE_SCHEMA}"
        return status if status.site == self._site else f"a status of the site {status.site[:64]!r}"

    def _changed_wishes(self) -> tuple[tuple[Wish, ...] | None, str]:
        """The wishes where the file is another one than at the last look, and why they cannot be read."""
        path = self._folder / WISHES_FILE
        try:
            told = path.stat()
        except FileNotFoundError:
            had, self._wishes_stamp = self._wishes_stamp, None
            return (() if had is not None else None), ""
        stamp = told.st_mtime_ns, told.st_size
        if stamp == self._wishes_stamp:
            return None, ""
        self._wishes_stamp = stamp
        if told.st_size > MAX_WISHES_BYTES:
            return None, f"{WISHES_FILE} is larger than {MAX_WISHES_BYTES / 1_000_000:g} MB"
        try:
            return _wishes.validate_json(path.read_bytes(), strict=True), ""
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            return None, f"{WISHES_FILE}: {'.'.join(map(str, first['loc']))}: {first['msg']}"


def _lines(data: bytes) -> list[bytes]:
    return [line for line in data.split(b"\n") if line.strip()]


def _day_of(name: str) -> date | None:
    try:
        return date.fromisoformat(name.removeprefix(STATUS_PREFIX).removesuffix(_SUFFIX))
    except ValueError:
        return None
