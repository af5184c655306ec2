"""`stroomwacht optimizer run`: a strict configuration, one step from the command line, a process that is killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from interfaces.cli import main
from interfaces.domain.image import Pilot
from interfaces.domain.live import AssetLive, CircuitLive, LiveStatus
from interfaces.domain.site_file import topology_of
from interfaces.drivers.facts import all_facts
from interfaces.drivers.pki import init, utc_now
from interfaces.drivers.signing import Opened, Verifier
from interfaces.drivers.site_reader import EXAMPLES, Example, example_text, parse_site
from interfaces.errors import UserError
from optimizer.service.config import load_config
from optimizer.service.local_link import LocalLink, append_status

ROOT = Path(__file__).resolve().parents[3]
ENTRY = """
  - site: {name}.yaml
    link: spool/{name}
    tariff: {{energy: {{kind: fixed, eur_per_kwh: 0.25}}}}
"""


def configured(folder: Path, *entries: str) -> Path:
    file = folder / "optimizer.yaml"
    file.write_text("version: 1\nsites:" + "".join(entries))
    return file


EARLY = next(f"site-{k}" for k in range(100_000) if zlib.crc32(f"site-{k}".encode()) % 10_000 < 30)
"""A site whose place among those that start together is within the first second."""


def told(folder: Path, name: Example, called: str = "") -> LiveStatus:
    """A status of an example site just now: a car at every charger."""
    text = example_text(name)
    if called:
        text = re.sub(r"(?m)^(site:\n  id: ).*$", rf"\g<1>{called}", text, count=1)
    (folder / f"{name}.yaml").write_text(text)
    site = parse_site(text).site
    assert site is not None
    topology = topology_of(site, all_facts())
    now = time.time()
    assets = tuple(
        AssetLive(
            asset.id, int(Pilot.C2), now - 600, 1.0, None, 3.0, 6.0, 6.0, (1, 1, 1), 50.0 if not k else None, 0, True
        )
        for k, asset in enumerate(topology.assets)
    )
    circuits = tuple(
        CircuitLive(circuit.id, 5.0, 0.0, (7.0, 7.0, 7.0), (7.0, 7.0, 7.0))
        for k, circuit in enumerate(topology.circuits)
        if topology.metered[k]
    )
    link = folder / "spool" / name
    link.mkdir(parents=True)
    status = LiveStatus(site.info.id, topology.version, now, "fallback", -1, None, circuits, assets)
    append_status(link, status)
    return status


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main(["optimizer", "run", *map(str, words)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize("name", EXAMPLES)
def test_once_makes_a_plan_for_every_site_and_exits(tmp_path, capsys, name):
    status = told(tmp_path, name)
    code, out, _ = run(capsys, "--config", configured(tmp_path, ENTRY.format(name=name)), "--once")
    assert code == 0
    assert out == f"{status.site}: plan 1 (time), optimal, 192 steps\n"
    plan = LocalLink(tmp_path / "spool" / name, status.site).last_plan()
    assert plan is not None
    assert plan.topology_version == status.topology_version
    assert (tmp_path / "spool" / name / "targets.json").is_file()


def test_plans_are_signed_with_the_key_of_the_cloud(tmp_path, capsys):
    status = told(tmp_path, "garage")
    init(tmp_path / "pki", ["localhost"], utc_now())
    file = configured(tmp_path, ENTRY.format(name="garage") + "    key: pki/signing.key\n")
    assert run(capsys, "--config", file, "--once")[0] == 0
    verifier = Verifier.of_file(tmp_path / "pki" / "signing.pub")
    opened = verifier.open("plan", (tmp_path / "spool/garage/plan.json").read_bytes())
    assert isinstance(opened, Opened)
    assert json.loads(opened.body)["site"] == status.site


def test_a_site_that_cannot_be_used_is_left_out(tmp_path, capsys, caplog):
    told(tmp_path, "garage")
    (tmp_path / "broken.yaml").write_text("version: 1\n")
    (tmp_path / "twin.yaml").write_text(example_text("garage"))
    entries = [ENTRY.format(name=name) for name in ("broken", "gone", "garage", "twin")]
    code, out, _ = run(capsys, "--config", configured(tmp_path, *entries), "--once")
    assert (code, out.count("\n")) == (0, 1)
    assert "plan 1" in out
    left_out = [record.getMessage() for record in caplog.records if "site_left_out" in record.getMessage()]
    assert [name for name in ("broken", "gone", "twin") if any(f"{name}.yaml" in line for line in left_out)] == [
        "broken", "gone", "twin",
    ]  # fmt: skip
    code, out, err = run(capsys, "--config", configured(tmp_path, ENTRY.format(name="gone")), "--once")
    assert (code, out, err.count("\n")) == (2, "", 1)


def test_a_silent_site_says_so(tmp_path, capsys):
    (tmp_path / "garage.yaml").write_text(example_text("garage"))
    code, out, _ = run(capsys, "--config", configured(tmp_path, ENTRY.format(name="garage")), "--once")
    assert code == 0
    assert "no plan: nothing was heard yet" in out


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("    tarif: 3\n", "tarif: this key is unknown"),
        ("    prices: {zone: XX, sources: [entsoe]}\n", "'XX' is no bidding zone"),
        ("    prices: {zone: NL, sources: [nordpool]}\n", "sources"),
        ("    prices: {zone: BE, sources: [energyzero]}\n", "prices of NL only"),
        ("    prices: {zone: BE}\n", "from 'sources' or from a 'file', one of the two"),
        ("    prices: {zone: BE, sources: [entsoe], file: p.csv}\n", "from 'sources' or from a 'file', one of the two"),
        ("    profiles: [{tag: AA, vehicle: van}]\n", "the vehicle 'van' is not among the vehicles"),
        ("    schedules: [{file: trips.doc}]\n", "trips.doc is none of"),
        ("    pv: [{id: shed, planes: [{tilt_deg: 30, azimuth_deg: 180, kwp: 5}]}]\n", "no managed PV plant 'shed'"),
        ("    contract: {import_kw: .nan}\n", "finite"),
        ("    default_target: {unit: miles, amount: 3}\n", "unit"),
        ("    key: nowhere.key\n", "nowhere.key cannot be read"),
        (ENTRY.format(name="garage"), "is the folder of another site too"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_place(tmp_path, capsys, extra, words):
    (tmp_path / "garage.yaml").write_text(example_text("garage"))
    code, out, err = run(capsys, "--config", configured(tmp_path, ENTRY.format(name="garage") + extra), "--once")
    assert (code, out) == (2, "")
    assert words in err.splitlines()[-1]


def test_no_sites_and_no_file_are_refused(tmp_path):
    with pytest.raises(UserError, match="sites"):
        load_config(configured(tmp_path, " []\n"))
    with pytest.raises(UserError, match="cannot be read"):
        load_config(tmp_path / "gone.yaml")


def test_paths_count_from_the_file(tmp_path):
    schedules = "    schedules: [{file: fleet/trips.csv}, {file: fleet/vans.ics, vehicle: van}]\n"
    config = load_config(configured(tmp_path, ENTRY.format(name="garage") + schedules))
    (entry,) = config.sites
    assert (entry.site, entry.link) == (tmp_path / "garage.yaml", tmp_path / "spool/garage")
    assert [s.file for s in entry.schedules] == [tmp_path / "fleet/trips.csv", tmp_path / "fleet/vans.ics"]


def test_the_process_plans_survives_a_kill_and_ends_when_told(tmp_path):
    status = told(tmp_path, "garage", EARLY)
    link = LocalLink(tmp_path / "spool" / "garage", status.site)
    file = configured(tmp_path, ENTRY.format(name="garage"))
    words = [sys.executable, "-m", "interfaces.cli", "optimizer", "run", "--config", str(file)]
    sequences = []
    for number, code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 0)):
        before = link.last_plan()
        append_status(tmp_path / "spool" / "garage", replace(status, epoch_s=time.time()))
        with subprocess.Popen(words, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}) as process:
            for _ in range(1800):
                after = link.last_plan()
                if after is not None and (before is None or after.sequence > before.sequence):
                    break
                time.sleep(0.1)
            process.send_signal(number)
            assert process.wait(180) == code
        last = link.last_plan()
        assert last is not None
        sequences.append(last.sequence)
    assert sequences[1] > sequences[0] >= 1


def test_the_example_of_the_document_is_one(tmp_path):
    text = (ROOT / "docs" / "optimizer.md").read_text("utf-8")
    block = text.partition("```yaml\n")[2].partition("```")[0]
    (tmp_path / "optimizer.yaml").write_text(block)
    (entry,) = load_config(tmp_path / "optimizer.yaml").sites
    assert entry.prices is not None
    assert entry.profiles[0].vehicle == "van-1"
