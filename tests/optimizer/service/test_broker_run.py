"""`stroomwacht optimizer run` with a broker: a site that says its status over MQTT gets signed plans over MQTT."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from interfaces.domain.plan import Plan
from interfaces.domain.wire_topics import Address
from interfaces.drivers.signing import Verifier
from interfaces.errors import UserError
from optimizer.service.config import load_config
from optimizer.service.folder_store import FolderStore
from optimizer.service.ingest import Arrival, StoreError
from optimizer.service.local_link import LocalLink
from optimizer.store.database import Database
from simulations.bench.box import Box
from tests.interfaces.drivers.mosquitto import Mosquitto, make_keys, running
from tests.optimizer.service.test_ingest import HERE, Site
from tests.optimizer.service.test_mqtt_link import going
from tests.optimizer.service.test_run_command import EARLY, ENTRY, ROOT, configured, told

BROKER = """
broker:
  host: {host}
  port: {port}
  ca: keys/ca.crt
  certificate: keys/optimizer.crt
  key: keys/optimizer.key
  organisation: acme
"""
OURS = "    key: keys/signing.key\n    controller: box-1\n"


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    yield from running(tmp_path / "broker", make_keys(tmp_path / "keys", "box-1"))


def told_over_mqtt(folder: Path):
    """The status of an example site, and a configuration of that site; nothing lies in its folder."""
    status = told(folder, "garage", EARLY)
    shutil.rmtree(folder / "spool")
    return status


@pytest.mark.parametrize("engine", ["", "engine: {{database: 'sqlite:///{folder}/store.db', processes: 1}}\n"])
async def test_a_process_hears_a_site_and_plans_for_it(tmp_path, mosquitto, engine):
    status = told_over_mqtt(tmp_path)
    file = configured(tmp_path, ENTRY.format(name="garage") + OURS)
    broker = BROKER.format(host="127.0.0.1", port=mosquitto.port)
    file.write_text(file.read_text() + broker + engine.format(folder=tmp_path))
    box = Box(mosquitto.broker("box-1"), Address("acme", status.site, "box-1"),
              Verifier.of_file(tmp_path / "keys" / "signing.pub"), random.Random(1))  # fmt: skip
    words = ["-m", "interfaces.cli", "optimizer", "run", "--config", str(file)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *words, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    try:
        async with going(box.run()), asyncio.timeout(300):
            await box.open.wait()
            while not box.heard.plans or not box.heard.targets:  # what is said before it listens is lost
                await box.tell(replace(status, epoch_s=time.time()))
                await asyncio.sleep(0.2)
    finally:
        process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(process.wait(), 180)
    assert code == 0
    plan = box.heard.plans[0][1]
    assert (plan.site, plan.topology_version) == (status.site, status.topology_version)
    assert box.heard.unsigned == 0
    remembered = LocalLink(tmp_path / "spool" / "garage", status.site).last_plan()
    assert isinstance(remembered, Plan)
    assert remembered.sequence >= plan.sequence
    lines = sum(path.read_text().count("\n") for path in (tmp_path / "spool" / "garage").glob("status-*.jsonl"))
    assert lines >= 1
    if engine:
        store = Database(f"sqlite:///{tmp_path / 'store.db'}")
        with store.begin() as connection:
            assert connection.scalar(text("SELECT count(*) FROM live WHERE site_id = :site"), {"site": status.site}) > 0
            assert connection.scalar(text("SELECT sequence FROM planning")) >= plan.sequence
        store.close()


@pytest.mark.parametrize(
    ("entry", "broker", "words"),
    [
        ("", BROKER, "with a broker every site needs its 'controller'"),
        (OURS, "", "and there is none"),
        ("    controller: box-1\n", BROKER, "the site needs a 'key'"),
        ("    key: keys/signing.key\n    controller: Box_1\n", BROKER, "controller"),
        (OURS, BROKER.replace("acme", "a/b"), "organisation"),
        (OURS, BROKER.replace("port: {port}", "port: 0"), "port"),
        (OURS, BROKER + "  user: me\n", "user"),
        (OURS + ENTRY.format(name="depot") + OURS, BROKER, "'box-1' is at another site too"),
    ],
)
def test_a_mistake_about_the_broker_is_named(tmp_path, entry, broker, words):
    file = configured(tmp_path, ENTRY.format(name="garage") + entry)
    file.write_text(file.read_text() + broker.format(host="localhost", port=8883))
    with pytest.raises(UserError, match=words):
        load_config(file)


def test_paths_of_the_broker_count_from_the_file(tmp_path):
    file = configured(tmp_path, ENTRY.format(name="garage") + OURS)
    file.write_text(file.read_text() + BROKER.format(host="localhost", port=8883))
    broker = load_config(file).broker
    assert broker is not None
    assert (broker.ca, broker.key) == (tmp_path / "keys/ca.crt", tmp_path / "keys/optimizer.key")


def arrivals(site: Site) -> list[Arrival]:
    live = site.live()
    assert site.known is not None
    return [Arrival(HERE, live, site.known.status, 1_793_000_100.0), Arrival(HERE, site.event(), None, 1_793_000_100.0)]


def test_the_folder_keeps_statuses_for_the_link_and_everything_else_beside(tmp_path):
    store, site = FolderStore({HERE: tmp_path / "depot"}), Site()
    batch = [*arrivals(site), *arrivals(site)]
    assert store.add(batch) is None
    found = LocalLink(tmp_path / "depot", "depot").read()
    assert getattr(found, "statuses", None) == (batch[0].status, batch[2].status)
    assert (tmp_path / "depot" / "messages-2026-10-26.jsonl").read_text().count('"kind":"event"') == 2


def test_a_folder_that_cannot_be_written_is_told_and_the_batch_is_kept(tmp_path):
    (tmp_path / "depot").write_text("a file where the folder should be")
    store = FolderStore({HERE: tmp_path / "depot"})
    assert isinstance(store.add(arrivals(Site())), StoreError)
