"""The record of a commissioning: JSON that a machine can check, and HTML that an electrician can read and file.

Both are made from the same findings and nothing else, so that the same record gives the same bytes. The SHA-256 is of
the canonical JSON of ``record`` (sorted keys, no blanks, UTF-8); the HTML shows it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any, Final

from controller.core.commission import EvseRecord, Finding
from controller.core.commission_judge import judge
from controller.service.setup_steps import SetUp, set_ups_plain
from interfaces.errors import UserError

NO_ANSWER: Final = "no_connection"
DIGITS: Final = 3
WORDS: Final[Mapping[str, str]] = {
    "ok": "in order", "note": "note", "fault": "FAULT", "not_tested": "not tested"
}  # fmt: skip
STYLE: Final = (
    "body{font:15px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#111;background:#fff}"
    "table{border-collapse:collapse;width:100%}td,th{border:1px solid #999;padding:.3em .6em;text-align:left;"
    "vertical-align:top}.fault{font-weight:bold;background:#fdd}.not_tested{background:#eee}.do{font-style:italic}"
    "code{word-break:break-all}"
)


@dataclass(frozen=True, slots=True)
class Header:
    """Who, where, when, with what. ``epoch_s``: UTC."""

    site: str
    topology_version: str
    software: str
    installer: str
    epoch_s: float


@dataclass(frozen=True, slots=True)
class Record:
    """Everything of one run. ``content`` is plain data; ``sha256`` of its canonical JSON."""

    content: Mapping[str, Any]
    sha256: str

    @property
    def faults(self) -> int:
        """How many findings are faults."""
        return sum(one["verdict"] == "fault" for part in self.content["evses"] for one in part["findings"])


def record_of(header: Header, records: Sequence[EvseRecord], new: Sequence[SetUp] = ()) -> Record:
    """The record of a run: findings in words first, then every step in figures. ``new``: what had to be set on devices
    that no earlier record has.
    """
    judged = [(one, judge(one)) for one in records]
    silent = {one.plan.device for one, found in judged if any(each.code == NO_ANSWER for each in found)}
    content = {
        "kind": "stroomwacht commissioning",
        "format": 1,
        "site": header.site,
        "topology_version": header.topology_version,
        "software": header.software,
        "installer": header.installer,
        "date": datetime.fromtimestamp(int(header.epoch_s), UTC).isoformat().replace("+00:00", "Z"),
        "result": result_of([finding for _, found in judged for finding in found]),
        "devices": sorted({one.plan.device for one in records} - silent),
        "setup_on_device": set_ups_plain(new),
        "evses": [
            {"evse": one.plan.evse, "findings": [asdict(finding) for finding in found], "seen": _plain(asdict(one))}
            for one, found in judged
        ],
    }
    return Record(content, sha256_of(content))


def result_of(findings: Sequence[Finding]) -> str:
    """One word for the whole: faults, incomplete (something was not tested), or passed."""
    verdicts = {finding.verdict for finding in findings}
    return "faults" if "fault" in verdicts else "incomplete" if "not_tested" in verdicts else "passed"


def canonical(content: Mapping[str, Any]) -> bytes:
    """The one way to write a record down. ValueError for NaN."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def sha256_of(content: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON, hexadecimal."""
    return hashlib.sha256(canonical(content)).hexdigest()


def html_of(record: Record) -> str:
    """The record as one page without scripts or anything from outside."""
    content = record.content
    facts = {
        "Site": content["site"],
        "Date (UTC)": content["date"],
        "Installer": content["installer"] or "not named",
        "Software": f"stroomwacht {content['software']}",
        "Topology": content["topology_version"],
        "Result": content["result"],
    }
    head = "".join(f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>" for name, value in facts.items())
    parts = "".join(_part(part) for part in content["evses"])
    steps = "".join(_set_up(one) for one in content["setup_on_device"])
    title = escape(f"Commissioning of {content['site']}")
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{STYLE}</style></head>\n<body><h1>{title}</h1>\n<table>{head}</table>\n{steps}{parts}"
        f"<p>SHA-256 of the record: <code>{record.sha256}</code></p>\n"
        "<p>Signature of the installer: ______________________________</p></body></html>\n"
    )


def _part(part: Mapping[str, Any]) -> str:
    rows = "".join(
        f'<tr class="{escape(one["verdict"])}"><td>{escape(WORDS[one["verdict"]])}</td><td>{escape(one["subject"])}'
        f"</td><td>{escape(one['says'])}{_do(one['do'])}</td></tr>\n"
        for one in part["findings"]
    )
    return (
        f"<h2>{escape(part['evse'])}</h2>\n<table><tr><th>Result</th><th>Where</th><th>What</th></tr>\n{rows}</table>\n"
    )


def _set_up(one: Mapping[str, Any]) -> str:
    """The steps of one make, to be ticked off by hand."""
    steps = "".join(f"<li>&#9744; {escape(step)}</li>\n" for step in one["steps"])
    return f"<h2>Set up on {escape(', '.join(one['devices']) or one['profile'])}</h2>\n<ol>\n{steps}</ol>\n"


def _do(text: str) -> str:
    return f'<div class="do">{escape(text)}</div>' if text else ""


def store(record: Record, folder: Path) -> tuple[Path, Path]:
    """Write JSON and HTML, named by site, date and hash; each whole or not at all.

    Raises:
        UserError: the folder cannot be written.
    """
    content = record.content
    date = "".join(c for c in content["date"] if c.isalnum())
    name = f"commissioning-{content['site']}-{date}-{record.sha256[:8]}"
    files = {
        folder / f"{name}.json": canonical({"record": content, "sha256": record.sha256}) + b"\n",
        folder / f"{name}.html": html_of(record).encode("utf-8"),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, data in files.items():
            _write(path, data)
    except OSError as error:
        raise UserError(f"the record cannot be written to {folder}: {error.strerror or error}") from error
    first, second = files
    return first, second


def _write(path: Path, data: bytes) -> None:
    aside = path.with_suffix(".new")
    with aside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def _plain(value: Any) -> Any:
    """Plain data with floats of three digits: finer than any device measures, and the same on every machine."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return round(value, DIGITS) if isinstance(value, float) else value
