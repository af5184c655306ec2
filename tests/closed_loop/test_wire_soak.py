"""A site and its cloud for a long while in real time, while everything between them fails by a seeded schedule.

``STROOMWACHT_SOAK_S`` sets how long (30 minutes), ``STROOMWACHT_SOAK_SEED`` which schedule. Judged afterwards: what the
plant saw, the journal of every scan, and what the cloud has stored.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from controller.service.messages import Entry
from controller.service.replay import files_of, replay
from interfaces.drivers.site_reader import example_text
from simulations.demo.cloud import Cloud
from simulations.demo.stage import Stage
from simulations.demo.story import garage
from simulations.devices.proxy import DIRECTIONS, Spoil
from tests.closed_loop.wire_history import gaps, judged, messages_of, told_epochs
from tests.tools import needed_tool

SECONDS = float(os.environ.get("STROOMWACHT_SOAK_S", "1800"))
SEED = int(os.environ.get("STROOMWACHT_SOAK_SEED", "1"))
CALM_S = (10.0, 30.0)
DRAINED_S = 420.0
"""What was sent when the line broke is sent again only when its receipt has stayed away for 270 s."""
SILENT_S = 15.0
"""The spool writes in batches of 10 s: what was said since is gone when the process is killed."""


@dataclass(frozen=True)
class Fault:
    says: str
    begin: Callable[[], None]
    end: Callable[[], None]
    lasts_s: tuple[float, float]


def nothing() -> None:
    """It mends itself."""


def faults_of(stage: Stage, cloud: Cloud) -> list[Fault]:
    def kill(role: str) -> Callable[[], None]:
        return lambda: os.kill((stage.processes() | cloud.processes())[role], signal.SIGKILL)

    def killed_broker() -> None:
        cloud.broker.signal(signal.SIGKILL)
        cloud.broker.stop()

    def noisy() -> None:
        cloud.line.spoil({direction: Spoil(delay_s=0.5, jitter_s=1.0, flip=0.05) for direction in DIRECTIONS})

    return [
        Fault("line cut", cloud.line.cut, cloud.line.mend, (5.0, 60.0)),
        Fault("line noisy and slow", noisy, cloud.line.mend, (10.0, 40.0)),
        Fault("broker killed", killed_broker, cloud.broker.start, (3.0, 30.0)),
        Fault(
            "broker frozen",
            lambda: cloud.broker.signal(signal.SIGSTOP),
            lambda: cloud.broker.signal(signal.SIGCONT),
            (5.0, 40.0),
        ),
        Fault("optimizer killed", kill("optimizer"), cloud.start_optimizer, (3.0, 40.0)),
        Fault("gateway killed", kill("gateway"), nothing, (5.0, 15.0)),
        Fault("field process killed", kill("field"), nothing, (10.0, 30.0)),
    ]


def play(stage: Stage, cloud: Cloud, seconds: float, rng: random.Random) -> list[str]:
    """The garage's story, and the schedule of faults; what happened when."""
    story, faults, happened = garage(), faults_of(stage, cloud), []
    began_s, before_s = time.monotonic(), -1.0
    under_way: Fault | None = None
    turn_s = rng.uniform(*CALM_S)
    while (now_s := time.monotonic() - began_s) < seconds or under_way is not None:
        stage.site.check()
        for beat in story.due(before_s, now_s):
            for deed in beat.deeds:
                stage.site.tell(**deed)
        before_s = now_s
        if now_s >= turn_s:
            if under_way is None:
                under_way = rng.choice(faults)
                happened.append(f"{now_s:.0f} s: {under_way.says}")
                under_way.begin()
                turn_s = now_s + rng.uniform(*under_way.lasts_s)
            else:
                under_way.end()
                under_way = None
                turn_s = now_s + rng.uniform(*CALM_S)
        time.sleep(0.1)
    return happened


def drained(stage: Stage) -> dict[str, Any]:
    """The uplink once all that was said until now has arrived, or as it is when that takes too long."""
    end_s, now_epoch_s = time.monotonic() + DRAINED_S, time.time()
    while time.monotonic() < end_s:
        uplink: dict[str, Any] = stage.health().get("uplink") or {}
        if uplink.get("connected") and (uplink["oldest_epoch_s"] or now_epoch_s) >= now_epoch_s:
            return uplink
        time.sleep(0.1)
    return {}


@pytest.mark.soak
def test_whatever_happens_to_the_cloud_nothing_is_overloaded_and_nothing_measured_is_lost():
    mosquitto = needed_tool("mosquitto", "mosquitto")
    text = example_text("garage")
    rng = random.Random(SEED)
    with Cloud(mosquitto, text) as cloud, Stage(text, seed=SEED, service=cloud.service, keep=False) as stage:
        happened = play(stage, cloud, SECONDS, rng)
        uplink = drained(stage)
        following, health = stage.health()["following"], stage.health()
        stage.stop_controller()
        truth = stage.site.report()
        journal = stage.folder / "journal"
        history = judged(messages_of(journal))
        outcome = replay(files_of(journal))
        missing = gaps(told_epochs(cloud.folder / "memory"), scanned_epochs(journal), SILENT_S)
    print("\n".join(happened))
    print(
        f"scans {history.scans}, raises {history.raises}, plans followed {len(history.plans)}, following {following}, "
        f"uplink {uplink}, late {health['late_scans']}, overload {truth['overload_s']} s, missing {missing}"
    )
    assert truth["self_made_overload_s"] == 0.0
    assert history.broken == []
    assert len(history.plans) > 1
    assert history.raises > 0
    assert outcome.mismatches == 0
    assert uplink, "something still waits"
    assert uplink["lost"] == {}
    assert missing == []


def scanned_epochs(journal: Path) -> list[float]:
    return [message.record.epoch_s for message in messages_of(journal) if isinstance(message, Entry)]
